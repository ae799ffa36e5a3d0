/*
 * Requests of the control socket: any method with members whose names it may know and whose values
 * are of any kind. Each has a result or an error with all that an error must have; what a port says
 * of its settings, it takes back unchanged.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "include/mgmt/switch.h"
#include "switch/daemon.h"

static struct daemon daemon_;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

void say(const char *format, ...)
{
	(void)format;
}

/* In place of loop.c and control.c: there is nothing to wait for. */
bool loop_watch(struct daemon *daemon, int fd, uint32_t events, struct source *source)
{
	return daemon != NULL && fd >= 0 && events != 0 && source != NULL;
}

static const char *const methods[] = {
	SWITCH_CREATE,     SWITCH_PORT_ADD,    SWITCH_PORT_SET, SWITCH_ACL_ADD,
	SWITCH_ACL_REMOVE, SWITCH_PORT_REMOVE, SWITCH_REMOVE,   SWITCH_LIST,
	SWITCH_ACL_LIST,   SWITCH_PORT_LIST,   "nothing",
};

/* Values of each kind: some of them right. */
static const char *const words[] = {"none",  "source", "destination", "trunk", "access", "isolated",
				    "guest", "tap",    "promiscuous", "deny",  "allow",  "meter",
				    "both",  "in",     "out",         "tcp",   "udp",    "any"};
static const char *const macs[] = {"02:00:00:00:00:01", "any", "ff:ff:ff:ff:ff:ff", "02:00", ""};
static const char *const prefixes[] = {"any",      "10.0.0.1", "10.0.0.0/8", "10.0.0.0/33",
				       "fd00::/8", "fd00::1",  "/8",         "10.0.0.1/"};
static const char *const lists[] = {"1-100,200", "4094", "1,3,5", "5-4", "0-1", "4095", "1-", ""};
static const char *const ports[] = {"80", "1-65535", "any", "0", "9-8", "65536", "-1"};

enum kind { FLAG, NUMBER, WORD, MAC, PREFIX, LIST, PORTS, OBJECT };

static const struct {
	const char *name;
	enum kind kind;
} members[] = {
	/* of settings */
	{"mac", MAC},
	{"spoofing", FLAG},
	{"dhcp-guard", FLAG},
	{"priority-tag", FLAG},
	{"team", FLAG},
	{"function", FLAG},
	{"uplink", WORD},
	{"mirror", WORD},
	{"storm-limit", NUMBER},
	{"limit", NUMBER},
	{"reserve", NUMBER},
	{"weight", NUMBER},
	{"vlan", OBJECT},
	/* of rules */
	{"extended", FLAG},
	{"action", WORD},
	{"direction", WORD},
	{"local", PREFIX},
	{"remote", PREFIX},
	{"local-port", PORTS},
	{"remote-port", PORTS},
	{"protocol", WORD},
	{"stateful", FLAG},
	{"idle", NUMBER},
	{"remote-mac", MAC},
	{"index", NUMBER},
	/* of others */
	{"kind", WORD},
	{"from", NUMBER},
	{"speed", NUMBER},
	{"max-bytes", NUMBER},
	{"colour", WORD},
};
#define SETTINGS 12u /* of them, at the front */
#define RULES    12u /* behind these */

#define ONE_OF(list) ((list)[fuzz_byte() % ARRAY_COUNT(list)])

static json_t *any_vlan(void)
{
	json_t *vlan = json_object();

	json_object_set_new(vlan, "mode", json_string(ONE_OF(words)));
	if (fuzz_byte() & 1) {
		json_object_set_new(vlan, "id", json_integer(fuzz_byte() * 17));
	}
	if (fuzz_byte() & 1) {
		json_object_set_new(vlan, "primary", json_integer(fuzz_byte() * 17));
	}
	if (fuzz_byte() & 1) {
		json_object_set_new(vlan, "list", json_string(ONE_OF(lists)));
	}
	return vlan;
}

