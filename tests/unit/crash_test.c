/*
 * worker/crash.c: what is said of a guest's crash, and that the guest's bytes reach a terminal as
 * letters only.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/crash.h"
#include "worker/machine.h"
#include "worker/say.h"

static struct config config = {.name = "box", .crash_log = {.fd = -1}};
static struct machine machine;
static struct machine_vp vp = {.machine = &machine, .index = 3};
static uint64_t parameters[VP_CRASH_PARAMETERS];
static int result;
static char ram[8192], said[16384];

int backend_vp_crash_parameters(struct backend_vp *v, uint64_t p[VP_CRASH_PARAMETERS])
{
	(void)v;
	memcpy(p, parameters, sizeof(parameters));
	return result;
}

bool memory_get(const struct memory *memory, uint64_t gpa, void *to, uint64_t length)
{
	bool there = gpa <= sizeof(ram) && length <= sizeof(ram) - gpa;

	assert_ptr_equal(memory, &machine.memory);
	if (there) {
		memcpy(to, ram + gpa, length);
	}
	return there;
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(said, sizeof(said), format, arguments);
	va_end(arguments);
}

void say_guest(const char *format, ...)
{
	size_t length = strlen(said);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(said + length, sizeof(said) - length, format, arguments);
	va_end(arguments);
	strcat(said, "|");
}

static int setup(void **state)
{
	(void)state;
	memset(&machine, 0, sizeof(machine));
	machine.config = &config;
	memset(ram, 0, sizeof(ram));
	said[0] = '\0';
	result = 0;
	for (unsigned int i = 0; i < VP_CRASH_PARAMETERS; i++) {
		parameters[i] = 0x10 + i;
	}
	return 0;
}

static void once_with_all_parameters(void **state)
{
	(void)state;
	crash_report(&vp, false);
	crash_report(&vp, false);
	assert_string_equal(said, "VP 3: the guest has crashed: 0x10 0x11 0x12 0x13 0x14|");
	assert_true(atomic_load(&machine.crashed));
}

static void text(const char *bytes, size_t length, const char *wanted)
{
	said[0] = '\0';
	atomic_store(&machine.crashed, false);
	memcpy(ram + 100, bytes, length);
	parameters[3] = 100;
	parameters[4] = length;
	crash_report(&vp, true);
	assert_string_equal(strchr(said, '|') + 1, wanted);
}

static void lines_and_letters(void **state)
{
	(void)state;
	text("one\n\ntwo", 8, "crash: one|crash: two|");
	text("a\033[2Jb\r\x9b"
	     "c",
	     9, "crash: a.[2Jb..c|");
	text("end\0behind", 10, "crash: end|");
	text("100 %s %n", 9, "crash: 100 %s %n|");
}

static void address_and_length_are_the_guests(void **state)
{
	(void)state;
	memset(ram, 'x', sizeof(ram));
	parameters[3] = sizeof(ram) - 4096;
	parameters[4] = UINT64_MAX;
	crash_report(&vp, true);
	assert_int_equal(strlen(strchr(said, '|') + 1), strlen("crash: ") + 4096 + 1);
	said[0] = '\0';
	atomic_store(&machine.crashed, false);
	parameters[3]++;
	crash_report(&vp, true);
	assert_non_null(strstr(said, "not in its memory"));
	text("", 0, "crash: its text is not in its memory|");
}

static char *content(void)
{
	static char text[65536];
	ssize_t length = pread(machine.crashes.fd, text, sizeof(text) - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	return text;
}

static void crash(void)
{
	atomic_store(&machine.crashed, false);
	said[0] = '\0';
	crash_report(&vp, true);
}

/* Kept whole, but no more than there may be. */
static void kept_in_a_file(void **state)
{
	char path[] = "/tmp/crash_test_XXXXXX";
	int file = mkstemp(path);
	unsigned int i;

	(void)state;
	close(file);
	config.crash_log = (struct config_file){.path = path, .fd = -1};
	assert_true(crash_open(&machine));
	close(machine.crashes.fd);
	machine.crashes.fd = open(path, O_RDWR | O_APPEND);
	memcpy(ram + 100, "a\033b\nend", 7);
	parameters[3] = 100;
	parameters[4] = 7;
	crash();
	assert_non_null(strstr(said, "kept in"));
	assert_non_null(strstr(content(), "box, VP 3: 0x10 0x11 0x12 0x64 0x7\na.b\nend\n"));
	for (i = 0; i < 20; i++) {
		crash();
	}
	assert_null(strstr(said, "kept"));
	assert_int_equal(machine.crashes.left_out, 17);
	machine.crashes.minute -= 60;
	crash();
	assert_non_null(strstr(content(), "17 before it were too many"));
	assert_int_equal(machine.crashes.left_out, 0);
	machine.crashes.bytes = CRASH_FILE_MAX - 50;
	crash();
	assert_non_null(strstr(said, "not kept"));
	close(machine.crashes.fd);
	machine.crashes.fd = open("/dev/full", O_WRONLY);
	machine.crashes.bytes = 0;
	crash();
	assert_non_null(strstr(said, "cannot be written"));
	close(machine.crashes.fd);
	unlink(path);
	config.crash_log.path = "/nowhere/at/all";
	assert_false(crash_open(&machine));
	assert_non_null(strstr(said, "/nowhere/at/all"));
	config.crash_log.path = NULL;
}

static void registers_out_of_reach(void **state)
{
	(void)state;
	result = -5;
	crash_report(&vp, true);
	assert_string_equal(said, "VP 3: the guest has crashed; its parameters cannot be read|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(once_with_all_parameters, setup),
		cmocka_unit_test_setup(lines_and_letters, setup),
		cmocka_unit_test_setup(address_and_length_are_the_guests, setup),
		cmocka_unit_test_setup(kept_in_a_file, setup),
		cmocka_unit_test_setup(registers_out_of_reach, setup),
	};

	return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
