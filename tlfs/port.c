/*
 * Ports and connections (TLFS: Inter-Partition Communication, "Ports and Connections"):
 * their creation and removal. What goes through them is in port_send.c and doorbell.c.
 *
 *   sender's partition                      receiver's partition
 *   connection (id) ---- port pointer ----> port (id): VP, SINT, flags ----> SynIC
 *        ^                                    |
 *        +-------- list of connections -------+
 *
 * Invariants:
 *  1. connection->port is either NULL (the port was deleted) or a port that is in its owner's
 *     table. It changes under the lock of this file and the lock of the connection's partition; so
 *     who holds the latter may use the port.
 *  2. The owner of a port that a connection points to is not yet being destroyed: its ports go
 *     before anything else. A reference taken under the same lock keeps it so while a message or
 *     event is delivered.
 *  3. Ports and connections are cells of the pool of the partition in whose table they are.
 *
 * Ids of doorbell connections are apart from those of the others: the parent's kernel numbers the
 * former, its programs the latter.
 */
#include "tlfs/port.h"

#include "tlfs/partition.h"
#include "tlfs/port_table.h"

#define CONNECTIONS_PER_PORT 32u
#define DESTROYED_A_STEP     32u

static struct spinlock binding_lock;

/* ---- Creation ---- */

static bool sint_valid(uint32_t sint)
{
	return sint > 0 && sint < HV_SINT_COUNT; /* 0 is the hypervisor's */
}

static bool vp_valid(struct partition *owner, uint32_t vp)
{
	return vp == HV_ANY_VP || partition_vp(owner, vp) != NULL;
}

