/* devices/bus.c: pieces of accesses, ranges that overlap and move, pages that guests reach
 * directly, and changes beside accesses. */
#include "tests/fake/board.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"

#define LOG_MAX 16

/* A device that remembers what it was asked; a read gives the offset's low byte in each byte. */
struct probe {
	struct {
		bool write;
		uint32_t offset;
		unsigned int size;
		uint64_t value;
	} log[LOG_MAX];
	unsigned int count;
	uint8_t tag; /* high half of each byte that is read */
};

static struct bus bus;
static struct probe one, other;

static void note(struct probe *probe, bool write, uint32_t offset, unsigned int size,
		 uint64_t value)
{
	assert_true(probe->count < LOG_MAX);
	probe->log[probe->count].write = write;
	probe->log[probe->count].offset = offset;
	probe->log[probe->count].size = size;
	probe->log[probe->count++].value = value;
}

static uint64_t probe_read(void *device, uint32_t offset, unsigned int size)
{
	struct probe *probe = device;
	uint64_t value = 0;
	unsigned int i;

	note(probe, false, offset, size, 0);
	for (i = 0; i < size; i++) {
		value |= (uint64_t)(((offset + i) & 0xf) | probe->tag) << 8 * i;
	}
	return value;
}

static void probe_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	note(device, true, offset, size, value);
}

static const struct device_class narrow = {
	.name = "narrow", .width = 1, .read = probe_read, .write = probe_write};
static const struct device_class middle = {
	.name = "middle", .width = 4, .read = probe_read, .write = probe_write};
static const struct device_class wide = {
	.name = "wide", .width = 8, .read = probe_read, .write = probe_write};

static struct bus_range range_of(uint64_t base, uint64_t length, const struct device_class *class,
				 struct probe *device)
{
	return (struct bus_range){.base = base,
				  .length = length,
				  .class = class,
				  .device = device,
				  .priority = BUS_PRIORITY_BOARD,
				  .enabled = true};
}

static void add(struct bus_range *range)
{
	assert_true(bus_add(&bus, range));
	bus_update(&bus);
}

static int setup(void **state)
{
	(void)state;
	fake_host_init(&home);
	bus_init(&bus, &home, BUS_MEMORY_SHIFT);
	one = (struct probe){.tag = 0x10};
	other = (struct probe){.tag = 0x20};
	return 0;
}

static void expect(const struct probe *probe, unsigned int at, bool write, uint32_t offset,
		   unsigned int size, uint64_t value)
{
	assert_true(at < probe->count);
	assert_int_equal(probe->log[at].write, write);
	assert_int_equal(probe->log[at].offset, offset);
	assert_int_equal(probe->log[at].size, size);
	assert_true(probe->log[at].value == value);
}

static void sizes_are_the_classs(void **state)
{
	struct bus_range a = range_of(0x1000, 16, &wide, &one);
	struct bus_range b = range_of(0x2000, 16, &middle, &other);

	(void)state;
	add(&a);
	add(&b);
	assert_true(bus_read(&bus, 0x1000, 8) == 0x1716151413121110);
	assert_int_equal(one.count, 1);
	bus_write(&bus, 0x1008, 8, 0x1122334455667788);
	expect(&one, 1, true, 8, 8, 0x1122334455667788);
	assert_true(bus_read(&bus, 0x2000, 8) == 0x2726252423222120);
	expect(&other, 0, false, 0, 4, 0);
	expect(&other, 1, false, 4, 4, 0);
	bus_write(&bus, 0x2001, 8, 0x1122334455667788);
	expect(&other, 2, true, 1, 4, 0x55667788);
	expect(&other, 3, true, 5, 4, 0x11223344);
}

/* 3, 5, 6 and 7 bytes are what is left of an access at a page's end. */
static void odd_sizes_are_split(void **state)
{
	struct bus_range a = range_of(0x1000, 16, &wide, &one);

	(void)state;
	add(&a);
	assert_true(bus_read(&bus, 0x1001, 7) == 0x17161514131211);
	expect(&one, 0, false, 1, 4, 0);
	expect(&one, 1, false, 5, 2, 0);
	expect(&one, 2, false, 7, 1, 0);
	one.count = 0;
	bus_write(&bus, 0x1000, 3, 0xffccbbaa);
	expect(&one, 0, true, 0, 2, 0xbbaa);
	expect(&one, 1, true, 2, 1, 0xcc);
	assert_int_equal(one.count, 2);
}

