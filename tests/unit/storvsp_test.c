/*
 * The storage VSP with a fake guest before it and a file behind it: the handshake, requests of all
 * shapes, sub-channels, resets, hot plug, and guests that break the rules. The VSP's threads run; a
 * test waits for what it expects.
 */
#include "tests/fake/part.h"
#include "tests/fake/vmbus_guest.h"
#include "vsp/storage/scsi.h"
#include "vsp/storage/storage.h"
#include "vsp/storage/storvsp.h"
#include "vsp/storvsp.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE     (1u << 20)
#define RING     100u /* pages of guest RAM: rings from here on, by channel */
#define DATA     20u  /* ... and data */
#define INIT_ID  (UINT64_MAX - 1)
#define RESET_ID (UINT64_MAX - 2)
#define CHANNELS 4u

static struct storage *storage;
static struct disk *disk;
static struct guest_channel channels[CHANNELS];
static char path[64];
static uint8_t content[SIZE];
static uint32_t relid;
static const struct storage_address lun0, lun5 = {0, 0, 5};

static struct disk *open_file(const char *name, uint64_t size)
{
	struct disk *opened = NULL;
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, content, size, 0), (ssize_t)size);
	close(fd);
	assert_int_equal(
		disk_open(name, &(struct disk_open){.format = DISK_FORMAT_RAW}, &opened, NULL), 0);
	unlink(name);
	return opened;
}

static void attach(struct storage_address at, struct disk *with)
{
	struct storage_unit unit = {.kind = STORAGE_DISK, .disk = with, .id = {1, 2, 3}};

	assert_int_equal(storage_attach(storage, at, &unit), 0);
}

/* The next packet, of whichever kind. */
static const struct storvsp_packet *receive(unsigned channel, struct guest_packet *packet)
{
	while (!guest_receive(&channels[channel], packet)) {
		guest_wait();
	}
	return (const struct storvsp_packet *)(packet->bytes + packet->descriptor.offset8 * 8);
}

static uint32_t payload_bytes(const struct guest_packet *packet)
{
	return (packet->descriptor.len8 - packet->descriptor.offset8) * 8u;
}

static struct storvsp_packet exchange_bytes(unsigned channel, struct storvsp_packet packet,
					    uint32_t bytes, uint64_t id)
{
	struct guest_packet answer;
	struct storvsp_packet out = {0};
	const struct storvsp_packet *in;

	assert_true(
		guest_send(&channels[channel], VM_PKT_DATA_INBAND, id, 1, NULL, 0, &packet, bytes));
	in = receive(channel, &answer);
	assert_int_equal(answer.descriptor.type, VM_PKT_COMP);
	assert_int_equal(answer.descriptor.trans_id, id);
	assert_int_equal(payload_bytes(&answer), (bytes + 7) & ~7u);
	memcpy(&out, in, payload_bytes(&answer));
	assert_int_equal(out.operation, STORVSP_COMPLETE_IO);
	return out;
}

static struct storvsp_packet exchange(unsigned channel, struct storvsp_packet packet)
{
	return exchange_bytes(channel, packet, sizeof(packet), INIT_ID);
}

static uint32_t say(uint32_t operation)
{
	return exchange(0, (struct storvsp_packet){.operation = operation, .flags = 1}).status;
}

static uint32_t ask_version(uint16_t version)
{
	return exchange(0, (struct storvsp_packet){.operation = STORVSP_QUERY_PROTOCOL_VERSION,
						   .version.version = version})
		.status;
}

static void open_channel(unsigned index, uint32_t its_relid)
{
	assert_int_equal(guest_open(&channels[index], its_relid, 0xe1e10 + index, 8,
				    RING + 32 * index, index % 2),
			 0);
}

static void connect(void)
{
	uint32_t relids[2] = {0};

	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_offers(relids, 2), 1);
	relid = relids[1];
	open_channel(0, relid);
}

/* Waits until its memory is given back; sub-channels are rescinded on the way. */
static void close_primary(void)
{
	if (guest_close(&channels[0])) {
		return;
	}
	while (guest_take(CHANNELMSG_GPADL_TORNDOWN) == NULL) {
		guest_take(CHANNELMSG_RESCIND_CHANNELOFFER);
		guest_wait();
	}
}

/* The guest's machine is reset. */
static void start_anew(void)
{
	vmbus_reset(guest.bus);
	guest.first = guest.count = 0;
}

static void initialize(uint16_t version)
{
	assert_int_equal(say(STORVSP_BEGIN_INITIALIZATION), 0);
	assert_int_equal(ask_version(version), 0);
	assert_int_equal(say(STORVSP_QUERY_PROPERTIES), 0);
	assert_int_equal(say(STORVSP_END_INITIALIZATION), 0);
}

static void create(unsigned depth, unsigned channel_count)
{
	struct storage_config config = {.flavour = STORAGE_SCSI,
					.instance = {1},
					.channel_count = channel_count,
					.depth = depth};

	guest_create();
	assert_int_equal(storage_create(guest.bus, &config, &storage), 0);
	disk = open_file(path, SIZE);
	attach(lun0, disk);
}

static int start(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < SIZE; i++) {
		content[i] = (uint8_t)(i * 29 + i / 513 + 1);
	}
	snprintf(path, sizeof(path), "/tmp/storvsp_test_%d", getpid());
	create(8, CHANNELS);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	storage_destroy(&storage);
	guest_destroy();
	disk_close(&disk, NULL);
	return 0;
}

/* ---- requests ---- */

struct range {
	uint32_t length, offset;
	uint64_t pages[16];
};

static struct storvsp_packet srb(uint8_t lun, const uint8_t *cdb, uint8_t cdb_length,
				 uint8_t data_in, uint32_t length)
{
	struct storvsp_packet packet = {
		.operation = STORVSP_EXECUTE_SRB,
		.flags = 1,
		.srb = {.length = sizeof(packet.srb),
			.lun = lun,
			.cdb_length = cdb_length,
			.sense_length = STORVSP_SENSE_BYTES,
			.data_in = data_in,
			.data_transfer_length = length},
	};

	memcpy(packet.srb.cdb, cdb,
	       cdb_length < STORVSP_CDB_BYTES ? cdb_length : STORVSP_CDB_BYTES);
	return packet;
}

static struct storvsp_packet block_srb(bool write, uint32_t lba, uint16_t count)
{
	uint8_t cdb[10] = {write ? 0x2a : 0x28,
			   0,
			   0,
			   0,
			   (uint8_t)(lba >> 8),
			   (uint8_t)lba,
			   0,
			   (uint8_t)(count >> 8),
			   (uint8_t)count};

	return srb(0, cdb, 10, write ? STORVSP_DATA_OUT : STORVSP_DATA_IN, count * 512u);
}

/* Ranges as they lie in a packet: a count, then each. */
static void send_direct(unsigned channel, uint64_t id, const struct storvsp_packet *packet,
			const struct range *ranges, uint32_t count)
{
	uint8_t list[8 + 2 * sizeof(struct range)] = {0};
	uint32_t bytes = 8, i;

	memcpy(list + 4, &count, 4);
	for (i = 0; i < count; i++) {
		uint32_t pages = (ranges[i].offset + ranges[i].length + 4095) / 4096;

		memcpy(list + bytes, &ranges[i], 8 + 8 * pages);
		bytes += 8 + 8 * pages;
	}
	assert_true(guest_send(&channels[channel], VM_PKT_DATA_USING_GPA_DIRECT, id, 1, list, bytes,
			       packet, sizeof(*packet)));
}

