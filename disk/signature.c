/*
 * Files of other programs' formats, told by what they begin with (a .dmg: by its last sector), as
 * QEMU's tools tell them. None is read here; each has a name, so that it can be refused by it.
 */
#include "disk/format.h"

#include "disk/file.h"
#include "disk/units.h"

#include <string.h>

static const struct signature {
	const char *format;
	uint16_t offset, length;
	const char *bytes;
} signatures[] = {
	/* clang-format off */
	{"qcow",      0,  8,  "QFI\xfb\0\0\0\1"},
	{"qcow2",     0,  4,  "QFI\xfb"},
	{"qed",       0,  4,  "QED\0"},
	{"vmdk",      0,  4,  "KDMV"},
	{"vmdk",      0,  4,  "COWD"},
	{"vmdk",      0,  21, "# Disk DescriptorFile"},
	{"vdi",       64, 4,  "\x7f\x10\xda\xbe"},
	{"parallels", 0,  16, "WithoutFreeSpace"},
	{"parallels", 0,  16, "WithouFreSpacExt"},
	{"bochs",     0,  22, "Bochs Virtual HD Image"},
	{"cloop",     0,  39, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop f"},
	{"luks",      0,  6,  "LUKS\xba\xbe"},
	/* clang-format on */
};

#define HEAD    128u
#define TRAILER 512u /* of a .dmg */

int signature_probe(struct file *file, const char **format)
{
	uint8_t head[HEAD] = {0}, trailer[4] = {0};
	unsigned i;
	int ret = file_read(file, head, (size_t)min_u64(sizeof(head), file->size), 0);

	if (!ret && file->size >= TRAILER) {
		ret = file_read(file, trailer, sizeof(trailer), file->size - TRAILER);
	}
	*format = !ret && !memcmp(trailer, "koly", sizeof(trailer)) ? "dmg" : NULL;
	for (i = 0; !ret && *format == NULL && i < DISK_COUNT(signatures); i++) {
		const struct signature *s = &signatures[i];

		*format = memcmp(head + s->offset, s->bytes, s->length) ? NULL : s->format;
	}
	return ret;
}
