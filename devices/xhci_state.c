/* A controller's saved state, with that of the devices on its ports. See xhci.h. */
#include <string.h>

#include "devices/parts.h"
#include "devices/xhci.h"

/* ---- writing ---- */

static void put_ring(const struct xhci_ring *ring, struct state_writer *writer)
{
	state_put_u64(writer, ring->at);
	state_put_bool(writer, ring->cycle);
}

static void put_endpoint(const struct xhci_endpoint *endpoint, struct state_writer *writer)
{
	state_put_u8(writer, endpoint->state);
	if (endpoint->state == XHCI_DISABLED) {
		return;
	}
	state_put_u8(writer, endpoint->type);
	state_put_bool(writer, endpoint->rung);
	state_put_bool(writer, endpoint->in);
	state_put_bool(writer, endpoint->reported);
	state_put_bool(writer, endpoint->ending);
	put_ring(&endpoint->ring, writer);
	state_put_u32(writer, endpoint->done);
	state_put_u32(writer, endpoint->moved);
}

static void put_slot(const struct xhci_slot *slot, struct state_writer *writer)
{
	unsigned int i;

	state_put_bool(writer, slot->enabled);
	if (!slot->enabled) {
		return;
	}
	state_put_u8(writer, slot->state);
	state_put_u8(writer, slot->port);
	state_put_u64(writer, slot->context);
	for (i = 1; i < XHCI_ENDPOINTS; i++) {
		put_endpoint(&slot->endpoints[i], writer);
	}
}

static void put_registers(const struct xhci *xhci, struct state_writer *writer)
{
	state_put_u32(writer, xhci->command);
	state_put_u32(writer, xhci->status);
	state_put_u32(writer, xhci->notifications);
	state_put_u32(writer, xhci->configuration);
	state_put_u32(writer, xhci->ring_low);
	put_ring(&xhci->ring, writer);
	state_put_bool(writer, xhci->rung);
	state_put_bool(writer, xhci->ring_runs);
	state_put_u64(writer, xhci->contexts);
	state_put_u32(writer, xhci->management);
	state_put_u32(writer, xhci->moderation);
	state_put_u32(writer, xhci->table_size);
	state_put_u64(writer, xhci->table);
	state_put_u64(writer, xhci->dequeue);
	state_put_u64(writer, xhci->event_ring);
	state_put_u32(writer, xhci->event_count);
	state_put_u32(writer, xhci->enqueue);
	state_put_bool(writer, xhci->event_cycle);
}

static void xhci_save(const void *device, struct state_writer *writer)
{
	const struct xhci *xhci = device;
	uint64_t now = host_time(xhci_host(xhci));
	unsigned int i;

	put_registers(xhci, writer);
	put_past(writer, xhci->epoch, now);
	put_coming(writer, xhci->again, now);
	for (i = 0; i < XHCI_PORTS; i++) {
		state_put_u32(writer, xhci->ports[i].status);
		state_put_bool(writer, xhci->ports[i].owed);
	}
	for (i = 1; i <= XHCI_SLOTS; i++) {
		put_slot(&xhci->slots[i], writer);
	}
	for (i = 0; i < XHCI_PORTS_2 && xhci->devices[i] != NULL; i++) {
		usb_save(xhci->devices[i], writer);
	}
}

/* ---- reading ---- */

static struct xhci_ring get_ring(struct state_reader *part)
{
	struct xhci_ring ring = {.at = state_u64(part)};

	ring.cycle = state_bool(part);
	if (ring.at % sizeof(struct xhci_trb) != 0) {
		state_refuse(part, "has a ring in the midst of a TRB");
	}
	return ring;
}

static struct xhci_endpoint get_endpoint(struct state_reader *part, unsigned int index)
{
	struct xhci_endpoint endpoint = {.state = state_u8(part)};

	if (endpoint.state == XHCI_DISABLED) {
		return endpoint;
	}
	endpoint.type = state_u8(part);
	endpoint.rung = state_bool(part);
	endpoint.in = state_bool(part);
	endpoint.reported = state_bool(part);
	endpoint.ending = state_bool(part);
	endpoint.ring = get_ring(part);
	endpoint.done = state_u32(part);
	endpoint.moved = state_u32(part);
	if (endpoint.state > XHCI_IN_ERROR || (endpoint.rung && endpoint.state != XHCI_RUNNING) ||
	    !xhci_is_type(endpoint.type, index)) {
		state_refuse(part, "has an endpoint that cannot be");
	}
	return endpoint;
}

static void get_slot(const struct xhci *xhci, struct xhci_slot *slot, struct state_reader *part)
{
	bool works = false;
	unsigned int i;

	*slot = (struct xhci_slot){.enabled = state_bool(part)};
	if (!slot->enabled) {
		return;
	}
	slot->state = state_u8(part);
	slot->port = state_u8(part);
	slot->context = state_u64(part);
	for (i = 1; i < XHCI_ENDPOINTS && state_ok(part); i++) {
		slot->endpoints[i] = get_endpoint(part, i);
		works |= slot->endpoints[i].state != XHCI_DISABLED;
	}
	if (slot->state > XHCI_CONFIGURED || slot->port > XHCI_PORTS_2 ||
	    ((works || slot->state != XHCI_NO_DEVICE) &&
	     (slot->port == 0 || xhci->devices[slot->port - 1] == NULL))) {
		state_refuse(part, "has a slot of a device that is not there");
	}
}

static void get_registers(struct xhci *read, struct state_reader *part)
{
	read->command = state_u32(part);
	read->status = state_u32(part);
	read->notifications = state_u32(part);
	read->configuration = state_u32(part);
	read->ring_low = state_u32(part);
	read->ring = get_ring(part);
	read->rung = state_bool(part);
	read->ring_runs = state_bool(part);
	read->contexts = state_u64(part);
	read->management = state_u32(part);
	read->moderation = state_u32(part);
	read->table_size = state_u32(part);
	read->table = state_u64(part);
	read->dequeue = state_u64(part);
	read->event_ring = state_u64(part);
	read->event_count = state_u32(part);
	read->enqueue = state_u32(part);
	read->event_cycle = state_bool(part);
	if (read->event_count > XHCI_EVENTS_MAX ||
	    read->enqueue >= (read->event_count != 0 ? read->event_count : 1) ||
	    read->management > 3 || read->table_size > 0xffff) {
		state_refuse(part, "has a ring of events that cannot be");
	}
}

static void xhci_load(void *device, struct state_reader *part, bool set)
{
	struct xhci *xhci = device, read = {.function = xhci->function};
	uint64_t now = host_time(xhci_host(xhci));
	unsigned int i;

	memcpy(read.devices, xhci->devices, sizeof(read.devices));
	get_registers(&read, part);
	read.epoch = get_past(part, now);
	read.again = get_coming(part, now);
	for (i = 0; i < XHCI_PORTS; i++) {
		read.ports[i].status = state_u32(part);
		read.ports[i].owed = state_bool(part);
	}
	for (i = 1; i <= XHCI_SLOTS && state_ok(part); i++) {
		get_slot(xhci, &read.slots[i], part);
	}
	for (i = 0; i < XHCI_PORTS_2 && xhci->devices[i] != NULL; i++) {
		usb_load(xhci->devices[i], part, set);
	}
	if (set && state_ok(part)) {
		*xhci = read;
	}
}

const struct device_class xhci_class = {.name = "xhci",
					.width = 4,
					.read = xhci_read,
					.write = xhci_write,
					.version = 1,
					.save = xhci_save,
					.load = xhci_load};
