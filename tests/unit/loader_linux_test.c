/*
 * Tests of loader/linux.c: what it refuses, what it writes, and that the moves of a plan never
 * destroy what is still needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "loader/linux.h"

#define SETUP_AT  0x1f1
#define FILE_SIZE (5 * 512 + 4096)
#define MACHINE   (96u << 20)

static uint8_t file[FILE_SIZE];

static struct linux_setup *setup_of(uint8_t *kernel)
{
	return (struct linux_setup *)(kernel + SETUP_AT);
}

static void make_kernel(void)
{
	struct linux_setup *s = setup_of(file);

	memset(file, 0, sizeof(file));
	s->setup_sects = 4;
	s->syssize = 4096 / 16;
	s->boot_flag = SETUP_BOOT_FLAG;
	s->jump_distance = 0x6a;
	s->magic = SETUP_MAGIC;
	s->version = 0x020f;
	s->loadflags = SETUP_LOADED_HIGH;
	s->initrd_addr_max = 0x7fffffff;
	s->kernel_alignment = 0x200000;
	s->relocatable_kernel = 1;
	s->cmdline_size = 2047;
	s->pref_address = 0x1000000;
	s->init_size = 0x800000;
}

static void test_parse(void **state)
{
	struct linux_kernel kernel;

	(void)state;
	make_kernel();
	assert_true(linux_is(file, sizeof(file)));
	assert_null(linux_parse(file, sizeof(file), &kernel));
	assert_int_equal(kernel.payload_offset, 5 * 512);
	assert_int_equal(kernel.payload_size, 4096);
	assert_int_equal(kernel.space, 0x800000);
	/* The header counts in 16 bytes and rounds up. */
	assert_null(linux_parse(file, sizeof(file) - 15, &kernel));
	assert_int_equal(kernel.payload_size, 4096 - 15);
}

static void assert_refused(const char *why, uint32_t size)
{
	struct linux_kernel kernel;
	const char *wrong = linux_parse(file, size, &kernel);

	assert_non_null(wrong);
	assert_non_null(strstr(wrong, why));
}

static void test_refuses(void **state)
{
	(void)state;
	make_kernel();
	assert_refused("not a Linux", 0x200);
	assert_refused("cut short", sizeof(file) - 16);
	assert_refused("cut short", 5 * 512);
	setup_of(file)->version = 0x0209;
	assert_refused("too old", sizeof(file));
	make_kernel();
	setup_of(file)->loadflags = 0;
	assert_refused("too old", sizeof(file));
	make_kernel();
	setup_of(file)->kernel_alignment = 0x300000;
	assert_refused("malformed", sizeof(file));
	make_kernel();
	setup_of(file)->init_size = 0x80000000;
	assert_refused("malformed", sizeof(file));
	make_kernel();
	setup_of(file)->pref_address = 1ull << 32;
	assert_refused("malformed", sizeof(file));
	make_kernel();
	setup_of(file)->syssize = 0x10000001; /* times 16 it is small again in 32 bits */
	assert_refused("cut short", sizeof(file));
	make_kernel();
	setup_of(file)->magic++;
	assert_false(linux_is(file, sizeof(file)));
}

static void test_params(void **state)
{
	static struct linux_params params;
	static struct ranges map;
	struct linux_kernel kernel;
	struct root_params root = {
		.kernel_base = 0x1000000,
		.initrd = {0x5000000, 1234},
		.cmdline = 0x11000,
		.acpi_rsdp = 0xf5a00,
		.map = &map,
		.screen = {.lines = 25},
		.efi = {.signature = EFI_LOADER_64},
	};

	(void)state;
	make_kernel();
	assert_null(linux_parse(file, sizeof(file), &kernel));
	map.count = 0;
	ranges_add(&map, 0, 0x9f000, RANGE_RAM);
	ranges_add(&map, 0x100000, 0x1000, RANGE_ACPI);
	memset(&params, 0xff, sizeof(params));
	assert_true(linux_fill_params(&params, &kernel, &root));
	assert_int_equal(((uint8_t *)&params)[0x1ef], 0); /* the sentinel */
	assert_int_equal(params.setup.magic, SETUP_MAGIC);
	assert_int_equal(params.setup.init_size, 0x800000);
	assert_int_equal(params.setup.type_of_loader, LOADER_TYPE_OTHER);
	assert_int_equal(params.setup.code32_start, 0x1000000);
	assert_int_equal(params.setup.ramdisk_image, 0x5000000);
	assert_int_equal(params.setup.ramdisk_size, 1234);
	assert_int_equal(params.setup.cmd_line_ptr, 0x11000);
	assert_int_equal(params.acpi_rsdp, 0xf5a00);
	assert_int_equal(params.screen.lines, 25);
	assert_int_equal(params.efi.signature, EFI_LOADER_64);
	assert_int_equal(params.e820_count, 2);
	assert_int_equal(params.e820[1].base, 0x100000);
	assert_int_equal(params.e820[1].type, RANGE_ACPI);
}

