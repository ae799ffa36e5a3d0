/*
 * Overlay pages: pages of a pool that the hypervisor shows in a GPA space, over whatever is there.
 *
 * The leaf of an overlaid GPN has PTE_OVERLAY. Each overlay is a record in one of the map's lists,
 * which the GPN chooses, the newest first, so that the first one of a GPN is what the guest sees;
 * the last one of it keeps the entry that all of them hide. Who changes the GPN meanwhile changes
 * that hidden entry (gpa_overlay_below).
 */
#include "hypervisor/gpa_table.h"
#include "hypervisor/home.h"
#include "hypervisor/memory.h"

/* A page of records; the first place is taken by the link to the next page. */
struct overlay_page {
	struct overlay_page *next;
	struct overlay records[(PAGE_SIZE - sizeof(void *)) / sizeof(struct overlay)];
};
_Static_assert(sizeof(struct overlay_page) <= PAGE_SIZE, "records fit their page");

static struct overlay **list_of(struct gpa_map *map, uint64_t gpn)
{
	return &map->overlays[gpn % GPA_OVERLAY_LISTS];
}

/* The newest or the oldest of a GPN, NULL if there is none. */
static struct overlay *find(struct overlay *overlay, uint64_t gpn, bool oldest)
{
	struct overlay *found = NULL;

	for (; overlay != NULL && (oldest || found == NULL); overlay = overlay->next) {
		if (overlay->gpn == gpn) {
			found = overlay;
		}
	}
	return found;
}

uint64_t *gpa_overlay_below(struct gpa_map *map, uint64_t gpn)
{
	struct overlay *overlay = find(*list_of(map, gpn), gpn, true);

	CHECK(overlay);
	return &overlay->below;
}

static struct overlay *record_alloc(struct gpa_map *map)
{
	struct overlay_page *page;
	struct overlay *record;

	if (map->spare_overlays == NULL) {
		page = memory_alloc(map->partition);
		if (page == NULL) {
			return NULL;
		}
		page->next = map->overlay_pages;
		map->overlay_pages = page;
		for (size_t i = 0; i < ARRAY_COUNT(page->records); i++) {
			page->records[i].next = map->spare_overlays;
			map->spare_overlays = &page->records[i];
		}
	}
	record = map->spare_overlays;
	map->spare_overlays = record->next;
	return record;
}

static void record_free(struct gpa_map *map, struct overlay *record)
{
	record->next = map->spare_overlays;
	map->spare_overlays = record;
}

static uint64_t overlay_leaf(const struct overlay *overlay)
{
	return pte_leaf(overlay->spn, 0, PTE_RIGHTS | PTE_OVERLAY | PTE_ACCESSED | PTE_DIRTY);
}

static hv_status_t overlay_add(struct gpa_map *map, uint64_t gpn, void *object)
{
	struct overlay *overlay = record_alloc(map), **list = list_of(map, gpn);
	struct gpa_walk walk;
	uint64_t hidden;

	if (overlay == NULL) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	if (gpa_walk_create(map, gpn, 0, &walk) != HV_STATUS_SUCCESS) {
		record_free(map, overlay);
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	*overlay = (struct overlay){*list, gpn, plat_ptr_spa(object).v >> PAGE_SHIFT, 0};
	memory_show(memory_page_of(object));
	hidden = gpa_entry_set(walk.entry[0], overlay_leaf(overlay));
	if (!(hidden & PTE_SOFT_OVERLAY)) {
		overlay->below = hidden;
	}
	*list = overlay;
	map->stale = true;
	gpa_flush(map);
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_overlay_map(struct partition *p, uint64_t gpn, void *page)
{
	struct gpa_map *map = gpa_of(p);
	hv_status_t status;

	if (map == NULL || gpn >= gpa_limit()) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	memory_lock();
	status = overlay_add(map, gpn, page);
	memory_unlock();
	return status;
}

/*
 * Takes the record at *link out of the list; what it showed or hid passes to the others of its GPN,
 * or to the page table.
 */
static void overlay_remove(struct gpa_map *map, struct overlay **link)
{
	struct overlay *gone = *link, *top, *bottom;
	uint64_t gpn = gone->gpn;
	struct gpa_walk walk;

	*link = gone->next;
	top = find(*list_of(map, gpn), gpn, false);
	bottom = find(gone->next, gpn, false); /* a lower one: `gone` kept nothing */
	gpa_walk(map, gpn, 0, &walk);
	CHECK(!walk.level);
	if (top != NULL && bottom == NULL) {
		find(*list_of(map, gpn), gpn, true)->below = gone->below;
	}
	gpa_entry_set(walk.entry[0], top != NULL ? overlay_leaf(top) : gone->below);
	gpa_pend(map, gone->spn, 0);
	record_free(map, gone);
	gpa_prune(map, &walk);
	gpa_merge(map, gpn, &walk);
}

void plat_overlay_unmap(struct partition *p, uint64_t gpn, void *page)
{
	struct gpa_map *map = gpa_of(p);
	uint64_t spn = plat_ptr_spa(page).v >> PAGE_SHIFT;

	if (map == NULL) {
		return;
	}
	memory_lock();
	for (struct overlay **link = list_of(map, gpn); *link != NULL; link = &(*link)->next) {
		if ((*link)->gpn == gpn && (*link)->spn == spn) {
			overlay_remove(map, link);
			gpa_flush(map);
			break;
		}
	}
	memory_unlock();
}

void gpa_overlay_destroy(struct gpa_map *map)
{
	struct overlay_page *page;

	for (unsigned int i = 0; i < GPA_OVERLAY_LISTS; i++) {
		while (map->overlays[i] != NULL) {
			overlay_remove(map, &map->overlays[i]);
		}
	}
	while ((page = map->overlay_pages) != NULL) {
		map->overlay_pages = page->next;
		memory_free(map->partition, page);
	}
	map->spare_overlays = NULL;
}
