/*
 * The machine's network adapters: ports of virtual switches. Those of the configuration are
 * connected before the sandbox closes; later a client of the control socket hands over a
 * connection. An adapter whose switch goes stays, with its link down, until one is handed over for
 * it.
 *
 *   (none) --ADD--> connected --the switch goes--> lost --CONNECT--> connected
 *                       `-------------- REMOVE ------'------> (none)
 *
 * What is at a place is known to the main thread alone, and to the one job that works on it
 * (worker/job.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "hosted/listen.h"
#include "vsp/network/netport.h"
#include "vsp/network/network.h"
#include "worker/job.h"
#include "worker/machine.h"
#include "worker/nics.h"
#include "worker/save.h"
#include "worker/say.h"

/* How long a guest has to let go of an adapter that is taken away, and then a switch to answer what
 * it was lent. */
#define GUEST_SECONDS  30
#define QUIET_SECONDS  3
#define SWITCH_SECONDS 5
#define PATIENCE_MS    10000

/* An adapter's instance, the same in every run: a guest knows its interfaces by it. */
static const uint8_t instance[16] = {0x56, 0x44, 0x4e, 0x45, 0x54, 0x00, 0x00, 0x40,
				     0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01};

void networks_instance(unsigned int index, uint8_t id[16])
{
	memcpy(id, instance, sizeof(instance));
	id[14] = (uint8_t)index;
}

bool networks_has(const struct machine *machine, unsigned int index)
{
	const struct network_place *place = &machine->networks.places[index];

	return place->network != NULL || place->nic != NULL;
}

/* ---- what is wanted ---- */

static bool has_address(const struct config_network *wanted)
{
	static const uint8_t none[6];

	return memcmp(wanted->mac, none, sizeof(none)) != 0;
}

static char *copy_text(const char *text, bool *done)
{
	char *copy = text != NULL ? strdup(text) : NULL;

	*done &= text == NULL || copy != NULL;
	return copy;
}

static void forget_wanted(struct config_network *wanted)
{
	free((char *)wanted->network);
	free((char *)wanted->port);
	free((char *)wanted->socket.path);
	*wanted = (struct config_network){.socket.fd = -1};
}

/* With texts of its own, and all that was left to us. False: no memory. */
static bool copy_wanted(const struct machine *machine, unsigned int index,
			const struct config_network *from, struct config_network *wanted)
{
	char port[PORT_NAME_MAX];
	bool done = true;

	snprintf(port, sizeof(port), "%.50s-%u", machine->config->name, index);
	*wanted = *from;
	wanted->network = copy_text(from->network, &done);
	wanted->port = copy_text(from->port != NULL ? from->port : port, &done);
	wanted->socket.path = copy_text(from->socket.path, &done);
	if (wanted->emulated) {
		wanted->queue_count = 1;
	} else if (wanted->queue_count == 0) {
		wanted->queue_count = config_queues(machine->config);
	}
	if (!done) {
		forget_wanted(wanted);
	}
	return done;
}

/* ---- steps ---- */

/* `patient`: who has the port leaves it, or is about to. */
static int connect_port(const struct memory *memory, const struct config_network *wanted, int fd,
			bool patient, struct netport **port, char *why, size_t why_bytes)
{
	struct netport_request request = {
		.socket = wanted->socket.path,
		.fd = fd,
		.network = wanted->network,
		.name = wanted->port,
		.vlan = (uint16_t)wanted->vlan,
		.queue_count = wanted->queue_count,
		.patience_ms = patient ? PATIENCE_MS : 0,
		.ram_fd = memory->fd,
		.ram = {memory->base, memory->size},
	};
	struct netport *made = calloc(1, sizeof(*made));
	int ret;

	if (made == NULL) {
		snprintf(why, why_bytes, "no memory");
		if (fd >= 0) {
			close(fd);
		}
		return -ENOMEM;
	}
	memcpy(request.mac, wanted->mac, sizeof(request.mac));
	ret = netport_connect(made, &request, why, why_bytes);
	if (ret != 0) {
		free(made);
		return ret;
	}
	*port = made;
	return 0;
}

static void drop_port(struct netport **port)
{
	if (*port != NULL) {
		netport_close(*port);
		free(*port);
		*port = NULL;
	}
}

static void on_ended(void *context)
{
	struct network_place *place = context;

	sem_post(&place->ended);
}

static int show_adapter(struct vmbus *bus, unsigned int index, struct network_place *place,
			const struct config_network *wanted, const struct netport *port,
			struct network **network)
{
	struct network_config config = {
		.name = wanted->network,
		.queue_count = wanted->queue_count,
		.by_page = wanted->by_page,
		.ended = on_ended,
		.context = place,
	};

