/* hosted/listen.c: whose place at a path a new socket takes, and what is said when it cannot. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "hosted/listen.h"

static char folder[] = "/tmp/listen_test_XXXXXX";
static char path[64];
static char said[512]; /* standard error, of the last call */

static int call(const char *at, int type)
{
	int saved = dup(STDERR_FILENO), pipes[2], fd;
	ssize_t length;

	assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
	dup2(pipes[1], STDERR_FILENO);
	fd = listen_at(at, -1, type, 1, "--control ");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(pipes[1]);
	length = read(pipes[0], said, sizeof(said) - 1);
	said[length > 0 ? length : 0] = '\0';
	close(pipes[0]);
	return fd;
}

static bool connects(int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type, 0);
	bool done;

	strcpy(address.sun_path, path);
	done = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return done;
}

static void listens(void **state)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int fd = call(path, types[i]);

		assert_true(fd >= 0);
		assert_string_equal(said, "");
		assert_true(connects(types[i]));
		close(fd);
		unlink(path);
	}
}

/* For this user alone; what is made after it is made as before. */
static void listens_privately(void **state)
{
	mode_t before = umask(022);
	int fd = listen_privately(path, -1, SOCK_STREAM, 1, "");
	struct stat file;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_mode & 07777, 0600);
	assert_int_equal(umask(before), 022);
	close(fd);
	unlink(path);
}

static void replaces_what_nobody_listens_on(void **state)
{
	int fd = call(path, SOCK_STREAM);

	(void)state;
	close(fd);
	assert_false(connects(SOCK_STREAM));
	fd = call(path, SOCK_STREAM);
	assert_true(fd >= 0);
	assert_true(connects(SOCK_STREAM));
	close(fd);
	unlink(path);
}

/* The one that listens goes on, and nothing of the second is left. */
static void leaves_what_is_in_use(void **state)
{
	int first = call(path, SOCK_SEQPACKET), unused = dup(0);

	(void)state;
	close(unused);
	assert_int_equal(call(path, SOCK_SEQPACKET), -1);
	assert_non_null(strstr(said, "--control /tmp/listen_test_"));
	assert_non_null(strstr(said, "Address already in use"));
	assert_true(connects(SOCK_SEQPACKET));
	assert_int_equal(dup(0), unused);
	close(unused);
	close(first);
	unlink(path);
}

static void leaves_other_files(void **state)
{
	struct stat stat_;
	int file = open(path, O_CREAT | O_WRONLY, 0600);

	(void)state;
	close(file);
	assert_int_equal(call(path, SOCK_STREAM), -1);
	assert_int_equal(stat(path, &stat_), 0);
	assert_true(S_ISREG(stat_.st_mode));
	unlink(path);
}

static void says_what_is_wrong(void **state)
{
	char longer[200];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(call(longer, SOCK_STREAM), -1);
	assert_non_null(strstr(said, "too long; give 107 characters at most"));
	assert_int_equal(call("/nonexistent/socket", SOCK_STREAM), -1);
	assert_non_null(strstr(said, "/nonexistent/socket: No such file or directory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listens),
		cmocka_unit_test(listens_privately),
		cmocka_unit_test(replaces_what_nobody_listens_on),
		cmocka_unit_test(leaves_what_is_in_use),
		cmocka_unit_test(leaves_other_files),
		cmocka_unit_test(says_what_is_wrong),
	};
	int failed;

	if (mkdtemp(folder) == NULL) {
		return 1;
	}
	snprintf(path, sizeof(path), "%s/socket", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
