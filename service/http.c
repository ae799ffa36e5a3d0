/*
 * HTTP over a UNIX socket, by libmicrohttpd on our loop: who asks, the body, and the answer when
 * there is one. What is asked for is api.c's affair.
 *
 * A request whose answer takes its time is suspended until request_answer(). A stream of events is
 * suspended while there is none.
 */
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/packet.h"
#include "hosted/say.h"
#include "service/service.h"

#define CONNECTIONS_MAX 1024
#define IDLE_SECONDS    30
/* Of one user who administers nothing: requests at once, and bytes of a body. */
#define GUEST_REQUESTS_MAX 16
#define GUEST_BODY_MAX     4096

struct http {
	struct source source;
	struct service *service;
	struct MHD_Daemon *daemon;
	struct timer timer;
	struct request *requests;
};

static void run(struct http *http);

static void again(struct timer *timer)
{
	run((struct http *)((char *)timer - offsetof(struct http, timer)));
}

static void run(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	(void)MHD_run(http->daemon);
	if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES) {
		loop_start_timer(http->service, &http->timer, wait_ms, again);
	}
}

static void ready(struct source *source, uint32_t events)
{
	(void)events;
	run((struct http *)((char *)source - offsetof(struct http, source)));
}

/* The library looks at it when it is run next. */
static void resume(struct request *request)
{
	struct http *http = request->service->http;

	request->suspended = false;
	MHD_resume_connection(request->connection);
	loop_start_timer(request->service, &http->timer, 0, again);
}

/* ---- Who asks ---- */

/* What is known of a connection: the machine that it is for. */
static char *only_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

static void notified(void *user, struct MHD_Connection *connection, void **context,
		     enum MHD_ConnectionNotificationCode code)
{
	(void)user;
	(void)connection;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = calloc(1, UUID_TEXT);
	} else {
		free(*context);
		*context = NULL;
	}
}

void request_limit(struct request *request, const char *id)
{
	snprintf(only_of(request->connection), UUID_TEXT, "%s", id);
}

static bool find_user(struct request *request)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred who;
	socklen_t size = sizeof(who);

	if (info == NULL ||
	    getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
		return false;
	}
	request->uid = who.uid;
	return true;
}

static bool may_ask(const struct request *request)
{
	const struct request *other;
	unsigned int count = 0;

	for (other = request->service->http->requests; other != NULL; other = other->next) {
		count += other->uid == request->uid;
	}
	return request->is_admin || count <= GUEST_REQUESTS_MAX;
}

/* Before anything of the body is taken: how much that may be depends on it. False: not yet. */
static bool is_known(struct request *request)
{
	if (request->user[0] == '\0' &&
	    who_is(request->service, request->uid, request->user, &request->is_admin)) {
		request->too_many = !may_ask(request);
	}
	return request->user[0] != '\0';
}

/* It goes on when its user is known, if that is so now. */
static void wait_for_user(struct request *request)
{
	request->suspended = true;
	request->waited = true;
	MHD_suspend_connection(request->connection);
}

void http_wake_asked(struct service *service)
{
	struct request *request;

	for (request = service->http != NULL ? service->http->requests : NULL; request != NULL;
	     request = request->next) {
		if (request->suspended && request->user[0] == '\0' && is_known(request)) {
			resume(request);
		}
	}
}

/* ---- Events ---- */

static ssize_t read_events(void *user, uint64_t position, char *to, size_t size)
{
	struct request *request = user;
	const char *text;

	(void)position;
	text = events_next(request->service, &request->seen);
	if (text == NULL) {
		request->suspended = true;
		MHD_suspend_connection(request->connection);
		return 0;
	}
	/* Ids have no gap where none was lost: who counts them sees it. One that is longer than the
	 * buffer is left out. */
	if (strlen(text) > size) {
		return snprintf(to, size, ": one event is too long\n\n");
	}
	memcpy(to, text, strlen(text));
	return (ssize_t)strlen(text);
}

void http_wake_events(struct service *service)
{
	struct request *request;

	for (request = service->http->requests; request != NULL; request = request->next) {
		if (request->stream && request->suspended) {
			resume(request);
		}
	}
}

/* ---- Consoles and screens ---- */

struct upgraded {
	struct http *http;
	struct MHD_UpgradeResponseHandle *handle;
};

static void console_closed(void *user)
{
	struct upgraded *upgraded = user;

	(void)MHD_upgrade_action(upgraded->handle, MHD_UPGRADE_ACTION_CLOSE);
	/* The library hangs up when it is run next, and nobody else may ask it to for long. */
	loop_start_timer(upgraded->http->service, &upgraded->http->timer, 0, again);
	free(upgraded);
}

