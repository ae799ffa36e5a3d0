/*
 * Bytes through a descriptor that may take or give a part of them at a time. All of them: 0, or a
 * negative errno, -EPIPE at its end; nobody knows how many it were then.
 */
#ifndef HOSTED_WHOLE_H
#define HOSTED_WHOLE_H

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

/* A call for the rest has answered `count`. */
static inline int whole_part(ssize_t count, size_t *done)
{
	if (count > 0) {
		*done += (size_t)count;
		return 0;
	}
	return count == 0 ? -EPIPE : errno == EINTR ? 0 : -errno;
}

static inline int whole_write(int fd, const void *bytes, size_t length)
{
	size_t done = 0;
	int ret = 0;

	while (done < length && ret == 0) {
		ret = whole_part(write(fd, (const char *)bytes + done, length - done), &done);
	}
	return ret;
}

/* To a socket, without SIGPIPE. */
static inline int whole_send(int fd, const void *bytes, size_t length)
{
	size_t done = 0;
	int ret = 0;

	while (done < length && ret == 0) {
		ret = whole_part(send(fd, (const char *)bytes + done, length - done, MSG_NOSIGNAL),
				 &done);
	}
	return ret;
}

static inline int whole_read(int fd, void *bytes, size_t length)
{
	size_t done = 0;
	int ret = 0;

	while (done < length && ret == 0) {
		ret = whole_part(read(fd, (char *)bytes + done, length - done), &done);
	}
	return ret;
}

#endif
