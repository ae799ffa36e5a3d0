/*
 * vmbus/control.c, offer.c, channel.c, gpadl.c and queue.c: the control protocol with a fake guest.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fake/vmbus_device.h"
#include "tests/fake/vmbus_guest.h"

static struct fake_device device, other;

static int setup(void **state)
{
	(void)state;
	memset(&device, 0, sizeof(device));
	memset(&other, 0, sizeof(other));
	guest_create();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy();
	assert_false(device.is_open);
	assert_null(device.channel);
	return 0;
}

/* A guest that has one device's offer. */
static uint32_t connect(uint32_t version)
{
	uint32_t relids[2] = {0};

	assert_true(guest_contact(version));
	assert_int_equal(guest_offers(relids, 2), 1);
	assert_true(guest_silent());
	return relids[1];
}

static uint32_t offer_and_connect(uint32_t version)
{
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	return connect(version);
}

static void post_header(uint32_t type)
{
	struct vmbus_channel_message_header header = {.msgtype = type};

	assert_int_equal(guest_post(&header, sizeof(header)), 0);
}

static void post_relid(uint32_t type, uint32_t relid)
{
	struct vmbus_channel_relid message = {.header.msgtype = type, .child_relid = relid};

	assert_int_equal(guest_post(&message, sizeof(message)), 0);
}

static const uint32_t all_versions[] = {VERSION_WS2008,     VERSION_WIN7,       VERSION_WIN8,
					VERSION_WIN8_1,     VERSION_WIN10,      VERSION_WIN10_V4_1,
					VERSION_WIN10_V5,   VERSION_WIN10_V5_1, VERSION_WIN10_V5_2,
					VERSION_WIN10_V5_3, VERSION_WIN10_V6_0};

static void each_version_is_accepted(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(all_versions); i++) {
		assert_true(guest_contact(all_versions[i]));
	}
}

static void other_versions_are_refused(void **state)
{
	static const uint32_t others[] = {VMBUS_VERSION(0, 12),
					  VMBUS_VERSION(2, 5),
					  VMBUS_VERSION(5, 4),
					  VMBUS_VERSION(7, 0),
					  0,
					  UINT32_MAX};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(others); i++) {
		assert_false(guest_contact(others[i]));
		assert_true(guest_silent());
	}
	assert_true(guest_contact(VERSION_WIN10_V5_3));
}

/* The answer's length, connection and VP, by version. */
static void check_answer(uint32_t version, uint32_t size, uint32_t connection, uint32_t vp)
{
	struct vmbus_channel_initiate_contact request = {
		.header.msgtype = CHANNELMSG_INITIATE_CONTACT,
		.vmbus_version_requested = version,
		.target_vcpu = 3,
		.msg_sint = VMBUS_MESSAGE_SINT,
	};
	const struct guest_message *message = &guest.messages[guest.first];
	const struct vmbus_channel_version_response *answer;

	guest_post(&request, sizeof(request));
	assert_int_equal(message->size, size);
	assert_int_equal(message->vp, vp);
	answer = guest_take(CHANNELMSG_VERSION_RESPONSE);
	assert_non_null(answer);
	assert_int_equal(answer->version_supported, 1);
	assert_int_equal(answer->connection_state, 0);
	assert_int_equal(answer->msg_conn_id, connection);
}

static void the_answer_depends_on_the_version(void **state)
{
	(void)state;
	check_answer(VERSION_WIN8, 16, VERSION_WIN8, 0);
	check_answer(VERSION_WIN8_1, 16, VERSION_WIN8_1, 3);
	check_answer(VERSION_WIN10_V4_1, 16, VERSION_WIN10_V4_1, 3);
	check_answer(VERSION_WIN10_V5, 16, VMBUS_MESSAGE_CONNECTION_ID_4, 3);
	check_answer(VERSION_WIN10_V5_3, 16, VMBUS_MESSAGE_CONNECTION_ID_4, 3);
	check_answer(VERSION_WIN10_V6_0, 20, VMBUS_MESSAGE_CONNECTION_ID_4, 3);
}

static bool contact_with_page(uint32_t version, uint64_t gpa)
{
	struct vmbus_channel_initiate_contact request = {
		.header.msgtype = CHANNELMSG_INITIATE_CONTACT,
		.vmbus_version_requested = version,
		.interrupt_page = gpa,
	};
	const struct vmbus_channel_version_response *answer;

	guest_post(&request, sizeof(request));
	answer = guest_take(CHANNELMSG_VERSION_RESPONSE);
	assert_non_null(answer);
	return answer->version_supported;
}

