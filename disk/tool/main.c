/* vhd: the command line. */
#include "disk/tool/tool.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { EXIT_USAGE = 2 };

static const struct command {
	const char *name, *alias;
	int (*run)(const struct options *o);
	unsigned least, most; /* names on the command line */
	const char *options;  /* by their letters below; 'h', 'q' and 'L' go with all */
	const char *usage, *help;
} commands[] = {
	/* clang-format off */
	{"new", "create", command_new, 1, 2, "spFDSbfx",
	 "new FILE --size S [--fixed|--dynamic|--parent FILE] [--sector 512|512e|4k] [--block S] [--force]",
	 "Makes an empty disk, or one that holds what differs from its parent."},
	{"info", "get", command_info, 1, 1, "jcf",
	 "info FILE [--json] [--chain]",
	 "Tells what a file says about itself, and with --chain its parents."},
	{"convert", NULL, command_convert, 2, 2, "spFDSbfxi",
	 "convert SRC DST [--from FORMAT] [--format FORMAT] [--size S] [--fixed|--dynamic|--parent FILE] [--sector ...] [--block S] [--force]",
	 "Copies what SRC reads as into the new file DST, or onto a block device."},
	{"resize", NULL, command_resize, 1, 2, "xmf",
	 "resize FILE [+|-]S|--minimum [--force]",
	 "Changes the size of the disk; --minimum: as small as its data allows."},
	{"optimize", "compact", command_optimize, 1, 1, "f",
	 "optimize FILE",
	 "Gives back what is zeros, and makes the file short."},
	{"merge", "commit", command_merge, 1, 1, "nk",
	 "merge FILE [--count N] [--keep]",
	 "Puts a differencing disk's data into its parent."},
	{"rebase", "set", command_rebase, 2, 2, "x",
	 "rebase FILE PARENT [--force]",
	 "Names another place of the parent, or with --force another parent."},
	{"test", "check", command_test, 1, 1, "rjxf",
	 "test FILE [--repair [--force]] [--json]",
	 "Checks a file, and mends it."},
	{"mount", "serve", command_mount, 1, 1, "uNRof",
	 "mount FILE --socket PATH [--name EXPORT] [--read-only] [--once]",
	 "Serves the disk to NBD clients."},
	{"attach", NULL, command_attach, 1, 1, "Rf",
	 "attach FILE [--read-only]",
	 "Makes a block device of the disk, and prints its name."},
	{"detach", NULL, command_detach, 1, 1, "x",
	 "detach DEVICE [--force]",
	 "Takes that away, when all is written to the file."},
	/* clang-format on */
};

static const struct option long_options[] = {
	{"size", required_argument, NULL, 's'},
	{"fixed", no_argument, NULL, 'F'},
	{"dynamic", no_argument, NULL, 'D'},
	{"parent", required_argument, NULL, 'p'},
	{"sector", required_argument, NULL, 'S'},
	{"block", required_argument, NULL, 'b'},
	{"format", required_argument, NULL, 'f'},
	{"from", required_argument, NULL, 'i'},
	{"json", no_argument, NULL, 'j'},
	{"chain", no_argument, NULL, 'c'},
	{"force", no_argument, NULL, 'x'},
	{"minimum", no_argument, NULL, 'm'},
	{"repair", no_argument, NULL, 'r'},
	{"keep", no_argument, NULL, 'k'},
	{"count", required_argument, NULL, 'n'},
	{"socket", required_argument, NULL, 'u'},
	{"name", required_argument, NULL, 'N'},
	{"read-only", no_argument, NULL, 'R'},
	{"no-lock", no_argument, NULL, 'L'},
	{"quiet", no_argument, NULL, 'q'},
	{"once", no_argument, NULL, 'o'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* A digit behind a dash is a number below zero, not an option: its letters take the rest with
 * them. */
static const char short_options[] = "-s:f:h0::1::2::3::4::5::6::7::8::9::";

static int usage(FILE *out)
{
	size_t i;

	fputs("Work with virtual hard disks: VHDX, VHD and raw files.\n\n", out);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		fprintf(out, "  vhd %s\n", commands[i].usage);
	}
	fputs("\nWhere a file's format matters: --format vhdx|vhd|raw (else by the name's "
	      "ending).\n"
	      "Everywhere: --no-lock, --quiet, --help. vhd --version\n"
	      "Sizes: 10G, 512M, 1.5T, or bytes. Manual: man vhd\n",
	      out);
	return out == stdout ? 0 : EXIT_USAGE;
}

static int complain(const char *what, const char *value)
{
	fprintf(stderr, "vhd: %s: %s\n", what, value);
	return -EINVAL;
}

static int take_sector(const char *text, struct options *o)
{
	if (!strcmp(text, "512")) {
		o->sector = o->physical = 512;
	} else if (!strcmp(text, "512e")) {
		o->sector = 512;
		o->physical = 4096;
	} else if (!strcasecmp(text, "4k") || !strcasecmp(text, "4kn") || !strcmp(text, "4096")) {
		o->sector = o->physical = 4096;
	} else {
		return complain("--sector is 512, 512e or 4k", text);
	}
	return 0;
}

static int take_count(const char *text, unsigned *count)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*count = (unsigned)value;
	return *text >= '0' && *text <= '9' && !*end && value && value <= 1000
		       ? 0
		       : complain("not a count", text);
}

