/*
 * A guest's last words. Where they are and how long they are is the guest's to say, so is each byte of them: they are copied
 * once, cut to a page, and what a terminal would obey is not passed on.
 */
#include "worker/crash.h"

#include <string.h>

#include "worker/machine.h"
#include "worker/say.h"

#define TEXT_MAX 4096
#define P_TEXT   3 /* the parameter that is the text's address; the next one is its length */

static bool printable(char c)
{
	return c >= ' ' && c <= '~';
}

static void say_line(char *line, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!printable(line[i])) {
			line[i] = '.';
		}
	}
	if (length != 0) {
		say_guest("crash: %.*s", (int)length, line);
	}
}

static void say_text(const struct memory *memory, uint64_t gpa, uint64_t length)
{
	char text[TEXT_MAX];
	size_t start = 0;

	if (length > sizeof(text)) {
		length = sizeof(text);
	}
	if (length == 0 || !memory_get(memory, gpa, text, length)) {
		say_guest("crash: its text is not in its memory");
		return;
	}
	length = strnlen(text, length);
	for (size_t at = 0; at <= length; at++) {
		if (at == length || text[at] == '\n') {
			say_line(text + start, at - start);
			start = at + 1;
		}
	}
}

void crash_report(struct machine_vp *vp, bool text)
{
	struct machine *machine = vp->machine;
	uint64_t p[VP_CRASH_PARAMETERS];

	if (atomic_exchange(&machine->crashed, true)) {
		return;
	}
	if (backend_vp_crash_parameters(vp->vp, p) != 0) {
		say_guest("VP %u: the guest has crashed; its parameters cannot be read", vp->index);
		return;
	}
	say_guest("VP %u: the guest has crashed: %#llx %#llx %#llx %#llx %#llx", vp->index,
		  (unsigned long long)p[0], (unsigned long long)p[1], (unsigned long long)p[2],
		  (unsigned long long)p[3], (unsigned long long)p[4]);
	if (text) {
		say_text(&machine->memory, p[P_TEXT], p[P_TEXT + 1]);
	}
}
