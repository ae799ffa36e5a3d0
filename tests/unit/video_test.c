/*
 * Synthetic video, against a guest that speaks as Linux's hyperv_drm does, and one that does not.
 * The test's thread is the control thread of VMBus, the guest and who looks; the device has its
 * own.
 */
#include "include/vsp/synthvid.h"
#include "tests/fake/vmbus_guest.h"
#include "vsp/video/host.h"
#include "vsp/video/video.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RING    8u
#define WINDOW  0xf8000000ull
#define RAM_END 0x10000000ull
#define NOWHERE UINT64_MAX
#define WIDTH   1024u
#define HEIGHT  768u
#define PITCH   (4 * WIDTH)

/* The machine: where the frame memory is, what was fetched from RAM. */
struct video_host {
	_Atomic uint64_t place;
	_Atomic uint64_t fetched; /* bytes */
	_Atomic uint64_t from;
	_Atomic uint64_t clock;
	_Atomic unsigned int complaints;
};

static struct video_host home;
static struct video *video;
static struct guest_channel channel;
static uint32_t relid, next_gpadl;

bool video_host_place(struct video_host *host, uint64_t gpa)
{
	if (gpa < WINDOW || gpa > WINDOW + (64ull << 20)) {
		return false;
	}
	atomic_store(&host->place, gpa);
	return true;
}

void video_host_remove(struct video_host *host)
{
	assert_int_not_equal(atomic_exchange(&host->place, NOWHERE), NOWHERE);
}

bool video_host_is_ram(struct video_host *host, uint64_t gpa, uint64_t length)
{
	(void)host;
	return gpa < RAM_END && length <= RAM_END - gpa;
}

void video_host_fetch(struct video_host *host, uint64_t gpa, uint32_t offset, uint32_t length)
{
	assert_true(video_host_is_ram(host, gpa, length));
	assert_true(offset <= VIDEO_BYTES && length <= VIDEO_BYTES - offset);
	atomic_fetch_add(&host->fetched, length);
	atomic_store(&host->from, gpa);
}

uint64_t video_host_clock(struct video_host *host)
{
	return atomic_load(&host->clock);
}

void video_host_log(struct video_host *host, const char *line)
{
	assert_non_null(line);
	atomic_fetch_add(&host->complaints, 1);
}

/* ---- The guest ---- */

#define UNTIL(condition) GUEST_UNTIL(guest_wait, condition)

static void put(uint32_t type, const void *message, uint32_t bytes)
{
	uint8_t packet[4096];
	const struct synthvid_header header = {SYNTHVID_PIPE_DATA, bytes + 8, type, bytes + 8};

	assert_true(bytes <= sizeof(packet) - sizeof(header));
	memcpy(packet, &header, sizeof(header));
	memcpy(packet + sizeof(header), message, bytes);
	assert_true(guest_send(&channel, VM_PKT_DATA_INBAND, 0, 0, NULL, 0, packet,
			       (uint32_t)sizeof(header) + bytes));
}

static bool try_get(uint32_t type, void *message, size_t size)
{
	static struct guest_packet packet;
	struct synthvid_header header;

	if (!guest_receive(&channel, &packet)) {
		return false;
	}
	memcpy(&header, packet.bytes + 16, sizeof(header));
	assert_int_equal(header.pipe_type, SYNTHVID_PIPE_DATA);
	assert_int_equal(header.pipe_size, header.size);
	assert_int_equal(header.type, type);
	assert_int_equal(header.size, size + 8);
	memcpy(message, packet.bytes + 16 + sizeof(header), size);
	return true;
}

static void expect(uint32_t type, void *message, size_t size)
{
	UNTIL(try_get(type, message, size));
}

static bool accepts(uint32_t version)
{
	const struct synthvid_version_request request = {.version = version};
	struct synthvid_version_response answer;

	put(SYNTHVID_VERSION_REQUEST, &request, sizeof(request));
	expect(SYNTHVID_VERSION_RESPONSE, &answer, sizeof(answer));
	assert_int_equal(answer.version, version);
	assert_int_equal(answer.max_video_outputs, 1);
	return answer.is_accepted;
}

