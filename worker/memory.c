/*
 * Guest RAM, see memory.h. It is in 2 MiB pages where the host lets it be: the module then maps it
 * in 2 MiB pages too, and pins 512 times fewer.
 *
 * A page's users and its removal are one word. Who acquires adds one and looks at what was there
 * before; who removes puts MEMORY_REMOVED in the place of a zero. So one of them sees the other,
 * and neither waits.
 */
#include "worker/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hosted/iov.h"
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

/* An address space of `size` bytes that begins at a multiple of 2 MiB. */
static uint8_t *reserve(uint64_t size)
{
	uint8_t *all = mmap(NULL, size + MEMORY_UNIT, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t head;

	if (all == MAP_FAILED) {
		return NULL;
	}
	head = -(uintptr_t)all & (MEMORY_UNIT - 1);
	if (head != 0) {
		munmap(all, head);
	}
	munmap(all + head + size, MEMORY_UNIT - head);
	return all + head;
}

/*
 * Large pages for a range with nothing in it. The first touch brings one where the administrator
 * lets who asks have them (host/verdigris.tmpfiles); collapsing is always allowed, wants a page to
 * begin with, and costs two fifths more. Without them all works the same, slower. It writes: what
 * is in the range already would lose a byte of each block.
 */
static bool want_large_pages(const struct memory *memory, uint64_t at, uint64_t length)
{
	uint8_t *from = memory->base + at;
	uint64_t done;

	for (done = 0; done < length; done += MEMORY_UNIT) {
		*(volatile uint8_t *)(from + done) = 0;
	}
	return length == 0 || madvise(from, length, MADV_COLLAPSE) == 0;
}

/* Where the part above the hole is in `base`; the low part ends there at the latest. */
static inline uint64_t high_at(const struct memory *memory)
{
	return memory->size < MEMORY_HOLE_BASE ? memory->size : MEMORY_HOLE_BASE;
}

/* What there is at a start, and nothing more. */
static void begin_anew(struct memory *memory)
{
	atomic_store(&memory->low.added, 0);
	atomic_store(&memory->high.added, 0);
	atomic_store(&memory->low_end, memory->low.start);
	atomic_store(&memory->high_end, memory->high.start);
	if (want_large_pages(memory, 0, memory->low.start)) {
		(void)want_large_pages(memory, high_at(memory), memory->high.start - MEMORY_4G);
	}
}

static uint64_t page_count(const struct memory *memory)
{
	return memory->size / MEMORY_PAGE;
}

static uint64_t log_bytes(const struct memory *memory)
{
	return (page_count(memory) + 63) / 64 * sizeof(uint64_t);
}

/* Zeros, of which the host gives only what is touched; NULL: none. */
static void *table(uint64_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

int memory_create(struct memory *memory, uint64_t start, uint64_t size, bool in_blocks)
{
	int ret;

	CHECK(start <= size && (start == size || in_blocks));
	*memory = (struct memory){.size = size,
				  .in_blocks = in_blocks,
				  .fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	memory->low.start = start < MEMORY_HOLE_BASE ? start : MEMORY_HOLE_BASE;
	memory->high.start = MEMORY_4G + start - memory->low.start;
	if (memory->fd < 0) {
		return -errno;
	}
	/* Who is handed the memory (the switch) can rely on its being there. */
	if (ftruncate(memory->fd, (off_t)size) != 0 ||
	    fcntl(memory->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
		ret = -errno;
		goto out_close;
	}
	memory->users = table(page_count(memory) * sizeof(memory->users[0]));
	if (memory->users == NULL) {
		ret = -ENOMEM;
		goto out_close;
	}
	memory->base = reserve(size);
	if (memory->base == NULL) {
		ret = -ENOMEM;
		goto out_users;
	}
	if (mmap(memory->base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory->fd,
		 0) == MAP_FAILED) {
		ret = -errno;
		goto out_unmap;
	}
	/* A worker's core dump is for the worker; the guest's memory is the guest's. */
	madvise(memory->base, size, MADV_DONTDUMP);
	madvise(memory->base, size, MADV_HUGEPAGE);
	begin_anew(memory);
	pthread_mutex_init(&memory->blocks_lock, NULL);
	return 0;
out_unmap:
	munmap(memory->base, size);
out_users:
	munmap((void *)memory->users, page_count(memory) * sizeof(memory->users[0]));
out_close:
	close(memory->fd);
	return ret;
}

void memory_destroy(struct memory *memory)
{
	if (memory->log != NULL) {
		munmap((void *)memory->log, log_bytes(memory));
	}
	pthread_mutex_destroy(&memory->blocks_lock);
	munmap((void *)memory->users, page_count(memory) * sizeof(memory->users[0]));
	munmap(memory->base, memory->size);
	close(memory->fd);
}

int memory_clear(struct memory *memory)
{
	uint64_t page;

	for (page = 0;
	     atomic_load(&memory->away) + memory->withdrawn > 0 && page < page_count(memory);
	     page++) {
		atomic_fetch_and(&memory->users[page], ~MEMORY_REMOVED);
	}
	atomic_store(&memory->away, 0);
	memory->withdrawn = 0;
	if (fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)memory->size) != 0) {
		return -errno;
	}
	begin_anew(memory);
	return 0;
}

/* The range around the VGA hole apart, so that the others keep their 2 MiB alignment. */
struct part {
	uint64_t gpa, end, offset;
};

#define PARTS MEMORY_RANGES

/* What there is at a start, and what was added. */
static void split(struct part parts[2], const struct memory_part *part, uint64_t begin,
		  uint64_t end, uint64_t offset)
{
	uint64_t added = atomic_load(&part->added);

	parts[0] = (struct part){begin, added != 0 ? part->start : end, offset};
	parts[1] = added != 0 ? (struct part){added, end, offset + (added - begin)}
			      : (struct part){end, end, 0};
}

static void find_parts(const struct memory *memory, struct part parts[PARTS])
{
	parts[0] = (struct part){0, MEMORY_VGA_BASE, 0};
	parts[1] = (struct part){MEMORY_VGA_END, MEMORY_UNIT, MEMORY_VGA_END};
	split(parts + 2, &memory->low, MEMORY_UNIT, memory->low_end, MEMORY_UNIT);
	split(parts + 4, &memory->high, MEMORY_4G, memory->high_end, high_at(memory));
}

#define ACCESS (BACKEND_WRITE | BACKEND_EXECUTE)

/* Whole, or in blocks; those around the VGA hole are none. */
static int map_part(const struct memory *memory, struct backend_partition *partition,
		    const struct part *part)
{
	uint64_t step =
		memory->in_blocks && part->gpa >= MEMORY_UNIT ? MEMORY_UNIT : part->end - part->gpa;
	uint64_t gpa;
	int ret = 0;

	for (gpa = part->gpa; gpa < part->end && ret == 0; gpa += step) {
		ret = backend_partition_map(partition, gpa,
					    memory->base + part->offset + (gpa - part->gpa), step,
					    ACCESS);
	}
	return ret;
}

int memory_map(struct memory *memory, struct backend_partition *partition)
{
	struct part parts[PARTS];
	unsigned int i;
	int ret = 0;

	find_parts(memory, parts);
	for (i = 0; i < PARTS && ret == 0; i++) {
		ret = map_part(memory, partition, &parts[i]);
	}
	pthread_mutex_lock(&memory->blocks_lock);
	memory->partition = ret == 0 ? partition : NULL;
	pthread_mutex_unlock(&memory->blocks_lock);
	return ret;
}

unsigned int memory_ranges(const struct memory *memory, struct memory_range ranges[MEMORY_RANGES])
{
	struct part parts[PARTS];
	unsigned int i, count = 0;

	CHECK(!memory->in_blocks);
	find_parts(memory, parts);
	for (i = 0; i < PARTS; i++) {
		if (parts[i].gpa < parts[i].end) {
			ranges[count++] =
				(struct memory_range){parts[i].gpa, parts[i].end - parts[i].gpa,
						      memory->base + parts[i].offset};
		}
	}
	return count;
}

void memory_unmap(struct memory *memory)
{
	pthread_mutex_lock(&memory->blocks_lock);
	memory->partition = NULL;
	pthread_mutex_unlock(&memory->blocks_lock);
}

/* ---- use ---- */

#define NOWHERE UINT64_MAX

/* Between what there was at a start and what was added, if not all that was left out is nothing. */
static inline bool is_in_gap(const struct memory_part *part, uint64_t gpa, uint64_t length)
{
	uint64_t added = atomic_load_explicit(&part->added, memory_order_relaxed);

	return gpa < added && added > part->start && gpa + length > part->start;
}

/* Where a range of GPAs is in `base`, NOWHERE if not all of it is RAM. An end is read before where
 * its addition began. */
static inline uint64_t place(const struct memory *memory, uint64_t gpa, uint64_t length)
{
	uint64_t end;

	if (gpa < MEMORY_VGA_BASE) {
		return length <= MEMORY_VGA_BASE - gpa ? gpa : NOWHERE;
	}
	end = atomic_load_explicit(&memory->low_end, memory_order_acquire);
	if (gpa >= MEMORY_VGA_END && gpa < end) {
		return length <= end - gpa && !is_in_gap(&memory->low, gpa, length) ? gpa : NOWHERE;
	}
	end = atomic_load_explicit(&memory->high_end, memory_order_acquire);
	if (gpa >= MEMORY_4G && gpa < end) {
		return length <= end - gpa && !is_in_gap(&memory->high, gpa, length)
			       ? high_at(memory) + (gpa - MEMORY_4G)
			       : NOWHERE;
	}
	return NOWHERE;
}

bool memory_is_ram(const struct memory *memory, uint64_t gpa, uint64_t length)
{
	return place(memory, gpa, length) != NOWHERE;
}

static inline bool take_page(const struct memory *memory, uint64_t page)
{
	if (!(atomic_fetch_add_explicit(&memory->users[page], 1, memory_order_acquire) &
	      MEMORY_REMOVED)) {
		return true;
	}
	atomic_fetch_sub_explicit(&memory->users[page], 1, memory_order_relaxed);
	return false;
}

/*
 * A page that has been given back is there again by being used; and may be given back again before
 * it is taken. The memory changes, but no more than it does by being used.
 */
static bool take_back(const struct memory *memory, uint64_t page)
{
	uint64_t at = page * MEMORY_PAGE;
	uint64_t gpa = at < high_at(memory) ? at : MEMORY_4G + (at - high_at(memory));

	while (memory->in_blocks && memory_bring_back((struct memory *)memory, gpa) == 0) {
		if (take_page(memory, page)) {
			return true;
		}
	}
	return false;
}

static inline bool take_any_page(const struct memory *memory, uint64_t page)
{
	return take_page(memory, page) || take_back(memory, page);
}

static inline void give_page(const struct memory *memory, uint64_t page)
{
	atomic_fetch_sub_explicit(&memory->users[page], 1, memory_order_release);
}

/* The data was written before its bit is: who takes the bit and then copies the page, has the
 * data. */
static inline void mark_page(const struct memory *memory, uint64_t page)
{
	uint64_t bit = 1ull << page % 64;

	if (!(atomic_load(&memory->log[page / 64]) & bit)) {
		atomic_fetch_or(&memory->log[page / 64], bit);
	}
}

static inline bool is_logged(const struct memory *memory)
{
	return atomic_load_explicit(&memory->log_is_kept, memory_order_acquire);
}

static inline uint64_t first_page(uint64_t at)
{
	return at / MEMORY_PAGE;
}

static inline uint64_t end_page(uint64_t at, uint64_t length)
{
	return (at + length + MEMORY_PAGE - 1) / MEMORY_PAGE;
}

static void mark(const struct memory *memory, uint64_t at, uint64_t length)
{
	uint64_t page;

	for (page = first_page(at); length > 0 && page < end_page(at, length); page++) {
		mark_page(memory, page);
	}
}

/* An empty range is nowhere in particular, and needs no page. */
void *memory_acquire(const struct memory *memory, uint64_t gpa, uint64_t length)
{
	uint64_t at = place(memory, gpa, length), page;

	if (at == NOWHERE) {
		return NULL;
	}
	for (page = first_page(at); length > 0 && page < end_page(at, length); page++) {
		if (!take_any_page(memory, page)) {
			while (page-- > first_page(at)) {
				give_page(memory, page);
			}
			return NULL;
		}
	}
	return memory->base + at;
}

void memory_complete(const struct memory *memory, uint64_t gpa, uint64_t length, uint64_t written)
{
	uint64_t at = place(memory, gpa, length), page;

	CHECK(at != NOWHERE && written <= length); /* it was acquired */
	if (written > 0 && is_logged(memory)) {
		mark(memory, at, written);
	}
	for (page = first_page(at); length > 0 && page < end_page(at, length); page++) {
		give_page(memory, page);
	}
}

void memory_wrote(const struct memory *memory, uint64_t gpa, uint64_t length)
{
	uint64_t at = place(memory, gpa, length);

	CHECK(at != NOWHERE);
	if (is_logged(memory)) {
		mark(memory, at, length);
	}
}

/* Page by page: the offset in the next one, and what of the range is in it. */
struct walk {
	uint32_t offset, left;
};

static inline uint32_t in_page(const struct walk *walk)
{
	uint32_t rest = (uint32_t)MEMORY_PAGE - walk->offset;

	return walk->left < rest ? walk->left : rest;
}

static inline void next_page(struct walk *walk)
{
	walk->left -= in_page(walk);
	walk->offset = 0;
}

static inline uint64_t place_page(const struct memory *memory, uint64_t number)
{
	return number <= UINT64_MAX / MEMORY_PAGE ? place(memory, number * MEMORY_PAGE, MEMORY_PAGE)
						  : NOWHERE;
}

/* The first `count` of the pages. */
static void give_pages(const struct memory *memory, const uint64_t *pages, uint32_t count)
{
	while (count-- > 0) {
		give_page(memory, first_page(place_page(memory, pages[count])));
	}
}

int memory_acquire_pages(const struct memory *memory, const uint64_t *pages, uint32_t offset,
			 uint32_t length, struct iovec *iov, unsigned int max)
{
	struct walk walk = {offset, length};
	unsigned int count = 0;
	uint32_t i;

	for (i = 0; walk.left > 0; i++, next_page(&walk)) {
		uint64_t at = place_page(memory, pages[i]);

		if (at == NOWHERE || !take_any_page(memory, first_page(at))) {
			give_pages(memory, pages, i);
			return -EFAULT;
		}
		if (!iov_add(iov, max, &count, memory->base + at + walk.offset, in_page(&walk))) {
			give_pages(memory, pages, i + 1);
			return -E2BIG;
		}
	}
	return (int)count;
}

void memory_complete_pages(const struct memory *memory, const uint64_t *pages, uint32_t offset,
			   uint32_t length, uint32_t written)
{
	if (written > 0) {
		memory_wrote_pages(memory, pages, offset, written);
	}
	give_pages(memory, pages, (uint32_t)end_page(offset, length));
}

void memory_wrote_pages(const struct memory *memory, const uint64_t *pages, uint32_t offset,
			uint32_t length)
{
	struct walk walk = {offset % (uint32_t)MEMORY_PAGE, length};
	uint32_t i = offset / (uint32_t)MEMORY_PAGE;

	if (!is_logged(memory)) {
		return;
	}
	for (; walk.left > 0; i++, next_page(&walk)) {
		mark_page(memory, first_page(place_page(memory, pages[i])));
	}
}

bool memory_get(const struct memory *memory, uint64_t gpa, void *to, uint64_t length)
{
	const void *at = memory_acquire(memory, gpa, length);

	if (at != NULL) {
		memcpy(to, at, length);
		memory_complete(memory, gpa, length, 0);
	}
	return at != NULL;
}

bool memory_put(const struct memory *memory, uint64_t gpa, const void *from, uint64_t length)
{
	void *at = memory_acquire(memory, gpa, length);

	if (at != NULL) {
		memcpy(at, from, length);
		memory_complete(memory, gpa, length, length);
	}
	return at != NULL;
}

/* ---- the log ---- */

/* It stays where it is: somebody may be writing to it when it is stopped. */
static int start_own_log(struct memory *memory)
{
	uint64_t i;

	if (memory->log == NULL) {
		memory->log = table(log_bytes(memory));
	}
	if (memory->log == NULL) {
		return -ENOMEM;
	}
	for (i = 0; i < log_bytes(memory) / sizeof(uint64_t); i++) {
		atomic_store(&memory->log[i], 0);
	}
	atomic_store(&memory->log_is_kept, true);
	return 0;
}

static int set_guests_log(const struct memory *memory, struct backend_partition *partition, bool on)
{
	struct part parts[PARTS];
	unsigned int i;
	int ret = 0;

	find_parts(memory, parts);
	for (i = 0; i < PARTS && (ret == 0 || !on); i++) {
		if (parts[i].gpa < parts[i].end) {
			ret = backend_partition_log(partition, parts[i].gpa,
						    parts[i].end - parts[i].gpa, on);
		}
	}
	return ret;
}

int memory_log_start(struct memory *memory, struct backend_partition *partition)
{
	int ret = start_own_log(memory);

	if (ret == 0) {
		ret = set_guests_log(memory, partition, true);
	}
	if (ret != 0) {
		memory_log_stop(memory, partition);
	}
	return ret;
}

/* A part whose log cannot be stopped costs time, and nothing else. */
void memory_log_stop(struct memory *memory, struct backend_partition *partition)
{
	(void)set_guests_log(memory, partition, false);
	atomic_store(&memory->log_is_kept, false);
}

/* Takes one page's bit. */
static bool take_bit(struct memory *memory, uint64_t page)
{
	uint64_t bit = 1ull << page % 64;

	return (atomic_load(&memory->log[page / 64]) & bit) &&
	       (atomic_fetch_and(&memory->log[page / 64], ~bit) & bit);
}

/* This process' pages join the guest's. */
static void take_own(struct memory *memory, uint64_t gpa, uint64_t length, uint8_t *bitmap)
{
	uint64_t i;

	for (i = 0; i < length / MEMORY_PAGE; i++) {
		uint64_t at = place_page(memory, gpa / MEMORY_PAGE + i);

		if (at != NOWHERE && take_bit(memory, first_page(at))) {
			bitmap[i / 8] |= (uint8_t)(1u << i % 8);
		}
	}
}

int memory_dirty(struct memory *memory, struct backend_partition *partition, uint64_t gpa,
		 uint64_t length, uint8_t *bitmap)
{
	uint64_t bytes = (length / MEMORY_PAGE + 7) / 8;
	int ret = backend_partition_dirty(partition, gpa, length, bitmap, true);

	CHECK(is_logged(memory));
	if (ret != 0) {
		memset(bitmap, 0xff, bytes);
	} else {
		take_own(memory, gpa, length, bitmap);
	}
	return ret;
}

/* ---- pages that go ---- */

static void restore_pages(struct memory *memory, uint64_t first, uint64_t end)
{
	uint64_t page;

	for (page = first; page < end; page++) {
		atomic_fetch_and(&memory->users[page], ~MEMORY_REMOVED);
	}
}

int memory_remove(struct memory *memory, uint64_t gpa, uint64_t length)
{
	uint64_t at = place(memory, gpa, length), page;

	CHECK(gpa % MEMORY_PAGE == 0 && length % MEMORY_PAGE == 0);
	if (at == NOWHERE) {
		return -EFAULT;
	}
	for (page = first_page(at); page < end_page(at, length); page++) {
		uint32_t none = 0;

		if (!atomic_compare_exchange_strong(&memory->users[page], &none, MEMORY_REMOVED)) {
			restore_pages(memory, first_page(at), page);
			return none & MEMORY_REMOVED ? -EFAULT : -EBUSY;
		}
	}
	if (fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
		      (off_t)length) != 0) {
		restore_pages(memory, first_page(at), end_page(at, length));
		return -errno;
	}
	return 0;
}

void memory_restore(struct memory *memory, uint64_t gpa, uint64_t length)
{
	uint64_t at = place(memory, gpa, length);

	CHECK(at != NOWHERE);
	if (is_logged(memory)) {
		mark(memory, at, length);
	}
	restore_pages(memory, first_page(at), end_page(at, length));
}

/* ---- blocks ---- */

/* Where the block is in `base`; NOWHERE: it is none. */
static uint64_t place_block(const struct memory *memory, uint64_t gpa)
{
	return memory->in_blocks && gpa >= MEMORY_UNIT && gpa % MEMORY_UNIT == 0
		       ? place(memory, gpa, MEMORY_UNIT)
		       : NOWHERE;
}

bool memory_is_in_block(const struct memory *memory, uint64_t gpa)
{
	return place_block(memory, gpa & ~(MEMORY_UNIT - 1)) != NOWHERE;
}

static bool is_away(const struct memory *memory, uint64_t at)
{
	return atomic_load(&memory->users[first_page(at)]) & MEMORY_REMOVED;
}

bool memory_is_away(const struct memory *memory, uint64_t gpa)
{
	uint64_t at = place_block(memory, gpa & ~(MEMORY_UNIT - 1));

	return at != NOWHERE && is_away(memory, at);
}

/* What the hypervisor knew to be written in the block was forgotten with its mapping: all of it may
 * have been. */
static int map_block(struct memory *memory, uint64_t gpa, uint64_t at)
{
	int ret = backend_partition_map(memory->partition, gpa, memory->base + at, MEMORY_UNIT,
					ACCESS);

	if (ret == 0 && is_logged(memory)) {
		mark(memory, at, MEMORY_UNIT);
	}
	return ret;
}

/* First the guest's VPs, then this process: who comes meanwhile waits for the lock, and has it
 * back. */
static int give_back(struct memory *memory, uint64_t gpa, uint64_t at)
{
	int ret = backend_partition_unmap(memory->partition, gpa, memory->base + at, MEMORY_UNIT);

	if (ret != 0) {
		return ret;
	}
	ret = memory_remove(memory, gpa, MEMORY_UNIT);
	if (ret == 0) {
		atomic_fetch_add(&memory->away, MEMORY_UNIT);
	} else if (map_block(memory, gpa, at) != 0) {
		/* Its pages are there, so there is room: but for the hypervisor's tables. It comes
		 * when it is touched. */
		return -ENOMEM;
	}
	return ret;
}

int memory_give_back(struct memory *memory, uint64_t gpa)
{
	uint64_t at;
	int ret = -EINVAL;

	pthread_mutex_lock(&memory->blocks_lock);
	at = place_block(memory, gpa);
	if (at != NOWHERE && memory->partition != NULL) {
		ret = is_away(memory, at) ? 0 : give_back(memory, gpa, at);
	}
	pthread_mutex_unlock(&memory->blocks_lock);
	return ret;
}

/*
 * What the host has no page for is no memory, and stays away. A block that is there is left as it
 * is: another VP was here first, and its guest has written since; or it was not to go after all.
 */
static int bring_back(struct memory *memory, uint64_t gpa, uint64_t at)
{
	bool away = is_away(memory, at);
	int ret;

	if (away) {
		(void)want_large_pages(memory, at, MEMORY_UNIT);
	}
	ret = map_block(memory, gpa, at);
	if (ret == -EEXIST) {
		ret = 0; /* it is mapped */
	}
	if (ret == 0 && away) {
		memory_restore(memory, gpa, MEMORY_UNIT);
		atomic_fetch_sub(&memory->away, MEMORY_UNIT);
	}
	return ret;
}

int memory_bring_back(struct memory *memory, uint64_t gpa)
{
	uint64_t at;
	int ret = -EINVAL;

	pthread_mutex_lock(&memory->blocks_lock);
	at = place_block(memory, gpa & ~(MEMORY_UNIT - 1));
	if (at != NOWHERE && memory->partition != NULL) {
		ret = bring_back(memory, gpa & ~(MEMORY_UNIT - 1), at);
	}
	pthread_mutex_unlock(&memory->blocks_lock);
	return ret;
}

/* ---- memory that is added ---- */

static uint64_t high_limit(const struct memory *memory)
{
	return MEMORY_4G + memory->size - high_at(memory);
}

/* There is one gap in a part at most: so what is added later follows what was added before. */
static bool has_room(const struct memory_part *part, uint64_t end, uint64_t limit, uint64_t length,
		     uint64_t *gpa)
{
	uint64_t rest = end % length;

	*gpa = rest == 0 ? end : end + (length - rest);
	return *gpa < limit && length <= limit - *gpa && (part->added == 0 || *gpa == end);
}

bool memory_find_room(const struct memory *memory, uint64_t length, uint64_t *gpa)
{
	CHECK(length != 0 && length % MEMORY_UNIT == 0);
	return memory->in_blocks &&
	       (has_room(&memory->low, memory->low_end, high_at(memory), length, gpa) ||
		has_room(&memory->high, memory->high_end, high_limit(memory), length, gpa));
}

/* All of it is mapped, or nothing. */
static int map_blocks(struct memory *memory, uint64_t gpa, uint8_t *at, uint64_t length)
{
	uint64_t done;
	int ret = 0;

	for (done = 0; done < length; done += MEMORY_UNIT) {
		(void)want_large_pages(memory, (uint64_t)(at + done - memory->base), MEMORY_UNIT);
		ret = backend_partition_map(memory->partition, gpa + done, at + done, MEMORY_UNIT,
					    ACCESS);
		if (ret != 0) {
			break;
		}
	}
	if (ret != 0) {
		while (done > 0) {
			done -= MEMORY_UNIT;
			(void)!backend_partition_unmap(memory->partition, gpa + done, at + done,
						       MEMORY_UNIT);
		}
		(void)fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				at - memory->base, (off_t)length);
	}
	return ret;
}

