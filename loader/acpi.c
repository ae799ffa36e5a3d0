/*
 * What the loader reads of ACPI. See acpi.h; tables by the ACPI specification 6.5, chapter 5.
 */
#include "loader/acpi.h"

#include <stddef.h>

#include "lib/string.h"
#include "lib/sum.h"

#define RSDP_V1_SIZE       20u
#define TABLE_SIZE_MAX     (16u << 20)
#define BIOS_EBDA_POINTER  0x40e
#define BIOS_AREA          0xe0000
#define BIOS_AREA_END      0x100000
#define MADT_ENTRIES       44u
#define MADT_LOCAL_APIC    0
#define MADT_LOCAL_X2APIC  9
#define MADT_ENABLED       1u
#define FADT_TMR_VAL_EXT   (1u << 8)
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_HW_REDUCED    (1u << 20)
#define GAS_SYSTEM_MEMORY  0
#define GAS_SYSTEM_IO      1
#define AML_ZERO           0x00
#define AML_ONE            0x01
#define AML_NAME           0x08
#define AML_BYTE           0x0a
#define AML_WORD           0x0b
#define AML_PACKAGE        0x12
#define AML_ROOT           0x5c

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

struct table {
	char signature[4];
	uint32_t length;
	uint8_t rest[28];
} __attribute__((packed));

struct gas {
	uint8_t space;
	uint8_t width;
	uint8_t offset;
	uint8_t access;
	uint64_t address;
} __attribute__((packed));

struct fadt {
	struct table header;
	uint32_t firmware_control, dsdt;
	uint8_t unused1[64 - 44];
	uint32_t pm1_control[2];
	uint8_t unused_pm2[76 - 72];
	uint32_t pm_timer;
	uint8_t unused2[91 - 80];
	uint8_t pm_timer_length;
	uint8_t unused3[112 - 92];
	uint32_t flags;
	struct gas reset_register;
	uint8_t reset_value;
	uint8_t unused4[140 - 129];
	uint64_t x_dsdt;
	uint8_t unused5[172 - 148];
	struct gas x_pm1_control[2];
	uint8_t unused6[208 - 196];
	struct gas x_pm_timer;
	uint8_t unused7[244 - 220];
	struct gas sleep_control;
} __attribute__((packed));

/* MADT 5.2.12.2 and 5.2.12.12 */
struct madt_local_apic {
	uint8_t type, length, uid, id;
	uint32_t flags;
} __attribute__((packed));

struct madt_local_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t id, flags, uid;
} __attribute__((packed));

_Static_assert(sizeof(struct rsdp) == RSDP_SIZE_MAX, "RSDP 5.2.5.3");
_Static_assert(sizeof(struct table) == 36, "table header 5.2.6");
_Static_assert(offsetof(struct fadt, dsdt) == 40, "FADT 5.2.9");
_Static_assert(offsetof(struct fadt, pm1_control) == 64, "FADT 5.2.9");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140, "FADT 5.2.9");
_Static_assert(offsetof(struct fadt, x_pm1_control) == 172, "FADT 5.2.9");
_Static_assert(offsetof(struct fadt, reset_register) == 116, "FADT 5.2.9");
_Static_assert(offsetof(struct fadt, x_pm_timer) == 208, "FADT 5.2.9");
_Static_assert(offsetof(struct fadt, sleep_control) == 244, "FADT 5.2.9");

uint32_t acpi_check_rsdp(const uint8_t *bytes, uint32_t size)
{
	struct rsdp rsdp;

	if (size < RSDP_V1_SIZE || memcmp(bytes, "RSD PTR ", 8) != 0 ||
	    sum_of_bytes(bytes, RSDP_V1_SIZE) != 0) {
		return 0;
	}
	if (size < sizeof(rsdp)) {
		return bytes[offsetof(struct rsdp, revision)] == 0 ? RSDP_V1_SIZE : 0;
	}
	memcpy(&rsdp, bytes, sizeof(rsdp));
	if (rsdp.revision == 0) {
		return RSDP_V1_SIZE;
	}
	return sum_of_bytes(bytes, sizeof(rsdp)) == 0 ? sizeof(rsdp) : 0;
}

static uint64_t scan(uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at + RSDP_SIZE_MAX <= to; at += 16) {
		const uint8_t *bytes = acpi_map(at, RSDP_SIZE_MAX);

		if (bytes != NULL && acpi_check_rsdp(bytes, RSDP_SIZE_MAX)) {
			return at;
		}
	}
	return 0;
}

