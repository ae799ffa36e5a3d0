/*
 * The loader's state, filled step by step as main.c lists them, and the steps themselves.
 */
#ifndef LOADER_LOADER_H
#define LOADER_LOADER_H

#include <stdint.h>

#include "boot/handoff.h"
#include "loader/acpi.h"
#include "loader/clock.h"
#include "loader/cpu.h"
#include "loader/ranges.h"
#include "loader/modules.h"
#include "loader/multiboot.h"

struct loader {
	uint16_t console_port;
	struct boot_info info;
	struct ranges map;  /* the machine's, normalized */
	struct ranges free; /* the same, its RAM only what may be overwritten: where everything is
			       placed */
	struct cpu_facts cpu;
	uint32_t vendor; /* HV_IMAGE_* */
	struct roles roles;
	uint64_t rsdp; /* its address; 0: there is none, or only the boot loader's copy of it */
	struct acpi_facts acpi;
	struct clock_rates rates;
	struct span reserved; /* the hypervisor's memory */
	uint64_t table_base,
		table_size; /* its table of pages, above 4 GiB; 0: in the reserved memory */
	uint32_t handoff;   /* the block's address, in the reserved memory */
	uint32_t page_tables;
	/* What the handoff says of the root. */
	uint32_t root_eip;
	uint32_t root_esi;
	uint32_t trampoline_page;
};

/* Memory by its physical address: the loader runs without paging. */
static inline void *memory_at(uint32_t address)
{
	return (void *)(uintptr_t)address;
}

/* The loader's own memory, and that of all modules. */
void loader_take_own(struct ranges *taken);

/* image.c: the hypervisor's memory and what is in it. Each stops the machine with a message if it
 * cannot be done. */
void image_reserve(struct loader *l);
void image_place(struct loader *l);
void image_hand_off(const struct loader *l);

/* root.c: the root's kernel, initrd and boot parameters, outside the reserved memory. From here on
 * no module is where it was. */
void root_place(struct loader *l);

#endif
