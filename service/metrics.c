/*
 * Numbers for Prometheus (its text format 0.0.4), under the names that dashboards have already:
 * those of the exporters for libvirt and for Hyper-V.
 *
 * A scrape asks each worker that can be asked how it is, once, and waits until all have answered or
 * for two seconds. A worker that has not answered an earlier scrape is not asked again; of it there
 * is what vmms knows itself.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/clock.h"
#include "include/mgmt/control.h"
#include "service/service.h"

#define WAIT_MS 2000

struct scrape {
	struct service *service;
	struct timer timer;
	struct scrape *next;
	uint64_t began_ms;
	void (*done)(void *user);
	void *user;
};

/* ---- What there is ---- */

struct sample {
	const struct machine *machine;
	const json_t *adapter; /* of those for adapters */
};

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

/* As virDomainState has it. */
static bool state_code(const struct sample *sample, double *value)
{
	static const int codes[MACHINE_STATES] = {
		[MACHINE_OFF] = 5,     [MACHINE_STARTING] = 1, [MACHINE_RUNNING] = 1,
		[MACHINE_PAUSING] = 1, [MACHINE_PAUSED] = 3,   [MACHINE_RESUMING] = 3,
		[MACHINE_SAVING] = 3,  [MACHINE_SAVED] = 5,    [MACHINE_STOPPING] = 4,
	};

	*value = sample->machine->crashed && sample->machine->worker != 0
			 ? 6
			 : codes[sample->machine->state];
	return true;
}

static bool maximum_memory(const struct sample *sample, double *value)
{
	json_t *bounds = difference_bounds(sample->machine->settings.document);
	const json_t *running = json_object_get(sample->machine->running, "bounds");

	*value = (double)number(running != NULL ? running : bounds, "most");
	json_decref(bounds);
	return *value > 0;
}

static bool memory_usage(const struct sample *sample, double *value)
{
	const json_t *status = sample->machine->status,
		     *led = json_object_get(status, "dynamic-memory");

	*value = (double)(led != NULL ? number(led, "assigned") : number(status, "memory"));
	return status != NULL || sample->machine->worker == 0;
}

static bool virtual_cpus(const struct sample *sample, double *value)
{
	*value = (double)number(sample->machine->settings.document, "vps");
	return *value > 0;
}

static bool cpu_time(const struct sample *sample, double *value)
{
	*value = machine_cpu_seconds(sample->machine);
	return sample->machine->worker != 0;
}

static bool of_worker(const struct sample *sample, const char *part, const char *key, double *value)
{
	const json_t *object = json_object_get(sample->machine->status, part);

	*value = (double)number(object, key);
	return json_object_get(object, key) != NULL;
}

#define OF_WORKER(function, part, key)                                                             \
	static bool function(const struct sample *sample, double *value)                           \
	{                                                                                          \
		return of_worker(sample, part, key, value);                                        \
	}
OF_WORKER(reads, "scsi", "reads")
OF_WORKER(writes, "scsi", "writes")
OF_WORKER(bytes_read, "scsi", "bytes-read")
OF_WORKER(bytes_written, "scsi", "bytes-written")
OF_WORKER(errors, "scsi", "errors")
OF_WORKER(assigned, "dynamic-memory", "assigned")
OF_WORKER(available, "dynamic-memory", "available")

static bool pressure(const struct sample *sample, double *value)
{
	bool there = of_worker(sample, "dynamic-memory", "pressure", value);

	*value /= 100;
	return there;
}

#define OF_ADAPTER(function, key)                                                                  \
	static bool function(const struct sample *sample, double *value)                           \
	{                                                                                          \
		*value = (double)number(sample->adapter, key);                                     \
		return json_object_get(sample->adapter, key) != NULL;                              \
	}
OF_ADAPTER(frames_in, "frames-in")
OF_ADAPTER(frames_out, "frames-out")
OF_ADAPTER(bytes_in, "bytes-in")
OF_ADAPTER(bytes_out, "bytes-out")

/* What a sample's labels are. */
enum labels {
	DOMAIN, /* domain, uuid */
	BLOCK,  /* ... and the controller */
	INTERFACE,
	VM,
	DEVICE,
	ADAPTER,
};

