/*
 * What a driver reaches by wires of CSR9, a clock and a bit of data at a time: the serial ROM, a
 * 93C46 in words of 16 bits (its data sheet; 21140A manual 7.3; 21X4 SROM format 3.0), and a PHY at
 * address 1 of the MII (IEEE 802.3, 22.2.4). Both take a bit when the clock rises.
 *
 *   ROM   IDLE --a 1--> COMMAND --opcode, 6 of address--> DATA --16 bits, and those of the words behind it--> ...
 *   PHY   IDLE --32 ones--> COMMAND --14 bits--> READ or WRITE --18 bits--> IDLE
 *
 * The ROM is not written: its erasing and writing is taken and does nothing. What it says is made
 * of the adapter's address when it is asked.
 */
#include "devices/parts.h"

#include <string.h>

#define SROM_SELECTED 0x00000800u
#define SROM_CS       0x00000001u
#define SROM_CLOCK    0x00000002u
#define SROM_IN       0x00000004u
#define SROM_OUT      0x00000008u
#define MII_CLOCK     0x00010000u
#define MII_OUT       0x00020000u /* of the adapter */
#define MII_READS     0x00040000u
#define MII_IN        0x00080000u

#define SROM_ADDRESS_BITS 6u
#define SROM_OPCODE_READ  2u

#define PREAMBLE       32u
#define MII_HEAD_BITS  14u /* start, opcode, PHY, register */
#define MII_START      1u
#define MII_OPCODE_IN  2u
#define MII_OPCODE_OUT 1u
#define MII_TURN_BITS  2u
#define PHY_ADDRESS    1u

#define PHY_CONTROL         0u
#define PHY_STATUS          1u
#define PHY_ID              2u
#define PHY_ADVERTISED      4u
#define PHY_PARTNER         5u
#define PHY_EXPANSION       6u
#define PHY_CONTROL_RESET   0x8000u
#define PHY_CONTROL_RESTART 0x0200u
#define PHY_CONTROL_DEFAULT 0x3100u /* as agreed: 100 Mbit/s, both ways at once */
#define PHY_STATUS_UP       0x782du /* all of 10 and 100BASE-T, agreement reached, link */
#define PHY_STATUS_DOWN     0x7809u
#define PHY_ID_0            0x7810u /* nobody's that a driver knows better than the standard */
#define PHY_ABILITIES       0x01e1u
#define PHY_PARTNER_HAS     0x45e1u

/* ---- The serial ROM ---- */

/* Subsystem ids, format 3.0, one controller, its address, and what it is connected by: an MII with
 * a PHY. */
static void fill_srom(const struct tulip *tulip, uint8_t rom[2 * TULIP_SROM_WORDS])
{
	static const uint8_t leaf[] = {
		0x00, 0x08, /* the driver chooses the medium */
		0xff,       /* directions of the general purpose pins */
		1,          /* a block */
		0x8c, 1,    /* of 12 bytes, an MII's */
		0,          /* the PHY's index */
		0,    0,    /* nothing to do with the pins, nor for a reset */
		0x00, 0x78, /* it can do 10BASE-T and 100BASE-TX, each half and full duplex */
		0xe0, 0x01, /* and advertises these */
		0x00, 0x50, /* of which these are full duplex */
		0x00, 0x18, /* and these slow */
	};
	uint32_t crc;

	memset(rom, 0, 2 * TULIP_SROM_WORDS);
	memcpy(rom, &tulip->function.initial[0x2c], 4);
	rom[18] = 3;
	rom[19] = 1;
	memcpy(&rom[20], tulip->mac, sizeof(tulip->mac));
	rom[27] = 30; /* where the leaf is */
	memcpy(&rom[30], leaf, sizeof(leaf));
	crc = ~tulip_crc(rom, 126);
	rom[126] = (uint8_t)crc;
	rom[127] = (uint8_t)(crc >> 8);
}

static uint16_t srom_word(const struct tulip *tulip, unsigned int index)
{
	uint8_t rom[2 * TULIP_SROM_WORDS];

	fill_srom(tulip, rom);
	return (uint16_t)(rom[2 * index] | rom[2 * index + 1] << 8);
}

static void srom_command(struct tulip *tulip)
{
	struct tulip_wire *wire = &tulip->wire;
	bool read = wire->srom_shift >> SROM_ADDRESS_BITS == SROM_OPCODE_READ;

	wire->srom_step = read ? SROM_DATA : SROM_DONE;
	wire->srom_address = wire->srom_shift % TULIP_SROM_WORDS;
	wire->srom_bits = 0;
	wire->srom_out = !read; /* a 0 comes before the word; else: it is ready */
}

static void srom_clock(struct tulip *tulip, bool in)
{
	struct tulip_wire *wire = &tulip->wire;

	switch (wire->srom_step) {
	case SROM_IDLE:
		if (in) {
			wire->srom_step = SROM_COMMAND;
			wire->srom_bits = 0;
			wire->srom_shift = 0;
		}
		break;
	case SROM_COMMAND:
		wire->srom_shift = (uint16_t)(wire->srom_shift << 1 | in);
		if (++wire->srom_bits == 2 + SROM_ADDRESS_BITS) {
			srom_command(tulip);
		}
		break;
	case SROM_DATA:
		if (wire->srom_bits == 0) {
			wire->srom_shift = srom_word(tulip, wire->srom_address);
			wire->srom_address = (wire->srom_address + 1) % TULIP_SROM_WORDS;
		}
		wire->srom_out = wire->srom_shift >> 15;
		wire->srom_shift = (uint16_t)(wire->srom_shift << 1);
		wire->srom_bits = (wire->srom_bits + 1) % 16;
		break;
	case SROM_DONE:
		break;
	}
}

