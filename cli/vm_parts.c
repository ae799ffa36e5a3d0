/*
 * vm's verbs for the parts of a machine: disks, discs, adapters, COM port, services, users; and for
 * switches. A list of the document is read, changed and given back; the service refuses it if
 * somebody else was faster, and says what only holds at the next start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/vm.h"
#include "cli/words.h"
#include "hosted/member.h"
#include "hosted/say.h"
#include "lib/check.h"

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* The word behind the machine's name, or what an option says; "" where there is neither. */
static const char *second(const struct vm *vm, const char *option)
{
	const char *word = option != NULL ? option : vm->words[1];

	return word != NULL ? word : "";
}

static int missing(const struct vm *vm, const char *what)
{
	say("vm %s %s: %s is missing", vm->verb->name, vm->verb->words_help, what);
	return VM_USAGE;
}

static json_t *read_machine(struct vm *vm)
{
	return vm_ask(vm, "GET", NULL, "/v1/machines/%s", vm->words[0], "");
}

/* Gives a member of its document back, which it takes, and the machine. */
static int give_back(struct vm *vm, json_t *machine, const char *key, json_t *value)
{
	http_expect(vm->http, member_text(machine, "revision"));
	json_decref(machine);
	return vm_change(vm, vm->words[0], json_pack("{s:o}", key, value));
}

/* A copy of a list of the document, empty if it has none. */
static json_t *copy_list(const json_t *machine, const char *key)
{
	const json_t *list = json_object_get(json_object_get(machine, "document"), key);

	return list != NULL ? json_deep_copy(list) : json_array();
}

static int not_there(json_t *machine, const char *what, const char *which)
{
	say("'%s' has no %s %s", member_text(machine, "name"), what, which);
	json_decref(machine);
	return VM_NOT_FOUND;
}

/* Takes the list. */
static int print_rows(struct vm *vm, json_t *machine, json_t *list, const char *columns)
{
	json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		json_object_set(row, "vm", json_object_get(machine, "name"));
	}
	vm_print_rows(vm, list, columns);
	json_decref(list);
	json_decref(machine);
	return VM_DONE;
}

/* ---- Disks and discs ---- */

static bool is_dvd(const json_t *disk)
{
	return strcmp(member_text(disk, "kind"), "dvd") == 0;
}

static bool is_ide(const json_t *disk)
{
	return strcmp(member_text(disk, "controller"), "ide") == 0;
}

static int list_disks(struct vm *vm, bool dvds)
{
	json_t *machine = read_machine(vm), *list = json_array(), *disk;
	size_t i;

	json_array_foreach(json_object_get(machine, "disks"), i, disk)
	{
		if (is_dvd(disk) == dvds) {
			json_object_set_new(disk, "controller",
					    json_string(is_ide(disk) ? "ide" : "scsi"));
			json_array_append(list, disk);
		}
	}
	if (machine == NULL) {
		json_decref(list);
		return vm_refused(vm);
	}
	return print_rows(vm, machine, list, "vm,controller,number,file,read-only");
}

int vm_disks(struct vm *vm)
{
	return vm->count == 0 ? vm_storage(vm) : list_disks(vm, false);
}

int vm_dvds(struct vm *vm)
{
	return list_disks(vm, true);
}

/* By its number, with --controller where that is not clear, or its file. -1: there is none. */
static int find_disk(const struct vm *vm, const json_t *machine, bool dvd, const char *word)
{
	const json_t *disks = json_object_get(machine, "disks"), *disk;
	bool is_number = word[0] != '\0' && strspn(word, "0123456789") == strlen(word);
	int found = -1;
	size_t i;

	json_array_foreach((json_t *)disks, i, disk)
	{
		bool is_it =
			is_number ? number(disk, "number") == atoll(word)
				  : word[0] == '\0' || strcmp(member_text(disk, "file"), word) == 0;

		if (is_dvd(disk) == dvd && is_it && found < 0 &&
		    (vm->controller == NULL ||
		     (strcasecmp(vm->controller, "ide") == 0) == is_ide(disk))) {
			found = (int)i;
		}
	}
	return found;
}

