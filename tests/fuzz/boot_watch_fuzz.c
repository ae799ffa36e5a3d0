/* What a guest writes in its firmware's place: the line that the worker makes of it is a text,
 * printable, and ends. */
#include "tests/fuzz/fuzz.h"
#include "worker/boot_watch.h"

static const char *const words[] = {"Booting from ",
				    "Boot failed: ",
				    "No bootable device.",
				    "BdsDxe: failed to load ",
				    "BdsDxe: failed to start ",
				    "BdsDxe: No bootable option or device was found.",
				    " from ",
				    ": ",
				    "\n",
				    "\033[",
				    "...",
				    "Boot0001 \"x\""};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct boot_watch *watch =
		malloc(sizeof(*watch)); /* of this size, so that its end is seen */
	char text[8192];
	size_t length = fuzz_expand(data, size, words, sizeof(words) / sizeof(words[0]), text,
				    sizeof(text)),
	       i;

	EXPECT(watch != NULL);
	boot_watch_begin(watch);
	for (i = 0; i < length; i++) {
		if (boot_watch_take(watch, (uint8_t)text[i])) {
			const char *at = watch->tried;

			EXPECT(memchr(at, '\0', sizeof(watch->tried)) != NULL);
			for (; *at != '\0'; at++) {
				EXPECT(*at >= ' ' && *at < 0x7f);
			}
		}
	}
	free(watch);
	return 0;
}
