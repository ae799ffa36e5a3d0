/* vhd: progress on a terminal. */
#include "disk/tool/tool.h"

#include <unistd.h>

static struct {
	struct disk_progress progress;
	const char *what;
	int shown; /* per mille, -1: nothing yet */
	bool active;
} line;

static int step(void *user, uint64_t done, uint64_t total)
{
	int now = total ? (int)((double)done / (double)total * 1000) : 1000;

	(void)user;
	if (now != line.shown) {
		line.shown = now;
		fprintf(stderr, "\r%s: %3d.%d %%", line.what, now / 10, now % 10);
	}
	return 0;
}

struct disk_progress *progress_start(const char *what, bool quiet)
{
	if (quiet || !isatty(STDERR_FILENO)) {
		return NULL;
	}
	line.progress.step = step;
	line.what = what;
	line.shown = -1;
	line.active = true;
	return &line.progress;
}

void progress_end(void)
{
	if (line.active) {
		fputc('\n', stderr);
		line.active = false;
	}
}
