/*
 * The rings of a port (include/switch/port.h), for both ends. A ring belongs to one thread at each
 * end; nothing here blocks, allocates or makes a system call. The other end is not trusted: its
 * words are read once and checked, slots are copied out, and what is one's own is remembered and
 * never read back.
 *
 * Order. Who moves an index does so with a full barrier, then looks whether the other waits. Who is
 * going to wait says so with a full barrier, then looks at the index once more. So at least one of
 * them sees the other, and no wake-up is lost (tests/model/switch_ring.pml).
 *
 * Of an `out` ring (frames of the guest): the worker adds, the switch answers each in order.
 * Of an `in` ring (empty buffers): the same; an answered buffer holds a frame, or a part of one.
 */
#ifndef SWITCH_RING_H
#define SWITCH_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/switch/port.h"
#include "lib/check.h"

struct ring {
	struct port_ring *control;
	struct port_slot *slots;
	uint32_t size;
	/* Of the index that is one's own: what the next slot is, and what the other was shown. */
	uint32_t next, shown;
	uint32_t back;  /* the worker: the next answer; the switch: the next slot to be answered */
	uint32_t other; /* what was last seen of the other's index */
	bool waits;
};

/* ---- layout ---- */

/* Of the whole port memory; 0 if the numbers are not allowed. */
size_t ring_memory_bytes(uint32_t queue_count, uint32_t out_slots, uint32_t in_slots);
/* Ring 2 * queue is its `out`, the one after it its `in`. Both ends begin at 0. */
void ring_at(struct ring *ring, void *memory, uint32_t out_slots, uint32_t in_slots,
	     uint32_t index);

/* ---- the worker ---- */

/* Slots that can be added now. */
uint32_t ring_room(const struct ring *ring);
/*
 * Adds the slots of one frame or buffer, of which there is room for all. The switch sees them after
 * ring_publish(), so never a part of them.
 */
void ring_add(struct ring *ring, const struct port_slot *slots, uint32_t count);
/* True: the switch sleeps, and its event is to be signalled. */
bool ring_publish(struct ring *ring) MUST_CHECK;
/*
 * The next answered slot: 1, 0 if there is none, -EPROTO if the switch moved its index beyond what
 * was added. Answers come slot by slot in the order of ring_add().
 */
int ring_collect(struct ring *ring, struct port_slot *slot) MUST_CHECK;
/*
 * Asks to be signalled at the next answer. True: there is none yet, the worker may sleep. False:
 * there is one now, and nothing is asked any more.
 */
bool ring_worker_waits(struct ring *ring) MUST_CHECK;
void ring_worker_wakes(struct ring *ring);

/* ---- the switch ---- */

/*
 * The slots of the next frame or buffer: how many, 0 if there is none, -EPROTO if the worker moved
 * its index by more than the ring holds, or a frame has more than `max` slots or no end.
 */
int ring_take(struct ring *ring, struct port_slot *slots, uint32_t max) MUST_CHECK;
/* Takes back the last `count` slots that were taken, and not answered. */
void ring_untake(struct ring *ring, uint32_t count);
/*
 * Answers the oldest `count` slots that were taken. `first` is the answer in the first of them;
 * NULL leaves all as they are.
 */
void ring_answer(struct ring *ring, const struct port_slot *first, uint32_t count);
/* Slots taken and not answered. */
uint32_t ring_taken(const struct ring *ring);
/* Shows the worker the answers. True: it sleeps, and its event is to be signalled. */
bool ring_show(struct ring *ring) MUST_CHECK;
/* As ring_worker_waits(). */
bool ring_switch_waits(struct ring *ring) MUST_CHECK;
void ring_switch_wakes(struct ring *ring);

#endif
