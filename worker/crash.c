/*
 * A guest's last words. Where they are and how long they are is the guest's to say, so is each byte
 * of them: they are copied once, cut to a page, and what a terminal would obey is not passed on,
 * nor kept.
 */
#include "worker/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

/* Its bytes; 0: there is none. */
static size_t get_text(const struct memory *memory, uint64_t gpa, uint64_t length,
		       char text[TEXT_MAX])
{
	if (length > TEXT_MAX) {
		length = TEXT_MAX;
	}
	if (length == 0 || !memory_get(memory, gpa, text, length)) {
		say_guest("crash: its text is not in its memory");
		return 0;
	}
	return strnlen(text, length);
}

static void say_text(char *text, size_t length)
{
	size_t start = 0;

	if (length == 0) {
		return;
	}
	for (size_t at = 0; at <= length; at++) {
		if (at == length || text[at] == '\n') {
			say_line(text + start, at - start);
			start = at + 1;
		}
	}
}

/* ---- The file ---- */

bool crash_open(struct machine *machine)
{
	const struct config_file *file = &machine->config->crash_log;
	struct crash_file *crashes = &machine->crashes;
	struct stat stat;

	if (file->path == NULL) {
		return true;
	}
	crashes->fd =
		file->fd >= 0 ? file->fd : open(file->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (crashes->fd < 0 || fstat(crashes->fd, &stat) != 0 ||
	    fcntl(crashes->fd, F_SETFL, O_APPEND) != 0) {
		say("--crash-log %s: %s", file->path, strerror(errno));
		return false;
	}
	tzset(); /* gmtime_r() would read the time zone's file, which the sandbox does not let it */
	crashes->bytes = (uint64_t)stat.st_size;
	crashes->open = true;
	return true;
}

/* One more than there may be in a minute is left out. */
static bool is_in_time(struct crash_file *crashes, time_t now)
{
	if (now - crashes->minute >= 60 || now < crashes->minute) {
		crashes->minute = now;
		crashes->in_minute = 0;
	}
	return crashes->in_minute++ < CRASH_BURST;
}

static int put_head(const struct machine_vp *vp, const uint64_t p[VP_CRASH_PARAMETERS],
		    unsigned int left_out, char *to, size_t size)
{
	time_t now = time(NULL);
	struct tm utc;
	char date[32];
	int length;

	gmtime_r(&now, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
	length = snprintf(to, size, "=== %s %s, VP %u: %#llx %#llx %#llx %#llx %#llx\n", date,
			  vp->machine->config->name, vp->index, (unsigned long long)p[0],
			  (unsigned long long)p[1], (unsigned long long)p[2],
			  (unsigned long long)p[3], (unsigned long long)p[4]);
	if (left_out != 0) {
		length += snprintf(to + length, size - (size_t)length,
				   "    %u before it were too many in a minute\n", left_out);
	}
	return length;
}

/* The text's lines are letters already. */
static void keep(struct machine_vp *vp, const uint64_t p[VP_CRASH_PARAMETERS], const char *text,
		 size_t text_length)
{
	struct crash_file *crashes = &vp->machine->crashes;
	char record[TEXT_MAX + 512];
	int length;

	if (!crashes->open) {
		return;
	}
	if (!is_in_time(crashes, time(NULL))) {
		crashes->left_out++;
		return;
	}
	length = put_head(vp, p, crashes->left_out, record, sizeof(record) - TEXT_MAX - 1);
	memcpy(record + length, text, text_length);
	length += (int)text_length;
	record[length++] = '\n';
	if (crashes->bytes + (uint64_t)length > CRASH_FILE_MAX) {
		say_guest("crash: not kept: %s is as long as it may be",
			  vp->machine->config->crash_log.path);
		return;
	}
	if (write(crashes->fd, record, (size_t)length) != length) {
		say_guest("crash: not kept: %s cannot be written",
			  vp->machine->config->crash_log.path);
		return;
	}
	crashes->bytes += (uint64_t)length;
	crashes->left_out = 0;
	say_guest("crash: kept in %s", vp->machine->config->crash_log.path);
}

void crash_report(struct machine_vp *vp, bool has_text)
{
	struct machine *machine = vp->machine;
	uint64_t p[VP_CRASH_PARAMETERS];
	char text[TEXT_MAX];
	size_t length = 0;

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
	if (has_text) {
		length = get_text(&machine->memory, p[P_TEXT], p[P_TEXT + 1], text);
		say_text(text, length);
	}
	keep(vp, p, text, length);
}
