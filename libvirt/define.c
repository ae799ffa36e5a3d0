/* Machines made and changed by libvirt's clients: by whole XML, by a device's, and by single
 * numbers. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvirt/call.h"

#define XML_MAX (256u << 10) /* bytes; a document is less than half of it */

/* virDomainUndefineFlags */
enum { UNDEFINE_MANAGED_SAVE = 1, UNDEFINE_NVRAM = 4 };
/* virDomainMemoryModFlags, virDomainVcpuFlags, beside the impact's */
enum { MODIFY_MAXIMUM = 4 };
/* virDomainCreateFlags */
enum { CREATE_PAUSED = 1 };
/* virDomainMetadataType */
enum { METADATA_DESCRIPTION, METADATA_TITLE, METADATA_ELEMENT };

static char *get_xml_argument(struct call *call)
{
	char *xml = wire_get_string(call->in, XML_MAX);

	if (xml == NULL) {
		fail(call, ERR_XML, "the XML is longer than %u KiB", XML_MAX >> 10);
	}
	return xml;
}

/* ---- Whole machines ---- */

static bool is_kept(const char *member)
{
	static const char *const kept[] = {XML_KEPT};

	for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
		if (strcmp(kept[i], member) == 0) {
			return true;
		}
	}
	return false;
}

/* Into a patch (RFC 7396) that makes `now` of `old`: what is not there any more is null. */
static void make_patch(json_t *now, const json_t *old)
{
	const char *key;
	json_t *value, *same;

	json_object_foreach((json_t *)old, key, value)
	{
		same = json_object_get(now, key);
		if (same == NULL) {
			json_object_set_new(now, key, json_null());
		} else if (json_is_object(same) && json_is_object(value)) {
			make_patch(same, value);
		}
	}
}

/* Of a machine that is there already. */
static void redefine(struct call *call, const json_t *old, json_t *machine)
{
	const json_t *document = json_object_get(old, "document");
	const char *key;
	json_t *value;

	if (strcmp(text_of(old, "name"), text_of(machine, "name")) != 0) {
		fail(call, ERR_FAILED, "domain '%s' is already defined with uuid %s",
		     text_of(old, "name"), text_of(old, "id"));
		return;
	}
	json_object_foreach((json_t *)document, key, value)
	{
		if (is_kept(key)) {
			json_object_set(machine, key, value);
		}
	}
	json_object_del(machine, "transient");
	make_patch(machine, document);
	json_object_del(machine, "id");
	change(call, text_of(old, "id"), json_incref(machine));
}

/* NULL: the call has failed, as it also has when there is none of this id. */
static json_t *find_by_id(struct call *call, const json_t *machine)
{
	json_t *list, *one, *found = NULL;
	size_t i;

	if (*text_of(machine, "id") == '\0') {
		return NULL;
	}
	list = ask(call, "GET", NULL, "/v1/machines");
	json_array_foreach(json_object_get(list, "machines"), i, one)
	{
		if (strcasecmp(text_of(one, "id"), text_of(machine, "id")) == 0) {
			found = fetch(call, text_of(one, "id"));
		}
	}
	json_decref(list);
	return found;
}

static json_t *read_machine(struct call *call)
{
	char *xml = get_xml_argument(call);
	struct xml_error error = {0};
	json_t *machine = NULL;

	if (xml != NULL && is_whole(call)) {
		machine = xml_read_domain(xml, store_of(call), &error);
		if (machine == NULL) {
			fail(call, error.code, "%s", error.text);
		}
	}
	free(xml);
	return machine;
}

/* virsh define, edit */
void define_domain(struct call *call)
{
	json_t *machine = read_machine(call), *old, *answer = NULL;

	if (machine == NULL) {
		return;
	}
	old = find_by_id(call, machine);
	if (old != NULL) {
		redefine(call, old, machine);
		answer = call->error == 0 ? json_incref(old) : NULL;
	} else if (call->error == 0) {
		answer = ask(call, "POST", json_incref(machine), "/v1/machines");
	}
	if (answer != NULL) {
		put_domain(call, answer);
	}
	json_decref(answer);
	json_decref(old);
	json_decref(machine);
}

