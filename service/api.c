/*
 * The API's resources (include/mgmt/openapi.json): a table of methods and paths, each with who may.
 * A path's star is one segment, a machine's name or id, a job's number or an action.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "disk/bytes.h"
#include "hosted/available.h"
#include "include/mgmt/control.h"
#include "service/service.h"

#define SEGMENTS_MAX 6

/* A path, cut into its segments. */
struct call {
	struct request *request;
	const char *words[SEGMENTS_MAX];
	struct machine *machine; /* of a path that has one */
	struct job *job;
};

/* Takes the object, of a refusal. */
static void answer_problem(struct request *request, json_t *problem)
{
	static const struct {
		const char *code;
		unsigned int status;
		const char *title;
	} codes[] = {
		{SERVICE_BAD_INVALID, 400, "not as it should be"},
		{SERVICE_BAD_PERMISSION, 403, "not allowed"},
		{SERVICE_BAD_NOT_FOUND, 404, "not found"},
		{SERVICE_BAD_METHOD, 405, "no such method"},
		{SERVICE_BAD_STATE, 409, "not in this state"},
		{SERVICE_BAD_EXISTS, 409, "exists already"},
		{SERVICE_BAD_CHANGED, 412, "changed meanwhile"},
		{SERVICE_BAD_LIMIT, 429, "too much"},
		{SERVICE_BAD_WORKER, 502, "the worker cannot"},
		{SERVICE_BAD_IO, 500, "not done"},
	};
	const char *code = json_string_value(json_object_get(problem, "code"));
	size_t i = 0;

	while (i < ARRAY_COUNT(codes) - 1 && (code == NULL || strcmp(codes[i].code, code) != 0)) {
		i++;
	}
	json_object_set_new(problem, "title", json_string(codes[i].title));
	json_object_set_new(problem, "status", json_integer(codes[i].status));
	request_answer(request, codes[i].status, problem);
}

void api_refuse(struct request *request, const struct refusal *why)
{
	answer_problem(request, refusal_object(why));
}

/* The body as an object, which the caller frees; NULL: answered. An empty one is {}. */
static json_t *read_body(struct request *request)
{
	struct form form = {0};
	struct refusal why;
	json_t *body = request->length != 0 ? form_parse(&form, request->body, request->length)
					    : json_object();

	if (request->too_long) {
		refuse(&why, SERVICE_BAD_LIMIT, "keep it below 128 KiB", "the body is too long");
	} else if (body == NULL) {
		refuse_form(&why, &form.error);
	} else if (json_is_object(body)) {
		return body;
	} else {
		refuse(&why, SERVICE_BAD_INVALID, "give an object, as {...}",
		       "the body is not an object");
	}
	json_decref(body);
	api_refuse(request, &why);
	return NULL;
}

/* ---- Lists in parts ---- */

struct page {
	size_t limit;
	const char *cursor; /* the last item of the part before; NULL: from the beginning */
	json_t *list;
	bool more; /* than fit */
};

/* Digits alone. */
static bool read_number(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static bool refuse_parameter(struct request *request, const char *name, const char *remedy,
			     const char *what)
{
	struct refusal why;

	refuse(&why, SERVICE_BAD_INVALID, remedy, "%s: %s", name, what);
	snprintf(why.field, sizeof(why.field), "%s", name);
	api_refuse(request, &why);
	return false;
}

/* False: answered. */
static bool page_begin(struct request *request, struct page *page)
{
	const char *text = request_parameter(request, "limit");
	uint64_t limit = SIZE_MAX;

	if (text != NULL &&
	    (!read_number(text, &limit) || limit == 0 || limit > SERVICE_PAGE_MAX)) {
		return refuse_parameter(request, "limit", "give 1 to 500, or leave it out",
					"no number of items that a list can have");
	}
	*page = (struct page){.limit = (size_t)limit,
			      .cursor = request_parameter(request, "cursor"),
			      .list = json_array()};
	return true;
}

/* False: it is full, and this one would be the first of the next part. */
static bool page_has_room(struct page *page)
{
	page->more = json_array_size(page->list) == page->limit;
	return !page->more;
}

/* `key`: the member by which an item is found as a cursor; of the last one here the next part is
 * told. */
static void page_answer(struct request *request, const struct page *page, const char *member,
			const char *key)
{
	const json_t *last = json_array_get(page->list, json_array_size(page->list) - 1);
	json_t *answer = json_pack("{s:o}", member, page->list), *of = json_object_get(last, key);
	char number[24];

	if (page->more && json_is_integer(of)) {
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(of));
		json_object_set_new(answer, "next", json_string(number));
	} else if (page->more) {
		json_object_set(answer, "next", of);
	}
	request_answer(request, 200, answer);
}

/* ---- The host ---- */

static void get_root(struct call *call)
{
	json_t *names = json_array();
	unsigned int i;

	for (i = 0; action_at(i) != NULL; i++) {
		json_array_append_new(names, json_string(action_at(i)->name));
	}
	request_answer(call->request, 200,
		       json_pack("{s:s, s:i, s:o}", "service", "verdigris", "version", 1, "actions",
				 names));
}

static void get_document(struct call *call)
{
	request_answer(call->request, 200,
		       json_loadb(openapi_start, (size_t)(openapi_end - openapi_start), 0, NULL));
}

