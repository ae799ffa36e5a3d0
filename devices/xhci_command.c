/*
 * The command ring: slots, and what their devices' endpoints are (xHCI 1.1, 4.5, 4.6 and 6.2). A
 * command gives one event.
 *
 * Contexts are the guest's memory. What it asks for is read once from an input context and kept in
 * struct xhci_slot; how things are is written to the device context for it to see.
 */
#include <string.h>

#include "devices/parts.h"
#include "devices/xhci.h"

#define CONTEXT_BYTES 32u
#define CONTEXT_WORDS 8u

#define SLOT_OF(control)     ((control) >> 24)
#define ENDPOINT_OF(control) ((control) >> 16 & 0x1f)
#define BLOCK                (1u << 9) /* of Address Device: no address yet */
#define DECONFIGURE          (1u << 9) /* of Configure Endpoint */
#define POINTER_BITS         0xfull

#define ROUTE_BITS    0xfffffu
#define HIGH_SPEED    3u
#define FIRST_PACKETS 64u /* of endpoint 0 */

struct context {
	uint32_t words[CONTEXT_WORDS];
};

/* An input context begins with which contexts it is about; the slot's and the endpoints' follow. */
struct input {
	uint64_t gpa;
	uint32_t drop, add;
};

static bool read_context(struct xhci *xhci, uint64_t gpa, unsigned int index,
			 struct context *context)
{
	if (host_memory_read(xhci_host(xhci), gpa + index * CONTEXT_BYTES, context,
			     sizeof(*context))) {
		return true;
	}
	xhci_fail(xhci, XHCI_MEMORY);
	return false;
}

static void write_context(struct xhci *xhci, unsigned int slot, unsigned int index,
			  const struct context *context)
{
	if (!host_memory_write(xhci_host(xhci), xhci->slots[slot].context + index * CONTEXT_BYTES,
			       context, sizeof(*context))) {
		xhci_fail(xhci, XHCI_MEMORY);
	}
}

static bool read_input(struct xhci *xhci, uint64_t gpa, struct input *input)
{
	struct context control;

	input->gpa = gpa & ~POINTER_BITS;
	if (!read_context(xhci, input->gpa, 0, &control)) {
		return false;
	}
	input->drop = control.words[0];
	input->add = control.words[1];
	return true;
}

void xhci_show_endpoint(struct xhci *xhci, unsigned int slot, unsigned int index)
{
	const struct xhci_endpoint *endpoint = &xhci->slots[slot].endpoints[index];
	struct context context;

	if (read_context(xhci, xhci->slots[slot].context, index, &context)) {
		context.words[0] = (context.words[0] & ~7u) | endpoint->state;
		context.words[2] = (uint32_t)endpoint->ring.at | endpoint->ring.cycle;
		context.words[3] = (uint32_t)(endpoint->ring.at >> 32);
		write_context(xhci, slot, index, &context);
	}
}

/* `last`: the highest index of its endpoints. */
static void show_slot(struct xhci *xhci, unsigned int slot, unsigned int last)
{
	struct context context;

	if (read_context(xhci, xhci->slots[slot].context, 0, &context)) {
		context.words[0] = (context.words[0] & 0x07ffffff) | last << 27;
		context.words[3] = (uint32_t)xhci->slots[slot].state << 27;
		if (xhci->slots[slot].state >= XHCI_ADDRESSED) {
			context.words[3] |= slot; /* its address */
		}
		write_context(xhci, slot, 0, &context);
	}
}

static unsigned int last_of(const struct xhci_slot *slot)
{
	unsigned int index = XHCI_ENDPOINTS - 1;

	while (index > 1 && slot->endpoints[index].state == XHCI_DISABLED) {
		index--;
	}
	return index;
}

/* An endpoint as an input context has it. */
static void begin_endpoint(struct xhci_endpoint *endpoint, const struct context *context)
{
	uint64_t at = context->words[2] | (uint64_t)context->words[3] << 32;

	*endpoint = (struct xhci_endpoint){
		.state = XHCI_RUNNING,
		.type = context->words[1] >> 3 & 7,
		.ring = {.at = at & ~POINTER_BITS, .cycle = at & 1},
	};
}

