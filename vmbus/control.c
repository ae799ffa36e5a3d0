/*
 * The guest's control messages: the connection itself, and which function a message belongs to.
 *
 * Invariants
 *   1. A connection ends when the guest unloads, contacts anew, or is reset. What answers the
 *      message that ended it, comes only after the last channel has closed: from then on no device
 *      touches memory that the old kernel lent it.
 *   2. What arrives between, or before a contact, is ignored, but for another contact or unload.
 *   3. A message is handled from its copy, and only if it is as long as its type says.
 */
#include <string.h>

#include "vmbus/server.h"

/* Those before 2.4 have no interrupts of a channel's own, but an interrupt page. */
static const uint32_t versions[] = {
	VERSION_WS2008,     VERSION_WIN7,       VERSION_WIN8,       VERSION_WIN8_1,
	VERSION_WIN10,      VERSION_WIN10_V4_1, VERSION_WIN10_V5,   VERSION_WIN10_V5_1,
	VERSION_WIN10_V5_2, VERSION_WIN10_V5_3, VERSION_WIN10_V6_0,
};

bool control_knows_version(uint32_t version)
{
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(versions); i++) {
		if (versions[i] == version) {
			return true;
		}
	}
	return false;
}

static void post_header(struct vmbus *bus, enum vmbus_channel_message_type type)
{
	struct vmbus_channel_message_header header = {.msgtype = type};

	queue_post(bus, &header, sizeof(header));
}

static bool accept_version(struct vmbus *bus, uint32_t version)
{
	const char *reason = NULL;

	if (!control_knows_version(version)) {
		return false;
	}
	if (version < VERSION_WIN8) {
		reason = signal_take_page(bus, bus->contact.interrupt_page);
	}
	if (reason != NULL) {
		server_complain(bus, "a contact is refused: %s", reason);
	}
	return reason == NULL;
}

/* None of the features of 6.0 is offered: they are for isolated guests, or for other VTLs. */
static void answer_contact(struct vmbus *bus)
{
	uint32_t version = bus->contact.vmbus_version_requested;
	bool accepted = accept_version(bus, version);
	struct vmbus_channel_version_response_features answer = {
		.response.header.msgtype = CHANNELMSG_VERSION_RESPONSE};
	size_t size = sizeof(answer.response);

	/* Before 3.0 messages go to VP 0. */
	bus->vp = version >= VERSION_WIN8_1 ? bus->contact.target_vcpu : 0;
	if (accepted) {
		bus->version = version;
		bus->monitor_gpa = bus->contact.monitor_page2;
		answer.response.version_supported = 1;
		answer.response.msg_conn_id = version;
	}
	if (accepted && version >= VERSION_WIN10_V5) {
		answer.response.msg_conn_id = VMBUS_MESSAGE_CONNECTION_ID_4;
	}
	if (accepted && version >= VERSION_WIN10_V6_0) {
		size = sizeof(answer);
	}
	queue_post(bus, &answer, size);
}

void control_disconnect(struct vmbus *bus, enum server_next next)
{
	struct vmbus_channel *channel = offer_next(bus, 1);

	bus->version = 0;
	bus->offers_wanted = false;
	bus->next = next;
	queue_clear(bus);
	for (; channel != NULL; channel = offer_next(bus, channel->relid + 1)) {
		channel->guest_open = false;
		channel->reopen = false;
		if (channel->state == CHANNEL_OPEN) {
			channel_close(channel);
		}
	}
}

void control_go_on(struct vmbus *bus)
{
	enum server_next next = bus->next;

	if (next == NEXT_NOTHING || bus->open_count > 0) {
		return;
	}
	bus->next = NEXT_NOTHING;
	offer_forget_all(bus);
	gpadl_free_all(bus, NULL);
	signal_drop_page(bus);
	if (next == NEXT_CONTACT) {
		answer_contact(bus);
	} else if (next == NEXT_UNLOAD) {
		post_header(bus, CHANNELMSG_UNLOAD_RESPONSE);
	}
}

/*
 * The SINT and the VTL that a contact names are those that every Linux uses: others get no answer.
 */
static void contact(struct vmbus *bus, const struct in_message *message)
{
	struct vmbus_channel_initiate_contact request;

	memcpy(&request, message->payload, sizeof(request));
	if (request.vmbus_version_requested >= VERSION_WIN10_V5 &&
	    message->connection_id == VMBUS_MESSAGE_CONNECTION_ID_4 &&
	    (request.msg_sint != VMBUS_MESSAGE_SINT || request.msg_vtl != 0)) {
		server_complain(bus, "a contact for SINT %u, VTL %u is ignored", request.msg_sint,
				request.msg_vtl);
		return;
	}
	bus->contact = request;
	control_disconnect(bus, NEXT_CONTACT);
}

