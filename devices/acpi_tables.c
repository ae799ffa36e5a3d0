/*
 * ACPI 6.5, chapter 5: RSDP, RSDT, XSDT, FADT (revision 3, which every system reads), FACS, MADT,
 * OEM0 with random numbers, and the DSDT that iasl compiled from dsdt.asl. Both root tables are
 * there, since old 32-bit systems read only the first.
 *
 * Where a BIOS places them, addresses are offsets in the file, and commands tell the BIOS what to
 * add to them.
 */
#include "devices/acpi_tables.h"

#include <assert.h>
#include <string.h>

#include "devices/board.h"
#include "lib/check.h"
#include "lib/sum.h"

extern const uint8_t acpi_dsdt[], acpi_dsdt_end[];
extern const uint8_t acpi_dsdt_bios[], acpi_dsdt_bios_end[];
extern const uint8_t acpi_dsdt_uefi[], acpi_dsdt_uefi_end[];

#define PACKED __attribute__((packed))

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
} PACKED;
static_assert(sizeof(struct rsdp) == 36, "ACPI 5.2.5.3");

struct table_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;
static_assert(sizeof(struct table_header) == 36, "ACPI 5.2.6");

struct generic_address {
	uint8_t space; /* 1: ports */
	uint8_t bits;
	uint8_t bit_offset;
	uint8_t access; /* 1 byte, 2 word, 3 dword */
	uint64_t address;
} PACKED;

struct fadt {
	struct table_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0;
	uint8_t preferred_profile;
	uint16_t sci_line;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate_control;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0,
		gpe1;
	uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
	uint8_t gpe0_length, gpe1_length, gpe1_base, cstate_control;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct generic_address reset_register;
	uint8_t reset_value;
	uint8_t reserved2[3];
	uint64_t x_facs, x_dsdt;
	struct generic_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
	struct generic_address x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
} PACKED;
static_assert(sizeof(struct fadt) == 244, "ACPI 2.0 to 4.0, FADT");

#define BOOT_LEGACY_DEVICES 0x0001
#define BOOT_8042           0x0002
#define BOOT_NO_VGA         0x0004

#define FLAG_WBINVD       (1u << 0)
#define FLAG_PROC_C1      (1u << 2)
#define FLAG_SLEEP_BUTTON (1u << 5) /* no fixed sleep button */
#define FLAG_TIMER_32     (1u << 8)
#define FLAG_RESET        (1u << 10)

struct facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} PACKED;
static_assert(sizeof(struct facs) == 64, "ACPI 5.2.10");

struct madt {
	struct table_header header;
	uint32_t lapic_address;
	uint32_t flags; /* 1: there are 8259s too */
} PACKED;

struct madt_lapic {
	uint8_t type, length; /* 0, 8 */
	uint8_t processor, apic_id;
	uint32_t flags; /* 1: enabled */
} PACKED;

struct madt_ioapic {
	uint8_t type, length; /* 1, 12 */
	uint8_t id, reserved;
	uint32_t address, first_gsi;
} PACKED;

struct madt_override {
	uint8_t type, length; /* 2, 10 */
	uint8_t bus, line;
	uint32_t gsi;
	uint16_t flags;
} PACKED;

struct tpm2 {
	struct table_header header;
	uint16_t platform; /* a client */
	uint16_t reserved;
	uint64_t control_area;
	uint32_t start_method;
	uint8_t parameters[12];
} PACKED;
static_assert(sizeof(struct tpm2) == 64, "TCG ACPI 1.3, table 7");

#define START_BY_REGISTER 7

struct madt_lapic_nmi {
	uint8_t type, length; /* 4, 6 */
	uint8_t processor;    /* 0xff: all */
	uint16_t flags;
	uint8_t lint;
} PACKED;

#define INTERRUPT_HIGH_LEVEL 0x000d

#define LAPIC_BASE 0xfee00000u

/* A command for the loader of firmware. */
struct loader_command {
	uint32_t kind;
	union {
		struct {
			char file[56];
			uint32_t align;
			uint8_t zone;
		} PACKED allocate;
		struct {
			char file[56], to[56];
			uint32_t offset;
			uint8_t size;
		} PACKED pointer;
		struct {
			char file[56];
			uint32_t offset, start, length;
		} PACKED checksum;
		uint8_t bytes[ACPI_COMMAND_BYTES - 4];
	};
} PACKED;
static_assert(sizeof(struct loader_command) == ACPI_COMMAND_BYTES, "QEMU, bios-linker-loader");

