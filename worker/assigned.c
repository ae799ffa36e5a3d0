/* See assigned.h. */
#include "worker/assigned.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "hosted/pci.h"
#include "vsp/network/network.h"
#include "vsp/pci/pci.h"
#include "worker/job.h"
#include "worker/machine.h"
#include "worker/say.h"
#include "worker/vfio.h"

/* The partition's numbers of interrupts are divided among the places of devices. */
#define NUMBERS (BACKEND_INTERRUPTS / CONFIG_DEVICES_MAX)

/* How long a guest has to let go of a device that is taken away; how often it is looked whether the
 * machine ends meanwhile. */
#define GUEST_SECONDS 30
#define LOOK_MS       100

struct interrupt {
	int event;
	bool bound; /* to its number, and routed */
};

/* What is behind a function: under the lock of its struct vpci, but what does not change. */
struct vpci_function {
	struct machine *machine;
	struct assigned *assigned;
	unsigned int place;
	char name[PCI_ADDRESS];
	int adapter; /* whose frames it carries, or ASSIGNED_ALONE */
	struct vpci *vpci;
	sem_t ejected;
	struct vfio_device device;
	bool msix;
	unsigned int count;
	struct interrupt *interrupts;
};

/* [M] the main thread's, others read it under the gate; [L] under the container's lock */
struct assigned {
	pthread_mutex_t container_lock;
	struct vfio_container container; /* [L] */
	bool live;                       /* [L] between assigned_start() and assigned_stop() */
	bool mapped;                     /* [L] the guest's memory is the devices' */
	pthread_rwlock_t gate;
	atomic_uint count;                                   /* of functions that are there */
	struct vpci_function *functions[CONFIG_DEVICES_MAX]; /* [M] */
	unsigned int left;    /* [M] functions that have not been released */
	pthread_mutex_t lock; /* of what follows, taken inside those of vpci */
	struct {
		bool valid;
		struct vpci_target target;
	} routes[BACKEND_INTERRUPTS];
};

/* ---- The function: configuration space and BARs ---- */

uint32_t vpci_function_read(struct vpci_function *function, uint32_t offset, unsigned int size)
{
	const struct vfio_device *device = &function->device;

	return offset + size <= device->config_size
		       ? (uint32_t)vfio_read(device, device->config + offset, size)
		       : UINT32_MAX >> (32 - 8 * size);
}

void vpci_function_write(struct vpci_function *function, uint32_t offset, unsigned int size,
			 uint32_t value)
{
	const struct vfio_device *device = &function->device;

	if (offset + size <= device->config_size) {
		vfio_write(device, device->config + offset, size, value);
	}
}

uint64_t vpci_function_bar_size(struct vpci_function *function, unsigned int bar)
{
	return function->device.bars[bar].size;
}

uint64_t vpci_function_bar_read(struct vpci_function *function, unsigned int bar, uint64_t offset,
				unsigned int size)
{
	return vfio_read(&function->device, function->device.bars[bar].offset + offset, size);
}

void vpci_function_bar_write(struct vpci_function *function, unsigned int bar, uint64_t offset,
			     unsigned int size, uint64_t value)
{
	vfio_write(&function->device, function->device.bars[bar].offset + offset, size, value);
}

bool vpci_function_has_place(struct vpci_function *function, uint64_t gpa, uint64_t length)
{
	(void)function;
	return memory_is_for_devices(gpa, length);
}

void vpci_function_map(struct vpci_function *function, unsigned int bar, uint64_t offset,
		       uint64_t length, uint64_t gpa)
{
	uint8_t *memory = function->device.bars[bar].memory;
	struct backend_partition *partition = function->machine->partition;
	int ret;

	if (memory == NULL || partition == NULL) {
		return;
	}
	ret = backend_partition_map(partition, gpa, memory + offset, length, BACKEND_WRITE);
	if (ret != 0) {
		say_guest("%s: BAR %u is not mapped at %#llx: %s; the guest reaches it slowly",
			  function->name, bar, (unsigned long long)gpa, strerror(-ret));
	}
}

