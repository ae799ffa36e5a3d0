/* devices/xhci*.c and usb*.c: the controller as a system's driver uses it, from its reset to a
 * report of the tablet; and rings and contexts that no driver makes. */
#include "tests/fake/board.h"

#include <string.h>

#define BASE   0xf9000000ull
#define LINE   10
#define VECTOR 0x63

/* Of the guest's memory. */
#define CONTEXTS    0x400 /* the array of the slots' */
#define TABLE       0x480
#define SHOWN       0x800 /* the device's context */
#define INPUT       0xc00
#define COMMANDS    0x1000
#define EVENTS      0x1800
#define CONTROL     0x2000
#define REPORTS     0x2800
#define BUFFER      0x3000
#define EVENT_COUNT 16

enum { NORMAL = 1, SETUP, DATA, STATUS, LINK = 6, EVENT_DATA, NO_OP };
enum { ENABLE_SLOT = 9, DISABLE_SLOT, ADDRESS, CONFIGURE, EVALUATE, RESET_ENDPOINT, STOP_ENDPOINT };
enum { SET_DEQUEUE = 16, RESET_DEVICE, NO_OP_COMMAND = 23, TRANSFER = 32, COMPLETION, PORT };

#define CHAIN      (1u << 4)
#define TELL       (1u << 5)
#define TELL_SHORT (1u << 2)
#define IMMEDIATE  (1u << 6)
#define IN         (1u << 16)

struct trb {
	uint64_t parameter;
	uint32_t status, control;
};

static uint32_t commands, controls, reports, taken; /* on their rings */
static bool cycle;                                  /* of the events */

static uint32_t get(uint32_t at)
{
	return (uint32_t)board_memory_read(&board, BASE + at, 4);
}

static void put(uint32_t at, uint32_t value)
{
	board_memory_write(&board, BASE + at, 4, value);
}

static void put_address(uint32_t at, uint64_t value)
{
	put(at, (uint32_t)value);
	put(at + 4, (uint32_t)(value >> 32));
}

static void set_config(unsigned int at, uint32_t value)
{
	out(0xcf8, 4, 0x80000000u | BOARD_XHCI_SLOT << 11 | at);
	out(0xcfc, 4, value);
}

static void put_trb(uint64_t ring, uint32_t index, uint64_t parameter, uint32_t status,
		    uint32_t control)
{
	struct trb trb = {parameter, status, control | 1};

	memcpy(home.ram + ring + index * sizeof(trb), &trb, sizeof(trb));
}

/* The event that came next. */
static struct trb event(void)
{
	struct trb trb;

	memcpy(&trb, home.ram + EVENTS + taken * sizeof(trb), sizeof(trb));
	if ((trb.control & 1) != cycle) {
		return (struct trb){.control = 0};
	}
	taken = (taken + 1) % EVENT_COUNT;
	cycle ^= taken == 0;
	put_address(0x1038, (EVENTS + taken * sizeof(trb)) | 8);
	return trb;
}

static unsigned int type(const struct trb *trb)
{
	return trb->control >> 10 & 0x3f;
}

static unsigned int code(const struct trb *trb)
{
	return trb->status >> 24;
}

static void assert_none(void)
{
	struct trb trb = event();

	assert_int_equal(trb.control, 0);
}

/* A command; its code. */
static unsigned int command(unsigned int what, uint64_t parameter, uint32_t bits)
{
	struct trb trb;
	uint32_t index = commands++;

	put_trb(COMMANDS, index, parameter, 0, what << 10 | bits);
	put(0x2000, 0);
	trb = event();
	assert_int_equal(type(&trb), COMPLETION);
	assert_int_equal(trb.parameter, COMMANDS + index * sizeof(trb));
	assert_int_equal(trb.control >> 24, what == ENABLE_SLOT ? 1 : bits >> 24);
	return code(&trb);
}

