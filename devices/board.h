/*
 * The emulated parts of a PC, wired together: the public face of this folder.
 *
 * The board belongs to one machine. Every function takes the board's lock, so any thread may call
 * any of them; they do not block. What the board needs of its home is in host.h, and is called with
 * the lock held.
 */
#ifndef DEVICES_BOARD_H
#define DEVICES_BOARD_H

#include <pthread.h>

#include "devices/acpi_tables.h"
#include "devices/bus.h"
#include "devices/host.h"
#include "devices/parts.h"

#define BOARD_IOAPIC_BASE 0xfec00000ull
#define BOARD_COM1_PORT   0x3f8
#define BOARD_COM1_LINE   4
#define BOARD_DEBUG_EXIT  0xf4 /* 4 ports */
#define BOARD_RANGES      48
#define BOARD_PARTS       24

enum board_kind {
	BOARD_DIRECT,       /* a kernel is put into memory and started */
	BOARD_GENERATION_1, /* a PC with a BIOS: a 440FX and a PIIX4 */
	BOARD_GENERATION_2, /* the same chip set for UEFI firmware, without IDE */
};

#define BOARD_PIIX4_SLOT    7
#define BOARD_VGA_SLOT      8
#define BOARD_NIC_SLOT      10 /* of the first adapter; the others are behind it */
#define BOARD_NICS_MAX      4
#define BOARD_HDA_SLOT      14
#define BOARD_XHCI_SLOT     15
#define BOARD_USB_DISKS_MAX (XHCI_PORTS_2 - 1) /* beside a tablet */
/* Of generation 2: firmware's display, and its way to the disks; it looks for the PIIX4 at 1. */
#define BOARD_UEFI_PIIX4_SLOT 1
#define BOARD_UEFI_VGA_SLOT   2
#define BOARD_UEFI_SCSI_SLOT  3
#define BOARD_FW_CFG          0x510 /* 12 ports */
#define BOARD_DEBUGCON        0x402
#define BOARD_SB16_PORT       0x220
#define BOARD_IDE_LINE        14 /* of the first channel */
#define BOARD_ROM_MAX         (16ull << 20)
#define BOARD_GENERATION_BASE                                                                      \
	0xfed50000ull /* with firmware: a page that begins with the generation ID */
#define BOARD_GENERATION_PAGE 0x1000u

struct board {
	pthread_mutex_t lock; /* of everything below */
	enum board_kind kind;
	struct host *host;
	struct bus ports;
	struct bus memory;
	struct bus_range ranges[BOARD_RANGES]; /* of the parts that have a fixed place */
	unsigned int range_count;
	struct {
		const struct device_class *class;
		void *device;
	} parts[BOARD_PARTS]; /* that have a state, in the order in which it is saved */
	unsigned int part_count;
	struct irq irq;
	struct pic pic;
	struct ioapic ioapic;
	struct pit pit;
	struct rtc rtc;
	struct uart com1;
	struct pci pci;
	struct host_bridge bridge;
	struct i8042 i8042; /* these with firmware */
	struct piix4 piix4;
	struct vga vga;
	struct bus_range frame; /* of board_add_frame() */
	struct fw_cfg fw_cfg;
	struct debugcon debugcon;
	uint64_t rom_base;  /* 0: no ROM */
	struct flash flash; /* BOARD_GENERATION_2 */
	struct tpm_crb tpm; /* likewise */
	struct acpi_pm pm;
	struct reset reset;
	uint64_t wake_at;                  /* what host_wake_at() was last told */
	struct virtio_scsi scsi;           /* BOARD_GENERATION_2 */
	struct tulip nics[BOARD_NICS_MAX]; /* BOARD_GENERATION_1 */
	unsigned int nic_count;
	struct dma dma;           /* of generation 1, with a card that has use for it */
	struct sb16 sb16;         /* likewise */
	struct hda hda;           /* not of generation 2 */
	struct xhci xhci;         /* with USB */
	struct usb_tablet tablet; /* on a port of it, or nowhere */
	struct usb_storage usb_disks[BOARD_USB_DISKS_MAX];
	unsigned int usb_disk_count;
	bool nics_stand; /* the machine is paused: nothing comes to them, and nothing goes */
	struct ide ide;  /* BOARD_GENERATION_1; here, for its buffers' sake */
	uint8_t scsi_buffer[VIRTIO_SCSI_BUFFER_BYTES];
	uint8_t usb_buffers[BOARD_USB_DISKS_MAX][USB_STORAGE_BYTES];
};