static struct storvsp_packet finish(unsigned channel, uint64_t id)
{
	struct guest_packet answer;
	const struct storvsp_packet *in = receive(channel, &answer);

	assert_int_equal(answer.descriptor.trans_id, id);
	assert_int_equal(in->operation, STORVSP_COMPLETE_IO);
	return *in;
}

static struct storvsp_packet direct(unsigned channel, struct storvsp_packet packet,
				    struct range range)
{
	send_direct(channel, 77, &packet, &range, 1);
	return finish(channel, 77);
}

static void take_attention(unsigned channel, uint8_t lun)
{
	exchange(channel, srb(lun, (uint8_t[6]){0}, 6, STORVSP_DATA_NONE, 0));
}

static int start_ready(void **state)
{
	start(state);
	connect();
	initialize(STORVSP_VERSION_WIN10);
	take_attention(0, 0);
	return 0;
}

static void expect_refused(struct storvsp_packet reply)
{
	assert_int_equal(reply.srb.srb_status, STORVSP_SRB_INVALID_REQUEST);
	assert_int_equal(reply.status, STORVSP_STATUS_INVALID_PARAMETER);
	assert_int_equal(reply.srb.data_transfer_length, 0);
}

static void test_versions(void **state)
{
	static const uint16_t known[] = {0x0200, 0x0402, 0x0501, 0x0600, 0x0602};
	unsigned i;

	(void)state;
	for (i = 0; i < 5; i++) {
		connect();
		assert_int_equal(say(STORVSP_BEGIN_INITIALIZATION), 0);
		assert_int_equal(ask_version(0x0700), STORVSP_STATUS_REVISION_MISMATCH);
		assert_int_equal(ask_version(0), STORVSP_STATUS_REVISION_MISMATCH);
		assert_int_equal(ask_version(known[i]), 0);
		start_anew();
	}
}

static void test_properties(void **state)
{
	struct storvsp_packet reply;

	(void)state;
	connect();
	say(STORVSP_BEGIN_INITIALIZATION);
	ask_version(STORVSP_VERSION_WIN10);
	reply = exchange(0, (struct storvsp_packet){.operation = STORVSP_QUERY_PROPERTIES});
	assert_int_equal(reply.status, 0);
	assert_int_equal(reply.properties.sub_channel_count_max, CHANNELS - 1);
	assert_int_equal(reply.properties.flags, STORVSP_MULTI_CHANNEL);
	assert_int_equal(reply.properties.max_transfer_bytes, SCSI_TRANSFER_MAX);
}

/* A machine may have more VPs than a controller has channels. */
static void test_more_vps_than_channels(void **state)
{
	struct storvsp_packet reply;

	stop(state);
	create(1, 240);
	connect();
	say(STORVSP_BEGIN_INITIALIZATION);
	ask_version(STORVSP_VERSION_WIN10);
	reply = exchange(0, (struct storvsp_packet){.operation = STORVSP_QUERY_PROPERTIES});
	assert_int_equal(reply.status, 0);
	assert_int_equal(reply.properties.sub_channel_count_max, 63);
}

static void test_order_of_the_handshake(void **state)
{
	(void)state;
	connect();
	assert_int_equal(say(STORVSP_END_INITIALIZATION), STORVSP_STATUS_INVALID_STATE);
	assert_int_equal(say(STORVSP_QUERY_PROPERTIES), STORVSP_STATUS_INVALID_STATE);
	assert_int_equal(ask_version(STORVSP_VERSION_WIN10), STORVSP_STATUS_INVALID_STATE);
	assert_int_equal(exchange(0, block_srb(false, 0, 0)).status, STORVSP_STATUS_INVALID_STATE);
	initialize(STORVSP_VERSION_WIN8);
	assert_int_equal(say(STORVSP_BEGIN_INITIALIZATION), STORVSP_STATUS_INVALID_STATE);
	assert_int_equal(say(STORVSP_FCHBA_DATA), STORVSP_STATUS_INVALID_REQUEST);
	assert_int_equal(say(STORVSP_COMPLETE_IO), STORVSP_STATUS_INVALID_REQUEST);
	assert_int_equal(say(0xffffffff), STORVSP_STATUS_INVALID_REQUEST);
}

/* Pages in any order, an offset into the first, the same page twice. */
static void test_data(void **state)
{
	struct range range = {4096 + 1024, 512, {DATA + 3, DATA}};
	struct storvsp_packet reply = direct(0, block_srb(false, 2, 10), range);

	(void)state;
	assert_int_equal(reply.status, 0);
	assert_int_equal(reply.srb.srb_status, STORVSP_SRB_SUCCESS);
	assert_int_equal(reply.srb.scsi_status, 0);
	assert_int_equal(reply.srb.data_transfer_length, 5120);
	assert_memory_equal(guest_page(DATA + 3) + 512, content + 1024, 4096 - 512);
	assert_memory_equal(guest_page(DATA), content + 1024 + 4096 - 512, 5120 - (4096 - 512));
	memset(guest_page(DATA + 7), 0x61, 4096);
	memset(guest_page(DATA + 5), 0x62, 4096);
	range = (struct range){8192, 0, {DATA + 5, DATA + 7}};
	assert_int_equal(direct(0, block_srb(true, 100, 16), range).status, 0);
	assert_int_equal(disk_read(disk, content, SIZE, 0), 0);
	assert_int_equal(content[100 * 512], 0x62);
	assert_int_equal(content[100 * 512 + 4096], 0x61);
	range.pages[1] = DATA + 5;
	assert_int_equal(direct(0, block_srb(false, 100, 16), range).status, 0);
}

/* ---- what is written is told, page by page ---- */

static uint8_t before[GUEST_PAGES * VMBUS_PAGE_SIZE];

static void begin_log(void)
{
	uint32_t i;

	memcpy(before, guest.ram, sizeof(before));
	for (i = 0; i < GUEST_PAGES; i++) {
		atomic_store(&guest.dirty[i], false);
	}
}

/* Does the guest itself write there? To its half of the ring, and to the control page of the
 * other. */
static bool is_guests(uint32_t page)
{
	uint32_t i;

	for (i = 0; i <= channels[0].page_count / 2; i++) {
		if (channels[0].pages[i] == page) {
			return true;
		}
	}
	return false;
}

static bool is_ring(uint32_t page)
{
	uint32_t i;

	for (i = 0; i < channels[0].page_count; i++) {
		if (channels[0].pages[i] == page) {
			return true;
		}
	}
	return false;
}

/* Pages that changed were told, and of the pages that are no ring's only those in `expected`. */
static void expect_log(uint64_t expected)
{
	uint32_t i;

	for (i = 0; i < GUEST_PAGES; i++) {
		bool dirty = atomic_load(&guest.dirty[i]);
		bool may = i >= DATA && i < DATA + 64 && (expected >> (i - DATA) & 1);

		if (memcmp(before + i * VMBUS_PAGE_SIZE, guest_page(i), VMBUS_PAGE_SIZE) != 0) {
			assert_true(dirty || is_guests(i));
		}
		assert_true(is_ring(i) || dirty == may);
	}
}

