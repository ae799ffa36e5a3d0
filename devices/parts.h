/*
 * The parts of the board: each one's state, and what the others and the board call. One file a
 * part, same name.
 *
 * No part has a lock of its own: the board's lock is held in every function here. Times are those
 * of host_time(). x_deadline() (of the PIT: next_edge) is the time at which x_advance() has
 * something to do, HOST_NEVER if there is none.
 *
 * A saved state has no times but distances from the moment of saving: the clock of who loads it may
 * be anything. Nor has it what follows from the rest, as the levels of lines do: load() sets the
 * level of the part's own source, and irq_restore() all that hangs on it.
 */
#ifndef DEVICES_PARTS_H
#define DEVICES_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/dma.h"
#include "devices/hda.h"
#include "devices/host.h"
#include "devices/ide.h"
#include "devices/irq.h"
#include "devices/pci.h"
#include "devices/sb16.h"
#include "devices/tulip.h"
#include "devices/usb.h"
#include "devices/vga.h"
#include "devices/virtio_scsi.h"
#include "devices/xhci.h"
#include "lib/state.h"

/* ---- times in a saved state ---- */

#define STATE_NEVER    UINT64_MAX
#define STATE_TIME_MAX (1ull << 61) /* 73 years */

/* How long ago something was; how long it is until something comes, which may be due. */
static inline void put_past(struct state_writer *writer, uint64_t time, uint64_t now)
{
	state_put_u64(writer, now - time);
}

static inline void put_coming(struct state_writer *writer, uint64_t time, uint64_t now)
{
	state_put_u64(writer, time == HOST_NEVER ? STATE_NEVER : time > now ? time - now : 0);
}

/* A distance in ns, below STATE_TIME_MAX. */
static inline uint64_t get_distance(struct state_reader *part)
{
	uint64_t distance = state_u64(part);

	if (distance >= STATE_TIME_MAX) {
		state_refuse(part, "has a time that is too far away");
		return 0;
	}
	return distance;
}

static inline uint64_t get_past(struct state_reader *part, uint64_t now)
{
	return now - get_distance(part);
}

static inline uint64_t get_coming(struct state_reader *part, uint64_t now)
{
	struct state_reader before = *part;

	if (state_u64(part) == STATE_NEVER) {
		return HOST_NEVER;
	}
	*part = before;
	return now + get_distance(part);
}

/* What is written in the manner of `bits` alone. */
static inline uint8_t get_bits(struct state_reader *part, uint8_t bits)
{
	uint8_t value = state_u8(part);

	if (value & ~bits) {
		state_refuse(part, "has a register with bits that it does not have");
	}
	return value;
}

/* ---- pic.c: two 8259A in cascade, and the edge/level registers at 0x4D0 ---- */

struct pic_chip {
	uint8_t lines; /* inputs as they are now */
	uint8_t irr, imr, isr;
	uint8_t elcr;      /* 1: level */
	uint8_t base;      /* vector of input 0 */
	uint8_t lowest;    /* input with the lowest priority */
	uint8_t init_step; /* ICW that is awaited: 2 to 4, 0 for none */
	bool need_icw4, auto_eoi, rotate_auto_eoi, special_mask, special_nested;
	bool read_isr, poll;
};

struct pic {
	struct host *host;
	struct pic_chip chips[2]; /* master, slave on its input 2 */
	bool output;              /* INTR */
};

extern const struct device_class pic_master_class, pic_slave_class, pic_elcr_class;

void pic_reset(struct pic *pic);
void pic_set_line(struct pic *pic, unsigned int line, bool level);
/* The INTA cycle: the vector for the processor. 7 of the chip's vectors if nothing is there any
 * more. */
uint8_t pic_acknowledge(struct pic *pic);
/* After a load: the 16 lines as they are. Nothing is an edge. */
void pic_restore(struct pic *pic, uint16_t lines);

/* ---- ioapic.c: 82093AA, 24 inputs ---- */

#define IOAPIC_PINS 24

struct ioapic {
	struct host *host;
	uint64_t table[IOAPIC_PINS];
	uint32_t lines; /* inputs as they are now; 1 is asserted, whatever the polarity bit says */
	uint32_t pending; /* edges seen and not sent yet; the line is still up */
	uint8_t select;
	uint8_t id;
};

