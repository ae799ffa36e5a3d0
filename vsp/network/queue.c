/*
 * What the thread of an open channel (vsp/channel.h) does here: it takes part while the adapter
 * runs, takes what the switch has answered, sends what waits for room, and sleeps when there is
 * nothing of all that.
 */
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <stdlib.h>

/* ---- taking part ---- */

static bool is_idle(const struct ring *ring)
{
	return ring_room(ring) == ring->size;
}

/* The last one wakes who waits for that. */
static void leave(struct net_queue *queue)
{
	queue->active = false;
	/* The port may go, and its events with it. */
	CHECK(vsp_set_event(&queue->vsp, 0, -1) == 0);
	if (atomic_fetch_sub(&queue->network->users, 1) == 1) {
		vsp_wake_all(&queue->network->channels);
	}
}

static bool may_run(const struct net_queue *queue)
{
	return !queue->held && atomic_load(&queue->network->running) &&
	       !atomic_load(&queue->network->lost);
}

/*
 * Who stops the adapter clears `running`, then reads `users`; who takes part counts itself, then
 * reads `running`: one of them sees the other.
 */
static bool begin(struct net_queue *queue)
{
	atomic_fetch_add(&queue->network->users, 1);
	if (!may_run(queue)) {
		leave(queue);
		return false;
	}
	queue->active = true;
	/* It fails where the kernel has no memory: a switch that is not heard is as good as
	 * none. */
	if (vsp_set_event(&queue->vsp, 0, queue->network->port->events[queue->index]) != 0) {
		network_broken(queue->network);
	}
	receive_begin(queue);
	return true;
}

/* Of a switch that is gone all has come back. */
static void forget(struct net_queue *queue)
{
	transmit_forget(queue);
	receive_forget(queue);
}

static bool take_part(struct net_queue *queue)
{
	bool lost = atomic_load(&queue->network->lost);

	if (may_run(queue)) {
		return !queue->active && begin(queue);
	}
	if (!queue->active || (!lost && (!is_idle(queue->out) || !is_idle(queue->in)))) {
		return false;
	}
	if (lost) {
		forget(queue);
	}
	/* What a paused guest has not been told of yet it is told later. */
	if (!atomic_load(&queue->network->running)) {
		receive_drop(queue);
	}
	leave(queue);
	return true;
}

/* ---- the thread ---- */

/*
 * The guest gets little from the completion of a frame that it has copied into a section: it can
 * wait for what wakes the thread next, the guest's next frame or one for the guest, or else a
 * millisecond. So a frame that is answered does not wake the thread, nor its completion the guest.
 * A thread that has waited so in vain asks the switch for a signal.
 */
static bool is_patient(const struct net_queue *queue)
{
	return queue->active && may_run(queue) && transmit_may_wait(queue);
}

static int patience_ms(void *device)
{
	struct net_queue *queue = device;

	if (!is_patient(queue)) {
		return -1;
	}
	queue->waited = true;
	return 1;
}

/* False: there is something. */
static bool may_sleep(struct net_queue *queue)
{
	return !queue->active || ((is_patient(queue) || ring_worker_waits(queue->out)) &&
				  ring_worker_waits(queue->in));
}

static bool work(void *device)
{
	struct net_queue *queue = device;
	struct network *network = queue->network;
	bool any;

	if (queue->active) {
		ring_worker_wakes(queue->out);
		ring_worker_wakes(queue->in);
	}
	if (queue->answer_again) {
		queue->answer_again = false;
		vsp_answer(&queue->vsp, &queue->answer);
	}
	any = transmit_work(queue);
	any |= receive_work(queue);
	any |= take_part(queue);
	if (atomic_load_explicit(&network->next_port, memory_order_relaxed) != NULL) {
		bool taken = network_take_port(network, queue->index == 0);

		network->tell_network |= taken && queue->index == 0;
		any |= taken;
	}
	any |= nvsp_work(queue);
	any |= rndis_work(queue);
	return any || !may_sleep(queue);
}

/*
 * The primary channel has the handshake, so it takes packets at any time but during a change;
 * another's wait until the adapter runs.
 */
static bool ready(void *device)
{
	const struct net_queue *queue = device;

	if (queue->answering || !transmit_ready(queue)) {
		return false;
	}
	return queue->index == 0 ? queue->network->change == CHANGE_NONE
				 : queue->active || atomic_load(&queue->network->lost);
}