static int add_drive(struct vm *vm, bool dvd)
{
	const char *file = second(vm, vm->file);
	json_t *machine, *list, *disk;
	json_int_t place;

	if (!dvd && *file == '\0') {
		return missing(vm, "FILE");
	}
	if (vm->number != NULL && !words_number(vm->number, &place)) {
		say("%s: not a number", vm->number);
		return VM_USAGE;
	}
	machine = read_machine(vm);
	if (machine == NULL) {
		return vm_refused(vm);
	}
	list = copy_list(machine, "disks");
	disk = dvd ? json_pack("{s:s}", "kind", "dvd") : json_object();
	if (*file != '\0') {
		json_object_set_new(disk, "file", json_string(file));
	}
	if (vm->number != NULL) {
		json_object_set_new(disk, "number", json_integer(place));
	}
	if (vm->controller != NULL && strcasecmp(vm->controller, "ide") == 0) {
		json_object_set_new(disk, "controller", json_string("ide"));
	}
	if (vm->read_only && !dvd) {
		json_object_set_new(disk, "read-only", json_true());
	}
	json_array_append_new(list, disk);
	return give_back(vm, machine, "disks", list);
}

int vm_add_disk(struct vm *vm)
{
	return add_drive(vm, false);
}

int vm_add_dvd(struct vm *vm)
{
	return add_drive(vm, true);
}

static int remove_drive(struct vm *vm, bool dvd)
{
	const char *which = second(vm, vm->number);
	json_t *machine = read_machine(vm), *list;
	int index;

	if (machine == NULL) {
		return vm_refused(vm);
	}
	index = *which != '\0' ? find_disk(vm, machine, dvd, which) : -1;
	if (index < 0) {
		return not_there(machine, dvd ? "DVD drive" : "disk", which);
	}
	list = copy_list(machine, "disks");
	json_array_remove(list, (size_t)index);
	return give_back(vm, machine, "disks", list);
}

int vm_remove_disk(struct vm *vm)
{
	return remove_drive(vm, false);
}

int vm_remove_dvd(struct vm *vm)
{
	return remove_drive(vm, true);
}

/* Another file, "": none. */
static int set_drive(struct vm *vm, bool dvd, const char *which, const char *file)
{
	json_t *machine = read_machine(vm), *list, *disk;
	int index;

	if (machine == NULL) {
		return vm_refused(vm);
	}
	index = find_disk(vm, machine, dvd, which);
	if (index < 0) {
		return not_there(machine, dvd ? "DVD drive" : "disk", which);
	}
	list = copy_list(machine, "disks");
	disk = json_array_get(list, (size_t)index);
	if (*file != '\0') {
		json_object_set_new(disk, "file", json_string(file));
	} else {
		json_object_del(disk, "file");
	}
	return give_back(vm, machine, "disks", list);
}

int vm_set_disk(struct vm *vm)
{
	const char *which = vm->number != NULL ? vm->number : vm->words[1],
		   *file = vm->file != NULL ? vm->file : vm->words[vm->number != NULL ? 1 : 2];

	if (which == NULL || file == NULL) {
		return missing(vm, which == NULL ? "NUMBER" : "FILE");
	}
	return set_drive(vm, false, which, file);
}

/* Of the drive that --number names, or the first. */
int vm_set_dvd(struct vm *vm)
{
	return set_drive(vm, true, vm->number != NULL ? vm->number : "", second(vm, vm->file));
}

/* ---- Devices of the host ---- */

int vm_devices(struct vm *vm)
{
	json_t *machine = read_machine(vm), *list, *there, *device, *one;
	size_t i, j;

	if (machine == NULL) {
		return vm_refused(vm);
	}
	list = copy_list(machine, "devices");
	there = json_object_get(json_object_get(machine, "worker"), "devices");
	json_array_foreach(list, i, device)
	{
		json_object_set_new(device, "there", json_false());
		json_array_foreach(there, j, one)
		{
			if (strcmp(member_text(one, "pci"), member_text(device, "pci")) == 0) {
				json_object_set_new(device, "there", json_true());
			}
		}
	}
	return print_rows(vm, machine, list, "vm,pci,there");
}

