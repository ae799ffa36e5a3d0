/*
 * The guest's integration services (vsp/integration/) in this machine: their home, what the control
 * socket shows of them, and the ways to ask the guest to shut down. All on the main thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "hosted/clock.h"
#include "vsp/integration/host.h"
#include "vsp/integration/integration.h"
#include "worker/control.h"
#include "worker/say.h"

struct integration_host {
	struct machine *machine;
	unsigned int changed; /* a bit a service; for services_changed() */
	bool escaped;         /* the escape key was pressed once */
	struct utsname root;
	char root_major[8], root_minor[8]; /* of its kernel's release */
	bool told;                       /* the guest is told whose it is, since it is in contact */
	unsigned int fact;               /* the next that it is told */
	const struct client *frozen_for; /* who holds the guest's file systems; NULL: nobody */
};

/* ---- Their home ---- */

uint64_t integration_host_clock(struct integration_host *host)
{
	(void)host;
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t integration_host_date(struct integration_host *host)
{
	(void)host;
	return clock_ns(CLOCK_REALTIME);
}

int integration_host_reference_time(struct integration_host *host, uint64_t *time_100ns)
{
	return backend_partition_reference_time(host->machine->partition, time_100ns);
}

bool integration_host_stands(struct integration_host *host)
{
	return atomic_load(&host->machine->pause.state) != PAUSE_NONE;
}

/* ---- What the guest is told of its host ---- */

static void learn_root(struct integration_host *host)
{
	unsigned int major = 0, minor = 0;

	(void)uname(&host->root);
	(void)sscanf(host->root.release, "%4u.%4u", &major, &minor);
	snprintf(host->root_major, sizeof(host->root_major), "%u", major);
	snprintf(host->root_minor, sizeof(host->root_minor), "%u", minor);
}

/* Those that Hyper-V has in this pool and that there are here, in their order. False: there are no
 * more. */
static bool get_fact(const struct integration_host *host, unsigned int index,
		     struct integration_pair *pair)
{
	const struct machine *machine = host->machine;
	const struct {
		const char *key, *text;
	} facts[] = {
		{"HostName", host->root.nodename},
		{"HostingSystemEditionId", "0"}, /* of Windows; this is "unknown" there */
		{"HostingSystemOsMajor", host->root_major},
		{"HostingSystemOsMinor", host->root_minor},
		{"HostingSystemProcessorArchitecture", "9"}, /* Windows' number of x86-64 */
		{"HostingSystemSpMajor", "0"},               /* there are no service packs */
		{"HostingSystemSpMinor", "0"},
		{"PhysicalHostName", host->root.nodename},
		{"PhysicalHostNameFullyQualified", host->root.nodename},
		{"VirtualMachineDynamicMemoryBalancingEnabled",
		 machine->balloon != NULL ? "1" : "0"},
		{"VirtualMachineId", machine->id_text},
		{"VirtualMachineName", machine->config->name},
	};

	if (index == ARRAY_COUNT(facts)) {
		return false;
	}
	pair->type = INTEGRATION_STRING;
	snprintf(pair->key, sizeof(pair->key), "%s", facts[index].key);
	snprintf(pair->text, sizeof(pair->text), "%s", facts[index].text);
	return true;
}

static void told_fact(void *user, int ret, const char *why);

/* One after the other, so that they take one place of the queue. What is no UTF-8 is left out. */
static void tell_next_fact(struct integration_host *host)
{
	struct integration_pair pair = {0};
	const struct integration_kvp what = {.operation = INTEGRATION_KVP_SET,
					     .pool = INTEGRATION_POOL_AUTO_EXTERNAL,
					     .pair = &pair,
					     .done = told_fact,
					     .user = host};
	int ret = -EINVAL;

	while (ret == -EINVAL && get_fact(host, host->fact, &pair)) {
		host->fact++;
		ret = integration_kvp(host->machine->integration, &what);
	}
}

/* The rest of them is no use where one has failed: the daemon has gone, or has no room. */
static void told_fact(void *user, int ret, const char *why)
{
	(void)why;
	if (ret == 0) {
		tell_next_fact(user);
	}
}

static void look_at_values(struct integration_host *host)
{
	struct integration_state state;

	integration_get_state(host->machine->integration, INTEGRATION_KVP, &state);
	if (state.contacted && !host->told) {
		host->fact = 0;
		tell_next_fact(host);
	}
	host->told = state.contacted;
}

void integration_host_changed(struct integration_host *host, unsigned int service)
{
	/* While they are made there is nobody to be told. */
	if (service == INTEGRATION_KVP && host->machine->integration != NULL) {
		look_at_values(host);
	}
	host->changed |= 1u << service;
	control_notify(host->machine);
}

void integration_host_log(struct integration_host *host, const char *line)
{
	(void)host;
	say_guest("%s", line);
}

/* ---- Their life ---- */

bool services_create(struct machine *machine)
{
	unsigned int i;
	int ret = -ENOMEM;

	machine->integration_host = calloc(1, sizeof(*machine->integration_host));
	if (machine->integration_host != NULL) {
		machine->integration_host->machine = machine;
		learn_root(machine->integration_host);
		ret = integration_create(machine->bus, machine->integration_host,
					 &machine->integration);
	}
	for (i = 0; i < INTEGRATION_COUNT && ret == 0; i++) {
		if (machine->config->services_off & 1u << i) {
			ret = integration_enable(machine->integration, i, false);
		}
	}
	if (ret != 0) {
		say("the integration services cannot be set up: %s", strerror(-ret));
	}
	return ret == 0;
}

void services_destroy(struct machine *machine)
{
	integration_destroy(&machine->integration);
	free(machine->integration_host);
	machine->integration_host = NULL;
}

void services_ended(struct machine *machine, enum stop_reason reason)
{
	bool in_order = !atomic_load(&machine->crashed);

	machine->integration_host->escaped = false;
	integration_ended(machine->integration,
			  in_order && reason == STOP_POWER_OFF ? INTEGRATION_END_OFF
			  : in_order && reason == STOP_RESET   ? INTEGRATION_END_RESET
							       : INTEGRATION_END_OTHER);
}

/* ---- What is shown ---- */

const char *const services_names[] = {CONTROL_SERVICES, NULL};
static_assert(ARRAY_COUNT(services_names) == INTEGRATION_COUNT + 1, "all services");

static json_t *version_text(struct integration_version version)
{
	char text[16];

	snprintf(text, sizeof(text), "%u.%u", version.major, version.minor);
	return json_string(text);
}

static void put_heartbeat(json_t *object, const struct integration_state *state)
{
	static const char *const beats[] = {
		[INTEGRATION_HEARTBEAT_NONE] = CONTROL_HEARTBEAT_NONE,
		[INTEGRATION_HEARTBEAT_OK] = CONTROL_HEARTBEAT_OK,
		[INTEGRATION_HEARTBEAT_LOST] = CONTROL_HEARTBEAT_LOST,
	};
	static const char *const applications[] = {
		[INTEGRATION_APPLICATION_UNKNOWN] = CONTROL_APPLICATION_UNKNOWN,
		[INTEGRATION_APPLICATION_OK] = CONTROL_APPLICATION_OK,
		[INTEGRATION_APPLICATION_CRITICAL] = CONTROL_APPLICATION_CRITICAL,
	};

	json_object_set_new(object, "heartbeat", json_string(beats[state->heartbeat]));
	json_object_set_new(object, "application", json_string(applications[state->application]));
}

static void put_file_systems(json_t *object, const struct integration_state *state)
{
	static const char *const are[] = {
		[INTEGRATION_THAWED] = CONTROL_FILE_SYSTEMS_THAWED,
		[INTEGRATION_FREEZING] = CONTROL_FILE_SYSTEMS_FREEZING,
		[INTEGRATION_FROZEN] = CONTROL_FILE_SYSTEMS_FROZEN,
		[INTEGRATION_THAWING] = CONTROL_FILE_SYSTEMS_THAWING,
	};

	json_object_set_new(object, "file-systems", json_string(are[state->file_systems]));
	if (state->thawed_why != NULL) {
		json_object_set_new(object, "thawed-why", json_string(state->thawed_why));
	}
}

json_t *services_object(struct machine *machine, unsigned int service)
{
	struct integration_state state;
	json_t *object;

	integration_get_state(machine->integration, service, &state);
	object = json_pack("{s:s, s:b, s:b, s:I}", "name", services_names[service], "enabled",
			   (int)state.enabled, "contacted", (int)state.contacted, "wrong-answers",
			   (json_int_t)state.wrong_answers);
	if (state.contacted) {
		json_object_set_new(object, "version", version_text(state.message));
		json_object_set_new(object, "framework", version_text(state.framework));
	}
	if (state.contacted && state.answered) {
		uint64_t since = clock_ns(CLOCK_MONOTONIC) - state.last_answer_ns;

		json_object_set_new(object, "last-answer",
				    json_integer((json_int_t)(since / 1000000000u)));
	}
	if (state.why != NULL) {
		json_object_set_new(object, "why", json_string(state.why));
	}
	if (service == INTEGRATION_HEARTBEAT) {
		put_heartbeat(object, &state);
	}
	if (service == INTEGRATION_VSS) {
		put_file_systems(object, &state);
	}
	return object;
}

json_t *services_list(struct machine *machine)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < INTEGRATION_COUNT; i++) {
		json_array_append_new(list, services_object(machine, i));
	}
	return list;
}