static void an_old_version_needs_its_page(void **state)
{
	const uint64_t ram = (uint64_t)GUEST_PAGES * VMBUS_PAGE_SIZE;

	(void)state;
	assert_false(contact_with_page(VERSION_WS2008, ram));
	assert_false(contact_with_page(VERSION_WIN7, UINT64_MAX));
	assert_false(contact_with_page(VERSION_WS2008, VMBUS_PAGE_SIZE + 8));
	assert_int_equal(guest.lines, 3);
	assert_true(contact_with_page(VERSION_WS2008, ram - VMBUS_PAGE_SIZE));
	assert_int_equal(guest.acquired[GUEST_PAGES - 1], 1);
	assert_int_equal(guest.connections, 1);
	assert_true(contact_with_page(VERSION_WIN7, 0)); /* another one */
	assert_int_equal(guest.acquired[GUEST_PAGES - 1], 0);
	assert_int_equal(guest.connections, 1);
	assert_true(contact_with_page(VERSION_WIN8, 1)); /* is not looked at */
	assert_int_equal(guest.connections, 0);
	guest.no_connections = true;
	assert_false(contact_with_page(VERSION_WS2008, 0));
	assert_int_equal(guest.acquired[0], 0);
	guest.no_connections = false;
	assert_true(contact_with_page(VERSION_WS2008, 0));
	vmbus_reset(guest.bus);
	assert_int_equal(guest.acquired[0], 0);
}

static void another_sint_or_vtl_gets_no_answer(void **state)
{
	struct vmbus_channel_initiate_contact request = {
		.header.msgtype = CHANNELMSG_INITIATE_CONTACT,
		.vmbus_version_requested = VERSION_WIN10_V5_2,
		.msg_sint = 5,
	};

	(void)state;
	guest_post(&request, sizeof(request));
	request.msg_sint = VMBUS_MESSAGE_SINT;
	request.msg_vtl = 1;
	guest_post(&request, sizeof(request));
	assert_true(guest_silent());
	assert_int_equal(guest.lines, 2);
}

static void posts_are_checked(void **state)
{
	uint8_t bytes[VMBUS_MESSAGE_MAX + 1] = {CHANNELMSG_UNLOAD};
	unsigned int i;

	(void)state;
	assert_int_equal(vmbus_message(guest.bus, 2, 1, bytes, 8), -ENOENT);
	assert_int_equal(vmbus_message(guest.bus, 0x800074, 1, bytes, 8), -ENOENT);
	assert_int_equal(vmbus_message(guest.bus, 1, 1, bytes, sizeof(bytes)), -EINVAL);
	assert_int_equal(vmbus_message(guest.bus, 1, 2, bytes, 8), 0);
	assert_true(guest_silent());
	for (i = 0; i < 64; i++) {
		assert_int_equal(vmbus_message(guest.bus, 1, 1, bytes, 8), 0);
	}
	assert_int_equal(vmbus_message(guest.bus, 1, 1, bytes, 8), -EAGAIN);
	vmbus_serve(guest.bus);
	assert_int_equal(vmbus_message(guest.bus, 1, 1, bytes, 8), 0);
}

static void short_and_unknown_messages_are_ignored(void **state)
{
	static const uint8_t sizes[CHANNELMSG_COUNT] = {
		[3] = 8,   [5] = 148, [7] = 12, [8] = 20,  [9] = 16, [11] = 16,
		[13] = 12, [14] = 40, [16] = 8, [21] = 40, [22] = 16};
	uint8_t message[VMBUS_MESSAGE_MAX] = {0};
	uint32_t type, size, sent = 0;

	(void)state;
	offer_and_connect(VERSION_WIN10_V5_3);
	for (type = 0; type < 40; type++) {
		message[0] = (uint8_t)type;
		for (size = 0; size < (type < CHANNELMSG_COUNT ? sizes[type] : 240u); size += 4) {
			assert_int_equal(guest_post(message, size), 0);
			sent++;
		}
	}
	assert_true(guest_silent());
	assert_true(sent > guest.lines && guest.lines > 0); /* the log is not flooded */
}

static void nothing_works_before_a_contact(void **state)
{
	(void)state;
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	post_header(CHANNELMSG_REQUESTOFFERS);
	post_relid(CHANNELMSG_CLOSECHANNEL, 1);
	assert_true(guest_silent());
	assert_int_equal(connect(VERSION_WIN10_V5_3), 1);
}

