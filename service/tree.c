/*
 * A machine's tree of checkpoints on disk (docs/design/checkpoint.md). All that looks into files of
 * disks, or waits for a worker, is done by a process of its own, `vmms --tree` in the machine's
 * folder, one at a time for a machine: the service's loop waits for nothing. What it is asked for
 * is JSON.
 *
 * Every step leaves files from which the next process (`mend`) sees what was under way. What
 * decides is the rename of machine.json.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk/disk.h"
#include "hosted/member.h"
#include "hosted/say.h"
#include "service/service.h"

#define FOLDER       TREE_FOLDER
#define TOKEN_CHARS  8
#define WORDS_MAX    80
#define STATE_BEFORE FILE_STATE ".applied-"

static bool fail(const char *what, int error)
{
	say("%s: %s", what, strerror(error));
	return false;
}

/* ---- Documents ---- */

bool tree_write_document(const char *path, const json_t *document)
{
	char folder[PATH_MAX], *slash;
	char *dumped = json_dumps(document, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	int fd, ret;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash != NULL) {
		*slash = '\0';
	}
	fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret = fd < 0 || dumped == NULL
		      ? -errno
		      : store_replace(fd, slash != NULL ? slash + 1 : path, dumped);
	if (ret == 0 && fsync(fd) != 0) {
		ret = -errno;
	}
	if (fd >= 0) {
		close(fd);
	}
	free(dumped);
	return ret == 0 || fail(path, -ret);
}

static void point_path(char path[PATH_MAX], const char *id, const char *ending)
{
	snprintf(path, PATH_MAX, FOLDER "/%s%s", id, ending);
}

bool tree_write(const char *id, const json_t *object)
{
	char path[PATH_MAX] = FILE_DOCUMENT;

	if (id != NULL) {
		point_path(path, id, ".json");
	}
	return tree_write_document(path, object);
}

static bool write_machine(const struct tree *tree)
{
	return tree_write(NULL, tree->machine);
}

static bool write_point(const struct tree *tree, const char *id)
{
	return tree_write(id, json_object_get(tree->points, id));
}

/* An id of a file's name, with this ending. */
static bool id_of(const char *name, const char *ending, char id[UUID_TEXT])
{
	if (strlen(name) != UUID_TEXT - 1 + strlen(ending) ||
	    strcmp(name + UUID_TEXT - 1, ending) != 0) {
		return false;
	}
	memcpy(id, name, UUID_TEXT - 1);
	id[UUID_TEXT - 1] = '\0';
	return true;
}

static const json_t *over_of(const json_t *document)
{
	return json_object_get(json_object_get(document, "checkpoint"), "over");
}

/* What a checkpoint has to have: everything else is only told. */
bool tree_is_point(const json_t *point)
{
	const json_t *document = json_object_get(point, "document");
	const char *child;
	json_t *parent;
	bool good = json_is_object(document) && json_is_string(json_object_get(point, "name")) &&
		    json_is_string(json_object_get(point, "created"));

	json_object_foreach((json_t *)over_of(document), child, parent)
	{
		good &= json_is_string(parent);
	}
	json_object_foreach(json_object_get(point, "undo"), child, parent)
	{
		good &= json_is_string(parent);
	}
	return good;
}

json_t *tree_read(const char *folder)
{
	json_t *points = json_object(), *point;
	const struct dirent *entry;
	char path[PATH_MAX], id[UUID_TEXT];
	DIR *names;

	snprintf(path, sizeof(path), "%s/" FOLDER, folder);
	names = opendir(path);
	while (names != NULL && (entry = readdir(names)) != NULL) {
		if (!id_of(entry->d_name, ".json", id)) {
			continue;
		}
		snprintf(path, sizeof(path), "%s/" FOLDER "/%.50s", folder, entry->d_name);
		point = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
		if (tree_is_point(point)) {
			json_object_set(points, id, point);
		} else {
			say("%s: damaged", path);
		}
		json_decref(point);
	}
	if (names != NULL) {
		closedir(names);
	}
	return points;
}

const char *tree_parent(const json_t *document)
{
	return member_text(json_object_get(document, "checkpoint"), "id");
}

/* ---- Disks ---- */

/* The dot of BASE-XXXXXXXX.avhdx; NULL: it has another name. */
static const char *token_end(const char *file)
{
	const char *dot = strrchr(file, '.');
	size_t i;

	if (dot == NULL || (strcmp(dot, ".avhdx") != 0 && strcmp(dot, ".avhd") != 0) ||
	    dot - file <= TOKEN_CHARS || dot[-TOKEN_CHARS - 1] != '-') {
		return NULL;
	}
	for (i = 1; i <= TOKEN_CHARS; i++) {
		if (strchr("0123456789abcdef", dot[-(int)i]) == NULL) {
			return NULL;
		}
	}
	return dot;
}

bool tree_is_line(const char *file, const char *other)
{
	const char *ends[] = {token_end(file), token_end(other)};
	size_t length = ends[0] != NULL ? (size_t)(ends[0] - file) - TOKEN_CHARS - 1 : 0;

	return length > 0 && strncmp(file, other, length) == 0 &&
	       (ends[1] != NULL ? other + length + TOKEN_CHARS + 1 == ends[1]
				: strrchr(other, '.') == other + length);
}

