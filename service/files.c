/*
 * A machine's files of disks: listed, made, made larger, deleted, brought and fetched. Each is done
 * by a process in the machine's folder (file_process.c), which is the one that waits; here its
 * socket is joined with the request's body, or with its answer, as fast as both ends take it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/disk_name.h"
#include "hosted/size.h"
#include "service/service.h"

#define TRANSFERS_MAX 16 /* at once */
#define FILE_NAME_MAX 200
/* Of a disk: what VHDX can be. */
#define DISK_SIZE_MAX (UINT64_C(64) << 40)
/* Then nothing is said of it, not that it has hung up either, until it is asked for again. */
#define ONCE(events) ((events) | EPOLLONESHOT)

/*
 * One file on its way. It lasts as long as its process, or its request, whichever is longer.
 *   source: the socket; it is watched while the request waits for it.
 */
struct transfer {
	struct source source;
	struct service *service;
	struct tool *tool;       /* NULL: it has ended */
	struct request *request; /* NULL: it has gone */
	char name[FILE_NAME_MAX + 1];
	bool begun;   /* the process has said that it can begin */
	bool fetched; /* else brought */
	uint64_t size;
};

static unsigned int transfers;

/* ---- Names ---- */

static bool is_name(const char *name, struct refusal *why)
{
	size_t length = strlen(name), i;
	bool good = length <= FILE_NAME_MAX && name[0] != '.' && name[0] != '-' &&
		    disk_name_is_one(name);

	for (i = 0; good && i < length; i++) {
		good = (unsigned char)name[i] >= ' ' && name[i] != 0x7f &&
		       strchr("/,", name[i]) == NULL;
	}
	return good || refuse(why, SERVICE_BAD_INVALID,
			      "give a name without / and , that ends in .vhdx, .vhd, .img or .iso",
			      "this is no name for a disk's file");
}

/* Of a machine whose document names it, or one of its checkpoints. */
static bool is_free(const struct machine *machine, const char *name, struct refusal *why)
{
	char path[PATH_MAX];
	json_t *users;
	bool used;

	if (!machine_path(machine, name, path)) {
		return refuse(why, SERVICE_BAD_IO, "", "the path is too long");
	}
	users = storage_users(machine->service, path);
	used = json_array_size(users) != 0;
	if (used) {
		refuse(why, SERVICE_BAD_STATE, "take it away from there first",
		       "'%s' is a disk of '%s'", name, json_string_value(json_array_get(users, 0)));
	}
	json_decref(users);
	return !used;
}

/* ---- What is done by a process, and answered at its end ---- */

/* `fd` -1: none. False: why. */
static bool run(const struct machine *machine, const char *verb, const char *name,
		const json_t *wanted, int fd, tool_done *done, void *user, struct tool **tool,
		struct refusal *why)
{
	char *text = json_dumps(wanted, JSON_COMPACT), folder[PATH_MAX];
	const char *const words[] = {"--file", verb, name, text != NULL ? text : "{}", NULL};
	bool started = machine_path(machine, "", folder) ||
		       refuse(why, SERVICE_BAD_IO, "", "the path is too long");

	if (started) {
		*tool = tool_run_with(machine->service, ITSELF, folder, words, fd, done, user, why);
		started = *tool != NULL;
	}
	free(text);
	return started;
}

/* The request is suspended, so it is there. */
struct errand {
	struct request *request;
	char name[FILE_NAME_MAX + 1]; /* empty: a list was asked for */
	unsigned int status;
};

/* The process says by a word what kind of failure it was. */
static void complain(char *said, const char *out, struct refusal *why)
{
	static const char *const codes[] = {SERVICE_BAD_EXISTS, SERVICE_BAD_NOT_FOUND,
					    SERVICE_BAD_STATE, SERVICE_BAD_INVALID};
	size_t i;

	tool_complaint(said, "vmms", "", why);
	why->code = SERVICE_BAD_IO;
	for (i = 0; i < ARRAY_COUNT(codes); i++) {
		if (strcmp(out, codes[i]) == 0) {
			why->code = codes[i];
		}
	}
}

