#include "tests/fake/ram_iommu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/iommu.h"
#include "hypervisor/iommu_device.h"
#include "hypervisor/iommu_interrupt.h"
#include "tests/fake/ram.h"

#define GIB     (1ull << 30)
#define MEMORY  64
#define ADDRESS 0x000ffffffffff000ull

#define HOLDS(number, spn, condition)                                                              \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "D%d does not hold at %llx: %s\n", number,                 \
				(unsigned long long)(spn), #condition);                            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* What the unit remembers of a domain: pages that devices may reach, and tables. */
static struct {
	uint64_t spn;
	uint16_t number;
	bool table;
} memory[MEMORY];
static uint32_t memory_count;
/* Where devices' addresses lead, and the table of their interrupts. */
static struct entry {
	uint64_t *top;
	const struct interrupt_table *interrupts;
	uint16_t number;
} entries[RAM_DEVICES];
/* What the unit remembers of that table, each entry from when it was first looked at. */
static struct {
	uint32_t entry;
	bool there;
} interrupts[RAM_DEVICES][INTERRUPT_TABLE_ENTRIES];

/* A test of the real units has iommu.c's. */
__attribute__((weak)) void iommu_units_flush(uint16_t number)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < memory_count; i++) {
		if (memory[i].number != number) {
			memory[kept++] = memory[i];
		}
	}
	memory_count = kept;
}

/* What a device's entry says, which is looked at anew each time. As in iommu.c nothing is
 * remembered of the domain that it leaves. */
__attribute__((weak)) bool iommu_units_attach(uint16_t device, uint16_t from, uint16_t to,
					      uint64_t *top, const struct interrupt_table *table)
{
	struct entry *entry = &entries[device % RAM_DEVICES];

	CHECK(device < RAM_DEVICES && entry->number == from);
	iommu_units_flush(from);
	*entry = (struct entry){top, table, to};
	iommu_units_forget_interrupts(device);
	return true;
}

__attribute__((weak)) void iommu_units_forget_interrupts(uint16_t device)
{
	memset(interrupts[device], 0, sizeof(interrupts[device]));
}

/* IDs are not in the order of processors; the last has one that units cannot name. */
__attribute__((weak)) bool iommu_apic_id(uint32_t vp_index, uint8_t *apic_id)
{
	*apic_id = (uint8_t)(4 - vp_index);
	return vp_index < RAM_LPS - 1;
}

static void remember(uint16_t number, uint64_t spn, bool table)
{
	if (memory_count < MEMORY) {
		memory[memory_count].number = number;
		memory[memory_count].spn = spn;
		memory[memory_count++].table = table;
	}
}

/* The formats, by the specifications' numbers: VT-d 9.8, AMD IOMMU 2.2.3. */
static bool present(uint64_t entry)
{
	return entry & 1;
}

static bool writable(uint64_t entry)
{
	return iommu_domain.kind == IOMMU_AMDVI ? entry >> 62 & 1 : entry >> 1 & 1;
}

/* Bits that have to be there beside those of rights and address. */
static void well_formed(uint64_t entry, unsigned int level, bool table)
{
	uint64_t rest = entry & ~(ADDRESS | (iommu_domain.kind == IOMMU_AMDVI ? 1ull << 62 : 2));

	if (iommu_domain.kind == IOMMU_AMDVI) {
		HOLDS(4, entry, rest == (1ull | 1ull << 61 | (table ? (uint64_t)level << 9 : 0)));
	} else {
		HOLDS(4, entry, rest == (1ull | (!table && level ? 1 << 7 : 0)));
	}
	HOLDS(4, entry, !table || writable(entry));
}

static bool leads_to_table(uint64_t entry, unsigned int level)
{
	bool table = iommu_domain.kind == IOMMU_AMDVI ? entry >> 9 & 7 : level && !(entry & 1 << 7);

	well_formed(entry, level, table);
	return table;
}

static uint64_t *table_of(uint64_t entry)
{
	return plat_spa_ptr((spa_t){entry & ADDRESS});
}

static unsigned int walk(const struct entry *from, uint64_t page, uint64_t *leaf)
{
	uint64_t *table = from->top;

	for (unsigned int level = 3;; level--) {
		remember(from->number, plat_ptr_spa(table).v >> PAGE_SHIFT, true);
		*leaf = table[page >> 9 * level & 511];
		if (!present(*leaf)) {
			return 4;
		}
		if (!leads_to_table(*leaf, level)) {
			return level;
		}
		table = table_of(*leaf);
	}
}

