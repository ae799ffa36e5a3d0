/*
 * An adapter's end of a port of the virtual switch, for an emulated adapter: frames go by value,
 * one at a time. Nothing of the guest's memory is lent to the switch, since what such an adapter
 * does with a frame is in its own hands, and under its machine's lock.
 *
 * Frames for the guest come on a thread of this library, between cable_start() and cable_stop().
 * What the guest sends, and what it wants to hear, comes from any thread, under whatever lock:
 * cable_send(), cable_room() and cable_listen() call nobody and do not block.
 *
 * A cable without a port, or one whose switch is gone, takes all that is sent and loses it.
 */
#ifndef VSP_NETWORK_CABLE_H
#define VSP_NETWORK_CABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct cable;
struct netport;
struct network_stats;

#define CABLE_FRAME_MIN 14u
#define CABLE_FRAME_MAX 1522u /* with a VLAN's tag, which is in the frame here */

/* What becomes of a frame that is offered: it is taken; it is to be offered again, soon; or when
 * cable_wake() says so. */
enum cable_taken { CABLE_TAKEN, CABLE_LATER, CABLE_STANDS };

struct cable_class {
	/* `last`: it is not offered again, unless the adapter stands. */
	enum cable_taken (*receive)(void *adapter, const uint8_t *frame, uint32_t length,
				    bool last);
	/* cable_room() was false, and is not any more; likewise on the cable's thread. */
	void (*room)(void *adapter);
};

enum cable_hears { CABLE_HEARS_NOTHING, CABLE_HEARS_OWN, CABLE_HEARS_ALL };

int cable_create(const struct cable_class *class, void *adapter, struct cable **cable) MUST_CHECK;
/* It was stopped. The port is the caller's still. */
void cable_destroy(struct cable **cable);
/* Instead of the one before, which nothing uses any more then. It has one queue. */
void cable_set_port(struct cable *cable, const struct netport *port);
/* The switch is gone. */
void cable_lost(struct cable *cable);
/* 0 or a negative errno; started already is no error, nor is stopped already. Neither under the
 * lock that `receive` takes. */
int cable_start(struct cable *cable) MUST_CHECK;
void cable_stop(struct cable *cable);
/* What waits is offered again. */
void cable_wake(struct cable *cable);

void cable_listen(struct cable *cable, enum cable_hears hears);
/* False: `room` will be called. */
bool cable_room(struct cable *cable);
/* After cable_room() was true. The frame has CABLE_FRAME_MIN to CABLE_FRAME_MAX bytes, and is
 * copied. */
void cable_send(struct cable *cable, const uint8_t *frame, uint32_t length);

/* What there is of it for such an adapter. */
void cable_get_stats(struct cable *cable, struct network_stats *stats);

#endif
