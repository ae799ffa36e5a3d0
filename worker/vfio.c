/* See vfio.h. */
#include "worker/vfio.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PCI_BAR 0x10u

size_t vfio_commands(const unsigned int **commands)
{
	static const unsigned int all[] = {
		VFIO_GET_API_VERSION,        VFIO_SET_IOMMU,           VFIO_GROUP_GET_STATUS,
		VFIO_GROUP_SET_CONTAINER,    VFIO_GROUP_GET_DEVICE_FD, VFIO_DEVICE_GET_INFO,
		VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_GET_IRQ_INFO, VFIO_IOMMU_MAP_DMA,
		VFIO_IOMMU_UNMAP_DMA,        VFIO_DEVICE_SET_IRQS,     VFIO_DEVICE_RESET,
	};

	*commands = all;
	return ARRAY_COUNT(all);
}

/* ---- Container and groups ---- */

static int refuse(int ret, const char *what, char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "%s", what);
	return ret;
}

/* Takes the descriptors. The first group brings the container its IOMMU. */
static int join(struct vfio_container *container, int fd, int group, char *why, size_t why_bytes)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	int ret;

	container->groups[container->group_count].fd = group;
	container->groups[container->group_count++].devices = 0;
	if (container->fd < 0) {
		container->fd = fd;
	} else {
		close(fd);
	}
	if (ioctl(container->fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(group, VFIO_GROUP_GET_STATUS, &status) < 0) {
		return refuse(-EBADF, "the descriptors are no container and no group of VFIO's",
			      why, why_bytes);
	}
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container->fd) < 0) {
		ret = -errno;
		snprintf(why, why_bytes, "its IOMMU group cannot be used: %s", strerror(-ret));
		return ret;
	}
	if (container->group_count == 1 &&
	    ioctl(container->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0) {
		ret = -errno;
		snprintf(why, why_bytes, "the IOMMU cannot be used: %s%s", strerror(-ret),
			 ret == -EPERM ? "; interrupts are not remapped on this machine: where "
					 "guests are trusted, load vfio_iommu_type1 with "
					 "allow_unsafe_interrupts=1"
				       : "");
		return ret;
	}
	return 0;
}

/* What has no device is the root's again. */
static void leave(struct vfio_container *container)
{
	unsigned int i = 0;

	while (i < container->group_count) {
		if (container->groups[i].devices != 0) {
			i++;
			continue;
		}
		close(container->groups[i].fd);
		container->groups[i] = container->groups[--container->group_count];
	}
	if (container->group_count == 0 && container->fd >= 0) {
		close(container->fd);
		container->fd = -1;
	}
}

/* ---- Opening ---- */

/* What kind of BAR it is is in its lowest bits. */
static void open_bar(struct vfio_device *device, unsigned int i)
{
	struct vfio_region_info info = {.argsz = sizeof(info),
					.index = VFIO_PCI_BAR0_REGION_INDEX + i};
	struct vfio_bar *bar = &device->bars[i];
	void *memory;

	if (ioctl(device->fd, VFIO_DEVICE_GET_REGION_INFO, &info) < 0 || info.size == 0 ||
	    vfio_read(device, device->config + PCI_BAR + 4 * i, 4) & 1) {
		return;
	}
	*bar = (struct vfio_bar){.size = info.size, .offset = info.offset};
	/* Where only some of it can be mapped there are more capabilities to be asked for: none of
	 * it is. */
	if (!(info.flags & VFIO_REGION_INFO_FLAG_MMAP)) {
		return;
	}
	memory = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device->fd,
		      (off_t)info.offset);
	bar->memory = memory != MAP_FAILED ? memory : NULL;
}

static unsigned int count_interrupts(const struct vfio_device *device, unsigned int index)
{
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};

	return ioctl(device->fd, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0 ||
			       !(info.flags & VFIO_IRQ_INFO_EVENTFD)
		       ? 0
		       : info.count;
}

static int look_at(struct vfio_device *device, char *why, size_t why_bytes)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	struct vfio_region_info config = {.argsz = sizeof(config),
					  .index = VFIO_PCI_CONFIG_REGION_INDEX};
	unsigned int i;

	if (ioctl(device->fd, VFIO_DEVICE_GET_INFO, &info) < 0 ||
	    ioctl(device->fd, VFIO_DEVICE_GET_REGION_INFO, &config) < 0) {
		snprintf(why, why_bytes, "VFIO does not describe it: %s", strerror(errno));
		return -errno;
	}
	if (!(info.flags & VFIO_DEVICE_FLAGS_RESET)) {
		snprintf(
			why, why_bytes,
			"it cannot be reset, so that what one guest left in it would be another's");
		return -ENOTSUP;
	}
	device->config = config.offset;
	device->config_size = config.size;
	for (i = 0; i < VFIO_BARS; i++) {
		open_bar(device, i);
	}
	device->msi_count = count_interrupts(device, VFIO_PCI_MSI_IRQ_INDEX);
	device->msix_count = count_interrupts(device, VFIO_PCI_MSIX_IRQ_INDEX);
	return 0;
}

