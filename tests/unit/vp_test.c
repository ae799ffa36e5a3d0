/*
 * tlfs/vp.c, notify.c and DispatchVp: events, suspension, halts, and what the root's scheduler is
 * told about them.
 */
#include "tests/fake/parent.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ROOT_SIM_GPN  40
#define ROOT_SIEF_GPN 41
#define VECTOR        0xf3

static struct partition *child;
static struct vp *vp;
static struct hv_output_dispatch_vp out;

static int setup(void **state)
{
	(void)state;
	fake_boot(2);
	child = child_create(4);
	vp = child->vps[0];
	synic_enable(root_vp(), ROOT_SIM_GPN, ROOT_SIEF_GPN, 0, VECTOR);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	child_destroy(child);
	fake_shutdown();
	return 0;
}

static void resume(uint32_t index)
{
	assert_int_equal(set_register(child->id, index, HV_REGISTER_EXPLICIT_SUSPEND, 0),
			 HV_STATUS_SUCCESS);
}

static void expect_dispatch(uint32_t index, uint32_t flags, uint32_t state, uint32_t event)
{
	assert_int_equal(dispatch_vp(child->id, index, flags, &out), HV_STATUS_SUCCESS);
	assert_int_equal(out.dispatch_state, state);
	assert_int_equal(out.dispatch_event, event);
}

/* The next scheduler message names exactly these VPs of the child. */
static void expect_signal(uint64_t vps)
{
	struct hv_message message = take_message(root_vp(), 0);
	struct hv_vp_signal_bitset_scheduler_message payload;

	memcpy(&payload, message.u.payload, sizeof(payload));
	assert_int_equal(message.header.message_type, HVMSG_SCHEDULER_VP_SIGNAL_BITSET);
	assert_int_equal(payload.partition_id, child->id);
	assert_int_equal(payload.vp_bitset.bitset.valid_bank_mask, 1);
	assert_int_equal(payload.vp_bitset.bitset_buffer[2], vps);
	assert_int_equal(payload.vp_count, __builtin_popcountll(vps));
}

static void expect_silence(void)
{
	assert_int_equal(take_message(root_vp(), 0).header.message_type, HVMSG_NONE);
}

static void apic_on(struct vp *target)
{
	lapic_mmio_write(target, 0xf0, 0x1ff);
}

static void halt(struct vp *target)
{
	vp_halt(target, true);
}

/* ---- Suspension ---- */

static void a_new_vp_is_suspended(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(get_register(child->id, 0, HV_REGISTER_EXPLICIT_SUSPEND, &value),
			 HV_STATUS_SUCCESS);
	assert_int_equal(value, 1);
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_SUSPEND);
	expect_silence();
}

/* HvCallNotifyLongSpinWait gives the child's turn up, and does nothing to the root. */
static void a_long_wait_ends_the_turn(void **state)
{
	const uint64_t spins = 4096;

	(void)state;
	resume(0);
	assert_int_equal(call_fast(vp, HVCALL_NOTIFY_LONG_SPIN_WAIT, &spins, 8, NULL, 0, 0),
			 HV_STATUS_SUCCESS);
	assert_true(vp->events & VP_EVENT_RELOAD);
	assert_true(vp->spun);
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
	assert_false(vp->events & VP_EVENT_RELOAD);
	assert_int_equal(call_fast(root_vp(), HVCALL_NOTIFY_LONG_SPIN_WAIT, &spins, 8, NULL, 0, 0),
			 HV_STATUS_SUCCESS);
	assert_false(root_vp()->events & VP_EVENT_RELOAD);
}

/* As the kernel's loop has it: dispatch, clear the suspension, wait for the signal, dispatch. */
static void resuming_signals_the_scheduler_once(void **state)
{
	uint64_t count;

	(void)state;
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_SUSPEND);
	resume(0);
	expect_signal(1);
	expect_silence();
	assert_int_equal(get_register(child->id, 0, HV_REGISTER_VP_ROOT_SIGNAL_COUNT, &count),
			 HV_STATUS_SUCCESS);
	assert_int_equal(count, 1);
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
	expect_silence();
}