/* Whatever was said before has been heard. */
static void expect_silence(void)
{
	assert_false(accepts(SYNTHVID_VERSION(4, 0)));
}

static void put_place(bool there, uint64_t gpa)
{
	const struct synthvid_vram_location message = {
		.user_ctx = 77, .is_vram_gpa_specified = there, .vram_gpa = gpa};

	put(SYNTHVID_VRAM_LOCATION, &message, sizeof(message));
}

static void put_frame(uint64_t gpa)
{
	struct synthvid_ack ack;

	put_place(true, gpa);
	expect(SYNTHVID_VRAM_LOCATION_ACK, &ack, sizeof(ack));
	assert_int_equal(ack.user_ctx, 77);
}

static struct synthvid_situation_update usual(void)
{
	return (struct synthvid_situation_update){.user_ctx = 5,
						  .video_output_count = 1,
						  .video_output = {.active = 1,
								   .depth_bits = 32,
								   .width_pixels = WIDTH,
								   .height_pixels = HEIGHT,
								   .pitch_bytes = PITCH}};
}

static void put_situation(const struct synthvid_situation_update *message)
{
	struct synthvid_ack ack;

	put(SYNTHVID_SITUATION_UPDATE, message, sizeof(*message));
	expect(SYNTHVID_SITUATION_UPDATE_ACK, &ack, sizeof(ack));
	assert_int_equal(ack.user_ctx, message->user_ctx);
}

/* What the monitor prefers: a width that its EDID has in 8 and 4 bits, a height likewise. */
static void expect_monitor(const uint8_t edid[SYNTHVID_EDID_BYTES], unsigned int width,
			   unsigned int height)
{
	const uint8_t *timing = edid + 54;
	unsigned int i, sum = 0;

	for (i = 0; i < SYNTHVID_EDID_BYTES; i++) {
		sum += edid[i];
	}
	assert_int_equal(sum % 256, 0);
	assert_int_equal(timing[2] | (timing[4] & 0xf0u) << 4, width);
	assert_int_equal(timing[5] | (timing[7] & 0xf0u) << 4, height);
}

static void expect_size(bool dirt, unsigned int width, unsigned int height)
{
	struct synthvid_feature_change_edid message;

	expect(SYNTHVID_FEATURE_CHANGE, &message, sizeof(message));
	assert_int_equal(message.change.is_dirt_needed, dirt);
	assert_int_equal(message.change.is_situ_needed, 1);
	expect_monitor(message.edid_block, width, height);
}

static void expect_wish(bool dirt)
{
	struct synthvid_feature_change message;

	expect(SYNTHVID_FEATURE_CHANGE, &message, sizeof(message));
	assert_int_equal(message.is_dirt_needed, dirt);
	assert_int_equal(message.is_situ_needed, 1);
}

/* A picture is there, and the guest knows that nobody looks. */
static void show(uint64_t gpa)
{
	const struct synthvid_situation_update situation = usual();

	assert_true(accepts(SYNTHVID_VERSION_WIN10));
	put_frame(gpa);
	put_situation(&situation);
	expect_wish(false);
}

static void draw(int32_t left, int32_t top, int32_t right, int32_t bottom)
{
	struct {
		struct synthvid_dirt head;
		struct synthvid_rect rect;
	} __attribute__((packed))
	message = {.head = {.dirt_count = 1}, .rect = {left, top, right, bottom}};

	put(SYNTHVID_DIRT, &message, sizeof(message));
	expect_silence();
}

static struct video_view look(void)
{
	struct video_view view;

	assert_true(video_look(video, true, &view));
	assert_int_equal(view.width, WIDTH);
	assert_int_equal(view.height, HEIGHT);
	assert_int_equal(view.pitch, PITCH);
	assert_int_equal(view.bits, 32);
	return view;
}

static bool is_shown(void)
{
	struct video_view view;

	return video_look(video, false, &view);
}

static void open_channel(void)
{
	assert_int_equal(guest_open(&channel, relid, ++next_gpadl, RING, 64, 0), 0);
}

static void close_channel(void)
{
	if (!guest_close(&channel)) {
		UNTIL(guest_take(CHANNELMSG_GPADL_TORNDOWN) != NULL);
	}
}

