/*
 * Dynamic memory, against a guest that speaks as Linux's hv_balloon does, and one that does not.
 * The test's thread is the control thread of VMBus and the guest; the device has its own.
 */
#include "include/vsp/dm.h"
#include "tests/fake/vmbus_guest.h"
#include "vsp/memory/balloon.h"
#include "vsp/memory/host.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RING    8u
#define PAGES   65536u /* 256 MiB */
#define MINIMUM 16384u
#define UNIT    32768u /* 128 MiB, which the guest wants to be added at a time */
#define MAXIMUM (PAGES + 2 * UNIT)

/* The machine: which blocks it has taken. */
struct balloon_host {
	_Atomic bool taken[MAXIMUM / BALLOON_BLOCK_PAGES];
	_Atomic unsigned int count;
	_Atomic int give_result;
	_Atomic uint64_t end; /* of RAM; what is added begins at PAGES */
	_Atomic int add_result;
};

static struct balloon_host home;
static struct balloon *balloon;
static struct guest_channel channel;
static uint32_t relid, next_gpadl;

bool balloon_host_is_ram(struct balloon_host *host, uint64_t page, uint64_t count)
{
	return page + count <= host->end && !(page < 0xc0 && page + count > 0xa0);
}

int balloon_host_take(struct balloon_host *host, uint64_t page)
{
	CHECK(page % BALLOON_BLOCK_PAGES == 0 && page < host->end);
	if (page == 0) {
		return -EINVAL; /* it is no block of its own */
	}
	CHECK(!atomic_exchange(&host->taken[page / BALLOON_BLOCK_PAGES], true));
	atomic_fetch_add(&host->count, 1);
	return 0;
}

int balloon_host_give(struct balloon_host *host, uint64_t page)
{
	int ret = atomic_load(&host->give_result);

	if (ret == 0) {
		CHECK(atomic_exchange(&host->taken[page / BALLOON_BLOCK_PAGES], false));
		atomic_fetch_sub(&host->count, 1);
	}
	return ret;
}

uint64_t balloon_host_pages(struct balloon_host *host)
{
	return host->end;
}

bool balloon_host_find(struct balloon_host *host, uint64_t pages, uint64_t *first)
{
	*first = host->end;
	return host->end % pages == 0 && pages <= MAXIMUM - host->end;
}

int balloon_host_add(struct balloon_host *host, uint64_t first, uint64_t pages)
{
	int ret = host->add_result;

	CHECK(first == host->end && pages == UNIT && pages <= MAXIMUM - first);
	host->end += ret == 0 ? pages : 0;
	return ret;
}

int balloon_host_withdraw(struct balloon_host *host, uint64_t first, uint64_t pages)
{
	CHECK(first + pages == host->end && first >= PAGES && pages > 0);
	host->end -= pages;
	return 0;
}

/* ---- The guest ---- */

#define UNTIL(condition) GUEST_UNTIL(guest_wait, condition)

static struct balloon_state state_now(void)
{
	struct balloon_state state;

	balloon_get_state(balloon, &state);
	return state;
}

static void put(uint16_t type, void *message, uint32_t bytes)
{
	const struct dm_header header = {type, (uint16_t)bytes, 5};

	memcpy(message, &header, sizeof(header));
	assert_true(guest_send(&channel, VM_PKT_DATA_INBAND, 0, 0, NULL, 0, message, bytes));
}

/* The next message of the host's, of which this is the type; its bytes are in `message`. */
static bool try_get(uint16_t type, void *message, size_t size)
{
	static struct guest_packet packet;
	struct dm_header header;

	if (!guest_receive(&channel, &packet)) {
		return false;
	}
	memcpy(&header, packet.bytes + 16, sizeof(header));
	assert_int_equal(packet.descriptor.type, VM_PKT_DATA_INBAND);
	assert_int_equal(header.type, type);
	assert_true(header.size <= packet.descriptor.len8 * 8u - 16);
	memcpy(message, packet.bytes + 16, size < header.size ? size : header.size);
	return true;
}

static void expect(uint16_t type, void *message, size_t size)
{
	UNTIL(try_get(type, message, size));
}

static void expect_silence(void)
{
	static struct guest_packet packet;
	unsigned int i;

	for (i = 0; i < 10; i++) {
		guest_wait();
		assert_false(guest_receive(&channel, &packet));
	}
}

