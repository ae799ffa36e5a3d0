/*
 * Asynchronous requests. A request is cut into ring operations as far as the tables in memory can
 * say where its data lies; else it goes to a helper thread as a whole, once its operations under
 * way have ended.
 *
 *   disk_submit -> issue -> (ring operations) -> settle -> done list -> disk_queue_poll
 *                    |                              |
 *                    +--- helper: queue_run_slow ---+   (slow requests, a DISK_FUA write's flush)
 */
#include "disk/helper.h"

#include "disk/chain.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/ring.h"
#include "disk/units.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OP_IOVS    32
#define COPIED_MAX (64u << 10) /* bytes of a write that is made at once */
#define SLOW_NS                                                                                    \
	8000000ull /* such a write does not take so long by itself: it had to wait for the host */
#define AFTER_NS    1000000000ull
#define PAGE        4096u
#define CALLER_IOVS 1024 /* IOV_MAX */

enum {                        /* bits of req->p.state */
       STATE_SLOW = 1,        /* must be run by a helper */
       STATE_COUNTED = 2,     /* in disk->async_users */
       STATE_NOT_DURABLE = 4, /* some part of it was written without durability */
       STATE_ONLY_FLUSH = 8,  /* the helper is to flush: the data is written */
};

struct op {
	struct op *next;
	struct disk_req *req;
	struct layer *layer;  /* NULL: a sync, */
	struct layer *synced; /* of this one */
	struct extent extent;
	uint64_t offset, length, moved;
	const struct iovec *use;
	unsigned count;
	bool durable;
	struct iovec iov[OP_IOVS];
};

struct req_list {
	struct disk_req *first, **last;
};

struct disk_queue {
	struct ring *ring;
	struct op *ops, *free_ops;
	struct req_list waiting; /* for an op */
	struct req_list done;
	struct req_list taken; /* done, without a callback: for disk_queue_next */
	unsigned in_flight;    /* requests not yet on the done list */
	bool has_fd;           /* somebody polls the ring's eventfd */
	uint64_t copy_at_ns;   /* writes may be made at once again */
	pthread_mutex_t slow_lock;
	struct req_list slow_done; /* [slow_lock] */
};

static void list_init(struct req_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct req_list *list, struct disk_req *req)
{
	req->p.next = NULL;
	*list->last = req;
	list->last = &req->p.next;
}

static struct disk_req *list_take(struct req_list *list)
{
	struct disk_req *req = list->first;

	if (req != NULL) {
		list->first = req->p.next;
		if (list->first == NULL) {
			list->last = &list->first;
		}
	}
	return req;
}

static void list_put_back(struct req_list *list, struct disk_req *req)
{
	req->p.next = list->first;
	list->first = req;
	if (req->p.next == NULL) {
		list->last = &req->p.next;
	}
}

int disk_queue_create(unsigned depth, struct disk_queue **out, struct disk_error *error)
{
	struct disk_queue *queue = calloc(1, sizeof(*queue));
	unsigned i;
	int ret = -ENOMEM;

	depth = depth ? depth : 1;
	if (queue != NULL) {
		queue->ops = calloc(depth, sizeof(*queue->ops));
		ret = queue->ops != NULL ? ring_open(depth, &queue->ring) : -ENOMEM;
	}
	if (ret) {
		if (queue != NULL) {
			free(queue->ops);
		}
		free(queue);
		return error_set(error, ret, "asynchronous I/O: %s%s", strerror(-ret),
				 ret == -EPERM || ret == -ENOSYS
					 ? " (io_uring is switched off on this machine)"
					 : "");
	}
	for (i = 0; i < depth; i++) {
		queue->ops[i].next = queue->free_ops;
		queue->free_ops = &queue->ops[i];
	}
	list_init(&queue->waiting);
	list_init(&queue->done);
	list_init(&queue->taken);
	list_init(&queue->slow_done);
	pthread_mutex_init(&queue->slow_lock, NULL);
	*out = queue;
	return 0;
}