/* virsh create: it is gone when it ends. */
void create_domain(struct call *call)
{
	json_t *machine = read_machine(call), *answer = NULL;
	char id[ID_TEXT];

	if (machine != NULL && wire_get(call->in) & CREATE_PAUSED) {
		fail(call, ERR_UNSUPPORTED, "a machine cannot be started paused");
	} else if (machine != NULL && is_whole(call)) {
		json_object_set_new(machine, "transient", json_true());
		answer = ask(call, "POST", json_incref(machine), "/v1/machines");
	}
	json_decref(machine);
	if (answer == NULL) {
		return;
	}
	snprintf(id, sizeof(id), "%s", text_of(answer, "id"));
	json_decref(answer);
	act_on(call, id, "start");
	if (call->error == 0) {
		answer = fetch(call, id);
		if (answer != NULL) {
			put_domain(call, answer);
		}
		json_decref(answer);
	} else {
		/* It has not started, so nothing is left of it. */
		char path[64];

		snprintf(path, sizeof(path), "/v1/machines/%s", id);
		json_decref(http_ask(call->http, "DELETE", path, NULL));
	}
}

/* What the firmware keeps, where it is the machine's own. */
static void remove_variables(struct call *call, const json_t *machine)
{
	const char *file = text_of(json_object_get(machine, "document"), "firmware-variables");
	char folder[1024], path[PATH_MAX];

	folder_of(call, machine, folder);
	if (*file == '\0' || *file == '/' || strstr(file, "..") != NULL) {
		return;
	}
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	if (unlink(path) == 0) {
		(void)rmdir(folder);
	}
}

/* libvirt deletes no disk either. One that runs goes on until it ends. */
static void undefine_by(struct call *call, uint32_t flags, const char *id)
{
	json_t *machine = fetch(call, id), *answer;

	if (machine == NULL) {
		return;
	}
	if (is_running(machine)) {
		change(call, id, json_pack("{s:b}", "transient", 1));
	} else if (strcmp(text_of(machine, "state"), "saved") == 0 &&
		   !(flags & UNDEFINE_MANAGED_SAVE)) {
		fail(call, ERR_INVALID,
		     "'%s' is saved; discard its state (--managed-save), or start it",
		     text_of(machine, "name"));
	} else {
		answer = ask(call, "DELETE", NULL, "/v1/machines/%s", id);
		if (answer != NULL && flags & UNDEFINE_NVRAM) {
			remove_variables(call, machine);
		}
		json_decref(answer);
	}
	json_decref(machine);
}

void undefine(struct call *call)
{
	struct domain domain;

	get_domain(call, &domain);
	undefine_by(call, 0, domain.id);
}

void undefine_with_flags(struct call *call)
{
	struct domain domain;
	uint32_t flags;

	get_domain(call, &domain);
	flags = wire_get(call->in);
	undefine_by(call, flags, domain.id);
}

void rename_domain(struct call *call)
{
	struct domain domain;
	char *name;

	get_domain(call, &domain);
	name = wire_get_optional(call->in, SERVICE_NAME_MAX + 1);
	(void)wire_get(call->in); /* flags: none are known */
	if (name == NULL && !call->in->bad) {
		fail(call, ERR_ARGUMENT, "a name is missing");
	} else if (is_whole(call)) {
		change(call, domain.id, json_pack("{s:s}", "name", name));
	}
	wire_put(call->out, 0);
	free(name);
}

/* ---- Devices ---- */

/*
 * The machine, if it may be changed as the flags say. The worker of one that runs follows its
 * document, whatever the flags say; `waits`: it does so at its next start alone. NULL: the call has
 * failed.
 */
static json_t *fetch_to_change(struct call *call, const char *id, uint32_t flags, bool waits)
{
	json_t *machine = fetch(call, id);

	if (machine != NULL && flags & AFFECT_LIVE && !is_running(machine)) {
		fail(call, ERR_INVALID, "'%s' does not run", text_of(machine, "name"));
	} else if (machine != NULL && waits && is_running(machine) && !(flags & AFFECT_CONFIG)) {
		fail(call, ERR_NOT_LIVE,
		     "'%s' runs, and this is changed at its next start alone; say --config",
		     text_of(machine, "name"));
	}
	if (call->error != 0) {
		json_decref(machine);
		return NULL;
	}
	return machine;
}

/* Each disk keeps its place when others come and go. */
static json_t *placed_disks(const json_t *document)
{
	const json_t *disks = json_object_get(document, "disks");
	json_t *placed = json_array();

	for (size_t i = 0; i < json_array_size(disks); i++) {
		json_t *disk = json_deep_copy(json_array_get(disks, i));

		json_object_set_new(disk, "number", json_integer(drive_number(disks, i)));
		json_array_append_new(placed, disk);
	}
	return placed;
}

static bool is_same_disk(const json_t *one, const json_t *other)
{
	return drive_is_ide(one) == drive_is_ide(other) &&
	       json_equal(json_object_get(one, "number"), json_object_get(other, "number"));
}

