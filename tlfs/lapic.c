/*
 * The local APIC of a VP: the way of an interrupt from the IRR to its EOI, and the state after
 * power-on and INIT.
 *
 * Invariants:
 *  1. irr_words and isr_words have bit n set exactly when word n of irr or isr is not 0.
 *  2. No bit below 16 is ever set in irr or isr: a message with such a vector becomes an error
 *     (SDM, "Error Handling").
 *  3. While eoi_assist is set the IRR is empty, and the highest vector of the ISR may be one that
 *     the guest has ended: lapic_settle() finds out, before anything depends on the ISR.
 *  4. Everything here is the owner's, except post, post_tmr and post_words (lapic_ipi.c), by which
 *     others leave interrupts. They pass from post to irr in lapic_fold() only, and there the
 *     APIC's being disabled loses them.
 *  5. Each level-triggered interrupt has one end: its EOI, or, when a disabled APIC or an INIT has
 *     lost it, lapic_end_lost() once the APIC is enabled again. Before that whoever holds the line
 *     would only send it anew.
 *
 *       others: lapic_post()         owner: lapic_raise()
 *             post ── lapic_fold() ─▶ irr ── lapic_accept() ─▶ isr ── lapic_eoi() ─▶ level: notice
 *                                                └─ AutoEOI: straight out
 */
#include "tlfs/lapic.h"

/* ---- delivery ---- */

#define NO_EOI_REQUIRED 1u

static uint32_t *assist_word(struct vp *vp)
{
	return vp->vp_assist_page; /* struct hv_vp_assist_page begins with it */
}

static bool synic_waiting(const struct vp *vp)
{
	return __atomic_load_n(&vp->synic.waiting, __ATOMIC_RELAXED) != 0;
}

static void set_vector(uint32_t vectors[8], uint32_t *words, uint8_t vector)
{
	vectors[vector / 32] |= 1u << vector % 32;
	*words |= 1u << vector / 32;
}

static void clear_vector(uint32_t vectors[8], uint32_t *words, uint8_t vector)
{
	vectors[vector / 32] &= ~(1u << vector % 32);
	if (!vectors[vector / 32]) {
		*words &= ~(1u << vector / 32);
	}
}

/*
 * Ends the arrangement of the assist page, so that the ISR is true again: the bit is taken back,
 * and when the guest has taken it already, that was its EOI.
 */
void lapic_settle(struct vp *vp)
{
	struct lapic *apic = &vp->lapic;
	uint32_t before;

	if (!apic->eoi_assist) {
		return;
	}
	apic->eoi_assist = false;
	before = __atomic_fetch_and(assist_word(vp), ~NO_EOI_REQUIRED, __ATOMIC_RELAXED);
	if (!(before & NO_EOI_REQUIRED)) {
		clear_vector(apic->isr, &apic->isr_words,
			     (uint8_t)lapic_highest(apic->isr, apic->isr_words));
	}
}

void lapic_raise(struct vp *vp, uint8_t vector, bool level)
{
	struct lapic *apic = &vp->lapic;
	uint32_t bit = 1u << vector % 32;

	if (!lapic_enabled(apic)) {
		apic->lost[vector / 32] |= level ? bit : 0;
		return;
	}
	if (vector < LAPIC_FIRST_VECTOR) {
		lapic_error(vp, LAPIC_ESR_RECEIVE_ILLEGAL_VECTOR);
		return;
	}
	if (level) {
		apic->tmr[vector / 32] |= bit;
	} else {
		apic->tmr[vector / 32] &= ~bit;
	}
	set_vector(apic->irr, &apic->irr_words, vector);
	if (apic->eoi_assist) {
		lapic_settle(vp);
	}
}

/*
 * One word of what others posted. The bits come first, then their trigger modes: see lapic_post().
 */
static void fold_word(struct vp *vp, unsigned int word)
{
	struct lapic *apic = &vp->lapic;
	uint32_t bits = __atomic_exchange_n(&apic->post[word], 0, __ATOMIC_ACQUIRE);
	uint32_t level = __atomic_load_n(&apic->post_tmr[word], __ATOMIC_RELAXED);

	if (!lapic_enabled(apic)) {
		apic->lost[word] |= bits & level;
		return;
	}
	if (word == 0 && (bits & 0xFFFF)) {
		lapic_error(vp, LAPIC_ESR_RECEIVE_ILLEGAL_VECTOR);
		bits &= ~0xFFFFu;
	}
	apic->tmr[word] = (apic->tmr[word] & ~bits) | (level & bits);
	apic->irr[word] |= bits;
	if (bits) {
		apic->irr_words |= 1u << word;
	}
}

