/*
 * The policy of dynamic memory: how a machine's memory is divided among its guests. It is a
 * function of what was read of them, and of what it remembers here; who reads and who leads them is
 * its caller's affair (vmbalance).
 *
 * Each guest that has reported gets what it demands and its buffer, between its minimum and its
 * maximum. Where that is more than there is the buffers become smaller first; then what exceeds the
 * minima is divided by weight. Nobody goes below its minimum.
 */
#ifndef CLI_BALANCE_H
#define CLI_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BALANCE_BLOCK (2ull << 20) /* targets are multiples of it */

#define BALANCE_WEIGHT_MAX 100u
#define BALANCE_BUFFER_MAX 2000u
#define BALANCE_SIZE_MAX   (1ull << 50)

/* Sizes in bytes. */
struct balance_guest {
	/* What was configured: */
	uint64_t minimum,
		maximum; /* minimum <= maximum <= BALANCE_SIZE_MAX, both multiples of BALANCE_BLOCK */
	uint32_t weight; /* to BALANCE_WEIGHT_MAX: how much it matters where there is too little */
	uint32_t
		buffer; /* per cent of its demand that it is to have beyond it; to BALANCE_BUFFER_MAX */
	/* What was read now: */
	bool led;           /* it reports, and follows. If not it keeps what it has */
	bool gives_no_more; /* it was asked for some and kept it */
	uint64_t assigned;  /* what it has */
	uint64_t demand;    /* what it has promised to its programs, and needs itself */
	/* What is remembered between two calls; 0 at the beginning: */
	uint64_t peak;   /* of its demand */
	uint64_t kept;   /* what it had when it gave no more */
	uint64_t target; /* what comes of it, and the last one */
	/* For the call's own use. */
	uint64_t least, goal, room, share;
};

/*
 * One step, to be made each second. `available` is what the root has for its own programs now,
 * `reserve` what it keeps of that: the raises of one step are not more than the difference, so that
 * memory is promised only when it is there.
 */
void balance_step(struct balance_guest *guests, size_t count, uint64_t available, uint64_t reserve);

#endif