void vpci_function_unmap(struct vpci_function *function, unsigned int bar, uint64_t offset,
			 uint64_t length, uint64_t gpa)
{
	uint8_t *memory = function->device.bars[bar].memory;
	struct backend_partition *partition = function->machine->partition;
	int ret;

	if (memory == NULL || partition == NULL) {
		return;
	}
	ret = backend_partition_unmap(partition, gpa, memory + offset, length);
	/* -EINVAL: it could not be mapped either. */
	if (ret != 0 && ret != -EINVAL) {
		say("%s: the hypervisor did not take back BAR %u: %s", function->name, bar,
		    strerror(-ret));
		machine_end(function->machine, STOP_HOST_ERROR);
	}
}

/* ---- Its interrupts ---- */

static void close_interrupts(struct vpci_function *function)
{
	struct backend_partition *partition = function->machine->partition;
	unsigned int i;

	for (i = 0; i < function->count; i++) {
		vpci_function_route(function, i, NULL);
	}
	if (function->count > 0 &&
	    vfio_set_interrupts(&function->device, function->msix, NULL, 0) != 0) {
		say_guest("%s: its interrupts cannot be switched off", function->name);
	}
	for (i = 0; i < function->count; i++) {
		CHECK(!function->interrupts[i].bound || partition == NULL);
		close(function->interrupts[i].event);
	}
	free(function->interrupts);
	function->interrupts = NULL;
	function->count = 0;
}

static int open_interrupts(struct vpci_function *function, bool msix, unsigned int count)
{
	int events[NUMBERS];
	int ret;

	function->interrupts = calloc(count, sizeof(function->interrupts[0]));
	if (function->interrupts == NULL) {
		return -ENOMEM;
	}
	function->msix = msix;
	for (; function->count < count; function->count++) {
		int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (event < 0) {
			ret = -errno;
			goto out_close;
		}
		events[function->count] = event;
		function->interrupts[function->count].event = event;
	}
	ret = vfio_set_interrupts(&function->device, msix, events, count);
	if (ret != 0) {
		goto out_close;
	}
	return 0;
out_close:
	close_interrupts(function);
	return ret;
}

int vpci_function_set_interrupts(struct vpci_function *function, enum vpci_interrupts kind,
				 unsigned int count)
{
	bool msix = kind == VPCI_MSIX;
	unsigned int most = msix ? function->device.msix_count : function->device.msi_count;
	int ret = -ENOSPC;

	close_interrupts(function);
	if (kind == VPCI_NO_INTERRUPTS) {
		return 0;
	}
	if (count <= most && count <= NUMBERS) {
		ret = open_interrupts(function, msix, count);
	}
	if (ret != 0) {
		say_guest("%s: the guest wants %u interrupts of it: %s", function->name, count,
			  strerror(-ret));
	}
	return ret;
}

/* Under assigned->lock. */
static int tell_routes(struct assigned *assigned, struct backend_partition *partition)
{
	struct backend_route *routes = calloc(BACKEND_INTERRUPTS, sizeof(routes[0]));
	unsigned int i, count = 0;
	int ret;

	if (routes == NULL) {
		return -ENOMEM;
	}
	for (i = 0; i < BACKEND_INTERRUPTS; i++) {
		const struct vpci_target *target = &assigned->routes[i].target;

		if (assigned->routes[i].valid) {
			/* An APIC id is its VP's index. */
			routes[count++] = (struct backend_route){
				.number = i,
				.interrupt = {.destination = target->vp,
					      .vector = target->vector,
					      .delivery_mode = target->mode}};
		}
	}
	ret = backend_partition_set_routes(partition, routes, count);
	free(routes);
	return ret;
}

static int set_route(struct vpci_function *function, uint32_t number,
		     const struct vpci_target *target)
{
	struct assigned *assigned = function->assigned;
	int ret;

	pthread_mutex_lock(&assigned->lock);
	assigned->routes[number].valid = target != NULL;
	if (target != NULL) {
		assigned->routes[number].target = *target;
	}
	ret = tell_routes(assigned, function->machine->partition);
	pthread_mutex_unlock(&assigned->lock);
	return ret;
}

