/*
 * The library on real files, through io_uring: random reads, writes and trims of any offset and
 * length against a model in memory, on every format, sector size and chain; several requests in
 * flight; two threads with a queue each.
 */
#include "disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE       (5u << 20)
#define SLOTS      6u
#define GUID_CHARS 37
#define PART       (SIZE / SLOTS) /* each slot keeps to its part: requests in flight do not meet */

static char folder[] = "/tmp/disk_random_XXXXXX";
static uint8_t model[SIZE], data[SIZE];
static uint64_t random_state = 88172645463325252ull;

static uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static const char *name(const char *file)
{
	static char names[4][128];
	static unsigned next;
	char *out = names[next++ % 4];

	snprintf(out, sizeof(names[0]), "%s/%s", folder, file);
	return out;
}

#define MUST(call)                                                                                 \
	do {                                                                                       \
		struct disk_error error = {0};                                                     \
		if (call) {                                                                        \
			fail_msg("%s: %s", #call, error.text);                                     \
		}                                                                                  \
	} while (0)

struct slot {
	struct disk_req req;
	struct iovec iov[40];
	uint8_t *buffer;
	bool busy;
};

static struct slot slots[SLOTS];
static unsigned completed;

static void slot_done(struct disk_req *req)
{
	struct slot *slot = req->user;

	assert_int_equal(req->result, 0);
	if (req->op == DISK_OP_READ) {
		assert_memory_equal(slot->buffer, model + req->offset, req->length);
	}
	slot->busy = false;
	completed++;
}

/* The buffer in up to 40 pieces, some of them empty. */
static void scatter(struct slot *slot, uint64_t length)
{
	unsigned pieces = 1 + random_number() % 40, i;
	uint64_t at = 0;

	for (i = 0; i < pieces; i++) {
		uint64_t n = i + 1 == pieces ? length - at
					     : random_number() % (length - at + 1) /
						       (1 + random_number() % 8);

		slot->iov[i] = (struct iovec){slot->buffer + at, n};
		at += n;
	}
	slot->req.iov = slot->iov;
	slot->req.iov_count = pieces;
}

static void submit_random(struct disk_queue *queue, struct disk *disk, unsigned index)
{
	struct slot *slot = &slots[index];
	unsigned kind = random_number() % 10;
	uint64_t start = random_number() % PART,
		 length = random_number() % (PART - start) >> random_number() % 12;
	uint64_t offset = index * PART + start, i;

	slot->req = (struct disk_req){
		.done = slot_done, .user = slot, .offset = offset, .length = length};
	slot->req.flags = random_number() % 8 ? 0 : DISK_FUA;
	slot->req.op = kind < 4   ? DISK_OP_READ
		       : kind < 8 ? DISK_OP_WRITE
		       : kind < 9 ? DISK_OP_TRIM
				  : DISK_OP_FLUSH;
	slot->busy = true;
	if (slot->req.op == DISK_OP_TRIM) {
		memset(model + offset, 0, length);
	} else if (slot->req.op != DISK_OP_FLUSH) {
		scatter(slot, length);
	}
	for (i = 0; slot->req.op == DISK_OP_WRITE && i < length; i++) {
		slot->buffer[i] = model[offset + i] = (uint8_t)(random_state >> i % 57);
	}
	disk_submit(queue, disk, &slot->req);
}

/* Waits as an event loop does: on the queue's descriptor. */
static void wait_event(struct disk_queue *queue)
{
	struct pollfd p = {.fd = disk_queue_fd(queue), .events = POLLIN};

	assert_true(p.fd >= 0);
	if (!disk_queue_poll(queue)) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		disk_queue_poll(queue);
	}
}

static void run_async(struct disk *disk, unsigned steps, bool events)
{
	struct disk_queue *queue;
	unsigned i, busy;

	MUST(disk_queue_create(4, &queue, &error));
	do {
		for (i = 0, busy = 0; i < SLOTS; i++) {
			if (!slots[i].busy && steps) {
				steps--;
				submit_random(queue, disk, i);
			}
			busy += slots[i].busy;
		}
		disk_queue_kick(queue);
		if (busy && events) {
			wait_event(queue);
		} else if (busy) {
			disk_queue_wait(queue);
		}
	} while (steps || busy);
	disk_queue_destroy(&queue);
}

