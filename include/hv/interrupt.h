/*
 * Interrupts that one partition sends itself, its child, or steers on a device (TLFS: Virtual
 * Interrupt Control).
 */
#ifndef HV_INTERRUPT_H
#define HV_INTERRUPT_H

#include "types.h"

/* TLFS: HV_INTERRUPT_TYPE */
enum hv_interrupt_type {
	HV_X64_INTERRUPT_TYPE_FIXED = 0,
	HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY = 1,
	HV_X64_INTERRUPT_TYPE_SMI = 2,
	HV_X64_INTERRUPT_TYPE_REMOTEREAD = 3,
	HV_X64_INTERRUPT_TYPE_NMI = 4,
	HV_X64_INTERRUPT_TYPE_INIT = 5,
	HV_X64_INTERRUPT_TYPE_SIPI = 6,
	HV_X64_INTERRUPT_TYPE_EXTINT = 7,
	HV_X64_INTERRUPT_TYPE_LOCALINT0 = 8,
	HV_X64_INTERRUPT_TYPE_LOCALINT1 = 9,
	HV_X64_INTERRUPT_TYPE_MAXIMUM = 10,
};

#define HV_INTERRUPT_VECTOR_NONE 0xffffffffu

/* Vectors that HvCallSendSyntheticClusterIpi accepts */
#define HV_IPI_LOW_VECTOR  0x10
#define HV_IPI_HIGH_VECTOR 0xff

/* HvCallSendSyntheticClusterIpi (fast or in memory) */
struct hv_send_ipi {
	uint32_t vector;
	union hv_input_vtl target_vtl;
	uint8_t reserved[3];
	uint64_t cpu_mask;
};
HV_ASSERT_SIZE(struct hv_send_ipi, 16);

/* HvCallSendSyntheticClusterIpiEx; the set's banks are the variable header */
struct hv_send_ipi_ex {
	uint32_t vector;
	union hv_input_vtl target_vtl;
	uint8_t reserved[3];
	struct hv_vpset vp_set;
};
HV_ASSERT_SIZE(struct hv_send_ipi_ex, 24);

/* TLFS: HV_INTERRUPT_CONTROL */
union hv_interrupt_control {
	uint64_t as_uint64;
	struct {
		uint32_t interrupt_type; /* enum hv_interrupt_type */
		uint32_t level_triggered : 1;
		uint32_t logical_dest_mode : 1;
		uint32_t rsvd : 30;
	};
};
HV_ASSERT_SIZE(union hv_interrupt_control, 8);

/* HvCallAssertVirtualInterrupt: as if a device had sent it; dest_addr is an APIC ID or a logical
 * destination */
struct hv_input_assert_virtual_interrupt {
	uint64_t partition_id;
	union hv_interrupt_control control;
	uint64_t dest_addr;
	uint32_t vector;
	uint8_t target_vtl;
	uint8_t rsvd_z0;
	uint16_t rsvd_z1;
};
HV_ASSERT_SIZE(struct hv_input_assert_virtual_interrupt, 32);

/* HvCallClearVirtualInterrupt (fast): takes back an ExtINT that has not been acknowledged */
struct hv_input_clear_virtual_interrupt {
	uint64_t partition_id;
};
HV_ASSERT_SIZE(struct hv_input_clear_virtual_interrupt, 8);

/* HvCallGetVpIndexFromApicId (rep): one uint32_t per APIC ID comes back */
struct hv_get_vp_from_apic_id_in {
	uint64_t partition_id;
	union hv_input_vtl target_vtl;
	uint8_t res[7];
	uint32_t apic_ids[];
};
HV_ASSERT_SIZE(struct hv_get_vp_from_apic_id_in, 16);

/* Device interrupts (TLFS: HV_INTERRUPT_ENTRY, HV_MSI_ENTRY, HV_DEVICE_INTERRUPT_TARGET) */

union hv_msi_address_register {
	uint32_t as_uint32;
	struct {
		uint32_t reserved1 : 2;
		uint32_t destination_mode : 1;
		uint32_t redirection_hint : 1;
		uint32_t reserved2 : 8;
		uint32_t destination_id : 8;
		uint32_t msi_base : 12;
	};
};
HV_ASSERT_SIZE(union hv_msi_address_register, 4);

union hv_msi_data_register {
	uint32_t as_uint32;
	struct {
		uint32_t vector : 8;
		uint32_t delivery_mode : 3;
		uint32_t reserved1 : 3;
		uint32_t level_assert : 1;
		uint32_t trigger_mode : 1;
		uint32_t reserved2 : 16;
	};
};
HV_ASSERT_SIZE(union hv_msi_data_register, 4);

union hv_msi_entry {
	uint64_t as_uint64;
	struct {
		union hv_msi_address_register address;
		union hv_msi_data_register data;
	};
};
HV_ASSERT_SIZE(union hv_msi_entry, 8);