static int setup(void **state)
{
	struct vmbus_channel_message_header request = {.msgtype = CHANNELMSG_REQUESTOFFERS};
	const struct vmbus_channel_offer_channel *offer;

	(void)state;
	memset(&home, 0, sizeof(home));
	home.place = NOWHERE;
	guest_create();
	assert_int_equal(video_create(guest.bus, &home, true, &video), 0);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_post(&request, sizeof(request)), 0);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_non_null(offer);
	assert_int_equal(offer->offer.mmio_megabytes, VIDEO_MEGABYTES);
	relid = offer->child_relid;
	assert_non_null(guest_take(CHANNELMSG_ALLOFFERS_DELIVERED));
	open_channel();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	video_destroy(&video);
	guest_destroy();
	assert_true(home.place == NOWHERE);
	return 0;
}

/* ---- Tests ---- */

static void test_versions(void **state)
{
	(void)state;
	assert_false(accepts(SYNTHVID_VERSION(4, 0)));
	assert_false(accepts(SYNTHVID_VERSION(3, 6)));
	assert_false(accepts(SYNTHVID_VERSION(3, 1)));
	assert_true(accepts(SYNTHVID_VERSION_WIN7));
	assert_true(accepts(SYNTHVID_VERSION_WIN8));
	assert_true(accepts(SYNTHVID_VERSION_WIN10));
}

static void test_what_it_is(void **state)
{
	struct synthvid_resolution_request request = {SYNTHVID_RESOLUTION_MAX};
	struct synthvid_resolution_response r;
	struct synthvid_bios_info bios;
	struct synthvid_capability_response capability;
	unsigned int i, widest = 0;

	(void)state;
	assert_true(accepts(SYNTHVID_VERSION_WIN10));
	put(SYNTHVID_RESOLUTION_REQUEST, &request, sizeof(request));
	expect(SYNTHVID_RESOLUTION_RESPONSE, &r, sizeof(r));
	expect_monitor(r.edid_block, WIDTH, HEIGHT);
	assert_true(r.resolution_count <= SYNTHVID_RESOLUTION_MAX);
	assert_int_equal(r.supported_resolution[r.default_resolution_index].width, WIDTH);
	for (i = 0; i < r.resolution_count; i++) {
		uint32_t width = r.supported_resolution[i].width;

		assert_true(width * 4u * r.supported_resolution[i].height <= VIDEO_BYTES);
		widest = width > widest ? width : widest;
	}
	assert_int_equal(widest, VIDEO_MAX_WIDTH);
	request.maximum_resolution_count = 1;
	put(SYNTHVID_RESOLUTION_REQUEST, &request, sizeof(request));
	expect(SYNTHVID_RESOLUTION_RESPONSE, &r, sizeof(r));
	assert_int_equal(r.resolution_count, 1);
	assert_int_equal(r.supported_resolution[0].width, WIDTH);
	put(SYNTHVID_BIOS_INFO_REQUEST, &bios, 0);
	expect(SYNTHVID_BIOS_INFO_RESPONSE, &bios, sizeof(bios));
	assert_int_equal(bios.stop_device_supported, 1);
	put(SYNTHVID_CAPABILITY_REQUEST, &capability, 0);
	expect(SYNTHVID_CAPABILITY_RESPONSE, &capability, sizeof(capability));
}

static struct synthvid_resolution default_size(uint8_t most, unsigned int width,
					       unsigned int height)
{
	const struct synthvid_resolution_request request = {most};
	struct synthvid_resolution_response r;

	put(SYNTHVID_RESOLUTION_REQUEST, &request, sizeof(request));
	expect(SYNTHVID_RESOLUTION_RESPONSE, &r, sizeof(r));
	assert_true(r.default_resolution_index < r.resolution_count);
	expect_monitor(r.edid_block, width, height);
	return r.supported_resolution[r.default_resolution_index];
}

/* A size that was wanted before there was a guest is what it finds; the nearest one that Linux has,
 * too, is the list's. */
