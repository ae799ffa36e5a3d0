/*
 * A program at either end of a guest's socket: AF_VSOCK in the guest, a UNIX socket in the root.
 *
 *   echo ADDRESS              says back what it hears, to all who connect
 *   serve ADDRESS PROGRAM...  starts one for each who connects, with the socket as its standard input and output
 *   messages ADDRESS COUNT    sends that many to an echo, of different lengths, and checks what comes back
 *   many ADDRESS COUNT        that many connections to an echo at once, each with bytes of its own
 *   hold ADDRESS COUNT        the same, until the other end has ended each of them
 *   pipe ADDRESS              standard input there, and what comes back to standard output, until both have ended; not patient (see below)
 *   flood ADDRESS             bytes to an echo without end; says when the other end is gone
 *
 * ADDRESS: vsock:PORT (of the host, or to listen at), unix:PATH, or unix:PATH:PORT, a port of the
 * guest behind a worker's --vsock.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

#include <linux/vm_sockets.h>

#define CONNECTIONS_MAX 512
#define CHUNK           16384

static void die(const char *what)
{
	printf("hvsock: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- Addresses ---- */

union address {
	struct sockaddr any;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
};

/* *port: of the guest, or NULL. */
static socklen_t parse(const char *text, bool listens, union address *address, const char **port)
{
	memset(address, 0, sizeof(*address));
	*port = NULL;
	if (strncmp(text, "vsock:", 6) == 0) {
		address->vm.svm_family = AF_VSOCK;
		address->vm.svm_cid = listens ? VMADDR_CID_ANY : VMADDR_CID_HOST;
		address->vm.svm_port = (unsigned int)atoi(text + 6);
		return sizeof(address->vm);
	}
	address->un.sun_family = AF_UNIX;
	snprintf(address->un.sun_path, sizeof(address->un.sun_path), "%s", text + 5);
	*port = strchr(text + 5, ':');
	if (*port != NULL) {
		address->un.sun_path[*port - text - 5] = '\0';
		++*port;
	}
	return sizeof(address->un);
}

static int listen_there(const char *text)
{
	union address address;
	const char *port;
	socklen_t length = parse(text, true, &address, &port);
	int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, &address.any, length) != 0 || listen(fd, CONNECTIONS_MAX) != 0) {
		die(text);
	}
	printf("hvsock: listens at %s\n", text);
	fflush(stdout);
	return fd;
}

static void greet(int fd, const char *text, const char *port)
{
	char line[32], *at = line;

	if (dprintf(fd, "CONNECT %s\n", port) < 0) {
		die(text);
	}
	do {
		if (at == line + sizeof(line) || read(fd, at, 1) != 1) {
			errno = ECONNREFUSED;
			die(text);
		}
	} while (*at++ != '\n');
	if (strncmp(line, "OK ", 3) != 0) {
		errno = EPROTO;
		die(text);
	}
}

/* Linux gives a connection two seconds, which on a busy host is no time. */
static void be_patient(int fd)
{
	const struct timeval most = {.tv_sec = 300};

	if (setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &most, sizeof(most)) != 0) {
		die("the time for a connection");
	}
}

static int connect_there(const char *text, bool patient)
{
	union address address;
	const char *port;
	socklen_t length = parse(text, false, &address, &port);
	int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && patient && address.any.sa_family == AF_VSOCK) {
		be_patient(fd);
	}
	if (fd < 0 || connect(fd, &address.any, length) != 0) {
		die(text);
	}
	if (port != NULL) {
		greet(fd, text, port);
	}
	return fd;
}

/* ---- Both ways at once, between two pairs of descriptors ---- */

struct way {
	int from, to;
	char bytes[CHUNK];
	size_t at, end;
	bool over;
};

