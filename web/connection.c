/*
 * The process of one connection: TLS and HTTP by libmicrohttpd, in one thread, after all rights are
 * given up. It serves the page's files and sessions, forwards what is below /v1 to the management
 * service, and carries a console's bytes once the connection has become one.
 *
 * It may wait for the service, or for the monitor: nobody else is served here.
 */
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gnutls/crypto.h>
#include <jansson.h>

#include "hosted/form.h"
#include "hosted/say.h"
#include "include/mgmt/service.h"
#include "web/console.h"
#include "web/web.h"
#include "web/websocket.h"

#define IDLE_SECONDS  30 /* between two requests */
#define KNOWN_SECONDS 60 /* in which somebody shows what holds, or is hung up */
#define QUIET_SECONDS 15 /* of a stream: then it is seen whether its reader is there, and may be */
#define LOGIN_MAX     1024 /* bytes of a body of somebody who is not known */
#define PRIORITIES    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

#define HEADER_CSRF "X-CSRF-Token"

/* Connection and process are one. */
static struct {
	struct MHD_Daemon *daemon;
	bool over;
} own;

struct request {
	char *uri, *body;
	size_t length;
	struct secret secret;
	bool begun, too_long;
	int brought; /* a body that is not kept goes there; -1: it is, or the service has hung up */
	bool is_brought;
	struct head refusal; /* of that body by the service, status 0: none */
};

/* An answer of the service that is being passed on. */
struct stream {
	int fd;
	bool events;
	struct secret secret;
};

/* ---- Answers ---- */

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned int status,
				     struct MHD_Response *response)
{
	static const char *const headers[][2] = {
		{"Content-Security-Policy", "default-src 'self'; img-src 'self' data:; object-src "
					    "'none'; base-uri 'none'; form-action 'self'; "
					    "frame-ancestors 'none'"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
	};
	enum MHD_Result result;

	if (response == NULL) {
		return MHD_NO;
	}
	for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
		(void)MHD_add_response_header(response, headers[i][0], headers[i][1]);
	}
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Takes the object; `cookie` NULL: none is set. */
static enum MHD_Result send_json(struct MHD_Connection *connection, unsigned int status,
				 json_t *object, const char *cookie)
{
	char *text = json_dumps(object, JSON_COMPACT);
	struct MHD_Response *response =
		text != NULL
			? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE)
			: NULL;

	json_decref(object);
	if (response == NULL) {
		free(text);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				      status >= 400 ? "application/problem+json"
						    : "application/json");
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (cookie != NULL) {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_SET_COOKIE, cookie);
	}
	return send_response(connection, status, response);
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned int status,
			      const char *code, const char *detail, const char *remedy)
{
	return send_json(connection, status,
			 json_pack("{s:s, s:i, s:s, s:s, s:s}", "title", "not done", "status",
				   (int)status, "code", code, "detail", detail, "remedy", remedy),
			 NULL);
}

static enum MHD_Result refuse_stranger(struct MHD_Connection *connection)
{
	return refuse(connection, 401, SERVICE_BAD_LOGIN, "nobody is known by what was shown",
		      "log in, or show a token that has not expired");
}

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* ---- The page ---- */

static enum MHD_Result send_file(struct MHD_Connection *connection, const struct file *file)
{
	size_t size = (size_t)(file->end - file->start);
	const char *seen = header_of(connection, MHD_HTTP_HEADER_IF_NONE_MATCH);
	struct MHD_Response *response;
	uint8_t hash[HASH_BYTES];
	bool is_same;
	char tag[20];

	CHECK(gnutls_hash_fast(GNUTLS_DIG_SHA256, file->start, size, hash) == 0);
	snprintf(tag, sizeof(tag), "\"%02x%02x%02x%02x%02x%02x%02x%02x\"", hash[0], hash[1],
		 hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]);
	is_same = seen != NULL && strcmp(seen, tag) == 0;
	response = MHD_create_response_from_buffer(is_same ? 0 : size, (void *)file->start,
						   MHD_RESPMEM_PERSISTENT);
	if (response == NULL) {
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, file->type);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, tag);
	return send_response(connection, is_same ? 304 : 200, response);
}

