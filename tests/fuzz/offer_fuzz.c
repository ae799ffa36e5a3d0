/*
 * What another host offers is any text: it is refused, with a reason, or its owner file is one of
 * ours by its path, and its document and configuration have nothing that is for each service alone.
 */
#include <string.h>

#include "disk/disk.h"
#include "hosted/disk_name.h"
#include "service/service.h"
#include "tests/fuzz/fuzz.h"

static const char *const words[] = {
	"{\"name\":\"m\",\"from\":\"h\",\"document\":",
	"{\"id\":\"3284ad52-0a77-4812-aa50-d3f93b1c06c9\"",
	",\"config\":",
	",\"owner\":\"/a/.move-",
	".owner\"",
	"/../",
	"x",
	",\"check\":true",
	",\"memory\":\"1G\"",
	",\"memory\":99999999999999999999",
	",\"memory\":-1",
	",\"disks\":[{\"file\":\"a\",\"parents\":[\"b\",1]}",
	",{\"file\":\"/b\",\"kind\":\"dvd\"}",
	",{\"file\":1},3,{\"read-only\":true,\"file\":\"/c\"}",
	"]",
	",\"kernel\":\"k\"",
	",\"arrival\":{\"owner\":\"/x\"}",
	",\"departure\":1",
	",\"checkpoint\":{\"id\":\"x\",\"over\":{\"a\":\"b\",\"/c\":\"/d\"}}",
	",\"checkpoints\":{\"files\":{\"/a\":{\"bytes\":1}}}",
	",\"receive\":{}",
	",\"storage\":{\"a.img\":{},\"b.vhdx\":{\"size\":1}}",
	",\"storage\":{\"../a.img\":{}}",
	",\"disks\":[{\"file\":\"a.img\"}",
	",\"disks\":7",
	"}",
};

static bool is_free_of_own(const json_t *object)
{
	static const char *const own[] = {"name",    "control", "restore",
					  "receive", "arrival", "departure"};

	for (size_t i = 0; i < ARRAY_COUNT(own); i++) {
		if (json_object_get(object, own[i]) != NULL) {
			return false;
		}
	}
	return json_is_object(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[1 << 16];
	struct form form = {.path = ""};
	struct refusal why = {.code = ""};
	size_t length = fuzz_expand(data, size, words, ARRAY_COUNT(words), text, sizeof(text));
	json_t *body = form_parse(&form, text, length), *copy;
	struct disk_create how;
	struct offer offer;
	const char *disk, *name;
	json_t *described;

	if (body == NULL) {
		return 0;
	}
	if (!offer_read(body, &offer, &why)) {
		EXPECT(strcmp(why.code, SERVICE_BAD_INVALID) == 0 && why.detail[0] != '\0');
		json_decref(body);
		return 0;
	}
	EXPECT(offer.owner[0] == '/' && strstr(offer.owner, "/../") == NULL &&
	       strncmp(strrchr(offer.owner, '/'), "/.move-", 7) == 0 && offer.name[0] != '\0' &&
	       strchr(offer.name, '/') == NULL);
	EXPECT(is_free_of_own(offer.document) && is_free_of_own(offer.config));
	EXPECT(json_object_get(offer.config, "checkpoint") == NULL);
	EXPECT(json_object_get(offer.document, "checkpoint") == NULL || offer.checkpoints != NULL);
	json_object_foreach((json_t *)offer.storage, name, described)
	{
		EXPECT(strchr(name, '/') == NULL && name[0] != '.' && disk_name_is_one(name));
		if (offer_make(described, &how)) {
			EXPECT(how.size != 0 && how.size <= 1ull << 50);
		}
	}
	(void)offer_memory(offer.config);
	copy = offer_paths(offer.config, "/folder");
	disk = offer_disk(copy);
	EXPECT(disk == NULL || disk[0] == '/');
	json_decref(copy);
	json_decref(offer_paths(offer.document, "/folder"));
	json_decref(body);
	return 0;
}
