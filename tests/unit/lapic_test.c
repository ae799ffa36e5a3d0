/*
 * tlfs/lapic.c, lapic_msr.c, lapic_state.c: registers, modes, priorities, EOIs, errors, save and
 * restore.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/lapic.h"

#define OFFSET(reg) ((uint32_t)(reg) << 4)
#define X2APIC(reg) (LAPIC_MSR_X2APIC + (reg))
#define SVR_ON      0x1FFu
#define MASKED      LAPIC_LVT_MASKED
#define X2APIC_MODE (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)

static struct partition *p;
static struct vp *vp;

static int setup_child(void **state)
{
	(void)state;
	p = guest_create(false, 2, NULL);
	vp = p->vps[0];
	return 0;
}

static int setup_root(void **state)
{
	(void)state;
	p = guest_create(true, 2, (const uint32_t[]){0, 0x123});
	vp = p->vps[0];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

static uint32_t get(enum lapic_register reg)
{
	return lapic_mmio_read(vp, OFFSET(reg));
}

static void set(enum lapic_register reg, uint32_t value)
{
	lapic_mmio_write(vp, OFFSET(reg), value);
}

static enum access_result set_msr(uint32_t msr, uint64_t value)
{
	return lapic_msr_write(vp, msr, value);
}

static uint64_t get_msr(uint32_t msr)
{
	uint64_t value;

	assert_int_equal(msr_read(vp, msr, &value), ACCESS_OK);
	return value;
}

static uint32_t eois(void)
{
	return p->parent == NULL ? record.eoi_count : record.notify_eoi_count;
}

static void enter_x2apic(void)
{
	assert_int_equal(set_msr(LAPIC_MSR_BASE, get_msr(LAPIC_MSR_BASE) | X2APIC_MODE), ACCESS_OK);
}

/* Takes what is pending, as the home does. */
static int take(void)
{
	int vector = lapic_pending(vp);

	if (vector >= 0) {
		lapic_accept(vp, (uint8_t)vector);
	}
	return vector;
}

/* ---- state after power-on and INIT ---- */

static void power_on_state(void **state)
{
	(void)state;
	assert_int_equal(get_msr(LAPIC_MSR_BASE),
			 LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLE | LAPIC_BASE_BSP);
	assert_int_equal(p->vps[1]->lapic.base, LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLE);
	assert_int_equal(get(LAPIC_SVR), 0xFF);
	assert_int_equal(get(LAPIC_DFR), 0xFFFFFFFF);
	assert_int_equal(get(LAPIC_LDR), 0);
	assert_int_equal(get(LAPIC_TPR), 0);
	for (unsigned int reg = LAPIC_LVT_TIMER; reg <= LAPIC_LVT_ERROR; reg++) {
		assert_int_equal(get(reg), MASKED);
	}
	assert_int_equal(get(LAPIC_VERSION), 0x50014);
	assert_int_equal(lapic_mmio_read(p->vps[1], OFFSET(LAPIC_ID)), 1u << 24);
	assert_true(lapic_page_at(vp, 0xFEE00));
	assert_false(lapic_page_at(vp, 0xFEE01));
}

/*
 * The root's starts as firmware leaves it: x2APIC mode, virtual wire on the boot processor alone.
 *
 */
static void root_starts_in_x2apic_mode(void **state)
{
	(void)state;
	assert_true(lapic_x2apic(&vp->lapic));
	assert_false(lapic_page_at(vp, 0xFEE00));
	assert_int_equal(get_msr(X2APIC(LAPIC_LVT_LINT0)), 0x700);
	assert_int_equal(get_msr(X2APIC(LAPIC_LVT_LINT1)), 0x400);
	assert_true(lapic_accepts_extint(vp));
	vp = p->vps[1];
	assert_int_equal(get_msr(X2APIC(LAPIC_ID)), 0x123);
	assert_int_equal(get_msr(X2APIC(LAPIC_LDR)), 0x12 << 16 | 1 << 3);
	assert_true(lapic_accepts_extint(vp)); /* the machine's own pin let it through */
}

