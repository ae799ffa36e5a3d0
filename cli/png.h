/* A picture as a PNG file. */
#ifndef CLI_PNG_H
#define CLI_PNG_H

#include "console/screen.h"

/* False: errno says why, or there was no memory. */
bool picture_write(const struct picture *picture, const char *path);

#endif
