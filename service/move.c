/*
 * A machine that moves to another host, or comes from one (docs/design/migrate.md, "By the
 * service"). Whose it is at the end is said by the owner file alone, which the two workers decide.
 * A document with the member `departure` or `arrival` is one for which that has not been looked up:
 * nothing is started by it, and a service that starts looks.
 *
 *   source: PREPARING -> WAITING -> CARRYING -> HANDING -> MOVING -> SETTLING -> ours again, or deleted
 *   target:              WAITING -> CARRYING -------------> MOVING -> SETTLING -> ours, or deleted
 *
 * One that is off has no worker: the process that has received its files asks whose it is, and both
 * are settled then.
 *
 * Two connections of a client (vm) are joined by it, and each side's end is its worker's; before
 * that a process's, if there are checkpoints (luggage.c). The owner file may be at a server that
 * does not answer, so processes look at it (shared.c). What the target looks at beforehand:
 * arrival.c.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "disk/bytes.h"
#include "hosted/member.h"
#include "hosted/say.h"
#include "include/mgmt/control.h"
#include "service/service.h"

#define WAIT_MS  60000 /* in which a client connects */
#define AGAIN_MS 2000  /* when the owner file does not say whose it is */

enum phase { PREPARING, WAITING, CARRYING, HANDING, MOVING, SETTLING };

struct move {
	struct machine *machine;
	uint64_t job;
	bool arriving;
	enum phase phase;
	char *owner;
	json_t *config;        /* what the worker is to have, or has */
	struct request *asked; /* that is answered when it can be connected to; NULL: none */
	json_t *checkpoints; /* what the target needs for them, that is offered or comes; NULL: none */
	struct tool *carrier; /* while they are on their way */
	bool dropped;         /* they are not ours any more, and not here */
	bool off;             /* no worker goes: who receives its files asks the owner file */
	json_t *storage; /* its disks come along, or go: what they are; an empty object: not known any more; NULL: they do not */
	struct timer timer;
	/* The client's connection, while it is the carrier's or the worker's; NULL: there is
	 * none. */
	int fd;
	void (*closed)(void *user);
	void *closed_user;
	bool handed;        /* ... it was, once; so the other side may get what it needs */
	bool cancelled;     /* how the job ends if the machine is not there */
	struct refusal why; /* ... why, if it was not */
};

static const struct action actions[];
static void settle(struct move *move);

bool move_is_action(const struct action *action)
{
	return action != NULL && (action == &actions[0] || action == &actions[1]);
}

static struct job *job_of(const struct move *move)
{
	struct job *job = job_find(move->machine->service, move->job);

	CHECK(job != NULL);
	return job;
}

bool move_is_under_way(const struct machine *machine, struct refusal *why)
{
	const json_t *document = machine->settings.document, *mark;
	bool arriving = json_object_get(document, "arrival") != NULL;

	mark = json_object_get(document, arriving ? "arrival" : "departure");
	if (mark == NULL) {
		return false;
	}
	refuse(why, SERVICE_BAD_STATE, "wait for the job that moves it",
	       arriving ? "'%s' comes from %.200s, and is not here yet"
			: "'%s' moves to %.200s, and it is not known yet whether it is there",
	       machine->name, member_text(mark, arriving ? "from" : "to"));
	return true;
}

/* ---- Processes ---- */

/* `done` is called with the move. Takes what is wanted. */
static bool ask_shared(struct move *move, const char *verb, json_t *wanted, tool_done *done,
		       struct refusal *why)
{
	struct service *service = move->machine->service;
	char *text = json_dumps(wanted, JSON_COMPACT);
	const char *const words[] = {"--shared", verb, text, NULL};
	bool asked = text != NULL &&
		     tool_run(service, ITSELF, service->run, words, done, move, why) != NULL;

	json_decref(wanted);
	free(text);
	return asked;
}

/* The same in the machine's folder, with a connection (-1: none). The process, or NULL: why. */
static struct tool *run_luggage(struct move *move, const char *verb, json_t *wanted, int fd,
				tool_done *done, void *user, struct refusal *why)
{
	struct service *service = move->machine->service;
	char *text = json_dumps(wanted, JSON_COMPACT), folder[PATH_MAX];
	const char *const words[] = {"--luggage", verb, text, NULL};
	struct tool *tool = NULL;

	if (text == NULL || !machine_path(move->machine, "", folder)) {
		refuse(why, SERVICE_BAD_IO, "", "'%s': the path is too long", move->machine->name);
	} else {
		tool = tool_run_with(service, ITSELF, folder, words, fd, done, user, why);
	}
	json_decref(wanted);
	free(text);
	return tool;
}

