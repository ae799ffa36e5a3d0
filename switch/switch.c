/* See switch.h. The ports of a switch, their settings, and whose turn it is. */
#include "switch/switch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "switch/extend.h"

#define DEFAULT_BYTES 1514u
#define SPEED_BITS    10000000000ull /* of a port that has none of its own */
/*
 * What the greatest weight may send in a turn: the turn's own cost is small against it, and the
 * others do not wait long.
 */
#define QUANTUM_BYTES 32768
#define WEIGHT_MAX    100u
/* A limit's burst: what arrives in this time at the limit, and the longest frame at least. */
#define BURST_PER_SECOND 100u
#define IDLE_TURN_NS     1000000u

int vswitch_create(const char *name, struct vswitch **net)
{
	struct vswitch *made;

	if (name[0] == '\0' || strlen(name) >= SWITCH_NAME_MAX) {
		return -EINVAL;
	}
	made = aligned_alloc(64, (sizeof(*made) + 63) & ~(size_t)63);
	if (made == NULL) {
		return -ENOMEM;
	}
	memset(made, 0, sizeof(*made));
	strcpy(made->name, name);
	made->speed_bits = SPEED_BITS;
	for (uint16_t i = 0; i < VLAN_COUNT; i++) {
		made->primary_of[i] = i;
	}
	*net = made;
	return 0;
}

void vswitch_destroy(struct vswitch **net)
{
	CHECK((*net)->port_count == 0);
	free(*net);
	*net = NULL;
}

struct port *vswitch_find_port(const struct vswitch *net, const char *name)
{
	for (uint32_t i = 0; i < net->port_count; i++) {
		struct port *port = net->ports[net->used[i]];

		if (strcmp(port->name, name) == 0) {
			return port;
		}
	}
	return NULL;
}

void port_defaults(struct port_settings *settings)
{
	*settings = (struct port_settings){.reserve_weight = 1};
}

int vswitch_add_port(struct vswitch *net, const char *name, const struct edge *edge, void *of,
		     struct port **port)
{
	struct port_settings settings;
	struct port *made;
	uint16_t index = 0;

	if (name[0] == '\0' || strlen(name) >= SWITCH_NAME_MAX) {
		return -EINVAL;
	}
	if (vswitch_find_port(net, name) != NULL) {
		return -EEXIST;
	}
	if (net->port_count == SWITCH_PORTS) {
		return -ENOSPC;
	}
	made = calloc(1, sizeof(*made));
	if (made == NULL) {
		return -ENOMEM;
	}
	while (net->ports[index] != NULL) {
		index++;
	}
	strcpy(made->name, name);
	made->index = index;
	made->net = net;
	made->edge = edge;
	made->of = of;
	made->takes = PORT_HEARS;
	made->max_bytes = DEFAULT_BYTES;
	net->ports[index] = made;
	net->used[net->port_count++] = index;
	port_defaults(&settings);
	CHECK(port_set(made, &settings) == 0);
	extend_port(net->extensions, made, true);
	*port = made;
	return 0;
}

/* Stations of a private VLAN are known in its primary one, whichever of them they send in. */
static void set_primaries(struct vswitch *net)
{
	for (uint16_t i = 0; i < VLAN_COUNT; i++) {
		net->primary_of[i] = i;
	}
	for (uint32_t i = 0; i < net->port_count; i++) {
		const struct vlan_settings *vlan = &net->ports[net->used[i]]->settings.vlan;

		if (vlan->mode == VLAN_ISOLATED || vlan->mode == VLAN_COMMUNITY) {
			net->primary_of[vlan->vlan] = vlan->primary;
		}
		for (uint16_t id = 1; vlan->mode == VLAN_PROMISCUOUS && id < VLAN_COUNT; id++) {
			if (vlan_set_has(&vlan->list, id)) {
				net->primary_of[id] = vlan->primary;
			}
		}
	}
}

static void find_card(struct vswitch *net)
{
	net->card = NULL;
	for (uint32_t i = net->port_count; i-- > 0;) {
		if (net->ports[net->used[i]]->edge->card) {
			net->card = net->ports[net->used[i]];
		}
	}
}

static uint32_t weight_of(const struct vswitch *net, const struct port *port)
{
	const struct port_settings *settings = &port->settings;
	uint64_t weight = settings->reserve_weight;

	if (settings->reserve_bits != 0) {
		weight = settings->reserve_bits / (net->speed_bits / WEIGHT_MAX);
	}
	return weight == 0 ? 1 : weight > WEIGHT_MAX ? WEIGHT_MAX : (uint32_t)weight;
}

static void set_quanta(struct vswitch *net)
{
	uint32_t greatest = 1;

	for (uint32_t i = 0; i < net->port_count; i++) {
		uint32_t weight = weight_of(net, net->ports[net->used[i]]);

		greatest = weight > greatest ? weight : greatest;
	}
	for (uint32_t i = 0; i < net->port_count; i++) {
		struct port *port = net->ports[net->used[i]];

		port->quantum = QUANTUM_BYTES * weight_of(net, port) / greatest;
	}
}

