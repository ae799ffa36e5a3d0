/*
 * The protocol of Hyper-V's synthetic video, as Linux's hyperv_drm speaks it: in-band packets of a
 * channel with VMBUS_GUID_VIDEO, none of which asks for a completion. Names as in
 * drivers/gpu/drm/hyperv/hyperv_drm_proto.c. Little-endian, packed.
 *
 * A packet is struct synthvid_header and a message. The guest begins: VERSION_REQUEST, from 3.5 on
 * RESOLUTION_REQUEST, VRAM_LOCATION, each answered; then SITUATION_UPDATE, and the picture is
 * there. The host says with FEATURE_CHANGE what else it wants to hear.
 */
#ifndef VSP_SYNTHVID_H
#define VSP_SYNTHVID_H

#include <assert.h>
#include <stdint.h>

#define SYNTHVID_PACKED __attribute__((packed))

#define SYNTHVID_PACKET_MAX 16384u /* bytes */

enum synthvid_type {
	SYNTHVID_VERSION_REQUEST = 1,
	SYNTHVID_VERSION_RESPONSE = 2,
	SYNTHVID_VRAM_LOCATION = 3,
	SYNTHVID_VRAM_LOCATION_ACK = 4,
	SYNTHVID_SITUATION_UPDATE = 5,
	SYNTHVID_SITUATION_UPDATE_ACK = 6,
	SYNTHVID_POINTER_POSITION = 7,
	SYNTHVID_POINTER_SHAPE = 8,
	SYNTHVID_FEATURE_CHANGE = 9,
	SYNTHVID_DIRT = 10,
	SYNTHVID_BIOS_INFO_REQUEST = 11, /* from 3.3 on */
	SYNTHVID_BIOS_INFO_RESPONSE = 12,
	SYNTHVID_RESOLUTION_REQUEST = 13,
	SYNTHVID_RESOLUTION_RESPONSE = 14,
	SYNTHVID_CAPABILITY_REQUEST = 15, /* from 3.5 on */
	SYNTHVID_CAPABILITY_RESPONSE = 16,
};

struct synthvid_header {
	uint32_t pipe_type; /* SYNTHVID_PIPE_DATA */
	uint32_t pipe_size; /* of what follows */
	uint32_t type;
	uint32_t size; /* of the message, these two with it */
} SYNTHVID_PACKED;
static_assert(sizeof(struct synthvid_header) == 16, "synthvid_header");
#define SYNTHVID_PIPE_DATA 1u

#define SYNTHVID_VERSION(major, minor) ((uint32_t)(minor) << 16 | (major))
#define SYNTHVID_VERSION_WIN7          SYNTHVID_VERSION(3, 0)
#define SYNTHVID_VERSION_WIN8          SYNTHVID_VERSION(3, 2)
#define SYNTHVID_VERSION_HOST_SIZE     SYNTHVID_VERSION(3, 4)
#define SYNTHVID_VERSION_WIN10         SYNTHVID_VERSION(3, 5)

struct synthvid_version_request {
	uint32_t version;
} SYNTHVID_PACKED;

struct synthvid_version_response {
	uint32_t version;
	uint8_t is_accepted;
	uint8_t max_video_outputs;
} SYNTHVID_PACKED;

struct synthvid_vram_location {
	uint64_t user_ctx;
	uint8_t is_vram_gpa_specified;
	uint64_t vram_gpa;
} SYNTHVID_PACKED;
static_assert(sizeof(struct synthvid_vram_location) == 17, "synthvid_vram_location");

/* Of VRAM_LOCATION and of SITUATION_UPDATE. */
struct synthvid_ack {
	uint64_t user_ctx;
} SYNTHVID_PACKED;

struct synthvid_output {
	uint8_t active;
	uint32_t vram_offset;
	uint8_t depth_bits; /* of a pixel */
	uint32_t width_pixels;
	uint32_t height_pixels;
	uint32_t pitch_bytes;
} SYNTHVID_PACKED;

struct synthvid_situation_update {
	uint64_t user_ctx;
	uint8_t video_output_count;
	struct synthvid_output video_output; /* the first; there is one */
} SYNTHVID_PACKED;
static_assert(sizeof(struct synthvid_situation_update) == 27, "synthvid_situation_update");

struct synthvid_pointer_position {
	uint8_t is_visible;
	uint8_t video_output;
	int32_t image_x, image_y;
} SYNTHVID_PACKED;

/* Then its pixels, or a part of them. */
struct synthvid_pointer_shape {
	uint8_t part_idx; /* from 0 on; the last or only one: SYNTHVID_POINTER_COMPLETE */
	uint8_t is_argb;  /* else two masks of a bit a pixel */
	uint32_t width, height;
	uint32_t hot_x, hot_y;
} SYNTHVID_PACKED;
static_assert(sizeof(struct synthvid_pointer_shape) == 18, "synthvid_pointer_shape");
#define SYNTHVID_POINTER_SIDE     96u
#define SYNTHVID_POINTER_MAX      (SYNTHVID_POINTER_SIDE * SYNTHVID_POINTER_SIDE * 4)
#define SYNTHVID_POINTER_COMPLETE 0xffu

struct synthvid_feature_change {
	uint8_t is_dirt_needed;
	uint8_t is_ptr_pos_needed;
	uint8_t is_ptr_shape_needed;
	uint8_t is_situ_needed;
} SYNTHVID_PACKED;

#define SYNTHVID_EDID_BYTES 128u

/* From SYNTHVID_VERSION_HOST_SIZE on also this: another monitor, which prefers another size. */
struct synthvid_feature_change_edid {
	struct synthvid_feature_change change;
	uint8_t edid_block[SYNTHVID_EDID_BYTES];
} SYNTHVID_PACKED;
static_assert(sizeof(struct synthvid_feature_change_edid) == 132, "synthvid_feature_change_edid");

struct synthvid_rect {
	int32_t left, top, right, bottom; /* without the last two */
} SYNTHVID_PACKED;

/* Then as many rectangles. */
struct synthvid_dirt {
	uint8_t video_output;
	uint8_t dirt_count;
} SYNTHVID_PACKED;

struct synthvid_bios_info {
	uint32_t stop_device_supported; /* of a machine of the second generation */
	uint8_t reserved[12];
} SYNTHVID_PACKED;

struct synthvid_resolution_request {
	uint8_t maximum_resolution_count;
} SYNTHVID_PACKED;

#define SYNTHVID_RESOLUTION_MAX 64u

struct synthvid_resolution {
	uint16_t width, height;
} SYNTHVID_PACKED;

struct synthvid_resolution_response {
	uint8_t edid_block[SYNTHVID_EDID_BYTES];
	uint8_t resolution_count;
	uint8_t default_resolution_index;
	uint8_t is_standard;
	struct synthvid_resolution supported_resolution[SYNTHVID_RESOLUTION_MAX];
} SYNTHVID_PACKED;

struct synthvid_capability_response {
	uint32_t lock_on_disconnect;
	uint32_t reserved[15];
} SYNTHVID_PACKED;

#endif