static void test_wanted_size(void **state)
{
	/* The list has it from left to right, as a guest then has it. */
	static const struct {
		unsigned int width, height, monitor_width, monitor_height, list_width, list_height;
	} cases[] = {
		{1280, 800, 1280, 800, 1280, 800},    {1287, 801, 1280, 801, 1280, 800},
		{1, 1, 640, 480, 640, 480},           {32767, 32767, 3840, 2160, 2560, 1600},
		{2560, 1440, 2560, 1440, 1920, 1200}, {1160, 900, 1160, 900, 1024, 768},
		{1920, 500, 1920, 500, 640, 480},
	};
	struct synthvid_resolution size;
	unsigned int i, turn;

	(void)state;
	assert_true(accepts(SYNTHVID_VERSION_WIN10));
	for (i = 0; i < ARRAY_COUNT(cases); i++) {
		video_want(video, cases[i].width, cases[i].height);
		for (turn = 0; turn < 2; turn++) {
			size = default_size(turn == 0 ? SYNTHVID_RESOLUTION_MAX : 1,
					    cases[i].monitor_width, cases[i].monitor_height);
			assert_int_equal(size.width, cases[i].list_width);
			assert_int_equal(size.height, cases[i].list_height);
		}
	}
}

/* One that runs is told, once, if it is of a version that has the message. */
static void test_wanted_meanwhile(void **state)
{
	const struct synthvid_situation_update situation = usual();

	(void)state;
	show(WINDOW);
	assert_true(look().asked);
	expect_wish(true);
	video_want(video, 1600, 1000);
	expect_size(true, 1600, 1000);
	video_want(video, 1604, 1000); /* which is the same */
	expect_silence();
	video_want(video, 800, 600);
	expect_size(true, 800, 600);
	/* It was told of nothing that the next guest need not be told of. */
	close_channel();
	open_channel();
	assert_true(accepts(SYNTHVID_VERSION_WIN10));
	put_frame(WINDOW);
	put_situation(&situation);
	expect_size(true, 800, 600);
	/* One that has asked knows it. */
	assert_true(accepts(SYNTHVID_VERSION_WIN10));
	(void)default_size(SYNTHVID_RESOLUTION_MAX, 800, 600);
	put_frame(WINDOW);
	put_situation(&situation);
	expect_silence();
	assert_true(accepts(SYNTHVID_VERSION_WIN8));
	put_frame(WINDOW);
	put_situation(&situation);
	assert_false(look().asked);
	video_want(video, 1024, 768);
	expect_silence();
}

/* A frame that comes, moves, goes out and ends with its channel. */
static void test_life(void **state)
{
	struct synthvid_situation_update situation = usual();
	struct synthvid_ack ack;

	(void)state;
	assert_false(is_shown());
	show(WINDOW);
	assert_true(home.place == WINDOW && is_shown());
	put_frame(WINDOW + (32u << 20));
	assert_true(home.place == WINDOW + (32u << 20));
	assert_false(is_shown());
	put_situation(&situation);
	assert_true(is_shown());
	situation.video_output.active = 0;
	put_situation(&situation);
	assert_false(is_shown());
	put_place(false, 0);
	expect(SYNTHVID_VRAM_LOCATION_ACK, &ack, sizeof(ack));
	assert_true(home.place == NOWHERE);
	close_channel();
	open_channel();
	show(WINDOW);
	close_channel();
	assert_true(home.place == NOWHERE);
	assert_false(is_shown());
}

