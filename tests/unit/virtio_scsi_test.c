/* devices/virtio_scsi.c, as OVMF's driver uses it, and as one that keeps no rules does. */
#include "tests/fake/board.h"

#include <string.h>

#define PORT 0xc000
#define RING 0x1000u /* its page is 1 */
#define USED 0x2000u
#define CMD  0x100u
#define RESP 0x200u
#define DATA 0x300u

#define NEXT  1
#define WRITE 2

static uint16_t made;

static void put(uint32_t at, const void *from, size_t length)
{
	memcpy(home.ram + at, from, length);
}

static uint32_t get32(uint32_t at)
{
	uint32_t value;

	memcpy(&value, home.ram + at, sizeof(value));
	return value;
}

static uint16_t get16(uint32_t at)
{
	return (uint16_t)get32(at);
}

static uint32_t config(unsigned int at)
{
	out(0xcf8, 4, 0x80000000u | BOARD_UEFI_SCSI_SLOT << 11 | at);
	return in(0xcfc, 4);
}

static void driver(void)
{
	out(0xcf8, 4, 0x80000000u | BOARD_UEFI_SCSI_SLOT << 11 | 0x10);
	out(0xcfc, 4, PORT);
	out(0xcf8, 4, 0x80000000u | BOARD_UEFI_SCSI_SLOT << 11 | 0x04);
	out(0xcfc, 4, 5);
	outb(PORT + 18, 0);
	outb(PORT + 18, 3);
	out(PORT + 4, 4, 1);
	out(PORT + 14, 2, 2);
	assert_int_equal(in(PORT + 12, 2), 16);
	out(PORT + 8, 4, RING / 4096);
	outb(PORT + 18, 7);
	made = 0;
}

static int setup(void **state)
{
	board_setup_generation_2(state);
	board_add_scsi(&board, 3);
	driver();
	return 0;
}

static void descriptor(unsigned int index, uint64_t gpa, uint32_t length, uint16_t flags,
		       uint16_t next)
{
	uint32_t at = RING + 16 * index;

	put(at, &gpa, 8);
	put(at + 8, &length, 4);
	put(at + 12, &flags, 2);
	put(at + 14, &next, 2);
}

static void kick(uint16_t head)
{
	put(RING + 256 + 4 + 2 * (made % 16), &head, 2);
	made++;
	put(RING + 256 + 2, &made, 2);
	out(PORT + 16, 2, 2);
}

static void command(uint8_t lun, uint8_t opcode)
{
	uint8_t bytes[51] = {1, 0, 0x40, lun, [19] = opcode};

	put(CMD, bytes, sizeof(bytes));
	memset(home.ram + RESP, 0xee, 200);
}

static void read_from(uint8_t lun)
{
	command(lun, 0x28);
	descriptor(0, CMD, 51, NEXT, 1);
	descriptor(1, RESP, 108, NEXT | WRITE, 2);
	descriptor(2, DATA, 100, NEXT | WRITE, 3);
	descriptor(3, DATA + 100, 28, WRITE, 0);
	kick(0);
}

static void it_is_found(void **state)
{
	(void)state;
	assert_int_equal(config(0), 0x10041af4);
	assert_int_equal(config(8), 0x01000000);
	assert_int_equal(config(0x2c), 0x00081af4);
	assert_int_equal(in(PORT, 4), 1);
	assert_int_equal(in(PORT + 20, 4), 1);   /* queues */
	assert_int_equal(in(PORT + 28, 4), 256); /* sectors */
	assert_int_equal(in(PORT + 40, 4), 96);  /* bytes of sense */
	assert_int_equal(in(PORT + 44, 4), 32);  /* bytes of a command */
	assert_int_equal(in(PORT + 50, 2), 0);   /* the last target */
	assert_int_equal(in(PORT + 52, 4), 3);   /* the last LUN */
}