/* SDM, "Local APIC State After It Receives an INIT Reset": all but the ID and APIC_BASE. */
static void init_keeps_mode_and_id(void **state)
{
	(void)state;
	enter_x2apic();
	set_msr(X2APIC(LAPIC_SVR), SVR_ON);
	set_msr(X2APIC(LAPIC_TPR), 0x20);
	lapic_raise(vp, 0x41, false);
	lapic_init(vp);
	assert_true(lapic_x2apic(&vp->lapic));
	assert_int_equal(get_msr(X2APIC(LAPIC_SVR)), 0xFF);
	assert_int_equal(get_msr(X2APIC(LAPIC_TPR)), 0);
	assert_int_equal(get_msr(X2APIC(LAPIC_LDR)), 1);
	assert_int_equal(lapic_highest_irr(vp), -1);
}

/* What others posted before an INIT does not survive it. */
static void init_drops_posted(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_post(vp, 0x41, false);
	lapic_init(vp);
	set(LAPIC_SVR, SVR_ON);
	lapic_fold(vp);
	assert_int_equal(lapic_highest_irr(vp), -1);
}

/* ---- acceptance and priority ---- */

/*
 * SDM, "Task and Processor Priorities": a vector is delivered when its class is above that of the
 * PPR.
 */
static void priority_classes(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_raise(vp, 0x35, false);
	set(LAPIC_TPR, 0x3F);
	assert_int_equal(lapic_pending(vp), -1); /* equal class */
	assert_int_equal(lapic_highest_irr(vp), 0x35);
	set(LAPIC_TPR, 0x2F);
	assert_int_equal(take(), 0x35);
	lapic_raise(vp, 0x3E, false);
	assert_int_equal(lapic_pending(vp), -1); /* the class in service */
	lapic_raise(vp, 0x40, false);
	assert_int_equal(take(), 0x40); /* nests */
	lapic_eoi(vp);
	assert_int_equal(lapic_pending(vp), -1);
	lapic_eoi(vp);
	assert_int_equal(take(), 0x3E);
}

/*
 * SDM, "Processor Priority Register": sub-class bits come from the TPR only when its class is not
 * below the ISR's.
 */
static void ppr_rules(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	set(LAPIC_TPR, 0x34);
	assert_int_equal(get(LAPIC_PPR), 0x34);
	lapic_raise(vp, 0x45, false);
	take();
	assert_int_equal(get(LAPIC_PPR), 0x40);
	set(LAPIC_TPR, 0x47);
	assert_int_equal(get(LAPIC_PPR), 0x47);
	set(LAPIC_TPR, 0x50);
	assert_int_equal(get(LAPIC_PPR), 0x50);
}

static void highest_vector_first(void **state)
{
	static const uint8_t vectors[] = {0x10, 0xFF, 0x80, 0x1F, 0xE0, 0x20, 0x3F};
	int last = 0x100;

	(void)state;
	set(LAPIC_SVR, SVR_ON);
	for (unsigned int i = 0; i < ARRAY_COUNT(vectors); i++) {
		lapic_raise(vp, vectors[i], false);
	}
	for (unsigned int i = 0; i < ARRAY_COUNT(vectors); i++) {
		int vector = take();

		assert_true(vector >= 0 && vector < last);
		last = vector;
		lapic_eoi(vp);
	}
	assert_int_equal(take(), -1);
	assert_int_equal(vp->lapic.irr_words | vp->lapic.isr_words, 0);
}

static void posted_by_others(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_post(vp, 0x51, true);
	lapic_post(vp, 0x51, true);
	lapic_post(vp, 0xE3, false);
	assert_int_equal(record.kicks[0], 1); /* the event bit was set already, the vector too */
	assert_true(vp->events & VP_EVENT_INTERRUPT);
	assert_int_equal(lapic_highest_irr(vp), -1); /* not before the owner looks */
	guest_process(p);
	assert_int_equal(get(LAPIC_IRR + 2), 1u << 0x11);
	assert_int_equal(get(LAPIC_TMR + 2), 1u << 0x11);
	assert_int_equal(get(LAPIC_TMR + 7), 0);
	assert_int_equal(take(), 0xE3);
}

