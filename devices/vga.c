/*
 * VGA registers, the window at 0xA0000 and dispi, see vga.h. By IBM's VGA manual, and the FreeVGA
 * pages on it; dispi as QEMU and Bochs describe it.
 */
#include "devices/parts.h"

#include <string.h>

#include "lib/check.h"

#define WINDOW       0xa0000ull
#define WINDOW_BYTES 0x20000ull
#define MONO         0xb0000ull
#define COLOUR       0xb8000ull

#define MISC_COLOUR 0x01 /* ports at 0x3Dx, not 0x3Bx */
#define MISC_RAM    0x02

#define SEQ_MAP_MASK     2
#define SEQ_MEMORY       4
#define SEQ_MEMORY_CHAIN 0x08
#define PLANES           0x0f

#define GC_SET_RESET        0
#define GC_ENABLE_SET_RESET 1
#define GC_COMPARE          2
#define GC_ROTATE           3 /* and a function in bits 3, 4 */
#define GC_READ_MAP         4
#define GC_MODE             5
#define GC_MISC             6
#define GC_DONT_CARE        7
#define GC_BIT_MASK         8
#define GC_MODE_READ_1      0x08
#define GC_MODE_ODD_EVEN    0x10

#define CRTC_END      0x11
#define CRTC_PROTECT  0x80 /* of registers 0 to 7 */
#define CRTC_OVERFLOW 0x07
#define CRTC_COUNT    25
#define GC_COUNT      9
#define SEQ_COUNT     5
#define ATTR_COUNT    21
#define ATTR_ENABLED  0x20 /* of the index */

#define STATUS_BLANK   0x01
#define STATUS_RETRACE 0x08
#define FRAME_NS       16666667ull
#define RETRACE_NS     700000ull
#define LINE_NS        31778ull
#define BLANK_NS       6000ull

#define DISPI_ID_5       0xb0c5
#define DISPI_ID_MASK    0xfff0
#define DISPI_GETCAPS    0x02
#define DISPI_8_BIT      0x20
#define DISPI_NO_CLEAR   0x80
#define DISPI_MAX_WIDTH  2560
#define DISPI_MAX_HEIGHT 1600
#define DISPI_MAX_BITS   32
#define BANK_BYTES       0x10000u

static unsigned int map_of(const struct vga *vga)
{
	return vga->r.graphics[GC_MISC] >> 2 & 3;
}

/* ---- What is at 0xA0000 ---- */

static enum vga_window wanted(const struct vga *vga)
{
	const struct vga_registers *r = &vga->r;
	uint8_t planes = r->sequencer[SEQ_MAP_MASK] & PLANES;

	if (!(r->misc & MISC_RAM)) {
		return VGA_TRAPPED;
	}
	if (r->sequencer[SEQ_MEMORY] & SEQ_MEMORY_CHAIN) {
		return planes == PLANES && map_of(vga) == 1 ? VGA_LINEAR : VGA_TRAPPED;
	}
	return (r->graphics[GC_MODE] & GC_MODE_ODD_EVEN) && planes == 3 && map_of(vga) >= 2 &&
			       !(r->graphics[GC_READ_MAP] & 2)
		       ? VGA_TEXT
		       : VGA_TRAPPED;
}

/* Where a byte of the text window is in frame memory. */
static uint32_t text_place(uint32_t at)
{
	return (at & ~1u) << 1 | (at & 1);
}

static void copy_text(struct vga *vga, bool out)
{
	uint8_t *text = vga->memory + VGA_FRAME_BYTES;
	uint32_t at;

	for (at = 0; at < VGA_TEXT_BYTES; at++) {
		if (out) {
			vga->memory[text_place(at)] = text[at];
		} else {
			text[at] = vga->memory[text_place(at)];
		}
	}
}

static bool set_range(struct bus_range *range, bool enabled, uint64_t offset)
{
	bool same = range->enabled == enabled && (!enabled || range->offset == offset);

	range->enabled = enabled;
	range->offset = offset;
	return !same;
}

