/*
 * The machine's screen: the memory of its VGA (devices/vga.h), and what who asks for it is given (include/mgmt/screen.h). Nothing is
 * drawn in this process.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/mgmt/screen.h"
#include "worker/machine.h"
#include "worker/say.h"

#define SCREEN_STATE_VERSION 1

bool screen_create(struct machine *machine)
{
	int fd = memfd_create("screen", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *memory;

	if (fd < 0 || ftruncate(fd, VGA_MEMORY_BYTES) != 0) {
		say("no memory for the screen: %s", strerror(errno));
		return false;
	}
	memory = mmap(NULL, VGA_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* It is handed to those who show it. Nobody else writes to it. */
	if (memory == MAP_FAILED ||
	    fcntl(fd, F_ADD_SEALS,
		  F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
		say("no memory for the screen: %s", strerror(errno));
		return false;
	}
	machine->screen = memory;
	machine->screen_fd = fd;
	board_add_vga(&machine->board, memory);
	return true;
}

void screen_clear(struct machine *machine)
{
	if (machine->screen != NULL) {
		memset(machine->screen, 0, VGA_MEMORY_BYTES);
	}
}

/* Mostly little of the memory is used: up to its last byte that is not zero. */
void screen_save(const struct machine *machine, struct state_writer *writer)
{
	uint32_t frame = VGA_FRAME_BYTES;
	size_t part;

	if (machine->screen == NULL) {
		return;
	}
	while (frame != 0 && machine->screen[frame - 1] == 0) {
		frame--;
	}
	part = state_begin(writer, "screen", SCREEN_STATE_VERSION);
	state_put_bytes(writer, machine->screen + VGA_FRAME_BYTES, VGA_TEXT_BYTES);
	state_put_bytes(writer, machine->screen, frame);
	state_end(writer, part);
}

/* Into memory that is all zeros. */
void screen_load(struct machine *machine, struct state_reader *list)
{
	struct state_reader part;

	if (machine->screen == NULL) {
		return;
	}
	part = state_part(list, "screen", SCREEN_STATE_VERSION);
	state_bytes(&part, machine->screen + VGA_FRAME_BYTES, VGA_TEXT_BYTES);
	if (state_left(&part) > VGA_FRAME_BYTES) {
		state_refuse(&part, "has more memory than a VGA");
		return;
	}
	state_bytes(&part, machine->screen, state_left(&part));
	state_finish(&part);
}

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

void screen_describe(struct machine *machine, struct screen *to)
{
	struct vga_registers registers;
	enum vga_window window;

	CHECK(board_look(&machine->board, &registers, &window));
	describe(to, &registers, window);
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
	int ret;

	if (machine->screen == NULL) {
		return -ENODEV;
	}
	screen_describe(machine, &head.screen);
	ret = put(fd, &head, sizeof(head), 0);
	if (ret == 0) {
		ret = put(fd, machine->screen, VGA_MEMORY_BYTES, SCREEN_FRAME_AT);
	}
	return ret != 0 ? ret : (int64_t)SCREEN_BYTES;
}
