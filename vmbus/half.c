/*
 * The halves of a ring, see half.h and include/vmbus/ring.h.
 *
 * The data's pages lie anywhere in guest memory; a copy goes page by page and round the end. A
 * packet is usually in one page.
 *
 * Order. Each side stores its index, then looks whether the other waits; each side says that it
 * waits, then looks at the index once more. With a full barrier between the two on both sides at
 * least one of them sees the other: no wake-up is lost.
 */
#include "vmbus/half.h"

#include <errno.h>
#include <string.h>

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool is_index(const struct half *half, uint32_t index)
{
	return index < half->size && index % 8 == 0;
}

static uint32_t advance(const struct half *half, uint32_t index, uint32_t bytes)
{
	index += bytes;
	return index >= half->size ? index - half->size : index;
}

/* From `from` forward to `to`. */
static uint32_t distance(const struct half *half, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : half->size - from + to;
}

static void half_init(struct half *half, uint8_t *const *pages, uint32_t page_count)
{
	half->control = (struct hv_ring_buffer *)pages[0];
	half->pages = pages + 1;
	half->size = (page_count - 1) * VMBUS_PAGE_SIZE;
}

/* What of `bytes` from `index` on lies in the same page. */
static uint32_t piece(uint32_t index, uint32_t bytes)
{
	uint32_t rest = VMBUS_PAGE_SIZE - index % VMBUS_PAGE_SIZE;

	return bytes < rest ? bytes : rest;
}

static uint8_t *at(const struct half *half, uint32_t index)
{
	return half->pages[index / VMBUS_PAGE_SIZE] + index % VMBUS_PAGE_SIZE;
}

/*
 * The 8 bytes at an index: they never cross a page. Not volatile: two of them make one access where
 * they are neighbours; what keeps a value read once is the barrier after it.
 */
static uint64_t *slot(const struct half *half, uint32_t index)
{
	return (uint64_t *)at(half, index);
}

bool reader_init(struct ring_reader *reader, uint8_t *const *pages, uint32_t page_count)
{
	half_init(&reader->half, pages, page_count);
	reader->read = load(&reader->half.control->read_index);
	reader->write = reader->read;
	reader->shown = reader->read;
	return is_index(&reader->half, reader->read);
}

void reader_restore(struct ring_reader *reader, uint8_t *const *pages, uint32_t page_count,
		    uint32_t read)
{
	half_init(&reader->half, pages, page_count);
	reader->read = reader->write = reader->shown = read;
}

/* What was copied is read from the copy from here on, whatever the compiler could see. */
static void forget_source(void)
{
	__asm__ volatile("" ::: "memory");
}

static void copy_descriptor(const struct ring_reader *reader, struct vmpacket_descriptor *to)
{
	uint64_t words[2] = {*slot(&reader->half, reader->read),
			     *slot(&reader->half, advance(&reader->half, reader->read, 8))};

	memcpy(to, words, sizeof(*to));
	forget_source();
}

int reader_next(struct ring_reader *reader, struct vmpacket_descriptor *descriptor)
{
	uint32_t available, bytes;

	if (reader->read == reader->write) {
		reader->write = load(&reader->half.control->write_index);
		if (!is_index(&reader->half, reader->write)) {
			reader->write = reader->read;
			return -EPROTO;
		}
	}
	available = distance(&reader->half, reader->read, reader->write);
	if (available == 0) {
		return 0;
	}
	if (available < sizeof(*descriptor) + RING_TRAILER_BYTES) {
		return -EPROTO;
	}
	copy_descriptor(reader, descriptor);
	bytes = descriptor->len8 * 8u;
	if (bytes < sizeof(*descriptor) || bytes > available - RING_TRAILER_BYTES ||
	    descriptor->offset8 * 8u < sizeof(*descriptor) ||
	    descriptor->offset8 > descriptor->len8) {
		return -EPROTO;
	}
	return 1;
}

void reader_copy(const struct ring_reader *reader, uint32_t from, void *to, uint32_t bytes)
{
	uint32_t index = advance(&reader->half, reader->read, from);
	uint8_t *out = to;

	while (bytes > 0) {
		uint32_t part = piece(index, bytes);

		memcpy(out, at(&reader->half, index), part);
		out += part;
		bytes -= part;
		index = advance(&reader->half, index, part);
	}
	forget_source();
}

void reader_skip(struct ring_reader *reader, uint32_t bytes)
{
	reader->read = advance(&reader->half, reader->read, bytes + RING_TRAILER_BYTES);
}

