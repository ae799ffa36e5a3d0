/* The thread that takes a guest's commands to its TPM, and the TPM's life around it. See tpm.h. */
#include "worker/tpm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/board.h"
#include "worker/say.h"

#define SECONDS 60 /* for a request to swtpm, on a host that is busy */
#define PART    1  /* the version of what is saved */

bool tpm_open(struct tpm *tpm, struct board *board, const struct config *config)
{
	int ret;

	*tpm = (struct tpm){.link = {.control = -1, .commands = -1}, .board = board, .state = -1};
	aside_init(&tpm->aside);
	if (config->tpm.path == NULL) {
		return true;
	}
	tpm->link.control = tpm_process_start(&config->tpm, &tpm->state);
	if (tpm->link.control < 0) {
		return false;
	}
	ret = tpm_link_begin(&tpm->link, SECONDS);
	if (ret == 0) {
		ret = tpm_link_power(&tpm->link);
	}
	if (ret != 0) {
		say("--tpm %s: %s; it has to be the state of a TPM 2.0 that swtpm has written, or "
		    "empty",
		    config->tpm.path, ret == -EIO ? "swtpm does not take it" : strerror(-ret));
	}
	return ret == 0;
}

static bool is_there(const struct tpm *tpm)
{
	return tpm->board != NULL && tpm->link.control >= 0;
}

/* Once: the guest sees it in a register. Under the lock. */
static void say_gone(struct tpm *tpm, int ret)
{
	if (!tpm->gone) {
		say("the TPM is gone: %s; its guest has none until the next start",
		    ret == -EPIPE || ret == -ECONNRESET ? "swtpm has ended" : strerror(-ret));
	}
	tpm->gone = true;
}

/* The one that waits. Under the lock. */
static void carry_out(void *user)
{
	struct tpm *tpm = user;
	uint8_t command[TPM_BUFFER_BYTES], answer[TPM_BUFFER_BYTES];
	uint32_t length = tpm->length, answer_length = 0;
	int ret;

	memcpy(command, tpm->command, length);
	tpm->length = 0;
	pthread_mutex_unlock(&tpm->aside.lock);
	ret = tpm_link_command(&tpm->link, command, length, answer, &answer_length);
	board_tpm_done(tpm->board, answer, ret == 0 ? answer_length : 0);
	pthread_mutex_lock(&tpm->aside.lock);
	if (ret != 0) {
		say_gone(tpm, ret);
	}
	tpm->busy = tpm->length != 0; /* its guest may have been quicker */
}

static bool waits(void *user)
{
	const struct tpm *tpm = user;

	return tpm->length != 0;
}

bool tpm_start(struct tpm *tpm)
{
	int ret;

	if (!is_there(tpm)) {
		return true;
	}
	/* A link that is broken stays so: what comes would answer what went before. */
	if (!tpm->gone) {
		ret = tpm_link_power(&tpm->link);
		if (ret != 0) {
			say_gone(tpm, ret);
		}
	}
	ret = aside_start(&tpm->aside, waits, carry_out, tpm);
	if (ret != 0) {
		say("no thread for the TPM: %s", strerror(ret));
	}
	return ret == 0;
}

void tpm_begin_stop(struct tpm *tpm)
{
	aside_begin_stop(&tpm->aside);
}

bool tpm_is_quiet(struct tpm *tpm)
{
	return aside_is_quiet(&tpm->aside);
}

void tpm_stop(struct tpm *tpm)
{
	aside_stop(&tpm->aside);
}

void tpm_close(struct tpm *tpm)
{
	unsigned int i;

	for (i = 0; i < TPM_BLOBS; i++) {
		free(tpm->blobs[i].bytes);
	}
	if (is_there(tpm)) {
		tpm_link_end(&tpm->link);
		close(tpm->state);
	}
}

void tpm_submit(struct tpm *tpm, const uint8_t *command, uint32_t length)
{
	CHECK(is_there(tpm) && length <= sizeof(tpm->command));
	pthread_mutex_lock(&tpm->aside.lock);
	CHECK(tpm->length == 0);
	memcpy(tpm->command, command, length);
	tpm->length = length;
	tpm->busy = true;
	pthread_cond_signal(&tpm->aside.work);
	pthread_mutex_unlock(&tpm->aside.lock);
}

bool tpm_stands(struct tpm *tpm)
{
	bool stands;

	pthread_mutex_lock(&tpm->aside.lock);
	stands = !tpm->busy;
	pthread_mutex_unlock(&tpm->aside.lock);
	return stands;
}

bool tpm_is_gone(struct tpm *tpm)
{
	bool gone;

	pthread_mutex_lock(&tpm->aside.lock);
	gone = tpm->gone;
	pthread_mutex_unlock(&tpm->aside.lock);
	return gone;
}

int tpm_sync(const struct tpm *tpm)
{
	return !is_there(tpm) || fsync(tpm->state) == 0 ? 0 : -errno;
}

/* ---- A saved state ---- */

int tpm_fetch(struct tpm *tpm)
{
	struct tpm_blob blob;
	int ret = is_there(tpm) && tpm->gone ? -EPIPE : 0, kind;

	for (kind = 0; kind < TPM_BLOBS && is_there(tpm) && ret == 0; kind++) {
		ret = tpm_link_get(&tpm->link, kind, &blob);
		if (ret == 0) {
			free(tpm->blobs[kind].bytes);
			tpm->blobs[kind] = blob;
		}
	}
	return ret;
}

void tpm_save(const struct tpm *tpm, struct state_writer *writer)
{
	size_t part;
	int kind;

	if (!is_there(tpm)) {
		return;
	}
	part = state_begin(writer, "tpm", PART);
	for (kind = 0; kind < TPM_BLOBS; kind++) {
		state_put_u32(writer, tpm->blobs[kind].length);
		state_put_bytes(writer, tpm->blobs[kind].bytes, tpm->blobs[kind].length);
	}
	state_end(writer, part);
}

int tpm_load(struct tpm *tpm, struct state_reader *list)
{
	struct tpm_blob blobs[TPM_BLOBS];
	struct state_reader part;
	int kind, ret;

	if (!is_there(tpm)) {
		return 0;
	}
	part = state_part(list, "tpm", PART);
	for (kind = 0; kind < TPM_BLOBS; kind++) {
		blobs[kind].length = state_u32(&part);
		if (blobs[kind].length > TPM_BLOB_MAX) {
			state_refuse(&part, "has more than a TPM knows");
		}
		blobs[kind].bytes =
			state_ok(&part) ? (uint8_t *)state_span(&part, blobs[kind].length) : NULL;
	}
	state_finish(&part);
	if (!state_ok(&part)) {
		return -EINVAL;
	}
	ret = tpm_link_put(&tpm->link, blobs);
	if (ret == -EIO) {
		state_refuse(&part, "is not taken by swtpm");
		return -EINVAL;
	}
	return ret;
}
