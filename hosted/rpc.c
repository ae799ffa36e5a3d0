/* See rpc.h; docs/design/control.md. */
#include "hosted/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/packet.h"

int rpc_accept(int listener, struct rpc_peer *peer)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), ret;
	struct ucred who;
	socklen_t size = sizeof(who);

	if (fd < 0) {
		return -errno;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	*peer = (struct rpc_peer){.user = who.uid};
	return fd;
}

/* ---- Errors ---- */

/* JSON-RPC 2.0, section 5.1; all that it has no number for share one. */
static int number_of(const char *code)
{
	static const struct {
		const char *code;
		int number;
	} numbers[] = {
		{CONTROL_BAD_PARSE, -32700},
		{CONTROL_BAD_REQUEST, -32600},
		{CONTROL_BAD_METHOD, -32601},
		{CONTROL_BAD_INVALID, -32602},
	};

	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		if (strcmp(numbers[i].code, code) == 0) {
			return numbers[i].number;
		}
	}
	return -32000;
}

json_t *rpc_error(const char *code, const char *message, const struct form_error *error)
{
	json_t *data = json_pack("{s:s}", "code", code);

	if (error->remedy[0] != '\0') {
		json_object_set_new(data, "remedy", json_string(error->remedy));
	}
	if (error->field[0] != '\0') {
		json_object_set_new(data, "field", json_string(error->field));
	}
	return json_pack("{s:i, s:s, s:o}", "code", number_of(code), "message", message, "data",
			 data);
}

static json_t *error_of(const char *code, const struct form_error *error)
{
	char message[512];

	form_print(error, false, message, sizeof(message));
	return rpc_error(code, message, error);
}

json_t *rpc_refusal(const char *code, const char *what, const char *remedy)
{
	struct form form = {0};

	form_refuse(&form, NULL, remedy, "%s", what);
	return json_pack("{s:s, s:n, s:o}", "jsonrpc", "2.0", "id", "error",
			 error_of(code, &form.error));
}

json_t *rpc_refuse(struct rpc_request *request, const char *code, const char *what,
		   const char *remedy)
{
	request->code = code;
	request->form.path[0] = '\0'; /* the request as a whole */
	form_refuse(&request->form, NULL, remedy, "%s", what);
	return NULL;
}

/* ---- Hello ---- */

struct versions {
	json_int_t lowest, highest;
	unsigned int count;
};

static bool read_version(struct form *form, const json_t *value, void *into)
{
	struct versions *versions = into;

	if (!json_is_integer(value) || json_integer_value(value) < 1) {
		return form_refuse(form, value, "give a number from 1 on", "is not a version");
	}
	*(versions->count++ == 0 ? &versions->lowest : &versions->highest) =
		json_integer_value(value);
	return true;
}

static bool read_versions(struct form *form, const json_t *value, void *into)
{
	struct versions *versions = into;

	if (!form_read_list(form, value, 2, read_version, versions)) {
		return false;
	}
	return versions->count == 2 ||
	       form_refuse(form, value, "give [lowest, highest]", "is not two versions");
}

/* Its members are not for the program's parameters, so it is called by itself. */
static const struct rpc_method hello_row = {.name = CONTROL_HELLO};

static json_t *hello(const struct rpc_table *table, struct rpc_request *request)
{
	static const struct form_member members[] = {
		{"versions", FORM_OTHER, .required = true, .read = read_versions},
	};
	struct versions versions = {0};
	json_t *names, *result;
	char what[80];

	if (!form_read(&request->form, request->params, members, ARRAY_COUNT(members), &versions)) {
		return NULL;
	}
	if (versions.lowest > CONTROL_VERSION || versions.highest < 1) {
		snprintf(what, sizeof(what), "this %s speaks version %d", table->server,
			 CONTROL_VERSION);
		return rpc_refuse(request, CONTROL_BAD_VERSION, what,
				  "use a client of that version");
	}
	request->peer->greeted = true;
	names = json_pack("[s]", CONTROL_HELLO);
	for (size_t i = 0; i < table->count; i++) {
		json_array_append_new(names, json_string(table->methods[i].name));
	}
	result = json_pack("{s:i, s:[i,i], s:o}", "version", CONTROL_VERSION, "versions", 1,
			   CONTROL_VERSION, "methods", names);
	if (table->hello != NULL) {
		table->hello(request, result);
	}
	return result;
}

/* ---- A request ---- */

struct envelope {
	const char *version, *method;
	const json_t *params, *id;
};

static bool take_value(struct form *form, const json_t *value, void *into)
{
	(void)form;
	*(const json_t **)into = value;
	return true;
}

static bool take_id(struct form *form, const json_t *value, void *into)
{
	if (!json_is_integer(value) &&
	    !(json_is_string(value) && json_string_length(value) <= CONTROL_ID_MAX)) {
		return form_refuse(form, value,
				   "give a whole number, or a text of at most 64 bytes",
				   "is no id");
	}
	return take_value(form, value, into);
}

