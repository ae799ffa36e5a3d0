/* See show.h. */
#include "hosted/show.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST 3
#define LAST  4

extern char **environ;

static int add_files(posix_spawn_file_actions_t *actions, int three, int four)
{
	int ret = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0);

	ret = ret != 0 ? ret : posix_spawn_file_actions_adddup2(actions, 0, 1);
	ret = ret != 0 ? ret : posix_spawn_file_actions_adddup2(actions, three, FIRST);
	ret = ret != 0 ? ret : posix_spawn_file_actions_adddup2(actions, four, LAST);
	return ret != 0 ? ret : posix_spawn_file_actions_addclosefrom_np(actions, LAST + 1);
}

static int spawn(const char *program, char *const words[],
		 const posix_spawn_file_actions_t *actions, pid_t *child)
{
	char beside[PATH_MAX], *slash;
	size_t room = strlen(program) + 1;
	ssize_t length = readlink("/proc/self/exe", beside, sizeof(beside) - room);
	posix_spawnattr_t attributes;
	sigset_t none;
	int ret;

	beside[length > 0 ? length : 0] = '\0';
	slash = strrchr(beside, '/');
	strcpy(slash != NULL ? slash + 1 : beside, program);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	ret = posix_spawnattr_setsigmask(&attributes, &none);
	ret = ret != 0 ? ret : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	if (ret == 0) {
		ret = posix_spawn(child, beside, actions, &attributes, words, environ);
		if (ret == ENOENT || ret == ENOTDIR) {
			ret = posix_spawnp(child, program, actions, &attributes, words, environ);
		}
	}
	posix_spawnattr_destroy(&attributes);
	return ret;
}

int show_start(const char *program, char *const words[], int three, int four, pid_t *child)
{
	/* What is duplicated to a low number must not stand on one. */
	int first = fcntl(three, F_DUPFD_CLOEXEC, LAST + 1),
	    second = fcntl(four, F_DUPFD_CLOEXEC, LAST + 1),
	    ret = first < 0 || second < 0 ? errno : 0;
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	ret = ret != 0 ? ret : add_files(&actions, first, second);
	ret = ret != 0 ? ret : spawn(program, words, &actions, child);
	posix_spawn_file_actions_destroy(&actions);
	if (first >= 0) {
		close(first);
	}
	if (second >= 0) {
		close(second);
	}
	return ret;
}