static void forget_withdrawal(struct memory *memory, uint64_t offset, uint64_t length)
{
	uint64_t at;

	for (at = offset; at < offset + length; at += MEMORY_UNIT) {
		if (is_away(memory, at)) {
			restore_pages(memory, first_page(at), end_page(at, MEMORY_UNIT));
			memory->withdrawn -= MEMORY_UNIT;
		}
	}
}

/* A guest whose VP gets there before it is told finds memory, which it is to have anyway. */
static int add(struct memory *memory, uint64_t gpa, uint64_t length)
{
	bool low = gpa < MEMORY_4G;
	struct memory_part *part = low ? &memory->low : &memory->high;
	uint64_t offset = low ? gpa : high_at(memory) + (gpa - MEMORY_4G);
	int ret = map_blocks(memory, gpa, memory->base + offset, length);

	if (ret != 0) {
		return ret;
	}
	forget_withdrawal(memory, offset, length);
	if (part->added == 0) {
		atomic_store(&part->added, gpa);
	}
	atomic_store(low ? &memory->low_end : &memory->high_end, gpa + length);
	return 0;
}

int memory_add(struct memory *memory, uint64_t gpa, uint64_t length)
{
	uint64_t room;
	int ret = -EINVAL;

	pthread_mutex_lock(&memory->blocks_lock);
	if (memory->partition != NULL && memory_find_room(memory, length, &room) && room == gpa) {
		ret = is_logged(memory) ? -EBUSY : add(memory, gpa, length);
	}
	pthread_mutex_unlock(&memory->blocks_lock);
	return ret;
}

