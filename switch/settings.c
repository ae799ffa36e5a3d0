/* JSON to settings and back: the rows of hosted/form.h for what ports and their access lists
 * have. */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "switch/daemon.h"

#define MAC_TEXT 18u
#define LIST_TEXT                                                                                  \
	(2048u * 6) /* every other VLAN, with its comma: what write_list() makes at the most */

static const struct form_member a_text = {"", FORM_TEXT, .most = LIST_TEXT};

/* ---- addresses ---- */

static bool parse_mac(const char *text, uint64_t *mac)
{
	unsigned int bytes[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3],
		   &bytes[4], &bytes[5], &end) != 6 ||
	    text[end] != '\0') {
		return false;
	}
	*mac = 0;
	for (uint32_t i = 0; i < 6; i++) {
		*mac = *mac << 8 | bytes[i];
	}
	return true;
}

static void print_mac(char *to, uint64_t mac)
{
	snprintf(to, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", (unsigned int)(mac >> 40 & 255),
		 (unsigned int)(mac >> 32 & 255), (unsigned int)(mac >> 24 & 255),
		 (unsigned int)(mac >> 16 & 255), (unsigned int)(mac >> 8 & 255),
		 (unsigned int)(mac & 255));
}

/* uint64_t; 0 for any */
static bool read_mac(struct form *form, const json_t *value, void *into)
{
	const char *text;

	if (!form_read_value(form, value, &a_text, &text)) {
		return false;
	}
	if (strcmp(text, "any") == 0) {
		*(uint64_t *)into = 0;
		return true;
	}
	return parse_mac(text, into) ||
	       form_refuse(form, value, "give an address such as 00:15:5d:01:02:03, or any",
			   "is no address");
}

/* "any", 10.0.0.0/8, fd00::/8, an address alone. */
static bool parse_prefix(const char *text, struct acl_prefix *prefix)
{
	const char *slash = strchr(text, '/');
	char address[64];
	unsigned long bits;
	char *end;

	*prefix = (struct acl_prefix){0};
	if (strcmp(text, "any") == 0) {
		return true;
	}
	if ((slash != NULL ? (size_t)(slash - text) : strlen(text)) >= sizeof(address)) {
		return false;
	}
	snprintf(address, sizeof(address), "%.*s", (int)(slash != NULL ? slash - text : 63), text);
	if (inet_pton(AF_INET, address, prefix->address) == 1) {
		prefix->family = 4;
	} else if (inet_pton(AF_INET6, address, prefix->address) == 1) {
		prefix->family = 6;
	} else {
		return false;
	}
	prefix->bits = prefix->family == 4 ? 32 : 128;
	if (slash == NULL) {
		return true;
	}
	bits = strtoul(slash + 1, &end, 10);
	if (!isdigit((unsigned char)slash[1]) || *end != '\0' || bits > prefix->bits) {
		return false;
	}
	prefix->bits = (uint8_t)bits;
	return true;
}

static bool read_prefix(struct form *form, const json_t *value, void *into)
{
	const char *text;

	return form_read_value(form, value, &a_text, &text) &&
	       (parse_prefix(text, into) ||
		form_refuse(form, value, "give an address, a prefix such as 10.0.0.0/8, or any",
			    "is no prefix"));
}

static json_t *write_prefix(const struct acl_prefix *prefix)
{
	char address[INET6_ADDRSTRLEN];

	if (prefix->family == 0) {
		return json_string("any");
	}
	inet_ntop(prefix->family == 4 ? AF_INET : AF_INET6, prefix->address, address,
		  sizeof(address));
	return json_sprintf("%s/%u", address, prefix->bits);
}

/* ---- VLANs ---- */

static const char *const vlan_modes[] = {"untagged",  "access",      "trunk", "isolated",
					 "community", "promiscuous", NULL};

/* "1-100,200" */
static bool parse_list(const char *text, struct vlan_set *set)
{
	*set = (struct vlan_set){0};
	while (*text != '\0') {
		unsigned long first, last;
		char *end;

		if (!isdigit((unsigned char)*text)) {
			return false;
		}
		first = last = strtoul(text, &end, 10);
		if (*end == '-') {
			if (!isdigit((unsigned char)end[1])) {
				return false;
			}
			last = strtoul(end + 1, &end, 10);
		}
		if (first == 0 || last < first || last > 4094 || (*end != '\0' && *end != ',')) {
			return false;
		}
		for (; first <= last; first++) {
			vlan_set_add(set, (uint16_t)first);
		}
		text = *end == ',' ? end + 1 : end;
	}
	return true;
}

