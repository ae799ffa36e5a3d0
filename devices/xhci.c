/*
 * The controller's registers and ports (xHCI 1.1, chapter 5): what is there, what follows from a
 * write, and the turns in which everything that waits is done. See xhci.h.
 */
#include "devices/xhci.h"

#include <string.h>

#include "devices/parts.h"
#include "lib/check.h"

#define OPERATIONAL 0x40
#define PORTS       0x440
#define PORT_BYTES  0x10
#define RUNTIME     0x1000
#define INTERRUPTER 0x1020
#define DOORBELLS   0x2000
#define PROTOCOLS   0x20 /* the list of extended capabilities */

#define AGAIN_NS 1000000ull

#define COMMAND_BITS    0x0c0du /* that stay: run, interrupts, errors, wrap, U3 entry */
#define COMMAND_SAVE    0x0100u
#define COMMAND_RESTORE 0x0200u
#define STATUS_ENDED    (XHCI_MEMORY | XHCI_EVENT | XHCI_CHANGE | XHCI_LOST) /* by writing ones */

#define RING_CYCLE   0x1u
#define RING_STOP    0x2u
#define RING_ABORT   0x4u
#define RING_RUNS    0x8u
#define ADDRESS_BITS 0x3fu /* of a ring or an array that are not its address */

/* Of a port (5.4.8). */
#define PORT_CONNECTED    (1u << 0)
#define PORT_ENABLED      (1u << 1)
#define PORT_RESET        (1u << 4)
#define PORT_LINK         (15u << 5)
#define PORT_LINK_WRITTEN (1u << 16)
#define PORT_POWER        (1u << 9)
#define PORT_SPEED        (15u << 10)
#define PORT_HIGH_SPEED   (3u << 10)
#define PORT_KEPT         ((3u << 14) | (7u << 25)) /* indicator, what wakes */
#define PORT_CONNECT_NEWS (1u << 17)
#define PORT_RESET_NEWS   (1u << 21)
#define PORT_LINK_NEWS    (1u << 22)
#define PORT_NEWS         (0x7fu << 17)

#define LINK(state)  ((state) << 5)
#define LINK_ON      LINK(0u)
#define LINK_SLEEPS  LINK(3u)
#define LINK_EMPTY   LINK(5u)
#define LINK_POLLING LINK(7u)
#define LINK_RESUMES LINK(15u)

/* ---- what there is ---- */

static const uint32_t capabilities[] = {
	0x01000000 | OPERATIONAL,               /* revision 1.0, which all systems know */
	XHCI_PORTS << 24 | 1 << 8 | XHCI_SLOTS, /* one interrupter */
	0x0000000f,                             /* one segment of an event ring */
	0,                                      /* */
	PROTOCOLS / 4 << 16 | 1,                /* addresses of 64 bits, contexts of 32 bytes */
	DOORBELLS,                              /* */
	RUNTIME,                                /* */
	0,                                      /* */
	0x02000402,
	0x20425355,
	XHCI_PORTS_2 << 8 | 1,
	0, /* "USB " 2.0, and behind it */
	0x03000002,
	0x20425355, /* 3.0 */
	(XHCI_PORTS - XHCI_PORTS_2) << 8 | (XHCI_PORTS_2 + 1),
	0,
};

/* ---- ports ---- */

static struct usb_device *device_on(const struct xhci *xhci, unsigned int port)
{
	return port < XHCI_PORTS_2 ? xhci->devices[port] : NULL;
}

/* The first news is told; of others the guest reads when it looks. */
static void tell_port(struct xhci *xhci, unsigned int port, uint32_t news)
{
	struct xhci_port *one = &xhci->ports[port];

	one->owed |= !(one->status & PORT_NEWS);
	one->status |= news;
}

static void reset_port(struct xhci *xhci, unsigned int port)
{
	struct xhci_port *one = &xhci->ports[port];
	struct usb_device *device = device_on(xhci, port);

	*one = (struct xhci_port){.status = PORT_POWER | LINK_EMPTY};
	if (device != NULL) {
		usb_reset(device);
		one->status = PORT_POWER | LINK_POLLING | PORT_CONNECTED | PORT_HIGH_SPEED;
		tell_port(xhci, port, PORT_CONNECT_NEWS);
	}
}