static const struct entry *root_entry(void)
{
	static struct entry entry;

	entry = (struct entry){iommu_domain.top, NULL, IOMMU_ROOT_DOMAIN};
	return &entry;
}

unsigned int ram_dma_level(uint64_t spn)
{
	uint64_t leaf;

	return walk(root_entry(), spn, &leaf);
}

bool ram_dma(uint64_t spn)
{
	if (iommu_domain.kind == IOMMU_NONE) {
		return true;
	}
	if (ram_dma_level(spn) == 4) {
		return false;
	}
	remember(IOMMU_ROOT_DOMAIN, spn, false);
	return true;
}

bool ram_device_dma(uint16_t device, uint64_t page, bool write, uint64_t *spn)
{
	const struct entry *from = &entries[device];
	unsigned int level;
	uint64_t leaf;

	level = walk(from, page, &leaf);
	if (level == 4 || (write && !writable(leaf))) {
		return false;
	}
	*spn = ((leaf & ADDRESS) >> PAGE_SHIFT) + (page & ((1ull << 9 * level) - 1));
	remember(from->number, *spn, false);
	return true;
}

bool ram_device_interrupt(uint16_t device, uint32_t number, uint8_t *vector, uint8_t *apic_id)
{
	if (entries[device].interrupts == NULL || number >= INTERRUPT_TABLE_ENTRIES) {
		return false;
	}
	if (!interrupts[device][number].there) {
		interrupts[device][number].there = true;
		interrupts[device][number].entry = entries[device].interrupts->entries[number];
	}
	*vector = (uint8_t)(interrupts[device][number].entry >> 16);
	*apic_id = (uint8_t)(interrupts[device][number].entry >> 8);
	return interrupts[device][number].entry & 1;
}

void ram_iommu_boot(enum iommu_kind kind, uint8_t max_level)
{
	memory_count = 0;
	memset(interrupts, 0, sizeof(interrupts));
	iommu_device_reset();
	iommu_domain = (struct iommu_domain){
		.kind = kind,
		.max_level = max_level,
		.width = RAM_DEVICE_WIDTH,
		.numbers = RAM_DEVICE_NUMBERS,
		.remaps = kind == IOMMU_AMDVI,
		.end = (4 * GIB + 16 * (1 << 20)) >> PAGE_SHIFT,
		.owner = &ram_root,
	};
	if (kind != IOMMU_NONE) {
		CHECK(iommu_domain_build(&iommu_domain));
	}
	for (int i = 0; i < RAM_DEVICES; i++) {
		entries[i] = *root_entry();
	}
}

static bool overlaps_interrupts(uint64_t page, uint64_t pages)
{
	return page < 0xfef00 && 0xfee00 < page + pages;
}

/* D1, D2: what devices reach is what the root reaches: nothing hidden, no page of RAM that is not
 * the root's, and all that are. */
static void leaf(uint64_t at, uint64_t entry, unsigned int level, uint64_t *ram,
		 ram_leaf_visitor *visit)
{
	uint64_t pages = 1ull << 9 * level, spn = (entry & ADDRESS) >> PAGE_SHIFT;

	HOLDS(1, at, visit != NULL || spn == at);
	HOLDS(1, spn, !(spn & (pages - 1)));
	HOLDS(1, spn, !memory_hidden(spn, pages));
	HOLDS(1, at, !overlaps_interrupts(spn, pages) && !overlaps_interrupts(at, pages));
	for (uint64_t i = 0; i < pages; i++) {
		const struct page *page = memory_page(spn + i);

		if (page == NULL && !((spn + i) & 511)) {
			i += memory_extent(spn + i, 512) == EXTENT_OTHER ? 511 : 0;
			continue;
		}
		HOLDS(1, spn + i, page == NULL || page->kind == PAGE_RAM);
		*ram += page != NULL;
		if (visit != NULL && page != NULL) {
			visit(spn + i);
		}
	}
}

