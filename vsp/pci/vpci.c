/*
 * The virtual PCI protocol, on the thread of its channel (vsp/channel.h), and the accesses of VPs.
 *
 *   CLOSED -opened-> OPEN -VERSION-> VERSIONED -D0ENTRY-> ON -D0EXIT-> VERSIONED
 *   any of them -vpci_take()-> TAKEN, for good
 *
 * A function that is to go is asked for while it is ON. Whoever leaves that stage has let go of it
 * as well.
 *
 * Invariants
 *   1. Window, BARs and interrupts are there while it is ON. Whenever it is no longer, the function is as after power-on, hardware and all:
 *      what the guest does with its memory next is not met by DMA.
 *   2. BUS_RELATIONS is in the ring before anything is answered that came after the question.
 *   3. The function is not called while it is TAKEN: it may be somebody else's.
 *   4. Nothing of the protocol needs the guest's memory: messages only.
 */
#include "vsp/pci/pci.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/device.h"
#include "vsp/pci/space.h"

enum stage { TAKEN, CLOSED, OPEN, VERSIONED, ON };

enum eject { NOT_ASKED, TO_ASK, ASKED, EJECTED };

#define ALL_ONES UINT64_MAX

/* [I] immutable, [L] under the lock. */
struct vpci {
	struct vsp_device device;
	struct vpci_function *function; /* [I] */
	struct vpci_config config;      /* [I] */
	pthread_mutex_t lock;
	enum stage stage;        /* [L] */
	enum eject eject;        /* [L] */
	uint64_t window;         /* [L] while ON */
	uint32_t slot;           /* [L] that the window shows */
	struct vpci_space space; /* [L] */
};

/* What there is for an open channel, its thread's. */
struct session {
	struct vsp_channel vsp;
	struct vpci *vpci;
	uint32_t version;
	bool relations_due; /* there was no room for them */
	struct vsp_answer answer;
	uint64_t out[8]; /* its payload */
};

static void lock(struct vpci *vpci)
{
	pthread_mutex_lock(&vpci->lock);
}

static void unlock(struct vpci *vpci)
{
	pthread_mutex_unlock(&vpci->lock);
}

/* ---- The stages ---- */

/* Under the lock. */
static void set_ejected(struct vpci *vpci)
{
	if (vpci->eject == TO_ASK || vpci->eject == ASKED) {
		vpci->eject = EJECTED;
		vpci_function_ejected(vpci->function);
	}
}

/* Under the lock. */
static void leave_d0(struct vpci *vpci)
{
	if (vpci->stage == ON) {
		vpci->stage = VERSIONED;
		vpci_space_reset(&vpci->space);
		set_ejected(vpci);
	}
}

static void set_stage(struct vpci *vpci, enum stage stage)
{
	lock(vpci);
	leave_d0(vpci);
	if (vpci->stage != TAKEN) {
		vpci->stage = stage;
	}
	unlock(vpci);
}

/* ---- Messages ---- */

static bool is_ours(uint32_t slot)
{
	return (slot & VPCI_SLOT_MASK) == 0;
}

/* There is nothing else that waits for room: no packet is taken meanwhile. */
static void answer(struct session *session, const struct vmbus_packet *packet, const void *payload,
		   uint32_t bytes)
{
	CHECK(bytes <= sizeof(session->out));
	if (!packet->completion_requested) {
		return;
	}
	memcpy(session->out, payload, bytes);
	session->answer = (struct vsp_answer){
		.transaction = packet->transaction, .payload = session->out, .bytes = bytes};
	vsp_answer(&session->vsp, &session->answer);
}

static void answer_status(struct session *session, const struct vmbus_packet *packet,
			  uint32_t status)
{
	answer(session, packet, &status, sizeof(status));
}

static bool put(struct session *session, const void *message, size_t bytes)
{
	struct iovec part = {(void *)message, bytes};

	return channel_send(session->vsp.channel, 0, false, &part, 1) != -EAGAIN;
}

static void version(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci_version_request message;
	struct vpci_version_answer out = {.status = VPCI_STATUS_REVISION_MISMATCH,
					  .version = VPCI_VERSION_1_4};

	memcpy(&message, packet->payload, sizeof(message));
	if (message.version >= VPCI_VERSION_1_1 && message.version <= VPCI_VERSION_1_4) {
		out = (struct vpci_version_answer){VPCI_STATUS_SUCCESS, message.version};
		session->version = message.version;
		set_stage(session->vpci, VERSIONED);
	}
	answer(session, packet, &out, sizeof(out));
}

