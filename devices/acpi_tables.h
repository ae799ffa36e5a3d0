/* The ACPI tables that describe the board to a guest. */
#ifndef DEVICES_ACPI_TABLES_H
#define DEVICES_ACPI_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* Where they lie in guest memory: where a PC's firmware keeps them, so that a system that searches
 * finds them too. */
#define ACPI_TABLES_GPA    0xe0000ull
#define ACPI_TABLES_LENGTH 0x10000ull

/* The largest number of processors that the tables can name by 8-bit APIC ids. */
#define ACPI_MAX_VPS 254

/*
 * Writes all tables, for VPs whose APIC ids are 0 to vp_count - 1, into `buffer`, which is
 * ACPI_TABLES_LENGTH bytes long and appears to the guest at ACPI_TABLES_GPA. The RSDP is at its
 * very beginning.
 */
void acpi_tables_build(void *buffer, unsigned int vp_count);

#endif
