/*
 * Is an initial RAM disk whole? A cut-off one makes a guest fail in ways that point anywhere but at
 * the file.
 *
 * A cpio archive, a zstd and an lz4 stream say the length of each of their parts, and an xz stream
 * has a footer, so these are walked without being unpacked. An initrd is a sequence of such parts;
 * the walk ends, content, at the first that it does not know (gzip among others).
 */
#include <string.h>

#include "worker/loader.h"

#define CPIO_HEADER 110
#define CPIO_FIELDS 8 /* hexadecimal digits of each */

/* What a step of the walk found. */
enum part {
	PART_ENDS,    /* and *at is behind it */
	PART_UNKNOWN, /* no format that we can walk */
	PART_CUT,
};

static bool have(const struct loader *loader, uint64_t at, uint64_t length)
{
	return at <= loader->initrd.size && length <= loader->initrd.size - at;
}

/* Bytes of the file; false where it ends before them. */
static bool peek(struct loader *loader, uint64_t at, void *to, uint64_t length)
{
	return have(loader, at, length) && loader_read(loader, &loader->initrd, at, to, length);
}

static uint64_t hexadecimal(const char *digits)
{
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < CPIO_FIELDS; i++) {
		char c = digits[i] | 0x20;

		value = value << 4 | (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
	}
	return value & UINT32_MAX;
}

static uint64_t round4(uint64_t value)
{
	return (value + 3) & ~3ull;
}

/* "newc" and its form with checksums: headers, names and contents, each padded to 4 bytes, up to
 * the trailer. */
static enum part walk_cpio(struct loader *loader, uint64_t *at)
{
	static const char trailer[] = "TRAILER!!!";
	char header[CPIO_HEADER], name[sizeof(trailer)];

	for (;;) {
		uint64_t name_size, file_size;

		if (!peek(loader, *at, header, sizeof(header)) || memcmp(header, "07070", 5) != 0) {
			return PART_CUT;
		}
		file_size = hexadecimal(header + 54);
		name_size = hexadecimal(header + 94);
		memset(name, 0, sizeof(name));
		if (!have(loader, *at + sizeof(header), name_size) ||
		    !peek(loader, *at + sizeof(header), name,
			  name_size < sizeof(name) ? name_size : sizeof(name))) {
			return PART_CUT;
		}
		*at = round4(*at + sizeof(header) + name_size);
		if (memcmp(name, trailer, sizeof(trailer)) == 0) {
			return PART_ENDS;
		}
		if (!have(loader, *at, file_size)) {
			return PART_CUT;
		}
		*at = round4(*at + file_size);
	}
}

/* RFC 8878, 3.1.1: a frame header of 2 to 14 bytes, blocks with 3 bytes of header each, perhaps 4
 * bytes of checksum. */
static enum part walk_zstd(struct loader *loader, uint64_t *at)
{
	static const uint8_t dictionary[4] = {0, 1, 2, 4}, content[4] = {0, 2, 4, 8};
	uint8_t descriptor, block[3];
	bool last = false;

	if (!peek(loader, *at + 4, &descriptor, 1)) {
		return PART_CUT;
	}
	*at += 5 + dictionary[descriptor & 3] + content[descriptor >> 6];
	if (!(descriptor & 0x20)) {
		*at += 1; /* window */
	} else if (descriptor >> 6 == 0) {
		*at += 1; /* a content size of one byte */
	}
	while (!last) {
		uint32_t word, size;

		if (!peek(loader, *at, block, sizeof(block))) {
			return PART_CUT;
		}
		word = block[0] | (uint32_t)block[1] << 8 | (uint32_t)block[2] << 16;
		last = word & 1;
		/* A run has one byte, however long it is. */
		size = (word >> 1 & 3) == 1 ? 1 : word >> 3;
		*at += sizeof(block) + size;
	}
	*at += descriptor & 4 ? 4 : 0;
	return have(loader, 0, *at) ? PART_ENDS : PART_CUT;
}

#define LZ4_MAGIC 0x184c2102u

/* The legacy frames that kernels use: a magic number, then blocks with 4 bytes of length; no end
 * mark but a length of 0. */
static enum part walk_lz4(struct loader *loader, uint64_t *at)
{
	*at += 4;
	while (*at < loader->initrd.size) {
		uint32_t size;

		if (!peek(loader, *at, &size, sizeof(size))) {
			return PART_CUT;
		}
		*at += 4;
		if (size == LZ4_MAGIC) {
			continue; /* the next frame */
		}
		if (size == 0) {
			return PART_ENDS;
		}
		if (!have(loader, *at, size)) {
			return PART_CUT;
		}
		*at += size;
	}
	return PART_ENDS;
}

/* The stream's footer ends the file, but for zeros. */
static enum part walk_xz(struct loader *loader, uint64_t *at)
{
	uint64_t end = loader->initrd.size;
	uint8_t footer[2], byte = 0;

	while (end > *at && peek(loader, end - 1, &byte, 1) && byte == 0) {
		end--;
	}
	if (end < *at + 2 || !peek(loader, end - 2, footer, 2) || footer[0] != 'Y' ||
	    footer[1] != 'Z') {
		return PART_CUT;
	}
	*at = loader->initrd.size;
	return PART_ENDS;
}

static enum part walk_part(struct loader *loader, uint64_t *at)
{
	uint8_t magic[6] = {0};

	if (!peek(loader, *at, magic,
		  loader->initrd.size - *at < 6 ? loader->initrd.size - *at : 6)) {
		return PART_UNKNOWN;
	}
	if (memcmp(magic, "070701", 6) == 0 || memcmp(magic, "070702", 6) == 0) {
		return walk_cpio(loader, at);
	}
	if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0) {
		return walk_zstd(loader, at);
	}
	if (memcmp(magic, "\x02\x21\x4c\x18", 4) == 0) {
		return walk_lz4(loader, at);
	}
	if (memcmp(magic,
		   "\xfd"
		   "7zXZ\0",
		   6) == 0) {
		return walk_xz(loader, at);
	}
	return PART_UNKNOWN;
}

/* Parts may be padded with zeros. */
static bool skip_zeros(struct loader *loader, uint64_t *at)
{
	uint8_t buffer[4096];

	while (*at < loader->initrd.size) {
		uint64_t left = loader->initrd.size - *at, i;
		uint64_t length = left < sizeof(buffer) ? left : sizeof(buffer);

		if (!peek(loader, *at, buffer, length)) {
			return false;
		}
		for (i = 0; i < length; i++) {
			if (buffer[i] != 0) {
				*at += i;
				return true;
			}
		}
		*at += length;
	}
	return false;
}

bool initrd_complete(struct loader *loader)
{
	uint64_t at = 0;

	while (skip_zeros(loader, &at)) {
		switch (walk_part(loader, &at)) {
		case PART_ENDS:
			break;
		case PART_UNKNOWN:
			return true;
		default:
			return loader_refuse(loader,
					     "--initrd %s: the file is not complete: its archive "
					     "goes on after byte %llu; copy it again",
					     loader->initrd.name,
					     (unsigned long long)loader->initrd.size);
		}
	}
	return true;
}
