/*
 * What a worker has to be told so that its machine becomes another: the next step from one
 * configuration to another, by what the worker says it has. So steps that were taken already, by an
 * earlier change or by hand, are not taken again, and the way back is found by the same means.
 *
 * Configurations here are those that a worker was started with (`running`), whose SCSI disks all
 * have numbers. What is not led while a machine runs stays as it is in `running`, and holds at the
 * next start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "hosted/member.h"
#include "hosted/size.h"
#include "include/mgmt/control.h"
#include "service/service.h"

/* That are named in a document; a disk with more is attached at the next start. */
#define PARENTS_MAX 8
#define IDE_DISKS   4
#define IDE_DVD     2

static bool flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* ---- Disks ---- */

static bool is_ide(const json_t *disk)
{
	return strcmp(member_text(disk, "controller"), "ide") == 0;
}

static bool is_dvd(const json_t *disk)
{
	return strcmp(member_text(disk, "kind"), "dvd") == 0;
}

/* -1: it has none. */
static json_int_t number_of(const json_t *disk)
{
	const json_t *number = json_object_get(disk, "number");

	return json_is_integer(number) ? json_integer_value(number) : -1;
}

/* A list's SCSI disk of this number, or NULL. */
static json_t *disk_at(const json_t *disks, json_int_t number)
{
	json_t *disk;
	size_t i;

	json_array_foreach((json_t *)disks, i, disk)
	{
		if (!is_ide(disk) && number_of(disk) == number) {
			return disk;
		}
	}
	return NULL;
}

/* As the guest and the file have it; how it is opened beside that is of the next start. */
static bool is_same_disk(const json_t *one, const json_t *other)
{
	const json_t *parents[] = {json_object_get(one, "parents"),
				   json_object_get(other, "parents")};

	return is_dvd(one) == is_dvd(other) &&
	       strcmp(member_text(one, "file"), member_text(other, "file")) == 0 &&
	       flag(one, "read-only") == flag(other, "read-only") &&
	       flag(one, "raw") == flag(other, "raw") &&
	       (parents[0] == parents[1] || json_equal(parents[0], parents[1]));
}

/* Whether it can be attached to a machine that runs. */
static bool can_come(const json_t *disk)
{
	const json_t *file = json_object_get(disk, "file"),
		     *parents = json_object_get(disk, "parents"), *parent;
	size_t i;

	if (is_ide(disk) || flag(disk, "direct") || flag(disk, "usb") ||
	    (file != NULL && !json_is_string(file)) || json_array_size(parents) > PARENTS_MAX ||
	    (flag(disk, "raw") && (flag(disk, "read-only") || parents != NULL))) {
		return false;
	}
	json_array_foreach((json_t *)parents, i, parent)
	{
		if (!json_is_string(parent)) {
			return false;
		}
	}
	return true;
}

/* A list's IDE disk of this number, or NULL. */
static const json_t *ide_disk_at(const json_t *disks, json_int_t number)
{
	const json_t *disk;
	size_t i;

	json_array_foreach((json_t *)disks, i, disk)
	{
		if (is_ide(disk) && number_of(disk) == number) {
			return disk;
		}
	}
	return NULL;
}

/* DVD drives are the third where they can be. */
static json_int_t free_ide_number(const json_t *disks, bool dvd)
{
	json_int_t number;

	if (dvd && ide_disk_at(disks, IDE_DVD) == NULL) {
		return IDE_DVD;
	}
	for (number = 0; number < IDE_DISKS; number++) {
		if (ide_disk_at(disks, number) == NULL) {
			return number;
		}
	}
	return -1;
}

static json_int_t free_number(const json_t *disks, const json_t *beside)
{
	json_int_t number;

	for (number = 0; number <= CONTROL_NUMBER_MAX; number++) {
		if (disk_at(disks, number) == NULL && disk_at(beside, number) == NULL) {
			return number;
		}
	}
	return -1;
}

static void set_number(json_t *disk, json_int_t number)
{
	if (number >= 0) {
		json_object_set_new(disk, "number", json_integer(number));
	}
}

/* As the worker does at its start: each the first that is free among those before it. */
static void number_by_order(json_t *disks)
{
	json_t *disk, *before = json_array();
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		if (number_of(disk) < 0) {
			set_number(disk, is_ide(disk) ? free_ide_number(before, is_dvd(disk))
						      : free_number(before, NULL));
		}
		json_array_append(before, disk);
	}
	json_decref(before);
}

