/* See serial.h. */
#include "worker/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "worker/say.h"

#define ESCAPE_KEY 0x1d /* Ctrl-] */

/* At most so much goes to a descriptor at once: what a pipe or a terminal that says that it has
 * room takes without blocking. */
#define PIECE 512

static unsigned int ring_used(const struct ring *ring)
{
	return atomic_load_explicit(&ring->written, memory_order_acquire) -
	       atomic_load_explicit(&ring->taken, memory_order_acquire);
}

static bool ring_put(struct ring *ring, uint8_t byte)
{
	unsigned int at = atomic_load_explicit(&ring->written, memory_order_relaxed);

	if (ring_used(ring) == SERIAL_RING) {
		return false;
	}
	ring->bytes[at % SERIAL_RING] = byte;
	atomic_store_explicit(&ring->written, at + 1, memory_order_release);
	return true;
}

static bool ring_get(struct ring *ring, uint8_t *byte)
{
	unsigned int at = atomic_load_explicit(&ring->taken, memory_order_relaxed);

	if (ring_used(ring) == 0) {
		return false;
	}
	*byte = ring->bytes[at % SERIAL_RING];
	atomic_store_explicit(&ring->taken, at + 1, memory_order_release);
	return true;
}

/* Without anybody at the other end bytes are lost, as on a wire that ends nowhere. */
bool serial_put(struct serial *serial, uint8_t byte)
{
	return ring_put(&serial->to_host, byte);
}

bool serial_get(struct serial *serial, uint8_t *byte)
{
	return ring_get(&serial->to_guest, byte);
}

bool serial_wants_out(const struct serial *serial)
{
	return ring_used(&serial->to_host) != 0;
}

bool serial_wants_in(const struct serial *serial)
{
	return serial->in >= 0 && ring_used(&serial->to_guest) <= SERIAL_RING - PIECE;
}

static bool is_socket(const struct serial *serial)
{
	return serial->kind == SERIAL_UNIX || serial->kind == SERIAL_CONTROL;
}

static void hang_up(struct serial *serial)
{
	if (is_socket(serial) && serial->in >= 0) {
		close(serial->in);
		close(serial->out);
		serial->out = -1;
	}
	serial->in = -1;
	serial->generation++;
}

/* Who comes last has the line. */
bool serial_connect(struct serial *serial, int fd)
{
	int out = is_socket(serial) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

	if (out < 0) {
		return false;
	}
	hang_up(serial);
	serial->in = fd;
	serial->out = out;
	return true;
}

void serial_accept(struct serial *serial)
{
	int fd = accept4(serial->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && !serial_connect(serial, fd)) {
		close(fd);
	}
}

const char *serial_kind_name(enum serial_kind kind)
{
	static const char *const names[] = {
		[SERIAL_STDIO] = "stdio",
		[SERIAL_FILE] = "file",
		[SERIAL_UNIX] = "unix",
		[SERIAL_CONTROL] = "control",
	};

	return names[kind];
}

bool serial_is_connected(const struct serial *serial)
{
	return serial->out >= 0;
}

/* A regular file is always ready, and is not asked. */
static bool ready(int fd, short events, bool polls)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	return !polls || poll(&poll_fd, 1, 0) == 1;
}

/*
 * Where nobody is at the other end the bytes are taken all the same: a guest is not to wait for a
 * reader.
 */
bool serial_flush(struct serial *serial)
{
	struct ring *ring = &serial->to_host;
	bool moved = false;

	while (ring_used(ring) != 0) {
		unsigned int at =
			atomic_load_explicit(&ring->taken, memory_order_relaxed) % SERIAL_RING;
		unsigned int length = ring_used(ring);
		ssize_t done;

		length = length < SERIAL_RING - at ? length : SERIAL_RING - at;
		length = length < PIECE ? length : PIECE;
		done = length;
		if (serial->out >= 0) {
			if (!ready(serial->out, POLLOUT, serial->out_polls)) {
				break;
			}
			done = say_pass(serial->out, ring->bytes + at, length);
		}
		if (done < 0 && (errno == EAGAIN || errno == EINTR)) {
			break;
		}
		if (done < 0) {
			/* The reader is gone; the guest goes on. */
			if (is_socket(serial)) {
				hang_up(serial);
			}
			serial->out = -1;
			continue;
		}
		atomic_fetch_add_explicit(&ring->taken, (unsigned int)done, memory_order_release);
		moved = true;
	}
	return moved;
}