static void place_windows(struct vga *vga)
{
	bool decodes = vga->function.config[PCI_COMMAND] & PCI_COMMAND_MEMORY;
	uint64_t bank = (uint64_t)vga->r.dispi[DISPI_BANK] * BANK_BYTES;
	bool linear = decodes && vga->window == VGA_LINEAR && bank < VGA_FRAME_BYTES;
	bool text = decodes && vga->window == VGA_TEXT;
	bool changed = set_range(&vga->linear, linear, bank);

	changed |= set_range(&vga->text, text && map_of(vga) == 3, VGA_FRAME_BYTES);
	changed |= set_range(&vga->mono, text && map_of(vga) == 2, VGA_FRAME_BYTES);
	changed |= set_range(&vga->trapped, decodes, 0);
	if (changed) {
		bus_update(vga->function.pci->memory);
	}
}

void vga_update(struct vga *vga)
{
	if (vga->memory != NULL) {
		vga->window = wanted(vga);
		place_windows(vga);
	}
}

/* The guest has written a register. */
static void registers_changed(struct vga *vga)
{
	enum vga_window window = wanted(vga);

	if (vga->window == VGA_TEXT && window != VGA_TEXT) {
		copy_text(vga, true);
	} else if (vga->window != VGA_TEXT && window == VGA_TEXT) {
		copy_text(vga, false);
	}
	vga->window = window;
	place_windows(vga);
}

/* ---- The window, trapped ---- */

/* Which byte of the window's memory; false: there is none. */
static bool address_of(const struct vga *vga, uint32_t offset, uint32_t *at)
{
	static const struct {
		uint32_t base, length;
	} maps[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
	unsigned int map = map_of(vga);

	if (!(vga->r.misc & MISC_RAM) || offset - maps[map].base >= maps[map].length) {
		return false;
	}
	*at = offset - maps[map].base;
	if (map == 1) {
		*at += vga->r.dispi[DISPI_BANK] * BANK_BYTES;
	}
	return true;
}

/* A bit for each plane, into all bits of its byte. */
static uint32_t spread(uint8_t planes)
{
	return (planes & 1 ? 0xffu : 0) | (planes & 2 ? 0xff00u : 0) |
	       (planes & 4 ? 0xff0000u : 0) | (planes & 8 ? 0xff000000u : 0);
}

static uint32_t repeat(uint8_t byte)
{
	return byte * 0x01010101u;
}

static uint32_t combine(unsigned int function, uint32_t value, uint32_t latch)
{
	switch (function) {
	case 1:
		return value & latch;
	case 2:
		return value | latch;
	case 3:
		return value ^ latch;
	default:
		return value;
	}
}

/* What the four planes get of a byte, by the write mode. */
static uint32_t planes_of(const struct vga *vga, uint8_t byte)
{
	const uint8_t *gc = vga->r.graphics;
	unsigned int rotate = gc[GC_ROTATE] & 7, function = gc[GC_ROTATE] >> 3 & 3;
	uint8_t turned = (uint8_t)(byte >> rotate | byte << (8 - rotate));
	uint32_t set = spread(gc[GC_SET_RESET]), enable = spread(gc[GC_ENABLE_SET_RESET]);
	uint32_t mask = repeat(gc[GC_BIT_MASK]), value;

	switch (gc[GC_MODE] & 3) {
	case 0:
		value = (repeat(turned) & ~enable) | (set & enable);
		break;
	case 1:
		return vga->latch;
	case 2:
		value = spread(byte);
		break;
	default:
		value = set;
		mask &= repeat(turned);
		break;
	}
	value = combine(function, value, vga->latch);
	return (value & mask) | (vga->latch & ~mask);
}

static uint32_t get_planes(const struct vga *vga, uint32_t at)
{
	uint32_t value;

	memcpy(&value, vga->memory + 4 * at, sizeof(value));
	return value;
}

static void write_byte(struct vga *vga, uint32_t offset, uint8_t value)
{
	uint8_t planes = vga->r.sequencer[SEQ_MAP_MASK] & PLANES;
	uint32_t at, mask, now;

	if (!address_of(vga, offset, &at)) {
		return;
	}
	if (vga->r.sequencer[SEQ_MEMORY] & SEQ_MEMORY_CHAIN) {
		if ((planes >> (at & 3) & 1) && at < VGA_FRAME_BYTES) {
			vga->memory[at] = value;
		}
	} else if (vga->r.graphics[GC_MODE] & GC_MODE_ODD_EVEN) {
		at &= 0xffff;
		if (planes >> (at & 1) & 1) {
			vga->memory[text_place(at)] = value;
		}
		if (planes >> (2 + (at & 1)) & 1) {
			vga->memory[text_place(at) + 2] = value;
		}
	} else if (at < VGA_FRAME_BYTES / 4) {
		mask = spread(planes);
		now = (get_planes(vga, at) & ~mask) | (planes_of(vga, value) & mask);
		memcpy(vga->memory + 4 * at, &now, sizeof(now));
	}
}

static uint8_t read_byte(struct vga *vga, uint32_t offset)
{
	const uint8_t *gc = vga->r.graphics;
	uint32_t at, differs;

	if (!address_of(vga, offset, &at)) {
		return 0xff;
	}
	if (vga->r.sequencer[SEQ_MEMORY] & SEQ_MEMORY_CHAIN) {
		return at < VGA_FRAME_BYTES ? vga->memory[at] : 0xff;
	}
	if (gc[GC_MODE] & GC_MODE_ODD_EVEN) {
		return vga->memory[text_place(at & 0xffff) + (gc[GC_READ_MAP] & 2)];
	}
	if (at >= VGA_FRAME_BYTES / 4) {
		return 0xff;
	}
	vga->latch = get_planes(vga, at);
	if (!(gc[GC_MODE] & GC_MODE_READ_1)) {
		return (uint8_t)(vga->latch >> 8 * (gc[GC_READ_MAP] & 3));
	}
	differs = (vga->latch ^ spread(gc[GC_COMPARE])) & spread(gc[GC_DONT_CARE]);
	return (uint8_t) ~(differs | differs >> 8 | differs >> 16 | differs >> 24);
}

static uint64_t window_read(void *device, uint32_t offset, unsigned int size)
{
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < size; i++) {
		value |= (uint64_t)read_byte(device, offset + i) << 8 * i;
	}
	return value;
}

