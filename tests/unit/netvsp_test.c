/*
 * The network adapter with a fake guest before it and a switch behind its port that is this file:
 * the handshake, frames of all shapes both ways, offloads, sub-channels, the life of buffers, and
 * guests that break the rules. The adapter's threads run; a test waits for what it expects.
 */
#include "hosted/say.h"
#include "switch/ring.h"
#include "tests/fake/vmbus_guest.h"
#include "vsp/netvsp.h"
#include "vsp/network/netport.h"
#include "vsp/network/network.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

/* Pages of guest RAM. */
#define DATA    20u
#define RING    100u
#define RECEIVE 200u
#define SEND    340u

#define QUEUES        5u
#define SLOTS         1024u
#define RECEIVE_PAGES 64u
#define SEND_PAGES    12u
#define SECTION       6144u
#define PIECE         1856u
#define HEAD          256u
#define ID            0xcafe

static struct network *network;
static struct netport port, *switch_port = &port;
static struct ring out[QUEUES], in[QUEUES]; /* the switch's end */
static struct guest_channel channels[QUEUES];
static uint32_t relid, message_bytes;
static uint32_t receive_pages[RECEIVE_PAGES], send_pages[SEND_PAGES];
static bool ended;
static const uint8_t mac[6] = {0, 0x15, 0x5d, 1, 2, 3};

/* ---- the machine ---- */

static void on_ended(void *context)
{
	__atomic_store_n((bool *)context, true, __ATOMIC_RELEASE);
}

static void make_port(struct netport *to)
{
	unsigned int i;

	*to = (struct netport){.connection = -1,
			       .switch_event = eventfd(0, EFD_NONBLOCK),
			       .queue_count = QUEUES,
			       .out_slots = SLOTS,
			       .in_slots = SLOTS};
	to->memory_bytes = ring_memory_bytes(QUEUES, SLOTS, SLOTS);
	to->memory = aligned_alloc(4096, to->memory_bytes);
	memset(to->memory, 0, to->memory_bytes);
	memcpy(to->mac, mac, sizeof(mac));
	to->memory->link = 1;
	to->memory->speed = 25000;
	to->regions[NETPORT_RAM] = (struct iovec){guest.ram, GUEST_PAGES * VMBUS_PAGE_SIZE};
	to->regions[NETPORT_HEADS].iov_len = QUEUES * SLOTS * NETPORT_HEAD_BYTES;
	to->regions[NETPORT_HEADS].iov_base = malloc(to->regions[NETPORT_HEADS].iov_len);
	for (i = 0; i < QUEUES; i++) {
		to->events[i] = eventfd(0, EFD_NONBLOCK);
		ring_at(&out[i], to->memory, SLOTS, SLOTS, 2 * i);
		ring_at(&in[i], to->memory, SLOTS, SLOTS, 2 * i + 1);
	}
}

static int start(void **state)
{
	struct network_config config = {.instance = {1},
					.name = "Network Adapter",
					.queue_count = QUEUES,
					.ended = on_ended,
					.context = &ended};

	(void)state;
	guest_create();
	make_port(&port);
	ended = false;
	assert_int_equal(network_create(guest.bus, &config, &port, &network), 0);
	return 0;
}

static void free_port(void)
{
	unsigned int i;

	for (i = 0; i < QUEUES; i++) {
		close(port.events[i]);
	}
	close(port.switch_event);
	free(port.memory);
	free(port.regions[NETPORT_HEADS].iov_base);
}

static void call(unsigned int queue)
{
	uint64_t one = 1;

	assert_int_equal(write(switch_port->events[queue], &one, sizeof(one)), sizeof(one));
}

/* Buffers of a port that does not hear go back, as the switch does it. */
static void switch_turn(void)
{
	struct port_slot slots[PORT_PIECES_MAX], unused = {.flags = PORT_UNUSED};
	unsigned int i;
	int count;

	if (__atomic_load_n(&switch_port->memory->takes, __ATOMIC_ACQUIRE) & PORT_HEARS) {
		return;
	}
	for (i = 0; i < QUEUES; i++) {
		while ((count = ring_take(&in[i], slots, PORT_PIECES_MAX)) > 0) {
			ring_answer(&in[i], &unused, (uint32_t)count);
		}
		if (ring_show(&in[i])) {
			call(i);
		}
	}
}

/* The switch answers what it has, until the adapter is gone. */
static void *switch_thread(void *argument)
{
	struct port_slot slots[PORT_PIECES_MAX];
	unsigned int i;

	(void)argument;
	while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
		switch_turn();
		for (i = 0; i < QUEUES; i++) {
			while (ring_take(&out[i], slots, PORT_PIECES_MAX) > 0) {
			}
			ring_answer(&out[i], NULL, ring_taken(&out[i]));
			if (ring_show(&out[i])) {
				call(i);
			}
		}
		usleep(100);
	}
	return NULL;
}

static int stop(void **state)
{
	pthread_t thread;
	unsigned int i;

	(void)state;
	pthread_create(&thread, NULL, switch_thread, NULL);
	network_destroy(&network);
	guest_destroy();
	pthread_join(thread, NULL);
	for (i = 0; i < GUEST_PAGES; i++) {
		assert_int_equal(atomic_load(&guest.acquired[i]), 0);
	}
	free_port();
	return 0;
}

/* ---- packets ---- */

static void serve_until_ended(void)
{
	while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
		switch_turn();
		guest_wait();
	}
}

static const void *receive_on(unsigned int channel, struct guest_packet *packet)
{
	while (!guest_receive(&channels[channel], packet)) {
		switch_turn();
		guest_wait();
	}
	return packet->bytes + packet->descriptor.offset8 * 8;
}

static uint32_t payload_bytes(const struct guest_packet *packet)
{
	return (packet->descriptor.len8 - packet->descriptor.offset8) * 8u;
}

static struct nvsp_message finish(unsigned int channel, uint64_t id)
{
	struct guest_packet answer;
	struct nvsp_message message = {0};
	const void *in_ring = receive_on(channel, &answer);

	assert_int_equal(answer.descriptor.type, VM_PKT_COMP);
	assert_int_equal(answer.descriptor.trans_id, id);
	memcpy(&message, in_ring, payload_bytes(&answer));
	return message;
}

static void post(unsigned int channel, const struct nvsp_message *message, uint64_t id,
		 bool completion)
{
	assert_true(guest_send(&channels[channel], VM_PKT_DATA_INBAND, id, completion, NULL, 0,
			       message, message_bytes));
}

static struct nvsp_message exchange(struct nvsp_message message)
{
	post(0, &message, 5, true);
	return finish(0, 5);
}

/* Completes a packet with transfer pages, as Linux does. */
static void complete(unsigned int channel, uint64_t transaction)
{
	struct nvsp_message message = {.type = NVSP_SEND_RNDIS_PACKET_COMPLETE,
				       .rndis_complete.status = NVSP_STATUS_SUCCESS};

	assert_true(
		guest_send(&channels[channel], VM_PKT_COMP, transaction, 0, NULL, 0, &message, 8));
}

/* A list of ranges as it lies in a packet. */
struct list {
	uint8_t bytes[2048];
	uint32_t size;
};

static void add_range(struct list *list, uint32_t first_page, uint32_t offset, uint32_t bytes)
{
	uint32_t pages = (offset + bytes + 4095) / 4096, count, i;
	uint64_t number;

	list->size = list->size != 0 ? list->size : 8;
	memcpy(&count, list->bytes + 4, 4);
	count++;
	memcpy(list->bytes + 4, &count, 4);
	memcpy(list->bytes + list->size, &bytes, 4);
	memcpy(list->bytes + list->size + 4, &offset, 4);
	for (i = 0; i < pages; i++) {
		number = first_page + i;
		memcpy(list->bytes + list->size + 8 + 8 * i, &number, 8);
	}
	list->size += 8 + 8 * pages;
}

static void post_ranges(unsigned int channel, uint32_t kind, uint32_t section, uint32_t bytes,
			const struct list *list, uint64_t id)
{
	struct nvsp_message message = {.type = NVSP_SEND_RNDIS_PACKET,
				       .rndis = {kind, section, bytes}};

	assert_true(guest_send(&channels[channel], VM_PKT_DATA_USING_GPA_DIRECT, id, 1, list->bytes,
			       list->size, &message, message_bytes));
}

static void post_section(unsigned int channel, uint32_t section, uint32_t bytes, uint64_t id)
{
	struct nvsp_message message = {.type = NVSP_SEND_RNDIS_PACKET,
				       .rndis = {NVSP_CHANNEL_DATA, section, bytes}};

	post(channel, &message, id, true);
}

/* netport.c's, which has nothing to complain of here. */
void say(const char *format, ...)
{
	(void)format;
	abort();
}

/* ---- buffers of the guest ---- */

static void at_buffer(const uint32_t *pages, uint32_t offset, void *to, const void *from,
		      uint32_t bytes)
{
	uint32_t i;

	for (i = 0; i < bytes; i++, offset++) {
		uint8_t *at = guest_page(pages[offset / 4096]) + offset % 4096;

		if (to != NULL) {
			((uint8_t *)to)[i] = *at;
		} else {
			*at = ((const uint8_t *)from)[i];
		}
	}
}

/* ---- the handshake ---- */

static void connect(void)
{
	uint32_t relids[2] = {0};

	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_offers(relids, 2), 1);
	relid = relids[1];
	assert_int_equal(guest_open(&channels[0], relid, 0xe1e10, 8, RING, 1), 0);
	message_bytes = NVSP_BYTES_61;
}

static uint32_t ask_version(uint32_t version)
{
	struct nvsp_message answer =
		exchange((struct nvsp_message){.type = NVSP_INIT, .init = {version, version}});

	assert_int_equal(answer.type, NVSP_INIT_COMPLETE);
	return answer.init_complete.status;
}

static struct nvsp_message give_receive_buffer(uint32_t handle)
{
	guest_scatter(receive_pages, RECEIVE_PAGES, RECEIVE);
	assert_int_equal(guest_gpadl(relid, handle, receive_pages, RECEIVE_PAGES), 0);
	return exchange(
		(struct nvsp_message){.type = NVSP_SEND_RECEIVE_BUFFER, .buffer = {handle, ID}});
}

static struct nvsp_message give_send_buffer(uint32_t handle)
{
	guest_scatter(send_pages, SEND_PAGES, SEND);
	assert_int_equal(guest_gpadl(relid, handle, send_pages, SEND_PAGES), 0);
	return exchange(
		(struct nvsp_message){.type = NVSP_SEND_SEND_BUFFER, .buffer = {handle, 0}});
}

struct control {
	struct rndis_header header;
	uint8_t body[1016];
};

/* A control message in guest memory, across the edge of two pages. The status of its completion. */
static uint32_t send_control(uint32_t type, const void *body, uint32_t bytes)
{
	struct rndis_header header = {type, bytes + 8};
	struct list list = {0};

	memcpy(guest_page(DATA) + 4000, &header, 8);
	memcpy(guest_page(DATA) + 4008, body, bytes < 88 ? bytes : 88);
	if (bytes > 88) {
		memcpy(guest_page(DATA + 1), (const uint8_t *)body + 88, bytes - 88);
	}
	add_range(&list, DATA, 4000, bytes + 8);
	post_ranges(0, NVSP_CHANNEL_CONTROL, NVSP_NO_SECTION, 0, &list, 9);
	return 0;
}

/* What the host says in the receive buffer: the next packet, which has one range. */
static void take_control(struct guest_packet *packet, struct control *control)
{
	const struct vmtransfer_page_header *pages;

	assert_int_equal(packet->descriptor.type, VM_PKT_DATA_USING_XFER_PAGES);
	pages = (const void *)(packet->bytes + 16);
	assert_int_equal(pages->xfer_pageset_id, ID);
	assert_int_equal(pages->range_cnt, 1);
	assert_true(pages->ranges[0].byte_count <= sizeof(*control));
	at_buffer(receive_pages, pages->ranges[0].byte_offset, control, NULL,
		  pages->ranges[0].byte_count);
	assert_int_equal(control->header.bytes, pages->ranges[0].byte_count);
	complete(0, packet->descriptor.trans_id);
}

/* Both the completion and the reply, in whichever order; indications are passed over. */
static struct control converse(uint32_t type, const void *body, uint32_t bytes)
{
	struct control control, reply = {0};
	bool completed = false, replied = false;

	send_control(type, body, bytes);
	while (!completed || !replied) {
		struct guest_packet packet;
		struct nvsp_message message = {0};

		memcpy(&message, receive_on(0, &packet), 8);
		if (packet.descriptor.type == VM_PKT_COMP) {
			assert_int_equal(packet.descriptor.trans_id, 9);
			assert_int_equal(message.rndis_complete.status, NVSP_STATUS_SUCCESS);
			completed = true;
		} else {
			take_control(&packet, &control);
			if (control.header.type != RNDIS_INDICATE) {
				reply = control;
				replied = true;
			}
		}
	}
	assert_int_equal(reply.header.type, type | RNDIS_REPLY);
	return reply;
}

