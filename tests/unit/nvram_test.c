/* worker/nvram.c: what is no variables' file, how one is made, and that what was stored is in
 * it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/nvram.h"

/* Debian's, without keys and with Microsoft's. */
#define PLAIN "/usr/share/OVMF/OVMF_VARS_4M.fd"
#define KEYS  "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"

static struct nvram nvram, second;
static struct config config;
static char why[512], folder[] = "/tmp/nvram-XXXXXX", path[64];
static struct loader loader = {.why = why, .why_size = sizeof(why)};
static uint8_t image[1 << 20], content[1 << 20];

static uint32_t read_whole(const char *from, uint8_t *to)
{
	int fd = open(from, O_RDONLY);
	ssize_t got = read(fd, to, sizeof(image));

	close(fd);
	assert_true(got > 0);
	return (uint32_t)got;
}

/* As the end of a process. */
static void let_go(struct nvram *which)
{
	nvram_stop(which);
	if (which->fd >= 0) {
		close(which->fd);
	}
	if (which->memory != NULL) {
		munmap(which->memory, which->length);
	}
	free(which->copy);
	*which = (struct nvram){.fd = -1};
}

static int setup(void **state)
{
	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/vars", folder);
	config = (struct config){.firmware_variables = {.path = path, .fd = -1},
				 .firmware_template = {.path = PLAIN, .fd = -1}};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	let_go(&nvram);
	unlink(path);
	assert_int_equal(rmdir(folder), 0); /* nothing is left beside it */
	return 0;
}

static void what_is_wrong(void **state)
{
	uint32_t length = read_whole(KEYS, image), at;

	(void)state;
	assert_null(nvram_check(image, length));
	assert_non_null(nvram_check(image, length - FLASH_BLOCK));
	assert_non_null(nvram_check(image, 40));
	for (at = 0; at < 0x48; at++) {
		image[at] ^= 1;
		assert_non_null(nvram_check(image, length));
		image[at] ^= 1;
	}
	image[0x48] ^= 1; /* whose variables these are */
	assert_non_null(nvram_check(image, length));
	image[0x48] ^= 1;
	image[0x64] ^= 1; /* the first one */
	assert_string_equal(nvram_check(image, length),
			    "has something where a variable should begin");
	image[0x64] ^= 1;
	memset(image + 0x64 + 36, 0xfe, 8); /* its sizes */
	assert_string_equal(nvram_check(image, length), "has a variable that does not fit into it");
	image[0x64 + 2] = 0xff; /* whose header was being written */
	assert_non_null(nvram_check(image, length));
	memset(image + 0x64 + 60, 0xff, 2);
	assert_null(nvram_check(image, length));
	memset(image, 0xff, length);
	assert_string_equal(nvram_check(image, length),
			    "does not begin as variables of UEFI firmware do");
}

static void a_template_is_copied_once(void **state)
{
	struct stat stat_;

	(void)state;
	assert_true(nvram_open(&nvram, &loader, &config));
	assert_int_equal(read_whole(path, content), read_whole(PLAIN, image));
	assert_memory_equal(content, image, nvram.length);
	assert_memory_equal(nvram.memory, image, nvram.length);
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 0777, 0600);
	/* It is one machine's. */
	assert_false(nvram_open(&second, &loader, &config));
	assert_non_null(strstr(why, "another machine"));
	let_go(&second);
	let_go(&nvram);
	/* What there is already stays. */
	config.firmware_template.path = "/nowhere";
	assert_true(nvram_open(&nvram, &loader, &config));
}

static void without_a_file(void **state)
{
	(void)state;
	config.firmware_variables.path = NULL;
	config.firmware_template.path = KEYS;
	assert_true(nvram_open(&nvram, &loader, &config));
	assert_int_equal(nvram.fd, -1);
	assert_true(nvram_start(&nvram));
	nvram_store(&nvram, 0, 1);
	assert_true(nvram_settle(&nvram));
	nvram_begin_stop(&nvram);
	assert_true(nvram_is_quiet(&nvram));
	let_go(&nvram);
	config.firmware_template.path = "/nowhere";
	assert_false(nvram_open(&nvram, &loader, &config));
	assert_non_null(strstr(why, "/nowhere"));
}

static void what_is_damaged_is_named_and_left(void **state)
{
	int fd;

	(void)state;
	assert_true(nvram_open(&nvram, &loader, &config));
	let_go(&nvram);
	fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "x", 1, 41), 1);
	assert_false(nvram_open(&nvram, &loader, &config));
	assert_non_null(strstr(why, path));
	assert_non_null(strstr(why, "does not begin"));
	let_go(&nvram);
	assert_int_equal(ftruncate(fd, 5000), 0);
	assert_false(nvram_open(&nvram, &loader, &config));
	assert_non_null(strstr(why, "5000 bytes"));
	assert_int_equal(pread(fd, content, 42, 0), 42);
	assert_int_equal(content[41], 'x');
	close(fd);
}

static void settle(void)
{
	while (!nvram_settle(&nvram)) {
	}
}