/* A new file's name beside the one that it lies over. */
static bool name_child(const char *file, const char *token, char name[PATH_MAX])
{
	const char *end = token_end(file), *dot = strrchr(file, '.');
	const char *ending = dot != NULL ? dot : "";
	int length;

	if (end != NULL) {
		dot = end - TOKEN_CHARS - 1;
	} else if (strcasecmp(ending, ".vhdx") == 0) {
		ending = ".avhdx";
	} else if (strcasecmp(ending, ".vhd") == 0) {
		ending = ".avhd";
	} else if (strcasecmp(ending, ".avhdx") != 0 && strcasecmp(ending, ".avhd") != 0) {
		say("%s: only VHDX and VHD disks can have checkpoints; vhd convert makes one",
		    file);
		return false;
	}
	length = snprintf(name, PATH_MAX, "%.*s-%.8s%s", (int)(dot - file), file, token, ending);
	return (length > 0 && length < PATH_MAX) || fail(file, ENAMETOOLONG);
}

/* For each disk that is written a new file over it: {new: old}, and the document with the new ones.
 * NULL: said why. */
static json_t *name_children(json_t *document, const char *token)
{
	json_t *over = json_object(), *disk;
	char name[PATH_MAX];
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		const char *file = member_text(disk, "file");

		if (!settings_writes(disk)) {
			continue;
		}
		if (json_is_true(json_object_get(disk, "direct")) ||
		    json_is_true(json_object_get(disk, "raw")) ||
		    json_object_get(disk, "parents") != NULL) {
			say("%s: a disk with `raw`, `direct` or `parents` cannot have checkpoints",
			    file);
		} else if (name_child(file, token, name)) {
			json_object_set_new(over, name, json_string(file));
			json_object_set_new(disk, "file", json_string(name));
			continue;
		}
		json_decref(over);
		return NULL;
	}
	return over;
}

static bool make_children(const json_t *over)
{
	struct disk_create how = {.type = DISK_DIFFERENCING};
	struct disk_error error;
	const char *child;
	json_t *parent;

	json_object_foreach((json_t *)over, child, parent)
	{
		how.parent = json_string_value(parent);
		(void)unlink(child); /* of one that was cut */
		if (disk_create(child, &how, &error) != 0) {
			say("%s", error.text);
			return false;
		}
	}
	return true;
}

static void remove_children(const json_t *over)
{
	const char *child;
	json_t *parent;

	json_object_foreach((json_t *)over, child, parent)
	{
		(void)unlink(child);
	}
}

bool tree_names_file(const json_t *document, const char *file)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		if (strcmp(member_text(disk, "file"), file) == 0) {
			return true;
		}
	}
	return false;
}

static bool lies_over(const json_t *document, const char *file)
{
	const char *child;
	json_t *parent;

	json_object_foreach((json_t *)over_of(document), child, parent)
	{
		if (strcmp(json_string_value(parent), file) == 0) {
			return true;
		}
	}
	return false;
}

/* Whether a document but this one names it, or lies over it. */
static bool is_needed(const struct tree *tree, const json_t *but, const char *file)
{
	const char *id;
	json_t *point;
	bool needed = (tree->machine != but && tree_names_file(tree->machine, file)) ||
		      lies_over(tree->machine, file);

	json_object_foreach(tree->points, id, point)
	{
		const json_t *document = json_object_get(point, "document");

		needed |= document != but &&
			  (tree_names_file(document, file) || lies_over(document, file));
	}
	return needed;
}

/* Files that we made for this document, and that no other needs. */
static void remove_files(const struct tree *tree, const json_t *document)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		const char *file = member_text(disk, "file");

		if (settings_writes(disk) && token_end(file) != NULL &&
		    !is_needed(tree, document, file)) {
			(void)unlink(file);
		}
	}
}

/* ---- The worker ---- */

/* Somebody has sent SIGTERM; the child that is ended by that. */
static volatile sig_atomic_t given_up;
static volatile pid_t stoppable;

static void give_up(int number)
{
	(void)number;
	given_up = 1;
	if (stoppable > 0) {
		(void)kill(stoppable, SIGKILL);
	}
}

void tree_may_be_given_up(void)
{
	const struct sigaction action = {.sa_handler = give_up, .sa_flags = SA_RESTART};

	(void)sigaction(SIGTERM, &action, NULL);
}

bool tree_is_given_up(void)
{
	return given_up;
}

/* What waits for long. Who asks next waits for the same job of the worker's, or ends that. */
static bool is_long(const char *verb)
{
	return strcmp(verb, "merge") == 0 || strcmp(verb, "mirror") == 0;
}

