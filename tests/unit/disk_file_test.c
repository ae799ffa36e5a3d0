/*
 * What the disk library makes of the host's names: what is no disk, what is another program's, and
 * what must not be there, or must still be there, after a failure.
 */
#include "disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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
	assert_true(disk_check(path, DISK_FORMAT_RAW, 0, &report, &error) < 0);
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

static void write_at(const char *path, const void *bytes, size_t length, off_t offset)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, length, offset), length);
	assert_int_equal(close(fd), 0);
}

static int try_open(const char *path, enum disk_format format, unsigned flags)
{
	struct disk_open how = {.format = format, .flags = flags};
	struct disk_info info;
	struct disk *disk;
	int ret = disk_open(path, &how, &disk, &error);

	if (!ret) {
		ret = disk_get_info(disk, 0, &info) ? -EIO : (int)info.format;
		disk_close(&disk, NULL);
	}
	return ret;
}

static const struct {
	const char *name, *bytes;
	unsigned length, offset;
} foreign[] = {
	{"qcow2", "QFI\xfb\0\0\0\3", 8, 0},
	{"qcow", "QFI\xfb\0\0\0\1", 8, 0},
	{"qed", "QED\0", 4, 0},
	{"vmdk", "KDMV\1\0\0\0", 8, 0},
	{"vmdk", "# Disk DescriptorFile\nversion=1\n", 32, 0},
	{"vdi", "\x7f\x10\xda\xbe", 4, 64},
	{"parallels", "WithouFreSpacExt", 16, 0},
	{"bochs", "Bochs Virtual HD Image", 23, 0},
	{"luks", "LUKS\xba\xbe\0\2", 8, 0},
	{"dmg", "koly\0\0\0\4", 8, (1 << 20) - 512},
};

/* Another program's file is refused by its format, whatever it is named; and taken when the caller
 * says that it is raw. */
static void test_foreign(void **state)
{
	static const char *const names[] = {"f.img", "f.vhd", "f.vhdx", "f", "f.qcow2"};
	unsigned i, n;

	(void)state;
	for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		for (n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
			char word[32];

			snprintf(word, sizeof(word), "a %s file", foreign[i].name);
			write_at(names[n], foreign[i].bytes, foreign[i].length, foreign[i].offset);
			assert_int_equal(truncate(names[n], 1 << 20), 0);
			assert_true(try_open(names[n], DISK_FORMAT_AUTO, 0) == -EMEDIUMTYPE);
			assert_non_null(strstr(error.text, word));
			assert_non_null(strstr(error.text, "qemu-img convert"));
			assert_true(try_open(names[n], DISK_FORMAT_AUTO, DISK_READ_ONLY) < 0);
			assert_true(try_open(names[n], DISK_FORMAT_RAW, 0) == DISK_FORMAT_RAW);
			assert_int_equal(unlink(names[n]), 0);
		}
	}
}

static void make_disk(const char *path, enum disk_format format, enum disk_type type)
{
	struct disk_create how = {.format = format, .type = type, .size = 4 << 20, .replace = true};

	assert_int_equal(disk_create(path, &how, &error), 0);
}

/* What a guest writes to its disk does not choose how the disk is opened the next time. */
static void test_guest_does_not_choose(void **state)
{
	char header[4096];
	int fd;

	(void)state;
	make_disk("evil.vhdx", DISK_FORMAT_VHDX, DISK_DYNAMIC);
	fd = open("evil.vhdx", O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, header, sizeof(header)), sizeof(header));
	close(fd);

	make_disk("r.img", DISK_FORMAT_RAW, DISK_DYNAMIC);
	assert_int_equal(try_open("r.img", DISK_FORMAT_AUTO, 0), DISK_FORMAT_RAW);
	write_at("r.img", header, sizeof(header), 0);
	assert_true(try_open("r.img", DISK_FORMAT_AUTO, DISK_READ_ONLY) == -EMEDIUMTYPE);
	assert_non_null(strstr(error.text, "--format raw"));
	assert_int_equal(try_open("r.img", DISK_FORMAT_RAW, 0), DISK_FORMAT_RAW);

	make_disk("f.vhd", DISK_FORMAT_VHD, DISK_FIXED);
	write_at("f.vhd", header, sizeof(header), 0);
	assert_int_equal(try_open("f.vhd", DISK_FORMAT_AUTO, 0), DISK_FORMAT_VHD);
	assert_int_equal(rename("f.vhd", "nameless"), 0);
	assert_true(try_open("nameless", DISK_FORMAT_AUTO, DISK_READ_ONLY) == -EMEDIUMTYPE);
	assert_int_equal(try_open("nameless", DISK_FORMAT_VHD, 0), DISK_FORMAT_VHD);
}

/* Nor does it where the name says another format than the file has: that is refused from the first
 * time on. */
