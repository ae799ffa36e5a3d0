/*
 * Messages to the guest, in order. The guest's slot holds one; the rest wait here. They are
 * bounded: each answers a message of the guest, and with SERVER_OUT_LIMIT unposted no more of those
 * are taken; or it is an offer or a rescind, of which the devices make so many as there are
 * channels.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmbus/server.h"

void queue_append(struct vmbus *bus, struct message *message)
{
	message->next = NULL;
	if (bus->out_last != NULL) {
		bus->out_last->next = message;
	} else {
		bus->out_first = message;
	}
	bus->out_last = message;
	bus->out_count++;
}

void queue_post(struct vmbus *bus, const void *payload, size_t size)
{
	struct message *message = malloc(sizeof(*message));

	CHECK(size <= VMBUS_MESSAGE_MAX);
	if (message == NULL) {
		server_complain(bus, "no memory: a message is lost");
		return;
	}
	message->size = (uint32_t)size;
	memcpy(message->payload, payload, size);
	queue_append(bus, message);
}

static void remove_first(struct vmbus *bus)
{
	struct message *message = bus->out_first;

	bus->out_first = message->next;
	if (bus->out_first == NULL) {
		bus->out_last = NULL;
	}
	bus->out_count--;
	free(message);
}

void queue_pump(struct vmbus *bus)
{
	while (bus->out_first != NULL) {
		int ret = vmbus_host_post(bus->host, bus->vp, bus->out_first->payload,
					  bus->out_first->size);

		if (ret == -EAGAIN) {
			return;
		}
		if (ret != 0) {
			server_complain(bus, "a message to VP %u is lost: %s", bus->vp,
					strerror(-ret));
		}
		remove_first(bus);
	}
}

void queue_clear(struct vmbus *bus)
{
	while (bus->out_first != NULL) {
		remove_first(bus);
	}
}
