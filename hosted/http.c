/* See http.h. */
#include "hosted/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/say.h"
#include "include/mgmt/service.h"

#define ANSWER_MAX (16u << 20) /* bytes */
#define HEAD_MAX   4096

struct http {
	CURL *curl;
	const char *socket;
	char code[32];
	char revision[48]; /* that the next request is for, empty: any */
	char detail[600];
	bool says;
	char *text; /* what has come */
	size_t length;
	bool (*event)(void *user, const char *name, const json_t *data);
	void (*opened)(void *user);
	void *user;
};

struct http *http_open(const char *socket, bool says)
{
	struct http *http = calloc(1, sizeof(*http));

	if (http != NULL) {
		http->curl = curl_easy_init();
		http->socket = socket;
		http->says = says;
	}
	if (http == NULL || http->curl == NULL) {
		say("out of memory");
		free(http);
		return NULL;
	}
	return http;
}

void http_close(struct http *http)
{
	curl_easy_cleanup(http->curl);
	free(http->text);
	free(http);
}

const char *http_code(const struct http *http)
{
	return http->code;
}

const char *http_detail(const struct http *http)
{
	return http->detail;
}

static __attribute__((format(printf, 2, 3))) void complain(struct http *http, const char *format,
							   ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(http->detail, sizeof(http->detail), format, arguments);
	va_end(arguments);
	if (http->says) {
		say("%s", http->detail);
	}
}

char *http_escape(const struct http *http, const char *segment)
{
	char *escaped = curl_easy_escape(http->curl, segment, 0), *copy;

	copy = strdup(escaped != NULL ? escaped : "");
	curl_free(escaped);
	return copy;
}

static size_t take(char *data, size_t size, size_t count, void *user)
{
	struct http *http = user;
	size_t length = size * count;
	char *text = length <= ANSWER_MAX - http->length
			     ? realloc(http->text, http->length + length + 1)
			     : NULL;

	if (text == NULL) {
		return 0;
	}
	memcpy(text + http->length, data, length);
	http->text = text;
	http->length += length;
	text[http->length] = '\0';
	return length;
}

static void set_up(struct http *http, const char *method, const char *path)
{
	char url[2048];

	http->length = 0;
	http->code[0] = '\0';
	snprintf(url, sizeof(url), "http://localhost%s", path);
	curl_easy_reset(http->curl);
	curl_easy_setopt(http->curl, CURLOPT_UNIX_SOCKET_PATH, http->socket);
	curl_easy_setopt(http->curl, CURLOPT_URL, url);
	curl_easy_setopt(http->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, http);
}

static bool perform(struct http *http)
{
	CURLcode result = curl_easy_perform(http->curl);

	if (result == CURLE_COULDNT_CONNECT) {
		complain(http, "%s: nobody listens; start vmms, or give its socket by --socket",
			 http->socket);
	} else if (result != CURLE_OK) {
		complain(http, "%s: %s", http->socket, curl_easy_strerror(result));
	}
	return result == CURLE_OK;
}

static void say_problem(struct http *http, const json_t *problem, long status)
{
	const char *detail = json_string_value(json_object_get(problem, "detail")),
		   *remedy = json_string_value(json_object_get(problem, "remedy")),
		   *code = json_string_value(json_object_get(problem, "code"));

	snprintf(http->code, sizeof(http->code), "%s", code != NULL ? code : "");
	if (detail == NULL) {
		complain(http, "the service answers %ld and does not say why", status);
	} else {
		complain(http, "%s%s%s", detail, remedy != NULL ? "; " : "",
			 remedy != NULL ? remedy : "");
	}
}

void http_expect(struct http *http, const char *revision)
{
	snprintf(http->revision, sizeof(http->revision), "%s", revision);
}

json_t *http_ask(struct http *http, const char *method, const char *path, json_t *body)
{
	struct curl_slist *headers = NULL;
	char header[80];
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	json_t *answer;
	bool done;
	long status = 0;

	json_decref(body);
	set_up(http, method, path);
	if (text != NULL) {
		curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, text);
	} else if (strcmp(method, "POST") == 0) {
		curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, "");
	}
	if (http->revision[0] != '\0') {
		snprintf(header, sizeof(header), "If-Match: \"%s\"", http->revision);
		headers = curl_slist_append(NULL, header);
		curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
		http->revision[0] = '\0';
	}
	done = perform(http);
	curl_slist_free_all(headers);
	free(text);
	if (!done) {
		return NULL;
	}
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	answer = json_loadb(http->text != NULL ? http->text : "", http->length, JSON_DECODE_ANY,
			    NULL);
	if (status >= 400 || answer == NULL) {
		say_problem(http, answer, status);
		json_decref(answer);
		return NULL;
	}
	return answer;
}

