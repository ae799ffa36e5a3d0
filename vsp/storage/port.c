/* The thread of an emulated controller's commands, see port.h. It sleeps in its disk queue's
 * ring. */
#include "vsp/storage/port.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "vsp/storage/storvsp.h"

#define PORT_DEPTH 64u
#define PORT_NEXUS 1u

/* [L] under lock, [R] the port's thread */
struct storage_port {
	struct disk_queue *disks; /* [R] */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t quiet;
	_Atomic bool paused; /* [a] no command begins; written under lock */
	bool is_quiet;       /* [L] none is under way either, of a port that is paused, or stops */
	bool running;        /* [L] there is a thread, and it is not to end */
	bool joinable;       /* there is a thread: who starts and stops the port */
	struct storage_command *first, **first_end; /* [L] submitted, in order */
	unsigned in_flight;                         /* [R] */
};

static void forget_all(struct storage_port *port)
{
	port->first = NULL;
	port->first_end = &port->first;
}

int storage_port_create(struct storage_port **out)
{
	struct storage_port *port = calloc(1, sizeof(*port));
	int ret;

	if (port == NULL) {
		return -ENOMEM;
	}
	pthread_mutex_init(&port->lock, NULL);
	pthread_cond_init(&port->quiet, NULL);
	forget_all(port);
	port->is_quiet = true;
	ret = disk_queue_create(PORT_DEPTH, &port->disks, NULL);
	if (ret) {
		storage_port_destroy(&port);
		return ret;
	}
	*out = port;
	return 0;
}

void storage_port_destroy(struct storage_port **where)
{
	struct storage_port *port = *where;

	*where = NULL;
	if (port == NULL) {
		return;
	}
	disk_queue_destroy(&port->disks);
	pthread_mutex_destroy(&port->lock);
	pthread_cond_destroy(&port->quiet);
	free(port);
}

static struct storage_command *command_of(const struct scsi_request *request)
{
	return (struct storage_command *)((uintptr_t)request -
					  offsetof(struct storage_command, scsi));
}

/* Before all others, to begin anew. */
static void put_back(struct storage_port *port, struct storage_command *command)
{
	pthread_mutex_lock(&port->lock);
	command->next = port->first;
	port->first = command;
	if (command->next == NULL) {
		port->first_end = &command->next;
	}
	pthread_mutex_unlock(&port->lock);
}

static void done(struct scsi_request *request)
{
	struct storage_command *command = command_of(request);

	struct storage_port *port = command->port;

	port->in_flight--;
	if (request->status == SCSI_TASK_ABORTED && command->stopped) {
		put_back(port, command);
	} else {
		command->done(command);
	}
}

/* Between the steps of a command: a pause does not wait for all of them. */
static bool cancelled(const struct scsi_request *request)
{
	struct storage_command *command = command_of(request);

	command->stopped = atomic_load(&command->port->paused);
	return command->stopped;
}

/* ---- the thread ---- */

static struct storage_command *take_all(struct storage_port *port, bool *running)
{
	struct storage_command *first = NULL;

	pthread_mutex_lock(&port->lock);
	if (!atomic_load(&port->paused)) {
		first = port->first;
		forget_all(port);
	} else if (port->in_flight == 0) {
		port->is_quiet = true;
		pthread_cond_broadcast(&port->quiet);
	}
	*running = port->running;
	pthread_mutex_unlock(&port->lock);
	return first;
}

static void execute(struct storage_port *port, struct storage_command *command)
{
	command->port = port;
	command->scsi.nexus = PORT_NEXUS;
	command->scsi.queue = port->disks;
	command->scsi.done = done;
	command->stopped = false;
	command->scsi.cancelled = cancelled;
	port->in_flight++;
	scsi_execute(command->storage->scsi, command->address, &command->scsi);
}

static void *serve(void *user)
{
	struct storage_port *port = user;
	struct storage_command *command, *next;
	bool running = true;

	while (running || port->in_flight) {
		command = take_all(port, &running);
		if (command == NULL && !disk_queue_poll(port->disks) &&
		    (running || port->in_flight)) {
			disk_queue_sleep(port->disks);
		}
		for (; command != NULL && running; command = next) {
			next = command->next;
			execute(port, command);
		}
		disk_queue_kick(port->disks);
	}
	pthread_mutex_lock(&port->lock);
	port->is_quiet = true;
	pthread_cond_broadcast(&port->quiet);
	pthread_mutex_unlock(&port->lock);
	return NULL;
}

/* ---- the others ---- */

int storage_port_start(struct storage_port *port)
{
	int ret;

	pthread_mutex_lock(&port->lock);
	forget_all(port);
	port->running = true;
	port->is_quiet = false;
	atomic_store(&port->paused, false);
	ret = -pthread_create(&port->thread, NULL, serve, port);
	port->running = port->joinable = !ret;
	port->is_quiet = ret;
	pthread_mutex_unlock(&port->lock);
	return ret;
}

void storage_port_begin_stop(struct storage_port *port)
{
	pthread_mutex_lock(&port->lock);
	if (port->running) {
		port->running = port->is_quiet = false;
	}
	pthread_mutex_unlock(&port->lock);
	disk_queue_wake(port->disks);
}

bool storage_port_is_quiet(struct storage_port *port)
{
	bool is_quiet;

	pthread_mutex_lock(&port->lock);
	is_quiet = port->is_quiet;
	pthread_mutex_unlock(&port->lock);
	return is_quiet;
}

void storage_port_stop(struct storage_port *port)
{
	storage_port_begin_stop(port);
	if (port->joinable) {
		pthread_join(port->thread, NULL);
		port->joinable = false;
	}
}

void storage_port_begin_pause(struct storage_port *port)
{
	pthread_mutex_lock(&port->lock);
	port->is_quiet = !port->running;
	atomic_store(&port->paused, true);
	pthread_mutex_unlock(&port->lock);
	disk_queue_wake(port->disks);
}

void storage_port_pause(struct storage_port *port)
{
	storage_port_begin_pause(port);
	pthread_mutex_lock(&port->lock);
	while (!port->is_quiet) {
		pthread_cond_wait(&port->quiet, &port->lock);
	}
	pthread_mutex_unlock(&port->lock);
}

void storage_port_resume(struct storage_port *port)
{
	pthread_mutex_lock(&port->lock);
	atomic_store(&port->paused, false);
	pthread_mutex_unlock(&port->lock);
	disk_queue_wake(port->disks);
}

void storage_port_submit(struct storage_port *port, struct storage_command *command)
{
	command->next = NULL;
	pthread_mutex_lock(&port->lock);
	*port->first_end = command;
	port->first_end = &command->next;
	pthread_mutex_unlock(&port->lock);
	disk_queue_wake(port->disks);
}