static json_t *write_list(const struct vlan_set *set)
{
	char text[LIST_TEXT] = "";
	size_t length = 0;

	for (uint16_t id = 1; id < VLAN_COUNT - 1; id++) {
		uint16_t first = id;

		if (!vlan_set_has(set, id)) {
			continue;
		}
		while (id + 1u < VLAN_COUNT - 1 && vlan_set_has(set, id + 1)) {
			id++;
		}
		length += (size_t)snprintf(text + length, sizeof(text) - length,
					   first == id ? "%s%u" : "%s%u-%u", length != 0 ? "," : "",
					   first, id);
	}
	return json_string(text);
}

static bool read_list(struct form *form, const json_t *value, void *into)
{
	const char *text;

	return form_read_value(form, value, &a_text, &text) &&
	       (parse_list(text, into) ||
		form_refuse(form, value, "give numbers from 1 to 4094, such as 1-100,200",
			    "is no list of VLANs"));
}

static bool read_vlan(struct form *form, const json_t *value, void *into)
{
	struct vlan_read {
		unsigned int mode;
		uint32_t id, primary;
		struct vlan_set list;
	} read = {.mode = VLAN_UNTAGGED};
	static const struct form_member members[] = {
		{"mode", FORM_WORD, .at = offsetof(struct vlan_read, mode), .words = vlan_modes},
		{"id", FORM_NUMBER32, .at = offsetof(struct vlan_read, id), .most = 4094},
		{"primary", FORM_NUMBER32, .at = offsetof(struct vlan_read, primary), .least = 1,
		 .most = 4094},
		{"list", FORM_OTHER, .at = offsetof(struct vlan_read, list), .read = read_list},
	};
	struct vlan_settings vlan;
	struct vlan_rules rules;

	if (!form_read(form, value, members, ARRAY_COUNT(members), &read)) {
		return false;
	}
	vlan = (struct vlan_settings){.mode = read.mode,
				      .vlan = (uint16_t)read.id,
				      .primary = (uint16_t)read.primary,
				      .list = read.list};
	if (vlan_compile(&vlan, &rules) != 0) {
		return form_refuse(
			form, value,
			"access: id; trunk: id (native, may be 0), list; isolated, community: "
			"primary, id; promiscuous: primary, list without it",
			"does not go together");
	}
	*(struct vlan_settings *)into = vlan;
	return true;
}

static json_t *write_vlan(const struct vlan_settings *vlan)
{
	json_t *object = json_object();

	json_object_set_new(object, "mode", json_string(vlan_modes[vlan->mode]));
	if (vlan->mode >= VLAN_ISOLATED) {
		json_object_set_new(object, "primary", json_integer(vlan->primary));
	}
	if (vlan->mode != VLAN_UNTAGGED && vlan->mode != VLAN_PROMISCUOUS) {
		json_object_set_new(object, "id", json_integer(vlan->vlan));
	}
	if (vlan->mode == VLAN_TRUNK || vlan->mode == VLAN_PROMISCUOUS) {
		json_object_set_new(object, "list", write_list(&vlan->list));
	}
	return object;
}

/* ---- settings ---- */

static const char *const mirrors[] = {"none", "source", "destination", NULL};

/* A port that need not be there yet; "" or "any" is none of them. */
static bool read_uplink(struct form *form, const json_t *value, void *into)
{
	static const struct form_member name = {"", FORM_TEXT, .most = SWITCH_NAME_MAX - 1};
	const char *text;

	if (!form_read_value(form, value, &name, &text)) {
		return false;
	}
	snprintf(into, SWITCH_NAME_MAX, "%s", strcmp(text, "any") == 0 ? "" : text);
	return true;
}

#define BITS_MAX (1ull << 43) /* some terabits a second */

static_assert(sizeof(enum mirror) == sizeof(unsigned int), "as FORM_WORD has it");

#define AT(member) .at = offsetof(struct port_settings, member)

const struct form_member settings_members[] = {
	{"mac", FORM_OTHER, AT(mac), .read = read_mac},
	{"spoofing", FORM_FLAG, AT(spoofing)},
	{"dhcp-guard", FORM_FLAG, AT(dhcp_guard)},
	{"router-guard", FORM_FLAG, AT(router_guard)},
	{"priority-tag", FORM_FLAG, AT(priority_tag)},
	{"team", FORM_FLAG, AT(team)},
	{"function", FORM_FLAG, AT(function)},
	{"uplink", FORM_OTHER, AT(uplink), .read = read_uplink},
	{"mirror", FORM_WORD, AT(mirror), .words = mirrors},
	{"ip-limit", FORM_NUMBER32, AT(ip_limit), .most = ADDRESSES_MAX},
	{"storm-limit", FORM_NUMBER32, AT(storm_limit), .most = UINT32_MAX},
	{"limit", FORM_NUMBER, AT(limit_bits), .most = BITS_MAX},
	{"reserve", FORM_NUMBER, AT(reserve_bits), .most = BITS_MAX},
	{"weight", FORM_NUMBER32, AT(reserve_weight), .most = 100},
	{"vlan", FORM_OTHER, AT(vlan), .read = read_vlan},
	{.key = NULL},
};
#undef AT

