/* vmctl: disks of a running machine, see README.md. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "disk/disk.h"
#include "include/mgmt/control.h"

static const char help[] =
	"usage: vmctl SOCKET COMMAND NUMBER [FILE...]\n"
	"\n"
	"  attach NUMBER FILE [PARENT...]     a disk, at this number of the SCSI controller\n"
	"  attach-ro NUMBER FILE [PARENT...]  the same, not to be written\n"
	"  attach-raw NUMBER FILE             the same, a raw disk whatever is in it\n"
	"  dvd NUMBER [FILE]                  a DVD drive, with an ISO file or empty\n"
	"  insert NUMBER FILE                 another ISO file into a drive\n"
	"  eject NUMBER                       nothing in the drive, even if the guest has locked "
	"it\n"
	"  detach NUMBER                      the disk or drive is taken away\n"
	"\n"
	"The parents of a differencing disk are those that the files name, or those given here, "
	"all\nof them, the nearest first.\n";

static const struct command {
	const char *name;
	uint32_t operation, flags;
	int files_min, files_max;
} commands[] = {
	{"attach", CONTROL_ATTACH_DISK, 0, 1, CONTROL_FILES_MAX},
	{"attach-ro", CONTROL_ATTACH_DISK, CONTROL_READ_ONLY, 1, CONTROL_FILES_MAX},
	{"attach-raw", CONTROL_ATTACH_DISK, CONTROL_RAW, 1, 1},
	{"dvd", CONTROL_ATTACH_DVD, 0, 0, 1},
	{"insert", CONTROL_CHANGE_DVD, 0, 1, 1},
	{"eject", CONTROL_CHANGE_DVD, CONTROL_FORCE, 0, 0},
	{"detach", CONTROL_DETACH, 0, 0, 0},
};

static bool fail(const char *what, const char *why)
{
	fprintf(stderr, "vmctl: %s: %s\n", what, why);
	return false;
}

static const struct command *find(const char *name, int files)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) == 0 && files >= commands[i].files_min &&
		    files <= commands[i].files_max) {
			return &commands[i];
		}
	}
	return NULL;
}

/* The worker knows how many there are. */
static bool parse_number(const char *text, uint32_t *number)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	*number = (uint32_t)value;
	return isdigit((unsigned char)*text) && *end == '\0' && errno == 0 && value <= UINT32_MAX;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		fail(path, "too long for a socket's name");
		return -1;
	}
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		fprintf(stderr, "vmctl: %s: %s; give the socket of a running vmwp --control\n",
			path, strerror(errno));
		return -1;
	}
	return fd;
}

/* Only the first file of a disk is ever written. */
static bool open_file(const struct command *command, const char *name, int index, int *fds)
{
	bool writes =
		command->operation == CONTROL_ATTACH_DISK && !(command->flags & CONTROL_READ_ONLY);

	fds[index] = open(name, (writes && index == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	return fds[index] >= 0 || fail(name, strerror(errno));
}

/* The worker has no way to a name, so the parents are looked up here. Returns how many files. */
static int open_chain(const struct command *command, const char *name, int *fds)
{
	struct disk_open how = {.flags = DISK_READ_ONLY};
	struct disk_error error;
	struct disk_info info;
	struct disk *disk;
	int count = 0;

	if (disk_open(name, &how, &disk, &error) != 0) {
		fprintf(stderr, "vmctl: %s\n", error.text);
		return -1;
	}
	if (disk_layer_count(disk) > CONTROL_FILES_MAX) {
		fprintf(stderr,
			"vmctl: %s: %u files, %d can be handed over; vhd merge makes it "
			"fewer\n",
			name, disk_layer_count(disk), CONTROL_FILES_MAX);
		count = -1;
	}
	while (count >= 0 && disk_get_info(disk, (unsigned int)count, &info) == 0) {
		count = open_file(command, info.path, count, fds) ? count + 1 : -1;
	}
	disk_close(&disk, NULL);
	return count;
}

static int open_files(const struct command *command, char **names, int count, int *fds)
{
	int i;

	if (command->operation == CONTROL_ATTACH_DISK && !(command->flags & CONTROL_RAW) &&
	    count == 1) {
		return open_chain(command, names[0], fds);
	}
	for (i = 0; i < count; i++) {
		if (!open_file(command, names[i], i, fds)) {
			return -1;
		}
	}
	return count;
}

static bool ask(int fd, struct control_request *request, const int *fds, int count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(CONTROL_FILES_MAX * sizeof(int))];
	} rights = {.header = {.cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS,
			       .cmsg_len = CMSG_LEN((size_t)count * sizeof(int))}};
	struct iovec part = {.iov_base = request, .iov_len = sizeof(*request)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct control_reply reply;

	if (count != 0) {
		memcpy(CMSG_DATA(&rights.header), fds, (size_t)count * sizeof(int));
		message.msg_control = &rights;
		message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
	}
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) {
		return fail("the worker", strerror(errno));
	}
	if (recv(fd, &reply, sizeof(reply), 0) != (ssize_t)sizeof(reply)) {
		return fail("the worker", "it has ended, or somebody else talks to it");
	}
	reply.text[sizeof(reply.text) - 1] = '\0';
	return reply.result == 0 || fail(request->name[0] ? request->name : "refused", reply.text);
}

int main(int argc, char **argv)
{
	struct control_request request = {0};
	const struct command *command = argc >= 4 ? find(argv[2], argc - 4) : NULL;
	int fds[CONTROL_FILES_MAX], fd, count;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(help, stdout);
		return 0;
	}
	if (command == NULL) {
		fputs(help, stderr);
		return 1;
	}
	request.operation = command->operation;
	request.flags = command->flags;
	if (!parse_number(argv[3], &request.number)) {
		return !fail(argv[3], "not the number of a disk");
	}
	if (argc > 4) {
		snprintf(request.name, sizeof(request.name), "%s", argv[4]);
	}
	fd = connect_to(argv[1]);
	count = fd >= 0 ? open_files(command, argv + 4, argc - 4, fds) : -1;
	return count >= 0 && ask(fd, &request, fds, count) ? 0 : 1;
}