/* Block by block; when one is in use those before it come back, if not at once then when they are
 * touched. */
static int take_off(struct memory *memory, uint64_t gpa, uint64_t length)
{
	uint64_t at;
	int ret = 0;

	for (at = gpa; at < gpa + length && ret == 0; at += MEMORY_UNIT) {
		if (!is_away(memory, place_block(memory, at))) {
			ret = give_back(memory, at, place_block(memory, at));
		}
	}
	for (; ret != 0 && at > gpa; at -= MEMORY_UNIT) {
		(void)bring_back(memory, at - MEMORY_UNIT, place_block(memory, at - MEMORY_UNIT));
	}
	return ret;
}

int memory_withdraw(struct memory *memory, uint64_t gpa, uint64_t length)
{
	bool low = gpa < MEMORY_4G;
	struct memory_part *part = low ? &memory->low : &memory->high;
	_Atomic uint64_t *end = low ? &memory->low_end : &memory->high_end;
	int ret = -EINVAL;

	pthread_mutex_lock(&memory->blocks_lock);
	if (memory->partition != NULL && part->added != 0 && gpa >= part->added &&
	    gpa % MEMORY_UNIT == 0 && gpa + length == *end) {
		ret = take_off(memory, gpa, length);
		if (ret == 0) {
			atomic_store(end, gpa == part->added ? part->start : gpa);
			atomic_store(&part->added, gpa == part->added ? 0 : part->added);
			atomic_fetch_sub(&memory->away, length);
			memory->withdrawn += length;
		}
	}
	pthread_mutex_unlock(&memory->blocks_lock);
	return ret;
}

