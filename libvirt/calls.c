/*
 * What each call of libvirt's remote program becomes (its numbers and the members of its messages:
 * libvirt's remote_protocol.x). What is not in the table is answered by VIR_ERR_NO_SUPPORT, after
 * which clients do without.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/bytes.h"
#include "libvirt/call.h"

#define PROGRAM_VERSION 1u
#define VERSION         9000000u /* of libvirt, that we speak as */
#define MODEL_CHARS     32
/* Seconds for a job, before the client is looked after: who hears nothing for half a minute gives
 * us up. */
#define WAIT_SECONDS 1

enum { FROM_REMOTE = 13, LEVEL_ERROR = 2 }; /* virErrorDomain, virErrorLevel */
/* virConnectListAllDomainsFlags */
enum {
	LIST_ACTIVE = 1,
	LIST_INACTIVE = 2,
	LIST_PERSISTENT = 4,
	LIST_TRANSIENT = 8,
	LIST_RUNNING = 16,
	LIST_PAUSED = 32,
	LIST_SHUTOFF = 64,
	LIST_OTHER = 128,
	LIST_MANAGEDSAVE = 256,
	LIST_NO_MANAGEDSAVE = 512,
	LIST_AUTOSTART = 1024,
	LIST_NO_AUTOSTART = 2048
};

void fail(struct call *call, int error, const char *format, ...)
{
	va_list arguments;

	call->error = error;
	va_start(arguments, format);
	vsnprintf(call->message, sizeof(call->message), format, arguments);
	va_end(arguments);
}

bool is_whole(struct call *call)
{
	if (call->in->bad) {
		fail(call, ERR_RPC, "the message is not as this call's should be");
	}
	return !call->in->bad;
}

void fail_by_service(struct call *call)
{
	static const struct {
		const char *code;
		int error;
	} codes[] = {
		{SERVICE_BAD_NOT_FOUND, ERR_NO_DOMAIN},
		{SERVICE_BAD_STATE, ERR_INVALID},
		{SERVICE_BAD_PERMISSION, ERR_DENIED},
	};
	int error = ERR_FAILED;

	for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
		if (strcmp(codes[i].code, http_code(call->http)) == 0) {
			error = codes[i].error;
		}
	}
	fail(call, error, "%s", http_detail(call->http));
}

/* ---- Domains ---- */

void parse_id(const char *id, uint8_t bytes[UUID_BYTES])
{
	size_t i = 0;
	unsigned int value;

	memset(bytes, 0, UUID_BYTES);
	while (*id != '\0' && i < UUID_BYTES) {
		if (*id == '-') {
			id++;
		} else if (sscanf(id, "%2x", &value) == 1 && id[1] != '\0') {
			bytes[i++] = (uint8_t)value;
			id += 2;
		} else {
			return;
		}
	}
}

void text_id(const char *kind, const char *text, uint8_t id[UUID_BYTES])
{
	uint64_t hash[2] = {0xcbf29ce484222325, 0x84222325cbf29ce4}; /* FNV-1a */

	for (; *kind != '\0'; kind++) {
		hash[1] = (hash[1] ^ (uint8_t)*kind) * 0x100000001b3;
	}
	for (; *text != '\0'; text++) {
		hash[0] = (hash[0] ^ (uint8_t)*text) * 0x100000001b3;
		hash[1] = (hash[1] ^ (uint8_t)*text) * 0x100000001b3;
	}
	memcpy(id, hash, UUID_BYTES);
	id[6] = (id[6] & 0x0f) | 0x80; /* the version for what vendors make */
	id[8] = (id[8] & 0x3f) | 0x80;
}

void get_domain(struct call *call, struct domain *domain)
{
	uint8_t id[UUID_BYTES];

	wire_get_text(call->in, domain->name, sizeof(domain->name));
	wire_get_bytes(call->in, id, sizeof(id));
	(void)wire_get(call->in); /* its number, which may be an older one */
	guid_print_be(id, domain->id);
}

int state_of(const json_t *machine)
{
	static const struct {
		const char *word;
		int state;
	} states[] = {
		{"off", STATE_SHUTOFF},
		{"saved", STATE_SHUTOFF},
		{"paused", STATE_PAUSED},
		{"stopping", STATE_SHUTDOWN},
	};
	const char *word = text_of(machine, "state");

	for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
		if (strcmp(states[i].word, word) == 0) {
			return states[i].state;
		}
	}
	return json_is_true(json_object_get(machine, "crashed")) ? STATE_CRASHED : STATE_RUNNING;
}

bool is_running(const json_t *machine)
{
	return state_of(machine) != STATE_SHUTOFF;
}