enum { LOADER_ALLOCATE = 1, LOADER_POINTER, LOADER_CHECKSUM };
enum { ZONE_HIGH = 1, ZONE_F_SEGMENT };

/* Where in the buffer the next table goes. */
struct builder {
	uint8_t *buffer;
	size_t used;
	uint64_t base;            /* of the buffer, in guest memory; 0 with a loader */
	struct acpi_files *files; /* NULL: no loader */
	uint32_t pm_base;
	const uint8_t *dsdt, *dsdt_end;
};

static void *append(struct builder *builder, const void *bytes, size_t length)
{
	void *at = builder->buffer + builder->used;

	CHECK(length <= ACPI_TABLES_LENGTH - builder->used);
	memcpy(at, bytes, length);
	builder->used += length;
	return at;
}

static void align(struct builder *builder, size_t to)
{
	builder->used = (builder->used + to - 1) / to * to;
}

static uint32_t gpa_of(const struct builder *builder, const void *at)
{
	return (uint32_t)(builder->base + (size_t)((const uint8_t *)at - builder->buffer));
}

static void command(struct builder *builder, const struct loader_command *command)
{
	struct acpi_files *files = builder->files;

	CHECK(files->command_count < ACPI_COMMANDS_MAX);
	memcpy(files->commands[files->command_count++], command, sizeof(*command));
}

static void allocate(struct builder *builder, const char *file, uint32_t to, uint8_t zone)
{
	struct loader_command allocate = {.kind = LOADER_ALLOCATE,
					  .allocate = {.align = to, .zone = zone}};

	strcpy(allocate.allocate.file, file);
	command(builder, &allocate);
}

/* The field at this offset of a file is the address of a table. */
static void tell_pointer(struct builder *builder, const char *file, size_t offset, uint8_t size)
{
	struct loader_command pointer = {.kind = LOADER_POINTER,
					 .pointer = {.offset = (uint32_t)offset, .size = size}};

	if (builder->files != NULL) {
		strcpy(pointer.pointer.file, file);
		strcpy(pointer.pointer.to, ACPI_FILE_TABLES);
		command(builder, &pointer);
	}
}

static void tell_checksum(struct builder *builder, const char *file, size_t offset, size_t start,
			  size_t length)
{
	struct loader_command sum = {.kind = LOADER_CHECKSUM,
				     .checksum = {.offset = (uint32_t)offset,
						  .start = (uint32_t)start,
						  .length = (uint32_t)length}};

	if (builder->files != NULL) {
		strcpy(sum.checksum.file, file);
		command(builder, &sum);
	}
}

/* The same of a field in the buffer. */
static void tell_field(struct builder *builder, const void *at, uint8_t size)
{
	tell_pointer(builder, ACPI_FILE_TABLES, (size_t)((const uint8_t *)at - builder->buffer),
		     size);
}

static struct table_header header(const char *signature, uint8_t revision)
{
	struct table_header header = {
		.revision = revision, .oem_revision = 1, .creator_revision = 1};

	memcpy(header.signature, signature, 4);
	memcpy(header.oem_id, "VDGRIS", 6);
	memcpy(header.oem_table_id, "VERDIGRI", 8);
	memcpy(header.creator_id, "VDGR", 4);
	return header;
}

/*
 * Length and checksum of the table that begins at `table` and ends where the next one will begin. A
 * loader's checksum is 0 until it is told: SeaBIOS adds to what there is, OVMF counts what there
 * is.
 */
static void seal(struct builder *builder, struct table_header *table)
{
	table->length = (uint32_t)(builder->buffer + builder->used - (uint8_t *)table);
	table->checksum = 0;
	if (builder->files == NULL) {
		table->checksum = (uint8_t)-sum_of_bytes(table, table->length);
	}
	tell_checksum(builder, ACPI_FILE_TABLES, (size_t)(&table->checksum - builder->buffer),
		      (size_t)((uint8_t *)table - builder->buffer), table->length);
	align(builder, 64);
}

static struct generic_address port(uint32_t at, uint8_t bits)
{
	return (struct generic_address){
		.space = 1,
		.bits = bits,
		.access = bits == 32   ? 3
			  : bits == 16 ? 2
				       : 1,
		.address = at,
	};
}

