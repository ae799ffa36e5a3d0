/*
 * clock: how far the guest's clock is from the host's. The board's clock (CMOS) is the host's date,
 * and its seconds are seen to change through two ports: then the guest's own clock is to be at the
 * beginning of that second. The closest look of several counts; the line is
 *
 *   clock: S seconds and N ns ahead, seen within W ns
 *
 * with S from -30 to 29 and N from -500,000,000 to 499,999,999.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/io.h>
#include <time.h>

#define SECONDS 4
#define CLOSE   500000 /* ns: this is good enough */

static unsigned int seconds(void)
{
	unsigned int value;

	outb(0, 0x70);
	value = inb(0x71);
	return (value >> 4) * 10 + (value & 15);
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int main(void)
{
	int64_t before, begun, after, within, best = INT64_MAX, ahead = 0, rest;
	unsigned int first, second;
	int i;

	if (iopl(3) != 0) {
		perror("iopl");
		return 1;
	}
	for (i = 0; i < SECONDS || best > CLOSE; i++) {
		first = seconds();
		begun = after = now();
		do { /* it changed after the look before the last had begun */
			before = begun;
			begun = after;
			second = seconds();
			after = now();
		} while (second == first);
		within = after - before;
		if (within < best) {
			best = within;
			/* The change was in the middle, for all that is known. */
			ahead = before + within / 2 - second * INT64_C(1000000000);
		}
	}
	/* Of a minute, and of a second. */
	ahead = ((ahead + INT64_C(30500000000)) % INT64_C(60000000000)) - INT64_C(30500000000) +
		INT64_C(500000000);
	rest = ((ahead % 1000000000) + 1000000000) % 1000000000 - 500000000;
	printf("clock: %lld seconds and %lld ns ahead, seen within %lld ns\n",
	       (long long)((ahead - rest - 500000000) / 1000000000), (long long)rest,
	       (long long)best);
	return 0;
}