static void get_host(struct call *call)
{
	const struct service *service = call->request->service;
	unsigned int machines = 0, running = 0;
	const struct machine *machine;
	char name[256] = "";
	struct sysinfo info;

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		machines++;
		running += machine->worker != 0;
	}
	(void)gethostname(name, sizeof(name) - 1);
	(void)sysinfo(&info);
	request_answer(call->request, 200,
		       json_pack("{s:s, s:I, s:I, s:I, s:i, s:I, s:i, s:i, s:s}", "name", name,
				 "memory", (json_int_t)info.totalram * info.mem_unit, "memory-free",
				 (json_int_t)info.freeram * info.mem_unit, "memory-available",
				 (json_int_t)available_memory(), "lps",
				 (int)sysconf(_SC_NPROCESSORS_ONLN), "uptime",
				 (json_int_t)info.uptime, "machines", (int)machines, "running",
				 (int)running, "store", service->store));
}

/* Machines and the host, all of them. */
static bool administers(const struct request *request)
{
	return request->is_admin && request->only[0] == '\0';
}

static enum role role_of(const struct request *request, const struct machine *machine)
{
	if (request->only[0] != '\0') {
		/* Who could write its document could name any file of the host in it. */
		return strcmp(request->only, machine->id) != 0 ? ROLE_NONE
		       : request->is_admin                     ? ROLE_OPERATOR
					   : settings_role(&machine->settings, request->user);
	}
	return request->is_admin ? ROLE_ADMIN : settings_role(&machine->settings, request->user);
}

static bool may_see_machine(const void *user, const struct machine *machine)
{
	return role_of(user, machine) >= ROLE_VIEWER;
}

static void scraped(void *user)
{
	struct request *request = user;

	request->text = metrics_text(request->service, may_see_machine, request);
	request_answer(request, request->text != NULL ? 200 : 500, NULL);
}

static void get_metrics(struct call *call)
{
	struct refusal why;

	if (!metrics_scrape(call->request->service, scraped, call->request)) {
		refuse(&why, SERVICE_BAD_IO, "", "out of memory");
		api_refuse(call->request, &why);
	}
}

static void get_storage(struct call *call)
{
	request_answer(call->request, 200, storage_object(call->request->service));
}

static void list_devices(struct call *call)
{
	devices_list(call->request);
}

static void dismount_device(struct call *call)
{
	devices_give(call->request, call->words[3], true);
}

static void mount_device(struct call *call)
{
	devices_give(call->request, call->words[3], false);
}

/* Before the host goes down: each machine as its document says. */
static void stop_machines(struct call *call)
{
	static const char *const names[] = {
		[STOP_SHUTDOWN] = "shutdown", [STOP_SAVE] = "save", [STOP_TURN_OFF] = "turn-off"};
	struct request *request = call->request;
	json_t *jobs = json_array();
	struct machine *machine;
	struct refusal why;
	struct job *job;

	for (machine = request->service->machines; machine != NULL; machine = machine->next) {
		if (machine->worker == 0) {
			continue;
		}
		job = job_new(machine, action_find(names[machine->settings.stop]),
			      json_pack("{s:b}", "host", true), request->user, &why);
		json_array_append_new(jobs, job != NULL ? job_object(job) : refusal_object(&why));
	}
	request_answer(request, 202, json_pack("{s:o}", "jobs", jobs));
}

/* ---- Machines ---- */

static void list_machines(struct call *call)
{
	struct request *request = call->request;
	const struct machine *machine;
	struct page page;

	if (!page_begin(request, &page)) {
		return;
	}
	for (machine = request->service->machines; machine != NULL; machine = machine->next) {
		if (role_of(request, machine) < ROLE_VIEWER ||
		    (page.cursor != NULL && strcmp(machine->name, page.cursor) <= 0)) {
			continue;
		}
		if (!page_has_room(&page)) {
			break;
		}
		json_array_append_new(page.list, machine_summary(machine));
	}
	page_answer(request, &page, "machines", "name");
}

static void print_tag(const struct machine *machine, char tag[48])
{
	snprintf(tag, 48, "\"%s\"", machine->revision);
}

/* All of it, with what the worker says of itself where there is one. */
static void answer_machine(struct request *request, const struct machine *machine,
			   unsigned int status, const json_t *worker)
{
	json_t *object = machine_summary(machine);

	if (machine->settings.document != NULL) {
		json_object_set(object, "document", machine->settings.document);
		json_object_set_new(object, "disks", change_disks(machine));
	}
	if (worker != NULL) {
		json_object_set(object, "worker", (json_t *)worker);
	}
	print_tag(machine, request->etag);
	request_answer(request, status, object);
}

static void heard_status(struct machine *machine, void *user, const json_t *result,
			 const json_t *error)
{
	/* It is suspended, so it is there. */
	answer_machine(user, machine, 200, error == NULL ? result : NULL);
}

static void get_machine(struct call *call)
{
	struct machine *machine = call->machine;

	if (machine->greeted && machine->link != NULL) {
		link_ask(machine, CONTROL_STATUS, json_object(), -1, heard_status, call->request);
	} else {
		answer_machine(call->request, machine, 200, NULL);
	}
}

static bool is_free(struct service *service, const char *name, const char *id, struct refusal *why)
{
	return (machine_find(service, name) == NULL && machine_find(service, id) == NULL) ||
	       refuse(why, SERVICE_BAD_EXISTS, "give another name, and leave out the id",
		      "there is a machine '%s' already, or one of its id", name);
}

