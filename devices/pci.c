/*
 * PCI configuration mechanism #1 (PCI Local Bus 3.0, 3.2.2.3.2) for bus 0, which holds the host
 * bridge alone.
 *
 * The bridge carries the ids of the 440BX, which operating systems know and want nothing of. Port
 * 0xCF9, the reset control of its south bridge, is the second byte of the address register's range:
 * a byte access means it, a dword the address.
 */
#include "devices/parts.h"

#include <string.h>

#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu

#define RESET_SYSTEM 0x02
#define RESET_NOW    0x04

#define BRIDGE_VENDOR 0x8086
#define BRIDGE_DEVICE 0x7192

#define COMMAND_IO     0x01
#define COMMAND_MEMORY 0x02
#define COMMAND_MASTER 0x04

#define CLASS_BRIDGE 0x06

static uint64_t address_read(void *device, uint32_t offset, unsigned int size)
{
	const struct pci *pci = device;

	if (offset == 1 && size == 1) {
		return pci->reset_control;
	}
	return offset == 0 && size == 4 ? pci->address : UINT32_MAX;
}

static void address_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct pci *pci = device;

	if (offset == 0 && size == 4) {
		pci->address = value & ADDRESS_WRITABLE;
	} else if (offset == 1 && size == 1) {
		bool now = (value & RESET_NOW) && !(pci->reset_control & RESET_NOW);

		pci->reset_control = value & (RESET_SYSTEM | RESET_NOW);
		if (now) {
			host_power(pci->host, HOST_POWER_RESET);
		}
	}
}

/* The function that the address register selects, or NULL. */
static struct pci_function *selected(struct pci *pci)
{
	unsigned int bus = pci->address >> 16 & 0xff;
	unsigned int slot = pci->address >> 11 & 0x1f;
	unsigned int function = pci->address >> 8 & 7;

	if (!(pci->address & ADDRESS_ENABLE) || bus != 0 || function != 0) {
		return NULL;
	}
	return pci->slots[slot];
}

static uint64_t data_read(void *device, uint32_t offset, unsigned int size)
{
	struct pci *pci = device;
	const struct pci_function *function = selected(pci);
	uint32_t at = (pci->address & 0xfc) + offset, value = 0;

	if (function == NULL) {
		return UINT32_MAX;
	}
	memcpy(&value, &function->config[at], size);
	return value;
}

static void data_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct pci *pci = device;
	struct pci_function *function = selected(pci);
	uint32_t at = (pci->address & 0xfc) + offset;
	unsigned int i;

	if (function == NULL) {
		return;
	}
	for (i = 0; i < size; i++) {
		uint8_t mask = function->writable[at + i];
		uint8_t *byte = &function->config[at + i];

		*byte = (uint8_t)((*byte & ~mask) | (value >> (8 * i) & mask));
	}
}

void pci_reset(struct pci *pci)
{
	struct pci_function *bridge = &pci->bridge;

	pci->address = 0;
	pci->reset_control = 0;
	memset(bridge, 0, sizeof(*bridge));
	bridge->config[0x00] = BRIDGE_VENDOR & 0xff;
	bridge->config[0x01] = BRIDGE_VENDOR >> 8;
	bridge->config[0x02] = BRIDGE_DEVICE & 0xff;
	bridge->config[0x03] = BRIDGE_DEVICE >> 8;
	bridge->config[0x04] = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER;
	bridge->config[0x08] = 3; /* revision */
	bridge->config[0x0b] = CLASS_BRIDGE;
	bridge->writable[0x04] = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER;
	pci->slots[0] = bridge;
}

const struct device_class pci_address_class = {"pci-address", 4, address_read, address_write};
const struct device_class pci_data_class = {"pci-data", 4, data_read, data_write};