#define IN_ENVELOPE(member) .at = offsetof(struct envelope, member)

static bool open_envelope(struct rpc_request *request, const json_t *message,
			  struct envelope *envelope)
{
	/* The id first, so that what is wrong with the rest is answered to it. */
	static const struct form_member members[] = {
		{"id", FORM_OTHER, .required = true, IN_ENVELOPE(id), .read = take_id},
		{"jsonrpc", FORM_TEXT, .required = true, IN_ENVELOPE(version), .most = 16},
		{"method", FORM_TEXT, .required = true, IN_ENVELOPE(method), .most = 64},
		{"params", FORM_OTHER, IN_ENVELOPE(params), .read = take_value},
	};

	request->code = CONTROL_BAD_REQUEST;
	if (!form_read(&request->form, message, members, ARRAY_COUNT(members), envelope)) {
		return false;
	}
	return strcmp(envelope->version, "2.0") == 0 ||
	       form_refuse_member(&request->form, "jsonrpc", json_object_get(message, "jsonrpc"),
				  "write \"2.0\"", "is not known");
}

static bool is_allowed(const struct rpc_table *table, struct rpc_request *request,
		       const struct rpc_method *method)
{
	const struct rpc_peer *peer = request->peer;
	char what[160];

	if (!peer->greeted && method != &hello_row) {
		rpc_refuse(request, CONTROL_BAD_VERSION, "no version is agreed on yet",
			   "ask for hello first");
		return false;
	}
	if (method->changes && !peer->may_change) {
		snprintf(what, sizeof(what), "user %u may only look at this %s",
			 (unsigned int)peer->user, table->subject);
		rpc_refuse(request, CONTROL_BAD_PERMISSION, what, table->who);
		return false;
	}
	if (request->fd_count < method->files_least || request->fd_count > method->files_most) {
		snprintf(what, sizeof(what), "%u descriptors came, from %u to %u may",
			 request->fd_count, method->files_least, method->files_most);
		rpc_refuse(request, CONTROL_BAD_DESCRIPTORS, what,
			   "send those that the method takes");
		return false;
	}
	return table->may_run == NULL || table->may_run(request, method);
}

static const struct rpc_method *find_method(const struct rpc_table *table,
					    struct rpc_request *request, const char *name)
{
	if (strcmp(name, CONTROL_HELLO) == 0) {
		return &hello_row;
	}
	for (size_t i = 0; i < table->count; i++) {
		if (strcmp(table->methods[i].name, name) == 0) {
			return &table->methods[i];
		}
	}
	request->code = CONTROL_BAD_METHOD;
	form_refuse(&request->form, NULL, "hello lists what there is",
		    "%s: not a method that this %s knows", name, table->server);
	return NULL;
}

static json_t *run(const struct rpc_table *table, struct rpc_request *request, const char *name,
		   struct parameters *parameters)
{
	const struct rpc_method *method = find_method(table, request, name);

	if (method == NULL || !is_allowed(table, request, method)) {
		return NULL;
	}
	request->code = CONTROL_BAD_INVALID;
	snprintf(request->form.path, sizeof(request->form.path), "params");
	if (method == &hello_row) {
		return hello(table, request);
	}
	return form_read(&request->form, request->params, method->members, method->member_count,
			 parameters)
		       ? method->run(request, parameters)
		       : NULL;
}

json_t *rpc_answer(const struct rpc_table *table, struct rpc_request *request,
		   struct parameters *parameters, const char *text, size_t length)
{
	json_t *message = form_parse(&request->form, text, length), *none = json_object();
	json_t *result = NULL, *answer;
	struct envelope envelope = {.params = none};

	request->code = CONTROL_BAD_PARSE;
	if (message != NULL && open_envelope(request, message, &envelope)) {
		request->params = envelope.params;
		result = run(table, request, envelope.method, parameters);
	}
	answer = json_pack("{s:s, s:O?}", "jsonrpc", "2.0", "id", (json_t *)envelope.id);
	if (envelope.id == NULL) {
		json_object_set_new(answer, "id", json_null());
	}
	if (result != NULL) {
		json_object_set_new(answer, "result", result);
	} else {
		json_object_set_new(answer, "error", error_of(request->code, &request->form.error));
	}
	json_decref(message);
	json_decref(none);
	return answer;
}

char *rpc_text(const json_t *message)
{
	char *text = message != NULL ? json_dumps(message, JSON_COMPACT) : NULL;
	json_t *instead;

	if (text != NULL && strlen(text) > CONTROL_MESSAGE_MAX) {
		free(text);
		instead = rpc_refusal(CONTROL_BAD_LIMIT, "the answer is too long for a message",
				      "ask for less, or give files shorter names");
		json_object_set(instead, "id", json_object_get(message, "id"));
		text = json_dumps(instead, JSON_COMPACT);
		json_decref(instead);
	}
	return text;
}

int rpc_send(int socket, const char *text)
{
	return packet_send(socket, MSG_DONTWAIT, text, strlen(text), NULL, 0);
}
