/*
 * tlfs/synic.c, event.c: SINTs, message slots and queues, event flags, and the pages that a guest
 * places.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/lapic.h"
#include "tlfs/synic.h"

#define SINT      2u
#define VECTOR    0xF3u
#define BUFFERS   15u /* a page of them */
#define RESERVED  4u
#define SIMP_GPN  0x100ull
#define SIEFP_GPN 0x101ull
#define SIRBP_GPN 0x102ull
#define PAGE(gpn) ((gpn) << 12 | 1)
#define AUTO_EOI  HV_SYNIC_SINT_AUTO_EOI
#define POLLING   (1ull << 18)

static struct partition *p;
static struct vp *vp;

static enum access_result write_msr(uint32_t msr, uint64_t value)
{
	return msr_write(vp, msr, value);
}

static uint64_t read_msr(uint32_t msr)
{
	uint64_t value;

	assert_int_equal(msr_read(vp, msr, &value), ACCESS_OK);
	return value;
}

static void set(uint32_t msr, uint64_t value)
{
	assert_int_equal(write_msr(msr, value), ACCESS_OK);
}

/* As Linux does it for VMBus. */
static void enable(void)
{
	set(HV_X64_MSR_SIMP, PAGE(SIMP_GPN));
	set(HV_X64_MSR_SIEFP, PAGE(SIEFP_GPN));
	set(HV_X64_MSR_SINT0 + SINT, VECTOR);
	set(HV_X64_MSR_SCONTROL, 1);
}

static int setup(void **state)
{
	(void)state;
	p = guest_create(false, 1, NULL);
	vp = p->vps[0];
	lapic_mmio_write(vp, LAPIC_SVR << 4, 0x1FF);
	return 0;
}

static int setup_root(void **state)
{
	(void)state;
	p = guest_create(true, 1, NULL);
	vp = p->vps[0];
	assert_int_equal(lapic_msr_write(vp, LAPIC_MSR_X2APIC + LAPIC_SVR, 0x1FF), ACCESS_OK);
	return 0;
}

