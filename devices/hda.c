/*
 * The controller: High Definition Audio Specification 1.0a, chapters 3 and 4; the ICH6's (301473),
 * 18.2. See hda.h.
 *
 * Registers are bytes, and a table says which bits of them the guest writes, ends by writing ones,
 * or only reads. What follows from a write is done behind it.
 */
#include "devices/hda.h"

#include <string.h>

#include "devices/parts.h"
#include "devices/sound.h"

#define SECOND      1000000000ull
#define LATE_MAX    (SECOND / 2) /* a host that is later has lost the time between */
#define PIECES      100          /* a second */
#define BATCH_BYTES 4096u
#define ENTRIES_MAX 1024u /* of a list, in one turn: who has shorter ones is stopped */

#define GCTL      0x08
#define GCTL_RUNS 0x01
#define STATESTS  0x0e
#define WAKEEN    0x0c
#define INTCTL    0x20
#define INTSTS    0x24
#define WALCLK    0x30
#define SSYNC     0x34
#define CORB      0x40
#define CORBWP    0x48
#define CORBRP    0x4a
#define CORBCTL   0x4c
#define CORBSTS   0x4d
#define RIRB      0x50
#define RIRBWP    0x58
#define RINTCNT   0x5a
#define RIRBCTL   0x5c
#define RIRBSTS   0x5d
#define DPL       0x70 /* where positions are written */

#define CORB_RUNS     0x02
#define CORB_FAULT    0x01
#define RIRB_TELLS    0x01
#define RIRB_RUNS     0x02
#define RIRB_ANSWERS  0x01
#define POINTER_RESET 0x8000u
#define INT_CONTROL   (1u << 30)
#define INT_ALL       (1u << 31)

/* Of a stream, from 0x80 on. */
#define STREAM(i) (0x80 + 0x20 * (i))
#define CTL       0x00
#define CTL_RESET 0x01
#define CTL_RUNS  0x02
#define CTL_TELLS 0x1c /* which bits of STS interrupt */
#define STS       0x03
#define STS_DONE  0x04 /* an entry that wants it said */
#define STS_FAULT 0x10
#define STS_READY 0x20
#define LPIB      0x04
#define CBL       0x08
#define LVI       0x0c
#define FMT       0x12
#define BDL       0x18
#define OUT       1

struct row {
	uint8_t at, size;
	uint32_t writable, ended; /* ended: by writing ones */
	uint32_t own;             /* the controller's */
	uint32_t first;
};

static const struct row rows[] = {
	/* clang-format off */
	{0x00,     2, 0, 0, 0, 0x1101}, /* a stream in, one out, 64 bits of addresses */
	{0x03,     1, 0, 0, 0, 1},      /* version 1.0 */
	{0x04,     2, 0, 0, 0, 0x3c},
	{0x06,     2, 0, 0, 0, 0x1d},
	{GCTL,     4, 0x103, 0, 0, 0},
	{WAKEEN,   2, 0x1, 0, 0, 0},
	{STATESTS, 2, 0, 0x1, 0x1, 0},
	{0x10,     2, 0, 0x2, 0, 0},
	{0x18,     2, 0, 0, 0, 0x3c},
	{0x1a,     2, 0, 0, 0, 0x1d},
	{INTCTL,   4, INT_ALL | INT_CONTROL | 3, 0, 0, 0},
	{INTSTS,   4, 0, 0, INT_ALL | INT_CONTROL | 3, 0},
	{WALCLK,   4, 0, 0, 0xffffffff, 0},
	{SSYNC,    4, 3, 0, 0, 0},
	{CORB,     4, 0xffffff80, 0, 0, 0},
	{CORB + 4, 4, 0xffffffff, 0, 0, 0},
	{CORBWP,   2, 0xff, 0, 0, 0},
	{CORBRP,   2, POINTER_RESET, 0, 0xff, 0},
	{CORBCTL,  1, 0x3, 0, 0, 0},
	{CORBSTS,  1, 0, 0x1, 0x1, 0},
	{0x4e,     1, 0, 0, 0, 0x42}, /* 256 of them */
	{RIRB,     4, 0xffffff80, 0, 0, 0},
	{RIRB + 4, 4, 0xffffffff, 0, 0, 0},
	{RIRBWP,   2, POINTER_RESET, 0, 0xff, 0},
	{RINTCNT,  2, 0xff, 0, 0, 0},
	{RIRBCTL,  1, 0x7, 0, 0, 0},
	{RIRBSTS,  1, 0, 0x5, 0x5, 0},
	{0x5e,     1, 0, 0, 0, 0x42},
	{DPL,      4, 0xffffff81, 0, 0, 0},
	{DPL + 4,  4, 0xffffffff, 0, 0, 0},
#define STREAM_ROWS(i) \
	{STREAM(i) + CTL,     3, 0xf4001f, 0, 0, 0}, \
	{STREAM(i) + STS,     1, 0, 0x1c, 0x3c, 0}, \
	{STREAM(i) + LPIB,    4, 0, 0, 0xffffffff, 0}, \
	{STREAM(i) + CBL,     4, 0xffffffff, 0, 0, 0}, \
	{STREAM(i) + LVI,     2, 0xff, 0, 0, 0}, \
	{STREAM(i) + 0x10,    2, 0, 0, 0, 0xbf}, \
	{STREAM(i) + FMT,     2, 0x7f7f, 0, 0, 0}, \
	{STREAM(i) + BDL,     4, 0xffffff80, 0, 0, 0}, \
	{STREAM(i) + BDL + 4, 4, 0xffffffff, 0, 0, 0}
	STREAM_ROWS(0),
	STREAM_ROWS(1),
	/* clang-format on */
};