static void initialize(void)
{
	struct rndis_request request = {.id = 1, .initialize = {1, 0, 0x4000}};
	struct control reply = converse(RNDIS_INITIALIZE, &request, 16);
	struct rndis_initialize_complete complete_ = {0};

	memcpy(&complete_, reply.body, sizeof(complete_));
	assert_int_equal(complete_.id, 1);
	assert_int_equal(complete_.status, 0);
	assert_int_equal(complete_.max_packets, 8);
	assert_int_equal(complete_.alignment, 3);
}

static uint32_t query(uint32_t oid, void *value, uint32_t *bytes)
{
	struct rndis_request request = {.id = 2, .query = {.oid = oid}};
	struct rndis_query_complete head;
	struct control reply = converse(RNDIS_QUERY, &request, sizeof(request));

	memcpy(&head, reply.body, sizeof(head));
	assert_int_equal(head.id, 2);
	*bytes = head.bytes;
	assert_true(head.offset + head.bytes + 8 <= reply.header.bytes);
	memcpy(value, reply.body + head.offset, head.bytes);
	return head.status;
}

static uint32_t set(uint32_t oid, const void *value, uint32_t bytes)
{
	uint8_t message[1024] = {0};
	struct rndis_request request = {
		.id = 3, .query = {.oid = oid, .bytes = bytes, .offset = sizeof(request)}};
	struct rndis_complete done;
	struct control reply;

	memcpy(message, &request, sizeof(request));
	memcpy(message + sizeof(request), value, bytes);
	reply = converse(RNDIS_SET, message, sizeof(request) + bytes);
	memcpy(&done, reply.body, sizeof(done));
	assert_int_equal(done.id, 3);
	return done.status;
}

