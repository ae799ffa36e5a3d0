/*
 * What the disk library makes of the host's names: what is no disk, what is another program's, and what must not be
 * there, or must still be there, after a failure.
 */
#include "disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static struct disk_error error;

static void make_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void assert_refused(const char *path, const char *kind)
{
	struct disk *disk;
	struct disk_report report;
	struct disk_create how = {.size = 1 << 20, .replace = true};

	assert_true(disk_open(path, NULL, &disk, &error) < 0);
	assert_non_null(strstr(error.text, path));
	assert_non_null(strstr(error.text, kind));
	assert_null(strchr(error.text, '\n'));
	assert_true(disk_open(path, &(struct disk_open){.flags = DISK_READ_ONLY}, &disk, &error) <
		    0);
	assert_true(disk_check(path, DISK_FORMAT_RAW, false, &report, &error) < 0);
	assert_true(disk_create(path, &how, &error) < 0);
	assert_non_null(strstr(error.text, kind));
}

static void test_kinds(void **state)
{
	(void)state;
	assert_int_equal(mkdir("folder", 0777), 0);
	assert_int_equal(mkfifo("pipe", 0666), 0);
	make_socket("socket");
	assert_refused("folder", "folder");
	assert_refused("pipe", "pipe");
	assert_refused("socket", "socket");
	assert_refused("/dev/null", "character device");
	assert_true(disk_open("nosuch", NULL, &(struct disk *){NULL}, &error) == -ENOENT);
}

/* What takes the place of a parent. */
static void test_parent_is_folder(void **state)
{
	static const char *const names[] = {"p.vhdx", "c.vhdx", "p.vhd", "c.vhd"};
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i += 2) {
		struct disk_create how = {.type = DISK_DYNAMIC, .size = 4 << 20};
		struct disk *disk;

		assert_int_equal(disk_create(names[i], &how, NULL), 0);
		how = (struct disk_create){.type = DISK_DIFFERENCING, .parent = names[i]};
		assert_int_equal(disk_create(names[i + 1], &how, NULL), 0);
		assert_int_equal(unlink(names[i]), 0);
		assert_int_equal(mkdir(names[i], 0777), 0);
		assert_true(disk_open(names[i + 1], NULL, &disk, &error) < 0);
		assert_non_null(strstr(error.text, "folder"));
		assert_int_equal(rmdir(names[i]), 0);
		assert_int_equal(unlink(names[i + 1]), 0);
	}
}

static char folder[] = "/tmp/vd-file-XXXXXX";

static int enter(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL || chdir(folder);
}

static int leave(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_parent_is_folder),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
