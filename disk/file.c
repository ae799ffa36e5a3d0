/*
 * A host file. Every system call on a disk's file outside the ring is here.
 *
 * Locks: open-file-description locks on the bytes that QEMU's tools use (block/file-posix: one byte
 * per permission), so that they and this library refuse each other's files. Held bytes: 100 + p for
 * a permission that the holder uses, 200 + p for one that it does not share. p: 0 consistent read,
 * 1 write, 3 resize.
 */
#include "disk/file.h"

#include "disk/chain.h"
#include "disk/error.h"
#include "disk/units.h"
#include "lib/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_USED = 100, LOCK_UNSHARED = 200, PERM_READ = 0, PERM_WRITE = 1, PERM_RESIZE = 3 };

/* What is neither a file nor a block device is refused by its kind. */
static int refuse_kind(const char *path, mode_t mode, struct disk_error *error)
{
	const char *kind = S_ISDIR(mode)    ? "a folder"
			   : S_ISCHR(mode)  ? "a character device"
			   : S_ISFIFO(mode) ? "a pipe"
			   : S_ISSOCK(mode) ? "a socket"
					    : NULL;

	return S_ISREG(mode) || S_ISBLK(mode)
		       ? 0
		       : error_set(error, -EINVAL,
				   "%s: %s cannot be a disk; give a file or a block device", path,
				   kind != NULL ? kind : "an object without data");
}

static int measure(struct file *file, struct disk_error *error)
{
	struct stat st;
	int ret;

	if (fstat(file->fd, &st)) {
		ret = -errno;
		return error_set(error, ret, "%s: %s", file->path, strerror(-ret));
	}
	ret = refuse_kind(file->path, st.st_mode, error);
	if (ret) {
		return ret;
	}
	if (S_ISBLK(st.st_mode)) {
		uint64_t bytes;

		if (ioctl(file->fd, BLKGETSIZE64, &bytes)) {
			ret = -errno;
			return error_set(error, ret, "%s: cannot get the device's size: %s",
					 file->path, strerror(-ret));
		}
		file->size = bytes;
		file->is_device = true;
		return 0;
	}
	file->size = (uint64_t)st.st_size;
	return 0;
}

int file_adopt(struct file *file, int fd, const char *path, bool writable, struct disk_error *error)
{
	int ret;

	*file = (struct file){
		.fd = fd, .direct_fd = -1, .writable = writable, .path = strdup(path)};
	if (file->path == NULL) {
		return error_set(error, -ENOMEM, "%s: out of memory", path);
	}
	ret = measure(file, error);
	if (ret) {
		free(file->path);
		file->path = NULL;
		file->fd = -1;
	}
	return ret;
}

bool file_is(const struct file *file, int fd)
{
	struct stat mine, other;

	return !fstat(file->fd, &mine) && !fstat(fd, &other) && mine.st_dev == other.st_dev &&
	       mine.st_ino == other.st_ino;
}

static const char *remedy(int ret, bool writable)
{
	return ret == -EEXIST ? "; give another name, or --force to replace it"
	       : writable && (ret == -EACCES || ret == -EROFS) ? "; try to open it read-only"
							       : "";
}

/*
 * Opening a device may do something, and opening a pipe waits: their kind is looked at before. What
 * takes the name's place in between is not waited for, and refused by its descriptor. Returns that.
 */
static int open_path(const char *path, int flags, struct disk_error *error)
{
	struct stat st;
	int ret = !stat(path, &st) ? refuse_kind(path, st.st_mode, error) : 0, fd;

	if (ret) {
		return ret;
	}
	fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0666);
	if (fd < 0 || fcntl(fd, F_SETFL, 0)) {
		ret = -errno;
		if (fd >= 0) {
			close(fd);
		}
		return error_set(error, ret, "%s: %s%s", path, strerror(-ret),
				 remedy(ret, flags & O_RDWR));
	}
	return fd;
}

int file_open(struct file *file, const char *path, bool writable, struct disk_error *error)
{
	int fd = open_path(path, writable ? O_RDWR : O_RDONLY, error), ret;

	ret = fd < 0 ? fd : file_adopt(file, fd, path, writable, error);
	if (ret && fd >= 0) {
		close(fd);
	}
	return ret;
}

