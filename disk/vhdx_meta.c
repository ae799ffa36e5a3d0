/* VHDX: the metadata region and its items (MS-VHDX 2.6). */
#include "disk/vhdx.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Items that are known here (2.6.2), in the order in which a new file has them. */
enum item {
	ITEM_FILE,
	ITEM_SIZE,
	ITEM_PAGE83,
	ITEM_LOGICAL,
	ITEM_PHYSICAL,
	ITEM_LOCATOR,
	ITEM_COUNT
};

static const struct item_row {
	struct guid guid;
	uint32_t length; /* 0: any */
	uint32_t flags;
	const char *name;
} item_rows[ITEM_COUNT] = {
	[ITEM_FILE] = {{{0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0,
			 0xaa, 0x44, 0xe7, 0x6b}},
		       8,
		       VHDX_ITEM_REQUIRED,
		       "file parameters"},
	[ITEM_SIZE] = {{{0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe,
			 0xd8, 0x3b, 0xf4, 0xb8}},
		       8,
		       VHDX_ITEM_REQUIRED | VHDX_ITEM_DISK,
		       "disk size"},
	[ITEM_PAGE83] = {{{0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09,
			   0xe0, 0x00, 0xc7, 0x46}},
			 16,
			 VHDX_ITEM_REQUIRED | VHDX_ITEM_DISK,
			 "disk identity"},
	[ITEM_LOGICAL] = {{{0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33,
			    0xa8, 0xfa, 0xab, 0x5f}},
			  4,
			  VHDX_ITEM_REQUIRED | VHDX_ITEM_DISK,
			  "logical sector size"},
	[ITEM_PHYSICAL] = {{{0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88,
			     0x52, 0x51, 0xc5, 0x56}},
			   4,
			   VHDX_ITEM_REQUIRED | VHDX_ITEM_DISK,
			   "physical sector size"},
	[ITEM_LOCATOR] = {{{0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8,
			    0x48, 0x34, 0xab, 0x0c}},
			  0,
			  VHDX_ITEM_REQUIRED,
			  "parent locator"},
};

static int damaged(struct layer *layer, struct disk_error *error, const char *what)
{
	return error_set(error, -EUCLEAN, "%s: damaged: the metadata table: %s", layer->file.path,
			 what);
}

/*
 * Every item where it may be, none twice, none over another; the ones known here are noted in
 * found.
 */
static int scan_table(struct layer *layer, const struct vhdx_metadata_table *table,
		      int found[ITEM_COUNT], struct disk_error *error)
{
	uint32_t length = layer->vhdx->metadata_length;
	unsigned i, k;

	for (i = 0; i < table->count; i++) {
		const struct vhdx_metadata_entry *e = &table->entries[i];
		bool known = false;

		if (e->length > DISK_MIB || (e->length && e->offset < VHDX_METADATA_TABLE) ||
		    e->offset > length || e->length > length - e->offset) {
			return damaged(layer, error, "an item lies outside the region");
		}
		for (k = 0; k < i; k++) {
			const struct vhdx_metadata_entry *o = &table->entries[k];

			if (!memcmp(&o->item, &e->item, sizeof(e->item)) &&
			    !((o->flags ^ e->flags) & VHDX_ITEM_USER)) {
				return damaged(layer, error, "an item is there twice");
			}
			if (o->length && e->length && o->offset < e->offset + e->length &&
			    e->offset < o->offset + o->length) {
				return damaged(layer, error, "two items lie over each other");
			}
		}
		for (k = 0; k < ITEM_COUNT && !(e->flags & VHDX_ITEM_USER); k++) {
			if (!memcmp(&e->item, &item_rows[k].guid, sizeof(e->item))) {
				if (item_rows[k].length && e->length < item_rows[k].length) {
					return damaged(layer, error, "an item is too short");
				}
				found[k] = (int)i;
				known = true;
			}
		}
		if (!known && (e->flags & VHDX_ITEM_REQUIRED)) {
			return error_set(error, -EOPNOTSUPP,
					 "%s: needs a metadata item that is not known here",
					 layer->file.path);
		}
	}
	return 0;
}

