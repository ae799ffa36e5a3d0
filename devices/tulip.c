/*
 * Registers of the 21140A (manual 3.2), its interrupt, the general purpose timer, resets, and its
 * saved state. See tulip.h.
 *
 * CSR n is at 8 * n of both BARs, the I/O ports and the memory, and is accessed in words of 32
 * bits; what is narrower reads a part, and writes what its neighbours then have zeros of.
 */
#include "devices/parts.h"

#include <string.h>

#include "lib/check.h"

#define BAR_BYTES  128u
#define IO_BAR     0
#define MEMORY_BAR 1

#define CONFIG_LATENCIES 0x3e /* MIN_GNT and MAX_LAT */
#define CONFIG_DRIVER    0x40 /* CFDD: sleep modes, a byte of the driver's */

#define CSR0_RESET 0x00000001u

#define CSR5_STICKY   0x00006fefu /* written as ones to clear */
#define CSR5_NORMAL   (TULIP_CSR5_TI | TULIP_CSR5_TU | TULIP_CSR5_RI | TULIP_CSR5_GTE | 0x00004000u)
#define CSR5_ABNORMAL (CSR5_STICKY & ~CSR5_NORMAL)
#define CSR5_AIS      0x00008000u
#define CSR5_NIS      0x00010000u

#define CSR6_FILTER (TULIP_HASH_PERFECT | TULIP_HASH_ONLY | TULIP_INVERSE) /* of the setup frame */
#define CSR11_AGAIN 0x00010000u
#define CSR12_SETS  0x00000100u

#define TIMER_TICK_NS 81920ull /* of an MII at 100 Mbit/s */

/* Bits that read as ones, and what is there after a reset. */
static const struct {
	uint32_t ones, initial, writable;
} registers[TULIP_CSRS] = {
	[0] = {0xfe000000, 0x00000000, 0x01a7ffff},
	[1] = {0xffffffff, 0, 0},
	[2] = {0xffffffff, 0, 0},
	[3] = {0, 0, 0xfffffffc},
	[4] = {0, 0, 0xfffffffc},
	[5] = {0xfc000000, 0, 0},
	[6] = {0x32000000, TULIP_CSR6_PR, 0xcfffffea},
	[7] = {0xfffe0000, 0, 0x0001efef},
	[8] = {0xe0000000, 0, 0},
	[9] = {0xfff08000, 0, 0x00077fff},
	[10] = {0, 0, 0x0003ffff},
	[11] = {0xfffe0000, 0, 0x0001ffff},
	[12] = {0xfffffe00, 0, 0x000000ff},
	[13] = {0xffffffff, 0, 0},
	[14] = {0xffffffff, 0, 0},
	[15] = {0xfffffe00, 0, 0x0000003f},
};

/* ---- The interrupt ---- */

static uint32_t summary(const struct tulip *tulip)
{
	uint32_t wanted = tulip->csr[5] & tulip->csr[7];

	return (wanted & CSR5_NORMAL ? CSR5_NIS : 0) | (wanted & CSR5_ABNORMAL ? CSR5_AIS : 0);
}

static bool interrupt_level(const struct tulip *tulip)
{
	return summary(tulip) & tulip->csr[7];
}

static void update_interrupt(struct tulip *tulip)
{
	pci_set_intx(&tulip->function, interrupt_level(tulip));
}

void tulip_say(struct tulip *tulip, uint32_t bits)
{
	tulip->csr[5] |= bits;
	update_interrupt(tulip);
}

void tulip_update_listen(struct tulip *tulip)
{
	bool any = (tulip->csr[6] & TULIP_CSR6_SR) && pci_is_master(&tulip->function);

	host_nic_listen(tulip->host, tulip->index,
			!any                     ? HOST_NIC_NOTHING
			: tulip_hears_own(tulip) ? HOST_NIC_OWN
						 : HOST_NIC_ALL);
}

/* ---- The timer ---- */