static void begin(void)
{
	const struct {
		uint64_t gpa;
		uint32_t count, zero;
	} segment = {EVENTS, EVENT_COUNT, 0};
	uint64_t shown = SHOWN;

	memcpy(home.ram + TABLE, &segment, sizeof(segment));
	memcpy(home.ram + CONTEXTS + 8, &shown, sizeof(shown));
	commands = controls = reports = taken = 0;
	cycle = true;
	memset(home.ram + EVENTS, 0, EVENT_COUNT * sizeof(struct trb));
	put(0x40, 2);
	assert_int_equal(get(0x40), 0);
	assert_int_equal(get(0x44), 1);
	put(0x78, 8);
	put_address(0x70, CONTEXTS);
	put_address(0x58, COMMANDS | 1);
	put(0x1028, 1);
	put_address(0x1038, EVENTS);
	put_address(0x1030, TABLE);
	put(0x1020, 2);
	put(0x40, 5);
	assert_int_equal(get(0x44) & 1, 0);
}

static int setup(void **state)
{
	board_setup_generation_1(state);
	board_add_usb(&board);
	board_add_tablet(&board);
	set_config(0x10, (uint32_t)BASE);
	set_config(0x04, 6);
	pci_route(&board.pci, (BOARD_XHCI_SLOT - 1) % 4, LINE);
	ioapic_route(LINE, VECTOR, true);
	begin();
	return 0;
}

/* The tablet has come, and its port is reset. */
static void reset_port(void)
{
	struct trb trb = event();

	assert_int_equal(type(&trb), PORT);
	assert_int_equal(trb.parameter >> 24, 1);
	assert_int_equal(get(0x440),
			 0x20ee1); /* connected, news, powered, polling, of high speed */
	put(0x440, 0x20200);
	assert_int_equal(get(0x440) & 0x20000, 0);
	put(0x440, 0x210);
	trb = event();
	assert_int_equal(type(&trb), PORT);
	assert_int_equal(get(0x440), 0x200e03);
	put(0x440, 0x200200);
	assert_int_equal(get(0x440), 0xe03);
}

static void put_words(uint64_t at, const uint32_t words[8])
{
	memcpy(home.ram + at, words, 32);
}

static uint32_t shown(unsigned int index, unsigned int word)
{
	uint32_t value;

	memcpy(&value, home.ram + SHOWN + 32 * index + 4 * word, 4);
	return value;
}

static void put_input(uint32_t drop, uint32_t add)
{
	put_words(INPUT, (const uint32_t[8]){drop, add});
	put_words(INPUT + 32, (const uint32_t[8]){1u << 27 | 3 << 20, 1 << 16});
	put_words(INPUT + 64, (const uint32_t[8]){0, 64u << 16 | 4 << 3 | 3 << 1, CONTROL | 1});
	put_words(INPUT + 128,
		  (const uint32_t[8]){3u << 16, 8u << 16 | 7 << 3 | 3 << 1, REPORTS | 1});
}

static void address(void)
{
	reset_port();
	assert_int_equal(command(ENABLE_SLOT, 0, 0), 1);
	put_input(0, 3);
	assert_int_equal(command(ADDRESS, INPUT, 1u << 24), 1);
	assert_int_equal(shown(0, 3), 2u << 27 | 1);
	assert_int_equal(shown(1, 0) & 7, 1);
}

/* A control transfer with its data in BUFFER; the code of its end, and in *length what came. */
static unsigned int control(uint32_t request, uint32_t value_and_index, uint16_t length,
			    uint32_t *came)
{
	uint64_t parameter = request | (uint64_t)(value_and_index & 0xffff) << 16 |
			     (uint64_t)(value_and_index >> 16) << 32 | (uint64_t)length << 48;
	bool in = request & 0x80;
	struct trb trb;

	put_trb(CONTROL, controls++, parameter, 8,
		SETUP << 10 | IMMEDIATE |
			(length == 0 ? 0
			 : in        ? 3
				     : 2)
				<< 16);
	if (length != 0) {
		put_trb(CONTROL, controls++, BUFFER, length,
			DATA << 10 | TELL_SHORT | (in ? IN : 0));
	}
	put_trb(CONTROL, controls++, 0, 0, STATUS << 10 | TELL | (in && length != 0 ? 0 : IN));
	put(0x2004, 1);
	if (came != NULL) {
		*came = length;
	}
	trb = event();
	assert_int_equal(type(&trb), TRANSFER);
	assert_int_equal(trb.control >> 24, 1);
	assert_int_equal(trb.control >> 16 & 0x1f, 1);
	if (code(&trb) == 13 && came != NULL) { /* short: then the status comes */
		*came = length - (trb.status & 0xffffff);
		trb = event();
		assert_int_equal(type(&trb), TRANSFER);
	}
	return code(&trb);
}

