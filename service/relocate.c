/*
 * A machine's files of disks, with those of its checkpoints, go to another folder of this host, by
 * the process that has its tree (tree.c). disks.moving says what is under way: from where to where,
 * and what is whole.
 *
 *   disks.moving -> copies, NEW.moving-TOKEN, each with the name NEW as well when it is whole -> their parents are the copies -> disks.moving: "copied"
 *     -> the documents name the copies -> the old files are deleted -> disks.moving is deleted
 *
 * What decides is "copied". A process that is cut before it has the copies deleted by the next one
 * (relocate_mend), behind it that one goes on. An old file and its copy read the same, and each
 * lies over what it lay over; so in between a document may name either.
 *
 * Of a machine that runs, what its guest writes to (a top) is copied by the worker, which writes to
 * both from then on; when the last one is in step the machine stands, and all of the copies are
 * durable. Only then is it "copied", and only when the documents are written does the worker go on,
 * in the copies. So until it is "copied" the old files have all that the guest was told is durable,
 * and behind it the new ones have, whoever dies. disks.moving is deleted by the service then, when
 * it knows by that which files the worker has now.
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

#define PIECE    (1 << 20)
#define TRIES    200 /* a file that its worker writes to may have to be opened again */
#define PAUSE_US 20000

static bool fail(const char *what, int error)
{
	say("%s: %s%s", what, strerror(error),
	    error == ENOSPC || error == EDQUOT ? "; make room there" : "");
	return false;
}

/* ---- Which files, and where they go ---- */

