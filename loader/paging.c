/*
 * The page tables with which the image starts. See paging.h.
 *
 * The pages of tables: 0 PML4; 1 PDPT of the identity map; 2 to 5 its page directories, 4 GiB in
 * pages of 2 MiB; 6 PDPT and 7 page directory of the image; from 8 on its page tables.
 */
#include "loader/paging.h"

#include "loader/ranges.h"

#define ENTRIES       512u
#define TABLE_WORDS   ENTRIES
#define PTE_PRESENT   0x001ull
#define PTE_WRITE     0x002ull
#define PTE_LARGE     0x080ull
#define PTE_NX        (1ull << 63)
#define LARGE_PAGE    (2ull << 20)
#define IDENTITY_PDPT 1u
#define IDENTITY_PD   2u
#define IMAGE_PDPT    6u
#define IMAGE_PD      7u
#define IMAGE_PT      8u

static uint32_t image_tables(const struct image *image)
{
	return (image->size + (uint32_t)LARGE_PAGE - 1) / (uint32_t)LARGE_PAGE;
}

uint32_t paging_size(const struct image *image)
{
	return (IMAGE_PT + image_tables(image)) * PAGE;
}

static void link_table(uint64_t *tables, uint32_t base, uint32_t parent, uint32_t index,
		       uint32_t child)
{
	tables[parent * TABLE_WORDS + index] = (base + child * PAGE) | PTE_PRESENT | PTE_WRITE;
}

static void map_identity(uint64_t *tables, uint32_t base)
{
	link_table(tables, base, 0, 0, IDENTITY_PDPT);
	for (uint32_t gib = 0; gib < 4; gib++) {
		link_table(tables, base, IDENTITY_PDPT, gib, IDENTITY_PD + gib);
	}
	for (uint32_t i = 0; i < 4 * ENTRIES; i++) {
		tables[IDENTITY_PD * TABLE_WORDS + i] =
			i * LARGE_PAGE | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	}
}

static uint64_t page_entry(const struct image *image, uint32_t image_base, uint32_t offset)
{
	uint32_t rights = elf_page_rights(image, offset);

	return (image_base + offset) | PTE_PRESENT | (rights & SEGMENT_WRITE ? PTE_WRITE : 0) |
	       (rights & SEGMENT_EXECUTE ? 0 : PTE_NX);
}

static void map_image(uint64_t *tables, uint32_t base, const struct image *image,
		      uint32_t image_base)
{
	link_table(tables, base, 0, HV_IMAGE_VA >> 39 & (ENTRIES - 1), IMAGE_PDPT);
	link_table(tables, base, IMAGE_PDPT, HV_IMAGE_VA >> 30 & (ENTRIES - 1), IMAGE_PD);
	for (uint32_t i = 0; i < image_tables(image); i++) {
		link_table(tables, base, IMAGE_PD, i, IMAGE_PT + i);
	}
	for (uint32_t page = 0; page < image->size / PAGE; page++) {
		tables[IMAGE_PT * TABLE_WORDS + page] = page_entry(image, image_base, page * PAGE);
	}
}

void paging_build(uint64_t *tables, uint32_t tables_base, const struct image *image,
		  uint32_t image_base)
{
	map_identity(tables, tables_base);
	map_image(tables, tables_base, image, image_base);
}
