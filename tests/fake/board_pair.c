/* See board_pair.h. */
#include "tests/fake/board_pair.h"

#include <stdlib.h>
#include <string.h>

#include "lib/check.h"

enum {
	EVENT_IN,
	EVENT_OUT,
	EVENT_READ,
	EVENT_WRITE,
	EVENT_PASS,
	EVENT_EOI,
	EVENT_ACKNOWLEDGE,
	EVENT_TYPE,
	EVENT_ROOM,
	EVENT_BUTTON,
	EVENT_INTX,
	EVENT_SEND,
	EVENT_ROUTE,
	EVENT_ITEM,   /* an item is selected, or asked for by a request in memory */
	EVENT_UNMASK, /* an input of the IO-APIC, and all of the 8259s, as a system does */
	EVENT_ATA,    /* a command, with its registers */
	EVENT_DRIVE,  /* what a drive's home has to do is done */
	EVENT_KEY,    /* somebody types, or moves the mouse */
	EVENT_RING,   /* a request to the firmware's controller */
	EVENT_NIC,    /* descriptors, a frame, or room for the adapter's */
	EVENT_SOUND,  /* a DMA channel is set, or a command for the sound card */
	EVENT_HDA,    /* a list, a stream that starts, or a command for the codec */
	EVENT_XHCI,   /* a command or a transfer of the USB controller, or what its tablet says */
	EVENT_CONFIG, /* the address of a register, then something into it */
};

#define SCSI_PORT  0xc800
#define NIC_PORT   0xc400
#define NIC_MEMORY 0xe0100000ull
#define HDA_MEMORY 0xe0200000ull
#define USB_MEMORY 0xe0300000ull
#define SCSI_RING  0x1000
#define FLASH_BASE ((1ull << 32) - PAIR_ROM - PAIR_FLASH_BYTES)

/* Ports and memory of each part; length 0: none. */
static const struct place {
	uint64_t base;
	unsigned int length;
	bool memory;
} places[PAIR_ALL][6] = {
	[PAIR_PIC] = {{0x20, 2, false}, {0xa0, 2, false}, {0x4d0, 2, false}},
	[PAIR_IOAPIC] = {{0xfec00000, 1, true}, {0xfec00010, 1, true}},
	[PAIR_PIT] = {{0x40, 4, false}, {0x61, 1, false}, {0x43, 1, false}},
	[PAIR_RTC] = {{0x70, 2, false}},
	[PAIR_UART] = {{0x3f8, 8, false}},
	[PAIR_PCI] = {{0xcf8, 8, false},
		      {0xcfc, 4, false},
		      {0xc000, 32, false},
		      {0xe0000000, 0x4000, true}},
	[PAIR_ACPI_PM] = {{0x400, 16, false}},
	[PAIR_RESET] = {{0x92, 1, false}, {0x64, 1, false}},
	[PAIR_I8042] = {{0x60, 1, false}, {0x64, 1, false}},
	[PAIR_FW_CFG] = {{0x511, 1, false}, {0x510, 12, false}, {0x402, 1, false}},
	[PAIR_VGA] = {{0x3c0, 16, false},
		      {0x3d4, 2, false},
		      {0x3da, 1, false},
		      {0x1ce, 4, false},
		      {0xa0000, 0x20000, true}},
	[PAIR_NIC] = {{NIC_PORT, 128, false},
		      {NIC_PORT + 0x28, 24, false},
		      {NIC_PORT + 0x48, 4, false},
		      {NIC_MEMORY, 128, true}},
	[PAIR_SOUND] = {{BOARD_SB16_PORT, 16, false},
			{BOARD_SB16_PORT + 4, 2, false},
			{BOARD_SB16_PORT + 12, 4, false},
			{0x00, 16, false},
			{0xc0, 32, false}},
	[PAIR_HDA] = {{HDA_MEMORY, HDA_REGISTERS, true},
		      {HDA_MEMORY + 0x40, 32, true},
		      {HDA_MEMORY + 0x80, 64, true}},
	[PAIR_XHCI] = {{USB_MEMORY + 0x40, 0x40, true},
		       {USB_MEMORY + 0x440, 0x50, true},
		       {USB_MEMORY + 0x1020, 0x20, true},
		       {USB_MEMORY + 0x2000, 12, true}},
	[PAIR_FLASH] = {{FLASH_BASE, 16, true},
			{FLASH_BASE + FLASH_BLOCK - 8, 16, true},
			{FLASH_BASE, PAIR_FLASH_BYTES, true}},
	[PAIR_TPM] = {{TPM_BASE, 0x80, true},
		      {TPM_BASE + 0x40, 16, true},
		      {TPM_BASE + 0x80, 16, true},
		      {TPM_BASE, TPM_LENGTH, true}},
	[PAIR_SCSI] = {{SCSI_PORT, 64, false}, {SCSI_PORT + 16, 4, false}, {0xcf8, 8, false}},
	[PAIR_IDE] = {{0x1f0, 8, false}, {0x1f0, 1, false}, {0x3f6, 1, false}, {0xd000, 16, false}},
};

#define PAIR_LUNS 3

static void configure_scsi(struct pair_board *one, unsigned int at, uint32_t value)
{
	board_port_write(&one->board, 0xcf8, 4, 0x80000000u | BOARD_UEFI_SCSI_SLOT << 11 | at);
	board_port_write(&one->board, 0xcfc, 4, value);
}

static void configure_ide(struct pair_board *one, unsigned int at, uint32_t value)
{
	board_port_write(&one->board, 0xcf8, 4, 0x80000000u | 7 << 11 | 1 << 8 | at);
	board_port_write(&one->board, 0xcfc, 4, value);
}

