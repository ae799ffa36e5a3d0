/* The home of the integration services (vsp/integration/host.h) with clocks that a test moves. */
#ifndef FAKE_INTEGRATION_HOST_H
#define FAKE_INTEGRATION_HOST_H

#include "vsp/integration/host.h"
#include "vsp/integration/integration.h"

struct integration_host {
	uint64_t clock, date; /* ns */
	uint64_t reference;   /* 100 ns */
	uint64_t reading_ns;  /* what a look at the reference time takes, of the date */
	int no_reference;     /* -errno instead of it */
	bool stands;
	unsigned int changed[INTEGRATION_COUNT];
	unsigned int lines;
	char line[256]; /* the last one */
};

extern struct integration_host home;

#endif
