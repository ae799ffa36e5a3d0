/*
 * The text menu: a host for who knows no commands, over a line that may be slow and may not move a
 * cursor. What there is now stands beside what it is; one types its number. Each choice is a verb
 * (vm_verbs.c), carried out as from the command line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/vm.h"
#include "hosted/member.h"
#include "hosted/say.h"
#include "lib/check.h"

#define PAGE 15 /* machines that are listed at a time */

/* A line, without its end and blanks around it. False: the input has ended. */
static bool ask(const char *prompt, char *line, size_t size)
{
	size_t length, blanks;

	printf("%s", prompt);
	fflush(stdout);
	if (fgets(line, (int)size, stdin) == NULL) {
		putchar('\n');
		return false;
	}
	blanks = strspn(line, " \t");
	memmove(line, line + blanks, strlen(line + blanks) + 1);
	for (length = strlen(line); length > 0 && strchr(" \t\r\n", line[length - 1]) != NULL;) {
		line[--length] = '\0';
	}
	return true;
}

/* 0: none of the numbers up to `most`, which is said, but for an empty line. -1: the input has
 * ended. */
static int choose(const char *prompt, int most)
{
	char line[64], *end;
	long number;

	for (;;) {
		if (!ask(prompt, line, sizeof(line))) {
			return -1;
		}
		number = strtol(line, &end, 10);
		if (line[0] == '\0' || (end != line && *end == '\0' && number == 0)) {
			return 0;
		}
		if (end != line && *end == '\0' && number > 0 && number <= most) {
			return (int)number;
		}
		printf("%s: type a number from the list, or 0\n", line);
	}
}

static void print_line(int number, const char *what, const char *value)
{
	printf(" %3d) %-28s %s\n", number, what, value);
}

/* Carries out a verb as if it had been typed. What goes wrong it says itself. */
static int run(const struct vm *vm, const char *verb, const char *first, const char *second)
{
	struct vm other = {.http = vm->http,
			   .socket = vm->socket,
			   .host = vm->host,
			   .verb = vm_find_verb(verb),
			   .words = {first, second},
			   .count = (first != NULL) + (second != NULL),
			   .asks = true,
			   .document = json_object()};
	int status;

	CHECK(other.verb != NULL);
	status = other.verb->run(&other);
	json_decref(other.document);
	return status;
}

/* `set` with one option. */
static void set(const struct vm *vm, const char *name, const char *option, const char *value)
{
	struct vm other = {.http = vm->http,
			   .socket = vm->socket,
			   .host = vm->host,
			   .verb = vm_find_verb("set"),
			   .words = {name},
			   .count = 1,
			   .document = json_object()};

	if (vm_take_option(&other, option, value)) {
		(void)other.verb->run(&other);
	}
	json_decref(other.document);
}

static void run_program(char *const *words)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		execvp(words[0], words);
		say("%s: %s", words[0], strerror(errno));
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child) {
		say("%s: %s", words[0], strerror(errno));
	}
}

/* ---- A machine ---- */

/* clang-format off */
static const struct choice {
	const char *what;
	const char *verb;    /* NULL: a setting */
	const char *states;  /* in which it is shown; NULL: in all */
	const char *value;   /* a member of the machine that stands beside it */
	const char *option;  /* of a setting */
	const char *prompt;
} choices[] = {
	{"Start",                     "start",    "off saved",       NULL,             NULL,            NULL},
	{"Shut down",                 "shutdown", "running",         NULL,             NULL,            NULL},
	{"Turn off",                  "turn-off", "running paused starting stopping saving pausing resuming", NULL, NULL, NULL},
	{"Restart",                   "restart",  "running",         NULL,             NULL,            NULL},
	{"Pause",                     "pause",    "running",         NULL,             NULL,            NULL},
	{"Resume",                    "resume",   "paused",          NULL,             NULL,            NULL},
	{"Save",                      "save",     "running paused",  NULL,             NULL,            NULL},
	{"Console",                   "console",  "running paused",  NULL,             NULL,            NULL},
	{"Disks",                     "disks",    NULL,              NULL,             NULL,            NULL},
	{"Network adapters",          "nets",     NULL,              NULL,             NULL,            NULL},
	{"Processors",                NULL,       NULL,              "vps",            "--vps",         "Processors: "},
	{"Memory",                    NULL,       NULL,              "memory",         "--memory",      "Memory, as 2G: "},
	{"Starts with the host",      NULL,       NULL,              "start",          "--start",       "never, if-running or always: "},
	{"When the host ends",        NULL,       NULL,              "stop",           "--stop",        "shutdown, save or turn-off: "},
	{"Notes",                     NULL,       NULL,              "notes",          "--notes",       "Notes: "},
	{"Delete, but for its disks", "delete",   "off saved",       NULL,             NULL,            NULL},
	{"Checkpoints",               "checkpoints", NULL,           NULL,             NULL,            NULL},
	{"Take a checkpoint",         "checkpoint", "off running paused", NULL,        NULL,            NULL},
	{"Files of disks",            "files",    NULL,              NULL,             NULL,            NULL},
};
/* clang-format on */

