/*
 * What the formats share: opening and closing one file of a chain, its locks, its epochs, freed
 * space, findings.
 *
 * An epoch is a parity. Requests that touch the file count in in_flight[epoch] from map or
 * write_begin to layer_io_end. When a batch of freed space becomes durable the epoch flips, and the
 * batch waits until the old parity's count is 0: then no request from before can touch that space
 * (invariant 8).
 */
#include "disk/layer.h"

#include "disk/chain.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/units.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * Spans that follow each other are one; what lies before the fence is not grown, since somebody
 * counts on its length.
 */
int span_add(struct span_list *list, uint64_t offset, uint64_t length)
{
	struct span *last = list->count > list->fence ? &list->spans[list->count - 1] : NULL;

	if (last != NULL && last->offset + last->length == offset) {
		last->length += length;
		return 0;
	}
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		struct span *spans = realloc(list->spans, capacity * sizeof(*spans));

		if (spans == NULL) {
			return -ENOMEM;
		}
		list->spans = spans;
		list->capacity = capacity;
	}
	list->spans[list->count++] = (struct span){offset, length};
	return 0;
}

static void layer_free(struct layer *layer)
{
	if (layer->format != NULL) {
		layer->format->release(layer);
	}
	file_close(&layer->file);
	pthread_mutex_destroy(&layer->lock);
	pthread_mutex_destroy(&layer->flush_lock);
	free(layer->freed.spans);
	free(layer->waiting.spans);
	free(layer->parent_path);
	free(layer->parent_path_2);
	free(layer);
}

/* A format that was named is believed, and its own open says when that was wrong. */
static int choose_format(struct layer *layer, enum disk_format id, struct disk_error *error)
{
	if (id != DISK_FORMAT_AUTO) {
		layer->format = format_find(id);
		return layer->format != NULL
			       ? 0
			       : error_set(error, -EINVAL, "%s: no such format", layer->file.path);
	}
	return format_probe(&layer->file, layer->writable, &layer->format, error);
}

int layer_open(const char *path, int fd, enum disk_format format, unsigned flags,
	       struct disk_report *report, struct layer **out, struct disk_error *error)
{
	struct layer *layer = calloc(1, sizeof(*layer));
	const struct format *chosen;
	int ret;

	if (layer == NULL) {
		return error_set(error, -ENOMEM, "%s: out of memory", path);
	}
	layer->file.fd = layer->file.direct_fd = -1;
	pthread_mutex_init(&layer->lock, NULL);
	pthread_mutex_init(&layer->flush_lock, NULL);
	layer->open = 1;
	layer->writable = !(flags & DISK_READ_ONLY);
	layer->new_parent = flags & LAYER_NEW_PARENT;
	layer->report = report;
	ret = fd >= 0 ? file_adopt(&layer->file, fd, path, layer->writable, error)
		      : file_open(&layer->file, path, layer->writable, error);
	if (!ret && !(flags & (DISK_NO_LOCK | LAYER_LOCKED))) {
		ret = file_lock(&layer->file, layer->writable, error);
		layer->locked = !ret;
	}
	if (!ret && (flags & DISK_DIRECT)) {
		ret = file_open_direct(&layer->file, error);
	}
	if (!ret) {
		ret = choose_format(layer, format, error);
	}
	chosen = layer->format;
	if (!ret) {
		ret = chosen->open(layer, error);
	}
	if (ret) {
		if (fd >= 0) {
			layer->file.fd = -1; /* still the caller's */
		}
		layer_free(layer);
		return ret;
	}
	*out = layer;
	return 0;
}

/* What failed here was not flushed: nobody was told that it is safe. */
int layer_close(struct layer **where, struct disk_error *error)
{
	struct layer *layer = *where;
	int ret = 0;

	if (layer == NULL) {
		return 0;
	}
	*where = NULL;
	if (layer->writable) {
		ret = layer->format->finish(layer);
		if (ret) {
			error_set(error, ret, "%s: closing: %s; what was flushed before is safe",
				  layer->file.path, strerror(-ret));
		}
	}
	layer_free(layer);
	return ret;
}

void layer_io_begin(struct layer *layer, struct extent *extent)
{
	extent->epoch = layer->epoch;
	atomic_fetch_add_explicit(&layer->in_flight[layer->epoch], 1, memory_order_relaxed);
}

void layer_io_end(struct layer *layer, const struct extent *extent)
{
	if (extent->kind == EXTENT_DATA) {
		atomic_fetch_sub_explicit(&layer->in_flight[extent->epoch], 1,
					  memory_order_release);
	}
}

/*
 * Who may not wait is sent to a thread that may, while a flush or a change of the table holds the
 * lock for long.
 */
int layer_lock(struct layer *layer, bool wait)
{
	if (!wait && atomic_load_explicit(&layer->stalled, memory_order_relaxed)) {
		return -EAGAIN;
	}
	pthread_mutex_lock(&layer->lock);
	return 0;
}