static void srom_write(struct tulip *tulip, uint32_t before, uint32_t value)
{
	if ((value & (SROM_SELECTED | SROM_CS)) != (SROM_SELECTED | SROM_CS)) {
		tulip->wire.srom_step = SROM_IDLE;
		tulip->wire.srom_out = true;
	} else if (value & ~before & SROM_CLOCK) {
		srom_clock(tulip, value & SROM_IN);
	}
}

/* ---- The PHY ---- */

static void phy_reset(struct tulip_wire *wire)
{
	memset(wire->phy, 0, sizeof(wire->phy));
	wire->phy[PHY_CONTROL] = PHY_CONTROL_DEFAULT;
	wire->phy[PHY_ADVERTISED] = PHY_ABILITIES;
}

static uint16_t phy_read(const struct tulip *tulip, unsigned int at)
{
	switch (at) {
	case PHY_STATUS:
		return tulip->link ? PHY_STATUS_UP : PHY_STATUS_DOWN;
	case PHY_ID:
		return PHY_ID_0;
	case PHY_PARTNER:
		return tulip->link ? PHY_PARTNER_HAS : 0;
	case PHY_EXPANSION:
		return tulip->link ? 1 : 0;
	default:
		return tulip->wire.phy[at];
	}
}

static void phy_write(struct tulip_wire *wire, unsigned int at, uint16_t value)
{
	if (at == PHY_CONTROL && (value & PHY_CONTROL_RESET)) {
		phy_reset(wire);
	} else if (at == PHY_CONTROL) {
		wire->phy[at] = value & (uint16_t)~PHY_CONTROL_RESTART;
	} else if (at == PHY_ADVERTISED) {
		wire->phy[at] = value;
	}
}

/* Start, opcode, PHY and register are there. */
static void mii_command(struct tulip *tulip)
{
	struct tulip_wire *wire = &tulip->wire;
	unsigned int opcode = wire->mii_shift >> 10 & 3;
	bool ours = (wire->mii_shift >> 5 & 31) == PHY_ADDRESS;

	wire->mii_step = MII_IDLE;
	wire->mii_bits = 0;
	if (wire->mii_shift >> 12 != MII_START) {
		return;
	}
	if (opcode == MII_OPCODE_OUT) {
		wire->mii_step = MII_WRITE;
	} else if (opcode == MII_OPCODE_IN) {
		/* Nobody there: the wire stays up. */
		wire->mii_step = MII_READ;
		wire->mii_shift = ours ? phy_read(tulip, wire->mii_shift & 31) : 0xffff | 1u << 16;
	}
}

static void mii_clock(struct tulip *tulip, bool in, bool reads)
{
	struct tulip_wire *wire = &tulip->wire;

	switch (wire->mii_step) {
	case MII_IDLE:
		wire->mii_out = true;
		if (in && !reads) {
			wire->mii_ones += wire->mii_ones < PREAMBLE;
		} else if (!reads && wire->mii_ones == PREAMBLE) {
			wire->mii_step = MII_COMMAND;
			wire->mii_shift = 0;
			wire->mii_bits = 1;
		} else {
			wire->mii_ones = 0;
		}
		break;
	case MII_COMMAND:
		wire->mii_shift = wire->mii_shift << 1 | in;
		if (++wire->mii_bits == MII_HEAD_BITS) {
			wire->mii_ones = 0;
			mii_command(tulip);
		}
		break;
	case MII_READ: /* a 0, then 16 bits */
		wire->mii_out = wire->mii_shift >> (16 - wire->mii_bits) & 1;
		if (++wire->mii_bits == 17) {
			wire->mii_step = MII_IDLE;
		}
		break;
	case MII_WRITE:
		if (wire->mii_bits >= MII_TURN_BITS) {
			wire->mii_shift = wire->mii_shift << 1 | in;
		}
		if (++wire->mii_bits == 16 + MII_TURN_BITS) {
			uint32_t head = wire->mii_shift >> 16;

			wire->mii_step = MII_IDLE;
			if ((head >> 5 & 31) == PHY_ADDRESS) {
				phy_write(wire, head & 31, (uint16_t)wire->mii_shift);
			}
		}
		break;
	}
}

/* ---- Both ---- */

void tulip_wire_reset(struct tulip_wire *wire)
{
	memset(wire, 0, sizeof(*wire));
	wire->srom_out = wire->mii_out = true;
	phy_reset(wire);
}

void tulip_wire_write(struct tulip *tulip, uint32_t before, uint32_t value)
{
	srom_write(tulip, before, value);
	if (value & ~before & MII_CLOCK) {
		mii_clock(tulip, value & MII_OUT, value & MII_READS);
	}
}

uint32_t tulip_wire_read(const struct tulip *tulip)
{
	return (tulip->wire.srom_out ? SROM_OUT : 0) | (tulip->wire.mii_out ? MII_IN : 0);
}