/* visit: of a device domain; NULL: the root's. */
static uint64_t table(const uint64_t *list, uint64_t at, unsigned int level, uint64_t *ram,
		      ram_leaf_visitor *visit)
{
	uint64_t count = 0, below;

	HOLDS(3, at, memory_page_of(list)->kind == PAGE_USED);
	for (unsigned int i = 0; i < 512; i++, at += 1ull << 9 * level) {
		count += list[i] != 0;
		if (!present(list[i])) {
			HOLDS(4, at, !list[i]);
		} else if (leads_to_table(list[i], level)) {
			below = table(table_of(list[i]), at, level - 1, ram, visit);
			HOLDS(5, at, visit == NULL || below || (level == 3 && !i));
		} else {
			HOLDS(4, at, level <= (visit != NULL ? 1 : iommu_domain.max_level));
			HOLDS(4, at, visit != NULL || writable(list[i]));
			leaf(at, list[i], level, ram, visit);
		}
	}
	return count;
}

void ram_iommu_leaves(ram_leaf_visitor *visit)
{
	uint64_t ram = 0;

	for (int i = 0; iommu_domain.kind != IOMMU_NONE && i < IOMMU_DEVICE_DOMAINS; i++) {
		if (iommu_device_domains[i].top != NULL) {
			table(iommu_device_domains[i].top, 0, 3, &ram, visit);
		}
	}
}

/*
 * D7: a device has a table of interrupts while it is in a domain of its own, where units look at
 * it. An entry is 0, or a fixed interrupt of a vector that a device may raise, at a processor that
 * is there; what is remembered is what is in it.
 */
static void interrupts_of(uint16_t device)
{
	const struct interrupt_table *mine = iommu_interrupt_table(device);

	HOLDS(7, device, entries[device].interrupts == mine);
	HOLDS(7, device,
	      (mine != NULL) ==
		      (iommu_domain.remaps && iommu_device_number_of(device) != IOMMU_ROOT_DOMAIN));
	if (mine == NULL) {
		return;
	}
	HOLDS(7, device, memory_page_of(mine)->kind == PAGE_USED && mine->device == device);
	for (uint32_t i = 0; i < INTERRUPT_TABLE_ENTRIES; i++) {
		uint32_t entry = mine->entries[i], apic_id = entry >> 8 & 0xff;

		HOLDS(7, i, !entry || ((entry & 0xff) == 1 && (entry >> 16) - 16 < 256 - 16));
		HOLDS(7, i, !entry || (apic_id > 4 - (RAM_LPS - 1) && apic_id <= 4));
		HOLDS(7, i, !interrupts[device][i].there || interrupts[device][i].entry == entry);
	}
}

/* D6: a device is in one domain, and in which its entry says. */
static void devices(void)
{
	uint32_t in[IOMMU_DEVICE_DOMAINS] = {0};

	for (uint16_t i = 0; i < RAM_DEVICES; i++) {
		uint16_t number = iommu_device_number_of(i);

		interrupts_of(i);
		HOLDS(6, i, entries[i].number == number);
		if (number == IOMMU_ROOT_DOMAIN) {
			HOLDS(6, i, entries[i].top == iommu_domain.top);
		} else {
			number -= iommu_device_number(iommu_device_domains);
			HOLDS(6, i,
			      entries[i].top == iommu_device_domains[number].top &&
				      entries[i].top != NULL);
			in[number]++;
		}
	}
	for (int i = 0; i < IOMMU_DEVICE_DOMAINS; i++) {
		HOLDS(6, i,
		      iommu_device_domains[i].top == NULL ||
			      iommu_device_domains[i].devices == in[i]);
	}
}

void ram_iommu_check(void)
{
	uint64_t spn, pages, wanted = 0, found = 0;

	if (iommu_domain.kind == IOMMU_NONE) {
		return;
	}
	table(iommu_domain.top, 0, 3, &found, NULL);
	for (uint32_t i = 0; memory_range(i, &spn, &pages); i++) {
		for (uint64_t j = 0; j < pages; j++) {
			wanted += memory_page(spn + j)->kind == PAGE_RAM;
		}
	}
	HOLDS(2, found, found == wanted);
	for (uint32_t i = 0; i < memory_count; i++) {
		const struct page *page = memory_page(memory[i].spn);

		HOLDS(3, memory[i].spn,
		      page == NULL || (memory[i].table ? page->kind == PAGE_USED
						       : page->kind == PAGE_RAM ||
								 page->kind == PAGE_LIMBO));
	}
	devices();
}
