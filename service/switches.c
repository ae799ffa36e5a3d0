/*
 * Virtual switches: vswitchd has them, and vswitch is who asks it (include/mgmt/switch.h), a
 * process for each question, since what opens a card or makes a tap may wait. Here is who asks for
 * what, and which machine is at which port.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/service.h"

#define NAME_MAX_BYTES 63

/* One question of a request, and what it does with the answer. */
struct question {
	struct request *request;
	char name[NAME_MAX_BYTES + 1]; /* of the switch */
	char uplink[80];               /* to be made still: a kind of vswitch's; empty: none */
	struct refusal why;            /* why it is removed again */
	bool removing;
};

static bool ask(struct question *question, const char *const *words, tool_done *done,
		struct refusal *why)
{
	struct service *service = question->request->service;
	const char *all[12] = {"--json", "--socket", service->switch_socket};
	size_t i;

	for (i = 0; words[i] != NULL && i + 4 < ARRAY_COUNT(all); i++) {
		all[i + 3] = words[i];
	}
	return tool_run(service, service->switch_tool, service->run, all, done, question, why) !=
	       NULL;
}

static void refuse_and_free(struct question *question, const struct refusal *why)
{
	api_refuse(question->request, why);
	free(question);
}

static void complain(struct question *question, char *said)
{
	struct refusal why;

	tool_complaint(said, "vswitch", question->name, &why);
	refuse_and_free(question, &why);
}

static struct question *new_question(struct request *request, const char *name)
{
	struct question *question = calloc(1, sizeof(*question));

	CHECK(question != NULL);
	question->request = request;
	snprintf(question->name, sizeof(question->name), "%s", name);
	return question;
}

/* What begins with a dash would be an option, and a comma parts a worker's options. */
static bool is_name(const char *name, struct refusal *why)
{
	size_t length = strlen(name), i;
	bool good = length >= 1 && length <= NAME_MAX_BYTES && name[0] != '-';

	for (i = 0; good && i < length; i++) {
		good = isgraph((unsigned char)name[i]) && strchr(",=/", name[i]) == NULL;
	}
	if (!good) {
		refuse(why, SERVICE_BAD_INVALID,
		       "give 1 to 63 characters of ASCII without spaces , = and /, and no dash "
		       "first",
		       "this is no name for a switch");
		snprintf(why->field, sizeof(why->field), "name");
	}
	return good;
}

/* ---- Who is where ---- */

/* Names of machines whose documents have an adapter on it. */
static json_t *machines_on(const struct service *service, const char *name, bool running)
{
	const struct machine *machine;
	json_t *list = json_array();
	const json_t *network;
	size_t i;

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		json_array_foreach(json_object_get(machine->settings.document, "networks"), i,
				   network)
		{
			const char *of = json_string_value(json_object_get(network, "switch"));

			if (of != NULL && strcmp(of, name) == 0 &&
			    (machine->worker != 0 || !running)) {
				json_array_append_new(list, json_string(machine->name));
				break;
			}
		}
	}
	return list;
}

/* A worker calls its ports after the machine, with a number, where its document has no names for
 * them. */
static bool has_port(const struct machine *machine, const char *of, const char *port)
{
	const json_t *network;
	char name[52];
	size_t i, length;

	json_array_foreach(json_object_get(machine->settings.document, "networks"), i, network)
	{
		const char *on = json_string_value(json_object_get(network, "switch")),
			   *named = json_string_value(json_object_get(network, "port"));

		if (on != NULL && named != NULL && strcmp(on, of) == 0 &&
		    strcmp(named, port) == 0) {
			return true;
		}
	}
	snprintf(name, sizeof(name), "%.50s-", machine->name);
	length = strlen(name);
	return strncmp(port, name, length) == 0 && port[length] != '\0' &&
	       strspn(port + length, "0123456789") == strlen(port + length);
}

static void find_machine(const struct service *service, const char *of, json_t *port)
{
	const char *name = json_string_value(json_object_get(port, "port"));
	const struct machine *machine;

	for (machine = service->machines; machine != NULL && name != NULL;
	     machine = machine->next) {
		if (machine->worker != 0 && has_port(machine, of, name)) {
			json_object_set_new(port, "machine", json_string(machine->name));
			return;
		}
	}
}

/* ---- Questions ---- */