/* How many functions there are. */
static uint32_t describe(struct vpci *vpci, struct vpci_function_description *function)
{
	uint32_t id = 0, class = 0, count;

	*function = (struct vpci_function_description){.serial = vpci->config.serial};
	lock(vpci);
	count = vpci->stage != TAKEN;
	if (count != 0) {
		id = vpci_config_read(&vpci->space, 0x00, 4);
		class = vpci_config_read(&vpci->space, 0x08, 4);
		function->subsystem = vpci_config_read(&vpci->space, 0x2c, 4);
	}
	unlock(vpci);
	function->vendor = (uint16_t)id;
	function->device = (uint16_t)(id >> 16);
	function->revision = (uint8_t) class;
	function->interface = (uint8_t)(class >> 8);
	function->subclass = (uint8_t)(class >> 16);
	function->base_class = (uint8_t)(class >> 24);
	return count;
}

static bool send_relations(struct session *session)
{
	struct {
		struct vpci_bus_relations2 head;
		struct vpci_function_description2 function;
	} VPCI_PACKED two = {.head = {VPCI_BUS_RELATIONS2, 0}};
	struct {
		struct vpci_bus_relations head;
		struct vpci_function_description function;
	} VPCI_PACKED one = {.head = {VPCI_BUS_RELATIONS, 0}};

	one.head.count = two.head.count = describe(session->vpci, &one.function);
	if (session->version >= VPCI_VERSION_1_3) {
		two.function.function = one.function;
		return put(session, &two, one.head.count != 0 ? sizeof(two) : sizeof(two.head));
	}
	return put(session, &one, one.head.count != 0 ? sizeof(one) : sizeof(one.head));
}

/* False: there is no room for it now. */
static bool send_eject(struct vpci *vpci, struct session *session)
{
	const struct vpci_child message = {VPCI_EJECT, 0};
	bool sent;

	lock(vpci);
	sent = vpci->eject != TO_ASK || put(session, &message, sizeof(message));
	if (sent && vpci->eject == TO_ASK) {
		vpci->eject = ASKED;
	}
	unlock(vpci);
	return sent;
}

/* One that nobody asked for changes nothing. */
static void ejection_complete(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci *vpci = session->vpci;
	uint32_t status = VPCI_STATUS_INVALID_DEVICE_STATE;
	struct vpci_child message;

	memcpy(&message, packet->payload, sizeof(message));
	lock(vpci);
	if (!is_ours(message.slot)) {
		status = VPCI_STATUS_INVALID_PARAMETER;
	} else if (vpci->eject == ASKED) {
		set_ejected(vpci);
		status = VPCI_STATUS_SUCCESS;
	}
	unlock(vpci);
	answer_status(session, packet, status);
}

static void query_relations(struct session *session, const struct vmbus_packet *packet)
{
	session->relations_due = !send_relations(session);
	answer_status(session, packet, VPCI_STATUS_SUCCESS);
}

static void requirements(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci_requirements out = {.status = VPCI_STATUS_SUCCESS};
	struct vpci_child message;
	unsigned int i;

	memcpy(&message, packet->payload, sizeof(message));
	if (!is_ours(message.slot)) {
		out.status = VPCI_STATUS_INVALID_PARAMETER;
	}
	for (i = 0; i < VPCI_BARS && out.status == VPCI_STATUS_SUCCESS; i++) {
		out.bars[i] = vpci_bar_mask(&session->vpci->space, i);
	}
	answer(session, packet, &out, sizeof(out));
}

static void d0_entry(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci *vpci = session->vpci;
	struct vpci_d0_entry message;
	uint32_t status = VPCI_STATUS_INVALID_PARAMETER;

	memcpy(&message, packet->payload, sizeof(message));
	lock(vpci);
	if (vpci->stage >= VERSIONED && message.window % VPCI_WINDOW_CONFIG == 0 &&
	    vpci_function_has_place(vpci->function, message.window, VPCI_WINDOW_BYTES)) {
		leave_d0(vpci);
		vpci->window = message.window;
		vpci->slot = 0;
		vpci->stage = ON;
		status = VPCI_STATUS_SUCCESS;
	}
	unlock(vpci);
	answer_status(session, packet, status);
}

