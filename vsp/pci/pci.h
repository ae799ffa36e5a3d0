/*
 * A PCI bus of the guest's on VMBus with one function on it, at device 0: a function of the
 * machine's hardware, or what its home makes one. docs/design/pci.md.
 *
 * Marks: [C] VMBus' control thread, [T] any.
 */
#ifndef VSP_PCI_PCI_H
#define VSP_PCI_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"
#include "vsp/pci/function.h"

struct vmbus;
struct vpci;

#define VPCI_PLACES 16u /* of one guest */

struct vpci_config {
	unsigned int place; /* less than VPCI_PLACES: its bus is of PCI domain 1000h and this */
	unsigned int vps;   /* that there are */
	uint32_t serial;    /* by which a guest's other drivers know it */
};

/* Offers the bus. -errno: the function is the caller's still, and is not released. [C] */
int vpci_create(struct vmbus *bus, struct vpci_function *function, const struct vpci_config *config,
		struct vpci **vpci) MUST_CHECK;
/* The guest is asked to let go of the function: vpci_function_ejected() says when it has. It may
 * never. [T] */
void vpci_eject(struct vpci *vpci);
/* The guest loses it at once, and the function is reset. It is called no more, but for
 * vpci_function_released(). [T] */
void vpci_take(struct vpci *vpci);
/* Likewise, and the bus goes. Nobody else calls what is here. [C] */
void vpci_destroy(struct vpci **vpci);

/* An access of a VP to 1 to 8 bytes. False: it is not to this device. [T] */
bool vpci_access(struct vpci *vpci, uint64_t gpa, unsigned int size, bool write, uint64_t *value);

/* HvCallRetargetDeviceInterrupt: the interrupt that has this address and data goes elsewhere.
 * -ENODEV: it is another device; -EINVAL. [T] */
int vpci_retarget(struct vpci *vpci, uint64_t device_id, uint64_t address, uint32_t data,
		  const struct vpci_target *target) MUST_CHECK;

#endif
