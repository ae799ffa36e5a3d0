/*
 * The balloon's protocol, on the thread of its channel (vsp/channel.h).
 *
 *   CLOSED -opened-> OPEN -VERSION-> VERSIONED -CAPABILITIES-> READY -STATUS-> REPORTED
 *
 * Invariants
 *   1. One request is under way at a time: ASK_IN, the guest's answers to which may come in several packets, ASK_OUT or ASK_ADD.
 *   2. A page that the guest names in an answer is RAM, and was not in the balloon: else the channel breaks.
 *   3. A block is taken only when all of its pages are in the balloon, and is back before the guest is told that one of them is its own.
 *   4. What is added is RAM before the guest is told; what it did not take is none again.
 *   5. Nothing is asked before the first report: a guest that still starts has other things to do (Windows crashes).
 *
 * When the channel closes the balloon is forgotten: a new kernel has all pages, and what was taken
 * comes back as it is touched.
 */
#include "vsp/memory/balloon.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "include/vsp/dm.h"
#include "vsp/device.h"
#include "vsp/memory/host.h"

/* Pages in one request: a guest may have to write them to its swap first, and the way can be
 * changed between two. */
#define STEP_PAGES 16384u
/* A guest that had no more to give is asked again after as many reports. */
#define PATIENCE              10u
#define BALLOON_STATE_VERSION 2 /* 1 knew nothing of memory that is added */
#define PAGES_PER_MIB         256u
#define RANGES_MAX            ((DM_MESSAGE_MAX - sizeof(struct dm_unballoon_request)) / sizeof(uint64_t) / 2)

enum stage { CLOSED, OPEN, VERSIONED, READY, REPORTED };
enum asking { ASK_NOTHING, ASK_IN, ASK_OUT, ASK_ADD };

/* Where a balloon is. */
struct progress {
	enum stage stage;
	enum asking
		asking; /* written by the channel's thread alone, as `ballooned` and `returned` */
	uint64_t ballooned; /* pages */
	uint64_t returned;  /* pages */
	uint64_t available, committed;
	bool gives_no_more;
	uint64_t unit;   /* pages that are added at a time; 0: the guest takes none */
	uint64_t adding; /* pages that it has not taken yet */
	uint64_t ram;    /* pages: all RAM but these */
};

/* [I] immutable, [L] under the lock. */
struct balloon {
	struct vsp_device device;
	struct balloon_host *host;    /* [I] */
	struct balloon_config config; /* [I] */
	pthread_mutex_t lock;
	uint64_t target;     /* [L] */
	struct progress now; /* [L] */
};

/* What there is for an open channel, its thread's. */
struct session {
	struct vsp_channel vsp;
	struct balloon *balloon;
	struct progress *loaded; /* of a state, until the channel is open */
	bool takes_all;        /* blocks that were the root's when the state was saved are there */
	uint32_t wanted;       /* of the request that is under way, what has not come */
	unsigned int patience; /* reports, until a guest that had no more is asked again */
	unsigned int add_patience; /* the same of one that could not add memory */
	uint64_t added;            /* the first page of what is being added */
	uint64_t *pages;           /* a bit for each: it is in the balloon */
	uint64_t *taken;           /* a bit for each block: the root has it */
	uint64_t lowest;           /* no page below is in the balloon */
	uint32_t transaction;
	uint32_t out_bytes; /* of what has no room yet; 0: nothing */
	uint64_t out[DM_MESSAGE_MAX / sizeof(uint64_t)];
};

static void lock(struct balloon *balloon)
{
	pthread_mutex_lock(&balloon->lock);
}

static void unlock(struct balloon *balloon)
{
	pthread_mutex_unlock(&balloon->lock);
}

static bool get_bit(const uint64_t *bits, uint64_t at)
{
	return bits[at / 64] >> at % 64 & 1;
}

static void set_bit(uint64_t *bits, uint64_t at, bool value)
{
	bits[at / 64] = (bits[at / 64] & ~(1ull << at % 64)) | (uint64_t)value << at % 64;
}

