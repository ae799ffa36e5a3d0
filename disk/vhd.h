/*
 * VHD: the structures of the file (Virtual Hard Disk Image Format Specification 1.0; all
 * big-endian) and what its files share.
 */
#ifndef DISK_VHD_H
#define DISK_VHD_H

#include "disk/format.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <assert.h>
#include <endian.h>

#define VHD_SECTOR         512u
#define VHD_SIZE_MAX       (2040 * DISK_GIB)
#define VHD_UNUSED         UINT32_MAX
#define VHD_BLOCK_MAX      (256 * DISK_MIB)
#define VHD_EPOCH          946684800ull /* 2000-01-01 in seconds since 1970 */
#define VHD_BAT_PER_SECTOR (VHD_SECTOR / 4)

enum vhd_type { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };

struct vhd_footer {
	uint8_t cookie[8]; /* "conectix" */
	uint32_t features;
	uint32_t version;
	uint64_t data_offset; /* of the dynamic header */
	uint32_t timestamp;
	uint8_t creator[4];
	uint32_t creator_version;
	uint8_t creator_os[4];
	uint64_t original_size;
	uint64_t current_size;
	uint16_t cylinders;
	uint8_t heads;
	uint8_t sectors;
	uint32_t type;
	uint32_t checksum;
	uint8_t id[16];
	uint8_t saved_state;
	uint8_t reserved[427];
};
static_assert(sizeof(struct vhd_footer) == 512, "VHD specification, hard disk footer");

struct vhd_locator {
	uint8_t code[4]; /* "W2ru" relative, "W2ku" absolute; UTF-16LE */
	uint32_t space;
	uint32_t length;
	uint32_t reserved;
	uint64_t offset;
};
static_assert(sizeof(struct vhd_locator) == 24, "VHD specification, parent locator");

struct vhd_header {
	uint8_t cookie[8]; /* "cxsparse" */
	uint64_t data_offset;
	uint64_t table_offset;
	uint32_t version;
	uint32_t table_entries;
	uint32_t block_size;
	uint32_t checksum;
	uint8_t parent_id[16];
	uint32_t parent_timestamp;
	uint32_t reserved;
	uint8_t parent_name[512]; /* UTF-16BE */
	struct vhd_locator locators[8];
	uint8_t reserved_2[256];
};
static_assert(sizeof(struct vhd_header) == 1024, "VHD specification, dynamic disk header");

struct vhd_bitmap { /* of one block of a differencing disk: bit 7 of byte 0 is the first sector */
	struct vhd_bitmap *next_dirty;
	uint64_t block;
	bool dirty;
	uint8_t bits[];
};

struct vhd {
	struct vhd_footer footer;
	struct vhd_header header;
	uint64_t end;          /* [L] where the footer is; blocks lie below */
	uint32_t bitmap_bytes; /* in front of each block */
	uint64_t stride;       /* bitmap and block */
	uint64_t block_count;
	uint32_t *bat;      /* [L] in this machine's byte order */
	uint8_t *bat_dirty; /* [L] per sector of the table */
	uint64_t bat_dirty_count;
	uint8_t *bitmap_full;        /* [L] dynamic: the block's bitmap is known to be all ones */
	struct vhd_bitmap **bitmaps; /* [L] differencing */
	struct vhd_bitmap *dirty_bitmaps;
	uint64_t dirty_bitmap_count;
	struct span_list free;  /* [L] places for blocks, each a stride long; of unknown content */
	struct span_list clean; /* [L] the same, reading as zeros */
	bool changed;           /* [L] close has work to do */
	bool old_footer;        /* 511 bytes, from before Virtual PC 2004 */
};

/* vhd_footer.c */
void vhd_seal_footer(struct vhd_footer *footer);
void vhd_seal_header(struct vhd_header *header);
int vhd_read_footer(struct layer *layer, struct disk_error *error);
int vhd_read_header(struct layer *layer, struct disk_error *error);
int vhd_read_locators(struct layer *layer, struct disk_error *error);
int vhd_write_footers(struct layer *layer); /* the copy, sync, the one at the end, sync */
void vhd_make_footer(struct vhd_footer *footer, enum vhd_type type, const struct create_plan *plan);
void vhd_set_geometry(struct vhd_footer *footer, uint64_t size);
/* The header and behind it the locators' texts, `at` is their place in the file. */
#define VHD_LOCATOR_SPACE 4096u
#define VHD_HEADER_SPACE  (sizeof(struct vhd_header) + 2 * VHD_LOCATOR_SPACE)
int vhd_write_parent(struct file *file, struct vhd_header *header, uint64_t at,
		     const struct create_plan *plan, struct disk_error *error);

/* vhd_bat.c; all under layer.lock unless stated */
int vhd_load_bat(struct layer *layer, struct disk_error *error);
void vhd_set_entry(struct layer *layer, uint64_t block, uint32_t entry);
int vhd_extend(struct layer *layer, uint64_t length); /* below the footer, cleared; syncs */
int vhd_allocate(struct layer *layer, bool wait, uint64_t *offset);
int vhd_get_bitmap(struct layer *layer, uint64_t block, bool wait, struct vhd_bitmap **out);
void vhd_mark_bitmap(struct layer *layer, struct vhd_bitmap *bitmap);
/* More is dirty than a flush should have to write. */
bool vhd_tables_are_full(const struct vhd *v);
int vhd_flush_tables(struct layer *layer); /* under flush_lock */
uint64_t vhd_used_end(const struct layer *layer);
void vhd_cut_places(struct layer *layer, uint64_t end); /* and under flush_lock */
int vhd_loose(struct layer *layer, struct span_list *places);
void vhd_forget_tables(struct vhd *v);

/* vhd_create.c, vhd_resize.c */
int vhd_create(struct file *file, const struct create_plan *plan, struct disk_error *error);
int vhd_resize(struct layer *layer, uint64_t size, struct disk_error *error);
int vhd_compact(struct layer *layer, uint64_t *moved);
int vhd_set_parent(struct layer *layer, const struct create_plan *plan, struct disk_error *error);

#endif
