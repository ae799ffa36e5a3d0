/*
 * vhd: what each command does. Exit status: 0 done, 1 failed, 3 vhd test found damage, 4 leaks
 * only.
 */
#include "disk/tool/tool.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static int failed(const struct disk_error *error)
{
	progress_end();
	fprintf(stderr, "vhd: %s\n", error->text);
	return 1;
}

static int wrong_usage(const char *what, const char *value)
{
	fprintf(stderr, "vhd: %s%s\n", what, value);
	return 2;
}

int parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "bkmgt";
	size_t digits = strspn(text, "0123456789.");
	const char *unit = text[digits] ? strchr(units, text[digits] | 0x20) : units;
	unsigned power = unit ? (unsigned)(unit - units) : 0;
	char *end;
	double value = strtod(text, &end);

	/* strtod knows more kinds of numbers than a size has. */
	if (!digits || end != text + digits || !unit ||
	    (*end && end[1] && strcmp(end + 1, "B") && strcmp(end + 1, "iB"))) {
		return -EINVAL;
	}
	while (power--) {
		value *= 1024;
	}
	if (value > 1e18) {
		return -EINVAL;
	}
	*size = (uint64_t)value;
	return 0;
}

static unsigned open_flags(const struct options *o)
{
	return o->no_lock ? DISK_NO_LOCK : 0;
}

static int open_disk(const struct options *o, const char *path, unsigned flags, struct disk **disk,
		     struct disk_error *error)
{
	struct disk_open how = {.format = o->format, .flags = flags | open_flags(o)};

	return disk_open(path, &how, disk, error);
}

static struct disk_create creation(const struct options *o)
{
	return (struct disk_create){
		.format = o->format,
		.type = o->parent != NULL ? DISK_DIFFERENCING : o->type,
		.size = o->size,
		.block_size = (uint32_t)o->block,
		.sector_size = o->sector,
		.physical_size = o->physical,
		.parent = o->parent,
		.replace = o->force,
		.no_lock = o->no_lock,
	};
}

int command_new(const struct options *given)
{
	struct options o = *given;
	struct disk_create how;
	struct disk_error error;

	if (o.file_count == 2 && o.size) {
		return wrong_usage("new: two sizes: ", o.files[1]);
	}
	if (o.file_count == 2 && parse_size(o.files[1], &o.size)) {
		return wrong_usage("not a size: ", o.files[1]);
	}
	if (!o.size && !o.parent) {
		return wrong_usage("new: give a --size (or a --parent)", "");
	}
	if (o.parent && o.type_given) {
		return wrong_usage("new: a disk with a --parent is neither fixed nor dynamic", "");
	}
	how = creation(&o);
	return disk_create(o.files[0], &how, &error) ? failed(&error) : 0;
}

int command_info(const struct options *o)
{
	unsigned flags = DISK_READ_ONLY | (o->chain ? 0 : DISK_NO_PARENT);
	struct disk *disk;
	struct disk_error error;
	int ret;

	if (open_disk(o, o->files[0], flags, &disk, &error)) {
		return failed(&error);
	}
	ret = disk_print_info(disk, stdout, o->json, o->chain);
	disk_close(&disk, NULL);
	return ret ? 1 : 0;
}

int command_convert(const struct options *o)
{
	struct disk_create how = creation(o);
	struct disk_error error;
	struct disk *disk;
	struct options source = *o;
	int ret;

	if (o->parent && o->type_given) {
		return wrong_usage("convert: a disk with a --parent is neither fixed nor dynamic",
				   "");
	}
	source.format = o->from; /* --format is the new file's */
	if (open_disk(&source, o->files[0], DISK_READ_ONLY, &disk, &error)) {
		return failed(&error);
	}
	ret = disk_convert(disk, o->files[1], &how, progress_stoppable("converting", o->quiet),
			   &error);
	disk_close(&disk, NULL);
	progress_end();
	return ret ? failed(&error) : 0;
}

/* +S and -S are relative. Returns 0 or the exit status. */
static int new_size(const struct options *o, const char *text, uint64_t old, uint64_t *size)
{
	char sign = *text == '+' || *text == '-' ? *text : 0;

	if (parse_size(text + !!sign, size)) {
		return wrong_usage("not a size: ", text);
	}
	if (sign == '-' && *size >= old) {
		fprintf(stderr, "vhd: %s: has %llu bytes, so it cannot be smaller by %s\n",
			o->files[0], (unsigned long long)old, text + 1);
		return 1;
	}
	*size = sign == '+' ? old + *size : sign == '-' ? old - *size : *size;
	return 0;
}

static int resize_open(const struct options *o, struct disk *disk)
{
	struct disk_error error;
	uint64_t size;
	int status = 0;

	if (o->minimum) {
		if (disk_minimum_size(disk, &size, &error)) {
			return failed(&error);
		}
	} else {
		status = new_size(o, o->files[1], disk_size(disk), &size);
	}
	if (!status && disk_resize(disk, size, o->force, &error)) {
		status = failed(&error);
	}
	if (!status && o->minimum && !o->quiet) {
		printf("%llu\n", (unsigned long long)size);
	}
	return status;
}

int command_resize(const struct options *o)
{
	struct disk *disk;
	struct disk_error error;
	int status;

	if (o->minimum == (o->file_count == 2)) {
		return wrong_usage("resize: give a size, or --minimum", "");
	}
	if (open_disk(o, o->files[0], 0, &disk, &error)) {
		return failed(&error);
	}
	status = resize_open(o, disk);
	if (disk_close(&disk, &error) && !status) {
		status = failed(&error);
	}
	return status;
}

