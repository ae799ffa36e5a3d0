/* See pci.h. */
#include "hosted/pci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define PROBE   "/sys/bus/pci/drivers_probe"
#define GROUPS  "/sys/kernel/iommu_groups"
#define BRIDGE  0x06u /* base class */

bool pci_is_address(const char *text)
{
	unsigned int domain, bus, slot, function;
	int length = 0;

	return strlen(text) == PCI_ADDRESS - 1 &&
	       sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &length) == 4 &&
	       length == (int)PCI_ADDRESS - 1 &&
	       strspn(text, "0123456789abcdef:.") == PCI_ADDRESS - 1 && slot <= 31 && function <= 7;
}

/* The last name of what a link of the device's leads to. False: there is none. */
static bool read_link(const char *address, const char *link, char *name, size_t size)
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
	snprintf(name, size, "%.*s", (int)size - 1, last != NULL ? last + 1 : to);
	return true;
}

/* A number that a file of the device's has; 0: none. */
static uint32_t read_number(const char *address, const char *file, int base)
{
	char path[PATH_MAX], text[32] = "";
	ssize_t length = 0;
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/%s", address, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		length = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	return length > 0 ? (uint32_t)strtoul(text, NULL, base) : 0;
}

int pci_read(const char *address, struct pci_device *device)
{
	char name[PCI_DRIVER_MAX];

	if (!pci_is_address(address) || !read_link(address, "subsystem", name, sizeof(name))) {
		return -ENODEV;
	}
	*device = (struct pci_device){
		.vendor = (uint16_t)read_number(address, "vendor", 16),
		.device = (uint16_t)read_number(address, "device", 16),
		.class = read_number(address, "class", 16),
		.functions = read_number(address, "sriov_numvfs", 10),
		.functions_max = read_number(address, "sriov_totalvfs", 10),
		.group = read_link(address, "iommu_group", name, sizeof(name))
				 ? (int)strtol(name, NULL, 10)
				 : -1,
	};
	snprintf(device->address, sizeof(device->address), "%s", address);
	if (!read_link(address, "driver", device->driver, sizeof(device->driver))) {
		device->driver[0] = '\0';
	}
	if (!read_link(address, "physfn", device->physical, sizeof(device->physical))) {
		device->physical[0] = '\0';
	}
	return 0;
}

/* Others of the group that the root's drivers have, after each other in `text`. */
static void name_mates(int group, const char *address, char *text, size_t size)
{
	char path[PATH_MAX];
	struct pci_device mate;
	const struct dirent *entry;
	size_t used = 0;
	DIR *folder;

	text[0] = '\0';
	snprintf(path, sizeof(path), GROUPS "/%d/devices", group);
	folder = opendir(path);
	while (folder != NULL && (entry = readdir(folder)) != NULL && used < size) {
		if (strcmp(entry->d_name, address) != 0 && pci_read(entry->d_name, &mate) == 0 &&
		    mate.driver[0] != '\0' && strcmp(mate.driver, PCI_DRIVER_GUEST) != 0) {
			used += (size_t)snprintf(text + used, size - used, "%s%s (%s)",
						 used != 0 ? ", " : "", mate.address, mate.driver);
		}
	}
	if (folder != NULL) {
		closedir(folder);
	}
}

static int open_container(char *why, size_t why_bytes)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), ret;

	if (fd < 0) {
		ret = -errno;
		snprintf(why, why_bytes, "/dev/vfio/vfio: %s; load vfio-pci, and do this as root",
			 strerror(errno));
		return ret;
	}
	if (ioctl(fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0) {
		snprintf(why, why_bytes,
			 "this kernel's VFIO has no IOMMU of type 1; load vfio_iommu_type1");
		close(fd);
		return -ENOTSUP;
	}
	return fd;
}

static int open_group(const struct pci_device *device, int *group, char *why, size_t why_bytes)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	char path[64], mates[256];
	int fd, ret;

	snprintf(path, sizeof(path), "/dev/vfio/%d", device->group);
	*group = fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY) {
		return 0;
	}
	if (fd < 0) {
		ret = -errno;
		snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
		return ret;
	}
	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status) < 0 ||
	    !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		name_mates(device->group, device->address, mates, sizeof(mates));
		snprintf(why, why_bytes,
			 "other devices of its IOMMU group %d have drivers of the root's: %s; give "
			 "all of " GROUPS "/%d/devices to vfio-pci",
			 device->group, mates, device->group);
		close(fd);
		return -EBUSY;
	}
	return 0;
}

