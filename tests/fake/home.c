/* See home.h. What has to do with registers alone is tests/fake/backend.c's. */
#include "tests/fake/home.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "include/hv/hypercall.h"
#include "include/hv/status.h"
#include "lib/state.h"

#define INPUT_GPA   0x8000u /* of hypercalls */
#define EVENTS_MAX  16u
#define DEVICE_NAME "/dev/home"

struct binding {
	uint32_t connection;
	int event;
};

struct home_partition {
	struct backend_partition partition; /* first: the worker has this */
	pthread_mutex_t lock;               /* of what follows */
	pthread_cond_t changed;
	unsigned int vp_count;
	struct {
		bool full;
		struct hv_message message;
	} slots[BACKEND_MAX_VPS][HOME_SINTS];
	bool flags[HOME_SINTS][HOME_FLAGS];
	struct binding bindings[EVENTS_MAX];
};

struct home_vp {
	struct backend_vp vp; /* first */
	struct home_partition *partition;
	unsigned int index;
	pthread_t thread;
	void (*guest)(struct home_vp *vp);
	struct vp_exit exit;
	int asked, answered; /* eventfds */
	bool out;            /* [worker's thread] `exit` is with the worker */
	bool gone;           /* [a] */
	bool begun;          /* [worker's thread] its guest has a thread, since it was run first */
	bool asleep;         /* [a] its guest has returned, or there is none */
};

void (*home_guest)(struct home_vp *vp);
bool home_binds_events;

/* ---- backend.h ---- */

int backend_open(enum backend_lack *lack)
{
	*lack = BACKEND_LACK_OTHER;
	return eventfd(0, EFD_CLOEXEC);
}

const char *backend_device(void)
{
	return DEVICE_NAME;
}

size_t backend_commands(const unsigned int **commands)
{
	*commands = NULL;
	return 0;
}

int backend_partition_create(int backend, unsigned int vp_count, bool flush_calls,
			     struct backend_partition **result)
{
	struct home_partition *partition = calloc(1, sizeof(*partition));

	(void)flush_calls;
	CHECK(backend >= 0 && partition != NULL);
	partition->vp_count = vp_count;
	pthread_mutex_init(&partition->lock, NULL);
	pthread_cond_init(&partition->changed, NULL);
	*result = &partition->partition;
	return 0;
}

static struct home_partition *home_of(struct backend_partition *partition)
{
	return (struct home_partition *)partition;
}

void backend_partition_destroy(struct backend_partition **result)
{
	struct home_partition *partition = home_of(*result);

	for (unsigned int i = 0; i < EVENTS_MAX; i++) {
		CHECK(partition->bindings[i].connection == 0); /* all were unbound */
	}
	pthread_cond_destroy(&partition->changed);
	pthread_mutex_destroy(&partition->lock);
	free(partition);
	*result = NULL;
}

static void change(struct home_partition *partition)
{
	pthread_cond_broadcast(&partition->changed);
	pthread_mutex_unlock(&partition->lock);
}

int backend_partition_freeze_time(struct backend_partition *partition, bool freeze)
{
	(void)partition;
	(void)freeze;
	return 0;
}

struct backend_processor home_processor = {.vendor = "a home's own"};

void backend_processor(struct backend_processor *processor)
{
	*processor = home_processor;
}

void backend_feature_name(unsigned int word, unsigned int bit, char *text, size_t size)
{
	snprintf(text, size, "word %u bit %u", word, bit);
}

bool home_is_saved;

static void put_part(struct state_writer *writer, const char *name, uint32_t number)
{
	size_t part = state_begin(writer, name, 1);

	state_put_u32(writer, number);
	state_end(writer, part);
}

static int take_part(struct state_reader *list, const char *name, uint32_t number)
{
	struct state_reader part = state_part(list, name, 1);

	if (state_u32(&part) != number) {
		state_refuse(&part, "is another one's");
	}
	state_finish(&part);
	return state_ok(list) ? 0 : -EINVAL;
}

/* Guests here are functions of a test, which nobody can write down: what they want to find again
 * they have in their memory. */
int backend_partition_save(struct backend_partition *partition, struct state_writer *writer)
{
	(void)partition;
	put_part(writer, "hv", 1);
	return home_is_saved ? 0 : -EOPNOTSUPP;
}

int backend_partition_restore(struct backend_partition *partition, struct state_reader *list)
{
	(void)partition;
	return take_part(list, "hv", 1);
}

int backend_vp_save(struct backend_vp *vp, struct vp_exit *exit, struct state_writer *writer)
{
	(void)exit;
	put_part(writer, "vp", ((struct home_vp *)vp)->index);
	return home_is_saved ? 0 : -EOPNOTSUPP;
}