static int setup_enabled(void **state)
{
	setup(state);
	enable();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

static struct hv_message *slot(uint32_t sint)
{
	return &((struct hv_message_page *)vp->synic.message_page)->sint_message[sint];
}

static hv_status_t post(uint32_t sint, uint32_t type, bool queue)
{
	struct hv_message message = {
		.header = {.message_type = type, .payload_size = 8, .sender = 0x1122},
		.u.payload = {type * 10}};

	return synic_post_message(vp, sint, &message, queue);
}

/* The interrupt of a SINT, once: takes it, without its EOI. */
static bool interrupted(void)
{
	guest_process(p);
	if (lapic_pending(vp) != VECTOR) {
		return false;
	}
	lapic_accept(vp, VECTOR);
	return true;
}

static void end(void)
{
	lapic_eoi(vp);
}

/* The guest's way with a message: read, mark empty, EOM if told that there are more. */
static uint32_t receive(uint32_t sint)
{
	uint32_t type = slot(sint)->header.message_type;
	bool more;

	if (type) {
		assert_int_equal(slot(sint)->u.payload[0], type * 10);
	}
	slot(sint)->header.message_type = HVMSG_NONE;
	more = slot(sint)->header.message_flags.msg_pending;
	if (more) {
		set(HV_X64_MSR_EOM, 0);
	}
	return type;
}

/* ---- registers ---- */

static void registers_after_creation(void **state)
{
	(void)state;
	assert_int_equal(read_msr(HV_X64_MSR_SCONTROL), 0);
	assert_int_equal(read_msr(HV_X64_MSR_SVERSION), 1);
	assert_int_equal(read_msr(HV_X64_MSR_SIMP), 0);
	assert_int_equal(read_msr(HV_X64_MSR_SIEFP), 0);
	assert_int_equal(read_msr(HV_X64_MSR_EOM), 0);
	for (uint32_t i = 0; i < HV_SINT_COUNT; i++) {
		assert_int_equal(read_msr(HV_X64_MSR_SINT0 + i), HV_SYNIC_SINT_MASKED);
	}
	assert_int_equal(write_msr(HV_X64_MSR_SVERSION, 1), ACCESS_FAULT);
}

/* TLFS: RsvdP bits are preserved. */
static void reserved_bits_are_kept(void **state)
{
	(void)state;
	set(HV_X64_MSR_SCONTROL, 0xABCDull << 16);
	assert_int_equal(read_msr(HV_X64_MSR_SCONTROL), 0xABCDull << 16);
	set(HV_X64_MSR_SIMP, 0x5FFE);
	assert_int_equal(read_msr(HV_X64_MSR_SIMP), 0x5FFE);
	assert_int_equal(record.overlay_count, 0);
}

/* TLFS, "SINTx Registers": 16 to 255, else #GP; but a masked or polled SINT raises nothing. */
static void sint_vectors(void **state)
{
	(void)state;
	assert_int_equal(write_msr(HV_X64_MSR_SINT3, 15), ACCESS_FAULT);
	assert_int_equal(read_msr(HV_X64_MSR_SINT3), HV_SYNIC_SINT_MASKED);
	set(HV_X64_MSR_SINT3, 16);
	set(HV_X64_MSR_SINT3, 0xFF);
	set(HV_X64_MSR_SINT3, HV_SYNIC_SINT_MASKED);
	set(HV_X64_MSR_SINT3, POLLING);
}

static bool auto_eoi(uint8_t vector)
{
	return vp->lapic.auto_eoi[vector / 32] & (1u << vector % 32);
}

static void auto_eoi_vectors(void **state)
{
	(void)state;
	set(HV_X64_MSR_SINT0 + SINT, VECTOR | AUTO_EOI);
	assert_true(auto_eoi(VECTOR));
	set(HV_X64_MSR_SINT3, VECTOR);
	assert_true(auto_eoi(VECTOR));
	set(HV_X64_MSR_SINT0 + SINT, VECTOR | AUTO_EOI | HV_SYNIC_SINT_MASKED);
	assert_false(auto_eoi(VECTOR));
	assert_false(auto_eoi(VECTOR - 1));
}

static void auto_eoi_message(void **state)
{
	(void)state;
	set(HV_X64_MSR_SINT0 + SINT, VECTOR | AUTO_EOI);
	assert_int_equal(post(SINT, 1, false), HV_STATUS_SUCCESS);
	assert_true(interrupted());
	assert_int_equal(vp->lapic.isr_words, 0);
}

/* ---- pages ---- */

static void pages_are_placed(void **state)
{
	(void)state;
	enable();
	assert_ptr_equal(guest_overlay(SIMP_GPN), vp->synic.message_page);
	assert_ptr_equal(guest_overlay(SIEFP_GPN), vp->synic.event_page);
	set(HV_X64_MSR_SIMP, PAGE(0x200));
	assert_null(guest_overlay(SIMP_GPN));
	assert_ptr_equal(guest_overlay(0x200), vp->synic.message_page);
	set(HV_X64_MSR_SIMP, 0x200ull << 12);
	assert_null(guest_overlay(0x200));
}

/* TLFS: a base beyond the GPA space is accepted; the page is then nowhere. */
static void page_beyond_the_space(void **state)
{
	(void)state;
	set(HV_X64_MSR_SIMP, PAGE(1ull << 28));
	assert_int_equal(record.overlay_count, 0);
	assert_int_equal(read_msr(HV_X64_MSR_SIMP), PAGE(1ull << 28));
	set(HV_X64_MSR_SIMP, UINT64_MAX);
	set(HV_X64_MSR_SIMP, PAGE(SIMP_GPN));
	assert_int_equal(record.overlay_count, 1);
}

/* When the home cannot lay the page, the register keeps its value. */
static void page_that_cannot_be_laid(void **state)
{
	(void)state;
	machine.overlay_status = HV_STATUS_INSUFFICIENT_MEMORY;
	assert_int_equal(write_msr(HV_X64_MSR_SIMP, PAGE(SIMP_GPN)), ACCESS_FAULT);
	assert_int_equal(read_msr(HV_X64_MSR_SIMP), 0);
}

/* The ring page is for those that have doorbells to hear: the root. */
static void ring_page_is_the_roots(void **state)
{
	(void)state;
	assert_int_equal(write_msr(HV_X64_MSR_SIRBP, PAGE(SIRBP_GPN)),
			 p->id == HV_ROOT_PARTITION ? ACCESS_OK : ACCESS_FAULT);
	if (p->id == HV_ROOT_PARTITION) {
		assert_ptr_equal(guest_overlay(SIRBP_GPN), vp->synic.ring_page);
		assert_int_equal(read_msr(HV_X64_MSR_SIRBP), PAGE(SIRBP_GPN));
	} else {
		uint64_t value;

		assert_int_equal(msr_read(vp, HV_X64_MSR_SIRBP, &value), ACCESS_FAULT);
	}
}

static void creation_without_memory(void **state)
{
	struct synic saved = vp->synic;

	(void)state;
	memset(&vp->synic, 0, sizeof(vp->synic));
	for (uint32_t pages = 0; pages < 3; pages++) {
		machine.pages_left = pages;
		assert_int_equal(synic_create(vp), HV_STATUS_INSUFFICIENT_MEMORY);
	}
	vp->synic = saved; /* the teardown counts the pages */
}

/* ---- messages ---- */

static void message_to_an_empty_slot(void **state)
{
	(void)state;
	slot(SINT)->u.payload[1] = 77;
	assert_int_equal(post(SINT, 5, false), HV_STATUS_SUCCESS);
	assert_int_equal(slot(SINT)->header.message_type, 5);
	assert_int_equal(slot(SINT)->header.payload_size, 8);
	assert_int_equal(slot(SINT)->header.sender, 0x1122);
	assert_int_equal(slot(SINT)->header.message_flags.msg_pending, 0);
	assert_int_equal(slot(SINT)->u.payload[0], 50);
	assert_int_equal(slot(SINT)->u.payload[1], 77); /* only the payload's bytes are written */
	assert_true(interrupted());
}

/* A size beyond the payload, from a parent that makes its own header. */
static void oversized_message(void **state)
{
	struct hv_message message = {.header = {.message_type = 1, .payload_size = 255}};

	(void)state;
	memset(message.u.payload, 0x5A, sizeof(message.u.payload));
	slot(SINT + 1)->u.payload[0] = 42;
	assert_int_equal(synic_post_message(vp, SINT, &message, false), HV_STATUS_SUCCESS);
	assert_int_equal(slot(SINT)->header.payload_size, HV_MESSAGE_PAYLOAD_BYTE_COUNT);
	assert_int_equal(slot(SINT + 1)->header.message_type, 0);
	assert_int_equal(slot(SINT + 1)->u.payload[0], 42);
}

/* TLFS: HV_STATUS_INVALID_SYNIC_STATE: the SynIC, or the SIM page, is disabled. */
static void disabled(void **state)
{
	(void)state;
	set(HV_X64_MSR_SCONTROL, 0);
	assert_int_equal(post(SINT, 1, true), HV_STATUS_INVALID_SYNIC_STATE);
	set(HV_X64_MSR_SCONTROL, 1);
	set(HV_X64_MSR_SIMP, SIMP_GPN << 12);
	assert_int_equal(post(SINT, 1, true), HV_STATUS_INVALID_SYNIC_STATE);
	set(HV_X64_MSR_SIMP, PAGE(SIMP_GPN));
	assert_int_equal(post(SINT, 1, true), HV_STATUS_SUCCESS);
}

/*
 * TLFS, "Messages": with the SINT masked the interrupt is lost, the message is not. Polling
 * likewise.
 */
static void masked_and_polled(void **state)
{
	(void)state;
	set(HV_X64_MSR_SINT0 + SINT, HV_SYNIC_SINT_MASKED | VECTOR);
	assert_int_equal(post(SINT, 1, false), HV_STATUS_SUCCESS);
	assert_false(interrupted());
	assert_int_equal(receive(SINT), 1);
	set(HV_X64_MSR_SINT0 + SINT, POLLING | VECTOR);
	assert_int_equal(post(SINT, 2, false), HV_STATUS_SUCCESS);
	assert_false(interrupted());
	assert_int_equal(receive(SINT), 2);
}

static void full_slot_without_queue(void **state)
{
	(void)state;
	assert_int_equal(post(SINT, 1, false), HV_STATUS_SUCCESS);
	assert_int_equal(slot(SINT)->header.message_flags.msg_pending, 0);
	assert_int_equal(post(SINT, 2, false), HV_STATUS_INSUFFICIENT_BUFFERS);
	assert_int_equal(slot(SINT)->header.message_flags.msg_pending,
			 1); /* an EOM will come, and with it another chance */
	assert_int_equal(receive(SINT), 1);
	assert_int_equal(post(SINT, 2, false), HV_STATUS_SUCCESS);
}

static void queue_in_order(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= 5; i++) {
		assert_int_equal(post(SINT, i, true), HV_STATUS_SUCCESS);
	}
	assert_int_equal(vp->synic.waiting, 1u << SINT);
	assert_true(interrupted());
	end();
	for (uint32_t i = 1; i <= 5; i++) {
		assert_int_equal(slot(SINT)->header.message_flags.msg_pending, i < 5);
		assert_int_equal(receive(SINT), i);
		assert_int_equal(slot(SINT)->header.message_flags.msg_pending, i < 4);
		assert_int_equal(interrupted(), i < 5); /* each message its interrupt */
		end();
	}
	assert_int_equal(vp->synic.waiting, 0);
	assert_int_equal(vp->synic.free_count, BUFFERS);
}

