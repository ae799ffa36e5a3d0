/*
 * The IO-APIC (Intel 82093AA data sheet): an index and a data register in memory, 24 redirection
 * entries.
 *
 * A level-triggered entry sends once, sets remote IRR when a local APIC has taken it, and sends
 * again only after ioapic_end() if its line is still up. What none has taken will have no end: it
 * is tried again when the line rises or the entry is written. An edge that comes while the entry is
 * masked is sent when the mask goes, if the line is still up then: a device that waits for its
 * handler would wait for ever otherwise.
 */
#include "devices/parts.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10

#define INDEX_ID          0x00
#define INDEX_VERSION     0x01
#define INDEX_ARBITRATION 0x02
#define INDEX_TABLE       0x10

#define VERSION (0x11u | (IOAPIC_PINS - 1) << 16)

#define ENTRY_VECTOR         0xffull
#define ENTRY_MODE(e)        (((e) >> 8) & 7)
#define MODE_LOWEST_PRIORITY 1
#define ENTRY_LOGICAL        (1ull << 11)
#define ENTRY_REMOTE_IRR     (1ull << 14)
#define ENTRY_LEVEL          (1ull << 15)
#define ENTRY_MASKED         (1ull << 16)
#define ENTRY_DEST(e)        ((uint32_t)((e) >> 56))
/* Bits 55:49 carry destination bits 14:8 where the guest was told that it may use them. */
#define ENTRY_DEST_EXT(e) ((uint32_t)((e) >> 49) & 0x7f)
#define ENTRY_WRITABLE    0xfffe00000001afffull

/* Only these have an end that is told; the other modes are edges whatever the entry says. */
static bool is_level(uint64_t entry)
{
	return (entry & ENTRY_LEVEL) && ENTRY_MODE(entry) <= MODE_LOWEST_PRIORITY;
}

static bool send(struct ioapic *ioapic, uint64_t entry)
{
	struct host_interrupt interrupt = {
		.destination = ENTRY_DEST(entry) | ENTRY_DEST_EXT(entry) << 8,
		.vector = entry & ENTRY_VECTOR,
		.delivery_mode = ENTRY_MODE(entry),
		.logical = entry & ENTRY_LOGICAL,
		.level = is_level(entry),
	};

	return host_interrupt(ioapic->host, &interrupt);
}

static void service(struct ioapic *ioapic, unsigned int pin)
{
	uint64_t *entry = &ioapic->table[pin];
	uint32_t bit = 1u << pin;

	if (*entry & ENTRY_MASKED) {
		return;
	}
	if (is_level(*entry)) {
		if (!(ioapic->lines & bit) || (*entry & ENTRY_REMOTE_IRR)) {
			return;
		}
	} else if (!(ioapic->pending & bit)) {
		return;
	}
	ioapic->pending &= ~bit;
	if (send(ioapic, *entry) && is_level(*entry)) {
		*entry |= ENTRY_REMOTE_IRR;
	}
}

void ioapic_set_line(struct ioapic *ioapic, unsigned int pin, bool level)
{
	uint32_t bit = 1u << pin;

	if (!level) {
		ioapic->lines &= ~bit;
		ioapic->pending &= ~bit;
		return;
	}
	if (!(ioapic->lines & bit)) {
		ioapic->pending |= bit;
	}
	ioapic->lines |= bit;
	service(ioapic, pin);
}

void ioapic_end(struct ioapic *ioapic, uint8_t vector)
{
	unsigned int pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t *entry = &ioapic->table[pin];

		if ((*entry & ENTRY_REMOTE_IRR) && (*entry & ENTRY_VECTOR) == vector) {
			*entry &= ~ENTRY_REMOTE_IRR;
			service(ioapic, pin);
		}
	}
}

static void write_entry(struct ioapic *ioapic, unsigned int half, uint32_t value)
{
	unsigned int pin = half / 2, shift = half % 2 * 32;
	uint64_t *entry = &ioapic->table[pin];
	uint64_t mask = ENTRY_WRITABLE & (0xffffffffull << shift);

	*entry = (*entry & ~mask) | (((uint64_t)value << shift) & mask);
	/* Systems that lack a directed EOI end an interrupt by making the entry edge-triggered for
	 * a moment. */
	if (!is_level(*entry)) {
		*entry &= ~ENTRY_REMOTE_IRR;
	}
	service(ioapic, pin);
}

static void write_register(struct ioapic *ioapic, uint32_t value)
{
	if (ioapic->select == INDEX_ID) {
		ioapic->id = (value >> 24) & 0xf;
	} else if (ioapic->select >= INDEX_TABLE &&
		   ioapic->select < INDEX_TABLE + 2 * IOAPIC_PINS) {
		write_entry(ioapic, ioapic->select - INDEX_TABLE, value);
	}
}

static uint32_t read_register(const struct ioapic *ioapic)
{
	unsigned int half = ioapic->select - INDEX_TABLE;

	switch (ioapic->select) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return (uint32_t)ioapic->id << 24;
	case INDEX_VERSION:
		return VERSION;
	default:
		if (half >= 2 * IOAPIC_PINS) {
			return 0;
		}
		return (uint32_t)(ioapic->table[half / 2] >> (half % 2 * 32));
	}
}

/* Registers are 16 bytes apart and 32 bits wide; a narrower access reaches the low bytes alone. */
static uint64_t ioapic_read(void *device, uint32_t offset, unsigned int size)
{
	const struct ioapic *ioapic = device;

	(void)size;
	switch (offset) {
	case REG_SELECT:
		return ioapic->select;
	case REG_WINDOW:
		return read_register(ioapic);
	default:
		return 0;
	}
}

static void ioapic_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct ioapic *ioapic = device;

	if (offset == REG_SELECT) {
		ioapic->select = (uint8_t)value;
	} else if (offset == REG_WINDOW && size == 4) {
		write_register(ioapic, value);
	}
}

void ioapic_reset(struct ioapic *ioapic)
{
	unsigned int pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		ioapic->table[pin] = ENTRY_MASKED;
	}
	ioapic->lines = 0;
	ioapic->pending = 0;
	ioapic->select = 0;
	ioapic->id = 0;
}

static void ioapic_save(const void *device, struct state_writer *writer)
{
	const struct ioapic *ioapic = device;
	unsigned int pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		state_put_u64(writer, ioapic->table[pin]);
	}
	state_put_u32(writer, ioapic->pending);
	state_put_u8(writer, ioapic->select);
	state_put_u8(writer, ioapic->id);
}

static void ioapic_load(void *device, struct state_reader *part, bool set)
{
	struct ioapic *ioapic = device, loaded = *ioapic;
	unsigned int pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t entry = state_u64(part);

		if ((entry & ~(ENTRY_WRITABLE | ENTRY_REMOTE_IRR)) ||
		    ((entry & ENTRY_REMOTE_IRR) && !is_level(entry))) {
			state_refuse(part, "has an entry that cannot be");
		}
		loaded.table[pin] = entry;
	}
	loaded.pending = state_u32(part);
	loaded.select = state_u8(part);
	loaded.id = get_bits(part, 0x0f);
	if (set && state_ok(part)) {
		*ioapic = loaded;
	}
}

void ioapic_restore(struct ioapic *ioapic, uint32_t lines)
{
	ioapic->lines = lines;
	ioapic->pending &= lines;
}

const struct device_class ioapic_class = {.name = "ioapic",
					  .width = 4,
					  .read = ioapic_read,
					  .write = ioapic_write,
					  .version = 1,
					  .save = ioapic_save,
					  .load = ioapic_load};
