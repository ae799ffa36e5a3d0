/*
 * The network adapter against the 21140A's manual and the data sheets of what hangs on it, as
 * drivers use it: Linux's tulip, BSD's dc, iPXE's.
 */
#include <string.h>

#include "tests/fake/board.h"
#include "tests/fake/board_pair.h"

#define PORT   0xc000
#define MEMORY 0xf9000000ull
#define LINE   11 /* of slot 10's pin A, as a BIOS sets it */
#define VECTOR 0x60

#define RX      0x1000u
#define TX      0x1400u
#define RX_DATA 0x2000u
#define TX_DATA 0x3000u
#define OWN     0x80000000u

#define TI  0x1u
#define TPS 0x2u
#define TU  0x4u
#define TJT 0x8u
#define RI  0x40u
#define RU  0x80u
#define RPS 0x100u
#define GTE 0x800u
#define FBE 0x2000u
#define AIS 0x8000u
#define NIS 0x10000u

static const uint8_t mac[6] = {0x00, 0x15, 0x5d, 0x01, 0x02, 0x03};
static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t group[6] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};
static const uint8_t other[6] = {0x02, 0, 0, 0, 0, 1};

static void set_config(unsigned int at, uint32_t value)
{
	out(0xcf8, 4, 0x80000000u | BOARD_NIC_SLOT << 11 | at);
	out(0xcfc, 4, value);
}

static uint32_t get_config(unsigned int at)
{
	out(0xcf8, 4, 0x80000000u | BOARD_NIC_SLOT << 11 | at);
	return in(0xcfc, 4);
}

static uint32_t csr(unsigned int index)
{
	return in((uint16_t)(PORT + 8 * index), 4);
}

static void set_csr(unsigned int index, uint32_t value)
{
	out((uint16_t)(PORT + 8 * index), 4, value);
}

static int setup(void **state)
{
	board_setup_generation_1(state);
	assert_int_equal(board_add_nic(&board), 0);
	board_set_nic_address(&board, 0, mac);
	board_set_nic_link(&board, 0, true);
	set_config(0x10, PORT);
	set_config(0x14, MEMORY);
	set_config(0x04, 7);
	return 0;
}

static void descriptor(uint32_t at, uint32_t status, uint32_t control, uint32_t first,
		       uint32_t second)
{
	const uint32_t words[4] = {status, control, first, second};

	memcpy(home.ram + at, words, sizeof(words));
}

static uint32_t word(uint32_t at)
{
	uint32_t value;

	memcpy(&value, home.ram + at, sizeof(value));
	return value;
}

static enum board_nic_taken hear(const uint8_t to[6], uint32_t length, bool last)
{
	uint8_t frame[TULIP_FRAME_MAX];
	uint32_t i;

	for (i = 0; i < length; i++) {
		frame[i] = (uint8_t)(i * 3 + 1);
	}
	memcpy(frame, to, 6);
	memcpy(frame + 6, other, 6);
	frame[12] = 8;
	frame[13] = 0;
	return board_nic_receive(&board, 0, frame, length, last);
}

/* A setup frame with these bytes of filter, in the manner of `control`. */
static void set_filter(const uint8_t bytes[96], uint32_t control)
{
	unsigned int i;

	memset(home.ram + TX_DATA, 0, 192);
	for (i = 0; i < 96; i++) {
		home.ram[TX_DATA + 4 * (i / 2) + i % 2] = bytes[i];
	}
	descriptor(TX, OWN, 0x0a000000 | control | 192, TX_DATA, 0);
	set_csr(4, TX);
	set_csr(6, csr(6) | 0x2000);
	set_csr(1, 1);
	assert_int_equal(word(TX), 0x7fffffff);
}

static void perfect_filter(uint32_t control)
{
	uint8_t bytes[96];
	unsigned int i;

	for (i = 0; i < 16; i++) {
		memcpy(bytes + 6 * i, i == 0 ? mac : all, 6);
	}
	set_filter(bytes, control);
}

/* One buffer of 1,536 bytes, which is the ring. */
static void start_receive(void)
{
	descriptor(RX, OWN, 0x02000000 | 1536, RX_DATA, 0);
	set_csr(3, RX);
	set_csr(6, 0x2);
}

