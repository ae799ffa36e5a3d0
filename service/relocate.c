/*
 * A machine's files of disks, with those of its checkpoints, go to another folder of this host: of
 * a machine that is off, by the process that has its tree (tree.c). disks.moving says what is under
 * way: from where to where, and what is whole.
 *
 *   disks.moving -> copies, NEW.moving-TOKEN, each with the name NEW as well when it is whole -> their parents are the copies -> disks.moving: "copied"
 *     -> the documents name the copies -> the old files are deleted -> disks.moving is deleted
 *
 * What decides is "copied". A process that is cut before it has the copies deleted by the next one
 * (relocate_mend), behind it that one goes on. An old file and its copy read the same, and each
 * lies over what it lay over; so in between a document may name either.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/disk.h"
#include "hosted/file.h"
#include "hosted/member.h"
#include "hosted/say.h"
#include "service/service.h"

#define PIECE (1 << 20)

static bool fail(const char *what, int error)
{
	say("%s: %s%s", what, strerror(error),
	    error == ENOSPC || error == EDQUOT ? "; make room there" : "");
	return false;
}

/* ---- Which files, and where they go ---- */

struct plan {
	const char *to;
	bool is_home;  /* the machine's own folder, in which names need no path */
	json_t *files; /* {old: new}, names as documents have them */
};

/* By what it is, whatever its name. NULL: none of ours. */
static const char *find_moved(json_t *files, const char *path)
{
	struct stat wanted, file;
	const char *old;
	json_t *new;

	if (stat(path, &wanted) != 0) {
		return NULL;
	}
	json_object_foreach(files, old, new)
	{
		if (stat(old, &file) == 0 && file_is_same(&file, &wanted)) {
			return json_string_value(new);
		}
	}
	return NULL;
}

static bool lies_in(const char *path, const char *folder)
{
	char at[PATH_MAX], *slash;
	struct stat here, there;

	snprintf(at, sizeof(at), "%s", path);
	slash = strrchr(at, '/');
	if (slash != NULL) {
		*slash = '\0';
	}
	return stat(slash == NULL   ? "."
		    : at[0] == '\0' ? "/"
				    : at,
		    &here) == 0 &&
	       stat(folder, &there) == 0 && file_is_same(&here, &there);
}

static bool add(struct plan *plan, const char *old)
{
	const char *slash = strrchr(old, '/'), *base = slash != NULL ? slash + 1 : old, *other;
	char path[PATH_MAX], *new = path;
	json_t *taken;

	if (json_object_get(plan->files, old) != NULL || lies_in(old, plan->to)) {
		return true;
	}
	if (snprintf(path, sizeof(path), "%s/%s", plan->to, base) >= (int)sizeof(path) - 20) {
		return fail(old, ENAMETOOLONG);
	}
	if (plan->is_home) {
		new += strlen(plan->to) + 1;
	}
	json_object_foreach(plan->files, other, taken)
	{
		if (strcmp(json_string_value(taken), new) == 0) {
			say("%s, %s: two files of one name cannot go to one folder; rename one of "
			    "them",
			    other, old);
			return false;
		}
	}
	if (access(new, F_OK) == 0) {
		say("%s: there is such a file already; move it away, or give another folder", new);
		return false;
	}
	json_object_set_new(plan->files, old, json_string(new));
	return true;
}

static bool add_document(struct plan *plan, const json_t *document)
{
	json_t *over = json_object_get(json_object_get(document, "checkpoint"), "over"), *parent;
	const json_t *disk;
	const char *child;
	bool good = true;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		if (!good || !tree_is_written(disk)) {
			continue;
		}
		if (json_object_get(disk, "parents") != NULL) {
			say("%s: a disk with `parents` cannot be moved; take that away from it, "
			    "and "
			    "vhd rebase names them in the file",
			    member_text(disk, "file"));
			return false;
		}
		good = add(plan, member_text(disk, "file"));
	}
	json_object_foreach(over, child, parent)
	{
		good = good && add(plan, child) && add(plan, json_string_value(parent));
	}
	return good;
}

static bool make_plan(struct plan *plan, const json_t *machine, json_t *points)
{
	bool good = add_document(plan, machine);
	const char *id;
	json_t *point;

	json_object_foreach(points, id, point)
	{
		good = good && add_document(plan, json_object_get(point, "document"));
	}
	return good;
}

/* ---- Copied ---- */

static bool has_room(const struct plan *plan)
{
	struct stat file;
	uint64_t needed = 0;
	const char *old;
	json_t *new;

	json_object_foreach(plan->files, old, new)
	{
		if (stat(old, &file) != 0) {
			return fail(old, errno);
		}
		needed += (uint64_t)file.st_blocks * 512;
	}
	return file_has_room(plan->to, needed) || fail(plan->to, ENOSPC);
}

