/*
 * tlfs/refclock.c, clock.h: reference time by the MSR and by the TSC page, freezing, and guests
 * whose TSC was changed.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/clock.h"
#include "tlfs/msr.h"

#define TSC_GPN 0x300ull
#define TSC     0x10u

static struct partition *p;
static struct vp *vp;

static int setup(void **state)
{
	(void)state;
	p = guest_create(false, 2, NULL);
	vp = p->vps[0];
	return 0;
}

static int setup_root(void **state)
{
	(void)state;
	p = guest_create(true, 2, NULL);
	vp = p->vps[0];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

static void set(struct vp *of, uint32_t msr, uint64_t value)
{
	assert_int_equal(msr_write(of, msr, value), ACCESS_OK);
}

static uint64_t by_msr(void)
{
	uint64_t value;

	assert_int_equal(msr_read(vp, HV_X64_MSR_TIME_REF_COUNT, &value), ACCESS_OK);
	return value;
}

static const struct ms_hyperv_tsc_page *page(void)
{
	return p->tsc_page;
}

/* As a guest reads it (TLFS, "Partition Reference TSC Mechanism"). */
static uint64_t by_page(const struct vp *of)
{
	uint64_t tsc = machine.tsc + of->tsc_offset;

	assert_int_not_equal(page()->tsc_sequence, 0);
	return (uint64_t)(((unsigned __int128)tsc * page()->tsc_scale) >> 64) +
	       (uint64_t)page()->tsc_offset;
}

static void enable_page(void)
{
	set(vp, HV_X64_MSR_REFERENCE_TSC, TSC_GPN << 12 | 1);
}

/* TLFS: zero when the partition is made, 100 ns units, and not to be written. */
static void counter(void **state)
{
	(void)state;
	assert_int_equal(by_msr(), 0);
	guest_advance(p, GUEST_TSC_HZ);
	assert_int_equal(by_msr(), HV_REF_HZ);
	guest_advance(p, GUEST_TSC_100NS - 1);
	assert_int_equal(by_msr(), HV_REF_HZ);
	guest_advance(p, 1);
	assert_int_equal(by_msr(), HV_REF_HZ + 1);
	assert_int_equal(msr_write(vp, HV_X64_MSR_TIME_REF_COUNT, 0), ACCESS_FAULT);
	guest_advance(p, GUEST_TSC_HZ * 86400 * 365); /* a year keeps to the unit */
	assert_int_equal(by_msr(), HV_REF_HZ * (86400ull * 365 + 1) + 1);
}

/* A child's TSC begins at 0; the root's is the machine's. */
static void guest_tsc(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(msr_read(vp, TSC, &value), ACCESS_OK);
	assert_int_equal(value, p->id == HV_ROOT_PARTITION ? machine.tsc : 0);
	assert_int_equal(by_msr(), 0);
}

static void page_and_msr_agree(void **state)
{
	(void)state;
	enable_page();
	assert_ptr_equal(guest_overlay(TSC_GPN), p->tsc_page);
	for (unsigned int i = 0; i < 1000; i++) {
		guest_advance(p, 123457 * (i + 1));
		assert_true(by_page(vp) == by_msr());
	}
}

static void page_off(void **state)
{
	uint64_t value;

	(void)state;
	enable_page();
	set(vp, HV_X64_MSR_REFERENCE_TSC, TSC_GPN << 12);
	assert_null(guest_overlay(TSC_GPN));
	assert_int_equal(msr_read(vp, HV_X64_MSR_REFERENCE_TSC, &value), ACCESS_OK);
	assert_int_equal(value, TSC_GPN << 12);
}

/* The least TSC at which a time is reached: not a cycle more, not one less. */
static void time_to_tsc(void **state)
{
	(void)state;
	guest_advance(p, 12345);
	for (uint64_t wait = 1; wait < 1ull << 40; wait = wait * 3 + 1) {
		uint64_t time = by_msr() + wait, tsc = refclock_to_tsc(p, time),
			 saved = machine.tsc;

		machine.tsc = tsc;
		assert_true(refclock_now(p) == time);
		machine.tsc = tsc - 1;
		assert_true(refclock_now(p) < time);
		machine.tsc = saved + (tsc - saved) / 2; /* asked again on the way */
		assert_true(refclock_to_tsc(p, time) == tsc);
		machine.tsc = saved;
	}
	assert_int_equal(refclock_to_tsc(p, 0), machine.tsc);
	assert_true(refclock_to_tsc(p, UINT64_MAX) == HV_NEVER);
}

/* ---- property TIME_FREEZE, REFERENCE_TIME ---- */