static void not_heard(void *user, bool done, const char *out, char *said)
{
	(void)user;
	(void)out;
	if (!done) {
		say("the end of a move: %.*s", (int)strcspn(said, "\n"), said);
	}
}

/* The file has been read for the last time here. */
static void end_file(struct move *move, bool both)
{
	struct refusal why;

	if (!ask_shared(move, "end",
			json_pack("{s:s, s:s, s:b}", "owner", move->owner, "me",
				  move->arriving ? "target" : "source", "both", both),
			not_heard, &why)) {
		say("%s: %s", move->owner, why.detail);
	}
}

/* ---- The connection ---- */

static void hang_up(struct move *move)
{
	void (*closed)(void *user) = move->closed;

	move->closed = NULL;
	if (closed != NULL) {
		closed(move->closed_user);
	}
}

static void release(struct move *move)
{
	move->machine->move = NULL;
	loop_stop_timer(move->machine->service, &move->timer);
	hang_up(move);
	json_decref(move->config);
	json_decref(move->checkpoints);
	json_decref(move->storage);
	free(move->owner);
	free(move);
}

void move_close(struct machine *machine)
{
	if (machine->move != NULL) {
		release(machine->move);
	}
}

/* ---- The end ---- */

static void settle_again(struct timer *timer)
{
	settle((struct move *)((char *)timer - offsetof(struct move, timer)));
}

static void try_again(struct move *move, const char *what)
{
	struct job *job = job_of(move);
	char step[sizeof(job->step)];

	snprintf(step, sizeof(step), "not known whose it is: %.38s", what);
	job_step(job, step);
	loop_start_timer(move->machine->service, &move->timer, AGAIN_MS, settle_again);
}

/* The job's end, and with it the move's. */
static void end_job(struct move *move, bool good)
{
	struct job *job = job_of(move);
	bool cancelled = move->cancelled;
	struct refusal why = move->why;

	release(move);
	if (good) {
		job_done(job);
	} else if (cancelled) {
		job_cancelled(job);
	} else {
		job_fail(job, &why);
	}
}

static void leave(struct move *move);

static void dropped(void *user, bool done, const char *out, char *said)
{
	struct move *move = user;

	(void)out;
	(void)said;
	if (!done) {
		try_again(move, "files of its checkpoints are here yet");
		return;
	}
	move->dropped = true;
	if (!move->arriving) {
		json_object_clear(move->machine->points);
	}
	leave(move);
}

/* Files that went along, and no other machine of this host names. NULL: none. */
static json_t *gone_disks(const struct move *move)
{
	const struct machine *machine = move->machine;
	const json_t *disk;
	json_t *gone;
	size_t i;

	if (move->arriving || move->storage == NULL) {
		return NULL;
	}
	gone = json_array();
	json_array_foreach(json_object_get(machine->settings.document, "disks"), i, disk)
	{
		if (settings_writes(disk) &&
		    !storage_is_shared(machine, member_text(disk, "file"))) {
			json_array_append(gone, json_object_get(disk, "file"));
		}
	}
	return gone;
}

/* It is not ours, and no machine here any more. Not called from what uses it afterwards. */
static void leave(struct move *move)
{
	struct machine *machine = move->machine;
	struct service *service = machine->service;
	bool arriving = move->arriving, kept;
	struct refusal why;

	/* Before the document: whoever is killed in between finds that, and looks again. */
	if (!move->dropped) {
		if (run_luggage(move, "drop",
				json_pack("{s:b, s:o*, s:o*}", "all", !arriving, "disks",
					  gone_disks(move), "elsewhere",
					  storage_paths_elsewhere(service)),
				-1, dropped, move, &why) == NULL) {
			try_again(move, why.detail);
		}
		return;
	}
	/* What its firmware and its TPM keep is where the machine is, and nowhere else. */
	if (!store_delete(machine, STORE_FIRMWARE, &kept, &why)) {
		say("%s", why.detail);
		try_again(move, why.detail);
		return;
	}
	if (!arriving || move->storage != NULL) {
		end_file(move, !arriving);
	}
	refuse(&why, SERVICE_BAD_STATE, "ask there", "'%s' is on another host now", machine->name);
	end_job(move, !arriving);
	job_fail_all(machine, &why);
	events_emit(service, "deleted",
		    json_pack("{s:s, s:s}", "name", machine->name, "id", machine->id));
	machine_free(machine);
}

/* The document says that it is ours. */
static void kept(struct machine *machine, void *user, const struct refusal *why)
{
	struct move *move = user;

	if (why != NULL) {
		say("%s", why->detail);
		try_again(move, why->detail);
		return;
	}
	events_emit(machine->service, "machine", machine_summary(machine));
	end_file(move, move->arriving && move->storage == NULL);
	/* At the target it has come if its worker lives, or it has none; else that has ended with
	 * it. */
	end_job(move, move->arriving && (move->off || machine->worker != 0));
	checkpoint_mend(machine); /* which had to wait for this */
}

