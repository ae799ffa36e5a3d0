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

#include "include/mgmt/control.h"

static const char help[] =
	"usage: vmctl SOCKET COMMAND NUMBER [FILE...]\n"
	"\n"
	"  attach NUMBER FILE [PARENT...]     a disk, at this number of the SCSI controller\n"
	"  attach-ro NUMBER FILE [PARENT...]  the same, not to be written\n"
	"  dvd NUMBER [FILE]                  a DVD drive, with an ISO file or empty\n"
	"  insert NUMBER FILE                 another ISO file into a drive\n"
	"  eject NUMBER                       nothing in the drive, even if the guest has locked "
	"it\n"
	"  detach NUMBER                      the disk or drive is taken away\n"
	"\n"
	"The parents of a differencing disk are named in order, the nearest first.\n";

static const struct command {
	const char *name;
	uint32_t operation, flags;
	int files_min, files_max;
} commands[] = {
	{"attach", CONTROL_ATTACH_DISK, 0, 1, CONTROL_FILES_MAX},
	{"attach-ro", CONTROL_ATTACH_DISK, CONTROL_READ_ONLY, 1, CONTROL_FILES_MAX},
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
static bool open_files(const struct command *command, char **names, int count, int *fds)
{
	bool writes =
		command->operation == CONTROL_ATTACH_DISK && !(command->flags & CONTROL_READ_ONLY);
	int i;

	for (i = 0; i < count; i++) {
		fds[i] = open(names[i], (writes && i == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC);
		if (fds[i] < 0) {
			return fail(names[i], strerror(errno));
		}
	}
	return true;
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
	int fds[CONTROL_FILES_MAX], fd;

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
	return fd >= 0 && open_files(command, argv + 4, argc - 4, fds) &&
			       ask(fd, &request, fds, argc - 4)
		       ? 0
		       : 1;
}
