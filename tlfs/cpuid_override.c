/*
 * The parent's answers to CPUID (HvCallRegisterInterceptResult): for a leaf, or one subleaf of it,
 * of one VP or all, the bits of the mask are replaced. Looked up on every CPUID of a child, so they
 * hang in chains by leaf; readers take no lock.
 *
 * Invariants: an entry that hangs in a chain stays there and keeps its key until the partition
 * goes; one that was taken back (UnregisterInterceptResult) only is not valid, until it is given
 * anew. Its answer may be replaced: version is odd meanwhile, and a reader whose version changed
 * reads again.
 */
#include "tlfs/cpuid.h"

#define CHAIN_COUNT 64

struct entry {
	struct entry *next;
	uint32_t vp_index, leaf, subleaf;
	bool subleaf_specific, always, valid;
	uint32_t version;
	uint32_t value[4], mask[4];
};

struct cpuid_override { /* a page; the first one's chains are in use */
	struct cpuid_override *next_page;
	struct entry *chains[CHAIN_COUNT];
	uint32_t count;
	struct entry entries[];
};

#define ENTRIES_A_PAGE ((PAGE_SIZE - sizeof(struct cpuid_override)) / sizeof(struct entry))

static unsigned int chain_of(uint32_t leaf)
{
	return (leaf ^ leaf >> 25) % CHAIN_COUNT; /* 0x4…, 0x8… apart from 0… */
}

static struct entry *new_entry(struct partition *p)
{
	struct cpuid_override *page = p->cpuid_overrides;

	while (page != NULL && page->count == ENTRIES_A_PAGE && page->next_page != NULL) {
		page = page->next_page;
	}
	if (page == NULL || page->count == ENTRIES_A_PAGE) {
		struct cpuid_override *fresh = plat_page_alloc(p);

		if (fresh == NULL) {
			return NULL;
		}
		if (page != NULL) {
			page->next_page = fresh;
		} else {
			__atomic_store_n(&p->cpuid_overrides, fresh, __ATOMIC_RELEASE);
		}
		page = fresh;
	}
	return &page->entries[page->count++];
}

static struct entry *find(struct partition *p, uint32_t vp_index, uint32_t leaf, uint32_t subleaf,
			  bool specific)
{
	struct entry *e =
		p->cpuid_overrides != NULL ? p->cpuid_overrides->chains[chain_of(leaf)] : NULL;

	while (e != NULL &&
	       (e->leaf != leaf || e->vp_index != vp_index || e->subleaf_specific != specific ||
		(specific && e->subleaf != subleaf))) {
		e = e->next;
	}
	return e;
}

static void set_answer(struct entry *e,
		       const struct hv_register_x64_cpuid_result_parameters *result)
{
	const uint32_t value[4] = {result->result.eax, result->result.ebx, result->result.ecx,
				   result->result.edx};
	const uint32_t mask[4] = {result->result.eax_mask, result->result.ebx_mask,
				  result->result.ecx_mask, result->result.edx_mask};

	__atomic_fetch_add(&e->version, 1, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < 4; i++) {
		__atomic_store_n(&e->value[i], value[i], __ATOMIC_RELAXED);
		__atomic_store_n(&e->mask[i], mask[i], __ATOMIC_RELAXED);
	}
	__atomic_store_n(&e->always, result->input.always_override != 0, __ATOMIC_RELAXED);
	__atomic_fetch_add(&e->version, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&e->valid, true, __ATOMIC_RELEASE);
}

hv_status_t cpuid_override_add(struct partition *p, uint32_t vp_index,
			       const struct hv_register_x64_cpuid_result_parameters *result)
{
	bool specific = result->input.subleaf_specific != 0;
	struct entry *e = find(p, vp_index, result->input.eax, result->input.ecx, specific),
		     **chain;

	if (e != NULL) {
		set_answer(e, result);
		return HV_STATUS_SUCCESS;
	}
	e = new_entry(p);
	if (e == NULL) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	e->vp_index = vp_index;
	e->leaf = result->input.eax;
	e->subleaf = result->input.ecx;
	e->subleaf_specific = specific;
	set_answer(e, result);
	chain = &p->cpuid_overrides->chains[chain_of(e->leaf)];
	e->next = *chain;
	__atomic_store_n(chain, e, __ATOMIC_SEQ_CST);
	return HV_STATUS_SUCCESS;
}

hv_status_t cpuid_override_remove(struct partition *p, uint32_t vp_index,
				  const struct hv_unregister_x64_cpuid_result_parameters *what)
{
	struct entry *e = find(p, vp_index, what->eax, what->ecx, what->subleaf_specific != 0);

	if (e == NULL || !e->valid) {
		return HV_STATUS_NOT_FOUND;
	}
	__atomic_store_n(&e->valid, false, __ATOMIC_SEQ_CST);
	return HV_STATUS_SUCCESS;
}

void cpuid_override_destroy(struct partition *p)
{
	struct cpuid_override *page = p->cpuid_overrides;

	p->cpuid_overrides = NULL;
	while (page != NULL) {
		struct cpuid_override *next = page->next_page;

		plat_page_free(p, page);
		page = next;
	}
}

static void lay_over(const struct entry *e, uint32_t out[4], bool *always)
{
	uint32_t version, result[4];

	do {
		version = __atomic_load_n(&e->version, __ATOMIC_ACQUIRE);
		for (unsigned int i = 0; i < 4; i++) {
			uint32_t mask = __atomic_load_n(&e->mask[i], __ATOMIC_RELAXED);

			result[i] = (out[i] & ~mask) |
				    (__atomic_load_n(&e->value[i], __ATOMIC_RELAXED) & mask);
		}
		*always = __atomic_load_n(&e->always, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while ((version & 1) || version != __atomic_load_n(&e->version, __ATOMIC_RELAXED));
	memcpy(out, result, sizeof(result));
}

/* The closest key wins: this VP before any, this subleaf before all. */
bool cpuid_override_apply(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4],
			  bool *always)
{
	const struct cpuid_override *first =
		__atomic_load_n(&vp->partition->cpuid_overrides, __ATOMIC_ACQUIRE);
	const struct entry *best = NULL;
	unsigned int best_rank = 0;

	if (first == NULL) {
		return false;
	}
	for (const struct entry *e =
		     __atomic_load_n(&first->chains[chain_of(leaf)], __ATOMIC_ACQUIRE);
	     e != NULL; e = e->next) {
		unsigned int rank = 1 + (e->vp_index == vp->index ? 2 : 0) + e->subleaf_specific;

		if (e->leaf != leaf || (e->vp_index != vp->index && e->vp_index != HV_ANY_VP) ||
		    (e->subleaf_specific && e->subleaf != subleaf) || rank <= best_rank ||
		    !__atomic_load_n(&e->valid, __ATOMIC_RELAXED)) {
			continue;
		}
		best = e;
		best_rank = rank;
	}
	if (best != NULL) {
		lay_over(best, out, always);
	}
	return best != NULL;
}