static void end_errand(void *user, bool done, const char *out, char *said)
{
	struct errand *errand = user;
	struct request *request = errand->request;
	json_t *answer = NULL;
	struct refusal why;

	if (!done) {
		complain(said, out, &why);
		api_refuse(request, &why);
	} else {
		if (errand->name[0] == '\0') {
			answer = json_pack("{s:o}", "files", json_loads(out, 0, NULL));
		}
		request_answer(request, errand->status,
			       answer != NULL ? answer : json_pack("{s:s}", "name", errand->name));
	}
	free(errand);
}

static void do_errand(struct request *request, const struct machine *machine, const char *verb,
		      const char *name, const json_t *wanted, unsigned int status)
{
	struct errand *errand = calloc(1, sizeof(*errand));
	struct refusal why;
	struct tool *tool;

	CHECK(errand != NULL);
	*errand = (struct errand){.request = request, .status = status};
	snprintf(errand->name, sizeof(errand->name), "%s", name);
	if (!run(machine, verb, name, wanted, -1, end_errand, errand, &tool, &why)) {
		free(errand);
		api_refuse(request, &why);
	}
}

void files_list(struct request *request, const struct machine *machine)
{
	json_t *nothing = json_object();

	do_errand(request, machine, "list", "", nothing, 200);
	json_decref(nothing);
}

/* A number, or as 20G. */
static bool read_size(struct form *form, const json_t *value, void *into)
{
	uint64_t size = 0;

	if (json_is_integer(value) && json_integer_value(value) > 0) {
		size = (uint64_t)json_integer_value(value);
	} else if (!json_is_string(value) || !size_parse(json_string_value(value), &size)) {
		size = 0;
	}
	*(uint64_t *)into = size;
	return (size != 0 && size <= DISK_SIZE_MAX) ||
	       form_refuse(form, value, "give a number of bytes, or a text as 20G",
			   "is no size of a disk");
}

struct wanted {
	const char *name, *parent;
	uint64_t size;
	unsigned int type;
};

#define OF(member) .at = offsetof(struct wanted, member)

void files_create(struct request *request, const struct machine *machine, const json_t *body)
{
	static const char *const types[] = {"dynamic", "fixed", "differencing", NULL};
	static const struct form_member rows[] = {
		{"name", FORM_TEXT, .required = true, OF(name), .least = 1, .most = FILE_NAME_MAX},
		{"type", FORM_WORD, OF(type), .words = types},
		{"size", FORM_OTHER, OF(size), .read = read_size},
		{"parent", FORM_TEXT, OF(parent), .least = 1, .most = PATH_MAX - 1},
	};
	struct wanted wanted = {.name = ""};
	struct form form = {0};
	struct refusal why;
	json_t *how;

	if (!form_read(&form, body, rows, ARRAY_COUNT(rows), &wanted)) {
		refuse_form(&why, &form.error);
		api_refuse(request, &why);
		return;
	}
	if (!is_name(wanted.name, &why)) {
		api_refuse(request, &why);
		return;
	}
	if ((wanted.type == 2) != (wanted.parent != NULL) ||
	    (wanted.parent == NULL && wanted.size == 0)) {
		refuse(&why, SERVICE_BAD_INVALID,
		       "give a size, or with the type differencing a parent",
		       "size, parent: one of them is missing, or too much");
		api_refuse(request, &why);
		return;
	}
	how = json_pack("{s:I, s:b, s:s*}", "size", (json_int_t)wanted.size, "fixed",
			wanted.type == 1, "parent", wanted.parent);
	snprintf(request->location, sizeof(request->location), "/v1/machines/%s/files",
		 machine->id);
	do_errand(request, machine, "create", wanted.name, how, 201);
	json_decref(how);
}

