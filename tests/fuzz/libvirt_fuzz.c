/* Calls of libvirt's clients that are any bytes: each is answered by a reply that can be read to
 * its end, or by an error. */
#include <stdlib.h>
#include <string.h>

#include "libvirt/call.h"
#include "tests/fuzz/fuzz.h"

static bool absent;

/* The service, as far as these calls see it. */
json_t *http_ask(struct http *http, const char *method, const char *path, json_t *body)
{
	(void)http;
	EXPECT(strlen(path) < 512 &&
	       (strcmp(method, "GET") == 0 || strncmp(path, "/v1/machines", 12) == 0 ||
		strncmp(path, "/v1/switches", 12) == 0));
	json_decref(body);
	if (absent) {
		return NULL;
	}
	if (strcmp(path, "/v1/host") == 0) {
		/* Nothing is made or deleted there. */
		return json_pack("{s:s, s:i, s:i, s:s}", "name", "h", "lps", 2, "memory", 1 << 30,
				 "store", "/nowhere/at/all");
	}
	if (strcmp(path, "/v1/machines") == 0) {
		return json_pack("{s:[{s:s, s:s, s:s}]}", "machines", "name", "a", "state",
				 "running", "id", "3284ad52-0a77-4812-aa50-d3f93b1c06c9");
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:[{}, {s:s}], s:[{s:s}]}}", "name",
			 "<a>", "state", "done", "memory", "1G", "id",
			 "3284ad52-0a77-4812-aa50-d3f93b1c06c9", "document", "notes", "&",
			 "metadata", "<x xmlns='urn:x'/>", "disks", "controller", "ide", "networks",
			 "switch", "lan");
}

const char *http_code(const struct http *http)
{
	(void)http;
	return "not-found";
}

const char *http_detail(const struct http *http)
{
	(void)http;
	return "there is none";
}

struct http *http_open(const char *socket, bool says)
{
	(void)socket;
	(void)says;
	return NULL;
}

bool http_follow(struct http *http, bool (*event)(void *user, const char *name, const json_t *data),
		 void (*opened)(void *user), void *user)
{
	(void)http;
	(void)event;
	(void)opened;
	(void)user;
	return false;
}

int http_console(const char *socket, const char *path)
{
	(void)socket;
	EXPECT(strlen(path) < 512);
	return -1;
}

char *http_escape(const struct http *http, const char *segment)
{
	(void)http;
	EXPECT(strlen(segment) <= 64);
	return strdup("x");
}

/* A call of a domain with a device of it, as those are that attach and detach. */
static size_t put_device(uint8_t *into, uint8_t which)
{
	static const char *const devices[] = {
		"<disk type='file'><source file='/a'/><target dev='sda'/></disk>",
		"<disk type='file' device='cdrom'><target dev='hda'/></disk>",
		"<interface type='network'><source network='lan'/></interface>",
		"<serial type='pty'/>",
	};
	static const uint8_t domain[] = {0, 0, 0, 1, 'a', 0, 0, 0, 1, 2, 3, 4, 5, 6,
					 7, 8, 9, 1, 2,   3, 4, 5, 6, 7, 0, 0, 0, 1};
	const char *device = devices[which % ARRAY_COUNT(devices)];

	memset(into, 0, 128);
	memcpy(into, domain, sizeof(domain));
	into[sizeof(domain) + 3] = (uint8_t)strlen(device);
	memcpy(into + sizeof(domain) + 4, device, strlen(device));
	return sizeof(domain) + 4 + (strlen(device) + 3) / 4 * 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session session = {
		.uri = "verdigris:///system", .client = -1, .console = -1, .notes = -1};
	struct wire_header header = {0x20008086, 1, 0, 0, 1, 0}, answer;
	struct wire_out out = {0};
	struct wire_in in;
	uint8_t *copy, call[128];

	if (size < 3) {
		return 0;
	}
	absent = data[0] & 1;
	header.procedure = data[1] + (data[0] & 2 ? 256u : 0);
	header.type = data[0] & 4 ? data[0] >> 3 & 7 : 0;
	/* Of its own size, so that a byte too far is seen. */
	if (data[0] & 0x40 && size > 3) {
		size_t length = put_device(call, data[2]);

		copy = malloc(length + size - 3);
		EXPECT(copy != NULL);
		memcpy(copy, call, length);
		memcpy(copy + length, data + 3, size - 3);
		size = length + size - 3;
	} else {
		copy = malloc(size - 2);
		EXPECT(copy != NULL);
		memcpy(copy, data + 2, size - 2);
		size -= 2;
	}
	in = (struct wire_in){copy, copy + size, false};
	(void)call_serve(&session, &header, &in, &out, &answer);
	EXPECT(!out.failed && out.length % 4 == 0 && out.length < 1 << 16);
	EXPECT(answer.type == WIRE_REPLY && answer.serial == 1 && in.at <= in.end);
	EXPECT(answer.status == WIRE_OK || out.length >= 40);
	free(out.bytes);
	free(session.store);
	events_end(&session);
	storage_end(&session);
	free(copy);
	return 0;
}
