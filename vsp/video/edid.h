/* What the synthetic display says that it is: a monitor (VESA's E-EDID 1.4) whose preferred mode is
 * 1024 by 768. */
#ifndef VSP_VIDEO_EDID_H
#define VSP_VIDEO_EDID_H

#include <stdint.h>

#define EDID_BYTES 128u

void video_edid(uint8_t edid[EDID_BYTES]);

#endif
