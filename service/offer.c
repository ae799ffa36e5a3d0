/*
 * A machine as one host offers it to another (move.c): its name and document, and what its worker
 * has, which may be another configuration until its next start. At the host where it shall run
 * nothing of it is believed.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "disk/disk.h"
#include "hosted/disk_name.h"
#include "hosted/member.h"
#include "hosted/size.h"
#include "service/service.h"

#define OWNER_BEFORE ".move-"
#define OWNER_AFTER  ".owner"

#define DISK_BYTES_MAX ((json_int_t)1 << 50)

static bool read_object(struct form *form, const json_t *value, void *into)
{
	*(const json_t **)into = value;
	return json_is_object(value) ||
	       form_refuse(form, value, "give an object", "is not an object");
}

/* Of our making, so that no other file is taken for one. */
static bool read_owner(struct form *form, const json_t *value, void *into)
{
	const char *path = json_string_value(value),
		   *name = path != NULL ? strrchr(path, '/') : NULL;
	size_t length = json_string_length(value), end = sizeof(OWNER_AFTER) - 1;

	*(const char **)into = path;
	return (path != NULL && path[0] == '/' && length < PATH_MAX && strlen(path) == length &&
		strstr(path, "/../") == NULL &&
		strncmp(name + 1, OWNER_BEFORE, sizeof(OWNER_BEFORE) - 1) == 0 &&
		strcmp(path + length - end, OWNER_AFTER) == 0) ||
	       form_refuse(form, value, "give the path that the source says",
			   "is no owner file of a move");
}

bool offer_owner(const char *folder, const char *id, char *path)
{
	int length = snprintf(path, PATH_MAX, "%s%s" OWNER_BEFORE "%s" OWNER_AFTER, folder,
			      strcmp(folder, "/") == 0 ? "" : "/", id);

	return length > 0 && length < PATH_MAX;
}

/* What only the service says to its workers, or of itself, is not taken from another one. */
static bool is_own(const json_t *object, const char *const *keys, struct refusal *why)
{
	for (; *keys != NULL; keys++) {
		if (json_object_get(object, *keys) != NULL) {
			refuse(why, SERVICE_BAD_INVALID, "leave it out",
			       "%s: is each service's own affair", *keys);
			return true;
		}
	}
	return false;
}

/* Of a disk that comes along: a name in the machine's folder, that is none of the service's own
 * files. */
static bool is_carried_name(const char *name)
{
	return name[0] != '.' && strchr(name, '/') == NULL && strlen(name) <= NAME_MAX &&
	       disk_name_is_one(name);
}

/* Each that the guest writes is one that is described. */
static bool disks_come(const json_t *storage, const json_t *document, struct refusal *why)
{
	const json_t *disk;
	const char *name;
	json_t *described;
	size_t i;

	json_object_foreach((json_t *)storage, name, described)
	{
		if (!is_carried_name(name)) {
			return refuse(why, SERVICE_BAD_INVALID, "give a name that ends as a disk's",
				      "storage: %.200s is no name of a disk", name);
		}
	}

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		const char *file = member_text(disk, "file");

		if (settings_writes(disk) &&
		    (!is_carried_name(file) || json_object_get(disk, "parents") != NULL ||
		     !json_is_object(json_object_get(storage, file)))) {
			return refuse(why, SERVICE_BAD_INVALID,
				      "give a name that ends as a disk's, and say what it is",
				      "storage: %.200s is no disk that comes along", file);
		}
	}
	return true;
}