static void ask_version(uint32_t version, bool accepted)
{
	struct dm_version_request request = {.version = version};
	struct dm_acceptance answer;

	put(DM_VERSION_REQUEST, &request, sizeof(request));
	expect(DM_VERSION_RESPONSE, &answer, sizeof(answer));
	assert_int_equal(answer.is_accepted, accepted);
}

static void report(uint64_t available, uint64_t committed)
{
	struct dm_status status = {.num_avail = available, .num_committed = committed};

	put(DM_STATUS_REPORT, &status, sizeof(status));
}

static void open_channel(void)
{
	assert_int_equal(guest_open(&channel, relid, ++next_gpadl, RING, 64, 0), 0);
}

/* The device's thread may have let go of it by then, or not yet. */
static void close_channel(void)
{
	if (!guest_close(&channel)) {
		UNTIL(guest_take(CHANNELMSG_GPADL_TORNDOWN) != NULL);
	}
}

static void say_what_it_can(void)
{
	struct dm_capabilities caps = {.caps = DM_CAP_BALLOON | DM_CAP_HOT_ADD | 7 << 2,
				       .max_page_number = UINT64_MAX};
	struct dm_acceptance answer;

	put(DM_CAPABILITIES_REPORT, &caps, sizeof(caps));
	expect(DM_CAPABILITIES_RESPONSE, &answer, sizeof(answer));
	assert_int_equal(answer.is_accepted, 1);
}

static void shake_hands(void)
{
	ask_version(DM_VERSION_WIN10, true);
	say_what_it_can();
	report(50000, 20000);
	UNTIL(state_now().reported);
}

static uint32_t expect_balloon(void)
{
	struct dm_balloon request;

	expect(DM_BALLOON_REQUEST, &request, sizeof(request));
	return request.num_pages;
}

/* Ranges of an answer; `more`: not the last. */
static void put_pages(const uint64_t *ranges, uint32_t count, bool more)
{
	struct {
		struct dm_balloon_response head;
		uint64_t ranges[64];
	} message = {.head.more_and_count = count << 1 | more};

	memcpy(message.ranges, ranges, count * sizeof(uint64_t));
	put(DM_BALLOON_RESPONSE, &message, (uint32_t)(sizeof(message.head) + count * 8));
}

static void give_pages(uint64_t first, uint64_t count)
{
	uint64_t range = DM_RANGE(first, count);

	put_pages(&range, 1, false);
}

/* What the host lets the guest have; answered. How many pages. */
static uint64_t expect_unballoon(uint64_t *first)
{
	struct {
		struct dm_unballoon_request head;
		uint64_t ranges[510];
	} message;
	struct dm_header answer;
	uint64_t pages = 0;
	uint32_t i;

	expect(DM_UNBALLOON_REQUEST, &message, sizeof(message));
	assert_int_equal(message.head.more, 0);
	for (i = 0; i < message.head.range_count; i++) {
		uint64_t page = DM_RANGE_FIRST(message.ranges[i]);

		/* It is there before the guest is told so. */
		assert_false(atomic_load(&home.taken[page / BALLOON_BLOCK_PAGES]));
		pages += DM_RANGE_COUNT(message.ranges[i]);
	}
	*first = DM_RANGE_FIRST(message.ranges[0]);
	put(DM_UNBALLOON_RESPONSE, &answer, sizeof(answer));
	return pages;
}

static struct balloon_config config;

static int start_with(uint64_t maximum)
{
	struct vmbus_channel_message_header request = {.msgtype = CHANNELMSG_REQUESTOFFERS};
	const struct vmbus_channel_offer_channel *offer;

	config = (struct balloon_config){
		.start = PAGES, .end = maximum, .minimum = MINIMUM, .maximum = maximum};
	memset(&home, 0, sizeof(home));
	home.end = PAGES;
	guest_create();
	assert_int_equal(balloon_create(guest.bus, &home, &config, &balloon), 0);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_post(&request, sizeof(request)), 0);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_non_null(offer);
	relid = offer->child_relid;
	assert_non_null(guest_take(CHANNELMSG_ALLOFFERS_DELIVERED));
	return 0;
}

static int start(void **state)
{
	(void)state;
	return start_with(PAGES);
}

static int start_growing(void **state)
{
	(void)state;
	return start_with(MAXIMUM);
}

static int stop(void **state)
{
	(void)state;
	balloon_destroy(&balloon);
	guest_destroy();
	return 0;
}

/* ---- Tests ---- */