/* Those that are there keep their numbers: found by their files, and drives also without. */
static void number_by_running(json_t *disks, const json_t *running)
{
	json_t *disk, *old;
	size_t i, j;
	int pass;

	for (pass = 0; pass < 2; pass++) {
		json_array_foreach(disks, i, disk)
		{
			json_array_foreach((json_t *)running, j, old)
			{
				if (is_ide(disk) || number_of(disk) >= 0 || is_ide(old) ||
				    is_dvd(disk) != is_dvd(old) ||
				    disk_at(disks, number_of(old)) != NULL) {
					continue;
				}
				if (pass == 1 ? is_dvd(disk)
					      : strcmp(member_text(disk, "file"),
						       member_text(old, "file")) == 0) {
					set_number(disk, number_of(old));
				}
			}
		}
	}
	json_array_foreach(disks, i, disk)
	{
		if (!is_ide(disk) && number_of(disk) < 0) {
			json_int_t number = free_number(disks, running);

			set_number(disk, number >= 0 ? number : free_number(disks, NULL));
		}
	}
	number_by_order(disks); /* IDE's are the next start's affair */
}

void difference_number(json_t *config, const json_t *running)
{
	json_t *disks = json_object_get(config, "disks");

	if (!json_is_array(disks)) {
		return;
	}
	disks = json_deep_copy(disks);
	if (running != NULL) {
		number_by_running(disks, json_object_get(running, "disks"));
	} else {
		number_by_order(disks);
	}
	json_object_set_new(config, "disks", disks);
}

void difference_place(json_t *document, const json_t *running)
{
	json_t *kept = json_copy(document), *ordered = json_copy(document);

	difference_number(kept, running);
	difference_number(ordered, NULL);
	if (!json_equal(kept, ordered)) {
		json_object_set(document, "disks", json_object_get(kept, "disks"));
	}
	json_decref(kept);
	json_decref(ordered);
}

static void apply_disks(json_t *running, const json_t *to)
{
	const json_t *old = json_object_get(running, "disks"), *new = json_object_get(to, "disks");
	json_t *disks = json_array(), *disk;
	const json_t *other;
	size_t i;

	json_array_foreach((json_t *)old, i, disk)
	{
		other = is_ide(disk) ? disk : disk_at(new, number_of(disk));
		if (other != NULL) {
			json_array_append(disks, is_same_disk(disk, other) || !can_come(other)
							 ? disk
							 : (json_t *)other);
		}
	}
	json_array_foreach((json_t *)new, i, disk)
	{
		if (can_come(disk) && disk_at(old, number_of(disk)) == NULL) {
			json_array_append(disks, disk);
		}
	}
	if (json_array_size(disks) != 0 || old != NULL) {
		json_object_set(running, "disks", disks);
	}
	json_decref(disks);
}

/* ---- Memory ---- */

static uint64_t size_at(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	uint64_t size = 0;

	if (json_is_integer(value)) {
		return (uint64_t)json_integer_value(value);
	}
	return json_is_string(value) && size_parse(json_string_value(value), &size) ? size : 0;
}

static bool is_size(const char *key)
{
	return strcmp(key, "memory") == 0 || strcmp(key, "memory-minimum") == 0 ||
	       strcmp(key, "memory-maximum") == 0;
}

/* Of a guest whose memory can be led: within what it was started with. */
static bool can_have(const json_t *bounds, uint64_t size)
{
	return size_at(bounds, "least") <= size && size <= size_at(bounds, "most") &&
	       size_at(bounds, "least") != size_at(bounds, "most");
}

/* What it can have at most. */
static uint64_t most_of(const json_t *config)
{
	uint64_t most = size_at(config, "memory-maximum");

	return most != 0 ? most : size_at(config, "memory");
}

/* Its bounds can be others while it runs; the most within that of its start. */
static bool is_led(const json_t *running, const json_t *to)
{
	return size_at(running, "memory-minimum") != 0 && size_at(to, "memory-minimum") != 0;
}

bool difference_wants_more(const json_t *from, const json_t *to)
{
	return most_of(to) > most_of(from);
}

json_t *difference_bounds(const json_t *config)
{
	uint64_t memory = size_at(config, "memory"), least = size_at(config, "memory-minimum"),
		 most = size_at(config, "memory-maximum");

	return json_pack("{s:I, s:I}", "least", (json_int_t)(least != 0 ? least : memory), "most",
			 (json_int_t)(most != 0 ? most : memory));
}

