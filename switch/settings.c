/* JSON to settings and back. Each complaint names the member, the value and the remedy. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/mgmt/control.h"
#include "switch/daemon.h"

#define MAC_TEXT  18u
#define LIST_TEXT 4096u

bool rpc_fail(struct rpc_error *error, const char *code, const char *field, const char *remedy,
	      const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	error->code = code;
	snprintf(error->field, sizeof(error->field), "%s", field);
	snprintf(error->remedy, sizeof(error->remedy), "%s", remedy);
	return false;
}

static bool invalid(struct rpc_error *error, const char *name, const char *value,
		    const char *remedy)
{
	char field[64];

	snprintf(field, sizeof(field), "params.%s", name);
	return rpc_fail(error, CONTROL_BAD_INVALID, field, remedy, "%s: %.100s: not possible",
			field, value);
}

/* ---- members ---- */

bool member_text(json_t *object, const char *name, const char **value, struct rpc_error *error)
{
	json_t *member = json_object_get(object, name);

	if (member == NULL) {
		return true;
	}
	if (!json_is_string(member) || strlen(json_string_value(member)) >= LIST_TEXT) {
		return invalid(error, name, "(its type)", "give a text");
	}
	*value = json_string_value(member);
	/* It lives as long as the request does, whatever becomes of the object. */
	json_array_append(error->kept, member);
	json_object_del(object, name);
	return true;
}

bool member_flag(json_t *object, const char *name, bool *value, struct rpc_error *error)
{
	const json_t *member = json_object_get(object, name);

	if (member == NULL) {
		return true;
	}
	if (!json_is_boolean(member)) {
		return invalid(error, name, "(its type)", "give true or false");
	}
	*value = json_is_true(member);
	json_object_del(object, name);
	return true;
}

bool member_number(json_t *object, const char *name, uint64_t least, uint64_t most, uint64_t *value,
		   struct rpc_error *error)
{
	const json_t *member = json_object_get(object, name);
	char remedy[DAEMON_TEXT], text[32];
	json_int_t number;

	if (member == NULL) {
		return true;
	}
	snprintf(remedy, sizeof(remedy), "give a whole number from %llu to %llu",
		 (unsigned long long)least, (unsigned long long)most);
	if (!json_is_integer(member)) {
		return invalid(error, name, "(its type)", remedy);
	}
	number = json_integer_value(member);
	if (number < 0 || (uint64_t)number < least || (uint64_t)number > most) {
		snprintf(text, sizeof(text), "%lld", (long long)number);
		return invalid(error, name, text, remedy);
	}
	*value = (uint64_t)number;
	json_object_del(object, name);
	return true;
}

bool members_end(json_t *object, struct rpc_error *error)
{
	const char *name;
	json_t *member;

	json_object_foreach(object, name, member)
	{
		return invalid(error, name, "(the member)", "leave it out: it is not known here");
	}
	return true;
}

/* One of `count` words; its place. */
static bool member_word(json_t *object, const char *name, const char *const *words, uint32_t count,
			uint32_t *value, struct rpc_error *error)
{
	char remedy[DAEMON_TEXT] = "give one of:";
	const char *text = NULL;

	if (!member_text(object, name, &text, error)) {
		return false;
	}
	for (uint32_t i = 0; text != NULL && i < count; i++) {
		if (strcmp(words[i], text) == 0) {
			*value = i;
			return true;
		}
		snprintf(remedy + strlen(remedy), sizeof(remedy) - strlen(remedy), " %s", words[i]);
	}
	return text == NULL || invalid(error, name, text, remedy);
}

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

