/*
 * What can be asked for on the control socket (include/mgmt/control.h): a table, one row for each
 * method. A row says who may, which members the parameters have, and how many descriptors come
 * along (hosted/rpc.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hosted/pci.h"
#include "vmbus/vmbus.h"
#include "vsp/integration/integration.h"
#include "vsp/memory/balloon.h"
#include "vsp/network/netport.h"
#include "vsp/network/network.h"
#include "vsp/socket/socket.h"
#include "vsp/storage/storage.h"
#include "worker/assigned.h"
#include "worker/checkpoint.h"
#include "worker/control.h"
#include "worker/merge.h"
#include "worker/migrate.h"
#include "worker/nics.h"
#include "worker/save.h"

/* The parameters of all methods; each has its own row in `members` below. */
struct parameters {
	bool on;                                        /* events */
	uint64_t job, number, target, minimum, maximum; /* 0: not given */
	const char *name;
	bool read_only, raw, force, restart, overwrite, make_path;
	unsigned int service, pool, type;
	uint64_t from, seconds, downtime, rounds;
	bool disks;
	const char *key, *value, *path;
	uint64_t adapter;
	bool dhcp;
	struct integration_addresses addresses;
	struct config_network network;
	const char *pci;
	int of_adapter; /* one more than its number; 0: none */
	bool state, keep, look, mirrored;
	const char *absolute, *relative;
	unsigned int controller;
	struct checkpoint_request checkpoint;
};

const char *methods_state(const struct machine *machine)
{
	if (machine->waits) {
		return CONTROL_STATE_STOPPING;
	}
	switch (atomic_load(&machine->pause.state)) {
	case PAUSE_ASKED:
		return CONTROL_STATE_PAUSING;
	case PAUSE_DONE:
		return CONTROL_STATE_PAUSED;
	default:
		return CONTROL_STATE_RUNNING;
	}
}

static const char *code_of(int error)
{
	return error == -EBUSY || error == -EALREADY ? CONTROL_BAD_BUSY
	       : error == -ENOENT                    ? CONTROL_BAD_NOT_FOUND
	       : error == -ENOTTY                    ? CONTROL_BAD_INVALID
	       : error == -EREMOTEIO                 ? CONTROL_BAD_GUEST
	       : error == -ECANCELED                 ? CONTROL_BAD_CANCELLED
						     : CONTROL_BAD_IO;
}

json_t *methods_job(const struct job *job)
{
	json_t *object = json_pack("{s:i, s:s, s:s}", "id", (int)job->id, "what", job->what,
				   "state", job_state_name(job));
	const char *step = atomic_load(&job->step);

	if (job->number >= 0) {
		json_object_set_new(object, "number", json_integer(job->number));
	}
	if (job->state == JOB_RUNNING && step[0] != '\0') {
		json_object_set_new(object, "step", json_string(step));
	}
	if (job->total != 0) {
		json_object_set_new(object, "done", json_integer((json_int_t)job->done));
		json_object_set_new(object, "total", json_integer((json_int_t)job->total));
	}
	if (job->state == JOB_DONE && job->answer != NULL) {
		json_object_set(object, "answer", job->answer);
	}
	if (job->state == JOB_FAILED) {
		/* A file's own texts may have been bytes of any kind. */
		json_t *text = json_string(job->error.text);

		json_object_set_new(
			object, "error",
			rpc_error(code_of(job->result),
				  text != NULL ? job->error.text : strerror(-job->result),
				  &(const struct form_error){.field = ""}));
		json_decref(text);
	}
	return object;
}

/* What comes from the command line may be bytes of any kind; JSON is UTF-8. */
static json_t *text(const char *bytes)
{
	json_t *string = json_string(bytes);

	return string != NULL ? string : json_string("(a name that is not UTF-8)");
}

/* ---- Methods ---- */

static void add_to_hello(struct rpc_request *request, json_t *result)
{
	const struct machine *machine = control_of(request)->machine;

	json_object_set_new(result, "name", text(machine->config->name));
	json_object_set_new(result, "events",
			    json_pack("[s,s,s,s,s,s,s,s,s]", CONTROL_ON_STATE, CONTROL_ON_RESET,
				      CONTROL_ON_CRASHED, CONTROL_ON_DISKS, CONTROL_ON_NETWORKS,
				      CONTROL_ON_DEVICES, CONTROL_ON_JOB, CONTROL_ON_PROGRESS,
				      CONTROL_ON_SERVICE));
}

static json_t *disk_object(const struct disk_place *place, unsigned int index)
{
	bool ide = index >= CONFIG_SCSI_MAX;
	json_t *object =
		json_pack("{s:s, s:i, s:s, s:b}", "controller", ide ? "ide" : "scsi", "number",
			  (int)(ide ? index - CONFIG_SCSI_MAX : index), "kind",
			  place->dvd ? "dvd" : "disk", "read-only", place->dvd || place->read_only);

	if (place->file != NULL) {
		json_object_set_new(object, "name", text(place->name));
		json_object_set_new(object, "size", json_integer((json_int_t)place->size));
	}
	if (place->mirror != NULL) {
		json_object_set_new(object, "mirror", text(place->mirror));
	}
	return object;
}

static json_t *disks_list(const struct machine *machine)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		if (machine->disks.places[i].there) {
			json_array_append_new(list, disk_object(&machine->disks.places[i], i));
		}
	}
	return list;
}

static json_t *refusals(const struct network_stats *stats)
{
	static const char *const names[NETWORK_REFUSALS] = {
		[NETWORK_BAD_NVSP] = "bad-message",
		[NETWORK_BAD_RNDIS] = "bad-rndis",
		[NETWORK_BAD_PPI] = "bad-offload",
		[NETWORK_BAD_MEMORY] = "bad-memory",
		[NETWORK_BAD_FRAME] = "bad-frame",
		[NETWORK_NOT_RUNNING] = "not-running",
		[NETWORK_BAD_COMPLETION] = "bad-completion",
		[NETWORK_NO_PIECE] = "no-reply-buffer",
		[NETWORK_LOST] = "no-switch",
	};
	json_t *object = json_object();
	unsigned int i;

	for (i = 0; i < NETWORK_REFUSALS; i++) {
		json_object_set_new(object, names[i], json_integer((json_int_t)stats->refused[i]));
	}
	return object;
}

static json_t *adapter_object(const struct machine *machine, unsigned int number)
{
	const struct network_place *place = &machine->networks.places[number];
	int function = assigned_function_of(machine, (int)number);
	const uint8_t *mac = place->port->mac;
	struct network_stats stats;
	json_t *object;
	char address[18];

	if (place->nic != NULL) {
		nic_get_stats(place->nic, &stats);
	} else {
		network_get_stats(place->network, &stats);
	}
	snprintf(address, sizeof(address), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	object = json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:i, s:I, s:I, s:I, s:I, s:o}",
			   "number", (int)number, "model", config_models[place->nic != NULL],
			   "switch", place->wanted.network, "port", place->wanted.port, "address",
			   address, "vlan", (int)place->wanted.vlan, "queues",
			   (int)place->wanted.queue_count, "connected", !place->lost, "channels",
			   (int)stats.channels_open, "frames-out", (json_int_t)stats.frames_out,
			   "bytes-out", (json_int_t)stats.bytes_out, "frames-in",
			   (json_int_t)stats.frames_in, "bytes-in", (json_int_t)stats.bytes_in,
			   "refused", refusals(&stats));
	if (function >= 0) {
		json_object_set_new(object, "function",
				    json_string(assigned_name(machine, (unsigned int)function)));
		json_object_set_new(object, "path",
				    json_string(stats.elsewhere ? "function" : "switch"));
	}
	return object;
}

static json_t *networks_list(const struct machine *machine)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		if (networks_has(machine, i)) {
			json_array_append_new(list, adapter_object(machine, i));
		}
	}
	return list;
}

static void put_adapter(json_t *device, int adapter)
{
	if (adapter != ASSIGNED_ALONE) {
		json_object_set_new(device, "adapter", json_integer(adapter));
	}
}

static json_t *devices_list(const struct machine *machine)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < CONFIG_DEVICES_MAX; i++) {
		const char *name = assigned_name(machine, i);

		if (name != NULL) {
			json_array_append_new(list, json_pack("{s:s}", "pci", name));
			put_adapter(json_array_get(list, json_array_size(list) - 1),
				    assigned_adapter(machine, i));
		}
	}
	return list;
}