/* The second of the three events that move the queue: an EOI. */
static void eoi_moves_the_queue(void **state)
{
	(void)state;
	post(SINT, 1, true);
	post(SINT, 2, true);
	assert_true(interrupted());
	slot(SINT)->header.message_type = HVMSG_NONE;
	end();
	assert_int_equal(slot(SINT)->header.message_type, 2);
}

/* The third: another message. It goes to the end. */
static void a_message_moves_the_queue(void **state)
{
	(void)state;
	post(SINT, 1, true);
	post(SINT, 2, true);
	slot(SINT)->header.message_type = HVMSG_NONE;
	assert_int_equal(post(SINT, 3, true), HV_STATUS_SUCCESS);
	assert_int_equal(slot(SINT)->header.message_type, 2);
	assert_int_equal(slot(SINT)->header.message_flags.msg_pending, 1);
	assert_int_equal(receive(SINT), 2);
	assert_int_equal(receive(SINT), 3);
}

/* One that may not queue does not overtake those that wait. */
static void no_overtaking(void **state)
{
	(void)state;
	post(SINT, 1, true);
	post(SINT, 2, true);
	slot(SINT)->header.message_type = HVMSG_NONE;
	assert_int_equal(post(SINT, 3, false), HV_STATUS_INSUFFICIENT_BUFFERS);
	assert_int_equal(slot(SINT)->header.message_type, 2);
}

