/*
 * The synthetic display of one guest: a frame in memory of the home's that the guest has where it
 * wants it, or in the guest's own RAM. docs/design/console.md.
 */
#ifndef VSP_VIDEO_VIDEO_H
#define VSP_VIDEO_VIDEO_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"
#include "lib/state.h"

struct video;
struct video_host;
struct vmbus;

#define VIDEO_MEGABYTES  32u
#define VIDEO_BYTES      (VIDEO_MEGABYTES << 20) /* of the frame memory */
#define VIDEO_MAX_WIDTH  3840u
#define VIDEO_MAX_HEIGHT 2160u
#define VIDEO_MIN_WIDTH  640u
#define VIDEO_MIN_HEIGHT 480u

/* Offers the device. `stops`: the guest may stop it, as it may with UEFI firmware. -errno. [C] is
 * VMBus' control thread. */
int video_create(struct vmbus *bus, struct video_host *host, bool stops,
		 struct video **video) MUST_CHECK;
/* Before vmbus_destroy(); the home is asked until that has returned. [C] */
void video_destroy(struct video **video);

#define VIDEO_CHANGES 8u

struct video_change {
	uint16_t left, top, right, bottom; /* without the last two */
};

struct video_view {
	uint32_t offset, pitch; /* in the frame memory; bytes */
	uint16_t width, height;
	uint8_t bits; /* of a pixel: 32, or 16 */
	bool asked;   /* the guest is told of sizes that are wanted */
	bool all;     /* anything may have changed; else what these say */
	uint8_t change_count;
	struct video_change changes[VIDEO_CHANGES];
};

/*
 * What there is to be seen, which is in the frame memory when it returns; false: nothing, or not
 * here. With `follow` somebody looks who will come again: the view says what has changed since it
 * was last asked for with `follow`, and the guest is made to tell. [T]
 */
bool video_look(struct video *video, bool follow, struct video_view *view);

/*
 * Who looks would like this size: the guest is told if it is of a version that can be (another
 * monitor has been plugged in, as it were), and finds it when it asks for what sizes there are.
 * What is less or more than can be is the nearest that can; a width is a multiple of 8, as a
 * monitor's. The device's, whatever its guest does, and no part of its state. [T]
 */
void video_want(struct video *video, unsigned int width, unsigned int height);

/* A part "video". The bus is paused. [C] */
void video_save(struct video *video, struct state_writer *writer);
/* Into one that is new, before vmbus_load(). -EINVAL: the list's fault says why; -ENOMEM. [C] */
int video_load(struct video *video, struct state_reader *list) MUST_CHECK;

#endif
