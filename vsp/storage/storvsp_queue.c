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

/* ---- the thread ---- */

static void sent(void *device, struct vsp_answer *answer)
{
	(void)device;
	free_io((struct storage_io *)((uint8_t *)answer - offsetof(struct storage_io, answer)));
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

/* Resets of this channel's no longer stand in the others' way. */
static void end(void *device)
{
	struct storage_queue *queue = device;

	for (; queue->resets != NULL; queue->resets = queue->resets->next) {
		atomic_fetch_sub(&queue->storage->resets, 1);
	}
}

static bool busy(void *device)
{
	const struct storage_queue *queue = device;

	return queue->in_flight || queue->resets != NULL;
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
	.end = end,
	.busy = busy,
	.closed = closed,
	.sleep = sleep_until_work,
	.wake = wake,
	.watch = watch,
};

/* ---- the control thread ---- */

static void queue_free(struct storage_queue *queue)
{
	free(queue->pool);
	free(queue);
}

void storvsp_join(struct storage_queue *queue)
{
	if (queue != NULL) {
		vsp_join(&queue->vsp);
		queue_free(queue);
	}
}

static int queue_create(struct storage *storage, struct vmbus_channel *channel,
			struct storage_queue **out)
{
	struct storage_queue *queue = calloc(1, sizeof(*queue));
	unsigned i;

	if (queue == NULL) {
		return -ENOMEM;
	}
	queue->storage = storage;
	queue->index = channel_sub_channel(channel);
	queue->pool = calloc(storage->config.depth, sizeof(*queue->pool));
	queue->disks = storage->disks[queue->index];
	if (queue->pool == NULL) {
		queue_free(queue);
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

/*
 * The thread of the open before has said channel_closed(), its last words; so joining it does not
 * wait.
 */
static int opened(void *device, struct vmbus_channel *channel)
{
	struct storage *storage = device;
	unsigned index = channel_sub_channel(channel);
	struct storage_queue *queue = NULL, *before;
	int ret;

	pthread_mutex_lock(&storage->lock);
	before = storage->queues[index];
	storage->queues[index] = NULL;
	pthread_mutex_unlock(&storage->lock);
	storvsp_join(before);
	ret = queue_create(storage, channel, &queue);
	if (ret) {
		return ret;
	}
	pthread_mutex_lock(&storage->lock);
	ret = vsp_start(&queue->vsp, &queue_class, queue, channel, NULL, 0);
	if (!ret) {
		storage->queues[index] = queue;
		storage->channels_open++;
	}
	pthread_mutex_unlock(&storage->lock);
	if (ret) {
		queue_free(queue);
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
