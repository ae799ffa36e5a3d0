/* See networks.h. */
#include "tests/fake/networks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vsp/network/netport.h"
#include "vsp/network/network.h"
#include "worker/nics.h"

struct network {
	struct network_config config;
	bool lost, removed;
};

struct fake_networks fake_networks;

int netport_connect(struct netport *port, const struct netport_request *request, char *why,
		    size_t why_bytes)
{
	static const uint8_t given[6] = {0, 0x15, 0x5d, 1, 2, 3};

	if (fake_networks.connecting != NULL) {
		fake_networks.connecting();
	}
	if (fake_networks.connect_result != 0) {
		snprintf(why, why_bytes, "%s: no such switch", request->network);
		close(request->fd);
		return fake_networks.connect_result;
	}
	*port = (struct netport){.connection = request->fd};
	memcpy(port->mac, given, sizeof(given));
	fake_networks.ports++;
	return 0;
}

void netport_close(struct netport *port)
{
	close(port->connection);
	fake_networks.ports--;
}

void netport_break(const struct netport *port)
{
	if (shutdown(port->connection, SHUT_RDWR) != 0) {
		return; /* it was no socket */
	}
}

int network_create(struct vmbus *bus, const struct network_config *config,
		   const struct netport *port, struct network **network)
{
	(void)bus;
	(void)port;
	if (fake_networks.create_result != 0) {
		return fake_networks.create_result;
	}
	*network = calloc(1, sizeof(**network));
	(*network)->config = *config;
	fake_networks.adapters++;
	return 0;
}

void network_disconnect(struct network *network)
{
	(void)network;
}

void network_withdraw(struct network *network)
{
	network_remove(network);
}

void network_remove(struct network *network)
{
	if (!network->removed) {
		network->removed = true;
		network->config.ended(network->config.context);
	}
}

void network_destroy(struct network **network)
{
	if (*network != NULL) {
		network_remove(*network);
		free(*network);
		*network = NULL;
		fake_networks.adapters--;
	}
}

void network_lost(struct network *network)
{
	network->lost = true;
}

int network_connect(struct network *network, const struct netport *port)
{
	(void)port;
	if (!network->lost) {
		return -EISCONN;
	}
	network->lost = false;
	return 0;
}

void network_get_stats(struct network *network, struct network_stats *stats)
{
	(void)network;
	*stats = (struct network_stats){.frames_in = 3, .refused = {[NETWORK_BAD_FRAME] = 5}};
}

/* ---- adapters of the board ---- */

struct nic {
	unsigned int number;
	bool lost;
};

int nic_create(struct machine *machine, struct nic **nic)
{
	static unsigned int count;

	(void)machine;
	*nic = calloc(1, sizeof(**nic));
	(*nic)->number = count++;
	fake_networks.adapters++;
	return 0;
}

void nic_destroy(struct nic **nic)
{
	if (*nic != NULL) {
		free(*nic);
		*nic = NULL;
		fake_networks.adapters--;
	}
}

unsigned int nic_number(const struct nic *nic)
{
	return nic->number;
}

void nic_attach(struct nic *nic, const struct netport *port)
{
	(void)port;
	nic->lost = false;
}

int nic_connect(struct nic *nic, const struct netport *port)
{
	(void)port;
	nic->lost = false;
	return 0;
}

void nic_lost(struct nic *nic)
{
	nic->lost = true;
}

void nic_get_stats(const struct nic *nic, struct network_stats *stats)
{
	*stats = (struct network_stats){.frames_out = nic->number + 7};
}
