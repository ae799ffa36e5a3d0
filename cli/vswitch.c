/* vswitch: virtual switches and their ports, asked of vswitchd; see README.md. */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/vswitch.h"
#include "hosted/member.h"
#include "hosted/say.h"
#include "include/mgmt/switch.h"

#define PORT_BYTES 65550 /* of any frame */

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
	"  capture SWITCH PORT FILE             what it sends and receives, as pcap, until Ctrl-C; "
	"- is\n"
	"                                       standard output: vswitch capture lan a - | tcpdump "
	"-r -\n"
	"  connect SWITCH PORT SWITCH PORT      a new port on each, with a cable between them\n"
	"\n"
	"kinds: guest              for a worker that comes: vmwp --net SWITCH,port=PORT\n"
	"       internal[:IF]      a network interface of this machine\n"
	"       bridge:BRIDGE      a port of a bridge or an Open vSwitch that exists\n"
	"       external:IF        a network card of this machine\n"
	"       nat[:VNAT-OPTION]  a network behind this machine's, with DHCP and DNS (vnat "
	"--help)\n"
	"settings: mac=ADDRESS|any spoofing dhcp-guard router-guard priority-tag team (on or "
	"off)\n"
	"       uplink=PORT|any (of the team, while it has a link)\n"
	"       mirror=none|source|destination ip-limit=0-64 storm-limit=N limit=BITS\n"
	"       reserve=BITS weight=0-100\n"
	"rules: action=allow|deny|meter direction=out|in|both and one of local= remote= (a "
	"prefix)\n"
	"       local-mac= remote-mac=; extended: local= remote= local-port= remote-port= "
	"protocol=\n"
	"       weight= stateful=on idle=SECONDS\n";

