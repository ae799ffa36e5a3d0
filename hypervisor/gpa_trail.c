#include "hypervisor/gpa_trail.h"

#include "hypervisor/gpa.h"
#include "hypervisor/gpa_table.h"
#include "hypervisor/memory.h"
#include "lib/check.h"
#include "tlfs/plat.h"

void gpa_trail_begin(struct gpa_trail *trail)
{
	trail->page = NULL;
	trail->count = 0;
	trail->removals = __atomic_load_n(&gpa_removals, __ATOMIC_ACQUIRE);
}

bool gpa_trail_word(struct partition *p, struct gpa_trail *trail, gpa_t gpa, uint64_t *word)
{
	const uint64_t *at;

	CHECK(trail->count < GPA_TRAIL_WORDS);
	at = gpa_read(p, gpa, word, sizeof(*word));
	trail->words[trail->count].at = at;
	trail->words[trail->count++].value = *word;
	return at != NULL;
}

bool gpa_trail_end(struct partition *p, struct gpa_trail *trail, gpa_t gpa, void *to, uint32_t size)
{
	const uint8_t *at = gpa_read(p, gpa, to, size);

	if (at != NULL) {
		trail->page = at - (gpa.v & PAGE_MASK);
	}
	return at != NULL;
}

/* While the lock is held no translation is removed, so none of these pages can be given to another
 * owner. */
bool gpa_trail_follow(const struct gpa_trail *trail, uint32_t offset, uint8_t to[GPA_TRAIL_BYTES])
{
	bool same = false;

	CHECK(offset <= PAGE_SIZE - GPA_TRAIL_BYTES);
	if (trail->page == NULL) {
		return false;
	}
	memory_lock_shared();
	if (trail->removals == gpa_removals) {
		same = true;
		for (uint32_t i = 0; i < trail->count; i++) {
			same &= __atomic_load_n(trail->words[i].at, __ATOMIC_RELAXED) ==
				trail->words[i].value;
		}
		if (same) {
			__builtin_memcpy(to, trail->page + offset, GPA_TRAIL_BYTES);
		}
	}
	memory_unlock_shared();
	return same;
}
