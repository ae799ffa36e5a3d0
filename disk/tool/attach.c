/*
 * vhd attach and detach: a block device of the kernel's, /dev/nbdN, which a process of ours serves
 * until it is let go of. attach ends when the device is there, with its partitions; detach when the
 * file is closed.
 */
#include "disk/tool/tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NBD_MAJOR    43
#define WAIT_MS      100
#define NODE_WAITS   100 /* for udev, or the kernel, to make the node */
#define SERVER_WAITS 600 /* for the server to write out what it has and to close the file */

/* -- The server -- */

/* What the server tells the command that started it. */
struct outcome {
	int ret;
	unsigned index;
};

static volatile bool stop;

static void on_signal(int number)
{
	(void)number;
	stop = true;
}

/*
 * Before there is a device: a signal, from the terminal too, or the end of who waits for it, lets
 * the server take the device away itself.
 */
static void take_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/* Nothing of the terminal's, and of no folder. */
static void become_daemon(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), i;

	setsid();
	for (i = 0; i < 3 && null >= 0; i++) {
		dup2(null, i);
	}
	if (chdir("/")) { /* then the folder that it began in stays busy */
	}
}

static int serve(struct disk *disk, int report)
{
	struct outcome outcome = {0};
	struct disk_error error;
	int sockets[2], ret;

	take_signals();
	outcome.ret = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) ? -errno : 0;
	if (!outcome.ret) {
		outcome.ret = kernel_nbd_connect(disk, sockets[1], &outcome.index);
	}
	if (write(report, &outcome, sizeof(outcome)) != sizeof(outcome) && !outcome.ret) {
		outcome.ret = -EPIPE; /* who asked for the device has gone */
		kernel_nbd_disconnect(outcome.index);
	}
	if (outcome.ret) {
		return 1;
	}
	close(report);
	close(sockets[1]); /* the kernel's now */
	become_daemon();
	ret = disk_nbd_serve_peer(disk, sockets[0], &stop, &error);
	if (stop) { /* no device may be left that nobody serves */
		kernel_nbd_disconnect(outcome.index);
	}
	return disk_close(&disk, &error) || ret;
}

/* -- attach -- */

static int open_node(const char *path)
{
	unsigned waits;
	int fd = -1;

	for (waits = 0; waits < NODE_WAITS && fd < 0; waits++) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			poll(NULL, 0, WAIT_MS);
		}
	}
	return fd;
}

/* Somebody of the system's may look at the new device at the same time: then the kernel is busy. */
static void read_partitions(int fd)
{
	unsigned waits;

	for (waits = 0; waits < NODE_WAITS && ioctl(fd, BLKRRPART) && errno == EBUSY; waits++) {
		poll(NULL, 0, WAIT_MS);
	}
}

static int explain(int ret, const char *file)
{
	if (ret == -ENODEV) {
		fprintf(stderr,
			"vhd: %s: this kernel has no nbd, and modprobe nbd finds no module; "
			"vhd mount serves the disk on a socket\n",
			file);
	} else if (ret == -EPERM || ret == -EACCES) {
		fprintf(stderr, "vhd: %s: only root may attach a disk\n", file);
	} else {
		fprintf(stderr, "vhd: %s: the kernel does not take it: %s\n", file, strerror(-ret));
	}
	return 1;
}

static int await_device(const char *file, int report)
{
	struct outcome outcome;
	char path[32];
	int fd;

	if (read(report, &outcome, sizeof(outcome)) != sizeof(outcome)) {
		outcome.ret = -EIO;
	}
	if (outcome.ret) {
		return explain(outcome.ret, file);
	}
	snprintf(path, sizeof(path), "/dev/nbd%u", outcome.index);
	fd = open_node(path);
	if (fd < 0) {
		fprintf(stderr,
			"vhd: %s: attached as %s, which has no node: %s; vhd detach nbd%u "
			"undoes it\n",
			file, path, strerror(errno), outcome.index);
		return 1;
	}
	read_partitions(fd);
	close(fd);
	puts(path);
	return 0;
}

