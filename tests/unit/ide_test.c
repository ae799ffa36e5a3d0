/*
 * The IDE controller against ATA/ATAPI-6 and the bus master's specification, as guests use it:
 * registers, resets, PIO and DMA of disks, packets of a CD drive.
 */
#include <string.h>

#include "tests/fake/board.h"

#define PRIMARY   0x1f0
#define SECONDARY 0x170
#define MASTER    0xc000 /* where the bus master is placed */
#define VECTOR    0x50   /* of the primary channel's line, edge triggered */

#define SECTORS 800

#define BSY   0x80
#define DRDY  0x40
#define DSC   0x10
#define DRQ   0x08
#define ERR   0x01
#define READY (DRDY | DSC)

static void set_config(unsigned int at, uint32_t value)
{
	out(0xcf8, 4, 0x80000000u | 7 << 11 | 1 << 8 | at);
	out(0xcfc, 4, value);
}

static uint32_t get_config(unsigned int at)
{
	out(0xcf8, 4, 0x80000000u | 7 << 11 | 1 << 8 | at);
	return in(0xcfc, 4);
}

/* A disk as master and a CD drive as slave of the first channel; the other has a CD drive. */
static int setup(void **state)
{
	static const struct ide_identity disk = {
		.kind = IDE_DISK, .sectors = SECTORS, .physical_bytes = 4096, .serial = "12345"};
	static const struct ide_identity cd = {.kind = IDE_CD, .serial = "67890"};
	static uint8_t medium[SECTORS * IDE_SECTOR];
	unsigned int i;

	board_setup_generation_1(state);
	home.medium = medium;
	home.medium_bytes = sizeof(medium);
	board_add_drive(&board, 0, &disk);
	board_add_drive(&board, 1, &cd);
	board_add_drive(&board, 2, &cd);
	set_config(0x40, 0x80008000);
	set_config(0x20, MASTER);
	set_config(0x04, 5);
	for (i = 0; i < sizeof(medium); i++) {
		home.medium[i] = (uint8_t)(i / IDE_SECTOR * 7 + i);
	}
	ioapic_route(14, VECTOR, false);
	return 0;
}

static unsigned int told;

/* How many interrupts came since it was asked last. */
static unsigned int interrupts(void)
{
	unsigned int count = home.interrupt_count, since = count - told;

	told = count;
	return since;
}

static bool drive(unsigned int number)
{
	return fake_host_drive(&home, &board, number);
}

static uint8_t status(uint16_t base)
{
	return inb((uint16_t)(base + 0x206)); /* the one that takes no interrupt away */
}

static void set_registers(uint16_t base, uint8_t count, uint32_t lba, uint8_t device)
{
	outb((uint16_t)(base + 6), device);
	outb((uint16_t)(base + 2), count);
	outb((uint16_t)(base + 3), (uint8_t)lba);
	outb((uint16_t)(base + 4), (uint8_t)(lba >> 8));
	outb((uint16_t)(base + 5), (uint8_t)(lba >> 16));
}

static void command(uint16_t base, uint8_t opcode, uint8_t count, uint32_t lba, uint8_t device)
{
	set_registers(base, count, lba, device);
	outb((uint16_t)(base + 7), opcode);
}

/* Of 48 bits: the upper halves first. */
static void command_48(uint8_t opcode, uint16_t count, uint64_t lba)
{
	set_registers(PRIMARY, (uint8_t)(count >> 8), (uint32_t)(lba >> 24), 0x40);
	command(PRIMARY, opcode, (uint8_t)count, (uint32_t)lba & 0xffffff, 0x40);
}

static void read_words(uint16_t base, void *to, unsigned int bytes)
{
	uint8_t *at = to;

	for (; bytes != 0; bytes -= 2, at += 2) {
		uint16_t word = (uint16_t)in(base, 2);

		memcpy(at, &word, 2);
	}
}

static void write_words(uint16_t base, const void *from, unsigned int bytes)
{
	const uint8_t *at = from;

	for (; bytes != 0; bytes -= 2, at += 2) {
		out(base, 2, (uint32_t)(at[0] | at[1] << 8));
	}
}

static uint16_t word_of(const uint8_t *data, unsigned int word)
{
	return (uint16_t)(data[2 * word] | data[2 * word + 1] << 8);
}

/* ---- What it is ---- */

