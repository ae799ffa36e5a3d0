/*
 * A USB host controller (eXtensible Host Controller Interface, revision 1.1) as a PCI function,
 * with the devices that the machine has on its ports of USB 2.0.
 *
 *   doorbell -> an endpoint is rung -> xhci_serve(): TRB after TRB of its ring, until the device
 *   says "not now" (usb.h), the ring is at its end, or the event ring has no room -> event -> interrupt
 *
 * All rings are the guest's and hostile. A TRB is copied once. One turn does XHCI_TURN of them at
 * most, the next comes a millisecond later; links that lead to no TRB stop the controller (Host
 * Controller Error), memory that is not there does (Host System Error), until the guest resets it.
 * No event is lost: what makes one waits for room.
 *
 * What an endpoint is is kept here, and told to the guest in its device context, from which nothing
 * is read. There are no streams, no isochronous endpoints, no hubs, and one interrupter; the ports
 * of USB 3 are there because some systems want them, and have nothing on them.
 *
 * Lock: the board's, everywhere.
 */
#ifndef DEVICES_XHCI_H
#define DEVICES_XHCI_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/pci.h"
#include "devices/usb.h"

#define XHCI_LENGTH     0x4000 /* of the BAR */
#define XHCI_SLOTS      8
#define XHCI_PORTS_2    4  /* of USB 2.0, numbers 1 to 4 */
#define XHCI_PORTS      8  /* with those of USB 3 */
#define XHCI_ENDPOINTS  32 /* by their device context index, from 1 on */
#define XHCI_TURN       256u
#define XHCI_EVENTS_MAX 4096u /* TRBs of a segment */

/* Operational registers (5.4); what is not said here reads as zeros. */
#define XHCI_RUN    0x0001u /* of the command register */
#define XHCI_RESET  0x0002u
#define XHCI_TELLS  0x0004u
#define XHCI_HALTED 0x0001u /* of the status register */
#define XHCI_MEMORY 0x0004u /* Host System Error */
#define XHCI_EVENT  0x0008u
#define XHCI_CHANGE 0x0010u /* of a port */
#define XHCI_LOST   0x0400u /* Save/Restore Error */
#define XHCI_BROKEN 0x1000u /* Host Controller Error */

/* Completion codes (6.4.5). */
enum xhci_code {
	XHCI_SUCCESS = 1,
	XHCI_DATA_ERROR = 2,
	XHCI_TRANSACTION_ERROR = 4,
	XHCI_TRB_ERROR = 5,
	XHCI_STALL = 6,
	XHCI_NO_SLOTS = 9,
	XHCI_NO_SLOT = 11,
	XHCI_NO_ENDPOINT = 12,
	XHCI_SHORT = 13,
	XHCI_PARAMETER = 17,
	XHCI_CONTEXT_STATE = 19,
	XHCI_RING_STOPPED = 24,
	XHCI_STOPPED = 26,
};

struct xhci_trb {
	uint64_t parameter;
	uint32_t status, control;
};

#define XHCI_TYPE(control) ((control) >> 10 & 0x3f)

enum xhci_trb_type {
	XHCI_NORMAL = 1,
	XHCI_SETUP,
	XHCI_DATA,
	XHCI_STATUS,
	XHCI_ISOCH,
	XHCI_LINK,
	XHCI_EVENT_DATA,
	XHCI_NO_OP,
	XHCI_ENABLE_SLOT,
	XHCI_DISABLE_SLOT,
	XHCI_ADDRESS_DEVICE,
	XHCI_CONFIGURE_ENDPOINT,
	XHCI_EVALUATE_CONTEXT,
	XHCI_RESET_ENDPOINT,
	XHCI_STOP_ENDPOINT,
	XHCI_SET_DEQUEUE,
	XHCI_RESET_DEVICE,
	XHCI_NO_OP_COMMAND = 23,
	XHCI_TRANSFER_EVENT = 32,
	XHCI_COMMAND_EVENT = 33,
	XHCI_PORT_EVENT = 34,
};

struct xhci_ring {
	uint64_t at; /* the next TRB */
	bool cycle;
};

/* As in its context (6.2.3). */
enum xhci_endpoint_state {
	XHCI_DISABLED,
	XHCI_RUNNING,
	XHCI_IS_HALTED,
	XHCI_IS_STOPPED,
	XHCI_IN_ERROR,
};

enum xhci_endpoint_type {
	XHCI_BULK_OUT = 2,
	XHCI_INTERRUPT_OUT = 3,
	XHCI_CONTROL = 4,
	XHCI_BULK_IN = 6,
	XHCI_INTERRUPT_IN = 7,
};

