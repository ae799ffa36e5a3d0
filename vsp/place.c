/* See place.h. */
#include "vsp/place.h"

#include <sched.h>

#define TURNS_OF_TRIAL   8u /* of a thread that waits, after which it is looked at what it found */
#define TURNS_OF_WAITING 64u
#define TURNS_ALONE      256u
#define COMPANY          4u /* packets a turn: a guest's completion and its next packet are none */

static void take(struct vsp_place *place, bool waits)
{
	const struct sched_param none = {0};

	place->turns = place->packets = 0;
	/* If it fails the thread costs more, and does the same. */
	if (sched_setscheduler(0, waits ? SCHED_BATCH : SCHED_OTHER, &none) == 0) {
		place->waits = waits;
	}
}

void vsp_place_turn(struct vsp_place *place, unsigned int packets)
{
	if (packets == 0) {
		return;
	}
	place->turns++;
	place->packets += packets;
	if (!place->waits) {
		if (place->turns == TURNS_ALONE) {
			take(place, true);
		}
	} else if (place->turns == TURNS_OF_TRIAL) {
		if (place->packets < COMPANY * TURNS_OF_TRIAL) {
			take(place, false);
		}
	} else if (place->turns > TURNS_OF_WAITING) {
		place->turns = place->packets = 0; /* it is looked at again */
	}
}