uint32_t reader_hidden(const struct ring_reader *reader)
{
	return distance(&reader->half, reader->shown, reader->read);
}

bool reader_show(struct ring_reader *reader)
{
	struct hv_ring_buffer *control = reader->half.control;
	uint32_t hidden = reader_hidden(reader);
	uint32_t pending, write, free_now;

	if (hidden == 0) {
		return false;
	}
	store(&control->read_index, reader->read);
	reader->shown = reader->read;
	barrier();
	pending = load(&control->pending_send_sz);
	if (pending == 0) {
		return false;
	}
	write = load(&control->write_index);
	if (!is_index(&reader->half, write)) {
		return false; /* reader_next() will see it */
	}
	/* Only the step from too little room to enough is worth a signal. */
	free_now = reader->half.size - distance(&reader->half, reader->read, write);
	return free_now > pending && (free_now < hidden || free_now - hidden <= pending);
}

void reader_mask(struct ring_reader *reader, bool masked)
{
	store(&reader->half.control->interrupt_mask, masked);
	barrier();
}

bool writer_init(struct ring_writer *writer, uint8_t *const *pages, uint32_t page_count)
{
	half_init(&writer->half, pages, page_count);
	writer->write = load(&writer->half.control->write_index);
	writer->read = load(&writer->half.control->read_index);
	writer->shown = writer->write;
	writer->waits = false;
	store(&writer->half.control->feature_bits, HV_RING_FEATURE_PENDING_SEND_SIZE);
	store(&writer->half.control->pending_send_sz, 0);
	return is_index(&writer->half, writer->write) && is_index(&writer->half, writer->read);
}

void writer_restore(struct ring_writer *writer, uint8_t *const *pages, uint32_t page_count,
		    uint32_t write, uint32_t read, bool waits)
{
	half_init(&writer->half, pages, page_count);
	writer->write = writer->shown = write;
	writer->read = read;
	writer->waits = waits;
}

/* Never to the last byte: full would be empty. */
static bool room(const struct ring_writer *writer, uint32_t bytes)
{
	return writer->half.size - distance(&writer->half, writer->read, writer->write) > bytes;
}

int writer_fits(struct ring_writer *writer, uint32_t bytes)
{
	uint32_t read;

	if (room(writer, bytes)) {
		return 1;
	}
	read = load(&writer->half.control->read_index);
	/* The guest reads no further than we have written. */
	if (!is_index(&writer->half, read) ||
	    distance(&writer->half, read, writer->write) >
		    distance(&writer->half, writer->read, writer->write)) {
		return -EPROTO;
	}
	writer->read = read;
	return room(writer, bytes);
}

bool writer_could_ever_fit(const struct ring_writer *writer, uint64_t bytes)
{
	return bytes < writer->half.size;
}

void writer_copy(const struct ring_writer *writer, uint32_t offset, const void *from,
		 uint32_t bytes)
{
	uint32_t index = advance(&writer->half, writer->write, offset);
	const uint8_t *in = from;

	while (bytes > 0) {
		uint32_t part = piece(index, bytes);

		if (in != NULL) {
			memcpy(at(&writer->half, index), in, part);
			in += part;
		} else {
			memset(at(&writer->half, index), 0, part);
		}
		bytes -= part;
		index = advance(&writer->half, index, part);
	}
}

void writer_end(struct ring_writer *writer, uint32_t bytes)
{
	struct vmpacket_trailer trailer = {.offset = writer->write};
	uint32_t end = advance(&writer->half, writer->write, bytes);

	memcpy(slot(&writer->half, end), &trailer, sizeof(trailer));
	writer->write = advance(&writer->half, end, RING_TRAILER_BYTES);
}

bool writer_show(struct ring_writer *writer)
{
	struct hv_ring_buffer *control = writer->half.control;
	uint32_t before = writer->shown;

	if (writer->write == before) {
		return false;
	}
	store(&control->write_index, writer->write);
	writer->shown = writer->write;
	barrier();
	/* The mask before the index: who unmasks looks at our index after it. */
	return load(&control->interrupt_mask) == 0 && load(&control->read_index) == before;
}

bool writer_unread(const struct ring_writer *writer)
{
	return load(&writer->half.control->read_index) != writer->shown;
}

bool writer_want(struct ring_writer *writer, uint32_t bytes)
{
	if (bytes == 0 && !writer->waits) {
		return false;
	}
	store(&writer->half.control->pending_send_sz, bytes);
	writer->waits = bytes != 0;
	barrier();
	return true;
}
