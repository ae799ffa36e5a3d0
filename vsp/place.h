/*
 * When a thread that serves a guest runs after it was woken: at once, or when it is its turn.
 *
 * A thread that is woken takes the processor from who runs on it: mostly the VP that woke it, and
 * that may have more to say. One that waits for its turn runs when the VP halts or its time is
 * over, and has more to do by then. A free processor is used at once by both.
 *
 * Who waits in vain pays for it: a guest that wants each answer halts before it comes, and one that
 * computes all the time gets it some milliseconds later. So a thread waits as long as that brings
 * company, and it is tried now and then.
 */
#ifndef VSP_PLACE_H
#define VSP_PLACE_H

#include <stdbool.h>

/* A thread's; all zeros at its start. */
struct vsp_place {
	bool waits;                  /* for its turn, when it is woken */
	unsigned int turns, packets; /* since it was decided whether it does */
};

/* A turn of the calling thread is over, of so many packets. One of none is not counted. */
void vsp_place_turn(struct vsp_place *place, unsigned int packets);

#endif
