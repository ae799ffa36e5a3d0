/*
 * RNDIS but for its frames: what the guest asks of its adapter, and what it is told unasked. A
 * message is in the queue's own memory; the reply lies in a piece of the receive buffer.
 */
#include "vsp/network/netvsp.h"

#include <string.h>

#define MAX_PACKETS  8u
#define MAX_TRANSFER 0xefffffffu
#define ALIGNMENT    3u /* a power of two */

struct reply {
	struct rndis_header header;
	union {
		struct rndis_initialize_complete initialize;
		struct {
			struct rndis_query_complete head;
			uint8_t value[REPLY_BYTES - 64];
		} query;
		struct rndis_complete done;
		struct {
			struct rndis_indicate head;
			uint8_t value[sizeof(struct ndis_offload)];
		} indicate;
	};
};
static_assert(sizeof(struct reply) <= REPLY_BYTES, "a reply");

/* `bytes` of the body. A status of NVSP's. */
static uint32_t send(struct net_queue *queue, struct reply *reply, uint32_t type, uint32_t bytes)
{
	if (queue->network->receive.gpadl == NULL) {
		return NVSP_STATUS_FAIL;
	}
	reply->header.type = type;
	reply->header.bytes = RNDIS_HEADER_BYTES + bytes;
	return receive_control(queue, reply, reply->header.bytes) ? NVSP_STATUS_SUCCESS
								  : NVSP_STATUS_BUSY;
}

static uint32_t done(struct net_queue *queue, uint32_t type, uint32_t id, uint32_t status)
{
	struct reply reply = {.done = {.id = id, .status = status}};

	return send(queue, &reply, type | RNDIS_REPLY, sizeof(reply.done));
}

static uint32_t initialize(struct net_queue *queue, const struct rndis_request *request)
{
	struct network *network = queue->network;
	bool known = request->initialize.major == 1;
	struct reply reply = {.initialize = {
				      .id = request->id,
				      .status = known ? RNDIS_STATUS_SUCCESS : RNDIS_STATUS_FAILURE,
				      .major = 1,
				      .device_flags = 1, /* connectionless */
				      .max_packets = MAX_PACKETS,
				      .max_transfer = MAX_TRANSFER,
				      .alignment = ALIGNMENT,
			      }};
	uint32_t status =
		send(queue, &reply, RNDIS_INITIALIZE | RNDIS_REPLY, sizeof(reply.initialize));

	if (known && status == NVSP_STATUS_SUCCESS && !network->initialized) {
		network->initialized = true;
		/* The guest asks for these by itself. */
		network->told_link = oid_link(network);
		network->told_speed = oid_speed(network);
		nvsp_start(network);
	}
	return status;
}

/* Where the value of a query or a set lies in the body; false: not in it. */
static bool find_value(const struct rndis_request *request, uint32_t bytes, uint32_t *offset,
		       uint32_t *length)
{
	*length = request->query.bytes;
	*offset = *length != 0 ? request->query.offset : 0;
	return *offset <= bytes && *length <= bytes - *offset;
}

static uint32_t query(struct net_queue *queue, const struct rndis_request *request,
		      const uint8_t *value, uint32_t length)
{
	struct reply reply = {.query.head = {.id = request->id}};
	uint32_t bytes = 0;

	reply.query.head.status = oid_query(queue->network, request->query.oid, value, length,
					    reply.query.value, &bytes);
	if (reply.query.head.status != RNDIS_STATUS_SUCCESS) {
		bytes = 0;
	}
	reply.query.head.bytes = bytes;
	reply.query.head.offset = bytes != 0 ? (uint32_t)sizeof(reply.query.head) : 0;
	return send(queue, &reply, RNDIS_QUERY | RNDIS_REPLY,
		    (uint32_t)sizeof(reply.query.head) + bytes);
}

/* The reply's place is found first: what is set is also confirmed. */
static uint32_t set(struct net_queue *queue, const struct rndis_request *request,
		    const uint8_t *value, uint32_t length)
{
	uint32_t status;

	if (queue->network->control_free.first == NET_NONE) {
		return NVSP_STATUS_BUSY;
	}
	status = oid_set(queue->network, request->query.oid, value, length);
	return done(queue, RNDIS_SET, request->id, status);
}