uint64_t tulip_deadline(const struct tulip *tulip)
{
	if (tulip->again) {
		return 0;
	}
	return tulip->timer_period != 0 ? tulip->timer_start + tulip->timer_period : HOST_NEVER;
}

static uint64_t timer_period_of(const struct tulip *tulip)
{
	return (tulip->csr[11] & 0xffff) * TIMER_TICK_NS;
}

static void expire(struct tulip *tulip, uint64_t now)
{
	if (tulip->timer_period == 0 || now - tulip->timer_start < tulip->timer_period) {
		return;
	}
	tulip->timer_start += tulip->timer_period;
	tulip->timer_period = tulip->csr[11] & CSR11_AGAIN ? timer_period_of(tulip) : 0;
	if (tulip->timer_period != 0) {
		tulip->timer_start +=
			(now - tulip->timer_start) / tulip->timer_period * tulip->timer_period;
	}
	tulip_say(tulip, TULIP_CSR5_GTE);
}

void tulip_advance(struct tulip *tulip, uint64_t now)
{
	if (tulip->function.pci == NULL) {
		return;
	}
	expire(tulip, now);
	if (tulip->again) {
		tulip_transmit(tulip);
	}
}

static void set_timer(struct tulip *tulip, uint32_t value)
{
	tulip->csr[11] = value;
	tulip->timer_start = host_time(tulip->host);
	tulip->timer_period = timer_period_of(tulip);
}

/* What is left of it. */
static uint32_t timer_count(const struct tulip *tulip)
{
	uint64_t gone = host_time(tulip->host) - tulip->timer_start;

	if (tulip->timer_period == 0 || gone >= tulip->timer_period) {
		return 0;
	}
	return (uint32_t)((tulip->timer_period - gone) / TIMER_TICK_NS);
}

/* ---- Resets ---- */

/* By the driver: its configuration, what the PHY was told and the pins' directions stay. */
static void reset_registers(struct tulip *tulip)
{
	unsigned int i;

	for (i = 0; i < TULIP_CSRS; i++) {
		tulip->csr[i] = registers[i].initial;
	}
	tulip->rx_state = TULIP_RX_STOPPED;
	tulip->tx_state = TULIP_TX_STOPPED;
	tulip->rx_at = tulip->tx_at = 0;
	tulip->timer_period = 0;
	tulip->again = tulip->in_frame = tulip->too_long = false;
	tulip->frame_length = 0;
	tulip->filter_mode = 0;
	memset(tulip->setup, 0, sizeof(tulip->setup));
	update_interrupt(tulip);
	tulip_update_listen(tulip);
}

void tulip_reset(struct tulip *tulip)
{
	if (tulip->function.pci != NULL) {
		tulip_wire_reset(&tulip->wire);
		tulip->gpio_direction = 0;
		reset_registers(tulip);
	}
}

/* ---- Registers ---- */

/* What is written of the mode starts and stops both sides. */
static void set_mode(struct tulip *tulip, uint32_t value)
{
	uint32_t before = tulip->csr[6];

	tulip->csr[6] = value & registers[6].writable;
	if (before & ~tulip->csr[6] & TULIP_CSR6_SR) {
		tulip->rx_state = TULIP_RX_STOPPED;
		tulip_say(tulip, TULIP_CSR5_RPS);
	} else if (tulip->csr[6] & ~before & TULIP_CSR6_SR) {
		tulip->rx_state = TULIP_RX_WAITING;
	}
	tulip_update_listen(tulip);
	if (before & ~tulip->csr[6] & TULIP_CSR6_ST) {
		tulip->tx_state = TULIP_TX_STOPPED;
		tulip->again = tulip->in_frame = false;
		tulip_say(tulip, TULIP_CSR5_TPS);
	} else if (tulip->csr[6] & ~before & TULIP_CSR6_ST) {
		tulip_transmit(tulip);
	}
}