/* Power-on. `host` is handed back in every call of host.h. What `board` held is not looked at. */
void board_create(struct board *board, struct host *host, enum board_kind kind);
void board_destroy(struct board *board);
/* Adds the port at which a test image says its result, as QEMU's isa-debug-exit. Before any VP
 * runs. */
void board_add_debug_exit(struct board *board);
/* Firmware's image, page aligned, whose end is that of the first 4 GiB. Before any VP runs. False:
 * not of a size that fits. */
bool board_add_rom(struct board *board, uint8_t *image, uint64_t length);
/* Of generation 2, after the image: flash memory that ends where that begins (parts.h). Before any
 * VP runs. False: as board_add_rom(), both together. */
bool board_add_flash(struct board *board, uint8_t *memory, uint32_t length);
/* With firmware: the page of the generation ID, which is aligned and the home's to change
 * (board_generation_changed()). Before any VP runs. */
void board_add_generation(struct board *board, uint8_t *page);
/* Of generation 2: the firmware's way to SCSI units 0 to `last_lun` (virtio_scsi.h). Before any VP
 * runs. */
void board_add_scsi(struct board *board, unsigned int last_lun);
/* Of generation 2: a TPM. Before any VP runs. */
void board_add_tpm(struct board *board);
/* Of generation 1: a drive of the IDE channels, 2 * channel + device. Before any VP runs. */
void board_add_drive(struct board *board, unsigned int drive, const struct ide_identity *identity);
/* Of generation 1: a network adapter, of which there are BOARD_NICS_MAX at most; its number, from 0
 * on. Before any VP runs. */
unsigned int board_add_nic(struct board *board);
/* Of generation 1: a Sound Blaster 16, and the DMA controllers that it wants. Before any VP
 * runs. */
void board_add_sb16(struct board *board);
/* Not of generation 2: a High Definition Audio controller, and its codec. Before any VP runs. */
void board_add_hda(struct board *board);
/* A USB host controller, on which the devices below are. Before any VP runs. */
void board_add_usb(struct board *board);
/* After it: a tablet. Before any VP runs. */
void board_add_tablet(struct board *board);
/* After it: a disk, with a serial number (usb.h); its number, from 0 on, of BOARD_USB_DISKS_MAX.
 * Before any VP runs. */
unsigned int board_add_usb_disk(struct board *board, const char *serial);
/* Beside firmware: a VGA with this memory (vga.h). Before any VP runs. */
void board_add_vga(struct board *board, uint8_t *memory);
/* What its picture is, beside the memory: all of the frame, or in VGA_TEXT planes 0 and 1 of the
 * text window. False: there is none. */
bool board_look(struct board *board, struct vga_registers *registers, enum vga_window *window);
/* Memory of the home's that the guest has where board_place_frame() says, and nowhere at first.
 * Before any VP runs. */
void board_add_frame(struct board *board, uint8_t *memory, uint64_t length);
/* From there on, page aligned, and nowhere else. Any thread. */
void board_place_frame(struct board *board, uint64_t gpa);
void board_remove_frame(struct board *board);
/* A partition was made: the home is told all that it has to map. */
void board_map(struct board *board);
/* The machine's reset line: as board_create(), but the clock's battery holds. The home carries out
 * no command of a drive. */
void board_reset(struct board *board);