static void window_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	unsigned int i;

	for (i = 0; i < size; i++) {
		write_byte(device, offset + i, (uint8_t)(value >> 8 * i));
	}
}

static const struct device_class window_class = {
	.name = "vga-window", .width = 8, .read = window_read, .write = window_write};

/* ---- Registers ---- */

/* Software waits for it, and draws while it lasts: a picture of 60 Hz and 31 kHz. */
static uint8_t input_status(struct vga *vga)
{
	uint64_t now = (host_time(vga->host) - vga->epoch) % FRAME_NS;

	vga->attribute_data = false;
	if (now < RETRACE_NS) {
		return STATUS_RETRACE | STATUS_BLANK;
	}
	return now % LINE_NS < BLANK_NS ? STATUS_BLANK : 0;
}

static uint8_t dac_get(struct vga *vga)
{
	uint8_t value = vga->r.palette[3 * vga->dac_read + vga->dac_part];

	if (++vga->dac_part == 3) {
		vga->dac_part = 0;
		vga->dac_read++;
	}
	return value;
}

static void dac_put(struct vga *vga, uint8_t value)
{
	bool wide = vga->r.dispi[DISPI_ENABLE] & DISPI_8_BIT;

	vga->r.palette[3 * vga->dac_write + vga->dac_part] = wide ? value : value & 0x3f;
	if (++vga->dac_part == 3) {
		vga->dac_part = 0;
		vga->dac_write++;
	}
}

static void attribute_put(struct vga *vga, uint8_t value)
{
	uint8_t index = vga->attribute_index & 0x1f;

	if (!vga->attribute_data) {
		vga->attribute_index = value & 0x3f;
	} else if (index < ATTR_COUNT) {
		vga->r.attribute[index] = value;
	}
	vga->attribute_data = !vga->attribute_data;
}

static void crtc_put(struct vga *vga, uint8_t value)
{
	uint8_t *crtc = vga->r.crtc, index = vga->crtc_index;

	if (index >= CRTC_COUNT) {
		return;
	}
	if (index <= CRTC_OVERFLOW && (crtc[CRTC_END] & CRTC_PROTECT)) {
		if (index == CRTC_OVERFLOW) { /* one bit of it is not protected */
			crtc[index] = (uint8_t)((crtc[index] & ~0x10) | (value & 0x10));
		}
		return;
	}
	crtc[index] = value;
}