static const char *socket_path = SWITCH_SOCKET;
static bool json_wanted;
static struct client server = {.fd = -1};

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
	static const char *const numbers[] = {"storm-limit", "limit",     "reserve",  "weight",
					      "idle",        "max-bytes", "ip-limit", NULL};
	static const char *const flags[] = {
		"spoofing", "dhcp-guard", "router-guard", "priority-tag", "team", "stateful", NULL};
	const char *equals = strchr(word, '=');
	json_int_t number;
	char name[32];

	if (equals == NULL || (size_t)(equals - word) >= sizeof(name)) {
		return client_fail(word, "give NAME=VALUE");
	}
	snprintf(name, sizeof(name), "%.*s", (int)(equals - word), word);
	if (is_one_of(name, flags)) {
		if (strcmp(equals + 1, "on") != 0 && strcmp(equals + 1, "off") != 0) {
			return client_fail(word, "give on or off");
		}
		json_object_set_new(params, name, json_boolean(equals[2] == 'n'));
	} else if (is_one_of(name, numbers)) {
		if (!parse_number(equals + 1, &number)) {
			return client_fail(word, "give a number, such as 10 or 10m");
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
			return client_fail(words[1], "give a speed in Mbit/s");
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
	int fd = vswitch_open_kind(words[1], params);

	vswitch_put_uplink(params, words[1]);
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
		return client_fail(text, "give the number of a VLAN");
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
	bool done = count == 4 && vswitch_open_link(fds);

	if (count != 4) {
		return usage();
	}
	for (int i = 0; done && i < 2; i++) {
		json_t *params = of_port(words[2 * i], words[2 * i + 1]);

		json_object_set_new(params, "kind", json_string("link"));
		vswitch_put_uplink(params, "link");
		done = do_it(SWITCH_PORT_ADD, params, fds[i]);
		if (!done && i == 0) {
			close(fds[1]);
		}
	}
	return done;
}

/* ---- members of answers ---- */

static long long number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* ---- capture: a port of its own to which the other is mirrored ---- */

static bool set_mirror(const char *net, const char *name, const char *value)
{
	json_t *params = of_port(net, name);

	json_object_set_new(params, "mirror", json_string(value));
	return do_it(SWITCH_PORT_SET, params, -1);
}

/* The mirror setting of a port; NULL: there is none of that name, or it cannot be asked. */
static char *get_mirror(const char *net, const char *name)
{
	json_t *ports = client_ask_ports(&server, net, SWITCH_PORT_LIST);
	const json_t *of;
	char *value = NULL;
	size_t i;

	if (ports == NULL) {
		return NULL;
	}
	json_array_foreach(ports, i, of)
	{
		if (strcmp(member_text(of, "port"), name) == 0) {
			value = strdup(member_text(json_object_get(of, "settings"), "mirror"));
		}
	}
	json_decref(ports);
	if (value == NULL) {
		client_fail(name, "the switch has no port of this name");
	}
	return value;
}

static bool capture_with(const char *net, const char *name, FILE *file)
{
	char *before = get_mirror(net, name), port_name[32];
	json_t *params;
	int fds[2];
	bool done;

	if (before == NULL || !vswitch_open_link(fds)) {
		free(before);
		return false;
	}
	snprintf(port_name, sizeof(port_name), "capture-%d", (int)getpid());
	params = of_port(net, port_name);
	json_object_set_new(params, "kind", json_string("link"));
	json_object_set_new(params, "mirror", json_string("destination"));
	json_object_set_new(params, "max-bytes", json_integer(PORT_BYTES));
	done = do_it(SWITCH_PORT_ADD, params, fds[0]) && set_mirror(net, name, "source") &&
	       vswitch_write_pcap(fds[1], file);
	close(fds[1]); /* and with it goes the port */
	done &= set_mirror(net, name, before);
	free(before);
	return done;
}

static bool capture(int count, char **words)
{
	FILE *file;
	bool done;

	if (count != 3) {
		return usage();
	}
	file = strcmp(words[2], "-") == 0 ? stdout : fopen(words[2], "we");
	if (file == NULL) {
		return client_fail(words[2], strerror(errno));
	}
	done = capture_with(words[0], words[1], file);
	return (fclose(file) == 0 || client_fail(words[2], strerror(errno))) && done;
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
		    : parse_number(words[3], &index) ||
			       client_fail(words[3], "give the number of a rule");
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

static void print_vlan(const json_t *vlan)
{
	const char *mode = member_text(vlan, "mode"), *list = member_text(vlan, "list");
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

static const char *plugged_of(const json_t *port)
{
	if (!json_is_true(json_object_get(port, "plugged"))) {
		return "no";
	}
	return json_is_true(json_object_get(port, "link")) ? "yes" : "no link";
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
			printf("%-24s %8lld %12lld\n", member_text(net, "switch"),
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
	ports = client_ask_ports(&server, words[0], SWITCH_PORT_LIST);
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

			printf("%-20s %-7s %-8s %-18s ", member_text(of, "port"),
			       member_text(of, "kind"), plugged_of(of),
			       member_text(settings, "mac"));
			print_vlan(json_object_get(settings, "vlan"));
			if (json_is_true(json_object_get(settings, "team"))) {
				printf(" team");
			}
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
	       member_text(of, "port"), number_of(stats, "sent-frames"),
	       number_of(stats, "sent-bytes"), number_of(stats, "received-frames"),
	       number_of(stats, "received-bytes"));
	json_object_foreach(drops, name, value)
	{
		printf(", %s %lld", name, (long long)json_integer_value(value));
	}
	putchar('\n');
}

static bool stats_once(const char *net, const char *name)
{
	json_t *ports = client_ask_ports(&server, net, SWITCH_PORT_LIST);
	const json_t *of;
	bool found = name == NULL;
	size_t i;

	if (ports == NULL) {
		return false;
	}
	json_array_foreach(ports, i, of)
	{
		if (name == NULL || strcmp(member_text(of, "port"), name) == 0) {
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
	return found || client_fail(name, "the switch has no port of this name");
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
	{"create", create},
	{"remove", remove_switch},
	{"list", list},
	{"stats", stats},
	{"port", port},
	{"vlan", vlan},
	{"qos", qos},
	{"mirror", mirror},
	{"capture", capture},
	{"acl", acl},
	{"connect", connect_switches},
};

int main(int argc, char **argv)
{
	int at = 1;

	say_set_name("vswitch");
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
		client_name("vswitchd", "the --control socket of a running vswitchd with --socket");
		return client_open(&server, socket_path) &&
				       commands[i].run(argc - at - 1, argv + at + 1)
			       ? 0
			       : 1;
	}
	usage();
	return 2;
}
