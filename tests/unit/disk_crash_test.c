/*
 * Power cuts. A workload runs on a simulated disk that records every write, size change, hole and
 * sync. Then the files are put into the states that a cut after each single operation could have
 * left, with the operations since the last sync present, missing or torn in many combinations; each
 * is opened, and each sector must hold what the last flush covered or something written since. Then
 * the file is written to and closed again, and must still be right.
 *
 *   disk_crash_test            all workloads, some seeds
 *   disk_crash_test SEEDS [N]  more of them, and all orders of a few threads with up to N departures from the plain one
 *   disk_crash_test --dump DIR some of the states as files, with what we read from them beside, for other programs
 */
#include "tests/fake/part.h"
#include "tests/unit/disk_fake.h"
#include "tests/unit/disk_tasks.h"

#include "disk/disk.h"
#include "disk/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECTOR    512u
#define SECTORS   8192u /* 4 MiB: four blocks of 1 MiB */
#define DISK_SIZE ((uint64_t)SECTORS * SECTOR)
#define BLOCK     2048u /* sectors */
#define WINDOW    64u   /* where blocks meet every sector is looked at, and between one in some */
#define SPARSE    128u
#define HISTORY   64u
#define SLOTS     8u
#define QUEUES    3u /* that a workload goes over */

struct event {            /* a write or trim of a sector */
	uint32_t version; /* 0: zeros */
	/* Operations recorded before it was submitted, and when it was complete. */
	size_t started, ended;
	size_t ended_at; /* by the clock */
	bool durable;    /* once complete: written with DISK_FUA */
};

static struct {
	struct event events[HISTORY];
	unsigned count;
	bool in_flight;
} history[SECTORS];

static struct {
	size_t submitted_at; /* by the clock */
	size_t completed;    /* operations recorded before */
} flushes[512];
static unsigned flush_count;
static uint32_t next_version;
static size_t clock_now; /* what a test sees happens one after the other */

static void fill_sector(uint8_t *out, uint32_t sector, uint32_t version)
{
	uint64_t word = version ? (uint64_t)version << 32 | sector : 0;
	unsigned i;

	for (i = 0; i < SECTOR; i += 8) {
		memcpy(out + i, &word, 8);
	}
}

static void note_start(uint32_t sector, uint32_t count, uint32_t version)
{
	uint32_t i;

	for (i = sector; i < sector + count; i++) {
		assert_true(history[i].count < HISTORY);
		history[i].events[history[i].count++] =
			(struct event){version, fake_op_count(), SIZE_MAX, SIZE_MAX, false};
		history[i].in_flight = true;
	}
}

static void note_end(uint32_t sector, uint32_t count, bool durable)
{
	uint32_t i;

	for (i = sector; i < sector + count; i++) {
		history[i].events[history[i].count - 1].ended = fake_op_count();
		history[i].events[history[i].count - 1].ended_at = ++clock_now;
		history[i].events[history[i].count - 1].durable = durable;
		history[i].in_flight = false;
	}
}

/* Everything that the disk holds now is old and durable. */
static void history_begin(void)
{
	uint32_t i;

	for (i = 0; i < SECTORS; i++) {
		uint32_t last =
			history[i].count ? history[i].events[history[i].count - 1].version : 0;

		history[i].events[0] = (struct event){last, 0, 0, 0, true};
		history[i].count = 1;
	}
	flush_count = 0;
}

/* The disk is as it was at history_begin(). */
static void history_again(void)
{
	uint32_t i;

	for (i = 0; i < SECTORS; i++) {
		history[i].count = 1;
	}
	flush_count = 0;
}

/* May this sector hold this version after a cut at k? */
static bool is_allowed(uint32_t sector, uint32_t version, size_t k)
{
	size_t covered = 0;
	unsigned i, from = 0;

	for (i = 0; i < flush_count; i++) {
		if (flushes[i].completed <= k && flushes[i].submitted_at > covered) {
			covered = flushes[i].submitted_at;
		}
	}
	for (i = 0; i < history[sector].count; i++) {
		const struct event *e = &history[sector].events[i];

		if (e->ended_at <= covered || (e->durable && e->ended < k)) {
			from = i;
		}
	}
	for (i = from; i < history[sector].count; i++) {
		const struct event *e = &history[sector].events[i];

		if (e->version == version && (i == from || e->started <= k)) {
			return true;
		}
	}
	return false;
}

/* -- Workload -- */

struct slot {
	struct disk_req req;
	struct iovec iov[3];
	uint8_t *buffer;
	uint32_t sector, count;
	size_t submitted_at; /* a flush */
	bool busy;
};

static struct slot slots[SLOTS];

static void slot_done(struct disk_req *req)
{
	struct slot *slot = req->user;

	assert_int_equal(req->result, 0);
	slot->busy = false;
	if (req->op == DISK_OP_FLUSH) {
		flushes[flush_count].submitted_at = slot->submitted_at;
		flushes[flush_count++].completed = fake_op_count();
		return;
	}
	note_end(slot->sector, slot->count, req->flags & DISK_FUA);
}

static bool range_is_free(uint32_t sector, uint32_t count)
{
	uint32_t i;

	for (i = sector; i < sector + count; i++) {
		if (history[i].in_flight || history[i].count + 1 >= HISTORY) {
			return false;
		}
	}
	return true;
}

/* Whole blocks often enough when trimming: only those give space back. */
static void choose_range(bool trim, uint32_t *sector, uint32_t *count)
{
	uint32_t kind = fake_random() % (trim ? 2 : 8);

	if (kind == 0) { /* a whole block */
		*count = BLOCK;
		*sector = fake_random() % 4 * BLOCK;
		return;
	}
	*count = 1 + fake_random() % 40; /* near a block's edge, or over it */
	*sector = fake_random() % 5 * BLOCK + fake_random() % (2 * WINDOW - *count);
	*sector = *sector < WINDOW ? 0 : *sector - WINDOW;
	*sector = *sector > SECTORS - *count ? SECTORS - *count : *sector;
}

static void prepare_data(struct slot *slot, uint32_t version)
{
	uint64_t length = (uint64_t)slot->count * SECTOR, cut_1 = length / 3, cut_2 = length / 2;
	uint32_t i;

	for (i = 0; i < slot->count; i++) {
		fill_sector(slot->buffer + i * SECTOR, slot->sector + i, version);
	}
	slot->iov[0] = (struct iovec){slot->buffer, cut_1};
	slot->iov[1] = (struct iovec){slot->buffer + cut_1, cut_2 - cut_1};
	slot->iov[2] = (struct iovec){slot->buffer + cut_2, length - cut_2};
	slot->req.iov = slot->iov;
	slot->req.iov_count = 3;
	slot->req.length = length;
}