int number_of(const json_t *machine)
{
	uint8_t id[UUID_BYTES];

	if (state_of(machine) == STATE_SHUTOFF) {
		return -1;
	}
	parse_id(text_of(machine, "id"), id);
	return (id[0] & 0x7f) << 24 | id[1] << 16 | id[2] << 8 | id[3] | 1;
}

void put_domain_to(struct wire_out *out, const json_t *machine)
{
	uint8_t id[UUID_BYTES];

	parse_id(text_of(machine, "id"), id);
	wire_put_text(out, text_of(machine, "name"));
	wire_put_bytes(out, id, sizeof(id));
	wire_put(out, (uint32_t)number_of(machine));
}

void put_domain(struct call *call, const json_t *machine)
{
	put_domain_to(call->out, machine);
}

json_t *ask(struct call *call, const char *method, json_t *body, const char *path, ...)
{
	char whole[512];
	va_list arguments;
	json_t *answer;

	va_start(arguments, path);
	vsnprintf(whole, sizeof(whole), path, arguments);
	va_end(arguments);
	answer = http_ask(call->http, method, whole, body);
	if (answer == NULL) {
		fail_by_service(call);
	}
	return answer;
}

json_t *fetch(struct call *call, const char *name_or_id)
{
	char *segment;
	json_t *machine;

	if (!is_whole(call)) {
		return NULL;
	}
	segment = http_escape(call->http, name_or_id);
	machine = ask(call, "GET", NULL, "/v1/machines/%s", segment);
	free(segment);
	return machine;
}

json_t *fetch_domain(struct call *call)
{
	struct domain domain;

	get_domain(call, &domain);
	return fetch(call, domain.id);
}

void wait_for(struct call *call, json_t *job)
{
	const char *state;

	while (job != NULL && ((state = text_of(job, "state")),
			       strcmp(state, "queued") == 0 || strcmp(state, "running") == 0)) {
		json_int_t number = json_integer_value(json_object_get(job, "id"));

		json_decref(job);
		job = ask(call, "GET", NULL, "/v1/jobs/%" JSON_INTEGER_FORMAT "?wait=%d", number,
			  WAIT_SECONDS);
		session_attend(call->session);
	}
	if (job != NULL && strcmp(text_of(job, "state"), "done") != 0) {
		const json_t *error = json_object_get(job, "error");
		bool wrong_state = strcmp(text_of(error, "code"), SERVICE_BAD_STATE) == 0;

		fail(call, wrong_state ? ERR_INVALID : ERR_FAILED, "%s", text_of(error, "detail"));
	}
	json_decref(job);
}

void act_on(struct call *call, const char *id, const char *action)
{
	wait_for(call, ask(call, "POST", json_object(), "/v1/machines/%s/actions/%s", id, action));
}

/* The call is answered when it is done. */
static void act(struct call *call)
{
	struct domain domain;

	get_domain(call, &domain);
	if (is_whole(call)) {
		act_on(call, domain.id, call->action);
	}
}

/* ---- The connection, the host ---- */

void put_nothing(struct call *call)
{
	(void)call;
}

/* The name, which is in the socket's path already; then VIR_CONNECT_RO. */
static void open_connection(struct call *call)
{
	free(wire_get_optional(call->in, WIRE_STRING_MAX));
	if (wire_get(call->in) & 1) {
		call->session->read_only = true;
	}
	(void)is_whole(call);
}

static void close_connection(struct call *call)
{
	call->closes = true;
}

/* The socket's owner and mode, and what the kernel says of who connects, are enough. */
static void list_auth(struct call *call)
{
	wire_put(call->out, 1);
	wire_put(call->out, 0); /* REMOTE_AUTH_NONE */
}

void put_no(struct call *call)
{
	wire_put(call->out, 0);
}

static void put_yes(struct call *call)
{
	wire_put(call->out, 1);
}

/* VIR_DRV_FEATURE_PROGRAM_KEEPALIVE, REMOTE_EVENT_CALLBACK, REMOTE_CLOSE_CALLBACK */
static void supports_feature(struct call *call)
{
	uint32_t feature = wire_get(call->in);

	wire_put(call->out, feature == 10 || feature == 14 || feature == 15);
}

static void get_type(struct call *call)
{
	wire_put_text(call->out, "Verdigris");
}

static void get_version(struct call *call)
{
	wire_put_long(call->out, VERSION);
}

static void get_uri(struct call *call)
{
	wire_put_text(call->out, call->session->uri);
}

static json_t *fetch_host(struct call *call)
{
	return ask(call, "GET", NULL, "/v1/host");
}

const char *store_of(struct call *call)
{
	json_t *host = call->session->store == NULL ? fetch_host(call) : NULL;

	if (host != NULL) {
		call->session->store = strdup(text_of(host, "store"));
	}
	json_decref(host);
	return call->session->store != NULL ? call->session->store : "";
}