/* clang-format off */
static const struct family {
	const char *name, *type, *help;
	enum labels labels;
	bool (*value)(const struct sample *sample, double *value); /* false: not known */
} families[] = {
	{"libvirt_domain_state_code", "gauge", "State of the machine as libvirt numbers it: 1 running, 3 paused, 4 shutting down, 5 off, 6 crashed.", DOMAIN, state_code},
	{"libvirt_domain_info_maximum_memory_bytes", "gauge", "Memory that the machine can have.", DOMAIN, maximum_memory},
	{"libvirt_domain_info_memory_usage_bytes", "gauge", "Memory that the machine has.", DOMAIN, memory_usage},
	{"libvirt_domain_info_virtual_cpus", "gauge", "Virtual processors.", DOMAIN, virtual_cpus},
	{"libvirt_domain_info_cpu_time_seconds_total", "counter", "Time of processors that the machine has used.", DOMAIN, cpu_time},
	{"libvirt_domain_block_stats_read_bytes_total", "counter", "Bytes read, of all disks of a controller.", BLOCK, bytes_read},
	{"libvirt_domain_block_stats_read_requests_total", "counter", "Requests to read.", BLOCK, reads},
	{"libvirt_domain_block_stats_write_bytes_total", "counter", "Bytes written.", BLOCK, bytes_written},
	{"libvirt_domain_block_stats_write_requests_total", "counter", "Requests to write.", BLOCK, writes},
	{"libvirt_domain_interface_stats_receive_bytes_total", "counter", "Bytes that came to the adapter.", INTERFACE, bytes_in},
	{"libvirt_domain_interface_stats_receive_packets_total", "counter", "Frames that came to the adapter.", INTERFACE, frames_in},
	{"libvirt_domain_interface_stats_transmit_bytes_total", "counter", "Bytes that the adapter sent.", INTERFACE, bytes_out},
	{"libvirt_domain_interface_stats_transmit_packets_total", "counter", "Frames that the adapter sent.", INTERFACE, frames_out},
	{"windows_hyperv_dynamic_memory_vm_physical", "gauge", "Bytes of memory that a machine with dynamic memory has.", VM, assigned},
	{"windows_hyperv_dynamic_memory_vm_guest_available_bytes", "gauge", "Memory that its programs could have, as the guest says.", VM, available},
	{"windows_hyperv_dynamic_memory_vm_pressure_current_ratio", "gauge", "What the guest needs as a part of what it has.", VM, pressure},
	{"windows_hyperv_virtual_network_adapter_received_bytes_total", "counter", "Bytes that came to the adapter.", ADAPTER, bytes_in},
	{"windows_hyperv_virtual_network_adapter_received_packets_total", "counter", "Frames that came to the adapter.", ADAPTER, frames_in},
	{"windows_hyperv_virtual_network_adapter_sent_bytes_total", "counter", "Bytes that the adapter sent.", ADAPTER, bytes_out},
	{"windows_hyperv_virtual_network_adapter_sent_packets_total", "counter", "Frames that the adapter sent.", ADAPTER, frames_out},
	{"windows_hyperv_virtual_storage_device_bytes_read", "counter", "Bytes read, of all disks of a controller.", DEVICE, bytes_read},
	{"windows_hyperv_virtual_storage_device_bytes_written", "counter", "Bytes written.", DEVICE, bytes_written},
	{"windows_hyperv_virtual_storage_device_operations_read_total", "counter", "Requests to read.", DEVICE, reads},
	{"windows_hyperv_virtual_storage_device_operations_written_total", "counter", "Requests to write.", DEVICE, writes},
	{"windows_hyperv_virtual_storage_device_error_count_total", "counter", "Requests that failed.", DEVICE, errors},
};
/* clang-format on */

/* ---- As text ---- */

static void print_text(FILE *file, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n') {
			fputs("\\n", file);
		} else {
			if (*text == '\\' || *text == '"') {
				fputc('\\', file);
			}
			fputc(*text, file);
		}
	}
}

static void print_label(FILE *file, const char *before, const char *text, const char *more)
{
	fputs(before, file);
	print_text(file, text != NULL ? text : "");
	if (more != NULL) {
		fputc('_', file);
		print_text(file, more);
	}
	fputc('"', file);
}

static void print_labels(FILE *file, enum labels labels, const struct sample *sample)
{
	const char *name = sample->machine->name,
		   *port = json_string_value(json_object_get(sample->adapter, "port"));

	if (labels == VM || labels == DEVICE || labels == ADAPTER) {
		print_label(file,
			    labels == VM       ? "{vm=\""
			    : labels == DEVICE ? "{device=\""
					       : "{adapter=\"",
			    name, labels == DEVICE ? "scsi" : port);
	} else {
		print_label(file, "{domain=\"", name, NULL);
		print_label(file, ",uuid=\"", sample->machine->id, NULL);
		if (labels == BLOCK) {
			print_label(file, ",target_device=\"", "scsi", NULL);
		} else if (labels == INTERFACE) {
			print_label(file, ",source_bridge=\"",
				    json_string_value(json_object_get(sample->adapter, "switch")),
				    NULL);
			print_label(file, ",target_device=\"", port, NULL);
		}
	}
	fputc('}', file);
}

