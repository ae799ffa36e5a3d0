/*
 * A new file of any format: fill in what was left open, find the parent, hand over to the format.
 */
#include "disk/internal.h"

#include <stdlib.h>

#define BLOCK_DEFAULT (2 * DISK_MIB)

/* The parent is opened as a chain's file is: read-only, and nobody may be writing to it. */
static int open_parent(const char *path, struct layer **parent, struct disk_error *error)
{
	return layer_open(path, -1, DISK_FORMAT_AUTO, DISK_READ_ONLY, NULL, parent, error);
}

static int fill_from_parent(struct create_plan *plan, const char *path, struct disk_error *error)
{
	struct disk_create *how = &plan->how;
	const struct layer *parent = plan->parent;

	if (parent->format->id == DISK_FORMAT_RAW) {
		return error_set(error, -EINVAL,
				 "%s: a raw file cannot be a parent; convert it first",
				 parent->file.path);
	}
	if (how->format != parent->format->id) {
		return error_set(error, -EINVAL,
				 "%s: its parent is a %s file, so it must be one too", path,
				 parent->format->name);
	}
	how->size = how->size ? how->size : parent->size;
	how->block_size = how->block_size ? how->block_size : parent->block_size;
	how->sector_size = how->sector_size ? how->sector_size : parent->sector_size;
	how->physical_size = how->physical_size ? how->physical_size : parent->physical_size;
	return how->sector_size == parent->sector_size
		       ? 0
		       : error_set(
				 error, -EINVAL,
				 "%s: its parent has sectors of %u bytes, so it must have them too",
				 path, parent->sector_size);
}

static void fill_defaults(struct disk_create *how, const char *path)
{
	if (how->format == DISK_FORMAT_AUTO) {
		const struct format *named = format_of_name(path);

		how->format = named != NULL ? named->id : DISK_FORMAT_RAW;
	}
}

static void fill_sizes(struct disk_create *how)
{
	how->block_size = how->block_size ? how->block_size : BLOCK_DEFAULT;
	how->sector_size = how->sector_size ? how->sector_size : 512;
	if (!how->physical_size) {
		how->physical_size = how->format == DISK_FORMAT_VHDX ? 4096 : 512;
	}
}

static int create_file(const char *path, const struct create_plan *plan, struct disk_error *error)
{
	const struct format *format = format_find(plan->how.format);
	bool was_there = file_exists(path);
	struct file file;
	int ret = file_create(&file, path, plan->how.replace, error);

	if (ret) {
		return ret;
	}
	ret = format->create(&file, plan, error);
	file_close(&file);
	if (ret && !was_there) {
		file_unlink(path);
	}
	return ret;
}

int disk_create(const char *path, const struct disk_create *how, struct disk_error *error)
{
	struct create_plan plan = {.how = *how};
	char *storage = NULL;
	int ret = 0;

	fill_defaults(&plan.how, path);
	if (format_find(plan.how.format) == NULL) {
		return error_set(error, -EINVAL, "%s: no such format", path);
	}
	if ((how->type == DISK_DIFFERENCING) != (how->parent != NULL)) {
		return error_set(error, -EINVAL,
				 "%s: a differencing disk, and no other, has a parent", path);
	}
	if (how->parent != NULL) {
		ret = open_parent(how->parent, &plan.parent, error);
		ret = ret ? ret : fill_from_parent(&plan, path, error);
		ret = ret ? ret : plan_parent(&plan, path, plan.parent, &storage, error);
	}
	if (!ret) {
		fill_sizes(&plan.how);
		ret = create_file(path, &plan, error);
	}
	if (plan.parent != NULL) {
		layer_close(&plan.parent, NULL);
	}
	free(storage);
	return ret;
}