static void queue_waits_for_the_page(void **state)
{
	(void)state;
	post(SINT, 1, true);
	post(SINT, 2, true);
	set(HV_X64_MSR_SIMP, 0);
	slot(SINT)->header.message_type = HVMSG_NONE;
	set(HV_X64_MSR_EOM, 0);
	assert_int_equal(slot(SINT)->header.message_type, HVMSG_NONE);
	set(HV_X64_MSR_SIMP, PAGE(SIMP_GPN));
	assert_int_equal(slot(SINT)->header.message_type, 2);
}

static void buffers_run_out(void **state)
{
	(void)state;
	assert_int_equal(post(SINT, 1, true), HV_STATUS_SUCCESS);
	for (uint32_t i = 0; i < BUFFERS - RESERVED; i++) {
		assert_int_equal(post(SINT, 2, true), HV_STATUS_SUCCESS);
	}
	assert_int_equal(post(SINT, 3, true), HV_STATUS_INSUFFICIENT_BUFFERS);
	assert_int_equal(post(0, 4, true), HV_STATUS_SUCCESS); /* SINT0 has its own: the slot */
	for (uint32_t i = 0; i < RESERVED; i++) {
		assert_int_equal(post(0, 5, true), HV_STATUS_SUCCESS);
	}
	assert_int_equal(post(0, 6, true), HV_STATUS_INSUFFICIENT_BUFFERS);
	assert_int_equal(vp->synic.free_count, 0);
	slot(0)->header.message_type = HVMSG_NONE; /* room, though no EOM has come */
	assert_int_equal(post(0, 7, true), HV_STATUS_SUCCESS);
	assert_int_equal(vp->synic.free_count, 0);
	assert_int_equal(receive(SINT), 1);
	assert_int_equal(vp->synic.free_count, 1);
}