static void reset_device(struct xhci *xhci, unsigned int port)
{
	struct xhci_port *one = &xhci->ports[port];
	struct usb_device *device = device_on(xhci, port);

	if (device != NULL) {
		usb_reset(device);
		one->status = (one->status & ~PORT_LINK) | PORT_ENABLED | LINK_ON;
		tell_port(xhci, port, PORT_RESET_NEWS);
	}
}

static void set_link(struct xhci *xhci, unsigned int port, uint32_t link)
{
	struct xhci_port *one = &xhci->ports[port];
	uint32_t was = one->status & PORT_LINK;

	if (!(one->status & PORT_ENABLED) ||
	    (link != LINK_ON && link != LINK_SLEEPS && link != LINK_RESUMES)) {
		return;
	}
	one->status = (one->status & ~PORT_LINK) | link;
	if (link == LINK_ON && was != LINK_ON) {
		tell_port(xhci, port, PORT_LINK_NEWS);
	}
}

static void port_write(struct xhci *xhci, unsigned int port, uint32_t value)
{
	struct xhci_port *one = &xhci->ports[port];

	one->status &= ~(value & PORT_NEWS);
	one->status = (one->status & ~PORT_KEPT) | (value & PORT_KEPT);
	if (value & PORT_ENABLED) { /* which turns it off */
		one->status &= ~PORT_ENABLED;
	}
	if (value & PORT_RESET) {
		reset_device(xhci, port);
	} else if (value & PORT_LINK_WRITTEN) {
		set_link(xhci, port, value & PORT_LINK);
	}
}

/* ---- turns ---- */

void xhci_fail(struct xhci *xhci, uint32_t why)
{
	xhci->status |= why | XHCI_HALTED;
	xhci->command &= ~XHCI_RUN;
}

static bool runs(const struct xhci *xhci)
{
	return !(xhci->status & XHCI_HALTED) && pci_is_master(&xhci->function);
}

static void serve_ports(struct xhci *xhci)
{
	unsigned int i;

	for (i = 0; i < XHCI_PORTS && xhci_has_room(xhci, 1); i++) {
		if (xhci->ports[i].owed) {
			xhci->ports[i].owed = false;
			xhci->status |= XHCI_CHANGE;
			xhci_put_event(xhci, (uint64_t)(i + 1) << 24, XHCI_SUCCESS << 24,
				       XHCI_PORT_EVENT << 10, false);
		}
	}
}

void xhci_serve(struct xhci *xhci)
{
	unsigned int slot, index, budget = XHCI_TURN;

	if (!runs(xhci)) {
		return;
	}
	serve_ports(xhci);
	xhci_serve_commands(xhci, &budget);
	for (slot = 1; slot <= XHCI_SLOTS; slot++) {
		for (index = 1; xhci->slots[slot].enabled && index < XHCI_ENDPOINTS; index++) {
			xhci_serve_endpoint(xhci, slot, index, &budget);
		}
	}
	xhci->again = budget == 0 ? host_time(xhci_host(xhci)) + AGAIN_NS : HOST_NEVER;
}

uint64_t xhci_deadline(const struct xhci *xhci)
{
	return xhci->function.pci != NULL ? xhci->again : HOST_NEVER;
}

void xhci_advance(struct xhci *xhci, uint64_t now)
{
	if (xhci->function.pci != NULL && now >= xhci->again) {
		xhci->again = HOST_NEVER;
		xhci_serve(xhci);
	}
}

/* A device has something. */
static void serve_device(struct usb_device *device)
{
	xhci_serve(device->controller);
}

/* ---- registers ---- */