static void intercept(struct vp *target)
{
	target->intercept_page->header.message_type = HVMSG_X64_HALT;
	vp_intercept(target);
}

static void an_intercept_holds_the_vp_until_it_is_cleared(void **state)
{
	(void)state;
	resume(0);
	fake.run = intercept;
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INTERCEPT);
	fake.run = NULL;
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INTERCEPT);
	expect_dispatch(0, HV_DISPATCH_VP_FLAG_CLEAR_INTERCEPT_SUSPEND, HV_VP_DISPATCH_STATE_READY,
			HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(vp->suspend, 0);
}

/* State and event in the result word, where a rep call counts. */
static void expect_register_dispatch(uint64_t id, uint32_t flags, uint64_t result)
{
	struct hv_input_vd_dispatch_vp in = {.partition_id = id, .flags = flags};

	assert_int_equal(call_fast(root_vp(), HVCALL_VD_DISPATCH_VP, &in, sizeof(in), NULL, 0, 0),
			 result);
}

static void dispatch_has_a_form_for_registers(void **state)
{
	(void)state;
	expect_register_dispatch(child->id, 0, 0x1100000000); /* blocked, suspended */
	resume(0);
	fake.run = intercept;
	expect_register_dispatch(child->id, 0, 0x2200000000); /* ready, intercept */
	fake.run = NULL;
	expect_register_dispatch(child->id, HV_DISPATCH_VP_FLAG_CLEAR_INTERCEPT_SUSPEND,
				 0x0200000000); /* ready */
	expect_register_dispatch(child->id, 0x80, HV_STATUS_INVALID_PARAMETER);
	expect_register_dispatch(1234, 0, HV_STATUS_INVALID_PARTITION_ID);
}

