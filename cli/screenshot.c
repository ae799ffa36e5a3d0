/* A machine's screen as a PNG file: the worker writes it into memory of ours, where it is drawn. */
#include "cli/screenshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/png.h"
#include "include/mgmt/control.h"
#include "include/mgmt/screen.h"

static bool save(const uint8_t *screen, const char *path)
{
	struct picture picture = {.pixels = NULL};
	const char *why = screen_draw(screen, SCREEN_BYTES, &picture);
	bool done;

	if (why != NULL) {
		return client_fail("the screen", why);
	}
	done = picture_write(&picture, path) ||
	       client_fail(path, errno != 0 ? strerror(errno) : "it could not be written");
	free(picture.pixels);
	return done;
}

bool screenshot(struct client *client, const char *path)
{
	int fd = memfd_create("screen", MFD_CLOEXEC);
	json_t *result;
	void *screen;
	bool done;

	if (fd < 0 || ftruncate(fd, SCREEN_BYTES) != 0) {
		return client_fail("screenshot", strerror(errno));
	}
	result = client_ask(client, CONTROL_SCREEN, json_object(), &fd, 1, "screenshot");
	if (result == NULL) {
		return false;
	}
	json_decref(result);
	screen = mmap(NULL, SCREEN_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (screen == MAP_FAILED) {
		return client_fail("screenshot", strerror(errno));
	}
	done = save(screen, path);
	munmap(screen, SCREEN_BYTES);
	return done;
}
