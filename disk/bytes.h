/*
 * bytes.c: identities, checksums, text.
 */
#ifndef DISK_BYTES_H
#define DISK_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guid {
	uint8_t bytes[16]; /* as in the file: first three parts little-endian */
};

#define GUID_TEXT 37

void guid_random(struct guid *guid);
void guid_print(const struct guid *guid, char text[GUID_TEXT]);
void guid_print_be(const uint8_t bytes[16], char text[GUID_TEXT]); /* VHD: plain byte order */
int guid_parse(const char *text, struct guid *guid);               /* with or without braces */
int guid_parse_be(const char *text, uint8_t bytes[16]);
bool guid_is_zero(const struct guid *guid);

uint32_t crc32c(uint32_t crc, const void *data, size_t length); /* start with 0; may be continued */
bool is_all_zero(const void *data, size_t length);

/*
 * UTF-16 of n units to UTF-8; -EILSEQ when ill-formed, -ENAMETOOLONG when out (of `size` bytes) is
 * too small.
 */
int utf16_to_utf8(const uint8_t *in, size_t units, bool big_endian, char *out, size_t size);

/* Returns the number of bytes written, or -EILSEQ, -ENAMETOOLONG. */
int utf8_to_utf16(const char *in, bool big_endian, uint8_t *out, size_t size);

#endif
