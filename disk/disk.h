/*
 * Sector access to raw, VHD and VHDX files and their differencing chains.
 *
 * Values: 0 or a negative errno. Where a struct disk_error is taken (NULL is allowed) it receives a
 * text that names the file and says what to do.
 *
 * Threads: disk_open/close and the changes of a whole file (resize, compact, rebase) want the
 * handle alone. disk_read/write/trim/flush, disk_submit, disk_merge_online (disk_merge_files),
 * disk_push and disk_mirror (its flush and end) may run on any number of threads at once on one
 * handle, the last three one at a time. A queue belongs to one thread at a time; only
 * disk_queue_wake may be called on it from others. Several queues may serve one handle.
 *
 * Order: requests in flight together have no order. A request sees everything that was completed
 * before it was submitted. A flush covers the requests whose completion was seen before the flush
 * was submitted; what it covers survives a crash. A write or trim with DISK_FUA is durable, with
 * all the tables it needs, when it completes. Overlapping writes in flight together leave either
 * content sector by sector. On a differencing disk a write that is not aligned to the disk's sector
 * counts as a write of whole sectors in this rule.
 */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DISK_VERSION "0.2"

struct disk;
struct disk_queue;

struct disk_error {
	int code;       /* negative errno */
	char text[504]; /* one sentence or two, names the file and the remedy */
};

enum disk_format { DISK_FORMAT_AUTO, DISK_FORMAT_RAW, DISK_FORMAT_VHD, DISK_FORMAT_VHDX };
enum disk_type { DISK_FIXED, DISK_DYNAMIC, DISK_DIFFERENCING };

enum disk_open_flags {
	/* Else the top file is opened for writing; parents never are. */
	DISK_READ_ONLY = 1,
	/* The one file; what the parents hold reads as zeros, and writing is refused. */
	DISK_NO_PARENT = 2,
	/* Do not refuse a file that others use; the caller answers for it. */
	DISK_NO_LOCK = 4,
	/* Open although the parent is not the one that the child was made on. */
	DISK_STALE_PARENT = 8,
	/* Asynchronous data past the host's page cache, where memory and place are aligned. */
	DISK_DIRECT = 16,
};

struct disk_open {
	enum disk_format format; /* AUTO: by the name's ending and the content, which must agree */
	unsigned flags;
	/* Optional: all the chain's open files, top first; ownership passes on success. Then no
	   name is looked up. */
	const int *fds;
	unsigned fd_count;
};

/*
 * path is used for messages, and to find the file and its parents where no descriptors are given.
 */
int disk_open(const char *path, const struct disk_open *how, struct disk **disk,
	      struct disk_error *error);

/* Flushes, tidies the file and frees the handle in any case. The first failure is returned. */
int disk_close(struct disk **disk, struct disk_error *error);

/*
 * For another process, which is to have the files: all that was written is in them as after
 * disk_close(), and their locks are given up. No request is under way, and none follows before
 * disk_take_back(), which has the locks again; -EBUSY: somebody has a file. Between the two nobody
 * else may have written. After a failure the disk is as before, but for what disk_flush() would
 * have failed with.
 */
int disk_let_go(struct disk *disk);
int disk_take_back(struct disk *disk);

/*
 * A checkpoint: the file at fd, a new differencing disk of the format and size of this one that
 * disk_create() made over its top (with no_lock, since the top is in use), becomes the top. What
 * was the top is its parent, closed as by disk_close() and not written any more; from 0 on fd is
 * the handle's, else it is still the caller's. Requests may be under way, but not on a queue of
 * this thread. Until it returns nothing is written to the new file; a crash before that leaves the
 * old top with everything that was flushed, one after it the new.
 *
 * disk_pop() takes that back, as long as nothing was written since. -EBUSY: somebody reads the old
 * top.
 */
int disk_push(struct disk *disk, const char *path, int fd, struct disk_error *error);
int disk_pop(struct disk *disk, struct disk_error *error);