static void an_application_processor_waits_for_its_sipi(void **state)
{
	(void)state;
	resume(1);
	expect_silence();
	expect_dispatch(1, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(lapic_send(child, HV_X64_INTERRUPT_TYPE_INIT, 1, false, 0, false),
			 HV_STATUS_SUCCESS);
	expect_signal(2);
	expect_dispatch(1, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(fake_vp(child->vps[1])->resets, 1);
	assert_int_equal(lapic_send(child, HV_X64_INTERRUPT_TYPE_SIPI, 1, false, 0x9a, false),
			 HV_STATUS_SUCCESS);
	expect_signal(2);
	expect_dispatch(1, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(fake_vp(child->vps[1])->startup_vector, 0x9a);
	/* A second one finds it running. */
	assert_int_equal(lapic_send(child, HV_X64_INTERRUPT_TYPE_SIPI, 1, false, 0x10, false),
			 HV_STATUS_SUCCESS);
	expect_dispatch(1, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(fake_vp(child->vps[1])->startups, 1);
}

static void init_starts_the_bootstrap_processor_again(void **state)
{
	(void)state;
	resume(0);
	assert_int_equal(lapic_send(child, HV_X64_INTERRUPT_TYPE_INIT, 0, false, 0, false),
			 HV_STATUS_SUCCESS);
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(vp->activity, VP_ACTIVE);
	assert_int_equal(fake_vp(vp)->resets, 1);
}

/* ---- Halts ---- */

static void an_interrupt_wakes_a_halted_vp(void **state)
{
	(void)state;
	apic_on(vp);
	resume(0);
	expect_signal(1);
	fake.run = halt;
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_INVALID);
	fake.run = NULL;
	expect_silence();
	lapic_post(vp, 0x40, false);
	lapic_post(vp, 0x41, false);
	expect_signal(1);
	expect_silence();
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(lapic_pending(vp), 0x41);
}

static void halt_with_interrupt_on_the_way(struct vp *target)
{
	lapic_post(target, 0x40, false);
	vp_halt(target, true);
}

/*
 * The event comes while the VP is still dispatched, where nobody signals; it is found when the VP
 * blocks.
 */
static void an_event_during_the_halt_is_not_lost(void **state)
{
	(void)state;
	apic_on(vp);
	resume(0);
	expect_signal(1);
	fake.run = halt_with_interrupt_on_the_way;
	assert_int_equal(dispatch_vp(child->id, 0, 0, &out), HV_STATUS_SUCCESS);
	fake.run = NULL;
	if (out.dispatch_state == HV_VP_DISPATCH_STATE_BLOCKED) {
		expect_signal(1);
	}
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
}

static void masked_halts_need_an_nmi(void **state)
{
	(void)state;
	apic_on(vp);
	resume(0);
	vp_halt(vp, false);
	lapic_post(vp, 0x40, false);
	vp_process_events(vp);
	assert_false(vp_runnable(vp));
	vp_post_nmi(vp);
	vp_process_events(vp);
	assert_true(vp_runnable(vp));
	assert_int_equal(vp->nmi_pending, 1);
}

/*
 * A processor handles one NMI and keeps one (Intel SDM vol. 3, 6.7.1): of three that come before
 * the VP runs two are left; while one is being handled, one.
 */
static void two_nmis_wait(void **state)
{
	(void)state;
	vp_post_nmi(vp);
	vp_post_nmi(vp);
	vp_post_nmi(vp);
	vp_process_events(vp);
	assert_int_equal(vp->nmi_pending, 2);
	vp->nmi_pending = 0;
	vp_post_nmi(vp);
	vp_process_events(vp);
	assert_int_equal(vp->nmi_pending, 1);
	vp->nmi_pending = 0; /* it is handled now */
	assert_int_equal(set_register(child->id, 0, HV_REGISTER_INTERRUPT_STATE, 2),
			 HV_STATUS_SUCCESS);
	vp_post_nmi(vp);
	vp_post_nmi(vp);
	vp_process_events(vp);
	assert_int_equal(vp->nmi_pending, 1);
	vp_post_nmi(vp);
	vp_process_events(vp);
	assert_int_equal(vp->nmi_pending, 1);
	vp_post_nmi(vp);
	vp_post_event(vp, VP_EVENT_INIT);
	vp_process_events(vp);
	assert_int_equal(vp->nmi_pending, 0);
}

static void read_guest_idle(void)
{
	uint64_t value;

	assert_int_equal(msr_read(vp, HV_X64_MSR_GUEST_IDLE, &value), ACCESS_OK);
}

/*
 * A handler waits for a lock in guest idle, as Linux does, before its EOI: the IPI that wakes it is
 * of the class in service. A HLT there would go on.
 */
static void guest_idle_ends_by_an_interrupt_of_any_priority(void **state)
{
	(void)state;
	apic_on(vp);
	resume(0);
	lapic_post(vp, 0xf3, false);
	vp_process_events(vp);
	lapic_accept(vp, 0xf3);
	read_guest_idle();
	assert_false(vp_runnable(vp));
	lapic_post(vp, 0xf7, false);
	vp_process_events(vp);
	assert_true(vp_runnable(vp));
	read_guest_idle(); /* it was there before, and whoever sent it does so once */
	assert_true(vp_runnable(vp));
	vp_halt(vp, true);
	assert_false(vp_runnable(vp));
}

/* HLT with an interrupt already pending does not stop the processor. */
static void a_halt_with_something_pending_ends_at_once(void **state)
{
	(void)state;
	apic_on(vp);
	resume(0);
	lapic_post(vp, 0x40, false);
	vp_process_events(vp);
	vp_halt(vp, true);
	assert_int_equal(vp->activity, VP_ACTIVE);
	vp_halt(vp, false);
	assert_int_equal(vp->activity, VP_HALTED);
	vp->extint_pending = true;
	assert_false(vp_runnable(vp));
	vp_halt(vp, true);
	assert_true(vp_runnable(vp));
}

/* The parent acknowledged its PIC because this VP could take the interrupt: in a halt, too. */
static void an_event_of_the_parent_wakes_a_halted_vp(void **state)
{
	union hv_register_value event = {
		.pending_ext_int_event = {.event_pending = 1,
					  .event_type = HV_X64_PENDING_EVENT_EXT_INT,
					  .vector = 0x30}};

	(void)state;
	resume(0);
	vp_halt(vp, true);
	assert_int_equal(set_register(child->id, 0, HV_REGISTER_PENDING_EVENT0, event.reg64),
			 HV_STATUS_SUCCESS);
	assert_true(vp_runnable(vp));
	vp_halt(vp, false); /* with interrupts masked it stays asleep, as for any other */
	assert_false(vp_runnable(vp));
	event.pending_exception_event.event_type = HV_X64_PENDING_EVENT_EXCEPTION;
	assert_int_equal(set_register(child->id, 0, HV_REGISTER_PENDING_EVENT0, event.reg64),
			 HV_STATUS_SUCCESS);
	assert_true(vp_runnable(vp));
}

/* Each has been acknowledged at the PIC, which never repeats it. */
static void no_vector_of_a_pic_is_lost(void **state)
{
	(void)state;
	vp_post_extint(vp, 0x31);
	vp_process_events(vp);
	vp_post_extint(vp, 0x30);
	vp_post_extint(vp, 0xf8);
	vp_process_events(vp);
	assert_true(vp->extint_pending);
	assert_int_equal(vp_take_extint(vp), 0x30);
	assert_true(vp->extint_pending);
	assert_int_equal(vp_take_extint(vp), 0x31);
	assert_int_equal(vp_take_extint(vp), 0xf8);
	assert_false(vp->extint_pending);
	vp_post_extint(vp, 0x30);
	vp_process_events(vp);
	vp_post_event(vp, VP_EVENT_INIT);
	vp_process_events(vp);
	assert_false(vp->extint_pending);
	vp_post_event(vp, VP_EVENT_EXTINT);
	vp_process_events(vp);
	assert_false(vp->extint_pending);
}

static void a_timer_wakes_a_halted_vp(void **state)
{
	(void)state;
	apic_on(vp);
	resume(0);
	expect_signal(1);
	lapic_mmio_write(vp, 0x320, 0x50); /* one-shot, vector 0x50 */
	lapic_mmio_write(vp, 0x3e0, 0xb);  /* divide by 1 */
	lapic_mmio_write(vp, 0x380, 1000);
	assert_int_equal(fake_vp(vp)->deadline_tsc,
			 fake.tsc + 1000 * (FAKE_TSC_HZ / HV_APIC_BUS_HZ));
	fake.run = halt;
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_INVALID);
	fake.run = NULL;
	fake.tsc = fake_vp(vp)->deadline_tsc;
	vp_post_event(vp, VP_EVENT_TIMER);
	expect_signal(1);
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(lapic_pending(vp), 0x50);
	assert_int_equal(fake_vp(vp)->deadline_tsc, HV_NEVER);
}

/* ---- Signals ---- */

static void a_suspended_vp_is_not_signalled(void **state)
{
	(void)state;
	apic_on(vp);
	lapic_post(vp, 0x40, false);
	expect_silence();
	resume(0);
	expect_signal(1);
}

/* It waits for its SIPI, which comes between the answer that it is suspended and its resumption. */
static void what_came_while_it_was_suspended_is_told_at_its_end(void **state)
{
	(void)state;
	expect_dispatch(1, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_SUSPEND);
	vp_post_event(child->vps[1], VP_EVENT_INIT);
	vp_post_event(child->vps[1], VP_EVENT_SIPI);
	expect_silence();
	resume(1);
	expect_signal(2);
	expect_silence();
}

static void events_that_need_no_dispatch_are_not_signalled(void **state)
{
	(void)state;
	resume(0);
	expect_signal(1);
	fake.run = halt;
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_INVALID);
	fake.run = NULL;
	vp_post_event(vp, VP_EVENT_TLB | VP_EVENT_RELOAD | VP_EVENT_SUSPEND);
	expect_silence();
}

/* The slot is full: what comes meanwhile is told by the next message, all at once. */
static void signals_wait_for_the_slot(void **state)
{
	(void)state;
	resume(0);
	for (uint32_t i = 1; i < 4; i++) {
		child->vps[i]->activity = VP_ACTIVE;
		resume(i);
	}
	expect_signal(1);
	expect_signal(2 | 4 | 8);
	expect_silence();
}

static void vps_of_several_partitions_go_in_pairs(void **state)
{
	struct partition *other = child_create(1);
	struct hv_vp_signal_pair_scheduler_message payload;
	struct hv_message message;

	(void)state;
	resume(0);
	child->vps[1]->activity = VP_ACTIVE;
	resume(1);
	assert_int_equal(set_register(other->id, 0, HV_REGISTER_EXPLICIT_SUSPEND, 0),
			 HV_STATUS_SUCCESS);
	expect_signal(1);
	message = take_message(root_vp(), 0);
	memcpy(&payload, message.u.payload, sizeof(payload));
	assert_int_equal(message.header.message_type, HVMSG_SCHEDULER_VP_SIGNAL_PAIR);
	assert_int_equal(payload.vp_count, 2);
	assert_int_equal(payload.partition_ids[0], child->id);
	assert_int_equal(payload.vp_indexes[0], 1);
	assert_int_equal(payload.partition_ids[1], other->id);
	assert_int_equal(payload.vp_indexes[1], 0);
	expect_silence();
	child_destroy(other);
}

/* Signals that came before the root's SynIC was on are told when it is. */
static void signals_wait_for_the_synic(void **state)
{
	(void)state;
	assert_int_equal(synic_msr_write(root_vp(), HV_X64_MSR_SCONTROL, 0), ACCESS_OK);
	resume(0);
	expect_silence();
	assert_int_equal(synic_msr_write(root_vp(), HV_X64_MSR_SCONTROL, 1), ACCESS_OK);
	if (root_vp()->events) {
		vp_process_events(root_vp());
	}
	expect_signal(1);
}

static void no_signal_follows_dispatch_suspend(void **state)
{
	uint64_t count;

	(void)state;
	apic_on(vp);
	child->vps[1]->activity = VP_ACTIVE;
	resume(1);
	resume(0); /* waits behind the message about VP 1 */
	assert_int_equal(set_register(child->id, 0, HV_REGISTER_DISPATCH_SUSPEND, 1),
			 HV_STATUS_SUCCESS);
	lapic_post(vp, 0x40, false);
	expect_signal(2);
	expect_silence();
	assert_int_equal(get_register(child->id, 0, HV_REGISTER_VP_ROOT_SIGNAL_COUNT, &count),
			 HV_STATUS_SUCCESS);
	assert_int_equal(count, 0);
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_SUSPEND);
}

