/*
 * Numbers: of machines, as the service and their workers tell them, and of the host. What nobody
 * counts is left out, or is refused where it was asked for alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt/call.h"

#define VCPUS_MOST 240

/* virDomainStatsTypes */
enum {
	STATS_STATE = 1,
	STATS_CPU = 2,
	STATS_BALLOON = 4,
	STATS_VCPU = 8,
	STATS_INTERFACE = 16,
	STATS_BLOCK = 32,
};
/* virDomainMemoryStatTags */
enum { MEMORY_AVAILABLE = 5, MEMORY_ACTUAL = 6, MEMORY_USABLE = 8 };
enum { JOB_NONE, JOB_BOUNDED, JOB_UNBOUNDED }; /* virDomainJobType */

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

static const json_t *disks_of(const json_t *machine)
{
	return json_object_get(json_object_get(machine, "document"), "disks");
}

static const json_t *networks_of(const json_t *machine)
{
	return json_object_get(json_object_get(machine, "document"), "networks");
}

static uint64_t cpu_time(const json_t *machine)
{
	return (uint64_t)(json_number_value(json_object_get(machine, "cpu-seconds")) * 1000000000);
}

/* ---- Disks ---- */

static void path_of(struct call *call, const json_t *machine, const json_t *disk, char path[2048])
{
	const char *file = text_of(disk, "file");
	char folder[1024];

	folder_of(call, machine, folder);
	snprintf(path, 2048, "%s%s%s", *file == '/' || *file == '\0' ? "" : folder,
		 *file == '/' || *file == '\0' ? "" : "/", file);
}

/* By "sda", or by its file. NULL: the call has failed. */
static const json_t *find_disk(struct call *call, const json_t *machine, const char *name)
{
	const json_t *disks = disks_of(machine);
	char target[DRIVE_TARGET], path[2048];

	for (size_t i = 0; i < json_array_size(disks); i++) {
		drive_target(disks, i, target);
		path_of(call, machine, json_array_get(disks, i), path);
		if (strcmp(target, name) == 0 || (*path != '\0' && strcmp(path, name) == 0)) {
			return json_array_get(disks, i);
		}
	}
	if (call->error == 0) {
		fail(call, ERR_ARGUMENT, "'%s' has no disk '%.200s'", text_of(machine, "name"),
		     name);
	}
	return NULL;
}

/*
 * What the worker counts: of its SCSI controller. So of all disks (NULL), or of one that is alone
 * there. NULL: the machine does not run, or the number is not known.
 */
static const json_t *counts_of(const json_t *machine, const json_t *disk)
{
	const json_t *worker = json_object_get(machine, "worker"), *other;
	unsigned int count = 0;
	size_t i;

	json_array_foreach((json_t *)disks_of(machine), i, other)
	{
		count += !drive_is_ide(other);
	}
	return disk == NULL || (count == 1 && !drive_is_ide(disk)) ? json_object_get(worker, "scsi")
								   : NULL;
}

/* Of the disk that the call names; "": of all. */
static const json_t *get_counts(struct call *call, const json_t *machine, const char *name)
{
	const json_t *disk = *name != '\0' ? find_disk(call, machine, name) : NULL,
		     *counts = call->error == 0 ? counts_of(machine, disk) : NULL;

	if (call->error == 0 && !is_running(machine)) {
		fail(call, ERR_INVALID, "'%s' does not run", text_of(machine, "name"));
	} else if (call->error == 0 && counts == NULL) {
		fail(call, ERR_NO_SUPPORT, "counts are of all SCSI disks together; name none");
	}
	return counts;
}

static json_t *fetch_named(struct call *call, char *name, size_t size)
{
	struct domain domain;

	get_domain(call, &domain);
	wire_get_text(call->in, name, size);
	return fetch(call, domain.id);
}