int backend_vp_restore(struct backend_vp *vp, struct state_reader *list)
{
	return take_part(list, "vp", ((struct home_vp *)vp)->index);
}

int backend_partition_reference_time(struct backend_partition *partition, uint64_t *time_100ns)
{
	(void)partition;
	*time_100ns = 0;
	return 0;
}

int backend_partition_post_message(struct backend_partition *result, uint32_t vp, uint8_t sint,
				   uint32_t type, const void *payload, size_t size)
{
	struct home_partition *partition = home_of(result);
	int ret = -EAGAIN;

	if (vp >= partition->vp_count || sint >= HOME_SINTS || size > BACKEND_MESSAGE_MAX) {
		return -EINVAL;
	}
	pthread_mutex_lock(&partition->lock);
	if (!partition->slots[vp][sint].full) {
		struct hv_message *message = &partition->slots[vp][sint].message;

		*message = (struct hv_message){
			.header = {.message_type = type, .payload_size = (uint8_t)size}};
		memcpy(message->u.payload, payload, size);
		partition->slots[vp][sint].full = true;
		ret = 0;
	}
	change(partition);
	return ret;
}

int backend_partition_signal_event(struct backend_partition *result, uint32_t vp, uint8_t sint,
				   uint16_t flag)
{
	struct home_partition *partition = home_of(result);

	if (vp >= partition->vp_count || sint >= HOME_SINTS || flag >= HOME_FLAGS) {
		return -EINVAL;
	}
	pthread_mutex_lock(&partition->lock);
	partition->flags[sint][flag] = true;
	change(partition);
	return 0;
}

/* The binding of a connection; with 0, a free one. */
static struct binding *find_binding(struct home_partition *partition, uint32_t connection)
{
	for (unsigned int i = 0; i < EVENTS_MAX; i++) {
		if (partition->bindings[i].connection == connection) {
			return &partition->bindings[i];
		}
	}
	return NULL;
}

int backend_partition_bind_event(struct backend_partition *result, uint32_t connection_id,
				 int event)
{
	struct home_partition *partition = home_of(result);
	struct binding *binding;

	if (!home_binds_events) {
		return -ENOTTY;
	}
	pthread_mutex_lock(&partition->lock);
	CHECK(find_binding(partition, connection_id) == NULL);
	binding = find_binding(partition, 0);
	CHECK(binding != NULL);
	*binding = (struct binding){connection_id, event};
	change(partition);
	return 0;
}

void backend_partition_unbind_event(struct backend_partition *result, uint32_t connection_id,
				    int event)
{
	struct home_partition *partition = home_of(result);
	struct binding *binding;

	pthread_mutex_lock(&partition->lock);
	binding = find_binding(partition, connection_id);
	CHECK(binding != NULL && binding->event == event);
	*binding = (struct binding){0, 0};
	change(partition);
}

/* No device of the hardware is there. */
int backend_partition_set_routes(struct backend_partition *partition,
				 const struct backend_route *routes, unsigned int count)
{
	(void)partition;
	(void)routes;
	(void)count;
	return -ENOTTY;
}

int backend_partition_bind_interrupt(struct backend_partition *partition, uint32_t number,
				     int event)
{
	(void)partition;
	(void)number;
	(void)event;
	return -ENOTTY;
}

void backend_partition_unbind_interrupt(struct backend_partition *partition, uint32_t number,
					int event)
{
	(void)partition;
	(void)number;
	(void)event;
}

static void *run_guest(void *argument)
{
	struct home_vp *vp = argument;

	vp->guest(vp);
	__atomic_store_n(&vp->asleep, true, __ATOMIC_SEQ_CST);
	return NULL;
}

int backend_vp_create(struct backend_partition *partition, unsigned int index,
		      struct backend_vp **result)
{
	struct home_vp *vp = calloc(1, sizeof(*vp));

	CHECK(vp != NULL && index < home_of(partition)->vp_count);
	vp->partition = home_of(partition);
	vp->index = index;
	vp->guest = home_guest;
	vp->asked = eventfd(0, EFD_CLOEXEC);
	vp->answered = eventfd(0, EFD_CLOEXEC);
	CHECK(vp->asked >= 0 && vp->answered >= 0);
	vp->asleep = true;
	*result = &vp->vp;
	return 0;
}

static struct home_vp *vp_of(struct backend_vp *vp)
{
	return (struct home_vp *)vp;
}

