/*
 * tlfs/overlay.c: where a page lies after each move, and what a failure leaves behind.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ON(gpn)  ((uint64_t)(gpn) << 12 | 1)
#define OFF(gpn) ((uint64_t)(gpn) << 12)
#define BEYOND   (1ull << 28) /* in a space of 40 bits */

static struct partition *p;
static void *page;

static int setup(void **state)
{
	(void)state;
	p = guest_create(false, 1, NULL);
	page = p->tsc_page;
	record.gpa_flushes = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

static void move(uint64_t from, uint64_t to)
{
	assert_int_equal(overlay_move(p, from, to, page), HV_STATUS_SUCCESS);
}

static void on_and_off(void **state)
{
	(void)state;
	move(0, ON(5));
	assert_ptr_equal(guest_overlay(5), page);
	assert_int_equal(record.gpa_flushes, 1); /* no LP keeps the old translation */
	move(ON(5), OFF(5));
	assert_int_equal(record.overlay_count, 0);
	assert_int_equal(record.gpa_flushes, 2);
}

static void elsewhere(void **state)
{
	(void)state;
	move(0, ON(5));
	move(ON(5), ON(6));
	assert_null(guest_overlay(5));
	assert_ptr_equal(guest_overlay(6), page);
	assert_int_equal(record.overlay_count, 1);
	move(ON(6), 0);
}

/* Other bits of the register do not move the page; page 0 is a page. */
static void not_moved(void **state)
{
	(void)state;
	move(OFF(5), OFF(6));
	assert_int_equal(record.gpa_flushes, 0);
	move(0, ON(0));
	assert_ptr_equal(guest_overlay(0), page);
	move(ON(0), ON(0) | 0xFF0);
	assert_int_equal(record.overlay_count, 1);
	assert_int_equal(record.gpa_flushes, 1);
	move(ON(0) | 0xFF0, 0);
	assert_int_equal(record.overlay_count, 0);
}

static void beyond_the_space(void **state)
{
	(void)state;
	assert_false(overlay_reachable(OFF(BEYOND)));
	assert_true(overlay_reachable(OFF(BEYOND - 1)));
	move(0, ON(BEYOND));
	assert_int_equal(record.overlay_count, 0);
	move(ON(BEYOND), ON(5));
	assert_int_equal(record.overlay_count, 1);
	move(ON(5), ON(BEYOND));
	assert_int_equal(record.overlay_count, 0);
	move(ON(BEYOND), 0);
}

/* The new place is made before the old one is given up. */
static void failure_changes_nothing(void **state)
{
	(void)state;
	move(0, ON(5));
	machine.overlay_status = HV_STATUS_INSUFFICIENT_MEMORY;
	assert_int_equal(overlay_move(p, ON(5), ON(6), page), HV_STATUS_INSUFFICIENT_MEMORY);
	assert_ptr_equal(guest_overlay(5), page);
	move(ON(5), 0); /* to nowhere cannot fail */
	assert_int_equal(record.overlay_count, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(on_and_off),
		TEST(elsewhere),
		TEST(not_moved),
		TEST(beyond_the_space),
		TEST(failure_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