static json_t *controller_counts(struct storage *scsi)
{
	struct storage_stats stats;

	if (scsi == NULL) { /* the machine is at its end */
		return json_object();
	}
	storage_get_stats(scsi, &stats);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "requests", (json_int_t)stats.requests,
			 "reads", (json_int_t)stats.reads, "writes", (json_int_t)stats.writes,
			 "bytes-read", (json_int_t)stats.bytes_read, "bytes-written",
			 (json_int_t)stats.bytes_written, "errors", (json_int_t)stats.errors);
}

static int client_count(const struct control *control)
{
	int i, count = 0;

	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		count += control->clients[i].fd >= 0;
	}
	return count;
}

static int job_count(struct control *control)
{
	int i, count = 0;

	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		const struct job *job = &control->jobs.all[i];

		count += job->state == JOB_QUEUED || job->state == JOB_RUNNING;
	}
	return count;
}

static json_t *sockets_object(struct sockets *sockets)
{
	struct sockets_state state;

	sockets_get_state(sockets, &state);
	return json_pack("{s:I, s:I, s:I}", "connections", (json_int_t)state.connections, "opened",
			 (json_int_t)state.opened, "refused", (json_int_t)state.refused);
}

static json_t *run_status(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	const struct config *config = machine->config;
	struct timespec now;
	json_t *status;

	(void)p;
	clock_gettime(CLOCK_MONOTONIC, &now);
	status = json_pack(
		"{s:o, s:s, s:s, s:I, s:i, s:b, s:i, s:I, s:o, s:o, s:[{s:i, s:s, s:b}], s:o, s:o, "
		"s:o, s:i, s:i}",
		"name", text(config->name), "id", machine->id_text, "state", methods_state(machine),
		"uptime", (json_int_t)(now.tv_sec - machine->started.tv_sec), "resets",
		(int)machine->resets, "crashed", (int)atomic_load(&machine->crashed), "vps",
		(int)config->vps, "memory", (json_int_t)config->memory, "disks",
		disks_list(machine), "networks", networks_list(machine), "serials", "number", 1,
		"to", serial_kind_name(config->serial), "connected",
		serial_is_connected(&machine->serial), "services", services_list(machine), "scsi",
		controller_counts(machine->disks.scsi), "sockets", sockets_object(machine->sockets),
		"clients", client_count(control_of(request)), "jobs",
		job_count(control_of(request)));
	json_object_set_new(status, "devices", devices_list(machine));
	if (machine->balloon != NULL) {
		json_object_set_new(status, "dynamic-memory", balloon_object(machine));
	}
	if (checkpoint_is_open(machine)) {
		json_object_set_new(status, "checkpoint", json_true());
	}
	return status;
}

static json_t *run_events(struct rpc_request *request, const struct parameters *p)
{
	client_of(request)->subscribed = p->on;
	client_of(request)->lost = 0;
	return json_pack("{s:I}", "sequence", (json_int_t)control_of(request)->sequence);
}

static json_t *run_jobs(struct rpc_request *request, const struct parameters *p)
{
	json_t *list = json_array();
	unsigned int i;

	(void)p;
	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		if (control_of(request)->jobs.all[i].state != JOB_NONE) {
			json_array_append_new(list, methods_job(&control_of(request)->jobs.all[i]));
		}
	}
	return json_pack("{s:o}", "jobs", list);
}

static json_t *job_answer(const struct job *job)
{
	return json_pack("{s:o}", "job", methods_job(job));
}

static json_t *run_cancel(struct rpc_request *request, const struct parameters *p)
{
	struct job *job = job_find(&control_of(request)->jobs, (uint32_t)p->job);
	char what[160];

	if (job == NULL) {
		snprintf(what, sizeof(what), "there is no job %u", (unsigned int)p->job);
		return rpc_refuse(request, CONTROL_BAD_NOT_FOUND, what,
				  "jobs lists those that are known");
	}
	if (!job_cancel(job)) {
		snprintf(what, sizeof(what), "job %u %s", job->id,
			 job_has_ended(job) ? "has ended"
					    : "has gone too far to be taken back; it will end");
		return rpc_refuse(request, CONTROL_BAD_STATE, what, "");
	}
	return job_answer(job);
}

/* NULL, and refused: there are too many. */
static struct job *new_job(struct rpc_request *request, const char *what, enum job_of of,
			   int number)
{
	struct jobs *jobs = &control_of(request)->jobs;
	struct job *job = jobs->ending ? NULL : job_new(jobs, what, of, number);

	if (jobs->ending) {
		rpc_refuse(request, CONTROL_BAD_STATE, "the machine has come to its end", "");
	} else if (job == NULL) {
		rpc_refuse(request, CONTROL_BAD_LIMIT,
			   "as many jobs as there may be have not ended",
			   "wait for one of them, or cancel it");
	}
	return job;
}

static json_t *refuse_busy(struct rpc_request *request)
{
	return rpc_refuse(request, CONTROL_BAD_BUSY, "a job of this machine has not ended",
			  "wait for it, or cancel it");
}

static json_t *refuse_stopping(struct rpc_request *request)
{
	return rpc_refuse(request, CONTROL_BAD_STATE, "the machine is about to stop", "");
}

/* For this job the machine is held, and it has the descriptors; one that could not be prepared
 * leaves all as it was. */
static json_t *start_held(struct rpc_request *request, struct job *job, bool prepared)
{
	if (!prepared) {
		machine_release(control_of(request)->machine);
		return NULL;
	}
	request->fd_count = 0;
	job_start(job);
	return job_answer(job);
}

static int explain_pause(struct job *job, int ret)
{
	if (ret != 0) {
		snprintf(job->error.text, sizeof(job->error.text), "the guest does not stand: %s",
			 ret == -EALREADY ? "it is paused, or about to be" : strerror(-ret));
	}
	return ret;
}

static int pause_work(struct job *job)
{
	return explain_pause(job, machine_pause_vps(job->subject, job));
}

static bool pause_settle(struct job *job)
{
	int ret = machine_pause_bus(job->subject, job);

	if (ret == -EAGAIN) {
		return false;
	}
	job->result = explain_pause(job, ret);
	return true;
}

static json_t *run_pause(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	struct job *job;

	(void)p;
	if (atomic_load(&machine->stop) != STOP_NONE) {
		return refuse_stopping(request);
	}
	if (atomic_load(&machine->pause.state) != PAUSE_NONE) {
		return rpc_refuse(request, CONTROL_BAD_STATE,
				  "the machine is paused, or about to be", "resume ends that");
	}
	job = new_job(request, CONTROL_PAUSE, JOB_OF_NOTHING, -1);
	if (job == NULL) {
		return NULL;
	}
	job->work = pause_work;
	job->settle = pause_settle;
	job->subject = machine;
	job_start(job);
	return job_answer(job);
}

static json_t *run_resume(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;

	(void)p;
	if (!machine_resume(machine)) {
		return rpc_refuse(request, CONTROL_BAD_STATE, "the machine is not paused", "");
	}
	return json_pack("{s:s}", "state", methods_state(machine));
}

/* The subject of a job that saves. */
struct saving {
	struct machine *machine;
	int fd;
};

static int save_work(struct job *job)
{
	struct saving *saving = job->subject;
	int ret = save_write(saving->machine, saving->fd, job, &job->error);

	machine_release(saving->machine);
	return ret;
}

/* What was saved comes to its end here; otherwise the machine still stands, and may go on. */
static void save_finish(struct job *job)
{
	struct saving *saving = job->subject;

	if (job->state == JOB_DONE) {
		machine_end(saving->machine, STOP_SAVED);
	} else {
		machine_release(saving->machine); /* also of a job that never ran */
		sockets_stand(saving->machine->sockets, false);
	}
	close(saving->fd);
	free(saving);
}

/* False: refused. */
static bool is_new_file(struct rpc_request *request, int fd)
{
	struct stat file;

	if (fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_size == 0 &&
	    pwrite(fd, "", 0, 0) == 0) {
		return true;
	}
	rpc_refuse(request, CONTROL_BAD_DESCRIPTORS,
		   "the descriptor is no empty file that is open for writing",
		   "give one of a new file");
	return false;
}

