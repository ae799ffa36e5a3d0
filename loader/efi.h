/*
 * The EFI memory map, a copy of which the root gets. Its kernel takes free memory from it before it
 * looks at the E820 map, so it must show the hypervisor's memory as reserved.
 */
#ifndef LOADER_EFI_H
#define LOADER_EFI_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/ranges.h"

#define EFI_MAP_MAX      (64u << 10)
#define EFI_RESERVED     0u
#define EFI_LOADER_DATA  2u
#define EFI_CONVENTIONAL 7u

struct efi_map {
	uint32_t size; /* 0: no map */
	uint32_t descriptor_size;
	uint32_t descriptor_version;
	uint8_t bytes[EFI_MAP_MAX] __attribute__((aligned(8)));
};

/* Copies a map from the firmware's; false: malformed or too large, and map is empty. */
bool efi_map_copy(struct efi_map *map, const uint8_t *bytes, uint32_t size,
		  uint32_t descriptor_size, uint32_t descriptor_version);

/*
 * Takes the memory of EFI's boot services out of the RAM in a map of the machine. It counts as free
 * once they have ended, but the firmware's tables that the kernel reads lie in it until the kernel
 * itself gives it up. False: too many pieces.
 */
bool efi_map_keep(const struct efi_map *map, struct ranges *ram);

/*
 * Gives the free memory in [base, base + size), whole pages, another type. False: the map is full.
 */
bool efi_map_retype(struct efi_map *map, uint64_t base, uint64_t size, uint32_t type);

#endif