static void submit_random(struct disk_queue *queue, struct disk *disk, struct slot *slot)
{
	uint32_t kind = fake_random() % 10;

	slot->req = (struct disk_req){.done = slot_done, .user = slot};
	slot->busy = true;
	if (kind < 2) {
		slot->req.op = DISK_OP_FLUSH;
		slot->submitted_at = ++clock_now;
		disk_submit(queue, disk, &slot->req);
		return;
	}
	do {
		choose_range(kind == 2 || kind == 4, &slot->sector, &slot->count);
	} while (!range_is_free(slot->sector, slot->count));
	slot->req.op = kind == 2 || kind == 4 ? DISK_OP_TRIM : DISK_OP_WRITE;
	slot->req.flags = kind == 3 || fake_random() % 8 == 0 ? DISK_FUA : 0;
	slot->req.offset = (uint64_t)slot->sector * SECTOR;
	slot->req.length = (uint64_t)slot->count * SECTOR;
	note_start(slot->sector, slot->count, slot->req.op == DISK_OP_TRIM ? 0 : ++next_version);
	if (slot->req.op == DISK_OP_WRITE) {
		prepare_data(slot, next_version);
	}
	disk_submit(queue, disk, &slot->req);
}

/*
 * Over several queues, as channels of a guest are; the helpers' requests run in between, and so
 * does `beside`, if there is one.
 */
static void run_workload_beside(struct disk *disk, unsigned steps, void (*beside)(void *user))
{
	struct disk_queue *queues[QUEUES];
	unsigned i, busy;

	for (i = 0; i < QUEUES; i++) {
		assert_int_equal(disk_queue_create(SLOTS, &queues[i], NULL), 0);
	}
	tasks_begin_random();
	if (beside != NULL) {
		tasks_start(beside, disk);
	}
	do {
		for (i = 0, busy = 0; i < SLOTS; i++) {
			if (!slots[i].busy && steps && fake_random() % 3 == 0) {
				steps--;
				submit_random(queues[fake_random() % QUEUES], disk, &slots[i]);
			}
			busy += slots[i].busy;
		}
		disk_queue_poll(queues[fake_random() % QUEUES]);
		tasks_pause();
	} while (steps || busy);
	tasks_join();
	tasks_end();
	for (i = 0; i < QUEUES; i++) {
		disk_queue_destroy(&queues[i]);
	}
}

static void run_workload(struct disk *disk, unsigned steps)
{
	run_workload_beside(disk, steps, NULL);
}

/* -- Verification -- */

static unsigned dumped, verified;
static const char *dump_folder;

static uint8_t view[DISK_SIZE];

/* What is looked at, as runs of sectors; 0: no more. */
static uint32_t watched_run(uint32_t *sector)
{
	uint32_t in_block = *sector % BLOCK;

	if (in_block >= WINDOW && in_block < BLOCK - WINDOW) {
		*sector += in_block % SPARSE ? SPARSE - in_block % SPARSE : 0;
		in_block = *sector % BLOCK;
	}
	if (*sector >= SECTORS) {
		return 0;
	}
	return in_block < WINDOW            ? WINDOW - in_block
	       : in_block >= BLOCK - WINDOW ? BLOCK - in_block
					    : 1;
}

static void read_watched(struct disk *disk, uint8_t *out)
{
	uint32_t sector, n;

	for (sector = 0; (n = watched_run(&sector)); sector += n) {
		assert_int_equal(disk_read(disk, out + sector * SECTOR, (uint64_t)n * SECTOR,
					   (uint64_t)sector * SECTOR),
				 0);
	}
}

static bool watched_equal(const uint8_t *a, const uint8_t *b)
{
	uint32_t sector, n;

	for (sector = 0; (n = watched_run(&sector)); sector += n) {
		if (memcmp(a + sector * SECTOR, b + sector * SECTOR, n * SECTOR)) {
			return false;
		}
	}
	return true;
}

static void check_sector(uint32_t i, size_t k, unsigned variant)
{
	uint8_t expected[SECTOR];
	uint64_t word;
	uint32_t version;

	memcpy(&word, view + i * SECTOR, 8);
	version = (uint32_t)(word >> 32);
	fill_sector(expected, i, version);
	if (memcmp(expected, view + i * SECTOR, SECTOR) || !is_allowed(i, version, k)) {
		fail_msg("cut %zu.%u: sector %u holds version %u, word %llx, last %u", k, variant,
			 i, version, (unsigned long long)word,
			 history[i].events[history[i].count - 1].version);
	}
}

static void check_view(struct disk *disk, size_t k, unsigned variant)
{
	uint32_t sector, n, i;

	read_watched(disk, view);
	for (sector = 0; (n = watched_run(&sector)); sector += n) {
		for (i = sector; i < sector + n; i++) {
			check_sector(i, k, variant);
		}
	}
	verified++;
}

/* The file, its parents as NAME.1, NAME.2 and so on, and what we read. */
static void dump_state(struct disk *disk, const char *path, size_t k, unsigned variant)
{
	const char *ending = strrchr(path, '.');
	struct disk_info info;
	char name[512];
	unsigned i;
	FILE *out;

	snprintf(name, sizeof(name), "%s/cut-%u-%zu-%u%s", dump_folder, dumped, k, variant, ending);
	assert_true(fake_dump(path, name));
	for (i = 1; disk_get_info(disk, i, &info) == 0; i++) {
		snprintf(name, sizeof(name), "%s/cut-%u-%zu-%u%s.%u", dump_folder, dumped, k,
			 variant, ending, i);
		assert_true(fake_dump(info.path, name));
	}
	snprintf(name, sizeof(name), "%s/cut-%u-%zu-%u%s.view", dump_folder, dumped, k, variant,
		 ending);
	out = fopen(name, "we");
	assert_non_null(out);
	assert_int_equal(fwrite(view, DISK_SIZE, 1, out), 1);
	fclose(out);
	dumped++;
}

