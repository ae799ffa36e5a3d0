/*
 * Opening, closing and moving a channel. The states and who moves between them are in server.h.
 *
 * Invariants
 *   1. While a channel is open or closing its ring's GPADL is held, its connection is bound to its
 *      event, and vmbus.open_count counts it; in no other state.
 *   2. There is no message with which the server closes a channel: one that broke is closed for the
 *      device, and the guest's next close makes it as it was.
 *   3. An open that comes while the device still lets go of the last one waits for that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmbus/server.h"

struct vmbus_channel *channel_find(struct vmbus *bus, uint32_t relid)
{
	struct vmbus_channel *channel = NULL;

	if (relid < VMBUS_MAX_CHANNELS) {
		pthread_mutex_lock(&bus->lock);
		channel = bus->channels[relid];
		pthread_mutex_unlock(&bus->lock);
	}
	return channel != NULL && channel->state != CHANNEL_IDLE ? channel : NULL;
}

static void post_open_result(struct vmbus *bus, const struct vmbus_channel_open_channel *request,
			     bool success)
{
	struct vmbus_channel_open_result result = {
		.header.msgtype = CHANNELMSG_OPENCHANNEL_RESULT,
		.child_relid = request->child_relid,
		.openid = request->openid,
		.status = success ? VMBUS_STATUS_SUCCESS : VMBUS_STATUS_UNSUCCESSFUL,
	};

	queue_post(bus, &result, sizeof(result));
}

static uint32_t packet_bytes(const struct vmbus_channel *channel)
{
	uint32_t bytes = channel->class->max_packet_bytes;

	return bytes != 0 ? bytes : SERVER_DEFAULT_PACKET;
}

/* Each half has its control page and at least one of data. */
const char *channel_ring_fault(const struct vmbus_gpadl *gpadl, uint32_t down)
{
	if (gpadl->offset != 0 || gpadl->bytes % VMBUS_PAGE_SIZE != 0) {
		return "the ring is not made of whole pages";
	}
	if (down < 2 || gpadl->page_count < 4 || down > gpadl->page_count - 2) {
		return "one half of the ring has no data";
	}
	return NULL;
}

/* NULL if all is well. */
static const char *set_up_ring(struct vmbus_channel *channel)
{
	const struct vmbus_gpadl *gpadl = channel->ring_gpadl;
	uint32_t down = channel->open_message.downstream_ringbuffer_pageoffset;
	const char *reason = channel_ring_fault(gpadl, down);

	if (reason != NULL) {
		return reason;
	}
	if (!reader_init(&channel->reader, gpadl->pages, down) ||
	    !writer_init(&channel->writer, gpadl->pages + down, gpadl->page_count - down)) {
		return "the ring begins with indices that are none";
	}
	reader_mask(&channel->reader, false);
	channel->masked = false;
	gpadl_mark(gpadl, 0, VMBUS_PAGE_SIZE);
	gpadl_mark(gpadl, down * VMBUS_PAGE_SIZE, VMBUS_PAGE_SIZE);
	return NULL;
}

static const char *restore_ring(struct vmbus_channel *channel,
				const struct channel_restored *restored)
{
	const struct vmbus_gpadl *gpadl = channel->ring_gpadl;
	uint32_t down = channel->open_message.downstream_ringbuffer_pageoffset;

	reader_restore(&channel->reader, gpadl->pages, down, restored->read);
	writer_restore(&channel->writer, gpadl->pages + down, gpadl->page_count - down,
		       restored->write, restored->guest_read, restored->waits);
	channel->masked = restored->masked;
	return NULL;
}

static void let_ring_go(struct vmbus_channel *channel)
{
	if (channel->monitored) {
		monitor_drop(channel->bus);
		channel->monitored = false;
	}
	gpadl_drop(channel->ring_gpadl);
	channel->ring_gpadl = NULL;
	free(channel->packet);
	channel->packet = NULL;
	if (channel->event >= 0) {
		close(channel->event);
		channel->event = -1;
	}
}