/* ---- Sessions ---- */

static enum MHD_Result send_session(struct MHD_Connection *connection, unsigned int status,
				    const char *user, const char *session, const char *cookie)
{
	char csrf[HASH_TEXT];

	secret_csrf(session, csrf);
	return send_json(connection, status, json_pack("{s:s, s:s}", "user", user, "csrf", csrf),
			 cookie);
}

static bool read_login(const struct request *request, struct ask *ask)
{
	static const struct form_member rows[] = {
		{"user", FORM_TEXT, true, .at = 0, .least = 1, .most = USER_MAX - 1},
		{"password", FORM_TEXT, true, .at = sizeof(char *), .most = PASSWORD_MAX - 1},
	};
	const char *texts[2];
	struct form form = {0};
	json_t *body =
		form_parse(&form, request->body != NULL ? request->body : "", request->length);
	bool good = body != NULL && form_read(&form, body, rows, ARRAY_COUNT(rows), texts);

	if (good) {
		snprintf(ask->user, sizeof(ask->user), "%s", texts[0]);
		snprintf(ask->password, sizeof(ask->password), "%s", texts[1]);
	}
	json_decref(body);
	return good;
}

static enum MHD_Result log_in(struct MHD_Connection *connection, const struct request *request)
{
	char cookie[SECRET_TEXT + 128];
	struct ask ask = {.what = ASK_LOGIN};
	struct answer answer;
	int fd;

	if (request->too_long || !read_login(request, &ask)) {
		return refuse(connection, 400, SERVICE_BAD_INVALID, "this is no login",
			      "give {\"user\": ..., \"password\": ...}");
	}
	ask_monitor(&ask, &answer, &fd);
	explicit_bzero(&ask, sizeof(ask));
	if (answer.result == ANSWER_LATER) {
		return refuse(connection, 429, SERVICE_BAD_LIMIT, "too many attempts were wrong",
			      "wait for a minute");
	}
	if (answer.result != ANSWER_YES) {
		return refuse(connection, 401, SERVICE_BAD_LOGIN,
			      "the name or the password is wrong", "try again");
	}
	snprintf(cookie, sizeof(cookie),
		 SESSION_COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=%d",
		 answer.session, SESSION_SECONDS);
	return send_session(connection, 201, answer.user, answer.session, cookie);
}

/* Of the session that was shown, or of a token's user, who has none. */
static enum MHD_Result tell_session(struct MHD_Connection *connection, const struct secret *secret,
				    bool ends)
{
	const struct ask ask = {.what = ends ? ASK_LOGOUT : ASK_CHECK, .secret = *secret};
	struct answer answer;
	int fd;

	ask_monitor(&ask, &answer, &fd);
	if (answer.result != ANSWER_YES) {
		return refuse_stranger(connection);
	}
	return send_session(connection, 200, answer.user, secret->text,
			    ends ? SESSION_COOKIE
				    "=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"
				 : NULL);
}

/* ---- The service's answers ---- */

