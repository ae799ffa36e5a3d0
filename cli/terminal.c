/* See terminal.h. */
#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "hosted/say.h"

#define ESCAPE_KEY 0x1d /* Ctrl-] */
#define LEAVE_KEY  0x1c /* Ctrl-\, where the other one has a meaning */

static const struct terminal_keys usual = {.help = "Ctrl-] leaves"};

static bool put(int to, const char *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t part = write(to, bytes + done, length - done);

		if (part < 0) {
			return false;
		}
		done += (size_t)part;
	}
	return true;
}

/* The bytes up to one that leaves, without those that ask. True: it is left. */
static bool take_keys(const struct terminal_keys *keys, char *bytes, size_t *length)
{
	size_t i, kept = 0;
	bool leaves = false;

	for (i = 0; i < *length && !leaves; i++) {
		leaves = bytes[i] == (keys->asked != NULL ? LEAVE_KEY : ESCAPE_KEY);
		if (bytes[i] == ESCAPE_KEY && keys->asked != NULL) {
			keys->asked(keys->user);
		} else if (!leaves) {
			bytes[kept++] = bytes[i];
		}
	}
	*length = kept;
	return leaves;
}

/* False: that end is over. `keys` NULL: none has a meaning. */
static bool pass(int from, int to, const struct terminal_keys *keys, bool *left)
{
	char bytes[4096];
	ssize_t got = read(from, bytes, sizeof(bytes));
	size_t length = got > 0 ? (size_t)got : 0;

	if (keys != NULL) {
		*left = take_keys(keys, bytes, &length);
	}
	return put(to, bytes, length) && got > 0;
}

bool terminal_join(int line, bool ends, const struct terminal_keys *keys)
{
	struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
			       {.fd = line, .events = POLLIN}};
	bool terminal, left = false;
	struct termios saved, raw;

	signal(SIGPIPE, SIG_IGN);
	keys = keys != NULL ? keys : &usual;
	terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &saved) == 0;
	if (terminal) {
		say("%s", keys->help);
		raw = saved;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	while (!left && (poll(fds, 2, -1) > 0 || errno == EINTR)) {
		if (fds[0].revents != 0 &&
		    !pass(STDIN_FILENO, line, terminal ? keys : NULL, &left)) {
			fds[0].fd = -1; /* the guest may still say something */
			if (ends) {
				shutdown(line, SHUT_WR);
			}
		}
		if (fds[1].revents != 0 && !pass(line, STDOUT_FILENO, NULL, &left)) {
			break;
		}
	}
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
		fputc('\n', stderr);
	}
	return left;
}
