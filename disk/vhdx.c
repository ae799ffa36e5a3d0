/*
 * VHDX: opening, a session's begin and end, parents. The order of writes is in docs/design/disk.md.
 */
#include "disk/vhdx.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/space.h"
#include "disk/units.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* 1: it is one; 0: it is none, as is what is too short for a signature. */
static int vhdx_probe(struct file *file)
{
	uint8_t signature[8];
	int ret = file_read(file, signature, sizeof(signature), 0);

	return ret == -ENODATA ? 0 : ret ? ret : !memcmp(signature, "vhdxfile", 8);
}

static void vhdx_release(struct layer *layer)
{
	if (layer->vhdx != NULL) {
		vhdx_forget_bat(layer->vhdx);
		vhdx_log_release(layer);
		free(layer->vhdx);
		layer->vhdx = NULL;
	}
}

/*
 * The log comes before all that it may say something of: whatever is read behind it is read through
 * its entries.
 */
static int vhdx_open(struct layer *layer, struct disk_error *error)
{
	int probed = vhdx_probe(&layer->file), ret;

	if (probed != 1) {
		return error_set(error, probed ? probed : -EMEDIUMTYPE, "%s: not a VHDX file",
				 layer->file.path);
	}
	layer->vhdx = calloc(1, sizeof(*layer->vhdx));
	if (layer->vhdx == NULL) {
		return error_set(error, -ENOMEM, "%s: out of memory", layer->file.path);
	}
	ret = vhdx_read_headers(layer, error);
	ret = ret ? ret : vhdx_log_read(layer, error);
	ret = ret ? ret : vhdx_read_regions(layer, error);
	ret = ret ? ret : vhdx_read_metadata(layer, error);
	return ret ? ret : vhdx_load_bat(layer, error);
}

/* -- Session -- */

/*
 * Whoever writes data makes the file another one to its children. A merge has told them which one
 * before.
 */
static void take_data_guid(struct vhdx *v)
{
	if (guid_is_zero(&v->next_data_write)) {
		guid_random(&v->header.data_write);
	} else {
		v->header.data_write = v->next_data_write;
	}
}

/* Nobody writes before the flags are set, and they are set when the headers are durable. */
static int begin_session(struct layer *layer, bool data)
{
	struct vhdx *v = layer->vhdx;
	bool first_data = data && !v->data_changed;
	uint64_t megabytes;
	int ret;

	if (v->begun && !first_data) {
		return 0;
	}
	if (first_data) {
		take_data_guid(v);
	}
	ret = v->begun ? vhdx_write_headers(layer) : vhdx_log_begin(layer);
	if (ret) {
		return ret;
	}
	pthread_mutex_lock(&layer->lock);
	megabytes = round_up(layer->file.size, DISK_MIB) /
		    DISK_MIB; /* replay may have made the file longer */
	if (megabytes > v->space.end) {
		ret = space_grow(&v->space, megabytes);
	}
	v->begun = !ret;
	v->data_changed |= first_data;
	pthread_mutex_unlock(&layer->lock);
	return ret;
}

static int begin(struct layer *layer, bool data)
{
	int ret = atomic_load(&layer->failed);

	if (ret) {
		return ret;
	}
	pthread_mutex_lock(&layer->flush_lock);
	ret = begin_session(layer, data);
	if (ret) {
		layer_fail(layer, ret);
	}
	pthread_mutex_unlock(&layer->flush_lock);
	return ret;
}

int vhdx_begin(struct layer *layer)
{
	return begin(layer, false);
}

int vhdx_begin_data(struct layer *layer)
{
	return begin(layer, true);
}

static int flush_session(struct layer *layer)
{
	return layer->vhdx->begun ? vhdx_flush_tables(layer) : 0;
}

int vhdx_flush(struct layer *layer)
{
	return layer_flush(layer, flush_session);
}

/* Called before more is changed, so that what one flush has to write is bounded. */
int vhdx_flush_if_full(struct layer *layer)
{
	bool full;

	pthread_mutex_lock(&layer->lock);
	full = vhdx_tables_are_full(layer->vhdx);
	pthread_mutex_unlock(&layer->lock);
	return full ? vhdx_flush(layer) : 0;
}

/*
 * The file is cut only after the header has let go of the log: an entry says how long the file was.
 */
static int vhdx_finish(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	int ret = atomic_load(&layer->failed);

	if (!v->begun || ret) {
		return ret;
	}
	ret = vhdx_flush(layer);
	pthread_mutex_lock(&layer->flush_lock);
	ret = ret ? ret : vhdx_log_end(layer);
	v->begun = false;
	vhdx_release_freed(layer);
	if (!ret && layer->report == NULL) { /* a repair keeps what nothing uses, too */
		uint64_t end = space_used_end(&v->space) * DISK_MIB;

		ret = end < layer->file.size ? file_truncate(&layer->file, end) : 0;
		ret = ret ? ret : file_sync(&layer->file);
		if (!ret) { /* a disk that is let go may be taken back */
			space_cut(&v->space, end / DISK_MIB);
		}
	}
	pthread_mutex_unlock(&layer->flush_lock);
	return ret;
}