static void an_offer_says_what_the_device_said(void **state)
{
	struct vmbus_offer what = {
		.type = VMBUS_GUID_VIDEO,
		.instance = {.data1 = 7},
		.flags = VMBUS_CHANNEL_NAMED_PIPE_MODE,
		.mmio_megabytes = 8,
		.user_def = {VMBUS_PIPE_TYPE_MESSAGE},
		.class = &device_class,
		.device = &device,
	};
	const struct vmbus_guid video = VMBUS_GUID_VIDEO;
	const struct vmbus_channel_offer_channel *offer;

	(void)state;
	assert_int_equal(vmbus_offer(guest.bus, &what, &device.channel), 0);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	post_header(CHANNELMSG_REQUESTOFFERS);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_non_null(offer);
	assert_memory_equal(&offer->offer.if_type, &video, sizeof(video));
	assert_int_equal(offer->offer.if_instance.data1, 7);
	assert_int_equal(offer->offer.chn_flags, VMBUS_CHANNEL_NAMED_PIPE_MODE);
	assert_int_equal(offer->offer.mmio_megabytes, 8);
	assert_int_equal(offer->offer.user_def[0], VMBUS_PIPE_TYPE_MESSAGE);
	assert_int_equal(offer->monitor_allocated, 0);
	assert_int_equal(offer->is_dedicated_interrupt, 1);
	assert_int_equal(offer->connection_id, 0x2000 | offer->child_relid);
	assert_non_null(guest_take(CHANNELMSG_ALLOFFERS_DELIVERED));
}

static void offers_come_once_and_later_ones_at_once(void **state)
{
	const struct vmbus_channel_offer_channel *offer;

	(void)state;
	offer_and_connect(VERSION_WIN10_V5_3);
	post_header(CHANNELMSG_REQUESTOFFERS);
	assert_true(guest_silent());
	assert_int_equal(device_offer(guest.bus, &other, 2, 0), 0);
	assert_int_equal(device_offer(guest.bus, &other, 2, 0), -EEXIST);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_non_null(offer);
	assert_int_equal(offer->child_relid, 2);
	assert_true(guest_silent());
}

static void there_are_2047_channels(void **state)
{
	static struct fake_device many[VMBUS_MAX_CHANNELS];
	uint32_t i;

	(void)state;
	memset(many, 0, sizeof(many));
	for (i = 1; i < VMBUS_MAX_CHANNELS; i++) {
		assert_int_equal(device_offer(guest.bus, &many[i], i, 0), 0);
	}
	assert_int_equal(device_offer(guest.bus, &device, 5000, 0), -ENOSPC);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_offers(NULL, 0), VMBUS_MAX_CHANNELS - 1);
}

static void a_full_slot_delays_and_loses_nothing(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;
	struct vmbus_channel_modifychannel modify = {
		.header.msgtype = CHANNELMSG_MODIFYCHANNEL, .child_relid = relid, .target_vp = 1};
	unsigned int i, accepted = 0;

	(void)state;
	assert_int_equal(guest_open(&channel, relid, 9, 8, 10, 0), 0);
	guest.slot_busy = true;
	while (guest_post(&modify, sizeof(modify)) == 0) {
		accepted++;
		assert_true(accepted < 1000);
	}
	assert_true(accepted >= 64);
	guest.slot_busy = false;
	vmbus_room(guest.bus);
	for (i = 0; i < accepted; i++) {
		const struct vmbus_channel_modifychannel_response *response =
			guest_take(CHANNELMSG_MODIFYCHANNEL_RESPONSE);

		assert_non_null(response);
		assert_int_equal(response->status, 0);
	}
	assert_true(guest_silent());
}

static void a_message_to_no_vp_is_lost(void **state)
{
	struct vmbus_channel_initiate_contact request = {
		.header.msgtype = CHANNELMSG_INITIATE_CONTACT,
		.vmbus_version_requested = VERSION_WIN10,
		.target_vcpu = 77,
	};

	(void)state;
	guest_post(&request, sizeof(request));
	assert_true(guest_silent());
	assert_true(guest_contact(VERSION_WIN10_V5_3));
}

static void open_close_open(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;
	int descriptor = dup(0);
	unsigned int i;

	(void)state;
	close(descriptor);
	for (i = 1; i <= 3; i++) {
		assert_int_equal(guest_open(&channel, relid, 0xe1e10 + i, 64, 10, 2), 0);
		assert_int_equal(device.opened, i);
		assert_int_equal(channel_target_vp(device.channel), 2);
		assert_int_equal(guest.connections, 1);
		assert_true(guest_close(&channel));
		assert_int_equal(device.closing, i);
		assert_int_equal(guest.connections, 0);
	}
	assert_int_equal(dup(0), descriptor); /* the same is free as before: none was kept */
	close(descriptor);
	assert_true(guest_silent());
	assert_int_equal(device.released, 0);
	assert_int_equal(guest.lines, 0);
}

static void open_in_each_version(void **state)
{
	struct guest_channel channel;
	unsigned int i;

	(void)state;
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	for (i = 0; i < ARRAY_COUNT(all_versions); i++) {
		assert_int_equal(guest_open(&channel, connect(all_versions[i]), 1, 8, 10, 0), 0);
		assert_true(guest_close(&channel));
	}
}