/* True: something was done. */
static void step(struct way *way, short in, short out)
{
	ssize_t count;

	if (way->at == way->end && in != 0) {
		count = read(way->from, way->bytes, sizeof(way->bytes));
		if (count > 0) {
			way->at = 0;
			way->end = (size_t)count;
			out = POLLOUT;
		} else if (count == 0 || errno != EAGAIN) {
			way->over = true;
			if (shutdown(way->to, SHUT_WR) != 0) {
				close(way->to);
			}
			return;
		}
	}
	if (way->at < way->end && out != 0) {
		count = write(way->to, way->bytes + way->at, way->end - way->at);
		if (count < 0 && errno != EAGAIN) {
			way->over = true;
			return;
		}
		way->at += count > 0 ? (size_t)count : 0;
	}
}

static void run_ways(struct way *ways, unsigned int count)
{
	struct pollfd fds[4];
	unsigned int i;

	for (;;) {
		bool any = false;

		for (i = 0; i < count; i++) {
			bool full = ways[i].at < ways[i].end;

			fds[2 * i] = (struct pollfd){.fd = ways[i].over || full ? -1 : ways[i].from,
						     .events = POLLIN};
			fds[2 * i + 1] = (struct pollfd){
				.fd = ways[i].over || !full ? -1 : ways[i].to, .events = POLLOUT};
			any |= !ways[i].over;
		}
		if (!any || poll(fds, 2 * count, -1) < 0) {
			return;
		}
		for (i = 0; i < count; i++) {
			if (!ways[i].over) {
				step(&ways[i], fds[2 * i].revents, fds[2 * i + 1].revents);
			}
		}
	}
}

static void set_nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int run_pipe(const char *text)
{
	static struct way ways[2];
	int fd = connect_there(text, false);

	set_nonblocking(fd);
	ways[0].from = STDIN_FILENO;
	ways[0].to = fd;
	ways[1].from = fd;
	ways[1].to = STDOUT_FILENO;
	run_ways(ways, 2);
	return 0;
}

/* ---- Servers ---- */

/* A process for each: what one does cannot disturb another. */
static int run_server(const char *text, char **words)
{
	int listener = listen_there(text);

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0) {
			die(text);
		}
		if (fork() == 0) {
			static struct way way;

			signal(SIGCHLD, SIG_DFL);
			close(listener);
			if (words != NULL) {
				dup2(fd, STDIN_FILENO);
				dup2(fd, STDOUT_FILENO);
				dup2(fd, STDERR_FILENO);
				execvp(words[0], words);
				_exit(1);
			}
			way.from = way.to = fd;
			run_ways(&way, 1);
			_exit(0);
		}
		close(fd);
	}
}

/* ---- Clients of an echo ---- */

static uint8_t pattern(unsigned int message, unsigned int at)
{
	return (uint8_t)(message * 31 + at * 7 + at / 256);
}

static void read_all(int fd, uint8_t *bytes, size_t count)
{
	size_t done = 0;

	while (done < count) {
		ssize_t part = read(fd, bytes + done, count - done);

		if (part <= 0) {
			errno = part == 0 ? ECONNRESET : errno;
			die("the echo ended");
		}
		done += (size_t)part;
	}
}

/* Now and then eight of all kinds; the others are small, since each byte is made and looked at. */
static unsigned int size_of(unsigned int message)
{
	static const unsigned int sizes[] = {1, 7, 64, 500, 4088, 4096, 100, 9000};

	return message % 256 < 8 ? sizes[message % 8] : 1 + message % 100;
}

/* From a process of its own, so that both directions are full. */
static void send_messages(int fd, unsigned int count)
{
	static uint8_t bytes[CHUNK];
	unsigned int i, at;

	for (i = 0; i < count; i++) {
		size_t done = 0, size = size_of(i);

		for (at = 0; at < size; at++) {
			bytes[at] = pattern(i, at);
		}
		while (done < size) {
			ssize_t part = write(fd, bytes + done, size - done);

			if (part <= 0) {
				die("a message");
			}
			done += (size_t)part;
		}
	}
	shutdown(fd, SHUT_WR);
}

