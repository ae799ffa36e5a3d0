/*
 * Which megabytes of a VHDX file are used, and which of the others are known to read as zeros.
 */
#ifndef DISK_SPACE_H
#define DISK_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct space {
	uint64_t *used, *clean; /* one bit per megabyte */
	uint64_t capacity;      /* bits in each */
	uint64_t end;           /* the file's length in megabytes; nothing beyond is used */
	uint64_t free;          /* unused megabytes below end */
	uint64_t hint;          /* there is none below this */
};

/* Everything below takes and gives megabytes. */
int space_init(struct space *space, uint64_t end);
void space_release(struct space *space);
bool space_is_free(const struct space *space, uint64_t start, uint64_t count);
void space_use(struct space *space, uint64_t start, uint64_t count);
void space_free(struct space *space, uint64_t start, uint64_t count, bool clean);
/*
 * A free run below end, and whether all of it is clean; false if there is none. It is not yet used.
 */
bool space_find(struct space *space, uint64_t count, uint64_t *start, bool *clean);
/* The file has grown; the new part is free and clean. */
int space_grow(struct space *space, uint64_t end);
/* The file was cut: nothing of what is no longer there was used. */
void space_cut(struct space *space, uint64_t end);
/* The end of the last used megabyte. */
uint64_t space_used_end(const struct space *space);

#endif
