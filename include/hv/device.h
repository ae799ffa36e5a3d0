/*
 * Device domains: address spaces of devices, into which pages of a partition are mapped (TLFS's
 * headers: HV_DEVICE_DOMAIN_ID). A device is in the default domain, where it reaches what its
 * partition does, until it is attached to another.
 */
#ifndef HV_DEVICE_H
#define HV_DEVICE_H

#include "types.h"

enum hv_device_domain_type {
	HV_DEVICE_DOMAIN_TYPE_S2 = 0,
	HV_DEVICE_DOMAIN_TYPE_S1 = 1,
	HV_DEVICE_DOMAIN_TYPE_SOC = 2,
};

#define HV_DEVICE_DOMAIN_ID_S2_DEFAULT 0u
#define HV_DEVICE_DOMAIN_ID_S2_NULL    0xffffffffu

union hv_device_domain_id {
	uint64_t as_uint64;
	struct {
		uint32_t type : 4; /* enum hv_device_domain_type */
		uint32_t reserved : 28;
		uint32_t id; /* the partition's choice */
	};
};
HV_ASSERT_SIZE(union hv_device_domain_id, 8);

struct hv_input_device_domain {
	uint64_t partition_id; /* HV_PARTITION_ID_SELF */
	union hv_input_vtl owner_vtl;
	uint8_t padding[7];
	union hv_device_domain_id domain_id;
};
HV_ASSERT_SIZE(struct hv_input_device_domain, 24);

/* HvCallCreateDeviceDomain */
union hv_create_device_domain_flags {
	uint32_t as_uint32;
	struct {
		uint32_t forward_progress_required : 1;
		uint32_t inherit_owning_vtl : 1;
		uint32_t reserved : 30;
	};
};

struct hv_input_create_device_domain {
	struct hv_input_device_domain device_domain;
	union hv_create_device_domain_flags create_device_domain_flags;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_input_create_device_domain, 28);

/* HvCallDeleteDeviceDomain */
struct hv_input_delete_device_domain {
	struct hv_input_device_domain device_domain;
};
HV_ASSERT_SIZE(struct hv_input_delete_device_domain, 24);

/* HvCallAttachDeviceDomain; the device is a union hv_device_id (interrupt.h) */
struct hv_input_attach_device_domain {
	struct hv_input_device_domain device_domain;
	uint64_t device_id;
};
HV_ASSERT_SIZE(struct hv_input_attach_device_domain, 32);

/* HvCallDetachDeviceDomain: back to the default domain */
struct hv_input_detach_device_domain {
	uint64_t partition_id;
	uint64_t device_id;
};
HV_ASSERT_SIZE(struct hv_input_detach_device_domain, 16);

/* HvCallMapDeviceGpaPages (rep). HV_MAP_GPA_*: with LARGE_PAGE a rep is 2 MiB, and its list entry
 * the first page of it. */
struct hv_input_map_device_gpa_pages {
	struct hv_input_device_domain device_domain;
	union hv_input_vtl target_vtl;
	uint8_t padding[3];
	uint32_t map_flags;
	uint64_t target_device_va_base; /* address, not a page number */
	uint64_t gpa_page_list[];
};
HV_ASSERT_SIZE(struct hv_input_map_device_gpa_pages, 40);

/* HvCallUnmapDeviceGpaPages (rep, without a list): a rep is 4 KiB, whatever is mapped there */
struct hv_input_unmap_device_gpa_pages {
	struct hv_input_device_domain device_domain;
	uint64_t target_device_va_base;
};
HV_ASSERT_SIZE(struct hv_input_unmap_device_gpa_pages, 32);

/* HvCallGetIommuCapabilities */
struct hv_input_get_iommu_capabilities {
	uint64_t partition_id;
	uint64_t reserved;
};
HV_ASSERT_SIZE(struct hv_input_get_iommu_capabilities, 16);

#define HV_IOMMU_CAP_PRESENT 0x1ull
#define HV_IOMMU_CAP_S2      0x2ull

struct hv_output_get_iommu_capabilities {
	uint32_t size; /* of this struct */
	uint16_t reserved;
	uint8_t max_iova_width; /* bits of a device's address */
	uint8_t max_pasid_width;
	uint64_t iommu_cap;     /* HV_IOMMU_CAP_* */
	uint64_t pgsize_bitmap; /* bytes */
};
HV_ASSERT_SIZE(struct hv_output_get_iommu_capabilities, 24);

#endif
