/* See form.h. */
#include "hosted/form.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Puts the beginning of a text into `to`, and says so where there is more. */
static void put_cut(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);

	snprintf(to, size, "%s", from);
	if (length >= size) {
		/* Not amidst a character of UTF-8. */
		size_t at = size - 4;

		while (at > 0 && ((unsigned char)to[at] & 0xc0) == 0x80) {
			at--;
		}
		strcpy(to + at, "...");
	}
}

bool form_refuse(struct form *form, const json_t *value, const char *remedy, const char *what, ...)
{
	struct form_error *error = &form->error;
	char *shown = NULL;
	va_list arguments;

	if (value != NULL) {
		shown = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	}
	snprintf(error->field, sizeof(error->field), "%s", form->path);
	put_cut(error->value, sizeof(error->value), shown != NULL ? shown : "");
	free(shown);
	va_start(arguments, what);
	vsnprintf(error->what, sizeof(error->what), what, arguments);
	va_end(arguments);
	snprintf(error->remedy, sizeof(error->remedy), "%s", remedy);
	return false;
}

void form_print(const struct form_error *error, bool remedy, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s%s%s%s%s", error->field,
		 error->value[0] != '\0' && error->field[0] != '\0' ? ": " : "", error->value,
		 (error->field[0] != '\0' || error->value[0] != '\0') && error->what[0] != '\0'
			 ? " "
			 : "",
		 error->what, remedy && error->remedy[0] != '\0' ? "; " : "",
		 remedy ? error->remedy : "");
}

json_t *form_parse(struct form *form, const char *text, size_t length)
{
	json_error_t why;
	json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);

	if (value == NULL) {
		form_refuse(form, NULL, "write JSON (RFC 8259), without duplicate keys",
			    "is no JSON at line %d, column %d: %s", why.line, why.column, why.text);
	}
	return value;
}

/* Where it was before; the path is cut where it would be too long, which only messages notice. */
static size_t enter(struct form *form, const char *separator, const char *key, const char *end)
{
	size_t length = strlen(form->path);
	char shown[64];

	put_cut(shown, sizeof(shown), key);
	for (size_t i = 0; shown[i] != '\0'; i++) {
		shown[i] = shown[i] >= ' ' && shown[i] <= '~' ? shown[i] : '?';
	}
	snprintf(form->path + length, sizeof(form->path) - length, "%s%s%s",
		 length != 0 || *separator != '.' ? separator : "", shown, end);
	return length;
}

static void leave(struct form *form, size_t length)
{
	form->path[length] = '\0';
}

bool form_refuse_member(struct form *form, const char *key, const json_t *value, const char *remedy,
			const char *what)
{
	size_t mark = enter(form, ".", key, "");

	form_refuse(form, value, remedy, "%s", what);
	leave(form, mark);
	return false;
}

static bool read_number(struct form *form, const json_t *value, const struct form_member *member,
			void *into)
{
	json_int_t number = json_integer_value(value);
	char remedy[96];

	snprintf(remedy, sizeof(remedy), "give a number from %" PRIu64 " to %" PRIu64,
		 member->least, member->most);
	if (!json_is_integer(value)) {
		return form_refuse(form, value, remedy, "is not a whole number");
	}
	if (number < 0 || (uint64_t)number < member->least || (uint64_t)number > member->most) {
		return form_refuse(form, value, remedy, "is not from %" PRIu64 " to %" PRIu64,
				   member->least, member->most);
	}
	if (member->kind == FORM_NUMBER32) {
		*(uint32_t *)into = (uint32_t)number;
	} else {
		*(uint64_t *)into = (uint64_t)number;
	}
	return true;
}

static bool read_text(struct form *form, const json_t *value, const struct form_member *member,
		      void *into)
{
	size_t length = json_string_length(value);
	char remedy[96];

	snprintf(remedy, sizeof(remedy), "give a text of %" PRIu64 " to %" PRIu64 " bytes",
		 member->least, member->most);
	if (!json_is_string(value)) {
		return form_refuse(form, value, remedy, "is not a text");
	}
	if (length < member->least || length > member->most) {
		return form_refuse(form, value, remedy, "has %zu bytes", length);
	}
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)json_string_value(value)[i];

		if (c < ' ' || c == 0x7f) {
			return form_refuse(form, value, "leave control characters out",
					   "has a control character");
		}
	}
	*(const char **)into = json_string_value(value);
	return true;
}

