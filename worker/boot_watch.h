/*
 * What firmware says when it finds nothing to start, made into one line for the worker's log: what
 * was tried, and why each was refused. It is read where the firmware writes it: SeaBIOS among its
 * messages, OVMF on its screen, which is on COM1. It is a guest's word: what is not printable is
 * left out, and all of it is bounded.
 */
#ifndef WORKER_BOOT_WATCH_H
#define WORKER_BOOT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOOT_WATCH_BYTES 65536u /* of a start; what comes behind is an operating system's */

struct boot_watch {
	unsigned int seen;  /* bytes */
	unsigned int tries; /* of this round, that are in `tried` or were left out of it */
	char line[256];     /* the one that comes, without control sequences; cut */
	size_t length;
	char what[64]; /* SeaBIOS: what it is about to start; "" */
	char tried[400];
	enum { WATCH_TEXT, WATCH_ESCAPE, WATCH_SEQUENCE } state;
};

/* The machine starts. */
void boot_watch_begin(struct boot_watch *watch);
/* A byte that it writes. True: it has found nothing; watch->tried says what there was, "" if
 * nothing. It goes on from there. */
bool boot_watch_take(struct boot_watch *watch, uint8_t byte);

#endif