/* A VP that waits in the root's queue can be destroyed. */
static void a_queued_vp_can_go(void **state)
{
	uint64_t in[2] = {child->id, 2};

	(void)state;
	for (uint32_t i = 1; i < 4; i++) {
		child->vps[i]->activity = VP_ACTIVE;
		resume(i);
	}
	assert_int_equal(
		status_of(call_fast(root_vp(), HVCALL_DELETE_VP, in, sizeof(in), NULL, 0, 0)),
		HV_STATUS_SUCCESS);
	expect_signal(2);
	expect_signal(8);
	expect_silence();
}

/* Nor does a deadline that passes while its VP is destroyed leave it in a queue. */
static void a_vp_goes_while_its_timer_expires(void **state)
{
	uint64_t in[2] = {child->id, 2};
	struct vp *gone = child->vps[2];

	(void)state;
	child->vps[1]->activity = gone->activity = VP_ACTIVE;
	apic_on(gone);
	resume(2);
	expect_signal(4);
	lapic_mmio_write(gone, 0x320, 0x50);
	lapic_mmio_write(gone, 0x380, 1000);
	fake.run = halt;
	expect_dispatch(2, 0, HV_VP_DISPATCH_STATE_BLOCKED, HV_VP_DISPATCH_EVENT_INVALID);
	fake.run = NULL;
	resume(0); /* its message fills the slot */
	resume(1);
	fake.late_expiry = true;
	assert_int_equal(
		status_of(call_fast(root_vp(), HVCALL_DELETE_VP, in, sizeof(in), NULL, 0, 0)),
		HV_STATUS_SUCCESS);
	fake.late_expiry = false;
	expect_signal(1);
	expect_signal(2);
	expect_silence();
}