static bool member_mac(json_t *object, const char *name, uint64_t *mac, struct rpc_error *error)
{
	const char *text = NULL;

	if (!member_text(object, name, &text, error)) {
		return false;
	}
	if (text != NULL && strcmp(text, "any") == 0) {
		*mac = 0;
		return true;
	}
	return text == NULL || parse_mac(text, mac) ||
	       invalid(error, name, text, "give an address such as 00:15:5d:01:02:03, or any");
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

static bool member_prefix(json_t *object, const char *name, struct acl_prefix *prefix,
			  struct rpc_error *error)
{
	const char *text = NULL;

	if (!member_text(object, name, &text, error)) {
		return false;
	}
	return text == NULL || parse_prefix(text, prefix) ||
	       invalid(error, name, text, "give an address, a prefix such as 10.0.0.0/8, or any");
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

static const char *const vlan_modes[] = {"untagged", "access",    "trunk",
					 "isolated", "community", "promiscuous"};

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
	/* At most every other one: 2,047 ranges of up to five characters. */
	char text[2048 * 6] = "";
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

static bool read_vlan(json_t *object, struct vlan_settings *vlan, struct rpc_error *error)
{
	json_t *member = json_object_get(object, "vlan");
	struct vlan_settings read = {0};
	struct vlan_rules rules;
	uint64_t id = 0, primary = 0;
	const char *list = NULL;
	uint32_t mode = VLAN_UNTAGGED;

	if (member == NULL) {
		return true;
	}
	if (!json_is_object(member)) {
		return invalid(error, "vlan", "(its type)", "give an object with a mode");
	}
	if (!member_word(member, "mode", vlan_modes, ARRAY_COUNT(vlan_modes), &mode, error) ||
	    !member_number(member, "id", 0, 4094, &id, error) ||
	    !member_number(member, "primary", 1, 4094, &primary, error) ||
	    !member_text(member, "list", &list, error) || !members_end(member, error)) {
		return false;
	}
	if (list != NULL && !parse_list(list, &read.list)) {
		return invalid(error, "vlan.list", list,
			       "give numbers from 1 to 4094, such as 1-100,200");
	}
	read.mode = mode;
	read.vlan = (uint16_t)id;
	read.primary = (uint16_t)primary;
	if (vlan_compile(&read, &rules) != 0) {
		return invalid(
			error, "vlan", vlan_modes[mode],
			"access: id; trunk: id (native, may be 0), list; isolated, community: "
			"primary, id; promiscuous: primary, list without it");
	}
	*vlan = read;
	json_object_del(object, "vlan");
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

static const char *const mirrors[] = {"none", "source", "destination"};

#define BITS_MAX (1ull << 43) /* some terabits a second */

bool settings_read(json_t *object, struct port_settings *settings, struct rpc_error *error)
{
	uint64_t storm = settings->storm_limit, weight = settings->reserve_weight;
	uint32_t mirror = settings->mirror;

	if (!member_mac(object, "mac", &settings->mac, error) ||
	    !member_flag(object, "spoofing", &settings->spoofing, error) ||
	    !member_flag(object, "dhcp-guard", &settings->dhcp_guard, error) ||
	    !member_flag(object, "router-guard", &settings->router_guard, error) ||
	    !member_flag(object, "priority-tag", &settings->priority_tag, error) ||
	    !member_word(object, "mirror", mirrors, ARRAY_COUNT(mirrors), &mirror, error) ||
	    !member_number(object, "storm-limit", 0, UINT32_MAX, &storm, error) ||
	    !member_number(object, "limit", 0, BITS_MAX, &settings->limit_bits, error) ||
	    !member_number(object, "reserve", 0, BITS_MAX, &settings->reserve_bits, error) ||
	    !member_number(object, "weight", 0, 100, &weight, error) ||
	    !read_vlan(object, &settings->vlan, error)) {
		return false;
	}
	settings->mirror = mirror;
	settings->storm_limit = (uint32_t)storm;
	settings->reserve_weight = (uint32_t)weight;
	return true;
}

json_t *settings_write(const struct port_settings *settings)
{
	char mac[MAC_TEXT] = "any";

	if (settings->mac != 0) {
		print_mac(mac, settings->mac);
	}
	return json_pack("{s:s, s:b, s:b, s:b, s:b, s:s, s:I, s:I, s:I, s:I, s:o}", "mac", mac,
			 "spoofing", settings->spoofing, "dhcp-guard", settings->dhcp_guard,
			 "router-guard", settings->router_guard, "priority-tag",
			 settings->priority_tag, "mirror", mirrors[settings->mirror], "storm-limit",
			 (json_int_t)settings->storm_limit, "limit",
			 (json_int_t)settings->limit_bits, "reserve",
			 (json_int_t)settings->reserve_bits, "weight",
			 (json_int_t)settings->reserve_weight, "vlan", write_vlan(&settings->vlan));
}

/* ---- access lists ---- */

static const char *const actions[] = {"allow", "deny", "meter"};
static const char *const directions[] = {"out", "in", "both"};

static bool read_both(json_t *object, uint32_t action_count, enum acl_action *action,
		      uint8_t *direction, struct rpc_error *error)
{
	uint32_t what = UINT32_MAX, where = 2;

	if (!member_word(object, "action", actions, action_count, &what, error) ||
	    !member_word(object, "direction", directions, ARRAY_COUNT(directions), &where, error)) {
		return false;
	}
	if (what == UINT32_MAX) {
		return invalid(error, "action", "(none)", "give one of: allow deny meter");
	}
	*action = what;
	*direction = (uint8_t)(where + 1);
	return true;
}

bool acl_read_basic(json_t *object, struct acl_basic *rule, struct rpc_error *error)
{
	static const char *const ends[] = {"local", "remote", "local-mac", "remote-mac"};
	uint32_t given = 0;

	*rule = (struct acl_basic){0};
	if (!read_both(object, ARRAY_COUNT(actions), &rule->action, &rule->directions, error)) {
		return false;
	}
	for (uint32_t i = 0; i < ARRAY_COUNT(ends); i++) {
		if (json_object_get(object, ends[i]) == NULL) {
			continue;
		}
		given++;
		rule->remote = i % 2;
		rule->hardware = i >= 2;
		if (rule->hardware ? !member_mac(object, ends[i], &rule->mac, error)
				   : !member_prefix(object, ends[i], &rule->prefix, error)) {
			return false;
		}
		rule->any_mac = rule->hardware && rule->mac == 0;
	}
	return given == 1 || invalid(error, "remote", "(how many)",
				     "give one of: local remote local-mac remote-mac");
}

/* "80", "8000-8100", "any" */
static bool member_ports(json_t *object, const char *name, struct acl_ports *ports,
			 struct rpc_error *error)
{
	const char *text = NULL;
	unsigned int first, last;
	int end = 0;

	if (!member_text(object, name, &text, error)) {
		return false;
	}
	if (text == NULL || strcmp(text, "any") == 0) {
		return true;
	}
	if (sscanf(text, "%5u-%5u%n", &first, &last, &end) != 2 || text[end] != '\0') {
		if (sscanf(text, "%5u%n", &first, &end) != 1 || text[end] != '\0') {
			first = UINT32_MAX;
		}
		last = first;
	}
	if (first == 0 || first > last || last > UINT16_MAX) {
		return invalid(error, name, text, "give a port, a range such as 8000-8100, or any");
	}
	*ports = (struct acl_ports){.first = (uint16_t)first, .last = (uint16_t)last};
	return true;
}

static bool member_protocol(json_t *object, int16_t *protocol, struct rpc_error *error)
{
	static const char *const words[] = {"any", "tcp", "udp", "icmp", "icmp6"};
	static const int16_t numbers[] = {-1, PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP,
					  PROTOCOL_ICMP6};
	uint64_t number = 0;
	uint32_t word = 0;

	if (json_is_integer(json_object_get(object, "protocol"))) {
		if (!member_number(object, "protocol", 0, 255, &number, error)) {
			return false;
		}
		*protocol = (int16_t)number;
		return true;
	}
	if (!member_word(object, "protocol", words, ARRAY_COUNT(words), &word, error)) {
		return false;
	}
	*protocol = numbers[word];
	return true;
}

bool acl_read_extended(json_t *object, struct acl_extended *rule, struct rpc_error *error)
{
	uint64_t weight = 0, idle = 0;

	*rule = (struct acl_extended){.protocol = -1};
	if (!read_both(object, ACL_DENY + 1, &rule->action, &rule->direction, error) ||
	    !member_prefix(object, "local", &rule->local, error) ||
	    !member_prefix(object, "remote", &rule->remote, error) ||
	    !member_ports(object, "local-port", &rule->local_ports, error) ||
	    !member_ports(object, "remote-port", &rule->remote_ports, error) ||
	    !member_protocol(object, &rule->protocol, error) ||
	    !member_number(object, "weight", 0, UINT16_MAX, &weight, error) ||
	    !member_flag(object, "stateful", &rule->stateful, error) ||
	    !member_number(object, "idle", 1, UINT16_MAX, &idle, error)) {
		return false;
	}
	rule->weight = (uint16_t)weight;
	rule->idle_s = (uint16_t)(idle != 0 ? idle : 300);
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