/* ACPI 5.2.5.1: the first KiB of the EBDA, then the BIOS's read-only memory. */
uint64_t acpi_scan_bios(void)
{
	const uint8_t *pointer = acpi_map(BIOS_EBDA_POINTER, 2);
	uint64_t ebda = pointer != NULL ? (uint64_t)(pointer[0] | pointer[1] << 8) << 4 : 0;
	uint64_t found = ebda ? scan(ebda, ebda + 1024) : 0;

	return found ? found : scan(BIOS_AREA, BIOS_AREA_END);
}

static struct table *table_at(uint64_t address)
{
	struct table *table = acpi_map(address, sizeof(*table));

	if (!address || table == NULL || table->length < sizeof(*table) ||
	    table->length > TABLE_SIZE_MAX) {
		return NULL;
	}
	return acpi_map(address, table->length);
}

static void add_lp(struct acpi_facts *facts, uint32_t id)
{
	for (uint32_t i = 0; i < facts->lp_count; i++) {
		if (facts->lp_apic_ids[i] == id) {
			return;
		}
	}
	if (facts->lp_count == HANDOFF_MAX_LPS) {
		facts->lps_beyond++;
	} else {
		facts->lp_apic_ids[facts->lp_count++] = id;
	}
}

static void read_madt_entry(const uint8_t *bytes, uint32_t length, struct acpi_facts *facts)
{
	struct madt_local_apic local;
	struct madt_local_x2apic x2;

	if (bytes[0] == MADT_LOCAL_APIC && length >= sizeof(local)) {
		memcpy(&local, bytes, sizeof(local));
		if (local.flags & MADT_ENABLED) {
			add_lp(facts, local.id);
		}
	} else if (bytes[0] == MADT_LOCAL_X2APIC && length >= sizeof(x2)) {
		memcpy(&x2, bytes, sizeof(x2));
		if (x2.flags & MADT_ENABLED) {
			add_lp(facts, x2.id);
		}
	}
}

static void read_madt(const struct table *table, struct acpi_facts *facts)
{
	const uint8_t *bytes = (const uint8_t *)table;
	uint32_t at = MADT_ENTRIES, length;

	while (at + 2 <= table->length) {
		length = bytes[at + 1];
		if (length < 2 || length > table->length - at) {
			return;
		}
		read_madt_entry(bytes + at, length, facts);
		at += length;
	}
}

/* A package's first two elements are what goes into SLP_TYP of each PM1 control register (ACPI
 * 7.4.2, 20.2.4). */
static uint8_t sleep_types(const uint8_t *at, const uint8_t *end)
{
	uint8_t types = 0;

	if (end - at < 2 || at[0] != AML_PACKAGE) {
		return 0;
	}
	at += 2 + (at[1] >> 6) + 1; /* the length's other bytes, the count of elements */
	for (unsigned int i = 0; i < 2 && end - at >= 3; i++) {
		bool constant = at[0] == AML_ZERO || at[0] == AML_ONE;

		if (!constant && at[0] != AML_BYTE && at[0] != AML_WORD) {
			break;
		}
		types |= (uint8_t)(1u << ((constant ? at[0] : at[1]) & 7));
		at += constant ? 1 : at[0] == AML_BYTE ? 2 : 3;
	}
	return types;
}

/* Names of sleep states: _Sn_. Those that lose the hypervisor get their letters in another
 * order. */
static void read_sleep_states(struct table *table, struct acpi_facts *facts)
{
	uint8_t *bytes = (uint8_t *)table;
	uint32_t length = table->length;

	for (uint32_t at = sizeof(*table) + 1; at + 4 <= length; at++) {
		uint8_t *name = bytes + at, digit = name[2];

		if (name[0] != '_' || name[1] != 'S' || name[3] != '_' || digit < '1' ||
		    digit > '5' ||
		    (name[-1] != AML_NAME && (name[-1] != AML_ROOT || name[-2] != AML_NAME))) {
			continue;
		}
		facts->sleep_types[digit - '0'] = sleep_types(name + 4, bytes + length);
		if (digit <= '3') {
			memcpy(name, "S0__", 4);
			name[1] = digit;
		}
	}
}

/* The byte of a register that has SLP_TYP and SLP_EN. */
static void add_sleep_register(const struct gas *gas, unsigned int byte, unsigned int i,
			       struct acpi_facts *facts)
{
	if (!gas->address) {
		return;
	}
	if (gas->space == GAS_SYSTEM_MEMORY && gas->address <= UINT64_MAX - byte) {
		facts->sleep_memory[i] = gas->address + byte;
	} else if (gas->space == GAS_SYSTEM_IO && gas->address <= UINT16_MAX - byte) {
		facts->sleep_ports[i] = (uint16_t)(gas->address + byte);
	}
}

/*
 * PM1 control is two bytes, of which the upper one matters (4.8.3.2.1); the old fields tell its
 * port, the wide ones where it is. A hardware-reduced machine has one byte instead, with the same
 * bits (4.8.3.7).
 */