static void versions_and_what_it_can(void **state)
{
	struct dm_capabilities none = {0};
	struct dm_acceptance answer;

	(void)state;
	assert_non_null(strstr(state_now().why, "has not opened"));
	open_channel();
	put(DM_CAPABILITIES_REPORT, &none, sizeof(none)); /* too early, and nothing */
	expect(DM_CAPABILITIES_RESPONSE, &answer, sizeof(answer));
	assert_int_equal(answer.is_accepted, 0);
	ask_version(DM_VERSION(3, 0), false);
	ask_version(DM_VERSION_WIN8, true);
	say_what_it_can();
	assert_true(state_now().contacted);
	balloon_set_target(balloon, 0);
	expect_silence(); /* it has not told how it is */
	assert_non_null(strstr(state_now().why, "how it is"));
	report(100, 200);
	assert_int_equal(expect_balloon(), 16384);
	assert_null(state_now().why);
	assert_int_equal(state_now().available, 100);
	assert_int_equal(state_now().committed, 200);
	assert_int_equal(state_now().target, MINIMUM);
}

static void the_guest_is_led(void **state)
{
	const uint64_t pieces[] = {DM_RANGE(1024, 300), DM_RANGE(1324, 212), DM_RANGE(5000, 100)};
	uint64_t first, back = 0;

	(void)state;
	open_channel();
	shake_hands();
	balloon_set_target(balloon, PAGES - 1636);
	assert_int_equal(expect_balloon(), 1636);
	assert_true(state_now().asked);
	/* Two packets: a block in two pieces, one and a half blocks, half a block. */
	put_pages(pieces, 3, true);
	give_pages(2048, 1024);
	UNTIL(!state_now().asked);
	assert_int_equal(state_now().assigned, PAGES - 1636);
	assert_int_equal(home.count, 3);
	assert_true(home.taken[2] && home.taken[4] && home.taken[5]);
	assert_int_equal(state_now().returned, 3 * 512);
	/* Its balloon is committed, says Linux. */
	report(1, 1636 + 77);
	UNTIL(state_now().committed == 77);
	expect_silence();
	/* Some of it, then all; the lowest first. */
	balloon_set_target(balloon, PAGES - 1000);
	back = expect_unballoon(&first);
	assert_int_equal(back, 636);
	assert_int_equal(first, 1024);
	UNTIL(!state_now().asked);
	assert_int_equal(state_now().assigned, PAGES - 1000);
	/* Other bounds: the target is within them at once, and can be what they allow. */
	balloon_set_bounds(balloon, PAGES - 900, PAGES - 800);
	assert_int_equal(state_now().target, PAGES - 900);
	balloon_set_target(balloon, UINT64_MAX);
	assert_int_equal(state_now().target, PAGES - 800);
	assert_int_equal(state_now().minimum, PAGES - 900);
	assert_int_equal(state_now().maximum, PAGES - 800);
	balloon_set_bounds(balloon, 1, PAGES);
	balloon_set_target(balloon, UINT64_MAX);
	assert_int_equal(state_now().target, PAGES);
	while (back < 1636) {
		back += expect_unballoon(&first);
	}
	UNTIL(!state_now().asked && state_now().assigned == PAGES);
	assert_int_equal(home.count, 0);
	assert_int_equal(state_now().returned, 0);
	expect_silence();
}

/* It is asked again when it has told ten times how it is, not at once. */
static void a_guest_that_gives_no_more(void **state)
{
	const uint64_t nothing = 0;
	unsigned int i;

	(void)state;
	open_channel();
	shake_hands();
	balloon_set_target(balloon, PAGES - 2000);
	assert_int_equal(expect_balloon(), 2000);
	give_pages(512, 512);
	UNTIL(state_now().gives_no_more);
	assert_int_equal(home.count, 1);
	for (i = 0; i < 9; i++) {
		report(1, 1);
		guest_wait();
	}
	expect_silence();
	report(1, 1);
	assert_int_equal(expect_balloon(), 1488);
	put_pages(&nothing, 0, false);
	UNTIL(!state_now().asked);
	/* Another target is another matter. */
	balloon_set_target(balloon, PAGES - 600);
	assert_int_equal(expect_balloon(), 88);
}

static void a_root_without_memory(void **state)
{
	uint64_t first;

	(void)state;
	open_channel();
	shake_hands();
	balloon_set_target(balloon, PAGES - 1024);
	(void)expect_balloon();
	give_pages(1024, 1024);
	UNTIL(home.count == 2);
	atomic_store(&home.give_result, -ENOMEM);
	balloon_set_target(balloon, PAGES);
	expect_silence();
	assert_int_equal(state_now().assigned, PAGES - 1024);
	atomic_store(&home.give_result, 0);
	report(1, 1); /* with each report it is tried again */
	assert_int_equal(expect_unballoon(&first), 1024);
}