/* The trigger mode is that of the last message. */
static void trigger_mode_follows(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_post(vp, 0x51, true);
	guest_process(p);
	lapic_post(vp, 0x51, false);
	guest_process(p);
	assert_int_equal(get(LAPIC_TMR + 2), 0);
}

/*
 * Reading an IRR register sees what has been posted, though the VP was not kicked out for it yet.
 *
 */
static void irr_read_folds(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_post(vp, 0x51, false);
	assert_int_equal(get(LAPIC_IRR + 2), 1u << 0x11);
}

/*
 * SDM, "Local APIC State After It Has Been Software Disabled": nothing new, IRR and ISR are held.
 *
 */
static void software_disabled(void **state)
{
	(void)state;
	lapic_raise(vp, 0x51, false);
	lapic_post(vp, 0x52, false);
	guest_process(p);
	assert_int_equal(lapic_highest_irr(vp), -1);
	set(LAPIC_SVR, SVR_ON);
	lapic_raise(vp, 0x51, false);
	lapic_post(vp, 0x61, false); /* posted while enabled, folded by the disabling write */
	set(LAPIC_SVR, 0xFF);
	assert_int_equal(take(), 0x61);
	lapic_eoi(vp);
	assert_int_equal(take(), 0x51);
	assert_int_equal(get(LAPIC_ISR + 2), 1u << 0x11);
}

/* LVT entries are masked by disabling, and cannot be unmasked until enabled again. */
static void svr_masks_lvts(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	set(LAPIC_LVT_LINT0, 0x700);
	set(LAPIC_LVT_TIMER, 0x20031);
	assert_int_equal(get(LAPIC_LVT_LINT0), 0x700);
	set(LAPIC_SVR, 0xFF);
	assert_int_equal(get(LAPIC_LVT_LINT0), 0x10700);
	assert_int_equal(get(LAPIC_LVT_TIMER), 0x30031);
	set(LAPIC_LVT_LINT0, 0x700);
	assert_int_equal(get(LAPIC_LVT_LINT0), 0x10700);
	set(LAPIC_SVR, SVR_ON);
	assert_int_equal(get(LAPIC_LVT_LINT0), 0x10700);
	set(LAPIC_LVT_LINT0, 0x700);
	assert_int_equal(get(LAPIC_LVT_LINT0), 0x700);
}

/* The PIC's interrupt waits until LINT0 is its pin; a halted VP is not woken for one that it cannot
 * take. */
static void extint_waits_for_lint0(void **state)
{
	(void)state;
	vp_halt(vp, true);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_EXTINT, 0, false, 8, false),
			 HV_STATUS_SUCCESS);
	guest_process(p);
	assert_true(vp->extint_pending);
	assert_false(vp_runnable(vp));
	set(LAPIC_SVR, SVR_ON);
	set(LAPIC_LVT_LINT0, 0x400); /* NMI: not the PIC's */
	assert_false(vp_runnable(vp));
	set(LAPIC_LVT_LINT0, 0x700);
	assert_true(lapic_accepts_extint(vp));
	assert_true(vp_runnable(vp));
}

/* ---- EOI ---- */

static void eoi_of_nothing(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_raise(vp, 0x51, true);
	set(LAPIC_EOI, 0);
	assert_int_equal(record.notify_eoi_count, 0);
	assert_int_equal(take(), 0x51);
}

/*
 * SDM, "Signaling Interrupt Servicing Completion": the highest in service; level-triggered ones are
 * broadcast.
 */
static void level_eoi_reaches_the_parent(void **state)
{
	(void)state;
	p->intercept_apic_eoi = true;
	set(LAPIC_SVR, SVR_ON);
	lapic_raise(vp, 0x51, true);
	take();
	lapic_raise(vp, 0x61, false);
	take();
	set(LAPIC_EOI, 0);
	assert_int_equal(record.notify_eoi_count, 0); /* edge */
	set(LAPIC_EOI, 0);
	assert_int_equal(record.notify_eoi_count, 1);
	assert_int_equal(record.last_eoi, 0x51);
	p->intercept_apic_eoi = false;
	lapic_raise(vp, 0x51, true);
	take();
	set(LAPIC_EOI, 0);
	assert_int_equal(record.notify_eoi_count, 1); /* nobody wants to know */
}