static int edit_device(struct vm *vm, bool add)
{
	const char *address = vm->words[1];
	json_t *machine, *list, *device;
	bool found = add;
	size_t i;

	if (address == NULL) {
		return missing(vm, "ADDRESS");
	}
	machine = read_machine(vm);
	if (machine == NULL) {
		return vm_refused(vm);
	}
	list = copy_list(machine, "devices");
	if (add) {
		json_array_append_new(list, json_pack("{s:s}", "pci", address));
	}
	for (i = json_array_size(list); !add && i-- > 0;) {
		device = json_array_get(list, i);
		if (strcmp(member_text(device, "pci"), address) == 0) {
			json_array_remove(list, i);
			found = true;
		}
	}
	if (!found) {
		json_decref(list);
		return not_there(machine, "device", address);
	}
	if (json_array_size(list) == 0) { /* the member goes, and what it hinders may come */
		json_decref(list);
		list = json_null();
	}
	return give_back(vm, machine, "devices", list);
}

int vm_add_device(struct vm *vm)
{
	return edit_device(vm, true);
}

int vm_remove_device(struct vm *vm)
{
	return edit_device(vm, false);
}

int vm_host_devices(struct vm *vm)
{
	json_t *answer = vm_ask(vm, "GET", NULL, "/v1/host/devices%s%s", "", ""), *device;
	size_t i, j;

	if (answer == NULL) {
		return vm_refused(vm);
	}
	json_array_foreach(json_object_get(answer, "devices"), i, device)
	{
		json_t *names = json_object_get(device, "machines"), *name;
		char text[256] = "";
		size_t used = 0;

		json_array_foreach(names, j, name)
		{
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 j != 0 ? ", " : "", json_string_value(name));
			used = used < sizeof(text) ? used : sizeof(text) - 1;
		}
		json_object_set_new(device, "machines", json_string(text));
	}
	vm_print_rows(vm, json_object_get(answer, "devices"),
		      "pci,id,class,driver,group,function-of,functions,assignable,machines");
	json_decref(answer);
	return VM_DONE;
}

static int give_device(struct vm *vm, const char *action)
{
	json_t *answer = vm_ask(vm, "POST", NULL, "/v1/host/devices/%s/%s", vm->words[0], action);

	if (answer == NULL) {
		return vm_refused(vm);
	}
	json_decref(answer);
	return VM_DONE;
}

int vm_dismount_device(struct vm *vm)
{
	return give_device(vm, "dismount");
}

int vm_mount_device(struct vm *vm)
{
	return give_device(vm, "mount");
}

/* ---- Network adapters ---- */

int vm_networks(struct vm *vm)
{
	json_t *machine = read_machine(vm), *list, *there, *network, *adapter;
	size_t i;

	if (machine == NULL) {
		return vm_refused(vm);
	}
	list = copy_list(machine, "networks");
	there = json_object_get(json_object_get(machine, "worker"), "networks");
	json_array_foreach(list, i, network)
	{
		adapter = json_array_get(there, i);
		json_object_set_new(network, "index", json_integer((json_int_t)i));
		if (strcmp(member_text(adapter, "switch"), member_text(network, "switch")) == 0) {
			json_object_set(network, "mac", json_object_get(adapter, "address"));
			json_object_set(network, "connected",
					json_object_get(adapter, "connected"));
			json_object_set(network, "function", json_object_get(adapter, "function"));
		}
	}
	return print_rows(vm, machine, list, "vm,index,switch,mac,vlan,connected,sriov,function");
}

/* A weight, as in PowerShell: any but 0 wants one. */
static bool put_sriov(const char *word, json_t *network)
{
	json_int_t weight = 0;
	bool on = strcmp(word, "on") == 0;

	if (!on && strcmp(word, "off") != 0 && !(words_number(word, &weight) && weight <= 100)) {
		say("--sriov %s: give on or off", word);
		return false;
	}
	if (on || weight > 0) {
		json_object_set_new(network, "sriov", json_true());
	} else {
		json_object_del(network, "sriov");
	}
	return true;
}

static bool put_network(const struct vm *vm, json_t *network)
{
	json_int_t value;

	if (vm->network != NULL) {
		json_object_set_new(network, "switch", json_string(vm->network));
	}
	if (vm->mac != NULL) {
		json_object_set_new(network, "mac", json_string(vm->mac));
	}
	if (vm->port != NULL) {
		json_object_set_new(network, "port", json_string(vm->port));
	}
	if (vm->untagged) {
		json_object_del(network, "vlan");
	}
	if (vm->sriov != NULL && !put_sriov(vm->sriov, network)) {
		return false;
	}
	if (vm->vlan != NULL) {
		if (!words_number(vm->vlan, &value)) {
			say("%s: not a number", vm->vlan);
			return false;
		}
		json_object_set_new(network, "vlan", json_integer(value));
	}
	return true;
}

