/* A connection's process for a viewer that speaks VNC. */
#ifndef WEB_VNC_H
#define WEB_VNC_H

#include "web/web.h"

/* Serves the viewer until it goes. Takes both descriptors. */
void vnc_serve(int client, int monitor, const struct certificate *certificate);

#endif
