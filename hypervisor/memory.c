/*
 * The table of pages. Every change of an entry's owner, kind or count is in this file. The
 * invariants (M…) are in docs/design/memory.md.
 *
 *	RAM  --deposit--> LIMBO --settle--> FREE --alloc--> USED --free--> FREE
 *	FREE --withdraw-> RAM
 *	FREE --table_alloc--> TABLE --table_free--> LIMBO
 */
#include "hypervisor/memory.h"

#include "lib/string.h"
#include "tlfs/hv.h"

#define MAX_WITHHELD 64

struct ram_range {
	uint64_t first, pages; /* SPNs */
	uint32_t index;        /* of the first one's entry */
};

static struct ram_range ranges[HANDOFF_MAX_RANGES];
static uint32_t range_count;
static uint64_t reserved_first, reserved_pages; /* SPNs */
static uint64_t table_first, table_pages;       /* SPNs outside of that, 0: none */
static struct {
	uint64_t first, pages;
} withheld[MAX_WITHHELD]; /* SPNs of registers */
static uint32_t withheld_count;
static uint64_t boot_next, boot_end;
static struct page *pages;
static struct partition *owners[HV_MAX_PARTITIONS]; /* who has deposits, by slot (struct page) */
static struct page
	*boot_free; /* the root's, of the reserved region: taken first, never withdrawn */

/* ---- the table ---- */

/* The last range that begins at or below spn, NULL if none does. */
static const struct ram_range *range_below(uint64_t spn)
{
	uint32_t low = 0, high = range_count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (ranges[middle].first <= spn) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low ? &ranges[low - 1] : NULL;
}

struct page *memory_page(uint64_t spn)
{
	const struct ram_range *range = range_below(spn);

	if (range == NULL || spn - range->first >= range->pages) {
		return NULL;
	}
	return &pages[range->index + (spn - range->first)];
}

static uint64_t page_spn(uint32_t index)
{
	uint32_t i = 0;

	while (i + 1 < range_count && ranges[i + 1].index <= index) {
		i++;
	}
	return ranges[i].first + (index - ranges[i].index);
}

static void *page_ptr(const struct page *page)
{
	return plat_spa_ptr((spa_t){page_spn(page - pages) << PAGE_SHIFT});
}

struct page *memory_page_of(const void *object)
{
	struct page *page = memory_page(plat_ptr_spa(object).v >> PAGE_SHIFT);

	CHECK(page);
	return page;
}

/* The entries of a run of pages, which are next to each other then; NULL if any is not RAM. */
static struct page *page_run(uint64_t spn, uint64_t count)
{
	struct page *first = memory_page(spn), *last = memory_page(spn + count - 1);

	return first != NULL && last != NULL && (uint64_t)(last - first) == count - 1 ? first
										      : NULL;
}

static bool overlap(uint64_t first, uint64_t count, uint64_t other, uint64_t other_count)
{
	return first < other + other_count && other < first + count;
}

bool memory_hidden(uint64_t spn, uint64_t count)
{
	if (overlap(spn, count, reserved_first, reserved_pages) ||
	    overlap(spn, count, table_first, table_pages)) {
		return true;
	}
	for (uint32_t i = 0; i < withheld_count; i++) {
		if (overlap(spn, count, withheld[i].first, withheld[i].pages)) {
			return true;
		}
	}
	return false;
}

bool memory_withhold(uint64_t spn, uint64_t count)
{
	if (withheld_count == MAX_WITHHELD) {
		return false;
	}
	withheld[withheld_count].first = spn;
	withheld[withheld_count++].pages = count;
	return true;
}

enum memory_extent memory_extent(uint64_t spn, uint64_t count)
{
	const struct ram_range *range = range_below(spn + count - 1);

	if (memory_hidden(spn, count)) {
		return EXTENT_MIXED;
	}
	if (range == NULL || range->first + range->pages <= spn) {
		return EXTENT_OTHER;
	}
	if (spn < range->first || spn + count > range->first + range->pages) {
		return EXTENT_MIXED;
	}
	return EXTENT_RAM;
}

bool memory_range(uint32_t i, uint64_t *spn, uint64_t *count)
{
	if (i >= range_count) {
		return false;
	}
	*spn = ranges[i].first;
	*count = ranges[i].pages;
	return true;
}

