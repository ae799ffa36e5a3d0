/*
 * Ports and connections (TLFS: Inter-Partition Communication, "Ports and Connections"), doorbells
 * and event rings.
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

#include "tlfs/cell.h"
#include "tlfs/partition.h"
#include "tlfs/synic.h"

#define BUCKETS		     256u
#define ID_MASK		     0xffffffu
#define DOORBELL_KEY	     0x1000000u
#define CONNECTIONS_PER_PORT 32u
#define DESTROYED_A_STEP     32u

struct connection;

struct port {
	struct port *next; /* [P] of the bucket */
	struct partition *owner;
	uint64_t peer; /* who may connect; 0: any child of the owner, or its parent */
	uint32_t id, type, sint, vp;
	uint32_t base_flag, flag_count;
	uint32_t connection_count;	/* port.c's lock */
	bool lost;			/* [a] rung while the ring was full */
	struct connection *connections; /* port.c's lock */
};

struct connection {
	struct connection *next; /* [P] of the bucket of ids */
	struct partition *partition;
	struct port *port;	      /* see invariant 1 */
	struct connection *port_next; /* port.c's lock */
	uint32_t key;		      /* id, and DOORBELL_KEY */
	uint32_t flags;		      /* HV_DOORBELL_FLAG_* */
	struct connection *gpa_next;  /* [P] of the bucket of addresses */
	uint64_t gpa, trigger;
};

_Static_assert(sizeof(struct port) <= CELL_BYTES && sizeof(struct connection) <= CELL_BYTES,
	       "objects fit in a cell");

struct port_table {
	struct port *by_id[BUCKETS];
	uint32_t count;
};

struct connection_table {
	struct connection *by_id[BUCKETS / 2], *by_gpa[BUCKETS];
	uint32_t count;
};

_Static_assert(sizeof(struct port_table) <= PAGE_SIZE &&
		       sizeof(struct connection_table) <= PAGE_SIZE,
	       "a page each");

/* Where a message or event goes, copied while the port could not vanish. */
struct target {
	struct partition *owner; /* with a reference */
	uint32_t port, sint, vp, flag;
};

static struct spinlock binding_lock;

/* ---- Tables ---- */

static struct port **port_bucket(struct port_table *table, uint32_t id)
{
	return &table->by_id[id % BUCKETS];
}

static struct connection **id_bucket(struct connection_table *table, uint32_t key)
{
	return &table->by_id[key % (BUCKETS / 2)];
}

static struct connection **gpa_bucket(struct connection_table *table, uint64_t gpa)
{
	return &table->by_gpa[(gpa >> 2) % BUCKETS];
}

static struct port *port_find(const struct partition *p, uint32_t id)
{
	struct port *port = p->ports ? *port_bucket(p->ports, id) : NULL;

	while (port && port->id != id)
		port = port->next;
	return port;
}

static struct connection *connection_find(const struct partition *p, uint32_t key)
{
	struct connection *connection = p->connections ? *id_bucket(p->connections, key) : NULL;

	while (connection && connection->key != key)
		connection = connection->next;
	return connection;
}

/* Takes out of the table and frees; the table goes with its last entry. */
static void port_remove(struct partition *owner, struct port *port)
{
	struct port **link = port_bucket(owner->ports, port->id);

	while (*link != port)
		link = &(*link)->next;
	*link = port->next;
	cell_free(owner, port);
	if (--owner->ports->count)
		return;
	plat_page_free(owner, owner->ports);
	owner->ports = NULL;
}

static void doorbell_remove(struct partition *p, struct connection *connection)
{
	struct connection **link = gpa_bucket(p->connections, connection->gpa);

	while (*link != connection)
		link = &(*link)->gpa_next;
	*link = connection->gpa_next;
	p->doorbell_count--;
}

static void connection_remove(struct partition *p, struct connection *connection)
{
	struct connection **link = id_bucket(p->connections, connection->key);

	while (*link != connection)
		link = &(*link)->next;
	*link = connection->next;
	if (connection->key & DOORBELL_KEY)
		doorbell_remove(p, connection);
	cell_free(p, connection);
	if (--p->connections->count)
		return;
	plat_page_free(p, p->connections);
	p->connections = NULL;
}

/* ---- Creation ---- */

static bool sint_valid(uint32_t sint)
{
	return sint > 0 && sint < HV_SINT_COUNT; /* 0 is the hypervisor's */
}

