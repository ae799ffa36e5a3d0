/*
 * A machine's configuration that is any text: it is refused, with a key or a place, or becomes one
 * whose numbers are in their ranges.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "tests/fuzz/fuzz.h"
#include "worker/config.h"

static const char *const words[] = {
	"{\"name\":\"a\",\"kernel\":\"k\",\"memory\":\"64M\",\"vps\":2",
	"{\"name\":\"a\",\"kernel\":{\"fd\":0},\"memory\":67108864,\"vps\":2",
	"{\"name\":\"a\",\"generation\":1,\"memory\":\"64M\",\"vps\":2",
	",\"firmware\":",
	",\"firmware-log\":",
	",\"floppy\":",
	",\"sound\":{\"model\":\"sb16\"",
	",\"wav\":",
	",\"initrd\":",
	",\"append\":",
	",\"serial\":{\"to\":",
	"\"stdio\"",
	"\"unix\"",
	"\"control\"",
	",\"file\":",
	",\"disks\":[",
	"{\"file\":\"a\"}",
	",{\"file\":\"a\"}",
	",{\"kind\":\"dvd\"}",
	",{\"file\":\"a\",\"controller\":\"ide\"}",
	"{\"file\":",
	",\"parents\":[\"a\",\"b\"]",
	",\"number\":",
	",\"read-only\":true",
	",\"raw\":true",
	",\"control\":{\"socket\":",
	",\"users\":[1,2]",
	",\"on-reset\":\"exit\"",
	",\"user\":",
	",\"device\":",
	",\"debug-exit\":true",
	"\"x\"",
	"{\"fd\":",
	"\"name\":\"n\"",
	"}",
	"}",
	"]",
	"99999999999999999999",
};

static void check(const struct config *config)
{
	unsigned int i, j;

	EXPECT(config->vps >= 1 && config->vps <= BACKEND_MAX_VPS);
	EXPECT(config->memory % (2 << 20) == 0 && config->memory != 0);
	EXPECT(strlen(config->name) <= 64 &&
	       (config->kernel.path != NULL) == (config->generation == 0));
	EXPECT(config->serial != SERIAL_CONTROL || config->control.path != NULL);
	EXPECT(config->control_user_count <= CONFIG_USERS_MAX);
	EXPECT(config->disk_count <= CONFIG_DISKS_MAX);
	for (i = 0; i < config->disk_count; i++) {
		const struct config_disk *disk = &config->disks[i];

		EXPECT(disk->number < (disk->ide ? CONFIG_IDE_MAX : CONFIG_SCSI_MAX));
		EXPECT(disk->parent_count < CONTROL_FILES_MAX);
		EXPECT(disk->dvd || disk->file.path != NULL);
		for (j = 0; j < i; j++) {
			EXPECT(disk->ide != config->disks[j].ide ||
			       disk->number != config->disks[j].number);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[1 << 16];
	static struct config config;
	struct form form = {.path = ""};
	struct form_error error;
	char why[600];
	size_t length = fuzz_expand(data, size, words, ARRAY_COUNT(words), text, sizeof(text));

	config = (struct config){.document = form_parse(&form, text, length)};
	if (config.document == NULL) {
		EXPECT(form.error.what[0] != '\0');
		return 0;
	}
	if (config_read(&config, &error)) {
		check(&config);
	} else {
		EXPECT(error.what[0] != '\0');
		form_print(&error, true, why, sizeof(why));
		EXPECT(why[0] != '\0');
	}
	config_destroy(&config);
	return 0;
}
