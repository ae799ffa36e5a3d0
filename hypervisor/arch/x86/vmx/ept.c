/*
 * Extended page tables (Intel SDM vol. 3, 28.3.2; tables 28-1 to 28-6).
 *
 * The MTRRs have no say behind EPT, and the entry's memory type stands in their place: write-back
 * for RAM, uncacheable for what is none, and with both the guest's PAT may still choose (28.3.7.2).
 * PTE_UNCACHED takes that choice away ("ignore PAT"). The processor sets A and D if the EPT pointer
 * says so. Processors before 2013 cannot: there a leaf that is not dirty is not writable either,
 * and who resolves the fault of its first write makes it both (gpa_access.c). A and D are then bits
 * that the processor ignores.
 *
 * On some processors a guest that changes the size of a page of code under the feet of the fetch
 * unit stops the machine ("machine check error on page size change"). There no large leaf is
 * executable.
 */
#include "hypervisor/arch/x86/vmx/ept.h"

#include "hypervisor/arch/x86/pagetable.h"

#define EPT_READ       (1ull << 0)
#define EPT_WRITE      (1ull << 1)
#define EPT_EXECUTE    (1ull << 2)
#define EPT_WRITEBACK  (6ull << 3)
#define EPT_IGNORE_PAT (1ull << 6)
#define EPT_ACCESSED   (1ull << 8)
#define EPT_DIRTY      (1ull << 9)

bool ept_splits_code, ept_watches_writes;

uint64_t pte_state_bits(uint32_t flags)
{
	return pte_select(flags, PTE_ACCESSED, EPT_ACCESSED) |
	       pte_select(flags, PTE_DIRTY, EPT_DIRTY);
}

static uint64_t execute_bits(unsigned int level)
{
	return level && ept_splits_code ? PTE_SOFT_SPLIT : EPT_EXECUTE;
}

static uint64_t write_bits(uint32_t flags)
{
	return ept_watches_writes && !(flags & PTE_DIRTY) ? PTE_SOFT_WATCH : EPT_WRITE;
}

uint64_t pte_leaf(uint64_t spn, unsigned int level, uint32_t flags)
{
	flags |= ept_watches_writes ? PTE_ACCESSED : 0;
	return spn << 12 | EPT_READ | (level ? PTE_LARGE : 0) |
	       pte_select(flags, PTE_WRITE, write_bits(flags)) |
	       pte_select(flags, PTE_EXECUTE, execute_bits(level)) |
	       (flags & (PTE_UNCACHED | PTE_IO) ? 0 : EPT_WRITEBACK) |
	       pte_select(flags, PTE_UNCACHED, EPT_IGNORE_PAT) |
	       pte_select(flags, PTE_IO, PTE_SOFT_IO) |
	       pte_select(flags, PTE_OVERLAY, PTE_SOFT_OVERLAY) | pte_state_bits(flags);
}

uint64_t pte_table(uint64_t spn)
{
	return spn << 12 | EPT_READ | EPT_WRITE | EPT_EXECUTE;
}

uint32_t pte_flags_of(uint64_t entry)
{
	return PTE_READ | (entry & (EPT_WRITE | PTE_SOFT_WATCH) ? PTE_WRITE : 0) |
	       (entry & (EPT_EXECUTE | PTE_SOFT_SPLIT) ? PTE_EXECUTE : 0) |
	       (entry & EPT_IGNORE_PAT ? PTE_UNCACHED : 0) |
	       (entry & EPT_ACCESSED ? PTE_ACCESSED : 0) | (entry & EPT_DIRTY ? PTE_DIRTY : 0) |
	       (entry & PTE_SOFT_IO ? PTE_IO : 0) | (entry & PTE_SOFT_OVERLAY ? PTE_OVERLAY : 0);
}
