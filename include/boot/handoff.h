/*
 * What hvloader hands to the hypervisor image, and the header by which it finds one.
 *
 * The loader is the untidy part of the boot: boot formats, ACPI, clock calibration, placing Linux.
 * It ends when it jumps to the image; its memory then belongs to the root. The hypervisor trusts
 * this block once, at boot.
 *
 * State at entry of the image (hv_image_header.entry): 64-bit mode, interrupts off, NXE and WP set,
 * RDI = physical address of struct handoff (inside the reserved region), identity map of the low 4
 * GiB and of the reserved region, HV_IMAGE_VA mapped to image_base for image_size bytes, each page
 * with the rights of its ELF segment. The other LPs are as the firmware left them, halted or
 * waiting for SIPI: start them with INIT, SIPI, SIPI. The local APIC is enabled, in the mode (xAPIC
 * or x2APIC) in which the firmware left it, its LVTs masked and its timer stopped; the 8259s are
 * masked too. The GDT, the IDT and the stack are still the loader's: the image brings its own
 * before anything else, since the root may overwrite the loader.
 */
#ifndef BOOT_HANDOFF_H
#define BOOT_HANDOFF_H

#ifndef __ASSEMBLER__
#include <stdint.h>
#endif

#define HANDOFF_MAGIC       0x5644475248414e44ull /* "VDGRHAND" */
#define HV_IMAGE_MAGIC      0x5644475249424d49ull
#define HV_IMAGE_VA         0xffffffff80000000ull
#define HV_IMAGE_SVM        1
#define HV_IMAGE_VMX        2
#define HANDOFF_MAX_LPS     256
#define HANDOFF_MAX_RANGES  128
#define HANDOFF_CMDLINE_MAX 2048
/* PM1a's and PM1b's, and that of a machine whose ACPI is hardware-reduced. */
#define HANDOFF_SLEEP_REGISTERS 3

#ifndef __ASSEMBLER__

/* The first bytes of an image's first PT_LOAD segment. The image is an ELF64, linked at
 * HV_IMAGE_VA. */
struct hv_image_header {
	uint64_t magic;  /* HV_IMAGE_MAGIC */
	uint32_t vendor; /* HV_IMAGE_SVM or HV_IMAGE_VMX */
	uint32_t reserved;
	uint64_t entry; /* virtual address */
};

/* One range of the machine's physical address space, with the types of ACPI's E820 (1 RAM, 2
 * reserved, 3 ACPI, 4 NVS). */
struct handoff_range {
	uint64_t base;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

struct handoff {
	uint64_t magic;
	/*
	 * The hypervisor's own memory: one contiguous RAM range, 2 MiB aligned at both ends. It
	 * holds the image at image_base (2 MiB aligned, .bss included in image_size), this block,
	 * and free memory from free_base to the end.
	 */
	uint64_t reserved_base;
	uint64_t reserved_size;
	uint64_t image_base;
	uint64_t image_size;
	uint64_t free_base; /* page aligned */
	/*
	 * For the table of pages, 8 bytes for each page of RAM: RAM above 4 GiB, 2 MiB aligned at
	 * both ends, which is kept from the root as well; 0: it goes into the free memory.
	 */
	uint64_t table_base;
	uint64_t table_size;

	/* The machine's map before the reservations; sorted, not overlapping. The root's copy has
	 * them as type 2. */
	uint32_t range_count;
	uint32_t lp_count;
	struct handoff_range ranges[HANDOFF_MAX_RANGES];
	uint32_t lp_apic_ids[HANDOFF_MAX_LPS]; /* [0] is the boot LP; only enabled ones, in MADT
						  order */

	uint64_t tsc_hz;        /* measured, or from CPUID 0x15 */
	uint64_t apic_timer_hz; /* counts per second at divisor 1 */

	uint64_t acpi_rsdp;   /* where the root finds it; 0 if the machine has no ACPI */
	uint64_t iommu_table; /* the DMAR or IVRS table, whose signature the loader changed to hide
				 it from the root; 0: none */

	/* A page below 1 MiB (RAM, unused by the root at its start), for the code that starts the
	 * other LPs. */
	uint32_t trampoline_page;
	uint32_t console_port; /* of a 16550, initialised to 115200 8N1; 0: no console */

	/* The root's first instruction: 32-bit protected mode, flat segments, paging off, ESI =
	 * root_esi (boot_params). */
	uint32_t root_eip;
	uint32_t root_esi;
	/*
	 * ACPI's sleep control: the bytes that have SLP_TYP and SLP_EN, by port or by physical
	 * address (0: none), and which of the eight types the root may enter, a bit each: those of
	 * S4 and S5, or all if the tables do not tell. S1 to S3 are hidden from it.
	 */
	uint64_t sleep_memory[HANDOFF_SLEEP_REGISTERS];
	uint16_t sleep_ports[HANDOFF_SLEEP_REGISTERS];
	uint8_t sleep_types;
	/* ACPI reset register of the FADT, for a stop of the machine after a fault: 0 if none. */
	uint8_t reset_value;
	uint16_t reset_port;
	uint16_t unused[3];
	char cmdline[HANDOFF_CMDLINE_MAX]; /* the hypervisor's options, NUL-terminated */
};

_Static_assert(sizeof(struct hv_image_header) == 24, "image header");
_Static_assert(sizeof(struct handoff) == 6304, "handoff block");

#endif
#endif
