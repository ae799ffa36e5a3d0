/* The command line, see config.h. Everything wrong with it is said in one line that names the
 * option and the remedy. */
#include "worker/config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "worker/memory.h"
#include "worker/say.h"

#define MIB             (1ull << 20)
#define MEMORY_MAX      (1ull << 42)
#define NAME_MAX_LENGTH 64

static const char help[] =
	"usage: vmwp --name NAME --kernel FILE --memory SIZE --vps N [options]\n"
	"\n"
	"Runs a virtual machine in a child partition, until it is powered off.\n"
	"\n"
	"  --name NAME       what messages call the machine\n"
	"  --kernel FILE     a Linux bzImage, or a multiboot 1 image\n"
	"  --initrd FILE     Linux: the initial RAM disk; multiboot: a module\n"
	"  --append TEXT     the kernel's command line\n"
	"  --memory SIZE     RAM, as 512M or 2G; a multiple of 2M\n"
	"  --vps N           virtual processors, 1 to 240\n"
	"  --serial WHERE    COM1: stdio (the default), file:PATH or unix:PATH (a socket to "
	"connect to)\n"
	"  --disk FILE[,scsi|ide][,ro][,raw][,direct]\n"
	"                    a disk: VHDX, VHD or raw, by its name and content, which must agree; "
	"raw:\n"
	"                    that, whatever a guest has put into it; on the SCSI controller (the "
	"default)\n"
	"                    or as one of four IDE disks; direct: past the host's page cache; may "
	"be\n"
	"                    given many times\n"
	"  --dvd FILE        a DVD drive of the SCSI controller, with an ISO file in it; likewise\n"
	"  --control PATH    a socket on which vmctl attaches and detaches disks\n"
	"  --on-reset WHAT   reboot (the default) or exit\n"
	"  --user UID        whom a worker becomes that root started: 1879048192 plus its process "
	"id,\n"
	"                    which nobody else is, unless this says otherwise\n"
	"  --debug-exit      for test images: port 0xf4, at which one says its result and ends\n"
	"  --help            this\n"
	"\n"
	"With --serial stdio and a terminal, Ctrl-] turns the machine off.\n"
	"\n"
	"Exit status: 0 powered off, 2 could not start as asked, 3 reset (with --on-reset exit),\n"
	"4 triple fault, 5 the host failed, 6 turned off by Ctrl-] or a signal, 7 crashed, by its\n"
	"own report. With --debug-exit, when the guest wrote N to the port: (2 * N + 1) modulo "
	"256,\n"
	"as with QEMU's isa-debug-exit; standard error then has a line that says N.\n";

static bool parse_size(const char *text, uint64_t *size)
{
	unsigned long long number;
	unsigned int shift;
	char *end;

	if (!isdigit((unsigned char)*text)) {
		return false;
	}
	errno = 0;
	number = strtoull(text, &end, 10);
	switch (toupper((unsigned char)*end)) {
	case 'K':
		shift = 10;
		break;
	case 'M':
		shift = 20;
		break;
	case 'G':
		shift = 30;
		break;
	case 'T':
		shift = 40;
		break;
	default:
		return false;
	}
	if (errno != 0 || end[1] != '\0' || number > UINT64_MAX >> shift) {
		return false;
	}
	*size = (uint64_t)number << shift;
	return true;
}

static bool set_memory(struct config *config, const char *text)
{
	if (!parse_size(text, &config->memory)) {
		say("--memory %s: not a size; write it as 512M or 2G", text);
		return false;
	}
	if (config->memory < MEMORY_MIN || config->memory > MEMORY_MAX) {
		say("--memory %s: give from %lluM to %lluT", text, MEMORY_MIN / MIB,
		    MEMORY_MAX >> 40);
		return false;
	}
	if (config->memory % MEMORY_UNIT != 0) {
		say("--memory %s: give a multiple of %lluM", text, MEMORY_UNIT / MIB);
		return false;
	}
	return true;
}

