/*
 * Checkpoints of a whole worker (tests/fake/home.h) by its control socket: what it refuses, that it
 * stands until it is told which files are its own, goes on then in the new ones or the old ones,
 * and that a worker that is started from the state goes on where that one stood.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "disk/disk.h"
#include "hosted/listen.h"
#include "hosted/packet.h"
#include "tests/fake/home.h"
#include "tests/fake/life.h"

#define COUNTER_GPA 0x600000u
#define DISK_BYTES  (4u << 20)

static struct shared {
	_Atomic uint64_t counted;
} *shared; /* with the worker's process */

static struct machine machine;
static struct config config;
static char folder[] = "/tmp/checkpoint_test.XXXXXX";
static char kernel_path[LIFE_PATH_BYTES], disk[LIFE_PATH_BYTES];

static struct worker {
	pid_t pid;
	int fd;
	char text[CONTROL_MESSAGE_MAX + 1];
} worker;

static void moment(void)
{
	static const struct timespec ms = {.tv_nsec = 1000000};

	nanosleep(&ms, NULL);
}

static const char *path_of(const char *name)
{
	static char paths[4][LIFE_PATH_BYTES];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, LIFE_PATH_BYTES, "%s/%s", folder, name);
	return path;
}

static void guest(struct home_vp *vp)
{
	_Atomic uint64_t *counter = home_memory(vp, COUNTER_GPA, sizeof(*counter));

	if (home_index(vp) != 0) {
		return;
	}
	for (;;) {
		atomic_store(&shared->counted, ++*counter);
		home_out(vp, 0x5678, 1, 0);
	}
}

/* ---- The worker, and what it is asked ---- */

static void start(const char *state)
{
	char control[LIFE_PATH_BYTES], disk_word[80];
	char *words[] = {"vmwp",    "--name",    "saved", "--kernel",  kernel_path,   "--memory",
			 "16M",     "--vps",     "2",     "--serial",  "control",     "--disk",
			 disk_word, "--control", control, "--restore", (char *)state, NULL};

	snprintf(control, sizeof(control), "%s", path_of("control"));
	snprintf(disk_word, sizeof(disk_word), "%s", disk);
	if (state == NULL) {
		words[15] = NULL;
	}
	unlink(control);
	atomic_store(&shared->counted, 0);
	worker.pid = fork();
	if (worker.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		home_guest = guest;
		home_is_saved = true;
		fflush(NULL);
		_exit((int)life_live(&machine, &config, words));
	}
	while ((worker.fd = connect_at(control, SOCK_SEQPACKET)) < 0) {
		moment();
	}
	while (atomic_load(&shared->counted) == 0) {
		moment();
	}
}

static void end(void)
{
	int status;

	close(worker.fd);
	assert_int_equal(kill(worker.pid, SIGKILL), 0);
	assert_int_equal(waitpid(worker.pid, &status, 0), worker.pid);
}

/* The answer, or the next event. */
static const char *hear(void)
{
	ssize_t got = recv(worker.fd, worker.text, sizeof(worker.text) - 1, 0);

	assert_true(got > 0);
	worker.text[got] = '\0';
	return worker.text;
}

static void ask(const char *method, const char *params, const int *fds, unsigned int count)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":%s}", method, params);
	assert_int_equal(packet_send(worker.fd, 0, text, strlen(text), fds, count), 0);
	while (strstr(hear(), "\"id\":7,") == NULL && strstr(worker.text, "\"id\":7}") == NULL) {
	}
}

static void expect(const char *method, const char *params, const int *fds, unsigned int count,
		   const char *what)
{
	ask(method, params, fds, count);
	if (strstr(worker.text, what) == NULL) {
		fail_msg("%s: not %s: %s", method, what, worker.text);
	}
}

/* A job, until its end. */
static void do_job(const char *method, const char *params, const int *fds, unsigned int count,
		   const char *state)
{
	char wanted[64];

	expect(method, params, fds, count, "\"job\":");
	snprintf(wanted, sizeof(wanted), "\"what\":\"%s\",\"state\":\"", method);
	while (strstr(hear(), "\"event\":\"job\"") == NULL || strstr(worker.text, wanted) == NULL ||
	       strstr(worker.text, "\"state\":\"running\"") != NULL) {
	}
	if (strstr(worker.text, state) == NULL) {
		fail_msg("%s: not %s: %s", method, state, worker.text);
	}
}

static void say_hello(void)
{
	ask("hello", "{\"versions\":[1,1]}", NULL, 0);
	ask("events", "{}", NULL, 0);
}

