/*
 * Writing: objects go into the file as they come; the keys wait in memory and go behind them at the
 * end, then what tells where all is. A node is written before its children, since they name its
 * place.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hvs/format.h"
#include "hvs/hvs.h"

#define TABLES_MAX UINT16_MAX
#define OBJECTS_PER_TABLE                                                                          \
	((HVS_ALIGNMENT - sizeof(struct hvs_object_table)) / sizeof(struct hvs_object))
#define VALUE_MAX HVS_IN_FILE_FROM
#define NODES_MAX 64u
#define LOG_BYTES HVS_ALIGNMENT

struct node {
	uint32_t parent; /* an index; a child of the root: NODES_MAX */
	char name[HVS_NAME_MAX + 1];
	uint16_t table;
	uint32_t offset;
	uint32_t next_order;
};

struct hvs_writer {
	int fd, error;
	uint64_t end; /* of what is in the file: where the next object goes */
	uint8_t (*tables)[HVS_KEYS_BYTES];
	uint32_t table_count, table_room; /* the last one is being filled */
	uint32_t used;                    /* bytes of it */
	uint32_t last;                    /* where its last key begins, 0: none */
	struct hvs_object *objects;
	uint32_t object_count, object_room;
	struct node nodes[NODES_MAX];
	uint32_t node_count, root_order;
};

int hvs_writer_create(int fd, struct hvs_writer **writer)
{
	struct hvs_writer *made = calloc(1, sizeof(*made));

	if (made == NULL) {
		return -ENOMEM;
	}
	made->fd = fd;
	made->end = HVS_OBJECTS_AT + HVS_ALIGNMENT;
	made->root_order = 1;
	*writer = made;
	return 0;
}

void hvs_writer_destroy(struct hvs_writer *writer)
{
	free(writer->tables);
	free(writer->objects);
	free(writer);
}

int hvs_writer_error(const struct hvs_writer *writer)
{
	return writer->error;
}

static void fail(struct hvs_writer *writer, int error)
{
	if (writer->error == 0) {
		writer->error = error;
	}
}

static void write_at(struct hvs_writer *writer, const void *from, size_t size, uint64_t offset)
{
	const uint8_t *at = from;
	ssize_t done;

	while (size > 0 && writer->error == 0) {
		done = pwrite(writer->fd, at, size, (off_t)offset);
		if (done < 0) {
			if (errno != EINTR) {
				fail(writer, -errno);
			}
			continue;
		}
		at += done;
		size -= (size_t)done;
		offset += (uint64_t)done;
	}
}

/* Room for one more in a list of `size` bytes each. False: no memory. */
static bool grow(struct hvs_writer *writer, void **list, uint32_t count, uint32_t *room,
		 size_t size)
{
	uint32_t wanted = *room != 0 ? *room * 2 : 64;
	void *moved;

	if (count < *room) {
		return true;
	}
	moved = realloc(*list, wanted * size);
	if (moved == NULL) {
		fail(writer, -ENOMEM);
		return false;
	}
	*list = moved;
	*room = wanted;
	return true;
}

/* A place of its own in the file, for what is written there now or at the end. */
static uint64_t add_object(struct hvs_writer *writer, enum hvs_object_kind kind, uint32_t bytes)
{
	uint64_t at = writer->end;
	uint32_t aligned = (bytes + HVS_ALIGNMENT - 1) & ~(HVS_ALIGNMENT - 1);
	struct hvs_object *object;

	if (!grow(writer, (void **)&writer->objects, writer->object_count, &writer->object_room,
		  sizeof(writer->objects[0]))) {
		return 0;
	}
	object = &writer->objects[writer->object_count++];
	*object = (struct hvs_object){.kind = (uint8_t)kind,
				      .offset = at,
				      .bytes = aligned,
				      .flags = HVS_OBJECT_REQUIRED};
	writer->end += aligned;
	return at;
}

/* ---- keys ---- */

static void seal_key(uint8_t *at, uint32_t bytes)
{
	struct hvs_key *key = (struct hvs_key *)at;

	key->checksum = hvs_checksum(at, bytes, offsetof(struct hvs_key, checksum));
}

/* What is left of the table behind its last key belongs to that, or to a free one. */
static void close_table(struct hvs_writer *writer)
{
	uint8_t *table = writer->tables[writer->table_count - 1];
	uint32_t left = HVS_KEYS_BYTES - writer->used;
	struct hvs_key *key;

	if (left > sizeof(*key)) {
		key = (struct hvs_key *)(table + writer->used);
		*key = (struct hvs_key){.kind = HVS_KEY_FREE, .bytes = left};
		seal_key((uint8_t *)key, sizeof(*key));
	}
	writer->used = HVS_KEYS_BYTES;
}