/* ---- who it is ---- */

static void test_identity(void **state)
{
	(void)state;
	assert_int_equal(get_config(0x00), 0x00091011);
	assert_int_equal(get_config(0x08), 0x02000020);
	assert_int_equal(get_config(0x2c), 0x21140a00);
	assert_int_equal(get_config(0x3c) >> 8, 0x281401);
	set_config(0x10, 0xffffffff);
	assert_int_equal(get_config(0x10), 0xffffff81);
	set_config(0x14, 0xffffffff);
	assert_int_equal(get_config(0x14), 0xffffff80);
}

static void test_reset_values(void **state)
{
	(void)state;
	assert_int_equal(csr(0), 0xfe000000);
	assert_int_equal(csr(5), 0xfc000000);
	assert_int_equal(csr(6), 0x32000040);
	assert_int_equal(csr(7), 0xfffe0000);
	assert_int_equal(board_memory_read(&board, MEMORY + 0x30, 4), 0x32000040);
	set_csr(0, 0x01a08000);
	set_csr(7, 0x1ffff);
	set_csr(6, 0x2002);
	assert_int_equal(csr(6) & 0x2002, 0x2002);
	set_csr(0, 1);
	assert_int_equal(csr(0), 0xfe000000);
	assert_int_equal(csr(6), 0x32000040);
	assert_int_equal(csr(7), 0xfffe0000);
	assert_int_equal(csr(5), 0xfc000000);
}

/* ---- the serial ROM, as tulip_read_eeprom() of Linux reads it ---- */

static uint32_t srom(unsigned int location, unsigned int address_bits)
{
	uint32_t command = location | 6u << address_bits, value = 0;
	int i;

	set_csr(9, 0x4800);
	set_csr(9, 0x4801);
	for (i = 4 + (int)address_bits; i >= 0; i--) {
		uint32_t bit = command >> i & 1 ? 4 : 0;

		set_csr(9, 0x4801 | bit);
		set_csr(9, 0x4803 | bit);
		value = value << 1 | (csr(9) >> 3 & 1);
	}
	set_csr(9, 0x4801);
	for (i = 0; i < 16; i++) {
		set_csr(9, 0x4803);
		value = value << 1 | (csr(9) >> 3 & 1);
		set_csr(9, 0x4801);
	}
	set_csr(9, 0x4800);
	return value;
}

static void test_srom(void **state)
{
	uint8_t rom[128];
	uint32_t crc;
	unsigned int i;

	(void)state;
	/* Of 6 bits of address, not 8: the 0 before the data comes as early. */
	assert_false(srom(0xff, 8) & 0x40000);
	for (i = 0; i < 64; i++) {
		uint16_t value = (uint16_t)srom(i, 6);

		memcpy(rom + 2 * i, &value, 2);
	}
	assert_int_equal(rom[18], 3);
	assert_int_equal(rom[19], 1);
	assert_memory_equal(rom + 20, mac, 6);
	assert_int_equal(rom[27] | rom[28] << 8, 30);
	assert_int_equal(rom[30] | rom[31] << 8, 0x0800);
	assert_int_equal(rom[33], 1);    /* blocks */
	assert_int_equal(rom[34], 0x8c); /* an extended one, of 12 bytes */
	assert_int_equal(rom[35], 1);    /* an MII */
	crc = ~tulip_crc(rom, 126);
	assert_int_equal(rom[126] | rom[127] << 8, crc & 0xffff);
	assert_int_equal(~tulip_crc((const uint8_t *)"123456789", 9),
			 0xcbf43926); /* as published */
}

/* A command that writes does nothing. */
static void test_srom_is_read_only(void **state)
{
	uint32_t command = 5u << 6 | 10;
	int i;

	(void)state;
	set_csr(9, 0x4801);
	for (i = 9; i >= 0; i--) {
		set_csr(9, 0x4801 | (command >> i & 1 ? 4 : 0));
		set_csr(9, 0x4803 | (command >> i & 1 ? 4 : 0));
	}
	for (i = 0; i < 16; i++) {
		set_csr(9, 0x4801);
		set_csr(9, 0x4803);
	}
	set_csr(9, 0x4800);
	assert_int_equal(srom(10, 6) & 0xffff, 0x1500);
}