static void d0_exit(struct session *session, const struct vmbus_packet *packet)
{
	lock(session->vpci);
	leave_d0(session->vpci);
	unlock(session->vpci);
	answer_status(session, packet, VPCI_STATUS_SUCCESS);
}

/* Where BARs are is said in configuration space. */
static void resources(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci_child message;

	memcpy(&message, packet->payload, sizeof(message));
	answer_status(session, packet,
		      is_ours(message.slot) ? VPCI_STATUS_SUCCESS : VPCI_STATUS_INVALID_PARAMETER);
}

/* The hardware's power is what its capability is told. */
static void power(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci_power message;
	struct vpci_power_answer out;

	memcpy(&message, packet->payload, sizeof(message));
	out = (struct vpci_power_answer){
		.status = VPCI_STATUS_SUCCESS, .slot = message.slot, .state = message.state};
	if (!is_ours(message.slot) || message.state < VPCI_POWER_D0 ||
	    message.state > VPCI_POWER_D3) {
		out.status = VPCI_STATUS_INVALID_PARAMETER;
	}
	answer(session, packet, &out, sizeof(out));
}

/* ---- Interrupts ---- */

struct wanted {
	uint32_t slot, vector;
	uint8_t mode;
	uint16_t count;
	uint32_t vp;
};

static void create_interrupt(struct session *session, const struct vmbus_packet *packet,
			     const struct wanted *wanted)
{
	struct vpci *vpci = session->vpci;
	const struct vpci_target target = {wanted->vp, (uint8_t)wanted->vector, wanted->mode};
	struct vpci_create_answer out = {.status = VPCI_STATUS_INVALID_PARAMETER};
	int ret = -EINVAL;

	lock(vpci);
	if (is_ours(wanted->slot) && wanted->vector <= UINT8_MAX && wanted->vp < vpci->config.vps) {
		ret = vpci_create_message(&vpci->space, &target, wanted->count, &out.interrupt);
	}
	unlock(vpci);
	if (ret == 0) {
		out.status = VPCI_STATUS_SUCCESS;
	} else if (ret == -ENOSPC) {
		out.status = VPCI_STATUS_INSUFFICIENT_RESOURCES;
	}
	answer(session, packet, &out, sizeof(out));
}

/* One VP gets them: of several the first. */
static void create_interrupt1(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci_create_interrupt message;

	memcpy(&message, packet->payload, sizeof(message));
	create_interrupt(session, packet,
			 &(struct wanted){message.slot, message.vector, message.mode, message.count,
					  message.processors != 0
						  ? (uint32_t)__builtin_ctzll(message.processors)
						  : UINT32_MAX});
}

static void create_interrupt2(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci_create_interrupt2 message;

	memcpy(&message, packet->payload, sizeof(message));
	create_interrupt(session, packet,
			 &(struct wanted){message.slot, message.vector, message.mode, message.count,
					  message.processor_count != 0 ? message.processors[0]
								       : UINT32_MAX});
}

static void create_interrupt3(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci_create_interrupt3 message;

	memcpy(&message, packet->payload, sizeof(message));
	create_interrupt(session, packet,
			 &(struct wanted){message.slot, message.vector, message.mode, message.count,
					  message.processor_count != 0 ? message.processors[0]
								       : UINT32_MAX});
}

static void delete_interrupt(struct session *session, const struct vmbus_packet *packet)
{
	struct vpci *vpci = session->vpci;
	struct vpci_delete_interrupt message;

	memcpy(&message, packet->payload, sizeof(message));
	lock(vpci);
	if (is_ours(message.slot)) {
		vpci_delete_message(&vpci->space, &message.interrupt);
	}
	unlock(vpci);
	answer_status(session, packet, VPCI_STATUS_SUCCESS);
}

/* ---- The channel ---- */

