/* worker/config.c: the command line, and what it says of a wrong one. */
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/config.h"

static struct config config;
static char said[2048]; /* standard error, of the last call */

/* Words after "vmwp", separated by spaces. */
static enum config_result parse(const char *words)
{
	static char text[4096]; /* what was parsed points into it */
	char *argv[200] = {"vmwp"};
	int argc = 1, saved = dup(STDERR_FILENO), pipes[2];
	enum config_result result;
	ssize_t length;

	strcpy(text, words);
	for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
		argv[argc++] = word;
	}
	optind = 1;
	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], STDERR_FILENO);
	close(pipes[1]);
	result = config_parse(&config, argc, argv);
	if (result == CONFIG_OK && !config_fits_host(&config)) {
		result = CONFIG_BAD;
	}
	dup2(saved, STDERR_FILENO);
	close(saved);
	length = read(pipes[0], said, sizeof(said) - 1);
	said[length > 0 ? length : 0] = '\0';
	close(pipes[0]);
	return result;
}

static void bad(const char *words, const char *named)
{
	assert_int_equal(parse(words), CONFIG_BAD);
	assert_non_null(strstr(said, named));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
}

#define GOOD "--name a --kernel k --memory 64M --vps 2 "

static void everything_given(void **state)
{
	(void)state;
	assert_int_equal(parse("--name vm --kernel k --initrd i --append x=y --memory 2G --vps 240 "
			       "--serial file:/x --on-reset exit"),
			 CONFIG_OK);
	assert_string_equal(said, "");
	assert_true(config.memory == 2ull << 30);
	assert_int_equal(config.vps, 240);
	assert_int_equal(config.serial, SERIAL_FILE);
	assert_int_equal(config.on_reset, ON_RESET_EXIT);
}

static void defaults(void **state)
{
	(void)state;
	assert_int_equal(parse(GOOD), CONFIG_OK);
	assert_null(config.initrd);
	assert_string_equal(config.append, "");
	assert_int_equal(config.serial, SERIAL_STDIO);
	assert_int_equal(config.on_reset, ON_RESET_REBOOT);
	assert_false(config.debug_exit);
	assert_int_equal(parse(GOOD "--debug-exit"), CONFIG_OK);
	assert_true(config.debug_exit);
	assert_int_equal(parse(GOOD "--serial unix:/run/s"), CONFIG_OK);
	assert_int_equal(config.serial, SERIAL_UNIX);
}

static void missing_options(void **state)
{
	(void)state;
	bad("--kernel k --memory 64M --vps 2", "--name");
	bad("--name a --memory 64M --vps 2", "--kernel");
	bad("--name a --kernel k --vps 2", "--memory");
	bad("--name a --kernel k --memory 64M", "--vps");
	bad(GOOD "--frob", "--frob");
	bad(GOOD "word", "word");
	bad("--name a --kernel", "--kernel");
}

static void sizes(void **state)
{
	static const char *const wrong[] = {"0",
					    "lots",
					    "64",
					    "64MB",
					    "-1M",
					    "+64M",
					    "M",
					    "1M",
					    "65M",
					    "3000T",
					    "99999999999999999999G",
					    "18446744073709551615T",
					    "0M"};
	unsigned int i;
	char words[200];

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(words, sizeof(words), "--name a --kernel k --vps 1 --memory %s", wrong[i]);
		bad(words, "--memory");
	}
	assert_int_equal(parse("--name a --kernel k --vps 1 --memory 65536K"), CONFIG_OK);
	assert_true(config.memory == 64ull << 20);
	bad("--name a --kernel k --vps 1 --memory 4T", "this host has");
}

static void users(void **state)
{
	(void)state;
	assert_int_equal(parse(GOOD "--user 1000"), CONFIG_OK);
	assert_int_equal(config.user, 1000);
	bad(GOOD "--user 0", "--user");
	bad(GOOD "--user nobody", "--user");
	bad(GOOD "--user -1", "--user");
	bad(GOOD "--user 4294967295", "--user");
}

static void numbers_of_vps(void **state)
{
	static const char *const wrong[] = {
		"0", "two", "241", "100000", "-1", "1x", "99999999999999999999999"};
	unsigned int i;
	char words[200];

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(words, sizeof(words), "--name a --kernel k --memory 64M --vps %s",
			 wrong[i]);
		bad(words, "--vps");
	}
}

static void disks(void **state)
{
	char words[4096] = GOOD;
	unsigned int i;

	(void)state;
	assert_int_equal(parse(GOOD "--disk a.vhdx --dvd b.iso --disk c,d.vhd,ro,direct,ide --disk "
				    "e,scsi,raw,ro"),
			 CONFIG_OK);
	assert_int_equal(config.disk_count, 4);
	assert_string_equal(config.disks[0].path, "a.vhdx");
	assert_false(config.disks[0].ide || config.disks[0].dvd || config.disks[0].read_only ||
		     config.disks[0].raw || config.disks[0].direct);
	assert_string_equal(config.disks[1].path, "b.iso");
	assert_true(config.disks[1].dvd && config.disks[1].read_only && !config.disks[1].ide);
	assert_string_equal(config.disks[2].path, "c,d.vhd");
	assert_true(config.disks[2].ide && config.disks[2].read_only && config.disks[2].direct);
	assert_string_equal(config.disks[3].path, "e");
	assert_true(config.disks[3].raw && config.disks[3].read_only && !config.disks[3].ide &&
		    !config.disks[3].direct);
	bad(GOOD "--disk x,ide,scsi", "--disk x");
	bad(GOOD "--disk ,ide", "--disk");
	bad(GOOD "--disk a,ide --disk a,ide --disk a,ide --disk a,ide --disk five,ide", "five");
	for (i = 0; i < CONFIG_SCSI_MAX; i++) {
		strcat(words, i % 2 ? "--disk x " : "--dvd x ");
	}
	assert_int_equal(parse(words), CONFIG_OK);
	strcat(words, "--disk last");
	bad(words, "last");
}

static void the_rest(void **state)
{
	(void)state;
	bad(GOOD "--serial tcp:1", "--serial tcp:1");
	bad(GOOD "--serial file:", "--serial");
	bad(GOOD "--on-reset never", "--on-reset never");
	bad("--name a\tb --kernel k --memory 64M --vps 2", "--name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_given),
		cmocka_unit_test(defaults),
		cmocka_unit_test(missing_options),
		cmocka_unit_test(sizes),
		cmocka_unit_test(numbers_of_vps),
		cmocka_unit_test(users),
		cmocka_unit_test(disks),
		cmocka_unit_test(the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