static void frozen(void **state)
{
	uint32_t sequence;

	(void)state;
	enable_page();
	sequence = page()->tsc_sequence;
	guest_advance(p, GUEST_TSC_HZ);
	spin_lock(&p->lock);
	refclock_freeze(p, true);
	refclock_freeze(p, true);
	spin_unlock(&p->lock);
	assert_int_equal(page()->tsc_sequence, 0); /* TLFS: read the MSR instead */
	guest_advance(p, GUEST_TSC_HZ * 5);
	assert_int_equal(by_msr(), HV_REF_HZ);
	assert_true(refclock_to_tsc(p, HV_REF_HZ + 1) == HV_NEVER);
	assert_int_equal(refclock_to_tsc(p, HV_REF_HZ), machine.tsc);
	spin_lock(&p->lock);
	refclock_freeze(p, false);
	spin_unlock(&p->lock);
	assert_int_equal(by_msr(), HV_REF_HZ); /* goes on where it stopped */
	assert_true(by_page(vp) == by_msr());
	assert_int_not_equal(page()->tsc_sequence, sequence);
	guest_advance(p, GUEST_TSC_HZ);
	assert_int_equal(by_msr(), 2 * HV_REF_HZ);
}

/* As the register TSC is read and set. */
static uint64_t tsc_register(void)
{
	return refclock_tsc(p) + vp->tsc_offset;
}

static void set_tsc_registers(uint64_t value)
{
	for (uint32_t i = 0; i < HV_MAX_VPS && p->vps[i] != NULL; i++) {
		tsc_set_offset(p->vps[i], value - refclock_tsc(p));
		guest_advance(p, GUEST_TSC_HZ);
	}
}

/* TSCs that are read, or set, one after the other while time is frozen are of one moment. */
static void tscs_of_one_moment(void **state)
{
	uint64_t before, offset;

	(void)state;
	enable_page();
	spin_lock(&p->lock);
	refclock_freeze(p, true);
	spin_unlock(&p->lock);
	before = tsc_register();
	guest_advance(p, GUEST_TSC_HZ);
	assert_true(tsc_register() == before);
	set_tsc_registers(1ull << 40);
	offset = vp->tsc_offset;
	set_tsc_registers(1ull << 40);
	assert_true(vp->tsc_offset == offset);
	spin_lock(&p->lock);
	refclock_freeze(p, false);
	spin_unlock(&p->lock);
	assert_true(tsc_register() > 1ull << 40);
	assert_int_not_equal(page()->tsc_sequence, 0);
	assert_true(by_page(vp) == by_msr());
}

/* Timers stand still with the time. */
static void frozen_timers(void **state)
{
	(void)state;
	set(vp, HV_X64_MSR_STIMER0_CONFIG, 1ull << 12 | 8 | 0xEDull << 4);
	set(vp, HV_X64_MSR_STIMER0_COUNT, 1000);
	assert_int_equal(record.deadline[0], machine.tsc + 1000 * GUEST_TSC_100NS);
	spin_lock(&p->lock);
	refclock_freeze(p, true);
	spin_unlock(&p->lock);
	guest_process(p);
	assert_true(record.deadline[0] == HV_NEVER);
	guest_advance(p, GUEST_TSC_HZ);
	spin_lock(&p->lock);
	refclock_freeze(p, false);
	spin_unlock(&p->lock);
	guest_process(p);
	assert_int_equal(record.deadline[0], machine.tsc + 1000 * GUEST_TSC_100NS);
}

static void set_time(void **state)
{
	(void)state;
	enable_page();
	guest_advance(p, GUEST_TSC_HZ);
	spin_lock(&p->lock);
	refclock_set(p, 12345678);
	spin_unlock(&p->lock);
	assert_int_equal(by_msr(), 12345678);
	assert_true(by_page(vp) == 12345678);
	assert_true(vp->events & VP_EVENT_TIMER); /* deadlines are computed anew */
	spin_lock(&p->lock);
	refclock_freeze(p, true);
	refclock_set(p, 7);
	spin_unlock(&p->lock);
	guest_advance(p, GUEST_TSC_HZ);
	assert_int_equal(by_msr(), 7);
	spin_lock(&p->lock);
	refclock_freeze(p, false);
	spin_unlock(&p->lock);
	assert_int_equal(by_msr(), 7);
}

/* ---- a guest that writes its TSC ---- */

/*
 * While VPs differ, the page cannot be right for all, and says so; once they agree again it is
 * right for all.
 */
