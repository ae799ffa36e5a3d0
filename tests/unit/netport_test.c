/* A worker's end of a port meets the switch's, over a socket; and switches that say what they
 * should not. */
#include "hosted/packet.h"
#include "switch/guest.h"
#include "vsp/network/netport.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define RAM_BYTES (1u << 20)

enum manner {
	AS_IT_IS,
	REFUSES,
	TOO_FEW_DESCRIPTORS,
	OTHER_SLOTS,
	SHORT_ANSWER,
	HANGS_UP,
	IS_BUSY
};

static char path[64];
static int listener, ram_fd;
static uint8_t *ram;
static enum manner manner;
static struct port_hello heard;
static struct guest *edge;

static uint32_t hear_hello(int fd, int *fds)
{
	struct packet packet = {
		.bytes = &heard, .size = sizeof(heard), .fds = fds, .fds_max = PORT_REGIONS_MAX};

	assert_int_equal(packet_receive(fd, 0, &packet), 0);
	assert_int_equal(packet.length, sizeof(heard));
	return packet.fd_count;
}

static void say_welcome(int fd, struct port_welcome *welcome, const int *fds, uint32_t count)
{
	size_t bytes = manner == SHORT_ANSWER ? 100 : sizeof(*welcome);

	assert_int_equal(packet_send(fd, 0, welcome, bytes, fds, count), 0);
}

static void close_all(const int *fds, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		close(fds[i]);
	}
}

/* One worker. */
static void *be_switch(void *argument)
{
	int fd = accept(listener, NULL, NULL), fds[PORT_REGIONS_MAX], out[GUEST_FDS_MAX];
	uint32_t count = hear_hello(fd, fds);
	struct port_welcome welcome = {.mac = {0, 0x15, 0x5d, 7, 8, 9}};
	char why[256];

	(void)argument;
	if (manner == IS_BUSY) { /* twice; then the port is free */
		for (unsigned int times = 2; times > 0; times--) {
			welcome.result = -EBUSY;
			strcpy(welcome.text, "it is in use");
			say_welcome(fd, &welcome, NULL, 0);
			close_all(fds, count);
			count = hear_hello(fd, fds);
		}
		welcome.result = 0;
	}
	if (manner == REFUSES) {
		welcome.result = -ENOENT;
		strcpy(welcome.text, "there is no such switch");
		say_welcome(fd, &welcome, NULL, 0);
	} else if (manner != HANGS_UP) {
		assert_int_equal(guest_create(&heard, fds, count, &edge, why, sizeof(why)), 0);
		welcome.queue_count = heard.queue_count;
		welcome.out_slots = heard.out_slots * (manner == OTHER_SLOTS ? 2 : 1);
		welcome.in_slots = heard.in_slots;
		say_welcome(fd, &welcome, out,
			    guest_descriptors(edge, out) - (manner == TOO_FEW_DESCRIPTORS ? 1 : 0));
	}
	close_all(fds, count);
	close(fd);
	return NULL;
}

static int ask(struct netport *port, enum manner how, char *why)
{
	struct netport_request request = {.socket = path,
					  .fd = -1,
					  .network = "lan",
					  .name = "a",
					  .mac = {2, 3},
					  .queue_count = 3,
					  .patience_ms = how == IS_BUSY ? 60000 : 0,
					  .ram_fd = ram_fd,
					  .ram = {ram, RAM_BYTES}};
	pthread_t thread;
	int ret;

	manner = how;
	pthread_create(&thread, NULL, be_switch, NULL);
	ret = netport_connect(port, &request, why, 256);
	pthread_join(thread, NULL);
	return ret;
}

static int start(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)state;
	snprintf(path, sizeof(path), "/tmp/netport_test_%d", getpid());
	strcpy(address.sun_path, path);
	unlink(path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	ram_fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(ram_fd, RAM_BYTES), 0);
	assert_int_equal(fcntl(ram_fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	munmap(ram, RAM_BYTES);
	close(ram_fd);
	close(listener);
	unlink(path);
	return 0;
}

static void test_connects(void **state)
{
	static const uint8_t mac[6] = {0, 0x15, 0x5d, 7, 8, 9};
	struct netport port;
	struct port_slot slot = {0};
	char why[256];
	uint64_t count;

	(void)state;
	assert_int_equal(ask(&port, AS_IT_IS, why), 0);
	assert_string_equal(heard.network, "lan");
	assert_string_equal(heard.port, "a");
	assert_int_equal(heard.mac[0], 2);
	assert_int_equal(heard.region_count, NETPORT_REGIONS);
	assert_memory_equal(port.mac, mac, 6);
	assert_int_equal(port.regions[NETPORT_HEADS].iov_len,
			 3 * port.out_slots * NETPORT_HEAD_BYTES);
	netport_kick(&port);
	assert_int_equal(read(guest_event(edge), &count, sizeof(count)), sizeof(count));

	assert_true(netport_locate(&port, ram + 5, RAM_BYTES - 5, &slot));
	assert_int_equal(slot.offset, 5);
	assert_int_equal(slot.bytes, RAM_BYTES - 5);
	assert_false(netport_locate(&port, ram + 5, RAM_BYTES - 4, &slot));
	assert_false(netport_locate(&port, ram - 1, 1, &slot));
	assert_false(netport_locate(&port, ram + RAM_BYTES, 1, &slot));
	netport_close(&port);
	guest_destroy(&edge);
}

/* On one connection: who asks may have no way to make another. */
static void test_waits_for_a_port(void **state)
{
	struct netport port;
	char why[256];

	(void)state;
	assert_int_equal(ask(&port, IS_BUSY, why), 0);
	assert_string_equal(heard.port, "a");
	assert_true(port.queue_count == 3 && port.memory != NULL);
	netport_close(&port);
	guest_destroy(&edge);
}

static void test_refused(void **state)
{
	static const enum manner wrong[] = {TOO_FEW_DESCRIPTORS, OTHER_SLOTS, SHORT_ANSWER};
	struct netport port;
	char why[256];
	unsigned int i;

	(void)state;
	assert_int_equal(ask(&port, REFUSES, why), -ENOENT);
	assert_string_equal(why, "there is no such switch");
	for (i = 0; i < 3; i++) {
		assert_int_equal(ask(&port, wrong[i], why), -EPROTO);
		assert_non_null(strstr(why, path));
		guest_destroy(&edge);
	}
	assert_true(ask(&port, HANGS_UP, why) < 0);
}

static void test_no_switch(void **state)
{
	struct netport_request request = {
		.socket = "/nonexistent/ports", .fd = -1, .queue_count = 1};
	char longer[200], why[256];
	struct netport port;

	(void)state;
	assert_int_equal(netport_connect(&port, &request, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "/nonexistent/ports: No such file or directory; is vswitchd"));
	memset(longer, 'a', sizeof(longer));
	longer[199] = '\0';
	request.socket = longer;
	assert_int_equal(netport_connect(&port, &request, why, sizeof(why)), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connects, start, stop),
		cmocka_unit_test_setup_teardown(test_waits_for_a_port, start, stop),
		cmocka_unit_test_setup_teardown(test_refused, start, stop),
		cmocka_unit_test(test_no_switch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
