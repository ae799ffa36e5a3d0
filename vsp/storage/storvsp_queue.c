/*
 * What the thread of an open channel (vsp/channel.h) does here: it sleeps in the ring of its disk
 * queue, takes what the disks have completed, and packets while there is a free io.
 */
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Ios that stay in memory, and how often no more of them were taken until all were free again
 * before the others are given back. */
#define KEPT 16u
#define CALM 64u

bool storvsp_has_io(const struct storage_queue *queue)
{
	return queue->free != NULL || queue->fresh < queue->storage->config.depth;
}

/* The one that was used last; a guest that has little under way touches little of the pool. */
struct storage_io *storvsp_take_io(struct storage_queue *queue)
{
	struct storage_io *io = queue->free;

	queue->taken++;
	queue->most = queue->taken > queue->most ? queue->taken : queue->most;
	if (io != NULL) {
		queue->free = io->next;
		return io;
	}
	CHECK(queue->fresh < queue->storage->config.depth);
	io = &queue->pool[queue->fresh++];
	io->queue = queue;
	io->answer.payload = &io->packet;
	return io;
}

/* The whole pages of these ios of the pool, from one on. */
static void advise(const struct storage_queue *queue, unsigned from, int advice)
{
	uintptr_t first = (uintptr_t)&queue->pool[from] + VMBUS_PAGE_SIZE - 1;
	uintptr_t end = (uintptr_t)&queue->pool[queue->storage->config.depth];

	first &= ~(uintptr_t)(VMBUS_PAGE_SIZE - 1);
	end &= ~(uintptr_t)(VMBUS_PAGE_SIZE - 1);
	if (end > first) {
		(void)madvise((void *)first, end - first, advice); /* or it costs memory */
	}
}

/* No io is taken. What a burst has used of the pool is given back after a while without one. */
static void shrink(struct storage_queue *queue)
{
	queue->calm = queue->most <= KEPT ? queue->calm + 1 : 0;
	queue->most = 0;
	if (queue->calm >= CALM && queue->fresh > KEPT) {
		queue->calm = 0;
		queue->free = NULL;
		queue->fresh = 0;
		advise(queue, KEPT, MADV_DONTNEED);
	}
}

void storvsp_free_io(struct storage_io *io)
{
	struct storage_queue *queue = io->queue;

	io->next = queue->free;
	queue->free = io;
	if (--queue->taken == 0) {
		shrink(queue);
	}
}

void storvsp_answer(struct storage_io *io)
{
	vsp_answer(&io->queue->vsp, &io->answer);
}

struct storage_io *storvsp_io_of(const struct vsp_answer *answer)
{
	return (struct storage_io *)((uint8_t *)answer - offsetof(struct storage_io, answer));
}

void storvsp_put_aside(struct storage_io *io, enum storage_again again)
{
	struct storage_queue *queue = io->queue;

	io->again = again;
	io->next = NULL;
	*queue->aside_end = io;
	queue->aside_end = &io->next;
}

void storvsp_srb_ended(struct storage *storage)
{
	if (atomic_fetch_sub(&storage->requests, 1) == 1 && atomic_load(&storage->resets)) {
		vsp_wake_all(&storage->channels);
	}
}

static struct storage_io *take_aside(struct storage_queue *queue)
{
	struct storage_io *io = queue->aside;

	queue->aside = NULL;
	queue->aside_end = &queue->aside;
	return io;
}

/* ---- the thread ---- */

static void sent(void *device, struct vsp_answer *answer)
{
	(void)device;
	storvsp_free_io(storvsp_io_of(answer));
}

static bool work(void *device)
{
	struct storage_queue *queue = device;
	bool more = disk_queue_poll(queue->disks);

	storvsp_finish_resets(queue);
	return more;
}

static bool ready(void *device)
{
	struct storage_queue *queue = device;

	return storvsp_announce(queue) && storvsp_has_io(queue);
}

static void packet(void *device, const struct vmbus_packet *from)
{
	storvsp_packet(device, from);
}

static void turned(void *device)
{
	struct storage_queue *queue = device;

	if (queue->in_flight) {
		disk_queue_kick(queue->disks);
	}
}

/* Once more put aside, if the next pause comes soon. */
static void resume(void *device)
{
	struct storage_io *io = take_aside(device), *next;

	for (; io != NULL; io = next) {
		next = io->next;
		storvsp_go_on(io);
	}
}

/* What was put aside is not under way any more. */
static void drop_aside(struct storage_queue *queue)
{
	struct storage_io *io;

	for (io = take_aside(queue); io != NULL; io = io->next) {
		if (io->again == AGAIN_SRB) {
			storvsp_srb_ended(queue->storage);
		}
	}
}

/* Resets of this channel's no longer stand in the others' way. */
static void end(void *device)
{
	struct storage_queue *queue = device;

	drop_aside(queue);
	for (; queue->resets != NULL; queue->resets = queue->resets->next) {
		atomic_fetch_sub(&queue->storage->resets, 1);
	}
}

/* A reset may wait for what other channels have put aside. */
static bool busy(void *device)
{
	const struct storage_queue *queue = device;

	return queue->in_flight;
}

static void closed(void *device)
{
	const struct storage_queue *queue = device;

	if (queue->index == 0) {
		storvsp_primary_closed(queue->storage);
	}
}

static void sleep_until_work(void *device)
{
	const struct storage_queue *queue = device;

	disk_queue_sleep(queue->disks);
}

static void wake(void *device)
{
	const struct storage_queue *queue = device;

	disk_queue_wake(queue->disks);
}

static void watch(void *device, int event)
{
	const struct storage_queue *queue = device;

	disk_queue_watch(queue->disks, event);
}

static const struct vsp_class queue_class = {
	.work = work,
	.ready = ready,
	.packet = packet,
	.turned = turned,
	.sent = sent,
	.resume = resume,
	.end = end,
	.busy = busy,
	.closed = closed,
	.sleep = sleep_until_work,
	.wake = wake,
	.watch = watch,
};

/* ---- the control thread ---- */

void storvsp_queue_free(struct storage_queue *queue)
{
	if (queue != NULL) {
		free(queue->pool);
		free(queue);
	}
}

int storvsp_queue_create(struct storage *storage, unsigned index, struct storage_queue **out)
{
	struct storage_queue *queue = calloc(1, sizeof(*queue));

	if (queue == NULL) {
		return -ENOMEM;
	}
	queue->storage = storage;
	queue->index = index;
	queue->aside_end = &queue->aside;
	queue->pool = calloc(storage->config.depth, sizeof(*queue->pool));
	queue->disks = storage->disks[queue->index];
	if (queue->pool == NULL) {
		storvsp_queue_free(queue);
		return -ENOMEM;
	}
	/* A huge page would make 2 MiB of the first request. */
	advise(queue, 0, MADV_NOHUGEPAGE);
	*out = queue;
	return 0;
}

static int create_queue(void *owner, unsigned index, struct vsp_channel **vsp)
{
	struct storage_queue *queue;
	int ret = storvsp_queue_create(owner, index, &queue);

	if (!ret) {
		*vsp = &queue->vsp;
	}
	return ret;
}

static void free_queue(struct vsp_channel *vsp)
{
	storvsp_queue_free((struct storage_queue *)vsp);
}

static void forget(struct vsp_channel *vsp)
{
	drop_aside((struct storage_queue *)vsp);
}

const struct vsp_device_class storvsp_channels = {
	.channel = &queue_class,
	.create = create_queue,
	.free = free_queue,
	.forget = forget,
	.ended = storvsp_ended,
};