/* The row of a byte, and how many bits are before it there; NULL: it is no register's. */
static const struct row *row_of(uint32_t at, unsigned int *shift)
{
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(rows); i++) {
		if (at >= rows[i].at && at < (uint32_t)rows[i].at + rows[i].size) {
			*shift = 8 * (at - rows[i].at);
			return &rows[i];
		}
	}
	return NULL;
}

static uint32_t get(const struct hda *hda, uint32_t at, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, hda->registers + at, size);
	return value;
}

static void put(struct hda *hda, uint32_t at, unsigned int size, uint32_t value)
{
	memcpy(hda->registers + at, &value, size);
}

static uint64_t get_address(const struct hda *hda, uint32_t at)
{
	return (get(hda, at, 4) & ~0x7full) | (uint64_t)get(hda, at + 4, 4) << 32;
}

static struct host *host_of(const struct hda *hda)
{
	return hda->function.pci->host;
}

/* ---- interrupts ---- */

static void update_interrupt(struct hda *hda)
{
	uint32_t enabled = get(hda, INTCTL, 4), was = get(hda, INTSTS, 4), status = 0;
	unsigned int i;

	if ((hda->registers[RIRBSTS] & RIRB_ANSWERS && hda->registers[RIRBCTL] & RIRB_TELLS) ||
	    hda->registers[STATESTS] & hda->registers[WAKEEN]) {
		status |= INT_CONTROL;
	}
	for (i = 0; i < HDA_STREAMS; i++) {
		const uint8_t *stream = hda->registers + STREAM(i);

		status |= (uint32_t)((stream[CTL] & stream[STS] & CTL_TELLS) != 0) << i;
	}
	status |= status & enabled ? INT_ALL : 0;
	put(hda, INTSTS, 4, status);
	pci_set_intx(&hda->function, status & enabled & INT_ALL);
	if (status & enabled & INT_ALL && status & enabled & ~was) {
		pci_send(&hda->function, 0); /* one for each that comes */
	}
}

/* ---- commands for the codec ---- */

static bool answer(struct hda *hda, uint32_t value)
{
	const uint32_t entry[2] = {value, 0}; /* of codec 0, asked for */
	uint8_t at = (uint8_t)(hda->registers[RIRBWP] + 1);

	if (!(hda->registers[RIRBCTL] & RIRB_RUNS)) {
		return true;
	}
	if (!host_memory_write(host_of(hda), get_address(hda, RIRB) + 8u * at, entry,
			       sizeof(entry))) {
		return false;
	}
	hda->registers[RIRBWP] = at;
	if (++hda->answers >= (hda->registers[RINTCNT] != 0 ? hda->registers[RINTCNT] : 256) ||
	    hda->registers[CORBRP] == hda->registers[CORBWP]) {
		hda->answers = 0;
		hda->registers[RIRBSTS] |= RIRB_ANSWERS;
	}
	return true;
}

