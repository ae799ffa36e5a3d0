/*
 * A machine that another host offers (move.c has the move): what is looked at before there is
 * anything of it here. Each thing that does not fit is named, in one answer. Then it has a
 * document, with the member `arrival`, and a job that waits for it.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosted/member.h"
#include "hosted/say.h"
#include "service/service.h"

/* A machine that is asked for from another host: what is looked at before there is anything of
 * it. */
struct question {
	struct request *request;
	struct offer offer;
	char owner[PATH_MAX]; /* our own, of one that comes with its disks */
	json_t *body;         /* that the offer's texts are of */
	json_t *problems;
};

static void free_question(struct question *question)
{
	json_decref(question->problems);
	json_decref(question->body);
	free(question);
}

static void refuse_question(struct question *question, const struct refusal *why)
{
	api_refuse(question->request, why);
	free_question(question);
}

static void arrival_made(struct machine *machine, void *user, const struct refusal *why)
{
	struct question *question = user;
	struct request *request = question->request;
	struct refusal refusal;
	struct job *job;

	if (why != NULL) {
		job_fail_all(machine, why);
		machine_free(machine);
		refuse_question(question, why);
		return;
	}
	events_emit(request->service, "machine", machine_summary(machine));
	job = move_expect(machine, &question->offer, request->user, &refusal);
	if (job == NULL) {
		say("%s", refusal.detail);
		refuse_question(question, &refusal);
		return;
	}
	snprintf(request->location, sizeof(request->location), "/v1/machines/%s", machine->id);
	request_answer(request, 201,
		       json_pack("{s:o, s:s}", "job", job_object(job), "machine", machine->id));
	free_question(question);
}

static bool is_free(const struct question *question, struct refusal *why)
{
	struct service *service = question->request->service;
	const struct offer *offer = &question->offer;
	const struct machine named = {.service = service, .name = (char *)offer->name};
	const char *elsewhere, *differs, *left;
	char path[PATH_MAX];

	if (machine_find(service, offer->name) != NULL ||
	    machine_find(service, member_text(offer->document, "id")) != NULL) {
		return refuse(why, SERVICE_BAD_EXISTS, "rename or delete that one",
			      "there is a machine '%s' here already, or one of its id",
			      offer->name);
	}
	if (machine_path(&named, FILE_DOCUMENT, path) && access(path, F_OK) == 0) {
		return refuse(why, SERVICE_BAD_EXISTS, "the two stores have to be two",
			      "%s: a document is there already", path);
	}
	elsewhere = firmware_files_elsewhere(offer->document);
	if (elsewhere != NULL) {
		return refuse(why, SERVICE_BAD_INVALID, "give a file in the machine's folder",
			      "%s is outside of it", elsewhere);
	}
	differs = firmware_files_differ(offer->document, offer->config);
	if (differs != NULL) {
		return refuse(why, SERVICE_BAD_INVALID, "give that of one machine",
			      "document and config have two files for %s", differs);
	}
	if (luggage_is_left(&named)) {
		return refuse(why, SERVICE_BAD_EXISTS, "move them away, or delete them",
			      "'%s': files of a machine that is no more are there: " TREE_FOLDER,
			      offer->name);
	}
	left = firmware_files_left(&named, offer->document);
	return left == NULL ||
	       refuse(why, SERVICE_BAD_EXISTS, "move it away, or delete it",
		      "'%s': a file of a machine that is no more is there: %s", offer->name, left);
}

static void make_machine(struct question *question)
{
	struct service *service = question->request->service;
	const char *beside =
		question->offer.storage == NULL ? offer_disk(question->offer.config) : NULL;
	json_t *document = json_copy((json_t *)question->offer.document);
	struct machine *machine = NULL;
	struct refusal why;

	json_object_set_new(document, "arrival",
			    json_pack("{s:s, s:s, s:s, s:b}", "owner", question->offer.owner,
				      "from", question->offer.from, "beside",
				      beside != NULL ? beside : "", "storage",
				      question->offer.storage != NULL));
	if (is_free(question, &why)) {
		machine = machine_new(service, question->offer.name);
		refuse(&why, SERVICE_BAD_IO, "", "out of memory");
	}
	if (machine == NULL) {
		json_decref(document);
		refuse_question(question, &why);
		return;
	}
	snprintf(machine->id, sizeof(machine->id), "%s", member_text(document, "id"));
	if (!store_create(machine, document, arrival_made, question, &why)) {
		machine_free(machine);
		refuse_question(question, &why);
	}
}