static json_t *run_save(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	struct saving *saving;
	struct job *job;

	(void)p;
	if (!is_new_file(request, request->fds[0])) {
		return NULL;
	}
	if (assigned_obstacle(machine) != NULL) {
		return rpc_refuse(request, CONTROL_BAD_STATE, assigned_obstacle(machine), "");
	}
	if (job_count(control_of(request)) != 0) {
		return refuse_busy(request);
	}
	if (!machine_hold(machine)) {
		return rpc_refuse(request, CONTROL_BAD_STATE, "the machine is not paused",
				  "pause it first");
	}
	saving = malloc(sizeof(*saving));
	job = saving != NULL ? new_job(request, CONTROL_SAVE, JOB_OF_NOTHING, -1) : NULL;
	if (job == NULL) {
		machine_release(machine);
		free(saving);
		return NULL;
	}
	/* Connections are not saved: they end, here and in the guest. */
	sockets_stand(machine->sockets, true);
	vmbus_settle(machine->bus);
	*saving = (struct saving){.machine = machine, .fd = request->fds[0]};
	job->work = save_work;
	job->finish = save_finish;
	job->subject = saving;
	return start_held(request, job, true);
}

static bool is_file(int fd, mode_t type)
{
	struct stat file;

	return fstat(fd, &file) == 0 && (file.st_mode & S_IFMT) == type;
}

/* The descriptors: of the state, if one is wanted, and of each disk's new file. False: refused. */
static bool take_files(struct rpc_request *request, const struct parameters *p,
		       struct checkpoint_request *wanted)
{
	unsigned int i, first = p->state;

	*wanted = p->checkpoint;
	wanted->mirrored = p->mirrored;
	wanted->state = p->state && request->fd_count != 0 ? request->fds[0] : -1;
	if (request->fd_count != first + wanted->disk_count) {
		rpc_refuse(request, CONTROL_BAD_DESCRIPTORS,
			   "there is not one descriptor for each file",
			   "give the state's, if there is one, then those of all disks");
		return false;
	}
	for (i = 0; i < wanted->disk_count; i++) {
		wanted->disks[i].fd = request->fds[first + i];
		if (!is_file(wanted->disks[i].fd, S_IFREG)) {
			rpc_refuse(request, CONTROL_BAD_DESCRIPTORS, "the descriptor is no file",
				   "give those of new differencing disks");
			return false;
		}
	}
	return !p->state || is_new_file(request, wanted->state);
}

static json_t *run_checkpoint(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	struct checkpoint_request wanted;
	const char *obstacle;
	char text_[120];
	struct job *job;

	if (!take_files(request, p, &wanted)) {
		return NULL;
	}
	obstacle = checkpoint_obstacle(machine, &wanted, text_, sizeof(text_));
	if (obstacle != NULL) {
		return rpc_refuse(request, CONTROL_BAD_STATE, obstacle, "");
	}
	if (job_count(control_of(request)) != 0) {
		return refuse_busy(request);
	}
	if (!machine_hold(machine)) {
		return rpc_refuse(request, CONTROL_BAD_STATE, "the machine is not paused",
				  "pause it first");
	}
	job = new_job(request, CONTROL_CHECKPOINT, JOB_OF_NOTHING, -1);
	return start_held(request, job,
			  job != NULL && checkpoint_prepare(machine, job, &wanted) == 0);
}

static json_t *run_checkpoint_end(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	struct job *job;

	if (!checkpoint_is_open(machine) && (p->keep || !checkpoint_has_mirrors(machine))) {
		return rpc_refuse(request, CONTROL_BAD_STATE, "there is no checkpoint to be ended",
				  "");
	}
	if (job_count(control_of(request)) != 0) {
		return rpc_refuse(request, CONTROL_BAD_BUSY, "a job of this machine has not ended",
				  "wait for it");
	}
	job = new_job(request, CONTROL_CHECKPOINT_END, JOB_OF_NOTHING, -1);
	if (job == NULL || checkpoint_prepare_end(machine, job, p->keep) != 0) {
		return NULL;
	}
	job_start(job);
	return job_answer(job);
}

/* Either one for each adapter, or none. */
static bool take_switches(struct rpc_request *request, struct migrate_request *wanted)
{
	const struct machine *machine = control_of(request)->machine;
	unsigned int i, adapters = 0;

	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		adapters += networks_has(machine, i);
	}
	wanted->switch_count = request->fd_count - 2;
	for (i = 0; i < wanted->switch_count; i++) {
		wanted->switches[i] = request->fds[2 + i];
		if (!is_file(wanted->switches[i], S_IFSOCK)) {
			return false;
		}
	}
	return wanted->switch_count == 0 || wanted->switch_count == adapters;
}

static json_t *run_migrate(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	struct migrate_request wanted = {.fd = request->fds[0],
					 .owner = request->fds[1],
					 .downtime_ms = p->downtime,
					 .rounds = p->rounds,
					 .disks = p->disks};
	const char *obstacle = migrate_obstacle(machine);
	struct job *job;

	if (!is_file(wanted.fd, S_IFSOCK) || !is_file(wanted.owner, S_IFREG) ||
	    !take_switches(request, &wanted)) {
		return rpc_refuse(
			request, CONTROL_BAD_DESCRIPTORS,
			"the descriptors are not those of a migration",
			"give a stream socket to the target, the owner file, and for each "
			"adapter a connection to its switch");
	}
	if (obstacle != NULL) {
		return rpc_refuse(request, CONTROL_BAD_STATE, obstacle, "");
	}
	if (atomic_load(&machine->stop) != STOP_NONE) {
		return refuse_stopping(request);
	}
	if (job_count(control_of(request)) != 0) {
		return refuse_busy(request);
	}
	if (!machine_hold_running(machine)) {
		return rpc_refuse(request, CONTROL_BAD_STATE, "the machine does not run",
				  "resume it first");
	}
	job = new_job(request, CONTROL_MIGRATE, JOB_OF_NOTHING, -1);
	return start_held(request, job, job != NULL && migrate_prepare(machine, job, &wanted) == 0);
}

/* -ENOTCONN: it cannot be used. */
static json_t *refuse_service(struct rpc_request *request, enum integration_service service,
			      const char *what, const char *remedy)
{
	struct integration_state state;
	char text_[240];

	integration_get_state(control_of(request)->machine->integration, service, &state);
	snprintf(text_, sizeof(text_), "%s: %s", what,
		 state.why != NULL ? state.why : "out of memory");
	return rpc_refuse(request, CONTROL_BAD_STATE, text_, remedy);
}

static json_t *run_shutdown(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	unsigned int flags =
		(p->restart ? INTEGRATION_RESTART : 0) | (p->force ? INTEGRATION_FORCE : 0);
	struct job *job = new_job(request, CONTROL_SHUTDOWN, JOB_OF_NOTHING, -1);
	int ret;

	if (job == NULL) {
		return NULL;
	}
	ret = services_shutdown(machine, job, flags);
	if (ret == 0) {
		job_begin(job);
		return job_answer(job);
	}
	if (ret == -EBUSY) {
		return rpc_refuse(request, CONTROL_BAD_BUSY,
				  "the guest has been asked to shut down already",
				  "wait, or turn it off");
	}
	if (ret == -EAGAIN) {
		return rpc_refuse(request, CONTROL_BAD_STATE,
				  "the machine is paused, or about to be", "resume ends that");
	}
	return refuse_service(request, INTEGRATION_SHUTDOWN,
			      "the guest cannot be asked to shut down",
			      "press its power button, or turn it off");
}

static json_t *run_service(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	int ret = integration_enable(machine->integration, p->service, p->on);

	if (ret == -EBUSY) {
		return rpc_refuse(request, CONTROL_BAD_BUSY, "the guest's file systems are frozen",
				  "thaw them first");
	}
	if (ret != 0) {
		return rpc_refuse(request, CONTROL_BAD_LIMIT, strerror(-ret), "");
	}
	return json_pack("{s:o}", "service", services_object(machine, p->service));
}

/* False: it is no number of the type's; refused. */
static bool make_pair(struct rpc_request *request, const struct parameters *p,
		      struct integration_pair *pair)
{
	uint64_t most = p->type == INTEGRATION_NUMBER32 ? UINT32_MAX : UINT64_MAX;
	const char *value = p->value != NULL ? p->value : "";
	char *end;

	snprintf(pair->key, sizeof(pair->key), "%s", p->key != NULL ? p->key : "");
	snprintf(pair->text, sizeof(pair->text), "%s", value);
	pair->type = p->type;
	if (p->type == INTEGRATION_STRING || p->type == INTEGRATION_EXPAND) {
		return true;
	}
	errno = 0;
	pair->number = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || pair->number > most) {
		rpc_refuse(request, CONTROL_BAD_INVALID, "the value is no number of this type",
			   "give it in decimal");
		return false;
	}
	return true;
}

