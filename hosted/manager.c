/* See manager.h. */
#include "hosted/manager.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hosted/listen.h"

#define FIRST_FD 3 /* of those that are handed over */

void manager_tell(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (path == NULL || strlen(path) >= sizeof(address.sun_path)) {
		return;
	}
	strcpy(address.sun_path, path);
	if (address.sun_path[0] == '@') {
		address.sun_path[0] = '\0';
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
			      (const struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
		close(fd);
	}
}

/* What the variable says is meant for this process. */
static bool is_ours(const char *variable)
{
	const char *process = getenv(variable);

	return process != NULL && strtol(process, NULL, 10) == (long)getpid();
}

uint64_t manager_watchdog_ms(void)
{
	const char *period = getenv("WATCHDOG_USEC");

	if (period == NULL || (getenv("WATCHDOG_PID") != NULL && !is_ours("WATCHDOG_PID"))) {
		return 0;
	}
	return strtoull(period, NULL, 10) / 1000;
}

int manager_listen_for_all(const char *path, int backlog, const char *option)
{
	const char *count = getenv("LISTEN_FDS");
	bool handed = count != NULL && strtol(count, NULL, 10) >= 1 && is_ours("LISTEN_PID");
	mode_t mask = umask(0111);
	int fd;

	if (handed) {
		(void)fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
	}
	fd = listen_at(path, handed ? FIRST_FD : -1, SOCK_STREAM, backlog, option);
	umask(mask);
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	return fd;
}
