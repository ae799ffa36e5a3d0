/*
 * A SCSI target with no transport in it: a bus, and on it disks and DVD drives that are served from
 * disk handles.
 *
 * A request is carried out by scsi_execute on the caller's thread as far as that needs no I/O. What
 * needs I/O goes through the request's disk_queue and ends in disk_queue_poll on the same thread.
 * So `done` is called either inside scsi_execute or inside disk_queue_poll, once, in any order of
 * the requests.
 *
 * Threads: any number of threads may execute requests, each with a queue of its own. The calls that
 * change the bus may come from any thread that executes none: detach, hold, change_medium and
 * release wait until the I/O of requests under way has ended. A command of many steps (VERIFY,
 * UNMAP, WRITE SAME) ends before its next one then, with BUSY, or as one to a unit that is not
 * there.
 *
 * What a command does to data:
 *  - a completed write is durable when it had FUA, when the write cache is off, or after
 *    SYNCHRONIZE CACHE is completed;
 *  - a read with FUA comes after a flush;
 *  - UNMAP, and WRITE SAME with UNMAP and a block of zeros, free the blocks, which then read as
 *    zeros.
 */
#ifndef VSP_STORAGE_SCSI_H
#define VSP_STORAGE_SCSI_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "disk/disk.h"
#include "lib/state.h"
#include "vsp/storage/storage.h"

struct scsi_bus;
struct scsi_unit;

#define SCSI_CDB_BYTES    16u
#define SCSI_SENSE_BYTES  18u        /* fixed format */
#define SCSI_NEXUS_COUNT  8u         /* initiators that a unit tells apart */
#define SCSI_TRANSFER_MAX (1u << 20) /* bytes in one READ or WRITE, as page B0h says */

enum scsi_status {
	SCSI_GOOD = 0x00,
	SCSI_CHECK_CONDITION = 0x02,
	SCSI_BUSY = 0x08,
	SCSI_RESERVATION_CONFLICT = 0x18,
	SCSI_TASK_ABORTED = 0x40,
};

enum scsi_direction { SCSI_NO_DATA, SCSI_DATA_OUT, SCSI_DATA_IN };

struct scsi_request {
	/* The caller's; left alone by it until `done`. */
	uint8_t cdb[SCSI_CDB_BYTES];
	unsigned cdb_length;
	unsigned nexus; /* below SCSI_NEXUS_COUNT */
	enum scsi_direction direction;
	uint32_t data_length;
	struct iovec *iov; /* data_length bytes or more; the entries are changed on the way */
	unsigned iov_count;
	struct disk_queue *queue;
	void (*done)(struct scsi_request *request);
	/*
	 * Asked before each disk operation, on the thread that executes; true: the request ends
	 * with TASK ABORTED. NULL: it is never cancelled. One operation moves 1 MiB at most, or
	 * frees 64 MiB or one block of the disk's file.
	 */
	bool (*cancelled)(const struct scsi_request *request);
	void *user;

	/* The result. */
	enum scsi_status status;
	bool no_unit; /* with CHECK CONDITION and no sense: nothing is at that address */
	unsigned sense_length;
	uint8_t sense[SCSI_SENSE_BYTES];
	uint32_t transferred;

	struct { /* the target's */
		struct scsi_bus *bus;
		struct scsi_unit *unit;
		struct disk_req io;
		void (*then)(struct scsi_request *request);
		struct scsi_scratch *scratch;
		uint64_t offset, length; /* what is left, in bytes */
		unsigned step, step_count;
	} p;
};

int scsi_bus_create(struct scsi_bus **bus);

/* No request may be under way. Disks stay open. */
void scsi_bus_destroy(struct scsi_bus **bus);

/* As in storage.h. */
int scsi_bus_attach(struct scsi_bus *bus, struct storage_address address,
		    const struct storage_unit *unit);
int scsi_bus_detach(struct scsi_bus *bus, struct storage_address address);
void scsi_bus_detach_all(struct scsi_bus *bus);
int scsi_bus_change_medium(struct scsi_bus *bus, struct storage_address address, struct disk *disk,
			   bool force);
int scsi_bus_hold(struct scsi_bus *bus, struct storage_address address);
int scsi_bus_release(struct scsi_bus *bus, struct storage_address address, struct disk *disk);

void scsi_execute(struct scsi_bus *bus, struct storage_address address,
		  struct scsi_request *request);

/* ---- saved states: scsi_state.c ---- */

struct scsi_saved_unit {
	struct storage_address address;
	enum storage_kind kind;
	uint8_t id[16];
	uint64_t blocks;
	uint32_t block_size;
	bool stopped, write_cache;
	uint32_t attention[SCSI_NEXUS_COUNT];
	int reserved; /* enum scsi_reservation */
	uint32_t holder, generation;
	uint64_t keys[SCSI_NEXUS_COUNT];
	bool tray_open, tray_locked;
	int media_event; /* enum scsi_media_event */
};

struct scsi_saved {
	unsigned count;
	struct scsi_saved_unit units[STORAGE_UNITS_MAX];
};

/* No request is under way, and nobody changes the bus. */
void scsi_bus_save(struct scsi_bus *bus, struct state_writer *writer);
/* The units that come next in the list; a fault of the state if they are not those of the bus.
 * Nothing is changed. */
void scsi_bus_read(struct scsi_bus *bus, struct state_reader *list, struct scsi_saved *saved);
void scsi_bus_set(struct scsi_bus *bus, const struct scsi_saved *saved); /* as it was read */

/*
 * Every unit forgets what a nexus told it, as after power-on (reservations stay), and says so with
 * a unit attention.
 */
void scsi_bus_reset(struct scsi_bus *bus);
void scsi_unit_at_reset(struct scsi_bus *bus, struct storage_address address);

#endif
