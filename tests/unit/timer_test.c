/*
 * hypervisor/timer.c and timer_queue.c: deadlines in order, however many there are, and no expiry
 * that comes after its VP was disarmed. Threads run as LPs, on the LPs' own stacks.
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
#include "hypervisor/lp.h"
#include "hypervisor/timer.h"
#include "hypervisor/vcpu.h"
#include "lib/check.h"
#include "tests/fake/on_lp.h"
#include "tlfs/hv.h"

#define VPS   64u
#define NODES 96000u /* 400 partitions of 240 VPs */
#define FAR   (UINT64_MAX / 2)

ON_LP_BLOCKS;
static struct vcpu vcpus[VPS];
static struct vp vps[VPS];
static uint32_t posted[VPS], posts;
static uint64_t armed; /* of the hardware timer; UINT64_MAX: off */
static void (*on_post)(struct vp *vp);

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

void vp_post_event(struct vp *vp, uint32_t events)
{
	assert_int_equal(events, VP_EVENT_TIMER);
	posted[vp->index] = ++posts;
	if (on_post != NULL) {
		on_post(vp);
	}
}

void apic_timer_start(uint64_t tsc_cycles)
{
	armed = tsc_cycles;
}

void apic_timer_stop(void)
{
	armed = UINT64_MAX;
}

static int setup(void **state)
{
	(void)state;
	memset(vcpus, 0, sizeof(vcpus));
	memset(posted, 0, sizeof(posted));
	posts = 0;
	armed = UINT64_MAX;
	on_post = NULL;
	for (uint32_t i = 0; i < 2; i++) {
		*lp_get(i) = (struct lp){.index = i, .hardware_deadline = HV_NEVER};
	}
	for (uint32_t i = 0; i < VPS; i++) {
		vps[i].index = i;
		vps[i].home = &vcpus[i];
		vcpus[i].vp = &vps[i];
	}
	return 0;
}

/* ---- the queue alone ---- */

static void check_queue(const struct timer_node *node, uint32_t *count)
{
	const struct timer_node *sides[2] = {node->left, node->right};
	uint32_t ranks[2] = {0, 0};

	++*count;
	for (int i = 0; i < 2; i++) {
		if (sides[i] == NULL) {
			continue;
		}
		assert_ptr_equal(sides[i]->up, node);
		assert_true(sides[i]->deadline >= node->deadline);
		ranks[i] = sides[i]->rank;
		check_queue(sides[i], count);
	}
	assert_true(ranks[0] >= ranks[1] && node->rank == ranks[1] + 1);
}

static void nodes_come_and_go_in_any_order(void **state)
{
	static struct timer_node nodes[VPS];
	struct timer_node *top = NULL;
	uint64_t in = 0;

	(void)state;
	srand(1);
	for (uint32_t step = 0; step < 20000; step++) {
		uint32_t i = (uint32_t)rand() % VPS, count = 0;

		if (in >> i & 1) {
			timer_queue_remove(&top, &nodes[i]);
		} else {
			timer_queue_insert(&top, &nodes[i], (uint64_t)rand() % 100);
		}
		in ^= 1ull << i;
		if (top != NULL) {
			assert_null(top->up);
			check_queue(top, &count);
		}
		assert_int_equal(count, __builtin_popcountll(in));
	}
}

/* Nearly sorted is the worst that a list can meet; here the way down by `right` stays short. */
static void many_deadlines_in_order(void **state)
{
	static struct timer_node nodes[NODES];
	struct timer_node *top = NULL;
	uint64_t last = 0;

	(void)state;
	for (uint32_t i = 0; i < NODES; i++) {
		timer_queue_insert(&top, &nodes[i], i * 7919ull % NODES);
		assert_true(top->rank <= 17);
	}
	for (uint32_t i = 0; i < NODES; i++) {
		assert_true(top->deadline >= last && top->rank <= 17);
		last = top->deadline;
		timer_queue_remove(&top, top);
	}
	assert_null(top);
}

/* ---- LPs ---- */

struct setting {
	uint32_t vp;
	uint64_t deadline;
};

static void set(void *argument)
{
	const struct setting *setting = argument;

	plat_timer_set(&vps[setting->vp], setting->deadline);
}

static void set_on(uint32_t lp, uint32_t vp, uint64_t deadline)
{
	struct setting setting = {vp, deadline};

	on_lp(lp, set, &setting);
}

static void expire(void *argument)
{
	timer_expired(argument);
}

static void expire_on(uint32_t lp)
{
	on_lp(lp, expire, lp_get(lp));
}

static void what_is_due_is_posted_in_order(void **state)
{
	(void)state;
	set_on(0, 0, 3);
	set_on(0, 1, FAR);
	set_on(0, 2, 1);
	set_on(0, 3, 2);
	set_on(0, 4, 2);
	set_on(0, 4, HV_NEVER);
	expire_on(0);
	assert_int_equal(posts, 3);
	assert_int_equal(posted[2], 1);
	assert_int_equal(posted[3], 2);
	assert_int_equal(posted[0], 3);
	assert_ptr_equal(vcpus[1].timer_lp, lp_get(0));
	assert_null(vcpus[0].timer_lp);
	assert_true(armed != UINT64_MAX && armed > 0);
	set_on(0, 1, HV_NEVER);
	assert_int_equal(armed, UINT64_MAX);
}

static void a_deadline_follows_its_vp_to_another_lp(void **state)
{
	(void)state;
	set_on(0, 0, 1);
	set_on(1, 0, FAR);
	assert_ptr_equal(vcpus[0].timer_lp, lp_get(1));
	expire_on(0);
	assert_int_equal(posts, 0);
	set_on(0, 0, HV_NEVER);
	assert_null(lp_get(1)->timers);
}

/* ---- an expiry on one LP, the end of the VP on the other ---- */

static bool gone; /* [a] */
static pthread_t other;

static void *disarm(void *argument)
{
	(void)argument;
	set_on(1, 0, HV_NEVER);
	__atomic_store_n(&gone, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* The event is being posted: as long as it is, the VP must not go. */
static void disarm_meanwhile(struct vp *vp)
{
	assert_ptr_equal(vp, &vps[0]);
	assert_int_equal(pthread_create(&other, NULL, disarm, NULL), 0);
	for (uint32_t i = 0; i < 2000; i++) {
		sched_yield();
		assert_false(__atomic_load_n(&gone, __ATOMIC_SEQ_CST));
	}
}

static void a_vp_does_not_go_while_its_expiry_is_posted(void **state)
{
	(void)state;
	gone = false;
	set_on(0, 0, 1);
	on_post = disarm_meanwhile;
	expire_on(0);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_true(gone);
	assert_int_equal(posts, 1);
	assert_null(vcpus[0].timer_lp);
	assert_null(lp_get(0)->timers);
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nodes_come_and_go_in_any_order),
		TEST(many_deadlines_in_order),
		TEST(what_is_due_is_posted_in_order),
		TEST(a_deadline_follows_its_vp_to_another_lp),
		TEST(a_vp_does_not_go_while_its_expiry_is_posted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
