/* devices/flash.c: Intel's commands, what guests read directly, and what the home is told to
 * keep. */
#include "tests/fake/board.h"

#include <string.h>

#define BLOCKS 4u
#define LENGTH (BLOCKS * FLASH_BLOCK)
#define ROM    (256u * 1024)
#define BASE   ((1ull << 32) - ROM - LENGTH)

static _Alignas(4096) uint8_t image[ROM], memory[LENGTH];

static int setup(void **state)
{
	board_setup_generation_2(state);
	memset(memory, 0xff, sizeof(memory));
	memcpy(memory, "array", 5);
	assert_true(board_add_rom(&board, image, sizeof(image)));
	assert_true(board_add_flash(&board, memory, sizeof(memory)));
	return 0;
}

static void put(uint32_t offset, uint8_t value)
{
	board_memory_write(&board, BASE + offset, 1, value);
}

static uint8_t get(uint32_t offset)
{
	return (uint8_t)board_memory_read(&board, BASE + offset, 1);
}

/* Guests read all of it without an exit, and write nothing so. */
static bool is_direct(void)
{
	unsigned int i;

	for (i = 0; i < FAKE_MAPPINGS; i++) {
		if (home.mappings[i].length == LENGTH && home.mappings[i].gpa == BASE &&
		    home.mappings[i].pages == memory && !home.mappings[i].writable) {
			return true;
		}
	}
	return false;
}

static void stored(unsigned int count, uint32_t offset, uint32_t length)
{
	assert_int_equal(home.flash_count, count);
	assert_int_equal(home.flash_offset, offset);
	assert_int_equal(home.flash_length, length);
}

static void an_array_is_memory(void **state)
{
	(void)state;
	assert_true(is_direct());
	assert_int_equal(get(1), 'r');
	assert_int_equal(board_memory_read(&board, BASE, 4), 0x61727261);
	put(0, 0x42); /* no command */
	assert_true(is_direct());
	assert_int_equal(get(0), 'a');
}

/* What OVMF tells a flash by: QemuFlashDetected(). */
static void it_is_found(void **state)
{
	(void)state;
	put(0, 0x50);
	assert_int_equal(get(0), 'a');
	put(0, 0x70);
	assert_false(is_direct());
	assert_int_equal(get(0), 0);
	put(0, 0xff);
	assert_true(is_direct());
	assert_int_equal(get(0), 'a');
}

static void programming_clears_bits(void **state)
{
	(void)state;
	put(0x100, 0x10);
	assert_false(is_direct());
	put(0x100, 0x5a);
	assert_int_equal(get(0x100), 0x80);
	put(0x101, 0x40);
	put(0x101, 0x0f);
	assert_int_equal(home.flash_count, 0);
	put(0x100, 0xff);
	stored(1, 0x100, 2);
	assert_true(is_direct());
	assert_int_equal(get(0x100), 0x5a);
	put(0x100, 0x10);
	put(0x100, 0xf0);
	put(0x100, 0xff);
	stored(2, 0x100, 1);
	assert_int_equal(get(0x100), 0x50);
	assert_int_equal(get(0x101), 0x0f);
}

static void program(uint32_t offset)
{
	put(offset, 0x10);
	put(offset, 0);
}

/* Nothing that is stored at once lies in two blocks, or has what was not written. */
static void what_is_programmed_is_stored_by_blocks(void **state)
{
	(void)state;
	program(FLASH_BLOCK - 1);
	program(FLASH_BLOCK);
	stored(1, FLASH_BLOCK - 1, 1);
	program(FLASH_BLOCK + 5);
	stored(2, FLASH_BLOCK, 1);
	program(3);
	stored(3, FLASH_BLOCK + 5, 1);
	put(0, 0x20);
	stored(4, 3, 1);
}

