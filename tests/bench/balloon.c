/*
 * What it costs to resize a guest that runs, in ticks of the time-stamp counter while the processor
 * had something to do.
 *
 *   balloon control|qmp PATH MIB  over a worker's control socket, or QEMU's: the guest is to have MIB, and it is waited for that
 *   balloon use MIB               in the guest: touches each page of as much memory, then lets it go
 *
 * A line: balloon: MIB TICKS. Without work an emulator under --icount goes on to the next deadline,
 * and the counter with it; a process that runs when no other wants to takes such time up, and what
 * it had is not counted. The guest's program is never without work.
 */
#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define MIB   1048576ull
#define LOOK  50000 /* us between two questions */
#define STEAL 1000u /* ticks: who was away for longer had to wait */

static const struct monitor {
	const char *name;
	int type;
	bool greets; /* has the first word */
	const char *hello, *resize, *ask, *key;
} monitors[] = {
	{"control", SOCK_SEQPACKET, false,
	 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"versions\":[1,1]}}",
	 "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"memory.set\",\"params\":{\"target\":%llu}}",
	 "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"status\"}", "\"assigned\":"},
	{"qmp", SOCK_STREAM, true, "{\"execute\":\"qmp_capabilities\"}\n",
	 "{\"execute\":\"balloon\",\"arguments\":{\"value\":%llu}}\n",
	 "{\"execute\":\"query-balloon\"}\n", "\"actual\":"},
};

/* ---- Time without work ---- */

static void idle(volatile uint64_t *ticks)
{
	const struct sched_param none = {0};
	uint64_t before, now;

	if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) {
		err(1, "sched_setscheduler");
	}
	for (before = __rdtsc();; before = now) {
		now = __rdtsc();
		*ticks += now - before < STEAL ? now - before : 0;
	}
}

static pid_t start_idle(volatile uint64_t **ticks)
{
	pid_t child;

	*ticks = mmap(NULL, sizeof(**ticks), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (*ticks == MAP_FAILED || (child = fork()) < 0) {
		err(1, "start");
	}
	if (child == 0) {
		idle(*ticks);
	}
	return child;
}

/* ---- The monitor ---- */

static int connect_to(const struct monitor *monitor, const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, monitor->type, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
		err(1, "%s", path);
	}
	return fd;
}

/* The number behind the key in what comes next; 0: it has no such key. */
static uint64_t hear(int fd, const char *key)
{
	static char text[131072];
	ssize_t count = read(fd, text, sizeof(text) - 1);
	const char *found;

	if (count <= 0) {
		err(1, "the monitor");
	}
	text[count] = '\0';
	if (strstr(text, "\"error\"") != NULL) {
		errx(1, "%s", text);
	}
	found = strstr(text, key);
	return found != NULL ? strtoull(found + strlen(key), NULL, 10) : 0;
}

static uint64_t say(int fd, const char *text, const char *key)
{
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
		err(1, "the monitor");
	}
	return hear(fd, key);
}

static void resize(const struct monitor *monitor, const char *path, uint64_t mib)
{
	volatile uint64_t *idle_ticks;
	uint64_t begin, idle_begin, end;
	int fd = connect_to(monitor, path);
	char request[256];
	pid_t child;

	if (monitor->greets) {
		(void)hear(fd, monitor->key);
	}
	(void)say(fd, monitor->hello, monitor->key);
	snprintf(request, sizeof(request), monitor->resize, (unsigned long long)(mib * MIB));
	child = start_idle(&idle_ticks);
	begin = __rdtsc();
	idle_begin = *idle_ticks;
	(void)say(fd, request, monitor->key);
	while (say(fd, monitor->ask, monitor->key) != mib * MIB) {
		usleep(LOOK);
	}
	end = __rdtsc();
	printf("balloon: %llu %llu\n", (unsigned long long)mib,
	       (unsigned long long)(end - begin - (*idle_ticks - idle_begin)));
	kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
}

/* ---- The guest ---- */

static void use(uint64_t mib)
{
	uint64_t at, begin = __rdtsc();
	volatile char *bytes =
		mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED) {
		err(1, "memory");
	}
	for (at = 0; at < mib * MIB; at += 4096) {
		bytes[at] = 1;
	}
	printf("balloon: used %llu %llu\n", (unsigned long long)mib,
	       (unsigned long long)(__rdtsc() - begin));
}

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc == 3 && strcmp(argv[1], "use") == 0) {
		use(strtoull(argv[2], NULL, 10));
		return 0;
	}
	for (i = 0; argc == 4 && i < sizeof(monitors) / sizeof(monitors[0]); i++) {
		if (strcmp(argv[1], monitors[i].name) == 0) {
			resize(&monitors[i], argv[2], strtoull(argv[3], NULL, 10));
			return 0;
		}
	}
	errx(2, "usage: balloon control|qmp PATH MIB | use MIB");
}
