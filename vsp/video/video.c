/*
 * The synthetic display's protocol, on the thread of its channel (vsp/channel.h).
 *
 *   CLOSED -opened-> OPEN -VERSION-> VERSIONED -VRAM_LOCATION-> PLACED -SITUATION, active-> SHOWN
 *                                        ^                        | ^-------- inactive -------|
 *                                        +--- none, or VERSION ---+
 *
 * Invariants
 *   1. The frame memory is in the guest's address space in PLACED and SHOWN alone, if it is not in its RAM then; and in one place.
 *   2. In SHOWN the whole picture lies in the frame memory, and what of it is fetched from RAM is RAM.
 *   3. A message that cannot be is dropped, with a line in the log, and changes nothing. It is not acknowledged either: a guest waits for that in vain.
 *
 * Who looks is told what has changed as the guest says it. It says so only while it is asked to,
 * from its first word after that on: until then all may have changed. When nobody has looked for a
 * while it is asked not to.
 */
#include "vsp/video/video.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/vsp/synthvid.h"
#include "vsp/device.h"
#include "vsp/video/edid.h"
#include "vsp/video/host.h"

#define PAGE                4096u
#define VIDEO_STATE_VERSION 1
#define PITCH_MAX           (VIDEO_MAX_WIDTH * 8)
#define HEAD_SIZE           8u    /* that struct synthvid_header's `size` counts */
#define UNSEEN_MS           2000u /* then nobody looks any more */

enum stage { CLOSED, OPEN, VERSIONED, PLACED, SHOWN };

/* What the guest has said. */
struct picture {
	enum stage stage;
	uint32_t version;
	bool in_ram;  /* in its own memory, PLACED and SHOWN */
	uint64_t gpa; /* of the frame memory */
	uint32_t offset, pitch, width, height;
	uint8_t bits;
};

/* [I] immutable, [L] under the lock. */
struct video {
	struct vsp_device device;
	struct video_host *host; /* [I] */
	bool stops;              /* [I] */
	pthread_mutex_t lock;
	struct picture now;        /* [L]; written by the channel's thread alone */
	bool wanted;               /* [L] changes are to be told */
	bool told;                 /* [L] the guest knows `wanted`; its channel's thread's to set */
	bool answered;             /* [L] it has told some since it knows */
	bool all;                  /* [L] anything may have changed since somebody looked */
	unsigned int change_count; /* [L] */
	struct video_change changes[VIDEO_CHANGES]; /* [L] */
	uint64_t looked_ms;                         /* [L] */
	struct synthvid_resolution size;            /* [L] that is wanted; 0 by 0: none is */
	bool size_told;                             /* [L] the guest knows of it */
};

/* What there is for an open channel, its thread's. */
struct session {
	struct vsp_channel vsp;
	struct video *video;
	bool complained;
	struct picture loaded; /* of a state, until the channel is open */
	uint32_t out_bytes;    /* of what has no room yet; 0: nothing */
	union {
		struct synthvid_header header;
		uint8_t bytes[sizeof(struct synthvid_header) +
			      sizeof(struct synthvid_resolution_response)];
	} out;
};

/* Those of Hyper-V's that the frame memory has room for. */
static const struct synthvid_resolution resolutions[] = {
	{640, 480},   {800, 600},   {1024, 768},  {1152, 864},  {1280, 720},  {1280, 800},
	{1280, 1024}, {1366, 768},  {1440, 900},  {1600, 900},  {1600, 1200}, {1680, 1050},
	{1920, 1080}, {1920, 1200}, {2560, 1440}, {2560, 1600}, {3840, 2160},
};
#define DEFAULT_RESOLUTION 2u
#define WIDTH_STEP         8u

static void lock(struct video *video)
{
	pthread_mutex_lock(&video->lock);
}

static void unlock(struct video *video)
{
	pthread_mutex_unlock(&video->lock);
}

