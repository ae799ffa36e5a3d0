/* vhd: progress on a terminal. */
#include "disk/tool/tool.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static struct {
	struct disk_progress progress;
	const char *what;
	int shown; /* per mille, -1: nothing yet */
	bool active;
} line;

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = number;
}

static int step(void *user, uint64_t done, uint64_t total)
{
	int now = total ? (int)((double)done / (double)total * 1000) : 1000;

	(void)user;
	if (line.active && now != line.shown) {
		line.shown = now;
		fprintf(stderr, "\r%s: %3d.%d %%", line.what, now / 10, now % 10);
	}
	return stopped ? -EINTR : 0;
}

struct disk_progress *progress_start(const char *what, bool quiet)
{
	line.active = !quiet && isatty(STDERR_FILENO);
	line.progress.step = step;
	line.what = what;
	line.shown = -1;
	return &line.progress;
}

struct disk_progress *progress_stoppable(const char *what, bool quiet)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &action, NULL);
	}
	return progress_start(what, quiet);
}

void progress_end(void)
{
	if (line.active) {
		fputc('\n', stderr);
		line.active = false;
	}
}
