/* The public handle: open, close, plain access. */
#include "disk/chain.h"

#include "disk/create.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/helper.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * A chain that changes is not kept waiting by requests that never cease: its lock prefers who
 * writes.
 */
static struct disk *disk_alloc(void)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	pthread_rwlockattr_t fair;

	if (disk != NULL) {
		pthread_mutex_init(&disk->merge_lock, NULL);
		pthread_mutex_init(&disk->edge_lock, NULL);
		pthread_mutex_init(&disk->helper_lock, NULL);
		pthread_rwlockattr_init(&fair);
		pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
		pthread_rwlock_init(&disk->chain_lock, &fair);
		pthread_rwlockattr_destroy(&fair);
	}
	return disk;
}

/* All files are closed whatever goes wrong with one; the first error is the one that is told. */
static int disk_free(struct disk *disk, struct disk_error *error)
{
	unsigned i;
	int ret = 0;

	helper_stop(disk);
	disk_close(&disk->mirror, NULL); /* one that was not ended is nobody's */
	for (i = 0; i < disk->layer_count; i++) {
		int code = layer_close(&disk->layers[i], ret ? NULL : error);

		ret = ret ? ret : code;
	}
	for (i = 0; i < disk->retired_count; i++) {
		layer_close(&disk->retired[i], NULL);
	}
	free(disk->retired);
	free(disk->changes.noted);
	pthread_mutex_destroy(&disk->merge_lock);
	pthread_mutex_destroy(&disk->edge_lock);
	pthread_mutex_destroy(&disk->helper_lock);
	pthread_rwlock_destroy(&disk->chain_lock);
	free(disk);
	return ret;
}

int disk_open(const char *path, const struct disk_open *how, struct disk **out,
	      struct disk_error *error)
{
	static const struct disk_open defaults;
	struct disk *disk = disk_alloc();
	int ret;

	how = how != NULL ? how : &defaults;
	if (disk == NULL) {
		return error_set(error, -ENOMEM, "%s: out of memory", path);
	}
	ret = layer_open(path, how->fd_count ? how->fds[0] : -1, how->format, how->flags, NULL,
			 &disk->layers[0], error);
	if (ret) {
		disk_free(disk, NULL);
		return ret;
	}
	disk->layer_count = 1;
	disk->read_only = how->flags & DISK_READ_ONLY;
	if (disk_top(disk)->type == DISK_DIFFERENCING) {
		if (how->flags & DISK_NO_PARENT) {
			disk->read_only = true;
		} else {
			ret = chain_open_parents(disk, how, error);
		}
	}
	if (!ret && how->fd_count > disk->layer_count) {
		ret = error_set(error, -EINVAL,
				"%s: has %u parent(s), but %u were given; give no more", path,
				disk->layer_count - 1, how->fd_count - 1);
	}
	if (ret) {
		unsigned i;

		for (i = 0; i < disk->layer_count && i < how->fd_count; i++) {
			disk->layers[i]->file.fd = -1; /* still the caller's */
		}
		disk_free(disk, NULL);
		return ret;
	}
	*out = disk;
	return 0;
}

int disk_close(struct disk **where, struct disk_error *error)
{
	struct disk *disk = *where;

	*where = NULL;
	return disk != NULL ? disk_free(disk, error) : 0;
}

static void unlock_layers(struct disk *disk, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		if (disk->layers[i]->locked) {
			file_unlock(&disk->layers[i]->file);
		}
	}
}

/* All or none. */
static int lock_layers(struct disk *disk)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < disk->layer_count && !ret; i++) {
		struct layer *layer = disk->layers[i];

		ret = layer->locked ? file_lock(&layer->file, layer->writable, &disk->error) : 0;
	}
	if (ret) {
		unlock_layers(disk, i - 1);
	}
	return ret;
}