static ssize_t read_stream(void *user, uint64_t position, char *to, size_t size)
{
	struct stream *stream = user;
	struct pollfd readable = {stream->fd, POLLIN, 0};
	ssize_t got;

	(void)position;
	if (stream->events && poll(&readable, 1, QUIET_SECONDS * 1000) == 0) {
		/* A comment: whether somebody reads is seen by its being sent. */
		return ask_still_may(&stream->secret) && size >= 3
			       ? (memcpy(to, ":\n\n", 3), 3)
			       : MHD_CONTENT_READER_END_OF_STREAM;
	}
	got = recv(stream->fd, to, size, 0);
	return got > 0    ? got
	       : got == 0 ? MHD_CONTENT_READER_END_OF_STREAM
			  : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_stream(void *user)
{
	struct stream *stream = user;

	close(stream->fd);
	free(stream);
}

/* Takes the descriptor. */
static enum MHD_Result pass_on(struct MHD_Connection *connection, int fd,
			       const struct secret *secret, const struct head *head)
{
	struct stream *stream = malloc(sizeof(*stream));
	struct MHD_Response *response;

	if (stream == NULL) {
		close(fd);
		return MHD_NO;
	}
	*stream = (struct stream){fd, strcmp(head->type, "text/event-stream") == 0, *secret};
	response = MHD_create_response_from_callback(head->length >= 0 ? (uint64_t)head->length
								       : MHD_SIZE_UNKNOWN,
						     16384, read_stream, stream, free_stream);
	if (response == NULL) {
		free_stream(stream);
		return MHD_NO;
	}
	if (head->type[0] != '\0') {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, head->type);
	}
	if (head->location[0] != '\0') {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, head->location);
	}
	if (head->etag[0] != '\0') {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, head->etag);
	}
	/* What somebody has put there is nothing that a browser shows. */
	if (strcmp(head->type, "application/octet-stream") == 0) {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_DISPOSITION,
					      "attachment");
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	return send_response(connection, head->status, response);
}

/* ---- Consoles ---- */

struct upgrade {
	int service;
	bool framed;
	struct secret secret;
};

/*
 * The head has been sent, and the process serves nobody but this client: so the rest is done here,
 * on the session of TLS itself. (The library would carry it through a socket pair with buffers of
 * four bytes, of version 0.9.75.) It does not return.
 */
static void upgraded(void *user, struct MHD_Connection *connection, void *context,
		     const char *extra, size_t extra_size, MHD_socket fd,
		     struct MHD_UpgradeResponseHandle *handle)
{
	const struct upgrade *upgrade = user;
	const union MHD_ConnectionInfo *socket =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	const int client = socket->connect_fd;
	const union MHD_ConnectionInfo *session =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	const struct console console = {.service = upgrade->service,
					.client = client,
					.session = session->tls_session,
					.framed = upgrade->framed,
					.secret = &upgrade->secret,
					.door = -1};

	(void)context;
	(void)fd;
	(void)handle;
	(void)console_serve(&console, (const uint8_t *)extra, extra_size);
	_exit(0);
}

/* Takes the descriptor. `accept` NULL: bytes as they are, without frames. */
static enum MHD_Result become_console(struct MHD_Connection *connection, int fd,
				      const struct secret *secret, const char *accept)
{
	struct upgrade *upgrade = malloc(sizeof(*upgrade)); /* the process ends with it */
	struct MHD_Response *response =
		upgrade != NULL ? MHD_create_response_for_upgrade(upgraded, upgrade) : NULL;

	if (response == NULL) {
		close(fd);
		free(upgrade);
		return MHD_NO;
	}
	*upgrade = (struct upgrade){fd, accept != NULL, *secret};
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE,
				      accept != NULL ? "websocket" : SERVICE_CONSOLE);
	if (accept != NULL) {
		(void)MHD_add_response_header(response, "Sec-WebSocket-Accept", accept);
	}
	return send_response(connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
}

/* ---- Requests ---- */

/* "https://HOST", as the browser says where the page is from that asks. */
static bool is_own_origin(struct MHD_Connection *connection)
{
	const char *origin = header_of(connection, "Origin"),
		   *host = header_of(connection, MHD_HTTP_HEADER_HOST);

	return origin == NULL || (host != NULL && strncmp(origin, "https://", 8) == 0 &&
				  strcasecmp(origin + 8, host) == 0);
}

/* A session is shown by the browser whoever asks: so a page of ours shows more. */
static bool is_meant(struct MHD_Connection *connection, const struct request *request,
		     const char *method, bool upgrade)
{
	const char *shown = header_of(connection, HEADER_CSRF);
	char csrf[HASH_TEXT];

	if (request->secret.kind != SECRET_SESSION || (strcmp(method, "GET") == 0 && !upgrade)) {
		return true;
	}
	if (upgrade) {
		/* A browser cannot add a header, but always says where the page is from. */
		return header_of(connection, "Origin") != NULL;
	}
	secret_csrf(request->secret.text, csrf);
	return shown != NULL && strlen(shown) == HASH_TEXT - 1 &&
	       secret_is_same(shown, csrf, HASH_TEXT - 1);
}

