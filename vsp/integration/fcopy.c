/*
 * Files for the guest: one at a time, piece by piece, each piece a request of its own.
 *
 *   NONE --integration_copy()--> STARTING --> READING <--> WRITING      until the guest has all of it
 *                                                `--> ENDING --> NONE
 *   what fails, or nobody wants any more: UNDOING (the guest is asked to remove what it has) --> NONE
 *
 * Linux's newer daemon takes one packet for each interrupt, which one request at a time is.
 */
#include "vsp/integration/ic.h"

#include <errno.h>
#include <string.h>

#include "disk/bytes.h"

#define ANSWER_WITHIN (60 * IC_SECOND)

static struct ic_fcopy *fcopy_of(struct ic *ic)
{
	return (struct ic_fcopy *)((char *)ic - offsetof(struct ic_fcopy, ic));
}

/* ---- The path ---- */

/* False: it is too long, or no UTF-8. */
static bool put_text(const char *text, size_t length, uint8_t *to)
{
	char copy[4 * W_MAX_PATH];

	if (length >= sizeof(copy)) {
		return false;
	}
	memcpy(copy, text, length);
	copy[length] = '\0';
	return utf8_to_utf16(copy, false, to, 2 * (W_MAX_PATH - 1)) >= 0;
}

static bool put_path(const char *path, struct hv_start_fcopy *start)
{
	size_t folder = strlen(path);

	while (folder > 0 && path[folder - 1] != '/' && path[folder - 1] != '\\') {
		folder--;
	}
	return folder > 0 && path[folder] != '\0' && put_text(path, folder, start->path_name) &&
	       put_text(path + folder, strlen(path + folder), start->file_name);
}

/* ---- Its course ---- */

/* A message of the operation, which begins it. */
static void ask(struct ic_fcopy *fcopy, const void *message, uint32_t bytes)
{
	memcpy(&fcopy->operation, message, sizeof(fcopy->operation));
	ic_send(&fcopy->ic, message, bytes, ANSWER_WITHIN);
}

/* It is over; the stage before done(), which may look. */
static void finish(struct ic_fcopy *fcopy, enum copy_stage stage, int ret, const char *why)
{
	struct integration_copy what = fcopy->what;

	fcopy->stage = stage;
	fcopy->what.done = NULL;
	if (what.done != NULL) {
		what.done(what.user, ret, why);
	}
}

/* The guest may have a part of it, and is asked to remove that: now, or when it has answered to
 * what it has been asked. */
static void undo(struct ic_fcopy *fcopy, int ret, const char *why)
{
	struct hv_fcopy_hdr cancel = {.operation = CANCEL_FCOPY};

	if (ic_is_idle(&fcopy->ic)) {
		ask(fcopy, &cancel, sizeof(cancel));
	}
	finish(fcopy, COPY_UNDOING, ret, why);
}

static void go_on(struct ic_fcopy *fcopy)
{
	struct hv_fcopy_hdr complete = {.operation = COMPLETE_FCOPY};
	struct hv_do_fcopy *data = &fcopy->message.data;
	uint64_t left = fcopy->what.size - fcopy->done;
	int ret;

	if (left == 0) {
		fcopy->stage = COPY_ENDING;
		ask(fcopy, &complete, sizeof(complete));
		return;
	}
	*data = (struct hv_do_fcopy){
		.hdr.operation = WRITE_TO_FILE,
		.offset = fcopy->done,
		.size = left < DATA_FRAGMENT ? (uint32_t)left : DATA_FRAGMENT,
	};
	fcopy->stage = COPY_READING;
	ret = fcopy->what.read(fcopy->what.user, data->offset, data->data, data->size);
	if (ret == 0) {
		fcopy->stage = COPY_WRITING;
		ask(fcopy, data,
		    sizeof(*data)); /* Linux's daemon wants all of it, also of the last one */
	} else if (ret != -EAGAIN) {
		undo(fcopy, -EIO, "the file cannot be read to its end");
	}
}