json_t *settings_write(const struct port_settings *settings)
{
	char mac[MAC_TEXT] = "any";

	if (settings->mac != 0) {
		print_mac(mac, settings->mac);
	}
	return json_pack(
		"{s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}",
		"mac", mac, "spoofing", settings->spoofing, "dhcp-guard", settings->dhcp_guard,
		"router-guard", settings->router_guard, "priority-tag", settings->priority_tag,
		"team", settings->team, "function", settings->function, "uplink",
		settings->uplink[0] != '\0' ? settings->uplink : "any", "mirror",
		mirrors[settings->mirror], "ip-limit", (json_int_t)settings->ip_limit,
		"storm-limit", (json_int_t)settings->storm_limit, "limit",
		(json_int_t)settings->limit_bits, "reserve", (json_int_t)settings->reserve_bits,
		"weight", (json_int_t)settings->reserve_weight, "vlan",
		write_vlan(&settings->vlan));
}

/* ---- access lists ---- */

static const char *const actions[] = {"allow", "deny", "meter", NULL};
static const char *const directions[] = {"out", "in", "both", NULL};

/* "80", "8000-8100", "any" */
static bool read_ports(struct form *form, const json_t *value, void *into)
{
	unsigned int first, last;
	const char *text;
	int end = 0;

	if (!form_read_value(form, value, &a_text, &text)) {
		return false;
	}
	if (strcmp(text, "any") == 0) {
		return true;
	}
	if (sscanf(text, "%5u-%5u%n", &first, &last, &end) != 2 || text[end] != '\0') {
		if (sscanf(text, "%5u%n", &first, &end) != 1 || text[end] != '\0') {
			first = UINT32_MAX;
		}
		last = first;
	}
	if (first == 0 || first > last || last > UINT16_MAX) {
		return form_refuse(form, value, "give a port, a range such as 8000-8100, or any",
				   "is no port");
	}
	*(struct acl_ports *)into =
		(struct acl_ports){.first = (uint16_t)first, .last = (uint16_t)last};
	return true;
}

static bool read_protocol(struct form *form, const json_t *value, void *into)
{
	static const char *const words[] = {"any", "tcp", "udp", "icmp", "icmp6", NULL};
	static const int16_t numbers[] = {-1, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP,
					  PROTOCOL_ICMP6};
	static const struct form_member a_number = {"", FORM_NUMBER32, .most = 255};
	static const struct form_member a_word = {"", FORM_WORD, .words = words};
	bool is_number = json_is_integer(value);
	uint32_t read;

	if (!form_read_value(form, value, is_number ? &a_number : &a_word, &read)) {
		return false;
	}
	*(int16_t *)into = is_number ? (int16_t)read : numbers[read];
	return true;
}

#define AT(member) .at = offsetof(struct rule_read, member)

const struct form_member rule_members[] = {
	{"action", FORM_WORD, .required = true, AT(action), .words = actions},
	{"direction", FORM_WORD, AT(direction), .words = directions},
	{"local", FORM_OTHER, AT(local), .read = read_prefix},
	{"remote", FORM_OTHER, AT(remote), .read = read_prefix},
	{"local-mac", FORM_OTHER, AT(mac), .read = read_mac},
	{"remote-mac", FORM_OTHER, AT(mac), .read = read_mac},
	{"local-port", FORM_OTHER, AT(local_ports), .read = read_ports},
	{"remote-port", FORM_OTHER, AT(remote_ports), .read = read_ports},
	{"protocol", FORM_OTHER, AT(protocol), .read = read_protocol},
	{"weight", FORM_NUMBER32, AT(weight), .most = UINT16_MAX},
	{"stateful", FORM_FLAG, AT(stateful)},
	{"idle", FORM_NUMBER32, AT(idle_s), .least = 1, .most = UINT16_MAX},
	{.key = NULL},
};
#undef AT