void get_block_stats(struct call *call)
{
	static const char *const members[] = {"reads", "bytes-read", "writes", "bytes-written",
					      "errors"};
	char name[2048];
	json_t *machine = fetch_named(call, name, sizeof(name));
	const json_t *counts = machine != NULL ? get_counts(call, machine, name) : NULL;

	for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
		wire_put_long(call->out, number(counts, members[i]));
	}
	json_decref(machine);
}

/* Asked for none, it says how many there are. */
void get_block_stats_with_flags(struct call *call)
{
	static const char *const members[][2] = {{"rd_operations", "reads"},
						 {"rd_bytes", "bytes-read"},
						 {"wr_operations", "writes"},
						 {"wr_bytes", "bytes-written"},
						 {"errs", "errors"}};
	char name[2048];
	json_t *machine = fetch_named(call, name, sizeof(name));
	const json_t *counts = machine != NULL ? get_counts(call, machine, name) : NULL;
	uint32_t most = wire_get(call->in), count = ARRAY_COUNT(members);

	count = most == 0 ? 0 : most < count ? most : count;
	wire_put(call->out, count);
	for (uint32_t i = 0; i < count; i++) {
		put_param_long(call->out, members[i][0], (int64_t)number(counts, members[i][1]));
	}
	wire_put(call->out, most == 0 ? ARRAY_COUNT(members) : count);
	json_decref(machine);
}

void get_block_info(struct call *call)
{
	char name[2048], path[2048];
	json_t *machine = fetch_named(call, name, sizeof(name));
	const json_t *disk = machine != NULL ? find_disk(call, machine, name) : NULL;
	struct xml_volume about = {0};

	if (disk != NULL) {
		path_of(call, machine, disk, path);
		storage_look_into(path, &about);
	}
	wire_put_long(call->out, about.allocation);
	wire_put_long(call->out, about.capacity);
	wire_put_long(call->out, about.physical);
	json_decref(machine);
}

/* ---- Network adapters ---- */

/* Its port, as the worker names it where the document does not. */
static void port_of(const json_t *machine, size_t index, char port[128])
{
	const char *given = text_of(json_array_get(networks_of(machine), index), "port");

	if (*given != '\0') {
		snprintf(port, 128, "%s", given);
	} else {
		snprintf(port, 128, "%s-%zu", text_of(machine, "name"), index);
	}
}

/* What the worker says of it: by its address, or its place. */
static const json_t *worker_adapter(const json_t *machine, size_t index)
{
	const json_t *list = json_object_get(json_object_get(machine, "worker"), "networks"), *one;
	const char *mac = text_of(json_array_get(networks_of(machine), index), "mac");
	size_t i;

	json_array_foreach((json_t *)list, i, one)
	{
		if (*mac != '\0' ? strcasecmp(text_of(one, "address"), mac) == 0
				 : number(one, "number") == index) {
			return one;
		}
	}
	return NULL;
}

void get_interface_stats(struct call *call)
{
	char name[256], port[128];
	json_t *machine = fetch_named(call, name, sizeof(name));
	const json_t *networks = networks_of(machine), *adapter = NULL;
	size_t i;

	for (i = 0; i < json_array_size(networks); i++) {
		port_of(machine, i, port);
		if (strcmp(port, name) == 0 ||
		    strcasecmp(text_of(json_array_get(networks, i), "mac"), name) == 0) {
			adapter = worker_adapter(machine, i);
			break;
		}
	}
	if (machine != NULL && i == json_array_size(networks)) {
		fail(call, ERR_ARGUMENT, "'%s' has no adapter '%s'", text_of(machine, "name"),
		     name);
	} else if (machine != NULL && adapter == NULL) {
		fail(call, ERR_INVALID, "'%s' does not run", text_of(machine, "name"));
	}
	/* Errors and drops are the switch's affair: -1 is not known. */
	wire_put_long(call->out, number(adapter, "bytes-in"));
	wire_put_long(call->out, number(adapter, "frames-in"));
	wire_put_long(call->out, UINT64_MAX);
	wire_put_long(call->out, UINT64_MAX);
	wire_put_long(call->out, number(adapter, "bytes-out"));
	wire_put_long(call->out, number(adapter, "frames-out"));
	wire_put_long(call->out, UINT64_MAX);
	wire_put_long(call->out, UINT64_MAX);
	json_decref(machine);
}

