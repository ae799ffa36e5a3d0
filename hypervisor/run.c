/*
 * The loop of an LP: it runs its root VP, a child VP when the root dispatches one, and handles
 * exits in between.
 *
 *   run_root ── vendor_run(root) ◄─ exit ─► run_exit ── intercept_handle ── DispatchVp ── plat_vp_dispatch
 *                                                                                          │
 *                          vendor_run(child) ◄─ exit ─► run_exit, until the root is wanted ┘
 *
 * A guest never misses a change. Before each entry the LP sets lp->guest, and then checks for
 * events of the VP, events of its root VP and a new generation of the map. Whoever posts an event
 * or changes a map does so first and then reads lp->guest; if that is set, an IPI is sent. An IPI
 * that arrives before the entry stays pending while GIF (on VMX: IF) is clear, and causes an exit
 * immediately.
 */
#include "hypervisor/run.h"

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/fpu.h"
#include "hypervisor/home.h"
#include "hypervisor/intercept.h"
#include "hypervisor/lp.h"
#include "hypervisor/machine_check.h"
#include "hypervisor/message.h"
#include "hypervisor/register_page.h"
#include "hypervisor/speculation.h"
#include "hypervisor/vcpu.h"

/* Interrupts whose priority only the TPR holds back; then the processor tells when the guest lowers
 * it. */
static uint8_t tpr_window(const struct vp *vp)
{
	int vector = lapic_highest_irr(vp);
	unsigned int in_service =
		vp->lapic.isr_words ? 31 - (unsigned int)__builtin_clz(vp->lapic.isr_words) : 0;
	unsigned int top = vp->lapic.isr_words
				   ? in_service * 32 + 31 -
					     (unsigned int)__builtin_clz(vp->lapic.isr[in_service])
				   : 0;

	if (vector < 0 || (unsigned int)vector >> 4 <= top >> 4) {
		return 0;
	}
	return (uint8_t)(vector >> 4);
}

/* An exception that the parent raises (HV_REGISTER_PENDING_EVENT0) is the guest's own: it goes
 * first. */
static bool parent_exception_waits(const struct vp *vp)
{
	const union hv_register_value *event = &vp->pending_event0;

	return event->pending_exception_event.event_pending &&
	       event->pending_exception_event.event_type == HV_X64_PENDING_EVENT_EXCEPTION;
}

static void deliver_parent_exception(struct vcpu *vcpu)
{
	union hv_register_value *event = &vcpu->vp->pending_event0;

	if (event->pending_exception_event.vector == EXC_PF) {
		vendor_inject_page_fault(vcpu, event->pending_exception_event.exception_parameter,
					 event->pending_exception_event.error_code);
	} else {
		vendor_inject_exception(vcpu, (uint8_t)event->pending_exception_event.vector,
					event->pending_exception_event.deliver_error_code,
					event->pending_exception_event.error_code);
	}
	event->reg64 = 0;
}

/* An NMI waits for the event before it and for the end of the NMI before it, never for IF. */
static void deliver_nmi(struct vcpu *vcpu)
{
	struct vp *vp = vcpu->vp;

	if (!vendor_event_pending(vcpu) && vendor_can_take_nmi(vcpu)) {
		vendor_inject_nmi(vcpu);
		vp->nmi_pending--;
	}
	if (vp->nmi_pending) {
		vendor_nmi_window(vcpu, true);
	}
}

/* Interrupts without a local APIC: the parent's (HV_REGISTER_PENDING_EVENT0), then the PIC's. */
static void deliver_extint(struct vcpu *vcpu)
{
	struct vp *vp = vcpu->vp;
	bool parent = (vp->pending_event0.reg64 & 1) && !parent_exception_waits(vp);

	if (!parent && !(vp->extint_pending && lapic_accepts_extint(vp))) {
		return;
	}
	if (vendor_event_pending(vcpu) || !vendor_can_take_interrupt(vcpu)) {
		vendor_interrupt_window(vcpu, 15);
		return;
	}
	if (parent) {
		vendor_inject_interrupt(vcpu, vp->pending_event0.pending_ext_int_event.vector);
		vp->pending_event0.reg64 = 0;
	} else {
		vendor_inject_interrupt(vcpu, vp_take_extint(vp));
	}
	if (vp->extint_pending) {
		vendor_interrupt_window(vcpu, 15);
	}
}

static bool machine_check_waits(const struct vcpu *vcpu)
{
	const struct lp *lp = lp_this();

	return lp->machine_check && vcpu == lp->root;
}

