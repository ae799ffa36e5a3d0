/* The synthetic display as it describes itself: a monitor (VESA's E-EDID 1.4). */
#ifndef VSP_VIDEO_EDID_H
#define VSP_VIDEO_EDID_H

#include <stdint.h>

#define EDID_BYTES 128u

/* Of pixels, at most 3840 by 2160, and not less than 320 by 200. */
void video_edid(uint8_t edid[EDID_BYTES], unsigned int width, unsigned int height);

#endif