static bool is_done(pid_t child)
{
	int status;

	/* What it says on standard error is what we say: the last line counts. */
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

bool tree_run_vmctl(const struct tree *tree, const char **words, bool quietly)
{
	sigset_t end, before;
	pid_t child;
	bool done;

	words[0] = tree->vmctl;
	words[1] = tree->control;
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &end, &before);
	child = fork();
	if (child == 0) {
		(void)sigprocmask(SIG_SETMASK, &before, NULL);
		if (quietly) {
			(void)dup2(STDOUT_FILENO, STDERR_FILENO);
		}
		if (is_long(words[2])) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		}
		execvp(words[0], (char *const *)words);
		say("%s: %s", words[0], strerror(errno));
		_exit(127);
	}
	stoppable = is_long(words[2]) ? child : 0;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	done = is_done(child);
	stoppable = 0;
	return done;
}

static bool tell_worker(const struct tree *tree, const char *verb, const char *word)
{
	const char *words[] = {NULL, NULL, verb, word, NULL};

	return tree_run_vmctl(tree, words, true);
}

/* By the numbers that the disks have there. */
static bool ask_worker(const struct tree *tree, const char *state, const json_t *over)
{
	const char *words[WORDS_MAX] = {NULL, NULL, "checkpoint", state, "--stand"}, *child;
	char *made[WORDS_MAX];
	unsigned int count = 5, i;
	json_t *parent, *disk;
	size_t j;
	bool done;

	json_object_foreach((json_t *)over, child, parent)
	{
		json_array_foreach(json_object_get(tree->wanted, "disks"), j, disk)
		{
			if (strcmp(member_text(disk, "file"), json_string_value(parent)) == 0 &&
			    count < WORDS_MAX - 1) {
				CHECK(asprintf(&made[count], "%s%lld=%s",
					       strcmp(member_text(disk, "controller"), "ide") == 0
						       ? "ide:"
						       : "",
					       (long long)json_integer_value(
						       json_object_get(disk, "number")),
					       child) > 0);
				words[count] = made[count];
				count++;
				break;
			}
		}
	}
	words[count] = NULL;
	done = tree_run_vmctl(tree, words, false);
	for (i = 5; i < count; i++) {
		free(made[i]);
	}
	return done;
}

static bool is_alive(const struct tree *tree)
{
	return json_is_true(json_object_get(tree->wanted, "alive"));
}

/*
 * The guest's file systems stand: vmctl holds them as long as a command runs, which is a cat on our
 * pipes. So what comes back of it says that they do. They go on with the guest after its pause, or
 * when this is ended.
 */
struct frozen {
	pid_t vmctl;
	int to, from; /* of the cat */
};

static bool freeze(const struct tree *tree, struct frozen *frozen)
{
	const char *const words[] = {tree->vmctl, tree->control, "freeze", "--", "cat", NULL};
	int to[2] = {-1, -1}, from[2] = {-1, -1};
	char byte = 'x';

	*frozen = (struct frozen){.vmctl = -1, .to = -1, .from = -1};
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
		return fail("freeze", errno);
	}
	frozen->vmctl = fork();
	if (frozen->vmctl == 0) {
		(void)dup2(to[0], STDIN_FILENO);
		(void)dup2(from[1], STDOUT_FILENO);
		execvp(words[0], (char *const *)words);
		say("%s: %s", words[0], strerror(errno));
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	frozen->to = to[1];
	frozen->from = from[0];
	return frozen->vmctl > 0 && write(frozen->to, &byte, 1) == 1 &&
	       read(frozen->from, &byte, 1) == 1;
}

static void thaw(const struct frozen *frozen)
{
	if (frozen->to >= 0) {
		close(frozen->to);
		close(frozen->from);
	}
	if (frozen->vmctl > 0) {
		(void)waitpid(frozen->vmctl, NULL, 0);
	}
}

void tree_let_go(const struct tree *tree, bool ran, bool keep)
{
	if (!is_alive(tree)) {
		return;
	}
	(void)tell_worker(tree, "checkpoint-end", keep ? "keep" : "drop");
	if (ran) {
		(void)tell_worker(tree, "resume", NULL);
	}
}

/* It goes on, if it ran. */
static void let_go(const struct tree *tree, const json_t *point, bool keep)
{
	tree_let_go(tree, json_is_true(json_object_get(point, "running")), keep);
}

/* ---- Taken ---- */

static bool finish_taken(struct tree *tree, const char *id, json_t *point)
{
	char from[PATH_MAX], to[PATH_MAX];

	let_go(tree, point, true);
	point_path(from, id, ".making");
	point_path(to, id, ".json");
	json_object_del(point, "running");
	json_object_del(point, "over");
	json_object_set(tree->points, id, point);
	if (!write_point(tree, id)) {
		return false;
	}
	(void)unlink(from);
	return true;
}

static void undo_taken(const struct tree *tree, const char *id, const json_t *point)
{
	char path[PATH_MAX];

	let_go(tree, point, false);
	remove_children(json_object_get(point, "over"));
	point_path(path, id, ".vmrs");
	(void)unlink(path);
	firmware_files_drop(id);
	point_path(path, id, ".making");
	(void)unlink(path);
}