static void add_nic(struct pair_board *one)
{
	static const uint8_t mac[6] = {0x00, 0x15, 0x5d, 0, 0, 1};
	static const uint32_t values[][2] = {
		{0x10, NIC_PORT}, {0x14, (uint32_t)NIC_MEMORY}, {0x04, 7}};
	unsigned int i;

	CHECK(board_add_nic(&one->board) == 0);
	board_set_nic_address(&one->board, 0, mac);
	board_set_nic_link(&one->board, 0, true);
	for (i = 0; i < ARRAY_COUNT(values); i++) {
		board_port_write(&one->board, 0xcf8, 4,
				 0x80000000u | BOARD_NIC_SLOT << 11 | values[i][0]);
		board_port_write(&one->board, 0xcfc, 4, values[i][1]);
	}
}

static void add_hda(struct pair_board *one)
{
	board_add_hda(&one->board);
	board_port_write(&one->board, 0xcf8, 4, 0x80000000u | BOARD_HDA_SLOT << 11 | 0x10);
	board_port_write(&one->board, 0xcfc, 4, (uint32_t)HDA_MEMORY);
	board_port_write(&one->board, 0xcf8, 4, 0x80000000u | BOARD_HDA_SLOT << 11 | 0x04);
	board_port_write(&one->board, 0xcfc, 4, 6);
	board_memory_write(&one->board, HDA_MEMORY + 8, 4, 1);
}

static void add_usb(struct pair_board *one)
{
	board_add_usb(&one->board);
	board_add_tablet(&one->board);
	CHECK(board_add_usb_disk(&one->board, "0123456789AB") == 0);
	board_port_write(&one->board, 0xcf8, 4, 0x80000000u | BOARD_XHCI_SLOT << 11 | 0x10);
	board_port_write(&one->board, 0xcfc, 4, (uint32_t)USB_MEMORY);
	board_port_write(&one->board, 0xcf8, 4, 0x80000000u | BOARD_XHCI_SLOT << 11 | 0x04);
	board_port_write(&one->board, 0xcfc, 4, 6);
}

/* A disk and a CD drive, at their ports. */
static void add_drives(struct pair_board *one)
{
	static const struct ide_identity disk = {
		.kind = IDE_DISK, .sectors = PAIR_MEDIUM / IDE_SECTOR, .physical_bytes = 512};
	static const struct ide_identity cd = {.kind = IDE_CD};

	board_add_drive(&one->board, 0, &disk);
	board_add_drive(&one->board, 1, &cd);
	configure_ide(one, 0x40, 0x80008000);
	configure_ide(one, 0x20, 0xd000);
	configure_ide(one, 0x04, 5);
}

/* It is large, so it is kept for the next life, and emptied as far as one goes. */
static void add_screen(struct pair_board *one)
{
	if (one->screen == NULL) {
		one->screen = aligned_alloc(4096, VGA_MEMORY_BYTES);
		CHECK(one->screen != NULL);
	}
	memset(one->screen, 0, PAIR_SCREEN);
	memset(one->screen + VGA_FRAME_BYTES, 0, VGA_TEXT_BYTES);
	board_add_vga(&one->board, one->screen);
	board_port_write(&one->board, 0xcf8, 4,
			 0x80000000u | (uint32_t)one->board.vga.function.slot << 11 | 0x04);
	board_port_write(&one->board, 0xcfc, 4, 3);
}

void pair_create(struct pair_board *one, enum board_kind kind, uint64_t time)
{
	static const char file[] = "what firmware reads";

	uint8_t *screen = one->screen;

	memset(one, 0, sizeof(*one));
	one->screen = screen;
	fake_host_init(&one->home);
	one->home.time = time;
	one->home.medium = one->medium;
	one->home.medium_bytes = sizeof(one->medium);
	board_create(&one->board, &one->home, kind);
	if (kind != BOARD_DIRECT) {
		CHECK(fw_cfg_add_file(&one->board.fw_cfg, "etc/file", file, sizeof(file)));
		add_screen(one);
	}
	if (kind == BOARD_GENERATION_1) {
		add_drives(one);
		add_nic(one);
		board_add_sb16(&one->board);
		add_hda(one);
		add_usb(one);
	}
	if (kind == BOARD_GENERATION_2) {
		memset(one->flash, 0xff, sizeof(one->flash));
		board_add_scsi(&one->board, PAIR_LUNS - 1);
		configure_scsi(one, 0x10, SCSI_PORT);
		configure_scsi(one, 0x04, 5);
		board_add_tpm(&one->board);
		CHECK(board_add_rom(&one->board, one->rom, sizeof(one->rom)) &&
		      board_add_flash(&one->board, one->flash, sizeof(one->flash)));
	}
	CHECK(card_add(&one->cards[0], &one->board, 4, 0));
	CHECK(card_add(&one->cards[1], &one->board, 5, 1));
}

void pair_destroy(struct pair_board *one)
{
	board_destroy(&one->board);
}

static const uint8_t flash_commands[] = {0x10, 0x20, 0x40, 0x50, 0x70, 0x90, 0x98, 0xd0, 0xff};

static struct pair_event access(enum pair_part part, pair_random random)
{
	const struct place *place = &places[part][0];
	struct pair_event event;
	unsigned int count = 0;

