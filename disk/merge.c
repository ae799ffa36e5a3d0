/*
 * Merge: a child's data goes down into its parent. At every moment the child over the parent reads
 * as before, because the child's sectors win; so a crash leaves a chain that opens, and the merge
 * is simply run again. The child learns the identity that the parent is going to have before the
 * parent gets it (VHDX; a VHD's stays).
 */
#include "disk/chain.h"

#include "disk/bytes.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/units.h"
#include "disk/vhdx.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP (1 * DISK_MIB)

/*
 * -- Writes while the top is being merged or mirrored: to the top, and to the parent or the mirror
 * as well where the copying has passed --
 */

#define MERGE_IOVS 64 /* disk_run hands over no more at once */

/*
 * The top has what was written, so that is no failure of the guest's: the merge ends with it. Under
 * merge_lock.
 */
static void give_up(struct disk *disk, int ret)
{
	if (ret) {
		disk->merged = 0;
		disk->merge_failed = ret;
	}
}

/* Who copies takes the lock again at once, and no lock here is fair. */
static void lock_for_write(struct disk *disk)
{
	atomic_fetch_add(&disk->merge_waiting, 1);
	pthread_mutex_lock(&disk->merge_lock);
	atomic_fetch_add(&disk->merge_turns, 1);
	atomic_fetch_sub(&disk->merge_waiting, 1);
}

static void give_way(struct disk *disk)
{
	unsigned turns = atomic_load(&disk->merge_turns);

	while (atomic_load(&disk->merge_waiting) && atomic_load(&disk->merge_turns) == turns) {
		usleep(50);
	}
}

int merge_write(struct disk *disk, struct iovec *iov, unsigned count, uint64_t length,
		uint64_t offset)
{
	struct iovec copy[MERGE_IOVS], part[MERGE_IOVS];
	unsigned n;
	int ret;

	lock_for_write(disk);
	memcpy(copy, iov, count * sizeof(*iov));
	ret = layer_write(disk, disk_top(disk), 0, iov, count, length, offset);
	if (offset < disk->merged) {
		uint64_t below = min_u64(length, disk->merged - offset);

		iov_slice(copy, count, 0, below, part, MERGE_IOVS, &n);
		if (ret) { /* what the top holds there nobody knows; below it a merge goes on */
			give_up(disk, disk->mirror != NULL ? ret : 0);
		} else if (disk->mirror != NULL) {
			give_up(disk, chain_write(disk->mirror, part, n, below, offset));
		} else {
			give_up(disk,
				layer_write(disk, disk->merge_target, 1, part, n, below, offset));
		}
	}
	pthread_mutex_unlock(&disk->merge_lock);
	return ret;
}

int merge_trim(struct disk *disk, uint64_t length, uint64_t offset)
{
	int ret;

	lock_for_write(disk);
	ret = layer_trim(disk, disk_top(disk), 0, length, offset);
	if (offset < disk->merged) {
		uint64_t below = min_u64(length, disk->merged - offset);

		if (ret) {
			give_up(disk, disk->mirror != NULL ? ret : 0);
		} else if (disk->mirror != NULL) {
			give_up(disk, chain_trim(disk->mirror, below, offset));
		} else {
			give_up(disk, layer_trim(disk, disk->merge_target, 1, below, offset));
		}
	}
	pthread_mutex_unlock(&disk->merge_lock);
	return ret;
}

/* -- Copying -- */

/*
 * What the layer itself says about this range: its data and its zeros go down, the rest is the
 * parent's already.
 */
static int merge_range(struct disk *disk, unsigned index, uint64_t offset, uint64_t length,
		       uint8_t *buffer, uint64_t *done)
{
	struct layer *child = disk->layers[index], *parent = disk->layers[index + 1];
	struct extent extent;
	struct iovec iov;
	int ret;

	layer_lock(child, true);
	ret = child->format->map(child, offset, length, true, &extent);
	layer_unlock(child);
	if (ret) {
		return ret;
	}
	*done = extent.length;
	if (extent.kind == EXTENT_PARENT) {
		return 0;
	}
	if (extent.kind == EXTENT_ZERO) {
		return layer_trim(disk, parent, index + 1, extent.length, offset);
	}
	iov = (struct iovec){buffer, extent.length};
	ret = file_readv(&child->file, &iov, 1, extent.file_offset);
	layer_io_end(child, &extent);
	iov = (struct iovec){buffer, extent.length};
	return ret ? ret : layer_write(disk, parent, index + 1, &iov, 1, extent.length, offset);
}