static void configure(void)
{
	address();
	assert_int_equal(control(0x0900, 1, 0, NULL), 1);
	put_input(0, 1 | 1 << 3);
	assert_int_equal(command(CONFIGURE, INPUT, 1u << 24), 1);
	assert_int_equal(shown(0, 3), 3u << 27 | 1);
	assert_int_equal(shown(0, 0) >> 27, 3);
	assert_int_equal(shown(3, 0) & 7, 1);
}

static void what_it_is(void **state)
{
	(void)state;
	assert_int_equal(get(0x00), 0x01000040);
	assert_int_equal(board_memory_read(&board, BASE, 1), 0x40);
	assert_int_equal(board_memory_read(&board, BASE + 2, 2), 0x100);
	assert_int_equal(get(0x04), 0x08000108);
	assert_int_equal(get(0x10), 0x00080001);
	assert_int_equal(get(0x14), 0x2000);
	assert_int_equal(get(0x18), 0x1000);
	assert_int_equal(get(0x20), 0x02000402);
	assert_int_equal(get(0x28), 0x00000401);
	assert_int_equal(get(0x30), 0x03000002);
	assert_int_equal(get(0x38), 0x00000405);
	assert_int_equal(get(0x48), 1);
	assert_int_equal(get(0x480), 0x2a0); /* a port of USB 3, with nothing on it */
	pass(1 * MS);
	assert_int_equal(get(0x1000), 8);
}

static void ports(void **state)
{
	(void)state;
	reset_port();
	assert_none();
	put(0x440, 0x10260); /* it sleeps, and is woken */
	assert_int_equal(get(0x440) & 0x1e0, 0x60);
	put(0x440, 0x103e0);
	put(0x440, 0x10200);
	assert_int_equal(get(0x440) & 0x4001e0, 0x400000);
	put(0x440, 0x202);
	assert_int_equal(get(0x440) & 2, 0);
	put(0x450, 0x210); /* nothing is there */
	assert_int_equal(get(0x450), 0x2a0);
}

static void interrupts(void **state)
{
	(void)state;
	assert_int_equal(interrupts_with(VECTOR), 1);
	assert_int_equal(get(0x1020), 3);
	assert_int_equal(get(0x44), 0x18);
	put(0x44, 0x18);
	put(0x1020, 3);
	board_apic_eoi(&board, VECTOR);
	assert_int_equal(interrupts_with(VECTOR), 1);
	reset_port(); /* an event, of which it had not looked at the first */
	assert_int_equal(interrupts_with(VECTOR), 2);
}

static void by_messages(void **state)
{
	(void)state;
	reset_port();
	set_config(0x74, 0xfee00000);
	set_config(0x78, 0);
	set_config(0x7c, VECTOR + 1);
	set_config(0x70, 1 << 16);
	put(0x1020, 3);
	assert_int_equal(command(NO_OP_COMMAND, 0, 0), 1);
	assert_int_equal(interrupts_with(VECTOR + 1), 1);
	assert_int_equal(get(0x1020), 2);
	assert_int_equal(command(NO_OP_COMMAND, 0, 0), 1);
	assert_int_equal(interrupts_with(VECTOR + 1), 2);
}