	while (place[count].length != 0) {
		count++;
	}
	place += random() % count;
	event = (struct pair_event){
		.kind = (place->memory ? EVENT_READ : EVENT_IN) + random() % 2,
		.where = place->base + random() % place->length,
		.value = (uint64_t)random() << 32 | random(),
		.size = random() % 4 == 0 ? 1u << random() % 3
			: place->memory   ? 4
					  : 1,
	};
	if (part == PAIR_FLASH && random() % 4 != 0) {
		event.value = flash_commands[random() % ARRAY_COUNT(flash_commands)];
		event.size = 1;
	} else if (part == PAIR_TPM && random() % 2 == 0) {
		static const uint16_t at[] = {0x08, 0x40, 0x4c};

		event.kind = EVENT_WRITE;
		event.where = TPM_BASE + at[random() % ARRAY_COUNT(at)];
		event.value = random() % 4 == 0 ? 2 : 1;
	} else if (random() % 2 == 0) {
		event.value &= 0xff;
	}
	return event;
}

struct pair_event pair_choose(enum pair_part part, pair_random random)
{
	struct pair_event event = {.where = random(), .value = random()};

	if (part == PAIR_ALL) {
		part = (enum pair_part)(random() % PAIR_ALL);
	}
	if (part == PAIR_XHCI && random() % 2 == 0) { /* it takes many until something is moved */
		event.kind = EVENT_XHCI;
		return event;
	}
	switch (random() % 32) {
	case 0:
	case 1:
	case 2:
		event.kind = EVENT_PASS;
		event.value = 1ull << random() % 31;
		return event;
	case 3:
	case 4:
		event.kind = EVENT_EOI;
		return event;
	case 5:
	case 6:
		event.kind = EVENT_ACKNOWLEDGE;
		return event;
	case 7:
		event.kind = EVENT_TYPE;
		return event;
	case 8:
		event.kind = EVENT_ROOM;
		return event;
	case 9:
		event.kind = EVENT_BUTTON;
		return event;
	case 10:
	case 11:
		event.kind = EVENT_INTX;
		return event;
	case 12:
		event.kind = EVENT_SEND;
		return event;
	case 13:
		event.kind = EVENT_ROUTE;
		return event;
	case 14:
		event.kind = EVENT_UNMASK;
		return event;
	case 19:
	case 20:
	case 21:
		event.kind = part == PAIR_IDE || part == PAIR_SCSI || part == PAIR_TPM ? EVENT_DRIVE
										       : EVENT_PASS;
		event.value = random() % 100000;
		return event;
	case 15:
	case 16:
	case 17:
	case 18:
		event.kind = part == PAIR_PCI || part == PAIR_ACPI_PM ? EVENT_CONFIG
			     : part == PAIR_FW_CFG                    ? EVENT_ITEM
			     : part == PAIR_IDE                       ? EVENT_ATA
			     : part == PAIR_I8042                     ? EVENT_KEY
			     : part == PAIR_SCSI                      ? EVENT_RING
			     : part == PAIR_NIC                       ? EVENT_NIC
			     : part == PAIR_SOUND                     ? EVENT_SOUND
			     : part == PAIR_HDA                       ? EVENT_HDA
								      : EVENT_PASS;
		event.where = random();
		event.value = random() % 100000;
		return event;
	default:
		return access(part, random);
	}
}

static void configure(struct pair_board *one, const struct pair_event *event)
{
	static const uint8_t registers[] = {0x04, 0x04, 0x10, 0x14, 0x18, 0x20, 0x24, 0x30,
					    0x3c, 0x40, 0x50, 0x54, 0x58, 0x5c, 0x60, 0x80};
	static const uint32_t values[] = {0,          7,          0xffffffff, 0xc000,
					  0xe0000000, 0xe0001000, 0xe0010001, 0xfee01000,
					  0x80000000, 0x00010000, 0x0000004f, 0xc0000000,
					  0x00210000, 0x407,      0x401};
	static const uint32_t devices[] = {4 << 11, 5 << 11 | 1 << 8, 7 << 11 | 3 << 8,
					   7 << 11 | 1 << 8};
	uint32_t device = devices[event->where & 3];
	uint8_t at = registers[event->where >> 8 & 15];
	uint32_t value = values[(event->where >> 16 & 0xff) % ARRAY_COUNT(values)];

	board_port_write(&one->board, 0xcf8, 4, 0x80000000u | device | at);
	board_port_write(&one->board, 0xcfc, 4, value);
}

static void unmask(struct pair_board *one, const struct pair_event *event)
{
	static const uint16_t ports[] = {0x20, 0x21, 0x21, 0x21, 0xa0,
					 0xa1, 0xa1, 0xa1, 0x21, 0xa1};
	static const uint8_t values[] = {0x11, 0x20, 0x04, 0x01, 0x11, 0x28, 0x02, 0x01, 0, 0};
	unsigned int pin = event->where % IOAPIC_PINS, i;

	board_memory_write(&one->board, BOARD_IOAPIC_BASE, 4, 0x10 + 2 * pin);
	board_memory_write(&one->board, BOARD_IOAPIC_BASE + 0x10, 4,
			   (0x30 + pin) | (event->value & 1) << 15);
	for (i = 0; i < ARRAY_COUNT(ports) && (event->value & 2); i++) {
		board_port_write(&one->board, ports[i], 1, values[i]);
	}
}

static void select_item(struct pair_board *one, const struct pair_event *event)
{
	/* Control, length, address: all big-endian. */
	uint8_t request[16] = {0,
			       (uint8_t)(event->where % 0x24),
			       0,
			       (uint8_t)(event->value % 32),
			       [7] = (uint8_t)event->where,
			       [14] = (uint8_t)(event->value >> 8)};

	if (event->value & 0x10000) {
		board_port_write(&one->board, 0x510, 2, (uint32_t)(event->where % 0x24));
		return;
	}
	memcpy(&one->home.ram[event->value >> 17 & 0xff0], request, sizeof(request));
	board_port_write(&one->board, 0x514, 4, 0);
	board_port_write(&one->board, 0x518, 4,
			 __builtin_bswap32((uint32_t)(event->value >> 17 & 0xff0)));
}

