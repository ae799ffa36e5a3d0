/*
 * See owner.h. The locks are of one open file (F_OFD_SETLK), as those of disks: they are gone with
 * a process that is killed, and file systems that are shared between hosts have them. That of the
 * record is held for a read and a write; that of a byte behind it as long as a target lives.
 */
#include "hosted/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC         "VDowner1"
#define LOCK_EVERY_NS 5000000
#define LOCK_TRIES    2000 /* 10 s */

#define ATTENDED 64   /* the byte whose lock says that there is a target */
#define CLOSED   0x80 /* of what has ended: no migration begins with this file any more */
#define DEPENDS  0x40 /* another file decides */

struct record {
	char magic[8];
	uint8_t token[OWNER_TOKEN_BYTES];
	uint8_t owner;
	uint8_t ended; /* a bit for each that needs it no more, CLOSED */
	uint8_t reserved[6];
};

static int set_lock(int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = sizeof(struct record)};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

static int lock_record(int fd)
{
	static const struct timespec moment = {.tv_nsec = LOCK_EVERY_NS};
	unsigned int tries = LOCK_TRIES;
	int ret = set_lock(fd, F_WRLCK);

	while ((ret == -EAGAIN || ret == -EACCES) && --tries > 0) {
		nanosleep(&moment, NULL);
		ret = set_lock(fd, F_WRLCK);
	}
	return ret;
}

/* What is not all there is none. */
static int read_record(int fd, struct record *record)
{
	ssize_t got = pread(fd, record, sizeof(*record), 0);

	if (got < 0) {
		return -errno;
	}
	return got == (ssize_t)sizeof(*record) &&
			       memcmp(record->magic, MAGIC, sizeof(record->magic)) == 0
		       ? 0
		       : -ESTALE;
}

static int read_ours(int fd, const uint8_t token[OWNER_TOKEN_BYTES], struct record *record)
{
	int ret = read_record(fd, record);

	return ret != 0 ? ret
	       : memcmp(record->token, token, OWNER_TOKEN_BYTES) == 0 &&
			       record->owner <= OWNER_TARGET
		       ? 0
		       : -ESTALE;
}

static int write_bytes(int fd, const void *from, size_t size, off_t at)
{
	ssize_t put = pwrite(fd, from, size, at);

	if (put != (ssize_t)size) {
		return put < 0 ? -errno : -EIO;
	}
	return fdatasync(fd) == 0 ? 0 : -errno;
}

/* Nothing that somebody else keeps there is overwritten. *ended: what is kept of it. */
static int may_begin(int fd, uint8_t *ended)
{
	struct record record;
	struct stat file;

	*ended = 0;
	if (fstat(fd, &file) != 0) {
		return -errno;
	}
	if (!S_ISREG(file.st_mode)) {
		return -EINVAL;
	}
	if (file.st_size == 0) {
		return 0;
	}
	if (file.st_size != (off_t)sizeof(record) || read_record(fd, &record) != 0) {
		return -EINVAL;
	}
	*ended = record.ended;
	return record.ended & CLOSED ? -ESTALE : 0;
}

int owner_begin(int fd, const uint8_t token[OWNER_TOKEN_BYTES])
{
	struct record record = {.magic = MAGIC, .owner = OWNER_NOBODY};
	int ret = lock_record(fd);

	if (ret != 0) {
		return ret;
	}
	memcpy(record.token, token, OWNER_TOKEN_BYTES);
	ret = may_begin(fd, &record.ended);
	if (ret == 0) {
		ret = write_bytes(fd, &record, sizeof(record), 0);
	}
	(void)set_lock(fd, F_UNLCK);
	return ret;
}

int owner_check(int fd, const uint8_t token[OWNER_TOKEN_BYTES])
{
	struct record record;
	int ret = lock_record(fd);

	if (ret == 0) {
		ret = read_ours(fd, token, &record);
		(void)set_lock(fd, F_UNLCK);
	}
	return ret;
}

int owner_ask(int fd, const uint8_t token[OWNER_TOKEN_BYTES], enum owner me, enum owner *whose)
{
	struct record record;
	uint8_t name = (uint8_t)me;
	int ret = lock_record(fd);

	if (ret != 0) {
		return ret;
	}
	ret = read_ours(fd, token, &record);
	if (ret == 0 && record.owner == OWNER_NOBODY) {
		ret = write_bytes(fd, &name, sizeof(name), offsetof(struct record, owner));
		record.owner = name;
	}
	(void)set_lock(fd, F_UNLCK);
	*whose = (enum owner)record.owner;
	return ret;
}

int owner_attend(int fd)
{
	struct flock lock = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = ATTENDED, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

bool owner_is_attended(int fd)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = ATTENDED, .l_len = 1};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The lock is held. One that was never begun is nobody's. */
static int read_any(int fd, struct record *record)
{
	struct stat file;

	if (fstat(fd, &file) != 0) {
		return -errno;
	}
	if (file.st_size == 0) {
		*record = (struct record){.magic = MAGIC};
		return 0;
	}
	return read_record(fd, record) != 0 || record->owner > OWNER_TARGET ? -EINVAL : 0;
}

/* These bits are added to what has ended; `taker`: who has then what is nobody's. Neither: nothing
 * is written. */
static int look_at(int fd, uint8_t ended, enum owner taker, struct record *record)
{
	int ret = lock_record(fd);

	if (ret != 0) {
		return ret;
	}
	ret = read_any(fd, record);
	if (ret == 0 && (ended != 0 || taker != OWNER_NOBODY)) {
		record->ended |= ended;
		record->owner = record->owner == OWNER_NOBODY ? (uint8_t)taker : record->owner;
		ret = write_bytes(fd, record, sizeof(*record), 0);
	}
	(void)set_lock(fd, F_UNLCK);
	return ret;
}

int owner_look(int fd, enum owner *whose)
{
	struct record record;
	int ret = look_at(fd, 0, OWNER_NOBODY, &record);

	*whose = ret == 0 ? (enum owner)record.owner : OWNER_NOBODY;
	return ret;
}

int owner_close(int fd, enum owner *whose)
{
	struct record record;
	int ret = look_at(fd, CLOSED, OWNER_SOURCE, &record);

	*whose = ret == 0 ? (enum owner)record.owner : OWNER_NOBODY;
	return ret;
}

int owner_end(int fd, enum owner me, bool *last)
{
	struct record record;
	int ret = look_at(fd, (uint8_t)(1u << me), OWNER_NOBODY, &record);

	*last = ret == 0 && record.ended & 1u << OWNER_SOURCE && record.ended & 1u << OWNER_TARGET;
	return ret;
}

int owner_depend(int fd, const uint8_t token[OWNER_TOKEN_BYTES])
{
	struct record record;
	int ret = owner_check(fd, token);

	return ret != 0 ? ret : look_at(fd, DEPENDS, OWNER_NOBODY, &record);
}

int owner_tell(int fd, enum owner whose)
{
	struct record record;

	return look_at(fd, 0, whose, &record);
}

int owner_facts(int fd, struct owner_facts *facts)
{
	struct record record;
	int ret = look_at(fd, 0, OWNER_NOBODY, &record);

	*facts = (struct owner_facts){OWNER_NOBODY, false, false};
	if (ret == 0) {
		*facts = (struct owner_facts){(enum owner)record.owner, record.ended & DEPENDS,
					      record.ended & 1u << OWNER_TARGET};
	}
	return ret;
}