static bool set_vps(struct config *config, const char *text)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end != '\0' || errno != 0 || number < 1 ||
	    number > BACKEND_MAX_VPS) {
		say("--vps %s: give a number from 1 to %u", text, BACKEND_MAX_VPS);
		return false;
	}
	config->vps = (unsigned int)number;
	return true;
}

static bool set_serial(struct config *config, const char *text)
{
	if (strcmp(text, "stdio") == 0) {
		config->serial = SERIAL_STDIO;
		return true;
	}
	if (strncmp(text, "file:", 5) == 0 && text[5] != '\0') {
		config->serial = SERIAL_FILE;
		config->serial_path = text + 5;
		return true;
	}
	if (strncmp(text, "unix:", 5) == 0 && text[5] != '\0') {
		config->serial = SERIAL_UNIX;
		config->serial_path = text + 5;
		return true;
	}
	say("--serial %s: give stdio, file:PATH or unix:PATH", text);
	return false;
}

static bool set_on_reset(struct config *config, const char *text)
{
	if (strcmp(text, "reboot") == 0) {
		config->on_reset = ON_RESET_REBOOT;
		return true;
	}
	if (strcmp(text, "exit") == 0) {
		config->on_reset = ON_RESET_EXIT;
		return true;
	}
	say("--on-reset %s: give reboot or exit", text);
	return false;
}

static bool set_user(struct config *config, const char *text)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end != '\0' || errno != 0 || number == 0 ||
	    number >= UINT32_MAX) {
		say("--user %s: give a user's number, from 1 to %u", text, UINT32_MAX - 1);
		return false;
	}
	config->user = (unsigned int)number;
	return true;
}

static bool set_name(struct config *config, const char *text)
{
	size_t i, length = strlen(text);

	for (i = 0; i < length; i++) {
		if (!isprint((unsigned char)text[i])) {
			break;
		}
	}
	if (length == 0 || length > NAME_MAX_LENGTH || i != length) {
		say("--name: give 1 to %d printable characters", NAME_MAX_LENGTH);
		return false;
	}
	config->name = text;
	say_set_name(text);
	return true;
}

/* Takes a word off the end of FILE,WORD,... */
static bool take_word(char *text, const char *word)
{
	size_t length = strlen(text), tail = strlen(word);

	if (length <= tail || strcmp(text + length - tail, word) != 0) {
		return false;
	}
	text[length - tail] = '\0';
	return true;
}

static bool has_room(const struct config *config, bool ide)
{
	unsigned int i, count = 0;

	for (i = 0; i < config->disk_count; i++) {
		count += config->disks[i].ide == ide;
	}
	return count < (ide ? CONFIG_IDE_MAX : CONFIG_SCSI_MAX);
}

static bool add_disk(struct config *config, const struct config_disk *disk)
{
	if (!has_room(config, disk->ide)) {
		say("%s %s: there is room for %d; leave some out",
		    disk->ide ? "IDE disk" : "SCSI disk", disk->path,
		    disk->ide ? CONFIG_IDE_MAX : CONFIG_SCSI_MAX);
		return false;
	}
	config->disks[config->disk_count++] = *disk;
	return true;
}

/* The words stand after the file's name, in any order; a name may have commas of its own. */
static bool set_disk(struct config *config, char *text)
{
	struct config_disk disk = {.path = text};
	bool scsi = false, more = true;

	while (more) {
		more = take_word(text, ",ro");
		disk.read_only |= more;
		if (take_word(text, ",direct")) {
			disk.direct = more = true;
		}
		if (take_word(text, ",raw")) {
			disk.raw = more = true;
		}
		if (take_word(text, ",ide")) {
			disk.ide = more = true;
		}
		if (take_word(text, ",scsi")) {
			scsi = more = true;
		}
	}
	if (*text == '\0' || *text == ',' || (scsi && disk.ide)) {
		say("--disk %s: give FILE, FILE,scsi or FILE,ide, ,ro if it is not to be "
		    "written, ,raw if it is that whatever is in it, ,direct to pass by the host's "
		    "page cache",
		    text);
		return false;
	}
	return add_disk(config, &disk);
}

