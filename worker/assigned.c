/* See assigned.h. */
#include "worker/assigned.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vsp/pci/pci.h"
#include "worker/machine.h"
#include "worker/say.h"
#include "worker/vfio.h"

/* The partition's numbers of interrupts are divided among the places of devices. */
#define NUMBERS (BACKEND_INTERRUPTS / CONFIG_DEVICES_MAX)

/* Where the guest's ACPI says that devices may have memory (devices/dsdt.asl). */
#define PLACE_BASE MEMORY_HOLE_BASE
#define PLACE_END  0xfec00000ull

struct interrupt {
	int event;
	bool bound; /* to its number, and routed */
};

/* What is behind a function: under the lock of its struct vpci, but what does not change. */
struct vpci_function {
	struct machine *machine;
	struct assigned *assigned;
	unsigned int place;
	const char *name;
	struct vpci *vpci;
	struct vfio_device device;
	bool msix;
	unsigned int count;
	struct interrupt *interrupts;
};

struct assigned {
	struct vfio_container container;
	bool mapped; /* the guest's memory is the devices' */
	struct vpci_function *functions[CONFIG_DEVICES_MAX];
	unsigned int left;    /* functions that have not been released */
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
	return gpa >= PLACE_BASE && gpa < PLACE_END && length <= PLACE_END - gpa;
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

void vpci_function_released(struct vpci_function *function)
{
	vfio_close(&function->device);
	function->assigned->left--;
	free(function);
}

static bool attach(struct machine *machine, unsigned int place)
{
	struct assigned *assigned = machine->assigned;
	struct vpci_function *function = calloc(1, sizeof(*function));
	const struct vpci_config config = {
		.place = place, .vps = machine->config->vps, .serial = place + 1};
	char why[512];
	int ret;

	if (function == NULL) {
		say("%s", strerror(ENOMEM));
		return false;
	}
	function->machine = machine;
	function->assigned = assigned;
	function->place = place;
	function->name = machine->config->devices[place];
	if (vfio_open(&assigned->container, function->name, &function->device, why, sizeof(why)) !=
	    0) {
		say("--device pci:%s: %s", function->name, why);
		free(function);
		return false;
	}
	ret = vpci_create(machine->bus, function, &config, &function->vpci);
	if (ret != 0) {
		say("--device pci:%s: %s", function->name,
		    ret == -ENOTSUP
			    ? "a guest can have only devices with MSI or MSI-X and with BARs "
			      "of at most 64 MiB"
			    : strerror(-ret));
		vfio_close(&function->device);
		free(function);
		return false;
	}
	assigned->functions[place] = function;
	assigned->left++;
	return true;
}

bool assigned_attach(struct machine *machine)
{
	unsigned int i;

	if (machine->config->device_count == 0) {
		return true;
	}
	machine->assigned = calloc(1, sizeof(*machine->assigned));
	if (machine->assigned == NULL) {
		say("%s", strerror(ENOMEM));
		return false;
	}
	machine->assigned->container.fd = -1;
	pthread_mutex_init(&machine->assigned->lock, NULL);
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
	struct memory_range ranges[MEMORY_RANGES];
	unsigned int count, i;
	int ret;

	if (assigned == NULL) {
		return true;
	}
	assigned->mapped = true;
	count = memory_ranges(&machine->memory, ranges);
	for (i = 0; i < count; i++) {
		ret = vfio_map(&assigned->container, ranges[i].gpa, ranges[i].length,
			       ranges[i].memory);
		if (ret != 0) {
			say("the machine's memory cannot be made its devices': %s%s",
			    strerror(-ret),
			    ret == -ENOMEM ? "; it is locked memory a second time, for devices: "
					     "raise RLIMIT_MEMLOCK (ulimit -l), or run vmwp as root"
					   : "");
			return false;
		}
	}
	return true;
}

void assigned_stop(struct machine *machine)
{
	struct assigned *assigned = machine->assigned;
	struct memory_range ranges[MEMORY_RANGES];
	unsigned int count;

	if (assigned == NULL || !assigned->mapped) {
		return;
	}
	count = memory_ranges(&machine->memory, ranges);
	while (count-- > 0) {
		vfio_unmap(&assigned->container, ranges[count].gpa, ranges[count].length);
	}
	assigned->mapped = false;
}

void assigned_detach(struct machine *machine)
{
	unsigned int i;

	for (i = 0; machine->assigned != NULL && i < CONFIG_DEVICES_MAX; i++) {
		if (machine->assigned->functions[i] != NULL) {
			vpci_destroy(&machine->assigned->functions[i]->vpci);
			machine->assigned->functions[i] = NULL;
		}
	}
}

void assigned_free(struct machine *machine)
{
	if (machine->assigned != NULL) {
		CHECK(machine->assigned->left == 0);
		vfio_close_container(&machine->assigned->container);
		pthread_mutex_destroy(&machine->assigned->lock);
		free(machine->assigned);
		machine->assigned = NULL;
	}
}

/* ---- What VPs want of them ---- */

bool assigned_access(struct machine *machine, uint64_t gpa, unsigned int size, bool write,
		     uint64_t *value)
{
	unsigned int i;

	for (i = 0; machine->assigned != NULL && i < machine->config->device_count; i++) {
		if (vpci_access(machine->assigned->functions[i]->vpci, gpa, size, write, value)) {
			return true;
		}
	}
	return false;
}

int assigned_retarget(struct machine *machine, uint64_t device_id, uint64_t address, uint32_t data,
		      const struct vpci_target *target)
{
	int ret = -ENODEV;
	unsigned int i;

	for (i = 0;
	     machine->assigned != NULL && i < machine->config->device_count && ret == -ENODEV;
	     i++) {
		ret = vpci_retarget(machine->assigned->functions[i]->vpci, device_id, address, data,
				    target);
	}
	return ret;
}

const char *assigned_obstacle(const struct machine *machine)
{
	return machine->assigned != NULL
		       ? "the machine has a device of this host's hardware, whose state is its own"
		       : NULL;
}
