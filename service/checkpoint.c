/*
 * Checkpoints as the service has them: a list, and jobs. What a job does is done by a process
 * (tree.c); while it is at work the machine is `writing`, so its document is nobody else's, and
 * nothing else begins with it. Then what is there is read again.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk/bytes.h"
#include "hosted/say.h"
#include "include/mgmt/control.h"
#include "service/service.h"

static const char *verb_of(const struct job *job);

/* ---- What is there ---- */

/* Deleted, or that of undo disks. */
static bool is_hidden(const json_t *point)
{
	return json_is_true(json_object_get(point, "deleted")) ||
	       json_object_get(point, "undo") != NULL;
}

/* The nearest one above that can be seen, or "". */
static const char *parent_of(const struct machine *machine, const json_t *document)
{
	const char *id = tree_parent(document);
	const json_t *point = json_object_get(machine->points, id);
	size_t left = json_object_size(machine->points);

	while (point != NULL && is_hidden(point) && left-- > 0) {
		id = tree_parent(json_object_get(point, "document"));
		point = json_object_get(machine->points, id);
	}
	return point != NULL ? id : "";
}

static json_t *summary(const struct machine *machine, const char *id, const json_t *point)
{
	json_t *document = json_object_get(point, "document");
	const char *parent = parent_of(machine, document),
		   *here = parent_of(machine, machine->settings.document);
	const json_t *above = json_object_get(machine->points, parent);

	return json_pack("{s:s, s:O?, s:O?, s:O?, s:O?, s:O?, s:s, s:O*, s:b}", "id", id, "name",
			 json_object_get(point, "name"), "notes", json_object_get(point, "notes"),
			 "created", json_object_get(point, "created"), "type",
			 json_object_get(point, "type"), "state", json_object_get(point, "state"),
			 "parent", parent, "parent-name", json_object_get(above, "name"), "current",
			 strcmp(here, id) == 0);
}

static int by_age(const void *a, const void *b)
{
	return strcmp(json_string_value(json_object_get(*(json_t *const *)a, "created")),
		      json_string_value(json_object_get(*(json_t *const *)b, "created")));
}

json_t *checkpoints_list(const struct machine *machine)
{
	size_t count = 0, i, most = json_object_size(machine->points);
	json_t **all = calloc(most + 1, sizeof(*all)), *list = json_array(), *point;
	const char *id;

	CHECK(all != NULL);
	json_object_foreach(machine->points, id, point)
	{
		if (!is_hidden(point)) {
			all[count++] = summary(machine, id, point);
		}
	}
	qsort(all, count, sizeof(*all), by_age);
	for (i = 0; i < count; i++) {
		json_array_append_new(list, all[i]);
	}
	free(all);
	return list;
}

/* NULL: why. */
static json_t *find(const struct machine *machine, const char *id, struct refusal *why)
{
	json_t *point = json_object_get(machine->points, id);

	if (point == NULL || is_hidden(point)) {
		refuse(why, SERVICE_BAD_NOT_FOUND, "vm checkpoints lists them",
		       "'%s' has no checkpoint %s", machine->name, id);
		return NULL;
	}
	return point;
}

json_t *checkpoint_show(const struct machine *machine, const char *id, struct refusal *why)
{
	const json_t *point = find(machine, id, why);
	json_t *object;

	if (point == NULL) {
		return NULL;
	}
	object = summary(machine, id, point);
	json_object_set(object, "document", json_object_get(point, "document"));
	return object;
}

/* ---- Jobs ---- */

/* The document's file of a disk that the worker knows by another name; NULL: it has none. */
static const char *file_now(const json_t *document, const char *file)
{
	const json_t *over = json_object_get(json_object_get(document, "checkpoint"), "over"),
		     *disk;
	const char *child, *line = NULL;
	json_t *parent;
	size_t i;

	json_object_foreach((json_t *)over, child, parent)
	{
		if (strcmp(json_string_value(parent), file) == 0) {
			return child; /* it was taken a checkpoint of */
		}
	}
	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		const char *named = json_string_value(json_object_get(disk, "file"));

		if (named != NULL && strcmp(named, file) == 0) {
			return NULL;
		}
		if (named != NULL && tree_is_line(file, named)) {
			line = named; /* into which it has gone */
		}
	}
	return line;
}

/* The worker has them already, at the places of those that they lie over, or that went into
 * them. */
