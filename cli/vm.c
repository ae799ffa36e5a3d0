/*
 * vm: machines by their names. Words and options in both spellings: `vm start web1` and `vm
 * Start-VM -Name web1`. What is asked for is answered by the management service.
 */
#include "cli/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/words.h"
#include "hosted/say.h"
#include "hosted/size.h"
#include "include/mgmt/service.h"
#include "lib/check.h"

enum kind {
	FLAG,   /* a bool at `at` */
	TEXT,   /* a const char * at `at` */
	NAME,   /* one word more */
	FIRST,  /* ... before all others */
	MEMBER, /* of the document, a text */
	SIZE,   /* ... a text that PowerShell writes with a B */
	NUMBER, /* ... a number */
	CHOICE, /* ... one of the words below */
	DISK,
	DVD,
	NET,
	TAGS,    /* words with commas, as a list */
	ANY,     /* KEY=JSON */
	IGNORED, /* Hyper-V has it, and there is one choice here */
};

/* What Hyper-V calls them, and we. */
static const char *const choices[][2] = {
	{"Nothing", "never"},
	{"StartIfRunning", "if-running"},
	{"Start", "always"},
	{"ShutDown", "shutdown"},
	{"Save", "save"},
	{"TurnOff", "turn-off"},
	{"Off", "off"},
	{"On", "microsoft"},
	{"MicrosoftUEFICertificateAuthority", "microsoft"},
	{"Standard", "standard"},
	{"Production", "production"},
	{"ProductionOnly", "production-only"},
	{"Disabled", "disabled"},
};