/* The other set of ports belongs to a monochrome adapter, which this is not, or the other way. */
static bool is_ours(const struct vga *vga, uint32_t port)
{
	return port >= 0x3c0 && port < 0x3d0 ? true
					     : (port >= 0x3d0) == !!(vga->r.misc & MISC_COLOUR);
}

static uint64_t port_read(void *device, uint32_t port, unsigned int size)
{
	struct vga *vga = device;
	struct vga_registers *r = &vga->r;

	(void)size;
	if (!is_ours(vga, port)) {
		return 0xff;
	}
	switch (port) {
	case 0x3c0:
		return vga->attribute_index;
	case 0x3c1:
		return (vga->attribute_index & 0x1f) < ATTR_COUNT
			       ? r->attribute[vga->attribute_index & 0x1f]
			       : 0;
	case 0x3c4:
		return vga->sequencer_index;
	case 0x3c5:
		return vga->sequencer_index < SEQ_COUNT ? r->sequencer[vga->sequencer_index] : 0;
	case 0x3c6:
		return r->mask;
	case 0x3c7:
		return vga->dac_reading ? 3 : 0;
	case 0x3c8:
		return vga->dac_write;
	case 0x3c9:
		return dac_get(vga);
	case 0x3cc:
		return r->misc;
	case 0x3ce:
		return vga->graphics_index;
	case 0x3cf:
		return vga->graphics_index < GC_COUNT ? r->graphics[vga->graphics_index] : 0;
	case 0x3b4:
	case 0x3d4:
		return vga->crtc_index;
	case 0x3b5:
	case 0x3d5:
		return vga->crtc_index < CRTC_COUNT ? r->crtc[vga->crtc_index] : 0;
	case 0x3ba:
	case 0x3da:
		return input_status(vga);
	default:
		return 0;
	}
}

static void port_write(void *device, uint32_t port, unsigned int size, uint64_t wide)
{
	struct vga *vga = device;
	struct vga_registers *r = &vga->r;
	uint8_t value = (uint8_t)wide;

	(void)size;
	if (!is_ours(vga, port)) {
		return;
	}
	switch (port) {
	case 0x3c0:
		attribute_put(vga, value);
		return;
	case 0x3c2:
		r->misc = value;
		break;
	case 0x3c4:
		vga->sequencer_index = value & 7;
		return;
	case 0x3c5:
		if (vga->sequencer_index < SEQ_COUNT) {
			r->sequencer[vga->sequencer_index] = value;
		}
		break;
	case 0x3c6:
		r->mask = value;
		return;
	case 0x3c7:
		vga->dac_read = value;
		vga->dac_part = 0;
		vga->dac_reading = true;
		return;
	case 0x3c8:
		vga->dac_write = value;
		vga->dac_part = 0;
		vga->dac_reading = false;
		return;
	case 0x3c9:
		dac_put(vga, value);
		return;
	case 0x3ce:
		vga->graphics_index = value & 15;
		return;
	case 0x3cf:
		if (vga->graphics_index < GC_COUNT) {
			r->graphics[vga->graphics_index] = value;
		}
		break;
	case 0x3b4:
	case 0x3d4:
		vga->crtc_index = value & 31;
		return;
	case 0x3b5:
	case 0x3d5:
		crtc_put(vga, value);
		return;
	default:
		return;
	}
	registers_changed(vga);
}

/* ---- dispi ---- */

static uint16_t dispi_get(const struct vga *vga)
{
	static const uint16_t most[] = {[DISPI_WIDTH] = DISPI_MAX_WIDTH,
					[DISPI_HEIGHT] = DISPI_MAX_HEIGHT,
					[DISPI_BITS] = DISPI_MAX_BITS};
	bool asks = vga->r.dispi[DISPI_ENABLE] & DISPI_GETCAPS;

	if (vga->dispi_index >= DISPI_COUNT) {
		return 0;
	}
	if (asks && vga->dispi_index >= DISPI_WIDTH && vga->dispi_index <= DISPI_BITS) {
		return most[vga->dispi_index];
	}
	return vga->r.dispi[vga->dispi_index];
}

