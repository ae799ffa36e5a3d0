/*
 * tlfs/stimer.c: synthetic timers in message and direct mode, and the rules of their two registers.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/lapic.h"

#define SINT        3u
#define SINT_VECTOR 0x93u
#define VECTOR      0xEDu
#define CONFIG(n)   (HV_X64_MSR_STIMER0_CONFIG + 2 * (n))
#define COUNT(n)    (HV_X64_MSR_STIMER0_COUNT + 2 * (n))

#define ENABLE      1ull
#define PERIODIC    2ull
#define LAZY        4ull
#define AUTO_ENABLE 8ull
#define DIRECT      (1ull << 12 | (uint64_t)VECTOR << 4)
#define MESSAGE     ((uint64_t)SINT << 16)

static struct partition *p;
static struct vp *vp;

static void set(uint32_t msr, uint64_t value)
{
	assert_int_equal(msr_write(vp, msr, value), ACCESS_OK);
}

static uint64_t get(uint32_t msr)
{
	uint64_t value;

	assert_int_equal(msr_read(vp, msr, &value), ACCESS_OK);
	return value;
}

static int setup(void **state)
{
	(void)state;
	p = guest_create(false, 1, NULL);
	vp = p->vps[0];
	lapic_mmio_write(vp, LAPIC_SVR << 4, 0x1FF);
	set(HV_X64_MSR_SIMP, 0x100001);
	set(HV_X64_MSR_SINT0 + SINT, SINT_VECTOR);
	set(HV_X64_MSR_SCONTROL, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

static uint64_t now(void)
{
	return get(HV_X64_MSR_TIME_REF_COUNT);
}

static void advance_100ns(uint64_t time)
{
	guest_advance(p, time * GUEST_TSC_100NS);
}

static bool fired(uint8_t vector)
{
	if (lapic_pending(vp) != vector) {
		return false;
	}
	lapic_accept(vp, vector);
	lapic_eoi(vp);
	return true;
}

static struct hv_message *slot(void)
{
	return &((struct hv_message_page *)vp->synic.message_page)->sint_message[SINT];
}

static struct hv_timer_message_payload take_message(void)
{
	struct hv_timer_message_payload payload;

	assert_int_equal(slot()->header.message_type, HVMSG_TIMER_EXPIRED);
	assert_int_equal(slot()->header.payload_size, sizeof(payload));
	memcpy(&payload, slot()->u.payload, sizeof(payload));
	slot()->header.message_type = HVMSG_NONE;
	if (slot()->header.message_flags.msg_pending) {
		set(HV_X64_MSR_EOM, 0);
	}
	return payload;
}

/* What Linux does: configure once, then write counts. */
static void direct_one_shot(void **state)
{
	(void)state;
	set(CONFIG(0), ENABLE | AUTO_ENABLE | DIRECT);
	assert_int_equal(get(CONFIG(0)) & ENABLE, 0); /* no count yet: nothing to enable */
	for (unsigned int i = 0; i < 3; i++) {
		set(COUNT(0), now() + 1000);
		assert_int_equal(get(CONFIG(0)) & ENABLE, ENABLE);
		advance_100ns(999);
		assert_false(fired(VECTOR));
		advance_100ns(1);
		assert_true(fired(VECTOR));
		assert_int_equal(get(CONFIG(0)) & ENABLE,
				 0); /* TLFS: marked as disabled by its expiry */
	}
	advance_100ns(5000);
	assert_false(fired(VECTOR));
}

/* TLFS: never before its time, however the TSC divides. */
static void never_early(void **state)
{
	uint64_t deadline;

	(void)state;
	set(CONFIG(0), AUTO_ENABLE | DIRECT);
	deadline = now() + 777;
	set(COUNT(0), deadline);
	while (!fired(VECTOR)) {
		assert_true(now() <= deadline);
		guest_advance(p, 37);
	}
	assert_true(now() >= deadline);
}

/* TLFS: a count in the past expires at once. */
static void count_in_the_past(void **state)
{
	(void)state;
	advance_100ns(1000);
	set(CONFIG(0), AUTO_ENABLE | DIRECT);
	set(COUNT(0), now() - 1);
	assert_true(fired(VECTOR));
	set(COUNT(0), now());
	assert_true(fired(VECTOR));
}

/* Without auto-enable: count first, then the enable bit. */
static void enable_by_config(void **state)
{
	(void)state;
	set(CONFIG(1), DIRECT);
	set(COUNT(1), now() + 100);
	advance_100ns(200);
	assert_false(fired(VECTOR));
	set(COUNT(1), now() + 100);
	set(CONFIG(1), DIRECT | ENABLE);
	advance_100ns(100);
	assert_true(fired(VECTOR));
}

