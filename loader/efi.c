/*
 * The EFI memory map. See efi.h; UEFI specification 2.10, 7.2.3.
 */
#include "loader/efi.h"

#include "lib/string.h"

#define EFI_LOADER_CODE        1u
#define EFI_BOOT_SERVICES_CODE 3u
#define EFI_BOOT_SERVICES_DATA 4u

struct efi_descriptor {
	uint32_t type;
	uint32_t padding;
	uint64_t base;
	uint64_t virtual_base;
	uint64_t pages;
	uint64_t attribute;
};

_Static_assert(sizeof(struct efi_descriptor) == 40, "EFI_MEMORY_DESCRIPTOR");

bool efi_map_copy(struct efi_map *map, const uint8_t *bytes, uint32_t size,
		  uint32_t descriptor_size, uint32_t descriptor_version)
{
	map->size = 0;
	if (descriptor_size < sizeof(struct efi_descriptor) || size > sizeof(map->bytes) ||
	    size % descriptor_size != 0) {
		return false;
	}
	memcpy(map->bytes, bytes, size);
	map->size = size;
	map->descriptor_size = descriptor_size;
	map->descriptor_version = descriptor_version;
	return true;
}

/*
 * Once boot services are gone, their memory and the boot loader's is free like conventional memory.
 */
static bool is_free(const struct efi_descriptor *d)
{
	return (d->type >= EFI_LOADER_CODE && d->type <= EFI_BOOT_SERVICES_DATA) ||
	       d->type == EFI_CONVENTIONAL;
}

static bool is_boot_services(const struct efi_descriptor *d)
{
	return d->type == EFI_BOOT_SERVICES_CODE || d->type == EFI_BOOT_SERVICES_DATA;
}

/* Neighbours are joined first: there are many. */
bool efi_map_keep(const struct efi_map *map, struct ranges *ram)
{
	uint64_t start = 0, end = 0;

	for (uint32_t at = 0; at < map->size; at += map->descriptor_size) {
		struct efi_descriptor d;

		memcpy(&d, map->bytes + at, sizeof(d));
		if (!is_boot_services(&d) || d.pages > (UINT64_MAX - d.base) / PAGE) {
			continue;
		}
		if (d.base != end) {
			if (!ranges_add(ram, start, end - start, RANGE_RESERVED)) {
				return false;
			}
			start = d.base;
		}
		end = d.base + d.pages * PAGE;
	}
	return ranges_add(ram, start, end - start, RANGE_RESERVED) && ranges_normalize(ram);
}

static void put(struct efi_map *map, uint32_t at, const struct efi_descriptor *d)
{
	memcpy(map->bytes + at, d, sizeof(*d));
}

/* Makes room for a second copy of the descriptor at `at`, behind it. */
static bool duplicate(struct efi_map *map, uint32_t at)
{
	uint32_t size = map->descriptor_size;

	if (size > sizeof(map->bytes) - map->size) {
		return false;
	}
	memmove(map->bytes + at + size, map->bytes + at, map->size - at);
	map->size += size;
	return true;
}

/* Splits the descriptor at `at` in two at an address within it. */
static bool split(struct efi_map *map, uint32_t at, uint64_t address)
{
	struct efi_descriptor low, high;

	if (!duplicate(map, at)) {
		return false;
	}
	memcpy(&low, map->bytes + at, sizeof(low));
	high = low;
	low.pages = (address - low.base) / PAGE;
	high.base = address;
	high.pages -= low.pages;
	put(map, at, &low);
	put(map, at + map->descriptor_size, &high);
	return true;
}

bool efi_map_retype(struct efi_map *map, uint64_t base, uint64_t size, uint32_t type)
{
	for (uint32_t at = 0; at < map->size; at += map->descriptor_size) {
		struct efi_descriptor d;
		uint64_t end;

		memcpy(&d, map->bytes + at, sizeof(d));
		if (!is_free(&d) || d.pages > (UINT64_MAX - d.base) / PAGE) {
			continue;
		}
		end = d.base + d.pages * PAGE;
		if (base >= end || base + size <= d.base) {
			continue;
		}
		/* The upper part of a split is seen on the next turn. */
		if (base > d.base) {
			if (!split(map, at, base)) {
				return false;
			}
			continue;
		}
		if (base + size < end && !split(map, at, base + size)) {
			return false;
		}
		memcpy(&d, map->bytes + at, sizeof(d));
		d.type = type;
		put(map, at, &d);
	}
	return true;
}
