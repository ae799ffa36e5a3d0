/*
 * Virtual processors: creation, and what keeps one from executing its next instruction.
 *
 *   activity (the owner's)                 suspend (bits, anybody's)
 *
 *     INIT of an AP        SIPI              EXPLICIT   the parent's register; set at creation
 *   ACTIVE -------> WAIT_SIPI ----> ACTIVE   INTERCEPT  vp_intercept(); DispatchVp clears it
 *     |  ^                                   DISPATCH   the parent's register, before it deletes
 *     v  | interrupt (unless masked: in guest idle any),
 *   HALTED  NMI, INIT                        A VP runs when it is ACTIVE and no bit is set.
 *
 * Others talk to a VP by bits in vp->events. vp_post_event() kicks it when a bit is new; the owner
 * takes all bits at once in vp_process_events() before the next entry, so none is lost: a bit that
 * is set after the take finds the VP kicked again. Only RELOAD stays: it is for the loop that
 * would enter the VP, and DispatchVp clears it.
 */
#include "include/hv/stats.h"
#include "tlfs/clock.h"
#include "tlfs/lapic.h"
#include "tlfs/partition.h"
#include "tlfs/synic.h"

_Static_assert(sizeof(struct vp) <= PAGE_SIZE, "struct vp has outgrown its page");

void vp_post_event(struct vp *vp, uint32_t events)
{
	uint32_t old = __atomic_fetch_or(&vp->events, events, __ATOMIC_SEQ_CST);

	if (events & ~old) {
		plat_vp_kick(vp);
	}
}

void vp_post_nmi(struct vp *vp)
{
	__atomic_fetch_add(&vp->nmi_posted, 1, __ATOMIC_SEQ_CST);
	vp_post_event(vp, VP_EVENT_NMI);
}

void vp_post_extint(struct vp *vp, uint8_t vector)
{
	__atomic_fetch_or(&vp->extint[vector / 32], 1u << vector % 32, __ATOMIC_SEQ_CST);
	vp_post_event(vp, VP_EVENT_EXTINT);
}

static bool has_extint(const struct vp *vp)
{
	uint32_t any = 0;

	for (uint32_t i = 0; i < ARRAY_COUNT(vp->extint); i++) {
		any |= __atomic_load_n(&vp->extint[i], __ATOMIC_SEQ_CST);
	}
	return any;
}

/*
 * A PIC gives a second one before the first is taken only when it has priority: within one PIC the
 * lower vector.
 */
uint8_t vp_take_extint(struct vp *vp)
{
	for (uint32_t i = 0; i < ARRAY_COUNT(vp->extint); i++) {
		uint32_t word = __atomic_load_n(&vp->extint[i], __ATOMIC_RELAXED);

		if (!word) {
			continue;
		}
		__atomic_fetch_and(&vp->extint[i], ~(word & -word), __ATOMIC_SEQ_CST);
		vp->extint_pending = has_extint(vp);
		return (uint8_t)(i * 32 + (uint32_t)__builtin_ctz(word));
	}
	CHECK(!"extint_pending without a vector");
	return 0;
}

void vp_drop_extints(struct vp *vp)
{
	for (uint32_t i = 0; i < ARRAY_COUNT(vp->extint); i++) {
		__atomic_store_n(&vp->extint[i], 0, __ATOMIC_SEQ_CST);
	}
	vp->extint_pending = false;
}

void vp_rearm_timer(struct vp *vp)
{
	uint64_t deadline = vp->lapic.timer_deadline_tsc, first = HV_NEVER;

	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++) {
		if (vp->stimers[i].next_100ns < first && !vp->stimers[i].message_pending) {
			first = vp->stimers[i].next_100ns;
		}
	}
	if (first != HV_NEVER) {
		first = refclock_to_tsc(vp->partition, first);
		if (first < deadline) {
			deadline = first;
		}
	}
	plat_timer_set(vp, deadline);
}

