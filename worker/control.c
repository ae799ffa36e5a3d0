/*
 * The socket of --control: disks that come and go while the machine runs (include/mgmt/control.h).
 * Whoever may open the socket may give the machine files, and no more than that.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "disk/disk.h"
#include "include/mgmt/control.h"
#include "worker/listen.h"
#include "worker/machine.h"

bool control_create(struct machine *machine)
{
	const char *path = machine->config->control;

	machine->control = machine->control_peer = -1;
	if (path != NULL) {
		machine->control = listen_at(path, SOCK_SEQPACKET, 4, "--control ");
	}
	return path == NULL || machine->control >= 0;
}

static void hang_up(struct machine *machine)
{
	if (machine->control_peer >= 0) {
		close(machine->control_peer);
		machine->control_peer = -1;
	}
}

void control_destroy(struct machine *machine)
{
	hang_up(machine);
	if (machine->control >= 0) {
		close(machine->control);
	}
}

void control_accept(struct machine *machine)
{
	hang_up(machine);
	machine->control_peer = accept4(machine->control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static int handle(struct machine *machine, const struct control_request *request,
		  struct disks_change *change, struct disk_error *error)
{
	*change = (struct disks_change){
		.name = request->name,
		.fds = change->fds,
		.fd_count = change->fd_count,
		.dvd = request->operation != CONTROL_ATTACH_DISK,
		.read_only = request->flags & CONTROL_READ_ONLY,
		.raw = request->flags & CONTROL_RAW,
		.force = request->flags & CONTROL_FORCE,
	};

	if (request->number >= CONFIG_SCSI_MAX) {
		snprintf(error->text, sizeof(error->text), "give a number from 0 to %d",
			 CONFIG_SCSI_MAX - 1);
		return -EINVAL;
	}
	switch (request->operation) {
	case CONTROL_ATTACH_DISK:
	case CONTROL_ATTACH_DVD:
		if (change->fd_count == 0 && !change->dvd) {
			break;
		}
		return disks_add(machine, request->number, change, error);
	case CONTROL_DETACH:
		return disks_remove(machine, request->number, error);
	case CONTROL_CHANGE_DVD:
		return disks_change_medium(machine, request->number, change, error);
	default:
		break;
	}
	snprintf(error->text, sizeof(error->text), "not a request that this worker knows");
	return -EINVAL;
}

/* The descriptors that came with a packet; how many. */
static unsigned int take_descriptors(struct msghdr *message, int *fds)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	size_t length;

	if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
		return 0;
	}
	length = header->cmsg_len - CMSG_LEN(0);
	memcpy(fds, CMSG_DATA(header), length);
	return (unsigned int)(length / sizeof(int));
}

static void close_all(const int *fds, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		close(fds[i]);
	}
}

void control_serve(struct machine *machine)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(CONTROL_FILES_MAX * sizeof(int))];
	} rights;
	struct control_request request;
	struct iovec part = {.iov_base = &request, .iov_len = sizeof(request)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &rights,
				 .msg_controllen = sizeof(rights)};
	struct control_reply reply = {0};
	struct disk_error error = {0};
	struct disks_change change;
	int fds[CONTROL_FILES_MAX];
	unsigned int count;
	ssize_t length = recvmsg(machine->control_peer, &message, MSG_CMSG_CLOEXEC);

	if (length < 0 && errno == EAGAIN) {
		return;
	}
	count = length > 0 ? take_descriptors(&message, fds) : 0;
	if (length != (ssize_t)sizeof(request) || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		close_all(fds, count);
		hang_up(machine);
		return;
	}
	request.name[sizeof(request.name) - 1] = '\0';
	change = (struct disks_change){.fds = fds, .fd_count = count};
	reply.result = handle(machine, &request, &change, &error);
	if (!change.taken) {
		close_all(fds, count);
	}
	if (reply.result != 0) {
		snprintf(reply.text, sizeof(reply.text), "%s", error.text);
	}
	if (send(machine->control_peer, &reply, sizeof(reply), MSG_NOSIGNAL) < 0) {
		hang_up(machine);
	}
}
