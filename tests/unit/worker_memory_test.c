/*
 * worker/memory.c: where guest addresses are in this process and who uses them, the log of what was
 * written, pages that go, and what is mapped into a partition.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fake/backend.h"
#include "worker/memory.h"

#define MIB (1ull << 20)

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static void *at(struct memory *memory, uint64_t gpa, uint64_t length)
{
	void *where = memory_acquire(memory, gpa, length);

	if (where != NULL) {
		memory_complete(memory, gpa, length, 0);
	}
	return where;
}

static void expect_no_users(const struct memory *memory)
{
	uint64_t i;

	for (i = 0; i < memory->size / MEMORY_PAGE; i++) {
		assert_int_equal(memory->users[i], 0);
	}
}

static void the_holes_are_nobody(void **state)
{
	struct memory memory;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	assert_int_equal((uintptr_t)memory.base % (2 * MIB), 0);
	assert_ptr_equal(at(&memory, 0, 1), memory.base);
	assert_non_null(at(&memory, 0x9ffff, 1));
	assert_null(at(&memory, 0x9ffff, 2));
	assert_null(at(&memory, 0xa0000, 1));
	assert_null(at(&memory, 0xbffff, 1));
	assert_ptr_equal(at(&memory, 0xc0000, 16 * MIB - 0xc0000), memory.base + 0xc0000);
	assert_null(at(&memory, 0xc0000, 16 * MIB - 0xc0000 + 1));
	assert_null(at(&memory, 16 * MIB, 1));
	assert_null(at(&memory, MEMORY_4G, 1));
	assert_null(at(&memory, UINT64_MAX, 1));
	assert_null(at(&memory, 4096, UINT64_MAX));
	expect_no_users(&memory);
	memory_destroy(&memory);
}

/* Another process that maps it would get SIGBUS if it became smaller. */
static void its_size_stays(void **state)
{
	struct memory memory;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	assert_int_not_equal(ftruncate(memory.fd, 8 * MIB), 0);
	assert_int_not_equal(ftruncate(memory.fd, 32 * MIB), 0);
	assert_int_equal(memory_clear(&memory), 0);
	memory_destroy(&memory);
}

/* Of the mapping that begins there, what smaps tells: "hg" is that it asks for large pages. */
static bool asks_for_large_pages(const void *base)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	bool found = false, asks = false;
	char line[512];

	assert_non_null(smaps);
	while (!asks && fgets(line, sizeof(line), smaps) != NULL) {
		unsigned long from, end;

		if (sscanf(line, "%lx-%lx ", &from, &end) == 2) {
			found = from == (unsigned long)base;
		} else if (found && strncmp(line, "VmFlags:", 8) == 0) {
			asks = strstr(line, " hg") != NULL;
		}
	}
	fclose(smaps);
	return asks;
}

static void it_is_in_large_pages(void **state)
{
	struct memory memory;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	/* A kernel without them refuses. */
	assert_true(asks_for_large_pages(memory.base) ||
		    madvise(memory.base, 2 * MIB, MADV_HUGEPAGE) != 0);
	memory_destroy(&memory);
}

static void beyond_the_hole(void **state)
{
	static _Atomic uint32_t users[(MEMORY_HOLE_BASE + 4 * MIB) / MEMORY_PAGE];
	struct memory memory = {
		.base = (uint8_t *)0x10000000, .size = MEMORY_HOLE_BASE + 4 * MIB, .users = users};

	(void)state;
	memory.low_end = MEMORY_HOLE_BASE;
	memory.high_end = MEMORY_4G + 4 * MIB;
	assert_non_null(at(&memory, MEMORY_HOLE_BASE - 1, 1));
	assert_null(at(&memory, MEMORY_HOLE_BASE - 1, 2));
	assert_null(at(&memory, MEMORY_HOLE_BASE, 1));
	assert_null(at(&memory, MEMORY_4G - 1, 1));
	assert_ptr_equal(at(&memory, MEMORY_4G, 4 * MIB), memory.base + MEMORY_HOLE_BASE);
	assert_null(at(&memory, MEMORY_4G, 4 * MIB + 1));
	expect_no_users(&memory);
}

