/*
 * 64-bit division, which 32-bit code asks of its surroundings: the compiler calls these by their
 * names.
 */
#include <stddef.h>
#include <stdint.h>

uint64_t __udivmoddi4(uint64_t value, uint64_t by, uint64_t *rest);
uint64_t __udivdi3(uint64_t value, uint64_t by);
uint64_t __umoddi3(uint64_t value, uint64_t by);

/* Binary long division; a divisor of 0 is the caller's defect and gives all ones. */
uint64_t __udivmoddi4(uint64_t value, uint64_t by, uint64_t *rest)
{
	uint64_t quotient = 0, remainder = 0;

	for (int bit = 63; bit >= 0; bit--) {
		uint64_t carry = remainder >> 63;

		remainder = remainder << 1 | (value >> bit & 1);
		quotient <<= 1;
		if (carry || remainder >= by) {
			remainder -= by;
			quotient |= 1;
		}
	}
	if (rest != NULL) {
		*rest = remainder;
	}
	return quotient;
}

uint64_t __udivdi3(uint64_t value, uint64_t by)
{
	return __udivmoddi4(value, by, 0);
}

uint64_t __umoddi3(uint64_t value, uint64_t by)
{
	uint64_t rest;

	__udivmoddi4(value, by, &rest);
	return rest;
}