int merge_steps(struct disk *disk, unsigned index, merge_step *range,
		const struct disk_progress *progress)
{
	uint8_t *buffer = malloc(STEP);
	uint64_t size = disk->layers[index]->size, at = 0, done;
	int ret = buffer != NULL ? 0 : -ENOMEM;

	while (at < size && !ret) {
		pthread_mutex_lock(&disk->merge_lock);
		ret = disk->merge_failed;
		ret = ret ? ret : range(disk, index, at, min_u64(size - at, STEP), buffer, &done);
		if (!ret) {
			at += done;
			disk->merged = index ? 0 : at; /* the top alone is written meanwhile */
		}
		pthread_mutex_unlock(&disk->merge_lock);
		if (!ret && progress != NULL && progress->step != NULL) {
			ret = progress->step(progress->user, at, size);
		}
		give_way(disk);
	}
	free(buffer);
	return ret;
}

/* -- Layers that were only read become writable, and then are only read again -- */

static int retire(struct disk *disk, struct layer *layer)
{
	struct layer **list = realloc(disk->retired, (disk->retired_count + 1) * sizeof(*list));

	if (list == NULL) {
		return -ENOMEM;
	}
	disk->retired = list;
	list[disk->retired_count++] = layer;
	return 0;
}

bool layer_is_in_use(struct layer *layer)
{
	return atomic_load(&layer->in_flight[0]) || atomic_load(&layer->in_flight[1]) ||
	       atomic_load(&layer->syncs);
}

/* Who uses a layer found it under chain_lock, before it left: so none comes any more. */
static void close_retired(struct disk *disk)
{
	unsigned i, kept = 0;

	for (i = 0; i < disk->retired_count; i++) {
		if (layer_is_in_use(disk->retired[i])) {
			disk->retired[kept++] = disk->retired[i];
		} else {
			layer_close(&disk->retired[i], NULL);
		}
	}
	disk->retired_count = kept;
}

/*
 * A second opening takes the place of the first, which stays for the requests that are using it.
 * *fd is its, if there is one; then it becomes -1.
 */
static int make_writable(struct disk *disk, unsigned index, int *fd, struct disk_error *error)
{
	struct layer *old = disk->layers[index], *layer = NULL;
	int ret;

	if (old->writable) {
		return 0;
	}
	ret = layer_open(old->file.path, fd != NULL ? *fd : -1, old->format->id, DISK_NO_LOCK, NULL,
			 &layer, error);
	if (!ret && fd != NULL) {
		*fd = -1;
	}
	if (!ret && old->locked) {
		file_unlock(&old->file);
		ret = file_lock(&layer->file, true, error);
		layer->locked = !ret;
		if (ret && file_lock(&old->file, false, NULL)) {
			old->locked = false;
		}
	}
	ret = ret ? ret : retire(disk, old);
	if (ret) {
		layer_close(&layer, NULL);
		return ret;
	}
	pthread_rwlock_wrlock(&disk->chain_lock);
	disk->layers[index] = layer;
	pthread_rwlock_unlock(&disk->chain_lock);
	return 0;
}

/*
 * A parent is a whole file that others may read, also after a merge that was given up. Who holds
 * the handle knows of no writes to one, and would not close it before another process has the
 * files.
 */
static int make_parents(struct disk *disk, struct disk_error *error)
{
	unsigned i;
	int ret = 0;

	for (i = 1; i < disk->layer_count; i++) {
		struct layer *layer = disk->layers[i];
		int code = layer->writable ? layer->format->finish(layer) : 0;

		if (code && !ret) {
			ret = error_set(error, code, "%s: closing: %s", layer->file.path,
					strerror(-code));
		}
		if (layer->writable && layer->locked) {
			file_lock_share(&layer->file);
		}
		layer->writable = false;
	}
	return ret;
}

/*
 * The child expects the identity that the parent has now, and the one that it gets with its first
 * write.
 */
static int announce(struct layer *child, struct layer *parent, struct disk_error *error)
{
	struct guid next;

	if (child->format->id != DISK_FORMAT_VHDX || parent->vhdx->data_changed) {
		return 0;
	}
	guid_random(&next);
	parent->vhdx->next_data_write = next;
	return vhdx_expect_parent(child, &parent->vhdx->header.data_write, &next, error);
}

static int prepare(struct disk *disk, unsigned index, struct disk_merge_files *files,
		   struct disk_error *error)
{
	struct layer *child, *parent;
	int ret = make_writable(disk, index, files != NULL ? &files->file : NULL, error);

