/* vmms: one process that owns a host's machines. Its workers live on when it ends, and are met again by the next one. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/say.h"
#include "service/service.h"

#define EXIT_USAGE 2
#define DAY_MS     86400000u
#define LISTEN_FD  3 /* the first that systemd hands over (sd_listen_fds(3)) */

static const char help[] =
	"usage: vmms [options]\n"
	"\n"
	"The management service: machines that have names, asked for by the tool vm.\n"
	"\n"
	"  --socket PATH   where to listen; " SERVICE_SOCKET ",\n"
	"                  or the socket that a service manager hands over\n"
	"  --store FOLDER  where machines are; " SERVICE_STORE "\n"
	"  --run FOLDER    for what does not outlast a boot; " SERVICE_RUN "\n"
	"  --worker FILE   the worker's program; vmwp\n"
	"  --group NAME    whose members may do everything, beside root; " SERVICE_GROUP "\n"
	"  --help\n"
	"\n"
	"SIGTERM ends it. Machines that run are not touched by that.\n";

enum parsed { PARSED, PRINTED, WRONG };

static enum parsed parse(struct service *service, const char **socket, int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"store", required_argument, NULL, 'm'},
		{"run", required_argument, NULL, 'r'},
		{"worker", required_argument, NULL, 'w'},
		{"group", required_argument, NULL, 'g'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			*socket = optarg;
			break;
		case 'm':
			service->store = optarg;
			break;
		case 'r':
			service->run = optarg;
			break;
		case 'w':
			service->worker = optarg;
			break;
		case 'g':
			service->group = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return PRINTED;
		default:
			say("%s: not known, or without its value; see vmms --help",
			    argv[optind - 1]);
			return WRONG;
		}
	}
	if (optind < argc) {
		say("%s: not known; see vmms --help", argv[optind]);
		return WRONG;
	}
	return PARSED;
}

/* With the folders above it. */
static bool make_folder(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	char *slash;

	snprintf(part, sizeof(part), "%s", path);
	for (slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(part, 0755);
		*slash = '/';
	}
	if (mkdir(part, mode) == 0 || errno == EEXIST) {
		return true;
	}
	say("%s: %s", path, strerror(errno));
	return false;
}

/* Two would start machines twice. The lock is held until the process ends. */
static bool be_alone(const struct service *service)
{
	char path[PATH_MAX];
	int fd, i;

	snprintf(path, sizeof(path), "%s/vmms.lock", service->run);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	/* A worker that the one before us was starting when it was killed has the lock until it is itself. */
	for (i = 0; fd >= 0 && i < 100; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			return true;
		}
		if (errno != EWOULDBLOCK) {
			break;
		}
		usleep(20000);
	}
	say("%s: %s", path, errno == EWOULDBLOCK ? "another vmms runs" : strerror(errno));
	return false;
}

/* A socket that everybody may connect to: who may do what is decided by who it is. */
static int listen_for_all(const char *socket)
{
	const char *count = getenv("LISTEN_FDS"), *process = getenv("LISTEN_PID");
	bool handed = count != NULL && process != NULL && atoi(count) >= 1 &&
		      atoi(process) == (int)getpid();
	mode_t mask = umask(0111);
	int fd;

	if (handed) {
		(void)fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
	}
	fd = listen_at(socket, handed ? LISTEN_FD : -1, SOCK_STREAM, 64, "--socket ");
	umask(mask);
	return fd;
}

/* sd_notify(3): a datagram. */
static void tell_manager(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (path == NULL || strlen(path) >= sizeof(address.sun_path)) {
		return;
	}
	strcpy(address.sun_path, path);
	if (address.sun_path[0] == '@') {
		address.sun_path[0] = '\0';
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL,
			      (const struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
		close(fd);
	}
}

static void meet_all(struct service *service)
{
	char path[PATH_MAX];
	struct machine *machine;
	int fd;

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		machine_meet(machine);
	}
	/* There once in a boot. */
	snprintf(path, sizeof(path), "%s/booted", service->run);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		close(fd);
		machine_start_all(service);
	}
}

static void look_at_logs(struct timer *timer)
{
	struct service *service = (struct service *)((char *)timer - offsetof(struct service, day));
	const struct machine *machine;

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		if (machine->worker != 0) {
			start_trim_log(machine);
		}
	}
	loop_start_timer(service, timer, DAY_MS, look_at_logs);
}

static void end(struct service *service)
{
	http_destroy(service);
	while (service->machines != NULL) {
		machine_free(service->machines);
	}
	job_forget_all(service);
	events_destroy(service);
	loop_close(service, &service->signals);
	close(service->epoll);
}

int main(int argc, char **argv)
{
	struct service service = {.store = SERVICE_STORE,
				  .run = SERVICE_RUN,
				  .worker = "vmwp",
				  .group = SERVICE_GROUP};
	const char *socket = SERVICE_SOCKET;
	enum parsed parsed;
	int listener;

	say_set_name("vmms");
	parsed = parse(&service, &socket, argc, argv);
	if (parsed != PARSED) {
		return parsed == PRINTED ? 0 : EXIT_USAGE;
	}
	json_object_seed(0);
	if (!make_folder(service.store, 0750) || !make_folder(service.run, 0755) ||
	    !be_alone(&service) || !loop_create(&service) || !events_create(&service) ||
	    !job_scan(&service) || !store_scan(&service)) {
		return EXIT_USAGE;
	}
	listener = listen_for_all(socket);
	if (listener < 0 || !http_create(&service, listener)) {
		return EXIT_USAGE;
	}
	meet_all(&service);
	look_at_logs(&service.day);
	tell_manager("READY=1");
	loop_run(&service);
	tell_manager("STOPPING=1");
	end(&service);
	return 0;
}