/* An item may be longer than what is known of it: a later format may have put more behind. */
static int read_item(struct layer *layer, const struct vhdx_metadata_table *table, int index,
		     void *out, size_t length)
{
	return vhdx_read_table(layer, out, length,
			       layer->vhdx->metadata_offset + table->entries[index].offset);
}

/* The limits of the format. They are checked once, and all that divides by a size relies on it. */
static int check_values(struct layer *layer, uint64_t size, struct disk_error *error)
{
	const char *path = layer->file.path;

	if (!is_power_of_two(layer->block_size) || layer->block_size < VHDX_BLOCK_MIN ||
	    layer->block_size > VHDX_BLOCK_MAX) {
		return error_set(error, -EUCLEAN, "%s: damaged: block size %u", path,
				 layer->block_size);
	}
	if ((layer->sector_size != 512 && layer->sector_size != 4096) ||
	    (layer->physical_size != 512 && layer->physical_size != 4096)) {
		return error_set(error, -EUCLEAN, "%s: damaged: sector sizes %u and %u", path,
				 layer->sector_size, layer->physical_size);
	}
	if (!size || size % layer->sector_size || size > VHDX_SIZE_MAX) {
		return error_set(error, -EUCLEAN, "%s: damaged: disk size %llu", path,
				 (unsigned long long)size);
	}
	return 0;
}

/*
 * One that makes no sense stops an opening, but not the one by which the child gets another parent:
 * that is the remedy.
 */
static int read_locator(struct layer *layer, const struct vhdx_metadata_table *table, int index,
			struct disk_error *error)
{
	const struct vhdx_metadata_entry *e = &table->entries[index];
	struct vhdx *v = layer->vhdx;
	uint32_t limit = v->metadata_length;
	uint8_t *item = malloc(e->length + 1);
	unsigned i;
	int ret = item != NULL ? read_item(layer, table, index, item, e->length) : -ENOMEM;

	if (!ret) {
		ret = vhdx_parse_locator(layer, item, e->length);
	}
	free(item);
	if (ret && (ret == -ENOMEM || !layer->new_parent)) {
		return error_set(error, ret == -EINVAL || ret == -EILSEQ ? -EUCLEAN : ret,
				 "%s: the parent locator cannot be understood (%s); vhd rebase %s "
				 "PARENT --force writes a new one",
				 layer->file.path, strerror(-ret), layer->file.path);
	}
	for (i = 0; i < table->count; i++) { /* the room behind it, for a longer one */
		if (table->entries[i].length && table->entries[i].offset > e->offset) {
			limit = (uint32_t)min_u64(limit, table->entries[i].offset);
		}
	}
	v->locator_item = e->offset;
	v->locator_length = e->length;
	v->locator_room = limit - e->offset;
	v->locator_entry = (uint32_t)index;
	return 0;
}