bool serial_fill(struct serial *serial, unsigned int *escapes)
{
	uint8_t bytes[PIECE];
	ssize_t got, i;

	*escapes = 0;
	if (!serial_wants_in(serial) || !ready(serial->in, POLLIN, serial->in_polls)) {
		return false;
	}
	got = read(serial->in, bytes, sizeof(bytes));
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		return false;
	}
	if (got <= 0) {
		hang_up(serial);
		return false;
	}
	for (i = 0; i < got; i++) {
		if (serial->terminal && bytes[i] == ESCAPE_KEY) {
			++*escapes;
		} else {
			/* Room was seen above, and only this thread fills. */
			(void)ring_put(&serial->to_guest, bytes[i]);
		}
	}
	return true;
}

static bool is_regular(int fd)
{
	struct stat stat;

	return fstat(fd, &stat) != 0 || S_ISREG(stat.st_mode);
}

/* A reader that takes nothing for this long is taken for dead. */
#define DRAIN_MS 10000

void serial_drain(struct serial *serial)
{
	while (serial_wants_out(serial) && serial->out >= 0) {
		struct pollfd poll_fd = {.fd = serial->out, .events = POLLOUT};

		if (serial->out_polls && poll(&poll_fd, 1, DRAIN_MS) == 0) {
			return;
		}
		serial_flush(serial);
	}
}

static unsigned int wait_for_host(const void *serial)
{
	return ring_used(&((const struct serial *)serial)->to_host);
}

static bool share(const struct serial *serial)
{
	if (!say_share(serial->out, wait_for_host, serial)) {
		say("--serial: no timer: %s", strerror(errno));
		return false;
	}
	return true;
}

/* A terminal is raw, since its keys are the guest's, but for the one that ends it. */
static bool open_stdio(struct serial *serial)
{
	struct termios mode;

	serial->in = STDIN_FILENO;
	serial->out = STDOUT_FILENO;
	serial->in_polls = !is_regular(STDIN_FILENO);
	serial->out_polls = !is_regular(STDOUT_FILENO);
	serial->terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &serial->saved) == 0;
	if (serial->terminal) {
		mode = serial->saved;
		cfmakeraw(&mode);
		tcsetattr(STDIN_FILENO, TCSANOW, &mode);
		say_raw_terminal(true);
	}
	return share(serial);
}

static bool open_file(struct serial *serial, const struct config_file *file)
{
	serial->out = file->fd >= 0
			      ? file->fd
			      : open(file->path,
				     O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	if (serial->out < 0) {
		say("--serial file:%s: %s", file->path, strerror(errno));
		return false;
	}
	serial->out_polls = !is_regular(serial->out);
	return share(serial);
}

bool serial_create(struct serial *serial, const struct config *config)
{
	memset(serial, 0, sizeof(*serial));
	serial->kind = config->serial;
	serial->in = serial->out = serial->listener = -1;
	serial->in_polls = serial->out_polls = true;
	switch (config->serial) {
	case SERIAL_FILE:
		return open_file(serial, &config->serial_file);
	case SERIAL_UNIX:
		serial->listener = listen_at(config->serial_file.path, config->serial_file.fd,
					     SOCK_STREAM, 1, "--serial unix:");
		return serial->listener >= 0;
	case SERIAL_CONTROL:
		return true;
	default:
		return open_stdio(serial);
	}
}

void serial_destroy(struct serial *serial)
{
	serial_drain(serial);
	say_unshare();
	if (serial->terminal) {
		/* Not before all of it is out: the mode is also the output's. */
		tcsetattr(STDIN_FILENO, TCSADRAIN, &serial->saved);
		say_raw_terminal(false);
	}
	hang_up(serial);
}