static void run_plain(struct disk *disk, unsigned steps)
{
	while (steps--) {
		uint64_t offset = random_number() % SIZE;
		uint64_t length = random_number() % (SIZE - offset + 1) >> random_number() % 16;
		unsigned kind = random_number() % 8;
		uint64_t i;

		if (kind < 3) {
			assert_int_equal(disk_read(disk, data, length, offset), 0);
			assert_memory_equal(data, model + offset, length);
		} else if (kind < 6) {
			for (i = 0; i < length; i++) {
				model[offset + i] = (uint8_t)(random_state >> i % 59);
			}
			assert_int_equal(disk_write(disk, model + offset, length, offset), 0);
		} else if (kind < 7) {
			memset(model + offset, 0, length);
			assert_int_equal(disk_trim(disk, length, offset), 0);
		} else {
			assert_int_equal(disk_flush(disk), 0);
		}
	}
}

static void check_all(const char *path)
{
	struct disk_report report;
	struct disk *disk;

	MUST(disk_open(path, &(struct disk_open){.flags = DISK_READ_ONLY}, &disk, &error));
	assert_int_equal(disk_read(disk, data, SIZE, 0), 0);
	assert_memory_equal(data, model, SIZE);
	MUST(disk_close(&disk, &error));
	MUST(disk_check(path, DISK_FORMAT_AUTO, 0, &report, &error));
	assert_int_equal(report.damages, 0);
	disk_report_free(&report);
}

static void work_on(const char *path, unsigned flags)
{
	struct disk *disk;
	unsigned round;

	for (round = 0; round < 2; round++) {
		MUST(disk_open(path, &(struct disk_open){.flags = flags}, &disk, &error));
		run_plain(disk, 25);
		run_async(disk, 60, round);
		MUST(disk_close(&disk, &error));
		check_all(path);
	}
}

static void make(const char *path, struct disk_create how)
{
	how.size = SIZE;
	MUST(disk_create(path, &how, &error));
}

static void forget(const char *path)
{
	unlink(path);
	memset(model, 0, sizeof(model));
}

static void test_formats(void **state)
{
	static const struct {
		const char *file;
		struct disk_create how;
		unsigned flags;
	} cases[] = {
		{"a.raw", {0}, 0},
		{"a.vhd", {.type = DISK_FIXED}, 0},
		{"b.vhd", {.type = DISK_DYNAMIC, .block_size = 512 << 10}, 0},
		{"a.vhdx", {.type = DISK_FIXED, .block_size = 1 << 20}, 0},
		{"b.vhdx", {.type = DISK_DYNAMIC, .block_size = 1 << 20}, 0},
		{"c.vhdx",
		 {.type = DISK_DYNAMIC,
		  .block_size = 2 << 20,
		  .sector_size = 4096,
		  .physical_size = 4096},
		 0},
		{"d.vhdx", {.type = DISK_DYNAMIC, .block_size = 1 << 20}, DISK_DIRECT},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *path = name(cases[i].file);

		memset(model, 0, sizeof(model));
		make(path, cases[i].how);
		work_on(path, cases[i].flags);
		forget(path);
	}
}

/* Eight files one over the other, each with some changes; then read, merged step by step, and read
 * again. */
static void chain_of(const char *ending, uint32_t sector, uint32_t block)
{
	char names[8][32];
	struct disk *disk;
	unsigned i;

	memset(model, 0, sizeof(model));
	for (i = 0; i < 8; i++) {
		struct disk_create how = {.type = i ? DISK_DIFFERENCING : DISK_DYNAMIC,
					  .sector_size = sector,
					  .physical_size = sector == 4096 ? 4096 : 0,
					  .block_size = block};
		char parent[128];

		snprintf(names[i], sizeof(names[i]), "c%u.%s", i, ending);
		snprintf(parent, sizeof(parent), "%s", i ? name(names[i - 1]) : "");
		how.parent = i ? parent : NULL;
		make(name(names[i]), how);
		MUST(disk_open(name(names[i]), NULL, &disk, &error));
		assert_int_equal(disk_layer_count(disk), i + 1);
		run_plain(disk, 6);
		run_async(disk, 20, false);
		MUST(disk_close(&disk, &error));
	}
	check_all(name(names[7]));
	MUST(disk_merge(name(names[7]), 2, true, 0, NULL, &error));
	check_all(name(names[5]));
	MUST(disk_open(name(names[5]), NULL, &disk, &error));
	MUST(disk_merge_online(disk, 2, NULL, &error)); /* from the middle, in use */
	run_plain(disk, 10);
	MUST(disk_close(&disk, &error));
	check_all(name(names[5]));
	MUST(disk_rebase(name(names[5]), name(names[4]), 0, &error));
	MUST(disk_merge(name(names[5]), 4, true, 0, NULL, &error));
	check_all(name(names[0]));
	for (i = 0; i < 8; i++) {
		unlink(name(names[i]));
	}
}

