/*
 * A request to the management service, and the head of what it answers. HTTP/1.0, so that a body
 * ends with its length or with the connection; 1.1 for a connection that is to become a console.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <jansson.h>

#include "include/mgmt/service.h"
#include "web/web.h"

#define HEAD_ROOM      4096
#define URI_MAX        2048
#define ANSWER_SECONDS (2 * SERVICE_WAIT_MAX) /* of silence; it answers earlier */

bool forward_is_path(const char *uri)
{
	size_t length = strlen(uri);

	if (length > URI_MAX || strncmp(uri, "/v1", 3) != 0 || strchr("/?", uri[3]) == NULL) {
		return false;
	}
	for (size_t i = 0; i < length; i++) {
		if (uri[i] <= ' ' || uri[i] >= 0x7f) {
			return false;
		}
	}
	return true;
}

bool forward_machine(const char *machine, const char *what, char uri[SCREEN_URI_MAX])
{
	static const char before[] = "/v1/machines/";
	size_t length = sizeof(before) - 1;

	if (machine[0] == '\0' || strlen(machine) >= MACHINE_MAX) {
		return false;
	}
	memcpy(uri, before, sizeof(before));
	for (; *machine != '\0'; machine++) {
		length += (size_t)snprintf(uri + length, SCREEN_URI_MAX - length, "%%%02X",
					   (unsigned char)*machine);
	}
	snprintf(uri + length, SCREEN_URI_MAX - length, "/%s", what);
	return true;
}

bool forward_screen(const char *name, const char *what, char user[USER_MAX],
		    char uri[SCREEN_URI_MAX])
{
	const char *at = strrchr(name, '@');

	if (at == NULL || at == name || (size_t)(at - name) >= USER_MAX) {
		return false;
	}
	memcpy(user, name, (size_t)(at - name));
	user[at - name] = '\0';
	return forward_machine(at + 1, what, uri);
}

/* The value of a header's line, if it is of this name; cut where there is no room. */
static bool take_value(const char *line, size_t length, const char *name, char *value, size_t room)
{
	size_t skip = strlen(name);

	if (length <= skip || line[skip] != ':' || strncasecmp(line, name, skip) != 0) {
		return false;
	}
	for (skip++; skip < length && line[skip] == ' '; skip++) {
	}
	snprintf(value, room, "%.*s", (int)(length - skip), line + skip);
	return true;
}

bool head_parse(const char *text, struct head *head)
{
	const char *line = text;
	char number[24];
	char *end;

	*head = (struct head){.length = -1};
	if (strncmp(text, "HTTP/1.", 7) != 0 || text[7] == '\0' || text[8] != ' ') {
		return false;
	}
	head->status = (unsigned int)strtoul(text + 9, NULL, 10);
	while ((line = strstr(line, "\r\n")) != NULL) {
		size_t length = strcspn(line += 2, "\r\n");

		if (take_value(line, length, "Content-Length", number, sizeof(number))) {
			head->length = strtoll(number, &end, 10);
			if (end == number || *end != '\0' || head->length < 0) {
				return false;
			}
		}
		(void)(take_value(line, length, "Content-Type", head->type, sizeof(head->type)) ||
		       take_value(line, length, "Location", head->location,
				  sizeof(head->location)) ||
		       take_value(line, length, "ETag", head->etag, sizeof(head->etag)));
	}
	return head->status >= 100 && head->status < 600;
}

bool forward_send(int fd, const char *bytes, size_t length)
{
	ssize_t sent;

	while (length != 0) {
		sent = send(fd, bytes, length, MSG_NOSIGNAL);
		if (sent <= 0) {
			return false;
		}
		bytes += sent;
		length -= (size_t)sent;
	}
	return true;
}

/* Byte for byte: what is behind it is somebody else's to read. */
bool forward_end(int fd, struct head *head)
{
	char text[HEAD_ROOM];
	size_t length = 0;

	while (length + 1 < sizeof(text) && recv(fd, text + length, 1, 0) == 1) {
		text[++length] = '\0';
		if (length >= 4 && strcmp(text + length - 4, "\r\n\r\n") == 0) {
			return head_parse(text, head);
		}
	}
	return false;
}

static void limit_silence(int fd)
{
	const struct timeval most = {.tv_sec = ANSWER_SECONDS};

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
}

bool forward_limit(int fd, const char *machine)
{
	json_t *body = json_pack("{s:s}", "machine", machine);
	char *text = json_dumps(body, JSON_COMPACT), head_text[128], rest[512];
	struct head head = {.status = 0};
	bool done = false;
	int size;

	json_decref(body);
	if (text != NULL) {
		limit_silence(fd);
		size = snprintf(head_text, sizeof(head_text),
				"POST /v1/connection HTTP/1.1\r\nHost: localhost\r\n"
				"Content-Length: %zu\r\n\r\n",
				strlen(text));
		done = forward_send(fd, head_text, (size_t)size) &&
		       forward_send(fd, text, strlen(text)) && forward_end(fd, &head) &&
		       head.status == 200 && head.length > 0 &&
		       head.length <= (long long)sizeof(rest) &&
		       recv(fd, rest, (size_t)head.length, MSG_WAITALL) == head.length;
	}
	free(text);
	return done;
}

bool forward_begin(int fd, const char *uri, uint64_t length, struct head *head)
{
	char text[URI_MAX + 256];
	int size = snprintf(text, sizeof(text),
			    "PUT %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
			    "Content-Length: %llu\r\nExpect: 100-continue\r\n\r\n",
			    uri, (unsigned long long)length);

	limit_silence(fd);
	return size > 0 && (size_t)size < sizeof(text) && forward_send(fd, text, (size_t)size) &&
	       forward_end(fd, head);
}

bool forward_ask(int fd, const char *method, const char *uri, const char *match, const char *body,
		 size_t length, bool upgrade, struct head *head)
{
	char text[HEAD_ROOM + URI_MAX];
	int size = snprintf(
		text, sizeof(text),
		"%s %s HTTP/1.%d\r\nHost: localhost\r\nContent-Length: %zu\r\n%s%s%s%s\r\n", method,
		uri, upgrade, length,
		upgrade ? "Connection: Upgrade\r\nUpgrade: " SERVICE_CONSOLE "\r\n" : "",
		match != NULL ? "If-Match: " : "", match != NULL ? match : "",
		match != NULL ? "\r\n" : "");

	limit_silence(fd);
	return size > 0 && (size_t)size < sizeof(text) && forward_send(fd, text, (size_t)size) &&
	       forward_send(fd, body, length) && forward_end(fd, head);
}