static void created(struct machine *machine, void *user, const struct refusal *why)
{
	struct request *request = user;

	if (why != NULL) {
		job_fail_all(machine, why);
		machine_free(machine);
		api_refuse(request, why);
		return;
	}
	events_emit(request->service, "machine", machine_summary(machine));
	snprintf(request->location, sizeof(request->location), "/v1/machines/%s", machine->id);
	answer_machine(request, machine, 201, NULL);
}

/* The worker would take the document. */
static void create_now(void *user, const struct refusal *refusal)
{
	struct request *request = user;
	struct service *service = request->service;
	struct machine *machine = NULL;
	struct refusal why;

	if (refusal != NULL) {
		api_refuse(request, refusal);
		return;
	}
	if (is_free(service, request->name, request->machine_id, &why)) {
		machine = machine_new(service, request->name);
		refuse(&why, SERVICE_BAD_IO, "", "out of memory");
	}
	if (machine == NULL) {
		api_refuse(request, &why);
		return;
	}
	snprintf(machine->id, sizeof(machine->id), "%s", request->machine_id);
	if (!store_create(machine, json_incref(request->document), created, request, &why)) {
		machine_free(machine);
		api_refuse(request, &why);
	}
}

/* What only the service says in a document. */
static bool has_own(const json_t *body, struct refusal *why)
{
	static const char *const own[] = {"checkpoint", "departure", "arrival"};

	for (size_t i = 0; i < ARRAY_COUNT(own); i++) {
		if (json_object_get(body, own[i]) != NULL) {
			refuse(why, SERVICE_BAD_INVALID, "leave it out",
			       "%s: is the service's own affair", own[i]);
			snprintf(why->field, sizeof(why->field), "%s", own[i]);
			return true;
		}
	}
	return false;
}

/* {"name": …, and the document}. */
static bool take_document(struct request *request, json_t *body, struct refusal *why)
{
	static const struct form_member name_row = {"", FORM_TEXT, .least = 1,
						    .most = SERVICE_NAME_MAX};
	struct form form = {.path = "name"};
	struct machine named = {.service = request->service};
	struct settings settings = {0};
	struct guid random;
	const char *name, *id = json_string_value(json_object_get(body, "id"));

	if (has_own(body, why)) {
		return false;
	}
	if (!form_read_value(&form, json_object_get(body, "name"), &name_row, &name)) {
		return refuse_form(why, &form.error);
	}
	request->name = strdup(name);
	request->document = json_incref(body);
	if (request->name == NULL || !settings_name_is_good(request->name, why)) {
		return false;
	}
	json_object_del(body, "name");
	if (id != NULL && strlen(id) == UUID_TEXT - 1) {
		snprintf(request->machine_id, sizeof(request->machine_id), "%s", id);
	} else if (id == NULL) {
		guid_random(&random);
		guid_print(&random, request->machine_id);
		json_object_set_new(body, "id", json_string(request->machine_id));
	}
	if (!is_free(request->service, request->name, request->machine_id, why) ||
	    !settings_read(&settings, json_incref(body), why)) {
		return false;
	}
	settings_free(&settings);
	switches_give_addresses(request->service, body, NULL);
	named.name = request->name;
	return settings_check(request->service, request->service->store,
			      settings_for_worker(&named, body), create_now, request, why);
}

static void create_machine(struct call *call)
{
	struct request *request = call->request;
	json_t *body = read_body(request);
	struct refusal why;

	if (body == NULL) {
		return;
	}
	if (!take_document(request, body, &why)) {
		api_refuse(request, &why);
	}
	json_decref(body);
}

/* RFC 7396. */
static void merge(json_t *target, const json_t *patch)
{
	const char *key;
	json_t *value, *old;

	json_object_foreach((json_t *)patch, key, value)
	{
		old = json_object_get(target, key);
		if (json_is_null(value)) {
			json_object_del(target, key);
		} else if (json_is_object(value) && json_is_object(old)) {
			merge(old, value);
		} else {
			json_object_set(target, key, value);
		}
	}
}

static const char *document_id(const struct request *request)
{
	const char *id = json_string_value(json_object_get(request->document, "id"));

	return id != NULL ? id : "";
}

static void answer_job(struct request *request, const struct job *job, unsigned int status)
{
	snprintf(request->location, sizeof(request->location), "/v1/jobs/%llu",
		 (unsigned long long)job->id);
	request_answer(request, status, job_object(job));
}

static void answer_new_job(struct request *request, const struct job *job,
			   const struct refusal *why)
{
	if (job != NULL) {
		answer_job(request, job, 202);
	} else {
		api_refuse(request, why);
	}
}

/* The job that changes it has ended, or takes long. */
static void changed(struct waiter *waiter)
{
	struct request *request =
		(struct request *)((char *)waiter - offsetof(struct request, waiter));
	const struct job *job = waiter->job;
	const struct machine *machine = machine_find(request->service, request->key);

	if (job->state == JOB_DONE && machine != NULL) {
		answer_machine(request, machine, 200, NULL);
	} else if (job->error != NULL) {
		answer_problem(request, json_deep_copy(job->error));
	} else {
		answer_job(request, job, 202);
	}
}

static void change_later(struct request *request, struct machine *machine)
{
	json_t *params = json_pack("{s:O, s:s, s:s*}", "document", request->document, "revision",
				   request->revision, "name", request->name);
	struct refusal why;
	struct job *job = job_new(machine, &change_action, params, request->user, &why);

	if (job == NULL) {
		api_refuse(request, &why);
		return;
	}
	job_wait(request->service, job, &request->waiter, SERVICE_WAIT_MAX * 1000, changed);
}

