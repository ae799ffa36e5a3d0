/*
 * The table of formats, and which of them a file has. Raw is last: it takes what nobody else does.
 */
#include "disk/internal.h"

#include <strings.h>

static const struct format *const formats[] = {&vhdx_format, &vhd_format, &raw_format};

const struct format *format_find(enum disk_format id)
{
	unsigned i;

	for (i = 0; i < DISK_COUNT(formats); i++) {
		if (formats[i]->id == id) {
			return formats[i];
		}
	}
	return NULL;
}

/* endings is a list of words, each with its dot. */
static bool has_ending(const char *path, const char *endings)
{
	const char *dot = strrchr(path, '.');
	size_t length = dot != NULL ? strlen(dot) : 0;

	while (dot != NULL && *endings) {
		size_t n = strcspn(endings, " ");

		if (n == length && !strncasecmp(dot, endings, n)) {
			return true;
		}
		endings += n + (endings[n] == ' ');
	}
	return false;
}

const struct format *format_of_name(const char *path)
{
	unsigned i;

	for (i = 0; i < DISK_COUNT(formats); i++) {
		if (has_ending(path, formats[i]->endings)) {
			return formats[i];
		}
	}
	return NULL;
}

/*
 * A name with a known ending holds the file to it: a damaged VHDX is not taken for a raw disk and
 * written over, and a guest that writes a VHDX header to the beginning of its raw disk gets no
 * other file opened as its parent.
 */
int format_probe(struct file *file, const struct format **format, struct disk_error *error)
{
	const struct format *named = format_of_name(file->path);
	unsigned i;

	for (i = named == &raw_format ? DISK_COUNT(formats) - 1 : 0; i < DISK_COUNT(formats); i++) {
		int ret = formats[i]->probe(file);

		if (ret < 0) {
			return error_set(error, ret, "%s: cannot be read: %s", file->path,
					 strerror(-ret));
		}
		if (ret && (formats[i] != &raw_format || named == NULL || named == &raw_format)) {
			*format = formats[i];
			return 0;
		}
	}
	return error_set(error, -EMEDIUMTYPE,
			 "%s: not a %s file, or its beginning is damaged; --format says what it is",
			 file->path, named->name);
}

const char *disk_format_name(enum disk_format id)
{
	const struct format *format = format_find(id);

	return format != NULL ? format->name : "auto";
}

int disk_format_by_name(const char *name, enum disk_format *id)
{
	unsigned i;

	for (i = 0; i < DISK_COUNT(formats); i++) {
		if (!strcasecmp(name, formats[i]->name)) {
			*id = formats[i]->id;
			return 0;
		}
	}
	if (!strcasecmp(name, "vpc")) { /* what QEMU calls VHD */
		*id = DISK_FORMAT_VHD;
		return 0;
	}
	return -EINVAL;
}