/* Once for each channel: a guest that says it again and again does not fill the log. */
static void refuse(struct session *session, const char *what)
{
	if (!session->complained) {
		session->complained = true;
		video_host_log(session->video->host, what);
	}
}

/* ---- Messages ---- */

static bool send_out(struct session *session)
{
	struct iovec part = {&session->out, session->out_bytes};

	if (session->out_bytes == 0 ||
	    channel_send(session->vsp.channel, 0, false, &part, 1) == -EAGAIN) {
		return false;
	}
	session->out_bytes = 0; /* or the channel ends */
	return true;
}

/* There is nothing else that waits for room: no packet is taken meanwhile. */
static void put(struct session *session, enum synthvid_type type, const void *message,
		uint32_t bytes)
{
	const uint32_t size = bytes + HEAD_SIZE;

	CHECK(session->out_bytes == 0 &&
	      bytes <= sizeof(session->out) - sizeof(session->out.header));
	session->out.header = (struct synthvid_header){
		.pipe_type = SYNTHVID_PIPE_DATA, .pipe_size = size, .type = type, .size = size};
	memcpy(session->out.bytes + sizeof(session->out.header), message, bytes);
	session->out_bytes = (uint32_t)sizeof(session->out.header) + bytes;
	(void)send_out(session);
}

/* ---- What has changed; under the lock ---- */

static void forget_changes(struct video *video)
{
	video->all = true;
	video->change_count = 0;
}

static void add_change(struct video *video, const struct video_change *change)
{
	struct video_change *last = &video->changes[VIDEO_CHANGES - 1];

	if (video->all) {
		return;
	}
	if (video->change_count < VIDEO_CHANGES) {
		video->changes[video->change_count++] = *change;
		return;
	}
	/* The last one is of all that has no place. */
	last->left = change->left < last->left ? change->left : last->left;
	last->top = change->top < last->top ? change->top : last->top;
	last->right = change->right > last->right ? change->right : last->right;
	last->bottom = change->bottom > last->bottom ? change->bottom : last->bottom;
}

static uint16_t clamp(int32_t value, uint32_t most)
{
	return (uint16_t)(value < 0 ? 0 : (uint32_t)value > most ? most : (uint32_t)value);
}

/* ---- Where the picture is ---- */

/* From PLACED and SHOWN. */
static void leave(struct session *session)
{
	struct video *video = session->video;
	bool was_mapped = video->now.stage >= PLACED && !video->now.in_ram;

	lock(video);
	video->now = (struct picture){.stage = VERSIONED, .version = video->now.version};
	forget_changes(video);
	unlock(video);
	if (was_mapped) {
		video_host_remove(session->video->host);
	}
}

static bool place(struct session *session, uint64_t gpa)
{
	struct video *video = session->video;
	struct picture now = {.stage = PLACED, .version = video->now.version, .gpa = gpa};

	now.in_ram = video_host_is_ram(video->host, gpa, PAGE);
	if (!now.in_ram && !video_host_place(video->host, gpa)) {
		return false;
	}
	if (now.in_ram) {
		leave(session);
	}
	lock(video);
	video->now = now;
	forget_changes(video);
	unlock(video);
	return true;
}

static void vram_location(struct session *session, const void *payload, uint32_t bytes)
{
	struct synthvid_vram_location message;
	struct synthvid_ack ack;

	(void)bytes;
	memcpy(&message, payload, sizeof(message));
	if (session->video->now.stage < VERSIONED) {
		return;
	}
	if (!message.is_vram_gpa_specified) {
		leave(session);
	} else if (message.vram_gpa % PAGE != 0 || !place(session, message.vram_gpa)) {
		refuse(session, "the guest wants the frame memory of its display where there is "
				"neither RAM nor room for devices");
		return;
	}
	ack = (struct synthvid_ack){.user_ctx = message.user_ctx};
	put(session, SYNTHVID_VRAM_LOCATION_ACK, &ack, sizeof(ack));
}