static bool is_same_network(const json_t *one, const json_t *other)
{
	return strcasecmp(text_of(one, "mac"), text_of(other, "mac")) == 0 &&
	       (*text_of(one, "mac") != '\0' ||
		strcmp(text_of(one, "switch"), text_of(other, "switch")) == 0);
}

/* Where in a list, or its length: it is not there. */
static size_t find_device(const json_t *list, const json_t *device, bool is_disk)
{
	size_t i = 0;

	while (i < json_array_size(list) &&
	       !(is_disk ? is_same_disk(json_array_get(list, i), device)
			 : is_same_network(json_array_get(list, i), device))) {
		i++;
	}
	return i;
}

enum what { ATTACH, DETACH, UPDATE };

/* The list with the change made in it; false: the call has failed. */
static bool change_list(struct call *call, json_t *list, json_t *device, bool is_disk,
			enum what what)
{
	size_t at = find_device(list, device, is_disk);
	bool there = at < json_array_size(list);

	if (what == ATTACH && is_disk && there) {
		fail(call, ERR_INVALID, "there is a disk at this place already");
	} else if (what != ATTACH && !there) {
		fail(call, ERR_INVALID,
		     is_disk ? "there is no disk at this place" : "there is no such adapter");
	} else if (what == ATTACH) {
		json_array_append(list, device);
	} else if (what == DETACH) {
		json_array_remove(list, at);
	} else {
		json_array_set(list, at, device);
	}
	return call->error == 0;
}

static void change_devices(struct call *call, const char *id, const char *xml, uint32_t flags,
			   enum what what)
{
	json_t *machine = fetch_to_change(call, id, flags, false), *device, *list;
	const json_t *document = json_object_get(machine, "document");
	struct xml_error error = {0};
	const char *member = "disks";
	char folder[1024];

	if (machine == NULL) {
		return;
	}
	folder_of(call, machine, folder);
	device = xml_read_device(xml, folder, &error);
	if (device == NULL) {
		fail(call, error.code, "%s", error.text);
		json_decref(machine);
		return;
	}
	if (json_object_get(device, member) == NULL) {
		member = "networks";
	}
	if (json_object_get(device, member) == NULL) {
		fail(call, ERR_UNSUPPORTED, "only disks and interfaces come and go");
	} else {
		bool is_disk = strcmp(member, "disks") == 0;

		list = is_disk ? placed_disks(document)
			       : json_deep_copy(json_object_get(document, member));
		list = list != NULL ? list : json_array();
		if (change_list(call, list, json_array_get(json_object_get(device, member), 0),
				is_disk, what)) {
			change(call, id, json_pack("{s:O}", member, list));
		}
		json_decref(list);
	}
	json_decref(device);
	json_decref(machine);
}

static void take_device(struct call *call, enum what what, bool has_flags)
{
	struct domain domain;
	uint32_t flags;
	char *xml;

	get_domain(call, &domain);
	xml = get_xml_argument(call);
	flags = has_flags ? wire_get(call->in) : 0;
	if (xml != NULL && is_whole(call)) {
		change_devices(call, domain.id, xml, flags, what);
	}
	free(xml);
}

void attach_device(struct call *call)
{
	take_device(call, ATTACH, false);
}

void attach_device_with_flags(struct call *call)
{
	take_device(call, ATTACH, true);
}

void detach_device(struct call *call)
{
	take_device(call, DETACH, false);
}

void detach_device_with_flags(struct call *call)
{
	take_device(call, DETACH, true);
}

void update_device(struct call *call)
{
	take_device(call, UPDATE, true);
}

/* ---- Memory and processors ---- */

/* KiB. What it starts with, and where it can have more, the most; as <currentMemory> and <memory>
 * say. */
static void set_memory_by(struct call *call, const char *id, uint64_t kib, uint32_t flags)
{
	json_t *machine = is_whole(call) ? fetch_to_change(call, id, flags, flags & MODIFY_MAXIMUM)
					 : NULL,
	       *patch;
	uint64_t now = xml_memory(machine), most = xml_memory_most(machine), size = kib * 1024;

	if (machine == NULL) {
		return;
	}
	if (kib > UINT64_C(1) << 42) {
		fail(call, ERR_ARGUMENT, "this is more memory than there can be");
	} else if (!(flags & MODIFY_MAXIMUM) && size > most) {
		fail(call, ERR_ARGUMENT,
		     "'%s' can have %llu KiB; set its maximum first (virsh setmaxmem)",
		     text_of(machine, "name"), (unsigned long long)(most / 1024));
	} else {
		if (flags & MODIFY_MAXIMUM) {
			most = size;
			now = now < size ? now : size;
		} else {
			now = size;
		}
		patch = json_pack("{s:I}", "memory", (json_int_t)now);
		json_object_set_new(patch, "memory-maximum",
				    most > now ? json_integer((json_int_t)most) : json_null());
		change(call, id, patch);
	}
	json_decref(machine);
}