static void set_filter(uint32_t filter)
{
	assert_int_equal(set(OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
}

static void shake_hands(uint32_t version)
{
	connect();
	assert_int_equal(ask_version(version), NVSP_STATUS_SUCCESS);
	assert_int_equal(give_receive_buffer(0xe2000).receive_complete.status, 1);
	assert_int_equal(give_send_buffer(0xe3000).send_complete.status, 1);
	initialize();
}

static int start_ready(void **state)
{
	start(state);
	shake_hands(NVSP_VERSION_61);
	set_filter(0xd);
	return 0;
}

static uint64_t refused(enum network_refusal reason)
{
	struct network_stats stats;

	network_get_stats(network, &stats);
	return stats.refused[reason];
}

/* ---- the switch ---- */

struct wire {
	struct port_slot first;
	uint8_t bytes[70000];
	uint32_t length, slots;
};

/* The next frame that the guest sends; it is not answered yet. */
static void take_frame(unsigned int queue, struct wire *wire)
{
	struct port_slot slots[PORT_PIECES_MAX];
	int count, i;

	while ((count = ring_take(&out[queue], slots, PORT_PIECES_MAX)) == 0) {
		guest_wait();
	}
	assert_true(count > 0);
	wire->first = slots[0];
	wire->length = 0;
	wire->slots = (uint32_t)count;
	for (i = 0; i < count; i++) {
		const struct iovec *region = &port.regions[slots[i].region];

		assert_true(slots[i].region < NETPORT_REGIONS);
		assert_true(slots[i].offset + slots[i].bytes <= region->iov_len);
		memcpy(wire->bytes + wire->length, (uint8_t *)region->iov_base + slots[i].offset,
		       slots[i].bytes);
		wire->length += slots[i].bytes;
	}
}

static void answer_frame(unsigned int queue, const struct wire *wire)
{
	ring_answer(&out[queue], NULL, wire->slots);
	if (ring_show(&out[queue])) {
		call(queue);
	}
}

/* A frame to the guest, in as many buffers as it takes. */
static void give_frame(unsigned int queue, struct port_slot first, const uint8_t *frame,
		       uint32_t bytes)
{
	struct port_slot slots[PORT_PIECES_MAX];
	bool is_first = true;

	do {
		struct port_slot answer = is_first ? first : (struct port_slot){0};
		int count, i;

		while ((count = ring_take(&in[queue], slots, PORT_PIECES_MAX)) == 0) {
			guest_wait();
		}
		assert_true(count > 0);
		answer.bytes = 0;
		for (i = 0; i < count && bytes > 0; i++) {
			uint32_t part = slots[i].bytes < bytes ? slots[i].bytes : bytes;

			assert_int_equal(slots[i].region, NETPORT_RAM);
			memcpy(guest.ram + slots[i].offset, frame, part);
			frame += part;
			bytes -= part;
			answer.bytes += part;
		}
		answer.flags |= bytes > 0 ? PORT_CONTINUES : 0;
		ring_answer(&in[queue], &answer, (uint32_t)count);
		is_first = false;
	} while (bytes > 0);
}

static void show_frames(unsigned int queue)
{
	if (ring_show(&in[queue])) {
		call(queue);
	}
}

/* ---- what the guest hears ---- */

struct heard {
	struct rndis_packet packet;
	uint32_t ppis[16]; /* by type; 15: RSC */
	bool has[16];
	uint8_t bytes[2048];
	uint32_t length;
};

static void read_heard(const struct vmtransfer_page_range *range, struct heard *heard)
{
	uint8_t message[PIECE];
	struct rndis_header header;
	uint32_t at;

	memset(heard, 0, sizeof(*heard));
	assert_int_equal(range->byte_offset % PIECE, 0);
	assert_true(range->byte_count <= PIECE - 36);
	at_buffer(receive_pages, range->byte_offset, message, NULL, range->byte_count);
	memcpy(&header, message, sizeof(header));
	memcpy(&heard->packet, message + 8, sizeof(heard->packet));
	assert_int_equal(header.type, RNDIS_PACKET);
	assert_int_equal(header.bytes, range->byte_count);
	assert_int_equal(heard->packet.data_offset + 8 + heard->packet.data_bytes, header.bytes);
	for (at = 0; at < heard->packet.ppi_bytes;) {
		struct rndis_ppi ppi;
		uint32_t type;

		memcpy(&ppi, message + 8 + heard->packet.ppi_offset + at, sizeof(ppi));
		assert_true(ppi.bytes >= sizeof(ppi) + 4);
		type = ppi.type & PPI_INTERNAL ? 15 : ppi.type;
		memcpy(&heard->ppis[type], message + 8 + heard->packet.ppi_offset + at + ppi.offset,
		       4);
		heard->has[type] = true;
		at += ppi.bytes;
	}
	heard->length = heard->packet.data_bytes;
	memcpy(heard->bytes, message + 8 + heard->packet.data_offset, heard->length);
}

/* The next packet of frames; how many ranges. */
static uint32_t hear(unsigned int channel, struct heard *heard, uint32_t max, uint64_t *id)
{
	struct guest_packet packet;
	const struct vmtransfer_page_header *pages;
	struct nvsp_message message;
	uint32_t i;

	memcpy(&message, receive_on(channel, &packet), 16);
	assert_int_equal(packet.descriptor.type, VM_PKT_DATA_USING_XFER_PAGES);
	assert_int_equal(packet.descriptor.flags, 1);
	assert_int_equal(message.type, NVSP_SEND_RNDIS_PACKET);
	assert_int_equal(message.rndis.channel, NVSP_CHANNEL_DATA);
	pages = (const void *)(packet.bytes + 16);
	assert_int_equal(pages->xfer_pageset_id, ID);
	assert_true(pages->range_cnt <= max);
	for (i = 0; i < pages->range_cnt; i++) {
		read_heard(&pages->ranges[i], &heard[i]);
	}
	*id = packet.descriptor.trans_id;
	return pages->range_cnt;
}

/* ---- frames ---- */

static void make_frame(uint8_t *frame, uint32_t bytes, uint32_t seed)
{
	uint32_t i;

	for (i = 0; i < bytes; i++) {
		frame[i] = (uint8_t)(i * 31 + i / 251 + seed);
	}
	memcpy(frame, mac, 6);
	frame[12] = 0x08;
	frame[13] = 0x00;
}

struct option {
	uint32_t type, value;
};

/* A message of RNDIS with a frame in it; its length, a multiple of 8. */
static uint32_t make_message(uint8_t *to, const uint8_t *frame, uint32_t bytes,
			     const struct option *options, uint32_t count)
{
	uint32_t all = (44 + 16 * count + bytes + 7) & ~7u, i;
	struct rndis_header header = {RNDIS_PACKET, all};
	struct rndis_packet packet = {.data_offset = 36 + 16 * count,
				      .data_bytes = bytes,
				      .ppi_offset = count != 0 ? 36 : 0,
				      .ppi_bytes = 16 * count};

	memset(to, 0, all);
	memcpy(to, &header, 8);
	memcpy(to + 8, &packet, 36);
	for (i = 0; i < count; i++) {
		struct rndis_ppi ppi = {16, options[i].type, 12};

		memcpy(to + 44 + 16 * i, &ppi, 12);
		memcpy(to + 56 + 16 * i, &options[i].value, 4);
	}
	memcpy(to + 44 + 16 * count, frame, bytes);
	return all;
}

/* Sends it in a section. */
static void send_frame(unsigned int channel, uint32_t section, const uint8_t *frame, uint32_t bytes,
		       const struct option *options, uint32_t count, uint64_t id)
{
	static uint8_t message[SECTION];
	uint32_t all = make_message(message, frame, bytes, options, count);

	at_buffer(send_pages, section * SECTION, NULL, message, all);
	post_section(channel, section, all, id);
}

/* ---- tests: the handshake ---- */

static void test_versions(void **state)
{
	static const uint32_t known[] = {NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4,
					 NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_61};
	unsigned int i;

	(void)state;
	for (i = 0; i < 6; i++) {
		struct guest_packet packet;
		struct nvsp_message message = {.type = NVSP_INIT, .init = {known[i], known[i]}};

		connect();
		assert_int_equal(ask_version(0x70000), NVSP_STATUS_FAIL);
		assert_int_equal(ask_version(0), NVSP_STATUS_FAIL);
		post(0, &message, 5, true);
		receive_on(0, &packet);
		assert_int_equal(payload_bytes(&packet), known[i] == NVSP_VERSION_61 ? 40 : 32);
		vmbus_reset(guest.bus);
		guest.first = guest.count = 0;
	}
}

static void test_handshake(void **state)
{
	struct nvsp_message answer;
	uint8_t value[1024];
	uint32_t bytes, number;

	(void)state;
	connect();
	assert_int_equal(ask_version(NVSP_VERSION_61), 1);
	/* No answer where none is asked for; an empty one else. */
	post(0, &(struct nvsp_message){.type = NVSP_SEND_NDIS_CONFIG, .config = {1514, 0, 0x84}}, 1,
	     false);
	answer = exchange((struct nvsp_message){.type = NVSP_SEND_NDIS_VERSION});
	assert_int_equal(answer.type, 0);
	answer = give_receive_buffer(0xe2000);
	assert_int_equal(answer.type, NVSP_SEND_RECEIVE_BUFFER_COMPLETE);
	assert_int_equal(answer.receive_complete.section_count, 1);
	assert_int_equal(answer.receive_complete.section.offset, 0);
	assert_int_equal(answer.receive_complete.section.piece_bytes, PIECE);
	assert_int_equal(answer.receive_complete.section.piece_count, RECEIVE_PAGES * 4096 / PIECE);
	answer = give_send_buffer(0xe3000);
	assert_int_equal(answer.send_complete.section_bytes, SECTION);
	initialize();
	assert_int_equal(query(OID_802_3_PERMANENT_ADDRESS, value, &bytes), 0);
	assert_int_equal(bytes, 6);
	assert_memory_equal(value, mac, 6);
	assert_int_equal(query(OID_GEN_MAXIMUM_FRAME_SIZE, &number, &bytes), 0);
	assert_int_equal(number, 1500);
	assert_int_equal(query(OID_GEN_LINK_SPEED, &number, &bytes), 0);
	assert_int_equal(number, 250000000);
	assert_int_equal(query(OID_GEN_MEDIA_CONNECT_STATUS, &number, &bytes), 0);
	assert_int_equal(number, 0);
	assert_int_equal(query(OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES, value, &bytes), 0);
	assert_int_equal(bytes, 156);
	assert_int_equal(value[0], NDIS_TYPE_OFFLOAD);
	assert_int_equal(value[2], 156);
	assert_int_equal(query(OID_GEN_FRIENDLY_NAME, value, &bytes), 0);
	assert_int_equal(bytes, 32);
	assert_int_equal(value[0], 'N');
}

static void test_every_oid_that_is_listed(void **state)
{
	uint32_t list[100], bytes, i, other;
	uint8_t value[1024];

	(void)state;
	assert_int_equal(query(OID_GEN_SUPPORTED_LIST, list, &bytes), 0);
	for (i = 0; i < bytes / 4; i++) {
		uint32_t status = query(list[i], value, &other);

		/* These two are for setting alone. */
		if (list[i] == OID_TCP_OFFLOAD_PARAMETERS ||
		    list[i] == OID_GEN_RNDIS_CONFIG_PARAMETER) {
			assert_int_equal(status, RNDIS_STATUS_NOT_SUPPORTED);
		} else {
			assert_int_equal(status, 0);
		}
	}
	assert_true(i > 35);
	assert_int_equal(query(0x12345, value, &other), RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(set(0x12345, value, 4), RNDIS_STATUS_NOT_SUPPORTED);
}

static void test_what_is_set_is_read_back(void **state)
{
	static const uint8_t name[] = "N\0e\0t\0w\0o\0r\0k\0A\0d\0d\0r\0e\0s\0s";
	static const uint8_t address[] = "0\0"
					 "2\0"
					 "a\0B\0c\0d\0"
					 "0\0"
					 "1\0"
					 "0\0"
					 "2\0"
					 "0\0"
					 "3";
	static const uint8_t set_mac[6] = {0x02, 0xab, 0xcd, 1, 2, 3};
	struct rndis_config_parameter parameter = {20, 28, 2, 48, 24};
	struct ndis_offload_parameters offload = {
		.header = {NDIS_TYPE_OFFLOAD_PARAMETERS, 3, 28}, .tcp4_csum = 1, .rsc4 = 2};
	struct ndis_offload current;
	uint8_t message[128], value[1024];
	uint32_t bytes, number;

	(void)state;
	memcpy(message, &parameter, 20);
	memcpy(message + 20, name, 28);
	memcpy(message + 48, address, 24);
	assert_int_equal(set(OID_GEN_RNDIS_CONFIG_PARAMETER, message, 72), 0);
	assert_int_equal(query(OID_802_3_CURRENT_ADDRESS, value, &bytes), 0);
	assert_memory_equal(value, set_mac, 6);
	assert_int_equal(query(OID_802_3_PERMANENT_ADDRESS, value, &bytes), 0);
	assert_memory_equal(value, mac, 6);
	message[48] = 'x';
	assert_int_equal(set(OID_GEN_RNDIS_CONFIG_PARAMETER, message, 72),
			 RNDIS_STATUS_INVALID_DATA);

	set_filter(0x5);
	assert_int_equal(query(OID_GEN_CURRENT_PACKET_FILTER, &number, &bytes), 0);
	assert_int_equal(number, 5);

	assert_int_equal(set(OID_TCP_OFFLOAD_PARAMETERS, &offload, 28), 0);
	assert_int_equal(query(OID_TCP_OFFLOAD_CURRENT_CONFIG, &current, &bytes), 0);
	assert_false(current.csum4.tx_flags & NDIS_CSUM_TCP);
	assert_true(current.csum6.tx_flags & NDIS_CSUM_TCP);
	assert_int_equal(current.rsc4, 1);
	assert_int_equal(current.rsc6, 0);
	assert_int_equal(port.memory->takes, PORT_HEARS | PORT_TAKES_CSUM | PORT_TAKES_TCP4);
	offload.rsc4 = 1;
	assert_int_equal(set(OID_TCP_OFFLOAD_PARAMETERS, &offload, 28), 0);
	assert_int_equal(port.memory->takes, PORT_HEARS);
	offload.rsc4 = 3;
	assert_int_equal(set(OID_TCP_OFFLOAD_PARAMETERS, &offload, 28), RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(set(OID_TCP_OFFLOAD_PARAMETERS, &offload, 19),
			 RNDIS_STATUS_INVALID_LENGTH);
}

static void test_keepalive_reset_halt(void **state)
{
	uint32_t id = 77;
	struct control reply = converse(RNDIS_KEEPALIVE, &id, 4);
	struct rndis_complete done;

	(void)state;
	memcpy(&done, reply.body, 8);
	assert_int_equal(done.id, 77);
	assert_int_equal(done.status, 0);
	reply = converse(RNDIS_RESET, &id, 4);
	memcpy(&done, reply.body, 8);
	assert_int_equal(done.id, 0);
	send_control(RNDIS_HALT, &id, 4);
	assert_int_equal(finish(0, 9).rndis_complete.status, 1);
	/* It begins again. */
	initialize();
	set_filter(0xd);
	while (!(__atomic_load_n(&port.memory->takes, __ATOMIC_ACQUIRE) & PORT_HEARS)) {
		guest_wait();
	}
}

/* ---- tests: frames of the guest ---- */

static struct wire wire;

static void expect_frame(unsigned int queue, const uint8_t *frame, uint32_t bytes)
{
	take_frame(queue, &wire);
	assert_int_equal(wire.length, bytes);
	assert_memory_equal(wire.bytes, frame, bytes);
}

static void test_sends_in_sections(void **state)
{
	uint8_t frame[1514];
	uint32_t i;

	(void)state;
	for (i = 0; i < 8; i++) {
		make_frame(frame, 60 + 200 * i, i);
		send_frame(0, i, frame, 60 + 200 * i, NULL, 0, 100 + i);
	}
	for (i = 0; i < 8; i++) {
		make_frame(frame, 60 + 200 * i, i);
		expect_frame(0, frame, 60 + 200 * i);
		assert_int_equal(wire.first.flags & ~PORT_MORE, 0);
		answer_frame(0, &wire);
	}
	for (i = 0; i < 8; i++) {
		assert_int_equal(finish(0, 100 + i).rndis_complete.status, 1);
	}
}

/* The guest hears nothing of a send before the switch has answered it. */
/* The thread sleeps when it has given its buffers and asked for a signal. */
static void wait_until_asleep(void)
{
	while (__atomic_load_n(&in[0].control->worker_waits, __ATOMIC_ACQUIRE) == 0) {
		usleep(100);
	}
}

/* A frame in a section is completed without a signal; one in the guest's own pages, or that takes
 * long, is signalled. */
static void test_completion_without_a_signal(void **state)
{
	uint8_t frame[200], message[512];
	struct list list = {0};

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 60);
	take_frame(0, &wire);
	wait_until_asleep();
	ring_answer(&out[0], NULL, wire.slots);
	if (ring_show(&out[0])) { /* it has waited in vain by now */
		call(0);
	}
	assert_int_equal(finish(0, 60).rndis_complete.status, 1);

	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 61);
	take_frame(0, &wire);
	while (__atomic_load_n(&out[0].control->worker_waits, __ATOMIC_ACQUIRE) == 0) {
		usleep(100);
	}
	ring_answer(&out[0], NULL, wire.slots);
	assert_true(ring_show(&out[0]));
	call(0);
	finish(0, 61);

	add_range(&list, DATA, 0, make_message(message, frame, sizeof(frame), NULL, 0));
	memcpy(guest_page(DATA), message, sizeof(message));
	post_ranges(0, NVSP_CHANNEL_DATA, NVSP_NO_SECTION, 0, &list, 62);
	take_frame(0, &wire);
	wait_until_asleep();
	ring_answer(&out[0], NULL, wire.slots);
	assert_true(ring_show(&out[0]));
	call(0);
	finish(0, 62);
}

static void test_completion_waits_for_the_switch(void **state)
{
	uint8_t frame[100];
	struct guest_packet packet;

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 50);
	take_frame(0, &wire);
	/* Another answer passes it by. */
	exchange((struct nvsp_message){.type = NVSP_SEND_NDIS_VERSION});
	assert_false(guest_receive(&channels[0], &packet));
	answer_frame(0, &wire);
	finish(0, 50);
	assert_false(guest_receive(&channels[0], &packet));
}

static void test_several_frames_in_a_section(void **state)
{
	uint8_t frame[700], message[SECTION];
	uint32_t all = 0, i;

	(void)state;
	for (i = 0; i < 7; i++) {
		make_frame(frame, 700 - i, i);
		all += make_message(message + all, frame, 700 - i, NULL, 0);
	}
	at_buffer(send_pages, 2 * SECTION, NULL, message, all);
	post_section(0, 2, all, 8);
	for (i = 0; i < 7; i++) {
		make_frame(frame, 700 - i, i);
		expect_frame(0, frame, 700 - i);
		answer_frame(0, &wire);
	}
	assert_int_equal(finish(0, 8).rndis_complete.status, 1);
}

/* The header straddles a page, the data is in several ranges. */
static void test_sends_by_reference(void **state)
{
	static uint8_t message[20000];
	uint8_t frame[9000];
	struct list list = {0};
	uint32_t all, acquired = 0, i;

	(void)state;
	make_frame(frame, sizeof(frame), 3);
	all = make_message(message, frame, sizeof(frame), NULL, 0);
	memcpy(guest_page(DATA) + 4076, message, 44);
	memcpy(guest_page(DATA + 4) + 100, message + 44, 5000);
	memcpy(guest_page(DATA + 8), message + 5044, all - 5044);
	add_range(&list, DATA, 4076, 44);
	add_range(&list, DATA + 4, 100, 5000);
	add_range(&list, DATA + 8, 0, all - 5044);
	post_ranges(0, NVSP_CHANNEL_DATA, NVSP_NO_SECTION, 0, &list, 70);
	expect_frame(0, frame, sizeof(frame));
	for (i = DATA; i < DATA + 12; i++) {
		acquired += atomic_load(&guest.acquired[i]);
	}
	assert_int_equal(acquired, 2 + 2 + 1);
	answer_frame(0, &wire);
	assert_int_equal(finish(0, 70).rndis_complete.status, 1);
	for (i = DATA; i < DATA + 12; i++) {
		assert_int_equal(atomic_load(&guest.acquired[i]), 0);
	}
}

/* iPXE's header of a packet is a word shorter than RNDIS has it. */
static void test_short_header(void **state)
{
	uint8_t frame[101], message[40 + sizeof(frame)] = {0};
	struct rndis_header header = {RNDIS_PACKET, sizeof(message)};
	struct rndis_packet packet = {.data_offset = 32, .data_bytes = sizeof(frame)};
	struct list list = {0};

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	memcpy(message, &header, 8);
	memcpy(message + 8, &packet, 32);
	memcpy(message + 40, frame, sizeof(frame));
	memcpy(guest_page(DATA), message, sizeof(message));
	add_range(&list, DATA, 0, sizeof(message));
	post_ranges(0, NVSP_CHANNEL_DATA, NVSP_NO_SECTION, 0, &list, 70);
	expect_frame(0, frame, sizeof(frame));
	answer_frame(0, &wire);
	assert_int_equal(finish(0, 70).rndis_complete.status, 1);
}

/* A section with whole frames and the header of the last, whose data is in ranges. */
static void test_section_and_ranges(void **state)
{
	uint8_t frames[2][600], message[2048];
	struct list list = {0};
	uint32_t first, all;

	(void)state;
	make_frame(frames[0], 600, 1);
	make_frame(frames[1], 600, 2);
	first = make_message(message, frames[0], 600, NULL, 0);
	all = first + make_message(message + first, frames[1], 600, NULL, 0);
	at_buffer(send_pages, 0, NULL, message, first + 44);
	memcpy(guest_page(DATA) + 7, message + first + 44, all - first - 44);
	add_range(&list, DATA, 7, all - first - 44);
	post_ranges(0, NVSP_CHANNEL_DATA, 0, first + 44, &list, 71);
	expect_frame(0, frames[0], 600);
	answer_frame(0, &wire);
	expect_frame(0, frames[1], 600);
	answer_frame(0, &wire);
	assert_int_equal(finish(0, 71).rndis_complete.status, 1);
}

/* ---- tests: offloads ---- */

static uint32_t sum_of(const uint8_t *at, uint32_t bytes, uint32_t sum)
{
	uint32_t i;

	for (i = 0; i < bytes; i++) {
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	}
	while (sum > 0xffff) {
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* A TCP frame as a guest leaves it for segmentation; where TCP begins. */
static uint32_t make_tcp(uint8_t *frame, uint32_t bytes, bool ip6)
{
	uint32_t tcp = 14 + (ip6 ? 40 : 20), sum;

	make_frame(frame, bytes, 9);
	memset(frame + 14, 0, tcp - 14 + 20);
	if (ip6) {
		frame[12] = 0x86;
		frame[13] = 0xdd;
		frame[14] = 0x60;
		frame[20] = 6;
		memset(frame + 22, 0x11, 32);
		sum = sum_of(frame + 22, 32, 6);
	} else {
		frame[14] = 0x45;
		frame[23] = 6;
		memset(frame + 26, 0x0a, 8);
		sum = sum_of(frame + 26, 8, 6);
	}
	frame[tcp + 12] = 0x50;
	frame[tcp + 16] = (uint8_t)(sum >> 8);
	frame[tcp + 17] = (uint8_t)sum;
	return tcp;
}

static void test_segmentation(void **state)
{
	uint8_t frame[4000];
	int ip6;

	(void)state;
	for (ip6 = 0; ip6 < 2; ip6++) {
		uint32_t tcp = make_tcp(frame, sizeof(frame), ip6), sum;
		struct option lso = {PPI_LSO,
				     1000 | tcp << 20 | PPI_LSO_V2 | (ip6 ? PPI_LSO_IPV6 : 0)};

		send_frame(0, 1, frame, sizeof(frame), &lso, 1, 1);
		take_frame(0, &wire);
		assert_int_equal(wire.length, sizeof(frame));
		assert_int_equal(wire.first.region, NETPORT_HEADS);
		assert_int_equal(wire.first.gso, ip6 ? PORT_GSO_TCP6 : PORT_GSO_TCP4);
		assert_int_equal(wire.first.gso_bytes, 1000);
		assert_int_equal(wire.first.header_bytes, tcp + 20);
		assert_true(wire.first.flags & PORT_CSUM_NEEDED);
		assert_int_equal(wire.first.csum_start, tcp);
		assert_int_equal(wire.first.csum_offset, 16);
		if (ip6) {
			assert_int_equal(wire.bytes[18] << 8 | wire.bytes[19], 4000 - 54);
			sum = sum_of(wire.bytes + 22, 32, 6 + 4000 - tcp);
		} else {
			assert_int_equal(wire.bytes[16] << 8 | wire.bytes[17], 4000 - 14);
			assert_int_equal(sum_of(wire.bytes + 14, 20, 0), 0xffff);
			sum = sum_of(wire.bytes + 26, 8, 6 + 4000 - tcp);
		}
		assert_int_equal(wire.bytes[tcp + 16] << 8 | wire.bytes[tcp + 17], sum);
		/* The rest is as it was, and the guest's own is only read. */
		assert_memory_equal(wire.bytes + tcp + 20, frame + tcp + 20, 4000 - tcp - 20);
		answer_frame(0, &wire);
		finish(0, 1);
	}
}

/* A segment that holds it all makes an ordinary frame of it. */
static void test_segmentation_of_little(void **state)
{
	uint8_t frame[500];
	uint32_t tcp = make_tcp(frame, sizeof(frame), false);
	struct option lso = {PPI_LSO, 1460 | tcp << 20 | PPI_LSO_V2};

	(void)state;
	send_frame(0, 0, frame, sizeof(frame), &lso, 1, 1);
	take_frame(0, &wire);
	assert_int_equal(wire.first.gso, PORT_GSO_NONE);
	assert_int_equal(wire.first.header_bytes, 0);
	assert_true(wire.first.flags & PORT_CSUM_NEEDED);
	answer_frame(0, &wire);
	finish(0, 1);
}

static void test_checksums(void **state)
{
	uint8_t frame[500];
	uint32_t tcp = make_tcp(frame, sizeof(frame), false);
	struct option tcp_sum = {PPI_CHECKSUM, PPI_TX_IPV4 | PPI_TX_TCP | tcp << 16};
	struct option udp_sum = {PPI_CHECKSUM, PPI_TX_IPV4 | PPI_TX_UDP | tcp << 16};
	struct option unsaid = {PPI_CHECKSUM, PPI_TX_IPV4 | PPI_TX_TCP | PPI_TX_IP_HEADER};

	(void)state;
	send_frame(0, 0, frame, sizeof(frame), &tcp_sum, 1, 1);
	expect_frame(0, frame, sizeof(frame));
	assert_int_equal(wire.first.region, NETPORT_RAM);
	assert_int_equal(wire.first.flags & ~PORT_MORE, PORT_CSUM_NEEDED);
	assert_int_equal(wire.first.csum_start, tcp);
	assert_int_equal(wire.first.csum_offset, 16);
	answer_frame(0, &wire);
	finish(0, 1);
	send_frame(0, 0, frame, sizeof(frame), &udp_sum, 1, 2);
	expect_frame(0, frame, sizeof(frame));
	assert_int_equal(wire.first.csum_offset, 6);
	answer_frame(0, &wire);
	finish(0, 2);
	/* The transport's place is found, and the header's sum made. */
	send_frame(0, 0, frame, sizeof(frame), &unsaid, 1, 3);
	take_frame(0, &wire);
	assert_int_equal(wire.first.csum_start, tcp);
	assert_int_equal(sum_of(wire.bytes + 14, 20, 0), 0xffff);
	answer_frame(0, &wire);
	finish(0, 3);
}

static void test_tags_and_hashes(void **state)
{
	uint8_t frame[64];
	struct option options[] = {{PPI_VLAN, 5 | 8 | 0xabc << 4}, {PPI_HASH, 0x12345678}};
	struct port_slot slot = {.flags = PORT_TAGGED, .tag = 0xbabc, .hash = 0x87654321};
	struct heard heard[1];
	uint64_t id;

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	send_frame(0, 0, frame, sizeof(frame), options, 2, 1);
	expect_frame(0, frame, sizeof(frame));
	assert_true(wire.first.flags & PORT_TAGGED);
	assert_int_equal(wire.first.tag, 0xbabc);
	assert_int_equal(wire.first.hash, 0x12345678);
	answer_frame(0, &wire);
	finish(0, 1);
	give_frame(0, slot, frame, sizeof(frame));
	show_frames(0);
	assert_int_equal(hear(0, heard, 1, &id), 1);
	assert_true(heard[0].has[PPI_VLAN] && heard[0].has[PPI_HASH]);
	assert_int_equal(heard[0].ppis[PPI_VLAN], 5 | 8 | 0xabc << 4);
	assert_int_equal(heard[0].ppis[PPI_HASH], 0x87654321);
}

/* ---- tests: frames to the guest ---- */

static void test_many_frames_in_a_packet(void **state)
{
	struct heard heard[48];
	uint8_t frame[1514];
	uint32_t i, done = 0;
	uint64_t id;

	(void)state;
	for (i = 0; i < 20; i++) {
		make_frame(frame, 60 + i * 70, i);
		give_frame(0, (struct port_slot){0}, frame, 60 + i * 70);
	}
	show_frames(0);
	while (done < 20) {
		uint32_t count = hear(0, heard, 48, &id);

		assert_true(id < RECEIVE_PAGES * 4096 / PIECE);
		for (i = 0; i < count; i++, done++) {
			make_frame(frame, 60 + done * 70, done);
			assert_int_equal(heard[i].length, 60 + done * 70);
			assert_memory_equal(heard[i].bytes, frame, heard[i].length);
			assert_int_equal(heard[i].packet.ppi_bytes, 0);
		}
		complete(0, id);
	}
}

/* Buffers come round again and again: more frames than there are pieces. */
static void test_pieces_come_back(void **state)
{
	struct heard heard[48];
	uint8_t frame[100];
	uint32_t i;
	uint64_t id;

	(void)state;
	for (i = 0; i < 500; i++) {
		make_frame(frame, sizeof(frame), i);
		give_frame(0, (struct port_slot){0}, frame, sizeof(frame));
		show_frames(0);
		assert_int_equal(hear(0, heard, 48, &id), 1);
		assert_memory_equal(heard[0].bytes, frame, sizeof(frame));
		complete(0, id);
	}
	assert_int_equal(refused(NETWORK_BAD_COMPLETION), 0);
	complete(0, id);
	complete(0, 1000000);
	complete(0, 3);
	complete(0, UINT64_MAX);
	exchange((struct nvsp_message){.type = NVSP_SEND_NDIS_VERSION});
	assert_int_equal(refused(NETWORK_BAD_COMPLETION), 4);
}

static void test_checksums_in(void **state)
{
	struct port_slot good = {.flags = PORT_CSUM_GOOD};
	struct heard heard[1];
	uint8_t frame[200];
	uint64_t id;

	(void)state;
	make_tcp(frame, sizeof(frame), false);
	give_frame(0, good, frame, sizeof(frame));
	show_frames(0);
	hear(0, heard, 1, &id);
	assert_int_equal(heard[0].ppis[PPI_CHECKSUM], PPI_RX_IP_GOOD | PPI_RX_TCP_GOOD);
	complete(0, id);
	make_tcp(frame, sizeof(frame), true);
	frame[20] = 17;
	give_frame(0, good, frame, sizeof(frame));
	show_frames(0);
	hear(0, heard, 1, &id);
	assert_int_equal(heard[0].ppis[PPI_CHECKSUM], PPI_RX_UDP_GOOD);
	complete(0, id);
	frame[12] = 0x90;
	give_frame(0, good, frame, sizeof(frame));
	show_frames(0);
	hear(0, heard, 1, &id);
	assert_false(heard[0].has[PPI_CHECKSUM]);
}

/* A frame that was not cut: all of its pieces are in one packet. */
static void test_coalesced_frame(void **state)
{
	static uint8_t frame[6000];
	struct heard heard[8];
	uint32_t at = 0, i;
	uint64_t id;

	(void)state;
	make_tcp(frame, sizeof(frame), false);
	give_frame(0, (struct port_slot){.flags = PORT_CSUM_GOOD}, frame, sizeof(frame));
	show_frames(0);
	assert_int_equal(hear(0, heard, 8, &id), 4);
	for (i = 0; i < 4; i++) {
		uint32_t flags =
			PPI_RSC_MULTI | (i == 0 ? PPI_RSC_FIRST : 0) | (i == 3 ? PPI_RSC_LAST : 0);

		assert_true(heard[i].has[15]);
		assert_int_equal(heard[i].ppis[15], PPI_RSC_VERSION | flags << 8);
		assert_int_equal(heard[i].has[PPI_CHECKSUM], i == 0);
		assert_memory_equal(heard[i].bytes, frame + at, heard[i].length);
		at += heard[i].length;
	}
	assert_int_equal(at, sizeof(frame));
	complete(0, id);
}

static void test_filter(void **state)
{
	static const uint8_t to[][6] = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
					{1, 0, 0x5e, 0, 0, 1},
					{0, 0x15, 0x5d, 1, 2, 3}};
	struct heard heard[4];
	uint8_t frame[60];
	uint32_t i;
	uint64_t id;

	(void)state;
	set_filter(NDIS_FILTER_DIRECTED);
	for (i = 0; i < 3; i++) {
		make_frame(frame, sizeof(frame), i);
		memcpy(frame, to[i], 6);
		give_frame(0, (struct port_slot){0}, frame, sizeof(frame));
	}
	show_frames(0);
	assert_int_equal(hear(0, heard, 4, &id), 1);
	assert_memory_equal(heard[0].bytes, mac, 6);
	complete(0, id);
	set_filter(NDIS_FILTER_PROMISCUOUS);
	assert_int_equal(port.memory->takes, PORT_HEARS | PORT_TAKES_ALL);
	set_filter(0);
	assert_int_equal(port.memory->takes, 0);
}

/* ---- tests: the link ---- */

static uint32_t next_indication(void)
{
	struct guest_packet packet;
	struct control control;
	struct rndis_indicate head;

	receive_on(0, &packet);
	take_control(&packet, &control);
	assert_int_equal(control.header.type, RNDIS_INDICATE);
	memcpy(&head, control.body, sizeof(head));
	return head.status;
}

static void test_link(void **state)
{
	uint8_t frame[60];

	(void)state;
	__atomic_store_n(&port.memory->link, 0, __ATOMIC_RELEASE);
	call(0);
	assert_int_equal(next_indication(), RNDIS_STATUS_DISCONNECT);
	__atomic_store_n(&port.memory->link, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&port.memory->speed, 1000, __ATOMIC_RELEASE);
	call(0);
	assert_int_equal(next_indication(), RNDIS_STATUS_LINK_SPEED);
	assert_int_equal(next_indication(), RNDIS_STATUS_CONNECT);
	/* The switch goes, with a frame that it has not answered. */
	make_frame(frame, sizeof(frame), 1);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 30);
	take_frame(0, &wire);
	network_lost(network);
	assert_int_equal(next_indication(), RNDIS_STATUS_DISCONNECT);
	assert_int_equal(finish(0, 30).rndis_complete.status, 1);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 31);
	assert_int_equal(finish(0, 31).rndis_complete.status, 1);
	assert_int_equal(refused(NETWORK_LOST), 1);
}