int vm_add_network(struct vm *vm)
{
	json_t *machine, *list, *network = json_object();

	vm->network = vm->network != NULL ? vm->network : vm->words[1];
	if (vm->network == NULL) {
		json_decref(network);
		return missing(vm, "SWITCH");
	}
	if (!put_network(vm, network)) {
		json_decref(network);
		return VM_USAGE;
	}
	machine = read_machine(vm);
	if (machine == NULL) {
		json_decref(network);
		return vm_refused(vm);
	}
	list = copy_list(machine, "networks");
	json_array_append_new(list, network);
	return give_back(vm, machine, "networks", list);
}

/* Which of them; the only one needs no index. -1: there is none. */
static int find_network(const json_t *list, const char *word)
{
	size_t count = json_array_size(list);
	json_int_t index = 0;

	if (word == NULL) {
		return count == 1 ? 0 : -1;
	}
	return words_number(word, &index) && (size_t)index < count ? (int)index : -1;
}

/* `index`: among the words. */
static int edit_network(struct vm *vm, const char *word, bool remove)
{
	json_t *machine = read_machine(vm), *list;
	int index;

	if (machine == NULL) {
		return vm_refused(vm);
	}
	list = copy_list(machine, "networks");
	index = find_network(list, word);
	if (index < 0) {
		json_decref(list);
		return not_there(machine, "network adapter",
				 word != NULL ? word
					      : "that would be the only one; give its index");
	}
	if (remove) {
		json_array_remove(list, (size_t)index);
	} else if (!put_network(vm, json_array_get(list, (size_t)index))) {
		json_decref(list);
		json_decref(machine);
		return VM_USAGE;
	}
	return give_back(vm, machine, "networks", list);
}

int vm_set_network(struct vm *vm)
{
	return edit_network(vm, vm->words[1], false);
}

int vm_connect_network(struct vm *vm)
{
	bool named = vm->network != NULL;

	vm->network = named ? vm->network : vm->words[1];
	if (vm->network == NULL) {
		return missing(vm, "SWITCH");
	}
	return edit_network(vm, vm->words[named ? 1 : 2], false);
}

int vm_remove_network(struct vm *vm)
{
	return edit_network(vm, vm->words[1], true);
}

/* ---- The COM port ---- */

int vm_com_port(struct vm *vm)
{
	json_t *machine = read_machine(vm);
	const json_t *serial = json_object_get(json_object_get(machine, "document"), "serial");

	if (machine == NULL) {
		return vm_refused(vm);
	}
	return print_rows(vm, machine,
			  json_pack("[{s:i, s:s, s:s}]", "number", 1, "to",
				    serial != NULL ? member_text(serial, "to") : "control", "path",
				    member_text(serial, "file")),
			  "vm,number,to,path");
}

/* A UNIX socket's path, or "control": vm console. */
int vm_set_com_port(struct vm *vm)
{
	const char *path = second(vm, vm->file);

	if (*path == '\0') {
		return missing(vm, "PATH");
	}
	return vm_change(vm, vm->words[0],
			 strcmp(path, "control") == 0 ? json_pack("{s:n}", "serial")
						      : json_pack("{s:{s:s, s:s}}", "serial", "to",
								  "unix", "file", path));
}

/* ---- Integration services ---- */

static const char *const services[][2] = {
	{"shutdown", "Shutdown"},
	{"heartbeat", "Heartbeat"},
	{"time", "Time Synchronization"},
	{"values", "Key-Value Pair Exchange"},
	{"backup", "VSS"},
	{"files", "Guest Service Interface"},
};

/* Absent: all of them. */
static bool has_service(const json_t *list, const char *name)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item)
	{
		if (json_is_string(item) && strcmp(json_string_value(item), name) == 0) {
			return true;
		}
	}
	return list == NULL;
}