/* ---- the PHY, as tulip_mdio_read() of Linux and mii_bitbang of BSD reach it ---- */

static void mii_bit(uint32_t bit)
{
	set_csr(9, bit ? 0x20000 : 0);
	set_csr(9, (bit ? 0x20000 : 0) | 0x10000);
}

static uint16_t mii_read(unsigned int phy, unsigned int at)
{
	uint32_t command = 0xf6u << 10 | phy << 5 | at, value = 0;
	int i;

	for (i = 32; i > 0; i--) {
		mii_bit(1);
	}
	for (i = 15; i >= 0; i--) {
		mii_bit(command >> i & 1);
	}
	for (i = 19; i > 0; i--) {
		set_csr(9, 0x40000);
		value = value << 1 | (csr(9) >> 19 & 1);
		set_csr(9, 0x50000);
	}
	return (uint16_t)(value >> 1);
}

static void mii_write(unsigned int phy, unsigned int at, uint16_t value)
{
	uint32_t command = 0x5002u << 16 | phy << 23 | at << 18 | value;
	int i;

	for (i = 32; i > 0; i--) {
		mii_bit(1);
	}
	for (i = 31; i >= 0; i--) {
		mii_bit(command >> i & 1);
	}
}

static void test_phy(void **state)
{
	(void)state;
	assert_int_equal(mii_read(1, 1), 0x782d);
	assert_int_equal(mii_read(1, 5), 0x45e1);
	assert_int_equal(mii_read(0, 1), 0xffff); /* nobody */
	assert_int_equal(mii_read(1, 0), 0x3100);
	mii_write(1, 4, 0x0021);
	assert_int_equal(mii_read(1, 4), 0x0021);
	mii_write(2, 4, 0x0061);
	assert_int_equal(mii_read(1, 4), 0x0021);
	mii_write(1, 0, 0x8000); /* its reset, which is over at once */
	assert_int_equal(mii_read(1, 0), 0x3100);
	assert_int_equal(mii_read(1, 4), 0x01e1);
	board_set_nic_link(&board, 0, false);
	assert_int_equal(mii_read(1, 1) & 4, 0);
}

/* ---- sending ---- */

static void fill(uint32_t at, uint32_t length)
{
	uint32_t i;

	for (i = 0; i < length; i++) {
		home.ram[at + i] = (uint8_t)(i + at);
	}
}

static void test_send(void **state)
{
	(void)state;
	fill(TX_DATA, 100);
	descriptor(TX, OWN, 0xe2000000 | 40 << 11 | 60, TX_DATA, TX_DATA + 60);
	set_csr(4, TX);
	set_csr(6, 0x2000);
	assert_int_equal(home.nics[0].sent, 1);
	assert_int_equal(home.nics[0].length, 100);
	assert_memory_equal(home.nics[0].frame, home.ram + TX_DATA, 100);
	assert_int_equal(word(TX), 0);
	assert_int_equal(csr(5) & (TI | TU), TI | TU);
	assert_int_equal(csr(5) >> 20 & 7, 6);
	/* The ring ends with it, and goes on at its beginning. */
	descriptor(TX, OWN, 0xe2000000 | 60, TX_DATA, 0);
	assert_int_equal(home.nics[0].sent, 1);
	set_csr(1, 1);
	assert_int_equal(home.nics[0].sent, 2);
}

/* A frame of three descriptors, of a chain, and of a ring with room between its entries. */
static void test_send_pieces(void **state)
{
	(void)state;
	fill(TX_DATA, 90);
	descriptor(TX, OWN, 0x21000000 | 30, TX_DATA, TX + 0x80);
	descriptor(TX + 0x80, OWN, 0x01000000 | 30, TX_DATA + 30, TX + 0x40);
	descriptor(TX + 0x40, OWN, 0xc1000000 | 30, TX_DATA + 60, TX + 0x20);
	set_csr(4, TX);
	set_csr(6, 0x2000);
	assert_int_equal(home.nics[0].sent, 1);
	assert_int_equal(home.nics[0].length, 90);
	assert_memory_equal(home.nics[0].frame, home.ram + TX_DATA, 90);
	set_csr(6, 0);
	set_csr(0, 4 << 2);
	descriptor(TX, OWN, 0x60000000 | 60, TX_DATA, 0);
	descriptor(TX + 32, OWN, 0x62000000 | 61, TX_DATA, 0);
	set_csr(4, TX);
	set_csr(6, 0x2000);
	assert_int_equal(home.nics[0].sent, 3);
	assert_int_equal(home.nics[0].length, 61);
}

