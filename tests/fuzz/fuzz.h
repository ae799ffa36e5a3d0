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
#include <string.h>

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

/* Below 1 << 31, as random() has them. */
static inline uint32_t fuzz_number(void)
{
	uint32_t low = fuzz_byte();

	low |= (uint32_t)fuzz_byte() << 8;
	return low | (uint32_t)fuzz_byte() << 16 | (uint32_t)(fuzz_byte() & 0x7f) << 24;
}

/*
 * A text that the input stands for: bytes from 0x80 on are words of a list, so that many inputs get
 * further than a parser. How long.
 */
static inline size_t fuzz_expand(const uint8_t *data, size_t size, const char *const *words,
				 size_t word_count, char *text, size_t room)
{
	size_t length = 0, part;

	for (size_t i = 0; i < size; i++) {
		const char *from =
			data[i] < 0x80 ? (const char *)&data[i] : words[data[i] % word_count];

		part = data[i] < 0x80 ? 1 : strlen(from);
		if (part > room - length) {
			break;
		}
		memcpy(text + length, from, part);
		length += part;
	}
	return length;
}

#endif
