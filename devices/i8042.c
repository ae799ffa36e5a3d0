/*
 * The keyboard controller of the PC/AT, an i8042 with its PS/2 port (IBM Personal System/2 Hardware
 * Interface Technical Reference), and the keyboard and the mouse behind it. Ports 0x60 and 0x64,
 * lines 1 and 12.
 *
 * One byte at a time is in the output buffer; what comes after it waits with who said it: the
 * controller, the keyboard, the mouse, in this order. What somebody types and moves waits further
 * behind (struct i8042_keys and i8042_moves), and is said when the last was taken: so a guest takes
 * it at its own pace, in the scan codes that it has chosen by then.
 */
#include "devices/parts.h"

#include <string.h>

#include "lib/check.h"

#define STATUS_FULL     0x01
#define STATUS_SYSTEM   0x04
#define STATUS_COMMAND  0x08 /* the last write was to 0x64 */
#define STATUS_UNLOCKED 0x10
#define STATUS_AUX      0x20

/* The controller's command byte. */
#define MODE_KEYBOARD_IRQ 0x01
#define MODE_AUX_IRQ      0x02
#define MODE_SYSTEM       0x04
#define MODE_KEYBOARD_OFF 0x10
#define MODE_AUX_OFF      0x20
#define MODE_TRANSLATE    0x40
#define MODE_ALL          0x77

#define PORT_NO_RESET 0x01
#define PORT_A20      0x02

/* Commands of the controller. */
#define GET_MODE       0x20
#define SET_MODE       0x60
#define DISABLE_AUX    0xa7
#define ENABLE_AUX     0xa8
#define TEST_AUX       0xa9
#define TEST           0xaa
#define TEST_KEYBOARD  0xab
#define DISABLE        0xad
#define ENABLE         0xae
#define GET_INPUT_PORT 0xc0
#define GET_PORT       0xd0
#define SET_PORT       0xd1
#define LOOP           0xd2
#define LOOP_AUX       0xd3
#define TO_AUX         0xd4
#define A20_OFF        0xdd
#define A20_ON         0xdf
#define PULSE          0xf0 /* and above: bits that are 0 are pulsed */

/* Answers of keyboard and mouse. */
#define ACK     0xfa
#define RESEND  0xfe
#define TEST_OK 0xaa
#define RESET   0xff

#define BUTTONS  0x1f
#define MOVE_MAX 255
#define TURN_MAX 7 /* of the wheel */

#define MOUSE_STATUS_SCALING 0x10
#define MOUSE_STATUS_ENABLED 0x20
#define MOUSE_STATUS_REMOTE  0x40

/* ---- What waits ---- */

static void say(struct i8042_queue *queue, uint8_t byte)
{
	if (queue->count < I8042_QUEUE) {
		queue->bytes[queue->count++] = byte;
	}
	queue->last = byte;
}

static uint8_t take(struct i8042_queue *queue)
{
	uint8_t byte = queue->bytes[0];

	memmove(queue->bytes, queue->bytes + 1, --queue->count);
	return byte;
}

/* Set 2 is what a controller translates, into set 1. */
static void say_keys(struct i8042 *i8042)
{
	struct i8042_keys *keys = &i8042->keys;
	unsigned int set = i8042->scan_set, count, i;
	uint8_t bytes[SCANCODE_MAX];

	if (set == 2 && (i8042->mode & MODE_TRANSLATE)) {
		set = 1;
	}
	while (keys->count != 0 && i8042->keyboard.count == 0) {
		count = scancode_of(set, keys->events[0].key, keys->events[0].down, bytes);
		for (i = 0; i < count; i++) {
			say(&i8042->keyboard, bytes[i]);
		}
		memmove(keys->events, keys->events + 1, --keys->count * sizeof(keys->events[0]));
	}
}

static void mouse_packet(struct i8042 *i8042);

static void say_moves(struct i8042 *i8042)
{
	const struct i8042_moves *moves = &i8042->moves;

	if (i8042->mouse.count == 0 && !i8042->mouse_wrap && i8042->mouse_wait == 0 &&
	    (i8042->mouse_status & (MOUSE_STATUS_ENABLED | MOUSE_STATUS_REMOTE)) ==
		    MOUSE_STATUS_ENABLED &&
	    (moves->x != 0 || moves->y != 0 || moves->wheel != 0 || moves->count != 0)) {
		mouse_packet(i8042);
	}
}

