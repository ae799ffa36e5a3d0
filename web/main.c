/* vweb: its words, where it listens. The tokens' verbs are here too: they need nothing that
 * runs. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "hosted/say.h"
#include "include/mgmt/service.h"
#include "web/web.h"

#define EXIT_USAGE 2
#define DAYS       90
#define DAYS_MAX   3650

static const char help[] =
	"usage: vweb [--listen ADDRESS:PORT]... [--vnc ADDRESS:PORT]... [--rdp ADDRESS:PORT]... "
	"[--certificate FILE --key FILE] [options]\n"
	"       vweb token add NAME --user USER [--machine NAME] [--client-certificate FILE] "
	"[--days N]\n"
	"       vweb token add NAME --client-authority FILE [--user USER] [--machine NAME] [--days "
	"N]\n"
	"       vweb token revocations NAME FILE\n"
	"       vweb token list\n"
	"       vweb token remove NAME\n"
	"\n"
	"The management service for other hosts and for browsers, over HTTPS.\n"
	"\n"
	"  --listen ADDRESS:PORT   " WEB_LISTEN " unless given; [::]:8443 is everybody\n"
	"  --vnc ADDRESS:PORT      where machines' screens are for viewers that speak VNC with "
	"TLS (X509Plain), as USER@MACHINE\n"
	"  --rdp ADDRESS:PORT      likewise for viewers that speak RDP with TLS; VMConnect's port "
	"is "
	"2179\n"
	"  --certificate FILE      PEM; without it one is made, which signs itself\n"
	"  --key FILE              ... its key\n"
	"  --store FOLDER          key, certificate and tokens; " WEB_STORE "\n"
	"  --socket PATH           the management service's; " SERVICE_SOCKET "\n"
	"  --pam SERVICE           whose rules a login has, of /etc/pam.d; " WEB_PAM "\n"
	"  --user USER, --days N   of a token: whose rights it has; for how long, "
	"90"
	" unless given\n"
	"  --machine NAME          of a token: for this machine alone, by its name or its id, to "
	"operate it at most\n"
	"  --client-certificate FILE  of a token: what is shown is this certificate (PEM), by TLS, "
	"and no text\n"
	"  --client-authority FILE  of a token: what is shown is any certificate that this "
	"authority "
	"(PEM) has signed; without --user its common name is the user, who is not root. Those on "
	"its list of revocations (`revocations NAME FILE`, PEM) are refused, and all once that is "
	"out of date\n";

struct words {
	struct monitor monitor;
	const char *listen[LISTENERS_MAX], *certificate, *key, *user, *machine, *client, *authority;
	unsigned int days;
	bool https; /* somewhere */
};

static bool take_listen(struct words *words, const char *where, enum listens whom)
{
	if (words->monitor.listener_count == LISTENERS_MAX) {
		say("--listen %s: %d are enough", where, LISTENERS_MAX);
		return false;
	}
	words->monitor.listens[words->monitor.listener_count] = whom;
	words->listen[words->monitor.listener_count++] = where;
	words->https |= whom == LISTENS_HTTPS;
	return true;
}

static bool take_days(struct words *words, const char *text)
{
	char *end;
	unsigned long days = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || days > DAYS_MAX) {
		say("--days %s: give 0 to %d", text, DAYS_MAX);
		return false;
	}
	words->days = (unsigned int)days;
	return true;
}

/* 0, or an exit status; -1: the help was asked for. */
static int take_words(struct words *words, int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"vnc", required_argument, NULL, 'v'},
		{"rdp", required_argument, NULL, 'r'},
		{"certificate", required_argument, NULL, 'c'},
		{"key", required_argument, NULL, 'k'},
		{"store", required_argument, NULL, 'f'},
		{"socket", required_argument, NULL, 's'},
		{"pam", required_argument, NULL, 'p'},
		{"user", required_argument, NULL, 'u'},
		{"days", required_argument, NULL, 'd'},
		{"machine", required_argument, NULL, 'm'},
		{"client-certificate", required_argument, NULL, 't'},
		{"client-authority", required_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	bool good = true;
	int option;

	while (good && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'l':
		case 'v':
		case 'r':
			good = take_listen(words, optarg,
					   option == 'v'   ? LISTENS_VNC
					   : option == 'r' ? LISTENS_RDP
							   : LISTENS_HTTPS);
			break;
		case 'c':
			words->certificate = optarg;
			break;
		case 'k':
			words->key = optarg;
			break;
		case 'f':
			words->monitor.store = optarg;
			break;
		case 's':
			words->monitor.socket = optarg;
			break;
		case 'p':
			words->monitor.pam = optarg;
			break;
		case 'u':
			words->user = optarg;
			break;
		case 'm':
			words->machine = optarg;
			break;
		case 't':
			words->client = optarg;
			break;
		case 'a':
			words->authority = optarg;
			break;
		case 'd':
			good = take_days(words, optarg);
			break;
		case 'h':
			return -1;
		default:
			good = false;
			break;
		}
	}
	if (good && (words->certificate == NULL) != (words->key == NULL)) {
		say("--certificate and --key are given together");
		good = false;
	}
	if (good && words->client != NULL && words->authority != NULL) {
		say("--client-certificate and --client-authority are two tokens");
		good = false;
	}
	return good ? 0 : EXIT_USAGE;
}

