/*
 * Starting workers. Each holds the machine's lock, a file in the run folder, as long as it lives:
 * so none is started twice, whatever becomes of vmms, and one that lives on is found by the next
 * vmms.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted/file.h"
#include "hosted/listen.h"
#include "hosted/say.h"
#include "service/service.h"

#define FDS_MAX      5
#define FIRST_FD     3
#define LOG_MAX      (1 << 20) /* a longer one is put aside when the next worker starts */
#define LOG_TAIL_MAX 2048

extern char **environ;

/* All above those that the child is to have, so that none takes another's place. */
static int lift(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + FDS_MAX);
}

static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes,
		   const char *folder, const int *lifted, unsigned int count)
{
	sigset_t none, broken;
	int ret = posix_spawn_file_actions_addchdir_np(actions, folder);
	unsigned int i;

	for (i = 0; i < count && ret == 0; i++) {
		ret = posix_spawn_file_actions_adddup2(actions, lifted[i],
						       i < 2 ? (int)i + 1 : FIRST_FD + (int)i - 2);
	}
	sigemptyset(&none);
	sigemptyset(&broken);
	sigaddset(&broken, SIGPIPE);
	if (ret == 0) {
		ret = posix_spawnattr_setsigmask(attributes, &none);
	}
	if (ret == 0) {
		ret = posix_spawnattr_setsigdefault(attributes, &broken);
	}
	if (ret == 0) {
		ret = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID |
								   POSIX_SPAWN_SETSIGMASK |
								   POSIX_SPAWN_SETSIGDEF);
	}
	return ret;
}

