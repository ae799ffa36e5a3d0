/*
 * This host's PCI devices as Linux shows them (/sys/bus/pci), and their way to user space (VFIO:
 * /dev/vfio). "Address" is as in sysfs, "0000:00:05.0".
 */
#ifndef HOSTED_PCI_H
#define HOSTED_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/check.h"

#define PCI_ADDRESS      13u /* bytes of one, with its end */
#define PCI_DRIVER_MAX   64u
#define PCI_DRIVER_GUEST "vfio-pci" /* of what can be a guest's */

struct pci_device {
	char address[PCI_ADDRESS];
	char driver[PCI_DRIVER_MAX]; /* "": none */
	uint16_t vendor, device;
	uint32_t class;                        /* base class, subclass, interface */
	int group;                             /* of the IOMMU's; -1: no IOMMU holds it back */
	char physical[PCI_ADDRESS];            /* of a virtual function: whose; "": it is none */
	unsigned int functions, functions_max; /* virtual ones that it has, and may have */
};

/* Is it an address, in sysfs's spelling? */
bool pci_is_address(const char *text);
/* -ENODEV: there is no such device. */
int pci_read(const char *address, struct pci_device *device) MUST_CHECK;
/* Each device that there is, by its address. -errno: there is no PCI. */
int pci_each(void (*each)(void *user, const struct pci_device *device), void *user) MUST_CHECK;
/* Has somebody it, or another of its IOMMU group, from vfio-pci? */
bool pci_is_open(const struct pci_device *device);
/*
 * From its driver to vfio-pci, so that a guest can have it, or back to its own driver. Takes as
 * long as the drivers do. -errno, and `why` says what hinders and what to do: -ENODEV there is
 * none, -ENOTSUP it cannot be a guest's, -EBUSY a guest has it.
 */
int pci_give(const char *address, bool to_guests, char *why, size_t why_bytes) MUST_CHECK;
/*
 * What its container and its group are reached by; *group -1: somebody has that group open already,
 * perhaps the machine that is to have this device too. -errno, and `why` says what hinders and what
 * to do: it has another driver, or another device of its group has.
 */
int pci_open(const char *address, int *container, int *group, char *why,
	     size_t why_bytes) MUST_CHECK;

#endif