/* ---- pools ---- */

/*
 * Partition ids are such that no two partitions that exist at a time have the same slot
 * (tlfs/partition.c).
 */
static uint16_t slot_of(const struct partition *p)
{
	return p->id % HV_MAX_PARTITIONS;
}

static bool is_of(const struct page *page, const struct partition *p)
{
	return page->owner == slot_of(p);
}

static void pool_push(struct page *page)
{
	struct partition *p = owners[page->owner];
	struct page *head = page->boot ? boot_free : p->pool.free;

	page->kind = PAGE_FREE;
	page->next = head != NULL ? head - pages : PAGE_END;
	if (page->boot) {
		boot_free = page;
	} else {
		p->pool.free = page;
	}
	p->pool.free_count++;
}

/* Takes the first page off a list; NULL: none. It is cleared: it may have been anybody's. */
static struct page *pool_pop(struct partition *p, struct page *head)
{
	struct page *next;

	if (head == NULL) {
		return NULL;
	}
	next = head->next == PAGE_END ? NULL : &pages[head->next];
	if (head->boot) {
		boot_free = next;
	} else {
		p->pool.free = next;
	}
	p->pool.free_count--;
	head->count = 0;
	memset(page_ptr(head), 0, PAGE_SIZE);
	return head;
}

static struct page *pool_take(struct partition *p, enum page_kind kind)
{
	struct page *head = boot_free != NULL && is_of(boot_free, p) ? boot_free : p->pool.free;
	struct page *page = pool_pop(p, head);

	if (page != NULL) {
		page->kind = kind;
	}
	return page;
}

void *memory_alloc(struct partition *p)
{
	struct page *page = pool_take(p, PAGE_USED);

	return page != NULL ? page_ptr(page) : NULL;
}

void memory_free(const struct partition *p, void *object)
{
	struct page *page = memory_page_of(object);

	CHECK(page->kind == PAGE_USED && !page->count && is_of(page, p));
	pool_push(page);
}

void *plat_page_alloc(struct partition *p)
{
	void *object;

	memory_lock();
	object = memory_alloc(p);
	memory_unlock();
	return object;
}

void plat_page_free(struct partition *p, void *object)
{
	memory_lock();
	memory_free(p, object);
	memory_unlock();
}

uint64_t *memory_table_alloc(struct partition *p)
{
	struct page *page = pool_take(p, PAGE_TABLE);

	return page != NULL ? page_ptr(page) : NULL;
}

void memory_table_free(uint64_t *table)
{
	struct page *page = memory_page_of(table);

	CHECK(page->kind == PAGE_TABLE && !page->count);
	page->kind = PAGE_LIMBO;
}

void memory_table_entries(const uint64_t *entry, int change)
{
	struct page *page = memory_page_of(entry);

	CHECK(page->kind == PAGE_TABLE);
	page->count += change;
}

uint64_t plat_pool_count(struct partition *p)
{
	return __atomic_load_n(&p->pool.free_count, __ATOMIC_RELAXED);
}

uint64_t plat_deposit_count(struct partition *p)
{
	return __atomic_load_n(&p->pool.deposited, __ATOMIC_RELAXED);
}

/* ---- changes of ownership and of the count ---- */

static bool is_ram_of(const struct page *page, const struct partition *owner)
{
	return page != NULL && page->kind == PAGE_RAM && is_of(page, owner);
}

bool memory_owned(const struct partition *p, uint64_t spn)
{
	return is_ram_of(memory_page(spn), p);
}

hv_status_t memory_claim(const struct partition *owner, uint64_t spn, uint64_t count)
{
	struct page *run = page_run(spn, count);

	if (run == NULL) {
		return HV_STATUS_ACCESS_DENIED;
	}
	for (uint64_t i = 0; i < count; i++) {
		if (!is_ram_of(&run[i], owner)) {
			return HV_STATUS_ACCESS_DENIED;
		}
		if (run[i].count == UINT32_MAX) {
			return HV_STATUS_NO_RESOURCES;
		}
	}
	for (uint64_t i = 0; i < count; i++) {
		run[i].count++;
	}
	return HV_STATUS_SUCCESS;
}

