/* Saved states: what is written reads back, and what is damaged is refused by the name of its
 * part. */
#include "lib/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static uint8_t bytes[256];
static size_t size;

/* vmbus 2 { u8, u16, bool, channel 1 { u32, 5 bytes }, channel 1 { u32, 5 bytes } }, last 1 {
 * u64 } */
static size_t write_all(void *to, size_t room)
{
	struct state_writer w = state_writer(to, room);
	size_t whole = state_begin(&w, "vmbus", 2), part;
	uint32_t i;

	state_put_u8(&w, 0x81);
	state_put_u16(&w, 0x8182);
	state_put_bool(&w, true);
	for (i = 0; i < 2; i++) {
		part = state_begin(&w, "channel", 1);
		state_put_u32(&w, 0x81828384 + i);
		state_put_bytes(&w, "relid", 5);
		state_end(&w, part);
	}
	state_end(&w, whole);
	part = state_begin(&w, "lastname", 1);
	state_put_u64(&w, 0x8182838485868788);
	state_end(&w, part);
	assert_int_equal(state_fits(&w), w.used <= room);
	return w.used;
}

static int start(void **state)
{
	(void)state;
	size = write_all(bytes, sizeof(bytes));
	return 0;
}

/* As the owner of such a state reads it. */
static bool read_all(const void *from, size_t length, struct state_fault *fault)
{
	struct state_reader all = state_reader(from, length, fault), part;
	struct state_reader whole = state_part(&all, "vmbus", 2), last;
	unsigned int count = 0;
	char text[5];

	if (state_u8(&whole) != 0x81 || state_u16(&whole) != 0x8182) {
		state_refuse(&whole, "has another number");
	}
	if (!state_bool(&whole)) {
		state_refuse(&whole, "has another number");
	}
	while (state_next_named(&whole, "channel", 1, &part)) {
		if (state_u32(&part) != 0x81828384 + count++) {
			state_refuse(&part, "has another number");
		}
		state_bytes(&part, text, sizeof(text));
		if (memcmp(text, "relid", sizeof(text)) != 0) {
			state_refuse(&part, "has another text");
		}
		state_finish(&part);
	}
	state_finish(&whole);
	last = state_part(&all, "lastname", 1);
	if (state_u64(&last) != 0x8182838485868788) {
		state_refuse(&last, "has another number");
	}
	state_finish(&last);
	state_finish(&all);
	return state_ok(&all);
}

static void test_what_is_written_reads_back(void **state)
{
	struct state_fault fault;

	(void)state;
	assert_true(read_all(bytes, size, &fault));
	assert_null(fault.what);
	assert_int_equal(size, 16 + 4 + 2 * (16 + 9) + 16 + 8);
}

static void test_layout(void **state)
{
	static const uint8_t head[] = {'v', 'm', 'b', 'u', 's', 0,   0,    0,    2,    0,
				       0,   0,   54,  0,   0,   0,   0x81, 0x82, 0x81, 1,
				       'c', 'h', 'a', 'n', 'n', 'e', 'l',  0,    1,    0,
				       0,   0,   9,   0,   0,   0,   0x84, 0x83, 0x82, 0x81};

	(void)state;
	assert_memory_equal(bytes, head, sizeof(head));
}

/* With less room the same is counted, and what fits is the same. */
static void test_size_is_counted(void **state)
{
	uint8_t less[256];
	size_t room;

	(void)state;
	assert_int_equal(write_all(NULL, 0), size);
	for (room = 0; room < size; room++) {
		memset(less, 0xee, sizeof(less));
		assert_int_equal(write_all(less, room), size);
		assert_int_equal(less[room], 0xee);
	}
}

static void test_every_shorter_state_is_refused(void **state)
{
	struct state_fault fault;
	size_t length;

	(void)state;
	for (length = 0; length < size; length++) {
		uint8_t copy[256];

		memcpy(copy, bytes, length);
		assert_false(read_all(copy, length, &fault));
		assert_non_null(fault.what);
	}
}

static void test_every_other_bit_is_refused(void **state)
{
	struct state_fault fault;
	size_t i;

	(void)state;
	for (i = 0; i < size * 8; i++) {
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(read_all(bytes, size, &fault));
		assert_non_null(fault.what);
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	assert_true(read_all(bytes, size, &fault));
}

static void expect_fault(size_t at, uint8_t value, const char *part, const char *what)
{
	struct state_fault fault;
	uint8_t before = bytes[at];

	bytes[at] = value;
	assert_false(read_all(bytes, size, &fault));
	assert_string_equal(fault.part, part);
	assert_string_equal(fault.what, what);
	bytes[at] = before;
}

static void test_faults_are_named(void **state)
{
	(void)state;
	expect_fault(0, 'w', "vmbus", "is missing");
	expect_fault(0, 0, "", "has a part whose name is none");
	expect_fault(1, 'V', "", "has a part whose name is none");
	expect_fault(6, 's', "", "has a part whose name is none"); /* after a zero */
	expect_fault(8, 0, "vmbus", "has a header that is none");
	expect_fault(8, 3, "vmbus", "is of a newer version");
	expect_fault(10, 1, "vmbus", "has a header that is none");
	expect_fault(12, 255, "vmbus", "ends too early");
	expect_fault(19, 2, "vmbus", "has a number that is neither yes nor no");
	expect_fault(20, 'd', "vmbus", "is too long");
	expect_fault(28, 2, "channel", "is of a newer version");
	expect_fault(32, 8, "channel", "is too short");
	expect_fault(size - 12, 7, "lastname", "is too short");
}

/* After a fault numbers are 0, bytes are zeros, lists end; the first fault stays. */
static void test_after_a_fault(void **state)
{
	struct state_fault fault;
	struct state_reader all = state_reader(bytes, size, &fault), part;
	uint8_t to[2] = {1, 1};

	(void)state;
	assert_true(state_next(&all, &part));
	state_refuse(&part, "is the first");
	state_refuse(&all, "is the second");
	assert_string_equal(fault.part, "vmbus");
	assert_string_equal(fault.what, "is the first");
	assert_int_equal(state_u8(&part) | state_u16(&part) | state_u32(&part), 0);
	assert_int_equal(state_u64(&part), 0);
	assert_false(state_bool(&part));
	state_bytes(&part, to, 2);
	assert_int_equal(to[0] | to[1], 0);
	assert_null(state_span(&part, 0));
	assert_int_equal(state_left(&part), 0);
	assert_false(state_next(&all, &part));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_what_is_written_reads_back, start),
		cmocka_unit_test_setup(test_layout, start),
		cmocka_unit_test_setup(test_size_is_counted, start),
		cmocka_unit_test_setup(test_every_shorter_state_is_refused, start),
		cmocka_unit_test_setup(test_every_other_bit_is_refused, start),
		cmocka_unit_test_setup(test_faults_are_named, start),
		cmocka_unit_test_setup(test_after_a_fault, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
