/* RIFF's form WAVE with samples as they are (format 1); see sound.h. */
#include "worker/sound.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/say.h"

#define FRAME_BYTES     4u
#define BATCH           4096u /* frames of a write */
#define SOUND_BYTES_MAX (UINT32_MAX - 64 * 1024)

struct wave_head {
	char riff[4];
	uint32_t length; /* of what follows, in the file */
	char wave[4], fmt[4];
	uint32_t fmt_length;
	uint16_t format, sides;
	uint32_t rate, bytes_per_second;
	uint16_t frame_bytes, bits;
	char data[4];
	uint32_t data_length;
};

static int put(int fd, const void *from, size_t length, off_t at)
{
	ssize_t done = pwrite(fd, from, length, at);

	return done == (ssize_t)length ? 0 : done < 0 ? -errno : -ENOSPC;
}

static int put_head(const struct sound *sound, uint32_t rate)
{
	struct wave_head head = {
		.riff = {'R', 'I', 'F', 'F'},
		.length = (uint32_t)sizeof(head) - 8 + sound->length,
		.wave = {'W', 'A', 'V', 'E'},
		.fmt = {'f', 'm', 't', ' '},
		.fmt_length = 16,
		.format = 1,
		.sides = 2,
		.rate = rate,
		.bytes_per_second = rate * FRAME_BYTES,
		.frame_bytes = FRAME_BYTES,
		.bits = 16,
		.data = {'d', 'a', 't', 'a'},
		.data_length = sound->length,
	};

	return put(sound->fd, &head, sizeof(head), 0);
}

bool sound_open(struct sound *sound, const struct config *config)
{
	const struct config_file *file = &config->sound_wav;
	struct stat stat;

	*sound = (struct sound){.path = file->path, .fd = -1, .max = SOUND_BYTES_MAX};
	if (file->path == NULL) {
		return true;
	}
	aside_init(&sound->aside);
	sound->fd =
		file->fd >= 0 ? file->fd : open(file->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (sound->fd < 0 || fstat(sound->fd, &stat) != 0) {
		say("--sound wav=%s: %s", file->path, strerror(errno));
		return false;
	}
	if (!S_ISREG(stat.st_mode)) {
		say("--sound wav=%s: it is no regular file; give one, or a path with nothing there",
		    file->path);
		return false;
	}
	sound->ring = malloc(SOUND_RING * sizeof(sound->ring[0]));
	if (sound->ring == NULL || ftruncate(sound->fd, 0) != 0) {
		say("--sound wav=%s: %s", file->path, strerror(errno));
		return false;
	}
	return true;
}

/* ---- who plays ---- */

/* Under the lock. */
static void add(struct sound *sound, int16_t left, int16_t right)
{
	int16_t *frame;

	if (sound->count == SOUND_RING) {
		sound->lost++;
		return;
	}
	frame = sound->ring[(sound->first + sound->count++) % SOUND_RING];
	frame[0] = left;
	frame[1] = right;
}

static int16_t between(int16_t one, int16_t other, uint64_t at)
{
	return (int16_t)(one + ((other - one) * (int64_t)at >> 32));
}

/* Of another rate: what lies on the straight lines between its frames. */
static void add_at(struct sound *sound, uint32_t rate, const int16_t frame[2])
{
	uint64_t step = ((uint64_t)rate << 32) / sound->rate;

	for (; sound->at >> 32 == 0; sound->at += step) {
		add(sound, between(sound->last[0], frame[0], sound->at),
		    between(sound->last[1], frame[1], sound->at));
	}
	sound->at -= 1ull << 32;
	memcpy(sound->last, frame, sizeof(sound->last));
}

void sound_play(struct sound *sound, uint32_t rate, const int16_t (*frames)[2], uint32_t count)
{
	uint32_t i;

	if (sound->fd < 0) {
		return;
	}
	pthread_mutex_lock(&sound->aside.lock);
	if (sound->rate == 0) {
		sound->rate = rate;
	}
	for (i = 0; i < count; i++) {
		if (rate == sound->rate) {
			add(sound, frames[i][0], frames[i][1]);
		} else {
			add_at(sound, rate, frames[i]);
		}
	}
	pthread_cond_signal(&sound->aside.work);
	pthread_mutex_unlock(&sound->aside.lock);
}

/* ---- who writes ---- */

static void write_frames(struct sound *sound, const int16_t (*frames)[2], uint32_t count,
			 uint32_t rate)
{
	uint32_t bytes = count * FRAME_BYTES;
	int ret = -EFBIG;

	if (sound->full) {
		return;
	}
	if (bytes <= sound->max - sound->length) {
		ret = put(sound->fd, frames, bytes,
			  (off_t)sizeof(struct wave_head) + sound->length);
	}
	if (ret == 0) {
		sound->length += bytes;
		ret = put_head(sound, rate);
	}
	if (ret != 0) {
		sound->full = true;
		say("--sound wav=%s: %s; it ends here", sound->path, strerror(-ret));
	}
}

/* Under the lock. */
static void write_some(void *user)
{
	struct sound *sound = user;
	int16_t frames[BATCH][2];
	uint32_t count = 0, rate = sound->rate, lost = sound->lost;

	for (; count < BATCH && sound->count != 0; count++, sound->count--) {
		memcpy(frames[count], sound->ring[sound->first], sizeof(frames[count]));
		sound->first = (sound->first + 1) % SOUND_RING;
	}
	sound->lost = 0;
	pthread_mutex_unlock(&sound->aside.lock);
	if (lost != 0) {
		say("--sound wav=%s: the file is too slow; %u frames are not in it", sound->path,
		    lost);
	}
	write_frames(sound, frames, count, rate);
	pthread_mutex_lock(&sound->aside.lock);
}

static bool waits(void *user)
{
	const struct sound *sound = user;

	return sound->count != 0;
}

bool sound_start(struct sound *sound)
{
	int ret;

	if (sound->fd < 0) {
		return true;
	}
	ret = aside_start(&sound->aside, waits, write_some, sound);
	if (ret != 0) {
		say("no thread for the machine's sound: %s", strerror(ret));
	}
	return ret == 0;
}

void sound_begin_stop(struct sound *sound)
{
	aside_begin_stop(&sound->aside);
}

bool sound_is_quiet(struct sound *sound)
{
	return aside_is_quiet(&sound->aside);
}

void sound_stop(struct sound *sound)
{
	aside_stop(&sound->aside);
}

void sound_close(struct sound *sound)
{
	if (sound->fd >= 0) {
		close(sound->fd);
		sound->fd = -1;
		free(sound->ring);
	}
}
