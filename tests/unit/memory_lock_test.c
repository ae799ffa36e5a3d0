/* hypervisor/memory_lock.c: LPs that read while others write, and LPs that all want it alone.
 * Threads are the LPs. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/lp.h"
#include "hypervisor/memory.h"
#include "tests/fake/on_lp.h"

#define LPS    4u
#define ROUNDS 3000u

ON_LP_BLOCKS;
uint32_t lp_count = LPS;
static uint64_t guarded[2]; /* always the same, for who has the lock */
static bool torn[LPS];

static void write_round(void)
{
	memory_lock();
	guarded[0]++;
	guarded[1]++;
	memory_unlock();
}

static void read_round(uint32_t index)
{
	memory_lock_shared();
	torn[index] |= __atomic_load_n(&guarded[0], __ATOMIC_RELAXED) !=
		       __atomic_load_n(&guarded[1], __ATOMIC_RELAXED);
	memory_unlock_shared();
}

/* Every fourth time alone. */
static void work(void *argument)
{
	struct lp *lp = argument;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		if ((round + lp->index) % 4) {
			read_round(lp->index);
		} else {
			write_round();
		}
		if (!(round % 16)) {
			sched_yield();
		}
	}
}

static void *run(void *argument)
{
	on_lp(((struct lp *)argument)->index, work, argument);
	return NULL;
}

static void shared_or_alone(void **state)
{
	pthread_t threads[LPS];

	(void)state;
	for (uint32_t i = 0; i < LPS; i++) {
		lp_get(i)->index = i;
		assert_int_equal(pthread_create(&threads[i], NULL, run, lp_get(i)), 0);
	}
	for (uint32_t i = 0; i < LPS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_false(torn[i]);
		assert_false(lp_get(i)->memory_reading);
	}
	assert_int_equal(guarded[0], LPS * ROUNDS / 4);
	assert_int_equal(guarded[1], guarded[0]);
}

static void read_one(void *argument)
{
	read_round(((struct lp *)argument)->index);
}

static void *read_from_1(void *argument)
{
	on_lp(1, read_one, argument);
	return NULL;
}

/* Two hold it at the same time: the second does not wait for the first. */
static void hold(void *argument)
{
	pthread_t second;

	memory_lock_shared();
	assert_int_equal(pthread_create(&second, NULL, read_from_1, argument), 0);
	assert_int_equal(pthread_join(second, NULL), 0);
	memory_unlock_shared();
}

static void shared_by_two(void **state)
{
	(void)state;
	lp_get(1)->index = 1;
	on_lp(0, hold, lp_get(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(shared_or_alone),
					   cmocka_unit_test(shared_by_two)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
