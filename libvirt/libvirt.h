/*
 * vlibvirtd: libvirt's remote protocol, for its clients, on the management service's API. One process a client, with that client's rights.
 *
 * What a message is made of: XDR (RFC 4506), in a record with a length and a header of six words (libvirt's docs/kbase/internals/rpc.rst).
 * All that comes is hostile: it is decoded from a buffer whose end is known, and what is missing reads as zero and is remembered.
 */
#ifndef LIBVIRT_LIBVIRT_H
#define LIBVIRT_LIBVIRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "hosted/http.h"

#define WIRE_MESSAGE_MAX                                                                           \
	(4u << 20) /* bytes; libvirt's own limit is 32 MiB, for what we do not have */
#define WIRE_STRING_MAX (1u << 20)
#define UUID_BYTES      16

/* ---- wire.c ---- */

struct wire_header {
	uint32_t program, version, procedure, type, serial, status;
};

enum { WIRE_CALL, WIRE_REPLY, WIRE_STREAM = 3 };
enum { WIRE_OK, WIRE_ERROR, WIRE_CONTINUE };

/* What is read. `bad`: it was not what it should be. */
struct wire_in {
	const uint8_t *at, *end;
	bool bad;
};

/* What is written; grows. `failed`: there was no memory. */
struct wire_out {
	uint8_t *bytes;
	size_t length, room;
	bool failed;
};

uint32_t wire_get(struct wire_in *in);
/* A text of at most `size` - 1 bytes without a zero. */
void wire_get_text(struct wire_in *in, char *text, size_t size);
void wire_get_bytes(struct wire_in *in, void *bytes, size_t length);
void wire_put(struct wire_out *out, uint32_t value);
void wire_put_long(struct wire_out *out, uint64_t value);
void wire_put_text(struct wire_out *out, const char *text);
void wire_put_bytes(struct wire_out *out, const void *bytes, size_t length);
/* A record. False: the other side is gone, or says what is none. The bytes are the caller's, behind the header. */
bool wire_receive(int fd, struct wire_header *header, uint8_t **bytes, size_t *length);
bool wire_send(int fd, const struct wire_header *header, const struct wire_out *out);

/* ---- calls.c ---- */

/* A client. */
struct session {
	struct http *http;
	const char *socket, *uri;
	/* A console that it looks at: bytes both ways under the head of the call that opened it. -1: none. */
	int console;
	struct wire_header stream;
};

/* Answers one call; false: the client has said that it goes. */
bool call_serve(struct session *session, const struct wire_header *header, struct wire_in *in,
		struct wire_out *out, struct wire_header *answer);

/* A member that is a text, or "". */
static inline const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

/* ---- xml.c ---- */

/* A machine as libvirt's domain XML, and the host's capabilities; freed by the caller, NULL: no memory. */
char *xml_domain(const json_t *machine, int id);
char *xml_capabilities(const json_t *host);
/* Bytes of RAM that a document says, 0: nothing that can be read. */
uint64_t xml_memory(const json_t *machine);

#endif
