/*
 * See balance.h. Why it stands still when its guests do:
 *
 *   demand is what programs asked for, and does not depend on what the guest has: no loop is closed over it;
 *   a rise of demand counts at once, a fall little by little (settle_peak()), and so does what a guest did not give (settle_kept());
 *   where there is enough for all a guest keeps what is hardly too much (SLACK_*): the way there and back would cost more.
 */
#include "cli/balance.h"

/* Of the distance to a lower demand, in a step: what was needed a minute ago may be needed
 * again. */
#define FALL 64u
/* Of what a guest once kept, in a step: then it is asked for that much. */
#define FORGET 256u
/* What a guest may keep too much: a part of its goal, at least so many bytes; of these half where
 * there is too little for all. */
#define SLACK_PART 16u
#define SLACK_MIN  (32ull << 20)

static uint64_t clamp(uint64_t size, uint64_t least, uint64_t most)
{
	return size < least ? least : size > most ? most : size;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void settle_peak(struct balance_guest *guest)
{
	uint64_t demand = smaller(guest->demand, BALANCE_SIZE_MAX);

	guest->peak = demand >= guest->peak
			      ? demand
			      : guest->peak - (guest->peak - demand + FALL - 1) / FALL;
}

static void settle_kept(struct balance_guest *guest)
{
	guest->kept = guest->gives_no_more ? guest->assigned
					   : guest->kept - (guest->kept + FORGET - 1) / FORGET;
}

/* What a guest may have, and the sum of that over all. */
enum level { LEAST, NEED, WISH };

static uint64_t at_level(const struct balance_guest *guest, enum level level)
{
	uint64_t size = guest->peak + (level == WISH ? guest->peak / 100 * guest->buffer : 0);

	if (!guest->led) {
		return 0;
	}
	return level == LEAST ? guest->least : clamp(size, guest->least, guest->maximum);
}

static uint64_t sum(const struct balance_guest *guests, size_t count, enum level level)
{
	uint64_t total = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		total += at_level(&guests[i], level);
	}
	return total;
}

static uint64_t weight_of(const struct balance_guest *guest)
{
	return guest->weight + 1; /* the least of them gets something too */
}

/* By whose `share` is less than its `room`. */
static uint64_t weights_of(const struct balance_guest *guests, size_t count)
{
	uint64_t total = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		total += guests[i].share < guests[i].room ? weight_of(&guests[i]) : 0;
	}
	return total;
}

/* Fills all rooms that are not larger than what would be poured into them; how much that took. */
static uint64_t fill_small(struct balance_guest *guests, size_t count, uint64_t part)
{
	uint64_t taken = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		if (guests[i].share < guests[i].room &&
		    guests[i].room <= part * weight_of(&guests[i])) {
			guests[i].share = guests[i].room;
			taken += guests[i].room;
		}
	}
	return taken;
}

/* Divides the amount by weight among all, as far as each has room; what one has no room for is the
 * others'. */
static void pour(struct balance_guest *guests, size_t count, uint64_t amount)
{
	uint64_t weights, part = 0, taken;
	size_t i;

	for (i = 0; i < count; i++) {
		guests[i].share = 0;
	}
	do {
		weights = weights_of(guests, count);
		part = weights > 0 ? amount / weights : 0;
		taken = fill_small(guests, count, part);
		amount -= taken;
	} while (taken > 0);
	for (i = 0; i < count; i++) {
		if (guests[i].share < guests[i].room) {
			guests[i].share = part * weight_of(&guests[i]);
		}
	}
}

static void settle_goals(struct balance_guest *guests, size_t count, uint64_t pool)
{
	enum level base = sum(guests, count, NEED) <= pool ? NEED : LEAST;
	uint64_t given = sum(guests, count, base);
	size_t i;

	for (i = 0; i < count; i++) {
		guests[i].room = at_level(&guests[i], base + 1) - at_level(&guests[i], base);
	}
	pour(guests, count, pool > given ? pool - given : 0);
	for (i = 0; i < count; i++) {
		guests[i].goal = at_level(&guests[i], base) + guests[i].share;
		guests[i].goal -= guests[i].goal % BALANCE_BLOCK;
	}
}

static uint64_t slack(const struct balance_guest *guest, bool enough)
{
	uint64_t part = guest->goal / SLACK_PART;

	if (!enough) {
		return SLACK_MIN / 2;
	}
	return part > SLACK_MIN ? part : SLACK_MIN;
}

/* What it has is its goal or more. */
static uint64_t lower(const struct balance_guest *guest, bool enough)
{
	if (guest->assigned - guest->goal > slack(guest, enough)) {
		return guest->goal;
	}
	/* It may be on its way to what it was led to before. */
	return clamp(guest->target, guest->goal, guest->assigned);
}

static void settle_targets(struct balance_guest *guests, size_t count, uint64_t free)
{
	uint64_t raises = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		struct balance_guest *guest = &guests[i];

		guest->room = guest->led && guest->goal > guest->assigned
				      ? guest->goal - guest->assigned
				      : 0;
		raises += guest->room;
	}
	pour(guests, count, free);
	for (i = 0; i < count; i++) {
		struct balance_guest *guest = &guests[i];

		if (!guest->led) {
			guest->target = guest->assigned;
		} else if (guest->room > 0) {
			guest->target = guest->assigned + guest->share;
		} else {
			guest->target = lower(guest, raises <= free);
		}
	}
}

void balance_step(struct balance_guest *guests, size_t count, uint64_t available, uint64_t reserve)
{
	uint64_t pool = available;
	size_t i;

	for (i = 0; i < count; i++) {
		if (guests[i].led) {
			settle_peak(&guests[i]);
			settle_kept(&guests[i]);
			guests[i].least =
				clamp(guests[i].kept, guests[i].minimum, guests[i].maximum);
			pool += guests[i].assigned;
		}
	}
	settle_goals(guests, count, pool > reserve ? pool - reserve : 0);
	settle_targets(guests, count, available > reserve ? available - reserve : 0);
}