/* ---- Events ---- */

/* One of "id: …\nevent: NAME\ndata: JSON\n". */
static bool hand_over(struct http *http, char *block)
{
	char *rest, *line, *name = NULL, *data = NULL;
	json_t *value;
	bool more = true;

	for (line = strtok_r(block, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, "event: ", 7) == 0) {
			name = line + 7;
		} else if (strncmp(line, "data: ", 6) == 0) {
			data = line + 6;
		}
	}
	value = data != NULL ? json_loads(data, 0, NULL) : NULL;
	if (name != NULL && value != NULL) {
		more = http->event(http->user, name, value);
	}
	json_decref(value);
	return more;
}

static size_t take_events(char *data, size_t size, size_t count, void *user)
{
	struct http *http = user;
	size_t length = take(data, size, count, user);
	char *end;

	while (length != 0 && (end = strstr(http->text, "\n\n")) != NULL) {
		*end = '\0';
		if (!hand_over(http, http->text)) {
			return 0;
		}
		http->length -= (size_t)(end + 2 - http->text);
		memmove(http->text, end + 2, http->length + 1);
	}
	return length;
}

/* A line of the answer's head; the last one is empty. */
static size_t take_head(char *data, size_t size, size_t count, void *user)
{
	struct http *http = user;
	long status = 0;

	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	if (http->opened != NULL && status == 200 && size * count == 2 && data[0] == '\r') {
		http->opened(http->user);
	}
	return size * count;
}

bool http_follow(struct http *http, bool (*event)(void *user, const char *name, const json_t *data),
		 void (*opened)(void *user), void *user)
{
	CURLcode result;
	long status = 0;
	json_t *problem;

	http->event = event;
	http->opened = opened;
	http->user = user;
	set_up(http, "GET", "/v1/events");
	curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, take_events);
	curl_easy_setopt(http->curl, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(http->curl, CURLOPT_HEADERDATA, http);
	result = curl_easy_perform(http->curl);
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400) {
		problem = json_loadb(http->text, http->length, 0, NULL);
		say_problem(http, problem, status);
		json_decref(problem);
		return false;
	}
	if (result == CURLE_WRITE_ERROR) {
		return true; /* we have seen enough */
	}
	complain(http, "%s: %s", http->socket,
		 result == CURLE_OK ? "the service has ended" : curl_easy_strerror(result));
	return false;
}

/* ---- Consoles ---- */

/* The head of the answer, not a byte more: what follows is the guest's. */
static bool read_head(int line, char *head, size_t size)
{
	size_t length = 0;

	while (length + 1 < size && read(line, head + length, 1) == 1) {
		head[++length] = '\0';
		if (length >= 4 && strcmp(head + length - 4, "\r\n\r\n") == 0) {
			return true;
		}
	}
	return false;
}

static void say_refusal(int line, const char *head)
{
	const char *length_of = strcasestr(head, "Content-Length:");
	size_t length = length_of != NULL ? strtoul(length_of + 15, NULL, 10) : 0, got = 0;
	char text[2048];
	struct http nobody = {.says = true};
	json_t *problem;
	ssize_t part;

	while (got < length && got < sizeof(text) &&
	       (part = read(line, text + got, sizeof(text) - got)) > 0) {
		got += (size_t)part;
	}
	problem = json_loadb(text, got < length ? got : length, 0, NULL);
	say_problem(&nobody, problem, strtol(head + strcspn(head, " "), NULL, 10));
	json_decref(problem);
}

int http_console(const char *socket, const char *path)
{
	int line = connect_at(socket, SOCK_STREAM);
	char head[HEAD_MAX];

	if (line < 0) {
		say("%s: %s; start vmms, or give its socket by --socket", socket, strerror(-line));
		return -1;
	}
	if (dprintf(line,
		    "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
		    "%s\r\n\r\n",
		    path, SERVICE_CONSOLE) < 0 ||
	    !read_head(line, head, sizeof(head))) {
		say("%s: the service hangs up", socket);
	} else if (strncmp(head, "HTTP/1.1 101", 12) == 0) {
		return line;
	} else {
		say_refusal(line, head);
	}
	close(line);
	return -1;
}