/*
 * INIT (Intel SDM vol. 3, "MP Initialization Protocol"): the bootstrap processor starts again,
 * others wait for a SIPI.
 */
static void process_init(struct vp *vp)
{
	lapic_init(vp);
	plat_vp_reset(vp);
	vp->nmi_pending = 0;
	__atomic_store_n(&vp->nmi_posted, 0, __ATOMIC_SEQ_CST);
	vp_drop_extints(vp);
	vp->pending_interruption = 0;
	vp->activity = vp->lapic.base & LAPIC_BASE_BSP ? VP_ACTIVE : VP_WAIT_SIPI;
}

/* A SIPI to a processor that does not wait for one is ignored. */
static void process_sipi(struct vp *vp)
{
	if (vp->activity != VP_WAIT_SIPI) {
		return;
	}
	plat_vp_startup(vp, __atomic_load_n(&vp->sipi_vector, __ATOMIC_RELAXED));
	vp->activity = VP_ACTIVE;
}

/*
 * A processor takes one NMI and keeps one more until the IRET (Intel SDM vol. 3, "Handling Multiple
 * NMIs"). Those that came before the VP was looked at would have been the two; while one is being
 * handled, only the other is left to wait.
 */
static void process_nmi(struct vp *vp)
{
	uint32_t most = plat_nmi_masked(vp) ? 1 : 2;
	uint32_t count =
		vp->nmi_pending + __atomic_exchange_n(&vp->nmi_posted, 0, __ATOMIC_SEQ_CST);

	vp->nmi_pending = (uint8_t)(count < most ? count : most);
}

static void process_timer(struct vp *vp)
{
	uint64_t now = plat_tsc();

	lapic_timer_expired(vp, now);
	stimer_expire(vp, refclock_now(vp->partition));
	vp_rearm_timer(vp);
}

/*
 * DELIVERABILITY_NOTIFICATIONS with SINTs: one intercept when a message would fit in any of them.
 */
static void check_deliverable_sints(struct vp *vp)
{
	union hv_deliverability_notifications_register wanted = {
		.as_uint64 = vp->deliverability_notifications};
	struct hv_x64_sint_deliverable_message *message = (void *)vp->intercept_page->u.payload;
	uint16_t sints = wanted.sints ? synic_free_sints(vp, wanted.sints) : 0;

	if (!sints || __atomic_load_n(&vp->suspend, __ATOMIC_RELAXED) & VP_SUSPEND_INTERCEPT) {
		return;
	}
	memset(vp->intercept_page, 0, sizeof(*vp->intercept_page));
	vp->intercept_page->header.message_type = HVMSG_SYNIC_SINT_DELIVERABLE;
	vp->intercept_page->header.payload_size = sizeof(*message);
	vp->intercept_page->header.sender = vp->partition->id;
	plat_intercept_header(vp, HV_INTERCEPT_ACCESS_READ, &message->header);
	message->deliverable_sints = sints;
	wanted.sints &= ~sints;
	vp->deliverability_notifications = wanted.as_uint64;
	vp_intercept(vp);
}

/* What its parent has set as its next event: an interrupt, or an exception, which nothing masks. */
static bool parent_event_wakes(const struct vp *vp)
{
	const union hv_register_value *event = &vp->pending_event0;

	return event->pending_exception_event.event_pending &&
	       (!vp->halt_masked ||
		event->pending_exception_event.event_type == HV_X64_PENDING_EVENT_EXCEPTION);
}

/*
 * HLT ends by what can be taken. Guest idle ends by whatever is requested (TLFS, "Virtual Processor
 * Idle Sleep State"): who waits so in an interrupt's handler, with IF clear, is woken by one of the
 * same class.
 */
static bool interrupt_wakes(const struct vp *vp)
{
	return (vp->extint_pending && lapic_accepts_extint(vp)) || lapic_pending(vp) >= 0 ||
	       (vp->idle && vp->lapic.irr_words);
}

