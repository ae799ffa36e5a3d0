/* A hostile guest of the flash memory: what the home is told to keep lies in one block, and
 * programming never sets a bit. */
#include "tests/fake/board_pair.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static struct pair_board one;
static uint8_t before[PAIR_FLASH_BYTES];

static bool is_erased(uint32_t at)
{
	uint32_t block = at / FLASH_BLOCK * FLASH_BLOCK, i;

	for (i = 0; i < FLASH_BLOCK; i++) {
		if (one.flash[block + i] != 0xff) {
			return false;
		}
	}
	return true;
}

/* No bit was set but by erasing a block. */
static void look_at_bits(void)
{
	uint32_t i;

	for (i = 0; i < PAIR_FLASH_BYTES; i++) {
		EXPECT((one.flash[i] & ~before[i]) == 0 || is_erased(i));
	}
}

static void look_at_store(void)
{
	const struct host *home = &one.home;

	EXPECT(home->flash_length != 0 &&
	       home->flash_length <= FLASH_BLOCK - home->flash_offset % FLASH_BLOCK &&
	       home->flash_offset < PAIR_FLASH_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int events = 300, stores = 0;

	fuzz_begin(data, size);
	pair_create(&one, BOARD_GENERATION_2, 0);
	while (fuzz_more() && events-- != 0) {
		struct pair_event event = pair_choose(PAIR_FLASH, fuzz_number);

		memcpy(before, one.flash, sizeof(before));
		pair_do(&one, &event);
		if (one.home.flash_count != stores) {
			stores = one.home.flash_count;
			look_at_store();
		}
		if (memcmp(before, one.flash, sizeof(before)) != 0) {
			look_at_bits();
		}
	}
	pair_destroy(&one);
	return 0;
}