void disk_queue_destroy(struct disk_queue **where)
{
	struct disk_queue *queue = *where;

	*where = NULL;
	if (queue != NULL) {
		ring_close(&queue->ring);
		pthread_mutex_destroy(&queue->slow_lock);
		free(queue->ops);
		free(queue);
	}
}

int disk_queue_fd(struct disk_queue *queue)
{
	int fd = ring_fd(queue->ring);

	queue->has_fd = fd >= 0;
	return fd;
}

static void complete(struct disk_queue *queue, struct disk_req *req)
{
	changes_note(req->p.disk, req);
	if (req->p.state & STATE_COUNTED) {
		atomic_fetch_sub(&req->p.disk->async_users, 1);
	}
	queue->in_flight--;
	list_add(&queue->done, req);
}

/* -- The slow path -- */

void queue_run_slow(struct disk *disk, struct disk_req *req)
{
	struct disk_queue *queue = req->p.queue;
	struct disk_req flush = {.op = DISK_OP_FLUSH};

	req->result = disk_run(disk, req->p.state & STATE_ONLY_FLUSH ? &flush : req);
	pthread_mutex_lock(&queue->slow_lock);
	list_add(&queue->slow_done, req);
	pthread_mutex_unlock(&queue->slow_lock);
	ring_wake(queue->ring);
}

/*
 * Not counted as asynchronous any more: a merge waits for those, and a helper may wait for the
 * merge.
 */
static void go_slow(struct disk_queue *queue, struct disk_req *req)
{
	int ret;

	if (req->p.state & STATE_COUNTED) {
		atomic_fetch_sub(&req->p.disk->async_users, 1);
		req->p.state &= ~(unsigned)STATE_COUNTED;
	}
	ret = helper_post(req->p.disk, req);
	if (ret) {
		req->result = ret;
		complete(queue, req);
	}
}

static void take_slow_done(struct disk_queue *queue)
{
	struct req_list list;
	struct disk_req *req;

	pthread_mutex_lock(&queue->slow_lock);
	list = queue->slow_done;
	list_init(&queue->slow_done);
	pthread_mutex_unlock(&queue->slow_lock);
	while (list.first != NULL) {
		req = list.first;
		list.first = req->p.next;
		complete(queue, req);
	}
}

/* -- The fast path -- */

/* No operation of this request is under way, and none will be issued by itself. */
static void settle(struct disk_queue *queue, struct disk_req *req)
{
	struct layer *top = disk_top(req->p.disk);

	if (!req->result && (req->p.state & STATE_SLOW)) {
		go_slow(queue, req);
	} else if (!req->result && req->op == DISK_OP_WRITE && (req->flags & DISK_FUA) &&
		   ((req->p.state & STATE_NOT_DURABLE) || layer_is_dirty(top))) {
		req->p.state |= STATE_ONLY_FLUSH;
		go_slow(queue, req);
	} else {
		complete(queue, req);
	}
}

static void zero_part(struct disk_req *req, uint64_t length)
{
	while (length) {
		const struct iovec *iov = &req->iov[req->p.iov_index];
		uint64_t n = min_u64(length, iov->iov_len - req->p.iov_offset);

		memset((uint8_t *)iov->iov_base + req->p.iov_offset, 0, n);
		length -= n;
		req->p.iov_offset += n;
		if (req->p.iov_offset == iov->iov_len) {
			req->p.iov_index++;
			req->p.iov_offset = 0;
		}
		req->p.issued += n;
	}
}

static void advance(struct disk_req *req, uint64_t length)
{
	req->p.issued += length;
	for (length += req->p.iov_offset;
	     req->p.iov_index < req->iov_count && length >= req->iov[req->p.iov_index].iov_len;
	     req->p.iov_index++) {
		length -= req->iov[req->p.iov_index].iov_len;
	}
	req->p.iov_offset = length;
}