static bool take_files(const struct tree *tree, const char *id, const json_t *point)
{
	const json_t *over = json_object_get(point, "over");
	char state[PATH_MAX];

	if (!is_alive(tree)) {
		return make_children(over);
	}
	point_path(state, id, ".vmrs");
	(void)unlink(state);
	return ask_worker(tree, json_is_true(json_object_get(point, "state")) ? state : "-", over);
}

static bool is_type(const struct tree *tree, const char *type)
{
	return strcmp(member_text(tree->wanted, "type"), type) == 0;
}

/*
 * A production checkpoint is one of the disks, of a guest that has brought all to them. A guest
 * that cannot is taken with its memory, unless that is not wanted. One that is off has brought all
 * to its disks.
 */
static bool prepare(const struct tree *tree, struct frozen *frozen)
{
	bool falls_back = is_type(tree, "production");

	*frozen = (struct frozen){.vmctl = -1, .to = -1, .from = -1};
	if (!falls_back && !is_type(tree, "production-only")) {
		return true;
	}
	json_object_set_new(tree->wanted, "type", json_string("production"));
	json_object_set_new(tree->wanted, "state", json_false());
	if (!is_alive(tree) ||
	    (json_is_true(json_object_get(tree->wanted, "running")) && freeze(tree, frozen))) {
		return true;
	}
	if (!falls_back) {
		say("its guest cannot bring its file systems to a stand; take a standard "
		    "checkpoint");
		return false;
	}
	json_object_set_new(tree->wanted, "type", json_string("standard"));
	json_object_set_new(tree->wanted, "state", json_true());
	return true;
}

static void settle_merged(struct tree *tree);
static bool take_prepared(struct tree *tree);

static bool take(struct tree *tree)
{
	struct frozen frozen;
	bool taken = prepare(tree, &frozen) && take_prepared(tree);

	thaw(&frozen);
	return taken;
}

static bool take_prepared(struct tree *tree)
{
	const char *id = member_text(tree->wanted, "id");
	json_t *before, *over, *point;
	char path[PATH_MAX];
	bool taken = false;

	settle_merged(tree);
	before = json_deep_copy(tree->machine);
	over = name_children(tree->machine, id);
	if (over == NULL) {
		return false;
	}
	point = json_pack("{s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:o}", "name",
			  json_object_get(tree->wanted, "name"), "notes",
			  json_object_get(tree->wanted, "notes"), "created",
			  json_object_get(tree->wanted, "created"), "type",
			  json_object_get(tree->wanted, "type"), "state",
			  json_object_get(tree->wanted, "state"), "running",
			  json_object_get(tree->wanted, "running"), "over", over, "document",
			  before);
	CHECK(point != NULL);
	if (json_is_true(json_object_get(tree->wanted, "undo"))) {
		json_object_set(point, "undo", over);
	}
	if (mkdir(FOLDER, 0750) != 0 && errno != EEXIST) {
		return fail(FOLDER, errno);
	}
	point_path(path, id, ".making");
	if (!tree_write_document(path, point)) {
		return false;
	}
	json_object_set_new(tree->machine, "checkpoint",
			    json_pack("{s:s, s:O}", "id", id, "over", over));
	/* The disks' new files are there, and the machine stands. */
	taken = take_files(tree, id, point) && firmware_files_take(before, id, is_alive(tree)) &&
		write_machine(tree);
	if (!taken) {
		undo_taken(tree, id, point);
		return false;
	}
	return finish_taken(tree, id, point);
}

/* ---- Gone back to ---- */

/* The state that belongs to the document's files, by the token in their names. */
static void settle_applied(const struct tree *tree, const char *name)
{
	bool its = strcmp(member_text(json_object_get(tree->machine, "checkpoint"), "token"),
			  name + strlen(STATE_BEFORE)) == 0;

	(void)(its ? rename(name, FILE_STATE) : unlink(name));
}

static bool apply(struct tree *tree)
{
	const char *id = member_text(tree->wanted, "id"),
		   *token = member_text(tree->wanted, "token");
	json_t *point = json_object_get(tree->points, id), *before = tree->machine, *over;
	char from[PATH_MAX], to[PATH_MAX];

	tree->machine = json_deep_copy(json_object_get(point, "document"));
	over = name_children(tree->machine, token);
	if (over == NULL) {
		return false;
	}
	json_object_set_new(tree->machine, "checkpoint",
			    json_pack("{s:s, s:s, s:o}", "id", id, "token", token, "over", over));
	snprintf(to, sizeof(to), STATE_BEFORE "%s", token);
	point_path(from, id, ".vmrs");
	if (!make_children(over) || !firmware_files_stage(tree->machine, id, token)) {
		remove_children(over);
		return false;
	}
	if (json_is_true(json_object_get(point, "state")) && link(from, to) != 0) {
		(void)fail(from, errno);
		firmware_files_unstage(token);
		remove_children(over);
		return false;
	}
	/* A state of other files than the document's must not be there, whatever happens. */
	(void)unlink(FILE_STATE);
	if (!write_machine(tree)) { /* fsync of the folder: what is above came first */
		(void)unlink(to);
		firmware_files_unstage(token);
		remove_children(over);
		return false;
	}
	settle_applied(tree, to);
	remove_files(tree, before);
	return firmware_files_settle_all(token, tree->machine);
}