/* ---- What is led, and what waits ---- */

static void take(json_t *running, const json_t *to, const char *key)
{
	json_t *value = json_object_get(to, key);

	if (value != NULL) {
		json_object_set(running, key, value);
	} else {
		json_object_del(running, key);
	}
}

json_t *difference_apply(const json_t *running, const json_t *to, const json_t *bounds)
{
	json_t *result = json_copy((json_t *)running);

	apply_disks(result, to);
	take(result, to, "networks");
	take(result, to, "devices");
	take(result, to, "services");
	if (is_led(running, to)) {
		bool fits = most_of(to) <= size_at(bounds, "most");

		take(result, to, "memory-minimum");
		if (fits) {
			take(result, to, "memory-maximum");
		}
		if (fits || size_at(to, "memory") <= most_of(running)) {
			take(result, to, "memory");
		}
	} else if (can_have(bounds, size_at(to, "memory"))) {
		take(result, to, "memory");
	}
	return result;
}

/* In whichever order. */
static bool has_same_items(const json_t *one, const json_t *other)
{
	const json_t *item, *candidate;
	size_t i, j;

	if (json_array_size(one) != json_array_size(other)) {
		return false;
	}
	json_array_foreach((json_t *)one, i, item)
	{
		bool found = false;

		json_array_foreach((json_t *)other, j, candidate)
		{
			found |= json_equal(item, candidate) == 1;
		}
		if (!found) {
			return false;
		}
	}
	return true;
}

static bool is_as_it_was(const char *key, const json_t *running, const json_t *to)
{
	const json_t *old = json_object_get(running, key), *new = json_object_get(to, key);

	if (strcmp(key, "name") == 0 || strcmp(key, "id") == 0) {
		return true; /* the worker's name is for messages alone */
	}
	if (is_size(key)) {
		return size_at(running, key) == size_at(to, key);
	}
	if (strcmp(key, "disks") == 0 || strcmp(key, "networks") == 0 ||
	    strcmp(key, "devices") == 0) {
		return has_same_items(old, new);
	}
	return old == new || json_equal(old, new);
}

json_t *difference_waits(const json_t *running, const json_t *to)
{
	json_t *numbered = json_deep_copy(to), *waits = json_array(), *all = json_copy(numbered),
	       *value;
	const char *key;

	difference_number(numbered, NULL);
	json_object_update_missing(all, (json_t *)running);
	json_object_foreach(all, key, value)
	{
		if (!is_as_it_was(key, running, numbered)) {
			json_array_append_new(waits, json_string(key));
		}
	}
	json_decref(all);
	json_decref(numbered);
	return waits;
}

/* ---- Steps ---- */

static void say_step(struct step *step, const char *what, const char *of)
{
	snprintf(step->text, sizeof(step->text), "%.20s %.40s", what, of);
}

static void add_word(struct step *step, const char *word)
{
	CHECK(step->count < STEP_WORDS_MAX - 1);
	step->words[step->count++] = word;
}

static void add_number(struct step *step, json_int_t number)
{
	snprintf(step->number, sizeof(step->number), "%" JSON_INTEGER_FORMAT, number);
	add_word(step, step->number);
}

/* The worker's disk of this number, or NULL. */
static const json_t *worker_disk(const json_t *status, json_int_t number)
{
	return disk_at(json_object_get(status, "disks"), number);
}

static bool has_medium(const json_t *there, const json_t *disk)
{
	return strcmp(member_text(there, "name"), member_text(disk, "file")) == 0;
}

static bool is_there(const json_t *there, const json_t *disk)
{
	return there != NULL && is_dvd(there) == is_dvd(disk) && has_medium(there, disk) &&
	       (is_dvd(disk) || flag(there, "read-only") == flag(disk, "read-only"));
}

static bool detach(const json_t *from, const json_t *to, const json_t *status, struct step *step)
{
	const json_t *disk, *other, *there;
	size_t i;

	json_array_foreach((json_t *)json_object_get(from, "disks"), i, disk)
	{
		if (is_ide(disk)) {
			continue;
		}
		other = disk_at(json_object_get(to, "disks"), number_of(disk));
		there = worker_disk(status, number_of(disk));
		if (there == NULL ||
		    (other != NULL &&
		     (is_same_disk(disk, other) || !can_come(other) ||
		      (is_dvd(disk) && is_dvd(other)) || is_there(there, other)))) {
			continue;
		}
		add_word(step, "detach");
		add_number(step, number_of(disk));
		say_step(step, "detaching disk", step->number);
		return true;
	}
	return false;
}