static bool has_word(const char *words, const char *word)
{
	const char *at = strstr(words, word);
	size_t length = strlen(word);

	return at != NULL && length != 0 && (at == words || at[-1] == ' ') &&
	       (at[length] == ' ' || at[length] == '\0');
}

static bool is_shown(const struct choice *choice, const json_t *machine)
{
	return choice->states == NULL || has_word(choice->states, member_text(machine, "state"));
}

static void print_machine(const json_t *machine)
{
	const json_t *document = json_object_get(machine, "document");
	char value[128];
	size_t i;

	printf("\n%s: %s\n", member_text(machine, "name"), member_text(machine, "state"));
	if (json_object_get(machine, "damage") != NULL) {
		printf("      %s\n", member_text(machine, "damage"));
	}
	for (i = 0; i < ARRAY_COUNT(choices); i++) {
		if (!is_shown(&choices[i], machine)) {
			continue;
		}
		value[0] = '\0';
		if (choices[i].value != NULL) {
			vm_print_value(json_object_get(document, choices[i].value), value,
				       sizeof(value));
		}
		print_line((int)i + 1, choices[i].what, value);
	}
	print_line(0, "Back", "");
}

/* Whether the person says so. */
static bool is_sure(const char *what)
{
	char prompt[200], line[16];

	snprintf(prompt, sizeof(prompt), "%s: type yes: ", what);
	return ask(prompt, line, sizeof(line)) && strcmp(line, "yes") == 0;
}

/* False: it is not there any more, or the input has ended. */
static bool act(const struct vm *vm, const char *name, const json_t *machine, int number)
{
	const struct choice *choice = &choices[number - 1];
	char line[1024];

	if (!is_shown(choice, machine)) {
		printf("%s: not while it is %s\n", choice->what, member_text(machine, "state"));
	} else if (choice->verb == NULL) {
		if (!ask(choice->prompt, line, sizeof(line))) {
			return false;
		}
		if (line[0] != '\0') {
			set(vm, name, choice->option, line);
		}
	} else if (strcmp(choice->verb, "delete") == 0) {
		return !is_sure("It is no machine any more then") ||
		       run(vm, choice->verb, name, NULL) != VM_DONE;
	} else {
		(void)run(vm, choice->verb, name, NULL);
	}
	return true;
}

/* False: the input has ended. */
static bool machine_menu(struct vm *vm, const char *name)
{
	bool there = true;
	int number = 1;

	while (there && number > 0) {
		json_t *machine = vm_ask(vm, "GET", NULL, "/v1/machines/%s", name, "");

		if (machine == NULL) {
			return true;
		}
		print_machine(machine);
		number = choose("> ", (int)ARRAY_COUNT(choices));
		if (number > 0) {
			there = act(vm, name, machine, number);
		}
		json_decref(machine);
	}
	return number >= 0 && !feof(stdin);
}

/* ---- Machines ---- */

static void print_machines(const json_t *list, size_t from)
{
	char value[128], memory[32], vps[32];
	size_t i;

	printf("\nVirtual machines\n");
	for (i = from; i < json_array_size(list) && i < from + PAGE; i++) {
		const json_t *machine = json_array_get(list, i);

		vm_print_value(json_object_get(machine, "memory"), memory, sizeof(memory));
		vm_print_value(json_object_get(machine, "vps"), vps, sizeof(vps));
		snprintf(value, sizeof(value), "%-10s %4s VPs  %s", member_text(machine, "state"),
			 vps, memory);
		print_line((int)i + 1, member_text(machine, "name"), value);
	}
	if (i < json_array_size(list)) {
		printf("      and %zu more\n", json_array_size(list) - i);
	}
	printf("   n) A new one\n");
	if (json_array_size(list) > PAGE) {
		printf("   m) More of them\n");
	}
	print_line(0, "Back", "");
}

