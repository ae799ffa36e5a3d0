/*
 * VHDX: the structures of the file (MS-VHDX 2.2 to 2.6; all little-endian) and what its files
 * share.
 */
#ifndef DISK_VHDX_H
#define DISK_VHDX_H

#include "disk/bytes.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/space.h"
#include "disk/units.h"

#include <assert.h>
#include <sys/queue.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	      "these structures are used as they lie in the file");

#define VHDX_HEADER_1         (64 * DISK_KIB)
#define VHDX_HEADER_2         (128 * DISK_KIB)
#define VHDX_REGIONS_1        (192 * DISK_KIB)
#define VHDX_REGIONS_2        (256 * DISK_KIB)
#define VHDX_REGIONS_SIZE     (64 * DISK_KIB)
#define VHDX_HEADER_AREA      (1 * DISK_MIB)
#define VHDX_METADATA_TABLE   (64 * DISK_KIB)
#define VHDX_SIZE_MAX         (64 * DISK_TIB)
#define VHDX_FILE_MAX         (128 * DISK_TIB)
#define VHDX_BLOCK_MIN        (1 * DISK_MIB)
#define VHDX_BLOCK_MAX        (256 * DISK_MIB)
#define VHDX_LOG_MAX          (256 * DISK_MIB)
#define VHDX_CHUNK_SECTORS    (1u << 23) /* sectors that one bitmap block describes */
#define VHDX_BITMAP_BLOCK     (1 * DISK_MIB)
#define VHDX_BITMAP_SECTORS   (DISK_PAGE * 8u) /* per 4 KiB page of bitmap */
#define VHDX_ENTRIES_PER_PAGE (DISK_PAGE / 8)

struct vhdx_identifier {      /* 2.2.1 */
	uint8_t signature[8]; /* "vhdxfile" */
	uint8_t creator[512]; /* UTF-16LE */
};
static_assert(sizeof(struct vhdx_identifier) == 520, "MS-VHDX 2.2.1");

struct vhdx_header { /* 2.2.2 */
	uint32_t signature;
	uint32_t checksum;
	uint64_t sequence;
	struct guid file_write;
	struct guid data_write;
	struct guid log;
	uint16_t log_version;
	uint16_t version;
	uint32_t log_length;
	uint64_t log_offset;
	uint8_t reserved[4016];
};
static_assert(sizeof(struct vhdx_header) == 4096, "MS-VHDX 2.2.2");
#define VHDX_HEADER_SIGNATURE 0x64616568u /* head */

struct vhdx_region { /* 2.2.3.2 */
	struct guid guid;
	uint64_t offset;
	uint32_t length;
	uint32_t required;
};
static_assert(sizeof(struct vhdx_region) == 32, "MS-VHDX 2.2.3.2");

#define VHDX_REGIONS_COUNT 2047
struct vhdx_regions { /* 2.2.3.1 */
	uint32_t signature;
	uint32_t checksum;
	uint32_t count;
	uint32_t reserved;
	struct vhdx_region regions[VHDX_REGIONS_COUNT];
	uint8_t padding[16];
};
static_assert(sizeof(struct vhdx_regions) == VHDX_REGIONS_SIZE, "MS-VHDX 2.2.3");
#define VHDX_REGIONS_SIGNATURE 0x69676572u /* regi */

struct vhdx_log_header { /* 2.3.1.1 */
	uint32_t signature;
	uint32_t checksum;
	uint32_t length;
	uint32_t tail;
	uint64_t sequence;
	uint32_t descriptor_count;
	uint32_t reserved;
	struct guid log;
	uint64_t flushed_file_size;
	uint64_t last_file_size;
};
static_assert(sizeof(struct vhdx_log_header) == 64, "MS-VHDX 2.3.1.1");
#define VHDX_LOG_SIGNATURE 0x65676f6cu /* loge */

struct vhdx_descriptor { /* 2.3.1.2 zero, 2.3.1.3 data */
	uint32_t signature;
	uint32_t trailing; /* data: the sector's last 4 bytes */
	union {
		uint64_t leading;     /* data: its first 8 bytes */
		uint64_t zero_length; /* zero */
	};
	uint64_t file_offset;
	uint64_t sequence;
};
static_assert(sizeof(struct vhdx_descriptor) == 32, "MS-VHDX 2.3.1.2");
#define VHDX_ZERO_SIGNATURE 0x6f72657au /* zero */
#define VHDX_DESC_SIGNATURE 0x63736564u /* desc */

struct vhdx_log_sector { /* 2.3.1.4 */
	uint32_t signature;
	uint32_t sequence_high;
	uint8_t data[4084];
	uint32_t sequence_low;
};
static_assert(sizeof(struct vhdx_log_sector) == 4096, "MS-VHDX 2.3.1.4");
#define VHDX_DATA_SIGNATURE 0x61746164u /* data */