static bool new_table(struct hvs_writer *writer)
{
	struct hvs_key_table head = {.signature = HVS_KEYS_SIGNATURE, .sequence = 1};

	if (writer->table_count > 0) {
		close_table(writer);
	}
	if (writer->table_count == TABLES_MAX) {
		fail(writer, -EFBIG);
		return false;
	}
	if (!grow(writer, (void **)&writer->tables, writer->table_count, &writer->table_room,
		  sizeof(writer->tables[0]))) {
		return false;
	}
	memset(writer->tables[writer->table_count], 0, HVS_KEYS_BYTES);
	writer->table_count++;
	head.index = (uint16_t)writer->table_count;
	head.checksum = hvs_checksum(&head, sizeof(head), offsetof(struct hvs_key_table, checksum));
	memcpy(writer->tables[writer->table_count - 1], &head, sizeof(head));
	writer->used = sizeof(head);
	return true;
}

/* Its place is in *table and *offset then. False: there is no room, and the writer has the
 * error. */
static bool add_key(struct hvs_writer *writer, uint32_t parent, struct hvs_key key,
		    const char *name, const void *value, uint32_t value_bytes, uint16_t *table,
		    uint32_t *offset)
{
	uint32_t name_bytes = (uint32_t)strlen(name) + 1;
	uint32_t bytes = (uint32_t)sizeof(key) + name_bytes + value_bytes, left;
	uint8_t *at;

	if ((writer->table_count == 0 || HVS_KEYS_BYTES - writer->used < bytes) &&
	    !new_table(writer)) {
		return false;
	}
	*table = (uint16_t)writer->table_count;
	*offset = writer->used;
	at = writer->tables[writer->table_count - 1] + writer->used;
	left = HVS_KEYS_BYTES - writer->used - bytes;
	key.bytes = left > sizeof(key) ? bytes : bytes + left;
	if (parent < NODES_MAX) {
		key.parent_table = writer->nodes[parent].table;
		key.parent_offset = writer->nodes[parent].offset;
		key.order = writer->nodes[parent].next_order++;
	} else {
		key.order = writer->root_order++;
	}
	key.name_bytes = (uint8_t)name_bytes;
	memcpy(at, &key, sizeof(key));
	memcpy(at + sizeof(key), name, name_bytes);
	memcpy(at + sizeof(key) + name_bytes, value, value_bytes);
	seal_key(at, bytes);
	writer->used += key.bytes;
	return true;
}

static uint32_t find_node(const struct hvs_writer *writer, uint32_t parent, const char *name)
{
	uint32_t i;

	for (i = 0; i < writer->node_count; i++) {
		if (writer->nodes[i].parent == parent && strcmp(writer->nodes[i].name, name) == 0) {
			return i;
		}
	}
	return NODES_MAX;
}

/* A node of this name, found or made; NODES_MAX: there is an error. */
static uint32_t get_node(struct hvs_writer *writer, uint32_t parent, const char *name)
{
	static const struct hvs_node empty = {.next_order = 1};
	uint32_t index = find_node(writer, parent, name);
	struct node *node;

	if (index < NODES_MAX) {
		return index;
	}
	CHECK(writer->node_count < NODES_MAX); /* our own code has few */
	node = &writer->nodes[writer->node_count];
	*node = (struct node){.parent = parent, .next_order = 1};
	strcpy(node->name, name);
	if (!add_key(writer, parent, (struct hvs_key){.kind = HVS_KEY_NODE}, name, &empty,
		     sizeof(empty), &node->table, &node->offset)) {
		return NODES_MAX;
	}
	return writer->node_count++;
}

/* The value of a path, with the nodes above it. */
static void add_path(struct hvs_writer *writer, const char *path, struct hvs_key key,
		     const void *value, uint32_t value_bytes)
{
	char name[HVS_NAME_MAX + 1];
	uint32_t parent = NODES_MAX, offset;
	uint16_t table;
	size_t length;

	while (writer->error == 0) {
		CHECK(*path == '/');
		length = strcspn(++path, "/");
		CHECK(length > 0 && length <= HVS_NAME_MAX);
		memcpy(name, path, length);
		name[length] = '\0';
		path += length;
		if (*path == '\0') {
			(void)add_key(writer, parent, key, name, value, value_bytes, &table,
				      &offset);
			return;
		}
		parent = get_node(writer, parent, name);
	}
}

void hvs_put_int(struct hvs_writer *writer, const char *path, int64_t value)
{
	add_path(writer, path, (struct hvs_key){.kind = HVS_KEY_INT}, &value, sizeof(value));
}

/* A value with its length before it, or in a place of its own. */
static void put_sized(struct hvs_writer *writer, const char *path, enum hvs_key_kind kind,
		      const void *from, uint32_t size)
{
	struct hvs_key key = {.kind = (uint8_t)kind};
	struct hvs_place place = {.bytes = size};
	uint8_t value[4 + VALUE_MAX];

	if (size < HVS_IN_FILE_FROM) {
		memcpy(value, &size, 4);
		memcpy(value + 4, from, size);
		add_path(writer, path, key, value, 4 + size);
		return;
	}
	place.offset = add_object(writer, HVS_OBJECT_FILE, size);
	write_at(writer, from, size, place.offset);
	key.flags = HVS_KEY_IN_FILE;
	add_path(writer, path, key, &place, sizeof(place));
}