	networks_instance(index, config.instance);
	return network_create(bus, &config, port, network);
}

static void watch(struct networks *networks, unsigned int index)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};

	if (epoll_ctl(networks->epoll, EPOLL_CTL_ADD, networks->places[index].port->connection,
		      &event) != 0) {
		say("adapter %u: it will not be seen when its switch goes: %s", index,
		    strerror(errno));
	}
}

static void unwatch(struct networks *networks, unsigned int index)
{
	/* It is not in the set any more if its switch has gone. */
	(void)epoll_ctl(networks->epoll, EPOLL_CTL_DEL, networks->places[index].port->connection,
			NULL);
}

/* ---- those of the configuration ---- */

static bool attach(struct machine *machine, unsigned int index, int fd, bool patient)
{
	struct network_place *place = &machine->networks.places[index];
	const struct config_network *wanted = &machine->config->networks[index];
	uint8_t id[16];
	char why[256];
	int ret;

	if (!copy_wanted(machine, index, wanted, &place->wanted)) {
		say("no memory");
		return false;
	}
	networks_instance(index, id);
	/* Of a machine that goes on the guest knows the address; whoever gave none has let the
	 * switch choose it. */
	if (!has_address(&place->wanted)) {
		(void)(place->nic != NULL ? saved_nic_address(machine, nic_number(place->nic),
							      place->wanted.mac)
					  : saved_address(machine, id, place->wanted.mac));
	}
	if (connect_port(&machine->memory, &place->wanted, fd, patient, &place->port, why,
			 sizeof(why)) != 0) {
		say("--net %s: %s", wanted->network, why);
		return false;
	}
	ret = 0;
	if (place->nic != NULL) {
		nic_attach(place->nic, place->port);
	} else {
		ret = show_adapter(machine->bus, index, place, &place->wanted, place->port,
				   &place->network);
	}
	if (ret != 0) {
		say("--net %s: the adapter cannot be made: %s", wanted->network, strerror(-ret));
		return false;
	}
	watch(&machine->networks, index);
	return true;
}

/* ... of a machine that comes from another worker, which has the ports until then. */
static bool find(struct machine *machine, unsigned int index)
{
	const struct config_file *socket = &machine->config->networks[index].socket;
	int fd = socket->fd >= 0 ? socket->fd : connect_at(socket->path, SOCK_SEQPACKET);

	if (fd < 0) {
		say("--net %s: %s: %s", machine->config->networks[index].network, socket->path,
		    strerror(-fd));
		return false;
	}
	machine->networks.found[index] = fd;
	return true;
}

bool networks_attach_late(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < machine->config->network_count; i++) {
		if (!attach(machine, i, machine->networks.found[i], true)) {
			return false;
		}
	}
	return true;
}

void networks_let_go(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		if (machine->networks.places[i].port != NULL) {
			netport_break(machine->networks.places[i].port);
		}
	}
}

/* An adapter that is the board's is there before it has a port. */
static bool put_on_board(struct machine *machine, unsigned int index)
{
	int ret = machine->config->networks[index].emulated
			  ? nic_create(machine, &machine->networks.places[index].nic)
			  : 0;

	if (ret != 0) {
		say("--net %s: the adapter cannot be made: %s",
		    machine->config->networks[index].network, strerror(-ret));
	}
	return ret == 0;
}

bool networks_attach(struct machine *machine)
{
	struct networks *networks = &machine->networks;
	unsigned int i;

	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		sem_init(&networks->places[i].ended, 0, 0);
	}
	networks->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (networks->epoll < 0) {
		say("%s", strerror(errno));
		return false;
	}
	for (i = 0; i < machine->config->network_count; i++) {
		if (!put_on_board(machine, i)) {
			return false;
		}
		if (machine->arrival != NULL
			    ? !find(machine, i)
			    : !attach(machine, i, machine->config->networks[i].socket.fd, false)) {
			return false;
		}
	}
	return true;
}

void networks_detach(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		network_destroy(&machine->networks.places[i].network);
		nic_destroy(&machine->networks.places[i].nic);
	}
}

void networks_close(struct machine *machine)
{
	unsigned int i;

	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		drop_port(&machine->networks.places[i].port);
		forget_wanted(&machine->networks.places[i].wanted);
	}
	if (machine->networks.epoll > 0) {
		close(machine->networks.epoll);
	}
}