static void upgrade(void *user, struct MHD_Connection *connection, void *context, const char *extra,
		    size_t extra_size, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
	struct request *request = context;
	struct machine *machine = machine_find(request->service, request->console);
	struct upgraded *upgraded = malloc(sizeof(*upgraded));
	int screen = request->display;
	bool attached;

	(void)user;
	(void)connection;
	(void)extra; /* typed before there was a console */
	if (upgraded == NULL) {
		(void)MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
		return;
	}
	*upgraded = (struct upgraded){request->service->http, handle};
	if (machine == NULL) {
		attached = false;
	} else if (request->moves != MOVES_NOT) {
		/* The socket becomes a worker's, which would miss what has been read of it. */
		attached = extra_size == 0 && move_attach(machine, request->moves == MOVES_HERE, fd,
							  console_closed, upgraded);
	} else if (screen >= 0 && request->seat) {
		(void)!packet_send(fd, MSG_DONTWAIT, "", 1, &screen, 1);
		attached = false; /* that was all */
	} else if (screen >= 0) {
		request->display = -1;
		attached = display_attach(machine, screen, fd, console_closed, upgraded);
	} else {
		attached = console_attach(machine, fd, console_closed, upgraded);
	}
	if (!attached) {
		console_closed(upgraded);
	}
}

/* ---- Files ---- */

static ssize_t read_file(void *user, uint64_t position, char *to, size_t size)
{
	struct request *request = user;
	ssize_t got = transfer_get(request->transfer, to, size);

	(void)position;
	if (got == -EAGAIN) {
		request->suspended = true;
		MHD_suspend_connection(request->connection);
		return 0;
	}
	return got > 0 ? got : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* A piece of the body. What there is no room for is handed over again. */
static void put_file(struct request *request, const char *data, size_t *size)
{
	if (!transfer_put(request->transfer, data, size)) {
		request->suspended = true;
		MHD_suspend_connection(request->connection);
	}
}

/* ---- Answers ---- */

static enum MHD_Result send_response(struct request *request, struct MHD_Response *response,
				     unsigned int status)
{
	enum MHD_Result result = MHD_queue_response(request->connection, status, response);

	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result send_upgrade(struct request *request)
{
	struct MHD_Response *response = MHD_create_response_for_upgrade(upgrade, NULL);

	if (response == NULL) {
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, SERVICE_CONSOLE);
	return send_response(request, response, MHD_HTTP_SWITCHING_PROTOCOLS);
}

static enum MHD_Result send_stream(struct request *request)
{
	struct MHD_Response *response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, 65536, read_events, request, NULL);

	if (response == NULL) {
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	return send_response(request, response, MHD_HTTP_OK);
}

static enum MHD_Result send_answer(struct request *request)
{
	char *text = request->text != NULL     ? request->text
		     : request->answer != NULL ? json_dumps(request->answer, JSON_COMPACT)
					       : NULL;
	const char *type = request->text != NULL    ? "text/plain; version=0.0.4; charset=utf-8"
			   : request->status >= 400 ? "application/problem+json"
						    : "application/json";
	struct MHD_Response *response = MHD_create_response_from_buffer(
		text != NULL ? strlen(text) : 0, text, MHD_RESPMEM_MUST_FREE);

	request->text = NULL;
	if (response == NULL) {
		free(text);
		return MHD_NO;
	}
	if (text != NULL) {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	}
	if (request->location[0] != '\0') {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION,
					      request->location);
	}
	if (request->etag[0] != '\0') {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, request->etag);
	}
	return send_response(request, response, request->status);
}

static enum MHD_Result send_file(struct request *request, uint64_t size)
{
	struct MHD_Response *response =
		MHD_create_response_from_callback(size, 65536, read_file, request, NULL);

	if (response == NULL) {
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				      "application/octet-stream");
	return send_response(request, response, MHD_HTTP_OK);
}

void request_go_on(struct request *request)
{
	if (request->suspended) {
		resume(request);
	}
}

void request_answer(struct request *request, unsigned int status, json_t *answer)
{
	request->status = status;
	request->answer = answer;
	request_go_on(request);
}

const char *request_parameter(const struct request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* ---- Requests ---- */

static struct request *new_request(struct service *service, struct MHD_Connection *connection,
				   const char *path, const char *method)
{
	struct request *request = calloc(1, sizeof(*request));
	const char *match, *length;

	if (request == NULL) {
		return NULL;
	}
	request->display = -1;
	request->service = service;
	request->connection = connection;
	request->method = method;
	request->path = strdup(path);
	request->only = only_of(connection);
	if (request->path == NULL || request->only == NULL || !find_user(request)) {
		free(request->path);
		free(request);
		return NULL;
	}
	request->next = service->http->requests;
	service->http->requests = request;
	match = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_MATCH);
	if (match != NULL) {
		snprintf(request->if_match, sizeof(request->if_match), "%s", match);
	}
	length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
					     MHD_HTTP_HEADER_CONTENT_LENGTH);
	if (length != NULL && strspn(length, "0123456789") == strlen(length)) {
		request->length_said = strtoull(length, NULL, 10);
	}
	return request;
}