/* Life goes on after the cut: one more write, flushed and closed. The rest stays as it was read. */
static void check_recovery(const char *path, size_t k)
{
	static uint8_t before[DISK_SIZE];
	struct disk_error error;
	struct disk *disk;
	uint32_t sector = fake_random() % WINDOW;

	uint32_t i, n;

	for (i = 0; (n = watched_run(&i)); i += n) {
		memcpy(before + i * SECTOR, view + i * SECTOR, n * SECTOR);
	}
	fill_sector(before + sector * SECTOR, sector, 77777);
	if (disk_open(path, NULL, &disk, &error)) {
		fail_msg("cut %zu: for writing: %s", k, error.text);
	}
	assert_int_equal(
		disk_write(disk, before + sector * SECTOR, SECTOR, (uint64_t)sector * SECTOR), 0);
	assert_int_equal(disk_close(&disk, &error), 0);
	assert_int_equal(
		disk_open(path, &(struct disk_open){.flags = DISK_READ_ONLY}, &disk, &error), 0);
	read_watched(disk, view);
	assert_true(watched_equal(before, view));
	assert_int_equal(disk_close(&disk, &error), 0);
}

static void check_report(const char *path, size_t k, unsigned variant)
{
	struct disk_report report;
	struct disk_error error;

	if (disk_check(path, DISK_FORMAT_AUTO, 0, &report, &error)) {
		fail_msg("cut %zu.%u: %s", k, variant, error.text);
	}
	/* A VHD's footer may be cut off while it moves; its copy is there for that. */
	if (report.damages &&
	    (strstr(path, ".vhdx") != NULL || strstr(report.findings[0].text, "footer") == NULL)) {
		fail_msg("cut %zu.%u: %s", k, variant, report.findings[0].text);
	}
	disk_report_free(&report);
}

static void verify_state(const char *path, size_t k, unsigned variant)
{
	struct disk_error error;
	struct disk *disk;

	fake_writes();
	if (disk_open(path, &(struct disk_open){.flags = DISK_READ_ONLY}, &disk, &error)) {
		fail_msg("cut %zu.%u: %s", k, variant, error.text);
	}
	check_view(disk, k, variant);
	if (dump_folder != NULL && verified % (disk_layer_count(disk) > 1 ? 27 : 9) == 0) {
		assert_int_equal(disk_read(disk, view, DISK_SIZE, 0), 0);
		dump_state(disk, path, k, variant);
	}
	assert_int_equal(disk_close(&disk, &error), 0);
	assert_int_equal(fake_writes(), 0);
	if ((k + variant) % 5 == 0) {
		check_report(path, k, variant);
		check_recovery(path, k);
	}
}

static void verify_cut(const char *path, size_t k, unsigned variant)
{
	fake_cut_make(variant);
	verify_state(path, k, variant);
}

static void verify_all_cuts(const char *path)
{
	size_t count = fake_op_count(), k;
	unsigned variant;

	fake_cuts_begin();
	for (k = 0; k <= count; k = next_place(k, count)) {
		fake_cut_at(k);
		for (variant = 0; variant < fake_cut_variants(); variant++) {
			verify_cut(path, k, variant);
		}
	}
	fake_cuts_end();
}

/* -- The cases -- */

static unsigned seeds = 1;

static void make_disk(const char *path, const char *parent)
{
	struct disk_create how = {.type = parent != NULL ? DISK_DIFFERENCING : DISK_DYNAMIC,
				  .size = DISK_SIZE,
				  .block_size = 1 << 20,
				  .parent = parent};
	struct disk_error error;

	if (disk_create(path, &how, &error)) {
		fail_msg("%s", error.text);
	}
}

static struct disk *open_disk(const char *path)
{
	struct disk_error error;
	struct disk *disk;

	if (disk_open(path, NULL, &disk, &error)) {
		fail_msg("%s", error.text);
	}
	return disk;
}

static void close_disk(struct disk *disk)
{
	struct disk_error error;

	if (disk_close(&disk, &error)) {
		fail_msg("%s", error.text);
	}
}

static void begin_case(uint32_t seed)
{
	fake_reset(seed);
	memset(history, 0, sizeof(history));
	history_begin();
	next_version = 0;
}

static void unrecorded_workload(const char *path, unsigned steps)
{
	struct disk *disk = open_disk(path);

	run_workload(disk, steps);
	close_disk(disk);
	history_begin();
}

static void fill_everything(const char *path)
{
	struct disk *disk = open_disk(path);
	uint32_t i;

	note_start(0, SECTORS, ++next_version);
	for (i = 0; i < SECTORS; i++) {
		fill_sector(view + i * SECTOR, i, next_version);
	}
	assert_int_equal(disk_write(disk, view, DISK_SIZE, 0), 0);
	note_end(0, SECTORS, false);
	close_disk(disk);
	history_begin();
}

/* Two sessions: the second one begins on a file that has a past. */
static void run_sessions(const char *path)
{
	unsigned session;

	fake_record();
	for (session = 0; session < 2; session++) {
		struct disk *disk = open_disk(path);

		run_workload(disk, 16);
		if (session) {
			close_disk(disk);
		} else { /* the sessions are one history: closing is a flush */
			flushes[flush_count].submitted_at = ++clock_now;
			close_disk(disk);
			flushes[flush_count++].completed = fake_op_count();
		}
	}
	verify_all_cuts(path);
}

static void test_dynamic(const char *path, uint32_t seed)
{
	begin_case(seed);
	make_disk(path, NULL);
	if (seed % 2) {
		unrecorded_workload(path, 20);
	}
	run_sessions(path);
}

static void test_differencing(const char *path, const char *parent, uint32_t seed)
{
	begin_case(seed);
	make_disk(parent, NULL);
	fill_everything(parent);
	make_disk(path, parent);
	if (seed % 2) {
		unrecorded_workload(path, 20);
	}
	run_sessions(path);
}

#define FOR_SEEDS(call)                                                                            \
	do {                                                                                       \
		uint32_t seed;                                                                     \
		for (seed = 1; seed <= seeds; seed++) {                                            \
			call;                                                                      \
		}                                                                                  \
	} while (0)

static void test_vhdx_dynamic(void **state)
{
	(void)state;
	FOR_SEEDS(test_dynamic("a.vhdx", seed));
}

static void test_vhdx_differencing(void **state)
{
	(void)state;
	FOR_SEEDS(test_differencing("c.vhdx", "p.vhdx", seed));
}

static void test_vhd_dynamic(void **state)
{
	(void)state;
	FOR_SEEDS(test_dynamic("a.vhd", seed));
}

static void test_vhd_differencing(void **state)
{
	(void)state;
	FOR_SEEDS(test_differencing("c.vhd", "p.vhd", seed));
}

/* -- Changes of whole files: what the disk reads as never changes -- */

static void prepare_used_disk(const char *path)
{
	make_disk(path, NULL);
	unrecorded_workload(path, 20);
}

