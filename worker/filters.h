/* What filters.c has written, for sandbox_load_filter(). */
#ifndef WORKER_FILTERS_H
#define WORKER_FILTERS_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t filter_worker[], filter_worker_end[];
extern const uint8_t filter_connector[], filter_connector_end[];

static inline size_t filter_bytes(const uint8_t *from, const uint8_t *end)
{
	return (size_t)(end - from);
}

#endif
