/*
 * Doorbells: a child's write to an address that puts a port's id in an event ring of its parent
 * (TLFS: "Doorbell Ports"; HvCallNotifyPortRingEmpty).
 *
 * A ring that is full marks the port as lost. Its reader tells when it has emptied the ring, and
 * what was lost rings again: once, however often it rang.
 */
#include "tlfs/partition.h"
#include "tlfs/port.h"
#include "tlfs/port_table.h"
#include "tlfs/synic.h"

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
	if (interrupt && control.as_intercept) {
		notify_sint(vp, sint);
	} else if (interrupt) {
		synic_interrupt(vp, sint);
	}
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
	enum ring_result result = vp != NULL ? ring_put(vp, port->sint, port->id) : RING_OFF;

	for (uint32_t i = 0; result == RING_OFF && port->vp == HV_ANY_VP && i < HV_MAX_VPS; i++) {
		vp = partition_vp(port->owner, i);
		if (vp == NULL) {
			break;
		}
		result = ring_put(vp, port->sint, port->id);
	}
	if (result == RING_FULL) {
		__atomic_store_n(&port->lost, true, __ATOMIC_SEQ_CST);
	}
	return result != RING_OFF;
}

static bool doorbell_matches(const struct connection *connection, uint64_t gpa, uint64_t value,
			     unsigned int size)
{
	uint32_t size_code = connection->flags & HV_DOORBELL_FLAG_TRIGGER_SIZE_MASK;
	uint64_t mask = size < 8 ? (1ull << size * 8) - 1 : UINT64_MAX;

	if (connection->gpa != gpa || (size_code && 1u << (size_code - 1) != size)) {
		return false;
	}
	return connection->flags & HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE ||
	       !((connection->trigger ^ value) & mask);
}

bool port_doorbell(struct vp *vp, gpa_t gpa, uint64_t value, unsigned int size)
{
	struct partition *p = vp->partition;
	struct connection *connection;
	bool taken = false;

	if (!__atomic_load_n(&p->doorbell_count, __ATOMIC_RELAXED)) {
		return false;
	}
	spin_lock(&p->lock);
	connection = connection_at(p, gpa.v);
	while (connection != NULL && !doorbell_matches(connection, gpa.v, value, size)) {
		connection = connection->gpa_next;
	}
	if (connection != NULL && connection->port != NULL) {
		taken = ring(vp, connection->port);
	}
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

	for (uint32_t i = 0; table != NULL && i < PORT_BUCKETS; i++) {
		for (struct port *port = table->by_id[i]; port != NULL; port = port->next) {
			if (port->sint != sint ||
			    (port->vp != HV_ANY_VP && port->vp != vp->index)) {
				continue;
			}
			if (!__atomic_exchange_n(&port->lost, false, __ATOMIC_SEQ_CST)) {
				continue;
			}
			if (ring_put(vp, sint, port->id) == RING_DONE) {
				continue;
			}
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
