/*
 * The two 8237A of a PC/AT and their page registers: channels 0 to 3 move bytes, 5 to 7 words; 4 is
 * where the first hangs on the second. A device that has something to move calls dma_move(); memory
 * is the lowest 16 MiB.
 *
 * What is not here: memory to memory, and requests by software, which no PC has a use for.
 */
#ifndef DEVICES_DMA_H
#define DEVICES_DMA_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"

#define DMA_PAGES 15 /* ports 0x81 to 0x8f, some of which are nobody's page */

struct dma_channel {
	uint16_t base_address, base_count; /* as written; in units of the channel */
	uint16_t address, count;           /* of what is moved next; how many come behind that */
	uint8_t mode;
};

struct dma_chip {
	struct dma_channel channels[4];
	uint8_t command, mask, ended; /* a bit a channel: masked, and has come to its count's end */
	bool high;                    /* the byte that comes next of a 16-bit register */
};

struct dma {
	struct host *host;
	void (*look)(
		void *device); /* before each access and after a write: where `device` is counts, or it may go on */
	void *device;
	struct dma_chip chips[2];
	uint8_t pages[DMA_PAGES];
};

extern const struct device_class dma_first_class, dma_second_class, dma_page_class;

void dma_reset(struct dma *dma);
/*
 * Moves up to `length` bytes, a multiple of the channel's units, between `bytes` and memory. How
 * many: 0 when the channel is masked, fewer than asked for at its count's end, behind which it is
 * masked or begins anew. What is no memory, and what the channel was not set for, reads as ones and
 * is not written.
 */
uint32_t dma_move(struct dma *dma, unsigned int channel, void *bytes, uint32_t length,
		  bool to_memory);

#endif
