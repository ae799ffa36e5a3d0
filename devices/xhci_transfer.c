/*
 * Rings, and what an endpoint does with the TRBs of its own (xHCI 1.1, 4.9 to 4.11).
 *
 * A TRB is done piece by piece, and keeps how far it has come: a device may say "not now" anywhere.
 * A TD, the TRBs that are chained, gives one event: at its first TRB that asks for one, or where it
 * ended early.
 */
#include <string.h>

#include "devices/parts.h"
#include "devices/xhci.h"

#define LINKS_MAX   8u
#define PIECE_BYTES 4096u /* a multiple of every endpoint's packets */

#define CYCLE       (1u << 0)
#define TOGGLE      (1u << 1) /* of a link */
#define TELL_SHORT  (1u << 2)
#define CHAIN       (1u << 4)
#define TELL        (1u << 5)
#define IMMEDIATE   (1u << 6)
#define QUIET       (1u << 9)
#define TO_HOST     (1u << 16)
#define EVENT_DATA  (1u << 2) /* of an event */
#define MOVED_BITS  0xffffffu
#define LENGTH_BITS 0x1ffffu

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void xhci_advance_ring(struct xhci_ring *ring)
{
	ring->at += sizeof(struct xhci_trb);
}

bool xhci_fetch(struct xhci *xhci, struct xhci_ring *ring, struct xhci_trb *trb)
{
	unsigned int links;

	for (links = 0; links <= LINKS_MAX; links++) {
		if (!host_memory_read(xhci_host(xhci), ring->at, trb, sizeof(*trb))) {
			xhci_fail(xhci, XHCI_MEMORY);
			return false;
		}
		if ((trb->control & CYCLE) != ring->cycle) {
			return false;
		}
		if (XHCI_TYPE(trb->control) != XHCI_LINK) {
			return true;
		}
		ring->at = trb->parameter & ~0xfull;
		ring->cycle ^= (trb->control & TOGGLE) != 0;
	}
	xhci_fail(xhci, XHCI_BROKEN); /* links alone */
	return false;
}

/* One that an endpoint works on. */
struct transfer {
	struct xhci *xhci;
	unsigned int slot, index;
	struct xhci_endpoint *endpoint;
	struct usb_device *device;
	struct xhci_trb trb;
};

static uint32_t length_of(const struct xhci_trb *trb)
{
	return trb->status & LENGTH_BITS;
}

static void tell(struct transfer *transfer, uint8_t code)
{
	struct xhci_endpoint *endpoint = transfer->endpoint;
	const struct xhci_trb *trb = &transfer->trb;
	uint64_t parameter = endpoint->ring.at;
	uint32_t length = length_of(trb), flags = 0;
	uint32_t left = length > endpoint->done ? length - endpoint->done : 0;

	if (XHCI_TYPE(trb->control) == XHCI_EVENT_DATA) {
		parameter = trb->parameter;
		left = endpoint->moved & MOVED_BITS;
		flags = EVENT_DATA;
		endpoint->moved = 0;
	}
	endpoint->reported = true;
	xhci_put_event(transfer->xhci, parameter, left | (uint32_t)code << 24,
		       transfer->slot << 24 | transfer->index << 16 | XHCI_TRANSFER_EVENT << 10 |
			       flags,
		       trb->control & QUIET);
}

static void halt(struct transfer *transfer, uint8_t code)
{
	tell(transfer, code);
	transfer->endpoint->state = XHCI_IS_HALTED;
	transfer->endpoint->rung = false;
	xhci_show_endpoint(transfer->xhci, transfer->slot, transfer->index);
}

/* The TRB is done, and with one that is not chained its TD. */
static void pass(struct transfer *transfer)
{
	struct xhci_endpoint *endpoint = transfer->endpoint;

	xhci_advance_ring(&endpoint->ring);
	endpoint->done = 0;
	if (!(transfer->trb.control & CHAIN)) {
		endpoint->moved = 0;
		endpoint->reported = endpoint->ending = false;
	}
}

static void finish(struct transfer *transfer)
{
	struct xhci_endpoint *endpoint = transfer->endpoint;
	bool is_short = endpoint->ending;

	if (!endpoint->reported &&
	    (transfer->trb.control & TELL || (is_short && transfer->trb.control & TELL_SHORT))) {
		tell(transfer, is_short ? XHCI_SHORT : XHCI_SUCCESS);
	}
	pass(transfer);
}

/* ---- data ---- */

static bool goes_in(const struct xhci_endpoint *endpoint)
{
	return endpoint->type == XHCI_CONTROL
		       ? endpoint->in
		       : endpoint->type == XHCI_BULK_IN || endpoint->type == XHCI_INTERRUPT_IN;
}

/* A piece from the device, or to it; how much was moved of `count`. */
static enum usb_answer move(struct transfer *transfer, uint32_t *count, bool *lost)
{
	const struct xhci_trb *trb = &transfer->trb;
	struct xhci_endpoint *endpoint = transfer->endpoint;
	struct host *host = xhci_host(transfer->xhci);
	uint64_t gpa = trb->parameter + endpoint->done;
	uint8_t piece[PIECE_BYTES] = {0};
	enum usb_answer answer;

