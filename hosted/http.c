/* See http.h. */
#include "hosted/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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
#define HTTPS      "https://"
#define SSH        "ssh://"
#define PART       100   /* items of a list at once */
#define CARRIED    16384 /* bytes at once; as much as a record of TLS has */

struct http {
	CURL *curl;
	const char *where;
	char path[48]; /* of the socket, by ssh */
	int ssh;       /* -1: not so */
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

static struct {
	const char *token, *certificates, *client, *key;
} shown;

void http_set_credentials(const char *token, const char *certificates)
{
	shown.token = token;
	shown.certificates = certificates;
}

void http_set_client(const char *certificate, const char *key)
{
	shown.client = certificate;
	shown.key = key;
}

static bool is_elsewhere(const char *where)
{
	return strncmp(where, HTTPS, strlen(HTTPS)) == 0;
}

static bool is_by_ssh(const char *where)
{
	return strncmp(where, SSH, strlen(SSH)) == 0;
}

static _Noreturn void run_ssh(int fd, const char *where)
{
	(void)dup2(fd, STDIN_FILENO);
	(void)dup2(fd, STDOUT_FILENO);
	execlp("ssh", "ssh", "-T", "-o", "LogLevel=ERROR", "--", where, "vm", "proxy", NULL);
	say("ssh: %s", strerror(errno));
	_exit(127);
}

/* A socket to the service there, through ssh(1) and `vm proxy`; or -errno. It ends with the
 * connection. */
static int connect_by_ssh(const char *where)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		return -errno;
	}
	child = fork();
	if (child == 0) {
		(void)dup2(pair[1], STDIN_FILENO);
		(void)dup2(pair[1], STDOUT_FILENO);
		execlp("ssh", "ssh", "-T", "-o", "LogLevel=ERROR", "--", where, "vm", "proxy",
		       NULL);
		say("ssh: %s", strerror(errno));
		_exit(127);
	}
	close(pair[1]);
	if (child < 0) {
		close(pair[0]);
		return -errno;
	}
	return pair[0];
}

/*
 * libcurl wants a path, so a process listens at one in a folder of our own, and joins each that
 * connects with an ssh of its own. It ends with us, and takes the folder away.
 */
struct by_ssh {
	char folder[32], path[48];
	int listener, alive[2]; /* what we hold of the second, it sees closed */
};

static _Noreturn void serve_by_ssh(const struct by_ssh *ssh, const char *where)
{
	struct pollfd fds[] = {{ssh->listener, POLLIN, 0}, {ssh->alive[0], POLLIN, 0}};
	int fd, nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGCHLD, SIG_IGN);
	(void)dup2(nowhere, STDIN_FILENO);
	(void)dup2(nowhere, STDOUT_FILENO);
	close(ssh->alive[1]);
	while (poll(fds, 2, -1) >= 0 && fds[1].revents == 0) {
		fd = fds[0].revents != 0 ? accept4(ssh->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd >= 0 && fork() == 0) {
			(void)signal(SIGINT, SIG_DFL);
			run_ssh(fd, where);
		}
		if (fd >= 0) {
			close(fd);
		}
	}
	(void)unlink(ssh->path);
	(void)rmdir(ssh->folder);
	_exit(0);
}

/* What we hold of it, or -1: said why. `path`: where it listens. */
static int listen_for_ssh(const char *where, char path[48])
{
	struct by_ssh ssh = {.folder = "/tmp/vm-ssh-XXXXXX", .alive = {-1, -1}};
	pid_t child = -1;

	if (mkdtemp(ssh.folder) == NULL || pipe2(ssh.alive, O_CLOEXEC) != 0) {
		say("%s: %s", ssh.folder, strerror(errno));
		return -1;
	}
	snprintf(ssh.path, sizeof(ssh.path), "%s/socket", ssh.folder);
	ssh.listener = listen_privately(ssh.path, -1, SOCK_STREAM, 4, "");
	child = ssh.listener >= 0 ? fork() : -1;
	if (child == 0) {
		serve_by_ssh(&ssh, where);
	}
	if (ssh.listener >= 0) {
		close(ssh.listener);
	}
	close(ssh.alive[0]);
	if (child < 0) {
		(void)unlink(ssh.path);
		(void)rmdir(ssh.folder);
		close(ssh.alive[1]);
		return -1;
	}
	memcpy(path, ssh.path, sizeof(ssh.path));
	return ssh.alive[1];
}

struct http *http_open(const char *where, bool says)
{
	struct http *http = calloc(1, sizeof(*http));

