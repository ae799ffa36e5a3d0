/*
 * What the control socket can be asked, one row a method. Names of switches and ports are looked up
 * as they are read, so that a method has what they name; the settings of a port are its own before
 * the request's are read over them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/mgmt/switch.h"
#include "switch/daemon.h"

#define PAGE_BYTES 65536u /* after which an answer's list is ended: it is one packet */

struct parameters {
	struct vswitch *net;
	struct port *port;
	const char *name; /* of what is to be made */
	unsigned int kind;
	uint64_t speed_mbit, from;
	uint32_t max_bytes, index;
	bool extended;
	struct port_settings settings;
	struct rule_read rule;
};

static struct daemon *daemon_of(const struct rpc_request *request)
{
	return request->server;
}

static json_t *by_errno(struct rpc_request *request, const char *what, int ret)
{
	char text[100];

	switch (-ret) {
	case EEXIST:
		snprintf(text, sizeof(text), "%s: in use already", what);
		return rpc_refuse(request, CONTROL_BAD_STATE, text, "give another");
	case ENOSPC:
		snprintf(text, sizeof(text), "%s: there are as many as there may be", what);
		return rpc_refuse(request, CONTROL_BAD_LIMIT, text, "remove one first");
	case EINVAL:
		snprintf(text, sizeof(text), "%s: not possible", what);
		return rpc_refuse(request, CONTROL_BAD_INVALID, text,
				  "names have 1 to 63 characters, addresses are of one station, "
				  "bandwidths are multiples of 8");
	default:
		snprintf(text, sizeof(text), "%s: %s", what, strerror(-ret));
		return rpc_refuse(request, CONTROL_BAD_IO, text, "");
	}
}

/* ---- names ---- */

static bool read_name(struct form *form, const json_t *value, const char **name)
{
	static const struct form_member a_name = {"", FORM_TEXT, .least = 1,
						  .most = SWITCH_NAME_MAX - 1};

	return form_read_value(form, value, &a_name, name);
}

static bool refuse_name(struct form *form, const json_t *value)
{
	struct rpc_request *request = form->user;

	request->code = CONTROL_BAD_NOT_FOUND;
	return form_refuse(form, value, "vswitch list shows those that are", "is not there");
}

static bool read_net(struct form *form, const json_t *value, void *into)
{
	struct parameters *p = into;
	const char *name;

	if (!read_name(form, value, &name)) {
		return false;
	}
	p->net = daemon_find(daemon_of(form->user), name);
	return p->net != NULL || refuse_name(form, value);
}

/* Of the switch that a row before it has read. */
static bool read_port(struct form *form, const json_t *value, void *into)
{
	struct parameters *p = into;
	const char *name;

	if (!read_name(form, value, &name)) {
		return false;
	}
	p->port = vswitch_find_port(p->net, name);
	if (p->port == NULL) {
		return refuse_name(form, value);
	}
	p->settings = p->port->settings;
	return true;
}

static bool read_new(struct form *form, const json_t *value, void *into)
{
	struct parameters *p = into;

	return read_name(form, value, &p->name);
}

/* ---- switches ---- */

static json_t *switch_create(struct rpc_request *request, const struct parameters *p)
{
	struct daemon *daemon = daemon_of(request);
	uint32_t i = 0;
	int ret;

	while (i < DAEMON_SWITCHES && daemon->nets[i] != NULL) {
		i++;
	}
	ret = daemon_find(daemon, p->name) != NULL ? -EEXIST
	      : i == DAEMON_SWITCHES               ? -ENOSPC
						   : vswitch_create(p->name, &daemon->nets[i]);
	if (ret != 0) {
		return by_errno(request, "the switch", ret);
	}
	daemon->net_end = i < daemon->net_end ? daemon->net_end : i + 1;
	daemon->nets[i]->speed_bits = p->speed_mbit * 1000000;
	daemon->nets[i]->extensions = &daemon->extensions;
	return json_object();
}

