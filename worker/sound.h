/*
 * Where what a machine plays is heard: a WAV file of 16 bits and two sides, at the rate of what is
 * played first; what has another rate afterwards is brought to that. It has what was played, one
 * behind the other: no silence for the time between.
 *
 * Writing goes by a thread of its own, since nobody who plays may wait. The file is whole after
 * each write, whatever becomes of its worker, and ends before 4 GiB, as the form does.
 */
#ifndef WORKER_SOUND_H
#define WORKER_SOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "hosted/aside.h"
#include "lib/check.h"
#include "worker/config.h"

#define SOUND_RING (1u << 17) /* frames that wait: almost three seconds */

/* [I] nobody changes it once VPs run, [T] its thread's, [L] under lock */
struct sound {
	const char *path;
	int fd;             /* [I] -1: nobody hears it */
	uint32_t max;       /* [I] bytes of sound in the file */
	uint32_t length;    /* [T] */
	bool full;          /* [T] there is no more room, or it was refused, which was said */
	struct aside aside; /* its lock is [L] */
	int16_t (*ring)[2]; /* [L] */
	uint32_t first, count, lost;
	uint32_t rate; /* [L] of the file; 0: nothing was played yet */
	uint64_t
		at; /* [L] where between `last` and the next frame the file's next one lies, of 2^32 */
	int16_t last[2];
};

/* Before the sandbox. Without a file all of these do nothing. False: said why. */
bool sound_open(struct sound *sound, const struct config *config) MUST_CHECK;
/* Around the life of a partition. What was played is in the file afterwards. False: said why. */
bool sound_start(struct sound *sound) MUST_CHECK;
void sound_begin_stop(struct sound *sound);
bool sound_is_quiet(struct sound *sound);
void sound_stop(struct sound *sound);
void sound_close(struct sound *sound);

/* host_sound_play(). Does not wait; what there is no room for is lost, which is said. */
void sound_play(struct sound *sound, uint32_t rate, const int16_t (*frames)[2], uint32_t count);

#endif
