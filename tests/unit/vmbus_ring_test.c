/* vmbus/ring.c: one half of a ring, with the other side played by the test, and by a thread. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmbus/half.h"

#define DATA_PAGES 2u
#define SIZE       (DATA_PAGES * VMBUS_PAGE_SIZE)

static _Alignas(VMBUS_PAGE_SIZE) uint8_t memory[1 + DATA_PAGES][VMBUS_PAGE_SIZE];
/* The data's pages in the other order. */
static uint8_t *const pages[] = {memory[0], memory[2], memory[1]};
static struct hv_ring_buffer *const control = (struct hv_ring_buffer *)memory[0];
static struct ring_reader reader;
static struct ring_writer writer;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

static int setup(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	assert_true(reader_init(&reader, pages, 1 + DATA_PAGES));
	assert_true(writer_init(&writer, pages, 1 + DATA_PAGES));
	return 0;
}

/* A packet of `bytes`, each of them `fill`. */
static void write_packet(uint32_t bytes, uint8_t fill)
{
	struct vmpacket_descriptor descriptor = {
		.type = VM_PKT_DATA_INBAND, .offset8 = 2, .len8 = (uint16_t)(bytes / 8)};
	uint8_t data[SIZE];

	memset(data, fill, sizeof(data));
	writer_copy(&writer, 0, &descriptor, sizeof(descriptor));
	writer_copy(&writer, sizeof(descriptor), data, bytes - (uint32_t)sizeof(descriptor));
	writer_end(&writer, bytes);
}

static void read_packet(uint32_t bytes, uint8_t fill)
{
	struct vmpacket_descriptor descriptor;
	uint8_t data[SIZE];
	uint32_t i;

	assert_int_equal(reader_next(&reader, &descriptor), 1);
	assert_int_equal(descriptor.len8 * 8, bytes);
	reader_copy(&reader, 16, data, bytes - 16);
	for (i = 0; i < bytes - 16; i++) {
		assert_int_equal(data[i], fill);
	}
	reader_skip(&reader, bytes);
}

/* A descriptor of the guest's where the reader looks next, and `available` bytes in the ring. */
static void guest_says(uint32_t available, uint16_t offset8, uint16_t len8)
{
	struct vmpacket_descriptor descriptor = {
		.type = VM_PKT_DATA_INBAND, .offset8 = offset8, .len8 = len8};

	assert_true(reader_init(&reader, pages, 1 + DATA_PAGES));
	memcpy(pages[1 + reader.read / VMBUS_PAGE_SIZE] + reader.read % VMBUS_PAGE_SIZE,
	       &descriptor, sizeof(descriptor));
	control->write_index = (reader.read + available) % SIZE;
}

static void round_and_round(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 3000; i++) {
		uint32_t bytes = 16 + i * 8 % 4000;

		assert_int_equal(writer_fits(&writer, bytes + 8), 1);
		write_packet(bytes, (uint8_t)i);
		assert_true(writer_show(&writer));
		read_packet(bytes, (uint8_t)i);
		assert_false(reader_show(&reader));
		assert_int_equal(control->read_index, control->write_index);
	}
}

static void never_to_the_last_byte(void **state)
{
	(void)state;
	assert_false(writer_could_ever_fit(&writer, SIZE));
	assert_true(writer_could_ever_fit(&writer, SIZE - 8));
	assert_false(writer_could_ever_fit(&writer, 1ull << 32));
	assert_int_equal(writer_fits(&writer, SIZE), 0);
	assert_int_equal(writer_fits(&writer, SIZE - 8), 1);
	write_packet(SIZE - 16, 0x55);
	assert_true(writer_show(&writer));
	assert_int_equal(writer_fits(&writer, 8), 0);
	read_packet(SIZE - 16, 0x55);
	assert_int_equal(writer_fits(&writer, 8), 0); /* not shown yet */
	assert_false(reader_show(&reader));
	assert_int_equal(writer_fits(&writer, SIZE - 8), 1);
}

