/*
 * Cells of CELL_BYTES in pages of the pool. The first cell of a page is its head. p->cells lists
 * the pages that have a free cell; a page with none is in no list and is found again from the
 * address of its cells, one without any in use goes back to the pool.
 */
#include "tlfs/cell.h"

struct cell_page {
	struct cell_page *next, *previous;
	void **free; /* list through the cells */
	uint32_t used;
};

#define CELLS_A_PAGE (PAGE_SIZE / CELL_BYTES - 1)

_Static_assert(sizeof(struct cell_page) <= CELL_BYTES, "the head is a cell");

static void list_add(struct partition *p, struct cell_page *page)
{
	page->previous = NULL;
	page->next = p->cells;
	if (page->next != NULL) {
		page->next->previous = page;
	}
	p->cells = page;
}

static void list_remove(struct partition *p, struct cell_page *page)
{
	if (page->previous != NULL) {
		page->previous->next = page->next;
	} else {
		p->cells = page->next;
	}
	if (page->next != NULL) {
		page->next->previous = page->previous;
	}
}

static struct cell_page *page_add(struct partition *p)
{
	struct cell_page *page = plat_page_alloc(p);

	if (page == NULL) {
		return NULL;
	}
	for (uint32_t i = CELLS_A_PAGE; i > 0; i--) {
		void **cell = (void **)((uint8_t *)page + i * CELL_BYTES);

		*cell = page->free;
		page->free = cell;
	}
	list_add(p, page);
	return page;
}

void *cell_alloc(struct partition *p)
{
	struct cell_page *page = p->cells != NULL ? p->cells : page_add(p);
	void **cell;

	if (page == NULL) {
		return NULL;
	}
	cell = page->free;
	page->free = *cell;
	page->used++;
	if (page->free == NULL) {
		list_remove(p, page);
	}
	return memset(cell, 0, CELL_BYTES);
}

void cell_free(struct partition *p, void *cell)
{
	struct cell_page *page = (void *)((uintptr_t)cell & ~(uintptr_t)PAGE_MASK);

	if (page->free == NULL) {
		list_add(p, page);
	}
	*(void **)cell = page->free;
	page->free = cell;
	if (--page->used) {
		return;
	}
	list_remove(p, page);
	plat_page_free(p, page);
}
