/* What the control socket can be asked, one row a method. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/mgmt/control.h"
#include "include/mgmt/switch.h"
#include "switch/daemon.h"

#define PAGE_BYTES 65536u /* after which an answer's list is ended: it is one packet */
#define BYTES_MAX  (PORT_FRAME_MAX)

struct call {
	struct daemon *daemon;
	json_t *params;
	int *fd;
	struct rpc_error *error;
};

static bool missing(const struct call *call, const char *name)
{
	char field[64];

	snprintf(field, sizeof(field), "params.%s", name);
	return rpc_fail(call->error, CONTROL_BAD_INVALID, field, "give it", "%s is missing", field);
}

static bool by_errno(const struct call *call, const char *what, int ret)
{
	switch (-ret) {
	case EEXIST:
		return rpc_fail(call->error, CONTROL_BAD_STATE, "", "give another",
				"%s: in use already", what);
	case ENOSPC:
		return rpc_fail(call->error, CONTROL_BAD_LIMIT, "", "remove one first",
				"%s: there are as many as there may be", what);
	case EINVAL:
		return rpc_fail(call->error, CONTROL_BAD_INVALID, "",
				"names have 1 to 63 characters, addresses are of one station, "
				"bandwidths are multiples of 8",
				"%s: not possible", what);
	default:
		return rpc_fail(call->error, CONTROL_BAD_IO, "", "", "%s: %s", what,
				strerror(-ret));
	}
}

static struct vswitch *read_net(const struct call *call)
{
	const char *name = NULL;
	struct vswitch *net;

	if (!member_text(call->params, "switch", &name, call->error)) {
		return NULL;
	}
	if (name == NULL) {
		missing(call, "switch");
		return NULL;
	}
	net = daemon_find(call->daemon, name);
	if (net == NULL) {
		rpc_fail(call->error, CONTROL_BAD_NOT_FOUND, "params.switch",
			 "vswitch list shows those that are", "there is no switch \"%.64s\"", name);
	}
	return net;
}

static struct port *read_port(const struct call *call)
{
	struct vswitch *net = read_net(call);
	const char *name = NULL;
	struct port *port;

	if (net == NULL || !member_text(call->params, "port", &name, call->error)) {
		return NULL;
	}
	if (name == NULL) {
		missing(call, "port");
		return NULL;
	}
	port = vswitch_find_port(net, name);
	if (port == NULL) {
		rpc_fail(call->error, CONTROL_BAD_NOT_FOUND, "params.port",
			 "vswitch list shows those that are", "switch \"%s\" has no port \"%.64s\"",
			 net->name, name);
	}
	return port;
}

/* ---- switches ---- */

static json_t *switch_create(const struct call *call)
{
	uint64_t speed = 10000;
	const char *name = NULL;
	uint32_t i = 0;
	int ret;

	if (!member_text(call->params, "switch", &name, call->error) ||
	    !member_number(call->params, "speed", 1, 1000000, &speed, call->error) ||
	    !members_end(call->params, call->error)) {
		return NULL;
	}
	if (name == NULL) {
		missing(call, "switch");
		return NULL;
	}
	while (i < DAEMON_SWITCHES && call->daemon->nets[i] != NULL) {
		i++;
	}
	ret = daemon_find(call->daemon, name) != NULL ? -EEXIST
	      : i == DAEMON_SWITCHES                  ? -ENOSPC
				     : vswitch_create(name, &call->daemon->nets[i]);
	if (ret != 0) {
		by_errno(call, "the switch", ret);
		return NULL;
	}
	call->daemon->nets[i]->speed_bits = speed * 1000000;
	call->daemon->nets[i]->extensions = &call->daemon->extensions;
	return json_object();
}

static json_t *switch_remove(const struct call *call)
{
	struct vswitch *net = read_net(call);

	if (net == NULL || !members_end(call->params, call->error)) {
		return NULL;
	}
	while (net->port_count != 0) {
		plug_remove(plug_of(call->daemon, net->ports[net->used[0]]));
	}
	for (uint32_t i = 0; i < DAEMON_SWITCHES; i++) {
		if (call->daemon->nets[i] == net) {
			vswitch_destroy(&call->daemon->nets[i]);
			break;
		}
	}
	return json_object();
}

