/*
 * The policy of dynamic memory by simulation: 200 guests with loads that were recorded, and of six
 * kinds that are made up, on one machine, a step a second. Guests follow as Linux's do: what they
 * get they have at once, what they give they give by 64 MiB, and not below what their programs use;
 * some are late, some give nothing, some start anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/balance.h"
#include "lib/check.h"
#include "tests/unit/balance_loads.h"

#define MIB     (1ull << 20)
#define GUESTS  200u
#define STEP    (64 * MIB)
#define RESERVE (2048 * MIB)

static struct balance_guest guests[GUESTS];
static struct {
	uint64_t used;      /* what it cannot give, whatever it is asked */
	int64_t last_way;   /* of its target: 1 up, -1 down */
	unsigned int turns; /* how often that changed */
	bool deaf;          /* gives nothing */
} sides[GUESTS];
static uint64_t total, random_state;
static uint64_t moved, moved_demand; /* bytes, up and down */

static uint32_t random_number(uint32_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33) % below;
}

static uint64_t available(void)
{
	uint64_t given = 0;
	unsigned int i;

	for (i = 0; i < GUESTS; i++) {
		given += guests[i].assigned;
	}
	assert_true(given <= total);
	return total - given;
}

static void begin(uint64_t memory)
{
	unsigned int i;

	memset(guests, 0, sizeof(guests));
	memset(sides, 0, sizeof(sides));
	random_state = 7;
	total = memory;
	for (i = 0; i < GUESTS; i++) {
		guests[i] = (struct balance_guest){.minimum = 256 * MIB,
						   .maximum = 4096 * MIB,
						   .weight = 50,
						   .buffer = 20,
						   .led = true,
						   .assigned = 512 * MIB,
						   .demand = 300 * MIB};
	}
}

/* The guests do what they were led to, a second long. */
static void follow(void)
{
	unsigned int i;

	for (i = 0; i < GUESTS; i++) {
		struct balance_guest *guest = &guests[i];
		uint64_t left, give;

		if (!guest->led) {
			continue;
		}
		assert_true(guest->target >= guest->minimum && guest->target <= guest->maximum);
		if (guest->target >= guest->assigned) {
			guest->gives_no_more = false;
			guest->assigned = guest->target;
			continue;
		}
		left = sides[i].deaf || sides[i].used > guest->assigned ? guest->assigned
									: sides[i].used;
		give = guest->assigned - (left > guest->target ? left : guest->target);
		guest->gives_no_more = give == 0;
		guest->assigned -= give < STEP ? give : STEP;
	}
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a < b ? b - a : a - b;
}

static void count_turns(uint64_t before[GUESTS])
{
	unsigned int i;

	for (i = 0; i < GUESTS; i++) {
		moved += distance(guests[i].target, before[i]);
		int64_t way = guests[i].target > before[i]   ? 1
			      : guests[i].target < before[i] ? -1
							     : 0;

		if (way != 0 && sides[i].last_way != 0 && way != sides[i].last_way) {
			sides[i].turns++;
		}
		sides[i].last_way = way != 0 ? way : sides[i].last_way;
	}
}

/* After a step: whoever lacks what it demands lacks it because nothing is left, but for what is
 * less than a block of each. */
static void look_for_hungry(uint64_t had)
{
	uint64_t left = had > RESERVE ? had - RESERVE : 0;
	unsigned int i;

	for (i = 0; i < GUESTS; i++) {
		left -= guests[i].target > guests[i].assigned
				? guests[i].target - guests[i].assigned
				: 0;
	}
	for (i = 0; i < GUESTS && left > GUESTS * BALANCE_BLOCK; i++) {
		uint64_t needs =
			guests[i].demand < guests[i].maximum ? guests[i].demand : guests[i].maximum;

		assert_true(!guests[i].led || guests[i].target + BALANCE_BLOCK > needs);
	}
}