static json_t *refuse_exchange(struct rpc_request *request, int ret)
{
	if (ret == -EINVAL) {
		return rpc_refuse(request, CONTROL_BAD_INVALID,
				  "the key or the value is longer than the guest can take",
				  "keep them below 256 and 1,024 characters");
	}
	if (ret != -ENOTCONN) {
		return rpc_refuse(request, CONTROL_BAD_LIMIT,
				  "too many of these wait for the guest", "wait for one of them");
	}
	return refuse_service(request, INTEGRATION_KVP, "the guest exchanges no values", "");
}

static json_t *run_exchange(struct rpc_request *request, const struct parameters *p,
			    const char *what, enum integration_kvp_operation operation)
{
	struct integration_pair pair = {0};
	struct job *job;
	int ret;

	if (!make_pair(request, p, &pair)) {
		return NULL;
	}
	job = new_job(request, what, JOB_OF_NOTHING, -1);
	if (job == NULL) {
		return NULL;
	}
	ret = services_exchange(control_of(request)->machine, job, operation, p->pool, &pair,
				(uint32_t)p->from);
	if (ret != 0) {
		return refuse_exchange(request, ret);
	}
	job_begin(job);
	return job_answer(job);
}

static json_t *run_value_get(struct rpc_request *request, const struct parameters *p)
{
	return run_exchange(request, p, CONTROL_VALUE_GET, INTEGRATION_KVP_GET);
}

static json_t *run_value_list(struct rpc_request *request, const struct parameters *p)
{
	return run_exchange(request, p, CONTROL_VALUE_LIST, INTEGRATION_KVP_LIST);
}

static json_t *run_value_set(struct rpc_request *request, const struct parameters *p)
{
	return run_exchange(request, p, CONTROL_VALUE_SET, INTEGRATION_KVP_SET);
}

static json_t *run_value_delete(struct rpc_request *request, const struct parameters *p)
{
	return run_exchange(request, p, CONTROL_VALUE_DELETE, INTEGRATION_KVP_DELETE);
}

static json_t *run_addresses(struct rpc_request *request, const struct parameters *p,
			     const char *what, const struct integration_addresses *set)
{
	struct job *job = new_job(request, what, JOB_OF_NOTHING, -1);
	char text_[64];
	int ret;

	if (job == NULL) {
		return NULL;
	}
	ret = addresses_exchange(control_of(request)->machine, job, (unsigned int)p->adapter, set);
	if (ret == -ENODEV) {
		snprintf(text_, sizeof(text_), "there is no network adapter %u",
			 (unsigned int)p->adapter);
		return rpc_refuse(request, CONTROL_BAD_NOT_FOUND, text_, "count them from 0 on");
	}
	if (ret != 0) {
		return refuse_exchange(request, ret);
	}
	job_begin(job);
	return job_answer(job);
}

static json_t *run_addresses_get(struct rpc_request *request, const struct parameters *p)
{
	return run_addresses(request, p, CONTROL_ADDRESSES_GET, NULL);
}

static json_t *run_addresses_set(struct rpc_request *request, const struct parameters *p)
{
	struct integration_addresses set = p->addresses;
	bool others = set.address_count + set.gateway_count + set.dns_count != 0;

	set.dhcp = p->dhcp;
	if (set.dhcp == (set.address_count != 0) || (set.dhcp && others)) {
		return rpc_refuse(request, CONTROL_BAD_INVALID,
				  "the adapter is to have addresses, or to ask for them by DHCP",
				  "give addresses, or dhcp alone");
	}
	return run_addresses(request, p, CONTROL_ADDRESSES_SET, &set);
}

static json_t *run_freeze(struct rpc_request *request, const struct parameters *p)
{
	struct job *job = new_job(request, CONTROL_FREEZE, JOB_OF_NOTHING, -1);
	int ret;

	if (job == NULL) {
		return NULL;
	}
	ret = services_freeze(control_of(request)->machine, job, client_of(request),
			      (unsigned int)p->seconds);
	if (ret == 0) {
		job_begin(job);
		return job_answer(job);
	}
	if (ret == -EBUSY) {
		return rpc_refuse(request, CONTROL_BAD_BUSY,
				  "the guest's file systems are frozen, or not thawed yet",
				  "wait for who asked for it, or thaw them");
	}
	if (ret == -EAGAIN) {
		return rpc_refuse(request, CONTROL_BAD_STATE,
				  "the machine is paused, or about to be", "resume ends that");
	}
	return refuse_service(request, INTEGRATION_VSS, "the guest's file systems cannot be frozen",
			      "");
}

static json_t *run_thaw(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	struct integration_state state;
	struct job *job = new_job(request, CONTROL_THAW, JOB_OF_NOTHING, -1);
	char what[200];
	int ret;

	(void)p;
	if (job == NULL) {
		return NULL;
	}
	ret = services_thaw(machine, job);
	if (ret == 0) {
		job_begin(job);
		return job_answer(job);
	}
	if (ret == -EBUSY) {
		return rpc_refuse(request, CONTROL_BAD_BUSY, "somebody waits for that already", "");
	}
	integration_get_state(machine->integration, INTEGRATION_VSS, &state);
	snprintf(what, sizeof(what), "the guest's file systems are not frozen%s%s",
		 state.thawed_why != NULL ? ": " : "",
		 state.thawed_why != NULL ? state.thawed_why : "");
	return rpc_refuse(request, CONTROL_BAD_STATE, what, "");
}

static json_t *run_copy(struct rpc_request *request, const struct parameters *p)
{
	unsigned int flags = (p->overwrite ? INTEGRATION_OVERWRITE : 0) |
			     (p->make_path ? INTEGRATION_MAKE_PATH : 0);
	struct job *job = new_job(request, CONTROL_COPY, JOB_OF_NOTHING, -1);
	int ret;

	if (job == NULL) {
		return NULL;
	}
	ret = copies_prepare(control_of(request)->machine, job, request->fds[0], p->path, flags);
	if (ret == 0) {
		request->fd_count = 0;
		job_start(job);
		return job_answer(job);
	}
	if (ret == -ENOTSUP) {
		return rpc_refuse(request, CONTROL_BAD_DESCRIPTORS, "it is no regular file",
				  "give one that is");
	}
	if (ret == -EINVAL) {
		return rpc_refuse(request, CONTROL_BAD_INVALID,
				  "the path is none that the guest can take",
				  "give a folder and a name, each below 260 characters");
	}
	if (ret == -EBUSY) {
		return rpc_refuse(request, CONTROL_BAD_BUSY, "another file is on its way",
				  "wait for that, or cancel it");
	}
	return refuse_service(request, INTEGRATION_FCOPY, "the guest takes no files", "");
}

static json_t *run_button(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;

	(void)p;
	if (atomic_load(&machine->stop) != STOP_NONE) {
		return refuse_stopping(request);
	}
	board_power_button(&machine->board);
	return json_object();
}

static json_t *run_generation(struct rpc_request *request, const struct parameters *p)
{
	int ret = identity_renew(control_of(request)->machine);

	(void)p;
	if (ret != 0) {
		return rpc_refuse(request, CONTROL_BAD_STATE, strerror(-ret), "");
	}
	return json_object();
}

static json_t *run_reset(struct rpc_request *request, const struct parameters *p)
{
	(void)p;
	machine_end(control_of(request)->machine, STOP_RESET);
	return json_object();
}

static json_t *run_off(struct rpc_request *request, const struct parameters *p)
{
	(void)p;
	machine_turn_off(control_of(request)->machine);
	return json_object();
}

static json_t *run_disk(struct rpc_request *request, const struct parameters *p, const char *what,
			enum disks_task kind)
{
	struct disks_change change = {.name = p->name != NULL ? p->name : "",
				      .fds = request->fds,
				      .fd_count = request->fd_count,
				      .read_only = p->read_only,
				      .raw = p->raw,
				      .force = p->force};
	struct job *job = job_on(&control_of(request)->jobs, JOB_OF_DISK, (int)p->number);
	char text_[96];
	int ret;

