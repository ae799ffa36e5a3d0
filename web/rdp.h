/* A connection's process for a viewer that speaks RDP. */
#ifndef WEB_RDP_H
#define WEB_RDP_H

#include "web/web.h"

/* Serves the viewer until it goes. Takes both descriptors. */
void rdp_serve(int client, int monitor, const struct certificate *certificate);

#endif