	if (http != NULL) {
		http->curl = curl_easy_init();
		http->where = where;
		http->says = says;
		http->ssh = -1;
	}
	if (http == NULL || http->curl == NULL) {
		say("out of memory");
		free(http);
		return NULL;
	}
	if (is_by_ssh(where)) {
		http->ssh = listen_for_ssh(where, http->path);
		if (http->ssh < 0) {
			http_close(http);
			return NULL;
		}
	}
	return http;
}

void http_close(struct http *http)
{
	curl_easy_cleanup(http->curl);
	if (http->ssh >= 0) {
		close(http->ssh);
	}
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

/* Where and as whom. */
static void set_place(CURL *curl, const char *where, const char *path)
{
	char url[2048];
	const char *host, *port;

	if (!is_elsewhere(where)) {
		snprintf(url, sizeof(url), "http://localhost%s", path);
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, where);
	} else {
		host = where + strlen(HTTPS);
		port = strchr(host[0] == '[' ? host + strcspn(host, "]") : host, ':');
		snprintf(url, sizeof(url), "%s%s%s", where,
			 port == NULL ? ":" SERVICE_WEB_PORT : "", path);
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
		curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
		if (shown.token != NULL) {
			curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
			curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, shown.token);
		}
		if (shown.client != NULL) {
			curl_easy_setopt(curl, CURLOPT_SSLCERT, shown.client);
			curl_easy_setopt(curl, CURLOPT_SSLKEY, shown.key);
		}
		if (shown.certificates != NULL) {
			curl_easy_setopt(curl, CURLOPT_CAINFO, shown.certificates);
		}
	}
	curl_easy_setopt(curl, CURLOPT_URL, url);
}

static void set_up(struct http *http, const char *method, const char *path)
{
	http->length = 0;
	http->code[0] = '\0';
	curl_easy_reset(http->curl);
	set_place(http->curl, http->ssh >= 0 ? http->path : http->where, path);
	curl_easy_setopt(http->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, http);
}

/* What became of a request. False: said. */
static bool understand(struct http *http, CURLcode result)
{
	if (result == CURLE_COULDNT_CONNECT) {
		complain(http, "%s: nobody listens; start %s", http->where,
			 is_elsewhere(http->where) ? "vweb there, with --listen for other hosts"
						   : "vmms, or give its socket by --socket");
	} else if (result == CURLE_GOT_NOTHING && is_by_ssh(http->where)) {
		complain(http, "%s: no answer; vmms, and vm of this version, have to be there",
			 http->where);
	} else if (result == CURLE_PEER_FAILED_VERIFICATION) {
		complain(http,
			 "%s: %s; give a copy of its certificate.pem by --certificate, or another "
			 "name of it",
			 http->where, curl_easy_strerror(result));
	} else if (result != CURLE_OK) {
		complain(http, "%s: %s", http->where, curl_easy_strerror(result));
	}
	return result == CURLE_OK;
}

static bool perform(struct http *http)
{
	return understand(http, curl_easy_perform(http->curl));
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

json_t *http_list(struct http *http, const char *path, const char *member)
{
	json_t *list = json_array(), *answer;
	char *cursor = strdup(""), part[1024];
	const char *next;

	while (list != NULL && cursor != NULL) {
		snprintf(part, sizeof(part), "%s?limit=%d%s%s", path, PART,
			 cursor[0] != '\0' ? "&cursor=" : "", cursor);
		free(cursor);
		cursor = NULL;
		answer = http_ask(http, "GET", part, NULL);
		if (answer == NULL) {
			json_decref(list);
			return NULL;
		}
		json_array_extend(list, json_object_get(answer, member));
		next = json_string_value(json_object_get(answer, "next"));
		if (next != NULL && json_array_size(json_object_get(answer, member)) != 0) {
			cursor = http_escape(http, next);
		}
		json_decref(answer);
	}
	free(cursor);
	return list;
}

/* ---- Files ---- */

struct file {
	struct http *http;
	int fd;
	int error; /* of the file, not of the way */
	http_step *step;
	void *user;
};

static size_t read_file(char *to, size_t size, size_t count, void *user)
{
	struct file *file = user;
	ssize_t got = read(file->fd, to, size * count);

	file->error = got < 0 ? errno : 0;
	return got >= 0 ? (size_t)got : CURL_READFUNC_ABORT;
}

/* Of a refusal the body is its reason. */
static size_t write_file(char *data, size_t size, size_t count, void *user)
{
	struct file *file = user;
	size_t left = size * count;
	long status = 0;
	ssize_t written;

	curl_easy_getinfo(file->http->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400 || file->fd < 0) {
		return take(data, size, count, file->http);
	}
	for (; left != 0; left -= (size_t)written, data += written) {
		written = write(file->fd, data, left);
		if (written <= 0) {
			file->error = written < 0 ? errno : ENOSPC;
			return 0;
		}
	}
	return size * count;
}

static int show_step(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		     curl_off_t up)
{
	const struct file *file = user;

	file->step(file->user, (double)(up_total != 0 ? up : down),
		   (double)(up_total != 0 ? up_total : down_total));
	return 0;
}

static bool carry_file(struct file *file)
{
	struct http *http = file->http;
	long status = 0;
	json_t *problem;
	CURLcode result;

	curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, file);
	curl_easy_setopt(http->curl, CURLOPT_XFERINFOFUNCTION, show_step);
	curl_easy_setopt(http->curl, CURLOPT_XFERINFODATA, file);
	curl_easy_setopt(http->curl, CURLOPT_NOPROGRESS, file->step == NULL ? 1L : 0L);
	result = curl_easy_perform(http->curl);
	curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400) {
		problem = json_loadb(http->text != NULL ? http->text : "", http->length, 0, NULL);
		say_problem(http, problem, status);
		json_decref(problem);
	} else if (file->error != 0) {
		complain(http, "the file: %s", strerror(file->error));
	} else {
		return understand(http, result);
	}
	return false;
}

