/*
 * What is plugged into ports. A worker connects, says hello, and is a port until its connection
 * ends; the kernel's descriptors come by the control socket.
 *
 *   connection --hello--> plugged --its end, or a broken rule--> (port stays, unplugged | port gone)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/packet.h"
#include "switch/daemon.h"

/* ---- the edge of a port with nothing in it ---- */

static uint32_t take_none(void *of, struct frame *frames, uint32_t max, uint64_t bytes)
{
	(void)of;
	(void)frames;
	(void)max;
	(void)bytes;
	return 0;
}

static void release_none(void *of, uint32_t count)
{
	(void)of;
	(void)count;
}

static enum drop give_none(void *of, const struct frame *frame)
{
	(void)of;
	(void)frame;
	return DROP_UNPLUGGED;
}

static void flush_none(void *of)
{
	(void)of;
}

/* It hears nothing, so it is given nothing. */
static const struct edge no_edge = {"guest",   false,      take_none, release_none,
				    give_none, flush_none, false};

static void unplug(struct port *port)
{
	port->edge = &no_edge;
	port->of = NULL;
	port->takes = 0;
	port->full = false;
}

/* ---- plugs ---- */

struct vswitch *daemon_find(const struct daemon *daemon, const char *name)
{
	for (uint32_t i = 0; i < DAEMON_SWITCHES; i++) {
		if (daemon->nets[i] != NULL && strcmp(daemon->nets[i]->name, name) == 0) {
			return daemon->nets[i];
		}
	}
	return NULL;
}

struct plug *plug_of(const struct daemon *daemon, const struct port *port)
{
	struct plug *plug = daemon->plugs;

	while (plug != NULL && plug->port != port) {
		plug = plug->next;
	}
	return plug;
}

static struct plug *new_plug(struct daemon *daemon)
{
	struct plug *plug = calloc(1, sizeof(*plug));

	if (plug == NULL) {
		return NULL;
	}
	plug->daemon = daemon;
	plug->connection = -1;
	plug->by_connection = (struct source){.kind = SOURCE_CONNECTION, .plug = plug};
	plug->by_event = (struct source){.kind = SOURCE_EVENT, .plug = plug};
	plug->by_kernel = (struct source){.kind = SOURCE_KERNEL, .plug = plug};
	plug->next = daemon->plugs;
	daemon->plugs = plug;
	return plug;
}

static void free_plug(struct plug *plug)
{
	struct plug **link = &plug->daemon->plugs;

	while (*link != plug) {
		link = &(*link)->next;
	}
	*link = plug->next;
	free(plug);
}