/* ---- Messages ---- */

static bool send_out(struct session *session)
{
	struct iovec part = {session->out, session->out_bytes};

	if (session->out_bytes == 0 ||
	    channel_send(session->vsp.channel, 0, false, &part, 1) == -EAGAIN) {
		return false;
	}
	session->out_bytes = 0; /* or the channel ends */
	return true;
}

/* There is nothing else that waits for room: no packet is taken meanwhile. */
static void put(struct session *session, enum dm_message_type type, void *message, uint32_t bytes)
{
	const struct dm_header header = {(uint16_t)type, (uint16_t)bytes, ++session->transaction};

	CHECK(session->out_bytes == 0 && bytes <= sizeof(session->out));
	if (message != session->out) {
		memcpy(session->out, message, bytes);
	}
	memcpy(session->out, &header, sizeof(header));
	session->out_bytes = bytes;
	(void)send_out(session);
}

static void put_acceptance(struct session *session, enum dm_message_type type, bool accepted)
{
	struct dm_acceptance message = {.is_accepted = accepted};

	put(session, type, &message, sizeof(message));
}

/* ---- Pages into the balloon ---- */

/* How many of a block's pages are in the balloon. */
static bool is_full(const struct session *session, uint64_t block)
{
	const uint64_t *bits = session->pages + block * BALLOON_BLOCK_PAGES / 64;
	unsigned int i;

	for (i = 0; i < BALLOON_BLOCK_PAGES / 64; i++) {
		if (bits[i] != UINT64_MAX) {
			return false;
		}
	}
	return true;
}

static void take_blocks(struct session *session, uint64_t first, uint64_t count)
{
	uint64_t block = first / BALLOON_BLOCK_PAGES, taken = 0;

	for (; block <= (first + count - 1) / BALLOON_BLOCK_PAGES; block++) {
		if (!get_bit(session->taken, block) && is_full(session, block) &&
		    balloon_host_take(session->balloon->host, block * BALLOON_BLOCK_PAGES) == 0) {
			set_bit(session->taken, block, true);
			taken += BALLOON_BLOCK_PAGES;
		}
	}
	lock(session->balloon);
	session->balloon->now.returned += taken;
	unlock(session->balloon);
}

/* False: not all of them are RAM that is not in the balloon yet. */
static bool add_pages(struct session *session, uint64_t range, uint64_t *count_of)
{
	uint64_t first = DM_RANGE_FIRST(range), count = DM_RANGE_COUNT(range), page;

	if (count == 0 || first >= session->balloon->config.end ||
	    count > session->balloon->config.end - first ||
	    !balloon_host_is_ram(session->balloon->host, first, count)) {
		return false;
	}
	for (page = first; page < first + count; page++) {
		if (get_bit(session->pages, page)) {
			return false;
		}
		set_bit(session->pages, page, true);
	}
	if (first < session->lowest) {
		session->lowest = first;
	}
	*count_of += count;
	return true;
}

/* False: not all of them are the guest's to give. */
static bool put_range(struct session *session, uint64_t range)
{
	uint64_t first = DM_RANGE_FIRST(range), count = DM_RANGE_COUNT(range), added = 0;

	if (count > session->wanted || !add_pages(session, range, &added)) {
		return false;
	}
	session->wanted -= (uint32_t)count;
	lock(session->balloon);
	session->balloon->now.ballooned += count;
	unlock(session->balloon);
	take_blocks(session, first, count);
	return true;
}