/* What comes while it is not bound stays in the eventfd. */
void vpci_function_route(struct vpci_function *function, unsigned int i,
			 const struct vpci_target *target)
{
	struct backend_partition *partition = function->machine->partition;
	struct interrupt *interrupt = &function->interrupts[i];
	uint32_t number = function->place * NUMBERS + i;
	int ret = 0;

	CHECK(i < function->count);
	if (partition == NULL) {
		return;
	}
	if (target == NULL && interrupt->bound) {
		backend_partition_unbind_interrupt(partition, number, interrupt->event);
		interrupt->bound = false;
		ret = set_route(function, number, NULL);
	} else if (target != NULL) {
		ret = set_route(function, number, target);
		if (ret == 0 && !interrupt->bound) {
			ret = backend_partition_bind_interrupt(partition, number, interrupt->event);
			interrupt->bound = ret == 0;
		}
	}
	if (ret != 0) {
		say("%s: an interrupt of it has no way to the guest: %s", function->name,
		    strerror(-ret));
		machine_end(function->machine, STOP_HOST_ERROR);
	}
}

bool vpci_function_is_pending(struct vpci_function *function, unsigned int i)
{
	struct pollfd event = {.fd = function->interrupts[i].event, .events = POLLIN};

	CHECK(i < function->count);
	return poll(&event, 1, 0) == 1;
}

/* ---- Its life ---- */

void vpci_function_reset(struct vpci_function *function)
{
	int ret;

	close_interrupts(function);
	ret = vfio_reset(&function->device);
	if (ret != 0) {
		say("%s: it cannot be reset: %s", function->name, strerror(-ret));
		machine_end(function->machine, STOP_HOST_ERROR);
	}
}

void vpci_function_ejected(struct vpci_function *function)
{
	sem_post(&function->ejected);
}

static void free_function(struct vpci_function *function)
{
	sem_destroy(&function->ejected);
	free(function);
}

/* The device is nobody's; if it was the last one, the guest's memory is no device's any more. */
static void close_device(struct vpci_function *function)
{
	struct assigned *assigned = function->assigned;

	pthread_mutex_lock(&assigned->container_lock);
	vfio_close(&assigned->container, &function->device);
	assigned->mapped &= assigned->container.fd >= 0;
	pthread_mutex_unlock(&assigned->container_lock);
}

void vpci_function_released(struct vpci_function *function)
{
	close_device(function); /* if it was not */
	function->assigned->left--;
	free_function(function);
}

/* Under the container's lock. */
static int map_memory(struct machine *machine)
{
	struct assigned *assigned = machine->assigned;
	struct memory_range ranges[MEMORY_RANGES];
	unsigned int count, i;
	int ret = 0;

	if (!assigned->live || assigned->mapped || assigned->container.fd < 0) {
		return 0;
	}
	assigned->mapped = true;
	count = memory_ranges(&machine->memory, ranges);
	for (i = 0; i < count && ret == 0; i++) {
		ret = vfio_map(&assigned->container, ranges[i].gpa, ranges[i].length,
			       ranges[i].memory);
	}
	return ret;
}

/* Under the container's lock. */
static void unmap_memory(struct machine *machine)
{
	struct assigned *assigned = machine->assigned;
	struct memory_range ranges[MEMORY_RANGES];
	unsigned int count = assigned->mapped ? memory_ranges(&machine->memory, ranges) : 0;

	while (count-- > 0) {
		vfio_unmap(&assigned->container, ranges[count].gpa, ranges[count].length);
	}
	assigned->mapped = false;
}

static const char *explain_map(int ret)
{
	return ret == -ENOMEM ? "; it is locked memory a second time, for devices: raise "
				"RLIMIT_MEMLOCK (ulimit -l), or run vmwp as root"
			      : "";
}

/* Takes the descriptors. The device, with the guest's memory to reach; NULL: `why` says it, and
 * *ret. */
static struct vpci_function *open_function(struct machine *machine, unsigned int place,
					   const char *address, int fd, int group, int *ret,
					   char *why, size_t why_bytes)
{
	struct assigned *assigned = machine->assigned;
	struct vpci_function *function = calloc(1, sizeof(*function));

	if (function == NULL) {
		close(fd);
		if (group >= 0) {
			close(group);
		}
		*ret = -ENOMEM;
		snprintf(why, why_bytes, "no memory");
		return NULL;
	}
	function->machine = machine;
	function->assigned = assigned;
	function->place = place;
	function->adapter = ASSIGNED_ALONE;
	snprintf(function->name, sizeof(function->name), "%s", address);
	sem_init(&function->ejected, 0, 0);
	pthread_mutex_lock(&assigned->container_lock);
	*ret = vfio_open(&assigned->container, fd, group, address, &function->device, why,
			 why_bytes);
	if (*ret == 0) {
		*ret = map_memory(machine);
		if (*ret != 0) {
			snprintf(why, why_bytes,
				 "the machine's memory cannot be made its devices': %s%s",
				 strerror(-*ret), explain_map(*ret));
			unmap_memory(machine);
			vfio_close(&assigned->container, &function->device);
		}
	}
	pthread_mutex_unlock(&assigned->container_lock);
	if (*ret != 0) {
		free_function(function);
		return NULL;
	}
	return function;
}

