/*
 * What UEFI firmware and a TPM keep, as checkpoints have it. Files as small as these are copied:
 * what a machine's document names stays in its place, and a checkpoint has what was in it then, as
 * checkpoints/ID.variables and ID.tpm. Of one that was not there yet it has none.
 *
 * The way back is in two steps, as that of a state (tree.c): NAME.applied-TOKEN, in the machine's
 * folder, becomes the file if the document that is written in between has the token, and else is
 * deleted. Empty: there was no file.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hosted/member.h"
#include "hosted/say.h"
#include "service/service.h"

#define LOOKS          100 /* how long what has ended may have a file yet */
#define LOOK_EVERY_NS  50000000
#define COPY_AT_ONCE   (1 << 24)
#define STAGED_BETWEEN ".applied-"

static const struct {
	const char *member, *name, *exported;
} files[] = {
	{"firmware-variables", "variables", "firmware.variables"},
	{"tpm", "tpm", "tpm"},
};

static bool fail(const char *what, int error)
{
	say("%s: %s", what, strerror(error));
	return false;
}

static void kept_path(char path[PATH_MAX], const char *id, size_t which)
{
	snprintf(path, PATH_MAX, TREE_FOLDER "/%s.%s", id, files[which].name);
}

static void staged_path(char path[PATH_MAX], const char *token, size_t which)
{
	snprintf(path, PATH_MAX, "%s" STAGED_BETWEEN "%s", files[which].name, token);
}

static int copy_bytes(int to, int from)
{
	ssize_t done;

	while ((done = sendfile(to, from, NULL, COPY_AT_ONCE)) > 0) {
	}
	return done == 0 && fsync(to) == 0 ? 0 : -errno;
}

bool firmware_files_copy(const char *from, const char *to)
{
	int source = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), copy, ret;
	struct stat file;

	if (source < 0) {
		return fail(from, errno);
	}
	if (fstat(source, &file) != 0 || !S_ISREG(file.st_mode)) {
		close(source);
		return fail(from, EINVAL);
	}
	copy = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ret = copy >= 0 ? copy_bytes(copy, source) : -errno;
	if (copy >= 0) {
		close(copy);
		if (ret != 0) {
			(void)unlink(to);
		}
	}
	close(source);
	return ret == 0 || fail(to, -ret);
}

static bool is_there(const char *path)
{
	struct stat file;

	return stat(path, &file) == 0;
}

/* A worker that has ended, or its swtpm, may take a moment to be gone. False: said why. */
static bool wait_until_free(const char *path)
{
	static const struct timespec moment = {.tv_nsec = LOOK_EVERY_NS};
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	unsigned int looks;
	bool is_free = true;

	for (looks = 0; fd >= 0 && looks < LOOKS; looks++) {
		lock.l_type = F_WRLCK;
		is_free = fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK;
		if (is_free) {
			break;
		}
		nanosleep(&moment, NULL);
	}
	if (fd >= 0) {
		close(fd);
	}
	if (!is_free) {
		say("%s: another machine has it", path);
	}
	return is_free;
}

static bool sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;
	int error = errno;

	if (fd >= 0) {
		close(fd);
	}
	return synced || fail(path, error);
}

bool firmware_files_take(const json_t *document, const char *id, bool alive)
{
	char to[PATH_MAX];
	bool any = false;
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		const char *file = member_text(document, files[i].member);

		kept_path(to, id, i);
		(void)unlink(to); /* of one that was cut */
		if (file[0] == '\0' || !is_there(file)) {
			continue;
		}
		if ((!alive && !wait_until_free(file)) || !firmware_files_copy(file, to)) {
			return false;
		}
		any = true;
	}
	return !any || sync_folder(TREE_FOLDER);
}

void firmware_files_drop(const char *id)
{
	char path[PATH_MAX];
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		kept_path(path, id, i);
		(void)unlink(path);
	}
}

static bool stage_empty(const char *to)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		return fail(to, errno);
	}
	close(fd);
	return true;
}

bool firmware_files_stage(const json_t *document, const char *id, const char *token)
{
	char from[PATH_MAX], to[PATH_MAX];
	bool staged = true;
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files) && staged; i++) {
		const char *file = member_text(document, files[i].member);

		if (file[0] == '\0') {
			continue;
		}
		kept_path(from, id, i);
		staged_path(to, token, i);
		staged = wait_until_free(file) &&
			 (is_there(from) ? firmware_files_copy(from, to) : stage_empty(to));
	}
	if (!staged) {
		firmware_files_unstage(token);
	}
	return staged;
}

