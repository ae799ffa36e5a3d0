/*
 * Check and repair of one file. A repair looks first; where it would have to let go of a block it
 * does nothing unless it is told to, and then what it lets go of is in a file of its own before the
 * first write.
 */
#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE      (1 * DISK_MIB)
#define NAMES_MAX  100u
#define OPEN_FLAGS ((unsigned)DISK_NO_LOCK)

/* The data in a range, to the same place of another file. */
static int copy_range(struct file *from, struct file *to, const struct span *range, uint8_t *piece)
{
	uint64_t at = range->offset, end = min_u64(range->offset + range->length, from->size), stop;
	int ret = 0;

	while (at < end && !ret) {
		file_next_data(from, at, &at, &stop);
		for (stop = min_u64(stop, end); at < stop && !ret;) {
			size_t n = (size_t)min_u64(PIECE, stop - at);

			ret = file_read(from, piece, n, at);
			if (!ret && !is_all_zero(piece, n)) {
				ret = file_write(to, piece, n, at);
			}
			at += n;
		}
	}
	return ret;
}

static int copy_all(struct file *from, struct file *to, const struct span_list *list)
{
	uint8_t *piece = malloc(PIECE);
	size_t i;
	int ret = piece != NULL ? 0 : -ENOMEM;

	for (i = 0; i < list->count && !ret; i++) {
		ret = copy_range(from, to, &list->spans[i], piece);
	}
	free(piece);
	return ret;
}

/* FILE.dropped, or the first of FILE.dropped.1, .2 ... that is not there. */
static int create_beside(const char *path, bool lock, struct file *file, char **name,
			 struct disk_error *error)
{
	size_t room = strlen(path) + sizeof(".dropped.100");
	unsigned n;
	int ret = -EEXIST;

	*name = malloc(room);
	if (*name == NULL) {
		return error_set(error, -ENOMEM, "%s: out of memory", path);
	}
	for (n = 0; n < NAMES_MAX && ret == -EEXIST; n++) {
		if (n) {
			snprintf(*name, room, "%s.dropped.%u", path, n);
		} else {
			snprintf(*name, room, "%s.dropped", path);
		}
		ret = file_create(file, *name, false, lock, error);
	}
	if (ret) {
		free(*name);
		*name = NULL;
	}
	return ret;
}

static int save_dropped(struct layer *layer, struct disk_report *report, struct disk_error *error)
{
	struct file beside;
	int ret = layer->format->loose(layer, &report->places->list);

	if (ret) {
		return error_set(error, ret, "%s: out of memory", layer->file.path);
	}
	ret = create_beside(layer->file.path, layer->locked, &beside, &report->saved, error);
	if (ret) {
		return ret;
	}
	ret = file_take_owner(&beside, layer->file.path, NULL);
	ret = ret ? ret : copy_all(&layer->file, &beside, &report->places->list);
	ret = ret ? ret : file_truncate(&beside, layer->file.size);
	if (!ret && layer->format->copy_log != NULL) {
		ret = layer->format->copy_log(layer, &beside);
	}
	ret = ret ? ret : file_sync(&beside);
	ret = ret ? ret : file_sync_folder(report->saved);
	if (ret) {
		error_set(error, ret, "%s: saving what is dropped: %s; nothing was repaired",
			  report->saved, strerror(-ret));
		file_unlink(report->saved);
		free(report->saved);
		report->saved = NULL;
	}
	file_close(&beside);
	return ret;
}

/* Looks; saves what a repair drops. */
static int look(const char *path, enum disk_format format, unsigned flags,
		struct disk_report *report, struct disk_error *error)
{
	struct layer *layer;
	int ret = layer_open(path, -1, format, (flags & OPEN_FLAGS) | DISK_READ_ONLY, report,
			     &layer, error);

	if (ret) {
		return ret;
	}
	ret = layer->format->check(layer, error);
	if (!ret && report->dropped && (flags & DISK_REPAIR)) {
		ret = flags & DISK_REPAIR_DROP
			      ? save_dropped(layer, report, error)
			      : error_set(error, -EUCLEAN,
					  "%s: nothing was repaired: that would drop %u entries of "
					  "the block table, with their data; --force does it, and "
					  "saves what the file has of them",
					  path, report->dropped);
	}
	layer_close(&layer, NULL);
	return ret;
}

static int repair(const char *path, enum disk_format format, unsigned flags,
		  struct disk_report *report, struct disk_error *error)
{
	struct disk_report before = *report;
	struct layer *layer;
	int ret, code;

	*report = (struct disk_report){0};
	ret = layer_open(path, -1, format, flags & OPEN_FLAGS, report, &layer, error);
	if (!ret) {
		if (report->dropped != before.dropped) {
			layer->writable = false; /* closing changes nothing */
			ret = error_set(error, -EBUSY,
					"%s: was changed meanwhile; nothing was repaired", path);
		}
		ret = ret ? ret : layer->format->check(layer, error);
		code = layer_close(&layer, ret ? NULL : error);
		ret = ret ? ret : code;
	}
	if (ret) { /* how much of it is in the file is not known: what was found stands */
		disk_report_free(report);
		*report = before;
		return ret;
	}
	report->saved = before.saved;
	before.saved = NULL;
	disk_report_free(&before);
	return 0;
}

int disk_check(const char *path, enum disk_format format, unsigned flags,
	       struct disk_report *report, struct disk_error *error)
{
	int ret;

	*report = (struct disk_report){0};
	ret = look(path, format, flags, report, error);
	return ret || !(flags & DISK_REPAIR) ? ret : repair(path, format, flags, report, error);
}