/* Only the disk's identity may be missing: nothing of the disk's content depends on it. */
static int read_items(struct layer *layer, const struct vhdx_metadata_table *table,
		      struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	struct vhdx_file_parameters parameters;
	int found[ITEM_COUNT] = {-1, -1, -1, -1, -1, -1}, ret;
	unsigned k;

	ret = scan_table(layer, table, found, error);
	if (ret) {
		return ret;
	}
	for (k = 0; k < ITEM_LOCATOR; k++) {
		if (found[k] < 0 && k != ITEM_PAGE83) {
			return error_set(error, -EUCLEAN, "%s: damaged: the metadata has no %s",
					 layer->file.path, item_rows[k].name);
		}
	}
	ret = read_item(layer, table, found[ITEM_FILE], &parameters, sizeof(parameters));
	ret = ret ? ret : read_item(layer, table, found[ITEM_SIZE], &layer->size, 8);
	ret = ret ? ret : read_item(layer, table, found[ITEM_LOGICAL], &layer->sector_size, 4);
	ret = ret ? ret : read_item(layer, table, found[ITEM_PHYSICAL], &layer->physical_size, 4);
	if (!ret && found[ITEM_PAGE83] >= 0) {
		ret = read_item(layer, table, found[ITEM_PAGE83], &v->disk_id, 16);
	}
	if (ret) {
		return error_set(error, ret == -ENODATA ? -EUCLEAN : ret,
				 "%s: reading the metadata: %s", layer->file.path,
				 ret == -ENODATA ? "the file is cut short" : strerror(-ret));
	}
	layer->block_size = parameters.block_size;
	v->leave_allocated = parameters.flags & VHDX_LEAVE_ALLOCATED;
	v->has_parent = parameters.flags & VHDX_HAS_PARENT;
	v->size_item = table->entries[found[ITEM_SIZE]].offset;
	layer->type = v->has_parent        ? DISK_DIFFERENCING
		      : v->leave_allocated ? DISK_FIXED
					   : DISK_DYNAMIC;
	ret = check_values(layer, layer->size, error);
	if (!ret && v->has_parent) {
		ret = found[ITEM_LOCATOR] < 0
			      ? damaged(layer, error, "a differencing disk has no parent locator")
			      : read_locator(layer, table, found[ITEM_LOCATOR], error);
	}
	return ret;
}

int vhdx_read_metadata(struct layer *layer, struct disk_error *error)
{
	struct vhdx_metadata_table *table = malloc(sizeof(*table));
	int ret;

	if (table == NULL) {
		return error_set(error, -ENOMEM, "%s: out of memory", layer->file.path);
	}
	ret = vhdx_read_table(layer, table, sizeof(*table), layer->vhdx->metadata_offset);
	if (ret) {
		ret = ret == -ENODATA ? damaged(layer, error, "the file is cut short")
				      : error_set(error, ret, "%s: reading the metadata: %s",
						  layer->file.path, strerror(-ret));
	} else if (memcmp(table->signature, "metadata", 8) || table->count > VHDX_METADATA_COUNT) {
		ret = damaged(layer, error, "it is not one");
	} else {
		ret = read_items(layer, table, error);
	}
	free(table);
	return ret;
}

/* Items lie behind the table, each at a multiple of 8 bytes. */
static void add_item(uint8_t *region, enum item item, const void *data, uint32_t length,
		     uint32_t *offset)
{
	struct vhdx_metadata_table *table = (struct vhdx_metadata_table *)region;
	struct vhdx_metadata_entry *entry = &table->entries[table->count++];

	entry->item = item_rows[item].guid;
	entry->offset = *offset;
	entry->length = length;
	entry->flags = item_rows[item].flags;
	memcpy(region + *offset, data, length);
	*offset += (uint32_t)round_up(length, 8);
}

/*
 * The whole region, as it is written once when a file is made; nothing but the locator and the size
 * changes later, and those through the log.
 */