static void go_on(void)
{
	uint64_t before;

	expect("resume", "{}", NULL, 0, "running");
	before = atomic_load(&shared->counted);
	while (atomic_load(&shared->counted) == before) {
		moment();
	}
}

/* ---- Files ---- */

static void make_disk(const char *name, const char *parent)
{
	struct disk_create how = {.type = parent != NULL ? DISK_DIFFERENCING : DISK_DYNAMIC,
				  .size = parent != NULL ? 0 : DISK_BYTES,
				  .parent = parent,
				  .no_lock = true};
	struct disk_error error;

	unlink(path_of(name));
	if (disk_create(path_of(name), &how, &error) != 0) {
		fail_msg("%s", error.text);
	}
}

static int open_file(const char *name, int flags)
{
	int fd = open(path_of(name), O_RDWR | O_CLOEXEC | flags, 0600);

	assert_true(fd >= 0);
	return fd;
}

/* Whether somebody else could have the file for writing now: alone, or with its parents. */
static bool is_free(const char *name, bool alone)
{
	struct disk_open how = {.flags = alone ? DISK_NO_PARENT : 0};
	struct disk *handle;

	if (disk_open(path_of(name), &how, &handle, NULL) != 0) {
		return false;
	}
	disk_close(&handle, NULL);
	return true;
}

#define DISKS(name) "{\"state\":%s,\"disks\":[{\"number\":0,\"name\":\"" name "\"}]}"

static const char *params_of(bool state)
{
	static char text[128];

	snprintf(text, sizeof(text), DISKS("new.avhdx"), state ? "true" : "false");
	return text;
}

/* ---- Tests ---- */

static void both_ways(bool state)
{
	uint64_t stood;
	int fds[2];

	make_disk("disk.vhdx", NULL);
	unlink(path_of("state"));
	start(NULL);
	say_hello();
	for (unsigned int round = 0; round < 2; round++) {
		bool keep = round == 1;

		make_disk("new.avhdx", disk);
		unlink(path_of("state"));
		do_job("pause", "{}", NULL, 0, "\"done\"");
		stood = atomic_load(&shared->counted);
		fds[0] = open_file("state", O_CREAT | O_EXCL);
		fds[1] = open_file("new.avhdx", 0);
		do_job("checkpoint", params_of(state), state ? fds : fds + 1, state ? 2 : 1,
		       "\"done\"");
		close(fds[0]);
		close(fds[1]);
		expect("status", "{}", NULL, 0, "\"checkpoint\":true");
		expect("status", "{}", NULL, 0, "new.avhdx");
		expect("resume", "{}", NULL, 0, "checkpoint");
		expect("reset", "{}", NULL, 0, "\"busy\"");
		expect("checkpoint", params_of(false), NULL, 0, "\"busy\"");
		assert_false(is_free("new.avhdx", true));
		do_job("checkpoint.end", keep ? "{\"keep\":true}" : "{\"keep\":false}", NULL, 0,
		       "\"done\"");
		assert_int_equal(atomic_load(&shared->counted), stood);
		expect("status", "{}", NULL, 0, keep ? "new.avhdx" : "disk.vhdx");
		assert_null(strstr(worker.text, "\"checkpoint\":true"));
		assert_int_equal(is_free("new.avhdx", true), !keep);
		expect("checkpoint.end", "{\"keep\":true}", NULL, 0, "no checkpoint");
		go_on();
	}
	end();
	if (state) { /* where it stood, on the disk of then */
		start(path_of("state"));
		assert_true(atomic_load(&shared->counted) > stood);
		end();
	}
}

static void with_memory(void **state)
{
	(void)state;
	both_ways(true);
}

static void without_memory(void **state)
{
	(void)state;
	both_ways(false);
}

static void refused(const char *params, const int *fds, unsigned int count, const char *what)
{
	expect("checkpoint", params, fds, count, what);
}

