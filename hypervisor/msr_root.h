/*
 * MSRs of the machine that the root may write, and which of their bits; all others keep what they
 * have.
 */
#ifndef HYPERVISOR_MSR_ROOT_H
#define HYPERVISOR_MSR_ROOT_H

#include "tlfs/plat.h"

/* ACCESS_PARENT: the machine has no such MSR. */
enum access_result msr_root_read(uint32_t msr, uint64_t *value);
enum access_result msr_root_write(uint32_t msr, uint64_t value);

#endif
