/*
 * What the home of the integration services supplies: the worker, or a test. The linker chooses it.
 * All are called on the control thread of VMBus, and do not block.
 */
#ifndef VSP_INTEGRATION_HOST_H
#define VSP_INTEGRATION_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct integration_host; /* the home's own; handed back */

/* CLOCK_MONOTONIC, in ns: deadlines. */
uint64_t integration_host_clock(struct integration_host *host);
/* CLOCK_REALTIME, in ns since 1970. */
uint64_t integration_host_date(struct integration_host *host);
/* The guest's reference time, in 100 ns units. -errno: it cannot be read. */
int integration_host_reference_time(struct integration_host *host, uint64_t *time_100ns) MUST_CHECK;
/* Is the machine paused, or about to be? */
bool integration_host_stands(struct integration_host *host);

/* What integration_get_state() gives for this service is another than before. */
void integration_host_changed(struct integration_host *host, unsigned int service);

/* A line about the guest, without a newline; the home sees to it that a guest cannot flood it. */
void integration_host_log(struct integration_host *host, const char *line);

#endif
