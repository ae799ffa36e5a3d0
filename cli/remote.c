/* vm on another host: the whole of it by ssh(1), as who may log in there; or its requests over
 * HTTPS, with a token. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/vm.h"
#include "hosted/say.h"

#define SSH       "ssh://"
#define TOKEN_MAX 128

/* For the shell there: nothing in it means anything. */
static void quote(FILE *to, const char *word)
{
	fputs(" '", to);
	for (; *word != '\0'; word++) {
		if (*word == '\'') {
			fputs("'\\''", to);
		} else {
			fputc(*word, to);
		}
	}
	fputc('\'', to);
}

/* The option that brought us here is not for there. */
static bool is_host(const struct vm *vm, char **argv, int i)
{
	const char *end = argv[i] + strlen(argv[i]);

	return (vm->host >= argv[i] && vm->host <= end) ||
	       (argv[i + 1] == vm->host && argv[i][0] == '-');
}

/* ssh takes the address as it is. */
static bool run_there(const struct vm *vm, int argc, char **argv)
{
	const bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	char *command = NULL;
	size_t length;
	FILE *to = open_memstream(&command, &length);

	if (to == NULL) {
		say("out of memory");
		return false;
	}
	fputs("vm", to);
	for (int i = 1; i < argc; i++) {
		if (!is_host(vm, argv, i)) {
			quote(to, argv[i]);
		}
	}
	fclose(to);
	execlp("ssh", "ssh", terminal ? "-t" : "-T", "-o", "LogLevel=ERROR", "--", vm->host,
	       command, NULL);
	say("ssh: %s", strerror(errno));
	free(command);
	return false;
}

/* Its first line. */
static bool read_token(const char *path, char token[TOKEN_MAX])
{
	FILE *file = fopen(path, "re");
	bool is_read = file != NULL && fgets(token, TOKEN_MAX, file) != NULL;

	if (!is_read) {
		say("--token-file %s: %s", path, file == NULL ? strerror(errno) : "it is empty");
	}
	if (file != NULL) {
		fclose(file);
	}
	return is_read;
}

bool vm_show_token(const struct vm *vm, const char *where)
{
	static char token[TOKEN_MAX];
	const char *given = getenv("VM_TOKEN");

	if (vm->token_file != NULL) {
		if (!read_token(vm->token_file, token)) {
			return false;
		}
	} else if (given != NULL) {
		snprintf(token, sizeof(token), "%s", given);
	} else if (vm->client_certificate == NULL) {
		say("%s: give a token, of `vweb token add` there, by --token-file or VM_TOKEN",
		    where);
		return false;
	}
	token[strcspn(token, " \t\r\n")] = '\0';
	http_set_credentials(token[0] != '\0' || vm->client_certificate == NULL ? token : NULL,
			     vm->certificates);
	if (vm->client_certificate != NULL) {
		http_set_client(vm->client_certificate,
				vm->client_key != NULL ? vm->client_key : vm->client_certificate);
	}
	return true;
}

bool vm_go_there(struct vm *vm, int argc, char **argv)
{
	if (strncmp(vm->host, SSH, strlen(SSH)) == 0) {
		return run_there(vm, argc, argv);
	}
	if (strncmp(vm->host, "https://", 8) != 0 || vm->host[8] == '\0' ||
	    strchr(vm->host + 8, '/') != NULL) {
		say("--host %s: write ssh://[USER@]HOST or https://HOST[:PORT]", vm->host);
		return false;
	}
	if (!vm_show_token(vm, vm->host)) {
		return false;
	}
	vm->socket = vm->host;
	return true;
}
