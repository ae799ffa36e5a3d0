/* The table of formats, and which of them a file has. */
#include "disk/format.h"

#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/units.h"

#include <errno.h>
#include <string.h>
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

/* What the content says: a format with a mark of its own, NULL if none; or another program's. */
struct content {
	const struct format *format;
	const char *foreign;
	bool both; /* a fixed VHD may hold a VHDX file: its data begins where the file does */
};

static int look_at(struct file *file, const struct format *preferred, struct content *content)
{
	unsigned i;
	int ret = signature_probe(file, &content->foreign);

	for (i = 0; i < DISK_COUNT(formats) && ret >= 0; i++) {
		ret = formats[i]->probe != NULL ? formats[i]->probe(file) : 0;
		if (ret > 0) {
			content->both = content->format != NULL;
			content->format = content->format == preferred && preferred != NULL
						  ? preferred
						  : formats[i];
		}
	}
	return ret < 0 ? ret : 0;
}

static int refuse(const struct file *file, const struct format *named,
		  const struct content *content, struct disk_error *error)
{
	const char *path = file->path;

	if (content->both) {
		return error_set(error, -EMEDIUMTYPE,
				 "%s: may be a VHD or a VHDX file; --format says which", path);
	}
	if (content->format != NULL && named != &raw_format) {
		return error_set(error, -EMEDIUMTYPE,
				 "%s: holds a %s file and is named as a %s file; rename it, or "
				 "--format %s",
				 path, content->format->name, named->name, content->format->name);
	}
	if (content->format != NULL) {
		return error_set(error, -EMEDIUMTYPE,
				 "%s: holds a %s file and is named as a raw disk; --format %s "
				 "takes it as that, --format raw as it is (vmwp: ,raw; vmctl: "
				 "attach-raw)",
				 path, content->format->name, content->format->name);
	}
	if (content->foreign != NULL) {
		return error_set(error, -EMEDIUMTYPE,
				 "%s: a %s file, which is not read here; qemu-img convert -O vhdx "
				 "makes a VHDX file of it; if it is a raw disk with that in it: "
				 "--format raw (vmwp: ,raw; vmctl: attach-raw)",
				 path, content->foreign);
	}
	return named != NULL ? error_set(error, -EMEDIUMTYPE,
					 "%s: not a %s file, or its beginning is damaged; "
					 "--format says what it is",
					 path, named->name)
			     : error_set(error, -EMEDIUMTYPE,
					 "%s: neither VHDX nor VHD; if it is a raw disk: --format "
					 "raw (vmwp: ,raw; vmctl: attach-raw), or a name that ends "
					 "in .img",
					 path);
}

/*
 * A guest decides what its disk holds, so what it may have written never chooses the format. What
 * is raw by its name, and a block device, is raw or refused: else a guest that writes a VHDX header
 * would have any file of the host opened as its parent. A name that says nothing is raw only for
 * reading. And a name with another ending holds the file to it: a damaged VHDX is not taken for a
 * raw disk and written over, and in a fixed VHD that is named .vhdx no guest makes a VHDX file.
 */
int format_probe(struct file *file, bool writable, const struct format **format,
		 struct disk_error *error)
{
	const struct format *named = format_of_name(file->path);
	struct content content = {0};
	bool raw = named == &raw_format || (named == NULL && file->is_device), marked;
	int ret = look_at(file, named, &content);

	if (ret) {
		return error_set(error, ret, "%s: cannot be read: %s", file->path, strerror(-ret));
	}
	marked = content.format != NULL || content.foreign != NULL;
	if (!raw && content.format != NULL &&
	    (content.format == named || (named == NULL && !content.both))) {
		*format = content.format;
		return 0;
	}
	if (!marked && (raw || (named == NULL && !writable))) {
		*format = &raw_format;
		return 0;
	}
	return refuse(file, raw ? &raw_format : named, &content, error);
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
