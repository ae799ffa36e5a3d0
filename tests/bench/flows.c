/*
 * What packets and streams cost between two machines, in ticks of the client's time-stamp counter.
 *
 *   flows server          answers at port 9000, UDP and TCP, until it is killed
 *   flows client ADDRESS  measures against it: each pattern with two numbers of rounds, so that a slope can be taken
 *
 * A line of the client: flows: PATTERN COUNT TICKS. A round of UDP is a window of packets, of which the last is
 * answered; of "ping" a byte and a byte back; of "up" and "down" a MiB one way and a byte the other.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define PORT   9000
#define MIB    (1u << 20)
#define WINDOW 32u

enum what {
	UDP_64,
	UDP_1514,
	TCP_PING,
	TCP_UP,
	TCP_DOWN,
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
} patterns[PATTERNS] = {
	[UDP_64] = {"udp64", 22, 10, 60, WINDOW, {0, 0}},
	[UDP_1514] = {"udp1514", 1472, 10, 60, WINDOW, {0, 0}},
	[TCP_PING] = {"ping", 0, 50, 350, 1, {0, 1}},
	[TCP_UP] = {"up", 0, 4, 20, 1, {MIB, 1}},
	[TCP_DOWN] = {"down", 0, 4, 20, 1, {0, MIB}},
};

static char bytes[MIB];

static int open_socket(int type, const char *address)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0) {
		err(1, "socket");
	}
	if (address != NULL) {
		struct timeval limit = {.tv_sec = 20};

		inet_pton(AF_INET, address, &at.sin_addr);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		while (connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
			usleep(100000);
		}
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
			err(1, "bind");
		}
	}
	if (type == SOCK_STREAM) {
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
	int fd = open_socket(SOCK_DGRAM, NULL);
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

static void serve(void)
{
	int listener = open_socket(SOCK_STREAM, NULL);

	if (listen(listener, 8) != 0) {
		err(1, "listen");
	}
	if (fork() == 0) {
		serve_packets();
	}
	for (;;) {
		int one = 1, fd = accept(listener, NULL, NULL);

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		serve_stream(fd);
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

static void rounds(int fd, const struct pattern *pattern, uint32_t count)
{
	uint64_t begin = __rdtsc();
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
	printf("flows: %s %u %llu\n", pattern->name, count * pattern->each,
	       (unsigned long long)(__rdtsc() - begin));
}

int main(int argc, char **argv)
{
	unsigned int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && strcmp(argv[1], "server") == 0) {
		serve();
	}
	if (argc != 3 || strcmp(argv[1], "client") != 0) {
		errx(2, "usage: flows server | client ADDRESS");
	}
	close(open_socket(SOCK_STREAM, argv[2])); /* it is there */
	for (i = 0; i < PATTERNS; i++) {
		int fd = open_socket(patterns[i].bytes != 0 ? SOCK_DGRAM : SOCK_STREAM, argv[2]);

		rounds(fd, &patterns[i], patterns[i].few); /* to be warm: this one does not count */
		rounds(fd, &patterns[i], patterns[i].few);
		rounds(fd, &patterns[i], patterns[i].many);
		close(fd);
	}
	puts("flows: end");
	return 0;
}
