/*
 * See iommu_device.h. A page of RAM that is mapped in a device domain is counted as one that is
 * mapped in a child is, so it cannot be deposited. What is taken out is counted down, and tables
 * that have become empty are freed, when the units have forgotten them.
 *
 * The first table and that of the lowest addresses are there as long as the domain: units of 3
 * levels begin with the latter.
 */
#include "hypervisor/iommu_device.h"

#include "hypervisor/iommu.h"
#include "hypervisor/iommu_entry.h"
#include "hypervisor/iommu_interrupt.h"
#include "hypervisor/memory.h"
#include "include/hv/device.h"
#include "lib/string.h"
#include "tlfs/hv.h"

#define FIRST_NUMBER (IOMMU_ROOT_DOMAIN + 1)
#define GONE_MAX     64 /* leaves that are taken out between two flushes */
#define LARGE_MAX    2  /* of them large ones */
#define EMPTY_MAX    8  /* tables that lead to PLAT_DEVICE_UNMAP_PAGES, but for the first */
#define DEVICES      65536u

struct device_domain iommu_device_domains[IOMMU_DEVICE_DOMAINS];
static uint8_t domain_of[DEVICES]; /* 1 + its index; 0: the root's */

/* What leaves a domain, until the flush. */
static struct {
	struct {
		uint64_t spn, pages;
	} gone[GONE_MAX];
	uint64_t *empty[EMPTY_MAX];
	uint32_t gone_count, large_count, empty_count;
} leaving;

void iommu_device_reset(void)
{
	memset(iommu_device_domains, 0, sizeof(iommu_device_domains));
	memset(domain_of, 0, sizeof(domain_of));
	iommu_interrupt_reset();
}

uint16_t iommu_device_number(const struct device_domain *domain)
{
	return (uint16_t)(FIRST_NUMBER + (domain - iommu_device_domains));
}

uint16_t iommu_device_number_of(uint16_t device)
{
	return domain_of[device] ? (uint16_t)(FIRST_NUMBER + domain_of[device] - 1)
				 : IOMMU_ROOT_DOMAIN;
}

static struct device_domain *find(uint32_t id)
{
	for (struct device_domain *domain = iommu_device_domains;
	     domain < iommu_device_domains + IOMMU_DEVICE_DOMAINS; domain++) {
		if (domain->top != NULL && domain->id == id) {
			return domain;
		}
	}
	return NULL;
}

/* With the memory lock when it is there. */
static hv_status_t lock(uint32_t id, struct device_domain **domain)
{
	if (iommu_domain.kind == IOMMU_NONE) {
		return HV_STATUS_FEATURE_UNAVAILABLE;
	}
	memory_lock();
	*domain = find(id);
	if (*domain == NULL) {
		memory_unlock();
		return HV_STATUS_NOT_FOUND;
	}
	return HV_STATUS_SUCCESS;
}

uint8_t plat_device_width(void)
{
	return iommu_domain.kind == IOMMU_NONE ? 0 : iommu_domain.width;
}

/* ---- tables ---- */

static bool is_empty(const uint64_t *table)
{
	for (unsigned int i = 0; i < IOMMU_ENTRIES; i++) {
		if (table[i]) {
			return false;
		}
	}
	return true;
}

/* Takes tables on the way to this page that lead nowhere out, from the last up; not those that
 * stay. */
static void prune(const struct device_domain *domain, uint64_t page)
{
	uint64_t *entries[IOMMU_LEVELS];
	unsigned int level = iommu_walk(domain->top, page, entries);

	for (; level + 1 < IOMMU_LEVELS; level++) {
		uint64_t *entry = entries[level + 1], *table = iommu_table_of(*entry);

		if (entry == &domain->top[0] || !is_empty(table)) {
			return;
		}
		iommu_entry_set(entry, 0);
		CHECK(leaving.empty_count < EMPTY_MAX);
		leaving.empty[leaving.empty_count++] = table;
	}
}

/* No device reaches what has left when this returns. */
static void settle(const struct device_domain *domain)
{
	if (domain->devices && (leaving.gone_count || leaving.empty_count)) {
		iommu_units_flush(iommu_device_number(domain));
	}
	for (uint32_t i = 0; i < leaving.gone_count; i++) {
		if (memory_page(leaving.gone[i].spn) != NULL) {
			memory_settle(leaving.gone[i].spn, leaving.gone[i].pages);
		}
	}
	for (uint32_t i = 0; i < leaving.empty_count; i++) {
		memory_free(iommu_domain.owner, leaving.empty[i]);
	}
	leaving.gone_count = leaving.large_count = leaving.empty_count = 0;
}

static uint64_t *table_alloc(void)
{
	uint64_t *table = memory_alloc(iommu_domain.owner);

	if (table != NULL) {
		iommu_table_clean(table);
	}
	return table;
}