static void ballooned(struct session *session, const struct vmbus_packet *packet)
{
	struct dm_balloon_response message;
	const uint64_t *ranges = (const void *)((const uint8_t *)packet->payload + sizeof(message));
	uint32_t i, count;

	memcpy(&message, packet->payload, sizeof(message));
	count = message.more_and_count >> 1;
	if (session->balloon->now.asking != ASK_IN ||
	    count > (packet->payload_bytes - sizeof(message)) / sizeof(uint64_t)) {
		channel_break(session->vsp.channel, "a balloon's answer is none");
		return;
	}
	for (i = 0; i < count; i++) {
		if (!put_range(session, ranges[i])) {
			channel_break(session->vsp.channel,
				      "a page for the balloon is not the guest's to give");
			return;
		}
	}
	if (!(message.more_and_count & 1)) {
		lock(session->balloon);
		session->balloon->now.asking = ASK_NOTHING;
		session->balloon->now.gives_no_more = session->wanted > 0;
		unlock(session->balloon);
		session->patience = PATIENCE;
	}
}

/* ---- Pages out of the balloon ---- */

/* Blocks that the range touches are the guest's again. False: the root has no memory for one. */
static bool give_blocks(struct session *session, uint64_t first, uint64_t count)
{
	uint64_t block = first / BALLOON_BLOCK_PAGES;

	for (; block <= (first + count - 1) / BALLOON_BLOCK_PAGES; block++) {
		if (!get_bit(session->taken, block)) {
			continue;
		}
		if (balloon_host_give(session->balloon->host, block * BALLOON_BLOCK_PAGES) != 0) {
			return false;
		}
		set_bit(session->taken, block, false);
		lock(session->balloon);
		session->balloon->now.returned -= BALLOON_BLOCK_PAGES;
		unlock(session->balloon);
	}
	return true;
}

/* The next range in the balloon from `page` on, at most `most` pages of it, within a block. 0:
 * there is none. */
static uint64_t next_range(const struct session *session, uint64_t *page, uint64_t most)
{
	uint64_t count = 0;

	while (*page < session->balloon->config.end && !get_bit(session->pages, *page)) {
		*page += session->pages[*page / 64] == 0 ? 64 - *page % 64 : 1;
	}
	while (count < most && *page + count < session->balloon->config.end &&
	       get_bit(session->pages, *page + count) &&
	       (count == 0 || (*page + count) % BALLOON_BLOCK_PAGES != 0)) {
		count++;
	}
	return count;
}

/* Gives the guest as many pages, as far as one message has room and the root has memory. */
static void ask_out(struct session *session, uint64_t pages)
{
	struct dm_unballoon_request *message = (void *)session->out;
	uint64_t page = session->lowest, count, i, given = 0;

	*message = (struct dm_unballoon_request){.range_count = 0};
	pages = pages < STEP_PAGES ? pages : STEP_PAGES;
	while (pages > 0 && message->range_count < RANGES_MAX) {
		count = next_range(session, &page, pages);
		if (count == 0 || !give_blocks(session, page, count)) {
			break;
		}
		for (i = page; i < page + count; i++) {
			set_bit(session->pages, i, false);
		}
		message->ranges[message->range_count++] = DM_RANGE(page, count);
		page += count;
		pages -= count;
		given += count;
	}
	session->lowest = page;
	if (given == 0) {
		return;
	}
	lock(session->balloon);
	session->balloon->now.ballooned -= given;
	session->balloon->now.asking = ASK_OUT;
	unlock(session->balloon);
	put(session, DM_UNBALLOON_REQUEST, session->out,
	    (uint32_t)(sizeof(*message) + message->range_count * sizeof(uint64_t)));
}

static void ask_in(struct session *session, uint64_t pages)
{
	struct dm_balloon message = {.num_pages =
					     pages < STEP_PAGES ? (uint32_t)pages : STEP_PAGES};

	lock(session->balloon);
	session->balloon->now.asking = ASK_IN;
	unlock(session->balloon);
	session->wanted = message.num_pages;
	put(session, DM_BALLOON_REQUEST, &message, sizeof(message));
}

/* ---- Pages that are added ---- */