static void name_new_files(const struct machine *machine)
{
	json_t *config = json_object_get(machine->running, "config"), *disk;
	size_t i;

	relocate_followed(machine);
	json_array_foreach(json_object_get(config, "disks"), i, disk)
	{
		const char *file = json_string_value(json_object_get(disk, "file"));
		const char *now = file != NULL ? file_now(machine->settings.document, file) : NULL;

		if (now != NULL) {
			json_object_set_new(disk, "file", json_string(now));
		}
	}
}

/* Who waits for the process: the job may be over before it. */
struct work {
	struct machine *machine;
	uint64_t job;
};

static bool is_merge(const struct job *job)
{
	return strcmp(verb_of(job), "merge") == 0;
}

static bool is_given_up(const struct job *job)
{
	return json_is_true(json_object_get(job->params, "given-up"));
}

static void ended(void *user, bool done, const char *out, char *said)
{
	struct work *work = user;
	struct machine *machine = work->machine;
	struct job *job = job_find(machine->service, work->job);
	struct refusal why, damage;

	(void)out;
	free(work);
	machine->writing = false;
	machine->tree = NULL;
	if (!store_reload(machine, &damage)) {
		say("'%s': %s", machine->name, damage.detail);
	}
	name_new_files(machine);
	change_followed(machine);
	events_emit(machine->service, "machine", machine_summary(machine));
	if (job == NULL || job->state != JOB_RUNNING) {
		job_go_on(machine);
	} else if (done) {
		job_done(job);
	} else if (is_given_up(job) || (is_merge(job) && machine->worker == 0)) {
		job_cancelled(job); /* of one that has ended, the files are merged by another */
	} else {
		machine->rests |= is_merge(job);
		tool_complaint(said, "vmms", job->name, &why);
		job_fail(job, &why);
	}
}

/* The worker's files have to be the document's. The member that is not, or NULL. */
static const char *waits_for_start(const struct machine *machine)
{
	static const char *const members[] = {"disks", "firmware-variables", "tpm"};
	const json_t *member;
	size_t i, j;

	json_array_foreach(machine->waits, i, member)
	{
		for (j = 0; j < ARRAY_COUNT(members); j++) {
			if (strcmp(json_string_value(member), members[j]) == 0) {
				return members[j];
			}
		}
	}
	return NULL;
}

static void begin(struct job *job)
{
	struct machine *machine = job->machine;
	char folder[PATH_MAX], control[PATH_MAX];
	struct work *work = calloc(1, sizeof(*work));
	struct refusal why;
	char *wanted;

	CHECK(work != NULL);
	if ((strcmp(verb_of(job), "take") == 0 || strcmp(verb_of(job), "relocate") == 0) &&
	    machine->worker != 0 && waits_for_start(machine) != NULL) {
		free(work);
		refuse(&why, SERVICE_BAD_STATE, "stop it, and start it again",
		       "'%s': its document has %s that hold at its next start", machine->name,
		       waits_for_start(machine));
		job_fail(job, &why);
		return;
	}
	json_object_set_new(job->params, "alive", json_boolean(machine->worker != 0));
	json_object_set_new(
		job->params, "running",
		json_boolean(machine->worker_state == MACHINE_RUNNING && machine->worker != 0));
	json_object_set_new(job->params, "disks", change_disks(machine));
	if (json_object_get(job->params, "state") != NULL && machine->worker == 0) {
		json_object_set_new(job->params, "state", json_false());
	}
	*work = (struct work){machine, job->id};
	wanted = json_dumps(job->params, JSON_COMPACT);
	if (wanted != NULL && machine_path(machine, "", folder) &&
	    machine_run_path(machine, "control", control)) {
		const char *const words[] = {"--tree", verb_of(job), machine->service->control,
					     control,  wanted,       NULL};

		machine->tree =
			tool_run(machine->service, ITSELF, folder, words, ended, work, &why);
		if (machine->tree != NULL) {
			machine->writing = true;
			machine->rests &= strcmp(verb_of(job), "delete") != 0;
			free(wanted);
			return;
		}
	} else {
		refuse(&why, SERVICE_BAD_IO, "", "'%s': out of memory", machine->name);
	}
	free(wanted);
	free(work);
	job_fail(job, &why);
}

/* The process that works on it says more. */
static void worker_gone(struct job *job)
{
	(void)job;
}

static const struct action_own own = {.worker_gone = worker_gone};

/* ---- Merging while it runs ---- */

static bool is_about(const json_t *worker_job, const char *method)
{
	const char *what = json_string_value(json_object_get(worker_job, "what"));

	return what != NULL && strcmp(what, method) == 0;
}

static bool has_state(const json_t *worker_job, const char *state)
{
	const char *its = json_string_value(json_object_get(worker_job, "state"));

	return its != NULL && strcmp(its, state) == 0;
}