/* ---- Memory, processors ---- */

/* Bytes that the machine has now. */
static uint64_t memory_now(const json_t *machine)
{
	const json_t *worker = json_object_get(machine, "worker"),
		     *led = json_object_get(worker, "dynamic-memory");
	uint64_t size = led != NULL ? number(led, "assigned") : number(worker, "memory");

	return size != 0 ? size : xml_memory(machine);
}

void get_memory_stats(struct call *call)
{
	json_t *machine = fetch_domain(call);
	const json_t *led = json_object_get(json_object_get(machine, "worker"), "dynamic-memory"),
		     *usable = json_object_get(led, "available");

	if (machine != NULL && !is_running(machine)) {
		fail(call, ERR_INVALID, "'%s' does not run", text_of(machine, "name"));
	}
	wire_put(call->out, usable != NULL ? 3 : 2);
	wire_put(call->out, MEMORY_ACTUAL);
	wire_put_long(call->out, memory_now(machine) / 1024);
	wire_put(call->out, MEMORY_AVAILABLE);
	wire_put_long(call->out, memory_now(machine) / 1024);
	if (usable != NULL) {
		wire_put(call->out, MEMORY_USABLE);
		wire_put_long(call->out, number(led, "available") / 1024);
	}
	json_decref(machine);
}

/* Each may run on each LP. How long each of them has run nobody counts, but of a single one. */
void get_vcpus(struct call *call)
{
	struct domain domain;
	uint32_t most, length, count, i;
	json_t *machine;
	uint8_t *maps;

	get_domain(call, &domain);
	most = wire_get(call->in);
	length = wire_get(call->in);
	machine = fetch(call, domain.id);
	if (machine != NULL && (most > 16384 || length > 2048)) {
		fail(call, ERR_ARGUMENT, "there are not so many");
	} else if (machine != NULL && !is_running(machine)) {
		fail(call, ERR_INVALID, "'%s' does not run", text_of(machine, "name"));
	}
	count = (uint32_t)number(machine, "vps");
	count = count < most ? count : most;
	count = call->error == 0 && count <= VCPUS_MOST ? count : 0;
	wire_put(call->out, count);
	for (i = 0; i < count; i++) {
		wire_put(call->out, i);
		wire_put(call->out, 1); /* VIR_VCPU_RUNNING */
		wire_put_long(call->out, count == 1 ? cpu_time(machine) : 0);
		wire_put(call->out, UINT32_MAX); /* on which LP: not known */
	}
	maps = malloc((size_t)count * length + 1);
	if (maps != NULL) {
		memset(maps, 0, (size_t)count * length);
		for (i = 0; i < count * length * 8 && count * length != 0; i++) {
			uint32_t lp = i % (length * 8);

			if (lp < lps_of(call)) {
				maps[i / 8] |= (uint8_t)(1u << i % 8);
			}
		}
		wire_put(call->out, count * length);
		wire_put_bytes(call->out, maps, (size_t)count * length);
	}
	free(maps);
	json_decref(machine);
}

/* Of all processors together (-1); of each alone nobody counts it. Asked for none, it says how many
 * numbers there are. */
void get_cpu_stats(struct call *call)
{
	struct domain domain;
	uint32_t most;
	int32_t first;
	json_t *machine;

	get_domain(call, &domain);
	most = wire_get(call->in);
	first = (int32_t)wire_get(call->in);
	machine = fetch(call, domain.id);
	if (machine != NULL && !is_running(machine)) {
		fail(call, ERR_INVALID, "'%s' does not run", text_of(machine, "name"));
	} else if (machine != NULL && first >= 0) {
		fail(call, ERR_NO_SUPPORT, "the time of all processors together is known; --total");
	}
	wire_put(call->out, most != 0);
	if (most != 0) {
		put_param_ulong(call->out, "cpu_time", cpu_time(machine));
	}
	wire_put(call->out, 1);
	json_decref(machine);
}