/*
 * A mirror: the disk in use is copied into other files, and from then on each write goes there as
 * well, until it goes on in them, or they are given up. fds are, top first, a file of size 0, open
 * for both, which becomes one of the top's format, size and identity, and copies of the top's
 * parents, with the names that the new file is to have for the first of them; path is for messages.
 * Descriptors that the handle has kept are -1 afterwards, whatever comes of it; the others are the
 * caller's. Requests may be under way, but not on a queue of this thread. After 0 the copy is in
 * step; after a failure, or a step that stopped it, there is no mirror.
 *
 * A flush of the disk's is about its own files; that of the mirror makes all that was written
 * durable in the copy, or says why that is not whole: a write may have failed there alone.
 *
 * The end: `over`: the disk goes on in the copy, and if that is not whole the failure is returned,
 * and it does not. The files that it does not have then are closed. A handle that is closed ends
 * its mirror.
 */
struct disk_progress;
struct disk_mirror_files {
	const char *path;
	int *fds;
	unsigned fd_count;
	const char *absolute, *relative; /* of a differencing disk's parent; else NULL */
};

int disk_mirror(struct disk *disk, const struct disk_mirror_files *files,
		const struct disk_progress *progress, struct disk_error *error);
int disk_mirror_flush(struct disk *disk);
int disk_mirror_end(struct disk *disk, bool over);

/*
 * What changes of a disk in use: from the beginning on each place that is written or trimmed, by
 * whatever way, is noted when that is in the file and before it is complete. So who copies the disk
 * after the beginning, and then takes what is noted and reads that, again and again, has all of it
 * when no request is under way. One thread takes; requests may be under way on others.
 *
 * take: the first run of places at or behind *offset that are noted, of at most *length bytes; they
 * are noted no more. False: there is none. A place is 64 KiB, or more of a large disk; -ENOMEM.
 */
int disk_changes_begin(struct disk *disk);
bool disk_changes_take(struct disk *disk, uint64_t *offset, uint64_t *length);
uint64_t disk_changes_left(const struct disk *disk); /* bytes */
void disk_changes_end(struct disk *disk);

/* What the last failed call on this handle (not on its queues) had to say. */
const struct disk_error *disk_last_error(const struct disk *disk);

uint64_t disk_size(const struct disk *disk);          /* bytes */
uint32_t disk_sector_size(const struct disk *disk);   /* logical: 512 or 4096 */
uint32_t disk_physical_size(const struct disk *disk); /* physical sector: 512 or 4096 */
uint32_t disk_block_size(const struct disk *disk);    /* unit in which trim frees space; 0 if any */
bool disk_is_read_only(const struct disk *disk);
unsigned disk_layer_count(const struct disk *disk);

/* -- Plain access, any offset and length within the disk -- */

int disk_read(struct disk *disk, void *buffer, uint64_t length, uint64_t offset);
int disk_write(struct disk *disk, const void *buffer, uint64_t length, uint64_t offset);
int disk_trim(struct disk *disk, uint64_t length,
	      uint64_t offset); /* reads give zeros afterwards */
int disk_flush(struct disk *disk);

enum disk_status { DISK_STATUS_DATA, DISK_STATUS_ZERO };

/*
 * What lies at offset: *status holds for *run bytes, at most length. ZERO: known to read as zeros.
 */
int disk_status(struct disk *disk, uint64_t offset, uint64_t length, enum disk_status *status,
		uint64_t *run);

/* -- Asynchronous access -- */

enum disk_op { DISK_OP_READ, DISK_OP_WRITE, DISK_OP_TRIM, DISK_OP_FLUSH };
enum disk_req_flags { DISK_FUA = 1 };

/*
 * The caller owns the request, its iovec array and the memory, and leaves them alone until it is
 * completed. The data is moved straight to and from that memory. The library never allocates for a
 * request.
 */
struct disk_req {
	enum disk_op op;
	unsigned flags;
	uint64_t offset;
	uint64_t length; /* READ, WRITE: the sum of iov; TRIM: what to free; FLUSH: unused */
	const struct iovec *iov; /* READ, WRITE; entries of length 0 are allowed */
	unsigned iov_count;
	/* Called from disk_queue_poll, may submit; NULL: see disk_queue_next. */
	void (*done)(struct disk_req *req);
	void *user;
	int result; /* 0 or a negative errno */

	struct { /* the library's */
		struct disk_req *next;
		struct disk *disk;
		struct disk_queue *queue;
		uint64_t issued;     /* bytes handed to the ring */
		unsigned iov_index;  /* first iovec not yet used up */
		uint64_t iov_offset; /* within it */
		unsigned pending;    /* ring operations under way */
		unsigned state;
	} p;
};