static bool fits(struct video *video, const struct picture *picture)
{
	uint64_t end = picture->offset + (uint64_t)picture->pitch * picture->height;

	return picture->width > 0 && picture->width <= VIDEO_MAX_WIDTH && picture->height > 0 &&
	       picture->height <= VIDEO_MAX_HEIGHT &&
	       (picture->bits == 32 || picture->bits == 16) &&
	       picture->pitch >= picture->width * (picture->bits / 8u) &&
	       picture->pitch <= PITCH_MAX && end <= VIDEO_BYTES &&
	       (!picture->in_ram || video_host_is_ram(video->host, picture->gpa + picture->offset,
						      end - picture->offset));
}

static void show(struct session *session, const struct synthvid_output *output)
{
	struct video *video = session->video;
	struct picture picture = video->now;

	picture.stage = PLACED;
	if (output->active) {
		picture.stage = SHOWN;
		picture.offset = output->vram_offset;
		picture.bits = output->depth_bits;
		picture.width = output->width_pixels;
		picture.height = output->height_pixels;
		picture.pitch = output->pitch_bytes;
	}
	lock(video);
	video->now = picture;
	forget_changes(video);
	unlock(video);
}

static void situation(struct session *session, const void *payload, uint32_t bytes)
{
	struct synthvid_situation_update message;
	struct picture picture = session->video->now;
	struct synthvid_ack ack;

	(void)bytes;
	memcpy(&message, payload, sizeof(message));
	picture.offset = message.video_output.vram_offset;
	picture.bits = message.video_output.depth_bits;
	picture.width = message.video_output.width_pixels;
	picture.height = message.video_output.height_pixels;
	picture.pitch = message.video_output.pitch_bytes;
	if (message.video_output_count == 0 || picture.stage < PLACED ||
	    (message.video_output.active && !fits(session->video, &picture))) {
		refuse(session,
		       "the guest's picture does not fit in the frame memory of its display");
		return;
	}
	show(session, &message.video_output);
	ack = (struct synthvid_ack){.user_ctx = message.user_ctx};
	put(session, SYNTHVID_SITUATION_UPDATE_ACK, &ack, sizeof(ack));
}

/* ---- What the guest says ---- */

static void version(struct session *session, const void *payload, uint32_t bytes)
{
	struct synthvid_version_request message;
	struct synthvid_version_response answer;
	bool known;

	(void)bytes;
	memcpy(&message, payload, sizeof(message));
	known = message.version == SYNTHVID_VERSION_WIN7 ||
		(message.version >= SYNTHVID_VERSION_WIN8 &&
		 message.version <= SYNTHVID_VERSION_WIN10 && (message.version & 0xffff) == 3);
	if (known) {
		leave(session); /* it begins anew */
		lock(session->video);
		session->video->now.version = message.version;
		session->video->size_told = false;
		unlock(session->video);
	}
	answer = (struct synthvid_version_response){
		.version = message.version, .is_accepted = known, .max_video_outputs = 1};
	put(session, SYNTHVID_VERSION_RESPONSE, &answer, sizeof(answer));
}

/*
 * Linux's hyperv_drm has the size that is the list's default if that is one of VESA's (DMT) at
 * 60 Hz as well, and else the largest of all: so the default is none of the others.
 */
static bool is_everywhere(const struct synthvid_resolution *size)
{
	return size->width != 1152 && size->height != 1440 && size->height != 2160;
}

/* The largest one in the size that is wanted. */
static uint8_t default_resolution(const struct synthvid_resolution *wanted)
{
	unsigned int i, best = 0;

	if (wanted->width == 0) {
		return DEFAULT_RESOLUTION;
	}
	for (i = 1; i < ARRAY_COUNT(resolutions); i++) {
		const struct synthvid_resolution *size = &resolutions[i];

		if (is_everywhere(size) && size->width <= wanted->width &&
		    size->height <= wanted->height &&
		    (uint32_t)size->width * size->height >
			    (uint32_t)resolutions[best].width * resolutions[best].height) {
			best = i;
		}
	}
	return (uint8_t)best;
}

