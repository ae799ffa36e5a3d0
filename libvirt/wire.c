/* Records and XDR, see libvirt.h. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/whole.h"
#include "libvirt/libvirt.h"

#define LENGTH_BYTES 4u

/* Words are big-endian, and all is padded to them (RFC 4506, section 3). */
static size_t padded(size_t length)
{
	return (length + 3) & ~(size_t)3;
}

void wire_get_bytes(struct wire_in *in, void *bytes, size_t length)
{
	if (in->bad || padded(length) > (size_t)(in->end - in->at)) {
		in->bad = true;
		memset(bytes, 0, length);
		return;
	}
	memcpy(bytes, in->at, length);
	in->at += padded(length);
}

uint32_t wire_get(struct wire_in *in)
{
	uint32_t value;

	wire_get_bytes(in, &value, sizeof(value));
	return ntohl(value);
}

void wire_get_text(struct wire_in *in, char *text, size_t size)
{
	uint32_t length = wire_get(in);

	text[0] = '\0';
	if (length >= size) {
		in->bad = true;
		return;
	}
	wire_get_bytes(in, text, length);
	text[length] = '\0';
	in->bad |= strlen(text) != length;
}

char *wire_get_string(struct wire_in *in, size_t size)
{
	uint32_t length = wire_get(in);
	char *text = NULL;

	if (length < size && length <= (size_t)(in->end - in->at)) {
		text = malloc((size_t)length + 1);
	}
	if (text == NULL) {
		in->bad = true;
		return NULL;
	}
	wire_get_bytes(in, text, length);
	text[length] = '\0';
	in->bad |= strlen(text) != length;
	return text;
}

char *wire_get_optional(struct wire_in *in, size_t size)
{
	return wire_get(in) != 0 ? wire_get_string(in, size) : NULL;
}

uint64_t wire_get_long(struct wire_in *in)
{
	uint64_t high = wire_get(in);

	return high << 32 | wire_get(in);
}

void wire_put_bytes(struct wire_out *out, const void *bytes, size_t length)
{
	size_t room = out->length + padded(length);
	uint8_t *more;

	if (room > out->room && !out->failed) {
		room = room > 2 * out->room ? room : 2 * out->room;
		more = room <= WIRE_MESSAGE_MAX ? realloc(out->bytes, room) : NULL;
		out->failed = more == NULL;
		out->bytes = more != NULL ? more : out->bytes;
		out->room = more != NULL ? room : out->room;
	}
	if (out->failed) {
		return;
	}
	memset(out->bytes + out->length, 0, padded(length));
	memcpy(out->bytes + out->length, bytes, length);
	out->length += padded(length);
}

void wire_put(struct wire_out *out, uint32_t value)
{
	value = htonl(value);
	wire_put_bytes(out, &value, sizeof(value));
}

void wire_put_long(struct wire_out *out, uint64_t value)
{
	wire_put(out, (uint32_t)(value >> 32));
	wire_put(out, (uint32_t)value);
}

void wire_put_text(struct wire_out *out, const char *text)
{
	wire_put(out, (uint32_t)strlen(text));
	wire_put_bytes(out, text, strlen(text));
}

bool wire_receive(int fd, struct wire_header *header, uint8_t **bytes, size_t *length)
{
	uint32_t words[7]; /* the length counts itself, too */
	size_t whole;

	if (whole_read(fd, words, sizeof(words)) != 0) {
		return false;
	}
	whole = ntohl(words[0]);
	if (whole < sizeof(words) || whole > WIRE_MESSAGE_MAX) {
		return false;
	}
	*header = (struct wire_header){ntohl(words[1]), ntohl(words[2]), ntohl(words[3]),
				       ntohl(words[4]), ntohl(words[5]), ntohl(words[6])};
	*length = whole - sizeof(words);
	*bytes = malloc(*length + 1);
	if (*bytes == NULL) {
		return false;
	}
	if (whole_read(fd, *bytes, *length) != 0) {
		free(*bytes);
		return false;
	}
	return true;
}

bool wire_send(int fd, const struct wire_header *header, const struct wire_out *out)
{
	uint32_t words[7] = {htonl((uint32_t)(sizeof(words) + out->length)),
			     htonl(header->program),
			     htonl(header->version),
			     htonl(header->procedure),
			     htonl(header->type),
			     htonl(header->serial),
			     htonl(header->status)};

	return !out->failed && whole_send(fd, words, sizeof(words)) == 0 &&
	       whole_send(fd, out->bytes, out->length) == 0;
}