static void eom_with_nothing_waiting(void **state)
{
	(void)state;
	set(HV_X64_MSR_EOM, 0x1234); /* any value triggers */
	assert_false(interrupted());
}

/* Reset: disabled, masked, pages cleared and gone from the space, queues empty. */
static void reset(void **state)
{
	(void)state;
	set(HV_X64_MSR_SINT0 + SINT, VECTOR | AUTO_EOI);
	post(SINT, 1, true);
	post(SINT, 2, true);
	synic_reset(vp);
	registers_after_creation(NULL);
	assert_int_equal(slot(SINT)->header.message_type, HVMSG_NONE);
	assert_int_equal(record.overlay_count, 0);
	assert_int_equal(vp->synic.waiting, 0);
	assert_int_equal(vp->synic.free_count, BUFFERS);
	assert_false(auto_eoi(VECTOR));
}

/* What waits outside the SynIC hears of the root's EOM, and of it alone. */
static void root_eom_tells_notifications(void **state)
{
	uint32_t before;

	(void)state;
	enable();
	before = record.notify_flush_count;
	set(HV_X64_MSR_EOM, 0);
	assert_int_equal(record.notify_flush_count, before + 1);
}

/*
 * A parent that waits for a free slot is told by an intercept
 * (HV_REGISTER_DELIVERABILITY_NOTIFICATIONS).
 */
static void sint_deliverable(void **state)
{
	union hv_deliverability_notifications_register wish = {.sints = 1u << SINT};
	struct hv_x64_sint_deliverable_message message;

	(void)state;
	post(SINT, 1, false);
	post(SINT, 2, false);
	vp->deliverability_notifications = wish.as_uint64;
	vp_post_event(vp, VP_EVENT_SYNIC);
	guest_process(p);
	assert_int_equal(vp->suspend, 0);
	assert_int_equal(receive(SINT), 1);
	guest_process(p);
	assert_int_equal(vp->suspend, VP_SUSPEND_INTERCEPT);
	assert_int_equal(vp->intercept_page->header.message_type, HVMSG_SYNIC_SINT_DELIVERABLE);
	memcpy(&message, vp->intercept_page->u.payload, sizeof(message));
	assert_int_equal(message.deliverable_sints, 1u << SINT);
	assert_int_equal(vp->deliverability_notifications, 0);
}

/* ---- event flags ---- */