/* Copies it for the guest to see, which then says that it runs. */
static void show_new_endpoint(struct xhci *xhci, unsigned int slot, unsigned int index,
			      struct context *context)
{
	context->words[0] = (context->words[0] & ~7u) | XHCI_RUNNING;
	write_context(xhci, slot, index, context);
}

/* ---- slots ---- */

static uint8_t enable_slot(struct xhci *xhci, unsigned int *slot)
{
	for (*slot = 1; *slot <= XHCI_SLOTS && *slot <= xhci->configuration; (*slot)++) {
		if (!xhci->slots[*slot].enabled) {
			xhci->slots[*slot] = (struct xhci_slot){.enabled = true};
			return XHCI_SUCCESS;
		}
	}
	*slot = 0;
	return XHCI_NO_SLOTS;
}

static uint8_t disable_slot(struct xhci *xhci, unsigned int slot)
{
	xhci->slots[slot] = (struct xhci_slot){.enabled = false};
	return XHCI_SUCCESS;
}

/* The port of the device that a slot context names, if it has no other slot. 0: there is none. */
static unsigned int port_of(const struct xhci *xhci, unsigned int slot,
			    const struct context *context)
{
	unsigned int port = context->words[1] >> 16 & 0xff, i;

	if (port == 0 || port > XHCI_PORTS_2 || xhci->devices[port - 1] == NULL ||
	    context->words[0] & ROUTE_BITS) {
		return 0;
	}
	for (i = 1; i <= XHCI_SLOTS; i++) {
		if (i != slot && xhci->slots[i].enabled && xhci->slots[i].port == port) {
			return 0;
		}
	}
	return port;
}

static uint8_t address_device(struct xhci *xhci, unsigned int number, const struct xhci_trb *trb)
{
	struct xhci_slot *slot = &xhci->slots[number];
	struct context of_slot, of_control;
	struct input input;
	uint64_t shown;
	unsigned int port;

	if (slot->state > XHCI_DEFAULT || (slot->state == XHCI_DEFAULT && trb->control & BLOCK)) {
		return XHCI_CONTEXT_STATE;
	}
	if (!read_input(xhci, trb->parameter, &input) ||
	    !read_context(xhci, input.gpa, 1, &of_slot) ||
	    !read_context(xhci, input.gpa, 2, &of_control)) {
		return XHCI_TRB_ERROR;
	}
	if (!host_memory_read(xhci_host(xhci), xhci->contexts + number * sizeof(shown), &shown,
			      sizeof(shown))) {
		xhci_fail(xhci, XHCI_MEMORY);
		return XHCI_TRB_ERROR;
	}
	port = port_of(xhci, number, &of_slot);
	if ((input.add & 3) != 3 || port == 0 || !xhci_is_type(of_control.words[1] >> 3 & 7, 1)) {
		return XHCI_PARAMETER;
	}
	slot->context = shown & ~0x3full;
	slot->port = (uint8_t)port;
	slot->state = trb->control & BLOCK ? XHCI_DEFAULT : XHCI_ADDRESSED;
	xhci->devices[port - 1]->address = trb->control & BLOCK ? 0 : (uint8_t)number;
	begin_endpoint(&slot->endpoints[1], &of_control);
	write_context(xhci, number, 0, &of_slot);
	show_slot(xhci, number, 1);
	show_new_endpoint(xhci, number, 1, &of_control);
	return XHCI_SUCCESS;
}

static uint8_t reset_device(struct xhci *xhci, unsigned int number)
{
	struct xhci_slot *slot = &xhci->slots[number];
	unsigned int index;

	if (slot->state < XHCI_ADDRESSED) {
		return XHCI_CONTEXT_STATE;
	}
	for (index = 2; index < XHCI_ENDPOINTS; index++) {
		if (slot->endpoints[index].state != XHCI_DISABLED) {
			slot->endpoints[index] = (struct xhci_endpoint){.state = XHCI_DISABLED};
			xhci_show_endpoint(xhci, number, index);
		}
	}
	slot->state = XHCI_DEFAULT;
	show_slot(xhci, number, 1);
	return XHCI_SUCCESS;
}