/* ---- tests: buffers ---- */

static void revoke_buffer(uint32_t type)
{
	struct nvsp_message answer = exchange((struct nvsp_message){.type = type});

	assert_int_equal(answer.type, 0);
}

static bool tear_down(uint32_t handle)
{
	struct vmbus_channel_gpadl_teardown teardown = {
		.header.msgtype = CHANNELMSG_GPADL_TEARDOWN, .child_relid = relid, .gpadl = handle};
	const struct vmbus_channel_gpadl_torndown *answer;

	guest_post(&teardown, sizeof(teardown));
	answer = guest_take(CHANNELMSG_GPADL_TORNDOWN);
	return answer != NULL && answer->gpadl == handle;
}

/* When the revoke is answered the switch has nothing of the buffer any more. */
static void test_revoke(void **state)
{
	struct port_slot slots[PORT_PIECES_MAX];
	uint8_t frame[60], value[64];
	uint32_t bytes;

	(void)state;
	assert_false(tear_down(0xe2000)); /* the adapter has it */
	revoke_buffer(NVSP_REVOKE_RECEIVE_BUFFER);
	assert_int_equal(ring_take(&in[0], slots, PORT_PIECES_MAX), 0);
	while (guest_take(CHANNELMSG_GPADL_TORNDOWN) == NULL) {
		guest_wait();
	}
	make_frame(frame, sizeof(frame), 1);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 31);
	assert_int_equal(finish(0, 31).rndis_complete.status, NVSP_STATUS_FAIL);
	assert_int_equal(refused(NETWORK_NOT_RUNNING), 1);
	revoke_buffer(NVSP_REVOKE_SEND_BUFFER);
	assert_true(tear_down(0xe3000));
	revoke_buffer(NVSP_REVOKE_SEND_BUFFER);
	assert_int_equal(give_send_buffer(0xe3001).send_complete.status, 1);
	assert_int_equal(give_receive_buffer(0xe2001).receive_complete.status, 1);
	assert_int_equal(query(OID_802_3_PERMANENT_ADDRESS, value, &bytes), 0);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 32);
	expect_frame(0, frame, sizeof(frame));
	answer_frame(0, &wire);
	finish(0, 32);
}