static bool is_gone(const struct request *request, struct refusal *why)
{
	refuse(why, SERVICE_BAD_CHANGED, "", "'%s' has been deleted, or renamed, meanwhile",
	       request->key);
	return true;
}

static void document_changed(struct machine *machine, void *user, const struct refusal *why)
{
	if (why != NULL) {
		api_refuse(user, why);
	} else {
		answer_machine(user, machine, 200, NULL);
	}
}

static void change_now(void *user, const struct refusal *refusal)
{
	struct request *request = user;
	struct machine *machine = machine_find(request->service, request->key);
	struct refusal why;

	if (refusal != NULL) {
		api_refuse(request, refusal);
	} else if (machine == NULL ? is_gone(request, &why) : change_is_under_way(machine, &why)) {
		api_refuse(request, &why);
	} else if (change_is_needed(machine, request->document)) {
		change_later(request, machine);
	} else if (!change_write(machine, request->document, request->name, request->revision,
				 document_changed, request, &why)) {
		api_refuse(request, &why);
	}
}

/* What its guest can have at most is in the state, as where everything is. */
static bool fits_state(const struct machine *machine, const json_t *document, struct refusal *why)
{
	const char *member =
		json_object_get(document, "memory-maximum") != NULL ? "memory-maximum" : "memory";

	if (machine->state != MACHINE_SAVED || machine->settings.document == NULL ||
	    !difference_wants_more(machine->settings.document, document)) {
		return true;
	}
	refuse(why, SERVICE_BAD_STATE, "start it and let it shut down, or discard its state, first",
	       "'%s' is saved, and its guest can have no more memory until it is off",
	       machine->name);
	snprintf(why->field, sizeof(why->field), "%s", member);
	return false;
}

static bool take_patch(struct request *request, struct machine *machine, json_t *patch,
		       struct refusal *why)
{
	json_t *name = json_object_get(patch, "name");
	struct settings settings = {0};
	struct machine named = *machine;
	char path[PATH_MAX], tag[48];

	if (has_own(patch, why) || move_is_under_way(machine, why)) {
		return false;
	}
	snprintf(request->key, sizeof(request->key), "%s",
		 machine->id[0] != '\0' ? machine->id : machine->name);
	snprintf(request->revision, sizeof(request->revision), "%s", machine->revision);
	if (request->if_match[0] != '\0' && strcmp(request->if_match, "*") != 0) {
		print_tag(machine, tag);
		if (strcmp(tag, request->if_match) != 0) {
			return refuse(why, SERVICE_BAD_CHANGED, "read it again, and decide anew",
				      "'%s' has been changed by somebody else meanwhile",
				      machine->name);
		}
	}
	if (json_is_string(name) && strcmp(json_string_value(name), machine->name) != 0) {
		request->name = strdup(json_string_value(name));
		if (request->name == NULL || !settings_name_is_good(request->name, why)) {
			return false;
		}
		if (machine_find(request->service, request->name) != NULL) {
			return refuse(why, SERVICE_BAD_EXISTS, "give another name",
				      "there is a machine '%s' already", request->name);
		}
		named.name = request->name;
	}
	json_object_del(patch, "name");
	request->document = machine->settings.document != NULL
				    ? json_deep_copy(machine->settings.document)
				    : json_object();
	merge(request->document, patch);
	if (machine->id[0] != '\0') {
		json_object_set_new(request->document, "id", json_string(machine->id));
	} else if (machine_find(request->service, document_id(request)) != NULL) {
		return refuse(why, SERVICE_BAD_EXISTS, "give another id",
			      "there is a machine of this id already");
	}
	if (!settings_read(&settings, json_incref(request->document), why)) {
		return false;
	}
	settings_free(&settings);
	if (!fits_state(machine, request->document, why)) {
		return false;
	}
	change_place(machine, request->document);
	switches_give_addresses(request->service, request->document, machine->settings.document);
	if (!machine_path(machine, "", path)) {
		return refuse(why, SERVICE_BAD_IO, "", "the path is too long");
	}
	return settings_check(request->service, path,
			      settings_for_worker(&named, request->document), change_now, request,
			      why);
}

static void change_machine(struct call *call)
{
	json_t *patch = read_body(call->request);
	struct refusal why;

	if (patch == NULL) {
		return;
	}
	if (!take_patch(call->request, call->machine, patch, &why)) {
		api_refuse(call->request, &why);
	}
	json_decref(patch);
}

static bool can_go(const struct machine *machine, struct refusal *why)
{
	return (machine->worker == 0 && machine->queue == NULL && !machine->writing) ||
	       refuse(why, SERVICE_BAD_STATE, "turn it off first", "'%s' is %s", machine->name,
		      machine_state_name(machine->state));
}

static void delete_now(struct request *request, struct machine *machine, bool disks)
{
	struct service *service = machine->service;
	struct refusal why;
	bool kept;

	if (!can_go(machine, &why) ||
	    !store_delete(machine, disks ? STORE_DISKS : STORE_KEEP, &kept, &why)) {
		api_refuse(request, &why);
		return;
	}
	events_emit(service, "deleted",
		    json_pack("{s:s, s:s}", "name", machine->name, "id", machine->id));
	request_answer(request, 200,
		       json_pack("{s:s, s:b}", "deleted", machine->name, "files-left", kept));
	machine_free(machine);
}