static void what_cannot_be(void **state)
{
	int fds[2];

	(void)state;
	make_disk("disk.vhdx", NULL);
	make_disk("other.vhdx", NULL);
	make_disk("new.avhdx", disk);
	start(NULL);
	say_hello();
	fds[0] = open_file("new.avhdx", 0);
	refused(params_of(false), fds, 1, "not paused");
	do_job("pause", "{}", NULL, 0, "\"done\"");
	refused(params_of(false), NULL, 0, "descriptors");
	refused(params_of(true), fds, 1, "descriptors");
	refused("{\"disks\":[]}", NULL, 0, "has no new file");
	refused("{\"disks\":[{\"number\":5,\"name\":\"x\"}]}", fds, 1, "has no new file");
	fds[1] = fds[0];
	refused("{\"disks\":[{\"number\":0,\"name\":\"x\"},{\"number\":0,\"name\":\"x\"}]}", fds, 2,
		"twice");
	refused("{\"disks\":[{\"number\":0,\"name\":\"x\"},"
		"{\"controller\":\"ide\",\"number\":1,\"name\":\"x\"}]}",
		fds, 2, "IDE disk 1");
	refused("{\"disks\":[{\"controller\":\"ide\",\"number\":4,\"name\":\"x\"}]}", fds, 1,
		"from 0 to 3");
	refused(params_of(true), fds, 2, "no empty file");
	/* One that is no child of the disk: the machine is as it was. */
	fds[1] = open_file("other.vhdx", 0);
	do_job("checkpoint", params_of(false), fds + 1, 1, "\"failed\"");
	expect("status", "{}", NULL, 0, "disk.vhdx");
	go_on();
	close(fds[0]);
	close(fds[1]);
	end();
}

/* The worker dies between the two: either file is a whole disk. */
#define MERGE(number, look)                                                                        \
	"{\"number\":" number ",\"name\":\"below.vhdx\",\"absolute\":\"/there/below.vhdx\","       \
	"\"relative\":\"below.vhdx\",\"look\":" look "}"

/* The disk goes on in a new file over the last one. */
static void take_over(const char *name, const char *over)
{
	char params[160];
	int fd;

	make_disk(name, path_of(over));
	fd = open_file(name, 0);
	snprintf(params, sizeof(params),
		 "{\"state\":false,\"disks\":[{\"number\":0,\"name\":\"%s\"}]}", name);
	do_job("pause", "{}", NULL, 0, "\"done\"");
	do_job("checkpoint", params, &fd, 1, "\"done\"");
	expect("disk.merge", MERGE("0", "true"), (int[]){fd, fd}, 2, "\"busy\"");
	do_job("checkpoint.end", "{\"keep\":true}", NULL, 0, "\"done\"");
	go_on();
	close(fd);
}

/* Of three files the middle one goes, then the top; what is not so is refused before anything is
 * begun. */
static void merged(void **state)
{
	int fds[3], read_only;

	(void)state;
	make_disk("disk.vhdx", NULL);
	start(NULL);
	say_hello();
	take_over("new.avhdx", "disk.vhdx");
	take_over("newer.avhdx", "new.avhdx");
	fds[0] = open_file("new.avhdx", 0);
	fds[1] = open_file("disk.vhdx", 0);
	fds[2] = open_file("newer.avhdx", 0);
	read_only = open(disk, O_RDONLY | O_CLOEXEC);
	expect("disk.merge", MERGE("0", "false"), fds, 1, "descriptors");
	expect("disk.merge", MERGE("0", "false"), (int[]){fds[0], read_only}, 2,
	       "open for writing");
	expect("disk.merge", MERGE("5", "false"), fds, 3, "no such disk");
	expect("disk.merge", MERGE("0", "false"), fds, 2, "do not lie over each other");
	expect("disk.merge", MERGE("0", "false"), (int[]){fds[1], fds[0], fds[2]}, 3,
	       "do not lie over each other");
	expect("disk.merge", MERGE("0", "true"), fds, 3, "\"merged\":false");
	do_job("disk.merge", MERGE("0", "false"), fds, 3, "\"done\"");
	expect("disk.merge", MERGE("0", "true"), fds, 3, "\"merged\":true");
	expect("disk.merge", MERGE("0", "false"), fds, 3, "\"merged\":true");
	expect("status", "{}", NULL, 0, "newer.avhdx");
	assert_false(is_free("disk.vhdx", true));
	do_job("disk.merge", MERGE("0", "false"), (int[]){fds[2], fds[1]}, 2, "\"done\"");
	expect("disk.merge", MERGE("0", "true"), (int[]){fds[2], fds[1]}, 2, "\"merged\":true");
	expect("status", "{}", NULL, 0, "below.vhdx");
	take_over("newest.avhdx", "disk.vhdx"); /* the parents are whole */
	end();
	assert_true(is_free("newest.avhdx", false));
	for (unsigned int i = 0; i < 3; i++) {
		close(fds[i]);
	}
	close(read_only);
}

#define MIRROR(number, more) "{\"number\":" number ",\"name\":\"copy.vhdx\"" more "}"
#define MIRRORED             "{\"mirrored\":true,\"disks\":[]}"

/* A disk is copied while the machine runs; it stands before it goes over, or the copy is dropped.
 * With a parent, and without. */