static void test_compact(const char *path, uint32_t seed)
{
	struct disk *disk;

	begin_case(seed);
	prepare_used_disk(path);
	disk = open_disk(path);
	assert_int_equal(disk_trim(disk, 1 << 20, 0), 0);
	note_start(0, 2048, 0);
	note_end(0, 2048, false);
	close_disk(disk);
	history_begin();
	fake_record();
	disk = open_disk(path);
	assert_int_equal(disk_compact(disk, NULL, NULL), 0);
	close_disk(disk);
	verify_all_cuts(path);
}

static void test_grow(const char *path, uint64_t size, uint32_t seed)
{
	struct disk_error error;
	struct disk *disk;

	begin_case(seed);
	prepare_used_disk(path);
	fake_record();
	disk = open_disk(path);
	if (disk_resize(disk, size, false, &error)) {
		fail_msg("%s", error.text);
	}
	assert_int_equal(disk_size(disk), size);
	close_disk(disk);
	verify_all_cuts(path);
}

static void test_merge(const char *path, const char *parent, uint32_t seed)
{
	struct disk_error error;

	begin_case(seed);
	make_disk(parent, NULL);
	fill_everything(parent);
	make_disk(path, parent);
	unrecorded_workload(path, 20);
	fake_record();
	if (disk_merge(path, 1, false, 0, NULL, &error)) {
		fail_msg("%s", error.text);
	}
	verify_all_cuts(path);
}

/* After each cut the merge is run again, and the parent alone must then hold everything. */
static void test_merge_again(const char *path, const char *parent, uint32_t seed)
{
	struct disk_error error;
	struct disk *disk;
	size_t count, k;

	begin_case(seed);
	make_disk(parent, NULL);
	fill_everything(parent);
	make_disk(path, parent);
	unrecorded_workload(path, 20);
	fake_record();
	assert_int_equal(disk_merge(path, 1, false, 0, NULL, &error), 0);
	count = fake_op_count();
	fake_cuts_begin();
	for (k = 0; k <= count; k = next_place(k, count)) {
		fake_cut_at(k);
		fake_cut_make(fake_random() % fake_cut_variants());
		if (disk_merge(path, 1, false, 0, NULL, &error)) {
			fail_msg("cut %zu: %s", k, error.text);
		}
		disk = open_disk(parent);
		check_view(disk, k, 0);
		close_disk(disk);
	}
	fake_cuts_end();
}

/* The middle of three goes into the lowest while the top stays in use. */
static void test_merge_middle(const char *ending, uint32_t seed)
{
	char names[3][16];
	struct disk_error error;
	struct disk *disk;
	unsigned i;

	begin_case(seed);
	for (i = 0; i < 3; i++) {
		snprintf(names[i], sizeof(names[i]), "m%u.%s", i, ending);
		make_disk(names[i], i ? names[i - 1] : NULL);
		unrecorded_workload(names[i], 15);
	}
	fake_record();
	disk = open_disk(names[2]);
	run_workload(disk, 5);
	if (disk_merge_online(disk, 1, NULL, &error)) {
		fail_msg("%s", error.text);
	}
	assert_int_equal(disk_layer_count(disk), 2);
	run_workload(disk, 10);
	close_disk(disk);
	verify_all_cuts(names[2]);
}

/* The top goes into its parent and the handle goes on with that; the old name must still lead to
 * all data. */
static void test_merge_top_online(const char *ending, uint32_t seed)
{
	char parent[16], child[16];
	struct disk_error error;
	struct disk *disk;

	begin_case(seed);
	snprintf(parent, sizeof(parent), "p.%s", ending);
	snprintf(child, sizeof(child), "c.%s", ending);
	make_disk(parent, NULL);
	fill_everything(parent);
	make_disk(child, parent);
	fake_record();
	disk = open_disk(child);
	run_workload(disk, 10);
	if (disk_merge_online(disk, 0, NULL, &error)) {
		fail_msg("%s", error.text);
	}
	run_workload(disk, 10);
	close_disk(disk);
	verify_all_cuts(child);
}

static void merge_top(void *user)
{
	struct disk_error error;

	if (disk_merge_online(user, 0, NULL, &error)) {
		fail_msg("%s", error.text);
	}
}

static void merge_middle(void *user)
{
	struct disk_error error;

	if (disk_merge_online(user, 1, NULL, &error)) {
		fail_msg("%s", error.text);
	}
}

/* Writes and flushes of several queues while the merge goes on. */
static void test_merge_under_load(const char *ending, bool middle, uint32_t seed)
{
	char names[3][16];
	struct disk *disk;
	unsigned i, count = middle ? 3 : 2;

	begin_case(seed);
	for (i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "l%u.%s", i, ending);
		make_disk(names[i], i ? names[i - 1] : NULL);
		unrecorded_workload(names[i], 10);
	}
	fake_record();
	disk = open_disk(names[count - 1]);
	run_workload_beside(disk, 20, middle ? merge_middle : merge_top);
	assert_int_equal(disk_layer_count(disk), count - 1);
	run_workload(disk, 3);
	close_disk(disk);
	verify_all_cuts(names[count - 1]);
}

/* By descriptors, as a process without names does it. Of three files the middle one goes, of two
 * the top. */
static struct {
	char names[3][16];
	unsigned count;
	unsigned stop; /* at this step; 0: not at all */
} merge;

/* Stops what is under way when *user, its steps, comes to 0; 0 from the first on: never. */
static int count_step(void *user, uint64_t done, uint64_t total)
{
	unsigned *stop = user;

	(void)done;
	(void)total;
	tasks_pause();
	return *stop && !--*stop ? -ECANCELED : 0;
}

static int merge_files(struct disk *disk)
{
	const struct disk_progress progress = {.step = count_step, .user = &merge.stop};
	unsigned goes = merge.count - 1 - (merge.count == 3);
	struct disk_merge_files files = {.file = fake_descriptor(merge.names[goes]),
					 .parent = fake_descriptor(merge.names[goes - 1]),
					 .child = -1,
					 .absolute = merge.names[goes - 1],
					 .relative = merge.names[goes - 1]};

	if (goes + 1 < merge.count) {
		files.child = fake_descriptor(merge.names[goes + 1]);
	}
	return disk_merge_files(disk, &files, &progress, NULL);
}

/* Given up at some step, it is begun again. */
static void merge_by_files(void *user)
{
	bool stops = merge.stop;
	int ret = merge_files(user);

	if (stops && ret != -ECANCELED) {
		fail_msg("a merge that was stopped: %d", ret);
	}
	ret = stops ? merge_files(user) : ret;
	if (ret) {
		fail_msg("by descriptors: %s", strerror(-ret));
	}
	assert_int_equal(merge_files(user), -EALREADY);
}

