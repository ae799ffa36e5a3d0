/*
 * PCI functions of bus 0: configuration space, BARs, capabilities, interrupts (PCI Local Bus 3.0).
 *
 * A device has a struct pci_function in its own struct and fills it in before pci_add():
 *
 *   pci_function_init(&device->function, &identity);
 *   range = pci_add_bar(&device->function, 0, PCI_BAR_MEMORY, 0x1000);   then its class and device
 *   pci_add_msix(&device->function, &device->msix, 0x40, 4, 1, 0);
 *   CHECK(pci_add(pci, slot, function, &device->function));
 *
 * From then on the guest's configuration places and enables the BARs, and pci_send() and
 * pci_set_intx() interrupt it. What a function says beyond that is its `written` to do.
 *
 * There is mechanism #1 and no memory-mapped configuration (ECAM): stock firmware finds an i440FX,
 * which has none, and Linux on Hyper-V started by EFI would scan a bus that it is told of so.
 *
 * Lock: the board's, everywhere. Functions are added before any VP runs.
 */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"
#include "devices/irq.h"

#define PCI_CONFIG_BYTES 256

#define PCI_COMMAND             0x04
#define PCI_COMMAND_IO          0x0001
#define PCI_COMMAND_MEMORY      0x0002
#define PCI_COMMAND_MASTER      0x0004
#define PCI_COMMAND_NO_INTX     0x0400
#define PCI_STATUS              0x06
#define PCI_STATUS_INTX         0x08
#define PCI_STATUS_CAPABILITIES 0x10
#define PCI_BAR_0               0x10
#define PCI_ROM                 0x30

#define PCI_BARS      7 /* the last one is the expansion ROM */
#define PCI_BAR_ROM_6 6

enum pci_bar_kind {
	PCI_BAR_NONE,
	PCI_BAR_IO,
	PCI_BAR_MEMORY,
	PCI_BAR_MEMORY_64, /* this one and the next */
	PCI_BAR_ROM,
};

struct pci_bar {
	enum pci_bar_kind kind;
	struct bus_range range;
};

/* The vectors and what waits for them to be unmasked, 4 KiB of a BAR: the table at 0, the PBA at
 * 0x800. */
#define PCI_MSIX_MAX    128
#define PCI_MSIX_LENGTH 0x1000
#define PCI_MSIX_PBA    0x800

struct pci_msix {
	struct bus_range range;
	struct pci_function *function;
	uint32_t table[PCI_MSIX_MAX][4]; /* address, its high half, data, control */
	uint64_t pending[PCI_MSIX_MAX / 64];
	unsigned int count;
	uint32_t offset; /* in the BAR */
	uint8_t bar;
};

struct pci_function {
	struct pci *pci; /* NULL: not added */
	uint8_t slot, number;
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t initial[PCI_CONFIG_BYTES];  /* after reset */
	uint8_t writable[PCI_CONFIG_BYTES]; /* which bits of config the guest may change */
	struct pci_bar bars[PCI_BARS];
	struct pci_msix *msix;           /* NULL: none */
	uint8_t msi_offset, msix_offset; /* of the capabilities in config, 0: none */
	bool hidden;                     /* pci_hide() */
	bool intx;                       /* what pci_set_intx() was told */
	bool line;                       /* it holds its PIRQ up */
	/* The guest wrote `size` bytes of config at `at`, after all else was done; NULL: nobody
	 * asks. */
	void (*written)(void *device, unsigned int at, unsigned int size);
	void *device;
};

struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits */
	uint8_t revision;
	uint8_t pin; /* of INTx: 1 is A, 0 none */
};

#define PCI_SLOTS     32
#define PCI_FUNCTIONS 8
#define PCI_PIRQS     4
#define PCI_NO_LINE   0xff

struct pci {
	struct host *host;
	struct bus *ports, *memory;
	uint32_t address;
	uint8_t reset_control; /* port 0xCF9, which lies inside the address register */
	struct pci_function *functions[PCI_SLOTS][PCI_FUNCTIONS]; /* NULL: none */
	struct irq_source pirqs[PCI_PIRQS]; /* line PCI_NO_LINE: goes nowhere */
	uint8_t pirq_holders[PCI_PIRQS];    /* functions that hold it up */
};

extern const struct device_class pci_address_class, pci_data_class;

void pci_init(struct pci *pci, struct host *host, struct bus *ports, struct bus *memory,
	      struct irq *irq);
/* All functions as after power-on; no PIRQ goes anywhere. */
void pci_reset(struct pci *pci);

void pci_function_init(struct pci_function *function, const struct pci_identity *identity);
/* `length` is a power of two, from 4 (ports, at most 256), 16 (memory) or 2048 (ROM) on. The range
 * that comes back needs a class and a device, or pages. */
struct bus_range *pci_add_bar(struct pci_function *function, unsigned int index,
			      enum pci_bar_kind kind, uint64_t length);
/* A capability of `length` bytes at `at`, a multiple of 4; what follows its header is 0 and may not
 * be written. */
void pci_add_capability(struct pci_function *function, unsigned int at, uint8_t id,
			unsigned int length);
/* 2^`log2_count` vectors, up to 32, with mask bits and 64-bit addresses: 0x18 bytes. */
void pci_add_msi(struct pci_function *function, unsigned int at, unsigned int log2_count);
/* 12 bytes of configuration, and PCI_MSIX_LENGTH bytes at `offset` of a BAR that was added. */
void pci_add_msix(struct pci_function *function, struct pci_msix *msix, unsigned int at,
		  unsigned int count, unsigned int bar, uint32_t offset);
/* False: there is one already, or no room on the bus. */
bool pci_add(struct pci *pci, unsigned int slot, unsigned int number,
	     struct pci_function *function);

/* Hidden: it is not on the bus for the guest, nor are its BARs; its configuration stays as it
 * is. */
void pci_hide(struct pci_function *function, bool hide);
/* The guest lets it reach memory. */
bool pci_is_master(const struct pci_function *function);
/* The level of its INTx. It reaches the guest unless that has disabled it or enabled messages. */
void pci_set_intx(struct pci_function *function, bool level);
/* Messages are enabled, MSI or MSI-X, and INTx is therefore not. */
bool pci_sends(const struct pci_function *function);
/* A message, if they are enabled; now, or when its vector is unmasked. */
void pci_send(struct pci_function *function, unsigned int vector);
/* Which line a PIRQ goes to from now on, or PCI_NO_LINE. */
void pci_route(struct pci *pci, unsigned int pirq, unsigned int line);

/* ---- pci_msi.c, for pci.c ---- */

/* The configuration changed: vectors that are unmasked now are sent. */
void pci_msi_update(struct pci_function *function);
void pci_msix_reset(struct pci_msix *msix);
/* Which bits of a byte of configuration the function itself changes, for the guest to see. */
uint8_t pci_msi_changes(const struct pci_function *function, unsigned int at);
void pci_msix_save(const struct pci_msix *msix, struct state_writer *writer);
void pci_msix_load(struct pci_msix *msix, struct state_reader *part, bool set);

#endif
