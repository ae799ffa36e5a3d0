/* See vf.h. */
#include "hosted/vf.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define DEVICES        "/sys/bus/pci/devices"
#define ANSWER_SECONDS 10

/* ---- which it is ---- */

/* The first interface of a function's driver. */
static bool find_interface(const char *address, char name[IF_NAMESIZE])
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *folder;

	snprintf(path, sizeof(path), DEVICES "/%s/net", address);
	folder = opendir(path);
	name[0] = '\0';
	while (folder != NULL && name[0] == '\0' && (entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] != '.') {
			snprintf(name, IF_NAMESIZE, "%.*s", IF_NAMESIZE - 1, entry->d_name);
		}
	}
	if (folder != NULL) {
		closedir(folder);
	}
	return name[0] != '\0';
}

/* The card's links to its functions, virtfn0 and on, say which is which. */
static bool find_number(const char *physical, const char *address, unsigned int *number)
{
	char path[PATH_MAX], to[PATH_MAX];
	ssize_t length;

	for (*number = 0;; (*number)++) {
		snprintf(path, sizeof(path), DEVICES "/%s/virtfn%u", physical, *number);
		length = readlink(path, to, sizeof(to) - 1);
		if (length < 0) {
			return false;
		}
		to[length] = '\0';
		if (length >= (ssize_t)PCI_ADDRESS &&
		    strcmp(to + length - (PCI_ADDRESS - 1), address) == 0) {
			return true;
		}
	}
}

int vf_find(const char *address, struct vf *vf, char *why, size_t why_bytes)
{
	struct pci_device device;

	if (pci_read(address, &device) != 0) {
		snprintf(why, why_bytes, "there is no such device; see lspci -D");
		return -ENODEV;
	}
	if (device.physical[0] == '\0') {
		snprintf(why, why_bytes,
			 "it is no virtual function; make some: echo NUMBER >" DEVICES
			 "/CARD/sriov_numvfs");
		return -ENODEV;
	}
	memcpy(vf->physical, device.physical, sizeof(vf->physical));
	if (!find_interface(vf->physical, vf->card) ||
	    !find_number(vf->physical, address, &vf->number)) {
		snprintf(why, why_bytes, "its card %s has no interface of the root's",
			 vf->physical);
		return -ENODEV;
	}
	return 0;
}

/* ---- one that is free ---- */

struct search {
	const char *physical;
	char address[PCI_ADDRESS]; /* "": none yet */
};

static void look_at(void *user, const struct pci_device *device)
{
	struct search *search = user;
	bool is_guests = strcmp(device->driver, PCI_DRIVER_GUEST) == 0;

	if (search->address[0] == '\0' && strcmp(device->physical, search->physical) == 0 &&
	    (device->driver[0] == '\0' || (is_guests && !pci_is_open(device)))) {
		memcpy(search->address, device->address, sizeof(search->address));
	}
}

/* The function of PCI that an interface is of. */
static bool find_physical(int card, char physical[PCI_ADDRESS])
{
	char path[PATH_MAX], to[PATH_MAX], name[IF_NAMESIZE];
	const char *last;
	ssize_t length;

	if (if_indextoname((unsigned int)card, name) == NULL) {
		return false;
	}
	snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
	length = readlink(path, to, sizeof(to) - 1);
	if (length < 0) {
		return false;
	}
	to[length] = '\0';
	last = strrchr(to, '/');
	if (last == NULL || !pci_is_address(last + 1)) {
		return false;
	}
	memcpy(physical, last + 1, PCI_ADDRESS);
	return true;
}

int vf_take(int card, char address[PCI_ADDRESS], char *why, size_t why_bytes)
{
	char physical[PCI_ADDRESS];
	struct search search = {.physical = physical};
	int ret = -ENOENT;

	if (find_physical(card, physical)) {
		ret = pci_each(look_at, &search);
	}
	if (ret != 0 || search.address[0] == '\0') {
		snprintf(why, why_bytes,
			 "the switch's card has no virtual function that is free; make some: echo "
			 "NUMBER "
			 ">/sys/class/net/CARD/device/sriov_numvfs, without drivers of their own "
			 "(sriov_drivers_autoprobe)");
		return -ENOENT;
	}
	memcpy(address, search.address, sizeof(search.address));
	return pci_give(address, true, why, why_bytes);
}