/* All but the function's configuration: as after power-on. */
static void reset_controller(struct xhci *xhci)
{
	struct xhci fresh = {.status = XHCI_HALTED, .again = HOST_NEVER};
	unsigned int i;

	fresh.epoch = host_time(xhci_host(xhci));
	fresh.function = xhci->function;
	memcpy(fresh.devices, xhci->devices, sizeof(fresh.devices));
	*xhci = fresh;
	for (i = 0; i < XHCI_PORTS; i++) {
		reset_port(xhci, i);
	}
	xhci_update_interrupt(xhci);
}

static void command_write(struct xhci *xhci, uint32_t value)
{
	if (value & XHCI_RESET) {
		reset_controller(xhci);
		return;
	}
	/* Nothing is kept for a machine that sleeps: its system begins anew. */
	xhci->status &= value & COMMAND_SAVE ? ~XHCI_LOST : UINT32_MAX;
	xhci->status |= value & COMMAND_RESTORE ? XHCI_LOST : 0;
	if (xhci->status & (XHCI_BROKEN | XHCI_MEMORY)) {
		value &= ~XHCI_RUN;
	}
	xhci->command = value & COMMAND_BITS;
	if (value & XHCI_RUN) {
		xhci->status &= ~XHCI_HALTED;
	} else {
		xhci->status |= XHCI_HALTED;
		xhci->ring_runs = false;
	}
}

/* Of its two halves the second one counts; a ring that runs is stopped, and no other taken. */
static void ring_write(struct xhci *xhci, uint32_t high)
{
	uint32_t low = xhci->ring_low;

	xhci->ring_low = 0;
	if (!xhci->ring_runs) {
		xhci->ring.at = ((uint64_t)high << 32 | low) & ~(uint64_t)ADDRESS_BITS;
		xhci->ring.cycle = low & RING_CYCLE;
	} else if (low & (RING_STOP | RING_ABORT)) {
		xhci->ring_runs = xhci->rung = false;
		if (xhci_has_room(xhci, 1)) {
			xhci_put_event(xhci, xhci->ring.at, (uint32_t)XHCI_RING_STOPPED << 24,
				       XHCI_COMMAND_EVENT << 10, false);
		}
	}
}

static uint32_t operational_read(const struct xhci *xhci, uint32_t at)
{
	switch (at) {
	case 0x00:
		return xhci->command;
	case 0x04:
		return xhci->status;
	case 0x08:
		return 1; /* pages of 4 KiB */
	case 0x14:
		return xhci->notifications;
	case 0x18:
		return xhci->ring_runs ? RING_RUNS : 0;
	case 0x30:
		return (uint32_t)xhci->contexts;
	case 0x34:
		return (uint32_t)(xhci->contexts >> 32);
	case 0x38:
		return xhci->configuration;
	default:
		return 0;
	}
}

static void operational_write(struct xhci *xhci, uint32_t at, uint32_t value)
{
	switch (at) {
	case 0x00:
		command_write(xhci, value);
		break;
	case 0x04:
		xhci->status &= ~(value & STATUS_ENDED);
		break;
	case 0x14:
		xhci->notifications = value & 0xffff;
		break;
	case 0x18:
		xhci->ring_low = value;
		break;
	case 0x1c:
		ring_write(xhci, value);
		break;
	case 0x30:
		xhci->contexts = (xhci->contexts & ~0xffffffffull) | (value & ~ADDRESS_BITS);
		break;
	case 0x34:
		xhci->contexts = (xhci->contexts & 0xffffffff) | (uint64_t)value << 32;
		break;
	case 0x38:
		xhci->configuration = value & 0xff;
		break;
	default:
		break;
	}
}

static void doorbell_write(struct xhci *xhci, uint32_t slot, uint32_t value)
{
	uint32_t index = value & 0xff;

	if (xhci->status & XHCI_HALTED) {
		return;
	}
	if (slot == 0) {
		xhci->rung = xhci->ring_runs = true;
	} else if (slot <= XHCI_SLOTS && xhci->slots[slot].enabled && index < XHCI_ENDPOINTS) {
		struct xhci_endpoint *endpoint = &xhci->slots[slot].endpoints[index];

		if (endpoint->state == XHCI_IS_STOPPED) {
			endpoint->state = XHCI_RUNNING;
			xhci_show_endpoint(xhci, slot, index);
		}
		endpoint->rung = endpoint->state == XHCI_RUNNING;
	}
}

