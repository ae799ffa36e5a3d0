/*
 * A PCI function with everything that one may have: BAR 0 is 32 ports, BAR 1 4 KiB of registers,
 * BAR 2 a frame buffer, BAR 4 has 64 bits and 8 KiB, with MSI-X in the second half; a ROM; INTA,
 * MSI with 4 vectors, MSI-X with 70.
 */
#ifndef FAKE_PCI_CARD_H
#define FAKE_PCI_CARD_H

#include "devices/board.h"

#define CARD_MSI  0x50
#define CARD_MSIX 0x40

struct card {
	_Alignas(4096) uint8_t frame_buffer[64 * 1024];
	uint8_t rom[4096];
	struct pci_function function;
	struct pci_msix msix;
	uint32_t registers[4]; /* of BARs 0 and 1 */
	unsigned int written, written_at;
};

/* False: pci_add() has refused it. */
bool card_add(struct card *card, struct board *board, unsigned int slot, unsigned int number);

#endif
