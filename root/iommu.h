/* The module as an IOMMU driver, what its other files ask of it. */
#ifndef ROOT_IOMMU_H
#define ROOT_IOMMU_H

#include <linux/types.h>

struct pci_dev;

/* The requester id under which messages of a device come to the IOMMU. */
uint16_t iommu_requester(struct pci_dev *pci);

#endif