static void slots(void **state)
{
	unsigned int i;

	(void)state;
	reset_port();
	assert_int_equal(command(ADDRESS, INPUT, 1u << 24), 11);
	assert_int_equal(command(ENABLE_SLOT, 0, 0), 1);
	put_input(0, 3);
	home.ram[INPUT + 32 + 6] = 2; /* a port with nothing on it */
	assert_int_equal(command(ADDRESS, INPUT, 1u << 24), 17);
	put_input(0, 1);
	assert_int_equal(command(ADDRESS, INPUT, 1u << 24), 17);
	put_input(0, 3);
	assert_int_equal(command(ADDRESS, INPUT, 1u << 24 | 1 << 9), 1);
	assert_int_equal(shown(0, 3), 1u << 27);
	assert_int_equal(command(ADDRESS, INPUT, 1u << 24), 1);
	assert_int_equal(command(ADDRESS, INPUT, 1u << 24), 19);
	assert_int_equal(command(RESET_DEVICE, 0, 1u << 24), 1);
	assert_int_equal(shown(0, 3), 1u << 27);
	assert_int_equal(command(DISABLE_SLOT, 0, 1u << 24), 1);
	assert_int_equal(command(DISABLE_SLOT, 0, 1u << 24), 11);
	assert_int_equal(command(DISABLE_SLOT, 0, 200u << 24), 11);
	assert_int_equal(command(30, 0, 0), 5);
	put(0x78, 2);
	for (i = 0; i < 3; i++) {
		struct trb trb;

		put_trb(COMMANDS, commands++, 0, 0, ENABLE_SLOT << 10);
		put(0x2000, 0);
		trb = event();
		assert_int_equal(code(&trb), i < 2 ? 1 : 9);
		assert_int_equal(trb.control >> 24, i < 2 ? i + 1 : 0);
	}
}

static void descriptors(void **state)
{
	uint32_t came;

	(void)state;
	address();
	assert_int_equal(control(0x0680, 0x0100, 18, NULL), 1);
	assert_memory_equal(home.ram + BUFFER, "\x12\x01\x00\x02\0\0\0\x40\x27\x06", 10);
	assert_int_equal(control(0x0680, 0x0200, 255, &came), 1);
	assert_int_equal(came, 34);
	assert_int_equal(home.ram[BUFFER + 2], 34);
	assert_int_equal(control(0x0680, 0x0200, 9, NULL), 1);
	assert_int_equal(control(0x0680, 0x0302, 255, &came), 1);
	assert_int_equal(came, 22);
	assert_memory_equal(home.ram + BUFFER + 2, "U\0S\0B\0", 6);
	assert_int_equal(control(0x0681, 0x2200, 255, &came), 1); /* the report's */
	assert_int_equal(home.ram[BUFFER], 5);
	assert_int_equal(home.ram[BUFFER + came - 1], 0xc0);
	assert_int_equal(control(0x0880, 0, 1, NULL), 1);
	assert_int_equal(home.ram[BUFFER], 0);
	assert_int_equal(control(0x0900, 1, 0, NULL), 1);
	assert_int_equal(control(0x0880, 0, 1, NULL), 1);
	assert_int_equal(home.ram[BUFFER], 1);
}

/* What it does not know stalls its endpoint 0, until the guest resets that. */
static void a_request_that_is_refused(void **state)
{
	(void)state;
	address();
	assert_int_equal(control(0x0680, 0x0f00, 18, NULL), 6);
	assert_int_equal(shown(1, 0) & 7, 2);
	put(0x2004, 1); /* is not heard */
	assert_none();
	assert_int_equal(command(SET_DEQUEUE, (CONTROL + 16 * controls) | 1, 1u << 24 | 1 << 16),
			 19);
	assert_int_equal(command(RESET_ENDPOINT, 0, 1u << 24 | 1 << 16), 1);
	assert_int_equal(command(RESET_ENDPOINT, 0, 1u << 24 | 1 << 16), 19);
	assert_int_equal(command(SET_DEQUEUE, (CONTROL + 16 * controls) | 1, 1u << 24 | 1 << 16),
			 1);
	assert_int_equal(control(0x0900, 2, 0, NULL), 6);
	assert_int_equal(command(RESET_ENDPOINT, 0, 1u << 24 | 1 << 16), 1);
	assert_int_equal(command(SET_DEQUEUE, (CONTROL + 16 * controls) | 1, 1u << 24 | 1 << 16),
			 1);
	assert_int_equal(control(0x0680, 0x0100, 18, NULL), 1);
}