static uint32_t read_register(struct tulip *tulip, unsigned int index)
{
	uint32_t value = tulip->csr[index] | registers[index].ones;

	switch (index) {
	case 5:
		return value | summary(tulip) | (uint32_t)tulip->rx_state << 17 |
		       (uint32_t)tulip->tx_state << 20;
	case 6:
		return value | tulip->filter_mode;
	case 8:
		tulip->csr[8] = 0;
		return value;
	case 9:
		return value | tulip_wire_read(tulip);
	case 11:
		return (value & ~0xffffu) | timer_count(tulip);
	case 12: /* pins that nobody drives are up */
		return value | (uint8_t)~tulip->gpio_direction;
	default:
		return value;
	}
}

static void write_register(struct tulip *tulip, unsigned int index, uint32_t value)
{
	uint32_t before = tulip->csr[index];
	uint32_t kept = value & registers[index].writable;

	switch (index) {
	case 0:
		tulip->csr[0] = kept & ~CSR0_RESET;
		if (value & CSR0_RESET) {
			reset_registers(tulip);
		}
		break;
	case 1:
		tulip_transmit(tulip);
		break;
	case 2:
		if (tulip->rx_state == TULIP_RX_SUSPENDED) {
			tulip->rx_state = TULIP_RX_WAITING;
		}
		tulip_update_listen(tulip); /* frames that wait are tried again */
		break;
	case 3:
		tulip->csr[3] = tulip->rx_at = kept;
		break;
	case 4:
		tulip->csr[4] = tulip->tx_at = kept;
		break;
	case 5:
		tulip->csr[5] &= ~(value & CSR5_STICKY);
		update_interrupt(tulip);
		break;
	case 6:
		set_mode(tulip, value);
		break;
	case 7:
		tulip->csr[7] = kept | (value & (CSR5_AIS | CSR5_NIS));
		update_interrupt(tulip);
		break;
	case 9:
		tulip->csr[9] = kept;
		tulip_wire_write(tulip, before, kept);
		break;
	case 11:
		set_timer(tulip, kept);
		break;
	case 12:
		if (value & CSR12_SETS) {
			tulip->gpio_direction = (uint8_t)value;
		} else {
			tulip->csr[12] = kept;
		}
		break;
	default:
		tulip->csr[index] = kept;
		break;
	}
}

static uint64_t tulip_read(void *device, uint32_t offset, unsigned int size)
{
	unsigned int shift = 8 * (offset % 4);

	(void)size;
	if (offset % 8 >= 4) {
		return 0;
	}
	return read_register(device, offset / 8) >> shift;
}

static void tulip_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	(void)size;
	if (offset % 8 == 0) {
		write_register(device, offset / 8, (uint32_t)value);
	}
}

/* ---- Its life ---- */

static void written(void *device, unsigned int at, unsigned int size)
{
	struct tulip *tulip = device;

	(void)size;
	if (at <= PCI_COMMAND) {
		tulip_update_listen(tulip);
	}
}

void tulip_create(struct tulip *tulip, struct host *host, struct pci *pci, unsigned int slot,
		  unsigned int index)
{
	/* As Hyper-V's: systems since Windows Vista know it by the subsystem. */
	static const struct pci_identity identity = {.vendor = 0x1011,
						     .device = 0x0009,
						     .subsystem_vendor = 0x0a00,
						     .subsystem = 0x2114,
						     .class_code = 0x020000,
						     .revision = 0x20,
						     .pin = 1};
	static const enum pci_bar_kind kinds[] = {
		[IO_BAR] = PCI_BAR_IO, [MEMORY_BAR] = PCI_BAR_MEMORY};
	struct pci_function *function = &tulip->function;
	unsigned int i;

	tulip->host = host;
	tulip->index = index;
	pci_function_init(function, &identity);
	function->initial[CONFIG_LATENCIES] = 0x14;
	function->initial[CONFIG_LATENCIES + 1] = 0x28;
	function->writable[CONFIG_DRIVER + 1] = 0xff;
	function->writable[CONFIG_DRIVER + 3] = 0xc0;
	for (i = 0; i < ARRAY_COUNT(kinds); i++) {
		struct bus_range *range = pci_add_bar(function, i, kinds[i], BAR_BYTES);

		range->class = &tulip_class;
		range->device = tulip;
	}
	function->written = written;
	function->device = tulip;
	CHECK(pci_add(pci, slot, 0, function));
}

