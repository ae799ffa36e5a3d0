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

void vmbus_set_connect(struct vmbus *bus, vmbus_connect *connect, void *device)
{
	bus->connect = connect;
	bus->connect_device = device;
}

/* Whoever refuses answers a request, so there are no more of these than there may be requests. */
void vmbus_refuse_connection(struct vmbus *bus, const struct vmbus_guid *endpoint,
			     const struct vmbus_guid *service)
{
	struct vmbus_channel_tl_connect_result result = {
		.header.msgtype = CHANNELMSG_TL_CONNECT_RESULT,
		.guest_endpoint_id = *endpoint,
		.host_service_id = *service,
		.status = VMBUS_STATUS_CONNECTION_REFUSED,
	};
	struct message *message = malloc(sizeof(*message));

	if (message == NULL) {
		return; /* the guest does not wait for ever */
	}
	message->size = sizeof(result);
	memcpy(message->payload, &result, sizeof(result));
	pthread_mutex_lock(&bus->lock);
	message->next = bus->refusals;
	bus->refusals = message;
	pthread_mutex_unlock(&bus->lock);
	vmbus_room(bus);
}

static struct message *take_refusal(struct vmbus *bus)
{
	struct message *message;

	pthread_mutex_lock(&bus->lock);
	message = bus->refusals;
	if (message != NULL) {
		bus->refusals = message->next;
	}
	pthread_mutex_unlock(&bus->lock);
	return message;
}

void queue_take_refusals(struct vmbus *bus)
{
	struct message *message;

	while ((message = take_refusal(bus)) != NULL) {
		if (bus->version >= VERSION_WIN10_V4_1) {
			queue_append(bus, message);
		} else {
			free(message);
		}
	}
}

void queue_clear(struct vmbus *bus)
{
	struct message *message;

	while ((message = take_refusal(bus)) != NULL) {
		free(message);
	}
	while (bus->out_first != NULL) {
		remove_first(bus);
	}
}