static int run_messages(const char *text, unsigned int count)
{
	static uint8_t bytes[CHUNK];
	int fd = connect_there(text, true), status;
	unsigned int i, at;
	pid_t sender = fork();

	if (sender == 0) {
		send_messages(fd, count);
		_exit(0);
	}
	for (i = 0; i < count; i++) {
		read_all(fd, bytes, size_of(i));
		if (i == 0) {
			printf("hvsock: messages are under way\n");
			fflush(stdout);
		}
		for (at = 0; at < size_of(i); at++) {
			if (bytes[at] != pattern(i, at)) {
				printf("hvsock: message %u is another at %u\n", i, at);
				return 1;
			}
		}
	}
	waitpid(sender, &status, 0);
	if (read(fd, bytes, 1) != 0) {
		printf("hvsock: there is more behind the messages\n");
		return 1;
	}
	printf("hvsock: %u messages came back\n", count);
	return status != 0;
}

static int run_many(const char *text, unsigned int count, bool hold)
{
	static int fds[CONNECTIONS_MAX];
	uint8_t bytes[1000];
	unsigned int i, at;

	for (i = 0; i < count; i++) {
		fds[i] = connect_there(text, true);
	}
	for (i = 0; i < count; i++) {
		for (at = 0; at < sizeof(bytes); at++) {
			bytes[at] = pattern(i, at);
		}
		if (write(fds[i], bytes, sizeof(bytes)) != sizeof(bytes)) {
			die("a message");
		}
	}
	for (i = 0; i < count; i++) {
		read_all(fds[i], bytes, sizeof(bytes));
		for (at = 0; at < sizeof(bytes); at++) {
			if (bytes[at] != pattern(i, at)) {
				printf("hvsock: connection %u hears another's\n", i);
				return 1;
			}
		}
	}
	printf("hvsock: %u connections at once\n", count);
	fflush(stdout);
	for (i = 0; i < count; i++) {
		if (hold && read(fds[i], bytes, 1) > 0) {
			printf("hvsock: connection %u hears more\n", i);
			return 1;
		}
		close(fds[i]);
	}
	if (hold) {
		printf("hvsock: %u connections have ended\n", count);
	}
	return 0;
}

static int run_flood(const char *text)
{
	static char bytes[CHUNK];
	int fd = connect_there(text, true);
	bool said = false;

	set_nonblocking(fd);
	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLOUT};
		ssize_t count;

		poll(&poll_fd, 1, -1);
		count = write(fd, bytes, sizeof(bytes));
		if (count < 0 && errno != EAGAIN) {
			break;
		}
		count = read(fd, bytes, sizeof(bytes));
		if (count == 0 || (count < 0 && errno != EAGAIN)) {
			break;
		}
		if (count > 0 && !said) {
			said = true;
			printf("hvsock: the flood is under way\n");
			fflush(stdout);
		}
	}
	printf("hvsock: the flood has ended\n");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	unsigned int count = argc > 3 ? (unsigned int)atoi(argv[3]) : 0;

	signal(SIGPIPE, SIG_IGN);
	if (strcmp(what, "echo") == 0) {
		return run_server(argv[2], NULL);
	}
	if (strcmp(what, "serve") == 0 && argc > 3) {
		return run_server(argv[2], argv + 3);
	}
	if (strcmp(what, "messages") == 0) {
		return run_messages(argv[2], count);
	}
	if ((strcmp(what, "many") == 0 || strcmp(what, "hold") == 0) && count <= CONNECTIONS_MAX) {
		return run_many(argv[2], count, what[0] == 'h');
	}
	if (strcmp(what, "pipe") == 0) {
		return run_pipe(argv[2]);
	}
	if (strcmp(what, "flood") == 0) {
		return run_flood(argv[2]);
	}
	printf("hvsock: see the head of tests/system/hvsock.c\n");
	return 2;
}