static bool create(const struct vm *vm)
{
	char name[128];

	if (!ask("Name: ", name, sizeof(name))) {
		return false;
	}
	if (name[0] != '\0') {
		(void)run(vm, "create", name, NULL);
	}
	return !feof(stdin);
}

/* Takes the line. False: back, or the input has ended. */
static bool serve_line(struct vm *vm, const json_t *list, const char *line, size_t *from)
{
	size_t count = json_array_size(list);
	char name[128], *end;
	long number = strtol(line, &end, 10);

	if (strcmp(line, "n") == 0) {
		return create(vm);
	}
	if (strcmp(line, "m") == 0) {
		*from = *from + PAGE < count ? *from + PAGE : 0;
		return true;
	}
	if (line[0] == '\0' || (number == 0 && end != line && *end == '\0')) {
		return false;
	}
	if (end == line || *end != '\0' || number < 0 || (size_t)number > count) {
		printf("%s: type a number from the list, or 0\n", line);
		return true;
	}
	snprintf(name, sizeof(name), "%s",
		 member_text(json_array_get(list, (size_t)number - 1), "id"));
	if (name[0] == '\0') { /* its document is damaged */
		snprintf(name, sizeof(name), "%s",
			 member_text(json_array_get(list, (size_t)number - 1), "name"));
	}
	return machine_menu(vm, name);
}

static bool machines_menu(struct vm *vm)
{
	bool goes_on = true;
	size_t from = 0;
	char line[64];

	while (goes_on) {
		json_t *list = http_list(vm->http, "/v1/machines", "machines");

		if (list == NULL) {
			return true;
		}
		print_machines(list, from);
		goes_on = ask("> ", line, sizeof(line)) && serve_line(vm, list, line, &from);
		json_decref(list);
	}
	return !feof(stdin);
}

/* ---- The host ---- */

static void switches_value(struct vm *vm, char *value, size_t size)
{
	struct http *quiet = http_open(vm->socket, false);
	json_t *answer = quiet != NULL ? http_ask(quiet, "GET", "/v1/switches", NULL) : NULL;
	const json_t *of;
	size_t i, used = 0;

	snprintf(value, size, "%s", answer != NULL ? "none" : "vswitchd does not run");
	json_array_foreach(json_object_get(answer, "switches"), i, of)
	{
		if (used < size) {
			used += (size_t)snprintf(value + used, size - used, "%s%s",
						 i > 0 ? ", " : "", member_text(of, "name"));
		}
	}
	json_decref(answer);
	if (quiet != NULL) {
		http_close(quiet);
	}
}

#define DEFAULTS "/etc/default/verdigris"

/* What a command says, its first line. */
static void first_line(const char *command, char *line, size_t size)
{
	FILE *from = popen(command, "re");

	line[0] = '\0';
	if (from != NULL) {
		if (fgets(line, (int)size, from) != NULL) {
			line[strcspn(line, "\n")] = '\0';
		}
		(void)pclose(from);
	}
}

static bool is_for_all(void)
{
	char line[256];

	first_line("grep '^VWEB_OPTIONS=.*--listen' " DEFAULTS " 2>/dev/null", line, sizeof(line));
	return line[0] != '\0';
}

static void remote_value(char *value, size_t size)
{
	snprintf(value, size, "%s",
		 access(DEFAULTS, F_OK) != 0 ? "not installed by packages"
		 : is_for_all()              ? "https, port 8443, for other hosts"
					     : "https://127.0.0.1:8443 alone");
}

/* Other hosts reach it, or none does. People compare the fingerprint with what their browser
 * says. */