static int take_type(enum disk_type type, struct options *o)
{
	if (o->type_given && o->type != type) {
		return complain("a disk is one of them", "--fixed --dynamic");
	}
	o->type = type;
	o->type_given = true;
	return 0;
}

static int take_option(int c, const char *value, struct options *o)
{
	switch (c) {
	case 's':
		return parse_size(value, &o->size) ? complain("not a size", value) : 0;
	case 'b':
		return parse_size(value, &o->block) || o->block > UINT32_MAX
			       ? complain("not a block size", value)
			       : 0;
	case 'S':
		return take_sector(value, o);
	case 'f':
	case 'i':
		return disk_format_by_name(value, c == 'f' ? &o->format : &o->from)
			       ? complain("not a format", value)
			       : 0;
	case 'n':
		return take_count(value, &o->count);
	case 'F':
	case 'D':
		return take_type(c == 'F' ? DISK_FIXED : DISK_DYNAMIC, o);
	case 'p':
		o->parent = value;
		return 0;
	case 'u':
		o->socket = value;
		return 0;
	case 'N':
		o->name = value;
		return 0;
	default:
		break;
	}
	*(c == 'j'   ? &o->json
	  : c == 'c' ? &o->chain
	  : c == 'x' ? &o->force
	  : c == 'm' ? &o->minimum
	  : c == 'r' ? &o->repair
	  : c == 'k' ? &o->keep
	  : c == 'R' ? &o->read_only
	  : c == 'L' ? &o->no_lock
	  : c == 'o' ? &o->once
		     : &o->quiet) = true;
	return 0;
}

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(name, commands[i].name) ||
		    (commands[i].alias && !strcmp(name, commands[i].alias))) {
			return &commands[i];
		}
	}
	return NULL;
}

static int help(const struct command *command)
{
	printf("vhd %s\n\n%s\n", command->usage, command->help);
	if (command->alias) {
		printf("Also known as vhd %s.\n", command->alias);
	}
	return 0;
}

static int take_name(const struct command *command, const char *name, struct options *o)
{
	if (o->file_count == command->most) {
		return complain("one argument too many", name);
	}
	o->files[o->file_count++] = name;
	return 0;
}

static int refuse_option(const struct command *command, int c)
{
	const struct option *option = long_options;

	while (option->val != c) {
		option++;
	}
	fprintf(stderr, "vhd: --%s does not belong to %s; vhd %s --help\n", option->name,
		command->name, command->name);
	return -EINVAL;
}

static int take_argument(const struct command *command, int c, char **argv, struct options *o)
{
	if (c == '?') {
		return -EINVAL;
	}
	if (c == 1) {
		return take_name(command, optarg, o);
	}
	if (c >= '0' && c <= '9') {
		return take_name(command, argv[optind - 1], o);
	}
	if (!strchr(command->options, c) && !strchr("qL", c)) {
		return refuse_option(command, c);
	}
	return take_option(c, optarg, o);
}

int main(int argc, char **argv)
{
	struct options o = {.count = 1, .type = DISK_DYNAMIC};
	const struct command *command;
	int c;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help")) {
		command = argc > 2 ? find_command(argv[2]) : NULL;
		return command ? help(command) : usage(argc < 2 ? stderr : stdout);
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("vhd %s (Verdigris)\n", DISK_VERSION);
		return 0;
	}
	command = find_command(argv[1]);
	if (!command) {
		complain("no such command; vhd --help lists them", argv[1]);
		return EXIT_USAGE;
	}
	optind = 2;
	while ((c = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		if (c == 'h') {
			return help(command);
		}
		if (take_argument(command, c, argv, &o)) {
			return EXIT_USAGE;
		}
	}
	for (; optind < argc; optind++) { /* behind -- */
		if (take_name(command, argv[optind], &o)) {
			return EXIT_USAGE;
		}
	}
	if (o.file_count < command->least) {
		fprintf(stderr, "usage: vhd %s\n", command->usage);
		return EXIT_USAGE;
	}
	return command->run(&o);
}
