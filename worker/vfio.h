/*
 * Devices of the machine that their root has given to vfio-pci, by Linux's VFIO
 * (Documentation/driver-api/vfio.rst): a container, whose IOMMU domain has the guest's memory,
 * groups in it, devices of groups. Who has the descriptors of container and group needs no path, so
 * that a sandbox holds.
 *
 * Functions return 0 or -errno.
 */
#ifndef WORKER_VFIO_H
#define WORKER_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/check.h"

#define VFIO_BARS       6u
#define VFIO_GROUPS_MAX 16u

struct vfio_container {
	int fd; /* -1: there is no group */
	unsigned int group_count;
	struct {
		int fd;
		unsigned int devices; /* that are open */
	} groups[VFIO_GROUPS_MAX];
};

struct vfio_bar {
	uint64_t size; /* of memory; 0: none, or ports */
	uint64_t offset;
	uint8_t *memory; /* mapped; NULL: only to be read and written */
};

struct vfio_device {
	int fd;
	int group;       /* its group's descriptor, the container's */
	uint64_t config; /* offset of its configuration space */
	uint64_t config_size;
	struct vfio_bar bars[VFIO_BARS];
	unsigned int msi_count, msix_count; /* of interrupts that there are */
};

/*
 * The device of this address, of a group that comes with it, or (group -1) that the container has.
 * Takes the descriptors, also when it fails: then `why` says it. A container that has its first
 * group has nothing mapped.
 */
int vfio_open(struct vfio_container *container, int fd, int group, const char *address,
	      struct vfio_device *device, char *why, size_t why_bytes) MUST_CHECK;
/* The last device of a group lets go of that, and the last group of the container, with all that is
 * mapped. */
void vfio_close(struct vfio_container *container, struct vfio_device *device);

/* What devices of the container reach, at these addresses; the memory is pinned meanwhile. */
int vfio_map(struct vfio_container *container, uint64_t gpa, uint64_t length,
	     void *memory) MUST_CHECK;
void vfio_unmap(struct vfio_container *container, uint64_t gpa, uint64_t length);

/* What cannot be read is all ones. */
uint64_t vfio_read(const struct vfio_device *device, uint64_t offset, unsigned int size);
void vfio_write(const struct vfio_device *device, uint64_t offset, unsigned int size,
		uint64_t value);

/* Interrupts 0 to count - 1, of MSI-X or MSI, signal eventfds. Count 0: none any more. */
int vfio_set_interrupts(const struct vfio_device *device, bool msix, const int *events,
			unsigned int count) MUST_CHECK;
int vfio_reset(const struct vfio_device *device) MUST_CHECK;

/* The commands of ioctl() that the functions here use; how many. */
size_t vfio_commands(const unsigned int **commands);

#endif
