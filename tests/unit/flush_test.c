/*
 * hypervisor/flush.c: LPs that run a partition's code leave it, those that do something else are
 * left alone. Threads are the other LPs: guests that leave when they are told, and not before.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/gpa.h"
#include "hypervisor/lp.h"
#include "hypervisor/vcpu.h"
#include "lib/check.h"
#include "tests/fake/on_lp.h"
#include "tlfs/hv.h"

#define LPS    4u
#define ROUNDS 300u

ON_LP_BLOCKS;
uint32_t lp_count = LPS;
static struct partition mine, other;
static struct vp vps[LPS];
static struct vcpu vcpus[LPS];
static bool told[LPS], stop;
static uint32_t kicks[LPS];
static uint32_t generation, entered_with[LPS]; /* what an LP runs with; 0: it is not in the guest */

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static bool slow; /* guests leave when the last of them is told */

static void leave_together(void)
{
	if (kicks[1] && kicks[2] && kicks[3]) {
		for (uint32_t i = 1; i < LPS; i++) {
			lp_guest_left(lp_get(i));
		}
	}
}

void apic_kick(uint32_t apic_id)
{
	kicks[apic_id - 100]++;
	if (slow) {
		leave_together();
	}
	__atomic_store_n(&told[apic_id - 100], true, __ATOMIC_SEQ_CST);
}

void vendor_flush_tlb(struct vcpu *vcpu)
{
	vcpu->tlb_generation = 0;
}

static int setup(void **state)
{
	(void)state;
	memset(told, 0, sizeof(told));
	memset(kicks, 0, sizeof(kicks));
	stop = slow = false;
	generation = 1;
	for (uint32_t i = 0; i < LPS; i++) {
		*lp_get(i) = (struct lp){.index = i, .apic_id = 100 + i};
		vcpus[i] = (struct vcpu){.vp = &vps[i], .lp = lp_get(i)};
		vps[i] = (struct vp){.index = i, .home = &vcpus[i], .partition = &mine};
		entered_with[i] = 0;
	}
	return 0;
}

static void flush(void *argument)
{
	gpa_flush_wait(argument);
}

static void sync(void *argument)
{
	plat_tlb_sync(argument);
}

/* ---- one LP after the other, without threads ---- */

static void nobody_else_is_disturbed(void **state)
{
	(void)state;
	lp_get(0)->guest = &mine; /* oneself, which no test of the real thing can see */
	lp_get(1)->guest = &other;
	lp_get(2)->guest = LP_ASLEEP;
	on_lp(0, flush, &mine);
	lp_get(3)->guest = &other;
	on_lp(0, sync, &vps[3]);
	vcpus[1].lp = NULL;
	on_lp(0, sync, &vps[1]);
	assert_int_equal(kicks[0] | kicks[1] | kicks[2] | kicks[3], 0);
}

/* Who waits for one before the others are told waits for ever here. */
static void all_are_told_before_one_is_waited_for(void **state)
{
	(void)state;
	slow = true;
	for (uint32_t i = 1; i < LPS; i++) {
		lp_get(i)->guest = &mine;
	}
	on_lp(0, flush, &mine);
	assert_true(kicks[1] == 1 && kicks[2] == 1 && kicks[3] == 1);
}

/* ---- guests that come and go ---- */

/* As prepare() and handle_exit() of run.c have it. */
static void guest(void *argument)
{
	struct lp *lp = argument;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&vps[lp->index].events, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&lp->guest, &mine, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&vps[lp->index].events, __ATOMIC_SEQ_CST)) {
			lp_guest_left(lp);
			continue;
		}
		__atomic_store_n(&entered_with[lp->index],
				 __atomic_load_n(&generation, __ATOMIC_ACQUIRE), __ATOMIC_SEQ_CST);
		while (!__atomic_exchange_n(&told[lp->index], false, __ATOMIC_SEQ_CST) &&
		       !__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
			sched_yield();
		}
		__atomic_store_n(&entered_with[lp->index], 0, __ATOMIC_SEQ_CST);
		lp_guest_left(lp);
	}
}

static void *run_guest(void *argument)
{
	uint32_t index = (uint32_t)(uintptr_t)argument;

	on_lp(index, guest, lp_get(index));
	return NULL;
}

static bool runs_older(uint32_t index, uint32_t than)
{
	uint32_t with = __atomic_load_n(&entered_with[index], __ATOMIC_SEQ_CST);

	return with && with < than;
}

/* vp_post_event() and plat_vp_kick() */
static void post(struct vp *vp)
{
	if (!(__atomic_fetch_or(&vp->events, VP_EVENT_TLB, __ATOMIC_SEQ_CST) & VP_EVENT_TLB) &&
	    __atomic_load_n(&lp_get(vp->index)->guest, __ATOMIC_SEQ_CST) != NULL) {
		apic_kick(100 + vp->index);
	}
}

static void after_a_flush_none_runs_with_the_old(void **state)
{
	pthread_t threads[LPS];

	(void)state;
	for (uintptr_t i = 1; i < LPS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, run_guest, (void *)i), 0);
	}
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t now = __atomic_add_fetch(&generation, 1, __ATOMIC_SEQ_CST);

		on_lp(0, flush, &mine);
		for (uint32_t i = 1; i < LPS; i++) {
			assert_false(runs_older(i, now));
		}
	}
	/* Each was told at most once a flush. */
	for (uint32_t i = 1; i < LPS; i++) {
		assert_in_range(kicks[i], 0, ROUNDS);
	}
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t now = __atomic_add_fetch(&generation, 1, __ATOMIC_SEQ_CST);

		for (uint32_t i = 1; i < LPS; i++) {
			post(&vps[i]);
		}
		for (uint32_t i = 1; i < LPS; i++) {
			on_lp(0, sync, &vps[i]);
			assert_false(runs_older(i, now));
		}
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (uint32_t i = 1; i < LPS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_else_is_disturbed),
		TEST(all_are_told_before_one_is_waited_for),
		TEST(after_a_flush_none_runs_with_the_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
