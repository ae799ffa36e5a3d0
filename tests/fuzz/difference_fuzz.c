/*
 * What a worker that runs is told of another configuration, by any two that pass for configurations
 * and whatever the worker says of itself: each step is words for vmctl, and what waits for the next
 * start is told of members that are there.
 */
#include <string.h>

#include "service/service.h"
#include "tests/fuzz/fuzz.h"

static json_t *pick_text(void)
{
	static const char *const texts[] = {
		"a", "b", "lan", "64M", "-x", "ide", "dvd", "02:00:00:00:00:01", "time", ""};

	return json_string(texts[fuzz_byte() % ARRAY_COUNT(texts)]);
}

static json_t *pick_value(void)
{
	switch (fuzz_byte() % 8) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(fuzz_byte() & 1);
	case 2:
		return json_integer((json_int_t)fuzz_byte() - 2);
	case 3:
		return json_pack("[o, o]", pick_text(), pick_text());
	case 4:
		return json_object();
	default:
		return pick_text();
	}
}

/* One of a list, whose numbers are different ones: some of the members that these have, most of
 * them of the right kind. */
static json_t *pick_item(const char *list, unsigned int number)
{
	static const char *const texts[] = {"file", "name",    "switch",  "port",
					    "mac",  "address", "function"},
				 *const flags[] = {"read-only", "raw", "direct", "enabled",
						   "sriov"};
	json_t *item = json_object();
	uint8_t has = fuzz_byte();
	unsigned int i;

	if (strcmp(list, "services") == 0 && has & 1) {
		json_decref(item);
		return pick_text();
	}
	for (i = 0; i < ARRAY_COUNT(texts); i++) {
		if (fuzz_byte() & 1) {
			json_object_set_new(item, texts[i], pick_text());
		}
	}
	for (i = 0; i < ARRAY_COUNT(flags); i++) {
		if (fuzz_byte() % 4 == 0) {
			json_object_set_new(item, flags[i], json_true());
		}
	}
	if (has & 2) {
		json_object_set_new(item, "number", json_integer(number));
	}
	if (has & 4) {
		json_object_set_new(item, "kind", json_string("dvd"));
	}
	if (has & 8) {
		json_object_set_new(item, "vlan", json_integer(fuzz_byte() % 2));
	}
	if (has % 16 == 0) {
		json_object_set_new(item, "controller", json_string("ide"));
	}
	if (has % 16 == 1) {
		json_object_set_new(item, "parents", pick_value());
	}
	if (has >= 0xf0) {
		json_object_set_new(item, texts[has % ARRAY_COUNT(texts)], pick_value());
	}
	return item;
}

static json_t *pick_object(void)
{
	static const char *const lists[] = {"disks", "networks", "services"},
				 *const sizes[] = {"memory", "memory-minimum", "memory-maximum",
						   "target", "minimum",        "maximum",
						   "limit"};
	json_t *object = json_object(), *led = json_object(), *list;
	unsigned int i, count;

	for (i = 0; i < ARRAY_COUNT(lists); i++) {
		count = fuzz_byte() % 5;
		list = json_array();
		while (count-- > 0) {
			json_array_append_new(list, pick_item(lists[i], count));
		}
		json_object_set_new(object, lists[i], fuzz_byte() < 0xf8 ? list : pick_value());
		if (json_object_get(object, lists[i]) != list) {
			json_decref(list);
		}
	}
	for (i = 0; i < ARRAY_COUNT(sizes); i++) {
		json_object_set_new(i < 3 ? object : led, sizes[i],
				    fuzz_byte() < 0xc0 ? json_integer(fuzz_byte() % 8)
						       : pick_value());
	}
	json_object_set_new(object, "dynamic-memory", led);
	return object;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *running, *to, *status, *bounds, *then, *waits, *copy;
	struct step step;
	unsigned int i;

	fuzz_begin(data, size);
	running = pick_object();
	to = fuzz_byte() & 1 ? json_deep_copy(running) : pick_object();
	if (fuzz_byte() & 1) {
		json_array_append_new(json_object_get(to, "disks"), pick_item("disks", 5));
		json_array_remove(json_object_get(to, "networks"), 0);
	}
	status = pick_object();
	difference_number(running, NULL);
	copy = json_deep_copy(to);
	difference_place(copy, running);
	json_decref(copy);
	difference_number(to, running);
	bounds = difference_bounds(running);
	then = difference_apply(running, to, bounds);
	waits = difference_waits(then, to);
	EXPECT(json_is_object(then) && json_is_array(waits));
	if (difference_next(running, to, status, &step)) {
		EXPECT(step.count > 0 && step.count < STEP_WORDS_MAX && step.text[0] != '\0');
		for (i = 0; i < step.count; i++) {
			EXPECT(step.words[i] != NULL);
		}
	}
	EXPECT(difference_lacks_function(running, status, 0) >= -1);
	/* What it has become needs nothing more, and is led nowhere else. */
	copy = difference_apply(then, to, bounds);
	EXPECT(json_equal(copy, then));
	json_decref(copy);
	json_decref(waits);
	json_decref(then);
	json_decref(bounds);
	json_decref(status);
	json_decref(to);
	json_decref(running);
	return 0;
}
