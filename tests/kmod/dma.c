// SPDX-License-Identifier: GPL-2.0
/*
 * QEMU's edu device copies between memory and a buffer of its own by DMA, at any address that it is
 * told. Each copy takes it a tenth of a second. Here it is told to read and write what the root
 * does not have.
 */
#include "protect.h"

#include <linux/delay.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/string.h>

#include <asm/mshyperv.h>

#define EDU_VENDOR  0x1234
#define EDU_DEVICE  0x11e8
#define REG_SOURCE  0x80
#define REG_TARGET  0x88
#define REG_COUNT   0x90
#define REG_COMMAND 0x98
#define EDU_BUFFER  0x40000
#define START       1u
#define TO_MEMORY   2u
#define TRIES       100
/* Messages (MSI): where they are written, at which processor (0); an edge of a vector, another kind
 * of interrupt */
#define INTERRUPTS    0xfee00000ull
#define UNUSED_VECTOR 0xd7
#define NMI           0x400
#define MINE          0x64656b636174746full /* what the device is told to write */
#define OTHER         0x6f74686572776973ull

static void __iomem *registers;
static uint64_t *page; /* the root's own */

static bool copy_bytes(uint64_t from, uint64_t to, uint32_t direction, uint32_t bytes)
{
	writeq(from, registers + REG_SOURCE);
	writeq(to, registers + REG_TARGET);
	writeq(bytes, registers + REG_COUNT);
	writel(START | direction, registers + REG_COMMAND);
	for (unsigned int i = 0; i < TRIES; i++) {
		msleep(20);
		if (!(readl(registers + REG_COMMAND) & START)) {
			return true;
		}
	}
	return false;
}

static bool copy(uint64_t from, uint64_t to, uint32_t direction)
{
	return copy_bytes(from, to, direction, PAGE_SIZE);
}

static bool read_from(uint64_t address)
{
	return copy(address, EDU_BUFFER, 0);
}

static bool write_to(uint64_t address)
{
	return copy(EDU_BUFFER, address, TO_MEMORY);
}

/* The device's buffer is full of this word. */
static bool load(uint64_t word)
{
	memset64(page, word, PAGE_SIZE / 8);
	return read_from(virt_to_phys(page));
}

/* What is in the device's buffer, into the page. */
static bool fetch(void)
{
	return write_to(virt_to_phys(page));
}

/* Something came that was neither there before nor is the answer to a read of nothing. */
static bool came(uint64_t before)
{
	for (unsigned int i = 0; i < PAGE_SIZE / 8; i++) {
		if (page[i] != before && page[i] && page[i] != ~0ull) {
			return true;
		}
	}
	return false;
}

static void try_address(const char *what, uint64_t address)
{
	bool done, read, wrote;

	done = load(OTHER) && read_from(address) && fetch();
	read = came(OTHER);
	/* What was written is there if it can be read back. */
	done = done && load(MINE) && write_to(address) && load(OTHER) && read_from(address) &&
	       fetch();
	wrote = page[0] == MINE;
	pr_info("protect: dma: %s %s, %s\n", what, read ? "read" : "not read",
		!done   ? "the device is stuck"
		: wrote ? "written"
			: "not written");
}

/* What arrives the kernel tells. */
static void try_interrupt(const char *what, uint32_t message)
{
	bool done = load(message) && copy_bytes(EDU_BUFFER, INTERRUPTS, TO_MEMORY, sizeof(message));

	pr_info("protect: dma: %s %s\n", what, done ? "sent" : "is stuck");
}

static void try_all(uint64_t base, uint64_t size)
{
	uint64_t *target = (uint64_t *)get_zeroed_page(GFP_KERNEL);

	if (target == NULL) {
		return;
	}
	memset64(target, OTHER + 1, PAGE_SIZE / 8);
	try_address("own page", virt_to_phys(target));
	try_interrupt("vector that nobody has", UNUSED_VECTOR);
	try_interrupt("NMI", NMI);
	if (hv_is_hyperv_initialized() && !protect_deposit(target)) {
		try_address("deposited page", virt_to_phys(target));
		try_address("first page", base);
		try_address("last page", base + size - PAGE_SIZE);
	}
}

void protect_try_dma(unsigned long base, unsigned long size)
{
	struct pci_dev *device = pci_get_device(EDU_VENDOR, EDU_DEVICE, NULL);

	if (device == NULL || pci_enable_device(device)) {
		return;
	}
	pci_set_master(device);
	page = (uint64_t *)get_zeroed_page(GFP_KERNEL);
	registers = pci_iomap(device, 0, 0);
	if (page != NULL && registers != NULL) {
		try_all(base, size);
	}
	pci_iounmap(device, registers);
	pci_dev_put(device);
}
