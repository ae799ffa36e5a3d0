/*
 * Creative's "Sound Blaster Series Hardware Programming Guide": DSP commands (chapter 6), the mixer
 * CT1745 (chapter 4). See sb16.h.
 */
#include "devices/sb16.h"

#include <string.h>

#include "devices/parts.h"
#include "devices/sound.h"

#define SECOND     1000000000ull
#define LATE_MAX   (SECOND / 2) /* a host that is later has lost the time between */
#define PIECES     100          /* a second */
#define RATE_MIN   4000u
#define RATE_MAX   48000u
#define MOVE_BYTES 4096u

#define PORT_INDEX   0x4
#define PORT_MIXER   0x5
#define PORT_RESET   0x6
#define PORT_OUT     0xa
#define PORT_COMMAND 0xc /* and whether there is room for one */
#define PORT_STATUS  0xe /* and the end of an interrupt of 8 bits */
#define PORT_END_16  0xf

#define READY     0xaa
#define ROOM      0x7f
#define HAS_BYTES 0xff
#define NO_BYTES  0x7f

#define PENDING_8  0x01
#define PENDING_16 0x02

/* ---- the mixer ---- */

#define MIXER_VOICE       0x32 /* left, and right behind it; each in the upper five bits */
#define MIXER_MASTER      0x30
#define MIXER_INTERRUPT   0x80
#define MIXER_DMA         0x81
#define MIXER_PENDING     0x82
#define MIXER_FULL        0xf8
#define LINES_AT_FIRST    0x02 /* 5 */
#define CHANNELS_AT_FIRST 0x22 /* 1 and 5 */
#define CHANNELS_8        0x0b
#define CHANNELS_16       0xe0

/* Registers of older cards: both sides of a volume in one, four bits each. */
static const struct {
	uint8_t old, left;
} old_registers[] = {{0x04, 0x32}, {0x22, 0x30}, {0x26, 0x34}, {0x28, 0x36}, {0x2e, 0x38}};

static void set_line(struct sb16 *card)
{
	irq_set(&card->irq, card->pending != 0);
}

/* The line that register 0x80 has chosen. */
static uint8_t line_of(uint8_t lines)
{
	return lines & 0x02 ? 5 : lines & 0x04 ? 7 : lines & 0x08 ? 10 : 9;
}

static void choose_line(struct sb16 *card, uint8_t lines)
{
	if ((lines & 0x0f) != 0) {
		irq_set(&card->irq, false);
		card->lines = lines & 0x0f;
		card->irq.line = line_of(card->lines);
		set_line(card);
	}
}

/* At full volume: a real card begins at -14 dB twice, and has an amplifier behind it. */
static void reset_mixer(struct sb16 *card)
{
	memset(card->mixer, 0, sizeof(card->mixer));
	memset(card->mixer + MIXER_MASTER, MIXER_FULL, 6); /* and MIDI */
}

static uint8_t mixer_read(const struct sb16 *card)
{
	unsigned int i;

	switch (card->index) {
	case MIXER_INTERRUPT:
		return card->lines | 0xf0;
	case MIXER_DMA:
		return card->channels;
	case MIXER_PENDING:
		return card->pending;
	default:
		break;
	}
	for (i = 0; i < ARRAY_COUNT(old_registers); i++) {
		if (card->index == old_registers[i].old) {
			const uint8_t *sides = card->mixer + old_registers[i].left;

			return (sides[0] & 0xf0) | sides[1] >> 4;
		}
	}
	return card->index < SB16_MIXER ? card->mixer[card->index] : 0xff;
}

static void mixer_write(struct sb16 *card, uint8_t value)
{
	unsigned int i;

	switch (card->index) {
	case 0:
		reset_mixer(card);
		return;
	case MIXER_INTERRUPT:
		choose_line(card, value);
		return;
	case MIXER_DMA:
		card->channels = value & (CHANNELS_8 | CHANNELS_16);
		return;
	default:
		break;
	}
	for (i = 0; i < ARRAY_COUNT(old_registers); i++) {
		if (card->index == old_registers[i].old) {
			uint8_t *sides = card->mixer + old_registers[i].left;

			sides[0] = (value & 0xf0) | 8;
			sides[1] = (uint8_t)(value << 4) | 8;
			return;
		}
	}
	if (card->index < SB16_MIXER) {
		card->mixer[card->index] = value;
	}
}