static void ask_add(struct session *session)
{
	struct balloon *balloon = session->balloon;
	uint64_t unit = balloon->now.unit, first;
	struct dm_hot_add message;

	if (unit == 0 || session->add_patience > 0 ||
	    !balloon_host_find(balloon->host, unit, &first)) {
		return;
	}
	if (balloon_host_add(balloon->host, first, unit) != 0) {
		session->add_patience = PATIENCE;
		return;
	}
	lock(balloon);
	balloon->now.asking = ASK_ADD;
	balloon->now.adding = unit;
	unlock(balloon);
	session->added = first;
	message = (struct dm_hot_add){.range = DM_RANGE(first, unit),
				      .region = DM_RANGE(first, unit)};
	put(session, DM_MEM_HOT_ADD_REQUEST, &message, sizeof(message));
}

/* What it did not take is taken away, in blocks. If something uses it already it stays, and is
 * counted as the guest's. */
static void take_rest(struct session *session, uint64_t taken)
{
	uint64_t first = session->added + taken, rest = session->balloon->now.adding - taken;
	uint64_t partial = first % BALLOON_BLOCK_PAGES;

	if (partial != 0) {
		rest -= BALLOON_BLOCK_PAGES - partial;
		first += BALLOON_BLOCK_PAGES - partial;
	}
	if (rest > 0) {
		(void)!balloon_host_withdraw(session->balloon->host, first, rest);
	}
}

static void hot_added(struct session *session, const struct vmbus_packet *packet)
{
	struct balloon *balloon = session->balloon;
	struct dm_hot_add_response message;
	bool all, never;

	memcpy(&message, packet->payload, sizeof(message));
	if (balloon->now.asking != ASK_ADD) {
		return;
	}
	if (message.page_count > balloon->now.adding) {
		channel_break(session->vsp.channel, "more pages were added than there are");
		return;
	}
	all = message.page_count == balloon->now.adding;
	never = !all && (message.page_count > 0 || message.result != 0);
	if (!all) {
		take_rest(session, message.page_count);
		session->add_patience = PATIENCE;
	}
	lock(balloon);
	balloon->now.asking = ASK_NOTHING;
	balloon->now.adding = 0;
	balloon->now.ram = balloon_host_pages(balloon->host);
	balloon->now.unit = never ? 0 : balloon->now.unit;
	unlock(balloon);
}

/* ---- The target ---- */

/* What the guest has. Under the lock, or on the channel's thread. */
static uint64_t assigned_of(const struct balloon *balloon)
{
	return balloon->now.stage == CLOSED ? balloon_host_pages(balloon->host)
					    : balloon->now.ram - balloon->now.ballooned;
}

/* The next step to the target. True: something was asked. */
static bool advance(struct session *session)
{
	uint64_t assigned = assigned_of(session->balloon), target;
	bool may;

	lock(session->balloon);
	target = session->balloon->target;
	may = session->balloon->now.stage == REPORTED &&
	      session->balloon->now.asking == ASK_NOTHING && session->out_bytes == 0;
	if (assigned <= target) {
		session->balloon->now.gives_no_more = false;
	}
	unlock(session->balloon);
	if (!may || assigned == target) {
		return false;
	}
	if (assigned < target && session->balloon->now.ballooned > 0) {
		ask_out(session, target - assigned);
	} else if (assigned < target) {
		ask_add(session);
	} else if (!session->balloon->now.gives_no_more || session->patience == 0) {
		ask_in(session, assigned - target);
	}
	return session->balloon->now.asking != ASK_NOTHING;
}

/* ---- What the guest says ---- */

static void set_stage(struct session *session, enum stage stage)
{
	lock(session->balloon);
	session->balloon->now.stage = stage;
	unlock(session->balloon);
}

static void version(struct session *session, const struct vmbus_packet *packet)
{
	struct dm_version_request message;
	bool known;

	memcpy(&message, packet->payload, sizeof(message));
	known = message.version == DM_VERSION_WIN10 || message.version == DM_VERSION_WIN8 ||
		message.version == DM_VERSION_WIN7;
	if (known) {
		set_stage(session, VERSIONED);
	}
	put_acceptance(session, DM_VERSION_RESPONSE, known);
}

