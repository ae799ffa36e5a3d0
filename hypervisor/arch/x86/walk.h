/*
 * A walk of a guest's own page tables in software, in all paging modes (APM vol. 2, chapter 5).
 */
#ifndef ARCH_WALK_H
#define ARCH_WALK_H

#include "include/hv/memory.h"
#include "tlfs/hv.h"

struct gpa_trail;
struct vcpu;

enum walk_access {
	WALK_READ = 0,
	WALK_WRITE = 1u << 0,
	WALK_USER = 1u << 1,
	WALK_FETCH = 1u << 2,
	WALK_SET_BITS = 1u << 3, /* accessed and, for a write, dirty */
};

/*
 * Returns a HV_TRANSLATE_GVA_* code; on HV_TRANSLATE_GVA_SUCCESS *gpa is the address. *error gets
 * the page-fault error code otherwise.
 */
uint32_t walk_gva(struct vcpu *vcpu, gva_t gva, uint32_t access, gpa_t *gpa, uint32_t *error);
/*
 * The same for fetching code, and leaves a trail; false where walk_gva() fails, and for page tables
 * of 4-byte entries, which leave none.
 */
bool walk_code(struct vcpu *vcpu, gva_t gva, gpa_t *gpa, struct gpa_trail *trail);

#endif
