/*
 * The monitor: accepts, gives each connection a process, and answers what that asks with what its
 * client has shown. It is root, so it parses nothing but packets of one form, and never waits: what
 * takes time (PAM, becoming a user) is done by a process of its own, and until that has ended
 * nothing more is read of the connection that asked.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/packet.h"
#include "hosted/say.h"
#include "web/rdp.h"
#include "web/vnc.h"
#include "web/web.h"

#define CONNECTIONS_MAX 256
#define OF_ADDRESS_MAX  64 /* connections at once */
#define LOGIN_SECONDS   60 /* that PAM may take */
#define LOGINS_MAX      8  /* at once */
#define KEY_ROOM        96

/*
 * A connection's process.
 *   m: the monitor's alone; nothing here is seen by the process but by the answers.
 */
struct connection {
	int fd;              /* m: to its process; -1: the place is free */
	pid_t process;       /* m */
	pid_t helper;        /* m: what it asked for is being done by this one; 0: nothing is */
	bool is_login;       /* m: by a helper */
	bool is_judged;      /* m: a certificate is looked at by a helper */
	char user[USER_MAX]; /* m: of that login */
	char address[ADDRESS_MAX]; /* m: whom it serves */
	char network[ADDRESS_MAX]; /* m: what is counted: of IPv6 the first 64 bits */
};

static struct connection connections[CONNECTIONS_MAX];
static struct monitor *monitor;

static time_t now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

/* ---- Answers ---- */

static void send_answer(const struct connection *connection, const struct answer *answer)
{
	/* Who does not take it has gone, or waits in vain. */
	(void)!packet_send(connection->fd, MSG_DONTWAIT, answer, sizeof(*answer), NULL, 0);
}

static void send_result(const struct connection *connection, enum answer_result result)
{
	const struct answer answer = {.result = result};

	send_answer(connection, &answer);
}

/* In a process of its own nothing of the others is kept. */
static pid_t fork_helper(const struct connection *own)
{
	const pid_t parent = getpid();
	pid_t child = fork();
	sigset_t none;

	if (child != 0) {
		return child;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (getppid() != parent) {
		_exit(1);
	}
	for (unsigned int i = 0; i < monitor->listener_count; i++) {
		close(monitor->listeners[i]);
	}
	for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
		if (connections[i].fd >= 0 && &connections[i] != own) {
			close(connections[i].fd);
		}
	}
	return 0;
}

/* ---- Logins ---- */

static void user_key(const char *user, char key[KEY_ROOM])
{
	snprintf(key, KEY_ROOM, "user %s", user);
}

/* For the log: a name is as long as it is, but has nothing odd in it. */
static const char *printable(const char *name)
{
	static char text[USER_MAX];
	size_t i;

	for (i = 0; i < USER_MAX - 1 && name[i] != '\0'; i++) {
		text[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
	}
	text[i] = '\0';
	return text;
}

static void begin_login(struct connection *connection, struct ask *ask)
{
	unsigned int logins = 0;
	char key[KEY_ROOM];

	for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
		logins += connections[i].helper != 0 && connections[i].is_login;
	}
	user_key(ask->user, key);
	if (logins >= LOGINS_MAX ||
	    !limit_allows(connection->network, LIMIT_FAILURES, now_seconds()) ||
	    (!limit_allows(key, LIMIT_OF_NAME, now_seconds()) &&
	     !limit_knows(ask->user, connection->network))) {
		say("login: %s from %s: refused, too many attempts", printable(ask->user),
		    connection->address);
		send_result(connection, ANSWER_LATER);
		return;
	}
	connection->helper = fork_helper(connection);
	if (connection->helper == 0) {
		close(connection->fd);
		alarm(LOGIN_SECONDS);
		_exit(login_check(monitor->pam, ask->user, ask->password, connection->address) ? 0
											       : 1);
	}
	if (connection->helper < 0) {
		connection->helper = 0;
		send_result(connection, ANSWER_UNREACHABLE);
		return;
	}
	connection->is_login = true;
	memcpy(connection->user, ask->user, USER_MAX);
}

static void end_login(struct connection *connection, bool taken)
{
	struct answer answer = {.result = ANSWER_NO};
	char key[KEY_ROOM];

	connection->is_login = false;
	if (taken && connection->fd >= 0 &&
	    session_begin(connection->user, now_seconds(), answer.session)) {
		answer.result = ANSWER_YES;
		memcpy(answer.user, connection->user, USER_MAX);
		limit_know(connection->user, connection->network);
		say("login: %s from %s", printable(connection->user), connection->address);
	} else {
		user_key(connection->user, key);
		if (!limit_knows(connection->user, connection->network)) {
			limit_failed(key, now_seconds());
		}
		limit_failed(connection->network, now_seconds());
		say("login: %s from %s: refused", printable(connection->user), connection->address);
	}
	send_answer(connection, &answer);
	explicit_bzero(&answer, sizeof(answer));
}

/* ---- Secrets ---- */