/* As VMBus has them: any numbers, in any order, neighbours joined; all or nothing. */
static void page_lists(void **state)
{
	uint64_t pages[] = {0x300, 0x301, 0x9f, 0x302};
	const uint64_t wrong[] = {0xa0, 16 * MIB / MEMORY_PAGE, 1ull << 52, (1ull << 52) + 1,
				  UINT64_MAX};
	struct memory memory;
	struct iovec iov[4];
	unsigned int i;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	assert_int_equal(memory_acquire_pages(&memory, pages, 100, 4 * 4096 - 100, iov, 3), 3);
	assert_ptr_equal(iov[0].iov_base, memory.base + 0x300000 + 100);
	assert_int_equal(iov[0].iov_len, 8192 - 100);
	assert_ptr_equal(iov[1].iov_base, memory.base + 0x9f000);
	assert_int_equal(iov[1].iov_len, 4096);
	assert_ptr_equal(iov[2].iov_base, memory.base + 0x302000);
	assert_int_equal(memory.users[0x300], 1);
	assert_int_equal(memory_acquire_pages(&memory, pages, 4095, 2, iov, 1), 1);
	assert_int_equal(iov[0].iov_len, 2);
	assert_int_equal(memory.users[0x300], 2);
	assert_int_equal(memory.users[0x301], 2);
	assert_int_equal(memory.users[0x302], 1);
	memory_complete_pages(&memory, pages, 4095, 2, 0);
	memory_complete_pages(&memory, pages, 100, 4 * 4096 - 100, 0);
	expect_no_users(&memory);
	assert_int_equal(memory_acquire_pages(&memory, pages, 0, 4 * 4096, iov, 2), -E2BIG);
	for (i = 0; i < ARRAY_COUNT(wrong); i++) {
		pages[2] = wrong[i];
		assert_int_equal(memory_acquire_pages(&memory, pages, 0, 4 * 4096, iov, 4),
				 -EFAULT);
	}
	expect_no_users(&memory);
	memory_destroy(&memory);
}

static void copies(void **state)
{
	struct memory memory;
	uint8_t bytes[8192], back[8192];

	(void)state;
	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	assert_true(memory_put(&memory, 0x100800, bytes, sizeof(bytes)));
	assert_true(memory_get(&memory, 0x100800, back, sizeof(back)));
	assert_memory_equal(bytes, back, sizeof(bytes));
	assert_false(memory_put(&memory, 16 * MIB - 1, bytes, 2));
	assert_int_equal(memory.base[16 * MIB - 1], 0);
	assert_false(memory_get(&memory, 0x9f000, back, sizeof(back)));
	expect_no_users(&memory);
	memory_destroy(&memory);
}

/* ---- the log ---- */

static struct backend_partition vps;

static int start_log(struct memory *memory)
{
	vps = (struct backend_partition){0};
	return memory_log_start(memory, &vps);
}

static bool is_dirty(struct memory *memory, uint64_t gpa)
{
	uint8_t bitmap[1];

	assert_int_equal(memory_dirty(memory, &vps, gpa, MEMORY_PAGE, bitmap), 0);
	return bitmap[0] != 0;
}

static uint64_t count_dirty(struct memory *memory)
{
	static uint8_t bitmap[16 * MIB / MEMORY_PAGE / 8];
	uint64_t count = 0, i;

	assert_int_equal(memory_dirty(memory, &vps, 0, 16 * MIB, bitmap), 0);
	for (i = 0; i < ARRAY_COUNT(bitmap); i++) {
		count += (uint64_t)__builtin_popcount(bitmap[i]);
	}
	return count;
}

static void what_is_written_is_logged(void **state)
{
	uint64_t pages[] = {0x500, 0x400, 0x600};
	uint8_t bitmap[8];
	struct memory memory;
	struct iovec iov[3];

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	assert_true(memory_put(&memory, 0x100000, "x", 1)); /* nobody wants to know */
	assert_int_equal(start_log(&memory), 0);
	assert_int_equal(count_dirty(&memory), 0);
	assert_true(memory_put(&memory, 0x100fff, "xy", 2));
	assert_true(is_dirty(&memory, 0x100000));
	assert_true(is_dirty(&memory, 0x101000));
	assert_int_equal(count_dirty(&memory), 0); /* taken */
	assert_int_equal(memory_acquire_pages(&memory, pages, 4000, 4096 + 97, iov, 3), 3);
	assert_int_equal(count_dirty(&memory), 0);
	memory_complete_pages(&memory, pages, 4000, 4096 + 97, 97); /* not the last page */
	assert_true(is_dirty(&memory, 0x500000));
	assert_true(is_dirty(&memory, 0x400000));
	assert_int_equal(count_dirty(&memory), 0);
	memory_wrote_pages(&memory, pages, 4096 + 4095, 2);
	memory_wrote(&memory, 0x7ff000, 0x1001);
	assert_int_equal(memory_dirty(&memory, &vps, 0x400000, 64 * MEMORY_PAGE, bitmap), 0);
	assert_memory_equal(bitmap, "\1\0\0\0\0\0\0\0", 8);
	assert_true(is_dirty(&memory, 0x600000));
	assert_true(is_dirty(&memory, 0x7ff000));
	assert_true(is_dirty(&memory, 0x800000));
	assert_int_equal(count_dirty(&memory), 0);
	memory_log_stop(&memory, &vps);
	assert_int_equal(vps.logged, 0);
	assert_true(memory_put(&memory, 0x100fff, "xy", 2));
	assert_int_equal(start_log(&memory), 0);
	assert_int_equal(count_dirty(&memory), 0);
	memory_destroy(&memory);
}