bool offer_read(const json_t *body, struct offer *offer, struct refusal *why)
{
#define AT(member) .at = offsetof(struct offer, member)
	static const struct form_member members[] = {
		{"name", FORM_TEXT, .required = true, AT(name), .least = 1,
		 .most = SERVICE_NAME_MAX},
		{"document", FORM_OTHER, .required = true, AT(document), .read = read_object},
		{"config", FORM_OTHER, .required = true, AT(config), .read = read_object},
		{"owner", FORM_OTHER, .required = true, AT(owner), .read = read_owner},
		{"from", FORM_TEXT, .required = true, AT(from), .least = 1, .most = 255},
		{"checkpoints", FORM_OTHER, AT(checkpoints), .read = read_object},
		{"storage", FORM_OTHER, AT(storage), .read = read_object},
		{"check", FORM_FLAG, AT(check)},
	};
	static const char *const of_config[] = {"arrival", "departure", "checkpoint", NULL};
	static const char *const of_document[] = {"arrival", "departure", NULL};
	struct settings document = {0}, config = {0};
	struct form form = {0};
	bool good;

	*offer = (struct offer){.name = NULL};
	if (!form_read(&form, body, members, ARRAY_COUNT(members), offer)) {
		return refuse_form(why, &form.error);
	}
	if (!settings_name_is_good(offer->name, why) || is_own(offer->document, of_document, why) ||
	    is_own(offer->config, of_config, why)) {
		return false;
	}
	if (json_object_get(offer->document, "checkpoint") != NULL && offer->checkpoints == NULL) {
		return refuse(why, SERVICE_BAD_INVALID, "offer them as well",
			      "document: it goes on from a checkpoint that does not come");
	}
	good = settings_read(&document, json_incref((json_t *)offer->document), why) &&
	       settings_read(&config, json_incref((json_t *)offer->config), why);
	if (good &&
	    strcmp(member_text(document.document, "id"), member_text(config.document, "id")) != 0) {
		good = refuse(why, SERVICE_BAD_INVALID, "give that of one machine",
			      "document and config have two ids");
	}
	settings_free(&document);
	settings_free(&config);
	return good &&
	       (offer->storage == NULL || (disks_come(offer->storage, offer->document, why) &&
					   disks_come(offer->storage, offer->config, why)));
}

/* ---- Disks that come along ---- */

static const struct {
	const char *name;
	enum disk_format format;
} formats[] = {{"vhdx", DISK_FORMAT_VHDX}, {"vhd", DISK_FORMAT_VHD}, {"raw", DISK_FORMAT_RAW}};

static bool number_of(const json_t *object, const char *key, json_int_t most, json_int_t *number)
{
	*number = json_integer_value(json_object_get(object, key));
	return *number >= 0 && *number <= most;
}

bool offer_make(const json_t *described, struct disk_create *how)
{
	const char *format_name = member_text(described, "format"),
		   *type = member_text(described, "type");
	bool fixed = strcmp(type, "fixed") == 0;
	unsigned int format;
	json_int_t size, block, sector, physical;

	for (format = 0;
	     format < ARRAY_COUNT(formats) && strcmp(format_name, formats[format].name) != 0;
	     format++) {
	}
	if (format == ARRAY_COUNT(formats) || (!fixed && strcmp(type, "dynamic") != 0) ||
	    !number_of(described, "size", DISK_BYTES_MAX, &size) || size == 0 ||
	    !number_of(described, "block-size", UINT32_MAX, &block) ||
	    !number_of(described, "sector-size", UINT32_MAX, &sector) ||
	    !number_of(described, "physical-size", UINT32_MAX, &physical)) {
		return false;
	}
	*how = (struct disk_create){.format = formats[format].format,
				    .type = fixed ? DISK_FIXED : DISK_DYNAMIC,
				    .size = (uint64_t)size,
				    .block_size = (uint32_t)block,
				    .sector_size = (uint32_t)sector,
				    .physical_size = (uint32_t)physical,
				    .id = member_text(described, "id")};
	if (how->id[0] == '\0') {
		how->id = NULL;
	}
	return true;
}

/* ---- The source's ---- */

static bool absolute_path(const char *folder, const char *file, char path[PATH_MAX])
{
	int length = file[0] == '/' ? snprintf(path, PATH_MAX, "%s", file)
				    : snprintf(path, PATH_MAX, "%s/%s", folder, file);

	return length > 0 && length < PATH_MAX;
}

static void make_absolute(json_t *object, const char *key, const char *folder)
{
	const char *file = json_string_value(json_object_get(object, key));
	char path[PATH_MAX];

	if (file != NULL && absolute_path(folder, file, path)) {
		json_object_set_new(object, key, json_string(path));
	}
}

/* Which file lies over which. */
static void make_over_absolute(json_t *document, const char *folder)
{
	json_t *checkpoint = json_object_get(document, "checkpoint"), *parent,
	       *over = json_object_get(checkpoint, "over"), *made = json_object();
	char from[PATH_MAX], to[PATH_MAX];
	const char *child;

	json_object_foreach(over, child, parent)
	{
		if (json_is_string(parent) && absolute_path(folder, child, from) &&
		    absolute_path(folder, json_string_value(parent), to)) {
			json_object_set_new(made, from, json_string(to));
		}
	}
	if (over != NULL) {
		json_object_set(checkpoint, "over", made);
	}
	json_decref(made);
}