static void keep(struct move *move)
{
	json_t *document = json_copy(move->machine->settings.document);
	struct refusal why;

	json_object_del(document, move->arriving ? "arrival" : "departure");
	if (move->arriving && !luggage_keep(move->machine, &why)) {
		json_decref(document);
		try_again(move, why.detail);
	} else if (move->machine->writing) {
		json_decref(document);
		try_again(move, "its document is being written");
	} else if (!store_write(move->machine, document, kept, move, &why)) {
		try_again(move, why.detail);
	}
}

static void told_whose(void *user, bool done, const char *out, char *said)
{
	struct move *move = user;
	json_t *answer = done ? json_loads(out, 0, NULL) : NULL;
	const char *whose = member_text(answer, "whose");
	struct refusal why;

	if (answer == NULL) {
		tool_complaint(said, "vmms", "", &why);
		try_again(move, why.detail);
	} else if (move->storage != NULL && move->arriving && strcmp(whose, "nobody") == 0 &&
		   json_is_true(json_object_get(answer, "depends"))) {
		try_again(move, "vm migrate --finish");
	} else if (move->storage != NULL && !move->arriving && strcmp(whose, "target") == 0 &&
		   !json_is_true(json_object_get(answer, "seen"))) {
		try_again(move, "vm migrate --finish");
	} else if ((strcmp(whose, "target") == 0) == move->arriving) {
		keep(move);
	} else {
		leave(move);
	}
	json_decref(answer);
}

/* Nothing of the machine happens here any more that could change whose it is. */
static void settle(struct move *move)
{
	const struct machine *machine = move->machine;
	const json_t *mark = json_object_get(machine->settings.document,
					     move->arriving ? "arrival" : "departure");
	bool dead = machine->worker == 0 && strcmp(machine->reason, "moved") != 0;
	struct refusal why;

	move->phase = SETTLING;
	loop_stop_timer(machine->service, &move->timer);
	hang_up(move);
	if (move->arriving && !move->handed) {
		leave(move); /* its worker, which alone could say that it is ours, was never there */
		return;
	}
	if (!ask_shared(move, "whose",
			json_pack("{s:s, s:b, s:b, s:s}", "owner", move->owner, "close",
				  !move->arriving, "wait", !move->arriving && move->handed && dead,
				  "beside", move->arriving ? member_text(mark, "beside") : ""),
			told_whose, &why)) {
		try_again(move, why.detail);
	}
}

static void fail_and_settle(struct move *move, const struct refusal *why)
{
	move->why = *why;
	settle(move);
}

static void nobody_came(struct timer *timer)
{
	struct move *move = (struct move *)((char *)timer - offsetof(struct move, timer));

	refuse(&move->why, SERVICE_BAD_STATE, "vm migrate does so",
	       "'%s': nobody has connected the two hosts", move->machine->name);
	settle(move);
}

static struct move *new_move(struct job *job, bool arriving)
{
	struct move *move = calloc(1, sizeof(*move));
	const char *owner = json_string_value(json_object_get(job->params, "owner"));

	CHECK(move != NULL && owner != NULL);
	*move = (struct move){.machine = job->machine,
			      .fd = -1,
			      .job = job->id,
			      .arriving = arriving,
			      .owner = strdup(owner),
			      .config = json_incref(json_object_get(job->params, "config"))};
	CHECK(move->owner != NULL);
	refuse(&move->why, SERVICE_BAD_INTERRUPTED,
	       "look at the machine's state, and ask again if need be",
	       "the service ended while '%s' was moved", job->name);
	move->checkpoints = json_incref(json_object_get(job->params, "checkpoints"));
	move->storage = json_incref(json_object_get(job->params, "storage"));
	move->off = json_is_true(json_object_get(job->params, "off")) ||
		    json_is_string(json_object_get(move->checkpoints, "token"));
	json_object_del(job->params, "config"); /* the job is known for longer */
	json_object_del(job->params, "checkpoints");
	json_object_del(job->params, "storage");
	job->machine->move = move;
	return move;
}

/* ---- The source ---- */

static json_t *offer_of(const struct move *move, const json_t *document)
{
	json_t *offered = json_copy((json_t *)document);
	char host[256] = "";

	json_object_del(offered, "departure");
	(void)gethostname(host, sizeof(host) - 1);
	return json_pack("{s:s, s:o, s:O, s:s, s:s, s:O*, s:O*}", "name", move->machine->name,
			 "document", offered, "config", move->config, "owner", move->owner, "from",
			 host[0] != '\0' ? host : "another host", "checkpoints", move->checkpoints,
			 "storage", move->storage);
}