static void read_sleep_registers(const struct fadt *fadt, struct acpi_facts *facts)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct gas old = {.space = GAS_SYSTEM_IO, .address = fadt->pm1_control[i]};

		add_sleep_register(&old, 1, i, facts);
		add_sleep_register(&fadt->x_pm1_control[i], 1, i, facts);
	}
	if (fadt->flags & FADT_HW_REDUCED) {
		add_sleep_register(&fadt->sleep_control, 0, 2, facts);
	}
}

/* Older, shorter FADTs end before the fields that they do not know; those count as zero. */
static void read_fadt(const struct table *table, struct acpi_facts *facts)
{
	struct fadt fadt;
	struct table *dsdt;
	bool ports;

	memset(&fadt, 0, sizeof(fadt));
	memcpy(&fadt, table, table->length < sizeof(fadt) ? table->length : sizeof(fadt));
	ports = fadt.x_pm_timer.space == GAS_SYSTEM_IO && fadt.x_pm_timer.address != 0;
	if (ports && fadt.x_pm_timer.address <= UINT16_MAX) {
		facts->pm_timer_port = (uint16_t)fadt.x_pm_timer.address;
	} else if (fadt.pm_timer <= UINT16_MAX && fadt.pm_timer_length == 4) {
		facts->pm_timer_port = (uint16_t)fadt.pm_timer;
	}
	facts->pm_timer_is_32_bit = fadt.flags & FADT_TMR_VAL_EXT;
	if ((fadt.flags & FADT_RESET_REG_SUP) && fadt.reset_register.space == GAS_SYSTEM_IO &&
	    fadt.reset_register.address <= UINT16_MAX) {
		facts->reset_port = (uint16_t)fadt.reset_register.address;
		facts->reset_value = fadt.reset_value;
	}
	read_sleep_registers(&fadt, facts);
	dsdt = table_at(fadt.x_dsdt);
	dsdt = dsdt != NULL ? dsdt : table_at(fadt.dsdt);
	if (dsdt != NULL) {
		read_sleep_states(dsdt, facts);
	}
}

static bool has_signature(const struct table *table, const char *signature)
{
	return memcmp(table->signature, signature, sizeof(table->signature)) == 0;
}

static void read_table(uint64_t address, struct acpi_facts *facts)
{
	struct table *table = table_at(address);

	if (table == NULL) {
		return;
	}
	if (has_signature(table, "APIC")) {
		read_madt(table, facts);
	} else if (has_signature(table, "FACP")) {
		read_fadt(table, facts);
	} else if (has_signature(table, "SSDT")) {
		read_sleep_states(table, facts);
	} else if (has_signature(table, "DMAR")) {
		memcpy(table->signature, "RAMD", 4);
		facts->iommu_table = address;
	} else if (has_signature(table, "IVRS")) {
		memcpy(table->signature, "SRVI", 4);
		facts->iommu_table = address;
	}
}

/* XSDT and RSDT are alike but for the size of their entries. */
static bool read_list(uint64_t address, const char *signature, uint32_t entry_size,
		      struct acpi_facts *facts)
{
	const struct table *list = table_at(address);
	const uint8_t *bytes = (const uint8_t *)list;
	uint32_t length;

	if (list == NULL || !has_signature(list, signature)) {
		return false;
	}
	length = list->length;
	for (uint32_t at = sizeof(*list); at + entry_size <= length; at += entry_size) {
		uint64_t entry = 0;

		memcpy(&entry, bytes + at, entry_size);
		read_table(entry, facts);
	}
	return true;
}

void acpi_read(const uint8_t *bytes, struct acpi_facts *facts)
{
	struct rsdp rsdp;
	uint32_t size = acpi_check_rsdp(bytes, RSDP_SIZE_MAX);

	memset(&rsdp, 0, sizeof(rsdp));
	memcpy(&rsdp, bytes, size);
	if (!rsdp.xsdt || !read_list(rsdp.xsdt, "XSDT", sizeof(uint64_t), facts)) {
		read_list(rsdp.rsdt, "RSDT", sizeof(uint32_t), facts);
	}
}

void acpi_boot_lp_first(struct acpi_facts *facts, uint32_t boot_apic_id)
{
	uint32_t at = 0;

	while (at < facts->lp_count && facts->lp_apic_ids[at] != boot_apic_id) {
		at++;
	}
	if (at == facts->lp_count && at < HANDOFF_MAX_LPS) {
		facts->lp_count++;
	} else if (at == facts->lp_count) {
		at--;
	}
	for (; at > 0; at--) {
		facts->lp_apic_ids[at] = facts->lp_apic_ids[at - 1];
	}
	facts->lp_apic_ids[0] = boot_apic_id;
}
