/* Devices of the hardware that a machine has (worker/assigned.h): it has none, but remembers whose
 * interrupt was to go where. */
#ifndef FAKE_ASSIGNED_H
#define FAKE_ASSIGNED_H

#include <stdint.h>

#include "vsp/pci/function.h"

struct fake_assigned {
	unsigned int count;
	uint64_t device_id, address;
	uint32_t data;
	struct vpci_target target;
	int result;
	const char *obstacle;
	unsigned int prepared; /* jobs that were to do with devices */
	const char *name;      /* of the device that there is; NULL: none */
	int of_adapter; /* one more than the adapter whose frames that carries, or was to; 0: none */
};

extern struct fake_assigned fake_assigned;

#endif
