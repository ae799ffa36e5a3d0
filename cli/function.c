/* See function.h. */
#include "cli/function.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "hosted/member.h"
#include "hosted/vf.h"
#include "include/mgmt/control.h"
#include "include/mgmt/switch.h"

#define PATIENCE_SECONDS 10

static bool open_switch(struct client *server)
{
	bool open;

	*server = (struct client){.fd = -1, .patience = PATIENCE_SECONDS};
	client_name("vswitchd", "the control socket of a running vswitchd");
	open = client_open(server, SWITCH_SOCKET);
	client_name("the worker", "the socket of a running vmwp --control");
	return open;
}

static const json_t *find_port(const json_t *ports, const char *name)
{
	const json_t *port;
	size_t i;

	json_array_foreach((json_t *)ports, i, port)
	{
		if (strcmp(member_text(port, "port"), name) == 0) {
			return port;
		}
	}
	return NULL;
}

/* The first card of a switch's; 0: it has none. */
static int card_of(const json_t *ports)
{
	const json_t *port;
	json_int_t card = 0;
	size_t i;

	json_array_foreach((json_t *)ports, i, port)
	{
		card = card != 0 ? card : json_integer_value(json_object_get(port, "card"));
	}
	return (int)card;
}

/* A function reaches what its card does: that is to be what the switch reaches. */
static bool has_uplink(const json_t *ports, const char *card)
{
	json_int_t index = (json_int_t)if_nametoindex(card);
	const json_t *port;
	size_t i;

	json_array_foreach((json_t *)ports, i, port)
	{
		if (index != 0 && json_integer_value(json_object_get(port, "card")) == index) {
			return true;
		}
	}
	return false;
}

static bool mark(struct client *server, const json_t *adapter, bool on)
{
	json_t *done =
		client_ask(server, SWITCH_PORT_SET,
			   json_pack("{s:s, s:s, s:b}", "switch", member_text(adapter, "switch"),
				     "port", member_text(adapter, "port"), "function", on),
			   NULL, 0, member_text(adapter, "port"));

	json_decref(done);
	return done != NULL;
}

/* What the port's settings are for a card. */
static struct vf_settings settings_of(const json_t *adapter, const json_t *port)
{
	const json_t *settings = json_object_get(port, "settings");
	const json_t *vlan = json_object_get(settings, "vlan");
	struct vf_settings made = {
		.vlan = (uint16_t)json_integer_value(json_object_get(vlan, "id")),
		.guarded = !json_is_true(json_object_get(settings, "spoofing")),
	};

	(void)!sscanf(member_text(adapter, "address"), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx",
		      &made.mac[0], &made.mac[1], &made.mac[2], &made.mac[3], &made.mac[4],
		      &made.mac[5]);
	return made;
}

static bool begin(struct client *server, const json_t *adapter, const json_t *ports,
		  char address[PCI_ADDRESS])
{
	const json_t *port = find_port(ports, member_text(adapter, "port"));
	struct vf_settings settings;
	char why[400];
	struct vf vf;

	if (strcmp(address, "on") == 0 && vf_take(card_of(ports), address, why, sizeof(why)) != 0) {
		return client_fail(member_text(adapter, "switch"), why);
	}
	if (vf_find(address, &vf, why, sizeof(why)) != 0) {
		return client_fail(address, why);
	}
	if (port == NULL || !has_uplink(ports, vf.card)) {
		snprintf(why, sizeof(why),
			 "it is one of %s, which is no uplink of the switch %s; vswitch list shows "
			 "those that are",
			 vf.card, member_text(adapter, "switch"));
		return client_fail(address, why);
	}
	if (!mark(server, adapter, true)) {
		return false;
	}
	settings = settings_of(adapter, port);
	if (vf_set(&vf, &settings, why, sizeof(why)) != 0) {
		(void)!mark(server, adapter, false);
		return client_fail(address, why);
	}
	return true;
}

bool function_begin(const json_t *adapter, char address[PCI_ADDRESS])
{
	const char *net = member_text(adapter, "switch");
	struct client server;
	json_t *ports;
	bool done;

	if (!open_switch(&server)) {
		return false;
	}
	ports = client_ask_ports(&server, net, net);
	done = ports != NULL && begin(&server, adapter, ports, address);
	json_decref(ports);
	close(server.fd);
	return done;
}

bool function_end(const json_t *adapter, const char *address)
{
	struct client server;
	bool done, marked;
	char why[400];

	done = vf_clear(address, why, sizeof(why)) == 0 || client_fail(address, why);
	marked = open_switch(&server) && mark(&server, adapter, false);
	if (server.fd >= 0) {
		close(server.fd);
	}
	return done && marked;
}