static void wait_for_client(struct move *move)
{
	move->phase = WAITING;
	job_step(job_of(move), "waiting for the connection");
	loop_start_timer(move->machine->service, &move->timer, WAIT_MS, nobody_came);
}

static void answer_asked(struct move *move, json_t *offer)
{
	struct request *request = move->asked;
	json_t *answer = json_pack("{s:o}", "job", job_object(job_of(move)));

	move->asked = NULL;
	if (offer != NULL) {
		json_object_set_new(answer, "offer", offer);
	}
	request_answer(request, 201, answer);
}

static void not_prepared(struct move *move, const struct refusal *why)
{
	move->why = *why;
	if (move->asked != NULL) {
		api_refuse(move->asked, why);
		move->asked = NULL;
	}
	end_job(move, false);
}

static void marked(struct machine *machine, void *user, const struct refusal *why)
{
	struct move *move = user;
	char folder[PATH_MAX];
	struct refusal refusal;
	json_t *document;

	if (why != NULL) {
		end_file(move, false);
		not_prepared(move, why);
		return;
	}
	wait_for_client(move);
	document = offer_paths(machine->settings.document,
			       machine_path(machine, "", folder) ? folder : "");
	if (move->storage != NULL) { /* it was looked at before */
		json_t *names = json_object();

		(void)!offer_carried(document, move->config, names, &refusal);
		json_decref(names);
	}
	answer_asked(move, offer_of(move, document));
	json_decref(document);
}

static void made(void *user, bool done, const char *out, char *said)
{
	struct move *move = user;
	json_t *document = json_copy(move->machine->settings.document),
	       *answer = done ? json_loads(out, 0, NULL) : NULL;
	struct refusal why;

	move->checkpoints = json_incref(json_object_get(answer, "checkpoints"));
	json_decref(move->storage); /* the question, and now the answer */
	move->storage = json_incref(json_object_get(answer, "storage"));
	json_decref(answer);
	json_object_set_new(document, "departure",
			    json_pack("{s:s, s:s, s:b}", "owner", move->owner, "to",
				      member_text(job_of(move)->params, "to"), "storage",
				      move->storage != NULL));
	if (!done) {
		json_decref(document);
		tool_complaint(said, "vmms", "", &why);
		not_prepared(move, &why);
	} else if (!store_write(move->machine, document, marked, move, &why)) {
		end_file(move, false);
		not_prepared(move, &why);
	}
}

static bool is_resumed(const struct job *job)
{
	return json_is_true(json_object_get(job->params, "resumed"));
}

static void depart(struct job *job)
{
	struct move *move = new_move(job, false);
	char folder[PATH_MAX] = "";
	struct refusal why;

	if (is_resumed(job)) {
		move->handed = true;
		move->phase = MOVING;
		if (job->machine->worker == 0) {
			settle(move);
		}
		return; /* or the worker says what it does, when it has been greeted */
	}
	if ((move->off || json_object_size(job->machine->points) != 0) &&
	    !machine_path(job->machine, "", folder)) {
		refuse(&why, SERVICE_BAD_IO, "", "'%s': the path is too long", job->name);
		not_prepared(move, &why);
	} else if (!ask_shared(move, "make",
			       json_pack("{s:s, s:s, s:b, s:O*}", "owner", move->owner, "folder",
					 folder, "off", move->off, "disks", move->storage),
			       made, &why)) {
		not_prepared(move, &why);
	}
}

static bool is_off(const struct machine *machine)
{
	return machine->state == MACHINE_OFF && machine->worker == 0;
}

/* What keeps it here, whatever the target has. */
static bool may_depart(const struct machine *machine, struct refusal *why)
{
	const json_t *document = machine->settings.document;
	const char *elsewhere, *differs, *id;
	json_t *point;

	if (!is_off(machine) &&
	    (machine->state != MACHINE_RUNNING || !machine->greeted || machine->running == NULL)) {
		return refuse(why, SERVICE_BAD_STATE, "start it, or resume it",
			      "'%s' is %s, and only a machine that runs or is off moves",
			      machine->name, machine_state_name(machine->state));
	}
	if (machine->queue != NULL || machine->writing || document == NULL) {
		return refuse(why, SERVICE_BAD_STATE, "wait for that",
			      "something is being done with '%s'", machine->name);
	}
	if (!machine->rests && tree_has_to_merge(document, machine->points)) {
		return refuse(why, SERVICE_BAD_STATE, "wait for that",
			      "'%s': checkpoints that were deleted are being merged",
			      machine->name);
	}
	json_object_foreach(machine->points, id, point)
	{
		elsewhere = firmware_files_elsewhere(json_object_get(point, "document"));
		if (elsewhere != NULL) {
			return refuse(why, SERVICE_BAD_STATE, "delete that checkpoint",
				      "'%s': %s of its checkpoint %.36s is outside of the "
				      "machine's folder, and moves only from there",
				      machine->name, elsewhere, id);
		}
	}
	differs = is_off(machine) ? NULL
				  : firmware_files_differ(
					    document, json_object_get(machine->running, "config"));
	if (differs != NULL) {
		return refuse(
			why, SERVICE_BAD_STATE, "turn it off, and start it again",
			"'%s': its document has another file for %s, which holds at its next start",
			machine->name, differs);
	}
	elsewhere = firmware_files_elsewhere(document);
	return elsewhere == NULL ||
	       refuse(why, SERVICE_BAD_STATE,
		      "turn it off, put that file into the machine's folder, and give its name "
		      "alone",
		      "'%s': %s is outside of the machine's folder, and moves only from there",
		      machine->name, elsewhere);
}