/* Ring, buffer, event and connection, or the reason why not. `restored` may be NULL. */
static const char *take_ring(struct vmbus_channel *channel, const struct channel_restored *restored)
{
	const char *reason;

	channel->ring_gpadl = gpadl_hold(channel, channel->open_message.ringbuffer_gpadlhandle);
	if (channel->ring_gpadl == NULL) {
		return "there is no such GPADL";
	}
	reason = restored != NULL ? restore_ring(channel, restored) : set_up_ring(channel);
	if (reason == NULL) {
		bool own = channel->class->own_memory;

		channel->packet = own ? NULL : malloc(packet_bytes(channel));
		channel->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		reason = (channel->packet == NULL && !own) || channel->event < 0 ? "no memory"
										 : NULL;
	}
	if (reason == NULL && monitor_has_bit(channel, channel->relid)) {
		reason = monitor_take(channel->bus);
		channel->monitored = reason == NULL;
	}
	if (reason == NULL &&
	    vmbus_host_connect(channel->bus->host, channel->connection_id, channel->event) != 0) {
		reason = "there is no connection for its signals";
	}
	if (reason != NULL) {
		let_ring_go(channel);
	}
	return reason;
}

/* The device may use the ring from opened() on; the first look at it needs no signal. */
static int start(struct vmbus_channel *channel)
{
	int ret = 0;

	signal_set_target(channel, channel->open_message.target_vp);
	atomic_store(&channel->shut, false);
	signal_kick(channel);
	if (channel->class->opened != NULL) {
		ret = channel->class->opened(channel->device, channel);
	}
	if (ret != 0) {
		atomic_store(&channel->shut, true);
		vmbus_host_disconnect(channel->bus->host, channel->connection_id);
		let_ring_go(channel);
		channel_complain(channel, "its device does not open: %s", strerror(-ret));
	}
	return ret;
}

bool channel_starts_paused(const struct vmbus_channel *channel)
{
	return channel->pause != PAUSE_NONE;
}

/* The ring is there: the channel is open from here on, or it was not. */
static int begin(struct vmbus_channel *channel)
{
	int ret;

	channel->pause = channel->bus->paused ? PAUSE_ASKED : PAUSE_NONE;
	ret = start(channel);
	if (ret != 0) {
		channel->pause = PAUSE_NONE;
		return ret;
	}
	channel->state = CHANNEL_OPEN;
	channel->guest_open = true;
	channel->bus->open_count++;
	if (channel->class->pausing == NULL) {
		channel_stands(channel);
	}
	return 0;
}

static void open_channel(struct vmbus_channel *channel,
			 const struct vmbus_channel_open_channel *message)
{
	const char *reason;
	bool opened = false;

	channel->open_message = *message;
	reason = take_ring(channel, NULL);
	if (reason != NULL) {
		channel_complain(channel, "it is not opened: %s", reason);
	} else {
		opened = begin(channel) == 0;
	}
	post_open_result(channel->bus, &channel->open_message, opened);
}

int channel_reopen(struct vmbus_channel *channel, const struct channel_restored *restored)
{
	const char *reason;
	int ret;

	channel->open_message = restored->open;
	reason = take_ring(channel, restored);
	if (reason != NULL) {
		channel_complain(channel, "it is not restored: %s", reason);
		return -ENOMEM;
	}
	ret = begin(channel);
	if (ret == 0) {
		signal_set_target(channel, restored->target_vp);
	}
	return ret;
}

void channel_open_message(struct vmbus *bus, const struct vmbus_channel_open_channel *message)
{
	struct vmbus_channel *channel = channel_find(bus, message->child_relid);
	bool waits = channel != NULL && channel->state == CHANNEL_CLOSING && !channel->guest_open &&
		     !channel->reopen && !channel->rescinded;

	if (waits) {
		channel->reopen_message = *message;
		channel->reopen = true;
	} else if (channel != NULL && channel->state == CHANNEL_OFFERED) {
		open_channel(channel, message);
	} else {
		server_complain(bus, "the guest opens channel %u, which it cannot",
				message->child_relid);
		post_open_result(bus, message, false);
	}
}