/* Before this had the lock, who had it may have given the file its final name. */
static int check_name(const struct file *file, struct disk_error *error)
{
	struct stat named, own;

	return !lstat(file->path, &named) && !fstat(file->fd, &own) && named.st_dev == own.st_dev &&
			       named.st_ino == own.st_ino
		       ? 0
		       : error_set(error, -EBUSY, "%s: another process is making it", file->path);
}

/* What is there stays untouched if it is in use. A block device's content stays, too. */
int file_create(struct file *file, const char *path, bool replace, bool lock,
		struct disk_error *error)
{
	int fd = open_path(path, O_RDWR | O_CREAT | O_NOFOLLOW | (replace ? 0 : O_EXCL), error),
	    ret;

	ret = fd < 0 ? fd : file_adopt(file, fd, path, true, error);
	if (ret) {
		if (fd >= 0) {
			close(fd);
		}
		return ret;
	}
	ret = lock ? file_lock(file, true, error) : 0;
	ret = ret ? ret : check_name(file, error);
	if (!ret && !file->is_device) {
		ret = file_truncate(file, 0);
		if (ret) {
			error_set(error, ret, "%s: cannot empty the file: %s", path,
				  strerror(-ret));
		}
	}
	if (ret) {
		file_close(file);
	}
	return ret;
}

int file_take_owner(struct file *file, const char *from, struct disk_error *error)
{
	struct stat st, own;
	int ret = 0;

	/* Some file systems have but one owner and one mode, and let nobody set them. */
	if (stat(from, &st) || (!fstat(file->fd, &own) && own.st_uid == st.st_uid &&
				own.st_gid == st.st_gid && own.st_mode == st.st_mode)) {
		return 0;
	}
	/* Where its owner cannot be had, who may read it stays as narrow all the same. */
	if (fchmod(file->fd, 0600) || (fchown(file->fd, st.st_uid, st.st_gid) && errno != EPERM) ||
	    fchmod(file->fd, st.st_mode & 0777)) {
		ret = -errno;
		error_set(error, ret, "%s: %s", file->path, strerror(-ret));
	}
	return ret;
}

static int replace_file(const char *from, const char *to, bool lock, struct disk_error *error)
{
	struct file old;
	int ret = file_open(&old, to, true, error);

	if (ret) {
		return ret;
	}
	ret = lock ? file_lock(&old, true, error) : 0;
	if (!ret && rename(from, to)) {
		ret = -errno;
		error_set(error, ret, "%s: %s", to, strerror(-ret));
	}
	file_close(&old);
	return ret;
}

int file_rename(const char *from, const char *to, bool replace, bool lock, struct disk_error *error)
{
	int ret = 0;

	if (replace && file_exists(to)) {
		ret = replace_file(from, to, lock, error);
	} else if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE)) {
		ret = -errno;
		if (ret == -EINVAL) { /* a file system that cannot */
			ret = file_exists(to) ? -EEXIST : rename(from, to) ? -errno : 0;
		}
		ret = ret ? error_set(error, ret, "%s: %s%s", to, strerror(-ret),
				      remedy(ret, false))
			  : 0;
	}
	if (!ret) {
		ret = file_sync_folder(to);
		ret = ret ? error_set(error, ret, "%s: its folder: %s", to, strerror(-ret)) : 0;
	}
	return ret;
}

void file_close(struct file *file)
{
	if (file->fd >= 0) {
		close(file->fd);
	}
	if (file->direct_fd >= 0) {
		close(file->direct_fd);
	}
	free(file->path);
	file->fd = file->direct_fd = -1;
	file->path = NULL;
}

/* A second opening of the same file, by its descriptor: the path may be out of reach. */
int file_open_direct(struct file *file, struct disk_error *error)
{
	struct statx st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	file->direct_fd = open(path, (file->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_DIRECT);
	if (file->direct_fd < 0) {
		int ret = -errno;

		return error_set(error, ret, "%s: cannot be opened past the page cache: %s",
				 file->path, strerror(-ret));
	}
	file->direct_align = 4096;
#ifdef STATX_DIOALIGN
	if (!statx(file->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) &&
	    (st.stx_mask & STATX_DIOALIGN) && st.stx_dio_offset_align) {
		file->direct_align =
			(unsigned)max_u64(st.stx_dio_mem_align, st.stx_dio_offset_align);
	}
#else
	(void)st;
#endif
	return 0;
}

int file_data_fd(const struct file *file, const struct iovec *iov, unsigned count, uint64_t offset)
{
	uint64_t bits = offset;
	unsigned i;

	if (file->direct_fd < 0) {
		return file->fd;
	}
	for (i = 0; i < count; i++) {
		bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
	}
	return bits % file->direct_align ? file->fd : file->direct_fd;
}

static int lock_byte(int fd, off_t byte, bool lock)
{
	struct flock fl = {.l_type = lock ? F_RDLCK : F_UNLCK,
			   .l_whence = SEEK_SET,
			   .l_start = byte,
			   .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &fl) ? -errno : 0;
}

static bool byte_is_held(int fd, off_t byte)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return !fcntl(fd, F_OFD_GETLK, &fl) && fl.l_type != F_UNLCK;
}