/* All that wait: as many as there are between the pointers, at most. */
static void serve_codec(struct hda *hda)
{
	uint8_t *at = &hda->registers[CORBRP];
	uint32_t command;

	while (hda->registers[CORBCTL] & CORB_RUNS && *at != hda->registers[CORBWP] &&
	       pci_is_master(&hda->function)) {
		(*at)++;
		if (!host_memory_read(host_of(hda), get_address(hda, CORB) + 4u * *at, &command,
				      sizeof(command)) ||
		    !answer(hda, hda_command(hda, command))) {
			hda->registers[CORBSTS] |= CORB_FAULT;
			hda->registers[CORBCTL] &= (uint8_t)~CORB_RUNS;
		}
	}
}

/* ---- streams ---- */

static bool runs(const struct hda *hda, unsigned int which)
{
	return hda->registers[STREAM(which) + CTL] & CTL_RUNS &&
	       !(hda->registers[SSYNC] >> which & 1);
}

/* Of a stream's format: frames a second, and bytes of one. */
static uint32_t rate_of(const struct hda *hda, unsigned int which)
{
	uint32_t format = get(hda, STREAM(which) + FMT, 2);

	return (format & 0x4000 ? 44100u : 48000u) * ((format >> 11 & 3) + 1) /
	       ((format >> 8 & 7) + 1);
}

static uint32_t frame_of(const struct hda *hda, unsigned int which)
{
	static const uint8_t bytes[] = {1, 2, 4, 4, 4, 4, 4, 4};
	uint32_t format = get(hda, STREAM(which) + FMT, 2);

	return bytes[format >> 4 & 7] * ((format & 15) + 1);
}

static void begin_here(struct hda *hda, unsigned int which)
{
	hda->streams[which].start = host_time(host_of(hda));
	hda->streams[which].taken = 0;
}

static void stop(struct hda *hda, unsigned int which)
{
	hda->registers[STREAM(which) + STS] |= STS_FAULT;
	hda->registers[STREAM(which) + CTL] &= (uint8_t)~CTL_RUNS;
}

/* The list's next entry. False: there is none that can be. */
static bool fetch(struct hda *hda, unsigned int which)
{
	struct hda_stream *stream = &hda->streams[which];
	struct {
		uint64_t gpa;
		uint32_t length, flags;
	} entry;

	if (!pci_is_master(&hda->function) ||
	    !host_memory_read(host_of(hda),
			      get_address(hda, STREAM(which) + BDL) + 16u * stream->entry, &entry,
			      sizeof(entry)) ||
	    entry.length == 0) {
		return false;
	}
	stream->gpa = entry.gpa;
	stream->left = entry.length;
	stream->tells = entry.flags & 1;
	stream->entry = stream->entry >= hda->registers[STREAM(which) + LVI]
				? 0
				: (uint8_t)(stream->entry + 1);
	return true;
}

/* Between memory and `bytes`, so far as the entry goes. False: it cannot be. */
static bool move(struct hda *hda, unsigned int which, uint8_t *bytes, uint32_t count)
{
	struct hda_stream *stream = &hda->streams[which];
	uint32_t cyclic = get(hda, STREAM(which) + CBL, 4), at = get(hda, STREAM(which) + LPIB, 4);

	if (which == OUT ? !host_memory_read(host_of(hda), stream->gpa, bytes, count)
			 : !host_memory_write(host_of(hda), stream->gpa, bytes, count)) {
		return false;
	}
	stream->gpa += count;
	stream->left -= count;
	at = at < cyclic && count < cyclic - at ? at + count : 0;
	put(hda, STREAM(which) + LPIB, 4, at);
	if (stream->left == 0) {
		hda->registers[STREAM(which) + STS] |= stream->tells ? STS_DONE : 0;
		return fetch(hda, which);
	}
	return true;
}

static void play(struct hda *hda, const uint8_t *bytes, uint32_t frames)
{
	uint32_t format = get(hda, STREAM(OUT) + FMT, 2), i;
	unsigned int sides = (format & 15) + 1, side;
	int16_t heard[BATCH_BYTES / 2][2];
	uint16_t gains[2];

	if ((format & 0x70) != 0x10 || sides > 2 ||
	    !hda_hears(hda, hda->registers[STREAM(OUT) + CTL + 2] >> 4, gains)) {
		return;
	}
	for (i = 0; i < frames; i++) {
		for (side = 0; side < 2; side++) {
			int16_t sample;

			memcpy(&sample, bytes + 2 * (i * sides + side % sides), sizeof(sample));
			heard[i][side] = (int16_t)(sample * gains[side] >> 15);
		}
	}
	host_sound_play(host_of(hda), rate_of(hda, OUT), heard, frames);
}