static void test_written_pages_are_told(void **state)
{
	struct storvsp_packet inquiry =
		srb(0, (uint8_t[6]){0x12, 0, 0, 0, 36}, 6, STORVSP_DATA_IN, 8192);
	struct storvsp_packet beyond = block_srb(false, 40000, 8);
	uint32_t i;

	(void)state;
	memset(guest_page(DATA), 0xee, 64 * VMBUS_PAGE_SIZE);
	begin_log();
	direct(0, block_srb(false, 2, 10), (struct range){4096 + 1024, 512, {DATA + 3, DATA}});
	expect_log(1 << 3 | 1);
	begin_log();
	direct(0, block_srb(true, 2, 16), (struct range){8192, 0, {DATA + 5, DATA + 6}});
	expect_log(0);
	begin_log();
	assert_int_equal(direct(0, inquiry, (struct range){8192, 0, {DATA + 8, DATA + 9}}).status,
			 0);
	expect_log(1 << 8);
	begin_log();
	inquiry.srb.data_in = STORVSP_DATA_NONE; /* served all the same */
	assert_int_equal(direct(0, inquiry, (struct range){8192, 0, {DATA + 8, DATA + 9}}).status,
			 0);
	expect_log(1 << 8);
	begin_log();
	assert_int_not_equal(direct(0, beyond, (struct range){4096, 0, {DATA + 1}}).status, 0);
	expect_log(1 << 1); /* it might have been */
	for (i = 0; i < 300; i++) {
		uint32_t page = DATA + i * 7 % 32;

		begin_log();
		direct(0, block_srb(false, i * 13 % 2000, 1),
		       (struct range){512, i * 512 % 4096, {page}});
		expect_log(1ull << (page - DATA));
	}
}

/* Every request, of each kind of guest, is answered at its own size. */
static void test_request_sizes(void **state)
{
	static const uint32_t sizes[] = {STORVSP_SRB_BYTES_WIN6, STORVSP_SRB_BYTES_WIN7,
					 STORVSP_SRB_BYTES_WIN8};
	struct storvsp_packet packet = srb(0, (uint8_t[6]){0}, 6, STORVSP_DATA_NONE, 0), reply;
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		reply = exchange_bytes(0, packet, STORVSP_PACKET_HEAD_BYTES + sizes[i], 5);
		assert_int_equal(reply.status, 0);
		assert_int_equal(reply.srb.srb_status, STORVSP_SRB_SUCCESS);
	}
	reply = exchange_bytes(0, packet, 40, 5); /* too short for a request */
	assert_int_equal(reply.status, STORVSP_STATUS_INVALID_PARAMETER);
}

static void test_sense(void **state)
{
	struct storvsp_packet packet = block_srb(false, 40000, 0), reply;

	(void)state;
	packet.srb.data_transfer_length = 0;
	reply = exchange(0, packet);
	assert_int_equal(reply.status, STORVSP_STATUS_IO_DEVICE_ERROR);
	assert_int_equal(reply.srb.srb_status, STORVSP_SRB_ERROR | STORVSP_SRB_SENSE_VALID);
	assert_int_equal(reply.srb.scsi_status, 2);
	assert_int_equal(reply.srb.sense_length, SCSI_SENSE_BYTES);
	assert_int_equal(reply.srb.sense[2], 5);
	assert_int_equal(reply.srb.sense[12], 0x21);
	packet.srb.sense_length = 0;
	reply = exchange(0, packet);
	assert_int_equal(reply.srb.srb_status, STORVSP_SRB_ERROR);
	assert_int_equal(reply.srb.sense_length, 0);
	packet.srb.sense_length = 255;
	assert_int_equal(exchange(0, packet).srb.sense_length, SCSI_SENSE_BYTES);
}

static void test_no_lun(void **state)
{
	struct storvsp_packet packet = srb(63, (uint8_t[6]){0}, 6, STORVSP_DATA_NONE, 0),
			      reply = exchange(0, packet);

	(void)state;
	assert_int_equal(reply.srb.srb_status, STORVSP_SRB_INVALID_LUN);
	assert_int_equal(reply.status, STORVSP_STATUS_NO_SUCH_DEVICE);
	packet.srb.path = packet.srb.target = packet.srb.lun = 255;
	assert_int_equal(exchange(0, packet).srb.srb_status, STORVSP_SRB_INVALID_LUN);
}

static void test_bad_requests(void **state)
{
	struct storvsp_packet packet = block_srb(false, 0, 8);
	struct range whole = {4096, 0, {DATA}}, half = {2048, 0, {DATA}},
		     beyond = {4096, 0, {GUEST_PAGES}};
	struct range edge = {8192, 0, {DATA, 1ull << 51}}, two[2] = {half, half};

	(void)state;
	expect_refused(direct(0, packet, half));
	expect_refused(direct(0, packet, beyond));
	packet = block_srb(false, 0, 16);
	expect_refused(direct(0, packet, edge));
	packet = block_srb(false, 0, 8);
	send_direct(0, 78, &packet, two, 2);
	expect_refused(finish(0, 78));
	expect_refused(exchange(0, packet)); /* data, and no place for it */
	packet.srb.cdb_length = 17;
	expect_refused(direct(0, packet, whole));
	packet.srb.cdb_length = 0;
	expect_refused(direct(0, packet, whole));
	packet.srb.cdb_length = 10;
	packet.srb.data_in = 3;
	expect_refused(direct(0, packet, whole));
	packet.srb.data_in = STORVSP_DATA_IN;
	packet.srb.data_transfer_length = UINT32_MAX;
	expect_refused(direct(0, packet, whole));
	packet.srb.data_transfer_length = 4096;
	assert_int_equal(direct(0, packet, whole).status, 0); /* and it goes on */
	assert_memory_equal(guest_page(DATA), content, 4096);
}

/*
 * More requests than the queue takes and more answers than the ring holds: all of them come, in any
 * order.
 */
static void test_many_at_once(void **state)
{
	enum { COUNT = 600, SLOTS = 40 };
	bool busy[SLOTS] = {false};
	unsigned lbas[SLOTS] = {0}, sent = 0, done = 0, blocks = SIZE / 512;
	struct guest_packet answer;

	(void)state;
	while (done < COUNT) {
		unsigned slot = sent % SLOTS;

		if (sent < COUNT && !busy[slot] && sent - done < SLOTS) {
			struct storvsp_packet packet =
				block_srb(false, sent * 37 % (blocks - 8), 8);
			uint64_t list[3] = {1ull << 32, 4096, DATA + slot};

			if (guest_send(&channels[0], VM_PKT_DATA_USING_GPA_DIRECT, slot + 1, 1,
				       list, sizeof(list), &packet, sizeof(packet))) {
				lbas[slot] = sent * 37 % (blocks - 8);
				busy[slot] = true;
				sent++;
				continue; /* answers pile up until the ring to the VSP is full */
			}
		}
		receive(0, &answer);
		slot = (unsigned)answer.descriptor.trans_id - 1;
		assert_true(slot < SLOTS && busy[slot]);
		assert_memory_equal(guest_page(DATA + slot), content + lbas[slot] * 512, 4096);
		busy[slot] = false;
		done++;
	}
}