void layer_unlock(struct layer *layer)
{
	pthread_mutex_unlock(&layer->lock);
}

/* The first error stays: from then on no flush is answered with success, whatever works again. */
int layer_fail(struct layer *layer, int code)
{
	int none = 0;

	atomic_compare_exchange_strong(&layer->failed, &none, code);
	return code;
}

/* -- Generations -- */

void layer_change(struct layer *layer)
{
	atomic_store(&layer->changed, atomic_load(&layer->open));
}

/* In this order: a change that comes between the two is of no concern to who asks. */
bool layer_is_dirty(const struct layer *layer)
{
	uint64_t changed = atomic_load(&layer->changed);

	return changed > atomic_load(&layer->durable);
}

uint64_t layer_end_generation(struct layer *layer)
{
	return atomic_fetch_add(&layer->open, 1);
}

void layer_set_durable(struct layer *layer, uint64_t generation)
{
	atomic_store(&layer->durable, generation);
}

int layer_flush(struct layer *layer, int (*flush)(struct layer *layer))
{
	uint64_t mine = atomic_load(&layer->open);
	int ret;

	pthread_mutex_lock(&layer->flush_lock);
	ret = atomic_load(&layer->failed);
	if (!ret && atomic_load(&layer->durable) < mine) {
		ret = flush(layer);
	}
	pthread_mutex_unlock(&layer->flush_lock);
	return ret;
}

/* -- Freed space -- */

#define RECLAIM_MAX (64 * DISK_MIB)

int layer_free_space(struct layer *layer, uint64_t offset, uint64_t length)
{
	int ret = span_add(&layer->freed, offset, length);

	layer->reclaimable += ret ? 0 : length;
	return ret;
}

bool layer_should_reclaim(const struct layer *layer)
{
	return layer->reclaimable >= min_u64(RECLAIM_MAX, layer->size / 4) && layer->reclaimable;
}

int layer_sync(struct layer *layer)
{
	int ret = atomic_load(&layer->failed);

	if (ret) {
		return ret;
	}
	ret = file_sync(&layer->file);
	return ret ? layer_fail(layer, ret) : 0;
}

void report_add(struct disk_report *report, enum disk_severity severity, bool repaired,
		const char *text)
{
	unsigned *counts[] = {&report->notes, &report->leaks, &report->damages};

	++*counts[severity];
	report->repaired += repaired;
	if (report->count == report->capacity && report->capacity < 4096) {
		unsigned capacity = report->capacity ? report->capacity * 2 : 16;
		struct disk_finding *findings =
			realloc(report->findings, capacity * sizeof(*findings));

		if (findings == NULL) {
			return;
		}
		report->findings = findings;
		report->capacity = capacity;
	}
	if (report->count < report->capacity) {
		struct disk_finding *finding = &report->findings[report->count++];

		finding->severity = severity;
		finding->repaired = repaired;
		snprintf(finding->text, sizeof(finding->text), "%s", text);
	}
}

void disk_report_free(struct disk_report *report)
{
	if (report->places != NULL) {
		free(report->places->list.spans);
	}
	free(report->places);
	free(report->saved);
	free(report->findings);
	*report = (struct disk_report){0};
}

int layer_fault(struct layer *layer, struct disk_error *error, enum disk_severity severity,
		const char *format, ...)
{
	char text[240];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (layer->report != NULL) {
		report_add(layer->report, severity, severity == DISK_DAMAGE && layer->writable,
			   text);
		return 0;
	}
	return severity == DISK_DAMAGE
		       ? error_set(error, -EUCLEAN,
				   "%s: damaged: %s; vhd test --repair %s mends what it can",
				   layer->file.path, text, layer->file.path)
		       : 0;
}

/*
 * What is dropped is copied to a file beside before it goes; behind the file's end there is nothing
 * to copy.
 */
static int note_place(struct layer *layer, const struct span *place)
{
	struct disk_report *report = layer->report;

	if (report->places == NULL) {
		report->places = calloc(1, sizeof(*report->places));
	}
	if (report->places == NULL) {
		return -ENOMEM;
	}
	report->dropped++;
	return place->offset < layer->file.size
		       ? span_add(&report->places->list, place->offset,
				  min_u64(place->length, layer->file.size - place->offset))
		       : 0;
}

int layer_drop(struct layer *layer, struct disk_error *error, const char *what,
	       const struct span *file, const struct span *disk)
{
	char where[60] = "";
	int ret;

	if (disk->length) {
		snprintf(where, sizeof(where), "%llu bytes of the disk at %llu, ",
			 (unsigned long long)disk->length, (unsigned long long)disk->offset);
	}
	ret = layer_fault(layer, error, DISK_DAMAGE, "%s: %sof the file at %llu", what, where,
			  (unsigned long long)file->offset);
	if (!ret && note_place(layer, file)) {
		ret = error_set(error, -ENOMEM, "%s: out of memory", layer->file.path);
	}
	return ret;
}
