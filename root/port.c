/*
 * Ports of the root, each with a child's connection to it, that signal an eventfd (TLFS: Ports,
 * Connections).
 *
 * A doorbell port tells its id through the event ring of SINT5 when the child writes to an address.
 * An event port sets a flag of SIGNAL_SINT when the child makes HvCallSignalEvent. Connection ids
 * of doorbells are ours to choose: the port's.
 */
#include <linux/bitmap.h>
#include <linux/errno.h>
#include <linux/eventfd.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "root.h"

/* Above what a VMM would use for connections of its own. */
#define PORT_ID_MIN 0x800000
#define PORT_ID_MAX 0xffffff

struct port {
	struct list_head node; /* [P] */
	uint32_t id;
	uint32_t connection_id;
	uint32_t flag; /* event ports */
	struct hv_connection_info info;
	struct eventfd_ctx *eventfd;
};

static DEFINE_XARRAY_ALLOC(ports); /* by id; read under RCU */

/* So many flags a partition gets while there are any; more only while half of all are free. */
#define FLAGS_SHARE 64

static DEFINE_MUTEX(flags_lock);
static DECLARE_BITMAP(flags_used, HV_EVENT_FLAGS_COUNT);    /* under flags_lock */
static uint32_t flags_used_count;                           /* under flags_lock */
static struct port __rcu *flag_ports[HV_EVENT_FLAGS_COUNT]; /* read under RCU */

void port_ring(uint32_t port_id)
{
	struct port *port;

	rcu_read_lock();
	port = xa_load(&ports, port_id);
	if (port != NULL) {
		compat_eventfd_signal(port->eventfd);
	}
	rcu_read_unlock();
}

void port_signal(uint32_t flag)
{
	struct port *port;

	rcu_read_lock();
	port = rcu_dereference(flag_ports[flag]);
	if (port != NULL) {
		compat_eventfd_signal(port->eventfd);
	}
	rcu_read_unlock();
}

static bool is_doorbell(const struct port *port)
{
	return port->info.port_type == HV_PORT_TYPE_DOORBELL;
}

static int take_flag(struct partition *partition, struct port *port)
{
	int ret = -ENOSPC;

	mutex_lock(&flags_lock);
	if (partition->flag_count < FLAGS_SHARE || flags_used_count < HV_EVENT_FLAGS_COUNT / 2) {
		port->flag = find_first_zero_bit(flags_used, HV_EVENT_FLAGS_COUNT);
		ret = port->flag < HV_EVENT_FLAGS_COUNT ? 0 : -ENOSPC;
	}
	if (!ret) {
		__set_bit(port->flag, flags_used);
		flags_used_count++;
		partition->flag_count++;
		rcu_assign_pointer(flag_ports[port->flag], port);
	}
	mutex_unlock(&flags_lock);
	return ret;
}

static void give_flag_back(struct partition *partition, struct port *port)
{
	mutex_lock(&flags_lock);
	rcu_assign_pointer(flag_ports[port->flag], NULL);
	__clear_bit(port->flag, flags_used);
	flags_used_count--;
	partition->flag_count--;
	mutex_unlock(&flags_lock);
}

/* Makes the port's id, and an event port's flag, known to the interrupt handler. */
static int publish(struct partition *partition, struct port *port)
{
	int ret;

	ret = xa_alloc(&ports, &port->id, port, XA_LIMIT(PORT_ID_MIN, PORT_ID_MAX),
		       GFP_KERNEL_ACCOUNT);
	if (ret || is_doorbell(port)) {
		return ret;
	}
	ret = take_flag(partition, port);
	if (ret) {
		xa_erase(&ports, port->id);
		synchronize_rcu(); /* a doorbell of an earlier port with this id may be at it */
	}
	return ret;
}

/* The interrupt handler may still be at it until synchronize_rcu() has come back. */
static void retract(struct partition *partition, struct port *port)
{
	xa_erase(&ports, port->id);
	if (!is_doorbell(port)) {
		give_flag_back(partition, port);
	}
}

static int create(struct partition *partition, const struct port *port)
{
	struct hv_input_create_port *input = partition->pages.input;
	hv_status_t status;
	uint32_t tries = 0;
	int ret;

	do {
		*input = (struct hv_input_create_port){
			.port_partition_id = HV_PARTITION_ID_SELF,
			.port_id.asu32 = port->id,
			.connection_partition_id = partition->id,
			.port_info.port_type = port->info.port_type,
		};
		if (is_doorbell(port)) {
			input->port_info.doorbell_port_info.target_sint =
				HV_SYNIC_DOORBELL_SINT_INDEX;
			input->port_info.doorbell_port_info.target_vp = HV_ANY_VP;
		} else {
			input->port_info.event_port_info.target_sint = SIGNAL_SINT;
			input->port_info.event_port_info.target_vp = HV_ANY_VP;
			input->port_info.event_port_info.base_flag_number = port->flag;
			input->port_info.event_port_info.flag_count = 1;
		}
		status = hvcall_simple(HVCALL_CREATE_PORT, input, NULL);
		ret = deposit_retry(HV_PARTITION_ID_SELF, status, &tries);
	} while (ret > 0);
	return ret;
}

