/*
 * Interrupts that are memory writes: MSI (PCI Local Bus 3.0, 6.8.1) with mask bits, and MSI-X
 * (6.8.2).
 *
 * A masked vector that is sent becomes pending, and goes when it is unmasked. What is written to is
 * a local APIC (SDM volume 3, 11.11); a message to another address is lost, as is one of a function
 * that may not write memory.
 */
#include "devices/pci.h"

#include <string.h>

#include "devices/host.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "lib/state.h"

#define CAPABILITY_MSI  0x05
#define CAPABILITY_MSIX 0x11

/* Of MSI, from the capability on. */
#define MSI_CONTROL 2
#define MSI_ADDRESS 4
#define MSI_DATA    12
#define MSI_MASK    16
#define MSI_PENDING 20
#define MSI_LENGTH  24

#define CONTROL_ENABLE         0x0001
#define CONTROL_COUNT(control) ((control) >> 4 & 7) /* as a power of two, that the guest wants */
#define CONTROL_64             0x0080
#define CONTROL_MASKS          0x0100

/* Of MSI-X. */
#define MSIX_CONTROL 2
#define MSIX_TABLE   4
#define MSIX_PBA     8
#define MSIX_LENGTH  12

#define MSIX_CONTROL_MASK   0x4000
#define MSIX_CONTROL_ENABLE 0x8000

#define ENTRY_ADDRESS 0
#define ENTRY_DATA    2
#define ENTRY_CONTROL 3
#define ENTRY_MASKED  0x1

#define APIC_BASE_MEGABYTE 0xfee

static const uint32_t entry_writable[4] = {0xfffffffc, 0xffffffff, 0xffffffff, ENTRY_MASKED};

static uint16_t get_16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint32_t get_32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void set_16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void set_32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void send(const struct pci_function *function, uint64_t address, uint32_t data)
{
	struct host_interrupt interrupt = {
		.destination = address >> 12 & 0xff,
		.vector = (uint8_t)data,
		.delivery_mode = data >> 8 & 7,
		.logical = address >> 2 & 1,
		.level = data >> 15 & 1,
	};

	if (pci_is_master(function) && address >> 20 == APIC_BASE_MEGABYTE) {
		host_interrupt(function->pci->host, &interrupt);
	}
}

/* ---- MSI ---- */

void pci_add_msi(struct pci_function *function, unsigned int at, unsigned int log2_count)
{
	uint8_t *initial = &function->initial[at], *writable = &function->writable[at];

	CHECK(log2_count <= 5 && function->msi_offset == 0);
	pci_add_capability(function, at, CAPABILITY_MSI, MSI_LENGTH);
	set_16(initial + MSI_CONTROL, (uint16_t)(log2_count << 1 | CONTROL_64 | CONTROL_MASKS));
	set_16(writable + MSI_CONTROL, CONTROL_ENABLE | 7 << 4);
	set_32(writable + MSI_ADDRESS, 0xfffffffc);
	set_32(writable + MSI_ADDRESS + 4, 0xffffffff);
	set_16(writable + MSI_DATA, 0xffff);
	set_32(writable + MSI_MASK, (uint32_t)((1ull << (1u << log2_count)) - 1));
	function->msi_offset = (uint8_t)at;
}

static bool msi_enabled(const struct pci_function *function)
{
	return function->msi_offset != 0 &&
	       (function->config[function->msi_offset + MSI_CONTROL] & CONTROL_ENABLE);
}

/* How many vectors the guest has given it: no more than it asked for. */
static unsigned int msi_count(const uint8_t *capability)
{
	unsigned int control = get_16(capability + MSI_CONTROL);
	unsigned int wanted = control >> 1 & 7, given = CONTROL_COUNT(control);

	return 1u << (given < wanted ? given : wanted);
}