int file_lock(struct file *file, bool writable, struct disk_error *error)
{
	static const off_t reader[] = {LOCK_USED + PERM_READ, LOCK_UNSHARED + PERM_WRITE,
				       LOCK_UNSHARED + PERM_RESIZE};
	static const off_t writer[] = {LOCK_USED + PERM_READ, LOCK_USED + PERM_WRITE,
				       LOCK_USED + PERM_RESIZE, LOCK_UNSHARED + PERM_WRITE,
				       LOCK_UNSHARED + PERM_RESIZE};
	static const off_t reader_foes[] = {LOCK_USED + PERM_WRITE, LOCK_USED + PERM_RESIZE,
					    LOCK_UNSHARED + PERM_READ};
	static const off_t writer_foes[] = {LOCK_USED + PERM_WRITE, LOCK_USED + PERM_RESIZE,
					    LOCK_UNSHARED + PERM_READ, LOCK_UNSHARED + PERM_WRITE,
					    LOCK_UNSHARED + PERM_RESIZE};
	const off_t *mine = writable ? writer : reader,
		    *foes = writable ? writer_foes : reader_foes;
	unsigned count = writable ? DISK_COUNT(writer) : DISK_COUNT(reader);
	unsigned foe_count = writable ? DISK_COUNT(writer_foes) : DISK_COUNT(reader_foes), i;
	int ret = 0;

	for (i = 0; i < count && !ret; i++) {
		ret = lock_byte(file->fd, mine[i], true);
	}
	if (ret && ret != -EAGAIN && ret != -EACCES) {
		return error_set(
			error, ret,
			"%s: this file system has no locks: %s; --no-lock opens it all the same",
			file->path, strerror(-ret));
	}
	for (i = 0; i < foe_count && !ret; i++) {
		ret = byte_is_held(file->fd, foes[i]) ? -EAGAIN : 0;
	}
	if (!ret) {
		return 0;
	}
	file_unlock(file);
	return error_set(error, -EBUSY, "%s: in use by another process%s; stop it first",
			 file->path, writable ? "" : " that writes to it");
}

void file_unlock(struct file *file)
{
	static const off_t bytes[] = {LOCK_USED + PERM_READ, LOCK_USED + PERM_WRITE,
				      LOCK_USED + PERM_RESIZE, LOCK_UNSHARED + PERM_WRITE,
				      LOCK_UNSHARED + PERM_RESIZE};
	unsigned i;

	for (i = 0; i < DISK_COUNT(bytes); i++) {
		lock_byte(file->fd, bytes[i], false);
	}
}

void file_lock_share(struct file *file)
{
	lock_byte(file->fd, LOCK_USED + PERM_WRITE, false);
	lock_byte(file->fd, LOCK_USED + PERM_RESIZE, false);
}

int file_read(struct file *file, void *buffer, size_t length, uint64_t offset)
{
	uint8_t *p = buffer;

	while (length) {
		ssize_t n = pread(file->fd, p, length, (off_t)offset);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return n ? -errno : -ENODATA;
		}
		p += n;
		offset += (uint64_t)n;
		length -= (size_t)n;
	}
	return 0;
}

int file_write(struct file *file, const void *buffer, size_t length, uint64_t offset)
{
	struct iovec iov = {.iov_base = (void *)buffer, .iov_len = length};

	return file_writev(file, &iov, 1, offset);
}

#define CHUNK_IOVS 64

/*
 * Moves the whole of iov, in pieces, since the kernel may move less than asked. 1: the file ended
 * at *moved.
 */
