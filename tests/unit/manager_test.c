/* hosted/manager.c: what a service manager is told, and whose socket that hands over is taken. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
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
#include "hosted/manager.h"

static char folder[] = "/tmp/manager_test_XXXXXX";
static char path[64], other[64];

/* A datagram socket at the address, which may be abstract (@). */
static int hear(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, name);
	if (name[0] == '@') {
		address.sun_path[0] = '\0';
	}
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static void is_told(void **state)
{
	char names[2][64], text[32];

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	manager_tell("READY=1"); /* to nobody */
	strcpy(names[0], path);
	snprintf(names[1], sizeof(names[1]), "@%s", folder);
	for (size_t i = 0; i < 2; i++) {
		int fd = hear(names[i]);

		manager_tell("READY=1");
		assert_int_equal(recv(fd, text, sizeof(text), 0), 7);
		assert_memory_equal(text, "READY=1", 7);
		close(fd);
		manager_tell("STOPPING=1"); /* to one that is gone */
	}
	unlink(path);
}

static void wants_to_hear(void **state)
{
	char number[24];

	(void)state;
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(manager_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "120000000", 1);
	assert_int_equal(manager_watchdog_ms(), 120000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(manager_watchdog_ms(), 0);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("WATCHDOG_PID", number, 1);
	assert_int_equal(manager_watchdog_ms(), 120000);
}

/* Descriptor 3 is a socket that listens elsewhere. */
static void hand_over(const char *process)
{
	int fd = listen_at(other, -1, SOCK_STREAM, 1, "");

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	if (fd != 3) {
		assert_int_equal(dup2(fd, 3), 3);
		close(fd);
	}
	assert_int_equal(fcntl(3, F_SETFD, 0), 0);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_PID", process, 1);
}

static void takes_what_is_its_own(void **state)
{
	int kept = dup(3), fd;
	char number[24];
	struct stat file;

	(void)state;
	snprintf(number, sizeof(number), "%d", (int)getpid());
	hand_over(number);
	assert_int_equal(manager_listen_for_all(path, 1, ""), 3);
	assert_int_equal(fcntl(3, F_GETFD), FD_CLOEXEC);
	assert_true((fcntl(3, F_GETFL) & O_NONBLOCK) != 0);
	assert_null(getenv("LISTEN_FDS"));
	assert_int_not_equal(access(path, F_OK), 0);
	close(3);
	unlink(other);

	/* One that is another's, as of a shell's parent, is left alone. */
	hand_over("1");
	fd = manager_listen_for_all(path, 1, "");
	assert_true(fd > 3);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0666);
	assert_int_equal(fcntl(3, F_GETFD), 0);
	close(fd);
	close(3);
	unlink(path);
	unlink(other);
	if (kept >= 0) {
		dup2(kept, 3);
		close(kept);
	}
}

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL) {
		return -1;
	}
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_told),
		cmocka_unit_test(wants_to_hear),
		cmocka_unit_test(takes_what_is_its_own),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