/* ---- Listening ---- */

static int listen_there(const struct addrinfo *where)
{
	const int on = 1;
	int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, where->ai_addr, where->ai_addrlen) != 0 || listen(fd, 64) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ADDRESS:PORT or [ADDRESS]:PORT. */
static int listen_tcp(const char *where)
{
	const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
				       .ai_socktype = SOCK_STREAM};
	const char *colon = strrchr(where, ':');
	struct addrinfo *found = NULL;
	char address[ADDRESS_MAX + 2];
	size_t length = colon != NULL ? (size_t)(colon - where) : 0, skip = 0;
	int fd = -1;

	if (length > 2 && where[0] == '[' && where[length - 1] == ']') {
		skip = 1;
		length -= 2;
	}
	if (length == 0 || length >= sizeof(address) || colon[1] == '\0') {
		say("--listen %s: write ADDRESS:PORT, as " WEB_LISTEN " or [::]:8443", where);
		return -1;
	}
	snprintf(address, sizeof(address), "%.*s", (int)length, where + skip);
	if (getaddrinfo(address, colon + 1, &hints, &found) != 0) {
		say("--listen %s: not an address of this host; give numbers", where);
		return -1;
	}
	fd = listen_there(found);
	if (fd < 0) {
		say("--listen %s: %s", where, strerror(errno));
	}
	freeaddrinfo(found);
	return fd;
}

/* As it is: of port 0 the kernel has chosen one. */
static void say_address(int listener, enum listens whom)
{
	static const char *const schemes[] = {"https", "vnc", "rdp"};
	struct sockaddr_storage own;
	socklen_t size = sizeof(own);
	char address[ADDRESS_MAX], port[8];

	if (getsockname(listener, (struct sockaddr *)&own, &size) == 0 &&
	    getnameinfo((struct sockaddr *)&own, size, address, sizeof(address), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
		say(own.ss_family == AF_INET6 ? "%s://[%s]:%s/" : "%s://%s:%s/", schemes[whom],
		    address, port);
	}
}

static int serve(struct words *words)
{
	struct monitor *monitor = &words->monitor;

	if (!words->https && !take_listen(words, WEB_LISTEN, LISTENS_HTTPS)) {
		return EXIT_USAGE;
	}
	if (!store_make(monitor->store) || !certificate_load(&monitor->certificate, monitor->store,
							     words->certificate, words->key)) {
		return EXIT_FAILURE;
	}
	for (unsigned int i = 0; i < monitor->listener_count; i++) {
		monitor->listeners[i] = listen_tcp(words->listen[i]);
		if (monitor->listeners[i] < 0) {
			return EXIT_FAILURE;
		}
	}
	for (unsigned int i = 0; i < monitor->listener_count; i++) {
		say_address(monitor->listeners[i], monitor->listens[i]);
	}
	say("the certificate's SHA-256 fingerprint: %s", monitor->certificate.fingerprint);
	monitor_run(monitor);
	return EXIT_SUCCESS;
}

static int add_token(const struct words *words, const char *name)
{
	struct token token = {.machine = ""};
	const char *machine = words->machine != NULL ? words->machine : "",
		   *user = words->user != NULL ? words->user : "";
	json_t *text = json_string(machine);
	bool fits = text != NULL && strlen(name) < USER_MAX && strlen(user) < USER_MAX &&
		    strlen(machine) < MACHINE_MAX && (words->machine == NULL || machine[0] != '\0');

	json_decref(text);
	if (!fits) {
		say("the name of the token, its user or its machine is empty or too long");
		return EXIT_FAILURE;
	}
	strcpy(token.name, name);
	strcpy(token.user, user);
	strcpy(token.machine, machine);
	return token_add(words->monitor.store, &token, words->days, words->client,
			 words->authority);
}

static int do_token(struct words *words, int count, char **verb)
{
	const char *store = words->monitor.store;

	if (count == 1 && strcmp(verb[0], "list") == 0) {
		return token_list(store);
	}
	if (count == 2 && strcmp(verb[0], "remove") == 0) {
		return token_remove(store, verb[1]);
	}
	if (count == 3 && strcmp(verb[0], "revocations") == 0) {
		return token_revoke(store, verb[1], verb[2]);
	}
	if (count == 2 && strcmp(verb[0], "add") == 0 &&
	    (words->user != NULL || words->authority != NULL)) {
		return add_token(words, verb[1]);
	}
	fputs(help, stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct words words = {
		.monitor = {.store = WEB_STORE, .socket = SERVICE_SOCKET, .pam = WEB_PAM},
		.days = DAYS};
	int status;

	say_set_name("vweb");
	/* Either opens a file, once, which the processes of connections cannot. */
	json_object_seed(0);
	tzset();
	status = take_words(&words, argc, argv);
	if (status < 0) {
		fputs(help, stdout);
		return EXIT_SUCCESS;
	}
	if (status == 0 && optind == argc && words.user == NULL) {
		return serve(&words);
	}
	if (status == 0 && optind < argc && strcmp(argv[optind], "token") == 0) {
		return do_token(&words, argc - optind - 1, argv + optind + 1);
	}
	fputs(help, stderr);
	return EXIT_USAGE;
}
