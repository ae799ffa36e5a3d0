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
	const char *usage;
} commands[] = {
	{"new", "create", command_new, 1, 2,
	 "new FILE --size S [--fixed|--dynamic|--parent FILE] [--sector 512|512e|4k] [--block S] "
	 "[--force]"},
	{"info", "get", command_info, 1, 1, "info FILE [--json] [--chain]"},
	{"convert", NULL, command_convert, 2, 2,
	 "convert SRC DST [--fixed|--dynamic|--parent FILE] [--sector ...] [--block S] [--force]"},
	{"resize", NULL, command_resize, 2, 2, "resize FILE [+|-]S [--force]"},
	{"optimize", "compact", command_optimize, 1, 1, "optimize FILE"},
	{"merge", "commit", command_merge, 1, 1, "merge FILE [--count N] [--keep]"},
	{"rebase", "set", command_rebase, 2, 2, "rebase FILE PARENT [--force]"},
	{"test", "check", command_test, 1, 1, "test FILE [--repair] [--json]"},
	{"mount", "serve", command_mount, 1, 1,
	 "mount FILE --socket PATH [--name EXPORT] [--read-only] [--once]"},
};

static const struct option long_options[] = {
	{"size", required_argument, NULL, 's'},
	{"fixed", no_argument, NULL, 'F'},
	{"dynamic", no_argument, NULL, 'D'},
	{"parent", required_argument, NULL, 'p'},
	{"sector", required_argument, NULL, 'S'},
	{"block", required_argument, NULL, 'b'},
	{"format", required_argument, NULL, 'f'},
	{"json", no_argument, NULL, 'j'},
	{"chain", no_argument, NULL, 'c'},
	{"force", no_argument, NULL, 'x'},
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

static int usage(FILE *out)
{
	size_t i;

	fputs("Work with virtual hard disks: VHDX, VHD and raw files.\n\n", out);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		fprintf(out, "  vhd %s\n", commands[i].usage);
	}
	fputs("\nEverywhere: --format vhdx|vhd|raw (else by the name's ending), --no-lock, "
	      "--quiet.\n"
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
		return disk_format_by_name(value, &o->format) ? complain("not a format", value) : 0;
	case 'n':
		o->count = (unsigned)strtoul(value, NULL, 10);
		return o->count ? 0 : complain("not a count", value);
	case 'F':
	case 'D':
		o->type = c == 'F' ? DISK_FIXED : DISK_DYNAMIC;
		o->type_given = true;
		return 0;
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
		    (commands[i].alias != NULL && !strcmp(name, commands[i].alias))) {
			return &commands[i];
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct options o = {.count = 1, .type = DISK_DYNAMIC};
	const struct command *command;
	int c;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		return usage(argc < 2 ? stderr : stdout);
	}
	command = find_command(argv[1]);
	if (command == NULL) {
		complain("no such command; vhd --help lists them", argv[1]);
		return EXIT_USAGE;
	}
	optind = 2;
	while ((c = getopt_long(argc, argv, "-s:f:h", long_options, NULL)) != -1) {
		if (c == 'h') {
			printf("vhd %s\n", command->usage);
			return 0;
		}
		if (c == '?' || (c != 1 && take_option(c, optarg, &o))) {
			return EXIT_USAGE;
		}
		if (c == 1) {
			if (o.file_count == command->most) {
				complain("one argument too many", optarg);
				return EXIT_USAGE;
			}
			o.files[o.file_count++] = optarg;
		}
	}
	for (; optind < argc && o.file_count < command->most; optind++) { /* behind -- */
		o.files[o.file_count++] = argv[optind];
	}
	if (o.file_count < command->least) {
		fprintf(stderr, "usage: vhd %s\n", command->usage);
		return EXIT_USAGE;
	}
	return command->run(&o);
}
