/*
 * Hyper-V's storage files: what .vmrs (saved states) and .vmcx (configurations) are made of. A tree
 * of keys, written like the path of a file ("/savedstate/VmVersion"), with numbers, texts and
 * arrays of bytes at its leaves; arrays of 2 KiB and more are objects of their own in the file. The
 * layout is format.h's.
 *
 * A file is written once, from its beginning to its end, and is none until hvs_writer_finish(): its
 * headers come last, when all else is on the medium. A reader believes nothing: tables, sizes and
 * places are checked as a whole when the file is opened, an array when it is read. What an array's
 * bytes are is for its owner to check: the format has no checksum of them.
 *
 * No locks: one thread at a time has a writer. Several may read from one file at once. Errors are
 * -errno.
 */
#ifndef HVS_HVS_H
#define HVS_HVS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/check.h"

#define HVS_NAME_MAX  254u /* bytes of a name between two slashes */
#define HVS_DEPTH_MAX 16u  /* names in a path */

/* ---- writing ---- */

struct hvs_writer;

/* Into `fd`, an empty file, which stays the caller's. -ENOMEM. */
int hvs_writer_create(int fd, struct hvs_writer **writer) MUST_CHECK;
void hvs_writer_destroy(struct hvs_writer *writer);

/* Each path once. The first error is kept, and hvs_writer_finish() returns it. */
void hvs_put_int(struct hvs_writer *writer, const char *path, int64_t value);
void hvs_put_string(struct hvs_writer *writer, const char *path, const char *ascii);
void hvs_put_array(struct hvs_writer *writer, const char *path, const void *from, uint32_t size);
/* What is wrong so far, so that who has much to write may stop. */
int hvs_writer_error(const struct hvs_writer *writer);

/* The tables, then a sync, the headers, and a sync. -EFBIG: more keys than the format has room
 * for. */
int hvs_writer_finish(struct hvs_writer *writer) MUST_CHECK;

/* ---- reading ---- */

struct hvs_file;

/*
 * `fd` stays the caller's and has to be there until hvs_close(). -EINVAL: it is no such file, or a
 * damaged one; *why is the end of a sentence about it then.
 */
int hvs_open(int fd, struct hvs_file **file, const char **why) MUST_CHECK;
void hvs_close(struct hvs_file *file);

/* -ENOENT: there is no such key; -EINVAL: it is of another kind. */
int hvs_get_int(const struct hvs_file *file, const char *path, int64_t *value) MUST_CHECK;
int hvs_get_size(const struct hvs_file *file, const char *path, uint32_t *size) MUST_CHECK;
/* The whole array, whose size this is; another size is -EINVAL. */
int hvs_get_array(const struct hvs_file *file, const char *path, void *to,
		  uint32_t size) MUST_CHECK;

/* ---- blocks of memory ---- */

/*
 * A MiB of a machine's memory, page by page, as Hyper-V packs it: a page that repeats one 8-byte
 * number is that number, any other is compressed by itself with plain LZ77 ([MS-XCA] 2.3 and 2.4),
 * or stays as it is.
 */
#define HVS_BLOCK_BYTES  (1u << 20)
#define HVS_PAGE_BYTES   4096u
#define HVS_BLOCK_PAGES  (HVS_BLOCK_BYTES / HVS_PAGE_BYTES)
#define HVS_PACKED_BYTES (HVS_BLOCK_PAGES * (HVS_PAGE_BYTES + 4) + 8) /* at most */

struct hvs_packer {
	uint8_t *at, *end;
};

/* Into `to`, of HVS_PACKED_BYTES. Then each page, in order; the last call returns how many bytes
 * were made of them. */
void hvs_pack_begin(struct hvs_packer *packer, uint8_t *to);
void hvs_pack_page(struct hvs_packer *packer, const uint8_t page[HVS_PAGE_BYTES]);
void hvs_pack_zeros(struct hvs_packer *packer);
uint32_t hvs_pack_end(struct hvs_packer *packer, const uint8_t *to);

/* Into a block of HVS_BLOCK_BYTES. -EINVAL: it is not a whole block, and nothing else; the block's
 * contents are any then. */
int hvs_unpack(const uint8_t *from, uint32_t size, uint8_t *block) MUST_CHECK;

#endif