	ret = ret ? ret
		  : make_writable(disk, index + 1, files != NULL ? &files->parent : NULL, error);
	if (!ret && index) {
		ret = make_writable(disk, index - 1, files != NULL ? &files->child : NULL, error);
	}
	if (ret) {
		return ret;
	}
	child = disk->layers[index];
	parent = disk->layers[index + 1];
	ret = announce(child, parent, error);
	return ret || child->size <= parent->size
		       ? ret
		       : parent->format->resize(parent, child->size, error);
}

/* -- The whole -- */

/*
 * The merged file leaves the chain: its child, or nobody, has another parent now. Under chain_lock,
 * for writing.
 */
static int leave_chain(struct disk *disk, unsigned index, const struct disk_merge_files *files,
		       struct disk_error *error)
{
	struct create_plan plan = {0};
	struct layer *parent = disk->layers[index + 1];
	int ret = parent->format->flush(parent);

	if (ret) {
		return error_set(error, ret, "%s: %s", parent->file.path, strerror(-ret));
	}
	if (index) {
		struct layer *child = disk->layers[index - 1];

		if (files == NULL) {
			ret = plan_parent(&plan, child->file.path, parent, error);
			ret = ret ? ret : child->format->set_parent(child, &plan, error);
			plan_release(&plan);
		} else {
			plan = (struct create_plan){.parent = parent,
						    .parent_absolute = files->absolute,
						    .parent_relative = files->relative};
			ret = child->format->set_parent(child, &plan, error);
		}
	} else { /* who opens the old file after a crash must see what is written from now on */
		ret = disk_top(disk)->format->empty(disk_top(disk));
		ret = ret ? error_set(error, ret, "%s: %s", disk_top(disk)->file.path,
				      strerror(-ret))
			  : 0;
	}
	ret = ret ? ret : retire(disk, disk->layers[index]);
	if (!ret) {
		disk->layer_count--;
		memmove(&disk->layers[index], &disk->layers[index + 1],
			(disk->layer_count - index) * sizeof(disk->layers[0]));
	}
	return ret;
}

static int merge_top(struct disk *disk, const struct disk_progress *progress,
		     struct disk_error *error)
{
	int ret;

	pthread_mutex_lock(&disk->merge_lock);
	disk->merged = 0;
	disk->merge_target = disk->layers[1];
	pthread_mutex_unlock(&disk->merge_lock);
	chain_stop(disk);
	pthread_rwlock_unlock(&disk->chain_lock);
	ret = merge_steps(disk, 0, merge_range, progress);
	pthread_rwlock_wrlock(
		&disk->chain_lock);           /* writers hold it while they are in merge_write */
	ret = ret ? ret : disk->merge_failed; /* of a write behind the last step */
	if (ret) {
		error_set(error, ret, "%s: merging: %s", disk_top(disk)->file.path, strerror(-ret));
	} else {
		ret = leave_chain(disk, 0, NULL, error);
	}
	disk->merge_target = NULL;
	disk->merged = 0;
	disk->merge_failed = 0;
	atomic_store(&disk->merging, 0);
	pthread_rwlock_unlock(&disk->chain_lock);
	return ret;
}

static int merge_middle(struct disk *disk, unsigned index, const struct disk_merge_files *files,
			const struct disk_progress *progress, struct disk_error *error)
{
	int ret = merge_steps(disk, index, merge_range, progress);

	if (ret) {
		return error_set(error, ret, "%s: merging: %s", disk->layers[index]->file.path,
				 strerror(-ret));
	}
	pthread_rwlock_wrlock(&disk->chain_lock);
	ret = leave_chain(disk, index, files, error);
	pthread_rwlock_unlock(&disk->chain_lock);
	return ret;
}

static int merge_online(struct disk *disk, unsigned index, struct disk_merge_files *files,
			const struct disk_progress *progress, struct disk_error *error)
{
	int ret, code;

	if (disk->read_only || index + 1 >= disk->layer_count) {
		return error_set(error, -EINVAL, "%s: %s", disk_top(disk)->file.path,
				 disk->read_only ? "opened read-only"
						 : "there is no parent to merge into");
	}
	if (disk->mirror != NULL) {
		return error_set(error, -EBUSY, "%s: is being copied to another place",
				 disk_top(disk)->file.path);
	}
	close_retired(disk);
	ret = prepare(disk, index, files, error);
	if (!ret) {
		ret = !index ? merge_top(disk, progress, error)
			     : merge_middle(disk, index, files, progress, error);
	}
	code = make_parents(disk, ret ? NULL : error);
	return ret ? ret : code;
}