/* The file is closed in all but name: another process finds it as after disk_close(). */
int disk_let_go(struct disk *disk)
{
	struct layer *top = disk_top(disk);
	int ret = 0;

	pthread_rwlock_wrlock(&disk->chain_lock);
	if (top->writable) {
		ret = top->format->finish(top);
	}
	if (!ret) {
		unlock_layers(disk, disk->layer_count);
	}
	pthread_rwlock_unlock(&disk->chain_lock);
	return ret ? error_set(&disk->error, ret, "%s: letting go of it: %s", top->file.path,
			       strerror(-ret))
		   : 0;
}

int disk_take_back(struct disk *disk)
{
	int ret;

	pthread_rwlock_wrlock(&disk->chain_lock);
	ret = lock_layers(disk);
	pthread_rwlock_unlock(&disk->chain_lock);
	return ret;
}

const struct disk_error *disk_last_error(const struct disk *disk)
{
	return &disk->error;
}

uint64_t disk_size(const struct disk *disk)
{
	return disk_top(disk)->size;
}

uint32_t disk_sector_size(const struct disk *disk)
{
	return disk_top(disk)->sector_size;
}

uint32_t disk_physical_size(const struct disk *disk)
{
	return disk_top(disk)->physical_size;
}

uint32_t disk_block_size(const struct disk *disk)
{
	return disk_top(disk)->block_size;
}

bool disk_is_read_only(const struct disk *disk)
{
	return disk->read_only;
}

unsigned disk_layer_count(const struct disk *disk)
{
	return disk->layer_count;
}

/* Every request, plain or not, is checked here first. */
int disk_check_request(const struct disk *disk, const struct disk_req *req)
{
	uint64_t size = disk_size(disk), sum = 0;
	unsigned i;

	if (req->op != DISK_OP_READ && disk->read_only) {
		return req->op == DISK_OP_FLUSH ? 0 : -EROFS;
	}
	if (req->op == DISK_OP_FLUSH) {
		return 0;
	}
	if (req->offset > size || req->length > size - req->offset) {
		return -ERANGE;
	}
	if (req->op == DISK_OP_READ || req->op == DISK_OP_WRITE) {
		for (i = 0; i < req->iov_count; i++) {
			if (__builtin_add_overflow(sum, req->iov[i].iov_len, &sum)) {
				return -EINVAL;
			}
		}
		return sum == req->length ? 0 : -EINVAL;
	}
	return req->op == DISK_OP_TRIM ? 0 : -EINVAL;
}

#define RUN_IOVS 64

/*
 * Carries out a read or write over copies of its iovecs, some at a time, since iovecs are used up
 * on the way.
 */
static int run_data(struct disk *disk, const struct disk_req *req)
{
	uint64_t done = 0;
	int ret = 0;

	while (done < req->length && !ret) {
		struct iovec iov[RUN_IOVS];
		unsigned count;
		uint64_t n = iov_slice(req->iov, req->iov_count, done, req->length - done, iov,
				       RUN_IOVS, &count);

		ret = req->op == DISK_OP_READ
			      ? chain_read(disk, 0, iov, count, n, req->offset + done)
			      : chain_write(disk, iov, count, n, req->offset + done);
		done += n;
	}
	return ret;
}

/*
 * What was only opened for reading has nothing to flush, and a parent was durable before it became
 * one.
 */
static int run_flush(struct disk *disk)
{
	struct layer *top = disk_top(disk);
	int failed = atomic_load(&top->failed);

	if (disk->read_only) {
		return 0;
	}
	return failed ? failed : top->format->flush(top);
}

int disk_run(struct disk *disk, struct disk_req *req)
{
	int ret = disk_check_request(disk, req);

	if (ret) {
		return ret;
	}
	pthread_rwlock_rdlock(&disk->chain_lock);
	switch (req->op) {
	case DISK_OP_READ:
	case DISK_OP_WRITE:
		ret = run_data(disk, req);
		break;
	case DISK_OP_TRIM:
		ret = chain_trim(disk, req->length, req->offset);
		break;
	case DISK_OP_FLUSH:
		ret = run_flush(disk);
		break;
	}
	if (!ret && (req->flags & DISK_FUA) &&
	    (req->op == DISK_OP_WRITE || req->op == DISK_OP_TRIM)) {
		ret = run_flush(disk);
	}
	pthread_rwlock_unlock(&disk->chain_lock);
	return ret;
}