struct departure {
	const char *to, *folder;
	bool storage;
};

/* What may not be, yet, with disks that go along. */
static bool may_carry(const struct machine *machine, const struct departure *wanted,
		      struct refusal *why)
{
	if (wanted->folder != NULL) {
		return refuse(why, SERVICE_BAD_INVALID, "give one of them",
			      "storage: it goes along, or the hosts share a folder");
	}
	if (is_off(machine)) {
		return refuse(why, SERVICE_BAD_STATE,
			      "start it; or vm export-checkpoint, or its files by vm fetch",
			      "'%s' is off, and only a machine that runs takes its disks along",
			      machine->name);
	}
	if (json_object_size(machine->points) != 0) {
		return refuse(why, SERVICE_BAD_STATE, "delete them first",
			      "'%s' has checkpoints, which do not go along with its disks",
			      machine->name);
	}
	return true;
}

/* The folder that both hosts have, for the owner file. */
static bool find_owner(const struct machine *machine, const json_t *config,
		       const struct departure *wanted, char *owner, struct refusal *why)
{
	const char *disk = offer_disk(config);
	char folder[PATH_MAX], id[GUID_TEXT];
	struct guid random;

	if (wanted->storage) { /* this side's own */
		guid_random(&random);
		guid_print(&random, id);
		return offer_owner(machine->service->store, id, owner) ||
		       refuse(why, SERVICE_BAD_IO, "", "%s: the path is too long",
			      machine->service->store);
	}
	if (wanted->folder == NULL && disk == NULL) {
		return refuse(why, SERVICE_BAD_INVALID,
			      "give a folder that both hosts have, by --shared",
			      "'%s' has no disk, so nothing is known that the hosts share",
			      machine->name);
	}
	snprintf(folder, sizeof(folder), "%s", wanted->folder != NULL ? wanted->folder : disk);
	if (wanted->folder == NULL) {
		*strrchr(folder, '/') = '\0';
	}
	guid_random(&random);
	guid_print(&random, id);
	return (folder[0] != '\0' && offer_owner(folder, id, owner)) ||
	       refuse(why, SERVICE_BAD_IO, "", "%s: the path is too long, or none", folder);
}

void move_begin(struct request *request, struct machine *machine, const json_t *body)
{
#define OF(member) .at = offsetof(struct departure, member)
	static const struct form_member members[] = {
		{"to", FORM_TEXT, .required = true, OF(to), .least = 1, .most = 255},
		{"shared", FORM_TEXT, OF(folder), .least = 1, .most = PATH_MAX / 2},
		{"storage", FORM_FLAG, OF(storage)},
	};
	char owner[PATH_MAX], folder[PATH_MAX];
	struct departure wanted = {.to = NULL};
	struct form form = {0};
	json_t *config = NULL, *names = NULL, *document;
	struct refusal why;
	bool good;

	if (!form_read(&form, body, members, ARRAY_COUNT(members), &wanted)) {
		good = refuse_form(&why, &form.error);
	} else if (wanted.folder != NULL && wanted.folder[0] != '/') {
		good = refuse(&why, SERVICE_BAD_INVALID, "give an absolute path",
			      "shared: %.200s is none", wanted.folder);
	} else {
		good = may_depart(machine, &why) &&
		       (!wanted.storage || may_carry(machine, &wanted, &why));
	}
	if (good) {
		config = offer_paths(is_off(machine) ? machine->settings.document
						     : json_object_get(machine->running, "config"),
				     machine_path(machine, "", folder) ? folder : "");
		json_object_del(config, "name");
		json_object_del(config, "receive");
		json_object_del(config, "checkpoint");
		good = find_owner(machine, config, &wanted, owner, &why);
	}
	if (good && wanted.storage) {
		json_t *tried = json_deep_copy(config);

		document = offer_paths(machine->settings.document,
				       machine_path(machine, "", folder) ? folder : "");
		names = json_object();
		good = offer_carried(document, tried, names, &why);
		json_decref(document);
		json_decref(tried);
	}
	/* With an empty queue it begins at once, and is answered when it has got so far. */
	if (good && job_new(machine, &actions[0],
			    json_pack("{s:s, s:s, s:O, s:b, s:O*}", "to", wanted.to, "owner", owner,
				      "config", config, "off", is_off(machine), "storage", names),
			    request->user, &why) == NULL) {
		good = false;
	} else if (good && machine->move == NULL) {
		good = refuse(&why, SERVICE_BAD_IO, "", "'%s' cannot be moved now", machine->name);
	}
	if (good) {
		machine->move->asked = request;
	} else {
		api_refuse(request, &why);
	}
	json_decref(config);
	json_decref(names);
}