int disk_merge_online(struct disk *disk, unsigned index, const struct disk_progress *progress,
		      struct disk_error *error)
{
	return merge_online(disk, index, NULL, progress, error);
}

/* -- The same by descriptors -- */

static bool is_layer(const struct disk *disk, unsigned index, int fd)
{
	return index < disk->layer_count && file_is(&disk->layers[index]->file, fd);
}

static unsigned find_layer(const struct disk *disk, int fd)
{
	unsigned index = 0;

	while (index < disk->layer_count && !is_layer(disk, index, fd)) {
		index++;
	}
	return index;
}

static bool lies_on(const struct disk *disk, int child, unsigned index)
{
	return index ? is_layer(disk, index - 1, child) : child < 0;
}

static int look(const struct disk *disk, const struct disk_merge_files *files)
{
	unsigned index = find_layer(disk, files->file), parent = find_layer(disk, files->parent);

	if (index < disk->layer_count) {
		return parent == index + 1 && parent < disk->layer_count &&
				       lies_on(disk, files->child, index)
			       ? 0
			       : -EINVAL;
	}
	return parent < disk->layer_count && lies_on(disk, files->child, parent) ? -EALREADY
										 : -EINVAL;
}

int disk_look_at_merge(struct disk *disk, const struct disk_merge_files *files)
{
	int ret;

	pthread_rwlock_rdlock(&disk->chain_lock);
	ret = look(disk, files);
	pthread_rwlock_unlock(&disk->chain_lock);
	return ret;
}

int disk_merge_files(struct disk *disk, struct disk_merge_files *files,
		     const struct disk_progress *progress, struct disk_error *error)
{
	int ret = look(disk, files);

	if (ret) {
		return error_set(
			error, ret, "%s: %s", disk_top(disk)->file.path,
			ret == -EALREADY
				? "the file has gone into its parent"
				: "the files do not lie over each other in its chain; give one "
				  "that goes, its parent, and the one over it");
	}
	return merge_online(disk, find_layer(disk, files->file), files, progress, error);
}

struct scaled_progress {
	const struct disk_progress *progress;
	uint64_t before, total;
};

static int scaled_step(void *user, uint64_t done, uint64_t total)
{
	const struct scaled_progress *s = user;

	(void)total;
	return s->progress->step(s->progress->user, s->before + done, s->total);
}

/* The lowest goes first, so that each file's data is copied once. */
static int merge_all(struct disk *disk, unsigned count, const struct disk_progress *progress,
		     char **names, struct disk_error *error)
{
	struct scaled_progress scale = {.progress = progress};
	struct disk_progress scaled = {scaled_step, &scale};
	unsigned i;
	int ret = 0;

	for (i = 0; i < count; i++) {
		names[i] = strdup(disk->layers[i]->file.path);
		scale.total += disk->layers[i]->size;
	}
	for (i = count; i-- && !ret;) {
		uint64_t size = disk->layers[i]->size;

		ret = disk_merge_online(disk, i,
					progress != NULL && progress->step != NULL ? &scaled : NULL,
					error);
		scale.before += size;
	}
	return ret;
}

int disk_merge(const char *path, unsigned count, bool remove, unsigned flags,
	       const struct disk_progress *progress, struct disk_error *error)
{
	struct disk_open how = {.flags = flags & DISK_NO_LOCK};
	char *names[DISK_LAYERS_MAX] = {0};
	struct disk *disk;
	unsigned i;
	int ret = disk_open(path, &how, &disk, error), code;

	if (ret) {
		return ret;
	}
	if (!count || count >= disk->layer_count) {
		ret = error_set(error, -EINVAL, "%s: has %u parent(s), cannot merge %u file(s)",
				path, disk->layer_count - 1, count);
	}
	ret = ret ? ret : merge_all(disk, count, progress, names, error);
	code = disk_close(&disk, ret ? NULL : error);
	ret = ret ? ret : code;
	for (i = 0; i < count && i < DISK_LAYERS_MAX; i++) {
		if (!ret && remove && names[i] != NULL) {
			code = file_unlink(names[i]);
			ret = code ? error_set(error, code, "%s: merged, but cannot be deleted: %s",
					       names[i], strerror(-code))
				   : 0;
		}
		free(names[i]);
	}
	return ret;
}
