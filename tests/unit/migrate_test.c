/*
 * A machine that moves between two whole workers (tests/fake/home.h), each in a process of its own,
 * with this test as the connection between them: it cuts that at every frame, before it, in the
 * middle and behind it, kills either side there, and cancels. Whatever happens, one side's guest
 * goes on, with the memory that the machine had, and the other's does not; and when nobody was
 * killed that had the machine, it goes on at all.
 *
 * The guest counts in its memory and on its disk, and each number may be counted once in all: so a
 * guest that runs twice, or from a memory or a disk that is not the last, is seen.
 *
 * All of it once with a disk that both have, and once with one that comes along.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
#include "tests/fake/part.h"
#include "hosted/owner.h"
#include "worker/wire.h"

#define COUNTER_GPA 0x600000u
#define TEXT_GPA    0x700000u
#define AWAY_GPA    0x800000u /* a block that the guest does not use, when it has used it for once */
#define TEXT        "what is written once, and never again"
#define DISK_BYTES  (1u << 20)
#define PLACES      15u /* on the disk, of numbers; the last one is never written */
#define PLACE_BYTES (DISK_BYTES / 16)

enum side { SOURCE, TARGET, SIDES };

/* Of all processes. */
static struct shared {
	_Atomic uint64_t counted; /* the last number */
	_Atomic uint64_t by[SIDES];
	_Atomic unsigned int wrong;
} *shared;

static enum side side;            /* of a worker's process */
static bool carried;              /* the disk comes along */
static unsigned int usual_frames; /* of a run in which nothing happened */
static char folder[] = "/tmp/migrate_test.XXXXXX";
static char kernel_path[LIFE_PATH_BYTES], disk_paths[SIDES][LIFE_PATH_BYTES];

static void moment(void)
{
	static const struct timespec ms = {.tv_nsec = 1000000};

	nanosleep(&ms, NULL);
}

/* ---- The workers ---- */

static struct machine machine;
static struct config config;

static struct disk *guest_disk(void)
{
	return machine.disks.places[0].file;
}

static void check_disk(uint64_t number)
{
	uint64_t found;

	if (number != 0 &&
	    (disk_read(guest_disk(), &found, sizeof(found), number % PLACES * PLACE_BYTES) != 0 ||
	     found != number)) {
		atomic_fetch_add(&shared->wrong, 1);
	}
}

static void put_on_disk(uint64_t number)
{
	if (disk_write(guest_disk(), &number, sizeof(number), number % PLACES * PLACE_BYTES) != 0) {
		atomic_fetch_add(&shared->wrong, 1);
	}
}

static void guest(struct home_vp *vp)
{
	_Atomic uint64_t *counter = home_memory(vp, COUNTER_GPA, sizeof(*counter));
	char *text = home_memory(vp, TEXT_GPA, sizeof(TEXT));

	if (home_index(vp) != 0) {
		return;
	}
	if (*counter == 0) {
		memcpy(text, TEXT, sizeof(TEXT));
		memset(home_memory(vp, AWAY_GPA, MEMORY_UNIT), 7, MEMORY_UNIT);
		if (memory_give_back(&machine.memory, AWAY_GPA) != 0) {
			atomic_fetch_add(&shared->wrong, 1);
		}
	}
	/* It stays away on the other side. */
	if (!memory_is_away(&machine.memory, AWAY_GPA)) {
		atomic_fetch_add(&shared->wrong, 1);
	}
	for (;;) {
		uint64_t before = *counter;

		check_disk(before);
		check_disk(before > PLACES ? before - PLACES + 1 : 0);
		put_on_disk(before + 1);
		*counter = before + 1;
		if (!atomic_compare_exchange_strong(&shared->counted, &before, *counter) ||
		    memcmp(text, TEXT, sizeof(TEXT)) != 0) {
			atomic_fetch_add(&shared->wrong, 1);
		}
		atomic_fetch_add(&shared->by[side], 1);
		home_out(vp, 0x5678, 1, 0);
	}
}

static void path_of(char path[LIFE_PATH_BYTES], const char *name)
{
	snprintf(path, LIFE_PATH_BYTES, "%s/%s", folder, name);
}

static const char *const control_names[SIDES] = {"source", "target"};

static const char *disk_of(enum side which)
{
	return disk_paths[carried ? which : SOURCE];
}

