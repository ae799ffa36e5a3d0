/*
 * The channels of a device: offered, opened again and again, withdrawn with the primary one,
 * loaded, destroyed at any time. The channels' threads answer nothing; the test's thread is the
 * control thread of VMBus.
 */
#include "tests/fake/vmbus_guest.h"
#include "vsp/device.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define RING     8u
#define FIRST    100u /* page of the rings */
#define CHANNELS 3u

struct queue {
	struct vsp_channel vsp;
	unsigned int index;
};

static struct vsp_device device;
static struct guest_channel channels[CHANNELS];
static int event;
static unsigned int created, freed, forgotten, changes, ended, works;
static int create_error;
static bool starts_paused;

/* What vmbus_load() says of a channel. */
bool __wrap_channel_starts_paused(const struct vmbus_channel *channel);
bool __wrap_channel_starts_paused(const struct vmbus_channel *channel)
{
	(void)channel;
	return starts_paused;
}

static bool work(void *context)
{
	(void)context;
	__atomic_add_fetch(&works, 1, __ATOMIC_SEQ_CST);
	return false;
}

static void packet(void *context, const struct vmbus_packet *its)
{
	(void)context;
	(void)its;
}

static int create(void *owner, unsigned int index, struct vsp_channel **vsp)
{
	struct queue *queue;

	assert_ptr_equal(owner, &event);
	if (create_error != 0) {
		return create_error;
	}
	queue = calloc(1, sizeof(*queue));
	queue->index = index;
	*vsp = &queue->vsp;
	created++;
	return 0;
}

static void free_queue(struct vsp_channel *vsp)
{
	free(vsp);
	freed++;
}

static void forget(struct vsp_channel *vsp)
{
	(void)vsp;
	forgotten++;
}

static int own_event(void *owner, unsigned int index)
{
	return index == 0 ? *(int *)owner : -1;
}

static void changed(void *owner)
{
	(void)owner;
	changes++;
}

static void all_ended(void *owner)
{
	(void)owner;
	vsp_device_free(&device);
	ended++;
}

static const struct vsp_class queue_class = {.work = work, .packet = packet};
static const struct vsp_device_class class = {
	.channel = &queue_class,
	.create = create,
	.free = free_queue,
	.forget = forget,
	.event = own_event,
	.changed = changed,
	.ended = all_ended,
};
static const struct vmbus_class bus_class = {.name = "device", VSP_VMBUS_FUNCTIONS};

static void serve(void)
{
	struct pollfd fd = {vmbus_fd(guest.bus), POLLIN, 0};

	poll(&fd, 1, 1);
	vmbus_serve(guest.bus);
}

static void offer(unsigned int index)
{
	struct vmbus_offer its = {
		.type = VMBUS_GUID_SCSI, .instance.data1 = 1, .class = &bus_class};

	assert_int_equal(vsp_offer(&device, index, &its), 0);
}

static int start(void **state)
{
	uint32_t relids[2];

	(void)state;
	created = freed = forgotten = changes = ended = works = 0;
	create_error = 0;
	starts_paused = false;
	event = eventfd(0, EFD_NONBLOCK);
	guest_create();
	vsp_device_create(&device, &class, &event, guest.bus);
	offer(0);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_offers(relids, 2), 1);
	channels[0].relid = relids[1];
	return 0;
}

static int stop(void **state)
{
	(void)state;
	guest_destroy();
	if (ended == 0) {
		vsp_device_destroy(&device);
	}
	assert_int_equal(ended, 1);
	assert_int_equal(created, freed);
	close(event);
	return 0;
}

static int64_t open_channel(unsigned int index)
{
	return guest_open(&channels[index], channels[index].relid, 0xe1e10 + index, RING,
			  FIRST + 2 * RING * index, 1);
}

static void close_channel(unsigned int index)
{
	if (guest_close(&channels[index])) {
		return;
	}
	/* Later: its thread ends first. Sub-channels are rescinded on the way. */
	while (guest_take(CHANNELMSG_GPADL_TORNDOWN) == NULL) {
		guest_take(CHANNELMSG_RESCIND_CHANNELOFFER);
		serve();
	}
}

static void open_sub_channels(void)
{
	const struct vmbus_channel_offer_channel *message;
	unsigned int i;

	for (i = 1; i < CHANNELS; i++) {
		offer(i);
		while ((message = guest_take(CHANNELMSG_OFFERCHANNEL)) == NULL) {
			serve();
		}
		assert_int_equal(message->offer.sub_channel_index, i);
		channels[i].relid = message->child_relid;
		assert_int_equal(open_channel(i), 0);
	}
}

