/*
 * A machine's document that is any text: it is refused, with a reason, or what vmms reads of it is
 * in its ranges, and the worker is told nothing of what is for vmms alone.
 */
#include <stdlib.h>
#include <string.h>

#include "service/service.h"
#include "tests/fuzz/fuzz.h"

static const char *const words[] = {
	"{\"id\":\"3284ad52-0a77-4812-aa50-d3f93b1c06c9\"",
	",\"start\":",
	",\"stop\":",
	"\"if-running\"",
	"\"save\"",
	"\"often\"",
	",\"start-delay\":",
	"99999999999",
	",\"notes\":\"n\"",
	",\"tags\":[",
	"\"a\"",
	",\"b\"",
	"]",
	",\"users\":{\"u\":",
	"\"viewer\"",
	"\"operator\"",
	",\"v\":\"operator\"",
	"}",
	",\"control\":1",
	",\"name\":\"x\"",
	",\"memory\":\"1G\"",
	",\"disks\":[{\"file\":\"a\"}]",
	"}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[1 << 16];
	struct machine machine = {.name = (char *)"m"};
	struct form form = {.path = ""};
	struct settings settings = {0};
	struct refusal why = {.code = ""};
	json_t *document, *object;
	size_t length = fuzz_expand(data, size, words, ARRAY_COUNT(words), text, sizeof(text));

	document = form_parse(&form, text, length);
	if (document == NULL) {
		return 0;
	}
	if (!settings_read(&settings, document, &why)) {
		EXPECT(strcmp(why.code, SERVICE_BAD_INVALID) == 0 && why.detail[0] != '\0');
		object = refusal_object(&why);
		EXPECT(json_is_string(json_object_get(object, "detail")));
		json_decref(object);
		EXPECT(settings.document == NULL);
		return 0;
	}
	EXPECT(settings.start <= START_ALWAYS && settings.stop <= STOP_TURN_OFF &&
	       settings.start_delay <= 86400);
	EXPECT(settings_role(&settings, "nobody else") == ROLE_NONE);
	EXPECT(settings_role(&settings, "v") != ROLE_ADMIN);
	object = settings_for_worker(&machine, settings.document);
	EXPECT(json_object_get(object, "users") == NULL &&
	       json_object_get(object, "notes") == NULL);
	EXPECT(strcmp(json_string_value(json_object_get(object, "name")), "m") == 0);
	EXPECT(json_object_get(object, "restore") == NULL);
	json_decref(object);
	settings_free(&settings);
	return 0;
}
