/*
 * Which port a station is behind: learned by what it sends, forgotten when it has been silent for
 * long, and bounded, for the whole and for each port. A port with a fixed address has an entry that
 * holds in all VLANs, does not age, and cannot be learned elsewhere.
 */
#ifndef SWITCH_STATION_H
#define SWITCH_STATION_H

#include <stdbool.h>
#include <stdint.h>

#define STATION_COUNT    4096u /* of a switch */
#define STATION_PORT_MAX 512u  /* learned behind one port */
#define STATION_WAYS     4u
#define STATION_AGE_S    300u
#define STATION_FIXED    0xfffu /* in place of a VLAN, which is never 4095 */
#define STATION_PORTS    256u

struct station {
	uint64_t key; /* address << 16 | VLAN; 0: nothing */
	uint32_t seen_s;
	uint16_t port;
	uint16_t reserved;
};

struct stations {
	struct station buckets[STATION_COUNT / STATION_WAYS][STATION_WAYS]
		__attribute__((aligned(64)));
	uint16_t learned[STATION_PORTS];
};

#define STATION_NOWHERE (-1)

/* The port of an address in a VLAN, or STATION_NOWHERE. */
int station_find(const struct stations *stations, uint64_t mac, uint16_t vlan, uint32_t now_s);
/* ... but for one that has not sent within the last `silence_s`, unless its place is fixed. */
int station_find_recent(const struct stations *stations, uint64_t mac, uint16_t vlan,
			uint32_t now_s, uint32_t silence_s);
/* It has sent from there. False: there is no room for it, or the address is fixed elsewhere. */
bool station_learn(struct stations *stations, uint64_t mac, uint16_t vlan, uint16_t port,
		   uint32_t now_s);
/* -EEXIST: another port has it. -ENOSPC: its bucket is full of fixed ones. */
int station_fix(struct stations *stations, uint64_t mac, uint16_t port);
/* Everything that is behind the port. */
void station_forget(struct stations *stations, uint16_t port);

#endif