static void written_tsc(void **state)
{
	(void)state;
	enable_page();
	guest_advance(p, GUEST_TSC_HZ);
	set(p->vps[0], TSC, 500);
	assert_int_equal(page()->tsc_sequence, 0);
	assert_int_equal(by_msr(), HV_REF_HZ);
	set(p->vps[1], TSC, 500);
	assert_in_range(by_page(p->vps[0]), HV_REF_HZ - 1, HV_REF_HZ + 1);
	assert_in_range(by_page(p->vps[1]), HV_REF_HZ - 1, HV_REF_HZ + 1);
	guest_advance(p, GUEST_TSC_HZ * 1000);
	assert_in_range(by_page(p->vps[1]), HV_REF_HZ * 1001 - 1, HV_REF_HZ * 1001 + 1);
}

/*
 * The sequence never comes back to a value that a slow reader may still hold, nor to 0 while valid.
 * 
 */
static void sequence_numbers(void **state)
{
	uint32_t last = 0;

	(void)state;
	p->tsc_sequence = UINT32_MAX - 2;
	for (unsigned int i = 0; i < 5; i++) {
		enable_page();
		assert_int_not_equal(page()->tsc_sequence, 0);
		assert_int_not_equal(page()->tsc_sequence, last);
		last = page()->tsc_sequence;
	}
}

/* ---- arithmetic ---- */

static void muldiv(void **state)
{
	(void)state;
	assert_true(clock_muldiv(7, 3, 2) == 10);
	assert_true(clock_muldiv_up(7, 3, 2) == 11);
	assert_true(clock_muldiv_up(8, 3, 2) == 12);
	assert_true(clock_muldiv(UINT64_MAX, UINT64_MAX, UINT64_MAX) == UINT64_MAX);
	assert_true(clock_muldiv(UINT64_MAX, 3, 2) == UINT64_MAX);
	assert_true(clock_muldiv_up(UINT64_MAX, UINT64_MAX, UINT64_MAX) == UINT64_MAX);
	assert_true(clock_muldiv_up(UINT64_MAX, 2, 1) == UINT64_MAX);
	assert_true(clock_muldiv(0, 5, 7) == 0);
	assert_true(clock_add(UINT64_MAX, 1) == UINT64_MAX);
	assert_true(clock_add(1, 2) == 3);
	assert_true(clock_unscale(0, 5) == 0);
	assert_true(clock_unscale(4, 5) == 14757395258967641293ull); /* 4 × 2^64 ÷ 5, up */
	assert_true(clock_unscale(5, 5) == UINT64_MAX);
	assert_true(clock_unscale(1, 1ull << 32) == 1ull << 32);
}

static void slow_tsc(void **state)
{
	(void)state;
	plat_info.tsc_hz = HV_REF_HZ;
	assert_int_equal(refclock_create(p), HV_STATUS_FEATURE_UNAVAILABLE);
}

/* Frequencies that do not divide evenly: still to the unit, and page and MSR the same. */
static void odd_frequencies(void **state)
{
	static const uint64_t hz[] = {10000019, 999999937, 2399998123, 4123456789};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(hz); i++) {
		plat_info.tsc_hz = hz[i];
		assert_int_equal(refclock_create(p), HV_STATUS_SUCCESS);
		p->vps[0]->tsc_offset = p->vps[1]->tsc_offset = p->tsc_offset;
		enable_page();
		machine.tsc += hz[i] * 1000;
		assert_int_equal(by_msr(), HV_REF_HZ * 1000);
		assert_true(by_page(vp) == by_msr());
	}
}

#define CHILD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define ROOT(test)  cmocka_unit_test_setup_teardown(test, setup_root, teardown)

/* Each LP with a clock of its own: no page could be right on all of them. */
static void unequal_counters(void **state)
{
	(void)state;
	plat_info.tsc_equal = false;
	enable_page();
	assert_int_equal(page()->tsc_sequence, 0);
	guest_advance(p, GUEST_TSC_HZ);
	assert_int_equal(by_msr(), HV_REF_HZ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD(counter),
		CHILD(guest_tsc),
		ROOT(guest_tsc),
		CHILD(page_and_msr_agree),
		ROOT(page_and_msr_agree),
		CHILD(page_off),
		CHILD(unequal_counters),
		CHILD(time_to_tsc),
		ROOT(time_to_tsc),
		CHILD(frozen),
		CHILD(tscs_of_one_moment),
		CHILD(frozen_timers),
		CHILD(set_time),
		CHILD(written_tsc),
		CHILD(sequence_numbers),
		CHILD(muldiv),
		CHILD(slow_tsc),
		CHILD(odd_frequencies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
