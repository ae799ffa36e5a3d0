/*
 * SMBIOS 2.8 (DSP0134): the 32-bit entry point and the structures that every system expects: BIOS
 * (0), system (1), board (2), chassis (3), processor (4), memory (16, 17, 19), boot (32), end
 * (127).
 *
 * Systems know Hyper-V's machines by the names of the second: Linux leaves an IDE disk to VMBus
 * then, and cloud-init and systemd look here.
 */
#include "devices/smbios.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "lib/check.h"
#include "lib/sum.h"

#define PACKED __attribute__((packed))

struct entry_point {
	char anchor[4]; /* "_SM_" */
	uint8_t checksum;
	uint8_t length;
	uint8_t major, minor;
	uint16_t largest; /* structure, with its texts */
	uint8_t revision;
	uint8_t reserved[5];
	char intermediate[5]; /* "_DMI_" */
	uint8_t intermediate_checksum;
	uint16_t table_length;
	uint32_t table;
	uint16_t count;
	uint8_t bcd;
} PACKED;
static_assert(sizeof(struct entry_point) == SMBIOS_ANCHOR_BYTES, "DSP0134 5.2.1");

struct header {
	uint8_t type, length;
	uint16_t handle;
} PACKED;

/* Members that are texts are numbers: which of the structure's, from 1 on. */
struct bios {
	struct header header;
	uint8_t vendor, version;
	uint16_t segment;
	uint8_t date, rom_size;
	uint64_t characteristics;
	uint8_t extension[2];
	uint8_t major, minor, firmware_major, firmware_minor;
} PACKED;

struct system {
	struct header header;
	uint8_t manufacturer, product, version, serial;
	uint8_t uuid[16];
	uint8_t wake_up, sku, family;
} PACKED;

struct board {
	struct header header;
	uint8_t manufacturer, product, version, serial, asset, flags, location;
	uint16_t chassis;
	uint8_t type, contained;
} PACKED;

struct chassis {
	struct header header;
	uint8_t manufacturer, type, version, serial, asset, boot_up, power, thermal, security;
	uint32_t oem;
	uint8_t height, cords, contained, contained_length;
} PACKED;

struct processor {
	struct header header;
	uint8_t socket, type, family, manufacturer;
	uint64_t id;
	uint8_t version, voltage;
	uint16_t clock, max_speed, current_speed;
	uint8_t status, upgrade;
	uint16_t l1, l2, l3;
	uint8_t serial, asset, part, cores, enabled, threads;
	uint16_t characteristics, family2;
} PACKED;
static_assert(sizeof(struct processor) == 0x2a, "DSP0134 7.5");

struct memory_array {
	struct header header;
	uint8_t location, use, correction;
	uint32_t capacity_kib;
	uint16_t error, devices;
	uint64_t capacity;
} PACKED;
static_assert(sizeof(struct memory_array) == 0x17, "DSP0134 7.17");

struct memory_device {
	struct header header;
	uint16_t array, error, total_width, width, size_mib;
	uint8_t form, set, locator, bank, type;
	uint16_t detail, speed;
	uint8_t manufacturer, serial, asset, part, attributes;
	uint32_t extended_size_mib;
	uint16_t configured_speed;
} PACKED;
static_assert(sizeof(struct memory_device) == 0x22, "DSP0134 7.18");

struct mapped {
	struct header header;
	uint32_t first_kib, last_kib; /* all ones: see below */
	uint16_t array;
	uint8_t width;
	uint64_t first, last;
} PACKED;
static_assert(sizeof(struct mapped) == 0x1f, "DSP0134 7.20");

struct boot {
	struct header header;
	uint8_t reserved[6], status;
} PACKED;

#define BIOS_CAN          0x18080u /* PCI, boot from CD, a choice of boot devices */
#define BIOS2_IS_VM       (1u << 4)
#define WAKE_UP_SWITCH    6
#define BOARD_HOSTS       1
#define BOARD_MOTHERBOARD 10
#define CHASSIS_DESKTOP   3
#define STATE_SAFE        3
#define STATE_NONE        3
#define PROCESSOR_CENTRAL 3
#define PROCESSOR_OTHER   1
#define PROCESSOR_ENABLED 0x41 /* its socket is populated */
#define PROCESSOR_64_BITS (1u << 2)
#define NO_HANDLE         0xfffe
#define MEMORY_ON_BOARD   3
#define MEMORY_SYSTEM     3
#define MEMORY_NO_ECC     3
#define MEMORY_FORM_OTHER 1
#define MEMORY_TYPE_RAM   7
#define UNKNOWN_16        0xffff
#define KIB_ELSEWHERE     0x80000000u
#define SIZE_ELSEWHERE    0x7fff