static void expect_break(void)
{
	UNTIL(guest.lines > 0);
	UNTIL(!state_now().contacted);
	assert_int_equal(state_now().assigned, PAGES);
	close_channel();
	guest.lines = 0;
}

static void pages_that_are_not_the_guests_to_give(void **state)
{
	const uint64_t wrong[][2] = {
		{DM_RANGE(PAGES, 1), 0},
		{DM_RANGE(PAGES - 1, 2), 0},
		{DM_RANGE((1ull << 40) - 1, 5), 0},
		{DM_RANGE(1024, 0), 0},
		{DM_RANGE(1024, 101), 0},                 /* more than was asked for */
		{DM_RANGE(1024, 60), DM_RANGE(2000, 60)}, /* together */
		{DM_RANGE(1024, 10), DM_RANGE(1033, 1)},  /* twice */
		{DM_RANGE(0x98, 16), 0},                  /* no RAM */
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(wrong); i++) {
		open_channel();
		shake_hands();
		balloon_set_target(balloon, PAGES - 100);
		assert_int_equal(expect_balloon(), 100);
		put_pages(wrong[i], wrong[i][1] != 0 ? 2 : 1, false);
		expect_break();
	}
	/* An answer to nothing, and one that is longer than it is. */
	balloon_set_target(balloon, PAGES);
	open_channel();
	shake_hands();
	give_pages(1024, 1);
	expect_break();
	open_channel();
	shake_hands();
	balloon_set_target(balloon, PAGES - 100);
	(void)expect_balloon();
	{
		struct dm_balloon_response head = {.more_and_count = 3 << 1};

		put(DM_BALLOON_RESPONSE, &head, sizeof(head));
	}
	expect_break();
	assert_int_equal(home.count, 0);
}

/* A new kernel has all pages; the host brings back what is touched. The target stays. */
static void a_new_kernel_is_led_anew(void **state)
{
	(void)state;
	open_channel();
	shake_hands();
	balloon_set_target(balloon, PAGES - 512);
	(void)expect_balloon();
	give_pages(512, 512);
	UNTIL(state_now().returned == 512);
	close_channel();
	assert_false(state_now().contacted);
	assert_int_equal(state_now().assigned, PAGES);
	atomic_store(&home.taken[1], false); /* it was touched */
	open_channel();
	shake_hands();
	assert_int_equal(expect_balloon(), 512);
	give_pages(512, 512);
	UNTIL(state_now().returned == 512);
}

static void junk_is_dropped(void **state)
{
	uint64_t bytes[8] = {0};
	unsigned int type;

	(void)state;
	open_channel();
	for (type = 0; type < 20; type++) {
		put((uint16_t)type, bytes, 8); /* too short, or not known */
	}
	assert_true(guest_send(&channel, VM_PKT_DATA_INBAND, 0, 0, NULL, 0, bytes, 0));
	shake_hands();
	vmbus_pause(guest.bus);
	balloon_set_target(balloon, PAGES - 5);
	expect_silence();
	vmbus_resume(guest.bus);
	assert_int_equal(expect_balloon(), 5);
}

/* ---- Another machine takes over ---- */

static void save_device(struct state_writer *writer)
{
	balloon_save(balloon, writer);
}

/* The memory of the new machine has all blocks. */
static int begin_with(const uint8_t *from, size_t size, struct state_fault *fault)
{
	struct state_reader all = state_reader(from, size, fault);
	uint64_t ram = home.end;
	int ret;

	memset(&home, 0, sizeof(home));
	home.end = ram;
	assert_int_equal(balloon_create(guest.bus, &home, &config, &balloon), 0);
	vmbus_pause(guest.bus);
	ret = balloon_load(balloon, &all);
	return ret == 0 ? vmbus_load(guest.bus, &all) : ret;
}

static void end_machine(void)
{
	balloon_destroy(&balloon);
	guest_restart();
}

static uint8_t *move(size_t *size)
{
	struct state_fault fault;
	uint8_t *saved, *again;
	size_t its;

	vmbus_pause(guest.bus);
	saved = guest_save(save_device, size);
	end_machine();
	assert_int_equal(begin_with(saved, *size, &fault), 0);
	again = guest_save(save_device, &its);
	assert_int_equal(its, *size);
	assert_memory_equal(saved, again, its);
	free(again);
	vmbus_resume(guest.bus);
	return saved;
}

