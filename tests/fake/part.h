/*
 * How much a test tries of what it does at each place of many: each cut, each byte that is damaged.
 * `make check` has a minute and tries one place of so many (TEST_PART, tools/check.mk), `make test`
 * more of them; `make soak`, and a test by itself, tries all.
 */
#ifndef TESTS_FAKE_PART_H
#define TESTS_FAKE_PART_H

#include <stddef.h>
#include <stdlib.h>

static inline size_t test_part(void)
{
	const char *word = getenv("TEST_PART");
	size_t part = word != NULL ? strtoul(word, NULL, 10) : 1;

	return part != 0 ? part : 1;
}

/* The place to try after this one; the last is always tried, and behind it is the end. */
static inline size_t next_place(size_t at, size_t last)
{
	size_t next = at + test_part();

	return next > last && at < last ? last : next;
}

#endif