	if (job != NULL) {
		snprintf(text_, sizeof(text_), "disk %u is in the hands of job %u",
			 (unsigned int)p->number, job->id);
		return rpc_refuse(request, CONTROL_BAD_BUSY, text_, "wait for it, or cancel it");
	}
	job = new_job(request, what, JOB_OF_DISK, (int)p->number);
	if (job == NULL) {
		return NULL;
	}
	ret = disks_prepare(control_of(request)->machine, job, kind, &change);
	if (ret != 0) {
		snprintf(text_, sizeof(text_), "disk %u %s", (unsigned int)p->number,
			 ret == -EBUSY    ? "is there already"
			 : ret == -ENOENT ? "is not there"
			 : ret == -ENOTTY ? "is not a DVD drive"
					  : strerror(-ret));
		return rpc_refuse(request, code_of(ret), text_,
				  ret == -ENOMEM ? "" : "status lists the disks and their numbers");
	}
	request->fd_count = 0;
	job_start(job);
	return job_answer(job);
}

static bool are_written(struct rpc_request *request)
{
	for (unsigned int i = 0; i < request->fd_count; i++) {
		if (!is_file(request->fds[i], S_IFREG) || pwrite(request->fds[i], "", 0, 0) != 0) {
			rpc_refuse(request, CONTROL_BAD_DESCRIPTORS,
				   "a descriptor is no file that is open for writing",
				   "give those of the file, its parent, and what lies over it");
			return false;
		}
	}
	return true;
}

static json_t *refuse_merge(struct rpc_request *request, int ret)
{
	return rpc_refuse(request,
			  ret == -ENOENT   ? CONTROL_BAD_NOT_FOUND
			  : ret == -EINVAL ? CONTROL_BAD_STATE
					   : CONTROL_BAD_IO,
			  ret == -ENOENT ? "there is no such disk that the guest writes"
			  : ret == -EINVAL
				  ? "the files do not lie over each other in the disk's chain"
				  : strerror(-ret),
			  ret == -ENOMEM ? "" : "status lists the disks and their numbers");
}

static json_t *run_merge(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	const struct merge_request wanted = {.place = (unsigned int)p->number +
						      (p->controller == 1 ? CONFIG_SCSI_MAX : 0),
					     .name = p->name,
					     .absolute = p->absolute,
					     .relative = p->relative,
					     .file = request->fds[0],
					     .parent = request->fds[1],
					     .child = request->fd_count > 2 ? request->fds[2] : -1};
	struct jobs *jobs = &control_of(request)->jobs;
	struct job *job;
	int ret;

	if (p->controller == 1 && p->number >= CONFIG_IDE_MAX) {
		return refuse_merge(request, -ENOENT);
	}
	if (!are_written(request)) {
		return NULL;
	}
	ret = merge_look(machine, &wanted);
	if (ret == -EALREADY || (p->look && (ret == 0 || ret == -EINVAL))) {
		return json_pack("{s:b}", "merged", ret == -EALREADY);
	}
	if (ret != 0) {
		return refuse_merge(request, ret);
	}
	job = job_on(jobs, JOB_OF_DISK, (int)wanted.place);
	if (job != NULL) {
		/* Who asked before may be gone, and its merge goes on. */
		return strcmp(job->what, CONTROL_MERGE) == 0 ? job_answer(job)
							     : refuse_busy(request);
	}
	job = new_job(request, CONTROL_MERGE, JOB_OF_DISK, (int)wanted.place);
	if (job == NULL || merge_prepare(machine, job, &wanted) != 0) {
		return NULL;
	}
	request->fd_count = 0;
	job_start(job);
	return job_answer(job);
}

static json_t *run_mirror(struct rpc_request *request, const struct parameters *p)
{
	const struct mirror_request wanted = {.place = (unsigned int)p->number +
						       (p->controller == 1 ? CONFIG_SCSI_MAX : 0),
					      .name = p->name,
					      .absolute = p->absolute,
					      .relative = p->relative,
					      .fds = request->fds,
					      .fd_count = request->fd_count};
	struct job *job;
	int ret;

	if (p->controller == 1 && p->number >= CONFIG_IDE_MAX) {
		return refuse_merge(request, -ENOENT);
	}
	if ((p->absolute != NULL) != (request->fd_count > 1) ||
	    (p->relative != NULL) != (request->fd_count > 1)) {
		return rpc_refuse(request, CONTROL_BAD_DESCRIPTORS,
				  "the new file has a parent and no name of it, or the name alone",
				  "give both names, and the parents' descriptors, or none of them");
	}
	if (!is_new_file(request, request->fds[0])) {
		return NULL;
	}
	if (job_on(&control_of(request)->jobs, JOB_OF_DISK, (int)wanted.place) != NULL) {
		return refuse_busy(request);
	}
	job = new_job(request, CONTROL_MIRROR, JOB_OF_DISK, (int)wanted.place);
	if (job == NULL) {
		return NULL;
	}
	ret = mirror_prepare(control_of(request)->machine, job, &wanted);
	if (ret != 0) {
		return ret == -EBUSY
			       ? rpc_refuse(request, CONTROL_BAD_BUSY,
					    "the disk has a mirror already", "see checkpoint.end")
			       : refuse_merge(request, ret);
	}
	request->fd_count = 0;
	job_start(job);
	return job_answer(job);
}

static json_t *run_attach(struct rpc_request *request, const struct parameters *p)
{
	return run_disk(request, p, CONTROL_ATTACH, DISKS_ATTACH);
}

static json_t *run_dvd(struct rpc_request *request, const struct parameters *p)
{
	return run_disk(request, p, CONTROL_DVD, DISKS_ATTACH_DVD);
}

static json_t *run_change(struct rpc_request *request, const struct parameters *p)
{
	return run_disk(request, p, CONTROL_CHANGE, DISKS_CHANGE_DVD);
}

static json_t *run_detach(struct rpc_request *request, const struct parameters *p)
{
	return run_disk(request, p, CONTROL_DETACH, DISKS_DETACH);
}

static json_t *run_on_adapter(struct rpc_request *request, const struct parameters *p,
			      const char *what, enum networks_task kind, int number)
{
	struct job *job = job_on(&control_of(request)->jobs, JOB_OF_ADAPTER, number);
	int fd = request->fd_count != 0 ? request->fds[0] : -1, ret;
	char text_[96];

	if (job != NULL) {
		snprintf(text_, sizeof(text_), "adapter %d is in the hands of job %u", number,
			 job->id);
		return rpc_refuse(request, CONTROL_BAD_BUSY, text_, "wait for it, or cancel it");
	}
	job = new_job(request, what, JOB_OF_ADAPTER, number);
	if (job == NULL) {
		return NULL;
	}
	ret = networks_prepare(control_of(request)->machine, job, kind, &p->network, fd);
	if (ret != 0) {
		snprintf(text_, sizeof(text_), "adapter %d %s", number,
			 ret == -ENOENT    ? "is not there"
			 : ret == -EISCONN ? "has its switch"
			 : ret == -ENOTSUP ? "of model 21140 does not come or go while the machine "
					     "runs"
					   : strerror(-ret));
		return rpc_refuse(request,
				  ret == -EISCONN || ret == -ENOTSUP ? CONTROL_BAD_STATE
								     : code_of(ret),
				  text_,
				  ret == -ENOENT    ? "status lists the adapters and their numbers"
				  : ret == -ENOTSUP ? "turn the machine off first"
						    : "");
	}
	request->fd_count = 0;
	job_start(job);
	return job_answer(job);
}

static json_t *run_net_add(struct rpc_request *request, const struct parameters *p)
{
	int number = networks_free_place(control_of(request)->machine, &control_of(request)->jobs);

	if (number < 0) {
		return rpc_refuse(request, CONTROL_BAD_LIMIT,
				  "the machine has as many adapters as there may be",
				  "remove one of them");
	}
	return run_on_adapter(request, p, CONTROL_NET_ADD, NETWORKS_ADD, number);
}

/* The one that has to do with a device; NULL: none. */
static const struct job *job_of_devices(struct control *control)
{
	const struct job *job = NULL;
	int i;

	for (i = 0; i < (int)CONFIG_DEVICES_MAX && job == NULL; i++) {
		job = job_on(&control->jobs, JOB_OF_DEVICE, i);
	}
	return job;
}