/* ---- switches that go ---- */

int networks_fd(const struct machine *machine)
{
	return machine->networks.epoll;
}

/* A switch says nothing more after its welcome; what comes is its end. */
void networks_serve(struct machine *machine)
{
	struct networks *networks = &machine->networks;
	struct epoll_event events[CONFIG_NETWORKS_MAX];
	int count = epoll_wait(networks->epoll, events, CONFIG_NETWORKS_MAX, 0), i;

	for (i = 0; i < count; i++) {
		unsigned int index = events[i].data.u32;
		struct network_place *place = &networks->places[index];

		unwatch(networks, index);
		netport_break(place->port);
		place->lost = true;
		networks->lost_untold |= 1u << index;
		if (machine->migration == NULL) {
			say("switch %s is gone; its link is down", place->wanted.network);
		}
		if (place->nic != NULL) {
			nic_lost(place->nic);
		} else {
			network_lost(place->network);
		}
	}
	control_notify(machine);
}

bool networks_changed(struct machine *machine, unsigned int *index)
{
	struct networks *networks = &machine->networks;

	if (networks->lost_untold == 0) {
		return false;
	}
	*index = (unsigned int)__builtin_ctz(networks->lost_untold);
	networks->lost_untold &= networks->lost_untold - 1;
	return true;
}

/* ---- adapters that come and go ---- */

/* What a job has of an adapter. The job's thread has it alone until finish(). */
struct task {
	struct networks *networks;
	struct network_place *place; /* [M], but for what the job is about */
	struct vmbus *bus;
	const struct memory *memory;
	unsigned int index;
	enum networks_task kind;
	struct config_network wanted;
	uint8_t mac[6]; /* of the adapter that is there */
	int fd;         /* -1: used, or none */
	/* What work() leaves for finish(). */
	struct netport *port;
	struct network *network;
	struct nic *nic; /* instead of `network` */
	bool changed;
};

static int fail(struct job *job, int ret, const char *what, const char *why)
{
	snprintf(job->error.text, sizeof(job->error.text), "adapter %d: %s%s", job->number, what,
		 why);
	return ret;
}

/* The switch's welcome; from there on it is not cancelled. */
static int ask_switch(struct job *job, struct task *task)
{
	char why[256];
	int fd = task->fd, ret;

	job_step(job, "asking the switch");
	task->fd = -1;
	ret = connect_port(task->memory, &task->wanted, fd, task->kind == NETWORKS_CONNECT,
			   &task->port, why, sizeof(why));
	if (ret != 0) {
		return fail(job, ret, "", why);
	}
	if (!job_commit(job)) {
		drop_port(&task->port);
		return -ECANCELED;
	}
	return 0;
}

static int add_work(struct job *job)
{
	struct task *task = job->subject;
	int ret = ask_switch(job, task);

	if (ret != 0) {
		return ret;
	}
	job_step(job, "showing it to the guest");
	ret = show_adapter(task->bus, task->index, task->place, &task->wanted, task->port,
			   &task->network);
	if (ret != 0) {
		drop_port(&task->port);
		return fail(job, ret, "it cannot be made: ", strerror(-ret));
	}
	task->changed = true;
	return 0;
}

static int connect_work(struct job *job)
{
	struct task *task = job->subject;
	int ret;

	memcpy(task->wanted.mac, task->mac, sizeof(task->mac));
	ret = ask_switch(job, task);
	if (ret != 0) {
		return ret;
	}
	job_step(job, "putting it in the place of the one before");
	ret = task->nic != NULL ? nic_connect(task->nic, task->port)
				: network_connect(task->network, task->port);
	if (ret != 0) {
		drop_port(&task->port);
		return fail(job, ret, "",
			    ret == -EISCONN ? "it has its switch"
					    : "the switch's port has another address; give it the "
					      "adapter's, or remove the adapter and add it again");
	}
	task->changed = true;
	return 0;
}

static void rest(unsigned int seconds)
{
	struct timespec left = {.tv_sec = seconds};

	while (nanosleep(&left, &left) != 0 && errno == EINTR) {
	}
}

/*
 * Linux takes nothing more from a channel that is rescinded, and then waits without end for what it
 * has begun on it. So nothing may be under way at that moment: a guest whose link is down begins
 * nothing, and after a while without a frame all is answered.
 */
static void wait_for_quiet(struct network *network)
{
	struct network_stats before, now;
	unsigned int waited = 0;

	network_get_stats(network, &now);
	do {
		if (now.channels_open == 0) {
			return;
		}
		before = now;
		rest(QUIET_SECONDS);
		waited += QUIET_SECONDS;
		network_get_stats(network, &now);
	} while (now.frames_out != before.frames_out && waited < GUEST_SECONDS);
}

