/*
 * The hypervisor's own page tables, built in memory of the test whose addresses play physical ones,
 * and walked here by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/memory.h"
#include "tlfs/plat.h"

#define MIB           (1ull << 20)
#define RESERVED_SIZE (4 * MIB)
#define IMAGE_PAGES   7 /* 3 of text, 2 of constants, 2 of data */
#define W             1u
#define X             2u
#define UC            4u

__asm__(".bss\n.balign 4096\n"
	".globl image_start, image_text_end, image_rodata_end, image_end\n"
	"image_start: .skip 3 * 4096\nimage_text_end: .skip 2 * 4096\nimage_rodata_end: .skip 2 * "
	"4096\nimage_end:\n.text\n");
extern char image_start[], image_text_end[], image_rodata_end[], image_end[];

struct plat_info plat_info;
static uint64_t top, loads;
static uint64_t reserved; /* "physical" */
static struct handoff handoff;

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s)\n", file, line, what);
	abort();
}

void memory_lock(void)
{
}

void memory_unlock(void)
{
}

uint64_t paging_load(uint64_t cr3)
{
	top = cr3;
	loads++;
	return 0;
}

/* The leaf for va: its address, or UINT64_MAX, and what it permits. AMD APM vol. 2, 5.3.3. */
static uint64_t translate(uint64_t va, unsigned int *rights, unsigned int *level)
{
	const uint64_t *table = (const uint64_t *)top;

	*rights = W | X;
	for (*level = 3;; --*level) {
		uint64_t entry = table[va >> (12 + 9 * *level) & 511],
			 size = 1ull << (12 + 9 * *level);

		if (!(entry & 1)) {
			return UINT64_MAX;
		}
		*rights &= (entry & 2 ? W : 0) | (entry >> 63 ? 0 : X);
		if (!*level || entry & 0x80) {
			*rights |= (entry & 0x18) == 0x18 ? UC : 0;
			return (entry & 0x000ffffffffff000ull & ~(size - 1)) + (va & (size - 1));
		}
		table = (const uint64_t *)(entry & 0x000ffffffffff000ull);
	}
}

static uint64_t at(uint64_t va, unsigned int rights)
{
	unsigned int found, level;
	uint64_t spa = translate(va, &found, &level);

	if (spa != UINT64_MAX) {
		assert_int_equal(found, rights);
	}
	return spa;
}