static void level_eoi_of_the_root_reaches_the_machine(void **state)
{
	(void)state;
	set_msr(X2APIC(LAPIC_SVR), SVR_ON);
	lapic_raise(vp, 0x51, true);
	take();
	assert_int_equal(set_msr(X2APIC(LAPIC_EOI), 0), ACCESS_OK);
	assert_int_equal(record.eoi_count, 1);
	assert_int_equal(record.last_eoi, 0x51);
}

/*
 * A level that a disabled APIC drops is held by its line until somebody ends it: not at once, since
 * it would only come again, but when the APIC can take it. Likewise what an INIT throws away.
 */
static void lost_levels_are_ended_when_the_apic_is_on(void **state)
{
	(void)state;
	p->intercept_apic_eoi = true;
	set(LAPIC_SVR, 0xFF);
	lapic_post(vp, 0x51, true);
	lapic_post(vp, 0x62, false);
	guest_process(p);
	lapic_raise(vp, 0x71, true);
	assert_int_equal(eois(), 0);
	set(LAPIC_SVR, SVR_ON);
	assert_int_equal(eois(), 2);
	assert_int_equal(record.last_eoi, 0x71);
	lapic_raise(vp, 0x51, true); /* in service */
	take();
	lapic_raise(vp, 0x45, true); /* requested */
	lapic_post(vp, 0x46, true);  /* posted */
	lapic_init(vp);
	assert_int_equal(eois(), 2);
	set(LAPIC_SVR, SVR_ON);
	set(LAPIC_SVR, SVR_ON);
	assert_int_equal(eois(), 5);
	assert_int_equal(lapic_pending(vp), -1);
}

/* TLFS, "SINTx Registers", AutoEOI: never in service, and a lower one may come at once. */
static void auto_eoi(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	vp->lapic.auto_eoi[0xF3 / 32] = 1u << 0xF3 % 32;
	lapic_raise(vp, 0xF3, false);
	lapic_raise(vp, 0x41, false);
	assert_int_equal(take(), 0xF3);
	assert_int_equal(get(LAPIC_ISR + 7), 0);
	assert_int_equal(take(), 0x41);
}

/* ---- EOI assist (TLFS, "EOI Assist") ---- */

static uint32_t *assist(void)
{
	assert_int_equal(msr_write(vp, HV_X64_MSR_VP_ASSIST_PAGE, 0x5001), ACCESS_OK);
	return guest_overlay(5);
}

static void assist_saves_the_eoi(void **state)
{
	uint32_t *word = assist();

	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_raise(vp, 0x51, false);
	take();
	assert_int_equal(*word, 1);
	*word = 0; /* the guest's EOI */
	lapic_raise(vp, 0x52, false);
	assert_int_equal(take(), 0x52); /* same class: only possible because 0x51 is over */
	assert_int_equal(*word, 1);
	*word = 0;
	assert_int_equal(get(LAPIC_ISR + 2), 0);
	assert_int_equal(get(LAPIC_PPR), 0);
}

/* A lower one that comes later takes the permission back. */
static void assist_is_taken_back(void **state)
{
	uint32_t *word = assist();

	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_raise(vp, 0x51, false);
	take();
	lapic_post(vp, 0x41, false);
	guest_process(p);
	assert_int_equal(*word, 0);
	assert_int_equal(lapic_pending(vp), -1);
	lapic_eoi(vp);
	assert_int_equal(take(), 0x41);
}

static void assist_not_given(void **state)
{
	uint32_t *word = assist();

	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_raise(vp, 0x51, true); /* level */
	take();
	assert_int_equal(*word, 0);
	lapic_eoi(vp);
	lapic_raise(vp, 0x51, false);
	lapic_raise(vp, 0x41, false);
	take();
	assert_int_equal(*word, 0); /* a lower one waits */
	lapic_eoi(vp);
	take();
	lapic_eoi(vp);
	vp->synic.waiting = 1 << 16; /* a message waits for an EOI */
	lapic_raise(vp, 0x51, false);
	take();
	assert_int_equal(*word, 0);
	vp->synic.waiting = 0;
}