/* 0: the guest is told that it goes, and its frames come by the adapter. */
static void associate(const struct vpci_function *function, uint32_t serial)
{
	if (function->adapter != ASSIGNED_ALONE) {
		network_associate(function->machine->networks.places[function->adapter].network,
				  serial);
	}
}

/* The guest has it. -errno: the function is the caller's still. Main thread. */
static int show_function(struct machine *machine, struct vpci_function *function)
{
	struct assigned *assigned = machine->assigned;
	const struct vpci_config config = {.place = function->place,
					   .vps = machine->config->vps,
					   .serial = function->place + 1};
	int ret;

	/* The guest pairs the two by the number: it is to know that before it sees the function. */
	associate(function, config.serial);
	pthread_rwlock_wrlock(&assigned->gate);
	ret = vpci_create(machine->bus, function, &config, &function->vpci);
	if (ret == 0) {
		assigned->functions[function->place] = function;
		assigned->left++;
		atomic_fetch_add(&assigned->count, 1);
	}
	pthread_rwlock_unlock(&assigned->gate);
	if (ret != 0) {
		associate(function, 0);
	}
	return ret;
}

/* Main thread. */
static void hide_function(struct machine *machine, unsigned int place)
{
	struct assigned *assigned = machine->assigned;
	struct vpci_function *function = assigned->functions[place];

	pthread_rwlock_wrlock(&assigned->gate);
	assigned->functions[place] = NULL;
	atomic_fetch_sub(&assigned->count, 1);
	pthread_rwlock_unlock(&assigned->gate);
	vpci_destroy(&function->vpci);
}

static const char *explain_show(int ret)
{
	return ret == -ENOTSUP ? "a guest can have only devices with MSI or MSI-X and with BARs of "
				 "at most 64 MiB"
			       : strerror(-ret);
}

/* ---- Those of the configuration ---- */

static bool attach(struct machine *machine, unsigned int place)
{
	const char *name = machine->config->devices[place];
	struct vpci_function *function = NULL;
	int fd, group, ret;
	char why[512];

	ret = pci_open(name, &fd, &group, why, sizeof(why));
	if (ret == 0) {
		function = open_function(machine, place, name, fd, group, &ret, why, sizeof(why));
	}
	if (function == NULL) {
		say("--device pci:%s: %s", name, why);
		return false;
	}
	ret = show_function(machine, function);
	if (ret != 0) {
		say("--device pci:%s: %s", name, explain_show(ret));
		close_device(function);
		free_function(function);
		return false;
	}
	return true;
}

bool assigned_attach(struct machine *machine)
{
	struct assigned *assigned;
	unsigned int i;

	if (machine->config->device_count == 0 && machine->config->control.path == NULL) {
		return true;
	}
	assigned = calloc(1, sizeof(*machine->assigned));
	if (assigned == NULL) {
		say("%s", strerror(ENOMEM));
		return false;
	}
	assigned->container.fd = -1;
	pthread_mutex_init(&assigned->lock, NULL);
	pthread_mutex_init(&assigned->container_lock, NULL);
	pthread_rwlock_init(&assigned->gate, NULL);
	machine->assigned = assigned;
	for (i = 0; i < machine->config->device_count; i++) {
		if (!attach(machine, i)) {
			return false;
		}
	}
	return true;
}

bool assigned_start(struct machine *machine)
{
	struct assigned *assigned = machine->assigned;
	int ret;

	if (assigned == NULL) {
		return true;
	}
	pthread_mutex_lock(&assigned->container_lock);
	assigned->live = true;
	ret = map_memory(machine);
	pthread_mutex_unlock(&assigned->container_lock);
	if (ret != 0) {
		say("the machine's memory cannot be made its devices': %s%s", strerror(-ret),
		    explain_map(ret));
	}
	return ret == 0;
}

