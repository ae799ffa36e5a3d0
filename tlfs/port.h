/*
 * Ports and connections, for the handlers of calls. Within the core only.
 */
#ifndef TLFS_PORT_H
#define TLFS_PORT_H

#include "tlfs/hv.h"

/*
 * Both partitions are referenced and INITIALIZED was seen; `owner` has the port, `peer` alone may
 * connect to it.
 */
hv_status_t port_create(struct partition *owner, struct partition *peer,
			const struct hv_input_create_port *input) MUST_CHECK;
hv_status_t port_connect(struct partition *p, struct partition *owner,
			 const struct hv_input_connect_port *input) MUST_CHECK;
hv_status_t port_delete(struct partition *owner, uint32_t id) MUST_CHECK;
hv_status_t port_disconnect(struct partition *p, uint32_t id, bool doorbell) MUST_CHECK;

/*
 * Through a connection of the caller's partition. INVALID_CONNECTION_ID when there is none of that
 * id.
 */
hv_status_t port_post_message(struct vp *vp, const struct hv_input_post_message *input) MUST_CHECK;
hv_status_t port_signal_event(struct vp *vp, uint32_t id, uint16_t flag) MUST_CHECK;

/* The reader of a root VP's event ring has emptied it after it was full. */
void port_ring_emptied(struct vp *vp, uint32_t sint);

#endif