/* Of one side, of 2^30. */
static int32_t gain_of(const struct sb16 *card, unsigned int side)
{
	return sound_gains[card->mixer[MIXER_MASTER + side] >> 3] *
	       sound_gains[card->mixer[MIXER_VOICE + side] >> 3];
}

/* ---- streams ---- */

static bool goes(const struct sb16_stream *stream)
{
	return stream->kind != SB16_NOTHING && !stream->paused && !stream->starved;
}

static void begin_here(struct sb16_stream *stream, uint64_t now)
{
	stream->start = now;
	stream->taken = 0;
}

/* When it has taken so many. */
static uint64_t time_of(const struct sb16_stream *stream, uint32_t samples)
{
	return stream->start + (samples * SECOND + stream->rate - 1) / stream->rate;
}

/* The channel; of words a byte channel does too, if no other is set. */
static int channel_of(const struct sb16 *card, const struct sb16_stream *stream)
{
	static const uint8_t order[] = {5, 6, 7, 0, 1, 3};
	unsigned int i;

	for (i = stream->wide ? 0 : 3; i < ARRAY_COUNT(order); i++) {
		if (card->channels >> order[i] & 1) {
			return order[i];
		}
	}
	return -1;
}

static int16_t sample_of(const struct sb16_stream *stream, const uint8_t *bytes, uint32_t at)
{
	uint16_t value = stream->wide ? (uint16_t)(bytes[2 * at] | bytes[2 * at + 1] << 8)
				      : (uint16_t)(bytes[at] << 8);

	return (int16_t)(stream->has_sign ? value : value ^ 0x8000);
}

/* What is left of a frame at the end, in stereo, is not heard. */
static void play(struct sb16 *card, const struct sb16_stream *stream, const uint8_t *bytes,
		 uint32_t samples)
{
	int16_t frames[MOVE_BYTES][2];
	unsigned int sides = stream->stereo ? 2 : 1, side;
	uint32_t count = samples / sides, i;

	for (i = 0; i < count; i++) {
		for (side = 0; side < 2; side++) {
			int64_t sample = sample_of(stream, bytes, i * sides + side % sides);

			frames[i][side] = (int16_t)((sample * gain_of(card, side)) >> 30);
		}
	}
	if (count != 0 && stream == &card->streams[card->heard]) {
		host_sound_play(card->host, stream->rate / sides, frames, count);
	}
}

/* Up to so many samples; how many. */
static uint32_t take(struct sb16 *card, const struct sb16_stream *stream, uint32_t samples)
{
	uint8_t bytes[MOVE_BYTES];
	unsigned int size = stream->wide ? 2 : 1;
	int channel = channel_of(card, stream);
	bool records = stream->kind == SB16_RECORDS;
	uint32_t got, i;

	if (stream->kind == SB16_RESTS) {
		return samples;
	}
	if (channel < 0) {
		return 0;
	}
	samples = samples < MOVE_BYTES / size ? samples : MOVE_BYTES / size;
	for (i = 0; i < samples * size; i++) {
		bytes[i] = !stream->has_sign && i % size == size - 1 ? 0x80 : 0; /* silence */
	}
	got = dma_move(card->dma, (unsigned int)channel, bytes, samples * size, records) / size;
	if (stream->kind == SB16_PLAYS) {
		play(card, stream, bytes, got);
	}
	return got;
}

static void interrupt(struct sb16 *card, uint8_t which)
{
	card->pending |= which;
	set_line(card);
}

static void end_block(struct sb16 *card, struct sb16_stream *stream)
{
	stream->start = time_of(stream, stream->taken);
	stream->taken = 0;
	stream->left = stream->length;
	if (!stream->repeats || stream->last) {
		*stream = (struct sb16_stream){.kind = SB16_NOTHING};
	}
	interrupt(card, stream == &card->streams[1] ? PENDING_16 : PENDING_8);
}

