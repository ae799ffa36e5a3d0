/*
 * The virtual PCI protocol, as Linux's pci-hyperv speaks it: in-band packets of a channel with
 * VMBUS_GUID_PCI, which is one PCI bus. Names as in drivers/pci/controller/pci-hyperv.c.
 * Little-endian, packed. Each of the guest's messages begins with its type; an answer is the
 * completion of its packet, and has none.
 *
 * The guest begins: QUERY_PROTOCOL_VERSION, until one is accepted; QUERY_BUS_RELATIONS, whose
 * answer is a message of the host's; of each function QUERY_RESOURCE_REQUIREMENTS; BUS_D0ENTRY,
 * which says where the window to configuration space is to be; RESOURCES_ASSIGNED of each function.
 *
 * The host asks for a function with EJECT, and the guest that has let go of it says
 * EJECTION_COMPLETE, a message of its own.
 */
#ifndef VSP_VPCI_H
#define VSP_VPCI_H

#include <assert.h>
#include <stdint.h>

#define VPCI_PACKED __attribute__((packed))

enum vpci_message_type {
	VPCI_BUS_RELATIONS = 0x42490000,
	VPCI_QUERY_BUS_RELATIONS = 0x42490001,
	VPCI_POWER_STATE_CHANGE = 0x42490004,
	VPCI_QUERY_RESOURCE_REQUIREMENTS = 0x42490005,
	VPCI_BUS_D0ENTRY = 0x42490007,
	VPCI_BUS_D0EXIT = 0x42490008,
	VPCI_EJECT = 0x4249000b,
	VPCI_EJECTION_COMPLETE = 0x4249000f,
	VPCI_RESOURCES_ASSIGNED = 0x42490010,
	VPCI_RESOURCES_RELEASED = 0x42490011,
	VPCI_QUERY_PROTOCOL_VERSION = 0x42490013,
	VPCI_CREATE_INTERRUPT_MESSAGE = 0x42490014,
	VPCI_DELETE_INTERRUPT_MESSAGE = 0x42490015,
	VPCI_RESOURCES_ASSIGNED2 = 0x42490016,
	VPCI_CREATE_INTERRUPT_MESSAGE2 = 0x42490017,
	VPCI_BUS_RELATIONS2 = 0x42490019,
	VPCI_RESOURCES_ASSIGNED3 = 0x4249001a,
	VPCI_CREATE_INTERRUPT_MESSAGE3 = 0x4249001b,
};

/* NTSTATUS */
#define VPCI_STATUS_SUCCESS                0u
#define VPCI_STATUS_INVALID_PARAMETER      0xc000000du
#define VPCI_STATUS_REVISION_MISMATCH      0xc0000059u
#define VPCI_STATUS_INSUFFICIENT_RESOURCES 0xc000009au
#define VPCI_STATUS_NOT_SUPPORTED          0xc00000bbu
#define VPCI_STATUS_INVALID_DEVICE_STATE   0xc0000184u

#define VPCI_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))
#define VPCI_VERSION_1_1           VPCI_VERSION(1, 1)
#define VPCI_VERSION_1_2           VPCI_VERSION(1, 2)
#define VPCI_VERSION_1_3           VPCI_VERSION(1, 3) /* BUS_RELATIONS2 */
#define VPCI_VERSION_1_4           VPCI_VERSION(1, 4) /* CREATE_INTERRUPT_MESSAGE3 */

/* The window: which function, and its configuration space. */
#define VPCI_WINDOW_BYTES  0x2000u
#define VPCI_WINDOW_CONFIG 0x1000u

/* device in bits 4:0, function in 7:5 */
#define VPCI_SLOT_MASK 0xffu

#define VPCI_BARS 6u

struct vpci_version_request {
	uint32_t type;
	uint32_t version;
} VPCI_PACKED;

struct vpci_version_answer {
	uint32_t status;
	uint32_t version;
} VPCI_PACKED;

