/*
 * What all integration services share: the offer and the channel, framing, the agreement on
 * versions, and one request at a time.
 *
 * Invariants
 *   1. At most one request is under way; it ends by its answer, its deadline or the channel's end, and is sent once.
 *   2. What the guest sends is a copy, and changes nothing but `wrong` unless it is the answer to that request.
 *   3. The ring is touched only between opened() and closing(), and not between pausing() and resumed().
 */
#include "vsp/integration/ic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A guest that sends without an end shall not keep the control thread. */
#define PACKETS_A_TURN 32u

#define HEAD_BYTES (sizeof(struct vmbuspipe_hdr) + sizeof(struct icmsg_hdr))

static const struct ic_version frameworks[] = {{1, 0}, {3, 0}};

uint64_t ic_now(const struct ic *ic)
{
	return integration_host_clock(ic->integration->host);
}

bool ic_is_idle(const struct ic *ic)
{
	return ic->stage == IC_READY && !ic->asking;
}

void ic_changed(struct ic *ic)
{
	integration_host_changed(ic->integration->host, ic->service);
}

/* What the guest has not taken in its time lies in the ring still; nothing but a thaw is laid on
 * top of it. */
static bool stands(const struct ic *ic)
{
	return ic->stuck && (ic->paused || channel_unread(ic->channel));
}

const char *ic_why(const struct ic *ic)
{
	if (ic->offer == NULL) {
		return "it is switched off";
	}
	switch (ic->stage) {
	case IC_OFFERED:
		return "the guest has not opened its channel: it has no driver for it, or has not "
		       "loaded it yet";
	case IC_NEGOTIATING:
		return ic->class->silence;
	case IC_REFUSED:
		return "the guest speaks none of the versions that we speak";
	default:
		return stands(ic) ? "the guest has not taken the last request in time: its "
				    "driver may hang; if it does, switch the service off and on, "
				    "and start its daemon in the guest again"
				  : NULL;
	}
}

const char *ic_failure(int ret)
{
	return ret == -ETIMEDOUT    ? "the guest has not answered for a minute"
	       : ret == -ECONNRESET ? "the guest has closed the channel before it answered"
				    : "the guest's ring is too small for it";
}

static void complain(struct ic *ic, const char *what)
{
	char line[160];

	ic->wrong++;
	snprintf(line, sizeof(line), "%s: the guest's answer is dropped: %s", ic->class->name,
		 what);
	integration_host_log(ic->integration->host, line);
}

/* ---- Requests ---- */

static void try_to_send(struct ic *ic)
{
	struct iovec part = {.iov_base = ic->out, .iov_len = ic->out_bytes};
	int ret;

	if (!ic->unsent || ic->channel == NULL || ic->paused) {
		return;
	}
	ret = channel_send(ic->channel, ic->id, false, &part, 1);
	if (ret == 0) {
		channel_flush(ic->channel);
	} else if (ret == -EMSGSIZE) {
		ic->error = ret;
	}
	/* Without room the event says when there is some; a channel that has shut is about to
	 * close. */
	ic->unsent = ret == -EAGAIN;
}

static void ask(struct ic *ic, uint16_t type, const void *body, uint32_t bytes, uint64_t timeout)
{
	struct vmbuspipe_hdr pipe = {.flags = IC_PIPE_DATA,
				     .msgsize = (uint32_t)sizeof(struct icmsg_hdr) + bytes};
	struct icmsg_hdr head = {
		.icverframe = ic->framework,
		.icmsgtype = type,
		.icvermsg = ic->message,
		.icmsgsize = (uint16_t)bytes,
		.ictransaction_id = ++ic->id,
		.icflags = ICMSGHDRFLAG_TRANSACTION | ICMSGHDRFLAG_REQUEST,
	};

	CHECK(!ic->asking);
	memcpy(ic->out, &pipe, sizeof(pipe));
	memcpy(ic->out + sizeof(pipe), &head, sizeof(head));
	memcpy(ic->out + HEAD_BYTES, body, bytes);
	ic->out_type = type;
	ic->out_bytes = (uint32_t)HEAD_BYTES + bytes;
	ic->asking = ic->unsent = true;
	ic->stuck = false;
	ic->error = 0;
	ic->timeout = timeout;
	ic->deadline = timeout == IC_NEVER ? IC_NEVER : ic_now(ic) + timeout;
}

void ic_send(struct ic *ic, const void *body, uint32_t bytes, uint64_t timeout)
{
	CHECK(ic->stage == IC_READY && bytes <= ic->class->body_max);
	ask(ic, (uint16_t)ic->class->message, body, bytes, timeout);
	try_to_send(ic);
}

/* True: the class is to hear of it. */
static bool give_up(struct ic *ic)
{
	bool told = ic->asking && ic->stage == IC_READY && ic->class->failed != NULL;

	ic->asking = ic->unsent = false;
	ic->error = 0;
	ic->deadline = IC_NEVER;
	return told;
}