static void resolution(struct session *session, const void *payload, uint32_t bytes)
{
	struct video *video = session->video;
	struct synthvid_resolution_request message;
	struct synthvid_resolution_response answer = {
		.resolution_count = ARRAY_COUNT(resolutions),
		.is_standard = 1,
	};
	struct synthvid_resolution wanted;

	(void)bytes;
	memcpy(&message, payload, sizeof(message));
	lock(video);
	wanted = video->size;
	video->size_told = true;
	unlock(video);
	answer.default_resolution_index = default_resolution(&wanted);
	if (wanted.width == 0) {
		wanted = resolutions[DEFAULT_RESOLUTION];
	}
	if (message.maximum_resolution_count < ARRAY_COUNT(resolutions)) {
		answer.resolution_count = 1;
		answer.supported_resolution[0] = resolutions[answer.default_resolution_index];
		answer.default_resolution_index = 0;
	} else {
		memcpy(answer.supported_resolution, resolutions, sizeof(resolutions));
	}
	video_edid(answer.edid_block, wanted.width, wanted.height);
	put(session, SYNTHVID_RESOLUTION_RESPONSE, &answer, sizeof(answer));
}

static void bios_info(struct session *session, const void *payload, uint32_t bytes)
{
	const struct synthvid_bios_info answer = {.stop_device_supported = session->video->stops};

	(void)payload, (void)bytes;
	put(session, SYNTHVID_BIOS_INFO_RESPONSE, &answer, sizeof(answer));
}

static void capability(struct session *session, const void *payload, uint32_t bytes)
{
	const struct synthvid_capability_response answer = {.lock_on_disconnect = 0};

	(void)payload, (void)bytes;
	put(session, SYNTHVID_CAPABILITY_RESPONSE, &answer, sizeof(answer));
}

static void take_rect(struct video *video, const struct synthvid_rect *rect)
{
	const struct video_change change = {
		.left = clamp(rect->left, video->now.width),
		.top = clamp(rect->top, video->now.height),
		.right = clamp(rect->right, video->now.width),
		.bottom = clamp(rect->bottom, video->now.height),
	};

	if (change.left < change.right && change.top < change.bottom) {
		add_change(video, &change);
	}
}

static void dirt(struct session *session, const void *payload, uint32_t bytes)
{
	struct video *video = session->video;
	struct synthvid_dirt message;
	struct synthvid_rect rect;
	unsigned int i;

	memcpy(&message, payload, sizeof(message));
	if (bytes - sizeof(message) < message.dirt_count * sizeof(rect)) {
		refuse(session, "the guest's display names more changes than it says");
		return;
	}
	lock(video);
	if (video->now.stage == SHOWN && video->wanted && video->told) {
		/* What it drew before it knew is in no list: one look is of all. */
		if (!video->answered) {
			video->answered = true;
			forget_changes(video);
		}
		for (i = 0; i < message.dirt_count; i++) {
			memcpy(&rect, (const uint8_t *)payload + sizeof(message) + i * sizeof(rect),
			       sizeof(rect));
			take_rect(video, &rect);
		}
	}
	if (video->wanted && video_host_clock(video->host) - video->looked_ms > UNSEEN_MS) {
		video->wanted = video->told = false;
	}
	unlock(video);
}

static const struct {
	void (*take)(struct session *session, const void *payload, uint32_t bytes);
	uint32_t bytes; /* at least */
} messages[] = {
	[SYNTHVID_VERSION_REQUEST] = {version, sizeof(struct synthvid_version_request)},
	[SYNTHVID_VRAM_LOCATION] = {vram_location, sizeof(struct synthvid_vram_location)},
	[SYNTHVID_SITUATION_UPDATE] = {situation, sizeof(struct synthvid_situation_update)},
	[SYNTHVID_DIRT] = {dirt, sizeof(struct synthvid_dirt)},
	[SYNTHVID_BIOS_INFO_REQUEST] = {bios_info, 0},
	[SYNTHVID_RESOLUTION_REQUEST] = {resolution, sizeof(struct synthvid_resolution_request)},
	[SYNTHVID_CAPABILITY_REQUEST] = {capability, 0},
};