/* What it was to have taken by now, up to a block's end. */
static void advance(struct sb16 *card, struct sb16_stream *stream, uint64_t now)
{
	uint64_t late, due;
	uint32_t left, got;

	if (!goes(stream)) {
		return;
	}
	/* Of a card that was loaded `start` may be before the clock's 0: distances count. */
	late = now - time_of(stream, stream->taken);
	if (late > LATE_MAX) {
		stream->start += late - LATE_MAX;
	}
	due = (now - stream->start) * stream->rate / SECOND;
	while (stream->taken < due) {
		left = due - stream->taken < stream->left ? (uint32_t)(due - stream->taken)
							  : stream->left;
		if (stream->stereo && left > 1) {
			left &= ~1u;
		} else if (stream->stereo && stream->left > 1) {
			return; /* the other half of the frame is not due */
		}
		got = take(card, stream, left);
		if (got == 0) {
			stream->starved = true;
			return;
		}
		stream->taken += got;
		stream->left -= got;
		if (stream->left == 0) {
			end_block(card, stream);
			return;
		}
	}
}

void sb16_advance(struct sb16 *card, uint64_t now)
{
	if (card->host != NULL) {
		advance(card, &card->streams[0], now);
		advance(card, &card->streams[1], now);
	}
}

/* The DMA controller is looked at, or has been set: who starved may have what he wants. */
void sb16_look(void *device)
{
	struct sb16 *card = device;
	uint64_t now = host_time(card->host);
	unsigned int i;

	sb16_advance(card, now);
	for (i = 0; i < 2; i++) {
		if (card->streams[i].starved) {
			card->streams[i].starved = false;
			begin_here(&card->streams[i], now);
		}
	}
}

uint64_t sb16_deadline(const struct sb16 *card)
{
	uint64_t earliest = HOST_NEVER;
	unsigned int i;

	for (i = 0; i < 2 && card->host != NULL; i++) {
		const struct sb16_stream *stream = &card->streams[i];
		uint32_t piece = stream->rate / PIECES & ~1u;
		uint64_t at;

		if (goes(stream)) {
			at = time_of(stream,
				     stream->taken + (piece < stream->left ? piece : stream->left));
			at = (int64_t)at < 0 ? 0 : at; /* before the clock's 0 */
			earliest = at < earliest ? at : earliest;
		}
	}
	return earliest;
}

/* ---- the DSP ---- */

#define DSP_VERSION_MAJOR 4
#define DSP_VERSION_MINOR 5

static const char copyright[] = "COPYRIGHT (C) CREATIVE TECHNOLOGY LTD, 1992.";

static void say(struct sb16 *card, uint8_t value)
{
	if (card->out_count < SB16_OUT) {
		card->out[card->out_count++] = value;
	}
}

static uint8_t hear(struct sb16 *card)
{
	if (card->out_count != 0) {
		card->out_last = card->out[0];
		memmove(card->out, card->out + 1, --card->out_count);
	}
	return card->out_last;
}

/* Samples a second, of a stream with so many sides. */
static uint32_t rate_of(const struct sb16 *card, bool stereo)
{
	return card->rate * (stereo && !card->by_constant ? 2 : 1);
}

static void set_rate(struct sb16 *card, uint32_t rate, bool by_constant)
{
	uint64_t now = host_time(card->host);
	unsigned int i;

	card->rate = rate < RATE_MIN ? RATE_MIN : rate > RATE_MAX ? RATE_MAX : rate;
	card->by_constant = by_constant;
	for (i = 0; i < 2; i++) {
		if (card->streams[i].kind != SB16_NOTHING) {
			begin_here(&card->streams[i], now);
			card->streams[i].rate = rate_of(card, card->streams[i].stereo);
		}
	}
}

static void start(struct sb16 *card, struct sb16_stream what, uint32_t length)
{
	unsigned int which = what.wide;
	struct sb16_stream *stream = &card->streams[which];

	*stream = what;
	stream->rate = rate_of(card, stream->stereo);
	stream->length = stream->left = length;
	begin_here(stream, host_time(card->host));
	if (stream->kind == SB16_PLAYS) {
		card->heard = (uint8_t)which;
	}
}

/* Of older cards, 8 bits and mono. Without parameters a block is as long as command 0x48 has
 * said. */