/* ---- Deleted ---- */

static bool is_child(const json_t *document, const char *id)
{
	return strcmp(tree_parent(document), id) == 0;
}

/* How many go on from it, and one of them; *child NULL: it is the machine. */
static unsigned int count_children(const json_t *machine, json_t *points, const char *of,
				   const char **child)
{
	unsigned int count = is_child(machine, of);
	const char *id;
	json_t *point;

	*child = NULL;
	json_object_foreach(points, id, point)
	{
		if (is_child(json_object_get(point, "document"), of)) {
			*child = id;
			count++;
		}
	}
	return count;
}

/* One of those that were deleted and can go now, and how many go on from it. */
static const char *find_collectable(const json_t *machine, json_t *points, unsigned int most,
				    unsigned int *count, const char **child)
{
	const char *id;
	json_t *point;

	json_object_foreach(points, id, point)
	{
		*count = count_children(machine, points, id, child);
		if (json_is_true(json_object_get(point, "deleted")) && *count <= most) {
			return id;
		}
	}
	return NULL;
}

bool tree_has_to_merge(const json_t *machine, json_t *points)
{
	unsigned int count;
	const char *child;

	return find_collectable(machine, points, 1, &count, &child) != NULL;
}

/* What it lies over, by all documents; "": nothing that we made. */
static const char *parent_of_file(const struct tree *tree, const char *file)
{
	const char *parent = member_text(over_of(tree->machine), file), *id;
	json_t *point;

	json_object_foreach(tree->points, id, point)
	{
		if (parent[0] == '\0') {
			parent = member_text(over_of(json_object_get(point, "document")), file);
		}
	}
	return parent;
}

/* Where the worker has a file: [ide:]NUMBER of its disk, and what lies over it there ("": it is the
 * top). False: nowhere. */
static bool find_in_worker(const struct tree *tree, const char *file, char number[24],
			   const char **above)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(tree->wanted, "disks"), i, disk)
	{
		const char *at = member_text(disk, "file");
		size_t left = json_object_size(tree->points) + 2;

		snprintf(number, 24, "%s%lld",
			 strcmp(member_text(disk, "controller"), "ide") == 0 ? "ide:" : "",
			 (long long)json_integer_value(json_object_get(disk, "number")));
		for (*above = ""; at[0] != '\0' && left-- > 0; at = parent_of_file(tree, at)) {
			if (strcmp(at, file) == 0) {
				return true;
			}
			*above = at;
		}
	}
	return false;
}

/* A file goes into its parent: by the worker, if that has it. `look`: it is only asked whether that
 * has been done. */
static bool merge_file(const struct tree *tree, const char *file, const char *parent, bool look)
{
	const char *words[] = {NULL, NULL, look ? "merged" : "merge", NULL, file, parent,
			       NULL, NULL};
	struct disk_error error;
	char number[24];

	if (is_alive(tree) && find_in_worker(tree, file, number, &words[6])) {
		words[3] = number;
		if (words[6][0] == '\0') {
			words[6] = NULL;
		}
		return tree_run_vmctl(tree, words, look);
	}
	if (look || disk_merge(file, 1, false, 0, NULL, &error) == 0) {
		return !look;
	}
	say("%s", error.text);
	return false;
}

/* Those who lie over `from` lie over `to` from here on. */
static bool rebase_children(const struct tree *tree, json_t *document, const char *from,
			    const char *to, bool *changed)
{
	json_t *over = (json_t *)over_of(document), *parent;
	struct disk_error error;
	const char *child, *above;
	char number[24];

	*changed = false;
	json_object_foreach(over, child, parent)
	{
		if (strcmp(json_string_value(parent), from) != 0) {
			continue;
		}
		/* What the worker has it has brought there itself. */
		if (!(is_alive(tree) && find_in_worker(tree, child, number, &above)) &&
		    disk_rebase(child, to, DISK_STALE_PARENT, &error) != 0) {
			say("%s", error.text);
			return false;
		}
		json_string_set(parent, to);
		*changed = true;
	}
	return true;
}

static bool rebase_all(struct tree *tree, const char *from, const char *to)
{
	const char *id;
	json_t *point;
	bool changed;

	json_object_foreach(tree->points, id, point)
	{
		if (!rebase_children(tree, json_object_get(point, "document"), from, to,
				     &changed) ||
		    (changed && !write_point(tree, id))) {
			return false;
		}
	}
	return rebase_children(tree, tree->machine, from, to, &changed) &&
	       (!changed || write_machine(tree));
}

static void rename_file(json_t *document, const char *from, const char *to)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		if (strcmp(member_text(disk, "file"), from) == 0) {
			json_object_set_new(disk, "file", json_string(to));
		}
	}
}

static bool write_node(const struct tree *tree, const char *id)
{
	return id != NULL ? write_point(tree, id) : write_machine(tree);
}

