/* The tool vm: its words (vm.c), and what it does (vm_verbs.c). */
#ifndef CLI_VM_H
#define CLI_VM_H

#include <stdbool.h>

#include <jansson.h>

#include "hosted/http.h"

/* Exit statuses. */
enum { VM_DONE, VM_FAILED, VM_USAGE, VM_NOT_FOUND, VM_STATE, VM_PERMISSION, VM_TIMEOUT, VM_LEFT };

#define VM_WORDS_MAX 64

/* What was asked for, as the command line has it. */
struct vm {
	struct http *http;
	const char *socket; /* or https://HOST[:PORT] */
	/* Of another host, NULL: this one. */
	const char *host, *token_file, *certificates, *client_certificate, *client_key;
	const struct vm_verb *verb;
	const char *words[VM_WORDS_MAX]; /* behind the verb, without options */
	unsigned int count;
	bool json, no_wait, watch, force, turn_off, save, disks, read_only, untagged, access,
		children, shutdown_key;
	bool asks; /* questions, also where there is no terminal */
	const char *columns, *new_disk;
	/* Of a part of a machine; NULL: not given. */
	const char *file, *number, *controller, *network, *mac, *port, *vlan, *sriov, *user, *role,
		*kind, *interface, *speed, *parent;
	const char *to, *shared; /* another host, and a folder that both have */
	bool along, finish;      /* of a move: its disks go along; what a cut has left is settled */
	const char *storage;     /* a folder for files of disks */
	json_t *document;        /* of create and set */
};

struct vm_verb {
	const char *name, *cmdlet; /* both spellings; the second NULL: there is none */
	unsigned int least, most;  /* words */
	int (*run)(struct vm *vm); /* the exit status */
	bool sets;                 /* takes the options of a document */
	const char *words_help, *help;
};

/* Of create and set: an option and its value. False: said why. */
bool vm_take_option(struct vm *vm, const char *word, const char *value);

/* remote.c: the host is another one. Over SSH `vm` is run there, and this does not return; else who
 * we are is read. False: said why. */
bool vm_go_there(struct vm *vm, int argc, char **argv);

/* ... for requests at "https://...", by option or environment. False: said why. */
bool vm_show_token(const struct vm *vm, const char *where);

/* NULL: there is none. */
const struct vm_verb *vm_find_verb(const char *word);

/* The options one after the other, NULL behind the last; *value is NULL of one that has none. */
const char *vm_option(unsigned int index, const char **value, const char **help, bool *is_file);

/* vm_completion.c: for a shell, from the tables of verbs and options. False: for none of this
 * name. */
bool vm_print_completion(const char *shell);

/* vm_verbs.c: an answer of the service, `form` with a name that is escaped and one more; NULL: said
 * why, and vm_refused() is the status. */
json_t *vm_ask(struct vm *vm, const char *method, json_t *body, const char *form, const char *name,
	       const char *more);
int vm_refused(const struct vm *vm);
/* As above, of another service. */
int vm_refused_by(const struct http *http);
/* Until the job, which is taken, has ended. The status. */
int vm_wait(struct vm *vm, json_t *job);
/* An action of a machine, to the end of its job. The status. */
int vm_act_on(struct vm *vm, const char *name, const char *action);
/* A list of objects: their members that `columns` or --columns name, or with --json all. */
void vm_print_rows(const struct vm *vm, const json_t *list, const char *columns);
/* As a table shows it: nothing in it leads a terminal. */
void vm_print_value(const json_t *value, char *text, size_t size);
/* Bytes, as people read them. */
void vm_print_size(const json_t *bytes, char *text, size_t size);
/* A machine's document is changed, which may take its time. Takes the patch. The status. */
int vm_change(struct vm *vm, const char *name, json_t *patch);

/* vm_views.c: the verb, now and whenever something happens. The status. */
int vm_watch(struct vm *vm);

/* vm_parts.c, vm_checkpoints.c, vm_files.c, vm_views.c, vm_menu.c, vm_move.c, vm_display.c,
 * vm_console.c: verbs. */
int vm_disks(struct vm *vm), vm_add_disk(struct vm *vm), vm_set_disk(struct vm *vm),
	vm_remove_disk(struct vm *vm);
int vm_dvds(struct vm *vm), vm_add_dvd(struct vm *vm), vm_set_dvd(struct vm *vm),
	vm_remove_dvd(struct vm *vm);
int vm_devices(struct vm *vm), vm_add_device(struct vm *vm), vm_remove_device(struct vm *vm),
	vm_host_devices(struct vm *vm), vm_dismount_device(struct vm *vm),
	vm_mount_device(struct vm *vm);
int vm_networks(struct vm *vm), vm_add_network(struct vm *vm), vm_set_network(struct vm *vm),
	vm_connect_network(struct vm *vm), vm_remove_network(struct vm *vm);
int vm_com_port(struct vm *vm), vm_set_com_port(struct vm *vm);
int vm_services(struct vm *vm), vm_enable_service(struct vm *vm), vm_disable_service(struct vm *vm);
int vm_users(struct vm *vm), vm_grant(struct vm *vm), vm_revoke(struct vm *vm);
int vm_memory(struct vm *vm), vm_processors(struct vm *vm);
int vm_checkpoint(struct vm *vm), vm_checkpoints(struct vm *vm), vm_apply_checkpoint(struct vm *vm),
	vm_rename_checkpoint(struct vm *vm), vm_remove_checkpoint(struct vm *vm),
	vm_export_checkpoint(struct vm *vm), vm_move_storage(struct vm *vm);
int vm_files(struct vm *vm), vm_new_disk(struct vm *vm), vm_resize_disk(struct vm *vm),
	vm_delete_file(struct vm *vm), vm_upload(struct vm *vm), vm_download(struct vm *vm);
/* Of this size (NULL: its parent's), in a machine's folder; NULL: said why. */
json_t *vm_make_disk(struct vm *vm, const char *machine, const char *name, const char *size);
int vm_migrate(struct vm *vm), vm_compare(struct vm *vm), vm_proxy(struct vm *vm);
int vm_menu(struct vm *vm);
int vm_display(struct vm *vm);
int vm_console(struct vm *vm);
int vm_top(struct vm *vm), vm_storage(struct vm *vm);
int vm_switches(struct vm *vm), vm_add_switch(struct vm *vm), vm_remove_switch(struct vm *vm);

extern const struct vm_verb vm_verbs[];
extern const unsigned int vm_verb_count;

#endif