static void update(struct i8042 *i8042)
{
	bool aux = i8042->status & STATUS_AUX;

	if (!(i8042->status & STATUS_FULL)) {
		i8042->status &= (uint8_t)~STATUS_AUX;
		if (i8042->keyboard_on && i8042->keyboard_wait == 0 &&
		    !(i8042->mode & MODE_KEYBOARD_OFF)) {
			say_keys(i8042);
		}
		if (!(i8042->mode & MODE_AUX_OFF)) {
			say_moves(i8042);
		}
		if (i8042->controller.count != 0) {
			i8042->status |= STATUS_FULL;
			i8042->data = take(&i8042->controller);
		} else if (i8042->loop.count != 0) {
			i8042->status |= STATUS_FULL | STATUS_AUX;
			i8042->data = take(&i8042->loop);
		} else if (i8042->keyboard.count != 0 && !(i8042->mode & MODE_KEYBOARD_OFF)) {
			i8042->status |= STATUS_FULL;
			i8042->data = take(&i8042->keyboard);
		} else if (i8042->mouse.count != 0 && !(i8042->mode & MODE_AUX_OFF)) {
			i8042->status |= STATUS_FULL | STATUS_AUX;
			i8042->data = take(&i8042->mouse);
		}
		aux = i8042->status & STATUS_AUX;
	}
	irq_set(&i8042->keyboard_irq,
		(i8042->status & STATUS_FULL) && !aux && (i8042->mode & MODE_KEYBOARD_IRQ));
	irq_set(&i8042->aux_irq,
		(i8042->status & STATUS_FULL) && aux && (i8042->mode & MODE_AUX_IRQ));
}

/* ---- The keyboard ---- */

static void keyboard_defaults(struct i8042 *i8042)
{
	i8042->scan_set = 2;
	i8042->keyboard_wait = 0;
	memset(&i8042->keys, 0, sizeof(i8042->keys));
}

static void keyboard_parameter(struct i8042 *i8042, uint8_t command, uint8_t value)
{
	struct i8042_queue *to = &i8042->keyboard;

	if (command == 0xf0 && value > 3) {
		say(to, RESEND);
		return;
	}
	say(to, ACK);
	if (command == 0xf0 && value == 0) {
		say(to, i8042->scan_set);
	} else if (command == 0xf0) {
		i8042->scan_set = value;
	}
}

static void keyboard_write(struct i8042 *i8042, uint8_t value)
{
	struct i8042_queue *to = &i8042->keyboard;
	uint8_t command = i8042->keyboard_wait;

	i8042->keyboard_wait = 0;
	if (command != 0 && value < 0x80) {
		keyboard_parameter(i8042, command, value);
		return;
	}
	switch (value) {
	case 0xed: /* lamps */
	case 0xf0: /* set of scan codes */
	case 0xf3: /* rate of repetition */
		i8042->keyboard_wait = value;
		say(to, ACK);
		break;
	case 0xee: /* echo */
		say(to, value);
		break;
	case 0xf2: /* what it is; the controller translates that too */
		say(to, ACK);
		say(to, 0xab);
		say(to, i8042->mode & MODE_TRANSLATE ? 0x41 : 0x83);
		break;
	case 0xf5: /* off, and defaults */
	case 0xf6: /* defaults */
		keyboard_defaults(i8042);
		i8042->keyboard_on &= value != 0xf5;
		say(to, ACK);
		break;
	case 0xf4:
		i8042->keyboard_on = true;
		say(to, ACK);
		break;
	case 0xf7 ... 0xfa: /* how keys of set 3 behave */
		say(to, ACK);
		break;
	case RESEND:
		say(to, to->last);
		break;
	case RESET:
		to->count = 0;
		keyboard_defaults(i8042);
		i8042->keyboard_on = true;
		say(to, ACK);
		say(to, TEST_OK);
		break;
	default:
		say(to, RESEND);
		break;
	}
}

/* ---- The mouse ---- */

static void forget_moves(struct i8042 *i8042)
{
	struct i8042_moves *moves = &i8042->moves;

	if (moves->count != 0) {
		moves->said = moves->buttons[moves->count - 1];
	}
	moves->count = 0;
	moves->x = moves->y = moves->wheel = 0;
}

static void mouse_defaults(struct i8042 *i8042)
{
	i8042->mouse_status = 0;
	i8042->mouse_resolution = 2;
	i8042->mouse_rate = 100;
	i8042->mouse_wait = 0;
}

