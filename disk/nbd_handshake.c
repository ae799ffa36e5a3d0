/* NBD: the handshake phase. */
#include "disk/nbd.h"

#include "disk/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPTION_MAGIC 0x49484156454f5054ull
#define REPLY_MAGIC  0x0003e889045565a9ull

enum {
	OPT_EXPORT_NAME = 1,
	OPT_ABORT,
	OPT_LIST,
	OPT_INFO = 6,
	OPT_GO,
	OPT_STRUCTURED,
	OPT_LIST_META,
	OPT_SET_META
};
enum { REP_ACK = 1, REP_SERVER, REP_INFO, REP_META };
#define REP_ERROR   0x80000000u
#define REP_UNSUP   (REP_ERROR + 1)
#define REP_INVALID (REP_ERROR + 3)
#define REP_UNKNOWN (REP_ERROR + 6)
enum { INFO_EXPORT = 0, INFO_BLOCK_SIZE = 3 };
enum { FLAG_FIXED_NEWSTYLE = 1, FLAG_NO_ZEROES = 2 };
enum {
	TX_HAS_FLAGS = 1,
	TX_READ_ONLY = 2,
	TX_FLUSH = 4,
	TX_FUA = 8,
	TX_TRIM = 32,
	TX_WRITE_ZEROES = 64,
	TX_DF = 128,
	TX_MULTI_CONN = 256,
};

static const char allocation_context[] = "base:allocation";

/* Queues bytes for the client before the transmission phase. */
static int nbd_send_early(struct nbd_client *client, const void *data, uint32_t length)
{
	if (client->early_length + length > client->early_capacity) {
		uint32_t capacity = client->early_length + length + 1024;
		uint8_t *early = capacity > 65536 ? NULL : realloc(client->early, capacity);

		if (early == NULL) { /* a client that asks on and on and never reads */
			return -ENOBUFS;
		}
		client->early = early;
		client->early_capacity = capacity;
	}
	memcpy(client->early + client->early_length, data, length);
	client->early_length += length;
	return 0;
}

int nbd_greet(struct nbd_client *client)
{
	uint8_t hello[18] = "NBDMAGICIHAVEOPT";

	put_be16(hello + 16, FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES);
	client->phase = NBD_CLIENT_FLAGS;
	return nbd_send_early(client, hello, sizeof(hello));
}

int nbd_take_flags(struct nbd_client *client, const uint8_t *data)
{
	uint32_t flags = get_be32(data);

	/* A client that wants what was not offered would misread all that follows. */
	if (flags & ~(uint32_t)(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)) {
		return -EPROTO;
	}
	client->no_zeroes = flags & FLAG_NO_ZEROES;
	client->phase = NBD_OPTION;
	return 0;
}

static int reply(struct nbd_client *client, uint32_t type, const void *data, uint32_t length)
{
	uint8_t head[20];
	int ret;

	put_be64(head, REPLY_MAGIC);
	put_be32(head + 8, client->option);
	put_be32(head + 12, type);
	put_be32(head + 16, length);
	ret = nbd_send_early(client, head, sizeof(head));
	return ret || !length ? ret : nbd_send_early(client, data, length);
}

static uint16_t transmission_flags(const struct nbd_client *client)
{
	/*
	 * MULTI_CONN: a flush on one connection covers what all have been told is done; there is
	 * one handle behind all of them.
	 */
	uint16_t flags = TX_HAS_FLAGS | TX_FLUSH | TX_FUA | TX_MULTI_CONN;

	flags |= disk_is_read_only(client->disk) ? TX_READ_ONLY : TX_TRIM | TX_WRITE_ZEROES;
	return client->structured ? flags | TX_DF : flags;
}

static bool is_our_export(const struct nbd_client *client, const uint8_t *name, uint32_t length)
{
	const char *own = client->how->export_name != NULL ? client->how->export_name : "";

	return strlen(own) == length && !memcmp(own, name, length);
}

static int export_name(struct nbd_client *client, const uint8_t *name, uint32_t length)
{
	/* With what the first protocol had behind it: 124 zeros, unless both sides do without. */
	uint8_t head[134] = {0};

	if (!is_our_export(client, name, length)) {
		return -ENOENT; /* this old option has no way to say so */
	}
	put_be64(head, disk_size(client->disk));
	put_be16(head + 8, transmission_flags(client));
	client->phase = NBD_REQUEST;
	return nbd_send_early(client, head, client->no_zeroes ? 10 : sizeof(head));
}

static int list_exports(struct nbd_client *client)
{
	const char *own = client->how->export_name != NULL ? client->how->export_name : "";
	uint32_t length = (uint32_t)strlen(own);
	uint8_t entry[4 + 256];
	int ret;

	if (client->option_length || length > 256) {
		return reply(client, REP_INVALID, NULL, 0);
	}
	put_be32(entry, length);
	memcpy(entry + 4, own, length);
	ret = reply(client, REP_SERVER, entry, 4 + length);
	return ret ? ret : reply(client, REP_ACK, NULL, 0);
}