/* Frames, which may lie in several entries. False: it cannot be. */
static bool take(struct hda *hda, unsigned int which, uint32_t frames, unsigned int *entries)
{
	uint8_t bytes[BATCH_BYTES] = {0};
	uint32_t count = frames * frame_of(hda, which), done, piece;

	for (done = 0; done < count; done += piece) {
		uint32_t left = hda->streams[which].left;

		piece = left < count - done ? left : count - done;
		if (left == 0 || (*entries)++ == ENTRIES_MAX ||
		    !move(hda, which, bytes + done, piece)) {
			return false;
		}
	}
	if (which == OUT) {
		play(hda, bytes, frames);
	}
	return true;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* How many are taken at once: so many bytes, to the entry's end if there is one frame before it. */
static uint32_t batch_of(const struct hda *hda, unsigned int which, uint32_t due)
{
	uint32_t frame = frame_of(hda, which), here = hda->streams[which].left / frame;

	return least(due, least(BATCH_BYTES / frame, here != 0 ? here : 1));
}

static uint64_t time_of(const struct hda *hda, unsigned int which, uint32_t frames)
{
	uint32_t rate = rate_of(hda, which);

	return hda->streams[which].start + (frames * SECOND + rate - 1) / rate;
}

/* What it was to have taken by now, up to an entry that interrupts: so a late host does not make
 * two into one. */
static void advance(struct hda *hda, unsigned int which, uint64_t now)
{
	struct hda_stream *stream = &hda->streams[which];
	uint32_t rate = rate_of(hda, which), batch;
	unsigned int entries = 0;
	uint64_t late, due;

	late = now - time_of(hda, which, stream->taken);
	if (late > LATE_MAX) {
		stream->start += late - LATE_MAX;
	}
	due = (now - stream->start) * rate / SECOND;
	while (stream->taken < due) {
		bool told = hda->registers[STREAM(which) + STS] & STS_DONE;

		batch = batch_of(hda, which, (uint32_t)(due - stream->taken));
		if (!take(hda, which, batch, &entries)) {
			stop(hda, which);
			return;
		}
		stream->taken += batch;
		if (!told && hda->registers[STREAM(which) + STS] & STS_DONE) {
			break;
		}
	}
	for (; stream->taken >= rate; stream->taken -= rate) {
		stream->start += SECOND;
	}
}

static void put_position(struct hda *hda, unsigned int which)
{
	uint32_t at = get(hda, STREAM(which) + LPIB, 4);

	if (hda->registers[DPL] & 1 && pci_is_master(&hda->function)) {
		(void)host_memory_write(host_of(hda), get_address(hda, DPL) + 8u * which, &at,
					sizeof(at));
	}
}

void hda_advance(struct hda *hda, uint64_t now)
{
	unsigned int i;

	for (i = 0; i < HDA_STREAMS && hda->function.pci != NULL; i++) {
		if (runs(hda, i)) {
			advance(hda, i, now);
			put_position(hda, i);
			update_interrupt(hda);
		}
	}
}

uint64_t hda_deadline(const struct hda *hda)
{
	uint64_t earliest = HOST_NEVER, at;
	unsigned int i;

	for (i = 0; i < HDA_STREAMS && hda->function.pci != NULL; i++) {
		if (runs(hda, i)) {
			at = time_of(hda, i,
				     hda->streams[i].taken +
					     batch_of(hda, i, rate_of(hda, i) / PIECES));
			at = (int64_t)at < 0 ? 0 : at; /* before the clock's 0 */
			earliest = at < earliest ? at : earliest;
		}
	}
	return earliest;
}

/* ---- what follows from a write ---- */

static void reset_stream(struct hda *hda, unsigned int which)
{
	uint16_t fifo = (uint16_t)get(hda, STREAM(which) + 0x10, 2);

	memset(hda->registers + STREAM(which), 0, 0x20);
	put(hda, STREAM(which) + 0x10, 2, fifo);
	hda->streams[which] = (struct hda_stream){.start = 0};
}

static void stream_written(struct hda *hda, unsigned int which, uint8_t before)
{
	uint8_t *registers = hda->registers + STREAM(which);

	if (registers[CTL] & CTL_RESET) {
		reset_stream(hda, which);
		registers[CTL] = CTL_RESET;
		return;
	}
	if (registers[CTL] & ~before & CTL_RUNS) {
		begin_here(hda, which);
		if (get(hda, STREAM(which) + CBL, 4) == 0 ||
		    (hda->streams[which].left == 0 && !fetch(hda, which))) {
			stop(hda, which);
		}
	}
	registers[STS] = (uint8_t)((registers[STS] & ~STS_READY) |
				   (registers[CTL] & CTL_RUNS ? STS_READY : 0));
}

/* All but the codec's nodes. */
static void reset_registers(struct hda *hda)
{
	unsigned int i;

	memset(hda->registers, 0, sizeof(hda->registers));
	for (i = 0; i < ARRAY_COUNT(rows); i++) {
		put(hda, rows[i].at, rows[i].size, rows[i].first);
	}
	memset(hda->streams, 0, sizeof(hda->streams));
	hda->answers = 0;
	hda->epoch = host_time(host_of(hda));
}

static void control_written(struct hda *hda, uint8_t before)
{
	uint8_t now = hda->registers[GCTL];

	if (before & GCTL_RUNS && !(now & GCTL_RUNS)) {
		reset_registers(hda);
		hda_reset_codec(hda);
	} else if (now & ~before & GCTL_RUNS) {
		hda->registers[STATESTS] |= 1; /* a codec has come */
	}
}

static void pointers_written(struct hda *hda)
{
	if (get(hda, CORBRP, 2) & POINTER_RESET) {
		put(hda, CORBRP, 2, POINTER_RESET);
	}
	if (get(hda, RIRBWP, 2) & POINTER_RESET) {
		put(hda, RIRBWP, 2, 0);
		hda->answers = 0;
	}
}

static uint64_t hda_read(void *device, uint32_t offset, unsigned int size)
{
	struct hda *hda = device;
	uint64_t now = host_time(host_of(hda));

	if (offset >= HDA_REGISTERS || size > HDA_REGISTERS - offset) {
		return 0;
	}
	hda_advance(hda, now);
	put(hda, WALCLK, 4, (uint32_t)((now - hda->epoch) * 3 / 125)); /* 24 MHz */
	return get(hda, offset, size);
}

static void hda_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct hda *hda = device;
	uint8_t before[HDA_REGISTERS];
	unsigned int i, shift;

	if (offset >= HDA_REGISTERS || size > HDA_REGISTERS - offset ||
	    (!(hda->registers[GCTL] & GCTL_RUNS) && offset != GCTL)) {
		return;
	}
	hda_advance(hda, host_time(host_of(hda)));
	memcpy(before, hda->registers, sizeof(before));
	for (i = 0; i < size; i++) {
		const struct row *row = row_of(offset + i, &shift);
		uint8_t byte = (uint8_t)(value >> 8 * i), *to = &hda->registers[offset + i];

		if (row != NULL) {
			uint8_t writable = (uint8_t)(row->writable >> shift);

			*to = (uint8_t)((*to & ~writable) | (byte & writable));
			*to &= (uint8_t) ~(byte & row->ended >> shift);
		}
	}
	control_written(hda, before[GCTL]);
	pointers_written(hda);
	for (i = 0; i < HDA_STREAMS; i++) {
		stream_written(hda, i, before[STREAM(i) + CTL]);
		if (before[SSYNC] & ~hda->registers[SSYNC] & 1u << i ||
		    memcmp(before + STREAM(i) + FMT, hda->registers + STREAM(i) + FMT, 2) != 0) {
			begin_here(hda, i);
		}
	}
	serve_codec(hda);
	update_interrupt(hda);
}

