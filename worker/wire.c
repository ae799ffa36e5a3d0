/* See wire.h. The socket may block; no call here does, so that a wait can be given up. */
#include "worker/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "hosted/clock.h"

#define LOOK_EVERY_MS 100
#define TEXT_SECONDS  5u

struct header {
	uint32_t type, length;
};

static int wait_for(const struct wire *wire, short events, uint64_t until_ms)
{
	struct pollfd poll_ = {.fd = wire->fd, .events = events};

	for (;;) {
		if (wire->given_up(wire->user)) {
			return -ECANCELED;
		}
		/* What ends a connection is seen by the call that follows. */
		if (poll(&poll_, 1, LOOK_EVERY_MS) > 0) {
			return 0;
		}
		if (clock_ms() >= until_ms) {
			return -ETIMEDOUT;
		}
	}
}

static bool again(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* As many bytes of the vector's beginning are done. */
static void advance(struct msghdr *message, size_t done)
{
	while (message->msg_iovlen > 0 && done >= message->msg_iov->iov_len) {
		done -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (message->msg_iovlen > 0) {
		message->msg_iov->iov_base = (uint8_t *)message->msg_iov->iov_base + done;
		message->msg_iov->iov_len -= done;
	}
}

/* All of the vector, one way or the other. */
static int move(const struct wire *wire, struct msghdr *message, bool out, unsigned int seconds)
{
	uint64_t until = clock_ms() + seconds * 1000ull;
	int ret;

	advance(message, 0);
	while (message->msg_iovlen > 0) {
		ssize_t done = out ? sendmsg(wire->fd, message, MSG_DONTWAIT | MSG_NOSIGNAL)
				   : recvmsg(wire->fd, message, MSG_DONTWAIT);

		if (done > 0) {
			advance(message, (size_t)done);
			until = clock_ms() + seconds * 1000ull;
			continue;
		}
		if (done == 0 || !again(errno)) {
			return -EPIPE;
		}
		ret = wait_for(wire, out ? POLLOUT : POLLIN, until);
		if (ret != 0) {
			return ret;
		}
	}
	return 0;
}

#define PARTS_MAX 3u

int wire_send(struct wire *wire, enum wire_type type, const struct iovec *parts, unsigned int count,
	      unsigned int seconds)
{
	struct header header = {.type = type};
	struct iovec iov[PARTS_MAX + 1] = {{&header, sizeof(header)}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = count + 1};
	unsigned int i;
	int ret;

	CHECK(count <= PARTS_MAX);
	for (i = 0; i < count; i++) {
		iov[i + 1] = parts[i];
		header.length += (uint32_t)parts[i].iov_len;
	}
	CHECK(header.length <= WIRE_PAYLOAD_MAX);
	ret = move(wire, &message, true, seconds);
	if (ret == 0) {
		wire->sent += sizeof(header) + header.length;
	}
	return ret;
}

static bool never(void *user)
{
	(void)user;
	return false;
}

void wire_send_text(struct wire *wire, enum wire_type type, const char *text)
{
	struct wire patient = {.fd = wire->fd, .given_up = never};
	struct iovec part = {(void *)text, strnlen(text, WIRE_TEXT_MAX)};

	(void)!wire_send(&patient, type, &part, 1, TEXT_SECONDS);
}

int wire_receive(struct wire *wire, struct wire_frame *frame, unsigned int seconds)
{
	struct header header;
	struct iovec iov = {&header, sizeof(header)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	int ret = move(wire, &message, false, seconds);

	if (ret != 0) {
		return ret;
	}
	if (header.length > sizeof(frame->payload)) {
		return -EBADMSG;
	}
	frame->type = header.type;
	frame->length = header.length;
	iov = (struct iovec){frame->payload, header.length};
	message = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
	return move(wire, &message, false, seconds);
}

bool wire_is_readable(const struct wire *wire)
{
	struct pollfd poll_ = {.fd = wire->fd, .events = POLLIN};

	return poll(&poll_, 1, 0) > 0;
}

void wire_text(const struct wire_frame *frame, char *text, uint32_t size)
{
	uint32_t length = frame->length < size - 1 ? frame->length : size - 1, i;

	for (i = 0; i < length; i++) {
		uint8_t byte = frame->payload[i];

		text[i] = (char)(byte >= ' ' && byte < 0x7f ? byte : '?');
	}
	text[length] = '\0';
}