/* TLFS, "Synthetic Timer Count Register": 0 stops, whatever auto-enable says. */
static void count_0_stops(void **state)
{
	(void)state;
	set(CONFIG(0), AUTO_ENABLE | DIRECT);
	set(COUNT(0), now() + 1000);
	set(COUNT(0), 0);
	assert_int_equal(get(CONFIG(0)), AUTO_ENABLE | DIRECT);
	advance_100ns(2000);
	assert_false(fired(VECTOR));
	assert_true(record.deadline[0] == HV_NEVER);
}

/* TLFS: SINT 0 is not permitted for an enabled timer, unless it is direct. */
static void sint_0_is_refused(void **state)
{
	(void)state;
	set(COUNT(0), now() + 1000);
	set(CONFIG(0), ENABLE);
	assert_int_equal(get(CONFIG(0)), 0);
	set(CONFIG(0), AUTO_ENABLE);
	set(COUNT(0), now() + 1000);
	assert_int_equal(get(CONFIG(0)), AUTO_ENABLE);
	advance_100ns(2000);
	assert_int_equal(slot()->header.message_type, HVMSG_NONE);
	set(CONFIG(0), AUTO_ENABLE | DIRECT);
	set(COUNT(0), now() + 1000);
	assert_int_equal(get(CONFIG(0)) & ENABLE, ENABLE);
}

static void reserved_bits_are_dropped(void **state)
{
	(void)state;
	set(CONFIG(2), UINT64_MAX & ~ENABLE);
	assert_int_equal(get(CONFIG(2)), 0xF1FFE);
}

/* ---- messages ---- */

static void message_one_shot(void **state)
{
	struct hv_timer_message_payload payload;
	uint64_t deadline = now() + 1000;

	(void)state;
	set(CONFIG(3), AUTO_ENABLE | MESSAGE);
	set(COUNT(3), deadline);
	advance_100ns(1500);
	assert_true(fired(SINT_VECTOR));
	payload = take_message();
	assert_int_equal(payload.timer_index, 3);
	assert_int_equal(payload.reserved, 0);
	assert_int_equal(payload.expiration_time, deadline);
	assert_int_equal(payload.delivery_time, deadline + 500);
}

/* Two timers on one SINT: the second message waits in its own buffer for the slot. */
static void retry_on_a_full_slot(void **state)
{
	uint64_t start = now();
	struct hv_timer_message_payload payload;

	(void)state;
	set(CONFIG(0), AUTO_ENABLE | MESSAGE);
	set(CONFIG(1), AUTO_ENABLE | MESSAGE);
	set(COUNT(0), start + 100);
	set(COUNT(1), start + 100);
	advance_100ns(100);
	assert_int_equal(slot()->header.message_flags.msg_pending, 1);
	assert_int_equal(vp->synic.waiting, 2u << 16);
	advance_100ns(50);
	assert_int_equal(take_message().timer_index, 0);
	payload = take_message();
	assert_int_equal(payload.timer_index, 1);
	assert_int_equal(payload.expiration_time, start + 100);
	assert_int_equal(payload.delivery_time, start + 150);
	assert_int_equal(vp->synic.waiting, 0);
}

/* A new configuration forgets the message that waited. */
static void reconfigured_while_waiting(void **state)
{
	(void)state;
	set(CONFIG(0), AUTO_ENABLE | MESSAGE);
	set(CONFIG(1), AUTO_ENABLE | MESSAGE);
	set(COUNT(0), now() + 100);
	set(COUNT(1), now() + 100);
	advance_100ns(100);
	set(CONFIG(1), MESSAGE);
	assert_int_equal(take_message().timer_index, 0);
	assert_int_equal(slot()->header.message_type, HVMSG_NONE);
	assert_int_equal(vp->synic.waiting, 0);
}

/* With the SynIC off, the message is kept until it is on again. */
static void synic_off(void **state)
{
	(void)state;
	set(HV_X64_MSR_SCONTROL, 0);
	set(CONFIG(0), AUTO_ENABLE | MESSAGE);
	set(COUNT(0), now() + 100);
	advance_100ns(100);
	assert_int_equal(slot()->header.message_type, HVMSG_NONE);
	set(HV_X64_MSR_SCONTROL, 1);
	assert_int_equal(take_message().timer_index, 0);
}

/* ---- periodic ---- */

static void periodic_direct(void **state)
{
	(void)state;
	set(COUNT(0), 10000);
	set(CONFIG(0), ENABLE | PERIODIC | DIRECT);
	for (unsigned int i = 0; i < 4; i++) {
		advance_100ns(9999);
		assert_false(fired(VECTOR));
		advance_100ns(1);
		assert_true(fired(VECTOR));
		assert_int_equal(get(CONFIG(0)) & ENABLE, ENABLE);
	}
	advance_100ns(55000); /* missed ticks: one, and in step afterwards */
	assert_true(fired(VECTOR));
	assert_false(fired(VECTOR));
	advance_100ns(4999);
	assert_false(fired(VECTOR));
	advance_100ns(1);
	assert_true(fired(VECTOR));
}

