/*
 * What packets and streams cost between two machines, in ticks of the client's time-stamp counter.
 *
 *   flows server [ADDRESS]  answers at port 9000, UDP and TCP, or at the address alone, until it is killed
 *   flows client ADDRESS PATTERN...  measures against it: each pattern with two numbers of rounds, so that a slope can be taken
 *
 * ADDRESS: of IPv4; vsock, which is port 9000 of the host, or to listen at; or unix:PATH.
 *
 * A line of the client: flows: PATTERN COUNT TICKS. A round of UDP is a window of packets, of which
 * the last is answered; of "ping" a byte and a byte back; of "up" and "down" a MiB one way and a
 * byte the other; of "streams" likewise a MiB up, in each of four connections at once.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/vm_sockets.h>

#define PORT    9000
#define MIB     (1u << 20)
#define WINDOW  32u
#define STREAMS 4u

enum what {
	UDP_64,
	UDP_1514,
	TCP_PING,
	TCP_UP,
	TCP_DOWN,
	TCP_STREAMS,
	PATTERNS,
};

/* Of a stream: so much comes, then so much is to be sent. */
struct request {
	uint32_t up, down;
};

static const struct pattern {
	const char *name;
	uint32_t bytes;     /* of a packet's payload */
	uint32_t few, many; /* rounds */
	uint32_t each;      /* what a round counts for */
	struct request ask;
	uint32_t streams; /* each with a process of its own */
} patterns[PATTERNS] = {
	[UDP_64] = {"udp64", 22, 10, 60, WINDOW, {0, 0}},
	[UDP_1514] = {"udp1514", 1472, 10, 60, WINDOW, {0, 0}},
	[TCP_PING] = {"ping", 0, 50, 350, 1, {0, 1}},
	[TCP_UP] = {"up", 0, 4, 20, 1, {MIB, 1}},
	[TCP_DOWN] = {"down", 0, 4, 20, 1, {0, MIB}},
	[TCP_STREAMS] = {"streams", 0, 8, 40, STREAMS, {MIB, 1}, STREAMS},
};

static char bytes[MIB];

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
};

/* NULL: any of IPv4. */
static socklen_t parse(const char *text, bool listens, union address *at)
{
	memset(at, 0, sizeof(*at));
	if (text != NULL && strcmp(text, "vsock") == 0) {
		at->vm.svm_family = AF_VSOCK;
		at->vm.svm_cid = listens ? VMADDR_CID_ANY : VMADDR_CID_HOST;
		at->vm.svm_port = PORT;
		return sizeof(at->vm);
	}
	if (text != NULL && strncmp(text, "unix:", 5) == 0) {
		at->un.sun_family = AF_UNIX;
		snprintf(at->un.sun_path, sizeof(at->un.sun_path), "%s", text + 5);
		return sizeof(at->un);
	}
	at->in.sin_family = AF_INET;
	at->in.sin_port = htons(PORT);
	if (text != NULL && inet_pton(AF_INET, text, &at->in.sin_addr) != 1) {
		errx(2, "%s is no address", text);
	}
	return sizeof(at->in);
}

static int open_socket(int type, const char *address, bool listens)
{
	union address at;
	socklen_t size = parse(address, listens, &at);
	int fd = socket(at.any.sa_family, type | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0) {
		err(1, "socket");
	}
	if (listens) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, &at.any, size) != 0) {
			err(1, "bind");
		}
	} else {
		struct timeval limit = {.tv_sec = 20};

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		while (connect(fd, &at.any, size) != 0) {
			usleep(100000);
		}
	}
	if (type == SOCK_STREAM && at.any.sa_family == AF_INET) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	return fd;
}

static void take(int fd, uint32_t count)
{
	while (count > 0) {
		ssize_t got = recv(fd, bytes, count < MIB ? count : MIB, 0);

		if (got <= 0) {
			err(1, "recv");
		}
		count -= (uint32_t)got;
	}
}

static void give(int fd, const void *from, uint32_t count)
{
	uint32_t done = 0;

	while (done < count) {
		ssize_t sent = send(fd, (const char *)from + done, count - done, MSG_NOSIGNAL);

		if (sent <= 0) {
			err(1, "send");
		}
		done += (uint32_t)sent;
	}
}