#define SMBIOS_TABLES_AT 32u /* behind the entry point */

enum handles { BIOS, SYSTEM, BOARD, CHASSIS, PROCESSOR, ARRAY, DEVICE, MAPPED, BOOT, END };

struct builder {
	struct smbios *smbios;
	size_t begin; /* of the structure that is written */
	uint16_t count, largest;
};

static void append(struct builder *builder, const void *bytes, size_t length)
{
	struct smbios *smbios = builder->smbios;

	CHECK(length <= sizeof(smbios->tables) - smbios->length);
	memcpy(smbios->tables + smbios->length, bytes, length);
	smbios->length += (uint32_t)length;
}

/* A structure; its texts follow, then end(). */
static void begin(struct builder *builder, void *structure, uint8_t type, size_t length,
		  enum handles handle)
{
	struct header header = {
		.type = type, .length = (uint8_t)length, .handle = (uint16_t)handle};

	memcpy(structure, &header, sizeof(header));
	builder->begin = builder->smbios->length;
	append(builder, structure, length);
}

/* One that is empty would be the end of them. */
static void text(struct builder *builder, const char *text)
{
	char copy[SMBIOS_TEXT_MAX + 1] = "-";
	size_t i;

	for (i = 0; i < SMBIOS_TEXT_MAX && text[i] != '\0'; i++) {
		copy[i] = text[i];
		if (text[i] < ' ' || text[i] > '~') {
			copy[i] = '?';
		}
	}
	append(builder, copy, strlen(copy) + 1);
}

static void end(struct builder *builder)
{
	static const char none[2];
	const struct smbios *smbios = builder->smbios;
	bool texts = smbios->length - builder->begin > smbios->tables[builder->begin + 1];
	size_t bytes;

	append(builder, none, texts ? 1 : 2);
	bytes = smbios->length - builder->begin;
	builder->count++;
	if (bytes > builder->largest) {
		builder->largest = (uint16_t)bytes;
	}
}

static void build_names(struct builder *builder, const struct smbios_machine *machine)
{
	struct bios bios = {.vendor = 1,
			    .version = 2,
			    .segment = 0xf000,
			    .date = 3,
			    .characteristics = BIOS_CAN,
			    .extension = {0, BIOS2_IS_VM},
			    .major = 1,
			    .firmware_major = 0xff,
			    .firmware_minor = 0xff};
	struct system system = {.manufacturer = 1,
				.product = 2,
				.version = 3,
				.serial = 4,
				.wake_up = WAKE_UP_SWITCH,
				.family = 2};
	struct board board = {.manufacturer = 1,
			      .product = 2,
			      .version = 3,
			      .serial = 4,
			      .flags = BOARD_HOSTS,
			      .chassis = CHASSIS,
			      .type = BOARD_MOTHERBOARD};
	struct chassis chassis = {.manufacturer = 1,
				  .type = CHASSIS_DESKTOP,
				  .version = 2,
				  .serial = 3,
				  .asset = 4,
				  .boot_up = STATE_SAFE,
				  .power = STATE_SAFE,
				  .thermal = STATE_SAFE,
				  .security = STATE_NONE};

	begin(builder, &bios, 0, sizeof(bios), BIOS);
	text(builder, machine->firmware);
	text(builder, "Verdigris");
	text(builder, "04/01/2014");
	end(builder);
	memcpy(system.uuid, machine->uuid, sizeof(system.uuid));
	begin(builder, &system, 1, sizeof(system), SYSTEM);
	text(builder, "Microsoft Corporation");
	text(builder, "Virtual Machine");
	text(builder, "7.0");
	text(builder, machine->serial);
	end(builder);
	begin(builder, &board, 2, sizeof(board), BOARD);
	text(builder, "Microsoft Corporation");
	text(builder, "Virtual Machine");
	text(builder, "7.0");
	text(builder, machine->serial);
	end(builder);
	begin(builder, &chassis, 3, sizeof(chassis), CHASSIS);
	text(builder, "Microsoft Corporation");
	text(builder, "7.0");
	text(builder, machine->serial);
	text(builder, machine->name);
	end(builder);
}