static void test_misnamed(void **state)
{
	(void)state;
	make_disk("wrong.vhdx", DISK_FORMAT_VHD, DISK_FIXED);
	assert_true(try_open("wrong.vhdx", DISK_FORMAT_AUTO, 0) == -EMEDIUMTYPE);
	assert_non_null(strstr(error.text, "--format vhd"));
	assert_int_equal(try_open("wrong.vhdx", DISK_FORMAT_VHD, 0), DISK_FORMAT_VHD);
	make_disk("wrong.vhd", DISK_FORMAT_VHDX, DISK_DYNAMIC);
	assert_true(try_open("wrong.vhd", DISK_FORMAT_AUTO, DISK_READ_ONLY) == -EMEDIUMTYPE);
	assert_int_equal(try_open("wrong.vhd", DISK_FORMAT_VHDX, 0), DISK_FORMAT_VHDX);
}

/* A part of a file that somebody else is writing stays his. */
static void test_partial_in_use(void **state)
{
	struct disk_create how = {.format = DISK_FORMAT_VHDX, .size = 4 << 20};
	struct disk_open open = {.format = DISK_FORMAT_VHDX};
	struct disk *disk;

	(void)state;
	make_disk("busy.vhdx.partial", DISK_FORMAT_VHDX, DISK_DYNAMIC);
	assert_int_equal(disk_open("busy.vhdx.partial", &open, &disk, &error), 0);
	assert_int_equal(disk_create("busy.vhdx", &how, &error), -EBUSY);
	assert_int_equal(disk_close(&disk, &error), 0);
	assert_int_equal(try_open("busy.vhdx.partial", DISK_FORMAT_VHDX, 0), DISK_FORMAT_VHDX);
	assert_int_equal(disk_create("busy.vhdx", &how, &error), 0);
	assert_int_equal(access("busy.vhdx.partial", F_OK), -1);
}

/* A name that leaves no room for the one under which the file is written: what is wrong is told of
 * the name that was given. */
static void test_long_name(void **state)
{
	struct disk_create how = {.format = DISK_FORMAT_VHDX, .size = 4 << 20};
	char name[249];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(disk_create(name, &how, &error), -ENAMETOOLONG);
	assert_non_null(strstr(error.text, ".partial"));
	assert_non_null(strstr(error.text, "room for that"));
	name[247] = '\0';
	assert_int_equal(disk_create(name, &how, &error), 0);
	assert_int_equal(unlink(name), 0);
}

#define MAKERS 2
#define ROUNDS 40

/* Counts what went wrong. */
static void *make_again_and_again(void *user)
{
	struct disk_create how = {.format = DISK_FORMAT_VHDX, .size = 4 << 20, .replace = true};
	struct disk_open open = {.flags = DISK_READ_ONLY | DISK_NO_LOCK};
	unsigned *wrong = user, i;

	for (i = 0; i < ROUNDS; i++) {
		struct disk *disk;
		int ret;

		while ((ret = disk_create("shared.vhdx", &how, NULL)) == -EBUSY) {
			sched_yield();
		}
		*wrong += ret || disk_open("shared.vhdx", &open, &disk, NULL) ||
			  disk_close(&disk, NULL);
	}
	return NULL;
}

/* A name is a whole disk at any time, whoever else makes one of that name: they fail, or come after
 * each other. */
static void test_makers(void **state)
{
	unsigned wrong[MAKERS] = {0}, i;
	pthread_t makers[MAKERS];

	(void)state;
	for (i = 0; i < MAKERS; i++) {
		assert_int_equal(pthread_create(&makers[i], NULL, make_again_and_again, &wrong[i]),
				 0);
	}
	for (i = 0; i < MAKERS; i++) {
		assert_int_equal(pthread_join(makers[i], NULL), 0);
		assert_int_equal(wrong[i], 0);
	}
	assert_int_equal(access("shared.vhdx.partial", F_OK), -1);
}

