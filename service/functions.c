/*
 * Virtual functions of machines' adapters (SR-IOV): an adapter whose document wants one gets it
 * when its machine has started, if there is one that is free; else the switch carries its frames,
 * as it does until then, and why is in the log. vmctl does it, a process of its own, one adapter
 * after the other.
 *
 * Which ones a machine has is remembered beside its worker's configuration (change.c), for its end:
 * the card is to have nothing for them then.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/member.h"
#include "hosted/say.h"
#include "hosted/vf.h"
#include "include/mgmt/control.h"
#include "service/service.h"

/* ---- at a start ---- */

struct giving {
	struct service *service;
	char id[UUID_TEXT];
	json_int_t number;
};

static void next(struct machine *machine, const json_t *status, json_int_t after);

static void heard(struct machine *machine, void *user, const json_t *status, const json_t *error)
{
	if (error == NULL) {
		functions_heard(machine, status);
		next(machine, status, (json_int_t)(intptr_t)user);
	}
}

static void given(void *user, bool done, const char *out, char *said)
{
	struct giving *giving = user;
	struct machine *machine = machine_find(giving->service, giving->id);

	(void)out;
	if (!done) {
		say("%s: the switch carries the frames of adapter %" JSON_INTEGER_FORMAT ": %s",
		    machine != NULL ? machine->name : giving->id, giving->number, said);
	}
	if (machine != NULL && machine->link != NULL) {
		link_ask(machine, CONTROL_STATUS, json_object(), -1, heard,
			 (void *)(intptr_t)(giving->number + 1));
	}
	free(giving);
}

static void give(struct machine *machine, json_int_t number)
{
	struct giving *giving = calloc(1, sizeof(*giving));
	char socket[PATH_MAX], text[24];
	const char *words[] = {socket, "net", "function", text, "on", NULL};
	struct refusal why;

	CHECK(giving != NULL);
	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, number);
	giving->service = machine->service;
	giving->number = number;
	snprintf(giving->id, sizeof(giving->id), "%s", machine->id);
	if (!machine_run_path(machine, "control", socket) ||
	    tool_run(machine->service, machine->service->control, machine->service->run, words,
		     given, giving, &why) == NULL) {
		free(giving);
	}
}

/* The first from `after` on that wants one and has none. */
static void next(struct machine *machine, const json_t *status, json_int_t after)
{
	json_int_t number = difference_lacks_function(json_object_get(machine->running, "config"),
						      status, after);

	if (number >= 0) {
		give(machine, number);
	}
}

void functions_begin(struct machine *machine, const json_t *status)
{
	functions_heard(machine, status);
	next(machine, status, 0);
}

void functions_heard(struct machine *machine, const json_t *status)
{
	json_t *list = json_array();
	const json_t *adapter;
	size_t i;

	json_array_foreach(json_object_get(status, "networks"), i, adapter)
	{
		const char *address = member_text(adapter, "function");

		if (*address != '\0') {
			json_array_append_new(list, json_string(address));
		}
	}
	if (machine->running == NULL ||
	    json_equal(list, json_object_get(machine->running, "functions")) ||
	    (json_array_size(list) == 0 &&
	     json_object_get(machine->running, "functions") == NULL)) {
		json_decref(list);
		return;
	}
	change_remember(machine, "functions", list);
}

/* ---- before its state is written ---- */

struct taking {
	struct service *service;
	uint64_t job;
	void (*next)(struct job *job);
};

static void taken(void *user, bool done, const char *out, char *said)
{
	struct taking *taking = user;
	struct job *job = job_find(taking->service, taking->job);
	struct refusal why;

	(void)out;
	if (job == NULL || job->state != JOB_RUNNING) {
		/* Its worker has ended, and that has been said. */
	} else if (done) {
		taking->next(job);
	} else {
		tool_complaint(said, "vmctl", job->name, &why);
		job_fail(job, &why);
	}
	free(taking);
}

bool functions_take(struct job *job, void (*next_step)(struct job *job))
{
	struct machine *machine = job->machine;
	struct taking *taking;
	char socket[PATH_MAX];
	const char *words[] = {socket, "net", "function", "all", "off", NULL};
	struct refusal why;

	if (json_array_size(json_object_get(machine->running, "functions")) == 0 ||
	    !machine_run_path(machine, "control", socket)) {
		return false;
	}
	taking = calloc(1, sizeof(*taking));
	CHECK(taking != NULL);
	*taking = (struct taking){machine->service, job->id, next_step};
	job_step(job, "taking its virtual functions");
	if (tool_run(machine->service, machine->service->control, machine->service->run, words,
		     taken, taking, &why) == NULL) {
		free(taking);
		job_fail(job, &why);
	}
	return true;
}

/* ---- at an end ---- */

struct forgetting {
	char address[PCI_ADDRESS];
	char why[400];
	int ret;
};

static void forget(void *user)
{
	struct forgetting *forgetting = user;

	forgetting->ret = vf_clear(forgetting->address, forgetting->why, sizeof(forgetting->why));
}

static void forgotten(void *user)
{
	struct forgetting *forgetting = user;

	if (forgetting->ret != 0) {
		say("%s keeps the address of an adapter: %s", forgetting->address, forgetting->why);
	}
	free(forgetting);
}

void functions_end(struct machine *machine)
{
	const json_t *address;
	size_t i;

	json_array_foreach(json_object_get(machine->running, "functions"), i, address)
	{
		struct forgetting *forgetting = calloc(1, sizeof(*forgetting));

		CHECK(forgetting != NULL);
		snprintf(forgetting->address, sizeof(forgetting->address), "%s",
			 json_string_value(address) != NULL ? json_string_value(address) : "");
		helper_run(machine->service->writes, forget, forgotten, forgetting);
	}
}
