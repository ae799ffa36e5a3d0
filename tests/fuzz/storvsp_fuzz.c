/*
 * Hostile packets of the storage protocol: any operation in any state, any length, ranges that lie
 * in guest memory, across its end or on top of each other. The channel and its thread are this
 * file; the SCSI target and a simulated disk are behind it. Every packet must be answered once,
 * with its transaction and at its size, or break the channel.
 *
 * An input that begins with 0xff changes a saved state instead: it is refused, or loaded, and then
 * every request in it is answered once.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/disk_fake.h"
#include "vsp/storage/storvsp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RAM_BYTES (256u << 10)
#define IOS       8u
#define STEP      16u

static struct storage storage;
static struct storage_queue queues[2];
static struct storage_io ios[2][IOS];
static struct disk *disk;
static uint8_t *ram;
static unsigned answers, packets, acquired;
static bool broken;

void check_failed(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	(void)what;
	abort();
}

/* In place of storvsp_queue.c. */
bool storvsp_has_io(const struct storage_queue *queue)
{
	return queue->free != NULL;
}

struct storage_io *storvsp_take_io(struct storage_queue *queue)
{
	struct storage_io *io = queue->free;

	if (io == NULL) {
		abort();
	}
	queue->free = io->next;
	packets++;
	return io;
}

void storvsp_answer(struct storage_io *io)
{
	if (io->packet.operation != STORVSP_COMPLETE_IO || io->answer.bytes > sizeof(io->packet) ||
	    io->answer.bytes < STORVSP_PACKET_HEAD_BYTES) {
		abort();
	}
	io->next = io->queue->free;
	io->queue->free = io;
	answers++;
}

void storvsp_put_aside(struct storage_io *io, enum storage_again again)
{
	io->again = again;
	io->next = NULL;
	*io->queue->aside_end = io;
	io->queue->aside_end = &io->next;
}

struct storage_io *storvsp_io_of(const struct vsp_answer *answer)
{
	(void)answer;
	abort(); /* there is room for all */
}

int storvsp_queue_create(struct storage *of, unsigned index, struct storage_queue **out)
{
	if (of != &storage || index >= 2) {
		return -ENOMEM; /* there are two here */
	}
	*out = &queues[index];
	return 0;
}

void storvsp_queue_free(struct storage_queue *queue)
{
	(void)queue;
}

void storvsp_srb_ended(struct storage *of)
{
	atomic_fetch_sub(&of->requests, 1); /* the loops below look by themselves */
}

/* In place of vsp/channel.c. */
bool vsp_is_ending(const struct vsp_channel *vsp)
{
	(void)vsp;
	return false;
}

bool vsp_is_pausing(const struct vsp_channel *vsp)
{
	(void)vsp;
	return false;
}

/* In place of vsp/device.c. */
static uint64_t channels_offered, channels_open;

uint64_t vsp_offered(struct vsp_device *device)
{
	(void)device;
	return channels_offered;
}

uint64_t vsp_open(struct vsp_device *device)
{
	(void)device;
	return channels_open;
}

struct vsp_channel *vsp_open_channel(struct vsp_device *device, unsigned index)
{
	(void)device;
	return channels_open >> index & 1 ? &queues[index].vsp : NULL;
}

void vsp_load(struct vsp_device *device, unsigned index, struct vsp_channel *vsp)
{
	(void)device;
	if (vsp != &queues[index].vsp) {
		abort();
	}
}

void vsp_rescind_sub_channels(struct vsp_device *device)
{
	(void)device;
}

/* In place of storage.c. */
int storvsp_offer(struct storage *of, unsigned index)
{
	if (of != &storage || index < 1 || index >= of->config.channel_count) {
		abort();
	}
	return index == 3 ? -ENOSPC : 0;
}

/* In place of the channel. */
void channel_break(struct vmbus_channel *channel, const char *reason)
{
	(void)channel;
	(void)reason;
	broken = true;
}

int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned count)
{
	(void)channel;
	if (transaction || completion_requested || count != 1 ||
	    payload->iov_len > sizeof(struct storvsp_packet)) {
		abort();
	}
	return packets % 3 ? 0 : -EAGAIN;
}

/*
 * The input's own idea of a range: a start and a length, cut into pieces that may lie on each
 * other.
 */
int packet_range(const struct vmbus_packet *packet, uint32_t index, struct vmbus_range *range)
{
	const uint8_t *in = packet->ranges;

	if (index || range->page_max < 2) {
		abort();
	}
	range->bytes = ((uint32_t)in[0] | (uint32_t)in[1] << 8) * 4u;
	range->pages[0] = in[2] * 512u;
	range->pages[1] = in[3];
	return in[3] == 0xff ? -E2BIG : 0;
}

