/*
 * Sockets between a guest that speaks as Linux's hv_sock does, and programs. The test's thread is
 * the control thread of VMBus, the guest and all programs; the connections have theirs.
 */
#include "tests/fake/vmbus_guest.h"
#include "hosted/listen.h"
#include "hosted/packet.h"
#include "hosted/say.h"
#include "vsp/socket/relay.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define RING   12u /* pages: six each way, as Linux's */
#define PACKET 8000u

static char path[] = "/tmp/vd-socket-XXXXXX/sock";
static struct sockets *sockets;
static int connector; /* our end of it */
static uint32_t next_gpadl;

/* Of hosted/listen.c: a listener is there, or the test is not. */
void say(const char *format, ...)
{
	fail_msg("%s", format);
}

/* ---- The control thread ---- */

static void serve(void)
{
	guest_wait();
	guest.slot_busy = false;
	vmbus_serve(guest.bus);
}

#define UNTIL(condition) GUEST_UNTIL(serve, condition)

/* ---- The guest ---- */

static const struct vmbus_guid port_guid = HVSOCK_GUID_OF_PORT(0);

static struct vmbus_guid guid_of(uint32_t port)
{
	struct vmbus_guid guid = port_guid;

	guid.data1 = port;
	return guid;
}

/* The next message, which is of this type, when it comes. */
static const void *next_message(uint32_t type)
{
	const void *message = NULL;

	UNTIL(!guest_silent());
	message = guest_take(type);
	assert_non_null(message);
	return message;
}

static void contact(void)
{
	struct vmbus_channel_message_header request = {.msgtype = CHANNELMSG_REQUESTOFFERS};

	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_post(&request, sizeof(request)), 0);
	(void)next_message(CHANNELMSG_ALLOFFERS_DELIVERED);
}

/* The offer of a connection, which it says everything about. */
static uint32_t expect_offer(const struct vmbus_guid *service, bool from_host)
{
	const struct vmbus_channel_offer_channel *offer = next_message(CHANNELMSG_OFFERCHANNEL);
	struct hvsock_offer head;

	memcpy(&head, offer->offer.user_def, sizeof(head));
	assert_memory_equal(&offer->offer.if_type, service, sizeof(*service));
	assert_int_equal(offer->offer.chn_flags, 0x2010);
	assert_int_equal(head.pipe_type, VMBUS_PIPE_TYPE_BYTE);
	assert_int_equal(head.from_host, from_host);
	return offer->child_relid;
}

static void accept_offer(struct guest_channel *channel, uint32_t relid, unsigned int place)
{
	assert_int_equal(guest_open(channel, relid, ++next_gpadl, RING, 2 * RING * place, 0), 0);
}

static void put(struct guest_channel *channel, const void *bytes, uint32_t count)
{
	uint8_t packet[sizeof(struct vmpipe_proto_header) + HVSOCK_MTU];
	struct vmpipe_proto_header header = {HVSOCK_DATA, count};

	memcpy(packet, &header, sizeof(header));
	if (count > 0) {
		memcpy(packet + sizeof(header), bytes, count);
	}
	UNTIL(guest_send(channel, VM_PKT_DATA_INBAND, 0, 0, NULL, 0, packet,
			 (uint32_t)sizeof(header) + count));
}

static bool try_get(struct guest_channel *channel, void *bytes, uint32_t *count)
{
	static struct guest_packet packet;
	struct vmpipe_proto_header header;

	if (!guest_receive(channel, &packet)) {
		return false;
	}
	memcpy(&header, packet.bytes + 16, sizeof(header));
	assert_int_equal(packet.descriptor.type, VM_PKT_DATA_INBAND);
	assert_int_equal(header.pkt_type, HVSOCK_DATA);
	assert_true(header.data_size <= HVSOCK_MTU);
	assert_int_equal((24 + header.data_size + 7) / 8, packet.descriptor.len8);
	memcpy(bytes, packet.bytes + 24, header.data_size);
	*count = header.data_size;
	return true;
}

static void expect_bytes(struct guest_channel *channel, const char *text)
{
	char bytes[HVSOCK_MTU];
	uint32_t count;

	UNTIL(try_get(channel, bytes, &count));
	assert_int_equal(count, strlen(text));
	assert_memory_equal(bytes, text, count);
}

