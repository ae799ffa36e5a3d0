/* What a guarded port may not say: that it is a DHCP server, or a router. */
#ifndef SWITCH_GUARD_H
#define SWITCH_GUARD_H

#include <stdbool.h>

#include "switch/frame.h"

/* True: it is such a message, or it cannot be seen that it is none. */
bool guard_is_dhcp_server(const struct frame *frame);
bool guard_is_router(const struct frame *frame);

#endif