static int move_all(int fd, const struct iovec *iov, unsigned count, uint64_t offset, bool write,
		    uint64_t *moved)
{
	struct iovec piece[CHUNK_IOVS];
	uint64_t total = 0;
	unsigned i, n;

	for (i = 0; i < count; i++) {
		total += iov[i].iov_len;
	}
	for (*moved = 0; *moved < total;) {
		uint64_t want =
			iov_slice(iov, count, *moved, total - *moved, piece, CHUNK_IOVS, &n);
		ssize_t got;

		if (want > DISK_GIB) {
			want = iov_slice(iov, count, *moved, DISK_GIB, piece, CHUNK_IOVS, &n);
		}
		got = write ? pwritev(fd, piece, (int)n, (off_t)(offset + *moved))
			    : preadv(fd, piece, (int)n, (off_t)(offset + *moved));
		if (got < 0 && errno != EINTR) {
			return -errno;
		}
		if (got == 0) {
			return write ? -EIO : 1;
		}
		*moved += got > 0 ? (uint64_t)got : 0;
	}
	return 0;
}

int file_readv(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset)
{
	uint64_t moved, skip;
	unsigned i;
	int ret = move_all(file->fd, iov, count, offset, false, &moved);

	if (ret != 1) {
		return ret;
	}
	for (i = 0, skip = moved; i < count; i++) {
		if (skip < iov[i].iov_len) {
			memset((uint8_t *)iov[i].iov_base + skip, 0, iov[i].iov_len - skip);
		}
		skip -= min_u64(skip, iov[i].iov_len);
	}
	return 0;
}

int file_writev(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset)
{
	uint64_t moved;

	return move_all(file->fd, iov, count, offset, true, &moved);
}

int file_sync(struct file *file)
{
	return fdatasync(file->fd) ? -errno : 0;
}

int file_truncate(struct file *file, uint64_t size)
{
	if (ftruncate(file->fd, (off_t)size)) {
		return -errno;
	}
	file->size = size;
	return 0;
}

static int write_zeros(struct file *file, uint64_t offset, uint64_t length)
{
	static const uint8_t zeros[65536] IN_BSS;
	int ret = 0;

	while (length && !ret) {
		size_t n = (size_t)min_u64(length, sizeof(zeros));

		ret = file_write(file, zeros, n, offset);
		offset += n;
		length -= n;
	}
	return ret;
}

int file_zero(struct file *file, uint64_t offset, uint64_t length, bool keep)
{
	int mode = keep ? FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE
			: FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	if (offset >= file->size) {
		return 0;
	}
	length = min_u64(length, file->size - offset);
	if (!fallocate(file->fd, mode, (off_t)offset, (off_t)length)) {
		return 0;
	}
	return errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL
		       ? write_zeros(file, offset, length)
		       : -errno;
}

int file_allocate(struct file *file, uint64_t offset, uint64_t length)
{
	int ret = fallocate(file->fd, 0, (off_t)offset, (off_t)length) ? -errno : 0;

	if (ret == -EOPNOTSUPP) {
		ret = file_truncate(file, max_u64(file->size, offset + length));
	}
	if (!ret) {
		file->size = max_u64(file->size, offset + length);
	}
	return ret;
}

void file_next_data(struct file *file, uint64_t offset, uint64_t *start, uint64_t *end)
{
	off_t data = lseek(file->fd, (off_t)offset, SEEK_DATA), hole;

	if (data < 0) {
		bool none = errno == ENXIO;

		*start = none ? UINT64_MAX : offset;
		*end = UINT64_MAX;
		return;
	}
	hole = lseek(file->fd, data, SEEK_HOLE);
	*start = (uint64_t)data;
	*end = hole < 0 ? UINT64_MAX : (uint64_t)hole;
}

uint64_t file_allocated(struct file *file)
{
	struct stat st;

	return fstat(file->fd, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

uint64_t file_time(struct file *file)
{
	struct stat st;

	return fstat(file->fd, &st) ? 0 : (uint64_t)st.st_mtime;
}

int file_unlink(const char *path)
{
	return unlink(path) ? -errno : 0;
}

int file_sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, ret = 0;

	if (folder == NULL) {
		return -ENOMEM;
	}
	if (fd < 0 || (fsync(fd) && errno != EINVAL)) { /* EINVAL: has no such thing */
		ret = -errno;
	}
	if (fd >= 0) {
		close(fd);
	}
	free(folder);
	return ret;
}

bool file_is_device(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode);
}

bool file_exists(const char *path)
{
	return !access(path, F_OK);
}

char *file_resolve(const char *path)
{
	return realpath(path, NULL);
}