/* The next report is wanted. */
static void want(uint32_t length)
{
	put_trb(REPORTS, reports, BUFFER + 16 * reports, length, NORMAL << 10 | TELL | TELL_SHORT);
	reports++;
	put(0x2004, 3);
}

static void assert_report(const char *bytes)
{
	struct trb trb = event();
	uint64_t at = trb.parameter - REPORTS;

	assert_int_equal(type(&trb), TRANSFER);
	assert_int_equal(code(&trb), 13);
	assert_int_equal(trb.status & 0xffffff, 2);
	assert_int_equal(trb.control >> 16, 1 << 8 | 3);
	assert_memory_equal(home.ram + BUFFER + at, bytes, 6);
}

static void a_tablet(void **state)
{
	(void)state;
	assert_false(board_place(&board, 1, 2, 0, 0));
	configure();
	want(8);
	assert_none();
	assert_true(board_place(&board, 0x1234, 0x5678, 0, 1));
	assert_report("\x01\x34\x12\x78\x56\0");
	assert_true(board_place(&board, 0x1234, 0x5678, 0, 1)); /* as it was */
	want(8);
	assert_none();
	assert_true(board_place(&board, 0xffff, 0, -2, 0xff));
	assert_report("\x1f\xff\x7f\0\0\x02");
	board_release_tablet(&board);
	want(8);
	assert_report("\0\xff\x7f\0\0\0");
	assert_int_equal(control(0x01a1, 0x0100, 6, NULL), 1); /* GET_REPORT */
	assert_memory_equal(home.ram + BUFFER, "\0\xff\x7f\0\0\0", 6);
}

/* Moves join each other, buttons do not, and how it ended is never lost. */
static void while_nobody_asks(void **state)
{
	unsigned int i;

	(void)state;
	configure();
	for (i = 0; i < 100; i++) {
		assert_true(board_place(&board, (uint16_t)i, 0, 1, 0));
	}
	assert_true(board_place(&board, 100, 0, 0, 1));
	want(8);
	assert_report("\0\x63\0\0\0\x9c"); /* 100 turns towards who sits there */
	want(8);
	assert_report("\x01\x64\0\0\0\0");
	for (i = 0; i < 101; i++) {
		board_place(&board, 1, 0, 0, i & 1);
	}
	for (i = 0; i < USB_TABLET_REPORTS; i++) {
		want(8);
		if (i + 1 < USB_TABLET_REPORTS) {
			assert_int_equal(code(&(struct trb[]){event()}[0]), 13);
		}
	}
	assert_report("\0\x01\0\0\0\0");
	want(8);
	assert_none();
}

static void an_endpoint_that_is_stopped(void **state)
{
	(void)state;
	configure();
	want(8);
	assert_int_equal(command(STOP_ENDPOINT, 0, 1u << 24 | 3 << 16), 1);
	assert_int_equal(shown(3, 0) & 7, 3);
	assert_int_equal(shown(3, 2), REPORTS | 1);
	assert_true(board_place(&board, 1, 1, 0, 0));
	assert_none();
	put(0x2004, 3);
	assert_report("\0\x01\0\x01\0\0");
	assert_int_equal(command(STOP_ENDPOINT, 0, 1u << 24 | 5 << 16), 12);
	put_input(1 << 3, 1);
	assert_int_equal(command(CONFIGURE, INPUT, 1u << 24), 1);
	assert_int_equal(shown(3, 0) & 7, 0);
	assert_int_equal(shown(0, 0) >> 27, 1);
}

