/* See preconnect.h. */
#include "web/preconnect.h"

#include <string.h>

/* A preconnection PDU: size, flags, version, id, little-endian; from version 2 on a text of UTF-16,
 * its length in characters before it. */
#define PRECONNECT_V1 16u
#define PRECONNECT_V2 18u

/* TPKT, and X.224's connection request without its variable part. */
#define TPKT_VERSION  3
#define TPKT_BYTES    4u
#define REQUEST_BYTES 11u
#define X224_REQUEST  0xe0
#define X224_CONFIRM  0xd0

#define NEGOTIATION_BYTES   8u
#define NEGOTIATION_REQUEST 1
#define NEGOTIATION_ANSWER  2
#define NEGOTIATION_FAILURE 3

#define EXTENDED_CLIENT_DATA 1 /* flags */
#define TLS_REQUIRED         1 /* a reason */

static uint32_t get_le16(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
}

static uint32_t get_le32(const uint8_t *bytes)
{
	return get_le16(bytes) | get_le16(bytes + 2) << 16;
}

size_t preconnect_length(const uint8_t head[PRECONNECT_HEAD])
{
	uint32_t length = get_le32(head);

	return length >= PRECONNECT_V1 && length <= PRECONNECT_MAX ? length : 0;
}

/* A name or an id, in ASCII; what VMConnect says behind a semicolon is no part of it. */
static bool read_name(const uint8_t *text, size_t count, char machine[MACHINE_MAX])
{
	size_t i;

	for (i = 0; i < count; i++) {
		uint32_t character = get_le16(text + 2 * i);

		if (character == 0 || character == ';') {
			break;
		}
		if (character < ' ' || character > '~' || i + 1 >= MACHINE_MAX) {
			return false;
		}
		machine[i] = (char)character;
	}
	machine[i] = '\0';
	return true;
}

bool preconnect_read(const uint8_t *pdu, size_t size, char machine[MACHINE_MAX])
{
	uint32_t version, count;

	machine[0] = '\0';
	if (size < PRECONNECT_V1 || get_le32(pdu) != size || get_le32(pdu + 4) != 0) {
		return false;
	}
	version = get_le32(pdu + 8);
	if (version == 1) {
		return size == PRECONNECT_V1;
	}
	if (version != 2 || size < PRECONNECT_V2) {
		return false;
	}
	count = get_le16(pdu + PRECONNECT_V1);
	return 2 * count <= size - PRECONNECT_V2 && read_name(pdu + PRECONNECT_V2, count, machine);
}

size_t request_length(const uint8_t head[REQUEST_HEAD])
{
	size_t length = (size_t)head[2] << 8 | head[3];

	return head[0] == TPKT_VERSION && length >= REQUEST_BYTES && length <= REQUEST_MAX ? length
											   : 0;
}

/* Before the negotiation there may be a line: a cookie, or a token. */
bool request_read(const uint8_t *pdu, size_t size, uint32_t *protocols)
{
	size_t at = REQUEST_BYTES, i;

	*protocols = 0;
	if (size < REQUEST_BYTES || request_length(pdu) != size ||
	    pdu[TPKT_BYTES] != size - TPKT_BYTES - 1 || pdu[TPKT_BYTES + 1] != X224_REQUEST) {
		return false;
	}
	for (i = at; i + 1 < size && pdu[at] != NEGOTIATION_REQUEST; i++) {
		if (pdu[i] == '\r' && pdu[i + 1] == '\n') {
			at = i + 2;
			break;
		}
	}
	if (size - at >= NEGOTIATION_BYTES && pdu[at] == NEGOTIATION_REQUEST &&
	    get_le16(pdu + at + 2) == NEGOTIATION_BYTES) {
		*protocols = get_le32(pdu + at + 4);
	}
	return true;
}

void confirm_write(bool tls, uint8_t pdu[CONFIRM_BYTES])
{
	memset(pdu, 0, CONFIRM_BYTES);
	pdu[0] = TPKT_VERSION;
	pdu[3] = CONFIRM_BYTES;
	pdu[4] = CONFIRM_BYTES - TPKT_BYTES - 1;
	pdu[5] = X224_CONFIRM;
	pdu[11] = tls ? NEGOTIATION_ANSWER : NEGOTIATION_FAILURE;
	pdu[12] = tls ? EXTENDED_CLIENT_DATA : 0;
	pdu[13] = NEGOTIATION_BYTES;
	pdu[15] = tls ? PROTOCOL_TLS : TLS_REQUIRED;
}