static int repair_with_file_size(rlim_t limit, struct disk_report *report)
{
	struct rlimit old, now;
	int ret;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	now = (struct rlimit){limit < old.rlim_cur ? limit : old.rlim_cur, old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
	ret = disk_check("drop.vhdx", DISK_FORMAT_AUTO, DISK_REPAIR | DISK_REPAIR_DROP, report,
			 &error);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	return ret;
}

/* What a repair saves is as private as the file; what it could not save whole is not left there. */
static void test_saved(void **state)
{
	struct disk_report report;
	struct stat st;

	(void)state;
	make_disk("drop.vhdx", DISK_FORMAT_VHDX, DISK_DYNAMIC);
	write_at("drop.vhdx", "\6\0\0\0\0\6\0\0", 8,
		 3 << 20); /* the first entry: outside the file */
	assert_int_equal(chmod("drop.vhdx", 0600), 0);
	assert_int_equal(repair_with_file_size(1 << 20, &report), -EFBIG);
	assert_non_null(strstr(error.text, "nothing was repaired"));
	assert_null(report.saved);
	assert_int_equal(access("drop.vhdx.dropped", F_OK), -1);
	disk_report_free(&report);
	assert_int_equal(repair_with_file_size(RLIM_INFINITY, &report), 0);
	assert_string_equal(report.saved, "drop.vhdx.dropped");
	assert_int_equal(stat(report.saved, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	disk_report_free(&report);
}

/* A name that says nothing: its content may, but a disk that is to be written is not raw by
 * guess. */
static void test_nameless(void **state)
{
	(void)state;
	make_disk("disk", DISK_FORMAT_VHDX, DISK_DYNAMIC);
	assert_int_equal(try_open("disk", DISK_FORMAT_AUTO, 0), DISK_FORMAT_VHDX);
	make_disk("disk", DISK_FORMAT_RAW, DISK_DYNAMIC);
	assert_int_equal(try_open("disk", DISK_FORMAT_AUTO, DISK_READ_ONLY), DISK_FORMAT_RAW);
	assert_true(try_open("disk", DISK_FORMAT_AUTO, 0) == -EMEDIUMTYPE);
	assert_non_null(strstr(error.text, "--format raw"));
	assert_int_equal(try_open("disk", DISK_FORMAT_RAW, 0), DISK_FORMAT_RAW);
}

static void put(struct disk *disk, uint8_t byte, uint64_t offset)
{
	uint8_t sector[512];

	memset(sector, byte, sizeof(sector));
	assert_int_equal(disk_write(disk, sector, sizeof(sector), offset), 0);
}

static void expect(struct disk *disk, uint8_t byte, uint64_t offset)
{
	uint8_t sector[512];

	assert_int_equal(disk_read(disk, sector, sizeof(sector), offset), 0);
	assert_int_equal(sector[0], byte);
	assert_int_equal(sector[511], byte);
}

/* Another has the file meanwhile, whole; nobody else does at the same time, and it is written on as
 * if nothing had been. */
static void test_let_go(void **state)
{
	static const char *const names[] = {"let.vhdx", "let.vhd", "let.raw", "child.vhdx"};
	struct disk *disk, *other;
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct disk_create how = {.type = i == 2 ? DISK_FIXED : DISK_DYNAMIC,
					  .size = 8 << 20};

		if (i == 3) {
			how = (struct disk_create){.type = DISK_DIFFERENCING, .parent = "let.vhdx"};
		}
		assert_int_equal(disk_create(names[i], &how, NULL), 0);
		assert_int_equal(disk_open(names[i], NULL, &disk, NULL), 0);
		put(disk, 1, 0);
		put(disk, 2, 4 << 20);
		assert_int_equal(disk_open(names[i], NULL, &other, &error), -EBUSY);
		assert_int_equal(disk_let_go(disk), 0);
		assert_int_equal(disk_open(names[i], NULL, &other, &error), 0);
		expect(other, 1, 0);
		expect(other, 2, 4 << 20);
		assert_int_equal(disk_take_back(disk), -EBUSY);
		assert_non_null(strstr(disk_last_error(disk)->text, names[i]));
		assert_int_equal(disk_close(&other, NULL), 0);
		assert_int_equal(disk_take_back(disk), 0);
		assert_int_equal(disk_open(names[i], NULL, &other, &error), -EBUSY);
		put(disk, 3, 0);
		put(disk, 4, 7 << 20);
		expect(disk, 2, 4 << 20);
		/* Twice, and then it ends. */
		assert_int_equal(disk_let_go(disk), 0);
		assert_int_equal(disk_take_back(disk), 0);
		put(disk, 5, 1 << 20);
		assert_int_equal(disk_close(&disk, NULL), 0);
		if (disk_open(names[i], NULL, &disk, &error) != 0) {
			fail_msg("%s", error.text);
		}
		expect(disk, 3, 0);
		expect(disk, 2, 4 << 20);
		expect(disk, 4, 7 << 20);
		expect(disk, 5, 1 << 20);
		assert_int_equal(disk_close(&disk, NULL), 0);
	}
	for (i = 0; i < 4; i++) {
		assert_int_equal(unlink(names[i]), 0);
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
		cmocka_unit_test(test_kinds),     cmocka_unit_test(test_parent_is_folder),
		cmocka_unit_test(test_foreign),   cmocka_unit_test(test_guest_does_not_choose),
		cmocka_unit_test(test_nameless),  cmocka_unit_test(test_misnamed),
		cmocka_unit_test(test_saved),     cmocka_unit_test(test_partial_in_use),
		cmocka_unit_test(test_long_name), cmocka_unit_test(test_makers),
		cmocka_unit_test(test_let_go),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
