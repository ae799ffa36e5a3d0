/*
 * A VP's deadline is in the list of the LP that owned the VP when it was set. Lists are short: a root VP and the children that
 * last ran here and wait for a time. Beside it an LP has the end of the time slice of the child that it runs.
 *
 * Lock: lp->timer_lock, taken before [S] and never under it; a VP is in a list iff vcpu->timer_lp names its LP.
 */
#include "hypervisor/timer.h"

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/lp.h"
#include "hypervisor/vcpu.h"
#include "tlfs/hv.h"

/* [L] When the child that an LP runs has had its time; 0: it has no limit. */
static uint64_t slice_end[HANDOFF_MAX_LPS];

/* Own LP, timer_lock held. Does nothing when the hardware is already set to the first deadline. */
static void hardware_set(struct lp *lp, uint64_t now)
{
	uint64_t deadline = lp->timers ? lp->timers->timer_deadline : HV_NEVER,
		 slice = slice_end[lp->index];

	if (slice && slice < deadline) {
		deadline = slice;
	}
	if (deadline == lp->hardware_deadline) {
		return;
	}
	lp->hardware_deadline = deadline;
	if (deadline == HV_NEVER) {
		apic_timer_stop();
	} else {
		apic_timer_start(deadline > now ? deadline - now : 0);
	}
}

static void list_remove(struct lp *lp, struct vcpu *vcpu)
{
	struct vcpu **at = &lp->timers;

	while (*at != vcpu) {
		at = &(*at)->timer_next;
	}
	*at = vcpu->timer_next;
	__atomic_store_n(&vcpu->timer_lp, NULL, __ATOMIC_RELEASE);
}

static void list_insert(struct lp *lp, struct vcpu *vcpu, uint64_t deadline)
{
	struct vcpu **at = &lp->timers;

	while (*at && (*at)->timer_deadline <= deadline) {
		at = &(*at)->timer_next;
	}
	vcpu->timer_deadline = deadline;
	vcpu->timer_next = *at;
	*at = vcpu;
	__atomic_store_n(&vcpu->timer_lp, lp, __ATOMIC_RELEASE);
}

void timer_remove(struct vcpu *vcpu)
{
	struct lp *lp;

	while ((lp = __atomic_load_n(&vcpu->timer_lp, __ATOMIC_ACQUIRE))) {
		spin_lock(&lp->timer_lock);
		if (vcpu->timer_lp == lp) {
			list_remove(lp, vcpu);
		}
		spin_unlock(&lp->timer_lock);
	}
}

void plat_timer_set(struct vp *vp, uint64_t deadline_tsc)
{
	struct vcpu *vcpu = vp->home;
	struct lp *lp = lp_this();

	if (vcpu->timer_lp && vcpu->timer_lp != lp) {
		timer_remove(vcpu);
	}
	if (!vcpu->timer_lp && deadline_tsc == HV_NEVER) {
		return;
	}
	spin_lock(&lp->timer_lock);
	if (vcpu->timer_lp) {
		list_remove(lp, vcpu);
	}
	if (deadline_tsc != HV_NEVER) {
		list_insert(lp, vcpu, deadline_tsc);
	}
	hardware_set(lp, rdtsc());
	spin_unlock(&lp->timer_lock);
}

void plat_slice_set(uint64_t end_tsc)
{
	struct lp *lp = lp_this();

	slice_end[lp->index] = end_tsc;
	spin_lock(&lp->timer_lock);
	hardware_set(lp, rdtsc());
	spin_unlock(&lp->timer_lock);
}

static void slice_check(struct lp *lp, uint64_t now)
{
	if (!slice_end[lp->index] || slice_end[lp->index] > now) {
		return;
	}
	slice_end[lp->index] = 0;
	if (lp->current != lp->root) {
		vp_post_event(lp->current->vp, VP_EVENT_RELOAD);
	}
}

void timer_expired(struct lp *lp)
{
	uint64_t now = rdtsc();

	slice_check(lp, now);
	spin_lock(&lp->timer_lock);
	lp->hardware_deadline = HV_NEVER;
	while (lp->timers && lp->timers->timer_deadline <= now) {
		struct vcpu *vcpu = lp->timers;

		list_remove(lp, vcpu);
		vp_post_event(vcpu->vp, VP_EVENT_TIMER);
	}
	hardware_set(lp, now);
	spin_unlock(&lp->timer_lock);
}