/* A send that the switch has not answered holds a revoke back. */
static void test_revoke_waits(void **state)
{
	uint8_t frame[60];
	struct guest_packet packet;
	unsigned int i;

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 31);
	take_frame(0, &wire);
	post(0, &(struct nvsp_message){.type = NVSP_REVOKE_SEND_BUFFER}, 40, true);
	for (i = 0; i < 20; i++) {
		switch_turn();
		guest_wait();
		assert_false(guest_receive(&channels[0], &packet));
	}
	answer_frame(0, &wire);
	finish(0, 31);
	finish(0, 40);
}

static void close_primary(void)
{
	if (guest_close(&channels[0])) {
		return;
	}
	while (guest_take(CHANNELMSG_GPADL_TORNDOWN) == NULL) {
		guest_take(CHANNELMSG_RESCIND_CHANNELOFFER);
		switch_turn();
		guest_wait();
	}
}

/* Closed in the middle of everything, and opened again, with frames under way on both sides. */
static void test_close_and_open(void **state)
{
	uint8_t frame[60];
	unsigned int round;

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	for (round = 0; round < 5; round++) {
		send_frame(0, 0, frame, sizeof(frame), NULL, 0, 31);
		give_frame(0, (struct port_slot){0}, frame, sizeof(frame));
		show_frames(0);
		take_frame(0, &wire);
		answer_frame(0, &wire);
		close_primary();
		assert_true(tear_down(0xe2000 + 16 * round));
		assert_true(tear_down(0xe3000 + 16 * round));
		assert_int_equal(guest_open(&channels[0], relid, 0xe1e20 + round, 8, RING, 1), 0);
		assert_int_equal(ask_version(NVSP_VERSION_6), NVSP_STATUS_SUCCESS);
		assert_int_equal(give_receive_buffer(0xe2010 + 16 * round).receive_complete.status,
				 1);
		assert_int_equal(give_send_buffer(0xe3010 + 16 * round).send_complete.status, 1);
		initialize();
		set_filter(0xd);
	}
}

/* What the adapter makes of a receive buffer of so many pages. */
static struct nvsp_section divide(uint32_t page_count)
{
	static uint32_t pages[4096], handle = 0xe2000;
	struct nvsp_message answer;
	uint32_t i;

	assert_true(page_count <= ARRAY_COUNT(pages));
	for (i = 0; i < page_count; i++) {
		pages[i] = RECEIVE + i % RECEIVE_PAGES;
	}
	assert_int_equal(guest_gpadl(relid, ++handle, pages, page_count), 0);
	answer = exchange(
		(struct nvsp_message){.type = NVSP_SEND_RECEIVE_BUFFER, .buffer = {handle, ID}});
	exchange((struct nvsp_message){.type = NVSP_REVOKE_RECEIVE_BUFFER, .buffer = {0, ID}});
	return answer.receive_complete.section;
}

/* Of a large buffer each piece is a page, or two, or up to four if that leaves each queue enough of
 * them. */
static void test_large_buffer(void **state)
{
	struct nvsp_section section;

	(void)state;
	connect();
	ask_version(NVSP_VERSION_61);
	assert_int_equal(divide(1023).piece_bytes, PIECE);
	section = divide(1024);
	assert_int_equal(section.piece_bytes, 4096);
	assert_int_equal(section.piece_count, 1024);
	assert_int_equal(section.end_offset, 1024 * 4096);
	assert_int_equal(divide(2048).piece_bytes, 8192);
	assert_int_equal(divide(3 * 256 * QUEUES - 1).piece_bytes, 8192);
	assert_int_equal(divide(3 * 256 * QUEUES).piece_bytes, 3 * 4096);
	assert_int_equal(divide(4096).piece_bytes, 3 * 4096);
}

/* A guest that knows no other channels has the pieces for one queue. */
static void test_large_buffer_of_one_queue(void **state)
{
	struct nvsp_section section;

	(void)state;
	connect();
	ask_version(NVSP_VERSION_4);
	assert_int_equal(divide(4095).piece_bytes, 3 * 4096);
	section = divide(4096);
	assert_int_equal(section.piece_bytes, 4 * 4096);
	assert_int_equal(section.piece_count, 1024);
}

static void test_jumbo(void **state)
{
	static uint8_t frame[9014];
	struct nvsp_message answer;
	struct port_slot slots[PORT_PIECES_MAX];
	uint32_t number, bytes;
	int count, i;

	(void)state;
	connect();
	ask_version(NVSP_VERSION_61);
	exchange((struct nvsp_message){.type = NVSP_SEND_NDIS_CONFIG, .config = {9014, 0, 0}});
	answer = give_receive_buffer(0xe2000);
	assert_true(answer.receive_complete.section.piece_bytes >= 256 + 9014 + 36);
	initialize();
	assert_int_equal(query(OID_GEN_MAXIMUM_FRAME_SIZE, &number, &bytes), 0);
	assert_int_equal(number, 9000);
	set_filter(0xd);
	assert_int_equal(port.memory->max_bytes, 9014);
	while ((count = ring_take(&in[0], slots, PORT_PIECES_MAX)) == 0) {
		guest_wait();
	}
	for (i = 0, bytes = 0; i < count; i++) {
		bytes += slots[i].bytes;
	}
	assert_true(bytes >= sizeof(frame));
	/* It hears no more, and the switch may keep this one a little. */
	ring_untake(&in[0], (uint32_t)count);
}

/* ---- tests: sub-channels ---- */

static void open_sub_channels(uint32_t count)
{
	const struct vmbus_channel_offer_channel *offer;
	struct nvsp_message answer;
	uint32_t relids[QUEUES] = {0}, index, i;

	answer = exchange((struct nvsp_message){.type = NVSP_SUBCHANNEL,
						.sub_channel = {NVSP_SUBCHANNEL_ALLOCATE, count}});
	assert_int_equal(answer.type, NVSP_SUBCHANNEL);
	assert_int_equal(answer.sub_channel.operation, NVSP_STATUS_SUCCESS);
	assert_int_equal(answer.sub_channel.count, count);
	for (i = 1; i <= count; i++) {
		while ((offer = guest_take(CHANNELMSG_OFFERCHANNEL)) == NULL) {
			guest_wait();
		}
		index = offer->offer.sub_channel_index;
		assert_true(index >= 1 && index <= count && relids[index] == 0);
		relids[index] = offer->child_relid;
	}
	for (i = 1; i <= count; i++) {
		assert_int_equal(
			guest_open(&channels[i], relids[i], 0xe1f00 + i, 8, RING + 20 * i, i), 0);
	}
}

static void test_sub_channels(void **state)
{
	struct {
		struct ndis_rss_parameters head;
		uint32_t table[128];
		uint8_t key[40];
	} rss = {.head = {.header = {NDIS_TYPE_RSS_PARAMETERS, 2, 28},
			  .hash_information =
				  NDIS_HASH_TOEPLITZ | NDIS_HASH_IPV4 | NDIS_HASH_TCP_IPV6,
			  .table_bytes = 512,
			  .table_offset = 28,
			  .key_bytes = 40,
			  .key_offset = 540}};
	struct guest_packet packet;
	struct heard heard[1];
	uint32_t table[19], i;
	uint8_t frame[60];
	uint64_t id;

	(void)state;
	assert_int_equal(
		exchange((struct nvsp_message){.type = NVSP_SUBCHANNEL,
					       .sub_channel = {NVSP_SUBCHANNEL_ALLOCATE, QUEUES}})
			.sub_channel.operation,
		NVSP_STATUS_FAIL);
	open_sub_channels(QUEUES - 1);
	memcpy(table, receive_on(0, &packet), sizeof(table));
	assert_int_equal(packet.descriptor.type, VM_PKT_DATA_INBAND);
	assert_int_equal(table[0], NVSP_SEND_INDIRECTION_TABLE);
	assert_int_equal(table[1], 16);
	for (i = 0; i < 16; i++) {
		assert_int_equal(table[(table[2] / 4) + i], i % QUEUES);
	}
	for (i = 0; i < 128; i++) {
		rss.table[i] = (i / 2) % QUEUES;
		rss.key[i % 40] = (uint8_t)(3 * i);
	}
	assert_int_equal(set(OID_GEN_RECEIVE_SCALE_PARAMETERS, &rss, sizeof(rss)), 0);
	for (i = 0; i < 128; i++) {
		assert_int_equal(port.memory->steer[i], (i / 2) % QUEUES);
	}
	assert_int_equal(port.memory->hash_types, PORT_HASH_IP4 | PORT_HASH_TCP6);
	assert_memory_equal(port.memory->hash_key, rss.key, PORT_HASH_KEY);
	for (i = 0; i < QUEUES; i++) {
		make_frame(frame, sizeof(frame), i);
		send_frame(i, i, frame, sizeof(frame), NULL, 0, 60 + i);
		expect_frame(i, frame, sizeof(frame));
		answer_frame(i, &wire);
		finish(i, 60 + i);
		give_frame(i, (struct port_slot){0}, frame, sizeof(frame));
		show_frames(i);
		assert_int_equal(hear(i, heard, 1, &id), 1);
		assert_memory_equal(heard[0].bytes, frame, sizeof(frame));
		complete(i, id);
	}
	/* Off: one queue, and no hash. */
	rss.head.flags = NDIS_RSS_DISABLE;
	assert_int_equal(set(OID_GEN_RECEIVE_SCALE_PARAMETERS, &rss, sizeof(rss)), 0);
	assert_int_equal(port.memory->hash_types, 0);
	/* Nothing but frames is for them. */
	post(2, &(struct nvsp_message){.type = NVSP_INIT, .init = {2, 2}}, 4, true);
	finish(2, 4);
	/* Buffers are given back by all of them. */
	revoke_buffer(NVSP_REVOKE_RECEIVE_BUFFER);
	close_primary();
	assert_int_equal(port.memory->takes, 0);
}

/* One goes by itself: the switch is told not to use its queue. */
static void test_sub_channel_closes(void **state)
{
	uint32_t i;

	(void)state;
	open_sub_channels(1);
	{
		struct guest_packet packet;

		receive_on(0, &packet); /* the table */
	}
	if (!guest_close(&channels[1])) {
		while (guest_take(CHANNELMSG_GPADL_TORNDOWN) == NULL) {
			switch_turn();
			guest_wait();
		}
	}
	for (i = 0; i < PORT_STEER; i++) {
		assert_int_equal(port.memory->steer[i], 0);
	}
	/* The primary hears again. */
	while (!(__atomic_load_n(&port.memory->takes, __ATOMIC_ACQUIRE) & PORT_HEARS)) {
		guest_wait();
	}
}

/* ---- tests: pause ---- */