bool services_changed(struct machine *machine, unsigned int *service)
{
	unsigned int *changed = &machine->integration_host->changed;

	for (*service = 0; *service < INTEGRATION_COUNT; ++*service) {
		if (*changed & 1u << *service) {
			*changed &= ~(1u << *service);
			return true;
		}
	}
	return false;
}

/* ---- Shutdown ---- */

static void job_agreed(void *user)
{
	struct job *job = user;

	(void)job_commit(job); /* a cancelled one has been forgotten */
	job_step(job, "the guest shuts down");
}

static void end_job(struct job *job, int ret, const char *why)
{
	if (ret != 0) {
		snprintf(job->error.text, sizeof(job->error.text), "%s", why);
	}
	job_end(job, ret);
}

static void job_done(void *user, int ret, const char *why)
{
	end_job(user, ret != 0 ? -EREMOTEIO : 0, why);
}

static void job_finish(struct job *job)
{
	struct machine *machine = job->subject;

	integration_shutdown_forget(machine->integration);
}

int services_shutdown(struct machine *machine, struct job *job, unsigned int flags)
{
	struct integration_shutdown shutdown = {
		.flags = flags, .agreed = job_agreed, .done = job_done, .user = job};
	int ret = integration_shutdown(machine->integration, &shutdown);

	if (ret == 0) {
		job->subject = machine;
		job->finish = job_finish;
		job_step(job, "the guest is asked");
	}
	return ret;
}

