/*
 * ring.c: asynchronous file I/O. The simulated disk of the tests has the same names.
 */
#ifndef DISK_RING_H
#define DISK_RING_H

#include "disk/file.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring;
struct io_uring;

int ring_restrict(struct io_uring *uring); /* enables it, for the operations that there are here */
int ring_open(unsigned depth, struct ring **ring);
void ring_close(struct ring **ring);
int ring_fd(struct ring *ring);     /* an eventfd */
void ring_clear(struct ring *ring); /* it is not readable any more, until something happens */
/* The caller keeps iov and token until ring_next gives the token back. -EBUSY: full. */
int ring_readv(struct ring *ring, struct file *file, const struct iovec *iov, unsigned count,
	       uint64_t offset, void *token);
int ring_writev(struct ring *ring, struct file *file, const struct iovec *iov, unsigned count,
		uint64_t offset, bool durable, void *token);
int ring_sync(struct ring *ring, struct file *file, void *token);
void ring_submit(struct ring *ring);
void ring_watch(struct ring *ring, int fd); /* an eventfd, in place of the one before; -1: none */
/* Submits, waits for a completion, ring_wake or the watched eventfd. */
void ring_wait(struct ring *ring);
void ring_wake(struct ring *ring); /* from any thread */
bool ring_next(struct ring *ring, void **token, int *result);

#endif
