/*
 * vnat: a network behind this machine's own connections, with DHCP, DNS and IPv6, by libslirp. One
 * end of a link of the switch is standard input; when it ends, so does this.
 *
 * It is a process of its own because it takes apart what guests send, at length, and makes sockets
 * for them: neither is for a process that has all guests' memory. It becomes a user of its own, and
 * of files it can read what anybody can below /etc and /run/systemd/resolve (the resolver's
 * configuration may change).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "hosted/filter.h"
#include "hosted/sandbox.h"
#include "hosted/say.h"
#include "lib/check.h"

#define LINK         STDIN_FILENO
#define FRAME_BYTES  65600u
#define POLLS_MAX    4096u
#define TIMERS_MAX   8u
#define BATCH        64u
#define FORWARDS_MAX 64u
#define USERS        0x76740000u /* the first of the users that a vnat of root's becomes */

static const char help[] =
	"usage: vnat [--network ADDRESS/BITS] [--host-loopback] [--forward "
	"tcp|udp:PORT:ADDRESS:PORT]...\n"
	"\n"
	"  --background    end when all is ready, and go on as another process\n"
	"  --network       the network of the guests, 10.0.2.0/24 unless given; its address 2 is "
	"this\n"
	"                  machine, 3 the name server, from 15 on are the guests\n"
	"  --host-loopback a guest reaches at address 2 what listens on 127.0.0.1 alone\n"
	"  --forward       connections to this machine's port go to a guest's\n"
	"\n"
	"Standard input is a SOCK_SEQPACKET socket with a frame a packet, as vswitch makes it.\n";

struct forward {
	bool udp;
	uint16_t from, to;
	struct in_addr guest;
};

struct timer {
	bool used, armed;
	SlirpTimerId id;
	void *opaque;
	int64_t at_ms;
};

static Slirp *slirp;
static struct timer timers[TIMERS_MAX];
static struct pollfd polls[POLLS_MAX];
static uint32_t poll_count;

static bool fail(const char *what, const char *why)
{
	say("%s: %s", what, why);
	return false;
}

/* ---- what libslirp calls ---- */

/* A link that is full loses the frame, as a network does. */
static ssize_t send_packet(const void *frame, size_t bytes, void *unused)
{
	(void)unused;
	return send(LINK, frame, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? 0 : (ssize_t)bytes;
}

static void guest_error(const char *text, void *unused)
{
	(void)text;
	(void)unused;
}

static int64_t clock_get_ns(void *unused)
{
	(void)unused;
	return (int64_t)clock_ns(CLOCK_MONOTONIC);
}

static void *timer_new(SlirpTimerId id, void *opaque, void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < TIMERS_MAX; i++) {
		if (!timers[i].used) {
			timers[i] = (struct timer){.used = true, .id = id, .opaque = opaque};
			return &timers[i];
		}
	}
	CHECK(false); /* there is one for each kind that libslirp has */
}

static void timer_free(void *timer, void *unused)
{
	(void)unused;
	((struct timer *)timer)->used = false;
}

static void timer_mod(void *of, int64_t at_ms, void *unused)
{
	struct timer *timer = of;

	(void)unused;
	timer->armed = true;
	timer->at_ms = at_ms;
}

static void poll_fd(int fd, void *unused)
{
	(void)fd;
	(void)unused;
}

static void notify(void *unused)
{
	(void)unused;
}

static int add_poll(int fd, int events, void *unused)
{
	(void)unused;
	if (poll_count == POLLS_MAX) {
		return -1;
	}
	polls[poll_count] = (struct pollfd){
		.fd = fd,
		.events = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) |
				  (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
				  (events & SLIRP_POLL_PRI ? POLLPRI : 0)),
	};
	return (int)poll_count++;
}