/* ---- Values ---- */

const char *const services_pools[] = {
	[INTEGRATION_POOL_EXTERNAL] = CONTROL_POOL_EXTERNAL,
	[INTEGRATION_POOL_GUEST] = CONTROL_POOL_GUEST,
	[INTEGRATION_POOL_AUTO] = CONTROL_POOL_AUTO,
	[INTEGRATION_POOL_AUTO_EXTERNAL] = CONTROL_POOL_HOST,
	[INTEGRATION_POOL_INTERNAL] = CONTROL_POOL_INTERNAL,
	[INTEGRATION_POOL_COUNT] = NULL,
};

const char *const services_types[] = {
	[INTEGRATION_STRING] = CONTROL_TYPE_STRING,
	[INTEGRATION_EXPAND] = CONTROL_TYPE_EXPAND,
	[INTEGRATION_NUMBER32] = CONTROL_TYPE_NUMBER32,
	[INTEGRATION_NUMBER64] = CONTROL_TYPE_NUMBER64,
	NULL,
};

/* So that a list fits in a message, whatever its texts are as JSON. */
#define LIST_BYTES 8192u
#define LIST_MAX   64u

static json_t *pair_object(const struct integration_pair *pair)
{
	char number[24];
	bool is_number = pair->type == INTEGRATION_NUMBER32 || pair->type == INTEGRATION_NUMBER64;

	snprintf(number, sizeof(number), "%llu", (unsigned long long)pair->number);
	return json_pack("{s:s, s:s, s:s}", "key", pair->key, "type", services_types[pair->type],
			 "value", is_number ? number : pair->text);
}

static bool take_one(void *user, uint32_t index, const struct integration_pair *pair)
{
	struct job *job = user;

	(void)index;
	job->answer = pair_object(pair);
	return false;
}

static size_t text_bytes(json_t *list)
{
	size_t i, bytes = 0;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		bytes += json_string_length(json_object_get(item, "key")) +
			 json_string_length(json_object_get(item, "value"));
	}
	return bytes;
}