/* Rates in a certain order are the way to learn of a wheel, and of five buttons. */
static void set_rate(struct i8042 *i8042, uint8_t rate)
{
	uint8_t *rates = i8042->mouse_rates;

	rates[0] = rates[1];
	rates[1] = rates[2];
	rates[2] = rate;
	i8042->mouse_rate = rate;
	if (rates[0] == 200 && rates[1] == 100 && rates[2] == 80) {
		i8042->mouse_id = 3;
	} else if (rates[0] == 200 && rates[1] == 200 && rates[2] == 80 && i8042->mouse_id == 3) {
		i8042->mouse_id = 4;
	}
}

static void mouse_parameter(struct i8042 *i8042, uint8_t command, uint8_t value)
{
	if (command == 0xe8 && value > 3) {
		say(&i8042->mouse, RESEND);
		return;
	}
	if (command == 0xe8) {
		i8042->mouse_resolution = value;
	} else {
		set_rate(i8042, value);
	}
	say(&i8042->mouse, ACK);
}

/* As much of a way as a packet can say. */
static int part_of(int32_t *way, int most)
{
	int part = *way > most ? most : *way < -most ? -most : *way;

	*way -= part;
	return part;
}

/* The next change of the buttons, and the way until now. */
static void mouse_packet(struct i8042 *i8042)
{
	struct i8042_moves *moves = &i8042->moves;
	int x = part_of(&moves->x, MOVE_MAX), y = -part_of(&moves->y, MOVE_MAX);
	int wheel = part_of(&moves->wheel, TURN_MAX);

	if (moves->count != 0) {
		moves->said = moves->buttons[0];
		memmove(moves->buttons, moves->buttons + 1, --moves->count);
	}
	say(&i8042->mouse,
	    (uint8_t)(0x08 | (moves->said & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0)));
	say(&i8042->mouse, (uint8_t)x);
	say(&i8042->mouse, (uint8_t)y);
	if (i8042->mouse_id == 4) {
		say(&i8042->mouse, (uint8_t)((wheel & 0x0f) | (moves->said >> 3 & 3) << 4));
	} else if (i8042->mouse_id != 0) {
		say(&i8042->mouse, (uint8_t)wheel);
	} else {
		moves->wheel = 0; /* it has none */
	}
}

static void mouse_command(struct i8042 *i8042, uint8_t value)
{
	struct i8042_queue *to = &i8042->mouse;

	switch (value) {
	case 0xe6:
		i8042->mouse_status &= (uint8_t)~MOUSE_STATUS_SCALING;
		break;
	case 0xe7:
		i8042->mouse_status |= MOUSE_STATUS_SCALING;
		break;
	case 0xe8: /* resolution */
	case 0xf3: /* rate */
		i8042->mouse_wait = value;
		break;
	case 0xea: /* it speaks by itself */
		i8042->mouse_status &= (uint8_t)~MOUSE_STATUS_REMOTE;
		break;
	case 0xf0: /* it waits for 0xeb */
		i8042->mouse_status |= MOUSE_STATUS_REMOTE;
		break;
	case 0xee:
		i8042->mouse_wrap = true;
		break;
	case 0xf4:
		i8042->mouse_status |= MOUSE_STATUS_ENABLED;
		forget_moves(i8042);
		break;
	case 0xf5:
		i8042->mouse_status &= (uint8_t)~MOUSE_STATUS_ENABLED;
		break;
	case 0xf6:
		mouse_defaults(i8042);
		break;
	case 0xe9:
	case 0xeb:
	case 0xec:
	case 0xf2:
		break;
	default:
		say(to, RESEND);
		return;
	}
	say(to, ACK);
	if (value == 0xe9) {
		say(to, i8042->mouse_status);
		say(to, i8042->mouse_resolution);
		say(to, i8042->mouse_rate);
	} else if (value == 0xeb) {
		mouse_packet(i8042);
	} else if (value == 0xf2) {
		say(to, i8042->mouse_id);
	}
}

static void mouse_reset(struct i8042 *i8042)
{
	i8042->mouse.count = 0;
	mouse_defaults(i8042);
	forget_moves(i8042);
	i8042->mouse_id = 0;
	i8042->mouse_wrap = false;
	memset(i8042->mouse_rates, 0, sizeof(i8042->mouse_rates));
}