int vm_services(struct vm *vm)
{
	json_t *machine = read_machine(vm), *rows = json_array(), *row, *there;
	const json_t *list = json_object_get(json_object_get(machine, "document"), "services");
	size_t i;

	if (machine == NULL) {
		json_decref(rows);
		return vm_refused(vm);
	}
	for (i = 0; i < ARRAY_COUNT(services); i++) {
		there = json_array_get(
			json_object_get(json_object_get(machine, "worker"), "services"), i);
		row = json_pack("{s:s, s:s, s:b}", "name", services[i][0], "service",
				services[i][1], "enabled", has_service(list, services[i][0]));
		if (there != NULL) {
			json_object_set(row, "contacted", json_object_get(there, "contacted"));
			json_object_set(row, "status", json_object_get(there, "why"));
		}
		json_array_append_new(rows, row);
	}
	return print_rows(vm, machine, rows, "vm,name,service,enabled,contacted,status");
}

static int switch_service(struct vm *vm, bool on)
{
	json_t *machine, *list;
	const json_t *old;
	size_t i, which = ARRAY_COUNT(services);

	if (vm->words[1] == NULL) {
		return missing(vm, "SERVICE");
	}
	for (i = 0; i < ARRAY_COUNT(services); i++) {
		if (strcasecmp(vm->words[1], services[i][0]) == 0 ||
		    strcasecmp(vm->words[1], services[i][1]) == 0) {
			which = i;
		}
	}
	if (which == ARRAY_COUNT(services)) {
		say("%s: no integration service; vm services NAME lists them", vm->words[1]);
		return VM_USAGE;
	}
	machine = read_machine(vm);
	if (machine == NULL) {
		return vm_refused(vm);
	}
	old = json_object_get(json_object_get(machine, "document"), "services");
	list = json_array();
	for (i = 0; i < ARRAY_COUNT(services); i++) {
		if (i == which ? on : has_service(old, services[i][0])) {
			json_array_append_new(list, json_string(services[i][0]));
		}
	}
	return give_back(vm, machine, "services", list);
}

int vm_enable_service(struct vm *vm)
{
	return switch_service(vm, true);
}

int vm_disable_service(struct vm *vm)
{
	return switch_service(vm, false);
}

/* ---- Users ---- */

int vm_users(struct vm *vm)
{
	json_t *machine = read_machine(vm), *rows = json_array(), *role;
	const char *user;

	if (machine == NULL) {
		json_decref(rows);
		return vm_refused(vm);
	}
	json_object_foreach(json_object_get(json_object_get(machine, "document"), "users"), user,
			    role)
	{
		json_array_append_new(rows, json_pack("{s:s, s:O}", "user", user, "role", role));
	}
	return print_rows(vm, machine, rows, "vm,user,role");
}

int vm_grant(struct vm *vm)
{
	const char *user = second(vm, vm->user);

	if (*user == '\0') {
		return missing(vm, "USER");
	}
	return vm_change(
		vm, vm->words[0],
		json_pack("{s:{s:s}}", "users", user, vm->role != NULL ? vm->role : "operator"));
}

int vm_revoke(struct vm *vm)
{
	const char *user = second(vm, vm->user);

	if (*user == '\0') {
		return missing(vm, "USER");
	}
	return vm_change(vm, vm->words[0], json_pack("{s:{s:n}}", "users", user));
}

/* ---- Memory and processors ---- */

/* One row for each machine, of the document and of what its worker says. */
static int print_each(struct vm *vm, json_t *(*row)(const json_t *machine), const char *columns)
{
	json_t *list = json_array(), *machine;
	unsigned int i;
	int status;

	for (i = 0; i < vm->count; i++) {
		machine = vm_ask(vm, "GET", NULL, "/v1/machines/%s", vm->words[i], "");
		if (machine == NULL) {
			status = vm_refused(vm);
			json_decref(list);
			return status;
		}
		json_array_append_new(list, row(machine));
		json_decref(machine);
	}
	vm_print_rows(vm, list, columns);
	json_decref(list);
	return VM_DONE;
}

