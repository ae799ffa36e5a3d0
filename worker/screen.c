/*
 * The machine's screen: the memory of its VGA (devices/vga.h) and of its synthetic display
 * (vsp/video/video.h), and what who asks for it is given (include/mgmt/screen.h): the latter's
 * picture if its guest shows one there. Nothing is drawn in this process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "include/mgmt/screen.h"
#include "vsp/video/host.h"
#include "vsp/video/video.h"
#include "worker/machine.h"
#include "worker/say.h"

#define SCREEN_STATE_VERSION 2 /* 1 had a VGA's alone */
#define MEMORY_BYTES         (SCREEN_BYTES - SCREEN_FRAME_AT)
#define VIDEO_AT             (SCREEN_VIDEO_AT - SCREEN_FRAME_AT) /* in the memory */

struct video_host {
	struct machine *machine;
	atomic_bool used; /* the synthetic display's memory is not all zeros, and takes room */
};

bool screen_create(struct machine *machine)
{
	int fd = memfd_create("screen", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *memory;

	if (fd < 0 || ftruncate(fd, MEMORY_BYTES) != 0) {
		say("no memory for the screen: %s", strerror(errno));
		return false;
	}
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* It is handed to those who show it. Nobody else writes to it. */
	if (memory == MAP_FAILED ||
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
		say("no memory for the screen: %s", strerror(errno));
		return false;
	}
	machine->screen = memory;
	machine->screen_fd = fd;
	if (machine->config->generation != 0) {
		board_add_vga(&machine->board, memory);
	}
	board_add_frame(&machine->board, machine->screen + VIDEO_AT, VIDEO_BYTES);
	return true;
}

void screen_clear(struct machine *machine)
{
	if (machine->screen != NULL) {
		memset(machine->screen, 0, VGA_MEMORY_BYTES);
	}
	if (machine->video_host != NULL && atomic_exchange(&machine->video_host->used, false)) {
		memset(machine->screen + VIDEO_AT, 0, VIDEO_BYTES);
	}
}

/* ---- The synthetic display ---- */

bool video_host_place(struct video_host *host, uint64_t gpa)
{
	if (!memory_is_for_devices(gpa, VIDEO_BYTES)) {
		return false;
	}
	atomic_store(&host->used, true);
	board_place_frame(&host->machine->board, gpa);
	return true;
}

void video_host_remove(struct video_host *host)
{
	board_remove_frame(&host->machine->board);
}

bool video_host_is_ram(struct video_host *host, uint64_t gpa, uint64_t length)
{
	return memory_is_ram(&host->machine->memory, gpa, length);
}

void video_host_fetch(struct video_host *host, uint64_t gpa, uint32_t offset, uint32_t length)
{
	CHECK(offset <= VIDEO_BYTES && length <= VIDEO_BYTES - offset);
	atomic_store(&host->used, true);
	(void)!memory_get(&host->machine->memory, gpa, host->machine->screen + VIDEO_AT + offset,
			  length);
}

uint64_t video_host_clock(struct video_host *host)
{
	(void)host;
	return clock_ms();
}

void video_host_log(struct video_host *host, const char *line)
{
	(void)host;
	say_guest("%s", line);
}

bool screen_attach(struct machine *machine)
{
	int ret = -ENOMEM;

	if (machine->screen == NULL) {
		return true;
	}
	machine->video_host = calloc(1, sizeof(*machine->video_host));
	if (machine->video_host != NULL) {
		machine->video_host->machine = machine;
		ret = video_create(machine->bus, machine->video_host,
				   machine->config->generation == 2, &machine->video);
	}
	if (ret != 0) {
		say("the guest's synthetic display cannot be set up: %s", strerror(-ret));
	}
	return ret == 0;
}

void screen_detach(struct machine *machine)
{
	if (machine->video != NULL) {
		video_destroy(&machine->video);
	}
}

void screen_free(struct machine *machine)
{
	free(machine->video_host);
	machine->video_host = NULL;
}

/* ---- A saved state ---- */

static uint32_t used(const uint8_t *memory, uint32_t bytes)
{
	while (bytes != 0 && memory[bytes - 1] == 0) {
		bytes--;
	}
	return bytes;
}

/* Mostly little of the memory is used: each part of it up to its last byte that is not zero. */
void screen_save(const struct machine *machine, struct state_writer *writer)
{
	uint32_t frame, shown;
	size_t part;

	if (machine->screen == NULL) {
		return;
	}
	frame = used(machine->screen, VGA_FRAME_BYTES);
	shown = machine->video_host->used ? used(machine->screen + VIDEO_AT, VIDEO_BYTES) : 0;
	part = state_begin(writer, "screen", SCREEN_STATE_VERSION);
	state_put_bytes(writer, machine->screen + VGA_FRAME_BYTES, VGA_TEXT_BYTES);
	state_put_u32(writer, frame);
	state_put_bytes(writer, machine->screen, frame);
	state_put_bytes(writer, machine->screen + VIDEO_AT, shown);
	state_end(writer, part);
	video_save(machine->video, writer);
}

static void load_memory(struct machine *machine, struct state_reader *part)
{
	uint32_t frame;

	state_bytes(part, machine->screen + VGA_FRAME_BYTES, VGA_TEXT_BYTES);
	frame = part->version < 2 ? (uint32_t)state_left(part) : state_u32(part);
	if (frame > VGA_FRAME_BYTES || frame > state_left(part) ||
	    state_left(part) - frame > VIDEO_BYTES) {
		state_refuse(part, "has more memory than the displays");
		return;
	}
	state_bytes(part, machine->screen, frame);
	if (state_left(part) > 0) {
		atomic_store(&machine->video_host->used, true);
		state_bytes(part, machine->screen + VIDEO_AT, state_left(part));
	}
	state_finish(part);
}

/* Into memory that is all zeros. Of a machine that had no synthetic display its guest has not
 * opened the channel. */
int screen_load(struct machine *machine, struct state_reader *list)
{
	struct state_reader part;
	bool had_video;

	if (machine->screen == NULL) {
		return 0;
	}
	part = state_part(list, "screen", SCREEN_STATE_VERSION);
	had_video = part.version >= 2;
	load_memory(machine, &part);
	if (!state_ok(list)) {
		return -EINVAL;
	}
	return had_video ? video_load(machine->video, list) : 0;
}

/* ---- What is shown ---- */

static void describe(struct screen *to, const struct vga_registers *r, enum vga_window window)
{
	unsigned int i;

	_Static_assert(SCREEN_FRAME_BYTES == VGA_FRAME_BYTES &&
			       SCREEN_TEXT_BYTES == VGA_TEXT_BYTES &&
			       SCREEN_DISPI_COUNT == (int)DISPI_COUNT,
		       "a screen is a VGA's");
	*to = (struct screen){.magic = SCREEN_MAGIC,
			      .text_window = window == VGA_TEXT,
			      .misc = r->misc,
			      .mask = r->mask};
	memcpy(to->sequencer, r->sequencer, sizeof(to->sequencer));
	memcpy(to->crtc, r->crtc, sizeof(to->crtc));
	memcpy(to->graphics, r->graphics, sizeof(to->graphics));
	memcpy(to->attribute, r->attribute, sizeof(to->attribute));
	memcpy(to->palette, r->palette, sizeof(to->palette));
	for (i = 0; i < DISPI_COUNT; i++) {
		to->dispi[i] = r->dispi[i];
	}
}

/* All of it is wanted by who does not follow. */
static void describe_video(struct screen *to, const struct video_view *view)
{
	unsigned int i;

	_Static_assert(SCREEN_CHANGES == VIDEO_CHANGES && SCREEN_VIDEO_BYTES == VIDEO_BYTES,
		       "a screen is a synthetic display's");
	*to = (struct screen){.magic = SCREEN_MAGIC,
			      .source = SCREEN_VIDEO,
			      .asked = view->asked,
			      .offset = view->offset,
			      .pitch = view->pitch,
			      .width = view->width,
			      .height = view->height,
			      .bits = view->bits,
			      .change_count = view->all ? SCREEN_ALL : view->change_count};
	for (i = 0; i < view->change_count; i++) {
		to->changes[i] =
			(struct screen_change){view->changes[i].left, view->changes[i].top,
					       view->changes[i].right, view->changes[i].bottom};
	}
}

void screen_describe(struct machine *machine, bool follow, struct screen *to)
{
	struct vga_registers registers;
	enum vga_window window;
	struct video_view view;

	if (video_look(machine->video, follow, &view)) {
		describe_video(to, &view);
		return;
	}
	if (board_look(&machine->board, &registers, &window)) {
		describe(to, &registers, window);
	} else {
		*to = (struct screen){.magic = SCREEN_MAGIC, .source = SCREEN_VIDEO};
	}
	to->change_count = SCREEN_ALL;
}

void screen_want(struct machine *machine, unsigned int width, unsigned int height)
{
	video_want(machine->video, width, height);
}

/* All of it at once, or an error. */
static int put(int fd, const void *from, size_t length, off_t at)
{
	ssize_t done = pwrite(fd, from, length, at);

	return done == (ssize_t)length ? 0 : done < 0 ? -errno : -ENOSPC;
}

int64_t screen_write(struct machine *machine, int fd)
{
	union {
		struct screen screen;
		uint8_t bytes[SCREEN_FRAME_AT];
	} head = {.bytes = {0}};
	const struct screen *screen = &head.screen;
	int ret;

	if (machine->screen == NULL) {
		return -ENODEV;
	}
	screen_describe(machine, false, &head.screen);
	ret = put(fd, "", 1, SCREEN_BYTES - 1);
	if (ret == 0) {
		ret = put(fd, &head, sizeof(head), 0);
	}
	if (ret == 0 && screen->source == SCREEN_VGA) {
		ret = put(fd, machine->screen, VGA_MEMORY_BYTES, SCREEN_FRAME_AT);
	} else if (ret == 0 && screen->height != 0) {
		ret = put(fd, machine->screen + VIDEO_AT + screen->offset,
			  (size_t)screen->pitch * screen->height, SCREEN_VIDEO_AT + screen->offset);
	}
	return ret != 0 ? ret : (int64_t)SCREEN_BYTES;
}