void folder_of(struct call *call, const json_t *machine, char folder[1024])
{
	snprintf(folder, 1024, "%s/%s", store_of(call), text_of(machine, "name"));
}

static void get_hostname(struct call *call)
{
	json_t *host = fetch_host(call);

	wire_put_text(call->out, text_of(host, "name"));
	json_decref(host);
}

static void get_capabilities(struct call *call)
{
	json_t *host = fetch_host(call);
	char *xml = host != NULL ? xml_capabilities(host) : NULL;

	wire_put_text(call->out, xml != NULL ? xml : "");
	free(xml);
	json_decref(host);
}

static void get_domain_capabilities(struct call *call)
{
	char *xml = xml_domain_capabilities();

	wire_put_text(call->out, xml != NULL ? xml : "");
	free(xml);
}

static void get_node_info(struct call *call)
{
	json_t *host = fetch_host(call);
	uint32_t lps = (uint32_t)json_integer_value(json_object_get(host, "lps")), i;
	static const char model[MODEL_CHARS] = "x86_64";
	/* char model[32]: each a word; KiB; then cpus, MHz, nodes, sockets, cores, threads */
	const uint32_t rest[] = {lps, 0, 1, 1, lps, 1};

	for (i = 0; i < MODEL_CHARS; i++) {
		wire_put(call->out, (uint32_t)model[i]);
	}
	wire_put_long(call->out,
		      (uint64_t)json_integer_value(json_object_get(host, "memory")) / 1024);
	for (i = 0; i < ARRAY_COUNT(rest); i++) {
		wire_put(call->out, rest[i]);
	}
	json_decref(host);
}

/* ---- Domains ---- */

bool is_wanted(const json_t *machine, uint32_t flags)
{
	int state = state_of(machine);
	bool active = state != STATE_SHUTOFF,
	     saved = strcmp(text_of(machine, "state"), "saved") == 0;
	const uint32_t groups[][2] = {
		/* of each group that has a flag set one must fit */
		{LIST_ACTIVE | LIST_INACTIVE, active ? LIST_ACTIVE : LIST_INACTIVE},
		{LIST_PERSISTENT | LIST_TRANSIENT,
		 json_is_true(json_object_get(machine, "transient")) ? LIST_TRANSIENT
								     : LIST_PERSISTENT},
		{LIST_RUNNING | LIST_PAUSED | LIST_SHUTOFF | LIST_OTHER,
		 state == STATE_RUNNING  ? LIST_RUNNING
		 : state == STATE_PAUSED ? LIST_PAUSED
		 : !active               ? LIST_SHUTOFF
					 : LIST_OTHER},
		{LIST_MANAGEDSAVE | LIST_NO_MANAGEDSAVE,
		 saved ? LIST_MANAGEDSAVE : LIST_NO_MANAGEDSAVE},
	};

	for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
		if ((flags & groups[i][0]) && !(flags & groups[i][1])) {
			return false;
		}
	}
	return true;
}

static void list_all(struct call *call)
{
	bool need = wire_get(call->in) != 0;
	uint32_t flags = wire_get(call->in), count = 0;
	json_t *answer = http_ask(call->http, "GET", "/v1/machines", NULL), *machine;
	const json_t *list = json_object_get(answer, "machines");
	size_t index;

	if (answer == NULL) {
		fail_by_service(call);
		return;
	}
	json_array_foreach((json_t *)list, index, machine)
	{
		count += is_wanted(machine, flags);
	}
	wire_put(call->out, need ? count : 0);
	json_array_foreach((json_t *)list, index, machine)
	{
		if (need && is_wanted(machine, flags)) {
			put_domain(call, machine);
		}
	}
	wire_put(call->out, count);
	json_decref(answer);
}

/* The older lists: those that run, by their numbers, or the others, by their names. */
static json_t *fetch_list(struct call *call, uint32_t flags, uint32_t most)
{
	json_t *answer = ask(call, "GET", NULL, "/v1/machines"), *wanted = json_array(), *machine;
	size_t i;

	json_array_foreach(json_object_get(answer, "machines"), i, machine)
	{
		if (is_wanted(machine, flags) && json_array_size(wanted) < most) {
			json_array_append(wanted, machine);
		}
	}
	json_decref(answer);
	wire_put(call->out, (uint32_t)json_array_size(wanted));
	return wanted;
}

static void count_active(struct call *call)
{
	json_decref(fetch_list(call, LIST_ACTIVE, UINT32_MAX));
}

static void count_defined(struct call *call)
{
	json_decref(fetch_list(call, LIST_INACTIVE, UINT32_MAX));
}

static void list_active(struct call *call)
{
	json_t *list = fetch_list(call, LIST_ACTIVE, wire_get(call->in)), *machine;
	size_t i;

	json_array_foreach(list, i, machine)
	{
		wire_put(call->out, (uint32_t)number_of(machine));
	}
	json_decref(list);
}