static void *pause_thread(void *argument)
{
	bool *done = argument;

	vmbus_pause(guest.bus);
	__atomic_store_n(done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* The switch goes on meanwhile. */
static void await_pause(pthread_t thread, const bool *done)
{
	while (!__atomic_load_n(done, __ATOMIC_ACQUIRE)) {
		switch_turn();
		usleep(100);
	}
	pthread_join(thread, NULL);
}

static void test_pause(void **state)
{
	struct port_slot slots[PORT_PIECES_MAX];
	struct heard heard[4];
	uint8_t frame[60];
	pthread_t thread;
	bool done = false;
	uint64_t id;

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 31);
	take_frame(0, &wire);
	pthread_create(&thread, NULL, pause_thread, &done);
	while (__atomic_load_n(&port.memory->takes, __ATOMIC_ACQUIRE) & PORT_HEARS) {
		usleep(100);
	}
	answer_frame(0, &wire);
	await_pause(thread, &done);
	assert_int_equal(ring_take(&in[0], slots, PORT_PIECES_MAX), 0);
	send_frame(0, 1, frame, sizeof(frame), NULL, 0, 32);
	vmbus_resume(guest.bus);
	finish(0, 31);
	expect_frame(0, frame, sizeof(frame));
	answer_frame(0, &wire);
	finish(0, 32);
	give_frame(0, (struct port_slot){0}, frame, sizeof(frame));
	show_frames(0);
	assert_int_equal(hear(0, heard, 4, &id), 1);
	complete(0, id);
}

/* ---- tests: guests that break the rules ---- */

struct bad {
	const char *what;
	enum network_refusal reason;
	uint32_t status;
	void (*make)(uint8_t *message, uint32_t *bytes);
};

static struct rndis_packet *packet_of(uint8_t *message)
{
	return (struct rndis_packet *)(void *)(message + 8);
}

static void bad_type(uint8_t *message, uint32_t *bytes)
{
	(void)bytes;
	message[0] = 9;
}

static void bad_length(uint8_t *message, uint32_t *bytes)
{
	(void)bytes;
	message[4] = 43;
	message[5] = 0;
}

static void too_little(uint8_t *message, uint32_t *bytes)
{
	(void)message;
	*bytes = 40;
}

static void data_outside(uint8_t *message, uint32_t *bytes)
{
	(void)bytes;
	packet_of(message)->data_bytes = 5000;
}

static void data_far_outside(uint8_t *message, uint32_t *bytes)
{
	(void)bytes;
	packet_of(message)->data_offset = UINT32_MAX;
}

static void ppis_outside(uint8_t *message, uint32_t *bytes)
{
	(void)bytes;
	packet_of(message)->ppi_bytes = 400;
}

static void ppi_of_nothing(uint8_t *message, uint32_t *bytes)
{
	(void)bytes;
	message[44] = 0;
}

static void ppi_too_long(uint8_t *message, uint32_t *bytes)
{
	(void)bytes;
	message[44] = 17;
}

static void short_frame(uint8_t *message, uint32_t *bytes)
{
	(void)bytes;
	packet_of(message)->data_bytes = 13;
}

static void csum_outside(uint8_t *message, uint32_t *bytes)
{
	uint32_t value = PPI_TX_IPV4 | PPI_TX_TCP | 480u << 16;

	(void)bytes;
	memcpy(message + 56, &value, 4);
}

static void lso_of_version_1(uint8_t *message, uint32_t *bytes)
{
	uint32_t value = 1000 | 34u << 20;

	(void)bytes;
	message[48] = PPI_LSO;
	memcpy(message + 56, &value, 4);
}

static void lso_elsewhere(uint8_t *message, uint32_t *bytes)
{
	uint32_t value = 1000 | 900u << 20 | PPI_LSO_V2;

	(void)bytes;
	message[48] = PPI_LSO;
	memcpy(message + 56, &value, 4);
}

/* clang-format off */
static const struct bad bads[] = {
	{"type",            NETWORK_BAD_RNDIS, 5, bad_type},
	{"length",          NETWORK_BAD_RNDIS, 5, bad_length},
	{"too little",      NETWORK_BAD_RNDIS, 5, too_little},
	{"data outside",    NETWORK_BAD_RNDIS, 5, data_outside},
	{"data far",        NETWORK_BAD_RNDIS, 5, data_far_outside},
	{"PPIs outside",    NETWORK_BAD_RNDIS, 5, ppis_outside},
	{"PPI of nothing",  NETWORK_BAD_RNDIS, 5, ppi_of_nothing},
	{"PPI too long",    NETWORK_BAD_RNDIS, 5, ppi_too_long},
	{"short frame",     NETWORK_BAD_FRAME, 5, short_frame},
	{"checksum",        NETWORK_BAD_PPI,   5, csum_outside},
	{"LSO version 1",   NETWORK_BAD_PPI,   5, lso_of_version_1},
	{"LSO elsewhere",   NETWORK_BAD_PPI,   5, lso_elsewhere},
};
/* clang-format on */

/* Each is refused as a whole, with what came before it; the channel goes on. */
static void test_bad_frames(void **state)
{
	struct option option = {PPI_CHECKSUM, PPI_TX_IPV4 | PPI_TX_TCP | 34u << 16};
	uint8_t frame[490], message[2048];
	struct port_slot slots[PORT_PIECES_MAX];
	unsigned int i;

	(void)state;
	make_tcp(frame, sizeof(frame), false);
	for (i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		uint32_t first = make_message(message, frame, sizeof(frame), NULL, 0);
		uint32_t bytes = make_message(message + first, frame, sizeof(frame), &option, 1);
		uint64_t before = refused(bads[i].reason);

		bads[i].make(message + first, &bytes);
		at_buffer(send_pages, 0, NULL, message, first + bytes);
		post_section(0, 0, first + bytes, 80);
		assert_int_equal(finish(0, 80).rndis_complete.status, bads[i].status);
		assert_int_equal(refused(bads[i].reason), before + 1);
		assert_int_equal(ring_take(&out[0], slots, PORT_PIECES_MAX), 0);
	}
	send_frame(0, 0, frame, sizeof(frame), &option, 1, 81);
	expect_frame(0, frame, sizeof(frame));
	answer_frame(0, &wire);
	finish(0, 81);
}

static void test_bad_places(void **state)
{
	struct list list = {0}, many = {0};
	unsigned int i;

	(void)state;
	post_section(0, SEND_PAGES * 4096 / SECTION, 100, 1);
	assert_int_equal(finish(0, 1).rndis_complete.status, NVSP_STATUS_FAIL);
	post_section(0, 0, SECTION + 1, 2);
	assert_int_equal(finish(0, 2).rndis_complete.status, NVSP_STATUS_FAIL);
	post_section(0, 0xfffffffe, 100, 3);
	assert_int_equal(finish(0, 3).rndis_complete.status, NVSP_STATUS_FAIL);
	add_range(&list, DATA, 0, 100);
	add_range(&list, GUEST_PAGES, 0, 100);
	post_ranges(0, NVSP_CHANNEL_DATA, NVSP_NO_SECTION, 0, &list, 4);
	assert_int_equal(finish(0, 4).rndis_complete.status, NVSP_STATUS_FAIL);
	for (i = 0; i < 41; i++) {
		add_range(&many, DATA, 0, 100);
	}
	post_ranges(0, NVSP_CHANNEL_DATA, NVSP_NO_SECTION, 0, &many, 5);
	assert_int_equal(finish(0, 5).rndis_complete.status, NVSP_STATUS_FAIL);
	assert_int_equal(refused(NETWORK_BAD_MEMORY), 5);
	post_section(0, 0, 0, 6);
	assert_int_equal(finish(0, 6).rndis_complete.status, NVSP_STATUS_INVALID_RNDIS_PACKET);
}

static void test_bad_messages(void **state)
{
	struct nvsp_message message = {.type = NVSP_SEND_RNDIS_PACKET};
	uint64_t before = refused(NETWORK_BAD_NVSP);

	(void)state;
	/* Too short; unknown; of a kind that is not the guest's; a second buffer. */
	assert_true(guest_send(&channels[0], VM_PKT_DATA_INBAND, 1, 1, NULL, 0, &message, 8));
	finish(0, 1);
	assert_true(guest_send(&channels[0], VM_PKT_DATA_INBAND, 2, 1, NULL, 0, &message, 0));
	finish(0, 2);
	exchange((struct nvsp_message){.type = 4711});
	assert_true(guest_send(&channels[0], VM_PKT_CANCEL_REQUEST, 3, 1, NULL, 0, &message, 16));
	finish(0, 3);
	assert_int_equal(exchange((struct nvsp_message){.type = NVSP_SEND_RECEIVE_BUFFER,
							.buffer = {0xe2000, ID}})
				 .receive_complete.status,
			 NVSP_STATUS_FAIL);
	assert_int_equal(ask_version(NVSP_VERSION_5), NVSP_STATUS_FAIL);
	assert_int_equal(refused(NETWORK_BAD_NVSP), before + 6);
}

/* Packets that are none: their channel goes on. */
static void test_malformed_packets(void **state)
{
	static const uint8_t bytes[16];
	static const uint64_t list[] = {2ull << 32, 100, 1,
					100}; /* a second range without its page */
	static const struct {
		uint16_t type;
		uint32_t list_bytes, bytes;
	} packets[] = {
		{VM_PKT_DATA_USING_GPA_DIRECT, sizeof(list), 16},
		{VM_PKT_DATA_USING_XFER_PAGES, 8, 16},
		{3, 0, 16},
		{0xffff, 0, 16},
	};
	uint64_t before = refused(NETWORK_BAD_MEMORY);
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		assert_true(guest_send(&channels[0], packets[i].type, i, 1, list,
				       packets[i].list_bytes, bytes, packets[i].bytes));
		assert_int_equal(finish(0, i).rndis_complete.status, NVSP_STATUS_FAIL);
	}
	assert_int_equal(refused(NETWORK_BAD_MEMORY), before + i);
	/* One that wants no answer gets none. */
	assert_true(guest_send(&channels[0], 3, 8, 0, NULL, 0, bytes, 16));
	exchange((struct nvsp_message){.type = 4711});
	assert_int_equal(refused(NETWORK_BAD_MEMORY), before + i + 1);
}

/* Replies that nobody completes are bounded. */
static void test_replies_not_completed(void **state)
{
	struct rndis_header header = {RNDIS_KEEPALIVE, 12};
	struct list list = {0};
	unsigned int replies = 0, busy = 0, i;

	(void)state;
	memcpy(guest_page(DATA), &header, 8);
	add_range(&list, DATA, 0, 12);
	for (i = 0; i < 30; i++) {
		bool completed = false;

		post_ranges(0, NVSP_CHANNEL_CONTROL, NVSP_NO_SECTION, 0, &list, 9);
		while (!completed) {
			struct guest_packet packet;
			struct nvsp_message message = {0};

			memcpy(&message, receive_on(0, &packet), 8);
			completed = packet.descriptor.type == VM_PKT_COMP;
			busy += completed && message.rndis_complete.status == NVSP_STATUS_BUSY;
			replies += !completed;
		}
	}
	assert_int_equal(replies, 16);
	assert_int_equal(busy, 14);
	assert_int_equal(refused(NETWORK_NO_PIECE), 14);
}

/* A guest that takes nothing: its completions wait, and come, each once. */
static void test_full_ring(void **state)
{
	uint8_t frame[60];
	unsigned int sent = 0, answered = 0, finished = 0, idle = 0;
	struct guest_packet packet;

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	while (finished < 2000) {
		struct port_slot slots[PORT_PIECES_MAX];
		struct nvsp_message message = {.type = NVSP_SEND_RNDIS_PACKET,
					       .rndis = {NVSP_CHANNEL_DATA, 0, 104}};
		uint8_t bytes[128];
		int count;

		if (sent == 0) {
			make_message(bytes, frame, sizeof(frame), NULL, 0);
			at_buffer(send_pages, 0, NULL, bytes, 104);
		}
		while (sent < 2000 && guest_send(&channels[0], VM_PKT_DATA_INBAND, sent, 1, NULL, 0,
						 &message, 16)) {
			sent++;
		}
		while ((count = ring_take(&out[0], slots, PORT_PIECES_MAX)) > 0) {
			ring_answer(&out[0], NULL, (uint32_t)count);
			answered++;
			idle = 0;
		}
		if (ring_show(&out[0])) {
			call(0);
		}
		guest_wait();
		/* Only once nothing moves any more the guest takes what is there. */
		if (++idle < 5) {
			continue;
		}
		while (guest_receive(&channels[0], &packet)) {
			assert_int_equal(packet.descriptor.type, VM_PKT_COMP);
			assert_int_equal(packet.descriptor.trans_id, finished);
			finished++;
		}
	}
	assert_int_equal(answered, 2000);
}

/* What breaks the ring closes its channel, and opening it again works. */
static void test_broken_ring(void **state)
{
	(void)state;
	__atomic_store_n(&channels[0].out.control->write_index, 3, __ATOMIC_SEQ_CST);
	{
		uint64_t one = 1;

		assert_int_equal(write(guest.events[relid], &one, sizeof(one)), sizeof(one));
	}
	while (__atomic_load_n(&port.memory->takes, __ATOMIC_ACQUIRE) & PORT_HEARS) {
		guest_wait();
	}
	close_primary();
	assert_true(tear_down(0xe2000));
	assert_true(tear_down(0xe3000));
	assert_int_equal(guest_open(&channels[0], relid, 0xe1e20, 8, RING, 1), 0);
	assert_int_equal(ask_version(NVSP_VERSION_61), NVSP_STATUS_SUCCESS);
}