static void nothing_is_seen_before_it_is_shown(void **state)
{
	struct vmpacket_descriptor descriptor;

	(void)state;
	write_packet(64, 1);
	write_packet(64, 2);
	assert_int_equal(reader_next(&reader, &descriptor), 0);
	assert_true(writer_show(&writer));
	assert_false(writer_show(&writer));
	read_packet(64, 1);
	assert_int_equal(control->read_index, 0);
	read_packet(64, 2);
	assert_int_equal(reader_hidden(&reader), 2 * 72);
	assert_false(reader_show(&reader));
	assert_int_equal(control->read_index, 2 * 72);
	assert_int_equal(reader_next(&reader, &descriptor), 0);
}

static void the_reader_is_signalled_once(void **state)
{
	(void)state;
	write_packet(64, 1);
	assert_true(writer_show(&writer)); /* empty to not empty */
	write_packet(64, 2);
	assert_false(writer_show(&writer)); /* it has something to read */
	control->read_index = control->write_index;
	control->interrupt_mask = 1;
	write_packet(64, 3);
	assert_false(writer_show(&writer)); /* it looks by itself */
	control->read_index = control->write_index;
	control->interrupt_mask = 0;
	write_packet(64, 4);
	assert_true(writer_show(&writer));
}

static void the_writer_is_signalled_when_it_fits(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 10; i++) {
		write_packet(512, (uint8_t)i);
	}
	assert_true(writer_show(&writer));
	control->pending_send_sz = SIZE - 7 * 520;
	for (i = 0; i < 10; i++) {
		read_packet(512, (uint8_t)i);
		/* More than that is free, for the first time, when 6 are left. */
		assert_int_equal(reader_show(&reader), i == 3);
	}
	/* One that waits for all of it, as some do: the size less one. */
	write_packet(512, 1);
	write_packet(512, 2);
	assert_true(writer_show(&writer));
	control->pending_send_sz = SIZE - 1;
	read_packet(512, 1);
	assert_false(reader_show(&reader));
	read_packet(512, 2);
	assert_true(reader_show(&reader));
	/* And one that does not wait. */
	control->pending_send_sz = 0;
	write_packet(SIZE - 16, 3);
	assert_true(writer_show(&writer));
	read_packet(SIZE - 16, 3);
	assert_false(reader_show(&reader));
}

static void the_writer_says_what_it_waits_for(void **state)
{
	(void)state;
	assert_int_equal(control->feature_bits & 1, 1);
	writer_want(&writer, 0);
	assert_int_equal(control->pending_send_sz, 0);
	writer_want(&writer, 72);
	assert_int_equal(control->pending_send_sz, 72);
	writer_want(&writer, 0);
	assert_int_equal(control->pending_send_sz, 0);
}

static void indices_that_are_none(void **state)
{
	static const uint32_t bad[] = {SIZE, SIZE + 8, UINT32_MAX, UINT32_MAX - 7, 4, 1};
	struct vmpacket_descriptor descriptor;
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		control->write_index = bad[i];
		assert_int_equal(reader_next(&reader, &descriptor), -EPROTO);
		assert_false(writer_init(&writer, pages, 1 + DATA_PAGES));
		control->write_index = 0;
		control->read_index = bad[i];
		assert_false(reader_init(&reader, pages, 1 + DATA_PAGES));
		assert_false(writer_init(&writer, pages, 1 + DATA_PAGES));
		control->read_index = 0;
		assert_true(reader_init(&reader, pages, 1 + DATA_PAGES));
		assert_true(writer_init(&writer, pages, 1 + DATA_PAGES));
		write_packet(SIZE / 2, 1);
		control->read_index = bad[i];
		assert_int_equal(writer_fits(&writer, SIZE / 2), -EPROTO);
		control->read_index = 0;
		assert_true(writer_init(&writer, pages, 1 + DATA_PAGES));
	}
	/* A guest that has read what was not written. */
	write_packet(SIZE / 2, 1);
	control->read_index = SIZE / 2 + 800;
	assert_int_equal(writer_fits(&writer, SIZE / 2), -EPROTO);
}

static void the_write_index_moves_under_the_reader(void **state)
{
	(void)state;
	write_packet(512, 1);
	assert_true(writer_show(&writer));
	read_packet(512, 1);
	control->pending_send_sz = 100;
	control->write_index = 3;
	assert_false(reader_show(&reader));
}

