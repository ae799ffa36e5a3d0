/*
 * JSON from outside into a struct, by a table with one row for each member that an object may have.
 * Whatever is not in the table, or not as its row says, is refused by the member's path, with its
 * value and a remedy. Used by control sockets and by the worker's configuration.
 *
 * Rows are read in their order, so a `read` may use what rows before it have set. Texts are the
 * JSON value's own memory and live as long as it does.
 */
#ifndef HOSTED_FORM_H
#define HOSTED_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "lib/check.h"

/* What was refused: "FIELD: VALUE WHAT; REMEDY". Value and remedy may be empty. */
struct form_error {
	char field[160];
	char value[96]; /* as JSON, cut where it is long */
	char what[200];
	char remedy[160];
};

struct form {
	char path[160]; /* of the value that is being read */
	struct form_error error;
	void *user; /* for what `read`s have in common */
};

enum form_kind {
	FORM_FLAG,     /* bool */
	FORM_NUMBER,   /* uint64_t from least to most */
	FORM_NUMBER32, /* uint32_t, likewise */
	FORM_TEXT,     /* const char *, of least to most bytes */
	FORM_WORD,     /* unsigned int: which of `words`, the last of which is NULL */
	FORM_OTHER,    /* whatever `read` makes of it */
	FORM_PART,     /* more members of the same object, for the struct at `at`; its key is "" */
};

struct form_member {
	const char *key;
	enum form_kind kind;
	bool required;
	size_t at; /* offset in the struct */
	uint64_t least, most;
	const char *const *words;
	bool (*read)(struct form *form, const json_t *value, void *into);
	const struct form_member *part; /* the last one's key is NULL */
};

/* Parses a text that has one value and nothing behind it. NULL: why is in form->error. */
json_t *form_parse(struct form *form, const char *text, size_t length);
/* False: why is in form->error, and some members may be set. Those that are absent are left
 * alone. */
bool form_read(struct form *form, const json_t *value, const struct form_member *members,
	       size_t count, void *into) MUST_CHECK;

/* Each item of a list of at most `most`; false: as form_read(). */
bool form_read_list(struct form *form, const json_t *value, size_t most,
		    bool (*read)(struct form *form, const json_t *value, void *into),
		    void *into) MUST_CHECK;

/* A single value, as a member's row says. */
bool form_read_value(struct form *form, const json_t *value, const struct form_member *member,
		     void *into) MUST_CHECK;

/* A value of the path where `form` is. Always false. `value` NULL: none to be shown. */
bool form_refuse(struct form *form, const json_t *value, const char *remedy, const char *what, ...)
	__attribute__((format(printf, 4, 5)));

/* The same for a member of it. */
bool form_refuse_member(struct form *form, const char *key, const json_t *value, const char *remedy,
			const char *what);

/* "FIELD: VALUE WHAT; REMEDY", or without the remedy. */
void form_print(const struct form_error *error, bool remedy, char *text, size_t size);

#endif