int attach(struct disk *disk, const char *file)
{
	int report[2];
	pid_t server;

	if (pipe2(report, O_CLOEXEC)) {
		return explain(-errno, file);
	}
	server = fork();
	if (server == 0) {
		close(report[0]);
		_exit(serve(disk, report[1]));
	}
	close(report[1]);
	if (server < 0) {
		return explain(-EAGAIN, file);
	}
	/* The open file is the server's now; to close it here as well would write to it. */
	return await_device(file, report[0]);
}

/* -- detach -- */

/* A number in /sys/block/nbdN/NAME, or -1. */
static long device_value(unsigned index, const char *name)
{
	char path[64], text[32] = "";
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/block/nbd%u/%s", index, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0) {
		close(fd);
	}
	return n > 0 ? strtol(text, NULL, 10) : -1;
}

static bool parse_device(const char *name, unsigned *index)
{
	const char *digits = !strncmp(name, "/dev/nbd", 8) ? name + 8
			     : !strncmp(name, "nbd", 3)    ? name + 3
							   : "";
	char *end;

	*index = (unsigned)strtoul(digits, &end, 10);
	return *digits >= '0' && *digits <= '9' && !*end && *index < 1u << 20;
}

/* The kernel forgets them only when the device is opened the next time. */
static void remove_partitions(int fd, unsigned index)
{
	struct blkpg_partition partition;
	struct blkpg_ioctl_arg argument = {
		.op = BLKPG_DEL_PARTITION, .datalen = sizeof(partition), .data = &partition};
	char folder[64], prefix[32];
	struct dirent *entry;
	DIR *entries;

	snprintf(folder, sizeof(folder), "/sys/block/nbd%u", index);
	snprintf(prefix, sizeof(prefix), "nbd%up", index);
	entries = opendir(folder);
	while (entries && (entry = readdir(entries))) {
		if (!strncmp(entry->d_name, prefix, strlen(prefix))) {
			partition = (struct blkpg_partition){
				.pno = atoi(entry->d_name + strlen(prefix))};
			ioctl(fd, BLKPG, &argument);
		}
	}
	if (entries) {
		closedir(entries);
	}
}

static int await_end(const char *name, int server)
{
	struct pollfd end = {.fd = server, .events = POLLIN};

	if (server >= 0 && poll(&end, 1, SERVER_WAITS * WAIT_MS) == 0) {
		fprintf(stderr, "vhd: %s: detached; its server still writes to the file\n", name);
		return 1;
	}
	return 0;
}

static int detach_open(const char *name, unsigned index, int fd)
{
	int ret;

	if (fsync(fd)) {
		fprintf(stderr, "vhd: %s: not all could be written: %s; it stays attached\n", name,
			strerror(errno));
		return 1;
	}
	remove_partitions(fd, index);
	ret = kernel_nbd_disconnect(index);
	if (ret) {
		fprintf(stderr, "vhd: %s: %s\n", name, strerror(-ret));
		return 1;
	}
	return 0;
}

int detach(const char *name, bool force)
{
	char path[32];
	unsigned index;
	long pid;
	int fd, server, status;

	if (!parse_device(name, &index)) {
		fprintf(stderr, "vhd: %s: not a device of vhd attach, /dev/nbdN\n", name);
		return 2;
	}
	pid = device_value(index, "pid");
	if (pid < 0) {
		fprintf(stderr, "vhd: %s: nothing is attached there\n", name);
		return 1;
	}
	snprintf(path, sizeof(path), "/dev/nbd%u", index);
	fd = open(path, O_RDONLY | O_CLOEXEC | (force ? 0 : O_EXCL));
	if (fd < 0) {
		fprintf(stderr, "vhd: %s: %s%s\n", name, strerror(errno),
			errno == EBUSY ? "; unmount it first, or --force" : "");
		return 1;
	}
	server = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	status = detach_open(name, index, fd);
	close(fd);
	status = status ? status : await_end(name, server);
	if (server >= 0) {
		close(server);
	}
	return status;
}