void files_resize(struct request *request, const struct machine *machine, const char *name,
		  const json_t *body)
{
	static const struct form_member rows[] = {
		{"size", FORM_OTHER, .required = true, OF(size), .read = read_size},
	};
	struct wanted wanted = {.name = name};
	struct form form = {0};
	struct refusal why;
	json_t *how;

	if (!form_read(&form, body, rows, ARRAY_COUNT(rows), &wanted)) {
		refuse_form(&why, &form.error);
		api_refuse(request, &why);
	} else if (!is_name(name, &why)) {
		api_refuse(request, &why);
	} else {
		how = json_pack("{s:I, s:o}", "size", (json_int_t)wanted.size, "elsewhere",
				storage_paths_elsewhere(machine->service));
		do_errand(request, machine, "resize", name, how, 200);
		json_decref(how);
	}
}

void files_delete(struct request *request, const struct machine *machine, const char *name)
{
	struct refusal why;
	json_t *how;

	if (!is_name(name, &why) || !is_free(machine, name, &why)) {
		api_refuse(request, &why);
		return;
	}
	how = json_pack("{s:o}", "elsewhere", storage_paths_elsewhere(machine->service));
	do_errand(request, machine, "delete", name, how, 200);
	json_decref(how);
}

/* ---- Whether those of a machine that is to go are somebody else's parents ---- */

struct farewell {
	struct request *request;
	void (*go)(struct request *request, const struct refusal *why);
};

static void end_farewell(void *user, bool done, const char *out, char *said)
{
	struct farewell *farewell = user;
	struct refusal why;

	if (!done) {
		complain(said, out, &why);
	}
	farewell->go(farewell->request, done ? NULL : &why);
	free(farewell);
}

void files_unneeded(struct request *request, const struct machine *machine,
		    void (*go)(struct request *request, const struct refusal *why))
{
	struct farewell *farewell = calloc(1, sizeof(*farewell));
	json_t *names = json_array(), *disk, *how;
	struct refusal why;
	struct tool *tool;
	size_t i;

	CHECK(farewell != NULL);
	*farewell = (struct farewell){request, go};
	json_array_foreach(json_object_get(machine->settings.document, "disks"), i, disk)
	{
		json_array_append(names, json_object_get(disk, "file"));
	}
	how = json_pack("{s:o, s:o}", "files", names, "elsewhere",
			storage_paths_elsewhere(machine->service));
	if (!run(machine, "unneeded", "", how, -1, end_farewell, farewell, &tool, &why)) {
		free(farewell);
		go(request, &why);
	}
	json_decref(how);
}

/* ---- Brought and fetched ---- */

static void release(struct transfer *transfer)
{
	if (transfer->tool == NULL && transfer->request == NULL) {
		transfers--;
		free(transfer);
	}
}

static void hang_up(struct transfer *transfer)
{
	if (transfer->source.fd >= 0) {
		loop_close(transfer->service, &transfer->source);
		transfer->source.fd = -1;
	}
}

/* Also of one that was given up: then nobody is told. What was fetched is in the socket still, and
 * its end is the answer's. */
static void end_transfer(void *user, bool done, const char *out, char *said)
{
	struct transfer *transfer = user;
	struct request *request = transfer->request;
	struct refusal why;

	transfer->tool = NULL;
	if (request != NULL && request->status == 0 &&
	    !(transfer->fetched && (done || transfer->begun))) {
		if (done) {
			request_answer(request, 201, json_pack("{s:s}", "name", transfer->name));
		} else {
			complain(said, out, &why);
			api_refuse(request, &why);
		}
	}
	release(transfer);
}