int command_optimize(const struct options *o)
{
	struct disk *disk;
	struct disk_error error;
	int ret;

	if (open_disk(o, o->files[0], 0, &disk, &error)) {
		return failed(&error);
	}
	ret = disk_compact(disk, progress_start("optimizing", o->quiet), &error);
	progress_end();
	if (ret) {
		disk_close(&disk, NULL);
		return failed(&error);
	}
	return disk_close(&disk, &error) ? failed(&error) : 0;
}

int command_merge(const struct options *o)
{
	struct disk_error error;
	int ret = disk_merge(o->files[0], o->count, !o->keep, open_flags(o),
			     progress_start("merging", o->quiet), &error);

	progress_end();
	return ret ? failed(&error) : 0;
}

int command_rebase(const struct options *o)
{
	struct disk_error error;
	unsigned flags = open_flags(o) | (o->force ? DISK_STALE_PARENT : 0);

	return disk_rebase(o->files[0], o->files[1], flags, &error) ? failed(&error) : 0;
}

static const char *const severity_names[] = {"note", "leak", "damage"};

static void print_report(const struct disk_report *report, bool done)
{
	unsigned i;

	for (i = 0; i < report->count; i++) {
		const struct disk_finding *finding = &report->findings[i];

		printf("%s: %s%s\n", severity_names[finding->severity], finding->text,
		       finding->repaired ? " (repaired)" : "");
	}
	if (report->count < report->notes + report->leaks + report->damages) {
		printf("... and %u more\n",
		       report->notes + report->leaks + report->damages - report->count);
	}
	if (!report->damages) {
		printf("No damage found.\n");
	}
	if (report->saved) {
		printf("%u entries %s. What the file had of them, what nothing in it used, and "
		       "the table as it was are in %s, at the same places.\n",
		       report->dropped,
		       done ? "were dropped: their blocks are lost to the disk"
			    : "were to be dropped, and some of them may be",
		       report->saved);
	}
}

static void print_json_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			printf("\\%c", c);
		} else if (c < 0x20) {
			printf("\\u%04x", c);
		} else {
			putchar(c);
		}
	}
	putchar('"');
}

static void print_report_json(const struct disk_report *report)
{
	unsigned i;

	printf("{\n  \"damages\": %u,\n  \"leaks\": %u,\n  \"notes\": %u,\n  \"repaired\": %u,\n"
	       "  \"dropped\": %u,\n  \"saved\": ",
	       report->damages, report->leaks, report->notes, report->repaired, report->dropped);
	if (report->saved) {
		print_json_text(report->saved);
	} else {
		printf("null");
	}
	printf(",\n  \"findings\": [");
	for (i = 0; i < report->count; i++) {
		const struct disk_finding *finding = &report->findings[i];

		printf("%s\n    {\"severity\": \"%s\", \"repaired\": %s, \"text\": ", i ? "," : "",
		       severity_names[finding->severity], finding->repaired ? "true" : "false");
		print_json_text(finding->text);
		putchar('}');
	}
	printf("%s]\n}\n", report->count ? "\n  " : "");
}

/* Damage that repair has mended without loss is none any more. */
static int status_of(const struct disk_report *report, bool repair)
{
	return report->dropped || (report->damages && !repair) ? 3 : report->leaks ? 4 : 0;
}

int command_test(const struct options *o)
{
	unsigned flags =
		open_flags(o) | (o->repair ? DISK_REPAIR : 0) | (o->force ? DISK_REPAIR_DROP : 0);
	struct disk_report report;
	struct disk_error error;
	int ret, status;

	if (o->force && !o->repair) {
		return wrong_usage("test: --force goes with --repair", "");
	}
	ret = disk_check(o->files[0], o->format, flags, &report, &error);
	if (!ret || report.count) {
		if (o->json) {
			print_report_json(&report);
		} else {
			print_report(&report, !ret);
		}
	}
	status = status_of(&report, o->repair);
	if (ret) {
		fflush(stdout);
		failed(&error);
		status = report.damages ? 3 : 1;
	}
	disk_report_free(&report);
	return status;
}

static volatile bool stop_serving;

static void on_signal(int number)
{
	(void)number;
	stop_serving = true;
}

int command_mount(const struct options *o)
{
	struct disk_nbd how = {.socket_path = o->socket,
			       .export_name = o->name,
			       .once = o->once,
			       .stop = &stop_serving};
	struct sigaction action = {.sa_handler = on_signal};
	struct disk *disk;
	struct disk_error error;
	int ret;

	if (o->socket == NULL) {
		return wrong_usage("mount: give a --socket PATH for the clients", "");
	}
	if (open_disk(o, o->files[0], o->read_only ? DISK_READ_ONLY : 0, &disk, &error)) {
		return failed(&error);
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	ret = disk_nbd_serve(disk, &how, &error);
	if (ret) {
		disk_close(&disk, NULL);
		return failed(&error);
	}
	return disk_close(&disk, &error) ? failed(&error) : 0;
}

int command_attach(const struct options *o)
{
	struct disk *disk;
	struct disk_error error;

	if (open_disk(o, o->files[0], o->read_only ? DISK_READ_ONLY : 0, &disk, &error)) {
		return failed(&error);
	}
	return attach(disk, o->files[0]);
}

int command_detach(const struct options *o)
{
	return detach(o->files[0], o->force);
}
