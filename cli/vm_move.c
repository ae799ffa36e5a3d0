/*
 * vm's verbs that are about two hosts: a machine moves to another one, with the rights that this
 * user has at both. Each service is asked by itself, and the machine's way from one to the other is
 * through here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/vm.h"
#include "hosted/listen.h"
#include "hosted/member.h"
#include "hosted/say.h"
#include "hosted/whole.h"
#include "include/mgmt/service.h"

#define CARRIED 65536

/* ---- Bytes ---- */

/* A way from one descriptor to another one; -1: it has ended. */
struct way {
	int from, to;
};

static void carry_some(struct way *way)
{
	static char bytes[CARRIED];
	ssize_t got = read(way->from, bytes, sizeof(bytes));

	if (got < 0 && errno == EINTR) {
		return;
	}
	if (got <= 0 || whole_write(way->to, bytes, (size_t)got) != 0) {
		(void)shutdown(way->to, SHUT_WR); /* a pipe has its end with the process */
		way->from = -1;
	}
}

/* Until the second way has ended, or both. What was said last before an end arrives. */
static void carry(struct way ways[2])
{
	while (ways[1].from >= 0) {
		struct pollfd fds[] = {{ways[0].from, POLLIN, 0}, {ways[1].from, POLLIN, 0}};

		if (poll(fds, 2, -1) < 0 && errno != EINTR) {
			return;
		}
		for (int i = 0; i < 2; i++) {
			if (fds[i].revents != 0) {
				carry_some(&ways[i]);
			}
		}
	}
}

int vm_proxy(struct vm *vm)
{
	int fd = connect_at(vm->socket, SOCK_STREAM);
	struct way ways[] = {{STDIN_FILENO, fd}, {fd, STDOUT_FILENO}};

	if (fd < 0) {
		say("%s: %s; start vmms, or give its socket by --socket", vm->socket,
		    strerror(-fd));
		return VM_FAILED;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	carry(ways);
	close(fd);
	return VM_DONE;
}

/* ---- The two services ---- */

struct pair {
	struct vm *vm;
	const char *where;
	struct http *there;
	json_t *job, *offer; /* the source's */
	json_t *arrival;     /* the target's answer */
};

/* Where the machine goes. NULL: said why. */
static const char *find_target(const struct vm *vm)
{
	const char *where = vm->to != NULL ? vm->to : vm->count > 1 ? vm->words[1] : NULL;

	if (where == NULL || (vm->to != NULL && vm->count > 1)) {
		say("say to which host, once: --host ssh://[USER@]HOST or https://HOST[:PORT]");
		return NULL;
	}
	if (strncmp(where, "https://", 8) == 0) {
		if (vm->host != NULL) {
			say("%s: one token is for one host; do this on the host where the machine "
			    "runs, or "
			    "give that as ssh://HOST",
			    where);
			return NULL;
		}
		return vm_show_token(vm, where) ? where : NULL;
	}
	if (strncmp(where, "ssh://", 6) == 0 || where[0] == '/') {
		return where;
	}
	say("%s: write ssh://[USER@]HOST or https://HOST[:PORT]", where);
	return NULL;
}

static void close_pair(struct pair *pair)
{
	if (pair->there != NULL) {
		http_close(pair->there);
	}
	json_decref(pair->job);
	json_decref(pair->offer);
	json_decref(pair->arrival);
}

/* The source's machine is as it was. */
static void give_up(struct pair *pair)
{
	json_int_t job = json_integer_value(json_object_get(pair->job, "id"));
	char path[64];

	snprintf(path, sizeof(path), "/v1/jobs/%" JSON_INTEGER_FORMAT, job);
	json_decref(http_ask(pair->vm->http, "DELETE", path, NULL));
	snprintf(path, sizeof(path), "/v1/jobs/%" JSON_INTEGER_FORMAT "?wait=%d", job,
		 SERVICE_WAIT_MAX);
	json_decref(http_ask(pair->vm->http, "GET", path, NULL));
}

/* The source offers it, and the target looks at that, and (unless it only looks) waits for it.
 * VM_DONE, or said why. */
static int ask_both(struct pair *pair, bool check)
{
	struct vm *vm = pair->vm;
	json_t *answer;
	int status;

	pair->where = find_target(vm);
	if (pair->where == NULL) {
		return VM_USAGE;
	}
	pair->there = http_open(pair->where, true);
	if (pair->there == NULL) {
		return VM_FAILED;
	}
	answer = vm_ask(vm, "POST",
			json_pack("{s:s, s:s*, s:b}", "to", pair->where, "shared", vm->shared,
				  "storage", vm->along),
			"/v1/machines/%s/departure%s", vm->words[0], "");
	if (answer == NULL) {
		return vm_refused(vm);
	}
	pair->job = json_incref(json_object_get(answer, "job"));
	pair->offer = json_incref(json_object_get(answer, "offer"));
	json_decref(answer);
	if (pair->offer == NULL) {
		return VM_FAILED;
	}
	json_object_set_new(pair->offer, "check", json_boolean(check));
	pair->arrival = http_ask(pair->there, "POST", "/v1/arrivals", json_incref(pair->offer));
	if (pair->arrival == NULL) {
		status = vm_refused_by(pair->there);
		give_up(pair);
		return status;
	}
	return VM_DONE;
}

/* Who waits for what we say is to wait no longer than for us. */
static void leave_terminal(void)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && nowhere >= 0; fd++) {
		(void)dup2(nowhere, fd);
	}
}