int integration_copy(struct integration *integration, const struct integration_copy *what)
{
	struct ic_fcopy *fcopy = &integration->fcopy;
	struct hv_start_fcopy *start = &fcopy->message.start;

	if (ic_why(&fcopy->ic) != NULL) {
		return -ENOTCONN;
	}
	if (fcopy->stage != COPY_NONE) {
		return -EBUSY;
	}
	*start = (struct hv_start_fcopy){
		.hdr.operation = START_FILE_COPY,
		.copy_flags = ((what->flags & INTEGRATION_OVERWRITE) ? IC_FCOPY_OVERWRITE : 0) |
			      ((what->flags & INTEGRATION_MAKE_PATH) ? IC_FCOPY_MAKE_PATH : 0),
		.file_size = what->size,
	};
	if (!put_path(what->path, start)) {
		return -EINVAL;
	}
	fcopy->what = *what;
	fcopy->what.path = NULL;
	fcopy->done = 0;
	fcopy->stage = COPY_STARTING;
	ask(fcopy, start, sizeof(*start));
	return 0;
}

void integration_copy_ready(struct integration *integration)
{
	struct ic_fcopy *fcopy = &integration->fcopy;

	if (fcopy->stage == COPY_READING && ic_is_idle(&fcopy->ic)) {
		go_on(fcopy);
	}
}

void integration_copy_forget(struct integration *integration)
{
	struct ic_fcopy *fcopy = &integration->fcopy;

	fcopy->what.done = NULL;
	if (fcopy->stage != COPY_NONE && fcopy->stage != COPY_UNDOING) {
		undo(fcopy, 0, NULL);
	}
}

/* ---- Answers ---- */

static void refused(struct ic_fcopy *fcopy, uint32_t status)
{
	bool exists = status == HV_ERROR_ALREADY_EXISTS, full = status == HV_ERROR_DISK_FULL;
	int ret = exists ? -EEXIST : full ? -ENOSPC : -EREMOTEIO;
	const char *why = exists ? "the guest has such a file already"
			  : full ? "the guest's disk is full"
			  : fcopy->stage == COPY_STARTING
				  ? "the guest says that it cannot write the file there: the "
				    "folder may be missing, or its daemon not run"
				  : "the guest says that it cannot write the file";

	if (fcopy->stage == COPY_WRITING) {
		undo(fcopy, ret, why);
	} else {
		finish(fcopy, COPY_NONE, ret, why);
	}
}

static void wrote(struct ic_fcopy *fcopy)
{
	if (fcopy->stage == COPY_WRITING) {
		fcopy->done += fcopy->message.data.size;
		if (fcopy->what.progress != NULL) {
			fcopy->what.progress(fcopy->what.user, fcopy->done);
		}
	}
	go_on(fcopy);
}

/* While it is undone: what there is to be undone is known when the guest has answered. */
static void answered_late(struct ic_fcopy *fcopy, uint32_t status)
{
	bool made = fcopy->operation == WRITE_TO_FILE ||
		    (fcopy->operation == START_FILE_COPY && status == HV_S_OK);

	if (made) {
		undo(fcopy, 0, NULL);
	} else {
		fcopy->stage = COPY_NONE;
	}
}

static bool answered(struct ic *ic, const struct ic_answer *answer)
{
	struct ic_fcopy *fcopy = fcopy_of(ic);

	if (fcopy->stage == COPY_UNDOING) {
		answered_late(fcopy, answer->status);
	} else if (answer->status != HV_S_OK) {
		refused(fcopy, answer->status);
	} else if (fcopy->stage == COPY_ENDING) {
		finish(fcopy, COPY_NONE, 0, NULL);
	} else {
		wrote(fcopy);
	}
	return true;
}

/* The guest that is silent once is not asked to undo it. */
static void failed(struct ic *ic, int ret)
{
	finish(fcopy_of(ic), COPY_NONE, ret, ic_failure(ret));
}

/* Also while the guest was asked for nothing. */
static void closed(struct ic *ic)
{
	finish(fcopy_of(ic), COPY_NONE, -ECONNRESET, ic_failure(-ECONNRESET));
}

static const struct ic_version versions[] = {{1, 1}};

const struct ic_class fcopy_class = {
	.name = "files",
	.silence = "the guest has not said yet which version it speaks: its daemon "
		   "(hv_fcopy_uio_daemon) may not run",
	.type = VMBUS_GUID_FILE_COPY,
	/* Linux's newer daemon knows it by this. */
	.instance = {0xeb765408, 0x105f, 0x49b6, {0xb4, 0xaa, 0xc1, 0x23, 0xb6, 0x4d, 0x17, 0xd4}},
	.message = ICMSGTYPE_FCOPY,
	.versions = versions,
	.version_count = ARRAY_COUNT(versions),
	.body_max = sizeof(struct hv_do_fcopy),
	.answered = answered,
	.failed = failed,
	.closed = closed,
};
