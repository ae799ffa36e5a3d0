/*
 * Blocks of memory, packed and unpacked. Plain LZ77 is [MS-XCA] 2.3 (packing) and 2.4: 32 flags
 * come before what they tell of, the highest bit first. 0 is a literal byte; 1 a match, 13 bits of
 * its distance less 1 and 3 of its length less 3. A longer length goes on in half a byte, which two
 * matches share, then a byte, then two. Flags behind the end are ones.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "hvs/format.h"
#include "hvs/hvs.h"

#define MATCH_MIN  3u
#define HASH_BITS  11u
#define SHORT_MAX  7u   /* in the 3 bits: more follows */
#define NIBBLE_MAX 15u  /* in the half byte: more follows */
#define BYTE_MAX   255u /* in the byte: two follow */

static void put_u16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *at, uint32_t value)
{
	put_u16(at, value);
	put_u16(at + 2, value >> 16);
}

static uint32_t get_u16(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8;
}

static uint32_t get_u32(const uint8_t *at)
{
	return get_u16(at) | get_u16(at + 2) << 16;
}

/* ---- packing ---- */

struct lz_output {
	uint8_t *at, *end;
	uint8_t *flags_at; /* where the flags go when there are 32 of them */
	uint32_t flags;
	unsigned int flag_count;
	uint8_t *nibble; /* its upper half is free */
};

/* False: there is no room. */
static bool flag(struct lz_output *out, unsigned int bit)
{
	out->flags = out->flags << 1 | bit;
	out->flag_count++;
	if (out->flag_count < 32) {
		return true;
	}
	put_u32(out->flags_at, out->flags);
	out->flag_count = 0;
	if (out->end - out->at < 4) {
		return false;
	}
	out->flags_at = out->at;
	out->at += 4;
	return true;
}

static void put_length(struct lz_output *out, uint32_t more)
{
	uint32_t nibble = more < NIBBLE_MAX ? more : NIBBLE_MAX;

	if (out->nibble == NULL) {
		out->nibble = out->at;
		*out->at++ = (uint8_t)nibble;
	} else {
		*out->nibble |= (uint8_t)(nibble << 4);
		out->nibble = NULL;
	}
	if (nibble < NIBBLE_MAX) {
		return;
	}
	more -= NIBBLE_MAX;
	if (more < BYTE_MAX) {
		*out->at++ = (uint8_t)more;
		return;
	}
	*out->at++ = BYTE_MAX;
	put_u16(out->at, more + NIBBLE_MAX + SHORT_MAX); /* the whole, less 3 */
	out->at += 2;
}

static bool put_match(struct lz_output *out, uint32_t distance, uint32_t length)
{
	uint32_t rest = length - MATCH_MIN;

	if (out->end - out->at < 6) {
		return false;
	}
	put_u16(out->at, (distance - 1) << 3 | (rest < SHORT_MAX ? rest : SHORT_MAX));
	out->at += 2;
	if (rest >= SHORT_MAX) {
		put_length(out, rest - SHORT_MAX);
	}
	return flag(out, 1);
}

static bool put_literal(struct lz_output *out, uint8_t byte)
{
	if (out->at == out->end) {
		return false;
	}
	*out->at++ = byte;
	return flag(out, 0);
}

static uint32_t hash(const uint8_t *at)
{
	return (get_u16(at) | (uint32_t)at[2] << 16) * 0x9e3779b1u >> (32 - HASH_BITS);
}

static uint32_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
	const uint8_t *from = b;

	while (b < end && *a == *b) {
		a++;
		b++;
	}
	return (uint32_t)(b - from);
}

/* Bytes that the page has become, 0 if it does not get smaller. The latest place of three equal
 * bytes is the only one looked at. */
static uint32_t compress(const uint8_t *page, uint8_t *to)
{
	struct lz_output out = {.at = to + 4, .end = to + HVS_PAGE_BYTES - 1, .flags_at = to};
	uint16_t seen[1u << HASH_BITS] = {0}; /* the place and 1; 0: none yet */
	const uint8_t *end = page + HVS_PAGE_BYTES;
	uint32_t i = 0;

	while (i < HVS_PAGE_BYTES) {
		uint32_t length = 0, before = 0;
		bool fits;

		if (i + MATCH_MIN <= HVS_PAGE_BYTES) {
			uint16_t *place = &seen[hash(page + i)];

			before = *place;
			*place = (uint16_t)(i + 1);
			if (before != 0) {
				length = match_length(page + before - 1, page + i, end);
			}
		}
		if (length >= MATCH_MIN) {
			fits = put_match(&out, i + 1 - before, length);
			i += length;
		} else {
			fits = put_literal(&out, page[i]);
			i++;
		}
		if (!fits) {
			return 0;
		}
	}
	/* The flags that are left: at least one 1 tells that this is the end. */
	put_u32(out.flags_at, (out.flags << (32 - out.flag_count - 1) << 1) |
				      (uint32_t)((1ull << (32 - out.flag_count)) - 1));
	return (uint32_t)(out.at - to);
}

void hvs_pack_begin(struct hvs_packer *packer, uint8_t *to)
{
	packer->at = to;
	packer->end = to + HVS_PACKED_BYTES;
}

static void pack_repeat(struct hvs_packer *packer, const uint8_t value[8])
{
	put_u32(packer->at, HVS_PAGE_REPEAT);
	memcpy(packer->at + 4, value, 8);
	packer->at += 12;
}

void hvs_pack_zeros(struct hvs_packer *packer)
{
	static const uint8_t zero[8];

	CHECK(packer->end - packer->at > HVS_PAGE_BYTES);
	pack_repeat(packer, zero);
}