static void the_function_places_its_ports(void **state)
{
	(void)state;
	assert_int_equal(get_config(0), 0x71118086);
	assert_int_equal(get_config(8) >> 8, 0x010180);
	assert_int_equal(get_config(0x20), MASTER | 1);
	assert_int_equal(status(PRIMARY), READY);
	set_config(0x40, 0x00008000); /* the second channel is not decoded */
	assert_int_equal(inb(SECONDARY + 7), 0xff);
	assert_int_equal(status(PRIMARY), READY);
	set_config(0x40, 0x80008000);
	set_config(0x04, 0);
	assert_int_equal(inb(PRIMARY + 7), 0xff);
}

static void drives_sign_after_a_reset(void **state)
{
	(void)state;
	outb(0x3f6, 4);
	assert_int_equal(status(PRIMARY), BSY);
	outb(0x3f6, 0);
	assert_int_equal(status(PRIMARY), READY);
	assert_int_equal(in(PRIMARY + 1, 4), 0x00010101); /* error, count, low, middle */
	assert_int_equal(inb(PRIMARY + 5), 0);
	outb(PRIMARY + 6, 0x10);
	assert_int_equal(inb(PRIMARY + 4), 0x14);
	assert_int_equal(inb(PRIMARY + 5), 0xeb);
	assert_int_equal(status(PRIMARY), 0);
	outb(SECONDARY + 6, 0x10); /* nobody */
	outb(SECONDARY + 2, 0x55);
	assert_int_equal(inb(SECONDARY + 7), 0);
	assert_int_equal(inb(SECONDARY + 2), 0);
	command(SECONDARY, 0xec, 0, 0, 0x10);
	assert_int_equal(inb(SECONDARY + 7), 0);
}

static void a_disk_identifies_itself(void **state)
{
	uint8_t data[512], sum = 0;
	unsigned int i;

	(void)state;
	(void)interrupts();
	command(PRIMARY, 0xec, 0, 0, 0);
	assert_int_equal(interrupts(), 1);
	assert_int_equal(inb(PRIMARY + 7), READY | DRQ);
	read_words(PRIMARY, data, 512);
	assert_int_equal(interrupts(), 0); /* its end needs none */
	assert_int_equal(status(PRIMARY), READY);
	for (i = 0; i < 512; i++) {
		sum = (uint8_t)(sum + data[i]);
	}
	assert_int_equal(sum, 0);
	assert_memory_equal(data + 20, "2143 5 ", 4);
	assert_memory_equal(data + 54, "iVtrau lDH", 10);
	assert_int_equal(word_of(data, 60), SECTORS);
	assert_int_equal(word_of(data, 100), SECTORS);
	assert_int_equal(word_of(data, 83) & 0x0400, 0x0400); /* 48 bits */
	assert_int_equal(word_of(data, 106), 0x6003);
	assert_int_equal(word_of(data, 93), 0x6001);
	assert_int_equal(word_of(data, 88), 0x0007);
	outb(PRIMARY + 1, 3); /* SET FEATURES: Ultra DMA 2 */
	command(PRIMARY, 0xef, 0x42, 0, 0);
	assert_int_equal(inb(PRIMARY + 7), READY);
	command(PRIMARY, 0xec, 0, 0, 0);
	read_words(PRIMARY, data, 512);
	assert_int_equal(word_of(data, 88), 0x0407);
	outb(PRIMARY + 1, 3);
	command(PRIMARY, 0xef, 0x47, 0, 0); /* there is no such mode */
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	assert_int_equal(inb(PRIMARY + 1), 4);
}

static void what_is_no_command_is_aborted(void **state)
{
	(void)state;
	command(PRIMARY, 0xb0, 0, 0, 0);
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	assert_int_equal(inb(PRIMARY + 1), 4);
	command(PRIMARY, 0xa0, 0, 0, 0); /* a packet for a disk */
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	command(PRIMARY, 0xec, 0, 0,
		0x10); /* IDENTIFY DEVICE, of a CD drive: it shows its signature */
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	assert_int_equal(inb(PRIMARY + 4), 0x14);
	assert_int_equal(inb(PRIMARY + 5), 0xeb);
}

/* ---- Disks by PIO ---- */

