/* Lists of pieces of memory. */
#ifndef HOSTED_IOV_H
#define HOSTED_IOV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Adds a piece to a list of *count entries, joined with the last one if it follows it. False: it
 * would be more than `max`. */
static inline bool iov_add(struct iovec *iov, unsigned int max, unsigned int *count, void *at,
			   uint32_t bytes)
{
	struct iovec *last = iov + *count - 1;

	if (*count > 0 && (uint8_t *)last->iov_base + last->iov_len == at) {
		last->iov_len += bytes;
		return true;
	}
	if (*count == max) {
		return false;
	}
	iov[(*count)++] = (struct iovec){.iov_base = at, .iov_len = bytes};
	return true;
}

#endif
