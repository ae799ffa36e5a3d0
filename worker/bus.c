/*
 * The home of the VMBus server (vmbus/host.h): guest memory, messages and event flags by the
 * backend, and who the guest's signals are for.
 *
 * Where the hypervisor's module can, a signal goes to its eventfd without us. Where it cannot, or
 * has given all its event flags to others, the VP leaves with the call, and bus_signal() looks the
 * connection up; so the table is kept in any case.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmbus/host.h"
#include "vmbus/vmbus.h"
#include "worker/machine.h"
#include "worker/say.h"

#define RETRY_FIRST_NS 500000l
#define RETRY_LAST_NS  64000000l /* for a guest that does not look at its messages */

struct connection {
	uint32_t id;
	int event; /* -1: none */
	bool bound;
};

struct vmbus_host {
	struct machine *machine;
	int timer;            /* a message waits for room in the guest's slot */
	long retry_ns;        /* how long it waits the next time; the main thread's */
	pthread_mutex_t lock; /* of the table */
	/* By relid, the low bits of the id; 0, which is no channel's, for
	 * VMBUS_EVENT_CONNECTION_ID. */
	struct connection connections[VMBUS_MAX_CHANNELS];
};

static struct connection *slot_of(struct vmbus_host *host, uint32_t connection_id)
{
	return &host->connections[connection_id == VMBUS_EVENT_CONNECTION_ID
					  ? 0
					  : connection_id % VMBUS_MAX_CHANNELS];
}

bool bus_create(struct machine *machine)
{
	struct vmbus_host *host = calloc(1, sizeof(*host));
	unsigned int i;
	int ret = -ENOMEM;

	if (host == NULL) {
		goto out;
	}
	for (i = 0; i < VMBUS_MAX_CHANNELS; i++) {
		host->connections[i].event = -1;
	}
	host->machine = machine;
	host->retry_ns = RETRY_FIRST_NS;
	pthread_mutex_init(&host->lock, NULL);
	host->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ret = host->timer < 0 ? -errno : vmbus_create(host, &machine->bus);
	machine->bus_host = host;
out:
	if (ret != 0) {
		say("VMBus cannot be set up: %s", strerror(-ret));
	}
	return ret == 0;
}

void bus_destroy(struct machine *machine)
{
	vmbus_destroy(&machine->bus);
	close(machine->bus_host->timer);
	free(machine->bus_host);
	machine->bus_host = NULL;
}

bool bus_signal(struct machine *machine, uint32_t connection_id)
{
	struct vmbus_host *host = machine->bus_host;
	struct connection *connection = slot_of(host, connection_id);
	bool found;

	pthread_mutex_lock(&host->lock);
	found = connection->event >= 0 && connection->id == connection_id;
	if (found) {
		eventfd_write(connection->event, 1);
	}
	pthread_mutex_unlock(&host->lock);
	return found;
}

int bus_timer(const struct machine *machine)
{
	return machine->bus_host->timer;
}

void bus_timer_fired(struct machine *machine)
{
	vmbus_room(machine->bus);
}

/* Nothing tells when a guest has emptied its slot. It does so at once, as a rule. */
static void retry_later(struct vmbus_host *host)
{
	struct itimerspec when = {.it_value.tv_nsec = host->retry_ns};

	timerfd_settime(host->timer, 0, &when, NULL);
	if (host->retry_ns < RETRY_LAST_NS) {
		host->retry_ns *= 2;
	}
}

int vmbus_host_acquire(struct vmbus_host *host, const uint64_t *pages, uint32_t offset,
		       uint32_t length, struct iovec *iov, unsigned int max)
{
	return memory_acquire_pages(&host->machine->memory, pages, offset, length, iov, max);
}

void vmbus_host_complete(struct vmbus_host *host, const uint64_t *pages, uint32_t offset,
			 uint32_t length, uint32_t written)
{
	memory_complete_pages(&host->machine->memory, pages, offset, length, written);
}

void vmbus_host_wrote(struct vmbus_host *host, const uint64_t *pages, uint32_t offset,
		      uint32_t length)
{
	memory_wrote_pages(&host->machine->memory, pages, offset, length);
}

const _Atomic bool *vmbus_host_log_is_kept(struct vmbus_host *host)
{
	return &host->machine->memory.log_is_kept;
}

int vmbus_host_post(struct vmbus_host *host, uint32_t vp, const void *payload, size_t size)
{
	int ret = backend_partition_post_message(host->machine->partition, vp, VMBUS_MESSAGE_SINT,
						 VMBUS_MESSAGE_TYPE, payload, size);

	if (ret == -EAGAIN) {
		retry_later(host);
	} else {
		host->retry_ns = RETRY_FIRST_NS;
	}
	return ret;
}

void vmbus_host_signal(struct vmbus_host *host, uint32_t vp, uint32_t flag)
{
	/* A VP that the guest has not got, or that has its SynIC off, hears nothing. */
	(void)backend_partition_signal_event(host->machine->partition, vp, VMBUS_MESSAGE_SINT,
					     (uint16_t)flag);
}

int vmbus_host_connect(struct vmbus_host *host, uint32_t connection_id, int event)
{
	struct connection *connection = slot_of(host, connection_id);
	int ret = backend_partition_bind_event(host->machine->partition, connection_id, event);

	if (ret != 0 && ret != -ENOTTY && ret != -ENOSPC) {
		return ret;
	}
	pthread_mutex_lock(&host->lock);
	*connection = (struct connection){.id = connection_id, .event = event, .bound = ret == 0};
	pthread_mutex_unlock(&host->lock);
	return 0;
}

void vmbus_host_disconnect(struct vmbus_host *host, uint32_t connection_id)
{
	struct connection *connection = slot_of(host, connection_id);

	if (connection->bound) {
		backend_partition_unbind_event(host->machine->partition, connection_id,
					       connection->event);
	}
	pthread_mutex_lock(&host->lock);
	*connection = (struct connection){.event = -1};
	pthread_mutex_unlock(&host->lock);
}

void vmbus_host_log(struct vmbus_host *host, const char *line)
{
	(void)host;
	say_guest("%s", line);
}