/* Nested: only the highest may go without, and conventional EOIs still work. */
static void assist_and_nesting(void **state)
{
	uint32_t *word = assist();

	(void)state;
	set(LAPIC_SVR, SVR_ON);
	lapic_raise(vp, 0x51, false);
	take();
	lapic_raise(vp, 0x61, false);
	assert_int_equal(take(), 0x61);
	assert_int_equal(*word, 1);
	*word = 0;     /* ends 0x61 */
	lapic_eoi(vp); /* ends 0x51 */
	assert_int_equal(get(LAPIC_PPR), 0);
	lapic_raise(vp, 0x51, false);
	take();
	lapic_eoi(vp); /* without a look at the bit */
	assert_int_equal(*word, 0);
	assert_int_equal(get(LAPIC_PPR), 0);
}

/* ---- errors ---- */

/* SDM, "Error Status Register": a write makes the errors readable, and begins anew. */
static void esr_write_then_read(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	(void)lapic_mmio_read(vp, 0x40); /* reserved */
	assert_int_equal(get(LAPIC_ESR), 0);
	set(LAPIC_ESR, 0x1234);
	assert_int_equal(get(LAPIC_ESR), LAPIC_ESR_ILLEGAL_REGISTER);
	set(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), 0);
}

static void reserved_registers(void **state)
{
	static const uint32_t reserved[] = {0x000, 0x010, 0x040, 0x070, 0x290, 0x2F0,
					    0x3A0, 0x3D0, 0x3F0, 0x400, 0xFF0};
	static const uint32_t harmless[] = {0x020, 0x030, 0x090, 0x0A0,
					    0x0C0, 0x100, 0x390}; /* read-only: a write is lost */

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(reserved); i++) {
		vp->lapic.esr_pending = 0;
		lapic_mmio_write(vp, reserved[i], 0xFFFFFFFF);
		assert_int_equal(vp->lapic.esr_pending, LAPIC_ESR_ILLEGAL_REGISTER);
		vp->lapic.esr_pending = 0;
		assert_int_equal(lapic_mmio_read(vp, reserved[i]), 0);
		assert_int_equal(vp->lapic.esr_pending, LAPIC_ESR_ILLEGAL_REGISTER);
	}
	vp->lapic.esr_pending = 0;
	for (unsigned int i = 0; i < ARRAY_COUNT(harmless); i++) {
		lapic_mmio_write(vp, harmless[i], 0xFFFFFFFF);
	}
	assert_int_equal(lapic_mmio_read(vp, 0x0B0), 0); /* EOI: write-only */
	assert_int_equal(lapic_mmio_read(vp, 0x084), 0); /* within the 16 bytes of a register */
	assert_int_equal(vp->lapic.esr_pending, 0);
	assert_int_equal(get(LAPIC_ID), 0);
}

/* A vector below 16 in a message: the receiver's error, and its LVT error interrupt once. */
static void receive_illegal_vector(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	set(LAPIC_LVT_ERROR, 0xFE);
	lapic_post(vp, 15, false);
	guest_process(p);
	assert_int_equal(take(), 0xFE);
	lapic_eoi(vp);
	lapic_post(vp, 3, false);
	guest_process(p);
	assert_int_equal(take(), -1); /* not a new error */
	set(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR), LAPIC_ESR_RECEIVE_ILLEGAL_VECTOR);
	lapic_raise(vp, 3, false);
	assert_int_equal(take(), 0xFE);
	assert_int_equal(vp->lapic.irr[0], 0);
}

/* An error interrupt whose own vector is illegal is one more error, and no recursion. */
static void illegal_error_vector(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	set(LAPIC_LVT_ERROR, 5);
	(void)lapic_mmio_read(vp, 0x40);
	assert_int_equal(take(), -1);
	set(LAPIC_ESR, 0);
	assert_int_equal(get(LAPIC_ESR),
			 LAPIC_ESR_ILLEGAL_REGISTER | LAPIC_ESR_RECEIVE_ILLEGAL_VECTOR);
}

/* ---- APIC_BASE ---- */