/* None of these members is there. */
static bool refuse_others(struct form *form, const json_t *params, const char *const *others,
			  size_t count, const char *what)
{
	for (size_t i = 0; i < count; i++) {
		const json_t *member = json_object_get(params, others[i]);

		if (member != NULL) {
			return form_refuse_member(form, others[i], member, "leave it out", what);
		}
	}
	return true;
}

bool rule_is_basic(struct form *form, const json_t *params, const struct rule_read *read,
		   struct acl_basic *rule)
{
	static const char *const ends[] = {"local", "remote", "local-mac", "remote-mac"};
	static const char *const others[] = {"local-port", "remote-port", "protocol",
					     "weight",     "stateful",    "idle"};
	size_t end = ARRAY_COUNT(ends), count = 0;

	if (!refuse_others(form, params, others, ARRAY_COUNT(others),
			   "is for extended rules alone")) {
		return false;
	}
	for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
		if (json_object_get(params, ends[i]) != NULL) {
			end = i;
			count++;
		}
	}
	if (count != 1) {
		return form_refuse_member(form, "remote", NULL,
					  "give one of: local, remote, local-mac, remote-mac",
					  count == 0 ? "is missing" : "is one of several");
	}
	*rule = (struct acl_basic){
		.action = read->action,
		.directions = (uint8_t)(read->direction + 1),
		.remote = end % 2,
		.hardware = end >= 2,
		.any_mac = end >= 2 && read->mac == 0,
		.mac = read->mac,
		.prefix = end == 0 ? read->local : read->remote,
	};
	return true;
}

bool rule_is_extended(struct form *form, const json_t *params, const struct rule_read *read,
		      struct acl_extended *rule)
{
	static const char *const others[] = {"local-mac", "remote-mac"};

	if (!refuse_others(form, params, others, ARRAY_COUNT(others), "is for basic rules alone")) {
		return false;
	}
	if (read->action == ACL_METER) {
		return form_refuse_member(form, "action", json_object_get(params, "action"),
					  "give allow or deny", "is for basic rules alone");
	}
	*rule = (struct acl_extended){
		.action = read->action,
		.direction = (uint8_t)(read->direction + 1),
		.local = read->local,
		.remote = read->remote,
		.local_ports = read->local_ports,
		.remote_ports = read->remote_ports,
		.protocol = read->protocol,
		.weight = (uint16_t)read->weight,
		.stateful = read->stateful,
		.idle_s = (uint16_t)read->idle_s,
	};
	return true;
}

static json_t *write_basic(const struct acl_basic *rule)
{
	json_t *object = json_pack("{s:s, s:s, s:I, s:I}", "action", actions[rule->action],
				   "direction", directions[rule->directions - 1], "frames",
				   (json_int_t)rule->frames, "bytes", (json_int_t)rule->bytes);
	char mac[MAC_TEXT] = "any";

	if (rule->hardware) {
		if (!rule->any_mac) {
			print_mac(mac, rule->mac);
		}
		json_object_set_new(object, rule->remote ? "remote-mac" : "local-mac",
				    json_string(mac));
	} else {
		json_object_set_new(object, rule->remote ? "remote" : "local",
				    write_prefix(&rule->prefix));
	}
	return object;
}

static json_t *write_ports(const struct acl_ports *ports)
{
	return ports->last == 0              ? json_string("any")
	       : ports->first == ports->last ? json_sprintf("%u", ports->first)
					     : json_sprintf("%u-%u", ports->first, ports->last);
}

static json_t *write_extended(const struct acl_extended *rule)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:b, s:i, s:I, s:I}", "action",
			 actions[rule->action], "direction", directions[rule->direction - 1],
			 "local", write_prefix(&rule->local), "remote", write_prefix(&rule->remote),
			 "local-port", write_ports(&rule->local_ports), "remote-port",
			 write_ports(&rule->remote_ports), "protocol",
			 rule->protocol < 0 ? json_string("any") : json_integer(rule->protocol),
			 "weight", rule->weight, "stateful", rule->stateful, "idle", rule->idle_s,
			 "frames", (json_int_t)rule->frames, "bytes", (json_int_t)rule->bytes);
}

json_t *acl_write(const struct acl *acl)
{
	json_t *basic = json_array(), *extended = json_array();

	for (uint32_t i = 0; i < acl->basic_count; i++) {
		json_array_append_new(basic, write_basic(&acl->basic[i]));
	}
	for (uint32_t i = 0; i < acl->extended_count; i++) {
		json_array_append_new(extended, write_extended(&acl->extended[i]));
	}
	return json_pack("{s:o, s:o}", "basic", basic, "extended", extended);
}
