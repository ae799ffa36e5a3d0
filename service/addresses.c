/*
 * Which addresses a machine's adapters have, as its guest says (integration service "values"). The
 * guest is asked by its worker, an adapter at a time, and may take its time: so by a process each,
 * vmctl. An adapter of which the guest says nothing has none.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/member.h"
#include "include/mgmt/control.h"
#include "service/service.h"

/* The request is suspended, so it is there; its machine may be gone meanwhile. */
struct inquiry {
	struct request *request;
	struct service *service;
	char id[UUID_TEXT];
	json_t *adapters; /* of the worker's status */
	size_t next;
	json_t *found;
};

static void ask_next(struct inquiry *inquiry);

static void end(struct inquiry *inquiry)
{
	request_answer(inquiry->request, 200, json_pack("{s:o}", "adapters", inquiry->found));
	json_decref(inquiry->adapters);
	free(inquiry);
}

static void answered(void *user, bool done, const char *out, char *said)
{
	struct inquiry *inquiry = user;
	const json_t *adapter = json_array_get(inquiry->adapters, inquiry->next);
	json_t *job = done ? json_loads(out, 0, NULL) : NULL,
	       *answer = json_object_get(job, "answer"),
	       *one = json_pack("{s:O?, s:O?, s:O?, s:O?}", "number",
				json_object_get(adapter, "number"), "switch",
				json_object_get(adapter, "switch"), "port",
				json_object_get(adapter, "port"), "mac",
				json_object_get(adapter, "address"));
	static const char *const taken[] = {"dhcp", "addresses", "gateways", "dns"};
	struct refusal why;

	for (size_t i = 0; i < ARRAY_COUNT(taken); i++) {
		json_t *value = json_object_get(answer, taken[i]);

		if (value != NULL) {
			json_object_set(one, taken[i], value);
		}
	}
	if (answer == NULL) {
		tool_complaint(said, "vmctl", "", &why);
		json_object_set_new(one, "unknown", json_string(why.detail));
	}
	json_array_append_new(inquiry->found, one);
	json_decref(job);
	inquiry->next++;
	ask_next(inquiry);
}

static void ask_next(struct inquiry *inquiry)
{
	const struct machine *machine = machine_find(inquiry->service, inquiry->id);
	const json_t *adapter = json_array_get(inquiry->adapters, inquiry->next);
	char path[PATH_MAX], number[24];
	const char *const words[] = {"--json", path, "addresses", number, NULL};
	struct refusal why;

	if (adapter == NULL || machine == NULL || machine->worker == 0 ||
	    !machine_run_path(machine, "control", path)) {
		end(inquiry);
		return;
	}
	snprintf(number, sizeof(number), "%lld",
		 (long long)json_integer_value(json_object_get(adapter, "number")));
	if (tool_run(inquiry->service, inquiry->service->control, inquiry->service->run, words,
		     answered, inquiry, &why) == NULL) {
		end(inquiry);
	}
}

static void heard(struct machine *machine, void *user, const json_t *result, const json_t *error)
{
	struct inquiry *inquiry = calloc(1, sizeof(*inquiry));

	(void)error;
	CHECK(inquiry != NULL);
	*inquiry = (struct inquiry){.request = user,
				    .service = machine->service,
				    .adapters = json_incref(json_object_get(result, "networks")),
				    .found = json_array()};
	snprintf(inquiry->id, sizeof(inquiry->id), "%s", machine->id);
	ask_next(inquiry);
}

void addresses_ask(struct request *request, struct machine *machine)
{
	struct refusal why;

	if (!machine->greeted || machine->link == NULL) {
		refuse(&why, SERVICE_BAD_STATE, "start it", "'%s' is %s: its guest says nothing",
		       machine->name, machine_state_name(machine->state));
		api_refuse(request, &why);
		return;
	}
	link_ask(machine, CONTROL_STATUS, json_object(), -1, heard, request);
}