/* ---- the server ---- */

static void serve_packets(void)
{
	int fd = open_socket(SOCK_DGRAM, NULL, true);
	struct sockaddr_in from;

	for (;;) {
		socklen_t size = sizeof(from);

		if (recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size) > 0 &&
		    bytes[0] == 'L') {
			sendto(fd, bytes, 22, 0, (const struct sockaddr *)&from, size);
		}
	}
}

static void serve_stream(int fd)
{
	struct request request;

	while (recv(fd, &request, sizeof(request), MSG_WAITALL) == sizeof(request)) {
		take(fd, request.up);
		give(fd, bytes, request.down);
	}
	close(fd);
}

static void serve(const char *address)
{
	int listener = open_socket(SOCK_STREAM, address, true);

	if (listen(listener, 8) != 0) {
		err(1, "listen");
	}
	signal(SIGCHLD, SIG_IGN);
	if (address == NULL && fork() == 0) {
		serve_packets();
	}
	for (;;) {
		int one = 1, fd = accept(listener, NULL, NULL);

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (fork() == 0) {
			serve_stream(fd);
			_exit(0);
		}
		close(fd);
	}
}

/* ---- the client ---- */

static void send_window(int fd, uint32_t size)
{
	uint32_t i;

	for (i = 1; i <= WINDOW; i++) {
		bytes[0] = i == WINDOW ? 'L' : 'M';
		if (send(fd, bytes, size, 0) != (ssize_t)size) {
			err(1, "send");
		}
	}
	if (recv(fd, bytes, sizeof(bytes), 0) <= 0) {
		errx(1, "a packet was lost");
	}
}

static void run(int fd, const struct pattern *pattern, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (pattern->bytes != 0) {
			send_window(fd, pattern->bytes);
		} else {
			give(fd, &pattern->ask, sizeof(pattern->ask));
			give(fd, bytes, pattern->ask.up);
			take(fd, pattern->ask.down);
		}
	}
}

/* Of several connections each is a process's, and all are waited for. */
static void run_streams(const int *fds, const struct pattern *pattern, uint32_t count)
{
	uint32_t i;
	int status;

	for (i = 0; i < pattern->streams; i++) {
		if (fork() == 0) {
			run(fds[i], pattern, count);
			_exit(0);
		}
	}
	for (i = 0; i < pattern->streams; i++) {
		if (wait(&status) < 0 || status != 0) {
			errx(1, "a stream ended early");
		}
	}
}

static void rounds(const int *fds, const struct pattern *pattern, uint32_t count)
{
	uint64_t begin = __rdtsc();

	if (pattern->streams != 0) {
		run_streams(fds, pattern, count);
	} else {
		run(fds[0], pattern, count);
	}
	printf("flows: %s %u %llu\n", pattern->name, count * pattern->each,
	       (unsigned long long)(__rdtsc() - begin));
}

static void measure(const struct pattern *pattern, const char *address)
{
	uint32_t i, count = pattern->streams != 0 ? pattern->streams : 1;
	int fds[STREAMS];

	for (i = 0; i < count; i++) {
		fds[i] =
			open_socket(pattern->bytes != 0 ? SOCK_DGRAM : SOCK_STREAM, address, false);
	}
	rounds(fds, pattern, pattern->few); /* to be warm: this one does not count */
	rounds(fds, pattern, pattern->few);
	rounds(fds, pattern, pattern->many);
	for (i = 0; i < count; i++) {
		close(fds[i]);
	}
}

int main(int argc, char **argv)
{
	int i, j;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if ((argc == 2 || argc == 3) && strcmp(argv[1], "server") == 0) {
		serve(argc == 3 ? argv[2] : NULL);
	}
	if (argc < 4 || strcmp(argv[1], "client") != 0) {
		errx(2, "usage: flows server [ADDRESS] | client ADDRESS PATTERN...");
	}
	close(open_socket(SOCK_STREAM, argv[2], false)); /* it is there */
	for (i = 3; i < argc; i++) {
		for (j = 0; j < PATTERNS; j++) {
			if (strcmp(argv[i], patterns[j].name) == 0) {
				measure(&patterns[j], argv[2]);
			}
		}
	}
	puts("flows: end");
	return 0;
}