static bool take_next(void *user, uint32_t index, const struct integration_pair *pair)
{
	struct job *job = user;
	json_t *list = json_object_get(job->answer, "values");
	bool enough;

	json_array_append_new(list, pair_object(pair));
	enough = json_array_size(list) == LIST_MAX || text_bytes(list) > LIST_BYTES;
	if (enough) {
		json_object_set_new(job->answer, "next", json_integer(index + 1));
	}
	return !enough;
}

void services_drop_answer(void *answer)
{
	json_decref(answer);
}

void services_exchange_done(void *user, int ret, const char *why)
{
	end_job(user, ret == 0 || ret == -ENOENT ? ret : -EREMOTEIO, why);
}

void services_exchange_finish(struct job *job)
{
	struct machine *machine = job->subject;

	integration_kvp_forget(machine->integration, job);
}

int services_exchange(struct machine *machine, struct job *job,
		      enum integration_kvp_operation operation, enum integration_pool pool,
		      const struct integration_pair *pair, uint32_t from)
{
	bool list = operation == INTEGRATION_KVP_LIST;
	struct integration_kvp what = {.operation = operation,
				       .pool = pool,
				       .pair = pair,
				       .from = from,
				       .each = list ? take_next : take_one,
				       .done = services_exchange_done,
				       .user = job};
	int ret = integration_kvp(machine->integration, &what);

	if (ret == 0) {
		job->subject = machine;
		job->finish = services_exchange_finish;
		job->drop = services_drop_answer;
		job->answer = list ? json_pack("{s:[]}", "values") : NULL;
	}
	return ret;
}

/* ---- Backup ---- */

static void freeze_finish(struct job *job)
{
	struct machine *machine = job->subject;

	if (job->state == JOB_CANCELLED) {
		integration_freeze_forget(machine->integration, "it was cancelled");
	}
}

int services_freeze(struct machine *machine, struct job *job, const struct client *client,
		    unsigned int seconds)
{
	struct integration_freeze freeze = {.seconds = seconds, .done = job_done, .user = job};
	int ret = integration_freeze(machine->integration, &freeze);

	if (ret == 0) {
		machine->integration_host->frozen_for = client;
		job->subject = machine;
		job->finish = freeze_finish;
		job_step(job, "the guest's file systems are brought to a stand");
	}
	return ret;
}

static void thaw_finish(struct job *job)
{
	struct machine *machine = job->subject;

	if (job->state == JOB_CANCELLED) {
		integration_thaw_forget(machine->integration);
	}
}

int services_thaw(struct machine *machine, struct job *job)
{
	struct integration_thaw thaw = {.done = job_done, .user = job};
	int ret = integration_thaw(machine->integration, &thaw);

	if (ret == 0) {
		job->subject = machine;
		job->finish = thaw_finish;
		job_step(job, "the guest's file systems go on");
	}
	return ret;
}

void services_client_gone(struct machine *machine, const struct client *client)
{
	struct integration_host *host = machine->integration_host;

	if (client == host->frozen_for) {
		host->frozen_for = NULL;
		integration_freeze_forget(machine->integration,
					  "the connection of who had asked for it was closed");
	}
}

/* ---- The escape key ---- */

static void escape_done(void *user, int ret, const char *why)
{
	struct machine *machine = user;

	machine->integration_host->escaped = false;
	if (ret != 0 && ret != -EINTR) {
		say("%s; Ctrl-] asks again, twice turns the machine off", why);
	}
}

void services_escape(struct machine *machine)
{
	const struct integration_shutdown shutdown = {.done = escape_done, .user = machine};
	int ret;

	if (machine->integration_host->escaped) {
		machine_turn_off(machine);
		return;
	}
	machine->integration_host->escaped = true;
	ret = integration_shutdown(machine->integration, &shutdown);
	if (ret == -ENOTCONN) {
		board_power_button(&machine->board);
	}
	say("%s; Ctrl-] again turns the machine off",
	    ret == 0           ? "the guest is asked to shut down"
	    : ret == -ENOTCONN ? "the guest has no shutdown service: its power button is pressed"
	    : ret == -EBUSY    ? "the guest has been asked to shut down already"
			       : "the machine is paused");
}