static uint32_t query_or_set(struct net_queue *queue, uint32_t type,
			     const struct rndis_request *request, const uint8_t *body,
			     uint32_t bytes)
{
	uint32_t offset, length;

	if (bytes < sizeof(*request) || !find_value(request, bytes, &offset, &length)) {
		return NVSP_STATUS_INVALID_RNDIS_PACKET;
	}
	return type == RNDIS_QUERY ? query(queue, request, body + offset, length)
				   : set(queue, request, body + offset, length);
}

static uint32_t reset(struct net_queue *queue)
{
	/* {status, whether addresses and filters are to be set again}: nothing is lost. */
	struct reply reply = {.done = {.id = RNDIS_STATUS_SUCCESS, .status = 0}};

	return send(queue, &reply, RNDIS_RESET | RNDIS_REPLY, sizeof(reply.done));
}

uint32_t rndis_control(struct net_queue *queue, uint32_t bytes)
{
	struct rndis_request request = {0};
	struct rndis_header header;
	const uint8_t *body = queue->control + RNDIS_HEADER_BYTES;

	if (bytes < sizeof(header) + sizeof(request.id)) {
		return NVSP_STATUS_INVALID_RNDIS_PACKET;
	}
	memcpy(&header, queue->control, sizeof(header));
	if (header.bytes < sizeof(header) + sizeof(request.id)) {
		return NVSP_STATUS_INVALID_RNDIS_PACKET;
	}
	/* Some guests say more than there is. */
	bytes = (header.bytes < bytes ? header.bytes : bytes) - RNDIS_HEADER_BYTES;
	memcpy(&request, body, bytes < sizeof(request) ? bytes : sizeof(request));
	switch (header.type) {
	case RNDIS_INITIALIZE:
		return bytes < sizeof(request.id) + sizeof(request.initialize)
			       ? NVSP_STATUS_INVALID_RNDIS_PACKET
			       : initialize(queue, &request);
	case RNDIS_QUERY:
	case RNDIS_SET:
		return query_or_set(queue, header.type, &request, body, bytes);
	case RNDIS_RESET:
		return reset(queue);
	case RNDIS_KEEPALIVE:
		return done(queue, RNDIS_KEEPALIVE, request.id, RNDIS_STATUS_SUCCESS);
	case RNDIS_HALT:
		queue->network->change = CHANGE_HALT;
		return NVSP_STATUS_SUCCESS;
	default:
		return NVSP_STATUS_INVALID_RNDIS_PACKET;
	}
}

/* ---- unasked ---- */

static bool indicate(struct net_queue *queue, uint32_t status, const void *value, uint32_t bytes)
{
	struct reply reply = {.indicate.head = {.status = status, .bytes = bytes}};

	if (bytes != 0) {
		reply.indicate.head.offset = sizeof(reply.indicate.head);
		memcpy(reply.indicate.value, value, bytes);
	}
	return send(queue, &reply, RNDIS_INDICATE, (uint32_t)sizeof(reply.indicate.head) + bytes) ==
	       NVSP_STATUS_SUCCESS;
}

bool rndis_work(struct net_queue *queue)
{
	struct network *network = queue->network;
	uint32_t link = oid_link(network), speed = oid_speed(network);
	struct ndis_offload offload;
	bool any = false;

	if (queue->index != 0 || !network->initialized || network->change != CHANGE_NONE) {
		return false;
	}
	if (network->told_speed != speed &&
	    indicate(queue, RNDIS_STATUS_LINK_SPEED, &speed, sizeof(speed))) {
		network->told_speed = speed;
		any = true;
	}
	if (network->told_link != link &&
	    indicate(queue, link ? RNDIS_STATUS_CONNECT : RNDIS_STATUS_DISCONNECT, NULL, 0)) {
		network->told_link = link;
		network->tell_network = false;
		any = true;
	}
	/* A link that goes and comes says as much. */
	if (network->tell_network && link &&
	    indicate(queue, RNDIS_STATUS_NETWORK_CHANGE, NULL, 0)) {
		network->tell_network = false;
		any = true;
	}
	if (network->tell_offload && indicate(queue, RNDIS_STATUS_TASK_OFFLOAD, &offload,
					      oid_offload(network, true, 3, (uint8_t *)&offload))) {
		network->tell_offload = false;
		any = true;
	}
	return any;
}