/* BAT entries (2.5.1): state in bits 0-2, file offset in MiB in bits 20-63. */
enum vhdx_state {
	VHDX_NOT_PRESENT = 0,
	VHDX_UNDEFINED = 1,
	VHDX_ZERO = 2,
	VHDX_UNMAPPED = 3,
	VHDX_UNMAPPED_OLD = 5, /* version 0.95 of the format */
	VHDX_FULLY_PRESENT = 6,
	VHDX_PARTIALLY_PRESENT = 7,
};
#define VHDX_BITMAP_PRESENT 6

static inline unsigned entry_state(uint64_t entry)
{
	return entry & 7;
}

static inline uint64_t entry_offset(uint64_t entry)
{
	return entry & ~(DISK_MIB - 1);
}

struct vhdx_metadata_entry { /* 2.6.1.2 */
	struct guid item;
	uint32_t offset;
	uint32_t length;
	uint32_t flags;
	uint32_t reserved;
};
static_assert(sizeof(struct vhdx_metadata_entry) == 32, "MS-VHDX 2.6.1.2");
enum { VHDX_ITEM_USER = 1, VHDX_ITEM_DISK = 2, VHDX_ITEM_REQUIRED = 4 };

#define VHDX_METADATA_COUNT 2047
struct vhdx_metadata_table {  /* 2.6.1.1 */
	uint8_t signature[8]; /* "metadata" */
	uint16_t reserved;
	uint16_t count;
	uint32_t reserved_2[5];
	struct vhdx_metadata_entry entries[VHDX_METADATA_COUNT];
};
static_assert(sizeof(struct vhdx_metadata_table) == VHDX_METADATA_TABLE, "MS-VHDX 2.6.1");

struct vhdx_file_parameters { /* 2.6.2.1 */
	uint32_t block_size;
	uint32_t flags;
};
enum { VHDX_LEAVE_ALLOCATED = 1, VHDX_HAS_PARENT = 2 };

/* What a pending log puts over the file, in order; data NULL: zeros. */
struct overlay_piece {
	uint64_t offset, length;
	uint8_t *data;
};

struct bitmap_page {
	TAILQ_ENTRY(bitmap_page) list; /* clean (the first is dropped first) or dirty */
	uint64_t index;                /* of the 4 KiB pages of the whole disk's bitmap */
	bool dirty;
	uint8_t bits[DISK_PAGE];
};

/* One page of the file on its way through the log. */
struct staged_page {
	uint64_t file_offset;
	uint8_t data[DISK_PAGE];
};

struct vhdx {
	struct vhdx_header header;   /* [F] the current one */
	unsigned slot;               /* [F] where it lies, 0 or 1 */
	bool begun;                  /* [F] written, [L] read */
	bool data_changed;           /* [F] this session's data-write GUID was given */
	struct guid next_data_write; /* [F] if not zero: the one to give (merge) */
	uint64_t bat_offset, metadata_offset;
	uint32_t bat_length, metadata_length;
	uint32_t size_item, locator_item, locator_length,
		locator_room;   /* offsets in the metadata region */
	uint32_t locator_entry; /* index in the metadata table */
	struct guid disk_id;
	bool leave_allocated, has_parent;
	uint32_t chunk_ratio;
	uint64_t payload_count, chunk_count;

	uint64_t *bat; /* [L] */
	uint64_t bat_count;
	size_t bat_bytes;
	uint8_t *bat_dirty; /* [L] per page */
	uint64_t bat_dirty_count;
	struct space space; /* [L] */

	struct bitmap_page **pages; /* [L] */
	uint64_t page_count, pages_loaded, dirty_page_count;
	TAILQ_HEAD(page_list, bitmap_page) clean_pages, dirty_pages; /* [L] those that are loaded */

	struct overlay_piece *overlay; /* [F] until begin */
	size_t overlay_count, overlay_capacity;
	uint64_t overlay_size; /* the file's size after replay */

	struct staged_page *stage; /* [F] */
	unsigned stage_count, stage_room;
	unsigned entry_max;    /* [F] pages in one log entry */
	uint8_t *entry;        /* [F] a log entry under construction */
	uint32_t log_next;     /* [F] where in the log the next entry goes */
	uint64_t log_sequence; /* [F] */
};

/* vhdx_header.c */
int vhdx_read_headers(struct layer *layer, struct disk_error *error);
int vhdx_write_headers(struct layer *layer); /* both */
int vhdx_read_regions(struct layer *layer, struct disk_error *error);
void vhdx_seal_header(struct vhdx_header *header);
void vhdx_seal_regions(struct vhdx_regions *regions);
extern const struct guid vhdx_bat_region, vhdx_metadata_region;