static const struct option {
	const char *name, *parameter;
	enum kind kind;
	size_t at;
	const char *key;
	const char *value, *help; /* NULL: of another one's line */
} options[] = {
#define AT(member) offsetof(struct vm, member)
	/* clang-format off */
	{"socket", NULL, TEXT, AT(socket), NULL, "PATH", "of the service; " SERVICE_SOCKET},
	{"host", "ComputerName", TEXT, AT(host), NULL, "WHERE", "another one: ssh://[USER@]HOST, https://HOST[:PORT]"},
	{"token-file", NULL, TEXT, AT(token_file), NULL, "FILE", "... over https: of `vweb token add`; or VM_TOKEN"},
	{"certificate", NULL, TEXT, AT(certificates), NULL, "FILE", "... a copy of its certificate.pem"},
	{"client-certificate", NULL, TEXT, AT(client_certificate), NULL, "FILE", "... instead of a token: it is registered there, by vweb token add"},
	{"client-key", NULL, TEXT, AT(client_key), NULL, "FILE", "... its key, if that is in another file"},
	{"to", "DestinationHost", TEXT, AT(to), NULL, "WHERE", "of migrate and compare: the other host, or the socket of another service on this one"},
	{"shared", NULL, TEXT, AT(shared), NULL, "FOLDER", "... that both have, for a machine without disks"},
	{"storage", "DestinationStoragePath", TEXT, AT(storage), NULL, "FOLDER", "of move-storage: where its files of disks go; of migrate and compare, without a FOLDER: its disks go along, to a host that does not see them"},
	{"include-storage", "IncludeStorage", FLAG, AT(along), NULL, NULL, NULL},
	{"finish", NULL, FLAG, AT(finish), NULL, "", "of migrate --storage: what a connection that was cut has left undecided"},
	{"json", NULL, FLAG, AT(json), NULL, "", "answers as JSON"},
	{"columns", NULL, TEXT, AT(columns), NULL, "A,B,...", "of a list: members of its JSON"},
	{"watch", NULL, FLAG, AT(watch), NULL, "", "of what is listed: again whenever something happens"},
	{"no-wait", "AsJob", FLAG, AT(no_wait), NULL, "", "do not wait for the end of a job"},
	{"name", "Name", NAME, 0, NULL, NULL, NULL},
	{"vm-name", "VMName", FIRST, 0, NULL, NULL, NULL},
	{"new-name", "NewName", NAME, 0, NULL, NULL, NULL},
	{"snapshot-name", "SnapshotName", NAME, 0, NULL, NULL, NULL},
	{"children", "IncludeAllChildCheckpoints", FLAG, AT(children), NULL, "", "of remove-checkpoint: all that came of it too"},
	{"shutdown-key", NULL, FLAG, AT(shutdown_key), NULL, "", "of console: Ctrl-] shuts the guest down, again turns it off, and Ctrl-\\ leaves, with status 7"},
	{"force", "Force", FLAG, AT(force), NULL, "", "of a shutdown: programs that object are ended"},
	{"turn-off", "TurnOff", FLAG, AT(turn_off), NULL, "", "of stop: at once, without the guest"},
	{"save", "Save", FLAG, AT(save), NULL, "", "of stop: save it instead"},
	{"disks", NULL, FLAG, AT(disks), NULL, "", "of delete: the disks in its folder, too"},
	{"memory", "MemoryStartupBytes", SIZE, 0, "memory", "SIZE", "as 512M or 2G"},
	{"memory-minimum", "MemoryMinimumBytes", SIZE, 0, "memory-minimum", "SIZE", "dynamic memory, down to this"},
	{"memory-maximum", "MemoryMaximumBytes", SIZE, 0, "memory-maximum", "SIZE", "... up to this"},
	{"memory-buffer", "Buffer", NUMBER, 0, "memory-buffer", "PERCENT", "... beyond its demand"},
	{"memory-weight", "Priority", NUMBER, 0, "memory-weight", "N", "... where there is too little for all, to 100"},
	{"startup-bytes", "StartupBytes", SIZE, 0, "memory", NULL, NULL},
	{"minimum-bytes", "MinimumBytes", SIZE, 0, "memory-minimum", NULL, NULL},
	{"maximum-bytes", "MaximumBytes", SIZE, 0, "memory-maximum", NULL, NULL},
	{"vps", "ProcessorCount", NUMBER, 0, "vps", "N", "virtual processors"},
	{"count", "Count", NUMBER, 0, "vps", NULL, NULL},
	{"generation", "Generation", NUMBER, 0, "generation", "N", "with firmware, as vmwp --help has it"},
	{"secure-boot", "SecureBootTemplate", CHOICE, 0, "secure-boot", "KEYS", "with generation 2: off, microsoft or template"},
	{"enable-secure-boot", "EnableSecureBoot", CHOICE, 0, "secure-boot", NULL, NULL},
	{"kernel", NULL, MEMBER, 0, "kernel", "FILE", "without generation: a Linux kernel"},
	{"initrd", NULL, MEMBER, 0, "initrd", "FILE", "... its initial RAM disk"},
	{"append", NULL, MEMBER, 0, "append", "TEXT", "... its command line"},
	{"disk", "VHDPath", DISK, 0, NULL, "FILE", "a disk that exists; any number of them"},
	{"new-disk", "NewVHDSizeBytes", TEXT, AT(new_disk), NULL, "SIZE", "of create: a dynamic VHDX in its folder"},
	{"parent", "ParentPath", TEXT, AT(parent), NULL, "FILE", "of new-disk: a differencing one over this"},
	{"iso", NULL, DVD, 0, NULL, "FILE", "a disc in a DVD drive"},
	{"net", "SwitchName", NET, 0, NULL, "SWITCH", "a network adapter; any number of them"},
	{"file", "Path", TEXT, AT(file), NULL, "FILE", "of a disk, a disc, a COM port"},
	{"number", "ControllerLocation", TEXT, AT(number), NULL, "N", "of a disk or a drive, on its controller"},
	{"controller", "ControllerType", TEXT, AT(controller), NULL, "scsi|ide", "of a disk or a drive"},
	{"controller-number", "ControllerNumber", IGNORED, 0, NULL, NULL, NULL},
	{"read-only", NULL, FLAG, AT(read_only), NULL, "", "of add-disk"},
	{"mac", "StaticMacAddress", TEXT, AT(mac), NULL, "ADDRESS", "of an adapter"},
	{"port", NULL, TEXT, AT(port), NULL, "NAME", "... of its switch"},
	{"vlan", "VlanId", TEXT, AT(vlan), NULL, "N", "... access to this one"},
	{"access", "Access", FLAG, AT(access), NULL, NULL, NULL},
	{"sriov", "IovWeight", TEXT, AT(sriov), NULL, "on|off", "its frames go by a virtual function of the switch's card, if one is free"},
	{"untagged", "Untagged", FLAG, AT(untagged), NULL, "", "... to none"},
	{"kind", "SwitchType", TEXT, AT(kind), NULL, "KIND", "of add-switch: private, internal, external, bridge or nat; of checkpoint: as --checkpoint-type; of new-disk: dynamic or fixed"},
	{"interface", "NetAdapterName", TEXT, AT(interface), NULL, "NAME", "... a card or a bridge, or what the internal one is called"},
	{"speed", NULL, TEXT, AT(speed), NULL, "MBIT/S", "... of what reserves are a part of"},
	{"allow-management-os", "AllowManagementOS", IGNORED, 0, NULL, NULL, NULL},
	{"user", "UserName", TEXT, AT(user), NULL, "NAME", "of grant and revoke"},
	{"role", NULL, TEXT, AT(role), NULL, "ROLE", "of grant: viewer or operator"},
	{"notes", "Notes", MEMBER, 0, "notes", "TEXT", ""},
	{"tags", NULL, TAGS, 0, "tags", "A,B,...", ""},
	{"start", "AutomaticStartAction", CHOICE, 0, "start", "WHEN", "with the host: never, if-running or always"},
	{"start-delay", "AutomaticStartDelay", NUMBER, 0, "start-delay", "SECONDS", "... so much later"},
	{"stop", "AutomaticStopAction", CHOICE, 0, "stop", "HOW", "with the host: shutdown, save or turn-off"},
	{"undo", NULL, CHOICE, 0, "undo", "HOW", "undo disks: what it writes is thrown away when it is off (discard), or goes into its disks then (commit)"},
	{"checkpoint-type", "CheckpointType", CHOICE, 0, "checkpoint-type", "HOW", "what a checkpoint is: standard, with memory; production, disks of a guest that has brought all to them, or standard where it cannot; production-only; disks; disabled"},
	{"set", NULL, ANY, 0, NULL, "KEY=JSON", "any member of its document; KEY=null takes it away"},
	/* clang-format on */
};

