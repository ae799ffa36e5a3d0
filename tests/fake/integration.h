/* Integration services (vsp/integration/integration.h) that do what a test says, for what is above
 * them. */
#ifndef FAKE_INTEGRATION_H
#define FAKE_INTEGRATION_H

#include "vsp/integration/integration.h"

struct integration {
	struct integration_host *host;
	struct integration_state states[INTEGRATION_COUNT];
	int refusal; /* of integration_shutdown() */
	bool pending;
	struct integration_shutdown asked;
	int kvp_refusal;
	bool exchanging;
	struct integration_kvp exchange; /* `exchanging` */
	struct integration_pair pair;    /* of it */
	struct integration_adapter adapter;
	struct integration_addresses addresses;
	int freeze_refusal, thaw_refusal, copy_refusal;
	struct integration_freeze freeze;
	struct integration_thaw thaw;
	const char *unwanted; /* what integration_freeze_forget() was told */
	struct integration_copy copy;
	uint64_t copied;
	bool copying;
};

extern struct integration services;

#endif
