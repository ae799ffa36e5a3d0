/* See team.h. */
#include "switch/team.h"

#include <string.h>

#include "switch/switch.h"

static bool is_behind_us(const struct vswitch *net, int port)
{
	return port != STATION_NOWHERE && !net->ports[port]->settings.team;
}

uint16_t team_place(const struct vswitch *net, const struct port *port)
{
	return port->settings.team ? net->team.members[0] : port->index;
}

enum drop team_judge(const struct vswitch *net, const struct port *from, const struct frame *frame,
		     const struct port *to, uint32_t now_s)
{
	int source = station_find_recent(&net->stations, frame_source(frame),
					 net->primary_of[frame->vlan], now_s, TEAM_ECHO_S);

	return is_behind_us(net, source) || (to == NULL && from->index != net->team.ear)
		       ? DROP_TEAM
		       : DROP_NONE;
}

static void find_members(struct vswitch *net)
{
	struct team *team = &net->team;

	*team = (struct team){0};
	for (uint32_t i = 0; i < net->port_count; i++) {
		uint16_t index = net->used[i];

		if (net->ports[index]->settings.team) {
			port_set_add(&team->set, index);
			team->members[team->count++] = index;
		}
	}
	team->ear = team->members[0];
	for (uint32_t i = team->count; i-- > 0;) {
		if (!net->ports[team->members[i]]->down) {
			team->ear = team->members[i];
		}
	}
}

/* Each port has its own, so that a member that goes and comes moves its own senders alone. Its
 * place among the members. */
static uint32_t first_choice(const struct vswitch *net, const struct port *port)
{
	const struct team *team = &net->team;

	for (uint32_t i = 0; i < team->count; i++) {
		if (strcmp(net->ports[team->members[i]]->name, port->settings.uplink) == 0) {
			return i;
		}
	}
	return port->index % team->count;
}

static uint16_t choose(const struct vswitch *net, const struct port *port)
{
	const struct team *team = &net->team;
	uint32_t first = first_choice(net, port);

	for (uint32_t i = 0; i < team->count; i++) {
		uint16_t member = team->members[(first + i) % team->count];

		if (!net->ports[member]->down) {
			return member;
		}
	}
	return team->members[first];
}

static void announce_stations(struct vswitch *net, const struct port *port)
{
	for (uint32_t i = 0; i < STATION_COUNT; i++) {
		const struct station *station =
			&net->stations.buckets[i / STATION_WAYS][i % STATION_WAYS];

		if (station->key != 0 && station->port == port->index) {
			uint16_t vlan = station->key & 0xffff;

			forward_announce(net, port, station->key >> 16,
					 vlan == STATION_FIXED ? port->vlan.own : vlan);
		}
	}
}

void team_update(struct vswitch *net)
{
	find_members(net);
	for (uint32_t i = 0; i < net->port_count && net->team.count != 0; i++) {
		struct port *port = net->ports[net->used[i]];
		uint16_t uplink = choose(net, port), before = port->uplink;

		port->uplink = uplink;
		if (uplink != before && !port->settings.team) {
			announce_stations(net, port);
		}
	}
}