static void test_chains(void **state)
{
	(void)state;
	chain_of("vhdx", 512, 1 << 20);
	chain_of("vhdx", 4096, 1 << 20);
	chain_of("vhd", 512, 512 << 10);
}

static void test_convert_resize_compact(void **state)
{
	static const char *const files[] = {"a.vhdx", "b.vhd", "c.raw",
					    "d.vhdx", "e.vhd", "f.vhdx"};
	static const enum disk_type types[] = {DISK_DYNAMIC, DISK_DYNAMIC, DISK_FIXED,
					       DISK_FIXED,   DISK_FIXED,   DISK_DYNAMIC};
	struct disk_info before, after;
	struct disk *disk;
	unsigned i;

	(void)state;
	memset(model, 0, sizeof(model));
	make(name("a.vhdx"), (struct disk_create){.type = DISK_DYNAMIC, .block_size = 1 << 20});
	MUST(disk_open(name("a.vhdx"), NULL, &disk, &error));
	run_plain(disk, 20);
	MUST(disk_close(&disk, &error));
	for (i = 1; i < 6; i++) {
		struct disk_create how = {.type = types[i]};

		MUST(disk_open(name(files[i - 1]), &(struct disk_open){.flags = DISK_READ_ONLY},
			       &disk, &error));
		MUST(disk_convert(disk, name(files[i]), &how, NULL, &error));
		assert_int_equal(disk_convert(disk, name(files[i]), &how, NULL, NULL), -EEXIST);
		MUST(disk_close(&disk, &error));
		check_all(name(files[i]));
	}
	for (i = 0; i < 6; i++) {
		MUST(disk_open(name(files[i]), NULL, &disk, &error));
		MUST(disk_resize(disk, SIZE + (9 << 20), false, &error));
		assert_int_equal(disk_size(disk), SIZE + (9 << 20));
		assert_int_equal(disk_write(disk, "end", 3, SIZE + (9 << 20) - 3), 0);
		assert_int_equal(disk_resize(disk, SIZE, false, NULL), -ENOTEMPTY);
		MUST(disk_resize(disk, SIZE, true, &error));
		assert_int_equal(disk_read(disk, data, 3, SIZE), -ERANGE);
		MUST(disk_close(&disk, &error));
		check_all(name(files[i]));
	}
	MUST(disk_open(name("f.vhdx"), NULL, &disk, &error));
	memset(data, 0, 2 << 20);
	assert_int_equal(disk_write(disk, data, 2 << 20, 0), 0);
	memset(model, 0, 2 << 20);
	MUST(disk_close(&disk, &error));
	MUST(disk_open(name("f.vhdx"), NULL, &disk, &error));
	disk_get_info(disk, 0, &before);
	MUST(disk_compact(disk, NULL, &error));
	MUST(disk_close(&disk, &error));
	MUST(disk_open(name("f.vhdx"), NULL, &disk, &error));
	disk_get_info(disk, 0, &after);
	assert_true(after.file_size < before.file_size &&
		    after.blocks_present < before.blocks_present);
	MUST(disk_close(&disk, &error));
	check_all(name("f.vhdx"));
	for (i = 0; i < 6; i++) {
		unlink(name(files[i]));
	}
}

/* -- Two threads, a queue each, the same handle -- */

struct worker {
	struct disk *disk;
	unsigned index;
};

static void *work(void *argument)
{
	struct worker *worker = argument;
	uint32_t half = SIZE / 2, base = worker->index * half, i;
	struct disk_queue *queue;
	uint8_t *buffer = malloc(65536);

	if (disk_queue_create(2, &queue, NULL)) {
		return "no queue";
	}
	for (i = 0; i < 80; i++) {
		struct iovec iov = {buffer, 65536};
		struct disk_req req = {.op = DISK_OP_WRITE,
				       .flags = i % 7 ? 0 : DISK_FUA,
				       .offset = base + i * 40000 % (half - 65536),
				       .length = 65536,
				       .iov = &iov,
				       .iov_count = 1};
		unsigned round;

		memset(buffer, (int)(i + worker->index * 100), 65536);
		memset(model + req.offset, (int)(i + worker->index * 100), 65536);
		for (round = 0; round < 2; round++) { /* write, read back */
			disk_submit(queue, worker->disk, &req);
			while (disk_queue_next(queue) == NULL) {
				disk_queue_wait(queue);
			}
			if (req.result) {
				return strerror(-req.result);
			}
			req.op = DISK_OP_READ;
			req.flags = 0;
			if (!round) {
				memset(buffer, 0, 65536);
			}
		}
		if (memcmp(buffer, model + req.offset, 65536)) {
			return "not what was written";
		}
	}
	disk_queue_destroy(&queue);
	free(buffer);
	return NULL;
}

