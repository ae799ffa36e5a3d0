/*
 * What a UDP packet costs from a socket of one network namespace to one of another, in ticks of the
 * time-stamp counter: packets PID PID, whose namespaces have 10.9.0.1 and 10.9.0.2. A round sends a
 * window of packets and then receives them; two numbers of rounds, so that a slope can be taken.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <x86intrin.h>

#define PORT 9000

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* A socket in the namespace of a process. */
static int open_in(const char *pid, const char *address)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int space, fd, bytes = 1 << 20;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	space = open(path, O_RDONLY | O_CLOEXEC);
	if (space < 0 || setns(space, CLONE_NEWNET) != 0) {
		fail(path);
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, address, &own.sin_addr);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&own, sizeof(own)) != 0) {
		fail(address);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

static void rounds(int from, int to, uint32_t bytes, uint32_t window, uint32_t count)
{
	static char packet[2048];

	for (uint32_t n = 0; n < count; n++) {
		for (uint32_t i = 0; i < window; i++) {
			if (send(from, packet, bytes, 0) != (ssize_t)bytes) {
				fail("send");
			}
		}
		for (uint32_t i = 0; i < window; i++) {
			if (recv(to, packet, sizeof(packet), 0) != (ssize_t)bytes) {
				fail("recv");
			}
		}
	}
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = {22, 1472}, windows[] = {1, 32}; /* 64 and 1,514 bytes */
	struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int from, to;

	if (argc != 3) {
		fprintf(stderr, "usage: packets PID PID\n");
		return 2;
	}
	from = open_in(argv[1], "10.9.0.1");
	to = open_in(argv[2], "10.9.0.2");
	inet_pton(AF_INET, "10.9.0.2", &other.sin_addr);
	if (connect(from, (const struct sockaddr *)&other, sizeof(other)) != 0) {
		fail("connect");
	}
	for (uint32_t s = 0; s < 2; s++) {
		for (uint32_t w = 0; w < 2; w++) {
			rounds(from, to, sizes[s], windows[w], 20); /* warm */
			for (uint32_t count = 200 / windows[w] + 20; count <= 1200; count += 400) {
				uint64_t begin = __rdtsc();

				rounds(from, to, sizes[s], windows[w], count);
				printf("packets: %u %u %u %llu\n", sizes[s], windows[w],
				       count * windows[w], (unsigned long long)(__rdtsc() - begin));
				if (count > 300) {
					break;
				}
			}
		}
	}
	puts("packets: end");
	return 0;
}
