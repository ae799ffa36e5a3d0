/*
 * Backup (VSS): the guest's file systems stand still while somebody copies its disks.
 *
 *   THAWED --integration_freeze()--> CHECKING --it can--> FREEZING --it has--> FROZEN
 *     ^                                 |                     |                   |   integration_thaw(), time, a pause, nobody wants it
 *     |<--------refuses, is silent------´                     `------->THAWING<---´
 *     `-------------the guest has thawed them, or begun anew--------------´
 *
 * Invariant: once FREEZE may have reached the guest, THAW is sent, again and again, until the guest
 * has said yes or has begun anew. A guest has no harm from a thaw too many.
 */
#include "vsp/integration/ic.h"

#include <errno.h>

#define ANSWER_WITHIN (60 * IC_SECOND)
#define AGAIN_AFTER   (5 * IC_SECOND)

static struct ic_vss *vss_of(struct ic *ic)
{
	return (struct ic_vss *)((char *)ic - offsetof(struct ic_vss, ic));
}

static void ask(struct ic_vss *vss, enum hv_vss_op operation, uint64_t timeout)
{
	struct hv_vss_msg message = {.operation = (uint8_t)operation};

	vss->operation = (uint8_t)operation;
	ic_send(&vss->ic, &message,
		operation == VSS_OP_FREEZE ? sizeof(message) : IC_VSS_SHORT_BYTES, timeout);
}

static void enter(struct ic_vss *vss, enum vss_stage stage)
{
	vss->stage = stage;
	vss->ic.due = IC_NEVER;
	ic_changed(&vss->ic);
}

static void tell_freeze(struct ic_vss *vss, int ret, const char *why)
{
	struct integration_freeze freeze = vss->freeze;

	vss->freeze.done = NULL;
	if (freeze.done != NULL) {
		freeze.done(freeze.user, ret, why);
	}
}

static void tell_thaw(struct ic_vss *vss, int ret, const char *why)
{
	struct integration_thaw thaw = vss->thaw;

	vss->thaw.done = NULL;
	if (thaw.done != NULL) {
		thaw.done(thaw.user, ret, why);
	}
}

/* Now, or when the guest has answered to what it has been asked, or is in contact again. */
static void thaw(struct ic_vss *vss)
{
	enter(vss, VSS_THAWING);
	if (ic_is_idle(&vss->ic)) {
		ask(vss, VSS_OP_THAW, ANSWER_WITHIN);
	}
}

/* It is over, although nobody has asked for that. */
static void break_off(struct ic_vss *vss, int ret, const char *why)
{
	if (vss->stage == VSS_THAWED || vss->stage == VSS_THAWING) {
		return;
	}
	vss->why = why;
	if (vss->stage == VSS_CHECKING) {
		enter(vss, VSS_THAWED);
	} else {
		thaw(vss);
	}
	tell_freeze(vss, ret, why);
}

int integration_freeze(struct integration *integration, const struct integration_freeze *freeze)
{
	struct ic_vss *vss = &integration->vss;

	if (ic_why(&vss->ic) != NULL) {
		return -ENOTCONN;
	}
	if (vss->stage != VSS_THAWED || vss->ic.asking) {
		return -EBUSY;
	}
	if (integration_host_stands(integration->host)) {
		return -EAGAIN;
	}
	vss->freeze = *freeze;
	vss->why = NULL;
	enter(vss, VSS_CHECKING);
	ask(vss, VSS_OP_HOT_BACKUP, ANSWER_WITHIN);
	return 0;
}

int integration_thaw(struct integration *integration, const struct integration_thaw *what)
{
	struct ic_vss *vss = &integration->vss;

	if (vss->stage == VSS_THAWED) {
		return -EALREADY;
	}
	if (vss->thaw.done != NULL) {
		return -EBUSY;
	}
	if (vss->stage != VSS_THAWING && vss->stage != VSS_FROZEN) {
		break_off(vss, -EINTR, "it was thawed before it was frozen");
	}
	if (vss->stage == VSS_THAWED) {
		return -EALREADY;
	}
	vss->thaw = *what;
	if (vss->stage == VSS_FROZEN) {
		thaw(vss);
	}
	return 0;
}

void integration_freeze_forget(struct integration *integration, const char *why)
{
	integration->vss.freeze.done = NULL;
	break_off(&integration->vss, -EINTR, why);
}

void integration_thaw_forget(struct integration *integration)
{
	integration->vss.thaw.done = NULL;
}

/* ---- Answers ---- */