/* What is not known is dropped: it is of a newer guest, or of its pointer, which it is told that
 * nobody wants. */
static void packet(void *device, const struct vmbus_packet *packet)
{
	struct session *session = device;
	struct synthvid_header header;
	uint32_t bytes;

	if (packet->type != VM_PKT_DATA_INBAND || packet->payload_bytes < sizeof(header)) {
		return;
	}
	memcpy(&header, packet->payload, sizeof(header));
	bytes = header.size - HEAD_SIZE;
	if (header.pipe_type == SYNTHVID_PIPE_DATA && header.size >= HEAD_SIZE &&
	    bytes <= packet->payload_bytes - sizeof(header) &&
	    header.type < ARRAY_COUNT(messages) && messages[header.type].take != NULL &&
	    bytes >= messages[header.type].bytes) {
		messages[header.type].take(
			session, (const uint8_t *)packet->payload + sizeof(header), bytes);
	}
}

/* ---- What it is told ---- */

static bool can_be_asked(const struct picture *picture)
{
	return picture->stage == SHOWN && picture->version >= SYNTHVID_VERSION_HOST_SIZE;
}

static bool tell(struct session *session)
{
	struct video *video = session->video;
	struct synthvid_feature_change_edid message = {.change.is_situ_needed = 1};
	struct synthvid_resolution wanted;
	bool tells, sizes;

	if (session->out_bytes != 0) {
		return false;
	}
	lock(video);
	wanted = video->size;
	sizes = can_be_asked(&video->now) && wanted.width != 0 && !video->size_told;
	tells = video->now.stage == SHOWN && (!video->told || sizes);
	video->size_told |= sizes;
	video->answered &= video->told || !tells;
	video->told |= tells;
	message.change.is_dirt_needed = video->wanted;
	unlock(video);
	if (sizes) {
		video_edid(message.edid_block, wanted.width, wanted.height);
	}
	if (tells) {
		put(session, SYNTHVID_FEATURE_CHANGE, &message,
		    sizes ? sizeof(message) : sizeof(message.change));
	}
	return tells;
}

static bool work(void *device)
{
	struct session *session = device;

	if (vsp_is_ending(&session->vsp) || vsp_is_pausing(&session->vsp)) {
		return false;
	}
	return send_out(session) || tell(session);
}

static bool ready(void *device)
{
	const struct session *session = device;

	return session->out_bytes == 0;
}

static void closed(void *device)
{
	struct session *session = device;
	struct video *video = session->video;

	leave(session);
	lock(video);
	video->now = (struct picture){.stage = CLOSED};
	unlock(video);
}

bool video_look(struct video *video, bool follow, struct video_view *view)
{
	const struct picture *now = &video->now;
	bool wakes = false, shown;
	uint32_t i;

	lock(video);
	shown = now->stage == SHOWN;
	if (follow && shown) {
		wakes = !video->wanted;
		video->told &= video->wanted;
		video->wanted = true;
		video->looked_ms = video_host_clock(video->host);
	}
	*view = (struct video_view){.offset = now->offset,
				    .pitch = now->pitch,
				    .width = (uint16_t)now->width,
				    .height = (uint16_t)now->height,
				    .bits = now->bits};
	view->asked = can_be_asked(now);
	view->all = !follow || video->all || !video->told || !video->answered;
	view->change_count = view->all ? 0 : (uint8_t)video->change_count;
	memcpy(view->changes, video->changes, view->change_count * sizeof(view->changes[0]));
	if (follow && shown) {
		video->all = false;
		video->change_count = 0;
	}
	if (shown && now->in_ram && view->all) {
		video_host_fetch(video->host, now->gpa + now->offset, now->offset,
				 now->pitch * now->height);
	}
	for (i = 0; shown && now->in_ram && i < view->change_count; i++) {
		uint32_t at = now->offset + view->changes[i].top * now->pitch;

		video_host_fetch(video->host, now->gpa + at, at,
				 (uint32_t)(view->changes[i].bottom - view->changes[i].top) *
					 now->pitch);
	}
	unlock(video);
	if (wakes) {
		vsp_wake_all(&video->device);
	}
	return shown;
}