static void mouse_write(struct i8042 *i8042, uint8_t value)
{
	struct i8042_queue *to = &i8042->mouse;
	uint8_t command = i8042->mouse_wait;

	if (value == RESET) {
		mouse_reset(i8042);
		say(to, ACK);
		say(to, TEST_OK);
		say(to, i8042->mouse_id);
		return;
	}
	if (i8042->mouse_wrap && value != 0xec) {
		say(to, value);
		return;
	}
	i8042->mouse_wrap = false;
	i8042->mouse_wait = 0;
	if (command != 0) {
		mouse_parameter(i8042, command, value);
	} else if (value == RESEND) {
		say(to, to->last);
	} else {
		mouse_command(i8042, value);
	}
}

/* ---- The controller ---- */

static void reset_line(struct i8042 *i8042)
{
	host_power(i8042->host, HOST_POWER_RESET);
}

/* Address line 20 is always on; the bit is kept. */
static void set_port(struct i8042 *i8042, uint8_t value)
{
	i8042->port = value & (PORT_NO_RESET | PORT_A20);
	if (!(value & PORT_NO_RESET)) {
		reset_line(i8042);
	}
}

static void controller_command(struct i8042 *i8042, uint8_t value)
{
	struct i8042_queue *to = &i8042->controller;

	switch (value) {
	case GET_MODE:
		say(to, i8042->mode);
		break;
	case SET_MODE:
	case SET_PORT:
	case LOOP:
	case LOOP_AUX:
	case TO_AUX:
		i8042->wait = value;
		break;
	case DISABLE_AUX:
		i8042->mode |= MODE_AUX_OFF;
		break;
	case ENABLE_AUX:
		i8042->mode &= (uint8_t)~MODE_AUX_OFF;
		break;
	case TEST:
		i8042->mode |= MODE_SYSTEM;
		say(to, 0x55);
		break;
	case TEST_AUX:
	case TEST_KEYBOARD:
		say(to, 0);
		break;
	case DISABLE:
		i8042->mode |= MODE_KEYBOARD_OFF;
		break;
	case ENABLE:
		i8042->mode &= (uint8_t)~MODE_KEYBOARD_OFF;
		break;
	case GET_INPUT_PORT:
		say(to, 0x80); /* not locked */
		break;
	case GET_PORT:
		say(to, i8042->port | (i8042->status & STATUS_FULL) << 4);
		break;
	case A20_OFF:
		i8042->port &= (uint8_t)~PORT_A20;
		break;
	case A20_ON:
		i8042->port |= PORT_A20;
		break;
	case PULSE ... 0xff:
		if (!(value & PORT_NO_RESET)) {
			reset_line(i8042);
		}
		break;
	default:
		break;
	}
}

static void controller_data(struct i8042 *i8042, uint8_t value)
{
	uint8_t command = i8042->wait;

	i8042->wait = 0;
	switch (command) {
	case SET_MODE:
		i8042->mode = value & MODE_ALL;
		break;
	case SET_PORT:
		set_port(i8042, value);
		break;
	case LOOP:
		say(&i8042->controller, value);
		break;
	case LOOP_AUX:
		say(&i8042->loop, value);
		break;
	case TO_AUX:
		mouse_write(i8042, value);
		break;
	default:
		keyboard_write(i8042, value);
		break;
	}
}

static uint64_t data_read(void *device, uint32_t offset, unsigned int size)
{
	struct i8042 *i8042 = device;
	uint8_t byte = i8042->data;

	(void)offset, (void)size;
	i8042->status &= (uint8_t)~STATUS_FULL;
	/* The line falls in between, so that the next byte is an edge. */
	irq_set(&i8042->keyboard_irq, false);
	irq_set(&i8042->aux_irq, false);
	update(i8042);
	return byte;
}

static void data_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct i8042 *i8042 = device;

	(void)offset, (void)size;
	i8042->status &= (uint8_t)~STATUS_COMMAND;
	controller_data(i8042, (uint8_t)value);
	update(i8042);
}

static uint64_t command_read(void *device, uint32_t offset, unsigned int size)
{
	const struct i8042 *i8042 = device;

	(void)offset, (void)size;
	return i8042->status | STATUS_UNLOCKED | (i8042->mode & MODE_SYSTEM ? STATUS_SYSTEM : 0);
}

static void command_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct i8042 *i8042 = device;

	(void)offset, (void)size;
	i8042->status |= STATUS_COMMAND;
	i8042->wait = 0;
	controller_command(i8042, (uint8_t)value);
	update(i8042);
}

