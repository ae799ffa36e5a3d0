/* See pci_card.h. */
#include "tests/fake/pci_card.h"

#include <string.h>

#include "lib/check.h"

static uint64_t card_read(void *device, uint32_t offset, unsigned int size)
{
	const struct card *card = device;

	(void)size;
	return offset / 4 < ARRAY_COUNT(card->registers) ? card->registers[offset / 4] : 0;
}

static void card_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct card *card = device;

	(void)size;
	if (offset / 4 < ARRAY_COUNT(card->registers)) {
		card->registers[offset / 4] = (uint32_t)value;
	}
}

static const struct device_class card_class = {
	.name = "card", .width = 4, .read = card_read, .write = card_write};

static void card_written(void *device, unsigned int at, unsigned int size)
{
	struct card *card = device;

	card->written += size;
	card->written_at = at;
}

bool card_add(struct card *card, struct board *board, unsigned int slot, unsigned int number)
{
	static const struct pci_identity identity = {.vendor = 0x1234,
						     .device = 0x5678,
						     .subsystem_vendor = 0x9abc,
						     .subsystem = 0xdef0,
						     .class_code = 0xff0102,
						     .revision = 7,
						     .pin = 1};
	struct bus_range *range;

	memset(card, 0, sizeof(*card));
	pci_function_init(&card->function, &identity);
	range = pci_add_bar(&card->function, 0, PCI_BAR_IO, 32);
	range->class = &card_class;
	range->device = card;
	range = pci_add_bar(&card->function, 1, PCI_BAR_MEMORY, 4096);
	range->class = &card_class;
	range->device = card;
	range = pci_add_bar(&card->function, 2, PCI_BAR_MEMORY, sizeof(card->frame_buffer));
	range->pages = card->frame_buffer;
	range->direct = BUS_DIRECT_WRITE;
	pci_add_bar(&card->function, 4, PCI_BAR_MEMORY_64, 8192);
	range = pci_add_bar(&card->function, PCI_BAR_ROM_6, PCI_BAR_ROM, sizeof(card->rom));
	range->pages = card->rom;
	range->direct = BUS_DIRECT_READ;
	pci_add_msi(&card->function, CARD_MSI, 2);
	pci_add_msix(&card->function, &card->msix, CARD_MSIX, 70, 4, 4096);
	card->function.written = card_written;
	card->function.device = card;
	return pci_add(&board->pci, slot, number, &card->function);
}