static unsigned resident_pages(const struct storage_queue *queue)
{
	uintptr_t from = (uintptr_t)queue->pool & ~(uintptr_t)4095;
	size_t pages = ((uintptr_t)&queue->pool[256] - from) / 4096, i;
	unsigned char in_memory[512];
	unsigned count = 0;

	assert_true(pages <= sizeof(in_memory));
	assert_int_equal(mincore((void *)from, pages * 4096, in_memory), 0);
	for (i = 0; i < pages; i++) {
		count += in_memory[i] & 1;
	}
	return count;
}

static void take_and_free(struct storage_queue *queue, unsigned count)
{
	struct storage_io *ios[256];
	unsigned i;

	for (i = 0; i < count; i++) {
		assert_true(storvsp_has_io(queue));
		ios[i] = storvsp_take_io(queue);
		assert_ptr_equal(ios[i]->queue, queue);
		assert_ptr_equal(storvsp_io_of(&ios[i]->answer), ios[i]);
		ios[i]->queue = queue;
		memset(ios[i]->iov, 1, sizeof(ios[i]->iov));
	}
	for (i = 0; i < count; i++) {
		storvsp_free_io(ios[i]);
	}
}

/* What a burst has taken of the pool goes back when there was none for a while, and only then. */
static void test_memory_of_a_burst(void **state)
{
	struct storage_queue *queue;
	unsigned few, i;

	(void)state;
	storage_destroy(&storage);
	guest_destroy();
	disk_close(&disk, NULL);
	create(256, 1);
	assert_int_equal(storvsp_queue_create(storage, 0, &queue), 0);
	take_and_free(queue, 8);
	few = resident_pages(queue);
	take_and_free(queue, 256);
	assert_true(resident_pages(queue) > 300);
	for (i = 0; i < 60; i++) {
		take_and_free(queue, 8);
	}
	assert_true(resident_pages(queue) > 300);
	take_and_free(queue, 200);
	for (i = 0; i < 70; i++) {
		take_and_free(queue, 8);
	}
	assert_in_range(resident_pages(queue), 1, 4 * few);
	take_and_free(queue, 256);
	storvsp_queue_free(queue);
}

static void create_sub_channels(uint16_t count)
{
	struct storvsp_packet packet = {.operation = STORVSP_CREATE_SUB_CHANNELS,
					.sub_channel_count = count};
	uint32_t relids[CHANNELS] = {0};
	unsigned i;

	assert_int_equal(exchange(0, packet).status, 0);
	for (i = 1; i <= count; i++) {
		const struct vmbus_channel_offer_channel *offer;

		while ((offer = guest_take(CHANNELMSG_OFFERCHANNEL)) == NULL) {
			guest_wait();
		}
		assert_in_range(offer->offer.sub_channel_index, 1, count);
		assert_int_equal(relids[offer->offer.sub_channel_index], 0);
		relids[offer->offer.sub_channel_index] = offer->child_relid;
	}
	for (i = 1; i <= count; i++) {
		open_channel(i, relids[i]);
	}
}

static void test_sub_channels(void **state)
{
	struct storvsp_packet packet = {.operation = STORVSP_CREATE_SUB_CHANNELS,
					.sub_channel_count = CHANNELS};
	struct storage_stats stats;
	unsigned i;

	(void)state;
	assert_int_equal(exchange(0, packet).status, STORVSP_STATUS_INVALID_PARAMETER);
	packet.sub_channel_count = 0;
	assert_int_equal(exchange(0, packet).status, STORVSP_STATUS_INVALID_PARAMETER);
	create_sub_channels(CHANNELS - 1);
	assert_int_equal(say(STORVSP_CREATE_SUB_CHANNELS), STORVSP_STATUS_INVALID_PARAMETER);
	for (i = 0; i < CHANNELS; i++) {
		struct storvsp_packet read = block_srb(false, 8 * i, 8);
		struct range range = {4096, 0, {DATA + i}};

		send_direct(i, 9, &read, &range, 1);
	}
	for (i = 0; i < CHANNELS; i++) {
		assert_int_equal(finish(i, 9).status, 0);
		assert_memory_equal(guest_page(DATA + i), content + 4096 * i, 4096);
	}
	packet.operation = STORVSP_BEGIN_INITIALIZATION;
	assert_int_equal(exchange(1, packet).status, STORVSP_STATUS_INVALID_STATE);
	storage_get_stats(storage, &stats);
	assert_int_equal(stats.channels_open, CHANNELS);
	assert_int_equal(stats.reads, CHANNELS);
	assert_int_equal(stats.bytes_read, CHANNELS * 4096);
}

static void wait_for_open(unsigned count)
{
	struct storage_stats stats;

	do {
		guest_wait();
		storage_get_stats(storage, &stats);
	} while (stats.channels_open != count);
}

/* The primary channel takes its sub-channels along; the guest can have them again. */
static void test_close_and_open_again(void **state)
{
	struct vmbus_channel_relid released = {.header.msgtype = CHANNELMSG_RELID_RELEASED};
	unsigned i;

	(void)state;
	create_sub_channels(CHANNELS - 1);
	close_primary();
	wait_for_open(0);
	for (i = 1; i < CHANNELS; i++) {
		released.child_relid = channels[i].relid;
		guest_post(&released, sizeof(released));
	}
	while (guest_take(CHANNELMSG_RESCIND_CHANNELOFFER) != NULL) {
	}
	open_channel(0, relid);
	initialize(STORVSP_VERSION_WIN8_1);
	create_sub_channels(2);
	take_attention(2, 0);
	assert_int_equal(direct(2, block_srb(false, 0, 8), (struct range){4096, 0, {DATA}}).status,
			 0);
}

static void test_guest_starts_anew(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 5; i++) {
		struct storvsp_packet packet = block_srb(true, 8, 8);
		struct range range = {4096, 0, {DATA}};

		create_sub_channels(2);
		send_direct(1, 3, &packet, &range, 1); /* and nobody waits for it */
		start_anew();
		connect();
		initialize(STORVSP_VERSION_WIN10);
		take_attention(0, 0);
		assert_int_equal(direct(0, block_srb(false, 0, 8), range).status, 0);
	}
}

static void expect_announcement(void)
{
	struct guest_packet packet;

	assert_int_equal(receive(0, &packet)->operation, STORVSP_ENUMERATE_BUS);
	assert_int_equal(packet.descriptor.type, VM_PKT_DATA_INBAND);
	assert_int_equal(packet.descriptor.trans_id, 0);
	assert_int_equal(packet.descriptor.flags, 0);
}

