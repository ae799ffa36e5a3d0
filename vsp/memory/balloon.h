/*
 * The dynamic memory of one guest: it is led to have as much as the target says, by a balloon in
 * it, and by memory that is added while it runs. docs/design/memory-dynamic.md.
 *
 * Pages that the guest has put into its balloon are taken from it in blocks of BALLOON_BLOCK_PAGES,
 * when all of a block is there; they come back before the guest is told that it may use them.
 */
#ifndef VSP_MEMORY_BALLOON_H
#define VSP_MEMORY_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"
#include "lib/state.h"

struct balloon;
struct balloon_host;
struct vmbus;

#define BALLOON_BLOCK_PAGES 512u /* 2 MiB, aligned */

struct balloon_config {
	uint64_t end;     /* above the number of the highest page that can be RAM */
	uint64_t minimum; /* pages; the target is not below */
	uint64_t start;   /* pages; the target at the beginning */
	uint64_t maximum; /* pages; the target is not above */
};

/* Offers the device. -errno. [C] is VMBus' control thread. */
int balloon_create(struct vmbus *bus, struct balloon_host *host,
		   const struct balloon_config *config, struct balloon **balloon) MUST_CHECK;
/* Before vmbus_destroy(); the home is asked until that has returned. [C] */
void balloon_destroy(struct balloon **balloon);

/* How much the guest is to have, in pages; between the minimum and the maximum. It takes its time,
 * and may never get there. [T] */
void balloon_set_target(struct balloon *balloon, uint64_t pages);

/* Other bounds of that, within what the device was made with at most; the target follows. [T] */
void balloon_set_bounds(struct balloon *balloon, uint64_t minimum, uint64_t maximum);

/* Counts of pages. */
struct balloon_state {
	uint64_t minimum, maximum; /* of the target */
	bool contacted;            /* the guest's driver speaks to us */
	bool reported;             /* ... and has told how it is: the next two are known */
	uint64_t available;        /* could be had by its programs */
	uint64_t
		committed; /* what it has promised to programs and needs itself; the balloon is no part of it */
	uint64_t target;    /* what it is to have */
	uint64_t assigned;  /* what it has: all RAM less its balloon */
	uint64_t returned;  /* of the balloon: what has gone to the root */
	bool asked;         /* a request of ours is not answered yet */
	bool gives_no_more; /* the last answer was less than what was asked for */
	bool takes_no_more; /* it cannot have what the target says: nothing more can be added to it */
	const char *why;    /* it cannot be led now; NULL: it can */
};

void balloon_get_state(struct balloon *balloon, struct balloon_state *state); /* [T] */

/* A part "balloon". The bus is paused. [C] */
void balloon_save(struct balloon *balloon, struct state_writer *writer);
/*
 * Into one that is new, before vmbus_load(). What the root had of the balloon, it has again when
 * the bus goes on. -EINVAL: the list's fault says why; -ENOMEM. [C]
 */
int balloon_load(struct balloon *balloon, struct state_reader *list) MUST_CHECK;

#endif
