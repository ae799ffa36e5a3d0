/*
 * PCI bus 0 (PCI Local Bus 3.0): configuration mechanism #1 (3.2.2.3.2), functions and their BARs
 * (6.1, 6.2), and INTx on four lines, turned by slots as everywhere (2.2.6).
 *
 * Port 0xCF9, the reset control of the PIIX, is the second byte of the address register's range: a
 * byte access means it, a dword the address.
 */
#include "devices/parts.h"

#include <string.h>

#include "lib/check.h"
#include "lib/state.h"

#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu

#define RESET_SYSTEM 0x02
#define RESET_NOW    0x04

#define CONFIG_VENDOR           0x00
#define CONFIG_DEVICE           0x02
#define CONFIG_REVISION         0x08
#define CONFIG_CLASS            0x09
#define CONFIG_CACHE_LINE       0x0c
#define CONFIG_LATENCY          0x0d
#define CONFIG_HEADER_TYPE      0x0e
#define CONFIG_SUBSYSTEM_VENDOR 0x2c
#define CONFIG_SUBSYSTEM        0x2e
#define CONFIG_CAPABILITIES     0x34
#define CONFIG_LINE             0x3c
#define CONFIG_PIN              0x3d

#define CLASS_BRIDGE 0x06

#define HEADER_MULTI_FUNCTION 0x80

#define BAR_IO           0x1
#define BAR_64           0x4
#define BAR_ROM_ENABLE   0x1
#define FIRST_CAPABILITY 0x40

static void set_16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

static void set_32(uint8_t *at, uint32_t value)
{
	set_16(at, (uint16_t)value);
	set_16(at + 2, (uint16_t)(value >> 16));
}

static uint32_t get_32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint16_t command_of(const struct pci_function *function)
{
	return (uint16_t)get_32(&function->config[PCI_COMMAND]);
}

bool pci_is_master(const struct pci_function *function)
{
	return command_of(function) & PCI_COMMAND_MASTER;
}

/* ---- Making a function ---- */