/*
 * What waits besides the local APIC, in the order in which the processor would take it; true when
 * the one place for an event is taken. What has to wait asks for a window.
 */
static bool deliver_rare(struct vcpu *vcpu)
{
	struct vp *vp = vcpu->vp;

	if (vp->pending_interruption) {
		vendor_set_pending_interruption(vcpu, vp->pending_interruption);
		vp->pending_interruption = 0;
	}
	if (vendor_event_pending(vcpu)) {
		vendor_interrupt_window(vcpu, 15);
	} else if (machine_check_waits(vcpu)) {
		machine_check_deliver(lp_this());
	} else if (parent_exception_waits(vp)) {
		deliver_parent_exception(vcpu);
	}
	if (vp->nmi_pending) {
		deliver_nmi(vcpu);
	}
	deliver_extint(vcpu);
	if (!vendor_event_pending(vcpu)) {
		return false;
	}
	if (vp->lapic.irr_words) {
		vendor_interrupt_window(vcpu, 15);
	}
	return true;
}

static void deliver_interrupt(struct vcpu *vcpu)
{
	struct vp *vp = vcpu->vp;
	int vector = lapic_pending(vp);

	if (vector < 0) {
		vendor_interrupt_window(vcpu, tpr_window(vp));
	} else if (!vendor_event_pending(vcpu) && vendor_can_take_interrupt(vcpu)) {
		vendor_inject_interrupt(vcpu, (uint8_t)vector);
		lapic_accept(vp, (uint8_t)vector);
		vendor_interrupt_window(vcpu, lapic_pending(vp) < 0 ? tpr_window(vp) : 15);
	} else {
		vendor_interrupt_window(vcpu, (uint8_t)vector >> 4);
	}
}

/*
 * The parent wants to hear when an interrupt or NMI could be taken; true: the message was made. An
 * interrupt that comes from the parent is the PIC's, so it can be taken only while LINT0 is the
 * PIC's pin; until then the parent had better not acknowledge it.
 */
static bool notify_deliverable(struct vcpu *vcpu)
{
	union hv_register_value wish = {.reg64 = vcpu->vp->deliverability_notifications};

	if (wish.deliverability_notifications.nmi_notification && vendor_can_take_nmi(vcpu)) {
		wish.deliverability_notifications.nmi_notification = 0;
		vcpu->vp->deliverability_notifications = wish.reg64;
		message_deliverable(vcpu, HV_X64_PENDING_NMI);
		return true;
	}
	if (wish.deliverability_notifications.nmi_notification) {
		vendor_nmi_window(vcpu, true);
	}
	if (!wish.deliverability_notifications.interrupt_notification ||
	    !lapic_accepts_extint(vcpu->vp)) {
		return false;
	}
	if (!vendor_can_take_interrupt(vcpu) || vendor_event_pending(vcpu) ||
	    vcpu->vp->extint_pending) {
		vendor_interrupt_window(vcpu, 15);
		return false;
	}
	wish.deliverability_notifications.interrupt_notification = 0;
	vcpu->vp->deliverability_notifications = wish.reg64;
	message_deliverable(vcpu, HV_X64_PENDING_INTERRUPT);
	return true;
}

/* vp->rare was set as a hint: events were posted, or registers were written. Is there really
 * something to do? */
static bool rare_waits(const struct vp *vp)
{
	return vp->pending_interruption || (vp->pending_event0.reg64 & 1) || vp->nmi_pending ||
	       vp->extint_pending || vp->deliverability_notifications;
}

static void deliver(struct vcpu *vcpu)
{
	struct vp *vp = vcpu->vp;

	if (__builtin_expect(vcpu->rare, 0)) {
		vcpu->rare = rare_waits(vp) || machine_check_waits(vcpu);
		if (vcpu->rare && deliver_rare(vcpu)) {
			return;
		}
	}
	if (vp->lapic.irr_words) {
		deliver_interrupt(vcpu);
	}
}

/* A halted child can still take an interrupt that its parent wants to send: the parent waits for
 * this message before it does. */
static void notify_halted(struct vcpu *vcpu)
{
	struct vp *vp = vcpu->vp;

	if (vp->deliverability_notifications && vp->activity == VP_HALTED && !vp->suspend) {
		(void)notify_deliverable(vcpu);
	}
}

