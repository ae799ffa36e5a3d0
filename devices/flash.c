/*
 * A flash memory with Intel's command set (JESD68.01 and Intel's CFI data sheets, an 8-bit part):
 * where UEFI firmware keeps its variables.
 *
 * While it shows its array, guests read it as any ROM, without an exit. Each write is a command, or
 * a command's datum:
 *
 *   array, status, identifier, query --0xFF, 0x70, 0x90, 0x98--> that is what reads give
 *   any of them  --0x10 or 0x40--> program --datum--> status    bits of the byte become 0, none becomes 1
 *   any of them  --0x20--> erase --0xD0--> status               all bits of the block become 1; another datum: an error
 *   0x50 clears the status, 0 then until something is done: firmware tells a flash from RAM by that.
 *
 * Programming and erasing take no time. What was programmed is the home's to keep
 * (host_flash_store()) when the array is shown again, or something else is begun: a variable's
 * bytes come one by one.
 */
#include "devices/parts.h"

#include <string.h>

#include "lib/check.h"

#define COMMAND_PROGRAM     0x10
#define COMMAND_ERASE       0x20
#define COMMAND_PROGRAM_TOO 0x40
#define COMMAND_CLEAR       0x50
#define COMMAND_STATUS      0x70
#define COMMAND_IDENTIFIER  0x90
#define COMMAND_QUERY       0x98
#define COMMAND_CONFIRM     0xd0
#define COMMAND_ARRAY       0xff

#define STATUS_READY    0x80
#define STATUS_SEQUENCE 0x30 /* erase and program errors at once: a command that is none */
#define STATUS_BITS     (STATUS_READY | STATUS_SEQUENCE)

#define ERASED 0xff

#define IDENTIFIER_MAKER  0x89 /* Intel */
#define IDENTIFIER_DEVICE 0x18

enum { MODE_ARRAY, MODE_STATUS, MODE_IDENTIFIER, MODE_QUERY, MODE_PROGRAM, MODE_ERASE, MODE_COUNT };

/* The offset is in the device. */
static uint8_t query(const struct flash *flash, uint32_t offset)
{
	const uint32_t last = flash->length / FLASH_BLOCK - 1;
	unsigned int log2 = 0;

	while (flash->length > 1u << log2) {
		log2++;
	}
	switch (offset) {
	case 0x10:
		return 'Q';
	case 0x11:
		return 'R';
	case 0x12:
		return 'Y';
	case 0x13: /* the primary command set: Intel's, extended */
	case 0x2c: /* regions of blocks */
		return 1;
	case 0x1b: /* volts to program at, least and most */
	case 0x1c:
		return 0x33;
	case 0x27:
		return (uint8_t)log2;
	case 0x2d:
		return (uint8_t)last;
	case 0x2e:
		return (uint8_t)(last >> 8);
	case 0x2f: /* a block's bytes, in 256 */
		return FLASH_BLOCK >> 8 & 0xff;
	case 0x30:
		return FLASH_BLOCK >> 16;
	default:
		return 0;
	}
}

static uint64_t flash_read(void *device, uint32_t offset, unsigned int size)
{
	const struct flash *flash = device;

	(void)size;
	switch (flash->mode) {
	case MODE_ARRAY:
		return flash->memory[offset];
	case MODE_IDENTIFIER:
		return offset == 0 ? IDENTIFIER_MAKER : offset == 1 ? IDENTIFIER_DEVICE : 0;
	case MODE_QUERY:
		return query(flash, offset);
	default:
		return flash->status;
	}
}

/* What was programmed is in one block. */
static void store(struct flash *flash)
{
	if (flash->changed != 0) {
		host_flash_store(flash->host, flash->first, flash->changed);
		flash->changed = 0;
	}
}

static void program(struct flash *flash, uint32_t offset, uint8_t value)
{
	if (flash->changed != 0 &&
	    (offset != flash->first + flash->changed || offset % FLASH_BLOCK == 0)) {
		store(flash);
	}
	if (flash->changed == 0) {
		flash->first = offset;
	}
	flash->changed++;
	flash->memory[offset] &= value;
	flash->status |= STATUS_READY;
}

static void erase(struct flash *flash, uint32_t offset)
{
	flash->first = offset - offset % FLASH_BLOCK;
	flash->changed = FLASH_BLOCK;
	memset(flash->memory + flash->first, ERASED, FLASH_BLOCK);
	flash->status |= STATUS_READY;
	store(flash);
}

static void enter(struct flash *flash, uint8_t mode)
{
	enum bus_direct direct = mode == MODE_ARRAY ? BUS_DIRECT_READ : BUS_DIRECT_NONE;

	flash->mode = mode;
	if (flash->range->direct != direct) {
		flash->range->direct = direct;
		bus_update(flash->bus);
	}
}