static int settle(const char *source, const char *target, const char *id);

/* A process carries it: so this one can wait for the jobs, or end. */
static bool join(const struct pair *pair)
{
	char *id = http_escape(pair->vm->http, member_text(pair->arrival, "machine"));
	char there[160], here[160];
	struct way ways[2];
	int target, source;
	pid_t child;

	snprintf(there, sizeof(there), "/v1/machines/%s/arrival", id);
	snprintf(here, sizeof(here), "/v1/machines/%s/departure", id);
	free(id);
	target = http_console(pair->where, there);
	source = target >= 0 ? http_console(pair->vm->socket, here) : -1;
	child = source >= 0 ? fork() : -1;
	if (child == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		if (pair->vm->no_wait) {
			leave_terminal();
		}
		ways[0] = (struct way){source, target};
		ways[1] = (struct way){target, source};
		carry(ways);
		close(source);
		close(target);
		if (pair->vm->along) {
			(void)settle(pair->vm->socket, pair->where,
				     member_text(pair->arrival, "machine"));
		}
		_exit(0);
	}
	if (target >= 0) {
		close(target);
	}
	if (source >= 0) {
		close(source);
	}
	return child > 0;
}

/* ---- A connection that was cut when it was about to be decided ---- */

#define SETTLE_TRIES 100
#define SETTLE_US    100000

static json_t *ask_owner(struct http *http, const char *verb, const char *id, const char *way,
			 json_t *body)
{
	char *name = http_escape(http, id), path[200];

	snprintf(path, sizeof(path), "/v1/machines/%s/%s/owner", name, way);
	free(name);
	return http_ask(http, verb, path, body);
}

/* Whether the machine is here, and not on its way. */
static bool is_at_home(struct http *http, const char *id)
{
	char *name = http_escape(http, id), path[160];
	json_t *machine, *document;
	bool is;

	snprintf(path, sizeof(path), "/v1/machines/%s", name);
	free(name);
	machine = http_ask(http, "GET", path, NULL);
	document = json_object_get(machine, "document");
	is = machine != NULL && json_object_get(document, "arrival") == NULL &&
	     json_object_get(document, "departure") == NULL;
	json_decref(machine);
	return is;
}

/*
 * Each side has a file of its own there, and the source's says whose the machine is: that is told
 * to the target, if it has asked and not heard it; and when it has written it down, the source is
 * told that, which keeps what it has until then. 0: all of it is known; 1: not yet; 2: nothing is
 * to be done.
 */
