/*
 * What the fuzzers share: libFuzzer's entry, a check that says what does not hold, and an input
 * that is read byte by byte.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static const uint8_t *fuzz_at, *fuzz_end;
static uint32_t fuzz_noise; /* goes on where the input ends: short inputs make long histories too */

static inline void fuzz_begin(const uint8_t *data, size_t size)
{
	fuzz_at = data;
	fuzz_end = data + size;
	fuzz_noise = 0;
}

static inline bool fuzz_more(void)
{
	return fuzz_at < fuzz_end;
}

static inline uint8_t fuzz_byte(void)
{
	fuzz_noise = fuzz_noise * 1664525u + 1013904223u;
	if (!fuzz_more()) {
		return (uint8_t)(fuzz_noise >> 24);
	}
	fuzz_noise ^= *fuzz_at;
	return *fuzz_at++;
}

#endif