static void print_sample(FILE *file, const struct family *family, const struct sample *sample)
{
	double value;

	if (family->value(sample, &value)) {
		fputs(family->name, file);
		print_labels(file, family->labels, sample);
		fprintf(file, " %.17g\n", value);
	}
}

static void print_family(FILE *file, const struct family *family, const struct machine *machine)
{
	struct sample sample = {machine, NULL};
	size_t i;

	if (family->labels != INTERFACE && family->labels != ADAPTER) {
		print_sample(file, family, &sample);
		return;
	}
	json_array_foreach((json_t *)json_object_get(machine->status, "networks"), i,
			   sample.adapter)
	{
		print_sample(file, family, &sample);
	}
}

char *metrics_text(const struct service *service,
		   bool (*may_see)(const void *user, const struct machine *machine),
		   const void *user)
{
	const struct machine *machine;
	unsigned int count = 0;
	char *text = NULL;
	size_t size, i;
	FILE *file = open_memstream(&text, &size);

	if (file == NULL) {
		return NULL;
	}
	for (machine = service->machines; machine != NULL; machine = machine->next) {
		count += may_see(user, machine);
	}
	fprintf(file,
		"# HELP libvirt_up Whether the management service answers.\n"
		"# TYPE libvirt_up gauge\n"
		"libvirt_up 1\n"
		"# HELP libvirt_domains_number Machines.\n"
		"# TYPE libvirt_domains_number gauge\n"
		"libvirt_domains_number %u\n",
		count);
	for (i = 0; i < ARRAY_COUNT(families); i++) {
		fprintf(file, "# HELP %s %s\n# TYPE %s %s\n", families[i].name, families[i].help,
			families[i].name, families[i].type);
		for (machine = service->machines; machine != NULL; machine = machine->next) {
			if (may_see(user, machine)) {
				print_family(file, &families[i], machine);
			}
		}
	}
	return fclose(file) == 0 ? text : NULL;
}

/* ---- Scrapes ---- */

static void end_scrape(struct scrape *scrape)
{
	struct scrape **link = &scrape->service->scrapes;

	while (*link != scrape) {
		link = &(*link)->next;
	}
	*link = scrape->next;
	loop_stop_timer(scrape->service, &scrape->timer);
	scrape->done(scrape->user);
	free(scrape);
}

static void waited_long(struct timer *timer)
{
	end_scrape((struct scrape *)((char *)timer - offsetof(struct scrape, timer)));
}

/* Those that wait for nobody any more. A worker that was asked long before is waited for by
 * none. */
static void look_at_scrapes(struct service *service)
{
	struct scrape *scrape = service->scrapes, *next;
	const struct machine *machine;
	bool waits;

	for (; scrape != NULL; scrape = next) {
		next = scrape->next;
		waits = false;
		for (machine = service->machines; machine != NULL; machine = machine->next) {
			waits |= machine->asked_ms != 0 &&
				 machine->asked_ms + WAIT_MS > scrape->began_ms;
		}
		if (!waits) {
			end_scrape(scrape);
		}
	}
}

static void heard_status(struct machine *machine, void *user, const json_t *result,
			 const json_t *error)
{
	(void)user;
	(void)error;
	machine->asked_ms = 0;
	json_decref(machine->status);
	machine->status = json_incref((json_t *)result);
	look_at_scrapes(machine->service);
}

bool metrics_scrape(struct service *service, void (*done)(void *user), void *user)
{
	struct scrape *scrape = calloc(1, sizeof(*scrape));
	struct machine *machine;

	if (scrape == NULL) {
		return false;
	}
	*scrape = (struct scrape){
		.service = service, .began_ms = clock_ms(), .done = done, .user = user};
	for (machine = service->machines; machine != NULL; machine = machine->next) {
		if (machine->asked_ms != 0) {
			continue;
		}
		json_decref(machine->status);
		machine->status = NULL;
		if (machine->greeted && machine->link != NULL) {
			machine->asked_ms = scrape->began_ms;
			link_ask(machine, CONTROL_STATUS, json_object(), -1, heard_status, NULL);
		}
	}
	scrape->next = service->scrapes;
	service->scrapes = scrape;
	loop_start_timer(service, &scrape->timer, WAIT_MS, waited_long);
	look_at_scrapes(service);
	return true;
}
