/* How much memory this machine has to give. */
#ifndef HOSTED_AVAILABLE_H
#define HOSTED_AVAILABLE_H

#include <stdint.h>

/* What could be had without swapping, in bytes (MemAvailable); 0: the kernel does not say. */
uint64_t available_memory(void);

#endif
