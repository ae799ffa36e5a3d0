/*
 * The guest's half of VMBus, written from what Linux's hyperv.h says of it. See vmbus_guest.h.
 */
#include "lib/state.h"
#include "tests/fake/vmbus_guest.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct vmbus_host guest;

/* ---- the home of the server ---- */

static uint32_t pages_of(uint32_t offset, uint32_t length)
{
	return (offset + length + VMBUS_PAGE_SIZE - 1) / VMBUS_PAGE_SIZE;
}

/* Page by page, and then all of it or nothing. */
int vmbus_host_acquire(struct vmbus_host *host, const uint64_t *pages, uint32_t offset,
		       uint32_t length, struct iovec *iov, unsigned int max)
{
	uint32_t count = pages_of(offset, length), i, left = length;
	unsigned int used = 0;

	CHECK(offset < VMBUS_PAGE_SIZE && length > 0);
	for (i = 0; i < count; i++) {
		uint32_t part = VMBUS_PAGE_SIZE - offset;
		uint8_t *at;

		if (pages[i] >= GUEST_PAGES) {
			return -EFAULT;
		}
		at = host->ram + pages[i] * VMBUS_PAGE_SIZE + offset;
		part = part < left ? part : left;
		if (used > 0 && (uint8_t *)iov[used - 1].iov_base + iov[used - 1].iov_len == at) {
			iov[used - 1].iov_len += part;
		} else if (used == max) {
			return -E2BIG;
		} else {
			iov[used++] = (struct iovec){at, part};
		}
		left -= part;
		offset = 0;
	}
	for (i = 0; i < count; i++) {
		atomic_fetch_add(&host->acquired[pages[i]], 1);
	}
	return (int)used;
}

void vmbus_host_complete(struct vmbus_host *host, const uint64_t *pages, uint32_t offset,
			 uint32_t length, uint32_t written)
{
	uint32_t i;

	CHECK(written <= length);
	if (written > 0) {
		vmbus_host_wrote(host, pages, offset, written);
	}
	for (i = 0; i < pages_of(offset, length); i++) {
		CHECK(pages[i] < GUEST_PAGES && atomic_fetch_sub(&host->acquired[pages[i]], 1) > 0);
	}
}

void vmbus_host_wrote(struct vmbus_host *host, const uint64_t *pages, uint32_t offset,
		      uint32_t length)
{
	uint32_t i;

	CHECK(length > 0);
	for (i = offset / VMBUS_PAGE_SIZE; i < pages_of(offset, length); i++) {
		CHECK(pages[i] < GUEST_PAGES && atomic_load(&host->acquired[pages[i]]) > 0);
		atomic_store(&host->dirty[pages[i]], true);
	}
}

const _Atomic bool *vmbus_host_log_is_kept(struct vmbus_host *host)
{
	return &host->log_is_kept;
}

int vmbus_host_post(struct vmbus_host *host, uint32_t vp, const void *payload, size_t size)
{
	struct guest_message *message;

	if (vp >= GUEST_VPS) {
		return -ESRCH;
	}
	if (host->slot_busy || host->count == GUEST_MESSAGES) {
		return -EAGAIN;
	}
	message = &host->messages[(host->first + host->count++) % GUEST_MESSAGES];
	message->vp = vp;
	message->size = (uint32_t)size;
	memcpy(message->payload, payload, size);
	return 0;
}

void vmbus_host_signal(struct vmbus_host *host, uint32_t vp, uint32_t flag)
{
	pthread_mutex_lock(&host->lock);
	if (vp < GUEST_VPS && flag < VMBUS_MAX_CHANNELS) {
		host->flags[vp][flag]++;
	}
	pthread_mutex_unlock(&host->lock);
}

/* A channel's, or 0. */
static uint32_t slot_of(uint32_t connection_id)
{
	uint32_t relid = connection_id & (VMBUS_MAX_CHANNELS - 1);

	if (connection_id == VMBUS_EVENT_CONNECTION_ID) {
		return 0;
	}
	CHECK(connection_id == (relid | VMBUS_MESSAGE_SINT << 12));
	return relid;
}

int vmbus_host_connect(struct vmbus_host *host, uint32_t connection_id, int event)
{
	uint32_t relid = slot_of(connection_id);

	if (host->no_connections) {
		return -ENOSPC;
	}
	CHECK(host->events[relid] < 0);
	host->events[relid] = event;
	host->connections++;
	return 0;
}

void vmbus_host_disconnect(struct vmbus_host *host, uint32_t connection_id)
{
	uint32_t relid = slot_of(connection_id);

	CHECK(host->events[relid] >= 0);
	host->events[relid] = -1;
	host->connections--;
}