void channel_close_message(struct vmbus *bus, const struct vmbus_channel_relid *message)
{
	struct vmbus_channel *channel = channel_find(bus, message->child_relid);

	if (channel == NULL || !channel->guest_open) {
		server_complain(bus, "the guest closes channel %u, which is not open",
				message->child_relid);
		return;
	}
	channel->guest_open = false;
	if (channel->state == CHANNEL_OPEN) {
		channel_close(channel);
	} else if (channel->state == CHANNEL_BROKEN) {
		channel->state = CHANNEL_OFFERED;
	}
}

/* The event wakes a thread that waits for the guest: it finds the ring shut. */
void channel_close(struct vmbus_channel *channel)
{
	channel->state = CHANNEL_CLOSING;
	channel->pause = PAUSE_NONE;
	atomic_store(&channel->shut, true);
	signal_kick(channel);
	if (channel->class->closing != NULL) {
		channel->class->closing(channel->device, channel);
	}
}

void channel_closed(struct vmbus_channel *channel)
{
	note_post(channel, NOTE_CLOSED);
}

void channel_pause(struct vmbus_channel *channel)
{
	channel->pause = PAUSE_ASKED;
	if (channel->class->pausing != NULL) {
		channel->class->pausing(channel->device, channel);
	} else {
		channel_stands(channel);
	}
}

void channel_paused(struct vmbus_channel *channel)
{
	note_post(channel, NOTE_PAUSED);
}

void channel_stands(struct vmbus_channel *channel)
{
	if (channel->pause == PAUSE_ASKED) { /* else it is closing by now */
		channel->pause = PAUSE_DONE;
		packet_settle(channel);
	}
}

/*
 * The event wakes a thread that waits for the guest: who knows what came meanwhile. "It stands" may
 * have been said and not heard yet: the next pause must not take it for its own.
 */
void channel_resume(struct vmbus_channel *channel)
{
	channel->pause = PAUSE_NONE;
	signal_kick(channel);
	if (channel->class->resumed != NULL) {
		channel->class->resumed(channel->device, channel);
	}
	note_drop(channel, NOTE_PAUSED);
}

void channel_left(struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;

	CHECK(channel->state ==
	      CHANNEL_CLOSING); /* a device that lets go of what it does not hold */
	vmbus_host_disconnect(bus->host, channel->connection_id);
	let_ring_go(channel);
	bus->open_count--;
	gpadl_finish_torn(bus);
	if (channel->rescinded) {
		offer_revoke(channel);
		if (channel->released) {
			offer_free(channel);
		}
		return;
	}
	channel->state = channel->guest_open ? CHANNEL_BROKEN : CHANNEL_OFFERED;
	if (channel->released) {
		channel->released = false;
		channel->declined = true;
		channel->state = CHANNEL_IDLE;
	} else if (channel->reopen) {
		channel->reopen = false;
		open_channel(channel, &channel->reopen_message);
	}
}

/* From 5.3 on there is an answer, after which the old VP gets no more interrupts. */
void channel_modify_message(struct vmbus *bus, const struct vmbus_channel_modifychannel *message)
{
	struct vmbus_channel *channel = channel_find(bus, message->child_relid);
	struct vmbus_channel_modifychannel_response response = {
		.header.msgtype = CHANNELMSG_MODIFYCHANNEL_RESPONSE,
		.child_relid = message->child_relid,
		.status = VMBUS_STATUS_SUCCESS,
	};

	if (channel == NULL || channel->state != CHANNEL_OPEN ||
	    message->target_vp == VMBUS_TARGET_VP_NONE) {
		server_complain(bus, "the guest moves channel %u to VP %u, which it cannot",
				message->child_relid, message->target_vp);
		response.status = VMBUS_STATUS_UNSUCCESSFUL;
	} else {
		signal_set_target(channel, message->target_vp);
	}
	if (bus->version >= VERSION_WIN10_V5_3) {
		queue_post(bus, &response, sizeof(response));
	}
}
