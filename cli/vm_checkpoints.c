/* vm's verbs for checkpoints: one is named by its name, or by its id. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/vm.h"
#include "hosted/member.h"
#include "hosted/say.h"

static json_t *ask_list(struct vm *vm)
{
	return vm_ask(vm, "GET", NULL, "/v1/machines/%s/checkpoints%s", vm->words[0], "");
}

int vm_checkpoints(struct vm *vm)
{
	json_t *answer = ask_list(vm);

	if (answer == NULL) {
		return vm_refused(vm);
	}
	vm_print_rows(vm, json_object_get(answer, "checkpoints"),
		      "name,type,created,parent-name,current,notes");
	json_decref(answer);
	return VM_DONE;
}

/* VM_DONE: the id is there. */
static int find(struct vm *vm, const char *name, char id[40])
{
	json_t *answer = ask_list(vm), *one;
	unsigned int found = 0;
	size_t i;

	if (answer == NULL) {
		return vm_refused(vm);
	}
	json_array_foreach(json_object_get(answer, "checkpoints"), i, one)
	{
		bool is_id = strcasecmp(member_text(one, "id"), name) == 0;

		if (is_id || strcmp(member_text(one, "name"), name) == 0) {
			snprintf(id, 40, "%s", member_text(one, "id"));
			found = is_id ? 1 : found + 1;
			if (is_id) {
				break;
			}
		}
	}
	json_decref(answer);
	if (found == 1) {
		return VM_DONE;
	}
	say("'%s' has %s checkpoint '%s'; vm checkpoints lists them", vm->words[0],
	    found == 0 ? "no" : "more than one", name);
	return found == 0 ? VM_NOT_FOUND : VM_FAILED;
}

static int wait_for(struct vm *vm, json_t *job)
{
	return job != NULL ? vm_wait(vm, job) : vm_refused(vm);
}

int vm_checkpoint(struct vm *vm)
{
	json_t *body = json_pack("{s:s*, s:s*, s:O*}", "name", vm->count > 1 ? vm->words[1] : NULL,
				 "type", vm->kind, "notes", json_object_get(vm->document, "notes"));

	if (body == NULL) {
		say("%s: it is not UTF-8", vm->words[1]);
		return VM_USAGE;
	}
	return wait_for(
		vm, vm_ask(vm, "POST", body, "/v1/machines/%s/checkpoints%s", vm->words[0], ""));
}

/* What is asked of the second word's checkpoint; takes the body. */
static int ask_one(struct vm *vm, const char *method, json_t *body, const char *more)
{
	char id[40], path[80];
	int status = find(vm, vm->words[1], id);

	if (status != VM_DONE) {
		json_decref(body);
		return status;
	}
	snprintf(path, sizeof(path), "%s%s", id, more);
	return wait_for(
		vm, vm_ask(vm, method, body, "/v1/machines/%s/checkpoints/%s", vm->words[0], path));
}

int vm_apply_checkpoint(struct vm *vm)
{
	return ask_one(vm, "POST", json_object(), "/apply");
}

/* By an option or a word. NULL: said why. */
static json_t *folder_of(const struct vm *vm, const char *option, unsigned int word)
{
	const char *folder = option != NULL ? option : vm->count > word ? vm->words[word] : NULL;
	json_t *body = json_pack("{s:s*}", "to", folder);

	if (folder == NULL || body == NULL) {
		json_decref(body);
		say("say into which folder");
		return NULL;
	}
	return body;
}

int vm_export_checkpoint(struct vm *vm)
{
	json_t *body = folder_of(vm, vm->file, 2);

	return body == NULL ? VM_USAGE : ask_one(vm, "POST", body, "/export");
}

int vm_move_storage(struct vm *vm)
{
	json_t *body = folder_of(vm, vm->storage, 1);

	return body == NULL ? VM_USAGE
			    : wait_for(vm, vm_ask(vm, "POST", body, "/v1/machines/%s/storage%s",
						  vm->words[0], ""));
}

int vm_rename_checkpoint(struct vm *vm)
{
	json_t *body = json_pack("{s:s}", "name", vm->words[2]);

	if (body == NULL) {
		say("%s: it is not UTF-8", vm->words[2]);
		return VM_USAGE;
	}
	return ask_one(vm, "PATCH", body, "");
}

int vm_remove_checkpoint(struct vm *vm)
{
	return ask_one(vm, "DELETE", NULL, vm->children ? "?children=true" : "");
}