static void erasing_sets_a_blocks_bits(void **state)
{
	(void)state;
	program(FLASH_BLOCK);
	put(0, 0xff);
	put(7, 0x20);
	put(7, 0xd0);
	assert_int_equal(get(0), 0x80);
	stored(2, 0, FLASH_BLOCK);
	put(0, 0xff);
	assert_int_equal(get(0), 0xff);
	assert_int_equal(get(FLASH_BLOCK), 0);
	/* Not confirmed. */
	put(FLASH_BLOCK, 0x20);
	put(FLASH_BLOCK, 0xff);
	assert_int_equal(get(0), 0xb0);
	put(0, 0x50);
	assert_int_equal(get(0), 0);
	put(0, 0xff);
	assert_int_equal(get(FLASH_BLOCK), 0);
	assert_int_equal(home.flash_count, 2);
}

static void it_says_what_it_is(void **state)
{
	(void)state;
	put(0, 0x90);
	assert_int_equal(get(0), 0x89);
	put(0, 0x98);
	assert_int_equal(get(0x10), 'Q');
	assert_int_equal(get(0x11), 'R');
	assert_int_equal(get(0x12), 'Y');
	assert_int_equal(get(0x13), 1);
	assert_int_equal(get(0x27), 14);
	assert_int_equal(get(0x2c), 1);
	assert_int_equal(get(0x2d), BLOCKS - 1);
	assert_int_equal(get(0x2f), FLASH_BLOCK / 256);
	assert_int_equal(get(LENGTH - 1), 0);
}

static void wide_accesses_are_bytes(void **state)
{
	(void)state;
	board_memory_write(&board, BASE + 0x10, 4,
			   0x70ff5a10); /* program, its datum, array, status */
	assert_int_equal(memory[0x11], 0x5a);
	assert_int_equal(board_memory_read(&board, BASE, 2), 0x8080);
}

static void a_reset_shows_the_array(void **state)
{
	(void)state;
	program(9);
	board_reset(&board);
	stored(1, 9, 1);
	assert_true(is_direct());
	assert_int_equal(get(9), 0);
	put(0, 0x70);
	assert_int_equal(get(0), 0x80);
}

static void the_image_is_no_flash(void **state)
{
	(void)state;
	board_memory_write(&board, BASE + LENGTH, 1, 0x70);
	assert_int_equal(board_memory_read(&board, BASE + LENGTH, 1), image[0]);
	assert_true(is_direct());
}

/* It is memory, which guests read and the home writes. */
static void the_generation_id_is_a_page(void **state)
{
	static _Alignas(4096) uint8_t page[BOARD_GENERATION_PAGE];
	bool mapped = false;
	unsigned int i;

	(void)state;
	page[15] = 0x5a;
	board_add_generation(&board, page);
	assert_int_equal(board_memory_read(&board, BOARD_GENERATION_BASE + 15, 1), 0x5a);
	board_memory_write(&board, BOARD_GENERATION_BASE + 15, 1, 0);
	assert_int_equal(page[15], 0x5a);
	for (i = 0; i < FAKE_MAPPINGS; i++) {
		mapped |= home.mappings[i].gpa == BOARD_GENERATION_BASE &&
			  home.mappings[i].length == sizeof(page) &&
			  home.mappings[i].pages == page && !home.mappings[i].writable;
	}
	assert_true(mapped);
}

static void sizes_that_cannot_be(void **state)
{
	(void)state;
	assert_false(board_add_flash(&board, memory, 0));
	assert_false(board_add_flash(&board, memory, FLASH_BLOCK + 1));
	assert_false(board_add_flash(&board, memory, BOARD_ROM_MAX - ROM + FLASH_BLOCK));
}

/* ---- A saved state ---- */

static size_t save(uint8_t *to, size_t room)
{
	struct state_writer writer = state_writer(to, room);

	flash_class.save(&board.flash, &writer);
	assert_true(state_fits(&writer));
	return writer.used;
}