static void ends_are_where_they_are(void **state)
{
	struct bus_range a = range_of(0x1000, 6, &wide, &one);
	struct bus_range b = range_of(0x1006, 1, &narrow, &other);

	(void)state;
	add(&a);
	add(&b);
	assert_true(bus_read(&bus, 0x0ffe, 8) == 0x151413121110ffff);
	assert_true(bus_read(&bus, 0x1004, 8) == 0xffffffffff201514);
	assert_null(bus_find(&bus, 0x1007));
	assert_null(bus_find(&bus, 0xfff));
	assert_non_null(bus_find(&bus, 0x1006));
	bus_write(&bus, 0x1007, 8, 0); /* to nobody */
	assert_int_equal(other.count, 1);
}

static void the_last_address(void **state)
{
	struct bus_range a = range_of(UINT64_MAX - 7, 8, &wide, &one);
	struct bus_range over = range_of(UINT64_MAX - 7, 9, &wide, &one);
	struct bus_range none = range_of(0, 0, &wide, &one);

	(void)state;
	assert_false(bus_add(&bus, &over));
	assert_false(bus_add(&bus, &none));
	add(&a);
	assert_true(bus_read(&bus, UINT64_MAX - 7, 8) == 0x1716151413121110);
	assert_true(bus_claimed(&bus, UINT64_MAX, 1));
}

static void the_higher_priority_counts(void **state)
{
	struct bus_range bar = range_of(0x1000, 0x100, &middle, &one);
	struct bus_range fixed = range_of(0x1040, 0x10, &middle, &other);

	(void)state;
	bar.priority = BUS_PRIORITY_PCI;
	add(&bar);
	add(&fixed);
	assert_int_equal(bus.slice_count, 3);
	assert_int_equal(bus_read(&bus, 0x103c, 8), 0x232221201f1e1d1c);
	assert_int_equal(bus_read(&bus, 0x1050, 4), 0x13121110);
	expect(&one, 1, false, 0x50, 4, 0);
	fixed.enabled = false;
	assert_int_equal(bus_read(&bus, 0x1040, 1), 0x20); /* not before the update */
	bus_update(&bus);
	assert_int_equal(bus.slice_count, 1);
	assert_int_equal(bus_read(&bus, 0x1040, 1), 0x10);
}

static void of_equals_the_first(void **state)
{
	struct bus_range a = range_of(0x1000, 0x10, &middle, &one);
	struct bus_range b = range_of(0x1000, 0x20, &middle, &other);

	(void)state;
	add(&a);
	add(&b);
	assert_int_equal(bus_read(&bus, 0x1000, 1), 0x10);
	assert_int_equal(bus_read(&bus, 0x1010, 1), 0x20);
	expect(&other, 0, false, 0x10, 1, 0);
}

static void moves(void **state)
{
	struct bus_range a = range_of(0x1000, 0x10, &middle, &one);

	(void)state;
	add(&a);
	a.base = 0x100000000;
	bus_update(&bus);
	assert_int_equal(bus_read(&bus, 0x1000, 4), 0xffffffff);
	assert_int_equal(bus_read(&bus, 0x100000004, 4), 0x17161514);
}

static void an_alias_shows_another_part(void **state)
{
	struct bus_range a = range_of(0x1000, 0x10, &middle, &one);
	struct bus_range b = range_of(0xf000, 4, &middle, &one);

	(void)state;
	b.offset = 8;
	add(&a);
	add(&b);
	assert_int_equal(bus_read(&bus, 0xf000, 4), bus_read(&bus, 0x1008, 4));
	expect(&one, 0, false, 8, 4, 0);
}

/* What is unclaimed is so without the lock; a mark that was set stays. */
static void marks(void **state)
{
	struct bus_range a = range_of(0xa0000, 0x20000, &middle, &one);

	(void)state;
	assert_false(bus_claimed(&bus, 0xa0000, 8));
	add(&a);
	assert_true(bus_claimed(&bus, 0xa0000, 1));
	assert_true(bus_claimed(&bus, 0xbffff, 1));
	assert_true(bus_claimed(&bus, 0x9fffc, 8));
	assert_false(bus_claimed(&bus, 0x9fff8, 8));
	assert_false(bus_claimed(&bus, 0xc0000, 8));
	a.base = 0xf8000000;
	bus_update(&bus);
	assert_true(bus_claimed(&bus, 0xf8010000, 1));
	assert_true(bus_claimed(&bus, 0xa0000, 1));
}