int channel_acquire_range(const struct vmbus_channel *channel, const struct vmbus_range *range,
			  struct iovec *iov, unsigned max)
{
	uint32_t start = (uint32_t)range->pages[0], at = 0;
	unsigned count = 0;

	(void)channel;
	while (at < range->bytes) {
		uint32_t piece = range->bytes - at < 4096 ? range->bytes - at : 4096;

		if (count == max) {
			return -E2BIG;
		}
		if (start + piece > RAM_BYTES) {
			return -EFAULT;
		}
		iov[count++] = (struct iovec){ram + start, piece};
		start = range->pages[1] & 1 ? start : start + piece;
		at += piece;
	}
	acquired++;
	return (int)count;
}

void channel_complete_range(const struct vmbus_channel *channel, const struct vmbus_range *range,
			    uint32_t written)
{
	(void)channel;
	if (written > range->bytes) {
		abort();
	}
	acquired--;
}

static void set_up(void)
{
	struct disk_create how = {.type = DISK_DYNAMIC, .size = 4 << 20, .block_size = 1 << 20};
	struct storage_unit unit = {.kind = STORAGE_DISK};
	unsigned q, i;

	if (disk == NULL) {
		fake_reset(1);
		ram = malloc(RAM_BYTES);
		if (ram == NULL || disk_create("a.vhdx", &how, NULL) ||
		    disk_open("a.vhdx", NULL, &disk, NULL) ||
		    disk_queue_create(IOS, &queues[0].disks, NULL) ||
		    disk_queue_create(IOS, &queues[1].disks, NULL)) {
			abort();
		}
	}
	memset(&storage, 0, sizeof(storage));
	storage.config.channel_count = 4;
	unit.disk = disk;
	if (scsi_bus_create(&storage.scsi) ||
	    scsi_bus_attach(storage.scsi, (struct storage_address){0, 0, 0}, &unit)) {
		abort();
	}
	for (q = 0; q < 2; q++) {
		queues[q].storage = &storage;
		queues[q].index = q;
		queues[q].free = queues[q].resets = queues[q].aside = NULL;
		queues[q].aside_end = &queues[q].aside;
		for (i = 0; i < IOS; i++) {
			ios[q][i].queue = &queues[q];
			ios[q][i].answer.payload = &ios[q][i].packet;
			ios[q][i].next = queues[q].free;
			queues[q].free = &ios[q][i];
		}
	}
	channels_offered = channels_open = 0;
	answers = packets = 0;
	broken = false;
}

static void turn(struct storage_queue *queue)
{
	disk_queue_poll(queue->disks);
	storvsp_finish_resets(queue);
	storvsp_announce(queue);
}

static void deliver(struct storage_queue *queue, const struct vmbus_packet *packet)
{
	while (queue->free == NULL) {
		turn(&queues[0]);
		turn(&queues[1]);
	}
	storvsp_packet(queue, packet);
}

/* The handshake, in full, for the inputs that begin with it. */
static void shake_hands(uint16_t version)
{
	static const uint32_t operations[] = {STORVSP_BEGIN_INITIALIZATION,
					      STORVSP_QUERY_PROTOCOL_VERSION,
					      STORVSP_QUERY_PROPERTIES, STORVSP_END_INITIALIZATION};
	unsigned i;

	for (i = 0; i < 4; i++) {
		struct storvsp_packet out = {.operation = operations[i],
					     .version.version = version};
		struct vmbus_packet packet = {.type = VM_PKT_DATA_INBAND,
					      .completion_requested = true,
					      .payload = &out,
					      .payload_bytes = sizeof(out)};

		deliver(&queues[0], &packet);
	}
}

/* A packet of STEP bytes of plan, then of payload. */
static size_t one_packet(const uint8_t *data, size_t size)
{
	uint64_t payload[16] = {0};
	uint8_t *exact;
	struct vmbus_packet packet = {
		.type = data[0] < 0x70   ? VM_PKT_DATA_INBAND
			: data[0] < 0xf0 ? VM_PKT_DATA_USING_GPA_DIRECT
					 : data[0],
		.completion_requested = data[1] != 0xff,
		.transaction = data[2],
		.ranges = data + 4,
		.range_count = data[0] < 0x70 ? 0 : data[3] % 3,
	};
	size_t bytes = (data[8] < 0xc0 ? 64 : data[8] % 128) & ~7u, left = size - STEP;

	memcpy(payload, data + STEP, bytes < left ? bytes : left);
	if (data[9] < 0xc0) {
		payload[0] = data[9] < 0x80 ? STORVSP_EXECUTE_SRB : data[9] % 15;
	}
	exact = malloc(bytes + 1); /* so that a byte read too far is seen */
	memcpy(exact, payload, bytes);
	packet.payload = exact;
	packet.payload_bytes = (uint32_t)bytes;
	deliver(&queues[data[10] & 1], &packet);
	free(exact);
	if (data[11] & 1) {
		turn(&queues[data[11] >> 7]);
	}
	if (data[12] == 1) {
		atomic_store(&storage.rescan, true);
	}
	return STEP + (bytes < left ? bytes : left);
}