static void test_send_too_long(void **state)
{
	(void)state;
	descriptor(TX, OWN, 0xa0000000 | 1000, TX_DATA, 0);
	descriptor(TX + 16, OWN, 0xc2000000 | 1000, TX_DATA, 0);
	set_csr(4, TX);
	set_csr(6, 0x2000);
	assert_int_equal(home.nics[0].sent, 0);
	assert_int_equal(word(TX + 16), 0xc000);
	assert_int_equal(csr(5) & TJT, TJT);
}

static void test_send_waits_for_room(void **state)
{
	(void)state;
	home.nics[0].full = true;
	descriptor(TX, OWN, 0x62000000 | 60, TX_DATA, 0);
	set_csr(4, TX);
	set_csr(6, 0x2000);
	assert_int_equal(home.nics[0].sent, 0);
	assert_int_equal(word(TX), OWN);
	home.nics[0].full = false;
	board.nics_stand = true;
	board_nic_room(&board, 0);
	assert_int_equal(home.nics[0].sent, 0);
	board.nics_stand = false;
	board_nic_room(&board, 0);
	assert_int_equal(home.nics[0].sent, 1);
}

static void test_bus_error(void **state)
{
	(void)state;
	set_csr(4, 0x10000000);
	set_csr(6, 0x2000);
	assert_int_equal(csr(5) & (FBE | TPS), FBE | TPS);
	assert_int_equal(csr(6) & 0x2000, 0);
	set_csr(3, 0x10000000);
	set_csr(6, 0x42);
	assert_int_equal(hear(mac, 60, false), BOARD_NIC_TAKEN);
	assert_int_equal(csr(5) & RPS, RPS);
	assert_int_equal(csr(6) & 2, 0);
}

/* More than a turn: the rest is the next tick's. */
static void test_endless_list(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 600; i++) {
		descriptor(16 * i, OWN, 0x60000000 | 60, 0x3800, 0);
	}
	set_csr(4, 0);
	set_csr(6, 0x2000);
	assert_int_equal(home.nics[0].sent, TULIP_TURN);
	pass(1);
	assert_int_equal(home.nics[0].sent, 600);
}

/* It may not reach memory before it is allowed to. */
static void test_no_master(void **state)
{
	(void)state;
	set_config(0x04, 3);
	start_receive();
	assert_int_equal(home.nics[0].hears, HOST_NIC_NOTHING);
	descriptor(TX, OWN, 0x62000000 | 60, TX_DATA, 0);
	set_csr(4, TX);
	set_csr(6, 0x2042);
	assert_int_equal(home.nics[0].sent, 0);
	assert_int_equal(hear(mac, 60, false), BOARD_NIC_TAKEN);
	assert_int_equal(word(RX), OWN);
	set_config(0x04, 7);
	assert_int_equal(home.nics[0].hears, HOST_NIC_ALL);
}

/* ---- hearing ---- */

static void test_receive(void **state)
{
	uint32_t crc;

	(void)state;
	start_receive();
	set_csr(6, 0x42);
	assert_int_equal(csr(5) >> 17 & 7, 3);
	assert_int_equal(hear(mac, 100, false), BOARD_NIC_TAKEN);
	assert_int_equal(word(RX),
			 0x40000000 | 104 << 16 | 0x320); /* no filter has its address yet */
	assert_memory_equal(home.ram + RX_DATA, mac, 6);
	assert_int_equal(home.ram[RX_DATA + 99], (uint8_t)(99 * 3 + 1));
	crc = ~tulip_crc(home.ram + RX_DATA, 100);
	assert_int_equal(word(RX_DATA + 100), crc);
	assert_int_equal(csr(5) & RI, RI);
	/* The guest has the next one: it waits, and is counted when it is lost. */
	assert_int_equal(hear(mac, 100, false), BOARD_NIC_LATER);
	assert_int_equal(csr(5) & RU, RU);
	assert_int_equal(csr(5) >> 17 & 7, 4);
	assert_int_equal(hear(mac, 100, true), BOARD_NIC_TAKEN);
	assert_int_equal(csr(8) & 0xffff, 1);
	assert_int_equal(csr(8) & 0xffff, 0);
	/* What is short is padded. */
	descriptor(RX, OWN, 0x02000000 | 1536, RX_DATA, 0);
	assert_int_equal(hear(all, 42, false), BOARD_NIC_TAKEN);
	assert_int_equal(word(RX) >> 16 & 0x3fff, 64);
	assert_int_equal(word(RX) & 0x400, 0x400);
	assert_int_equal(csr(5) >> 17 & 7, 3);
}