static void marks_of_ports(void **state)
{
	struct bus_range a = range_of(0x40, 4, &narrow, &one);
	struct bus_range b = range_of(0x7ffc, 0x8, &narrow, &one);
	unsigned int port, size;

	(void)state;
	bus_init(&bus, NULL, BUS_PORT_SHIFT);
	add(&a);
	add(&b);
	for (port = 0; port < 0x10000; port++) {
		for (size = 1; size <= 4; size *= 2) {
			bool there = (port < 0x44 && port + size > 0x40) ||
				     (port < 0x8004 && port + size > 0x7ffc);

			if (port + size <= 0x10000) {
				assert_int_equal(bus_claimed(&bus, port, size), there);
			}
		}
	}
}

static void there_is_an_end_of_ranges(void **state)
{
	static struct bus_range many[BUS_MAX_RANGES + 1];
	unsigned int i;

	(void)state;
	for (i = 0; i < BUS_MAX_RANGES; i++) {
		/* Every one of them cuts the one below it in two. */
		many[i] = range_of(0x1000 + i, 0x1000 - 2 * i, &narrow, &one);
		many[i].priority = BUS_PRIORITY_PCI;
	}
	for (i = BUS_MAX_RANGES; i-- > 0;) {
		assert_true(bus_add(&bus, &many[i]));
	}
	bus_update(&bus);
	assert_int_equal(bus.slice_count, 2 * BUS_MAX_RANGES - 1);
	many[BUS_MAX_RANGES] = range_of(0, 1, &narrow, &one);
	assert_false(bus_add(&bus, &many[BUS_MAX_RANGES]));
}

/* Any ranges, anywhere: at each address the answer is that of a search through all of them. */
static void the_view_is_the_ranges(void **state)
{
	static struct bus_range many[12];
	static struct probe probes[12];
	unsigned int round, i;
	uint64_t at;

	(void)state;
	srand(1);
	for (i = 0; i < ARRAY_COUNT(many); i++) {
		many[i] = range_of(0, 1 + (uint64_t)rand() % 40, &narrow, &probes[i]);
		many[i].priority = (enum bus_priority)(rand() % 3);
		add(&many[i]);
	}
	for (round = 0; round < 2000; round++) {
		struct bus_range *changed = &many[rand() % 12];

		changed->base = (uint64_t)rand() % 100;
		changed->enabled = rand() % 4;
		bus_update(&bus);
		for (at = 0; at < 150; at++) {
			const struct bus_slice *slice = bus_find(&bus, at);
			const struct bus_range *best = NULL;

			for (i = 0; i < ARRAY_COUNT(many); i++) {
				if (many[i].enabled && at - many[i].base < many[i].length &&
				    (best == NULL || many[i].priority > best->priority)) {
					best = &many[i];
				}
			}
			assert_ptr_equal(slice != NULL ? slice->range : NULL, best);
			if (slice != NULL) {
				assert_int_equal(slice->offset + (at - slice->base),
						 at - best->base);
			}
		}
	}
}

/* ---- Pages ---- */

static _Alignas(4096) uint8_t pages[16 * 4096];

static struct bus_range pages_at(uint64_t base, uint64_t length, enum bus_direct direct)
{
	return (struct bus_range){.base = base,
				  .length = length,
				  .pages = pages,
				  .priority = BUS_PRIORITY_BOARD,
				  .direct = direct,
				  .enabled = true};
}

static bool mapped(uint64_t gpa, const uint8_t *at, uint64_t length, bool writable)
{
	unsigned int i;

	for (i = 0; i < FAKE_MAPPINGS; i++) {
		if (home.mappings[i].length == length && home.mappings[i].gpa == gpa &&
		    home.mappings[i].pages == at && home.mappings[i].writable == writable) {
			return true;
		}
	}
	return false;
}

