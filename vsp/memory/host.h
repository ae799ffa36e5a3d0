/* What dynamic memory needs of its home: the worker, or a test. All are called on the device's own thread, and may take their time. */
#ifndef VSP_MEMORY_HOST_H
#define VSP_MEMORY_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

struct balloon_host;

/* Are all of these pages of the guest's RAM? */
bool balloon_host_is_ram(struct balloon_host *host, uint64_t page, uint64_t count);
/* Takes the block that begins at this page, for the root; -errno: the guest keeps it, and does not know it. */
int balloon_host_take(struct balloon_host *host, uint64_t page) MUST_CHECK;
/* The guest has it again, all zeros; -errno: there is no memory for it. */
int balloon_host_give(struct balloon_host *host, uint64_t page) MUST_CHECK;

#endif
