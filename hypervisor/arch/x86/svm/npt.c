/*
 * Nested page tables have the format of the processor's own long-mode tables (AMD APM
 * volume 2, 15.25.3 and 5.3.3).
 *
 * The guest's accesses count as user accesses (15.25.5), so every entry has U/S. PAT index 0 of the
 * host is write-back: with it the guest's own PAT and the MTRRs decide on the memory type
 * (15.25.8); PCD and PWT (index 3) force uncacheable. The processor sets A and D in nested entries
 * as in any others (15.25.5).
 */
#include "hypervisor/arch/x86/pagetable.h"

#define NPT_WRITE    (1ull << 1)
#define NPT_USER     (1ull << 2)
#define NPT_PWT      (1ull << 3)
#define NPT_PCD      (1ull << 4)
#define NPT_ACCESSED (1ull << 5)
#define NPT_DIRTY    (1ull << 6)
#define NPT_NX       (1ull << 63)

uint64_t pte_state_bits(uint32_t flags)
{
	return pte_select(flags, PTE_ACCESSED, NPT_ACCESSED) |
	       pte_select(flags, PTE_DIRTY, NPT_DIRTY);
}

uint64_t pte_leaf(uint64_t spn, unsigned int level, uint32_t flags)
{
	return spn << 12 | PTE_PRESENT | NPT_USER | (level ? PTE_LARGE : 0) |
	       pte_select(flags, PTE_WRITE, NPT_WRITE) | pte_select(~flags, PTE_EXECUTE, NPT_NX) |
	       pte_select(flags, PTE_UNCACHED, NPT_PCD | NPT_PWT) |
	       pte_select(flags, PTE_IO, PTE_SOFT_IO) |
	       pte_select(flags, PTE_OVERLAY, PTE_SOFT_OVERLAY) | pte_state_bits(flags);
}

uint64_t pte_table(uint64_t spn)
{
	return spn << 12 | PTE_PRESENT | NPT_USER | NPT_WRITE | NPT_ACCESSED;
}

uint32_t pte_flags_of(uint64_t entry)
{
	return PTE_READ | (entry & NPT_WRITE ? PTE_WRITE : 0) | (entry & NPT_NX ? 0 : PTE_EXECUTE) |
	       (entry & NPT_PCD ? PTE_UNCACHED : 0) | (entry & NPT_ACCESSED ? PTE_ACCESSED : 0) |
	       (entry & NPT_DIRTY ? PTE_DIRTY : 0) | (entry & PTE_SOFT_IO ? PTE_IO : 0) |
	       (entry & PTE_SOFT_OVERLAY ? PTE_OVERLAY : 0);
}
