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

int parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "bkmgt";
	char *end;
	double value = strtod(text, &end);
	const char *unit = *end ? strchr(units, *end | 0x20) : units;
	unsigned power = unit != NULL ? (unsigned)(unit - units) : 0;

	if (end == text || unit == NULL || value < 0 ||
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
	};
}

int command_new(const struct options *given)
{
	struct options o = *given;
	struct disk_create how;
	struct disk_error error;

	if (o.file_count == 2 && parse_size(o.files[1], &o.size)) {
		fprintf(stderr, "vhd: not a size: %s\n", o.files[1]);
		return 2;
	}
	if (!o.size && o.parent == NULL) {
		fprintf(stderr, "vhd: new: give a --size (or a --parent)\n");
		return 2;
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

	source.format = DISK_FORMAT_AUTO; /* --format is the new file's */
	if (open_disk(&source, o->files[0], DISK_READ_ONLY, &disk, &error)) {
		return failed(&error);
	}
	ret = disk_convert(disk, o->files[1], &how, progress_start("converting", o->quiet), &error);
	disk_close(&disk, NULL);
	progress_end();
	return ret ? failed(&error) : 0;
}

/* +S and -S are relative, as qemu-img has it. */
static int new_size(const char *text, uint64_t old, uint64_t *size)
{
	char sign = *text == '+' || *text == '-' ? *text : 0;

	if (parse_size(text + !!sign, size)) {
		return -EINVAL;
	}
	if (sign == '+') {
		*size += old;
	} else if (sign == '-') {
		*size = *size < old ? old - *size : 0;
	}
	return 0;
}

int command_resize(const struct options *o)
{
	struct disk *disk;
	struct disk_error error;
	uint64_t size;
	int ret;

	if (open_disk(o, o->files[0], 0, &disk, &error)) {
		return failed(&error);
	}
	if (new_size(o->files[1], disk_size(disk), &size)) {
		fprintf(stderr, "vhd: not a size: %s\n", o->files[1]);
		disk_close(&disk, NULL);
		return 2;
	}
	ret = disk_resize(disk, size, o->force, &error);
	if (ret) {
		disk_close(&disk, NULL);
		return failed(&error);
	}
	return disk_close(&disk, &error) ? failed(&error) : 0;
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
	int ret = disk_merge(o->files[0], o->count, !o->keep, progress_start("merging", o->quiet),
			     &error);

	progress_end();
	return ret ? failed(&error) : 0;
}

int command_rebase(const struct options *o)
{
	struct disk_error error;

	return disk_rebase(o->files[0], o->files[1], o->force, &error) ? failed(&error) : 0;
}

static void print_report(const struct disk_report *report, bool json)
{
	static const char *const names[] = {"note", "leak", "damage"};
	unsigned i;

	if (json) {
		printf("{\"damages\": %u, \"leaks\": %u, \"notes\": %u, \"repaired\": %u}\n",
		       report->damages, report->leaks, report->notes, report->repaired);
		return;
	}
	for (i = 0; i < report->count; i++) {
		printf("%s: %s%s\n", names[report->findings[i].severity], report->findings[i].text,
		       report->findings[i].repaired ? " (repaired)" : "");
	}
	if (!report->damages) {
		printf("No damage found.\n");
	}
}

int command_test(const struct options *o)
{
	struct disk_report report;
	struct disk_error error;
	bool damaged, leaks;

	if (disk_check(o->files[0], o->format, o->repair, &report, &error)) {
		disk_report_free(&report);
		return failed(&error);
	}
	print_report(&report, o->json);
	damaged = report.damages && !o->repair;
	leaks = report.leaks;
	disk_report_free(&report);
	return damaged ? 3 : leaks ? 4 : 0;
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
		fprintf(stderr, "vhd: mount: give a --socket PATH for the clients\n");
		return 2;
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
