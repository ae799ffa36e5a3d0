/* What a machine with a BIOS is called, as files of fw_cfg. */
#ifndef DEVICES_SMBIOS_H
#define DEVICES_SMBIOS_H

#include <stdint.h>

#define SMBIOS_FILE_ANCHOR  "etc/smbios/smbios-anchor"
#define SMBIOS_FILE_TABLES  "etc/smbios/smbios-tables"
#define SMBIOS_ANCHOR_BYTES 31u

/* Firmware places the tables and says in the anchor where; it sums that up, too. */
struct smbios {
	uint8_t anchor[SMBIOS_ANCHOR_BYTES];
	uint8_t tables[1024];
	uint32_t length; /* of the tables, in bytes */
};

void smbios_build(struct smbios *smbios);

#endif