static unsigned int within(unsigned int value, unsigned int least, unsigned int most)
{
	return value < least ? least : value > most ? most : value;
}

void video_want(struct video *video, unsigned int width, unsigned int height)
{
	const struct synthvid_resolution size = {
		.width = (uint16_t)(within(width, VIDEO_MIN_WIDTH, VIDEO_MAX_WIDTH) / WIDTH_STEP *
				    WIDTH_STEP),
		.height = (uint16_t)within(height, VIDEO_MIN_HEIGHT, VIDEO_MAX_HEIGHT)};
	bool news;

	lock(video);
	news = size.width != video->size.width || size.height != video->size.height;
	video->size = size;
	video->size_told &= !news;
	unlock(video);
	if (news) {
		vsp_wake_all(&video->device);
	}
}

/* ---- The device [C] ---- */

static const struct vsp_class channel_class = {
	.work = work,
	.ready = ready,
	.packet = packet,
	.closed = closed,
};

static void free_session(struct vsp_channel *vsp)
{
	free(vsp);
}

static int create_session(void *owner, unsigned int index, struct vsp_channel **vsp)
{
	struct session *session = calloc(1, sizeof(*session));
	struct video *video = owner;

	(void)index;
	if (session == NULL) {
		return -ENOMEM;
	}
	session->video = video;
	lock(video);
	video->now = (struct picture){.stage = OPEN};
	video->told = video->size_told = false;
	unlock(video);
	*vsp = &session->vsp;
	return 0;
}

static int load_session(struct vsp_channel *vsp, struct vmbus_channel *channel)
{
	struct session *session = (struct session *)vsp;
	struct video *video = session->video;
	struct picture picture = session->loaded;

	(void)channel;
	if (picture.stage >= PLACED && !picture.in_ram &&
	    !video_host_place(video->host, picture.gpa)) {
		return -EINVAL;
	}
	lock(video);
	video->now = picture;
	video->told = false; /* what it was told there, it is told again */
	video->size_told = false;
	forget_changes(video);
	unlock(video);
	return 0;
}

/* The last offer has been released. */
static void ended(void *owner)
{
	struct video *video = owner;

	vsp_device_free(&video->device);
	pthread_mutex_destroy(&video->lock);
	free(video);
}

static const struct vsp_device_class device_class = {
	.channel = &channel_class,
	.create = create_session,
	.free = free_session,
	.load = load_session,
	.ended = ended,
};

static const struct vmbus_class vmbus_class = {.name = "synthetic video", VSP_VMBUS_FUNCTIONS};

int video_create(struct vmbus *bus, struct video_host *host, bool stops, struct video **out)
{
	static const uint32_t pipe = VMBUS_PIPE_TYPE_MESSAGE;
	struct vmbus_offer offer = {
		.type = VMBUS_GUID_VIDEO,
		/* The only one; the same in every run. */
		.instance = {0x5620e0c7,
			     0x8062,
			     0x4dce,
			     {0xae, 0xb7, 0x52, 0x0c, 0x7e, 0xf7, 0x61, 0x71}},
		.flags = VMBUS_CHANNEL_ENUMERATE_DEVICE_INTERFACE | VMBUS_CHANNEL_NAMED_PIPE_MODE,
		.mmio_megabytes = VIDEO_MEGABYTES,
		.class = &vmbus_class,
	};
	struct video *video = calloc(1, sizeof(*video));
	int ret;

	if (video == NULL) {
		return -ENOMEM;
	}
	memcpy(offer.user_def, &pipe, sizeof(pipe));
	video->host = host;
	video->stops = stops;
	video->all = true;
	pthread_mutex_init(&video->lock, NULL);
	vsp_device_create(&video->device, &device_class, video, bus);
	ret = vsp_offer(&video->device, 0, &offer);
	if (ret != 0) {
		vsp_device_destroy(&video->device);
		return ret;
	}
	*out = video;
	return 0;
}