/* Several buffers and descriptors; all are there, or none is written. */
static void test_receive_pieces(void **state)
{
	(void)state;
	descriptor(RX, OWN, 40u << 11 | 30, RX_DATA, RX_DATA + 30);
	descriptor(RX + 16, OWN, 0x01000000 | 30, RX_DATA + 70, RX + 64);
	descriptor(RX + 64, 0, 0x02000000 | 600, RX_DATA + 100, 0);
	set_csr(3, RX);
	set_csr(6, 0x42);
	assert_int_equal(hear(mac, 196, false), BOARD_NIC_LATER);
	assert_int_equal(word(RX), OWN);
	descriptor(RX + 64, OWN, 0x02000000 | 600, RX_DATA + 100, 0);
	assert_int_equal(hear(mac, 196, false), BOARD_NIC_TAKEN);
	assert_int_equal(word(RX), 0x200);
	assert_int_equal(word(RX + 16), 0);
	assert_int_equal(word(RX + 64), 0x40000000 | 200 << 16 | 0x120);
	assert_int_equal(home.ram[RX_DATA + 195], (uint8_t)(195 * 3 + 1));
}

/* Buffers of no bytes, in a ring of one. */
static void test_receive_nowhere(void **state)
{
	(void)state;
	descriptor(RX, OWN, 0x02000000, RX_DATA, 0);
	set_csr(3, RX);
	set_csr(6, 0x42);
	assert_int_equal(hear(mac, 60, false), BOARD_NIC_LATER);
	assert_int_equal(hear(mac, 60, true), BOARD_NIC_TAKEN);
}

static bool hears(const uint8_t to[6])
{
	descriptor(RX, OWN, 0x02000000 | 1536, RX_DATA, 0);
	assert_int_equal(hear(to, 60, false), BOARD_NIC_TAKEN);
	return !(word(RX) & OWN);
}

static void test_perfect_filter(void **state)
{
	(void)state;
	start_receive();
	perfect_filter(0);
	assert_int_equal(csr(6) & 0x15, 0);
	assert_int_equal(home.nics[0].hears, HOST_NIC_OWN);
	assert_true(hears(mac));
	assert_false(word(RX) & 0x40000000);
	assert_true(hears(all));
	assert_false(hears(other));
	assert_false(hears(group));
	set_csr(6, 0x2082);
	assert_true(hears(group));
	assert_false(hears(other));
	set_csr(6, 0x2042);
	assert_int_equal(home.nics[0].hears, HOST_NIC_ALL);
	assert_true(hears(other));
	assert_true(word(RX) & 0x40000000);
	/* All but these. */
	set_csr(6, 0x2002);
	perfect_filter(0x10000000);
	assert_int_equal(csr(6) & 0x15, 0x10);
	assert_int_equal(home.nics[0].hears, HOST_NIC_ALL);
	assert_false(hears(mac));
	assert_false(hears(all));
	assert_true(hears(other));
	/* Nothing, when it is stopped. */
	set_csr(6, 0x2000);
	assert_int_equal(home.nics[0].hears, HOST_NIC_NOTHING);
	assert_false(hears(other));
}