static void sectors_are_read(void **state)
{
	uint8_t data[3 * 512];
	unsigned int i;

	(void)state;
	(void)interrupts();
	command(PRIMARY, 0x20, 3, 5, 0x40);
	assert_int_equal(inb(PRIMARY + 7), BSY);
	assert_int_equal(in(PRIMARY, 2), 0); /* nothing yet */
	command(PRIMARY, 0xec, 0, 0, 0x10);  /* what comes meanwhile is not heard */
	assert_int_equal(interrupts(), 0);
	assert_true(drive(0));
	for (i = 0; i < 3; i++) {
		assert_int_equal(interrupts(), 1);
		assert_int_equal(inb(PRIMARY + 7), READY | DRQ);
		read_words(PRIMARY, data + 512 * i, 512);
	}
	assert_int_equal(interrupts(), 0);
	assert_int_equal(inb(PRIMARY + 7), READY);
	assert_memory_equal(data, home.medium + 5 * 512, sizeof(data));
	assert_int_equal(inb(PRIMARY + 2), 0);
	assert_int_equal(inb(PRIMARY + 3), 7); /* the last one */
	assert_false(drive(0));
}

static void sectors_are_written_and_durable_without_a_cache(void **state)
{
	static uint8_t data[300 * 512];
	unsigned int i;

	(void)state;
	memset(data, 0x5a, sizeof(data));
	(void)interrupts();
	command_48(0x34, 300, 100); /* more than the buffer has room for */
	assert_int_equal(interrupts(), 0);
	for (i = 0; i < 300; i++) {
		assert_int_equal(inb(PRIMARY + 7), READY | DRQ);
		data[512 * i] = (uint8_t)i;
		write_words(PRIMARY, data + 512 * i, 512);
		if (i == 255) {
			assert_int_equal(inb(PRIMARY + 7), BSY);
			assert_true(drive(0));
		}
		assert_int_equal(interrupts(), i == 299 ? 0 : 1);
	}
	assert_int_equal(inb(PRIMARY + 7), BSY);
	assert_int_equal(home.drives[0].command.cdb[1], 0);
	assert_true(drive(0));
	assert_int_equal(interrupts(), 1);
	assert_int_equal(inb(PRIMARY + 7), READY);
	assert_memory_equal(data, home.medium + 100 * 512, sizeof(data));
	outb(PRIMARY + 1, 0x82); /* no write cache: FUA */
	command(PRIMARY, 0xef, 0, 0, 0);
	assert_int_equal(home.drives[0].command.cdb[0], 0x91);
	assert_true(drive(0));
	assert_int_equal(inb(PRIMARY + 7), READY);
	command(PRIMARY, 0x30, 1, 0, 0x40);
	write_words(PRIMARY, data, 512);
	assert_int_equal(home.drives[0].command.cdb[1], 8);
	assert_true(drive(0));
	command(PRIMARY, 0xe7, 0, 0, 0);
	assert_int_equal(inb(PRIMARY + 7), BSY);
	assert_true(drive(0));
	assert_int_equal(inb(PRIMARY + 7), READY);
}

static void blocks_of_many_sectors(void **state)
{
	uint8_t data[7 * 512];

	(void)state;
	command(PRIMARY, 0xc4, 7, 0, 0x40); /* none was set */
	assert_int_equal(inb(PRIMARY + 1), 4);
	command(PRIMARY, 0xc6, 3, 0, 0); /* no power of two */
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	command(PRIMARY, 0xc6, 4, 0, 0);
	assert_int_equal(inb(PRIMARY + 7), READY);
	(void)interrupts();
	command(PRIMARY, 0xc4, 7, 9, 0x40);
	assert_true(drive(0));
	assert_int_equal(interrupts(), 1);
	assert_int_equal(inb(PRIMARY + 7), READY | DRQ);
	read_words(PRIMARY, data, 4 * 512);
	assert_int_equal(interrupts(), 1);
	assert_int_equal(inb(PRIMARY + 7), READY | DRQ);
	read_words(PRIMARY, data + 4 * 512, 3 * 512);
	assert_int_equal(interrupts(), 0);
	assert_memory_equal(data, home.medium + 9 * 512, sizeof(data));
}