/*
 * depth: ring operations in flight; more requests wait in the queue. A process that gives up
 * io_uring_setup and io_uring_register makes its queues, and asks for their descriptors, before.
 * Needs Linux 5.10.
 */
int disk_queue_create(unsigned depth, struct disk_queue **queue, struct disk_error *error);

/* Every request must be completed before. */
void disk_queue_destroy(struct disk_queue **queue);

/*
 * Becomes readable when there may be something for disk_queue_poll. Made at the first call; -errno
 * on failure.
 */
int disk_queue_fd(struct disk_queue *queue);

/*
 * Never fails by itself: errors come with the completion. Nothing is promised to start before
 * disk_queue_kick.
 */
void disk_submit(struct disk_queue *queue, struct disk *disk, struct disk_req *req);
void disk_queue_kick(struct disk_queue *queue);

/*
 * Takes in what has completed, calls `done`s, kicks. Returns how many requests completed. Never
 * blocks.
 */
unsigned disk_queue_poll(struct disk_queue *queue);

/* As poll, but waits until something completed, or disk_queue_wake, or nothing is in flight. */
unsigned disk_queue_wait(struct disk_queue *queue);
void disk_queue_wake(struct disk_queue *queue);

/*
 * For a thread that serves something else as well: waits until there may be something for
 * disk_queue_poll, or disk_queue_wake, or the eventfd that is watched was signalled, also before.
 * Nobody has to read that. One descriptor is watched at a time, -1 is none; a thread that ends lets
 * go of it.
 */
void disk_queue_sleep(struct disk_queue *queue);
void disk_queue_watch(struct disk_queue *queue, int fd);

/* The next completed request that has no `done`, in order of completion; NULL if none. */
struct disk_req *disk_queue_next(struct disk_queue *queue);

/* -- Whole files -- */

struct disk_create {
	enum disk_format format; /* AUTO: by the name's ending, raw otherwise */
	enum disk_type type;
	uint64_t size;          /* bytes; 0 for a differencing disk: the parent's */
	uint32_t block_size;    /* 0: 2 MiB */
	uint32_t sector_size;   /* 0: 512 */
	uint32_t physical_size; /* 0: 4096 for VHDX, 512 otherwise */
	const char *
		parent; /* DISK_DIFFERENCING; relative names are relative to the working directory */
	bool replace;   /* an existing file is replaced; else -EEXIST */
	bool no_lock;   /* as DISK_NO_LOCK */
	const char *id; /* its identity, as struct disk_info has it, that of another disk's once
			   more; NULL: a new one */
};

int disk_create(const char *path, const struct disk_create *how, struct disk_error *error);

/*
 * done and total are bytes of work; a return other than 0 (a negative errno) stops it at a safe
 * place.
 */
struct disk_progress {
	int (*step)(void *user, uint64_t done, uint64_t total);
	void *user;
};

/*
 * Copy what the source handle reads as into a new file, which has its name only when it is whole:
 * until then it is PATH.partial. Onto a block device (with how->replace) the beginning is written
 * last. how->size and sector size 0: the source's.
 */
int disk_convert(struct disk *source, const char *path, const struct disk_create *how,
		 const struct disk_progress *progress, struct disk_error *error);

/* The smallest size that has all data of the disk in it: what lies beyond reads as zeros. */
int disk_minimum_size(struct disk *disk, uint64_t *size, struct disk_error *error);

/* discard: data beyond the new end may be lost; else -ENOTEMPTY where there is any. */
int disk_resize(struct disk *disk, uint64_t size, bool discard, struct disk_error *error);

/* Free blocks of zeros, move the others together and cut the file; raw: make holes of zeros. */
int disk_compact(struct disk *disk, const struct disk_progress *progress, struct disk_error *error);

/*
 * Point the file (only its own layer is opened) to another parent. flags: DISK_NO_LOCK;
 * DISK_STALE_PARENT: also to one that is not, or not any more, what the file was made on.
 */
int disk_rebase(const char *path, const char *parent, unsigned flags, struct disk_error *error);

/*
 * Merge `count` files from the top of the chain of `path` into the next one below, delete them if
 * `remove`. After a crash the same call goes on. The merged file is the parent. flags:
 * DISK_NO_LOCK.
 */
int disk_merge(const char *path, unsigned count, bool remove, unsigned flags,
	       const struct disk_progress *progress, struct disk_error *error);

