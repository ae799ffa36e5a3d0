/*
 * An exception in the loader is a defect of it or of the machine: it stops with the vector and the
 * place.
 */
#ifndef LOADER_FAULT_H
#define LOADER_FAULT_H

#include <stdint.h>

void fault_start(void);

/* From boot.S: the exception's vector, and what the processor and the stub pushed. */
_Noreturn void fault_stop(const uint32_t *frame);

#endif