void backend_vp_destroy(struct backend_vp **result)
{
	struct home_vp *vp = vp_of(*result);

	__atomic_store_n(&vp->gone, true, __ATOMIC_SEQ_CST);
	eventfd_write(vp->answered, 1);
	pthread_mutex_lock(&vp->partition->lock);
	change(vp->partition);
	if (vp->begun) {
		pthread_join(vp->thread, NULL);
	}
	close(vp->asked);
	close(vp->answered);
	free(vp);
	*result = NULL;
}

int backend_vp_set_boot_state(struct backend_vp *vp, const struct vp_boot_state *state)
{
	vp->registers = state->registers;
	return 0;
}

int backend_vp_set_local_pins(struct backend_vp *vp, bool extint)
{
	(void)vp;
	(void)extint;
	return 0;
}

int backend_vp_run(struct backend_vp *result, struct vp_exit *exit)
{
	struct home_vp *vp = vp_of(result);
	eventfd_t count;

	if (vp->guest != NULL && !vp->begun) {
		vp->begun = true;
		__atomic_store_n(&vp->asleep, false, __ATOMIC_SEQ_CST);
		CHECK(pthread_create(&vp->thread, NULL, run_guest, vp) == 0);
	}
	if (vp->out) {
		vp->out = false;
		vp->exit = *exit;
		eventfd_write(vp->answered, 1);
	}
	exit->kind = VP_EXIT_NONE;
	if (vp->vp.window) { /* its guests can always take one */
		vp->vp.window = false;
		exit->kind = VP_EXIT_WINDOW;
		return 0;
	}
	while (eventfd_read(vp->asked, &count) != 0) {
		if (errno != EINTR) {
			return -errno;
		}
		/* A guest that is to be saved stands at an exit when its VP does. */
		if (!home_is_saved || __atomic_load_n(&vp->asleep, __ATOMIC_SEQ_CST)) {
			return 0;
		}
	}
	vp->out = true;
	*exit = vp->exit;
	return 0;
}

/* ---- guests ---- */

static void end_if_gone(const struct home_vp *vp)
{
	if (__atomic_load_n(&vp->gone, __ATOMIC_SEQ_CST)) {
		pthread_exit(NULL);
	}
}

/* The answer is in vp->exit. */
static void leave(struct home_vp *vp, const struct vp_exit *exit)
{
	eventfd_t count;

	end_if_gone(vp);
	vp->exit = *exit;
	eventfd_write(vp->asked, 1);
	CHECK(eventfd_read(vp->answered, &count) == 0);
	end_if_gone(vp);
}

unsigned int home_index(const struct home_vp *vp)
{
	return vp->index;
}

struct backend_vp *home_registers(struct home_vp *vp)
{
	return &vp->vp;
}

void *home_memory(struct home_vp *vp, uint64_t gpa, uint64_t length)
{
	const struct backend_partition *partition = &vp->partition->partition;

	for (unsigned int i = 0; i < partition->map_count; i++) {
		uint64_t offset = gpa - partition->maps[i].gpa;

		if (gpa >= partition->maps[i].gpa && offset < partition->maps[i].length &&
		    length <= partition->maps[i].length - offset) {
			return (uint8_t *)partition->maps[i].memory + offset;
		}
	}
	return NULL;
}

uint32_t home_in(struct home_vp *vp, uint16_t port, uint8_t size)
{
	struct vp_exit exit = {.kind = VP_EXIT_PORT, .port = {.port = port, .size = size}};

	leave(vp, &exit);
	return vp->exit.port.value;
}

void home_out(struct home_vp *vp, uint16_t port, uint8_t size, uint32_t value)
{
	struct vp_exit exit = {.kind = VP_EXIT_PORT,
			       .port = {.port = port, .size = size, .write = true, .value = value}};

	leave(vp, &exit);
}

static void ports(struct home_vp *vp, uint16_t port, uint8_t size, void *items, uint32_t count,
		  bool write)
{
	struct vp_exit exit = {.kind = VP_EXIT_PORTS,
			       .ports = {.port = port,
					 .size = size,
					 .write = write,
					 .count = count,
					 .items = items}};

	leave(vp, &exit);
}

void home_ins(struct home_vp *vp, uint16_t port, uint8_t size, void *items, uint32_t count)
{
	ports(vp, port, size, items, count, false);
}

void home_outs(struct home_vp *vp, uint16_t port, uint8_t size, void *items, uint32_t count)
{
	ports(vp, port, size, items, count, true);
}

uint64_t home_read(struct home_vp *vp, uint64_t gpa, uint8_t size)
{
	struct vp_exit exit = {.kind = VP_EXIT_MEMORY, .memory = {.gpa = gpa, .size = size}};

	CHECK(home_memory(vp, gpa, size) == NULL);
	leave(vp, &exit);
	return vp->exit.memory.value;
}