static json_t *run_net_remove(struct rpc_request *request, const struct parameters *p)
{
	if (assigned_function_of(control_of(request)->machine, (int)p->number) >= 0 ||
	    job_of_devices(control_of(request)) != NULL) {
		return rpc_refuse(request, CONTROL_BAD_STATE,
				  "the adapter has a virtual function, or may be given one now",
				  "take that away first");
	}
	return run_on_adapter(request, p, CONTROL_NET_REMOVE, NETWORKS_REMOVE, (int)p->number);
}

static json_t *run_net_connect(struct rpc_request *request, const struct parameters *p)
{
	return run_on_adapter(request, p, CONTROL_NET_CONNECT, NETWORKS_CONNECT, (int)p->number);
}

/* NULL, and refused: a job has to do with devices, or there can be none. */
static struct job *new_device_job(struct rpc_request *request, const struct parameters *p,
				  const char *what, int place)
{
	struct control *control = control_of(request);
	const struct job *other;
	char text_[160];

	if (atomic_load(&control->machine->stop) != STOP_NONE) {
		refuse_stopping(request);
		return NULL;
	}
	other = job_of_devices(control);
	if (other != NULL) {
		snprintf(text_, sizeof(text_), "job %u has to do with a device", other->id);
		rpc_refuse(request, CONTROL_BAD_BUSY, text_, "wait for it");
		return NULL;
	}
	if (place < 0) {
		snprintf(text_, sizeof(text_), "the machine has no device %s", p->pci);
		rpc_refuse(request, CONTROL_BAD_NOT_FOUND, text_, "status lists those that it has");
		return NULL;
	}
	return new_job(request, what, JOB_OF_DEVICE, place);
}

/* False: refused. An adapter that is there, of VMBus, that nothing else is done to. */
static bool can_have_function(struct rpc_request *request, int adapter)
{
	struct control *control = control_of(request);
	char text_[160];

	if (job_on(&control->jobs, JOB_OF_ADAPTER, adapter) != NULL ||
	    control->machine->networks.places[adapter].network == NULL) {
		snprintf(text_, sizeof(text_),
			 "adapter %d is not there, or not to stay, or of model 21140", adapter);
		rpc_refuse(request, CONTROL_BAD_STATE, text_, "status lists the adapters");
		return false;
	}
	if (assigned_function_of(control->machine, adapter) >= 0) {
		snprintf(text_, sizeof(text_), "adapter %d has a virtual function", adapter);
		rpc_refuse(request, CONTROL_BAD_BUSY, text_, "take that away first");
		return false;
	}
	return true;
}

static json_t *run_device_add(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	int place = assigned_place(machine, NULL);
	struct job *job;
	char text_[160];

	if (machine->balloon != NULL) {
		return rpc_refuse(request, CONTROL_BAD_STATE,
				  "the machine has dynamic memory; with a device all memory is the "
				  "guest's for good, since the device may write anywhere in it",
				  "turn the machine off, and leave memory-minimum and "
				  "memory-maximum out of its configuration");
	}
	if (assigned_place(machine, p->pci) >= 0) {
		snprintf(text_, sizeof(text_), "the machine has the device %s", p->pci);
		return rpc_refuse(request, CONTROL_BAD_BUSY, text_, "");
	}
	if (place < 0) {
		return rpc_refuse(request, CONTROL_BAD_LIMIT,
				  "the machine has as many devices as there may be",
				  "take one of them away");
	}
	if (p->of_adapter != 0 && !can_have_function(request, p->of_adapter - 1)) {
		return NULL;
	}
	if (!is_file(request->fds[0], S_IFCHR) ||
	    (request->fd_count > 1 && !is_file(request->fds[1], S_IFCHR))) {
		return rpc_refuse(request, CONTROL_BAD_DESCRIPTORS,
				  "the descriptors are no container and no group of VFIO's",
				  "open /dev/vfio/vfio, and /dev/vfio/ with the number of the "
				  "device's IOMMU group");
	}
	job = new_device_job(request, p, CONTROL_DEVICE_ADD, place);
	if (job == NULL) {
		return NULL;
	}
	if (assigned_prepare_add(machine, job, p->pci, request->fds[0],
				 request->fd_count > 1 ? request->fds[1] : -1,
				 p->of_adapter != 0 ? p->of_adapter - 1 : ASSIGNED_ALONE) != 0) {
		return rpc_refuse(request, CONTROL_BAD_IO, "no memory", "");
	}
	request->fd_count = 0;
	job_start(job);
	return job_answer(job);
}

static json_t *run_device_remove(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	struct job *job =
		new_device_job(request, p, CONTROL_DEVICE_REMOVE, assigned_place(machine, p->pci));

	if (job == NULL) {
		return NULL;
	}
	if (!p->force && atomic_load(&machine->pause.state) != PAUSE_NONE) {
		return rpc_refuse(
			request, CONTROL_BAD_STATE,
			"the machine is paused, and its guest cannot let go of the device",
			"resume it first, or force it");
	}
	if (assigned_prepare_remove(machine, job, p->force) != 0) {
		return rpc_refuse(request, CONTROL_BAD_IO, "no memory", "");
	}
	job_start(job);
	return job_answer(job);
}

static json_t *run_console(struct rpc_request *request, const struct parameters *p)
{
	struct stat file;

	(void)p;
	if (fstat(request->fds[0], &file) != 0 || !S_ISSOCK(file.st_mode)) {
		return rpc_refuse(request, CONTROL_BAD_DESCRIPTORS, "the descriptor is no socket",
				  "give one end of a pair of stream sockets");
	}
	if (!serial_connect(&control_of(request)->machine->serial, request->fds[0])) {
		return rpc_refuse(request, CONTROL_BAD_STATE, "COM1 goes to a terminal or a file",
				  "start vmwp with --serial control, or unix:PATH");
	}
	request->fd_count = 0;
	return json_object();
}