static void what_is_stored_is_in_the_file(void **state)
{
	unsigned int i;

	(void)state;
	assert_true(nvram_open(&nvram, &loader, &config));
	assert_true(nvram_start(&nvram));
	for (i = 0; i < 200; i++) {
		uint32_t at = i * 797;

		nvram.memory[at] ^= 0x5a;
		nvram_store(&nvram, at, 1);
		if (i % 3 == 0) {
			settle();
			read_whole(path, content);
			assert_memory_equal(content, nvram.memory, nvram.length);
		}
	}
	/* Who wants the machine to stand looks as well, and then the file is whole. */
	while (!nvram_stands(&nvram)) {
	}
	assert_false(nvram_fails(&nvram));
	read_whole(path, content);
	assert_memory_equal(content, nvram.memory, nvram.length);
	nvram_begin_stop(&nvram);
	nvram_stop(&nvram);
	assert_true(nvram_is_quiet(&nvram) && nvram_stands(&nvram));
	read_whole(path, content);
	assert_memory_equal(content, nvram.memory, nvram.length);
	/* What comes while no partition lives is seen to when one does. */
	nvram.memory[9000] = 7;
	nvram_store(&nvram, 9000, 1);
	assert_true(nvram_start(&nvram));
	settle();
	read_whole(path, content);
	assert_int_equal(content[9000], 7);
}

/* A file that cannot be written holds nobody up, and has all when it can be again. */
static void a_file_that_fails(void **state)
{
	struct rlimit none = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_true(nvram_open(&nvram, &loader, &config));
	assert_true(nvram_start(&nvram));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	nvram.memory[5] = 1;
	nvram_store(&nvram, 5, 1);
	settle();
	assert_true(nvram_stands(&nvram) && nvram_fails(&nvram));
	read_whole(path, content);
	assert_int_equal(content[5], 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	nvram.memory[8192] = 2;
	nvram_store(&nvram, 8192, 1);
	settle();
	read_whole(path, content);
	assert_memory_equal(content, nvram.memory, nvram.length);
}

/* Where a variable of this name begins in `image`. */
static uint8_t *variable_at(const char *name, uint32_t length)
{
	uint8_t wide[64];
	uint32_t size = 2 * ((uint32_t)strlen(name) + 1), i;

	for (i = 0; i < size; i++) {
		wide[i] = i % 2 == 0 ? (uint8_t)name[i / 2] : 0;
	}
	for (i = 60; i < length - size; i++) {
		if (memcmp(image + i, wide, size) == 0 && image[i - 60] == 0xaa &&
		    image[i - 59] == 0x55 && image[i - 58] == 0x3f) {
			return image + i - 60;
		}
	}
	fail_msg("no variable %s", name);
	return NULL;
}

/* A file that has the image's content, whether it is let begin a machine. */
static bool begins(enum secure_boot wanted, uint32_t length)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	bool done;

	assert_int_equal(pwrite(fd, image, length, 0), length);
	close(fd);
	config.secure_boot = wanted;
	config.firmware_template.path = wanted == SECURE_BOOT_OFF ? "/nowhere" : KEYS;
	why[0] = '\0';
	done = nvram_open(&nvram, &loader, &config);
	let_go(&nvram);
	return done;
}

static void keys_that_are_there(void **state)
{
	uint32_t length = read_whole(KEYS, image);
	struct nvram_keys keys = nvram_find_keys(image, length);
	uint8_t *key, *enabled;

	(void)state;
	assert_non_null(keys.platform_key);
	assert_false(keys.off);
	assert_true(begins(SECURE_BOOT_MICROSOFT, length));
	assert_true(begins(SECURE_BOOT_ANY, length));
	assert_false(begins(SECURE_BOOT_OFF, length));
	assert_non_null(strstr(why, "say that it is on"));
	/* Another one's, of the same size. */
	key = (uint8_t *)keys.platform_key;
	key[keys.platform_key_size - 1] ^= 1;
	assert_true(begins(SECURE_BOOT_ANY, length));
	assert_false(begins(SECURE_BOOT_MICROSOFT, length));
	assert_non_null(strstr(why, "somebody has changed it"));
	key[keys.platform_key_size - 1] ^= 1;
	/* Not wanted, at the firmware's menu. */
	enabled = variable_at("SecureBootEnable", length);
	assert_int_equal(enabled[60 + 34], 1);
	enabled[60 + 34] = 0;
	assert_true(nvram_find_keys(image, length).off);
	assert_false(begins(SECURE_BOOT_MICROSOFT, length));
	assert_non_null(strstr(why, "say that it is off"));
	assert_true(begins(SECURE_BOOT_OFF, length));
	enabled[60 + 34] = 1;
	/* About to be replaced, which a power cut came before; and gone. */
	variable_at("PK", length)[2] = 0x3e;
	assert_true(begins(SECURE_BOOT_MICROSOFT, length));
	(key - 60 - 6)[2] = 0x3c;
	assert_null(nvram_find_keys(image, length).platform_key);
	assert_false(begins(SECURE_BOOT_MICROSOFT, length));
	assert_non_null(strstr(why, "have no platform key"));
	assert_true(begins(SECURE_BOOT_OFF, length));
}

/* A new file has the template's keys, and a template without any is none. */
static void keys_that_are_made(void **state)
{
	(void)state;
	config.secure_boot = SECURE_BOOT_TEMPLATE;
	assert_false(nvram_open(&nvram, &loader, &config));
	assert_non_null(strstr(why, PLAIN " has no keys"));
	let_go(&nvram);
	unlink(path);
	config.firmware_template.path = KEYS;
	assert_true(nvram_open(&nvram, &loader, &config));
	assert_non_null(nvram_find_keys(nvram.memory, nvram.length).platform_key);
	let_go(&nvram);
	/* By it, what there is is judged: it has to stay. */
	config.firmware_template.path = "/nowhere";
	assert_false(nvram_open(&nvram, &loader, &config));
	assert_non_null(strstr(why, "/nowhere"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong),
		cmocka_unit_test_setup_teardown(a_template_is_copied_once, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_damaged_is_named_and_left, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_that_are_there, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_that_are_made, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_stored_is_in_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_fails, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
