/* Chains: finding and checking parents, giving a child another one. */
#include "disk/create.h"

#include "disk/bytes.h"
#include "disk/chain.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* name, taken from the folder that base_file is in, unless it is absolute. */
static char *path_beside(const char *base_file, const char *name)
{
	const char *slash = strrchr(base_file, '/');
	size_t folder = slash != NULL && name[0] != '/' ? (size_t)(slash - base_file) + 1 : 0;
	char *path = malloc(folder + strlen(name) + 1);

	if (path != NULL) {
		memcpy(path, base_file, folder);
		strcpy(path + folder, name);
	}
	return path;
}

/* Both names absolute and without links. */
static char *path_relative(const char *from_file, const char *to_file)
{
	size_t common = 0, ups = 0, i;
	char *path;

	for (i = 0; from_file[i] && from_file[i] == to_file[i]; i++) {
		common = from_file[i] == '/' ? i + 1 : common;
	}
	for (i = common; from_file[i]; i++) {
		ups += from_file[i] == '/';
	}
	path = malloc(ups * 3 + strlen(to_file + common) + 1);
	if (path != NULL) {
		for (i = 0; i < ups; i++) {
			memcpy(path + 3 * i, "../", 3);
		}
		strcpy(path + 3 * ups, to_file + common);
	}
	return path;
}

/* Absolute and without links; nothing has to be there. NULL: its folder is not. */
static char *place_in_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *own_folder = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup("./");
	char *folder = own_folder != NULL ? file_resolve(own_folder) : NULL;
	char *place = folder != NULL ? malloc(strlen(folder) + 3) : NULL;

	if (place != NULL) {
		sprintf(place, "%s%sx", folder, folder[1] ? "/" : "");
	}
	free(own_folder);
	free(folder);
	return place;
}

int disk_parent_names(const char *child, const char *parent, char **absolute, char **relative,
		      struct disk_error *error)
{
	char *place = place_in_folder(child);

	*absolute = file_resolve(parent);
	*relative = *absolute != NULL && place != NULL ? path_relative(place, *absolute) : NULL;
	free(place);
	if (*relative == NULL) {
		free(*absolute);
		*absolute = NULL;
		return error_set(error, -ENOENT, "%s: its folder, or %s, cannot be found", child,
				 parent);
	}
	return 0;
}

int plan_parent(struct create_plan *plan, const char *child_path, struct layer *parent,
		struct disk_error *error)
{
	char *absolute, *relative;
	int ret = disk_parent_names(child_path, parent->file.path, &absolute, &relative, error);

	plan->parent = parent;
	plan->parent_absolute = absolute;
	plan->parent_relative = relative;
	return ret;
}

void plan_release(struct create_plan *plan)
{
	free((char *)plan->parent_absolute);
	free((char *)plan->parent_relative);
}

/*
 * Its identity is all that tells a parent from a file that was put in its place, or that was
 * written to since.
 */
static int parent_check(const struct layer *child, struct layer *parent, struct disk_error *error)
{
	char id[GUID_TEXT];

	if (parent->format != child->format) {
		return error_set(error, -EINVAL,
				 "%s: its parent %s is a %s file; a parent has the child's format",
				 child->file.path, parent->file.path, parent->format->name);
	}
	if (parent->sector_size != child->sector_size) {
		return error_set(error, -EINVAL, "%s: its parent %s has other sectors (%u bytes)",
				 child->file.path, parent->file.path, parent->sector_size);
	}
	parent->format->identity(parent, id);
	if (strcmp(id, child->parent_id) && strcmp(id, child->parent_id_2)) {
		return error_set(error, -ESTALE,
				 "%s: its parent %s was changed, or is another one, since the "
				 "child was made; if it is right all the same: vhd rebase %s %s "
				 "--force",
				 child->file.path, parent->file.path, child->file.path,
				 parent->file.path);
	}
	return 0;
}

/* A name as Windows writes it: backslashes, perhaps a drive. */
static void to_local(char *path)
{
	char *p;

	if (((path[0] | 0x20) >= 'a' && (path[0] | 0x20) <= 'z') && path[1] == ':') {
		memmove(path, path + 2, strlen(path + 2) + 1);
	}
	for (p = path; *p; p++) {
		*p = *p == '\\' ? '/' : *p;
	}
}

/*
 * The name as a path of this system, if there is a file; with base_only its last part alone, in the
 * child's folder.
 */
static char *try_name(const struct layer *child, const char *name, bool base_only)
{
	char *copy = name != NULL ? strdup(name) : NULL, *path = NULL;
	char *slash;

	if (copy != NULL) {
		to_local(copy);
		slash = strrchr(copy, '/');
		path = path_beside(child->file.path, base_only && slash != NULL ? slash + 1 : copy);
	}
	free(copy);
	if (path != NULL && file_exists(path)) {
		return path;
	}
	free(path);
	return NULL;
}

/* Relative to the child, then absolute, then by the bare name beside the child. */
static char *find_parent(const struct layer *child)
{
	const char *names[] = {child->parent_path, child->parent_path_2};
	char *path = NULL;
	unsigned i;

	for (i = 0; i < 4 && path == NULL; i++) {
		path = try_name(child, names[i % 2], i >= 2);
	}
	return path;
}

/*
 * A parent is only read, and has its child's format: what is in it does not decide how it is read.
 */