/* What the guest's VPs and this process have written is one answer. */
static void both_logs_are_one(void **state)
{
	struct memory memory;
	uint8_t bitmap[2];

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	assert_int_equal(start_log(&memory), 0);
	assert_int_equal(vps.logged, 16 * MIB - 0x20000);
	vps.dirty_gpa = 0x10a000;
	memory_wrote(&memory, 0x101000, 1);
	memory_wrote(&memory, 0x10a000, 1);
	assert_int_equal(memory_dirty(&memory, &vps, 0x100000, 0xc000, bitmap), 0);
	assert_memory_equal(bitmap, "\x02\x04", 2);
	vps.log_result = -EIO;
	assert_int_equal(memory_dirty(&memory, &vps, 0x100000, 0xc000, bitmap), -EIO);
	assert_memory_equal(bitmap, "\xff\xff", 2);
	memory_log_stop(&memory, &vps);
	assert_int_equal(memory_log_start(&memory, &vps), -EIO);
	assert_false(memory.log_is_kept);
	memory_destroy(&memory);
}

/* Across the hole at 640 KiB, and across the end. */
static void holes_are_clean(void **state)
{
	uint8_t bitmap[64], end[16];
	unsigned int i;
	struct memory memory;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	assert_int_equal(start_log(&memory), 0);
	memory_wrote(&memory, 0x80000, 0x20000);
	memory_wrote(&memory, 0xc0000, 0x1000);
	assert_int_equal(memory_dirty(&memory, &vps, 0, 512 * MEMORY_PAGE, bitmap), 0);
	for (i = 0; i < 64; i++) {
		assert_int_equal(bitmap[i], i >= 16 && i < 20 ? 0xff : i == 24 ? 1 : 0);
	}
	memory_wrote(&memory, 16 * MIB - 4096, 4096);
	assert_int_equal(memory_dirty(&memory, &vps, 16 * MIB - 4096, 128 * MEMORY_PAGE, end), 0);
	assert_memory_equal(end, "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	memory_destroy(&memory);
}

/* ---- pages that go ---- */

static void pages_in_use_stay(void **state)
{
	uint64_t pages[] = {0x401, 0x400};
	struct memory memory;
	struct iovec iov[2];

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	memset(memory.base + 0x400000, 0xa5, 0x4000);
	assert_int_equal(memory_acquire_pages(&memory, pages, 0, 8192, iov, 2), 2);
	assert_int_equal(memory_remove(&memory, 0x400000, 0x2000), -EBUSY);
	assert_int_equal(memory_remove(&memory, 0x3ff000, 0x2000), -EBUSY);
	assert_int_equal(memory_remove(&memory, 0x402000, 0x2000), 0);
	assert_null(memory_acquire(&memory, 0x402000, 1));
	assert_null(memory_acquire(&memory, 0x401000, 0x2000));
	pages[0] = 0x403;
	assert_int_equal(memory_acquire_pages(&memory, pages, 0, 8192, iov, 2), -EFAULT);
	pages[0] = 0x401;
	assert_int_equal(memory.base[0x400000], 0xa5);
	assert_int_equal(memory_remove(&memory, 0x403000, 0x1000), -EFAULT);
	memory_complete_pages(&memory, pages, 0, 8192, 0);
	assert_int_equal(memory_remove(&memory, 0x400000, 0x2000), 0);
	memory_restore(&memory, 0x400000, 0x4000);
	assert_non_null(at(&memory, 0x400000, 0x4000));
	assert_int_equal(memory.base[0x400000] | memory.base[0x403fff], 0);
	assert_int_equal(memory_remove(&memory, 0x9f000, 0x2000), -EFAULT);
	expect_no_users(&memory);
	memory_destroy(&memory);
}

static void pages_that_come_back_are_dirty(void **state)
{
	struct memory memory;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, false), 0);
	assert_int_equal(memory_remove(&memory, 0x400000, 0x2000), 0);
	assert_int_equal(start_log(&memory), 0);
	memory_restore(&memory, 0x400000, 0x2000);
	assert_int_equal(count_dirty(&memory), 2);
	memory_destroy(&memory);
}