static void listed(void *user, bool done, const char *out, char *said)
{
	struct question *question = user;
	json_t *answer = done ? json_loads(out, 0, NULL) : NULL, *list = json_array(), *of;
	struct request *request = question->request;
	size_t i;

	if (answer == NULL) {
		json_decref(list);
		complain(question, said);
		return;
	}
	json_array_foreach(json_object_get(answer, "switches"), i, of)
	{
		const char *name = json_string_value(json_object_get(of, "switch"));

		if (name != NULL) {
			json_array_append_new(
				list, json_pack("{s:s, s:O, s:O, s:o}", "name", name, "speed",
						json_object_get(of, "speed"), "ports",
						json_object_get(of, "ports"), "machines",
						machines_on(request->service, name, false)));
		}
	}
	json_decref(answer);
	request_answer(request, 200, json_pack("{s:o}", "switches", list));
	free(question);
}

void switches_list(struct request *request)
{
	static const char *const words[] = {"list", NULL};
	struct question *question = new_question(request, "");
	struct refusal why;

	if (!ask(question, words, listed, &why)) {
		refuse_and_free(question, &why);
	}
}

static void shown(void *user, bool done, const char *out, char *said)
{
	struct question *question = user;
	json_t *ports = done ? json_loads(out, 0, NULL) : NULL, *port;
	struct request *request = question->request;
	size_t i;

	if (ports == NULL) {
		complain(question, said);
		return;
	}
	json_array_foreach(ports, i, port)
	{
		find_machine(request->service, question->name, port);
	}
	request_answer(request, 200,
		       json_pack("{s:s, s:o, s:o}", "name", question->name, "ports", ports,
				 "machines", machines_on(request->service, question->name, false)));
	free(question);
}

void switches_show(struct request *request, const char *name)
{
	struct question *question = new_question(request, name);
	const char *const words[] = {"list", question->name, NULL};
	struct refusal why;

	if (!is_name(name, &why) || !ask(question, words, shown, &why)) {
		refuse_and_free(question, &why);
	}
}

static void removed(void *user, bool done, const char *out, char *said)
{
	struct question *question = user;

	(void)out;
	if (question->removing) {
		refuse_and_free(question, &question->why);
	} else if (done) {
		events_emit(question->request->service, "switch",
			    json_pack("{s:s, s:b}", "name", question->name, "there", false));
		request_answer(question->request, 200,
			       json_pack("{s:s}", "deleted", question->name));
		free(question);
	} else {
		complain(question, said);
	}
}

static void created(void *user, bool done, const char *out, char *said)
{
	struct question *question = user;
	struct refusal why;

	(void)out;
	if (!done) {
		const char *const away[] = {"remove", question->name, NULL};

		/* A switch whose way out cannot be made is none. */
		if (question->removing) {
			tool_complaint(said, "vswitch", question->name, &question->why);
			if (ask(question, away, removed, &why)) {
				return;
			}
		}
		complain(question, said);
		return;
	}
	if (question->uplink[0] != '\0') {
		char uplink[sizeof(question->uplink)];
		const char *const words[] = {"port", question->name, "add", "uplink", uplink, NULL};

		snprintf(uplink, sizeof(uplink), "%s", question->uplink);
		question->uplink[0] = '\0';
		question->removing = true;
		if (!ask(question, words, created, &why)) {
			refuse_and_free(question, &why);
		}
		return;
	}
	events_emit(question->request->service, "switch",
		    json_pack("{s:s, s:b}", "name", question->name, "there", true));
	snprintf(question->request->location, sizeof(question->request->location),
		 "/v1/switches/%s", question->name);
	request_answer(question->request, 201, json_pack("{s:s}", "name", question->name));
	free(question);
}

struct wanted {
	const char *name, *interface;
	unsigned int kind;
	uint64_t speed;
};