static void test_hot_plug(void **state)
{
	struct disk *second = open_file(path, 8192);
	struct storvsp_packet packet = srb(5, (uint8_t[10]){0x25}, 10, STORVSP_DATA_IN, 8);
	struct range range = {8, 0, {DATA}};

	(void)state;
	attach(lun5, second);
	expect_announcement();
	take_attention(0, 5);
	assert_int_equal(direct(0, packet, range).status, 0);
	assert_memory_equal(guest_page(DATA), ((uint8_t[]){0, 0, 0, 15, 0, 0, 2, 0}), 8);
	assert_int_equal(storage_detach(storage, lun5), 0);
	disk_close(&second, NULL);
	expect_announcement();
	assert_int_equal(direct(0, packet, range).srb.srb_status, STORVSP_SRB_INVALID_LUN);
	assert_int_equal(storage_detach(storage, lun5), -ENOENT);
}

/*
 * What is attached before the guest looks for itself needs no message, nor can an old guest have
 * one.
 */
static void test_no_announcement(void **state)
{
	struct guest_packet packet;

	(void)state;
	connect();
	initialize(STORVSP_VERSION_WIN6);
	take_attention(0, 0);
	assert_int_equal(storage_detach(storage, lun0), 0);
	assert_int_equal(exchange(0, block_srb(false, 0, 0)).srb.srb_status,
			 STORVSP_SRB_INVALID_LUN);
	assert_false(guest_receive(&channels[0], &packet));
}

static void test_resets(void **state)
{
	static const uint32_t kinds[] = {STORVSP_RESET_BUS, STORVSP_RESET_LUN,
					 STORVSP_RESET_ADAPTER};
	struct range range = {4096, 0, {DATA}};
	unsigned i, answers;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct storvsp_packet packet = block_srb(true, 0, 8),
				      reset = {.operation = kinds[i], .flags = 1};
		struct guest_packet answer;
		bool was_reset = false;

		send_direct(0, 1, &packet, &range, 1);
		assert_true(guest_send(&channels[0], VM_PKT_DATA_INBAND, RESET_ID, 1, NULL, 0,
				       &reset, sizeof(reset)));
		for (answers = 0; answers < 2;
		     answers++) { /* the write never ends after the reset */
			assert_int_equal(receive(0, &answer)->status, 0);
			assert_false(was_reset);
			was_reset = answer.descriptor.trans_id == RESET_ID;
		}
		assert_true(was_reset);
		packet = exchange(0, srb(0, (uint8_t[6]){0}, 6, STORVSP_DATA_NONE, 0));
		assert_int_equal(packet.srb.sense[12], 0x29);
	}
}

/* The VSP breaks the channel; a guest that closes it can have it again. */
static void expect_broken(void)
{
	struct storvsp_packet packet = srb(0, (uint8_t[6]){0}, 6, STORVSP_DATA_NONE, 0);

	wait_for_open(0);
	assert_true(guest.lines > 0);
	guest_send(&channels[0], VM_PKT_DATA_INBAND, 1, 1, NULL, 0, &packet, sizeof(packet));
	close_primary();
	open_channel(0, relid);
	initialize(STORVSP_VERSION_WIN10);
	take_attention(0, 0);
}

static void test_breaking(void **state)
{
	uint32_t operation = STORVSP_BEGIN_INITIALIZATION;
	uint64_t pages[2] = {1, 0};

	(void)state;
	guest_send(&channels[0], VM_PKT_DATA_INBAND, 1, 1, NULL, 0, &operation,
		   4); /* less than a head */
	expect_broken();
	guest_send(&channels[0], VM_PKT_COMP, 1, 0, NULL, 0, pages, 16);
	expect_broken();
	guest_send(&channels[0], VM_PKT_DATA_INBAND, 1, 0, NULL, 0, pages,
		   16); /* wants no answer */
	expect_broken();
}

static void test_hold(void **state)
{
	struct range range = {4096, 0, {DATA}};
	struct storvsp_packet reply;

	(void)state;
	assert_int_equal(storage_hold(storage, lun0), 0);
	reply = direct(0, block_srb(false, 0, 8), range);
	assert_int_equal(reply.srb.srb_status, STORVSP_SRB_BUSY);
	assert_int_equal(reply.srb.scsi_status, SCSI_BUSY);
	assert_int_equal(storage_release(storage, lun0, disk), 0);
	take_attention(0, 0);
	assert_int_equal(direct(0, block_srb(false, 0, 8), range).status, 0);
}

/* The controller goes while requests are under way: the disk is free when destroy returns. */
static void test_destroy_under_load(void **state)
{
	struct storvsp_packet packet = block_srb(true, 0, 8);
	struct range range = {4096, 0, {DATA}};
	unsigned i;

	(void)state;
	for (i = 0; i < 20; i++) {
		send_direct(0, i + 1, &packet, &range, 1);
	}
	storage_destroy(&storage);
	disk_close(&disk, NULL);
	disk = open_file(path, 4096);
	while (guest_take(CHANNELMSG_RESCIND_CHANNELOFFER) == NULL) {
		guest_wait();
	}
}

static void test_ide(void **state)
{
	struct storage_config config = {
		.flavour = STORAGE_IDE, .ide = {1, 1, 0}, .channel_count = 4};
	const struct vmbus_channel_offer_channel *offer;
	static const struct vmbus_guid ide = VMBUS_GUID_IDE;
	struct vmbus_channel_message_header request = {.msgtype = CHANNELMSG_REQUESTOFFERS};
	struct storvsp_offer_data data;
	struct storvsp_packet packet;

	(void)state;
	storage_destroy(&storage);
	vmbus_serve(guest.bus);
	assert_int_equal(storage_create(guest.bus, &config, &storage), 0);
	assert_int_equal(storage_attach(storage, lun0,
					&(struct storage_unit){.kind = STORAGE_DISK, .disk = disk}),
			 -EINVAL);
	attach((struct storage_address){1, 1, 0}, disk);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	guest_post(&request, sizeof(request));
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_non_null(offer);
	assert_memory_equal(&offer->offer.if_type, &ide, 16);
	assert_memory_equal(&offer->offer.if_instance,
			    ((uint8_t[16]){1, 0, 0, 0, 1, 0, 0x99, 0x88}), 16);
	memcpy(&data, offer->offer.user_def, sizeof(data));
	assert_int_equal(data.path, 1);
	assert_int_equal(data.target, 1);
	assert_int_equal(data.flags, STORVSP_OFFER_EMULATED_IDE);
	relid = offer->child_relid;
	assert_non_null(guest_take(CHANNELMSG_ALLOFFERS_DELIVERED));
	open_channel(0, relid);
	initialize(STORVSP_VERSION_WIN10);
	packet = exchange(0, (struct storvsp_packet){.operation = STORVSP_CREATE_SUB_CHANNELS,
						     .sub_channel_count = 1});
	assert_int_equal(packet.status, STORVSP_STATUS_INVALID_PARAMETER);
	packet = srb(0, (uint8_t[6]){0}, 6, STORVSP_DATA_NONE, 0);
	packet.srb.target = 1; /* and the path is not named */
	exchange(0, packet);
	assert_int_equal(exchange(0, packet).status, 0);
	packet.srb.target = 0;
	assert_int_equal(exchange(0, packet).srb.srb_status, STORVSP_SRB_INVALID_LUN);
}

/* ---- requests that would take hours, and who wants them to end ---- */

enum { VERIFIES = 5 };

static struct disk *huge;