/* Users come and go while somebody wants the page away: it is never both in use and gone. */
static struct memory shared;
static _Atomic bool enough;

static void *use(void *unused)
{
	unsigned int i;

	(void)unused;
	for (i = 0; !enough; i++) {
		_Atomic uint8_t *byte = memory_acquire(&shared, 0x400000, 1);

		if (byte != NULL) {
			*byte = 0xa5;
			CHECK(*byte == 0xa5); /* a page that is given away reads 0 */
			memory_complete(&shared, 0x400000, 1, 1);
		}
		if (i % 8 == 0) {
			usleep(1);
		}
	}
	return NULL;
}

static void removal_and_use_at_once(void **state)
{
	unsigned int i, removed = 0;
	pthread_t threads[2];

	(void)state;
	enough = false;
	assert_int_equal(memory_create(&shared, 16 * MIB, 16 * MIB, false), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, use, NULL), 0);
	}
	for (i = 0; i < 100000 && removed < 2000; i++) {
		if (memory_remove(&shared, 0x400000, MEMORY_PAGE) == 0) {
			removed++;
			assert_int_equal(shared.base[0x400000], 0);
			memory_restore(&shared, 0x400000, MEMORY_PAGE);
		}
	}
	enough = true;
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
	}
	assert_true(removed > 0);
	expect_no_users(&shared);
	memory_destroy(&shared);
}

/* Nothing is behind these addresses: memory_map() only hands them on. */
static void a_large_machine_is_split(void **state)
{
	struct memory memory = {.base = (uint8_t *)(64 * MIB), .size = MEMORY_HOLE_BASE + 64 * MIB};
	struct backend_partition partition = {0};

	(void)state;
	memory.low_end = MEMORY_HOLE_BASE;
	memory.high_end = MEMORY_4G + 64 * MIB;
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_int_equal(partition.map_count, 4);
	assert_int_equal(partition.maps[0].gpa, 0);
	assert_int_equal(partition.maps[0].length, 0xa0000);
	assert_int_equal(partition.maps[1].gpa, 0xc0000);
	assert_int_equal(partition.maps[1].length, 2 * MIB - 0xc0000);
	assert_int_equal(partition.maps[2].gpa, 2 * MIB);
	assert_true(partition.maps[2].length == MEMORY_HOLE_BASE - 2 * MIB);
	assert_true(partition.maps[3].gpa == MEMORY_4G);
	assert_true(partition.maps[3].length == 64 * MIB);
	assert_ptr_equal(partition.maps[3].memory, memory.base + MEMORY_HOLE_BASE);
}

static void a_small_machine_has_no_high_part(void **state)
{
	struct memory memory;
	struct backend_partition partition = {0};

	(void)state;
	assert_int_equal(memory_create(&memory, 8 * MIB, 8 * MIB, false), 0);
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_int_equal(partition.map_count, 3);
	assert_int_equal(partition.maps[2].length, 6 * MIB);
	memory_destroy(&memory);
}

static void cleared_means_zeros(void **state)
{
	struct memory memory;
	uint64_t i;

	(void)state;
	assert_int_equal(memory_create(&memory, 8 * MIB, 8 * MIB, false), 0);
	memset(memory.base, 0xa5, memory.size);
	assert_int_equal(memory_clear(&memory), 0);
	for (i = 0; i < memory.size; i += 8) {
		assert_true(*(uint64_t *)(memory.base + i) == 0);
	}
	memory_destroy(&memory);
}

/* ---- blocks ---- */

static uint64_t blocks_of_file(const struct memory *memory)
{
	struct stat file;

	assert_int_equal(fstat(memory->fd, &file), 0);
	return (uint64_t)file.st_blocks * 512;
}

/* Where a block is mapped for the guest, or NULL. */
static const void *guest_has(const struct backend_partition *partition, uint64_t gpa)
{
	unsigned int i;

	for (i = 0; i < partition->map_count; i++) {
		if (partition->maps[i].gpa <= gpa &&
		    gpa - partition->maps[i].gpa < partition->maps[i].length) {
			return partition->maps[i].memory;
		}
	}
	return NULL;
}