static void mirrored(void **state)
{
	char params[3 * LIFE_PATH_BYTES];
	int fds[2];

	(void)state;
	make_disk("disk.vhdx", NULL);
	start(NULL);
	say_hello();
	fds[0] = open_file("copy.vhdx", O_CREAT | O_EXCL);
	fds[1] = open_file("disk.vhdx", 0);
	expect("disk.mirror", MIRROR("5", ""), fds, 1, "no such disk");
	expect("disk.mirror", MIRROR("0", ""), fds, 2, "both names");
	expect("disk.mirror", MIRROR("0", ",\"absolute\":\"/x\""), fds, 2, "both names");
	expect("disk.mirror", MIRROR("0", ""), fds + 1, 1, "no empty file");
	expect("checkpoint", MIRRORED, NULL, 0, "no disk has a mirror");
	for (unsigned int keep = 0; keep < 2; keep++) {
		if (keep) {
			unlink(path_of("copy.vhdx"));
			fds[0] = open_file("copy.vhdx", O_CREAT | O_EXCL);
		}
		do_job("disk.mirror", MIRROR("0", ""), fds, 1, "\"done\"");
		close(fds[0]); /* the lock would be ours as well */
		expect("status", "{}", NULL, 0, "\"mirror\":\"copy.vhdx\"");
		assert_false(is_free("copy.vhdx", true));
		expect("checkpoint", MIRRORED, NULL, 0, "not paused");
		if (!keep) {
			do_job("checkpoint.end", "{\"keep\":false}", NULL, 0, "\"done\"");
			expect("status", "{}", NULL, 0, "disk.vhdx");
			assert_null(strstr(worker.text, "mirror"));
			assert_true(is_free("copy.vhdx", true));
			expect("checkpoint.end", "{\"keep\":false}", NULL, 0, "no checkpoint");
		}
	}
	expect("checkpoint.end", "{\"keep\":true}", NULL, 0, "no checkpoint");
	do_job("pause", "{}", NULL, 0, "\"done\"");
	expect("checkpoint", "{\"mirrored\":true,\"state\":true,\"disks\":[]}", NULL, 0,
	       "descriptors");
	do_job("checkpoint", MIRRORED, NULL, 0, "\"done\"");
	expect("resume", "{}", NULL, 0, "checkpoint");
	assert_false(is_free("disk.vhdx", true));
	do_job("checkpoint.end", "{\"keep\":true}", NULL, 0, "\"done\"");
	expect("status", "{}", NULL, 0, "\"copy.vhdx\"");
	assert_null(strstr(worker.text, "mirror"));
	assert_true(is_free("disk.vhdx", true));
	assert_false(is_free("copy.vhdx", true));
	go_on();
	close(fds[1]);
	take_over("new.avhdx", "copy.vhdx");
	fds[0] = open_file("last.avhdx", O_CREAT | O_EXCL);
	fds[1] = open_file("copy.vhdx", 0);
	snprintf(params, sizeof(params),
		 MIRROR("0", ",\"absolute\":\"%s/copy.vhdx\",\"relative\":\"copy.vhdx\""), folder);
	do_job("disk.mirror", params, fds, 2, "\"done\"");
	close(fds[0]);
	close(fds[1]);
	do_job("pause", "{}", NULL, 0, "\"done\"");
	do_job("checkpoint", MIRRORED, NULL, 0, "\"done\"");
	end();
	assert_true(is_free("new.avhdx", false));
	assert_true(is_free("last.avhdx", false));
}

static void killed_in_between(void **state)
{
	int fd;

	(void)state;
	for (unsigned int keep = 0; keep < 2; keep++) {
		make_disk("disk.vhdx", NULL);
		make_disk("new.avhdx", disk);
		start(NULL);
		say_hello();
		do_job("pause", "{}", NULL, 0, "\"done\"");
		fd = open_file("new.avhdx", 0);
		do_job("checkpoint", params_of(false), &fd, 1, "\"done\"");
		close(fd);
		end();
		assert_true(is_free(keep ? "new.avhdx" : "disk.vhdx", false));
	}
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	life_make_kernel(kernel_path, folder);
	snprintf(disk, sizeof(disk), "%s/disk.vhdx", folder);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(shared != MAP_FAILED);
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"disk.vhdx",   "other.vhdx",   "new.avhdx",
					    "newer.avhdx", "newest.avhdx", "state",
					    "copy.vhdx",   "last.avhdx",   "control"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unlink(path_of(names[i]));
	}
	unlink(kernel_path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_memory),       cmocka_unit_test(without_memory),
		cmocka_unit_test(what_cannot_be),    cmocka_unit_test(merged),
		cmocka_unit_test(killed_in_between), cmocka_unit_test(mirrored),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
