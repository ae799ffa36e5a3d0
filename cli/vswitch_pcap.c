/* See vswitch.h. The format is that of libpcap's savefiles, with microseconds. */
#include "cli/client.h"
#include "cli/vswitch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FRAME_BYTES 65600u
#define MAGIC       0xa1b2c3d4u
#define ETHERNET    1u

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, most, kind;
};

struct record {
	uint32_t seconds, microseconds, length, whole;
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static bool write_frame(FILE *file, const void *frame, uint32_t bytes)
{
	struct record record = {.length = bytes, .whole = bytes};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	record.seconds = (uint32_t)now.tv_sec;
	record.microseconds = (uint32_t)(now.tv_nsec / 1000);
	return fwrite(&record, sizeof(record), 1, file) == 1 &&
	       fwrite(frame, bytes, 1, file) == 1 && fflush(file) == 0;
}

bool vswitch_write_pcap(int fd, FILE *file)
{
	static uint8_t frame[FRAME_BYTES];
	const struct file_header header = {
		.magic = MAGIC, .major = 2, .minor = 4, .most = FRAME_BYTES, .kind = ETHERNET};
	const struct sigaction action = {.sa_handler = stop};
	bool good = fwrite(&header, sizeof(header), 1, file) == 1 && fflush(file) == 0;
	struct pollfd link = {.fd = fd, .events = POLLIN};
	sigset_t signals, before;

	/* They come while it waits, and at no other moment. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, &before);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	while (good && !stopped) {
		ssize_t bytes;

		if (ppoll(&link, 1, NULL, &before) != 1) {
			continue;
		}
		bytes = recv(fd, frame, sizeof(frame), 0);
		if (bytes <= 0) {
			break;
		}
		good = write_frame(file, frame, (uint32_t)bytes);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return good || client_fail("the file", strerror(errno));
}
