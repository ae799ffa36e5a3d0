/*
 * Runs one instruction on the processor that runs the test, with all general registers and the
 * flags given, to compare what we make of it with what it is.
 */
#ifndef FAKE_NATIVE_H
#define FAKE_NATIVE_H

#include <stdint.h>

struct native {
	uint64_t gpr[16]; /* in the processor's order; RSP too */
	uint64_t rflags;
	uint64_t xmm0[2];
	uint64_t mm0;
};

/* `code` must not jump, nor touch memory that is not the test's. */
void native_run(struct native *state, const uint8_t *code, unsigned int length);

#endif
