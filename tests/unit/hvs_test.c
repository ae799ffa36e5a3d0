/* Hyper-V's storage files: what is written reads back; what is damaged is refused or reads the
 * same; blocks of memory, packed and unpacked. */
#include "hvs/format.h"
#include "hvs/hvs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static uint8_t large[10000];

static int new_file(void)
{
	int fd = memfd_create("hvs", 0);

	assert_true(fd >= 0);
	return fd;
}

static struct hvs_writer *writer_on(int fd)
{
	struct hvs_writer *writer;
	size_t i;

	assert_int_equal(hvs_writer_create(fd, &writer), 0);
	for (i = 0; i < sizeof(large); i++) {
		large[i] = (uint8_t)(i * 31 >> 3);
	}
	return writer;
}

static void finish(struct hvs_writer *writer)
{
	assert_int_equal(hvs_writer_finish(writer), 0);
	hvs_writer_destroy(writer);
}

static void write_small(int fd)
{
	struct hvs_writer *writer = writer_on(fd);

	hvs_put_int(writer, "/savedstate/VmVersion", 0x0a00);
	hvs_put_int(writer, "/configuration/properties/version", -5);
	hvs_put_string(writer, "/savedstate/type", "Normal");
	hvs_put_array(writer, "/savedstate/inline", large, HVS_IN_FILE_FROM - 1);
	hvs_put_array(writer, "/savedstate/object", large, HVS_IN_FILE_FROM);
	hvs_put_array(writer, "/empty", large, 0);
	finish(writer);
}

/* Each value that is there, as it was written. Returns how many were. */
static unsigned int compare_small(const struct hvs_file *file)
{
	uint8_t read[HVS_IN_FILE_FROM];
	unsigned int there = 0;
	int64_t number;
	uint32_t size;

	if (hvs_get_int(file, "/savedstate/VmVersion", &number) == 0) {
		assert_int_equal(number, 0x0a00);
		there++;
	}
	if (hvs_get_int(file, "/configuration/properties/version", &number) == 0) {
		assert_int_equal(number, -5);
		there++;
	}
	if (hvs_get_size(file, "/savedstate/inline", &size) == 0) {
		assert_int_equal(size, HVS_IN_FILE_FROM - 1);
		assert_int_equal(hvs_get_array(file, "/savedstate/inline", read, size), 0);
		assert_memory_equal(read, large, size);
		there++;
	}
	if (hvs_get_size(file, "/savedstate/object", &size) == 0) {
		assert_int_equal(size, HVS_IN_FILE_FROM);
		there++;
	}
	if (hvs_get_size(file, "/empty", &size) == 0) {
		assert_int_equal(size, 0);
		there++;
	}
	return there;
}

static void what_is_written_reads_back(void **state)
{
	uint8_t read[HVS_IN_FILE_FROM];
	struct hvs_file *file;
	const char *why;
	int64_t number;
	uint32_t size;
	int fd = new_file();

	(void)state;
	write_small(fd);
	assert_int_equal(hvs_open(fd, &file, &why), 0);
	assert_int_equal(compare_small(file), 5);
	assert_int_equal(hvs_get_array(file, "/savedstate/object", read, sizeof(read)), 0);
	assert_memory_equal(read, large, sizeof(read));
	assert_int_equal(hvs_get_array(file, "/savedstate/object", read, 5), -EINVAL);
	assert_int_equal(hvs_get_int(file, "/savedstate/object", &number), -EINVAL);
	assert_int_equal(hvs_get_int(file, "/savedstate/type", &number), -EINVAL);
	assert_int_equal(hvs_get_size(file, "/savedstate", &size), -EINVAL);
	assert_int_equal(hvs_get_size(file, "/savedstate/none", &size), -ENOENT);
	assert_int_equal(hvs_get_size(file, "/empty/below", &size), -ENOENT);
	assert_int_equal(hvs_get_size(file, "//", &size), -ENOENT);
	assert_int_equal(hvs_get_size(file, "", &size), -ENOENT);
	hvs_close(file);
	close(fd);
}

/* More objects than a table of them has entries, more keys than one table has room for. */
static void many_keys(void **state)
{
	struct hvs_writer *writer;
	struct hvs_file *file;
	const char *why;
	char path[64];
	uint32_t i, size;
	int fd = new_file();

	(void)state;
	writer = writer_on(fd);
	for (i = 0; i < 700; i++) {
		snprintf(path, sizeof(path), "/savedstate/RamBlock%u", i);
		hvs_put_array(writer, path, large, i % 2 != 0 ? 3000 + i : i % 40);
	}
	finish(writer);
	assert_int_equal(hvs_open(fd, &file, &why), 0);
	for (i = 0; i < 700; i++) {
		uint8_t read[4000];

		snprintf(path, sizeof(path), "/savedstate/RamBlock%u", i);
		assert_int_equal(hvs_get_size(file, path, &size), 0);
		assert_int_equal(size, i % 2 != 0 ? 3000 + i : i % 40);
		assert_int_equal(hvs_get_array(file, path, read, size), 0);
		assert_memory_equal(read, large, size);
	}
	hvs_close(file);
	close(fd);
}