static void fail(struct ic *ic, int ret)
{
	if (give_up(ic)) {
		ic->class->failed(ic, ret);
	}
}

/* ---- Versions ---- */

#define VERSIONS_MAX 16u

static uint32_t negotiation_bytes(const struct ic_class *class)
{
	return (uint32_t)(sizeof(struct icmsg_negotiate) + sizeof(frameworks) +
			  class->version_count * sizeof(struct ic_version));
}

/* Without a deadline: Linux answers for some services when a daemon has been started. */
static void negotiate(struct ic *ic)
{
	const struct ic_class *class = ic->class;
	struct icmsg_negotiate head = {.icframe_vercnt = ARRAY_COUNT(frameworks),
				       .icmsg_vercnt = class->version_count};
	uint8_t body[sizeof(head) + VERSIONS_MAX * sizeof(struct ic_version)];

	CHECK(negotiation_bytes(class) <= sizeof(body));
	memcpy(body, &head, sizeof(head));
	memcpy(body + sizeof(head), frameworks, sizeof(frameworks));
	memcpy(body + sizeof(head) + sizeof(frameworks), class->versions,
	       class->version_count * sizeof(struct ic_version));
	ic->framework = ic->message = (struct ic_version){0, 0};
	ic->answered = false;
	ic->stage = IC_NEGOTIATING;
	ask(ic, ICMSGTYPE_NEGOTIATE, body, negotiation_bytes(class), IC_NEVER);
}

static bool is_among(const struct ic_version *list, size_t count, struct ic_version version)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i].major == version.major && list[i].minor == version.minor) {
			return true;
		}
	}
	return false;
}

/* False: none fits, or what it has chosen was not offered. */
static bool agree(struct ic *ic, const struct ic_answer *answer)
{
	const struct ic_class *class = ic->class;
	struct icmsg_negotiate head;
	struct ic_version chosen[2];

	if (answer->status != HV_S_OK || answer->bytes < sizeof(head) + sizeof(chosen)) {
		return false;
	}
	memcpy(&head, answer->body, sizeof(head));
	memcpy(chosen, (const uint8_t *)answer->body + sizeof(head), sizeof(chosen));
	if (head.icframe_vercnt != 1 || head.icmsg_vercnt != 1 ||
	    !is_among(frameworks, ARRAY_COUNT(frameworks), chosen[0]) ||
	    !is_among(class->versions, class->version_count, chosen[1])) {
		return false;
	}
	ic->framework = chosen[0];
	ic->message = chosen[1];
	return true;
}

static void negotiated(struct ic *ic, const struct ic_answer *answer)
{
	bool agreed = agree(ic, answer);

	ic->stage = agreed ? IC_READY : IC_REFUSED;
	if (agreed && ic->class->ready != NULL) {
		ic->class->ready(ic);
	}
	ic_changed(ic);
}

/* ---- Answers ---- */

/* NULL: it is the answer to our request. Else why not. */
static const char *open_answer(const struct ic *ic, const struct vmbus_packet *packet,
			       struct ic_answer *answer)
{
	struct vmbuspipe_hdr pipe;
	struct icmsg_hdr head;

	if (packet->type != VM_PKT_DATA_INBAND || packet->payload_bytes < HEAD_BYTES) {
		return "it is no message";
	}
	memcpy(&pipe, packet->payload, sizeof(pipe));
	memcpy(&head, (const uint8_t *)packet->payload + sizeof(pipe), sizeof(head));
	if (pipe.flags != IC_PIPE_DATA || pipe.msgsize < sizeof(head) ||
	    pipe.msgsize > packet->payload_bytes - sizeof(pipe) ||
	    head.icmsgsize > pipe.msgsize - sizeof(head)) {
		return "its lengths do not fit";
	}
	if (!(head.icflags & ICMSGHDRFLAG_RESPONSE)) {
		return "it is no answer";
	}
	if (!ic->asking || ic->unsent || head.ictransaction_id != ic->id ||
	    head.icmsgtype != ic->out_type) {
		return "nobody waits for it";
	}
	*answer = (struct ic_answer){.status = head.status,
				     .body = (const uint8_t *)packet->payload + HEAD_BYTES,
				     .bytes = head.icmsgsize};
	return NULL;
}

static void take(struct ic *ic, const struct vmbus_packet *packet)
{
	struct ic_answer answer;
	const char *wrong = open_answer(ic, packet, &answer);

	if (wrong != NULL) {
		complain(ic, wrong);
		return;
	}
	ic->asking = false;
	ic->deadline = IC_NEVER;
	if (ic->stage == IC_NEGOTIATING) {
		negotiated(ic, &answer);
		return;
	}
	if (!ic->class->answered(ic, &answer)) {
		complain(ic, "its contents are wrong");
		return;
	}
	ic->answered = true;
	ic->last_answer = ic_now(ic);
}