static void packet(void *device, const struct vmbus_packet *from)
{
	nvsp_packet(device, from);
}

static void turned(void *device)
{
	struct net_queue *queue = device;
	bool sleeps;

	if (!queue->active) {
		return;
	}
	sleeps = ring_publish(queue->out);
	sleeps |= ring_publish(queue->in);
	if (sleeps) {
		netport_kick(queue->network->port);
	}
}

static void sent(void *device, struct vsp_answer *answer)
{
	struct net_queue *queue = device;

	(void)answer;
	queue->answering = false;
}

static void hold(struct net_queue *queue)
{
	if (!queue->held) {
		queue->held = true;
		network_hold(queue->network, true);
	}
}

static void release(struct net_queue *queue)
{
	if (queue->held) {
		queue->held = false;
		network_hold(queue->network, false);
	}
}

static void pause_queue(void *device)
{
	hold(device);
}

static void resume(void *device)
{
	release(device);
}

static void end(void *device)
{
	struct net_queue *queue = device;

	hold(queue);
	queue->ended = true;
	if (queue->index == 0) {
		nvsp_stop(queue->network);
	}
}

/* Without the primary channel nobody uses the buffers. */
static bool busy(void *device)
{
	const struct net_queue *queue = device;

	return queue->active ||
	       (queue->index == 0 && queue->ended && atomic_load(&queue->network->users) != 0);
}

static void closed(void *device)
{
	struct net_queue *queue = device;

	if (queue->index == 0) {
		nvsp_primary_closed(queue);
	}
	release(queue);
	queue->counted = false;
	network_thread_ended(queue->network);
}

static const struct vsp_class queue_class = {
	.work = work,
	.ready = ready,
	.packet = packet,
	.turned = turned,
	.sent = sent,
	.pause = pause_queue,
	.resume = resume,
	.end = end,
	.busy = busy,
	.closed = closed,
	.patience_ms = patience_ms,
};

/* ---- the control thread ---- */

static void free_queue(struct vsp_channel *vsp)
{
	struct net_queue *queue = (struct net_queue *)vsp;

	/* It never had a thread; what was restored for it goes again. */
	if (queue->counted) {
		if (queue->index == 0) {
			nvsp_primary_closed(queue);
		}
		network_thread_ended(queue->network);
	}
	free(queue->sends);
	free(queue->posted);
	free(queue);
}

int netvsp_queue_create(void *owner, unsigned int index, struct vsp_channel **vsp)
{
	struct network *network = owner;
	struct net_queue *queue = calloc(1, sizeof(*queue));
	int ret;

	if (queue == NULL) {
		return -ENOMEM;
	}
	queue->network = network;
	queue->index = index;
	queue->out = &network->rings[index].out;
	queue->in = &network->rings[index].in;
	queue->sends = calloc(SENDS_MAX, sizeof(queue->sends[0]));
	queue->posted = calloc(queue->in->size, sizeof(queue->posted[0]));
	list_clear(&queue->free);
	list_clear(&queue->filled);
	list_clear(&queue->frame);
	ret = queue->sends == NULL || queue->posted == NULL ? -ENOMEM
							    : network_thread_begins(network, index);
	if (ret != 0) {
		free_queue(&queue->vsp);
		return ret;
	}
	queue->counted = true;
	*vsp = &queue->vsp;
	return 0;
}

/* The port's event comes when the queue begins to use it. */
static int switch_event(void *owner, unsigned int index)
{
	(void)owner;
	(void)index;
	return -1;
}

static int load_queue(struct vsp_channel *vsp, struct vmbus_channel *channel)
{
	return netvsp_restore((struct net_queue *)vsp, channel);
}

static void forget_queue(struct vsp_channel *vsp)
{
	struct net_queue *queue = (struct net_queue *)vsp;

	if (queue->index == 0) {
		netvsp_saved_free(queue->network->saved);
		queue->network->saved = NULL;
	}
}

/* A channel more or less: flows are steered elsewhere, and the guest's table may be due. */
static void changed(void *owner)
{
	struct network *network = owner;

	network_update_port(network);
	vsp_wake_all(&network->channels);
}

const struct vsp_device_class netvsp_channels = {
	.channel = &queue_class,
	.create = netvsp_queue_create,
	.free = free_queue,
	.load = load_queue,
	.forget = forget_queue,
	.event = switch_event,
	.changed = changed,
	.ended = network_ended,
};
