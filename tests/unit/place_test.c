/* vsp/place.c: by what it finds in its turns a thread waits for the next one, or takes the
 * processor. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "vsp/place.h"

#define COMPANY 4u /* packets a turn */

static int policy;   /* what the kernel was asked for last; -1: nothing */
static bool refuses; /* the kernel */

int __wrap_sched_setscheduler(pid_t pid, int asked, const struct sched_param *param);
int __wrap_sched_setscheduler(pid_t pid, int asked, const struct sched_param *param)
{
	assert_int_equal(pid, 0);
	assert_int_equal(param->sched_priority, 0);
	policy = asked;
	errno = EPERM;
	return refuses ? -1 : 0;
}

static int setup(void **state)
{
	(void)state;
	policy = -1;
	refuses = false;
	return 0;
}

/* Turns of so many packets until the kernel is asked for something, at most `max`; how many there
 * were. */
static unsigned int turns_until_asked(struct vsp_place *place, unsigned int packets,
				      unsigned int max)
{
	unsigned int turns = 0;

	policy = -1;
	while (turns < max && policy == -1) {
		vsp_place_turn(place, packets);
		turns++;
	}
	return turns;
}

/* Nor are a guest's completion and its next packet company. */
static void who_is_alone_tries_now_and_then(void **state)
{
	struct vsp_place place = {0};
	unsigned int alone;

	(void)state;
	for (int i = 0; i < 3; i++) {
		alone = turns_until_asked(&place, 2, 10000);
		assert_int_equal(policy, SCHED_BATCH);
		assert_true(place.waits);
		/* A packet late costs those most who have one at a time: for few turns of many. */
		assert_true(turns_until_asked(&place, 2, 10000) * 16 <= alone);
		assert_int_equal(policy, SCHED_OTHER);
		assert_false(place.waits);
	}
}

static void who_has_company_waits_on(void **state)
{
	struct vsp_place place = {0};

	(void)state;
	turns_until_asked(&place, 1, 10000);
	assert_int_equal(policy, SCHED_BATCH);
	assert_int_equal(turns_until_asked(&place, COMPANY, 10000), 10000);
	/* ... as long as there is company. */
	assert_true(turns_until_asked(&place, 1, 10000) < 100);
	assert_int_equal(policy, SCHED_OTHER);
}

static void company_is_an_average(void **state)
{
	struct vsp_place place = {0};

	(void)state;
	turns_until_asked(&place, 1, 10000);
	assert_int_equal(policy, SCHED_BATCH);
	for (int i = 0; i < 1000; i++) {
		vsp_place_turn(&place, i % 2 == 0 ? 2 * COMPANY - 1 : 1);
	}
	assert_true(place.waits);
	assert_true(turns_until_asked(&place, COMPANY - 1, 10000) < 100);
	assert_false(place.waits);
}

static void turns_of_nothing_do_not_count(void **state)
{
	struct vsp_place place = {0};

	(void)state;
	assert_int_equal(turns_until_asked(&place, 0, 10000), 10000);
	turns_until_asked(&place, 1, 10000);
	assert_true(place.waits);
	assert_int_equal(turns_until_asked(&place, 0, 10000), 10000);
	assert_true(place.waits);
}

static void a_kernel_that_refuses(void **state)
{
	struct vsp_place place = {0};
	unsigned int alone;

	(void)state;
	refuses = true;
	alone = turns_until_asked(&place, 1, 10000);
	assert_false(place.waits);
	assert_int_equal(turns_until_asked(&place, 1, 10000), alone);
	assert_int_equal(policy, SCHED_BATCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(who_is_alone_tries_now_and_then, setup),
		cmocka_unit_test_setup(who_has_company_waits_on, setup),
		cmocka_unit_test_setup(company_is_an_average, setup),
		cmocka_unit_test_setup(turns_of_nothing_do_not_count, setup),
		cmocka_unit_test_setup(a_kernel_that_refuses, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