/* One event for a TD of several TRBs: of the first that asks for it, or of Event Data. */
static void several_trbs(void **state)
{
	struct trb trb;

	(void)state;
	configure();
	put_trb(REPORTS, 0, BUFFER, 4, NORMAL << 10 | CHAIN);
	put_trb(REPORTS, 1, BUFFER + 32, 4, NORMAL << 10 | CHAIN);
	put_trb(REPORTS, 2, 0xabcdef, 0, EVENT_DATA << 10 | TELL);
	put_trb(REPORTS, 3, REPORTS, 0, LINK << 10 | 2);
	put(0x2004, 3);
	board_place(&board, 0x0102, 0x0304, 0, 2);
	trb = event();
	assert_int_equal(trb.parameter, 0xabcdef);
	assert_int_equal(trb.status, 13u << 24 | 6);
	assert_memory_equal(home.ram + BUFFER, "\x02\x02\x01\x04", 4);
	assert_memory_equal(home.ram + BUFFER + 32, "\x03\0", 2);
	assert_int_equal(trb.control & 4, 4);
	assert_none();
}

/* Its ring of events is full: nothing goes on, and nothing is lost. */
static void no_room_for_events(void **state)
{
	unsigned int i;
	struct trb trb;

	(void)state;
	reset_port();
	for (i = 0; i < 40; i++) {
		put_trb(COMMANDS, i, 0, 0, NO_OP_COMMAND << 10);
	}
	put(0x2000, 0);
	for (i = 0; i < 40; i++) {
		trb = event();
		assert_int_equal(type(&trb), COMPLETION);
		assert_int_equal(trb.parameter, COMMANDS + i * 16);
	}
	assert_none();
}

static void rings_that_cannot_be(void **state)
{
	unsigned int i;

	(void)state;
	put_trb(COMMANDS, 0, COMMANDS, 0, LINK << 10); /* itself */
	put(0x2000, 0);
	assert_int_equal(get(0x44) & 0x1001, 0x1001);
	put(0x40, 5);
	assert_int_equal(get(0x44) & 1, 1);
	begin();
	put_address(0x58, 1ull << 40 | 1);
	put(0x2000, 0);
	assert_int_equal(get(0x44) & 5, 5);
	begin();
	put_address(0x1038, 0x10);
	put_trb(COMMANDS, 0, 0, 0, NO_OP_COMMAND << 10);
	put(0x2000, 0);
	assert_int_equal(get(0x44) & 1, 0);
	put_address(0x1030, 1ull << 40);
	assert_int_equal(get(0x44) & 5, 5);
	/* Without an end, and without events: a turn a millisecond. */
	begin();
	configure();
	for (i = 0; i < 3; i++) {
		put_trb(REPORTS, i, 0, 0, NO_OP << 10);
	}
	put_trb(REPORTS, 3, REPORTS, 0, LINK << 10);
	put(0x2004, 3);
	assert_int_equal(home.wake_at, home.time + MS);
	pass(10 * MS);
	assert_int_equal(home.wake_at, home.time + MS);
	put(0x40, 2);
	assert_int_equal(home.wake_at, HOST_NEVER);
	set_config(0x04, 2); /* not its memory */
	begin();
	put_trb(COMMANDS, 0, 0, 0, NO_OP_COMMAND << 10);
	put(0x2000, 0);
	assert_none();
}

static void trbs_that_cannot_be(void **state)
{
	struct trb trb;

	(void)state;
	configure();
	put_trb(REPORTS, 0, 0, 8, SETUP << 10);
	put(0x2004, 3);
	trb = event();
	assert_int_equal(code(&trb), 5);
	assert_int_equal(command(RESET_ENDPOINT, 0, 1u << 24 | 3 << 16), 1);
	assert_int_equal(command(SET_DEQUEUE, REPORTS | 1, 1u << 24 | 3 << 16), 1);
	put_trb(REPORTS, 0, 1ull << 40, 8, NORMAL << 10);
	put(0x2004, 3);
	board_place(&board, 1, 1, 0, 0);
	trb = event();
	assert_int_equal(code(&trb), 2);
	put_trb(CONTROL, controls, 0, 9, SETUP << 10 | IMMEDIATE);
	put(0x2004, 1);
	trb = event();
	assert_int_equal(code(&trb), 5);
	put_input(0, 1 | 1 << 3);
	home.ram[INPUT + 128 + 4] = 2 << 3; /* out, at the index of one that is in */
	assert_int_equal(command(CONFIGURE, INPUT, 1u << 24), 17);
	assert_int_equal(command(CONFIGURE, 1ull << 40, 1u << 24), 5);
	assert_int_equal(get(0x44) & 5, 5);
}

