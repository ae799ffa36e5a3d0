/*
 * The state of all parts: a board that was busy is saved and loaded into a fresh one, whose clock
 * is another, and both go on without a difference; what is damaged is refused and changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/check.h"
#include "tests/fake/board_pair.h"
#include "tests/fake/part.h"

#define LIVES  150
#define EVENTS 120

static struct pair_board one, other;
static uint8_t state[PAIR_STATE_MAX], second[PAIR_STATE_MAX];
static uint64_t seed;

static uint32_t number(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33);
}

static void live(struct pair_board *board, enum pair_part part, unsigned int events)
{
	while (events-- != 0) {
		struct pair_event event = pair_choose(part, number);

		pair_do(board, &event);
	}
}

static void live_both(enum pair_part part, unsigned int events)
{
	while (events-- != 0) {
		struct pair_event event = pair_choose(part, number);
		uint64_t came = pair_do(&one, &event);

		if (came != pair_do(&other, &event) || !pair_same(&one, &other)) {
			fail_msg("event %u at %#llx differs, %u before the end", event.kind,
				 (unsigned long long)event.where, events);
		}
	}
}

/* One that has the part, and others in turn. */
static enum board_kind kind_for(enum pair_part part, unsigned int life)
{
	if (part == PAIR_FLASH || part == PAIR_SCSI || part == PAIR_TPM) {
		return BOARD_GENERATION_2;
	}
	if (part == PAIR_IDE || part == PAIR_NIC || part == PAIR_SOUND || part == PAIR_HDA ||
	    part == PAIR_XHCI) {
		return BOARD_GENERATION_1;
	}
	return part < PAIR_I8042 && life & 1 ? BOARD_DIRECT
	       : life & 2                    ? BOARD_GENERATION_2
					     : BOARD_GENERATION_1;
}

static void goes_on(enum pair_part part)
{
	struct state_fault fault;
	unsigned int i;
	size_t size;

	for (i = 0; i < LIVES; i += (unsigned int)test_part()) {
		enum board_kind kind = kind_for(part, i);

		seed = i;
		pair_create(&one, kind, 1000000ull * number());
		pair_create(&other, kind, number());
		live(&one, part, EVENTS);
		live(&other, part, i / 2 % 2 * EVENTS); /* what it was is of no account */
		size = pair_save(&one, state);
		if (!pair_load(&other, &one, state, size, &fault)) {
			fail_msg("%s %s", fault.part, fault.what);
		}
		board_serial_drained(&one.board);
		board_serial_ready(&one.board);
		size = pair_save(&one, state);
		assert_int_equal(pair_save(&other, second), size);
		assert_memory_equal(state, second, size);
		assert_true(pair_same(&one, &other));
		live_both(part, EVENTS);
		size = pair_save(&one, state);
		assert_int_equal(pair_save(&other, second), size);
		assert_memory_equal(state, second, size);
		pair_destroy(&one);
		pair_destroy(&other);
	}
}

static void the_8259s(void **unused)
{
	(void)unused;
	goes_on(PAIR_PIC);
}

static void the_io_apic(void **unused)
{
	(void)unused;
	goes_on(PAIR_IOAPIC);
}

static void the_timer(void **unused)
{
	(void)unused;
	goes_on(PAIR_PIT);
}

static void the_clock(void **unused)
{
	(void)unused;
	goes_on(PAIR_RTC);
}

static void the_serial_port(void **unused)
{
	(void)unused;
	goes_on(PAIR_UART);
}

static void pci(void **unused)
{
	(void)unused;
	goes_on(PAIR_PCI);
}

static void acpi_hardware(void **unused)
{
	(void)unused;
	goes_on(PAIR_ACPI_PM);
}

static void the_ways_to_reset(void **unused)
{
	(void)unused;
	goes_on(PAIR_RESET);
}

static void what_firmware_reads(void **unused)
{
	(void)unused;
	goes_on(PAIR_FW_CFG);
}

static void the_keyboard_controller(void **unused)
{
	(void)unused;
	goes_on(PAIR_I8042);
}

static void the_drives(void **unused)
{
	(void)unused;
	goes_on(PAIR_IDE);
}

static void the_screen(void **unused)
{
	(void)unused;
	goes_on(PAIR_VGA);
}

