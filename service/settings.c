/*
 * A machine's document (include/mgmt/machine.schema.json): what vmms reads of it, and what the
 * worker is told. A machine's hardware is judged by another (judge.c).
 */
#include <stdio.h>
#include <string.h>

#include "hosted/member.h"
#include "service/service.h"

#define TAGS_MAX  16
#define USERS_MAX 64
#define DELAY_MAX 86400

struct members {
	unsigned int start, stop, checkpoints, undo;
	uint64_t delay;
	const char *id, *title;
	bool transient;
};

static const char *const roles[] = {"viewer", "operator", NULL};

static bool read_tag(struct form *form, const json_t *value, void *into)
{
	static const struct form_member tag = {"", FORM_TEXT, .least = 1, .most = 64};
	const char *text;

	(void)into;
	return form_read_value(form, value, &tag, &text);
}

static bool read_tags(struct form *form, const json_t *value, void *into)
{
	return form_read_list(form, value, TAGS_MAX, read_tag, into);
}

static bool read_users(struct form *form, const json_t *value, void *into)
{
	static const struct form_member role = {"", FORM_WORD, .words = roles};
	const char *name;
	json_t *item;
	unsigned int word;

	(void)into;
	if (!json_is_object(value) || json_object_size(value) > USERS_MAX) {
		return form_refuse(form, value, "give {\"NAME\": \"viewer\" or \"operator\"}",
				   "is no list of users");
	}
	json_object_foreach((json_t *)value, name, item)
	{
		if (!form_read_value(form, item, &role, &word)) {
			return false;
		}
	}
	return true;
}

/* Of several lines. */
static bool read_lines(struct form *form, const json_t *value, size_t most)
{
	const char *text = json_string_value(value);
	size_t length = json_string_length(value);

	if (text == NULL) {
		return form_refuse(form, value, "give a text", "is not a text");
	}
	if (length > most) {
		return form_refuse(form, value, "keep it shorter", "has %zu bytes", length);
	}
	for (size_t i = 0; i < length; i++) {
		if (((unsigned char)text[i] < ' ' && text[i] != '\n' && text[i] != '\t') ||
		    text[i] == 0x7f) {
			return form_refuse(form, value,
					   "leave out control characters but tabs and line ends",
					   "has a control character");
		}
	}
	return true;
}

static bool read_notes(struct form *form, const json_t *value, void *into)
{
	(void)into;
	return read_lines(form, value, 4096);
}

static bool read_metadata(struct form *form, const json_t *value, void *into)
{
	(void)into;
	return read_lines(form, value, 32768);
}

/* Which checkpoint it goes on from, and which files lie over which: tree.c writes it. */
static bool read_checkpoint(struct form *form, const json_t *value, void *into)
{
	const json_t *over = json_object_get(value, "over");
	const char *child;
	json_t *parent;

	(void)into;
	json_object_foreach((json_t *)over, child, parent)
	{
		if (!json_is_string(parent)) {
			over = NULL;
		}
	}
	return (json_is_object(over) && json_is_string(json_object_get(value, "id"))) ||
	       form_refuse(form, value, "leave it out", "is no checkpoint");
}

/* It moves to another host, or comes from one: move.c writes it. */
static bool read_move(struct form *form, const json_t *value, void *into)
{
	const char *owner = json_string_value(json_object_get(value, "owner"));

	(void)into;
	return (owner != NULL && owner[0] == '/') ||
	       form_refuse(form, value, "leave it out", "is no move");
}

#define AT(member) .at = offsetof(struct members, member)

static const char *const starts[] = {"never", "if-running", "always", NULL};
static const char *const checkpoints[] = {"standard",        "disks",    "production",
					  "production-only", "disabled", NULL};