static void test_merge_files_under_load(const char *ending, unsigned count, bool stops,
					uint32_t seed)
{
	struct disk *disk;
	unsigned i;

	begin_case(seed);
	for (i = 0; i < count; i++) {
		snprintf(merge.names[i], sizeof(merge.names[i]), "f%u.%s", i, ending);
		make_disk(merge.names[i], i ? merge.names[i - 1] : NULL);
		unrecorded_workload(merge.names[i], 10);
	}
	merge.count = count;
	merge.stop = stops ? 1 + seed % 3 : 0;
	fake_record();
	disk = open_disk(merge.names[count - 1]);
	run_workload_beside(disk, 20, merge_by_files);
	assert_int_equal(disk_layer_count(disk), count - 1);
	run_workload(disk, 3);
	close_disk(disk);
	verify_all_cuts(merge.names[count - 1]);
}

/* Given up, and a checkpoint taken of what there is: the parent is one that is only read again. */
static void test_merge_stopped_then_push(const char *ending, uint32_t seed)
{
	struct disk_error error;
	struct disk *disk;
	unsigned i;

	begin_case(seed);
	for (i = 0; i < 2; i++) {
		snprintf(merge.names[i], sizeof(merge.names[i]), "f%u.%s", i, ending);
		make_disk(merge.names[i], i ? merge.names[i - 1] : NULL);
		unrecorded_workload(merge.names[i], 10);
	}
	snprintf(merge.names[2], sizeof(merge.names[2]), "f2.%s", ending);
	make_disk(merge.names[2], merge.names[1]);
	merge.count = 2;
	merge.stop = 1 + seed % 3;
	fake_record();
	disk = open_disk(merge.names[1]);
	run_workload(disk, 5);
	assert_int_equal(merge_files(disk), -ECANCELED);
	run_workload(disk, 5);
	if (disk_push(disk, merge.names[2], fake_descriptor(merge.names[2]), &error)) {
		fail_msg("%s", error.text);
	}
	run_workload(disk, 5);
	merge.count = 3;
	merge_by_files(disk);
	run_workload(disk, 5);
	close_disk(disk);
	disk = open_disk(merge.names[2]);
	check_view(disk, fake_op_count(), 0);
	close_disk(disk);
}

static struct {
	char base[16], child[16];
	size_t began, ended; /* operations */
} push;

static void push_child(void *user)
{
	struct disk_error error;

	push.began = fake_op_count();
	if (disk_push(user, push.child, fake_descriptor(push.child), &error)) {
		fail_msg("%s", error.text);
	}
	push.ended = fake_op_count();
}

/* Where the new file leads to the old one it has everything; it leads there once the push is over,
 * and until then the old one has it. */
static void verify_push_cut(size_t k, unsigned variant)
{
	struct disk *disk;
	int ret;

	fake_cut_make(variant);
	ret = disk_open(push.child, &(struct disk_open){.flags = DISK_READ_ONLY}, &disk, NULL);
	if (!ret) {
		disk_close(&disk, NULL);
	} else if (k >= push.ended) {
		fail_msg("cut %zu.%u: the new file: %s", k, variant, strerror(-ret));
	}
	verify_state(ret ? push.base : push.child, k, variant);
	if (!ret && k <= push.began) {
		verify_cut(push.base, k, variant);
	}
}

/* A checkpoint under several queues; cut anywhere. */
static void test_push_under_load(const char *ending, uint32_t seed)
{
	struct disk_create how = {.type = DISK_DIFFERENCING, .no_lock = true};
	struct disk *disk;
	unsigned variant;
	size_t k, count;

	begin_case(seed);
	snprintf(push.base, sizeof(push.base), "b.%s", ending);
	snprintf(push.child, sizeof(push.child), "n.a%s", ending);
	how.parent = push.base;
	make_disk(push.base, NULL);
	unrecorded_workload(push.base, 10);
	disk = open_disk(push.base);
	if (seed % 2) {
		run_workload(disk, 5);
	}
	assert_int_equal(disk_create(push.child, &how, NULL), 0);
	assert_int_equal(disk_flush(disk), 0);
	history_begin();
	fake_record();
	run_workload_beside(disk, 20, push_child);
	assert_int_equal(disk_layer_count(disk), 2);
	run_workload(disk, 5);
	close_disk(disk);
	count = fake_op_count();
	fake_cuts_begin();
	for (k = 0; k <= count; k = next_place(k, count)) {
		fake_cut_at(k);
		for (variant = 0; variant < fake_cut_variants(); variant++) {
			verify_push_cut(k, variant);
		}
	}
	fake_cuts_end();
}

/* Taken back before anything was written: the old file goes on, and is all there is. */
static void test_push_and_pop(const char *ending, uint32_t seed)
{
	struct disk_error error;
	struct disk *disk;

	begin_case(seed);
	snprintf(push.base, sizeof(push.base), "b.%s", ending);
	snprintf(push.child, sizeof(push.child), "n.a%s", ending);
	make_disk(push.base, NULL);
	make_disk(push.child, push.base);
	fake_record();
	disk = open_disk(push.base);
	run_workload(disk, 10);
	push_child(disk);
	if (disk_pop(disk, &error)) {
		fail_msg("%s", error.text);
	}
	assert_int_equal(disk_layer_count(disk), 1);
	run_workload(disk, 10);
	close_disk(disk);
	verify_all_cuts(push.base);
}

/* A disk in use, with a parent or without, goes over to a copy, or does not. */
static struct {
	char base[16], old[16], copy[16];
	unsigned stop; /* at this step; 0: not at all */
	bool is_child;
} mirror;

static int try_mirror(struct disk *disk)
{
	const struct disk_progress progress = {.step = count_step, .user = &mirror.stop};
	struct file file;
	int fds[2];
	const struct disk_mirror_files files = {.path = mirror.copy,
						.fds = fds,
						.fd_count = 1u + mirror.is_child,
						.absolute = mirror.base,
						.relative = mirror.base};
	struct disk_error error;
	int ret;

	mirror.copy[0]++; /* a new one each time */
	assert_int_equal(file_create(&file, mirror.copy, false, false, NULL), 0);
	file_close(&file);
	fds[0] = fake_descriptor(mirror.copy);
	fds[1] = fake_descriptor(mirror.base); /* which is as good as a copy of it */
	ret = disk_mirror(disk, &files, &progress, &error);
	if (ret && ret != -ECANCELED) {
		fail_msg("%s", error.text);
	}
	return ret;
}

static void begin_mirror(void *user)
{
	bool stops = mirror.stop;

	assert_int_equal(try_mirror(user), stops ? -ECANCELED : 0);
	if (stops) {
		assert_int_equal(try_mirror(user), 0);
	}
}