/* The group of ours that has the device. */
static int open_device(struct vfio_container *container, const char *address,
		       struct vfio_device *device, char *why, size_t why_bytes)
{
	unsigned int i;

	for (i = 0; i < container->group_count && device->fd < 0; i++) {
		device->fd = ioctl(container->groups[i].fd, VFIO_GROUP_GET_DEVICE_FD, address);
		if (device->fd >= 0) {
			device->group = container->groups[i].fd;
			container->groups[i].devices++;
		}
	}
	return device->fd >= 0
		       ? 0
		       : refuse(-EBUSY,
				"VFIO does not open it: another process has its IOMMU group", why,
				why_bytes);
}

int vfio_open(struct vfio_container *container, int fd, int group, const char *address,
	      struct vfio_device *device, char *why, size_t why_bytes)
{
	int ret = 0;

	*device = (struct vfio_device){.fd = -1, .group = -1};
	if (group >= 0 && container->group_count == VFIO_GROUPS_MAX) {
		close(fd);
		close(group);
		return refuse(-ENOSPC, "the machine has as many IOMMU groups as it may have", why,
			      why_bytes);
	}
	if (group >= 0) {
		ret = join(container, fd, group, why, why_bytes);
	} else {
		close(fd);
	}
	if (ret == 0) {
		ret = open_device(container, address, device, why, why_bytes);
	}
	if (ret == 0) {
		ret = look_at(device, why, why_bytes);
	}
	if (ret != 0) {
		vfio_close(container, device);
	}
	return ret;
}

void vfio_close(struct vfio_container *container, struct vfio_device *device)
{
	unsigned int i;

	for (i = 0; i < VFIO_BARS; i++) {
		if (device->bars[i].memory != NULL) {
			munmap(device->bars[i].memory, device->bars[i].size);
			device->bars[i].memory = NULL;
		}
	}
	for (i = 0; device->fd >= 0 && i < container->group_count; i++) {
		container->groups[i].devices -= container->groups[i].fd == device->group;
	}
	if (device->fd >= 0) {
		close(device->fd);
		device->fd = -1;
	}
	leave(container);
}

/* ---- Memory ---- */

int vfio_map(struct vfio_container *container, uint64_t gpa, uint64_t length, void *memory)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = gpa,
		.size = length,
	};

	return ioctl(container->fd, VFIO_IOMMU_MAP_DMA, &map) < 0 ? -errno : 0;
}

void vfio_unmap(struct vfio_container *container, uint64_t gpa, uint64_t length)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = gpa, .size = length};

	/* What cannot be unmapped was not mapped. */
	(void)!ioctl(container->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

/* ---- The device ---- */

uint64_t vfio_read(const struct vfio_device *device, uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	return pread(device->fd, &value, size, (off_t)offset) == (ssize_t)size ? value : UINT64_MAX;
}

void vfio_write(const struct vfio_device *device, uint64_t offset, unsigned int size,
		uint64_t value)
{
	/* What the device does not take is lost, as on hardware. */
	(void)!pwrite(device->fd, &value, size, (off_t)offset);
}

int vfio_set_interrupts(const struct vfio_device *device, bool msix, const int *events,
			unsigned int count)
{
	size_t size = sizeof(struct vfio_irq_set) + count * sizeof(events[0]);
	struct vfio_irq_set *set = calloc(1, size);
	int ret;

	if (set == NULL) {
		return -ENOMEM;
	}
	*set = (struct vfio_irq_set){
		.argsz = (uint32_t)size,
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER |
			 (count != 0 ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE),
		.index = msix ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX,
		.count = count,
	};
	if (count != 0) {
		memcpy(set->data, events, count * sizeof(events[0]));
	}
	ret = ioctl(device->fd, VFIO_DEVICE_SET_IRQS, set) < 0 ? -errno : 0;
	free(set);
	return ret;
}

int vfio_reset(const struct vfio_device *device)
{
	return ioctl(device->fd, VFIO_DEVICE_RESET) < 0 ? -errno : 0;
}