static void another_machine_goes_on(void **state)
{
	uint64_t first, pieces[] = {DM_RANGE(1024, 1024), DM_RANGE(5000, 100)};
	size_t size;

	(void)state;
	free(move(&size)); /* before there is a guest */
	UNTIL(state_now().target == PAGES);
	open_channel();
	shake_hands();
	balloon_set_target(balloon, PAGES - 1636);
	assert_int_equal(expect_balloon(), 1636);
	put_pages(pieces, 2, true);
	UNTIL(state_now().returned == 1024);
	/* In the middle of an answer. */
	free(move(&size));
	UNTIL(state_now().returned == 1024 && home.count == 2);
	assert_int_equal(state_now().assigned, PAGES - 1124);
	assert_int_equal(state_now().target, PAGES - 1636);
	assert_true(state_now().asked && state_now().reported);
	give_pages(2048, 512);
	UNTIL(!state_now().asked);
	assert_int_equal(home.count, 3);
	/* Another time: as it is now, not as it was when it was loaded. */
	report(4321, 1636 + 1234);
	UNTIL(state_now().available == 4321);
	free(move(&size));
	UNTIL(state_now().returned == 3 * 512);
	assert_int_equal(state_now().available, 4321);
	assert_int_equal(state_now().committed, 1234);
	assert_false(state_now().asked);
	balloon_set_target(balloon, PAGES);
	assert_int_equal(expect_unballoon(&first), 1636);
	assert_int_equal(first, 1024);
	UNTIL(!state_now().asked && home.count == 0);
}

/* A guest may begin anew while it is asked for pages, and move then. */
static void a_guest_in_its_second_handshake_moves(void **state)
{
	size_t size;

	(void)state;
	open_channel();
	shake_hands();
	balloon_set_target(balloon, PAGES - 512);
	assert_int_equal(expect_balloon(), 512);
	ask_version(DM_VERSION_WIN10, true);
	free(move(&size));
	UNTIL(state_now().asked && !state_now().contacted);
	say_what_it_can();
	give_pages(1024, 512);
	UNTIL(!state_now().asked);
	assert_int_equal(state_now().assigned, PAGES - 512);
}

/* All of it is read before anything is done. */
static void a_state_that_cannot_be(void **state)
{
	struct state_fault fault;
	uint8_t *saved, *changed;
	size_t size, i;
	int ret;

	(void)state;
	open_channel();
	shake_hands();
	balloon_set_target(balloon, PAGES - 1024);
	assert_int_equal(expect_balloon(), 1024);
	put_pages((uint64_t[]){DM_RANGE(1024, 512)}, 1, true);
	UNTIL(state_now().returned == 512);
	saved = move(&size);
	for (i = 0; i < 200 && i < size; i++) {
		changed = malloc(size);
		assert_non_null(changed);
		memcpy(changed, saved, size);
		changed[i] ^= 0x81;
		end_machine();
		ret = begin_with(changed, size, &fault);
		assert_true(ret == 0 || (ret == -EINVAL && fault.what != NULL));
		free(changed);
	}
	/* A page that is in the balloon twice. */
	for (i = 0; i + 8 <= size; i++) {
		uint64_t range;

		memcpy(&range, saved + i, sizeof(range));
		if (range == DM_RANGE(1024, 512)) {
			break;
		}
	}
	assert_true(i + 8 <= size);
	saved[i] = 0xa0;
	saved[i + 1] = 0;
	end_machine();
	assert_int_equal(begin_with(saved, size, &fault), -EINVAL);
	assert_string_equal(fault.what, "has a page that cannot be in a balloon");
	free(saved);
}

/* ---- Memory that is added ---- */

static void expect_addition(uint64_t first)
{
	struct dm_hot_add request;

	expect(DM_MEM_HOT_ADD_REQUEST, &request, sizeof(request));
	assert_true(request.range == DM_RANGE(first, UNIT) && request.region == request.range);
	/* It is there before the guest is told so, and not yet the guest's. */
	assert_int_equal(home.end, first + UNIT);
	assert_true(state_now().asked && state_now().assigned == first);
}

static void answer_addition(uint32_t pages, uint32_t result)
{
	struct dm_hot_add_response answer = {.page_count = pages, .result = result};

	put(DM_MEM_HOT_ADD_RESPONSE, &answer, sizeof(answer));
}