/* Who tries many is not written down each time. */
static void refuse(const struct connection *connection, const struct secret *secret,
		   const char *why)
{
	if (limit_allows(connection->network, LIMIT_FAILURES, now_seconds())) {
		limit_failed(connection->network, now_seconds());
		say("%s: refused from %s: %s",
		    secret->kind == SECRET_CERTIFICATE ? "certificate" : "token",
		    connection->address, why);
	}
}

static bool find_user(const struct secret *secret, struct token *token)
{
	const char *found;

	*token = (struct token){.machine = ""};
	if (secret->kind == SECRET_SESSION) {
		found = session_find(secret->text, now_seconds());
		snprintf(token->user, USER_MAX, "%s", found != NULL ? found : "");
		return found != NULL;
	}
	return secret->kind != SECRET_NONE && token_find(monitor->store, secret, token);
}

/* Becomes the user, connects, for one machine alone if that is all of it, hands it over. */
static _Noreturn void open_for(const struct connection *connection, const struct token *token)
{
	struct answer answer = {.result = ANSWER_NO};
	const char *user = token->user;
	const struct passwd *who = getpwnam(user);
	int fd = -1;

	snprintf(answer.user, sizeof(answer.user), "%s", user);
	if (who != NULL &&
	    (geteuid() == 0 ? initgroups(user, who->pw_gid) == 0 && setgid(who->pw_gid) == 0 &&
				      setuid(who->pw_uid) == 0
			    : who->pw_uid == geteuid())) {
		fd = connect_at(monitor->socket, SOCK_STREAM);
		answer.result = fd < 0 ? ANSWER_UNREACHABLE
				: token->machine[0] != '\0' && !forward_limit(fd, token->machine)
					? ANSWER_NO
					: ANSWER_YES;
	}
	if (answer.result != ANSWER_YES && fd >= 0) {
		close(fd);
		fd = -1;
	}
	(void)!packet_send(connection->fd, 0, &answer, sizeof(answer), &fd, fd >= 0 ? 1 : 0);
	_exit(0);
}

/* In a process of its own: whose certificate it is, then what was asked for. */
static _Noreturn void judge(const struct connection *connection, const struct ask *ask, bool says)
{
	struct answer answer = {.result = ANSWER_YES};
	struct token token = {.machine = ""};
	char why[AUTHORITY_WHY];

	alarm(LOGIN_SECONDS);
	if (!authority_find(monitor->store, ask->shown.der, ask->shown.size, &token, why)) {
		if (says) {
			say("certificate: refused from %s: %s", connection->address, why);
		}
		send_result(connection, ANSWER_NO);
		_exit(1);
	}
	if (ask->what == ASK_OPEN) {
		open_for(connection, &token);
	}
	memcpy(answer.user, token.user, USER_MAX);
	send_answer(connection, &answer);
	_exit(0);
}

/* One that is not registered itself. */
static void serve_certificate(struct connection *connection, const struct ask *ask)
{
	bool says = limit_allows(connection->network, LIMIT_FAILURES, now_seconds());

	if (ask->shown.size == 0 || ask->shown.size > CERTIFICATE_MAX ||
	    !authority_is_there(monitor->store)) {
		refuse(connection, &ask->secret, "unknown, or removed");
		send_result(connection, ANSWER_NO);
		return;
	}
	connection->helper = fork_helper(connection);
	if (connection->helper == 0) {
		judge(connection, ask, says);
	}
	connection->is_judged = connection->helper > 0;
	if (connection->helper < 0) {
		connection->helper = 0;
		send_result(connection, ANSWER_UNREACHABLE);
	}
}

static void serve_secret(struct connection *connection, const struct ask *ask)
{
	bool is_certificate = ask->secret.kind == SECRET_CERTIFICATE;
	struct answer answer = {.result = ANSWER_NO};
	time_t now = time(NULL);
	struct token token;

	if (is_certificate && (ask->shown.from > now || ask->shown.to <= now)) {
		refuse(connection, &ask->secret,
		       ask->shown.to <= now ? "it has expired" : "it is not valid yet");
		send_result(connection, ANSWER_NO);
		return;
	}
	if (!secret_is_well_formed(ask->secret.text) || !find_user(&ask->secret, &token)) {
		if (is_certificate) {
			serve_certificate(connection, ask);
			return;
		}
		if (ask->secret.kind == SECRET_TOKEN) {
			refuse(connection, &ask->secret, "unknown, expired or removed");
		}
		send_result(connection, ANSWER_NO);
		return;
	}
	memcpy(answer.user, token.user, USER_MAX);
	if (ask->what == ASK_LOGOUT) {
		session_end(ask->secret.text);
		say("logout: %s from %s", printable(answer.user), connection->address);
	}
	if (ask->what != ASK_OPEN) {
		answer.result = ANSWER_YES;
		send_answer(connection, &answer);
		return;
	}
	connection->helper = fork_helper(connection);
	if (connection->helper == 0) {
		open_for(connection, &token);
	}
	if (connection->helper < 0) {
		connection->helper = 0;
		send_result(connection, ANSWER_UNREACHABLE);
	}
}

/* ---- Connections ---- */

/* Its process ends by itself: the socket is closed. */
static void drop(struct connection *connection)
{
	close(connection->fd);
	connection->fd = -1;
}

