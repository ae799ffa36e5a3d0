/* vswitch: virtual switches and their ports, asked of vswitchd; see README.md. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "include/mgmt/switch.h"

#define DEFAULT_SOCKET "/run/vswitchd.control"
#define SOCKET_BYTES   (8 << 20)
/*
 * What of ours waits in a card's queue, with the kernel's own structures. Less than the queue
 * itself holds: then frames wait with their senders, by whose reserves they go on, and none is lost.
 */
#define CARD_BYTES   (256 << 10)
#define ETH_HEADER   14
#define TUN_OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define NAT_OPTIONS  64 /* words */
#define VNET_BYTES   10

static const char help[] =
	"usage: vswitch [--socket PATH] [--json] COMMAND\n"
	"\n"
	"  create SWITCH [SPEED]                a switch; SPEED in Mbit/s is what reserves are a "
	"part of\n"
	"  remove SWITCH                        with all its ports\n"
	"  list [SWITCH]                        switches, or the ports of one\n"
	"  stats SWITCH [PORT] [--watch]        what ports sent, received and dropped\n"
	"  port SWITCH add PORT KIND [SETTING=VALUE]...\n"
	"  port SWITCH set PORT SETTING=VALUE...\n"
	"  port SWITCH remove PORT\n"
	"  vlan SWITCH PORT MODE                untagged | access ID | trunk LIST [NATIVE] |\n"
	"                                       isolated PRIMARY ID | community PRIMARY ID |\n"
	"                                       promiscuous PRIMARY LIST\n"
	"  qos SWITCH PORT [limit=BITS] [reserve=BITS] [weight=N] [storm-limit=FRAMES]\n"
	"  mirror SWITCH PORT none|source|destination\n"
	"  acl SWITCH PORT [add|add-extended MEMBER=VALUE...] [remove|remove-extended INDEX]\n"
	"  connect SWITCH PORT SWITCH PORT      a new port on each, with a cable between them\n"
	"\n"
	"kinds: guest              for a worker that comes: vmwp --net SWITCH,port=PORT\n"
	"       internal[:IF]      a network interface of this machine\n"
	"       bridge:BRIDGE      a port of a bridge or an Open vSwitch that exists\n"
	"       external:IF        a network card of this machine\n"
	"       nat[:VNAT-OPTION]  a network behind this machine's, with DHCP and DNS (vnat "
	"--help)\n"
	"settings: mac=ADDRESS|any spoofing dhcp-guard router-guard priority-tag (on or off)\n"
	"       mirror=none|source|destination storm-limit=N limit=BITS reserve=BITS weight=0-100\n"
	"rules: action=allow|deny|meter direction=out|in|both and one of local= remote= (a "
	"prefix)\n"
	"       local-mac= remote-mac=; extended: local= remote= local-port= remote-port= "
	"protocol=\n"
	"       weight= stateful=on idle=SECONDS\n";

static const char *socket_path = DEFAULT_SOCKET;
static bool json_wanted;
static struct client server = {.fd = -1};

static bool fail(const char *what, const char *why)
{
	fprintf(stderr, "vswitch: %s: %s\n", what, why);
	return false;
}

static bool usage(void)
{
	fputs(help, stderr);
	return false;
}

/* ---- asking ---- */

/* The result, or NULL after the complaint was printed. `params` and `fd` are used up. */
static json_t *ask(const char *method, json_t *params, int fd)
{
	json_t *result = client_ask(&server, method, params, &fd, fd >= 0, method);

	if (fd >= 0) {
		close(fd);
	}
	return result;
}

static bool do_it(const char *method, json_t *params, int fd)
{
	json_t *result = ask(method, params, fd);
	bool done = result != NULL;

	if (done && json_wanted) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(result);
	return done;
}

/* ---- words to JSON ---- */