static void command(struct flash *flash, uint8_t value)
{
	switch (value) {
	case COMMAND_PROGRAM:
	case COMMAND_PROGRAM_TOO:
		enter(flash, MODE_PROGRAM);
		return;
	case COMMAND_CLEAR:
		flash->status = 0;
		return;
	case COMMAND_ARRAY:
	case COMMAND_STATUS:
	case COMMAND_IDENTIFIER:
	case COMMAND_QUERY:
	case COMMAND_ERASE:
		store(flash);
		enter(flash, value == COMMAND_ARRAY        ? MODE_ARRAY
			     : value == COMMAND_STATUS     ? MODE_STATUS
			     : value == COMMAND_IDENTIFIER ? MODE_IDENTIFIER
			     : value == COMMAND_QUERY      ? MODE_QUERY
							   : MODE_ERASE);
		return;
	default:
		return; /* of sets that it has not */
	}
}

static void flash_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct flash *flash = device;

	(void)size;
	switch (flash->mode) {
	case MODE_PROGRAM:
		program(flash, offset, (uint8_t)value);
		enter(flash, MODE_STATUS);
		break;
	case MODE_ERASE:
		if (value == COMMAND_CONFIRM) {
			erase(flash, offset);
		} else {
			flash->status |= STATUS_READY | STATUS_SEQUENCE;
		}
		enter(flash, MODE_STATUS);
		break;
	default:
		command(flash, (uint8_t)value);
		break;
	}
}

void flash_create(struct flash *flash, struct host *host, struct bus *bus, struct bus_range *range,
		  uint8_t *memory, uint32_t length)
{
	CHECK(length != 0 && length % FLASH_BLOCK == 0);
	*flash = (struct flash){
		.host = host, .bus = bus, .range = range, .memory = memory, .length = length};
	flash_reset(flash);
}

void flash_reset(struct flash *flash)
{
	if (flash->memory != NULL) {
		store(flash);
		flash->status = STATUS_READY;
		enter(flash, MODE_ARRAY);
	}
}

void flash_update(struct flash *flash)
{
	if (flash->memory != NULL) {
		enter(flash, flash->mode);
	}
}

/* ---- A saved state: with the memory, since a file may have changed when it is loaded. Most blocks
 * are erased. ---- */

static bool is_erased(const uint8_t *block)
{
	return block[0] == ERASED && memcmp(block, block + 1, FLASH_BLOCK - 1) == 0;
}

static void flash_save(const void *device, struct state_writer *writer)
{
	const struct flash *flash = device;
	uint32_t at;

	state_put_u8(writer, flash->mode);
	state_put_u8(writer, flash->status);
	state_put_u64(writer, flash->range->base);
	state_put_u32(writer, flash->length);
	for (at = 0; at < flash->length; at += FLASH_BLOCK) {
		bool erased = is_erased(flash->memory + at);

		state_put_bool(writer, erased);
		if (!erased) {
			state_put_bytes(writer, flash->memory + at, FLASH_BLOCK);
		}
	}
}

/* Only what differs has to be kept. */
static void load_block(struct flash *flash, uint32_t at, const uint8_t *block)
{
	uint8_t *to = flash->memory + at;

	if (block == NULL ? is_erased(to) : memcmp(to, block, FLASH_BLOCK) == 0) {
		return;
	}
	if (block == NULL) {
		memset(to, ERASED, FLASH_BLOCK);
	} else {
		memcpy(to, block, FLASH_BLOCK);
	}
	host_flash_store(flash->host, at, FLASH_BLOCK);
}

static void read_blocks(struct flash *flash, struct state_reader *part, bool set)
{
	uint32_t at;

	for (at = 0; at < flash->length && state_ok(part); at += FLASH_BLOCK) {
		const uint8_t *block = NULL;

		if (!state_bool(part)) {
			block = state_span(part, FLASH_BLOCK);
		}
		if (set && state_ok(part)) {
			load_block(flash, at, block);
		}
	}
}

static void flash_load(void *device, struct state_reader *part, bool set)
{
	struct flash *flash = device;
	uint8_t mode = state_u8(part), status = state_u8(part);
	struct state_reader ahead;

	if (mode >= MODE_COUNT || (status & ~STATUS_BITS)) {
		state_refuse(part, "has a register with bits that it does not have");
	}
	/* Version 1 knew no place. The image of the firmware is behind it, and code in memory knows
	 * where both are. */
	if (part->version >= 2 && state_u64(part) != flash->range->base) {
		state_refuse(part, "lies elsewhere: give the machine the firmware that it had");
	}
	if (state_u32(part) != flash->length) {
		state_refuse(part, "has another size than the machine's");
	}
	ahead = *part;
	read_blocks(flash, part, false);
	if (set && state_ok(part)) {
		read_blocks(flash, &ahead, true);
		flash->mode = mode;
		flash->status = status;
		flash->changed = 0;
	}
}

const struct device_class flash_class = {.name = "flash",
					 .width = 1,
					 .read = flash_read,
					 .write = flash_write,
					 .version = 2,
					 .save = flash_save,
					 .load = flash_load};