static void addresses_by_cylinder(void **state)
{
	uint8_t data[512];

	(void)state;
	command(PRIMARY, 0x91, 17, 0, 3); /* 17 sectors, 4 heads */
	assert_int_equal(inb(PRIMARY + 7), READY);
	command(PRIMARY, 0x20, 1, 2 << 8 | 5, 3); /* cylinder 2, sector 5, head 3 */
	assert_true(drive(0));
	read_words(PRIMARY, data, 512);
	assert_memory_equal(data, home.medium + ((2 * 4 + 3) * 17 + 4) * 512, 512);
	assert_int_equal(inb(PRIMARY + 3), 5);
	assert_int_equal(inb(PRIMARY + 4), 2);
	assert_int_equal(inb(PRIMARY + 6) & 0xf, 3);
	command(PRIMARY, 0x20, 1, 0, 0); /* there is no sector 0 */
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	assert_int_equal(inb(PRIMARY + 1), 0x10);
	command(PRIMARY, 0x20, 1, 18, 0);
	assert_int_equal(inb(PRIMARY + 1), 0x10);
}

static void the_end_of_the_disk(void **state)
{
	(void)state;
	command(PRIMARY, 0x20, 2, SECTORS - 1, 0x40);
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	assert_int_equal(inb(PRIMARY + 1), 0x10);
	command_48(0x24, 1, 1ull << 47);
	assert_int_equal(inb(PRIMARY + 1), 0x10);
	assert_false(drive(0));
	command(PRIMARY, 0xf8, 0, 0, 0x40);
	assert_int_equal(inb(PRIMARY + 3) | inb(PRIMARY + 4) << 8, SECTORS - 1);
	command_48(0x42, 16, 16);
	assert_int_equal(home.drives[0].command.cdb[0], 0x8f);
	assert_true(drive(0));
	assert_int_equal(inb(PRIMARY + 7), READY);
}

/* Of a disk of 2 TiB and more: its end, and its address again by the upper halves. */
static void beyond_28_bits(void **state)
{
	static const struct ide_identity disk = {
		.kind = IDE_DISK, .sectors = 1ull << 33, .physical_bytes = 512};
	uint8_t data[512];

	(void)state;
	board_add_drive(&board, 0, &disk);
	command(PRIMARY, 0xec, 0, 0, 0);
	read_words(PRIMARY, data, 512);
	assert_int_equal(word_of(data, 60) | word_of(data, 61) << 16, 0xfffffff);
	assert_int_equal(word_of(data, 102), 2);
	command_48(0x24, 1, (1ull << 33) - 1);
	assert_int_equal(inb(PRIMARY + 7), BSY);
	assert_memory_equal(home.drives[0].command.cdb, "\x88\0\0\0\0\x01\xff\xff\xff\xff\0\0\0\1",
			    14);
	assert_true(drive(0)); /* the medium is smaller than it says */
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	assert_int_equal(inb(PRIMARY + 1), 0x10);
	outb(0x3f6, 0x80);
	assert_int_equal(inb(PRIMARY + 3), 0xff);
	outb(0x3f6, 0x80);
	assert_int_equal(inb(PRIMARY + 4), 1);
	outb(0x3f6, 0);
	assert_int_equal(inb(PRIMARY + 4), 0xff);
}

static void fail_next(unsigned int number, uint8_t key, uint8_t code, uint32_t lba)
{
	struct host_drive_result *failure = &home.drives[number].failure;

	*failure = (struct host_drive_result){.status = 2, .sense = {0xf0, 0, key, [12] = code}};
	lba = __builtin_bswap32(lba);
	memcpy(&failure->sense[3], &lba, 4);
}

static void a_medium_that_fails(void **state)
{
	uint8_t data[512];

	(void)state;
	fail_next(0, 3, 0x11, 43);
	command(PRIMARY, 0x20, 8, 40, 0x40);
	assert_true(drive(0));
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	assert_int_equal(inb(PRIMARY + 1), 0x40); /* UNC */
	assert_int_equal(inb(PRIMARY + 3), 43);
	fail_next(0, 6, 0x29, 0); /* a unit attention is nothing to a disk's guest */
	command(PRIMARY, 0x20, 1, 40, 0x40);
	assert_true(drive(0));
	assert_int_equal(inb(PRIMARY + 7), BSY);
	assert_true(drive(0));
	read_words(PRIMARY, data, 512);
	assert_memory_equal(data, home.medium + 40 * 512, 512);
	home.drives[0].failure.status = 8; /* the disk is held: some time later */
	command(PRIMARY, 0x20, 1, 40, 0x40);
	assert_true(drive(0));
	assert_int_equal(inb(PRIMARY + 7), BSY);
	assert_false(drive(0));
	pass(11 * MS);
	assert_true(drive(0));
	assert_int_equal(inb(PRIMARY + 7), READY | DRQ);
}