static void set_unit(struct balloon *balloon, uint64_t caps)
{
	uint64_t unit = (uint64_t)DM_CAP_HOT_ADD_ALIGNMENT_MIB(caps) * PAGES_PER_MIB;

	lock(balloon);
	balloon->now.unit = !(caps & DM_CAP_HOT_ADD)     ? 0
			    : unit < BALLOON_BLOCK_PAGES ? BALLOON_BLOCK_PAGES
							 : unit;
	unlock(balloon);
}

static void capabilities(struct session *session, const struct vmbus_packet *packet)
{
	struct dm_capabilities message;
	bool accepted;

	memcpy(&message, packet->payload, sizeof(message));
	accepted = session->balloon->now.stage >= VERSIONED && (message.caps & DM_CAP_BALLOON);
	if (accepted && session->balloon->now.stage == VERSIONED) {
		set_unit(session->balloon, message.caps);
		set_stage(session, READY);
	}
	put_acceptance(session, DM_CAPABILITIES_RESPONSE, accepted);
}

static void status(struct session *session, const struct vmbus_packet *packet)
{
	struct dm_status message;
	bool first = session->balloon->now.stage == READY;

	memcpy(&message, packet->payload, sizeof(message));
	lock(session->balloon);
	/* Linux counts its balloon as committed. */
	session->balloon->now.available = message.num_avail;
	session->balloon->now.committed =
		message.num_committed > session->balloon->now.ballooned
			? message.num_committed - session->balloon->now.ballooned
			: 0;
	unlock(session->balloon);
	session->patience -= session->patience > 0;
	session->add_patience -= session->add_patience > 0;
	if (first) {
		set_stage(session, REPORTED);
	}
}

static const struct {
	void (*take)(struct session *session, const struct vmbus_packet *packet);
	uint32_t bytes; /* at least */
} messages[] = {
	[DM_VERSION_REQUEST] = {version, sizeof(struct dm_version_request)},
	[DM_CAPABILITIES_REPORT] = {capabilities, sizeof(struct dm_capabilities)},
	[DM_STATUS_REPORT] = {status, sizeof(struct dm_status)},
	[DM_BALLOON_RESPONSE] = {ballooned, sizeof(struct dm_balloon_response)},
	[DM_MEM_HOT_ADD_RESPONSE] = {hot_added, sizeof(struct dm_hot_add_response)},
};

/* What is not known is dropped: it is of a newer guest. */
static void packet(void *device, const struct vmbus_packet *packet)
{
	struct session *session = device;
	struct dm_header header;

	if (packet->type != VM_PKT_DATA_INBAND || packet->payload_bytes < sizeof(header)) {
		return;
	}
	memcpy(&header, packet->payload, sizeof(header));
	if (header.type == DM_UNBALLOON_RESPONSE && session->balloon->now.asking == ASK_OUT) {
		lock(session->balloon);
		session->balloon->now.asking = ASK_NOTHING;
		unlock(session->balloon);
	} else if (header.type < ARRAY_COUNT(messages) && messages[header.type].take != NULL &&
		   packet->payload_bytes >= messages[header.type].bytes) {
		messages[header.type].take(session, packet);
	}
}

static bool work(void *device)
{
	struct session *session = device;

	if (vsp_is_ending(&session->vsp) || vsp_is_pausing(&session->vsp)) {
		return false;
	}
	if (session->takes_all) {
		session->takes_all = false;
		take_blocks(session, 0, session->balloon->config.end);
	}
	return send_out(session) || advance(session);
}

static bool ready(void *device)
{
	const struct session *session = device;

	return session->out_bytes == 0;
}

static void forget(struct balloon *balloon)
{
	lock(balloon);
	balloon->now = (struct progress){.stage = CLOSED};
	unlock(balloon);
}

static void closed(void *device)
{
	struct session *session = device;

	forget(session->balloon);
}

/* ---- The device [C] ---- */

static const struct vsp_class channel_class = {
	.work = work,
	.ready = ready,
	.packet = packet,
	.closed = closed,
};