/* INFO and GO: name, then what the client would like to know. */
static int info_or_go(struct nbd_client *client, const uint8_t *data)
{
	uint32_t length = client->option_length,
		 name_length = length >= 6 ? get_be32(data) : UINT32_MAX;
	uint8_t info[14];
	int ret;

	if (length < 6 || name_length > length - 6 ||
	    length - 6 - name_length != 2u * get_be16(data + 4 + name_length)) {
		return reply(client, REP_INVALID, NULL, 0);
	}
	if (!is_our_export(client, data + 4, name_length)) {
		return reply(client, REP_UNKNOWN, NULL, 0);
	}
	put_be16(info, INFO_EXPORT);
	put_be64(info + 2, disk_size(client->disk));
	put_be16(info + 10, transmission_flags(client));
	ret = reply(client, REP_INFO, info, 12);
	put_be16(info, INFO_BLOCK_SIZE);
	/* Least, preferred, most. */
	put_be32(info + 2, 1);
	put_be32(info + 6, 4096);
	put_be32(info + 10, NBD_PAYLOAD_MAX);
	ret = ret ? ret : reply(client, REP_INFO, info, 14);
	ret = ret ? ret : reply(client, REP_ACK, NULL, 0);
	if (!ret && client->option == OPT_GO) {
		client->phase = NBD_REQUEST;
	}
	return ret;
}

/* Does the query name our one context? "base:" asks for all of that space. */
static bool wants_allocation(const uint8_t *query, uint32_t length, bool list)
{
	return (length == sizeof(allocation_context) - 1 &&
		!memcmp(query, allocation_context, length)) ||
	       (list && length == 5 && !memcmp(query, "base:", 5));
}

static int meta_context(struct nbd_client *client, const uint8_t *data)
{
	uint32_t length = client->option_length, at, count, i;
	bool list = client->option == OPT_LIST_META, wanted;
	uint8_t context[4 + sizeof(allocation_context)];
	int ret = 0;

	if (!client->structured || length < 8 || get_be32(data) > length - 8) {
		return reply(client, REP_INVALID, NULL, 0);
	}
	if (!is_our_export(client, data + 4, get_be32(data))) {
		return reply(client, REP_UNKNOWN, NULL, 0);
	}
	at = 4 + get_be32(data);
	count = get_be32(data + at);
	at += 4;
	wanted = list && !count;
	/* Each is read within what the client sent, whatever the counts in it say. */
	for (i = 0; i < count; i++) {
		uint32_t query;

		if (length - at < 4 || get_be32(data + at) > length - at - 4) {
			return reply(client, REP_INVALID, NULL, 0);
		}
		query = get_be32(data + at);
		wanted |= wants_allocation(data + at + 4, query, list);
		at += 4 + query;
	}
	/* The last SET stands: one that does not name it takes it back. */
	if (!list) {
		client->allocation = wanted;
	}
	if (wanted) {
		/* The id by which replies name it; a list has none. */
		put_be32(context, list ? 0 : 1);
		memcpy(context + 4, allocation_context, sizeof(allocation_context) - 1);
		ret = reply(client, REP_META, context, 4 + sizeof(allocation_context) - 1);
	}
	return ret ? ret : reply(client, REP_ACK, NULL, 0);
}

int nbd_take_option(struct nbd_client *client, const uint8_t *data)
{
	if (get_be64(data) != OPTION_MAGIC) {
		return -EPROTO;
	}
	client->option = get_be32(data + 8);
	client->option_length = get_be32(data + 12);
	/* It has to fit into the input buffer. Nothing that is known here is nearly as long. */
	if (client->option_length > NBD_OPTION_MAX) {
		return -EMSGSIZE;
	}
	client->phase = NBD_OPTION_DATA;
	return 0;
}

int nbd_take_option_data(struct nbd_client *client, const uint8_t *data)
{
	client->phase = NBD_OPTION;
	switch (client->option) {
	case OPT_EXPORT_NAME:
		return export_name(client, data, client->option_length);
	case OPT_ABORT:
		client->phase = NBD_CLOSING;
		return reply(client, REP_ACK, NULL, 0);
	case OPT_LIST:
		return list_exports(client);
	case OPT_INFO:
	case OPT_GO:
		return info_or_go(client, data);
	case OPT_STRUCTURED:
		if (client->option_length) {
			return reply(client, REP_INVALID, NULL, 0);
		}
		client->structured = true;
		return reply(client, REP_ACK, NULL, 0);
	case OPT_LIST_META:
	case OPT_SET_META:
		return meta_context(client, data);
	default:
		return reply(client, REP_UNSUP, NULL, 0);
	}
}