static void lengths_that_are_none(void **state)
{
	struct vmpacket_descriptor descriptor;
	static const struct {
		uint32_t available;
		uint16_t offset8, len8;
		int expected;
	} cases[] = {
		{8, 2, 2, -EPROTO},
		{16, 2, 2, -EPROTO},
		{24, 2, 2, 1},
		{24, 2, 1, -EPROTO},
		{24, 2, 0, -EPROTO},
		{24, 0, 2, -EPROTO},
		{24, 1, 2, -EPROTO},
		{24, 3, 2, -EPROTO},
		{24, 2, 3, -EPROTO},
		{32, 2, 3, 1},
		{32, 3, 3, 1},
		{32, 4, 3, -EPROTO},
		{24, 2, 0xffff, -EPROTO},
		{24, 0xffff, 2, -EPROTO},
		{SIZE - 8, 2, SIZE / 8 - 2, 1},
		{SIZE - 8, 2, SIZE / 8 - 1, -EPROTO},
	};
	uint32_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		guest_says(cases[i].available, cases[i].offset8, cases[i].len8);
		assert_int_equal(reader_next(&reader, &descriptor), cases[i].expected);
		control->read_index = SIZE - 16; /* and once round the end */
		guest_says(cases[i].available, cases[i].offset8, cases[i].len8);
		assert_int_equal(reader_next(&reader, &descriptor), cases[i].expected);
		control->read_index = 0;
	}
}

/* ---- two threads: nothing is lost, nobody sleeps through ---- */

#define PACKETS 20000u

struct bell {
	pthread_mutex_t lock;
	pthread_cond_t rang;
	bool ringing;
};

static struct bell to_reader = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
static struct bell to_writer = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static void ring(struct bell *bell)
{
	pthread_mutex_lock(&bell->lock);
	bell->ringing = true;
	pthread_cond_signal(&bell->rang);
	pthread_mutex_unlock(&bell->lock);
}

/* Without a limit: a wake-up that is lost ends in the test's own deadline. */
static void wait_for(struct bell *bell)
{
	pthread_mutex_lock(&bell->lock);
	while (!bell->ringing) {
		pthread_cond_wait(&bell->rang, &bell->lock);
	}
	bell->ringing = false;
	pthread_mutex_unlock(&bell->lock);
}

static uint32_t size_of(uint32_t i)
{
	return 16 + i * 40 % 1200;
}

static void *write_all(void *unused)
{
	uint32_t i;

	for (i = 0; i < PACKETS; i++) {
		uint32_t bytes = size_of(i) + 8;

		while (writer_fits(&writer, bytes) != 1) {
			if (writer_show(&writer)) {
				ring(&to_reader);
			}
			writer_want(&writer, bytes);
			if (writer_fits(&writer, bytes) != 1) {
				wait_for(&to_writer);
			}
		}
		writer_want(&writer, 0);
		write_packet(size_of(i), (uint8_t)i);
		if (i % 3 == 0 && writer_show(&writer)) {
			ring(&to_reader);
		}
	}
	if (writer_show(&writer)) {
		ring(&to_reader);
	}
	return unused;
}

static void two_threads(void **state)
{
	struct vmpacket_descriptor descriptor;
	pthread_t thread;
	uint32_t i = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, write_all, NULL), 0);
	while (i < PACKETS) {
		reader_mask(&reader, true);
		while (i < PACKETS && reader_next(&reader, &descriptor) == 1) {
			read_packet(size_of(i), (uint8_t)i);
			i++;
			if (i % 5 == 0 && reader_show(&reader)) {
				ring(&to_writer);
			}
		}
		if (reader_show(&reader)) {
			ring(&to_writer);
		}
		reader_mask(&reader, false);
		if (i < PACKETS && reader_next(&reader, &descriptor) == 0) {
			wait_for(&to_reader);
		}
	}
	pthread_join(thread, NULL);
	assert_int_equal(reader_next(&reader, &descriptor), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, setup)
		TEST(round_and_round),
		TEST(never_to_the_last_byte),
		TEST(nothing_is_seen_before_it_is_shown),
		TEST(the_reader_is_signalled_once),
		TEST(the_writer_is_signalled_when_it_fits),
		TEST(the_writer_says_what_it_waits_for),
		TEST(indices_that_are_none),
		TEST(the_write_index_moves_under_the_reader),
		TEST(lengths_that_are_none),
		TEST(two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