static void delete_with_disks(struct request *request, const struct refusal *refusal)
{
	struct machine *machine = machine_find(request->service, request->key);
	struct refusal why;

	if (refusal != NULL) {
		api_refuse(request, refusal);
	} else if (machine == NULL) {
		(void)is_gone(request, &why);
		api_refuse(request, &why);
	} else {
		delete_now(request, machine, true);
	}
}

static void delete_machine(struct call *call)
{
	struct machine *machine = call->machine;
	const char *disks = request_parameter(call->request, "disks");
	struct refusal why;

	if (!can_go(machine, &why)) {
		api_refuse(call->request, &why);
	} else if (disks != NULL && strcmp(disks, "true") == 0) {
		snprintf(call->request->key, sizeof(call->request->key), "%s",
			 machine->id[0] != '\0' ? machine->id : machine->name);
		files_unneeded(call->request, machine, delete_with_disks);
	} else {
		delete_now(call->request, machine, false);
	}
}

/* ---- What is done with them ---- */

static const struct form_member force_row = {"force", FORM_FLAG, .at = 0};

static void act(struct call *call)
{
	struct request *request = call->request;
	const struct action *action = action_find(call->words[4]);
	struct form form = {0};
	struct refusal why;
	json_t *params;
	bool force;

	if (action == NULL) {
		refuse(&why, SERVICE_BAD_NOT_FOUND, "GET /v1 lists what there is",
		       "%s: nothing that can be done with a machine", call->words[4]);
		api_refuse(request, &why);
		return;
	}
	params = read_body(request);
	if (params == NULL) {
		return;
	}
	if (!form_read(&form, params, &force_row, 1, &force)) {
		json_decref(params);
		refuse_form(&why, &form.error);
		api_refuse(request, &why);
		return;
	}
	answer_new_job(request, job_new(call->machine, action, params, request->user, &why), &why);
}

/* ---- Checkpoints ---- */

static void list_checkpoints(struct call *call)
{
	request_answer(call->request, 200,
		       json_pack("{s:o}", "checkpoints", checkpoints_list(call->machine)));
}

static void take_checkpoint(struct call *call)
{
	json_t *body = read_body(call->request);
	struct refusal why;

	if (body != NULL) {
		answer_new_job(call->request,
			       checkpoint_take(call->machine, body, call->request->user, &why),
			       &why);
		json_decref(body);
	}
}

static void get_checkpoint(struct call *call)
{
	struct refusal why;
	json_t *object = checkpoint_show(call->machine, call->words[4], &why);

	if (object != NULL) {
		request_answer(call->request, 200, object);
	} else {
		api_refuse(call->request, &why);
	}
}

static void do_checkpoint(struct call *call, const char *verb, json_t *more)
{
	struct refusal why;

	answer_new_job(call->request,
		       checkpoint_change(call->machine, verb, call->words[4], more,
					 call->request->user, &why),
		       &why);
}

/* A job that the body says more of. */
static void ask_checkpoint(struct call *call,
			   struct job *(*ask)(struct machine *machine, const char *id,
					      const json_t *body, const char *user,
					      struct refusal *why))
{
	json_t *body = read_body(call->request);
	struct refusal why;

	if (body != NULL) {
		answer_new_job(call->request,
			       ask(call->machine, call->words[4], body, call->request->user, &why),
			       &why);
		json_decref(body);
	}
}

static void rename_checkpoint(struct call *call)
{
	ask_checkpoint(call, checkpoint_rename);
}

static void apply_checkpoint(struct call *call)
{
	do_checkpoint(call, "apply", json_object());
}

static struct job *relocate_files(struct machine *machine, const char *unused, const json_t *body,
				  const char *user, struct refusal *why)
{
	(void)unused;
	return checkpoint_relocate(machine, body, user, why);
}

static void move_storage(struct call *call)
{
	ask_checkpoint(call, relocate_files);
}

static void export_checkpoint(struct call *call)
{
	ask_checkpoint(call, checkpoint_export);
}

static void delete_checkpoint(struct call *call)
{
	const char *children = request_parameter(call->request, "children");

	do_checkpoint(
		call, "delete",
		json_pack("{s:b}", "children", children != NULL && strcmp(children, "true") == 0));
}

static void open_console(struct call *call)
{
	const char *last = request_parameter(call->request, "last");
	struct refusal why;

	if (call->machine->console == NULL) {
		refuse(&why, SERVICE_BAD_STATE,
		       "start it; one whose document has a `serial` of its own has none here",
		       "'%s' is %s and has no console", call->machine->name,
		       machine_state_name(call->machine->state));
		api_refuse(call->request, &why);
		return;
	}
	if (last != NULL) {
		request_answer(call->request, 200,
			       json_pack("{s:o*}", "text",
					 console_last(call->machine, strtoul(last, NULL, 10))));
		return;
	}
	snprintf(call->request->console, sizeof(call->request->console), "%s", call->machine->id);
}