void assigned_stop(struct machine *machine)
{
	struct assigned *assigned = machine->assigned;

	if (assigned != NULL) {
		pthread_mutex_lock(&assigned->container_lock);
		unmap_memory(machine);
		assigned->live = false;
		pthread_mutex_unlock(&assigned->container_lock);
	}
}

void assigned_detach(struct machine *machine)
{
	unsigned int i;

	for (i = 0; machine->assigned != NULL && i < CONFIG_DEVICES_MAX; i++) {
		if (machine->assigned->functions[i] != NULL) {
			hide_function(machine, i);
		}
	}
}

void assigned_free(struct machine *machine)
{
	struct assigned *assigned = machine->assigned;

	if (assigned != NULL) {
		CHECK(assigned->left == 0 && assigned->container.fd < 0);
		pthread_mutex_destroy(&assigned->lock);
		pthread_mutex_destroy(&assigned->container_lock);
		pthread_rwlock_destroy(&assigned->gate);
		free(assigned);
		machine->assigned = NULL;
	}
}

/* ---- Those that come and go ---- */

/* What a job has of a device. The job's thread has it alone until settle(). */
struct task {
	struct machine *machine;
	char address[PCI_ADDRESS];
	int fd, group; /* -1: used, or none */
	bool force;
	int adapter;
	struct vpci_function *function; /* that comes, until the guest has it, or that goes */
};

static int fail(struct job *job, int ret, const char *why)
{
	const struct task *task = job->subject;

	snprintf(job->error.text, sizeof(job->error.text), "device %s: %s", task->address, why);
	return ret;
}

static int add_work(struct job *job)
{
	struct task *task = job->subject;
	char why[400];
	int ret;

	if (!job_commit(job)) {
		return -ECANCELED;
	}
	job_step(job, "making the machine's memory its");
	task->function = open_function(task->machine, (unsigned int)job->number, task->address,
				       task->fd, task->group, &ret, why, sizeof(why));
	task->fd = task->group = -1;
	if (task->function == NULL) {
		return fail(job, ret, why);
	}
	task->function->adapter = task->adapter;
	return 0;
}

static bool add_settle(struct job *job)
{
	struct task *task = job->subject;
	int ret = show_function(task->machine, task->function);

	if (ret != 0) {
		job->result = fail(job, ret, explain_show(ret));
	} else {
		task->function = NULL;
	}
	return true;
}

/* What the guest does not have: closed, and the descriptors too. */
static void add_finish(struct job *job)
{
	struct task *task = job->subject;

	if (task->function != NULL) {
		close_device(task->function);
		free_function(task->function);
	}
	if (task->fd >= 0) {
		close(task->fd);
	}
	if (task->group >= 0) {
		close(task->group);
	}
	free(task);
}

/* False: the guest has not let go of it, and has had its time, or is at its end. */
static bool wait_for_guest(const struct task *task)
{
	uint64_t until = clock_ms() + GUEST_SECONDS * 1000ull;
	bool ejected = false;

	while (!ejected && clock_ms() < until && atomic_load(&task->machine->stop) == STOP_NONE) {
		const struct timespec look = clock_timespec(clock_ns(CLOCK_MONOTONIC) +
							    LOOK_MS * CLOCK_SECOND_NS / 1000);

		ejected = sem_clockwait(&task->function->ejected, CLOCK_MONOTONIC, &look) == 0;
	}
	return ejected;
}

/* Whether the guest lets go of it or not: it is not its own after that. */
static int remove_work(struct job *job)
{
	struct task *task = job->subject;

	if (!job_commit(job)) {
		return -ECANCELED;
	}
	associate(task->function, 0);
	if (!task->force) {
		job_step(job, "waiting for the guest");
		vpci_eject(task->function->vpci);
		if (!wait_for_guest(task)) {
			say_guest("%s: the guest has not let go of it; it is taken away",
				  task->address);
		}
	}
	job_step(job, "taking it from the guest");
	vpci_take(task->function->vpci);
	close_device(task->function);
	return 0;
}