union hv_ioapic_rte {
	uint64_t as_uint64;
	struct {
		uint32_t vector : 8;
		uint32_t delivery_mode : 3;
		uint32_t destination_mode : 1;
		uint32_t delivery_status : 1;
		uint32_t interrupt_polarity : 1;
		uint32_t remote_irr : 1;
		uint32_t trigger_mode : 1;
		uint32_t interrupt_mask : 1;
		uint32_t reserved1 : 15;
		uint32_t reserved2 : 24;
		uint32_t destination_id : 8;
	};
	struct {
		uint32_t low_uint32;
		uint32_t high_uint32;
	};
};
HV_ASSERT_SIZE(union hv_ioapic_rte, 8);

enum hv_interrupt_source {
	HV_INTERRUPT_SOURCE_MSI = 1,
	HV_INTERRUPT_SOURCE_IOAPIC = 2,
};

struct hv_interrupt_entry {
	uint32_t source; /* enum hv_interrupt_source */
	uint32_t reserved1;
	union {
		union hv_msi_entry msi_entry;
		union hv_ioapic_rte ioapic_rte;
	};
};
HV_ASSERT_SIZE(struct hv_interrupt_entry, 16);

#define HV_DEVICE_INTERRUPT_TARGET_MULTICAST     1u
#define HV_DEVICE_INTERRUPT_TARGET_PROCESSOR_SET 2u

struct hv_device_interrupt_target {
	uint32_t vector;
	uint32_t flags; /* HV_DEVICE_INTERRUPT_TARGET_* */
	union {
		uint64_t vp_mask;
		struct hv_vpset vp_set;
	};
};
HV_ASSERT_SIZE(struct hv_device_interrupt_target, 24);

/* TLFS: HV_DEVICE_ID; device_type in bits 63:62 */
enum hv_device_type {
	HV_DEVICE_TYPE_LOGICAL = 0,
	HV_DEVICE_TYPE_PCI = 1,
	HV_DEVICE_TYPE_IOAPIC = 2,
	HV_DEVICE_TYPE_ACPI = 3,
};

union hv_device_id {
	uint64_t as_uint64;
	struct {
		uint64_t id : 62;
		uint64_t device_type : 2;
	} logical;
	struct {
		uint16_t rid; /* bus 15:8, device 7:3, function 2:0 */
		uint16_t segment;
		uint8_t subordinate_bus;
		uint8_t secondary_bus;
		uint16_t phantom_function_bits : 2;
		uint16_t source_shadow : 1;
		uint16_t rsvdz0 : 11;
		uint16_t device_type : 2;
	} pci;
	struct {
		uint8_t ioapic_id;
		uint8_t rsvdz0;
		uint16_t rsvdz1;
		uint16_t rsvdz2;
		uint16_t rsvdz3 : 14;
		uint16_t device_type : 2;
	} ioapic;
	struct {
		uint32_t input_mapping_base;
		uint32_t input_mapping_count : 30;
		uint32_t device_type : 2;
	} acpi;
};
HV_ASSERT_SIZE(union hv_device_id, 8);

/* HvCallRetargetDeviceInterrupt; the variable header begins at int_target.vp_set.bank_contents */
struct hv_retarget_device_interrupt {
	uint64_t partition_id; /* HV_PARTITION_ID_SELF */
	uint64_t device_id;
	struct hv_interrupt_entry int_entry;
	uint64_t reserved2;
	struct hv_device_interrupt_target int_target;
};
HV_ASSERT_SIZE(struct hv_retarget_device_interrupt, 64);
HV_ASSERT_OFFSET(struct hv_retarget_device_interrupt, int_target, 40);

enum hv_interrupt_trigger_mode {
	HV_INTERRUPT_TRIGGER_MODE_EDGE = 0,
	HV_INTERRUPT_TRIGGER_MODE_LEVEL = 1,
};

struct hv_device_interrupt_descriptor {
	uint32_t interrupt_type;
	uint32_t trigger_mode;
	uint32_t vector_count;
	uint32_t reserved;
	struct hv_device_interrupt_target target;
};
HV_ASSERT_SIZE(struct hv_device_interrupt_descriptor, 40);

/* HvCallMapDeviceInterrupt */
struct hv_input_map_device_interrupt {
	uint64_t partition_id;
	uint64_t device_id;
	uint32_t flags;
	uint32_t base_irt_idx;
	struct hv_interrupt_entry logical_interrupt_entry;
	struct hv_device_interrupt_descriptor interrupt_descriptor;
};
HV_ASSERT_SIZE(struct hv_input_map_device_interrupt, 80);
HV_ASSERT_OFFSET(struct hv_input_map_device_interrupt, interrupt_descriptor, 40);

struct hv_output_map_device_interrupt {
	struct hv_interrupt_entry interrupt_entry;
	uint64_t ext_status_deprecated[5];
};
HV_ASSERT_SIZE(struct hv_output_map_device_interrupt, 56);

/* HvCallUnmapDeviceInterrupt */
struct hv_input_unmap_device_interrupt {
	uint64_t partition_id;
	uint64_t device_id;
	struct hv_interrupt_entry interrupt_entry;
	uint32_t flags;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_unmap_device_interrupt, 36);

#endif