static json_t *switch_remove(struct rpc_request *request, const struct parameters *p)
{
	struct daemon *daemon = daemon_of(request);

	while (p->net->port_count != 0) {
		plug_remove(plug_of(daemon, p->net->ports[p->net->used[0]]));
	}
	for (uint32_t i = 0; i < DAEMON_SWITCHES; i++) {
		if (daemon->nets[i] == p->net) {
			vswitch_destroy(&daemon->nets[i]);
			break;
		}
	}
	return json_object();
}

static json_t *switch_list(struct rpc_request *request, const struct parameters *p)
{
	json_t *list = json_array();

	(void)p;
	for (uint32_t i = 0; i < DAEMON_SWITCHES; i++) {
		const struct vswitch *net = daemon_of(request)->nets[i];

		if (net != NULL) {
			json_array_append_new(
				list, json_pack("{s:s, s:I, s:i}", "switch", net->name, "speed",
						(json_int_t)(net->speed_bits / 1000000), "ports",
						(int)net->port_count));
		}
	}
	return json_pack("{s:o}", "switches", list);
}

/* ---- ports ---- */

static json_t *refuse_function(struct rpc_request *request, const char *obstacle)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "the port's guest would send past the switch, by a virtual function, and it has "
		 "%s, "
		 "which a card does not keep",
		 obstacle);
	return rpc_refuse(request, CONTROL_BAD_STATE, text, "choose one of the two");
}

/* 0, or refused. */
static int apply(struct rpc_request *request, struct port *port,
		 const struct port_settings *settings)
{
	int ret = port_set(port, settings);

	if (ret == -ENOTSUP) {
		refuse_function(request, port_obstacle(port, settings));
	} else if (ret != 0) {
		by_errno(request, ret == -EEXIST ? "the address" : "the settings", ret);
	}
	return ret;
}

static const char *const kinds[] = {"guest", "tap", "packet", "link", NULL};
enum { KIND_GUEST };

/* NULL: refused. */
static struct port *add(struct rpc_request *request, const struct parameters *p)
{
	const char *kind = kinds[p->kind];
	struct port *port;
	char text[160];
	int ret;

	if (p->kind == KIND_GUEST) {
		ret = plug_add_guest(daemon_of(request), p->net, p->name, &port);
	} else if (request->fd_count == 0) {
		snprintf(text, sizeof(text), "a port of kind %s needs a descriptor", kind);
		rpc_refuse(request, CONTROL_BAD_DESCRIPTORS, text, "send it with the request");
		return NULL;
	} else {
		ret = plug_add_kernel(daemon_of(request), p->net, p->name, kind, request->fds[0],
				      p->max_bytes, &port);
		request->fd_count = ret == 0 ? 0 : request->fd_count;
	}
	if (ret == 0) {
		return port;
	}
	if (ret == -EINVAL) {
		snprintf(text, sizeof(text), "port \"%s\": not a descriptor of kind %s", p->name,
			 kind);
		rpc_refuse(request, CONTROL_BAD_DESCRIPTORS, text,
			   "see switch/kernel.h for descriptors");
	} else {
		by_errno(request, "the port", ret);
	}
	return NULL;
}

static json_t *port_add(struct rpc_request *request, const struct parameters *p)
{
	struct port *port = add(request, p);

	if (port == NULL) {
		return NULL;
	}
	if (apply(request, port, &p->settings) != 0) {
		plug_remove(plug_of(daemon_of(request), port));
		return NULL;
	}
	return json_object();
}

static json_t *port_remove(struct rpc_request *request, const struct parameters *p)
{
	plug_remove(plug_of(daemon_of(request), p->port));
	return json_object();
}

static json_t *port_change(struct rpc_request *request, const struct parameters *p)
{
	return apply(request, p->port, &p->settings) == 0 ? json_object() : NULL;
}