/* Where both have the disk they have one. */
static void owner_path(char path[LIFE_PATH_BYTES], enum side which)
{
	path_of(path, carried && which == SOURCE ? "source.owner" : "move.owner");
}

static int open_owner(enum side which)
{
	char path[LIFE_PATH_BYTES];
	int fd;

	owner_path(path, which);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return fd;
}

static pid_t start(enum side which, const char *vps)
{
	char control[LIFE_PATH_BYTES], receive[LIFE_PATH_BYTES], disk[80];
	char *words[] = {
		"vmwp",    "--name",           "moved", "--kernel",  kernel_path, "--memory",
		"16M",     "--memory-minimum", "8M",    "--vps",     (char *)vps, "--serial",
		"control", "--disk",           disk,    "--control", control,     "--receive",
		receive,   "--receive-disks",  NULL};
	pid_t pid;

	path_of(control, control_names[which]);
	path_of(receive, "move");
	snprintf(disk, sizeof(disk), "%s,raw", disk_of(which));
	if (which == SOURCE) {
		words[17] = NULL;
	}
	if (!carried) {
		words[19] = NULL;
	}
	unlink(control);
	pid = fork();
	if (pid != 0) {
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	side = which;
	home_guest = guest;
	home_is_saved = true;
	fake_dirty_always = COUNTER_GPA;
	fflush(NULL);
	_exit((int)life_live(&machine, &config, words));
}

/* ---- Their control sockets ---- */

struct control_client {
	int fd;
	char text[CONTROL_MESSAGE_MAX + 1];
};

static bool put_request(struct control_client *client, const char *text, const int *fds,
			unsigned int count)
{
	return packet_send(client->fd, 0, text, strlen(text), fds, count) == 0;
}

/* The next answer or event; false: the worker has gone. */
static bool take_text(struct control_client *client)
{
	ssize_t got = recv(client->fd, client->text, sizeof(client->text) - 1, 0);

	if (got <= 0) {
		return false;
	}
	client->text[got] = '\0';
	return true;
}

static void open_client(struct control_client *client, enum side which)
{
	char path[LIFE_PATH_BYTES];

	path_of(path, control_names[which]);
	while ((client->fd = connect_at(path, SOCK_SEQPACKET)) < 0) {
		moment();
	}
	assert_true(put_request(client,
				"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\","
				"\"params\":{\"versions\":[1,1]}}",
				NULL, 0) &&
		    take_text(client));
	assert_true(put_request(client, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"events\"}",
				NULL, 0) &&
		    take_text(client));
}

/* ---- The connection between them ---- */

enum fault {
	NONE,
	CUT_BEFORE,
	CUT_IN,
	CUT_BEHIND,
	KILL_SOURCE,
	KILL_TARGET,
	CANCEL,
	EMPTY,
	FAULTS
};

struct run {
	pid_t pids[SIDES];
	int ends[SIDES]; /* of the test, at the source and at the target */
	struct control_client control;
	enum fault fault;
	unsigned int at, frames; /* the frame of the fault, and how many there were */
	bool arrived;            /* END, at the target */
	bool cut;
};

static void cut(struct run *run)
{
	unsigned int i;

	for (i = 0; i < SIDES; i++) {
		if (run->ends[i] >= 0) {
			close(run->ends[i]);
			run->ends[i] = -1;
		}
	}
	run->cut = true;
}

static void kill_side(struct run *run, enum side which)
{
	int status;

	assert_int_equal(kill(run->pids[which], SIGKILL), 0);
	assert_int_equal(waitpid(run->pids[which], &status, 0), run->pids[which]);
	run->pids[which] = -1;
}

static bool get_all(int fd, void *to, size_t size)
{
	return size == 0 || recv(fd, to, size, MSG_WAITALL) == (ssize_t)size;
}

static bool put_all(int fd, const void *from, size_t size)
{
	return size == 0 || send(fd, from, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* One frame goes over, or meets what the run is about. */
static void pass(struct run *run, enum side from)
{
	static uint8_t frame[8 + WIRE_PAYLOAD_MAX];
	bool now = run->frames++ == run->at;
	int to = run->ends[1 - from];
	uint32_t type, length;

	if (!get_all(run->ends[from], frame, 8)) {
		cut(run);
		return;
	}
	memcpy(&type, frame, 4);
	memcpy(&length, frame + 4, 4);
	assert_true(length <= WIRE_PAYLOAD_MAX && get_all(run->ends[from], frame + 8, length));
	length += 8;
	if (now && run->fault == CUT_BEFORE) {
		cut(run);
		return;
	}
	if (now && run->fault == CUT_IN) {
		(void)put_all(to, frame, length / 2);
		cut(run);
		return;
	}
	if (now && (run->fault == KILL_SOURCE || run->fault == KILL_TARGET)) {
		/* Of one half of the runs the frame still arrives. */
		if (run->at % 2) {
			(void)put_all(to, frame, length);
			run->arrived |= type == WIRE_END;
		}
		kill_side(run, run->fault == KILL_SOURCE ? SOURCE : TARGET);
		cut(run);
		return;
	}
	if (now && run->fault == CANCEL) {
		(void)put_request(&run->control,
				  "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"job.cancel\","
				  "\"params\":{\"job\":1}}",
				  NULL, 0);
		moment();
	}
	if (now && run->fault == EMPTY) {
		const uint32_t nothing[2] = {type, 0};

		(void)put_all(to, nothing, sizeof(nothing));
	}
	if (!put_all(to, frame, length)) {
		cut(run);
		return;
	}
	run->arrived |= type == WIRE_END;
	if (now && run->fault == CUT_BEHIND) {
		cut(run);
	}
}

static void connect_both(struct run *run)
{
	while (!run->cut) {
		struct pollfd polls[SIDES] = {{run->ends[SOURCE], POLLIN, 0},
					      {run->ends[TARGET], POLLIN, 0}};

		if (poll(polls, SIDES, -1) < 0) {
			continue;
		}
		for (unsigned int i = 0; i < SIDES && !run->cut; i++) {
			if (polls[i].revents != 0) {
				pass(run, (enum side)i);
			}
		}
	}
}

/* ---- A run ---- */

/* A new one is zeros; the source's has something that is not written again. */
static void clear_disk(enum side which)
{
	int fd = open(disk_of(which), O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && ftruncate(fd, 0) == 0 && ftruncate(fd, DISK_BYTES) == 0);
	if (which == SOURCE) {
		assert_int_equal(pwrite(fd, TEXT, sizeof(TEXT), PLACES * PLACE_BYTES),
				 sizeof(TEXT));
	}
	close(fd);
}

/* Of what was never written again, where the machine is now. */
static void check_text(enum side which)
{
	char text[sizeof(TEXT)];
	int fd = open(disk_of(which), O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, text, sizeof(text), PLACES * PLACE_BYTES), sizeof(text));
	assert_memory_equal(text, TEXT, sizeof(text));
	close(fd);
}

/*
 * Who manages the two: what the source's file says the target is told. One whose worker has died
 * decides it there.
 */
static void tell_target(struct run *run)
{
	enum owner whose = OWNER_NOBODY;
	int source = open_owner(SOURCE), target = open_owner(TARGET);
	siginfo_t info = {.si_pid = 0};

	if (run->pids[SOURCE] < 0) {
		assert_int_equal(owner_close(source, &whose), 0);
	}
	/* Until it is known, or there is nobody who waits for it. */
	do {
		assert_int_equal(owner_look(source, &whose), 0);
		moment();
	} while (whose == OWNER_NOBODY &&
		 waitid(P_PID, (id_t)run->pids[TARGET], &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		 info.si_pid == 0);
	assert_int_equal(owner_tell(target, whose), 0);
	close(source);
	close(target);
}

static void begin(struct run *run, const char *vps)
{
	char path[LIFE_PATH_BYTES];
	int pair[2], fds[2];

	memset(shared, 0, sizeof(*shared));
	for (unsigned int i = 0; i < SIDES; i++) {
		owner_path(path, (enum side)i);
		unlink(path);
	}
	clear_disk(SOURCE);
	if (carried) {
		clear_disk(TARGET);
	}
	path_of(path, "move");
	unlink(path);
	run->pids[SOURCE] = start(SOURCE, "2");
	open_client(&run->control, SOURCE);
	while (atomic_load(&shared->by[SOURCE]) == 0) {
		moment();
	}
	run->pids[TARGET] = start(TARGET, vps);
	while ((run->ends[TARGET] = connect_at(path, SOCK_STREAM)) < 0) {
		moment();
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	run->ends[SOURCE] = pair[0];
	fds[0] = pair[1];
	fds[1] = open_owner(SOURCE);
	assert_true(put_request(&run->control,
				carried ? "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"migrate\","
					  "\"params\":{\"rounds\":2,\"downtime\":0,\"disks\":true}}"
					: "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"migrate\","
					  "\"params\":{\"rounds\":2,\"downtime\":0}}",
				fds, 2));
	close(fds[0]);
	close(fds[1]);
}

/* The worker of that side has ended; why. */
static int wait_for_end(struct run *run, enum side which)
{
	int status;

	assert_int_equal(waitpid(run->pids[which], &status, 0), run->pids[which]);
	run->pids[which] = -1;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool is_locked(enum side which)
{
	struct disk *disk;
	struct disk_open how = {.format = DISK_FORMAT_RAW};
	int ret = disk_open(disk_of(which), &how, &disk, NULL);

	if (ret == 0) {
		(void)disk_close(&disk, NULL);
	}
	return ret == -EBUSY;
}

/* The side whose guest counts: there has to be one. */
static enum side find_runner(void)
{
	uint64_t before[SIDES] = {atomic_load(&shared->by[SOURCE]),
				  atomic_load(&shared->by[TARGET])};
	unsigned int i;

	for (;;) {
		for (i = 0; i < SIDES; i++) {
			if (atomic_load(&shared->by[i]) > before[i] + 20) {
				return (enum side)i;
			}
		}
		moment();
	}
}

static void end(struct run *run, enum side runner)
{
	uint64_t other = atomic_load(&shared->by[1 - runner]);

	/* One that has all it needs, but has not begun yet, may not have its disks yet either. */
	assert_int_equal(find_runner(), runner);
	assert_true(is_locked(runner));
	check_text(runner);
	assert_int_equal(atomic_load(&shared->by[1 - runner]), other);
	assert_int_equal(atomic_load(&shared->wrong), 0);
	kill_side(run, runner);
	assert_false(is_locked(runner));
	close(run->control.fd);
}

/* The source's file says so, whether or not the target has heard it. */
static bool was_given(void)
{
	enum owner whose;
	int fd = open_owner(SOURCE);

	assert_int_equal(owner_look(fd, &whose), 0);
	close(fd);
	return whose == OWNER_TARGET;
}

/* False: it had fewer frames than that, and nothing happened. */
static bool try(enum fault fault, unsigned int at)
{
	struct run run = {.fault = fault, .at = at};
	enum side runner;

	begin(&run, "2");
	connect_both(&run);
	if (carried && run.pids[TARGET] >= 0) {
		tell_target(&run);
	}
	if (run.pids[SOURCE] < 0) {
		/* Killed. The target has the machine, or it died with its source. */
		if (carried ? was_given() : run.arrived) {
			end(&run, TARGET);
			return true;
		}
		assert_int_equal(wait_for_end(&run, TARGET), STOP_HOST_ERROR);
		assert_int_equal(atomic_load(&shared->by[TARGET]), 0);
		assert_int_equal(atomic_load(&shared->wrong), 0);
		close(run.control.fd);
		return true;
	}
	if (run.pids[TARGET] < 0 && atomic_load(&shared->by[TARGET]) != 0) {
		/* It ran, and died: the source must not go on. */
		assert_int_equal(wait_for_end(&run, SOURCE), STOP_MOVED);
		assert_int_equal(atomic_load(&shared->wrong), 0);
		close(run.control.fd);
		return run.frames > at;
	}
	if (run.pids[TARGET] < 0) {
		/* Whose it was is in the owner file. */
		uint64_t before = atomic_load(&shared->by[SOURCE]);

		for (;;) {
			int status;

			if (waitpid(run.pids[SOURCE], &status, WNOHANG) == run.pids[SOURCE]) {
				assert_int_equal(WEXITSTATUS(status), STOP_MOVED);
				close(run.control.fd);
				return true;
			}
			if (carried ? atomic_load(&shared->by[SOURCE]) > before + 20
				    : is_locked(SOURCE)) {
				end(&run, SOURCE);
				return true;
			}
			moment();
		}
	}
	runner = find_runner();
	if (runner == TARGET) {
		assert_int_equal(wait_for_end(&run, SOURCE), STOP_MOVED);
	} else {
		assert_int_equal(wait_for_end(&run, TARGET), STOP_HOST_ERROR);
	}
	end(&run, runner);
	assert_true(fault != NONE || runner == TARGET);
	usual_frames = fault == NONE ? run.frames : usual_frames;
	return run.frames > at;
}

/* ---- Tests ---- */

static void it_moves(void **state)
{
	(void)state;
	(void)try(NONE, 0);
}

/* Of the many frames before those that decide some do, where a disk makes them many. */
#define LAST_FRAMES 4u /* END, ASK, OWNER, RUNS */
static unsigned int next_frame(unsigned int at)
{
	return !carried || at + LAST_FRAMES >= usual_frames
		       ? at + 1
		       : (unsigned int)next_place(at, usual_frames - LAST_FRAMES);
}

static void at_every_frame(enum fault fault)
{
	unsigned int at = 0;

	while (try(fault, at)) {
		at = next_frame(at);
	}
	/* HELLO, YES, PAGES, PAGES, LIST, END, RUNS; DISK, FLUSH, FLUSHED, ASK, OWNER */
	assert_true(at > (carried ? 11 : 6));
}

static void it_is_cut_before(void **state)
{
	(void)state;
	at_every_frame(CUT_BEFORE);
}

static void it_is_cut_in_the_middle(void **state)
{
	(void)state;
	at_every_frame(CUT_IN);
}

static void it_is_cut_behind(void **state)
{
	(void)state;
	at_every_frame(CUT_BEHIND);
}

static void the_source_is_killed(void **state)
{
	(void)state;
	at_every_frame(KILL_SOURCE);
}

static void the_target_is_killed(void **state)
{
	(void)state;
	at_every_frame(KILL_TARGET);
}

static void it_is_cancelled(void **state)
{
	(void)state;
	at_every_frame(CANCEL);
}

/* Each comes without what is in it, too. */
static void a_frame_is_empty(void **state)
{
	(void)state;
	at_every_frame(EMPTY);
}

/* What does not fit is said by name, and nothing has happened. */
static void what_does_not_fit(void **state)
{
	struct run run = {.at = UINT32_MAX};

	(void)state;
	begin(&run, "3");
	connect_both(&run);
	assert_int_equal(wait_for_end(&run, TARGET), STOP_HOST_ERROR);
	while (take_text(&run.control) && strstr(run.control.text, "\"failed\"") == NULL) {
	}
	assert_non_null(strstr(run.control.text, "2 VPs there, 3 here"));
	end(&run, SOURCE);
}

static int set_up(void **state)
{
	static uint8_t disk[DISK_BYTES];

	(void)state;
	carried = false;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(shared != MAP_FAILED);
	assert_non_null(mkdtemp(folder));
	life_make_kernel(kernel_path, folder);
	life_make_file(disk_paths[SOURCE], folder, "disk", disk, sizeof(disk));
	life_make_file(disk_paths[TARGET], folder, "disk.target", disk, sizeof(disk));
	return 0;
}

static int set_up_carried(void **state)
{
	(void)state;
	carried = true;
	usual_frames = 0;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"kernel", "disk",         "disk.target", "source",
					    "target", "source.owner", "move",        "move.owner"};
	char path[LIFE_PATH_BYTES];
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_of(path, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_moves),
		cmocka_unit_test(what_does_not_fit),
		cmocka_unit_test(it_is_cut_before),
		cmocka_unit_test(it_is_cut_in_the_middle),
		cmocka_unit_test(it_is_cut_behind),
		cmocka_unit_test(the_source_is_killed),
		cmocka_unit_test(the_target_is_killed),
		cmocka_unit_test(it_is_cancelled),
		cmocka_unit_test(a_frame_is_empty),
	};
	int failed;

	if (set_up(NULL) != 0) {
		return 1;
	}
	failed = cmocka_run_group_tests_name("a disk that both have", tests, NULL, NULL);
	failed +=
		cmocka_run_group_tests_name("a disk that comes along", tests, set_up_carried, NULL);
	return tear_down(NULL) != 0 || failed != 0;
}
