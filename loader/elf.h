/*
 * The hypervisor's images: ELF64 executables, linked at HV_IMAGE_VA, with struct hv_image_header at
 * the start.
 */
#ifndef LOADER_ELF_H
#define LOADER_ELF_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/handoff.h"

#define IMAGE_SEGMENTS_MAX 8
#define IMAGE_SIZE_MAX     (64u << 20)

/* Page-table rights of a segment. */
#define SEGMENT_EXECUTE 1u
#define SEGMENT_WRITE   2u

struct image_segment {
	uint32_t offset; /* from the image's base */
	uint32_t file_offset;
	uint32_t file_size;
	uint32_t size; /* >= file_size; the rest is zero */
	uint32_t rights;
};

struct image {
	uint32_t vendor; /* HV_IMAGE_* */
	uint64_t entry;
	uint32_t size; /* in memory, whole pages */
	uint32_t segment_count;
	struct image_segment segments[IMAGE_SEGMENTS_MAX];
};

/* Is it an ELF file at all? */
bool elf_is(const uint8_t *file, uint32_t size);

/* Checks everything that elf_load relies on. Returns NULL, or what is wrong with the file. */
const char *elf_parse(const uint8_t *file, uint32_t size, struct image *image);

/* Writes image->size bytes at memory; the file must not overlap them. */
void elf_load(const uint8_t *file, const struct image *image, uint8_t *memory);

/* The rights of the page at an offset: those of all segments that touch it. */
uint32_t elf_page_rights(const struct image *image, uint32_t offset);

#endif
