/*
 * What the files of the VSP share: a controller, its open channels, a request on its way.
 */
#ifndef VSP_STORAGE_STORVSP_H
#define VSP_STORAGE_STORVSP_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmbus/vmbus.h"
#include "vsp/device.h"
#include "vsp/storvsp.h"
#include "vsp/storage/scsi.h"
#include "vsp/storage/storage.h"

#define STORAGE_CHANNELS_MAX VSP_CHANNELS_MAX
#define STORAGE_DEPTH        256u
#define REQUEST_IOVS         (SCSI_TRANSFER_MAX / VMBUS_PAGE_SIZE + 2)

/*
 * The guest's handshake on the primary channel; the names are those of what has been done.
 *
 *   NEW -BEGIN-> BEGUN -QUERY_PROTOCOL_VERSION-> VERSIONED -QUERY_PROPERTIES-> QUERIED -END-> READY
 *    ^                                                                                           |
 *    +------------------------------ the primary channel closes ---------------------------------+
 */
enum storage_state { STATE_NEW, STATE_BEGUN, STATE_VERSIONED, STATE_QUERIED, STATE_READY };

/* [I] immutable, [a] atomic, [P] the primary channel's thread */
struct storage {
	struct vsp_device channels;
	struct storage_config config; /* [I] */
	struct scsi_bus *scsi;        /* [I] */

	_Atomic enum storage_state state; /* [a] written by [P] */
	uint16_t version;                 /* [P] */
	unsigned sub_channels;            /* [P] asked for and offered */

	_Atomic unsigned requests; /* [a] SRBs under way, on all channels */
	_Atomic unsigned resets;   /* [a] that wait for these to end; new SRBs are BUSY meanwhile */
	_Atomic bool rescan;       /* [a] the guest is to be told that units have come or gone */

	_Atomic uint64_t count_requests, count_reads, count_writes, count_errors; /* [a] */
	_Atomic uint64_t bytes_read, bytes_written;                               /* [a] */

	/* [I] By channel, whoever serves it: made early, for a sandbox may forbid it later. */
	struct disk_queue *disks[STORAGE_CHANNELS_MAX];
};

/* What becomes of a request that was put aside. */
enum storage_again {
	AGAIN_ANSWER, /* it is answered, the answer is in the packet */
	AGAIN_SRB,    /* it begins anew */
	AGAIN_RESET,  /* it waits for the requests under way */
};

struct storage_io {
	struct scsi_request scsi;
	struct storage_queue *queue;
	struct storage_io *next;  /* in the free list, in that of resets, or aside */
	enum storage_again again; /* while it is aside */
	bool begins_anew;         /* a pause ended it between two steps */
	struct vsp_answer answer; /* with the packet's transaction and size from the beginning */
	struct storvsp_packet packet; /* the guest's, then the answer */
	struct vmbus_range range; /* of the data; acquired while the SCSI target has the request */
	uint64_t pages[REQUEST_IOVS];
	struct iovec iov[REQUEST_IOVS];
};

/* One open channel. All of it is its thread's. */
struct storage_queue {
	struct vsp_channel vsp; /* first, see vsp/device.h */
	struct storage *storage;
	unsigned index;
	struct disk_queue *disks;
	struct storage_io *pool, *free;
	unsigned fresh;       /* of the pool, from here on: neither taken nor in the free list */
	unsigned taken, most; /* of them, now and at most since none was */
	unsigned calm;        /* times that none was, with few in between */
	struct storage_io *resets;
	struct storage_io *aside, **aside_end; /* until the channel is resumed, in order */
	unsigned in_flight;                    /* requests that are in the SCSI target */
};

/* storvsp.c: the protocol. */
/* There is a free io. */
void storvsp_packet(struct storage_queue *queue, const struct vmbus_packet *packet);
void storvsp_finish_resets(struct storage_queue *queue);
/* A request that was put aside goes on as it says. */
void storvsp_go_on(struct storage_io *io);
bool storvsp_knows_version(uint16_t version);
unsigned storvsp_sub_channels_max(const struct storage *storage, uint16_t version);
bool storvsp_announce(struct storage_queue *queue); /* false: no room in the ring */
void storvsp_primary_closed(struct storage *storage);

/* storvsp_queue.c: what the channel's thread does. */
extern const struct vsp_device_class storvsp_channels;
bool storvsp_has_io(const struct storage_queue *queue);
struct storage_io *storvsp_take_io(struct storage_queue *queue);
void storvsp_free_io(struct storage_io *io);
void storvsp_answer(struct storage_io *io); /* sends the packet; then the io is free */
struct storage_io *storvsp_io_of(const struct vsp_answer *answer);
/* An SRB that is put aside is under way still (storage.requests). */
void storvsp_put_aside(struct storage_io *io, enum storage_again again);
void storvsp_srb_ended(struct storage *storage); /* one less of those */
/* Without a channel. -ENOMEM. */
int storvsp_queue_create(struct storage *storage, unsigned index, struct storage_queue **queue);
void storvsp_queue_free(struct storage_queue *queue); /* NULL is fine; none that was opened */

/* storage.c */
int storvsp_offer(struct storage *storage, unsigned index);
void storvsp_ended(void *storage); /* the channels have come to their end */

#endif
