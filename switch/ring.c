/* See ring.h. */
#include "switch/ring.h"

#include <errno.h>
#include <string.h>

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool is_size(uint32_t slots)
{
	return slots >= PORT_SLOTS_MIN && slots <= PORT_SLOTS_MAX && (slots & (slots - 1)) == 0;
}

static size_t ring_bytes(uint32_t slots)
{
	size_t bytes = sizeof(struct port_ring) + slots * sizeof(struct port_slot);

	return (bytes + PORT_ALIGN - 1) & ~(size_t)(PORT_ALIGN - 1);
}

size_t ring_memory_bytes(uint32_t queue_count, uint32_t out_slots, uint32_t in_slots)
{
	if (queue_count == 0 || queue_count > PORT_QUEUES_MAX || !is_size(out_slots) ||
	    !is_size(in_slots)) {
		return 0;
	}
	return PORT_ALIGN + queue_count * (ring_bytes(out_slots) + ring_bytes(in_slots));
}

void ring_at(struct ring *ring, void *memory, uint32_t out_slots, uint32_t in_slots, uint32_t index)
{
	uint8_t *at = (uint8_t *)memory + PORT_ALIGN;

	at += index / 2 * (ring_bytes(out_slots) + ring_bytes(in_slots));
	at += index % 2 != 0 ? ring_bytes(out_slots) : 0;
	*ring = (struct ring){
		.control = (struct port_ring *)at,
		.slots = (struct port_slot *)(at + sizeof(struct port_ring)),
		.size = index % 2 != 0 ? in_slots : out_slots,
	};
}

static struct port_slot *slot_at(const struct ring *ring, uint32_t index)
{
	return &ring->slots[index & (ring->size - 1)];
}

/* What was copied is read from the copy from here on, whatever the compiler could see. */
static void copy_slot(struct port_slot *to, const struct port_slot *from)
{
	memcpy(to, from, sizeof(*to));
	__asm__ volatile("" ::: "memory");
}

/*
 * Stores one's own index; true if the other waits for that. It is told once: the word is taken back
 * for it. The look before spares the line of who is awake a write.
 */
static bool move(struct ring *ring, uint32_t *index, uint32_t to, uint32_t *waits)
{
	if (to == ring->shown) {
		return false;
	}
	store(index, to);
	ring->shown = to;
	barrier();
	return load(waits) != 0 && __atomic_exchange_n(waits, 0, __ATOMIC_SEQ_CST) != 0;
}

/* Says that one waits; true if the other's index is still where it was. */
static bool wait_for(struct ring *ring, uint32_t *waits, const uint32_t *index)
{
	store(waits, 1);
	barrier();
	ring->waits = load(index) == ring->other;
	if (!ring->waits) {
		store(waits, 0);
	}
	return ring->waits;
}

static void wake(struct ring *ring, uint32_t *waits)
{
	if (ring->waits) {
		store(waits, 0);
		ring->waits = false;
	}
}

/* ---- the worker ---- */

uint32_t ring_room(const struct ring *ring)
{
	return ring->size - (ring->next - ring->back);
}

void ring_add(struct ring *ring, const struct port_slot *slots, uint32_t count)
{
	uint32_t i;

	CHECK(count <= ring_room(ring));
	for (i = 0; i < count; i++) {
		*slot_at(ring, ring->next++) = slots[i];
	}
}

bool ring_publish(struct ring *ring)
{
	return move(ring, &ring->control->added, ring->next, &ring->control->switch_waits);
}

int ring_collect(struct ring *ring, struct port_slot *slot)
{
	if (ring->back == ring->other) {
		uint32_t done = load(&ring->control->done);

		if (done - ring->back > ring->shown - ring->back) {
			return -EPROTO;
		}
		ring->other = done;
		if (ring->back == done) {
			return 0;
		}
	}
	copy_slot(slot, slot_at(ring, ring->back++));
	return 1;
}

bool ring_worker_waits(struct ring *ring)
{
	return ring->back == ring->other &&
	       wait_for(ring, &ring->control->worker_waits, &ring->control->done);
}

void ring_worker_wakes(struct ring *ring)
{
	wake(ring, &ring->control->worker_waits);
}

/* ---- the switch ---- */

int ring_take(struct ring *ring, struct port_slot *slots, uint32_t max)
{
	uint32_t count = 0;

	if (ring->next == ring->other) {
		uint32_t added = load(&ring->control->added);

		/* What it was not shown to be answered is not the worker's to add again. */
		if (added - ring->shown > ring->size ||
		    added - ring->shown < ring->next - ring->shown) {
			return -EPROTO;
		}
		ring->other = added;
		if (ring->next == added) {
			return 0;
		}
	}
	do {
		if (count == max || ring->next + count == ring->other) {
			return -EPROTO;
		}
		copy_slot(&slots[count], slot_at(ring, ring->next + count));
	} while (slots[count++].flags & PORT_MORE);
	ring->next += count;
	return (int)count;
}

void ring_untake(struct ring *ring, uint32_t count)
{
	CHECK(count <= ring_taken(ring));
	ring->next -= count;
}

void ring_answer(struct ring *ring, const struct port_slot *first, uint32_t count)
{
	CHECK(count <= ring_taken(ring));
	if (first != NULL) {
		*slot_at(ring, ring->back) = *first;
	}
	ring->back += count;
}

uint32_t ring_taken(const struct ring *ring)
{
	return ring->next - ring->back;
}

bool ring_show(struct ring *ring)
{
	return move(ring, &ring->control->done, ring->back, &ring->control->worker_waits);
}

bool ring_switch_waits(struct ring *ring)
{
	return ring->next == ring->other &&
	       wait_for(ring, &ring->control->switch_waits, &ring->control->added);
}

void ring_switch_wakes(struct ring *ring)
{
	wake(ring, &ring->control->switch_waits);
}