static void a_reset_waits_for_the_home(void **state)
{
	(void)state;
	command(PRIMARY, 0x20, 1, 40, 0x40);
	outb(0x3f6, 4);
	outb(0x3f6, 0);
	assert_int_equal(inb(PRIMARY + 7), BSY);
	(void)interrupts();
	assert_true(drive(0));
	assert_int_equal(interrupts(), 0);
	assert_int_equal(inb(PRIMARY + 7), READY);
	command(PRIMARY, 0x20, 1, 40, 0x40);
	outb(0x3f6, 4);
	assert_true(drive(0));
	assert_int_equal(inb(PRIMARY + 7), BSY);
	outb(0x3f6, 0);
	assert_int_equal(inb(PRIMARY + 7), READY);
	command(PRIMARY, 0x90, 0, 0, 0x10); /* the diagnostic, which is for both */
	assert_int_equal(inb(PRIMARY + 7), READY);
	assert_int_equal(inb(PRIMARY + 1), 1);
	assert_int_equal(inb(PRIMARY + 6), 0xa0);
}

static void the_interrupt_can_be_held(void **state)
{
	(void)state;
	(void)interrupts();
	outb(0x3f6, 2);
	command(PRIMARY, 0xe7, 0, 0, 0);
	assert_true(drive(0));
	assert_int_equal(interrupts(), 0);
	outb(0x3f6, 0);
	assert_int_equal(interrupts(), 1);
	assert_int_equal(status(PRIMARY), READY); /* which does not take it away */
	assert_true(board.ide.channels[0].interrupt);
	(void)inb(PRIMARY + 7);
	assert_false(board.ide.channels[0].interrupt);
}

/* ---- By bus master ---- */

static void put_region(unsigned int index, uint32_t address, uint16_t bytes, bool last)
{
	uint32_t entry[2] = {address, bytes | (last ? 0x80000000u : 0)};

	memcpy(home.ram + 0x100 + 8 * index, entry, 8);
}

static void start(bool to_memory)
{
	out(MASTER + 4, 4, 0x100);
	outb(MASTER + 2, 6);
	outb(MASTER, to_memory ? 9 : 1);
}

static void data_goes_to_memory(void **state)
{
	(void)state;
	(void)interrupts();
	put_region(0, 0x400, 0x300, false);
	put_region(1, 0x900, 0x100, true);
	command(PRIMARY, 0xc8, 2, 10, 0x40);
	start(true);
	assert_int_equal(inb(MASTER + 2), 1);
	assert_true(drive(0));
	assert_int_equal(interrupts(), 1);
	assert_int_equal(inb(MASTER + 2), 4); /* both had one length */
	assert_int_equal(inb(PRIMARY + 7), READY);
	assert_memory_equal(home.ram + 0x400, home.medium + 5120, 0x300);
	assert_memory_equal(home.ram + 0x900, home.medium + 5120 + 0x300, 0x100);
	outb(MASTER, 0);
	/* The bus master is started when the data is there already; the table is longer. */
	put_region(1, 0x900, 0x200, true);
	command_48(0x25, 2, 20);
	assert_true(drive(0));
	assert_int_equal(inb(PRIMARY + 7), READY | DRQ);
	start(true);
	assert_int_equal(inb(MASTER + 2), 5);
	assert_memory_equal(home.ram + 0x900, home.medium + 10240 + 0x300, 0x100);
	outb(MASTER, 8);
	assert_int_equal(inb(MASTER + 2), 4);
	outb(MASTER + 2, 0x64); /* the interrupt is cleared by 1; these two are kept */
	assert_int_equal(inb(MASTER + 2), 0x60);
}

