/*
 * Messages and events through connections (TLFS: HvCallPostMessage, HvCallSignalEvent).
 */
#include "tlfs/partition.h"
#include "tlfs/port.h"
#include "tlfs/port_table.h"
#include "tlfs/synic.h"

/* Where a message or event goes, copied while the port could not vanish. */
struct target {
	struct partition *owner; /* with a reference */
	uint32_t port, sint, vp, flag;
};

/* On success with a reference to the port's owner. */
static hv_status_t resolve(struct partition *p, uint32_t id, uint32_t type, struct target *target)
{
	hv_status_t status = HV_STATUS_INVALID_PORT_ID;
	const struct connection *connection;
	const struct port *port;

	spin_lock(&p->lock);
	connection = connection_find(p, id);
	port = connection != NULL ? connection->port : NULL;
	if (connection == NULL) {
		status = HV_STATUS_INVALID_CONNECTION_ID;
	} else if (port != NULL && port->type == type) {
		__atomic_fetch_add(&port->owner->references, 1, __ATOMIC_ACQUIRE);
		target->owner = port->owner;
		target->port = port->id;
		target->sint = port->sint;
		target->vp = port->vp;
		status = HV_STATUS_SUCCESS;
		if (type == HV_PORT_TYPE_EVENT) {
			if (target->flag >= port->flag_count) {
				partition_put(port->owner);
				status = HV_STATUS_INVALID_PARAMETER;
			}
			target->flag += port->base_flag;
		}
	}
	spin_unlock(&p->lock);
	return status;
}

static hv_status_t deliver_one(struct vp *vp, const struct target *target,
			       const struct hv_message *message)
{
	bool newly;

	if (message != NULL) {
		return synic_post_message(vp, target->sint, message, true);
	}
	return synic_signal_event(vp, target->sint, target->flag, &newly);
}

/* To the VP of the port. If that is any: to the root VP on whose LP the sender runs, else to the
 * next whose SynIC takes it. */
static hv_status_t deliver(const struct vp *from, const struct target *target,
			   const struct hv_message *message)
{
	const uint32_t first = target->owner == from->partition->parent ? from->last_root_vp : 0;
	hv_status_t status = HV_STATUS_INVALID_VP_INDEX;
	struct vp *vp;

	if (target->vp != HV_ANY_VP) {
		vp = partition_vp(target->owner, target->vp);
		return vp != NULL ? deliver_one(vp, target, message) : status;
	}
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		vp = partition_vp(target->owner, (first + i) % HV_MAX_VPS);
		if (vp == NULL) {
			continue;
		}
		status = deliver_one(vp, target, message);
		if (status != HV_STATUS_INVALID_SYNIC_STATE) {
			break;
		}
	}
	return status;
}

hv_status_t port_post_message(struct vp *vp, const struct hv_input_post_message *input)
{
	struct target target = {0};
	struct hv_message message;
	hv_status_t status;

	if (input->message_type & HV_MESSAGE_TYPE_HYPERVISOR_MASK ||
	    input->message_type == HVMSG_NONE ||
	    input->payload_size > HV_MESSAGE_PAYLOAD_BYTE_COUNT) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (input->connectionid.asu32 & ~PORT_ID_MASK) {
		return HV_STATUS_INVALID_CONNECTION_ID;
	}
	status = resolve(vp->partition, input->connectionid.asu32, HV_PORT_TYPE_MESSAGE, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	message.header = (struct hv_message_header){.message_type = input->message_type,
						    .payload_size = (uint8_t)input->payload_size};
	message.header.sender = target.port;
	memset(message.u.payload, 0, sizeof(message.u.payload));
	memcpy(message.u.payload, input->payload, input->payload_size);
	status = deliver(vp, &target, &message);
	partition_put(target.owner);
	return status;
}

hv_status_t port_signal_event(struct vp *vp, uint32_t id, uint16_t flag)
{
	struct target target = {.flag = flag};
	hv_status_t status;

	if (id & ~PORT_ID_MASK) {
		return HV_STATUS_INVALID_CONNECTION_ID;
	}
	status = resolve(vp->partition, id, HV_PORT_TYPE_EVENT, &target);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = deliver(vp, &target, NULL);
	partition_put(target.owner);
	return status;
}
