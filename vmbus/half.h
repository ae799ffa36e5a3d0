/*
 * One half of a channel's ring, as its reader or as its writer sees it. Nothing here knows
 * channels.
 *
 * The half is guest memory. Each control word is read once, atomically, and checked; what a packet
 * says is believed only after it was copied out. The index that is our own is kept here and only
 * ever written to the guest, never read back.
 */
#ifndef VMBUS_HALF_H
#define VMBUS_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/check.h"
#include "vmbus/ring.h"

#define RING_TRAILER_BYTES ((uint32_t)sizeof(struct vmpacket_trailer))

struct half {
	struct hv_ring_buffer *control;
	uint8_t *const *pages; /* of the data */
	uint32_t size;         /* of the data, a multiple of VMBUS_PAGE_SIZE */
};

struct ring_reader {
	struct half half;
	uint32_t read;  /* next to be read */
	uint32_t shown; /* what the guest has been told of `read` */
	uint32_t write; /* what was last seen of the guest's */
};

struct ring_writer {
	struct half half;
	uint32_t write; /* next to be written */
	uint32_t shown;
	uint32_t read; /* what was last seen of the guest's */
	bool waits;    /* pending_send_sz is set */
};

/* False: the guest's control words are no indices. pages[0] is the control page. */
bool reader_init(struct ring_reader *reader, uint8_t *const *pages, uint32_t page_count) MUST_CHECK;
bool writer_init(struct ring_writer *writer, uint8_t *const *pages, uint32_t page_count) MUST_CHECK;

/* As they were; nothing is written. The indices have been checked. */
void reader_restore(struct ring_reader *reader, uint8_t *const *pages, uint32_t page_count,
		    uint32_t read);
void writer_restore(struct ring_writer *writer, uint8_t *const *pages, uint32_t page_count,
		    uint32_t write, uint32_t read, bool waits);

/*
 * The descriptor of the next packet: 1 if there is one, 0 if not, -EPROTO if it is none. Then the
 * packet with its trailer is in the ring as a whole, and its payload begins inside of it.
 */
int reader_next(struct ring_reader *reader, struct vmpacket_descriptor *descriptor) MUST_CHECK;
/* Bytes of the next packet. `from` + `bytes` is at most its length. */
void reader_copy(const struct ring_reader *reader, uint32_t from, void *to, uint32_t bytes);
/* The packet of `bytes` without its trailer is done with. */
void reader_skip(struct ring_reader *reader, uint32_t bytes);
/* How much was skipped that the guest has not been told of. */
uint32_t reader_hidden(const struct ring_reader *reader);
/* Tells it. True: the guest waits for that much room and is to be signalled. */
bool reader_show(struct ring_reader *reader) MUST_CHECK;
/* While masked the guest does not signal what it writes. Unmask, then look once more. */
void reader_mask(struct ring_reader *reader, bool masked);

/* 1 if `bytes`, a multiple of 8 with the trailer in it, fit now; 0 if not; -EPROTO. */
int writer_fits(struct ring_writer *writer, uint32_t bytes) MUST_CHECK;
bool writer_could_ever_fit(const struct ring_writer *writer, uint64_t bytes);
/*
 * Copies to `at` bytes after the start of the packet being written, whose room was asked for. A
 * `from` of NULL writes zeros.
 */
void writer_copy(const struct ring_writer *writer, uint32_t at, const void *from, uint32_t bytes);
/* The packet of `bytes` without its trailer is complete: writes the trailer. */
void writer_end(struct ring_writer *writer, uint32_t bytes);
/* Shows the guest what was written. True: it had read everything before that, and is to be
 * signalled. */
bool writer_show(struct ring_writer *writer) MUST_CHECK;
/* The guest has not read all that it was shown; one that says nonsense has not either. */
bool writer_unread(const struct ring_writer *writer);
/* Asks the guest to signal when `bytes` fit; 0 asks for nothing. Ask first, then look once more.
 * False: it was so already, and nothing was written. */
bool writer_want(struct ring_writer *writer, uint32_t bytes);

#endif