static bool wait_for_end(struct network_place *place, unsigned int seconds)
{
	const struct timespec until =
		clock_timespec(clock_ns(CLOCK_MONOTONIC) + seconds * CLOCK_SECOND_NS);
	int ret;

	do {
		ret = sem_clockwait(&place->ended, CLOCK_MONOTONIC, &until);
	} while (ret != 0 && errno == EINTR);
	return ret == 0;
}

/*
 * The guest is waited for, since a guest waits for what it has begun, but not for ever. Whether it
 * lets go of its channels or not: once they are closed, nothing of ours is at the switch.
 */
static int remove_work(struct job *job)
{
	struct task *task = job->subject;
	bool done;

	if (!job_commit(job)) {
		return -ECANCELED;
	}
	job_step(job, "waiting for the guest");
	network_disconnect(task->network);
	wait_for_quiet(task->network);
	network_withdraw(task->network);
	done = wait_for_end(task->place, GUEST_SECONDS);
	if (!done) {
		job_step(job, "waiting for the switch");
		network_remove(task->network);
		done = wait_for_end(task->place, SWITCH_SECONDS);
	}
	if (!done) {
		netport_break(task->port);
		network_lost(task->network);
		done = wait_for_end(task->place, SWITCH_SECONDS);
	}
	if (!done) {
		return fail(job, -ETIMEDOUT, "its channels do not close", "; try again");
	}
	task->changed = true;
	return 0;
}

static void take_in(struct task *task)
{
	struct network_place *place = task->place;

	if (task->kind == NETWORKS_REMOVE || task->kind == NETWORKS_CONNECT) {
		unwatch(task->networks, task->index);
		drop_port(&place->port);
	}
	if (task->kind == NETWORKS_REMOVE) {
		network_destroy(&place->network);
		forget_wanted(&place->wanted);
		place->lost = false;
		return;
	}
	place->port = task->port;
	place->lost = false;
	if (task->kind == NETWORKS_ADD) {
		place->network = task->network;
		place->wanted = task->wanted;
		task->wanted = (struct config_network){.socket.fd = -1};
	}
	watch(task->networks, task->index);
}

static void finish(struct job *job)
{
	struct task *task = job->subject;

	if (task->changed) {
		take_in(task);
	}
	if (task->fd >= 0) {
		close(task->fd);
	}
	forget_wanted(&task->wanted);
	free(task);
}

int networks_free_place(const struct machine *machine, struct jobs *jobs)
{
	int i;

	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		if (!networks_has(machine, (unsigned int)i) &&
		    job_on(jobs, JOB_OF_ADAPTER, i) == NULL) {
			return i;
		}
	}
	return -1;
}

int networks_prepare(struct machine *machine, struct job *job, enum networks_task kind,
		     const struct config_network *wanted, int fd)
{
	static int (*const works[])(struct job *) = {
		[NETWORKS_ADD] = add_work,
		[NETWORKS_REMOVE] = remove_work,
		[NETWORKS_CONNECT] = connect_work,
	};
	struct network_place *place = &machine->networks.places[job->number];
	struct task *task;

	if (kind != NETWORKS_ADD && !networks_has(machine, (unsigned int)job->number)) {
		return -ENOENT;
	}
	if (kind == NETWORKS_ADD ? wanted->emulated
				 : kind == NETWORKS_REMOVE && place->nic != NULL) {
		return -ENOTSUP;
	}
	if (kind == NETWORKS_CONNECT && !place->lost) {
		return -EISCONN;
	}
	task = calloc(1, sizeof(*task));
	if (task == NULL ||
	    !copy_wanted(machine, (unsigned int)job->number,
			 kind == NETWORKS_ADD ? wanted : &place->wanted, &task->wanted)) {
		free(task);
		return -ENOMEM;
	}
	task->networks = &machine->networks;
	task->place = place;
	task->bus = machine->bus;
	task->memory = &machine->memory;
	task->index = (unsigned int)job->number;
	task->kind = kind;
	task->fd = fd;
	task->network = place->network;
	task->nic = place->nic;
	if (place->port != NULL) {
		memcpy(task->mac, place->port->mac, sizeof(task->mac));
		task->port = kind == NETWORKS_REMOVE ? place->port : NULL;
	}
	job->work = works[kind];
	job->finish = finish;
	job->subject = task;
	return 0;
}
