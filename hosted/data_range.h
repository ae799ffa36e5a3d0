/* What of a file is no hole, range by range. */
#ifndef HOSTED_DATA_RANGE_H
#define HOSTED_DATA_RANGE_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "lib/check.h"

/*
 * The first data at or behind *at, up to `size`: 1, and it lies from *at to *end. 0: there is none;
 * else -errno.
 */
static inline int MUST_CHECK data_range_next(int fd, uint64_t size, uint64_t *at, uint64_t *end)
{
	off_t from = *at < size ? lseek(fd, (off_t)*at, SEEK_DATA) : (off_t)size, to;

	if (from < 0) {
		return errno == ENXIO ? 0 : -errno;
	}
	if ((uint64_t)from >= size) {
		return 0;
	}
	to = lseek(fd, from, SEEK_HOLE);
	if (to < 0) {
		return -errno;
	}
	*at = (uint64_t)from;
	*end = (uint64_t)to < size ? (uint64_t)to : size;
	return 1;
}

#endif