/* "10m" */
static bool parse_number(const char *text, json_int_t *number)
{
	static const char units[] = "kmgt";
	char *end;

	errno = 0;
	*number = strtoll(text, &end, 10);
	if (end == text || errno != 0 || *number < 0) {
		return false;
	}
	for (size_t i = 0; *end != '\0' && units[i] != '\0'; i++) {
		if (*end == units[i] && end[1] == '\0') {
			for (size_t times = 0; times <= i; times++) {
				if (*number > INT64_MAX / 1000) {
					return false;
				}
				*number *= 1000;
			}
			return true;
		}
	}
	return *end == '\0';
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names != NULL && strcmp(*names, name) != 0) {
		names++;
	}
	return *names != NULL;
}

/* name=value, as the type of that member is. */
static bool put_member(json_t *params, const char *word)
{
	static const char *const numbers[] = {"storm-limit", "limit",     "reserve", "weight",
					      "idle",        "max-bytes", NULL};
	static const char *const flags[] = {"spoofing",     "dhcp-guard", "router-guard",
					    "priority-tag", "stateful",   NULL};
	const char *equals = strchr(word, '=');
	json_int_t number;
	char name[32];

	if (equals == NULL || (size_t)(equals - word) >= sizeof(name)) {
		return fail(word, "give NAME=VALUE");
	}
	snprintf(name, sizeof(name), "%.*s", (int)(equals - word), word);
	if (is_one_of(name, flags)) {
		if (strcmp(equals + 1, "on") != 0 && strcmp(equals + 1, "off") != 0) {
			return fail(word, "give on or off");
		}
		json_object_set_new(params, name, json_boolean(equals[2] == 'n'));
	} else if (is_one_of(name, numbers)) {
		if (!parse_number(equals + 1, &number)) {
			return fail(word, "give a number, such as 10 or 10m");
		}
		json_object_set_new(params, name, json_integer(number));
	} else {
		json_object_set_new(params, name, json_string(equals + 1));
	}
	return true;
}

static bool put_members(json_t *params, char **words)
{
	for (; *words != NULL; words++) {
		if (!put_member(params, *words)) {
			return false;
		}
	}
	return true;
}

static json_t *of_port(const char *net, const char *port)
{
	return json_pack("{s:s, s:s}", "switch", net, "port", port);
}

/* ---- what ports are attached to ---- */

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
	return up || fail(interface, strerror(errno));
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
		fail(name[0] != '\0' ? name : "/dev/net/tun", strerror(errno));
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
	       fail(bridge,
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
		fail(interface, "no network card of this machine; ip link shows them");
	} else if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) != 0 ||
		   setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) != 0 ||
		   setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0 ||
		   setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) != 0 ||
		   bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		fail(interface, strerror(errno));
	} else {
		/* Larger than what a user may have is for root alone; without it all works the same. */
		(void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &queue_bytes, sizeof(queue_bytes));
		(void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
		return fd;
	}
	close(fd);
	return -1;
}

static bool open_link(int fds[2])
{
	int bytes = SOCKET_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
		return fail("a link", strerror(errno));
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
	       fail("vnat", "it is not beside vswitch; install it there");
}

/* It goes on by itself once it is ready, and ends with its port. `options` are words. */
static int start_nat(char *options)
{
	char path[4096], *arguments[NAT_OPTIONS + 3] = {path, "--background"};
	int fds[2], status = -1;
	size_t count = 2;
	pid_t child;

	for (char *word = strtok(options, " "); word != NULL && count < NAT_OPTIONS + 2;
	     word = strtok(NULL, " ")) {
		arguments[count++] = word;
	}
	if (!find_nat(path, sizeof(path)) || !open_link(fds)) {
		return -1;
	}
	child = fork();
	if (child == 0) {
		dup2(fds[1], STDIN_FILENO);
		execv(path, arguments);
		_exit(127);
	}
	close(fds[1]);
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
		fail("vnat", "it did not start");
		close(fds[0]);
		return -1;
	}
	return fds[0];
}

/* The descriptor for a kind, -1 if it needs none, -2 after a complaint. */
static int open_kind(char *kind, json_t *params)
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
			fail(of, "too long for the name of a network interface");
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
		fail(kind, "give guest, internal[:IF], bridge:BRIDGE, external:IF or nat");
	}
	return fd >= 0 ? fd : -2;
}