static struct disk *prepare_mirror(const char *ending, bool is_child, uint32_t seed)
{
	begin_case(seed);
	snprintf(mirror.base, sizeof(mirror.base), "b.%s", ending);
	snprintf(mirror.old, sizeof(mirror.old), "o.%s", ending);
	snprintf(mirror.copy, sizeof(mirror.copy), "c.%s", ending);
	mirror.is_child = is_child;
	mirror.stop = 0;
	if (is_child) {
		make_disk(mirror.base, NULL);
		fill_everything(mirror.base);
	}
	make_disk(mirror.old, is_child ? mirror.base : NULL);
	unrecorded_workload(mirror.old, 10);
	fake_record();
	return open_disk(mirror.old);
}

/* Both are whole, whatever is cut, between the flush of the copy, which nobody writes to then, and
 * the end; before that the old file is, behind it the copy. */
static void test_mirror_under_load(const char *ending, bool is_child, uint32_t seed)
{
	struct disk *disk = prepare_mirror(ending, is_child, seed);
	struct disk_info was, is;
	size_t k, count, flushed, ended;
	unsigned variant;

	mirror.stop = seed % 2 ? 0 : 1 + seed % 3;
	assert_int_equal(disk_get_info(disk, 0, &was), 0);
	run_workload_beside(disk, 20, begin_mirror);
	run_workload(disk, 5);
	assert_int_equal(disk_mirror_flush(disk), 0);
	flushed = fake_op_count();
	assert_int_equal(disk_mirror_end(disk, true), 0);
	ended = fake_op_count();
	assert_int_equal(disk_layer_count(disk), 1 + is_child);
	assert_int_equal(disk_get_info(disk, 0, &is), 0);
	assert_string_equal(was.id, is.id);
	assert_int_equal(was.size, is.size);
	run_workload(disk, 5);
	close_disk(disk);
	count = fake_op_count();
	fake_cuts_begin();
	for (k = 0; k <= count; k = next_place(k, count)) {
		fake_cut_at(k);
		for (variant = 0; variant < fake_cut_variants(); variant++) {
			if (k <= ended) {
				verify_cut(mirror.old, k, variant);
			}
			if (k >= flushed) {
				verify_cut(mirror.copy, k, variant);
			}
		}
	}
	fake_cuts_end();
}

/* Given up, by who asked or with the handle, the disk is what it was. */
static void test_mirror_dropped(const char *ending, bool is_child, uint32_t seed)
{
	struct disk *disk = prepare_mirror(ending, is_child, seed);
	struct disk_error error;

	run_workload_beside(disk, 10, begin_mirror);
	run_workload(disk, 5);
	assert_int_equal(disk_push(disk, mirror.copy, 0, &error), is_child ? -EBUSY : -EINVAL);
	assert_int_equal(disk_merge_online(disk, 0, NULL, &error), is_child ? -EBUSY : -EINVAL);
	assert_int_equal(disk_mirror_end(disk, false), 0);
	assert_int_equal(disk_mirror_flush(disk), -EINVAL);
	assert_int_equal(disk_mirror_end(disk, true), -EINVAL);
	run_workload(disk, 5);
	begin_mirror(disk);
	close_disk(disk);
	verify_all_cuts(mirror.old);
}

/* The copy cannot be written any more: the guest notices nothing, and the disk does not go over. */
static void test_mirror_fails(const char *ending, uint32_t seed)
{
	struct disk *disk = prepare_mirror(ending, false, seed);
	uint8_t sector[SECTOR];

	begin_mirror(disk);
	note_start(BLOCK, 1, ++next_version);
	fill_sector(sector, BLOCK, next_version);
	fake_fail_file(mirror.copy);
	assert_int_equal(disk_write(disk, sector, SECTOR, (uint64_t)BLOCK * SECTOR), 0);
	note_end(BLOCK, 1, false);
	run_workload(disk, 5);
	assert_int_equal(disk_mirror_flush(disk), -EIO);
	assert_non_null(strstr(disk_last_error(disk)->text, "not whole"));
	assert_int_equal(disk_mirror_end(disk, true), -EIO);
	fake_fail_file(NULL);
	run_workload(disk, 5);
	close_disk(disk);
	verify_all_cuts(mirror.old);
}

static void test_mirrors(void **state)
{
	static const char *const endings[] = {"vhdx", "vhd", "raw"};
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		bool blocks = i < 2;

		FOR_SEEDS(test_mirror_under_load(endings[i], false, seed));
		FOR_SEEDS(test_mirror_under_load(endings[i], blocks, seed + 1));
		FOR_SEEDS(test_mirror_dropped(endings[i], blocks, seed));
		FOR_SEEDS(test_mirror_fails(endings[i], seed));
	}
}

static void test_rebase(const char *path, const char *parent, uint32_t seed)
{
	struct disk_error error;

	begin_case(seed);
	make_disk(parent, NULL);
	fill_everything(parent);
	make_disk(path, parent);
	unrecorded_workload(path, 10);
	fake_record();
	assert_int_equal(disk_rebase(path, parent, 0, &error), 0);
	verify_all_cuts(path);
}

static void test_vhdx_changes(void **state)
{
	(void)state;
	FOR_SEEDS(test_compact("a.vhdx", seed));
	FOR_SEEDS(test_grow("a.vhdx", 256ull << 30, seed)); /* the block table must move */
	FOR_SEEDS(test_merge("c.vhdx", "p.vhdx", seed));
	FOR_SEEDS(test_merge_again("c.vhdx", "p.vhdx", seed));
	FOR_SEEDS(test_merge_middle("vhdx", seed));
	FOR_SEEDS(test_merge_top_online("vhdx", seed));
	FOR_SEEDS(test_merge_under_load("vhdx", false, seed));
	FOR_SEEDS(test_merge_under_load("vhdx", true, seed));
	FOR_SEEDS(test_merge_files_under_load("vhdx", 2, false, seed));
	FOR_SEEDS(test_merge_files_under_load("vhdx", 3, false, seed));
	FOR_SEEDS(test_merge_files_under_load("vhdx", 2, true, seed));
	FOR_SEEDS(test_merge_files_under_load("vhdx", 3, true, seed));
	FOR_SEEDS(test_merge_stopped_then_push("vhdx", seed));
	FOR_SEEDS(test_rebase("c.vhdx", "p.vhdx", seed));
	FOR_SEEDS(test_push_under_load("vhdx", seed));
	FOR_SEEDS(test_push_under_load("vhdx", seed + 1));
	FOR_SEEDS(test_push_and_pop("vhdx", seed));
}