static uint64_t *flags(uint32_t sint)
{
	return ((struct hv_synic_event_flags_page *)vp->synic.event_page)
		->event_flags[sint]
		.flags64;
}

static void event_flag(void **state)
{
	bool fresh;

	(void)state;
	assert_int_equal(synic_signal_event(vp, SINT, 2047, &fresh), HV_STATUS_SUCCESS);
	assert_true(fresh);
	assert_true(flags(SINT)[31] == 1ull << 63);
	assert_true(interrupted());
	end();
	assert_int_equal(synic_signal_event(vp, SINT, 2047, &fresh), HV_STATUS_SUCCESS);
	assert_false(fresh); /* the guest has not seen the first */
	assert_false(interrupted());
	flags(SINT)[31] = 0;
	assert_int_equal(synic_signal_event(vp, SINT, 2047, &fresh), HV_STATUS_SUCCESS);
	assert_true(fresh);
}

static void event_refused(void **state)
{
	bool fresh;

	(void)state;
	assert_int_equal(synic_signal_event(vp, SINT, 2048, &fresh), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(synic_signal_event(vp, HV_SINT_COUNT, 0, &fresh),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(synic_signal_event(vp, UINT32_MAX, UINT32_MAX, &fresh),
			 HV_STATUS_INVALID_PARAMETER);
	/* TLFS, "Event Flag Delivery": a masked SINT refuses, a polled one does not. */
	set(HV_X64_MSR_SINT0 + SINT, HV_SYNIC_SINT_MASKED);
	assert_int_equal(synic_signal_event(vp, SINT, 0, &fresh), HV_STATUS_INVALID_SYNIC_STATE);
	set(HV_X64_MSR_SINT0 + SINT, POLLING | HV_SYNIC_SINT_MASKED);
	assert_int_equal(synic_signal_event(vp, SINT, 0, &fresh), HV_STATUS_SUCCESS);
	assert_false(interrupted());
	set(HV_X64_MSR_SINT0 + SINT, VECTOR);
	set(HV_X64_MSR_SIEFP, 0);
	assert_int_equal(synic_signal_event(vp, SINT, 1, &fresh), HV_STATUS_INVALID_SYNIC_STATE);
	set(HV_X64_MSR_SIEFP, PAGE(SIEFP_GPN));
	set(HV_X64_MSR_SCONTROL, 0);
	assert_int_equal(synic_signal_event(vp, SINT, 1, &fresh), HV_STATUS_INVALID_SYNIC_STATE);
	assert_int_equal(flags(SINT)[0], 1);
}

#define TEST(test)    cmocka_unit_test_setup_teardown(test, setup, teardown)
#define ENABLED(test) cmocka_unit_test_setup_teardown(test, setup_enabled, teardown)
#define ROOT(test)    cmocka_unit_test_setup_teardown(test, setup_root, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers_after_creation),
		TEST(reserved_bits_are_kept),
		TEST(sint_vectors),
		TEST(auto_eoi_vectors),
		ENABLED(auto_eoi_message),
		TEST(pages_are_placed),
		TEST(page_beyond_the_space),
		TEST(page_that_cannot_be_laid),
		TEST(ring_page_is_the_roots),
		ROOT(ring_page_is_the_roots),
		TEST(creation_without_memory),
		ENABLED(message_to_an_empty_slot),
		ENABLED(oversized_message),
		ENABLED(disabled),
		ENABLED(masked_and_polled),
		ENABLED(full_slot_without_queue),
		ENABLED(queue_in_order),
		ENABLED(eoi_moves_the_queue),
		ENABLED(a_message_moves_the_queue),
		ENABLED(no_overtaking),
		ENABLED(queue_waits_for_the_page),
		ENABLED(buffers_run_out),
		ENABLED(eom_with_nothing_waiting),
		ENABLED(reset),
		ROOT(root_eom_tells_notifications),
		ENABLED(sint_deliverable),
		ENABLED(event_flag),
		ENABLED(event_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