static void blocks_go_and_come(void **state)
{
	struct backend_partition partition = {0};
	struct memory memory;
	uint64_t before, value = 0x1122334455667788;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, true), 0);
	assert_int_equal(memory_give_back(&memory, 4 * MIB), -EINVAL); /* it is mapped nowhere */
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_int_equal(partition.map_count, 2 + 7);
	memset(memory.base, 0x55, 16 * MIB);
	before = blocks_of_file(&memory);
	assert_int_equal(memory_give_back(&memory, 4 * MIB), 0);
	assert_int_equal(memory_give_back(&memory, 4 * MIB), 0); /* it is away */
	assert_int_equal(before - blocks_of_file(&memory), 2 * MIB);
	assert_int_equal(memory.away, 2 * MIB);
	assert_null(guest_has(&partition, 4 * MIB));
	assert_non_null(guest_has(&partition, 6 * MIB));
	assert_true(memory_is_ram(&memory, 4 * MIB, 2 * MIB));
	assert_true(memory_is_in_block(&memory, 5 * MIB));
	/* What is no block, or none of RAM. */
	assert_int_equal(memory_give_back(&memory, 0), -EINVAL);
	assert_int_equal(memory_give_back(&memory, 5 * MIB), -EINVAL);
	assert_int_equal(memory_give_back(&memory, 16 * MIB), -EINVAL);
	assert_int_equal(memory_give_back(&memory, UINT64_MAX - 2 * MIB + 1), -EINVAL);
	assert_int_equal(memory_bring_back(&memory, 16 * MIB), -EINVAL);
	assert_false(memory_is_in_block(&memory, 1 * MIB));
	assert_false(memory_is_in_block(&memory, 16 * MIB));
	/* The guest touches it. */
	assert_int_equal(memory_bring_back(&memory, 5 * MIB + 123), 0);
	assert_int_equal(memory_bring_back(&memory, 5 * MIB + 123), 0);
	assert_ptr_equal(guest_has(&partition, 4 * MIB), memory.base + 4 * MIB);
	assert_int_equal(memory.away, 0);
	assert_int_equal(memory.base[4 * MIB], 0);
	/* A device of it does. */
	assert_int_equal(memory_give_back(&memory, 6 * MIB), 0);
	assert_true(memory_put(&memory, 7 * MIB, &value, sizeof(value)));
	assert_int_equal(memory.away, 0);
	assert_non_null(guest_has(&partition, 6 * MIB));
	expect_no_users(&memory);
	memory_unmap(&memory);
	assert_int_equal(memory_give_back(&memory, 4 * MIB), -EINVAL);
	memory_destroy(&memory);
}

static void blocks_in_use_stay(void **state)
{
	struct backend_partition partition = {0};
	struct memory memory;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, true), 0);
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_non_null(memory_acquire(&memory, 5 * MIB, 1));
	assert_int_equal(memory_give_back(&memory, 4 * MIB), -EBUSY);
	assert_non_null(guest_has(&partition, 4 * MIB));
	memory_complete(&memory, 5 * MIB, 1, 0);
	assert_int_equal(memory_give_back(&memory, 4 * MIB), 0);
	/* There is no memory for it: it stays away, and nothing of it is used. */
	partition.map_result = -ENOMEM;
	assert_int_equal(memory_bring_back(&memory, 4 * MIB), -ENOMEM);
	assert_null(memory_acquire(&memory, 4 * MIB, 1));
	assert_int_equal(memory.away, 2 * MIB);
	partition.map_result = 0;
	assert_non_null(at(&memory, 4 * MIB, 1));
	expect_no_users(&memory);
	/* A reset: the guest has all of it. */
	assert_int_equal(memory_give_back(&memory, 8 * MIB), 0);
	memory_unmap(&memory);
	assert_int_equal(memory_clear(&memory), 0);
	partition = (struct backend_partition){0};
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_int_equal(memory.away, 0);
	assert_non_null(at(&memory, 8 * MIB, 2 * MIB));
	memory_destroy(&memory);
}

/* Memory that comes while the guest runs: from an aligned address on, with nothing in the gap
 * before. */
