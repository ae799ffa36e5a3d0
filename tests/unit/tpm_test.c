/* worker/tpm*.c with the program swtpm itself: commands, what outlives the power, what a saved
 * state takes with it, and a TPM that ends. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/board.h"
#include "worker/tpm.h"

static struct tpm tpm, second;
static struct config config;
static struct board board;
static char folder[] = "/tmp/tpm-XXXXXX", path[64], other[64];

/* ---- The board: one command at a time ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static uint8_t answer[TPM_BUFFER_BYTES];
static uint32_t answer_length;
static bool answered;

void board_tpm_done(struct board *which, const uint8_t *bytes, uint32_t length)
{
	assert_ptr_equal(which, &board);
	pthread_mutex_lock(&lock);
	memcpy(answer, bytes, length);
	answer_length = length;
	answered = true;
	pthread_cond_signal(&told);
	pthread_mutex_unlock(&lock);
}

static void run(struct tpm *which, const uint8_t *command, uint32_t length)
{
	answered = false;
	tpm_submit(which, command, length);
	pthread_mutex_lock(&lock);
	while (!answered) {
		pthread_cond_wait(&told, &lock);
	}
	pthread_mutex_unlock(&lock);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- Commands, TPM 2.0 Library, part 3 ---- */

static uint32_t startup(struct tpm *which)
{
	static const uint8_t command[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0};

	run(which, command, sizeof(command));
	return get32(answer + 6);
}

/* PCR 16 is anybody's. SHA-256, with an empty password. */
static uint32_t extend(struct tpm *which, uint8_t what)
{
	uint8_t command[65] = {0x80, 0x02, 0, 0, 0, 65, 0, 0, 1, 0x82, 0, 0, 0, 16, 0, 0,   0,
			       9,    0x40, 0, 0, 9, 0,  0, 0, 0, 0,    0, 0, 0, 1,  0, 0x0b};

	memset(command + 33, what, 32);
	run(which, command, sizeof(command));
	return get32(answer + 6);
}

static void read_pcr(struct tpm *which, uint8_t value[32])
{
	static const uint8_t command[] = {0x80, 0x01, 0, 0, 0, 20,   0, 0, 1, 0x7e,
					  0,    0,    0, 1, 0, 0x0b, 3, 0, 0, 1};

	run(which, command, sizeof(command));
	assert_int_equal(answer_length, 10 + 4 + 10 + 4 + 2 + 32);
	memcpy(value, answer + answer_length - 32, 32);
}

/* TPM2_GetRandom(16), from what its seed and its start give. */
static void read_random(struct tpm *which, uint8_t value[16])
{
	static const uint8_t command[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 16};

	run(which, command, sizeof(command));
	assert_int_equal(answer_length, 28);
	memcpy(value, answer + 12, 16);
}

/* TPM2_ReadClock: resets of the TPM in its life. */
static uint32_t resets(struct tpm *which)
{
	static const uint8_t command[] = {0x80, 0x01, 0, 0, 0, 10, 0, 0, 1, 0x81};

	run(which, command, sizeof(command));
	assert_int_equal(answer_length, 10 + 8 + 17);
	return get32(answer + 10 + 8 + 8);
}

/* ---- */

static int setup(void **state)
{
	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/tpm", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	config = (struct config){.tpm = {.path = path, .fd = -1}};
	return 0;
}

/* As the end of a process; swtpm ends with it. */
static void let_go(struct tpm *which)
{
	tpm_stop(which);
	if (which->link.control >= 0) {
		tpm_close(which);
		assert_true(wait(NULL) > 0);
	}
}

static int teardown(void **state)
{
	(void)state;
	let_go(&tpm);
	unlink(path);
	unlink(other);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static void begin(struct tpm *which)
{
	assert_true(tpm_open(which, &board, &config));
	assert_true(tpm_start(which));
	assert_int_equal(startup(which), 0);
}

static void without_one(void **state)
{
	(void)state;
	config.tpm.path = NULL;
	assert_true(tpm_open(&tpm, &board, &config));
	assert_true(tpm_start(&tpm));
	assert_true(tpm_stands(&tpm) && tpm_is_quiet(&tpm));
	assert_int_equal(tpm_fetch(&tpm), 0);
	assert_int_equal(tpm_sync(&tpm), 0);
	tpm_begin_stop(&tpm);
	let_go(&tpm);
}

static void commands(void **state)
{
	static const uint8_t nonsense[] = {0xff, 0xff, 0, 0, 0, 10, 0, 0, 0, 0};
	uint8_t value[32], again[32];
	struct stat stat_;

	(void)state;
	begin(&tpm);
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 0777, 0600);
	assert_int_equal(extend(&tpm, 1), 0);
	read_pcr(&tpm, value);
	assert_int_equal(extend(&tpm, 1), 0);
	read_pcr(&tpm, again);
	assert_memory_not_equal(value, again, sizeof(value));
	run(&tpm, nonsense, sizeof(nonsense));
	assert_true(answer_length >= 10 && get32(answer + 6) != 0);
	while (!tpm_stands(&tpm)) {
	}
	assert_true(resets(&tpm) > 0);
}

