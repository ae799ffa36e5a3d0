/*
 * GPADLs: guest memory that the guest gave a number, to name it later: rings, and the large buffers
 * of network cards.
 *
 * Pages are acquired once, when their numbers arrive, and kept until the GPADL is gone, so that
 * nothing is left to check on the way of a packet. A GPADL that somebody holds outlives the guest's
 * teardown: the guest hears that it is torn down when the last one has put it.
 *
 * Handles are the guest's choice and unique in the connection: a body names nothing else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/iov.h"
#include "vmbus/server.h"

static struct vmbus_gpadl **bucket_of(struct vmbus *bus, uint32_t handle)
{
	return &bus->gpadls_by_handle[handle % SERVER_GPADL_BUCKETS];
}

void gpadl_hash(struct vmbus *bus, struct vmbus_gpadl *gpadl)
{
	struct vmbus_gpadl **bucket = bucket_of(bus, gpadl->handle);

	gpadl->next_hashed = *bucket;
	*bucket = gpadl;
}

/* Under the lock. */
static struct vmbus_gpadl *find_locked(struct vmbus *bus, uint32_t handle)
{
	struct vmbus_gpadl *gpadl = *bucket_of(bus, handle);

	while (gpadl != NULL && gpadl->handle != handle) {
		gpadl = gpadl->next_hashed;
	}
	return gpadl;
}

static struct vmbus_gpadl *find(struct vmbus *bus, uint32_t handle)
{
	struct vmbus_gpadl *gpadl;

	pthread_mutex_lock(&bus->lock);
	gpadl = find_locked(bus, handle);
	pthread_mutex_unlock(&bus->lock);
	return gpadl;
}

static void insert(struct vmbus *bus, struct vmbus_gpadl *gpadl)
{
	pthread_mutex_lock(&bus->lock);
	gpadl->next = bus->gpadls;
	bus->gpadls = gpadl;
	gpadl_hash(bus, gpadl);
	pthread_mutex_unlock(&bus->lock);
	bus->gpadl_count++;
	bus->gpadl_pages += gpadl->page_count;
}

/* `link` points to it. Under the lock; then it is to be freed. */
static struct vmbus_gpadl *unlink_at(struct vmbus *bus, struct vmbus_gpadl **link)
{
	struct vmbus_gpadl *gpadl = *link, **hashed = bucket_of(bus, gpadl->handle);

	*link = gpadl->next;
	while (*hashed != gpadl) {
		hashed = &(*hashed)->next_hashed;
	}
	*hashed = gpadl->next_hashed;
	bus->gpadl_count--;
	bus->gpadl_pages -= gpadl->page_count;
	return gpadl;
}

struct vmbus_gpadl *gpadl_alloc(uint32_t page_count)
{
	struct vmbus_gpadl *gpadl =
		calloc(1, sizeof(*gpadl) + page_count * (sizeof(gpadl->pages[0]) +
							 sizeof(gpadl->numbers[0])));

	if (gpadl != NULL) {
		gpadl->numbers = (uint64_t *)(gpadl->pages + page_count);
		gpadl->page_count = page_count;
	}
	return gpadl;
}

void gpadl_free(struct vmbus *bus, struct vmbus_gpadl *gpadl)
{
	if (gpadl->pages_there > 0) {
		vmbus_host_complete(bus->host, gpadl->numbers, 0,
				    gpadl->pages_there * VMBUS_PAGE_SIZE, 0);
	}
	free(gpadl);
}

static void remove_gpadl(struct vmbus *bus, struct vmbus_gpadl *gpadl)
{
	struct vmbus_gpadl **link = &bus->gpadls;

	pthread_mutex_lock(&bus->lock);
	while (*link != gpadl) {
		link = &(*link)->next;
	}
	unlink_at(bus, link);
	pthread_mutex_unlock(&bus->lock);
	gpadl_free(bus, gpadl);
}

static void post_created(struct vmbus *bus, uint32_t relid, uint32_t handle, bool success)
{
	struct vmbus_channel_gpadl_created message = {
		.header.msgtype = CHANNELMSG_GPADL_CREATED,
		.child_relid = relid,
		.gpadl = handle,
		.creation_status = success ? VMBUS_STATUS_SUCCESS : VMBUS_STATUS_UNSUCCESSFUL,
	};

	queue_post(bus, &message, sizeof(message));
}

static void post_torndown(struct vmbus *bus, uint32_t handle)
{
	struct vmbus_channel_gpadl_torndown message = {.header.msgtype = CHANNELMSG_GPADL_TORNDOWN,
						       .gpadl = handle};

	queue_post(bus, &message, sizeof(message));
}

bool gpadl_acquire_next(struct vmbus *bus, struct vmbus_gpadl *gpadl)
{
	struct iovec page;

	if (vmbus_host_acquire(bus->host, &gpadl->numbers[gpadl->pages_there], 0, VMBUS_PAGE_SIZE,
			       &page, 1) != 1) {
		return false;
	}
	gpadl->pages[gpadl->pages_there++] = page.iov_base;
	return true;
}

