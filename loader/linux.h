/*
 * The root's kernel: a Linux bzImage, entered at its 32-bit entry.
 */
#ifndef LOADER_LINUX_H
#define LOADER_LINUX_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/bootparams.h"
#include "loader/ranges.h"

struct linux_kernel {
	struct linux_setup setup; /* the file's own */
	uint32_t payload_offset;  /* where the 32-bit part starts in the file */
	uint32_t payload_size;
	uint32_t space; /* what it needs from its base on until it can read the memory map */
};

/* A range below 4 GiB. */
struct span {
	uint32_t base;
	uint32_t size;
};

/* Where the root's parts go. Parts of size 0 are not there. */
struct root_plan {
	struct span kernel;
	struct span initrd;
	struct span data; /* boot_params, the command line and what they point to */
};

/* Where they are now. */
struct root_files {
	struct span kernel;
	struct span initrd;
	uint32_t data_size; /* whole pages */
};

/* What linux_fill_params writes down, beside the kernel's own header. */
struct root_params {
	uint32_t kernel_base;
	struct span initrd;
	uint32_t cmdline;
	uint64_t acpi_rsdp;
	const struct ranges *map;
	struct linux_screen screen;
	struct linux_efi efi;
};

bool linux_is(const uint8_t *file, uint32_t size);

/* Returns NULL, or what is wrong with the file. */
const char *linux_parse(const uint8_t *file, uint32_t size, struct linux_kernel *kernel);

/*
 * Finds places in the map's RAM outside `taken`, which holds neither the kernel's nor the initrd's
 * file. The plan is safe when carried out in this order, each step a memmove: the initrd, the
 * kernel's payload, the data. Returns NULL or what is missing.
 */
const char *linux_plan(const struct ranges *map, const struct ranges *taken,
		       const struct linux_kernel *kernel, const struct root_files *files,
		       struct root_plan *plan);

/* Fills a boot_params page. False: the map has more ranges than fit. */
bool linux_fill_params(struct linux_params *params, const struct linux_kernel *kernel,
		       const struct root_params *root);

#endif