static void the_home_maps_pages(void **state)
{
	struct bus_range a = pages_at(0xf8000000, sizeof(pages), BUS_DIRECT_WRITE);

	(void)state;
	add(&a);
	assert_true(mapped(0xf8000000, pages, sizeof(pages), true));
	bus_update(&bus);
	assert_int_equal(home.map_count, 1);
	a.base = 0xe0000000;
	bus_update(&bus);
	assert_true(mapped(0xe0000000, pages, sizeof(pages), true));
	assert_int_equal(home.unmap_count, 1);
	a.enabled = false;
	bus_update(&bus);
	assert_int_equal(home.unmap_count, 2);
	assert_int_equal(home.map_count, 2);
}

static void pages_below_something_else(void **state)
{
	struct bus_range a = pages_at(0x10000, 0x8000, BUS_DIRECT_WRITE);
	struct bus_range b = range_of(0x13800, 0x10, &middle, &one);

	(void)state;
	a.priority = BUS_PRIORITY_PCI;
	add(&a);
	add(&b);
	assert_true(mapped(0x10000, pages, 0x3000, true));
	assert_true(mapped(0x14000, pages + 0x4000, 0x4000, true));
	assert_int_equal(home.map_count - home.unmap_count, 2);
	/* The page that they share is served here. */
	pages[0x3801 - 2] = 0x77;
	pages[0x3810] = 0x78;
	assert_int_equal(bus_read(&bus, 0x137fe, 4), 0x11107700);
	assert_int_equal(bus_read(&bus, 0x1380e, 4), 0x00781f1e);
	bus_write(&bus, 0x137fc, 8, 0x1122334455667788);
	assert_int_equal(memcmp(&pages[0x37fc], "\x88\x77\x66\x55", 4), 0);
	expect(&one, 2, true, 0, 4, 0x11223344);
	b.enabled = false;
	bus_update(&bus);
	assert_true(mapped(0x10000, pages, 0x8000, true));
	assert_int_equal(home.map_count - home.unmap_count, 1);
}

static void pages_that_cannot_be_mapped(void **state)
{
	struct bus_range a = pages_at(0x10000, 0x8000, BUS_DIRECT_WRITE);
	struct bus_range b = pages_at(0x20800, 0x8000, BUS_DIRECT_WRITE);

	(void)state;
	a.offset = 0x10;
	add(&a); /* not at the same place within a page */
	add(&b);
	assert_int_equal(home.map_count, 0);
	bus_write(&bus, 0x10000, 8, 0x1122334455667788);
	assert_int_equal(pages[0x10], 0x88);
	assert_int_equal(bus_read(&bus, 0x20810, 1), 0x88);
}

/* A ROM, with nobody who takes writes, and flash, which reads as memory until it is told
 * something. */
static void a_rom_and_flash(void **state)
{
	struct bus_range rom = pages_at(0x10000, 0x4000, BUS_DIRECT_READ);
	struct bus_range flash = pages_at(0x20000, 0x4000, BUS_DIRECT_READ);

	(void)state;
	memset(pages, 0xab, sizeof(pages));
	flash.class = &narrow;
	flash.device = &one;
	add(&rom);
	add(&flash);
	assert_true(mapped(0x10000, pages, 0x4000, false));
	assert_true(mapped(0x20000, pages, 0x4000, false));
	bus_write(&bus, 0x10000, 4, 0);
	assert_int_equal(bus_read(&bus, 0x10000, 4), 0xabababab);
	bus_write(&bus, 0x20000, 1, 0x70);
	expect(&one, 0, true, 0, 1, 0x70);
	flash.direct = BUS_DIRECT_NONE;
	bus_update(&bus);
	assert_false(mapped(0x20000, pages, 0x4000, false));
	assert_int_equal(bus_read(&bus, 0x20002, 1), 0x12);
	flash.direct = BUS_DIRECT_READ;
	bus_update(&bus);
	assert_true(mapped(0x20000, pages, 0x4000, false));
	assert_int_equal(home.unmap_count, 1);
}

/* 0xF0000 is RAM or the ROM that lies below it, as the chip set is told; the ROM has a second
 * place. */