static void expect_fin(struct guest_channel *channel)
{
	expect_bytes(channel, "");
}

/* Then the guest closes and forgets the channel, as Linux does. */
static void expect_rescind(struct guest_channel *channel)
{
	const struct vmbus_channel_relid *rescind = next_message(CHANNELMSG_RESCIND_CHANNELOFFER);
	struct vmbus_channel_relid message = {.header.msgtype = CHANNELMSG_CLOSECHANNEL,
					      .child_relid = channel->relid};

	assert_int_equal(rescind->child_relid, channel->relid);
	assert_int_equal(guest_post(&message, sizeof(message)), 0);
	message.header.msgtype = CHANNELMSG_RELID_RELEASED;
	assert_int_equal(guest_post(&message, sizeof(message)), 0);
}

static unsigned int connections(void)
{
	struct sockets_state state;

	sockets_get_state(sockets, &state);
	return state.connections;
}

/* ---- Programs ---- */

static int program_connect(void)
{
	int fd = connect_at(path, SOCK_STREAM);

	assert_true(fd >= 0);
	return fd;
}

static void tell(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* How many bytes came; 0: the end; -1: none yet. */
static ssize_t hear(int fd, void *bytes, size_t size)
{
	return recv(fd, bytes, size, MSG_DONTWAIT);
}

static bool hears_end(int fd)
{
	char byte;
	ssize_t count = hear(fd, &byte, 1);

	assert_true(count <= 0);
	return count == 0 || errno == ECONNRESET;
}

static void expect_text(int fd, const char *text)
{
	char bytes[64] = {0};
	size_t got = 0;

	UNTIL(got >= strlen(text) || (hear(fd, bytes + got, 1) == 1 && ++got == strlen(text)));
	assert_string_equal(bytes, text);
}

/* Connects to a listener of the guest's. */
static int connect_to_guest(struct guest_channel *channel, uint32_t port, unsigned int place)
{
	struct vmbus_guid service = guid_of(port);
	int fd = program_connect();
	char line[32];

	snprintf(line, sizeof(line), "CONNECT %u\n", port);
	tell(fd, line);
	accept_offer(channel, expect_offer(&service, true), place);
	expect_text(fd, "OK ");
	do {
		UNTIL(hear(fd, line, 1) == 1);
	} while (line[0] != '\n');
	return fd;
}

static void ask_for_program(uint32_t endpoint, const struct vmbus_guid *service)
{
	struct vmbus_channel_tl_connect_request request = {
		.header.msgtype = CHANNELMSG_TL_CONNECT_REQUEST,
		.guest_endpoint_id = guid_of(endpoint),
		.host_service_id = *service,
	};

	assert_int_equal(guest_post(&request, sizeof(request)), 0);
}

static void expect_call(struct sockets_call *call)
{
	UNTIL(recv(connector, call, sizeof(*call), MSG_DONTWAIT) == sizeof(*call));
}

static void reply(uint64_t number, int error, int fd)
{
	const struct sockets_reply answer = {.number = number, .error = error};

	assert_int_equal(packet_send(connector, 0, &answer, sizeof(answer), &fd, fd >= 0 ? 1 : 0),
			 0);
	if (fd >= 0) {
		close(fd);
	}
}

/* The guest connects; our end of the program's socket. */
static int connect_to_program(struct guest_channel *channel, uint32_t endpoint, unsigned int place)
{
	struct vmbus_guid service = guid_of(99);
	struct sockets_call call;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ask_for_program(endpoint, &service);
	expect_call(&call);
	assert_memory_equal(&call.service, &service, sizeof(service));
	reply(call.number, 0, pair[1]);
	accept_offer(channel, expect_offer(&service, false), place);
	return pair[0];
}

static void expect_refusal(uint32_t endpoint)
{
	const struct vmbus_channel_tl_connect_result *result =
		next_message(CHANNELMSG_TL_CONNECT_RESULT);

	assert_int_equal(result->guest_endpoint_id.data1, endpoint);
	assert_int_equal(result->status, VMBUS_STATUS_CONNECTION_REFUSED);
}

/* ---- Before and after ---- */

static void create(void)
{
	struct sockets_config config;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	connector = pair[0];
	config = (struct sockets_config){.listener = listen_at(path, -1, SOCK_STREAM, 4096, ""),
					 .connector = pair[1]};
	assert_int_equal(sockets_create(guest.bus, &config, &sockets), 0);
	assert_int_equal(sockets_start(sockets), 0);
}

static int start(void **state)
{
	char *slash;

	(void)state;
	strcpy(path, "/tmp/vd-socket-XXXXXX/sock");
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_non_null(mkdtemp(path));
	*slash = '/';
	guest_create();
	create();
	contact();
	return 0;
}

static void remove_files(void)
{
	unlink(path);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

static int stop(void **state)
{
	(void)state;
	sockets_stand(sockets, true);
	guest_destroy();
	sockets_destroy(&sockets);
	close(connector);
	remove_files();
	return 0;
}

/* ---- Making connections ---- */

static void a_program_reaches_the_guest(void **state)
{
	struct vmbus_guid service = guid_of(5000);
	struct guest_channel channel;
	int fd = program_connect();

	(void)state;
	/* In pieces, and with more behind it. */
	tell(fd, "CONN");
	serve();
	tell(fd, "ECT 5000\nfirst words");
	accept_offer(&channel, expect_offer(&service, true), 0);
	expect_text(fd, "OK 2147483649\n");
	expect_bytes(&channel, "first words");
	put(&channel, "hello", 5);
	expect_text(fd, "hello");
	tell(fd, "and you");
	expect_bytes(&channel, "and you");
	close(fd);
	expect_fin(&channel);
	put(&channel, NULL, 0);
	expect_rescind(&channel);
	UNTIL(connections() == 0);
}

static void a_service_may_be_any_guid(void **state)
{
	const struct vmbus_guid service = {0x12345678, 0x9abc, 0xdef0, {1, 2, 3, 4, 5, 6, 7, 8}};
	struct vmbus_guid of_port = guid_of(2222222222);
	struct guest_channel channel;
	int fd = program_connect();
	char name[SOCKETS_NAME_MAX];

	(void)state;
	sockets_name_service(&of_port, name);
	assert_string_equal(name, "2222222222");
	sockets_name_service(&service, name);
	assert_string_equal(name, "12345678-9abc-def0-0102-030405060708");
	tell(fd, "CONNECT 12345678-9abc-def0-0102-030405060708\n");
	accept_offer(&channel, expect_offer(&service, true), 0);
	expect_text(fd, "OK ");
	close(fd);
}

static void other_words_are_hung_up(void **state)
{
	static const char *const lines[] = {
		"\n",
		"CONNECT\n",
		"CONNECT \n",
		"CONNECT x\n",
		"CONNECT -1\n",
		"CONNECT 2147483648\n",
		"CONNECT 99999999999999999999\n",
		"connect 22\n",
		"CONNECT 22 \n",
		"CONNECT 12345678-9abc-def0-0102-03040506070\n",
		"CONNECT 22222222222222222222222222222222222222222222222222222222222222222222\n",
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(lines); i++) {
		int fd = program_connect();

		tell(fd, lines[i]);
		UNTIL(hears_end(fd));
		close(fd);
	}
	close(program_connect());
	UNTIL(connections() == 0);
	assert_true(guest_silent());
}

static void a_program_that_gives_up_withdraws_the_offer(void **state)
{
	struct vmbus_guid service = guid_of(5);
	int fd = program_connect();

	(void)state;
	tell(fd, "CONNECT 5\n");
	(void)expect_offer(&service, true);
	close(fd);
	(void)next_message(CHANNELMSG_RESCIND_CHANNELOFFER);
	UNTIL(connections() == 0);
}

static void without_a_guest_programs_are_hung_up(void **state)
{
	struct vmbus_channel_message_header unload = {.msgtype = CHANNELMSG_UNLOAD};
	int fd;

	(void)state;
	assert_int_equal(guest_post(&unload, sizeof(unload)), 0);
	(void)next_message(CHANNELMSG_UNLOAD_RESPONSE);
	fd = program_connect();
	tell(fd, "CONNECT 5\n");
	UNTIL(hears_end(fd));
	close(fd);
	UNTIL(connections() == 0);
}

static void the_guest_reaches_a_program(void **state)
{
	struct guest_channel channel;
	int fd = connect_to_program(&channel, 1234, 0);

	(void)state;
	put(&channel, "hello", 5);
	expect_text(fd, "hello");
	tell(fd, "and you");
	expect_bytes(&channel, "and you");
	/* Half of it ends, the other goes on. */
	put(&channel, NULL, 0);
	UNTIL(hears_end(fd));
	tell(fd, "still here");
	expect_bytes(&channel, "still here");
	shutdown(fd, SHUT_WR);
	expect_fin(&channel);
	expect_rescind(&channel);
	UNTIL(connections() == 0);
	close(fd);
}

static void who_is_not_there_is_refused(void **state)
{
	struct vmbus_guid service = guid_of(99);
	struct sockets_call call, other;

	(void)state;
	ask_for_program(7, &service);
	expect_call(&call);
	reply(call.number, -ENOENT, -1);
	expect_refusal(7);
	/* Two at once, answered in another order, and one that nobody asked for. */
	ask_for_program(8, &service);
	ask_for_program(9, &service);
	expect_call(&call);
	expect_call(&other);
	reply(12345, 0, dup(connector));
	reply(other.number, -ECONNREFUSED, -1);
	expect_refusal(9);
	reply(call.number, 0, -1); /* no socket */
	expect_refusal(8);
	ask_for_program(10, &service);
	expect_call(&call);
	close(connector);
	expect_refusal(10);
	ask_for_program(11, &service);
	expect_refusal(11);
	UNTIL(connections() == 0);
}

/* ---- Streams ---- */

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 7 + at / 251 + at / 65521);
}

