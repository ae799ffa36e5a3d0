/* A machine's screen as a PNG file. */
#ifndef CLI_SCREENSHOT_H
#define CLI_SCREENSHOT_H

#include "cli/client.h"

/* False: said why. */
bool screenshot(struct client *client, const char *path);

#endif
