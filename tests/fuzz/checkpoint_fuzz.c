/*
 * Files of checkpoints, ID.json, that are any text: two in a machine's folder, whose document goes
 * on from one of them. They are damaged, or they are listed and shown whatever their members are;
 * who uses which file is told of both; and what names its own parent is no endless tree.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/service.h"
#include "tests/fuzz/fuzz.h"

#define FIRST "3284ad52-0a77-4812-aa50-d3f93b1c06c9"
#define DISKS                                                                                      \
	"[{\"file\":\"a.vhdx\",\"parents\":[\"/e/b.vhdx\",\"a.avhdx\"]},{\"file\":\"/e/c.vhdx\"}]"
#define SECOND "4284ad52-0a77-4812-aa50-d3f93b1c06c9"

/* What a member may be: what it should be, and what it should not. */
static const char *const values[] = {
	"\"one\"",
	"\"2026-11-29T20:28:08.123Z\"",
	"{\"id\":\"" FIRST "\",\"over\":{\"a.avhdx\":\"a.vhdx\"}}",
	"{\"id\":\"" SECOND "\",\"over\":{\"b.avhdx\":1}}",
	"{\"id\":\"" SECOND "\",\"over\":{}}",
	"{\"id\":7,\"over\":[]}",
	DISKS,
	"[{\"file\":[]},7,{\"parents\":{}}]",
	"true",
	"[]",
	"{}",
	"null",
	"-1e300",
	"\"\"",
};

/* Of the checkpoint, and from `document` on of its document. */
static const char *const keys[] = {"name",       "created", "state",    "deleted", "type",
				   "notes",      "undo",    "document", "id",      "disks",
				   "checkpoint", "memory",  "vps"};
#define OF_DOCUMENT 8

/* One that is as it should be, but for what the bytes say: pairs of a member and what it is. */
static char *make_point(const uint8_t *data, size_t size)
{
	json_t *point =
		json_pack("{s:s, s:s, s:b, s:{s:s, s:s, s:i}}", "name", "one", "created",
			  "2026-11-29T20:28:08.123Z", "state", 1, "document", "id",
			  "1284ad52-0a77-4812-aa50-d3f93b1c06c9", "memory", "64M", "vps", 1);
	char *text;

	for (size_t i = 0; i + 1 < size; i += 2) {
		size_t key = data[i] % ARRAY_COUNT(keys);
		json_t *target = key < OF_DOCUMENT ? point : json_object_get(point, "document"),
		       *value = json_loads(values[data[i + 1] % ARRAY_COUNT(values)],
					   JSON_DECODE_ANY, NULL);

		if (data[i] & 0x80) {
			json_object_del(target, keys[key]);
			json_decref(value);
		} else if (json_object_set_new(target, keys[key], value) != 0) {
			continue; /* the document is no object any more */
		}
	}
	text = json_dumps(point, JSON_ENCODE_ANY);
	json_decref(point);
	return text;
}

static void write_file(const char *folder, const char *name, const char *text, size_t length)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/checkpoints/%s.json", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	EXPECT(fd >= 0 && write(fd, text, length) == (ssize_t)length);
	close(fd);
}

static char store[] = "/tmp/checkpoint-fuzz-XXXXXX";

static void remove_store(void)
{
	static const char *const names[] = {"/m/checkpoints/" FIRST ".json",
					    "/m/checkpoints/" SECOND ".json", "/m/checkpoints",
					    "/m", ""};
	char path[256];

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s%s", store, names[i]);
		(void)remove(path);
	}
}

static void make_store(void)
{
	char path[256];

	if (strcmp(store + strlen(store) - 6, "XXXXXX") == 0) {
		EXPECT(mkdtemp(store) != NULL);
		snprintf(path, sizeof(path), "%s/m", store);
		EXPECT(mkdir(path, 0700) == 0);
		snprintf(path, sizeof(path), "%s/m/checkpoints", store);
		EXPECT(mkdir(path, 0700) == 0);
		(void)atexit(remove_store);
	}
}

static void look(struct machine *machine)
{
	json_t *list = checkpoints_list(machine), *point, *other;
	struct refusal why;
	size_t i;

	EXPECT(json_array_size(list) <= json_object_size(machine->points));
	json_array_foreach(list, i, point)
	{
		const char *id = json_string_value(json_object_get(point, "id"));

		EXPECT(json_is_string(json_object_get(point, "name")) &&
		       json_is_string(json_object_get(point, "created")) &&
		       json_is_string(json_object_get(point, "parent")));
		other = checkpoint_show(machine, id, &why);
		EXPECT(json_is_object(json_object_get(other, "document")));
		json_decref(other);
	}
	json_decref(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct service service = {.store = store, .run = store};
	struct machine machine = {.service = &service,
				  .name = (char *)"m",
				  .id = "1284ad52-0a77-4812-aa50-d3f93b1c06c9"};
	size_t half = size / 2;
	char *texts[2] = {make_point(data, half), make_point(data + half, size - half)};
	char folder[256], path[256];
	json_t *users, *elsewhere;

	make_store();
	snprintf(folder, sizeof(folder), "%s/m", store);
	/* The last byte says how much of the second is there. */
	write_file(folder, FIRST, texts[0], strlen(texts[0]));
	write_file(folder, SECOND, texts[1],
		   size != 0 && data[size - 1] == 0xff ? strlen(texts[1]) / 2 : strlen(texts[1]));
	free(texts[0]);
	free(texts[1]);
	service.machines = &machine;
	machine.settings.document = json_pack("{s:{s:s, s:{}}}", "checkpoint", "id", FIRST, "over");
	machine.points = tree_read(folder);
	EXPECT(json_object_size(machine.points) <= 2);
	EXPECT(strcmp(tree_parent(machine.settings.document), FIRST) == 0);
	look(&machine);
	snprintf(path, sizeof(path), "%s/a.vhdx", folder);
	users = storage_users(&service, path);
	EXPECT(json_array_size(users) <= 1);
	elsewhere = storage_paths_elsewhere(&service);
	EXPECT(json_is_array(elsewhere));
	json_decref(users);
	json_decref(elsewhere);
	json_decref(machine.points);
	json_decref(machine.settings.document);
	return 0;
}