/* The worker's merge is cancelled, and with that the process ends; without one the process is
 * ended. */
static void cancel_worker(struct machine *machine, void *user, const json_t *result,
			  const json_t *error)
{
	const struct job *job = job_find(machine->service, (uint64_t)(uintptr_t)user);
	const json_t *worker_job;
	bool found = false;
	size_t i;

	(void)error;
	json_array_foreach(json_object_get(result, "jobs"), i, worker_job)
	{
		if (is_about(worker_job, CONTROL_MERGE) &&
		    (has_state(worker_job, CONTROL_STATE_RUNNING) ||
		     has_state(worker_job, CONTROL_STATE_QUEUED))) {
			found = true;
			link_ask(machine, CONTROL_CANCEL,
				 json_pack("{s:O}", "job", json_object_get(worker_job, "id")), -1,
				 link_ignore, NULL);
		}
	}
	if (!found && job != NULL && job->state == JOB_RUNNING && machine->tree != NULL) {
		tool_end(machine->tree);
	}
}

static bool give_up(struct job *job)
{
	struct machine *machine = job->machine;

	if (!is_given_up(job)) {
		json_object_set_new(job->params, "given-up", json_true());
		link_ask(machine, CONTROL_JOBS, json_object(), -1, cancel_worker,
			 (void *)(uintptr_t)job->id);
	}
	return true;
}

static bool cancel(struct job *job)
{
	job->machine->rests = true;
	return give_up(job);
}

static const struct action_own merging = {.worker_gone = worker_gone, .cancel = cancel};

/* The process takes back what it has done, unless it has come too far. */
static bool cancel_moving(struct job *job)
{
	if (job->machine->tree == NULL) {
		return false;
	}
	json_object_set_new(job->params, "given-up", json_true());
	tool_end(job->machine->tree);
	return true;
}

static const struct action_own moving = {.worker_gone = worker_gone, .cancel = cancel_moving};

#define ON(state) (1u << MACHINE_##state)

/* clang-format off */
static const struct action actions[] = {
	/* name                  "cannot be ..."              from                                              meanwhile */
	{"checkpoint",        "given a checkpoint",        ON(OFF) | ON(RUNNING) | ON(PAUSED),             MACHINE_STATES, false, begin, NULL, &own},
	{"apply-checkpoint",  "taken back",                ON(OFF) | ON(SAVED),                            MACHINE_STATES, false, begin, NULL, &own},
	{"delete-checkpoint", "rid of a checkpoint",       ON(OFF) | ON(SAVED) | ON(RUNNING) | ON(PAUSED), MACHINE_STATES, false, begin, NULL, &own},
	{"rename-checkpoint", "changed",                   (1u << MACHINE_STATES) - 1,                     MACHINE_STATES, false, begin, NULL, &own},
	{"mend-checkpoints",  "mended",                    (1u << MACHINE_STATES) - 1,                     MACHINE_STATES, false, begin, NULL, &own},
	{"export-checkpoint", "exported",                  (1u << MACHINE_STATES) - 1,                     MACHINE_STATES, false, begin, NULL, &own},
	{"move-storage",      "given another folder",      ON(OFF) | ON(SAVED) | ON(RUNNING) | ON(PAUSED), MACHINE_STATES, false, begin, NULL, &moving},
	{"undo-disks",        "given undo disks",          (1u << MACHINE_STATES) - 1,                     MACHINE_STATES, false, begin, NULL, &own},
	{"merge-checkpoints", "rid of deleted checkpoints", ON(RUNNING) | ON(PAUSED),                      MACHINE_STATES, false, begin, NULL, &merging},
};
/* clang-format on */

static const char *const verbs[] = {"take",   "apply",    "delete", "rename", "mend",
				    "export", "relocate", "undo",   "merge"};

static const char *verb_of(const struct job *job)
{
	return verbs[job->action - actions];
}

static const struct action *action_of(const char *verb)
{
	size_t i = 0;

	while (strcmp(verbs[i], verb) != 0) {
		i++;
		CHECK(i < ARRAY_COUNT(verbs));
	}
	return &actions[i];
}

bool checkpoint_is_action(const struct action *action)
{
	return action >= actions && action < actions + ARRAY_COUNT(actions);
}

/* ---- What is asked for ---- */

struct members {
	const char *name, *notes;
	unsigned int type;
};

static const char *const types[] = {"standard", "disks", "production", "production-only", NULL};