/* The tables fill their room exactly, whatever lengths the names have: readers of others insist on
 * it. */
static void tables_have_no_gaps(void **state)
{
	uint8_t table[HVS_KEYS_BYTES];
	struct hvs_writer *writer;
	struct hvs_object object;
	uint32_t i, length, at, tables = 0;
	char path[64];
	int fd = new_file();

	(void)state;
	writer = writer_on(fd);
	for (i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "/%0*u", (int)(4 + i * 7 % 29), i);
		hvs_put_int(writer, path, i);
	}
	finish(writer);
	for (i = 0;; i++) {
		assert_int_equal(pread(fd, &object, sizeof(object),
				       (off_t)(HVS_OBJECTS_AT + sizeof(struct hvs_object_table) +
					       i * sizeof(object))),
				 sizeof(object));
		if (object.kind != HVS_OBJECT_KEYS) {
			break;
		}
		assert_int_equal(pread(fd, table, sizeof(table), (off_t)object.offset),
				 sizeof(table));
		for (at = sizeof(struct hvs_key_table); at < sizeof(table); at += length) {
			length = ((const struct hvs_key *)(table + at))->bytes;
			assert_true(length > sizeof(struct hvs_key) &&
				    length <= sizeof(table) - at);
		}
		tables++;
	}
	assert_true(tables > 10);
	close(fd);
}