pid_t start_process(const char *program, const char *folder, const char *const *words,
		    const int *fds, unsigned int count, int out, int err)
{
	const char *argv[STEP_WORDS_MAX + 3] = {program};
	int lifted[FDS_MAX + 2] = {out, err}, ret = 0;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	unsigned int i;
	pid_t process;

	CHECK(count <= FDS_MAX);
	if (count != 0) {
		memcpy(lifted + 2, fds, count * sizeof(*fds));
	}
	for (i = 0; words[i] != NULL && i + 2 < ARRAY_COUNT(argv); i++) {
		argv[i + 1] = words[i];
	}
	for (i = 0; i < count + 2; i++) {
		lifted[i] = lift(lifted[i]);
		ret = lifted[i] < 0 ? errno : ret;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	if (ret == 0) {
		ret = prepare(&actions, &attributes, folder, lifted, count + 2);
	}
	if (ret == 0) {
		ret = posix_spawnp(&process, program, &actions, &attributes, (char *const *)argv,
				   environ);
	}
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	for (i = 0; i < count + 2; i++) {
		if (lifted[i] >= 0) {
			close(lifted[i]);
		}
	}
	return ret == 0 ? process : -ret;
}

int start_text_file(const char *name, const json_t *document)
{
	char *text = json_dumps(document, JSON_COMPACT);
	int fd = memfd_create(name, MFD_CLOEXEC);
	size_t length = text != NULL ? strlen(text) : 0;

	if (fd >= 0 && (text == NULL || write(fd, text, length) != (ssize_t)length ||
			lseek(fd, 0, SEEK_SET) != 0)) {
		close(fd);
		fd = -1;
		errno = ENOMEM;
	}
	free(text);
	return fd >= 0 ? fd : -errno;
}

static int open_lock(const struct machine *machine)
{
	char path[PATH_MAX];

	if (!machine_run_path(machine, "lock", path)) {
		return -ENAMETOOLONG;
	}
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* Its lock is its third descriptor of ours. */
static pid_t find_holder(int lock)
{
	struct stat wanted, file;
	const struct dirent *entry;
	DIR *processes = opendir("/proc");
	char path[64];
	pid_t found = 0;

	while (processes != NULL && fstat(lock, &wanted) == 0 && found == 0 &&
	       (entry = readdir(processes)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%d", entry->d_name, FIRST_FD + 2);
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && stat(path, &file) == 0 &&
		    file_is_same(&file, &wanted)) {
			found = (pid_t)strtol(entry->d_name, NULL, 10);
		}
	}
	if (processes != NULL) {
		closedir(processes);
	}
	return found;
}

int start_take_lock(struct machine *machine, pid_t *worker)
{
	int fd = open_lock(machine), ret = 0;

	if (fd < 0) {
		return -errno;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		ret = errno == EWOULDBLOCK ? 1 : -errno;
	}
	*worker = ret == 1 ? find_holder(fd) : 0;
	close(fd);
	return ret;
}

void start_trim_log(const struct machine *machine)
{
	char path[PATH_MAX];
	struct stat file;

	/* The worker appends, so its next line is the first one then. */
	if (machine_path(machine, FILE_LOG, path) && stat(path, &file) == 0 &&
	    file.st_size > LOG_MAX && truncate(path, 0) != 0) {
		say("'%s': %s: %s", machine->name, FILE_LOG, strerror(errno));
	}
}

static int open_log(const struct machine *machine)
{
	char path[PATH_MAX], old[PATH_MAX];
	struct stat file;

	if (!machine_path(machine, FILE_LOG, path) ||
	    !machine_path(machine, FILE_LOG ".old", old)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (stat(path, &file) == 0 && file.st_size > LOG_MAX) {
		(void)rename(path, old);
	}
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

/* A blank line parts one worker's lines from the next one's. */
static void begin_log(int log)
{
	if (write(log, "\n", 1) != 1) {
		return; /* nothing can be written there then */
	}
}

/* A line without whose it is, as say() has it. */
static char *without(char *line, const char *name)
{
	size_t length = strlen(name);

	return strncmp(line, name, length) == 0 && strncmp(line + length, ": ", 2) == 0
		       ? line + length + 2
		       : line;
}

void start_last_words(const struct machine *machine, char *text, size_t size)
{
	char path[PATH_MAX], tail[LOG_TAIL_MAX + 1], *line;
	int fd = machine_path(machine, FILE_LOG, path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t length;
	off_t end;

	text[0] = '\0';
	if (fd < 0) {
		return;
	}
	end = lseek(fd, 0, SEEK_END);
	length = pread(fd, tail, LOG_TAIL_MAX, end > LOG_TAIL_MAX ? end - LOG_TAIL_MAX : 0);
	close(fd);
	while (length > 0 && tail[length - 1] == '\n') {
		length--;
		if (length > 0 && tail[length - 1] == '\n') {
			return; /* it has said nothing */
		}
	}
	tail[length > 0 ? length : 0] = '\0';
	line = strrchr(tail, '\n');
	line = line != NULL ? line + 1 : tail;
	line = without(line, "vmwp");
	line = without(line, machine->name);
	snprintf(text, size, "%s", line);
}

/* What a saved state is called while it is read: a worker that has run on from it must not be
 * followed by another. */
static bool use_state(const struct machine *machine, bool *restore)
{
	char from[PATH_MAX], to[PATH_MAX];

	if (!machine_path(machine, FILE_STATE, from) ||
	    !machine_path(machine, FILE_STATE_USED, to)) {
		return false;
	}
	*restore = rename(from, to) == 0;
	if (!*restore) {
		(void)unlink(to);
	}
	return *restore || errno == ENOENT;
}

struct worker_files {
	int fds[FDS_MAX]; /* its configuration, control socket, lock; where its screen is shown, where it comes from */
	unsigned int count;
	int log, nowhere;
};

/* Of a screen for which its document names no place of its own. */
static bool open_display(struct machine *machine, json_t *config, struct worker_files *files)
{
	char path[PATH_MAX];

	if (!machine_run_path(machine, "display", path)) {
		return false;
	}
	(void)unlink(path);
	if (!json_is_true(json_object_get(config, "vga")) ||
	    json_object_get(config, "vnc") != NULL) {
		return true;
	}
	files->fds[files->count] = listen_privately(path, -1, SOCK_STREAM, 16, "");
	json_object_set_new(config, "vnc",
			    json_pack("{s:{s:i, s:s}}", "socket", "fd",
				      FIRST_FD + (int)files->count, "name", path));
	return files->fds[files->count++] >= 0;
}

/* The machine comes over a connection that is there already. */
static bool open_stream(const struct arriving *from, json_t *config, struct worker_files *files)
{
	json_object_set_new(config, "receive",
			    json_pack("{s:{s:i, s:s}, s:s, s:b}", "socket", "fd",
				      FIRST_FD + (int)files->count, "name", "the other host",
				      "owner", from->owner, "disks", from->disks));
	files->fds[files->count] = fcntl(from->stream, F_DUPFD_CLOEXEC, 0);
	return files->fds[files->count++] >= 0;
}

static bool open_files(struct machine *machine, const struct arriving *from,
		       struct worker_files *files)
{
	json_t *config = settings_for_worker(machine, from != NULL ? from->config
								   : machine->settings.document);
	char path[PATH_MAX];
	bool restore = false, shown;

	if (!machine_run_path(machine, "control", path) ||
	    (from == NULL && !use_state(machine, &restore))) {
		json_decref(config);
		return false;
	}
	change_started(machine, config);
	json_object_set_new(
		config, "control",
		json_pack("{s:{s:i, s:s}}", "socket", "fd", FIRST_FD + 1, "name", path));
	if (restore) {
		json_object_set_new(config, "restore", json_string(FILE_STATE_USED));
	}
	files->count = 3;
	shown = open_display(machine, config, files) &&
		(from == NULL || open_stream(from, config, files));
	files->fds[0] = start_text_file("config", config);
	json_decref(config);
	(void)unlink(path);
	files->fds[1] = listen_privately(path, -1, SOCK_SEQPACKET, 16, "");
	files->fds[2] = open_lock(machine);
	files->log = open_log(machine);
	files->nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return shown && files->fds[0] >= 0 && files->fds[1] >= 0 && files->fds[2] >= 0 &&
	       files->log >= 0 && files->nowhere >= 0;
}

static void close_files(const struct worker_files *files)
{
	const int all[] = {files->fds[0], files->fds[1], files->fds[2], files->fds[3],
			   files->fds[4], files->log,    files->nowhere};

	for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
		if (all[i] >= 0) {
			close(all[i]);
		}
	}
}

bool start_worker(struct machine *machine, const struct arriving *from, struct refusal *why)
{
	static const char *const words[] = {"--config", "fd:3", NULL};
	struct worker_files files = {.fds = {-1, -1, -1, -1, -1}, .log = -1, .nowhere = -1};
	char folder[PATH_MAX];
	pid_t worker = -1;
	bool opened;

	opened = machine_path(machine, "", folder) && open_files(machine, from, &files);
	if (opened && flock(files.fds[2], LOCK_EX | LOCK_NB) != 0) {
		close_files(&files);
		return refuse(why, SERVICE_BAD_STATE, "wait for its end, or end it",
			      "'%s' has a worker still", machine->name);
	}
	if (opened) {
		begin_log(files.log);
		worker = start_process(machine->service->worker, folder, words, files.fds,
				       files.count, files.nowhere, files.log);
		errno = worker < 0 ? -worker : 0;
	}
	if (worker <= 0) {
		refuse(why, SERVICE_BAD_IO, "", "'%s': the worker cannot be started: %s",
		       machine->name, strerror(errno));
	}
	close_files(&files);
	if (worker <= 0) {
		change_ended(machine);
	}
	return worker > 0 && machine_take_worker(machine, worker, why);
}