static void memory_is_added(void **state)
{
	size_t size;

	(void)state;
	open_channel();
	shake_hands();
	balloon_set_target(balloon, PAGES + UNIT);
	expect_addition(PAGES);
	free(move(&size)); /* another machine goes on in the middle */
	UNTIL(state_now().assigned == PAGES && state_now().asked);
	answer_addition(UNIT, 1);
	UNTIL(state_now().assigned == PAGES + UNIT);
	expect_silence();
	/* Of the next so much goes back as is too much, and comes from there before any is
	 * added. */
	balloon_set_target(balloon, PAGES + UNIT + 512);
	expect_addition(PAGES + UNIT);
	answer_addition(UNIT, 1);
	assert_int_equal(expect_balloon(), 16384);
	give_pages(PAGES, 16384);
	assert_int_equal(expect_balloon(), UNIT - 512 - 16384);
	balloon_set_target(balloon, UINT64_MAX);
	assert_int_equal(state_now().target, MAXIMUM);
	give_pages(2048, 1024);
	{
		uint64_t first, back = 0;

		while (back < 16384 + 1024) {
			back += expect_unballoon(&first);
		}
	}
	UNTIL(state_now().assigned == MAXIMUM);
	expect_silence();
	assert_false(state_now().takes_no_more);
}

static void a_guest_that_takes_no_more(void **state)
{
	unsigned int i;

	(void)state;
	open_channel();
	shake_hands();
	/* The root has none. */
	home.add_result = -ENOMEM;
	balloon_set_target(balloon, MAXIMUM);
	expect_silence();
	home.add_result = 0;
	for (i = 0; i < 10; i++) {
		report(1, 1);
		guest_wait();
	}
	/* The guest could not: it is asked again when it has told ten times how it is. */
	expect_addition(PAGES);
	answer_addition(0, 0);
	UNTIL(!state_now().asked);
	assert_true(home.end == PAGES && state_now().assigned == PAGES);
	assert_false(state_now().takes_no_more);
	expect_silence();
	for (i = 0; i < 10; i++) {
		report(1, 1);
		guest_wait();
	}
	/* Some of it, and no more ever. */
	expect_addition(PAGES);
	answer_addition(1000, 1);
	UNTIL(!state_now().asked);
	assert_int_equal(home.end, PAGES + 1024);
	assert_int_equal(state_now().assigned, PAGES + 1024);
	assert_true(state_now().takes_no_more);
	for (i = 0; i < 11; i++) {
		report(1, 1);
		guest_wait();
	}
	expect_silence();
}

static void additions_that_cannot_be(void **state)
{
	struct dm_hot_add_response answer = {.page_count = 1, .result = 1};

	(void)state;
	open_channel();
	shake_hands();
	put(DM_MEM_HOT_ADD_RESPONSE, &answer, sizeof(answer)); /* to nothing: it is dropped */
	expect_silence();
	balloon_set_target(balloon, MAXIMUM);
	expect_addition(PAGES);
	answer.page_count = UNIT + 1;
	put(DM_MEM_HOT_ADD_RESPONSE, &answer, sizeof(answer));
	UNTIL(guest.lines > 0 && !state_now().contacted);
	close_channel();
	guest.lines = 0;
	/* What was added is the guest's; one without that ability is asked for none. */
	assert_int_equal(state_now().assigned, PAGES + UNIT);
	open_channel();
	ask_version(DM_VERSION_WIN10, true);
	{
		struct dm_capabilities caps = {.caps = DM_CAP_BALLOON};
		struct dm_acceptance accepted;

		put(DM_CAPABILITIES_REPORT, &caps, sizeof(caps));
		expect(DM_CAPABILITIES_RESPONSE, &accepted, sizeof(accepted));
	}
	report(1, 1);
	expect_silence();
	assert_true(state_now().takes_no_more);
}

#define GROWING(function) cmocka_unit_test_setup_teardown(function, start_growing, stop)
#define TEST(function)    cmocka_unit_test_setup_teardown(function, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(versions_and_what_it_can),
		TEST(the_guest_is_led),
		TEST(a_guest_that_gives_no_more),
		TEST(a_root_without_memory),
		TEST(pages_that_are_not_the_guests_to_give),
		TEST(a_new_kernel_is_led_anew),
		TEST(junk_is_dropped),
		TEST(another_machine_goes_on),
		TEST(a_guest_in_its_second_handshake_moves),
		TEST(a_state_that_cannot_be),
		GROWING(memory_is_added),
		GROWING(a_guest_that_takes_no_more),
		GROWING(additions_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