void lapic_fold(struct vp *vp)
{
	struct lapic *apic = &vp->lapic;
	uint32_t words;

	if (!__atomic_load_n(&apic->post_words, __ATOMIC_RELAXED)) {
		return;
	}
	words = __atomic_exchange_n(&apic->post_words, 0, __ATOMIC_ACQUIRE);
	while (words) {
		fold_word(vp, (unsigned int)__builtin_ctz(words));
		words &= words - 1;
	}
	if (apic->irr_words) {
		lapic_settle(vp);
	}
}

/*
 * SDM, "Task and Processor Priorities": the higher class of TPR and ISR; the low bits only when the
 * TPR's class wins or ties.
 */
uint32_t lapic_ppr(const struct lapic *apic)
{
	int isr = lapic_highest(apic->isr, apic->isr_words);
	uint32_t service = isr < 0 ? 0 : (uint32_t)isr & 0xF0;

	return apic->tpr >= service ? apic->tpr : service;
}

int lapic_highest_irr(const struct vp *vp)
{
	return lapic_highest(vp->lapic.irr, vp->lapic.irr_words);
}

int lapic_pending(const struct vp *vp)
{
	int vector = lapic_highest_irr(vp);

	if (vector < 0 || ((uint32_t)vector & 0xF0) <= (lapic_ppr(&vp->lapic) & 0xF0)) {
		return -1;
	}
	return vector;
}

/*
 * Accepted, an edge-triggered vector with nothing behind it needs no trapping EOI: the guest clears
 * a bit in its assist page instead (TLFS, "EOI Assist"), and what that means is looked up later.
 */
void lapic_accept(struct vp *vp, uint8_t vector)
{
	struct lapic *apic = &vp->lapic;
	uint32_t bit = 1u << vector % 32;

	clear_vector(apic->irr, &apic->irr_words, vector);
	if (apic->auto_eoi[vector / 32] & bit) {
		return;
	}
	set_vector(apic->isr, &apic->isr_words, vector);
	if (!(vp->vp_assist & HV_X64_MSR_VP_ASSIST_PAGE_ENABLE) || apic->irr_words ||
	    (apic->tmr[vector / 32] & bit) || synic_waiting(vp)) {
		return;
	}
	__atomic_fetch_or(assist_word(vp), NO_EOI_REQUIRED, __ATOMIC_RELAXED);
	apic->eoi_assist = true;
}

/* The end of a level-triggered interrupt, for whoever holds the line. */
static void broadcast_eoi(struct vp *vp, uint8_t vector)
{
	if (vp->partition->id == HV_ROOT_PARTITION) {
		plat_apic_eoi(vp, vector);
	} else if (vp->partition->intercept_apic_eoi) {
		notify_apic_eoi(vp, vector);
	}
}

/* By a change that may have enabled the APIC. */
void lapic_end_lost(struct vp *vp)
{
	struct lapic *apic = &vp->lapic;

	for (unsigned int word = 0; word < 8 && lapic_enabled(apic); word++) {
		for (; apic->lost[word]; apic->lost[word] &= apic->lost[word] - 1) {
			broadcast_eoi(vp, (uint8_t)(word * 32 +
						    (unsigned int)__builtin_ctz(apic->lost[word])));
		}
	}
}

void lapic_eoi(struct vp *vp)
{
	struct lapic *apic = &vp->lapic;
	int vector;

	if (apic->eoi_assist) {
		lapic_settle(vp);
	}
	vector = lapic_highest(apic->isr, apic->isr_words);
	if (vector < 0) { /* the EOI of nothing: no effect */
		return;
	}
	clear_vector(apic->isr, &apic->isr_words, (uint8_t)vector);
	if (apic->tmr[vector / 32] & (1u << vector % 32)) {
		broadcast_eoi(vp, (uint8_t)vector);
	}
	if (synic_waiting(vp)) { /* TLFS, "Messages": an EOI makes the queues move */
		synic_end_of_message(vp);
	}
}