static bool remove_settle(struct job *job)
{
	const struct task *task = job->subject;

	hide_function(task->machine, (unsigned int)job->number);
	return true;
}

static void remove_finish(struct job *job)
{
	free(job->subject);
}

int assigned_place(const struct machine *machine, const char *address)
{
	const struct assigned *assigned = machine->assigned;
	int i;

	for (i = 0; i < (int)CONFIG_DEVICES_MAX; i++) {
		const struct vpci_function *function = assigned->functions[i];

		if (address == NULL ? function == NULL
				    : function != NULL && strcmp(function->name, address) == 0) {
			return i;
		}
	}
	return -1;
}

const char *assigned_name(const struct machine *machine, unsigned int place)
{
	const struct assigned *assigned = machine->assigned;

	return assigned != NULL && assigned->functions[place] != NULL
		       ? assigned->functions[place]->name
		       : NULL;
}

int assigned_adapter(const struct machine *machine, unsigned int place)
{
	return machine->assigned->functions[place]->adapter;
}

int assigned_function_of(const struct machine *machine, int adapter)
{
	int i;

	for (i = 0; i < (int)CONFIG_DEVICES_MAX; i++) {
		if (assigned_name(machine, (unsigned int)i) != NULL &&
		    assigned_adapter(machine, (unsigned int)i) == adapter) {
			return i;
		}
	}
	return -1;
}

static int prepare(struct machine *machine, struct job *job, const struct task *wanted)
{
	struct task *task = malloc(sizeof(*task));

	if (task == NULL) {
		return -ENOMEM;
	}
	*task = *wanted;
	task->machine = machine;
	job->subject = task;
	return 0;
}

int assigned_prepare_add(struct machine *machine, struct job *job, const char *address, int fd,
			 int group, int adapter)
{
	struct task task = {.fd = fd, .group = group, .adapter = adapter};

	snprintf(task.address, sizeof(task.address), "%s", address);
	job->work = add_work;
	job->settle = add_settle;
	job->finish = add_finish;
	return prepare(machine, job, &task);
}

int assigned_prepare_remove(struct machine *machine, struct job *job, bool force)
{
	struct vpci_function *function = machine->assigned->functions[job->number];
	struct task task = {.fd = -1, .group = -1, .force = force, .function = function};

	snprintf(task.address, sizeof(task.address), "%s", function->name);
	job->work = remove_work;
	job->settle = remove_settle;
	job->finish = remove_finish;
	return prepare(machine, job, &task);
}

/* ---- What VPs want of them ---- */

/* They are asked for whatever no device of the board's answers, mostly of machines that have
 * none. */
static bool enter(struct assigned *assigned)
{
	if (assigned == NULL || atomic_load(&assigned->count) == 0) {
		return false;
	}
	pthread_rwlock_rdlock(&assigned->gate);
	return true;
}

bool assigned_access(struct machine *machine, uint64_t gpa, unsigned int size, bool write,
		     uint64_t *value)
{
	struct assigned *assigned = machine->assigned;
	bool is_here = false;
	unsigned int i;

	if (!enter(assigned)) {
		return false;
	}
	for (i = 0; i < CONFIG_DEVICES_MAX && !is_here; i++) {
		is_here = assigned->functions[i] != NULL &&
			  vpci_access(assigned->functions[i]->vpci, gpa, size, write, value);
	}
	pthread_rwlock_unlock(&assigned->gate);
	return is_here;
}

int assigned_retarget(struct machine *machine, uint64_t device_id, uint64_t address, uint32_t data,
		      const struct vpci_target *target)
{
	struct assigned *assigned = machine->assigned;
	int ret = -ENODEV;
	unsigned int i;

	if (!enter(assigned)) {
		return ret;
	}
	for (i = 0; i < CONFIG_DEVICES_MAX && ret == -ENODEV; i++) {
		if (assigned->functions[i] != NULL) {
			ret = vpci_retarget(assigned->functions[i]->vpci, device_id, address, data,
					    target);
		}
	}
	pthread_rwlock_unlock(&assigned->gate);
	return ret;
}

const char *assigned_obstacle(const struct machine *machine)
{
	return machine->assigned != NULL && atomic_load(&machine->assigned->count) != 0
		       ? "the machine has a device of this host's hardware, whose state is its "
			 "own; "
			 "take it away first"
		       : NULL;
}
