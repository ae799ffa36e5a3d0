#include "hypervisor/arch/x86/paging.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/memory.h"
#include "lib/string.h"
#include "tlfs/plat.h"

/* AMD APM vol. 2, 5.3.3 */
#define PT_PRESENT  (1ull << 0)
#define PT_WRITE    (1ull << 1)
#define PT_UNCACHED (3ull << 3) /* PCD and PWT: PAT index 3 */
#define PT_SEEN     (3ull << 5) /* accessed and dirty, so that the processor need not write them */
#define PT_LARGE    (1ull << 7)
#define PT_NX       (1ull << 63)
#define PT_ADDRESS  0x000ffffffffff000ull

#define DATA     (PT_WRITE | PT_NX)
#define CONSTANT PT_NX
#define CODE     0

/* hv.lds */
extern const char image_start[], image_text_end[], image_rodata_end[], image_end[];

static spa_t top;
static uint64_t reach; /* physical memory is seen at: 0 (the loader's map), then HV_DIRECT_MAP */
static uint64_t image_base;
static unsigned int device_count;
static uint64_t stack_end = HV_STACK_MAP;

void *plat_spa_ptr(spa_t spa)
{
	return (void *)(HV_DIRECT_MAP + spa.v);
}

/* Of the direct map, or of the image's own data. */
spa_t plat_ptr_spa(const void *page)
{
	if ((uintptr_t)page >= HV_IMAGE_VA) {
		return (spa_t){(uintptr_t)page - HV_IMAGE_VA + image_base};
	}
	return (spa_t){(uintptr_t)page - HV_DIRECT_MAP};
}

unsigned int paging_max_level(void)
{
	uint32_t out[4];

	cpuid(0x80000001, 0, out);
	return out[3] & 1u << 26 ? 2 : 1;
}

static uint64_t level_size(unsigned int level)
{
	return 1ull << (PAGE_SHIFT + 9 * level);
}

static uint64_t *table_at(uint64_t entry)
{
	return (uint64_t *)(reach + (entry & PT_ADDRESS));
}

static spa_t table_alloc(void)
{
	spa_t table = memory_boot_alloc(1);

	memset(table_at(table.v), 0, PAGE_SIZE);
	return table;
}

/* The entry for va at this level; tables on the way are made where they are missing. */
static uint64_t *entry_of(uint64_t va, unsigned int level)
{
	uint64_t *table = table_at(top.v);

	for (unsigned int l = 3;; l--) {
		uint64_t *entry = &table[va >> (PAGE_SHIFT + 9 * l) & 511];

		if (l == level) {
			return entry;
		}
		if (!*entry) {
			*entry = table_alloc().v | PT_PRESENT | PT_WRITE | PT_SEEN;
		}
		CHECK(!(*entry & PT_LARGE));
		table = table_at(*entry);
	}
}

static void map(uint64_t va, uint64_t spa, unsigned int level, uint64_t flags)
{
	*entry_of(va, level) = spa | flags | PT_PRESENT | PT_SEEN | (level ? PT_LARGE : 0);
}

/* The image's text and constants, in physical memory. */
static bool is_constant(uint64_t spa, uint64_t size)
{
	return spa < image_base + (image_rodata_end - image_start) && image_base < spa + size;
}

static void map_ram(uint64_t spa, uint64_t end, unsigned int max_level)
{
	while (spa < end) {
		unsigned int level = max_level;

		while (level && (spa & (level_size(level) - 1) || end - spa < level_size(level) ||
				 is_constant(spa, level_size(level)))) {
			level--;
		}
		map(HV_DIRECT_MAP + spa, spa, level,
		    is_constant(spa, level_size(level)) ? CONSTANT : DATA);
		spa += level_size(level);
	}
}

static void map_image(const char *from, const char *to, uint64_t flags)
{
	for (; from < to; from += PAGE_SIZE) {
		map((uintptr_t)from, image_base + (from - image_start), 0, flags);
	}
}

static void load(void)
{
	reach = paging_load(top.v);
}

void paging_init(const struct handoff *handoff)
{
	uint64_t spn, pages;

	top = table_alloc();
	image_base = handoff->image_base;
	map_image(image_start, image_text_end, CODE);
	map_image(image_text_end, image_rodata_end, CONSTANT);
	map_image(image_rodata_end, image_end, DATA);
	for (uint32_t i = 0; memory_range(i, &spn, &pages); i++) {
		map_ram(spn << PAGE_SHIFT, (spn + pages) << PAGE_SHIFT, paging_max_level());
	}
	load();
}

uint64_t paging_cr3(void)
{
	return top.v;
}

volatile void *paging_map_device(spa_t spa)
{
	uint64_t va = HV_DEVICE_MAP + device_count * PAGE_SIZE;

	CHECK(device_count < 512);
	device_count++;
	map(va, spa.v, 0, DATA | PT_UNCACHED);
	return (volatile void *)va;
}

void *paging_map_stack(unsigned int pages)
{
	uint64_t va = (stack_end + pages * PAGE_SIZE - 1) & ~(uint64_t)(pages * PAGE_SIZE - 1);

	for (unsigned int i = 1; i < pages; i++) {
		map(va + i * PAGE_SIZE, table_alloc().v, 0, DATA);
	}
	stack_end = va + pages * PAGE_SIZE;
	return (void *)va;
}

void paging_make_guard(const void *page)
{
	CHECK(!((uintptr_t)page & PAGE_MASK) && (const char *)page >= image_rodata_end &&
	      (const char *)page < image_end);
	*entry_of((uintptr_t)page, 0) = 0;
	load();
}

void paging_identity_map(spa_t spa)
{
	map(spa.v, spa.v, 0, CODE);
	load();
}

void paging_identity_unmap(void)
{
	*table_at(top.v) = 0;
	load();
}