extern const struct device_class ioapic_class;

void ioapic_reset(struct ioapic *ioapic);
void ioapic_set_line(struct ioapic *ioapic, unsigned int pin, bool level);
/* A local APIC ended a level-triggered interrupt with this vector. */
void ioapic_end(struct ioapic *ioapic, uint8_t vector);
/* After a load: the inputs as they are. Nothing is an edge. */
void ioapic_restore(struct ioapic *ioapic, uint32_t lines);

/* ---- pit.c: i8254, and the part of port 0x61 that belongs to it ---- */

struct pit_channel {
	uint64_t start;  /* when counting began */
	uint64_t held;   /* how long it had counted when its gate fell, in ns */
	uint32_t reload; /* 1 to 65536 */
	uint16_t latch;
	uint8_t mode, access; /* access: 1 low byte, 2 high byte, 3 both */
	uint8_t latched;      /* bytes of the latch still to be read */
	uint8_t status;
	uint8_t write_low;
	bool bcd, gate, armed; /* armed: a count was written, and mode 1 or 5 saw its trigger */
	bool status_latched, second_read, second_write;
};

struct pit {
	struct host *host;
	struct irq_source irq;
	struct pit_channel channels[3];
	uint64_t next_edge; /* of channel 0 */
	uint64_t epoch;     /* when the refresh bit of port 0x61 was 0 */
	uint8_t port61;
};

extern const struct device_class pit_class, pit_port61_class;

void pit_reset(struct pit *pit);
void pit_advance(struct pit *pit, uint64_t now);

/* ---- rtc.c: MC146818 with 128 bytes ---- */

struct rtc {
	struct host *host;
	struct irq_source irq;
	uint8_t index;
	uint8_t ram[128];
	int64_t offset;         /* the guest's clock minus host_wall_time(), in ns */
	int64_t last_second;    /* the guest's second up to which updates were accounted */
	uint64_t epoch;         /* periods are counted from it */
	uint64_t last_periodic; /* the time up to which periods were accounted */
	uint64_t next_periodic; /* HOST_NEVER: off */
	uint64_t next_update;   /* when the second ends, if an interrupt may come of it */
};

extern const struct device_class rtc_class;

void rtc_reset(struct rtc *rtc);
uint64_t rtc_deadline(const struct rtc *rtc);
void rtc_advance(struct rtc *rtc, uint64_t now);

/* ---- uart.c: 16550A ---- */

#define UART_FIFO 16

struct uart {
	struct host *host;
	struct irq_source irq;
	uint8_t rx[UART_FIFO];
	uint8_t rx_first, rx_count;
	uint8_t tx[UART_FIFO]; /* bytes that the host has no room for yet */
	uint8_t tx_first, tx_count;
	uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
	uint8_t divisor_low, divisor_high;
	bool thre_pending; /* "transmitter empty" was not reported by the IIR yet */
	bool rx_aged;      /* bytes below the FIFO's trigger level waited long enough */
	uint64_t rx_age_at;
};

extern const struct device_class uart_class;

void uart_reset(struct uart *uart);
void uart_drained(struct uart *uart);
void uart_ready(struct uart *uart);
uint64_t uart_deadline(const struct uart *uart);
void uart_advance(struct uart *uart, uint64_t now);

/* ---- host_bridge.c: 00:00.0 ---- */

struct host_bridge {
	struct pci_function function;
};

/* The 440BX, which systems know and want nothing of; or the 440FX, which firmware knows. */
void host_bridge_create(struct host_bridge *bridge, struct pci *pci, bool firmware);

/* ---- piix4.c: 82371AB, its ISA bridge and its power management function ---- */

struct piix4 {
	struct pci_function isa, pm;
	struct bus_range *pm_range; /* of acpi_pm's registers */
};

/* At functions 0 and 3 of this slot. */
void piix4_create(struct piix4 *piix4, struct pci *pci, unsigned int slot,
		  struct bus_range *pm_range);
/* After pci_reset() or a load: what follows from the configuration. */
void piix4_update(struct piix4 *piix4);

