/*
 * Reading: all tables are read and checked when a file is opened, and the keys sorted by parent and
 * name; a path is found by one binary search a name. What memory that takes is bounded by the
 * file's own size. Keys that do not hang at the root are found by nobody.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hvs/format.h"
#include "hvs/hvs.h"

#define ROOT UINT64_MAX

struct key {
	uint64_t parent, self; /* the table and the offset in it, as place() makes them */
	const struct hvs_key *key;
	const char *name;
	const uint8_t *value;
};

struct hvs_file {
	int fd;
	uint64_t size;
	uint8_t *tables; /* of keys, one after the other; keys[] points into it */
	uint64_t table_bytes;
	struct key *keys;
	size_t key_count;
};

struct opening {
	struct hvs_file *file;
	const char *why;
};

static bool refuse(struct opening *opening, const char *why)
{
	opening->why = why;
	return false;
}

static uint64_t place(uint32_t table, uint32_t offset)
{
	return table == 0 && offset == 0 ? ROOT : (uint64_t)table << 32 | offset;
}

/* 0, -EIO for a file that ends early, -errno. */
static int read_at(int fd, void *to, size_t size, uint64_t offset)
{
	uint8_t *at = to;
	ssize_t done;

	while (size > 0) {
		done = pread(fd, at, size, (off_t)offset);
		if (done < 0 && errno == EINTR) {
			continue;
		}
		if (done <= 0) {
			return done < 0 ? -errno : -EIO;
		}
		at += done;
		size -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

static bool is_inside(const struct hvs_file *file, uint64_t offset, uint64_t bytes)
{
	return bytes <= file->size && offset <= file->size - bytes;
}

/* ---- opening ---- */

static bool read_header(struct opening *opening, struct hvs_header *header)
{
	struct hvs_header copy;
	bool found = false;
	unsigned int i;

	for (i = 0; i < HVS_HEADERS; i++) {
		if (read_at(opening->file->fd, &copy, sizeof(copy), i * HVS_ALIGNMENT) == 0 &&
		    copy.signature == HVS_HEADER_SIGNATURE &&
		    copy.checksum == hvs_checksum(&copy, sizeof(copy),
						  offsetof(struct hvs_header, checksum)) &&
		    (!found || copy.sequence > header->sequence)) {
			*header = copy;
			found = true;
		}
	}
	return found || refuse(opening, "has no valid header");
}

static bool check_header(struct opening *opening, const struct hvs_header *header)
{
	struct hvs_log log;

	if (header->format < HVS_FORMAT_OLDEST || header->format > HVS_FORMAT_CURRENT) {
		return refuse(opening, "has a format that is not known");
	}
	if (!is_inside(opening->file, header->log_offset, sizeof(log)) ||
	    read_at(opening->file->fd, &log, sizeof(log), header->log_offset) != 0 ||
	    log.signature != HVS_LOG_SIGNATURE ||
	    log.checksum != hvs_checksum(&log, sizeof(log), offsetof(struct hvs_log, checksum))) {
		return refuse(opening, "has no valid log");
	}
	return log.count == 0 ||
	       refuse(opening, "was not closed: its log has changes that are not in it");
}

/* Keys are behind what there is of them. */
static bool add_table(struct opening *opening, const struct hvs_object *object)
{
	struct hvs_file *file = opening->file;
	struct hvs_key_table head;
	uint8_t *moved;

	/* No table is there twice, so all of them are no larger than the file. */
	if (object->bytes < sizeof(head) || !is_inside(file, object->offset, object->bytes) ||
	    object->bytes > file->size - file->table_bytes) {
		return refuse(opening, "has a table of keys that is not in it");
	}
	moved = realloc(file->tables, file->table_bytes + object->bytes);
	if (moved == NULL) {
		return refuse(opening, "has more keys than there is memory for");
	}
	file->tables = moved;
	if (read_at(file->fd, moved + file->table_bytes, object->bytes, object->offset) != 0) {
		return refuse(opening, "cannot be read");
	}
	memcpy(&head, moved + file->table_bytes, sizeof(head));
	if (head.signature != HVS_KEYS_SIGNATURE || head.index == 0 ||
	    head.checksum !=
		    hvs_checksum(&head, sizeof(head), offsetof(struct hvs_key_table, checksum))) {
		return refuse(opening, "has a damaged table of keys");
	}
	/* The length, for who walks through them, in place of what has been looked at. */
	memcpy(moved + file->table_bytes + offsetof(struct hvs_key_table, checksum), &object->bytes,
	       4);
	file->table_bytes += object->bytes;
	return true;
}

static bool check_object(struct opening *opening, const struct hvs_object *object)
{
	return object->checksum == hvs_checksum(object, sizeof(*object),
						offsetof(struct hvs_object, checksum)) ||
	       object->kind == HVS_OBJECT_EMPTY ||
	       refuse(opening, "has a damaged table of objects");
}

/* One table of objects; *next is the following one's place, 0: it was the last. */
static bool read_objects(struct opening *opening, uint64_t at, uint64_t *next)
{
	struct hvs_file *file = opening->file;
	struct hvs_object objects[HVS_ALIGNMENT / sizeof(struct hvs_object)];
	struct hvs_object_table head;
	uint32_t i, there = 0, place = 0;

	*next = 0;
	if (!is_inside(file, at, sizeof(head)) || read_at(file->fd, &head, sizeof(head), at) != 0 ||
	    head.signature != HVS_OBJECTS_SIGNATURE || head.count == 0) {
		return refuse(opening, "has a damaged table of objects");
	}
	at += sizeof(head);
	for (i = 0; i < head.count; i++, place++) {
		if (place == there) {
			there = head.count - i < ARRAY_COUNT(objects) ? head.count - i
								      : ARRAY_COUNT(objects);
			place = 0;
			if (!is_inside(file, at, there * sizeof(objects[0])) ||
			    read_at(file->fd, objects, there * sizeof(objects[0]), at) != 0) {
				return refuse(opening, "has a table of objects that is not in it");
			}
			at += there * sizeof(objects[0]);
		}
		if (!check_object(opening, &objects[place])) {
			return false;
		}
		if (i == head.count - 1) {
			*next = objects[place].kind == HVS_OBJECT_TABLE ? objects[place].offset : 0;
		} else if (objects[place].kind == HVS_OBJECT_KEYS &&
			   !add_table(opening, &objects[place])) {
			return false;
		}
	}
	return true;
}

static bool read_tables(struct opening *opening)
{
	uint64_t at = HVS_OBJECTS_AT, most = opening->file->size / HVS_ALIGNMENT;

	/* A ring of tables ends here as well. */
	for (; at != 0; most--) {
		if (most == 0) {
			return refuse(opening, "has more tables of objects than there is room for");
		}
		if (!read_objects(opening, at, &at)) {
			return false;
		}
	}
	return true;
}

/* Bytes of a key's value that its checksum covers; UINT32_MAX: more than there are. */
static uint32_t value_bytes(const struct hvs_key *key, const uint8_t *value, uint32_t left)
{
	uint32_t size;

	if (key->flags & HVS_KEY_IN_FILE) {
		return sizeof(struct hvs_place);
	}
	switch (key->kind) {
	case HVS_KEY_STRING:
	case HVS_KEY_ARRAY:
		if (left < 4) {
			return UINT32_MAX;
		}
		memcpy(&size, value, 4);
		return size <= left - 4 ? 4 + size : UINT32_MAX;
	case HVS_KEY_BOOL:
		return 4;
	case HVS_KEY_NODE:
		return sizeof(struct hvs_node);
	default:
		return 8;
	}
}

static bool check_key(const struct hvs_key *key, uint32_t left)
{
	uint32_t head = (uint32_t)sizeof(*key) + key->name_bytes, value;
	const char *name = (const char *)(key + 1);

	if (key->bytes > left || key->bytes < sizeof(*key)) {
		return false;
	}
	if (key->kind == HVS_KEY_FREE) {
		return true;
	}
	if (key->kind < HVS_KEY_INT || key->kind > HVS_KEY_NODE || key->name_bytes < 2 ||
	    head > key->bytes || strnlen(name, key->name_bytes) != key->name_bytes - 1u) {
		return false;
	}
	value = value_bytes(key, (const uint8_t *)key + head, key->bytes - head);
	return value <= key->bytes - head &&
	       key->checksum == hvs_checksum(key, head + value, offsetof(struct hvs_key, checksum));
}

/* All keys of a table; with `to` NULL they are only counted and checked. False: one is damaged. */
static bool walk(const uint8_t *table, uint32_t bytes, struct key *to, size_t *count)
{
	const struct hvs_key_table *head = (const struct hvs_key_table *)table;
	uint32_t at = sizeof(*head);

	while (at + sizeof(struct hvs_key) < bytes) {
		const struct hvs_key *key = (const struct hvs_key *)(table + at);

		if (to == NULL && !check_key(key, bytes - at)) {
			return false;
		}
		if (key->kind != HVS_KEY_FREE) {
			if (to != NULL) {
				const char *name = (const char *)(key + 1);

				to[*count] = (struct key){
					.parent = place(key->parent_table, key->parent_offset),
					.self = place(head->index, at),
					.key = key,
					.name = name,
					.value = (const uint8_t *)name + key->name_bytes};
			}
			++*count;
		}
		at += key->bytes;
	}
	return true;
}

static bool walk_all(struct opening *opening, struct key *to, size_t *count)
{
	struct hvs_file *file = opening->file;
	uint64_t at = 0;
	uint32_t bytes;

	*count = 0;
	while (at < file->table_bytes) {
		memcpy(&bytes, file->tables + at + offsetof(struct hvs_key_table, checksum), 4);
		if (!walk(file->tables + at, bytes, to, count)) {
			return refuse(opening, "has a damaged key");
		}
		at += bytes;
	}
	return true;
}

static int compare_keys(const void *a, const void *b)
{
	const struct key *one = a, *other = b;

	if (one->parent != other->parent) {
		return one->parent < other->parent ? -1 : 1;
	}
	return strcmp(one->name, other->name);
}

static bool sort_keys(struct opening *opening)
{
	struct hvs_file *file = opening->file;
	size_t i;

	if (!walk_all(opening, NULL, &file->key_count)) {
		return false;
	}
	file->keys = calloc(file->key_count + 1, sizeof(file->keys[0]));
	if (file->keys == NULL) {
		return refuse(opening, "has more keys than there is memory for");
	}
	(void)walk_all(opening, file->keys, &file->key_count);
	qsort(file->keys, file->key_count, sizeof(file->keys[0]), compare_keys);
	for (i = 1; i < file->key_count; i++) {
		if (compare_keys(&file->keys[i - 1], &file->keys[i]) == 0) {
			return refuse(opening, "has a key twice");
		}
	}
	return true;
}

int hvs_open(int fd, struct hvs_file **file, const char **why)
{
	struct opening opening = {.file = calloc(1, sizeof(*opening.file))};
	struct hvs_header header = {0};
	off_t size = lseek(fd, 0, SEEK_END);

	if (opening.file == NULL || size < 0) {
		free(opening.file);
		*why = "cannot be read";
		return size < 0 ? -errno : -ENOMEM;
	}
	opening.file->fd = fd;
	opening.file->size = (uint64_t)size;
	if (!read_header(&opening, &header) || !check_header(&opening, &header) ||
	    !read_tables(&opening) || !sort_keys(&opening)) {
		*why = opening.why;
		hvs_close(opening.file);
		return -EINVAL;
	}
	*file = opening.file;
	return 0;
}

void hvs_close(struct hvs_file *file)
{
	free(file->keys);
	free(file->tables);
	free(file);
}

/* ---- what is in it ---- */

static const struct key *find(const struct hvs_file *file, uint64_t parent, const char *name)
{
	struct key wanted = {.parent = parent, .name = name};

	return bsearch(&wanted, file->keys, file->key_count, sizeof(wanted), compare_keys);
}

static const struct key *find_path(const struct hvs_file *file, const char *path)
{
	char name[HVS_NAME_MAX + 1];
	const struct key *key;
	uint64_t parent = ROOT;
	unsigned int depth;
	size_t length;

	for (depth = 0; depth < HVS_DEPTH_MAX && *path == '/'; depth++) {
		length = strcspn(++path, "/");
		if (length == 0 || length > HVS_NAME_MAX) {
			return NULL;
		}
		memcpy(name, path, length);
		name[length] = '\0';
		path += length;
		key = find(file, parent, name);
		if (key == NULL || *path == '\0') {
			return key;
		}
		if (key->key->kind != HVS_KEY_NODE) {
			return NULL;
		}
		parent = key->self;
	}
	return NULL;
}

int hvs_get_int(const struct hvs_file *file, const char *path, int64_t *value)
{
	const struct key *key = find_path(file, path);

	if (key == NULL) {
		return -ENOENT;
	}
	if (key->key->kind != HVS_KEY_INT || key->key->flags & HVS_KEY_IN_FILE) {
		return -EINVAL;
	}
	memcpy(value, key->value, sizeof(*value));
	return 0;
}

int hvs_get_size(const struct hvs_file *file, const char *path, uint32_t *size)
{
	const struct key *key = find_path(file, path);

	if (key == NULL) {
		return -ENOENT;
	}
	if (key->key->kind != HVS_KEY_ARRAY) {
		return -EINVAL;
	}
	/* Both forms begin with it. */
	memcpy(size, key->value, sizeof(*size));
	return 0;
}

int hvs_get_array(const struct hvs_file *file, const char *path, void *to, uint32_t size)
{
	const struct key *key = find_path(file, path);
	struct hvs_place at;
	uint32_t there;
	int ret = hvs_get_size(file, path, &there);

	if (ret != 0) {
		return ret;
	}
	if (there != size) {
		return -EINVAL;
	}
	if (!(key->key->flags & HVS_KEY_IN_FILE)) {
		memcpy(to, key->value + 4, size);
		return 0;
	}
	memcpy(&at, key->value, sizeof(at));
	return is_inside(file, at.offset, size) ? read_at(file->fd, to, size, at.offset) : -EINVAL;
}
