/*
 * Ports and connections as they are kept: tables by id, and of doorbells by address, in pages and
 * cells of a partition's pool. port.c says what holds between them.
 */
#ifndef TLFS_PORT_TABLE_H
#define TLFS_PORT_TABLE_H

#include "tlfs/cell.h"
#include "tlfs/hv.h"

#define PORT_BUCKETS       256u
#define CONNECTION_BUCKETS 128u
#define PORT_ID_MASK       0xffffffu
#define DOORBELL_KEY       0x1000000u /* beside the id in a connection's key */

struct connection;

struct port {
	struct port *next; /* [P] of the bucket */
	struct partition *owner;
	uint64_t peer; /* who may connect; 0: any child of the owner, or its parent */
	uint32_t id, type, sint, vp;
	uint32_t base_flag, flag_count;
	uint32_t connection_count;      /* port.c's lock */
	bool lost;                      /* [a] rung while the ring was full */
	struct connection *connections; /* port.c's lock */
};

struct connection {
	struct connection *next; /* [P] of the bucket of ids */
	struct partition *partition;
	struct port *port;            /* see invariant 1 */
	struct connection *port_next; /* port.c's lock */
	uint32_t key;                 /* id, and DOORBELL_KEY */
	uint32_t flags;               /* HV_DOORBELL_FLAG_* */
	struct connection *gpa_next;  /* [P] of the bucket of addresses */
	uint64_t gpa, trigger;
};

_Static_assert(sizeof(struct port) <= CELL_BYTES && sizeof(struct connection) <= CELL_BYTES,
	       "objects fit in a cell");

struct port_table {
	struct port *by_id[PORT_BUCKETS];
	uint32_t count;
};

struct connection_table {
	struct connection *by_id[CONNECTION_BUCKETS], *by_gpa[PORT_BUCKETS];
	uint32_t count;
};

_Static_assert(sizeof(struct port_table) <= PAGE_SIZE &&
		       sizeof(struct connection_table) <= PAGE_SIZE,
	       "a page each");

/* The lock of the partition is held in all of these. NULL: there is none. */
struct port *port_find(const struct partition *p, uint32_t id);
struct port *port_any(const struct partition *p);
struct connection *connection_find(const struct partition *p, uint32_t key);
struct connection *connection_any(const struct partition *p);
/* The first in the bucket of an address; the others follow by gpa_next. */
struct connection *connection_at(const struct partition *p, uint64_t gpa);

/* A copy of *values; on failure nothing is changed. */
hv_status_t port_insert(struct partition *owner, const struct port *values) MUST_CHECK;
hv_status_t connection_insert(struct partition *p, const struct connection *values,
			      struct connection **out) MUST_CHECK;
/* Takes out of the table and frees; the table goes with its last entry. */
void port_remove(struct partition *owner, struct port *port);
void connection_remove(struct partition *p, struct connection *connection);

#endif
