/*
 * What the files of the disk library share: a host file, a layer (one file of a chain), the format
 * table, the ring.
 *
 * Lock order: disk.chain_lock, disk.merge_lock, disk.edge_lock, layer.flush_lock, layer.lock; a
 * child's before its parent's; then the leaves (queue lists). Field letters: [I] immutable after
 * open, [L] layer.lock, [F] layer.flush_lock, [a] atomic.
 */
#ifndef DISK_INTERNAL_H
#define DISK_INTERNAL_H

#include "disk/disk.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#define DISK_KIB (1ull << 10)
#define DISK_MIB (1ull << 20)
#define DISK_GIB (1ull << 30)
#define DISK_TIB (1ull << 40)

#define DISK_PAGE 4096u /* unit of the tables that are cached and logged */

#define DISK_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define DISK_PRINTF(f, a) __attribute__((format(printf, f, a)))

static inline uint64_t round_down(uint64_t v, uint64_t unit)
{
	return v - v % unit;
}

static inline uint64_t round_up(uint64_t v, uint64_t unit)
{
	return round_down(v + unit - 1, unit);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline bool is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* -- error.c -- */

/* Fills *error (if any) and returns code. */
int error_set(struct disk_error *error, int code, const char *format, ...) DISK_PRINTF(3, 4);

/* -- bytes.c: identities, checksums, text -- */

struct guid {
	uint8_t bytes[16]; /* as in the file: first three parts little-endian */
};

#define GUID_TEXT 37

void guid_random(struct guid *guid);
void guid_print(const struct guid *guid, char text[GUID_TEXT]);
void guid_print_be(const uint8_t bytes[16], char text[GUID_TEXT]); /* VHD: plain byte order */
int guid_parse(const char *text, struct guid *guid);               /* with or without braces */
bool guid_is_zero(const struct guid *guid);

uint32_t crc32c(uint32_t crc, const void *data, size_t length); /* start with 0; may be continued */
bool is_all_zero(const void *data, size_t length);

/*
 * UTF-16 of n units to UTF-8; -EILSEQ when ill-formed, -ENAMETOOLONG when out (of `size` bytes) is
 * too small.
 */
int utf16_to_utf8(const uint8_t *in, size_t units, bool big_endian, char *out, size_t size);

/* Returns the number of bytes written, or -EILSEQ, -ENAMETOOLONG. */
int utf8_to_utf16(const char *in, bool big_endian, uint8_t *out, size_t size);

/* -- file.c: a host file; the simulated disk of the tests has the same names -- */

struct file {
	int fd;
	int direct_fd;         /* -1, or the same file past the page cache, for the ring */
	unsigned direct_align; /* what that wants of memory, offsets and lengths */
	bool writable;
	bool is_device; /* its size is given, and it does not start as zeros */
	char *path;
	uint64_t size; /* [L] of its layer, once open */
};

int file_open(struct file *file, const char *path, bool writable, struct disk_error *error);
int file_adopt(struct file *file, int fd, const char *path, bool writable,
	       struct disk_error *error);
int file_create(struct file *file, const char *path, bool replace, bool lock,
		struct disk_error *error);
void file_close(struct file *file);
int file_open_direct(struct file *file, struct disk_error *error);
/* The descriptor for this data: the direct one where everything is aligned for it. */
int file_data_fd(const struct file *file, const struct iovec *iov, unsigned count, uint64_t offset);
/*
 * Refuses (-EBUSY) when somebody writes, or, for a writer, uses the file. Understood by QEMU's
 * tools.
 */
int file_lock(struct file *file, bool writable, struct disk_error *error);
void file_unlock(struct file *file);
int file_read(struct file *file, void *buffer, size_t length,
	      uint64_t offset); /* -ENODATA past the end */
int file_write(struct file *file, const void *buffer, size_t length, uint64_t offset);
/* Data: whatever lies past the end of the file reads as zeros. The iovec is not changed. */
int file_readv(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset);
int file_writev(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset);
int file_sync(struct file *file);
int file_truncate(struct file *file, uint64_t size);
/*
 * Make a range read as zeros; keep: leave it allocated on the host. Never changes the file's size.
 */
int file_zero(struct file *file, uint64_t offset, uint64_t length, bool keep);
int file_allocate(struct file *file, uint64_t offset, uint64_t length);
/*
 * Where data begins and ends at or after offset; the whole rest where the host cannot tell. May cost as much as the
 * data is long.
 */
void file_next_data(struct file *file, uint64_t offset, uint64_t *start, uint64_t *end);
uint64_t file_allocated(struct file *file);
uint64_t file_time(struct file *file); /* of its last change, seconds since 1970 */
int file_unlink(const char *path);
/* Durable. The new name is free, or with replace a file nobody uses: -EEXIST, -EBUSY. */
int file_rename(const char *from, const char *to, bool replace, bool lock,
		struct disk_error *error);
bool file_is_device(const char *path);
/* A file that is going to replace another belongs to the same, from its first byte on. */
int file_take_owner(struct file *file, const char *from, struct disk_error *error);
int file_sync_folder(const char *path); /* that this name is in it, or is not, is durable */
bool file_exists(const char *path);
/* The name's absolute form without links, malloc'ed; NULL when there is no such file. */
char *file_resolve(const char *path);

/* -- layer.c -- */

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

/* -- format.c: one row per format -- */

struct create_plan { /* a struct disk_create with every default filled in */
	struct disk_create how;
	struct layer *parent;        /* open, or NULL */
	const char *parent_absolute; /* for the locator */
	const char *parent_relative;
};

struct format {
	enum disk_format id;
	const char *name;
	const char *endings; /* ".vhd .avhd" */
	bool has_blocks;
	/* 1 when the file has this format's mark, 0 when not, or an error; NULL: there is none. */
	int (*probe)(struct file *file);
	int (*open)(struct layer *layer, struct disk_error *error);
	void (*release)(struct layer *layer); /* memory only */
	int (*create)(struct file *file, const struct create_plan *plan, struct disk_error *error);

	/*
	 * What lies at [offset, offset + length), as far as it is of one kind. -EAGAIN: ask again
	 * with wait.
	 */
	int (*map)(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
		   struct extent *extent);
	/*
	 * A place to write to, allocated where needed: kind DATA. Then, once the data is there,
	 * write_end.
	 */
	int (*write_begin)(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
			   struct extent *extent);
	int (*write_end)(struct layer *layer, uint64_t offset, uint64_t length,
			 const struct extent *extent);
	/*
	 * Make some of it zero, at least 1 byte: *done says how much. -EOPNOTSUPP: write zeros for
	 * *done bytes.
	 */
	int (*trim)(struct layer *layer, uint64_t offset, uint64_t length, uint64_t *done);
	int (*flush)(struct layer *layer);  /* everything durable */
	int (*finish)(struct layer *layer); /* at close of a writable layer */

	int (*resize)(struct layer *layer, uint64_t size, struct disk_error *error);
	/* Move some blocks at the file's end to free space; *moved of them. Ends with 0. */
	int (*compact)(struct layer *layer, uint64_t *moved);
	/* Drop everything: a differencing disk reads as its parent then. Durable. */
	int (*empty)(struct layer *layer);
	int (*set_parent)(struct layer *layer, const struct create_plan *plan,
			  struct disk_error *error);
	/* Faults beyond what open with a report finds; repair is allowed when layer.writable. */
	int (*check)(struct layer *layer, struct disk_error *error);
	/* What of the file a repair may overwrite, or later use: its block table, unused space. */
	int (*loose)(struct layer *layer, struct span_list *places);
	void (*info)(struct layer *layer, struct disk_info *info);
	/* The identity that a child remembers. */
	void (*identity)(struct layer *layer, char text[GUID_TEXT]);
};

const struct format *format_find(enum disk_format id);
const struct format *format_of_name(const char *path); /* NULL: the ending says nothing */
int format_probe(struct file *file, bool writable, const struct format **format,
		 struct disk_error *error);

/* -- signature.c: *format is the name of a format that is not read here, or NULL -- */

int signature_probe(struct file *file, const char **format);

extern const struct format raw_format, vhd_format, vhdx_format;

/* -- disk.c, chain.c -- */

struct helper;

#define DISK_LAYERS_MAX 256

struct disk {
	/* Top first; changed only with all helpers quiet. */
	struct layer *layers[DISK_LAYERS_MAX + 1];
	unsigned layer_count;
	struct layer **retired; /* left the chain online, kept until close for requests in flight */
	unsigned retired_count;
	bool read_only;
	atomic_uint merging; /* a merge of the top is under way: writes take the slow path */
	uint64_t merged;     /* [merge_lock] below this offset writes go to the parent as well */
	struct layer *merge_target;
	pthread_mutex_t merge_lock;  /* one write or one merged block at a time */
	pthread_mutex_t edge_lock;   /* one unaligned write of a differencing disk at a time */
	pthread_rwlock_t chain_lock; /* slow path: read to use layers[], write to change it */
	atomic_uint async_users;
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
bool write_needs_care(const struct layer *layer, uint64_t offset, uint64_t length);
/*
 * The first `length` bytes of iov as an array of at most `capacity`; returns how many bytes it
 * took.
 */
uint64_t iov_slice(const struct iovec *iov, unsigned count, uint64_t skip, uint64_t length,
		   struct iovec *out, unsigned capacity, unsigned *out_count);

/* merge.c: the same while the top is being merged into its parent */
int merge_write(struct disk *disk, struct iovec *iov, unsigned count, uint64_t length,
		uint64_t offset);
int merge_trim(struct disk *disk, uint64_t length, uint64_t offset);

int disk_check_request(const struct disk *disk, const struct disk_req *req);

/* Run a request to its end on this thread. */
int disk_run(struct disk *disk, struct disk_req *req);

/*
 * create.c: a new file is written beside its place and takes it at the end, so that what has the
 * name is whole. A block device is written in place.
 */
struct creation {
	char *path, *written; /* equal for a device */
	bool replace, lock;
	struct file file; /* the written one; its lock is held from its first byte to its name */
};

int create_choose_format(struct disk_create *how, const char *path, struct disk_error *error);
int create_begin(struct creation *creation, const char *path, const struct disk_create *how,
		 struct disk_error *error);
/* result: how it went until here, durably; other than 0 takes the new file away. */
int create_end(struct creation *creation, int result, struct disk_error *error);

/* Refuses when the chain below a child of `parent` is too long to be opened, or has the child in it. */
int chain_check_depth(const char *child_path, struct layer *parent, struct disk_error *error);
int chain_open_parents(struct disk *disk, const struct disk_open *how, struct disk_error *error);
int plan_parent(struct create_plan *plan, const char *child_path, struct layer *parent,
		char **storage, struct disk_error *error);

/* -- ring.c: asynchronous file I/O; the simulated disk of the tests has the same names -- */

struct ring;
struct io_uring;

int ring_restrict(struct io_uring *uring); /* enables it, for the operations that there are here */
int ring_open(unsigned depth, struct ring **ring);
void ring_close(struct ring **ring);
int ring_fd(struct ring *ring);     /* an eventfd */
void ring_clear(struct ring *ring); /* it is not readable any more, until something happens */
/* The caller keeps iov and token until ring_next gives the token back. -EBUSY: full. */
int ring_readv(struct ring *ring, struct file *file, const struct iovec *iov, unsigned count,
	       uint64_t offset, void *token);
int ring_writev(struct ring *ring, struct file *file, const struct iovec *iov, unsigned count,
		uint64_t offset, bool durable, void *token);
int ring_sync(struct ring *ring, struct file *file, void *token);
void ring_submit(struct ring *ring);
void ring_watch(struct ring *ring, int fd); /* an eventfd, in place of the one before; -1: none */
/* Submits, waits for a completion, ring_wake or the watched eventfd. */
void ring_wait(struct ring *ring);
void ring_wake(struct ring *ring); /* from any thread */
bool ring_next(struct ring *ring, void **token, int *result);

/* -- queue.c, helper.c -- */

void queue_run_slow(struct disk *disk, struct disk_req *req); /* by a helper thread */
int helper_post(struct disk *disk, struct disk_req *req);
void helper_stop(struct disk *disk);

#endif