static void free_session(struct vsp_channel *vsp)
{
	struct session *session = (struct session *)vsp;

	free(session->loaded);
	free(session->pages);
	free(session->taken);
	free(session);
}

static struct session *new_session(struct balloon *balloon)
{
	struct session *session = calloc(1, sizeof(*session));

	if (session == NULL) {
		return NULL;
	}
	session->balloon = balloon;
	session->lowest = balloon->config.end;
	session->pages = calloc(balloon->config.end / 64 + 1, sizeof(uint64_t));
	session->taken =
		calloc(balloon->config.end / BALLOON_BLOCK_PAGES / 64 + 1, sizeof(uint64_t));
	if (session->pages == NULL || session->taken == NULL) {
		free_session(&session->vsp);
		return NULL;
	}
	return session;
}

static int create_session(void *owner, unsigned int index, struct vsp_channel **vsp)
{
	struct session *session = new_session(owner);

	(void)index;
	if (session == NULL) {
		return -ENOMEM;
	}
	set_stage(session, OPEN);
	lock(session->balloon);
	session->balloon->now.ram = balloon_host_pages(session->balloon->host);
	unlock(session->balloon);
	*vsp = &session->vsp;
	return 0;
}

static int load_session(struct vsp_channel *vsp, struct vmbus_channel *channel)
{
	struct session *session = (struct session *)vsp;

	(void)channel;
	lock(session->balloon);
	session->balloon->now = *session->loaded;
	session->balloon->now.ram =
		balloon_host_pages(session->balloon->host) - session->loaded->adding;
	unlock(session->balloon);
	/* From now on it is what it is, also for the next state. */
	free(session->loaded);
	session->loaded = NULL;
	session->takes_all = true;
	return 0;
}

/* The last offer has been released. */
static void ended(void *owner)
{
	struct balloon *balloon = owner;

	vsp_device_free(&balloon->device);
	pthread_mutex_destroy(&balloon->lock);
	free(balloon);
}

static const struct vsp_device_class device_class = {
	.channel = &channel_class,
	.create = create_session,
	.free = free_session,
	.load = load_session,
	.ended = ended,
};

static const struct vmbus_class vmbus_class = {.name = "dynamic memory", VSP_VMBUS_FUNCTIONS};

int balloon_create(struct vmbus *bus, struct balloon_host *host,
		   const struct balloon_config *config, struct balloon **out)
{
	const struct vmbus_offer offer = {
		.type = VMBUS_GUID_DYNAMIC_MEMORY,
		/* The only one; the same in every run. */
		.instance = {0x1450a58b,
			     0x5eb4,
			     0x4f31,
			     {0x92, 0x3f, 0x6a, 0x0e, 0x27, 0x5c, 0x11, 0xd4}},
		.class = &vmbus_class,
	};
	struct balloon *balloon = calloc(1, sizeof(*balloon));
	int ret;

	CHECK(config->minimum <= config->start && config->start <= config->maximum &&
	      config->maximum <= config->end);
	if (balloon == NULL) {
		return -ENOMEM;
	}
	balloon->host = host;
	balloon->config = *config;
	balloon->target = config->start;
	pthread_mutex_init(&balloon->lock, NULL);
	vsp_device_create(&balloon->device, &device_class, balloon, bus);
	ret = vsp_offer(&balloon->device, 0, &offer);
	if (ret != 0) {
		vsp_device_destroy(&balloon->device);
		return ret;
	}
	*out = balloon;
	return 0;
}

void balloon_destroy(struct balloon **balloon)
{
	vsp_device_destroy(&(*balloon)->device);
	*balloon = NULL;
}

static void set_target(struct balloon *balloon, uint64_t pages)
{
	const struct balloon_config *config = &balloon->config;

	balloon->target = pages < config->minimum   ? config->minimum
			  : pages > config->maximum ? config->maximum
						    : pages;
	balloon->now.gives_no_more = false;
}

