/* See nics.h. While the machine's clocks stand the board takes no frame, and none goes
 * (host_freeze()). */
#include "worker/nics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/network/cable.h"
#include "vsp/network/netport.h"
#include "worker/machine.h"
#include "worker/say.h"

_Static_assert(CABLE_FRAME_MAX == TULIP_FRAME_MAX, "what the adapter takes is what comes");

struct nic {
	struct machine *machine;
	struct cable *cable;
	unsigned int number;
	uint8_t mac[6];
};

static enum cable_taken receive(void *adapter, const uint8_t *frame, uint32_t length, bool last)
{
	static const enum cable_taken taken[] = {[BOARD_NIC_TAKEN] = CABLE_TAKEN,
						 [BOARD_NIC_LATER] = CABLE_LATER,
						 [BOARD_NIC_STANDS] = CABLE_STANDS};
	struct nic *nic = adapter;

	return taken[board_nic_receive(&nic->machine->board, nic->number, frame, length, last)];
}

static void room(void *adapter)
{
	struct nic *nic = adapter;

	board_nic_room(&nic->machine->board, nic->number);
}

int nic_create(struct machine *machine, struct nic **nic)
{
	static const struct cable_class class = {.receive = receive, .room = room};
	struct nic *made = calloc(1, sizeof(*made));
	int ret = made == NULL ? -ENOMEM : cable_create(&class, made, &made->cable);

	if (ret != 0) {
		free(made);
		return ret;
	}
	made->machine = machine;
	made->number = machine->board.nic_count;
	/* Before it is on the board, which speaks to it at once. */
	machine->nics[made->number] = made;
	CHECK(board_add_nic(&machine->board) == made->number);
	*nic = made;
	return 0;
}

void nic_destroy(struct nic **nic)
{
	if (*nic != NULL) {
		cable_destroy(&(*nic)->cable);
		(*nic)->machine->nics[(*nic)->number] = NULL;
		free(*nic);
		*nic = NULL;
	}
}

unsigned int nic_number(const struct nic *nic)
{
	return nic->number;
}

static void set_port(struct nic *nic, const struct netport *port)
{
	cable_set_port(nic->cable, port);
	board_set_nic_link(&nic->machine->board, nic->number, true);
	/* What was to be sent meanwhile. */
	board_nic_room(&nic->machine->board, nic->number);
}

void nic_attach(struct nic *nic, const struct netport *port)
{
	memcpy(nic->mac, port->mac, sizeof(nic->mac));
	board_set_nic_address(&nic->machine->board, nic->number, nic->mac);
	set_port(nic, port);
}

int nic_connect(struct nic *nic, const struct netport *port)
{
	if (memcmp(nic->mac, port->mac, sizeof(nic->mac)) != 0) {
		return -EINVAL;
	}
	set_port(nic, port);
	return 0;
}

void nic_lost(struct nic *nic)
{
	cable_lost(nic->cable);
	board_set_nic_link(&nic->machine->board, nic->number, false);
}

void nic_get_stats(const struct nic *nic, struct network_stats *stats)
{
	cable_get_stats(nic->cable, stats);
}

/* ---- all of them ---- */

bool nics_start(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < BOARD_NICS_MAX; i++) {
		int ret = machine->nics[i] != NULL ? cable_start(machine->nics[i]->cable) : 0;

		if (ret != 0) {
			say("no thread for a network adapter: %s", strerror(-ret));
			return false;
		}
	}
	return true;
}

void nics_stop(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < BOARD_NICS_MAX; i++) {
		if (machine->nics[i] != NULL) {
			cable_stop(machine->nics[i]->cable);
		}
	}
}

void nics_resume(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < BOARD_NICS_MAX; i++) {
		if (machine->nics[i] != NULL) {
			/* Also what the adapters wait for counts again. */
			board_nic_room(&machine->board, i);
			cable_wake(machine->nics[i]->cable);
		}
	}
}

/* ---- what the board asks of its home ---- */

void host_nic_listen(struct host *host, unsigned int nic, enum host_nic_hears hears)
{
	static const enum cable_hears of_cable[] = {[HOST_NIC_NOTHING] = CABLE_HEARS_NOTHING,
						    [HOST_NIC_OWN] = CABLE_HEARS_OWN,
						    [HOST_NIC_ALL] = CABLE_HEARS_ALL};

	cable_listen(host->machine->nics[nic]->cable, of_cable[hears]);
}

bool host_nic_room(struct host *host, unsigned int nic)
{
	return cable_room(host->machine->nics[nic]->cable);
}

void host_nic_send(struct host *host, unsigned int nic, const uint8_t *frame, uint32_t length)
{
	cable_send(host->machine->nics[nic]->cable, frame, length);
}
