/*
 * worker/crash.c: what is said of a guest's crash, and that the guest's bytes reach a terminal as letters only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "worker/crash.h"
#include "worker/machine.h"
#include "worker/say.h"

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
		cmocka_unit_test_setup(registers_out_of_reach, setup),
	};

	return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
