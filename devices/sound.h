/* What sound cards have in common: volumes in steps of 2 dB. */
#ifndef DEVICES_SOUND_H
#define DEVICES_SOUND_H

#include <stdint.h>

#define SOUND_GAINS 32

/* Of 32768, which the last one is. */
extern const uint16_t sound_gains[SOUND_GAINS];

#endif