static void periodic_message(void **state)
{
	uint64_t start = now();

	(void)state;
	set(COUNT(0), 10000);
	set(CONFIG(0), ENABLE | PERIODIC | MESSAGE);
	advance_100ns(10000);
	assert_int_equal(slot()->header.message_type, HVMSG_TIMER_EXPIRED);
	advance_100ns(35000); /* the slot is full all the while */
	assert_int_equal(take_message().expiration_time, start + 10000);
	assert_int_equal(take_message().expiration_time, start + 40000); /* the last that was due */
	assert_int_equal(slot()->header.message_type, HVMSG_NONE);
	advance_100ns(5000);
	assert_int_equal(take_message().expiration_time, start + 50000);
}

/* TLFS: a lazy tick that could only come shortly before the next is skipped. */
static void lazy(void **state)
{
	(void)state;
	set(COUNT(0), 10000);
	set(CONFIG(0), ENABLE | PERIODIC | LAZY | DIRECT);
	advance_100ns(12000);
	assert_true(fired(VECTOR));
	advance_100ns(27800); /* 39,800: one period and 9,800 late */
	assert_false(fired(VECTOR));
	advance_100ns(200);
	assert_true(fired(VECTOR));
}

/* A lazy message does not wait for the slot. */
static void lazy_message(void **state)
{
	(void)state;
	set(COUNT(0), 10000);
	set(CONFIG(0), ENABLE | PERIODIC | LAZY | MESSAGE);
	advance_100ns(10000);
	advance_100ns(10000);
	assert_int_equal(vp->synic.waiting, 0);
	take_message();
	assert_int_equal(slot()->header.message_type, HVMSG_NONE);
}

static void shortest_period(void **state)
{
	(void)state;
	set(COUNT(0), 1);
	set(CONFIG(0), ENABLE | PERIODIC | DIRECT);
	advance_100ns(1);
	assert_true(fired(VECTOR));
	assert_true(record.deadline[0] >= machine.tsc + 100 * GUEST_TSC_100NS);
}

/* A period that no clock reaches never expires, and does not wrap. */
static void longest_period(void **state)
{
	(void)state;
	advance_100ns(5000);
	set(COUNT(0), UINT64_MAX);
	set(CONFIG(0), ENABLE | PERIODIC | DIRECT);
	advance_100ns(1ull << 40);
	assert_false(fired(VECTOR));
	set(CONFIG(0), ENABLE | DIRECT);
	advance_100ns(1ull << 40);
	assert_false(fired(VECTOR));
}

/* ---- together ---- */

/* The earliest of the local APIC's timer and the four is what the home is asked for. */
static void earliest_deadline(void **state)
{
	uint64_t start = now();

	(void)state;
	set(CONFIG(0), AUTO_ENABLE | DIRECT);
	set(CONFIG(1), AUTO_ENABLE | DIRECT);
	set(COUNT(0), start + 3000);
	set(COUNT(1), start + 2000);
	assert_int_equal(record.deadline[0], machine.tsc + 2000 * GUEST_TSC_100NS);
	lapic_mmio_write(vp, LAPIC_LVT_TIMER << 4, 0x31);
	lapic_mmio_write(vp, LAPIC_TIMER_DIVIDE << 4, 0xB);
	lapic_mmio_write(vp, LAPIC_TIMER_INITIAL << 4, HV_APIC_BUS_HZ / HV_REF_HZ * 1000);
	assert_int_equal(record.deadline[0], machine.tsc + 1000 * GUEST_TSC_100NS);
	advance_100ns(1000);
	assert_true(fired(0x31));
	advance_100ns(1000);
	assert_true(fired(VECTOR));
	assert_int_equal(record.deadline[0], machine.tsc + 1000 * GUEST_TSC_100NS);
}

static void reset(void **state)
{
	(void)state;
	set(CONFIG(0), AUTO_ENABLE | MESSAGE);
	set(COUNT(0), now() + 10);
	advance_100ns(10);
	set(COUNT(0), now() + 10);
	advance_100ns(10);
	assert_int_equal(vp->synic.waiting, 1u << 16);
	stimer_reset(vp);
	assert_int_equal(vp->synic.waiting, 0);
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++) {
		assert_int_equal(get(CONFIG(i)), 0);
		assert_int_equal(get(COUNT(i)), 0);
	}
	advance_100ns(100);
	take_message(); /* the one that was delivered before */
	assert_int_equal(slot()->header.message_type, HVMSG_NONE);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(direct_one_shot),
		TEST(never_early),
		TEST(count_in_the_past),
		TEST(enable_by_config),
		TEST(count_0_stops),
		TEST(sint_0_is_refused),
		TEST(reserved_bits_are_dropped),
		TEST(message_one_shot),
		TEST(retry_on_a_full_slot),
		TEST(reconfigured_while_waiting),
		TEST(synic_off),
		TEST(periodic_direct),
		TEST(periodic_message),
		TEST(lazy),
		TEST(lazy_message),
		TEST(shortest_period),
		TEST(longest_period),
		TEST(earliest_deadline),
		TEST(reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