static void take_body(struct request *request, const char *data, size_t *size)
{
	size_t most = request->is_admin ? SERVICE_BODY_MAX : GUEST_BODY_MAX;
	char *body = NULL;

	if (*size <= most - request->length && !request->too_many) {
		body = realloc(request->body, request->length + *size);
	}
	if (body != NULL) {
		request->body = body;
		memcpy(body + request->length, data, *size);
		request->length += *size;
	} else {
		request->too_long = true;
	}
	*size = 0;
}

/* A request that waited at its head for its user is handed over with its head once more, before its
 * body. */
static bool is_head_again(struct request *request)
{
	const char *length = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
							 MHD_HTTP_HEADER_CONTENT_LENGTH);
	bool again =
		request->waited &&
		(length != NULL
			 ? strcmp(length, "0") != 0
			 : MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL);

	request->waited = false;
	return again;
}

/* What is brought is too much to be kept: whether it may come, and where to, is decided before it
 * does. */
static enum MHD_Result serve_head(struct request *request)
{
	if (strcmp(request->method, MHD_HTTP_METHOD_PUT) != 0) {
		return MHD_YES;
	}
	if (!request->serving) {
		request->serving = true;
		api_serve(request);
		if (request->status == 0) {
			request->suspended = true;
			request->waited = true;
			MHD_suspend_connection(request->connection);
			return MHD_YES;
		}
	}
	return request->status != 0 ? send_answer(request) : MHD_YES;
}

/* Called for the head, each piece of the body, its end, and when a suspended request goes on. */
static enum MHD_Result serve(void *user, struct MHD_Connection *connection, const char *path,
			     const char *method, const char *version, const char *data,
			     size_t *size, void **context)
{
	struct request *request = *context;
	uint64_t bytes;

	(void)version;
	if (request == NULL) {
		request = new_request(user, connection, path, method);
		*context = request;
		if (request == NULL) {
			return MHD_NO;
		}
		if (!is_known(request)) {
			wait_for_user(request);
			return MHD_YES;
		}
		return serve_head(request);
	}
	if (*size != 0) {
		request->waited = false;
		if (request->transfer != NULL) {
			put_file(request, data, size);
		} else {
			take_body(request, data, size);
		}
		return MHD_YES;
	}
	if (is_head_again(request)) {
		return serve_head(request);
	}
	if (!request->serving) {
		request->serving = true;
		api_serve(request);
	}
	if (request->console[0] != '\0') {
		return send_upgrade(request);
	}
	if (request->stream) {
		return send_stream(request);
	}
	if (request->status != 0) {
		return send_answer(request);
	}
	if (request->transfer != NULL && transfer_is_fetched(request->transfer, &bytes)) {
		return send_file(request, bytes);
	}
	request->suspended = true;
	MHD_suspend_connection(connection);
	return MHD_YES;
}

static void completed(void *user, struct MHD_Connection *connection, void **context,
		      enum MHD_RequestTerminationCode code)
{
	struct service *service = user;
	struct request *request = *context, **link = &service->http->requests;

	(void)connection;
	(void)code;
	if (request == NULL) {
		return;
	}
	while (*link != request) {
		link = &(*link)->next;
	}
	*link = request->next;
	if (request->display >= 0) {
		close(request->display);
	}
	if (request->transfer != NULL) {
		transfer_release(request->transfer);
	}
	json_decref(request->answer);
	free(request->text);
	json_decref(request->document);
	free(request->name);
	free(request->path);
	free(request->body);
	free(request);
	*context = NULL;
}

bool http_create(struct service *service, int listener)
{
	struct http *http = calloc(1, sizeof(*http));
	const union MHD_DaemonInfo *info;

	if (http == NULL) {
		say("out of memory");
		return false;
	}
	http->service = service;
	service->http = http;
	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE, 0, NULL, NULL, serve,
		service, MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_NOTIFY_COMPLETED, completed,
		service, MHD_OPTION_NOTIFY_CONNECTION, notified, NULL, MHD_OPTION_CONNECTION_LIMIT,
		CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_END);
	info = http->daemon != NULL ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)
				    : NULL;
	if (info == NULL) {
		say("the API cannot be served: %s", strerror(errno));
		return false;
	}
	http->source = (struct source){info->epoll_fd, ready};
	return loop_watch(service, &http->source, EPOLLIN);
}

void http_destroy(struct service *service)
{
	struct http *http = service->http;
	struct request *request;
	struct machine *machine;

	if (http == NULL) {
		return;
	}
	/* Their connections are the library's still, which is to end with none. */
	for (machine = service->machines; machine != NULL; machine = machine->next) {
		console_close(machine);
		display_close(machine);
	}
	/* Who waits is hung up. */
	for (request = http->requests; request != NULL; request = request->next) {
		if (request->suspended) {
			resume(request);
		}
	}
	if (http->daemon != NULL) {
		MHD_stop_daemon(http->daemon);
	}
	loop_stop_timer(service, &http->timer);
	service->http = NULL;
	free(http);
}
