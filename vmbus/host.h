/*
 * What the home of the VMBus server supplies: the worker, or a test. The linker chooses it.
 *
 * The server is one of one guest. Functions marked [C] are only called on the control thread, the
 * one that calls vmbus_serve(); those marked [T] on any thread, several at once. None may call back
 * into the server, except vmbus_message() and vmbus_room().
 */
#ifndef VMBUS_HOST_H
#define VMBUS_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/check.h"

struct vmbus_host; /* the home's own; the server only hands it back */

/*
 * Guest memory, as guests name it: the numbers of its pages, which may be any, an offset into the
 * first of them, below VMBUS_PAGE_SIZE, and a length, at least 1.
 *
 * [T] Acquires it: where it is in this process, neighbours joined, until it is completed. The
 * number of entries of `iov` in use; -EFAULT: not all of it is RAM that is there; -E2BIG: `max`
 * entries are too few.
 */
int vmbus_host_acquire(struct vmbus_host *host, const uint64_t *pages, uint32_t offset,
		       uint32_t length, struct iovec *iov, unsigned int max) MUST_CHECK;
/* [T] It is not used any more. The first `written` bytes of it may have been written. */
void vmbus_host_complete(struct vmbus_host *host, const uint64_t *pages, uint32_t offset,
			 uint32_t length, uint32_t written);
/* [T] Part of what is acquired was written, and is kept. `offset` may be any within it, from the
 * first page on. */
void vmbus_host_wrote(struct vmbus_host *host, const uint64_t *pages, uint32_t offset,
		      uint32_t length);
/*
 * [T] Where it is written whether anybody wants to know what is written; while it is false,
 * vmbus_host_wrote() need not be called. The same place as long as the server lives.
 */
const _Atomic bool *vmbus_host_log_is_kept(struct vmbus_host *host);

/*
 * [C] A SynIC message of type VMBUS_MESSAGE_TYPE for SINT VMBUS_MESSAGE_SINT of a VP. `vp` is the
 * guest's number. `size` is at most VMBUS_MESSAGE_MAX.
 *   0        it is in the slot, or the hypervisor has queued it
 *   -EAGAIN  no room now. The server keeps it. The home calls vmbus_room() when the slot may be
 *            free again, or a moment later if it cannot know
 *   other    there is no such VP, or it has no SynIC: the message is lost
 */
int vmbus_host_post(struct vmbus_host *host, uint32_t vp, const void *payload,
		    size_t size) MUST_CHECK;

/*
 * [T] Sets event flag `flag` of SINT VMBUS_MESSAGE_SINT of a VP, with the interrupt that follows
 * from it. `vp` is the guest's number; nothing happens if there is none such, or it has no SynIC.
 */
void vmbus_host_signal(struct vmbus_host *host, uint32_t vp, uint32_t flag);

/*
 * [C] From now on the guest's HvSignalEvent on this connection, with flag number 0, writes 1 to
 * `event`, an eventfd of the server's. -errno: the guest's open is refused. The number is the
 * server's choice, unique while connected: relid | VMBUS_MESSAGE_SINT << 12, or
 * VMBUS_EVENT_CONNECTION_ID.
 */
int vmbus_host_connect(struct vmbus_host *host, uint32_t connection_id, int event) MUST_CHECK;
/* [C] No longer. When this has returned nothing writes to the eventfd, and the server closes it. */
void vmbus_host_disconnect(struct vmbus_host *host, uint32_t connection_id);

/* [T] A line about the guest, without a newline. The server sees to it that a guest cannot flood
 * it. */
void vmbus_host_log(struct vmbus_host *host, const char *line);

#endif