/* The op's share of the request's memory: the caller's own array when it fits as a whole. */
static bool take_memory(struct op *op, struct disk_req *req)
{
	uint64_t taken;

	if (op->extent.length == req->length && !req->p.issued && req->iov_count <= CALLER_IOVS) {
		op->use = req->iov;
		op->count = req->iov_count;
		op->length = req->length;
		return true;
	}
	taken = iov_slice(req->iov + req->p.iov_index, req->iov_count - req->p.iov_index,
			  req->p.iov_offset, op->extent.length, op->iov, OP_IOVS, &op->count);
	if (req->op == DISK_OP_WRITE && op->layer->type == DISK_DIFFERENCING &&
	    taken % op->layer->sector_size) {
		taken = round_down(taken, op->layer->sector_size);
		iov_slice(req->iov + req->p.iov_index, req->iov_count - req->p.iov_index,
			  req->p.iov_offset, taken, op->iov, OP_IOVS, &op->count);
	}
	op->use = op->iov;
	op->length = taken;
	return taken;
}

static int start_op(struct disk_queue *queue, struct op *op)
{
	struct file *file = &op->layer->file;
	uint64_t at = op->extent.file_offset + op->moved;

	return op->req->op == DISK_OP_READ
		       ? ring_readv(queue->ring, file, op->use, op->count, at, op)
		       : ring_writev(queue->ring, file, op->use, op->count, at, op->durable, op);
}

/* Coarse, and therefore cheap: a tick of the host's. */
static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * A small write to the page cache is a copy. A ring hands it to a thread of the kernel's all the
 * same, because it may have to wait: for memory when too much is dirty, or for the rest of a page
 * to be read. So whole pages are written by this thread at once, and after one that had to wait all
 * go by the ring for a while, that others need not wait with it.
 */
static bool may_copy(const struct disk_queue *queue, const struct op *op)
{
	const struct file *file = &op->layer->file;
	uint64_t at = op->extent.file_offset;

	return op->req->op == DISK_OP_WRITE && !op->durable && op->length <= COPIED_MAX &&
	       (at | op->length) % PAGE == 0 &&
	       file_data_fd(file, op->use, op->count, at) == file->fd &&
	       now_ns() >= queue->copy_at_ns;
}

static int copy(struct disk_queue *queue, struct op *op)
{
	const struct layer *layer = op->layer;
	uint64_t before = now_ns(), after;
	int ret = file_writev(&op->layer->file, op->use, op->count, op->extent.file_offset);

	after = now_ns();
	if (after - before >= SLOW_NS) {
		queue->copy_at_ns = after + AFTER_NS;
	}
	if (!ret) {
		ret = layer->format->write_end(op->layer, op->offset, op->length, &op->extent);
	}
	layer_io_end(op->layer, &op->extent);
	return ret;
}

/* Where the next part of the request lies. -EAGAIN: the tables in memory cannot say. */
static int find_part(struct disk_req *req, struct op *op)
{
	struct disk *disk = req->p.disk;
	uint64_t offset = req->offset + req->p.issued, length = req->length - req->p.issued;
	int ret;

	if (pthread_rwlock_tryrdlock(&disk->chain_lock)) {
		return -EAGAIN;
	}
	if (req->op == DISK_OP_READ) {
		ret = chain_map(disk, 0, offset, length, false, &op->extent, &op->layer);
	} else {
		op->layer = disk_top(disk);
		ret = write_needs_care(op->layer, offset, length)
			      ? -EAGAIN
			      : op->layer->format->write_begin(op->layer, offset, length, false,
							       &op->extent);
	}
	pthread_rwlock_unlock(&disk->chain_lock);
	return ret;
}

