/* Heartbeat: a request each PERIOD, whose answer has its number plus one. It is not repeated: a
 * late answer makes up for the silence. */
#include "vsp/integration/ic.h"

#include <string.h>

#define PERIOD   (2 * IC_SECOND)
#define PATIENCE (3 * PERIOD)

static struct ic_heartbeat *heartbeat_of(struct ic *ic)
{
	return (struct ic_heartbeat *)((char *)ic - offsetof(struct ic_heartbeat, ic));
}

static void set_state(struct ic_heartbeat *heartbeat, enum integration_heartbeat state,
		      enum integration_application application)
{
	bool changed = state != heartbeat->state || application != heartbeat->application;

	heartbeat->state = state;
	heartbeat->application = application;
	if (changed) {
		ic_changed(&heartbeat->ic);
	}
}

static void beat(struct ic_heartbeat *heartbeat)
{
	struct heartbeat_msg_data body = {.seq_num = ++heartbeat->sequence};

	heartbeat->asked_at = ic_now(&heartbeat->ic);
	ic_send(&heartbeat->ic, &body, sizeof(body), IC_NEVER);
}

static void ready(struct ic *ic)
{
	struct ic_heartbeat *heartbeat = heartbeat_of(ic);

	heartbeat->state = INTEGRATION_HEARTBEAT_OK; /* it has just spoken */
	heartbeat->application = INTEGRATION_APPLICATION_UNKNOWN;
	ic->due = ic_now(ic) + PERIOD;
	beat(heartbeat);
}

static void due(struct ic *ic)
{
	struct ic_heartbeat *heartbeat = heartbeat_of(ic);
	uint64_t now = ic_now(ic);

	if (ic->stage != IC_READY) {
		return;
	}
	ic->due = now + PERIOD;
	if (!ic->asking) {
		beat(heartbeat);
	} else if (now - heartbeat->asked_at >= PATIENCE) {
		set_state(heartbeat, INTEGRATION_HEARTBEAT_LOST, INTEGRATION_APPLICATION_UNKNOWN);
	}
}

static enum integration_application application_of(const struct ic_answer *answer)
{
	struct heartbeat_msg_data body;

	if (answer->bytes < offsetof(struct heartbeat_msg_data, reserved)) {
		return INTEGRATION_APPLICATION_UNKNOWN;
	}
	memcpy(&body, answer->body, offsetof(struct heartbeat_msg_data, reserved));
	return body.application_state == IC_APPLICATION_OK ? INTEGRATION_APPLICATION_OK
	       : body.application_state == IC_APPLICATION_CRITICAL
		       ? INTEGRATION_APPLICATION_CRITICAL
		       : INTEGRATION_APPLICATION_UNKNOWN;
}

static bool answered(struct ic *ic, const struct ic_answer *answer)
{
	struct ic_heartbeat *heartbeat = heartbeat_of(ic);
	uint64_t sequence;

	if (answer->bytes < sizeof(sequence)) {
		return false;
	}
	memcpy(&sequence, answer->body, sizeof(sequence));
	if (sequence != heartbeat->sequence + 1) {
		return false;
	}
	set_state(heartbeat, INTEGRATION_HEARTBEAT_OK, application_of(answer));
	return true;
}

/* Nobody was late while the machine stood. */
static void resumed(struct ic *ic)
{
	heartbeat_of(ic)->asked_at = ic_now(ic);
}

static const struct ic_version versions[] = {{1, 0}, {3, 0}};

const struct ic_class heartbeat_class = {
	.name = "heartbeat",
	.silence = "the guest has not said yet which version it speaks",
	.type = VMBUS_GUID_HEARTBEAT,
	.instance = {0xfd149e91, 0x82e0, 0x4a7d, {0xaf, 0xa6, 0x2a, 0x41, 0x66, 0xcb, 0xd7, 0xc0}},
	.message = ICMSGTYPE_HEARTBEAT,
	.versions = versions,
	.version_count = ARRAY_COUNT(versions),
	.body_max = sizeof(struct heartbeat_msg_data),
	.ready = ready,
	.answered = answered,
	.due = due,
	.resumed = resumed,
};