/* SDM, "x2APIC State Transitions": every step from every mode. */
static void mode_transitions(void **state)
{
	static const uint64_t modes[] = {0, LAPIC_BASE_X2APIC, LAPIC_BASE_ENABLE, X2APIC_MODE};
	static const bool legal[4][4] = {
		/* to: off, invalid, xAPIC, x2APIC */
		[0] = {true, false, true, false},
		[2] = {true, false, true, true},
		[3] = {true, false, false, true},
	};

	(void)state;
	for (unsigned int from = 0; from < 4; from++) {
		if (from == 1) {
			continue;
		}
		for (unsigned int to = 0; to < 4; to++) {
			vp->lapic.base = LAPIC_BASE_DEFAULT | LAPIC_BASE_BSP | modes[from];
			assert_int_equal(set_msr(LAPIC_MSR_BASE,
						 LAPIC_BASE_DEFAULT | LAPIC_BASE_BSP | modes[to]),
					 legal[from][to] ? ACCESS_OK : ACCESS_FAULT);
			assert_int_equal(vp->lapic.base & X2APIC_MODE,
					 modes[legal[from][to] ? to : from]);
		}
	}
}

static void base_reserved_bits(void **state)
{
	const uint64_t good = LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLE;

	(void)state;
	assert_int_equal(set_msr(LAPIC_MSR_BASE, good | 1), ACCESS_FAULT);
	assert_int_equal(set_msr(LAPIC_MSR_BASE, good | 1 << 9), ACCESS_FAULT);
	assert_int_equal(set_msr(LAPIC_MSR_BASE, good | 1ull << 40), ACCESS_FAULT);
	assert_int_equal(set_msr(LAPIC_MSR_BASE, (1ull << 39) | LAPIC_BASE_ENABLE), ACCESS_OK);
	assert_true(lapic_page_at(vp, 1ull << 27));
	assert_false(lapic_page_at(vp, 0xFEE00));
	p->create_flags = 0; /* without the feature, bit 10 is reserved */
	assert_int_equal(set_msr(LAPIC_MSR_BASE, good | LAPIC_BASE_X2APIC), ACCESS_FAULT);
}

/* To x2APIC mode all is kept but the logical id, which becomes the one derived from the id. */
static void into_x2apic_mode(void **state)
{
	(void)state;
	vp = p->vps[1];
	set(LAPIC_SVR, SVR_ON);
	set(LAPIC_LDR, 0x80000000);
	set(LAPIC_TPR, 0x31);
	set(LAPIC_ICR_HIGH, 0xFF000000);
	lapic_raise(vp, 0x55, false);
	enter_x2apic();
	assert_int_equal(get_msr(X2APIC(LAPIC_ID)), 1);
	assert_int_equal(get_msr(X2APIC(LAPIC_LDR)), 2);
	assert_int_equal(get_msr(X2APIC(LAPIC_TPR)), 0x31);
	assert_int_equal(get_msr(X2APIC(LAPIC_ICR)), 0);
	assert_int_equal(take(), 0x55);
}

/* Disabled by APIC_BASE, it comes back as after power-on. */
static void disabled_by_base(void **state)
{
	(void)state;
	set(LAPIC_SVR, SVR_ON);
	set(LAPIC_LVT_ERROR, 0xFE);
	lapic_raise(vp, 0x55, false);
	assert_int_equal(set_msr(LAPIC_MSR_BASE, LAPIC_BASE_DEFAULT | LAPIC_BASE_BSP), ACCESS_OK);
	assert_int_equal(lapic_highest_irr(vp), -1);
	assert_true(lapic_accepts_extint(vp)); /* LINT0 is INTR */
	assert_int_equal(
		set_msr(LAPIC_MSR_BASE, LAPIC_BASE_DEFAULT | LAPIC_BASE_BSP | LAPIC_BASE_ENABLE),
		ACCESS_OK);
	assert_int_equal(get(LAPIC_SVR), 0xFF);
	assert_int_equal(get(LAPIC_LVT_ERROR), MASKED);
	assert_false(lapic_accepts_extint(vp));
}

/* ---- x2APIC registers ---- */

/*
 * SDM, table "Local APIC Register Address Map Supported by x2APIC": who may be read, who written;
 * all else is #GP.
 */
