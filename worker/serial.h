/*
 * The host's end of COM1: the terminal or pipes of the worker, a file, or a socket that someone
 * connects to.
 *
 * VP threads put bytes into one ring and take them from the other, under the board's lock; the main
 * thread moves them to and from descriptors. Each ring has one writer and one reader, so its two
 * counts need no lock.
 */
#ifndef WORKER_SERIAL_H
#define WORKER_SERIAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "worker/config.h"

#define SERIAL_RING 16384 /* a power of two */

struct ring {
	uint8_t bytes[SERIAL_RING];
	atomic_uint written, taken; /* counts, modulo 2^32 */
};

struct serial {
	enum serial_kind kind;
	int in, out;             /* -1: nobody there; of a socket two descriptors */
	unsigned int generation; /* of these two */
	int listener;            /* -1: no socket */
	bool terminal;
	bool in_polls, out_polls; /* regular files cannot be waited for, and need not be */
	struct termios saved;
	struct ring to_host, to_guest;
};

/* Says what is wrong, and then has left nothing behind. Opens what will be needed later, too. */
bool serial_create(struct serial *serial, const struct config *config) MUST_CHECK;
/* What is still in the ring goes out, as far as that is possible at once; the terminal is as it was
 * before. */
void serial_destroy(struct serial *serial);

/* The device's side. False: full, empty. */
bool serial_put(struct serial *serial, uint8_t byte);
bool serial_get(struct serial *serial, uint8_t *byte);

/* The main thread's side; none of these blocks but serial_drain(). */
/* Someone connects. One at a time: who comes later takes the line over. */
void serial_accept(struct serial *serial);
/* The same with a stream socket that is there already, and then is ours. False: this line is no
 * socket's. */
bool serial_connect(struct serial *serial, int fd);
/* Bytes to the host. True: room was made. */
bool serial_flush(struct serial *serial);
/* The end: what the guest said last goes out, though the reader be slow. Blocks, not for ever. */
void serial_drain(struct serial *serial);
/* Bytes from the host. True: there is something new. *escape: the key that turns the machine off
 * was typed. */
bool serial_fill(struct serial *serial, unsigned int *escapes);
/* For messages: where it goes, and whether somebody is there. */
const char *serial_kind_name(enum serial_kind kind);
bool serial_is_connected(const struct serial *serial);
/* Whether there is something to flush, and room to fill. */
bool serial_wants_out(const struct serial *serial);
bool serial_wants_in(const struct serial *serial);

#endif
