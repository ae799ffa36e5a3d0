/*
 * What each call of libvirt's remote program becomes (its numbers and the members of its messages: libvirt's remote_protocol.x). What is not in
 * the table is answered by VIR_ERR_NO_SUPPORT, after which clients do without.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/bytes.h"
#include "include/mgmt/service.h"
#include "lib/check.h"
#include "libvirt/libvirt.h"

#define PROGRAM         0x20008086u /* REMOTE_PROGRAM */
#define PROGRAM_VERSION 1u
#define VERSION         9000000u /* of libvirt, that we speak as */
#define MODEL_CHARS     32

/* virErrorNumber, virErrorDomain, virErrorLevel */
enum {
	ERR_INTERNAL = 1,
	ERR_NO_SUPPORT = 3,
	ERR_FAILED = 9,
	ERR_DENIED = 29,
	ERR_RPC = 39,
	ERR_NO_DOMAIN = 42,
	ERR_INVALID = 55
};
enum { FROM_REMOTE = 13, LEVEL_ERROR = 2 };
/* virDomainState */
enum { STATE_NONE, STATE_RUNNING, STATE_PAUSED = 3, STATE_SHUTDOWN, STATE_SHUTOFF, STATE_CRASHED };
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

struct call {
	struct session *session;
	struct http *http; /* the session's */
	const struct wire_header *header;
	struct wire_in *in;
	struct wire_out *out;
	const char *action; /* that it asks for, NULL: none */
	int error;          /* 0: none */
	char message[600];
	bool closes;
};

/* A domain as the client names it. */
struct domain {
	char name[SERVICE_NAME_MAX + 1];
	char id[GUID_TEXT];
};

static void fail(struct call *call, int error, const char *message)
{
	call->error = error;
	snprintf(call->message, sizeof(call->message), "%s", message);
}

/* False: what was read of the message was not what it should be, and the call has failed. */
static bool is_whole(struct call *call)
{
	if (call->in->bad) {
		fail(call, ERR_RPC, "the message is not as this call's should be");
	}
	return !call->in->bad;
}

/* By what the service said. */
static void fail_by_service(struct call *call)
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
	fail(call, error, http_detail(call->http));
}

/* ---- Domains ---- */

static void parse_id(const char *id, uint8_t bytes[UUID_BYTES])
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

static void get_domain(struct call *call, struct domain *domain)
{
	uint8_t id[UUID_BYTES];

	wire_get_text(call->in, domain->name, sizeof(domain->name));
	wire_get_bytes(call->in, id, sizeof(id));
	(void)wire_get(call->in); /* its number, which may be an older one */
	guid_print_be(id, domain->id);
}

static int state_of(const json_t *machine)
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

/* A number for one that runs: libvirt's clients show it and look for it. */
static int number_of(const json_t *machine)
{
	uint8_t id[UUID_BYTES];

	if (state_of(machine) == STATE_SHUTOFF) {
		return -1;
	}
	parse_id(text_of(machine, "id"), id);
	return (id[0] & 0x7f) << 24 | id[1] << 16 | id[2] << 8 | id[3] | 1;
}

static void put_domain(struct call *call, const json_t *machine)
{
	uint8_t id[UUID_BYTES];

	parse_id(text_of(machine, "id"), id);
	wire_put_text(call->out, text_of(machine, "name"));
	wire_put_bytes(call->out, id, sizeof(id));
	wire_put(call->out, (uint32_t)number_of(machine));
}

/* NULL: the call has failed. */
static json_t *fetch(struct call *call, const char *name_or_id)
{
	char *segment, path[512];
	json_t *machine;

	if (!is_whole(call)) {
		return NULL;
	}
	segment = http_escape(call->http, name_or_id);
	snprintf(path, sizeof(path), "/v1/machines/%s", segment);
	free(segment);
	machine = http_ask(call->http, "GET", path, NULL);
	if (machine == NULL) {
		fail_by_service(call);
	}
	return machine;
}

