/* Saved states, see state.h. */
#include "lib/state.h"

/* Only what lies within the memory is written; the rest is counted. */
static void put_at(const struct state_writer *writer, size_t at, uint64_t value, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i++) {
		if (at + i < writer->size) {
			writer->to[at + i] = (uint8_t)(value >> 8 * i);
		}
	}
}

static void put(struct state_writer *writer, uint64_t value, size_t bytes)
{
	put_at(writer, writer->used, value, bytes);
	writer->used += bytes;
}

struct state_writer state_writer(void *to, size_t size)
{
	return (struct state_writer){.to = to, .size = size};
}

bool state_fits(const struct state_writer *writer)
{
	return writer->used <= writer->size;
}

size_t state_begin(struct state_writer *writer, const char *name, uint16_t version)
{
	size_t begin = writer->used;
	size_t i, length = 0;

	while (name[length] != 0) {
		length++;
	}
	CHECK(length > 0 && length <= STATE_NAME_BYTES && version > 0);
	for (i = 0; i < STATE_NAME_BYTES; i++) {
		put(writer, i < length ? (uint8_t)name[i] : 0, 1);
	}
	put(writer, version, 2);
	put(writer, 0, 2);
	put(writer, 0, 4); /* until state_end() */
	return begin;
}

void state_end(struct state_writer *writer, size_t begin)
{
	size_t length = writer->used - begin - STATE_HEADER_BYTES;

	CHECK(length <= UINT32_MAX);
	put_at(writer, begin + STATE_HEADER_BYTES - 4, length, 4);
}

void state_put_u8(struct state_writer *writer, uint8_t value)
{
	put(writer, value, 1);
}

void state_put_u16(struct state_writer *writer, uint16_t value)
{
	put(writer, value, 2);
}

void state_put_u32(struct state_writer *writer, uint32_t value)
{
	put(writer, value, 4);
}

void state_put_u64(struct state_writer *writer, uint64_t value)
{
	put(writer, value, 8);
}

void state_put_bool(struct state_writer *writer, bool value)
{
	put(writer, value, 1);
}

void state_put_bytes(struct state_writer *writer, const void *from, size_t size)
{
	size_t room = writer->used < writer->size ? writer->size - writer->used : 0;

	if (size > 0 && room > 0) {
		__builtin_memcpy(writer->to + writer->used, from, size < room ? size : room);
	}
	writer->used += size;
}

/* ---- reading ---- */

struct state_reader state_reader(const void *from, size_t size, struct state_fault *fault)
{
	*fault = (struct state_fault){.what = NULL};
	return (struct state_reader){
		.at = from, .end = (const uint8_t *)from + size, .fault = fault};
}

bool state_ok(const struct state_reader *reader)
{
	return reader->fault->what == NULL;
}

void state_refuse(const struct state_reader *part, const char *what)
{
	if (state_ok(part)) {
		part->fault->what = what;
		__builtin_memcpy(part->fault->part, part->name, sizeof(part->name));
	}
}

size_t state_left(const struct state_reader *part)
{
	return state_ok(part) ? (size_t)(part->end - part->at) : 0;
}

const uint8_t *state_span(struct state_reader *part, size_t size)
{
	const uint8_t *span = part->at;

	if (!state_ok(part) || size > state_left(part)) {
		state_refuse(part, "is too short");
		return NULL;
	}
	part->at += size;
	return span;
}

static uint64_t get(struct state_reader *part, size_t bytes)
{
	const uint8_t *from = state_span(part, bytes);
	uint64_t value = 0;

	while (from != NULL && bytes-- > 0) {
		value = value << 8 | from[bytes];
	}
	return value;
}

static bool is_named(const struct state_reader *part, const char *name)
{
	size_t i = 0;

	while (i < STATE_NAME_BYTES && name[i] != 0 && part->name[i] == name[i]) {
		i++;
	}
	return part->name[i] == name[i];
}

/* A name goes into messages: it has nothing but small letters, digits and hyphens, then zeros. */
static bool take_name(struct state_reader *list, char *name)
{
	const uint8_t *from = state_span(list, STATE_NAME_BYTES);
	bool ended = false;
	size_t i;

	for (i = 0; from != NULL && i < STATE_NAME_BYTES; i++) {
		bool letter = (from[i] >= 'a' && from[i] <= 'z') ||
			      (from[i] >= '0' && from[i] <= '9') || from[i] == '-';

		if (from[i] == 0 ? i == 0 : ended || !letter) {
			state_refuse(list, "has a part whose name is none");
			return false;
		}
		ended = from[i] == 0;
		name[i] = (char)from[i];
	}
	name[STATE_NAME_BYTES] = 0;
	return from != NULL;
}

static bool take_header(struct state_reader *list, struct state_reader *part)
{
	uint16_t zero;
	uint32_t length;

	*part = (struct state_reader){.fault = list->fault};
	if (!take_name(list, part->name)) {
		return false;
	}
	part->version = (uint16_t)get(list, 2);
	zero = (uint16_t)get(list, 2);
	length = (uint32_t)get(list, 4);
	if (!state_ok(list)) {
		return false;
	}
	if (part->version == 0 || zero != 0) {
		state_refuse(part, "has a header that is none");
		return false;
	}
	part->at = state_left(list) < length ? NULL : state_span(list, length);
	if (part->at == NULL) {
		state_refuse(part, "ends too early");
		return false;
	}
	part->end = part->at + length;
	return true;
}

bool state_next(struct state_reader *list, struct state_reader *part)
{
	*part = (struct state_reader){.fault = list->fault};
	return state_left(list) > 0 && take_header(list, part);
}

bool state_next_named(struct state_reader *list, const char *name, uint16_t newest,
		      struct state_reader *part)
{
	struct state_reader before = *list;

	if (!state_next(list, part)) {
		return false;
	}
	if (!is_named(part, name)) {
		*list = before;
		return false;
	}
	if (part->version > newest) {
		state_refuse(part, "is of a newer version");
		return false;
	}
	return true;
}

/* What is missing is named, not what holds it. */
struct state_reader state_part(struct state_reader *list, const char *name, uint16_t newest)
{
	struct state_reader part;
	size_t i;

	if (!state_next_named(list, name, newest, &part)) {
		part = (struct state_reader){.fault = list->fault};
		for (i = 0; i < STATE_NAME_BYTES && name[i] != 0; i++) {
			part.name[i] = name[i];
		}
		state_refuse(&part, "is missing");
	}
	return part;
}

uint8_t state_u8(struct state_reader *part)
{
	return (uint8_t)get(part, 1);
}

uint16_t state_u16(struct state_reader *part)
{
	return (uint16_t)get(part, 2);
}

uint32_t state_u32(struct state_reader *part)
{
	return (uint32_t)get(part, 4);
}

uint64_t state_u64(struct state_reader *part)
{
	return get(part, 8);
}

bool state_bool(struct state_reader *part)
{
	uint8_t value = state_u8(part);

	if (value > 1) {
		state_refuse(part, "has a number that is neither yes nor no");
	}
	return state_ok(part) && value != 0;
}

void state_bytes(struct state_reader *part, void *to, size_t size)
{
	const uint8_t *from = state_span(part, size);

	if (size == 0) {
		return;
	}
	if (from != NULL) {
		__builtin_memcpy(to, from, size);
	} else {
		__builtin_memset(to, 0, size);
	}
}

void state_finish(struct state_reader *part)
{
	if (state_left(part) > 0) {
		state_refuse(part, "is too long");
	}
}