static void commands_are_stopped(void **state)
{
	struct trb trb;

	(void)state;
	reset_port();
	assert_int_equal(command(NO_OP_COMMAND, 0, 0), 1);
	assert_int_equal(get(0x58), 8);
	put_address(0x58, 2);
	trb = event();
	assert_int_equal(code(&trb), 24);
	assert_int_equal(trb.parameter, COMMANDS + 16);
	assert_int_equal(get(0x58), 0);
	put(0x2000, 0);
	assert_none();
	assert_int_equal(command(NO_OP_COMMAND, 0, 0), 1);
}

/* ---- a disk ---- */

#define OUT_RING REPORTS /* endpoint 2 out, whose index is 4 */
#define IN_RING  0x3400  /* endpoint 1 in */

static uint32_t outs, ins;

static int setup_disk(void **state)
{
	board_setup_generation_1(state);
	board_add_usb(&board);
	assert_int_equal(board_add_usb_disk(&board, "0123456789AB"), 0);
	set_config(0x10, (uint32_t)BASE);
	set_config(0x04, 6);
	begin();
	outs = ins = 0;
	address();
	assert_int_equal(control(0x0900, 1, 0, NULL), 1);
	put_input(0, 1 | 1 << 3 | 1 << 4);
	put_words(INPUT + 128, (const uint32_t[8]){0, 512u << 16 | 6 << 3 | 3 << 1, IN_RING | 1});
	put_words(INPUT + 160, (const uint32_t[8]){0, 512u << 16 | 2 << 3 | 3 << 1, OUT_RING | 1});
	assert_int_equal(command(CONFIGURE, INPUT, 1u << 24), 1);
	return 0;
}

static void send(uint64_t gpa, uint32_t length)
{
	put_trb(OUT_RING, outs++, gpa, length, NORMAL << 10 | TELL);
	put(0x2004, 4);
}

static void receive(uint64_t gpa, uint32_t length)
{
	put_trb(IN_RING, ins++, gpa, length, NORMAL << 10 | TELL | TELL_SHORT);
	put(0x2004, 3);
}

static void expect(unsigned int index, unsigned int wanted, uint32_t left)
{
	struct trb trb = event();

	assert_int_equal(type(&trb), TRANSFER);
	assert_int_equal(trb.control >> 16 & 0x1f, index);
	assert_int_equal(code(&trb), wanted);
	assert_int_equal(trb.status & 0xffffff, left);
}

/* A command block; `tag` is in the status again. */
static void send_command(uint32_t tag, uint32_t length, bool in, uint8_t opcode)
{
	const uint32_t words[3] = {0x43425355, tag, length};
	const uint8_t bytes[19] = {in ? 0x80 : 0, 0, 10, opcode};

	memcpy(home.ram + BUFFER, words, sizeof(words));
	memcpy(home.ram + BUFFER + 12, bytes, sizeof(bytes));
	send(BUFFER, 31);
	expect(4, 1, 0);
}

static void expect_status(uint32_t tag, uint32_t residue, uint8_t status)
{
	const uint32_t words[3] = {0x53425355, tag, residue};

	receive(BUFFER + 64, 13);
	expect(3, 1, 0);
	assert_memory_equal(home.ram + BUFFER + 64, words, sizeof(words));
	assert_int_equal(home.ram[BUFFER + 64 + 12], status);
}