static void come(const json_t *disk, struct step *step)
{
	const json_t *parent;
	size_t i;

	add_word(step, is_dvd(disk)              ? "dvd"
		       : flag(disk, "raw")       ? "attach-raw"
		       : flag(disk, "read-only") ? "attach-ro"
						 : "attach");
	add_number(step, number_of(disk));
	if (*member_text(disk, "file") != '\0') {
		add_word(step, member_text(disk, "file"));
	}
	json_array_foreach((json_t *)json_object_get(disk, "parents"), i, parent)
	{
		add_word(step, json_string_value(parent));
	}
	say_step(step, "attaching disk", step->number);
}

static bool attach(const json_t *from, const json_t *to, const json_t *status, struct step *step)
{
	const json_t *disk, *old, *there;
	size_t i;

	json_array_foreach((json_t *)json_object_get(to, "disks"), i, disk)
	{
		old = disk_at(json_object_get(from, "disks"), number_of(disk));
		there = worker_disk(status, number_of(disk));
		if (is_ide(disk) || !can_come(disk) || (old != NULL && is_same_disk(old, disk)) ||
		    is_there(there, disk)) {
			continue;
		}
		if (there == NULL || !is_dvd(disk) || !is_dvd(there)) {
			come(disk, step);
			return true;
		}
		add_word(step, *member_text(disk, "file") != '\0' ? "insert" : "eject");
		add_number(step, number_of(disk));
		if (*member_text(disk, "file") != '\0') {
			add_word(step, member_text(disk, "file"));
		}
		say_step(step, "another disc in drive", step->number);
		return true;
	}
	return false;
}

/* Whether the worker's adapter can be what the document has. */
static bool is_adapter(const json_t *there, const json_t *network)
{
	const json_t *mac = json_object_get(network, "mac"),
		     *port = json_object_get(network, "port");

	return strcmp(member_text(there, "switch"), member_text(network, "switch")) == 0 &&
	       (port == NULL ||
		strcmp(member_text(there, "port"), member_text(network, "port")) == 0) &&
	       (mac == NULL ||
		strcasecmp(member_text(there, "address"), member_text(network, "mac")) == 0) &&
	       json_integer_value(json_object_get(there, "vlan")) ==
		       json_integer_value(json_object_get(network, "vlan"));
}

static bool is_named(const json_t *network)
{
	return json_object_get(network, "mac") != NULL || json_object_get(network, "port") != NULL;
}

/*
 * Takes from `adapters` those that the wanted ones can be, first of those that say most of
 * themselves. The first for which there is none: NULL, if there is one for each.
 */
static const json_t *assign(json_t *adapters, const json_t *wanted)
{
	const json_t *network, *missing = NULL, *there;
	size_t i, j;
	int pass;

	for (pass = 0; pass < 2; pass++) {
		json_array_foreach((json_t *)wanted, i, network)
		{
			bool found = false;

			if (is_named(network) != (pass == 0)) {
				continue;
			}
			json_array_foreach(adapters, j, there)
			{
				if (is_adapter(there, network)) {
					json_array_remove(adapters, j);
					found = true;
					break;
				}
			}
			if (!found && missing == NULL) {
				missing = network;
			}
		}
	}
	return missing;
}

/* Those of a list that are not in another, and those that are in both. */
static json_t *compare(const json_t *one, const json_t *other, json_t *both)
{
	json_t *rest = json_is_array(other) ? json_copy((json_t *)other) : json_array(),
	       *only = json_array(), *item, *candidate;
	size_t i, j;

	json_array_foreach((json_t *)one, i, item)
	{
		bool found = false;

		json_array_foreach(rest, j, candidate)
		{
			if (json_equal(item, candidate)) {
				json_array_remove(rest, j);
				found = true;
				break;
			}
		}
		json_array_append(found ? both : only, item);
	}
	json_decref(rest);
	return only;
}

/* An adapter but for the virtual function that is to carry its frames, which comes and goes. */
static json_t *plain_network(const json_t *network)
{
	json_t *copy = json_copy((json_t *)network);

	json_object_del(copy, "sriov");
	return copy;
}

