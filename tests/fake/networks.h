/* Ports and adapters for tests of the worker: they are counted, and come and go as a test says. */
#ifndef FAKE_NETWORKS_H
#define FAKE_NETWORKS_H

#include <stdatomic.h>

struct fake_networks {
	int connect_result, create_result; /* of the next ones */
	void (*connecting)(void);          /* called by who connects; may block */
	atomic_int ports, adapters;        /* that are there */
};
extern struct fake_networks fake_networks;

#endif
