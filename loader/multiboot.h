/*
 * What the boot loader says, copied out of its memory: afterwards only the modules' data still lies
 * where it put them.
 */
#ifndef LOADER_MULTIBOOT_H
#define LOADER_MULTIBOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/acpi.h"
#include "loader/efi.h"
#include "loader/framebuffer.h"
#include "loader/ranges.h"
#include "loader/modules.h"

struct boot_info {
	char string[STRING_MAX]; /* hvloader's own */
	struct modules modules;
	struct ranges map; /* as given, not normalized */
	struct framebuffer framebuffer;
	uint8_t rsdp[RSDP_SIZE_MAX]; /* a copy; all zero: not given */
	bool is_efi;
	uint64_t efi_systab; /* 0: not given */
	struct efi_map efi_map;
};

/* Stops the machine with a message if the information is unusable. */
void multiboot_read(uint32_t magic, uint32_t address, struct boot_info *info);

#endif
