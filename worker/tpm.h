/*
 * A machine's TPM: the program swtpm, a process of its own that has the file of the TPM's state and
 * no more (tpm_process.c); the way to it, whose every answer is looked at (tpm_link.c); and the
 * thread that takes it the guest's commands (tpm.c).
 *
 * The board says a command (devices/tpm_crb.c), and is told its end. Main thread, but where it says
 * otherwise.
 */
#ifndef WORKER_TPM_H
#define WORKER_TPM_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/parts.h"
#include "hosted/aside.h"
#include "lib/state.h"
#include "worker/config.h"

/* What there is of a TPM's state in a saved machine: what it keeps when it is off, and what it does
 * not. */
enum tpm_blob_kind { TPM_PERMANENT, TPM_VOLATILE, TPM_BLOBS };
#define TPM_BLOB_MAX (1u << 20)

struct tpm_blob {
	uint8_t *bytes; /* of malloc() */
	uint32_t length;
};

/* ---- tpm_link.c: two sockets to swtpm, for control and for commands. -errno; -EPROTO: an answer
 * that is none. ---- */

struct tpm_link {
	int control; /* -1: there is no TPM */
	int commands;
};

/* Of a link with its control socket alone: makes the one for commands. A request has this many
 * seconds; a command takes its time. */
int tpm_link_begin(struct tpm_link *link, unsigned int seconds) MUST_CHECK;
/* Power on, or a reset: what it does not keep is gone. */
int tpm_link_power(struct tpm_link *link) MUST_CHECK;
/* A command, and its answer, of *length bytes from a TPM's header to TPM_BUFFER_BYTES. Any thread,
 * one at a time. */
int tpm_link_command(struct tpm_link *link, const uint8_t *command, uint32_t command_length,
		     uint8_t answer[TPM_BUFFER_BYTES], uint32_t *length) MUST_CHECK;
/* Its state, while no command is under way; blob->bytes is the caller's. */
int tpm_link_get(struct tpm_link *link, enum tpm_blob_kind kind, struct tpm_blob *blob) MUST_CHECK;
/* Off, and on again with these. */
int tpm_link_put(struct tpm_link *link, const struct tpm_blob blobs[TPM_BLOBS]) MUST_CHECK;
void tpm_link_end(struct tpm_link *link);

/* ---- tpm_process.c ---- */

/* Starts swtpm for the state in `file`, which is made where there is none, and of which *reader is
 * one then. The control socket, or -1: said why. */
int tpm_process_start(const struct config_file *file, int *reader) MUST_CHECK;

/* ---- tpm.c ---- */

struct board;

/* [M] main thread, [L] under lock */
struct tpm {
	struct tpm_link link; /* [M] its control; commands: its thread */
	struct board *board;
	int state;                         /* [I] the file, to have it on its medium */
	struct aside aside;                /* its lock is [L] */
	uint8_t command[TPM_BUFFER_BYTES]; /* [L] */
	uint32_t length;                   /* [L] of a command that waits; 0: none */
	bool busy;                         /* [L] from tpm_submit() until the board knows its end */
	bool gone;                         /* [L] said that it does not answer */
	struct tpm_blob blobs[TPM_BLOBS];  /* tpm_fetch() */
};

/* Before the sandbox. Without a TPM in the configuration all of these do nothing. False: said
 * why. */
bool tpm_open(struct tpm *tpm, struct board *board, const struct config *config) MUST_CHECK;
/* Around the life of a partition; each start is a power-on. False: said why. */
bool tpm_start(struct tpm *tpm) MUST_CHECK;
void tpm_begin_stop(struct tpm *tpm);
bool tpm_is_quiet(struct tpm *tpm);
void tpm_stop(struct tpm *tpm);
void tpm_close(struct tpm *tpm);

/* host_tpm_start(). */
void tpm_submit(struct tpm *tpm, const uint8_t *command, uint32_t length);
/* No command is under way. Any thread. */
bool tpm_stands(struct tpm *tpm);
/* There was one, and it does not answer any more: so there is no state of the machine. Any
 * thread. */
#define TPM_IS_GONE "its TPM has ended, and what it knew; turn the machine off and start it again"
bool tpm_is_gone(struct tpm *tpm);
/* What the TPM has written is on its medium, whatever happens. -errno. */
int tpm_sync(const struct tpm *tpm) MUST_CHECK;

/* Of a machine that stands: its state is asked for, then written as the part "tpm". -errno. Who has
 * the machine held. */
int tpm_fetch(struct tpm *tpm) MUST_CHECK;
void tpm_save(const struct tpm *tpm, struct state_writer *writer);
/* 0, -errno; of -EINVAL the list's fault says why. */
int tpm_load(struct tpm *tpm, struct state_reader *list) MUST_CHECK;

#endif