/* The switch says what cannot be: it is as if it were gone. */
static void test_mad_switch(void **state)
{
	(void)state;
	__atomic_store_n(&out[0].control->done, 17, __ATOMIC_RELEASE);
	call(0);
	assert_int_equal(next_indication(), RNDIS_STATUS_DISCONNECT);
}

/* ---- tests: the switch comes back, adapters go ---- */

/* Another switch, in place of the one that was lost; nothing may touch that one's port any more. */
static void connect_again(struct netport *other)
{
	make_port(other);
	assert_int_equal(network_connect(network, other), 0);
	free_port();
	port = *other;
}

static void both_ways(unsigned int queue, uint32_t seed)
{
	struct heard heard[4];
	uint8_t frame[200];
	uint64_t id;

	make_frame(frame, sizeof(frame), seed);
	send_frame(queue, queue, frame, sizeof(frame), NULL, 0, 70);
	expect_frame(queue, frame, sizeof(frame));
	answer_frame(queue, &wire);
	finish(queue, 70);
	give_frame(queue, (struct port_slot){0}, frame, sizeof(frame));
	show_frames(queue);
	assert_int_equal(hear(queue, heard, 4, &id), 1);
	assert_int_equal(heard[0].length, sizeof(frame));
	assert_memory_equal(heard[0].bytes, frame, sizeof(frame));
	complete(queue, id);
}

/* It goes with a frame that it has not answered, and in the middle of one to the guest. */
static void test_switch_comes_back(void **state)
{
	static struct netport other[3];
	struct port_slot slots[PORT_PIECES_MAX], half = {.flags = PORT_CONTINUES, .bytes = 1500};
	uint8_t frame[60];
	unsigned int round;
	int count;

	(void)state;
	assert_int_equal(network_connect(network, &port), -EISCONN);
	make_frame(frame, sizeof(frame), 1);
	for (round = 0; round < 3; round++) {
		send_frame(0, 0, frame, sizeof(frame), NULL, 0, 30);
		take_frame(0, &wire);
		while ((count = ring_take(&in[0], slots, PORT_PIECES_MAX)) == 0) {
			guest_wait();
		}
		ring_answer(&in[0], &half, (uint32_t)count);
		show_frames(0);
		network_lost(network);
		assert_int_equal(next_indication(), RNDIS_STATUS_DISCONNECT);
		assert_int_equal(finish(0, 30).rndis_complete.status, 1);
		connect_again(&other[round]);
		assert_int_equal(next_indication(), RNDIS_STATUS_CONNECT);
		assert_int_equal(port.memory->takes, PORT_HEARS);
		both_ways(0, round);
	}
}

static void test_another_port_must_fit(void **state)
{
	struct netport other = port;

	(void)state;
	network_lost(network);
	other.mac[5]++;
	assert_int_equal(network_connect(network, &other), -EINVAL);
	other = port;
	other.queue_count--;
	assert_int_equal(network_connect(network, &other), -EINVAL);
}

/* No driver is there; then one comes. */
static void test_switch_comes_back_unseen(void **state)
{
	static struct netport other;

	(void)state;
	network_lost(network);
	connect_again(&other);
	shake_hands(NVSP_VERSION_61);
	set_filter(0xd);
	both_ways(0, 5);
}

static void *connect_thread(void *argument)
{
	assert_int_equal(network_connect(network, argument), 0);
	return NULL;
}

/* While the primary channel closes: whoever is the last one brings the change about. */
static void test_switch_comes_back_at_a_close(void **state)
{
	static struct netport other[8];
	pthread_t thread;
	unsigned int round;

	(void)state;
	for (round = 0; round < 8; round++) {
		network_lost(network);
		make_port(&other[round]);
		pthread_create(&thread, NULL, connect_thread, &other[round]);
		usleep(round * 50);
		switch_port = &other[round];
		close_primary();
		pthread_join(thread, NULL);
		switch_port = &port;
		free_port();
		port = other[round];
		assert_true(tear_down(0xe2000 + 16 * round));
		assert_true(tear_down(0xe3000 + 16 * round));
		assert_int_equal(guest_open(&channels[0], relid, 0xe1e20 + round, 8, RING, 1), 0);
		assert_int_equal(ask_version(NVSP_VERSION_6), NVSP_STATUS_SUCCESS);
		assert_int_equal(give_receive_buffer(0xe2010 + 16 * round).receive_complete.status,
				 1);
		assert_int_equal(give_send_buffer(0xe3010 + 16 * round).send_complete.status, 1);
		initialize();
		set_filter(0xd);
		both_ways(0, round);
	}
}

static void test_sub_channels_after_the_switch(void **state)
{
	static struct netport other;
	struct guest_packet packet;
	unsigned int i;

	(void)state;
	open_sub_channels(QUEUES - 1);
	receive_on(0, &packet); /* the table */
	network_lost(network);
	assert_int_equal(next_indication(), RNDIS_STATUS_DISCONNECT);
	connect_again(&other);
	assert_int_equal(next_indication(), RNDIS_STATUS_CONNECT);
	for (i = 0; i < QUEUES; i++) {
		both_ways(i, i);
	}
}

/* The guest asks for sub-channels meanwhile, and never lets go of the one that it had. */
static void test_removal(void **state)
{
	struct guest_packet packet;

	(void)state;
	network_remove(network);
	post(0, &(struct nvsp_message){.type = NVSP_SUBCHANNEL, .sub_channel = {1, 3}}, 5, true);
	while (!guest_receive(&channels[0], &packet)) {
		usleep(100);
	}
	assert_false(__atomic_load_n(&ended, __ATOMIC_ACQUIRE));
	serve_until_ended();
	assert_null(guest_take(CHANNELMSG_OFFERCHANNEL));
}

/* What the guest has begun comes to its end, as long as the guest has not closed the channel. */
static void test_withdrawal(void **state)
{
	uint8_t frame[60];

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 30);
	network_disconnect(network);
	assert_int_equal(next_indication(), RNDIS_STATUS_DISCONNECT);
	assert_int_equal(port.memory->takes, 0);
	network_withdraw(network);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	send_frame(0, 1, frame, sizeof(frame), NULL, 0, 31);
	expect_frame(0, frame, sizeof(frame));
	answer_frame(0, &wire);
	assert_int_equal(finish(0, 30).rndis_complete.status, NVSP_STATUS_SUCCESS);
	expect_frame(0, frame, sizeof(frame));
	answer_frame(0, &wire);
	assert_int_equal(finish(0, 31).rndis_complete.status, NVSP_STATUS_SUCCESS);
	assert_false(__atomic_load_n(&ended, __ATOMIC_ACQUIRE));
	close_primary();
	serve_until_ended();
}

/* The guest says nothing: at last it is cut off. */
static void test_withdrawal_unheard(void **state)
{
	unsigned int i;

	(void)state;
	network_withdraw(network);
	for (i = 0; i < 20; i++) {
		switch_turn();
		guest_wait();
	}
	assert_false(__atomic_load_n(&ended, __ATOMIC_ACQUIRE));
	network_remove(network);
	serve_until_ended();
}

/* The switch does not answer any more. */
static void test_removal_without_a_switch(void **state)
{
	uint8_t frame[60];
	unsigned int i;

	(void)state;
	make_frame(frame, sizeof(frame), 1);
	send_frame(0, 0, frame, sizeof(frame), NULL, 0, 30);
	network_remove(network);
	for (i = 0; i < 20; i++) {
		guest_wait();
	}
	assert_false(ended);
	network_lost(network);
	while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
		guest_wait();
	}
}

static void test_removal_without_a_driver(void **state)
{
	(void)state;
	network_remove(network);
	assert_true(ended);
	ended = false;
	network_remove(network);
	assert_false(ended); /* it is said once */
	ended = true;
}

/* ---- tests: another machine takes over ---- */

static uint8_t *saved;
static size_t saved_size;
static bool is_loaded; /* if the rest was not, the machine is of no use */

static void stand_still(void)
{
	pthread_t thread;
	bool done = false;

	pthread_create(&thread, NULL, pause_thread, &done);
	await_pause(thread, &done);
}

static void save_device(struct state_writer *writer)
{
	network_save(network, writer);
}

static uint8_t *save(void)
{
	return guest_save(save_device, &saved_size);
}

static void end_machine(void)
{
	network_destroy(&network);
	guest_restart();
	free_port();
}

static void begin_machine(void)
{
	struct network_config config = {.instance = {1},
					.name = "Network Adapter",
					.queue_count = QUEUES,
					.ended = on_ended,
					.context = &ended};

	make_port(&port);
	ended = false;
	assert_int_equal(network_create(guest.bus, &config, &port, &network), 0);
	vmbus_pause(guest.bus);
}

static int load(const uint8_t *from, size_t size, struct state_fault *fault)
{
	struct state_reader all = state_reader(from, size, fault);
	int ret = network_load(network, &all);

	is_loaded = ret == 0;
	return ret != 0 ? ret : vmbus_load(guest.bus, &all);
}

static uint32_t network_part_bytes(void)
{
	uint32_t bytes;

	memcpy(&bytes, saved + 12, sizeof(bytes));
	return STATE_HEADER_BYTES + bytes;
}

static void migrate(void)
{
	struct state_fault fault;
	uint8_t *again;

	stand_still();
	saved = save();
	end_machine();
	begin_machine();
	assert_int_equal(load(saved, saved_size, &fault), 0);
	again = save();
	assert_memory_equal(saved, again, saved_size);
	free(saved);
	free(again);
	vmbus_resume(guest.bus);
}

/* With four channels, and packets that the guest has not completed: they are completed
 * afterwards. */
static void test_migrate(void **state)
{
	static uint8_t frame[6000];
	struct ndis_offload_parameters offload = {.header = {NDIS_TYPE_OFFLOAD_PARAMETERS, 3, 28},
						  .rsc4 = 2};
	struct guest_packet packet;
	struct heard heard[8];
	uint64_t first, second;
	uint32_t number, bytes;
	unsigned int i;

	(void)state;
	open_sub_channels(QUEUES - 1);
	receive_on(0, &packet); /* the table */
	assert_int_equal(set(OID_TCP_OFFLOAD_PARAMETERS, &offload, 28), 0);
	assert_int_equal(next_indication(), RNDIS_STATUS_TASK_OFFLOAD);
	make_tcp(frame, sizeof(frame), false);
	give_frame(0, (struct port_slot){.flags = PORT_CSUM_GOOD}, frame, sizeof(frame));
	show_frames(0);
	assert_int_equal(hear(0, heard, 8, &first), 4);
	give_frame(2, (struct port_slot){0}, frame, 60);
	show_frames(2);
	assert_int_equal(hear(2, heard, 8, &second), 1);
	migrate();
	complete(0, first);
	complete(2, second);
	assert_int_equal(next_indication(), RNDIS_STATUS_NETWORK_CHANGE);
	for (i = 0; i < QUEUES; i++) {
		both_ways(i, i);
	}
	assert_int_equal(query(OID_GEN_CURRENT_PACKET_FILTER, &number, &bytes), 0);
	assert_int_equal(number, 0xd);
	assert_int_equal(port.memory->takes, PORT_HEARS | PORT_TAKES_CSUM | PORT_TAKES_TCP4);
	assert_int_equal(refused(NETWORK_BAD_COMPLETION), 0);
	complete(0, first);
	exchange((struct nvsp_message){.type = NVSP_SEND_NDIS_VERSION});
	assert_int_equal(refused(NETWORK_BAD_COMPLETION), 1);
	migrate();
	assert_int_equal(next_indication(), RNDIS_STATUS_NETWORK_CHANGE);
	both_ways(3, 9);
}

/* At each step of the handshake. */
static void test_migrate_early(void **state)
{
	(void)state;
	stand_still();
	saved = save();
	end_machine();
	begin_machine();
	{
		struct state_fault fault;

		assert_int_equal(load(saved, saved_size, &fault), 0);
	}
	free(saved);
	vmbus_resume(guest.bus);
	connect();
	migrate();
	assert_int_equal(ask_version(NVSP_VERSION_61), NVSP_STATUS_SUCCESS);
	migrate();
	assert_int_equal(give_receive_buffer(0xe2000).receive_complete.status, 1);
	migrate();
	assert_int_equal(give_send_buffer(0xe3000).send_complete.status, 1);
	migrate();
	initialize();
	migrate();
	assert_int_equal(next_indication(), RNDIS_STATUS_NETWORK_CHANGE);
	set_filter(0xd);
	both_ways(0, 1);
	revoke_buffer(NVSP_REVOKE_RECEIVE_BUFFER);
	assert_true(tear_down(0xe2000));
	migrate();
	assert_int_equal(give_receive_buffer(0xe2001).receive_complete.status, 1);
	assert_int_equal(next_indication(), RNDIS_STATUS_NETWORK_CHANGE);
	both_ways(0, 2);
}