/*
 * The state of all parts, as one part of a saved state. No VP runs. A load is of a board that was
 * made with the same parts: board_check() reads it all, finds what cannot be and changes nothing;
 * board_load() afterwards takes it over, and the home is told what it has to know: pages, the
 * 8259s' output, the next wake-up.
 */
void board_save(struct board *board, struct state_writer *writer);
void board_check(struct board *board, struct state_reader *list);
void board_load(struct board *board, struct state_reader *list);

/* Accesses by a VP. `size` is 1, 2 or 4 for ports and 1 to 8 for memory. Nobody there: all ones, or
 * lost. */
uint32_t board_port_read(struct board *board, uint16_t port, unsigned int size);
void board_port_write(struct board *board, uint16_t port, unsigned int size, uint32_t value);
uint64_t board_memory_read(struct board *board, uint64_t gpa, unsigned int size);
void board_memory_write(struct board *board, uint64_t gpa, unsigned int size, uint64_t value);

/* A local APIC ended a level-triggered interrupt. */
void board_apic_eoi(struct board *board, uint8_t vector);
/* The processor takes the interrupt that host_extint() announced. False: it is gone, take none. */
bool board_pic_acknowledge(struct board *board, uint8_t *vector);

/* The time that host_wake_at() named has come. */
void board_tick(struct board *board);
/* What host_drive_start() began has ended. Any thread. */
void board_drive_done(struct board *board, unsigned int drive,
		      const struct host_drive_result *result);
/* Likewise host_scsi_start(). */
void board_scsi_done(struct board *board, const struct host_drive_result *result);
/* Likewise host_usb_start(). */
void board_usb_done(struct board *board, unsigned int disk, const struct host_drive_result *result);
/* Likewise host_tpm_start(), with its answer; length 0: the TPM is gone. */
void board_tpm_done(struct board *board, const uint8_t *answer, uint32_t length);
/* An adapter's address, before any VP runs; and whether it has a switch. */
void board_set_nic_address(struct board *board, unsigned int nic, const uint8_t mac[6]);
void board_set_nic_link(struct board *board, unsigned int nic, bool up);
/* What host_nic_room() denied is there. */
void board_nic_room(struct board *board, unsigned int nic);
/*
 * A frame for the guest, of 14 to TULIP_FRAME_MAX bytes. It is taken when there are descriptors for
 * it, and else to be offered again, for the `last` time when it is lost then. While the machine
 * stands nothing is.
 */
enum board_nic_taken { BOARD_NIC_TAKEN, BOARD_NIC_LATER, BOARD_NIC_STANDS };
enum board_nic_taken board_nic_receive(struct board *board, unsigned int nic, const uint8_t *frame,
				       uint32_t length, bool last);
/* The guest's system has come to VMBus: what is the firmware's alone is gone until the next reset.
 * Any thread, often. */
void board_leave_firmware(struct board *board);
/* The host's end of COM1 has room again, or has something for the guest. */
void board_serial_drained(struct board *board);
void board_serial_ready(struct board *board);
void board_power_button(struct board *board);
/* Somebody presses or releases a key, which is known by its scan code of set 1, with bit 7 if it
 * has the prefix 0xE0. A machine without a keyboard ignores it. */
void board_key(struct board *board, uint8_t key, bool down);
/* Somebody moves the mouse so far, down and to the right, and turns its wheel, towards himself;
 * `buttons` as they are now: left, right, middle, and two at the sides, from bit 0 on. */
void board_pointer(struct board *board, int x, int y, int wheel, uint8_t buttons);
/* Somebody has the pointer at this place, from 0 to 0x7fff each. False: there is no tablet that the
 * guest listens to. */
bool board_place(struct board *board, uint16_t x, uint16_t y, int wheel, uint8_t buttons);
/* The tablet's buttons are up, where it is. */
void board_release_tablet(struct board *board);
/* The generation ID in memory is another one: the guest is told, if it listens. */
void board_generation_changed(struct board *board);

#endif
