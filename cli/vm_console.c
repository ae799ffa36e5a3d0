/* vm console: a machine's serial line, and with --shutdown-key the key that ends its guest. */
#include "cli/vm.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/terminal.h"

struct who {
	struct vm *vm;
	unsigned int asked; /* how often */
};

/* In a process of its own, since the line goes on meanwhile. Whom nobody can ask to shut down has
 * his power button pressed. */
static _Noreturn void act_beside(struct vm *vm, bool turns_off)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), terminal = dup(STDERR_FILENO), i;

	for (i = 0; i <= STDERR_FILENO; i++) {
		dup2(null, i);
	}
	vm->http = http_open(vm->socket, false);
	if (vm->http == NULL) {
		_exit(VM_FAILED);
	}
	if (turns_off) {
		_exit(vm_act_on(vm, vm->words[0], "turn-off"));
	}
	if (vm_act_on(vm, vm->words[0], "shutdown") != VM_DONE &&
	    vm_act_on(vm, vm->words[0], "power-button") == VM_DONE) {
		dprintf(terminal,
			"\r\nvm: the guest cannot be asked: its power button is pressed\r\n");
	}
	_exit(VM_DONE);
}

static void asked(void *user)
{
	struct who *who = user;
	bool turns_off = who->asked++ > 0;

	fprintf(stderr, "\r\nvm: %s\r\n",
		turns_off ? "the machine is turned off"
			  : "the guest is asked to shut down; Ctrl-] again turns the machine off");
	if (fork() == 0) {
		act_beside(who->vm, turns_off);
	}
}

int vm_console(struct vm *vm)
{
	struct who who = {.vm = vm};
	const struct terminal_keys keys = {
		.help = "Ctrl-] shuts the guest down, again turns it off; Ctrl-\\ leaves",
		.asked = asked,
		.user = &who,
	};
	char *segment = http_escape(vm->http, vm->words[0]), path[1024];
	bool left;
	int line;

	snprintf(path, sizeof(path), "/v1/machines/%s/console", segment);
	free(segment);
	line = http_console(vm->socket, path);
	if (line < 0) {
		return VM_FAILED;
	}
	signal(SIGCHLD, SIG_IGN);
	left = terminal_join(line, false, vm->shutdown_key ? &keys : NULL);
	close(line);
	return left && vm->shutdown_key ? VM_LEFT : VM_DONE;
}
