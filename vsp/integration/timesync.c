/*
 * Time: the host's date, with the guest's reference time of the same moment from protocol 4.0 on,
 * so that it does not matter when the guest reads it. `sync` is wanted of the next sample after
 * negotiation, after a pause, and when the host's clock was stepped.
 */
#include "vsp/integration/ic.h"

#include <errno.h>

#define PERIOD   (5 * IC_SECOND)
#define PATIENCE (60 * IC_SECOND)

/* Of so many readings the one that took least time counts. */
#define READINGS 5u

static struct ic_time *time_of(struct ic *ic)
{
	return (struct ic_time *)((char *)ic - offsetof(struct ic_time, ic));
}

/* Date and reference time of one moment. -errno: there is none. */
static int read_clocks(struct integration_host *host, uint64_t *date_ns, uint64_t *reference_100ns)
{
	uint64_t before, after, reference, least = IC_NEVER;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < READINGS && ret == 0; i++) {
		before = integration_host_date(host);
		ret = integration_host_reference_time(host, &reference);
		after = integration_host_date(host);
		/* The date may be stepped meanwhile. */
		if (ret == 0 && after >= before && after - before < least) {
			least = after - before;
			*date_ns = before + least / 2;
			*reference_100ns = reference;
		}
	}
	return ret != 0 ? ret : least == IC_NEVER ? -EAGAIN : 0;
}

static void send_sample(struct ic_time *time)
{
	uint8_t flags = time->sync ? ICTIMESYNCFLAG_SYNC : ICTIMESYNCFLAG_SAMPLE;
	struct ictimesync_ref_data with = {.flags = flags};
	struct ictimesync_data plain = {.flags = flags};
	struct integration_host *host = time->ic.integration->host;
	uint64_t date, reference;

	/* A clock that stands would have the guest's go wrong: the end of the pause sends the
	 * next. */
	if (!ic_is_idle(&time->ic) || integration_host_stands(host)) {
		return;
	}
	if (time->ic.message.major < 4) {
		plain.parenttime = IC_TIME_OF_1970 + integration_host_date(host) / 100;
		ic_send(&time->ic, &plain, sizeof(plain), PATIENCE);
	} else if (read_clocks(host, &date, &reference) == 0) {
		with.vmreferencetime = reference;
		with.parenttime = IC_TIME_OF_1970 + date / 100;
		ic_send(&time->ic, &with, sizeof(with), PATIENCE);
	} else {
		return; /* the next period tries again, with `sync` as it is */
	}
	time->sync = false;
}

/* Now, or when the guest has answered to the sample that it has. */
static void send_sync(struct ic_time *time)
{
	time->sync = true;
	send_sample(time);
}

static void ready(struct ic *ic)
{
	ic->due = ic_now(ic) + PERIOD;
	send_sync(time_of(ic));
}

static void due(struct ic *ic)
{
	if (ic->stage == IC_READY) {
		ic->due = ic_now(ic) + PERIOD;
		send_sample(time_of(ic));
	}
}

static void go_on(struct ic_time *time)
{
	if (time->sync) {
		send_sample(time);
	}
}

static bool answered(struct ic *ic, const struct ic_answer *answer)
{
	(void)answer; /* there is nothing in it */
	go_on(time_of(ic));
	return true;
}

static void failed(struct ic *ic, int ret)
{
	if (ret == -ETIMEDOUT) {
		go_on(time_of(ic));
	}
}

static void resumed(struct ic *ic)
{
	send_sync(time_of(ic));
}

void time_stepped(struct ic_time *time)
{
	send_sync(time);
}

static const struct ic_version versions[] = {{1, 0}, {3, 0}, {4, 0}};

const struct ic_class time_class = {
	.name = "time",
	.silence = "the guest has not said yet which version it speaks",
	.type = VMBUS_GUID_TIMESYNC,
	.instance = {0x2dd1ce17, 0x079e, 0x403c, {0xb3, 0x52, 0xa1, 0x92, 0x1e, 0xe2, 0x07, 0xee}},
	.message = ICMSGTYPE_TIMESYNC,
	.versions = versions,
	.version_count = ARRAY_COUNT(versions),
	.body_max = sizeof(struct ictimesync_data),
	.ready = ready,
	.answered = answered,
	.failed = failed,
	.due = due,
	.resumed = resumed,
};