static bool fail(const char *what, const char *why)
{
	say("%s: %s", what, why);
	return false;
}

/* Puts it behind a list of the document. */
static bool append(struct vm *vm, const char *key, json_t *item)
{
	json_t *list = json_object_get(vm->document, key);

	if (list == NULL) {
		list = json_array();
		json_object_set_new(vm->document, key, list);
	}
	return json_array_append_new(list, item) == 0;
}

static bool put_any(struct vm *vm, const char *word)
{
	const char *equals = strchr(word, '=');
	char key[64];
	json_t *value;

	if (equals == NULL || (size_t)(equals - word) >= sizeof(key)) {
		return fail(word, "write KEY=JSON, as notes='\"mine\"'");
	}
	snprintf(key, sizeof(key), "%.*s", (int)(equals - word), word);
	value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	if (value == NULL) {
		return fail(word, "what is behind = is no JSON; a text has double quotes");
	}
	return json_object_set_new(vm->document, key, value) == 0;
}

static json_t *split(const char *word)
{
	json_t *list = json_array();
	size_t length;

	for (; *word != '\0'; word += length + (word[length] == ',')) {
		length = strcspn(word, ",");
		if (length != 0) {
			json_array_append_new(list, json_stringn(word, length));
		}
	}
	return list;
}