static json_t *without_sriov(const json_t *document)
{
	json_t *list = json_array();
	const json_t *network;
	size_t i;

	json_array_foreach(json_object_get(document, "networks"), i, network)
	{
		json_array_append_new(list, plain_network(network));
	}
	return list;
}

static void plug(const json_t *network, struct step *step)
{
	/* One of another model the worker refuses, by name. */
	static const char *const keys[] = {"port",    "mac",    "vlan", "queues",
					   "signals", "socket", "model"};
	size_t used = (size_t)snprintf(step->option, sizeof(step->option), "%s",
				       member_text(network, "switch")),
	       i;

	for (i = 0; i < ARRAY_COUNT(keys) && used < sizeof(step->option); i++) {
		const json_t *value = json_object_get(network, keys[i]);

		if (json_is_string(value)) {
			used += (size_t)snprintf(step->option + used, sizeof(step->option) - used,
						 ",%s=%s", keys[i], json_string_value(value));
		} else if (json_is_integer(value)) {
			used += (size_t)snprintf(step->option + used, sizeof(step->option) - used,
						 ",%s=%" JSON_INTEGER_FORMAT, keys[i],
						 json_integer_value(value));
		}
	}
	add_word(step, "net");
	add_word(step, "add");
	add_word(step, step->option);
	say_step(step, "an adapter on", member_text(network, "switch"));
}

static bool networks(const json_t *from, const json_t *to, const json_t *status, struct step *step)
{
	json_t *adapters = json_copy(json_object_get(status, "networks")), *kept = json_array(),
	       *old_list = without_sriov(from), *new_list = without_sriov(to), *gone, *new;
	const json_t *missing, *there, *network;
	size_t i, j;
	bool done = false;

	adapters = adapters != NULL ? adapters : json_array();
	new = compare(new_list, old_list, kept);
	(void)assign(adapters, kept);
	json_array_clear(kept);
	gone = compare(old_list, new_list, kept);
	missing = assign(adapters, new);
	/* First those that go: their addresses and ports may be the new ones'. */
	json_array_foreach(gone, i, network)
	{
		json_array_foreach(adapters, j, there)
		{
			if (!done && is_adapter(there, network)) {
				add_word(step, "net");
				add_word(step, "remove");
				add_number(step, number_of(there));
				say_step(step, "removing adapter", step->number);
				done = true;
			}
		}
	}
	if (!done && missing != NULL) {
		plug(missing, step);
		done = true;
	}
	json_decref(adapters);
	json_decref(kept);
	json_decref(gone);
	json_decref(new);
	json_decref(old_list);
	json_decref(new_list);
	return done;
}

static bool wants_function(const json_t *network)
{
	return json_is_true(json_object_get(network, "sriov"));
}

/* Whether a list has an adapter that differs in this alone: then it was wanted before, or was
 * not. */
static bool wanted_function(const json_t *networks, const json_t *network)
{
	bool wanted = false;
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)networks, i, item)
	{
		json_t *one = plain_network(item), *other = plain_network(network);

		wanted |= json_equal(one, other) && wants_function(item);
		json_decref(one);
		json_decref(other);
	}
	return wanted;
}

/*
 * A virtual function comes to an adapter of which it was not wanted before, or goes. One that there
 * was none for when the machine started is not asked for with each change.
 */
static bool functions(const json_t *from, const json_t *to, const json_t *status, struct step *step)
{
	const json_t *networks_then = json_object_get(from, "networks"), *network, *there;
	size_t i, j;

	json_array_foreach((json_t *)json_object_get(to, "networks"), i, network)
	{
		bool wants = wants_function(network);

		if (wants == wanted_function(networks_then, network)) {
			continue;
		}
		json_array_foreach(json_object_get(status, "networks"), j, there)
		{
			if (is_adapter(there, network) &&
			    (*member_text(there, "function") != '\0') != wants) {
				add_word(step, "net");
				add_word(step, "function");
				add_number(step, number_of(there));
				add_word(step, wants ? "on" : "off");
				say_step(step,
					 wants ? "a virtual function for adapter"
					       : "the virtual function of adapter",
					 step->number);
				return true;
			}
		}
	}
	return false;
}