/* The reserved region is real memory, 2 MiB aligned; the other ranges are never touched. */
static int boot(void **state)
{
	char *memory = mmap(NULL, RESERVED_SIZE + 2 * MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(memory, MAP_FAILED);
	reserved = ((uintptr_t)memory + 2 * MIB - 1) & ~(2 * MIB - 1);
	memset(&handoff, 0, sizeof(handoff));
	handoff.range_count = 3;
	handoff.ranges[0] = (struct handoff_range){.base = 0, .size = 0x9f000, .type = 1};
	handoff.ranges[1] =
		(struct handoff_range){.base = MIB, .size = 3000 * MIB + 0x5000, .type = 1};
	handoff.ranges[2] =
		(struct handoff_range){.base = reserved, .size = RESERVED_SIZE, .type = 1};
	handoff.reserved_base = handoff.image_base = reserved;
	handoff.reserved_size = RESERVED_SIZE;
	handoff.free_base = reserved + 2 * MIB;
	memory_boot(&handoff);
	paging_init(&handoff);
	return 0;
}

static void test_image_sections(void **state)
{
	static const unsigned int rights[IMAGE_PAGES] = {X, X, X, 0, 0, W, W};

	(void)state;
	assert_int_equal(image_end - image_start, IMAGE_PAGES * PAGE_SIZE);
	for (unsigned int i = 0; i < IMAGE_PAGES; i++) {
		assert_int_equal(at((uintptr_t)image_start + i * PAGE_SIZE, rights[i]),
				 reserved + i * PAGE_SIZE);
	}
	assert_int_equal(at((uintptr_t)image_end, 0), UINT64_MAX);
	assert_int_equal(at((uintptr_t)image_start - 1, 0), UINT64_MAX);
}

/*
 * All RAM and nothing else, never executable; the image's text and constants not writable there
 * either.
 */
static void test_direct_map(void **state)
{
	uint64_t spn, pages;

	(void)state;
	for (uint32_t i = 0; memory_range(i, &spn, &pages); i++) {
		for (uint64_t spa = spn << 12; spa < (spn + pages) << 12; spa += PAGE_SIZE) {
			bool constant = spa >= reserved && spa < reserved + 5 * PAGE_SIZE;

			assert_int_equal(at(HV_DIRECT_MAP + spa, constant ? 0 : W), spa);
		}
		assert_int_equal(at(HV_DIRECT_MAP + ((spn + pages) << 12), 0), UINT64_MAX);
	}
	assert_int_equal(at(HV_DIRECT_MAP + 0x9f000, 0), UINT64_MAX);
	assert_int_equal(at(HV_DIRECT_MAP + 0xfee00000, 0), UINT64_MAX);
}

static void test_direct_map_has_large_pages(void **state)
{
	unsigned int rights, level;

	(void)state;
	translate(HV_DIRECT_MAP + 2 * MIB, &rights, &level);
	assert_int_equal(level, 1);
	translate(HV_DIRECT_MAP + 1024 * MIB, &rights, &level);
	assert_int_equal(level, paging_max_level());
	translate(HV_DIRECT_MAP + 0x1000, &rights, &level);
	assert_int_equal(level, 0);
}

/* Nothing below the higher half is left of the loader's map. */
static void test_no_identity_map(void **state)
{
	(void)state;
	for (uint64_t va = 0; va < 4096 * MIB; va += 2 * MIB) {
		assert_int_equal(at(va, 0), UINT64_MAX);
	}
	assert_int_equal(at(reserved, 0), UINT64_MAX);
}

static void test_identity_page(void **state)
{
	uint64_t before = loads;

	(void)state;
	paging_identity_map((spa_t){0x8000});
	assert_int_equal(at(0x8000, X), 0x8000);
	assert_int_equal(at(0x9000, 0), UINT64_MAX);
	paging_identity_unmap();
	assert_int_equal(at(0x8000, 0), UINT64_MAX);
	assert_int_equal(loads, before + 2);
}

static void test_devices(void **state)
{
	uint64_t first = (uintptr_t)paging_map_device((spa_t){0xfee00000});
	uint64_t second = (uintptr_t)paging_map_device((spa_t){0xfed80000});

	(void)state;
	assert_int_equal(at(first, W | UC), 0xfee00000);
	assert_int_equal(at(second, W | UC), 0xfed80000);
}

static void test_guard(void **state)
{
	uint64_t before = loads;

	(void)state;
	paging_make_guard(image_rodata_end);
	assert_int_equal(at((uintptr_t)image_rodata_end, 0), UINT64_MAX);
	assert_int_equal(at((uintptr_t)image_rodata_end + PAGE_SIZE, W), reserved + 6 * PAGE_SIZE);
	assert_int_equal(loads, before + 1); /* the old translation is forgotten */
}

static void test_pointers(void **state)
{
	(void)state;
	assert_int_equal((uintptr_t)plat_spa_ptr((spa_t){0x123456}), HV_DIRECT_MAP + 0x123456);
	assert_int_equal(plat_ptr_spa(plat_spa_ptr((spa_t){0x123000})).v, 0x123000);
	assert_int_equal(paging_cr3(), top);
}

#define TEST(f) cmocka_unit_test_setup(f, boot)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_image_sections),
		TEST(test_direct_map),
		TEST(test_direct_map_has_large_pages),
		TEST(test_no_identity_map),
		TEST(test_identity_page),
		TEST(test_devices),
		TEST(test_guard),
		TEST(test_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
