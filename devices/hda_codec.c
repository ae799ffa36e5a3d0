/*
 * The codec: High Definition Audio Specification 1.0a, 7.3. An audio function with an output
 * converter and its pin, and an input converter and its; of 16 bits and two sides. What it does not
 * know it answers with 0, as the specification wants it.
 */
#include <string.h>

#include "devices/hda.h"
#include "devices/sound.h"
#include "lib/check.h"

enum { ROOT, AUDIO, OUT, OUT_PIN, IN, IN_PIN };

#define VENDOR 0x1af40022u /* QEMU's hda-duplex, which has the same nodes */

#define RATES     0x201ffu    /* 8 to 96 kHz; 16 bits */
#define PCM       1u          /* and no other kind of stream */
#define AMPLIFIER 0x80071f1fu /* can be muted; steps of 2 dB, of which the last, 31, is 0 dB */
#define GAIN_MUTE 0x80u
#define GAIN_STEP 0x1fu

/* 0x05: audio. 0x0c: a pin's way. 0x0e: of how many it chooses. */
static uint32_t parameter(unsigned int node, unsigned int which)
{
	static const struct {
		uint8_t node, which;
		uint32_t value;
	} parameters[] = {
		/* clang-format off */
		{ROOT,    0x00, VENDOR},
		{ROOT,    0x02, 0x00100101},
		{ROOT,    0x04, 0x00010001}, /* the first, how many */
		{AUDIO,   0x04, 0x00020004},
		{AUDIO,   0x05, 0x00000001},
		{AUDIO,   0x0a, RATES},
		{AUDIO,   0x0b, PCM},
		{OUT,     0x09, 0x0000001d},
		{OUT,     0x0a, RATES},
		{OUT,     0x0b, PCM},
		{OUT,     0x12, AMPLIFIER},
		{OUT_PIN, 0x09, 0x00400101},
		{OUT_PIN, 0x0c, 0x00000010},
		{OUT_PIN, 0x0e, 0x00000001},
		{IN,      0x09, 0x0010011b},
		{IN,      0x0a, RATES},
		{IN,      0x0b, PCM},
		{IN,      0x0d, AMPLIFIER},
		{IN,      0x0e, 0x00000001},
		{IN_PIN,  0x09, 0x00400001},
		{IN_PIN,  0x0c, 0x00000020},
		/* clang-format on */
	};
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(parameters); i++) {
		if (parameters[i].node == node && parameters[i].which == which) {
			return parameters[i].value;
		}
	}
	return 0;
}

/* What a pin is connected to: green at the back, and blue. */
static uint32_t jack(unsigned int node)
{
	return node == OUT_PIN ? 0x01014110u : node == IN_PIN ? 0x01813120u : 0;
}

static void set_gain(struct hda_node *node, unsigned int index, uint16_t value)
{
	bool out = index == OUT;
	unsigned int side;

	for (side = 0; side < 2 && (index == OUT || index == IN); side++) {
		if ((value >> (out ? 15 : 14) & 1) && (value >> (13 - side) & 1)) {
			node->gains[side] = value & (GAIN_MUTE | GAIN_STEP);
		}
	}
}

/* Verbs of 4 bits. */
static uint32_t long_verb(struct hda_node *node, unsigned int index, unsigned int verb,
			  uint16_t value)
{
	switch (verb) {
	case 0x2:
		node->format = value;
		return 0;
	case 0xa:
		return node->format;
	case 0x3:
		set_gain(node, index, value);
		return 0;
	default: /* 0xb */
		return node->gains[value >> 13 & 1 ? 0 : 1];
	}
}

static uint32_t verb(struct hda *hda, unsigned int index, unsigned int verb, uint8_t value)
{
	struct hda_node *node = &hda->nodes[index];

	switch (verb) {
	case 0xf00:
		return parameter(index, value);
	case 0xf02:
		return value == 0 ? (index == OUT_PIN ? OUT : index == IN ? IN_PIN : 0) : 0;
	case 0x706:
		node->stream = value;
		return 0;
	case 0xf06:
		return node->stream;
	case 0x707:
		node->pin = value;
		return 0;
	case 0xf07:
		return node->pin;
	case 0x705:
		node->power = value & 3;
		return 0;
	case 0xf05:
		return node->power | (uint32_t)node->power << 4;
	case 0xf1c:
		return jack(index);
	case 0xf20:
		return index == AUDIO ? VENDOR : 0;
	case 0x7ff:
		hda_reset_codec(hda);
		return 0;
	default:
		return 0;
	}
}

uint32_t hda_command(struct hda *hda, uint32_t command)
{
	unsigned int index = command >> 20 & 0x7f, four = command >> 16 & 0xf;

	if (command >> 28 != 0 || index >= HDA_NODES) {
		return 0;
	}
	return four == 0x2 || four == 0x3 || four == 0xa || four == 0xb
		       ? long_verb(&hda->nodes[index], index, four, (uint16_t)command)
		       : verb(hda, index, command >> 8 & 0xfff, (uint8_t)command);
}

void hda_reset_codec(struct hda *hda)
{
	memset(hda->nodes, 0, sizeof(hda->nodes));
	memset(hda->nodes[OUT].gains, GAIN_STEP, 2);
	memset(hda->nodes[IN].gains, GAIN_STEP, 2);
}

bool hda_hears(const struct hda *hda, unsigned int number, uint16_t gains[2])
{
	const struct hda_node *node = &hda->nodes[OUT];
	unsigned int side;

	for (side = 0; side < 2; side++) {
		gains[side] = node->gains[side] & GAIN_MUTE
				      ? 0
				      : sound_gains[node->gains[side] & GAIN_STEP];
	}
	return number != 0 && node->stream >> 4 == number;
}