static void set_remote(void)
{
	char line[256];

	if (access(DEFAULTS, W_OK) != 0) {
		printf("%s: %s\n", DEFAULTS, strerror(errno));
		return;
	}
	first_line("openssl x509 -noout -fingerprint -sha256 -in "
		   "/var/lib/verdigris/web/certificate.pem "
		   "2>/dev/null",
		   line, sizeof(line));
	if (line[0] != '\0') {
		printf("Its certificate: %s\n", line);
	}
	if (!is_sure(is_for_all() ? "Only this host is to reach it"
				  : "Other hosts are to reach it, at port 8443; one logs in there "
				    "as here")) {
		return;
	}
	run_program((char *[]){"sh", "-c",
			       is_for_all()
				       ? "sed -i 's/^VWEB_OPTIONS=.*/VWEB_OPTIONS=\"\"/' " DEFAULTS
					 " && systemctl restart vweb"
				       : "sed -i 's/^VWEB_OPTIONS=.*/VWEB_OPTIONS=\"--listen "
					 "[::]:8443\"/' " DEFAULTS " && systemctl restart vweb",
			       NULL});
}

/* False: the service is not there. */
static bool print_host(struct vm *vm)
{
	json_t *host = http_ask(vm->http, "GET", "/v1/host", NULL);
	char value[256], memory[32], available[32];

	if (host == NULL) {
		return false;
	}
	vm_print_size(json_object_get(host, "memory"), memory, sizeof(memory));
	vm_print_size(json_object_get(host, "memory-available"), available, sizeof(available));
	printf("\nVerdigris on %s: %" JSON_INTEGER_FORMAT " processors, %s of %s are available\n",
	       member_text(host, "name"), json_integer_value(json_object_get(host, "lps")),
	       available, memory);
	snprintf(value, sizeof(value),
		 "%" JSON_INTEGER_FORMAT ", of which %" JSON_INTEGER_FORMAT " run",
		 json_integer_value(json_object_get(host, "machines")),
		 json_integer_value(json_object_get(host, "running")));
	print_line(1, "Virtual machines", value);
	switches_value(vm, value, sizeof(value));
	print_line(2, "Virtual switches", value);
	print_line(3, "Disks", member_text(host, "store"));
	print_line(4, "Jobs", "what is being done, and was");
	print_line(5, "How busy machines are", "");
	if (vm->host == NULL) {
		print_line(6, "Host name", member_text(host, "name"));
		print_line(7, "Restart this host", "machines by their stop actions");
		print_line(8, "Shut this host down", "likewise");
		print_line(9, "A shell", "");
		remote_value(value, sizeof(value));
		print_line(10, "Web page", value);
		print_line(11, "Logs", "of the services, the last lines");
	}
	print_line(0, "Leave", "");
	json_decref(host);
	return true;
}

static void rename_host(void)
{
	char name[65];

	if (ask("Host name: ", name, sizeof(name)) && name[0] != '\0' && name[0] != '-') {
		run_program((char *[]){"hostnamectl", "set-hostname", name, NULL});
	}
}

static void end_host(const struct vm *vm, const char *how)
{
	if (is_sure("This host ends")) {
		(void)run(vm, "stop-all", NULL, NULL);
		run_program((char *[]){"systemctl", (char *)how, NULL});
	}
}

static bool serve(struct vm *vm, int number)
{
	const char *shell = getenv("SHELL");

	switch (number) {
	case 1:
		return machines_menu(vm);
	case 2:
		(void)run(vm, "switches", NULL, NULL);
		return true;
	case 3:
		(void)run(vm, "disks", NULL, NULL);
		return true;
	case 4:
		(void)run(vm, "jobs", NULL, NULL);
		return true;
	case 5:
		(void)run(vm, "top", NULL, NULL);
		return true;
	case 6:
		rename_host();
		return true;
	case 7:
		end_host(vm, "reboot");
		return true;
	case 8:
		end_host(vm, "poweroff");
		return true;
	case 10:
		set_remote();
		return true;
	case 11:
		run_program((char *[]){"journalctl", "--no-pager", "-n", "40", "-u", "vmms", "-u",
				       "vweb", "-u", "vswitchd", NULL});
		return true;
	default:
		run_program((char *[]){(char *)(shell != NULL ? shell : "/bin/sh"), NULL});
		return true;
	}
}

int vm_menu(struct vm *vm)
{
	int number;

	/* What is typed ahead is the console's, or a shell's. */
	(void)setvbuf(stdin, NULL, _IONBF, 0);
	while (print_host(vm)) {
		/* What is done here and not by the service is not for another host. */
		number = choose("> ", vm->host == NULL ? 11 : 5);
		if (number <= 0 || !serve(vm, number)) {
			return VM_DONE;
		}
	}
	return vm_refused(vm);
}