/* Errors gather until software writes the ESR; each new one raises the LVT error interrupt. */
void lapic_error(struct vp *vp, uint32_t esr_bits)
{
	struct lapic *apic = &vp->lapic;
	uint32_t fresh = esr_bits & ~apic->esr_pending;
	uint8_t vector = (uint8_t)apic->lvt_error;

	apic->esr_pending |= esr_bits;
	if (!fresh || (apic->lvt_error & LAPIC_LVT_MASKED)) {
		return;
	}
	if (vector < LAPIC_FIRST_VECTOR) {
		apic->esr_pending |= LAPIC_ESR_RECEIVE_ILLEGAL_VECTOR;
	} else {
		lapic_raise(vp, vector, false);
	}
}

/* ---- state ---- */

static void clear_vectors(struct lapic *apic)
{
	for (unsigned int word = 0; word < 8; word++) {
		uint32_t posted = __atomic_exchange_n(&apic->post[word], 0, __ATOMIC_ACQUIRE);

		apic->lost[word] |= (apic->isr[word] | apic->irr[word]) & apic->tmr[word];
		apic->lost[word] |=
			posted & __atomic_load_n(&apic->post_tmr[word], __ATOMIC_RELAXED);
	}
	memset(apic->isr, 0, sizeof(apic->isr));
	memset(apic->irr, 0, sizeof(apic->irr));
	memset(apic->tmr, 0, sizeof(apic->tmr));
	apic->isr_words = apic->irr_words = 0;
	__atomic_store_n(&apic->post_words, 0, __ATOMIC_RELAXED);
}

void lapic_reset(struct vp *vp)
{
	struct lapic *apic = &vp->lapic;

	lapic_settle(vp);
	clear_vectors(apic);
	apic->tpr = apic->esr = apic->esr_pending = 0;
	apic->icr = 0;
	apic->id = vp->apic_id << 24;
	apic->ldr = lapic_x2apic(apic) ? lapic_x2apic_ldr(vp->apic_id) : 0;
	apic->dfr = UINT32_MAX;
	apic->svr = 0xFF;
	apic->lvt_timer = apic->lvt_thermal = apic->lvt_pmc = apic->lvt_error = apic->lvt_cmci =
		LAPIC_LVT_MASKED;
	apic->lvt_lint[0] = apic->lvt_lint[1] = LAPIC_LVT_MASKED;
	apic->timer_initial = apic->timer_divide = 0;
	apic->timer_start_tsc = 0;
	apic->timer_deadline_tsc = HV_NEVER;
	vp->tsc_deadline_msr = 0;
}

/*
 * A child's APIC is as after power-on. The root's is as firmware leaves it for an operating system:
 * in x2APIC mode, and on the boot processor as a virtual wire, PIC on LINT0 and NMI on LINT1 (MP
 * Specification, "Virtual Wire Mode").
 */
void lapic_create(struct vp *vp, bool x2apic_now)
{
	struct lapic *apic = &vp->lapic;

	apic->base = LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLE |
		     (vp->index == 0 ? LAPIC_BASE_BSP : 0) | (x2apic_now ? LAPIC_BASE_X2APIC : 0);
	lapic_reset(vp);
	if (x2apic_now && vp->index == 0) {
		apic->svr |= LAPIC_SVR_ENABLE;
		apic->lvt_lint[0] = LAPIC_MODE_EXTINT << 8;
		apic->lvt_lint[1] = LAPIC_MODE_NMI << 8;
	}
}

/*
 * INIT leaves APIC_BASE and with it the mode as they are (SDM, "Local APIC State After It Receives
 * an INIT Reset").
 */
void lapic_init(struct vp *vp)
{
	lapic_reset(vp);
	vp_rearm_timer(vp);
	if (vp->partition->id == HV_ROOT_PARTITION) {
		plat_apic_lint(vp, 0, vp->lapic.lvt_lint[0]);
		plat_apic_lint(vp, 1, vp->lapic.lvt_lint[1]);
	}
}

void lapic_set_tpr(struct vp *vp, uint32_t tpr)
{
	vp->lapic.tpr = tpr & 0xFF;
}

/* The root's pin is the machine's, which has decided already. */
bool lapic_accepts_extint(const struct vp *vp)
{
	uint32_t lint0 = vp->lapic.lvt_lint[0];

	if (vp->partition->id == HV_ROOT_PARTITION || !(vp->lapic.base & LAPIC_BASE_ENABLE)) {
		return true;
	}
	return !(lint0 & LAPIC_LVT_MASKED) && LAPIC_LVT_MODE(lint0) == LAPIC_MODE_EXTINT;
}