void vmbus_host_log(struct vmbus_host *host, const char *line)
{
	pthread_mutex_lock(&host->lock);
	host->lines++;
	snprintf(host->line, sizeof(host->line), "%s", line);
	pthread_mutex_unlock(&host->lock);
}

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

/* ---- the guest ---- */

void guest_create(void)
{
	static _Alignas(VMBUS_PAGE_SIZE) uint8_t ram[GUEST_PAGES * VMBUS_PAGE_SIZE];

	memset(&guest, 0, offsetof(struct vmbus_host, messages));
	pthread_mutex_init(&guest.lock, NULL);
	guest.ram = ram;
	guest.log_is_kept = true;
	memset(guest.events, 0xff, sizeof(guest.events)); /* all of them -1 */
	CHECK(vmbus_create(&guest, &guest.bus) == 0);
}

static void destroy_server(void)
{
	uint32_t i;

	vmbus_destroy(&guest.bus);
	CHECK(guest.connections == 0);
	for (i = 0; i < GUEST_PAGES; i++) {
		CHECK(atomic_load(&guest.acquired[i]) == 0);
	}
}

void guest_restart(void)
{
	static uint8_t before[GUEST_PAGES * VMBUS_PAGE_SIZE];

	memcpy(before, guest.ram, sizeof(before));
	destroy_server();
	CHECK(memcmp(before, guest.ram, sizeof(before)) == 0);
	CHECK(vmbus_create(&guest, &guest.bus) == 0);
}

void guest_wait(void)
{
	struct pollfd event = {.fd = vmbus_fd(guest.bus), .events = POLLIN};

	(void)poll(&event, 1, 2);
	vmbus_serve(guest.bus);
}

static size_t save_to(void (*device)(struct state_writer *writer), uint8_t *to, size_t room)
{
	struct state_writer writer = state_writer(to, room);

	if (device != NULL) {
		device(&writer);
	}
	vmbus_save(guest.bus, &writer);
	return writer.used;
}

uint8_t *guest_save(void (*device)(struct state_writer *writer), size_t *size)
{
	uint8_t *to;

	*size = save_to(device, NULL, 0);
	to = malloc(*size);
	CHECK(to != NULL && save_to(device, to, *size) == *size);
	return to;
}

void guest_destroy(void)
{
	destroy_server();
	pthread_mutex_destroy(&guest.lock);
}

int guest_post(const void *message, size_t size)
{
	int ret = vmbus_message(guest.bus, VMBUS_MESSAGE_CONNECTION_ID_4, VMBUS_MESSAGE_TYPE,
				message, size);

	vmbus_serve(guest.bus);
	return ret;
}

const void *guest_take(uint32_t type)
{
	const struct guest_message *message = &guest.messages[guest.first];
	struct vmbus_channel_message_header header;

	vmbus_serve(guest.bus);
	if (guest.count == 0) {
		return NULL;
	}
	memcpy(&header, message->payload, sizeof(header));
	if (header.msgtype != type) {
		return NULL;
	}
	guest.first = (guest.first + 1) % GUEST_MESSAGES;
	guest.count--;
	return message->payload;
}

bool guest_silent(void)
{
	vmbus_serve(guest.bus);
	return guest.count == 0;
}

bool guest_contact(uint32_t version)
{
	struct vmbus_channel_initiate_contact request = {
		.header.msgtype = CHANNELMSG_INITIATE_CONTACT,
		.vmbus_version_requested = version,
		.monitor_page2 = (uint64_t)GUEST_MONITOR_PAGE * VMBUS_PAGE_SIZE,
	};
	const struct vmbus_channel_version_response *answer;

	if (version >= VERSION_WIN10_V5) {
		request.msg_sint = VMBUS_MESSAGE_SINT;
	} else {
		request.interrupt_page = (uint64_t)GUEST_INTERRUPT_PAGE * VMBUS_PAGE_SIZE;
	}
	guest.version = version;
	CHECK(guest_post(&request, sizeof(request)) == 0);
	answer = guest_take(CHANNELMSG_VERSION_RESPONSE);
	return answer != NULL && answer->version_supported;
}

unsigned int guest_offers(uint32_t *relids, unsigned int max)
{
	struct vmbus_channel_message_header request = {.msgtype = CHANNELMSG_REQUESTOFFERS};
	const struct vmbus_channel_offer_channel *offer;
	unsigned int count = 0;

	CHECK(guest_post(&request, sizeof(request)) == 0);
	while ((offer = guest_take(CHANNELMSG_OFFERCHANNEL)) != NULL) {
		if (offer->offer.if_instance.data1 < max) {
			relids[offer->offer.if_instance.data1] = offer->child_relid;
		}
		count++;
	}
	CHECK(guest_take(CHANNELMSG_ALLOFFERS_DELIVERED) != NULL);
	return count;
}

void guest_scatter(uint32_t *pages, uint32_t count, uint32_t first)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		pages[i] = first + 2 * (count - 1 - i);
	}
}

