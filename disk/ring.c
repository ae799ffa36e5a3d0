/*
 * Asynchronous file I/O: io_uring, and nothing of disks. While a thread is in ring_wait, and always
 * where there is an eventfd, a read of the wake descriptor is under way, so that ring_wake from any
 * thread ends the one and makes the other readable. The poll of the watched descriptor tells of
 * each signal and not of a state: nobody has to read it. The kernel keeps that poll, and the
 * descriptor's file, until it is taken back, whatever becomes of the thread that submitted it.
 *
 * What a ring does passes by a filter of system calls. So each ring is restricted, for good, to the
 * operations below: a process that has only such rings, and may make none, can do no more with them
 * than with read, write and poll.
 */
#include "disk/ring.h"

#include "disk/file.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ring {
	struct io_uring uring;
	int wake_fd;
	int event_fd; /* -1 until somebody wants it */
	uint64_t wake_count;
	bool wake_armed;
	int watch_fd;        /* -1: none */
	uint64_t watch_turn; /* tells its poll from those of descriptors before */
	bool watch_armed;
};

#define WATCH_BIT                                                                                  \
	1u /* of an operation's user data, which is a pointer else, or NULL for the wake descriptor */

static struct io_uring_sqe *get_sqe(struct ring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (sqe == NULL) {
		io_uring_submit(&ring->uring);
		sqe = io_uring_get_sqe(&ring->uring);
	}
	return sqe;
}

static void arm_wake(struct ring *ring)
{
	struct io_uring_sqe *sqe = ring->wake_armed ? NULL : get_sqe(ring);

	if (sqe != NULL) {
		io_uring_prep_read(sqe, ring->wake_fd, &ring->wake_count, sizeof(ring->wake_count),
				   0);
		io_uring_sqe_set_data(sqe, NULL);
		ring->wake_armed = true;
	}
}

static void arm_watch(struct ring *ring)
{
	struct io_uring_sqe *sqe = ring->watch_armed || ring->watch_fd < 0 ? NULL : get_sqe(ring);

	if (sqe != NULL) {
		io_uring_prep_poll_multishot(sqe, ring->watch_fd, POLLIN);
		io_uring_sqe_set_data64(sqe, ring->watch_turn << 1 | WATCH_BIT);
		ring->watch_armed = true;
	}
}

/* Its end is told, and so is that of the poll: both by a turn that is none any more. */
static void disarm_watch(struct ring *ring)
{
	struct io_uring_sqe *sqe = ring->watch_armed ? get_sqe(ring) : NULL;

	if (sqe != NULL) {
		io_uring_prep_poll_remove(sqe, ring->watch_turn << 1 | WATCH_BIT);
		io_uring_sqe_set_data64(sqe, WATCH_BIT);
		io_uring_submit(&ring->uring);
	}
}

void ring_watch(struct ring *ring, int fd)
{
	disarm_watch(ring);
	ring->watch_fd = fd;
	ring->watch_turn++;
	ring->watch_armed = false;
}

int ring_restrict(struct io_uring *uring)
{
	static const uint8_t operations[] = {
		IORING_OP_READ,  IORING_OP_READV,    IORING_OP_WRITE,      IORING_OP_WRITEV,
		IORING_OP_FSYNC, IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE};
	struct io_uring_restriction allowed[sizeof(operations) + 1] = {
		{.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_EVENTFD}};
	unsigned i;
	unsigned fd = (unsigned)uring->ring_fd;
	int ret;

	for (i = 0; i < sizeof(operations); i++) {
		allowed[i + 1].opcode = IORING_RESTRICTION_SQE_OP;
		allowed[i + 1].sqe_op = operations[i];
	}
	/* liburing 2.3 has functions for both, but does not export them. */
	ret = io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, allowed, sizeof(operations) + 1);
	return ret ? ret : io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int ring_open(unsigned depth, struct ring **out)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	struct io_uring_params params = {.flags = IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED |
						  IORING_SETUP_COOP_TASKRUN};
	int ret;

	if (ring == NULL) {
		return -ENOMEM;
	}
	ret = io_uring_queue_init_params(depth + 1, &ring->uring, &params);
	if (ret == -EINVAL) { /* before Linux 5.19 */
		params = (struct io_uring_params){.flags = IORING_SETUP_CLAMP |
							   IORING_SETUP_R_DISABLED};
		ret = io_uring_queue_init_params(depth + 1, &ring->uring, &params);
	}
	if (ret) {
		free(ring);
		return ret;
	}
	ring->event_fd = ring->watch_fd = -1;
	ring->wake_fd = eventfd(0, EFD_CLOEXEC);
	ret = ring->wake_fd < 0 ? -errno : ring_restrict(&ring->uring);
	if (ret) {
		ring_close(&ring);
		return ret;
	}
	*out = ring;
	return 0;
}

