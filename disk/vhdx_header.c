/* VHDX: the file's identifier, its two headers and its two region tables (MS-VHDX 2.2). */
#include "disk/vhdx.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct guid vhdx_bat_region = {{0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64,
				      0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08}};
const struct guid vhdx_metadata_region = {{0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8,
					   0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e}};

static const uint64_t header_offset[2] = {VHDX_HEADER_1, VHDX_HEADER_2};
static const uint64_t regions_offset[2] = {VHDX_REGIONS_1, VHDX_REGIONS_2};

/* The checksum at byte 4 counts as zero in itself. */
static uint32_t checksum(const void *data, size_t length)
{
	static const uint8_t zeros[4];
	uint32_t crc = crc32c(0, data, 4);

	crc = crc32c(crc, zeros, 4);
	return crc32c(crc, (const uint8_t *)data + 8, length - 8);
}

void vhdx_seal_header(struct vhdx_header *header)
{
	header->checksum = checksum(header, sizeof(*header));
}

void vhdx_seal_regions(struct vhdx_regions *regions)
{
	regions->checksum = checksum(regions, sizeof(*regions));
}

static bool header_is_valid(const struct vhdx_header *header)
{
	return header->signature == VHDX_HEADER_SIGNATURE &&
	       header->checksum == checksum(header, sizeof(*header));
}

static int check_header(struct layer *layer, const struct vhdx_header *h, struct disk_error *error)
{
	const char *path = layer->file.path;

	if (h->version != 1) {
		return error_set(error, -EOPNOTSUPP,
				 "%s: VHDX version %u is not known; version 1 is", path,
				 h->version);
	}
	/* A log that is not in use may be of any version: nobody reads it. */
	if (h->log_version != 0 && !guid_is_zero(&h->log)) {
		return error_set(error, -EOPNOTSUPP,
				 "%s: its log has the unknown version %u; let the program that "
				 "wrote it close it",
				 path, h->log_version);
	}
	if (h->log_length % DISK_MIB || !h->log_length || h->log_length > VHDX_LOG_MAX ||
	    h->log_offset % DISK_MIB || h->log_offset < VHDX_HEADER_AREA ||
	    h->log_offset > VHDX_FILE_MAX) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: the header places the log at %llu, %u bytes long",
				 path, (unsigned long long)h->log_offset, h->log_length);
	}
	return 0;
}

int vhdx_read_headers(struct layer *layer, struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	struct vhdx_header headers[2];
	bool valid[2];
	unsigned i;

	/* One may be half written, which is what the other is there for; a file that ends before it
	 * has none. */
	for (i = 0; i < 2; i++) {
		int ret =
			file_read(&layer->file, &headers[i], sizeof(headers[i]), header_offset[i]);

		if (ret && ret != -ENODATA) {
			return error_set(error, ret, "%s: reading a header: %s", layer->file.path,
					 strerror(-ret));
		}
		valid[i] = !ret && header_is_valid(&headers[i]);
	}
	if (!valid[0] && !valid[1]) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: both VHDX headers are unreadable; restore a copy",
				 layer->file.path);
	}
	/* The same number in both means the same content; else nobody can say which is the
	 * younger. */
	if (valid[0] && valid[1] && headers[0].sequence == headers[1].sequence &&
	    memcmp(&headers[0], &headers[1], sizeof(headers[0]))) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: the two VHDX headers contradict each other",
				 layer->file.path);
	}
	/* The younger of those that are whole. */
	v->slot = valid[1] && (!valid[0] || headers[1].sequence > headers[0].sequence);
	v->header = headers[v->slot];
	if ((!valid[0] || !valid[1]) && layer->report != NULL) {
		report_add(layer->report, DISK_DAMAGE, layer->writable,
			   "one of the two headers is unreadable");
	}
	return check_header(layer, &v->header, error);
}

static int vhdx_write_header(struct layer *layer)
{
	struct vhdx *v = layer->vhdx;
	int ret;

	v->header.sequence++;
	vhdx_seal_header(&v->header);
	/* Never over the current one (invariant 11): a cut in here leaves that as it was. */
	ret = file_write(&layer->file, &v->header, sizeof(v->header), header_offset[!v->slot]);
	if (!ret) {
		ret = file_sync(&layer->file);
	}
	if (!ret) {
		v->slot = !v->slot;
	}
	return ret;
}