void hda_reset(struct hda *hda)
{
	if (hda->function.pci != NULL) {
		reset_registers(hda);
		hda_reset_codec(hda);
		update_interrupt(hda);
	}
}

void hda_restore(struct hda *hda)
{
	if (hda->function.pci != NULL) {
		update_interrupt(hda);
	}
}

void hda_create(struct hda *hda, struct pci *pci, unsigned int slot)
{
	static const struct pci_identity identity = {.vendor = 0x8086,
						     .device = 0x2668,
						     .class_code = 0x040300,
						     .revision = 1,
						     .pin = 1};
	struct bus_range *range;

	pci_function_init(&hda->function, &identity);
	range = pci_add_bar(&hda->function, 0, PCI_BAR_MEMORY, HDA_LENGTH);
	pci_add_msi(&hda->function, 0x60, 0);
	range->class = &hda_class;
	range->device = hda;
	hda->function.device = hda;
	CHECK(pci_add(pci, slot, 0, &hda->function));
}

/* ---- state ---- */

static void hda_save(const void *device, struct state_writer *writer)
{
	const struct hda *hda = device;
	uint64_t now = host_time(host_of(hda));
	unsigned int i;

	state_put_bytes(writer, hda->registers, sizeof(hda->registers));
	put_past(writer, hda->epoch, now);
	state_put_u16(writer, hda->answers);
	for (i = 0; i < HDA_STREAMS; i++) {
		const struct hda_stream *stream = &hda->streams[i];

		put_past(writer, runs(hda, i) ? stream->start : now, now);
		state_put_u32(writer, runs(hda, i) ? stream->taken : 0);
		state_put_u64(writer, stream->gpa);
		state_put_u32(writer, stream->left);
		state_put_u8(writer, stream->entry);
		state_put_bool(writer, stream->tells);
	}
	for (i = 0; i < HDA_NODES; i++) {
		const struct hda_node *node = &hda->nodes[i];

		state_put_u16(writer, node->format);
		state_put_u8(writer, node->stream);
		state_put_u8(writer, node->pin);
		state_put_u8(writer, node->power);
		state_put_bytes(writer, node->gains, sizeof(node->gains));
	}
}