struct xhci_endpoint {
	uint8_t state, type;
	bool rung;     /* there may be something on its ring */
	bool in;       /* of control: where the data stage goes */
	bool reported; /* of the TD that it is in: an event was given */
	bool ending;   /* likewise: it was short, and its other TRBs are passed by */
	struct xhci_ring ring;
	uint32_t done;  /* bytes of the TRB that are moved */
	uint32_t moved; /* bytes of the TD, as an Event Data TRB tells of them */
};

/* As in its context (6.2.2), and one more: enabled, with nothing in it. */
enum xhci_slot_state { XHCI_NO_DEVICE, XHCI_DEFAULT, XHCI_ADDRESSED, XHCI_CONFIGURED };

struct xhci_slot {
	bool enabled;
	uint8_t state, port; /* of a device: which port it is on, from 1 on */
	uint64_t context;    /* where the guest sees it */
	struct xhci_endpoint endpoints[XHCI_ENDPOINTS];
};

struct xhci_port {
	uint32_t status; /* as the register is read */
	bool owed;       /* an event that says that it has changed */
};

struct xhci {
	struct pci_function function; /* pci NULL: there is none */
	struct usb_device *devices[XHCI_PORTS_2];
	uint32_t command, status, notifications, configuration;
	uint32_t ring_low; /* of the command ring's register: what was written of it first */
	struct xhci_ring ring;
	bool rung; /* its doorbell */
	bool ring_runs;
	uint64_t contexts; /* the array of the slots' */
	struct xhci_port ports[XHCI_PORTS];
	/* The interrupter (5.5.2), and its event ring of one segment. */
	uint32_t management, moderation, table_size;
	uint64_t table, dequeue;
	uint64_t event_ring;
	uint32_t event_count; /* TRBs of it; 0: there is none */
	uint32_t enqueue;     /* an index */
	bool event_cycle;
	uint64_t epoch; /* when the index of microframes was 0 */
	uint64_t again; /* when there is another turn; HOST_NEVER: nobody waits for one */
	struct xhci_slot slots[XHCI_SLOTS + 1]; /* 0 is none */
};

extern const struct device_class xhci_class;

void xhci_create(struct xhci *xhci, struct pci *pci, unsigned int slot);
/* On the next port that is free; before any VP runs. False: there is none. */
bool xhci_plug(struct xhci *xhci, struct usb_device *device);
void xhci_reset(struct xhci *xhci);
uint64_t xhci_deadline(const struct xhci *xhci);
void xhci_advance(struct xhci *xhci, uint64_t now);
/* After a load: its interrupt. */
void xhci_restore(struct xhci *xhci);

/* ---- between its files ---- */

struct host;

static inline struct host *xhci_host(const struct xhci *xhci)
{
	return xhci->function.pci->host;
}

/* xhci.c */
uint64_t xhci_read(void *device, uint32_t offset, unsigned int size);
void xhci_write(void *device, uint32_t offset, unsigned int size, uint64_t value);
/* It stands still until the guest resets it: XHCI_MEMORY or XHCI_BROKEN. */
void xhci_fail(struct xhci *xhci, uint32_t why);
/* A turn of everything that waits. */
void xhci_serve(struct xhci *xhci);

/* xhci_event.c. Room for so many events. */
bool xhci_has_room(const struct xhci *xhci, unsigned int count);
/* There is room for one. `quiet`: no interrupt for it. */
void xhci_put_event(struct xhci *xhci, uint64_t parameter, uint32_t status, uint32_t control,
		    bool quiet);
void xhci_update_interrupt(struct xhci *xhci);
/* After a load: the line alone; a message was sent before, or is sent with the next event. */
void xhci_restore_interrupt(struct xhci *xhci);
uint32_t xhci_event_read(const struct xhci *xhci, uint32_t at);
void xhci_event_write(struct xhci *xhci, uint32_t at, uint32_t value);

/* xhci_transfer.c. The next TRB of a ring, behind links, and where it is; false: there is none yet,
 * or the controller stands. */
bool xhci_fetch(struct xhci *xhci, struct xhci_ring *ring, struct xhci_trb *trb);
void xhci_advance_ring(struct xhci_ring *ring);
/* What an endpoint has to do, while there are TRBs in *budget. */
void xhci_serve_endpoint(struct xhci *xhci, unsigned int slot, unsigned int index,
			 unsigned int *budget);
/* It stops between transactions; an event, for which there is room, tells of a TD
 * that was begun. */
void xhci_stop_endpoint(struct xhci *xhci, unsigned int slot, unsigned int index);

/* xhci_command.c */
void xhci_serve_commands(struct xhci *xhci, unsigned int *budget);
/* May the endpoint of this index be of this type? */
bool xhci_is_type(unsigned int type, unsigned int index);
/* Where the guest sees an endpoint. */
void xhci_show_endpoint(struct xhci *xhci, unsigned int slot, unsigned int index);

#endif