/* As its document has it. */
static bool type_of(const struct machine *machine, unsigned int *type, struct refusal *why)
{
	const char *word =
		json_string_value(json_object_get(machine->settings.document, "checkpoint-type"));

	*type = 0;
	if (word != NULL && strcmp(word, "disabled") == 0) {
		return refuse(why, SERVICE_BAD_STATE, "vm set NAME --checkpoint-type standard",
			      "'%s' is not to have checkpoints", machine->name);
	}
	for (unsigned int i = 0; word != NULL && types[i] != NULL; i++) {
		*type = strcmp(word, types[i]) == 0 ? i : *type;
	}
	return true;
}

#define AT(member) .at = offsetof(struct members, member)

/* The first of them can be changed. */
#define CHANGED 2
static const struct form_member take_members[] = {
	{"name", FORM_TEXT, AT(name), .least = 1, .most = 100},
	{"notes", FORM_TEXT, AT(notes), .most = 1024},
	{"type", FORM_WORD, AT(type), .words = types},
};

/* What the process is told of one. */
static json_t *new_point(const char *name, const char *notes, const char *type, bool state)
{
	char id[GUID_TEXT], created[40];
	struct timespec now;
	struct guid random;
	struct tm date;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	used = strftime(created, sizeof(created), "%FT%T", gmtime_r(&now.tv_sec, &date));
	snprintf(created + used, sizeof(created) - used, ".%03ldZ", now.tv_nsec / 1000000);
	guid_random(&random);
	guid_print(&random, id);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "id", id, "name", name, "notes", notes,
			 "type", type, "created", created, "state", state);
}

struct job *checkpoint_take(struct machine *machine, const json_t *body, const char *user,
			    struct refusal *why)
{
	struct members members = {.notes = ""};
	time_t now = time(NULL);
	struct form form = {0};
	char name[100];
	struct tm date;
	size_t used;

	if (!type_of(machine, &members.type, why)) {
		return NULL;
	}
	if (json_object_get(machine->settings.document, "undo") != NULL) {
		refuse(why, SERVICE_BAD_STATE, "turn it off, and take away its member undo",
		       "'%s' has undo disks, of which there are no checkpoints", machine->name);
		return NULL;
	}
	if (!form_read(&form, body, take_members, ARRAY_COUNT(take_members), &members)) {
		refuse_form(why, &form.error);
		return NULL;
	}
	if (members.name == NULL) {
		used = (size_t)snprintf(name, sizeof(name), "%.60s - ", machine->name);
		(void)strftime(name + used, sizeof(name) - used, "(%F - %T)",
			       localtime_r(&now, &date));
		members.name = name;
	}
	return job_new(
		machine, action_of("take"),
		new_point(members.name, members.notes, types[members.type], members.type == 0),
		user, why);
}

bool checkpoint_undo_lacks(const struct machine *machine)
{
	const json_t *document = machine->settings.document;

	return json_object_get(document, "undo") != NULL && machine->state == MACHINE_OFF &&
	       json_object_get(json_object_get(machine->points, tree_parent(document)), "undo") ==
		       NULL;
}

bool checkpoint_undo(struct machine *machine, const char *user, struct refusal *why)
{
	return json_object_get(machine->settings.document, "undo") == NULL ||
	       job_new(machine, action_of("undo"), new_point("undo disks", "", "disks", false),
		       user, why) != NULL;
}

struct job *checkpoint_change(struct machine *machine, const char *verb, const char *id,
			      json_t *more, const char *user, struct refusal *why)
{
	struct guid random;
	char token[GUID_TEXT];

	if (find(machine, id, why) == NULL) {
		json_decref(more);
		return NULL;
	}
	guid_random(&random);
	guid_print(&random, token);
	token[8] = '\0';
	json_object_set_new(more, "id", json_string(id));
	json_object_set_new(more, "token", json_string(token));
	return job_new(machine, action_of(verb), more, user, why);
}

struct job *checkpoint_rename(struct machine *machine, const char *id, const json_t *body,
			      const char *user, struct refusal *why)
{
	struct members members;
	struct form form = {0};

	if (!form_read(&form, body, take_members, CHANGED, &members)) {
		refuse_form(why, &form.error);
		return NULL;
	}
	return checkpoint_change(machine, "rename", id, json_pack("{s:O}", "set", body), user, why);
}

bool checkpoint_may_merge(const struct machine *machine)
{
	return machine->worker != 0 && machine->greeted && !machine->rests && !machine->writing &&
	       machine->queue == NULL && job_running(machine, NULL) == NULL &&
	       machine->settings.document != NULL &&
	       (machine->state == MACHINE_RUNNING || machine->state == MACHINE_PAUSED) &&
	       waits_for_start(machine) == NULL &&
	       tree_has_to_merge(machine->settings.document, machine->points);
}