int pci_open(const char *address, int *container, int *group, char *why, size_t why_bytes)
{
	struct pci_device device;
	int ret = pci_read(address, &device);

	if (ret != 0) {
		snprintf(why, why_bytes, "there is no such device; see lspci -D");
		return ret;
	}
	if (strcmp(device.driver, PCI_DRIVER_GUEST) != 0) {
		snprintf(why, why_bytes,
			 "it is the root's%s%s; give it to vfio-pci: driverctl --nosave "
			 "set-override %s vfio-pci",
			 device.driver[0] != '\0' ? ", by the driver " : "", device.driver,
			 address);
		return -EBUSY;
	}
	if (device.group < 0) {
		snprintf(
			why, why_bytes,
			"no IOMMU keeps it to a guest's memory; the hypervisor's console says why");
		return -ENOTSUP;
	}
	*container = open_container(why, why_bytes);
	if (*container < 0) {
		return *container;
	}
	ret = open_group(&device, group, why, why_bytes);
	if (ret != 0) {
		close(*container);
	}
	return ret;
}

/* ---- From one driver to another ---- */

static int compare_names(const struct dirent **one, const struct dirent **other)
{
	return strcmp((*one)->d_name, (*other)->d_name);
}

int pci_each(void (*each)(void *user, const struct pci_device *device), void *user)
{
	struct pci_device device;
	struct dirent **names;
	int count = scandir(DEVICES, &names, NULL, compare_names), i;

	if (count < 0) {
		return -errno;
	}
	for (i = 0; i < count; i++) {
		if (pci_read(names[i]->d_name, &device) == 0) {
			each(user, &device);
		}
		free(names[i]);
	}
	free(names);
	return 0;
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = fd < 0 ? -errno : 0;

	if (fd >= 0) {
		ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
		close(fd);
	}
	return ret;
}

/* `driver` "": its own, which the kernel finds. */
static int change_driver(const struct pci_device *device, const char *driver)
{
	char path[PATH_MAX], text[PCI_DRIVER_MAX + 1];
	int ret;

	snprintf(path, sizeof(path), DEVICES "/%s/driver_override", device->address);
	snprintf(text, sizeof(text), "%s\n", driver);
	ret = write_text(path, text);
	if (ret == 0 && device->driver[0] != '\0') {
		snprintf(path, sizeof(path), DEVICES "/%s/driver/unbind", device->address);
		ret = write_text(path, device->address);
	}
	/* That no driver takes it is seen by who looks. */
	return ret == 0 ? (write_text(PROBE, device->address) == -EROFS ? -EROFS : 0) : ret;
}

/* One that is open in a machine is waited for without end by who unbinds it. */
bool pci_is_open(const struct pci_device *device)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/vfio/%d", device->group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
	}
	return fd < 0 && errno == EBUSY;
}

static int take_from_driver(const struct pci_device *device, char *why, size_t why_bytes)
{
	struct pci_device now;
	int ret;

	if (device->class >> 16 == BRIDGE) {
		snprintf(why, why_bytes, "it is a bridge, which no guest can have");
		return -ENOTSUP;
	}
	if (device->group < 0) {
		snprintf(
			why, why_bytes,
			"no IOMMU keeps it to a guest's memory; the hypervisor's console says why");
		return -ENOTSUP;
	}
	ret = change_driver(device, PCI_DRIVER_GUEST);
	if (ret == 0 && pci_read(device->address, &now) == 0 &&
	    strcmp(now.driver, PCI_DRIVER_GUEST) == 0) {
		return 0;
	}
	snprintf(why, why_bytes, "vfio-pci does not take it%s%s; load the module vfio-pci",
		 ret != 0 ? ": " : "", ret != 0 ? strerror(-ret) : "");
	if (pci_read(device->address, &now) == 0) {
		(void)change_driver(&now, "");
	}
	return ret != 0 ? ret : -EIO;
}

int pci_give(const char *address, bool to_guests, char *why, size_t why_bytes)
{
	struct pci_device device;
	bool is_guests;
	int ret = pci_read(address, &device);

	if (ret != 0) {
		snprintf(why, why_bytes, "there is no such device; see lspci -D");
		return ret;
	}
	is_guests = strcmp(device.driver, PCI_DRIVER_GUEST) == 0;
	if (is_guests == to_guests) {
		return 0;
	}
	if (to_guests) {
		return take_from_driver(&device, why, why_bytes);
	}
	if (pci_is_open(&device)) {
		snprintf(why, why_bytes,
			 "a machine has it, or another of its IOMMU group %d; take it away from "
			 "that first",
			 device.group);
		return -EBUSY;
	}
	ret = change_driver(&device, "");
	if (ret != 0) {
		snprintf(why, why_bytes, "it does not change its driver: %s", strerror(-ret));
	}
	return ret;
}