static int run_plain(struct disk *disk, struct disk_req *req, const char *verb)
{
	int ret = disk_run(disk, req);

	changes_note(disk, req);
	if (ret) {
		error_set(&disk->error, ret, "%s: %s %llu bytes at %llu: %s",
			  disk_top(disk)->file.path, verb, (unsigned long long)req->length,
			  (unsigned long long)req->offset, strerror(-ret));
	}
	return ret;
}

int disk_read(struct disk *disk, void *buffer, uint64_t length, uint64_t offset)
{
	struct iovec iov = {.iov_base = buffer, .iov_len = length};
	struct disk_req req = {.op = DISK_OP_READ,
			       .offset = offset,
			       .length = length,
			       .iov = &iov,
			       .iov_count = 1};

	return run_plain(disk, &req, "read");
}

int disk_write(struct disk *disk, const void *buffer, uint64_t length, uint64_t offset)
{
	struct iovec iov = {.iov_base = (void *)buffer, .iov_len = length};
	struct disk_req req = {.op = DISK_OP_WRITE,
			       .offset = offset,
			       .length = length,
			       .iov = &iov,
			       .iov_count = 1};

	return run_plain(disk, &req, "write");
}

int disk_trim(struct disk *disk, uint64_t length, uint64_t offset)
{
	struct disk_req req = {.op = DISK_OP_TRIM, .offset = offset, .length = length};

	return run_plain(disk, &req, "trim");
}

int disk_flush(struct disk *disk)
{
	struct disk_req req = {.op = DISK_OP_FLUSH};

	return run_plain(disk, &req, "flush");
}

/*
 * Some hosts go over all the data to find its end, and it is asked for block after block: what was
 * found holds for the blocks that follow. Blocks may lie backwards in the file, so one in front of
 * that is looked for from as far back again. Data that became a hole since is still read right.
 */
void layer_next_data(struct layer *layer, uint64_t offset, uint64_t *start, uint64_t *end)
{
	uint64_t from = offset;
	struct span known;

	layer_lock(layer, true);
	known = layer->data;
	layer_unlock(layer);
	if (offset >= known.offset && offset - known.offset < known.length) {
		*start = offset;
		*end = known.offset + known.length;
		return;
	}
	if (offset < known.offset) {
		from -= min_u64(from, known.length);
	}
	file_next_data(&layer->file, from, start, end);
	if (from < offset && (*start > offset || *end <= offset)) { /* a hole between */
		file_next_data(&layer->file, offset, start, end);
	}
	if (*start != UINT64_MAX) {
		layer_lock(layer, true);
		layer->data = (struct span){*start, *end - *start};
		layer_unlock(layer);
		*start = max_u64(*start, offset);
	}
}

int disk_status(struct disk *disk, uint64_t offset, uint64_t length, enum disk_status *status,
		uint64_t *run)
{
	struct extent extent;
	struct layer *layer;
	uint64_t start, end;
	int ret;

	if (offset >= disk_size(disk)) {
		return -ERANGE;
	}
	length = min_u64(length, disk_size(disk) - offset);
	pthread_rwlock_rdlock(&disk->chain_lock);
	ret = chain_map(disk, 0, offset, length, true, &extent, &layer);
	if (!ret) {
		*run = extent.length;
		*status = extent.kind == EXTENT_DATA ? DISK_STATUS_DATA : DISK_STATUS_ZERO;
	}
	if (!ret && extent.kind == EXTENT_DATA) { /* holes of the host's file are zeros as well */
		layer_next_data(layer, extent.file_offset, &start, &end);
		if (start > extent.file_offset) {
			*status = DISK_STATUS_ZERO;
			*run = min_u64(*run, start - extent.file_offset);
		} else {
			*run = min_u64(*run, end - extent.file_offset);
		}
		layer_io_end(layer, &extent);
	}
	pthread_rwlock_unlock(&disk->chain_lock);
	return ret;
}
