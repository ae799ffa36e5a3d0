/*
 * file.c: a host file. The simulated disk of the tests has the same names. Results are 0 or a
 * negative errno; what takes a struct disk_error fills it.
 */
#ifndef DISK_FILE_H
#define DISK_FILE_H

#include "disk/disk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct file {
	int fd;
	int direct_fd;         /* -1, or the same file past the page cache, for the ring */
	unsigned direct_align; /* what that wants of memory, offsets and lengths */
	bool writable;
	bool is_device; /* its size is given, and it does not start as zeros */
	char *path;
	uint64_t size; /* [L] of its layer, once open */
};

int file_open(struct file *file, const char *path, bool writable, struct disk_error *error);
int file_adopt(struct file *file, int fd, const char *path, bool writable,
	       struct disk_error *error);
int file_create(struct file *file, const char *path, bool replace, bool lock,
		struct disk_error *error);
void file_close(struct file *file);
/* It is the same file. */
bool file_is(const struct file *file, int fd);
int file_open_direct(struct file *file, struct disk_error *error);
/* The descriptor for this data: the direct one where everything is aligned for it. */
int file_data_fd(const struct file *file, const struct iovec *iov, unsigned count, uint64_t offset);
/*
 * Refuses (-EBUSY) when somebody writes, or, for a writer, uses the file. Understood by QEMU's
 * tools.
 */
int file_lock(struct file *file, bool writable, struct disk_error *error);
void file_unlock(struct file *file);
/* A writer's lock becomes a reader's. */
void file_lock_share(struct file *file);
int file_read(struct file *file, void *buffer, size_t length,
	      uint64_t offset); /* -ENODATA past the end */
int file_write(struct file *file, const void *buffer, size_t length, uint64_t offset);
/* Data: whatever lies past the end of the file reads as zeros. The iovec is not changed. */
int file_readv(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset);
int file_writev(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset);
int file_sync(struct file *file);
int file_truncate(struct file *file, uint64_t size);
/*
 * Make a range read as zeros; keep: leave it allocated on the host. Never changes the file's size.
 */
int file_zero(struct file *file, uint64_t offset, uint64_t length, bool keep);
int file_allocate(struct file *file, uint64_t offset, uint64_t length);
/*
 * Where data begins and ends at or after offset; the whole rest where the host cannot tell. May
 * cost as much as the data is long.
 */
void file_next_data(struct file *file, uint64_t offset, uint64_t *start, uint64_t *end);
uint64_t file_allocated(struct file *file);
uint64_t file_time(struct file *file); /* of its last change, seconds since 1970 */
int file_unlink(const char *path);
/* Durable. The new name is free, or with replace a file nobody uses: -EEXIST, -EBUSY. */
int file_rename(const char *from, const char *to, bool replace, bool lock,
		struct disk_error *error);
bool file_is_device(const char *path);
/* A file that is going to replace another belongs to the same, from its first byte on. */
int file_take_owner(struct file *file, const char *from, struct disk_error *error);
int file_sync_folder(const char *path); /* that this name is in it, or is not, is durable */
bool file_exists(const char *path);
/* The name's absolute form without links, malloc'ed; NULL when there is no such file. */
char *file_resolve(const char *path);

#endif