void memory_settle(uint64_t spn, uint64_t count)
{
	struct page *run = page_run(spn, count);

	CHECK(run);
	for (struct page *page = run; page < run + count; page++) {
		if (page->kind == PAGE_LIMBO) {
			pool_push(page);
			continue;
		}
		CHECK((page->kind == PAGE_RAM || page->kind == PAGE_USED) && page->count);
		page->count--;
	}
}

void memory_show(struct page *page)
{
	CHECK(page->kind == PAGE_USED && page->count < UINT32_MAX);
	page->count++;
}

hv_status_t memory_deposit(const struct partition *from, uint64_t spn, struct partition *to)
{
	struct page *page = memory_page(spn);

	if (!is_ram_of(page, from)) {
		return HV_STATUS_ACCESS_DENIED;
	}
	if (page->count) {
		return HV_STATUS_OBJECT_IN_USE;
	}
	owners[slot_of(to)] = to;
	to->pool.deposited++;
	page->owner = slot_of(to);
	page->kind = PAGE_LIMBO;
	return HV_STATUS_SUCCESS;
}

hv_status_t memory_withdraw(struct partition *p, const struct partition *to, uint64_t *spn)
{
	struct page *page = pool_pop(p, p->pool.free);

	if (page == NULL) {
		return HV_STATUS_NO_RESOURCES;
	}
	p->pool.deposited--;
	page->kind = PAGE_RAM;
	page->owner = slot_of(to);
	*spn = page_spn(page - pages);
	return HV_STATUS_SUCCESS;
}

/* ---- boot ---- */

static uint64_t page_up(uint64_t address)
{
	return (address + PAGE_MASK) >> PAGE_SHIFT;
}

void memory_boot(const struct handoff *handoff)
{
	uint32_t index = 0;

	range_count = withheld_count = 0;
	for (uint32_t i = 0; i < handoff->range_count; i++) {
		const struct handoff_range *from = &handoff->ranges[i];
		uint64_t first = page_up(from->base), end = (from->base + from->size) >> PAGE_SHIFT;

		if (from->type != 1 || end <= first) {
			continue;
		}
		/* What an index cannot count (16 TiB on) is to us as the memory of a device. */
		if (end - first > PAGE_END - index) {
			end = first + (PAGE_END - index);
		}
		ranges[range_count++] = (struct ram_range){first, end - first, index};
		index += end - first;
	}
	reserved_first = handoff->reserved_base >> PAGE_SHIFT;
	reserved_pages = handoff->reserved_size >> PAGE_SHIFT;
	table_first = handoff->table_base >> PAGE_SHIFT;
	table_pages = handoff->table_size >> PAGE_SHIFT;
	boot_next = page_up(handoff->free_base);
	boot_end = reserved_first + reserved_pages;
}

spa_t memory_boot_alloc(uint64_t count)
{
	uint64_t spn = boot_next;

	CHECK(count <= boot_end - boot_next);
	boot_next += count;
	return (spa_t){spn << PAGE_SHIFT};
}

uint64_t memory_boot_left(void)
{
	return boot_end - boot_next;
}

static spa_t table_place(uint64_t bytes)
{
	if (!table_pages) {
		return memory_boot_alloc(page_up(bytes));
	}
	CHECK(page_up(bytes) <= table_pages);
	return (spa_t){table_first << PAGE_SHIFT};
}

void memory_init(struct partition *root)
{
	const struct ram_range *last = &ranges[range_count - 1];
	uint32_t count = last->index + last->pages;
	uint16_t slot = slot_of(root);

	owners[slot] = root;
	boot_free = NULL;
	pages = plat_spa_ptr(table_place(count * sizeof(struct page)));
	for (uint32_t i = 0; i < count; i++) {
		pages[i] = (struct page){.kind = PAGE_RAM, .owner = slot};
	}
	for (uint64_t spn = table_first; spn < table_first + table_pages; spn++) {
		struct page *page = memory_page(spn);

		CHECK(page);
		*page = (struct page){.kind = PAGE_HYPERVISOR, .owner = slot, .boot = true};
	}
	for (uint64_t spn = boot_end; spn-- > reserved_first;) {
		struct page *page = memory_page(spn);

		CHECK(page);
		*page = (struct page){.kind = PAGE_HYPERVISOR, .owner = slot, .boot = true};
		if (spn >= boot_next) {
			root->pool.deposited++;
			pool_push(page);
		}
	}
	boot_next = boot_end;
}