void balloon_set_target(struct balloon *balloon, uint64_t pages)
{
	lock(balloon);
	set_target(balloon, pages);
	unlock(balloon);
	vsp_wake_all(&balloon->device);
}

void balloon_set_bounds(struct balloon *balloon, uint64_t minimum, uint64_t maximum)
{
	CHECK(minimum <= maximum && maximum <= balloon->config.end);
	lock(balloon);
	balloon->config.minimum = minimum;
	balloon->config.maximum = maximum;
	set_target(balloon, balloon->target);
	unlock(balloon);
	vsp_wake_all(&balloon->device);
}

static const char *why(const struct balloon *balloon)
{
	static const char *const reasons[] = {
		[CLOSED] = "the guest has not opened its channel: it has no driver for it, or has "
			   "not loaded it yet",
		[OPEN] = "the guest and we have not agreed on a version yet",
		[VERSIONED] = "the guest has not said what it can",
		[READY] = "the guest has not told yet how it is, which it does a minute after its "
			  "start",
		[REPORTED] = NULL,
	};

	return reasons[balloon->now.stage];
}

static bool takes_no_more(const struct balloon *balloon)
{
	const struct progress *now = &balloon->now;
	uint64_t first;

	return now->stage == REPORTED && now->asking == ASK_NOTHING && now->ballooned == 0 &&
	       assigned_of(balloon) < balloon->target &&
	       (now->unit == 0 || !balloon_host_find(balloon->host, now->unit, &first));
}

void balloon_get_state(struct balloon *balloon, struct balloon_state *state)
{
	lock(balloon);
	*state = (struct balloon_state){
		.contacted = balloon->now.stage >= READY,
		.reported = balloon->now.stage == REPORTED,
		.available = balloon->now.available,
		.committed = balloon->now.committed,
		.minimum = balloon->config.minimum,
		.maximum = balloon->config.maximum,
		.target = balloon->target,
		.assigned = assigned_of(balloon),
		.returned = balloon->now.returned,
		.asked = balloon->now.asking != ASK_NOTHING,
		.gives_no_more = balloon->now.gives_no_more,
		.takes_no_more = takes_no_more(balloon),
		.why = why(balloon),
	};
	unlock(balloon);
}

/*
 * ---- A saved state [C] ----
 *
 *   balloon 2    the target; whether the channel is open, and if it is:
 *     session 2    stage, what is asked, pages that are wanted, reports to wait, whether it gives no more, pages available and committed, our last
 *                  transaction; a message without room: bytes; of memory that is added (from 2 on): pages at a time, pages that are being added
 *                  and the first of them, reports to wait; then the ranges of pages in the balloon, each within a block
 *
 * What the root has of them is not said: in memory that is loaded all blocks are there, and those
 * that are full go to the root again.
 */

static void save_session(const struct session *session, struct state_writer *writer)
{
	const struct progress *now =
		session->loaded != NULL ? session->loaded : &session->balloon->now;
	size_t part = state_begin(writer, "session", BALLOON_STATE_VERSION);
	uint64_t page = 0, count;

	state_put_u8(writer, (uint8_t)now->stage);
	state_put_u8(writer, (uint8_t)now->asking);
	state_put_u32(writer, session->wanted);
	state_put_u32(writer, session->patience);
	state_put_bool(writer, now->gives_no_more);
	state_put_u64(writer, now->available);
	state_put_u64(writer, now->committed);
	state_put_u32(writer, session->transaction);
	state_put_u32(writer, session->out_bytes);
	state_put_bytes(writer, session->out, session->out_bytes);
	state_put_u64(writer, now->unit);
	state_put_u64(writer, now->adding);
	state_put_u64(writer, session->added);
	state_put_u32(writer, session->add_patience);
	while ((count = next_range(session, &page, BALLOON_BLOCK_PAGES)) > 0) {
		state_put_u64(writer, DM_RANGE(page, count));
		page += count;
	}
	state_end(writer, part);
}