static void ends_of_interrupts_are_told_by_vector(void **state)
{
	struct hv_x64_apic_eoi_message payload;
	struct hv_message message;

	(void)state;
	notify_apic_eoi(vp, 0x31);
	notify_apic_eoi(vp, 0x91);
	notify_apic_eoi(vp, 0x91);
	resume(0);
	for (uint32_t i = 0; i < 2; i++) {
		message = take_message(root_vp(), 0);
		memcpy(&payload, message.u.payload, sizeof(payload));
		assert_int_equal(message.header.message_type, HVMSG_X64_APIC_EOI);
		assert_int_equal(message.header.sender, child->id);
		assert_int_equal(payload.vp_index, 0);
		assert_int_equal(payload.interrupt_vector, i ? 0x91 : 0x31);
	}
	expect_signal(1);
	expect_silence();
}

static void messages_go_to_the_vp_that_dispatched(void **state)
{
	struct hv_input_dispatch_vp in = {.partition_id = child->id, .vp_index = 0};

	(void)state;
	apic_on(vp);
	synic_enable(fake_root.vps[1], ROOT_SIM_GPN + 2, ROOT_SIEF_GPN + 2, 0, VECTOR);
	resume(0);
	expect_signal(1);
	fake.run = halt;
	assert_int_equal(status_of(call(fake_root.vps[1], HVCALL_DISPATCH_VP, &in, sizeof(in), &out,
					sizeof(out))),
			 HV_STATUS_SUCCESS);
	fake.run = NULL;
	lapic_post(vp, 0x40, false);
	expect_silence();
	assert_int_equal(take_message(fake_root.vps[1], 0).header.message_type,
			 HVMSG_SCHEDULER_VP_SIGNAL_BITSET);
}