void home_write(struct home_vp *vp, uint64_t gpa, uint8_t size, uint64_t value)
{
	struct vp_exit exit = {.kind = VP_EXIT_MEMORY,
			       .memory = {.gpa = gpa, .size = size, .write = true, .value = value}};

	CHECK(home_memory(vp, gpa, size) == NULL);
	leave(vp, &exit);
}

void home_instruction(struct home_vp *vp, const void *bytes, uint8_t count, uint64_t gpa,
		      bool write)
{
	struct vp_exit exit = {.kind = VP_EXIT_INSTRUCTION};

	memcpy(exit.instruction.bytes, bytes, count);
	exit.instruction.byte_count = count;
	exit.instruction.gpa_valid = exit.instruction.gva_valid = gpa != 0;
	exit.instruction.gva = exit.instruction.gpa = gpa;
	exit.instruction.write = write;
	leave(vp, &exit);
}

static uint16_t hypercall(struct home_vp *vp, uint16_t code, bool fast, uint64_t input)
{
	struct vp_exit exit = {.kind = VP_EXIT_HYPERCALL,
			       .hypercall = {.code = code, .fast = fast, .input = input}};

	leave(vp, &exit);
	return vp->exit.hypercall.status;
}

uint16_t home_post(struct home_vp *vp, uint32_t connection, uint32_t type, const void *payload,
		   uint32_t size)
{
	struct hv_input_post_message *input = home_memory(vp, INPUT_GPA, sizeof(*input));

	CHECK(input != NULL && size <= sizeof(input->payload));
	memset(input, 0, sizeof(*input));
	input->connectionid.asu32 = connection;
	input->message_type = type;
	input->payload_size = size;
	memcpy(input->payload, payload, size);
	return hypercall(vp, HVCALL_POST_MESSAGE, false, INPUT_GPA);
}

uint16_t home_signal(struct home_vp *vp, uint32_t connection)
{
	struct binding *binding;
	bool bound = false;

	pthread_mutex_lock(&vp->partition->lock);
	binding = find_binding(vp->partition, connection);
	if (binding != NULL) {
		eventfd_write(binding->event, 1);
		bound = true;
	}
	pthread_mutex_unlock(&vp->partition->lock);
	return bound ? HV_STATUS_SUCCESS : hypercall(vp, HVCALL_SIGNAL_EVENT, true, connection);
}

void home_eoi(struct home_vp *vp, uint8_t vector)
{
	struct vp_exit exit = {.kind = VP_EXIT_EOI, .eoi_vector = vector};

	leave(vp, &exit);
}

void home_exit(struct home_vp *vp, enum vp_exit_kind kind)
{
	struct vp_exit exit = {.kind = kind};

	leave(vp, &exit);
}

/* The partition's lock is held. */
static void wait_for_change(struct home_vp *vp)
{
	struct home_partition *partition = vp->partition;

	if (!__atomic_load_n(&vp->gone, __ATOMIC_SEQ_CST)) {
		pthread_cond_wait(&partition->changed, &partition->lock);
	}
	if (__atomic_load_n(&vp->gone, __ATOMIC_SEQ_CST)) {
		pthread_mutex_unlock(&partition->lock);
		pthread_exit(NULL);
	}
}

void home_take_message(struct home_vp *vp, unsigned int sint, struct hv_message *message)
{
	struct home_partition *partition = vp->partition;

	pthread_mutex_lock(&partition->lock);
	while (!partition->slots[vp->index][sint].full) {
		wait_for_change(vp);
	}
	*message = partition->slots[vp->index][sint].message;
	partition->slots[vp->index][sint].full = false;
	pthread_mutex_unlock(&partition->lock);
}

void home_wait_flag(struct home_vp *vp, unsigned int sint, unsigned int flag)
{
	struct home_partition *partition = vp->partition;

	pthread_mutex_lock(&partition->lock);
	while (!partition->flags[sint][flag]) {
		wait_for_change(vp);
	}
	partition->flags[sint][flag] = false;
	pthread_mutex_unlock(&partition->lock);
}

void home_wait_interrupt(struct home_vp *vp, uint8_t vector, unsigned int count)
{
	const unsigned int *vectors = vp->partition->partition.vectors;

	while (__atomic_load_n(&vectors[vector], __ATOMIC_SEQ_CST) < count) {
		end_if_gone(vp);
		sched_yield();
	}
}

/* Injected by the worker's thread of this VP, which is in no exit of ours then. */
uint8_t home_take_extint(struct home_vp *vp)
{
	while (!__atomic_load_n(&vp->vp.injected, __ATOMIC_SEQ_CST)) {
		end_if_gone(vp);
		sched_yield();
	}
	vp->vp.injected = false;
	return (uint8_t)vp->vp.vector;
}
