/* Where the data of files lies, whether there is room for one, whether two are one. */
#ifndef HOSTED_FILE_H
#define HOSTED_FILE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/check.h"

#define FILE_SPARE (16u << 20) /* bytes that are left to the host */

/*
 * The first data of a file at or behind *at, up to `size`, which is no hole: 1, and it lies from
 * *at to *end. 0: there is none; else -errno.
 */
static inline int MUST_CHECK file_next_data(int fd, uint64_t size, uint64_t *at, uint64_t *end)
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

/* So many bytes more, and what is left to the host; true as well where nobody can say. */
static inline bool file_has_room(const char *folder, uint64_t bytes)
{
	struct statvfs space;

	return statvfs(folder, &space) != 0 ||
	       bytes + FILE_SPARE <= (uint64_t)space.f_bavail * space.f_frsize;
}

/* By whatever names. */
static inline bool file_is_same(const struct stat *one, const struct stat *other)
{
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

#endif