/* The low bits of the data are the vector's number. */
static void msi_send(struct pci_function *function, unsigned int vector)
{
	uint8_t *capability = &function->config[function->msi_offset];
	unsigned int count = msi_count(capability);
	uint32_t data = get_16(capability + MSI_DATA);
	uint64_t address = get_32(capability + MSI_ADDRESS) |
			   (uint64_t)get_32(capability + MSI_ADDRESS + 4) << 32;

	vector &= count - 1;
	if (get_32(capability + MSI_MASK) >> vector & 1) {
		set_32(capability + MSI_PENDING, get_32(capability + MSI_PENDING) | 1u << vector);
	} else {
		send(function, address, (data & ~(count - 1)) | vector);
	}
}

static void msi_update(struct pci_function *function)
{
	uint8_t *capability = &function->config[function->msi_offset];
	uint32_t due = get_32(capability + MSI_PENDING) & ~get_32(capability + MSI_MASK);
	unsigned int vector;

	set_32(capability + MSI_PENDING, get_32(capability + MSI_PENDING) & ~due);
	for (vector = 0; due != 0; vector++, due >>= 1) {
		if (due & 1) {
			msi_send(function, vector);
		}
	}
}

/* ---- MSI-X ---- */

static uint16_t msix_control(const struct pci_function *function)
{
	return get_16(&function->config[function->msix_offset + MSIX_CONTROL]);
}

static bool msix_enabled(const struct pci_function *function)
{
	return function->msix != NULL && (msix_control(function) & MSIX_CONTROL_ENABLE);
}

static void msix_send(struct pci_msix *msix, unsigned int vector)
{
	const uint32_t *entry = msix->table[vector];

	if ((entry[ENTRY_CONTROL] & ENTRY_MASKED) ||
	    (msix_control(msix->function) & MSIX_CONTROL_MASK)) {
		msix->pending[vector / 64] |= 1ull << vector % 64;
	} else {
		msix->pending[vector / 64] &= ~(1ull << vector % 64);
		send(msix->function,
		     entry[ENTRY_ADDRESS] | (uint64_t)entry[ENTRY_ADDRESS + 1] << 32,
		     entry[ENTRY_DATA]);
	}
}

static void msix_update(struct pci_msix *msix)
{
	unsigned int vector;

	for (vector = 0; vector < msix->count; vector++) {
		if (msix->pending[vector / 64] >> vector % 64 & 1) {
			msix_send(msix, vector);
		}
	}
}

/* Accesses are of 4 or 8 bytes; of narrower ones reads give their part, and writes are lost. */
static uint32_t msix_word(const struct pci_msix *msix, uint32_t offset)
{
	uint32_t at = offset % PCI_MSIX_PBA;

	if (offset < PCI_MSIX_PBA) {
		return at < msix->count * 16 ? msix->table[at / 16][at / 4 % 4] : 0;
	}
	return at < sizeof(msix->pending) ? (uint32_t)(msix->pending[at / 8] >> at / 4 % 2 * 32)
					  : 0;
}

static uint64_t msix_read(void *device, uint32_t offset, unsigned int size)
{
	const struct pci_msix *msix = device;
	uint64_t value = msix_word(msix, offset & ~3u);

	if (size == 8) {
		return value | (uint64_t)msix_word(msix, (offset & ~3u) + 4) << 32;
	}
	return value >> offset % 4 * 8;
}

static void msix_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct pci_msix *msix = device;
	uint32_t at;

	if (size < 4 || offset % 4 != 0) {
		return;
	}
	for (at = offset; at < offset + size; at += 4, value >>= 32) {
		if (at < msix->count * 16) {
			msix->table[at / 16][at / 4 % 4] =
				(uint32_t)value & entry_writable[at / 4 % 4];
		}
	}
	if (msix_enabled(msix->function)) {
		msix_update(msix);
	}
}

static const struct device_class msix_class = {
	.name = "msix", .width = 8, .read = msix_read, .write = msix_write};

void pci_msix_reset(struct pci_msix *msix)
{
	unsigned int i;

	memset(msix->table, 0, sizeof(msix->table));
	memset(msix->pending, 0, sizeof(msix->pending));
	for (i = 0; i < msix->count; i++) {
		msix->table[i][ENTRY_CONTROL] = ENTRY_MASKED;
	}
}