void i8042_reset(struct i8042 *i8042)
{
	struct host *host = i8042->host;
	struct irq_source keyboard_irq = i8042->keyboard_irq, aux_irq = i8042->aux_irq;

	irq_set(&keyboard_irq, false);
	irq_set(&aux_irq, false);
	memset(i8042, 0, sizeof(*i8042));
	i8042->host = host;
	i8042->keyboard_irq = keyboard_irq;
	i8042->aux_irq = aux_irq;
	i8042->mode = MODE_KEYBOARD_OFF | MODE_AUX_OFF;
	i8042->port = PORT_NO_RESET | PORT_A20;
	i8042->keyboard_on = true;
	keyboard_defaults(i8042);
	mouse_reset(i8042);
}

/* ---- Who sits there ---- */

static unsigned int held_count(const struct i8042_keys *keys)
{
	unsigned int count = 0, i;

	for (i = 0; i < sizeof(keys->held); i++) {
		count += (unsigned int)__builtin_popcount(keys->held[i]);
	}
	return count;
}

void i8042_key(struct i8042 *i8042, uint8_t key, bool down)
{
	struct i8042_keys *keys = &i8042->keys;
	uint8_t *held = &keys->held[key / 8], bit = (uint8_t)(1u << key % 8);
	unsigned int room = I8042_KEYS - keys->count;
	unsigned int releases = held_count(keys) + !(*held & bit);

	if (!i8042->keyboard_on || (down ? room <= releases : !(*held & bit))) {
		return;
	}
	keys->events[keys->count].key = key;
	keys->events[keys->count++].down = down;
	*held = (uint8_t)(down ? *held | bit : *held & ~bit);
	update(i8042);
}

static int32_t moved(int32_t way, int by)
{
	int64_t sum = (int64_t)way + by;

	return sum > I8042_MOVES ? I8042_MOVES : sum < -I8042_MOVES ? -I8042_MOVES : (int32_t)sum;
}

void i8042_move(struct i8042 *i8042, int x, int y, int wheel, uint8_t buttons)
{
	struct i8042_moves *moves = &i8042->moves;
	uint8_t before = moves->count != 0 ? moves->buttons[moves->count - 1] : moves->said;

	buttons &= BUTTONS;
	if (buttons != before) {
		/* Of too many changes the last one counts. */
		moves->count -= moves->count == I8042_BUTTONS;
		moves->buttons[moves->count++] = buttons;
	}
	moves->x = moved(moves->x, x);
	moves->y = moved(moves->y, y);
	moves->wheel = moved(moves->wheel, wheel);
	if (!(i8042->mouse_status & (MOUSE_STATUS_ENABLED | MOUSE_STATUS_REMOTE))) {
		forget_moves(i8042);
	}
	update(i8042);
}

/* ---- State ---- */

static void save_queue(const struct i8042_queue *queue, struct state_writer *writer)
{
	state_put_u8(writer, queue->last);
	state_put_u8(writer, queue->count);
	state_put_bytes(writer, queue->bytes, queue->count);
}

static void load_queue(struct i8042_queue *queue, struct state_reader *part)
{
	queue->last = state_u8(part);
	queue->count = state_u8(part);
	if (queue->count > I8042_QUEUE) {
		state_refuse(part, "has more bytes than wait");
		queue->count = 0;
	}
	state_bytes(part, queue->bytes, queue->count);
}

static void save_input(const struct i8042 *i8042, struct state_writer *writer)
{
	const struct i8042_keys *keys = &i8042->keys;
	const struct i8042_moves *moves = &i8042->moves;
	unsigned int i;

	state_put_bool(writer, i8042->keyboard_on);
	state_put_bytes(writer, keys->held, sizeof(keys->held));
	state_put_u8(writer, keys->count);
	for (i = 0; i < keys->count; i++) {
		state_put_u8(writer, keys->events[i].key);
		state_put_bool(writer, keys->events[i].down);
	}
	state_put_u32(writer, (uint32_t)moves->x);
	state_put_u32(writer, (uint32_t)moves->y);
	state_put_u32(writer, (uint32_t)moves->wheel);
	state_put_u8(writer, moves->said);
	state_put_u8(writer, moves->count);
	state_put_bytes(writer, moves->buttons, moves->count);
}

static void load_keys(struct i8042_keys *keys, struct state_reader *part)
{
	unsigned int i;

	state_bytes(part, keys->held, sizeof(keys->held));
	keys->count = state_u8(part);
	if (keys->count + held_count(keys) > I8042_KEYS) {
		state_refuse(part, "has more keys than wait");
		keys->count = 0;
	}
	for (i = 0; i < keys->count; i++) {
		keys->events[i].key = state_u8(part);
		keys->events[i].down = state_bool(part);
	}
}