void get_control_info(struct call *call)
{
	json_decref(fetch_domain(call));
	wire_put(call->out, 0); /* VIR_DOMAIN_CONTROL_OK */
	wire_put(call->out, 0);
	wire_put_long(call->out, 0);
}

/* ---- What is being done with it ---- */

static json_t *fetch_job(struct call *call)
{
	json_t *machine = fetch_domain(call), *job = NULL;

	if (json_object_get(machine, "job") != NULL) {
		job = ask(call, "GET", NULL, "/v1/jobs/%" JSON_INTEGER_FORMAT,
			  json_integer_value(json_object_get(machine, "job")));
	}
	json_decref(machine);
	return job;
}

static uint32_t job_type(const json_t *job)
{
	return job == NULL ? JOB_NONE : number(job, "total") != 0 ? JOB_BOUNDED : JOB_UNBOUNDED;
}

static uint64_t job_left(const json_t *job)
{
	uint64_t total = number(job, "total"), done = number(job, "done");

	return total > done ? total - done : 0;
}

void get_job_info(struct call *call)
{
	json_t *job = fetch_job(call);
	unsigned int i;

	wire_put(call->out, job_type(job));
	wire_put_long(call->out, 0); /* times: the service tells none */
	wire_put_long(call->out, 0);
	wire_put_long(call->out, number(job, "total"));
	wire_put_long(call->out, number(job, "done"));
	wire_put_long(call->out, job_left(job));
	for (i = 0; i < 6; i++) { /* what of it is memory, and files */
		wire_put_long(call->out, 0);
	}
	json_decref(job);
}

void get_job_stats(struct call *call)
{
	json_t *job = fetch_job(call);

	wire_put(call->out, job_type(job));
	wire_put(call->out, job_type(job) == JOB_BOUNDED ? 3 : 0);
	if (job_type(job) == JOB_BOUNDED) {
		put_param_ulong(call->out, "data_total", number(job, "total"));
		put_param_ulong(call->out, "data_processed", number(job, "done"));
		put_param_ulong(call->out, "data_remaining", job_left(job));
	}
	json_decref(job);
}

/* ---- All at once ---- */

struct params {
	struct wire_out out;
	uint32_t count;
};

static void add(struct params *params, const char *name, uint64_t value)
{
	put_param_ulong(&params->out, name, value);
	params->count++;
}

static void add_small(struct params *params, const char *name, uint64_t value)
{
	put_param_uint(&params->out, name, (uint32_t)value);
	params->count++;
}

static void add_text(struct params *params, const char *part, size_t index, const char *name,
		     const char *value)
{
	char whole[64];

	snprintf(whole, sizeof(whole), "%s.%zu.%s", part, index, name);
	put_param_text(&params->out, whole, value);
	params->count++;
}

static void add_of(struct params *params, const char *part, size_t index, const char *name,
		   const json_t *object, const char *key)
{
	char whole[64];

	if (json_object_get(object, key) != NULL) {
		snprintf(whole, sizeof(whole), "%s.%zu.%s", part, index, name);
		add(params, whole, number(object, key));
	}
}

static void add_interfaces(struct params *params, const json_t *machine)
{
	size_t count = json_array_size(networks_of(machine)), i;
	char port[128];

	add_small(params, "net.count", count);
	for (i = 0; i < count; i++) {
		const json_t *adapter = worker_adapter(machine, i);

		port_of(machine, i, port);
		add_text(params, "net", i, "name", port);
		add_of(params, "net", i, "rx.bytes", adapter, "bytes-in");
		add_of(params, "net", i, "rx.pkts", adapter, "frames-in");
		add_of(params, "net", i, "tx.bytes", adapter, "bytes-out");
		add_of(params, "net", i, "tx.pkts", adapter, "frames-out");
	}
}