static void shadow(void **state)
{
	struct bus_range rom = pages_at(0xfffc0000, 0x4000, BUS_DIRECT_READ);
	struct bus_range low = pages_at(0xf0000, 0x1000, BUS_DIRECT_READ);
	struct bus_range ram = pages_at(0xf0000, 0x1000, BUS_DIRECT_WRITE);

	(void)state;
	memset(pages, 0, sizeof(pages));
	low.offset = 0x3000;
	ram.pages += 0x8000;
	ram.priority = BUS_PRIORITY_RAM;
	ram.enabled = false;
	pages[0x3ff0] = 0xea;
	add(&rom);
	add(&low);
	add(&ram);
	assert_int_equal(bus_read(&bus, 0xf0ff0, 1), 0xea);
	assert_int_equal(bus_read(&bus, 0xfffc3ff0, 1), 0xea);
	assert_true(mapped(0xf0000, pages + 0x3000, 0x1000, false));
	ram.enabled = true;
	bus_update(&bus);
	assert_true(mapped(0xf0000, pages + 0x8000, 0x1000, true));
	bus_write(&bus, 0xf0ff0, 1, 0x11);
	ram.direct = BUS_DIRECT_READ;
	bus_update(&bus);
	assert_true(mapped(0xf0000, pages + 0x8000, 0x1000, false));
	bus_write(&bus, 0xf0ff0, 1, 0x22);
	assert_int_equal(bus_read(&bus, 0xf0ff0, 1), 0x11);
	assert_int_equal(pages[0x3ff0], 0xea);
}

/* A partition that was made anew has nothing mapped. */
static void all_is_mapped_again(void **state)
{
	struct bus_range a = pages_at(0x10000, 0x4000, BUS_DIRECT_READ);

	(void)state;
	add(&a);
	memset(home.mappings, 0, sizeof(home.mappings));
	bus_map(&bus);
	assert_true(mapped(0x10000, pages, 0x4000, false));
}

/* ---- Beside accesses ---- */

#define PLACES 64
#define MOVES  20000

static uint64_t here_read(void *device, uint32_t offset, unsigned int size)
{
	(void)device, (void)size;
	return offset == 0 ? 0x33221100 : 0;
}

static void here_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	(void)device, (void)offset, (void)size, (void)value;
}

static const struct device_class here = {
	.name = "here", .width = 4, .read = here_read, .write = here_write};
static struct bus_range moving = {
	.base = 0x5000, .length = 4, .class = &here, .priority = BUS_PRIORITY_PCI, .enabled = true};
static atomic_uint begun, done; /* moves */

static void *mover(void *unused)
{
	unsigned int i;

	(void)unused;
	for (i = 1; i <= MOVES; i++) {
		atomic_store(&begun, i);
		pthread_mutex_lock(&board.lock);
		moving.base = 0x5000 + 4 * (i % PLACES);
		bus_update(&board.ports);
		pthread_mutex_unlock(&board.lock);
		atomic_store(&done, i);
	}
	return NULL;
}

/*
 * Each read finds the device whole or not at all, and finds it where the last move that was over
 * before the read put it, unless another one had begun.
 */
static void accesses_beside_moves(void **state)
{
	unsigned int over = 0;
	pthread_t thread;

	(void)state;
	assert_true(bus_add(&board.ports, &moving));
	bus_update(&board.ports);
	assert_int_equal(pthread_create(&thread, NULL, mover, NULL), 0);
	while (over < MOVES) {
		uint32_t there, before, after;

		over = atomic_load(&done);
		there = in((uint16_t)(0x5000 + 4 * (over % PLACES)), 4);
		before = in((uint16_t)(0x5000 + 4 * ((over + PLACES - 1) % PLACES)), 4);
		after = atomic_load(&begun);
		assert_true(there == 0x33221100 || there == 0xffffffff);
		assert_true(before == 0x33221100 || before == 0xffffffff);
		if (after == over) {
			assert_int_equal(there, 0x33221100);
			assert_int_equal(before, 0xffffffff);
		}
	}
	pthread_join(thread, NULL);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(sizes_are_the_classs),
		T(odd_sizes_are_split),
		T(ends_are_where_they_are),
		T(the_last_address),
		T(the_higher_priority_counts),
		T(of_equals_the_first),
		T(moves),
		T(an_alias_shows_another_part),
		T(marks),
		T(marks_of_ports),
		T(there_is_an_end_of_ranges),
		T(the_view_is_the_ranges),
		T(the_home_maps_pages),
		T(pages_below_something_else),
		T(pages_that_cannot_be_mapped),
		T(a_rom_and_flash),
		T(shadow),
		T(all_is_mapped_again),
		cmocka_unit_test_setup_teardown(accesses_beside_moves, board_setup, board_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
