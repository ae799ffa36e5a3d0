/* See vfio.h. */
#include "worker/vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define PCI_BAR 0x10u

size_t vfio_commands(const unsigned int **commands)
{
	static const unsigned int all[] = {
		VFIO_IOMMU_MAP_DMA,
		VFIO_IOMMU_UNMAP_DMA,
		VFIO_DEVICE_SET_IRQS,
		VFIO_DEVICE_RESET,
	};

	*commands = all;
	return ARRAY_COUNT(all);
}

/* ---- Opening ---- */

/* The last name of what a link of the device's in sysfs leads to. False: there is none. */
static bool read_link(const char *address, const char *link, char name[NAME_MAX + 1])
{
	char path[PATH_MAX], to[PATH_MAX], *last;
	ssize_t length;

	snprintf(path, sizeof(path), DEVICES "/%s/%s", address, link);
	length = readlink(path, to, sizeof(to) - 1);
	if (length < 0) {
		return false;
	}
	to[length] = '\0';
	last = strrchr(to, '/');
	snprintf(name, NAME_MAX + 1, "%.*s", NAME_MAX, last != NULL ? last + 1 : to);
	return true;
}

static int open_container(struct vfio_container *container, char *why, size_t why_bytes)
{
	if (container->fd >= 0) {
		return 0;
	}
	container->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (container->fd < 0) {
		snprintf(why, why_bytes, "/dev/vfio/vfio: %s; load vfio-pci, and run vmwp as root",
			 strerror(errno));
		return -errno;
	}
	if (ioctl(container->fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(container->fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0) {
		snprintf(why, why_bytes,
			 "this kernel's VFIO has no IOMMU of type 1; load vfio_iommu_type1");
		return -ENOTSUP;
	}
	return 0;
}

/* The first one brings the container its IOMMU. */
static int join(struct vfio_container *container, int group, char *why, size_t why_bytes)
{
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container->fd) < 0) {
		snprintf(why, why_bytes, "its IOMMU group cannot be used: %s", strerror(errno));
		return -errno;
	}
	if (container->group_count == 0 &&
	    ioctl(container->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0) {
		snprintf(why, why_bytes, "the IOMMU cannot be used: %s%s", strerror(errno),
			 errno == EPERM ? "; interrupts are not remapped on this machine: where "
					  "guests are trusted, load vfio_iommu_type1 with "
					  "allow_unsafe_interrupts=1"
					: "");
		return -errno;
	}
	return 0;
}

static int open_group(struct vfio_container *container, unsigned int number, int *group, char *why,
		      size_t why_bytes)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	char path[64];
	unsigned int i;
	int fd, ret;

	for (i = 0; i < container->group_count; i++) {
		if (container->groups[i].number == number) {
			*group = container->groups[i].fd;
			return 0;
		}
	}
	snprintf(path, sizeof(path), "/dev/vfio/%u", number);
	fd = container->group_count < VFIO_GROUPS_MAX ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0) {
		snprintf(why, why_bytes, "%s: %s%s", path, strerror(errno),
			 errno == EBUSY ? "; another process has it" : "");
		return -errno;
	}
	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status) < 0 ||
	    !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		snprintf(why, why_bytes,
			 "other devices of its IOMMU group %u have drivers of the root's; give all "
			 "of /sys/kernel/iommu_groups/%u/devices to vfio-pci",
			 number, number);
		ret = -EBUSY;
		goto out_close;
	}
	ret = join(container, fd, why, why_bytes);
	if (ret != 0) {
		goto out_close;
	}
	container->groups[container->group_count].number = number;
	container->groups[container->group_count++].fd = fd;
	*group = fd;
	return 0;
out_close:
	close(fd);
	return ret;
}

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
	/* Where only some of it can be mapped there are more capabilities to be asked for: none of it is. */
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

int vfio_open(struct vfio_container *container, const char *address, struct vfio_device *device,
	      char *why, size_t why_bytes)
{
	char name[NAME_MAX + 1];
	int group = -1, ret;

	*device = (struct vfio_device){.fd = -1};
	if (!read_link(address, "subsystem", name)) {
		snprintf(why, why_bytes, "there is no such device; see lspci -D");
		return -ENODEV;
	}
	if (!read_link(address, "driver", name) || strcmp(name, "vfio-pci") != 0) {
		snprintf(
			why, why_bytes,
			"it is the root's; give it to vfio-pci: driverctl --nosave set-override %s "
			"vfio-pci",
			address);
		return -EBUSY;
	}
	if (!read_link(address, "iommu_group", name)) {
		snprintf(
			why, why_bytes,
			"no IOMMU keeps it to a guest's memory; the hypervisor's console says why");
		return -ENOTSUP;
	}
	ret = open_container(container, why, why_bytes);
	if (ret == 0) {
		ret = open_group(container, (unsigned int)strtoul(name, NULL, 10), &group, why,
				 why_bytes);
	}
	if (ret != 0) {
		return ret;
	}
	device->fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
	if (device->fd < 0) {
		snprintf(why, why_bytes, "VFIO does not open it: %s", strerror(errno));
		return -errno;
	}
	ret = look_at(device, why, why_bytes);
	if (ret != 0) {
		vfio_close(device);
	}
	return ret;
}

void vfio_close(struct vfio_device *device)
{
	unsigned int i;

	for (i = 0; i < VFIO_BARS; i++) {
		if (device->bars[i].memory != NULL) {
			munmap(device->bars[i].memory, device->bars[i].size);
			device->bars[i].memory = NULL;
		}
	}
	if (device->fd >= 0) {
		close(device->fd);
		device->fd = -1;
	}
}

void vfio_close_container(struct vfio_container *container)
{
	unsigned int i;

	for (i = 0; i < container->group_count; i++) {
		close(container->groups[i].fd);
	}
	container->group_count = 0;
	if (container->fd >= 0) {
		close(container->fd);
		container->fd = -1;
	}
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