void tulip_set_address(struct tulip *tulip, const uint8_t mac[6])
{
	memcpy(tulip->mac, mac, sizeof(tulip->mac));
	tulip_update_listen(tulip);
}

void tulip_set_link(struct tulip *tulip, bool up)
{
	tulip->link = up;
}

void tulip_room(struct tulip *tulip)
{
	if (tulip->tx_state == TULIP_TX_FULL) {
		tulip_transmit(tulip);
	}
}

void tulip_restore(struct tulip *tulip)
{
	if (tulip->function.pci != NULL) {
		tulip_update_listen(tulip);
	}
}

/* ---- A saved state ---- */

static void save_wire(const struct tulip_wire *wire, struct state_writer *writer)
{
	unsigned int i;

	state_put_u8(writer, (uint8_t)wire->srom_step);
	state_put_u8(writer, wire->srom_bits);
	state_put_u16(writer, wire->srom_shift);
	state_put_u8(writer, wire->srom_address);
	state_put_bool(writer, wire->srom_out);
	state_put_u8(writer, (uint8_t)wire->mii_step);
	state_put_u8(writer, wire->mii_bits);
	state_put_u8(writer, wire->mii_ones);
	state_put_u32(writer, wire->mii_shift);
	state_put_bool(writer, wire->mii_out);
	for (i = 0; i < TULIP_PHY_REGS; i++) {
		state_put_u16(writer, wire->phy[i]);
	}
}

static void load_wire(struct tulip_wire *wire, struct state_reader *part)
{
	unsigned int i, srom_step = state_u8(part), mii_step;

	wire->srom_bits = state_u8(part);
	wire->srom_shift = state_u16(part);
	wire->srom_address = state_u8(part);
	wire->srom_out = state_bool(part);
	mii_step = state_u8(part);
	wire->mii_bits = state_u8(part);
	wire->mii_ones = state_u8(part);
	wire->mii_shift = state_u32(part);
	wire->mii_out = state_bool(part);
	for (i = 0; i < TULIP_PHY_REGS; i++) {
		wire->phy[i] = state_u16(part);
	}
	if (srom_step > SROM_DONE || mii_step > MII_WRITE || wire->srom_bits > 15 ||
	    wire->srom_address >= TULIP_SROM_WORDS || wire->mii_bits > 17 ||
	    (mii_step == MII_READ && wire->mii_bits > 16) || wire->mii_ones > 32) {
		state_refuse(part, "is in the middle of what no driver asks");
		return;
	}
	wire->srom_step = srom_step;
	wire->mii_step = mii_step;
}

static void tulip_save(const void *device, struct state_writer *writer)
{
	const struct tulip *tulip = device;
	unsigned int i;

	state_put_bytes(writer, tulip->mac, sizeof(tulip->mac));
	for (i = 0; i < TULIP_CSRS; i++) {
		state_put_u32(writer, tulip->csr[i]);
	}
	state_put_u8(writer, tulip->rx_state);
	state_put_u8(writer, tulip->tx_state);
	state_put_u32(writer, tulip->rx_at);
	state_put_u32(writer, tulip->tx_at);
	put_coming(writer,
		   tulip->timer_period != 0 ? tulip->timer_start + tulip->timer_period : HOST_NEVER,
		   host_time(tulip->host));
	state_put_bool(writer, tulip->again);
	state_put_u8(writer, tulip->gpio_direction);
	state_put_u8(writer, tulip->filter_mode);
	state_put_bytes(writer, tulip->setup, sizeof(tulip->setup));
	state_put_bool(writer, tulip->in_frame);
	state_put_bool(writer, tulip->too_long);
	state_put_u16(writer, (uint16_t)tulip->frame_length);
	state_put_bytes(writer, tulip->frame, tulip->frame_length);
	save_wire(&tulip->wire, writer);
}

