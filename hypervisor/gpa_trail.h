/*
 * A trail: what a walk of a guest's page tables read on its way, and the page it came to. Whoever
 * wants to go the same way again follows the trail: it ends at the same page as long as each word
 * still has the value that it had.
 */
#ifndef HYPERVISOR_GPA_TRAIL_H
#define HYPERVISOR_GPA_TRAIL_H

#include "tlfs/hv.h"

#define GPA_TRAIL_WORDS 5 /* levels of page tables */
#define GPA_TRAIL_BYTES 16

struct gpa_trail {
	const uint8_t *page; /* NULL: it leads nowhere */
	uint64_t
		removals; /* of translations, of all maps, when it began: more, and what it points at may be another's */
	uint32_t count;
	struct {
		const uint64_t *at;
		uint64_t value;
	} words[GPA_TRAIL_WORDS];
};

void gpa_trail_begin(struct gpa_trail *trail);
/* As plat_gpa_read() of one word, and remembers it. A walk reads at most GPA_TRAIL_WORDS. */
bool gpa_trail_word(struct partition *p, struct gpa_trail *trail, gpa_t gpa,
		    uint64_t *word) MUST_CHECK;
/* As plat_gpa_read(), and the trail ends at that page. */
bool gpa_trail_end(struct partition *p, struct gpa_trail *trail, gpa_t gpa, void *to,
		   uint32_t size) MUST_CHECK;
/* The bytes at that offset of the page, which has them; false: walk. */
bool gpa_trail_follow(const struct gpa_trail *trail, uint32_t offset,
		      uint8_t to[GPA_TRAIL_BYTES]) MUST_CHECK;

#endif