static int start_huge(void **state)
{
	int fd;

	start_ready(state);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(ftruncate(fd, 1ll << 40), 0);
	close(fd);
	assert_int_equal(
		disk_open(path, &(struct disk_open){.format = DISK_FORMAT_RAW}, &huge, NULL), 0);
	unlink(path);
	attach(lun5, huge);
	expect_announcement();
	take_attention(0, 5);
	return 0;
}

static int stop_huge(void **state)
{
	stop(state);
	disk_close(&huge, NULL);
	return 0;
}

static void send_verifies(unsigned channel)
{
	static const uint8_t cdb[16] = {0x8f, [10] = 0x7f, 0xff, 0xff, 0xff};
	struct storvsp_packet packet = srb(5, cdb, 16, STORVSP_DATA_NONE, 0);
	unsigned i;

	for (i = 0; i < VERIFIES; i++) {
		assert_true(guest_send(&channels[channel], VM_PKT_DATA_INBAND, i + 1, 1, NULL, 0,
				       &packet, sizeof(packet)));
	}
}

/* They are under way on return: a request behind them has been answered. */
static void begin_verifies(unsigned channel)
{
	send_verifies(channel);
	exchange(channel, srb(0, (uint8_t[6]){0}, 6, STORVSP_DATA_NONE, 0));
}

static void expect_ended_verifies(uint8_t srb_status)
{
	bool ended[VERIFIES] = {false};
	struct guest_packet answer;
	unsigned i;

	for (i = 0; i < VERIFIES; i++) {
		const struct storvsp_packet *in = receive(0, &answer);
		uint64_t id = answer.descriptor.trans_id;

		assert_int_equal(in->operation, STORVSP_COMPLETE_IO);
		assert_in_range(id, 1, VERIFIES);
		assert_false(ended[id - 1]);
		ended[id - 1] = true;
		assert_int_equal(in->srb.srb_status, srb_status);
	}
}

static void test_reset_ends_requests(void **state)
{
	static const uint32_t kinds[] = {STORVSP_RESET_BUS, STORVSP_RESET_LUN,
					 STORVSP_RESET_ADAPTER};
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct storvsp_packet reset = {.operation = kinds[i], .flags = 1, .srb.lun = 5};

		begin_verifies(0);
		assert_true(guest_send(&channels[0], VM_PKT_DATA_INBAND, RESET_ID, 1, NULL, 0,
				       &reset, sizeof(reset)));
		expect_ended_verifies(STORVSP_SRB_ABORTED);
		assert_int_equal(finish(0, RESET_ID).status, 0);
		take_attention(0, 5);
	}
}

static void test_hold_ends_requests(void **state)
{
	(void)state;
	begin_verifies(0);
	assert_int_equal(storage_hold(storage, lun5), 0);
	expect_ended_verifies(STORVSP_SRB_BUSY);
	assert_int_equal(storage_release(storage, lun5, huge), 0);
}

static void test_detach_ends_requests(void **state)
{
	(void)state;
	begin_verifies(0);
	assert_int_equal(storage_detach(storage, lun5), 0);
	expect_ended_verifies(STORVSP_SRB_INVALID_LUN);
	expect_announcement();
}

static void test_destroy_ends_requests(void **state)
{
	(void)state;
	begin_verifies(0);
	storage_destroy(&storage);
}

/* More than the channel has requests for: it does not look at its ring when the guest closes it. */
static void test_close_ends_requests(void **state)
{
	(void)state;
	begin_verifies(0);
	send_verifies(0);
	close_primary();
	open_channel(0, relid);
	initialize(STORVSP_VERSION_WIN10);
	take_attention(0, 0);
}

static void test_rescind_ends_requests(void **state)
{
	(void)state;
	create_sub_channels(2);
	begin_verifies(1);
	begin_verifies(2);
	close_primary();
	wait_for_open(0);
}

static void test_machine_reset_ends_requests(void **state)
{
	(void)state;
	create_sub_channels(1);
	begin_verifies(0);
	begin_verifies(1);
	start_anew();
	connect();
	initialize(STORVSP_VERSION_WIN10);
	take_attention(0, 0);
}

static void test_breaking_ends_requests(void **state)
{
	uint64_t nothing = 0;

	(void)state;
	begin_verifies(0);
	guest_send(&channels[0], VM_PKT_COMP, 1, 0, NULL, 0, &nothing, 8);
	expect_broken();
}

/* ---- another machine takes over ---- */

static uint8_t *saved;
static size_t saved_size;
static bool storage_is_loaded; /* if the rest was not, the machine is of no use */

static void save_device(struct state_writer *writer)
{
	storage_save(storage, writer);
}

static uint8_t *save(void)
{
	return guest_save(save_device, &saved_size);
}

/* The old machine goes without a word to its guest, and without a byte to its memory. */
static void end_machine(void)
{
	memcpy(before, guest.ram, sizeof(before));
	storage_destroy(&storage);
	guest_restart();
	assert_memory_equal(before, guest.ram, sizeof(before));
}

static void begin_machine(unsigned channel_count)
{
	struct storage_config config = {.flavour = STORAGE_SCSI,
					.instance = {1},
					.channel_count = channel_count,
					.depth = 8};

	assert_int_equal(storage_create(guest.bus, &config, &storage), 0);
	attach(lun0, disk);
	if (huge != NULL) {
		attach(lun5, huge);
	}
	storage_is_loaded = false;
	vmbus_pause(guest.bus);
}

static int load(const uint8_t *from, size_t size, struct state_fault *fault)
{
	struct state_reader all = state_reader(from, size, fault);
	int ret = storage_load(storage, &all);

	storage_is_loaded = ret == 0;
	if (ret == 0) {
		ret = vmbus_load(guest.bus, &all);
	}
	return ret;
}

static void migrate(void)
{
	struct state_fault fault;
	uint8_t *again;

	vmbus_pause(guest.bus);
	saved = save();
	end_machine();
	begin_machine(CHANNELS);
	assert_int_equal(load(saved, saved_size, &fault), 0);
	again = save();
	assert_memory_equal(saved, again, saved_size);
	free(saved);
	free(again);
	vmbus_resume(guest.bus);
}

static void test_migrate_at_rest(void **state)
{
	(void)state;
	create_sub_channels(2);
	migrate();
	assert_int_equal(direct(0, block_srb(false, 0, 8), (struct range){4096, 0, {DATA}}).status,
			 0);
	assert_memory_equal(guest_page(DATA), content, 4096);
	assert_int_equal(direct(2, block_srb(false, 8, 8), (struct range){4096, 0, {DATA}}).status,
			 0);
	assert_memory_equal(guest_page(DATA), content + 4096, 4096);
	close_primary();
	wait_for_open(0);
}

/* In each step of the handshake. */
static void test_migrate_in_the_handshake(void **state)
{
	(void)state;
	connect();
	migrate();
	assert_int_equal(say(STORVSP_BEGIN_INITIALIZATION), 0);
	migrate();
	assert_int_equal(ask_version(STORVSP_VERSION_WIN8), 0);
	migrate();
	assert_int_equal(say(STORVSP_QUERY_PROPERTIES), 0);
	migrate();
	assert_int_equal(say(STORVSP_END_INITIALIZATION), 0);
	migrate();
	create_sub_channels(1);
	migrate();
	take_attention(1, 0);
	assert_int_equal(direct(1, block_srb(false, 0, 8), (struct range){4096, 0, {DATA}}).status,
			 0);
}