/* The ring's memory belongs to the device until it has let go. */
static void a_slow_device_keeps_its_ring(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;

	(void)state;
	device.holds = true;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	assert_false(guest_close(&channel));
	assert_true(guest_silent());
	assert_int_equal(guest.connections, 1);
	device_let_go(&device);
	assert_non_null(guest_take(CHANNELMSG_GPADL_TORNDOWN));
	assert_true(guest_silent());
	assert_int_equal(guest.connections, 0);
}

static void an_open_waits_for_the_last_close(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	const struct vmbus_channel_open_result *result;
	struct guest_channel channel;

	(void)state;
	device.holds = true;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	post_relid(CHANNELMSG_CLOSECHANNEL, relid);
	assert_int_equal(guest_open(&channel, relid, 6, 8, 40, 0), -1);
	assert_int_equal(device.opened, 1);
	device_let_go(&device);
	result = guest_take(CHANNELMSG_OPENCHANNEL_RESULT);
	assert_non_null(result);
	assert_int_equal(result->status, 0);
	assert_int_equal(device.opened, 2);
	device.holds = false;
	assert_true(guest_close(&channel));
}

static void what_cannot_be_opened_is_refused(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct vmbus_channel_open_channel open = {.header.msgtype = CHANNELMSG_OPENCHANNEL,
						  .child_relid = relid,
						  .ringbuffer_gpadlhandle = 1,
						  .downstream_ringbuffer_pageoffset = 4};
	static const uint32_t offsets[] = {0, 1, 7, 8, UINT32_MAX};
	const struct vmbus_channel_open_result *result;
	struct guest_channel channel;
	uint32_t pages[8], i;

	(void)state;
	guest_scatter(pages, 8, 10);
	for (i = 0; i < 8; i++) {
		memset(guest_page(pages[i]), 0, VMBUS_PAGE_SIZE);
	}
	/* no GPADL; one of another channel's; wrong halves; wrong indices; no such channel */
	guest_post(&open, sizeof(open));
	result = guest_take(CHANNELMSG_OPENCHANNEL_RESULT);
	assert_int_not_equal(result->status, 0);
	assert_int_equal(guest_gpadl(relid, 1, pages, 8), 0);
	for (i = 0; i < ARRAY_COUNT(offsets); i++) {
		open.downstream_ringbuffer_pageoffset = offsets[i];
		guest_post(&open, sizeof(open));
		result = guest_take(CHANNELMSG_OPENCHANNEL_RESULT);
		assert_int_not_equal(result->status, 0);
	}
	open.downstream_ringbuffer_pageoffset = 4;
	for (i = 0; i < 4; i++) {
		uint32_t *word = (uint32_t *)guest_page(pages[i & 1 ? 4 : 0]) + (i == 3 ? 0 : 1);

		*word = i == 0 ? 4 : 3 * VMBUS_PAGE_SIZE;
		guest_post(&open, sizeof(open));
		result = guest_take(CHANNELMSG_OPENCHANNEL_RESULT);
		assert_int_not_equal(result->status, 0);
		*word = 0;
	}
	open.child_relid = 5;
	guest_post(&open, sizeof(open));
	result = guest_take(CHANNELMSG_OPENCHANNEL_RESULT);
	assert_int_not_equal(result->status, 0);
	assert_int_equal(device.opened, 0);
	assert_int_equal(guest.connections, 0);
	/* And a device, or a home, that does not want to. */
	device.refuse = -ENOMEM;
	assert_int_not_equal(guest_open(&channel, relid, 2, 8, 40, 0), 0);
	device.refuse = 0;
	guest.no_connections = true;
	assert_int_not_equal(guest_open(&channel, relid, 3, 8, 40, 0), 0);
	guest.no_connections = false;
	assert_int_equal(guest_open(&channel, relid, 4, 8, 40, 0), 0);
	/* It is open already. */
	open.child_relid = relid;
	guest_post(&open, sizeof(open));
	result = guest_take(CHANNELMSG_OPENCHANNEL_RESULT);
	assert_int_not_equal(result->status, 0);
	assert_int_equal(device.closing, 0);
}

/* ---- signals by the monitor page ---- */

static bool contact_with_monitor(uint64_t gpa)
{
	struct vmbus_channel_initiate_contact request = {
		.header.msgtype = CHANNELMSG_INITIATE_CONTACT,
		.vmbus_version_requested = VERSION_WIN10_V5_3,
		.msg_sint = VMBUS_MESSAGE_SINT,
		.monitor_page2 = gpa,
	};
	const struct vmbus_channel_version_response *answer;

	guest_post(&request, sizeof(request));
	answer = guest_take(CHANNELMSG_VERSION_RESPONSE);
	return answer != NULL && answer->version_supported;
}