/* A command with registers that make sense to it, or a packet; a table of regions in memory. */
static void command_drive(struct pair_board *one, const struct pair_event *event)
{
	static const uint8_t opcodes[] = {0x20, 0x24, 0x30, 0x34, 0xc4, 0xc5, 0xc8, 0x25,
					  0xca, 0x35, 0xa0, 0xa0, 0xec, 0xc6, 0xe7, 0xef};
	static const uint8_t packets[] = {0x28, 0xa8, 0x12, 0x03, 0x00, 0xff};
	uint32_t region[2] = {(uint32_t)event->where % 2048, 0x80000000u | 2048};
	uint8_t opcode = opcodes[event->where >> 8 & 15];
	uint8_t cdb[12] = {packets[event->value % 6], [4] = 18, [7] = 0, [8] = 2, [9] = 2};
	unsigned int i;

	memcpy(&one->home.ram[0x20], region, sizeof(region));
	board_port_write(&one->board, 0xd004, 4, 0x20);
	board_port_write(&one->board, 0x1f6, 1, 0x40 | (opcode == 0xa0 ? 0x10 : 0));
	board_port_write(&one->board, 0x1f1, 1, event->value >> 8 & 1);
	for (i = 2; i < 6; i++) {
		board_port_write(&one->board, (uint16_t)(0x1f0 + i), 1, i == 2 ? 2 : i == 4);
	}
	board_port_write(&one->board, 0x1f7, 1, opcode);
	for (i = 0; opcode == 0xa0 && i < 12; i += 2) {
		board_port_write(&one->board, 0x1f0, 2, cdb[i] | (uint32_t)cdb[i + 1] << 8);
	}
	for (i = 0; i < event->value % 512 && opcode != 0xa0; i++) {
		board_port_write(&one->board, 0x1f0, 4, i * 0x01020304);
	}
	board_port_write(&one->board, 0xd000, 1, event->value >> 9 & 1);
}

/* A list that makes some sense, or is its own target; then the adapter is told, hears a frame, or
 * has room again, or none. */
static void drive_nic(struct pair_board *one, const struct pair_event *event)
{
	static const uint32_t bits[] = {0x60000000, 0xe0000000, 0x20000000, 0x0a000000,
					0x1a400000, 0x62000000, 0xe1000000, 0x02000000};
	bool receives = event->where & 1;
	uint32_t base = receives ? 0x1000 : 0x1800, at = base + (event->where >> 4 & 7) * 16;
	uint32_t words[4] = {event->where >> 1 & 1 ? 0x80000000u : 0,
			     bits[event->where >> 8 & 7] |
				     ((event->where >> 12 & 3) == 0 ? 192 : event->value % 2048),
			     event->value % 0x4100,
			     (event->where >> 14 & 3) == 0 ? at : base + (event->value & 0xf0)};
	uint8_t frame[TULIP_FRAME_MAX] = {0};
	unsigned int i;

	memcpy(&one->home.ram[at], words, sizeof(words));
	switch (event->where >> 16 & 7) {
	case 0:
		board_port_write(&one->board, NIC_PORT + 0x18, 4, 0x1000);
		board_port_write(&one->board, NIC_PORT + 0x20, 4, 0x1800);
		board_port_write(&one->board, NIC_PORT + 0x30, 4, 0x2002 | (event->value & 0xc0));
		break;
	case 1:
		one->home.nics[0].full = event->value & 1;
		board_nic_room(&one->board, 0);
		break;
	case 2:
		one->board.nics_stand = event->value & 1;
		break;
	case 3:
	case 4:
		for (i = 0; i < 14; i++) {
			frame[i] = (uint8_t)(event->value >> (i % 6 * 3));
		}
		(void)board_nic_receive(&one->board, 0, frame,
					14 + (uint32_t)(event->value % (TULIP_FRAME_MAX - 13)),
					event->where >> 20 & 1);
		break;
	default:
		board_port_write(&one->board, NIC_PORT + 8 + 8 * receives, 4, 1);
		break;
	}
}

/* A channel, which may begin anew at its end; then a stream of each kind. */
static void drive_sound(struct pair_board *one, const struct pair_event *event)
{
	static const uint8_t commands[] = {0x14, 0x1c, 0x24, 0x2c, 0x48, 0x90, 0x74, 0x80,
					   0xb0, 0xb6, 0xb8, 0xc0, 0xc6, 0xce, 0x40, 0x41};
	bool wide = event->where & 1;
	uint16_t chip = wide ? 0xc0 : 0, step = wide ? 2 : 1;
	uint8_t command = commands[event->where >> 4 & 15];
	unsigned int i;

	if (event->where & 2) {
		uint8_t mode = (uint8_t)(0x41 | (event->where >> 8 & 0x3c));

		board_port_write(&one->board, 0x81 + (wide ? 10 : 2), 1, event->value & 1);
		board_port_write(&one->board, (uint16_t)(chip + 12 * step), 1, 0);
		board_port_write(&one->board, (uint16_t)(chip + 11 * step), 1, mode);
		for (i = 0; i < 4; i++) {
			board_port_write(&one->board, (uint16_t)(chip + (2 + i / 2) * step), 1,
					 i == 1 ? event->where >> 16 & 15 : event->value >> i);
		}
		board_port_write(&one->board, (uint16_t)(chip + 10 * step), 1, 1);
		return;
	}
	board_port_write(&one->board, BOARD_SB16_PORT + 6, 1, 0);
	board_port_write(&one->board, BOARD_SB16_PORT + 12, 1, command);
	for (i = 0; i < one->board.sb16.wanted; i++) {
		board_port_write(&one->board, BOARD_SB16_PORT + 12, 1,
				 (uint32_t)(event->value >> 4 * i));
	}
}