/* The switch takes and answers what channel 0 has for it. */
static bool answer_all(void)
{
	struct port_slot slots[PORT_PIECES_MAX];
	bool any = false;
	int count;

	while ((count = ring_take(&out[0], slots, PORT_PIECES_MAX)) > 0) {
		ring_answer(&out[0], NULL, (uint32_t)count);
		any = true;
	}
	if (ring_show(&out[0])) {
		call(0);
	}
	return any;
}

/* Sends frames until their completions have no room in the guest's ring, nor the frames in the
 * host's. How many; they are 0, 1, ... */
static unsigned int fill_rings(void)
{
	struct nvsp_message message = {.type = NVSP_SEND_RNDIS_PACKET,
				       .rndis = {NVSP_CHANNEL_DATA, 0, 104}};
	unsigned int sent = 0, quiet = 0;
	uint8_t frame[60], bytes[128];

	make_frame(frame, sizeof(frame), 1);
	make_message(bytes, frame, sizeof(frame), NULL, 0);
	at_buffer(send_pages, 0, NULL, bytes, 104);
	while (quiet < 50) {
		quiet++;
		while (guest_send(&channels[0], VM_PKT_DATA_INBAND, sent, 1, NULL, 0, &message,
				  16)) {
			sent++;
			quiet = 0;
		}
		quiet = answer_all() ? 0 : quiet;
		guest_wait();
	}
	return sent;
}

/* Completions that have no room in the guest's ring come afterwards, each once. */
static void test_migrate_full(void **state)
{
	unsigned int sent = fill_rings(), finished = 0;
	struct guest_packet packet;

	(void)state;
	migrate();
	while (finished < sent) {
		switch_turn();
		answer_all();
		guest_wait();
		while (guest_receive(&channels[0], &packet)) {
			if (packet.descriptor.type == VM_PKT_COMP) {
				assert_int_equal(packet.descriptor.trans_id, finished);
				finished++;
			}
		}
	}
}

/* Indications that had to wait for room, one behind the other, are packets of their own once they
 * have been sent. */
static void test_migrate_indications(void **state)
{
	unsigned int sent = fill_rings(), finished = 0, told = 0, i;
	struct guest_packet packet;
	uint64_t ids[2];

	(void)state;
	__atomic_store_n(&port.memory->link, 0, __ATOMIC_RELEASE);
	call(0);
	for (i = 0; i < 50; i++) {
		guest_wait();
	}
	__atomic_store_n(&port.memory->link, 1, __ATOMIC_RELEASE);
	call(0);
	for (i = 0; i < 50; i++) {
		guest_wait();
	}
	while (finished < sent || told < ARRAY_COUNT(ids)) {
		switch_turn();
		answer_all();
		guest_wait();
		while (guest_receive(&channels[0], &packet)) {
			if (packet.descriptor.type == VM_PKT_COMP) {
				finished++;
			} else {
				assert_true(told < ARRAY_COUNT(ids));
				ids[told++] = packet.descriptor.trans_id;
			}
		}
	}
	migrate();
	for (i = 0; i < ARRAY_COUNT(ids); i++) {
		complete(0, ids[i]);
	}
	assert_int_equal(next_indication(), RNDIS_STATUS_NETWORK_CHANGE);
	both_ways(0, 1);
	assert_int_equal(refused(NETWORK_BAD_COMPLETION), 0);
}

/* Whatever stands there: it is refused, or loaded and does no harm. */
static void test_states_that_cannot_be(void **state)
{
	static uint8_t frame[6000];
	struct guest_packet packet;
	struct state_fault fault;
	struct heard heard[8];
	unsigned int loaded = 0;
	uint8_t *bad;
	uint64_t id;
	size_t i;
	int ret;

	(void)state;
	open_sub_channels(1);
	receive_on(0, &packet); /* the table */
	make_tcp(frame, sizeof(frame), false);
	give_frame(0, (struct port_slot){.flags = PORT_CSUM_GOOD}, frame, sizeof(frame));
	show_frames(0);
	assert_int_equal(hear(0, heard, 8, &id), 4);
	stand_still();
	saved = save();
	bad = malloc(saved_size);
	end_machine();
	begin_machine();
	for (i = 0; i < saved_size; i += 7) {
		assert_int_equal(load(saved, i, &fault), -EINVAL);
		assert_non_null(fault.what);
		if (is_loaded) {
			end_machine();
			begin_machine();
		}
	}
	for (i = 0; i < 2 * network_part_bytes(); i++) {
		memcpy(bad, saved, saved_size);
		bad[i / 2] ^= i % 2 ? 1 : 0x80;
		ret = load(bad, saved_size, &fault);
		loaded += ret == 0;
		if (ret == 0) {
			vmbus_resume(guest.bus);
			usleep(200);
			stand_still();
		}
		if (ret == 0 || is_loaded) {
			end_machine();
			begin_machine();
		}
	}
	assert_true(loaded > 10);
	assert_int_equal(load(saved, saved_size, &fault), 0);
	vmbus_resume(guest.bus);
	both_ways(1, 3);
	free(bad);
	free(saved);
}

/* ---- tests: a virtual function ---- */

static void expect_vf(uint32_t allocated, uint32_t serial)
{
	struct guest_packet packet;
	struct nvsp_message message;

	memcpy(&message, receive_on(0, &packet), sizeof(message));
	assert_int_equal(packet.descriptor.type, VM_PKT_DATA_INBAND);
	assert_int_equal(payload_bytes(&packet), NVSP_BYTES_61);
	assert_int_equal(message.type, NVSP_SEND_VF_ASSOCIATION);
	assert_int_equal(message.vf_association.allocated, allocated);
	assert_int_equal(message.vf_association.serial, serial);
}

/* The empty answer comes when the switch knows. */
static uint32_t take_path(uint32_t path)
{
	struct guest_packet answer;

	post(0, &(struct nvsp_message){.type = NVSP_SWITCH_DATA_PATH, .data_path = {path}}, 7,
	     true);
	receive_on(0, &answer);
	assert_int_equal(answer.descriptor.type, VM_PKT_COMP);
	assert_int_equal(answer.descriptor.trans_id, 7);
	assert_int_equal(payload_bytes(&answer), 0);
	return __atomic_load_n(&port.memory->takes, __ATOMIC_ACQUIRE);
}

static bool is_elsewhere(void)
{
	struct network_stats stats;

	network_get_stats(network, &stats);
	return stats.elsewhere;
}

static void shake_hands_for_vf(uint64_t capabilities, uint32_t version)
{
	assert_int_equal(ask_version(version), NVSP_STATUS_SUCCESS);
	message_bytes = version == NVSP_VERSION_61 ? NVSP_BYTES_61 : NVSP_BYTES_60;
	exchange((struct nvsp_message){.type = NVSP_SEND_NDIS_CONFIG,
				       .config = {1514, 0, capabilities}});
	assert_int_equal(give_receive_buffer(0xe2000).receive_complete.status, 1);
	assert_int_equal(give_send_buffer(0xe3000).send_complete.status, 1);
	initialize();
	set_filter(0xd);
}

static void start_with_vf(uint64_t capabilities, uint32_t version)
{
	connect();
	shake_hands_for_vf(capabilities, version);
}

static void test_vf_comes_and_goes(void **state)
{
	(void)state;
	start_with_vf(NVSP_CAPABILITY_SRIOV, NVSP_VERSION_61);
	/* None that it was told of. */
	assert_int_equal(take_path(NVSP_PATH_VF), PORT_HEARS | (port.memory->takes & ~PORT_HEARS));
	assert_int_equal(refused(NETWORK_BAD_NVSP), 1);
	network_associate(network, 3);
	expect_vf(1, 3);
	assert_false(is_elsewhere());
	assert_int_equal(take_path(NVSP_PATH_VF), PORT_ELSEWHERE);
	assert_true(is_elsewhere());
	assert_true(take_path(NVSP_PATH_SYNTHETIC) & PORT_HEARS);
	assert_false(is_elsewhere());
	assert_int_equal(take_path(NVSP_PATH_VF), PORT_ELSEWHERE);
	assert_int_equal(take_path(2), PORT_ELSEWHERE);
	assert_int_equal(refused(NETWORK_BAD_NVSP), 2);
	/* It hears again at once, whatever the guest says of it. */
	network_associate(network, 0);
	assert_true(__atomic_load_n(&port.memory->takes, __ATOMIC_ACQUIRE) & PORT_HEARS);
	expect_vf(0, 3);
	assert_true(take_path(NVSP_PATH_VF) & PORT_HEARS);
	assert_int_equal(refused(NETWORK_BAD_NVSP), 3);
	both_ways(0, 5);
	network_associate(network, 4);
	expect_vf(1, 4);
	/* One in the place of another. */
	network_associate(network, 9);
	expect_vf(0, 4);
	expect_vf(1, 9);
}

/* A guest that begins anew is told anew. */
static void test_vf_of_a_guest_that_begins_anew(void **state)
{
	(void)state;
	start_with_vf(NVSP_CAPABILITY_SRIOV, NVSP_VERSION_61);
	network_associate(network, 3);
	expect_vf(1, 3);
	assert_int_equal(take_path(NVSP_PATH_VF), PORT_ELSEWHERE);
	close_primary();
	assert_int_equal(__atomic_load_n(&port.memory->takes, __ATOMIC_ACQUIRE), 0);
	assert_false(is_elsewhere());
	assert_true(tear_down(0xe2000));
	assert_true(tear_down(0xe3000));
	network_associate(network, 0); /* so that it does not come amid the handshake */
	assert_int_equal(guest_open(&channels[0], relid, 0xe1e20, 8, RING, 1), 0);
	shake_hands_for_vf(NVSP_CAPABILITY_SRIOV, NVSP_VERSION_61);
	network_associate(network, 3);
	expect_vf(1, 3);
	assert_int_equal(take_path(NVSP_PATH_VF), PORT_ELSEWHERE);
}

/* What is no message of its version, or was not asked for, is not sent. */
static void test_no_vf_for_who_does_not_want_it(void **state)
{
	(void)state;
	start_with_vf(0, NVSP_VERSION_61);
	network_associate(network, 3);
	assert_true(take_path(NVSP_PATH_VF) &
		    PORT_HEARS); /* the next that it hears is the answer */
	both_ways(0, 5);
}

static void test_no_vf_for_an_old_guest(void **state)
{
	(void)state;
	start_with_vf(NVSP_CAPABILITY_SRIOV, NVSP_VERSION_2);
	network_associate(network, 3);
	assert_true(take_path(NVSP_PATH_VF) & PORT_HEARS);
}

#define READY(test) cmocka_unit_test_setup_teardown(test, start_ready, stop)
#define NEW(test)   cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NEW(test_versions),
		NEW(test_handshake),
		READY(test_every_oid_that_is_listed),
		READY(test_what_is_set_is_read_back),
		READY(test_keepalive_reset_halt),
		READY(test_sends_in_sections),
		READY(test_completion_waits_for_the_switch),
		READY(test_completion_without_a_signal),
		READY(test_several_frames_in_a_section),
		READY(test_sends_by_reference),
		READY(test_short_header),
		READY(test_section_and_ranges),
		READY(test_segmentation),
		READY(test_segmentation_of_little),
		READY(test_checksums),
		READY(test_tags_and_hashes),
		READY(test_many_frames_in_a_packet),
		READY(test_pieces_come_back),
		READY(test_checksums_in),
		READY(test_coalesced_frame),
		READY(test_filter),
		READY(test_link),
		READY(test_revoke),
		READY(test_revoke_waits),
		READY(test_close_and_open),
		NEW(test_large_buffer),
		NEW(test_large_buffer_of_one_queue),
		NEW(test_jumbo),
		NEW(test_vf_comes_and_goes),
		NEW(test_vf_of_a_guest_that_begins_anew),
		NEW(test_no_vf_for_who_does_not_want_it),
		NEW(test_no_vf_for_an_old_guest),
		READY(test_sub_channels),
		READY(test_sub_channel_closes),
		READY(test_pause),
		READY(test_bad_frames),
		READY(test_bad_places),
		READY(test_bad_messages),
		READY(test_malformed_packets),
		READY(test_replies_not_completed),
		READY(test_full_ring),
		READY(test_broken_ring),
		READY(test_mad_switch),
		READY(test_switch_comes_back),
		READY(test_another_port_must_fit),
		NEW(test_switch_comes_back_unseen),
		READY(test_switch_comes_back_at_a_close),
		READY(test_sub_channels_after_the_switch),
		READY(test_removal),
		READY(test_withdrawal),
		READY(test_withdrawal_unheard),
		READY(test_removal_without_a_switch),
		NEW(test_removal_without_a_driver),
		READY(test_migrate),
		NEW(test_migrate_early),
		READY(test_migrate_full),
		READY(test_migrate_indications),
		READY(test_states_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