static int open_parent(struct layer *child, const struct disk_open *how, unsigned index,
		       struct layer **parent, struct disk_error *error)
{
	unsigned flags = DISK_READ_ONLY | (how->flags & (DISK_NO_LOCK | DISK_DIRECT));
	const char *name = child->parent_path != NULL     ? child->parent_path
			   : child->parent_path_2 != NULL ? child->parent_path_2
							  : "(without a name)";
	char *path;
	int ret;

	if (how->fd_count) { /* the caller may have no way to any name */
		return index < how->fd_count
			       ? layer_open(name, how->fds[index], child->format->id, flags, NULL,
					    parent, error)
			       : error_set(error, -ENOENT,
					   "%s: its parent %s is not among the files given; give "
					   "the whole chain, the nearest parent first",
					   child->file.path, name);
	}
	path = find_parent(child);
	if (path == NULL) {
		return error_set(error, -ENOENT,
				 "%s: its parent %s is not there; vhd rebase %s PARENT names "
				 "another place",
				 child->file.path, name, child->file.path);
	}
	ret = layer_open(path, -1, child->format->id, flags, NULL, parent, error);
	free(path);
	return ret;
}

/* A file that is its own ancestor would be an endless chain; the limit ends any. */
int chain_open_parents(struct disk *disk, const struct disk_open *how, struct disk_error *error)
{
	while (disk->layers[disk->layer_count - 1]->type == DISK_DIFFERENCING) {
		struct layer *child = disk->layers[disk->layer_count - 1], *parent;
		int ret;

		if (disk->layer_count == DISK_LAYERS_MAX) {
			return error_set(error, -ELOOP,
					 "%s: more than %u files in the chain, or a loop",
					 disk_top(disk)->file.path, DISK_LAYERS_MAX);
		}
		ret = open_parent(child, how, disk->layer_count, &parent, error);
		if (ret) {
			return ret;
		}
		disk->layers[disk->layer_count++] = parent;
		ret = parent_check(child, parent, error);
		if (ret && (ret != -ESTALE || !(how->flags & DISK_STALE_PARENT))) {
			return ret;
		}
	}
	return 0;
}

/* Links are followed; another hard link is another file to this. */
static bool same_file(const char *a, const char *b)
{
	char *x = file_resolve(a), *y = file_resolve(b);
	bool same = x != NULL && y != NULL && !strcmp(x, y);

	free(x);
	free(y);
	return same;
}

/* As far as the parents can be found: one that is missing now is told when the chain is opened. */
int chain_check_depth(const char *child_path, struct layer *parent, struct disk_error *error)
{
	struct layer *layer = parent, *next;
	unsigned count;
	int ret = 0;

	for (count = 2; !ret; count++) { /* the child, and its parent */
		char *path = layer->type == DISK_DIFFERENCING ? find_parent(layer) : NULL;

		if (same_file(child_path, layer->file.path)) {
			ret = error_set(error, -ELOOP, "%s: would be its own ancestor", child_path);
		} else if (count > DISK_LAYERS_MAX) {
			ret = error_set(error, -ELOOP,
					"%s: the chain would have more than %u files, which cannot "
					"be opened; vhd merge %s makes it shorter",
					child_path, DISK_LAYERS_MAX, parent->file.path);
		}
		if (ret || path == NULL ||
		    layer_open(path, -1, layer->format->id, DISK_READ_ONLY | DISK_NO_LOCK, NULL,
			       &next, NULL)) {
			free(path);
			break;
		}
		free(path);
		if (layer != parent) {
			layer_close(&layer, NULL);
		}
		layer = next;
	}
	if (layer != parent) {
		layer_close(&layer, NULL);
	}
	return ret;
}

/*
 * Only the child changes. That the new parent reads as the old one did is known by its identity, or
 * believed with --force.
 */
int disk_rebase(const char *path, const char *parent_path, unsigned flags, struct disk_error *error)
{
	unsigned lock = flags & DISK_NO_LOCK;
	bool unsafe = flags & DISK_STALE_PARENT;
	struct create_plan plan = {0};
	struct layer *child = NULL, *parent = NULL;
	int ret = layer_open(path, -1, DISK_FORMAT_AUTO, LAYER_NEW_PARENT | lock, NULL, &child,
			     error),
	    code;

	if (!ret && child->type != DISK_DIFFERENCING) {
		ret = error_set(error, -EINVAL, "%s: not a differencing disk, it has no parent",
				path);
	}
	ret = ret ? ret
		  : layer_open(parent_path, -1, child->format->id, DISK_READ_ONLY | lock, NULL,
			       &parent, error);
	if (!ret) {
		ret = parent_check(child, parent, error);
		ret = ret == -ESTALE && unsafe ? 0 : ret;
	}
	if (!ret && !unsafe && parent->size > child->size) {
		ret = error_set(error, -EINVAL,
				"%s: larger than its child; --force if that is right", parent_path);
	}
	ret = ret ? ret : chain_check_depth(path, parent, error);
	ret = ret ? ret : plan_parent(&plan, path, parent, error);
	ret = ret ? ret : child->format->set_parent(child, &plan, error);
	code = layer_close(&child, ret ? NULL : error);
	layer_close(&parent, NULL);
	plan_release(&plan);
	return ret ? ret : code;
}