/* vhdx_locator.c */
#define VHDX_LOCATOR_MAX (64 * DISK_KIB)
/* What an item of the file says of the parent goes to the layer. */
int vhdx_parse_locator(struct layer *layer, const uint8_t *item, uint32_t length);
/* item has VHDX_LOCATOR_MAX bytes. Returns its length or an error. */
int vhdx_build_locator(uint8_t *item, const char *absolute, const char *relative,
		       const struct guid *linkage, const struct guid *linkage_2);

/* vhdx_meta.c */
int vhdx_read_metadata(struct layer *layer, struct disk_error *error);
int vhdx_build_metadata(uint8_t *region, size_t size, const struct create_plan *plan,
			uint64_t disk_size, struct disk_error *error);
int vhdx_stage_locator(struct layer *layer, const struct create_plan *plan,
		       const struct guid *linkage, const struct guid *linkage_2,
		       struct disk_error *error);

/* vhdx_log_read.c */
int vhdx_log_read(struct layer *layer, struct disk_error *error); /* fills the overlay */

/* vhdx_log.c */
int vhdx_overlay_add(struct vhdx *v, uint64_t offset, uint64_t length,
		     uint8_t *data); /* data NULL: zeros */
int vhdx_read_table(struct layer *layer, void *buffer, size_t length, uint64_t offset);
int vhdx_log_begin(struct layer *layer); /* under flush_lock */
/* Puts the overlay into the file, or into another that gets what the file will have; not synced. */
int vhdx_copy_log(struct layer *layer, struct file *to);
int vhdx_log_end(struct layer *layer);
/*
 * Sync, log what is staged, sync, write it in place; in several entries where one is too short.
 */
int vhdx_log_commit(struct layer *layer);
/* Room for so many pages more. */
int vhdx_stage_reserve(struct layer *layer, size_t count);
struct staged_page *vhdx_stage(struct layer *layer, uint64_t file_offset);
/*
 * Stage the page around offset as it is in the file and change some bytes of it. -ENOSPC: it would
 * be more than one entry.
 */
int vhdx_stage_bytes(struct layer *layer, uint64_t offset, const void *data, size_t length);
void vhdx_log_release(struct layer *layer);

/* vhdx_bat.c; all under layer.lock */
int vhdx_bat_size(uint64_t size, uint32_t block, uint32_t sector, bool parent, uint64_t *entries);
int vhdx_load_bat(struct layer *layer, struct disk_error *error);
uint64_t vhdx_payload_index(const struct vhdx *v, uint64_t block);
uint64_t vhdx_bitmap_index(const struct vhdx *v, uint64_t chunk);
void vhdx_set_entry(struct layer *layer, uint64_t index, uint64_t entry);
/* More dirty pages than a flush should have to write. */
bool vhdx_tables_are_full(const struct vhdx *v);
int vhdx_allocate(struct layer *layer, uint64_t length, bool wait, uint64_t *offset);
int vhdx_flush_tables(struct layer *layer); /* under flush_lock, takes layer.lock itself */
void vhdx_release_freed(struct layer *layer);
void vhdx_forget_bat(struct vhdx *v);

/* vhdx_bitmap.c; all under layer.lock */
int vhdx_get_page(struct layer *layer, uint64_t page, bool wait, struct bitmap_page **out);
int vhdx_set_bits(struct layer *layer, uint64_t sector, uint64_t count, bool value, bool wait);
/* It is as it was staged. */
void vhdx_clean_page(struct vhdx *v, struct bitmap_page *page);
/* Where a page of the bitmaps is in the file. */
uint64_t vhdx_page_offset(const struct vhdx *v, uint64_t page);

/* vhdx_create.c, vhdx_resize.c, vhdx_check.c */
int vhdx_create(struct file *file, const struct create_plan *plan, struct disk_error *error);
int vhdx_resize(struct layer *layer, uint64_t size, struct disk_error *error);
int vhdx_compact(struct layer *layer, uint64_t *moved);
int vhdx_check(struct layer *layer, struct disk_error *error);
int vhdx_loose(struct layer *layer, struct span_list *places);

/* vhdx_map.c: see struct format */
int vhdx_map(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
	     struct extent *extent);
int vhdx_write_begin(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
		     struct extent *extent);
int vhdx_write_end(struct layer *layer, uint64_t offset, uint64_t length,
		   const struct extent *extent);
int vhdx_trim(struct layer *layer, uint64_t offset, uint64_t length, uint64_t *done);

/* vhdx.c */
/* The session has begun afterwards; for data the disk's identity changes with it. */
int vhdx_begin(struct layer *layer);
int vhdx_begin_data(struct layer *layer);
int vhdx_flush(struct layer *layer);
int vhdx_flush_if_full(struct layer *layer);
/*
 * The data-write GUID that the parent has, and for a merge the one that it will get (else NULL),
 * become the child's linkages.
 */
int vhdx_expect_parent(struct layer *child, const struct guid *now, const struct guid *next,
		       struct disk_error *error);

#endif
