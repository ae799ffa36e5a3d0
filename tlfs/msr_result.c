/*
 * The parent's standing answers for MSRs that neither the core nor the home has
 * (HvCallRegisterInterceptResult): by VP or for all, for reads and writes apart, a fault, or zero
 * and nothing. They spare the intercept.
 *
 * One page of them a partition, so that a look through all is short. [P] held by all functions.
 */
#include "tlfs/msr.h"

struct answer {
	uint32_t vp_index, msr;
	uint32_t access; /* HV_INTERCEPT_ACCESS_MASK_*: for which there is one; never 0 */
	uint32_t zero;   /* of these, those that are no fault */
};

struct msr_results {
	uint32_t count;
	uint32_t padding[3];
	struct answer answers[];
};

#define ANSWERS_A_PAGE ((PAGE_SIZE - sizeof(struct msr_results)) / sizeof(struct answer))

static struct answer *find(struct msr_results *results, uint32_t vp_index, uint32_t msr)
{
	for (uint32_t i = 0; results != NULL && i < results->count; i++) {
		if (results->answers[i].msr == msr && results->answers[i].vp_index == vp_index) {
			return &results->answers[i];
		}
	}
	return NULL;
}

static bool access_valid(uint32_t access)
{
	const uint32_t both = HV_INTERCEPT_ACCESS_MASK_READ | HV_INTERCEPT_ACCESS_MASK_WRITE;

	return access && !(access & ~both);
}

hv_status_t msr_result_add(struct partition *p, uint32_t vp_index,
			   const struct hv_register_x64_msr_result_parameters *result)
{
	const bool zero = result->action == HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO;
	struct answer *answer = find(p->msr_results, vp_index, result->msr_index);

	if (!access_valid(result->access_type) ||
	    (!zero && result->action != HV_UNIMPLEMENTED_MSR_ACTION_FAULT)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (p->msr_results == NULL) {
		__atomic_store_n(&p->msr_results, plat_page_alloc(p), __ATOMIC_RELEASE);
		if (p->msr_results == NULL) {
			return HV_STATUS_INSUFFICIENT_MEMORY;
		}
	}
	if (answer == NULL) {
		if (p->msr_results->count == ANSWERS_A_PAGE) {
			return HV_STATUS_NO_RESOURCES;
		}
		answer = &p->msr_results->answers[p->msr_results->count++];
		*answer = (struct answer){.vp_index = vp_index, .msr = result->msr_index};
	}
	answer->access |= result->access_type;
	answer->zero &= ~result->access_type;
	answer->zero |= zero ? result->access_type : 0;
	return HV_STATUS_SUCCESS;
}

hv_status_t msr_result_remove(struct partition *p, uint32_t vp_index,
			      const struct hv_unregister_x64_msr_result_parameters *what)
{
	struct answer *answer = find(p->msr_results, vp_index, what->msr_index);

	if (!access_valid(what->access_type)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (answer == NULL || what->access_type & ~answer->access) {
		return HV_STATUS_NOT_FOUND;
	}
	answer->access &= ~what->access_type;
	if (!answer->access) {
		*answer = p->msr_results->answers[--p->msr_results->count];
	}
	return HV_STATUS_SUCCESS;
}

bool msr_result_find(const struct vp *vp, uint32_t msr, uint32_t access, enum access_result *result)
{
	struct msr_results *results = vp->partition->msr_results;
	const struct answer *answer = find(results, vp->index, msr);

	if (answer == NULL || !(answer->access & access)) {
		answer = find(results, HV_ANY_VP, msr);
	}
	if (answer == NULL || !(answer->access & access)) {
		return false;
	}
	*result = answer->zero & access ? ACCESS_OK : ACCESS_FAULT;
	return true;
}

void msr_result_destroy(struct partition *p)
{
	if (p->msr_results != NULL) {
		plat_page_free(p, p->msr_results);
	}
	p->msr_results = NULL;
}
