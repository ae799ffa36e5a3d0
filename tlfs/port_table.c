/* See port_table.h. */
#include "tlfs/port_table.h"

#include "tlfs/partition.h"

static struct port **port_bucket(struct port_table *table, uint32_t id)
{
	return &table->by_id[id % PORT_BUCKETS];
}

static struct connection **id_bucket(struct connection_table *table, uint32_t key)
{
	return &table->by_id[key % CONNECTION_BUCKETS];
}

static struct connection **gpa_bucket(struct connection_table *table, uint64_t gpa)
{
	return &table->by_gpa[(gpa >> 2) % PORT_BUCKETS];
}

struct port *port_find(const struct partition *p, uint32_t id)
{
	struct port *port = p->ports != NULL ? *port_bucket(p->ports, id) : NULL;

	while (port != NULL && port->id != id) {
		port = port->next;
	}
	return port;
}

struct connection *connection_find(const struct partition *p, uint32_t key)
{
	struct connection *connection =
		p->connections != NULL ? *id_bucket(p->connections, key) : NULL;

	while (connection != NULL && connection->key != key) {
		connection = connection->next;
	}
	return connection;
}

struct port *port_any(const struct partition *p)
{
	for (uint32_t i = 0; p->ports != NULL && i < PORT_BUCKETS; i++) {
		if (p->ports->by_id[i] != NULL) {
			return p->ports->by_id[i];
		}
	}
	return NULL;
}

struct connection *connection_any(const struct partition *p)
{
	for (uint32_t i = 0; p->connections != NULL && i < CONNECTION_BUCKETS; i++) {
		if (p->connections->by_id[i] != NULL) {
			return p->connections->by_id[i];
		}
	}
	return NULL;
}

struct connection *connection_at(const struct partition *p, uint64_t gpa)
{
	return p->connections != NULL ? *gpa_bucket(p->connections, gpa) : NULL;
}

hv_status_t port_insert(struct partition *owner, const struct port *values)
{
	struct port **bucket, *port;

	if (owner->state != PARTITION_INITIALIZED) {
		return HV_STATUS_INVALID_PARTITION_STATE;
	}
	if (port_find(owner, values->id) != NULL) {
		return HV_STATUS_INVALID_PORT_ID;
	}
	if (owner->ports == NULL) {
		owner->ports = plat_page_alloc(owner);
	}
	port = owner->ports != NULL ? cell_alloc(owner) : NULL;
	if (port == NULL) {
		if (owner->ports != NULL && !owner->ports->count) {
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

hv_status_t connection_insert(struct partition *p, const struct connection *values,
			      struct connection **out)
{
	struct connection **bucket, *connection;

	if (p->state != PARTITION_INITIALIZED) {
		return HV_STATUS_INVALID_PARTITION_STATE;
	}
	if (connection_find(p, values->key) != NULL) {
		return HV_STATUS_INVALID_CONNECTION_ID;
	}
	if (p->connections == NULL) {
		p->connections = plat_page_alloc(p);
	}
	connection = p->connections != NULL ? cell_alloc(p) : NULL;
	if (connection == NULL) {
		if (p->connections != NULL && !p->connections->count) {
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

void port_remove(struct partition *owner, struct port *port)
{
	struct port **link = port_bucket(owner->ports, port->id);

	while (*link != port) {
		link = &(*link)->next;
	}
	*link = port->next;
	cell_free(owner, port);
	if (--owner->ports->count) {
		return;
	}
	plat_page_free(owner, owner->ports);
	owner->ports = NULL;
}

static void doorbell_remove(struct partition *p, struct connection *connection)
{
	struct connection **link = gpa_bucket(p->connections, connection->gpa);

	while (*link != connection) {
		link = &(*link)->gpa_next;
	}
	*link = connection->gpa_next;
	p->doorbell_count--;
}

void connection_remove(struct partition *p, struct connection *connection)
{
	struct connection **link = id_bucket(p->connections, connection->key);

	while (*link != connection) {
		link = &(*link)->next;
	}
	*link = connection->next;
	if (connection->key & DOORBELL_KEY) {
		doorbell_remove(p, connection);
	}
	cell_free(p, connection);
	if (--p->connections->count) {
		return;
	}
	plat_page_free(p, p->connections);
	p->connections = NULL;
}