static void set_over(json_t *document, const char *file, const char *below, const char *gone)
{
	json_t *over = json_deep_copy(over_of(document)),
	       *next = json_copy(json_object_get(document, "checkpoint"));

	json_object_del(over, gone);
	if (below[0] != '\0') {
		json_object_set_new(over, file, json_string(below));
	}
	json_object_set_new(next, "over", over);
	json_object_set_new(document, "checkpoint", next);
}

/* The last of it: its parent is the checkpoint's. */
static void pass_over(json_t *document, const json_t *point)
{
	json_t *next = json_copy(json_object_get(document, "checkpoint"));

	if (tree_parent(point)[0] != '\0') {
		json_object_set_new(next, "id", json_string(tree_parent(point)));
		json_object_set_new(document, "checkpoint", next);
	} else {
		json_object_del(document, "checkpoint");
		json_decref(next);
	}
}

/*
 * What lies over a checkpoint's files goes down into them, one after the other, and after each the
 * documents say so. `id` NULL: the machine's. `look`: those alone that have gone. False: not all
 * have.
 */
static bool merge_down(struct tree *tree, const char *of, const char *id, bool look)
{
	const json_t *point = json_object_get(json_object_get(tree->points, of), "document");
	json_t *document = id != NULL
				   ? json_object_get(json_object_get(tree->points, id), "document")
				   : tree->machine;
	json_t *over = json_deep_copy(over_of(document)), *parent;
	bool all = true, good = true;
	const char *child;

	json_object_foreach(over, child, parent)
	{
		const char *file = json_string_value(parent);

		/* A disk that was taken out since, or one that has gone down already, and lies over
		 * the checkpoint's parent. */
		if (!good || !tree_names_file(document, child) || !tree_names_file(point, file)) {
			continue;
		}
		if (!merge_file(tree, child, file, look)) {
			all = false;
			good = look;
			continue;
		}
		good = rebase_all(tree, child, file);
		rename_file(document, child, file);
		rename_file(tree->wanted, child, file); /* its disks are the worker's */
		set_over(document, file, member_text(over_of(point), file), child);
		good = good && write_node(tree, id);
		if (good) {
			(void)unlink(child);
		}
	}
	json_decref(over);
	if (!good || !all) {
		return false;
	}
	pass_over(document, point);
	return write_node(tree, id);
}

static void remove_point(struct tree *tree, const char *id)
{
	char path[PATH_MAX];

	remove_files(tree, json_object_get(json_object_get(tree->points, id), "document"));
	point_path(path, id, ".vmrs");
	(void)unlink(path);
	firmware_files_drop(id);
	point_path(path, id, ".json");
	(void)unlink(path);
	json_object_del(tree->points, id);
}

/* What was deleted goes, as far as it can. A worker's files wait for a job of their own, which may
 * take long (`merges`). */
static bool collect(struct tree *tree, bool merges)
{
	const char *id, *child;
	char copy[UUID_TEXT];
	unsigned int count;

	while ((id = find_collectable(tree->machine, tree->points, merges ? 1 : 0, &count,
				      &child)) != NULL) {
		snprintf(copy, sizeof(copy), "%s", id);
		if (count == 1 && !merge_down(tree, copy, child, false)) {
			return false;
		}
		remove_point(tree, copy);
	}
	return true;
}

static bool merge(struct tree *tree)
{
	return collect(tree, true);
}

/*
 * A merge that was cut may have had its end in the worker: then its disk goes on in another file
 * than the document says. To be known before it gets a new one.
 */
static void settle_merged(struct tree *tree)
{
	const char *above = tree_parent(tree->machine), *child;
	char id[UUID_TEXT];

	if (!is_alive(tree) ||
	    !json_is_true(json_object_get(json_object_get(tree->points, above), "deleted")) ||
	    count_children(tree->machine, tree->points, above, &child) != 1) {
		return;
	}
	snprintf(id, sizeof(id), "%s", above);
	if (merge_down(tree, id, NULL, true)) {
		remove_point(tree, id);
	}
}

static bool mark_deleted(struct tree *tree, const char *id, bool all)
{
	const char *other;
	json_t *point;

	json_object_set_new(json_object_get(tree->points, id), "deleted", json_true());
	if (!write_point(tree, id)) {
		return false;
	}
	json_object_foreach(tree->points, other, point)
	{
		if (all && is_child(json_object_get(point, "document"), id) &&
		    !mark_deleted(tree, other, all)) {
			return false;
		}
	}
	return true;
}

static bool delete_point(struct tree *tree)
{
	return mark_deleted(tree, member_text(tree->wanted, "id"),
			    json_is_true(json_object_get(tree->wanted, "children"))) &&
	       collect(tree, !is_alive(tree));
}

/* ---- Undo disks ---- */

static const json_t *undo_of(const struct tree *tree, const char *id)
{
	return json_object_get(json_object_get(tree->points, id), "undo");
}

static bool is_off(const struct tree *tree)
{
	return !is_alive(tree) && access(FILE_STATE, F_OK) != 0;
}

/* The files that were written since the start are the machine's no more; those that they lie over
 * are. */