static void checked(struct ic_vss *vss, uint32_t status)
{
	if (vss->stage != VSS_CHECKING) {
		return; /* nobody wants it any more */
	}
	if (status != HV_S_OK) {
		break_off(vss, -EREMOTEIO,
			  "the guest says that it cannot: its daemon (hv_vss_daemon) may not run");
		return;
	}
	enter(vss, VSS_FREEZING);
	vss->until = ic_now(&vss->ic) + vss->freeze.seconds * IC_SECOND;
	ask(vss, VSS_OP_FREEZE, vss->freeze.seconds * IC_SECOND);
}

static void froze(struct ic_vss *vss, uint32_t status)
{
	if (vss->stage == VSS_THAWING) {
		thaw(vss);
	} else if (status != HV_S_OK) {
		break_off(
			vss, -EREMOTEIO,
			"the guest says that it cannot freeze its file systems; its log says why");
	} else {
		enter(vss, VSS_FROZEN);
		vss->ic.due = vss->until;
		tell_freeze(vss, 0, NULL);
	}
}

static void thawed(struct ic_vss *vss, uint32_t status)
{
	if (status != HV_S_OK) {
		vss->ic.due = ic_now(&vss->ic) + AGAIN_AFTER;
		tell_thaw(vss, -EREMOTEIO,
			  "the guest says that it failed; it is asked again until it has");
		return;
	}
	enter(vss, VSS_THAWED);
	tell_thaw(vss, vss->why != NULL ? -EINTR : 0, vss->why);
}

static bool answered(struct ic *ic, const struct ic_answer *answer)
{
	struct ic_vss *vss = vss_of(ic);

	switch (vss->operation) {
	case VSS_OP_HOT_BACKUP:
		checked(vss, answer->status);
		break;
	case VSS_OP_FREEZE:
		froze(vss, answer->status);
		break;
	default:
		thawed(vss, answer->status);
		break;
	}
	return true;
}

static void failed(struct ic *ic, int ret)
{
	struct ic_vss *vss = vss_of(ic);

	if (vss->operation == VSS_OP_THAW) {
		/* Without a channel ready() goes on. */
		ic->due = ret == -ECONNRESET ? IC_NEVER : ic_now(ic) + AGAIN_AFTER;
		tell_thaw(vss, ret, ic_failure(ret));
	} else if (vss->stage == VSS_THAWING) {
		thaw(vss);
	} else {
		break_off(vss, ret,
			  ret == -ETIMEDOUT ? "the guest has not answered in time"
					    : ic_failure(ret));
	}
}

static void due(struct ic *ic)
{
	struct ic_vss *vss = vss_of(ic);

	if (vss->stage == VSS_THAWING) {
		thaw(vss);
	} else {
		break_off(vss, -EINTR, "the time for it was over");
	}
}

/* The channel was closed meanwhile, and what the guest has frozen may be still. */
static void ready(struct ic *ic)
{
	struct ic_vss *vss = vss_of(ic);

	if (vss->stage == VSS_THAWING) {
		thaw(vss);
	} else {
		break_off(vss, -ECONNRESET, "the guest had closed the channel");
	}
}

static void resumed(struct ic *ic)
{
	break_off(vss_of(ic), -EINTR, "the machine was paused");
}

void vss_ended(struct ic_vss *vss)
{
	static const char why[] = "the guest has come to its end";
	bool was = vss->stage != VSS_THAWED;

	if (was) {
		vss->why = why;
		enter(vss, VSS_THAWED);
	}
	tell_freeze(vss, -ECONNRESET, why);
	tell_thaw(vss, -ECONNRESET, why);
}

void vss_load(struct ic_vss *vss)
{
	vss->stage = VSS_THAWING;
	vss->why = "the machine was saved";
}

void vss_get_state(const struct ic_vss *vss, struct integration_state *state)
{
	static const enum integration_file_systems are[] = {
		[VSS_THAWED] = INTEGRATION_THAWED,     [VSS_CHECKING] = INTEGRATION_FREEZING,
		[VSS_FREEZING] = INTEGRATION_FREEZING, [VSS_FROZEN] = INTEGRATION_FROZEN,
		[VSS_THAWING] = INTEGRATION_THAWING,
	};

	state->file_systems = are[vss->stage];
	state->thawed_why = vss->why;
}

static const struct ic_version versions[] = {{5, 0}, {6, 0}, {7, 0}};

const struct ic_class vss_class = {
	.name = "backup",
	.silence = "the guest has not said yet which version it speaks",
	.type = VMBUS_GUID_VSS,
	.instance = {0x2450ee40, 0x33bf, 0x4fbd, {0x89, 0x2e, 0x9f, 0xb0, 0x6e, 0x92, 0x14, 0xcf}},
	.message = ICMSGTYPE_VSS,
	.versions = versions,
	.version_count = ARRAY_COUNT(versions),
	.body_max = sizeof(struct hv_vss_msg),
	.ready = ready,
	.answered = answered,
	.failed = failed,
	.due = due,
	.resumed = resumed,
};