/* ---- endpoints ---- */

bool xhci_is_type(unsigned int type, unsigned int index)
{
	if (index == 1) {
		return type == XHCI_CONTROL;
	}
	return index % 2 != 0 ? type == XHCI_BULK_IN || type == XHCI_INTERRUPT_IN
			      : type == XHCI_BULK_OUT || type == XHCI_INTERRUPT_OUT;
}

/* All that the input has is looked at first. */
static uint8_t change_endpoints(struct xhci *xhci, unsigned int number, const struct input *input)
{
	struct context contexts[XHCI_ENDPOINTS];
	unsigned int index;

	for (index = 2; index < XHCI_ENDPOINTS; index++) {
		if (input->add >> index & 1) {
			if (!read_context(xhci, input->gpa, index + 1, &contexts[index])) {
				return XHCI_TRB_ERROR;
			}
			if (!xhci_is_type(contexts[index].words[1] >> 3 & 7, index)) {
				return XHCI_PARAMETER;
			}
		}
	}
	for (index = 2; index < XHCI_ENDPOINTS; index++) {
		struct xhci_endpoint *endpoint = &xhci->slots[number].endpoints[index];

		if (input->add >> index & 1) {
			begin_endpoint(endpoint, &contexts[index]);
			show_new_endpoint(xhci, number, index, &contexts[index]);
		} else if (input->drop >> index & 1 && endpoint->state != XHCI_DISABLED) {
			*endpoint = (struct xhci_endpoint){.state = XHCI_DISABLED};
			xhci_show_endpoint(xhci, number, index);
		}
	}
	return XHCI_SUCCESS;
}

static uint8_t configure_endpoint(struct xhci *xhci, unsigned int number,
				  const struct xhci_trb *trb)
{
	struct xhci_slot *slot = &xhci->slots[number];
	struct input input = {.drop = ~3u}; /* all but endpoint 0 */
	bool none = trb->control & DECONFIGURE;
	uint8_t code;

	if (slot->state < XHCI_ADDRESSED) {
		return XHCI_CONTEXT_STATE;
	}
	if (!none && !read_input(xhci, trb->parameter, &input)) {
		return XHCI_TRB_ERROR;
	}
	if (!none && (input.drop & 3 || (input.add & 3) != 1)) {
		return XHCI_PARAMETER;
	}
	code = change_endpoints(xhci, number, &input);
	if (code == XHCI_SUCCESS) {
		slot->state = none ? XHCI_ADDRESSED : XHCI_CONFIGURED;
		show_slot(xhci, number, last_of(slot));
	}
	return code;
}

/* Of the slot which interrupter and how late it may be, of endpoint 0 its packets. */
static uint8_t evaluate_context(struct xhci *xhci, unsigned int number, const struct xhci_trb *trb)
{
	struct context to, from;
	struct input input;

	if (xhci->slots[number].state == XHCI_NO_DEVICE) {
		return XHCI_CONTEXT_STATE;
	}
	if (!read_input(xhci, trb->parameter, &input)) {
		return XHCI_TRB_ERROR;
	}
	if (input.drop != 0 || input.add & ~3u) {
		return XHCI_PARAMETER;
	}
	if (input.add & 1 && read_context(xhci, input.gpa, 1, &from) &&
	    read_context(xhci, xhci->slots[number].context, 0, &to)) {
		to.words[1] = (to.words[1] & 0xffff0000) | (from.words[1] & 0xffff);
		to.words[2] = (to.words[2] & 0x003fffff) | (from.words[2] & 0xffc00000);
		write_context(xhci, number, 0, &to);
	}
	if (input.add & 2 && read_context(xhci, input.gpa, 2, &from) &&
	    read_context(xhci, xhci->slots[number].context, 1, &to)) {
		to.words[1] = (to.words[1] & 0xffff) | (from.words[1] & 0xffff0000);
		write_context(xhci, number, 1, &to);
	}
	return XHCI_SUCCESS;
}

