/*
 * An extension that forwards by a fixed table: vswitchd --extension forward.so,FILE. A line is
 *
 *   MAC SWITCH PORT...
 *
 * and what is for that address on that switch goes to those ports, whoever is thought to be behind
 * them. For all other addresses the switch chooses.
 */
#include <stdlib.h>

#include "include/switch/extension.h"
#include "switch/extensions/rules.h"

#define ROUTES_MAX 1024u
#define PORTS_MAX  14u /* of a route: the words of a line */
#define NAME_BYTES 64u

struct route {
	uint8_t mac[6];
	char network[NAME_BYTES];
	uint32_t port_count;
	char ports[PORTS_MAX][NAME_BYTES];
	struct extension_ports to; /* those of them that are there */
};

struct table {
	uint32_t count;
	struct route routes[ROUTES_MAX];
};

static bool put_route(void *of, char **words, uint32_t count)
{
	struct table *table = of;
	struct route *route = &table->routes[table->count];

	if (table->count == ROUTES_MAX || count < 3 || count - 2 > PORTS_MAX ||
	    !rules_mac(words[0], route->mac) || strlen(words[1]) >= NAME_BYTES) {
		return false;
	}
	strcpy(route->network, words[1]);
	for (uint32_t i = 2; i < count; i++) {
		if (strlen(words[i]) >= NAME_BYTES) {
			return false;
		}
		strcpy(route->ports[route->port_count++], words[i]);
	}
	table->count++;
	return true;
}

static void set(struct table *table, const char *network, const char *port, uint16_t index,
		bool there)
{
	for (uint32_t i = 0; i < table->count; i++) {
		struct route *route = &table->routes[i];

		for (uint32_t n = 0; strcmp(route->network, network) == 0 && n < route->port_count;
		     n++) {
			if (strcmp(route->ports[n], port) != 0) {
				continue;
			}
			if (there) {
				route->to.words[index / 64] |= 1ull << index % 64;
			} else {
				route->to.words[index / 64] &= ~(1ull << index % 64);
			}
		}
	}
}

static void port_added(void *state, const char *network, const char *port, uint16_t index)
{
	set(state, network, port, index, true);
}

static void port_removed(void *state, const char *network, const char *port, uint16_t index)
{
	set(state, network, port, index, false);
}

static bool forward(void *state, const struct extension_frame *frame, struct extension_ports *to)
{
	const struct table *table = state;

	for (uint32_t i = 0; i < table->count; i++) {
		const struct route *route = &table->routes[i];

		if (memcmp(route->mac, frame->head, 6) == 0 &&
		    strcmp(route->network, frame->network) == 0) {
			*to = route->to;
			return true;
		}
	}
	return false;
}

static int load(const char *options, void **state, char *why, size_t why_bytes)
{
	return rules_load(options, sizeof(struct table), put_route, state, why, why_bytes);
}

const struct switch_extension *switch_extension(void)
{
	static const struct switch_extension of = {
		.version = EXTENSION_VERSION,
		.kind = EXTENSION_FORWARD,
		.name = "forward",
		.load = load,
		.unload = free,
		.port_added = port_added,
		.port_removed = port_removed,
		.forward = forward,
	};

	return &of;
}