static void load_registers(struct hda *hda, struct state_reader *part)
{
	uint8_t read[HDA_REGISTERS];
	unsigned int i, shift;

	state_bytes(part, read, sizeof(read));
	for (i = 0; i < HDA_REGISTERS; i++) {
		const struct row *row = row_of(i, &shift);
		uint8_t fixed =
			row == NULL ? 0xff : (uint8_t) ~((row->writable | row->own) >> shift);
		uint8_t first = row == NULL ? 0 : (uint8_t)(row->first >> shift);

		if ((read[i] & fixed) != (first & fixed)) {
			state_refuse(part, "has a register with bits that it does not have");
		}
	}
	memcpy(hda->registers, read, sizeof(read));
}

static void load_stream(struct hda *hda, unsigned int which, uint64_t now,
			struct state_reader *part)
{
	struct hda_stream *stream = &hda->streams[which];

	stream->start = get_past(part, now);
	stream->taken = state_u32(part);
	stream->gpa = state_u64(part);
	stream->left = state_u32(part);
	stream->entry = state_u8(part);
	stream->tells = state_bool(part);
	if (stream->taken >= rate_of(hda, which) ||
	    now - stream->start < time_of(hda, which, stream->taken) - stream->start) {
		state_refuse(part, "has played what was not due");
	}
}

static void hda_load(void *device, struct state_reader *part, bool set)
{
	struct hda *hda = device, read = {.answers = 0};
	uint64_t now = host_time(host_of(hda));
	unsigned int i;

	load_registers(&read, part);
	read.epoch = get_past(part, now);
	read.answers = state_u16(part);
	for (i = 0; i < HDA_STREAMS; i++) {
		load_stream(&read, i, now, part);
	}
	for (i = 0; i < HDA_NODES; i++) {
		read.nodes[i].format = state_u16(part);
		read.nodes[i].stream = state_u8(part);
		read.nodes[i].pin = state_u8(part);
		read.nodes[i].power = get_bits(part, 3);
		read.nodes[i].gains[0] = get_bits(part, 0x9f);
		read.nodes[i].gains[1] = get_bits(part, 0x9f);
	}
	if (read.answers >= 256) {
		state_refuse(part, "counts more answers than there are");
	}
	if (set && state_ok(part)) {
		memcpy(hda->registers, read.registers, sizeof(hda->registers));
		memcpy(hda->streams, read.streams, sizeof(hda->streams));
		memcpy(hda->nodes, read.nodes, sizeof(hda->nodes));
		hda->epoch = read.epoch;
		hda->answers = read.answers;
	}
}

const struct device_class hda_class = {.name = "hda",
				       .width = 4,
				       .read = hda_read,
				       .write = hda_write,
				       .version = 1,
				       .save = hda_save,
				       .load = hda_load};
