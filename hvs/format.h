/*
 * The layout of Hyper-V's storage files, format 4.0, as Microsoft describes it (FORMAT.md of
 * hvs_file in openvmm). Little-endian, nothing is padded. Checksums are CRC-32 (ISO 3309) with
 * their own field taken as zero.
 *
 *   0      header         twice; a valid one with the higher sequence counts
 *   4096   header
 *   8192   object table   what lies where; its last entry names the next table
 *          …              key tables, file objects, object tables, the replay log: each aligned to 4 KiB
 */
#ifndef HVS_FORMAT_H
#define HVS_FORMAT_H

#include <stdint.h>

#define HVS_ALIGNMENT 4096u

struct hvs_header {
	uint32_t signature, checksum;
	uint16_t sequence;
	uint32_t format, data_version, flags, alignment;
	uint64_t log_offset, log_bytes;
	uint32_t log_header_bytes;
} __attribute__((packed));

#define HVS_HEADER_SIGNATURE 0x01282014u
#define HVS_FORMAT_CURRENT   0x0400u
#define HVS_FORMAT_OLDEST    0x0301u /* the oldest whose checksums are as here */
#define HVS_HEADERS          2u
#define HVS_OBJECTS_AT       8192u

struct hvs_object_table {
	uint32_t signature, count; /* of entries */
} __attribute__((packed));

#define HVS_OBJECTS_SIGNATURE 0x01110001u

struct hvs_object {
	uint8_t kind;
	uint32_t checksum;
	uint64_t offset;
	uint32_t bytes;
	uint8_t flags;
} __attribute__((packed));

enum hvs_object_kind {
	HVS_OBJECT_EMPTY,
	HVS_OBJECT_TABLE, /* the next object table; the last entry of a table */
	HVS_OBJECT_KEYS,
	HVS_OBJECT_FILE,
	HVS_OBJECT_FREE,
};

#define HVS_OBJECT_REQUIRED 1u

struct hvs_key_table {
	uint16_t signature, index, sequence; /* index: from 1 on */
	uint32_t checksum;                   /* of these bytes alone */
} __attribute__((packed));

#define HVS_KEYS_SIGNATURE 2u
#define HVS_KEYS_BYTES     4096u

/* Behind it its name, with a NUL, and its value. */
struct hvs_key {
	uint8_t kind, flags;
	uint32_t bytes; /* all of it; a gap that no other key fits into belongs to the key before */
	uint16_t parent_table;  /* 0 and 0: a child of the root, which is nowhere in the file */
	uint32_t parent_offset; /* from the table's beginning */
	uint32_t checksum;      /* of this, the name and the value */
	uint32_t order;         /* among its siblings, from 1 on */
	uint8_t name_bytes;     /* with the NUL */
} __attribute__((packed));

enum hvs_key_kind {
	HVS_KEY_FREE = 1,
	HVS_KEY_INT = 3,
	HVS_KEY_UINT = 4,
	HVS_KEY_DOUBLE = 5,
	HVS_KEY_STRING = 6, /* u32 bytes, UTF-16 with a NUL */
	HVS_KEY_ARRAY = 7,  /* u32 bytes, the bytes */
	HVS_KEY_BOOL = 8,   /* i32 */
	HVS_KEY_NODE = 9,
};

#define HVS_KEY_IN_FILE  1u    /* the value is a struct hvs_place */
#define HVS_IN_FILE_FROM 2048u /* bytes of a value from which on that is so */

struct hvs_place {
	uint32_t bytes;
	uint64_t offset;
} __attribute__((packed));

struct hvs_node {
	uint64_t change;
	uint32_t next_order; /* the greatest of its children's, and 1 */
} __attribute__((packed));

/* The replay log's header. An empty log must be there, with room for at least one entry. */
struct hvs_log {
	uint32_t signature, checksum, count;
	uint8_t unused;
	uint32_t most;
	uint8_t tracking;
	uint64_t tracking_offset;
	uint32_t tracking_bytes, reserved;
} __attribute__((packed));

#define HVS_LOG_SIGNATURE   0x01110003u
#define HVS_LOG_ENTRY_BYTES 28u

/* What stands before a packed page: the number of bytes that it has become, 4096 if it is as it
 * was, or one of these. */
enum hvs_page_mark {
	HVS_PAGE_SIZED = 0xfffffffcu,   /* u32 bytes of the result, u32 bytes of it packed */
	HVS_PAGE_REPEATS = 0xfffffffdu, /* u64 value, u32 pages */
	HVS_PAGE_REPEAT = 0xfffffffeu,  /* u64 value */
	HVS_PAGES_END = 0xffffffffu,
};

/* hvs/checksum.c: a structure's, whose own field is the four bytes at `field`. */
uint32_t hvs_checksum(const void *structure, uint32_t bytes, uint32_t field);

#endif