bool http_put(struct http *http, const char *path, int fd, uint64_t size, http_step *step,
	      void *user)
{
	struct file file = {.http = http, .fd = fd, .step = step, .user = user};
	struct file answer = {.http = http, .fd = -1, .step = step, .user = user};
	bool done;

	set_up(http, "PUT", path);
	curl_easy_setopt(http->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(http->curl, CURLOPT_READFUNCTION, read_file);
	curl_easy_setopt(http->curl, CURLOPT_READDATA, &file);
	curl_easy_setopt(http->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
	/* Whether it may come is answered before it does. */
	curl_easy_setopt(http->curl, CURLOPT_EXPECT_100_TIMEOUT_MS, 60000L);
	curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, write_file);
	done = carry_file(&answer);
	if (file.error != 0) {
		complain(http, "the file: %s", strerror(file.error));
	}
	return done;
}

bool http_fetch(struct http *http, const char *path, int fd, http_step *step, void *user)
{
	struct file file = {.http = http, .fd = fd, .step = step, .user = user};

	set_up(http, "GET", path);
	curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, write_file);
	return carry_file(&file);
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
	complain(http, "%s: %s", http->where,
		 result == CURLE_OK ? "the service has ended" : curl_easy_strerror(result));
	return false;
}

/* ---- Consoles ---- */

/* A connection to the service: a socket, or TLS on one. */
struct line {
	int fd;
	CURL *curl; /* NULL: a socket */
};

/* As of read(); -1: there is nothing yet. */
static ssize_t line_read(const struct line *line, char *bytes, size_t size)
{
	CURLcode result;
	size_t got;

	if (line->curl == NULL) {
		return read(line->fd, bytes, size);
	}
	result = curl_easy_recv(line->curl, bytes, size, &got);
	return result == CURLE_OK ? (ssize_t)got : result == CURLE_AGAIN ? -1 : 0;
}

static void line_wait(const struct line *line, short events)
{
	struct pollfd fd = {line->fd, events, 0};

	(void)poll(&fd, 1, -1);
}