int64_t guest_gpadl(uint32_t relid, uint32_t handle, const uint32_t *pages, uint32_t count)
{
	struct {
		struct vmbus_channel_gpadl_header header;
		uint32_t byte_count, byte_offset;
		uint64_t numbers[26];
	} __attribute__((packed)) head = {
		.header = {.header.msgtype = CHANNELMSG_GPADL_HEADER,
			   .child_relid = relid,
			   .gpadl = handle,
			   .range_buflen = (uint16_t)(8 + 8 * count),
			   .rangecount = 1},
		.byte_count = count * VMBUS_PAGE_SIZE,
	};
	struct {
		struct vmbus_channel_gpadl_body header;
		uint64_t numbers[28];
	} __attribute__((packed))
	body = {.header = {.header.msgtype = CHANNELMSG_GPADL_BODY, .gpadl = handle}};
	const struct vmbus_channel_gpadl_created *answer;
	uint32_t done, i;

	for (done = 0; done < count && done < 26; done++) {
		head.numbers[done] = pages[done];
	}
	guest_post(&head, sizeof(head) - sizeof(head.numbers) + 8 * done);
	while (done < count) {
		for (i = 0; i < 28 && done < count; i++) {
			body.numbers[i] = pages[done++];
		}
		guest_post(&body, sizeof(body.header) + 8 * i);
	}
	answer = guest_take(CHANNELMSG_GPADL_CREATED);
	if (answer == NULL || answer->child_relid != relid || answer->gpadl != handle) {
		return -1;
	}
	return answer->creation_status;
}

uint8_t *guest_page(uint32_t page)
{
	return guest.ram + (size_t)page * VMBUS_PAGE_SIZE;
}

static void set_up_half(struct guest_half *half, const struct guest_channel *channel,
			uint32_t first, uint32_t count)
{
	half->pages = channel->pages;
	half->control = (struct hv_ring_buffer *)guest_page(channel->pages[first]);
	half->first_page = first + 1;
	half->size = (count - 1) * VMBUS_PAGE_SIZE;
	half->index = 0;
	memset(half->control, 0, sizeof(*half->control));
	half->control->feature_bits = 1;
}

int64_t guest_open(struct guest_channel *channel, uint32_t relid, uint32_t gpadl, uint32_t pages,
		   uint32_t first_page, uint32_t target_vp)
{
	struct vmbus_channel_open_channel request = {
		.header.msgtype = CHANNELMSG_OPENCHANNEL,
		.child_relid = relid,
		.openid = relid + 100,
		.ringbuffer_gpadlhandle = gpadl,
		.target_vp = target_vp,
		.downstream_ringbuffer_pageoffset = pages / 2,
		.userdata = "hello",
	};
	const struct vmbus_channel_open_result *answer;

	channel->relid = relid;
	channel->gpadl = gpadl;
	channel->page_count = pages;
	guest_scatter(channel->pages, pages, first_page);
	set_up_half(&channel->out, channel, 0, pages / 2);
	set_up_half(&channel->in, channel, pages / 2, pages - pages / 2);
	if (guest_gpadl(relid, gpadl, channel->pages, pages) != 0) {
		return -1;
	}
	guest_post(&request, sizeof(request));
	answer = guest_take(CHANNELMSG_OPENCHANNEL_RESULT);
	if (answer == NULL || answer->child_relid != relid || answer->openid != relid + 100) {
		return -1;
	}
	return answer->status;
}

bool guest_close(struct guest_channel *channel)
{
	struct vmbus_channel_relid request = {.header.msgtype = CHANNELMSG_CLOSECHANNEL,
					      .child_relid = channel->relid};
	struct vmbus_channel_gpadl_teardown teardown = {
		.header.msgtype = CHANNELMSG_GPADL_TEARDOWN,
		.child_relid = channel->relid,
		.gpadl = channel->gpadl,
	};
	const struct vmbus_channel_gpadl_torndown *answer;

	guest_post(&request, sizeof(request));
	guest_post(&teardown, sizeof(teardown));
	answer = guest_take(CHANNELMSG_GPADL_TORNDOWN);
	return answer != NULL && answer->gpadl == channel->gpadl;
}

/* ---- rings ---- */

/* To or from the ring, page by page and round the end. */
static void transfer(const struct guest_half *half, uint32_t index, void *to, const void *from,
		     uint32_t bytes)
{
	uint32_t done, part;

	for (done = 0; done < bytes; done += part) {
		uint32_t at = (index + done) % half->size;
		uint8_t *page = guest_page(half->pages[half->first_page + at / VMBUS_PAGE_SIZE]);

		at %= VMBUS_PAGE_SIZE;
		part = bytes - done < VMBUS_PAGE_SIZE - at ? bytes - done : VMBUS_PAGE_SIZE - at;
		if (to != NULL) {
			memcpy((uint8_t *)to + done, page + at, part);
		} else {
			memcpy(page + at, (const uint8_t *)from + done, part);
		}
	}
}