static void fill(uint8_t *bytes, uint32_t count, uint64_t at)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		bytes[i] = pattern(at + i);
	}
}

static void check(const uint8_t *bytes, ssize_t count, uint64_t at)
{
	ssize_t i;

	for (i = 0; i < count; i++) {
		assert_int_equal(bytes[i], pattern(at + (uint64_t)i));
	}
}

/* Both ways at once; each side reads only when the other can write no more. Then each ends. */
static void nothing_is_lost_where_nobody_reads(void **state)
{
	const uint64_t total = 3 << 20;
	uint64_t out = 0, in = 0, up = 0, down = 0;
	struct guest_channel channel;
	int fd = connect_to_guest(&channel, 5000, 0);
	uint8_t bytes[sizeof(struct vmpipe_proto_header) + HVSOCK_MTU];
	struct vmpipe_proto_header header = {HVSOCK_DATA, PACKET};
	uint32_t count, stalls = 0;
	bool ended = false;
	ssize_t part;

	(void)state;
	while (out < total || up < total || in < out || down < up) {
		bool moved = false;

		fill(bytes, PACKET, out);
		part = out < total ? send(fd, bytes, PACKET, MSG_DONTWAIT | MSG_NOSIGNAL) : -1;
		out += part > 0 ? (uint64_t)part : 0;
		moved |= part > 0;
		memcpy(bytes, &header, sizeof(header));
		fill(bytes + sizeof(header), PACKET, up);
		if (up < total && guest_send(&channel, VM_PKT_DATA_INBAND, 0, 0, NULL, 0, bytes,
					     sizeof(header) + PACKET)) {
			up += PACKET;
			moved = true;
		}
		if (moved || ++stalls % 8 != 0) {
			serve();
			continue;
		}
		while (try_get(&channel, bytes, &count)) {
			check(bytes, count, in);
			in += count;
		}
		while ((part = hear(fd, bytes, sizeof(bytes))) > 0) {
			check(bytes, part, down);
			down += (uint64_t)part;
		}
	}
	assert_true(out == in && up == down);
	put(&channel, NULL, 0);
	shutdown(fd, SHUT_WR);
	expect_fin(&channel);
	UNTIL(ended || (ended = hears_end(fd)));
	expect_rescind(&channel);
	close(fd);
}