void checkpoint_merge(struct machine *machine)
{
	struct refusal why;

	if (checkpoint_may_merge(machine) &&
	    job_new(machine, action_of("merge"), json_object(), "(the service)", &why) == NULL) {
		say("%s", why.detail);
	}
}

void checkpoint_give_way(struct machine *machine)
{
	struct job *job = machine->queue;

	if (job != NULL && job->state == JOB_RUNNING && job->action == action_of("merge")) {
		(void)give_up(job);
	}
}

void checkpoint_heard(struct machine *machine, const json_t *worker_job)
{
	struct job *job = machine->queue;

	if (job == NULL || job->state != JOB_RUNNING ||
	    !((job->action == action_of("merge") && is_about(worker_job, CONTROL_MERGE)) ||
	      (job->action == action_of("relocate") && is_about(worker_job, CONTROL_MIRROR)))) {
		return;
	}
	job->done = (uint64_t)json_integer_value(json_object_get(worker_job, "done"));
	job->total = (uint64_t)json_integer_value(json_object_get(worker_job, "total"));
	events_emit(machine->service, "job", job_object(job));
}

void checkpoint_mend(struct machine *machine)
{
	const json_t *point;
	char folder[PATH_MAX];
	struct refusal why;
	const char *id;
	bool needed = machine_path(machine, "", folder) && tree_needs_mending(folder);

	json_object_foreach(machine->points, id, point)
	{
		needed |= machine->worker == 0 && is_hidden(point);
	}
	if (needed && machine->settings.document != NULL &&
	    job_new(machine, action_of("mend"), json_object(), "(start of the service)", &why) ==
		    NULL) {
		say("%s", why.detail);
	}
}

void checkpoint_met(struct machine *machine)
{
	struct refusal why;

	checkpoint_mend(machine);
	/* A process of the service before us may have written after the document was read. */
	if (machine->settings.document != NULL && !machine->writing &&
	    !store_reload(machine, &why)) {
		say("'%s': %s", machine->name, why.detail);
	}
	name_new_files(machine);
	change_followed(machine);
}

/* NULL: why. The body's. */
static const char *read_folder(const json_t *body, const char *remedy, struct refusal *why)
{
	static const struct form_member to = {"to",    FORM_TEXT,  .required = true,
					      .at = 0, .least = 2, .most = PATH_MAX / 2};
	struct form form = {0};
	const char *folder;

	if (!form_read(&form, body, &to, 1, &folder)) {
		refuse_form(why, &form.error);
		return NULL;
	}
	if (folder[0] != '/') {
		refuse(why, SERVICE_BAD_INVALID, remedy, "to: %.200s is none", folder);
		return NULL;
	}
	return folder;
}

/* Those of its files that other machines name too. */
static void add_needed(const struct machine *machine, const json_t *document, json_t *needed)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		const char *file = json_string_value(json_object_get(disk, "file"));

		if (file != NULL && storage_is_shared(machine, file)) {
			json_object_set_new(needed, file, json_true());
		}
	}
}

struct job *checkpoint_relocate(struct machine *machine, const json_t *body, const char *user,
				struct refusal *why)
{
	const char *folder = read_folder(body, "give an absolute path, of a folder of this host",
					 why),
		   *id;
	json_t *needed, *point;
	char token[GUID_TEXT];
	struct guid random;

	if (folder == NULL) {
		return NULL;
	}
	if (machine->worker != 0 && json_object_get(machine->settings.document, "undo") != NULL) {
		refuse(why, SERVICE_BAD_STATE, "turn it off first",
		       "'%s' runs with undo disks, which stay where they are", machine->name);
		return NULL;
	}
	needed = json_object();
	add_needed(machine, machine->settings.document, needed);
	json_object_foreach(machine->points, id, point)
	{
		add_needed(machine, json_object_get(point, "document"), needed);
	}
	guid_random(&random);
	guid_print(&random, token);
	return job_new(machine, action_of("relocate"),
		       json_pack("{s:s, s:s, s:o, s:o}", "to", folder, "token", token, "needed",
				 needed, "elsewhere", storage_paths_elsewhere(machine->service)),
		       user, why);
}

struct job *checkpoint_export(struct machine *machine, const char *id, const json_t *body,
			      const char *user, struct refusal *why)
{
	const char *folder =
		read_folder(body, "give an absolute path, of a folder that is not there yet", why);

	if (folder == NULL) {
		return NULL;
	}
	return checkpoint_change(machine, "export", id, json_pack("{s:s}", "to", folder), user,
				 why);
}