static void data_comes_from_memory(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 1024; i++) {
		home.ram[0x800 + i] = (uint8_t)(i * 3);
	}
	put_region(0, 0x800, 0x400, true);
	start(false);
	command(PRIMARY, 0xca, 2, 30, 0x40);
	assert_true(drive(0));
	assert_int_equal(inb(MASTER + 2), 4);
	assert_memory_equal(home.medium + 30 * 512, home.ram + 0x800, 1024);
	command_48(0x3d, 2, 31); /* with FUA; the bus master is off */
	assert_false(drive(0));
	outb(MASTER, 0);
	start(false);
	assert_int_equal(home.drives[0].command.cdb[1], 8);
	assert_true(drive(0));
	assert_memory_equal(home.medium + 31 * 512, home.ram + 0x800, 1024);
}

static void tables_that_are_wrong(void **state)
{
	(void)state;
	put_region(0, 0x800, 0x200, true); /* too short: the drive waits */
	command(PRIMARY, 0xc8, 2, 10, 0x40);
	start(true);
	(void)interrupts();
	assert_true(drive(0));
	assert_int_equal(interrupts(), 0);
	assert_int_equal(inb(MASTER + 2), 0);
	assert_int_equal(inb(PRIMARY + 7), READY | DRQ);
	outb(0x3f6, 4);
	outb(0x3f6, 0);
	outb(MASTER, 0);
	put_region(0, 0xfffff000, 0x200, true); /* no memory */
	command(PRIMARY, 0xc8, 1, 10, 0x40);
	start(true);
	assert_true(drive(0));
	assert_int_equal(inb(MASTER + 2), 6);
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	outb(MASTER, 0);
	out(MASTER + 4, 4, 0xfffffffc); /* nor is there a table */
	outb(MASTER + 2, 6);
	command(PRIMARY, 0xca, 1, 10, 0x40);
	outb(MASTER, 1);
	assert_int_equal(inb(MASTER + 2), 6);
	assert_int_equal(inb(PRIMARY + 7), READY | ERR);
	outb(MASTER, 0);
	put_region(0, 0x800, 0x200, true);
	set_config(0x04, 1); /* it is no master */
	command(PRIMARY, 0xca, 1, 10, 0x40);
	start(false);
	assert_int_equal(inb(MASTER + 2), 6);
}

/* ---- A CD drive ---- */

static void packet(uint16_t base, uint8_t feature, uint16_t limit, const uint8_t *cdb)
{
	outb((uint16_t)(base + 1), feature);
	command(base, 0xa0, 0, (uint32_t)limit << 8, 0);
	assert_int_equal(inb((uint16_t)(base + 2)), 1);
	assert_int_equal(inb((uint16_t)(base + 7)), READY | DRQ);
	write_words(base, cdb, 12);
}

static void a_cd_drive_reads(void **state)
{
	static uint8_t data[3 * 2048];
	static const uint8_t read[12] = {0x28, [5] = 4, [8] = 3};
	uint8_t id[512];
	unsigned int at = 0;

	(void)state;
	command(SECONDARY, 0xa1, 0, 0, 0);
	read_words(SECONDARY, id, 512);
	assert_int_equal(word_of(id, 0), 0x85c0);
	assert_int_equal(status(SECONDARY), READY);
	packet(SECONDARY, 0, 5000, read);
	assert_int_equal(inb(SECONDARY + 7), BSY);
	assert_true(drive(2));
	while (at < sizeof(data)) {
		unsigned int n = inb(SECONDARY + 4) | (unsigned int)inb(SECONDARY + 5) << 8;

		assert_int_equal(inb(SECONDARY + 7), READY | DRQ);
		assert_int_equal(inb(SECONDARY + 2), 2);
		assert_true(n <= 5000 && n <= sizeof(data) - at);
		read_words(SECONDARY, data + at, n);
		at += n;
	}
	assert_int_equal(inb(SECONDARY + 7), READY);
	assert_int_equal(inb(SECONDARY + 2), 3);
	assert_memory_equal(data, home.medium + 4 * 2048, sizeof(data));
}