static int copy_range(int from, int to, off_t at, off_t end)
{
	static char bytes[PIECE];

	while (at < end) {
		ssize_t got = pread(from, bytes,
				    end - at < PIECE ? (size_t)(end - at) : sizeof(bytes), at);

		if (got <= 0) {
			return got < 0 ? -errno : -EIO;
		}
		if (pwrite(to, bytes, (size_t)got, at) != got) {
			return -ENOSPC;
		}
		at += got;
	}
	return 0;
}

/* Holes are holes. */
static int copy_content(int from, int to, uint64_t size)
{
	uint64_t at = 0, end = 0;
	int ret;

	while ((ret = file_next_data(from, size, &at, &end)) > 0 &&
	       (ret = copy_range(from, to, (off_t)at, (off_t)end)) == 0) {
		at = end;
	}
	if (ret == 0 && (ftruncate(to, (off_t)size) != 0 || fsync(to) != 0)) {
		ret = -errno;
	}
	return ret;
}

static void partial_path(char path[PATH_MAX], const char *new, const char *token)
{
	snprintf(path, PATH_MAX, "%s.moving-%.8s", new, token);
}

static int copy_file(const char *old, const char *partial)
{
	int from = open(old, O_RDONLY | O_CLOEXEC), to, ret;
	struct stat file;

	if (from < 0) {
		return -errno;
	}
	if (fstat(from, &file) != 0 || !S_ISREG(file.st_mode)) {
		close(from);
		return -EINVAL;
	}
	to = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ret = to < 0 ? -errno : copy_content(from, to, (uint64_t)file.st_size);
	if (ret == 0 &&
	    (fchown(to, file.st_uid, file.st_gid) != 0 || fchmod(to, file.st_mode & 07777) != 0)) {
		ret = -errno;
	}
	if (to >= 0) {
		close(to);
	}
	close(from);
	return ret;
}

/* As long as it is copied nobody writes to it: it has a reader's lock. */
static bool copy(const char *old, const char *new, const char *token)
{
	const struct disk_open how = {.flags = DISK_READ_ONLY | DISK_NO_PARENT};
	struct disk_error error;
	char partial[PATH_MAX];
	struct disk *disk;
	int ret;

	if (disk_open(old, &how, &disk, &error) != 0) {
		say("%s", error.text);
		return false;
	}
	partial_path(partial, new, token);
	ret = copy_file(old, partial);
	(void)disk_close(&disk, NULL);
	/* Both names, until all are copied: so it is known whose the second one is. */
	if (ret == 0 && link(partial, new) != 0) {
		ret = -errno;
	}
	return ret == 0 || fail(new, -ret);
}

/* What it lay over, or the copy of that. */
static bool set_parent(json_t *files, const char *old, const char *new)
{
	const struct disk_open how = {.flags = DISK_READ_ONLY};
	char *path = NULL;
	struct disk_error error;
	struct disk_info info;
	const char *parent;
	struct disk *disk;
	bool good = true;

	if (disk_open(old, &how, &disk, &error) != 0) {
		say("%s", error.text);
		return false;
	}
	if (disk_get_info(disk, 1, &info) == 0) {
		parent = find_moved(files, info.path);
		path = realpath(parent != NULL ? parent : info.path, NULL);
	}
	(void)disk_close(&disk, NULL);
	if (path != NULL && disk_rebase(new, path, 0, &error) != 0) {
		say("%s", error.text);
		good = false;
	}
	free(path);
	return good;
}

static bool sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0) {
		close(fd);
	}
	return synced || fail(path, errno);
}

static bool copy_all(const struct plan *plan, const char *token)
{
	bool good = has_room(plan);
	const char *old;
	json_t *new;

	json_object_foreach(plan->files, old, new)
	{
		good = good && copy(old, json_string_value(new), token);
	}
	json_object_foreach(plan->files, old, new)
	{
		good = good && set_parent(plan->files, old, json_string_value(new));
	}
	return good && sync_folder(plan->to);
}

/* ---- Its end, either way ---- */

/* A copy's first name goes, and (*taken back*) its second, unless another file has that. */
static void remove_partial(const char *new, const char *token, bool back)
{
	struct stat first, second;
	char partial[PATH_MAX];

	partial_path(partial, new, token);
	if (back && stat(partial, &first) == 0 && stat(new, &second) == 0 &&
	    file_is_same(&first, &second)) {
		(void)unlink(new);
	}
	(void)unlink(partial);
}

/* Of a process that did not come to its end. */
static bool take_back(const json_t *record)
{
	const char *token = member_text(record, "token"), *old;
	json_t *new;

	json_object_foreach(json_object_get(record, "files"), old, new)
	{
		remove_partial(json_string_value(new), token, true);
	}
	return unlink(FILE_MOVING) == 0 || errno == ENOENT || fail(FILE_MOVING, errno);
}

