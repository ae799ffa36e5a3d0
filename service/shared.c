/*
 * What a move (move.c) looks at on storage that two hosts share: the owner file, and whether the
 * files are the same at both. That storage may not answer, so it is done by a process of its own,
 * `vmms --shared VERB WHAT`, which prints an object. WHAT is JSON, and so is the answer.
 *
 * A file is the same at the other host if it is in use there by the source's worker: its locks are
 * seen from here. Where locks do not travel two hosts could write one disk, so that is looked for
 * as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk/bytes.h"
#include "disk/disk.h"
#include "hosted/available.h"
#include "hosted/clock.h"
#include "hosted/file.h"
#include "hosted/member.h"
#include "hosted/owner.h"
#include "hosted/say.h"
#include "service/service.h"

#define LOOK_EVERY_NS 50000000
#define OPEN_TRIES    100
#define TARGET_MS     60000 /* which a target has to put its name in, after its source has died */

static bool fail(const char *what, int error)
{
	say("%s: %s", what, strerror(error));
	return false;
}

static bool answer(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	json_decref(object);
	return true;
}

/* ---- The owner file ---- */

static int open_owner(const json_t *wanted)
{
	const char *path = member_text(wanted, "owner");
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0) {
		(void)fail(path, errno);
	}
	return fd;
}

/* ---- Files of checkpoints ---- */

static bool is_dvd(const json_t *disk)
{
	return strcmp(member_text(disk, "kind"), "dvd") == 0;
}

/*
 * What a file is known by where nobody has it in use: its length and, as nobody writes to what lies
 * below a checkpoint, who it is and its last change. So one that was copied there is as good as the
 * same. NULL: said why, or (a disc that has been taken away) nobody needs it.
 */
static json_t *describe(const char *path, bool dvd, struct disk_error *error)
{
	const struct disk_open how = {.flags = DISK_READ_ONLY | DISK_NO_PARENT | DISK_NO_LOCK};
	struct disk_info info;
	struct disk *disk;
	struct stat file;
	json_t *object = NULL;

	if (stat(path, &file) != 0) {
		*error = (struct disk_error){.code = -errno};
		snprintf(error->text, sizeof(error->text), "%.300s: %s", path, strerror(errno));
		return NULL;
	}
	if (dvd) {
		return json_pack("{s:I, s:b}", "bytes", (json_int_t)file.st_size, "dvd", true);
	}
	if (disk_open(path, &how, &disk, error) != 0) {
		return NULL;
	}
	if (disk_get_info(disk, 0, &info) == 0) {
		object = json_pack("{s:I, s:s, s:s}", "bytes", (json_int_t)file.st_size, "id",
				   info.id, "write-id", info.write_id);
	}
	/* One that says nothing of itself. */
	if (object != NULL && info.write_id[0] == '\0') {
		json_object_set_new(object, "file", json_integer((json_int_t)file.st_ino));
		json_object_set_new(object, "written",
				    json_integer((json_int_t)file.st_mtim.tv_sec * 1000000000 +
						 file.st_mtim.tv_nsec));
	}
	(void)disk_close(&disk, NULL);
	return object;
}

/* `files`: {path: what it is known by}. */
static bool add_file(json_t *files, const char *folder, const char *name, bool dvd)
{
	struct disk_error error = {0};
	char path[PATH_MAX];
	json_t *known;

	if (snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : folder,
		     name[0] == '/' ? "" : "/", name) >= (int)sizeof(path)) {
		return fail(name, ENAMETOOLONG);
	}
	if (json_object_get(files, path) != NULL) {
		return true;
	}
	known = describe(path, dvd, &error);
	if (known == NULL && !(dvd && error.code == -ENOENT)) {
		say("%s", error.text);
		return false;
	}
	json_object_set_new(files, path, known);
	return true;
}

static bool add_files(json_t *files, const char *folder, const json_t *document, bool disks)
{
	json_t *over = json_object_get(json_object_get(document, "checkpoint"), "over"), *parent;
	const json_t *disk;
	const char *child;
	bool added = true;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		const char *name = member_text(disk, "file");

		added = added &&
			(!disks || name[0] == '\0' || add_file(files, folder, name, is_dvd(disk)));
	}
	json_object_foreach(over, child, parent)
	{
		added = added && add_file(files, folder, json_string_value(parent), false);
	}
	return added;
}

/* ---- Disks that come along ---- */