static void a_disk(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(control(0xfea1, 0, 1, NULL), 1); /* how many units */
	assert_int_equal(home.ram[BUFFER], 0);
	send_command(7, 0, false, 0x00);
	assert_true(fake_host_usb(&home, &board, 0));
	expect_status(7, 0, 0);
	/* Out, in two pieces; the status is asked for before it is there. */
	for (i = 0; i < 512; i++) {
		home.ram[BUFFER + 512 + i] = (uint8_t)(i * 7);
	}
	send_command(8, 512, false, 0x2a);
	send(BUFFER + 512, 256);
	expect(4, 1, 0);
	assert_int_equal(home.usb[0].started, 1);
	send(BUFFER + 768, 256);
	expect(4, 1, 0);
	receive(BUFFER + 64, 13);
	assert_none();
	assert_true(fake_host_usb(&home, &board, 0));
	expect(3, 1, 0);
	assert_memory_equal(home.usb[0].medium, home.ram + BUFFER + 512, 512);
	send_command(9, 512, true, 0x28);
	receive(0x3800, 512);
	assert_none();
	assert_true(fake_host_usb(&home, &board, 0));
	expect(3, 1, 0);
	assert_memory_equal(home.ram + 0x3800, home.ram + BUFFER + 512, 512);
	expect_status(9, 0, 0);
}

/* A command that fails is short, and says why when it is asked. */
static void commands_that_fail(void **state)
{
	(void)state;
	send_command(1, 36, true, 0x12);
	receive(0x3800, 36);
	assert_true(fake_host_usb(&home, &board, 0));
	expect(3, 13, 36);
	expect_status(1, 36, 1);
	send_command(2, 18, true, 0x03);
	receive(0x3800, 18);
	expect(3, 1, 0);
	assert_int_equal(home.ram[0x3802], 5);
	assert_int_equal(home.ram[0x380c], 0x20);
	expect_status(2, 0, 0);
	send_command(3, USB_STORAGE_BYTES + 1, true, 0x28);
	receive(0x3800, 512);
	expect(3, 13, 512);
	expect_status(3, USB_STORAGE_BYTES + 1, 1);
	assert_int_equal(home.usb[0].started, 1);
	/* More is asked for than there is. */
	send_command(4, 2048, true, 0x28);
	receive(0x3000, 1024);
	assert_true(fake_host_usb(&home, &board, 0));
	expect(3, 1, 0);
	receive(0x3000, 1024);
	expect(3, 13, 1024);
	expect_status(4, 1024, 0);
}

/* Then it stalls until it is reset; what is under way then is forgotten. */
static void a_command_that_is_none(void **state)
{
	(void)state;
	home.ram[BUFFER] = 0;
	send(BUFFER, 31);
	expect(4, 6, 31);
	assert_int_equal(shown(4, 0) & 7, 2);
	assert_int_equal(control(0xff21, 0, 0, NULL), 1);
	assert_int_equal(control(0x0102, 2u << 16, 0, NULL), 1);
	assert_int_equal(control(0x0102, 0x81u << 16, 0, NULL), 1);
	assert_int_equal(command(RESET_ENDPOINT, 0, 1u << 24 | 4 << 16), 1);
	assert_int_equal(command(SET_DEQUEUE, (OUT_RING + 16 * outs) | 1, 1u << 24 | 4 << 16), 1);
	send_command(1, 512, true, 0x28);
	assert_int_equal(control(0xff21, 0, 0, NULL), 1);
	memset(home.ram + BUFFER, 0, 64);
	memcpy(home.ram + BUFFER, "USBC\2\0\0\0", 8);
	home.ram[BUFFER + 14] = 6;
	send(BUFFER, 31);
	assert_none(); /* the home is not done with the one before */
	assert_true(fake_host_usb(&home, &board, 0));
	expect(4, 1, 0);
	assert_true(fake_host_usb(&home, &board, 0));
	expect_status(2, 0, 0);
}

#define D(name) cmocka_unit_test_setup_teardown(name, setup_disk, board_teardown)
#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_it_is),
		T(ports),
		T(interrupts),
		T(by_messages),
		T(slots),
		T(descriptors),
		T(a_request_that_is_refused),
		T(a_tablet),
		T(while_nobody_asks),
		T(an_endpoint_that_is_stopped),
		T(several_trbs),
		T(no_room_for_events),
		T(rings_that_cannot_be),
		T(trbs_that_cannot_be),
		T(commands_are_stopped),
		D(a_disk),
		D(commands_that_fail),
		D(a_command_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