static void test_dirt(void **state)
{
	struct video_view view;
	unsigned int i;

	(void)state;
	show(WINDOW);
	draw(0, 0, 10, 10); /* that nobody has asked for */
	assert_true(look().all);
	expect_wish(true);
	/* What was drawn before the guest knew is never told. */
	assert_true(look().all);
	draw(1, 2, 30, 40);
	assert_true(look().all);
	assert_int_equal(look().change_count, 0);
	assert_false(look().all);
	draw(1, 2, 30, 40);
	view = look();
	assert_int_equal(view.change_count, 1);
	assert_int_equal(view.changes[0].left, 1);
	assert_int_equal(view.changes[0].top, 2);
	assert_int_equal(view.changes[0].right, 30);
	assert_int_equal(view.changes[0].bottom, 40);
	draw(-5, -5, 99999, 3);
	draw(9, 9, 9, 12);
	draw(2000, 0, 2001, 5);
	view = look();
	assert_int_equal(view.change_count, 1);
	assert_int_equal(view.changes[0].left, 0);
	assert_int_equal(view.changes[0].right, WIDTH);
	for (i = 0; i < 3 * VIDEO_CHANGES; i++) {
		draw((int32_t)i, (int32_t)i, (int32_t)i + 1, (int32_t)i + 1);
	}
	view = look();
	assert_int_equal(view.change_count, VIDEO_CHANGES);
	assert_int_equal(view.changes[VIDEO_CHANGES - 1].left, VIDEO_CHANGES - 1);
	assert_int_equal(view.changes[VIDEO_CHANGES - 1].right, 3 * VIDEO_CHANGES);
	/* Who only wants a picture changes nothing for those who look. */
	draw(0, 0, 1, 1);
	assert_true(video_look(video, false, &view) && view.all);
	assert_int_equal(look().change_count, 1);
	/* Nobody has looked for a while. */
	home.clock += 3000;
	{
		static const uint8_t nothing[sizeof(struct synthvid_dirt)];

		put(SYNTHVID_DIRT, nothing, sizeof(nothing));
		expect_wish(false);
	}
	assert_true(look().all);
	expect_wish(true);
}

/* Of a frame in RAM what has changed is fetched when somebody looks. */
static void test_ram(void **state)
{
	(void)state;
	show(0x100000);
	assert_true(home.place == NOWHERE);
	assert_true(home.fetched == 0);
	assert_true(look().all);
	assert_true(home.fetched == PITCH * HEIGHT && home.from == 0x100000);
	expect_wish(true);
	draw(0, 0, 1, 1);
	(void)look();
	home.fetched = 0;
	(void)look();
	assert_true(home.fetched == 0);
	draw(5, 10, 6, 12);
	(void)look();
	assert_true(home.fetched == 2 * PITCH && home.from == 0x100000 + 10 * PITCH);
}

static void expect_refused(const struct synthvid_situation_update *situation)
{
	put(SYNTHVID_SITUATION_UPDATE, situation, sizeof(*situation));
	expect_silence();
}

static void test_refused(void **state)
{
	static const struct synthvid_output bad[] = {
		{1, 0, 32, 0, HEIGHT, PITCH},
		{1, 0, 32, WIDTH, 0, PITCH},
		{1, 0, 32, VIDEO_MAX_WIDTH + 1, 1, 4 * (VIDEO_MAX_WIDTH + 1)},
		{1, 0, 32, WIDTH, VIDEO_MAX_HEIGHT + 1, PITCH},
		{1, 0, 24, WIDTH, HEIGHT, PITCH},
		{1, 0, 8, WIDTH, HEIGHT, PITCH},
		{1, 0, 32, WIDTH, HEIGHT, PITCH - 1},
		{1, 0, 32, WIDTH, HEIGHT, UINT32_MAX},
		{1, VIDEO_BYTES - PITCH * HEIGHT + 1, 32, WIDTH, HEIGHT, PITCH},
		{1, UINT32_MAX, 32, WIDTH, HEIGHT, PITCH},
	};
	struct synthvid_situation_update situation = usual();
	static const uint8_t much[] = {0, 255, 1, 2, 3};
	unsigned int i;

	(void)state;
	put_place(true, WINDOW); /* before there is a version */
	expect_silence();
	assert_true(home.place == NOWHERE);
	assert_true(accepts(SYNTHVID_VERSION_WIN10));
	expect_refused(&situation); /* the frame is nowhere */
	put_place(true, WINDOW - 0x1000);
	put_place(true, WINDOW + 1);
	put_place(true, RAM_END);
	expect_silence();
	assert_true(home.place == NOWHERE && home.complaints == 1);
	put_frame(WINDOW);
	for (i = 0; i < ARRAY_COUNT(bad); i++) {
		situation.video_output = bad[i];
		expect_refused(&situation);
		assert_false(is_shown());
	}
	situation = usual();
	put_situation(&situation);
	expect_wish(false);
	put_place(true, RAM_END); /* it stays where it was */
	situation.video_output.pitch_bytes = 1;
	expect_refused(&situation);
	put(SYNTHVID_DIRT, much, sizeof(much));
	put(SYNTHVID_VERSION_REQUEST, much, 3);
	put(99, much, sizeof(much));
	put(SYNTHVID_POINTER_POSITION, much, sizeof(much));
	expect_silence();
	assert_true(home.place == WINDOW && is_shown());
	/* The end of RAM is the end of a frame in it. */
	put_frame(RAM_END - 0x1000);
	situation = usual();
	expect_refused(&situation);
	assert_false(is_shown());
}