static json_t *fetch_domain(struct call *call)
{
	struct domain domain;

	get_domain(call, &domain);
	return fetch(call, domain.id);
}

/* Until the job has ended: the call is answered when it is done. */
static void act(struct call *call)
{
	struct domain domain;
	char path[512];
	const char *state;
	json_t *job;

	get_domain(call, &domain);
	if (!is_whole(call)) {
		return;
	}
	snprintf(path, sizeof(path), "/v1/machines/%s/actions/%s", domain.id, call->action);
	job = http_ask(call->http, "POST", path, json_object());
	while (job != NULL && ((state = text_of(job, "state")),
			       strcmp(state, "queued") == 0 || strcmp(state, "running") == 0)) {
		snprintf(path, sizeof(path), "/v1/jobs/%" JSON_INTEGER_FORMAT "?wait=%d",
			 json_integer_value(json_object_get(job, "id")), SERVICE_WAIT_MAX);
		json_decref(job);
		job = http_ask(call->http, "GET", path, NULL);
	}
	if (job == NULL) {
		fail_by_service(call);
	} else if (strcmp(text_of(job, "state"), "done") != 0) {
		const json_t *error = json_object_get(job, "error");
		bool wrong_state = strcmp(text_of(error, "code"), SERVICE_BAD_STATE) == 0;

		fail(call, wrong_state ? ERR_INVALID : ERR_FAILED, text_of(error, "detail"));
	}
	json_decref(job);
}

/* ---- The connection, the host ---- */