/* Of an offer: the bit, or -1. */
static int monitor_of(const struct vmbus_channel_offer_channel *offer)
{
	assert_non_null(offer);
	return offer->monitor_allocated & 1 ? offer->monitorid : -1;
}

static void a_signal_by_page_arrives(void **state)
{
	struct guest_channel channel, plain;

	(void)state;
	memset(guest_page(GUEST_MONITOR_PAGE), 0, VMBUS_PAGE_SIZE);
	device.by_page = true;
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	assert_int_equal(device_offer(guest.bus, &other, 2, 0), 0);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	post_header(CHANNELMSG_REQUESTOFFERS);
	assert_int_equal(monitor_of(guest_take(CHANNELMSG_OFFERCHANNEL)), 1);
	assert_int_equal(monitor_of(guest_take(CHANNELMSG_OFFERCHANNEL)), -1);
	assert_non_null(guest_take(CHANNELMSG_ALLOFFERS_DELIVERED));
	assert_int_equal(guest_open(&plain, 2, 0xe1e11, 8, 100, 0), 0);
	assert_int_equal(guest.acquired[GUEST_MONITOR_PAGE], 0);
	assert_int_equal(guest_open(&channel, 1, 0xe1e10, 8, 10, 0), 0);
	assert_int_equal(guest.acquired[GUEST_MONITOR_PAGE], 1);
	channel_clear_event(device.channel);
	channel_clear_event(other.channel);
	vmbus_serve(guest.bus);
	assert_false(device_is_signalled(&device));
	guest_set_monitor(2); /* whose channel has no bit: a guest may wake it all the same */
	guest_set_monitor(127);
	assert_false(device_is_signalled(&device));
	guest_set_monitor(1);
	assert_true(device_is_signalled(&device));
	assert_true(guest.dirty[GUEST_MONITOR_PAGE]);
	channel_clear_event(device.channel);
	vmbus_serve(guest.bus);
	assert_false(device_is_signalled(&device)); /* once */
	assert_true(guest_close(&channel));
	assert_int_equal(guest.acquired[GUEST_MONITOR_PAGE], 0);
	guest_set_monitor(1); /* nobody looks any more */
	assert_int_equal(guest.acquired[GUEST_MONITOR_PAGE], 0);
}

/* Nobody says that the bit is set: the server wakes of itself, but not for a machine that stands
 * still, or has no such channel. */
static void the_server_wakes_to_look_at_the_page(void **state)
{
	struct pollfd fd = {.fd = vmbus_fd(guest.bus), .events = POLLIN};
	struct guest_channel channel;
	uint32_t relid;
	unsigned int i;

	(void)state;
	device.by_page = true;
	relid = offer_and_connect(VERSION_WIN10_V5_3);
	vmbus_serve(guest.bus);
	assert_int_equal(poll(&fd, 1, 20), 0);
	assert_int_equal(guest_open(&channel, relid, 0xe1e10, 8, 10, 0), 0);
	for (i = 0; i < 400; i++) { /* also when nothing has come for a while */
		assert_int_equal(poll(&fd, 1, 10000), 1);
		vmbus_serve(guest.bus);
	}
	vmbus_pause(guest.bus);
	vmbus_serve(guest.bus);
	assert_int_equal(poll(&fd, 1, 20), 0);
	vmbus_resume(guest.bus);
	vmbus_serve(guest.bus);
	assert_int_equal(poll(&fd, 1, 10000), 1);
	assert_true(guest_close(&channel));
	vmbus_serve(guest.bus);
	assert_int_equal(poll(&fd, 1, 20), 0);
}

static void a_monitor_page_that_is_none(void **state)
{
	static const uint64_t gpas[] = {0, VMBUS_PAGE_SIZE + 8,
					(uint64_t)GUEST_PAGES * VMBUS_PAGE_SIZE,
					UINT64_MAX & ~4095ull};
	struct guest_channel channel;
	unsigned int i;

	(void)state;
	device.by_page = true;
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	for (i = 0; i < ARRAY_COUNT(gpas); i++) {
		assert_true(contact_with_monitor(gpas[i]));
		assert_int_equal(guest_offers(NULL, 0), 1);
		assert_int_not_equal(guest_open(&channel, 1, 0xe1e10 + i, 8, 10, 0), 0);
		assert_non_null(strstr(guest.line, "monitor page"));
		assert_int_equal(guest.connections, 0);
	}
	assert_true(contact_with_monitor(VMBUS_PAGE_SIZE));
	assert_int_equal(guest_offers(NULL, 0), 1);
	assert_int_equal(guest_open(&channel, 1, 0xe1e20, 8, 10, 0), 0);
	vmbus_reset(guest.bus);
	assert_int_equal(guest.acquired[1], 0);
}