static uint32_t line_bytes(const struct vga_registers *r)
{
	uint32_t bits = r->dispi[DISPI_BITS] == 15 ? 16 : r->dispi[DISPI_BITS];

	return r->dispi[DISPI_VIRTUAL_WIDTH] * bits / 8;
}

/* Lines are as long as the guest wants them, if there is memory for the picture. */
static void set_virtual_width(struct vga_registers *r, uint32_t width)
{
	uint32_t height = r->dispi[DISPI_HEIGHT], lines;

	if (width < r->dispi[DISPI_WIDTH]) {
		width = r->dispi[DISPI_WIDTH];
	}
	r->dispi[DISPI_VIRTUAL_WIDTH] = (uint16_t)width;
	lines = line_bytes(r) != 0 ? VGA_FRAME_BYTES / line_bytes(r) : 0;
	if (lines < height) {
		r->dispi[DISPI_VIRTUAL_WIDTH] = r->dispi[DISPI_WIDTH];
		lines = line_bytes(r) != 0 ? VGA_FRAME_BYTES / line_bytes(r) : 0;
	}
	r->dispi[DISPI_VIRTUAL_HEIGHT] = (uint16_t)(lines < 0xffff ? lines : 0xffff);
}

/* The VGA's own registers follow, for who draws through the window. */
static void enable_dispi(struct vga *vga, uint16_t value)
{
	struct vga_registers *r = &vga->r;
	bool was = r->dispi[DISPI_ENABLE] & DISPI_ENABLED;

	r->dispi[DISPI_ENABLE] = value;
	if (!(value & DISPI_ENABLED) || was) {
		return;
	}
	r->dispi[DISPI_BANK] = r->dispi[DISPI_X] = r->dispi[DISPI_Y] = 0;
	set_virtual_width(r, r->dispi[DISPI_WIDTH]);
	r->graphics[GC_MISC] = (uint8_t)((r->graphics[GC_MISC] & ~0x0c) | 0x05);
	r->graphics[GC_MODE] &= (uint8_t)~GC_MODE_ODD_EVEN;
	if (r->dispi[DISPI_BITS] > 4) {
		r->sequencer[SEQ_MEMORY] |= SEQ_MEMORY_CHAIN;
		r->sequencer[SEQ_MAP_MASK] |= PLANES;
	}
	registers_changed(vga); /* what was text is copied before it is cleared */
	if (!(value & DISPI_NO_CLEAR)) {
		memset(vga->memory, 0, line_bytes(r) * (size_t)r->dispi[DISPI_HEIGHT]);
	}
}

static bool is_mode(uint16_t index, uint16_t value)
{
	switch (index) {
	case DISPI_WIDTH:
		return value != 0 && value <= DISPI_MAX_WIDTH && value % 8 == 0;
	case DISPI_HEIGHT:
		return value != 0 && value <= DISPI_MAX_HEIGHT;
	default:
		return value == 4 || value == 8 || value == 15 || value == 16 || value == 24 ||
		       value == 32;
	}
}

static void dispi_put(struct vga *vga, uint16_t value)
{
	struct vga_registers *r = &vga->r;
	uint16_t index = vga->dispi_index;

	switch (index) {
	case DISPI_ID:
		if ((value & DISPI_ID_MASK) == (DISPI_ID_5 & DISPI_ID_MASK) &&
		    value <= DISPI_ID_5) {
			r->dispi[index] = value;
		}
		return;
	case DISPI_WIDTH:
	case DISPI_HEIGHT:
	case DISPI_BITS:
		if (!(r->dispi[DISPI_ENABLE] & DISPI_ENABLED) && is_mode(index, value)) {
			r->dispi[index] = value;
		}
		return;
	case DISPI_ENABLE:
		enable_dispi(vga, value);
		break;
	case DISPI_BANK:
		r->dispi[index] = value % (VGA_FRAME_BYTES / BANK_BYTES);
		break;
	case DISPI_VIRTUAL_WIDTH:
		set_virtual_width(r, value);
		return;
	case DISPI_X:
	case DISPI_Y:
		r->dispi[index] = value;
		return;
	default:
		return;
	}
	registers_changed(vga);
}