void firmware_files_unstage(const char *token)
{
	char path[PATH_MAX];
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		staged_path(path, token, i);
		(void)unlink(path);
	}
}

/* Which of the files it is to become, and *token; ARRAY_COUNT(files): none. */
static size_t find_staged(const char *name, const char **token)
{
	size_t i, length;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		length = strlen(files[i].name);
		if (strncmp(name, files[i].name, length) == 0 &&
		    strncmp(name + length, STAGED_BETWEEN, sizeof(STAGED_BETWEEN) - 1) == 0) {
			*token = name + length + sizeof(STAGED_BETWEEN) - 1;
			break;
		}
	}
	return i;
}

bool firmware_files_is_staged(const char *name)
{
	const char *token;

	return find_staged(name, &token) < ARRAY_COUNT(files);
}

/* Also to another file system. */
static bool move(const char *from, const char *to)
{
	char beside[PATH_MAX];

	if (rename(from, to) == 0) {
		return true;
	}
	if (errno != EXDEV) {
		return fail(to, errno);
	}
	if (snprintf(beside, sizeof(beside), "%s.new", to) >= (int)sizeof(beside)) {
		return fail(to, ENAMETOOLONG);
	}
	(void)unlink(beside);
	if (!firmware_files_copy(from, beside)) {
		return false;
	}
	if (rename(beside, to) != 0) {
		(void)fail(to, errno);
		(void)unlink(beside);
		return false;
	}
	(void)unlink(from);
	return true;
}

bool firmware_files_settle(const char *name, const json_t *machine)
{
	const char *token, *file;
	size_t which = find_staged(name, &token);
	struct stat staged;

	if (which == ARRAY_COUNT(files) || stat(name, &staged) != 0) {
		return true;
	}
	file = member_text(machine, files[which].member);
	if (file[0] == '\0' ||
	    strcmp(member_text(json_object_get(machine, "checkpoint"), "token"), token) != 0) {
		(void)unlink(name);
		return true;
	}
	if (staged.st_size != 0) {
		return move(name, file);
	}
	if (unlink(file) != 0 && errno != ENOENT) {
		return fail(file, errno);
	}
	(void)unlink(name);
	return true;
}

bool firmware_files_settle_all(const char *token, const json_t *machine)
{
	char path[PATH_MAX];
	bool settled = true;
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		staged_path(path, token, i);
		settled &= firmware_files_settle(path, machine);
	}
	return settled;
}

bool firmware_files_export(json_t *document, const char *id, const char *folder)
{
	char from[PATH_MAX], to[PATH_MAX];
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		if (member_text(document, files[i].member)[0] == '\0') {
			continue;
		}
		json_object_set_new(document, files[i].member, json_string(files[i].exported));
		kept_path(from, id, i);
		if (snprintf(to, sizeof(to), "%s/%s", folder, files[i].exported) >=
		    (int)sizeof(to)) {
			return fail(folder, ENAMETOOLONG);
		}
		if (is_there(from) && !firmware_files_copy(from, to)) {
			return false;
		}
	}
	return true;
}

void firmware_files_delete(int folder, const json_t *document)
{
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		const char *file = member_text(document, files[i].member);

		if (file[0] != '\0' && strchr(file, '/') == NULL) {
			(void)unlinkat(folder, file, 0);
		}
	}
}

const char *firmware_files_elsewhere(const json_t *document)
{
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		if (strchr(member_text(document, files[i].member), '/') != NULL) {
			return files[i].member;
		}
	}
	return NULL;
}

const char *firmware_files_differ(const json_t *document, const json_t *config)
{
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		if (strcmp(member_text(document, files[i].member),
			   member_text(config, files[i].member)) != 0) {
			return files[i].member;
		}
	}
	return NULL;
}

const char *firmware_files_left(const struct machine *machine, const json_t *document)
{
	char path[PATH_MAX];
	size_t i;

	for (i = 0; i < ARRAY_COUNT(files); i++) {
		const char *file = member_text(document, files[i].member);

		if (file[0] != '\0' && machine_path(machine, file, path) && is_there(path)) {
			return file;
		}
	}
	return NULL;
}