/* The root has something to do on this LP that cannot wait for the child. */
static bool root_wanted(struct lp *lp)
{
	struct vp *root = lp->root->vp;

	return __atomic_load_n(&root->events, __ATOMIC_RELAXED) || lp->machine_check ||
	       root->nmi_pending || root->extint_pending ||
	       (root->lapic.irr_words && lapic_pending(root) >= 0);
}

/* HLT and wait-for-SIPI of a root VP: its LP sleeps until there is an interrupt of any kind. */
static void sleep(struct lp *lp, struct vcpu *root)
{
	__atomic_store_n(&lp->guest, LP_ASLEEP, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&root->vp->events, __ATOMIC_SEQ_CST)) {
		vp_run_switch(root->vp, NULL);
		vendor_wait_interrupt();
		vp_run_switch(NULL, root->vp);
	}
	lp_guest_left(lp);
}

/* Something was posted that whoever posted it may have thought this LP would still see: for the
 * guest, or for its LP's root. */
static inline bool events_wait(const struct lp *lp, const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->vp->events, __ATOMIC_RELAXED) ||
	       (vcpu != lp->root && __atomic_load_n(&lp->root->vp->events, __ATOMIC_RELAXED));
}

/* True: the guest may be entered, and lp->guest says so. False: leave the run loop; only a child
 * does. */
static bool prepare(struct lp *lp, struct vcpu *vcpu)
{
	struct vp *vp = vcpu->vp;
	uint64_t generation;

	vcpu->on_entry |= vcpu->on_slow_entry;
	for (;;) {
		if (__atomic_load_n(&vp->events, __ATOMIC_RELAXED)) {
			if (vcpu != lp->root && (vp->events & VP_EVENT_RELOAD)) {
				return false;
			}
			vp_process_events(vp);
			vcpu->rare = true;
			if (machine_check_waits(vcpu) && vp->activity == VP_HALTED) {
				vp->activity = VP_ACTIVE;
			}
		}
		/* That the root waits for nothing else was seen before the dispatch, and only
		 * events change it. */
		if (vcpu != lp->root &&
		    __builtin_expect(__atomic_load_n(&lp->root->vp->events, __ATOMIC_RELAXED), 0)) {
			return false;
		}
		if (__builtin_expect(vp->suspend || vp->activity != VP_ACTIVE, 0) &&
		    !vp_runnable(vp)) {
			if (vcpu != lp->root) {
				notify_halted(vcpu);
				return false;
			}
			sleep(lp, vcpu);
			continue;
		}
		deliver(vcpu);
		/* The parent's event may have been a third exception, which stopped the VP. */
		if (__builtin_expect(vcpu->rare, 0) &&
		    (vp->suspend & VP_SUSPEND_INTERCEPT || notify_deliverable(vcpu))) {
			return false;
		}
		__atomic_store_n(&lp->guest, vp->partition, __ATOMIC_SEQ_CST);
		if (__builtin_expect(!events_wait(lp, vcpu), 1)) {
			break;
		}
		lp_guest_left(lp);
	}
	generation = __atomic_load_n(&vcpu->map->generation, __ATOMIC_ACQUIRE);
	if (__builtin_expect(vcpu->tlb_generation != generation, 0)) {
		vcpu->tlb_generation = generation;
		vendor_flush_tlb(vcpu);
	}
	vendor_set_tpr(vcpu, vp->lapic.tpr);
	vendor_prepare(vcpu);
	return true;
}

/* The common case of prepare(): the intercept was answered and nothing else has changed. Undecided
 * when false. */
static inline bool prepare_quickly(struct lp *lp, struct vcpu *vcpu)
{
	struct vp *vp = vcpu->vp;

	if (vp->suspend | (uint32_t)vp->activity | vcpu->rare | vp->lapic.irr_words) {
		return false;
	}
	__atomic_store_n(&lp->guest, vp->partition, __ATOMIC_SEQ_CST);
	if (__builtin_expect(events_wait(lp, vcpu) ||
				     __atomic_load_n(&vcpu->map->generation, __ATOMIC_ACQUIRE) !=
					     vcpu->tlb_generation,
			     0)) {
		lp_guest_left(lp);
		return false;
	}
	vendor_set_tpr(vcpu, vp->lapic.tpr);
	vendor_prepare(vcpu);
	return true;
}