void switches_create(struct request *request, const json_t *body)
{
#define OF_SWITCH(member) .at = offsetof(struct wanted, member)
	static const char *const kinds[] = {"private", "internal", "external",
					    "bridge",  "nat",      NULL};
	static const struct form_member members[] = {
		{"name", FORM_TEXT, .required = true, OF_SWITCH(name), .least = 1,
		 .most = NAME_MAX_BYTES},
		{"kind", FORM_WORD, OF_SWITCH(kind), .words = kinds},
		{"interface", FORM_TEXT, OF_SWITCH(interface), .least = 1, .most = 15},
		{"speed", FORM_NUMBER, OF_SWITCH(speed), .least = 1, .most = 1000000},
	};
	struct wanted wanted = {.name = ""};
	struct form form = {0};
	struct question *question;
	struct refusal why;
	char speed[24];

	if (!form_read(&form, body, members, ARRAY_COUNT(members), &wanted)) {
		refuse_form(&why, &form.error);
		api_refuse(request, &why);
		return;
	}
	question = new_question(request, wanted.name);
	snprintf(speed, sizeof(speed), "%llu", (unsigned long long)wanted.speed);
	if (wanted.kind != 0) {
		snprintf(question->uplink, sizeof(question->uplink), "%s%s%s", kinds[wanted.kind],
			 wanted.interface != NULL ? ":" : "",
			 wanted.interface != NULL ? wanted.interface : "");
	}
	if ((wanted.kind == 2 || wanted.kind == 3) != (wanted.interface != NULL) &&
	    wanted.kind != 1) {
		refuse(&why, SERVICE_BAD_INVALID,
		       "give one with external and bridge, perhaps with internal, and none "
		       "otherwise",
		       "interface: it does not go with this kind");
		snprintf(why.field, sizeof(why.field), "interface");
		refuse_and_free(question, &why);
		return;
	}
	{
		const char *const words[] = {"create", question->name,
					     wanted.speed != 0 ? speed : NULL, NULL};

		if (!is_name(wanted.name, &why) || !ask(question, words, created, &why)) {
			refuse_and_free(question, &why);
		}
	}
}

void switches_delete(struct request *request, const char *name)
{
	struct question *question = new_question(request, name);
	const char *const words[] = {"remove", question->name, NULL};
	json_t *machines = machines_on(request->service, name, true);
	struct refusal why;
	bool used = json_array_size(machines) != 0;

	if (used) {
		refuse(&why, SERVICE_BAD_STATE, "take its adapter away, or turn it off",
		       "'%s' runs with an adapter on '%s'",
		       json_string_value(json_array_get(machines, 0)), name);
	}
	json_decref(machines);
	if (used || !is_name(name, &why) || !ask(question, words, removed, &why)) {
		refuse_and_free(question, &why);
	}
}

/* ---- Addresses ---- */

#define POOL      0x00155d000000u /* as the switch's own */
#define POOL_SIZE 0x1000000u

static bool has_mac(const json_t *networks, const char *mac)
{
	const json_t *network;
	size_t i;

	json_array_foreach((json_t *)networks, i, network)
	{
		const char *of = json_string_value(json_object_get(network, "mac"));

		if (of != NULL && strcasecmp(of, mac) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_taken(const struct service *service, const json_t *networks, const char *mac)
{
	const struct machine *machine;

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		if (has_mac(json_object_get(machine->settings.document, "networks"), mac)) {
			return true;
		}
	}
	return has_mac(networks, mac);
}

/* The one that it had, if the document has another adapter of its kind no more; NULL: none. */
static const char *old_mac(const json_t *before, const json_t *networks, const json_t *network)
{
	const json_t *old;
	size_t i;

	json_array_foreach((json_t *)json_object_get(before, "networks"), i, old)
	{
		const char *mac = json_string_value(json_object_get(old, "mac"));
		json_t *without = json_copy((json_t *)old);
		bool same;

		json_object_del(without, "mac");
		same = json_equal(without, network);
		json_decref(without);
		if (mac != NULL && same && !has_mac(networks, mac)) {
			return mac;
		}
	}
	return NULL;
}

void switches_give_addresses(struct service *service, json_t *document, const json_t *before)
{
	json_t *networks = json_object_get(document, "networks"), *network;
	unsigned int tries;
	char text[18];
	size_t i;

	json_array_foreach(networks, i, network)
	{
		const char *mac;

		if (!json_is_object(network) || json_object_get(network, "mac") != NULL) {
			continue;
		}
		mac = old_mac(before, networks, network);
		for (tries = 0; mac == NULL && tries < 65536; tries++) {
			uint64_t next = POOL + service->last_mac++ % POOL_SIZE;

			snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x",
				 (unsigned int)(next >> 40 & 255), (unsigned int)(next >> 32 & 255),
				 (unsigned int)(next >> 24 & 255), (unsigned int)(next >> 16 & 255),
				 (unsigned int)(next >> 8 & 255), (unsigned int)(next & 255));
			mac = is_taken(service, networks, text) ? NULL : text;
		}
		if (mac != NULL) {
			json_object_set_new(network, "mac", json_string(mac));
		}
	}
}