/* A list of four entries that make some sense, and a stream of it; or a verb, by the ring. */
static void drive_hda(struct pair_board *one, const struct pair_event *event)
{
	uint64_t stream = HDA_MEMORY + 0x80 + (event->where & 1) * 0x20;
	uint32_t list[4][4], verb = (uint32_t)(event->value * 0x9e3779b9u) & 0x007fffff;
	uint8_t at = one->board.hda.registers[0x48] + 1;
	unsigned int i;

	if (event->where & 2) {
		board_memory_write(&one->board, HDA_MEMORY + 0x40, 4, 0x1000);
		board_memory_write(&one->board, HDA_MEMORY + 0x50, 4, 0x1800);
		board_memory_write(&one->board, HDA_MEMORY + 0x5c, 1, 3);
		board_memory_write(&one->board, HDA_MEMORY + 0x4c, 1, 2);
		verb = event->where & 4 ? 0x00270600 | (event->value & 0xf0) : verb;
		memcpy(&one->home.ram[0x1000 + 4 * at], &verb, sizeof(verb));
		board_memory_write(&one->board, HDA_MEMORY + 0x48, 2, at);
		return;
	}
	for (i = 0; i < 4; i++) {
		list[i][0] = (uint32_t)(event->value >> i & 0x3ff0);
		list[i][1] = event->where >> 4 & 15 ? 0 : 1;
		list[i][2] = (uint32_t)(event->where >> (8 + i) & 0x7fff);
		list[i][3] = event->where >> (20 + i) & 1;
		list[i][1] = event->where >> 4 & 15 ? 0 : list[i][1];
	}
	memcpy(&one->home.ram[0x3000], list, sizeof(list));
	board_memory_write(&one->board, HDA_MEMORY + 0x20, 4, 0xc0000003);
	board_memory_write(&one->board, HDA_MEMORY + 0x70, 4, 0x3100 | (event->value & 1));
	board_memory_write(&one->board, stream, 1, 0);
	board_memory_write(&one->board, stream + 0x18, 4, 0x3000);
	board_memory_write(&one->board, stream + 0x08, 4, 0x10000);
	board_memory_write(&one->board, stream + 0x0c, 2, 3);
	board_memory_write(&one->board, stream + 0x12, 2,
			   event->value & 2 ? 0x11 : (event->value >> 3 & 0x7f7f));
	board_memory_write(&one->board, stream + 2, 1, event->value >> 5 & 0xf0);
	board_memory_write(&one->board, stream, 1, 0x1e);
}

/* Where a driver has its rings and contexts. */
#define XHCI_CONTEXTS 0x400
#define USB_TABLE     0x480
#define XHCI_SHOWN    0x800
#define XHCI_INPUT    0xc00
#define XHCI_COMMANDS 0x1000
#define XHCI_EVENTS   0x1800
#define XHCI_RINGS    0x2000

static void put_xhci(struct pair_board *one, uint32_t at, uint64_t value)
{
	board_memory_write(&one->board, USB_MEMORY + at, 4, (uint32_t)value);
	if (value >> 32 != 0 || at == 0x58 || at == 0x1030) {
		board_memory_write(&one->board, USB_MEMORY + at + 4, 4, value >> 32);
	}
}

static void begin_xhci(struct pair_board *one, const struct pair_event *event)
{
	const uint64_t shown = XHCI_SHOWN;
	const uint32_t segment[4] = {XHCI_EVENTS, 0, 16 + (event->value & 31), 0};

	memcpy(&one->home.ram[XHCI_CONTEXTS + 8], &shown, sizeof(shown));
	memcpy(&one->home.ram[USB_TABLE], segment, sizeof(segment));
	put_xhci(one, 0x40, 2);
	put_xhci(one, 0x78, 8);
	put_xhci(one, 0x70, XHCI_CONTEXTS);
	put_xhci(one, 0x58, XHCI_COMMANDS | 1);
	put_xhci(one, 0x1028, 1);
	put_xhci(one, 0x1038, XHCI_EVENTS);
	put_xhci(one, 0x1030, USB_TABLE);
	put_xhci(one, 0x1020, 2);
	put_xhci(one, 0x40, 5);
	put_xhci(one, 0x440, 0x210);
}

/* At the place where the controller looks next, if that is memory. */
static void put_trb(struct pair_board *one, struct xhci_ring *ring, struct xhci_trb trb)
{
	if (ring->at > sizeof(one->home.ram) - 2 * sizeof(trb)) {
		return;
	}
	trb.control |= ring->cycle;
	memcpy(&one->home.ram[ring->at], &trb, sizeof(trb));
	/* A ring, not a heap: what is behind is none yet, or the way back. */
	trb = (struct xhci_trb){.parameter = ring->at & ~0x7ffull,
				.control =
					XHCI_LINK << 10 |
					((ring->at & 0x7ff) > 0x700 ? ring->cycle : !ring->cycle)};
	memcpy(&one->home.ram[ring->at + sizeof(trb)], &trb, sizeof(trb));
}

