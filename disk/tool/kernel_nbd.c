/*
 * The kernel's NBD client, by generic netlink (include/uapi/linux/nbd-netlink.h): a device is
 * connected to a socket of ours, and let go of.
 */
#include "disk/tool/tool.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/nbd.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAG_WRITE_ZEROES (1u << 6) /* kernels that do not know it pass over it */

extern char **environ;

struct message {
	union {
		struct nlmsghdr head;
		uint8_t bytes[1024];
	};
	uint32_t length;
};

static void begin(struct message *m, uint16_t family, uint8_t command)
{
	struct genlmsghdr *generic;

	memset(m, 0, sizeof(*m));
	m->head = (struct nlmsghdr){.nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK};
	generic = (struct genlmsghdr *)(m->bytes + NLMSG_HDRLEN);
	generic->cmd = command;
	generic->version = 1;
	m->length = NLMSG_HDRLEN + GENL_HDRLEN;
}

static void add(struct message *m, uint16_t type, const void *data, uint16_t length)
{
	struct nlattr attribute = {.nla_len = (uint16_t)(NLA_HDRLEN + length), .nla_type = type};

	memcpy(m->bytes + m->length, &attribute, sizeof(attribute));
	memcpy(m->bytes + m->length + NLA_HDRLEN, data, length);
	m->length += NLA_ALIGN(attribute.nla_len);
}

static void add_u32(struct message *m, uint16_t type, uint32_t value)
{
	add(m, type, &value, sizeof(value));
}

static void add_u64(struct message *m, uint16_t type, uint64_t value)
{
	add(m, type, &value, sizeof(value));
}

/* The sockets of a device: a list of one item, which holds one descriptor. */
static void add_socket(struct message *m, uint32_t fd)
{
	struct message item = {.length = 0}, list = {.length = 0};

	add_u32(&item, NBD_SOCK_FD, fd);
	add(&list, NBD_SOCK_ITEM | NLA_F_NESTED, item.bytes, (uint16_t)item.length);
	add(m, NBD_ATTR_SOCKETS | NLA_F_NESTED, list.bytes, (uint16_t)list.length);
}

/* What an answer says about an attribute of 2 or 4 bytes. */
static void find_value(const struct nlmsghdr *head, uint16_t type, uint32_t *value)
{
	const uint8_t *at = (const uint8_t *)head + NLMSG_HDRLEN + GENL_HDRLEN;
	const uint8_t *end = (const uint8_t *)head + head->nlmsg_len;

	while (at + NLA_HDRLEN <= end) {
		struct nlattr attribute;

		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > end - at) {
			return;
		}
		if ((attribute.nla_type & NLA_TYPE_MASK) == type) {
			uint32_t size = attribute.nla_len - NLA_HDRLEN;

			*value = 0;
			memcpy(value, at + NLA_HDRLEN, size < 4 ? size : 4);
		}
		at += NLA_ALIGN(attribute.nla_len);
	}
}

/* Sends, and takes answers up to the acknowledgement. wanted, if not 0, is put into *value. */
static int ask(int fd, struct message *m, uint16_t wanted, uint32_t *value)
{
	m->head.nlmsg_len = m->length;
	if (send(fd, m->bytes, m->length, 0) < 0) {
		return -errno;
	}
	for (;;) {
		uint8_t answer[8192] __attribute__((aligned(8)));
		ssize_t got = recv(fd, answer, sizeof(answer), 0);
		uint32_t left = got > 0 ? (uint32_t)got : 0;
		const struct nlmsghdr *head;

		if (got < 0 && errno != EINTR) {
			return -errno;
		}
		for (head = (const struct nlmsghdr *)answer; NLMSG_OK(head, left);
		     head = NLMSG_NEXT(head, left)) {
			if (head->nlmsg_type == NLMSG_ERROR) {
				return ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
			}
			if (wanted) {
				find_value(head, wanted, value);
			}
		}
	}
}

static int find_family(int fd, uint16_t *family)
{
	struct message m;
	uint32_t id = 0;
	int ret;

	begin(&m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	add(&m, CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME, sizeof(NBD_GENL_FAMILY_NAME));
	ret = ask(fd, &m, CTRL_ATTR_FAMILY_ID, &id);
	*family = (uint16_t)id;
	return ret ? ret : id ? 0 : -ENOENT;
}

static void load_module(void)
{
	char *const words[] = {"modprobe", "nbd", NULL};
	pid_t child;
	int status;

	if (!posix_spawnp(&child, words[0], NULL, NULL, words, environ)) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
		}
	}
}

static int open_netlink(uint16_t *family)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), ret;

	if (fd < 0) {
		return -errno;
	}
	ret = connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) ? -errno : 0;
	ret = ret ? ret : find_family(fd, family);
	if (ret == -ENOENT) {
		load_module();
		ret = find_family(fd, family);
		ret = ret == -ENOENT ? -ENODEV : ret;
	}
	if (ret) {
		close(fd);
	}
	return ret ? ret : fd;
}

int kernel_nbd_connect(struct disk *disk, int fd, unsigned *index)
{
	uint64_t flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
			 NBD_FLAG_SEND_TRIM | FLAG_WRITE_ZEROES |
			 (disk_is_read_only(disk) ? NBD_FLAG_READ_ONLY : 0);
	struct message m;
	uint16_t family;
	uint32_t value = UINT32_MAX;
	int netlink = open_netlink(&family), ret;

	if (netlink < 0) {
		return netlink;
	}
	begin(&m, family, NBD_CMD_CONNECT);
	add_u64(&m, NBD_ATTR_SIZE_BYTES, disk_size(disk));
	add_u64(&m, NBD_ATTR_BLOCK_SIZE_BYTES, disk_sector_size(disk));
	add_u64(&m, NBD_ATTR_SERVER_FLAGS, flags);
	add_socket(&m, (uint32_t)fd);
	ret = ask(netlink, &m, NBD_ATTR_INDEX, &value);
	close(netlink);
	*index = value;
	return ret ? ret : value == UINT32_MAX ? -EPROTO : 0;
}

int kernel_nbd_disconnect(unsigned index)
{
	struct message m;
	uint16_t family;
	int netlink = open_netlink(&family), ret;

	if (netlink < 0) {
		return netlink;
	}
	begin(&m, family, NBD_CMD_DISCONNECT);
	add_u32(&m, NBD_ATTR_INDEX, index);
	ret = ask(netlink, &m, 0, NULL);
	close(netlink);
	return ret;
}
