/*
 * A disk that does not answer, or a directory: loaded into vmms before the C library, it has
 * fsync() and getpwuid_r() wait as long as there is a file of that name in the folder HOLD, and
 * says that they do by another (NAME.waits).
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void hold(const char *name)
{
	const char *folder = getenv("HOLD");
	char path[4096], waits[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : "/nowhere", name);
	snprintf(waits, sizeof(waits), "%s/%s.waits", folder != NULL ? folder : "/nowhere", name);
	if (access(path, F_OK) != 0) {
		return;
	}
	fd = open(waits, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		close(fd);
	}
	while (access(path, F_OK) == 0) {
		usleep(10000);
	}
}

int fsync(int fd)
{
	int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");

	hold("fsync");
	return next(fd);
}

int getpwuid_r(uid_t uid, struct passwd *entry, char *text, size_t size, struct passwd **found)
{
	int (*next)(uid_t, struct passwd *, char *, size_t, struct passwd **) =
		(int (*)(uid_t, struct passwd *, char *, size_t, struct passwd **))dlsym(
			RTLD_NEXT, "getpwuid_r");

	hold("getpwuid_r");
	return next(uid, entry, text, size, found);
}