static void test_params_too_many_ranges(void **state)
{
	static struct linux_params params;
	static struct ranges map;
	struct linux_kernel kernel = {0};
	struct root_params root = {.map = &map};

	(void)state;
	map.count = 0;
	for (uint32_t i = 0; i < BOOT_E820_MAX; i++) {
		ranges_add(&map, i * 0x2000, 0x1000, RANGE_RAM);
	}
	assert_true(linux_fill_params(&params, &kernel, &root));
	ranges_add(&map, 0x10000000, 0x1000, RANGE_RAM);
	assert_false(linux_fill_params(&params, &kernel, &root));
}

/* A header that ends early leaves the fields behind its end zero. */
static void test_params_short_header(void **state)
{
	static struct linux_params params;
	static struct ranges map;
	struct linux_kernel kernel;
	struct root_params root = {.map = &map};

	(void)state;
	make_kernel();
	setup_of(file)->jump_distance = 0x0a;
	assert_null(linux_parse(file, sizeof(file), &kernel));
	assert_true(linux_fill_params(&params, &kernel, &root));
	assert_int_equal(params.setup.magic, SETUP_MAGIC);
	assert_int_equal(params.setup.init_size, 0);
}

struct machine {
	struct ranges map, taken;
	struct root_files files;
	struct linux_kernel kernel;
};

static void make_machine(struct machine *m)
{
	memset(m, 0, sizeof(*m));
	ranges_add(&m->map, 0, 0x9f000, RANGE_RAM);
	ranges_add(&m->map, 0x100000, MACHINE - 0x100000, RANGE_RAM);
	ranges_add(&m->taken, 0x100000, 0x40000, RANGE_RESERVED);
	make_kernel();
	linux_parse(file, sizeof(file), &m->kernel);
	m->files.data_size = 3 * PAGE;
}

static bool apart(struct span a, struct span b)
{
	return a.size == 0 || b.size == 0 || a.base + a.size <= b.base || b.base + b.size <= a.base;
}

static void assert_plan_is_sound(const struct machine *m, const struct root_plan *p)
{
	struct span parts[] = {p->kernel, p->initrd, p->data};

	for (int i = 0; i < 3; i++) {
		assert_true(parts[i].size == 0 ||
			    ranges_are_ram(&m->map, parts[i].base, parts[i].size));
		assert_true(parts[i].size == 0 ||
			    !ranges_overlap(&m->taken, parts[i].base, parts[i].size));
		for (int j = 0; j < i; j++) {
			assert_true(apart(parts[i], parts[j]));
		}
	}
	assert_int_equal(p->data.base % PAGE, 0);
	assert_int_equal(p->kernel.base % 0x200000, 0);
	assert_true(p->kernel.base >= 0x1000000);
	assert_true(p->initrd.size == 0 || p->initrd.base + p->initrd.size - 1u <= 0x7fffffff);
}

static void test_plan_leaves_initrd(void **state)
{
	static struct machine m;
	struct root_plan plan;

	(void)state;
	make_machine(&m);
	m.files.kernel = (struct span){0x200000, 0x400000};
	m.files.initrd = (struct span){0x600000, 0x100000};
	assert_null(linux_plan(&m.map, &m.taken, &m.kernel, &m.files, &plan));
	assert_plan_is_sound(&m, &plan);
	assert_int_equal(plan.kernel.base, 0x1000000);
	assert_int_equal(plan.initrd.base, 0x600000);
}

static void test_plan_moves_initrd(void **state)
{
	static struct machine m;
	struct root_plan plan;

	(void)state;
	make_machine(&m);
	m.files.kernel = (struct span){0x200000, 0x400000};
	m.files.initrd = (struct span){0x1400000, 0x1000000};
	assert_null(linux_plan(&m.map, &m.taken, &m.kernel, &m.files, &plan));
	assert_plan_is_sound(&m, &plan);
	assert_int_equal(plan.initrd.base, MACHINE - 0x1000000);
	/* An initrd that lies beyond what the kernel can reach moves as well. */
	make_machine(&m);
	m.kernel.setup.initrd_addr_max = 0x3ffffff;
	m.files.initrd = (struct span){0x5000000, 0x100000};
	assert_null(linux_plan(&m.map, &m.taken, &m.kernel, &m.files, &plan));
	assert_int_equal(plan.initrd.base, 0x3f00000);
}