json_int_t difference_lacks_function(const json_t *config, const json_t *status, json_int_t from)
{
	const json_t *there, *network;
	size_t i, j;

	json_array_foreach(json_object_get(status, "networks"), i, there)
	{
		bool has = *member_text(there, "function") != '\0';

		json_array_foreach(json_object_get(config, "networks"), j, network)
		{
			if (!has && number_of(there) >= from && wants_function(network) &&
			    is_adapter(there, network)) {
				return number_of(there);
			}
		}
	}
	return -1;
}

static bool has_device(const json_t *list, const char *address)
{
	const json_t *device;
	size_t i;

	json_array_foreach((json_t *)list, i, device)
	{
		if (strcmp(member_text(device, "pci"), address) == 0) {
			return true;
		}
	}
	return false;
}

/* One that is in a list alone, and that the worker has, or has not. */
static bool device(const json_t *one, const json_t *other, const json_t *status, bool come,
		   struct step *step)
{
	const json_t *there = json_object_get(status, "devices"), *item;
	size_t i;

	json_array_foreach((json_t *)json_object_get(one, "devices"), i, item)
	{
		const char *address = member_text(item, "pci");

		if (*address != '\0' && !has_device(json_object_get(other, "devices"), address) &&
		    has_device(there, address) != come) {
			add_word(step, "device");
			add_word(step, come ? "add" : "remove");
			add_word(step, address);
			say_step(step, come ? "giving it device" : "taking device", address);
			return true;
		}
	}
	return false;
}

/* Absent: all. */
static bool has_service(const json_t *config, const char *name)
{
	const json_t *list = json_object_get(config, "services"), *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item)
	{
		if (json_is_string(item) && strcmp(json_string_value(item), name) == 0) {
			return true;
		}
	}
	return list == NULL;
}

static bool services(const json_t *from, const json_t *to, const json_t *status, struct step *step)
{
	const json_t *service;
	size_t i;

	json_array_foreach((json_t *)json_object_get(status, "services"), i, service)
	{
		const char *name = member_text(service, "name");
		bool wanted = has_service(to, name);

		if (wanted != has_service(from, name) && wanted != flag(service, "enabled")) {
			add_word(step, "services");
			add_word(step, name);
			add_word(step, wanted ? "on" : "off");
			say_step(step, wanted ? "offering" : "withdrawing", name);
			return true;
		}
	}
	return false;
}

/* A bound is told if it is another one now, and the worker has not got it. */
static bool bound(const char *key, uint64_t from, uint64_t to, const json_t *led, char *word,
		  size_t size)
{
	if (to == 0 || to == from || to == size_at(led, key)) {
		return false;
	}
	snprintf(word, size, "%s=%llu", key, (unsigned long long)to);
	return true;
}

static bool memory(const json_t *from, const json_t *to, const json_t *status, struct step *step)
{
	const json_t *led = json_object_get(status, "dynamic-memory");
	char *least = step->option, *most = step->option + sizeof(step->option) / 2;
	uint64_t size = size_at(to, "memory");
	bool of_size, of_least, of_most;

	if (led == NULL) {
		return false;
	}
	of_least = is_led(from, to) &&
		   bound("minimum", size_at(from, "memory-minimum"), size_at(to, "memory-minimum"),
			 led, least, sizeof(step->option) / 2);
	of_most = is_led(from, to) && most_of(to) <= size_at(led, "limit") &&
		  bound("maximum", most_of(from), most_of(to), led, most, sizeof(step->option) / 2);
	of_size = size != size_at(from, "memory") && size_at(led, "target") != size &&
		  (of_least || size >= size_at(led, "minimum")) &&
		  (of_most || size <= size_at(led, "maximum"));
	if (!of_size && !of_least && !of_most) {
		return false;
	}
	add_word(step, "memory");
	if (of_size) {
		add_number(step, (json_int_t)size);
	}
	if (of_least) {
		add_word(step, least);
	}
	if (of_most) {
		add_word(step, most);
	}
	say_step(step, of_size ? "another target of" : "other bounds of", "memory");
	return true;
}

bool difference_next(const json_t *from, const json_t *to, const json_t *status, struct step *step)
{
	*step = (struct step){.count = 0};
	return detach(from, to, status, step) || attach(from, to, status, step) ||
	       networks(from, to, status, step) || functions(from, to, status, step) ||
	       device(from, to, status, false, step) || device(to, from, status, true, step) ||
	       services(from, to, status, step) || memory(from, to, status, step);
}
