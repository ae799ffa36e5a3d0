/* vmms: one process that owns a host's machines. Its workers live on when it ends, and are met
 * again by the next one. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted/manager.h"
#include "hosted/say.h"
#include "include/mgmt/switch.h"
#include "service/service.h"

#define EXIT_USAGE  2
#define LOOKUPS_MAX 8 /* at once */
#define WRITES_MAX  8
#define DAY_MS      86400000u

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
	"  --vmctl FILE    the tool that tells a worker what has changed; vmctl\n"
	"  --vswitch FILE  the tool that asks for switches; vswitch\n"
	"  --switches SOCKET  of vswitchd; " SWITCH_SOCKET "\n"
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
		{"vmctl", required_argument, NULL, 'c'},
		{"vswitch", required_argument, NULL, 'v'},
		{"switches", required_argument, NULL, 'n'},
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
		case 'c':
			service->control = optarg;
			break;
		case 'v':
			service->switch_tool = optarg;
			break;
		case 'n':
			service->switch_socket = optarg;
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
	/* A worker that the one before us was starting when it was killed has the lock until it is
	 * itself. */
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

static void meet_all(struct service *service)
{
	char path[PATH_MAX];
	struct machine *machine;
	int fd;

	for (machine = service->machines; machine != NULL; machine = machine->next) {
		machine_meet(machine);
		checkpoint_met(machine);
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

/* The loop turns: it is in it that this is said, twice as often as is wanted. */
static void tell_alive(struct timer *timer)
{
	struct service *service =
		(struct service *)((char *)timer - offsetof(struct service, alive));

	manager_tell("WATCHDOG=1");
	loop_start_timer(service, timer, manager_watchdog_ms() / 2, tell_alive);
}

/* Where in the pool this host begins: hosts of one network are not to give the same. */
static uint64_t mac_start(void)
{
	uint64_t start = 0;

	if (getrandom(&start, sizeof(start), GRND_NONBLOCK) != (ssize_t)sizeof(start)) {
		start = (uint64_t)getpid() << 8;
	}
	return start;
}

static void end(struct service *service)
{
	/* Who waits for a worker's word is answered while there is somebody to answer. */
	while (service->machines != NULL) {
		machine_free(service->machines);
	}
	http_destroy(service);
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
				  .control = "vmctl",
				  .switch_tool = "vswitch",
				  .switch_socket = SWITCH_SOCKET,
				  .group = SERVICE_GROUP};
	const char *socket = SERVICE_SOCKET;
	enum parsed parsed;
	int listener;

	if (argc > 1 && strcmp(argv[1], "--tree") == 0) {
		return tree_main(argc, argv);
	}
	if (argc > 1 && strcmp(argv[1], "--file") == 0) {
		return file_main(argc, argv);
	}
	if (argc > 1 && strcmp(argv[1], "--shared") == 0) {
		return shared_main(argc, argv);
	}
	if (argc > 1 && strcmp(argv[1], "--luggage") == 0) {
		return luggage_main(argc, argv);
	}
	say_set_name("vmms");
	parsed = parse(&service, &socket, argc, argv);
	if (parsed != PARSED) {
		return parsed == PRINTED ? 0 : EXIT_USAGE;
	}
	service.last_mac = mac_start();
	json_object_seed(0);
	if (!make_folder(service.store, 0750) || !make_folder(service.run, 0755) ||
	    !be_alone(&service) || !loop_create(&service) || !events_create(&service) ||
	    (service.lookups = helper_create(&service, LOOKUPS_MAX)) == NULL ||
	    (service.writes = helper_create(&service, WRITES_MAX)) == NULL || !job_scan(&service) ||
	    !store_scan(&service)) {
		return EXIT_USAGE;
	}
	listener = manager_listen_for_all(socket, 64, "--socket ");
	if (listener < 0 || !http_create(&service, listener)) {
		return EXIT_USAGE;
	}
	meet_all(&service);
	look_at_logs(&service.day);
	manager_tell("READY=1");
	if (manager_watchdog_ms() != 0) {
		tell_alive(&service.alive);
	}
	loop_run(&service);
	manager_tell("STOPPING=1");
	end(&service);
	return 0;
}