static void memory_is_added(void **state)
{
	struct backend_partition partition = {0};
	struct memory memory;
	uint64_t gpa, numbers[MEMORY_ADDED], wrong[MEMORY_ADDED] = {0};

	(void)state;
	assert_int_equal(memory_create(&memory, 10 * MIB, 32 * MIB, true), 0);
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_int_equal(blocks_of_file(&memory) >> 20, 10);
	assert_true(memory_find_room(&memory, 8 * MIB, &gpa));
	assert_int_equal(gpa, 16 * MIB);
	assert_false(memory_is_ram(&memory, gpa, 1));
	assert_int_equal(memory_add(&memory, 24 * MIB, 8 * MIB), -EINVAL);
	/* There is no memory for it: nothing has changed. */
	partition.map_result = -ENOMEM;
	assert_int_equal(memory_add(&memory, gpa, 8 * MIB), -ENOMEM);
	partition.map_result = 0;
	assert_int_equal(blocks_of_file(&memory) >> 20, 10);
	assert_null(at(&memory, gpa, 1));
	assert_int_equal(memory_add(&memory, gpa, 8 * MIB), 0);
	assert_ptr_equal(at(&memory, 16 * MIB, 8 * MIB), memory.base + 16 * MIB);
	assert_ptr_equal(guest_has(&partition, 22 * MIB), memory.base + 22 * MIB);
	/* The gap is nothing, nor what goes through it. */
	assert_null(at(&memory, 10 * MIB, 1));
	assert_null(at(&memory, 16 * MIB - 1, 1));
	assert_null(at(&memory, 8 * MIB, 4 * MIB));
	assert_null(at(&memory, 14 * MIB, 4 * MIB));
	assert_null(at(&memory, 8 * MIB, 10 * MIB));
	assert_int_equal(memory_bring_back(&memory, 12 * MIB), -EINVAL);
	assert_non_null(at(&memory, 10 * MIB - 1, 1));
	/* A block of it goes and comes as others do; what was refused by the guest is none
	 * again. */
	assert_int_equal(memory_give_back(&memory, 18 * MIB), 0);
	assert_int_equal(memory_find_room(&memory, 8 * MIB, &gpa), true);
	assert_int_equal(gpa, 24 * MIB);
	assert_int_equal(memory_add(&memory, 24 * MIB, 8 * MIB), 0);
	assert_false(memory_find_room(&memory, 8 * MIB, &gpa));
	memory_get_added(&memory, numbers);
	assert_int_equal(memory_ram(&memory), 26 * MIB);
	assert_int_equal(memory_limit(&memory), 32 * MIB);
	assert_int_equal(memory_withdraw(&memory, 16 * MIB, 8 * MIB), -EINVAL); /* not the last */
	assert_non_null(memory_acquire(&memory, 31 * MIB, 1));
	assert_int_equal(memory_withdraw(&memory, 24 * MIB, 8 * MIB), -EBUSY);
	assert_non_null(guest_has(&partition, 24 * MIB));
	memory_complete(&memory, 31 * MIB, 1, 0);
	assert_int_equal(memory_withdraw(&memory, 24 * MIB, 8 * MIB), 0);
	assert_int_equal(memory.away, 2 * MIB);
	assert_null(at(&memory, 24 * MIB, 1));
	assert_null(guest_has(&partition, 24 * MIB));
	assert_int_equal(memory_add(&memory, 24 * MIB, 8 * MIB), 0);
	assert_non_null(at(&memory, 24 * MIB, 8 * MIB));
	assert_int_equal(memory_withdraw(&memory, 24 * MIB, 8 * MIB), 0);
	assert_int_equal(memory_withdraw(&memory, 16 * MIB, 8 * MIB), 0);
	assert_int_equal(memory_withdraw(&memory, 8 * MIB, 2 * MIB), -EINVAL);
	assert_int_equal(memory.low_end, 10 * MIB);
	/* A reset, and a state of the one before. */
	memory_unmap(&memory);
	assert_int_equal(memory_clear(&memory), 0);
	expect_no_users(&memory);
	assert_true(memory_set_added(&memory, numbers));
	partition = (struct backend_partition){0};
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_null(guest_has(&partition, 12 * MIB));
	assert_non_null(guest_has(&partition, 8 * MIB));
	assert_non_null(guest_has(&partition, 30 * MIB));
	assert_non_null(at(&memory, 30 * MIB, 2 * MIB));
	wrong[0] = 8 * MIB;
	wrong[1] = 16 * MIB;
	assert_false(memory_set_added(&memory, wrong));
	wrong[0] = 16 * MIB;
	wrong[1] = 34 * MIB;
	assert_false(memory_set_added(&memory, wrong));
	wrong[1] = 16 * MIB;
	assert_false(memory_set_added(&memory, wrong));
	wrong[1] = 16 * MIB + 4096;
	assert_false(memory_set_added(&memory, wrong));
	wrong[0] = wrong[1] = 0;
	wrong[2] = MEMORY_4G;
	wrong[3] = MEMORY_4G + 2 * MIB;
	assert_false(memory_set_added(&memory, wrong));
	memory_destroy(&memory);
}