static bool line_write(const struct line *line, const char *bytes, size_t length)
{
	CURLcode result;
	size_t sent;

	if (line->curl == NULL) {
		return send(line->fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
	}
	while (length != 0) {
		result = curl_easy_send(line->curl, bytes, length, &sent);
		if (result == CURLE_AGAIN) {
			line_wait(line, POLLOUT);
		} else if (result != CURLE_OK) {
			return false;
		} else {
			bytes += sent;
			length -= sent;
		}
	}
	return true;
}

/* As of read(); it is waited for. */
static ssize_t line_read_some(const struct line *line, char *bytes, size_t size)
{
	ssize_t got;

	while ((got = line_read(line, bytes, size)) < 0 && line->curl != NULL) {
		line_wait(line, POLLIN);
	}
	return got;
}

/* The head of the answer, not a byte more: what follows is the guest's. */
static bool read_head(const struct line *line, char *head, size_t size)
{
	size_t length = 0;

	while (length + 1 < size && line_read_some(line, head + length, 1) == 1) {
		head[++length] = '\0';
		if (length >= 4 && strcmp(head + length - 4, "\r\n\r\n") == 0) {
			return true;
		}
	}
	return false;
}

static void say_refusal(const struct line *line, const char *head)
{
	const char *length_of = strcasestr(head, "Content-Length:");
	size_t length = length_of != NULL ? strtoul(length_of + 15, NULL, 10) : 0, got = 0;
	char text[2048];
	struct http nobody = {.says = true};
	json_t *problem;
	ssize_t part;

	while (got < length && got < sizeof(text) &&
	       (part = line_read_some(line, text + got, sizeof(text) - got)) > 0) {
		got += (size_t)part;
	}
	problem = json_loadb(text, got < length ? got : length, 0, NULL);
	say_problem(&nobody, problem, strtol(head + strcspn(head, " "), NULL, 10));
	json_decref(problem);
}

static bool upgrade(const struct line *line, const char *where, const char *path)
{
	const char *token = line->curl != NULL ? shown.token : NULL;
	char text[HEAD_MAX];
	int length = snprintf(text, sizeof(text),
			      "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
			      "Upgrade: %s\r\n%s%s%s\r\n",
			      path, SERVICE_CONSOLE, token != NULL ? "Authorization: Bearer " : "",
			      token != NULL ? token : "", token != NULL ? "\r\n" : "");

	if (length < 0 || (size_t)length >= sizeof(text) ||
	    !line_write(line, text, (size_t)length) || !read_head(line, text, sizeof(text))) {
		say("%s: the service hangs up", where);
	} else if (strncmp(text, "HTTP/1.1 101", 12) == 0) {
		return true;
	} else {
		say_refusal(line, text);
	}
	return false;
}

/* Bytes of the console and of the other end of `fd`, until either is over. */
static void carry(const struct line *line, int fd)
{
	struct pollfd fds[] = {{fd, POLLIN, 0}, {line->fd, POLLIN, 0}};
	char bytes[CARRIED];
	ssize_t got;

	for (;;) {
		/* TLS may have some already. */
		while ((got = line_read(line, bytes, sizeof(bytes))) > 0) {
			if (send(fd, bytes, (size_t)got, MSG_NOSIGNAL) != got) {
				return;
			}
		}
		if (got == 0 || poll(fds, 2, -1) < 0) {
			return;
		}
		if (fds[0].revents != 0) {
			got = read(fd, bytes, sizeof(bytes));
			if (got <= 0) {
				return;
			}
			if (!line_write(line, bytes, (size_t)got)) {
				break;
			}
		}
	}
}

/* What was said before it hung up may be why. */
static void carry_rest(const struct line *line, int fd)
{
	char bytes[CARRIED];
	ssize_t got;

	while ((got = line_read_some(line, bytes, sizeof(bytes))) > 0 &&
	       send(fd, bytes, (size_t)got, MSG_NOSIGNAL) == got) {
	}
}

/* A process has the TLS, and the caller a socket, as of a console of this host. */
static int console_elsewhere(const char *where, const char *path)
{
	struct line line = {.fd = -1, .curl = curl_easy_init()};
	CURLcode result = CURLE_OUT_OF_MEMORY;
	curl_socket_t fd = CURL_SOCKET_BAD;
	int pair[2] = {-1, -1};
	pid_t child = -1;

	if (line.curl != NULL) {
		set_place(line.curl, where, "/");
		curl_easy_setopt(line.curl, CURLOPT_CONNECT_ONLY, 1L);
		result = curl_easy_perform(line.curl);
		(void)curl_easy_getinfo(line.curl, CURLINFO_ACTIVESOCKET, &fd);
	}
	line.fd = fd;
	if (result != CURLE_OK) {
		say("%s: %s", where, curl_easy_strerror(result));
	} else if (upgrade(&line, where, path) &&
		   socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
		child = fork();
	}
	if (child == 0) {
		close(pair[0]);
		carry(&line, pair[1]);
		carry_rest(&line, pair[1]);
		_exit(0);
	}
	if (pair[1] >= 0) {
		close(pair[1]);
	}
	if (child < 0 && pair[0] >= 0) {
		say("%s: %s", where, strerror(errno));
		close(pair[0]);
	}
	/* TLS is not said to end: the child goes on with it. */
	return child > 0 ? pair[0] : -1;
}

int http_console(const char *where, const char *path)
{
	struct line line = {.curl = NULL};

	if (is_elsewhere(where)) {
		return console_elsewhere(where, path);
	}
	line.fd = is_by_ssh(where) ? connect_by_ssh(where) : connect_at(where, SOCK_STREAM);
	if (line.fd < 0) {
		say("%s: %s; start vmms, or give its socket by --socket", where,
		    strerror(-line.fd));
		return -1;
	}
	if (upgrade(&line, where, path)) {
		return line.fd;
	}
	close(line.fd);
	return -1;
}
