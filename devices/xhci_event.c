/*
 * The interrupter and its event ring (xHCI 1.1, 4.9.4 and 5.5.2). The ring is one segment, whose
 * place is read when the table's address is written. One TRB of it is always free: a ring whose
 * next one is the guest's has no room.
 */
#include "devices/parts.h"
#include "devices/xhci.h"

#define MANAGEMENT   0x00
#define MODERATION   0x04
#define TABLE_SIZE   0x08
#define TABLE        0x10
#define DEQUEUE      0x18
#define PENDING      0x1u /* of the first */
#define ENABLED      0x2u
#define BUSY         0x8u /* of the last: the guest has not looked yet */
#define DEQUEUE_BITS 0xfu

#define SEGMENT_MIN 16u

static uint64_t guests_index(const struct xhci *xhci)
{
	return ((xhci->dequeue & ~(uint64_t)DEQUEUE_BITS) - xhci->event_ring) /
	       sizeof(struct xhci_trb);
}

/* The guest is where none of it is: there is no room until it says another place. */
bool xhci_has_room(const struct xhci *xhci, unsigned int count)
{
	uint64_t index = guests_index(xhci);

	return index < xhci->event_count &&
	       (index + xhci->event_count - xhci->enqueue - 1) % xhci->event_count >= count;
}

static bool tells_guest(const struct xhci *xhci)
{
	return xhci->command & XHCI_TELLS && xhci->management & ENABLED &&
	       xhci->management & PENDING;
}

void xhci_restore_interrupt(struct xhci *xhci)
{
	pci_set_intx(&xhci->function, tells_guest(xhci));
}

void xhci_update_interrupt(struct xhci *xhci)
{
	bool tells = tells_guest(xhci);

	if (tells && pci_sends(&xhci->function)) {
		xhci->management &= ~PENDING; /* the message is said */
		pci_send(&xhci->function, 0);
		tells = false;
	}
	pci_set_intx(&xhci->function, tells);
}

static void raise(struct xhci *xhci)
{
	if (!(xhci->dequeue & BUSY)) {
		xhci->management |= PENDING;
	}
	xhci->dequeue |= BUSY;
	xhci->status |= XHCI_EVENT;
	xhci_update_interrupt(xhci);
}

void xhci_put_event(struct xhci *xhci, uint64_t parameter, uint32_t status, uint32_t control,
		    bool quiet)
{
	struct xhci_trb event = {.parameter = parameter,
				 .status = status,
				 .control = control | (xhci->event_cycle ? 1 : 0)};

	if (!host_memory_write(xhci_host(xhci), xhci->event_ring + xhci->enqueue * sizeof(event),
			       &event, sizeof(event))) {
		xhci_fail(xhci, XHCI_MEMORY);
		return;
	}
	if (++xhci->enqueue == xhci->event_count) {
		xhci->enqueue = 0;
		xhci->event_cycle = !xhci->event_cycle;
	}
	if (!quiet) {
		raise(xhci);
	}
}

static void begin_ring(struct xhci *xhci)
{
	struct {
		uint64_t gpa;
		uint32_t count, reserved;
	} segment;

	xhci->event_count = 0;
	xhci->enqueue = 0;
	xhci->event_cycle = true;
	if (xhci->table_size == 0) {
		return;
	}
	if (!host_memory_read(xhci_host(xhci), xhci->table, &segment, sizeof(segment))) {
		xhci_fail(xhci, XHCI_MEMORY);
		return;
	}
	segment.count &= 0xffff;
	if (segment.count >= SEGMENT_MIN && segment.count <= XHCI_EVENTS_MAX) {
		xhci->event_ring = segment.gpa & ~0x3full;
		xhci->event_count = segment.count;
	}
}

uint32_t xhci_event_read(const struct xhci *xhci, uint32_t at)
{
	switch (at) {
	case MANAGEMENT:
		return xhci->management;
	case MODERATION:
		return xhci->moderation;
	case TABLE_SIZE:
		return xhci->table_size;
	case TABLE:
		return (uint32_t)xhci->table;
	case TABLE + 4:
		return (uint32_t)(xhci->table >> 32);
	case DEQUEUE:
		return (uint32_t)xhci->dequeue;
	case DEQUEUE + 4:
		return (uint32_t)(xhci->dequeue >> 32);
	default:
		return 0;
	}
}

static void dequeue_write(struct xhci *xhci, uint32_t value)
{
	uint64_t busy = xhci->dequeue & BUSY & ~(uint64_t)value;

	xhci->dequeue = (xhci->dequeue & ~0xffffffffull) | (value & ~BUSY) | busy;
	/* It has looked, and not at all. */
	if (value & BUSY && xhci->event_count != 0 && guests_index(xhci) != xhci->enqueue) {
		raise(xhci);
	}
}

void xhci_event_write(struct xhci *xhci, uint32_t at, uint32_t value)
{
	switch (at) {
	case MANAGEMENT:
		xhci->management &= ~(value & PENDING);
		xhci->management = (xhci->management & PENDING) | (value & ENABLED);
		break;
	case MODERATION:
		xhci->moderation = value;
		break;
	case TABLE_SIZE:
		xhci->table_size = value & 0xffff;
		break;
	case TABLE:
		xhci->table = (xhci->table & ~0xffffffffull) | (value & ~0x3fu);
		break;
	case TABLE + 4:
		xhci->table = (xhci->table & 0xffffffff) | (uint64_t)value << 32;
		begin_ring(xhci);
		break;
	case DEQUEUE:
		dequeue_write(xhci, value);
		break;
	case DEQUEUE + 4:
		xhci->dequeue = (xhci->dequeue & 0xffffffff) | (uint64_t)value << 32;
		break;
	default:
		break;
	}
}