static const struct old_command {
	uint8_t command, kind;
	bool repeats;
	uint8_t packed; /* samples in a byte */
} old_commands[] = {
	/* clang-format off */
	{0x14, SB16_PLAYS,   false, 1},
	{0x1c, SB16_PLAYS,   true,  1},
	{0x90, SB16_PLAYS,   true,  1},
	{0x91, SB16_PLAYS,   false, 1},
	{0x24, SB16_RECORDS, false, 1},
	{0x2c, SB16_RECORDS, true,  1},
	{0x98, SB16_RECORDS, true,  1},
	{0x99, SB16_RECORDS, false, 1},
	{0x16, SB16_MUTE,    false, 4},
	{0x17, SB16_MUTE,    false, 4},
	{0x1f, SB16_MUTE,    true,  4},
	{0x74, SB16_MUTE,    false, 2},
	{0x75, SB16_MUTE,    false, 2},
	{0x7d, SB16_MUTE,    true,  2},
	{0x76, SB16_MUTE,    false, 3},
	{0x77, SB16_MUTE,    false, 3},
	{0x7f, SB16_MUTE,    true,  3},
	{0x80, SB16_RESTS,   false, 1},
	/* clang-format on */
};

static bool start_old(struct sb16 *card, uint8_t command)
{
	unsigned int i;
	uint32_t length = card->given != 0 ? (card->parameters[0] | card->parameters[1] << 8) + 1u
					   : card->block;

	for (i = 0; i < ARRAY_COUNT(old_commands); i++) {
		if (old_commands[i].command == command) {
			start(card,
			      (struct sb16_stream){.kind = old_commands[i].kind,
						   .repeats = old_commands[i].repeats},
			      length);
			card->streams[0].rate /= old_commands[i].packed;
			return true;
		}
	}
	return false;
}

/* Commands 0xb0 to 0xcf. */
static void start_new(struct sb16 *card, uint8_t command)
{
	uint8_t mode = card->parameters[0];

	start(card,
	      (struct sb16_stream){.kind = command & 0x08 ? SB16_RECORDS : SB16_PLAYS,
				   .wide = command < 0xc0,
				   .stereo = mode & 0x20,
				   .has_sign = mode & 0x10,
				   .repeats = command & 0x04},
	      (card->parameters[1] | card->parameters[2] << 8) + 1u);
}

static void hold(struct sb16 *card, unsigned int which, bool paused)
{
	struct sb16_stream *stream = &card->streams[which];

	if (stream->paused != paused && stream->kind != SB16_NOTHING) {
		stream->paused = paused;
		begin_here(stream, host_time(card->host));
	}
}

static unsigned int parameters_of(uint8_t command)
{
	static const uint8_t one[] = {0x04, 0x0f, 0x10, 0x38, 0x40, 0xe0, 0xe2, 0xe4, 0xf9};
	static const uint8_t two[] = {0x05, 0x0e, 0x14, 0x16, 0x17, 0x24, 0x41, 0x42,
				      0x48, 0x74, 0x75, 0x76, 0x77, 0x80, 0xfa};

	if (command >= 0xb0 && command < 0xd0) {
		return 3;
	}
	return memchr(two, command, sizeof(two)) != NULL   ? 2
	       : memchr(one, command, sizeof(one)) != NULL ? 1
							   : 0;
}

static void identify(struct sb16 *card, uint8_t command)
{
	size_t i;

	switch (command) {
	case 0x0f: /* a register of a coprocessor that is not there */
		say(card, 0xff);
		break;
	case 0x20: /* what the microphone hears */
		say(card, 0x80);
		break;
	case 0xe0:
		say(card, (uint8_t)~card->parameters[0]);
		break;
	case 0xe1:
		say(card, DSP_VERSION_MAJOR);
		say(card, DSP_VERSION_MINOR);
		break;
	case 0xe3:
		for (i = 0; i < sizeof(copyright); i++) {
			say(card, (uint8_t)copyright[i]);
		}
		break;
	case 0xe4:
		card->test = card->parameters[0];
		break;
	case 0xe8:
		say(card, card->test);
		break;
	case 0xf8:
	case 0xf9:
		say(card, 0);
		break;
	default:
		break;
	}
}

static void end_repeats(struct sb16_stream *stream)
{
	stream->last = stream->repeats;
}

