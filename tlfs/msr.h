/*
 * What the files of the MSRs share: msr.c (dispatch), msr_hv.c (synthetic ones), msr_child.c (what
 * a child's processor keeps), msr_result.c (the parent's standing answers).
 */
#ifndef TLFS_MSR_H
#define TLFS_MSR_H

#include "tlfs/hv.h"
#include "tlfs/lapic.h"

enum access_result msr_hv_read(struct vp *vp, uint32_t msr, uint64_t *value);
enum access_result msr_hv_write(struct vp *vp, uint32_t msr, uint64_t value);

/* msr.c: another TSC; the TSC page, a deadline and the home follow. [P] is not held. */
void tsc_set_offset(struct vp *vp, uint64_t offset);

/* false: not one of these. */
bool msr_child_read(const struct vp *vp, uint32_t msr, uint64_t *value);
bool msr_child_write(struct vp *vp, uint32_t msr, uint64_t value, enum access_result *result);

/*
 * msr_result.c; access: HV_INTERCEPT_ACCESS_MASK_READ or _WRITE. false: the parent left no answer.
 * [P] held.
 */
bool msr_result_find(const struct vp *vp, uint32_t msr, uint32_t access,
		     enum access_result *result);

#endif
