/*
 * The steps of paging.c and mtrr.c that only a processor in ring 0 can take.
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/paging.h"

uint64_t paging_load(uint64_t cr3)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
	return HV_DIRECT_MAP;
}

/* Intel SDM vol. 3, "MTRR Considerations in MP Systems": the order of steps. */
static void flush_all(void)
{
	uint64_t cr4 = read_cr4();

	__asm__ volatile("wbinvd" : : : "memory");
	write_cr4(cr4 & ~CR4_PGE);
	__asm__ volatile("mov %0, %%cr3" : : "r"(read_cr3()) : "memory");
	write_cr4(cr4);
}

uint64_t paging_caches_off(void)
{
	uint64_t cr0 = read_cr0();

	write_cr0((cr0 | CR0_CD) & ~CR0_NW);
	flush_all();
	return cr0;
}

void paging_caches_on(uint64_t cr0)
{
	flush_all();
	write_cr0(cr0);
}