/* vmctl has told the worker; its job is one of ours. */
static void told_worker(void *user, bool done, const char *out, char *said)
{
	struct move *move = user;
	json_t *answer = done ? json_loads(out, 0, NULL) : NULL;
	struct job *job = job_of(move);
	struct refusal why;

	if (move->phase != HANDING) { /* the worker has died meanwhile */
		json_decref(answer);
		return;
	}
	move->phase = MOVING;
	job->worker_job = json_integer_value(json_object_get(json_object_get(answer, "job"), "id"));
	if (job->worker_job == 0) {
		tool_complaint(said, "vmctl", job->name, &why);
		fail_and_settle(move, &why);
	} else {
		job_step(job, "moving");
		machine_ask_jobs(move->machine); /* it may have ended already */
	}
	json_decref(answer);
}

static bool hand_over(struct move *move, int fd, struct refusal *why)
{
	struct machine *machine = move->machine;
	char control[PATH_MAX], folder[PATH_MAX], owner[PATH_MAX + 8];
	const char *const words[] = {"--json",
				     "--no-wait",
				     control,
				     "migrate",
				     "fd:3",
				     owner,
				     move->storage != NULL ? "disks" : NULL,
				     NULL};

	if (!machine_run_path(machine, "control", control) || !machine_path(machine, "", folder)) {
		return refuse(why, SERVICE_BAD_IO, "", "'%s': the path is too long", machine->name);
	}
	snprintf(owner, sizeof(owner), "owner=%s", move->owner);
	return tool_run_with(machine->service, machine->service->control, folder, words, fd,
			     told_worker, move, why) != NULL;
}

static void found_jobs(struct machine *machine, void *user, const json_t *result,
		       const json_t *error)
{
	struct move *move = machine->move;
	const json_t *jobs = json_object_get(result, "jobs"), *one;
	struct job *job;
	size_t i;

	(void)user;
	if (move == NULL || move->phase != MOVING || machine->link == NULL) {
		return; /* the end of the process says more */
	}
	job = job_of(move);
	json_array_foreach(jobs, i, one)
	{
		const char *state = member_text(one, "state");

		if (strcmp(member_text(one, "what"), CONTROL_MIGRATE) == 0 &&
		    (strcmp(state, CONTROL_STATE_RUNNING) == 0 ||
		     strcmp(state, CONTROL_STATE_QUEUED) == 0)) {
			job->worker_job = json_integer_value(json_object_get(one, "id"));
		}
	}
	if (error != NULL || job->worker_job == 0) {
		settle(move);
	} else {
		job_step(job, "moving");
	}
}

/* ---- The target ---- */

static void arrive(struct job *job)
{
	struct move *move = new_move(job, true);

	if (is_resumed(job)) {
		move->handed = true;
		move->phase = MOVING;
		if (job->machine->worker == 0) {
			settle(move);
		}
		return; /* or it runs, when it has been greeted */
	}
	wait_for_client(move);
}

struct job *move_expect(struct machine *machine, const struct offer *offer, const char *user,
			struct refusal *why)
{
	return job_new(machine, &actions[1],
		       json_pack("{s:s, s:O, s:O*, s:O*}", "owner", offer->owner, "config",
				 offer->config, "checkpoints", offer->checkpoints, "storage",
				 offer->storage),
		       user, why);
}

/* ---- Who manages the two says what decides ---- */

static void told(void *user, bool done, const char *out, char *said)
{
	struct request *request = user;
	json_t *answer = done ? json_loads(out, 0, NULL) : NULL;
	struct refusal why;

	if (answer == NULL) {
		tool_complaint(said, "vmms", "", &why);
		api_refuse(request, &why);
	} else {
		request_answer(request, 200, answer);
	}
}

static json_t *question_of(const json_t *body, bool arriving, const json_t *mark,
			   struct refusal *why)
{
	static const char *const whose[] = {"source", "target", NULL};
	const char *said = member_text(body, "whose");
	json_t *owner = json_object_get(mark, "owner");

