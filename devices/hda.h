/*
 * A High Definition Audio controller as of an ICH6, and one codec on its link: two sides of 16 bits
 * out, and as much in, which is silence. For systems that are younger than the Sound Blaster's.
 *
 * The controller has one stream in and one out. A stream takes frames by its list of buffers in
 * pieces of a hundredth of a second, and sooner when the guest looks where it is. What the output
 * converter hears, by the number of its stream, goes to the home at the guest's volume.
 */
#ifndef DEVICES_HDA_H
#define DEVICES_HDA_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/pci.h"

#define HDA_LENGTH    0x4000 /* of the BAR */
#define HDA_REGISTERS 0xc0   /* in it; behind them it reads as zeros */
#define HDA_STREAMS   2      /* in, then out */
#define HDA_NODES     6 /* of the codec: root, function, out converter and pin, in converter and pin */

struct hda_stream {
	uint64_t start; /* when it had taken none; while it runs */
	uint32_t taken; /* frames since; less than a second's */
	uint64_t gpa;   /* in the entry of its list that it is in: what comes next */
	uint32_t left;  /* bytes there; 0: it has none */
	uint8_t entry;  /* the one behind that */
	bool tells;     /* it wants its end said */
};

/* What verbs have set of a node. */
struct hda_node {
	uint16_t format;
	uint8_t stream; /* its number, and the channel in the lower half */
	uint8_t pin, power;
	uint8_t gains[2]; /* left, right, bit 7: mute */
};

struct hda {
	struct pci_function function; /* pci NULL: there is none */
	uint8_t registers[HDA_REGISTERS];
	uint64_t epoch;   /* when the wall clock was 0 */
	uint16_t answers; /* since the last interrupt for them */
	struct hda_stream streams[HDA_STREAMS];
	struct hda_node nodes[HDA_NODES];
};

extern const struct device_class hda_class;

void hda_create(struct hda *hda, struct pci *pci, unsigned int slot);
void hda_reset(struct hda *hda);
uint64_t hda_deadline(const struct hda *hda);
void hda_advance(struct hda *hda, uint64_t now);
/* After a load: its interrupt. */
void hda_restore(struct hda *hda);

/* hda_codec.c. The answer to a command. */
uint32_t hda_command(struct hda *hda, uint32_t command);
void hda_reset_codec(struct hda *hda);
/* Does the output converter hear this stream? With which gains, of 32768. */
bool hda_hears(const struct hda *hda, unsigned int number, uint16_t gains[2]);

#endif