/* ---- i8042.c: keyboard controller, keyboard and mouse ---- */

#define I8042_QUEUE 16

/* What somebody has said and nobody has taken yet; more than fits is lost. */
struct i8042_queue {
	uint8_t bytes[I8042_QUEUE];
	uint8_t count;
	uint8_t last; /* to be said again */
};

#define I8042_KEYS    64
#define I8042_BUTTONS 8
#define I8042_MOVES   4095 /* at most so far in a direction until it is said */

/* Keys that were pressed or released. There is always room for the release of each one that the
 * guest has seen or will see pressed. */
struct i8042_keys {
	struct {
		uint8_t key, down;
	} events[I8042_KEYS];
	uint8_t count;
	uint8_t held[32]; /* a bit for each key: those */
};

/* How far the mouse has moved since it last said so, down and towards who sits there being
 * positive; and its buttons, as they became. */
struct i8042_moves {
	int32_t x, y, wheel;
	uint8_t buttons[I8042_BUTTONS];
	uint8_t count; /* of those */
	uint8_t said;  /* the buttons, as they were when it last said so */
};

struct i8042 {
	struct host *host;
	struct irq_source keyboard_irq, aux_irq;
	uint8_t status, data; /* the output buffer */
	uint8_t mode;         /* the command byte */
	uint8_t port;         /* the output port: reset and A20 */
	uint8_t wait;         /* the command whose parameter comes next on 0x60; 0: none */
	struct i8042_queue controller, loop, keyboard, mouse;
	uint8_t scan_set, keyboard_wait;
	uint8_t mouse_status, mouse_resolution, mouse_rate, mouse_rates[3], mouse_id, mouse_wait;
	bool mouse_wrap, keyboard_on;
	struct i8042_keys keys;
	struct i8042_moves moves;
};

extern const struct device_class i8042_data_class, i8042_command_class;

void i8042_reset(struct i8042 *i8042);
/* A key (board_key()). Too many that the guest has not taken: this one is not pressed. */
void i8042_key(struct i8042 *i8042, uint8_t key, bool down);
/* A move of the mouse (board_pointer()). */
void i8042_move(struct i8042 *i8042, int x, int y, int wheel, uint8_t buttons);

/* ---- scancode.c ---- */

#define SCANCODE_MAX 8

/* What a keyboard says in set 1, 2 or 3; how many bytes, 0: there is no such key. */
unsigned int scancode_of(unsigned int set, uint8_t key, bool down, uint8_t to[SCANCODE_MAX]);

/* ---- fw_cfg.c: what firmware is told of its machine ---- */

#define FW_CFG_FILES 32
#define FW_CFG_KEYS  (0x20 + FW_CFG_FILES)

#define FW_CFG_VP_COUNT     0x05
#define FW_CFG_KERNEL_SIZE  0x08
#define FW_CFG_BOOT_MENU    0x0e
#define FW_CFG_VP_COUNT_MAX 0x0f
#define FW_CFG_KERNEL_DATA  0x11

struct fw_cfg_item {
	const uint8_t *bytes; /* the home's */
	uint32_t length;
};

/* As firmware sees it; numbers are big-endian. */
struct fw_cfg_file {
	uint32_t length;
	uint16_t key;
	uint16_t reserved;
	char name[56];
};

struct fw_cfg {
	struct host *host;
	struct fw_cfg_item items[FW_CFG_KEYS];
	uint8_t numbers[FW_CFG_KEYS][2]; /* of fw_cfg_set_u16() */
	struct {
		uint32_t count;
		struct fw_cfg_file files[FW_CFG_FILES];
	} directory;
	unsigned int file_count;
	uint16_t key;
	uint32_t at; /* in the item: its next byte */
	uint64_t dma_address;
};

extern const struct device_class fw_cfg_class;

void fw_cfg_create(struct fw_cfg *fw_cfg, struct host *host);
void fw_cfg_reset(struct fw_cfg *fw_cfg);
/* Before any VP runs. The bytes stay the caller's, and as they are as long as the machine lives. */
void fw_cfg_set(struct fw_cfg *fw_cfg, uint16_t key, const void *bytes, uint32_t length);
void fw_cfg_set_u16(struct fw_cfg *fw_cfg, uint16_t key, uint16_t value);
/* False: too many, or its name is too long. */
bool fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *bytes, uint32_t length);

