/*
 * What the thread of an open channel (vsp/channel.h) does here: it sleeps in the ring of its disk queue, takes
 * what the disks have completed, and packets while there is a free io.
 */
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

void storvsp_wake_all(struct storage *storage)
{
	unsigned i;

	pthread_mutex_lock(&storage->lock);
	for (i = 0; i < STORAGE_CHANNELS_MAX; i++) {
		if (storage->queues[i] != NULL) {
			vsp_wake(&storage->queues[i]->vsp);
		}
	}
	pthread_mutex_unlock(&storage->lock);
}

struct storage_io *storvsp_take_io(struct storage_queue *queue)
{
	struct storage_io *io = queue->free;

	CHECK(io);
	queue->free = io->next;
	return io;
}

static void free_io(struct storage_io *io)
{
	io->next = io->queue->free;
	io->queue->free = io;
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
		storvsp_wake_all(storage);
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
	free_io(storvsp_io_of(answer));
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

	return storvsp_announce(queue) && queue->free != NULL;
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

void storvsp_join(struct storage_queue *queue)
{
	if (queue != NULL) {
		vsp_join(&queue->vsp);
		storvsp_queue_free(queue);
	}
}

int storvsp_queue_create(struct storage *storage, unsigned index, struct storage_queue **out)
{
	struct storage_queue *queue = calloc(1, sizeof(*queue));
	unsigned i;

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
	for (i = 0; i < storage->config.depth; i++) {
		queue->pool[i].queue = queue;
		queue->pool[i].answer.payload = &queue->pool[i].packet;
		free_io(&queue->pool[i]);
	}
	*out = queue;
	return 0;
}

/* What a loaded state has for a channel that was open in it. Whoever opens it later has nothing to do with it. */
static struct storage_queue *restored_queue(struct storage_queue *queue, bool goes_on)
{
	if (queue != NULL && !goes_on) {
		drop_aside(queue);
		storvsp_queue_free(queue);
		queue = NULL;
	}
	return queue;
}

/*
 * The thread of the open before has said channel_closed(), its last words; so joining it does not
 * wait.
 */
static int opened(void *device, struct vmbus_channel *channel)
{
	struct storage *storage = device;
	unsigned index = channel_sub_channel(channel);
	struct storage_queue *queue, *before;
	int ret = 0;

	pthread_mutex_lock(&storage->lock);
	before = storage->queues[index];
	storage->queues[index] = NULL;
	queue = storage->restored[index];
	storage->restored[index] = NULL;
	pthread_mutex_unlock(&storage->lock);
	storvsp_join(before);
	queue = restored_queue(queue, channel_starts_paused(channel));
	if (queue == NULL) {
		ret = storvsp_queue_create(storage, index, &queue);
	}
	if (ret) {
		return ret;
	}
	pthread_mutex_lock(&storage->lock);
	ret = vsp_start(&queue->vsp, &queue_class, queue, channel, NULL, 0);
	if (!ret) {
		queue->open = true;
		storage->queues[index] = queue;
		storage->channels_open++;
	}
	pthread_mutex_unlock(&storage->lock);
	if (ret) {
		storvsp_queue_free(queue);
	}
	return ret;
}

static struct storage_queue *queue_of(struct storage *storage, const struct vmbus_channel *channel)
{
	struct storage_queue *queue;

	pthread_mutex_lock(&storage->lock);
	queue = storage->queues[channel_sub_channel(channel)];
	pthread_mutex_unlock(&storage->lock);
	CHECK(queue != NULL &&
	      queue->vsp.channel == channel); /* opened() and closing() come in pairs */
	return queue;
}

/* Without the primary channel the others have no use. */
static void closing(void *device, struct vmbus_channel *channel)
{
	struct storage *storage = device;
	struct storage_queue *queue = queue_of(storage, channel);

	vsp_close(&queue->vsp);
	pthread_mutex_lock(&storage->lock);
	queue->open = false;
	storage->channels_open--;
	pthread_mutex_unlock(&storage->lock);
	if (channel_sub_channel(channel) == 0) {
		storvsp_rescind_sub_channels(storage);
	}
}

static void pausing(void *device, struct vmbus_channel *channel)
{
	vsp_pause(&queue_of(device, channel)->vsp);
}

static void resumed(void *device, struct vmbus_channel *channel)
{
	vsp_resume(&queue_of(device, channel)->vsp);
}

static void released(void *device, struct vmbus_channel *channel)
{
	storvsp_released(device, channel);
}

const struct vmbus_class storvsp_class = {
	.name = "storage",
	.opened = opened,
	.closing = closing,
	.released = released,
	.pausing = pausing,
	.resumed = resumed,
};