/* ---- Injection and deliverability ---- */

static uint64_t slice_seen;

static void use_up_the_slice(struct vp *running)
{
	slice_seen = fake.slice_end;
	vp_post_event(running, VP_EVENT_RELOAD); /* as the home does when the time has passed */
}

static hv_status_t dispatch_for(uint64_t slice_100ns, uint32_t flags, uint64_t spec_ctrl)
{
	struct hv_input_dispatch_vp in = {.partition_id = child->id,
					  .flags = flags,
					  .time_slice = slice_100ns,
					  .spec_ctrl = spec_ctrl};

	return status_of(call(root_vp(), HVCALL_DISPATCH_VP, &in, sizeof(in), &out, sizeof(out)));
}

static void a_time_slice_ends(void **state)
{
	(void)state;
	resume(0);
	fake.run = use_up_the_slice;
	fake.tsc = 1000;
	assert_int_equal(dispatch_for(10000, 0, 0), HV_STATUS_SUCCESS); /* a millisecond */
	assert_int_equal(slice_seen, 1000 + FAKE_TSC_HZ / 1000);
	assert_int_equal(fake.slice_end, 0);
	assert_int_equal(out.dispatch_state, HV_VP_DISPATCH_STATE_READY);
	assert_int_equal(out.dispatch_event, HV_VP_DISPATCH_EVENT_INVALID);
	for (uint32_t i = 0; i < 2; i++) { /* no limit, and one that is none */
		assert_int_equal(dispatch_for(i ? UINT64_MAX : 0, 0, 0), HV_STATUS_SUCCESS);
		assert_int_equal(slice_seen, 0);
	}
	fake.run = NULL;
}

static void work(struct vp *running)
{
	uint64_t now;

	fake.tsc += FAKE_TSC_HZ / 1000;
	assert_int_equal(msr_read(running, HV_X64_MSR_VP_RUNTIME, &now), ACCESS_OK);
	assert_int_equal(now, running->stats_page[1] + HV_REF_HZ / 1000);
	fake.tsc += FAKE_TSC_HZ / 1000;
}

