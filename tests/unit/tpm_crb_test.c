/* devices/tpm_crb.c: the registers' course, as the TCG's interface has it, and what is not the
 * guest's to do. */
#include "tests/fake/board.h"

#include <string.h>

#define COMMAND_BYTES 12u

static int setup(void **state)
{
	board_setup_generation_2(state);
	board_add_tpm(&board);
	return 0;
}

static uint32_t get(uint32_t offset)
{
	return (uint32_t)board_memory_read(&board, TPM_BASE + offset, 4);
}

static void put(uint32_t offset, uint32_t value)
{
	board_memory_write(&board, TPM_BASE + offset, 4, value);
}

/* TPM2_Startup(CLEAR). */
static void put_command(void)
{
	static const uint8_t startup[COMMAND_BYTES] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 1, 0x44};
	uint32_t i;

	for (i = 0; i < sizeof(startup); i++) {
		board_memory_write(&board, TPM_BASE + 0x80 + i, 1, startup[i]);
	}
}

static void get_ready(void)
{
	put(0x08, 1);
	put(0x40, 1);
}

static void what_it_says_of_itself(void **state)
{
	(void)state;
	assert_int_equal(get(0x30), 0x00025811);
	assert_int_equal(board_memory_read(&board, TPM_BASE + 0x32, 2), 2);
	assert_int_equal(get(0x34), 0x1014);
	assert_int_equal(get(0x58), 3968);
	assert_int_equal(get(0x5c), 0xfed40080);
	assert_int_equal(get(0x60), 0);
	assert_int_equal(get(0x64), 3968);
	assert_int_equal(board_memory_read(&board, TPM_BASE + 0x68, 8), 0xfed40080);
	assert_int_equal(get(0x00), 0x81);
	assert_int_equal(get(0x44), 2); /* idle */
	/* Of its other localities there is none. */
	assert_int_equal(get(0x1000), UINT32_MAX);
}

static void a_command(void **state)
{
	(void)state;
	put(0x08, 1);
	assert_int_equal(get(0x0c), 1);
	assert_int_equal(get(0x00), 0x83);
	put(0x40, 1);
	assert_int_equal(get(0x44), 0);
	put_command();
	put(0x4c, 1);
	assert_int_equal(get(0x4c), 1);
	assert_int_equal(home.tpm.length, COMMAND_BYTES);
	assert_int_equal(home.tpm.command[9], 0x44);
	/* Under way: nothing of these has an effect. */
	board_memory_write(&board, TPM_BASE + 0x80, 8, 0);
	put(0x40, 2);
	put(0x48, 1);
	put(0x4c, 1);
	assert_int_equal(get(0x44), 0);
	assert_int_equal(home.tpm.started, 1);
	assert_true(fake_host_tpm(&home, &board));
	assert_int_equal(get(0x4c), 0);
	assert_int_equal(board_memory_read(&board, TPM_BASE + 0x80, 1), 0x7f);
	assert_int_equal(board_memory_read(&board, TPM_BASE + 0x85, 1), 12);
	put(0x40, 2);
	assert_int_equal(get(0x44), 2);
	put(0x08, 2);
	assert_int_equal(get(0x0c), 0);
}

static void what_comes_too_early(void **state)
{
	(void)state;
	put(0x40, 1);
	put(0x4c, 1); /* without the locality */
	assert_int_equal(home.tpm.started, 0);
	put(0x08, 1);
	put(0x40, 2);
	put(0x4c, 1); /* idle */
	assert_int_equal(home.tpm.started, 0);
	put(0x40, 1);
	put(0x4c, 1);
	assert_int_equal(home.tpm.started, 1);
	assert_int_equal(home.tpm.length, 10); /* which says that it has none */
}

static void lengths_that_a_command_has(void **state)
{
	(void)state;
	get_ready();
	put(0x80, 0xffffffff);
	put(0x84, 0xffffffff);
	put(0x4c, 1);
	assert_int_equal(home.tpm.length, TPM_BUFFER_BYTES);
	assert_true(fake_host_tpm(&home, &board));
	board_memory_write(&board, TPM_BASE + TPM_LENGTH - 8, 8, 0x0123456789abcdef);
	assert_int_equal(get(TPM_LENGTH - 4), 0x01234567);
}

static void a_tpm_that_is_gone(void **state)
{
	(void)state;
	get_ready();
	put_command();
	put(0x4c, 1);
	home.tpm.gone = true;
	assert_true(fake_host_tpm(&home, &board));
	assert_int_equal(get(0x4c), 0);
	assert_int_equal(get(0x44), 1);
	put(0x4c, 1);
	assert_int_equal(home.tpm.started, 1);
	board_reset(&board);
	assert_int_equal(get(0x44), 2);
	assert_int_equal(get(0x0c), 0);
	assert_int_equal(board_memory_read(&board, TPM_BASE + 0x80, 8), 0);
	get_ready();
	put(0x4c, 1);
	assert_int_equal(home.tpm.started, 2);
}

static void a_board_without(void **state)
{
	(void)state;
	assert_int_equal(get(0x30), UINT32_MAX);
	put(0x4c, 1);
	board_tpm_done(&board, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_it_says_of_itself, setup, board_teardown),
		cmocka_unit_test_setup_teardown(a_command, setup, board_teardown),
		cmocka_unit_test_setup_teardown(what_comes_too_early, setup, board_teardown),
		cmocka_unit_test_setup_teardown(lengths_that_a_command_has, setup, board_teardown),
		cmocka_unit_test_setup_teardown(a_tpm_that_is_gone, setup, board_teardown),
		cmocka_unit_test_setup_teardown(a_board_without, board_setup_generation_2,
						board_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