/* The process can begin, or has room, or has more. */
static void ready(struct source *source, uint32_t events)
{
	struct transfer *transfer =
		(struct transfer *)((char *)source - offsetof(struct transfer, source));
	ssize_t got;
	char begins;

	(void)events;
	if (!transfer->begun) {
		got = transfer->fetched ? recv(source->fd, &transfer->size, sizeof(transfer->size),
					       MSG_WAITALL)
					: recv(source->fd, &begins, 1, 0);
		if (got <= 0) {
			return; /* it has ended, and end_transfer() says why */
		}
		transfer->begun = true;
	}
	request_go_on(transfer->request);
}

static void begin(struct request *request, const struct machine *machine, const char *name,
		  bool fetched, const json_t *how)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));
	int ends[2] = {-1, -1};
	struct refusal why;
	bool started = false;

	refuse(&why, SERVICE_BAD_IO, "", "no way for a file can be made");
	CHECK(transfer != NULL);
	*transfer = (struct transfer){.source = {-1, ready},
				      .service = machine->service,
				      .request = request,
				      .fetched = fetched};
	snprintf(transfer->name, sizeof(transfer->name), "%s", name);
	if (transfers >= TRANSFERS_MAX) {
		refuse(&why, SERVICE_BAD_LIMIT, "wait for one of them",
		       "%d files are on their way already", TRANSFERS_MAX);
	} else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
		refuse(&why, SERVICE_BAD_IO, "", "%s", strerror(errno));
	} else {
		transfer->source.fd = ends[0];
		started = loop_watch(machine->service, &transfer->source, ONCE(EPOLLIN)) &&
			  run(machine, fetched ? "give" : "take", name, how, ends[1], end_transfer,
			      transfer, &transfer->tool, &why);
	}
	if (ends[1] >= 0) {
		close(ends[1]);
	}
	if (!started) {
		if (ends[0] >= 0) {
			hang_up(transfer);
		}
		free(transfer);
		api_refuse(request, &why);
		return;
	}
	transfers++;
	request->transfer = transfer;
}

void files_take(struct request *request, const struct machine *machine, const char *name)
{
	struct refusal why;
	json_t *how;

	if (!is_name(name, &why)) {
		api_refuse(request, &why);
		return;
	}
	if (request->length_said == 0 || request->length_said > INT64_MAX) {
		refuse(&why, SERVICE_BAD_INVALID, "say in Content-Length how long it is",
		       "nobody knows how long the file is");
		api_refuse(request, &why);
		return;
	}
	how = json_pack("{s:I}", "size", (json_int_t)request->length_said);
	begin(request, machine, name, false, how);
	json_decref(how);
}

void files_give(struct request *request, const struct machine *machine, const char *name)
{
	struct refusal why;
	json_t *nothing;

	if (!is_name(name, &why)) {
		api_refuse(request, &why);
		return;
	}
	nothing = json_object();
	begin(request, machine, name, true, nothing);
	json_decref(nothing);
}

bool transfer_is_fetched(const struct transfer *transfer, uint64_t *size)
{
	*size = transfer->size;
	return transfer->begun && transfer->fetched;
}

bool transfer_put(struct transfer *transfer, const char *bytes, size_t *size)
{
	size_t done = 0;
	ssize_t sent;

	while (done < *size) {
		sent = send(transfer->source.fd, bytes + done, *size - done,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN) {
			*size -= done;
			loop_change(transfer->service, &transfer->source, ONCE(EPOLLOUT));
			return false;
		}
		/* If the process has ended, why is answered at the end of the body. */
		done = sent < 0 ? *size : done + (size_t)sent;
	}
	*size = 0;
	return true;
}

ssize_t transfer_get(struct transfer *transfer, char *to, size_t size)
{
	ssize_t got = recv(transfer->source.fd, to, size, MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN) {
		loop_change(transfer->service, &transfer->source, ONCE(EPOLLIN));
		return -EAGAIN;
	}
	return got > 0 ? got : -EPIPE;
}

/* Who asked has gone, or has all of it. A process that is not done yet sees that nobody is
 * there. */
void transfer_release(struct transfer *transfer)
{
	transfer->request = NULL;
	hang_up(transfer);
	release(transfer);
}