/* The other side of a card, a bridge or a NAT is many stations in many VLANs. */
static void put_uplink(json_t *params, const char *kind)
{
	if (strcmp(kind, "external") == 0 || strcmp(kind, "bridge") == 0 ||
	    strcmp(kind, "link") == 0) {
		json_object_set_new(
			params, "vlan",
			json_pack("{s:s, s:i, s:s}", "mode", "trunk", "id", 0, "list", "1-4094"));
		json_object_set_new(params, "priority-tag", json_true());
	}
}

/* ---- commands ---- */

static bool create(int count, char **words)
{
	json_t *params;
	json_int_t speed;

	if (count < 1 || count > 2) {
		return usage();
	}
	params = json_pack("{s:s}", "switch", words[0]);
	if (count == 2) {
		if (!parse_number(words[1], &speed)) {
			json_decref(params);
			return fail(words[1], "give a speed in Mbit/s");
		}
		json_object_set_new(params, "speed", json_integer(speed));
	}
	return do_it(SWITCH_CREATE, params, -1);
}

static bool remove_switch(int count, char **words)
{
	return count != 1 ? usage()
			  : do_it(SWITCH_REMOVE, json_pack("{s:s}", "switch", words[0]), -1);
}

static bool add_port(const char *net, char **words)
{
	json_t *params = of_port(net, words[0]);
	int fd = open_kind(words[1], params);

	put_uplink(params, words[1]);
	if (fd == -2 || !put_members(params, words + 2)) {
		json_decref(params);
		if (fd >= 0) {
			close(fd);
		}
		return false;
	}
	return do_it(SWITCH_PORT_ADD, params, fd);
}

static bool port(int count, char **words)
{
	json_t *params;

	if (count >= 4 && strcmp(words[1], "add") == 0) {
		return add_port(words[0], words + 2);
	}
	if (count == 3 && strcmp(words[1], "remove") == 0) {
		return do_it(SWITCH_PORT_REMOVE, of_port(words[0], words[2]), -1);
	}
	if (count < 4 || strcmp(words[1], "set") != 0) {
		return usage();
	}
	params = of_port(words[0], words[2]);
	if (!put_members(params, words + 3)) {
		json_decref(params);
		return false;
	}
	return do_it(SWITCH_PORT_SET, params, -1);
}

static bool qos(int count, char **words)
{
	json_t *params;

	if (count < 3) {
		return usage();
	}
	params = of_port(words[0], words[1]);
	if (!put_members(params, words + 2)) {
		json_decref(params);
		return false;
	}
	return do_it(SWITCH_PORT_SET, params, -1);
}

static bool mirror(int count, char **words)
{
	json_t *params;

	if (count != 3) {
		return usage();
	}
	params = of_port(words[0], words[1]);
	json_object_set_new(params, "mirror", json_string(words[2]));
	return do_it(SWITCH_PORT_SET, params, -1);
}

static bool put_id(json_t *vlan, const char *name, const char *text)
{
	json_int_t number;

	if (!parse_number(text, &number)) {
		return fail(text, "give the number of a VLAN");
	}
	json_object_set_new(vlan, name, json_integer(number));
	return true;
}

/* What stands behind each mode: i an id, p a primary, l a list; in capitals it may be left out. */
static const struct {
	const char *mode, *words;
} modes[] = {
	{"untagged", ""},   {"access", "i"},     {"trunk", "lI"},
	{"isolated", "pi"}, {"community", "pi"}, {"promiscuous", "pl"},
};

static bool vlan(int count, char **words)
{
	const char *needs = NULL;
	json_t *params, *of;
	bool good = true;
	int i;

	for (size_t mode = 0; count >= 3 && mode < sizeof(modes) / sizeof(modes[0]); mode++) {
		needs = strcmp(modes[mode].mode, words[2]) == 0 ? modes[mode].words : needs;
	}
	if (needs == NULL) {
		return usage();
	}
	of = json_pack("{s:s}", "mode", words[2]);
	for (i = 3; good && *needs != '\0' && i < count; i++, needs++) {
		if (*needs == 'l') {
			json_object_set_new(of, "list", json_string(words[i]));
		} else {
			good = put_id(of, *needs == 'p' ? "primary" : "id", words[i]);
		}
	}
	if (!good || i != count || (*needs != '\0' && *needs != 'I')) {
		json_decref(of);
		return good ? usage() : false;
	}
	params = of_port(words[0], words[1]);
	json_object_set_new(params, "vlan", of);
	return do_it(SWITCH_PORT_SET, params, -1);
}