/* Twice, so that both slots say the same and either may break. */
int vhdx_write_headers(struct layer *layer)
{
	int ret = vhdx_write_header(layer);

	return ret ? ret : vhdx_write_header(layer);
}

static bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a < b + b_length && b < a + a_length;
}

/* Places a region must not touch: the header area, the log, the other regions. */
static int check_region(struct layer *layer, const struct vhdx_regions *table, unsigned index,
			struct disk_error *error)
{
	const struct vhdx_region *region = &table->regions[index];
	const struct vhdx_header *h = &layer->vhdx->header;
	unsigned i;
	bool bad = region->offset < VHDX_HEADER_AREA || region->offset % DISK_MIB ||
		   region->offset > VHDX_FILE_MAX || !region->length || region->length % DISK_MIB ||
		   overlap(region->offset, region->length, h->log_offset, h->log_length);

	/* Quadratic, in 2,047 entries at most. */
	for (i = 0; i < index && !bad; i++) {
		const struct vhdx_region *other = &table->regions[i];

		bad = !memcmp(&other->guid, &region->guid, sizeof(region->guid)) ||
		      overlap(region->offset, region->length, other->offset, other->length);
	}
	return bad ? error_set(error, -EUCLEAN,
			       "%s: damaged: region %u of the region table lies where it cannot",
			       layer->file.path, index)
		   : 0;
}

static int take_regions(struct layer *layer, const struct vhdx_regions *table,
			struct disk_error *error)
{
	struct vhdx *v = layer->vhdx;
	unsigned i;
	int ret;

	for (i = 0; i < table->count; i++) {
		const struct vhdx_region *region = &table->regions[i];

		ret = check_region(layer, table, i, error);
		if (ret) {
			return ret;
		}
		if (!memcmp(&region->guid, &vhdx_bat_region, sizeof(region->guid))) {
			v->bat_offset = region->offset;
			v->bat_length = region->length;
		} else if (!memcmp(&region->guid, &vhdx_metadata_region, sizeof(region->guid))) {
			v->metadata_offset = region->offset;
			v->metadata_length = region->length;
			/* What is not required may be ignored, but it keeps its place: nothing is
			 * put over it. */
		} else if (region->required & 1) {
			return error_set(error, -EOPNOTSUPP,
					 "%s: needs a feature of VHDX that is not known here",
					 layer->file.path);
		}
	}
	if (!v->bat_offset || !v->metadata_offset) {
		return error_set(error, -EUCLEAN, "%s: damaged: the region table has no %s",
				 layer->file.path, v->bat_offset ? "metadata" : "block table");
	}
	return 0;
}

int vhdx_read_regions(struct layer *layer, struct disk_error *error)
{
	struct vhdx_regions *table = malloc(sizeof(*table));
	unsigned i, valid = 0;
	int ret = table != NULL ? 0 : -ENOMEM, taken = -1;

	for (i = 0; i < 2 && !ret && (taken < 0 || layer->report != NULL);
	     i++) { /* a check looks at the second one as well */
		ret = vhdx_read_table(layer, table, sizeof(*table), regions_offset[i]);
		if (ret == -ENODATA ||
		    (!ret && (table->signature != VHDX_REGIONS_SIGNATURE ||
			      table->count > VHDX_REGIONS_COUNT ||
			      table->checksum != checksum(table, sizeof(*table))))) {
			ret = 0;
			continue;
		}
		valid++;
		if (!ret && taken < 0) {
			taken = take_regions(layer, table, error);
		}
	}
	free(table);
	if (ret) {
		return error_set(error, ret, "%s: reading the region table: %s", layer->file.path,
				 strerror(-ret));
	}
	if (!valid) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: both region tables are unreadable; restore a copy",
				 layer->file.path);
	}
	if (valid == 1 && layer->report != NULL) {
		report_add(layer->report, DISK_DAMAGE, layer->writable,
			   "one of the two region tables is unreadable");
	}
	return taken;
}