static void reading(void **state)
{
	(void)state;
	read_from(2);
	assert_true(home.scsi.pending);
	assert_int_equal(home.scsi.lun, 2);
	assert_int_equal(home.scsi.command.length, 128);
	assert_int_equal(home.scsi.command.cdb[0], 0x28);
	assert_int_equal(get16(USED + 2), 0);
	assert_true(fake_host_scsi(&home, &board));
	assert_int_equal(get16(USED + 2), 1);
	assert_int_equal(get32(USED + 4), 0);
	assert_int_equal(get32(USED + 8), 108 + 128);
	assert_int_equal(home.ram[DATA], FAKE_READ);
	assert_int_equal(home.ram[DATA + 127], FAKE_READ);
	assert_int_equal(home.ram[DATA + 128], 0);
	assert_int_equal(get32(RESP), 0);     /* no sense */
	assert_int_equal(get32(RESP + 4), 0); /* nothing is left */
	assert_int_equal(get32(RESP + 8), 0);
	assert_int_equal(inb(PORT + 19), 1);
	assert_int_equal(inb(PORT + 19), 0);
}

static void writing_and_no_data(void **state)
{
	(void)state;
	command(0, 0x2a);
	home.ram[DATA] = 'w';
	descriptor(4, CMD, 51, NEXT, 5);
	descriptor(5, DATA, 512, NEXT, 6);
	descriptor(6, RESP, 108, WRITE, 0);
	kick(4);
	assert_true(home.scsi.command.out);
	assert_true(fake_host_scsi(&home, &board));
	assert_int_equal(home.scsi.written, 'w');
	assert_int_equal(get32(USED + 4), 4);
	assert_int_equal(get32(USED + 8), 108);
	command(0, 0x00);
	descriptor(4, CMD, 51, NEXT, 6);
	kick(4);
	assert_int_equal(home.scsi.command.length, 0);
	assert_true(fake_host_scsi(&home, &board));
	assert_int_equal(get16(USED + 2), 2);
}

static void what_fails_has_sense(void **state)
{
	(void)state;
	home.scsi.failure = (struct host_drive_result){.status = 2, .sense = {0x70, 0, 5}};
	read_from(0);
	assert_true(fake_host_scsi(&home, &board));
	assert_int_equal(get32(RESP), 18);
	assert_int_equal(get32(RESP + 4), 128);
	assert_int_equal(home.ram[RESP + 10], 2);
	assert_int_equal(home.ram[RESP + 14], 5);
	home.scsi.failure = (struct host_drive_result){.status = 2};
	read_from(1);
	assert_true(fake_host_scsi(&home, &board));
	assert_int_equal(home.ram[RESP + 11], 3); /* nothing is there */
	read_from(4);
	assert_false(home.scsi.pending);
	assert_int_equal(home.ram[RESP + 11], 3);
	assert_int_equal(get16(USED + 2), 3);
}

/* Several wait in the ring. */
static void one_at_a_time(void **state)
{
	unsigned int i;

	(void)state;
	read_from(0);
	read_from(1);
	read_from(2);
	assert_int_equal(home.scsi.started, 1);
	for (i = 1; i <= 3; i++) {
		assert_true(fake_host_scsi(&home, &board));
		assert_int_equal(get16(USED + 2), i);
	}
	assert_false(fake_host_scsi(&home, &board));
}

static void a_reset_forgets(void **state)
{
	(void)state;
	read_from(0);
	outb(PORT + 18, 0);
	memset(home.ram, 0, sizeof(home.ram));
	driver();
	read_from(1);
	assert_int_equal(home.scsi.started, 1); /* the first one is under way */
	assert_true(fake_host_scsi(&home, &board));
	assert_int_equal(home.ram[DATA], 0);
	assert_int_equal(home.scsi.started, 2);
	assert_int_equal(home.scsi.lun, 1);
	assert_true(fake_host_scsi(&home, &board));
	assert_int_equal(get16(USED + 2), 1);
}