/* A VP's time is that of its dispatches, and none of its parent's. */
static void time_is_counted_for_the_vp_that_runs(void **state)
{
	struct hv_input_get_logical_processor_run_time in = {.lp_index = 0};
	struct hv_output_get_logical_processor_run_time times;
	uint64_t value;

	(void)state;
	vp_run_switch(NULL, root_vp()); /* as the home does when it enters the root */
	resume(0);
	fake.run = work;
	for (uint32_t i = 1; i <= 3; i++) {
		expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
		fake.tsc += 5 * (FAKE_TSC_HZ / 1000);
		assert_int_equal(get_register(child->id, 0, HV_REGISTER_VP_RUNTIME, &value),
				 HV_STATUS_SUCCESS);
		assert_int_equal(value, i * (HV_REF_HZ / 500));
		assert_int_equal(vp->stats_page[1], value); /* HV_STATS_VP_TOTAL_RUN_TIME */
	}
	fake.run = NULL;
	assert_int_equal(msr_read(root_vp(), HV_X64_MSR_VP_RUNTIME, &value), ACCESS_OK);
	assert_int_equal(value, 15 * (HV_REF_HZ / 1000));
	vp_run_switch(root_vp(), NULL);
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_LOGICAL_PROCESSOR_RUN_TIME, &in,
					sizeof(in), &times, sizeof(times))),
			 HV_STATUS_SUCCESS);
	assert_int_equal(times.local_run_time, 21 * (HV_REF_HZ / 1000));
}

static void the_caller_chooses_its_speculation_control(void **state)
{
	const uint32_t set = HV_DISPATCH_VP_FLAG_SET_CALLER_SPEC_CTRL;

	(void)state;
	resume(0);
	assert_int_equal(dispatch_for(0, set, 5), HV_STATUS_SUCCESS);
	assert_int_equal(fake.spec_ctrl, 5);
	assert_int_equal(dispatch_for(0, 0, 1), HV_STATUS_SUCCESS);
	assert_int_equal(fake.spec_ctrl, 5);
	assert_int_equal(dispatch_for(0, set, 8), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(fake.spec_ctrl, 5);
	expect_register_dispatch(child->id, set, HV_STATUS_INVALID_PARAMETER);
}

static void dispatch_takes_vectors_from_the_register_page(void **state)
{
	struct hv_vp_register_page *page = vp->register_page;

	(void)state;
	apic_on(vp);
	resume(0);
	page->interrupt_vectors.vector_count = 200; /* the page is the root's to write */
	page->interrupt_vectors.vector[0] = 0x60;
	page->interrupt_vectors.vector[6] = 0x61;
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(lapic_pending(vp), -1);
	expect_dispatch(0, HV_DISPATCH_VP_FLAG_SCAN_INTERRUPT_INJECTION, HV_VP_DISPATCH_STATE_READY,
			HV_VP_DISPATCH_EVENT_INVALID);
	assert_int_equal(lapic_pending(vp), 0x61);
	assert_int_equal(page->interrupt_vectors.as_uint64, 0);
	lapic_accept(vp, 0x61);
	lapic_eoi(vp);
	assert_int_equal(lapic_pending(vp), 0x60);
}

static void a_free_slot_is_told_once(void **state)
{
	struct hv_x64_sint_deliverable_message payload;
	struct hv_message_page *page = vp->synic.message_page;

	(void)state;
	synic_enable(vp, 4, 5, 2, 0x70);
	page->sint_message[2].header.message_type = 1;
	resume(0);
	assert_int_equal(set_register(child->id, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS,
				      1ull << (48 + 2)),
			 HV_STATUS_SUCCESS);
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INVALID);
	assert_true(page->sint_message[2].header.message_flags.msg_pending);
	take_message(vp, 2);
	expect_dispatch(0, 0, HV_VP_DISPATCH_STATE_READY, HV_VP_DISPATCH_EVENT_INTERCEPT);
	assert_int_equal(vp->intercept_page->header.message_type, HVMSG_SYNIC_SINT_DELIVERABLE);
	memcpy(&payload, vp->intercept_page->u.payload, sizeof(payload));
	assert_int_equal(payload.deliverable_sints, 1 << 2);
	assert_int_equal(vp->deliverability_notifications, 0);
}