static void x2apic_register_map(void **state)
{
	static const char map[LAPIC_REGISTER_COUNT + 1] =
		/* 00 */ "--rr----b-rw-r-b" /* r read, w write, b both; EOI w at 0B */
			 /* 10 */ "rrrrrrrrrrrrrrrr"
			 /* 20 */ "rrrrrrrrb-------"
			 /* 30 */ "b-bbbbbbbr----bw";
	uint64_t value;

	(void)state;
	enter_x2apic();
	for (unsigned int reg = 0; reg < 0x100; reg++) {
		char kind = reg < LAPIC_REGISTER_COUNT ? map[reg] : '-';
		bool read = kind == 'r' || kind == 'b', write = kind == 'w' || kind == 'b';

		assert_int_equal(lapic_msr_read(vp, X2APIC(reg), &value),
				 read ? ACCESS_OK : ACCESS_FAULT);
		assert_int_equal(set_msr(X2APIC(reg), reg == LAPIC_SELF_IPI ? 0x40 : 0),
				 write ? ACCESS_OK : ACCESS_FAULT);
	}
}

static void x2apic_needs_the_mode(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(lapic_msr_read(vp, X2APIC(LAPIC_ID), &value), ACCESS_FAULT);
	assert_int_equal(set_msr(X2APIC(LAPIC_EOI), 0), ACCESS_FAULT);
}

/* SDM, "x2APIC Register Address Space": each reserved bit, one at a time. */
static void x2apic_reserved_bits(void **state)
{
	static const struct {
		enum lapic_register reg;
		uint64_t allowed;
	} rows[] = {
		{LAPIC_TPR, 0xFF},
		{LAPIC_EOI, 0},
		{LAPIC_SVR, 0x3FF},
		{LAPIC_ESR, 0},
		{LAPIC_LVT_TIMER, 0x710FF},
		{LAPIC_LVT_THERMAL, 0x117FF},
		{LAPIC_LVT_PMC, 0x117FF},
		{LAPIC_LVT_LINT0, 0x1F7FF},
		{LAPIC_LVT_LINT1, 0x1F7FF},
		{LAPIC_LVT_ERROR, 0x110FF},
		{LAPIC_TIMER_INITIAL, 0xFFFFFFFF},
		{LAPIC_TIMER_DIVIDE, 0xB},
		{LAPIC_SELF_IPI, 0xFF},
		{LAPIC_ICR, 0xFFFFFFFF000CDFFF},
	};

	(void)state;
	enter_x2apic();
	set_msr(X2APIC(LAPIC_SVR), SVR_ON);
	for (unsigned int i = 0; i < ARRAY_COUNT(rows); i++) {
		for (unsigned int bit = 0; bit < 64; bit++) {
			enum access_result wanted =
				rows[i].allowed >> bit & 1 ? ACCESS_OK : ACCESS_FAULT;

			assert_int_equal(set_msr(X2APIC(rows[i].reg), 1ull << bit), wanted);
		}
	}
}

/* Read-only bits of an LVT entry may be written and stay 0. */
static void lvt_status_bits(void **state)
{
	(void)state;
	enter_x2apic();
	set_msr(X2APIC(LAPIC_SVR), SVR_ON);
	assert_int_equal(set_msr(X2APIC(LAPIC_LVT_LINT0), 0x5700), ACCESS_OK);
	assert_int_equal(get_msr(X2APIC(LAPIC_LVT_LINT0)), 0x700);
}

/* The pins of the root are the machine's; a child's are nobody's business. */
static void root_pins_follow(void **state)
{
	(void)state;
	set_msr(X2APIC(LAPIC_SVR), SVR_ON);
	set_msr(X2APIC(LAPIC_LVT_LINT0), 0x10700);
	set_msr(X2APIC(LAPIC_LVT_LINT1), 0x400);
	assert_int_equal(record.lint[0], 0x10700);
	assert_int_equal(record.lint[1], 0x400);
	set_msr(X2APIC(LAPIC_SVR), 0xFF);
	assert_int_equal(record.lint[1], 0x10400);
	lapic_init(vp);
	assert_int_equal(record.lint[0], MASKED);
	assert_int_equal(record.lint[1], MASKED);
}

/* ---- save and restore ---- */