static void put_nothing(struct call *call)
{
	(void)call;
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

static void put_no(struct call *call)
{
	wire_put(call->out, 0);
}

static void put_yes(struct call *call)
{
	wire_put(call->out, 1);
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
	json_t *host = http_ask(call->http, "GET", "/v1/host", NULL);

	if (host == NULL) {
		fail_by_service(call);
	}
	return host;
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

static bool is_wanted(const json_t *machine, uint32_t flags)
{
	int state = state_of(machine);
	bool active = state != STATE_SHUTOFF,
	     saved = strcmp(text_of(machine, "state"), "saved") == 0;
	const uint32_t groups[][2] = {
		/* of each group that has a flag set one must fit */
		{LIST_ACTIVE | LIST_INACTIVE, active ? LIST_ACTIVE : LIST_INACTIVE},
		{LIST_PERSISTENT | LIST_TRANSIENT, LIST_PERSISTENT},
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
	wire_put_long(call->out, xml_memory(machine) / 1024);
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
	char *xml = machine != NULL ? xml_domain(machine, number_of(machine)) : NULL;

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

	wire_put(call->out, state_of(machine) != STATE_SHUTOFF);
	json_decref(machine);
}

static void get_autostart(struct call *call)
{
	json_t *machine = fetch_domain(call);
	const json_t *document = json_object_get(machine, "document");

	wire_put(call->out, strcmp(text_of(document, "start"), "always") == 0);
	json_decref(machine);
}

static void change(struct call *call, const char *id, json_t *patch)
{
	char path[512];
	json_t *answer;

	snprintf(path, sizeof(path), "/v1/machines/%s", id);
	answer = http_ask(call->http, "PATCH", path, patch);
	if (answer == NULL) {
		fail_by_service(call);
	}
	json_decref(answer);
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

/* libvirt deletes no disk either. */
static void undefine(struct call *call)
{
	struct domain domain;
	char path[512];
	json_t *answer;

	get_domain(call, &domain);
	if (!is_whole(call)) {
		return;
	}
	snprintf(path, sizeof(path), "/v1/machines/%s", domain.id);
	answer = http_ask(call->http, "DELETE", path, NULL);
	if (answer == NULL) {
		fail_by_service(call);
	}
	json_decref(answer);
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
	void (*serve)(struct call *call);
	const char *action; /* that is asked of the service */
} calls[] = {
	{1,   put_nothing, NULL},       /* CONNECT_OPEN */
	{2,   close_connection, NULL},  /* CONNECT_CLOSE */
	{3,   get_type, NULL},          /* CONNECT_GET_TYPE */
	{4,   get_version, NULL},       /* CONNECT_GET_VERSION */
	{6,   get_node_info, NULL},     /* NODE_GET_INFO */
	{7,   get_capabilities, NULL},  /* CONNECT_GET_CAPABILITIES */
	{9,   act, "start"},             /* DOMAIN_CREATE */
	{12,  act, "turn-off"},          /* DOMAIN_DESTROY */
	{14,  get_xml, NULL},           /* DOMAIN_GET_XML_DESC */
	{15,  get_autostart, NULL},     /* DOMAIN_GET_AUTOSTART */
	{16,  get_info, NULL},          /* DOMAIN_GET_INFO */
	{19,  get_os_type, NULL},       /* DOMAIN_GET_OS_TYPE */
	{22,  look_up_by_id, NULL},     /* DOMAIN_LOOKUP_BY_ID */
	{23,  look_up_by_name, NULL},   /* DOMAIN_LOOKUP_BY_NAME */
	{24,  look_up_by_uuid, NULL},   /* DOMAIN_LOOKUP_BY_UUID */
	{27,  act, "restart"},           /* DOMAIN_REBOOT */
	{28,  act, "resume"},            /* DOMAIN_RESUME */
	{29,  set_autostart, NULL},     /* DOMAIN_SET_AUTOSTART */
	{33,  act, "shutdown"},         /* DOMAIN_SHUTDOWN */
	{34,  act, "pause"},           /* DOMAIN_SUSPEND */
	{35,  undefine, NULL},          /* DOMAIN_UNDEFINE */
	{59,  get_hostname, NULL},      /* CONNECT_GET_HOSTNAME */
	{60,  put_no, NULL},            /* CONNECT_SUPPORTS_FEATURE */
	{66,  list_auth, NULL},         /* AUTH_LIST */
	{110, get_uri, NULL},           /* CONNECT_GET_URI */
	{149, put_yes, NULL},           /* CONNECT_IS_SECURE */
	{150, is_active, NULL},         /* DOMAIN_IS_ACTIVE */
	{151, put_yes, NULL},           /* DOMAIN_IS_PERSISTENT */
	{157, get_version, NULL},       /* CONNECT_GET_LIB_VERSION */
	{182, act, "save"},              /* DOMAIN_MANAGED_SAVE */
	{183, has_managed_save, NULL},  /* DOMAIN_HAS_MANAGED_SAVE_IMAGE */
	{184, act, "discard-state"},           /* DOMAIN_MANAGED_SAVE_REMOVE */
	{196, start_with_flags, "start"},  /* DOMAIN_CREATE_WITH_FLAGS */
	{201, open_console, NULL},      /* DOMAIN_OPEN_CONSOLE */
	{212, get_state, NULL},         /* DOMAIN_GET_STATE */
	{231, undefine, NULL},          /* DOMAIN_UNDEFINE_FLAGS */
	{234, act, "turn-off"},          /* DOMAIN_DESTROY_FLAGS */
	{245, act, "reset"},             /* DOMAIN_RESET */
	{258, act, "shutdown"},         /* DOMAIN_SHUTDOWN_FLAGS */
	{273, list_all, NULL},          /* CONNECT_LIST_ALL_DOMAINS */
};
/* clang-format on */

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
	if (header->program != PROGRAM || header->version != PROGRAM_VERSION ||
	    header->type != WIRE_CALL) {
		fail(&call, ERR_RPC, "this is no call of libvirt's remote program");
	} else if (i == ARRAY_COUNT(calls)) {
		fail(&call, ERR_NO_SUPPORT, "this is not supported by Verdigris yet");
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
