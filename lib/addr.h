/*
 * The three address spaces as three types that do not mix. A page number (GPN, SPN) is an address
 * >> 12 in uint64_t, always named so.
 */
#ifndef LIB_ADDR_H
#define LIB_ADDR_H

#include <stdint.h>

#define PAGE_SHIFT       12
#define PAGE_SIZE        4096ull
#define PAGE_MASK        (PAGE_SIZE - 1)
#define LARGE_PAGE_PAGES 512ull

typedef struct {
	uint64_t v;
} gpa_t; /* guest physical */

typedef struct {
	uint64_t v;
} spa_t; /* system physical: what the machine's bus sees */

typedef struct {
	uint64_t v;
} gva_t; /* guest virtual (linear) */

#endif
