/*
 * A guest's edge: the rings that its worker shares, and the guest's memory that it handed over. The
 * worker is not trusted; what it does wrong breaks this edge and no more.
 */
#ifndef SWITCH_GUEST_H
#define SWITCH_GUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "switch/switch.h"

#define GUEST_FDS_MAX (2u + PORT_QUEUES_MAX) /* those of the welcome */

struct guest;

extern const struct edge guest_edge;

/*
 * An edge for what a worker asks: `fds` are those of the hello's regions, and stay the caller's.
 * On failure a negative errno, and the reason in `why`.
 */
int guest_create(const struct port_hello *hello, const int *fds, uint32_t fd_count,
		 struct guest **guest, char *why, size_t why_bytes) MUST_CHECK;
/* The descriptors of the welcome, which stay the guest's; how many. */
uint32_t guest_descriptors(const struct guest *guest, int *fds);
/* After its port is gone, or if it never had one. */
void guest_destroy(struct guest **guest);

/* The port whose edge it is; its worker is told of the link. */
void guest_attach(struct guest *guest, struct port *port);

/* Each signal of the worker is an edge; it is not read. */
int guest_event(const struct guest *guest);
/* True: the thread may sleep, the worker will signal. */
bool guest_waits(struct guest *guest);
void guest_wakes(struct guest *guest);
/* The worker has broken the rules; what it did is in the text. */
const char *guest_broken(const struct guest *guest);

#endif