/* -- Parents and information -- */

/*
 * By the log, as all tables: after a cut there is the old locator or the new one, and never a part
 * of either.
 */
static int commit_locator(struct layer *layer, const struct create_plan *plan,
			  const struct guid *linkage, const struct guid *linkage_2,
			  struct disk_error *error)
{
	int ret = vhdx_flush(layer);

	ret = ret ? ret : vhdx_begin(layer);
	if (ret) {
		return error_set(error, ret, "%s: cannot be written: %s", layer->file.path,
				 strerror(-ret));
	}
	pthread_mutex_lock(&layer->flush_lock);
	ret = vhdx_stage_locator(layer, plan, linkage, linkage_2, error);
	if (!ret) {
		ret = vhdx_log_commit(layer);
		if (ret) {
			error_set(error, ret, "%s: writing the parent locator: %s",
				  layer->file.path, strerror(-ret));
		}
	}
	layer->vhdx->stage_count = 0;
	pthread_mutex_unlock(&layer->flush_lock);
	return ret;
}

static int vhdx_set_parent(struct layer *layer, const struct create_plan *plan,
			   struct disk_error *error)
{
	struct guid linkage;
	char text[GUID_TEXT];

	plan->parent->format->identity(plan->parent, text);
	if (guid_parse(text, &linkage)) {
		return error_set(error, -EINVAL,
				 "%s: not a VHDX file, so it cannot be a parent of one",
				 plan->parent->file.path);
	}
	memcpy(layer->parent_id, text, sizeof(text));
	layer->parent_id_2[0] = 0;
	return commit_locator(layer, plan, &linkage, NULL, error);
}

/* Before a merge writes to the parent: the child fits its identity of now and the next one. */
int vhdx_expect_parent(struct layer *child, const struct guid *now, const struct guid *next,
		       struct disk_error *error)
{
	guid_print(now, child->parent_id);
	child->parent_id_2[0] = 0;
	if (next != NULL) {
		guid_print(next, child->parent_id_2);
	}
	return commit_locator(child, NULL, now, next, error);
}

/* Its space is free when the table that says so is durable. */
static int empty_block(struct layer *layer, uint64_t block)
{
	uint64_t index = vhdx_payload_index(layer->vhdx, block), entry = layer->vhdx->bat[index];
	int ret = 0;

	if (entry_state(entry) >= VHDX_FULLY_PRESENT) {
		ret = layer_free_space(layer, entry_offset(entry), layer->block_size);
	}
	if (!ret && entry_state(entry) != VHDX_NOT_PRESENT) {
		vhdx_set_entry(layer, index, VHDX_NOT_PRESENT);
	}
	return ret;
}

/* Block by block: the parent holds the same, so any part of it may be durable first. */
static int vhdx_empty(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	uint64_t block = 0;
	int ret = vhdx_begin(layer);

	while (block < v->payload_count && !ret) {
		layer_lock(layer, true);
		while (block < v->payload_count && !vhdx_tables_are_full(v) && !ret) {
			ret = empty_block(layer, block++);
		}
		layer_unlock(layer);
		ret = ret ? ret : vhdx_flush_if_full(layer);
	}
	return ret ? ret : vhdx_flush(layer);
}

static void vhdx_info(struct layer *layer, struct disk_info *info)
{
	struct vhdx *v = layer->vhdx;
	struct vhdx_identifier id;
	uint64_t block;

	guid_print(&v->disk_id, info->id);
	guid_print(&v->header.data_write, info->write_id);
	info->log_pending = !guid_is_zero(&v->header.log) && !v->begun;
	if (file_read(&layer->file, &id, sizeof(id), 0) ||
	    utf16_to_utf8(id.creator, sizeof(id.creator) / 2, false, info->creator,
			  sizeof(info->creator))) {
		info->creator[0] = 0;
	}
	info->blocks = v->payload_count;
	pthread_mutex_lock(&layer->lock);
	for (block = 0; block < v->payload_count; block++) {
		info->blocks_present +=
			entry_state(v->bat[vhdx_payload_index(v, block)]) >= VHDX_FULLY_PRESENT;
	}
	pthread_mutex_unlock(&layer->lock);
}

static void vhdx_identity(struct layer *layer, char text[GUID_TEXT])
{
	guid_print(&layer->vhdx->header.data_write, text);
}

const struct format vhdx_format = {
	.id = DISK_FORMAT_VHDX,
	.name = "vhdx",
	.endings = ".vhdx .avhdx",
	.has_blocks = true,
	.probe = vhdx_probe,
	.open = vhdx_open,
	.release = vhdx_release,
	.create = vhdx_create,
	.map = vhdx_map,
	.write_begin = vhdx_write_begin,
	.write_end = vhdx_write_end,
	.trim = vhdx_trim,
	.flush = vhdx_flush,
	.finish = vhdx_finish,
	.resize = vhdx_resize,
	.compact = vhdx_compact,
	.empty = vhdx_empty,
	.set_parent = vhdx_set_parent,
	.check = vhdx_check,
	.loose = vhdx_loose,
	.copy_log = vhdx_copy_log,
	.info = vhdx_info,
	.identity = vhdx_identity,
};