void video_destroy(struct video **video)
{
	vsp_device_destroy(&(*video)->device);
	*video = NULL;
}

/*
 * ---- A saved state [C] ----
 *
 *   video 1    whether the channel is open, and if it is: stage, version, whether the picture is in RAM, its address, place, pitch, width, height, bits a
 *              pixel; a message without room: bytes
 *
 * The frame memory is the home's to save, and what the guest was asked to tell is asked again.
 */

void video_save(struct video *video, struct state_writer *writer)
{
	const struct session *session = (const struct session *)vsp_open_channel(&video->device, 0);
	size_t part = state_begin(writer, "video", VIDEO_STATE_VERSION);
	const struct picture *now;

	lock(video);
	state_put_bool(writer, session != NULL);
	if (session != NULL) {
		now = video->now.stage == CLOSED ? &session->loaded : &video->now;
		state_put_u8(writer, (uint8_t)now->stage);
		state_put_u32(writer, now->version);
		state_put_bool(writer, now->in_ram);
		state_put_u64(writer, now->gpa);
		state_put_u32(writer, now->offset);
		state_put_u32(writer, now->pitch);
		state_put_u32(writer, now->width);
		state_put_u32(writer, now->height);
		state_put_u8(writer, now->bits);
		state_put_u32(writer, session->out_bytes);
		state_put_bytes(writer, session->out.bytes, session->out_bytes);
	}
	unlock(video);
	state_end(writer, part);
}

/* As put() makes them. */
static bool is_message(const struct session *session)
{
	const struct synthvid_header *header = &session->out.header;

	return session->out_bytes >= sizeof(*header) && header->pipe_type == SYNTHVID_PIPE_DATA &&
	       header->size == session->out_bytes - sizeof(*header) + HEAD_SIZE &&
	       header->pipe_size == header->size;
}

static void read_session(struct session *session, struct state_reader *part)
{
	struct picture *loaded = &session->loaded;

	loaded->stage = (enum stage)state_u8(part);
	loaded->version = state_u32(part);
	loaded->in_ram = state_bool(part);
	loaded->gpa = state_u64(part);
	loaded->offset = state_u32(part);
	loaded->pitch = state_u32(part);
	loaded->width = state_u32(part);
	loaded->height = state_u32(part);
	loaded->bits = state_u8(part);
	session->out_bytes = state_u32(part);
	if (loaded->stage < OPEN || loaded->stage > SHOWN || loaded->gpa % PAGE != 0 ||
	    (loaded->stage == SHOWN && !fits(session->video, loaded)) ||
	    session->out_bytes > sizeof(session->out)) {
		state_refuse(part, "has a picture that cannot be");
		return;
	}
	state_bytes(part, session->out.bytes, session->out_bytes);
	if (session->out_bytes != 0 && !is_message(session)) {
		state_refuse(part, "has a message that cannot be");
	}
}

int video_load(struct video *video, struct state_reader *list)
{
	struct state_reader part = state_part(list, "video", VIDEO_STATE_VERSION);
	bool open = state_bool(&part);
	struct session *session = open ? calloc(1, sizeof(*session)) : NULL;

	if (open && session == NULL) {
		return -ENOMEM;
	}
	if (open) {
		session->video = video;
		read_session(session, &part);
	}
	state_finish(&part);
	if (!state_ok(&part)) {
		free(session);
		return -EINVAL;
	}
	if (open) {
		vsp_load(&video->device, 0, &session->vsp);
	}
	return 0;
}
