/* The SMBIOS tables, by which a guest knows its machine: whose it is, its UUID and its serial
 * numbers. */
#ifndef DEVICES_SMBIOS_H
#define DEVICES_SMBIOS_H

#include <stddef.h>
#include <stdint.h>

/* Where they lie in the memory of a machine without firmware: systems look for the entry point
 * between 0xf0000 and 1 MiB. */
#define SMBIOS_GPA    0xff000ull
#define SMBIOS_LENGTH 0x1000ull

/* Else they are files of fw_cfg: firmware places the tables and says in the anchor where; it sums
 * that up, too. */
#define SMBIOS_FILE_ANCHOR  "etc/smbios/smbios-anchor"
#define SMBIOS_FILE_TABLES  "etc/smbios/smbios-tables"
#define SMBIOS_ANCHOR_BYTES 31u

#define SMBIOS_TEXT_MAX 64u /* letters of a text */

/* In texts, what is no ASCII becomes '?'. */
struct smbios_machine {
	const char *firmware; /* whose it is */
	const char *name;     /* the chassis' asset tag; "": none */
	const char *serial;   /* of system, board and chassis */
	uint8_t uuid[16];     /* the first three parts little-endian, as a GUID is in memory */
	uint64_t memory;      /* bytes */
	unsigned int vp_count;
};

struct smbios {
	uint8_t anchor[SMBIOS_ANCHOR_BYTES];
	uint8_t tables[1024];
	uint32_t length; /* of the tables, in bytes */
};

void smbios_build(struct smbios *smbios, const struct smbios_machine *machine);

/* Anchor and tables into `buffer`, which is SMBIOS_LENGTH bytes long and appears to the guest at
 * SMBIOS_GPA. */
void smbios_place(const struct smbios *smbios, void *buffer);

#endif