/* Nothing is behind these addresses. Below the hole as much as fits, the rest above it. */
static void room_is_around_the_hole(void **state)
{
	static _Atomic uint32_t users[1];
	const uint64_t gib = 1024 * MIB;
	struct memory memory = {.size = 8 * gib, .users = users, .in_blocks = true};
	uint64_t gpa;

	(void)state;
	memory.low.start = 3 * gib;
	memory.low_end = 3 * gib;
	memory.high.start = MEMORY_4G;
	memory.high_end = MEMORY_4G;
	assert_true(memory_find_room(&memory, gib / 2, &gpa) && gpa == 3 * gib);
	assert_true(memory_find_room(&memory, 2 * gib, &gpa) && gpa == MEMORY_4G);
	memory.low_end = MEMORY_HOLE_BASE;
	assert_true(memory_find_room(&memory, 128 * MIB, &gpa) && gpa == MEMORY_4G);
	memory.high_end = 8 * gib;
	assert_true(memory_find_room(&memory, 128 * MIB, &gpa) && gpa == 8 * gib);
	assert_false(memory_find_room(&memory, 256 * MIB, &gpa));
	memory.in_blocks = false;
	assert_false(memory_find_room(&memory, 128 * MIB, &gpa));
}

/* Every block of it, with its first byte and its last as the test left them. */
static void expect_block(const struct memory *memory, uint64_t gpa, uint8_t value)
{
	const uint8_t *block = memory->base + gpa;

	assert_int_equal(block[0], value);
	assert_int_equal(memcmp(block, block + 1, 2 * MIB - 1), 0);
}

/* Who wants a block that is there again, or still, has it as it is. */
static void what_is_there_is_left_alone(void **state)
{
	struct backend_partition partition = {0};
	struct memory memory;

	(void)state;
	assert_int_equal(memory_create(&memory, 16 * MIB, 32 * MIB, true), 0);
	assert_int_equal(memory_map(&memory, &partition), 0);
	/* Two VPs find it away. The first has it back and writes; then comes the second. */
	assert_int_equal(memory_give_back(&memory, 4 * MIB), 0);
	assert_int_equal(memory_bring_back(&memory, 4 * MIB), 0);
	memset(memory.base + 4 * MIB, 0x55, 2 * MIB);
	assert_int_equal(memory_bring_back(&memory, 5 * MIB), 0);
	expect_block(&memory, 4 * MIB, 0x55);
	/* It was about to go, but for a page that is in use; a VP touched it meanwhile. */
	assert_non_null(memory_acquire(&memory, 5 * MIB, 1));
	assert_int_equal(memory_give_back(&memory, 4 * MIB), -EBUSY);
	assert_int_equal(memory_bring_back(&memory, 4 * MIB), 0);
	expect_block(&memory, 4 * MIB, 0x55);
	/* The same, and the hypervisor had no room to map it again: it comes as it was. */
	partition.map_result = -ENOMEM;
	assert_int_equal(memory_give_back(&memory, 4 * MIB), -ENOMEM);
	assert_null(guest_has(&partition, 4 * MIB));
	assert_int_equal(memory_bring_back(&memory, 4 * MIB), -ENOMEM);
	assert_int_equal(memory.away, 0);
	expect_block(&memory, 4 * MIB, 0x55);
	partition.map_result = 0;
	assert_int_equal(memory_bring_back(&memory, 4 * MIB), 0);
	assert_non_null(guest_has(&partition, 4 * MIB));
	expect_block(&memory, 4 * MIB, 0x55);
	memory_complete(&memory, 5 * MIB, 1, 0);
	/* What was added and is in use stays, as it is. */
	assert_int_equal(memory_add(&memory, 16 * MIB, 8 * MIB), 0);
	memset(memory.base + 16 * MIB, 0x66, 8 * MIB);
	assert_non_null(memory_acquire(&memory, 21 * MIB, 1));
	assert_int_equal(memory_withdraw(&memory, 16 * MIB, 8 * MIB), -EBUSY);
	expect_block(&memory, 16 * MIB, 0);
	expect_block(&memory, 20 * MIB, 0x66);
	expect_block(&memory, 22 * MIB, 0x66);
	memory_complete(&memory, 21 * MIB, 1, 0);
	expect_no_users(&memory);
	memory_destroy(&memory);
}

/* What the hypervisor knew to be written in a block is forgotten with its mapping: all of it counts
 * as written. */