static void test_vhd_changes(void **state)
{
	(void)state;
	FOR_SEEDS(test_compact("a.vhd", seed));
	FOR_SEEDS(test_grow("a.vhd", 64ull << 30, seed));
	FOR_SEEDS(test_merge("c.vhd", "p.vhd", seed));
	FOR_SEEDS(test_merge_again("c.vhd", "p.vhd", seed));
	FOR_SEEDS(test_merge_middle("vhd", seed));
	FOR_SEEDS(test_merge_top_online("vhd", seed));
	FOR_SEEDS(test_merge_under_load("vhd", false, seed));
	FOR_SEEDS(test_merge_under_load("vhd", true, seed));
	FOR_SEEDS(test_merge_files_under_load("vhd", 2, false, seed));
	FOR_SEEDS(test_merge_files_under_load("vhd", 3, false, seed));
	FOR_SEEDS(test_merge_files_under_load("vhd", 2, true, seed));
	FOR_SEEDS(test_merge_files_under_load("vhd", 3, true, seed));
	FOR_SEEDS(test_merge_stopped_then_push("vhd", seed));
	FOR_SEEDS(test_rebase("c.vhd", "p.vhd", seed));
	FOR_SEEDS(test_push_under_load("vhd", seed));
	FOR_SEEDS(test_push_under_load("vhd", seed + 1));
	FOR_SEEDS(test_push_and_pop("vhd", seed));
	FOR_SEEDS(test_push_and_pop("vhd", seed + 2)); /* the next block was put behind the end */
}

/* -- Every order of a few threads' steps, up to a bound -- */

#define ACTORS 3u

/* What a thread with a queue of its own does, one after the other, each seen as complete before the
 * next. */
struct step {
	enum disk_op op;
	unsigned flags;
	uint32_t sector, count;
};

struct actor {
	struct disk *disk;
	struct disk_queue *queue;
	struct step steps[3];
	struct slot slot;
};

static void carry_out(struct actor *actor, const struct step *step)
{
	struct slot *slot = &actor->slot;

	tasks_pause();
	slot->req = (struct disk_req){.op = step->op,
				      .flags = step->flags,
				      .offset = (uint64_t)step->sector * SECTOR,
				      .length = (uint64_t)step->count * SECTOR,
				      .done = slot_done,
				      .user = slot};
	slot->sector = step->sector;
	slot->count = step->count;
	slot->busy = true;
	if (step->op == DISK_OP_FLUSH) {
		slot->submitted_at = ++clock_now;
	} else {
		note_start(step->sector, step->count,
			   step->op == DISK_OP_TRIM ? 0 : ++next_version);
	}
	if (step->op == DISK_OP_WRITE) {
		prepare_data(slot, next_version);
	}
	disk_submit(actor->queue, actor->disk, &slot->req);
	disk_queue_kick(actor->queue);
	while (slot->busy) {
		disk_queue_wait(actor->queue);
	}
}

static void act(void *user)
{
	struct actor *actor = user;
	unsigned i;

	for (i = 0; i < 3 && (actor->steps[i].op != DISK_OP_READ); i++) {
		carry_out(actor, &actor->steps[i]);
	}
}

/* The session has begun, and what it did so far is durable; then the actors' steps are recorded. */
static void run_actors(const char *path, const struct step steps[ACTORS][3])
{
	static uint8_t buffers[ACTORS][BLOCK * SECTOR];
	struct actor actors[ACTORS] = {0};
	uint8_t as_before[SECTOR];
	unsigned i;

	for (i = 0; i < ACTORS; i++) {
		actors[i].disk = i ? actors[0].disk : open_disk(path);
		actors[i].slot.buffer = buffers[i];
		memcpy(actors[i].steps, steps[i], sizeof(actors[i].steps));
		assert_int_equal(disk_queue_create(SLOTS, &actors[i].queue, NULL), 0);
	}
	fill_sector(as_before, SECTORS - 1, history[SECTORS - 1].events[0].version);
	assert_int_equal(disk_write(actors[0].disk, as_before, SECTOR, DISK_SIZE - SECTOR), 0);
	assert_int_equal(disk_flush(actors[0].disk), 0);
	fake_record();
	tasks_begin_run();
	for (i = ACTORS; i--;) { /* the first is chosen first */
		tasks_start(act, &actors[i]);
	}
	tasks_join();
	fake_cuts_begin(); /* what comes now is not recorded */
	for (i = 0; i < ACTORS; i++) {
		disk_queue_destroy(&actors[i].queue);
	}
	close_disk(actors[0].disk);
}

/* Was there a run with the same operations, seen as complete at the same places? */
static bool is_known_run(void)
{
	static uint64_t known[65536];
	uint64_t digest = fake_digest();
	unsigned i, at;

	for (i = 0; i < flush_count; i++) {
		digest = digest * 31 + flushes[i].completed;
	}
	for (i = 0; i < SECTORS; i++) {
		digest = digest * 31 + (history[i].count > 1 ? history[i].events[1].ended : 0);
	}
	digest += !digest;
	for (at = digest % 65536; known[at] && known[at] != digest; at = (at + 1) % 65536) {
	}
	i = known[at] == digest;
	known[at] = digest;
	return i;
}

/* With all that was not synced, and with nothing of it. */
static void verify_run(const char *path)
{
	size_t count = fake_op_count(), k;
	unsigned variant;

	for (k = 0; k <= count; k = next_place(k, count)) {
		fake_cut_at(k);
		for (variant = 0; variant < 2 && variant < fake_cut_variants(); variant++) {
			verify_cut(path, k, variant);
		}
	}
	fake_cuts_end();
}

static unsigned departures = 1, runs, different_runs;

static void test_all_orders(const char *path, const char *parent,
			    const struct step steps[ACTORS][3])
{
	struct fake_state *state;
	uint32_t version;

	begin_case(1);
	if (parent != NULL) {
		make_disk(parent, NULL);
		fill_everything(parent);
	}
	make_disk(path, parent);
	history_begin();
	version = next_version;
	state = fake_save();
	tasks_begin_all(departures);
	do {
		fake_restore(state);
		next_version = version;
		history_again();
		run_actors(path, steps);
		runs++;
		if (!is_known_run()) {
			different_runs++;
			verify_run(path);
		}
		fake_cuts_end();
	} while (tasks_end_run());
	fake_state_free(state);
}

#define WRITE(at, flags)                                                                           \
	{                                                                                          \
		DISK_OP_WRITE, flags, at, 2                                                        \
	}