/* One part more, or the request's result or its state say why not. */
static void issue_part(struct disk_queue *queue, struct disk_req *req, struct op *op)
{
	int ret = find_part(req, op);

	if (ret == -EAGAIN) {
		req->p.state |= STATE_SLOW;
		return;
	}
	if (ret) {
		req->result = ret;
		return;
	}
	if (op->extent.kind == EXTENT_ZERO) {
		zero_part(req, op->extent.length);
		return;
	}
	op->req = req;
	op->offset = req->offset + req->p.issued;
	op->moved = 0;
	op->durable =
		req->op == DISK_OP_WRITE && (req->flags & DISK_FUA) && !layer_is_dirty(op->layer);
	req->p.state |= op->durable ? 0 : STATE_NOT_DURABLE;
	if (!take_memory(op, req)) {
		layer_io_end(op->layer, &op->extent);
		req->p.state |= STATE_SLOW;
		return;
	}
	if (may_copy(queue, op)) {
		req->result = copy(queue, op);
		advance(req, op->length);
		return;
	}
	if (start_op(queue, op)) {
		layer_io_end(op->layer, &op->extent);
		req->p.state |= STATE_SLOW;
		return;
	}
	queue->free_ops = op->next;
	req->p.pending++;
	advance(req, op->length);
}

/* False: it waits for a free op. */
static bool issue(struct disk_queue *queue, struct disk_req *req)
{
	while (!req->result && !(req->p.state & STATE_SLOW) && req->p.issued < req->length) {
		if (queue->free_ops == NULL) {
			return false;
		}
		issue_part(queue, req, queue->free_ops);
	}
	if (!req->p.pending) {
		settle(queue, req);
	}
	return true;
}

static void issue_waiting(struct disk_queue *queue)
{
	while (queue->waiting.first != NULL && queue->free_ops != NULL) {
		struct disk_req *req = list_take(&queue->waiting);

		if (!issue(queue, req)) {
			list_put_back(&queue->waiting, req);
			return;
		}
	}
}

/* Under chain_lock: the layer stays until the sync is over. */
static bool begin_sync(struct disk_queue *queue, struct disk_req *req)
{
	struct layer *top = disk_top(req->p.disk);
	struct op *op = queue->free_ops;

	if (atomic_load(&req->p.disk->merging) || atomic_load(&top->failed) ||
	    layer_is_dirty(top)) {
		return false;
	}
	op->req = req;
	op->layer = NULL;
	op->synced = top;
	if (ring_sync(queue->ring, &top->file, op)) {
		return false;
	}
	atomic_fetch_add(&top->syncs, 1);
	queue->free_ops = op->next;
	req->p.pending++;
	req->p.issued = req->length;
	return true;
}

static void submit_flush(struct disk_queue *queue, struct disk_req *req)
{
	struct disk *disk = req->p.disk;
	bool begun = false;

	if (disk->read_only) {
		complete(queue, req);
		return;
	}
	if (queue->free_ops != NULL && !pthread_rwlock_tryrdlock(&disk->chain_lock)) {
		begun = begin_sync(queue, req);
		pthread_rwlock_unlock(&disk->chain_lock);
	}
	if (!begun) {
		go_slow(queue, req);
	}
}

/*
 * Counted before it looks whether a merge is on: the merge first raises its flag, then waits for
 * the count.
 */
static bool may_be_fast(struct disk_req *req)
{
	if (req->op == DISK_OP_READ) {
		return true;
	}
	atomic_fetch_add(&req->p.disk->async_users, 1);
	req->p.state |= STATE_COUNTED;
	return !atomic_load(&req->p.disk->merging);
}

void disk_submit(struct disk_queue *queue, struct disk *disk, struct disk_req *req)
{
	memset(&req->p, 0, sizeof(req->p));
	req->p.queue = queue;
	req->p.disk = disk;
	queue->in_flight++;
	req->result = disk_check_request(disk, req);
	if (req->result) {
		complete(queue, req);
	} else if (req->op == DISK_OP_FLUSH) {
		submit_flush(queue, req);
	} else if (req->op == DISK_OP_TRIM) {
		go_slow(queue, req);
	} else if (!req->length) {
		complete(queue, req);
	} else if (!may_be_fast(req)) {
		go_slow(queue, req);
	} else if (queue->waiting.first != NULL || !issue(queue, req)) {
		list_add(&queue->waiting, req);
	}
}

void disk_queue_kick(struct disk_queue *queue)
{
	ring_submit(queue->ring);
	if (queue->has_fd &&
	    queue->done.first != NULL) { /* completed without the ring: the eventfd must say so */
		ring_wake(queue->ring);
	}
}