static void save_video(struct state_writer *writer)
{
	video_save(video, writer);
}

static void test_saved(void **state)
{
	struct state_fault fault;
	struct state_reader list;
	uint8_t *saved;
	size_t size;

	(void)state;
	show(WINDOW);
	vmbus_pause(guest.bus);
	saved = guest_save(save_video, &size);
	video_destroy(&video);
	guest_restart();
	home.place = NOWHERE;
	assert_int_equal(video_create(guest.bus, &home, true, &video), 0);
	vmbus_pause(guest.bus);
	list = state_reader(saved, size, &fault);
	assert_int_equal(video_load(video, &list), 0);
	assert_int_equal(vmbus_load(guest.bus, &list), 0);
	assert_true(home.place == WINDOW);
	assert_true(look().all);
	vmbus_resume(guest.bus);
	expect_wish(true);
	draw(0, 0, 1, 1);
	assert_true(look().all);
	assert_false(look().all);
	free(saved);
}

/* What a state of a channel that is open, with this message that had no room, is answered. */
static int load_with(const struct synthvid_header *message, uint32_t bytes,
		     struct state_fault *fault)
{
	uint8_t state[128];
	struct state_writer writer = state_writer(state, sizeof(state));
	struct state_reader list;
	size_t part = state_begin(&writer, "video", 1);

	state_put_bool(&writer, true);
	state_put_u8(&writer, 1); /* nothing was said yet */
	state_put_u32(&writer, 0);
	state_put_bool(&writer, false);
	state_put_u64(&writer, 0);
	state_put_u32(&writer, 0);
	state_put_u32(&writer, 0);
	state_put_u32(&writer, 0);
	state_put_u32(&writer, 0);
	state_put_u8(&writer, 0);
	state_put_u32(&writer, bytes);
	state_put_bytes(&writer, message, bytes);
	state_end(&writer, part);
	assert_true(state_fits(&writer));
	list = state_reader(state, writer.used, fault);
	return video_load(video, &list);
}

static void test_message_of_a_state(void **state)
{
	static const struct synthvid_header
		good = {SYNTHVID_PIPE_DATA, 8, SYNTHVID_VERSION_RESPONSE, 8},
		bad[] = {
			{0, 8, SYNTHVID_VERSION_RESPONSE, 8},
			{SYNTHVID_PIPE_DATA, 9, SYNTHVID_VERSION_RESPONSE, 8},
			{SYNTHVID_PIPE_DATA, 9, SYNTHVID_VERSION_RESPONSE, 9},
			{SYNTHVID_PIPE_DATA, 8, SYNTHVID_VERSION_RESPONSE, 7},
		};
	struct state_fault fault;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(bad); i++) {
		assert_int_equal(load_with(&bad[i], sizeof(bad[i]), &fault), -EINVAL);
		assert_string_equal(fault.what, "has a message that cannot be");
	}
	assert_int_equal(load_with(&good, sizeof(good) - 1, &fault), -EINVAL);
	video_destroy(&video);
	guest_restart();
	assert_int_equal(video_create(guest.bus, &home, true, &video), 0);
	vmbus_pause(guest.bus);
	assert_int_equal(load_with(&good, sizeof(good), &fault), 0);
}

int main(void)
{
#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_GUEST(test_versions),    WITH_GUEST(test_what_it_is),
		WITH_GUEST(test_life),        WITH_GUEST(test_dirt),
		WITH_GUEST(test_ram),         WITH_GUEST(test_refused),
		WITH_GUEST(test_saved),       WITH_GUEST(test_message_of_a_state),
		WITH_GUEST(test_wanted_size), WITH_GUEST(test_wanted_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