/* A program that is done before the guest has opened the channel. */
static void a_program_may_be_quicker_than_the_guest(void **state)
{
	struct vmbus_guid service = guid_of(13);
	struct guest_channel channel;
	struct sockets_call call;
	unsigned int i;
	uint32_t relid;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ask_for_program(1, &service);
	expect_call(&call);
	reply(call.number, 0, pair[1]);
	relid = expect_offer(&service, false);
	tell(pair[0], "noon");
	close(pair[0]);
	for (i = 0; i < 20; i++) {
		serve();
	}
	accept_offer(&channel, relid, 0);
	expect_bytes(&channel, "noon");
	expect_fin(&channel);
	put(&channel, NULL, 0);
	expect_rescind(&channel);
	UNTIL(connections() == 0);
}

/* A server's way: it answers, does not read the rest of the question, and goes. */
static void the_last_words_of_a_program_arrive(void **state)
{
	struct guest_channel channel;
	int fd = connect_to_program(&channel, 1, 0);
	static char words[30000];
	char bytes[HVSOCK_MTU];
	uint32_t got = 0, count;

	(void)state;
	memset(words, 'x', sizeof(words));
	put(&channel, "a long question", 15);
	assert_int_equal(send(fd, words, sizeof(words), 0), sizeof(words));
	close(fd);
	while (got < sizeof(words)) {
		UNTIL(try_get(&channel, bytes, &count));
		assert_true(count > 0);
		got += count;
	}
	assert_int_equal(got, sizeof(words));
	expect_fin(&channel);
	assert_true(guest_silent());
	put(&channel, "more", 4); /* nobody is there for that */
	expect_rescind(&channel);
	UNTIL(connections() == 0);
}

