/*
 * Synthetic video whose guest says anything at any time: raw packets, and messages that are right
 * but for some bytes. Channels open and close, there is no room, somebody looks, or nobody, the
 * machine moves. The frame memory is in one place at most; a picture that is seen lies in it, as do
 * all changes that are told; nothing is fetched but RAM. The channel, and what has threads
 * otherwise, is this file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/vsp/synthvid.h"
#include "tests/fake/lone_device.h"
#include "tests/fuzz/fuzz.h"
#include "vsp/device.h"
#include "vsp/video/host.h"
#include "vsp/video/video.h"

#define WINDOW     0xf8000000ull
#define WINDOW_END 0xfec00000ull
#define RAM_END    0x1000000ull
#define NOWHERE    UINT64_MAX

static struct video *video;
static bool room;
static uint64_t place, now;

/* ---- The channel ---- */

int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned int count)
{
	struct synthvid_header header;

	(void)channel;
	(void)transaction;
	memcpy(&header, payload->iov_base, sizeof(header));
	EXPECT(count == 1 && !completion_requested && header.pipe_type == SYNTHVID_PIPE_DATA &&
	       header.size == payload->iov_len - 8 && header.pipe_size == header.size);
	EXPECT(header.type != SYNTHVID_FEATURE_CHANGE ||
	       header.size == 8 + sizeof(struct synthvid_feature_change) ||
	       header.size == 8 + sizeof(struct synthvid_feature_change_edid));
	return room ? 0 : -EAGAIN;
}

/* ---- The machine ---- */

bool video_host_place(struct video_host *host, uint64_t gpa)
{
	(void)host;
	EXPECT(gpa % 4096 == 0);
	if (gpa < WINDOW || gpa >= WINDOW_END || VIDEO_BYTES > WINDOW_END - gpa) {
		return false;
	}
	place = gpa;
	return true;
}

void video_host_remove(struct video_host *host)
{
	(void)host;
	EXPECT(place != NOWHERE);
	place = NOWHERE;
}

bool video_host_is_ram(struct video_host *host, uint64_t gpa, uint64_t length)
{
	(void)host;
	EXPECT(length > 0);
	return gpa < RAM_END && length <= RAM_END - gpa;
}

void video_host_fetch(struct video_host *host, uint64_t gpa, uint32_t offset, uint32_t length)
{
	EXPECT(video_host_is_ram(host, gpa, length) && place == NOWHERE);
	EXPECT(offset <= VIDEO_BYTES && length <= VIDEO_BYTES - offset);
}

uint64_t video_host_clock(struct video_host *host)
{
	(void)host;
	return now;
}

void video_host_log(struct video_host *host, const char *line)
{
	(void)host;
	EXPECT(line != NULL);
}

/* ---- The guest ---- */

static void work(void)
{
	unsigned int i;

	for (i = 0;
	     lone_channel != NULL && !lone_shut && lone_device->class->channel->work(lone_channel);
	     i++) {
		EXPECT(i < 1000);
	}
}

static void closes(void)
{
	EXPECT(!lone_close() || place == NOWHERE);
}

static void delivers(const void *bytes, size_t size, uint16_t type)
{
	uint64_t *copy = malloc(size + 1);
	struct vmbus_packet packet = {
		.type = type, .payload = copy, .payload_bytes = (uint32_t)size};

	EXPECT(copy != NULL);
	memcpy(copy, bytes, size);
	if (lone_channel != NULL && !lone_shut &&
	    lone_device->class->channel->ready(lone_channel)) {
		lone_device->class->channel->packet(lone_channel, &packet);
	}
	free(copy);
	work();
}

/* As a guest does it, but for the bytes that the input changes: pairs of a place and a value. */
static void says(uint32_t type, const void *message, uint32_t bytes, const uint8_t *data,
		 size_t size)
{
	uint8_t packet[256];
	const struct synthvid_header header = {SYNTHVID_PIPE_DATA, bytes + 8, type, bytes + 8};
	size_t length = sizeof(header) + bytes;

	memcpy(packet, &header, sizeof(header));
	memcpy(packet + sizeof(header), message, bytes);
	for (; size >= 2; data += 2, size -= 2) {
		packet[data[0] % length] = data[1];
	}
	delivers(packet, length, VM_PKT_DATA_INBAND);
}

static void agrees(uint32_t version)
{
	says(SYNTHVID_VERSION_REQUEST, &version, sizeof(version), NULL, 0);
}

static void places(uint8_t where, const uint8_t *data, size_t size)
{
	const struct synthvid_vram_location message = {
		.is_vram_gpa_specified = where != 0,
		.vram_gpa = where & 1 ? WINDOW + ((uint64_t)where << 20) : (uint64_t)where << 16};

	says(SYNTHVID_VRAM_LOCATION, &message, sizeof(message), data, size);
}

static void shows(uint8_t how, const uint8_t *data, size_t size)
{
	const uint32_t width = 64u << (how & 7) >> 1;
	const struct synthvid_situation_update message = {
		.video_output_count = 1,
		.video_output = {.active = (how & 0x18) != 0,
				 .depth_bits = how & 0x80 ? 16 : 32,
				 .width_pixels = width,
				 .height_pixels = 1 + how * 4u,
				 .pitch_bytes = width * 4}};

	says(SYNTHVID_SITUATION_UPDATE, &message, sizeof(message), data, size);
}

