/* What a file says about itself, as a structure, text or JSON. */
#include "disk/chain.h"
#include "disk/disk.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"

#include <errno.h>
#include <string.h>

static const char *const type_names[] = {"fixed", "dynamic", "differencing"};

int disk_get_info(struct disk *disk, unsigned index, struct disk_info *info)
{
	struct layer *layer;

	if (index >= disk->layer_count) {
		return -ERANGE;
	}
	layer = disk->layers[index];
	*info = (struct disk_info){
		.path = layer->file.path,
		.format = layer->format->id,
		.type = layer->type,
		.size = layer->size,
		.file_size = layer->file.size,
		.allocated = file_allocated(&layer->file),
		.block_size = layer->block_size,
		.sector_size = layer->sector_size,
		.physical_size = layer->physical_size,
	};
	if (layer->type == DISK_DIFFERENCING) {
		memcpy(info->parent_id, layer->parent_id, sizeof(info->parent_id));
		/* The first that the file has: it is tried first as well. */
		snprintf(info->parent, sizeof(info->parent), "%s",
			 layer->parent_path != NULL     ? layer->parent_path
			 : layer->parent_path_2 != NULL ? layer->parent_path_2
							: "");
	}
	/* What only one format has. The rest stays zero or empty, and is not printed. */
	layer->format->info(layer, info);
	return 0;
}

static void print_size(FILE *out, const char *label, uint64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	fprintf(out, "%-15s", label);
	if (unit) {
		fprintf(out, "%.4g %s (%llu bytes)\n", value, units[unit],
			(unsigned long long)bytes);
	} else {
		fprintf(out, "%llu bytes\n", (unsigned long long)bytes);
	}
}

static void print_word(FILE *out, const char *label, const char *value)
{
	if (value[0]) {
		fprintf(out, "%-15s", label);
		for (; *value; value++) { /* a file's text does not command the terminal */
			fputc((unsigned char)*value < 0x20 || *value == 0x7f ? '?' : *value, out);
		}
		fputc('\n', out);
	}
}

static void print_text(FILE *out, const struct disk_info *i)
{
	print_word(out, "file:", i->path);
	fprintf(out, "%-15s%s, %s\n", "format:", disk_format_name(i->format), type_names[i->type]);
	print_size(out, "disk size:", i->size);
	print_size(out, "file size:", i->file_size);
	print_size(out, "on this host:", i->allocated);
	fprintf(out, "%-15s%u logical, %u physical\n", "sectors:", i->sector_size,
		i->physical_size);
	/* Only formats with blocks have these, and only a VHD has a geometry. */
	if (i->block_size) {
		print_size(out, "block size:", i->block_size);
		fprintf(out, "%-15s%llu of %llu\n",
			"blocks:", (unsigned long long)i->blocks_present,
			(unsigned long long)i->blocks);
	}
	if (i->cylinders) {
		fprintf(out, "%-15s%u/%u/%u\n", "CHS:", i->cylinders, i->heads,
			i->sectors_per_track);
	}
	print_word(out, "identity:", i->id);
	print_word(out, "data version:", i->write_id);
	print_word(out, "parent:", i->parent);
	print_word(out, "its identity:", i->parent_id);
	print_word(out, "creator:", i->creator);
	if (i->log_pending) {
		print_word(out, "state:", "not closed properly; the log will be replayed");
	}
}

/* Of JSON (RFC 8259): paths are bytes to us, and go out as they are. */
static void print_string(FILE *out, const char *name, const char *value)
{
	fprintf(out, ",\n    \"%s\": \"", name);
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if (c == '"' || c == '\\') {
			fprintf(out, "\\%c", c);
		} else if (c < 0x20) {
			fprintf(out, "\\u%04x", c);
		} else {
			fputc(c, out);
		}
	}
	fputc('"', out);
}

static void print_number(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, ",\n    \"%s\": %llu", name, (unsigned long long)value);
}

/* The names that qemu-img info has too are qemu-img's, so that scripts find them. */
static void print_json(FILE *out, const struct disk_info *i)
{
	fprintf(out, "  {\n    \"format\": \"%s\"", disk_format_name(i->format));
	print_string(out, "type", type_names[i->type]);
	print_string(out, "filename", i->path);
	print_number(out, "virtual-size", i->size);
	print_number(out, "file-size", i->file_size);
	print_number(out, "actual-size", i->allocated);
	print_number(out, "logical-sector-size", i->sector_size);
	print_number(out, "physical-sector-size", i->physical_size);
	print_number(out, "block-size", i->block_size);
	print_number(out, "blocks", i->blocks);
	print_number(out, "blocks-present", i->blocks_present);
	if (i->cylinders) {
		fprintf(out, ",\n    \"chs\": [%u, %u, %u]", i->cylinders, i->heads,
			i->sectors_per_track);
	}
	print_string(out, "identity", i->id);
	print_string(out, "data-write-identity", i->write_id);
	print_string(out, "parent", i->parent);
	print_string(out, "parent-identity", i->parent_id);
	print_string(out, "creator", i->creator);
	fprintf(out, ",\n    \"log-pending\": %s\n  }", i->log_pending ? "true" : "false");
}

/* JSON is a list with --chain, else one object. */
int disk_print_info(struct disk *disk, FILE *out, bool json, bool chain)
{
	unsigned count = chain ? disk->layer_count : 1, i;

	if (json && chain) {
		fputs("[\n", out);
	}
	for (i = 0; i < count; i++) {
		struct disk_info info;

		disk_get_info(disk, i, &info);
		if (json) {
			print_json(out, &info);
			fputs(i + 1 < count ? ",\n" : "\n", out);
		} else {
			fputs(i ? "\n" : "", out);
			print_text(out, &info);
		}
	}
	if (json && chain) {
		fputs("]\n", out);
	}
	return ferror(out) ? -EIO : 0;
}
