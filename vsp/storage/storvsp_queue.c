/*
 * The thread of an open channel: it takes packets, carries them out, and sends the answers.
 *
 *   opened()                 the queue and its thread are made; its ring to the disks is there
 *   serve()                  answers that wait for room, completions of the disks, packets
 *   closing or broken        no more packets; what is at the disks ends, and takes no further step
 *   closing() was called     channel_closed(), which is the last that the thread does
 *   the next opened(), or the end of the controller, joins it
 *
 * Packets are taken only while there is a free io and no answer waits for room: so the rings bound
 * everything.
 */
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

void storvsp_wake_all(struct storage *storage)
{
	unsigned i;

	pthread_mutex_lock(&storage->lock);
	for (i = 0; i < STORAGE_CHANNELS_MAX; i++) {
		if (storage->queues[i] != NULL) {
			disk_queue_wake(storage->queues[i]->disks);
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

/* False: no room. A channel that is closing swallows it. */
static bool send_answer(struct storage_io *io)
{
	struct iovec payload = {&io->packet, io->reply_bytes};

	return channel_complete(io->queue->channel, io->transaction, &payload, 1) != -EAGAIN;
}

void storvsp_answer(struct storage_io *io)
{
	struct storage_queue *queue = io->queue;

	if (queue->unsent == NULL && send_answer(io)) {
		free_io(io);
		return;
	}
	io->next = NULL;
	*queue->unsent_end = io;
	queue->unsent_end = &io->next;
}

static bool send_unsent(struct storage_queue *queue)
{
	while (queue->unsent != NULL) {
		struct storage_io *io = queue->unsent;

		if (!send_answer(io)) {
			return false;
		}
		queue->unsent = io->next;
		free_io(io);
	}
	queue->unsent_end = &queue->unsent;
	return true;
}

/* What there is, until there is nothing. False: the channel has ended. */
static bool serve(struct storage_queue *queue)
{
	struct vmbus_packet packet;
	bool more;
	int ret = 0;

	do {
		more = disk_queue_poll(queue->disks);
		storvsp_finish_resets(queue);
		while (send_unsent(queue) && storvsp_announce(queue) && queue->free != NULL) {
			ret = channel_receive(queue->channel, &packet);
			if (ret <= 0) {
				break;
			}
			storvsp_packet(queue, &packet);
			more = true;
		}
		if (queue->in_flight) {
			disk_queue_kick(queue->disks);
		}
	} while (more && ret >= 0);
	channel_flush(queue->channel);
	return ret >= 0;
}

/*
 * The requests end, and their answers go nowhere. Resets of this channel's no longer stand in the
 * others' way.
 */
static void drain(struct storage_queue *queue)
{
	queue->ending = true;
	for (; queue->resets != NULL; queue->resets = queue->resets->next) {
		atomic_fetch_sub(&queue->storage->resets, 1);
	}
	while (queue->in_flight) {
		disk_queue_wait(queue->disks);
	}
}

static void wait_for_closing(struct storage_queue *queue)
{
	while (!atomic_load(&queue->closing)) {
		disk_queue_sleep(queue->disks);
		disk_queue_poll(queue->disks);
	}
	disk_queue_watch(queue->disks, -1);
}

static void *run(void *argument)
{
	struct storage_queue *queue = argument;

	disk_queue_watch(queue->disks, channel_event(queue->channel));
	while (serve(queue)) {
		disk_queue_sleep(queue->disks);
	}
	drain(queue);
	wait_for_closing(queue);
	if (queue->index == 0) {
		storvsp_primary_closed(queue->storage);
	}
	channel_closed(queue->channel);
	return NULL;
}

static void queue_free(struct storage_queue *queue)
{
	free(queue->pool);
	free(queue);
}

void storvsp_join(struct storage_queue *queue)
{
	if (queue != NULL) {
		pthread_join(queue->thread, NULL);
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
	queue->channel = channel;
	queue->index = channel_sub_channel(channel);
	queue->unsent_end = &queue->unsent;
	queue->pool = calloc(storage->config.depth, sizeof(*queue->pool));
	queue->disks = storage->disks[queue->index];
	if (queue->pool == NULL) {
		queue_free(queue);
		return -ENOMEM;
	}
	for (i = 0; i < storage->config.depth; i++) {
		queue->pool[i].queue = queue;
		free_io(&queue->pool[i]);
	}
	*out = queue;
	return 0;
}

/* With all signals blocked: they are for the worker's own threads. */
static int start_thread(struct storage_queue *queue)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&queue->thread, NULL, run, queue);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
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
	ret = start_thread(queue);
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

/* Without the primary channel the others have no use. */
static void closing(void *device, struct vmbus_channel *channel)
{
	struct storage *storage = device;
	struct storage_queue *queue;

	pthread_mutex_lock(&storage->lock);
	queue = storage->queues[channel_sub_channel(channel)];
	CHECK(queue && queue->channel == channel); /* opened() and closing() come in pairs */
	atomic_store(&queue->closing, true);
	disk_queue_wake(queue->disks);
	storage->channels_open--;
	pthread_mutex_unlock(&storage->lock);
	if (queue->index == 0) {
		storvsp_rescind_sub_channels(storage);
	}
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
};