static int32_t load_way(struct state_reader *part)
{
	int32_t way = (int32_t)state_u32(part);

	if (way > I8042_MOVES || way < -I8042_MOVES) {
		state_refuse(part, "has a mouse that has moved too far");
	}
	return way;
}

static void load_moves(struct i8042_moves *moves, struct state_reader *part)
{
	moves->x = load_way(part);
	moves->y = load_way(part);
	moves->wheel = load_way(part);
	moves->said = get_bits(part, BUTTONS);
	moves->count = state_u8(part);
	if (moves->count > I8042_BUTTONS) {
		state_refuse(part, "has more changes of buttons than wait");
		moves->count = 0;
	}
	state_bytes(part, moves->buttons, moves->count);
}

/* Version 1 had a keyboard on which nobody typed. */
static void load_input(struct i8042 *i8042, struct state_reader *part)
{
	memset(&i8042->keys, 0, sizeof(i8042->keys));
	memset(&i8042->moves, 0, sizeof(i8042->moves));
	i8042->keyboard_on = true;
	if (part->version >= 2) {
		i8042->keyboard_on = state_bool(part);
		load_keys(&i8042->keys, part);
		load_moves(&i8042->moves, part);
	}
}

static void i8042_save(const void *device, struct state_writer *writer)
{
	const struct i8042 *i8042 = device;

	state_put_u8(writer, i8042->status);
	state_put_u8(writer, i8042->data);
	state_put_u8(writer, i8042->mode);
	state_put_u8(writer, i8042->port);
	state_put_u8(writer, i8042->wait);
	state_put_u8(writer, i8042->scan_set);
	state_put_u8(writer, i8042->keyboard_wait);
	state_put_u8(writer, i8042->mouse_status);
	state_put_u8(writer, i8042->mouse_resolution);
	state_put_u8(writer, i8042->mouse_rate);
	state_put_bytes(writer, i8042->mouse_rates, sizeof(i8042->mouse_rates));
	state_put_u8(writer, i8042->mouse_id);
	state_put_u8(writer, i8042->mouse_wait);
	state_put_bool(writer, i8042->mouse_wrap);
	save_queue(&i8042->controller, writer);
	save_queue(&i8042->loop, writer);
	save_queue(&i8042->keyboard, writer);
	save_queue(&i8042->mouse, writer);
	save_input(i8042, writer);
}

static void i8042_load(void *device, struct state_reader *part, bool set)
{
	struct i8042 *i8042 = device, loaded = *i8042;
	bool full, aux;

	loaded.status = get_bits(part, STATUS_FULL | STATUS_COMMAND | STATUS_AUX);
	loaded.data = state_u8(part);
	loaded.mode = get_bits(part, MODE_ALL);
	loaded.port = get_bits(part, PORT_NO_RESET | PORT_A20);
	loaded.wait = state_u8(part);
	loaded.scan_set = get_bits(part, 3);
	if (loaded.scan_set == 0) {
		state_refuse(part, "has no set of scan codes");
	}
	loaded.keyboard_wait = state_u8(part);
	loaded.mouse_status =
		get_bits(part, MOUSE_STATUS_SCALING | MOUSE_STATUS_ENABLED | MOUSE_STATUS_REMOTE);
	loaded.mouse_resolution = get_bits(part, 3);
	loaded.mouse_rate = state_u8(part);
	state_bytes(part, loaded.mouse_rates, sizeof(loaded.mouse_rates));
	loaded.mouse_id = get_bits(part, 7);
	loaded.mouse_wait = state_u8(part);
	loaded.mouse_wrap = state_bool(part);
	load_queue(&loaded.controller, part);
	load_queue(&loaded.loop, part);
	load_queue(&loaded.keyboard, part);
	load_queue(&loaded.mouse, part);
	load_input(&loaded, part);
	full = loaded.status & STATUS_FULL;
	aux = loaded.status & STATUS_AUX;
	loaded.keyboard_irq.level = full && !aux && (loaded.mode & MODE_KEYBOARD_IRQ);
	loaded.aux_irq.level = full && aux && (loaded.mode & MODE_AUX_IRQ);
	if (set && state_ok(part)) {
		*i8042 = loaded;
	}
}

const struct device_class i8042_data_class = {
	.name = "i8042-data", .width = 1, .read = data_read, .write = data_write};
const struct device_class i8042_command_class = {.name = "i8042",
						 .width = 1,
						 .read = command_read,
						 .write = command_write,
						 .version = 2,
						 .save = i8042_save,
						 .load = i8042_load};
