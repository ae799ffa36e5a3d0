/*
 * Tests of loader/elf.c and loader/paging.c: which images are refused, what is loaded, and how it
 * is mapped.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "loader/elf.h"
#include "loader/paging.h"

#define CODE_AT    0x1000
#define DATA_AT    0x2000
#define FILE_SIZE  0x3000
#define DATA_VA    0x3000
#define IMAGE_BASE 0x7e00000u
#define TABLES     0x7e10000u

static uint8_t file[FILE_SIZE];

static Elf64_Ehdr *header(void)
{
	return (Elf64_Ehdr *)file;
}

static Elf64_Phdr *program(int n)
{
	return (Elf64_Phdr *)(file + sizeof(Elf64_Ehdr)) + n;
}

static struct hv_image_header *image_header(void)
{
	return (struct hv_image_header *)(file + CODE_AT);
}

/* Code of one page and a bit, then data of which the file has 16 bytes and memory two pages. */
static void make_image(void)
{
	memset(file, 0, sizeof(file));
	memcpy(header()->e_ident, ELFMAG, SELFMAG);
	header()->e_ident[EI_CLASS] = ELFCLASS64;
	header()->e_ident[EI_DATA] = ELFDATA2LSB;
	header()->e_type = ET_EXEC;
	header()->e_machine = EM_X86_64;
	header()->e_phoff = sizeof(Elf64_Ehdr);
	header()->e_phentsize = sizeof(Elf64_Phdr);
	header()->e_phnum = 3;
	*program(0) =
		(Elf64_Phdr){.p_type = PT_NOTE, .p_offset = 0x70000000, .p_filesz = 0x70000000};
	*program(1) = (Elf64_Phdr){.p_type = PT_LOAD,
				   .p_flags = PF_R | PF_X,
				   .p_offset = CODE_AT,
				   .p_vaddr = HV_IMAGE_VA,
				   .p_filesz = 0x1000,
				   .p_memsz = 0x1010};
	*program(2) = (Elf64_Phdr){.p_type = PT_LOAD,
				   .p_flags = PF_R | PF_W,
				   .p_offset = DATA_AT,
				   .p_vaddr = HV_IMAGE_VA + DATA_VA,
				   .p_filesz = 16,
				   .p_memsz = 0x1800};
	*image_header() =
		(struct hv_image_header){HV_IMAGE_MAGIC, HV_IMAGE_SVM, 0, HV_IMAGE_VA + 0x20};
	memset(file + DATA_AT, 0xdd, 0x100);
}

static void assert_refused(const char *why)
{
	struct image image;
	const char *wrong = elf_parse(file, sizeof(file), &image);

	assert_non_null(wrong);
	assert_non_null(strstr(wrong, why));
	make_image();
}

static void test_parse(void **state)
{
	struct image image;

	(void)state;
	make_image();
	assert_true(elf_is(file, sizeof(file)));
	assert_null(elf_parse(file, sizeof(file), &image));
	assert_int_equal(image.vendor, HV_IMAGE_SVM);
	assert_int_equal(image.entry, HV_IMAGE_VA + 0x20);
	assert_int_equal(image.size, 0x5000);
	assert_int_equal(image.segment_count, 2);
}

static void test_refuses_headers(void **state)
{
	struct image image;

	(void)state;
	make_image();
	header()->e_ident[EI_CLASS] = ELFCLASS32;
	assert_refused("64-bit");
	header()->e_type = ET_DYN;
	assert_refused("64-bit");
	header()->e_phentsize = 32;
	assert_refused("malformed");
	header()->e_phnum = 0;
	assert_refused("malformed");
	header()->e_phoff = UINT64_MAX - 8;
	assert_refused("cut short");
	header()->e_phoff = sizeof(file) - 2 * sizeof(Elf64_Phdr);
	assert_refused("cut short");
	image_header()->magic++;
	assert_refused("no hypervisor header");
	image_header()->vendor = 3;
	assert_refused("vendor");
	image_header()->entry = HV_IMAGE_VA + DATA_VA;
	assert_refused("entry");
	image_header()->entry = 0x1000;
	assert_refused("entry");
	assert_non_null(elf_parse(file, 10, &image));
	assert_non_null(elf_parse(file, CODE_AT + 8, &image));
}

