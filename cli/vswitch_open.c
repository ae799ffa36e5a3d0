/* See vswitch.h. */
#include "cli/client.h"
#include "cli/vswitch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET_BYTES (8 << 20)
/*
 * What of ours waits in a card's queue, with the kernel's own structures. Less than the queue
 * itself holds: then frames wait with their senders, by whose reserves they go on, and none is
 * lost.
 */
#define CARD_BYTES   (256 << 10)
#define ETH_HEADER   14
#define TUN_OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define NAT_OPTIONS  64 /* words */
#define SCOPE_WORDS  7
#define VNET_BYTES   10

static int mtu_of(const char *interface)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu = 1500;
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (fd >= 0 && ioctl(fd, SIOCGIFMTU, &request) == 0) {
		mtu = request.ifr_mtu;
	}
	close(fd);
	return mtu;
}

static bool bring_up(const char *interface)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {0};
	bool up;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
	request.ifr_flags |= IFF_UP;
	up = up && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	close(fd);
	return up || client_fail(interface, strerror(errno));
}

/* A network interface of this machine, by the name that is asked for or one that is free. */
static int open_tap(char name[IFNAMSIZ])
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), vnet_bytes = VNET_BYTES;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0 ||
	    ioctl(fd, TUNSETVNETHDRSZ, &vnet_bytes) != 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_OFFLOADS) != 0) {
		client_fail(name[0] != '\0' ? name : "/dev/net/tun", strerror(errno));
		close(fd);
		return -1;
	}
	snprintf(name, IFNAMSIZ, "%s", request.ifr_name);
	if (!bring_up(name)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool run(char *const *arguments)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		execvp(arguments[0], arguments);
		_exit(127);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* A Linux bridge, else an Open vSwitch. */
static bool join_bridge(const char *bridge, char *interface)
{
	char *const to_ovs[] = {"ovs-vsctl",    "--may-exist", "add-port",
				(char *)bridge, interface,     NULL};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_ifindex = (int)if_nametoindex(interface)};
	bool joined;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", bridge);
	joined = fd >= 0 && ioctl(fd, SIOCBRADDIF, &request) == 0;
	close(fd);
	return joined || run(to_ovs) ||
	       client_fail(
		       bridge,
		       "not a bridge or an Open vSwitch of this machine; ip link show type bridge");
}

/* All that the card hears, and nothing of what this machine sends by it. */
static int open_packet(const char *interface)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
				      .sll_protocol = htons(ETH_P_ALL),
				      .sll_ifindex = (int)if_nametoindex(interface)};
	struct packet_mreq all = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, bytes = SOCKET_BYTES,
	    queue_bytes = CARD_BYTES;

	if (address.sll_ifindex == 0) {
		client_fail(interface, "no network card of this machine; ip link shows them");
	} else if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) != 0 ||
		   setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) != 0 ||
		   setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
		   setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) != 0 ||
		   bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		client_fail(interface, strerror(errno));
	} else {
		/* Larger than what a user may have is for root alone; without it all works the
		 * same. */
		(void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &queue_bytes, sizeof(queue_bytes));
		(void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
		return fd;
	}
	close(fd);
	return -1;
}

bool vswitch_open_link(int fds[2])
{
	int bytes = SOCKET_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
		return client_fail("a link", strerror(errno));
	}
	for (int i = 0; i < 2; i++) {
		(void)!setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	}
	return true;
}

/* The path of vnat: beside this program, or where it is built. */
static bool find_nat(char *path, size_t bytes)
{
	ssize_t length = readlink("/proc/self/exe", path, bytes - 64);
	char *slash;

	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash != NULL) {
		strcpy(slash, "/vnat");
		if (access(path, X_OK) != 0) {
			strcpy(slash, "/../switch/vnat");
		}
	}
	return (slash != NULL && access(path, X_OK) == 0) ||
	       client_fail("vnat", "it is not beside vswitch; install it there");
}

/* In a scope of its own where systemd is, so that it is no part of whichever service has asked for
 * it, nor ends with that. */
static char *scope[] = {"systemd-run",
			"--quiet",
			"--collect",
			"--scope",
			"--slice=system.slice",
			"--description=A way out by NAT",
			"--"};

/* Its status when it is ready and goes on by itself; it ends with its port. */
static int run_nat(char **arguments, int fd)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		dup2(fd, STDIN_FILENO);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

/* `options` are words. */
static int start_nat(char *options)
{
	char path[4096], *all[SCOPE_WORDS + NAT_OPTIONS + 3], **arguments = all + SCOPE_WORDS;
	bool in_scope = geteuid() == 0 && access("/run/systemd/system", F_OK) == 0;
	size_t count = 2;
	int fds[2];

	memcpy(all, scope, sizeof(scope));
	arguments[0] = path;
	arguments[1] = "--background";
	for (char *word = strtok(options, " "); word != NULL && count < NAT_OPTIONS + 2;
	     word = strtok(NULL, " ")) {
		arguments[count++] = word;
	}
	arguments[count] = NULL;
	if (!find_nat(path, sizeof(path)) || !vswitch_open_link(fds)) {
		return -1;
	}
	/* Without a scope it serves as well. */
	if ((!in_scope || run_nat(all, fds[1]) != 0) && run_nat(arguments, fds[1]) != 0) {
		client_fail("vnat", "it did not start");
		close(fds[0]);
		fds[0] = -1;
	}
	close(fds[1]);
	return fds[0];
}

int vswitch_open_kind(char *kind, json_t *params)
{
	char *of = strchr(kind, ':'), name[IFNAMSIZ] = "", none[] = "";
	int fd = -1;

	if (of != NULL) {
		*of++ = '\0';
	}
	if (strcmp(kind, "guest") == 0) {
		json_object_set_new(params, "kind", json_string("guest"));
		return -1;
	}
	if (strcmp(kind, "nat") == 0) {
		json_object_set_new(params, "kind", json_string("link"));
		fd = start_nat(of != NULL ? of : none);
		return fd >= 0 ? fd : -2;
	}
	if (strcmp(kind, "external") == 0 && of != NULL) {
		json_object_set_new(params, "kind", json_string("packet"));
		json_object_set_new(params, "max-bytes", json_integer(mtu_of(of) + ETH_HEADER));
		fd = open_packet(of);
	} else if (strcmp(kind, "internal") == 0 || (strcmp(kind, "bridge") == 0 && of != NULL)) {
		bool bridge = kind[0] == 'b';

		if (of != NULL && !bridge && strlen(of) >= sizeof(name)) {
			client_fail(of, "too long for the name of a network interface");
			return -2;
		}
		snprintf(name, sizeof(name), "%s", of != NULL && !bridge ? of : "");
		json_object_set_new(params, "kind", json_string("tap"));
		fd = open_tap(name);
		if (fd >= 0 && bridge && !join_bridge(of, name)) {
			close(fd);
			return -2;
		}
		json_object_set_new(params, "max-bytes", json_integer(mtu_of(name) + ETH_HEADER));
	} else {
		client_fail(kind, "give guest, internal[:IF], bridge:BRIDGE, external:IF or nat");
	}
	return fd >= 0 ? fd : -2;
}

void vswitch_put_uplink(json_t *params, const char *kind)
{
	if (strcmp(kind, "external") == 0 || strcmp(kind, "bridge") == 0 ||
	    strcmp(kind, "link") == 0) {
		json_object_set_new(
			params, "vlan",
			json_pack("{s:s, s:i, s:s}", "mode", "trunk", "id", 0, "list", "1-4094"));
		json_object_set_new(params, "priority-tag", json_true());
	}
}