static void build_parts(struct builder *builder, const struct smbios_machine *machine)
{
	uint8_t cores = (uint8_t)(machine->vp_count < 0xff ? machine->vp_count : 0xff);
	struct processor processor = {.socket = 1,
				      .type = PROCESSOR_CENTRAL,
				      .family = PROCESSOR_OTHER,
				      .manufacturer = 2,
				      .status = PROCESSOR_ENABLED,
				      .upgrade = PROCESSOR_OTHER,
				      .l1 = UNKNOWN_16,
				      .l2 = UNKNOWN_16,
				      .l3 = UNKNOWN_16,
				      .cores = cores,
				      .enabled = cores,
				      .threads = cores,
				      .characteristics = PROCESSOR_64_BITS,
				      .family2 = PROCESSOR_OTHER};
	struct memory_array array = {.location = MEMORY_ON_BOARD,
				     .use = MEMORY_SYSTEM,
				     .correction = MEMORY_NO_ECC,
				     .capacity_kib = KIB_ELSEWHERE,
				     .error = NO_HANDLE,
				     .devices = 1,
				     .capacity = machine->memory};
	struct memory_device device = {.array = ARRAY,
				       .error = NO_HANDLE,
				       .total_width = UNKNOWN_16,
				       .width = UNKNOWN_16,
				       .size_mib = SIZE_ELSEWHERE,
				       .form = MEMORY_FORM_OTHER,
				       .locator = 1,
				       .type = MEMORY_TYPE_RAM,
				       .detail = 2,
				       .extended_size_mib = (uint32_t)(machine->memory >> 20)};
	struct mapped mapped = {.first_kib = UINT32_MAX,
				.last_kib = UINT32_MAX,
				.array = ARRAY,
				.width = 1,
				.last = machine->memory - 1};
	struct boot boot = {.status = 0};
	struct header last = {0};

	begin(builder, &processor, 4, sizeof(processor), PROCESSOR);
	text(builder, "CPU 0");
	text(builder, "Verdigris");
	end(builder);
	begin(builder, &array, 16, sizeof(array), ARRAY);
	end(builder);
	begin(builder, &device, 17, sizeof(device), DEVICE);
	text(builder, "RAM");
	end(builder);
	begin(builder, &mapped, 19, sizeof(mapped), MAPPED);
	end(builder);
	begin(builder, &boot, 32, sizeof(boot), BOOT);
	end(builder);
	begin(builder, &last, 127, sizeof(last), END);
	end(builder);
}

static void sum_up(struct entry_point *entry)
{
	entry->intermediate_checksum = entry->checksum = 0;
	entry->intermediate_checksum = (uint8_t)-sum_of_bytes(
		entry->intermediate, sizeof(*entry) - offsetof(struct entry_point, intermediate));
	entry->checksum = (uint8_t)-sum_of_bytes(entry, sizeof(*entry));
}

void smbios_build(struct smbios *smbios, const struct smbios_machine *machine)
{
	struct builder builder = {.smbios = smbios};
	struct entry_point entry = {.length = sizeof(entry), .major = 2, .minor = 8, .bcd = 0x28};

	memset(smbios, 0, sizeof(*smbios));
	build_names(&builder, machine);
	build_parts(&builder, machine);
	memcpy(entry.anchor, "_SM_", 4);
	memcpy(entry.intermediate, "_DMI_", 5);
	entry.largest = builder.largest;
	entry.table_length = (uint16_t)smbios->length;
	entry.count = builder.count;
	memcpy(smbios->anchor, &entry, sizeof(entry));
}

void smbios_place(const struct smbios *smbios, void *buffer)
{
	struct entry_point entry;

	static_assert(SMBIOS_TABLES_AT + sizeof(smbios->tables) <= SMBIOS_LENGTH, "room");
	memcpy(&entry, smbios->anchor, sizeof(entry));
	entry.table = (uint32_t)(SMBIOS_GPA + SMBIOS_TABLES_AT);
	sum_up(&entry);
	memcpy(buffer, &entry, sizeof(entry));
	memcpy((uint8_t *)buffer + SMBIOS_TABLES_AT, smbios->tables, smbios->length);
}