static void what_was_to_go_is_dirty(void **state)
{
	struct backend_partition partition = {0};
	struct memory memory;
	uint8_t bits[64], all[64], none[64] = {0};

	(void)state;
	memset(all, 0xff, sizeof(all));
	assert_int_equal(memory_create(&memory, 16 * MIB, 16 * MIB, true), 0);
	assert_int_equal(memory_map(&memory, &partition), 0);
	assert_int_equal(memory_log_start(&memory, &partition), 0);
	assert_non_null(memory_acquire(&memory, 5 * MIB, 1));
	assert_int_equal(memory_give_back(&memory, 4 * MIB), -EBUSY);
	assert_int_equal(memory_dirty(&memory, &partition, 4 * MIB, 2 * MIB, bits), 0);
	assert_memory_equal(bits, all, sizeof(bits));
	assert_int_equal(memory_dirty(&memory, &partition, 4 * MIB, 2 * MIB, bits), 0);
	assert_memory_equal(bits, none, sizeof(bits));
	/* The hypervisor has no room to map it, at first. */
	partition.map_result = -ENOMEM;
	assert_int_equal(memory_give_back(&memory, 4 * MIB), -ENOMEM);
	partition.map_result = 0;
	assert_int_equal(memory_bring_back(&memory, 4 * MIB), 0);
	assert_int_equal(memory_dirty(&memory, &partition, 4 * MIB, 2 * MIB, bits), 0);
	assert_memory_equal(bits, all, sizeof(bits));
	/* What was there all the time is not written by who comes late. */
	assert_int_equal(memory_bring_back(&memory, 4 * MIB), 0);
	assert_int_equal(memory_dirty(&memory, &partition, 4 * MIB, 2 * MIB, bits), 0);
	assert_memory_equal(bits, none, sizeof(bits));
	memory_complete(&memory, 5 * MIB, 1, 0);
	memory_log_stop(&memory, &partition);
	memory_destroy(&memory);
}

/*
 * One gives, two touch. Whoever has acquired a page has it: what is written there is read there,
 * also when a VP that found the block away comes late.
 */
static struct memory shared_blocks;
static atomic_bool blocks_end;

static void *touch_blocks(void *argument)
{
	const uint64_t gpa = 4 * MIB + (uintptr_t)argument * MEMORY_PAGE;
	uint32_t i;

	for (i = 1; !atomic_load(&blocks_end); i++) {
		uint32_t *where = memory_acquire(&shared_blocks, gpa, sizeof(*where));

		CHECK(where != NULL);
		*(volatile uint32_t *)where = i;
		CHECK(memory_bring_back(&shared_blocks, gpa) == 0);
		CHECK(*(volatile uint32_t *)where == i);
		memory_complete(&shared_blocks, gpa, sizeof(*where), sizeof(*where));
	}
	return NULL;
}

static void giving_and_touching_at_once(void **state)
{
	struct backend_partition partition = {0};
	pthread_t threads[2];
	unsigned int i, given = 0;

	(void)state;
	assert_int_equal(memory_create(&shared_blocks, 8 * MIB, 8 * MIB, true), 0);
	assert_int_equal(memory_map(&shared_blocks, &partition), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(
			pthread_create(&threads[i], NULL, touch_blocks, (void *)(uintptr_t)i), 0);
	}
	for (i = 0; i < 3000 || given == 0; i++) {
		given += memory_give_back(&shared_blocks, 4 * MIB) == 0;
	}
	atomic_store(&blocks_end, true);
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
	}
	assert_int_equal(memory_bring_back(&shared_blocks, 4 * MIB), 0);
	expect_no_users(&shared_blocks);
	assert_int_equal(shared_blocks.away, 0);
	assert_non_null(guest_has(&partition, 4 * MIB));
	memory_destroy(&shared_blocks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_holes_are_nobody),
		cmocka_unit_test(its_size_stays),
		cmocka_unit_test(it_is_in_large_pages),
		cmocka_unit_test(beyond_the_hole),
		cmocka_unit_test(page_lists),
		cmocka_unit_test(copies),
		cmocka_unit_test(what_is_written_is_logged),
		cmocka_unit_test(both_logs_are_one),
		cmocka_unit_test(holes_are_clean),
		cmocka_unit_test(pages_in_use_stay),
		cmocka_unit_test(pages_that_come_back_are_dirty),
		cmocka_unit_test(removal_and_use_at_once),
		cmocka_unit_test(a_large_machine_is_split),
		cmocka_unit_test(a_small_machine_has_no_high_part),
		cmocka_unit_test(cleared_means_zeros),
		cmocka_unit_test(blocks_go_and_come),
		cmocka_unit_test(blocks_in_use_stay),
		cmocka_unit_test(what_is_there_is_left_alone),
		cmocka_unit_test(what_was_to_go_is_dirty),
		cmocka_unit_test(giving_and_touching_at_once),
		cmocka_unit_test(memory_is_added),
		cmocka_unit_test(room_is_around_the_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
