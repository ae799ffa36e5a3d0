/*
 * Dynamic memory whose guest says anything at any time: raw packets, and answers that are right but
 * for some bytes. Channels open and close, there is no room, the root has no memory, the target
 * moves. No page is in the balloon twice; a block is taken once, and only when all of it is in the
 * balloon; none is taken of which the guest has been given a page. The channel, and what has
 * threads otherwise, is this file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/vsp/dm.h"
#include "tests/fake/lone_device.h"
#include "tests/fuzz/fuzz.h"
#include "vsp/device.h"
#include "vsp/memory/balloon.h"
#include "vsp/memory/host.h"

#define START   4096u
#define UNIT    1024u /* pages that are added at a time: 4 MiB */
#define PAGES   8192u /* at most */
#define MINIMUM 1024u

static struct balloon *balloon;
static const struct balloon_config config = {
	.start = START, .end = PAGES, .minimum = MINIMUM, .maximum = PAGES};
static bool room, no_memory;
static bool in_balloon[PAGES]; /* as the guest has it */
static bool taken[PAGES / BALLOON_BLOCK_PAGES];
static uint64_t ram;   /* where it ends */
static uint64_t added; /* pages that the guest has not taken yet */
static uint32_t asked; /* pages of the request that is under way */

/* ---- The channel ---- */

void channel_break(struct vmbus_channel *channel, const char *reason)
{
	(void)channel;
	EXPECT(reason != NULL);
	lone_shut = true;
}

int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned int count)
{
	const struct dm_unballoon_request *out = payload->iov_base;
	struct dm_header header;
	struct dm_balloon in;
	uint32_t i;

	(void)channel;
	(void)transaction;
	memcpy(&header, payload->iov_base, sizeof(header));
	EXPECT(count == 1 && !completion_requested && header.size == payload->iov_len &&
	       header.size <= DM_MESSAGE_MAX);
	if (!room) {
		return -EAGAIN;
	}
	if (header.type == DM_MEM_HOT_ADD_REQUEST) {
		struct dm_hot_add add;

		memcpy(&add, payload->iov_base, sizeof(add));
		EXPECT(add.range == add.region && DM_RANGE_COUNT(add.range) == added && added > 0 &&
		       DM_RANGE_FIRST(add.range) + added == ram);
	}
	if (header.type == DM_BALLOON_REQUEST) {
		memcpy(&in, payload->iov_base, sizeof(in));
		EXPECT(in.num_pages > 0 && in.num_pages <= PAGES - MINIMUM);
		asked = in.num_pages;
	}
	for (i = 0; header.type == DM_UNBALLOON_REQUEST && i < out->range_count; i++) {
		uint64_t page = DM_RANGE_FIRST(out->ranges[i]);
		uint64_t end = page + DM_RANGE_COUNT(out->ranges[i]);

		EXPECT(page < end && end <= PAGES);
		for (; page < end; page++) {
			EXPECT(in_balloon[page] && !taken[page / BALLOON_BLOCK_PAGES]);
			in_balloon[page] = false;
		}
	}
	return 0;
}

/* ---- The machine ---- */

bool balloon_host_is_ram(struct balloon_host *host, uint64_t page, uint64_t count)
{
	(void)host;
	EXPECT(count > 0 && page < PAGES && count <= PAGES - page);
	return (page >= 0xc0 || page + count <= 0xa0) && page + count <= ram;
}

uint64_t balloon_host_pages(struct balloon_host *host)
{
	(void)host;
	return ram;
}

bool balloon_host_find(struct balloon_host *host, uint64_t pages, uint64_t *first)
{
	(void)host;
	EXPECT(pages > 0 && pages % BALLOON_BLOCK_PAGES == 0);
	*first = ram;
	return ram % pages == 0 && pages <= PAGES - ram;
}

int balloon_host_add(struct balloon_host *host, uint64_t first, uint64_t pages)
{
	(void)host;
	EXPECT(first == ram && pages > 0 && pages <= PAGES - ram);
	if (no_memory) {
		return -ENOMEM;
	}
	ram += pages;
	added = pages;
	return 0;
}

int balloon_host_withdraw(struct balloon_host *host, uint64_t first, uint64_t pages)
{
	(void)host;
	EXPECT(first % BALLOON_BLOCK_PAGES == 0 && pages > 0 && pages <= added &&
	       first + pages == ram);
	if (no_memory) {
		return -EBUSY;
	}
	ram -= pages;
	return 0;
}

