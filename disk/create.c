/*
 * A new file of any format: fill in what was left open, find the parent, hand over to the format.
 */
#include "disk/create.h"

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

#define BLOCK_DEFAULT (2 * DISK_MIB)

/* The parent is opened as a chain's file is: read-only, and nobody may be writing to it. */
static int open_parent(const struct disk_create *how, struct layer **parent,
		       struct disk_error *error)
{
	return layer_open(how->parent, -1, DISK_FORMAT_AUTO,
			  DISK_READ_ONLY | (how->no_lock ? DISK_NO_LOCK : 0), NULL, parent, error);
}

/* What was left open is as in the parent; its format and its sectors a child must have anyway. */
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

/* A name without an ending is a raw file's, and so is a block device's. */
int create_choose_format(struct disk_create *how, const char *path, struct disk_error *error)
{
	bool device = file_is_device(path);

	if (how->format == DISK_FORMAT_AUTO) {
		const struct format *named = device ? NULL : format_of_name(path);

		how->format = named != NULL ? named->id : DISK_FORMAT_RAW;
	}
	if (device && how->format != DISK_FORMAT_RAW) {
		return error_set(error, -EINVAL,
				 "%s: a block device cannot grow, so it takes a raw disk only; "
				 "--format raw",
				 path);
	}
	return format_find(how->format) != NULL
		       ? 0
		       : error_set(error, -EINVAL, "%s: no such format", path);
}

static void fill_sizes(struct disk_create *how)
{
	how->block_size = how->block_size ? how->block_size : BLOCK_DEFAULT;
	how->sector_size = how->sector_size ? how->sector_size : 512;
	if (!how->physical_size) {
		how->physical_size = how->format == DISK_FORMAT_VHDX ? 4096 : 512;
	}
}

/* -- Where it is written -- */

#define SUFFIX ".partial"

/* A link stays one: the file that it leads to is replaced. */
static int choose_name(struct creation *creation, const char *path, const struct disk_create *how,
		       struct disk_error *error)
{
	char *resolved = file_exists(path) ? file_resolve(path) : strdup(path);
	bool device = file_is_device(path);

	*creation = (struct creation){.path = resolved,
				      .replace = how->replace,
				      .lock = !how->no_lock,
				      .file = {.fd = -1, .direct_fd = -1}};
	if (resolved != NULL && !how->replace && file_exists(path)) {
		return error_set(error, -EEXIST,
				 "%s: %s; give another name, or --force to replace it", path,
				 strerror(EEXIST));
	}
	creation->written = resolved != NULL ? malloc(strlen(resolved) + sizeof(SUFFIX)) : NULL;
	if (creation->written == NULL) {
		return error_set(error, -ENOMEM, "%s: out of memory", path);
	}
	strcpy(creation->written, resolved);
	strcat(creation->written, device ? "" : SUFFIX);
	return 0;
}

/* A block device is written where it is: it has no name to be renamed to. */
static bool in_place(const struct creation *creation)
{
	return !strcmp(creation->path, creation->written);
}

static void creation_free(struct creation *creation)
{
	file_close(&creation->file);
	free(creation->path);
	free(creation->written);
	*creation = (struct creation){0};
}

/* Only what is ours is removed: somebody else may be writing a file of this name. */
static int write_file(struct creation *creation, const struct create_plan *plan,
		      struct disk_error *error)
{
	const char *path = creation->written;
	const struct format *format = format_find(plan->how.format);
	struct file *file = &creation->file;
	int ret = file_create(file, path, true, creation->lock, error);

	if (ret == -ENAMETOOLONG && !in_place(creation)) {
		error_set(error, ret,
			  "%s: the name is too long: while it is written the file has \"" SUFFIX
			  "\" behind it; give a name with room for that",
			  creation->path);
	}
	if (ret) {
		return ret;
	}
	if (!in_place(creation)) {
		ret = file_take_owner(file, creation->path, error);
	} else if (file->size < plan->how.size) {
		ret = error_set(error, -ENOSPC, "%s: has %llu bytes, the disk %llu", path,
				(unsigned long long)file->size, (unsigned long long)plan->how.size);
	}
	ret = ret ? ret : format->create(file, plan, error);
	if (ret && !in_place(creation)) {
		file_unlink(path);
	}
	return ret;
}

/* A file that somebody has open is not replaced under them. */
static int check_existing(const struct creation *creation, struct disk_error *error)
{
	struct file old;
	int ret;

	if (in_place(creation) || !creation->lock || !file_exists(creation->path)) {
		return 0;
	}
	ret = file_open(&old, creation->path, true, error);
	if (!ret) {
		ret = file_lock(&old, true, error);
		file_close(&old);
	}
	return ret;
}

int create_begin(struct creation *creation, const char *path, const struct disk_create *how,
		 struct disk_error *error)
{
	struct create_plan plan = {.how = *how};
	struct guid id;
	int ret = create_choose_format(&plan.how, path, error);

	if (ret) {
		return ret;
	}
	if ((how->type == DISK_DIFFERENCING) != (how->parent != NULL)) {
		return error_set(error, -EINVAL,
				 "%s: a differencing disk, and no other, has a parent", path);
	}
	if (how->id != NULL && guid_parse(how->id, &id) != 0) {
		return error_set(error, -EINVAL, "%s: its identity is none: %.40s", path, how->id);
	}
	ret = choose_name(creation, path, how, error);
	ret = ret ? ret : check_existing(creation, error);
	if (!ret && how->parent != NULL) {
		ret = open_parent(how, &plan.parent, error);
		ret = ret ? ret : fill_from_parent(&plan, path, error);
		ret = ret ? ret : chain_check_depth(path, plan.parent, error);
		ret = ret ? ret : plan_parent(&plan, path, plan.parent, error);
	}
	if (!ret) {
		fill_sizes(&plan.how);
		ret = write_file(creation, &plan, error);
	}
	layer_close(&plan.parent, NULL);
	plan_release(&plan);
	if (ret) {
		creation_free(creation);
	}
	return ret;
}

int create_end(struct creation *creation, int result, struct disk_error *error)
{
	int ret = result;

	if (!in_place(creation)) {
		ret = ret ? ret
			  : file_rename(creation->written, creation->path, creation->replace,
					creation->lock, error);
		if (ret) {
			file_unlink(creation->written);
		}
	}
	creation_free(creation);
	return ret;
}

int disk_create(const char *path, const struct disk_create *how, struct disk_error *error)
{
	struct creation creation;
	int ret = create_begin(&creation, path, how, error);

	if (ret) {
		return ret;
	}
	ret = file_sync(&creation.file);
	if (ret) {
		error_set(error, ret, "%s: %s", creation.path, strerror(-ret));
	}
	return create_end(&creation, ret, error);
}