static void wake(struct vp *vp)
{
	if (vp->activity != VP_HALTED) {
		return;
	}
	if (vp->nmi_pending || parent_event_wakes(vp) ||
	    (!vp->halt_masked && interrupt_wakes(vp))) {
		vp->activity = VP_ACTIVE;
	}
}

void vp_take_startup(struct vp *vp)
{
	const uint32_t startup = VP_EVENT_INIT | VP_EVENT_SIPI;
	uint32_t events = __atomic_fetch_and(&vp->events, ~startup, __ATOMIC_SEQ_CST);

	if (events & VP_EVENT_INIT) {
		process_init(vp);
	}
	if (events & VP_EVENT_SIPI) {
		process_sipi(vp);
	}
}

void vp_process_events(struct vp *vp)
{
	uint32_t events = __atomic_fetch_and(&vp->events, VP_EVENT_RELOAD, __ATOMIC_SEQ_CST);

	if (events & VP_EVENT_INIT) {
		process_init(vp);
	}
	if (events & VP_EVENT_SIPI) {
		process_sipi(vp);
	}
	if (events & VP_EVENT_INTERRUPT) {
		lapic_fold(vp);
	}
	if (events & VP_EVENT_TIMER) {
		process_timer(vp);
	}
	if (events & VP_EVENT_SYNIC) {
		synic_flush_queue(vp);
	}
	if (events & VP_EVENT_TLB) {
		plat_tlb_flush(vp);
	}
	if (events & VP_EVENT_NMI) {
		process_nmi(vp);
	}
	if (events & VP_EVENT_EXTINT) {
		vp->extint_pending = has_extint(vp);
	}
	if (vp->deliverability_notifications) {
		check_deliverable_sints(vp);
	}
	/*
	 * Timers and messages post their interrupts as others do: taken now, without another round.
	 */
	if (__atomic_load_n(&vp->events, __ATOMIC_RELAXED) & VP_EVENT_INTERRUPT) {
		__atomic_fetch_and(&vp->events, ~(uint32_t)VP_EVENT_INTERRUPT, __ATOMIC_SEQ_CST);
		lapic_fold(vp);
	}
	wake(vp);
}

bool vp_runnable(struct vp *vp)
{
	if (__atomic_load_n(&vp->suspend, __ATOMIC_ACQUIRE)) {
		return false;
	}
	wake(vp);
	return vp->activity == VP_ACTIVE;
}

static void halt(struct vp *vp, bool masked, bool idle)
{
	vp->halt_masked = masked;
	vp->idle = idle;
	vp->activity = VP_HALTED;
	wake(vp);
}

void vp_halt(struct vp *vp, bool interrupts_wake)
{
	halt(vp, !interrupts_wake, false);
}

void vp_idle(struct vp *vp)
{
	halt(vp, false, true);
}

void vp_end_turn(struct vp *vp)
{
	if (vp->partition->parent != NULL) {
		vp->spun = true;
		vp_post_event(vp, VP_EVENT_RELOAD);
	}
}

void vp_intercept(struct vp *vp)
{
	__atomic_fetch_or(&vp->suspend, VP_SUSPEND_INTERCEPT, __ATOMIC_SEQ_CST);
}

uint64_t vp_run_time(const struct vp *vp)
{
	uint64_t cycles = vp->runtime_tsc;

	if (vp->running_since) {
		cycles += plat_tsc() - vp->running_since;
	}
	return clock_scale(cycles, vp->partition->reference_scale);
}

void vp_run_switch(struct vp *from, struct vp *to)
{
	uint64_t now = plat_tsc();

	if (from != NULL && from->running_since) {
		__atomic_store_n(&from->runtime_tsc,
				 from->runtime_tsc + (now - from->running_since), __ATOMIC_RELAXED);
		from->running_since = 0;
		from->stats_page[HV_STATS_VP_TOTAL_RUN_TIME] = vp_run_time(from);
	}
	if (to != NULL) {
		to->running_since = now;
	}
}

