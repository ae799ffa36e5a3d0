/* What synthetic video needs of its home: the worker, or a test. */
#ifndef VSP_VIDEO_HOST_H
#define VSP_VIDEO_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct video_host;

/*
 * The frame memory is in the guest's address space from here on, and nowhere else; false: it cannot
 * be there, and is where it was. On the channel's thread.
 */
bool video_host_place(struct video_host *host, uint64_t gpa) MUST_CHECK;
/* It is nowhere. On the channel's thread. */
void video_host_remove(struct video_host *host);
/* Is all of it the guest's RAM? Any thread. */
bool video_host_is_ram(struct video_host *host, uint64_t gpa, uint64_t length);
/* Copies guest RAM into the frame memory; what is no RAM now is left as it is there. Any thread. */
void video_host_fetch(struct video_host *host, uint64_t gpa, uint32_t offset, uint32_t length);
/* Milliseconds that pass, from any beginning. Any thread. */
uint64_t video_host_clock(struct video_host *host);
/* A line for the log: what the guest wants and does not get. Any thread. */
void video_host_log(struct video_host *host, const char *line);

#endif