static int settle_some(struct http *here, struct http *there, const char *id)
{
	json_t *source = ask_owner(here, "GET", id, "departure", NULL), *told;
	char whose[16];
	bool seen, heard;

	snprintf(whose, sizeof(whose), "%s", member_text(source, "whose"));
	seen = json_is_true(json_object_get(source, "seen"));
	json_decref(source);
	/* One that has kept it knows nothing of the move any more. */
	if (whose[0] == '\0' && is_at_home(here, id)) {
		snprintf(whose, sizeof(whose), "source");
	}
	if (whose[0] == '\0' || seen) {
		return 2;
	}
	if (strcmp(whose, "nobody") == 0) {
		return 1;
	}
	told = ask_owner(there, "POST", id, "arrival", json_pack("{s:s}", "whose", whose));
	heard = told != NULL;
	json_decref(told);
	if (strcmp(whose, "target") != 0) {
		return heard ? 0 : 2;
	}
	if (!is_at_home(there, id)) {
		return 1;
	}
	json_decref(ask_owner(here, "POST", id, "departure", json_pack("{s:b}", "seen", true)));
	return 0;
}

static int settle(const char *source, const char *target, const char *id)
{
	struct http *here = http_open(source, false), *there = http_open(target, false);
	int result = here != NULL && there != NULL ? 1 : 2;

	for (unsigned int i = 0; i < SETTLE_TRIES && result == 1; i++) {
		result = settle_some(here, there, id);
		if (result == 1) {
			usleep(SETTLE_US);
		}
	}
	if (here != NULL) {
		http_close(here);
	}
	if (there != NULL) {
		http_close(there);
	}
	return result;
}

static int finish_move(struct vm *vm)
{
	const char *where = find_target(vm);
	int result;

	if (where == NULL) {
		return VM_USAGE;
	}
	result = settle(vm->socket, where, vm->words[0]);
	if (result != 0) {
		say("'%s': %s", vm->words[0],
		    result == 2 ? "nothing is to be finished, or a host does not answer"
				: "the two hosts do not agree yet; ask again");
	}
	return result == 0 ? VM_DONE : VM_FAILED;
}

/* The target has written it down, or says why it has not come. */
static int wait_there(const struct pair *pair)
{
	json_t *job = json_incref(json_object_get(pair->arrival, "job"));
	const char *state = member_text(job, "state");
	char path[64];
	int status;

	while (job != NULL && (strcmp(state, "queued") == 0 || strcmp(state, "running") == 0)) {
		snprintf(path, sizeof(path), "/v1/jobs/%" JSON_INTEGER_FORMAT "?wait=%d",
			 json_integer_value(json_object_get(job, "id")), SERVICE_WAIT_MAX);
		json_decref(job);
		job = http_ask(pair->there, "GET", path, NULL);
		state = member_text(job, "state");
	}
	status = strcmp(state, "done") == 0 ? VM_DONE : VM_FAILED;
	if (status != VM_DONE && job != NULL) {
		say("there: %s", member_text(json_object_get(job, "error"), "detail"));
	}
	json_decref(job);
	return status;
}

int vm_migrate(struct vm *vm)
{
	struct pair pair = {.vm = vm};
	int status, there;

	if (vm->finish) {
		return finish_move(vm);
	}
	status = ask_both(&pair, false);

	if (status == VM_DONE && !join(&pair)) {
		give_up(&pair);
		status = VM_FAILED;
	}
	if (status == VM_DONE) {
		status = vm_wait(vm, json_incref(pair.job));
		if (!vm->no_wait) {
			there = wait_there(&pair);
			status = status == VM_DONE ? there : status;
		}
	}
	close_pair(&pair);
	return status;
}

int vm_compare(struct vm *vm)
{
	struct pair pair = {.vm = vm};
	int status = ask_both(&pair, true);

	if (status == VM_DONE) {
		give_up(&pair);
		printf("'%s' can run there\n", vm->words[0]);
	}
	close_pair(&pair);
	return status;
}
