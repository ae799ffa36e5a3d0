/*
 * chain.c, disk.c: a handle, which is a chain of layers; where a request goes in it.
 *
 * Lock order: disk.chain_lock, disk.merge_lock, disk.edge_lock, layer.flush_lock, layer.lock; a
 * child's before its parent's; then the leaves (queue lists).
 */
#ifndef DISK_CHAIN_H
#define DISK_CHAIN_H

#include "disk/disk.h"
#include "disk/layer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

struct helper;

#define DISK_LAYERS_MAX 256

/* changes.c */
struct changes {
	atomic_bool on;
	uint64_t place, count;   /* bytes of one, and how many there are; fixed while it is on */
	_Atomic uint64_t *noted; /* a bit each; kept until the handle is closed */
	_Atomic uint64_t left;   /* bits that are set */
};

struct disk {
	/* Top first; changed only with all helpers quiet. */
	struct layer *layers[DISK_LAYERS_MAX + 1];
	unsigned layer_count;
	struct layer **retired; /* left the chain online, kept for requests in flight */
	unsigned retired_count;
	bool read_only;
	/* The top is merged or mirrored, or about to change: writes take the slow path. */
	atomic_uint merging;
	uint64_t merged;             /* [merge_lock] below this offset writes go beside as well: */
	struct layer *merge_target;  /* [merge_lock] to the parent */
	struct disk *mirror;         /* [merge_lock] or, if there is one, to this copy */
	int merge_failed;            /* [merge_lock] it could not be written beside */
	pthread_mutex_t merge_lock;  /* one write or one block that is copied at a time */
	atomic_uint merge_waiting;   /* writes that want merge_lock */
	atomic_uint merge_turns;     /* ... and have had it */
	pthread_mutex_t edge_lock;   /* one unaligned write of a differencing disk at a time */
	pthread_rwlock_t chain_lock; /* slow path: read to use layers[], write to change it */
	atomic_uint async_users;
	struct changes changes;
	struct helper *helper;
	pthread_mutex_t helper_lock;
	struct disk_error error;
};

static inline struct layer *disk_top(const struct disk *disk)
{
	return disk->layers[0];
}

/* The extent and the layer that a read at offset comes from; kind is DATA or ZERO. */
int chain_map(struct disk *disk, unsigned first, uint64_t offset, uint64_t length, bool wait,
	      struct extent *extent, struct layer **layer);
int chain_read(struct disk *disk, unsigned first, struct iovec *iov, unsigned count,
	       uint64_t length, uint64_t offset);
/* iov is used up as it goes. */
int chain_write(struct disk *disk, struct iovec *iov, unsigned count, uint64_t length,
		uint64_t offset);
int chain_trim(struct disk *disk, uint64_t length, uint64_t offset);
/* Write or zero in one layer, without regard to a merge. */
int layer_write(struct disk *disk, struct layer *layer, unsigned index, struct iovec *iov,
		unsigned count, uint64_t length, uint64_t offset);
int layer_trim(struct disk *disk, struct layer *layer, unsigned index, uint64_t length,
	       uint64_t offset);
/*
 * No write is under way, and chain_lock is held for writing; from here on `merging` is set. Not on
 * a thread whose queue has requests in flight.
 */
void chain_stop(struct disk *disk);
bool write_needs_care(const struct layer *layer, uint64_t offset, uint64_t length);
/*
 * The first `length` bytes of iov as an array of at most `capacity`; returns how many bytes it
 * took.
 */
uint64_t iov_slice(const struct iovec *iov, unsigned count, uint64_t skip, uint64_t length,
		   struct iovec *out, unsigned capacity, unsigned *out_count);

/*
 * Where data begins and ends in the layer's file, at or after offset: what is known of the host's
 * holes.
 */
void layer_next_data(struct layer *layer, uint64_t offset, uint64_t *start, uint64_t *end);

/* merge.c: the same while the top is being merged into its parent, or mirrored */
int merge_write(struct disk *disk, struct iovec *iov, unsigned count, uint64_t length,
		uint64_t offset);
int merge_trim(struct disk *disk, uint64_t length, uint64_t offset);
/*
 * What a layer has goes elsewhere, by steps of at most a MiB under merge_lock, with a buffer of
 * that size; *done: so far it went. Between two steps come the writes that wait.
 */
typedef int merge_step(struct disk *disk, unsigned index, uint64_t offset, uint64_t length,
		       uint8_t *buffer, uint64_t *done);
int merge_steps(struct disk *disk, unsigned index, merge_step *range,
		const struct disk_progress *progress);
bool layer_is_in_use(struct layer *layer);

/* changes.c: what was asked has been done, or has failed in part. */
void changes_note_request(struct disk *disk, const struct disk_req *req);
static inline void changes_note(struct disk *disk, const struct disk_req *req)
{
	if (atomic_load(&disk->changes.on)) {
		changes_note_request(disk, req);
	}
}

int disk_check_request(const struct disk *disk, const struct disk_req *req);

/* Run a request to its end on this thread. */
int disk_run(struct disk *disk, struct disk_req *req);

#endif