static const char *const undos[] = {"discard", "commit", NULL};
static const char *const stops[] = {"shutdown", "save", "turn-off", NULL};
static const struct form_member own[] = {
	{"id", FORM_TEXT, .required = true, AT(id), .least = UUID_TEXT - 1, .most = UUID_TEXT - 1},
	{"start", FORM_WORD, AT(start), .words = starts},
	{"start-delay", FORM_NUMBER, AT(delay), .most = DELAY_MAX},
	{"stop", FORM_WORD, AT(stop), .words = stops},
	{"notes", FORM_OTHER, .read = read_notes},
	{"title", FORM_TEXT, AT(title), .most = 256},
	{"metadata", FORM_OTHER, .read = read_metadata},
	{"transient", FORM_FLAG, AT(transient)},
	{"tags", FORM_OTHER, .read = read_tags},
	{"users", FORM_OTHER, .read = read_users},
	{"checkpoint", FORM_OTHER, .read = read_checkpoint},
	{"checkpoint-type", FORM_WORD, AT(checkpoints), .words = checkpoints},
	{"undo", FORM_WORD, AT(undo), .words = undos},
	{"departure", FORM_OTHER, .read = read_move},
	{"arrival", FORM_OTHER, .read = read_move},
};

bool settings_name_is_good(const char *name, struct refusal *why)
{
	size_t length = strlen(name), i;
	json_t *utf8 = json_string(name);
	bool good = utf8 != NULL && length >= 1 && length <= SERVICE_NAME_MAX && name[0] != '.' &&
		    name[0] != ' ' && name[0] != '-' && name[length - 1] != ' ';

	json_decref(utf8);
	for (i = 0; good && i < length; i++) {
		good = (unsigned char)name[i] >= ' ' && name[i] != 0x7f && name[i] != '/';
	}
	if (!good) {
		refuse(why, SERVICE_BAD_INVALID,
		       "give 1 to 64 bytes of UTF-8, without / and control characters, that begin "
		       "with no dot, dash or space",
		       "this is no name for a machine");
		snprintf(why->field, sizeof(why->field), "name");
	}
	return good;
}

/* What only vmms may say to a worker. */
static const char *const forbidden[] = {"name", "control", "restore", "receive", "user", "device"};

bool settings_read(struct settings *settings, json_t *document, struct refusal *why)
{
	struct members members = {.start = START_NEVER, .stop = STOP_SHUTDOWN};
	struct form form = {0};
	json_t *known = json_object();
	bool done;
	size_t i;

	for (i = 0; i < ARRAY_COUNT(forbidden); i++) {
		json_t *value = json_object_get(document, forbidden[i]);

		if (value != NULL) {
			form_refuse_member(&form, forbidden[i], value, "leave it out",
					   "is the service's own affair");
			json_decref(known);
			json_decref(document);
			return refuse_form(why, &form.error);
		}
	}
	for (i = 0; i < ARRAY_COUNT(own); i++) {
		json_t *value = json_object_get(document, own[i].key);

		if (value != NULL) {
			json_object_set(known, own[i].key, value);
		}
	}
	done = form_read(&form, json_is_object(document) ? known : document, own, ARRAY_COUNT(own),
			 &members);
	json_decref(known);
	if (!done) {
		json_decref(document);
		return refuse_form(why, &form.error);
	}
	json_decref(settings->document);
	*settings = (struct settings){.start = (enum start_action)members.start,
				      .start_delay = members.delay,
				      .stop = (enum stop_action)members.stop,
				      .transient = members.transient,
				      .document = document};
	return true;
}

void settings_free(struct settings *settings)
{
	json_decref(settings->document);
	settings->document = NULL;
}

enum role settings_role(const struct settings *settings, const char *user)
{
	const char *role = json_string_value(
		json_object_get(json_object_get(settings->document, "users"), user));

	if (role == NULL) {
		return ROLE_NONE;
	}
	return strcmp(role, roles[0]) == 0 ? ROLE_VIEWER : ROLE_OPERATOR;
}

json_t *settings_for_worker(const struct machine *machine, const json_t *document)
{
	json_t *config = json_copy((json_t *)document);
	size_t i;

	for (i = 0; i < ARRAY_COUNT(own); i++) {
		if (strcmp(own[i].key, "id") != 0) {
			json_object_del(config, own[i].key);
		}
	}
	json_object_set_new(config, "name", json_string(machine->name));
	if (json_object_get(config, "serial") == NULL) {
		json_object_set_new(config, "serial", json_pack("{s:s}", "to", "control"));
	}
	return config;
}

bool settings_writes(const json_t *disk)
{
	return strcmp(member_text(disk, "kind"), "dvd") != 0 &&
	       !json_is_true(json_object_get(disk, "read-only")) &&
	       json_is_string(json_object_get(disk, "file"));
}
