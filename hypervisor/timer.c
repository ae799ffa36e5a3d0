/*
 * A VP's deadline is in the queue of the LP that owned the VP when it was set. Beside it an LP has
 * the end of the time slice of the child that it runs.
 *
 * Lock: lp->timer_lock, taken before [S] and never under it; a VP is in a queue iff vcpu->timer_lp
 * names its LP. An expiry posts its event first and takes the VP out of the queue then, all under
 * the lock: so who finds the VP in no queue, or takes it out, knows that no expiry has still to
 * post.
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
	uint64_t deadline = lp->timers != NULL ? lp->timers->deadline : HV_NEVER,
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

static struct vcpu *vcpu_of(struct timer_node *node)
{
	return (struct vcpu *)((uint8_t *)node - offsetof(struct vcpu, timer));
}

static void queue_remove(struct lp *lp, struct vcpu *vcpu)
{
	timer_queue_remove(&lp->timers, &vcpu->timer);
	__atomic_store_n(&vcpu->timer_lp, NULL, __ATOMIC_RELEASE);
}

static void queue_insert(struct lp *lp, struct vcpu *vcpu, uint64_t deadline)
{
	timer_queue_insert(&lp->timers, &vcpu->timer, deadline);
	__atomic_store_n(&vcpu->timer_lp, lp, __ATOMIC_RELEASE);
}

/* Out of whatever queue it is in; waits for an expiry that is under way. */
static void remove_elsewhere(struct vcpu *vcpu)
{
	struct lp *lp;

	while ((lp = __atomic_load_n(&vcpu->timer_lp, __ATOMIC_ACQUIRE))) {
		spin_lock(&lp->timer_lock);
		if (vcpu->timer_lp == lp) {
			queue_remove(lp, vcpu);
		}
		spin_unlock(&lp->timer_lock);
	}
}

void plat_timer_set(struct vp *vp, uint64_t deadline_tsc)
{
	struct vcpu *vcpu = vp->home;
	struct lp *lp = lp_this();

	if (vcpu->timer_lp && vcpu->timer_lp != lp) {
		remove_elsewhere(vcpu);
	}
	if (!vcpu->timer_lp && deadline_tsc == HV_NEVER) {
		return;
	}
	spin_lock(&lp->timer_lock);
	if (vcpu->timer_lp) {
		queue_remove(lp, vcpu);
	}
	if (deadline_tsc != HV_NEVER) {
		queue_insert(lp, vcpu, deadline_tsc);
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
	while (lp->timers != NULL && lp->timers->deadline <= now) {
		struct vcpu *vcpu = vcpu_of(lp->timers);

		vp_post_event(vcpu->vp, VP_EVENT_TIMER);
		queue_remove(lp, vcpu);
	}
	hardware_set(lp, now);
	spin_unlock(&lp->timer_lock);
}