/* A worker that writes to it is in nobody's way but for a moment. */
static int open_in_use(const char *path, bool raw, struct disk **disk, struct disk_error *error)
{
	static const struct timespec moment = {.tv_nsec = LOOK_EVERY_NS};
	const struct disk_open how = {.format = raw ? DISK_FORMAT_RAW : DISK_FORMAT_AUTO,
				      .flags = DISK_READ_ONLY | DISK_NO_PARENT | DISK_NO_LOCK};
	unsigned int tries = OPEN_TRIES;
	int ret;

	while ((ret = disk_open(path, &how, disk, error)) != 0 && --tries > 0) {
		nanosleep(&moment, NULL);
	}
	return ret;
}

/* What another one has to be made as, to be the same. NULL: said why. */
static json_t *describe_disk(const json_t *wanted)
{
	const char *path = member_text(wanted, "path");
	struct disk_error error;
	struct disk_info info;
	struct disk *disk;
	json_t *object = NULL;

	if (open_in_use(path, json_is_true(json_object_get(wanted, "raw")), &disk, &error) != 0) {
		say("%s", error.text);
		return NULL;
	}
	if (disk_get_info(disk, 0, &info) != 0) {
		(void)fail(path, EIO);
	} else if (info.type == DISK_DIFFERENCING) {
		say("%s: lies over another file, and comes along only without that; merge them",
		    path);
	} else {
		object = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "format",
				   disk_format_name(info.format), "type",
				   info.type == DISK_FIXED ? "fixed" : "dynamic", "size",
				   (json_int_t)info.size, "block-size", (json_int_t)info.block_size,
				   "sector-size", (json_int_t)info.sector_size, "physical-size",
				   (json_int_t)info.physical_size, "allocated",
				   (json_int_t)info.allocated, "id", info.id);
	}
	(void)disk_close(&disk, NULL);
	return object;
}

static bool describe_disks(const json_t *names, json_t *described)
{
	const char *name;
	json_t *wanted, *disk;

	json_object_foreach((json_t *)names, name, wanted)
	{
		disk = describe_disk(wanted);
		if (disk == NULL) {
			return false;
		}
		json_object_set_new(described, name, disk);
	}
	return true;
}

static uint64_t size_of(const char *folder, const char *id, const char *ending)
{
	char path[PATH_MAX];
	struct stat file;

	return snprintf(path, sizeof(path), "%s/" TREE_FOLDER "/%s%s", folder, id, ending) <
				       (int)sizeof(path) &&
			       stat(path, &file) == 0
		       ? (uint64_t)file.st_size
		       : 0;
}

/* What has to be there for a machine's checkpoints, and how much comes. NULL: said why. */
static json_t *describe_points(const char *folder, bool off)
{
	json_t *points = tree_read(folder), *files = json_object(), *point;
	char path[PATH_MAX];
	json_t *machine =
		snprintf(path, sizeof(path), "%s/" FILE_DOCUMENT, folder) < (int)sizeof(path)
			? json_load_file(path, JSON_REJECT_DUPLICATES, NULL)
			: NULL;
	bool described = machine != NULL || fail(folder, EINVAL);
	uint64_t bytes = 0;
	const char *id;

	/* Of one that is off nobody has the disks in use either. */
	described = described && add_files(files, folder, machine, off);
	json_object_foreach(points, id, point)
	{
		described = described &&
			    add_files(files, folder, json_object_get(point, "document"), true);
		bytes += size_of(folder, id, ".vmrs");
	}
	json_decref(points);
	json_decref(machine);
	if (!described) {
		json_decref(files);
		return NULL;
	}
	return json_pack("{s:o, s:I}", "files", files, "bytes", (json_int_t)bytes);
}

/* ---- A new one, which nobody else has ---- */

static bool make(const json_t *wanted)
{
	const char *path = member_text(wanted, "owner"), *folder = member_text(wanted, "folder");
	bool off = json_is_true(json_object_get(wanted, "off"));
	char token[GUID_TEXT];
	json_t *points = NULL, *disks = json_object_get(wanted, "disks"),
	       *storage = disks != NULL ? json_object() : NULL;
	struct guid random;
	int fd, ret = 0;

	if (storage != NULL && !describe_disks(disks, storage)) {
		json_decref(storage);
		return false;
	}

	if (folder[0] != '\0') {
		points = describe_points(folder, off);
		if (points == NULL) {
			json_decref(storage);
			return false;
		}
	}
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		json_decref(points);
		json_decref(storage);
		return fail(path, errno);
	}
	/* For one that is off it begins here: there is no worker that does. */
	if (off) {
		guid_random(&random);
		guid_print(&random, token);
		json_object_set_new(points, "token", json_string(token));
		ret = owner_begin(fd, random.bytes);
	}
	if (ret != 0 || fsync(fd) != 0) {
		(void)fail(path, ret != 0 ? -ret : errno);
		json_decref(points);
		json_decref(storage);
		(void)unlink(path);
		return false;
	}
	close(fd);
	return answer(json_pack("{s:o*, s:o*}", "checkpoints", points, "storage", storage));
}