static json_t *any_value(enum kind kind)
{
	switch (fuzz_byte() % 16 == 0 ? fuzz_byte() % (OBJECT + 1) : kind) {
	case FLAG:
		return json_boolean(fuzz_byte() & 1);
	case NUMBER:
		return json_integer(((json_int_t)fuzz_byte() - 3) *
				    (1ll << (fuzz_byte() & 1 ? 0 : fuzz_byte() % 50)));
	case WORD:
		return json_string(ONE_OF(words));
	case MAC:
		return json_string(ONE_OF(macs));
	case PREFIX:
		return json_string(ONE_OF(prefixes));
	case LIST:
		return json_string(ONE_OF(lists));
	case PORTS:
		return json_string(ONE_OF(ports));
	default:
		return any_vlan();
	}
}

static json_t *any_params(const char *method)
{
	bool rules = strncmp(method, "acl", 3) == 0, settings = strncmp(method, "port", 4) == 0;
	json_t *params = json_object();

	for (uint32_t i = fuzz_byte() % 7; i > 0; i--) {
		uint32_t member = fuzz_byte();

		member = fuzz_byte() % 16 == 0 ? member % ARRAY_COUNT(members)
			 : rules               ? SETTINGS + member % RULES
			 : settings            ? member % SETTINGS
					       : member % ARRAY_COUNT(members);
		json_object_set_new(params, members[member].name, any_value(members[member].kind));
	}
	return params;
}

/* The result, or NULL. */
static json_t *call(const char *method, json_t *params, bool may_change)
{
	struct rpc_peer peer = {.may_change = may_change, .greeted = true};
	struct rpc_request request = {.server = &daemon_, .peer = &peer};
	json_t *message = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 1, "method",
				    method, "params", params);
	char *text = json_dumps(message, JSON_COMPACT);
	json_t *answer = methods_answer(&request, text, strlen(text));
	json_t *error = json_object_get(answer, "error"), *result;

	result = json_incref(json_object_get(answer, "result"));
	if (result == NULL) {
		EXPECT(json_string_length(json_object_get(error, "message")) != 0);
		EXPECT(json_is_string(json_object_get(json_object_get(error, "data"), "code")));
	}
	free(text);
	json_decref(answer);
	json_decref(message);
	return result;
}

/* What a port says of itself can be said to it. */
static void say_it_back(void)
{
	json_t *result = call(SWITCH_PORT_LIST, json_pack("{s:s}", "switch", "lan"), false), *port;
	size_t i;

	if (result == NULL) {
		return;
	}
	json_array_foreach(json_object_get(result, "ports"), i, port)
	{
		json_t *settings = json_object_get(port, "settings");
		json_t *params = json_deep_copy(settings), *after, *again;

		json_object_set_new(params, "switch", json_string("lan"));
		json_object_set(params, "port", json_object_get(port, "port"));
		after = call(SWITCH_PORT_SET, params, true);
		EXPECT(after != NULL);
		json_decref(after);
		after = call(SWITCH_PORT_LIST, json_pack("{s:s}", "switch", "lan"), false);
		again = json_object_get(json_array_get(json_object_get(after, "ports"), i),
					"settings");
		EXPECT(json_equal(settings, again));
		json_decref(after);
	}
	json_decref(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_begin(data, size);
	json_decref(call(SWITCH_CREATE, json_pack("{s:s}", "switch", "lan"), true));
	json_decref(
		call(SWITCH_PORT_ADD, json_pack("{s:s, s:s}", "switch", "lan", "port", "a"), true));
	while (fuzz_more()) {
		const char *method = methods[fuzz_byte() % ARRAY_COUNT(methods)];
		json_t *params = any_params(method);

		if (fuzz_byte() % 8 != 0) { /* most of them reach something */
			json_object_set_new(params, "switch", json_string("lan"));
			json_object_set_new(params, "port",
					    json_string(fuzz_byte() % 4 ? "a" : "b"));
		}
		json_decref(call(method, params, fuzz_byte() % 16 != 0));
	}
	say_it_back();
	while (daemon_.plugs != NULL) {
		plug_remove(daemon_.plugs);
	}
	for (uint32_t i = 0; i < DAEMON_SWITCHES; i++) {
		if (daemon_.nets[i] != NULL) {
			vswitch_destroy(&daemon_.nets[i]);
		}
	}
	return 0;
}