enum { FLYING = 12, USED = 3 };

/* Requests on several channels, a pause at any of their steps: each is answered once, with its
 * data. */
static void test_migrate_under_way(void **state)
{
	struct guest_packet answer;
	unsigned turn, i, at;

	(void)state;
	create_sub_channels(USED - 1);
	for (turn = 0; turn < 60; turn++) {
		bool seen[USED][FLYING] = {{false}};

		for (i = 0; i < FLYING * USED; i++) {
			struct storvsp_packet packet =
				block_srb(false, (turn * 36 + i) % 255 * 8, 8);
			struct range range = {4096, 0, {DATA + i}};

			memset(guest_page(DATA + i), 0, 4096);
			send_direct(i % USED, i / USED + 1, &packet, &range, 1);
		}
		usleep(turn * 3);
		migrate();
		for (i = 0; i < FLYING * USED; i++) {
			const struct storvsp_packet *in = receive(i % USED, &answer);

			at = (unsigned)answer.descriptor.trans_id - 1;
			assert_true(at < FLYING && !seen[i % USED][at]);
			seen[i % USED][at] = true;
			assert_int_equal(in->status, 0);
			at = at * USED + i % USED;
			assert_memory_equal(guest_page(DATA + at),
					    content + (turn * 36 + at) % 255 * 4096, 4096);
		}
	}
	for (i = 0; i < USED; i++) {
		assert_false(guest_receive(&channels[i], &answer));
	}
}

/* Writes, which are on the disk once they are answered. */
static void test_migrate_while_writing(void **state)
{
	unsigned turn, i;

	(void)state;
	for (turn = 0; turn < 30; turn++) {
		struct guest_packet answer;

		for (i = 0; i < 6; i++) {
			struct storvsp_packet packet = block_srb(true, i * 8, 8);
			struct range range = {4096, 0, {DATA + i}};

			memset(guest_page(DATA + i), (int)(turn * 6 + i + 1), 4096);
			send_direct(0, i + 1, &packet, &range, 1);
		}
		usleep(turn * 5);
		migrate();
		for (i = 0; i < 6; i++) {
			assert_int_equal(receive(0, &answer)->status, 0);
		}
		assert_int_equal(disk_read(disk, before, 6 * 4096, 0), 0);
		for (i = 0; i < 6; i++) {
			assert_int_equal(before[i * 4096 + 4095], (uint8_t)(turn * 6 + i + 1));
		}
	}
}

/* The guest reads no answers: those that have no room go over, and the requests that nobody has
 * taken. */
static void test_migrate_without_room(void **state)
{
	struct storvsp_packet packet = srb(0, (uint8_t[6]){0}, 6, STORVSP_DATA_NONE, 0);
	unsigned sent = 0, idle, got;
	struct guest_packet answer;

	(void)state;
	for (idle = 0; idle < 20; idle++) {
		while (guest_send(&channels[0], VM_PKT_DATA_INBAND, sent + 1, 1, NULL, 0, &packet,
				  sizeof(packet))) {
			sent++;
			idle = 0;
		}
		usleep(1000);
	}
	for (got = 0; got < sent; got++) {
		if (got % 50 == 0) {
			migrate();
		}
		receive(0, &answer);
		assert_int_equal(answer.descriptor.trans_id, got + 1);
	}
	assert_false(guest_receive(&channels[0], &answer));
}

/* What would take hours is ended for a pause, and begins anew in the other machine; there it can be
 * ended as well. */
static void test_migrate_long_requests(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		begin_verifies(0);
		migrate();
		migrate(); /* even twice */
		assert_int_equal(storage_hold(storage, lun5), 0);
		expect_ended_verifies(STORVSP_SRB_BUSY);
		assert_int_equal(storage_release(storage, lun5, huge), 0);
		take_attention(0, 5);
	}
}

static void test_pause_long_requests(void **state)
{
	(void)state;
	begin_verifies(0);
	vmbus_pause(guest.bus);
	vmbus_resume(guest.bus);
	assert_int_equal(storage_detach(storage, lun5), 0);
	expect_ended_verifies(STORVSP_SRB_INVALID_LUN);
	expect_announcement();
}

/* Pauses that are over at once, most of them before the channel's thread has seen them: what they
 * put aside goes on all the same. */
static void test_pauses_that_nobody_sees(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 400; i++) {
		begin_verifies(0);
		usleep(i % 100);
		vmbus_begin_pause(guest.bus);
		usleep(i % 3);
		vmbus_resume(guest.bus);
		assert_int_equal(storage_hold(storage, lun5), 0);
		expect_ended_verifies(STORVSP_SRB_BUSY);
		assert_int_equal(storage_release(storage, lun5, huge), 0);
		take_attention(0, 5);
	}
}

/* In this machine or in the next: what was put aside ends with its channel. */
static void test_close_what_is_aside(void **state)
{
	(void)state;
	begin_verifies(0);
	vmbus_pause(guest.bus);
	vmbus_reset(guest.bus);
	vmbus_resume(guest.bus);
	guest.first = guest.count = 0;
	connect();
	initialize(STORVSP_VERSION_WIN10);
	take_attention(0, 0);
	take_attention(0, 5);
	begin_verifies(0);
	migrate();
	close_primary();
	wait_for_open(0);
}

/* A reset and what it waits for, on two channels: all are answered, and the reset after what came
 * before it. */
static void test_migrate_a_reset(void **state)
{
	unsigned turn, i;

	(void)state;
	create_sub_channels(1);
	for (turn = 0; turn < 20; turn++) {
		struct storvsp_packet reset = {.operation = STORVSP_RESET_BUS, .flags = 1};
		struct guest_packet answer;

		begin_verifies(1);
		assert_true(guest_send(&channels[0], VM_PKT_DATA_INBAND, RESET_ID, 1, NULL, 0,
				       &reset, sizeof(reset)));
		usleep(turn % 4 * 10);
		migrate();
		for (i = 0; i < VERIFIES; i++) {
			uint8_t status = receive(1, &answer)->srb.srb_status;

			assert_true(status == STORVSP_SRB_ABORTED || status == STORVSP_SRB_BUSY);
		}
		assert_int_equal(finish(0, RESET_ID).status, 0);
		take_attention(1, 5);
		take_attention(1, 0);
	}
}