/* Port 0x1CE is the index; 0x1CF the value, and 0x1D0 too, for who wants it aligned. */
static uint64_t dispi_read(void *device, uint32_t port, unsigned int size)
{
	const struct vga *vga = device;

	(void)size;
	return port == 0x1ce ? vga->dispi_index : dispi_get(vga);
}

static void dispi_write(void *device, uint32_t port, unsigned int size, uint64_t value)
{
	struct vga *vga = device;

	(void)size;
	if (port == 0x1ce) {
		vga->dispi_index = (uint16_t)value;
	} else {
		dispi_put(vga, (uint16_t)value);
	}
}

/* ---- The function ---- */

void vga_reset(struct vga *vga)
{
	struct vga_registers *r = &vga->r;

	if (vga->memory == NULL) {
		return;
	}
	memset(r, 0, sizeof(*r));
	r->mask = 0xff;
	r->dispi[DISPI_ID] = DISPI_ID_5;
	r->dispi[DISPI_MEMORY] = VGA_FRAME_BYTES / BANK_BYTES;
	vga->sequencer_index = vga->crtc_index = vga->graphics_index = vga->attribute_index = 0;
	vga->dac_read = vga->dac_write = vga->dac_part = 0;
	vga->attribute_data = vga->dac_reading = false;
	vga->dispi_index = 0;
	vga->latch = 0;
	vga->epoch = host_time(vga->host);
	vga_update(vga);
}

static void written(void *device, unsigned int at, unsigned int size)
{
	(void)at, (void)size;
	place_windows(device);
}

static void add_window(struct vga *vga, struct bus_range *range, uint64_t base, uint64_t length,
		       const struct device_class *class)
{
	*range = (struct bus_range){.base = base,
				    .length = length,
				    .class = class,
				    .device = vga,
				    .pages = class == NULL ? vga->memory : NULL,
				    .direct = class == NULL ? BUS_DIRECT_WRITE : BUS_DIRECT_NONE,
				    .priority = BUS_PRIORITY_BOARD};
	CHECK(bus_add(vga->function.pci->memory, range));
}

void vga_create(struct vga *vga, struct host *host, struct pci *pci, unsigned int slot,
		enum vga_kind kind, uint8_t *memory, struct bus_range *const ports[VGA_PORT_RANGES])
{
	static const struct pci_identity identities[] = {
		[VGA_BOCHS] = {.vendor = 0x1234,
			       .device = 0x1111,
			       .subsystem_vendor = 0x1af4,
			       .subsystem = 0x1100,
			       .revision = 2,
			       .class_code = 0x030000},
		[VGA_HYPER_V] = {.vendor = 0x1414, .device = 0x5353, .class_code = 0x030000},
	};
	struct bus_range *frame;
	unsigned int i;

	vga->host = host;
	vga->memory = memory;
	pci_function_init(&vga->function, &identities[kind]);
	frame = pci_add_bar(&vga->function, 0, PCI_BAR_MEMORY, VGA_FRAME_BYTES);
	frame->pages = memory;
	frame->direct = BUS_DIRECT_WRITE;
	vga->function.written = written;
	vga->function.device = vga;
	CHECK(pci_add(pci, slot, 0, &vga->function));
	add_window(vga, &vga->linear, WINDOW, BANK_BYTES, NULL);
	add_window(vga, &vga->text, COLOUR, VGA_TEXT_BYTES, NULL);
	add_window(vga, &vga->mono, MONO, VGA_TEXT_BYTES, NULL);
	add_window(vga, &vga->trapped, WINDOW, WINDOW_BYTES, &window_class);
	for (i = 0; i < VGA_PORT_RANGES; i++) {
		ports[i]->offset = ports[i]->base;
	}
	bus_update(pci->ports);
}

/* ---- A saved state: the registers; memory is saved by its home ---- */