static int slow_step(void *user, uint64_t done, uint64_t total)
{
	(void)user;
	(void)done;
	(void)total;
	usleep(1000);
	return 0;
}

/* The top is merged away under the two writers. */
static void test_threads(void **state)
{
	struct disk_progress progress = {slow_step, NULL};
	struct worker workers[2];
	pthread_t threads[2];
	struct disk *disk;
	char parent[128];
	unsigned i;

	(void)state;
	memset(model, 0, sizeof(model));
	snprintf(parent, sizeof(parent), "%s", name("p.vhdx"));
	make(parent, (struct disk_create){.type = DISK_DYNAMIC, .block_size = 1 << 20});
	make(name("t.vhdx"), (struct disk_create){.type = DISK_DIFFERENCING,
						  .block_size = 1 << 20,
						  .parent = parent});
	MUST(disk_open(name("t.vhdx"), NULL, &disk, &error));
	for (i = 0; i < 2; i++) {
		workers[i] = (struct worker){disk, i};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	MUST(disk_merge_online(disk, 0, &progress, &error));
	for (i = 0; i < 2; i++) {
		void *complaint;

		pthread_join(threads[i], &complaint);
		if (complaint != NULL) {
			fail_msg("thread %u: %s", i, (char *)complaint);
		}
	}
	assert_int_equal(disk_layer_count(disk), 1);
	MUST(disk_close(&disk, &error));
	check_all(parent);
	unlink(name("t.vhdx"));
	unlink(parent);
}

static void copy_range(struct disk *from, struct disk *to, uint64_t offset, uint64_t length)
{
	static uint8_t bytes[1 << 18];

	assert_true(length <= sizeof(bytes));
	assert_int_equal(disk_read(from, bytes, length, offset), 0);
	assert_int_equal(disk_write(to, bytes, length, offset), 0);
}

static bool copy_changes(struct disk *from, struct disk *to)
{
	uint64_t offset = 0, length = 1 << 18;
	bool any = false;

	while (disk_changes_take(from, &offset, &length)) {
		copy_range(from, to, offset, length);
		offset += length;
		length = 1 << 18;
		any = true;
	}
	return any;
}

/*
 * The disk of the two writers is copied while they write: at first as it is, then what has changed,
 * and once more when they have come to rest. It is the same disk then, of the same identity.
 */
static void test_changes(void **state)
{
	static const char *const endings[] = {"vhdx", "vhd", "raw"};
	struct worker workers[2];
	struct disk *disk, *copy;
	struct disk_info info;
	pthread_t threads[2];
	char from[128], to[128], id[GUID_CHARS];
	uint64_t at;
	unsigned i, j;

	(void)state;
	for (i = 0; i < 3; i++) {
		snprintf(from, sizeof(from), "%s/f.%s", folder, endings[i]);
		snprintf(to, sizeof(to), "%s/t.%s", folder, endings[i]);
		memset(model, 0, sizeof(model));
		make(from, (struct disk_create){.type = DISK_DYNAMIC});
		MUST(disk_open(from, NULL, &disk, &error));
		assert_int_equal(disk_get_info(disk, 0, &info), 0);
		snprintf(id, sizeof(id), "%s", info.id);
		make(to, (struct disk_create){.type = DISK_DYNAMIC, .id = id[0] != 0 ? id : NULL});
		MUST(disk_open(to, NULL, &copy, &error));
		assert_int_equal(disk_get_info(copy, 0, &info), 0);
		assert_string_equal(info.id, id);
		/* One that was noted and not taken: the next beginning forgets it. */
		assert_int_equal(disk_changes_begin(disk), 0);
		MUST(disk_write(disk, "x", 1, SIZE - 1));
		model[SIZE - 1] = 'x';
		assert_int_equal(disk_changes_left(disk), 65536);
		assert_int_equal(disk_changes_begin(disk), 0);
		assert_int_equal(disk_changes_left(disk), 0);
		for (j = 0; j < 2; j++) {
			workers[j] = (struct worker){disk, j};
			assert_int_equal(pthread_create(&threads[j], NULL, work, &workers[j]), 0);
		}
		for (at = 0; at < SIZE; at += 1 << 18) {
			copy_range(disk, copy, at, 1 << 18);
			(void)copy_changes(disk, copy);
		}
		for (j = 0; j < 2; j++) {
			void *complaint;

			pthread_join(threads[j], &complaint);
			assert_null(complaint);
		}
		/* A trim is a change as well. */
		MUST(disk_trim(disk, 1 << 20, 1 << 20));
		memset(model + (1 << 20), 0, 1 << 20);
		assert_true(copy_changes(disk, copy));
		assert_false(copy_changes(disk, copy));
		assert_int_equal(disk_changes_left(disk), 0);
		disk_changes_end(disk);
		MUST(disk_write(disk, "y", 1, 0));
		assert_int_equal(disk_changes_left(disk), 0);
		MUST(disk_close(&disk, &error));
		MUST(disk_close(&copy, &error));
		check_all(to);
		unlink(from);
		unlink(to);
	}
	assert_int_equal(disk_create(from, &(struct disk_create){.size = SIZE, .id = "none"},
				     &(struct disk_error){.code = 0}),
			 -EINVAL);
}

/* A new top comes under the two writers; the old one may be read by others then, and not be
 * written. */
static void test_push(void **state)
{
	struct disk_open reader = {.flags = DISK_READ_ONLY};
	struct disk_create how = {.type = DISK_DIFFERENCING, .no_lock = true};
	struct worker workers[2];
	pthread_t threads[2];
	struct disk_error refusal;
	struct disk *disk, *other;
	char parent[128];
	unsigned i, round;
	int fd;

	(void)state;
	memset(model, 0, sizeof(model));
	snprintf(parent, sizeof(parent), "%s", name("p.vhdx"));
	make(parent, (struct disk_create){.type = DISK_DYNAMIC, .block_size = 1 << 20});
	MUST(disk_open(parent, NULL, &disk, &error));
	how.parent = parent;
	for (round = 0; round < 3; round++) {
		char child[128], below[128];

		snprintf(child, sizeof(child), "%s/n%u.avhdx", folder, round);
		snprintf(below, sizeof(below), "%s", how.parent);
		MUST(disk_create(child, &how, &error));
		fd = open(child, O_RDWR | O_CLOEXEC);
		for (i = 0; i < 2; i++) {
			workers[i] = (struct worker){disk, i};
			assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
		}
		MUST(disk_push(disk, child, fd, &error));
		for (i = 0; i < 2; i++) {
			void *complaint;

			pthread_join(threads[i], &complaint);
			if (complaint != NULL) {
				fail_msg("thread %u: %s", i, (char *)complaint);
			}
		}
		assert_int_equal(disk_open(below, NULL, &other, &refusal), -EBUSY);
		MUST(disk_open(below, &reader, &other, &error));
		MUST(disk_close(&other, &error));
		snprintf(parent, sizeof(parent), "%s", child); /* how.parent */
	}
	assert_int_equal(disk_layer_count(disk), 4);
	MUST(disk_close(&disk, &error));
	check_all(parent);
	for (round = 0; round < 3; round++) {
		snprintf(parent, sizeof(parent), "%s/n%u.avhdx", folder, round);
		unlink(parent);
	}
	unlink(name("p.vhdx"));
}

/* -- Refusals -- */

/* What cannot be a new top; the disk then is as it was. */
static void test_push_refusals(void **state)
{
	struct disk_create raw = {.size = SIZE}, dynamic = {.type = DISK_DYNAMIC, .size = SIZE},
			   child = {.type = DISK_DIFFERENCING};
	struct disk_error refusal;
	struct disk *disk, *other;
	char parent[128];
	int fd;

	(void)state;
	make(name("r.raw"), raw);
	MUST(disk_open(name("r.raw"), NULL, &disk, &error));
	assert_int_equal(disk_push(disk, "x", -1, &refusal), -EINVAL);
	assert_non_null(strstr(refusal.text, "raw"));
	MUST(disk_close(&disk, &error));
	unlink(name("r.raw"));

	snprintf(parent, sizeof(parent), "%s", name("p.vhdx"));
	make(parent, dynamic);
	make(name("o.vhdx"), dynamic);
	MUST(disk_open(parent, NULL, &disk, &error));
	assert_int_equal(disk_pop(disk, &refusal), -EINVAL);
	fd = open(name("o.vhdx"), O_RDWR | O_CLOEXEC);
	assert_int_equal(disk_push(disk, "o.vhdx", fd, &refusal), -EINVAL);
	close(fd);
	unlink(name("o.vhdx"));
	child.parent = parent;
	child.no_lock = true;
	make(name("c.vhdx"), child);
	fd = open(name("c.vhdx"), O_RDWR | O_CLOEXEC);
	MUST(disk_push(disk, name("c.vhdx"), fd, &error));
	MUST(disk_open(parent, &(struct disk_open){.flags = DISK_READ_ONLY}, &other, &error));
	assert_int_equal(disk_pop(disk, &refusal), -EBUSY);
	assert_int_equal(disk_layer_count(disk), 2);
	disk_close(&other, NULL);
	MUST(disk_pop(disk, &error));
	assert_int_equal(disk_layer_count(disk), 1);
	assert_int_equal(disk_write(disk, "old", 3, 0), 0);
	MUST(disk_close(&disk, &error));
	unlink(name("c.vhdx"));
	unlink(parent);
}

static void test_refusals(void **state)
{
	struct disk_error refusal;
	struct disk *disk, *second;
	struct disk_create child = {.type = DISK_DIFFERENCING};
	char parent[128];

	(void)state;
	snprintf(parent, sizeof(parent), "%s", name("p.vhdx"));
	make(parent, (struct disk_create){.type = DISK_DYNAMIC});
	MUST(disk_open(parent, NULL, &disk, &error));
	assert_int_equal(disk_open(parent, NULL, &second, &refusal), -EBUSY);
	assert_non_null(strstr(refusal.text, "in use"));
	assert_int_equal(
		disk_open(parent, &(struct disk_open){.flags = DISK_READ_ONLY}, &second, &refusal),
		-EBUSY);
	assert_int_equal(disk_write(disk, "x", 1, SIZE), -ERANGE);
	assert_int_equal(disk_write(disk, "x", 1, UINT64_MAX), -ERANGE);
	assert_int_equal(disk_last_error(disk)->code, -ERANGE);
	MUST(disk_close(&disk, &error));

	MUST(disk_open(parent, &(struct disk_open){.flags = DISK_READ_ONLY}, &disk, &error));
	MUST(disk_open(parent, &(struct disk_open){.flags = DISK_READ_ONLY}, &second, &error));
	assert_int_equal(disk_write(disk, "x", 1, 0), -EROFS);
	disk_close(&second, NULL);
	disk_close(&disk, NULL);

	child.parent = parent;
	make(name("c.vhdx"), child);
	MUST(disk_open(parent, NULL, &disk, &error));
	assert_int_equal(disk_write(disk, "changed", 7, 0), 0);
	MUST(disk_close(&disk, &error));
	assert_int_equal(disk_open(name("c.vhdx"), NULL, &disk, &refusal), -ESTALE);
	assert_non_null(strstr(refusal.text, "vhd rebase"));
	MUST(disk_rebase(name("c.vhdx"), parent, DISK_STALE_PARENT, &error));
	MUST(disk_open(name("c.vhdx"), NULL, &disk, &error));
	disk_close(&disk, NULL);
	unlink(parent);
	assert_int_equal(disk_open(name("c.vhdx"), NULL, &disk, &refusal), -ENOENT);
	unlink(name("c.vhdx"));
	assert_int_equal(
		disk_create(name("x.vhd"), &(struct disk_create){.size = 3ull << 40}, &refusal),
		-EINVAL);
	assert_int_equal(access(name("x.vhd"), F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_convert_resize_compact),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_push),
		cmocka_unit_test(test_push_refusals),
		cmocka_unit_test(test_refusals),
	};
	unsigned i;
	int ret;

	if (mkdtemp(folder) == NULL) {
		return 1;
	}
	for (i = 0; i < SLOTS; i++) {
		slots[i].buffer = aligned_alloc(4096, PART / 4096 * 4096 + 4096);
	}
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	for (i = 0; i < SLOTS; i++) {
		free(slots[i].buffer);
	}
	rmdir(folder);
	return ret;
}
