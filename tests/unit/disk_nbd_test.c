/*
 * The NBD server: what its clients can make it hold at once, all together, has a bound, and each of
 * them gets its replies nevertheless.
 */
#include "disk/disk.h"
#include "disk/nbd.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define CLIENTS  3u
#define REQUESTS 8u
#define BUFFERS  256u

/* The server's buffers are all that is allocated aligned. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	void *at;
	size_t size;
} buffers[BUFFERS];
static size_t held, most;

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *at);
void __wrap_free(void *at);

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	void *at = __real_aligned_alloc(alignment, size);
	unsigned i = 0;

	pthread_mutex_lock(&lock);
	while (buffers[i].at != NULL) {
		i++;
		assert_true(i < BUFFERS);
	}
	buffers[i].at = at;
	buffers[i].size = size;
	held += size;
	most = held > most ? held : most;
	pthread_mutex_unlock(&lock);
	return at;
}

void __wrap_free(void *at)
{
	unsigned i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < BUFFERS && at != NULL; i++) {
		if (buffers[i].at == at) {
			held -= buffers[i].size;
			buffers[i].at = NULL;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	__real_free(at);
}

static char folder[] = "/tmp/vd-nbd-XXXXXX";
static struct disk *disk;
static volatile bool stop;

static void *serve(void *user)
{
	const struct disk_nbd how = {.socket_path = "socket", .stop = &stop};

	(void)user;
	return disk_nbd_serve(disk, &how, NULL) ? disk : NULL;
}

static void give(int fd, const void *data, size_t length)
{
	assert_int_equal(send(fd, data, length, MSG_NOSIGNAL), length);
}

static void take(int fd, uint8_t *data, size_t length)
{
	assert_int_equal(recv(fd, data, length, MSG_WAITALL), length);
}

static int connect_client(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	uint8_t data[20];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	while (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		assert_true(errno == ENOENT || errno == ECONNREFUSED);
		sched_yield();
	}
	take(fd, data, 18);
	put_be32(data, 3); /* fixed newstyle, no zeroes behind the handshake */
	memcpy(data + 4, "IHAVEOPT", 8);
	put_be32(data + 12, 1); /* NBD_OPT_EXPORT_NAME, of the unnamed one */
	put_be32(data + 16, 0);
	give(fd, data, 20);
	take(fd, data, 10);
	return fd;
}

static void ask(int fd, uint16_t type, uint32_t length)
{
	uint8_t request[28] = {0};

	put_be32(request, 0x25609513);
	put_be16(request + 6, type);
	put_be32(request + 24, length);
	give(fd, request, sizeof(request));
}

static void expect_replies(int fd, unsigned count, uint8_t *data)
{
	while (count--) {
		take(fd, data, 16);
		assert_true(get_be32(data) == 0x67446698 && !get_be32(data + 4));
		take(fd, data, NBD_PAYLOAD_MAX);
	}
}

/* Each asks for much and reads nothing, and the first one sends the beginning of a large write
 * besides. */
static void test_memory(void **state)
{
	uint8_t *data = malloc(NBD_PAYLOAD_MAX);
	int fds[CLIENTS], writer;
	unsigned i, n;

	(void)state;
	writer = connect_client();
	ask(writer, 1, NBD_PAYLOAD_MAX);
	for (i = 0; i < CLIENTS; i++) {
		fds[i] = connect_client();
		for (n = 0; n < REQUESTS; n++) {
			ask(fds[i], 0, NBD_PAYLOAD_MAX);
		}
	}
	for (i = 0; i < CLIENTS; i++) {
		expect_replies(fds[CLIENTS - 1 - i], REQUESTS, data);
	}
	assert_true(most >= NBD_MEMORY_MAX); /* else this is no test */
	assert_true(most <= NBD_MEMORY_MAX + (CLIENTS + 1) * (size_t)NBD_PAYLOAD_MAX);
	for (i = 0; i < CLIENTS; i++) {
		close(fds[i]);
	}
	close(writer);
	free(data);
}

static int start(void **state)
{
	struct disk_create how = {.format = DISK_FORMAT_RAW, .size = NBD_PAYLOAD_MAX};
	static pthread_t thread;

	*state = &thread;
	return mkdtemp(folder) == NULL || chdir(folder) || disk_create("d.img", &how, NULL) ||
	       disk_open("d.img", &(struct disk_open){.format = DISK_FORMAT_RAW}, &disk, NULL) ||
	       pthread_create(&thread, NULL, serve, NULL);
}

static int finish(void **state)
{
	char command[64];
	void *failed;

	stop = true;
	pthread_join(*(pthread_t *)*state, &failed);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return disk_close(&disk, NULL) || failed != NULL || system(command) || held;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, start, finish);
}