static json_t *switch_list(const struct call *call)
{
	json_t *list = json_array();

	if (!members_end(call->params, call->error)) {
		json_decref(list);
		return NULL;
	}
	for (uint32_t i = 0; i < DAEMON_SWITCHES; i++) {
		const struct vswitch *net = call->daemon->nets[i];

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

static bool apply(const struct call *call, struct port *port, const struct port_settings *settings)
{
	int ret = port_set(port, settings);

	return ret == 0 || by_errno(call, ret == -EEXIST ? "the address" : "the settings", ret);
}

static struct port *add(const struct call *call, struct vswitch *net, const char *name,
			const char *kind, uint32_t bytes)
{
	struct port *port;
	int ret;

	if (strcmp(kind, "guest") == 0) {
		ret = plug_add_guest(call->daemon, net, name, &port);
	} else if (kernel_edge(kind) == NULL) {
		rpc_fail(call->error, CONTROL_BAD_INVALID, "params.kind",
			 "give one of: guest tap packet link", "%.32s: no kind of port", kind);
		return NULL;
	} else if (*call->fd < 0) {
		rpc_fail(call->error, CONTROL_BAD_DESCRIPTORS, "", "send it with the request",
			 "a port of kind %.32s needs a descriptor", kind);
		return NULL;
	} else {
		ret = plug_add_kernel(call->daemon, net, name, kind, *call->fd, bytes, &port);
		*call->fd = ret == 0 ? -1 : *call->fd;
	}
	if (ret == 0) {
		return port;
	}
	if (ret == -EINVAL) {
		rpc_fail(call->error, CONTROL_BAD_DESCRIPTORS, "",
			 "names have 1 to 63 characters; see switch/kernel.h for descriptors",
			 "port \"%.64s\": not possible, or not a descriptor of kind %.32s", name,
			 kind);
	} else {
		by_errno(call, "the port", ret);
	}
	return NULL;
}

static json_t *port_add(const struct call *call)
{
	struct vswitch *net = read_net(call);
	const char *name = NULL, *kind = "guest";
	struct port_settings settings;
	uint64_t bytes = 1514;
	struct port *port;

	port_defaults(&settings);
	if (net == NULL || !member_text(call->params, "port", &name, call->error) ||
	    !member_text(call->params, "kind", &kind, call->error) ||
	    !member_number(call->params, "max-bytes", 60, BYTES_MAX, &bytes, call->error) ||
	    !settings_read(call->params, &settings, call->error) ||
	    !members_end(call->params, call->error)) {
		return NULL;
	}
	if (name == NULL) {
		missing(call, "port");
		return NULL;
	}
	port = add(call, net, name, kind, (uint32_t)bytes);
	if (port == NULL) {
		return NULL;
	}
	if (!apply(call, port, &settings)) {
		plug_remove(plug_of(call->daemon, port));
		return NULL;
	}
	return json_object();
}

static json_t *port_remove(const struct call *call)
{
	struct port *port = read_port(call);

	if (port == NULL || !members_end(call->params, call->error)) {
		return NULL;
	}
	plug_remove(plug_of(call->daemon, port));
	return json_object();
}

static json_t *port_change(const struct call *call)
{
	struct port *port = read_port(call);
	struct port_settings settings;

	if (port == NULL) {
		return NULL;
	}
	settings = port->settings;
	return settings_read(call->params, &settings, call->error) &&
			       members_end(call->params, call->error) &&
			       apply(call, port, &settings)
		       ? json_object()
		       : NULL;
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

static json_t *write_port(const struct call *call, const struct port *port)
{
	const struct plug *plug = plug_of(call->daemon, port);

	return json_pack("{s:s, s:s, s:b, s:i, s:o, s:o}", "port", port->name, "kind",
			 port->edge->kind, "plugged", plug->guest != NULL || plug->kernel != NULL,
			 "max-bytes", (int)port->max_bytes, "settings",
			 settings_write(&port->settings), "stats", write_stats(&port->stats));
}

/* From number `from` on; `next` says that there are more. */
static json_t *port_list(const struct call *call)
{
	struct vswitch *net = read_net(call);
	uint64_t from = 0, at;
	json_t *list, *result;
	size_t bytes = 0;

	if (net == NULL ||
	    !member_number(call->params, "from", 0, SWITCH_PORTS, &from, call->error) ||
	    !members_end(call->params, call->error)) {
		return NULL;
	}
	list = json_array();
	for (at = from; at < net->port_count && bytes < PAGE_BYTES; at++) {
		json_t *port = write_port(call, net->ports[net->used[at]]);

		bytes += json_dumpb(port, NULL, 0, JSON_COMPACT);
		json_array_append_new(list, port);
	}
	result = json_pack("{s:o}", "ports", list);
	if (at < net->port_count) {
		json_object_set_new(result, "next", json_integer((json_int_t)at));
	}
	return result;
}

/* ---- access lists ---- */

static json_t *acl_list(const struct call *call)
{
	const struct port *port = read_port(call);

	return port != NULL && members_end(call->params, call->error) ? acl_write(&port->acl)
								      : NULL;
}

static json_t *acl_add(const struct call *call)
{
	struct port *port = read_port(call);
	struct acl_extended extended;
	struct acl_basic basic;
	bool is_extended = false;
	int ret;

	if (port == NULL || !member_flag(call->params, "extended", &is_extended, call->error) ||
	    !(is_extended ? acl_read_extended(call->params, &extended, call->error)
			  : acl_read_basic(call->params, &basic, call->error)) ||
	    !members_end(call->params, call->error)) {
		return NULL;
	}
	ret = is_extended ? acl_add_extended(&port->acl, &extended)
			  : acl_add_basic(&port->acl, &basic);
	if (ret == -EINVAL) {
		rpc_fail(call->error, CONTROL_BAD_INVALID, "",
			 "meters count by IP address; ports need protocol tcp or udp; only what is "
			 "allowed is stateful",
			 "a rule that cannot be");
		return NULL;
	}
	if (ret != 0) {
		by_errno(call, "the rule", ret);
		return NULL;
	}
	return json_object();
}

static json_t *acl_remove(const struct call *call)
{
	struct port *port = read_port(call);
	bool is_extended = false;
	uint64_t index = UINT64_MAX;

	if (port == NULL || !member_flag(call->params, "extended", &is_extended, call->error) ||
	    !member_number(call->params, "index", 0, ACL_EXTENDED_MAX, &index, call->error) ||
	    !members_end(call->params, call->error)) {
		return NULL;
	}
	if (index == UINT64_MAX) {
		missing(call, "index");
		return NULL;
	}
	if (!(is_extended ? acl_remove_extended(&port->acl, (uint32_t)index)
			  : acl_remove_basic(&port->acl, (uint32_t)index))) {
		rpc_fail(call->error, CONTROL_BAD_NOT_FOUND, "params.index",
			 "vswitch acl shows those that are", "there is no such rule");
		return NULL;
	}
	return json_object();
}

/* ---- the table ---- */

static const struct {
	const char *name;
	bool changes;
	json_t *(*call)(const struct call *call);
} methods[] = {
	{SWITCH_CREATE, true, switch_create},    {SWITCH_REMOVE, true, switch_remove},
	{SWITCH_LIST, false, switch_list},       {SWITCH_PORT_ADD, true, port_add},
	{SWITCH_PORT_REMOVE, true, port_remove}, {SWITCH_PORT_SET, true, port_change},
	{SWITCH_PORT_LIST, false, port_list},    {SWITCH_ACL_ADD, true, acl_add},
	{SWITCH_ACL_REMOVE, true, acl_remove},   {SWITCH_ACL_LIST, false, acl_list},
};

json_t *method_names(void)
{
	json_t *names = json_pack("[s]", CONTROL_HELLO);

	for (uint32_t i = 0; i < ARRAY_COUNT(methods); i++) {
		json_array_append_new(names, json_string(methods[i].name));
	}
	return names;
}

json_t *method_call(struct daemon *daemon, const char *name, json_t *params, int *fd,
		    bool may_change, struct rpc_error *error)
{
	const struct call call = {.daemon = daemon, .params = params, .fd = fd, .error = error};

	for (uint32_t i = 0; i < ARRAY_COUNT(methods); i++) {
		if (strcmp(methods[i].name, name) != 0) {
			continue;
		}
		if (methods[i].changes && !may_change) {
			rpc_fail(error, CONTROL_BAD_PERMISSION, "",
				 "ask as root, or as the user of vswitchd", "%s: not allowed",
				 name);
			return NULL;
		}
		return methods[i].call(&call);
	}
	rpc_fail(error, CONTROL_BAD_METHOD, "method", "hello lists those that are",
		 "%.64s: no such method", name);
	return NULL;
}