int vhdx_build_metadata(uint8_t *region, size_t size, const struct create_plan *plan,
			uint64_t disk_size, struct disk_error *error)
{
	const struct disk_create *how = &plan->how;
	struct vhdx_metadata_table *table = (struct vhdx_metadata_table *)region;
	struct vhdx_file_parameters parameters = {.block_size = how->block_size};
	uint32_t offset = VHDX_METADATA_TABLE;
	struct guid id, linkage, given;
	char text[GUID_TEXT];
	uint8_t *item;
	int length;

	memset(region, 0, size);
	memcpy(table->signature, "metadata", 8);
	parameters.flags = how->type == DISK_FIXED          ? VHDX_LEAVE_ALLOCATED
			   : how->type == DISK_DIFFERENCING ? VHDX_HAS_PARENT
							    : 0;
	guid_random(&id);
	if (plan->parent != NULL) { /* a child is the same disk */
		id = plan->parent->vhdx->disk_id;
	} else if (how->id != NULL && guid_parse(how->id, &given) == 0) {
		id = given;
	}
	add_item(region, ITEM_FILE, &parameters, sizeof(parameters), &offset);
	add_item(region, ITEM_SIZE, &disk_size, 8, &offset);
	add_item(region, ITEM_PAGE83, &id, 16, &offset);
	add_item(region, ITEM_LOGICAL, &how->sector_size, 4, &offset);
	add_item(region, ITEM_PHYSICAL, &how->physical_size, 4, &offset);
	if (plan->parent == NULL) {
		return 0;
	}
	item = malloc(VHDX_LOCATOR_MAX);
	if (item == NULL) {
		return error_set(error, -ENOMEM, "out of memory");
	}
	plan->parent->format->identity(plan->parent, text);
	length = guid_parse(text, &linkage);
	length = length ? length
			: vhdx_build_locator(item, plan->parent_absolute, plan->parent_relative,
					     &linkage, NULL);
	if (length > 0) {
		add_item(region, ITEM_LOCATOR, item, (uint32_t)length, &offset);
	}
	free(item);
	return length < 0 ? error_set(error, length, "%s: its name cannot be stored: %s",
				      plan->parent->file.path, strerror(-length))
			  : 0;
}

/* Where a locator of this length goes: over the old one, or at the end of the region. */
static uint32_t locator_place(struct layer *layer, const struct vhdx_metadata_table *table,
			      uint32_t length)
{
	struct vhdx *v = layer->vhdx;
	uint32_t end = VHDX_METADATA_TABLE;
	unsigned i;

	if (v->locator_item && length <= v->locator_room) {
		return v->locator_item;
	}
	for (i = 0; i < table->count; i++) {
		end = (uint32_t)max_u64(
			end, round_up(table->entries[i].offset + table->entries[i].length, 8));
	}
	return length <= v->metadata_length - end ? end : 0;
}

/* The paths come from the plan, or stay as they are when it is NULL. */
int vhdx_stage_locator(struct layer *layer, const struct create_plan *plan,
		       const struct guid *linkage, const struct guid *linkage_2,
		       struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	struct vhdx_metadata_table *table = malloc(sizeof(*table));
	uint8_t *item = malloc(VHDX_LOCATOR_MAX);
	struct vhdx_metadata_entry *entry;
	uint32_t place = 0;
	int ret = table != NULL && item != NULL ? 0 : -ENOMEM, length = 0;

	if (!ret) {
		ret = vhdx_read_table(layer, table, sizeof(*table), v->metadata_offset);
	}
	if (!ret) {
		length = vhdx_build_locator(
			item, plan != NULL ? plan->parent_absolute : layer->parent_path_2,
			plan != NULL ? plan->parent_relative : layer->parent_path, linkage,
			linkage_2);
		ret = length < 0 ? length : 0;
	}
	if (!ret) {
		place = locator_place(layer, table, (uint32_t)length);
		ret = place ? 0 : -ENOSPC;
	}
	if (!ret) {
		entry = &table->entries[v->locator_entry];
		entry->offset = place;
		entry->length = (uint32_t)length;
		ret = vhdx_stage_bytes(layer, v->metadata_offset + place, item, (size_t)length);
		ret = ret ? ret
			  : vhdx_stage_bytes(layer,
					     v->metadata_offset +
						     offsetof(struct vhdx_metadata_table, entries) +
						     v->locator_entry * sizeof(*entry),
					     entry, sizeof(*entry));
	}
	if (!ret) {
		v->locator_item = place;
		v->locator_length = (uint32_t)length;
	}
	free(table);
	free(item);
	return ret ? error_set(error, ret, "%s: the parent locator cannot be written: %s",
			       layer->file.path, strerror(-ret))
		   : 0;
}