static json_t *run_seat(struct rpc_request *request, const struct parameters *p)
{
	socklen_t size = sizeof(int);
	int type;

	(void)p;
	if (getsockopt(request->fds[0], SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
	    type != SOCK_SEQPACKET) {
		return rpc_refuse(request, CONTROL_BAD_DESCRIPTORS,
				  "the descriptor is no socket of packets",
				  "give one end of a pair of SOCK_SEQPACKET sockets");
	}
	request->fd_count = 0;
	if (!display_sit(control_of(request)->machine, request->fds[0])) {
		return rpc_refuse(request, CONTROL_BAD_STATE,
				  "the machine has no screen, or too many look at it",
				  "start vmwp with --vga, or end a viewer");
	}
	return json_object();
}

/* A regular file takes what is written to it; who gave it owns the machine. */
static json_t *run_screen(struct rpc_request *request, const struct parameters *p)
{
	struct stat file;
	json_int_t bytes;

	(void)p;
	if (fstat(request->fds[0], &file) != 0 || !S_ISREG(file.st_mode)) {
		return rpc_refuse(request, CONTROL_BAD_DESCRIPTORS,
				  "the descriptor is no regular file", "give one open for writing");
	}
	bytes = screen_write(control_of(request)->machine, request->fds[0]);
	if (bytes == -ENODEV) {
		return rpc_refuse(request, CONTROL_BAD_STATE, "the machine has no screen",
				  "start vmwp with --vga");
	}
	return bytes < 0 ? rpc_refuse(request, CONTROL_BAD_IO, strerror((int)-bytes), "")
			 : json_pack("{sI}", "bytes", bytes);
}

static json_t *run_memory(struct rpc_request *request, const struct parameters *p)
{
	struct machine *machine = control_of(request)->machine;
	struct balloon_state state;
	uint64_t minimum, maximum;

	if (machine->balloon == NULL) {
		return rpc_refuse(request, CONTROL_BAD_STATE, "the guest has its memory for good",
				  "start vmwp with --memory-minimum");
	}
	balloon_get_state(machine->balloon, &state);
	minimum = p->minimum != 0 ? p->minimum / MEMORY_PAGE : state.minimum;
	maximum = p->maximum != 0 ? p->maximum / MEMORY_PAGE : state.maximum;
	if (p->target == 0 && p->minimum == 0 && p->maximum == 0) {
		return rpc_refuse(request, CONTROL_BAD_INVALID, "nothing is to be changed",
				  "give a target, a minimum or a maximum");
	}
	if (minimum > maximum || maximum > machine->config->memory_maximum / MEMORY_PAGE) {
		return rpc_refuse(request, CONTROL_BAD_INVALID,
				  "the minimum is above the maximum, or that above what the "
				  "machine was started with",
				  "stay within that; more holds at its next start");
	}
	balloon_set_bounds(machine->balloon, minimum, maximum);
	if (p->target != 0) {
		balloon_set_target(machine->balloon, p->target / MEMORY_PAGE);
	}
	return json_pack("{s:o}", "dynamic-memory", balloon_object(machine));
}

static json_t *run_socket(struct rpc_request *request, const struct parameters *p)
{
	struct stat file;

	(void)p;
	if (fstat(request->fds[0], &file) != 0 || !S_ISSOCK(file.st_mode)) {
		return rpc_refuse(request, CONTROL_BAD_DESCRIPTORS, "the descriptor is no socket",
				  "give one end of a pair of stream sockets");
	}
	if (sockets_adopt(control_of(request)->machine->sockets, request->fds[0]) != 0) {
		return rpc_refuse(request, CONTROL_BAD_LIMIT,
				  "the guest has as many sockets as it may have", "end some");
	}
	request->fd_count = 0;
	return json_object();
}

/* ---- Tables ---- */

#define AT(member) .at = offsetof(struct parameters, member)

#define MEMBER_NUMBER                                                                              \
	{                                                                                          \
		"number", FORM_NUMBER, .required = true, AT(number), .most = CONTROL_NUMBER_MAX    \
	}
#define MEMBER_NAME(is_required)                                                                   \
	{                                                                                          \
		"name", FORM_TEXT, .required = (is_required), AT(name), .least = 1,                \
				   .most = CONTROL_NAME_MAX                                        \
	}

static const struct form_member events_members[] = {
	{"on", FORM_FLAG, AT(on)},
};
static const struct form_member cancel_members[] = {
	{"job", FORM_NUMBER, .required = true, AT(job), .least = 1, .most = UINT32_MAX},
};
static const struct form_member attach_members[] = {
	MEMBER_NUMBER,
	MEMBER_NAME(true),
	{"read-only", FORM_FLAG, AT(read_only)},
	{"raw", FORM_FLAG, AT(raw)},
};
static const struct form_member dvd_members[] = {
	MEMBER_NUMBER,
	MEMBER_NAME(false),
};
static const struct form_member change_members[] = {
	MEMBER_NUMBER,
	MEMBER_NAME(false),
	{"force", FORM_FLAG, AT(force)},
};
static const struct form_member shutdown_members[] = {
	{"restart", FORM_FLAG, AT(restart)},
	{"force", FORM_FLAG, AT(force)},
};
static const struct form_member service_members[] = {
	{"name", FORM_WORD, .required = true, AT(service), .words = services_names},
	{"on", FORM_FLAG, .required = true, AT(on)},
};
#define MEMBER_POOL                                                                                \
	{                                                                                          \
		"pool", FORM_WORD, .required = true, AT(pool), .words = services_pools             \
	}
#define MEMBER_KEY                                                                                 \
	{                                                                                          \
		"key", FORM_TEXT, .required = true, AT(key), .least = 1,                           \
				  .most = INTEGRATION_KEY_BYTES - 1                                \
	}

static const struct form_member value_members[] = {
	MEMBER_POOL,
	MEMBER_KEY,
};
static const struct form_member value_list_members[] = {
	MEMBER_POOL,
	{"from", FORM_NUMBER, AT(from), .most = UINT16_MAX},
};
static const struct form_member value_set_members[] = {
	MEMBER_POOL,
	MEMBER_KEY,
	{"value", FORM_TEXT, .required = true, AT(value), .most = INTEGRATION_VALUE_BYTES - 1},
	{"type", FORM_WORD, AT(type), .words = services_types},
};
static const struct form_member memory_members[] = {
	{"target", FORM_NUMBER, AT(target), .most = INT64_MAX},
	{"minimum", FORM_NUMBER, AT(minimum), .least = 8 << 20, .most = INT64_MAX},
	{"maximum", FORM_NUMBER, AT(maximum), .least = 8 << 20, .most = INT64_MAX},
};
#define MEMBER_ADAPTER                                                                             \
	{                                                                                          \
		"adapter", FORM_NUMBER, .required = true, AT(adapter),                             \
					.most = CONFIG_NETWORKS_MAX - 1                            \
	}

static bool read_own(struct form *form, const json_t *value, void *into)
{
	return addresses_read_own(form, value, &((struct parameters *)into)->addresses);
}

static bool read_gateways(struct form *form, const json_t *value, void *into)
{
	return addresses_read_gateways(form, value, &((struct parameters *)into)->addresses);
}

static bool read_dns(struct form *form, const json_t *value, void *into)
{
	return addresses_read_dns(form, value, &((struct parameters *)into)->addresses);
}

static const struct form_member addresses_get_members[] = {
	MEMBER_ADAPTER,
};
static const struct form_member addresses_set_members[] = {
	MEMBER_ADAPTER,
	{"dhcp", FORM_FLAG, AT(dhcp)},
	{"addresses", FORM_OTHER, .read = read_own},
	{"gateways", FORM_OTHER, .read = read_gateways},
	{"dns", FORM_OTHER, .read = read_dns},
};
static const struct form_member freeze_members[] = {
	{"seconds", FORM_NUMBER, AT(seconds), .least = 1, .most = CONTROL_FREEZE_MOST},
};
static const struct form_member migrate_members[] = {
	{"downtime", FORM_NUMBER, AT(downtime), .most = CONTROL_DOWNTIME_MOST},
	{"rounds", FORM_NUMBER, AT(rounds), .least = 1, .most = CONTROL_ROUNDS_MOST},
	{"disks", FORM_FLAG, AT(disks)},
};
static const struct form_member copy_members[] = {
	{"path", FORM_TEXT, .required = true, AT(path), .least = 1, .most = CONTROL_NAME_MAX},
	{"overwrite", FORM_FLAG, AT(overwrite)},
	{"create-directories", FORM_FLAG, AT(make_path)},
};
static const struct form_member detach_members[] = {
	MEMBER_NUMBER,
};

static const char *const controllers[] = {"scsi", "ide", NULL};

struct listed_disk {
	unsigned int controller;
	uint64_t number;
	const char *name;
};

static const struct form_member listed_members[] = {
	{"controller", FORM_WORD, .at = offsetof(struct listed_disk, controller),
	 .words = controllers},
	{"number", FORM_NUMBER, .required = true, .at = offsetof(struct listed_disk, number),
	 .most = CONTROL_NUMBER_MAX},
	{"name", FORM_TEXT, .required = true, .at = offsetof(struct listed_disk, name), .least = 1,
	 .most = CONTROL_NAME_MAX},
};

/* A disk of a checkpoint, behind those that are there. */
static bool read_disk(struct form *form, const json_t *value, void *into)
{
	struct checkpoint_request *request = &((struct parameters *)into)->checkpoint;
	struct listed_disk disk = {0};

	if (!form_read(form, value, listed_members, ARRAY_COUNT(listed_members), &disk)) {
		return false;
	}
	if (disk.controller == 1 && disk.number >= CONFIG_IDE_MAX) {
		return form_refuse(form, value, "give a number from 0 to 3",
				   "is no disk that IDE could have");
	}
	request->disks[request->disk_count++] = (struct checkpoint_disk){
		.place = (unsigned int)disk.number + (disk.controller == 1 ? CONFIG_SCSI_MAX : 0),
		.name = disk.name,
		.fd = -1};
	return true;
}

static bool read_disks(struct form *form, const json_t *value, void *into)
{
	return form_read_list(form, value, CONFIG_DISKS_MAX, read_disk, into);
}

static const struct form_member checkpoint_members[] = {
	{"state", FORM_FLAG, AT(state)},
	{"mirrored", FORM_FLAG, AT(mirrored)},
	{"disks", FORM_OTHER, .required = true, .read = read_disks},
};
static const struct form_member checkpoint_end_members[] = {
	{"keep", FORM_FLAG, .required = true, AT(keep)},
};

static const struct form_member merge_members[] = {
	{"controller", FORM_WORD, AT(controller), .words = controllers},
	MEMBER_NUMBER,
	MEMBER_NAME(true),
	{"absolute", FORM_TEXT, .required = true, AT(absolute), .least = 1,
	 .most = CONTROL_NAME_MAX},
	{"relative", FORM_TEXT, .required = true, AT(relative), .least = 1,
	 .most = CONTROL_NAME_MAX},
	{"look", FORM_FLAG, AT(look)},
};

static const struct form_member mirror_members[] = {
	{"controller", FORM_WORD, AT(controller), .words = controllers},
	MEMBER_NUMBER,
	MEMBER_NAME(true),
	{"absolute", FORM_TEXT, AT(absolute), .least = 1, .most = CONTROL_NAME_MAX},
	{"relative", FORM_TEXT, AT(relative), .least = 1, .most = CONTROL_NAME_MAX},
};

/* The connection comes as a descriptor. */
static bool read_network(struct form *form, const json_t *value, void *into)
{
	const json_t *socket = json_object_get(value, "socket");

	return socket == NULL ? config_read_network(form, value, into)
			      : form_refuse_member(form, "socket", socket,
						   "send a socket that is connected to it along",
						   "has no use here");
}

static const struct form_member net_add_members[] = {
	{"network", FORM_OTHER, .required = true, AT(network), .read = read_network},
};
static const struct form_member adapter_members[] = {
	{"number", FORM_NUMBER, .required = true, AT(number), .most = CONTROL_ADAPTER_MAX},
};

static bool read_pci(struct form *form, const json_t *value, void *into)
{
	const char *address = json_string_value(value);

	if (address == NULL || !pci_is_address(address)) {
		return form_refuse(form, value, "give one as lspci -D shows it: 0000:00:05.0",
				   "is no address of a PCI device");
	}
	((struct parameters *)into)->pci = address;
	return true;
}

static bool read_of_adapter(struct form *form, const json_t *value, void *into)
{
	static const struct form_member a_number = {"", FORM_NUMBER32,
						    .most = CONFIG_NETWORKS_MAX - 1};
	uint32_t number;

	if (!form_read_value(form, value, &a_number, &number)) {
		return false;
	}
	((struct parameters *)into)->of_adapter = (int)number + 1;
	return true;
}

#define MEMBER_PCI                                                                                 \
	{                                                                                          \
		"pci", FORM_OTHER, .required = true, .read = read_pci                              \
	}

static const struct form_member device_add_members[] = {
	MEMBER_PCI,
	{"adapter", FORM_OTHER, .read = read_of_adapter},
};
static const struct form_member device_remove_members[] = {
	MEMBER_PCI,
	{"force", FORM_FLAG, AT(force)},
};

#define MEMBERS(list) (list), ARRAY_COUNT(list)

/* clang-format off */
static const struct rpc_method methods[] = {
	/*               changes  files                 params                   */
	{CONTROL_STATUS,  false, 0, 0,                  NULL, 0,                 run_status},
	{CONTROL_EVENTS,  false, 0, 0,                  MEMBERS(events_members), run_events},
	{CONTROL_JOBS,    false, 0, 0,                  NULL, 0,                 run_jobs},
	{CONTROL_CANCEL,  true,  0, 0,                  MEMBERS(cancel_members), run_cancel},
	{CONTROL_PAUSE,   true,  0, 0,                  NULL, 0,                 run_pause},
	{CONTROL_RESUME,  true,  0, 0,                  NULL, 0,                 run_resume},
	{CONTROL_SAVE,    true,  1, 1,                  NULL, 0,                 run_save},
	{CONTROL_CHECKPOINT, true, 0, 1 + CONFIG_DISKS_MAX, MEMBERS(checkpoint_members), run_checkpoint},
	{CONTROL_CHECKPOINT_END, true, 0, 0,            MEMBERS(checkpoint_end_members), run_checkpoint_end},
	{CONTROL_MERGE,   true,  2, 3,                  MEMBERS(merge_members), run_merge},
	{CONTROL_MIRROR,  true,  1, CONTROL_FILES_MAX,  MEMBERS(mirror_members), run_mirror},
	{CONTROL_MIGRATE, true,  2, 2 + CONFIG_NETWORKS_MAX,          MEMBERS(migrate_members), run_migrate},
	{CONTROL_SHUTDOWN, true, 0, 0,                  MEMBERS(shutdown_members), run_shutdown},
	{CONTROL_SERVICE, true,  0, 0,                  MEMBERS(service_members), run_service},
	{CONTROL_VALUE_GET, true, 0, 0,                 MEMBERS(value_members), run_value_get},
	{CONTROL_VALUE_LIST, true, 0, 0,                MEMBERS(value_list_members), run_value_list},
	{CONTROL_VALUE_SET, true, 0, 0,                 MEMBERS(value_set_members), run_value_set},
	{CONTROL_VALUE_DELETE, true, 0, 0,              MEMBERS(value_members), run_value_delete},
	{CONTROL_ADDRESSES_GET, true, 0, 0,             MEMBERS(addresses_get_members), run_addresses_get},
	{CONTROL_ADDRESSES_SET, true, 0, 0,             MEMBERS(addresses_set_members), run_addresses_set},
	{CONTROL_FREEZE,  true,  0, 0,                  MEMBERS(freeze_members), run_freeze},
	{CONTROL_THAW,    true,  0, 0,                  NULL, 0,                 run_thaw},
	{CONTROL_COPY,    true,  1, 1,                  MEMBERS(copy_members),   run_copy},
	{CONTROL_BUTTON,  true,  0, 0,                  NULL, 0,                 run_button},
	{CONTROL_GENERATION, true, 0, 0,                NULL, 0,                 run_generation},
	{CONTROL_RESET,   true,  0, 0,                  NULL, 0,                 run_reset},
	{CONTROL_OFF,     true,  0, 0,                  NULL, 0,                 run_off},
	{CONTROL_ATTACH,  true,  1, CONTROL_FILES_MAX,  MEMBERS(attach_members), run_attach},
	{CONTROL_DETACH,  true,  0, 0,                  MEMBERS(detach_members), run_detach},
	{CONTROL_DVD,     true,  0, 1,                  MEMBERS(dvd_members),    run_dvd},
	{CONTROL_CHANGE,  true,  0, 1,                  MEMBERS(change_members), run_change},
	{CONTROL_NET_ADD, true,  1, 1,                  MEMBERS(net_add_members), run_net_add},
	{CONTROL_NET_REMOVE, true, 0, 0,                MEMBERS(adapter_members), run_net_remove},
	{CONTROL_NET_CONNECT, true, 1, 1,               MEMBERS(adapter_members), run_net_connect},
	{CONTROL_DEVICE_ADD, true, 1, 2,                MEMBERS(device_add_members), run_device_add},
	{CONTROL_DEVICE_REMOVE, true, 0, 0,             MEMBERS(device_remove_members), run_device_remove},
	{CONTROL_SCREEN,  true,  1, 1,                  NULL, 0,                 run_screen},
	{CONTROL_SEAT,    true,  1, 1,                  NULL, 0,                 run_seat},
	{CONTROL_CONSOLE, true,  1, 1,                  NULL, 0,                 run_console},
	{CONTROL_MEMORY,  true,  0, 0,                  MEMBERS(memory_members), run_memory},
	{CONTROL_SOCKET,  true,  1, 1,                  NULL, 0,                 run_socket},
};
/* clang-format on */

/* A machine that is in a job's hands: what ends it, or the job, and what only looks. */
static bool may_run(struct rpc_request *request, const struct rpc_method *method)
{
	struct machine *machine = control_of(request)->machine;

	if (!method->changes || method->run == run_cancel || method->run == run_off ||
	    (checkpoint_is_open(machine) ? method->run == run_checkpoint_end
					 : method->run == run_reset || !machine_is_held(machine))) {
		return true;
	}
	if (checkpoint_is_open(machine)) {
		rpc_refuse(request, CONTROL_BAD_BUSY,
			   "a checkpoint of the machine has not ended, and it stands until then",
			   "see checkpoint.end");
		return false;
	}
	rpc_refuse(request, CONTROL_BAD_BUSY,
		   "the machine is being saved or moved, or a checkpoint is taken",
		   "wait for that, or cancel its job");
	return false;
}

static const struct rpc_table table = {
	.methods = methods,
	.count = ARRAY_COUNT(methods),
	.server = "worker",
	.subject = "machine",
	.who = "ask as root, as who started the worker, or as one of the configuration's "
	       "control.users",
	.hello = add_to_hello,
	.may_run = may_run,
};

json_t *methods_answer(struct rpc_request *request, const char *text_, size_t length)
{
	struct parameters parameters = {.on = true,
					.seconds = CONTROL_FREEZE_SECONDS,
					.downtime = CONTROL_DOWNTIME,
					.rounds = CONTROL_ROUNDS};

	return rpc_answer(&table, request, &parameters, text_, length);
}