/* It closes one channel without a word, and then is gone; one offer it has not looked at. */
static void a_guest_that_dies_hangs_up(void **state)
{
	struct vmbus_channel_initiate_contact request = {
		.header.msgtype = CHANNELMSG_INITIATE_CONTACT,
		.vmbus_version_requested = VERSION_WIN10_V5_3,
		.msg_sint = VMBUS_MESSAGE_SINT,
	};
	struct vmbus_channel_message_header offers = {.msgtype = CHANNELMSG_REQUESTOFFERS};
	struct vmbus_guid service = guid_of(6);
	struct guest_channel channels[3];
	int fds[4];
	unsigned int i;

	(void)state;
	fds[0] = connect_to_guest(&channels[0], 5000, 0);
	fds[1] = connect_to_program(&channels[1], 1, 1);
	fds[2] = connect_to_guest(&channels[2], 5000, 2);
	fds[3] = program_connect();
	tell(fds[3], "CONNECT 6\n");
	(void)expect_offer(&service, true);
	(void)guest_close(&channels[2]);
	UNTIL(hears_end(fds[2]));
	/* A new kernel: none of the old offers is for it. */
	guest_post(&request, sizeof(request));
	for (i = 0; i < 4; i++) {
		UNTIL(hears_end(fds[i]));
		close(fds[i]);
	}
	UNTIL(connections() == 0);
	while (guest_take(CHANNELMSG_VERSION_RESPONSE) == NULL) {
		serve(); /* what the old one has not taken comes first */
		(void)guest_take(CHANNELMSG_RESCIND_CHANNELOFFER);
		(void)guest_take(CHANNELMSG_GPADL_TORNDOWN);
	}
	guest_post(&offers, sizeof(offers));
	(void)next_message(CHANNELMSG_ALLOFFERS_DELIVERED);
}

/* ---- What is wrong ---- */

static void wrong_packets_end_the_connection(void **state)
{
	const struct {
		uint32_t type, size, bytes;
	} wrong[] = {{2, 1, 16}, {HVSOCK_DATA, 9, 16}, {HVSOCK_DATA, 0xffffffff, 16}, {0, 0, 0}};
	struct guest_channel channel;
	uint32_t packet[8] = {0};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(wrong); i++) {
		int fd = connect_to_guest(&channel, 5000, 0);

		packet[0] = wrong[i].type;
		packet[1] = wrong[i].size;
		assert_true(guest_send(&channel, VM_PKT_DATA_INBAND, 0, 0, NULL, 0, packet,
				       wrong[i].bytes));
		UNTIL(hears_end(fd));
		close(fd);
		expect_rescind(&channel);
		while (guest_take(CHANNELMSG_GPADL_TORNDOWN) != NULL) {
		}
	}
	UNTIL(connections() == 0);
	assert_true(guest.lines > 0);
}