/* Others may have the same open file, so that closing it here does not end the watch. */
static void unwatch(const struct plug *plug, int fd)
{
	epoll_ctl(plug->daemon->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* The worker goes; its memory is not touched any more. */
static void drop_worker(struct plug *plug)
{
	if (plug->connection >= 0) {
		unwatch(plug, plug->connection);
		close(plug->connection);
		plug->connection = -1;
	}
	if (plug->guest != NULL) {
		unwatch(plug, guest_event(plug->guest));
		if (plug->port != NULL) {
			unplug(plug->port);
		}
		guest_destroy(&plug->guest);
		plug->daemon->guest_count--;
	}
}

void plug_remove(struct plug *plug)
{
	drop_worker(plug);
	if (plug->port != NULL) {
		vswitch_remove_port(&plug->port);
	}
	if (plug->kernel != NULL) {
		unwatch(plug, kernel_fd(plug->kernel));
		kernel_destroy(&plug->kernel);
	}
	free_plug(plug);
}

int plug_add_guest(struct daemon *daemon, struct vswitch *net, const char *name, struct port **port)
{
	struct plug *plug = new_plug(daemon);
	int ret = plug == NULL ? -ENOMEM : vswitch_add_port(net, name, &no_edge, NULL, port);

	if (ret != 0) {
		if (plug != NULL) {
			free_plug(plug);
		}
		return ret;
	}
	unplug(*port);
	plug->port = *port;
	plug->stays = true;
	return 0;
}

int plug_add_kernel(struct daemon *daemon, struct vswitch *net, const char *name, const char *kind,
		    int fd, uint32_t max_bytes, struct port **port)
{
	const struct edge *edge = kernel_edge(kind);
	struct plug *plug = new_plug(daemon);
	int ret = plug == NULL ? -ENOMEM : vswitch_add_port(net, name, &no_edge, NULL, port);

	if (ret != 0) {
		goto out_plug;
	}
	ret = kernel_create(edge, fd, &plug->kernel);
	if (ret != 0) {
		goto out_port;
	}
	if (!loop_watch(daemon, fd, EPOLLIN | EPOLLET, &plug->by_kernel)) {
		ret = -EINVAL;
		goto out_kernel;
	}
	(*port)->edge = edge;
	(*port)->of = plug->kernel;
	kernel_attach(plug->kernel, *port, max_bytes);
	port_set_link(*port, kernel_has_link(plug->kernel));
	plug->port = *port;
	return 0;
out_kernel:
	/* The caller closes its descriptor by itself. */
	fd = dup(fd);
	kernel_destroy(&plug->kernel);
	close(fd);
out_port:
	vswitch_remove_port(port);
out_plug:
	if (plug != NULL) {
		free_plug(plug);
	}
	return ret;
}

/* ---- workers ---- */

void plug_accept(struct daemon *daemon)
{
	int fd = accept4(daemon->ports, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct plug *plug = fd >= 0 ? new_plug(daemon) : NULL;

	if (plug == NULL) {
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	plug->connection = fd;
	if (!loop_watch(daemon, fd, EPOLLIN, &plug->by_connection)) {
		plug_remove(plug);
	}
}

/* The hello; its descriptors are in `packet` in any case. False: it is none. */
static bool receive_hello(int fd, struct port_hello *hello, struct packet *packet)
{
	int ret;

	packet->bytes = hello;
	packet->size = sizeof(*hello);
	ret = packet_receive(fd, 0, packet);
	hello->network[PORT_NAME_MAX - 1] = hello->port[PORT_NAME_MAX - 1] = '\0';
	return ret == 0 && packet->length == sizeof(*hello) && !packet->cut && !packet->fds_cut;
}

#define MAC_POOL  0x00155d000000ull /* as Hyper-V's: its vendor, then three bytes of ours */
#define MAC_TRIES 16u

/* The address that a worker asks for, or one that nobody has. */
static int set_mac(struct port *port, uint64_t mac)
{
	struct port_settings settings = port->settings;
	uint32_t random, tries = 0;
	int ret;

	do {
		settings.mac = mac;
		if (mac == 0) {
			if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
				return -EAGAIN;
			}
			settings.mac = MAC_POOL | (random & 0xffffffu);
		}
		ret = port_set(port, &settings);
	} while (ret != 0 && mac == 0 && ++tries < MAC_TRIES);
	return ret;
}

/* Which VLAN a port is in is its settings' affair; who makes one may say it. */
static int set_vlan(const struct plug *plug, uint16_t vlan, char *why)
{
	struct port *port = plug->port;
	struct port_settings settings = port->settings;
	bool is_so = settings.vlan.mode == VLAN_ACCESS && settings.vlan.vlan == vlan;
	int ret;

	if (vlan == 0 || is_so) {
		return 0;
	}
	if (plug->stays) {
		snprintf(
			why, DAEMON_TEXT,
			"port \"%s\" is not in VLAN %u; set it with vswitch, or leave the VLAN out",
			port->name, vlan);
		return -EPERM;
	}
	settings.vlan = (struct vlan_settings){.mode = VLAN_ACCESS, .vlan = vlan};
	ret = port_set(port, &settings);
	if (ret != 0) {
		snprintf(why, DAEMON_TEXT, "port \"%s\": VLAN %u: give 1 to 4094", port->name,
			 vlan);
	}
	return ret;
}

/* The port that the hello names: one that waits, or a new one. NULL: neither, and why. */
static struct plug *find_port(struct plug *plug, const struct port_hello *hello, int *ret,
			      char *why)
{
	struct daemon *daemon = plug->daemon;
	struct vswitch *net = daemon_find(daemon, hello->network);
	struct plug *waiting;
	struct port *port;

	if (net == NULL) {
		*ret = -ENOENT;
		snprintf(why, DAEMON_TEXT,
			 "there is no switch \"%s\"; make it with: vswitch create %s",
			 hello->network, hello->network);
		return NULL;
	}
	port = vswitch_find_port(net, hello->port);
	waiting = port != NULL ? plug_of(daemon, port) : NULL;
	if (port != NULL && (waiting->kernel != NULL || waiting->guest != NULL)) {
		*ret = -EBUSY;
		snprintf(why, DAEMON_TEXT, "port \"%s\" is in use; give another name", hello->port);
		return NULL;
	}
	if (port == NULL) {
		*ret = plug_add_guest(daemon, net, hello->port, &port);
		if (*ret != 0) {
			snprintf(why, DAEMON_TEXT, "port \"%s\": %s", hello->port, strerror(-*ret));
			return NULL;
		}
		waiting = plug_of(daemon, port);
		waiting->stays = false;
	}
	*ret = port->settings.mac != 0 ? 0 : set_mac(port, frame_mac(hello->mac));
	if (*ret != 0) {
		snprintf(why, DAEMON_TEXT, "port \"%s\": its address cannot be had: %s",
			 hello->port, strerror(-*ret));
	} else {
		*ret = set_vlan(waiting, hello->vlan, why);
	}
	if (*ret != 0) {
		if (!waiting->stays) {
			plug_remove(waiting);
		}
		return NULL;
	}
	return waiting;
}

static bool send_welcome(int fd, const struct port_welcome *welcome, const int *fds,
			 uint32_t fd_count)
{
	return packet_send(fd, MSG_DONTWAIT, welcome, sizeof(*welcome), fds, fd_count) == 0;
}

/* Moves the worker of a connection to the port it asked for. */
static bool plug_in(struct plug *plug, struct plug *at, struct guest *guest,
		    const struct port_hello *hello)
{
	struct port_welcome welcome = {.queue_count = hello->queue_count,
				       .out_slots = hello->out_slots,
				       .in_slots = hello->in_slots};
	int fds[GUEST_FDS_MAX];
	uint32_t fd_count = guest_descriptors(guest, fds);

	at->connection = plug->connection;
	plug->connection = -1;
	at->guest = guest;
	at->daemon->guest_count++;
	at->port->edge = &guest_edge;
	at->port->of = guest;
	guest_attach(guest, at->port);
	frame_put_address(welcome.mac, at->port->settings.mac);
	return loop_watch(at->daemon, at->connection, EPOLLIN, &at->by_connection) &&
	       loop_watch(at->daemon, guest_event(guest), EPOLLIN | EPOLLET, &at->by_event) &&
	       send_welcome(at->connection, &welcome, fds, fd_count);
}

static void serve_hello(struct plug *plug)
{
	struct port_welcome welcome = {0};
	struct port_hello hello;
	struct guest *guest = NULL;
	struct plug *at = NULL;
	int fds[PORT_REGIONS_MAX];
	struct packet packet = {.fds = fds, .fds_max = PORT_REGIONS_MAX};
	bool valid = receive_hello(plug->connection, &hello, &packet);

	if (valid) {
		welcome.result = guest_create(&hello, fds, packet.fd_count, &guest, welcome.text,
					      sizeof(welcome.text));
	}
	packet_close(&packet);
	if (valid && welcome.result == 0) {
		at = find_port(plug, &hello, &welcome.result, welcome.text);
	}
	if (at != NULL) {
		/* The connection is watched for its port from here on. */
		epoll_ctl(plug->daemon->epoll, EPOLL_CTL_DEL, plug->connection, NULL);
		at->closing = !plug_in(plug, at, guest, &hello);
	} else if (guest != NULL) {
		guest_destroy(&guest);
	}
	if (valid && at == NULL) {
		(void)send_welcome(plug->connection, &welcome, NULL, 0);
	}
	/* Who has the port may be about to leave it to this one, which may have no way to connect
	 * once more. */
	plug->closing = !valid || at != NULL || welcome.result != -EBUSY;
}

/* After its hello a worker says nothing; whatever comes is the end. */
void plug_serve(struct plug *plug)
{
	if (plug->guest == NULL && plug->port == NULL) {
		serve_hello(plug);
	} else {
		plug->closing = true;
	}
}

/* Room is asked for when there is none: else each frame that leaves would wake us. */
static void ask_room(struct plug *plug)
{
	bool full = plug->kernel != NULL && plug->port->full;
	struct epoll_event event = {.events = EPOLLIN | EPOLLET | (full ? EPOLLOUT : 0),
				    .data.ptr = &plug->by_kernel};

	if (full != plug->asks_room &&
	    epoll_ctl(plug->daemon->epoll, EPOLL_CTL_MOD, kernel_fd(plug->kernel), &event) == 0) {
		plug->asks_room = full;
	}
}

/* Which of them changed, and how, is asked of each: what is said in between may be lost. */
void plug_look_at_links(struct daemon *daemon)
{
	char ignored[8192];

	while (read(daemon->links, ignored, sizeof(ignored)) > 0 || errno == ENOBUFS) {
	}
	for (struct plug *plug = daemon->plugs; plug != NULL; plug = plug->next) {
		if (plug->kernel != NULL && kernel_has_link(plug->kernel) == plug->port->down) {
			port_set_link(plug->port, plug->port->down);
		}
	}
}

/* True: it is closed. */
static bool sweep_one(struct plug *plug)
{
	ask_room(plug);
	if (plug->guest != NULL && guest_broken(plug->guest) != NULL) {
		say("%s: port %s: its worker broke the rules: %s", plug->port->net->name,
		    plug->port->name, guest_broken(plug->guest));
		plug->closing = true;
	}
	if (plug->kernel != NULL && kernel_is_gone(plug->kernel)) {
		say("%s: port %s: what it was attached to is gone", plug->port->net->name,
		    plug->port->name);
		plug->closing = true;
	}
	if (!plug->closing) {
		return false;
	}
	plug->closing = false;
	if (plug->port != NULL && plug->guest != NULL && plug->stays) {
		drop_worker(plug);
	} else {
		plug_remove(plug);
	}
	return true;
}

bool plug_sweep(struct daemon *daemon)
{
	struct plug *next;
	bool any = false;

	for (struct plug *plug = daemon->plugs; plug != NULL; plug = next) {
		next = plug->next;
		any |= sweep_one(plug);
	}
	return any;
}
