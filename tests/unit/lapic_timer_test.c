/*
 * tlfs/lapic_timer.c: the three modes, the divisor, the current count, and what changes on the run.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/lapic.h"

#define TSC_A_TICK   (GUEST_TSC_HZ / HV_APIC_BUS_HZ) /* of the undivided bus clock */
#define VECTOR       0x31u
#define PERIODIC     (1u << 17)
#define TSC_DEADLINE (2u << 17)
#define DIVIDE_BY_1  0xBu

static struct partition *p;
static struct vp *vp;

static int setup(void **state)
{
	(void)state;
	p = guest_create(false, 1, NULL);
	vp = p->vps[0];
	lapic_mmio_write(vp, LAPIC_SVR << 4, 0x1FF);
	lapic_mmio_write(vp, LAPIC_TIMER_DIVIDE << 4, DIVIDE_BY_1);
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
	return lapic_mmio_read(vp, (uint32_t)reg << 4);
}

static void set(enum lapic_register reg, uint32_t value)
{
	lapic_mmio_write(vp, (uint32_t)reg << 4, value);
}

static uint64_t guest_tsc(void)
{
	return machine.tsc + vp->tsc_offset;
}

static void set_deadline(uint64_t deadline)
{
	assert_int_equal(msr_write(vp, LAPIC_MSR_TSC_DEADLINE, deadline), ACCESS_OK);
}

static uint64_t deadline_msr(void)
{
	uint64_t value;

	assert_int_equal(msr_read(vp, LAPIC_MSR_TSC_DEADLINE, &value), ACCESS_OK);
	return value;
}

/* Did it fire? Ends what did. */
static bool fired(void)
{
	int vector = lapic_pending(vp);

	if (vector < 0) {
		return false;
	}
	assert_int_equal(vector, VECTOR);
	lapic_accept(vp, (uint8_t)vector);
	lapic_eoi(vp);
	return true;
}

static void one_shot(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR);
	set(LAPIC_TIMER_INITIAL, 1000);
	assert_int_equal(record.deadline[0], machine.tsc + 1000 * TSC_A_TICK);
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 1000);
	guest_advance(p, 999 * TSC_A_TICK);
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 1);
	assert_false(fired());
	guest_advance(p, TSC_A_TICK - 1);
	assert_false(fired()); /* never early */
	guest_advance(p, 1);
	assert_true(fired());
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 0);
	assert_int_equal(get(LAPIC_TIMER_INITIAL), 1000);
	assert_true(record.deadline[0] == HV_NEVER);
	guest_advance(p, 5000 * TSC_A_TICK);
	assert_false(fired());
}

/* SDM, "Divide Configuration Register": bits 3, 1 and 0. */
static void divisors(void **state)
{
	static const struct {
		uint32_t code, divisor;
	} rows[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR);
	for (unsigned int i = 0; i < ARRAY_COUNT(rows); i++) {
		set(LAPIC_TIMER_DIVIDE, rows[i].code);
		assert_int_equal(get(LAPIC_TIMER_DIVIDE), rows[i].code);
		set(LAPIC_TIMER_INITIAL, 100);
		assert_int_equal(record.deadline[0],
				 machine.tsc + 100 * rows[i].divisor * TSC_A_TICK);
		guest_advance(p, 40 * rows[i].divisor * TSC_A_TICK);
		assert_int_equal(get(LAPIC_TIMER_CURRENT), 60);
	}
}

/* On the run, the count goes on from where it is. */
static void divisor_changes_on_the_run(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR);
	set(LAPIC_TIMER_INITIAL, 1000);
	guest_advance(p, 400 * TSC_A_TICK);
	set(LAPIC_TIMER_DIVIDE, 0); /* by 2 */
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 600);
	guest_advance(p, 600 * TSC_A_TICK);
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 300);
	guest_advance(p, 600 * TSC_A_TICK);
	assert_true(fired());
}

static void periodic(void **state)
{
	const uint64_t period = 100000 * TSC_A_TICK;

	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	set(LAPIC_TIMER_INITIAL, 100000);
	for (unsigned int i = 0; i < 5; i++) {
		guest_advance(p, period / 2);
		assert_int_equal(get(LAPIC_TIMER_CURRENT), 50000);
		assert_false(fired());
		guest_advance(p, period / 2);
		assert_true(fired());
		assert_int_equal(get(LAPIC_TIMER_CURRENT), 100000);
	}
	machine.tsc += period * 5 / 4; /* overdue, and the home has not come to it yet */
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 75000);
	guest_advance(p, period * 3 / 4);
	assert_true(fired());
	guest_advance(p,
		      10 * period + period / 4); /* away for long: once, and in step afterwards */
	assert_true(fired());
	assert_false(fired());
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 75000);
	assert_int_equal(record.deadline[0], machine.tsc + period * 3 / 4);
}

/* A period of a few cycles must not be an LP's only occupation. */
static void shortest_period(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	set(LAPIC_TIMER_INITIAL, 1);
	guest_advance(p, TSC_A_TICK);
	assert_true(fired());
	assert_true(record.deadline[0] >= machine.tsc + GUEST_TSC_HZ / 100000);
	assert_true(get(LAPIC_TIMER_CURRENT) <= 1);
}

static void a_count_of_0_stops(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	set(LAPIC_TIMER_INITIAL, 1000);
	set(LAPIC_TIMER_INITIAL, 0);
	assert_true(record.deadline[0] == HV_NEVER);
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 0);
	guest_advance(p, 5000 * TSC_A_TICK);
	assert_false(fired());
}

