/* vm display: a machine's screen on a UNIX socket of its user's, for a viewer that speaks VNC. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/terminal.h"
#include "cli/vm.h"
#include "hosted/listen.h"
#include "hosted/say.h"

#define VIEWER "vncviewer" /* TigerVNC's, which takes the path of a socket */

extern char **environ;

/* What the viewer and the screen say to each other, by a process of its own. */
static void join(const struct vm *vm, const char *path, int viewer)
{
	int line;

	if (fork() != 0) {
		return;
	}
	line = http_console(vm->socket, path);
	if (line >= 0) {
		dup2(viewer, STDIN_FILENO);
		dup2(viewer, STDOUT_FILENO);
		(void)terminal_join(line, true, NULL);
	}
	_exit(line >= 0 ? VM_DONE : VM_FAILED);
}

/* Until the viewer that was started ends, or, with `process` -1, for good. */
static void serve(const struct vm *vm, const char *path, int listener, int process)
{
	struct pollfd fds[] = {{listener, POLLIN, 0}, {process, POLLIN, 0}};
	int viewer;

	while (poll(fds, 2, -1) > 0 && fds[1].revents == 0) {
		viewer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (viewer >= 0) {
			join(vm, path, viewer);
			close(viewer);
		}
	}
}

/* Its exit status is the verb's. */
static int run_viewer(const struct vm *vm, const char *path, const char *at, int listener)
{
	const char *given = getenv("VM_VIEWER"), *program = given != NULL ? given : VIEWER;
	char *const argv[] = {(char *)program, (char *)at, NULL};
	pid_t viewer;
	int ret = posix_spawnp(&viewer, program, NULL, NULL, argv, environ), status, process;

	if (ret != 0) {
		say("%s: %s; install one, name yours in VM_VIEWER, or give the path of a socket "
		    "for it",
		    program, strerror(ret));
		return VM_FAILED;
	}
	signal(SIGINT, SIG_IGN); /* Ctrl-C ends the viewer, and then this */
	process = pidfd_open(viewer, 0);
	if (process >= 0) {
		serve(vm, path, listener, process);
		close(process);
	}
	return waitpid(viewer, &status, 0) == viewer && WIFEXITED(status) &&
			       WEXITSTATUS(status) == 0
		       ? VM_DONE
		       : VM_FAILED;
}

int vm_display(struct vm *vm)
{
	char *segment = http_escape(vm->http, vm->words[0]), path[1024];
	char folder[] = "/tmp/vm-display-XXXXXX", own[64];
	const char *at = vm->count > 1 ? vm->words[1] : own;
	int line, listener, status = VM_DONE;

	snprintf(path, sizeof(path), "/v1/machines/%s/display", segment);
	free(segment);
	/* Whether there is a screen is said before there is a viewer. */
	line = http_console(vm->socket, path);
	if (line < 0) {
		return VM_FAILED;
	}
	close(line);
	if (at == own && mkdtemp(folder) == NULL) {
		say("%s: %s", folder, strerror(errno));
		return VM_FAILED;
	}
	snprintf(own, sizeof(own), "%s/vnc", folder);
	listener = listen_privately(at, -1, SOCK_STREAM, 16, "");
	if (listener < 0) {
		status = VM_FAILED;
	} else if (at == own) {
		status = run_viewer(vm, path, at, listener);
	} else {
		signal(SIGCHLD, SIG_IGN); /* nobody asks how the carriers ended */
		say("'%s' is shown at %s, until Ctrl-C", vm->words[0], at);
		serve(vm, path, listener, -1);
	}
	if (listener >= 0) {
		close(listener);
		unlink(at);
	}
	if (at == own) {
		rmdir(folder);
	}
	return status;
}