static void list_defined(struct call *call)
{
	json_t *list = fetch_list(call, LIST_INACTIVE, wire_get(call->in)), *machine;
	size_t i;

	json_array_foreach(list, i, machine)
	{
		wire_put_text(call->out, text_of(machine, "name"));
	}
	json_decref(list);
}

static void put_found(struct call *call, json_t *machine)
{
	if (machine != NULL) {
		put_domain(call, machine);
	}
	json_decref(machine);
}

static void look_up_by_name(struct call *call)
{
	char name[SERVICE_NAME_MAX + 1];

	wire_get_text(call->in, name, sizeof(name));
	if (call->in->bad) {
		fail(call, ERR_NO_DOMAIN, "there is no machine of such a name");
		return;
	}
	put_found(call, fetch(call, name));
}

static void look_up_by_uuid(struct call *call)
{
	uint8_t bytes[UUID_BYTES];
	char id[GUID_TEXT];

	wire_get_bytes(call->in, bytes, sizeof(bytes));
	guid_print_be(bytes, id);
	put_found(call, fetch(call, id));
}

static void look_up_by_id(struct call *call)
{
	int number = (int)wire_get(call->in);
	json_t *answer = http_ask(call->http, "GET", "/v1/machines", NULL), *machine, *found = NULL;
	size_t i;

	json_array_foreach(json_object_get(answer, "machines"), i, machine)
	{
		if (number_of(machine) == number && number > 0) {
			found = machine;
		}
	}
	if (found != NULL) {
		put_domain(call, found);
	} else {
		fail(call, ERR_NO_DOMAIN, "no machine that runs has this number");
	}
	json_decref(answer);
}

static void get_state(struct call *call)
{
	json_t *machine = fetch_domain(call);

	wire_put(call->out, (uint32_t)state_of(machine));
	wire_put(call->out, 0); /* the reason: unknown */
	json_decref(machine);
}

static void get_info(struct call *call)
{
	json_t *machine = fetch_domain(call);

	wire_put(call->out, (uint32_t)state_of(machine));
	wire_put_long(call->out, xml_memory_most(machine) / 1024);
	wire_put_long(call->out, xml_memory(machine) / 1024);
	wire_put(call->out, (uint32_t)json_integer_value(json_object_get(machine, "vps")));
	wire_put_long(call->out,
		      (uint64_t)(json_number_value(json_object_get(machine, "cpu-seconds")) *
				 1000000000));
	json_decref(machine);
}

static void get_xml(struct call *call)
{
	json_t *machine = fetch_domain(call);
	bool inactive = wire_get(call->in) & 2; /* VIR_DOMAIN_XML_INACTIVE */
	char folder[1024], *xml;

	folder_of(call, machine, folder);
	xml = machine != NULL ? xml_domain(machine, inactive ? -1 : number_of(machine), folder)
			      : NULL;
	wire_put_text(call->out, xml != NULL ? xml : "");
	free(xml);
	json_decref(machine);
}

static void get_os_type(struct call *call)
{
	wire_put_text(call->out, "hvm");
}

static void is_active(struct call *call)
{
	json_t *machine = fetch_domain(call);

	wire_put(call->out, is_running(machine));
	json_decref(machine);
}

static void is_persistent(struct call *call)
{
	json_t *machine = fetch_domain(call);

	wire_put(call->out, !json_is_true(json_object_get(machine, "transient")));
	json_decref(machine);
}

static void get_autostart(struct call *call)
{
	json_t *machine = fetch_domain(call);
	const json_t *document = json_object_get(machine, "document");

	wire_put(call->out, strcmp(text_of(document, "start"), "always") == 0);
	json_decref(machine);
}

/* The answer is the machine; a change that takes its worker long is a job by then. */
void change(struct call *call, const char *id, json_t *patch)
{
	json_t *answer = ask(call, "PATCH", patch, "/v1/machines/%s", id);

	if (json_is_integer(json_object_get(answer, "id"))) {
		wait_for(call, answer);
	} else {
		json_decref(answer);
	}
}

static void set_autostart(struct call *call)
{
	struct domain domain;
	bool on;

	get_domain(call, &domain);
	on = wire_get(call->in) != 0;
	if (!is_whole(call)) {
		return;
	}
	change(call, domain.id, json_pack("{s:s}", "start", on ? "always" : "never"));
}

static void has_managed_save(struct call *call)
{
	json_t *machine = fetch_domain(call);

	wire_put(call->out, strcmp(text_of(machine, "state"), "saved") == 0);
	json_decref(machine);
}

/* With flags, it answers the domain. */
static void start_with_flags(struct call *call)
{
	struct wire_in again = *call->in;

	act(call);
	if (call->error == 0) {
		*call->in = again;
		put_found(call, fetch_domain(call));
	}
}

