/*
 * Shutdown. The guest answers before it acts: then what was asked for is waited for, by who is told
 * of the machine's end (integration_ended()).
 *
 *   idle --integration_shutdown()--> pending --the guest will--> agreed --the machine's end, or too late--> idle
 *                                       `-----refuses, is silent, goes away-----> idle
 */
#include "vsp/integration/ic.h"

#include <errno.h>

#define ANSWER_WITHIN (60 * IC_SECOND)
#define END_WITHIN    (600 * IC_SECOND)

static struct ic_shutdown *shutdown_of(struct ic *ic)
{
	return (struct ic_shutdown *)((char *)ic - offsetof(struct ic_shutdown, ic));
}

static void finish(struct ic_shutdown *shutdown, int ret, const char *why)
{
	struct integration_shutdown what = shutdown->what;
	bool pending = shutdown->pending;

	shutdown->pending = shutdown->agreed = false;
	shutdown->ic.due = IC_NEVER;
	if (pending && what.done != NULL) {
		what.done(what.user, ret, why);
	}
}

int integration_shutdown(struct integration *integration, const struct integration_shutdown *what)
{
	struct ic_shutdown *shutdown = &integration->shutdown;
	struct shutdown_msg_data body = {
		.reason_code = IC_SHUTDOWN_PLANNED,
		.flags = ((what->flags & INTEGRATION_FORCE) ? IC_SHUTDOWN_FORCE : 0) |
			 ((what->flags & INTEGRATION_RESTART) ? IC_SHUTDOWN_RESTART : 0),
		.display_message = "The host asks for it.",
	};

	if (ic_why(&shutdown->ic) != NULL) {
		return -ENOTCONN;
	}
	/* Also a request that nobody waits for any more. */
	if (shutdown->pending || shutdown->ic.asking) {
		return -EBUSY;
	}
	if (integration_host_stands(integration->host)) {
		return -EAGAIN;
	}
	shutdown->what = *what;
	shutdown->pending = true;
	ic_send(&shutdown->ic, &body, sizeof(body), ANSWER_WITHIN);
	return 0;
}

void integration_shutdown_forget(struct integration *integration)
{
	integration->shutdown.what.done = NULL;
	finish(&integration->shutdown, 0, NULL);
}

static bool answered(struct ic *ic, const struct ic_answer *answer)
{
	struct ic_shutdown *shutdown = shutdown_of(ic);

	if (!shutdown->pending) {
		return true; /* nobody waits for it any more */
	}
	if (answer->status != HV_S_OK) {
		finish(shutdown, -EOPNOTSUPP, "the guest says that it cannot");
		return true;
	}
	shutdown->agreed = true;
	ic->due = ic_now(ic) + END_WITHIN;
	if (shutdown->what.agreed != NULL) {
		shutdown->what.agreed(shutdown->what.user);
	}
	return true;
}

static void failed(struct ic *ic, int ret)
{
	finish(shutdown_of(ic), ret, ic_failure(ret));
}

static void due(struct ic *ic)
{
	finish(shutdown_of(ic), -ETIMEDOUT,
	       "the guest has agreed, and is still there after ten minutes");
}

static void resumed(struct ic *ic)
{
	if (shutdown_of(ic)->agreed) {
		ic->due = ic_now(ic) + END_WITHIN;
	}
}

void shutdown_ended(struct ic_shutdown *shutdown, enum integration_end how)
{
	bool restart = shutdown->what.flags & INTEGRATION_RESTART;
	enum integration_end wanted = restart ? INTEGRATION_END_RESET : INTEGRATION_END_OFF;

	if (how == wanted) {
		finish(shutdown, 0, NULL);
	} else {
		finish(shutdown, -EINTR,
		       how == INTEGRATION_END_OFF     ? "the guest has turned the power off instead"
		       : how == INTEGRATION_END_RESET ? "the machine was restarted instead"
						      : "the machine has come to another end");
	}
}

static const struct ic_version versions[] = {{1, 0}, {3, 0}, {3, 1}, {3, 2}};

const struct ic_class shutdown_class = {
	.name = "shutdown",
	.silence = "the guest has not said yet which version it speaks",
	.type = VMBUS_GUID_SHUTDOWN,
	.instance = {0xb6650ff7, 0x33bc, 0x4840, {0x80, 0x48, 0xe0, 0x67, 0x67, 0x86, 0xf3, 0x93}},
	.message = ICMSGTYPE_SHUTDOWN,
	.versions = versions,
	.version_count = ARRAY_COUNT(versions),
	.body_max = sizeof(struct shutdown_msg_data),
	.answered = answered,
	.failed = failed,
	.due = due,
	.resumed = resumed,
};