/* -- Completion -- */

/*
 * The host tells of a failed sync but once, and whose data it lost nobody knows: no other flush may
 * be answered (invariant 10). Without space a write with FUA fails before its sync.
 */
static void note_failed_sync(const struct op *op, int result)
{
	if (op->layer == NULL) {
		layer_fail(op->synced, result);
	} else if (op->req->op == DISK_OP_WRITE && op->durable && result != -ENOSPC &&
		   result != -EDQUOT) {
		layer_fail(op->layer, result);
	}
}

static void end_op(struct disk_queue *queue, struct op *op, int result)
{
	struct disk_req *req = op->req;

	if (op->layer != NULL) {
		if (!result && req->op == DISK_OP_WRITE) {
			result = op->layer->format->write_end(op->layer, op->offset, op->length,
							      &op->extent);
		}
		layer_io_end(op->layer, &op->extent);
	}
	if (result) {
		note_failed_sync(op, result);
	}
	if (op->layer == NULL) {
		atomic_fetch_sub(&op->synced->syncs, 1);
	}
	if (result && !req->result) {
		req->result = result;
	}
	op->next = queue->free_ops;
	queue->free_ops = op;
	req->p.pending--;
	if (!req->p.pending &&
	    queue->waiting.first != req) { /* the first that waits is issued further */
		settle(queue, req);
	}
}

/*
 * The kernel moved less than asked (the end of the file, a signal): the rest is moved here and now.
 */
static int finish_short(struct op *op)
{
	int ret = 0;

	while (op->moved < op->length && !ret) {
		struct iovec piece[OP_IOVS];
		uint64_t at = op->extent.file_offset + op->moved;
		unsigned n;

		op->moved += iov_slice(op->use, op->count, op->moved, op->length - op->moved, piece,
				       OP_IOVS, &n);
		ret = op->req->op == DISK_OP_READ ? file_readv(&op->layer->file, piece, n, at)
						  : file_writev(&op->layer->file, piece, n, at);
	}
	if (!ret && op->durable) {
		ret = file_sync(&op->layer->file);
	}
	return ret;
}

static void take_completions(struct disk_queue *queue)
{
	void *token;
	int result;

	while (ring_next(queue->ring, &token, &result)) {
		struct op *op = token;

		if (op->layer != NULL && (result >= 0 || result == -EINTR || result == -EAGAIN)) {
			op->moved = result > 0 ? (uint64_t)result : 0;
			result = op->moved < op->length ? finish_short(op) : 0;
		} else if (result == -EINTR || result == -EAGAIN) { /* a sync that was not made */
			result = file_sync(&op->synced->file);
		}
		end_op(queue, op, result);
	}
}

unsigned disk_queue_poll(struct disk_queue *queue)
{
	struct req_list done;
	unsigned count = 0;

	ring_clear(queue->ring);
	take_completions(queue);
	take_slow_done(queue);
	issue_waiting(queue);
	done = queue->done;
	list_init(&queue->done);
	while (done.first != NULL) {
		struct disk_req *req = done.first;

		done.first = req->p.next;
		count++;
		if (req->done != NULL) {
			req->done(req);
		} else {
			list_add(&queue->taken, req);
		}
	}
	disk_queue_kick(queue);
	return count;
}

unsigned disk_queue_wait(struct disk_queue *queue)
{
	unsigned count = disk_queue_poll(queue);

	if (!count && queue->in_flight) {
		ring_wait(queue->ring);
		count = disk_queue_poll(queue);
	}
	return count;
}

void disk_queue_sleep(struct disk_queue *queue)
{
	if (queue->done.first == NULL) {
		ring_wait(queue->ring);
	}
}

void disk_queue_watch(struct disk_queue *queue, int fd)
{
	ring_watch(queue->ring, fd);
}

void disk_queue_wake(struct disk_queue *queue)
{
	ring_wake(queue->ring);
}

struct disk_req *disk_queue_next(struct disk_queue *queue)
{
	return list_take(&queue->taken);
}