static void run(unsigned int seconds, void (*load)(unsigned int second))
{
	uint64_t before[GUESTS], demand[GUESTS];
	unsigned int second, i;

	moved = moved_demand = 0;
	for (i = 0; i < GUESTS; i++) {
		sides[i].turns = 0;
		sides[i].last_way = 0;
	}
	for (second = 0; second < seconds; second++) {
		uint64_t had = available();

		for (i = 0; i < GUESTS; i++) {
			before[i] = guests[i].target;
			demand[i] = guests[i].demand;
		}
		load(second);
		for (i = 0; i < GUESTS; i++) {
			moved_demand += distance(guests[i].demand, demand[i]);
		}
		balance_step(guests, GUESTS, had, RESERVE);
		count_turns(before);
		look_for_hungry(had);
		follow();
		/* The reserve is not touched by what was promised. */
		assert_true(available() >= (had < RESERVE ? had : RESERVE));
	}
}

static unsigned int most_turns(void)
{
	unsigned int i, most = 0;

	for (i = 0; i < GUESTS; i++) {
		most = sides[i].turns > most ? sides[i].turns : most;
	}
	return most;
}

static void set_demand(unsigned int i, uint64_t size)
{
	guests[i].demand = size;
	sides[i].used = size / 10 * 9;
}

/* ---- Loads ---- */

/* The same, but for a hundredth. */
static void steady(unsigned int second)
{
	unsigned int i;

	(void)second;
	for (i = 0; i < GUESTS; i++) {
		uint64_t base = (300 + 7 * i) * MIB;

		set_demand(i, base + base / 100 * random_number(100) / 100);
	}
}

static uint64_t wave(unsigned int at, unsigned int period)
{
	unsigned int half = period / 2, x = at % period;

	return x < half ? 1000 * x / half : 1000 * (period - x) / half;
}

/* A day in an hour, builds, a leak until it is killed, a step, spikes of a second, and those that
 * do nothing. */
static void mixed(unsigned int second)
{
	unsigned int i;

	for (i = 0; i < GUESTS; i++) {
		unsigned int at = second + 37 * i;
		uint64_t noise = random_number(8) * MIB, size = 300;

		switch (i % 6) {
		case 0:
			size = 400 + wave(at, 3600);
			break;
		case 1:
			size = at % 300 < 120 ? 1800 : 350;
			break;
		case 2:
			size = 300 + at % 1500;
			break;
		case 3:
			size = second < 900 ? 300 : 1400;
			break;
		case 4:
			size = at % 97 == 0 ? 1500 : 320;
			break;
		default:
			break;
		}
		set_demand(i, size * MIB + noise);
	}
}

/* What was recorded, for each guest from another moment on and in another size. */
static void as_recorded(unsigned int second)
{
	unsigned int i;

	for (i = 0; i < GUESTS; i++) {
		unsigned int at = (second / RECORDED_SECONDS + 37 * i) % RECORDED_SAMPLES;
		uint64_t size = recorded[i % RECORDED_LOADS][at];

		set_demand(i, 250 * MIB + size * MIB * (40 + i % 80) / 100);
	}
}

/* ---- Tests ---- */

static void enough_for_all(void **state)
{
	unsigned int i;

	(void)state;
	begin(GUESTS * 2048 * MIB + RESERVE);
	run(120, steady);
	run(1800, steady);
	assert_int_equal(most_turns(), 0);
	for (i = 0; i < GUESTS; i++) {
		assert_true(guests[i].assigned >= guests[i].demand + guests[i].demand / 100 * 15);
	}
}

/* Less than all demand: the buffers are gone, nobody is below its minimum, and it stands still. */
static void too_little(void **state)
{
	uint64_t given = 0;
	unsigned int i;

	(void)state;
	begin(GUESTS * 700 * MIB + RESERVE);
	run(300, steady);
	run(1800, steady);
	for (i = 0; i < GUESTS; i++) {
		given += guests[i].assigned;
		assert_true(guests[i].assigned >= guests[i].minimum);
		assert_true(guests[i].assigned <= guests[i].peak + 32 * MIB);
	}
	assert_true(total - RESERVE - given < GUESTS * 2 * BALANCE_BLOCK);
}

