/*
 * The machine's network adapters: ports of virtual switches, connected before the sandbox closes. An adapter whose
 * switch goes stays, with its link down.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/network/netport.h"
#include "vsp/network/network.h"
#include "worker/machine.h"
#include "worker/say.h"

/* An adapter's instance, the same in every run: a guest knows its interfaces by it. */
static const uint8_t instance[16] = {0x56, 0x44, 0x4e, 0x45, 0x54, 0x00, 0x00, 0x40,
				     0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01};

static bool connect_port(struct machine *machine, unsigned int index)
{
	const struct config_network *wanted = &machine->config->networks[index];
	const struct memory *memory = &machine->memory;
	char name[PORT_NAME_MAX], why[256];
	struct netport_request request = {
		.socket = wanted->socket,
		.network = wanted->network,
		.name = wanted->port != NULL ? wanted->port : name,
		.queue_count = wanted->queue_count,
		.ram_fd = memory->fd,
		.ram = {memory->base, memory->size},
	};
	struct netport *port = calloc(1, sizeof(*port));

	if (port == NULL) {
		say("no memory");
		return false;
	}
	snprintf(name, sizeof(name), "%.50s-%u", machine->config->name, index);
	memcpy(request.mac, wanted->mac, sizeof(request.mac));
	if (netport_connect(port, &request, why, sizeof(why)) != 0) {
		say("--net %s: %s", wanted->network, why);
		free(port);
		return false;
	}
	machine->networks.places[index].port = port;
	return true;
}

static bool attach(struct machine *machine, unsigned int index)
{
	struct network_config config = {
		.name = machine->config->networks[index].network,
		.queue_count = machine->config->networks[index].queue_count,
	};
	int ret;

	if (!connect_port(machine, index)) {
		return false;
	}
	memcpy(config.instance, instance, sizeof(instance));
	config.instance[14] = (uint8_t)index;
	ret = network_create(machine->bus, &config, machine->networks.places[index].port,
			     &machine->networks.places[index].network);
	if (ret != 0) {
		say("--net %s: the adapter cannot be made: %s", config.name, strerror(-ret));
	}
	return ret == 0;
}

bool networks_attach(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < machine->config->network_count; i++) {
		if (!attach(machine, i)) {
			return false;
		}
	}
	return true;
}

void networks_detach(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		if (machine->networks.places[i].network != NULL) {
			network_destroy(&machine->networks.places[i].network);
		}
	}
}

void networks_close(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		if (machine->networks.places[i].port != NULL) {
			netport_close(machine->networks.places[i].port);
			free(machine->networks.places[i].port);
			machine->networks.places[i].port = NULL;
		}
	}
}

int networks_fd(const struct machine *machine, unsigned int index)
{
	const struct netport *port = machine->networks.places[index].port;

	return port != NULL && !machine->networks.places[index].lost ? port->connection : -1;
}

/* The switch says nothing more; what comes is its end. */
void networks_serve(struct machine *machine, unsigned int index)
{
	machine->networks.places[index].lost = true;
	say("switch %s is gone; its link is down", machine->config->networks[index].network);
	network_lost(machine->networks.places[index].network);
}