/* More page numbers. NULL, or what is wrong with them. */
static const char *append(struct vmbus *bus, struct vmbus_gpadl *gpadl, const uint8_t *numbers,
			  size_t bytes)
{
	size_t i;

	if (bytes % sizeof(uint64_t) != 0 ||
	    bytes / sizeof(uint64_t) > gpadl->page_count - gpadl->pages_there) {
		return "it has other pages than its length says";
	}
	for (i = 0; i < bytes / sizeof(uint64_t); i++) {
		memcpy(&gpadl->numbers[gpadl->pages_there], numbers + i * sizeof(uint64_t),
		       sizeof(uint64_t));
		if (!gpadl_acquire_next(bus, gpadl)) {
			return "one of its pages is not RAM";
		}
	}
	return NULL;
}

/* Answers once all pages are there, or as soon as one is wrong. */
static void append_and_answer(struct vmbus *bus, struct vmbus_gpadl *gpadl, const uint8_t *numbers,
			      size_t bytes)
{
	const char *reason = append(bus, gpadl, numbers, bytes);

	if (reason != NULL) {
		channel_complain(gpadl->channel, "GPADL %#x: %s", gpadl->handle, reason);
		post_created(bus, gpadl->channel->relid, gpadl->handle, false);
		remove_gpadl(bus, gpadl);
	} else if (gpadl->pages_there == gpadl->page_count) {
		pthread_mutex_lock(&bus->lock);
		gpadl->state = GPADL_CREATED;
		pthread_mutex_unlock(&bus->lock);
		post_created(bus, gpadl->channel->relid, gpadl->handle, true);
	}
}

/* A list of one range, whose length in the header must be what its pages take. */
static const char *new_gpadl(struct vmbus_channel *channel,
			     const struct vmbus_channel_gpadl_header *message,
			     const struct gpa_range *range, struct vmbus_gpadl **out)
{
	struct vmbus *bus = channel->bus;
	uint64_t page_count =
		((uint64_t)range->byte_offset + range->byte_count + VMBUS_PAGE_SIZE - 1) /
		VMBUS_PAGE_SIZE;
	struct vmbus_gpadl *gpadl;

	if (message->rangecount != 1) {
		return "it has more than one range, or none";
	}
	if (range->byte_count == 0 || range->byte_offset >= VMBUS_PAGE_SIZE ||
	    message->range_buflen != sizeof(*range) + page_count * sizeof(uint64_t)) {
		return "its length is not that of its pages";
	}
	if (find(bus, message->gpadl) != NULL) {
		return "its handle is in use";
	}
	if (bus->gpadl_count == SERVER_GPADL_MAX ||
	    page_count > SERVER_GPADL_MAX_PAGES - bus->gpadl_pages) {
		return "there are too many";
	}
	gpadl = gpadl_alloc((uint32_t)page_count);
	if (gpadl == NULL) {
		return "no memory";
	}
	gpadl->channel = channel;
	gpadl->handle = message->gpadl;
	gpadl->offset = range->byte_offset;
	gpadl->bytes = range->byte_count;
	*out = gpadl;
	return NULL;
}

void gpadl_header_message(struct vmbus *bus, const struct vmbus_channel_gpadl_header *message,
			  size_t size)
{
	struct vmbus_channel *channel = channel_find(bus, message->child_relid);
	const uint8_t *list = (const uint8_t *)(message + 1);
	size_t list_bytes = size - sizeof(*message);
	struct vmbus_gpadl *gpadl;
	struct gpa_range range;
	const char *reason;

	if (channel == NULL || list_bytes < sizeof(range)) {
		reason = channel == NULL ? "there is no such channel" : "it is too short";
	} else {
		memcpy(&range, list, sizeof(range));
		reason = new_gpadl(channel, message, &range, &gpadl);
	}
	if (reason != NULL) {
		server_complain(bus, "channel %u: GPADL %#x: %s", message->child_relid,
				message->gpadl, reason);
		post_created(bus, message->child_relid, message->gpadl, false);
		return;
	}
	insert(bus, gpadl);
	append_and_answer(bus, gpadl, list + sizeof(range), list_bytes - sizeof(range));
}

void gpadl_body_message(struct vmbus *bus, const struct vmbus_channel_gpadl_body *message,
			size_t size)
{
	struct vmbus_gpadl *gpadl = find(bus, message->gpadl);

	if (gpadl == NULL || gpadl->state != GPADL_ARRIVING) {
		server_complain(bus, "GPADL %#x is not one that waits for pages", message->gpadl);
		return;
	}
	append_and_answer(bus, gpadl, (const uint8_t *)(message + 1), size - sizeof(*message));
}

void gpadl_teardown_message(struct vmbus *bus, const struct vmbus_channel_gpadl_teardown *message)
{
	struct vmbus_gpadl *gpadl = find(bus, message->gpadl);

	if (gpadl == NULL || gpadl->channel->relid != message->child_relid ||
	    gpadl->state == GPADL_TEARING) {
		server_complain(bus, "channel %u has no GPADL %#x to tear down",
				message->child_relid, message->gpadl);
		return;
	}
	pthread_mutex_lock(&bus->lock);
	gpadl->state = GPADL_TEARING;
	pthread_mutex_unlock(&bus->lock);
	gpadl_finish_torn(bus);
}

