/* The ACPI tables that describe the board to a guest. */
#ifndef DEVICES_ACPI_TABLES_H
#define DEVICES_ACPI_TABLES_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

/* Where they lie in guest memory: where a PC's firmware keeps them, so that a system that searches
 * finds them too. */
#define ACPI_TABLES_GPA    0xe0000ull
#define ACPI_TABLES_LENGTH 0x10000ull

/* The largest number of processors that the tables can name by 8-bit APIC ids. */
#define ACPI_MAX_VPS 254

/*
 * The machine's generation ID (Virtual Machine Generation ID, Microsoft 2012), which the device
 * VGEN of dsdt.asl leads to: another one says that the guest has been copied, or taken back to an
 * earlier state.
 */
#define ACPI_GENERATION_GPA (ACPI_TABLES_GPA + ACPI_TABLES_LENGTH - 0x1000)

#define ACPI_SEED_BYTES 64u

struct acpi_identity {
	uint8_t generation[16];
	/* Random numbers for the guest's generator: the table OEM0, as Hyper-V has it. */
	uint8_t seed[ACPI_SEED_BYTES];
};

/*
 * Writes all tables, for VPs whose APIC ids are 0 to vp_count - 1, into `buffer`, which is
 * ACPI_TABLES_LENGTH bytes long and appears to the guest at ACPI_TABLES_GPA. The RSDP is at its
 * very beginning.
 */
void acpi_tables_build(void *buffer, unsigned int vp_count, const struct acpi_identity *identity);

/*
 * The same for a machine with firmware and a PIIX4, as files of fw_cfg: firmware chooses where they
 * lie, and carries out the commands of a third one, which say where they name each other (QEMU's
 * etc/table-loader).
 */
#define ACPI_FILE_TABLES   "etc/acpi/tables"
#define ACPI_FILE_RSDP     "etc/acpi/rsdp"
#define ACPI_FILE_LOADER   "etc/table-loader"
#define ACPI_RSDP_BYTES    36u
#define ACPI_COMMAND_BYTES 128u
#define ACPI_COMMANDS_MAX  32u

struct acpi_files {
	uint8_t tables[ACPI_TABLES_LENGTH];
	uint8_t rsdp[ACPI_RSDP_BYTES];
	uint8_t commands[ACPI_COMMANDS_MAX][ACPI_COMMAND_BYTES];
	uint32_t tables_length;
	uint32_t command_count;
};

enum acpi_firmware { ACPI_BIOS, ACPI_UEFI };

/* `tpm`: there is one, with TPM_CONTROL_AREA of parts.h. */
void acpi_files_build(struct acpi_files *files, unsigned int vp_count, enum acpi_firmware firmware,
		      bool tpm);

#endif
