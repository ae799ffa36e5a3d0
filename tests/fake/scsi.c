#include "tests/fake/scsi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECES 40u

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

static void must(bool condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "the bench: %s\n", what);
		abort();
	}
}

void bench_create(struct bench *bench)
{
	memset(bench, 0, sizeof(*bench));
	must(!scsi_bus_create(&bench->bus), "no bus");
	must(!disk_queue_create(16, &bench->queue, NULL), "no queue");
}

void bench_destroy(struct bench *bench)
{
	disk_queue_destroy(&bench->queue);
	scsi_bus_destroy(&bench->bus);
}

struct disk *bench_disk(const char *path, uint64_t size, uint32_t sector, uint32_t physical,
			unsigned flags)
{
	struct disk_create how = {.type = DISK_DYNAMIC,
				  .size = size,
				  .block_size = strstr(path, ".vhdx") != NULL ? 1u << 20 : 0,
				  .sector_size = sector,
				  .physical_size = physical};
	struct disk_open open = {.flags = flags};
	struct disk_error error = {0};
	struct disk *disk = NULL;

	if (strstr(path, ".iso") != NULL) {
		how.type = DISK_FIXED;
	}
	must(!disk_create(path, &how, &error), error.text);
	must(!disk_open(path, &open, &disk, &error), error.text);
	return disk;
}

void bench_attach(struct bench *bench, unsigned lun, enum storage_kind kind, struct disk *disk,
		  bool write_through)
{
	struct storage_unit unit = {.kind = kind, .disk = disk, .write_through = write_through};
	unsigned i;

	for (i = 0; i < sizeof(unit.id); i++) {
		unit.id[i] = (uint8_t)(0x11 * i + lun);
	}
	must(!scsi_bus_attach(bench->bus, (struct storage_address){0, 0, (uint8_t)lun}, &unit),
	     "cannot attach");
	RUN(bench, lun, SCSI_NO_DATA, NULL, 0, 0x00, 0, 0, 0, 0, 0);
}

static bool is_done;

static void done(struct scsi_request *request)
{
	must(!is_done, "completed twice");
	(void)request;
	is_done = true;
}

/* In pieces of rising size, the last one takes the rest; one of them is empty. */
static unsigned scatter(struct iovec *iov, uint8_t *data, uint32_t length)
{
	unsigned count = 0;
	uint32_t at = 0;

	while (at < length && count < PIECES - 1) {
		uint32_t n = count == 1 ? 0 : 7 + 97 * count * count;

		n = n < length - at ? n : length - at;
		iov[count++] = (struct iovec){data + at, n};
		at += n;
	}
	iov[count++] = (struct iovec){data + at, length - at};
	return count;
}

enum scsi_status bench_run(struct bench *bench, unsigned lun, const uint8_t *cdb,
			   unsigned cdb_length, enum scsi_direction direction, void *data,
			   uint32_t length)
{
	struct scsi_request *r = &bench->last;
	struct iovec iov[PIECES];

	memset(r, 0xa5, sizeof(*r)); /* nothing may rely on what was there */
	memset(r->cdb, 0, sizeof(r->cdb));
	memcpy(r->cdb, cdb, cdb_length);
	r->cdb_length = cdb_length;
	r->nexus = bench->nexus;
	r->direction = direction;
	r->data_length = length;
	r->iov = iov;
	r->iov_count = length ? scatter(iov, data, length) : 0;
	r->queue = bench->queue;
	r->done = done;
	r->cancelled = bench->cancelled;
	is_done = false;
	scsi_execute(bench->bus, (struct storage_address){0, 0, (uint8_t)lun}, r);
	while (!is_done) {
		disk_queue_wait(bench->queue);
	}
	return r->status;
}

unsigned bench_sense(const struct bench *bench)
{
	const struct scsi_request *r = &bench->last;

	if (!r->sense_length) {
		return 0;
	}
	must(r->sense_length == SCSI_SENSE_BYTES && (r->sense[0] & 0x7f) == 0x70,
	     "sense data of another form");
	return (unsigned)r->sense[2] << 16 | (unsigned)r->sense[12] << 8 | r->sense[13];
}