static void take_memory(struct call *call, uint32_t flags, bool has_flags)
{
	struct domain domain;
	uint64_t kib;

	get_domain(call, &domain);
	kib = wire_get_long(call->in);
	set_memory_by(call, domain.id, kib, has_flags ? wire_get(call->in) : flags);
}

void set_memory(struct call *call)
{
	take_memory(call, 0, false);
}

void set_most_memory(struct call *call)
{
	take_memory(call, MODIFY_MAXIMUM, false);
}

void set_memory_with_flags(struct call *call)
{
	take_memory(call, 0, true);
}

/* As many as there are, there are for good: the maximum is the same number. */
static void take_vcpus(struct call *call, bool has_flags)
{
	struct domain domain;
	uint32_t count, flags;
	json_t *machine;

	get_domain(call, &domain);
	count = wire_get(call->in);
	flags = has_flags ? wire_get(call->in) : 0;
	machine = is_whole(call) ? fetch_to_change(call, domain.id, flags, true) : NULL;
	if (machine != NULL) {
		change(call, domain.id, json_pack("{s:I}", "vps", (json_int_t)count));
	}
	json_decref(machine);
}

void set_vcpus(struct call *call)
{
	take_vcpus(call, false);
}

void set_vcpus_with_flags(struct call *call)
{
	take_vcpus(call, true);
}

void get_vcpus_count(struct call *call)
{
	json_t *machine = fetch_domain(call);

	wire_put(call->out, (uint32_t)json_integer_value(json_object_get(machine, "vps")));
	json_decref(machine);
}

void get_most_memory(struct call *call)
{
	json_t *machine = fetch_domain(call);

	wire_put_long(call->out, xml_memory_most(machine) / 1024);
	json_decref(machine);
}

/* ---- What people write about it ---- */

void set_metadata(struct call *call)
{
	static const char *const members[] = {"notes", "title"};
	char *text, *key, *uri, *whole = NULL;
	struct xml_error error = {0};
	json_t *machine = NULL;
	struct domain domain;
	uint32_t type;

	get_domain(call, &domain);
	type = wire_get(call->in);
	text = wire_get_optional(call->in, XML_MAX);
	key = wire_get_optional(call->in, 256);
	uri = wire_get_optional(call->in, 1024);
	(void)wire_get(call->in); /* what is written is so at once, and stays */
	if (!is_whole(call)) {
		;
	} else if (type < METADATA_ELEMENT) {
		json_t *value = text != NULL && *text != '\0' ? json_string(text) : json_null();

		change(call, domain.id, json_pack("{s:o}", members[type], value));
	} else if (type > METADATA_ELEMENT || uri == NULL || (text != NULL && key == NULL)) {
		fail(call, ERR_ARGUMENT, "an element needs its namespace and a prefix for it");
	} else if ((machine = fetch(call, domain.id)) != NULL) {
		if (xml_metadata_set(text_of(json_object_get(machine, "document"), "metadata"), uri,
				     key, text, &whole, &error)) {
			change(call, domain.id,
			       json_pack("{s:o}", "metadata",
					 *whole != '\0' ? json_string(whole) : json_null()));
		} else {
			fail(call, error.code, "%s", error.text);
		}
	}
	json_decref(machine);
	free(whole);
	free(text);
	free(key);
	free(uri);
}

void get_metadata(struct call *call)
{
	static const char *const members[] = {"notes", "title"};
	const json_t *document;
	struct domain domain;
	char *uri, *found = NULL;
	json_t *machine;
	uint32_t type;

	get_domain(call, &domain);
	type = wire_get(call->in);
	uri = wire_get_optional(call->in, 1024);
	(void)wire_get(call->in);
	machine = fetch(call, domain.id);
	document = json_object_get(machine, "document");
	if (type < METADATA_ELEMENT) {
		found = strdup(text_of(document, members[type]));
	} else if (uri != NULL) {
		found = xml_metadata_get(text_of(document, "metadata"), uri);
	}
	if (call->error == 0 && (found == NULL || *found == '\0')) {
		fail(call, ERR_NO_METADATA, "the machine has none of this");
	}
	wire_put_text(call->out, found != NULL ? found : "");
	free(found);
	free(uri);
	json_decref(machine);
}