static int get_revents(int index, void *unused)
{
	short events = index < 0 ? 0 : polls[index].revents;

	(void)unused;
	return (events & POLLIN ? SLIRP_POLL_IN : 0) | (events & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (events & POLLPRI ? SLIRP_POLL_PRI : 0) | (events & POLLERR ? SLIRP_POLL_ERR : 0) |
	       (events & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = poll_fd,
	.unregister_poll_fd = poll_fd,
	.notify = notify,
	.timer_new_opaque = timer_new,
};

/* ---- the loop ---- */

/* False: the link has ended. */
static bool read_link(void)
{
	static uint8_t frame[FRAME_BYTES];

	for (uint32_t i = 0; i < BATCH; i++) {
		ssize_t bytes = recv(LINK, frame, sizeof(frame), MSG_DONTWAIT);

		if (bytes <= 0) {
			return bytes < 0 && (errno == EAGAIN || errno == EINTR);
		}
		slirp_input(slirp, frame, (int)bytes);
	}
	return true;
}

static void run_timers(uint32_t *timeout)
{
	int64_t now_ms = clock_get_ns(NULL) / 1000000;

	for (uint32_t i = 0; i < TIMERS_MAX; i++) {
		struct timer *timer = &timers[i];

		if (timer->used && timer->armed && timer->at_ms <= now_ms) {
			timer->armed = false;
			slirp_handle_timer(slirp, timer->id, timer->opaque);
		}
		if (timer->used && timer->armed && timer->at_ms - now_ms < *timeout) {
			*timeout = (uint32_t)(timer->at_ms - now_ms);
		}
	}
}

static void run(void)
{
	bool link = true;

	while (link) {
		uint32_t timeout = 60000;
		int ready;

		run_timers(&timeout);
		polls[0] = (struct pollfd){.fd = LINK, .events = POLLIN};
		poll_count = 1;
		slirp_pollfds_fill(slirp, &timeout, add_poll, NULL);
		ready = poll(polls, poll_count, (int)timeout);
		if (ready < 0 && errno != EINTR) {
			fail("poll", strerror(errno));
			return;
		}
		slirp_pollfds_poll(slirp, ready < 0, get_revents, NULL);
		link = polls[0].revents == 0 || read_link();
	}
}

/* ---- what it may do ---- */

static const int allowed[] = {
	/* frames, and what guests send and receive */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(poll),
	SCMP_SYS(close),
	SCMP_SYS(dup2), /* when it is ready */
	/* their connections */
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockopt),
	SCMP_SYS(fcntl),
	SCMP_SYS(ioctl),
	/* the resolver's configuration */
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(lseek),
	/* time, memory, the end */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(brk),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(exit_group),
};

static int filter_by_argument(scmp_filter_ctx filter)
{
	const struct filter_rule rules[] = {
		{SCMP_SYS(openat), 1, {SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT, O_RDONLY)}},
		{SCMP_SYS(socket), 1, {SCMP_A0(SCMP_CMP_EQ, AF_INET)}},
		{SCMP_SYS(socket), 1, {SCMP_A0(SCMP_CMP_EQ, AF_INET6)}},
	};

	return filter_allow(filter, rules, ARRAY_COUNT(rules));
}

static bool enter_sandbox(void)
{
	static const char *const readable[] = {"/etc", "/run/systemd/resolve", NULL};
	const struct filter_list list = {allowed, ARRAY_COUNT(allowed), filter_by_argument};

	return sandbox_begin() && sandbox_close_files(readable, true) &&
	       (geteuid() != 0 || sandbox_become(USERS + (uid_t)getpid(), "")) &&
	       sandbox_close_memory() && filter_enter(&list);
}

/* ---- options ---- */

/* "10.0.2.0/24" */
static bool parse_network(const char *text, SlirpConfig *config)
{
	char address[INET_ADDRSTRLEN];
	unsigned int bits;
	uint32_t base, mask;
	int end = 0;

	if (sscanf(text, "%15[0-9.]/%2u%n", address, &bits, &end) != 2 || text[end] != '\0' ||
	    bits < 8 || bits > 27 || inet_pton(AF_INET, address, &config->vnetwork) != 1) {
		return fail(text, "give a network such as 10.0.2.0/24, with 8 to 27 bits");
	}
	mask = UINT32_MAX << (32 - bits);
	base = ntohl(config->vnetwork.s_addr) & mask;
	config->vnetwork.s_addr = htonl(base);
	config->vnetmask.s_addr = htonl(mask);
	config->vhost.s_addr = htonl(base + 2);
	config->vnameserver.s_addr = htonl(base + 3);
	config->vdhcp_start.s_addr = htonl(base + 15);
	return true;
}