static uint8_t set_dequeue(struct xhci *xhci, unsigned int slot, unsigned int index,
			   uint64_t pointer)
{
	struct xhci_endpoint *endpoint = &xhci->slots[slot].endpoints[index];

	if (endpoint->state != XHCI_IS_STOPPED && endpoint->state != XHCI_IN_ERROR) {
		return XHCI_CONTEXT_STATE;
	}
	endpoint->ring = (struct xhci_ring){.at = pointer & ~POINTER_BITS, .cycle = pointer & 1};
	endpoint->done = endpoint->moved = 0;
	endpoint->reported = endpoint->ending = false;
	endpoint->state = XHCI_IS_STOPPED;
	xhci_show_endpoint(xhci, slot, index);
	return XHCI_SUCCESS;
}

static uint8_t change_endpoint(struct xhci *xhci, unsigned int slot, const struct xhci_trb *trb)
{
	unsigned int index = ENDPOINT_OF(trb->control);
	struct xhci_endpoint *endpoint = &xhci->slots[slot].endpoints[index];

	if (index == 0 || endpoint->state == XHCI_DISABLED) {
		return index == 0 ? XHCI_TRB_ERROR : XHCI_NO_ENDPOINT;
	}
	switch (XHCI_TYPE(trb->control)) {
	case XHCI_RESET_ENDPOINT:
		if (endpoint->state != XHCI_IS_HALTED) {
			return XHCI_CONTEXT_STATE;
		}
		endpoint->state = XHCI_IS_STOPPED;
		xhci_show_endpoint(xhci, slot, index);
		return XHCI_SUCCESS;
	case XHCI_STOP_ENDPOINT:
		if (endpoint->state != XHCI_RUNNING) {
			return XHCI_CONTEXT_STATE;
		}
		xhci_stop_endpoint(xhci, slot, index);
		return XHCI_SUCCESS;
	default:
		return set_dequeue(xhci, slot, index, trb->parameter);
	}
}

/* ---- the ring ---- */

static uint8_t of_slot(struct xhci *xhci, unsigned int slot, const struct xhci_trb *trb)
{
	if (slot == 0 || slot > XHCI_SLOTS || !xhci->slots[slot].enabled) {
		return XHCI_NO_SLOT;
	}
	switch (XHCI_TYPE(trb->control)) {
	case XHCI_DISABLE_SLOT:
		return disable_slot(xhci, slot);
	case XHCI_ADDRESS_DEVICE:
		return address_device(xhci, slot, trb);
	case XHCI_CONFIGURE_ENDPOINT:
		return configure_endpoint(xhci, slot, trb);
	case XHCI_EVALUATE_CONTEXT:
		return evaluate_context(xhci, slot, trb);
	case XHCI_RESET_DEVICE:
		return reset_device(xhci, slot);
	default:
		return change_endpoint(xhci, slot, trb);
	}
}

static void carry_out(struct xhci *xhci, const struct xhci_trb *trb)
{
	unsigned int type = XHCI_TYPE(trb->control), slot = SLOT_OF(trb->control);
	uint64_t at = xhci->ring.at;
	uint8_t code;

	xhci_advance_ring(&xhci->ring);
	if (type == XHCI_ENABLE_SLOT) {
		code = enable_slot(xhci, &slot);
	} else if (type == XHCI_NO_OP_COMMAND) {
		code = XHCI_SUCCESS;
	} else if (type > XHCI_ENABLE_SLOT && type <= XHCI_RESET_DEVICE) {
		code = of_slot(xhci, slot, trb);
	} else {
		code = XHCI_TRB_ERROR;
	}
	xhci_put_event(xhci, at, (uint32_t)code << 24, slot << 24 | XHCI_COMMAND_EVENT << 10,
		       false);
}

/* Two events: a command that stops an endpoint may say what it stopped. */
void xhci_serve_commands(struct xhci *xhci, unsigned int *budget)
{
	struct xhci_trb trb;

	for (; *budget != 0 && xhci->rung && xhci_has_room(xhci, 2); (*budget)--) {
		if (!xhci_fetch(xhci, &xhci->ring, &trb)) {
			xhci->rung = false;
			return;
		}
		carry_out(xhci, &trb);
	}
}