static void open_display(struct call *call)
{
	struct request *request = call->request;
	struct refusal why;

	request->display = display_connect(call->machine);
	if (request->display < 0) {
		if (request->display == -ENOENT) {
			refuse(&why, SERVICE_BAD_STATE,
			       "start it with `vga`; one whose document has a `vnc` of its own "
			       "shows it there",
			       "'%s' is %s and has no screen here", call->machine->name,
			       machine_state_name(call->machine->state));
		} else {
			refuse(&why, SERVICE_BAD_IO, "try again", "the screen of '%s': %s",
			       call->machine->name, strerror(-request->display));
		}
		request->display = -1;
		api_refuse(request, &why);
		return;
	}
	snprintf(request->console, sizeof(request->console), "%s", call->machine->id);
}

/* One end of a pair goes to the worker, the other one to who asks. A worker that will not have it
 * hangs up. */
static void open_seat(struct call *call)
{
	const json_t *document = call->machine->settings.document;
	struct request *request = call->request;
	struct refusal why;
	int pair[2];

	if (call->machine->link == NULL || (!json_is_true(json_object_get(document, "vga")) &&
					    json_object_get(document, "vnc") == NULL &&
					    json_object_get(document, "rdp") == NULL)) {
		refuse(&why, SERVICE_BAD_STATE, "start it with `vga`",
		       "'%s' is %s and has no screen", call->machine->name,
		       machine_state_name(call->machine->state));
		api_refuse(request, &why);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		refuse(&why, SERVICE_BAD_IO, "try again", "the screen of '%s': %s",
		       call->machine->name, strerror(errno));
		api_refuse(request, &why);
		return;
	}
	link_ask(call->machine, CONTROL_SEAT, json_object(), pair[1], link_ignore, NULL);
	request->display = pair[0];
	request->seat = true;
	snprintf(request->console, sizeof(request->console), "%s", call->machine->id);
}

/* ---- Moves ---- */

static void begin_move(struct call *call)
{
	json_t *body = read_body(call->request);

	if (body != NULL) {
		move_begin(call->request, call->machine, body);
		json_decref(body);
	}
}

static void take_arrival(struct call *call)
{
	json_t *body = read_body(call->request);

	if (body != NULL) {
		move_arrive(call->request, body);
		json_decref(body);
	}
}

static void open_way(struct call *call, bool arriving)
{
	struct request *request = call->request;
	struct refusal why;

	if (!move_waits(call->machine, arriving, &why)) {
		api_refuse(request, &why);
		return;
	}
	request->moves = arriving ? MOVES_HERE : MOVES_AWAY;
	snprintf(request->console, sizeof(request->console), "%s", call->machine->id);
}

static void show_departure_owner(struct call *call)
{
	move_owner(call->request, call->machine, false, NULL);
}

static void tell_owner(struct call *call, bool arriving)
{
	json_t *body = read_body(call->request);

	if (body != NULL) {
		move_owner(call->request, call->machine, arriving, body);
		json_decref(body);
	}
}

static void tell_departure_owner(struct call *call)
{
	tell_owner(call, false);
}

static void tell_arrival_owner(struct call *call)
{
	tell_owner(call, true);
}

static void open_departure(struct call *call)
{
	open_way(call, false);
}

static void open_arrival(struct call *call)
{
	open_way(call, true);
}

/* Whoever connects for somebody who is to have no more than this machine says so first; it cannot
 * be taken back. */
static void limit_connection(struct call *call)
{
	static const struct form_member row = {"machine", FORM_TEXT, true, .least = 1,
					       .most = SERVICE_NAME_MAX};
	json_t *body = read_body(call->request);
	const struct machine *machine;
	struct form form = {0};
	struct refusal why;
	const char *name;

	if (body == NULL) {
		return;
	}
	if (!form_read(&form, body, &row, 1, &name)) {
		refuse_form(&why, &form.error);
		api_refuse(call->request, &why);
	} else if ((machine = machine_find(call->request->service, name)) == NULL ||
		   machine->id[0] == '\0' || role_of(call->request, machine) == ROLE_NONE) {
		refuse(&why, SERVICE_BAD_NOT_FOUND, "vm list shows what there is",
		       "there is no machine '%s'", name);
		api_refuse(call->request, &why);
	} else {
		request_limit(call->request, machine->id);
		request_answer(call->request, 200, json_pack("{s:s}", "machine", machine->id));
	}
	json_decref(body);
}

/* ---- Jobs, events ---- */

static bool may_see(const struct request *request, const struct job *job)
{
	const struct machine *machine = machine_find(request->service, job->machine_id);

	return administers(request) ||
	       (machine != NULL && role_of(request, machine) >= ROLE_VIEWER);
}

static void list_jobs(struct call *call)
{
	struct request *request = call->request;
	uint64_t before = UINT64_MAX;
	const struct job *job;
	struct page page;

	if (!page_begin(request, &page)) {
		return;
	}
	if (page.cursor != NULL && !read_number(page.cursor, &before)) {
		json_decref(page.list);
		refuse_parameter(request, "cursor", "give the `next` of the part before",
				 "no job's number");
		return;
	}
	for (job = request->service->jobs; job != NULL; job = job->next) {
		if (job->id >= before || !may_see(request, job)) {
			continue;
		}
		if (!page_has_room(&page)) {
			break;
		}
		json_array_append_new(page.list, job_object(job));
	}
	page_answer(request, &page, "jobs", "id");
}

static void waited(struct waiter *waiter)
{
	struct request *request =
		(struct request *)((char *)waiter - offsetof(struct request, waiter));

	request_answer(request, 200, job_object(waiter->job));
}