void ring_close(struct ring **where)
{
	struct ring *ring = *where;

	*where = NULL;
	if (ring != NULL) {
		ring_wake(
			ring); /* nothing may be under way when the memory that it would write to goes */
		io_uring_queue_exit(&ring->uring);
		if (ring->wake_fd >= 0) {
			close(ring->wake_fd);
		}
		if (ring->event_fd >= 0) {
			close(ring->event_fd);
		}
		free(ring);
	}
}

int ring_fd(struct ring *ring)
{
	if (ring->event_fd < 0) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), ret;

		if (fd < 0) {
			return -errno;
		}
		ret = io_uring_register_eventfd(&ring->uring, fd);
		if (ret) {
			close(fd);
			return ret;
		}
		ring->event_fd = fd;
	}
	return ring->event_fd;
}

void ring_clear(struct ring *ring)
{
	uint64_t count;
	ssize_t n = ring->event_fd >= 0 ? read(ring->event_fd, &count, sizeof(count)) : 0;

	(void)n; /* nothing to read is fine */
}

int ring_readv(struct ring *ring, struct file *file, const struct iovec *iov, unsigned count,
	       uint64_t offset, void *token)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	if (sqe == NULL) {
		return -EBUSY;
	}
	if (count == 1 && iov->iov_len <= UINT32_MAX) {
		io_uring_prep_read(sqe, file_data_fd(file, iov, count, offset), iov->iov_base,
				   (unsigned)iov->iov_len, offset);
	} else {
		io_uring_prep_readv(sqe, file_data_fd(file, iov, count, offset), iov, count,
				    offset);
	}
	io_uring_sqe_set_data(sqe, token);
	return 0;
}

int ring_writev(struct ring *ring, struct file *file, const struct iovec *iov, unsigned count,
		uint64_t offset, bool durable, void *token)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	if (sqe == NULL) {
		return -EBUSY;
	}
	if (count == 1 && iov->iov_len <= UINT32_MAX) {
		io_uring_prep_write(sqe, file_data_fd(file, iov, count, offset), iov->iov_base,
				    (unsigned)iov->iov_len, offset);
		sqe->rw_flags = durable ? RWF_DSYNC : 0;
	} else {
		io_uring_prep_writev2(sqe, file_data_fd(file, iov, count, offset), iov, count,
				      offset, durable ? RWF_DSYNC : 0);
	}
	io_uring_sqe_set_data(sqe, token);
	return 0;
}

int ring_sync(struct ring *ring, struct file *file, void *token)
{
	struct io_uring_sqe *sqe = get_sqe(ring);

	if (sqe == NULL) {
		return -EBUSY;
	}
	io_uring_prep_fsync(sqe, file->fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, token);
	return 0;
}

void ring_submit(struct ring *ring)
{
	if (ring->event_fd >= 0) {
		arm_wake(ring);
	}
	if (io_uring_sq_ready(&ring->uring)) {
		io_uring_submit(&ring->uring);
	}
}

void ring_wait(struct ring *ring)
{
	arm_wake(ring);
	arm_watch(ring);
	io_uring_submit_and_wait(&ring->uring, 1);
}

void ring_wake(struct ring *ring)
{
	uint64_t one = 1;
	ssize_t n = write(ring->wake_fd, &one, sizeof(one));

	(void)n; /* full means that a wake is pending already */
}

/* The wake or a signal, which have done their work by ending a wait. */
static void take_signal(struct ring *ring, uint64_t data, bool goes_on)
{
	if (!(data & WATCH_BIT)) {
		ring->wake_armed = false;
	} else if (data >> 1 == ring->watch_turn) {
		ring->watch_armed = goes_on;
	}
}

bool ring_next(struct ring *ring, void **token, int *result)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(&ring->uring, &cqe)) {
		uint64_t data = cqe->user_data;
		bool goes_on = cqe->flags & IORING_CQE_F_MORE;

		*token = io_uring_cqe_get_data(cqe);
		*result = cqe->res;
		io_uring_cqe_seen(&ring->uring, cqe);
		if (data && !(data & WATCH_BIT)) {
			return true;
		}
		take_signal(ring, data, goes_on);
	}
	return false;
}