/*
 * The same while the handle is in use: layer `index` (0 is the top) goes into layer index + 1 and
 * leaves the chain. Its file is left on disk, unused. A step of the progress that stops it leaves
 * the chain as it was, and nothing is lost: the file lies over the parent as before, and what is
 * over it says the same.
 */
int disk_merge_online(struct disk *disk, unsigned index, const struct disk_progress *progress,
		      struct disk_error *error);

/*
 * The same for a process that opens no name: which file goes into its parent is said by descriptors
 * that are open for reading and writing, and the file over it, unless it is the top, learns the
 * parent's names as they are given. Descriptors that the handle has kept are -1 afterwards,
 * whatever comes of it; the others are the caller's. -EALREADY: it has gone, and what was to lie
 * over the parent does; -EINVAL: the chain is another.
 */
struct disk_merge_files {
	int file, parent, child; /* child: -1 if the file is the top */
	const char *absolute, *relative;
};

int disk_merge_files(struct disk *disk, struct disk_merge_files *files,
		     const struct disk_progress *progress, struct disk_error *error);
/* What it would say at once; 0: it would begin. */
int disk_look_at_merge(struct disk *disk, const struct disk_merge_files *files);
/*
 * Those names: without links, and as seen from the child's folder. malloc'ed; NULL after a failure.
 */
int disk_parent_names(const char *child, const char *parent, char **absolute, char **relative,
		      struct disk_error *error);

enum disk_severity { DISK_NOTE, DISK_LEAK, DISK_DAMAGE };

struct disk_finding {
	enum disk_severity severity;
	bool repaired;
	char text[240];
};

struct disk_report {
	unsigned count, notes, leaks, damages, repaired;
	unsigned dropped;  /* damages that cannot be mended without letting go of a block */
	unsigned capacity; /* of findings; later ones are only counted */
	struct disk_finding *findings;
	char *saved; /* the file that has what was dropped; NULL: nothing was */
	struct disk_places *places;
};

enum disk_check_flags { /* and DISK_NO_LOCK */
			DISK_REPAIR = 256,
			/*
	 * Let go of blocks that the table places where they cannot be; else nothing is repaired,
	 * and the call fails with -EUCLEAN and a whole report. What the file has of them, what
	 * nothing in it uses, and the table go into a new file beside it before.
	 */
			DISK_REPAIR_DROP = 512,
};

/*
 * 0 also when something was found: look at the report, which is the caller's to free in any case.
 * After a repair that failed it has what was found before, none of it repaired. Only the one file
 * is checked.
 */
int disk_check(const char *path, enum disk_format format, unsigned flags,
	       struct disk_report *report, struct disk_error *error);
void disk_report_free(struct disk_report *report);

struct disk_info {
	const char *path;
	enum disk_format format;
	enum disk_type type;
	uint64_t size, file_size, allocated; /* allocated: what the file occupies on the host */
	uint32_t block_size, sector_size, physical_size;
	uint64_t blocks, blocks_present;
	char id[37];        /* the disk's own identity */
	char write_id[37];  /* VHDX: changes with the data */
	char parent_id[37]; /* what a differencing disk expects */
	char parent[1024];  /* as found in the file; empty if none */
	char creator[64];
	bool log_pending; /* VHDX: the file was not closed; its log will be replayed */
	unsigned cylinders, heads, sectors_per_track;
};

/* Of one layer; strings live as long as the handle. -ERANGE past the last layer. */
int disk_get_info(struct disk *disk, unsigned layer, struct disk_info *info);
int disk_print_info(struct disk *disk, FILE *out, bool json, bool chain);

const char *disk_format_name(enum disk_format format);
int disk_format_by_name(const char *name, enum disk_format *format);

/*
 * Serve the handle to NBD clients on a UNIX socket until *stop becomes true (checked at least each
 * 250 ms) or, with `once`, until the last client has gone.
 */
struct disk_nbd {
	const char *socket_path;
	const char *export_name; /* NULL: "" */
	bool once;
	volatile bool *stop;
};

int disk_nbd_serve(struct disk *disk, const struct disk_nbd *how, struct disk_error *error);

/*
 * Serve one client on a connected socket, which becomes ours, from its first request on: both sides
 * know what there is to negotiate. Until it leaves, or as above.
 */
int disk_nbd_serve_peer(struct disk *disk, int socket, volatile bool *stop,
			struct disk_error *error);

#ifdef __cplusplus
}
#endif

#endif