/* One at a time: the client's packets say only which call it was. */
static void open_console(struct call *call)
{
	struct domain domain;
	char path[512];

	get_domain(call,
		   &domain); /* behind it the device's name, of which there is one, and flags */
	if (call->in->bad || call->session->console >= 0) {
		fail(call, ERR_INVALID, "a console is open on this connection already");
		return;
	}
	snprintf(path, sizeof(path), "/v1/machines/%s/console", domain.id);
	call->session->console = http_console(call->session->socket, path);
	if (call->session->console < 0) {
		fail(call, ERR_INVALID,
		     "the machine has no console: it does not run, or it is elsewhere");
	}
	call->session->stream = *call->header;
	call->session->stream.type = WIRE_STREAM;
}

/* clang-format off */
static const struct {
	uint32_t procedure;
	bool changes; /* not of a client that says it only looks */
	void (*serve)(struct call *call);
	const char *action; /* that is asked of the service */
} calls[] = {
	{1, false, open_connection, NULL}, /* CONNECT_OPEN */
	{2, false, close_connection, NULL}, /* CONNECT_CLOSE */
	{3, false, get_type, NULL}, /* CONNECT_GET_TYPE */
	{4, false, get_version, NULL}, /* CONNECT_GET_VERSION */
	{5, false, get_most_vcpus, NULL}, /* CONNECT_GET_MAX_VCPUS */
	{6, false, get_node_info, NULL}, /* NODE_GET_INFO */
	{7, false, get_capabilities, NULL}, /* CONNECT_GET_CAPABILITIES */
	{8, true, attach_device, NULL}, /* DOMAIN_ATTACH_DEVICE */
	{9, true, act, "start"}, /* DOMAIN_CREATE */
	{10, true, create_domain, NULL}, /* DOMAIN_CREATE_XML */
	{11, true, define_domain, NULL}, /* DOMAIN_DEFINE_XML */
	{12, true, act, "turn-off"}, /* DOMAIN_DESTROY */
	{13, true, detach_device, NULL}, /* DOMAIN_DETACH_DEVICE */
	{14, false, get_xml, NULL}, /* DOMAIN_GET_XML_DESC */
	{15, false, get_autostart, NULL}, /* DOMAIN_GET_AUTOSTART */
	{16, false, get_info, NULL}, /* DOMAIN_GET_INFO */
	{17, false, get_most_memory, NULL}, /* DOMAIN_GET_MAX_MEMORY */
	{18, false, get_vcpus_count, NULL}, /* DOMAIN_GET_MAX_VCPUS */
	{19, false, get_os_type, NULL}, /* DOMAIN_GET_OS_TYPE */
	{20, false, get_vcpus, NULL}, /* DOMAIN_GET_VCPUS */
	{21, false, list_defined, NULL}, /* CONNECT_LIST_DEFINED_DOMAINS */
	{22, false, look_up_by_id, NULL}, /* DOMAIN_LOOKUP_BY_ID */
	{23, false, look_up_by_name, NULL}, /* DOMAIN_LOOKUP_BY_NAME */
	{24, false, look_up_by_uuid, NULL}, /* DOMAIN_LOOKUP_BY_UUID */
	{25, false, count_defined, NULL}, /* CONNECT_NUM_OF_DEFINED_DOMAINS */
	{27, true, act, "restart"}, /* DOMAIN_REBOOT */
	{28, true, act, "resume"}, /* DOMAIN_RESUME */
	{29, true, set_autostart, NULL}, /* DOMAIN_SET_AUTOSTART */
	{30, true, set_most_memory, NULL}, /* DOMAIN_SET_MAX_MEMORY */
	{31, true, set_memory, NULL}, /* DOMAIN_SET_MEMORY */
	{32, true, set_vcpus, NULL}, /* DOMAIN_SET_VCPUS */
	{33, true, act, "shutdown"}, /* DOMAIN_SHUTDOWN */
	{34, true, act, "pause"}, /* DOMAIN_SUSPEND */
	{35, true, undefine, NULL}, /* DOMAIN_UNDEFINE */
	{36, false, put_no, NULL}, /* CONNECT_LIST_DEFINED_NETWORKS */
	{37, false, list_active, NULL}, /* CONNECT_LIST_DOMAINS */
	{38, false, list_network_names, NULL}, /* CONNECT_LIST_NETWORKS */
	{40, true, create_network, NULL}, /* NETWORK_CREATE_XML */
	{42, true, remove_network, NULL}, /* NETWORK_DESTROY */
	{43, false, get_network_xml, NULL}, /* NETWORK_GET_XML_DESC */
	{44, false, network_no, NULL}, /* NETWORK_GET_AUTOSTART */
	{46, false, look_up_network, NULL}, /* NETWORK_LOOKUP_BY_NAME */
	{47, false, look_up_network_by_uuid, NULL}, /* NETWORK_LOOKUP_BY_UUID */
	{50, false, put_no, NULL}, /* CONNECT_NUM_OF_DEFINED_NETWORKS */
	{51, false, count_active, NULL}, /* CONNECT_NUM_OF_DOMAINS */
	{52, false, count_networks, NULL}, /* CONNECT_NUM_OF_NETWORKS */
	{59, false, get_hostname, NULL}, /* CONNECT_GET_HOSTNAME */
	{60, false, supports_feature, NULL}, /* CONNECT_SUPPORTS_FEATURE */
	{64, false, get_block_stats, NULL}, /* DOMAIN_BLOCK_STATS */
	{65, false, get_interface_stats, NULL}, /* DOMAIN_INTERFACE_STATS */
	{66, false, list_auth, NULL}, /* AUTH_LIST */
	{71, false, count_pools, NULL}, /* CONNECT_NUM_OF_STORAGE_POOLS */
	{72, false, list_pool_names, NULL}, /* CONNECT_LIST_STORAGE_POOLS */
	{73, false, put_no, NULL}, /* CONNECT_NUM_OF_DEFINED_STORAGE_POOLS */
	{74, false, put_no, NULL}, /* CONNECT_LIST_DEFINED_STORAGE_POOLS */
	{76, true, create_pool, NULL}, /* STORAGE_POOL_CREATE_XML */
	{77, true, create_pool, NULL}, /* STORAGE_POOL_DEFINE_XML */
	{78, true, pool_nothing, NULL}, /* STORAGE_POOL_CREATE */
	{79, true, pool_nothing, NULL}, /* STORAGE_POOL_BUILD */
	{80, true, forget_pool, NULL}, /* STORAGE_POOL_DESTROY */
	{82, true, forget_pool, NULL}, /* STORAGE_POOL_UNDEFINE */
	{83, false, pool_nothing, NULL}, /* STORAGE_POOL_REFRESH */
	{84, false, look_up_pool, NULL}, /* STORAGE_POOL_LOOKUP_BY_NAME */
	{85, false, look_up_pool_by_uuid, NULL}, /* STORAGE_POOL_LOOKUP_BY_UUID */
	{86, false, look_up_pool_by_volume, NULL}, /* STORAGE_POOL_LOOKUP_BY_VOLUME */
	{87, false, get_pool_info, NULL}, /* STORAGE_POOL_GET_INFO */
	{88, false, get_pool_xml, NULL}, /* STORAGE_POOL_GET_XML_DESC */
	{89, false, pool_yes, NULL}, /* STORAGE_POOL_GET_AUTOSTART */
	{90, true, pool_nothing, NULL}, /* STORAGE_POOL_SET_AUTOSTART */
	{91, false, count_volumes, NULL}, /* STORAGE_POOL_NUM_OF_VOLUMES */
	{92, false, list_volume_names, NULL}, /* STORAGE_POOL_LIST_VOLUMES */
	{93, true, create_volume, NULL}, /* STORAGE_VOL_CREATE_XML */
	{94, true, delete_volume, NULL}, /* STORAGE_VOL_DELETE */
	{95, false, look_up_volume, NULL}, /* STORAGE_VOL_LOOKUP_BY_NAME */
	{96, false, look_up_volume_by_path, NULL}, /* STORAGE_VOL_LOOKUP_BY_KEY */
	{97, false, look_up_volume_by_path, NULL}, /* STORAGE_VOL_LOOKUP_BY_PATH */
	{98, false, get_volume_info, NULL}, /* STORAGE_VOL_GET_INFO */
	{99, false, get_volume_xml, NULL}, /* STORAGE_VOL_GET_XML_DESC */
	{100, false, get_volume_path, NULL}, /* STORAGE_VOL_GET_PATH */
	{101, false, get_cells_memory, NULL}, /* NODE_GET_CELLS_FREE_MEMORY */
	{102, false, get_free_memory, NULL}, /* NODE_GET_FREE_MEMORY */
	{110, false, get_uri, NULL}, /* CONNECT_GET_URI */
	{149, false, put_yes, NULL}, /* CONNECT_IS_SECURE */
	{150, false, is_active, NULL}, /* DOMAIN_IS_ACTIVE */
	{151, false, is_persistent, NULL}, /* DOMAIN_IS_PERSISTENT */
	{152, false, network_yes, NULL}, /* NETWORK_IS_ACTIVE */
	{153, false, network_no, NULL}, /* NETWORK_IS_PERSISTENT */
	{154, false, pool_yes, NULL}, /* STORAGE_POOL_IS_ACTIVE */
	{155, false, pool_yes, NULL}, /* STORAGE_POOL_IS_PERSISTENT */
	{157, false, get_version, NULL}, /* CONNECT_GET_LIB_VERSION */
	{159, false, get_memory_stats, NULL}, /* DOMAIN_MEMORY_STATS */
	{160, true, attach_device_with_flags, NULL}, /* DOMAIN_ATTACH_DEVICE_FLAGS */
	{161, true, detach_device_with_flags, NULL}, /* DOMAIN_DETACH_DEVICE_FLAGS */
	{163, false, get_job_info, NULL}, /* DOMAIN_GET_JOB_INFO */
	{174, true, update_device, NULL}, /* DOMAIN_UPDATE_DEVICE_FLAGS */
	{182, true, act, "save"}, /* DOMAIN_MANAGED_SAVE */
	{183, false, has_managed_save, NULL}, /* DOMAIN_HAS_MANAGED_SAVE_IMAGE */
	{184, true, act, "discard-state"}, /* DOMAIN_MANAGED_SAVE_REMOVE */
	{185, true, take_snapshot, NULL}, /* DOMAIN_SNAPSHOT_CREATE_XML */
	{186, false, get_snapshot_xml, NULL}, /* DOMAIN_SNAPSHOT_GET_XML_DESC */
	{187, false, count_snapshots, NULL}, /* DOMAIN_SNAPSHOT_NUM */
	{188, false, list_snapshot_names, NULL}, /* DOMAIN_SNAPSHOT_LIST_NAMES */
	{189, false, look_up_snapshot, NULL}, /* DOMAIN_SNAPSHOT_LOOKUP_BY_NAME */
	{190, false, has_current_snapshot, NULL}, /* DOMAIN_HAS_CURRENT_SNAPSHOT */
	{191, false, get_current_snapshot, NULL}, /* DOMAIN_SNAPSHOT_CURRENT */
	{192, true, revert_to_snapshot, NULL}, /* DOMAIN_REVERT_TO_SNAPSHOT */
	{193, true, delete_snapshot, NULL}, /* DOMAIN_SNAPSHOT_DELETE */
	{194, false, get_block_info, NULL}, /* DOMAIN_GET_BLOCK_INFO */
	{196, true, start_with_flags, "start"}, /* DOMAIN_CREATE_WITH_FLAGS */
	{199, true, set_vcpus_with_flags, NULL}, /* DOMAIN_SET_VCPUS_FLAGS */
	{200, false, get_vcpus_count, NULL}, /* DOMAIN_GET_VCPUS_FLAGS */
	{201, true, open_console, NULL}, /* DOMAIN_OPEN_CONSOLE */
	{204, true, set_memory_with_flags, NULL}, /* DOMAIN_SET_MEMORY_FLAGS */
	{211, true, take_screenshot, NULL}, /* DOMAIN_SCREENSHOT */
	{212, false, get_state, NULL}, /* DOMAIN_GET_STATE */
	{226, true, send_keys, NULL}, /* DOMAIN_SEND_KEY */
	{228, false, get_node_memory, NULL}, /* NODE_GET_MEMORY_STATS */
	{229, false, get_control_info, NULL}, /* DOMAIN_GET_CONTROL_INFO */
	{231, true, undefine_with_flags, NULL}, /* DOMAIN_UNDEFINE_FLAGS */
	{234, true, act, "turn-off"}, /* DOMAIN_DESTROY_FLAGS */
	{243, false, get_block_stats_with_flags, NULL}, /* DOMAIN_BLOCK_STATS_FLAGS */
	{244, false, get_snapshot_parent, NULL}, /* DOMAIN_SNAPSHOT_GET_PARENT */
	{245, true, act, "reset"}, /* DOMAIN_RESET */
	{246, false, count_snapshot_children, NULL}, /* DOMAIN_SNAPSHOT_NUM_CHILDREN */
	{247, false, list_snapshot_children_names, NULL}, /* DOMAIN_SNAPSHOT_LIST_CHILDREN_NAMES */
	{258, true, act, "shutdown"}, /* DOMAIN_SHUTDOWN_FLAGS */
	{260, true, resize_volume, NULL}, /* STORAGE_VOL_RESIZE */
	{262, false, get_cpu_stats, NULL}, /* DOMAIN_GET_CPU_STATS */
	{264, true, set_metadata, NULL}, /* DOMAIN_SET_METADATA */
	{265, false, get_metadata, NULL}, /* DOMAIN_GET_METADATA */
	{271, false, snapshot_is_current, NULL}, /* DOMAIN_SNAPSHOT_IS_CURRENT */
	{272, false, snapshot_has_metadata, NULL}, /* DOMAIN_SNAPSHOT_HAS_METADATA */
	{273, false, list_all, NULL}, /* CONNECT_LIST_ALL_DOMAINS */
	{274, false, list_snapshots, NULL}, /* DOMAIN_LIST_ALL_SNAPSHOTS */
	{275, false, list_snapshot_children, NULL}, /* DOMAIN_SNAPSHOT_LIST_ALL_CHILDREN */
	{281, false, list_pools, NULL}, /* CONNECT_LIST_ALL_STORAGE_POOLS */
	{282, false, list_volumes, NULL}, /* STORAGE_POOL_LIST_ALL_VOLUMES */
	{283, false, list_networks, NULL}, /* CONNECT_LIST_ALL_NETWORKS */
	{293, false, get_cpu_map, NULL}, /* NODE_GET_CPU_MAP */
	{298, false, get_job_stats, NULL}, /* DOMAIN_GET_JOB_STATS */
	{316, false, register_event, NULL}, /* CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY */
	{317, false, deregister_event, NULL}, /* CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY */
	{342, false, get_domain_capabilities, NULL}, /* CONNECT_GET_DOMAIN_CAPABILITIES */
	{344, false, get_all_stats, NULL}, /* CONNECT_GET_ALL_DOMAIN_STATS */
	{350, true, define_domain, NULL}, /* DOMAIN_DEFINE_XML_FLAGS */
	{353, false, get_addresses, NULL}, /* DOMAIN_INTERFACE_ADDRESSES */
	{358, true, rename_domain, NULL}, /* DOMAIN_RENAME */
	{360, false, put_nothing, NULL}, /* CONNECT_REGISTER_CLOSE_CALLBACK */
	{361, false, put_nothing, NULL}, /* CONNECT_UNREGISTER_CLOSE_CALLBACK */
	{378, false, get_volume_info_with_flags, NULL}, /* STORAGE_VOL_GET_INFO_FLAGS */
	{391, false, look_up_pool_by_path, NULL}, /* STORAGE_POOL_LOOKUP_BY_TARGET_PATH */
};
/* clang-format on */