static bool parse_forward(const char *text, struct forward *forward)
{
	char kind[4], address[INET_ADDRSTRLEN];
	unsigned int from, to;
	int end = 0;

	if (sscanf(text, "%3[a-z]:%5u:%15[0-9.]:%5u%n", kind, &from, address, &to, &end) != 4 ||
	    text[end] != '\0' || (strcmp(kind, "tcp") != 0 && strcmp(kind, "udp") != 0) ||
	    from == 0 || from > UINT16_MAX || to == 0 || to > UINT16_MAX ||
	    inet_pton(AF_INET, address, &forward->guest) != 1) {
		return fail(text, "give a forward such as tcp:8022:10.0.2.15:22");
	}
	forward->udp = kind[0] == 'u';
	forward->from = (uint16_t)from;
	forward->to = (uint16_t)to;
	return true;
}

static bool background;

static bool parse(int argc, char **argv, SlirpConfig *config, struct forward *forwards,
		  uint32_t *count)
{
	if (!parse_network("10.0.2.0/24", config)) {
		return false;
	}
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--host-loopback") == 0) {
			config->disable_host_loopback = false;
		} else if (strcmp(argv[i], "--background") == 0) {
			background = true;
		} else if (strcmp(argv[i], "--network") == 0) {
			if (!parse_network(value, config)) {
				return false;
			}
			i++;
		} else if (strcmp(argv[i], "--forward") == 0 && *count < FORWARDS_MAX) {
			if (!parse_forward(value, &forwards[*count])) {
				return false;
			}
			i++;
			(*count)++;
		} else {
			fputs(help, stderr);
			return false;
		}
	}
	return true;
}

static bool add_forwards(const struct forward *forwards, uint32_t count)
{
	const struct in_addr any = {.s_addr = htonl(INADDR_ANY)};

	for (uint32_t i = 0; i < count; i++) {
		if (slirp_add_hostfwd(slirp, forwards[i].udp, any, forwards[i].from,
				      forwards[i].guest, forwards[i].to) != 0) {
			char port[16];

			snprintf(port, sizeof(port), "port %u", forwards[i].from);
			return fail(port, strerror(errno));
		}
	}
	return true;
}

static int null_fd = -1, ready_fd = -1; /* of the background: see below */

/* Only the process that goes on comes back; the other ends when that one is ready, or has
 * failed. */
static bool go_to_background(void)
{
	int ends[2];
	char byte;
	pid_t child;

	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || pipe2(ends, O_CLOEXEC) != 0) {
		return fail("the background", strerror(errno));
	}
	child = fork();
	if (child != 0) {
		close(ends[1]);
		_exit(child > 0 && read(ends[0], &byte, 1) == 1 ? 0 : 2);
	}
	close(ends[0]);
	ready_fd = ends[1];
	setsid();
	return true;
}

/* Nobody's terminal and no pipe stays open from here on. */
static void be_ready(void)
{
	dup2(null_fd, STDOUT_FILENO);
	dup2(null_fd, STDERR_FILENO);
	if (write(ready_fd, "", 1) != 1) {
		_exit(2);
	}
	close(null_fd);
	close(ready_fd);
}

int main(int argc, char **argv)
{
	static struct forward forwards[FORWARDS_MAX];
	uint32_t forward_count = 0;
	SlirpConfig config = {
		.version = 4,
		.in_enabled = true,
		.in6_enabled = true,
		.vprefix_len = 64,
		.disable_host_loopback = true,
	};

	say_set_name("vnat");
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(help, stdout);
		return 0;
	}
	if (!parse(argc, argv, &config, forwards, &forward_count)) {
		return 2;
	}
	inet_pton(AF_INET6, "fd00::", &config.vprefix_addr6);
	inet_pton(AF_INET6, "fd00::2", &config.vhost6);
	inet_pton(AF_INET6, "fd00::3", &config.vnameserver6);
	signal(SIGPIPE, SIG_IGN);
	slirp = slirp_new(&config, &callbacks, NULL);
	if (slirp == NULL) {
		return fail("libslirp", "it cannot be started") ? 0 : 2;
	}
	if (!add_forwards(forwards, forward_count) || (background && !go_to_background()) ||
	    !enter_sandbox()) {
		return 2;
	}
	if (background) {
		be_ready();
	}
	run();
	slirp_cleanup(slirp);
	return 0;
}