static void command_xhci(struct pair_board *one, const struct pair_event *event)
{
	static const uint8_t types[] = {9,  9,  11, 11, 11, 12, 12, 12,
					13, 14, 15, 16, 17, 10, 23, 18};
	uint8_t type = types[event->where >> 8 & 15];
	unsigned int index = event->where >> 12 & 15 ? 3 + (event->where >> 20 & 1) : 1;
	const uint32_t contexts[6][8] = {
		{0, type == 12 ? 1 | 3 << 3 : 3},
		{1u << 27, (1 + (event->where >> 21 & 1)) << 16},
		{0, 4 << 3, XHCI_RINGS | 1},
		{0, 0},
		{0, 7 << 3, (XHCI_RINGS + 0x800) | 1},
		{0, 2 << 3, (XHCI_RINGS + 0x1000) | 1},
	};

	memcpy(&one->home.ram[XHCI_INPUT], contexts, sizeof(contexts));
	if ((event->where >> 16 & 15) == 0) {
		one->home.ram[XHCI_INPUT + event->value % sizeof(contexts)] = (uint8_t)event->where;
	}
	put_trb(one, &one->board.xhci.ring,
		(struct xhci_trb){.parameter = type == 16 ? (XHCI_RINGS + 0x400 * index) | 1
							  : XHCI_INPUT,
				  .control = type << 10 | index << 16 | 1u << 24});
	put_xhci(one, 0x2000, 0);
}

/* What it waits for, most often. */
static void transfer_disk(struct pair_board *one, const struct pair_event *event)
{
	static const uint8_t opcodes[] = {0x00, 0x28, 0x2a, 0x03, 0x12, 0x28};
	static const uint32_t lengths[] = {0, 512, 18, 1024, USB_STORAGE_BYTES + 1, 5000};
	struct xhci_endpoint *endpoints = one->board.xhci.slots[1].endpoints;
	enum usb_storage_stage stage = one->board.usb_disks[0].stage;
	bool out = stage == USB_STORAGE_COMMAND || stage == USB_STORAGE_DATA_OUT;
	uint32_t length = lengths[(event->where >> 12 & 7) % ARRAY_COUNT(lengths)];
	uint8_t opcode = opcodes[(event->where >> 8 & 7) % ARRAY_COUNT(opcodes)];
	const uint32_t words[4] = {0x43425355, (uint32_t)event->value, length,
				   (opcode != 0x2a ? 0x80 : 0) | 10 << 16 | (uint32_t)opcode << 24};

	out ^= (event->where >> 16 & 15) == 0;
	if (stage == USB_STORAGE_COMMAND) {
		memset(&one->home.ram[0x3f00], 0, 32);
		memcpy(&one->home.ram[0x3f00], words, sizeof(words));
		length = (event->where >> 20 & 15) == 0 ? 30 : 31;
	} else if (stage == USB_STORAGE_STATUS) {
		length = 13;
	}
	put_trb(one, &endpoints[out ? 4 : 3].ring,
		(struct xhci_trb){.parameter = stage == USB_STORAGE_COMMAND ? 0x3f00 : 0x3800,
				  .status = length,
				  .control = XHCI_NORMAL << 10 | (event->value >> 12 & 0x34)});
	put_xhci(one, 0x2004, out ? 4 : 3);
}

/* A control transfer, in three steps; or a TRB of the tablet's other endpoint. */
static void transfer_xhci(struct pair_board *one, const struct pair_event *event)
{
	static const uint64_t setups[] = {
		0x0012000001000680, 0x00ff000002000680, 0x00ff000003010680, 0x0000000000010900,
		0x00ff000022000681, 0x00060000010001a1, 0x0000000000000a21, 0x0002000000000080,
		0x0000008100000102, 0x0001000000000880, 0x00080000000009a1, 0x0008000000000021};
	static const uint8_t types[] = {XHCI_NORMAL, XHCI_NORMAL, XHCI_NORMAL,     XHCI_NORMAL,
					XHCI_SETUP,  XHCI_DATA,   XHCI_EVENT_DATA, XHCI_NO_OP};
	uint64_t setup = setups[(event->where >> 8 & 15) % ARRAY_COUNT(setups)];
	bool control = event->where >> 12 & 1;
	struct xhci_ring *ring = &one->board.xhci.slots[1].endpoints[control ? 1 : 3].ring;
	uint32_t length = setup >> 48, in = (setup & 0x80) << 9;

	if (!control && one->board.xhci.slots[1].port == 2) {
		transfer_disk(one, event);
		return;
	}
	if (!control) {
		put_trb(one, ring,
			(struct xhci_trb){.parameter = 0x3000 + event->value % 0x1800,
					  .status = event->where >> 16 & 15,
					  .control = (uint32_t)types[event->where >> 20 & 7] << 10 |
						     (event->value >> 12 & 0x74)});
		put_xhci(one, 0x2004, 3);
		return;
	}
	put_trb(one, ring, (struct xhci_trb){setup, 8, XHCI_SETUP << 10 | 0x40});
	put_xhci(one, 0x2004, 1);
	if (length != 0) {
		put_trb(one, ring, (struct xhci_trb){0x3000, length, XHCI_DATA << 10 | 0x24 | in});
		put_xhci(one, 0x2004, 1);
	}
	put_trb(one, ring, (struct xhci_trb){0, 0, XHCI_STATUS << 10 | 0x20 | (in ^ 0x10000)});
	put_xhci(one, 0x2004, 1);
}