/* Everything has been looked at. */
static void judge(struct question *question)
{
	const json_t *problem;
	struct refusal why;
	size_t i, used;

	if (json_array_size(question->problems) == 0) {
		if (question->offer.check) {
			request_answer(question->request, 200, json_pack("{s:b}", "fits", true));
			free_question(question);
		} else {
			make_machine(question);
		}
		return;
	}
	refuse(&why, SERVICE_BAD_STATE, "mend that, and ask again",
	       "'%s' cannot run here: ", question->offer.name);
	json_array_foreach(question->problems, i, problem)
	{
		used = strlen(why.detail);
		snprintf(why.detail + used, sizeof(why.detail) - used, "%s%s", i > 0 ? "; " : "",
			 json_string_value(problem));
	}
	refuse_question(question, &why);
}

static void add_problem(struct question *question, const char *what, const char *why)
{
	char text[300];

	snprintf(text, sizeof(text), "%.100s%.190s", what, why);
	json_array_append_new(question->problems, json_string(text));
}

static bool has_switch(const json_t *switches, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(switches, i, one)
	{
		if (strcmp(member_text(one, "switch"), name) == 0) {
			return true;
		}
	}
	return false;
}

static void listed_switches(void *user, bool done, const char *out, char *said)
{
	struct question *question = user;
	json_t *answer = done ? json_loads(out, 0, NULL) : NULL;
	const json_t *network;
	struct refusal why;
	size_t i;

	if (answer == NULL) {
		tool_complaint(said, "vswitch", "", &why);
		add_problem(question, "switches: ", why.detail);
	} else {
		json_array_foreach(json_object_get(question->offer.config, "networks"), i, network)
		{
			const char *name = member_text(network, "switch");

			if (!has_switch(json_object_get(answer, "switches"), name)) {
				add_problem(question, name, ": there is no such switch here");
			}
		}
	}
	json_decref(answer);
	judge(question);
}

static void checked_files(void *user, bool done, const char *out, char *said)
{
	struct question *question = user;
	struct service *service = question->request->service;
	const char *const words[] = {"--json", "--socket", service->switch_socket, "list", NULL};
	json_t *answer = done ? json_loads(out, 0, NULL) : NULL;
	struct refusal why;

	json_array_extend(question->problems, json_object_get(answer, "problems"));
	if (answer == NULL) {
		tool_complaint(said, "vmms", "", &why);
		add_problem(question, "its files: ", why.detail);
	}
	json_decref(answer);
	if (json_array_size(json_object_get(question->offer.config, "networks")) == 0) {
		judge(question);
	} else if (tool_run(service, service->switch_tool, service->run, words, listed_switches,
			    question, &why) == NULL) {
		refuse_question(question, &why);
	}
}

static void judged_config(void *user, const struct refusal *refusal)
{
	struct question *question = user;
	struct service *service = question->request->service;
	json_t *wanted =
		json_pack("{s:s, s:O*, s:O, s:I, s:O*, s:s}", "owner", question->offer.owner,
			  "storage", question->offer.storage, "config", question->offer.config,
			  "bytes", (json_int_t)offer_memory(question->offer.config), "checkpoints",
			  question->offer.checkpoints, "store", service->store);
	char *text = json_dumps(wanted, JSON_COMPACT);
	const char *const words[] = {"--shared", "check", text, NULL};
	struct refusal why = {.code = SERVICE_BAD_IO, .detail = "out of memory"};

	if (refusal != NULL) {
		refuse_question(question, refusal);
	} else if (text == NULL || tool_run(service, ITSELF, service->run, words, checked_files,
					    question, &why) == NULL) {
		refuse_question(question, &why);
	}
	json_decref(wanted);
	free(text);
}

void move_arrive(struct request *request, json_t *body)
{
	struct question *question = calloc(1, sizeof(*question));
	struct machine named = {.service = request->service};
	struct refusal why;

	CHECK(question != NULL);
	*question = (struct question){
		.request = request, .body = json_incref(body), .problems = json_array()};
	if (!offer_read(body, &question->offer, &why) || !is_free(question, &why)) {
		refuse_question(question, &why);
		return;
	}
	if (question->offer.storage != NULL) {
		if (snprintf(question->owner, sizeof(question->owner), "%s%s",
			     request->service->store,
			     strrchr(question->offer.owner, '/')) >= (int)sizeof(question->owner)) {
			refuse(&why, SERVICE_BAD_INVALID, "", "its owner file's name is too long");
			refuse_question(question, &why);
			return;
		}
		question->offer.owner = question->owner;
	}
	named.name = (char *)question->offer.name;
	if (!settings_check(request->service, request->service->store,
			    settings_for_worker(&named, question->offer.config), judged_config,
			    question, &why)) {
		refuse_question(question, &why);
	}
}
