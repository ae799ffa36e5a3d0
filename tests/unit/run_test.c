/*
 * hypervisor/run.c: which of the events that wait for a VP goes in at an entry, and what the
 * processor is asked to tell so that the others follow. The processor has one place for an event,
 * and two windows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/fpu.h"
#include "hypervisor/gpa.h"
#include "hypervisor/intercept.h"
#include "hypervisor/machine_check.h"
#include "hypervisor/message.h"
#include "hypervisor/register_page.h"
#include "hypervisor/run.h"
#include "hypervisor/speculation.h"
#include "hypervisor/vcpu.h"
#include "tests/fake/on_lp.h"
#include "tlfs/hv.h"
#include "tlfs/lapic.h"

ON_LP_BLOCKS;

#define NMI       2u
#define NO_VECTOR 0x1ffu

static struct gpa_map map = {.generation = 1};
static struct partition partition;
static struct vp vp, root_vp;
static struct vcpu vcpu, root;

/* The processor. */
static unsigned int in_place; /* the vector of what goes in, NO_VECTOR: nothing */
static uint8_t window;
static bool can_take_interrupt, can_take_nmi, nmi_window, entered;
/* The VP's interrupts. */
static int apic_vector;
static unsigned int pic_count, told;

void apic_kick(uint32_t apic_id)
{
	(void)apic_id;
}

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	fail_msg("%s:%d: %s", file, line, what);
	__builtin_unreachable();
}

void fpu_begin(struct lp *lp)
{
	(void)lp;
}

void fpu_switch(struct lp *lp, struct vcpu *from, struct vcpu *to)
{
	(void)lp;
	(void)from;
	(void)to;
}

void intercept_handle(struct vcpu *of, const struct intercept *intercept)
{
	(void)of;
	(void)intercept;
}

void lapic_accept(struct vp *of, uint8_t vector)
{
	assert_int_equal(vector, apic_vector);
	apic_vector = -1;
	of->lapic.irr_words = 0;
}

bool lapic_accepts_extint(const struct vp *of)
{
	(void)of;
	return true;
}

int lapic_highest_irr(const struct vp *of)
{
	(void)of;
	return apic_vector;
}

int lapic_pending(const struct vp *of)
{
	return of == &vp ? apic_vector : -1;
}

void lapic_set_tpr(struct vp *of, uint32_t value)
{
	(void)of;
	(void)value;
}

void machine_check_deliver(struct lp *lp)
{
	(void)lp;
	fail();
}

void message_deliverable(struct vcpu *of, uint32_t what)
{
	(void)of;
	(void)what;
	told++;
}

void register_page_give(struct vcpu *of)
{
	(void)of;
}

void register_page_take(struct vcpu *of)
{
	(void)of;
}

void speculation_child_begins(struct lp *lp, struct vcpu *of, uint32_t flags)
{
	(void)lp;
	(void)of;
	(void)flags;
}

void speculation_child_ends(struct lp *lp, uint32_t flags)
{
	(void)lp;
	(void)flags;
}

bool vendor_can_take_interrupt(const struct vcpu *of)
{
	(void)of;
	return can_take_interrupt;
}

bool vendor_can_take_nmi(const struct vcpu *of)
{
	(void)of;
	return can_take_nmi;
}

void vendor_decode(struct vcpu *of, struct intercept *intercept)
{
	(void)of;
	intercept->kind = INTERCEPT_NOTHING;
}

bool vendor_event_pending(const struct vcpu *of)
{
	(void)of;
	return in_place != NO_VECTOR;
}

void vendor_flush_tlb(struct vcpu *of)
{
	(void)of;
}

uint32_t vendor_get_tpr(const struct vcpu *of)
{
	(void)of;
	return 0;
}

static void put(unsigned int vector)
{
	assert_int_equal(in_place, NO_VECTOR);
	in_place = vector;
}

void vendor_inject_exception(struct vcpu *of, uint8_t vector, bool has_error, uint32_t error)
{
	(void)of;
	(void)has_error;
	(void)error;
	put(vector);
}

void vendor_inject_interrupt(struct vcpu *of, uint8_t vector)
{
	(void)of;
	assert_true(can_take_interrupt);
	put(vector);
}

void vendor_inject_nmi(struct vcpu *of)
{
	(void)of;
	assert_true(can_take_nmi);
	put(NMI);
}

void vendor_inject_page_fault(struct vcpu *of, uint64_t address, uint32_t error)
{
	(void)of;
	(void)address;
	(void)error;
	put(EXC_PF);
}

void vendor_interrupt_window(struct vcpu *of, uint8_t priority)
{
	(void)of;
	window = priority;
}

void vendor_load(struct vcpu *of)
{
	(void)of;
}

void vendor_nmi_window(struct vcpu *of, bool wanted)
{
	(void)of;
	nmi_window = wanted;
}

void vendor_prepare(struct vcpu *of)
{
	entered = of == &vcpu;
}

void vendor_run(struct vcpu *of)
{
	(void)of;
}

void vendor_save(struct vcpu *of)
{
	(void)of;
}

void vendor_set_exception_intercepts(struct vcpu *of, uint32_t vectors)
{
	(void)of;
	(void)vectors;
}

void vendor_set_pending_interruption(struct vcpu *of, uint64_t value)
{
	(void)of;
	put(value >> 16 & 0xff);
}

void vendor_set_tpr(struct vcpu *of, uint32_t tpr)
{
	(void)of;
	(void)tpr;
}

