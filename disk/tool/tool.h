/* The tool vhd: its commands. */
#ifndef DISK_TOOL_TOOL_H
#define DISK_TOOL_TOOL_H

#include "disk/disk.h"

/* What the command line says; a command looks at what concerns it. */
struct options {
	const char *files[2];
	unsigned file_count;
	enum disk_format format, from;
	enum disk_type type;
	bool type_given, json, chain, force, minimum, repair, keep, read_only, no_lock, quiet, once;
	uint64_t size, block;
	uint32_t sector, physical;
	const char *parent, *socket, *name;
	unsigned count;
};

/* Each prints its own errors and returns the exit status. */
int command_new(const struct options *o);
int command_info(const struct options *o);
int command_convert(const struct options *o);
int command_resize(const struct options *o);
int command_optimize(const struct options *o);
int command_merge(const struct options *o);
int command_rebase(const struct options *o);
int command_test(const struct options *o);
int command_mount(const struct options *o);
int command_attach(const struct options *o);
int command_detach(const struct options *o);

/* attach.c: exit statuses. A handle that was attached is its server's and not closed here. */
int attach(struct disk *disk, const char *file);
int detach(const char *name, bool force);

/* kernel_nbd.c: -ENODEV: the kernel has no such thing. The socket of the connected is the
 * kernel's. */
int kernel_nbd_connect(struct disk *disk, int fd, unsigned *index);
int kernel_nbd_disconnect(unsigned index);

/* "10G", "64m", "1048576", "1.5T"; -EINVAL if it is no size. */
int parse_size(const char *text, uint64_t *size);

/* On a terminal a line with a percentage; in a pipe nothing. */
struct disk_progress *progress_start(const char *what, bool quiet);
/* The same, and the work stops with -EINTR at SIGINT, SIGTERM and SIGHUP. */
struct disk_progress *progress_stoppable(const char *what, bool quiet);
void progress_end(void);

#endif
