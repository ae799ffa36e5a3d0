/*
 * The format of second-level page tables: what svm/npt.c (AMD APM vol. 2, 15.25) and vmx/ept.c
 * (Intel SDM vol. 3, "EPT") both supply under the same names; the linker takes one. Nothing here
 * has state or reaches memory.
 *
 * Common to the two formats, and so inline: four levels of 512 entries; bit 0 is set in every entry
 * that leads somewhere (EPT calls it "read"; no entry of ours is writable or executable and not
 * readable); bit 7 above level 0 makes a leaf; the address is in bits 51:12; bits 55:52 are ours.
 * Level 0 has 4 KiB leaves, level 1 2 MiB, level 2 1 GiB, level 3 none.
 *
 * An entry without bit 0 leads nowhere; it is 0 when nothing is mapped, or holds PTE_NO_ACCESS.
 */
#ifndef ARCH_PAGETABLE_H
#define ARCH_PAGETABLE_H

#include <stdbool.h>
#include <stdint.h>

#define PAGETABLE_LEVELS   4
#define PAGETABLE_ENTRIES  512
#define PAGETABLE_GPN_BITS 36 /* 48-bit guest physical addresses */

/*
 * Rights and attributes of a leaf, independent of the format. PTE_READ is implied by the other
 * rights.
 */
enum pte_flags {
	PTE_READ = 1u << 0,
	PTE_WRITE = 1u << 1,
	PTE_EXECUTE = 1u << 2,
	PTE_UNCACHED = 1u << 3, /* else the guest's PAT and the machine's MTRRs decide */
	PTE_ACCESSED = 1u << 4,
	PTE_DIRTY = 1u << 5,
	PTE_IO = 1u << 6,      /* ours: not RAM, so the ownership table does not count it */
	PTE_OVERLAY = 1u << 7, /* ours: an overlay page; what it hides is in the list of overlays */
};

#define PTE_RIGHTS (PTE_READ | PTE_WRITE | PTE_EXECUTE)

#define PTE_PRESENT      (1ull << 0)
#define PTE_LARGE        (1ull << 7)
#define PTE_ADDRESS      0x000ffffffffff000ull
#define PTE_SOFT_IO      (1ull << 52)
#define PTE_SOFT_OVERLAY (1ull << 53)
#define PTE_NO_ACCESS    (1ull << 54) /* entry without bit 0: mapped, but for no access at all */
#define PTE_SOFT_WATCH                                                                             \
	(1ull << 54) /* a leaf: writable, but its first write faults, and sets PTE_DIRTY */
#define PTE_SOFT_SPLIT (1ull << 55) /* executable, but not by this leaf: it is split at a fetch */

static inline bool pte_present(uint64_t entry)
{
	return entry & PTE_PRESENT;
}

/* Leads to a table of the next lower level. */
static inline bool pte_is_table(uint64_t entry, unsigned int level)
{
	return level > 0 && (entry & (PTE_PRESENT | PTE_LARGE)) == PTE_PRESENT;
}

static inline uint64_t pte_spn(uint64_t entry)
{
	return (entry & PTE_ADDRESS) >> 12;
}

static inline unsigned int pte_index(uint64_t gpn, unsigned int level)
{
	return gpn >> (9 * level) & (PAGETABLE_ENTRIES - 1);
}

/* Pages that one entry of this level spans. */
static inline uint64_t pte_pages(unsigned int level)
{
	return 1ull << (9 * level);
}

/* An entry's bits for a flag, if it is among the flags. */
static inline uint64_t pte_select(uint32_t flags, uint32_t flag, uint64_t bits)
{
	return flags & flag ? bits : 0;
}

/* ---- npt.c or ept.c ---- */

/*
 * A leaf; `flags` has PTE_READ. A large one that shall be executable may be made PTE_SOFT_SPLIT
 * instead; one that shall be writable and is not dirty, PTE_SOFT_WATCH.
 */
uint64_t pte_leaf(uint64_t spn, unsigned int level, uint32_t flags);
/* Leads to a table and takes no right away. */
uint64_t pte_table(uint64_t spn);
/*
 * The flags with which a present leaf was made, and what the processor added (PTE_ACCESSED,
 * PTE_DIRTY).
 */
uint32_t pte_flags_of(uint64_t entry);
/*
 * The entry's bits of these flags, which may hold PTE_ACCESSED and PTE_DIRTY only: to set or clear
 * them in place.
 */
uint64_t pte_state_bits(uint32_t flags);

#endif
