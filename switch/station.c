/* See station.h. A bucket is a line of the cache: a look-up reads one, mostly. */
#include "switch/station.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static uint64_t key_of(uint64_t mac, uint16_t vlan)
{
	return mac << 16 | vlan;
}

static uint32_t bucket_of(uint64_t mac)
{
	return (uint32_t)((mac * 0x9e3779b97f4a7c15ull) >> 54) % (STATION_COUNT / STATION_WAYS);
}

static bool is_fixed(const struct station *station)
{
	return (station->key & 0xffff) == STATION_FIXED;
}

static bool is_silent(const struct station *station, uint32_t now_s, uint32_t silence_s)
{
	return !is_fixed(station) && now_s - station->seen_s > silence_s;
}

static bool is_old(const struct station *station, uint32_t now_s)
{
	return is_silent(station, now_s, STATION_AGE_S);
}

static const struct station *look(const struct station *bucket, uint64_t key)
{
	for (uint32_t i = 0; i < STATION_WAYS; i++) {
		if (bucket[i].key == key) {
			return &bucket[i];
		}
	}
	return NULL;
}

int station_find_recent(const struct stations *stations, uint64_t mac, uint16_t vlan,
			uint32_t now_s, uint32_t silence_s)
{
	const struct station *bucket = stations->buckets[bucket_of(mac)];
	const struct station *station = look(bucket, key_of(mac, STATION_FIXED));

	if (station == NULL) {
		station = look(bucket, key_of(mac, vlan));
	}
	return station == NULL || is_silent(station, now_s, silence_s) ? STATION_NOWHERE
								       : station->port;
}

int station_find(const struct stations *stations, uint64_t mac, uint16_t vlan, uint32_t now_s)
{
	return station_find_recent(stations, mac, vlan, now_s, STATION_AGE_S);
}

static void clear(struct stations *stations, struct station *station)
{
	if (station->key != 0 && !is_fixed(station)) {
		stations->learned[station->port]--;
	}
	*station = (struct station){0};
}

/*
 * Room in a bucket: a free or old entry, or the port's own that was silent longest. A port with its
 * share takes from itself alone, so a flood of addresses pushes out nobody else's.
 */
static struct station *room_in(struct stations *stations, struct station *bucket, uint16_t port,
			       uint32_t now_s)
{
	struct station *own = NULL, *empty = NULL;

	for (uint32_t i = 0; i < STATION_WAYS; i++) {
		struct station *station = &bucket[i];

		if (station->key == 0 || is_old(station, now_s)) {
			empty = station;
		} else if (station->port == port && !is_fixed(station) &&
			   (own == NULL || now_s - station->seen_s > now_s - own->seen_s)) {
			own = station;
		}
	}
	if (empty != NULL) {
		clear(stations, empty);
	}
	return empty != NULL && stations->learned[port] < STATION_PORT_MAX ? empty : own;
}

bool station_learn(struct stations *stations, uint64_t mac, uint16_t vlan, uint16_t port,
		   uint32_t now_s)
{
	struct station *bucket = stations->buckets[bucket_of(mac)];
	struct station *station;

	if (look(bucket, key_of(mac, STATION_FIXED)) != NULL) {
		return false;
	}
	station = (struct station *)look(bucket, key_of(mac, vlan));
	if (station != NULL && station->port == port) {
		if (station->seen_s != now_s) {
			station->seen_s = now_s;
		}
		return true;
	}
	if (station != NULL) {
		clear(stations, station); /* it has moved */
	}
	station = room_in(stations, bucket, port, now_s);
	if (station == NULL) {
		return false;
	}
	clear(stations, station);
	*station = (struct station){.key = key_of(mac, vlan), .seen_s = now_s, .port = port};
	stations->learned[port]++;
	return true;
}

int station_fix(struct stations *stations, uint64_t mac, uint16_t port)
{
	struct station *bucket = stations->buckets[bucket_of(mac)], *room = NULL;
	const struct station *fixed = look(bucket, key_of(mac, STATION_FIXED));

	if (fixed != NULL) {
		return fixed->port == port ? 0 : -EEXIST;
	}
	for (uint32_t i = 0; i < STATION_WAYS; i++) {
		/* What was learned of this address, in whichever VLAN, does not hold any more. */
		if (bucket[i].key >> 16 == mac) {
			clear(stations, &bucket[i]);
		}
		if (room == NULL || bucket[i].key == 0 ||
		    (is_fixed(room) && !is_fixed(&bucket[i]))) {
			room = &bucket[i];
		}
	}
	if (room->key != 0 && is_fixed(room)) {
		return -ENOSPC;
	}
	clear(stations, room);
	*room = (struct station){.key = key_of(mac, STATION_FIXED), .port = port};
	return 0;
}

void station_forget(struct stations *stations, uint16_t port)
{
	for (uint32_t i = 0; i < STATION_COUNT / STATION_WAYS; i++) {
		for (uint32_t way = 0; way < STATION_WAYS; way++) {
			struct station *station = &stations->buckets[i][way];

			if (station->key != 0 && station->port == port) {
				clear(stations, station);
			}
		}
	}
}