static void drive_xhci(struct pair_board *one, const struct pair_event *event)
{
	const struct xhci *xhci = &one->board.xhci;

	if (xhci->status & 1) {
		begin_xhci(one, event);
		return;
	}
	switch (event->where & 15) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		command_xhci(one, event);
		break;
	case 8:
	case 9:
	case 10:
	case 11:
	case 12:
		transfer_xhci(one, event);
		break;
	case 13:
	case 14:
		(void)fake_host_usb(&one->home, &one->board, 0);
		break;
	case 5: /* the events are seen */
		put_xhci(one, 0x1038, (xhci->event_ring + 16ull * xhci->enqueue) | 8);
		break;
	case 6:
		put_xhci(one, 0x440 + (event->where >> 8 & 0x70), event->value);
		break;
	default:
		board_place(&one->board, (uint16_t)event->value, (uint16_t)event->where,
			    (int)(event->where >> 16 & 3) - 1, event->value & 3);
		break;
	}
}

struct pair_descriptor {
	uint64_t gpa;
	uint32_t length;
	uint16_t flags, next;
};

/* A driver that begins, and a request, which may have a descriptor that makes no sense. */
static void request_scsi(struct pair_board *one, const struct pair_event *event)
{
	static const uint8_t opcodes[] = {0x00, 0x28, 0x2a, 0x12};
	uint8_t opcode = opcodes[event->where & 3];
	bool out = opcode == 0x2a;
	uint8_t request[51] = {1, 0, 0x40, (uint8_t)(event->where >> 2 & 3), [19] = opcode};
	struct pair_descriptor chain[3] = {
		{0x100, 51, 1, 1}, {0x200, 108, 3, 2}, {0x300, event->value % 512, 2, 0}};
	struct virtio_scsi *scsi = &one->board.scsi;
	uint16_t count = (uint16_t)(scsi->taken + 1), head = 0;

	if (out) {
		chain[1] = (struct pair_descriptor){0x300, event->value % 512, 1, 2};
		chain[2] = (struct pair_descriptor){0x200, 108, 2, 0};
	}
	if ((event->where >> 8 & 15) == 0) {
		((uint8_t *)chain)[event->value % sizeof(chain)] = (uint8_t)event->where;
	}
	if (!(scsi->status & 4) || (scsi->status & 0x80) || (event->where >> 12 & 31) == 0) {
		board_port_write(&one->board, SCSI_PORT + 18, 1, 0);
		board_port_write(&one->board, SCSI_PORT + 14, 2, 2);
		board_port_write(&one->board, SCSI_PORT + 8, 4, SCSI_RING / 4096);
		board_port_write(&one->board, SCSI_PORT + 18, 1, 7);
		count = 1;
	}
	memcpy(&one->home.ram[0x100], request, sizeof(request));
	memcpy(&one->home.ram[SCSI_RING], chain, sizeof(chain));
	memcpy(&one->home.ram[SCSI_RING + 256 + 4 + 2 * ((count - 1) % 16)], &head, 2);
	memcpy(&one->home.ram[SCSI_RING + 256 + 2], &count, 2);
	board_port_write(&one->board, SCSI_PORT + 16, 2, 2);
	if ((event->where >> 17 & 63) == 0) {
		board_leave_firmware(&one->board);
	}
}

/* Sometimes it fails. */
static void do_drives(struct pair_board *one, const struct pair_event *event)
{
	struct host_drive_result failure = {.status = event->value & 1 ? 8 : 2,
					    .sense = {0x70, [2] = event->value >> 1 & 15}};
	unsigned int i;

	if ((event->where & 15) == 0) {
		one->home.scsi.failure = failure;
	}
	(void)fake_host_scsi(&one->home, &one->board);
	(void)fake_host_usb(&one->home, &one->board, 0);
	one->home.tpm.gone = (event->where & 31) == 0;
	(void)fake_host_tpm(&one->home, &one->board);
	for (i = 0; i < IDE_DRIVES; i++) {
		if ((event->where & 15) == 0) {
			one->home.drives[i].failure = failure;
		}
		(void)fake_host_drive(&one->home, &one->board, i);
	}
}

uint64_t pair_do(struct pair_board *one, const struct pair_event *event)
{
	struct card *card = &one->cards[event->where & 1];
	uint8_t vector = 0;

	switch (event->kind) {
	case EVENT_IN:
		return board_port_read(&one->board, (uint16_t)event->where, event->size);
	case EVENT_OUT:
		board_port_write(&one->board, (uint16_t)event->where, event->size,
				 (uint32_t)event->value);
		return 0;
	case EVENT_READ:
		return board_memory_read(&one->board, event->where, event->size);
	case EVENT_WRITE:
		board_memory_write(&one->board, event->where, event->size, event->value);
		return 0;
	case EVENT_PASS:
		fake_host_pass(&one->home, &one->board, event->value);
		return 0;
	case EVENT_EOI:
		board_apic_eoi(&one->board, (uint8_t)event->value);
		return 0;
	case EVENT_ACKNOWLEDGE:
		return board_pic_acknowledge(&one->board, &vector) ? vector : 256;
	case EVENT_TYPE:
		fake_host_type(&one->home, "typed");
		board_serial_ready(&one->board);
		return 0;
	case EVENT_ROOM:
		one->home.out_room = one->home.out_count + event->value % 8;
		board_serial_drained(&one->board);
		return 0;
	case EVENT_BUTTON:
		board_power_button(&one->board);
		return 0;
	case EVENT_INTX:
		pci_set_intx(&card->function, event->value & 1);
		return 0;
	case EVENT_SEND:
		pci_send(&card->function, event->value % 70);
		return 0;
	case EVENT_ATA:
		command_drive(one, event);
		return 0;
	case EVENT_NIC:
		if (one->board.nic_count != 0) {
			drive_nic(one, event);
		}
		return 0;
	case EVENT_SOUND:
		if (one->board.sb16.host != NULL) {
			drive_sound(one, event);
		}
		return 0;
	case EVENT_HDA:
		if (one->board.hda.function.pci != NULL) {
			drive_hda(one, event);
		}
		return 0;
	case EVENT_XHCI:
		if (one->board.xhci.function.pci != NULL) {
			drive_xhci(one, event);
		}
		return 0;
	case EVENT_RING:
		request_scsi(one, event);
		return 0;
	case EVENT_DRIVE:
		do_drives(one, event);
		return 0;
	case EVENT_KEY:
		if (event->value & 1) {
			board_key(&one->board, (uint8_t)event->where, event->value & 2);
		} else {
			board_pointer(&one->board, (int)(event->where & 0xfff) - 2048,
				      (int)(event->where >> 12 & 0xfff) - 2048,
				      (int)(event->value >> 8 & 31) - 16,
				      (uint8_t)event->where >> 3);
		}
		return 0;
	case EVENT_ITEM:
		select_item(one, event);
		return 0;
	case EVENT_ROUTE:
		if (one->board.kind != BOARD_DIRECT) {
			board_port_write(&one->board, 0xcf8, 4,
					 0x80000000u | (uint32_t)one->board.piix4.isa.slot << 11 |
						 0x60);
			board_port_write(&one->board, 0xcfc + event->where % 4, 1,
					 event->value & 0x8f);
			return 0;
		}
		pci_route(&one->board.pci, event->where % 4,
			  event->value % 20 < 16 ? event->value % 20 : PCI_NO_LINE);
		return 0;
	case EVENT_UNMASK:
		unmask(one, event);
		return 0;
	default:
		configure(one, event);
		return 0;
	}
}

