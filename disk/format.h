/*
 * format.c: what a format can do; one row for each.
 */
#ifndef DISK_FORMAT_H
#define DISK_FORMAT_H

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/file.h"
#include "disk/layer.h"

struct create_plan { /* a struct disk_create with every default filled in */
	struct disk_create how;
	struct layer *parent;        /* open, or NULL */
	const char *parent_absolute; /* for the locator */
	const char *parent_relative;
};

struct format {
	enum disk_format id;
	const char *name;
	const char *endings; /* ".vhd .avhd" */
	bool has_blocks;
	/* 1 when the file has this format's mark, 0 when not, or an error; NULL: there is none. */
	int (*probe)(struct file *file);
	int (*open)(struct layer *layer, struct disk_error *error);
	void (*release)(struct layer *layer); /* memory only */
	int (*create)(struct file *file, const struct create_plan *plan, struct disk_error *error);

	/*
	 * What lies at [offset, offset + length), as far as it is of one kind. -EAGAIN: ask again
	 * with wait.
	 */
	int (*map)(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
		   struct extent *extent);
	/*
	 * A place to write to, allocated where needed: kind DATA. Then, once the data is there,
	 * write_end.
	 */
	int (*write_begin)(struct layer *layer, uint64_t offset, uint64_t length, bool wait,
			   struct extent *extent);
	int (*write_end)(struct layer *layer, uint64_t offset, uint64_t length,
			 const struct extent *extent);
	/*
	 * Make some of it zero, at least 1 byte: *done says how much. -EOPNOTSUPP: write zeros for
	 * *done bytes.
	 */
	int (*trim)(struct layer *layer, uint64_t offset, uint64_t length, uint64_t *done);
	int (*flush)(struct layer *layer);  /* everything durable */
	int (*finish)(struct layer *layer); /* at close of a writable layer */

	int (*resize)(struct layer *layer, uint64_t size, struct disk_error *error);
	/* Move some blocks at the file's end to free space; *moved of them. Ends with 0. */
	int (*compact)(struct layer *layer, uint64_t *moved);
	/* Drop everything: a differencing disk reads as its parent then. Durable. */
	int (*empty)(struct layer *layer);
	int (*set_parent)(struct layer *layer, const struct create_plan *plan,
			  struct disk_error *error);
	/* Faults beyond what open with a report finds; repair is allowed when layer.writable. */
	int (*check)(struct layer *layer, struct disk_error *error);
	/* What of the file a repair may overwrite, or later use: its block table, unused space. */
	int (*loose)(struct layer *layer, struct span_list *places);
	/* What a pending log will put into the file, into another one. NULL: there are no logs. */
	int (*copy_log)(struct layer *layer, struct file *to);
	void (*info)(struct layer *layer, struct disk_info *info);
	/* The identity that a child remembers. */
	void (*identity)(struct layer *layer, char text[GUID_TEXT]);
};

const struct format *format_find(enum disk_format id);
const struct format *format_of_name(const char *path); /* NULL: the ending says nothing */
int format_probe(struct file *file, bool writable, const struct format **format,
		 struct disk_error *error);

extern const struct format raw_format, vhd_format, vhdx_format;

/* signature.c: *format is the name of a format that is not read here, or NULL. */
int signature_probe(struct file *file, const char **format);

#endif