static bool put_member(struct vm *vm, const struct option *option, const char *word)
{
	uint64_t size;
	char text[24];
	json_int_t number;
	size_t i;

	switch (option->kind) {
	case SIZE:
		if (!size_parse(word, &size)) {
			return fail(word, "not a size; write it as 512M or 2G");
		}
		snprintf(text, sizeof(text), "%s", word);
		text[strcspn(text, "bB")] = '\0';
		return json_object_set_new(vm->document, option->key,
					   strchr("0123456789", text[strlen(text) - 1]) != NULL
						   ? json_integer((json_int_t)size)
						   : json_string(text)) == 0;
	case NUMBER:
		if (!words_number(word, &number)) {
			return fail(word, "not a number");
		}
		return json_object_set_new(vm->document, option->key, json_integer(number)) == 0;
	case CHOICE:
		for (i = 0; i < ARRAY_COUNT(choices); i++) {
			if (strcasecmp(word, choices[i][0]) == 0) {
				word = choices[i][1];
			}
		}
		break;
	case DISK:
		return append(vm, "disks", json_pack("{s:s}", "file", word));
	case DVD:
		return append(vm, "disks", json_pack("{s:s, s:s}", "kind", "dvd", "file", word));
	case NET:
		return append(vm, "networks", json_pack("{s:s}", "switch", word));
	case TAGS:
		return json_object_set_new(vm->document, option->key, split(word)) == 0;
	case ANY:
		return put_any(vm, word);
	default:
		break;
	}
	return json_object_set_new(vm->document, option->key, json_string(word)) == 0 ||
	       fail(word, "it is not UTF-8");
}

/* --long[=VALUE], or -Parameter, in any case as PowerShell takes it. */
static const struct option *find_option(const char *word)
{
	bool is_long = word[1] == '-';
	size_t i, length = is_long ? strcspn(word + 2, "=") : 0;

	for (i = 0; i < ARRAY_COUNT(options); i++) {
		if (is_long ? strlen(options[i].name) == length &&
				      strncmp(options[i].name, word + 2, length) == 0
			    : options[i].parameter != NULL &&
				      strcasecmp(options[i].parameter, word + 1) == 0) {
			return &options[i];
		}
	}
	return NULL;
}

static bool put_word(struct vm *vm, const char *word, bool first)
{
	if (vm->count >= VM_WORDS_MAX - 1) {
		return fail(word, "too many words");
	}
	if (first) {
		memmove(vm->words + 1, vm->words, vm->count * sizeof(vm->words[0]));
	}
	vm->words[first ? 0 : vm->count] = word;
	vm->count++;
	return true;
}

static bool moves(const struct vm *vm)
{
	return vm->verb->run == vm_migrate || vm->verb->run == vm_compare;
}

/* `next`: the word behind it; *used: it is its value. */
static bool take_option(struct vm *vm, const char *word, const char *next, bool *used)
{
	const struct option *option = find_option(word);
	const char *value = strchr(word, '=');

	*used = false;
	if (option == NULL) {
		return fail(word, "not an option; see vm --help");
	}
	if (option->kind == FLAG) {
		*(bool *)((char *)vm + option->at) = true;
		return true;
	}
	/* Behind such a verb it is a flag. */
	if (value == NULL && option->kind == TEXT && option->at == AT(storage) &&
	    vm->verb != NULL && moves(vm)) {
		vm->along = true;
		return true;
	}
	*used = value == NULL;
	value = value != NULL ? value + 1 : next;
	if (value == NULL) {
		return fail(word, "it needs a value; see vm --help");
	}
	/* Behind such a verb it is where the machine goes. */
	if (option->kind == TEXT && option->at == AT(host) && vm->verb != NULL && moves(vm)) {
		vm->to = value;
		return true;
	}
	if (option->kind == TEXT) {
		*(const char **)((char *)vm + option->at) = value;
		return true;
	}
	if (option->kind == IGNORED) {
		return true;
	}
	if (option->kind == NAME || option->kind == FIRST) {
		return put_word(vm, value, option->kind == FIRST);
	}
	if (option->kind == NET && vm->verb != NULL && !vm->verb->sets) {
		vm->network = value;
		return true;
	}
	if (vm->verb == NULL || !vm->verb->sets) {
		return fail(word, "this is for create and set, behind the verb");
	}
	return put_member(vm, option, value);
}

bool vm_take_option(struct vm *vm, const char *word, const char *value)
{
	bool used;

	return take_option(vm, word, value, &used);
}

const char *vm_option(unsigned int index, const char **value, const char **help, bool *is_file)
{
	const struct option *option = &options[index];
	static const char *const files[] = {"file",        "disk",   "iso",
					    "kernel",      "initrd", "token-file",
					    "certificate", "parent", "client-certificate",
					    "client-key"};

	if (index >= ARRAY_COUNT(options)) {
		return NULL;
	}
	*value = option->kind == FLAG ? NULL : option->value != NULL ? option->value : "VALUE";
	*help = option->help != NULL ? option->help : "";
	*is_file = false;
	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		*is_file |= strcmp(option->name, files[i]) == 0;
	}
	return option->name;
}