static void add_disks(struct call *call, struct params *params, const json_t *machine)
{
	const json_t *disks = disks_of(machine);
	size_t count = json_array_size(disks), i;
	char target[DRIVE_TARGET], path[2048], name[64];

	add_small(params, "block.count", count);
	for (i = 0; i < count; i++) {
		const json_t *disk = json_array_get(disks, i), *counts = counts_of(machine, disk);
		struct xml_volume about = {0};

		drive_target(disks, i, target);
		path_of(call, machine, disk, path);
		add_text(params, "block", i, "name", target);
		if (path[0] != '\0') {
			add_text(params, "block", i, "path", path);
			storage_look_into(path, &about);
		}
		add_of(params, "block", i, "rd.reqs", counts, "reads");
		add_of(params, "block", i, "rd.bytes", counts, "bytes-read");
		add_of(params, "block", i, "wr.reqs", counts, "writes");
		add_of(params, "block", i, "wr.bytes", counts, "bytes-written");
		if (about.capacity != 0) {
			snprintf(name, sizeof(name), "block.%zu.allocation", i);
			add(params, name, about.allocation);
			snprintf(name, sizeof(name), "block.%zu.capacity", i);
			add(params, name, about.capacity);
			snprintf(name, sizeof(name), "block.%zu.physical", i);
			add(params, name, about.physical);
		}
	}
}

static void put_record(struct call *call, const json_t *machine, uint32_t wanted)
{
	struct params params = {0};
	uint64_t vps = number(machine, "vps");

	if (wanted & STATS_STATE) {
		put_param_int(&params.out, "state.state", state_of(machine));
		put_param_int(&params.out, "state.reason", 0);
		params.count += 2;
	}
	if (wanted & STATS_CPU && is_running(machine)) {
		add(&params, "cpu.time", cpu_time(machine));
	}
	if (wanted & STATS_BALLOON) {
		add(&params, "balloon.current", memory_now(machine) / 1024);
		add(&params, "balloon.maximum", xml_memory_most(machine) / 1024);
	}
	if (wanted & STATS_VCPU) {
		add_small(&params, "vcpu.current", vps);
		add_small(&params, "vcpu.maximum", vps);
	}
	if (wanted & STATS_INTERFACE) {
		add_interfaces(&params, machine);
	}
	if (wanted & STATS_BLOCK) {
		add_disks(call, &params, machine);
	}
	put_domain(call, machine);
	wire_put(call->out, params.count);
	if (params.out.failed) {
		fail(call, ERR_INTERNAL, "out of memory");
	} else if (params.out.length != 0) {
		wire_put_bytes(call->out, params.out.bytes, params.out.length);
	}
	free(params.out.bytes);
}

/* Of those that are named, or of all that the flags want. One that is deleted meanwhile is left
 * out. */
void get_all_stats(struct call *call)
{
	uint32_t named = wire_get(call->in), wanted, flags, i;
	json_t *ids = json_array(), *records = json_array(), *list, *machine, *id;
	struct domain domain;
	size_t index;

	for (i = 0; i < named && !call->in->bad; i++) {
		get_domain(call, &domain);
		json_array_append_new(ids, json_string(domain.id));
	}
	wanted = wire_get(call->in);
	flags = wire_get(call->in);
	list = named == 0 && is_whole(call) ? ask(call, "GET", NULL, "/v1/machines") : NULL;
	json_array_foreach(json_object_get(list, "machines"), index, machine)
	{
		if (is_wanted(machine, flags)) {
			json_array_append(ids, json_object_get(machine, "id"));
		}
	}
	json_decref(list);
	json_array_foreach(ids, index, id)
	{
		machine = call->error == 0 && is_whole(call) ? fetch(call, json_string_value(id))
							     : NULL;
		if (machine == NULL && call->error == ERR_NO_DOMAIN && named == 0) {
			call->error = 0;
		} else if (machine != NULL) {
			json_array_append_new(records, machine);
		}
	}
	wire_put(call->out, (uint32_t)json_array_size(records));
	json_array_foreach(records, index, machine)
	{
		put_record(call, machine, wanted != 0 ? wanted : UINT32_MAX);
	}
	json_decref(records);
	json_decref(ids);
}