static void the_adapter(void **unused)
{
	(void)unused;
	goes_on(PAIR_NIC);
}

static void the_sound_card(void **unused)
{
	(void)unused;
	goes_on(PAIR_SOUND);
}

static void the_audio_controller(void **unused)
{
	(void)unused;
	goes_on(PAIR_HDA);
}

static void the_usb_controller(void **unused)
{
	(void)unused;
	goes_on(PAIR_XHCI);
}

static void the_flash(void **unused)
{
	(void)unused;
	goes_on(PAIR_FLASH);
}

static void the_firmwares_disks(void **unused)
{
	(void)unused;
	goes_on(PAIR_SCSI);
}

static void the_tpm(void **unused)
{
	(void)unused;
	goes_on(PAIR_TPM);
}

static void all_together(void **unused)
{
	(void)unused;
	goes_on(PAIR_ALL);
}

/* ---- What is refused ---- */

static size_t make_state(void)
{
	seed = 4721;
	pair_create(&one, BOARD_GENERATION_1, 5);
	pair_create(&other, BOARD_GENERATION_1, 1000);
	live(&one, PAIR_ALL, 300);
	return pair_save(&one, state);
}

/* False, and nothing has changed. */
static bool loads(const uint8_t *from, size_t size, struct state_fault *fault)
{
	static uint8_t before[PAIR_STATE_MAX], after[PAIR_STATE_MAX];
	size_t was = pair_save(&other, before);
	bool loaded = pair_load(&other, &one, from, size, fault);

	if (!loaded) {
		assert_non_null(fault->what);
		assert_int_equal(pair_save(&other, after), was);
		assert_memory_equal(before, after, was);
	}
	return loaded;
}

static void what_is_cut_off(void **unused)
{
	struct state_fault fault;
	size_t size = make_state(), i;

	(void)unused;
	for (i = 0; i < size; i += test_part()) {
		assert_false(loads(state, i, &fault));
	}
	assert_true(loads(state, size, &fault));
}

/* Most damage gives another state that could be; none breaks anything. */
static void what_is_damaged(void **unused)
{
	struct state_fault fault;
	size_t size = make_state(), i;
	unsigned int refused = 0;

	(void)unused;
	for (i = 0; i < size; i += test_part()) {
		uint8_t bit = i % 2 ? 0x80 : 0x01;

		state[i] ^= bit;
		if (!loads(state, size, &fault)) {
			refused++;
		} else {
			live(&other, PAIR_ALL, 20);
		}
		state[i] ^= bit;
	}
	assert_true(refused > size / (16 * test_part()));
}

/* The part of this name, and where a byte of its value is. */
static uint8_t *value_of(const char *name, size_t at)
{
	char padded[STATE_NAME_BYTES] = {0};
	uint8_t *found;

	memcpy(padded, name, strlen(name));
	found = memmem(state, sizeof(state), padded, sizeof(padded));
	assert_non_null(found);
	return found + STATE_HEADER_BYTES + at;
}