static const struct {
	uint32_t type;
	enum stage from; /* not before it */
	uint32_t bytes;  /* at least */
	void (*take)(struct session *session, const struct vmbus_packet *packet);
} messages[] = {
	/* clang-format off */
	{VPCI_QUERY_PROTOCOL_VERSION,     OPEN,      sizeof(struct vpci_version_request),   version},
	{VPCI_QUERY_BUS_RELATIONS,        VERSIONED, sizeof(uint32_t),                      query_relations},
	{VPCI_QUERY_RESOURCE_REQUIREMENTS, VERSIONED, sizeof(struct vpci_child),            requirements},
	{VPCI_BUS_D0ENTRY,                VERSIONED, sizeof(struct vpci_d0_entry),          d0_entry},
	{VPCI_BUS_D0EXIT,                 VERSIONED, sizeof(uint32_t),                      d0_exit},
	{VPCI_RESOURCES_ASSIGNED,         ON,        sizeof(struct vpci_child),             resources},
	{VPCI_RESOURCES_ASSIGNED2,        ON,        sizeof(struct vpci_child),             resources},
	{VPCI_RESOURCES_ASSIGNED3,        ON,        sizeof(struct vpci_child),             resources},
	{VPCI_RESOURCES_RELEASED,         VERSIONED, sizeof(struct vpci_child),             resources},
	{VPCI_POWER_STATE_CHANGE,         VERSIONED, sizeof(struct vpci_power),             power},
	{VPCI_CREATE_INTERRUPT_MESSAGE,   ON,        sizeof(struct vpci_create_interrupt),  create_interrupt1},
	{VPCI_CREATE_INTERRUPT_MESSAGE2,  ON,        sizeof(struct vpci_create_interrupt2), create_interrupt2},
	{VPCI_CREATE_INTERRUPT_MESSAGE3,  ON,        sizeof(struct vpci_create_interrupt3), create_interrupt3},
	{VPCI_DELETE_INTERRUPT_MESSAGE,   VERSIONED, sizeof(struct vpci_delete_interrupt),  delete_interrupt},
	{VPCI_EJECTION_COMPLETE,          ON,        sizeof(struct vpci_child),             ejection_complete},
	/* clang-format on */
};

static enum stage stage_of(struct vpci *vpci)
{
	enum stage stage;

	lock(vpci);
	stage = vpci->stage;
	unlock(vpci);
	return stage;
}

/* What is not known, blocks among it, is of a newer guest, or of another device's driver. */
static void packet(void *device, const struct vmbus_packet *packet)
{
	struct session *session = device;
	uint32_t type, status = VPCI_STATUS_NOT_SUPPORTED;
	size_t i;

	if (packet->type != VM_PKT_DATA_INBAND || packet->payload_bytes < sizeof(type)) {
		return;
	}
	memcpy(&type, packet->payload, sizeof(type));
	for (i = 0; i < ARRAY_COUNT(messages) && messages[i].type != type; i++) {
	}
	if (i < ARRAY_COUNT(messages)) {
		if (packet->payload_bytes < messages[i].bytes) {
			status = VPCI_STATUS_INVALID_PARAMETER;
		} else if (stage_of(session->vpci) < messages[i].from) {
			status = VPCI_STATUS_INVALID_DEVICE_STATE;
		} else {
			messages[i].take(session, packet);
			return;
		}
	}
	answer_status(session, packet, status);
}

static bool work(void *device)
{
	struct session *session = device;

	if (vsp_is_ending(&session->vsp) || vsp_is_pausing(&session->vsp)) {
		return false;
	}
	if (session->relations_due) {
		session->relations_due = !send_relations(session);
		return !session->relations_due;
	}
	(void)send_eject(session->vpci, session); /* who made room wakes us */
	return false;
}

static bool ready(void *device)
{
	const struct session *session = device;

	return !session->relations_due;
}

static void closed(void *device)
{
	struct session *session = device;

	set_stage(session->vpci, CLOSED);
}

static const struct vsp_class channel_class = {
	.work = work,
	.ready = ready,
	.packet = packet,
	.closed = closed,
};

/* ---- The device ---- */

static void free_session(struct vsp_channel *vsp)
{
	free(vsp);
}

static int create_session(void *owner, unsigned int index, struct vsp_channel **vsp)
{
	struct session *session = calloc(1, sizeof(*session));

	(void)index;
	if (session == NULL) {
		return -ENOMEM;
	}
	session->vpci = owner;
	set_stage(session->vpci, OPEN);
	*vsp = &session->vsp;
	return 0;
}

static void free_vpci(struct vpci *vpci)
{
	vsp_device_free(&vpci->device);
	pthread_mutex_destroy(&vpci->lock);
	vpci_space_destroy(&vpci->space);
	free(vpci);
}

/* The last offer has been released. */
static void ended(void *owner)
{
	struct vpci *vpci = owner;
	struct vpci_function *function = vpci->function;

	free_vpci(vpci);
	vpci_function_released(function);
}

static const struct vsp_device_class device_class = {
	.channel = &channel_class,
	.create = create_session,
	.free = free_session,
	.ended = ended,
};

