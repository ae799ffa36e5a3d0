/* Identities, CRC-32C (RFC 3720, appendix B.4) and UTF-16. */
#include "disk/bytes.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void guid_random(struct guid *guid)
{
	ssize_t n = getrandom(guid->bytes, sizeof(guid->bytes), 0);

	if (n != (ssize_t)sizeof(guid->bytes)) {
		abort(); /* getrandom of 16 bytes cannot fail on the kernels that have io_uring */
	}
	guid->bytes[7] = (guid->bytes[7] & 0x0f) | 0x40; /* RFC 4122: version 4, variant 1 */
	guid->bytes[8] = (guid->bytes[8] & 0x3f) | 0x80;
}

static void print_bytes(const uint8_t *b, const uint8_t order[16], char text[GUID_TEXT])
{
	static const char hex[] = "0123456789abcdef";
	unsigned i;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10) {
			*text++ = '-';
		}
		*text++ = hex[b[order[i]] >> 4];
		*text++ = hex[b[order[i]] & 15];
	}
	*text = 0;
}

static const uint8_t mixed_order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t plain_order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

void guid_print(const struct guid *guid, char text[GUID_TEXT])
{
	print_bytes(guid->bytes, mixed_order, text);
}

void guid_print_be(const uint8_t bytes[16], char text[GUID_TEXT])
{
	print_bytes(bytes, plain_order, text);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_bytes(const char *text, const uint8_t order[16], uint8_t bytes[16])
{
	unsigned i;

	if (*text == '{') {
		text++;
	}
	for (i = 0; i < 16; i++) {
		int high, low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-') {
			return -EINVAL;
		}
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0) {
			return -EINVAL;
		}
		bytes[order[i]] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return *text == 0 || (*text == '}' && text[1] == 0) ? 0 : -EINVAL;
}

int guid_parse(const char *text, struct guid *guid)
{
	return parse_bytes(text, mixed_order, guid->bytes);
}

int guid_parse_be(const char *text, uint8_t bytes[16])
{
	return parse_bytes(text, plain_order, bytes);
}

bool guid_is_zero(const struct guid *guid)
{
	return is_all_zero(guid->bytes, sizeof(guid->bytes));
}

static uint32_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_fill(void)
{
	unsigned i, k;

	for (i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (k = 0; k < 8; k++) {
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
		}
		crc_table[0][i] = crc;
	}
	for (i = 0; i < 256; i++) {
		for (k = 1; k < 8; k++) {
			uint32_t crc = crc_table[k - 1][i];

			crc_table[k][i] = crc >> 8 ^ crc_table[0][crc & 0xff];
		}
	}
}

static uint32_t crc_by_table(uint32_t crc, const uint8_t *p, size_t length)
{
	pthread_once(&crc_once, crc_fill);
	for (; length >= 8; length -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		word ^= crc;
		crc = crc_table[7][word & 0xff] ^ crc_table[6][word >> 8 & 0xff] ^
		      crc_table[5][word >> 16 & 0xff] ^ crc_table[4][word >> 24 & 0xff] ^
		      crc_table[3][word >> 32 & 0xff] ^ crc_table[2][word >> 40 & 0xff] ^
		      crc_table[1][word >> 48 & 0xff] ^ crc_table[0][word >> 56];
	}
	while (length--) {
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p++) & 0xff];
	}
	return crc;
}

__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t crc, const uint8_t *p,
								     size_t length)
{
	uint64_t wide = crc;

	for (; length >= 8; length -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	while (length--) {
		crc = __builtin_ia32_crc32qi(crc, *p++);
	}
	return crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t length)
{
	return __builtin_cpu_supports("sse4.2") ? ~crc_by_instruction(~crc, data, length)
						: ~crc_by_table(~crc, data, length);
}

bool is_all_zero(const void *data, size_t length)
{
	const uint8_t *p = data;

	/* A buffer that begins with 16 zeros and equals itself shifted by 16 is zero throughout. */
	for (; length && length % 16; length--) {
		if (p[length - 1]) {
			return false;
		}
	}
	if (!length) {
		return true;
	}
	return !memcmp(p, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) && !memcmp(p, p + 16, length - 16);
}

static unsigned get_unit(const uint8_t *p, bool big_endian)
{
	return big_endian ? p[0] << 8 | p[1] : p[1] << 8 | p[0];
}

static size_t put_utf8(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = 0x80 | (c & 0x3f);
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = 0x80 | (c >> 6 & 0x3f);
		out[2] = 0x80 | (c & 0x3f);
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = 0x80 | (c >> 12 & 0x3f);
	out[2] = 0x80 | (c >> 6 & 0x3f);
	out[3] = 0x80 | (c & 0x3f);
	return 4;
}

int utf16_to_utf8(const uint8_t *in, size_t units, bool big_endian, char *out, size_t size)
{
	size_t i;

	for (i = 0; i < units; i++) {
		uint32_t c = get_unit(in + 2 * i, big_endian);
		uint8_t bytes[4];
		size_t n;

		if (c >= 0xdc00 && c < 0xe000) {
			return -EILSEQ;
		}
		if (c >= 0xd800 && c < 0xdc00) {
			uint32_t low = i + 1 < units ? get_unit(in + 2 * ++i, big_endian) : 0;

			if (low < 0xdc00 || low >= 0xe000) {
				return -EILSEQ;
			}
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		}
		if (!c) {
			break;
		}
		n = put_utf8(c, bytes);
		if (n + 1 > size) {
			return -ENAMETOOLONG;
		}
		memcpy(out, bytes, n);
		out += n;
		size -= n;
	}
	if (!size) {
		return -ENAMETOOLONG;
	}
	*out = 0;
	return 0;
}

/* One code point of well-formed UTF-8, or 0 at the end, or UINT32_MAX. */
static uint32_t get_utf8(const char **text)
{
	const uint8_t *p = (const uint8_t *)*text;
	unsigned extra = p[0] < 0x80   ? 0
			 : p[0] < 0xc2 ? 9
			 : p[0] < 0xe0 ? 1
			 : p[0] < 0xf0 ? 2
			 : p[0] < 0xf5 ? 3
				       : 9;
	uint32_t c = extra ? p[0] & (0x3f >> extra) : p[0];
	unsigned i;

	if (extra == 9) {
		return UINT32_MAX;
	}
	for (i = 1; i <= extra; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			return UINT32_MAX;
		}
		c = c << 6 | (p[i] & 0x3f);
	}
	*text += extra + 1;
	return (c >= 0xd800 && c < 0xe000) || c > 0x10ffff ? UINT32_MAX : c;
}

static void put_unit(uint32_t unit, bool big_endian, uint8_t *out)
{
	out[big_endian ? 0 : 1] = (uint8_t)(unit >> 8);
	out[big_endian ? 1 : 0] = (uint8_t)unit;
}

int utf8_to_utf16(const char *in, bool big_endian, uint8_t *out, size_t size)
{
	size_t used = 0;
	uint32_t c;

	while ((c = *in ? get_utf8(&in) : 0)) {
		size_t n = c >= 0x10000 ? 4 : 2;

		if (c == UINT32_MAX) {
			return -EILSEQ;
		}
		if (used + n > size) {
			return -ENAMETOOLONG;
		}
		if (n == 4) {
			put_unit(0xd800 + ((c - 0x10000) >> 10), big_endian, out + used);
			put_unit(0xdc00 + ((c - 0x10000) & 0x3ff), big_endian, out + used + 2);
		} else {
			put_unit(c, big_endian, out + used);
		}
		used += n;
	}
	return (int)used;
}