static void draws(const uint8_t *data, size_t size)
{
	struct {
		struct synthvid_dirt head;
		struct synthvid_rect rects[4];
	} __attribute__((packed)) message = {.head.dirt_count = data[0] % 5};
	unsigned int i;

	for (i = 0; i < 4; i++) {
		message.rects[i] =
			(struct synthvid_rect){data[0] * (int32_t)i, data[1],
					       data[0] * (int32_t)i + data[2], data[1] + data[2]};
	}
	says(SYNTHVID_DIRT, &message, sizeof(message), data + 3, size - 3);
}

static size_t saves(uint8_t *to, size_t size)
{
	struct state_writer writer = state_writer(to, size);

	video_save(video, &writer);
	return writer.used;
}

static int loads(const uint8_t *from, size_t size)
{
	struct state_fault fault;
	struct state_reader all = state_reader(from, size, &fault);
	int ret;

	closes();
	video_destroy(&video);
	lone_loaded = NULL;
	EXPECT(video_create(NULL, NULL, false, &video) == 0);
	ret = video_load(video, &all);
	EXPECT(ret == 0 || (ret == -EINVAL && fault.what != NULL && lone_loaded == NULL));
	return ret;
}

static bool begins(void)
{
	if (lone_loaded != NULL && lone_device->class->load(lone_loaded, NULL) == 0) {
		lone_channel = lone_loaded;
		lone_shut = false;
		return true;
	}
	if (lone_loaded != NULL) {
		lone_device->class->free(lone_loaded);
	}
	return false;
}

/* Another machine takes over, after one that was given a state with other bytes. */
static void moves(const uint8_t *data, size_t size)
{
	size_t bytes = saves(NULL, 0);
	bool open = lone_channel != NULL;
	uint8_t *state = malloc(bytes), *changed = malloc(bytes);

	EXPECT(state != NULL && changed != NULL && saves(state, bytes) == bytes);
	memcpy(changed, state, bytes);
	for (; size >= 2; data += 2, size -= 2) {
		changed[data[0] % bytes] = data[1];
	}
	if (loads(changed, bytes) == 0 && begins()) {
		struct video_view view;

		(void)video_look(video, true, &view);
		work();
	}
	EXPECT(loads(state, bytes) == 0);
	EXPECT(begins() == open);
	EXPECT(saves(changed, bytes) == bytes && memcmp(state, changed, bytes) == 0);
	free(state);
	free(changed);
}

static void look(bool follow)
{
	struct video_view view;
	unsigned int i;

	if (!video_look(video, follow, &view)) {
		return;
	}
	EXPECT(lone_channel != NULL && view.width > 0 && view.width <= VIDEO_MAX_WIDTH &&
	       view.height > 0 && view.height <= VIDEO_MAX_HEIGHT &&
	       (view.bits == 32 || view.bits == 16) && view.pitch >= view.width * view.bits / 8u &&
	       view.offset + (uint64_t)view.pitch * view.height <= VIDEO_BYTES &&
	       view.change_count <= VIDEO_CHANGES && (follow || view.all));
	for (i = 0; i < view.change_count; i++) {
		EXPECT(view.changes[i].left < view.changes[i].right &&
		       view.changes[i].right <= view.width &&
		       view.changes[i].top < view.changes[i].bottom &&
		       view.changes[i].bottom <= view.height);
	}
}

static void act(const uint8_t *data, size_t size)
{
	switch (data[0] % 11) {
	case 0:
		if (data[1] % 4 == 0) {
			closes();
		}
		(void)lone_open();
		agrees(SYNTHVID_VERSION_WIN10);
		break;
	case 1:
	case 2:
		(void)lone_open();
		agrees(SYNTHVID_VERSION_WIN8);
		places(data[1], data + 4, size > 8 ? 2 : 0);
		shows(data[2], data + 4, size > 12 ? 2 : 0);
		break;
	case 3:
		places(data[1], data + 2, size - 2);
		break;
	case 4:
		shows(data[1], data + 2, size - 2);
		break;
	case 5:
	case 6:
		draws(data + 1, size - 1);
		break;
	case 7:
		look(data[1] & 1);
		now += data[2] * 20u;
		if (data[2] & 1) {
			video_want(video, data[3] * 33u, data[4] * 25u);
		}
		break;
	case 8:
		room = data[1] & 1;
		break;
	case 9:
		moves(data + 1, data[1] & 1 ? size - 1 : 0);
		break;
	default:
		delivers(data + 1, size - 1, data[1] & 1 ? VM_PKT_DATA_INBAND : VM_PKT_COMP);
	}
	work();
	look(true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	room = true;
	lone_shut = false;
	now = 0;
	place = NOWHERE;
	lone_channel = NULL;
	EXPECT(video_create(NULL, NULL, false, &video) == 0);
	while (size > 4) {
		size_t length = data[0] % 32 < size - 1 ? data[0] % 32 : size - 1;

		data++;
		size--;
		if (length >= 5) {
			act(data, length);
		}
		data += length;
		size -= length;
	}
	closes();
	video_destroy(&video);
	return 0;
}