static uint64_t gap(const struct memory_part *part)
{
	return part->added != 0 ? part->added - part->start : 0;
}

uint64_t memory_ram(const struct memory *memory)
{
	return memory->low_end - gap(&memory->low) + memory->high_end - MEMORY_4G -
	       gap(&memory->high);
}

uint64_t memory_limit(const struct memory *memory)
{
	return memory->size > MEMORY_HOLE_BASE ? high_limit(memory) : memory->size;
}

void memory_get_added(const struct memory *memory, uint64_t added[MEMORY_ADDED])
{
	added[0] = memory->low.added;
	added[1] = added[0] != 0 ? memory->low_end : 0;
	added[2] = memory->high.added;
	added[3] = added[2] != 0 ? memory->high_end : 0;
}

static bool may_be_added(const struct memory *memory, const struct memory_part *part,
			 const uint64_t added[2], uint64_t limit)
{
	return (added[0] == 0 && added[1] == 0) ||
	       (memory->in_blocks && added[0] % MEMORY_UNIT == 0 && added[1] % MEMORY_UNIT == 0 &&
		added[0] >= part->start && added[0] < added[1] && added[1] <= limit);
}

bool memory_set_added(struct memory *memory, const uint64_t added[MEMORY_ADDED])
{
	if (!may_be_added(memory, &memory->low, added, high_at(memory)) ||
	    !may_be_added(memory, &memory->high, added + 2, high_limit(memory))) {
		return false;
	}
	atomic_store(&memory->low.added, added[0]);
	atomic_store(&memory->high.added, added[2]);
	if (added[1] != 0) {
		atomic_store(&memory->low_end, added[1]);
		(void)want_large_pages(memory, added[0], added[1] - added[0]);
	}
	if (added[3] != 0) {
		atomic_store(&memory->high_end, added[3]);
		(void)want_large_pages(memory, high_at(memory) + (added[2] - MEMORY_4G),
				       added[3] - added[2]);
	}
	return true;
}
