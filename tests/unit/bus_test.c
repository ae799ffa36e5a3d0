/* worker/bus.c: who the guest's signals are for, with the module's help and without it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmbus/host.h"
#include "vmbus/vmbus.h"
#include "worker/machine.h"
#include "worker/say.h"

#define CONNECTION 0x10005u

static struct machine machine;
static int event, bind_result;
static unsigned int bound;

int backend_partition_bind_event(struct backend_partition *partition, uint32_t connection_id,
				 int fd)
{
	(void)partition;
	assert_int_equal(connection_id, CONNECTION);
	assert_int_equal(fd, event);
	bound += bind_result == 0;
	return bind_result;
}

void backend_partition_unbind_event(struct backend_partition *partition, uint32_t connection_id,
				    int fd)
{
	(void)partition;
	assert_int_equal(connection_id, CONNECTION);
	assert_int_equal(fd, event);
	bound--;
}

int backend_partition_post_message(struct backend_partition *partition, uint32_t vp, uint8_t sint,
				   uint32_t type, const void *payload, size_t size)
{
	(void)partition, (void)vp, (void)sint, (void)type, (void)payload, (void)size;
	return 0;
}

int backend_partition_signal_event(struct backend_partition *partition, uint32_t vp, uint8_t sint,
				   uint16_t flag)
{
	(void)partition, (void)vp, (void)sint, (void)flag;
	return 0;
}

int memory_acquire_pages(const struct memory *memory, const uint64_t *pages, uint32_t offset,
			 uint32_t length, struct iovec *iov, unsigned int max)
{
	(void)memory, (void)pages, (void)offset, (void)length, (void)iov, (void)max;
	return -EFAULT;
}

void memory_complete_pages(const struct memory *memory, const uint64_t *pages, uint32_t offset,
			   uint32_t length, uint32_t written)
{
	(void)memory, (void)pages, (void)offset, (void)length, (void)written;
}

void memory_wrote_pages(const struct memory *memory, const uint64_t *pages, uint32_t offset,
			uint32_t length)
{
	(void)memory, (void)pages, (void)offset, (void)length;
}

int vmbus_create(struct vmbus_host *host, struct vmbus **bus)
{
	(void)host;
	*bus = NULL;
	return 0;
}

void vmbus_destroy(struct vmbus **bus)
{
	(void)bus;
}

void vmbus_room(struct vmbus *bus)
{
	(void)bus;
}

void say(const char *format, ...)
{
	(void)format;
}

void say_guest(const char *format, ...)
{
	(void)format;
}

static int setup(void **state)
{
	(void)state;
	event = eventfd(0, EFD_NONBLOCK);
	assert_true(event >= 0);
	assert_true(bus_create(&machine));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bus_destroy(&machine);
	close(event);
	return 0;
}

static void goes_to_the_event(void **state)
{
	/* The module does it; it cannot; it has lent all that it has. */
	static const int results[] = {0, -ENOTTY, -ENOSPC};
	eventfd_t count;

	(void)state;
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		bind_result = results[i];
		assert_int_equal(vmbus_host_connect(machine.bus_host, CONNECTION, event), 0);
		assert_int_equal(bound, results[i] == 0);
		assert_true(bus_signal(&machine, CONNECTION));
		assert_int_equal(eventfd_read(event, &count), 0);
		assert_false(bus_signal(&machine, CONNECTION + VMBUS_MAX_CHANNELS));
		vmbus_host_disconnect(machine.bus_host, CONNECTION);
		assert_int_equal(bound, 0);
		assert_false(bus_signal(&machine, CONNECTION));
	}
}

static void is_refused(void **state)
{
	(void)state;
	bind_result = -ENOMEM;
	assert_int_equal(vmbus_host_connect(machine.bus_host, CONNECTION, event), -ENOMEM);
	assert_false(bus_signal(&machine, CONNECTION));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(goes_to_the_event, setup, teardown),
		cmocka_unit_test_setup_teardown(is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