static void bad_dispatches_are_refused(void **state)
{
	(void)state;
	assert_int_equal(dispatch_vp(child->id, 0, 0x80, &out), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(dispatch_vp(child->id, 9, 0, &out), HV_STATUS_INVALID_VP_INDEX);
	assert_int_equal(dispatch_vp(child->id, UINT32_MAX, 0, &out), HV_STATUS_INVALID_VP_INDEX);
	assert_int_equal(dispatch_vp(99999, 0, 0, &out), HV_STATUS_INVALID_PARTITION_ID);
	assert_int_equal(dispatch_vp(HV_PARTITION_ID_SELF, 0, 0, &out),
			 HV_STATUS_INVALID_PARTITION_ID);
	assert_int_equal(dispatch_vp(HV_PARTITION_ID_SELF, 1, 0, &out), HV_STATUS_INVALID_VP_STATE);
}

/* ---- Two LPs ---- */

static void run_until_asked_to_let_go(struct vp *target)
{
	while (!(__atomic_load_n(&target->events, __ATOMIC_SEQ_CST) & VP_EVENT_RELOAD)) {
		__builtin_ia32_pause();
	}
}

static void *other_lp(void *stop)
{
	struct hv_input_dispatch_vp in = {.partition_id = child->id, .vp_index = 0};

	while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE)) {
		struct hypercall_regs regs = {.rcx = HVCALL_DISPATCH_VP,
					      .rdx = (PARENT_INPUT_GPN + 1) * PAGE_SIZE,
					      .r8 = (PARENT_OUTPUT_GPN + 1) * PAGE_SIZE};

		fake_write(&fake_root, regs.rdx, &in, sizeof(in));
		if (hypercall_enter(fake_root.vps[1], &regs) != HYPERCALL_DONE || regs.rax) {
			return "the call failed";
		}
	}
	return NULL;
}

/*
 * LP 1 runs the VP in an endless guest loop; LP 0 gets at its registers all the same, again and
 * again.
 */
static void registers_of_a_running_vp_can_be_had(void **state)
{
	bool stop = false;
	pthread_t thread;
	uint64_t value;
	void *failure;

	(void)state;
	resume(0);
	fake.run = run_until_asked_to_let_go;
	assert_int_equal(pthread_create(&thread, NULL, other_lp, &stop), 0);
	for (uint64_t i = 0; i < 300; i++) {
		assert_int_equal(set_register(child->id, 0, HV_X64_REGISTER_RAX, i),
				 HV_STATUS_SUCCESS);
		assert_int_equal(get_register(child->id, 0, HV_X64_REGISTER_RAX, &value),
				 HV_STATUS_SUCCESS);
		assert_int_equal(value, i);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	vp_post_event(vp, VP_EVENT_RELOAD);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		;
	for (;;) { /* it may have begun another round just before */
		vp_post_event(vp, VP_EVENT_RELOAD);
		if (pthread_tryjoin_np(thread, &failure) == 0) {
			break;
		}
	}
	assert_null(failure);
	fake.run = NULL;
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_new_vp_is_suspended),
		T(a_long_wait_ends_the_turn),
		T(resuming_signals_the_scheduler_once),
		T(an_intercept_holds_the_vp_until_it_is_cleared),
		T(dispatch_has_a_form_for_registers),
		T(an_application_processor_waits_for_its_sipi),
		T(init_starts_the_bootstrap_processor_again),
		T(an_interrupt_wakes_a_halted_vp),
		T(an_event_during_the_halt_is_not_lost),
		T(masked_halts_need_an_nmi),
		T(two_nmis_wait),
		T(guest_idle_ends_by_an_interrupt_of_any_priority),
		T(a_halt_with_something_pending_ends_at_once),
		T(no_vector_of_a_pic_is_lost),
		T(an_event_of_the_parent_wakes_a_halted_vp),
		T(a_timer_wakes_a_halted_vp),
		T(a_suspended_vp_is_not_signalled),
		T(what_came_while_it_was_suspended_is_told_at_its_end),
		T(events_that_need_no_dispatch_are_not_signalled),
		T(signals_wait_for_the_slot),
		T(vps_of_several_partitions_go_in_pairs),
		T(signals_wait_for_the_synic),
		T(no_signal_follows_dispatch_suspend),
		T(a_queued_vp_can_go),
		T(a_vp_goes_while_its_timer_expires),
		T(ends_of_interrupts_are_told_by_vector),
		T(messages_go_to_the_vp_that_dispatched),
		T(a_time_slice_ends),
		T(time_is_counted_for_the_vp_that_runs),
		T(the_caller_chooses_its_speculation_control),
		T(dispatch_takes_vectors_from_the_register_page),
		T(a_free_slot_is_told_once),
		T(bad_dispatches_are_refused),
		T(registers_of_a_running_vp_can_be_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
