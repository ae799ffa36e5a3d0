/*
 * worker/identity.c: which generation ID a guest sees, with firmware and without, from its start
 * over a saved state to its next host; and when it is told that it is another one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "lib/state.h"
#include "tests/fake/backend.h"
#include "worker/machine.h"
#include "worker/say.h"

#define MIB (1ull << 20)
#define ID  16

static unsigned int told; /* how often the guest was */

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

void say(const char *format, ...)
{
	fail_msg("%s", format);
}

void board_generation_changed(struct board *board)
{
	(void)board;
	told++;
}

static const uint8_t *of_board;

void board_add_generation(struct board *board, uint8_t *page)
{
	(void)board;
	of_board = page;
}

/* A machine at its start. */
struct box {
	struct config config;
	struct machine machine;
};

static void start(struct box *box, unsigned int generation, const uint8_t *id)
{
	memset(box, 0, sizeof(*box));
	box->config.name = "box";
	box->config.vps = 1;
	box->config.memory = 8 * MIB;
	box->config.generation = generation;
	if (id != NULL) {
		memcpy(box->config.generation_id, id, ID);
	}
	box->machine.config = &box->config;
	assert_int_equal(memory_create(&box->machine.memory, 8 * MIB, 8 * MIB, false), 0);
	assert_true(identity_create(&box->machine));
	if (generation != 0) {
		assert_true(identity_attach(&box->machine));
		assert_ptr_equal(of_board, box->machine.generation_page);
	} else {
		assert_true(identity_write(&box->machine));
	}
	told = 0;
}

static void end(struct box *box)
{
	assert_int_equal(box->machine.memory.users[ACPI_GENERATION_GPA / MEMORY_PAGE], 0);
	if (box->machine.generation_page != NULL) {
		munmap(box->machine.generation_page, BOARD_GENERATION_PAGE);
	}
	memory_destroy(&box->machine.memory);
}

/* What the guest finds where it is told to look. */
static void look(struct box *box, uint8_t id[ID])
{
	if (box->config.generation != 0) {
		memcpy(id, of_board, ID);
	} else {
		assert_true(memory_get(&box->machine.memory, ACPI_GENERATION_GPA, id, ID));
	}
}

static void expect_id(struct box *box, const uint8_t id[ID])
{
	uint8_t seen[ID];

	look(box, seen);
	assert_memory_equal(seen, id, ID);
	assert_memory_equal(box->machine.generation_id, id, ID);
}

static const uint8_t first[ID] = {1, 2, [15] = 16}, second[ID] = {3, [15] = 17};

/* It is the configuration's, or nobody's: another one each time. */
static void at_a_start(unsigned int generation)
{
	struct box a, b;
	uint8_t seen[ID];

	start(&a, generation, first);
	expect_id(&a, first);
	end(&a);
	start(&a, generation, NULL);
	look(&a, seen);
	expect_id(&a, seen);
	start(&b, generation, NULL);
	expect_id(&b, b.machine.generation_id);
	assert_memory_not_equal(b.machine.generation_id, seen, ID);
	end(&a);
	end(&b);
}

static void asked_for(unsigned int generation)
{
	struct box box;
	uint8_t seen[ID];

	start(&box, generation, first);
	assert_int_equal(identity_renew(&box.machine), 0);
	assert_int_equal(told, 1);
	look(&box, seen);
	expect_id(&box, seen);
	assert_memory_not_equal(seen, first, ID);
	assert_int_equal(identity_renew(&box.machine), 0);
	assert_int_equal(told, 2);
	assert_memory_not_equal(box.machine.generation_id, seen, ID);
	end(&box);
}

/* What a guest has seen comes along: in its memory, or as a part. */
static void carry(struct box *from, struct box *to)
{
	uint8_t bytes[256], seen[ID];
	struct state_writer writer = state_writer(bytes, sizeof(bytes));
	struct state_fault fault;
	struct state_reader list;

	identity_save(&from->machine, &writer);
	assert_true(state_fits(&writer));
	assert_int_equal(writer.used > 0, from->config.generation != 0);
	if (from->config.generation == 0) {
		look(from, seen);
		assert_true(memory_put(&to->machine.memory, ACPI_GENERATION_GPA, seen, ID));
	}
	list = state_reader(bytes, writer.used, &fault);
	assert_int_equal(identity_load(&to->machine, &list), 0);
	state_finish(&list);
	assert_true(state_ok(&list));
}

/* A state may be gone on with twice: its guest is told, unless the configuration says that it is
 * the same. */
static void restored(unsigned int generation)
{
	struct box from, to;

	start(&from, generation, first);
	start(&to, generation, second);
	carry(&from, &to);
	assert_int_equal(identity_restored(&to.machine), 0);
	expect_id(&to, second);
	assert_int_equal(told, 1);
	end(&to);
	start(&to, generation, first);
	carry(&from, &to);
	assert_int_equal(identity_restored(&to.machine), 0);
	expect_id(&to, first);
	assert_int_equal(told, 0);
	end(&from);
	end(&to);
}

/* What was moved is no copy. What its next state has, and where that goes on, is what the guest has
 * seen. */
static void moved(unsigned int generation)
{
	struct box from, to, third;

	start(&from, generation, first);
	start(&to, generation, NULL);
	carry(&from, &to);
	assert_int_equal(identity_moved(&to.machine), 0);
	expect_id(&to, first);
	start(&third, generation, second);
	carry(&to, &third);
	assert_int_equal(identity_moved(&third.machine), 0);
	expect_id(&third, first);
	assert_int_equal(told, 0);
	end(&from);
	end(&to);
	end(&third);
}

static void without_firmware(void **state)
{
	(void)state;
	at_a_start(0);
	asked_for(0);
	restored(0);
	moved(0);
}

static void with_firmware(void **state)
{
	(void)state;
	at_a_start(2);
	asked_for(2);
	restored(2);
	moved(2);
}

/* A state of before there was the part: the guest knows nothing of it. One that is cut, or too
 * long, is none; and nothing of it is seen. */
static void parts_that_are_none(void **state)
{
	uint8_t bytes[256];
	struct state_fault fault;
	struct state_reader list;
	struct box box;
	size_t length, part;

	(void)state;
	start(&box, 2, first);
	list = state_reader(bytes, 0, &fault);
	assert_int_equal(identity_load(&box.machine, &list), 0);
	for (length = 0; length < 2 * ID; length++) {
		struct state_writer writer = state_writer(bytes, sizeof(bytes));

		part = state_begin(&writer, "genid", 1);
		for (size_t i = 0; i < length; i++) {
			state_put_u8(&writer, 0xee);
		}
		state_end(&writer, part);
		if (length != ID) {
			list = state_reader(bytes, writer.used, &fault);
			assert_int_equal(identity_load(&box.machine, &list), -EINVAL);
			expect_id(&box, first);
		}
	}
	assert_int_equal(told, 0);
	end(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_firmware),
		cmocka_unit_test(with_firmware),
		cmocka_unit_test(parts_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