/* What sets something, or a stream. */
static void control(struct sb16 *card, uint8_t command)
{
	const uint8_t *p = card->parameters;

	switch (command) {
	case 0x40:
		set_rate(card, 1000000u / (256 - p[0]), true);
		break;
	case 0x41:
	case 0x42:
		set_rate(card, (uint32_t)(p[0] << 8 | p[1]), false);
		break;
	case 0x48:
		card->block = (p[0] | p[1] << 8) + 1u;
		break;
	case 0xd0:
	case 0xd4:
		hold(card, 0, command == 0xd0);
		break;
	case 0xd5:
	case 0xd6:
		hold(card, 1, command == 0xd5);
		break;
	case 0xd1:
	case 0xd3:
		card->speaker = command == 0xd1;
		break;
	case 0xd8:
		say(card, card->speaker ? 0xff : 0);
		break;
	case 0xd9:
		end_repeats(&card->streams[1]);
		break;
	case 0xda:
		end_repeats(&card->streams[0]);
		break;
	case 0xf2:
		interrupt(card, PENDING_8);
		break;
	case 0xf3:
		interrupt(card, PENDING_16);
		break;
	default:
		identify(card, command);
		break;
	}
}

static void carry_out(struct sb16 *card, uint8_t command)
{
	if (command >= 0xb0 && command < 0xd0) {
		start_new(card, command);
	} else if (!start_old(card, command)) {
		control(card, command);
	}
}

static void take_byte(struct sb16 *card, uint8_t value)
{
	if (card->wanted == 0) {
		card->command = value;
		card->wanted = (uint8_t)parameters_of(value);
	} else {
		card->parameters[card->given++] = value;
	}
	if (card->given == card->wanted) {
		carry_out(card, card->command);
		card->wanted = card->given = 0;
	}
}

static void reset_dsp(struct sb16 *card)
{
	memset(card->streams, 0, sizeof(card->streams));
	card->pending = card->wanted = card->given = card->out_count = card->test = 0;
	card->command = card->heard = 0;
	card->speaker = card->by_constant = false;
	card->rate = 11025;
	card->block = 2048;
	set_line(card);
}

void sb16_reset(struct sb16 *card)
{
	if (card->host == NULL) {
		return;
	}
	reset_dsp(card);
	reset_mixer(card);
	card->index = card->reset = card->out_last = 0;
	memset(card->parameters, 0, sizeof(card->parameters));
	memset(card->out, 0, sizeof(card->out));
	choose_line(card, LINES_AT_FIRST);
	card->channels = CHANNELS_AT_FIRST;
}

static void end_interrupt(struct sb16 *card, uint8_t which)
{
	card->pending &= (uint8_t)~which;
	set_line(card);
}

static uint64_t sb16_read(void *device, uint32_t offset, unsigned int size)
{
	struct sb16 *card = device;

	(void)size;
	sb16_advance(card, host_time(card->host));
	switch (offset) {
	case PORT_INDEX:
		return card->index;
	case PORT_MIXER:
		return mixer_read(card);
	case PORT_OUT:
		return hear(card);
	case PORT_COMMAND:
		return ROOM;
	case PORT_STATUS:
		end_interrupt(card, PENDING_8);
		return card->out_count != 0 ? HAS_BYTES : NO_BYTES;
	case PORT_END_16:
		end_interrupt(card, PENDING_16);
		return 0xff;
	default:
		return 0xff;
	}
}

static void sb16_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct sb16 *card = device;

	(void)size;
	sb16_advance(card, host_time(card->host));
	switch (offset) {
	case PORT_INDEX:
		card->index = (uint8_t)value;
		break;
	case PORT_MIXER:
		mixer_write(card, (uint8_t)value);
		break;
	case PORT_RESET:
		if ((card->reset & 1) && !(value & 1)) {
			reset_dsp(card);
			say(card, READY);
		}
		card->reset = value & 1;
		break;
	case PORT_COMMAND:
		take_byte(card, (uint8_t)value);
		break;
	default:
		break;
	}
}

/* ---- state ---- */

static void save_stream(const struct sb16_stream *stream, uint64_t now, struct state_writer *writer)
{
	state_put_u8(writer, stream->kind);
	if (stream->kind == SB16_NOTHING) {
		return;
	}
	state_put_bool(writer, stream->stereo);
	state_put_bool(writer, stream->has_sign);
	state_put_bool(writer, stream->repeats);
	state_put_bool(writer, stream->last);
	state_put_bool(writer, stream->paused);
	state_put_bool(writer, stream->starved);
	state_put_u32(writer, stream->rate);
	state_put_u32(writer, stream->length);
	state_put_u32(writer, stream->left);
	state_put_u32(writer, stream->taken);
	put_past(writer, stream->start, now);
}