static void flush_touched(struct vswitch *net)
{
	for (uint32_t word = 0; word < SNOOP_PORTS / 64; word++) {
		while (net->touched.words[word] != 0) {
			uint32_t bit = (uint32_t)__builtin_ctzll(net->touched.words[word]);
			struct port *port = net->ports[word * 64 + bit];

			net->touched.words[word] &= net->touched.words[word] - 1;
			port->edge->flush(port->of);
		}
	}
}

void vswitch_remove_port(struct port **port)
{
	struct port *gone = *port;
	struct vswitch *net = gone->net;
	uint32_t i = 0;

	extend_port(net->extensions, gone, false);
	while (net->used[i] != gone->index) {
		i++;
	}
	net->port_count--;
	memmove(&net->used[i], &net->used[i + 1], (net->port_count - i) * sizeof(net->used[0]));
	net->ports[gone->index] = NULL;
	station_forget(&net->stations, gone->index);
	snoop_forget(&net->snoop, gone->index);
	port_set_remove(&net->mirrors, gone->index);
	port_set_remove(&net->touched, gone->index);
	set_primaries(net);
	find_card(net);
	set_quanta(net);
	team_update(net);
	flush_touched(net);
	acl_clear(&gone->acl);
	free(gone);
	*port = NULL;
}

/* What a card keeps of a function's frames is its address and its VLAN. */
const char *port_obstacle(const struct port *port, const struct port_settings *settings)
{
	const struct {
		bool there;
		const char *what;
	} all[] = {
		{port->acl.basic_count + port->acl.extended_count != 0, "access lists"},
		{settings->mac == 0, "no address of its own"},
		{settings->mirror != MIRROR_NONE, "a mirror"},
		{settings->dhcp_guard, "a DHCP guard"},
		{settings->router_guard, "a router guard"},
		{settings->ip_limit != 0, "a limit of IP addresses"},
		{settings->storm_limit != 0, "a storm limit"},
		{settings->limit_bits != 0, "a limit of bandwidth"},
		{settings->reserve_bits != 0 || settings->reserve_weight > 1,
		 "a reserve of bandwidth"},
		{settings->vlan.mode != VLAN_UNTAGGED && settings->vlan.mode != VLAN_ACCESS,
		 "a trunk or a private VLAN"},
		{extend_any(port->net->extensions), "extensions that look at frames"},
		{port->net->team.count != 0 || settings->team, "uplinks that are a team"},
		{port->net->card == NULL, "no uplink that is a card"},
	};

	for (uint32_t i = 0; settings->function && i < ARRAY_COUNT(all); i++) {
		if (all[i].there) {
			return all[i].what;
		}
	}
	return NULL;
}

int port_set(struct port *port, const struct port_settings *settings)
{
	struct vswitch *net = port->net;
	uint64_t limit = settings->limit_bits / 8, burst = limit / BURST_PER_SECOND;
	struct vlan_rules rules;
	int ret;

	if (settings->mac >> 48 != 0 || settings->mac & FRAME_MAC_GROUP ||
	    settings->mirror > MIRROR_DESTINATION || settings->reserve_weight > WEIGHT_MAX ||
	    settings->limit_bits % 8 != 0 || settings->reserve_bits % 8 != 0) {
		return -EINVAL;
	}
	if (settings->team && !port->settings.team && net->team.count == TEAM_MAX) {
		return -ENOSPC;
	}
	ret = vlan_compile(&settings->vlan, &rules);
	if (ret != 0) {
		return ret;
	}
	if (port_obstacle(port, settings) != NULL) {
		return -ENOTSUP;
	}
	if (settings->mac != 0) {
		ret = station_fix(&net->stations, settings->mac, port->index);
		if (ret != 0) {
			return ret;
		}
	}
	/* What was learned there was learned by other rules. */
	station_forget(&net->stations, port->index);
	if (settings->mac != 0) {
		CHECK(station_fix(&net->stations, settings->mac, port->index) == 0);
	}
	port->settings = *settings;
	port->vlan = rules;
	port->addresses.count = 0;
	bucket_set(&port->storm, settings->storm_limit, settings->storm_limit);
	bucket_set(&port->limit, limit, burst > PORT_FRAME_MAX ? burst : PORT_FRAME_MAX);
	if (settings->mirror == MIRROR_DESTINATION) {
		port_set_add(&net->mirrors, port->index);
	} else {
		port_set_remove(&net->mirrors, port->index);
	}
	set_primaries(net);
	find_card(net);
	set_quanta(net);
	team_update(net);
	flush_touched(net);
	return 0;
}

void port_set_link(struct port *port, bool up)
{
	port->down = !up;
	team_update(port->net);
	flush_touched(port->net);
}

void port_lost(struct port *port, uint32_t frames)
{
	port->stats.drops[DROP_NO_ROOM] += frames;
	port->stats.received_frames -= frames;
}

/* What a round of all ports' turns was. */
struct round {
	uint32_t frames;
	bool cut_short; /* a turn was not over when a receiver became full */
	bool no_room;   /* somebody has a frame for a receiver that is full */
};