void balloon_save(struct balloon *balloon, struct state_writer *writer)
{
	const struct session *session =
		(const struct session *)vsp_open_channel(&balloon->device, 0);
	size_t part = state_begin(writer, "balloon", BALLOON_STATE_VERSION);

	lock(balloon);
	state_put_u64(writer, balloon->target);
	state_put_bool(writer, session != NULL);
	if (session != NULL) {
		save_session(session, writer);
	}
	unlock(balloon);
	state_end(writer, part);
}

static void read_ranges(struct session *session, struct state_reader *part)
{
	while (state_left(part) >= sizeof(uint64_t)) {
		if (!add_pages(session, state_u64(part), &session->loaded->ballooned)) {
			state_refuse(part, "has a page that cannot be in a balloon");
		}
	}
}

static bool is_addition(const struct session *session, uint64_t pages)
{
	uint64_t first = session->added, end = session->balloon->config.end;

	return first % BALLOON_BLOCK_PAGES == 0 && pages % BALLOON_BLOCK_PAGES == 0 &&
	       first < end && pages <= end - first &&
	       balloon_host_is_ram(session->balloon->host, first, pages);
}

static void read_additions(struct session *session, struct state_reader *part)
{
	struct progress *loaded = session->loaded;
	bool adds;

	loaded->unit = state_u64(part);
	loaded->adding = state_u64(part);
	session->added = state_u64(part);
	session->add_patience = state_u32(part);
	adds = loaded->asking == ASK_ADD;
	if (loaded->unit % BALLOON_BLOCK_PAGES != 0 || loaded->unit > DM_RANGE_COUNT_MAX ||
	    session->add_patience > PATIENCE || (loaded->adding != 0) != adds ||
	    (adds && !is_addition(session, loaded->adding))) {
		state_refuse(part, "adds memory that cannot be added");
	}
}

static void read_session(struct session *session, struct state_reader *part)
{
	struct progress *loaded = session->loaded;

	loaded->stage = (enum stage)state_u8(part);
	loaded->asking = (enum asking)state_u8(part);
	session->wanted = state_u32(part);
	session->patience = state_u32(part);
	loaded->gives_no_more = state_bool(part);
	loaded->available = state_u64(part);
	loaded->committed = state_u64(part);
	session->transaction = state_u32(part);
	session->out_bytes = state_u32(part);
	if (loaded->stage < OPEN || loaded->stage > REPORTED || loaded->asking > ASK_ADD ||
	    (loaded->asking == ASK_ADD && part->version < 2) || session->wanted > STEP_PAGES ||
	    session->patience > PATIENCE || session->out_bytes > sizeof(session->out)) {
		state_refuse(part, "has a state that cannot be");
		return;
	}
	state_bytes(part, session->out, session->out_bytes);
	if (part->version >= 2) {
		read_additions(session, part);
	}
	read_ranges(session, part);
	state_finish(part);
}

int balloon_load(struct balloon *balloon, struct state_reader *list)
{
	struct state_reader whole = state_part(list, "balloon", BALLOON_STATE_VERSION), part;
	uint64_t target = state_u64(&whole);
	bool open = state_bool(&whole);
	struct session *session = open ? new_session(balloon) : NULL;

	if (open && session != NULL) {
		session->loaded = calloc(1, sizeof(*session->loaded));
	}
	if (open && (session == NULL || session->loaded == NULL)) {
		goto out_of_memory;
	}
	if (open) {
		part = state_part(&whole, "session", BALLOON_STATE_VERSION);
		read_session(session, &part);
	}
	state_finish(&whole);
	if (!state_ok(&whole)) {
		if (session != NULL) {
			free_session(&session->vsp);
		}
		return -EINVAL;
	}
	if (session != NULL) {
		vsp_load(&balloon->device, 0, &session->vsp);
	}
	balloon_set_target(balloon, target);
	return 0;
out_of_memory:
	if (session != NULL) {
		free_session(&session->vsp);
	}
	return -ENOMEM;
}
