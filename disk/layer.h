/*
 * layer.c: a layer, which is one file of a chain, and what all formats share of it: locks, what is
 * durable, freed space, faults that a check finds.
 *
 * Field letters: [I] immutable after open, [L] layer.lock, [F] layer.flush_lock, [a] atomic. The
 * order of locks is in chain.h.
 */
#ifndef DISK_LAYER_H
#define DISK_LAYER_H

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"

#include <pthread.h>
#include <stdatomic.h>

enum extent_kind { EXTENT_DATA, EXTENT_ZERO, EXTENT_PARENT };

struct extent {
	enum extent_kind kind;
	unsigned epoch; /* DATA: to be given back with layer_io_end */
	uint64_t file_offset;
	uint64_t length;
};

struct span {
	uint64_t offset, length;
};

struct span_list {
	struct span *spans;
	size_t count, capacity;
	size_t fence; /* spans below it are not extended any more */
};

int span_add(struct span_list *list, uint64_t offset, uint64_t length);

/* Of the file: what the dropped entries of a report name. */
struct disk_places {
	struct span_list list;
};

struct format;
struct vhd;
struct vhdx;

struct layer {
	struct file file;
	const struct format *format; /* [I] */
	enum disk_type type;         /* [I] */
	bool writable;               /* [I] */
	bool locked;                 /* against other processes */
	uint64_t size;               /* changes only in a resize */
	uint32_t block_size;         /* [I] 0 for formats without blocks */
	uint32_t sector_size, physical_size;
	char *parent_path;   /* as found in the file, tried in this order, */
	char *parent_path_2; /* may be NULL */
	char parent_id[GUID_TEXT], parent_id_2[GUID_TEXT];

	pthread_mutex_t lock, flush_lock;
	/* The lock is held across a sync: do not wait for it on a fast path. */
	atomic_bool stalled;
	/*
	 * What of the tables is durable, by generations: "Flush" in docs/design/disk.md. Each only
	 * grows.
	 */
	_Atomic uint64_t open;    /* [L] written: changes made now belong to it */
	_Atomic uint64_t changed; /* [L] written: the youngest that has a change */
	_Atomic uint64_t durable; /* [F] written: it and all before it are durable */
	atomic_int failed;        /* invariant 10: the error that ended writing */
	unsigned epoch;           /* [L] 0 or 1 */
	atomic_uint in_flight[2];
	atomic_uint syncs;        /* of the ring, under way */
	struct span data;         /* [L] of the file, found to be data at some time */
	struct span_list freed;   /* [L] by changes that may not be durable */
	struct span_list waiting; /* [F] durably freed, their epoch not yet empty */
	unsigned waiting_epoch;   /* [F] */
	uint64_t reclaimable;     /* [L] bytes in both */

	union {
		struct vhd *vhd;
		struct vhdx *vhdx;
	};
	bool new_parent; /* it gets another one: what it says about the old need make no sense */
	struct disk_report *report; /* during a check: faults are noted and, in memory, healed */
};

/* Flags of layer_open besides those of disk_open. */
#define LAYER_NEW_PARENT (1u << 16)
#define LAYER_LOCKED     (1u << 17) /* by the caller; its parents are not */

int layer_open(const char *path, int fd, enum disk_format format, unsigned flags,
	       struct disk_report *report, struct layer **layer, struct disk_error *error);
int layer_close(struct layer **layer, struct disk_error *error);

/* Under layer.lock: the extent counts as in use until layer_io_end. */
void layer_io_begin(struct layer *layer, struct extent *extent);
void layer_io_end(struct layer *layer, const struct extent *extent);

/* Takes layer.lock; -EAGAIN instead of a long wait when !wait. */
int layer_lock(struct layer *layer, bool wait);
void layer_unlock(struct layer *layer);
int layer_fail(struct layer *layer, int code); /* invariant 10; returns code */
int layer_sync(struct layer *layer);           /* of the file, where that is all of a flush */

/* Under layer.lock: the tables in memory have changed. */
void layer_change(struct layer *layer);
/* A change of the tables is not durable: a flush needs more than a sync of the file. */
bool layer_is_dirty(const struct layer *layer);
/* Under both locks: the generation that is open ends here, with what is staged now. */
uint64_t layer_end_generation(struct layer *layer);
/* Under flush_lock: what was staged when the generation ended is durable. */
void layer_set_durable(struct layer *layer, uint64_t generation);
/*
 * Calls `flush` under flush_lock, unless a flush that began after this call has done its work
 * meanwhile.
 */
int layer_flush(struct layer *layer, int (*flush)(struct layer *layer));
/* Under layer.lock: space that is nobody's any more, once that is durable. */
int layer_free_space(struct layer *layer, uint64_t offset, uint64_t length);
/* Under layer.lock: so much waits for a flush that the file is better not made longer before. */
bool layer_should_reclaim(const struct layer *layer);

/* A finding during a check, otherwise an error of -EUCLEAN. Returns 0 when it was only noted. */
int layer_fault(struct layer *layer, struct disk_error *error, enum disk_severity severity,
		const char *format, ...) DISK_PRINTF(4, 5);
/*
 * The same for a table's entry that repair has to let go of: of the place in the file, and of the
 * disk's bytes, which are 0 if it is a table's own block.
 */
int layer_drop(struct layer *layer, struct disk_error *error, const char *what,
	       const struct span *file, const struct span *disk);
void report_add(struct disk_report *report, enum disk_severity severity, bool repaired,
		const char *text);

#endif
