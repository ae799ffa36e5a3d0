/*
 * What the loader reads of ACPI, and the two changes it makes: the table of the IOMMU gets another
 * signature, and the names of the sleep states S1 to S3 in the DSDT become others.
 *
 * Why in place and not by taking the table out of XSDT and RSDT: it is one write that every reader
 * of the tables sees, whatever list it came from, the lists keep their lengths and checksums, and
 * the letters are only put in another order, so that the table's own checksum holds too. An
 * operating system ignores a signature that it does not know, and names that nothing looks for.
 */
#ifndef LOADER_ACPI_H
#define LOADER_ACPI_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/handoff.h"

#define RSDP_SIZE_MAX 36u

struct acpi_facts {
	uint32_t lp_count; /* 0: no MADT */
	uint32_t lp_apic_ids[HANDOFF_MAX_LPS];
	uint32_t lps_beyond;    /* enabled, but more than the list holds */
	uint16_t pm_timer_port; /* 0: none */
	bool pm_timer_is_32_bit;
	uint16_t reset_port; /* 0: none in port space */
	uint8_t reset_value;
	uint64_t iommu_table; /* where it is, after it was hidden; 0: none */
	/* As in the handoff. */
	uint64_t sleep_memory[HANDOFF_SLEEP_REGISTERS];
	uint16_t sleep_ports[HANDOFF_SLEEP_REGISTERS];
	uint8_t sleep_types
		[6]; /* of S0 to S5: bits of SLP_TYP's values; 0: the tables do not have the state */
};

/*
 * The loader's way to physical memory: `size` bytes at an address, or NULL if they are not within
 * reach. Everything that is read of ACPI comes through it.
 */
void *acpi_map(uint64_t address, uint64_t size);

/* Is it a sound RSDP? Returns how many bytes of it are, 0: it is not. */
uint32_t acpi_check_rsdp(const uint8_t *rsdp, uint32_t size);

/* The RSDP in the BIOS's areas; 0: none. */
uint64_t acpi_scan_bios(void);

/* Walks the tables from an RSDP that acpi_check_rsdp has seen. */
void acpi_read(const uint8_t *rsdp, struct acpi_facts *facts);

/* Puts the boot LP first in the list, adding it if it is not there. */
void acpi_boot_lp_first(struct acpi_facts *facts, uint32_t boot_apic_id);

#endif