static json_t *write_stats(const struct port_stats *stats)
{
	json_t *drops = json_object();

	for (uint32_t i = DROP_NONE + 1; i < DROP_COUNT; i++) {
		if (stats->drops[i] != 0) {
			json_object_set_new(drops, drop_name(i),
					    json_integer((json_int_t)stats->drops[i]));
		}
	}
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "sent-frames",
		(json_int_t)stats->sent_frames, "sent-bytes", (json_int_t)stats->sent_bytes,
		"sent-broadcast", (json_int_t)stats->sent_broadcast, "sent-multicast",
		(json_int_t)stats->sent_multicast, "received-frames",
		(json_int_t)stats->received_frames, "received-bytes",
		(json_int_t)stats->received_bytes, "received-broadcast",
		(json_int_t)stats->received_broadcast, "received-multicast",
		(json_int_t)stats->received_multicast, "cut-frames", (json_int_t)stats->cut_frames,
		"finished-checksums", (json_int_t)stats->finished_checksums, "drops", drops);
}

static json_t *write_port(struct daemon *daemon, const struct port *port)
{
	const struct plug *plug = plug_of(daemon, port);

	json_t *object =
		json_pack("{s:s, s:s, s:b, s:b, s:i, s:o, s:o}", "port", port->name, "kind",
			  port->edge->kind, "plugged", plug->guest != NULL || plug->kernel != NULL,
			  "link", !port->down, "max-bytes", (int)port->max_bytes, "settings",
			  settings_write(&port->settings), "stats", write_stats(&port->stats));
	if (plug->kernel != NULL && kernel_card(plug->kernel) != 0) {
		json_object_set_new(object, "card", json_integer(kernel_card(plug->kernel)));
	}
	return object;
}

/* From number `from` on; `next` says that there are more. */
static json_t *port_list(struct rpc_request *request, const struct parameters *p)
{
	json_t *list = json_array(), *result;
	size_t bytes = 0;
	uint64_t at;

	for (at = p->from; at < p->net->port_count && bytes < PAGE_BYTES; at++) {
		json_t *port = write_port(daemon_of(request), p->net->ports[p->net->used[at]]);

		bytes += json_dumpb(port, NULL, 0, JSON_COMPACT);
		json_array_append_new(list, port);
	}
	result = json_pack("{s:o}", "ports", list);
	if (at < p->net->port_count) {
		json_object_set_new(result, "next", json_integer((json_int_t)at));
	}
	return result;
}

/* ---- access lists ---- */

static json_t *acl_list(struct rpc_request *request, const struct parameters *p)
{
	(void)request;
	return acl_write(&p->port->acl);
}

static json_t *acl_add(struct rpc_request *request, const struct parameters *p)
{
	struct acl_extended extended;
	struct acl_basic basic;
	int ret;

	if (p->port->settings.function) {
		return refuse_function(request, "access lists");
	}
	if (!(p->extended ? rule_is_extended(&request->form, request->params, &p->rule, &extended)
			  : rule_is_basic(&request->form, request->params, &p->rule, &basic))) {
		return NULL;
	}
	ret = p->extended ? acl_add_extended(&p->port->acl, &extended)
			  : acl_add_basic(&p->port->acl, &basic);
	if (ret == -EINVAL) {
		return rpc_refuse(request, CONTROL_BAD_INVALID, "a rule that cannot be",
				  "meters count by IP address; ports need protocol tcp or udp; "
				  "only what is allowed is stateful");
	}
	return ret == 0 ? json_object() : by_errno(request, "the rule", ret);
}

static json_t *acl_remove(struct rpc_request *request, const struct parameters *p)
{
	if (!(p->extended ? acl_remove_extended(&p->port->acl, p->index)
			  : acl_remove_basic(&p->port->acl, p->index))) {
		return rpc_refuse(request, CONTROL_BAD_NOT_FOUND, "there is no such rule",
				  "vswitch acl shows those that are");
	}
	return json_object();
}

/* ---- the tables ---- */

#define AT(member) .at = offsetof(struct parameters, member)