/* Of two that want the same the weightier has more beyond its minimum. */
static void weights_count(void **state)
{
	unsigned int i;

	(void)state;
	begin(GUESTS * 600 * MIB + RESERVE);
	for (i = 0; i < GUESTS; i++) {
		guests[i].weight = i % 2 ? 100 : 24;
		set_demand(i, 2000 * MIB);
		sides[i].used = 0;
	}
	for (i = 0; i < 300; i++) {
		balance_step(guests, GUESTS, available(), RESERVE);
		follow();
	}
	for (i = 0; i < GUESTS; i += 2) {
		uint64_t less = guests[i].assigned - guests[i].minimum;
		uint64_t more = guests[i + 1].assigned - guests[i + 1].minimum;

		assert_true(more > 3 * less && more < 5 * less);
	}
}

static void loads_of_a_day(void **state)
{
	(void)state;
	begin(GUESTS * 1400 * MIB + RESERVE);
	run(7200, mixed);
	/* A build each five minutes is up and down twice; what no load explains would be
	 * hundreds. */
	assert_true(most_turns() <= 7200 / 97 * 2 + 4);
}

static void a_day_with_too_little(void **state)
{
	(void)state;
	begin(GUESTS * 800 * MIB + RESERVE);
	run(7200, mixed);
	assert_true(most_turns() <= 7200 / 12);
}

/* With enough and with too little: the targets move no more than what the guests demand does, so
 * they do not swing. */
static void recorded_loads(void **state)
{
	static const uint64_t each[] = {2048, 1000, 700, 540};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(each); i++) {
		begin(GUESTS * each[i] * MIB + RESERVE);
		run(300, as_recorded);
		run(RECORDED_SAMPLES * RECORDED_SECONDS, as_recorded);
		print_message("%u MiB each: %u GiB moved, of demand %u GiB\n",
			      (unsigned int)each[i], (unsigned int)(moved >> 30),
			      (unsigned int)(moved_demand >> 30));
		assert_true(moved <= moved_demand);
	}
}

/* What a guest does not give, or one that does not report has, is nobody else's. */
static void guests_that_do_not_follow(void **state)
{
	unsigned int i;

	(void)state;
	begin(GUESTS * 900 * MIB + RESERVE);
	for (i = 0; i < GUESTS; i++) {
		sides[i].deaf = i % 5 == 0;
		guests[i].led = i % 7 != 0;
		guests[i].assigned = (i % 5 == 0 ? 1024 : 512) * MIB;
	}
	run(3600, mixed);
}

/* One that starts anew has its memory at the start again, and the others make room. */
static void guests_that_come_and_go(void **state)
{
	unsigned int round, i;

	(void)state;
	begin(GUESTS * 1400 * MIB + RESERVE);
	for (round = 0; round < 20; round++) {
		for (i = round; i < GUESTS; i += 20) {
			guests[i].peak = 0;
			if (available() > RESERVE + 512 * MIB && guests[i].assigned < 512 * MIB) {
				guests[i].assigned = 512 * MIB;
			}
		}
		run(60, mixed);
	}
}

/* Numbers that a guest may make up. */
static void demands_without_end(void **state)
{
	unsigned int i;

	(void)state;
	begin(GUESTS * 600 * MIB + RESERVE);
	for (i = 0; i < GUESTS; i++) {
		guests[i].demand = i % 3 == 0 ? UINT64_MAX : i % 3 == 1 ? 0 : BALANCE_SIZE_MAX;
		guests[i].maximum = i % 2 ? BALANCE_SIZE_MAX : guests[i].minimum;
		guests[i].assigned = guests[i].minimum;
		guests[i].buffer = BALANCE_BUFFER_MAX;
	}
	for (i = 0; i < 100; i++) {
		balance_step(guests, GUESTS, available(), RESERVE);
		follow();
		assert_true(available() >= RESERVE);
	}
	balance_step(guests, 0, 0, RESERVE);
	balance_step(guests, 1, 0, UINT64_MAX);
	assert_true(guests[0].target == guests[0].minimum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(enough_for_all),
		cmocka_unit_test(too_little),
		cmocka_unit_test(weights_count),
		cmocka_unit_test(loads_of_a_day),
		cmocka_unit_test(a_day_with_too_little),
		cmocka_unit_test(recorded_loads),
		cmocka_unit_test(guests_that_do_not_follow),
		cmocka_unit_test(guests_that_come_and_go),
		cmocka_unit_test(demands_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
