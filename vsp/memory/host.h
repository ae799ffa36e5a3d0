/* What dynamic memory needs of its home: the worker, or a test. All are called on the device's own
 * thread, and may take their time. */
#ifndef VSP_MEMORY_HOST_H
#define VSP_MEMORY_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct balloon_host;

/* Are all of these pages of the guest's RAM? */
bool balloon_host_is_ram(struct balloon_host *host, uint64_t page, uint64_t count);
/* Takes the block that begins at this page, for the root; -errno: the guest keeps it, and does not
 * know it. */
int balloon_host_take(struct balloon_host *host, uint64_t page) MUST_CHECK;
/* The guest has it again, all zeros; -errno: there is no memory for it. */
int balloon_host_give(struct balloon_host *host, uint64_t page) MUST_CHECK;

/* How much RAM there is. Any thread. */
uint64_t balloon_host_pages(struct balloon_host *host);
/* The lowest place where so many pages, a multiple of BALLOON_BLOCK_PAGES and aligned to that, can
 * be added; false: there is none. */
bool balloon_host_find(struct balloon_host *host, uint64_t pages, uint64_t *first) MUST_CHECK;
/* They are RAM, all zeros; -errno: not now. */
int balloon_host_add(struct balloon_host *host, uint64_t first, uint64_t pages) MUST_CHECK;
/* What was added last is no RAM any more; -errno: it is in use, and stays. */
int balloon_host_withdraw(struct balloon_host *host, uint64_t first, uint64_t pages) MUST_CHECK;

#endif