const struct vm_verb *vm_find_verb(const char *word)
{
	unsigned int i;

	for (i = 0; i < vm_verb_count; i++) {
		if (strcmp(vm_verbs[i].name, word) == 0 ||
		    (vm_verbs[i].cmdlet != NULL && strcasecmp(vm_verbs[i].cmdlet, word) == 0)) {
			return &vm_verbs[i];
		}
	}
	return NULL;
}

static void print_help(FILE *file)
{
	char left[80];
	size_t i;

	fputs("usage: vm VERB [NAME...] [options]\n\n", file);
	for (i = 0; i < vm_verb_count; i++) {
		snprintf(left, sizeof(left), "%s %s", vm_verbs[i].name, vm_verbs[i].words_help);
		fprintf(file, "  %-31s %-28s %s\n", left,
			vm_verbs[i].cmdlet != NULL ? vm_verbs[i].cmdlet : "", vm_verbs[i].help);
	}
	fputs("\n", file);
	for (i = 0; i < ARRAY_COUNT(options); i++) {
		if (options[i].help != NULL) {
			snprintf(left, sizeof(left), "--%s %s", options[i].name, options[i].value);
			fprintf(file, "  %-31s %s%-27s %s\n", left,
				options[i].parameter != NULL ? "-" : " ",
				options[i].parameter != NULL ? options[i].parameter : "",
				options[i].help);
		}
	}
	fputs("\nExit status: 0 done, 1 failed, 2 wrong words, 3 there is none of that name, 4 not "
	      "in "
	      "this state,\n5 not allowed, 7 a console was left by its key where --shutdown-key "
	      "was given.\n",
	      file);
}

static bool parse(struct vm *vm, int argc, char **argv)
{
	bool used;
	int i;

	for (i = 1; i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1] != '\0') {
			if (!take_option(vm, argv[i], argv[i + 1], &used)) {
				return false;
			}
			i += used;
		} else if (vm->verb == NULL) {
			vm->verb = vm_find_verb(argv[i]);
			if (vm->verb == NULL) {
				return fail(argv[i], "not a verb; see vm --help");
			}
		} else if (!put_word(vm, argv[i], false)) {
			return false;
		}
	}
	if (vm->verb == NULL) {
		print_help(stderr);
		return false;
	}
	if (vm->count < vm->verb->least || vm->count > vm->verb->most) {
		say("vm %s %s: %s", vm->verb->name, vm->verb->words_help,
		    vm->count < vm->verb->least ? "a word is missing" : "there is a word too many");
		return false;
	}
	/* PowerShell's name says that it only looks. */
	if (vm->watch && (vm->verb->cmdlet == NULL || strncmp(vm->verb->cmdlet, "Get-", 4) != 0)) {
		return fail("--watch", "this is for verbs that list");
	}
	return true;
}

int main(int argc, char **argv)
{
	struct vm vm = {.document = json_object()};
	int status = VM_USAGE;

	say_set_name("vm");
	vm.socket = getenv("VM_SOCKET");
	vm.socket = vm.socket != NULL ? vm.socket : SERVICE_SOCKET;
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		print_help(stdout);
		return VM_DONE;
	}
	vm.host = getenv("VM_HOST");
	vm.certificates = getenv("VM_CERTIFICATE");
	vm.client_certificate = getenv("VM_CLIENT_CERTIFICATE");
	vm.client_key = getenv("VM_CLIENT_KEY");
	if (parse(&vm, argc, argv) && (vm.host == NULL || vm_go_there(&vm, argc, argv))) {
		vm.http = http_open(vm.socket, true);
		status = vm.http == NULL ? VM_FAILED : vm.watch ? vm_watch(&vm) : vm.verb->run(&vm);
	}
	if (vm.http != NULL) {
		http_close(vm.http);
	}
	json_decref(vm.document);
	return status;
}