static void serve_ask(struct connection *connection)
{
	struct ask ask;
	struct packet packet = {.bytes = &ask, .size = sizeof(ask)};

	if (packet_receive(connection->fd, MSG_DONTWAIT, &packet) != 0 ||
	    packet.length != sizeof(ask) || packet.cut || packet.fds_cut) {
		drop(connection);
		return;
	}
	ask.secret.text[SECRET_TEXT - 1] = '\0';
	ask.user[USER_MAX - 1] = '\0';
	ask.password[PASSWORD_MAX - 1] = '\0';
	if (ask.what == ASK_LOGIN) {
		begin_login(connection, &ask);
	} else {
		serve_secret(connection, &ask);
	}
	explicit_bzero(&ask, sizeof(ask));
}

static void print_address(const struct sockaddr_storage *from, struct connection *connection)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
	struct in6_addr network = six->sin6_addr;

	if (from->ss_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr,
			  connection->address, ADDRESS_MAX);
		memcpy(connection->network, connection->address, ADDRESS_MAX);
		return;
	}
	inet_ntop(AF_INET6, &six->sin6_addr, connection->address, ADDRESS_MAX);
	if (!IN6_IS_ADDR_V4MAPPED(&network)) {
		memset(network.s6_addr + 8, 0, 8);
	}
	inet_ntop(AF_INET6, &network, connection->network, ADDRESS_MAX);
}

/* NULL: there is no place. */
static struct connection *find_place(const char *network)
{
	struct connection *place = NULL;
	unsigned int same = 0;

	for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
		/* A place whose process or helper has not ended yet is not free. */
		if (connections[i].fd < 0 && connections[i].process == 0 &&
		    connections[i].helper == 0) {
			place = &connections[i];
		} else {
			same += strcmp(connections[i].network, network) == 0;
		}
	}
	return same < OF_ADDRESS_MAX ? place : NULL;
}

static void start(struct connection *place, int client, enum listens whom)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		return;
	}
	place->process = fork_helper(NULL);
	if (place->process == 0) {
		close(pair[0]);
		if (whom == LISTENS_VNC) {
			vnc_serve(client, pair[1], &monitor->certificate);
		} else if (whom == LISTENS_RDP) {
			rdp_serve(client, pair[1], &monitor->certificate);
		} else {
			connection_serve(client, pair[1], &monitor->certificate,
					 token_certificates(monitor->store));
		}
		_exit(0);
	}
	close(pair[1]);
	if (place->process < 0) {
		place->process = 0;
		close(pair[0]);
		return;
	}
	place->fd = pair[0];
}

static void accept_one(int listener, enum listens whom)
{
	struct sockaddr_storage from = {0};
	socklen_t size = sizeof(from);
	int client = accept4(listener, (struct sockaddr *)&from, &size, SOCK_CLOEXEC);
	struct connection named = {.fd = -1}, *place;

	if (client < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			usleep(100000);
		}
		return;
	}
	print_address(&from, &named);
	place = find_place(named.network);
	if (place != NULL) {
		*place = named;
		start(place, client, whom);
	}
	close(client);
}

static void reap(void)
{
	int status;
	pid_t ended;

	while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
		for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
			struct connection *connection = &connections[i];

			if (connection->process == ended) {
				connection->process = 0;
				if (connection->fd >= 0) {
					drop(connection);
				}
			} else if (connection->helper == ended) {
				connection->helper = 0;
				if (connection->is_judged && status != 0) {
					limit_failed(connection->network, now_seconds());
				}
				connection->is_judged = false;
				if (connection->is_login) {
					end_login(connection,
						  WIFEXITED(status) && WEXITSTATUS(status) == 0);
				}
			}
		}
	}
}

/* False: it is to end. */
static bool take_signal(int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
		return true;
	}
	reap();
	return info.ssi_signo == SIGCHLD;
}

static int watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void monitor_run(struct monitor *own)
{
	struct pollfd fds[1 + LISTENERS_MAX + CONNECTIONS_MAX];
	unsigned int listeners = own->listener_count;
	struct pollfd *asks = fds + 1 + listeners;
	bool more = true;

	monitor = own;
	for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
		connections[i].fd = -1;
	}
	fds[0] = (struct pollfd){watch_signals(), POLLIN, 0};
	while (more) {
		for (unsigned int i = 0; i < listeners; i++) {
			fds[1 + i] = (struct pollfd){own->listeners[i], POLLIN, 0};
		}
		for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
			asks[i] = (struct pollfd){
				connections[i].helper == 0 ? connections[i].fd : -1, POLLIN, 0};
		}
		if (poll(fds, 1 + listeners + CONNECTIONS_MAX, -1) < 0) {
			continue;
		}
		for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
			if (asks[i].revents != 0 && connections[i].fd == asks[i].fd) {
				serve_ask(&connections[i]);
			}
		}
		more = fds[0].revents == 0 || take_signal(fds[0].fd);
		for (unsigned int i = 0; i < listeners; i++) {
			if (fds[1 + i].revents != 0) {
				accept_one(own->listeners[i], own->listens[i]);
			}
		}
	}
	close(fds[0].fd);
}