static uint32_t build_facs(struct builder *builder)
{
	struct facs facs = {.signature = "FACS", .length = sizeof(facs), .version = 1};
	void *at = append(builder, &facs, sizeof(facs));

	return gpa_of(builder, at);
}

static uint32_t build_dsdt(struct builder *builder)
{
	void *at = append(builder, builder->dsdt, (size_t)(builder->dsdt_end - builder->dsdt));

	align(builder, 64);
	return gpa_of(builder, at);
}

static uint32_t build_fadt(struct builder *builder)
{
	uint32_t facs = build_facs(builder), dsdt = build_dsdt(builder), pm = builder->pm_base;
	struct fadt fadt = {
		.header = header("FACP", 3),
		.facs = facs,
		.dsdt = dsdt,
		.sci_line = ACPI_SCI_LINE,
		.pm1a_event = pm,
		.pm1a_control = pm + 4,
		.pm_timer = pm + 8,
		.gpe0 = pm + 12,
		.pm1_event_length = 4,
		.pm1_control_length = 2,
		.pm_timer_length = 4,
		.gpe0_length = 4,
		.c2_latency = 0xfff, /* above 100 and 1000: no C2, no C3 */
		.c3_latency = 0xfff,
		.century = 0x32,
		.boot_flags = BOOT_LEGACY_DEVICES | BOOT_NO_VGA |
			      (builder->files != NULL ? BOOT_8042 : 0),
		.flags =
			FLAG_WBINVD | FLAG_PROC_C1 | FLAG_SLEEP_BUTTON | FLAG_TIMER_32 | FLAG_RESET,
		.reset_register = port(0xcf9, 8),
		.reset_value = 0x06,
		.x_dsdt = dsdt,
		.x_pm1a_event = port(pm, 32),
		.x_pm1a_control = port(pm + 4, 16),
		.x_pm_timer = port(pm + 8, 32),
		.x_gpe0 = port(pm + 12, 32),
	};
	struct fadt *at = append(builder, &fadt, sizeof(fadt));

	tell_field(builder, &at->facs, sizeof(at->facs));
	tell_field(builder, &at->dsdt, sizeof(at->dsdt));
	tell_field(builder, &at->x_dsdt, sizeof(at->x_dsdt));
	seal(builder, &at->header);
	return gpa_of(builder, at);
}

static void append_override(struct builder *builder, uint8_t line, uint32_t gsi, uint16_t flags)
{
	struct madt_override override = {
		.type = 2, .length = sizeof(override), .line = line, .gsi = gsi, .flags = flags};

	append(builder, &override, sizeof(override));
}

static uint32_t build_madt(struct builder *builder, unsigned int vp_count)
{
	struct madt madt = {.header = header("APIC", 3), .lapic_address = LAPIC_BASE, .flags = 1};
	struct madt_ioapic ioapic = {
		.type = 1, .length = sizeof(ioapic), .address = BOARD_IOAPIC_BASE};
	struct madt_lapic_nmi nmi = {
		.type = 4, .length = sizeof(nmi), .processor = 0xff, .lint = 1};
	struct madt *at = append(builder, &madt, sizeof(madt));
	unsigned int i;

	for (i = 0; i < vp_count; i++) {
		struct madt_lapic lapic = {
			.length = sizeof(lapic), .processor = i, .apic_id = i, .flags = 1};

		append(builder, &lapic, sizeof(lapic));
	}
	append(builder, &ioapic, sizeof(ioapic));
	append_override(builder, 0, 2, 0);
	append_override(builder, ACPI_SCI_LINE, ACPI_SCI_LINE, INTERRUPT_HIGH_LEVEL);
	append(builder, &nmi, sizeof(nmi));
	seal(builder, &at->header);
	return gpa_of(builder, at);
}

/* Guests take it for what it is only from Microsoft. */
static uint32_t build_seed(struct builder *builder, const uint8_t seed[ACPI_SEED_BYTES])
{
	struct table_header head = header("OEM0", 1), *at;

	memcpy(head.oem_table_id, "MICROSFT", 8);
	at = append(builder, &head, sizeof(head));
	append(builder, seed, ACPI_SEED_BYTES);
	seal(builder, at);
	return gpa_of(builder, at);
}

/* Where its registers are, and that writing one of them starts a command (TCG ACPI Specification
 * 1.3, 8.1). */
static uint32_t build_tpm2(struct builder *builder)
{
	struct tpm2 tpm2 = {.header = header("TPM2", 4),
			    .control_area = TPM_CONTROL_AREA,
			    .start_method = START_BY_REGISTER};
	struct tpm2 *at = append(builder, &tpm2, sizeof(tpm2));

	seal(builder, &at->header);
	return gpa_of(builder, at);
}