int balloon_host_take(struct balloon_host *host, uint64_t page)
{
	(void)host;
	EXPECT(page % BALLOON_BLOCK_PAGES == 0 && page < PAGES);
	if (page == 0) {
		return -EINVAL;
	}
	EXPECT(!taken[page / BALLOON_BLOCK_PAGES]);
	taken[page / BALLOON_BLOCK_PAGES] = true;
	return 0;
}

int balloon_host_give(struct balloon_host *host, uint64_t page)
{
	(void)host;
	EXPECT(taken[page / BALLOON_BLOCK_PAGES]);
	if (no_memory) {
		return -ENOMEM;
	}
	taken[page / BALLOON_BLOCK_PAGES] = false;
	return 0;
}

/* ---- The guest ---- */

static void work(void)
{
	unsigned int i;

	for (i = 0;
	     lone_channel != NULL && !lone_shut && lone_device->class->channel->work(lone_channel);
	     i++) {
		EXPECT(i < 1000);
	}
}

static void opens(void)
{
	if (lone_open()) {
		memset(in_balloon, 0, sizeof(in_balloon));
		memset(taken, 0, sizeof(taken)); /* a new kernel has touched all of it */
		asked = 0;
	}
}

static void delivers(const void *bytes, size_t size, uint16_t type)
{
	uint64_t *copy = malloc(size + 1);
	struct vmbus_packet packet = {
		.type = type, .payload = copy, .payload_bytes = (uint32_t)size};

	EXPECT(copy != NULL);
	memcpy(copy, bytes, size);
	if (lone_channel != NULL && !lone_shut &&
	    lone_device->class->channel->ready(lone_channel)) {
		lone_device->class->channel->packet(lone_channel, &packet);
	}
	free(copy);
}

/* As a guest does it, but for the bytes that the input changes: pairs of a place and a value. */
static void says(uint16_t type, void *message, uint16_t bytes, const uint8_t *data, size_t size)
{
	const struct dm_header header = {type, bytes, 1};

	memcpy(message, &header, sizeof(header));
	for (; size >= 2; data += 2, size -= 2) {
		((uint8_t *)message)[data[0] % bytes] = data[1];
	}
	delivers(message, bytes, VM_PKT_DATA_INBAND);
}

static void shakes_hands(const uint8_t *data, size_t size)
{
	struct dm_version_request version = {.version = DM_VERSION_WIN10};
	struct dm_capabilities caps = {.caps = DM_CAP_BALLOON | DM_CAP_HOT_ADD | 2 << 2};
	struct dm_status status = {.num_avail = 5000, .num_committed = 3000};

	says(DM_VERSION_REQUEST, &version, sizeof(version), data, size > 4 ? 2 : 0);
	work();
	says(DM_CAPABILITIES_REPORT, &caps, sizeof(caps), data, size > 8 ? 2 : 0);
	work();
	says(DM_STATUS_REPORT, &status, sizeof(status), data, size > 12 ? 2 : 0);
}

/* All of it, or as much as the input says. */
static void takes(const uint8_t *data, size_t size)
{
	struct dm_hot_add_response answer = {.page_count = data[0] % 4 == 0 ? data[1] * 8u
									    : (uint32_t)added,
					     .result = data[0] & 1};

	says(DM_MEM_HOT_ADD_RESPONSE, &answer, sizeof(answer), data + 2, size - 2);
}

/* Ranges that are not in the balloon, from a page of the input's on; what of them is taken is seen
 * by what comes back. */
static void answers(const uint8_t *data, size_t size)
{
	uint64_t message[2 + 16] = {0};
	struct dm_balloon_response *head = (void *)message;
	uint32_t page = (uint32_t)data[0] << 6, count = 0, left = asked, i, n;

	for (n = 0; n < 1u + data[1] % 15 && left > 0; n++) {
		while (page < ram && (in_balloon[page] || (page >= 0xa0 && page < 0xc0))) {
			page++;
		}
		for (i = 0; i < left && i < 700 && page + i < ram && !in_balloon[page + i] &&
			    !(page + i >= 0xa0 && page + i < 0xc0);
		     i++) {
			in_balloon[page + i] = true;
		}
		if (i == 0) {
			break;
		}
		head->ranges[count++] = DM_RANGE(page, i);
		page += i;
		left -= i;
	}
	head->more_and_count = count << 1 | (data[1] >> 7);
	asked = data[1] >> 7 ? left : 0;
	says(DM_BALLOON_RESPONSE, message, (uint16_t)(sizeof(*head) + count * 8), data + 2,
	     size - 2);
}