static void rename_in(json_t *files, json_t *document)
{
	json_t *checkpoint = json_object_get(document, "checkpoint"), *disk, *parent,
	       *over = json_object_get(checkpoint, "over"), *made = json_object(), *new;
	const char *child;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		new = json_object_get(files, member_text(disk, "file"));
		if (new != NULL) {
			json_object_set(disk, "file", new);
		}
	}
	json_object_foreach(over, child, parent)
	{
		const char *name = json_string_value(json_object_get(files, child));

		new = json_object_get(files, json_string_value(parent));
		json_object_set(made, name != NULL ? name : child, new != NULL ? new : parent);
	}
	if (over != NULL) {
		json_object_set(checkpoint, "over", made);
	}
	json_decref(made);
}

/* What nobody else needs. What lies over another one goes first. */
static void delete_old(const json_t *record)
{
	const json_t *elsewhere = json_object_get(record, "elsewhere");
	json_t *left = json_copy(json_object_get(record, "files")), *new;
	const char *old;
	bool more = true;
	void *next;

	json_object_foreach(json_object_get(record, "needed"), old, new)
	{
		json_object_del(left, old);
	}
	while (more) {
		more = false;
		json_object_foreach_safe(left, next, old, new)
		{
			if (access(old, F_OK) != 0 || !file_is_parent(old, elsewhere)) {
				(void)unlink(old);
				json_object_del(left, old);
				more = true;
			}
		}
	}
	json_decref(left);
}

static bool go_on(const json_t *record, json_t *machine, json_t *points)
{
	json_t *files = json_object_get(record, "files"), *point, *new;
	const char *id, *old;

	json_object_foreach(files, old, new)
	{
		remove_partial(json_string_value(new), member_text(record, "token"), false);
	}
	json_object_foreach(points, id, point)
	{
		rename_in(files, json_object_get(point, "document"));
		if (!tree_write(id, point)) {
			return false;
		}
	}
	rename_in(files, machine);
	if (!tree_write(NULL, machine)) {
		return false;
	}
	delete_old(record);
	return unlink(FILE_MOVING) == 0 || fail(FILE_MOVING, errno);
}

static bool is_record(const json_t *record)
{
	json_t *files = json_object_get(record, "files"), *new;
	bool good = json_is_object(files) && json_is_string(json_object_get(record, "token"));
	const char *old;

	json_object_foreach(files, old, new)
	{
		good &= json_is_string(new);
	}
	return good;
}

bool relocate_mend(json_t *machine, json_t *points)
{
	json_t *record = json_load_file(FILE_MOVING, JSON_REJECT_DUPLICATES, NULL);
	bool done;

	if (record == NULL && access(FILE_MOVING, F_OK) != 0) {
		return true;
	}
	if (!is_record(record)) {
		json_decref(record);
		say(FILE_MOVING ": damaged; see which files of disks are there twice, and delete "
				"it");
		return false;
	}
	done = json_is_true(json_object_get(record, "copied")) ? go_on(record, machine, points)
							       : take_back(record);
	json_decref(record);
	return done;
}

bool relocate(const json_t *wanted, json_t *machine, json_t *points)
{
	const char *token = member_text(wanted, "token");
	struct plan plan = {.files = json_object()};
	json_t *record;
	char *to, *home;
	bool done;

	if (mkdir(member_text(wanted, "to"), 0750) != 0 && errno != EEXIST) {
		json_decref(plan.files);
		return fail(member_text(wanted, "to"), errno);
	}
	to = realpath(member_text(wanted, "to"), NULL);
	home = realpath(".", NULL);
	plan.to = to;
	plan.is_home = to != NULL && home != NULL && strcmp(to, home) == 0;
	free(home);
	if (to == NULL || !make_plan(&plan, machine, points)) {
		if (to == NULL) {
			(void)fail(member_text(wanted, "to"), errno);
		}
		json_decref(plan.files);
		free(to);
		return false;
	}
	record = json_pack("{s:s, s:O, s:O*, s:O*}", "token", token, "files", plan.files, "needed",
			   json_object_get(wanted, "needed"), "elsewhere",
			   json_object_get(wanted, "elsewhere"));
	done = json_object_size(plan.files) == 0;
	if (!done && tree_write_document(FILE_MOVING, record)) {
		if (copy_all(&plan, token)) {
			json_object_set_new(record, "copied", json_true());
			done = tree_write_document(FILE_MOVING, record) &&
			       go_on(record, machine, points);
		} else {
			(void)take_back(record);
		}
	}
	json_decref(record);
	json_decref(plan.files);
	free(to);
	return done;
}