static bool discard(struct tree *tree, const char *id)
{
	json_t *before = json_object_get(json_object_get(tree->points, id), "document"), *parent,
	       *checkpoint = json_object_get(before, "checkpoint");
	const json_t *over = undo_of(tree, id);
	const char *child;

	json_object_foreach((json_t *)over, child, parent)
	{
		rename_file(tree->machine, child, json_string_value(parent));
	}
	if (checkpoint != NULL) {
		json_object_set(tree->machine, "checkpoint", checkpoint);
	} else {
		json_object_del(tree->machine, "checkpoint");
	}
	return write_machine(tree);
}

/* From which the machine does not go on any more: discarded, or a process was cut then. */
static void remove_undone(struct tree *tree)
{
	const char *id, *file;
	json_t *point, *parent;
	void *next;

	json_object_foreach_safe(tree->points, next, id, point)
	{
		char copy[UUID_TEXT];

		if (undo_of(tree, id) == NULL || is_child(tree->machine, id)) {
			continue;
		}
		json_object_foreach(json_object_get(point, "undo"), file, parent)
		{
			if (token_end(file) != NULL && !is_needed(tree, NULL, file)) {
				(void)unlink(file);
			}
		}
		snprintf(copy, sizeof(copy), "%s", id);
		remove_point(tree, copy);
	}
}

/* Of one that has been turned off, by whatever: what it wrote since its start is discarded, or goes
 * down into what that lies over. */
static bool settle_undo(struct tree *tree)
{
	char id[UUID_TEXT];

	if (!is_off(tree)) {
		return true;
	}
	snprintf(id, sizeof(id), "%.36s", tree_parent(tree->machine));
	if (undo_of(tree, id) != NULL &&
	    !(strcmp(member_text(tree->machine, "undo"), "discard") == 0
		      ? discard(tree, id)
		      : mark_deleted(tree, id, false) && collect(tree, true))) {
		return false;
	}
	remove_undone(tree);
	return true;
}

/* Before a start: what was left is settled, and all that is written goes to new files, below which
 * is a checkpoint that nobody sees. */
static bool undo(struct tree *tree)
{
	if (!is_off(tree)) {
		return true;
	}
	if (!settle_undo(tree)) {
		return false;
	}
	json_object_set_new(tree->wanted, "undo", json_true());
	return member_text(tree->machine, "undo")[0] == '\0' || take_prepared(tree);
}

/* ---- After a process that was cut ---- */

static bool mend(struct tree *tree)
{
	const struct dirent *entry;
	char path[PATH_MAX], id[UUID_TEXT];
	DIR *folder = opendir(".");
	bool done = relocate_mend(tree);

	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		if (strncmp(entry->d_name, STATE_BEFORE, strlen(STATE_BEFORE)) == 0) {
			settle_applied(tree, entry->d_name);
		} else {
			done &= firmware_files_settle(entry->d_name, tree->machine);
		}
	}
	if (folder != NULL) {
		closedir(folder);
	}
	folder = opendir(FOLDER);
	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		json_t *point;

		if (!id_of(entry->d_name, ".making", id)) {
			continue;
		}
		point_path(path, id, ".making");
		point = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
		if (tree_is_point(point) && is_child(tree->machine, id)) {
			done &= finish_taken(tree, id, point);
		} else {
			undo_taken(tree, id, point);
		}
		json_decref(point);
	}
	if (folder != NULL) {
		closedir(folder);
	}
	return done && settle_undo(tree) && collect(tree, !is_alive(tree));
}

bool tree_needs_mending(const char *folder)
{
	char path[PATH_MAX], id[UUID_TEXT];
	const struct dirent *entry;
	DIR *names = opendir(folder);
	/* What has the lock may be a tool that the process of a service before us asked. */
	bool needs = names != NULL && flock(dirfd(names), LOCK_EX | LOCK_NB) != 0;

	while (names != NULL && (entry = readdir(names)) != NULL) {
		needs |= strncmp(entry->d_name, STATE_BEFORE, strlen(STATE_BEFORE)) == 0 ||
			 strcmp(entry->d_name, FILE_MOVING) == 0 ||
			 firmware_files_is_staged(entry->d_name);
	}
	if (names != NULL) {
		closedir(names);
	}
	snprintf(path, sizeof(path), "%s/" FOLDER, folder);
	names = opendir(path);
	while (names != NULL && (entry = readdir(names)) != NULL) {
		needs |= id_of(entry->d_name, ".making", id);
	}
	if (names != NULL) {
		closedir(names);
	}
	return needs;
}

/* ---- Exported ---- */