static void test_hash_filter(void **state)
{
	uint8_t bytes[96] = {0};
	uint32_t hash = tulip_crc(group, 6) & 0x1ff;

	(void)state;
	start_receive();
	bytes[hash / 8] |= (uint8_t)(1 << hash % 8);
	memcpy(bytes + 78, mac, 6);
	set_filter(bytes, 0x00400000);
	assert_int_equal(csr(6) & 0x15, 0x1);
	assert_int_equal(home.nics[0].hears, HOST_NIC_OWN);
	assert_true(hears(mac));
	assert_true(hears(group));
	assert_true(hears(all));
	assert_false(hears(other));
	/* Of that alone, for all. */
	hash = tulip_crc(other, 6) & 0x1ff;
	bytes[hash / 8] |= (uint8_t)(1 << hash % 8);
	set_filter(bytes, 0x10400000);
	assert_int_equal(csr(6) & 0x15, 0x5);
	assert_int_equal(home.nics[0].hears, HOST_NIC_ALL);
	assert_true(hears(other));
	assert_false(hears(mac));
}

/* ---- interrupts and the timer ---- */

static void test_interrupt(void **state)
{
	(void)state;
	out(0xcf8, 4, 0x80000000u | BOARD_PIIX4_SLOT << 11 | 0x60);
	out(0xcfc, 4, 0x0b0b0a0a);
	ioapic_route(10, VECTOR, true);
	ioapic_route(11, VECTOR + 1, true);
	start_receive();
	set_csr(6, 0x42);
	(void)hear(mac, 60, false);
	assert_int_equal(home.interrupt_count, 0);
	assert_int_equal(csr(5) & (NIS | AIS), 0);
	set_csr(7, NIS | RI);
	assert_int_equal(csr(5) & (NIS | AIS), NIS);
	assert_int_equal(interrupts_with(VECTOR), 1); /* slot 10's A is the second PIRQ */
	assert_int_equal(interrupts_with(VECTOR + 1), 0);
	set_csr(5, NIS | RI);
	assert_int_equal(csr(5) & RI, 0);
	board_apic_eoi(&board, VECTOR);
	assert_int_equal(interrupts_with(VECTOR), 1);
	/* The other kind. */
	(void)hear(mac, 60, false);
	assert_int_equal(csr(5) & RU, RU);
	assert_int_equal(interrupts_with(VECTOR), 1);
	set_csr(7, AIS | RU);
	assert_int_equal(interrupts_with(VECTOR), 2);
	board_apic_eoi(&board, VECTOR);
	assert_int_equal(interrupts_with(VECTOR), 3); /* it is still up */
}

static void test_timer(void **state)
{
	(void)state;
	set_csr(11, 10);
	pass(5 * 81920);
	assert_int_equal(csr(11) & 0xffff, 5);
	assert_int_equal(csr(5) & GTE, 0);
	pass(5 * 81920);
	assert_int_equal(csr(5) & GTE, GTE);
	set_csr(5, GTE);
	pass(100 * 81920);
	assert_int_equal(csr(5) & GTE, 0);
	set_csr(11, 0x10000 | 10);
	pass(10 * 81920);
	set_csr(5, GTE);
	pass(10 * 81920);
	assert_int_equal(csr(5) & GTE, GTE);
	set_csr(11, 0);
	set_csr(5, GTE);
	pass(100 * 81920);
	assert_int_equal(csr(5) & GTE, 0);
}

/* ---- its state ---- */

static void test_state_of_another_address(void **state)
{
	static uint8_t bytes[PAIR_STATE_MAX];
	struct state_writer writer = state_writer(bytes, sizeof(bytes));
	struct state_fault fault;
	struct state_reader reader;

	(void)state;
	board_save(&board, &writer);
	assert_true(state_fits(&writer));
	reader = state_reader(bytes, writer.used, &fault);
	board_check(&board, &reader);
	assert_null(fault.what);
	board_set_nic_address(&board, 0, other);
	reader = state_reader(bytes, writer.used, &fault);
	board_check(&board, &reader);
	assert_string_equal(fault.part, "tulip");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_identity, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_reset_values, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_srom, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_srom_is_read_only, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_phy, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_send, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_send_pieces, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_send_too_long, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_send_waits_for_room, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_bus_error, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_endless_list, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_no_master, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_receive, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_receive_pieces, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_receive_nowhere, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_perfect_filter, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_hash_filter, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_interrupt, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_timer, setup, board_teardown),
		cmocka_unit_test_setup_teardown(test_state_of_another_address, setup,
						board_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