static void state_round_trip(void **state)
{
	struct hv_local_interrupt_controller_state saved, again;

	(void)state;
	set(LAPIC_SVR, SVR_ON);
	set(LAPIC_LDR, 0x12000000);
	set(LAPIC_DFR, 0x0FFFFFFF);
	set(LAPIC_LVT_TIMER, 0x20031);
	set(LAPIC_LVT_LINT0, 0x8700);
	set(LAPIC_LVT_ERROR, 0xFE);
	set(LAPIC_TIMER_DIVIDE, 0xB);
	set(LAPIC_TIMER_INITIAL, 1000000);
	guest_advance(p, 1000 * GUEST_TSC_HZ / HV_APIC_BUS_HZ);
	lapic_raise(vp, 0x51, true);
	take();
	lapic_post(vp, 0x71, false); /* not folded yet: must not be lost */
	lapic_get_state(vp, &saved);
	assert_int_equal(saved.apic_counter_value, 999000);
	assert_int_equal(saved.apic_irr[3], 1u << 0x11);
	lapic_create(vp, false);
	assert_int_equal(lapic_set_state(vp, &saved), HV_STATUS_SUCCESS);
	lapic_get_state(vp, &again);
	assert_memory_equal(&saved, &again, sizeof(saved));
	assert_int_equal(take(), 0x71);
	lapic_eoi(vp);
	assert_int_equal(get(LAPIC_PPR), 0x50);
}

static void state_is_checked(void **state)
{
	struct hv_local_interrupt_controller_state hostile;

	(void)state;
	memset(&hostile, 0xFF, sizeof(hostile));
	assert_int_equal(lapic_set_state(vp, &hostile), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(get(LAPIC_SVR), 0xFF);
	hostile.apic_irr[0] = hostile.apic_isr[0] = 0xFFFF0000;
	assert_int_equal(lapic_set_state(vp, &hostile), HV_STATUS_SUCCESS);
	assert_int_equal(get(LAPIC_SVR), 0x3FF);
	assert_int_equal(get(LAPIC_LVT_ERROR), 0x100FF);
	assert_int_equal(get(LAPIC_LVT_LINT1), 0x1A7FF);
	assert_int_equal(get(LAPIC_TIMER_DIVIDE), 0xB);
	assert_int_equal(get(LAPIC_ID), 0);
	assert_int_equal(lapic_highest_irr(vp), 0xFF);
}

#define CHILD(test) cmocka_unit_test_setup_teardown(test, setup_child, teardown)
#define ROOT(test)  cmocka_unit_test_setup_teardown(test, setup_root, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD(power_on_state),
		ROOT(root_starts_in_x2apic_mode),
		CHILD(init_keeps_mode_and_id),
		CHILD(init_drops_posted),
		CHILD(priority_classes),
		CHILD(ppr_rules),
		CHILD(highest_vector_first),
		CHILD(posted_by_others),
		CHILD(trigger_mode_follows),
		CHILD(irr_read_folds),
		CHILD(software_disabled),
		CHILD(svr_masks_lvts),
		CHILD(extint_waits_for_lint0),
		CHILD(eoi_of_nothing),
		CHILD(level_eoi_reaches_the_parent),
		ROOT(level_eoi_of_the_root_reaches_the_machine),
		CHILD(lost_levels_are_ended_when_the_apic_is_on),
		ROOT(lost_levels_are_ended_when_the_apic_is_on),
		CHILD(auto_eoi),
		CHILD(assist_saves_the_eoi),
		CHILD(assist_is_taken_back),
		CHILD(assist_not_given),
		CHILD(assist_and_nesting),
		CHILD(esr_write_then_read),
		CHILD(reserved_registers),
		CHILD(receive_illegal_vector),
		CHILD(illegal_error_vector),
		CHILD(mode_transitions),
		CHILD(base_reserved_bits),
		CHILD(into_x2apic_mode),
		CHILD(disabled_by_base),
		CHILD(x2apic_register_map),
		CHILD(x2apic_needs_the_mode),
		CHILD(x2apic_reserved_bits),
		CHILD(lvt_status_bits),
		ROOT(root_pins_follow),
		CHILD(state_round_trip),
		CHILD(state_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