static void what_is_damaged_is_refused_or_reads_the_same(void **state)
{
	struct hvs_file *file;
	const char *why = NULL;
	unsigned int refused = 0;
	uint8_t byte, other;
	off_t size, at;
	int fd = new_file();

	(void)state;
	write_small(fd);
	size = lseek(fd, 0, SEEK_END);
	for (at = 0; at < size; at++) {
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		if (byte == 0 && at % 64 != 0) {
			continue;
		}
		other = byte ^ 0x41;
		assert_int_equal(pwrite(fd, &other, 1, at), 1);
		if (hvs_open(fd, &file, &why) == 0) {
			(void)compare_small(file);
			hvs_close(file);
		} else {
			assert_non_null(why);
			refused++;
		}
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_true(refused > 100);
	for (at = 0; at < size; at += 256) {
		assert_int_equal(ftruncate(fd, size - at - 1), 0);
		if (hvs_open(fd, &file, &why) == 0) {
			(void)compare_small(file);
			hvs_close(file);
		}
	}
	close(fd);
}

static void a_file_is_none_before_its_end(void **state)
{
	struct hvs_writer *writer;
	struct hvs_file *file;
	const char *why;
	int fd = new_file();

	(void)state;
	writer = writer_on(fd);
	hvs_put_array(writer, "/a", large, sizeof(large));
	assert_int_equal(hvs_open(fd, &file, &why), -EINVAL);
	assert_string_equal(why, "has no valid header");
	finish(writer);
	close(fd);
}

static void an_error_of_the_medium_is_kept(void **state)
{
	struct hvs_writer *writer;
	int fd = open("/dev/full", O_RDWR);

	(void)state;
	assert_true(fd >= 0);
	writer = writer_on(fd);
	assert_int_equal(hvs_writer_error(writer), 0);
	hvs_put_array(writer, "/a", large, sizeof(large));
	assert_int_equal(hvs_writer_error(writer), -ENOSPC);
	hvs_put_int(writer, "/b", 1);
	assert_int_equal(hvs_writer_finish(writer), -ENOSPC);
	hvs_writer_destroy(writer);
	close(fd);
}

/* ---- blocks ---- */

static uint8_t block[HVS_BLOCK_BYTES], packed[HVS_PACKED_BYTES], unpacked[HVS_BLOCK_BYTES];

static uint32_t pack(void)
{
	struct hvs_packer packer;
	uint32_t i;

	hvs_pack_begin(&packer, packed);
	for (i = 0; i < HVS_BLOCK_BYTES; i += HVS_PAGE_BYTES) {
		hvs_pack_page(&packer, block + i);
	}
	return hvs_pack_end(&packer, packed);
}

static uint32_t noise(void)
{
	static uint32_t seed = 1;

	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

/* A page of one kind: zeros, one number, text, noise, and runs of all lengths with noise
 * between. */
static void fill_page(uint8_t *page, unsigned int kind)
{
	uint32_t i, length;

	for (i = 0; i < HVS_PAGE_BYTES; i++) {
		switch (kind) {
		case 0:
			page[i] = 0;
			break;
		case 1:
			page[i] = "verdigri"[i % 8];
			break;
		case 2:
			page[i] = "the quick brown fox "[(i + i / 100) % 20];
			break;
		case 3:
			page[i] = (uint8_t)noise();
			break;
		default:
			page[i] = i % 3 != 0 ? "abc"[i % 3] : 'a';
			break;
		}
	}
	for (i = 0; kind > 4 && i < HVS_PAGE_BYTES; i += length) {
		length = 1 + noise() % (kind * 40);
		length = length < HVS_PAGE_BYTES - i ? length : HVS_PAGE_BYTES - i;
		memset(page + i, (int)noise(), length);
	}
}

static void blocks_unpack_to_what_they_were(void **state)
{
	uint32_t round, i, bytes;

	(void)state;
	for (round = 0; round < 12; round++) {
		for (i = 0; i < HVS_BLOCK_PAGES; i++) {
			fill_page(block + i * HVS_PAGE_BYTES, round < 10 ? round : noise() % 10);
		}
		bytes = pack();
		assert_true(bytes <= HVS_PACKED_BYTES);
		memset(unpacked, 0x5a, sizeof(unpacked));
		assert_int_equal(hvs_unpack(packed, bytes, unpacked), 0);
		assert_memory_equal(unpacked, block, sizeof(block));
		if (round < 3) {
			assert_true(bytes < HVS_BLOCK_BYTES / 10);
		}
	}
}

static void a_block_of_exactly_a_mib_is_as_it_was(void **state)
{
	(void)state;
	memset(packed, 0x77, HVS_BLOCK_BYTES);
	assert_int_equal(hvs_unpack(packed, HVS_BLOCK_BYTES, unpacked), 0);
	assert_memory_equal(packed, unpacked, HVS_BLOCK_BYTES);
}

static void append(uint32_t *at, const void *from, uint32_t size)
{
	memcpy(packed + *at, from, size);
	*at += size;
}

static void append_u32(uint32_t *at, uint32_t value)
{
	append(at, &value, 4);
}

/* The two examples of [MS-XCA], and the forms that we never write ourselves. */
static void blocks_of_others(void **state)
{
	static const uint8_t alphabet[] = {0x3f, 0,   0,   0,   'a', 'b', 'c', 'd', 'e', 'f',
					   'g',  'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p',
					   'q',  'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z'};
	static const uint8_t repeated[] = {0xff, 0xff, 0xff, 0x1f, 'a',  'b', 'c',
					   0x17, 0,    0x0f, 0xff, 0x26, 0x01};
	uint32_t at = 0, i;

	(void)state;
	append_u32(&at, HVS_PAGE_SIZED);
	append_u32(&at, 26);
	append_u32(&at, sizeof(alphabet));
	append(&at, alphabet, sizeof(alphabet));
	append_u32(&at, HVS_PAGE_SIZED);
	append_u32(&at, 300);
	append_u32(&at, sizeof(repeated));
	append(&at, repeated, sizeof(repeated));
	append_u32(&at, HVS_PAGE_SIZED);
	append_u32(&at, HVS_PAGE_BYTES - 326);
	append_u32(&at, HVS_PAGE_BYTES - 326);
	at += HVS_PAGE_BYTES - 326;
	append_u32(&at, HVS_PAGE_REPEATS);
	append(&at, "12345678", 8);
	append_u32(&at, HVS_BLOCK_PAGES - 1);
	append_u32(&at, HVS_PAGES_END);
	assert_int_equal(hvs_unpack(packed, at, unpacked), 0);
	assert_memory_equal(unpacked, "abcdefghijklmnopqrstuvwxyz", 26);
	for (i = 0; i < 300; i++) {
		assert_int_equal(unpacked[26 + i], "abc"[i % 3]);
	}
	assert_memory_equal(unpacked + HVS_BLOCK_BYTES - 8, "12345678", 8);
	/* One page more or less than a block has. */
	for (i = 0; i < 3; i++) {
		uint32_t pages = HVS_BLOCK_PAGES - 2 + i;

		memcpy(packed + at - 8, &pages, 4);
		assert_int_equal(hvs_unpack(packed, at, unpacked), i == 1 ? 0 : -EINVAL);
	}
}

static void damaged_blocks_stay_inside(void **state)
{
	uint32_t i, bytes, at, refused = 0;
	uint8_t *copy;

	(void)state;
	for (i = 0; i < HVS_BLOCK_PAGES; i++) {
		fill_page(block + i * HVS_PAGE_BYTES, i % 10);
	}
	bytes = pack();
	for (i = 0; i < 300; i++) {
		at = noise() % bytes;
		copy = malloc(bytes - at);
		assert_non_null(copy);
		memcpy(copy, packed, bytes - at);
		if (bytes > at) {
			copy[noise() % (bytes - at)] ^= 0x10;
		}
		refused += hvs_unpack(copy, bytes - at, unpacked) != 0;
		free(copy);
	}
	assert_true(refused > 250);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(many_keys),
		cmocka_unit_test(tables_have_no_gaps),
		cmocka_unit_test(what_is_damaged_is_refused_or_reads_the_same),
		cmocka_unit_test(a_file_is_none_before_its_end),
		cmocka_unit_test(an_error_of_the_medium_is_kept),
		cmocka_unit_test(blocks_unpack_to_what_they_were),
		cmocka_unit_test(a_block_of_exactly_a_mib_is_as_it_was),
		cmocka_unit_test(blocks_of_others),
		cmocka_unit_test(damaged_blocks_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
