/* Networks are the host's switches, as the service has them: each is up as long as it is there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt/call.h"

#define NAME_SIZE 64
#define XML_MAX   (64u << 10)

enum { NETWORKS_INACTIVE = 1, NETWORKS_ACTIVE = 2 }; /* virConnectListAllNetworksFlags */

/* The same each time: of its name. */
static void network_id(const char *name, uint8_t id[UUID_BYTES])
{
	text_id("network", name, id);
}

static void put_network(struct call *call, const char *name)
{
	uint8_t id[UUID_BYTES];

	network_id(name, id);
	wire_put_text(call->out, name);
	wire_put_bytes(call->out, id, sizeof(id));
}

/* NULL: the call has failed. */
static json_t *fetch_all(struct call *call)
{
	return ask(call, "GET", NULL, "/v1/switches");
}

/* As the client names it; the switch, or NULL: there is none, and the call has failed. */
static json_t *get_network(struct call *call)
{
	char name[NAME_SIZE], *segment;
	uint8_t id[UUID_BYTES];
	json_t *one = NULL;

	wire_get_text(call->in, name, sizeof(name));
	wire_get_bytes(call->in, id, sizeof(id));
	if (!is_whole(call)) {
		return NULL;
	}
	segment = http_escape(call->http, name);
	one = ask(call, "GET", NULL, "/v1/switches/%s", segment);
	free(segment);
	if (call->error == ERR_NO_DOMAIN) {
		call->error = ERR_NO_NETWORK;
	}
	return one;
}

void list_networks(struct call *call)
{
	bool need = wire_get(call->in) != 0;
	uint32_t flags = wire_get(call->in), count = 0;
	json_t *answer = fetch_all(call), *list = json_object_get(answer, "switches"), *one;
	size_t i;

	if (!(flags & NETWORKS_INACTIVE) || flags & NETWORKS_ACTIVE) {
		count = (uint32_t)json_array_size(list);
	}
	wire_put(call->out, need ? count : 0);
	json_array_foreach(list, i, one)
	{
		if (need && count != 0) {
			put_network(call, text_of(one, "name"));
		}
	}
	wire_put(call->out, count);
	json_decref(answer);
}

void count_networks(struct call *call)
{
	json_t *answer = fetch_all(call);

	wire_put(call->out, (uint32_t)json_array_size(json_object_get(answer, "switches")));
	json_decref(answer);
}

void list_network_names(struct call *call)
{
	uint32_t most = wire_get(call->in), count, i;
	json_t *answer = fetch_all(call), *list = json_object_get(answer, "switches");

	count = (uint32_t)json_array_size(list);
	count = count < most ? count : most;
	wire_put(call->out, count);
	for (i = 0; i < count; i++) {
		wire_put_text(call->out, text_of(json_array_get(list, i), "name"));
	}
	json_decref(answer);
}

static void look_up_by(struct call *call, const char *name, const uint8_t *wanted)
{
	json_t *answer = fetch_all(call), *one;
	uint8_t id[UUID_BYTES];
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(answer, "switches"), i, one)
	{
		network_id(text_of(one, "name"), id);
		if (!found && (name != NULL ? strcmp(text_of(one, "name"), name) == 0
					    : memcmp(id, wanted, sizeof(id)) == 0)) {
			put_network(call, text_of(one, "name"));
			found = true;
		}
	}
	if (answer != NULL && !found) {
		fail(call, ERR_NO_NETWORK, "there is no switch '%s'", name != NULL ? name : "");
	}
	json_decref(answer);
}

void look_up_network(struct call *call)
{
	char name[NAME_SIZE];

	wire_get_text(call->in, name, sizeof(name));
	if (is_whole(call)) {
		look_up_by(call, name, NULL);
	}
}

void look_up_network_by_uuid(struct call *call)
{
	uint8_t id[UUID_BYTES];

	wire_get_bytes(call->in, id, sizeof(id));
	if (is_whole(call)) {
		look_up_by(call, NULL, id);
	}
}

void get_network_xml(struct call *call)
{
	json_t *one = get_network(call);
	uint8_t id[UUID_BYTES];
	char *xml;

	if (one == NULL) {
		return;
	}
	network_id(text_of(one, "name"), id);
	xml = xml_network(text_of(one, "name"), id,
			  json_array_size(json_object_get(one, "machines")));
	wire_put_text(call->out, xml != NULL ? xml : "");
	free(xml);
	json_decref(one);
}

void network_yes(struct call *call)
{
	json_decref(get_network(call));
	wire_put(call->out, 1);
}

/* It is not there after vswitchd's end, unless its own configuration makes it again. */
void network_no(struct call *call)
{
	json_decref(get_network(call));
	wire_put(call->out, 0);
}

/* net-create, of a name alone: a switch without a way out. */
void create_network(struct call *call)
{
	char *text = wire_get_string(call->in, XML_MAX);
	struct xml_error error = {0};
	json_t *said = NULL, *answer = NULL;

	if (text != NULL && is_whole(call)) {
		said = xml_read_other(text, "network", &error);
		if (said == NULL) {
			fail(call, error.code, "%s", error.text);
		}
	}
	free(text);
	if (said != NULL) {
		answer = ask(call, "POST", json_pack("{s:s}", "name", text_of(said, "name")),
			     "/v1/switches");
	}
	if (answer != NULL) {
		put_network(call, text_of(said, "name"));
	}
	json_decref(answer);
	json_decref(said);
}

void remove_network(struct call *call)
{
	json_t *one = get_network(call);
	char *segment = one != NULL ? http_escape(call->http, text_of(one, "name")) : NULL;

	if (segment != NULL) {
		json_decref(ask(call, "DELETE", NULL, "/v1/switches/%s", segment));
	}
	free(segment);
	json_decref(one);
}
