/*
 * A storage file of any bytes, and a packed block of any bytes. The first byte chooses: what it is
 * laid into a valid file at, with the checksums mended, so that what is behind them is reached; or
 * that the rest is a block.
 */
#include "hvs/format.h"
#include "hvs/hvs.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static uint8_t block[HVS_BLOCK_BYTES], valid[64 << 10];
static size_t valid_bytes;
static int fd;

static void make_valid(void)
{
	struct hvs_writer *writer;

	fd = memfd_create("hvs", 0);
	EXPECT(fd >= 0 && hvs_writer_create(fd, &writer) == 0);
	hvs_put_int(writer, "/a/int", 1);
	hvs_put_string(writer, "/a/text", "Normal");
	hvs_put_array(writer, "/a/b/small", "123", 3);
	hvs_put_array(writer, "/a/b/large", block, 5000);
	EXPECT(hvs_writer_finish(writer) == 0);
	hvs_writer_destroy(writer);
	valid_bytes = (size_t)lseek(fd, 0, SEEK_END);
	EXPECT(valid_bytes < sizeof(valid) &&
	       pread(fd, valid, valid_bytes, 0) == (ssize_t)valid_bytes);
}

static void seal(uint8_t *at, uint32_t bytes, uint32_t field)
{
	uint32_t sum = hvs_checksum(at, bytes, field);

	memcpy(at + field, &sum, 4);
}

/* Structures at their places in a valid file, whatever is in them now. */
static void seal_all(uint8_t *file)
{
	struct hvs_object *object =
		(struct hvs_object *)(file + HVS_OBJECTS_AT + sizeof(struct hvs_object_table));
	unsigned int i;
	uint32_t at;

	for (i = 0; i < HVS_HEADERS; i++) {
		seal(file + i * HVS_ALIGNMENT, sizeof(struct hvs_header),
		     offsetof(struct hvs_header, checksum));
	}
	for (i = 0; i < 8; i++) {
		uint8_t *table = file + object[i].offset;

		seal((uint8_t *)&object[i], sizeof(object[i]),
		     offsetof(struct hvs_object, checksum));
		if (object[i].kind != HVS_OBJECT_KEYS ||
		    object[i].offset > valid_bytes - HVS_KEYS_BYTES) {
			continue;
		}
		seal(table, sizeof(struct hvs_key_table), offsetof(struct hvs_key_table, checksum));
		for (at = sizeof(struct hvs_key_table);
		     at + sizeof(struct hvs_key) < HVS_KEYS_BYTES;) {
			struct hvs_key *key = (struct hvs_key *)(table + at);
			uint32_t value = key->flags & HVS_KEY_IN_FILE ? 12
					 : key->kind == HVS_KEY_NODE  ? 12
								      : 8;

			if (key->bytes < sizeof(*key) || key->bytes > HVS_KEYS_BYTES - at) {
				break;
			}
			if (sizeof(*key) + key->name_bytes + value <= HVS_KEYS_BYTES - at) {
				seal((uint8_t *)key,
				     (uint32_t)sizeof(*key) + key->name_bytes + value,
				     offsetof(struct hvs_key, checksum));
			}
			at += key->bytes;
		}
	}
}

static void read_all(void)
{
	static const char *const paths[] = {"/a/int",     "/a/text", "/a/b/small",
					    "/a/b/large", "/a",      "/x"};
	static uint8_t to[8192];
	struct hvs_file *file;
	const char *why = NULL;
	int64_t number;
	uint32_t size;
	size_t i;

	if (hvs_open(fd, &file, &why) != 0) {
		EXPECT(why != NULL);
		return;
	}
	for (i = 0; i < ARRAY_COUNT(paths); i++) {
		(void)hvs_get_int(file, paths[i], &number);
		if (hvs_get_size(file, paths[i], &size) == 0 && size <= sizeof(to)) {
			(void)hvs_get_array(file, paths[i], to, size);
		}
	}
	hvs_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[sizeof(valid)];
	size_t at;

	if (valid_bytes == 0) {
		make_valid();
	}
	if (size < 4) {
		return 0;
	}
	if (data[0] % 4 == 0) {
		(void)hvs_unpack(data + 1, (uint32_t)size - 1, block);
		return 0;
	}
	memcpy(file, valid, valid_bytes);
	/* Pieces of three bytes: where, and what is changed there. */
	for (at = 1; at + 3 <= size; at += 3) {
		file[(data[at] | (size_t)data[at + 1] << 8) % valid_bytes] ^= data[at + 2];
	}
	if (data[0] % 4 != 1) {
		seal_all(file);
	}
	EXPECT(pwrite(fd, file, valid_bytes, 0) == (ssize_t)valid_bytes);
	read_all();
	return 0;
}