/* As a part of this version. What is wrong with it, or NULL. */
static const char *load(const uint8_t *from, size_t size, uint16_t version)
{
	static uint8_t bytes[2 * LENGTH];
	struct state_writer writer = state_writer(bytes, sizeof(bytes));
	size_t begin = state_begin(&writer, "flash", version);
	struct state_fault fault = {.what = NULL};
	struct state_reader list, part;

	state_put_bytes(&writer, from, size);
	state_end(&writer, begin);
	list = state_reader(bytes, writer.used, &fault);
	part = state_part(&list, "flash", flash_class.version);
	flash_class.load(&board.flash, &part, true);
	state_finish(&part);
	return state_ok(&list) ? NULL : fault.what;
}

#define PLACE_AT 2u /* behind mode and status, of 8 bytes */

static void a_state_brings_all_of_it(void **state)
{
	static uint8_t saved[2 * LENGTH];
	size_t size;

	(void)state;
	program(FLASH_BLOCK + 3);
	put(0, 0xff);
	size = save(saved, sizeof(saved));
	memset(memory, 0xff, sizeof(memory));
	memory[9] = 1;
	assert_null(load(saved, size, 2));
	assert_int_equal(get(FLASH_BLOCK + 3), 0);
	assert_memory_equal(memory, "array", 5);
	assert_int_equal(memory[9], 0xff);
	stored(3, FLASH_BLOCK, FLASH_BLOCK); /* what differs is the home's to keep */
	assert_null(load(saved, size, 2));
	stored(3, FLASH_BLOCK, FLASH_BLOCK);
}

/* The first version knew no place. */
static void an_old_state_is_taken(void **state)
{
	static uint8_t saved[2 * LENGTH];
	size_t size;

	(void)state;
	program(7);
	put(0, 0xff);
	size = save(saved, sizeof(saved)) - 8;
	memmove(saved + PLACE_AT, saved + PLACE_AT + 8, size - PLACE_AT);
	memset(memory, 0xff, sizeof(memory));
	assert_null(load(saved, size, 1));
	assert_int_equal(get(7), 0);
}

static void a_state_of_another_machine(void **state)
{
	static uint8_t saved[2 * LENGTH];
	size_t size;

	(void)state;
	size = save(saved, sizeof(saved));
	saved[PLACE_AT + 1] ^= 0x10;
	assert_non_null(strstr(load(saved, size, 2), "the firmware that it had"));
	saved[PLACE_AT + 1] ^= 0x10;
	saved[PLACE_AT + 9] ^= 0x10;
	assert_non_null(strstr(load(saved, size, 2), "another size"));
	saved[PLACE_AT + 9] ^= 0x10;
	assert_non_null(load(saved, size - 1, 2));
	assert_non_null(load(saved, size, 3));
	assert_memory_equal(memory, "array", 5);
	assert_int_equal(home.flash_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_array_is_memory, setup, board_teardown),
		cmocka_unit_test_setup_teardown(it_is_found, setup, board_teardown),
		cmocka_unit_test_setup_teardown(programming_clears_bits, setup, board_teardown),
		cmocka_unit_test_setup_teardown(what_is_programmed_is_stored_by_blocks, setup,
						board_teardown),
		cmocka_unit_test_setup_teardown(erasing_sets_a_blocks_bits, setup, board_teardown),
		cmocka_unit_test_setup_teardown(it_says_what_it_is, setup, board_teardown),
		cmocka_unit_test_setup_teardown(wide_accesses_are_bytes, setup, board_teardown),
		cmocka_unit_test_setup_teardown(a_reset_shows_the_array, setup, board_teardown),
		cmocka_unit_test_setup_teardown(the_image_is_no_flash, setup, board_teardown),
		cmocka_unit_test_setup_teardown(sizes_that_cannot_be, setup, board_teardown),
		cmocka_unit_test_setup_teardown(the_generation_id_is_a_page, setup, board_teardown),
		cmocka_unit_test_setup_teardown(a_state_brings_all_of_it, setup, board_teardown),
		cmocka_unit_test_setup_teardown(an_old_state_is_taken, setup, board_teardown),
		cmocka_unit_test_setup_teardown(a_state_of_another_machine, setup, board_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