#define TRIM(at)                                                                                   \
	{                                                                                          \
		DISK_OP_TRIM, 0, at, BLOCK                                                         \
	}
#define FLUSH                                                                                      \
	{                                                                                          \
		DISK_OP_FLUSH, 0, 0, 0                                                             \
	}

/* Blocks 0 and 1 are new; block 3 is there. */
static const struct step orders[][ACTORS][3] = {
	/* Flushes that overlap. */
	{{WRITE(0, 0), FLUSH}, {WRITE(BLOCK, 0), FLUSH}},
	{{WRITE(0, 0), FLUSH, FLUSH}, {WRITE(4, 0), FLUSH}},
	/* FUA beside a flush, to a block of the other's and to one of its own. */
	{{WRITE(0, 0), FLUSH}, {WRITE(8, DISK_FUA)}},
	{{WRITE(0, 0), FLUSH}, {WRITE(8, DISK_FUA)}, {WRITE(BLOCK, DISK_FUA)}},
	/* Space that is given back. */
	{{TRIM(3 * BLOCK), FLUSH}, {WRITE(0, DISK_FUA), WRITE(BLOCK, 0), FLUSH}},
	{{WRITE(0, 0), TRIM(0), FLUSH}, {WRITE(BLOCK, 0), WRITE(BLOCK + 8, DISK_FUA)}},
};

static void test_orders(const char *path, const char *parent)
{
	size_t i;

	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		test_all_orders(path, parent, orders[i]);
	}
}

static void test_vhdx_orders(void **state)
{
	(void)state;
	test_orders("a.vhdx", NULL);
	test_orders("c.vhdx", "p.vhdx");
}

static void test_vhd_orders(void **state)
{
	(void)state;
	test_orders("a.vhd", NULL);
	test_orders("c.vhd", "p.vhd");
}

/* -- Errors of the host's disk -- */

/* Whichever operation fails: what was flushed before is in the file, and the handle takes no more
 * flushes. */
static void fail_each_operation(const char *path, uint32_t seed)
{
	unsigned n;
	bool failed = true;

	for (n = 1; failed; n++) {
		static uint8_t data[3 << 20];
		struct disk *disk;
		int ret;

		begin_case(seed);
		make_disk(path, NULL);
		fill_everything(path);
		disk = open_disk(path);
		fake_fail_after(n);
		memset(data, 0x5a, sizeof(data));
		ret = disk_trim(disk, 1 << 20, 1 << 20);
		ret = ret ? ret : disk_flush(disk);
		ret = ret ? ret : disk_write(disk, data, 512, 1 << 20);
		ret = ret ? ret : disk_flush(disk);
		failed = fake_failed();
		assert_true(failed || !ret); /* a hole that cannot be made fails nobody */
		fake_fail_after(0);
		disk_close(&disk, NULL);
		disk = open_disk(path);
		assert_int_equal(disk_read(disk, view, DISK_SIZE, 0), 0);
		fill_sector(data, 5, 1);
		assert_memory_equal(view + 5 * SECTOR, data, SECTOR);
		close_disk(disk);
	}
	assert_true(n > 4);
}

static void seen_result(struct disk_req *req)
{
	*(bool *)req->user = true;
}

static int submit_and_wait(struct disk_queue *queue, struct disk *disk, struct disk_req req)
{
	bool done = false;

	req.done = seen_result;
	req.user = &done;
	disk_submit(queue, disk, &req);
	while (!done) {
		disk_queue_wait(queue);
	}
	return req.result;
}

/* Whatever was lost with a sync that failed, no flush after it says that all is well. */
static void fail_a_sync(const char *path, enum disk_type type, bool fua)
{
	static uint8_t data[SECTOR];
	struct iovec iov = {data, SECTOR};
	struct disk_req write = {.op = DISK_OP_WRITE,
				 .flags = fua ? DISK_FUA : 0,
				 .length = SECTOR,
				 .iov = &iov,
				 .iov_count = 1},
			flush = {.op = DISK_OP_FLUSH};
	struct disk_create how = {.type = type, .size = DISK_SIZE};
	struct disk_queue *queue;
	struct disk *disk;

	begin_case(1);
	assert_int_equal(disk_create(path, &how, NULL), 0);
	disk = open_disk(path);
	assert_int_equal(disk_queue_create(SLOTS, &queue, NULL), 0);
	assert_int_equal(submit_and_wait(queue, disk, write), 0);
	assert_int_equal(submit_and_wait(queue, disk, flush), 0);
	fake_fail_after(1);
	assert_int_equal(submit_and_wait(queue, disk, fua ? write : flush), -EIO);
	fake_fail_after(0);
	assert_int_equal(submit_and_wait(queue, disk, flush), -EIO);
	assert_int_equal(disk_flush(disk), -EIO);
	disk_queue_destroy(&queue);
	disk_close(&disk, NULL);
}

static void test_failed_syncs(void **state)
{
	unsigned fua;

	(void)state;
	for (fua = 0; fua < 2; fua++) {
		fail_a_sync("a.raw", DISK_FIXED, fua);
		fail_a_sync("a.vhd", DISK_FIXED, fua);
		fail_a_sync("a.vhd", DISK_DYNAMIC, fua);
		fail_a_sync("a.vhdx", DISK_DYNAMIC, fua);
	}
}

static void test_host_errors(void **state)
{
	(void)state;
	fail_each_operation("a.vhdx", 1);
	fail_each_operation("a.vhd", 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vhdx_dynamic), cmocka_unit_test(test_vhdx_differencing),
		cmocka_unit_test(test_vhd_dynamic),  cmocka_unit_test(test_vhd_differencing),
		cmocka_unit_test(test_vhdx_changes), cmocka_unit_test(test_vhd_changes),
		cmocka_unit_test(test_mirrors),      cmocka_unit_test(test_vhdx_orders),
		cmocka_unit_test(test_vhd_orders),   cmocka_unit_test(test_host_errors),
		cmocka_unit_test(test_failed_syncs),
	};
	unsigned i;
	int ret;

	if (argc == 3 && !strcmp(argv[1], "--dump")) {
		dump_folder = argv[2];
	} else if (argc >= 2) {
		seeds = (unsigned)strtoul(argv[1], NULL, 10);
		departures = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : departures;
	}
	for (i = 0; i < SLOTS; i++) {
		slots[i].buffer = malloc(2048 * SECTOR);
	}
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	print_message("%u states looked at; %u orders, %u of them different\n", verified, runs,
		      different_runs);
	for (i = 0; i < SLOTS; i++) {
		free(slots[i].buffer);
	}
	fake_reset(1);
	return ret;
}