static void test_plan_kernel_elsewhere(void **state)
{
	static struct machine m;
	struct root_plan plan;

	(void)state;
	make_machine(&m);
	ranges_add(&m.taken, 0x1100000, 0x1000, RANGE_RESERVED);
	assert_null(linux_plan(&m.map, &m.taken, &m.kernel, &m.files, &plan));
	assert_int_equal(plan.kernel.base, 0x1200000);
	m.kernel.setup.relocatable_kernel = 0;
	assert_non_null(strstr(linux_plan(&m.map, &m.taken, &m.kernel, &m.files, &plan), "kernel"));
}

static void test_plan_too_little(void **state)
{
	static struct machine m;
	struct root_plan plan;

	(void)state;
	make_machine(&m);
	m.files.initrd = (struct span){0x200000, MACHINE};
	assert_non_null(strstr(linux_plan(&m.map, &m.taken, &m.kernel, &m.files, &plan), "initrd"));
	/* The data goes elsewhere when low memory is full, and nowhere when all is. */
	make_machine(&m);
	ranges_add(&m.taken, 0x1000, 0x9e000, RANGE_RESERVED);
	assert_null(linux_plan(&m.map, &m.taken, &m.kernel, &m.files, &plan));
	assert_int_equal(plan.data.base, 0x140000);
	ranges_add(&m.taken, 0x140000, MACHINE, RANGE_RESERVED);
	assert_non_null(strstr(linux_plan(&m.map, &m.taken, &m.kernel, &m.files, &plan),
			       "boot parameters"));
}

static uint32_t some(uint32_t most)
{
	return (uint32_t)rand() % most;
}

/* The moves of a plan, in memory that holds a pattern for each file: both must arrive whole. */
static void carry_out(const struct machine *m, const struct root_plan *p, uint8_t *memory)
{
	const struct span *k = &m->files.kernel, *i = &m->files.initrd;

	memset(memory + k->base, 'k', k->size);
	memset(memory + i->base, 'i', i->size);
	if (i->size) {
		memory[i->base] = 'I';
	}
	memmove(memory + p->initrd.base, memory + i->base, p->initrd.size);
	memmove(memory + p->kernel.base, memory + k->base + 512, k->size - 512);
	memset(memory + p->data.base, 'd', p->data.size);
	for (uint32_t n = 0; n < k->size - 512; n++) {
		assert_int_equal(memory[p->kernel.base + n], 'k');
	}
	for (uint32_t n = 0; n < i->size; n++) {
		assert_int_equal(memory[p->initrd.base + n], n ? 'i' : 'I');
	}
}

static void test_plans_random(void **state)
{
	static uint8_t memory[MACHINE];
	static struct machine m;
	struct root_plan plan;
	int carried = 0;

	(void)state;
	srand(2);
	for (int round = 0; round < 500; round++) {
		make_machine(&m);
		ranges_add(&m.taken, some(MACHINE / PAGE) * PAGE, (1 + some(200)) * PAGE,
			   RANGE_RESERVED);
		m.files.kernel.size = PAGE * (1 + some(0x80));
		m.files.kernel.base = some((MACHINE - m.files.kernel.size) / PAGE) * PAGE;
		if (round % 3 == 0) { /* in low memory */
			m.files.kernel.base = (8 + some(0x10)) * PAGE;
		}
		if (round % 3 == 1) { /* where an initrd would go */
			m.files.kernel.base = MACHINE - m.files.kernel.size - some(0x100) * PAGE;
		}
		m.files.initrd = (struct span){0x140000 + some(0x5000) * PAGE, 1 + some(0x100000)};
		if (!apart(m.files.kernel, m.files.initrd) ||
		    ranges_overlap(&m.taken, m.files.kernel.base, m.files.kernel.size) ||
		    ranges_overlap(&m.taken, m.files.initrd.base, m.files.initrd.size)) {
			continue;
		}
		if (linux_plan(&m.map, &m.taken, &m.kernel, &m.files, &plan) != NULL) {
			continue;
		}
		assert_plan_is_sound(&m, &plan);
		carry_out(&m, &plan, memory);
		carried++;
	}
	assert_true(carried > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_params_too_many_ranges),
		cmocka_unit_test(test_params_short_header),
		cmocka_unit_test(test_plan_leaves_initrd),
		cmocka_unit_test(test_plan_moves_initrd),
		cmocka_unit_test(test_plan_kernel_elsewhere),
		cmocka_unit_test(test_plan_too_little),
		cmocka_unit_test(test_plans_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