void pci_function_init(struct pci_function *function, const struct pci_identity *identity)
{
	uint8_t *config = function->initial;

	memset(function, 0, sizeof(*function));
	set_16(&config[CONFIG_VENDOR], identity->vendor);
	set_16(&config[CONFIG_DEVICE], identity->device);
	config[CONFIG_REVISION] = identity->revision;
	set_16(&config[CONFIG_CLASS], (uint16_t)identity->class_code);
	config[CONFIG_CLASS + 2] = (uint8_t)(identity->class_code >> 16);
	set_16(&config[CONFIG_SUBSYSTEM_VENDOR], identity->subsystem_vendor);
	set_16(&config[CONFIG_SUBSYSTEM], identity->subsystem);
	config[CONFIG_PIN] = identity->pin;
	function->writable[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (identity->class_code >> 16 != CLASS_BRIDGE) {
		function->writable[CONFIG_CACHE_LINE] = 0xff;
		function->writable[CONFIG_LATENCY] = 0xff;
	}
	if (identity->pin != 0) {
		function->writable[PCI_COMMAND + 1] = PCI_COMMAND_NO_INTX >> 8;
		function->writable[CONFIG_LINE] = 0xff;
	}
}

static unsigned int bar_at(unsigned int index)
{
	return index == PCI_BAR_ROM_6 ? PCI_ROM : PCI_BAR_0 + 4 * index;
}

struct bus_range *pci_add_bar(struct pci_function *function, unsigned int index,
			      enum pci_bar_kind kind, uint64_t length)
{
	static const struct {
		uint64_t least, most;
		uint32_t bits;
	} kinds[] = {
		[PCI_BAR_IO] = {4, 256, BAR_IO},
		[PCI_BAR_MEMORY] = {16, 1u << 31, 0},
		[PCI_BAR_MEMORY_64] = {16, 1ull << 40, BAR_64},
		[PCI_BAR_ROM] = {2048, 16u << 20, 0},
	};
	struct pci_bar *bar = &function->bars[index];
	unsigned int at = bar_at(index);

	CHECK(index < PCI_BARS && bar->kind == PCI_BAR_NONE && kind != PCI_BAR_NONE);
	CHECK((kind == PCI_BAR_ROM) == (index == PCI_BAR_ROM_6));
	CHECK(length >= kinds[kind].least && length <= kinds[kind].most &&
	      !(length & (length - 1)));
	set_32(&function->initial[at], kinds[kind].bits);
	set_32(&function->writable[at], (uint32_t)-length);
	if (kind == PCI_BAR_MEMORY_64) {
		CHECK(index + 1 < PCI_BAR_ROM_6);
		set_32(&function->writable[at + 4], (uint32_t)(-length >> 32));
	} else if (kind == PCI_BAR_ROM) {
		function->writable[at] |= BAR_ROM_ENABLE;
	}
	bar->kind = kind;
	bar->range = (struct bus_range){.length = length, .priority = BUS_PRIORITY_PCI};
	return &bar->range;
}

void pci_add_capability(struct pci_function *function, unsigned int at, uint8_t id,
			unsigned int length)
{
	uint8_t *config = function->initial;

	CHECK(at >= FIRST_CAPABILITY && at % 4 == 0 && at + length <= PCI_CONFIG_BYTES);
	config[at] = id;
	config[at + 1] = config[CONFIG_CAPABILITIES];
	config[CONFIG_CAPABILITIES] = (uint8_t)at;
	config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
}

/* The first function of a slot says whether there are more. */
static void tell_of_functions(struct pci *pci, unsigned int slot)
{
	struct pci_function *first = pci->functions[slot][0];
	unsigned int i;

	for (i = 1; first != NULL && i < PCI_FUNCTIONS; i++) {
		if (pci->functions[slot][i] != NULL) {
			first->initial[CONFIG_HEADER_TYPE] |= HEADER_MULTI_FUNCTION;
			first->config[CONFIG_HEADER_TYPE] |= HEADER_MULTI_FUNCTION;
		}
	}
}

/* The vectors first: of two ranges in one place the first one counts. */
static bool add_ranges(struct pci *pci, struct pci_function *function)
{
	unsigned int i;

	if (function->msix != NULL && !bus_add(pci->memory, &function->msix->range)) {
		return false;
	}
	for (i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &function->bars[i];
		struct bus *bus = bar->kind == PCI_BAR_IO ? pci->ports : pci->memory;

		if (bar->kind != PCI_BAR_NONE && !bus_add(bus, &bar->range)) {
			return false;
		}
	}
	return true;
}

bool pci_add(struct pci *pci, unsigned int slot, unsigned int number, struct pci_function *function)
{
	if (slot >= PCI_SLOTS || number >= PCI_FUNCTIONS || pci->functions[slot][number] != NULL ||
	    !add_ranges(pci, function)) {
		return false;
	}
	function->pci = pci;
	function->slot = (uint8_t)slot;
	function->number = (uint8_t)number;
	memcpy(function->config, function->initial, sizeof(function->config));
	pci->functions[slot][number] = function;
	tell_of_functions(pci, slot);
	return true;
}

/* ---- BARs ---- */

/*
 * Where a BAR puts its range. Not decoded: 0, which is "no place yet"; and ends of the address
 * space that a guest writes to learn the size.
 */
static bool is_place(enum pci_bar_kind kind, uint64_t base, uint64_t length)
{
	switch (kind) {
	case PCI_BAR_IO:
		return base != 0 && base + length <= 0x10000;
	case PCI_BAR_MEMORY_64:
		return base != 0 && base < -length;
	default:
		return base != 0 && base + length < 1ull << 32;
	}
}

/* True: the range is not where it was. */
static bool place(struct bus_range *range, bool enabled, uint64_t base)
{
	if (range->enabled == enabled && (!enabled || range->base == base)) {
		return false;
	}
	range->enabled = enabled;
	range->base = enabled ? base : 0;
	return true;
}

static bool place_bar(struct pci_function *function, unsigned int index)
{
	struct pci_bar *bar = &function->bars[index];
	uint16_t command = function->hidden ? 0 : command_of(function);
	const uint8_t *at = &function->config[bar_at(index)];
	uint64_t base = get_32(at) & (uint32_t)-bar->range.length;
	bool enabled = command & PCI_COMMAND_MEMORY;

	if (bar->kind == PCI_BAR_IO) {
		enabled = command & PCI_COMMAND_IO;
	} else if (bar->kind == PCI_BAR_ROM) {
		enabled = enabled && (*at & BAR_ROM_ENABLE);
	} else if (bar->kind == PCI_BAR_MEMORY_64) {
		base |= (uint64_t)get_32(at + 4) << 32;
	}
	return place(&bar->range, enabled && is_place(bar->kind, base, bar->range.length), base);
}

static void place_bars(struct pci_function *function)
{
	bool ports = false, memory = false;
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++) {
		if (function->bars[i].kind == PCI_BAR_IO) {
			ports |= place_bar(function, i);
		} else if (function->bars[i].kind != PCI_BAR_NONE) {
			memory |= place_bar(function, i);
		}
	}
	if (function->msix != NULL) {
		const struct bus_range *bar = &function->bars[function->msix->bar].range;

		memory |= place(&function->msix->range, bar->enabled,
				bar->base + function->msix->offset);
	}
	if (ports) {
		bus_update(function->pci->ports);
	}
	if (memory) {
		bus_update(function->pci->memory);
	}
}

