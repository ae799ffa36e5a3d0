/*
 * The machine's devices of the root's hardware (docs/design/pci.md): each a bus of virtual PCI (vsp/pci/) with one function, which is a device of VFIO's
 * (vfio.h). All of the guest's memory is pinned and is theirs to read and write between assigned_start() and assigned_stop().
 */
#ifndef WORKER_ASSIGNED_H
#define WORKER_ASSIGNED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct machine;
struct vpci_target;

/* Those of the configuration, before the sandbox closes. False: said why. */
bool assigned_attach(struct machine *machine) MUST_CHECK;
/* Around the life of a partition: its memory is there; VMBus is reset, so that no device has DMA. False: said why. */
bool assigned_start(struct machine *machine) MUST_CHECK;
void assigned_stop(struct machine *machine);
/* Before and after bus_destroy(). */
void assigned_detach(struct machine *machine);
void assigned_free(struct machine *machine);

/* As host_elsewhere(). Any thread. */
bool assigned_access(struct machine *machine, uint64_t gpa, unsigned int size, bool write,
		     uint64_t *value);
/* As vpci_retarget(). Any thread. */
int assigned_retarget(struct machine *machine, uint64_t device_id, uint64_t address, uint32_t data,
		      const struct vpci_target *target) MUST_CHECK;

/* Why the machine's state cannot be written to a file or moved; NULL: it can. */
const char *assigned_obstacle(const struct machine *machine);

#endif