static void a_cd_drive_by_bus_master(void **state)
{
	static const uint8_t read[12] = {0xa8, [5] = 1, [9] = 1};
	static const uint8_t read_cd[12] = {0xbe, [5] = 2, [8] = 1, [9] = 0x10};
	static const uint8_t inquiry[12] = {0x12, [4] = 36};

	(void)state;
	out(MASTER + 12, 4, 0x100);
	put_region(0, 0x800, 0x800, true);
	packet(SECONDARY, 1, 0, read);
	outb(MASTER + 8, 9);
	assert_true(drive(2));
	assert_int_equal(inb(MASTER + 10), 4);
	assert_int_equal(inb(SECONDARY + 2), 3);
	assert_memory_equal(home.ram + 0x800, home.medium + 2048, 2048);
	outb(MASTER + 8, 0);
	packet(SECONDARY, 1, 0, read_cd);
	outb(MASTER + 8, 9);
	assert_true(drive(2));
	assert_memory_equal(home.ram + 0x800, home.medium + 4096, 2048);
	outb(MASTER + 8, 0);
	packet(SECONDARY, 1, 0, inquiry); /* less than the table has room for */
	outb(MASTER + 8, 9);
	assert_true(drive(2));
	assert_int_equal(inb(MASTER + 10), 5);
	assert_memory_equal(home.ram + 0x800, "iiii", 4);
	assert_int_equal(inb(SECONDARY + 7), READY);
}

static void a_cd_drive_says_why(void **state)
{
	static const uint8_t unknown[12] = {0xff}, ready[12] = {0}, sense[12] = {0x03, [4] = 18};
	uint8_t data[18];

	(void)state;
	packet(SECONDARY, 0, 0xfffe, unknown);
	assert_true(drive(2));
	assert_int_equal(inb(SECONDARY + 7), READY | ERR);
	assert_int_equal(inb(SECONDARY + 1), 0x54);
	assert_int_equal(inb(SECONDARY + 2), 3);
	packet(SECONDARY, 0, 0xfffe, sense);
	assert_false(drive(2)); /* the drive knows it */
	assert_int_equal(inb(SECONDARY + 4), 18);
	read_words(SECONDARY, data, 18);
	assert_int_equal(data[2], 5);
	assert_int_equal(data[12], 0x20);
	packet(SECONDARY, 0, 0xfffe, ready);
	assert_true(drive(2));
	assert_int_equal(inb(SECONDARY + 7), READY);
	packet(SECONDARY, 0, 0xfffe, sense); /* now the medium is asked */
	assert_true(drive(2));
}

static void a_cd_drive_is_reset_alone(void **state)
{
	static const uint8_t ready[12] = {0};

	(void)state;
	command(SECONDARY, 0xa0, 0, 0, 0);
	outb(SECONDARY + 7, 8); /* amidst a packet */
	assert_int_equal(inb(SECONDARY + 7), 0);
	assert_int_equal(inb(SECONDARY + 4), 0x14);
	packet(SECONDARY, 0, 0, ready);
	outb(SECONDARY + 7, 8);
	assert_int_equal(inb(SECONDARY + 7), BSY);
	assert_true(drive(2));
	assert_int_equal(inb(SECONDARY + 7), 0);
	assert_int_equal(inb(SECONDARY + 5), 0xeb);
}

/* An idle channel may have anything left over, from a state it was loaded from; a command that it
 * then has under way can be saved. */
static void a_command_begins_with_nothing_of_the_last(void **state)
{
	static const uint8_t ready[12] = {0};
	static uint8_t saved[1u << 20];
	struct state_writer writer = state_writer(saved, sizeof(saved));
	struct state_reader list;
	struct state_fault fault;

	(void)state;
	board.ide.channels[1].lba = UINT64_MAX;
	board.ide.channels[1].left = UINT32_MAX;
	packet(SECONDARY, 0, 0, ready);
	board_save(&board, &writer);
	assert_true(state_fits(&writer));
	list = state_reader(saved, writer.used, &fault);
	board_check(&board, &list);
	assert_true(state_ok(&list));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, board_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_function_places_its_ports),
		T(drives_sign_after_a_reset),
		T(a_disk_identifies_itself),
		T(what_is_no_command_is_aborted),
		T(sectors_are_read),
		T(sectors_are_written_and_durable_without_a_cache),
		T(blocks_of_many_sectors),
		T(addresses_by_cylinder),
		T(the_end_of_the_disk),
		T(beyond_28_bits),
		T(a_medium_that_fails),
		T(a_reset_waits_for_the_home),
		T(the_interrupt_can_be_held),
		T(data_goes_to_memory),
		T(data_comes_from_memory),
		T(tables_that_are_wrong),
		T(a_cd_drive_reads),
		T(a_cd_drive_by_bus_master),
		T(a_cd_drive_says_why),
		T(a_cd_drive_is_reset_alone),
		T(a_command_begins_with_nothing_of_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
