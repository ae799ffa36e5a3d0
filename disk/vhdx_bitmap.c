/*
 * VHDX: the sector bitmaps of differencing disks, page by page (MS-VHDX 2.4). Everything under
 * layer.lock.
 */
#include "disk/vhdx.h"

#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Bitmap pages kept: 64 MiB. More only while more are dirty, which vhdx_tables_are_full() prevents.
 */
#define PAGES_MAX 16384u

static void drop_some_page(struct vhdx *v)
{
	struct bitmap_page *page = TAILQ_FIRST(&v->clean_pages);

	if (page != NULL) {
		TAILQ_REMOVE(&v->clean_pages, page, list);
		v->pages[page->index] = NULL;
		v->pages_loaded--;
		free(page);
	}
}

uint64_t vhdx_page_offset(const struct vhdx *v, uint64_t page)
{
	uint64_t per_chunk = VHDX_BITMAP_BLOCK / DISK_PAGE;

	return entry_offset(v->bat[vhdx_bitmap_index(v, page / per_chunk)]) +
	       page % per_chunk * DISK_PAGE;
}

int vhdx_get_page(struct layer *layer, uint64_t index, bool wait, struct bitmap_page **out)
{
	struct vhdx *v = layer->vhdx;
	struct bitmap_page *page = v->pages[index];
	int ret;

	if (page != NULL) {
		*out = page;
		return 0;
	}
	if (!wait) {
		return -EAGAIN;
	}
	if (v->pages_loaded >= PAGES_MAX) {
		drop_some_page(v);
	}
	page = malloc(sizeof(*page));
	if (page == NULL) {
		return -ENOMEM;
	}
	ret = vhdx_read_table(layer, page->bits, DISK_PAGE, vhdx_page_offset(v, index));
	if (ret) {
		free(page);
		return ret;
	}
	page->index = index;
	page->dirty = false;
	TAILQ_INSERT_TAIL(&v->clean_pages, page, list);
	v->pages[index] = page;
	v->pages_loaded++;
	*out = page;
	return 0;
}

static void mark_dirty(struct layer *layer, struct bitmap_page *page)
{
	struct vhdx *v = layer->vhdx;

	if (!page->dirty) {
		page->dirty = true;
		TAILQ_REMOVE(&v->clean_pages, page, list);
		TAILQ_INSERT_TAIL(&v->dirty_pages, page, list);
		v->dirty_page_count++;
	}
	layer_change(layer);
}

void vhdx_clean_page(struct vhdx *v, struct bitmap_page *page)
{
	page->dirty = false;
	TAILQ_REMOVE(&v->dirty_pages, page, list);
	TAILQ_INSERT_TAIL(&v->clean_pages, page, list);
	v->dirty_page_count--;
}

static void fill_bits(uint8_t *bits, unsigned from, unsigned count, bool value)
{
	while (count && from % 8) {
		bits[from / 8] = value ? bits[from / 8] | 1u << from % 8
				       : bits[from / 8] & ~(1u << from % 8);
		from++;
		count--;
	}
	memset(bits + from / 8, value ? 0xff : 0, count / 8);
	for (from += count / 8 * 8, count %= 8; count; from++, count--) {
		bits[from / 8] = value ? bits[from / 8] | 1u << from % 8
				       : bits[from / 8] & ~(1u << from % 8);
	}
}

int vhdx_set_bits(struct layer *layer, uint64_t sector, uint64_t count, bool value, bool wait)
{
	struct bitmap_page *page;
	uint64_t at, end = sector + count;
	int ret;

	for (at = sector; at < end;
	     at = round_down(at, VHDX_BITMAP_SECTORS) + VHDX_BITMAP_SECTORS) {
		ret = vhdx_get_page(layer, at / VHDX_BITMAP_SECTORS, wait,
				    &page); /* all there before any changes */
		if (ret) {
			return ret;
		}
	}
	for (at = sector; at < end;) {
		unsigned from = at % VHDX_BITMAP_SECTORS;
		unsigned n = (unsigned)min_u64(end - at, VHDX_BITMAP_SECTORS - from);

		ret = vhdx_get_page(layer, at / VHDX_BITMAP_SECTORS, true, &page);
		if (ret) {
			return ret;
		}
		fill_bits(page->bits, from, n, value);
		mark_dirty(layer, page);
		at += n;
	}
	return 0;
}