/* What a reset takes, and what it leaves. It is one machine's. */
static void power(void **state)
{
	uint8_t zeros[32] = {0}, value[32];
	uint32_t before;

	(void)state;
	begin(&tpm);
	before = resets(&tpm);
	assert_int_equal(extend(&tpm, 1), 0);
	assert_false(tpm_open(&second, &board, &config));
	tpm_begin_stop(&tpm);
	while (!tpm_is_quiet(&tpm)) {
		usleep(1000);
	}
	tpm_stop(&tpm);
	assert_true(tpm_start(&tpm));
	assert_int_equal(startup(&tpm), 0);
	read_pcr(&tpm, value);
	assert_memory_equal(value, zeros, sizeof(zeros));
	assert_int_equal(resets(&tpm), before + 1);
	let_go(&tpm);
	begin(&tpm);
	assert_int_equal(resets(&tpm), before + 2);
}

static size_t save(uint8_t *to, size_t room)
{
	struct state_writer writer = state_writer(to, room);

	assert_int_equal(tpm_fetch(&tpm), 0);
	tpm_save(&tpm, &writer);
	assert_true(state_fits(&writer));
	return writer.used;
}

static int load(struct tpm *to, const uint8_t *from, size_t size)
{
	struct state_fault fault;
	struct state_reader list = state_reader(from, size, &fault);

	return tpm_load(to, &list);
}

/* A TPM that has gone on from a state is the one that it was saved of, at that moment; whatever its
 * file had. */
static void a_saved_state(void **state)
{
	static uint8_t saved[1 << 20];
	uint8_t value[32], again[32], random[16], same[16];
	size_t size;

	(void)state;
	begin(&tpm);
	assert_int_equal(extend(&tpm, 7), 0);
	read_pcr(&tpm, value);
	size = save(saved, sizeof(saved));
	read_random(&tpm, random);
	assert_int_equal(extend(&tpm, 8), 0);
	let_go(&tpm);
	config.tpm.path = other;
	begin(&tpm);
	assert_int_equal(load(&tpm, saved, size), 0);
	read_pcr(&tpm, again);
	assert_memory_equal(value, again, sizeof(value));
	read_random(&tpm, same);
	assert_memory_equal(random, same, sizeof(random));
	/* A state that is none leaves a TPM that does not go on. */
	saved[size / 2] ^= 1;
	saved[size - 30] ^= 1;
	assert_int_equal(load(&tpm, saved, size), -EINVAL);
	assert_int_equal(load(&tpm, saved, 100), -EINVAL);
}

/* What has come by a state is in the file at once, and on its medium when that is asked for: the
 * next start, however this one ends, is the moved TPM's. */
static pid_t only_child(void);

static void a_moved_one_is_in_its_file(void **state)
{
	static uint8_t saved[1 << 20];
	uint32_t before;
	size_t size;

	(void)state;
	begin(&tpm);
	while (resets(&tpm) < 4) {
		tpm_stop(&tpm);
		assert_true(tpm_start(&tpm));
		assert_int_equal(startup(&tpm), 0);
	}
	before = resets(&tpm);
	size = save(saved, sizeof(saved));
	let_go(&tpm);
	config.tpm.path = other;
	begin(&tpm);
	assert_true(resets(&tpm) < before);
	assert_int_equal(load(&tpm, saved, size), 0);
	assert_int_equal(tpm_sync(&tpm), 0);
	assert_false(tpm_is_gone(&tpm));
	kill(only_child(), SIGKILL);
	let_go(&tpm);
	begin(&tpm);
	assert_int_equal(resets(&tpm), before + 1);
}

static pid_t only_child(void)
{
	char name[64], text[32] = "";
	ssize_t got;
	int fd;

	snprintf(name, sizeof(name), "/proc/self/task/%d/children", getpid());
	fd = open(name, O_RDONLY);
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(got > 0);
	return (pid_t)atoi(text);
}

static void a_tpm_that_ends(void **state)
{
	(void)state;
	begin(&tpm);
	kill(only_child(), SIGKILL);
	(void)startup(&tpm);
	assert_int_equal(answer_length, 0);
	while (!tpm_stands(&tpm)) {
	}
	assert_int_equal(tpm_fetch(&tpm), -EPIPE);
	assert_true(tpm_is_gone(&tpm));
	tpm_stop(&tpm);
	assert_true(tpm_start(&tpm)); /* the guest has none, and runs */
	(void)startup(&tpm);
	assert_int_equal(answer_length, 0);
}

/* A file that is none is left as it is. */
static void a_file_that_is_none(void **state)
{
	char text[5000];
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
	assert_false(tpm_open(&tpm, &board, &config));
	assert_int_equal(pread(fd, text, sizeof(text), 0), sizeof(text));
	close(fd);
	assert_true(text[0] == 'x' && text[4999] == 'x');
	let_go(&tpm);
	config.tpm.path = folder;
	assert_false(tpm_open(&tpm, &board, &config));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_one, setup, teardown),
		cmocka_unit_test_setup_teardown(commands, setup, teardown),
		cmocka_unit_test_setup_teardown(power, setup, teardown),
		cmocka_unit_test_setup_teardown(a_saved_state, setup, teardown),
		cmocka_unit_test_setup_teardown(a_moved_one_is_in_its_file, setup, teardown),
		cmocka_unit_test_setup_teardown(a_tpm_that_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