static bool set_dvd(struct config *config, const char *text)
{
	return add_disk(config,
			&(struct config_disk){.path = text, .dvd = true, .read_only = true});
}

enum option_name {
	NAME,
	KERNEL,
	INITRD,
	APPEND,
	MEMORY,
	VPS,
	SERIAL,
	DISK,
	DVD,
	CONTROL,
	ON_RESET,
	USER,
	DEBUG_EXIT,
	HELP
};

static bool set_option(struct config *config, int name, char *value)
{
	switch (name) {
	case NAME:
		return set_name(config, value);
	case KERNEL:
		config->kernel = value;
		return true;
	case INITRD:
		config->initrd = value;
		return true;
	case APPEND:
		config->append = value;
		return true;
	case MEMORY:
		return set_memory(config, value);
	case VPS:
		return set_vps(config, value);
	case SERIAL:
		return set_serial(config, value);
	case DISK:
		return set_disk(config, value);
	case DVD:
		return set_dvd(config, value);
	case CONTROL:
		config->control = value;
		return true;
	case ON_RESET:
		return set_on_reset(config, value);
	case USER:
		return set_user(config, value);
	case DEBUG_EXIT:
		config->debug_exit = true;
		return true;
	default:
		return false; /* getopt said what is wrong */
	}
}

static bool complete(const struct config *config)
{
	const char *missing = config->name == NULL     ? "--name"
			      : config->kernel == NULL ? "--kernel"
			      : config->memory == 0    ? "--memory"
			      : config->vps == 0       ? "--vps"
						       : NULL;

	if (missing != NULL) {
		say("%s is missing; see vmwp --help", missing);
		return false;
	}
	return true;
}

enum config_result config_parse(struct config *config, int argc, char **argv)
{
	static const struct option options[] = {
		{"name", required_argument, NULL, NAME},
		{"kernel", required_argument, NULL, KERNEL},
		{"initrd", required_argument, NULL, INITRD},
		{"append", required_argument, NULL, APPEND},
		{"memory", required_argument, NULL, MEMORY},
		{"vps", required_argument, NULL, VPS},
		{"serial", required_argument, NULL, SERIAL},
		{"disk", required_argument, NULL, DISK},
		{"dvd", required_argument, NULL, DVD},
		{"control", required_argument, NULL, CONTROL},
		{"on-reset", required_argument, NULL, ON_RESET},
		{"user", required_argument, NULL, USER},
		{"debug-exit", no_argument, NULL, DEBUG_EXIT},
		{"help", no_argument, NULL, HELP},
		{NULL, 0, NULL, 0},
	};
	int name;

	*config = (struct config){.append = "", .serial = SERIAL_STDIO};
	while ((name = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (name == HELP) {
			fputs(help, stdout);
			return CONFIG_HELP;
		}
		if (!set_option(config, name, optarg)) {
			return CONFIG_BAD;
		}
	}
	if (optind < argc) {
		say("%s: not an option; see vmwp --help", argv[optind]);
		return CONFIG_BAD;
	}
	return complete(config) ? CONFIG_OK : CONFIG_BAD;
}

/* What could be had without swapping, in bytes; 0 if the kernel does not say. */
static uint64_t host_available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	if (file == NULL) {
		return 0;
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) {
			break;
		}
	}
	fclose(file);
	return (uint64_t)kib << 10;
}

bool config_fits_host(const struct config *config)
{
	uint64_t available = host_available();

	if (available != 0 && config->memory > available) {
		say("--memory %lluM: this host has %lluM free; give less, or end something that "
		    "uses memory",
		    (unsigned long long)(config->memory / MIB),
		    (unsigned long long)(available / MIB));
		return false;
	}
	return true;
}
