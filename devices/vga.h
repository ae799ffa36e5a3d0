/*
 * A VGA (IBM's registers and planes) with the linear modes of Bochs's display interface (dispi, ids
 * 0xB0C0 to 0xB0C5), as a PCI function that Debian's vgabios-stdvga knows.
 *
 * Memory is the home's: the frame memory, in which the byte of plane p at address a is at 4 * a +
 * p; and the text window. What a guest sees at 0xA0000 is one of three things, chosen by the
 * registers:
 *
 *   VGA_LINEAR  chain-4 with all planes on, so all 256-colour modes of BIOSes: frame memory, without an exit
 *   VGA_TEXT    odd and even planes at 0xB8000 or 0xB0000, so text and CGA's modes: the text window, without an exit;
 *               it holds planes 0 and 1 then, and is copied from and to them at each change
 *   VGA_TRAPPED everything else: each access goes through latches, masks and write modes
 *
 * Nothing is drawn here: who wants to see it is given the registers and the memory (vga_look()).
 *
 * Lock: the board's, everywhere.
 */
#ifndef DEVICES_VGA_H
#define DEVICES_VGA_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/host.h"
#include "devices/pci.h"

#define VGA_FRAME_BYTES  (16u << 20)
#define VGA_TEXT_BYTES   0x8000u
#define VGA_MEMORY_BYTES (VGA_FRAME_BYTES + VGA_TEXT_BYTES)
#define VGA_PORT_RANGES  6

enum {
	DISPI_ID,
	DISPI_WIDTH,
	DISPI_HEIGHT,
	DISPI_BITS,
	DISPI_ENABLE,
	DISPI_BANK,
	DISPI_VIRTUAL_WIDTH,
	DISPI_VIRTUAL_HEIGHT,
	DISPI_X,
	DISPI_Y,
	DISPI_MEMORY, /* in 64 KiB */
	DISPI_COUNT,
};

#define DISPI_ENABLED 0x01

/* What decides on the picture, beside the memory. Indexed registers as the guest wrote them. */
struct vga_registers {
	uint8_t misc;
	uint8_t sequencer[8], crtc[32], graphics[16], attribute[32];
	uint8_t mask, palette[3 * 256]; /* 6 bits, or 8 with dispi's */
	uint16_t dispi[DISPI_COUNT];
};

enum vga_window { VGA_TRAPPED, VGA_LINEAR, VGA_TEXT };

struct vga {
	struct host *host;
	struct pci_function function;
	uint8_t *memory; /* the home's, VGA_MEMORY_BYTES; NULL: there is no VGA */
	struct bus_range linear, text, mono, trapped; /* at 0xA0000, by falling priority */
	struct vga_registers r;
	enum vga_window window;
	uint8_t sequencer_index, crtc_index, graphics_index, attribute_index;
	bool attribute_data; /* the next write to 0x3C0 is a value */
	uint8_t dac_read, dac_write, dac_part;
	bool dac_reading;
	uint16_t dispi_index;
	uint32_t latch;
	uint64_t epoch; /* when a picture began */
};

extern const struct device_class vga_port_class, vga_dispi_class, vga_class;

/* Who it says that it is. */
enum vga_kind {
	VGA_BOCHS,   /* 1234:1111, which OVMF has a driver for */
	VGA_HYPER_V, /* 1414:5353: guests that know Hyper-V leave it for the synthetic display */
};

/*
 * At this slot; `ports` are ranges of vga_port_class and vga_dispi_class, whose offset is made the
 * port's number. The memory is page aligned, and the machine's as long as it lives: who saves its
 * RAM saves it too.
 */
void vga_create(struct vga *vga, struct host *host, struct pci *pci, unsigned int slot,
		enum vga_kind kind, uint8_t *memory,
		struct bus_range *const ports[VGA_PORT_RANGES]);
/* The registers; who empties the machine's RAM empties the memory too. */
void vga_reset(struct vga *vga);
/* After pci_reset() or a load: where the windows are. */
void vga_update(struct vga *vga);

#endif
