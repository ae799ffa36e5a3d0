/*
 * Small objects from a partition's pool: pages cut into cells. Within the core only.
 */
#ifndef TLFS_CELL_H
#define TLFS_CELL_H

#include "tlfs/hv.h"

#define CELL_BYTES 96

/* Zeroed; NULL when the pool is empty. [P] held for both. */
void *cell_alloc(struct partition *p);
void cell_free(struct partition *p, void *cell);

#endif