/* ---- Parameters ---- */

static void put_param(struct wire_out *out, const char *name, uint32_t type)
{
	wire_put_text(out, name);
	wire_put(out, type);
}

void put_param_int(struct wire_out *out, const char *name, int32_t value)
{
	put_param(out, name, 1);
	wire_put(out, (uint32_t)value);
}

void put_param_uint(struct wire_out *out, const char *name, uint32_t value)
{
	put_param(out, name, 2);
	wire_put(out, value);
}

void put_param_long(struct wire_out *out, const char *name, int64_t value)
{
	put_param(out, name, 3);
	wire_put_long(out, (uint64_t)value);
}

void put_param_ulong(struct wire_out *out, const char *name, uint64_t value)
{
	put_param(out, name, 4);
	wire_put_long(out, value);
}

void put_param_text(struct wire_out *out, const char *name, const char *value)
{
	put_param(out, name, 7);
	wire_put_text(out, value);
}

/* remote_error: its optional members are not there but for the message, which is str1 too. */
static void put_error(struct call *call)
{
	struct wire_out *out = call->out;

	out->length = 0;
	wire_put(out, (uint32_t)call->error);
	wire_put(out, FROM_REMOTE);
	wire_put(out, 1);
	wire_put_text(out, call->message);
	wire_put(out, LEVEL_ERROR);
	wire_put(out, 0); /* domain */
	wire_put(out, 1);
	wire_put_text(out, call->message);
	wire_put(out, 0); /* str2 */
	wire_put(out, 0); /* str3 */
	wire_put(out, 0); /* int1, int2 */
	wire_put(out, 0);
	wire_put(out, 0); /* network */
}

bool call_serve(struct session *session, const struct wire_header *header, struct wire_in *in,
		struct wire_out *out, struct wire_header *answer)
{
	struct call call = {
		.session = session, .http = session->http, .header = header, .in = in, .out = out};
	size_t i = 0;

	while (i < ARRAY_COUNT(calls) && calls[i].procedure != header->procedure) {
		i++;
	}
	if (header->program != WIRE_PROGRAM || header->version != PROGRAM_VERSION ||
	    header->type != WIRE_CALL) {
		fail(&call, ERR_RPC, "this is no call of libvirt's remote program");
	} else if (i == ARRAY_COUNT(calls)) {
		fail(&call, ERR_NO_SUPPORT, "this is not supported by Verdigris yet");
	} else if (calls[i].changes && session->read_only) {
		fail(&call, ERR_DENIED, "this connection is for looking only");
	} else {
		call.action = calls[i].action;
		calls[i].serve(&call);
	}
	*answer = *header;
	answer->type = WIRE_REPLY;
	answer->status = call.error != 0 ? WIRE_ERROR : WIRE_OK;
	if (call.error != 0) {
		put_error(&call);
	}
	return !call.closes;
}
