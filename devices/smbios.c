/*
 * SMBIOS 2.8 (DSP0134): the BIOS, the system, its chassis. Systems know Hyper-V's machines by the names of the second: Linux
 * leaves an IDE disk to VMBus then, and cloud-init and systemd look here.
 */
#include "devices/smbios.h"

#include <assert.h>
#include <string.h>

#include "lib/check.h"

#define PACKED __attribute__((packed))

enum { TYPE_BIOS, TYPE_SYSTEM, TYPE_CHASSIS = 3, TYPE_END = 127 };

struct anchor {
	char signature[4];
	uint8_t checksum, length;
	uint8_t major, minor;
	uint16_t largest;
	uint8_t revision, formatted[5];
	char dmi[5];
	uint8_t dmi_checksum;
	uint16_t table_length;
	uint32_t table;
	uint16_t count;
	uint8_t bcd_revision;
} PACKED;

struct header {
	uint8_t type, length;
	uint16_t handle;
} PACKED;

struct bios {
	struct header header;
	uint8_t vendor, version;
	uint16_t segment;
	uint8_t date, rom_size; /* of 64 KiB, less one */
	uint64_t can;
	uint8_t can_more[2], major, minor, controller_major, controller_minor;
} PACKED;

struct system {
	struct header header;
	uint8_t manufacturer, product, version, serial;
	uint8_t uuid[16];
	uint8_t wake_up, sku, family;
} PACKED;

struct chassis {
	struct header header;
	uint8_t manufacturer, type, version, serial, asset_tag;
	uint8_t states[4];
	uint32_t oem;
	uint8_t height, cords, elements, element_length;
} PACKED;

#define BIOS_CAN        0x0000000000018080ull /* PCI, boot from CD, a choice of boot devices */
#define BIOS_IS_VIRTUAL 0x10
#define WAKE_UP_POWER   6
#define CHASSIS_DESKTOP 3
#define STATE_SAFE      3
#define STATE_NONE      3

static void append(struct smbios *smbios, const void *bytes, size_t length)
{
	CHECK(length <= sizeof(smbios->tables) - smbios->length);
	memcpy(smbios->tables + smbios->length, bytes, length);
	smbios->length += (uint32_t)length;
}

/* The structure, then its texts, which it names by number; the end is an empty one. */
static void add(struct smbios *smbios, struct header *header, uint8_t type, size_t length,
		const char *texts, size_t texts_length)
{
	struct anchor *anchor = (struct anchor *)smbios->anchor;
	size_t whole = length + texts_length + 1;

	header->type = type;
	header->length = (uint8_t)length;
	header->handle = type;
	append(smbios, header, length);
	append(smbios, texts, texts_length);
	append(smbios, "", 1);
	anchor->count++;
	anchor->table_length = (uint16_t)smbios->length;
	if (whole > anchor->largest) {
		anchor->largest = (uint16_t)whole;
	}
}

/* A literal with zeros between the texts: they all end by one. */
#define TEXTS(texts) texts, sizeof(texts)

void smbios_build(struct smbios *smbios)
{
	struct anchor anchor = {.signature = "_SM_",
				.length = sizeof(anchor),
				.major = 2,
				.minor = 8,
				.dmi = "_DMI_",
				.bcd_revision = 0x28};
	struct bios bios = {.vendor = 1,
			    .version = 2,
			    .segment = 0xf000,
			    .date = 3,
			    .can = BIOS_CAN,
			    .can_more = {0, BIOS_IS_VIRTUAL}};
	struct system system = {
		.manufacturer = 1, .product = 2, .version = 3, .wake_up = WAKE_UP_POWER};
	struct chassis chassis = {.manufacturer = 1,
				  .type = CHASSIS_DESKTOP,
				  .version = 2,
				  .states = {STATE_SAFE, STATE_SAFE, STATE_SAFE, STATE_NONE}};
	struct header end = {.type = TYPE_END};

	static_assert(sizeof(anchor) == SMBIOS_ANCHOR_BYTES, "DSP0134 5.2.1");
	memset(smbios, 0, sizeof(*smbios));
	memcpy(smbios->anchor, &anchor, sizeof(anchor));
	add(smbios, &bios.header, TYPE_BIOS, sizeof(bios),
	    TEXTS("SeaBIOS\0"
		  "Verdigris\0"
		  "04/01/2014"));
	add(smbios, &system.header, TYPE_SYSTEM, sizeof(system),
	    TEXTS("Microsoft Corporation\0"
		  "Virtual Machine\0"
		  "7.0"));
	add(smbios, &chassis.header, TYPE_CHASSIS, sizeof(chassis),
	    TEXTS("Microsoft Corporation\0"
		  "7.0"));
	add(smbios, &end, TYPE_END, sizeof(end), TEXTS(""));
}