/* What the service sees of a header is one line. */
static bool is_plain(const char *text)
{
	return text == NULL || text[strspn(text, "\"*0123456789abcdefghijklmnopqrstuvwxyz"
						 "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_./:")] == '\0';
}

static enum MHD_Result refuse_away(struct MHD_Connection *connection)
{
	return refuse(connection, 503, SERVICE_BAD_IO, "the management service does not answer",
		      "start vmms");
}

static enum MHD_Result refuse_hung_up(struct MHD_Connection *connection)
{
	return refuse(connection, 502, SERVICE_BAD_IO, "the management service hangs up",
		      "try again");
}

/* A connection to the service for whom the request is from. -1: the request has its answer, and
 * `refused` what is to be said of that. */
static int open_service(struct MHD_Connection *connection, const struct request *request,
			enum MHD_Result *refused)
{
	const struct ask ask = {.what = ASK_OPEN, .secret = request->secret};
	struct answer answer;
	int fd;

	ask_monitor(&ask, &answer, &fd);
	if (answer.result == ANSWER_YES && fd >= 0) {
		return fd;
	}
	*refused = answer.result == ANSWER_UNREACHABLE ? refuse_away(connection)
						       : refuse_stranger(connection);
	return -1;
}

/* A file comes: it is the service that says, before it does, whether it may. */
static enum MHD_Result begin_file(struct MHD_Connection *connection, struct request *request)
{
	const char *length = header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
	enum MHD_Result refused;
	struct head head;
	int fd;

	if (length == NULL || length[strspn(length, "0123456789")] != '\0') {
		return refuse(connection, 411, SERVICE_BAD_INVALID,
			      "nobody knows how long the file is",
			      "say in Content-Length how long it is");
	}
	fd = open_service(connection, request, &refused);
	if (fd < 0) {
		return refused;
	}
	if (!forward_begin(fd, request->uri, strtoull(length, NULL, 10), &head)) {
		close(fd);
		return refuse_hung_up(connection);
	}
	if (head.status != 100 && header_of(connection, MHD_HTTP_HEADER_EXPECT) != NULL) {
		return pass_on(connection, fd, &request->secret, &head);
	}
	/* Who does not ask before sends all of it, and does not listen until then. */
	request->refusal = head.status != 100 ? head : (struct head){.status = 0};
	request->brought = fd;
	request->is_brought = true;
	return MHD_YES;
}

static void bring(struct request *request, const char *data, size_t size)
{
	if (request->brought >= 0 && request->refusal.status == 0 &&
	    !forward_send(request->brought, data, size)) {
		close(request->brought);
		request->brought = -1;
	}
}

static enum MHD_Result end_file(struct MHD_Connection *connection, struct request *request)
{
	int fd = request->brought;
	struct head head = request->refusal;

	request->brought = -1;
	if (fd < 0 || (head.status == 0 && !forward_end(fd, &head))) {
		if (fd >= 0) {
			close(fd);
		}
		return refuse_hung_up(connection);
	}
	return pass_on(connection, fd, &request->secret, &head);
}