static void sb16_save(const void *device, struct state_writer *writer)
{
	const struct sb16 *card = device;
	uint64_t now = host_time(card->host);

	state_put_u8(writer, card->index);
	state_put_bytes(writer, card->mixer, sizeof(card->mixer));
	state_put_u8(writer, card->lines);
	state_put_u8(writer, card->channels);
	state_put_u8(writer, card->pending);
	state_put_u8(writer, card->reset);
	state_put_u8(writer, card->command);
	state_put_bytes(writer, card->parameters, sizeof(card->parameters));
	state_put_u8(writer, card->wanted);
	state_put_u8(writer, card->given);
	state_put_bytes(writer, card->out, sizeof(card->out));
	state_put_u8(writer, card->out_count);
	state_put_u8(writer, card->out_last);
	state_put_u8(writer, card->test);
	state_put_bool(writer, card->speaker);
	state_put_bool(writer, card->by_constant);
	state_put_u32(writer, card->rate);
	state_put_u32(writer, card->block);
	state_put_u8(writer, card->heard);
	save_stream(&card->streams[0], now, writer);
	save_stream(&card->streams[1], now, writer);
}

#define BLOCK_MAX 65536u

static void load_stream(struct sb16_stream *stream, bool wide, uint64_t now,
			struct state_reader *part)
{
	*stream = (struct sb16_stream){.kind = state_u8(part), .wide = wide};
	if (stream->kind == SB16_NOTHING) {
		stream->wide = false;
		return;
	}
	stream->stereo = state_bool(part);
	stream->has_sign = state_bool(part);
	stream->repeats = state_bool(part);
	stream->last = state_bool(part);
	stream->paused = state_bool(part);
	stream->starved = state_bool(part);
	stream->rate = state_u32(part);
	stream->length = state_u32(part);
	stream->left = state_u32(part);
	stream->taken = state_u32(part);
	stream->start = get_past(part, now);
	if (stream->kind > SB16_RESTS || stream->rate < RATE_MIN / 4 ||
	    stream->rate > 2 * RATE_MAX || stream->length == 0 || stream->length > BLOCK_MAX ||
	    stream->left == 0 || stream->left > stream->length ||
	    stream->taken > stream->length - stream->left) {
		state_refuse(part, "plays what cannot be");
	} else if (now - stream->start < time_of(stream, stream->taken) - stream->start) {
		state_refuse(part, "has played what was not due");
	}
}

static void sb16_load(void *device, struct state_reader *part, bool set)
{
	struct sb16 *card = device, read = *card;
	uint64_t now = host_time(card->host);

	read.index = state_u8(part);
	state_bytes(part, read.mixer, sizeof(read.mixer));
	read.lines = get_bits(part, 0x0f);
	read.channels = get_bits(part, CHANNELS_8 | CHANNELS_16);
	read.pending = get_bits(part, PENDING_8 | PENDING_16);
	read.reset = get_bits(part, 1);
	read.command = state_u8(part);
	state_bytes(part, read.parameters, sizeof(read.parameters));
	read.wanted = state_u8(part);
	read.given = state_u8(part);
	state_bytes(part, read.out, sizeof(read.out));
	read.out_count = state_u8(part);
	read.out_last = state_u8(part);
	read.test = state_u8(part);
	read.speaker = state_bool(part);
	read.by_constant = state_bool(part);
	read.rate = state_u32(part);
	read.block = state_u32(part);
	read.heard = get_bits(part, 1);
	load_stream(&read.streams[0], false, now, part);
	load_stream(&read.streams[1], true, now, part);
	if (read.lines == 0 || read.out_count > SB16_OUT || read.rate < RATE_MIN ||
	    read.rate > RATE_MAX || read.block == 0 || read.block > BLOCK_MAX) {
		state_refuse(part, "has a register that cannot be");
	}
	if (read.wanted == 0
		    ? read.given != 0
		    : read.wanted != parameters_of(read.command) || read.given >= read.wanted) {
		state_refuse(part, "awaits what its command has not");
	}
	if (set && state_ok(part)) {
		read.irq.line = line_of(read.lines);
		read.irq.level = read.pending != 0;
		*card = read;
	}
}

const struct device_class sb16_class = {.name = "sb16",
					.width = 1,
					.read = sb16_read,
					.write = sb16_write,
					.version = 1,
					.save = sb16_save,
					.load = sb16_load};