static void put(struct guest_half *half, const void *from, uint32_t bytes)
{
	transfer(half, half->index, NULL, from, bytes);
	half->index = (half->index + bytes) % half->size;
}

static uint32_t used(const struct guest_half *half)
{
	uint32_t write = __atomic_load_n(&half->control->write_index, __ATOMIC_ACQUIRE);
	uint32_t read = __atomic_load_n(&half->control->read_index, __ATOMIC_ACQUIRE);

	return write >= read ? write - read : half->size - read + write;
}

static void signal_server(const struct guest_channel *channel)
{
	uint32_t slot = guest.version == VERSION_WS2008 ? 0 : channel->relid;
	uint64_t one = 1;

	if (slot == 0) {
		uint8_t *bits = guest_page(GUEST_INTERRUPT_PAGE) + VMBUS_PAGE_SIZE / 2;

		__atomic_fetch_or(&bits[channel->relid / 8], 1 << channel->relid % 8,
				  __ATOMIC_SEQ_CST);
	}
	if (guest.events[slot] >= 0) {
		CHECK(write(guest.events[slot], &one, sizeof(one)) == sizeof(one));
	}
}

bool guest_send(struct guest_channel *channel, uint16_t type, uint64_t transaction, uint16_t flags,
		const void *list, uint32_t list_bytes, const void *payload, uint32_t bytes)
{
	static const uint8_t zeros[8];
	struct guest_half *half = &channel->out;
	uint32_t padding = -bytes & 7, before = half->index;
	struct vmpacket_descriptor descriptor = {
		.type = type,
		.offset8 = (uint16_t)((16 + list_bytes) / 8),
		.len8 = (uint16_t)((16 + list_bytes + bytes + padding) / 8),
		.flags = flags,
		.trans_id = transaction,
	};
	uint64_t trailer = (uint64_t)before << 32;

	if (half->size - used(half) <= descriptor.len8 * 8u + 8) {
		__atomic_store_n(&half->control->pending_send_sz, descriptor.len8 * 8u + 8,
				 __ATOMIC_SEQ_CST);
		if (half->size - used(half) <= descriptor.len8 * 8u + 8) {
			return false;
		}
	}
	__atomic_store_n(&half->control->pending_send_sz, 0, __ATOMIC_SEQ_CST);
	put(half, &descriptor, sizeof(descriptor));
	put(half, list, list_bytes);
	put(half, payload, bytes);
	put(half, zeros, padding);
	put(half, &trailer, sizeof(trailer));
	__atomic_store_n(&half->control->write_index, half->index, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&half->control->interrupt_mask, __ATOMIC_SEQ_CST) == 0 &&
	    __atomic_load_n(&half->control->read_index, __ATOMIC_SEQ_CST) == before) {
		signal_server(channel);
	}
	return true;
}

bool guest_receive(struct guest_channel *channel, struct guest_packet *packet)
{
	struct guest_half *half = &channel->in;
	uint32_t bytes, pending, room;
	uint64_t trailer;

	if (used(half) == 0) {
		return false;
	}
	transfer(half, half->index, &packet->descriptor, NULL, sizeof(packet->descriptor));
	bytes = packet->descriptor.len8 * 8u;
	CHECK(bytes >= 16 && bytes + 8 <= used(half) && bytes <= sizeof(packet->bytes));
	transfer(half, half->index, packet->bytes, NULL, bytes);
	transfer(half, half->index + bytes, &trailer, NULL, sizeof(trailer));
	CHECK(trailer == (uint64_t)half->index << 32);
	half->index = (half->index + bytes + 8) % half->size;
	__atomic_store_n(&half->control->read_index, half->index, __ATOMIC_SEQ_CST);
	pending = __atomic_load_n(&half->control->pending_send_sz, __ATOMIC_SEQ_CST);
	room = half->size - used(half);
	if (pending != 0 && room > pending && room - (bytes + 8) <= pending) {
		signal_server(channel);
	}
	return true;
}

void guest_set_monitor(uint32_t monitor)
{
	uint32_t *word = (uint32_t *)(guest_page(GUEST_MONITOR_PAGE) + 8 + monitor / 32 * 8);

	__atomic_fetch_or(word, 1u << monitor % 32, __ATOMIC_SEQ_CST);
	vmbus_serve(guest.bus);
}

unsigned int guest_signals(uint32_t vp, uint32_t relid)
{
	unsigned int count;

	pthread_mutex_lock(&guest.lock);
	count = guest.flags[vp][relid];
	pthread_mutex_unlock(&guest.lock);
	return count;
}
