/*
 * The dynamic memory protocol, as Linux's hv_balloon speaks it: in-band packets of a channel with
 * VMBUS_GUID_DYNAMIC_MEMORY, none of which asks for a completion. Names as in
 * drivers/hv/hv_balloon.c. Little-endian, packed. Each begins with struct dm_header; `size` is of
 * the whole message.
 *
 * The guest begins: VERSION_REQUEST and CAPABILITIES_REPORT, each answered; then a STATUS_REPORT
 * each second. Requests of the host follow.
 */
#ifndef VSP_DM_H
#define VSP_DM_H

#include <assert.h>
#include <stdint.h>

#define DM_PACKED      __attribute__((packed))
#define DM_MESSAGE_MAX 4096u

enum dm_message_type {
	DM_VERSION_REQUEST = 1,
	DM_VERSION_RESPONSE = 2,
	DM_CAPABILITIES_REPORT = 3,
	DM_CAPABILITIES_RESPONSE = 4,
	DM_STATUS_REPORT = 5,
	DM_BALLOON_REQUEST = 6,
	DM_BALLOON_RESPONSE = 7,
	DM_UNBALLOON_REQUEST = 8,
	DM_UNBALLOON_RESPONSE = 9,
	DM_MEM_HOT_ADD_REQUEST = 10,
	DM_MEM_HOT_ADD_RESPONSE = 11,
};

struct dm_header {
	uint16_t type;
	uint16_t size;
	uint32_t trans_id; /* the sender's own count */
} DM_PACKED;
static_assert(sizeof(struct dm_header) == 8, "dm_header");

#define DM_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))
#define DM_VERSION_WIN7          DM_VERSION(0, 3)
#define DM_VERSION_WIN8          DM_VERSION(1, 0)
#define DM_VERSION_WIN10         DM_VERSION(2, 0)

struct dm_version_request {
	struct dm_header hdr;
	uint32_t version;
	uint32_t is_last_attempt; /* bit 0 */
} DM_PACKED;
static_assert(sizeof(struct dm_version_request) == 16, "dm_version_request");

/* Also of the answer to the capabilities. */
struct dm_acceptance {
	struct dm_header hdr;
	uint64_t is_accepted; /* bit 0 */
} DM_PACKED;
static_assert(sizeof(struct dm_acceptance) == 16, "dm_acceptance");

#define DM_CAP_BALLOON 1u
#define DM_CAP_HOT_ADD 2u
/* What is added begins at a multiple of so many MiB, and is as long. */
#define DM_CAP_HOT_ADD_ALIGNMENT_MIB(caps) (1u << ((caps) >> 2 & 0xf))

struct dm_capabilities {
	struct dm_header hdr;
	uint64_t caps;
	uint64_t min_page_cnt;
	uint64_t max_page_number;
} DM_PACKED;
static_assert(sizeof(struct dm_capabilities) == 32, "dm_capabilities");

/* Counts of pages. */
struct dm_status {
	struct dm_header hdr;
	uint64_t num_avail;
	uint64_t num_committed;
	uint64_t page_file_size;
	uint64_t zero_free;
	uint32_t page_file_writes;
	uint32_t io_diff;
} DM_PACKED;
static_assert(sizeof(struct dm_status) == 48, "dm_status");

struct dm_balloon {
	struct dm_header hdr;
	uint32_t num_pages;
	uint32_t reserved;
} DM_PACKED;
static_assert(sizeof(struct dm_balloon) == 16, "dm_balloon");

/* A range of pages: where it begins, 40 bits, and how many, 24. */
#define DM_RANGE(first, count) ((uint64_t)(count) << 40 | (first))
#define DM_RANGE_FIRST(range)  ((range) & ((1ull << 40) - 1))
#define DM_RANGE_COUNT(range)  ((range) >> 40)
#define DM_RANGE_COUNT_MAX     ((1u << 24) - 1)

struct dm_balloon_response {
	struct dm_header hdr;
	uint32_t reserved;
	uint32_t more_and_count; /* bit 0: another follows; then how many ranges */
	uint64_t ranges[];
} DM_PACKED;
static_assert(sizeof(struct dm_balloon_response) == 16, "dm_balloon_response");

struct dm_unballoon_request {
	struct dm_header hdr;
	uint32_t more; /* bit 0 */
	uint32_t range_count;
	uint64_t ranges[];
} DM_PACKED;
static_assert(sizeof(struct dm_unballoon_request) == 16, "dm_unballoon_request");

/* Pages to be added, within the region that the guest prepares for them and for later ones. */
struct dm_hot_add {
	struct dm_header hdr;
	uint64_t range;
	uint64_t region;
} DM_PACKED;
static_assert(sizeof(struct dm_hot_add) == 24, "dm_hot_add");

/* No page and result 1: the guest will never add any; no page and result 0: it could not now. */
struct dm_hot_add_response {
	struct dm_header hdr;
	uint32_t page_count;
	uint32_t result;
} DM_PACKED;
static_assert(sizeof(struct dm_hot_add_response) == 16, "dm_hot_add_response");

#endif