	if (!json_is_true(json_object_get(mark, "storage"))) {
		refuse(why, SERVICE_BAD_STATE, "", "no machine is moved with its disks here");
	} else if (body == NULL) {
		return json_pack("{s:O}", "owner", owner);
	} else if (arriving && (strcmp(said, whose[0]) == 0 || strcmp(said, whose[1]) == 0)) {
		return json_pack("{s:O, s:s}", "owner", owner, "whose", said);
	} else if (!arriving && json_is_true(json_object_get(body, "seen"))) {
		return json_pack("{s:O}", "owner", owner);
	} else {
		refuse(why, SERVICE_BAD_INVALID, "see the API's document",
		       arriving ? "whose: say source or target" : "seen: say true");
	}
	return NULL;
}

void move_owner(struct request *request, struct machine *machine, bool arriving, const json_t *body)
{
	const json_t *mark =
		json_object_get(machine->settings.document, arriving ? "arrival" : "departure");
	struct service *service = machine->service;
	struct refusal why;
	json_t *wanted = question_of(body, arriving, mark, &why);
	char *text = wanted != NULL ? json_dumps(wanted, JSON_COMPACT) : NULL;
	const char *const words[] = {"--shared", body == NULL ? "whose" : "tell", text, NULL};

	if (text == NULL ||
	    tool_run(service, ITSELF, service->run, words, told, request, &why) == NULL) {
		api_refuse(request, &why);
	}
	json_decref(wanted);
	free(text);
}

/* ---- A client connects ---- */

bool move_waits(const struct machine *machine, bool arriving, struct refusal *why)
{
	const struct move *move = machine->move;

	return (move != NULL && move->arriving == arriving && move->phase == WAITING) ||
	       refuse(why, SERVICE_BAD_STATE, "vm migrate does all that is needed",
		      arriving ? "'%s' does not come from another host"
			       : "'%s' does not move to another host",
		      machine->name);
}

static void hand_to_worker(struct move *move)
{
	struct machine *machine = move->machine;
	const struct arriving from = {move->config, move->fd, move->owner, move->storage != NULL};
	struct refusal why;
	bool good;

	move->phase = move->arriving ? MOVING : HANDING;
	job_step(job_of(move), move->arriving ? "coming" : "telling its worker");
	good = move->arriving ? start_worker(machine, &from, &why)
			      : hand_over(move, move->fd, &why);
	if (good) {
		move->handed = true;
	} else if (machine->worker == 0 || !move->arriving) {
		fail_and_settle(move, &why);
	} else {
		move->handed = true; /* it is being killed, and then settled */
		move->why = why;
	}
}

/* Who waits for a carrier: the move may be over before it. */
struct carried {
	struct service *service;
	uint64_t job;
};

static void carried(void *user, bool done, const char *out, char *said)
{
	struct carried *wanted = user;
	const struct job *job = job_find(wanted->service, wanted->job);
	struct move *move = job != NULL && job->machine != NULL ? job->machine->move : NULL;
	struct refusal why;

	(void)out;
	free(wanted);
	if (move == NULL || move->phase != CARRYING) {
		return;
	}
	move->carrier = NULL;
	if (done && move->off) {
		settle(move);
	} else if (done && !move->cancelled) {
		hand_to_worker(move);
	} else {
		tool_complaint(said, "vmms", move->machine->name, &why);
		fail_and_settle(move, &why);
	}
}

/* The files of its checkpoints come before its memory, and nothing of them changes meanwhile. */
static void carry(struct move *move)
{
	struct carried *wanted = calloc(1, sizeof(*wanted));
	char folder[PATH_MAX];
	struct refusal why;

	CHECK(wanted != NULL);
	*wanted = (struct carried){move->machine->service, move->job};
	move->phase = CARRYING;
	move->handed = move->arriving && move->off;
	job_step(job_of(move), "carrying its files");
	move->carrier = run_luggage(move, move->arriving ? "receive" : "send",
				    json_pack("{s:s, s:s, s:b, s:O*, s:O*}", "folder",
					      machine_path(move->machine, "", folder) ? folder : "",
					      "owner", move->owner, "off", move->off, "token",
					      json_object_get(move->checkpoints, "token"),
					      "storage", move->arriving ? move->storage : NULL),
				    move->fd, carried, wanted, &why);
	if (move->carrier == NULL) {
		free(wanted);
		fail_and_settle(move, &why);
	}
}