static const struct vmbus_class vmbus_class = {.name = "PCI", VSP_VMBUS_FUNCTIONS};

/* Linux has the bus' domain from bytes 4 and 5, and the name of a device for the hypervisor from 4
 * to 7. */
static struct vmbus_guid instance_of(unsigned int place)
{
	return (struct vmbus_guid){0x2f9d6c01,
				   (uint16_t)(0x1000 + place),
				   0x4b58,
				   {0x8e, 0x17, 0x50, 0xc4, 0x39, 0xa2, 0x7d, 0x66}};
}

static uint64_t device_id_of(unsigned int place)
{
	const struct vmbus_guid instance = instance_of(place);

	return (uint64_t)instance.data2 << 16 | (instance.data3 & 0xfff8u);
}

int vpci_create(struct vmbus *bus, struct vpci_function *function, const struct vpci_config *config,
		struct vpci **out)
{
	const struct vmbus_offer offer = {.type = VMBUS_GUID_PCI,
					  .instance = instance_of(config->place),
					  .class = &vmbus_class};
	struct vpci *vpci = calloc(1, sizeof(*vpci));
	int ret;

	CHECK(config->place < VPCI_PLACES);
	if (vpci == NULL) {
		return -ENOMEM;
	}
	vpci->function = function;
	vpci->config = *config;
	vpci->stage = CLOSED;
	ret = vpci_space_create(&vpci->space, function);
	if (ret != 0) {
		free(vpci);
		return ret;
	}
	pthread_mutex_init(&vpci->lock, NULL);
	vsp_device_create(&vpci->device, &device_class, vpci, bus);
	ret = vsp_offer(&vpci->device, 0, &offer);
	if (ret != 0) {
		free_vpci(vpci); /* the function stays the caller's */
		return ret;
	}
	*out = vpci;
	return 0;
}

void vpci_eject(struct vpci *vpci)
{
	lock(vpci);
	if (vpci->eject == NOT_ASKED) {
		vpci->eject = TO_ASK;
		if (vpci->stage != ON) {
			set_ejected(vpci);
		}
	}
	unlock(vpci);
	vsp_wake_all(&vpci->device);
}

void vpci_take(struct vpci *vpci)
{
	set_stage(vpci, TAKEN);
}

void vpci_destroy(struct vpci **vpci)
{
	struct vpci *it = *vpci;

	*vpci = NULL;
	vpci_take(it);
	vsp_device_destroy(&it->device);
}

/* ---- Of VPs ---- */

/* Only the function that there is has a configuration space. */
static uint64_t access_window(struct vpci *vpci, uint64_t offset, unsigned int size, bool write,
			      uint64_t value)
{
	if (offset < VPCI_WINDOW_CONFIG) {
		if (write && offset == 0) {
			vpci->slot = (uint32_t)value;
		}
		return vpci->slot;
	}
	offset -= VPCI_WINDOW_CONFIG;
	if (!is_ours(vpci->slot) || (size != 1 && size != 2 && size != 4) || offset % size != 0) {
		return ALL_ONES;
	}
	if (write) {
		vpci_config_write(&vpci->space, (uint32_t)offset, size, (uint32_t)value);
		return 0;
	}
	return vpci_config_read(&vpci->space, (uint32_t)offset, size);
}

bool vpci_access(struct vpci *vpci, uint64_t gpa, unsigned int size, bool write, uint64_t *value)
{
	bool is_here = false;

	lock(vpci);
	if (vpci->stage == ON) {
		is_here = gpa >= vpci->window && gpa - vpci->window < VPCI_WINDOW_BYTES;
		if (is_here) {
			uint64_t read =
				access_window(vpci, gpa - vpci->window, size, write, *value);

			*value = write ? *value : read;
		} else {
			is_here = vpci_bar_access(&vpci->space, gpa, size, write, value);
		}
	}
	unlock(vpci);
	return is_here;
}

int vpci_retarget(struct vpci *vpci, uint64_t device_id, uint64_t address, uint32_t data,
		  const struct vpci_target *target)
{
	int ret = -EINVAL;

	if (device_id != device_id_of(vpci->config.place)) {
		return -ENODEV;
	}
	lock(vpci);
	if (vpci->stage == ON && target->vp < vpci->config.vps) {
		ret = vpci_retarget_message(&vpci->space, address, data, target);
	}
	unlock(vpci);
	return ret;
}