/* False: no room for it. */
static bool complete(struct ic *ic)
{
	if (ic->owes_completion) {
		ic->owes_completion =
			channel_complete(ic->channel, ic->completion, NULL, 0) == -EAGAIN;
	}
	return !ic->owes_completion;
}

void ic_serve(struct ic *ic)
{
	struct vmbus_packet packet;
	unsigned int count;

	if (ic->channel == NULL || ic->paused) {
		return;
	}
	channel_clear_event(ic->channel);
	try_to_send(ic);
	for (count = 0; complete(ic); count++) {
		if (count == PACKETS_A_TURN) {
			ic->integration->more = true;
			break;
		}
		if (channel_receive(ic->channel, &packet) <= 0) {
			break;
		}
		ic->owes_completion = packet.completion_requested;
		ic->completion = packet.transaction;
		take(ic, &packet);
	}
	channel_flush(ic->channel);
}

/* ---- Deadlines ---- */

void ic_tick(struct ic *ic)
{
	uint64_t now = ic_now(ic);

	if (ic->asking && ic->error != 0) {
		fail(ic, ic->error);
	} else if (ic->asking && now >= ic->deadline) {
		ic->stuck = ic->channel != NULL && !ic->paused && channel_unread(ic->channel);
		fail(ic, -ETIMEDOUT);
		ic_changed(ic);
	}
	if (now >= ic->due) {
		ic->due = IC_NEVER;
		ic->class->due(ic);
	}
}

uint64_t ic_next(const struct ic *ic)
{
	uint64_t deadline = !ic->asking ? IC_NEVER : ic->error != 0 ? 0 : ic->deadline;

	return deadline < ic->due ? deadline : ic->due;
}

void ic_resumed(struct ic *ic)
{
	if (ic->asking && ic->timeout != IC_NEVER) {
		ic->deadline = ic_now(ic) + ic->timeout;
	}
	if (ic->class->resumed != NULL) {
		ic->class->resumed(ic);
	}
}

/* ---- The channel ---- */

static int opened(void *device, struct vmbus_channel *channel)
{
	struct ic *ic = device;

	CHECK(ic->channel == NULL);
	ic->channel = channel;
	ic->paused = channel_starts_paused(channel);
	ic->stage = IC_NEGOTIATING;
	/* The event is signalled: the request goes when it is looked at. */
	if (ic->paused) {
		channel_paused(channel);
	} else {
		negotiate(ic);
		integration_watch(ic->integration, channel, true);
	}
	ic_changed(ic);
	return 0;
}

static void closing(void *device, struct vmbus_channel *channel)
{
	struct ic *ic = device;
	bool told = give_up(ic);

	if (!ic->paused) {
		integration_watch(ic->integration, channel, false);
	}
	ic->channel = NULL;
	ic->owes_completion = false;
	ic->stage = IC_OFFERED;
	channel_closed(channel);
	/* At last: who hears of it may ask for something else, and is refused. */
	if (told) {
		ic->class->failed(ic, -ECONNRESET);
	}
	if (ic->class->closed != NULL) {
		ic->class->closed(ic);
	}
	ic_changed(ic);
}

static void pausing(void *device, struct vmbus_channel *channel)
{
	struct ic *ic = device;

	ic->paused = true;
	integration_watch(ic->integration, channel, false);
	channel_paused(channel);
}

static void resumed(void *device, struct vmbus_channel *channel)
{
	struct ic *ic = device;

	ic->paused = false;
	if (ic->stage == IC_NEGOTIATING && !ic->asking) {
		negotiate(ic); /* it was opened while the bus stood */
	}
	integration_watch(ic->integration, channel, true);
}

static void released(void *device, struct vmbus_channel *channel)
{
	struct ic *ic = device;

	if (ic->offer == channel) { /* else it was switched off, or on again */
		ic->offer = NULL;
	}
}

const struct vmbus_class ic_vmbus_class = {
	.name = "an integration service",
	.opened = opened,
	.closing = closing,
	.pausing = pausing,
	.resumed = resumed,
	.released = released,
};

int ic_offer(struct ic *ic)
{
	static const uint32_t pipe = VMBUS_PIPE_TYPE_MESSAGE;
	struct vmbus_offer offer = {
		.type = ic->class->type,
		.instance = ic->class->instance,
		.flags = VMBUS_CHANNEL_ENUMERATE_DEVICE_INTERFACE | VMBUS_CHANNEL_NAMED_PIPE_MODE,
		.class = &ic_vmbus_class,
		.device = ic,
	};

	memcpy(offer.user_def, &pipe, sizeof(pipe));
	return vmbus_offer(ic->integration->bus, &offer, &ic->offer);
}