/* Also says where the port leads. */
static hv_status_t port_parse(struct partition *owner, const struct hv_port_info *info,
			      struct port *port)
{
	/* The SINT and the VP are at the same place for all these types. */
	port->type = info->port_type;
	port->sint = info->message_port_info.target_sint;
	port->vp = info->message_port_info.target_vp;
	switch (info->port_type) {
	case HV_PORT_TYPE_MESSAGE:
		break;
	case HV_PORT_TYPE_EVENT:
		port->base_flag = info->event_port_info.base_flag_number;
		port->flag_count = info->event_port_info.flag_count;
		if (!port->flag_count ||
		    port->base_flag + port->flag_count > HV_EVENT_FLAGS_COUNT) {
			return HV_STATUS_INVALID_PARAMETER;
		}
		break;
	case HV_PORT_TYPE_DOORBELL:
		if (owner->parent != NULL) {
			return HV_STATUS_INVALID_PARAMETER;
		}
		break;
	case HV_PORT_TYPE_MONITOR:
		return HV_STATUS_FEATURE_UNAVAILABLE; /* a latency hint that no guest needs: abi of
							 VMBus, "dedicated" */
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (!sint_valid(port->sint)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return vp_valid(owner, port->vp) ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_VP_INDEX;
}

hv_status_t port_create(struct partition *owner, struct partition *peer,
			const struct hv_input_create_port *input)
{
	struct port port = {
		.owner = owner, .peer = peer != NULL ? peer->id : 0, .id = input->port_id.asu32};
	hv_status_t status;

	if (port.id & ~PORT_ID_MASK || !port.id) {
		return HV_STATUS_INVALID_PORT_ID;
	}
	status = port_parse(owner, &input->port_info, &port);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	spin_lock(&owner->lock);
	status = port_insert(owner, &port);
	spin_unlock(&owner->lock);
	return status;
}

static hv_status_t connection_parse(const struct hv_input_connect_port *input,
				    struct connection *connection)
{
	const struct hv_connection_info *info = &input->connection_info;

	connection->key = input->connection_id.asu32;
	if (connection->key & ~PORT_ID_MASK) {
		return HV_STATUS_INVALID_CONNECTION_ID;
	}
	if (info->port_type != HV_PORT_TYPE_DOORBELL) {
		return HV_STATUS_SUCCESS;
	}
	connection->key |= DOORBELL_KEY;
	connection->gpa = info->doorbell_connection_info.gpa;
	connection->trigger = info->doorbell_connection_info.trigger_value;
	connection->flags = (uint32_t)info->doorbell_connection_info.flags;
	if (info->doorbell_connection_info.flags &
		    ~(uint64_t)(HV_DOORBELL_FLAG_TRIGGER_SIZE_MASK |
				HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE) ||
	    (connection->flags & HV_DOORBELL_FLAG_TRIGGER_SIZE_MASK) >
		    HV_DOORBELL_FLAG_TRIGGER_SIZE_QWORD) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return connection->gpa >> plat_info.physical_address_bits ? HV_STATUS_INVALID_PARAMETER
								  : HV_STATUS_SUCCESS;
}

/* The port that may be connected to; nothing can delete it while binding_lock is held. */
static hv_status_t port_lookup(struct partition *owner, const struct partition *p,
			       const struct hv_input_connect_port *input, struct port **out)
{
	struct port *port;

	spin_lock(&owner->lock);
	port = port_find(owner, input->port_id.asu32);
	spin_unlock(&owner->lock);
	if (port == NULL || (port->peer && port->peer != p->id) ||
	    port->type != input->connection_info.port_type) {
		return HV_STATUS_INVALID_PORT_ID;
	}
	*out = port;
	return port->connection_count < CONNECTIONS_PER_PORT ? HV_STATUS_SUCCESS
							     : HV_STATUS_NO_RESOURCES;
}

hv_status_t port_connect(struct partition *p, struct partition *owner,
			 const struct hv_input_connect_port *input)
{
	struct connection values = {.partition = p}, *connection;
	hv_status_t status = connection_parse(input, &values);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	spin_lock(&binding_lock);
	status = port_lookup(owner, p, input, &values.port);
	if (status == HV_STATUS_SUCCESS) {
		spin_lock(&p->lock);
		status = connection_insert(p, &values, &connection);
		if (status == HV_STATUS_SUCCESS) {
			connection->port_next = values.port->connections;
			values.port->connections = connection;
			values.port->connection_count++;
		}
		spin_unlock(&p->lock);
	}
	spin_unlock(&binding_lock);
	return status;
}

/* ---- Removal; binding_lock held ---- */

static void port_unbind(struct port *port)
{
	while (port->connections != NULL) {
		struct connection *connection = port->connections;

		spin_lock(&connection->partition->lock);
		port->connections = connection->port_next;
		connection->port = NULL;
		spin_unlock(&connection->partition->lock);
	}
}

static void connection_unbind(struct connection *connection)
{
	struct connection **link;

	if (connection->port == NULL) {
		return;
	}
	for (link = &connection->port->connections; *link != connection; link = &(*link)->port_next)
		;
	*link = connection->port_next;
	connection->port->connection_count--;
}

static void port_destroy(struct partition *owner, struct port *port)
{
	port_unbind(port);
	spin_lock(&owner->lock);
	port_remove(owner, port);
	spin_unlock(&owner->lock);
}

hv_status_t port_delete(struct partition *owner, uint32_t id)
{
	struct port *port;

	spin_lock(&binding_lock);
	spin_lock(&owner->lock);
	port = port_find(owner, id);
	spin_unlock(&owner->lock);
	if (port != NULL) {
		port_destroy(owner, port);
	}
	spin_unlock(&binding_lock);
	return port != NULL ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PORT_ID;
}

hv_status_t port_disconnect(struct partition *p, uint32_t id, bool doorbell)
{
	struct connection *connection = NULL;

	if (id & ~PORT_ID_MASK) {
		return HV_STATUS_INVALID_CONNECTION_ID;
	}
	spin_lock(&binding_lock);
	spin_lock(&p->lock);
	connection = connection_find(p, id | (doorbell ? DOORBELL_KEY : 0));
	if (connection != NULL) {
		connection_unbind(connection);
		connection_remove(p, connection);
	}
	spin_unlock(&p->lock);
	spin_unlock(&binding_lock);
	return connection != NULL ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_CONNECTION_ID;
}

bool port_destroy_some(struct partition *p)
{
	struct connection *connection;
	struct port *port;

	spin_lock(&binding_lock);
	for (uint32_t i = 0; i < DESTROYED_A_STEP && (port = port_any(p)) != NULL; i++) {
		port_destroy(p, port);
	}
	spin_lock(&p->lock);
	for (uint32_t i = 0; i < DESTROYED_A_STEP && (connection = connection_any(p)) != NULL;
	     i++) {
		connection_unbind(connection);
		connection_remove(p, connection);
	}
	spin_unlock(&p->lock);
	spin_unlock(&binding_lock);
	return p->ports == NULL && p->connections == NULL;
}
