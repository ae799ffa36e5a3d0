/*
 * vlibvirtd: listens where libvirt's clients look for "verdigris:///system". Each client is served
 * by a process of its own that has become the user at the other end, so that the management service
 * sees who asks.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosted/manager.h"
#include "hosted/say.h"
#include "include/mgmt/service.h"
#include "libvirt/libvirt.h"

#define LISTEN_AT   "/run/libvirt/virtverdigrisd-sock"
#define URI         "verdigris:///system"
#define CLIENTS_MAX 64
#define EXIT_USAGE  2

static const char help[] = "usage: vlibvirtd [--listen PATH] [--socket PATH]\n"
			   "\n"
			   "libvirt's remote protocol for the machines of vmms: virsh -c " URI "\n"
			   "\n"
			   "  --listen PATH   where clients connect; " LISTEN_AT "\n"
			   "  --socket PATH   the management service's; " SERVICE_SOCKET "\n";

/* Root becomes who is at the other end. */
static bool become(int client)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	const struct passwd *user;

	if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
		return false;
	}
	if (geteuid() != 0 || who.uid == 0) {
		return who.uid == geteuid();
	}
	user = getpwuid(who.uid);
	return (user != NULL ? initgroups(user->pw_name, who.gid) : setgroups(0, NULL)) == 0 &&
	       setgid(who.gid) == 0 && setuid(who.uid) == 0;
}

static void reap(unsigned int *clients)
{
	while (*clients > 0 && waitpid(-1, NULL, *clients >= CLIENTS_MAX ? 0 : WNOHANG) > 0) {
		--*clients;
	}
}

static void accept_all(int listener, const char *socket)
{
	unsigned int clients = 0;
	int client;

	for (;;) {
		client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		reap(&clients);
		if (client < 0) {
			if (errno != EINTR && errno != ECONNABORTED) {
				usleep(100000); /* no descriptor, or no memory */
			}
			continue;
		}
		switch (fork()) {
		case 0:
			close(listener);
			(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
			if (become(client)) {
				session_serve(client, socket, URI, false);
			}
			_exit(0);
		case -1:
			break;
		default:
			clients++;
			break;
		}
		close(client);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
						{"socket", required_argument, NULL, 's'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	const char *path = LISTEN_AT, *socket = SERVICE_SOCKET;
	int option, listener;

	say_set_name("vlibvirtd");
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l') {
			path = optarg;
		} else if (option == 's') {
			socket = optarg;
		} else {
			fputs(help, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : EXIT_USAGE;
		}
	}
	if (strcmp(path, LISTEN_AT) == 0) {
		(void)mkdir("/run/libvirt", 0755);
	}
	listener = manager_listen_for_all(path, 64, "--listen ");
	if (listener < 0) {
		return EXIT_USAGE;
	}
	if (strcmp(path, LISTEN_AT) == 0) {
		/* Who only looks comes that way, and says so again when it has come. */
		(void)!symlink(LISTEN_AT, LISTEN_AT "-ro");
	}
	/* This one waits for clients and for nothing else. */
	(void)!fcntl(listener, F_SETFL, 0);
	accept_all(listener, socket);
	return 0;
}