static json_t *memory_row(const json_t *machine)
{
	static const char *const members[][2] = {{"startup", "memory"},
						 {"minimum", "memory-minimum"},
						 {"maximum", "memory-maximum"},
						 {"buffer", "memory-buffer"},
						 {"weight", "memory-weight"}},
				 *const led[] = {"assigned", "demand", "pressure"};
	const json_t *document = json_object_get(machine, "document"),
		     *worker = json_object_get(machine, "worker"),
		     *dynamic = json_object_get(worker, "dynamic-memory");
	json_t *row = json_pack("{s:s}", "vm", member_text(machine, "name"));
	size_t i;

	for (i = 0; i < ARRAY_COUNT(members); i++) {
		json_object_set(row, members[i][0], json_object_get(document, members[i][1]));
	}
	if (dynamic == NULL) {
		json_object_set(row, "assigned", json_object_get(worker, "memory"));
	}
	for (i = 0; i < ARRAY_COUNT(led) && dynamic != NULL; i++) {
		json_object_set(row, led[i], json_object_get(dynamic, led[i]));
	}
	return row;
}

int vm_memory(struct vm *vm)
{
	return print_each(vm, memory_row, "vm,startup,minimum,maximum,assigned,demand,pressure");
}

static json_t *processor_row(const json_t *machine)
{
	json_t *row = json_pack("{s:s}", "vm", member_text(machine, "name"));

	json_object_set(row, "count", json_object_get(machine, "vps"));
	json_object_set(row, "cpu-seconds", json_object_get(machine, "cpu-seconds"));
	return row;
}

int vm_processors(struct vm *vm)
{
	return print_each(vm, processor_row, "vm,count,cpu-seconds");
}

/* ---- Switches ---- */

/* What is at its ports. */
static int show_switch(struct vm *vm)
{
	json_t *answer = vm_ask(vm, "GET", NULL, "/v1/switches/%s", vm->words[0], ""), *port;
	size_t i;

	if (answer == NULL) {
		return vm_refused(vm);
	}
	json_array_foreach(json_object_get(answer, "ports"), i, port)
	{
		const json_t *settings = json_object_get(port, "settings"),
			     *stats = json_object_get(port, "stats"),
			     *vlan = json_object_get(settings, "vlan");

		json_object_set(port, "mac", json_object_get(settings, "mac"));
		json_object_set(
			port, "vlan",
			json_object_get(vlan, json_object_get(vlan, "id") != NULL ? "id" : "mode"));
		json_object_set(port, "sent", json_object_get(stats, "sent-frames"));
		json_object_set(port, "received", json_object_get(stats, "received-frames"));
	}
	vm_print_rows(vm, json_object_get(answer, "ports"),
		      "port,kind,machine,plugged,link,mac,vlan,sent,received");
	json_decref(answer);
	return VM_DONE;
}

int vm_switches(struct vm *vm)
{
	json_t *answer;

	if (vm->count == 1) {
		return show_switch(vm);
	}
	answer = http_ask(vm->http, "GET", "/v1/switches", NULL);
	if (answer == NULL) {
		return vm_refused(vm);
	}
	vm_print_rows(vm, json_object_get(answer, "switches"), "name,speed,ports,machines");
	json_decref(answer);
	return VM_DONE;
}

int vm_add_switch(struct vm *vm)
{
	static const char *const kinds[] = {"private", "internal", "external", "bridge", "nat"};
	json_t *body = json_pack("{s:s}", "name", vm->words[0]), *answer;
	const char *kind = vm->kind;
	json_int_t speed;
	size_t i;

	if (kind == NULL && vm->interface != NULL) {
		kind = "external";
	}
	for (i = 0; kind != NULL && i < ARRAY_COUNT(kinds); i++) {
		kind = strcasecmp(kind, kinds[i]) == 0 ? kinds[i] : kind;
	}
	if (kind != NULL) {
		json_object_set_new(body, "kind", json_string(kind));
	}
	if (vm->interface != NULL) {
		json_object_set_new(body, "interface", json_string(vm->interface));
	}
	if (vm->speed != NULL) {
		if (!words_number(vm->speed, &speed)) {
			say("%s: not a number", vm->speed);
			json_decref(body);
			return VM_USAGE;
		}
		json_object_set_new(body, "speed", json_integer(speed));
	}
	answer = http_ask(vm->http, "POST", "/v1/switches", body);
	if (answer == NULL) {
		return vm_refused(vm);
	}
	json_decref(answer);
	return VM_DONE;
}

int vm_remove_switch(struct vm *vm)
{
	json_t *answer = vm_ask(vm, "DELETE", NULL, "/v1/switches/%s", vm->words[0], "");

	if (answer == NULL) {
		return vm_refused(vm);
	}
	json_decref(answer);
	return VM_DONE;
}