size_t pair_save(struct pair_board *one, uint8_t state[PAIR_STATE_MAX])
{
	struct state_writer writer = state_writer(state, PAIR_STATE_MAX);

	board_save(&one->board, &writer);
	CHECK(state_fits(&writer));
	return writer.used;
}

bool pair_load(struct pair_board *to, const struct pair_board *from, const uint8_t *state,
	       size_t size, struct state_fault *fault)
{
	struct state_reader all = state_reader(state, size, fault), again = all;
	struct host was = to->home;
	unsigned int i;

	board_check(&to->board, &all);
	state_finish(&all);
	if (!state_ok(&all)) {
		return false;
	}
	to->home = from->home;
	to->home.time = was.time;
	to->home.wake_at = HOST_NEVER;
	to->home.extint = !from->home.extint;
	to->home.medium = to->medium;
	memcpy(to->medium, from->medium, sizeof(to->medium));
	if (to->board.vga.memory != NULL && from->board.vga.memory != NULL) {
		memcpy(to->screen, from->screen, PAIR_SCREEN);
		memcpy(to->screen + VGA_FRAME_BYTES, from->screen + VGA_FRAME_BYTES,
		       VGA_TEXT_BYTES);
	}
	for (i = 0; i < IDE_DRIVES; i++) {
		to->home.drives[i].pending = false; /* the board says it again */
	}
	to->home.scsi.pending = false;
	to->home.usb[0].pending = false;
	to->home.tpm.pending = false;
	memcpy(to->home.mappings, was.mappings, sizeof(was.mappings));
	for (i = 0; i < 2; i++) {
		memcpy(to->cards[i].registers, from->cards[i].registers,
		       sizeof(to->cards[i].registers));
	}
	to->board.nics_stand = from->board.nics_stand;
	board_load(&to->board, &again);
	to->home.extint_count = from->home.extint_count;
	return state_ok(&again);
}

static uint64_t until_wake(const struct pair_board *one)
{
	if (one->home.wake_at == HOST_NEVER) {
		return HOST_NEVER;
	}
	return one->home.wake_at > one->home.time ? one->home.wake_at - one->home.time : 0;
}

static unsigned int mapped(const struct host *home)
{
	unsigned int i, count = 0;

	for (i = 0; i < FAKE_MAPPINGS; i++) {
		count += home->mappings[i].length != 0;
	}
	return count;
}

bool pair_same(const struct pair_board *one, const struct pair_board *other)
{
	const struct host *a = &one->home, *b = &other->home;

	return a->interrupt_count == b->interrupt_count &&
	       memcmp(a->interrupts, b->interrupts, sizeof(a->interrupts)) == 0 &&
	       a->extint == b->extint && a->extint_count == b->extint_count &&
	       a->power_told == b->power_told && a->out_count == b->out_count &&
	       memcmp(a->out, b->out, sizeof(a->out)) == 0 && a->in_taken == b->in_taken &&
	       memcmp(a->ram, b->ram, sizeof(a->ram)) == 0 &&
	       memcmp(a->medium, b->medium, a->medium_bytes) == 0 &&
	       a->debug_count == b->debug_count &&
	       memcmp(&a->nics, &b->nics, sizeof(a->nics)) == 0 &&
	       memcmp(a->usb[0].medium, b->usb[0].medium, sizeof(a->usb[0].medium)) == 0 &&
	       memcmp(&a->sound, &b->sound, sizeof(a->sound)) == 0 &&
	       until_wake(one) == until_wake(other) && mapped(a) == mapped(b) &&
	       memcmp(one->flash, other->flash, sizeof(one->flash)) == 0 &&
	       (one->board.vga.memory == NULL ||
		(memcmp(one->screen, other->screen, PAIR_SCREEN) == 0 &&
		 memcmp(one->screen + VGA_FRAME_BYTES, other->screen + VGA_FRAME_BYTES,
			VGA_TEXT_BYTES) == 0));
}
