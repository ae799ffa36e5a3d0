/* See listen.h. */
#include "hosted/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hosted/say.h"

static int set_path(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path)) {
		return -ENAMETOOLONG;
	}
	strcpy(address->sun_path, path);
	return 0;
}

int connect_at(const char *path, int type)
{
	struct sockaddr_un address;
	int ret = set_path(&address, path), fd;

	if (ret != 0) {
		return ret;
	}
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		return fd;
	}
	ret = -errno;
	if (fd >= 0) {
		close(fd);
	}
	return ret;
}

/* Whether somebody listens is seen by connecting; a file that is no socket refuses as well. */
static void remove_stale(const char *path, int type)
{
	struct stat file;
	int fd;

	if (lstat(path, &file) != 0 || !S_ISSOCK(file.st_mode)) {
		return;
	}
	fd = connect_at(path, type);
	if (fd == -ECONNREFUSED) {
		unlink(path);
	} else if (fd >= 0) {
		close(fd);
	}
}

int listen_at(const char *path, int fd, int type, int backlog, const char *option)
{
	struct sockaddr_un address;
	bool bound;

	if (fd >= 0) {
		/* What waits for it has to wait for nothing else. */
		if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0) {
			return fd;
		}
		say("%s%s: %s", option, path, strerror(errno));
		return -1;
	}
	if (set_path(&address, path) != 0) {
		say("%s%s: the path is too long; give %zu characters at most", option, path,
		    sizeof(address.sun_path) - 1);
		return -1;
	}
	remove_stale(path, type);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	if (bound && listen(fd, backlog) == 0) {
		return fd;
	}
	say("%s%s: %s", option, path, strerror(errno));
	if (bound) {
		unlink(path);
	}
	if (fd >= 0) {
		close(fd);
	}
	return -1;
}

int listen_privately(const char *path, int fd, int type, int backlog, const char *option)
{
	mode_t before = umask(0177);
	int listener = listen_at(path, fd, type, backlog, option);

	umask(before);
	return listener;
}