void pci_add_msix(struct pci_function *function, struct pci_msix *msix, unsigned int at,
		  unsigned int count, unsigned int bar, uint32_t offset)
{
	uint8_t *initial = &function->initial[at];
	const struct pci_bar *in = &function->bars[bar];

	CHECK(count >= 1 && count <= PCI_MSIX_MAX && function->msix == NULL);
	CHECK(bar < PCI_BAR_ROM_6 && in->kind != PCI_BAR_NONE && in->kind != PCI_BAR_IO);
	CHECK(offset % PCI_MSIX_LENGTH == 0 && in->range.length >= PCI_MSIX_LENGTH &&
	      offset <= in->range.length - PCI_MSIX_LENGTH);
	pci_add_capability(function, at, CAPABILITY_MSIX, MSIX_LENGTH);
	set_16(initial + MSIX_CONTROL, (uint16_t)(count - 1));
	set_32(initial + MSIX_TABLE, offset | bar);
	set_32(initial + MSIX_PBA, (offset + PCI_MSIX_PBA) | bar);
	set_16(&function->writable[at + MSIX_CONTROL], MSIX_CONTROL_ENABLE | MSIX_CONTROL_MASK);
	memset(msix, 0, sizeof(*msix));
	msix->function = function;
	msix->count = count;
	msix->bar = (uint8_t)bar;
	msix->offset = offset;
	msix->range = (struct bus_range){.length = PCI_MSIX_LENGTH,
					 .class = &msix_class,
					 .device = msix,
					 .priority = BUS_PRIORITY_PCI};
	pci_msix_reset(msix);
	function->msix = msix;
	function->msix_offset = (uint8_t)at;
}

void pci_msix_save(const struct pci_msix *msix, struct state_writer *writer)
{
	unsigned int i, j;

	for (i = 0; i < msix->count; i++) {
		for (j = 0; j < 4; j++) {
			state_put_u32(writer, msix->table[i][j]);
		}
	}
	for (i = 0; i < ARRAY_COUNT(msix->pending); i++) {
		state_put_u64(writer, msix->pending[i]);
	}
}

void pci_msix_load(struct pci_msix *msix, struct state_reader *part, bool set)
{
	uint32_t table[PCI_MSIX_MAX][4] = {0};
	uint64_t pending[ARRAY_COUNT(msix->pending)];
	unsigned int i, j;

	for (i = 0; i < msix->count; i++) {
		for (j = 0; j < 4; j++) {
			table[i][j] = state_u32(part);
			if (table[i][j] & ~entry_writable[j]) {
				state_refuse(part, "has a vector that cannot be");
			}
		}
	}
	for (i = 0; i < ARRAY_COUNT(pending); i++) {
		pending[i] = state_u64(part);
		for (j = 0; j < 64; j++) {
			if (pending[i] >> j & 1 && 64 * i + j >= msix->count) {
				state_refuse(part, "has more vectors than the function");
			}
		}
	}
	if (set && state_ok(part)) {
		memcpy(msix->table, table, sizeof(msix->table));
		memcpy(msix->pending, pending, sizeof(msix->pending));
	}
}

/* ---- Both ---- */

uint8_t pci_msi_changes(const struct pci_function *function, unsigned int at)
{
	unsigned int pending = function->msi_offset + MSI_PENDING;

	if (function->msi_offset == 0 || at < pending || at >= pending + 4) {
		return 0;
	}
	return function->writable[at - MSI_PENDING + MSI_MASK];
}

bool pci_sends(const struct pci_function *function)
{
	return msi_enabled(function) || msix_enabled(function);
}

/* A guest enables one of the two; if both, MSI-X counts. */
void pci_send(struct pci_function *function, unsigned int vector)
{
	if (msix_enabled(function)) {
		CHECK(vector < function->msix->count);
		msix_send(function->msix, vector);
	} else if (msi_enabled(function)) {
		msi_send(function, vector);
	}
}

void pci_msi_update(struct pci_function *function)
{
	if (msix_enabled(function)) {
		msix_update(function->msix);
	} else if (msi_enabled(function)) {
		msi_update(function);
	}
}