static bool vp_valid(struct partition *owner, uint32_t vp)
{
	return vp == HV_ANY_VP || partition_vp(owner, vp);
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
		if (!port->flag_count || port->base_flag + port->flag_count > HV_EVENT_FLAGS_COUNT)
			return HV_STATUS_INVALID_PARAMETER;
		break;
	case HV_PORT_TYPE_DOORBELL:
		if (owner->parent)
			return HV_STATUS_INVALID_PARAMETER;
		break;
	case HV_PORT_TYPE_MONITOR:
		return HV_STATUS_FEATURE_UNAVAILABLE; /* a latency hint that no guest needs: abi of
							 VMBus, "dedicated" */
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (!sint_valid(port->sint))
		return HV_STATUS_INVALID_PARAMETER;
	return vp_valid(owner, port->vp) ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_VP_INDEX;
}

static hv_status_t port_insert(struct partition *owner, const struct port *values)
{
	struct port **bucket, *port;

	if (owner->state != PARTITION_INITIALIZED)
		return HV_STATUS_INVALID_PARTITION_STATE;
	if (port_find(owner, values->id))
		return HV_STATUS_INVALID_PORT_ID;
	if (!owner->ports)
		owner->ports = plat_page_alloc(owner);
	port = owner->ports ? cell_alloc(owner) : NULL;
	if (!port) {
		if (owner->ports && !owner->ports->count) {
			plat_page_free(owner, owner->ports);
			owner->ports = NULL;
		}
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	*port = *values;
	bucket = port_bucket(owner->ports, port->id);
	port->next = *bucket;
	*bucket = port;
	owner->ports->count++;
	return HV_STATUS_SUCCESS;
}

hv_status_t port_create(struct partition *owner, struct partition *peer,
			const struct hv_input_create_port *input)
{
	struct port port = {
		.owner = owner, .peer = peer ? peer->id : 0, .id = input->port_id.asu32};
	hv_status_t status;

	if (port.id & ~ID_MASK || !port.id)
		return HV_STATUS_INVALID_PORT_ID;
	status = port_parse(owner, &input->port_info, &port);
	if (status != HV_STATUS_SUCCESS)
		return status;
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
	if (connection->key & ~ID_MASK)
		return HV_STATUS_INVALID_CONNECTION_ID;
	if (info->port_type != HV_PORT_TYPE_DOORBELL)
		return HV_STATUS_SUCCESS;
	connection->key |= DOORBELL_KEY;
	connection->gpa = info->doorbell_connection_info.gpa;
	connection->trigger = info->doorbell_connection_info.trigger_value;
	connection->flags = (uint32_t)info->doorbell_connection_info.flags;
	if (info->doorbell_connection_info.flags &
		    ~(uint64_t)(HV_DOORBELL_FLAG_TRIGGER_SIZE_MASK |
				HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE) ||
	    (connection->flags & HV_DOORBELL_FLAG_TRIGGER_SIZE_MASK) >
		    HV_DOORBELL_FLAG_TRIGGER_SIZE_QWORD)
		return HV_STATUS_INVALID_PARAMETER;
	return connection->gpa >> plat_info.physical_address_bits ? HV_STATUS_INVALID_PARAMETER
								  : HV_STATUS_SUCCESS;
}

static hv_status_t connection_insert(struct partition *p, const struct connection *values,
				     struct connection **out)
{
	struct connection **bucket, *connection;

	if (p->state != PARTITION_INITIALIZED)
		return HV_STATUS_INVALID_PARTITION_STATE;
	if (connection_find(p, values->key))
		return HV_STATUS_INVALID_CONNECTION_ID;
	if (!p->connections)
		p->connections = plat_page_alloc(p);
	connection = p->connections ? cell_alloc(p) : NULL;
	if (!connection) {
		if (p->connections && !p->connections->count) {
			plat_page_free(p, p->connections);
			p->connections = NULL;
		}
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	*connection = *values;
	bucket = id_bucket(p->connections, connection->key);
	connection->next = *bucket;
	*bucket = connection;
	p->connections->count++;
	if (connection->key & DOORBELL_KEY) {
		bucket = gpa_bucket(p->connections, connection->gpa);
		connection->gpa_next = *bucket;
		*bucket = connection;
		p->doorbell_count++;
	}
	*out = connection;
	return HV_STATUS_SUCCESS;
}

/* The port that may be connected to; nothing can delete it while binding_lock is held. */
static hv_status_t port_lookup(struct partition *owner, const struct partition *p,
			       const struct hv_input_connect_port *input, struct port **out)
{
	struct port *port;

	spin_lock(&owner->lock);
	port = port_find(owner, input->port_id.asu32);
	spin_unlock(&owner->lock);
	if (!port || (port->peer && port->peer != p->id) ||
	    port->type != input->connection_info.port_type)
		return HV_STATUS_INVALID_PORT_ID;
	*out = port;
	return port->connection_count < CONNECTIONS_PER_PORT ? HV_STATUS_SUCCESS
							     : HV_STATUS_NO_RESOURCES;
}

hv_status_t port_connect(struct partition *p, struct partition *owner,
			 const struct hv_input_connect_port *input)
{
	struct connection values = {.partition = p}, *connection;
	hv_status_t status = connection_parse(input, &values);

	if (status != HV_STATUS_SUCCESS)
		return status;
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
	while (port->connections) {
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

	if (!connection->port)
		return;
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
	if (port)
		port_destroy(owner, port);
	spin_unlock(&binding_lock);
	return port ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PORT_ID;
}

hv_status_t port_disconnect(struct partition *p, uint32_t id, bool doorbell)
{
	struct connection *connection = NULL;

	if (id & ~ID_MASK)
		return HV_STATUS_INVALID_CONNECTION_ID;
	spin_lock(&binding_lock);
	spin_lock(&p->lock);
	connection = connection_find(p, id | (doorbell ? DOORBELL_KEY : 0));
	if (connection) {
		connection_unbind(connection);
		connection_remove(p, connection);
	}
	spin_unlock(&p->lock);
	spin_unlock(&binding_lock);
	return connection ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_CONNECTION_ID;
}

static struct port *any_port(const struct partition *p)
{
	for (uint32_t i = 0; p->ports && i < BUCKETS; i++)
		if (p->ports->by_id[i])
			return p->ports->by_id[i];
	return NULL;
}

static struct connection *any_connection(const struct partition *p)
{
	for (uint32_t i = 0; p->connections && i < BUCKETS / 2; i++)
		if (p->connections->by_id[i])
			return p->connections->by_id[i];
	return NULL;
}

bool port_destroy_some(struct partition *p)
{
	struct connection *connection;
	struct port *port;

	spin_lock(&binding_lock);
	for (uint32_t i = 0; i < DESTROYED_A_STEP && (port = any_port(p)); i++)
		port_destroy(p, port);
	spin_lock(&p->lock);
	for (uint32_t i = 0; i < DESTROYED_A_STEP && (connection = any_connection(p)); i++) {
		connection_unbind(connection);
		connection_remove(p, connection);
	}
	spin_unlock(&p->lock);
	spin_unlock(&binding_lock);
	return !p->ports && !p->connections;
}

/* ---- Messages and events ---- */

/* On success with a reference to the port's owner. */
static hv_status_t resolve(struct partition *p, uint32_t id, uint32_t type, struct target *target)
{
	hv_status_t status = HV_STATUS_INVALID_PORT_ID;
	const struct connection *connection;
	const struct port *port;

	spin_lock(&p->lock);
	connection = connection_find(p, id);
	port = connection ? connection->port : NULL;
	if (!connection) {
		status = HV_STATUS_INVALID_CONNECTION_ID;
	} else if (port && port->type == type) {
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

	if (message)
		return synic_post_message(vp, target->sint, message, true);
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
		return vp ? deliver_one(vp, target, message) : status;
	}
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		vp = partition_vp(target->owner, (first + i) % HV_MAX_VPS);
		if (!vp)
			continue;
		status = deliver_one(vp, target, message);
		if (status != HV_STATUS_INVALID_SYNIC_STATE)
			break;
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
	    input->payload_size > HV_MESSAGE_PAYLOAD_BYTE_COUNT)
		return HV_STATUS_INVALID_PARAMETER;
	if (input->connectionid.asu32 & ~ID_MASK)
		return HV_STATUS_INVALID_CONNECTION_ID;
	status = resolve(vp->partition, input->connectionid.asu32, HV_PORT_TYPE_MESSAGE, &target);
	if (status != HV_STATUS_SUCCESS)
		return status;
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

	if (id & ~ID_MASK)
		return HV_STATUS_INVALID_CONNECTION_ID;
	status = resolve(vp->partition, id, HV_PORT_TYPE_EVENT, &target);
	if (status != HV_STATUS_SUCCESS)
		return status;
	status = deliver(vp, &target, NULL);
	partition_put(target.owner);
	return status;
}

/* ---- Doorbells and event rings ---- */

enum ring_result { RING_DONE, RING_FULL, RING_OFF };

/*
 * Puts the port's id in the VP's ring of the SINT. The page is shared with the reader, so its bytes
 * are looked at once.
 */
static enum ring_result ring_put(struct vp *vp, uint32_t sint, uint32_t id)
{
	struct synic *synic = &vp->synic;
	struct hv_synic_event_ring_page *page = synic->ring_page;
	struct hv_synic_event_ring *ring = &page->sint_event_ring[sint];
	union hv_synic_sint control;
	enum ring_result result = RING_OFF;
	bool interrupt = false;
	uint32_t *entry;

	spin_lock(&synic->lock);
	control.as_uint64 = synic->sint[sint];
	entry = &ring->data[synic->ring_head[sint]];
	if (!(synic->sirbp & HV_SYNIC_SIRBP_ENABLE) ||
	    !(synic->scontrol & HV_SYNIC_CONTROL_ENABLE) || control.masked) {
		/* nobody reads it */
	} else if (__atomic_load_n(entry, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&ring->ring_full, 1, __ATOMIC_SEQ_CST);
		result = RING_FULL;
	} else {
		__atomic_store_n(entry, id, __ATOMIC_SEQ_CST);
		synic->ring_head[sint] =
			(synic->ring_head[sint] + 1) % HV_SYNIC_EVENT_RING_MESSAGE_COUNT;
		interrupt = !__atomic_load_n(&ring->signal_masked, __ATOMIC_SEQ_CST);
		result = RING_DONE;
	}
	spin_unlock(&synic->lock);
	if (interrupt && control.as_intercept)
		notify_sint(vp, sint);
	else if (interrupt)
		synic_interrupt(vp, sint);
	return result;
}

/*
 * On the LP where the child runs, if the port leaves the choice; else on any that listens. [P] of
 * the child.
 */
static bool ring(struct vp *child, struct port *port)
{
	uint32_t wanted = port->vp == HV_ANY_VP ? child->last_root_vp : port->vp;
	struct vp *vp = partition_vp(port->owner, wanted);
	enum ring_result result = vp ? ring_put(vp, port->sint, port->id) : RING_OFF;

	for (uint32_t i = 0; result == RING_OFF && port->vp == HV_ANY_VP && i < HV_MAX_VPS; i++) {
		vp = partition_vp(port->owner, i);
		if (!vp)
			break;
		result = ring_put(vp, port->sint, port->id);
	}
	if (result == RING_FULL)
		__atomic_store_n(&port->lost, true, __ATOMIC_SEQ_CST);
	return result != RING_OFF;
}

static bool doorbell_matches(const struct connection *connection, uint64_t gpa, uint64_t value,
			     unsigned int size)
{
	uint32_t size_code = connection->flags & HV_DOORBELL_FLAG_TRIGGER_SIZE_MASK;
	uint64_t mask = size < 8 ? (1ull << size * 8) - 1 : UINT64_MAX;

	if (connection->gpa != gpa || (size_code && 1u << (size_code - 1) != size))
		return false;
	return connection->flags & HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE ||
	       !((connection->trigger ^ value) & mask);
}

bool port_doorbell(struct vp *vp, gpa_t gpa, uint64_t value, unsigned int size)
{
	struct partition *p = vp->partition;
	struct connection *connection;
	bool taken = false;

	if (!__atomic_load_n(&p->doorbell_count, __ATOMIC_RELAXED))
		return false;
	spin_lock(&p->lock);
	connection = p->connections ? *gpa_bucket(p->connections, gpa.v) : NULL;
	while (connection && !doorbell_matches(connection, gpa.v, value, size))
		connection = connection->gpa_next;
	if (connection && connection->port)
		taken = ring(vp, connection->port);
	spin_unlock(&p->lock);
	return taken;
}

/*
 * Rings again for the ports whose ring was lost, until it is full once more. The owner's lock is
 * held.
 */
static void ring_lost(struct vp *vp, uint32_t sint)
{
	struct port_table *table = vp->partition->ports;

	for (uint32_t i = 0; table && i < BUCKETS; i++) {
		for (struct port *port = table->by_id[i]; port; port = port->next) {
			if (port->sint != sint || (port->vp != HV_ANY_VP && port->vp != vp->index))
				continue;
			if (!__atomic_exchange_n(&port->lost, false, __ATOMIC_SEQ_CST))
				continue;
			if (ring_put(vp, sint, port->id) == RING_DONE)
				continue;
			__atomic_store_n(&port->lost, true, __ATOMIC_SEQ_CST);
			return;
		}
	}
}

void port_ring_emptied(struct vp *vp, uint32_t sint)
{
	spin_lock(&vp->partition->lock);
	ring_lost(vp, sint);
	spin_unlock(&vp->partition->lock);
}