bool move_attach(struct machine *machine, bool arriving, int fd, void (*closed)(void *user),
		 void *user)
{
	struct move *move = machine->move;
	struct refusal why;

	if (!move_waits(machine, arriving, &why)) {
		return false;
	}
	loop_stop_timer(machine->service, &move->timer);
	move->fd = fd;
	move->closed = closed;
	move->closed_user = user;
	if (move->checkpoints != NULL || move->storage != NULL) {
		carry(move);
	} else {
		hand_to_worker(move);
	}
	return true;
}

/* ---- What happens to its worker ---- */

static void worker_job_ended(struct job *job, const json_t *worker_job)
{
	struct move *move = job->machine->move;
	const char *state = member_text(worker_job, "state");
	const json_t *error = json_object_get(worker_job, "error");
	struct refusal why;

	if (strcmp(state, CONTROL_STATE_DONE) == 0) {
		/* The worker ends now, and with it the move. */
		json_decref(job->result);
		job->result = json_incref(json_object_get(worker_job, "answer"));
		return;
	}
	move->cancelled = strcmp(state, CONTROL_STATE_CANCELLED) == 0;
	refuse(&why, SERVICE_BAD_WORKER, member_text(json_object_get(error, "data"), "remedy"),
	       "'%s': %s", job->name,
	       error != NULL ? member_text(error, "message") : "it was given up");
	fail_and_settle(move, &why);
}

static void worker_runs(struct job *job)
{
	struct move *move = job->machine->move;

	if (move->arriving) {
		settle(move);
	} else if (move->phase == MOVING && job->worker_job == 0) {
		link_ask(job->machine, CONTROL_JOBS, json_object(), -1, found_jobs, NULL);
	}
}

static void worker_gone(struct job *job)
{
	struct move *move = job->machine->move;
	char words[400];

	if (move->phase == SETTLING) {
		return;
	}
	if (move->arriving) {
		start_last_words(job->machine, words, sizeof(words));
		refuse(&move->why, SERVICE_BAD_WORKER, "", "'%s' did not come%s%s", job->name,
		       words[0] != '\0' ? ": " : "; its worker said nothing", words);
	} else {
		refuse(&move->why, SERVICE_BAD_WORKER, "", "'%s' ended meanwhile (%s)", job->name,
		       job->machine->reason);
	}
	/* Not from within its end. */
	if (move->phase == CARRYING) {
		tool_end(move->carrier);
	}
	move->phase = SETTLING;
	hang_up(move);
	loop_start_timer(job->machine->service, &move->timer, 0, settle_again);
}

static bool cancel(struct job *job)
{
	struct move *move = job->machine->move;

	switch (move->phase) {
	case WAITING:
		move->cancelled = true;
		settle(move);
		return true;
	case CARRYING:
		move->cancelled = true;
		tool_end(move->carrier);
		return true;
	case MOVING:
		if (move->arriving) {
			move->cancelled = true;
			(void)pidfd_send_signal(job->machine->process.fd, SIGTERM, NULL, 0);
			return true;
		}
		if (job->worker_job != 0) {
			link_ask(job->machine, CONTROL_CANCEL,
				 json_pack("{s:I}", "job", job->worker_job), -1, link_ignore, NULL);
			return true;
		}
		return false;
	case SETTLING:
		/* Between two looks at a file that does not say it: who cancels may delete the
		 * machine then. */
		if (move->timer.armed && job->machine->worker == 0) {
			move->cancelled = true;
			end_job(move, false);
			return true;
		}
		return false;
	default:
		return false;
	}
}

/* ---- After a start of vmms ---- */

void move_met(struct machine *machine)
{
	const json_t *document = machine->settings.document,
		     *arrival = json_object_get(document, "arrival"),
		     *mark = arrival != NULL ? arrival : json_object_get(document, "departure");
	struct refusal why;

	if (mark != NULL && machine->move == NULL && machine->queue == NULL &&
	    job_new(machine, &actions[arrival != NULL],
		    json_pack("{s:O, s:O*, s:b, s:o*}", "owner", json_object_get(mark, "owner"),
			      "to", json_object_get(mark, "to"), "resumed", true, "storage",
			      json_is_true(json_object_get(mark, "storage")) ? json_object()
									     : NULL),
		    "(start of the service)", &why) == NULL) {
		say("%s", why.detail);
	}
}

#define ANY ((1u << MACHINE_STATES) - 1)

static const struct action_own own = {.worker_runs = worker_runs,
				      .worker_gone = worker_gone,
				      .worker_job = worker_job_ended,
				      .cancel = cancel};

static const struct action actions[] = {
	{.name = "migrate",
	 .past = "moved",
	 .from = ANY,
	 .during = MACHINE_STATES,
	 .begin = depart,
	 .own = &own},
	{.name = "arrive",
	 .past = "received",
	 .from = ANY,
	 .during = MACHINE_STARTING,
	 .begin = arrive,
	 .own = &own},
};
