/*
 * What of a disk in use has changed, for who copies it to where no file of this host is: a bit for
 * each place of 64 KiB. It is set behind the write and before the request is complete, and cleared
 * before the place is read. So a bit that is clear when no request is under way says that the place
 * was read as it is; one that is set once too often costs a copy.
 */
#include "disk/chain.h"

#include "disk/disk.h"
#include "disk/units.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PLACE     (64 * DISK_KIB)
#define COUNT_MAX (16u << 20) /* bits: 2 MiB of them */
#define WORD_BITS 64u

int disk_changes_begin(struct disk *disk)
{
	struct changes *changes = &disk->changes;
	uint64_t place = PLACE, count, i;

	while (disk_size(disk) / place >= COUNT_MAX) {
		place *= 2;
	}
	count = round_up(disk_size(disk), place) / place;
	atomic_store(&changes->on, false);
	if (changes->noted == NULL) { /* a disk in use has its size for good */
		changes->noted = calloc(count / WORD_BITS + 1, sizeof(*changes->noted));
		if (changes->noted == NULL) {
			return -ENOMEM;
		}
	}
	for (i = 0; i <= count / WORD_BITS; i++) {
		atomic_store(&changes->noted[i], 0);
	}
	atomic_store(&changes->left, 0);
	changes->place = place;
	changes->count = count;
	atomic_store(&changes->on, true);
	return 0;
}

void disk_changes_end(struct disk *disk)
{
	atomic_store(&disk->changes.on, false);
}

uint64_t disk_changes_left(const struct disk *disk)
{
	return atomic_load(&disk->changes.left) * disk->changes.place;
}

/* A failed one as well: some of it may be in the file. */
void changes_note_request(struct disk *disk, const struct disk_req *req)
{
	struct changes *changes = &disk->changes;
	uint64_t size = disk_size(disk), i, last;

	if ((req->op != DISK_OP_WRITE && req->op != DISK_OP_TRIM) || !req->length ||
	    req->offset >= size) {
		return;
	}
	last = (req->offset + min_u64(req->length, size - req->offset) - 1) / changes->place;
	for (i = req->offset / changes->place; i <= last; i++) {
		uint64_t bit = 1ull << i % WORD_BITS;

		atomic_fetch_add(&changes->left, 1); /* first: it is never below zero */
		if (atomic_fetch_or(&changes->noted[i / WORD_BITS], bit) & bit) {
			atomic_fetch_sub(&changes->left, 1);
		}
	}
}

static bool take_bit(struct changes *changes, uint64_t i)
{
	uint64_t bit = 1ull << i % WORD_BITS;

	if (!(atomic_load(&changes->noted[i / WORD_BITS]) & bit)) {
		return false;
	}
	atomic_fetch_and(&changes->noted[i / WORD_BITS], ~bit);
	atomic_fetch_sub(&changes->left, 1);
	return true;
}

bool disk_changes_take(struct disk *disk, uint64_t *offset, uint64_t *length)
{
	struct changes *changes = &disk->changes;
	uint64_t i = *offset / changes->place, most = max_u64(*length / changes->place, 1), first;

	while (i < changes->count && !take_bit(changes, i)) {
		/* Many are clear. */
		i += atomic_load(&changes->noted[i / WORD_BITS]) == 0 ? WORD_BITS - i % WORD_BITS
								      : 1;
	}
	if (i >= changes->count) {
		return false;
	}
	first = i++;
	while (i < changes->count && i - first < most && take_bit(changes, i)) {
		i++;
	}
	*offset = first * changes->place;
	*length = min_u64((i - first) * changes->place, disk_size(disk) - *offset);
	return true;
}
