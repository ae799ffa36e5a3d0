/*
 * The program swtpm (Debian's package of that name), which is a TPM 2.0. It is started before the
 * worker is in its own sandbox, as a user that nobody else is, without a network, and with one file
 * that it can write: that of the TPM's state, which root gives to that user. Its own filter of
 * system calls comes on top. It ends when the worker does, with its sockets.
 */
#include "worker/tpm.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted/sandbox.h"
#include "worker/say.h"

#define SWTPM "swtpm"
/* Its descriptors. */
#define CONTROL   3
#define STATE     4
#define TPM_USERS 0x74700000u /* the first of the users that one of root's becomes */
/* What a file of its begins with (struct nvram_linear_hdr of swtpm). Over anything else it would
 * write without a word. */
#define MAGIC 0x737774706d6c696eull
/* How long one that ends, of a worker that has ended, may have the file yet: looks, a moment
 * apart. */
#define LOCK_TRIES 100
#define MOMENT_US  50000
#define FILE_MAX   (16u << 20) /* bytes, of a TPM's state */

static int refuse(const char *path, const char *what)
{
	say("--tpm %s: %s", path, what);
	return -1;
}

static bool is_state(int fd, off_t size)
{
	uint64_t magic;

	return size == 0 ||
	       (size <= (off_t)FILE_MAX && pread(fd, &magic, sizeof(magic), 0) == sizeof(magic) &&
		le64toh(magic) == MAGIC);
}

/* One machine's, as a disk's file is; swtpm itself takes no lock. -1: said why. */
static int open_state(const struct config_file *file)
{
	int fd = file->fd >= 0 ? file->fd
			       : open(file->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat stat;
	unsigned int tries;

	if (fd < 0) {
		return refuse(file->path, strerror(errno));
	}
	if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode) || !is_state(fd, stat.st_size)) {
		return refuse(file->path, "not the state of a TPM; give the name of a file that is "
					  "one, or is not there yet");
	}
	for (tries = 1; fcntl(fd, F_OFD_SETLK, &whole) != 0; tries++) {
		if ((errno != EAGAIN && errno != EACCES) || tries == LOCK_TRIES) {
			return refuse(file->path, errno == EAGAIN || errno == EACCES
							  ? "another machine has it"
							  : strerror(errno));
		}
		usleep(MOMENT_US);
	}
	return fd;
}

/* In the new process; what fails is said there. */
static _Noreturn void become_swtpm(int state)
{
	const struct rlimit size = {FILE_MAX, FILE_MAX};
	char from[64], control[64];
	sigset_t none;

	/* Its path leads to the file that is open, wherever that lies. */
	snprintf(from, sizeof(from), "backend-uri=file:///proc/self/fd/%d", state);
	snprintf(control, sizeof(control), "type=unixio,clientfd=%d", CONTROL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_IGN); /* a terminal's are the worker's to act on */
	signal(SIGHUP, SIG_IGN);
	if (geteuid() == 0) {
		uid_t user = TPM_USERS + (uid_t)getpid();

		/* Without a network, where that is for root to say. */
		if (unshare(CLONE_NEWNET | CLONE_NEWIPC) != 0 && errno != EPERM &&
		    errno != EINVAL) {
			(void)sandbox_refuse("a network of its own", errno);
			_exit(1);
		}
		if (fchown(state, user, user) != 0) {
			(void)sandbox_refuse("the TPM's state", errno);
			_exit(1);
		}
		if (!sandbox_begin() || !sandbox_close_files_but(state) ||
		    !sandbox_become(user, "")) {
			_exit(1);
		}
	} else if (!sandbox_begin() || !sandbox_close_files_but(state)) {
		_exit(1);
	}
	setrlimit(RLIMIT_FSIZE, &size);
	execlp(SWTPM, SWTPM, "socket", "--tpm2", "--tpmstate", from, "--ctrl", control,
	       "--terminate", NULL);
	say("--tpm: %s: %s; it is in the package swtpm", SWTPM, strerror(errno));
	_exit(1);
}

/* The two are far above the numbers that they get. */
static void arrange(int control, int state)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(control, CONTROL) < 0 || dup2(state, STATE) < 0 ||
	    close_range(STATE + 1, ~0u, 0) != 0) {
		_exit(1);
	}
}

/* Another open file: its lock is not this one's, and nothing can be written by it. */
static int open_reader(int state)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", state);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int tpm_process_start(const struct config_file *file, int *reader)
{
	int state = open_state(file), pair[2], high_control, high_state;
	pid_t process;

	if (state < 0) {
		return -1;
	}
	*reader = open_reader(state);
	if (*reader < 0) {
		return refuse(file->path, strerror(errno));
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		return refuse(file->path, strerror(errno));
	}
	process = fork();
	if (process == 0) {
		high_control = fcntl(pair[1], F_DUPFD, STATE + 1);
		high_state = fcntl(state, F_DUPFD, STATE + 1);
		arrange(high_control, high_state);
		become_swtpm(STATE);
	}
	close(pair[1]);
	/* The lock is the open file's, which swtpm has too, as long as it lives. */
	close(state);
	if (process < 0) {
		close(pair[0]);
		return refuse(file->path, strerror(errno));
	}
	return pair[0];
}