void vendor_wait_interrupt(void)
{
	fail();
}

void vp_process_events(struct vp *of)
{
	of->events = 0;
}

void vp_run_switch(struct vp *from, struct vp *to)
{
	(void)from;
	(void)to;
}

bool vp_runnable(struct vp *of)
{
	(void)of;
	return true;
}

void vp_signal_scheduler(struct vp *of)
{
	(void)of;
}

uint8_t vp_take_extint(struct vp *of)
{
	of->extint_pending = --pic_count;
	return 0x30;
}

static int reset(void **state)
{
	(void)state;
	memset(&vp, 0, sizeof(vp));
	memset(&root_vp, 0, sizeof(root_vp));
	vp.partition = root_vp.partition = &partition;
	vcpu = (struct vcpu){.vp = &vp, .map = &map, .tlb_generation = 1, .rare = true};
	root = (struct vcpu){.vp = &root_vp, .map = &map};
	vp.home = &vcpu;
	root_vp.home = &root;
	blocks[0].lp.root = blocks[0].lp.current = &root;
	in_place = NO_VECTOR;
	window = 0;
	can_take_interrupt = can_take_nmi = nmi_window = entered = false;
	apic_vector = -1;
	pic_count = told = 0;
	return 0;
}

static void exit_and_enter(void *unused)
{
	(void)unused;
	run_exit(&vcpu);
}

/* One exit, at the end of which the guest is entered. */
static void pass(void)
{
	entered = false;
	on_lp(0, exit_and_enter, NULL);
	assert_true(entered || told);
}

/* What was in the place has gone in. */
static void next_pass(void)
{
	in_place = NO_VECTOR;
	window = 0;
	nmi_window = false;
	vcpu.rare = true;
	pass();
}

static void interrupt_of_parent(uint8_t vector)
{
	vp.pending_event0.pending_ext_int_event.event_pending = 1;
	vp.pending_event0.pending_ext_int_event.event_type = HV_X64_PENDING_EVENT_EXT_INT;
	vp.pending_event0.pending_ext_int_event.vector = vector;
}

/* An interrupt that has to wait does not hold back an NMI, whoever it is from. */
static void test_nmi_before_interrupts(void **state)
{
	(void)state;
	can_take_nmi = true;
	vp.nmi_pending = 1;
	interrupt_of_parent(0x40);
	pic_count = 1;
	vp.extint_pending = true;
	pass();
	assert_int_equal(in_place, NMI);
	assert_int_equal(window, 15);
	can_take_nmi = false; /* until the end of its handler */
	can_take_interrupt = true;
	next_pass();
	assert_int_equal(in_place, 0x40);
	assert_int_equal(window, 15);
	next_pass();
	assert_int_equal(in_place, 0x30);
	assert_int_equal(window, 0);
}

/* Whatever has the place, an NMI behind it is asked for; it need not wait for IF. */
static void test_nmi_behind_an_event(void **state)
{
	(void)state;
	can_take_nmi = true;
	vp.nmi_pending = 1;
	in_place = 0x80; /* its delivery was cut short */
	pass();
	assert_int_equal(in_place, 0x80);
	assert_true(nmi_window);
	next_pass();
	assert_int_equal(in_place, NMI);
	assert_false(nmi_window);

	reset(NULL);
	can_take_nmi = true;
	vp.nmi_pending = 2;
	vp.pending_event0.pending_exception_event.event_pending = 1;
	vp.pending_event0.pending_exception_event.event_type = HV_X64_PENDING_EVENT_EXCEPTION;
	vp.pending_event0.pending_exception_event.vector = EXC_GP;
	pass();
	assert_int_equal(in_place, EXC_GP);
	assert_true(nmi_window);
	next_pass();
	assert_int_equal(in_place, NMI); /* and one more */
	assert_true(nmi_window && vp.nmi_pending == 1);
}

/* An interrupt does not wait for NMIs to be unblocked. */
static void test_interrupt_while_nmis_are_blocked(void **state)
{
	(void)state;
	vp.nmi_pending = 1;
	can_take_interrupt = true;
	interrupt_of_parent(0x40);
	pass();
	assert_int_equal(in_place, 0x40);
	assert_true(nmi_window);
}

/* What the local APIC has follows by itself. */
static void test_apic_behind_an_event(void **state)
{
	(void)state;
	can_take_nmi = can_take_interrupt = true;
	vp.nmi_pending = 1;
	apic_vector = 0x51;
	vp.lapic.irr_words = 1;
	pass();
	assert_int_equal(in_place, NMI);
	assert_int_equal(window, 15);
	next_pass();
	assert_int_equal(in_place, 0x51);
}

/* Nobody is told of what cannot be yet, and then it is not forgotten. */
static void test_notification(void **state)
{
	union hv_register_value wish = {.deliverability_notifications.nmi_notification = 1};

	(void)state;
	vp.deliverability_notifications = wish.reg64;
	pass();
	assert_true(entered && nmi_window);
	can_take_nmi = true;
	next_pass();
	assert_true(!entered && told == 1 && !vp.deliverability_notifications);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nmi_before_interrupts, reset),
		cmocka_unit_test_setup(test_nmi_behind_an_event, reset),
		cmocka_unit_test_setup(test_interrupt_while_nmis_are_blocked, reset),
		cmocka_unit_test_setup(test_apic_behind_an_event, reset),
		cmocka_unit_test_setup(test_notification, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