void hvs_pack_page(struct hvs_packer *packer, const uint8_t page[HVS_PAGE_BYTES])
{
	uint32_t bytes;

	CHECK(packer->end - packer->at > HVS_PAGE_BYTES);
	if (memcmp(page, page + 8, HVS_PAGE_BYTES - 8) == 0) {
		pack_repeat(packer, page);
		return;
	}
	bytes = compress(page, packer->at + 4);
	if (bytes == 0) {
		bytes = HVS_PAGE_BYTES;
		memcpy(packer->at + 4, page, bytes);
	}
	put_u32(packer->at, bytes);
	packer->at += 4 + bytes;
}

uint32_t hvs_pack_end(struct hvs_packer *packer, const uint8_t *to)
{
	do {
		put_u32(packer->at, HVS_PAGES_END);
		packer->at += 4;
		/* A block of this size would be taken for one that is as it was. */
	} while (packer->at - to == HVS_BLOCK_BYTES);
	return (uint32_t)(packer->at - to);
}

/* ---- unpacking ---- */

struct lz_input {
	const uint8_t *at, *end;
	const uint8_t *nibble; /* whose upper half is the next length */
};

/* What follows SHORT_MAX. False: the input ends, or the number is none. */
static bool get_length(struct lz_input *in, uint32_t *length)
{
	uint32_t nibble, more;

	if (in->nibble == NULL) {
		if (in->at == in->end) {
			return false;
		}
		in->nibble = in->at;
		nibble = *in->at++ & NIBBLE_MAX;
	} else {
		nibble = *in->nibble >> 4;
		in->nibble = NULL;
	}
	*length = SHORT_MAX + nibble;
	if (nibble < NIBBLE_MAX) {
		return true;
	}
	if (in->at == in->end) {
		return false;
	}
	more = *in->at++;
	if (more < BYTE_MAX) {
		*length += more;
		return true;
	}
	if (in->end - in->at < 2) {
		return false;
	}
	more = get_u16(in->at);
	in->at += 2;
	if (more < NIBBLE_MAX + SHORT_MAX) {
		return false;
	}
	*length = more;
	return true;
}

/* False: it does not become exactly `bytes` bytes. */
static bool decompress(struct lz_input in, uint8_t *to, uint32_t bytes)
{
	uint32_t done = 0, flags = 0, match, distance, length;
	unsigned int flag_count = 0;

	while (in.at < in.end) {
		if (flag_count == 0) {
			if (in.end - in.at < 4) {
				return false;
			}
			flags = get_u32(in.at);
			in.at += 4;
			flag_count = 32;
			continue;
		}
		flag_count--;
		if ((flags >> flag_count & 1) == 0) {
			if (done == bytes) {
				return false;
			}
			to[done++] = *in.at++;
			continue;
		}
		if (in.end - in.at < 2) {
			return false;
		}
		match = get_u16(in.at);
		in.at += 2;
		distance = (match >> 3) + 1;
		length = match & SHORT_MAX;
		if (length == SHORT_MAX && !get_length(&in, &length)) {
			return false;
		}
		length += MATCH_MIN;
		if (distance > done || length > bytes - done) {
			return false;
		}
		for (; length > 0; length--, done++) {
			to[done] = to[done - distance];
		}
	}
	return done == bytes;
}

static void repeat(uint8_t *to, const uint8_t value[8], uint32_t bytes)
{
	uint32_t i;

	for (i = 0; i < bytes; i += 8) {
		memcpy(to + i, value, 8);
	}
}

/* One page or run. Bytes of the input that it was, 0: it is none. */
static uint32_t unpack_one(const uint8_t *from, uint32_t left, uint8_t *to, uint32_t room,
			   uint32_t *made)
{
	uint32_t mark = get_u32(from), head = 4, bytes = mark, pages;

	*made = HVS_PAGE_BYTES;
	switch (mark) {
	case HVS_PAGE_REPEAT:
		if (left < 12) {
			return 0;
		}
		repeat(to, from + 4, HVS_PAGE_BYTES);
		return 12;
	case HVS_PAGE_REPEATS:
		if (left < 16) {
			return 0;
		}
		pages = get_u32(from + 12);
		if (pages == 0 || pages > room / HVS_PAGE_BYTES) {
			return 0;
		}
		*made = pages * HVS_PAGE_BYTES;
		repeat(to, from + 4, *made);
		return 16;
	case HVS_PAGE_SIZED:
		if (left < 12) {
			return 0;
		}
		*made = get_u32(from + 4);
		bytes = get_u32(from + 8);
		head = 12;
		break;
	default:
		break;
	}
	if (bytes > left - head || *made == 0 || *made > room) {
		return 0;
	}
	if (bytes == *made) {
		memcpy(to, from + head, bytes);
		return head + bytes;
	}
	return decompress((struct lz_input){.at = from + head, .end = from + head + bytes}, to,
			  *made)
		       ? head + bytes
		       : 0;
}

int hvs_unpack(const uint8_t *from, uint32_t size, uint8_t *block)
{
	uint32_t at = 0, done = 0, made, used;

	if (size == HVS_BLOCK_BYTES) {
		memcpy(block, from, size);
		return 0;
	}
	while (size - at >= 4 && done < HVS_BLOCK_BYTES) {
		used = unpack_one(from + at, size - at, block + done, HVS_BLOCK_BYTES - done,
				  &made);
		if (used == 0) {
			return -EINVAL;
		}
		at += used;
		done += made;
	}
	return done == HVS_BLOCK_BYTES && size - at >= 4 && get_u32(from + at) == HVS_PAGES_END
		       ? 0
		       : -EINVAL;
}