static uint32_t register_read(const struct xhci *xhci, uint32_t at)
{
	if (at < sizeof(capabilities)) {
		return capabilities[at / 4];
	}
	if (at >= OPERATIONAL && at < PORTS) {
		return operational_read(xhci, at - OPERATIONAL);
	}
	if (at >= PORTS && at < PORTS + XHCI_PORTS * PORT_BYTES) {
		return at % PORT_BYTES == 0 ? xhci->ports[(at - PORTS) / PORT_BYTES].status : 0;
	}
	if (at == RUNTIME) { /* microframes of 125 us */
		return (uint32_t)((host_time(xhci_host(xhci)) - xhci->epoch) / 125000) & 0x3fff;
	}
	return at >= INTERRUPTER && at < INTERRUPTER + 0x20
		       ? xhci_event_read(xhci, at - INTERRUPTER)
		       : 0;
}

/* Registers are of 4 bytes; a part of one is read as it lies. */
uint64_t xhci_read(void *device, uint32_t offset, unsigned int size)
{
	(void)size;
	return register_read(device, offset & ~3u) >> 8 * (offset & 3);
}

void xhci_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct xhci *xhci = device;
	uint32_t written = (uint32_t)value;

	if (size != 4 || offset % 4 != 0) {
		return;
	}
	if (offset >= OPERATIONAL && offset < PORTS) {
		operational_write(xhci, offset - OPERATIONAL, written);
	} else if (offset >= PORTS && offset < PORTS + XHCI_PORTS * PORT_BYTES) {
		if (offset % PORT_BYTES == 0) {
			port_write(xhci, (offset - PORTS) / PORT_BYTES, written);
		}
	} else if (offset >= INTERRUPTER && offset < INTERRUPTER + 0x20) {
		xhci_event_write(xhci, offset - INTERRUPTER, written);
	} else if (offset >= DOORBELLS && offset <= DOORBELLS + 4 * XHCI_SLOTS) {
		doorbell_write(xhci, (offset - DOORBELLS) / 4, written);
	}
	xhci_serve(xhci);
	xhci_update_interrupt(xhci);
}

/* ---- its life ---- */

void xhci_create(struct xhci *xhci, struct pci *pci, unsigned int slot)
{
	/* The ids of QEMU's, which no driver has a mending for. */
	static const struct pci_identity identity = {.vendor = 0x1b36,
						     .device = 0x000d,
						     .class_code = 0x0c0330,
						     .revision = 1,
						     .pin = 1};
	struct bus_range *range;

	pci_function_init(&xhci->function, &identity);
	range = pci_add_bar(&xhci->function, 0, PCI_BAR_MEMORY, XHCI_LENGTH);
	pci_add_msi(&xhci->function, 0x70, 0);
	xhci->function.initial[0x60] = 0x30; /* USB 3.0 (5.2.3) */
	xhci->function.initial[0x61] = 0x20; /* frames of the usual length */
	range->class = &xhci_class;
	range->device = xhci;
	xhci->function.device = xhci;
	CHECK(pci_add(pci, slot, 0, &xhci->function));
	reset_controller(xhci);
}

bool xhci_plug(struct xhci *xhci, struct usb_device *device)
{
	unsigned int port = 0;

	while (port < XHCI_PORTS_2 && xhci->devices[port] != NULL) {
		port++;
	}
	if (port == XHCI_PORTS_2) {
		return false;
	}
	device->ready = serve_device;
	device->controller = xhci;
	xhci->devices[port] = device;
	reset_port(xhci, port);
	return true;
}

void xhci_reset(struct xhci *xhci)
{
	if (xhci->function.pci != NULL) {
		reset_controller(xhci);
	}
}

void xhci_restore(struct xhci *xhci)
{
	if (xhci->function.pci != NULL) {
		xhci_restore_interrupt(xhci);
	}
}
