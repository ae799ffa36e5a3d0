/*
 * vlibvirtd: libvirt's remote protocol, for its clients, on the management service's API. One
 * process a client, with that client's rights.
 *
 * What a message is made of: XDR (RFC 4506), in a record with a length and a header of six words
 * (libvirt's docs/kbase/internals/rpc.rst). All that comes is hostile: it is decoded from a buffer
 * whose end is known, and what is missing reads as zero and is remembered.
 */
#ifndef LIBVIRT_LIBVIRT_H
#define LIBVIRT_LIBVIRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "hosted/http.h"
#include "lib/check.h"

#define WIRE_MESSAGE_MAX                                                                           \
	(4u << 20) /* bytes; libvirt's own limit is 32 MiB, for what we do not have */
#define WIRE_STRING_MAX (1u << 20)
#define UUID_BYTES      16

/* virErrorNumber */
enum {
	ERR_INTERNAL = 1,
	ERR_NO_SUPPORT = 3,
	ERR_ARGUMENT = 8,
	ERR_FAILED = 9,
	ERR_XML = 27,
	ERR_DENIED = 29,
	ERR_RPC = 39,
	ERR_NO_DOMAIN = 42,
	ERR_NO_NETWORK = 43,
	ERR_NO_POOL = 49,
	ERR_NO_VOLUME = 50,
	ERR_INVALID = 55,
	ERR_UNSUPPORTED = 67,
	ERR_NO_SNAPSHOT = 72,
	ERR_NO_METADATA = 80,
	ERR_NOT_LIVE = 84,
	ERR_VOLUME_EXISTS = 90,
};

/* ---- wire.c ---- */

struct wire_header {
	uint32_t program, version, procedure, type, serial, status;
};

#define WIRE_PROGRAM 0x20008086u /* REMOTE_PROGRAM */
enum { WIRE_CALL, WIRE_REPLY, WIRE_EVENT, WIRE_STREAM };
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
/* Likewise, which the caller frees. NULL: there is none, or it is longer, or there is no memory;
 * the last two are `bad`. */
char *wire_get_string(struct wire_in *in, size_t size);
/* One that may be absent. */
char *wire_get_optional(struct wire_in *in, size_t size);
uint64_t wire_get_long(struct wire_in *in);
void wire_get_bytes(struct wire_in *in, void *bytes, size_t length);
void wire_put(struct wire_out *out, uint32_t value);
void wire_put_long(struct wire_out *out, uint64_t value);
void wire_put_text(struct wire_out *out, const char *text);
void wire_put_bytes(struct wire_out *out, const void *bytes, size_t length);
/* A record. False: the other side is gone, or says what is none. The bytes are the caller's, behind
 * the header. */
bool wire_receive(int fd, struct wire_header *header, uint8_t **bytes, size_t *length);
bool wire_send(int fd, const struct wire_header *header, const struct wire_out *out);

/* ---- session.c ---- */

struct message;
struct pool;
struct subscription;

/* A client. */
struct session {
	struct http *http;
	const char *socket, *uri;
	int client;
	bool read_only; /* it has said that it changes nothing */
	bool lost;      /* it takes no events any more */
	uint32_t lps;   /* of the host, 0: not asked for yet */
	char *store;    /* the folder of the machines' folders; NULL: not asked for yet */
	/* A console that it looks at: bytes both ways under the head of the call that opened it.
	 * -1: none. */
	int console;
	bool fetches; /* it is no console but a file that is fetched: its end is an empty piece, which the client acknowledges */
	struct wire_header stream;
	struct message *waiting; /* calls that came while another one waited, the first first */
	unsigned int waiting_count;
	/* The events that it wants; a pipe that brings them, -1: none; and what was known of each
	 * machine before, by its id. */
	struct subscription *subscriptions;
	int last_subscription, notes;
	json_t *known;
	struct pool *pools; /* folders that it has named (storage.c) */
};

/* Until the client is gone; its process is nobody else's. */
void session_serve(int client, const char *socket, const char *uri, bool read_only);
/* While a call waits: what has come is taken in, and who asks whether we are there gets an
 * answer. */
void session_attend(struct session *session);

/* ---- events.c ---- */

/* What the pipe has brought. False: the client is gone. */
bool events_tell(struct session *session);
void events_end(struct session *session);

/* ---- calls.c ---- */

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

#define XML_NAMESPACE "urn:verdigris:machine:1"
/* What a document has that is the service's own affair: no XML says it, and a new definition leaves
 * it as it is. */
#define XML_KEPT "start", "start-delay", "stop", "tags", "users", "transient"

/*
 * A machine as libvirt's domain XML, in whose folder its files are (with a number above 0: as it
 * runs, its ports with names), and what the host can do; freed by the caller, NULL: no memory.
 */
char *xml_domain(const json_t *machine, int id, const char *folder);
char *xml_capabilities(const json_t *host);
char *xml_domain_capabilities(void);
char *xml_pool(const char *name, const uint8_t id[UUID_BYTES], const char *path, uint64_t capacity,
	       uint64_t available);

char *xml_network(const char *name, const uint8_t id[UUID_BYTES], size_t connections);

/* A checkpoint, which is called so, made in this second of 1970; "": it has no parent. */
char *xml_snapshot(const json_t *point, const char *name, const char *parent, const char *domain,
		   long long created);

/* A file of a disk, as libvirt knows it: sizes in bytes. */
struct xml_volume {
	const char *name, *path, *format;
	char parent[1024]; /* "": none */
	uint64_t capacity, allocation, physical;
};

char *xml_volume(const struct xml_volume *volume);
/* Whether a member of a document is said by an element of its own, or kept. */
bool xml_says(const char *member);
/* Bytes of RAM that a machine starts with, and that it can have; 0: nothing that can be read. */
uint64_t xml_memory(const json_t *machine);
uint64_t xml_memory_most(const json_t *machine);

#define DRIVE_TARGET 8

bool drive_is_ide(const json_t *disk);
bool drive_is_dvd(const json_t *disk);
/* A disk of a document's list: its place at its controller, and what libvirt calls it ("sda"). */
unsigned int drive_number(const json_t *disks, size_t index);
void drive_target(const json_t *disks, size_t index, char target[DRIVE_TARGET]);
/* By the end of a file's name: "vhdx", "vpc" or NULL. */
const char *drive_format(const char *name);

/* ---- xml_read.c ---- */

struct xml_error {
	int code;
	char text[500];
};

/*
 * The machine that a domain XML describes, as the API has it: a document with its name, and its id
 * if that is given. `store` is the folder of the machines' folders. A device alone is a document
 * with it and nothing else, in a machine's folder. NULL: refused.
 */
json_t *xml_read_domain(const char *text, const char *store, struct xml_error *error);
json_t *xml_read_device(const char *text, const char *folder, struct xml_error *error);

/* A network (name), a pool (name, path), a snapshot (name, notes, memory), or a volume (name,
 * format, backing, capacity and allocation: bytes). */
json_t *xml_read_other(const char *text, const char *root, struct xml_error *error);

/*
 * A machine's metadata are elements of others, one a namespace. The one of this namespace, without
 * it, or NULL; and the whole with another one in its place, or (NULL) without it. False: refused.
 * Both texts are the caller's.
 */
char *xml_metadata_get(const char *metadata, const char *uri);
bool xml_metadata_set(const char *metadata, const char *uri, const char *key, const char *element,
		      char **whole, struct xml_error *error) MUST_CHECK;

#endif