void hvs_put_array(struct hvs_writer *writer, const char *path, const void *from, uint32_t size)
{
	put_sized(writer, path, HVS_KEY_ARRAY, from, size);
}

void hvs_put_string(struct hvs_writer *writer, const char *path, const char *ascii)
{
	uint8_t text[VALUE_MAX];
	uint32_t size = 0;

	do {
		CHECK(size + 2 <= sizeof(text) && (uint8_t)*ascii < 0x80);
		text[size++] = (uint8_t)*ascii;
		text[size++] = 0;
	} while (*ascii++ != '\0');
	put_sized(writer, path, HVS_KEY_STRING, text, size);
}

/* ---- the end ---- */

/* Nodes were written before they knew their children. */
static void settle_nodes(struct hvs_writer *writer)
{
	uint32_t i;

	for (i = 0; i < writer->node_count; i++) {
		const struct node *node = &writer->nodes[i];
		uint8_t *at = writer->tables[node->table - 1] + node->offset;
		uint32_t value_at = (uint32_t)(sizeof(struct hvs_key) + strlen(node->name) + 1);
		struct hvs_node value = {.next_order = node->next_order};

		memcpy(at + value_at, &value, sizeof(value));
		seal_key(at, value_at + (uint32_t)sizeof(value));
	}
}

/* Tables of `objects`, the first where readers look for it, each with the next one's place at its
 * end. */
static void write_objects(struct hvs_writer *writer)
{
	uint32_t per_table = OBJECTS_PER_TABLE - 1, done = 0, i, here;
	uint64_t at = HVS_OBJECTS_AT;

	do {
		uint8_t table[HVS_ALIGNMENT] = {0};
		struct hvs_object_table head = {.signature = HVS_OBJECTS_SIGNATURE,
						.count = OBJECTS_PER_TABLE};
		struct hvs_object *entries = (struct hvs_object *)(table + sizeof(head));
		uint64_t next = writer->end;

		memcpy(table, &head, sizeof(head));
		here = writer->object_count - done;
		here = here < per_table ? here : per_table;
		memcpy(entries, writer->objects + done, here * sizeof(entries[0]));
		done += here;
		if (done < writer->object_count) {
			entries[OBJECTS_PER_TABLE - 1] =
				(struct hvs_object){.kind = HVS_OBJECT_TABLE,
						    .offset = next,
						    .bytes = HVS_ALIGNMENT,
						    .flags = HVS_OBJECT_REQUIRED};
			writer->end += HVS_ALIGNMENT;
		}
		for (i = 0; i < OBJECTS_PER_TABLE; i++) {
			entries[i].checksum = hvs_checksum(&entries[i], sizeof(entries[i]),
							   offsetof(struct hvs_object, checksum));
		}
		write_at(writer, table, sizeof(table), at);
		at = next;
	} while (done < writer->object_count);
}

static void sync_file(struct hvs_writer *writer)
{
	if (writer->error == 0 && fsync(writer->fd) != 0) {
		fail(writer, -errno);
	}
}

static void write_log(struct hvs_writer *writer, struct hvs_header *header)
{
	uint8_t log[LOG_BYTES] = {0};
	struct hvs_log head = {.signature = HVS_LOG_SIGNATURE,
			       .most = (LOG_BYTES - sizeof(head)) / HVS_LOG_ENTRY_BYTES};

	head.checksum = hvs_checksum(&head, sizeof(head), offsetof(struct hvs_log, checksum));
	memcpy(log, &head, sizeof(head));
	header->log_offset = writer->end;
	header->log_bytes = sizeof(log);
	header->log_header_bytes = sizeof(log);
	write_at(writer, log, sizeof(log), writer->end);
	writer->end += sizeof(log);
}

static void write_headers(struct hvs_writer *writer, struct hvs_header *header)
{
	uint8_t page[HVS_ALIGNMENT] = {0};
	uint16_t i;

	header->signature = HVS_HEADER_SIGNATURE;
	header->format = HVS_FORMAT_CURRENT;
	header->alignment = HVS_ALIGNMENT;
	for (i = 0; i < HVS_HEADERS; i++) {
		header->sequence = (uint16_t)(i + 1);
		header->checksum = hvs_checksum(header, sizeof(*header),
						offsetof(struct hvs_header, checksum));
		memcpy(page, header, sizeof(*header));
		write_at(writer, page, sizeof(page), i * HVS_ALIGNMENT);
	}
}

int hvs_writer_finish(struct hvs_writer *writer)
{
	struct hvs_header header = {0};
	uint32_t i;

	if (writer->table_count > 0) {
		close_table(writer);
	}
	settle_nodes(writer);
	for (i = 0; i < writer->table_count && writer->error == 0; i++) {
		write_at(writer, writer->tables[i], HVS_KEYS_BYTES,
			 add_object(writer, HVS_OBJECT_KEYS, HVS_KEYS_BYTES));
	}
	if (writer->error == 0) {
		write_objects(writer);
		write_log(writer, &header);
	}
	sync_file(writer);
	write_headers(writer, &header);
	sync_file(writer);
	return writer->error;
}
