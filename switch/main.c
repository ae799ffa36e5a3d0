/* vswitchd: the process of the virtual switches, see README.md. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hosted/listen.h"
#include "hosted/manager.h"
#include "include/mgmt/switch.h"
#include "switch/daemon.h"

#define AWAKE_NS 50000u

static const char help[] =
	"usage: vswitchd [--control SOCKET] [--ports SOCKET] [--extension FILE[,OPTIONS]]...\n"
	"\n"
	"  --control SOCKET  where vswitch and other clients ask for switches and ports;\n"
	"                    " SWITCH_SOCKET " unless given\n"
	"  --ports SOCKET    where workers connect for the ports of their guests;\n"
	"                    " PORT_SOCKET " unless given\n"
	"  --extension FILE  a shared object that captures, filters or forwards; capture.so,FILE,\n"
	"                    filter.so,RULES and forward.so,TABLE come with it\n"
	"\n"
	"Both sockets are made for this user alone, and replaced at the next start.\n";

static int open_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The kernel says there when a network card changes. */
static int open_links(void)
{
	const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		return fd;
	}
	return -1;
}

/* A port has up to 18 descriptors, and there may be thousands of ports. */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static bool create(struct daemon *daemon, const char *control, const char *ports)
{
	for (uint32_t i = 0; i < DAEMON_CLIENTS; i++) {
		daemon->clients[i].fd = -1;
	}
	daemon->signal_source.kind = SOURCE_SIGNAL;
	daemon->control_source.kind = SOURCE_CONTROL;
	daemon->ports_source.kind = SOURCE_PORTS;
	daemon->links_source.kind = SOURCE_LINKS;
	daemon->epoll = epoll_create1(EPOLL_CLOEXEC);
	daemon->signals = open_signals();
	daemon->links = open_links();
	if (daemon->epoll < 0 || daemon->signals < 0 || daemon->links < 0) {
		say("%s", strerror(errno));
		return false;
	}
	daemon->control = listen_privately(control, -1, SOCK_SEQPACKET, 16, "");
	daemon->ports =
		daemon->control >= 0 ? listen_privately(ports, -1, SOCK_SEQPACKET, 16, "") : -1;
	return daemon->ports >= 0;
}

static void destroy(struct daemon *daemon)
{
	while (daemon->plugs != NULL) {
		plug_remove(daemon->plugs);
	}
	for (uint32_t i = 0; i < DAEMON_SWITCHES; i++) {
		if (daemon->nets[i] != NULL) {
			vswitch_destroy(&daemon->nets[i]);
		}
	}
	extend_unload(&daemon->extensions);
}

/* "FILE[,OPTIONS]" */
static bool load_extension(struct daemon *daemon, char *text)
{
	char *comma = strchr(text, ','), why[DAEMON_TEXT];

	if (comma != NULL) {
		*comma = '\0';
	}
	if (extend_load(&daemon->extensions, text, comma != NULL ? comma + 1 : "", why,
			sizeof(why)) == 0) {
		return true;
	}
	say("--extension %s: %s", text, why);
	return false;
}

/* The paths of the two sockets; false: the options are not what they should be, and it was said. */
static bool parse(struct daemon *daemon, int argc, char **argv, const char **control,
		  const char **ports)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--control") == 0) {
			*control = argv[i + 1];
		} else if (strcmp(argv[i], "--ports") == 0) {
			*ports = argv[i + 1];
		} else if (strcmp(argv[i], "--extension") != 0) {
			*control = NULL;
			break;
		} else if (!load_extension(daemon, argv[i + 1])) {
			return false;
		}
	}
	if (argc % 2 != 1 || *control == NULL) {
		fputs(help, stderr);
		return false;
	}
	return true;
}

/*
 * A guest that sends one frame often sends another: so the switch looks a little longer before it
 * sleeps. On a single processor it would only keep the guest from sending.
 */
static uint32_t choose_awake_ns(void)
{
	cpu_set_t processors;

	return sched_getaffinity(0, sizeof(processors), &processors) == 0 &&
			       CPU_COUNT(&processors) == 1
		       ? 0
		       : AWAKE_NS;
}

int main(int argc, char **argv)
{
	static struct daemon daemon;
	const char *control = SWITCH_SOCKET, *ports = PORT_SOCKET;
	bool good;

	say_set_name("vswitchd");
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		fputs(help, stdout);
		return 0;
	}
	if (!parse(&daemon, argc, argv, &control, &ports)) {
		return 2;
	}
	/* Its hash tables' seed is a file's, which cannot be read later. */
	json_object_seed(0);
	raise_limits();
	daemon.awake_ns = choose_awake_ns();
	if (!create(&daemon, control, ports)) {
		return 2;
	}
	/* Who connects now waits; in the sandbox nobody can be told. */
	manager_tell("READY=1");
	if (!sandbox_enter()) {
		return 2;
	}
	good = loop_run(&daemon);
	destroy(&daemon);
	return good ? 0 : 1;
}