static bool connect_switches(int count, char **words)
{
	int fds[2];
	bool done = count == 4 && open_link(fds);

	if (count != 4) {
		return usage();
	}
	for (int i = 0; done && i < 2; i++) {
		json_t *params = of_port(words[2 * i], words[2 * i + 1]);

		json_object_set_new(params, "kind", json_string("link"));
		put_uplink(params, "link");
		done = do_it(SWITCH_PORT_ADD, params, fds[i]);
		if (!done && i == 0) {
			close(fds[1]);
		}
	}
	return done;
}

/* ---- access lists ---- */

static void print_rules(const json_t *rules, const char *title)
{
	const json_t *rule, *member;
	const char *name;
	size_t i;

	json_array_foreach(rules, i, rule)
	{
		printf("%s %zu:", title, i);
		json_object_foreach((json_t *)rule, name, member)
		{
			if (json_is_string(member)) {
				printf(" %s=%s", name, json_string_value(member));
			} else if (json_is_integer(member)) {
				printf(" %s=%lld", name, (long long)json_integer_value(member));
			} else if (json_is_true(member)) {
				printf(" %s=on", name);
			}
		}
		putchar('\n');
	}
}

static bool list_rules(const char *net, const char *name)
{
	json_t *result = ask(SWITCH_ACL_LIST, of_port(net, name), -1);

	if (result != NULL && json_wanted) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (result != NULL) {
		print_rules(json_object_get(result, "basic"), "basic");
		print_rules(json_object_get(result, "extended"), "extended");
	}
	json_decref(result);
	return result != NULL;
}

static bool acl(int count, char **words)
{
	bool adds = count >= 4 && strncmp(words[2], "add", 3) == 0, good;
	json_int_t index = 0;
	json_t *params;

	if (count == 2) {
		return list_rules(words[0], words[1]);
	}
	if (count < 4 || (!adds && count != 4)) {
		return usage();
	}
	params = of_port(words[0], words[1]);
	if (strstr(words[2], "-extended") != NULL) {
		json_object_set_new(params, "extended", json_true());
	}
	good = adds ? put_members(params, words + 3)
		    : parse_number(words[3], &index) || fail(words[3], "give the number of a rule");
	if (!good) {
		json_decref(params);
		return false;
	}
	if (!adds) {
		json_object_set_new(params, "index", json_integer(index));
	}
	return do_it(adds ? SWITCH_ACL_ADD : SWITCH_ACL_REMOVE, params, -1);
}

/* ---- lists and statistics ---- */

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

static long long number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* All ports of a switch, or NULL. */
static json_t *get_ports(const char *net)
{
	json_t *all = json_array();
	json_int_t from = 0;

	do {
		json_t *page = ask(SWITCH_PORT_LIST,
				   json_pack("{s:s, s:I}", "switch", net, "from", from), -1);

		if (page == NULL) {
			json_decref(all);
			return NULL;
		}
		json_array_extend(all, json_object_get(page, "ports"));
		from = json_integer_value(json_object_get(page, "next"));
		json_decref(page);
	} while (from != 0);
	return all;
}

static void print_vlan(const json_t *vlan)
{
	const char *mode = text_of(vlan, "mode"), *list = text_of(vlan, "list");
	long long primary = number_of(vlan, "primary"), id = number_of(vlan, "id");

	printf("%s", mode);
	if (primary != 0) {
		printf(" %lld", primary);
	}
	if (id != 0 || strcmp(mode, "access") == 0) {
		printf(" %lld", id);
	}
	printf("%s%.40s", list[0] != '\0' ? " " : "", list);
}

