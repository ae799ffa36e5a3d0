/*
 * What the boot loader brought: which module is which, by content, and their strings.
 */
#ifndef LOADER_MODULES_H
#define LOADER_MODULES_H

#include <stdint.h>

#include "loader/elf.h"
#include "loader/linux.h"

#define MODULES_MAX 8
#define STRING_MAX  HANDOFF_CMDLINE_MAX

struct module {
	const uint8_t *data;
	uint32_t size;
	char string[STRING_MAX];
};

struct modules {
	uint32_t count;
	struct module m[MODULES_MAX];
};

/* Which module is what; NULL: none is. */
struct roles {
	const struct module *image_file;
	struct image image;
	const struct module *kernel_file;
	struct linux_kernel kernel;
	const struct module *initrd_file;
};

/* Finds the image for a vendor, the kernel and the initrd. False: `why` and, if a module is at
 * fault, `which`. */
struct refusal {
	const char *why;
	const struct module *which;
};
bool modules_sort(const struct modules *modules, uint32_t vendor, struct roles *roles,
		  struct refusal *refusal);

/*
 * A string without its first word, if that is a file's name: an emulator puts the name there, GRUB
 * whatever its menu says. A first word like `a=b` is an option, unless it is a path.
 */
const char *string_options(const char *string);

/* The size that `name=` gives in a string of options (K, M and G allowed); 0: not given,
 * UINT64_MAX: not a size. */
uint64_t string_size_option(const char *string, const char *name);

#endif
