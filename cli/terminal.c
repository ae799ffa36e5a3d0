/* See terminal.h. */
#include "cli/terminal.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "hosted/say.h"

#define ESCAPE_KEY 0x1d /* Ctrl-] */

/* False: that end is over. */
static bool pass(int from, int to, bool *escape)
{
	char bytes[4096];
	ssize_t length = read(from, bytes, sizeof(bytes)), done = 0, part;
	char *key = length > 0 && escape != NULL ? memchr(bytes, ESCAPE_KEY, (size_t)length) : NULL;

	if (key != NULL) {
		*escape = true;
		length = key - bytes;
	}
	while (done < length) {
		part = write(to, bytes + done, (size_t)(length - done));
		if (part < 0) {
			return false;
		}
		done += part;
	}
	return length > 0;
}

void terminal_join(int line, bool ends)
{
	struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
			       {.fd = line, .events = POLLIN}};
	bool terminal, escape = false;
	struct termios saved, raw;

	signal(SIGPIPE, SIG_IGN);
	terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &saved) == 0;
	if (terminal) {
		say("Ctrl-] leaves");
		raw = saved;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	while (!escape && poll(fds, 2, -1) > 0) {
		if (fds[0].revents != 0 && !pass(STDIN_FILENO, line, terminal ? &escape : NULL)) {
			fds[0].fd = -1; /* the guest may still say something */
			if (ends) {
				shutdown(line, SHUT_WR);
			}
		}
		if (fds[1].revents != 0 && !pass(line, STDOUT_FILENO, NULL)) {
			break;
		}
	}
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
		fputc('\n', stderr);
	}
}