static bool list_switches(void)
{
	json_t *result = ask(SWITCH_LIST, json_object(), -1), *list;
	const json_t *net;
	size_t i;

	if (result == NULL) {
		return false;
	}
	list = json_object_get(result, "switches");
	if (json_wanted) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		printf("%-24s %8s %12s\n", "SWITCH", "PORTS", "MBIT/S");
		json_array_foreach(list, i, net)
		{
			printf("%-24s %8lld %12lld\n", text_of(net, "switch"),
			       number_of(net, "ports"), number_of(net, "speed"));
		}
	}
	json_decref(result);
	return true;
}

static bool list(int count, char **words)
{
	json_t *ports;
	const json_t *of;
	size_t i;

	if (count > 1) {
		return usage();
	}
	if (count == 0) {
		return list_switches();
	}
	ports = get_ports(words[0]);
	if (ports == NULL) {
		return false;
	}
	if (json_wanted) {
		json_dumpf(ports, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		printf("%-20s %-7s %-8s %-18s %s\n", "PORT", "KIND", "PLUGGED", "MAC", "VLAN");
		json_array_foreach(ports, i, of)
		{
			const json_t *settings = json_object_get(of, "settings");

			printf("%-20s %-7s %-8s %-18s ", text_of(of, "port"), text_of(of, "kind"),
			       json_is_true(json_object_get(of, "plugged")) ? "yes" : "no",
			       text_of(settings, "mac"));
			print_vlan(json_object_get(settings, "vlan"));
			putchar('\n');
		}
	}
	json_decref(ports);
	return true;
}

static void print_stats(const json_t *of)
{
	const json_t *stats = json_object_get(of, "stats"), *value;
	json_t *drops = json_object_get(stats, "drops");
	const char *name;

	printf("%-20s sent %lld frames %lld bytes, received %lld frames %lld bytes",
	       text_of(of, "port"), number_of(stats, "sent-frames"), number_of(stats, "sent-bytes"),
	       number_of(stats, "received-frames"), number_of(stats, "received-bytes"));
	json_object_foreach(drops, name, value)
	{
		printf(", %s %lld", name, (long long)json_integer_value(value));
	}
	putchar('\n');
}

static bool stats_once(const char *net, const char *name)
{
	json_t *ports = get_ports(net);
	const json_t *of;
	bool found = name == NULL;
	size_t i;

	if (ports == NULL) {
		return false;
	}
	json_array_foreach(ports, i, of)
	{
		if (name == NULL || strcmp(text_of(of, "port"), name) == 0) {
			found = true;
			if (json_wanted) {
				json_dumpf(of, stdout, JSON_COMPACT);
				putchar('\n');
			} else {
				print_stats(of);
			}
		}
	}
	json_decref(ports);
	fflush(stdout);
	return found || fail(name, "the switch has no port of this name");
}

static bool stats(int count, char **words)
{
	bool watch = count >= 2 && strcmp(words[count - 1], "--watch") == 0;
	const struct timespec second = {.tv_sec = 1};

	count -= watch;
	if (count < 1 || count > 2) {
		return usage();
	}
	while (stats_once(words[0], count == 2 ? words[1] : NULL)) {
		if (!watch) {
			return true;
		}
		nanosleep(&second, NULL);
	}
	return false;
}

static const struct {
	const char *name;
	bool (*run)(int count, char **words);
} commands[] = {
	{"create", create}, {"remove", remove_switch},
	{"list", list},     {"stats", stats},
	{"port", port},     {"vlan", vlan},
	{"qos", qos},       {"mirror", mirror},
	{"acl", acl},       {"connect", connect_switches},
};

int main(int argc, char **argv)
{
	int at = 1;

	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "--help") == 0) {
			fputs(help, stdout);
			return 0;
		}
		if (strcmp(argv[at], "--json") == 0) {
			json_wanted = true;
		} else if (strcmp(argv[at], "--socket") == 0 && at + 1 < argc) {
			socket_path = argv[++at];
		} else {
			usage();
			return 2;
		}
	}
	for (size_t i = 0; at < argc && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, argv[at]) != 0) {
			continue;
		}
		client_name("vswitch", "vswitchd",
			    "the --control socket of a running vswitchd with --socket");
		return client_open(&server, socket_path) &&
				       commands[i].run(argc - at - 1, argv + at + 1)
			       ? 0
			       : 1;
	}
	usage();
	return 2;
}