/* In the folder that is made; absolute. */
static bool export_path(const char *folder, const char *name, char path[PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/%s", folder, name);

	return (length > 0 && length < PATH_MAX) || fail(folder, ENAMETOOLONG);
}

/* Its name without what a checkpoint has added, and without its folder. */
static void export_name(const char *file, size_t number, char name[NAME_MAX])
{
	const char *slash = strrchr(file, '/'), *end = token_end(file);
	const char *base = slash != NULL ? slash + 1 : file;
	int length = (int)(end != NULL ? end - TOKEN_CHARS - 1 - base : (long)strcspn(base, "."));

	snprintf(name, NAME_MAX, "%zu-%.*s%s", number, length < 200 ? length : 200, base,
		 strcasecmp(base + strlen(base) - (strlen(base) > 3 ? 3 : 0), "vhd") == 0
			 ? ".vhd"
			 : ".vhdx");
}

/* All that a disk was then, in one file. */
static bool export_disk(json_t *disk, size_t number, const char *folder)
{
	const struct disk_open how = {.flags = DISK_READ_ONLY};
	const struct disk_create new = {.type = DISK_DYNAMIC};
	char name[NAME_MAX], path[PATH_MAX];
	struct disk_error error, closing;
	struct disk *source;
	int ret;

	export_name(member_text(disk, "file"), number, name);
	if (!export_path(folder, name, path)) {
		return false;
	}
	ret = disk_open(member_text(disk, "file"), &how, &source, &error);
	if (ret == 0) {
		ret = disk_convert(source, path, &new, NULL, &error);
		(void)disk_close(&source, &closing);
	}
	if (ret != 0) {
		say("%s", error.text);
		return false;
	}
	json_object_set_new(disk, "file", json_string(name));
	json_object_del(disk, "raw");
	json_object_del(disk, "parents");
	return true;
}

static bool export_state(const char *id, const char *folder)
{
	char from[PATH_MAX], to[PATH_MAX];

	point_path(from, id, ".vmrs");
	return export_path(folder, FILE_STATE, to) && firmware_files_copy(from, to);
}

void tree_remove_folder(const char *folder)
{
	const struct dirent *entry;
	DIR *names = opendir(folder);

	while (names != NULL && (entry = readdir(names)) != NULL) {
		(void)unlinkat(dirfd(names), entry->d_name, 0);
	}
	if (names != NULL) {
		closedir(names);
	}
	(void)rmdir(folder);
}

/* A folder as one of the store's: put there, it is a machine as it was then. What is not whole has
 * no document. */
static bool export_point(struct tree *tree)
{
	const char *id = member_text(tree->wanted, "id"), *folder = member_text(tree->wanted, "to");
	const json_t *point = json_object_get(tree->points, id);
	json_t *document = json_deep_copy(json_object_get(point, "document")), *disk;
	char path[PATH_MAX];
	bool whole = true;
	size_t i;

	if (mkdir(folder, 0750) != 0) {
		return fail(folder, errno);
	}
	json_object_del(document, "checkpoint");
	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		if (whole && json_is_string(json_object_get(disk, "file")) &&
		    strcmp(member_text(disk, "kind"), "dvd") != 0) {
			whole = export_disk(disk, i, folder);
		}
	}
	if (whole && json_is_true(json_object_get(point, "state"))) {
		whole = export_state(id, folder);
	}
	whole = whole && firmware_files_export(document, id, folder) &&
		export_path(folder, FILE_DOCUMENT, path) && tree_write_document(path, document);
	json_decref(document);
	if (!whole) {
		tree_remove_folder(folder);
	}
	return whole;
}

static bool move_storage(struct tree *tree)
{
	settle_merged(tree);
	return relocate_mend(tree) && relocate(tree);
}

/* ---- The process ---- */

/* One at a time, also of one whose vmms was killed; vmctl has the lock too while it runs. */
static bool lock_folder(void)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY);

	return (fd >= 0 && flock(fd, LOCK_EX) == 0) || fail("its folder", errno);
}

static bool rename_point(struct tree *tree)
{
	const char *id = member_text(tree->wanted, "id");
	json_t *point = json_object_get(tree->points, id);

	json_object_update_existing(point, json_object_get(tree->wanted, "set"));
	return write_point(tree, id);
}

int tree_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		bool (*run)(struct tree *tree);
		bool of_point;
	} verbs[] = {
		{"take", take, false},          {"apply", apply, true},
		{"delete", delete_point, true}, {"rename", rename_point, true},
		{"mend", mend, false},          {"export", export_point, true},
		{"merge", merge, false},        {"relocate", move_storage, false},
		{"undo", undo, false},
	};
	struct tree tree = {0};
	size_t i;

	say_set_name("vmms");
	/* Who is to hear of the end is gone then; the next one has it done. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc != 6) {
		return 2;
	}
	if (!lock_folder()) {
		return 1;
	}
	tree.vmctl = argv[3];
	tree.control = argv[4];
	tree.wanted = json_loads(argv[5], 0, NULL);
	tree.machine = json_load_file(FILE_DOCUMENT, JSON_REJECT_DUPLICATES, NULL);
	tree.points = tree_read(".");
	for (i = 0; i < ARRAY_COUNT(verbs); i++) {
		if (strcmp(verbs[i].name, argv[2]) != 0) {
			continue;
		}
		if (tree.wanted == NULL || tree.machine == NULL) {
			say("the machine's document is damaged");
			return 1;
		}
		if (verbs[i].of_point &&
		    json_object_get(tree.points, member_text(tree.wanted, "id")) == NULL) {
			say("there is no such checkpoint");
			return 1;
		}
		return verbs[i].run(&tree) ? 0 : 1;
	}
	return 2;
}