static void what_cannot_be(void **unused)
{
	/* Of each part one value that no device has: at which byte, and what. */
	static const struct {
		const char *part;
		size_t at;
		uint8_t value;
	} bad[] = {
		{"pic", 3, 0x01},      /* an input that is edge-triggered for ever */
		{"pic", 5, 8},         /* lowest priority */
		{"pic", 6, 5},         /* ICW5 */
		{"pic", 7, 2},         /* a flag */
		{"ioapic", 5, 0xff},   /* an entry's reserved bits */
		{"ioapic", 197, 0x10}, /* id */
		{"pit", 7, 0x80},      /* a start long after now */
		{"pit", 18, 2},        /* a count above 65536 */
		{"pit", 22, 6},        /* mode */
		{"pit", 23, 0},        /* access */
		{"rtc", 0, 0x80},      /* index */
		{"rtc", 14, 0},        /* register D */
		{"rtc", 136, 0x70},    /* year 2200 and much more */
		{"uart", 0, 0x10},     /* IER */
		{"uart", 4, 1},        /* LSR */
		{"uart", 19, 17},      /* bytes in the FIFO */
		{"pci", 4, 1},         /* the reset control */
		{"pci", 5, 16},        /* a line */
		{"function", 0, 9},    /* slot */
		{"function", 2, 1},    /* vendor */
		{"function", 258, 1},  /* header of a card whose vector's address is not aligned */
		{"acpi-pm", 1, 0x40},  /* a status bit */
		{"acpi-pm", 25, 0x7f}, /* the timer's past */
		{"port92", 0, 4},      {"fw-cfg", 5, 1}, /* a place behind the item */
		{"i8042", 5, 0},                         /* a set of scan codes */
		{"i8042", 65, 0xff},                     /* more keys than wait */
		{"ide", 0, 2},                           /* another drive */
		{"ide", 22, 0},                          /* heads */
		{"vga", 861, 0xff},                      /* a mode that is too wide */
		{"dma", 8, 1},                           /* a mode for another channel */
		{"hda", 0, 0},                           /* other streams than it has */
		{"hda", 201, 1},                         /* answers: 256 */
		{"xhci", 20, 1},                         /* a ring in the midst of a TRB */
		{"sb16", 73, 0},                         /* no line */
		{"sb16", 82, 3},                         /* parameters of no command */
	};
	struct state_fault fault;
	size_t size = make_state(), i;

	(void)unused;
	for (i = 0; i < ARRAY_COUNT(bad); i++) {
		uint8_t *at, was;

		if (strcmp(bad[i].part, "function") == 0 && bad[i].at == 258) {
			/* The bridge has no vectors: the next function. */
			at = value_of("function", 0) + 2 + 256 + STATE_HEADER_BYTES + 258;
		} else {
			at = value_of(bad[i].part, bad[i].at);
		}
		was = *at;
		*at = bad[i].value;
		if (loads(state, size, &fault)) {
			fail_msg("%s is loaded with %#x at %zu", bad[i].part, bad[i].value,
				 bad[i].at);
		}
		if (strcmp(fault.part, bad[i].part) != 0) {
			fail_msg("%s, byte %zu: %s %s", bad[i].part, bad[i].at, fault.part,
				 fault.what);
		}
		*at = was;
	}
	assert_true(loads(state, size, &fault));
}

static void another_machine(void **unused)
{
	static struct card third;
	struct state_fault fault;
	size_t size = make_state();

	(void)unused;
	assert_true(card_add(&third, &other.board, 20, 0));
	assert_false(loads(state, size, &fault));
	assert_string_equal(fault.part, "function");
	assert_string_equal(fault.what, "is missing");
}

static void a_newer_one(void **unused)
{
	struct state_fault fault;
	size_t size = make_state();

	(void)unused;
	value_of("rtc", 0)[-8] = 2;
	assert_false(loads(state, size, &fault));
	assert_string_equal(fault.part, "rtc");
}

/* The guest's date goes on while its machine is only a file, and its seconds end when the host's
 * do. */
static void the_date_goes_on(void **unused)
{
	struct state_fault fault;
	size_t size;

	(void)unused;
	pair_create(&one, BOARD_DIRECT, 0);
	pair_create(&other, BOARD_DIRECT, 0);
	board_port_write(&one.board, 0x70, 1, 0); /* 23:59:58 */
	assert_int_equal(board_port_read(&one.board, 0x71, 1), 0x58);
	board_port_write(&one.board, 0x70, 1, 11);
	board_port_write(&one.board, 0x71, 1, 0x12); /* an interrupt each second */
	board_port_write(&one.board, 0x70, 1, 0);
	size = pair_save(&one, state);
	one.home.wall += 3250000000ull;
	assert_true(pair_load(&other, &one, state, size, &fault));
	assert_int_equal(board_port_read(&other.board, 0x71, 1), 0x01);
	assert_int_equal(other.home.wake_at - other.home.time, 750000000);
	pair_destroy(&one);
	pair_destroy(&other);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_8259s),
		T(the_io_apic),
		T(the_timer),
		T(the_clock),
		T(the_serial_port),
		T(pci),
		T(acpi_hardware),
		T(the_ways_to_reset),
		T(what_firmware_reads),
		T(the_keyboard_controller),
		T(the_drives),
		T(the_screen),
		T(the_adapter),
		T(the_sound_card),
		T(the_audio_controller),
		T(the_usb_controller),
		T(the_flash),
		T(the_firmwares_disks),
		T(the_tpm),
		T(all_together),
		T(what_is_cut_off),
		T(what_is_damaged),
		T(what_cannot_be),
		T(another_machine),
		T(a_newer_one),
		T(the_date_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
