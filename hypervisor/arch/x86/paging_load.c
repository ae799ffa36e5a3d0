/*
 * The one step of paging.c that only a processor in ring 0 can take.
 */
#include "hypervisor/arch/x86/paging.h"

uint64_t paging_load(uint64_t cr3)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
	return HV_DIRECT_MAP;
}