/* Masked, it counts and expires all the same, without an interrupt. */
static void masked(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR | PERIODIC | LAPIC_LVT_MASKED);
	set(LAPIC_TIMER_INITIAL, 100000);
	guest_advance(p, 150000 * TSC_A_TICK);
	assert_false(fired());
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 50000);
	set(LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	guest_advance(p, 50000 * TSC_A_TICK);
	assert_true(fired());
}

/* From one-shot to periodic and back the running count is not disturbed. */
static void one_shot_to_periodic(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR);
	set(LAPIC_TIMER_INITIAL, 100000);
	guest_advance(p, 50000 * TSC_A_TICK);
	set(LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 50000);
	guest_advance(p, 50000 * TSC_A_TICK);
	assert_true(fired());
	guest_advance(p, 100000 * TSC_A_TICK);
	assert_true(fired());
}

/* ---- TSC-deadline mode ---- */

static void tsc_deadline(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR | TSC_DEADLINE);
	set_deadline(guest_tsc() + 12345);
	assert_int_equal(record.deadline[0], machine.tsc + 12345);
	assert_int_equal(deadline_msr(), guest_tsc() + 12345);
	guest_advance(p, 12344);
	assert_false(fired());
	guest_advance(p, 1);
	assert_true(fired());
	assert_int_equal(deadline_msr(), 0); /* cleared by its expiry */
	guest_advance(p, 100000);
	assert_false(fired());
}

static void tsc_deadline_corners(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR | TSC_DEADLINE);
	guest_advance(p, 1000);
	set_deadline(guest_tsc() - 1); /* the past */
	guest_advance(p, 0);
	assert_true(fired());
	set_deadline(guest_tsc() + 1000);
	set_deadline(0); /* disarms */
	assert_true(record.deadline[0] == HV_NEVER);
	set_deadline(UINT64_MAX);
	guest_advance(p, 1ull << 50);
	assert_false(fired());
	/* SDM: the initial count is ignored, and the current count reads 0. */
	set(LAPIC_TIMER_INITIAL, 500);
	assert_int_equal(get(LAPIC_TIMER_INITIAL), 0);
	assert_int_equal(get(LAPIC_TIMER_CURRENT), 0);
}

/* In the other modes a write to the MSR has no effect, and it reads 0. */
static void tsc_deadline_needs_the_mode(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR);
	set_deadline(guest_tsc() + 1000);
	assert_int_equal(deadline_msr(), 0);
	assert_true(record.deadline[0] == HV_NEVER);
}

static void mode_switch_disarms(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR | TSC_DEADLINE);
	set_deadline(guest_tsc() + 1000);
	set(LAPIC_LVT_TIMER, VECTOR);
	assert_int_equal(deadline_msr(), 0);
	guest_advance(p, 5000);
	assert_false(fired());
	set(LAPIC_TIMER_INITIAL, 1000);
	set(LAPIC_LVT_TIMER, VECTOR | TSC_DEADLINE);
	guest_advance(p, 5000 * TSC_A_TICK);
	assert_false(fired());
	assert_int_equal(get(LAPIC_TIMER_INITIAL), 0);
}

/* The deadline is in the guest's TSC: when that is written, it moves. */
static void deadline_follows_the_tsc(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR | TSC_DEADLINE);
	set_deadline(guest_tsc() + 100000);
	assert_int_equal(msr_write(vp, 0x10, guest_tsc() + 40000), ACCESS_OK);
	assert_int_equal(record.deadline[0], machine.tsc + 60000);
	assert_int_equal(record.tsc_offset_changes, 1);
}

/* An expiry with a vector below 16 is an error (SDM, "Error Status Register"). */
static void illegal_vector(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, 5);
	set(LAPIC_TIMER_INITIAL, 10);
	guest_advance(p, 10 * TSC_A_TICK);
	assert_false(fired());
	assert_int_equal(vp->lapic.esr_pending, LAPIC_ESR_RECEIVE_ILLEGAL_VECTOR);
}

static void init_stops_it(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR | PERIODIC);
	set(LAPIC_TIMER_INITIAL, 1000);
	vp_post_event(vp, VP_EVENT_INIT);
	guest_process(p);
	assert_true(record.deadline[0] == HV_NEVER);
}

/* The largest count with the largest divisor does not overflow on the way. */
static void longest(void **state)
{
	(void)state;
	set(LAPIC_LVT_TIMER, VECTOR);
	set(LAPIC_TIMER_DIVIDE, 10);
	set(LAPIC_TIMER_INITIAL, UINT32_MAX);
	assert_int_equal(record.deadline[0], machine.tsc + (uint64_t)UINT32_MAX * 128 * TSC_A_TICK);
	guest_advance(p, (uint64_t)UINT32_MAX * 127 * TSC_A_TICK);
	assert_int_equal(get(LAPIC_TIMER_CURRENT), UINT32_MAX / 128 + 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_shot),
		TEST(divisors),
		TEST(divisor_changes_on_the_run),
		TEST(periodic),
		TEST(shortest_period),
		TEST(a_count_of_0_stops),
		TEST(masked),
		TEST(one_shot_to_periodic),
		TEST(tsc_deadline),
		TEST(tsc_deadline_corners),
		TEST(tsc_deadline_needs_the_mode),
		TEST(mode_switch_disarms),
		TEST(deadline_follows_the_tsc),
		TEST(illegal_vector),
		TEST(init_stops_it),
		TEST(longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