static void a_channel_is_opened_once(void **state)
{
	struct vmbus_guid service = guid_of(5000);
	struct guest_channel channel;
	int fd = program_connect();
	uint32_t relid;

	(void)state;
	tell(fd, "CONNECT 5000\n");
	relid = expect_offer(&service, true);
	accept_offer(&channel, relid, 0);
	vmbus_serve(guest.bus);
	(void)guest_close(&channel);
	assert_int_not_equal(guest_open(&channel, relid, ++next_gpadl, RING, 2 * RING * 3, 0), 0);
	UNTIL(connections() == 0);
	close(fd);
}

/* ---- A machine that stands, and one that is saved ---- */

static void a_pause_keeps_connections(void **state)
{
	struct guest_channel channel;
	int fd = connect_to_guest(&channel, 5000, 0);
	char bytes[64];
	uint32_t count;
	unsigned int i;

	(void)state;
	vmbus_pause(guest.bus);
	tell(fd, "later");
	put(&channel, "later too", 9);
	for (i = 0; i < 20; i++) {
		serve();
	}
	assert_false(try_get(&channel, bytes, &count));
	assert_int_equal(hear(fd, bytes, sizeof(bytes)), -1);
	vmbus_resume(guest.bus);
	expect_bytes(&channel, "later");
	expect_text(fd, "later too");
	/* One that is over before it stands, and at once another. */
	for (i = 0; i < 50; i++) {
		vmbus_begin_pause(guest.bus);
		vmbus_resume(guest.bus);
	}
	vmbus_pause(guest.bus);
	vmbus_resume(guest.bus);
	tell(fd, "and now");
	expect_bytes(&channel, "and now");
	close(fd);
}

/* As the worker saves the machine, and another one goes on. */
static void go_on_elsewhere(bool as_an_older_state)
{
	struct state_writer writer = state_writer(NULL, 0);
	struct state_fault fault;
	struct state_reader list;
	uint8_t *saved = NULL;
	unsigned int i;

	sockets_stand(sockets, true);
	vmbus_pause(guest.bus);
	for (i = 0; i < 2; i++) {
		writer = state_writer(saved, writer.used);
		if (!as_an_older_state) {
			sockets_save(sockets, &writer);
		}
		vmbus_save(guest.bus, &writer);
		saved = saved == NULL ? malloc(writer.used) : saved;
	}
	assert_true(state_fits(&writer));
	/* The new machine. */
	guest_restart();
	sockets_destroy(&sockets);
	close(connector);
	unlink(path);
	create();
	sockets_stand(sockets, true);
	vmbus_pause(guest.bus);
	list = state_reader(saved, writer.used, &fault);
	assert_int_equal(sockets_load(sockets, &list), 0);
	assert_int_equal(vmbus_load(guest.bus, &list), 0);
	vmbus_resume(guest.bus);
	sockets_stand(sockets, false);
	free(saved);
}

static void a_saved_guest_finds_its_connections_reset(void **state)
{
	struct guest_channel channels[2];
	int fds[] = {connect_to_guest(&channels[0], 5000, 0),
		     connect_to_program(&channels[1], 1, 1)};
	const struct vmbus_channel_relid *rescind;
	uint32_t relids = 0;

	(void)state;
	go_on_elsewhere(false);
	assert_true(hears_end(fds[0]) && hears_end(fds[1]));
	while (relids != (channels[0].relid ^ channels[1].relid)) {
		rescind = next_message(CHANNELMSG_RESCIND_CHANNELOFFER);
		relids ^= rescind->child_relid;
	}
	close(fds[0]);
	close(fds[1]);
}

static struct vmbus_guid name_of_offer(void)
{
	const struct vmbus_channel_offer_channel *offer = next_message(CHANNELMSG_OFFERCHANNEL);