static uint32_t build_root(struct builder *builder, const uint32_t *tables, size_t count, bool wide)
{
	struct table_header head = header(wide ? "XSDT" : "RSDT", 1), *at;
	size_t i;

	at = append(builder, &head, sizeof(head));
	for (i = 0; i < count; i++) {
		uint64_t gpa = tables[i];
		uint8_t size = wide ? 8 : 4;

		tell_field(builder, append(builder, &gpa, size), size);
	}
	seal(builder, at);
	return gpa_of(builder, at);
}

/* All that the RSDP leads to, and where that begins. Without a seed there is no OEM0. */
static void build_all(struct builder *builder, struct rsdp *rsdp, unsigned int vp_count,
		      const uint8_t *seed, bool tpm)
{
	uint32_t tables[4];
	size_t count = 0;

	CHECK(vp_count <= ACPI_MAX_VPS);
	*rsdp = (struct rsdp){.signature = "RSD PTR ",
			      .oem_id = "VDGRIS",
			      .revision = 2,
			      .length = sizeof(*rsdp)};
	align(builder, 64);
	tables[count++] = build_fadt(builder);
	tables[count++] = build_madt(builder, vp_count);
	if (seed != NULL) {
		tables[count++] = build_seed(builder, seed);
	}
	if (tpm) {
		tables[count++] = build_tpm2(builder);
	}
	rsdp->rsdt = build_root(builder, tables, count, false);
	rsdp->xsdt = build_root(builder, tables, count, true);
	if (builder->files == NULL) {
		rsdp->checksum = (uint8_t)-sum_of_bytes(rsdp, 20);
		rsdp->extended_checksum = (uint8_t)-sum_of_bytes(rsdp, sizeof(*rsdp));
	}
}

void acpi_tables_build(void *buffer, unsigned int vp_count, const struct acpi_identity *identity)
{
	struct builder builder = {.buffer = buffer,
				  .base = ACPI_TABLES_GPA,
				  .pm_base = ACPI_PM_BASE,
				  .dsdt = acpi_dsdt,
				  .dsdt_end = acpi_dsdt_end};
	struct rsdp rsdp = {.revision = 0}, *at = append(&builder, &rsdp, sizeof(rsdp));

	build_all(&builder, at, vp_count, identity->seed, false);
	CHECK(builder.used <= ACPI_GENERATION_GPA - ACPI_TABLES_GPA);
	memcpy(builder.buffer + (ACPI_GENERATION_GPA - ACPI_TABLES_GPA), identity->generation,
	       sizeof(identity->generation));
}

void acpi_files_build(struct acpi_files *files, unsigned int vp_count, enum acpi_firmware firmware,
		      bool tpm)
{
	bool bios = firmware == ACPI_BIOS;
	struct builder builder = {.buffer = files->tables,
				  .files = files,
				  .pm_base = bios ? ACPI_PM_BASE_BIOS : ACPI_PM_BASE_UEFI,
				  .dsdt = bios ? acpi_dsdt_bios : acpi_dsdt_uefi,
				  .dsdt_end = bios ? acpi_dsdt_bios_end : acpi_dsdt_uefi_end};
	struct rsdp rsdp;

	static_assert(sizeof(rsdp) == ACPI_RSDP_BYTES, "ACPI 5.2.5.3");
	memset(files, 0, sizeof(*files));
	allocate(&builder, ACPI_FILE_TABLES, 64, ZONE_HIGH);
	allocate(&builder, ACPI_FILE_RSDP, 16, ZONE_F_SEGMENT);
	build_all(&builder, &rsdp, vp_count, NULL, tpm);
	memcpy(files->rsdp, &rsdp, sizeof(rsdp));
	tell_pointer(&builder, ACPI_FILE_RSDP, offsetof(struct rsdp, rsdt), 4);
	tell_pointer(&builder, ACPI_FILE_RSDP, offsetof(struct rsdp, xsdt), 8);
	tell_checksum(&builder, ACPI_FILE_RSDP, offsetof(struct rsdp, checksum), 0, 20);
	tell_checksum(&builder, ACPI_FILE_RSDP, offsetof(struct rsdp, extended_checksum), 0,
		      sizeof(rsdp));
	files->tables_length = (uint32_t)builder.used;
}
