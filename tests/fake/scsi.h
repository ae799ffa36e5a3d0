/*
 * A SCSI bus with disks on the simulated host (tests/unit/disk_fake.h), and commands that are
 * waited for.
 */
#ifndef TESTS_FAKE_SCSI_H
#define TESTS_FAKE_SCSI_H

#include "disk/disk.h"
#include "vsp/storage/scsi.h"

struct bench {
	struct scsi_bus *bus;
	struct disk_queue *queue;
	unsigned nexus; /* of the commands to come */
	bool (*cancelled)(const struct scsi_request *request);
	struct scsi_request last;
};

void bench_create(struct bench *bench);
void bench_destroy(struct bench *bench);

/* A new disk image, opened. */
struct disk *bench_disk(const char *path, uint64_t size, uint32_t sector, uint32_t physical,
			unsigned flags);

/* At path 0, target 0. Takes the unit attention of power-on away. */
void bench_attach(struct bench *bench, unsigned lun, enum storage_kind kind, struct disk *disk,
		  bool write_through);

/*
 * Carries out a CDB, in pieces of odd sizes if there is data. Returns the status; the rest is in
 * bench->last.
 */
enum scsi_status bench_run(struct bench *bench, unsigned lun, const uint8_t *cdb,
			   unsigned cdb_length, enum scsi_direction direction, void *data,
			   uint32_t length);

/* key << 16 | code << 8 | qualifier of the last command's sense data; 0: there was none. */
unsigned bench_sense(const struct bench *bench);

#define CDB(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define RUN(bench, lun, direction, data, length, ...)                                              \
	bench_run(bench, lun, CDB(__VA_ARGS__), direction, data, length)

/* The fields of a CDB. */
#define B2(v) (uint8_t)((v) >> 8), (uint8_t)(v)
#define B4(v) (uint8_t)((v) >> 24), (uint8_t)((v) >> 16), B2(v)
#define B8(v) B4((uint64_t)(v) >> 32), B4((uint32_t)(v))

#endif