/* ---- how it is set ---- */

static struct rtattr *put(uint8_t *bytes, size_t *used, unsigned short type, const void *value,
			  size_t length)
{
	struct rtattr *attribute = (struct rtattr *)(bytes + *used);

	CHECK(*used + RTA_SPACE(length) <= VF_MESSAGE_BYTES);
	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(length);
	if (length != 0) {
		memcpy(RTA_DATA(attribute), value, length);
	}
	*used += RTA_SPACE(length);
	return attribute;
}

static void close_nest(struct rtattr *nest, const uint8_t *end)
{
	nest->rta_len = (unsigned short)(end - (const uint8_t *)nest);
}

size_t vf_message(const struct vf *vf, int index, const struct vf_settings *settings,
		  uint8_t bytes[VF_MESSAGE_BYTES])
{
	struct ifla_vf_mac mac = {.vf = vf->number};
	const struct ifla_vf_vlan vlan = {.vf = vf->number, .vlan = settings->vlan};
	const struct ifla_vf_spoofchk check = {.vf = vf->number, .setting = settings->guarded};
	const struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct nlmsghdr *head = (struct nlmsghdr *)bytes;
	size_t used = NLMSG_SPACE(sizeof(link));
	struct rtattr *list, *one;

	memset(bytes, 0, VF_MESSAGE_BYTES);
	memcpy(NLMSG_DATA(head), &link, sizeof(link));
	memcpy(mac.mac, settings->mac, sizeof(settings->mac));
	list = put(bytes, &used, IFLA_VFINFO_LIST, NULL, 0);
	one = put(bytes, &used, IFLA_VF_INFO, NULL, 0);
	put(bytes, &used, IFLA_VF_MAC, &mac, sizeof(mac));
	put(bytes, &used, IFLA_VF_VLAN, &vlan, sizeof(vlan));
	put(bytes, &used, IFLA_VF_SPOOFCHK, &check, sizeof(check));
	close_nest(one, bytes + used);
	close_nest(list, bytes + used);
	*head = (struct nlmsghdr){.nlmsg_len = (uint32_t)used,
				  .nlmsg_type = RTM_SETLINK,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK};
	return used;
}

/* What the kernel says of it. */
static int ask(int fd, const uint8_t *bytes, size_t length)
{
	const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		uint8_t rest[1024];
	} answer = {.error.error = 0};
	ssize_t got;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
	    send(fd, bytes, length, 0) < 0) {
		return -errno;
	}
	got = recv(fd, &answer, sizeof(answer), 0);
	if (got < 0) {
		return -errno;
	}
	return got < (ssize_t)offsetof(typeof(answer), rest) ||
			       answer.head.nlmsg_type != NLMSG_ERROR
		       ? -EPROTO
		       : answer.error.error;
}

int vf_set(const struct vf *vf, const struct vf_settings *settings, char *why, size_t why_bytes)
{
	uint8_t bytes[VF_MESSAGE_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	int index = (int)if_nametoindex(vf->card), fd, ret;
	size_t length = vf_message(vf, index, settings, bytes);

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ret = fd < 0 ? -errno : ask(fd, bytes, length);
	if (fd >= 0) {
		close(fd);
	}
	if (ret != 0) {
		snprintf(why, why_bytes, "%s does not set its function %u: %s%s", vf->card,
			 vf->number, strerror(-ret), ret == -EPERM ? "; do this as root" : "");
	}
	return ret;
}

int vf_clear(const char *address, char *why, size_t why_bytes)
{
	static const struct vf_settings none;
	struct vf vf;
	int ret = vf_find(address, &vf, why, why_bytes);

	return ret != 0 ? ret : vf_set(&vf, &none, why, why_bytes);
}