/* The entry of this level, with the tables on the way to it. OBJECT_IN_USE: something is mapped
 * there. */
static hv_status_t entry_make(const struct device_domain *domain, uint64_t page, unsigned int level,
			      uint64_t **out)
{
	uint64_t *table = domain->top, *entry;

	for (unsigned int l = IOMMU_LEVELS - 1;; l--) {
		entry = iommu_entry(table, page, l);
		if (l == level) {
			break;
		}
		if (!*entry) {
			table = table_alloc();
			if (table == NULL) {
				return HV_STATUS_INSUFFICIENT_MEMORY;
			}
			iommu_entry_set(entry, iommu_table_entry(table, l));
		} else if (!iommu_is_table(*entry, l)) {
			return HV_STATUS_OBJECT_IN_USE;
		}
		table = iommu_table_of(*entry);
	}
	*out = entry;
	return *entry ? HV_STATUS_OBJECT_IN_USE : HV_STATUS_SUCCESS;
}

/* ---- domains ---- */

static hv_status_t create(uint32_t id)
{
	struct device_domain *domain = iommu_device_domains, *end = domain + IOMMU_DEVICE_DOMAINS;
	uint64_t *lowest;

	if (find(id) != NULL) {
		return HV_STATUS_KEY_ALREADY_EXISTS;
	}
	while (domain < end && domain->top != NULL) {
		domain++;
	}
	if (domain == end || iommu_device_number(domain) >= iommu_domain.numbers) {
		return HV_STATUS_INSUFFICIENT_DEVICE_DOMAINS;
	}
	*domain = (struct device_domain){.top = table_alloc(), .id = id};
	lowest = domain->top != NULL ? table_alloc() : NULL;
	if (lowest == NULL) {
		if (domain->top != NULL) {
			memory_free(iommu_domain.owner, domain->top);
			domain->top = NULL;
		}
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	iommu_entry_set(&domain->top[0], iommu_table_entry(lowest, IOMMU_LEVELS - 1));
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_device_domain_create(uint32_t id)
{
	hv_status_t status;

	if (iommu_domain.kind == IOMMU_NONE) {
		return HV_STATUS_FEATURE_UNAVAILABLE;
	}
	memory_lock();
	status = create(id);
	memory_unlock();
	return status;
}

/* From one domain to another; NULL: the root's. A device has a table of interrupts as long as it is
 * in one that is not the root's. */
static hv_status_t move(uint16_t device, struct device_domain *from, struct device_domain *to)
{
	struct interrupt_table *interrupts = NULL;

	if (to != NULL && iommu_domain.remaps) {
		interrupts = from != NULL ? iommu_interrupt_table(device)
					  : iommu_interrupt_table_make(device);
		if (interrupts == NULL) {
			return HV_STATUS_INSUFFICIENT_MEMORY;
		}
	}
	if (!iommu_units_attach(device, iommu_device_number_of(device),
				to != NULL ? iommu_device_number(to) : IOMMU_ROOT_DOMAIN,
				to != NULL ? to->top : iommu_domain.top, interrupts)) {
		if (from == NULL) {
			iommu_interrupt_table_free(device);
		}
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	domain_of[device] = (uint8_t)(to != NULL ? 1 + (to - iommu_device_domains) : 0);
	if (from != NULL) {
		from->devices--;
	}
	if (to != NULL) {
		to->devices++;
	} else {
		iommu_interrupt_table_free(device);
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_device_attach(uint16_t device, uint32_t id)
{
	struct device_domain *from = NULL, *to = NULL;
	hv_status_t status = HV_STATUS_SUCCESS;

	if (id != HV_DEVICE_DOMAIN_ID_S2_DEFAULT) {
		status = lock(id, &to);
		if (status != HV_STATUS_SUCCESS) {
			return status;
		}
	} else if (iommu_domain.kind == IOMMU_NONE) {
		return HV_STATUS_FEATURE_UNAVAILABLE;
	} else {
		memory_lock();
	}
	if (domain_of[device]) {
		from = &iommu_device_domains[domain_of[device] - 1];
	}
	if (from != to) {
		status = move(device, from, to);
	}
	memory_unlock();
	return status;
}

/* ---- maps ---- */

/* The root has it, and may give it: its RAM, which counts one more mapping then, or a device's
 * registers. */
static hv_status_t claim(uint64_t spn, uint64_t pages)
{
	if (spn & (pages - 1) || spn >> (plat_info.physical_address_bits - PAGE_SHIFT) ||
	    (spn < IOMMU_INTERRUPTS + IOMMU_INTERRUPTS_PAGES && IOMMU_INTERRUPTS < spn + pages)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (memory_extent(spn, pages) == EXTENT_OTHER) {
		return HV_STATUS_SUCCESS;
	}
	return memory_claim(iommu_domain.owner, spn, pages);
}

static hv_status_t map(const struct device_domain *domain, uint64_t page, uint64_t spn,
		       unsigned int level, bool writable)
{
	const uint64_t pages = iommu_pages(level);
	hv_status_t status;
	uint64_t *entry;

	if (page < IOMMU_INTERRUPTS + IOMMU_INTERRUPTS_PAGES && IOMMU_INTERRUPTS < page + pages) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = claim(spn, pages);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	status = entry_make(domain, page, level, &entry);
	if (status == HV_STATUS_SUCCESS) {
		iommu_entry_set(entry, iommu_leaf(spn, level, writable));
		return status;
	}
	if (memory_page(spn) != NULL) {
		memory_settle(spn, pages);
	}
	prune(domain, page);
	settle(domain);
	return status;
}

hv_status_t plat_device_map(uint32_t id, uint64_t page, const uint64_t *gpns, uint32_t count,
			    bool writable, bool large, uint32_t *done)
{
	const unsigned int level = large ? 1 : 0;
	struct device_domain *domain;
	hv_status_t status = lock(id, &domain);

	*done = 0;
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	while (status == HV_STATUS_SUCCESS && *done < count) {
		status = map(domain, page + *done * iommu_pages(level), gpns[*done], level,
			     writable);
		*done += status == HV_STATUS_SUCCESS;
	}
	if (*done && domain->devices && iommu_domain.caches_absence) {
		iommu_units_flush(iommu_device_number(domain));
	}
	memory_unlock();
	return status;
}

static bool is_full(void)
{
	return leaving.gone_count == GONE_MAX || leaving.large_count == LARGE_MAX;
}

/* Takes out what begins at `page`; how many pages have been dealt with, 0: a part of a large one,
 * which stays. */
static uint64_t take(const struct device_domain *domain, uint64_t page, uint64_t end)
{
	uint64_t *entries[IOMMU_LEVELS];
	unsigned int level = iommu_walk(domain->top, page, entries);
	uint64_t pages = iommu_pages(level), entry = *entries[level];

	if (!entry) {
		pages -= page & (pages - 1);
		return pages < end - page ? pages : end - page;
	}
	if (page & (pages - 1) || end - page < pages) {
		return 0;
	}
	iommu_entry_set(entries[level], 0);
	leaving.gone[leaving.gone_count].spn = iommu_spn(entry);
	leaving.gone[leaving.gone_count++].pages = pages;
	leaving.large_count += level > 0;
	return pages;
}

/* Where it stops: at the end, when enough has left, or at a large page of which not all is to
 * go. */
static uint64_t unmap(const struct device_domain *domain, uint64_t page, uint64_t end)
{
	uint64_t at = page, taken = 1;

	while (at < end && taken && !is_full()) {
		taken = take(domain, at, end);
		at += taken;
		if (taken && (!(at & (IOMMU_ENTRIES - 1)) || at == end)) {
			prune(domain, at - 1);
		}
	}
	if (at > page) {
		prune(domain, at - 1);
	}
	settle(domain);
	return at;
}

hv_status_t plat_device_unmap(uint32_t id, uint64_t page, uint32_t count, uint32_t *done)
{
	struct device_domain *domain;
	hv_status_t status = lock(id, &domain);

	*done = 0;
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	CHECK(count <= PLAT_DEVICE_UNMAP_PAGES);
	*done = (uint32_t)(unmap(domain, page, page + count) - page);
	memory_unlock();
	return *done ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER;
}

/* The first page that is mapped. False: none is. No table is empty but perhaps that of the lowest
 * addresses. */
static bool first_page(const struct device_domain *domain, uint64_t *page)
{
	const uint64_t *table = domain->top;
	unsigned int i = is_empty(iommu_table_of(table[0]));

	*page = 0;
	for (unsigned int level = IOMMU_LEVELS - 1;; level--, i = 0) {
		while (i < IOMMU_ENTRIES && !table[i]) {
			i++;
		}
		if (i == IOMMU_ENTRIES) {
			return false;
		}
		*page |= i * iommu_pages(level);
		if (!iommu_is_table(table[i], level)) {
			return true;
		}
		table = iommu_table_of(table[i]);
	}
}

hv_status_t plat_device_domain_delete(uint32_t id, bool *again)
{
	struct device_domain *domain;
	hv_status_t status = lock(id, &domain);
	uint64_t page;

	*again = false;
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (domain->devices) {
		status = HV_STATUS_OBJECT_IN_USE;
	} else if (first_page(domain, &page)) {
		unmap(domain, page, (page | (PLAT_DEVICE_UNMAP_PAGES - 1)) + 1);
		*again = true;
	} else {
		memory_free(iommu_domain.owner, iommu_table_of(domain->top[0]));
		memory_free(iommu_domain.owner, domain->top);
		domain->top = NULL;
	}
	memory_unlock();
	return status;
}