static void request_offers(struct vmbus *bus)
{
	if (bus->offers_wanted) {
		server_complain(bus, "the guest asks for its offers twice");
		return;
	}
	bus->offers_wanted = true;
	offer_all(bus);
	post_header(bus, CHANNELMSG_ALLOFFERS_DELIVERED);
}

/* Sockets are a device of their own, which need not be there. */
static void connect_socket(struct vmbus *bus, const void *payload)
{
	struct vmbus_channel_tl_connect_request request;

	memcpy(&request, payload, sizeof(request));
	if (bus->connect == NULL || !bus->connect(bus->connect_device, &request.guest_endpoint_id,
						  &request.host_service_id)) {
		vmbus_refuse_connection(bus, &request.guest_endpoint_id, &request.host_service_id);
		queue_take_refusals(bus);
	}
}

/* The bytes that a message has at least, by type; 0 for what a guest does not send. */
static size_t least_size(uint32_t type)
{
	static const uint8_t sizes[CHANNELMSG_COUNT] = {
		[CHANNELMSG_REQUESTOFFERS] = sizeof(struct vmbus_channel_message_header),
		[CHANNELMSG_OPENCHANNEL] = sizeof(struct vmbus_channel_open_channel),
		[CHANNELMSG_CLOSECHANNEL] = sizeof(struct vmbus_channel_relid),
		[CHANNELMSG_GPADL_HEADER] = sizeof(struct vmbus_channel_gpadl_header),
		[CHANNELMSG_GPADL_BODY] = sizeof(struct vmbus_channel_gpadl_body),
		[CHANNELMSG_GPADL_TEARDOWN] = sizeof(struct vmbus_channel_gpadl_teardown),
		[CHANNELMSG_RELID_RELEASED] = sizeof(struct vmbus_channel_relid),
		[CHANNELMSG_INITIATE_CONTACT] = sizeof(struct vmbus_channel_initiate_contact),
		[CHANNELMSG_UNLOAD] = sizeof(struct vmbus_channel_message_header),
		[CHANNELMSG_TL_CONNECT_REQUEST] = sizeof(struct vmbus_channel_tl_connect_request),
		[CHANNELMSG_MODIFYCHANNEL] = sizeof(struct vmbus_channel_modifychannel),
	};

	return type < CHANNELMSG_COUNT ? sizes[type] : 0;
}

static bool is_newer_than_connection(const struct vmbus *bus, uint32_t type)
{
	return (type == CHANNELMSG_MODIFYCHANNEL && bus->version < VERSION_WIN10_V4_1) ||
	       (type == CHANNELMSG_TL_CONNECT_REQUEST && bus->version < VERSION_WIN10);
}

static void connected_message(struct vmbus *bus, uint32_t type, const void *payload, size_t size)
{
	switch (type) {
	case CHANNELMSG_REQUESTOFFERS:
		request_offers(bus);
		break;
	case CHANNELMSG_OPENCHANNEL:
		channel_open_message(bus, payload);
		break;
	case CHANNELMSG_CLOSECHANNEL:
		channel_close_message(bus, payload);
		break;
	case CHANNELMSG_GPADL_HEADER:
		gpadl_header_message(bus, payload, size);
		break;
	case CHANNELMSG_GPADL_BODY:
		gpadl_body_message(bus, payload, size);
		break;
	case CHANNELMSG_GPADL_TEARDOWN:
		gpadl_teardown_message(bus, payload);
		break;
	case CHANNELMSG_RELID_RELEASED:
		offer_release_message(bus, payload);
		break;
	case CHANNELMSG_TL_CONNECT_REQUEST:
		connect_socket(bus, payload);
		break;
	case CHANNELMSG_MODIFYCHANNEL:
		channel_modify_message(bus, payload);
		break;
	default:
		break;
	}
}

void control_message(struct vmbus *bus, const struct in_message *message)
{
	struct vmbus_channel_message_header header;
	uint32_t type;

	if (message->size < sizeof(header)) {
		server_complain(bus, "a message of %u bytes is ignored", message->size);
		return;
	}
	memcpy(&header, message->payload, sizeof(header));
	type = header.msgtype;
	if (least_size(type) == 0 || is_newer_than_connection(bus, type)) {
		server_complain(bus, "message %u is not of this version's", type);
	} else if (message->size < least_size(type)) {
		server_complain(bus, "message %u with %u bytes is too short", type, message->size);
	} else if (type == CHANNELMSG_INITIATE_CONTACT) {
		contact(bus, message);
	} else if (type == CHANNELMSG_UNLOAD) {
		control_disconnect(bus, NEXT_UNLOAD);
	} else if (bus->version == 0) {
		server_complain(bus, "message %u without a connection is ignored", type);
	} else {
		connected_message(bus, type, message->payload, message->size);
	}
}