static void the_page_has_128_bits(void **state)
{
	static struct fake_device many[131];
	uint32_t i;

	(void)state;
	memset(many, 0, sizeof(many));
	for (i = 1; i < ARRAY_COUNT(many); i++) {
		many[i].by_page = true;
		assert_int_equal(device_offer(guest.bus, &many[i], i, 0), 0);
	}
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	post_header(CHANNELMSG_REQUESTOFFERS);
	for (i = 1; i < ARRAY_COUNT(many); i++) {
		assert_int_equal(monitor_of(guest_take(CHANNELMSG_OFFERCHANNEL)),
				 i < 128 ? (int)i : -1);
	}
}

/* ---- other channels of a guest's ---- */

static void modify_answers_from_5_3_on(void **state)
{
	struct vmbus_channel_modifychannel modify = {.header.msgtype = CHANNELMSG_MODIFYCHANNEL,
						     .target_vp = 3};
	const struct vmbus_channel_modifychannel_response *response;
	struct guest_channel channel;
	unsigned int i;

	(void)state;
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	for (i = 0; i < ARRAY_COUNT(all_versions); i++) {
		modify.child_relid = connect(all_versions[i]);
		guest_post(&modify, sizeof(modify)); /* not open yet */
		response = guest_take(CHANNELMSG_MODIFYCHANNEL_RESPONSE);
		assert_true((response != NULL) == (all_versions[i] >= VERSION_WIN10_V5_3));
		assert_true(response == NULL || response->status != 0);
		assert_int_equal(guest_open(&channel, modify.child_relid, 1, 8, 10, 1), 0);
		guest_post(&modify, sizeof(modify));
		response = guest_take(CHANNELMSG_MODIFYCHANNEL_RESPONSE);
		assert_true((response != NULL) == (all_versions[i] >= VERSION_WIN10_V5_3));
		assert_true(response == NULL || response->status == 0);
		assert_int_equal(channel_target_vp(device.channel),
				 all_versions[i] >= VERSION_WIN10_V4_1 ? 3 : 1);
	}
	modify.target_vp = VMBUS_TARGET_VP_NONE;
	guest_post(&modify, sizeof(modify));
	response = guest_take(CHANNELMSG_MODIFYCHANNEL_RESPONSE);
	assert_int_not_equal(response->status, 0);
}

static void sockets_are_refused(void **state)
{
	struct vmbus_channel_tl_connect_request request = {
		.header.msgtype = CHANNELMSG_TL_CONNECT_REQUEST,
		.guest_endpoint_id = {.data1 = 1},
		.host_service_id = {.data1 = 2},
	};
	const struct vmbus_channel_tl_connect_result *result;

	(void)state;
	offer_and_connect(VERSION_WIN10);
	guest_post(&request, sizeof(request));
	assert_true(guest_silent());
	connect(VERSION_WIN10_V5);
	guest_post(&request, sizeof(request));
	result = guest_take(CHANNELMSG_TL_CONNECT_RESULT);
	assert_non_null(result);
	assert_int_equal(result->guest_endpoint_id.data1, 1);
	assert_int_equal(result->host_service_id.data1, 2);
	assert_int_equal(result->status, VMBUS_STATUS_CONNECTION_REFUSED);
}

/* ---- rescind ---- */

static void rescind_of_a_closed_channel(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	const struct vmbus_channel_relid *rescind;

	(void)state;
	assert_int_equal(device_offer(guest.bus, &other, 2, 0), 0); /* is offered once */
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
	vmbus_rescind(device.channel);
	rescind = guest_take(CHANNELMSG_RESCIND_CHANNELOFFER);
	assert_non_null(rescind);
	assert_int_equal(rescind->child_relid, relid);
	assert_int_equal(device.released, 1);
	/* The same again is offered when the guest has released the old one, and not before. */
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	assert_true(guest_silent());
	post_relid(CHANNELMSG_RELID_RELEASED, relid);
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
	assert_true(guest_silent());
}

static void rescind_of_an_open_channel(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;

	(void)state;
	device.holds = true;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	vmbus_rescind(device.channel);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	assert_int_equal(device.closing, 1);
	assert_int_equal(device.released, 0);
	device_let_go(&device);
	vmbus_serve(guest.bus);
	assert_int_equal(device.released, 1);
	/* What the guest does then, in Linux's order. */
	assert_true(guest_close(&channel));
	post_relid(CHANNELMSG_RELID_RELEASED, relid);
	assert_true(guest_silent());
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
}

/* It stays open until the guest closes it, or releases it without that, or is not waited for any
 * more. */