/* The first one that is being torn down and that nobody holds is removed; its handle is left. */
static bool take_torn(struct vmbus *bus, uint32_t *handle)
{
	struct vmbus_gpadl **link = &bus->gpadls, *gpadl = NULL;

	pthread_mutex_lock(&bus->lock);
	while (*link != NULL && !((*link)->state == GPADL_TEARING && (*link)->users == 0)) {
		link = &(*link)->next;
	}
	if (*link != NULL) {
		gpadl = unlink_at(bus, link);
	}
	pthread_mutex_unlock(&bus->lock);
	if (gpadl == NULL) {
		return false;
	}
	*handle = gpadl->handle;
	gpadl_free(bus, gpadl);
	return true;
}

void gpadl_finish_torn(struct vmbus *bus)
{
	uint32_t handle;

	while (take_torn(bus, &handle)) {
		/* A guest that is gone or starts anew is told nothing. */
		if (bus->version != 0) {
			post_torndown(bus, handle);
		}
	}
}

struct vmbus_gpadl *gpadl_hold(struct vmbus_channel *channel, uint32_t handle)
{
	struct vmbus *bus = channel->bus;
	struct vmbus_gpadl *gpadl;

	pthread_mutex_lock(&bus->lock);
	gpadl = find_locked(bus, handle);
	if (gpadl != NULL &&
	    (gpadl->channel != channel ||
	     !(gpadl->state == GPADL_CREATED || (gpadl->state == GPADL_TEARING && bus->loading)))) {
		gpadl = NULL;
	}
	if (gpadl != NULL) {
		gpadl->users++;
	}
	pthread_mutex_unlock(&bus->lock);
	return gpadl;
}

void gpadl_drop(struct vmbus_gpadl *gpadl)
{
	struct vmbus_channel *channel = gpadl->channel;
	struct vmbus *bus = channel->bus;
	bool last_of_torn;

	pthread_mutex_lock(&bus->lock);
	gpadl->users--;
	last_of_torn = gpadl->users == 0 && gpadl->state == GPADL_TEARING;
	pthread_mutex_unlock(&bus->lock);
	if (last_of_torn) {
		note_post(channel, NOTE_GPADL);
	}
}

struct vmbus_gpadl *channel_gpadl_get(struct vmbus_channel *channel, uint32_t handle)
{
	return atomic_load(&channel->shut) ? NULL : gpadl_hold(channel, handle);
}

void channel_gpadl_put(struct vmbus_channel *channel, struct vmbus_gpadl *gpadl)
{
	CHECK(gpadl->channel == channel);
	gpadl_drop(gpadl);
}

void gpadl_free_all(struct vmbus *bus, const struct vmbus_channel *channel)
{
	struct vmbus_gpadl **link = &bus->gpadls, *gone = NULL, *gpadl;

	pthread_mutex_lock(&bus->lock);
	while (*link != NULL) {
		if (channel == NULL || (*link)->channel == channel) {
			CHECK((*link)->users ==
			      0); /* a device that kept one after channel_closed() */
			gpadl = unlink_at(bus, link);
			gpadl->next = gone;
			gone = gpadl;
		} else {
			link = &(*link)->next;
		}
	}
	pthread_mutex_unlock(&bus->lock);
	while ((gpadl = gone) != NULL) {
		gone = gpadl->next;
		gpadl_free(bus, gpadl);
	}
}

uint32_t gpadl_bytes(const struct vmbus_gpadl *gpadl)
{
	return gpadl->bytes;
}

void gpadl_mark(const struct vmbus_gpadl *gpadl, uint32_t at, uint32_t bytes)
{
	vmbus_host_wrote(gpadl->channel->bus->host, gpadl->numbers, at, bytes);
}

void gpadl_wrote(const struct vmbus_gpadl *gpadl, uint32_t offset, uint32_t bytes)
{
	CHECK(offset <= gpadl->bytes && bytes <= gpadl->bytes - offset); /* gpadl_range() said so */
	if (bytes > 0) {
		gpadl_mark(gpadl, gpadl->offset + offset, bytes);
	}
}

int gpadl_range(const struct vmbus_gpadl *gpadl, uint32_t offset, uint32_t bytes, struct iovec *iov,
		unsigned int max)
{
	unsigned int count = 0;
	uint32_t at;

	if (offset > gpadl->bytes || bytes > gpadl->bytes - offset) {
		return -EINVAL;
	}
	for (at = gpadl->offset + offset; bytes > 0;) {
		uint32_t in_page = at % VMBUS_PAGE_SIZE;
		uint32_t part = VMBUS_PAGE_SIZE - in_page;

		part = bytes < part ? bytes : part;
		if (!iov_add(iov, max, &count, gpadl->pages[at / VMBUS_PAGE_SIZE] + in_page,
			     part)) {
			return -E2BIG;
		}
		at += part;
		bytes -= part;
	}
	return (int)count;
}
