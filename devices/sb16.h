/*
 * A Sound Blaster 16 at its usual place, for systems that know no younger card: DSP 4.05 with 8 and
 * 16 bits by DMA, and the mixer CT1745. What it plays goes to the home as frames of 16 bits, at the
 * volume that the guest has set. What it records is silence.
 *
 * A stream takes its samples from memory in pieces of a hundredth of a second, and sooner when the
 * guest looks where it is. At a block's end it asks for an interrupt; one block ends a turn, so
 * that a late host does not make two ends into one.
 *
 * What is not here: FM (OPL), MIDI, and direct mode (the guest that puts out each sample by itself
 * hears nothing). ADPCM takes the time that it would take, and is silent.
 */
#ifndef DEVICES_SB16_H
#define DEVICES_SB16_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/irq.h"

#define SB16_OUT        48
#define SB16_PARAMETERS 3
#define SB16_MIXER      0x48 /* registers of the mixer that keep what is written */

enum sb16_kind {
	SB16_NOTHING,
	SB16_PLAYS,
	SB16_RECORDS,
	SB16_MUTE,  /* takes samples and plays none */
	SB16_RESTS, /* as long as that many samples would last */
};

/* Counts are of samples: of a byte or, with `wide`, a word, two of which are a frame in stereo. */
struct sb16_stream {
	uint8_t kind;
	bool wide, stereo, has_sign, repeats;
	bool last;             /* it repeats, and is to end with this block */
	bool paused, starved;  /* starved: the DMA channel gives none */
	uint32_t rate;         /* samples a second */
	uint32_t length, left; /* of a block, and of this one */
	uint64_t start;        /* when it had taken none; not while it stands */
	uint32_t taken;
};

struct dma;

struct sb16 {
	struct host *host; /* NULL: there is no card */
	struct dma *dma;
	struct irq_source irq;
	uint8_t index, mixer[SB16_MIXER];
	uint8_t lines, channels; /* registers 0x80 and 0x81: interrupt and DMA */
	uint8_t pending;         /* interrupts: bit 0 of 8 bits, bit 1 of 16 */
	uint8_t reset, command, parameters[SB16_PARAMETERS];
	uint8_t wanted, given; /* parameters of the command */
	uint8_t out[SB16_OUT], out_count, out_last;
	uint8_t test;
	bool speaker, by_constant; /* by_constant: the rate is that of all samples, not of frames */
	uint32_t rate;
	uint32_t block;                /* what command 0x48 has set */
	uint8_t heard;                 /* which stream: the one that began to play last */
	struct sb16_stream streams[2]; /* of 8 bits, of 16 */
};

extern const struct device_class sb16_class;

/* Of a card whose home, DMA and line are set. */
void sb16_reset(struct sb16 *card);
uint64_t sb16_deadline(const struct sb16 *card);
void sb16_advance(struct sb16 *card, uint64_t now);
/* After a load: its line is where its register says. */
void sb16_look(void *card);

#endif
