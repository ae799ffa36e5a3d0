/* What the user asked for on the command line. */
#ifndef WORKER_CONFIG_H
#define WORKER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

enum serial_kind {
	SERIAL_STDIO,
	SERIAL_FILE,
	SERIAL_UNIX,
};

enum on_reset {
	ON_RESET_REBOOT,
	ON_RESET_EXIT,
};

#define CONFIG_SCSI_MAX  64 /* disks of the SCSI controller, DVD drives among them */
#define CONFIG_IDE_MAX   4
#define CONFIG_DISKS_MAX (CONFIG_SCSI_MAX + CONFIG_IDE_MAX)

struct config_disk {
	const char *path;
	bool ide, dvd, read_only;
	bool raw;    /* whatever its name and its content say */
	bool direct; /* past the host's page cache */
};

struct config {
	const char *name;
	const char *kernel;
	const char *initrd; /* NULL: none */
	const char *append; /* "" if none was given */
	uint64_t memory;    /* bytes */
	unsigned int vps;
	enum serial_kind serial;
	const char *serial_path;
	enum on_reset on_reset;
	unsigned int user;   /* whom a worker becomes that root started; 0: one of its own */
	bool debug_exit;     /* the port of test images is there */
	const char *control; /* a socket's path, NULL: none */
	struct config_disk disks[CONFIG_DISKS_MAX]; /* in the order of the command line */
	unsigned int disk_count;
};

enum config_result {
	CONFIG_OK,
	CONFIG_HELP, /* the help was asked for and printed */
	CONFIG_BAD,  /* said what is wrong */
};

enum config_result config_parse(struct config *config, int argc, char **argv) MUST_CHECK;
/* The host's part: is there that much memory? Says what is wrong. */
bool config_fits_host(const struct config *config) MUST_CHECK;

#endif