/* ---- INTx ---- */

static unsigned int pirq_of(const struct pci_function *function)
{
	return (function->slot + function->config[CONFIG_PIN] + PCI_PIRQS - 2) % PCI_PIRQS;
}

static void update_pirq(struct pci *pci, unsigned int pirq)
{
	struct irq_source *source = &pci->pirqs[pirq];

	if (source->line != PCI_NO_LINE) {
		irq_set(source, pci->pirq_holders[pirq] != 0);
	}
}

static bool wants_line(const struct pci_function *function)
{
	return function->intx && !(command_of(function) & PCI_COMMAND_NO_INTX) &&
	       !pci_sends(function);
}

static void update_intx(struct pci_function *function)
{
	bool line = wants_line(function);
	unsigned int pirq = pirq_of(function);
	struct pci *pci = function->pci;

	if (function->intx) {
		function->config[PCI_STATUS] |= PCI_STATUS_INTX;
	} else {
		function->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
	}
	if (line != function->line) {
		function->line = line;
		pci->pirq_holders[pirq] = (uint8_t)(pci->pirq_holders[pirq] + (line ? 1 : -1));
		update_pirq(pci, pirq);
	}
}

void pci_set_intx(struct pci_function *function, bool level)
{
	CHECK(function->initial[CONFIG_PIN] != 0);
	function->intx = level;
	update_intx(function);
}

void pci_route(struct pci *pci, unsigned int pirq, unsigned int line)
{
	struct irq_source *source = &pci->pirqs[pirq];

	if (source->line == line) {
		return;
	}
	irq_set(source, false);
	source->line = (uint8_t)line;
	update_pirq(pci, pirq);
}

/* ---- The configuration's ports ---- */

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
	struct pci_function *function;

	if (!(pci->address & ADDRESS_ENABLE) || (pci->address >> 16 & 0xff) != 0) {
		return NULL;
	}
	function = pci->functions[pci->address >> 11 & 0x1f][pci->address >> 8 & 7];
	return function != NULL && !function->hidden ? function : NULL;
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
	place_bars(function);
	pci_msi_update(function);
	update_intx(function);
	if (function->written != NULL) {
		function->written(function->device, at, size);
	}
}

void pci_hide(struct pci_function *function, bool hide)
{
	if (function->hidden != hide) {
		function->hidden = hide;
		place_bars(function);
	}
}

/* ---- The bus ---- */

void pci_init(struct pci *pci, struct host *host, struct bus *ports, struct bus *memory,
	      struct irq *irq)
{
	unsigned int i;

	memset(pci, 0, sizeof(*pci));
	pci->host = host;
	pci->ports = ports;
	pci->memory = memory;
	for (i = 0; i < PCI_PIRQS; i++) {
		pci->pirqs[i] = (struct irq_source){.irq = irq, .line = PCI_NO_LINE};
	}
}

void pci_reset(struct pci *pci)
{
	unsigned int i, j;

	pci->address = 0;
	pci->reset_control = 0;
	for (i = 0; i < PCI_SLOTS; i++) {
		for (j = 0; j < PCI_FUNCTIONS; j++) {
			struct pci_function *function = pci->functions[i][j];

			if (function == NULL) {
				continue;
			}
			memcpy(function->config, function->initial, sizeof(function->config));
			if (function->msix != NULL) {
				pci_msix_reset(function->msix);
			}
			function->intx = false;
			place_bars(function);
			update_intx(function);
		}
	}
	for (i = 0; i < PCI_PIRQS; i++) {
		pci_route(pci, i, PCI_NO_LINE);
	}
}

/* ---- State ---- */

static void save_function(const struct pci_function *function, struct state_writer *writer)
{
	size_t begin = state_begin(writer, "function", 1);

	state_put_u8(writer, function->slot);
	state_put_u8(writer, function->number);
	state_put_bytes(writer, function->config, sizeof(function->config));
	if (function->msix != NULL) {
		pci_msix_save(function->msix, writer);
	}
	state_end(writer, begin);
}

