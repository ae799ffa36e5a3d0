/*
 * The machine's devices of the root's hardware (docs/design/pci.md): each a bus of virtual PCI
 * (vsp/pci/) with one function, which is a device of VFIO's (vfio.h). All of the guest's memory is
 * pinned and is theirs to read and write between assigned_start() and assigned_stop().
 */
#ifndef WORKER_ASSIGNED_H
#define WORKER_ASSIGNED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct job;
struct machine;
struct vpci_target;

/* Those of the configuration, before the sandbox closes. False: said why. */
bool assigned_attach(struct machine *machine) MUST_CHECK;
/* Around the life of a partition: its memory is there; VMBus is reset, so that no device has DMA.
 * False: said why. */
bool assigned_start(struct machine *machine) MUST_CHECK;
void assigned_stop(struct machine *machine);
/* Before and after bus_destroy(). */
void assigned_detach(struct machine *machine);
void assigned_free(struct machine *machine);

/*
 * A device comes or goes while the machine runs; main thread, of a machine with a control socket.
 * The place of the device of this address, or (NULL) one that is free; -1: there is none. One job
 * at a time has to do with devices.
 */
int assigned_place(const struct machine *machine, const char *address) MUST_CHECK;
/* What is there; NULL: nothing. */
const char *assigned_name(const struct machine *machine, unsigned int place);
#define ASSIGNED_ALONE (-1)
/* The number of the adapter whose frames it carries; ASSIGNED_ALONE: it is a device of its own. */
int assigned_adapter(const struct machine *machine, unsigned int place);
/* The place of the function that carries this adapter's frames; -1: there is none. */
int assigned_function_of(const struct machine *machine, int adapter) MUST_CHECK;
/*
 * Makes the job do it: its number is the place. The descriptors are those of pci_open(), and the
 * job's then. A function that is `adapter`'s is made known to the guest as such, by that; it is
 * there as long as the function. One that goes is asked of the guest, which has its time, unless
 * `force`. -ENOMEM: nothing is changed.
 */
int assigned_prepare_add(struct machine *machine, struct job *job, const char *address, int fd,
			 int group, int adapter) MUST_CHECK;
int assigned_prepare_remove(struct machine *machine, struct job *job, bool force) MUST_CHECK;

/* As host_elsewhere(). Any thread. */
bool assigned_access(struct machine *machine, uint64_t gpa, unsigned int size, bool write,
		     uint64_t *value);
/* As vpci_retarget(). Any thread. */
int assigned_retarget(struct machine *machine, uint64_t device_id, uint64_t address, uint32_t data,
		      const struct vpci_target *target) MUST_CHECK;

/* Why the machine's state cannot be written to a file or moved; NULL: it can. */
const char *assigned_obstacle(const struct machine *machine);

#endif