bool run_exit(struct vcpu *vcpu)
{
	struct lp *lp = lp_this();
	struct intercept intercept;
	uint32_t tpr;

	lp_guest_left(lp);
	vendor_decode(vcpu, &intercept);
	tpr = vendor_get_tpr(vcpu);
	if (tpr != vcpu->vp->lapic.tpr) {
		lapic_set_tpr(vcpu->vp, tpr);
	}
	intercept_handle(vcpu, &intercept);
	/* What else there is will be seen to when its parent has answered. */
	if (__atomic_load_n(&vcpu->vp->suspend, __ATOMIC_RELAXED) & VP_SUSPEND_INTERCEPT &&
	    vcpu != lp->root) {
		return false;
	}
	return prepare_quickly(lp, vcpu) || prepare(lp, vcpu);
}

_Noreturn void run_root(void)
{
	struct lp *lp = lp_this();
	struct vcpu *root = lp->root;

	vendor_load(root);
	fpu_begin(lp);
	lp->current = root;
	vp_run_switch(NULL, root->vp);
	prepare(lp, root);
	vendor_run(root);
	CHECK(!"a root VP never leaves its run loop");
	__builtin_unreachable();
}

static void switch_to(struct lp *lp, struct vcpu *to)
{
	struct vcpu *from = lp->current;

	vendor_save(from);
	fpu_switch(lp, from, to);
	lp->current = to;
	vendor_load(to);
}

/* Why the child stopped, as the root's scheduler wants to know it. */
static void result_set(struct vp *vp, struct hv_output_dispatch_vp *out)
{
	uint32_t suspend = __atomic_load_n(&vp->suspend, __ATOMIC_ACQUIRE);

	out->dispatch_state = HV_VP_DISPATCH_STATE_READY;
	out->dispatch_event = HV_VP_DISPATCH_EVENT_INVALID;
	if (suspend & VP_SUSPEND_INTERCEPT) {
		out->dispatch_event = HV_VP_DISPATCH_EVENT_INTERCEPT;
	} else if (suspend) {
		out->dispatch_state = HV_VP_DISPATCH_STATE_BLOCKED;
		out->dispatch_event = HV_VP_DISPATCH_EVENT_SUSPEND;
	} else if (!vp_runnable(vp) && !__atomic_load_n(&vp->events, __ATOMIC_SEQ_CST)) {
		out->dispatch_state = HV_VP_DISPATCH_STATE_BLOCKED;
	} else if (vp->spun) {
		out->dispatch_event = HV_VP_DISPATCH_EVENT_VD_SPIN;
	}
	vp->spun = false;
}

/* What the parent installs is in force from a VP's next dispatch on. */
static void take_exception_intercepts(struct vcpu *vcpu)
{
	uint32_t wanted =
		__atomic_load_n(&vcpu->vp->partition->intercept_exceptions, __ATOMIC_RELAXED);

	if (__builtin_expect(vcpu->exceptions != wanted, 0)) {
		vcpu->exceptions = wanted;
		vendor_set_exception_intercepts(vcpu, wanted);
	}
}

void plat_vp_dispatch(struct vp *vp, uint32_t flags, struct hv_output_dispatch_vp *out)
{
	struct lp *lp = lp_this();
	struct vcpu *vcpu = vp->home;

	register_page_take(vcpu);
	take_exception_intercepts(vcpu);
	if (__atomic_load_n(&lp->root->vp->events, __ATOMIC_RELAXED)) {
		vp_process_events(lp->root->vp);
	}
	if (!root_wanted(lp)) {
		__atomic_store_n(&vcpu->lp, lp, __ATOMIC_SEQ_CST);
		switch_to(lp, vcpu);
		speculation_child_begins(lp, vcpu, flags);
		vcpu->rare = rare_waits(vcpu->vp); /* the root may have set its registers */
		if (prepare_quickly(lp, vcpu) || prepare(lp, vcpu)) {
			vendor_run(vcpu);
		}
		switch_to(lp, lp->root);
		speculation_child_ends(lp, flags);
		__atomic_store_n(&vcpu->lp, NULL, __ATOMIC_SEQ_CST);
	}
	register_page_give(vcpu);
	result_set(vp, out);
}

void plat_vp_kick(struct vp *vp)
{
	struct vcpu *vcpu = vp->home;
	struct lp *lp = __atomic_load_n(&vcpu->lp, __ATOMIC_SEQ_CST);

	if (lp == NULL) {
		vp_signal_scheduler(vp);
	} else if (lp != lp_this() && __atomic_load_n(&lp->guest, __ATOMIC_SEQ_CST) != NULL) {
		apic_kick(lp->apic_id);
	}
}
