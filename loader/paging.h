/*
 * The page tables with which the image starts: handoff.h says what they map.
 */
#ifndef LOADER_PAGING_H
#define LOADER_PAGING_H

#include <stdint.h>

#include "loader/elf.h"

/* How many bytes of tables an image needs. */
uint32_t paging_size(const struct image *image);

/* Fills zeroed tables, which lie at tables_base; the root of the tree is their first page. */
void paging_build(uint64_t *tables, uint32_t tables_base, const struct image *image,
		  uint32_t image_base);

#endif
