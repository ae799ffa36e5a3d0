/* The tool vm: its words (vm.c), and what it does (vm_verbs.c). */
#ifndef CLI_VM_H
#define CLI_VM_H

#include <stdbool.h>

#include <jansson.h>

#include "hosted/http.h"

/* Exit statuses. */
enum { VM_DONE, VM_FAILED, VM_USAGE, VM_NOT_FOUND, VM_STATE, VM_PERMISSION, VM_TIMEOUT };

#define VM_WORDS_MAX 64

/* What was asked for, as the command line has it. */
struct vm {
	struct http *http;
	const char *socket;
	const struct vm_verb *verb;
	const char *words[VM_WORDS_MAX]; /* behind the verb, without options */
	unsigned int count;
	bool json, no_wait, watch, force, turn_off, save, disks;
	const char *columns, *new_disk;
	json_t *document; /* of create and set */
};

struct vm_verb {
	const char *name, *cmdlet; /* both spellings; the second NULL: there is none */
	unsigned int least, most;  /* words */
	int (*run)(struct vm *vm); /* the exit status */
	bool sets;                 /* takes the options of a document */
	const char *words_help, *help;
};

/* For bash, from the tables of verbs and options; machines' names are asked of the service. */
void vm_print_completion(void);

extern const struct vm_verb vm_verbs[];
extern const unsigned int vm_verb_count;

#endif