static bool create_pages(struct vp *vp)
{
	struct partition *p = vp->partition;

	vp->hypercall_input = plat_page_alloc(p);
	vp->hypercall_output = plat_page_alloc(p);
	vp->vp_assist_page = plat_page_alloc(p);
	vp->intercept_page = plat_page_alloc(p);
	vp->register_page = plat_page_alloc(p);
	vp->stats_page = plat_page_alloc(p);
	return vp->hypercall_input != NULL && vp->hypercall_output != NULL &&
	       vp->vp_assist_page != NULL && vp->intercept_page != NULL &&
	       vp->register_page != NULL && vp->stats_page != NULL;
}

static void destroy_pages(struct vp *vp)
{
	void *pages[] = {vp->hypercall_input, vp->hypercall_output, vp->vp_assist_page,
			 vp->intercept_page,  vp->register_page,    vp->stats_page};

	for (uint32_t i = 0; i < ARRAY_COUNT(pages); i++) {
		if (pages[i] != NULL) {
			plat_page_free(vp->partition, pages[i]);
		}
	}
}

static void vp_init(struct vp *vp, struct partition *p, uint32_t index, uint32_t apic_id)
{
	vp->partition = p;
	vp->index = index;
	vp->apic_id = apic_id;
	vp->tsc_offset = p->tsc_offset;
	vp->intercept_page_gpn = vp->register_page_gpn = HV_NEVER;
	vp->stats_gpn[HV_STATS_AREA_SELF] = vp->stats_gpn[HV_STATS_AREA_PARENT] = HV_NEVER;
	vp->suspend = p->parent != NULL ? VP_SUSPEND_EXPLICIT : 0;
	vp->activity = index ? VP_WAIT_SIPI : VP_ACTIVE;
}

/* The BSP flag of APIC_BASE goes to VP 0. */
hv_status_t vp_create(struct partition *p, uint32_t index, uint32_t apic_id)
{
	struct vp *vp = plat_page_alloc(p);
	hv_status_t status = HV_STATUS_INSUFFICIENT_MEMORY;

	if (vp == NULL) {
		return status;
	}
	vp_init(vp, p, index, apic_id);
	if (!create_pages(vp)) {
		goto out_pages;
	}
	status = synic_create(vp);
	if (status != HV_STATUS_SUCCESS) {
		goto out_pages;
	}
	status = plat_vp_create(vp);
	if (status != HV_STATUS_SUCCESS) {
		goto out_synic;
	}
	lapic_create(vp, p->parent == NULL);
	synic_reset(vp);
	stimer_reset(vp);
	if (p->parent == NULL) {
		spin_lock(&vp->lock); /* for its LP, for ever */
	}
	p->vp_count++;
	p->stats_page[HV_STATS_PT_VIRTUAL_PROCESSORS] = p->vp_count;
	__atomic_store_n(&p->vps[index], vp, __ATOMIC_RELEASE);
	return HV_STATUS_SUCCESS;
out_synic:
	synic_destroy(vp);
out_pages:
	destroy_pages(vp);
	plat_page_free(p, vp);
	return status;
}

void vp_destroy(struct vp *vp)
{
	/* First, so that no expiry puts it into a queue of notify.c again. */
	plat_timer_set(vp, HV_NEVER);
	notify_forget(vp);
	stats_forget_vp(vp);
	state_pages_forget(vp);
	plat_vp_destroy(vp);
	synic_destroy(vp);
	/* A move to nowhere cannot fail. */
	CHECK(overlay_move(vp->partition, vp->vp_assist, 0, vp->vp_assist_page) ==
	      HV_STATUS_SUCCESS);
	destroy_pages(vp);
	plat_page_free(vp->partition, vp);
}