/* Files that are relative to the machine's folder here are not there. */
json_t *offer_paths(const json_t *document, const char *folder)
{
	static const char *const keys[] = {"kernel", "initrd", "firmware", "firmware-template"};
	json_t *copy = json_deep_copy(document), *disk, *parents, *item;
	char path[PATH_MAX];
	size_t i, j;

	for (i = 0; i < ARRAY_COUNT(keys); i++) {
		make_absolute(copy, keys[i], folder);
	}
	json_array_foreach(json_object_get(copy, "disks"), i, disk)
	{
		make_absolute(disk, "file", folder);
		parents = json_object_get(disk, "parents");
		json_array_foreach(parents, j, item)
		{
			const char *file = json_string_value(item);

			if (file != NULL && absolute_path(folder, file, path)) {
				json_array_set_new(parents, j, json_string(path));
			}
		}
	}
	make_over_absolute(copy, folder);
	return copy;
}

/* What a disk is called there. */
static const char *carried_name(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash != NULL ? slash + 1 : file;
}

static bool carry_one(json_t *disk, json_t *names, struct refusal *why)
{
	json_t *file = json_incref(json_object_get(disk, "file")), *other;
	const char *path = json_string_value(file), *name = carried_name(path);
	bool good = true;

	other = json_object_get(json_object_get(names, name), "path");
	if (json_object_get(disk, "parents") != NULL) {
		good = refuse(why, SERVICE_BAD_STATE,
			      "take that away from it; vhd rebase names them in the file",
			      "%.200s: a disk with `parents` does not come along", path);
	} else if (!is_carried_name(name)) {
		good = refuse(why, SERVICE_BAD_STATE, "give it the ending .vhdx, .vhd or .img",
			      "%.200s: its name does not end as a disk's", path);
	} else if (other != NULL && !json_equal(other, file)) {
		good = refuse(why, SERVICE_BAD_STATE, "rename one of them",
			      "%.200s, %.200s: two disks of one name cannot go to one folder",
			      json_string_value(other), path);
	} else {
		json_object_set_new(names, name,
				    json_pack("{s:O, s:b}", "path", file, "raw",
					      json_is_true(json_object_get(disk, "raw"))));
		json_object_set_new(disk, "file", json_string(name));
	}
	json_decref(file);
	return good;
}

bool offer_carried(json_t *document, json_t *config, json_t *names, struct refusal *why)
{
	json_t *const both[] = {document, config}, *disk;
	bool good = true;
	size_t i, j;

	for (i = 0; i < ARRAY_COUNT(both); i++) {
		json_array_foreach(json_object_get(both[i], "disks"), j, disk)
		{
			if (good && strcmp(member_text(disk, "kind"), "dvd") != 0 &&
			    json_is_true(json_object_get(disk, "read-only"))) {
				good = refuse(why, SERVICE_BAD_STATE,
					      "detach it, or make it one that can be written",
					      "%.200s: a read-only disk does not come along",
					      member_text(disk, "file"));
			}
			good = good && (!settings_writes(disk) || carry_one(disk, names, why));
		}
	}
	return good;
}

/* The first disk that it writes, or has; NULL: none. */
const char *offer_disk(const json_t *document)
{
	const char *found = NULL;
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		const char *file = json_string_value(json_object_get(disk, "file"));

		if (file != NULL && strcmp(member_text(disk, "kind"), "dvd") != 0) {
			if (!json_is_true(json_object_get(disk, "read-only"))) {
				return file;
			}
			found = found == NULL ? file : found;
		}
	}
	return found;
}

uint64_t offer_memory(const json_t *config)
{
	const json_t *memory = json_object_get(config, "memory");
	uint64_t bytes = 0;

	if (json_is_string(memory)) {
		return size_parse(json_string_value(memory), &bytes) ? bytes : 0;
	}
	return json_is_integer(memory) && json_integer_value(memory) > 0
		       ? (uint64_t)json_integer_value(memory)
		       : 0;
}