static void get_job(struct call *call)
{
	const char *wait = request_parameter(call->request, "wait");
	unsigned long seconds = wait != NULL ? strtoul(wait, NULL, 10) : 0;

	job_wait(call->request->service, call->job, &call->request->waiter,
		 (seconds < SERVICE_WAIT_MAX ? seconds : SERVICE_WAIT_MAX) * 1000, waited);
}

static void cancel_job(struct call *call)
{
	struct refusal why;

	if (job_cancel(call->job, &why)) {
		answer_job(call->request, call->job, 202);
	} else {
		api_refuse(call->request, &why);
	}
}

static void follow_events(struct call *call)
{
	struct request *request = call->request;
	const char *from = request_parameter(request, "from");

	request->seen = from != NULL ? strtoull(from, NULL, 10) : events_last(request->service);
	request->stream = true;
}

static void get_addresses(struct call *call)
{
	addresses_ask(call->request, call->machine);
}

/* ---- Files of disks ---- */

static void list_files(struct call *call)
{
	files_list(call->request, call->machine);
}

static void create_file(struct call *call)
{
	json_t *body = read_body(call->request);

	if (body != NULL) {
		files_create(call->request, call->machine, body);
		json_decref(body);
	}
}

static void give_file(struct call *call)
{
	files_give(call->request, call->machine, call->words[4]);
}

static void take_file(struct call *call)
{
	files_take(call->request, call->machine, call->words[4]);
}

static void resize_file(struct call *call)
{
	json_t *body = read_body(call->request);

	if (body != NULL) {
		files_resize(call->request, call->machine, call->words[4], body);
		json_decref(body);
	}
}

static void delete_file(struct call *call)
{
	files_delete(call->request, call->machine, call->words[4]);
}

/* ---- Switches ---- */

static void list_switches(struct call *call)
{
	switches_list(call->request);
}

static void get_switch(struct call *call)
{
	switches_show(call->request, call->words[2]);
}

static void create_switch(struct call *call)
{
	json_t *body = read_body(call->request);

	if (body != NULL) {
		switches_create(call->request, body);
		json_decref(body);
	}
}

static void delete_switch(struct call *call)
{
	switches_delete(call->request, call->words[2]);
}

/* ---- The table ---- */

/* clang-format off */
static const struct route {
	const char *method, *path;
	enum role role; /* of the machine that the path names, or else ROLE_ADMIN; NONE: anybody who can connect */
	void (*serve)(struct call *call);
} routes[] = {
	{"GET",    "/v1",                      ROLE_NONE,     get_root},
	{"GET",    "/v1/openapi",              ROLE_NONE,     get_document},
	{"GET",    "/v1/host",                 ROLE_NONE,     get_host},
	{"GET",    "/v1/metrics",              ROLE_NONE,     get_metrics},
	{"POST",   "/v1/connection",           ROLE_NONE,     limit_connection},
	{"GET",    "/v1/storage",              ROLE_ADMIN,    get_storage},
	{"POST",   "/v1/host/actions/stop-machines", ROLE_ADMIN, stop_machines},
	{"GET",    "/v1/host/devices",         ROLE_ADMIN,    list_devices},
	{"POST",   "/v1/host/devices/*/dismount", ROLE_ADMIN, dismount_device},
	{"POST",   "/v1/host/devices/*/mount", ROLE_ADMIN,    mount_device},
	{"GET",    "/v1/machines",             ROLE_NONE,     list_machines},
	{"POST",   "/v1/machines",             ROLE_ADMIN,    create_machine},
	{"GET",    "/v1/machines/*",           ROLE_VIEWER,   get_machine},
	{"PATCH",  "/v1/machines/*",           ROLE_ADMIN,    change_machine},
	{"DELETE", "/v1/machines/*",           ROLE_ADMIN,    delete_machine},
	{"GET",    "/v1/machines/*/console",   ROLE_OPERATOR, open_console},
	{"GET",    "/v1/machines/*/display",   ROLE_OPERATOR, open_display},
	{"GET",    "/v1/machines/*/seat",      ROLE_OPERATOR, open_seat},
	{"POST",   "/v1/machines/*/actions/*", ROLE_OPERATOR, act},
	{"GET",    "/v1/machines/*/checkpoints", ROLE_VIEWER, list_checkpoints},
	{"POST",   "/v1/machines/*/checkpoints", ROLE_OPERATOR, take_checkpoint},
	{"GET",    "/v1/machines/*/checkpoints/*", ROLE_VIEWER, get_checkpoint},
	{"PATCH",  "/v1/machines/*/checkpoints/*", ROLE_OPERATOR, rename_checkpoint},
	{"DELETE", "/v1/machines/*/checkpoints/*", ROLE_OPERATOR, delete_checkpoint},
	{"POST",   "/v1/machines/*/checkpoints/*/apply", ROLE_OPERATOR, apply_checkpoint},
	{"POST",   "/v1/machines/*/checkpoints/*/export", ROLE_ADMIN,  export_checkpoint},
	{"GET",    "/v1/machines/*/addresses", ROLE_VIEWER,   get_addresses},
	{"GET",    "/v1/machines/*/files",     ROLE_ADMIN,    list_files},
	{"POST",   "/v1/machines/*/files",     ROLE_ADMIN,    create_file},
	{"GET",    "/v1/machines/*/files/*",   ROLE_ADMIN,    give_file},
	{"PUT",    "/v1/machines/*/files/*",   ROLE_ADMIN,    take_file},
	{"PATCH",  "/v1/machines/*/files/*",   ROLE_ADMIN,    resize_file},
	{"DELETE", "/v1/machines/*/files/*",   ROLE_ADMIN,    delete_file},
	{"POST",   "/v1/machines/*/storage",   ROLE_ADMIN,    move_storage},
	{"POST",   "/v1/machines/*/departure", ROLE_ADMIN,    begin_move},
	{"GET",    "/v1/machines/*/departure", ROLE_ADMIN,    open_departure},
	{"GET",    "/v1/machines/*/arrival",   ROLE_ADMIN,    open_arrival},
	{"GET",    "/v1/machines/*/departure/owner", ROLE_ADMIN, show_departure_owner},
	{"POST",   "/v1/machines/*/departure/owner", ROLE_ADMIN, tell_departure_owner},
	{"POST",   "/v1/machines/*/arrival/owner", ROLE_ADMIN, tell_arrival_owner},
	{"POST",   "/v1/arrivals",             ROLE_ADMIN,    take_arrival},
	{"GET",    "/v1/switches",             ROLE_ADMIN,    list_switches},
	{"POST",   "/v1/switches",             ROLE_ADMIN,    create_switch},
	{"GET",    "/v1/switches/*",           ROLE_ADMIN,    get_switch},
	{"DELETE", "/v1/switches/*",           ROLE_ADMIN,    delete_switch},
	{"GET",    "/v1/jobs",                 ROLE_NONE,     list_jobs},
	{"GET",    "/v1/jobs/*",               ROLE_VIEWER,   get_job},
	{"DELETE", "/v1/jobs/*",               ROLE_OPERATOR, cancel_job},
	{"GET",    "/v1/events",               ROLE_ADMIN,    follow_events},
};
/* clang-format on */