static bool is_one_of(uint8_t state, uint8_t a, uint8_t b, uint8_t c)
{
	return state == a || state == b || state == c;
}

static void load_registers(struct tulip *tulip, struct state_reader *part)
{
	unsigned int i;

	for (i = 0; i < TULIP_CSRS; i++) {
		uint32_t bits = registers[i].writable | registers[i].initial;

		bits |= i == 5 ? CSR5_STICKY : i == 7 ? CSR5_AIS | CSR5_NIS : i == 8 ? 0xffff : 0;
		tulip->csr[i] = state_u32(part);
		if (tulip->csr[i] & ~bits) {
			state_refuse(part, "has a register with bits that it does not have");
		}
	}
	tulip->rx_state = state_u8(part);
	tulip->tx_state = state_u8(part);
	if (!is_one_of(tulip->rx_state, TULIP_RX_STOPPED, TULIP_RX_WAITING, TULIP_RX_SUSPENDED) ||
	    !is_one_of(tulip->tx_state, TULIP_TX_STOPPED, TULIP_TX_FULL, TULIP_TX_SUSPENDED)) {
		state_refuse(part, "is in a state that there is not");
	}
}

/* The timer's period is the rest of it: it begins now. */
static void load_timer(struct tulip *tulip, struct state_reader *part)
{
	uint64_t now = host_time(tulip->host), at = get_coming(part, now);

	tulip->timer_start = now;
	tulip->timer_period = at == HOST_NEVER ? 0 : at - now;
	if (at == now) { /* it is due */
		tulip->timer_start--;
		tulip->timer_period = 1;
	}
	if (tulip->timer_period > 0xffff * TIMER_TICK_NS) {
		state_refuse(part, "has a timer that is too far away");
	}
}

static void load_frame(struct tulip *tulip, struct state_reader *part)
{
	tulip->in_frame = state_bool(part);
	tulip->too_long = state_bool(part);
	tulip->frame_length = state_u16(part);
	if (tulip->frame_length > TULIP_FRAME_MAX) {
		state_refuse(part, "has a frame that is too long");
		tulip->frame_length = 0;
	}
	state_bytes(part, tulip->frame, tulip->frame_length);
}

static void tulip_load(void *device, struct state_reader *part, bool set)
{
	struct tulip *tulip = device;
	struct tulip loaded = *tulip;
	uint8_t mac[6];

	state_bytes(part, mac, sizeof(mac));
	load_registers(&loaded, part);
	loaded.rx_at = state_u32(part);
	loaded.tx_at = state_u32(part);
	load_timer(&loaded, part);
	loaded.again = state_bool(part);
	loaded.gpio_direction = state_u8(part);
	loaded.filter_mode = get_bits(part, CSR6_FILTER);
	state_bytes(part, loaded.setup, sizeof(loaded.setup));
	load_frame(&loaded, part);
	load_wire(&loaded.wire, part);
	if (memcmp(mac, tulip->mac, sizeof(mac)) != 0) {
		state_refuse(part, "has another address than the switch's port");
	}
	if ((loaded.rx_at | loaded.tx_at) & 3) {
		state_refuse(part, "has a list at a place where none can be");
	}
	if (set && state_ok(part)) {
		*tulip = loaded; /* the function is the bus's part, which comes before */
	}
}

const struct device_class tulip_class = {.name = "tulip",
					 .width = 4,
					 .read = tulip_read,
					 .write = tulip_write,
					 .version = 1,
					 .save = tulip_save,
					 .load = tulip_load};