	return offer->offer.if_instance;
}

/* The guest still has the channel that is withdrawn, and takes no other one of its name. */
static void a_restored_guest_is_offered_other_names(void **state)
{
	struct vmbus_guid before, after;
	int fds[2] = {program_connect()};

	(void)state;
	tell(fds[0], "CONNECT 5000\n");
	before = name_of_offer();
	go_on_elsewhere(false);
	(void)next_message(CHANNELMSG_RESCIND_CHANNELOFFER);
	fds[1] = program_connect();
	tell(fds[1], "CONNECT 5000\n");
	after = name_of_offer();
	assert_memory_not_equal(&after, &before, sizeof(before));
	close(fds[0]);
	close(fds[1]);
}

static void an_older_state_is_taken(void **state)
{
	(void)state;
	go_on_elsewhere(true);
	assert_int_equal(connections(), 0);
}

/* ---- Many ---- */

/* Sixteen at once, each with its own bytes. */
static void connections_do_not_mix(void **state)
{
	static struct guest_channel channels[16];
	int fds[16];
	uint8_t bytes[HVSOCK_MTU];
	uint32_t count;
	unsigned int i, round;

	(void)state;
	for (i = 0; i < 16; i++) {
		fds[i] = i % 2 == 0 ? connect_to_guest(&channels[i], 5000 + i, i)
				    : connect_to_program(&channels[i], 100 + i, i);
	}
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 16; i++) {
			fill(bytes, 1000, i * 1000 + round);
			put(&channels[i], bytes, 1000);
			fill(bytes, 500, i * 2000 + round);
			assert_int_equal(send(fds[i], bytes, 500, 0), 500);
		}
		for (i = 0; i < 16; i++) {
			size_t got = 0;

			while (got < 1000) {
				ssize_t part = 0;

				UNTIL((part = hear(fds[i], bytes, 1000 - got)) > 0);
				check(bytes, part, i * 1000 + round + got);
				got += (size_t)part;
			}
			for (got = 0; got < 500; got += count) {
				UNTIL(try_get(&channels[i], bytes, &count));
				check(bytes, count, i * 2000 + round + got);
			}
		}
	}
	for (i = 0; i < 16; i++) {
		close(fds[i]);
	}
}

static void there_is_a_limit(void **state)
{
	static int fds[SOCKETS_MAX + 2];
	struct vmbus_guid service = guid_of(1);
	unsigned int i;

	(void)state;
	for (i = 0; i < SOCKETS_MAX + 2; i++) {
		fds[i] = program_connect();
	}
	UNTIL(connections() == SOCKETS_MAX);
	ask_for_program(1, &service);
	expect_refusal(1);
	tell(fds[SOCKETS_MAX], "x\n"); /* waits out there */
	for (i = 0; i < 5; i++) {
		serve();
		assert_false(hears_end(fds[SOCKETS_MAX]));
	}
	close(fds[0]);
	close(fds[1]);
	UNTIL(hears_end(fds[SOCKETS_MAX]));
	for (i = 2; i < SOCKETS_MAX + 2; i++) {
		close(fds[i]);
	}
	UNTIL(connections() == 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_program_reaches_the_guest),
		TEST(a_service_may_be_any_guid),
		TEST(other_words_are_hung_up),
		TEST(a_program_that_gives_up_withdraws_the_offer),
		TEST(without_a_guest_programs_are_hung_up),
		TEST(the_guest_reaches_a_program),
		TEST(who_is_not_there_is_refused),
		TEST(nothing_is_lost_where_nobody_reads),
		TEST(a_program_may_be_quicker_than_the_guest),
		TEST(the_last_words_of_a_program_arrive),
		TEST(a_guest_that_dies_hangs_up),
		TEST(wrong_packets_end_the_connection),
		TEST(a_channel_is_opened_once),
		TEST(a_pause_keeps_connections),
		TEST(a_saved_guest_finds_its_connections_reset),
		TEST(a_restored_guest_is_offered_other_names),
		TEST(an_older_state_is_taken),
		TEST(connections_do_not_mix),
		TEST(there_is_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