static void withdrawal_of_an_open_channel(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;

	(void)state;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	vmbus_withdraw(device.channel);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	assert_int_equal(device.closing, 0);
	assert_true(guest_close(&channel));
	assert_int_equal(device.closing, 1);
	assert_int_equal(device.released, 1);
	post_relid(CHANNELMSG_RELID_RELEASED, relid);

	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
	assert_int_equal(guest_open(&channel, relid, 6, 8, 10, 0), 0);
	vmbus_withdraw(device.channel);
	vmbus_withdraw(device.channel);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	post_relid(CHANNELMSG_RELID_RELEASED, relid);
	assert_int_equal(device.closing, 2);
	vmbus_serve(guest.bus);
	assert_int_equal(device.released, 2);

	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
	assert_int_equal(guest_open(&channel, relid, 7, 8, 10, 0), 0);
	vmbus_withdraw(device.channel);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	vmbus_rescind(device.channel);
	vmbus_withdraw(device.channel);
	assert_true(guest_silent());
	assert_int_equal(device.closing, 3);
	assert_int_equal(device.released, 3);
}

/* A guest that was about to open it, and one that lets go faster than the device. */
static void rescind_races(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;

	(void)state;
	vmbus_rescind(device.channel);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	assert_true(guest_open(&channel, relid, 5, 8, 10, 0) > 0);
	assert_true(guest_close(&channel));
	post_relid(CHANNELMSG_RELID_RELEASED, relid);
	post_relid(CHANNELMSG_RELID_RELEASED, relid);
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
	device.holds = true;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	vmbus_rescind(device.channel);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	assert_false(guest_close(&channel));
	post_relid(CHANNELMSG_RELID_RELEASED, relid);
	assert_int_equal(device.released, 1);
	device_let_go(&device);
	assert_non_null(guest_take(CHANNELMSG_GPADL_TORNDOWN));
	assert_int_equal(device.released, 2);
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
}

/*
 * It gives up the number of a channel that nobody withdrew, while the device still lets go of it.
 */
static void a_number_released_too_early(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;

	(void)state;
	device.holds = true;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	post_relid(CHANNELMSG_RELID_RELEASED, relid); /* it is open: ignored */
	post_relid(CHANNELMSG_CLOSECHANNEL, relid);
	post_relid(CHANNELMSG_RELID_RELEASED, relid);
	device_let_go(&device);
	assert_true(guest_open(&channel, relid, 6, 8, 40, 0) != 0);
	assert_int_equal(device.opened, 1);
	assert_int_equal(connect(VERSION_WIN10_V5_3), relid);
}

static void rescind_before_the_guest_knows(void **state)
{
	(void)state;
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	vmbus_rescind(device.channel);
	assert_true(guest_silent());
	assert_int_equal(device.released, 1);
	offer_and_connect(VERSION_WIN10_V5_3);
}

/* ---- sub-channels ---- */

static void sub_channels_end_with_the_connection(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	const struct vmbus_channel_offer_channel *offer;
	struct guest_channel channel, sub;

	(void)state;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	assert_int_equal(device_offer(guest.bus, &other, 1, 1), 0);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_non_null(offer);
	assert_int_equal(offer->offer.sub_channel_index, 1);
	assert_int_equal(guest_open(&sub, offer->child_relid, 6, 8, 40, 1), 0);
	assert_int_equal(channel_sub_channel(other.channel), 1);
	post_header(CHANNELMSG_UNLOAD);
	assert_non_null(guest_take(CHANNELMSG_UNLOAD_RESPONSE));
	assert_int_equal(other.closing, 1);
	assert_int_equal(other.released, 1);
	assert_int_equal(device.closing, 1);
	assert_int_equal(device.released, 0);
	assert_int_equal(connect(VERSION_WIN10_V5_3), relid);
}

static void a_sub_channel_needs_a_guest(void **state)
{
	(void)state;
	assert_int_equal(device_offer(guest.bus, &other, 1, 1), 0);
	assert_true(guest_silent());
	assert_int_equal(other.released, 1);
}

/* ---- guests that go ---- */

static void unload_waits_for_the_devices(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;

	(void)state;
	device.holds = true;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	post_header(CHANNELMSG_UNLOAD);
	assert_true(guest_silent());
	post_header(CHANNELMSG_REQUESTOFFERS);
	assert_true(guest_silent());
	device_let_go(&device);
	assert_non_null(guest_take(CHANNELMSG_UNLOAD_RESPONSE));
	assert_int_equal(connect(VERSION_WIN10_V5_3), relid);
}

/* kexec without an unload: the new kernel knows nothing of what the old one had open. */
static void a_new_kernel_waits_for_the_devices(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;

	(void)state;
	device.holds = true;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	assert_false(guest_contact(VERSION_WIN10_V6_0));
	assert_true(guest_silent());
	device_let_go(&device);
	assert_non_null(guest_take(CHANNELMSG_VERSION_RESPONSE));
	assert_int_equal(guest_offers(&relid, 0), 1);
	device.holds = false;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	/* One that crashes in the middle of all this, and its crash kernel. */
	post_header(CHANNELMSG_UNLOAD);
	assert_non_null(guest_take(CHANNELMSG_UNLOAD_RESPONSE));
	assert_int_equal(guest_open(&channel, connect(VERSION_WIN10_V5), 5, 8, 10, 0), 0);
}