	if (goes_in(endpoint)) {
		answer = usb_in(transfer->device, transfer->index / 2, piece, count);
		*lost = answer == USB_ACK && *count != 0 &&
			!host_memory_write(host, gpa, piece, *count);
		return answer;
	}
	if (trb->control & IMMEDIATE) {
		*count = least(*count, sizeof(trb->parameter) - endpoint->done);
		memcpy(piece, (const uint8_t *)&trb->parameter + endpoint->done, *count);
	} else if (*count != 0 && !host_memory_read(host, gpa, piece, *count)) {
		*lost = true;
		return USB_ACK;
	}
	return usb_out(transfer->device, transfer->index / 2, piece, count);
}

/* False: the device has no more to say now, or the endpoint is at its end. */
static bool move_data(struct transfer *transfer)
{
	struct xhci_endpoint *endpoint = transfer->endpoint;
	uint32_t length = length_of(&transfer->trb);

	if (transfer->trb.control & IMMEDIATE) {
		length = least(length, sizeof(transfer->trb.parameter));
	}
	endpoint->done = least(endpoint->done, length); /* the guest may have made it shorter */
	do {
		uint32_t wanted = least(length - endpoint->done, PIECE_BYTES), count = wanted;
		bool lost = false;
		enum usb_answer answer = move(transfer, &count, &lost);

		if (answer == USB_NAK || (answer == USB_ACK && !lost && count == 0 && wanted != 0 &&
					  !goes_in(endpoint))) {
			return false;
		}
		if (answer == USB_STALL || lost) {
			halt(transfer, lost ? XHCI_DATA_ERROR : XHCI_STALL);
			return false;
		}
		endpoint->done += count;
		endpoint->moved += count;
		if (count < wanted && goes_in(endpoint)) {
			endpoint->ending = true;
			break;
		}
	} while (endpoint->done < length);
	finish(transfer);
	return true;
}

/* ---- control ---- */

static bool begin_control(struct transfer *transfer)
{
	uint8_t setup[8];

	if (!(transfer->trb.control & IMMEDIATE) || length_of(&transfer->trb) != sizeof(setup)) {
		halt(transfer, XHCI_TRB_ERROR);
		return false;
	}
	memcpy(setup, &transfer->trb.parameter, sizeof(setup));
	usb_setup(transfer->device, setup);
	transfer->endpoint->done = sizeof(setup);
	finish(transfer);
	return true;
}

static bool end_control(struct transfer *transfer)
{
	uint8_t none[1];
	uint32_t count = 0;
	enum usb_answer answer = transfer->trb.control & TO_HOST
					 ? usb_in(transfer->device, 0, none, &count)
					 : usb_out(transfer->device, 0, none, &count);

	transfer->trb.status &= ~LENGTH_BITS;
	if (answer == USB_NAK) {
		return false;
	}
	if (answer == USB_STALL) {
		halt(transfer, XHCI_STALL);
		return false;
	}
	finish(transfer);
	return true;
}

/* One TRB. False: the ring stands there. */
static bool step(struct transfer *transfer)
{
	struct xhci_endpoint *endpoint = transfer->endpoint;
	unsigned int type = XHCI_TYPE(transfer->trb.control);
	bool control = endpoint->type == XHCI_CONTROL;

	if (type == XHCI_EVENT_DATA || type == XHCI_NO_OP) {
		transfer->trb.status &= ~LENGTH_BITS;
		finish(transfer);
		return true;
	}
	if (endpoint->ending) {
		finish(transfer);
		return true;
	}
	switch (type) {
	case XHCI_SETUP:
		if (control) {
			return begin_control(transfer);
		}
		break;
	case XHCI_DATA:
		if (control) {
			endpoint->in = transfer->trb.control & TO_HOST;
			return move_data(transfer);
		}
		break;
	case XHCI_STATUS:
		if (control) {
			return end_control(transfer);
		}
		break;
	case XHCI_NORMAL:
		return move_data(transfer);
	default:
		break;
	}
	halt(transfer, XHCI_TRB_ERROR);
	return false;
}

void xhci_serve_endpoint(struct xhci *xhci, unsigned int slot, unsigned int index,
			 unsigned int *budget)
{
	struct xhci_endpoint *endpoint = &xhci->slots[slot].endpoints[index];
	struct transfer transfer = {
		.xhci = xhci, .slot = slot, .index = index, .endpoint = endpoint, .device = NULL};
	unsigned int port = xhci->slots[slot].port;

	if (!endpoint->rung) {
		return;
	}
	transfer.device = xhci->devices[port - 1u];
	for (; *budget != 0 && endpoint->rung && xhci_has_room(xhci, 1); (*budget)--) {
		if (!xhci_fetch(xhci, &endpoint->ring, &transfer.trb)) {
			endpoint->rung = false;
			return;
		}
		if (!step(&transfer)) {
			return;
		}
	}
}

void xhci_stop_endpoint(struct xhci *xhci, unsigned int slot, unsigned int index)
{
	struct xhci_endpoint *endpoint = &xhci->slots[slot].endpoints[index];
	struct transfer transfer = {
		.xhci = xhci, .slot = slot, .index = index, .endpoint = endpoint};

	endpoint->rung = false;
	endpoint->state = XHCI_IS_STOPPED;
	xhci_show_endpoint(xhci, slot, index);
	if ((endpoint->done != 0 || endpoint->moved != 0) &&
	    xhci_fetch(xhci, &endpoint->ring, &transfer.trb)) {
		tell(&transfer, XHCI_STOPPED);
	}
}