#define MEMBER_NET                                                                                 \
	{                                                                                          \
		"switch", FORM_OTHER, .required = true, .read = read_net                           \
	}
#define MEMBER_PORT                                                                                \
	{                                                                                          \
		"port", FORM_OTHER, .required = true, .read = read_port                            \
	}
#define MEMBER_SETTINGS                                                                            \
	{                                                                                          \
		"", FORM_PART, AT(settings), .part = settings_members                              \
	}
#define MEMBER_EXTENDED                                                                            \
	{                                                                                          \
		"extended", FORM_FLAG, AT(extended)                                                \
	}

static const struct form_member create_members[] = {
	{"switch", FORM_OTHER, .required = true, .read = read_new},
	{"speed", FORM_NUMBER, AT(speed_mbit), .least = 1, .most = 1000000},
};
static const struct form_member net_members[] = {
	MEMBER_NET,
};
static const struct form_member add_members[] = {
	MEMBER_NET,
	{"port", FORM_OTHER, .required = true, .read = read_new},
	{"kind", FORM_WORD, AT(kind), .words = kinds},
	{"max-bytes", FORM_NUMBER32, AT(max_bytes), .least = 60, .most = PORT_FRAME_MAX},
	MEMBER_SETTINGS,
};
static const struct form_member port_members[] = {
	MEMBER_NET,
	MEMBER_PORT,
};
static const struct form_member set_members[] = {
	MEMBER_NET,
	MEMBER_PORT,
	MEMBER_SETTINGS,
};
static const struct form_member list_members[] = {
	MEMBER_NET,
	{"from", FORM_NUMBER, AT(from), .most = SWITCH_PORTS},
};
static const struct form_member acl_add_members[] = {
	MEMBER_NET,
	MEMBER_PORT,
	MEMBER_EXTENDED,
	{"", FORM_PART, AT(rule), .part = rule_members},
};
static const struct form_member acl_remove_members[] = {
	MEMBER_NET,
	MEMBER_PORT,
	MEMBER_EXTENDED,
	{"index", FORM_NUMBER32, .required = true, AT(index), .most = ACL_EXTENDED_MAX},
};

#define MEMBERS(list) (list), ARRAY_COUNT(list)

/* clang-format off */
static const struct rpc_method methods[] = {
	/*                  changes  files  params                       */
	{SWITCH_CREATE,      true,   0, 0,  MEMBERS(create_members),     switch_create},
	{SWITCH_REMOVE,      true,   0, 0,  MEMBERS(net_members),        switch_remove},
	{SWITCH_LIST,        false,  0, 0,  NULL, 0,                     switch_list},
	{SWITCH_PORT_ADD,    true,   0, 1,  MEMBERS(add_members),        port_add},
	{SWITCH_PORT_REMOVE, true,   0, 0,  MEMBERS(port_members),       port_remove},
	{SWITCH_PORT_SET,    true,   0, 0,  MEMBERS(set_members),        port_change},
	{SWITCH_PORT_LIST,   false,  0, 0,  MEMBERS(list_members),       port_list},
	{SWITCH_ACL_ADD,     true,   0, 0,  MEMBERS(acl_add_members),    acl_add},
	{SWITCH_ACL_REMOVE,  true,   0, 0,  MEMBERS(acl_remove_members), acl_remove},
	{SWITCH_ACL_LIST,    false,  0, 0,  MEMBERS(port_members),       acl_list},
};
/* clang-format on */

static const struct rpc_table table = {
	.methods = methods,
	.count = ARRAY_COUNT(methods),
	.server = "vswitchd",
	.subject = "switch",
	.who = "ask as root, or as the user of vswitchd",
};

json_t *methods_answer(struct rpc_request *request, const char *text, size_t length)
{
	struct parameters parameters = {
		.speed_mbit = 10000, .max_bytes = 1514, .rule = RULE_DEFAULTS};

	port_defaults(&parameters.settings);
	request->form.user = request;
	return rpc_answer(&table, request, &parameters, text, length);
}