static int connect(struct partition *partition, const struct port *port)
{
	struct hv_input_connect_port *input = partition->pages.input;
	hv_status_t status;
	uint32_t tries = 0;
	int ret;

	do {
		*input = (struct hv_input_connect_port){
			.connection_partition_id = partition->id,
			.connection_id.asu32 = port->connection_id,
			.port_partition_id = HV_PARTITION_ID_SELF,
			.port_id.asu32 = port->id,
			.connection_info = port->info,
		};
		status = hvcall_simple(HVCALL_CONNECT_PORT, input, NULL);
		ret = deposit_retry(partition->id, status, &tries);
	} while (ret > 0);
	return ret;
}

static void disconnect(struct partition *partition, const struct port *port)
{
	union hv_input_disconnect_port input = {
		.connection_partition_id = partition->id,
		.connection_id.asu32 = port->connection_id,
		.is_doorbell = is_doorbell(port),
	};

	hvcall_fast(HVCALL_DISCONNECT_PORT, input.as_uint64[0], input.as_uint64[1]);
}

static void delete_port(const struct port *port)
{
	union hv_input_delete_port input = {
		.port_partition_id = HV_PARTITION_ID_SELF,
		.port_id.asu32 = port->id,
	};

	hvcall_fast(HVCALL_DELETE_PORT, input.as_uint64[0], input.as_uint64[1]);
}

static int open(struct partition *partition, struct port *port)
{
	int ret;

	ret = publish(partition, port);
	if (ret) {
		return ret;
	}
	if (is_doorbell(port)) {
		port->connection_id = port->id;
	}
	ret = create(partition, port);
	if (ret) {
		goto out_retract;
	}
	ret = connect(partition, port);
	if (ret) {
		goto out_delete;
	}
	return 0;

out_delete:
	delete_port(port);
out_retract:
	retract(partition, port);
	synchronize_rcu();
	return ret;
}

static void close(struct partition *partition, struct port *port)
{
	disconnect(partition, port);
	delete_port(port);
	retract(partition, port);
}

static void free_port(struct port *port)
{
	list_del(&port->node);
	eventfd_ctx_put(port->eventfd);
	kfree(port);
}

static bool same(const struct port *port, const struct hv_connection_info *info,
		 uint32_t connection_id)
{
	if (memcmp(&port->info, info, sizeof(*info))) {
		return false;
	}
	return is_doorbell(port) || port->connection_id == connection_id;
}

/* Two doorbells collide when one write could ring both. */
static bool collides(const struct port *port, const struct hv_connection_info *info,
		     uint32_t connection_id)
{
	const uint64_t any = HV_DOORBELL_FLAG_TRIGGER_ANY_VALUE;
	uint64_t flags = info->doorbell_connection_info.flags,
		 theirs = port->info.doorbell_connection_info.flags;

	if (!is_doorbell(port) || info->port_type != HV_PORT_TYPE_DOORBELL) {
		return same(port, info, connection_id);
	}
	if (port->info.doorbell_connection_info.gpa != info->doorbell_connection_info.gpa ||
	    (flags ^ theirs) & ~any) {
		return false;
	}
	return (flags | theirs) & any || port->info.doorbell_connection_info.trigger_value ==
						 info->doorbell_connection_info.trigger_value;
}

int port_attach(struct partition *partition, const struct hv_connection_info *info,
		uint32_t connection_id, struct eventfd_ctx *eventfd)
{
	struct port *port;
	int ret;

	list_for_each_entry(port, &partition->ports, node)
	{
		if (collides(port, info, connection_id)) {
			return -EEXIST;
		}
	}
	port = kzalloc(sizeof(*port), GFP_KERNEL_ACCOUNT);
	if (port == NULL) {
		return -ENOMEM;
	}
	port->info = *info;
	port->connection_id = connection_id;
	port->eventfd = eventfd;
	ret = open(partition, port);
	if (ret) {
		kfree(port);
		return ret;
	}
	list_add(&port->node, &partition->ports);
	return 0;
}

int port_detach(struct partition *partition, const struct hv_connection_info *info,
		uint32_t connection_id, struct eventfd_ctx *eventfd)
{
	struct port *port;

	list_for_each_entry(port, &partition->ports, node)
	{
		if (same(port, info, connection_id) && port->eventfd == eventfd) {
			close(partition, port);
			synchronize_rcu();
			free_port(port);
			return 0;
		}
	}
	return -ENOENT;
}

void ports_release(struct partition *partition)
{
	struct port *port, *next;

	if (list_empty(&partition->ports)) {
		return;
	}
	list_for_each_entry(port, &partition->ports, node)
	{
		close(partition, port);
	}
	synchronize_rcu();
	list_for_each_entry_safe(port, next, &partition->ports, node)
	{
		free_port(port);
	}
}