struct plan {
	const struct tree *tree;
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
		if (!good || !settings_writes(disk)) {
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
	ssize_t got;

	while (at < end) {
		if (tree_is_given_up()) {
			return -ECANCELED;
		}
		got = pread(from, bytes, end - at < PIECE ? (size_t)(end - at) : sizeof(bytes), at);
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

/* `empty`: its content is another's matter. */
static int copy_file(const char *old, const char *partial, bool empty)
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
	ret = to < 0 ? -errno : empty ? 0 : copy_content(from, to, (uint64_t)file.st_size);
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

/* As long as it is copied nobody writes to it: it has a reader's lock. One that the guest writes to
 * is empty so far. */
static bool copy(const char *old, const char *new, const char *token, bool top)
{
	const struct disk_open how = {.flags = DISK_READ_ONLY | DISK_NO_PARENT};
	struct disk_error error;
	char partial[PATH_MAX];
	struct disk *disk = NULL;
	int ret;

	if (!top && disk_open(old, &how, &disk, &error) != 0) {
		say("%s", error.text);
		return false;
	}
	partial_path(partial, new, token);
	ret = copy_file(old, partial, top);
	(void)disk_close(&disk, NULL);
	/* Both names, until all are copied: so it is known whose the second one is. */
	if (ret == 0 && link(partial, new) != 0) {
		ret = -errno;
	}
	return ret == 0 || fail(new, -ret);
}

/* A worker that writes to it is in nobody's way but for a moment. */
static int open_old(const char *old, bool top, struct disk **disk, struct disk_error *error)
{
	const struct disk_open how = {.flags = DISK_READ_ONLY | (top ? DISK_NO_LOCK : 0)};
	unsigned int tries = top ? TRIES : 1;
	int ret;

	while ((ret = disk_open(old, &how, disk, error)) != 0 && --tries > 0) {
		usleep(PAUSE_US);
	}
	return ret;
}

/* What it lies over, or the copy of that; *path NULL: nothing. False: said why. */
static bool find_parent(json_t *files, const char *old, bool top, char **path)
{
	struct disk_error error;
	struct disk_info info;
	const char *parent;
	struct disk *disk;

	*path = NULL;
	if (open_old(old, top, &disk, &error) != 0) {
		say("%s", error.text);
		return false;
	}
	if (disk_get_info(disk, 1, &info) == 0) {
		parent = find_moved(files, info.path);
		*path = realpath(parent != NULL ? parent : info.path, NULL);
	}
	(void)disk_close(&disk, NULL);
	return true;
}

static bool set_parent(json_t *files, const char *old, const char *new)
{
	struct disk_error error;
	bool good;
	char *path;

	good = find_parent(files, old, false, &path);
	if (path != NULL && disk_rebase(new, path, 0, &error) != 0) {
		say("%s", error.text);
		good = false;
	}
	free(path);
	return good;
}

/* ---- Of a machine that runs ---- */

static bool is_alive(const struct tree *tree)
{
	return json_is_true(json_object_get(tree->wanted, "alive"));
}

/* Of a file that the guest writes to, [ide:]NUMBER of its disk. False: the guest does not. */
static bool find_top(const struct tree *tree, const char *old, char number[24])
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(tree->wanted, "disks"), i, disk)
	{
		if (is_alive(tree) && settings_writes(disk) &&
		    strcmp(member_text(disk, "file"), old) == 0) {
			snprintf(number, 24, "%s%lld",
				 strcmp(member_text(disk, "controller"), "ide") == 0 ? "ide:" : "",
				 (long long)json_integer_value(json_object_get(disk, "number")));
			return true;
		}
	}
	return false;
}

static bool mirror(const struct plan *plan, const char *old, const char *new, const char *number)
{
	const char *words[] = {NULL, NULL, "mirror", number, new, NULL, NULL};
	char *parent;
	bool good = find_parent(plan->files, old, true, &parent);

	words[5] = parent;
	good = good && !tree_is_given_up() && tree_run_vmctl(plan->tree, words, false);
	free(parent);
	return good;
}

/* All are in step, and it stands. */
static bool mirror_all(const struct plan *plan)
{
	const char *words[] = {NULL, NULL, "go-over", "--stand", NULL}, *old;
	char number[24];
	bool good = true;
	unsigned int count = 0;
	json_t *new;

	json_object_foreach(plan->files, old, new)
	{
		if (good && find_top(plan->tree, old, number)) {
			good = mirror(plan, old, json_string_value(new), number);
			count++;
		}
	}
	return good && (count == 0 || tree_run_vmctl(plan->tree, words, false));
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
	char number[24];
	json_t *new;

	json_object_foreach(plan->files, old, new)
	{
		good = good &&
		       copy(old, json_string_value(new), token, find_top(plan->tree, old, number));
	}
	json_object_foreach(plan->files, old, new)
	{
		good = good && (find_top(plan->tree, old, number) ||
				set_parent(plan->files, old, json_string_value(new)));
	}
	if (good && sync_folder(plan->to) && mirror_all(plan) && !tree_is_given_up()) {
		return true;
	}
	if (tree_is_given_up()) {
		say("cancelled");
	}
	return false;
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

static bool ran(const json_t *record)
{
	return json_is_true(json_object_get(record, "running"));
}

static bool is_live(const json_t *record)
{
	return json_is_true(json_object_get(record, "live"));
}

/* Of a process that did not come to its end. */
static bool take_back(const struct tree *tree, const json_t *record)
{
	const char *token = member_text(record, "token"), *old;
	json_t *new;

	if (is_live(record)) {
		tree_let_go(tree, ran(record), false);
	}
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

static bool reads_as(const json_t *machine)
{
	json_t *document = json_load_file(FILE_DOCUMENT, 0, NULL);
	bool same = json_equal(document, machine);

	json_decref(document);
	return same;
}

/* Of one that stands nothing has been written to the copies yet: where the document cannot be
 * written, they are not needed. */
static bool write_machine(const struct tree *tree, const json_t *record)
{
	json_t *before = json_deep_copy(tree->machine);
	bool changed, written;

	rename_in(json_object_get(record, "files"), tree->machine);
	changed = !json_equal(before, tree->machine);
	written = !changed || tree_write(NULL, tree->machine);
	if (!written && is_live(record)) {
		json_object_clear(tree->machine);
		json_object_update(tree->machine, before);
		/* The new one may have got its name, though not for good. */
		if (tree_write(NULL, tree->machine) || reads_as(tree->machine)) {
			(void)take_back(tree, record);
		}
	}
	json_decref(before);
	return written;
}

/* The machine's first: what it names is what its worker goes on in. */
static bool go_on(const struct tree *tree, json_t *record)
{
	json_t *files = json_object_get(record, "files"), *point, *new;
	bool live = is_live(record);
	const char *id, *old;

	if (!write_machine(tree, record)) {
		return false;
	}
	if (live) {
		tree_let_go(tree, ran(record), true);
	}
	json_object_foreach(files, old, new)
	{
		remove_partial(json_string_value(new), member_text(record, "token"), false);
	}
	json_object_foreach(tree->points, id, point)
	{
		rename_in(files, json_object_get(point, "document"));
		if (!tree_write(id, point)) {
			return false;
		}
	}
	delete_old(record);
	if (live) {
		json_object_set_new(record, "done", json_true());
		return tree_write_document(FILE_MOVING, record);
	}
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

bool relocate_mend(struct tree *tree)
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
	done = json_is_true(json_object_get(record, "done"))     ? true
	       : json_is_true(json_object_get(record, "copied")) ? go_on(tree, record)
								 : take_back(tree, record);
	json_decref(record);
	return done;
}

static bool mark_copied(json_t *record)
{
	json_object_set_new(record, "copied", json_true());
	return tree_write_document(FILE_MOVING, record);
}

bool relocate(struct tree *tree)
{
	const json_t *wanted = tree->wanted;
	const char *token = member_text(wanted, "token");
	struct plan plan = {.tree = tree, .files = json_object()};
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
	if (to == NULL || !make_plan(&plan, tree->machine, tree->points)) {
		if (to == NULL) {
			(void)fail(member_text(wanted, "to"), errno);
		}
		json_decref(plan.files);
		free(to);
		return false;
	}
	tree_may_be_given_up();
	record = json_pack("{s:s, s:O, s:O*, s:O*, s:b, s:O*}", "token", token, "files", plan.files,
			   "needed", json_object_get(wanted, "needed"), "elsewhere",
			   json_object_get(wanted, "elsewhere"), "live", is_alive(tree), "running",
			   json_object_get(wanted, "running"));
	done = json_object_size(plan.files) == 0;
	if (!done && tree_write_document(FILE_MOVING, record)) {
		if (copy_all(&plan, token) && mark_copied(record)) {
			done = go_on(tree, record);
		} else {
			(void)take_back(tree, record);
		}
	}
	json_decref(record);
	json_decref(plan.files);
	free(to);
	return done;
}

/* ---- In the service ---- */

void relocate_followed(const struct machine *machine)
{
	json_t *config = json_object_get(machine->running, "config"), *record, *disk, *new;
	char path[PATH_MAX];
	size_t i;

	if (!machine_path(machine, FILE_MOVING, path)) {
		return;
	}
	record = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	json_array_foreach(json_object_get(config, "disks"), i, disk)
	{
		new = json_object_get(json_object_get(record, "files"), member_text(disk, "file"));
		if (json_is_string(new) &&
		    tree_names_file(machine->settings.document, json_string_value(new))) {
			json_object_set(disk, "file", new);
		}
	}
	if (json_is_true(json_object_get(record, "done"))) {
		(void)unlink(path);
	}
	json_decref(record);
}
