/* worker/sound.c: what is played is in the file, at one rate, however it is played; what the file
 * does not take is said and lost. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/sound.h"

#define HEAD 44

static struct sound sound;
static struct config config;
static char folder[] = "/tmp/sound-XXXXXX", path[64];
static uint8_t file[1 << 20];
static int16_t frames[SOUND_RING + 100][2];

static int make_folder(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	strcpy(path, folder);
	strcat(path, "/wav");
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void begin(void)
{
	config.sound_wav = (struct config_file){.path = path, .fd = -1};
	assert_true(sound_open(&sound, &config));
	assert_true(sound_start(&sound));
}

/* How many bytes are in the file. */
static size_t end(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t got;

	sound_begin_stop(&sound);
	sound_stop(&sound);
	assert_true(sound_is_quiet(&sound));
	sound_close(&sound);
	got = read(fd, file, sizeof(file));
	close(fd);
	assert_true(got >= 0);
	return (size_t)got;
}

static uint32_t number(size_t at, unsigned int bytes)
{
	uint32_t value = 0;

	memcpy(&value, file + at, bytes);
	return value;
}

static void make_frames(uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		frames[i][0] = (int16_t)(i * 13);
		frames[i][1] = (int16_t)(-7 * (int)i);
	}
}

static void what_was_played(void **state)
{
	uint32_t i;

	(void)state;
	begin();
	make_frames(30000);
	for (i = 0; i < 30000; i += 300) {
		sound_play(&sound, 22050, frames + i, 300);
	}
	assert_int_equal(end(), HEAD + 30000 * 4);
	assert_memory_equal(file, "RIFF", 4);
	assert_int_equal(number(4, 4), HEAD - 8 + 30000 * 4);
	assert_memory_equal(file + 8, "WAVEfmt ", 8);
	assert_int_equal(number(16, 4), 16);
	assert_int_equal(number(20, 2), 1);
	assert_int_equal(number(22, 2), 2);
	assert_int_equal(number(24, 4), 22050);
	assert_int_equal(number(28, 4), 22050 * 4);
	assert_int_equal(number(32, 2), 4);
	assert_int_equal(number(34, 2), 16);
	assert_memory_equal(file + 36, "data", 4);
	assert_int_equal(number(40, 4), 30000 * 4);
	assert_memory_equal(file + HEAD, frames, 30000 * 4);
}

/* Through resets of the machine, which end and begin it. */
static void goes_on_after_a_reset(void **state)
{
	(void)state;
	begin();
	make_frames(20);
	sound_play(&sound, 8000, frames, 10);
	sound_stop(&sound);
	assert_true(sound_start(&sound));
	sound_play(&sound, 8000, frames + 10, 10);
	assert_int_equal(end(), HEAD + 20 * 4);
	assert_memory_equal(file + HEAD, frames, 20 * 4);
}

static void another_rate(void **state)
{
	int16_t sample, before = 0;
	size_t size, i;

	(void)state;
	begin();
	memset(frames[0], 0, 4);
	sound_play(&sound, 40000, frames, 1);
	for (i = 0; i < 1000; i++) {
		frames[i][0] = frames[i][1] = (int16_t)(30 * (i + 1));
	}
	sound_play(&sound, 10000, frames, 1000); /* 0.1 s */
	sound_play(&sound, 44100, frames, 4410);
	size = end();
	assert_in_range(size, HEAD + 4 * 7999, HEAD + 4 * 8003);
	for (i = 1; i < 4000; i++) {
		memcpy(&sample, file + HEAD + 4 * i, 2);
		assert_in_range(sample - before, 0, 8); /* a straight line */
		before = sample;
	}
	assert_in_range(before, 29900, 30000);
}

static void nobody_hears(void **state)
{
	(void)state;
	config.sound_wav = (struct config_file){.fd = -1};
	assert_true(sound_open(&sound, &config) && sound_start(&sound));
	sound_play(&sound, 8000, frames, 10);
	sound_begin_stop(&sound);
	assert_true(sound_is_quiet(&sound));
	sound_stop(&sound);
	sound_close(&sound);
}

static void what_is_no_file(void **state)
{
	(void)state;
	config.sound_wav = (struct config_file){.path = "/dev/null", .fd = -1};
	assert_false(sound_open(&sound, &config));
	config.sound_wav = (struct config_file){.path = "/nowhere/at/all", .fd = -1};
	assert_false(sound_open(&sound, &config));
}

/* The form's end; and more than there is room for before anybody writes. */
static void too_much(void **state)
{
	(void)state;
	begin();
	sound.max = 100;
	make_frames(SOUND_RING + 100);
	sound_play(&sound, 8000, frames, 20);
	sound_stop(&sound);
	assert_true(sound_start(&sound));
	sound_play(&sound, 8000, frames, 20);
	assert_int_equal(end(), HEAD + 80);
	assert_int_equal(number(40, 4), 80);
	config.sound_wav = (struct config_file){.path = path, .fd = -1};
	assert_true(sound_open(&sound, &config));
	sound_play(&sound, 8000, frames, SOUND_RING + 100);
	assert_int_equal(sound.lost, 100);
	assert_true(sound_start(&sound));
	assert_int_equal(end(), HEAD + 4 * SOUND_RING);
	assert_memory_equal(file + HEAD, frames, 4 * SOUND_RING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_played), cmocka_unit_test(goes_on_after_a_reset),
		cmocka_unit_test(another_rate),    cmocka_unit_test(nobody_hears),
		cmocka_unit_test(what_is_no_file), cmocka_unit_test(too_much),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