static void vga_save(const void *device, struct state_writer *writer)
{
	const struct vga *vga = device;
	const struct vga_registers *r = &vga->r;
	unsigned int i;

	state_put_u8(writer, r->misc);
	state_put_bytes(writer, r->sequencer, sizeof(r->sequencer));
	state_put_bytes(writer, r->crtc, sizeof(r->crtc));
	state_put_bytes(writer, r->graphics, sizeof(r->graphics));
	state_put_bytes(writer, r->attribute, sizeof(r->attribute));
	state_put_u8(writer, r->mask);
	state_put_bytes(writer, r->palette, sizeof(r->palette));
	for (i = 0; i < DISPI_COUNT; i++) {
		state_put_u16(writer, r->dispi[i]);
	}
	state_put_u8(writer, vga->sequencer_index);
	state_put_u8(writer, vga->crtc_index);
	state_put_u8(writer, vga->graphics_index);
	state_put_u8(writer, vga->attribute_index);
	state_put_bool(writer, vga->attribute_data);
	state_put_u8(writer, vga->dac_read);
	state_put_u8(writer, vga->dac_write);
	state_put_u8(writer, vga->dac_part);
	state_put_bool(writer, vga->dac_reading);
	state_put_u16(writer, vga->dispi_index);
	state_put_u32(writer, vga->latch);
	put_past(writer, vga->epoch, host_time(vga->host));
}

static void load_registers(struct vga_registers *r, struct state_reader *part)
{
	uint64_t picture;
	unsigned int i;

	r->misc = state_u8(part);
	state_bytes(part, r->sequencer, sizeof(r->sequencer));
	state_bytes(part, r->crtc, sizeof(r->crtc));
	state_bytes(part, r->graphics, sizeof(r->graphics));
	state_bytes(part, r->attribute, sizeof(r->attribute));
	r->mask = state_u8(part);
	state_bytes(part, r->palette, sizeof(r->palette));
	for (i = 0; i < DISPI_COUNT; i++) {
		r->dispi[i] = state_u16(part);
	}
	picture = (uint64_t)line_bytes(r) * r->dispi[DISPI_HEIGHT];
	if (r->dispi[DISPI_BANK] >= VGA_FRAME_BYTES / BANK_BYTES ||
	    r->dispi[DISPI_MEMORY] != VGA_FRAME_BYTES / BANK_BYTES ||
	    r->dispi[DISPI_WIDTH] > DISPI_MAX_WIDTH || r->dispi[DISPI_HEIGHT] > DISPI_MAX_HEIGHT ||
	    r->dispi[DISPI_BITS] > DISPI_MAX_BITS || picture > VGA_FRAME_BYTES) {
		state_refuse(part, "has a picture that its memory has not");
	}
}

static void vga_load(void *device, struct state_reader *part, bool set)
{
	struct vga *vga = device, loaded = *vga;

	load_registers(&loaded.r, part);
	loaded.sequencer_index = get_bits(part, 7);
	loaded.crtc_index = get_bits(part, 31);
	loaded.graphics_index = get_bits(part, 15);
	loaded.attribute_index = get_bits(part, 0x3f);
	loaded.attribute_data = state_bool(part);
	loaded.dac_read = state_u8(part);
	loaded.dac_write = state_u8(part);
	loaded.dac_part = state_u8(part);
	loaded.dac_reading = state_bool(part);
	loaded.dispi_index = state_u16(part);
	loaded.latch = state_u32(part);
	loaded.epoch = get_past(part, host_time(vga->host));
	if (loaded.dac_part > 2) {
		state_refuse(part, "has a colour of more than three parts");
	}
	if (set && state_ok(part)) {
		/* Where its ranges and its configuration are is not the state's to say. */
		vga->r = loaded.r;
		vga->sequencer_index = loaded.sequencer_index;
		vga->crtc_index = loaded.crtc_index;
		vga->graphics_index = loaded.graphics_index;
		vga->attribute_index = loaded.attribute_index;
		vga->attribute_data = loaded.attribute_data;
		vga->dac_read = loaded.dac_read;
		vga->dac_write = loaded.dac_write;
		vga->dac_part = loaded.dac_part;
		vga->dac_reading = loaded.dac_reading;
		vga->dispi_index = loaded.dispi_index;
		vga->latch = loaded.latch;
		vga->epoch = loaded.epoch;
	}
}

const struct device_class vga_port_class = {
	.name = "vga-ports", .width = 1, .read = port_read, .write = port_write};
const struct device_class vga_dispi_class = {
	.name = "vga-dispi", .width = 2, .read = dispi_read, .write = dispi_write};
const struct device_class vga_class = {
	.name = "vga", .version = 1, .save = vga_save, .load = vga_load};