struct vpci_function_description {
	uint16_t vendor, device;
	uint8_t revision, interface, subclass, base_class;
	uint32_t subsystem; /* vendor in the low half */
	uint32_t slot;
	uint32_t serial;
} VPCI_PACKED;
static_assert(sizeof(struct vpci_function_description) == 20, "vpci_function_description");

struct vpci_bus_relations {
	uint32_t type;
	uint32_t count;
	struct vpci_function_description functions[];
} VPCI_PACKED;

struct vpci_function_description2 {
	struct vpci_function_description function;
	uint32_t flags; /* bit 0: the node is known */
	uint16_t node;
	uint16_t reserved;
} VPCI_PACKED;
static_assert(sizeof(struct vpci_function_description2) == 28, "vpci_function_description2");

struct vpci_bus_relations2 {
	uint32_t type;
	uint32_t count;
	struct vpci_function_description2 functions[];
} VPCI_PACKED;

/* RESOURCES_*, QUERY_RESOURCE_REQUIREMENTS, EJECTION_COMPLETE begin so; EJECT is this. */
struct vpci_child {
	uint32_t type;
	uint32_t slot;
} VPCI_PACKED;

struct vpci_requirements {
	uint32_t status;
	uint32_t bars[VPCI_BARS]; /* as they are read after all ones were written */
} VPCI_PACKED;

struct vpci_d0_entry {
	uint32_t type;
	uint32_t reserved;
	uint64_t window;
} VPCI_PACKED;
static_assert(sizeof(struct vpci_d0_entry) == 16, "vpci_d0_entry");

#define VPCI_POWER_D0 1u
#define VPCI_POWER_D3 4u

struct vpci_power {
	uint32_t type;
	uint32_t slot;
	uint32_t state;
	uint32_t reserved;
} VPCI_PACKED;

struct vpci_power_answer {
	uint32_t status;
	uint32_t slot;
	uint32_t state;
	uint32_t reserved;
} VPCI_PACKED;

#define VPCI_PROCESSORS 32u

struct vpci_create_interrupt {
	uint32_t type;
	uint32_t slot;
	uint8_t vector;
	uint8_t mode;
	uint16_t count; /* vectors in a row, of a plain MSI */
	uint32_t reserved;
	uint64_t processors; /* a mask */
} VPCI_PACKED;
static_assert(sizeof(struct vpci_create_interrupt) == 24, "vpci_create_interrupt");

struct vpci_create_interrupt2 {
	uint32_t type;
	uint32_t slot;
	uint8_t vector;
	uint8_t mode;
	uint16_t count;
	uint16_t processor_count;
	uint16_t processors[VPCI_PROCESSORS]; /* Some guests send two bytes more. */
} VPCI_PACKED;
static_assert(sizeof(struct vpci_create_interrupt2) == 78, "vpci_create_interrupt2");

struct vpci_create_interrupt3 {
	uint32_t type;
	uint32_t slot;
	uint32_t vector;
	uint8_t mode;
	uint8_t reserved;
	uint16_t count;
	uint16_t processor_count;
	uint16_t processors[VPCI_PROCESSORS];
} VPCI_PACKED;
static_assert(sizeof(struct vpci_create_interrupt3) == 82, "vpci_create_interrupt3");

/* What the guest writes into the function; the host knows it again. */
struct vpci_interrupt {
	uint16_t reserved;
	uint16_t count;
	uint32_t data;
	uint64_t address;
} VPCI_PACKED;
static_assert(sizeof(struct vpci_interrupt) == 16, "vpci_interrupt");

struct vpci_create_answer {
	uint32_t status;
	uint32_t reserved;
	struct vpci_interrupt interrupt;
} VPCI_PACKED;
static_assert(sizeof(struct vpci_create_answer) == 24, "vpci_create_answer");

struct vpci_delete_interrupt {
	uint32_t type;
	uint32_t slot;
	struct vpci_interrupt interrupt;
} VPCI_PACKED;

#endif