/* Words of the path from 0 on; how many, more than there can be: none of ours. */
static unsigned int split(char *path, const char **words)
{
	unsigned int count = 0;
	char *rest, *word;

	for (word = strtok_r(path, "/", &rest); word != NULL; word = strtok_r(NULL, "/", &rest)) {
		if (count == SEGMENTS_MAX) {
			return SEGMENTS_MAX + 1;
		}
		words[count++] = word;
	}
	return count;
}

static bool is_path(const char *pattern, const char *const *words, unsigned int count)
{
	unsigned int i;
	size_t length;

	for (i = 0; i < count; i++) {
		if (*pattern++ != '/') {
			return false;
		}
		length = strcspn(pattern, "/");
		if ((length != 1 || *pattern != '*') &&
		    (strlen(words[i]) != length || strncmp(pattern, words[i], length) != 0)) {
			return false;
		}
		pattern += length;
	}
	return *pattern == '\0';
}

/* The machine or job that the path names, if this user may know of it. */
static bool find_subject(struct call *call, const struct route *route, struct refusal *why)
{
	struct request *request = call->request;
	bool of_machine = strncmp(route->path, "/v1/machines/*", 14) == 0;
	enum role role = administers(request) ? ROLE_ADMIN : ROLE_NONE;

	if (of_machine) {
		call->machine = machine_find(request->service, call->words[2]);
	} else if (strncmp(route->path, "/v1/jobs/*", 10) == 0) {
		call->job = job_find(request->service, strtoull(call->words[2], NULL, 10));
		call->machine = call->job != NULL
					? machine_find(request->service, call->job->machine_id)
					: NULL;
	} else {
		return role >= route->role ||
		       refuse(why, SERVICE_BAD_PERMISSION,
			      "ask root, or a member of the group of administrators",
			      "user %s may not do this", request->user);
	}
	if (call->machine != NULL) {
		role = role_of(request, call->machine);
	}
	if ((call->machine == NULL && call->job == NULL) || role == ROLE_NONE) {
		return refuse(why, SERVICE_BAD_NOT_FOUND, "vm list and vm jobs show what there is",
			      of_machine ? "there is no machine '%s'" : "there is no job %s",
			      call->words[2]);
	}
	return role >= route->role ||
	       refuse(why, SERVICE_BAD_PERMISSION, "ask an administrator for the role",
		      "user %s may not do this with '%s'", request->user, call->machine->name);
}

void api_serve(struct request *request)
{
	struct call call = {.request = request};
	unsigned int count = split(request->path, call.words);
	const struct route *route = NULL;
	bool known = false;
	struct refusal why;
	size_t i;

	for (i = 0; i < ARRAY_COUNT(routes) && route == NULL && count <= SEGMENTS_MAX; i++) {
		if (is_path(routes[i].path, call.words, count)) {
			known = true;
			route = strcmp(routes[i].method, request->method) == 0 ? &routes[i] : NULL;
		}
	}
	if (request->too_many) {
		refuse(&why, SERVICE_BAD_LIMIT, "wait for some of them",
		       "user %s has as many requests under way as may be", request->user);
		api_refuse(request, &why);
	} else if (route == NULL) {
		if (known) {
			refuse(&why, SERVICE_BAD_METHOD, "GET /v1/openapi lists what there is",
			       "%s is not for this resource", request->method);
		} else {
			refuse(&why, SERVICE_BAD_NOT_FOUND, "GET /v1/openapi lists what there is",
			       "there is no such path");
		}
		api_refuse(request, &why);
	} else if (!find_subject(&call, route, &why)) {
		api_refuse(request, &why);
	} else {
		route->serve(&call);
	}
}