/*
 * Deficit round robin (Shreedhar and Varghese): a port sends while it is not in debt; what it sent
 * too much it lacks in its next turn, what it did not use it does not keep. A turn that a full
 * receiver cuts short goes on later, with what is left of it; one that it stops at once was none.
 * While one that was cut short waits, others do not pay their debts by waiting too.
 */
static void serve(struct vswitch *net, struct port *port, struct round *round, uint64_t now_ns)
{
	bool goes_on = port->blocked;
	uint32_t total = 0;

	if (round->cut_short && !goes_on && port->deficit + port->quantum <= 0) {
		return;
	}
	port->deficit += goes_on ? 0 : port->quantum;
	if (port->deficit > port->quantum) {
		port->deficit = port->quantum; /* its limit let nothing pass meanwhile */
	}
	port->blocked = false;
	port->held = !bucket_open(&port->limit, now_ns);
	if (port->held) {
		/* It takes nothing, but what its owner says of itself is heard all the same. */
		port->edge->take(port->of, net->frames, 0, 0);
		port->edge->release(port->of, 0);
	}
	while (port->deficit > 0 && !port->held) {
		uint32_t count = port->edge->take(port->of, net->frames, SWITCH_BATCH,
						  (uint64_t)port->deficit),
			 done = 0;

		while (done < count && port->deficit > 0 && !port->blocked &&
		       bucket_open(&port->limit, now_ns)) {
			uint32_t bytes = net->frames[done].bytes;

			port->blocked = !forward_frame(net, port, &net->frames[done], now_ns);
			if (!port->blocked) {
				port->deficit -= bytes;
				bucket_use(&port->limit, bytes);
				done++;
			}
		}
		flush_touched(net);
		port->edge->release(port->of, done);
		total += done;
		port->held = port->blocked || !bucket_open(&port->limit, now_ns);
		if (port->deficit > 0 && count < SWITCH_BATCH && !port->held) {
			port->deficit = 0; /* there is no more */
			break;
		}
	}
	round->frames += total;
	round->no_room |= port->blocked;
	if (port->blocked && !goes_on && total == 0) {
		port->deficit -= port->quantum;
		port->blocked = false;
	}
	port->blocked &= port->deficit > 0; /* else it has had its turn */
}

static struct round serve_all(struct vswitch *net, uint64_t now_ns)
{
	struct round round = {0};
	uint32_t first = net->first;

	for (uint32_t i = 0; i < net->port_count; i++) {
		struct port *port = net->ports[net->used[(first + i) % net->port_count]];

		serve(net, port, &round, now_ns);
		/* Who was cut short first goes on first. */
		if (port->blocked && !round.cut_short) {
			round.cut_short = true;
			net->first = (first + i) % net->port_count;
		}
	}
	return round;
}

static bool is_in_debt(const struct port *port)
{
	return port->deficit < 0 && !port->held;
}

/* After so many turns the first port has paid; NO_DEBTS: nobody has any. */
#define NO_DEBTS INT64_MAX

static int64_t least_debt(const struct vswitch *net)
{
	int64_t least = NO_DEBTS;

	for (uint32_t i = 0; i < net->port_count; i++) {
		const struct port *port = net->ports[net->used[i]];
		int64_t turns = is_in_debt(port) ? -port->deficit / port->quantum : NO_DEBTS;

		least = turns < least ? turns : least;
	}
	return least;
}

static void pay(struct vswitch *net, int64_t turns)
{
	for (uint32_t i = 0; i < net->port_count; i++) {
		struct port *port = net->ports[net->used[i]];

		if (is_in_debt(port)) {
			port->deficit += turns * port->quantum;
			port->deficit = port->deficit < 0 ? port->deficit : 0;
		}
	}
}

/*
 * Nobody could send, and turns without frames are over at once: so many of them that the first
 * debts are paid. While somebody waits for room, one turn is a millisecond, so that a receiver that
 * is full for long stops those alone who send to it. True: it is worth another round.
 */
static bool pay_debts(struct vswitch *net, const struct round *round, uint64_t now_ns)
{
	int64_t turns = least_debt(net);

	if (round->frames != 0) {
		net->idle_ns = now_ns;
		return false;
	}
	if (turns == NO_DEBTS || (round->no_room && now_ns - net->idle_ns < IDLE_TURN_NS)) {
		return false;
	}
	pay(net, round->no_room ? 1 : turns);
	net->idle_ns = now_ns;
	return true;
}

struct vswitch_turn vswitch_turn(struct vswitch *net, uint64_t now_ns)
{
	struct vswitch_turn turn = {.wait_ns = SWITCH_NO_WAIT};
	struct round round;

	do {
		round = serve_all(net, now_ns);
	} while (pay_debts(net, &round, now_ns));
	turn.frames = round.frames;
	if (least_debt(net) != NO_DEBTS) {
		turn.wait_ns = round.no_room ? IDLE_TURN_NS : 0;
	}
	for (uint32_t i = 0; i < net->port_count; i++) {
		uint64_t wait_ns = bucket_wait_ns(&net->ports[net->used[i]]->limit);

		if (wait_ns != 0 && wait_ns < turn.wait_ns) {
			turn.wait_ns = wait_ns;
		}
	}
	return turn;
}