/* ---- flash.c: where UEFI firmware keeps its variables ---- */

#define FLASH_BLOCK 4096u

struct flash {
	struct host *host;
	struct bus *bus;
	struct bus_range *range;
	uint8_t *memory; /* the home's; NULL: there is no flash */
	uint32_t length;
	uint8_t mode, status;
	uint32_t first, changed; /* bytes of a block that were programmed, and not yet stored */
};

extern const struct device_class flash_class;

/* `range` has `memory` for its pages, `length` bytes of blocks. What it holds is kept by the home,
 * from host_flash_store() on. */
void flash_create(struct flash *flash, struct host *host, struct bus *bus, struct bus_range *range,
		  uint8_t *memory, uint32_t length);
void flash_reset(struct flash *flash);
/* After a load: what guests read directly. */
void flash_update(struct flash *flash);

/* ---- tpm_crb.c: a TPM's registers ---- */

#define TPM_BASE         0xfed40000ull
#define TPM_LENGTH       0x1000
#define TPM_CONTROL_AREA (TPM_BASE + 0x40) /* as the table TPM2 names it */
#define TPM_BUFFER_BYTES 3968u

struct tpm_crb {
	struct host *host; /* NULL: there is no TPM */
	bool granted;      /* somebody has asked for its locality */
	bool idle;         /* nobody is about to give a command */
	bool busy;         /* host_tpm_start(), until tpm_crb_done() */
	bool failed;       /* it carries out nothing more until a reset */
	uint8_t buffer[TPM_BUFFER_BYTES];
};

extern const struct device_class tpm_crb_class;

void tpm_crb_create(struct tpm_crb *tpm, struct host *host);
void tpm_crb_reset(struct tpm_crb *tpm);
/* Length 0: the TPM is gone. */
void tpm_crb_done(struct tpm_crb *tpm, const uint8_t *answer, uint32_t length);

/* ---- debugcon.c: the port for firmware's debug messages ---- */

struct debugcon {
	struct host *host;
};

extern const struct device_class debugcon_class;

/* ---- acpi_pm.c: ACPI 6.5, 4.8: PM1a, PM timer, GPE block 0 ---- */

#define ACPI_PM_BASE      0x400
#define ACPI_PM_BASE_BIOS 0x600  /* where SeaBIOS puts it */
#define ACPI_PM_BASE_UEFI 0xb000 /* where OVMF puts it */
#define ACPI_PM_LENGTH    0x10
#define ACPI_PIIX4_LENGTH 0x40 /* what a PIIX4 decodes; there are no more registers in it */
#define ACPI_SCI_LINE     9
/* The sleep type that turns the machine off; a PIIX4's (SUS_TYP) is what firmware writes that reads
 * no tables. */
#define ACPI_S5_TYPE       5
#define ACPI_S5_TYPE_PIIX4 0

struct acpi_pm {
	struct host *host;
	struct irq_source irq;
	uint16_t status, enable, control;
	uint16_t gpe_status, gpe_enable;
	uint8_t off_type;
	uint64_t epoch;         /* when the timer was 0 */
	uint64_t timer_toggles; /* how often its top bit had changed when it was last looked at */
};

extern const struct device_class acpi_pm_class;

/* off_type stays. */
void acpi_pm_reset(struct acpi_pm *pm);
void acpi_pm_power_button(struct acpi_pm *pm);
#define GPE_GENERATION 0u /* the methods of \_GPE are in dsdt.asl */
void acpi_pm_event(struct acpi_pm *pm, unsigned int gpe);
uint64_t acpi_pm_deadline(const struct acpi_pm *pm);
void acpi_pm_advance(struct acpi_pm *pm, uint64_t now);

/* ---- reset.c: port 0x92, without an i8042 its command that resets, and the port of test images
 * ---- */

struct reset {
	struct host *host;
	uint8_t port92;
};

extern const struct device_class reset_port92_class, reset_i8042_class, reset_debug_exit_class;

void reset_reset(struct reset *reset);

#endif
