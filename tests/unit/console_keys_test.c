/* console/keys.c: what viewers call keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "console/keys.h"

static void is(uint32_t keysym, uint8_t key, bool shifted)
{
	bool seen;

	assert_int_equal(key_of(keysym, &seen), key);
	assert_int_equal(seen, shifted);
}

static void characters(void **unused)
{
	(void)unused;
	is('a', 0x1e, false);
	is('A', 0x1e, true);
	is('1', 0x02, false);
	is('!', 0x02, true);
	is('=', 0x0d, false);
	is('\\', 0x2b, false);
	is('|', 0x2b, true);
	is(' ', 0x39, false);
	is('~', 0x29, true);
	is('/', 0x35, false);
	is('?', 0x35, true);
	is('Z', 0x2c, true);
}

static void others(void **unused)
{
	(void)unused;
	is(0xff0d, 0x1c, false); /* Return */
	is(0xff1b, 0x01, false); /* Escape */
	is(0xff52, 0xc8, false); /* Up */
	is(0xffc9, 0x58, false); /* F12 */
	is(0xff8d, 0x9c, false); /* KP_Enter */
	is(0xffff, 0xd3, false); /* Delete */
	is(0xffe4, 0x9d, false); /* Control_R */
}

static void none(void **unused)
{
	(void)unused;
	is(0, 0, false);
	is(0x7f, 0, false);
	is(0xe4, 0, false); /* of a layout that is not this one */
	is(0x1001234, 0, false);
	is(0xffffffff, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters),
		cmocka_unit_test(others),
		cmocka_unit_test(none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