static const char *name_of(enum owner owner)
{
	return owner == OWNER_TARGET ? "target" : owner == OWNER_SOURCE ? "source" : "nobody";
}

/*
 * The source, whose worker has died: a target that has all it needs puts its name in soon. A target
 * that has died never does.
 */
static int wait_for_target(int fd, enum owner *whose)
{
	static const struct timespec moment = {.tv_nsec = LOOK_EVERY_NS};
	uint64_t until = clock_ms() + TARGET_MS;
	int ret;

	do {
		bool attended = owner_is_attended(fd);

		ret = owner_look(fd, whose);
		if (ret != 0 || *whose != OWNER_NOBODY || !attended) {
			return ret;
		}
		nanosleep(&moment, NULL);
	} while (clock_ms() < until);
	return 0;
}

/*
 * A file that is gone although its storage is there: the source takes it away when the machine is
 * its own, and the two of them when both know that it is the target's. So a target that does not
 * know it yet has lost it. *beside*: what else is there, a disk or the folder.
 */
static bool is_taken_away(const json_t *wanted)
{
	char folder[PATH_MAX];
	const char *beside = member_text(wanted, "beside");
	struct stat file;

	if (json_is_true(json_object_get(wanted, "close")) ||
	    lstat(member_text(wanted, "owner"), &file) == 0 || errno != ENOENT) {
		return false;
	}
	if (beside[0] == '\0') {
		snprintf(folder, sizeof(folder), "%s", member_text(wanted, "owner"));
		*strrchr(folder, '/') = '\0';
		beside = folder;
	}
	return stat(beside, &file) == 0;
}

/* `close`: the source asks, and decides it; `wait`: after its worker's death. */
static bool whose(const json_t *wanted)
{
	enum owner owner = OWNER_NOBODY;
	struct owner_facts facts;
	int fd, ret = 0;

	if (is_taken_away(wanted)) {
		return answer(json_pack("{s:s}", "whose", name_of(OWNER_SOURCE)));
	}
	fd = open_owner(wanted);
	if (fd < 0) {
		return false;
	}
	if (json_is_true(json_object_get(wanted, "wait"))) {
		ret = wait_for_target(fd, &owner);
	}
	if (ret == 0) {
		ret = json_is_true(json_object_get(wanted, "close")) ? owner_close(fd, &owner)
								     : owner_look(fd, &owner);
	}
	ret = ret == 0 ? owner_facts(fd, &facts) : ret;
	close(fd);
	return ret == 0 ? answer(json_pack("{s:s, s:b, s:b}", "whose", name_of(owner), "depends",
					   facts.depends, "seen", facts.seen))
			: fail(member_text(wanted, "owner"), -ret);
}

/* Where each side has a file of its own: what the source's says the target's is told, and then the
 * source's that the target has seen it. */
static bool tell(const json_t *wanted)
{
	const char *said = member_text(wanted, "whose");
	int fd = open_owner(wanted), ret;
	bool last;

	if (fd < 0) {
		return false;
	}
	ret = said[0] == '\0'
		      ? owner_end(fd, OWNER_TARGET, &last)
		      : owner_tell(fd, strcmp(said, "target") == 0 ? OWNER_TARGET : OWNER_SOURCE);
	close(fd);
	return ret == 0 ? answer(json_object()) : fail(member_text(wanted, "owner"), -ret);
}

/* It is ours, and our document says so: the other side has no use for the file, or has (`both`) to
 * read it. */
static bool end(const json_t *wanted)
{
	const char *me = member_text(wanted, "me");
	bool last = !json_is_true(json_object_get(wanted, "both"));
	int fd = open_owner(wanted), ret = 0;

	if (fd < 0) {
		return false;
	}
	if (!last) {
		ret = owner_end(fd, strcmp(me, "source") == 0 ? OWNER_SOURCE : OWNER_TARGET, &last);
	}
	close(fd);
	if (ret == 0 && last) {
		(void)unlink(member_text(wanted, "owner"));
	}
	return ret == 0 ? answer(json_object()) : fail(member_text(wanted, "owner"), -ret);
}

/* ---- The target's look at what it shall have ---- */

static void add(json_t *problems, const char *what, const char *why)
{
	char *text;

	CHECK(asprintf(&text, "%s%s", what, why) >= 0);
	json_array_append_new(problems, json_string(text));
	free(text);
}

static bool is_locked(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static void check_file(json_t *problems, const char *path, bool used)
{
	struct stat file;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0) {
		add(problems, path,
		    errno == ENOENT ? ": it is not here; its storage has to be shared, at the same "
				      "path"
				    : ": it cannot be opened here");
		return;
	}
	if (fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && used && !is_locked(fd)) {
		add(problems, path,
		    ": nobody is seen to use it from here; it is another file than at the source, "
		    "or the file system does not carry locks between hosts");
	}
	close(fd);
}