static void drain(void)
{
	while (answers != packets) {
		turn(&queues[0]);
		turn(&queues[1]);
	}
}

/* ---- saved states ---- */

#define STATE 4096u

static void put_aside(struct storage_queue *queue, uint32_t operation, enum storage_again again)
{
	struct storage_io *io = storvsp_take_io(queue);

	memset(&io->packet, 0, sizeof(io->packet));
	io->packet.operation = operation;
	io->packet.srb.cdb_length = 10;
	io->packet.srb.cdb[0] = 0x28;
	io->packet.srb.cdb[8] = 8;
	io->packet.srb.data_in = STORVSP_DATA_IN;
	io->packet.srb.data_transfer_length = 4096;
	io->answer.bytes = sizeof(io->packet);
	io->range = (struct vmbus_range){
		.offset = 512, .bytes = 4096, .page_max = REQUEST_IOVS, .pages = io->pages};
	io->pages[0] = 512;
	io->pages[1] = 0;
	storvsp_put_aside(io, again);
}

/* A reservation, a sub-channel, and one of each kind of request on each channel. */
static size_t make_state(uint8_t *to)
{
	struct state_writer writer = state_writer(to, STATE);
	unsigned q;

	shake_hands(STORVSP_VERSION_WIN10);
	storage.sub_channels = 1;
	channels_offered = channels_open = 3;
	for (q = 0; q < 2; q++) {
		put_aside(&queues[q], STORVSP_COMPLETE_IO, AGAIN_ANSWER);
		put_aside(&queues[q], STORVSP_EXECUTE_SRB, AGAIN_SRB);
		put_aside(&queues[q], STORVSP_RESET_BUS, AGAIN_RESET);
	}
	storage_save(&storage, &writer);
	if (!state_fits(&writer)) {
		abort();
	}
	scsi_bus_destroy(&storage.scsi);
	return writer.used;
}

static void go_on(struct storage_queue *queue)
{
	struct storage_io *io = queue->aside, *next;

	queue->aside = NULL;
	queue->aside_end = &queue->aside;
	for (; io != NULL; io = next) {
		next = io->next;
		storvsp_go_on(io);
	}
}

static void load(const uint8_t *data, size_t size)
{
	static uint8_t state[STATE];
	size_t used = make_state(state);
	struct state_fault fault;
	struct state_reader all;

	set_up();
	for (; size >= 4; data += 4, size -= 4) {
		size_t at = (data[0] | (size_t)data[1] << 8) % used;

		state[at] = data[2] & 1 ? data[3] : state[at] ^ (uint8_t)(1 << data[3] % 8);
		used = data[2] % 64 == 63 && at > 0 ? at : used;
	}
	all = state_reader(state, used, &fault);
	if (storage_load(&storage, &all) != 0) {
		if (atomic_load(&storage.requests) || atomic_load(&storage.state) != STATE_NEW) {
			abort();
		}
		scsi_bus_destroy(&storage.scsi);
		set_up(); /* what was read is nobody's */
		return;
	}
	go_on(&queues[0]);
	go_on(&queues[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t versions[] = {0x0200, 0x0402, 0x0501, 0x0600, 0x0602};

	if (!size) {
		return 0;
	}
	set_up();
	if (data[0] == 0xff) {
		load(data + 1, size - 1);
		size = 1;
	} else if (data[0] < 0xe0) {
		shake_hands(versions[data[0] % 5]);
	}
	data++;
	size--;
	while (size > STEP && !broken) {
		size_t used = one_packet(data, size);

		data += used;
		size -= used;
	}
	drain();
	if (queues[0].in_flight || queues[1].in_flight || queues[0].resets != NULL ||
	    queues[1].resets != NULL || atomic_load(&storage.requests) ||
	    atomic_load(&storage.resets) || acquired) {
		abort();
	}
	storvsp_primary_closed(&storage);
	scsi_bus_destroy(&storage.scsi);
	return 0;
}