static void it_leaves(void **state)
{
	(void)state;
	read_from(0);
	board_leave_firmware(&board);
	assert_true(fake_host_scsi(&home, &board));
	assert_int_equal(home.ram[DATA], 0);
	assert_int_equal(get16(USED + 2), 0);
	assert_int_equal(config(0), 0xffffffff);
	assert_int_equal(in(PORT, 4), 0xffffffff);
	read_from(0);
	assert_false(home.scsi.pending);
	board_reset(&board);
	assert_int_equal(config(0), 0x10041af4);
	memset(home.ram, 0, sizeof(home.ram));
	driver();
	read_from(0);
	assert_true(home.scsi.pending);
}

/* It stands still then, until it is reset. */
static void broken(void)
{
	assert_int_equal(inb(PORT + 18) & 0x80, 0x80);
	assert_false(home.scsi.pending);
	assert_int_equal(get16(USED + 2), 0);
	outb(PORT + 18, 0);
	assert_int_equal(inb(PORT + 18), 0);
	memset(home.ram, 0, sizeof(home.ram));
	driver();
}

static void chains_that_are_none(void **state)
{
	(void)state;
	command(0, 0x28);
	descriptor(0, CMD, 51, NEXT, 0); /* round and round */
	kick(0);
	broken();
	command(0, 0x28);
	descriptor(0, CMD, 51, 0, 0); /* no answer */
	kick(0);
	broken();
	descriptor(0, CMD, 50, NEXT, 1);
	descriptor(1, RESP, 108, WRITE, 0);
	kick(0);
	broken();
	descriptor(0, CMD, 51, NEXT, 16);
	kick(0);
	broken();
	kick(16);
	broken();
	descriptor(0, CMD, 51, NEXT, 1);
	descriptor(1, RESP, 11, WRITE, 0);
	kick(0);
	broken();
	descriptor(0, CMD, 51, NEXT | 4, 1); /* indirect */
	kick(0);
	broken();
	descriptor(0, 0x100000, 51, NEXT, 1); /* no RAM */
	kick(0);
	broken();
	descriptor(0, CMD, 51, NEXT, 1);
	descriptor(1, RESP, 108, NEXT | WRITE, 2);
	descriptor(2, DATA, VIRTIO_SCSI_BUFFER_BYTES + 1, WRITE, 0);
	kick(0);
	broken();
	descriptor(0, CMD, 51, NEXT, 1);
	descriptor(1, DATA, 8, NEXT, 2); /* both ways */
	descriptor(2, RESP, 108, NEXT | WRITE, 3);
	descriptor(3, DATA, 8, WRITE, 0);
	kick(0);
	broken();
	made = 17; /* more than the ring has */
	kick(0);
	broken();
	out(PORT + 8, 4, 0xffffffff); /* no RAM at all */
	kick(0);
	broken();
	read_from(0);
	assert_true(home.scsi.pending);
}

static void data_that_is_no_ram(void **state)
{
	(void)state;
	command(0, 0x2a);
	descriptor(0, CMD, 51, NEXT, 1);
	descriptor(1, 0x100000, 8, NEXT, 2);
	descriptor(2, RESP, 108, WRITE, 0);
	kick(0);
	assert_false(home.scsi.pending);
	assert_int_equal(home.ram[RESP + 11], 9);
	assert_int_equal(get16(USED + 2), 1);
}

static void nobody_without_uefi(void **state)
{
	(void)state;
	board_teardown(NULL);
	board_setup_generation_1(NULL);
	board_leave_firmware(&board);
	assert_int_equal(config(0), 0xffffffff);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_is_found),         T(reading),
		T(writing_and_no_data), T(what_fails_has_sense),
		T(one_at_a_time),       T(a_reset_forgets),
		T(it_leaves),           T(chains_that_are_none),
		T(data_that_is_no_ram), T(nobody_without_uefi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