static enum MHD_Result forward(struct MHD_Connection *connection, const struct request *request,
			       const char *method)
{
	static const char *const methods[] = {"GET", "POST", "PATCH", "DELETE"};
	const char *to = header_of(connection, MHD_HTTP_HEADER_UPGRADE),
		   *match = header_of(connection, MHD_HTTP_HEADER_IF_MATCH),
		   *key = header_of(connection, "Sec-WebSocket-Key");
	bool websocket = to != NULL && strcasecmp(to, "websocket") == 0;
	bool upgrade = websocket || (to != NULL && strcmp(to, SERVICE_CONSOLE) == 0);
	char accept[WEBSOCKET_ACCEPT_MAX];
	enum MHD_Result refused;
	struct head head;
	size_t i = 0;
	int fd;

	while (i < ARRAY_COUNT(methods) && strcmp(methods[i], method) != 0) {
		i++;
	}
	if (i == ARRAY_COUNT(methods) || !is_plain(match) || request->too_long ||
	    (websocket && (key == NULL || !websocket_accept(key, accept)))) {
		return refuse(connection, request->too_long ? 413 : 400, SERVICE_BAD_INVALID,
			      request->too_long ? "the body is too long"
						: "the request is not as it should be",
			      "GET /v1/openapi lists what there is");
	}
	fd = open_service(connection, request, &refused);
	if (fd < 0) {
		return refused;
	}
	if (!forward_ask(fd, method, request->uri, match, request->body, request->length, upgrade,
			 &head)) {
		close(fd);
		return refuse_hung_up(connection);
	}
	return upgrade && head.status == 101
		       ? become_console(connection, fd, &request->secret, websocket ? accept : NULL)
		       : pass_on(connection, fd, &request->secret, &head);
}

static enum MHD_Result serve_session(struct MHD_Connection *connection,
				     const struct request *request, const char *method)
{
	if (strcmp(method, "POST") == 0) {
		return log_in(connection, request);
	}
	if (strcmp(method, "GET") == 0 || strcmp(method, "DELETE") == 0) {
		return tell_session(connection, &request->secret, method[0] == 'D');
	}
	return refuse(connection, 405, SERVICE_BAD_METHOD, "this is not for a session",
		      "GET, POST or DELETE");
}

static enum MHD_Result answer_request(struct MHD_Connection *connection, struct request *request,
				      const char *path, const char *method)
{
	bool is_session = strcmp(path, "/session") == 0;
	bool is_login = is_session && strcmp(method, "POST") == 0;
	const struct file *file = page_find(path);

	if (file != NULL && (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)) {
		return send_file(connection, file);
	}
	if (!is_session && !forward_is_path(request->uri)) {
		return refuse(connection, 404, SERVICE_BAD_NOT_FOUND, "there is no such path",
			      "GET /v1/openapi lists what there is");
	}
	if (!is_login && request->secret.kind == SECRET_NONE) {
		return refuse_stranger(connection);
	}
	if (!is_own_origin(connection) ||
	    (!is_login && !is_meant(connection, request, method,
				    header_of(connection, MHD_HTTP_HEADER_UPGRADE) != NULL))) {
		return refuse(connection, 403, SERVICE_BAD_PERMISSION,
			      "this does not come from our page",
			      "show " HEADER_CSRF ", as GET /session says it");
	}
	return is_session                   ? serve_session(connection, request, method)
	       : strcmp(method, "PUT") == 0 ? begin_file(connection, request)
					    : forward(connection, request, method);
}

/* Headers come first: who shows a token or a session is not somebody else by his certificate. */
static void read_secret(struct MHD_Connection *connection, struct secret *secret)
{
	const char *authorization = header_of(connection, MHD_HTTP_HEADER_AUTHORIZATION);
	const union MHD_ConnectionInfo *session =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	struct shown shown;

	secret_read(authorization, header_of(connection, MHD_HTTP_HEADER_COOKIE), secret);
	if (secret->kind == SECRET_NONE && authorization == NULL && session != NULL) {
		secret_certificate(session->tls_session, secret, &shown);
		ask_shows(&shown);
	}
}

static void *begin_request(void *user, const char *uri, struct MHD_Connection *connection)
{
	struct request *request = calloc(1, sizeof(*request));

	(void)user;
	(void)connection;
	if (request != NULL) {
		request->uri = strdup(uri);
		request->brought = -1;
	}
	return request;
}

static void take_body(struct request *request, const char *data, size_t size)
{
	size_t most = request->secret.kind != SECRET_NONE ? SERVICE_BODY_MAX : LOGIN_MAX;
	char *body = NULL;

	if (!request->too_long && size <= most - request->length) {
		body = realloc(request->body, request->length + size);
	}
	if (body == NULL) {
		request->too_long = true;
		return;
	}
	request->body = body;
	memcpy(body + request->length, data, size);
	request->length += size;
}