static void test_refuses_segments(void **state)
{
	(void)state;
	make_image();
	program(1)->p_type = program(2)->p_type = PT_NOTE;
	assert_refused("no hypervisor header");
	program(1)->p_filesz = 16;
	assert_refused("no hypervisor header");
	program(2)->p_filesz = 0x1801;
	assert_refused("malformed");
	program(2)->p_offset = sizeof(file) - 15;
	assert_refused("cut short");
	program(2)->p_offset = UINT64_MAX - 7;
	assert_refused("cut short");
	program(2)->p_vaddr = HV_IMAGE_VA + 0x100f;
	assert_refused("out of order");
	program(1)->p_vaddr = HV_IMAGE_VA + 0x1000;
	assert_refused("out of order");
	program(1)->p_vaddr = 0x400000;
	assert_refused("not linked");
	program(2)->p_vaddr = HV_IMAGE_VA + IMAGE_SIZE_MAX;
	assert_refused("not linked");
	program(2)->p_memsz = UINT64_MAX - 0x1000;
	assert_refused("not linked");
}

static void test_refuses_many_segments(void **state)
{
	(void)state;
	make_image();
	header()->e_phnum = 2 + IMAGE_SEGMENTS_MAX;
	for (int i = 2; i < 2 + IMAGE_SEGMENTS_MAX; i++) {
		*program(i) = (Elf64_Phdr){.p_type = PT_LOAD,
					   .p_vaddr = HV_IMAGE_VA + 0x10000ull * (uint64_t)i,
					   .p_memsz = 1};
	}
	assert_refused("too many");
}

static void test_load(void **state)
{
	struct image image;
	uint8_t *memory;

	(void)state;
	make_image();
	assert_null(elf_parse(file, sizeof(file), &image));
	memory = malloc(image.size);
	memset(memory, 0xcc, image.size);
	elf_load(file, &image, memory);
	assert_memory_equal(memory, file + CODE_AT, 0x1000);
	assert_memory_equal(memory + DATA_VA, file + DATA_AT, 16);
	for (uint32_t i = 0x1000; i < DATA_VA; i++) {
		assert_int_equal(memory[i], 0);
	}
	for (uint32_t i = DATA_VA + 16; i < image.size; i++) {
		assert_int_equal(memory[i], 0);
	}
	free(memory);
}

/* A walk as the processor does it; the tables lie at TABLES. Returns the last entry and the size of
 * its page. */
static uint64_t walk(const uint64_t *tables, uint64_t address, uint64_t *page_size)
{
	const uint64_t *table = tables;

	for (unsigned int shift = 39;; shift -= 9) {
		uint64_t entry = table[address >> shift & 511];

		*page_size = 1ull << shift;
		if (!(entry & 1) || shift == 12 || (entry & 0x80)) {
			return entry;
		}
		table = tables + ((entry & 0xffffffffff000ull) - TABLES) / sizeof(*tables);
	}
}

static void test_paging(void **state)
{
	static const struct {
		uint64_t offset;
		uint64_t rights;
	} pages[] = {
		{0x0000, 0x1},
		{0x1000, 0x1},
		{0x2000, 0x1 | 1ull << 63},
		{0x3000, 0x3 | 1ull << 63},
		{0x4000, 0x3 | 1ull << 63},
		{0x5000, 0},
	};
	struct image image;
	uint64_t size, *tables;

	(void)state;
	make_image();
	assert_null(elf_parse(file, sizeof(file), &image));
	tables = calloc(1, paging_size(&image));
	paging_build(tables, TABLES, &image, IMAGE_BASE);
	for (uint64_t address = 0; address < 4 * 0x40000000ull; address += 0x200000) {
		assert_int_equal(walk(tables, address, &size), address | 0x83);
	}
	assert_int_equal(walk(tables, 4 * 0x40000000ull, &size), 0);
	for (int i = 0; i < 6; i++) {
		uint64_t want =
			pages[i].rights ? (IMAGE_BASE + pages[i].offset) | pages[i].rights : 0;

		assert_int_equal(walk(tables, HV_IMAGE_VA + pages[i].offset, &size), want);
		assert_int_equal(size, 4096);
	}
	free(tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refuses_headers),
		cmocka_unit_test(test_refuses_segments),
		cmocka_unit_test(test_refuses_many_segments),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_paging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
