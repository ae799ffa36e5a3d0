/*
 * Devices of the machine that their root has given to vfio-pci, by Linux's VFIO (Documentation/driver-api/vfio.rst): a container, whose IOMMU domain has
 * the guest's memory, groups in it, devices of groups. They are opened before the sandbox closes.
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
#define VFIO_ADDRESS    13u /* of "0000:00:00.0", and its end */
#define VFIO_GROUPS_MAX 16u

struct vfio_container {
	int fd; /* -1: not yet */
	unsigned int group_count;
	struct {
		unsigned int number;
		int fd;
	} groups[VFIO_GROUPS_MAX];
};

struct vfio_bar {
	uint64_t size; /* of memory; 0: none, or ports */
	uint64_t offset;
	uint8_t *memory; /* mapped; NULL: only to be read and written */
};

struct vfio_device {
	int fd;
	uint64_t config; /* offset of its configuration space */
	uint64_t config_size;
	struct vfio_bar bars[VFIO_BARS];
	unsigned int msi_count, msix_count; /* of interrupts that there are */
};

/* "0000:00:05.0", as in /sys/bus/pci/devices. -errno: `why` says it. */
int vfio_open(struct vfio_container *container, const char *address, struct vfio_device *device,
	      char *why, size_t why_bytes) MUST_CHECK;
void vfio_close(struct vfio_device *device);
void vfio_close_container(struct vfio_container *container);

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

/* The commands of ioctl() that the functions here use after vfio_open(); how many. */
size_t vfio_commands(const unsigned int **commands);

#endif