/* It is this function and no other if what the guest cannot write is the same. */
static void check_config(const struct pci_function *function, const uint8_t *config,
			 const struct state_reader *part)
{
	unsigned int at;

	for (at = 0; at < PCI_CONFIG_BYTES; at++) {
		uint8_t free = function->writable[at] | pci_msi_changes(function, at);

		if (at == PCI_STATUS && function->initial[CONFIG_PIN] != 0) {
			free |= PCI_STATUS_INTX;
		}
		if ((config[at] ^ function->initial[at]) & ~free) {
			state_refuse(part, "is another one than the machine has");
		}
	}
}

static void load_function(struct pci_function *function, struct state_reader *list, bool set)
{
	struct state_reader part = state_part(list, "function", 1);
	uint8_t slot = state_u8(&part), number = state_u8(&part), config[PCI_CONFIG_BYTES];

	state_bytes(&part, config, sizeof(config));
	if (slot != function->slot || number != function->number) {
		state_refuse(&part, "is at another place than the machine has it");
	}
	check_config(function, config, &part);
	if (function->msix != NULL) {
		pci_msix_load(function->msix, &part, set);
	}
	state_finish(&part);
	if (set && state_ok(&part)) {
		memcpy(function->config, config, sizeof(config));
		function->intx = config[PCI_STATUS] & PCI_STATUS_INTX;
	}
}

static void pci_save(const void *device, struct state_writer *writer)
{
	const struct pci *pci = device;
	unsigned int i, j;

	state_put_u32(writer, pci->address);
	state_put_u8(writer, pci->reset_control);
	for (i = 0; i < PCI_PIRQS; i++) {
		state_put_u8(writer, pci->pirqs[i].line);
	}
	for (i = 0; i < PCI_SLOTS; i++) {
		for (j = 0; j < PCI_FUNCTIONS; j++) {
			if (pci->functions[i][j] != NULL) {
				save_function(pci->functions[i][j], writer);
			}
		}
	}
}

/* What follows from the configuration: places, and who holds which PIRQ. */
static void restore_functions(struct pci *pci)
{
	unsigned int i, j;

	memset(pci->pirq_holders, 0, sizeof(pci->pirq_holders));
	for (i = 0; i < PCI_SLOTS; i++) {
		for (j = 0; j < PCI_FUNCTIONS; j++) {
			struct pci_function *function = pci->functions[i][j];

			if (function != NULL) {
				place_bars(function);
				function->line = wants_line(function);
				pci->pirq_holders[pirq_of(function)] += function->line;
			}
		}
	}
	for (i = 0; i < PCI_PIRQS; i++) {
		pci->pirqs[i].level =
			pci->pirqs[i].line != PCI_NO_LINE && pci->pirq_holders[i] != 0;
	}
}

static void pci_load(void *device, struct state_reader *part, bool set)
{
	struct pci *pci = device;
	struct state_reader again = *part;
	uint32_t address = state_u32(part);
	uint8_t reset_control = get_bits(part, RESET_SYSTEM | RESET_NOW), lines[PCI_PIRQS];
	unsigned int i, j;

	for (i = 0; i < PCI_PIRQS; i++) {
		lines[i] = state_u8(part);
		if (lines[i] >= 16 && lines[i] != PCI_NO_LINE) {
			state_refuse(part, "has a line that does not exist");
		}
	}
	if (address & ~ADDRESS_WRITABLE) {
		state_refuse(part, "has a register with bits that it does not have");
	}
	for (i = 0; i < PCI_SLOTS; i++) {
		for (j = 0; j < PCI_FUNCTIONS; j++) {
			if (pci->functions[i][j] != NULL) {
				load_function(pci->functions[i][j], part, false);
			}
		}
	}
	if (!set || !state_ok(part)) {
		return;
	}
	state_span(&again, 4 + 1 + PCI_PIRQS);
	for (i = 0; i < PCI_SLOTS; i++) {
		for (j = 0; j < PCI_FUNCTIONS; j++) {
			if (pci->functions[i][j] != NULL) {
				load_function(pci->functions[i][j], &again, true);
			}
		}
	}
	pci->address = address;
	pci->reset_control = reset_control;
	for (i = 0; i < PCI_PIRQS; i++) {
		pci->pirqs[i].line = lines[i];
	}
	restore_functions(pci);
}

const struct device_class pci_address_class = {
	.name = "pci-address", .width = 4, .read = address_read, .write = address_write};
const struct device_class pci_data_class = {.name = "pci",
					    .width = 4,
					    .read = data_read,
					    .write = data_write,
					    .version = 1,
					    .save = pci_save,
					    .load = pci_load};