/* For the head, each piece of the body, and its end. */
static enum MHD_Result serve(void *user, struct MHD_Connection *connection, const char *path,
			     const char *method, const char *version, const char *data,
			     size_t *size, void **context)
{
	struct request *request = *context;

	(void)user;
	(void)version;
	if (request == NULL || request->uri == NULL) {
		return MHD_NO;
	}
	if (!request->begun) {
		request->begun = true;
		read_secret(connection, &request->secret);
		return strcmp(method, "PUT") == 0
			       ? answer_request(connection, request, path, method)
			       : MHD_YES;
	}
	if (*size != 0) {
		if (request->is_brought) {
			bring(request, data, *size);
		} else {
			take_body(request, data, *size);
		}
		*size = 0;
		return MHD_YES;
	}
	if (request->is_brought) {
		return end_file(connection, request);
	}
	return answer_request(connection, request, path, method);
}

static void completed(void *user, struct MHD_Connection *connection, void **context,
		      enum MHD_RequestTerminationCode code)
{
	struct request *request = *context;

	(void)user;
	(void)connection;
	(void)code;
	if (request != NULL) {
		if (request->brought >= 0) {
			close(request->brought);
		}
		free(request->uri);
		free(request->body);
		free(request);
		*context = NULL;
	}
}

static void notified(void *user, struct MHD_Connection *connection, void **context,
		     enum MHD_ConnectionNotificationCode code)
{
	(void)user;
	(void)connection;
	(void)context;
	own.over |= code == MHD_CONNECTION_NOTIFY_CLOSED;
}

static time_t now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void run(int library)
{
	time_t begun = now_seconds();
	MHD_UNSIGNED_LONG_LONG wait_ms;
	struct pollfd fds = {library, POLLIN, 0};

	while (!own.over && (ask_is_known() || now_seconds() - begun < KNOWN_SECONDS)) {
		if (MHD_get_timeout(own.daemon, &wait_ms) != MHD_YES || wait_ms > 5000) {
			wait_ms = 5000;
		}
		(void)poll(&fds, 1, (int)wait_ms);
		(void)MHD_run(own.daemon);
	}
}

void connection_serve(int client, int monitor, const struct certificate *certificate,
		      const char *trusted)
{
	/* Who has a certificate that is known may show it; nobody has to. */
	struct MHD_OptionItem clients[] = {
		{MHD_OPTION_HTTPS_MEM_TRUST, 0, (void *)trusted},
		{MHD_OPTION_END, 0, NULL},
	};
	struct sockaddr_storage peer = {0};
	socklen_t size = sizeof(peer);
	const union MHD_DaemonInfo *info;

	ask_begin(monitor);
	if (getpeername(client, (struct sockaddr *)&peer, &size) != 0) {
		return;
	}
	own.daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_TLS | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_UPGRADE, 0, NULL,
		NULL, serve, NULL, MHD_OPTION_HTTPS_MEM_KEY, (const char *)certificate->key.data,
		MHD_OPTION_HTTPS_MEM_CERT, (const char *)certificate->chain.data, MHD_OPTION_ARRAY,
		trusted != NULL && trusted[0] != '\0' ? clients : clients + 1,
		MHD_OPTION_HTTPS_PRIORITIES, PRIORITIES, MHD_OPTION_URI_LOG_CALLBACK, begin_request,
		NULL, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
		notified, NULL, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	info = own.daemon != NULL ? MHD_get_daemon_info(own.daemon, MHD_DAEMON_INFO_EPOLL_FD)
				  : NULL;
	if (info == NULL || !sandbox_enter()) {
		return;
	}
	if (MHD_add_connection(own.daemon, client, (struct sockaddr *)&peer, size) == MHD_YES) {
		run(info->epoll_fd);
	}
}