static bool read_word(struct form *form, const json_t *value, const struct form_member *member,
		      void *into)
{
	char remedy[128] = "give ";
	size_t length;
	unsigned int i;

	for (i = 0; member->words[i] != NULL; i++) {
		if (json_is_string(value) &&
		    strcmp(json_string_value(value), member->words[i]) == 0) {
			*(unsigned int *)into = i;
			return true;
		}
		length = strlen(remedy);
		snprintf(remedy + length, sizeof(remedy) - length, "%s%s",
			 i == 0                         ? ""
			 : member->words[i + 1] == NULL ? " or "
							: ", ",
			 member->words[i]);
	}
	return form_refuse(form, value, remedy, "is not known");
}

bool form_read_value(struct form *form, const json_t *value, const struct form_member *member,
		     void *into)
{
	switch (member->kind) {
	case FORM_FLAG:
		if (!json_is_boolean(value)) {
			return form_refuse(form, value, "give true or false",
					   "is neither true nor false");
		}
		*(bool *)into = json_is_true(value);
		return true;
	case FORM_NUMBER:
	case FORM_NUMBER32:
		return read_number(form, value, member, into);
	case FORM_TEXT:
		return read_text(form, value, member, into);
	case FORM_WORD:
		return read_word(form, value, member, into);
	default:
		return member->read(form, value, into);
	}
}

static size_t part_count(const struct form_member *part)
{
	size_t count = 0;

	while (part[count].key != NULL) {
		count++;
	}
	return count;
}

/* Behind the `length` bytes that are in `to`; cut at its end. */
static size_t list_keys(char *to, size_t size, size_t length, const struct form_member *members,
			size_t count)
{
	for (size_t i = 0; i < count && length < size; i++) {
		const struct form_member *part = members[i].part;

		length = part != NULL
				 ? list_keys(to, size, length, part, part_count(part))
				 : length + (size_t)snprintf(to + length, size - length, "%s%s",
							     length == 0 ? "there are: " : ", ",
							     members[i].key);
	}
	return length;
}

static bool refuse_key(struct form *form, const struct form_member *members, size_t count)
{
	char remedy[sizeof(form->error.remedy)] = "there are none";

	list_keys(remedy, sizeof(remedy), 0, members, count);
	return form_refuse(form, NULL, remedy, "is not known");
}

static bool key_is_known(const char *key, const struct form_member *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct form_member *part = members[i].part;

		if (part != NULL ? key_is_known(key, part, part_count(part))
				 : strcmp(members[i].key, key) == 0) {
			return true;
		}
	}
	return false;
}

static bool read_members(struct form *form, const json_t *object, const struct form_member *members,
			 size_t count, char *into);

static bool read_member(struct form *form, const json_t *object, const struct form_member *member,
			char *into)
{
	const json_t *item;
	bool done = true;
	size_t mark;

	if (member->part != NULL) {
		return read_members(form, object, member->part, part_count(member->part), into);
	}
	item = json_object_get(object, member->key);
	mark = enter(form, ".", member->key, "");
	if (item != NULL) {
		done = form_read_value(form, item, member, into);
	} else if (member->required) {
		done = form_refuse(form, NULL, "it has to be given", "is missing");
	}
	leave(form, mark);
	return done;
}

static bool read_members(struct form *form, const json_t *object, const struct form_member *members,
			 size_t count, char *into)
{
	for (size_t i = 0; i < count; i++) {
		if (!read_member(form, object, &members[i], into + members[i].at)) {
			return false;
		}
	}
	return true;
}

bool form_read(struct form *form, const json_t *value, const struct form_member *members,
	       size_t count, void *into)
{
	const char *key;
	json_t *item;

	if (!json_is_object(value)) {
		return form_refuse(form, value, "give an object, as {...}", "is not an object");
	}
	json_object_foreach((json_t *)value, key, item)
	{
		if (!key_is_known(key, members, count)) {
			enter(form, ".", key, "");
			return refuse_key(form, members, count);
		}
	}
	return read_members(form, value, members, count, into);
}

bool form_read_list(struct form *form, const json_t *value, size_t most,
		    bool (*read)(struct form *form, const json_t *value, void *into), void *into)
{
	char remedy[64], number[24];
	bool done = true;
	size_t i, mark;

	snprintf(remedy, sizeof(remedy), "give a list of at most %zu, as [...]", most);
	if (!json_is_array(value)) {
		return form_refuse(form, value, remedy, "is not a list");
	}
	if (json_array_size(value) > most) {
		return form_refuse(form, NULL, remedy, "has %zu items", json_array_size(value));
	}
	for (i = 0; done && i < json_array_size(value); i++) {
		snprintf(number, sizeof(number), "%zu", i);
		mark = enter(form, "[", number, "]");
		done = read(form, json_array_get(value, i), into);
		leave(form, mark);
	}
	return done;
}