/* What the source knows a file by, it has to be known by here. */
static void check_points(json_t *problems, const json_t *points, const char *store)
{
	json_t *files = json_object_get(points, "files"), *known, *here;
	json_int_t needed = json_integer_value(json_object_get(points, "bytes"));
	struct disk_error error;
	const char *path;

	json_object_foreach(files, path, known)
	{
		here = path[0] == '/'
			       ? describe(path, json_is_true(json_object_get(known, "dvd")), &error)
			       : NULL;
		if (here == NULL) {
			check_file(problems, path, false);
		}
		if (here == NULL && access(path, R_OK) == 0) {
			add(problems, path, ": it cannot be read here");
		} else if (here != NULL && !json_equal(here, known)) {
			add(problems, path, ": it is another file than at the source");
		}
		json_decref(here);
	}
	if (needed > 0 && !file_has_room(store, (uint64_t)needed)) {
		add(problems, "memory of its checkpoints: ", "there is no room for it here");
	}
}

/* Room for disks that come along, each of which can be made. */
static void check_storage(json_t *problems, const json_t *storage, const char *store)
{
	uint64_t needed = 0;
	struct disk_create how;
	const char *name;
	json_t *disk;

	json_object_foreach((json_t *)storage, name, disk)
	{
		json_int_t allocated = json_integer_value(json_object_get(disk, "allocated"));

		if (!offer_make(disk, &how)) {
			add(problems, name, ": it is a disk of no kind that is known here");
		} else {
			needed += how.type == DISK_FIXED ? how.size
				  : allocated > 0        ? (uint64_t)allocated
							 : 0;
		}
	}
	if (needed != 0 && !file_has_room(store, needed)) {
		add(problems, store, ": there is no room for its disks");
	}
}

/* With storage only discs are to be here. */
static void check_disks(json_t *problems, const json_t *config, bool storage)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(config, "disks"), i, disk)
	{
		const char *file = json_string_value(json_object_get(disk, "file"));

		if (file != NULL && (!storage || is_dvd(disk))) {
			check_file(problems, file, !is_dvd(disk));
		}
	}
}

static void check_memory(json_t *problems, const json_t *wanted)
{
	json_int_t needed = json_integer_value(json_object_get(wanted, "bytes"));
	uint64_t there = available_memory();
	char text[120];

	if (there != 0 && needed > 0 && (uint64_t)needed > there) {
		snprintf(text, sizeof(text), "%lld MiB of memory are needed, and %llu MiB are here",
			 (long long)needed >> 20, (unsigned long long)(there >> 20));
		add(problems, text, "");
	}
}

/* Files that a worker reads at its start. */
static void check_others(json_t *problems, const json_t *config)
{
	static const char *const keys[] = {"kernel", "initrd", "firmware", "firmware-template"};

	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		const char *file = json_string_value(json_object_get(config, keys[i]));

		if (file != NULL) {
			check_file(problems, file, false);
		}
	}
}

static bool check(const json_t *wanted)
{
	const json_t *config = json_object_get(wanted, "config");
	bool off = json_is_string(json_object_get(json_object_get(wanted, "checkpoints"), "token"));
	const json_t *storage = json_object_get(wanted, "storage");
	json_t *problems = json_array();

	if (storage == NULL) {
		check_file(problems, member_text(wanted, "owner"), false);
	} else {
		check_storage(problems, storage, member_text(wanted, "store"));
	}
	if (!off) {
		check_disks(problems, config, storage != NULL);
		check_memory(problems, wanted);
	}
	check_points(problems, json_object_get(wanted, "checkpoints"),
		     member_text(wanted, "store"));
	check_others(problems, config);
	return answer(json_pack("{s:o}", "problems", problems));
}

int shared_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		bool (*run)(const json_t *wanted);
	} verbs[] = {
		{"make", make}, {"whose", whose}, {"end", end}, {"tell", tell}, {"check", check}};
	json_t *wanted;
	bool done;

	say_set_name("vmms");
	if (argc != 4) {
		return 2;
	}
	wanted = json_loads(argv[3], 0, NULL);
	for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
		if (strcmp(verbs[i].name, argv[2]) == 0 && wanted != NULL) {
			/* Who is to hear of it is gone then; what ends a file goes on. */
			if (verbs[i].run != end) {
				(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			}
			done = verbs[i].run(wanted);
			json_decref(wanted);
			return done ? 0 : 1;
		}
	}
	json_decref(wanted);
	return 2;
}
