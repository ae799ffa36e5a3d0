/*
 * See boot_watch.h. The words are SeaBIOS' (src/boot.c) and EDK II's (BdsDxe and
 * UefiBootManagerLib):
 *
 *   Booting from Hard Disk...                        BdsDxe: failed to load Boot0001 "NAME" from PATH: Not Found
 *   Boot failed: not a bootable disk                 BdsDxe: failed to start Boot0001 "NAME" from PATH: Access Denied
 *   No bootable device.  Retrying in 60 seconds.     BdsDxe: No bootable option or device was found.
 */
#include "worker/boot_watch.h"

#include <stdio.h>
#include <string.h>

void boot_watch_begin(struct boot_watch *watch)
{
	*watch = (struct boot_watch){.seen = 0};
}

/* What follows these words in the line; NULL: it has not got them. */
static const char *after(const struct boot_watch *watch, const char *words)
{
	const char *at = strstr(watch->line, words);

	return at != NULL ? at + strlen(words) : NULL;
}

static void add(struct boot_watch *watch, const char *what, size_t what_length, const char *why)
{
	size_t used = watch->tries != 0 ? strlen(watch->tried) : 0;
	size_t left = sizeof(watch->tried) - used;
	int length = snprintf(watch->tried + used, left, "%s%.*s: %.60s", used != 0 ? "; " : "",
			      (int)(what_length < 80 ? what_length : 80), what, why);

	watch->tries++;
	if (length < 0 || (size_t)length >= left) {
		watch->tried[used] = '\0'; /* whole ones */
	}
}

static void take_bios_failure(struct boot_watch *watch, const char *why)
{
	const char *what = watch->what[0] != '\0' ? watch->what : "something";

	add(watch, what, strlen(what), why);
	watch->what[0] = '\0';
}

/* Boot0001 "NAME" from PATH: WHY */
static void take_uefi_failure(struct boot_watch *watch, const char *what)
{
	const char *from = strstr(what, " from "), *why = strrchr(what, ':');

	if (why != NULL && why[1] == ' ' && (from == NULL || from < why)) {
		add(watch, what, (size_t)((from != NULL ? from : why) - what), why + 2);
	}
}

static void take_try(struct boot_watch *watch, const char *what)
{
	size_t length = strcspn(what, ".");

	length = length < sizeof(watch->what) ? length : sizeof(watch->what) - 1;
	memcpy(watch->what, what, length);
	watch->what[length] = '\0';
}

/* True: nothing is left to be tried. */
static bool take_line(struct boot_watch *watch)
{
	const char *rest;

	if ((rest = after(watch, "Booting from ")) != NULL) {
		take_try(watch, rest);
	} else if ((rest = after(watch, "Boot failed: ")) != NULL) {
		take_bios_failure(watch, rest);
	} else if ((rest = after(watch, "BdsDxe: failed to load ")) != NULL ||
		   (rest = after(watch, "BdsDxe: failed to start ")) != NULL) {
		take_uefi_failure(watch, rest);
	}
	return after(watch, "No bootable device.") != NULL ||
	       after(watch, "BdsDxe: No bootable option or device was found.") != NULL;
}

bool boot_watch_take(struct boot_watch *watch, uint8_t byte)
{
	bool nothing;

	if (watch->seen == BOOT_WATCH_BYTES) {
		return false;
	}
	watch->seen++;
	if (watch->state == WATCH_ESCAPE) {
		watch->state = byte == '[' ? WATCH_SEQUENCE : WATCH_TEXT;
		return false;
	}
	if (watch->state == WATCH_SEQUENCE) {
		watch->state = byte >= '@' && byte <= '~' ? WATCH_TEXT : WATCH_SEQUENCE;
		return false;
	}
	if (byte == 0x1b) {
		watch->state = WATCH_ESCAPE;
		return false;
	}
	if (byte != '\n') {
		if (byte >= ' ' && byte < 0x7f && watch->length < sizeof(watch->line) - 1) {
			watch->line[watch->length++] = (char)byte;
		}
		return false;
	}
	watch->line[watch->length] = '\0';
	watch->length = 0;
	nothing = take_line(watch);
	if (nothing) {
		/* What comes is another round. */
		if (watch->tries == 0) {
			watch->tried[0] = '\0';
		}
		watch->seen = watch->tries = 0;
	}
	return nothing;
}