static void release(unsigned int index)
{
	struct vmbus_channel_relid message = {.header.msgtype = CHANNELMSG_RELID_RELEASED,
					      .child_relid = channels[index].relid};

	guest_post(&message, sizeof(message));
	serve();
}

static void a_channel_is_opened_again_and_again(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(vsp_offered(&device), 1);
	for (i = 1; i <= 4; i++) {
		assert_int_equal(open_channel(0), 0);
		assert_int_equal(vsp_open(&device), 1);
		assert_non_null(vsp_open_channel(&device, 0));
		assert_int_equal(created, i);
		assert_int_equal(freed, i - 1); /* the one before, joined */
		close_channel(0);
		assert_int_equal(vsp_open(&device), 0);
		assert_null(vsp_open_channel(&device, 0));
		assert_int_equal(changes, 2 * i);
	}
}

static void what_cannot_be_made_is_not_open(void **state)
{
	(void)state;
	create_error = -ENOMEM;
	assert_int_not_equal(open_channel(0), 0);
	assert_int_equal(vsp_open(&device), 0);
	assert_int_equal(changes, 0);
	create_error = 0;
}

static void the_primary_takes_its_sub_channels_along(void **state)
{
	(void)state;
	assert_int_equal(open_channel(0), 0);
	open_sub_channels();
	assert_int_equal(vsp_open(&device), 7);
	assert_int_equal(vsp_offered(&device), 7);
	close_channel(0);
	while (vsp_open(&device) != 0) {
		serve();
	}
	release(1);
	release(2);
	while (vsp_offered(&device) != 1) {
		serve();
	}
	while (guest_take(CHANNELMSG_RESCIND_CHANNELOFFER) != NULL) {
	}
	assert_int_equal(open_channel(0), 0);
	open_sub_channels();
	assert_int_equal(vsp_open(&device), 7);
}

static void all_are_woken(void **state)
{
	unsigned int before;

	(void)state;
	assert_int_equal(open_channel(0), 0);
	before = __atomic_load_n(&works, __ATOMIC_SEQ_CST);
	vsp_wake_all(&device);
	while (__atomic_load_n(&works, __ATOMIC_SEQ_CST) == before) {
	}
	before = __atomic_load_n(&works, __ATOMIC_SEQ_CST);
	eventfd_write(event, 1); /* the owner's wakes it as well */
	while (__atomic_load_n(&works, __ATOMIC_SEQ_CST) == before) {
	}
}

static void load(void)
{
	struct vsp_channel *vsp;

	assert_int_equal(create(&event, 0, &vsp), 0);
	vsp_load(&device, 0, vsp);
}

static void what_was_loaded_serves_the_channel_that_was_open(void **state)
{
	(void)state;
	load();
	starts_paused = true;
	assert_int_equal(open_channel(0), 0);
	assert_int_equal(created, 1);
	assert_int_equal(forgotten, 0);
	/* It was loaded as paused: the bus is. */
	while (__atomic_load_n(&vsp_open_channel(&device, 0)->said, __ATOMIC_SEQ_CST) == 0) {
		serve();
	}
	vsp_resume(vsp_open_channel(&device, 0));
}

static void what_was_loaded_is_nothing_to_who_opens_it_anew(void **state)
{
	(void)state;
	load();
	assert_int_equal(open_channel(0), 0);
	assert_int_equal(created, 2);
	assert_int_equal(freed, 1);
	assert_int_equal(forgotten, 1);
}

static void what_was_loaded_and_never_opened_is_freed(void **state)
{
	(void)state;
	load();
}

static void a_device_is_destroyed_while_its_channels_are_open(void **state)
{
	(void)state;
	assert_int_equal(open_channel(0), 0);
	open_sub_channels();
	vsp_device_destroy(&device);
	assert_int_equal(ended, 0); /* their threads are there */
	while (ended == 0) {
		serve();
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_channel_is_opened_again_and_again),
		TEST(what_cannot_be_made_is_not_open),
		TEST(the_primary_takes_its_sub_channels_along),
		TEST(all_are_woken),
		TEST(what_was_loaded_serves_the_channel_that_was_open),
		TEST(what_was_loaded_is_nothing_to_who_opens_it_anew),
		TEST(what_was_loaded_and_never_opened_is_freed),
		TEST(a_device_is_destroyed_while_its_channels_are_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
