/* A connection's process asks the monitor, one thing at a time. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosted/packet.h"
#include "web/web.h"

static struct {
	int monitor;
	bool known;
	struct shown shown;
} own;

void ask_begin(int monitor)
{
	own.monitor = monitor;
}

void ask_shows(const struct shown *shown)
{
	own.shown = *shown;
}

bool ask_is_known(void)
{
	return own.known;
}

void ask_monitor(const struct ask *ask, struct answer *answer, int *fd)
{
	struct packet packet = {.bytes = answer, .size = sizeof(*answer), .fds = fd, .fds_max = 1};
	struct ask whole = *ask;
	int sent;

	if (ask->secret.kind == SECRET_CERTIFICATE) {
		whole.shown = own.shown;
	}
	*fd = -1;
	*answer = (struct answer){.result = ANSWER_UNREACHABLE};
	sent = packet_send(own.monitor, 0, &whole, sizeof(whole), NULL, 0);
	explicit_bzero(&whole, sizeof(whole));
	if (sent != 0 || packet_receive(own.monitor, 0, &packet) != 0 ||
	    packet.length != sizeof(*answer)) {
		/* It has ended, and so do we. */
		_exit(0);
	}
	if (packet.fd_count == 0) {
		*fd = -1;
	}
	own.known |= answer->result == ANSWER_YES;
}

bool ask_still_may(const struct secret *secret)
{
	const struct ask ask = {.what = ASK_CHECK, .secret = *secret};
	struct answer answer;
	int fd;

	ask_monitor(&ask, &answer, &fd);
	return answer.result == ANSWER_YES;
}