static size_t saves(uint8_t *to, size_t size)
{
	struct state_writer writer = state_writer(to, size);

	balloon_save(balloon, &writer);
	return writer.used;
}

static int loads(const uint8_t *from, size_t size)
{
	struct state_fault fault;
	struct state_reader all = state_reader(from, size, &fault);
	int ret;

	(void)lone_close();
	balloon_destroy(&balloon);
	lone_loaded = NULL;
	EXPECT(balloon_create(NULL, NULL, &config, &balloon) == 0);
	ret = balloon_load(balloon, &all);
	EXPECT(ret == 0 || (ret == -EINVAL && fault.what != NULL && lone_loaded == NULL));
	return ret;
}

/* Another machine takes over, after one that was given a state with other bytes. */
static void moves(const uint8_t *data, size_t size)
{
	size_t bytes = saves(NULL, 0);
	uint8_t *state = malloc(bytes), *changed = malloc(bytes);

	EXPECT(state != NULL && changed != NULL && saves(state, bytes) == bytes);
	memcpy(changed, state, bytes);
	for (; size >= 2; data += 2, size -= 2) {
		changed[data[0] % bytes] = data[1];
	}
	if (loads(changed, bytes) == 0 && lone_loaded != NULL) {
		lone_device->class->free(lone_loaded);
	}
	EXPECT(loads(state, bytes) == 0);
	lone_channel = lone_loaded;
	memset(taken, 0, sizeof(taken)); /* all of the memory is there */
	if (lone_channel != NULL) {
		lone_shut = false;
		EXPECT(lone_device->class->load(lone_channel, NULL) == 0);
	}
	EXPECT(saves(changed, bytes) == bytes && memcmp(state, changed, bytes) == 0);
	free(state);
	free(changed);
}

static void act(const uint8_t *data, size_t size)
{
	struct dm_header header;

	switch (data[0] % 11) {
	case 0:
		opens();
		break;
	case 1:
		if (data[1] % 4 == 0) {
			(void)lone_close();
		}
		break;
	case 2:
		opens();
		shakes_hands(data + 1, size - 1);
		break;
	case 3:
	case 4:
		/* Bytes that were changed may name other pages: then what the guest has is not
		 * known. */
		answers(data + 1, size > 20 ? size - 1 : 3);
		if (size > 20) {
			work();
			(void)lone_close();
		}
		break;
	case 5:
		if ((data[1] & 3) == 3 && !lone_shut) {
			moves(data + 2, size - 2);
			break;
		}
		says(DM_UNBALLOON_RESPONSE, &header, sizeof(header), data + 1, 0);
		break;
	case 9:
		takes(data + 1, size - 1);
		break;
	case 6:
		room = data[1] & 1;
		no_memory = data[1] & 2;
		break;
	case 7:
	case 8:
		balloon_set_target(balloon, data[1] == 255 ? UINT64_MAX : data[1] * 40u);
		break;
	default:
		delivers(data + 2, size - 2, data[1] & 1 ? VM_PKT_COMP : VM_PKT_DATA_INBAND);
		if (size > 16) {
			(void)lone_close();
		}
		break;
	}
	work();
}

static void look(void)
{
	struct balloon_state state;
	uint64_t count = 0;
	unsigned int i;

	balloon_get_state(balloon, &state);
	EXPECT(state.target >= MINIMUM && state.target <= PAGES && state.assigned <= ram);
	EXPECT((state.why == NULL) == state.reported);
	for (i = 0; i < ARRAY_COUNT(taken); i++) {
		count += taken[i] ? BALLOON_BLOCK_PAGES : 0;
	}
	EXPECT(lone_channel == NULL || lone_shut ||
	       (state.returned == count && count <= ram - state.assigned));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	room = true;
	no_memory = lone_shut = false;
	ram = START;
	added = 0;
	lone_channel = NULL;
	EXPECT(balloon_create(NULL, NULL, &config, &balloon) == 0);
	while (size > 3) {
		size_t length = data[0] % 32 < size - 1 ? data[0] % 32 : size - 1;

		data++;
		size--;
		if (length >= 4) {
			act(data, length);
			look();
		}
		data += length;
		size -= length;
	}
	(void)lone_close();
	balloon_destroy(&balloon);
	return 0;
}
