/*
 * Hostile CDBs. The input is a list of commands for the units of a bus (a VHDX disk, a raw one that
 * is read-only, a drive with a disc, an empty one), several of them under way at once, with resets,
 * ejected and changed media between. Every command must be completed once, within its memory, with
 * a status that goes with its sense data.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/disk_fake.h"
#include "vsp/storage/scsi.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS      4u
#define DATA_BYTES 8192u
#define CDB_AREA   24u

struct slot {
	struct scsi_request request;
	unsigned cancel_at; /* this step, from 1 on; 0: none */
	struct iovec iov[3];
	uint8_t *data;
	uint32_t length;
	bool busy;
};

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

static struct slot slots[SLOTS];
static struct scsi_bus *bus;
static struct disk_queue *queue;
static struct disk *disk, *locked, *iso;

static void make(const char *path, enum disk_type type, uint64_t size)
{
	struct disk_create how = {
		.type = type, .size = size, .block_size = type == DISK_DYNAMIC ? 1 << 20 : 0};
	struct disk *made;

	if (disk_create(path, &how, NULL) || disk_open(path, NULL, &made, NULL)) {
		abort();
	}
	disk_write(made, "some data", 9, 5000);
	disk_close(&made, NULL);
}

static void attach(uint8_t lun, enum storage_kind kind, struct disk *with)
{
	struct storage_unit unit = {.kind = kind, .disk = with, .id = {lun}};

	if (scsi_bus_attach(bus, (struct storage_address){0, 0, lun}, &unit)) {
		abort();
	}
}

static bool is_cancelled(const struct scsi_request *r)
{
	struct slot *slot = r->user;

	return slot->cancel_at && !--slot->cancel_at;
}

static void done(struct scsi_request *r)
{
	struct slot *slot = r->user;
	bool fine =
		slot->busy && r->transferred <= slot->length && r->sense_length <= SCSI_SENSE_BYTES;

	fine = fine && (r->status == SCSI_GOOD || !r->transferred);
	fine = fine && (r->status == SCSI_CHECK_CONDITION) == (r->sense_length || r->no_unit);
	if (!fine) {
		abort();
	}
	free(slot->data); /* touched after this it is a fault */
	slot->data = NULL;
	slot->busy = false;
}

static void drain(void)
{
	unsigned i;

	for (i = 0; i < SLOTS; i++) {
		while (slots[i].busy) {
			disk_queue_poll(queue);
		}
	}
}

static const uint8_t opcodes[] = {0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25,
				  0x28, 0x2a, 0x2f, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4a, 0x51,
				  0x52, 0x55, 0x5a, 0x5e, 0x5f, 0x88, 0x8a, 0x8f, 0x91, 0x93,
				  0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xad, 0xaf, 0xbb, 0xbd};

/* Most of the CDBs are of a known command, and address blocks that are there. */
static void make_cdb(struct scsi_request *r, const uint8_t *in)
{
	memcpy(r->cdb, in, SCSI_CDB_BYTES);
	r->cdb_length = SCSI_CDB_BYTES;
	if (in[23] & 0x80) {
		r->cdb_length = in[16] % (SCSI_CDB_BYTES + 1);
		return;
	}
	r->cdb[0] = opcodes[in[0] % sizeof(opcodes)];
	if (!(in[23] & 0x40)) {
		r->cdb[2] = r->cdb[3] = r->cdb[6] = 0;
	}
	if (!(in[23] & 0x20)) {
		memset(r->cdb + 4, 0, 5);
		memset(r->cdb + 10, 0, 3);
	}
}

static void command(struct slot *slot, const uint8_t *in, const uint8_t *payload, size_t left)
{
	struct scsi_request *r = &slot->request;
	uint32_t length = ((uint32_t)in[20] | (uint32_t)in[21] << 8) % (DATA_BYTES + 1);

	memset(r, 0x5a, sizeof(*r));
	make_cdb(r, in);
	r->nexus = in[17] % 3;
	r->direction = (enum scsi_direction)(in[18] % 3);
	r->data_length = slot->length = length;
	slot->data = malloc(length + 1);
	memset(slot->data, 0, length);
	memcpy(slot->data, payload, left < length ? left : length);
	slot->iov[0] = (struct iovec){slot->data, length / 3};
	slot->iov[1] = (struct iovec){slot->data + length / 3, 0};
	slot->iov[2] = (struct iovec){slot->data + length / 3, length - length / 3};
	r->iov = slot->iov;
	r->iov_count = length ? 3 : 0;
	r->queue = queue;
	r->done = done;
	r->cancelled = is_cancelled;
	slot->cancel_at = in[18] >> 4;
	r->user = slot;
	slot->busy = true;
	scsi_execute(bus, (struct storage_address){0, 0, in[19] % 5}, r);
}

static void set_up(void)
{
	struct disk_open read_only = {.flags = DISK_READ_ONLY};
	unsigned i;

	if (disk == NULL) { /* what commands do to the contents stays: no check here looks at it */
		fake_reset(1);
		make("a.vhdx", DISK_DYNAMIC, 4 << 20);
		make("b.img", DISK_FIXED, 1 << 20);
		make("c.iso", DISK_FIXED, 20992);
		if (disk_queue_create(8, &queue, NULL) || disk_open("a.vhdx", NULL, &disk, NULL) ||
		    disk_open("b.img", &read_only, &locked, NULL) ||
		    disk_open("c.iso", &read_only, &iso, NULL)) {
			abort();
		}
	}
	if (scsi_bus_create(&bus)) {
		abort();
	}
	attach(0, STORAGE_DISK, disk);
	attach(1, STORAGE_DISK, locked);
	attach(2, STORAGE_DVD, iso);
	attach(3, STORAGE_DVD, NULL);
	for (i = 0; i < 4 * 3; i++) { /* the attentions of power-on */
		uint8_t in[CDB_AREA] = {[17] = (uint8_t)(i % 3), [19] = (uint8_t)(i / 3)};

		command(&slots[0], in, in, 0);
	}
}

static void act(uint8_t what)
{
	struct storage_address drive = {0, 0, 3};

	switch (what) {
	case 0:
		scsi_bus_reset(bus);
		break;
	case 1: /* changes wait for what is under way, and this is the thread that would end it */
		drain();
		scsi_bus_change_medium(bus, drive, iso, false);
		break;
	case 2:
		drain();
		scsi_bus_change_medium(bus, drive, NULL, true);
		break;
	case 3:
		drain();
		scsi_bus_hold(bus, (struct storage_address){0, 0, 0});
		break;
	case 4:
		drain();
		scsi_bus_release(bus, (struct storage_address){0, 0, 0}, disk);
		break;
	default:
		disk_queue_poll(queue);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned next = 0;

	set_up();
	while (size >= CDB_AREA) {
		struct slot *slot = &slots[next++ % SLOTS];

		while (slot->busy) {
			disk_queue_poll(queue);
		}
		act(data[22]);
		command(slot, data, data + CDB_AREA, size - CDB_AREA);
		size -= CDB_AREA;
		data += CDB_AREA;
		if ((data[-1] & 0x1f) < size) { /* the list goes on inside or behind the data */
			size -= data[-1] & 0x1f;
			data += data[-1] & 0x1f;
		}
	}
	drain();
	scsi_bus_destroy(&bus);
	return 0;
}