/* ---- The host ---- */

static json_t *fetch_host(struct call *call)
{
	return ask(call, "GET", NULL, "/v1/host");
}

uint32_t lps_of(struct call *call)
{
	json_t *host = call->session->lps == 0 ? fetch_host(call) : NULL;

	if (host != NULL) {
		call->session->lps = (uint32_t)number(host, "lps");
	}
	json_decref(host);
	return call->session->lps;
}

/* Asked for none, it says how many there are. */
void get_node_memory(struct call *call)
{
	bool counts = wire_get(call->in) == 0;
	json_t *host = fetch_host(call);

	wire_put(call->out, counts ? 0 : 2);
	if (!counts) {
		wire_put_text(call->out, "total");
		wire_put_long(call->out, number(host, "memory") / 1024);
		wire_put_text(call->out, "free");
		wire_put_long(call->out, number(host, "memory-free") / 1024);
	}
	wire_put(call->out, 2);
	json_decref(host);
}

void get_free_memory(struct call *call)
{
	json_t *host = fetch_host(call);

	wire_put_long(call->out, number(host, "memory-free"));
	json_decref(host);
}

/* One node, of which there is all that is free. */
void get_cells_memory(struct call *call)
{
	bool first = wire_get(call->in) == 0, any = (int32_t)wire_get(call->in) > 0;

	wire_put(call->out, first && any);
	if (first && any) {
		get_free_memory(call);
	}
}

void get_cpu_map(struct call *call)
{
	bool need = wire_get(call->in) != 0, need_online = wire_get(call->in) != 0;
	uint32_t lps = lps_of(call), length = (lps + 7) / 8;
	uint8_t map[256] = {0};

	length = length <= sizeof(map) ? length : sizeof(map);
	for (uint32_t i = 0; i < lps && i < length * 8; i++) {
		map[i / 8] |= (uint8_t)(1u << i % 8);
	}
	wire_put(call->out, need ? length : 0);
	wire_put_bytes(call->out, map, need ? length : 0);
	wire_put(call->out, need_online ? lps : 0);
	wire_put(call->out, lps);
}

void get_most_vcpus(struct call *call)
{
	wire_put(call->out, VCPUS_MOST);
}

/* ---- Addresses ---- */

/* "192.0.2.7/24" */
static void put_address(struct call *call, const char *text)
{
	const char *slash = strchr(text, '/');
	char address[64];

	snprintf(address, sizeof(address), "%.*s",
		 (int)(slash != NULL ? (size_t)(slash - text) : strlen(text)), text);
	wire_put(call->out, strchr(address, ':') != NULL); /* virIPAddrType */
	wire_put_text(call->out, address);
	wire_put(call->out, slash != NULL ? (uint32_t)strtoul(slash + 1, NULL, 10) : 0);
}

/* Whichever source was asked for: here it is the guest itself. */
void get_addresses(struct call *call)
{
	struct domain domain;
	json_t *answer, *adapter, *list, *address;
	size_t i, j;

	get_domain(call, &domain);
	answer = is_whole(call) ? ask(call, "GET", NULL, "/v1/machines/%s/addresses", domain.id)
				: NULL;
	list = json_object_get(answer, "adapters");
	wire_put(call->out, (uint32_t)json_array_size(list));
	json_array_foreach(list, i, adapter)
	{
		const json_t *addresses = json_object_get(adapter, "addresses");

		wire_put_text(call->out, text_of(adapter, "port"));
		wire_put(call->out, 1);
		wire_put_text(call->out, text_of(adapter, "mac"));
		wire_put(call->out, (uint32_t)json_array_size(addresses));
		json_array_foreach((json_t *)addresses, j, address)
		{
			const char *text = json_string_value(address);

			put_address(call, text != NULL ? text : "");
		}
	}
	json_decref(answer);
}