/* What the guest has told a unit. */
static void test_migrate_a_unit(void **state)
{
	static const uint8_t cache_off[] = {0, 0, 0, 0, 0x08, 0x12, 0};
	struct storvsp_packet select =
		srb(0, (uint8_t[6]){0x15, 0x10, 0, 0, 24}, 6, STORVSP_DATA_OUT, 24);
	struct storvsp_packet sense =
		srb(0, (uint8_t[6]){0x1a, 0x08, 0x08, 0, 24}, 6, STORVSP_DATA_IN, 24);
	struct storvsp_packet enroll =
		srb(0, (uint8_t[10]){0x5f, 0, [8] = 24}, 10, STORVSP_DATA_OUT, 24);
	struct storvsp_packet reserve =
		srb(0, (uint8_t[10]){0x5f, 1, 1, [8] = 24}, 10, STORVSP_DATA_OUT, 24);
	struct storvsp_packet read =
		srb(0, (uint8_t[10]){0x5e, 1, [8] = 24}, 10, STORVSP_DATA_IN, 24);
	struct range range = {24, 0, {DATA}};

	(void)state;
	memset(guest_page(DATA), 0, 24);
	memcpy(guest_page(DATA), cache_off, sizeof(cache_off));
	assert_int_equal(direct(0, select, range).status, 0);
	memset(guest_page(DATA), 0, 24);
	guest_page(DATA)[15] = 77; /* the new key */
	assert_int_equal(direct(0, enroll, range).status, 0);
	guest_page(DATA)[7] = 77;
	assert_int_equal(direct(0, reserve, range).status, 0);
	migrate();
	assert_int_equal(direct(0, sense, range).status, 0);
	assert_int_equal(guest_page(DATA)[4], 0x08);
	assert_int_equal(guest_page(DATA)[6] & 4, 0); /* WCE */
	assert_int_equal(direct(0, read, range).status, 0);
	assert_int_equal(guest_page(DATA)[15], 77);
}

/* ---- states that are refused ---- */

static void expect_fault(size_t at, uint8_t to, const char *part, const char *what)
{
	uint8_t was = saved[at];
	struct state_fault fault;

	saved[at] = to;
	assert_int_equal(load(saved, saved_size, &fault), -EINVAL);
	assert_string_equal(fault.part, part);
	assert_non_null(strstr(fault.what, what));
	saved[at] = was;
}

static size_t place_of(const char *name)
{
	uint8_t *at = memmem(saved, saved_size, name, strlen(name));

	assert_non_null(at);
	return (size_t)(at - saved) + 16;
}

static void make_state(void)
{
	create_sub_channels(1);
	begin_verifies(1);
	vmbus_pause(guest.bus);
	saved = save();
	end_machine();
	begin_machine(CHANNELS);
}

static void test_refused_states(void **state)
{
	size_t storage_at, unit_at, queue_at, request_at;
	struct state_fault fault;

	(void)state;
	make_state();
	storage_at = place_of("storage");
	unit_at = place_of("unit");
	queue_at = place_of("queue");
	request_at = place_of("request");
	expect_fault(storage_at, 1, "storage", "another controller");
	expect_fault(storage_at + 1, 9, "storage", "another controller");
	expect_fault(storage_at + 19, 5, "storage", "a handshake that cannot be");
	expect_fault(storage_at + 20, 7, "storage", "a handshake that cannot be");
	expect_fault(storage_at + 22, 9, "storage", "sub-channels that cannot be");
	expect_fault(storage_at + 26, 3, "storage", "sub-channels that cannot be");
	expect_fault(unit_at + 2, 1, "storage", "other disks");
	expect_fault(unit_at + 3, 1, "storage", "other disks");
	expect_fault(unit_at + 4, 9, "storage", "other disks");
	expect_fault(unit_at + 20, 9, "storage", "another size");
	expect_fault(unit_at + 35, 255, "unit", "attentions that there are not");
	expect_fault(unit_at + 66, 2, "unit", "a reservation that nobody can hold");
	expect_fault(queue_at, 2, "queue", "is of a channel that is not offered");
	expect_fault(request_at, 2, "request", "a kind that its packet is not");
	expect_fault(request_at + 9, 9, "request", "no size that a packet has");
	assert_int_equal(storage_detach(storage, lun5), 0);
	assert_int_equal(load(saved, saved_size, &fault), -EINVAL);
	assert_non_null(strstr(fault.what, "other disks"));
	free(saved);
	vmbus_resume(guest.bus);
	guest.first = guest.count = 0;
	connect();
	initialize(STORVSP_VERSION_WIN10);
	take_attention(0, 0);
}

/*
 * Cut anywhere: refused. A bit of each third byte: refused, or loaded, and then all of it ends. A
 * machine takes its time to make; the fuzzers do more of it.
 */
static void test_damaged_states(void **state)
{
	struct state_fault fault;
	size_t i;

	(void)state;
	make_state();
	for (i = 0; i < saved_size; i += test_part() * (storage_is_loaded ? 29 : 1)) {
		if (storage_is_loaded) {
			end_machine();
			begin_machine(2);
		}
		assert_int_not_equal(load(saved, i, &fault), 0);
	}
	for (i = 0; i < saved_size; i += 3 * test_part()) {
		end_machine();
		guest.first = guest.count = 0;
		begin_machine(2);
		saved[i] ^= (uint8_t)(1 << i % 8);
		if (load(saved, saved_size, &fault) == 0) {
			vmbus_resume(guest.bus);
			vmbus_serve(guest.bus);
			vmbus_pause(guest.bus);
		}
		saved[i] ^= (uint8_t)(1 << i % 8);
	}
	free(saved);
	vmbus_resume(guest.bus);
}

static void test_bad_configurations(void **state)
{
	struct storage *made = NULL;
	struct storage_config config = {.flavour = STORAGE_SCSI, .instance = {1}};

	(void)state;
	assert_int_equal(storage_create(guest.bus, &config, &made), -EEXIST);
	config = (struct storage_config){.flavour = STORAGE_IDE, .ide = {2, 0, 0}};
	assert_int_equal(storage_create(guest.bus, &config, &made), -EINVAL);
	assert_null(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_versions, start, stop),
		cmocka_unit_test_setup_teardown(test_properties, start, stop),
		cmocka_unit_test_setup_teardown(test_more_vps_than_channels, start, stop),
		cmocka_unit_test_setup_teardown(test_order_of_the_handshake, start, stop),
		cmocka_unit_test_setup_teardown(test_data, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_written_pages_are_told, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_request_sizes, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_sense, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_no_lun, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_bad_requests, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_many_at_once, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_memory_of_a_burst, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_sub_channels, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_close_and_open_again, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_guest_starts_anew, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_hot_plug, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_no_announcement, start, stop),
		cmocka_unit_test_setup_teardown(test_resets, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_breaking, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_hold, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_destroy_under_load, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_ide, start, stop),
		cmocka_unit_test_setup_teardown(test_bad_configurations, start, stop),
		cmocka_unit_test_setup_teardown(test_migrate_at_rest, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_migrate_in_the_handshake, start, stop),
		cmocka_unit_test_setup_teardown(test_migrate_under_way, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_migrate_while_writing, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_migrate_without_room, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_migrate_a_unit, start_ready, stop),
		cmocka_unit_test_setup_teardown(test_migrate_long_requests, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_pause_long_requests, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_pauses_that_nobody_sees, start_huge,
						stop_huge),
		cmocka_unit_test_setup_teardown(test_close_what_is_aside, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_migrate_a_reset, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_refused_states, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_damaged_states, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_reset_ends_requests, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_hold_ends_requests, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_detach_ends_requests, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_destroy_ends_requests, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_close_ends_requests, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_rescind_ends_requests, start_huge, stop_huge),
		cmocka_unit_test_setup_teardown(test_machine_reset_ends_requests, start_huge,
						stop_huge),
		cmocka_unit_test_setup_teardown(test_breaking_ends_requests, start_huge, stop_huge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