static void reset_leaves_the_offers(void **state)
{
	const struct vmbus_channel_message_header unload = {.msgtype = CHANNELMSG_UNLOAD};
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;
	unsigned int i;

	(void)state;
	for (i = 1; i <= 10; i++) {
		assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
		guest.slot_busy = true;
		post_header(CHANNELMSG_REQUESTOFFERS);
		post_relid(CHANNELMSG_CLOSECHANNEL, 99);
		/* One that nobody has looked at is gone too. */
		assert_int_equal(vmbus_message(guest.bus, 1, 1, &unload, sizeof(unload)), 0);
		vmbus_reset(guest.bus);
		guest.slot_busy = false;
		assert_int_equal(device.closing, i);
		assert_int_equal(guest.connections, 0);
		assert_true(guest_silent());
		assert_int_equal(connect(VERSION_WIN10_V5_3), relid);
	}
	assert_int_equal(device.released, 0);
}

static void *let_go_later(void *unused)
{
	while (__atomic_load_n(&device.closing, __ATOMIC_ACQUIRE) == 0) {
		sched_yield();
	}
	usleep(20000); /* by now the reset usually waits; it is right in both orders */
	device_let_go(&device);
	return unused;
}

static void reset_waits_for_the_devices(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);
	struct guest_channel channel;
	pthread_t thread;

	(void)state;
	device.holds = true;
	assert_int_equal(guest_open(&channel, relid, 5, 8, 10, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, let_go_later, NULL), 0);
	vmbus_reset(guest.bus);
	assert_false(device.is_open);
	assert_int_equal(guest.connections, 0);
	pthread_join(thread, NULL);
	assert_int_equal(connect(VERSION_WIN10_V5_3), relid);
}

static void reset_finishes_a_rescind(void **state)
{
	offer_and_connect(VERSION_WIN10_V5_3);
	(void)state;
	vmbus_rescind(device.channel);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	assert_int_equal(device_offer(guest.bus, &device, 1, 0), 0);
	vmbus_reset(guest.bus);
	connect(VERSION_WIN10_V5_3);
}

/* A guest that could not take an offer gives its number back. */
static void a_declined_offer_comes_again_with_the_next_kernel(void **state)
{
	uint32_t relid = offer_and_connect(VERSION_WIN10_V5_3);

	(void)state;
	post_relid(CHANNELMSG_RELID_RELEASED, relid);
	assert_int_equal(device_offer(guest.bus, &other, 2, 0), 0);
	assert_non_null(guest_take(CHANNELMSG_OFFERCHANNEL));
	assert_true(guest_silent());
	vmbus_rescind(other.channel);
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	assert_int_equal(connect(VERSION_WIN10_V5_3), relid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(each_version_is_accepted),
		TEST(other_versions_are_refused),
		TEST(the_answer_depends_on_the_version),
		TEST(an_old_version_needs_its_page),
		TEST(another_sint_or_vtl_gets_no_answer),
		TEST(posts_are_checked),
		TEST(short_and_unknown_messages_are_ignored),
		TEST(nothing_works_before_a_contact),
		TEST(an_offer_says_what_the_device_said),
		TEST(offers_come_once_and_later_ones_at_once),
		TEST(there_are_2047_channels),
		TEST(a_full_slot_delays_and_loses_nothing),
		TEST(a_message_to_no_vp_is_lost),
		TEST(open_close_open),
		TEST(open_in_each_version),
		TEST(a_slow_device_keeps_its_ring),
		TEST(an_open_waits_for_the_last_close),
		TEST(what_cannot_be_opened_is_refused),
		TEST(a_signal_by_page_arrives),
		TEST(the_server_wakes_to_look_at_the_page),
		TEST(a_monitor_page_that_is_none),
		TEST(the_page_has_128_bits),
		TEST(modify_answers_from_5_3_on),
		TEST(sockets_are_refused),
		TEST(rescind_of_a_closed_channel),
		TEST(rescind_of_an_open_channel),
		TEST(withdrawal_of_an_open_channel),
		TEST(rescind_races),
		TEST(a_number_released_too_early),
		TEST(rescind_before_the_guest_knows),
		TEST(sub_channels_end_with_the_connection),
		TEST(a_sub_channel_needs_a_guest),
		TEST(unload_waits_for_the_devices),
		TEST(a_new_kernel_waits_for_the_devices),
		TEST(reset_leaves_the_offers),
		TEST(reset_waits_for_the_devices),
		TEST(reset_finishes_a_rescind),
		TEST(a_declined_offer_comes_again_with_the_next_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
