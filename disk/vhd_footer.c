/* VHD: the footer and its copy, the dynamic header, the parent locators. */
#include "disk/vhd.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/layer.h"
#include "disk/units.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

static uint32_t checksum(const void *data, size_t length, size_t skip)
{
	const uint8_t *p = data;
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i < length; i++) {
		sum += i >= skip && i < skip + 4 ? 0 : p[i];
	}
	return ~sum;
}

void vhd_seal_footer(struct vhd_footer *footer)
{
	footer->checksum =
		htobe32(checksum(footer, sizeof(*footer), offsetof(struct vhd_footer, checksum)));
}

void vhd_seal_header(struct vhd_header *header)
{
	header->checksum =
		htobe32(checksum(header, sizeof(*header), offsetof(struct vhd_header, checksum)));
}

static bool footer_is_valid(const struct vhd_footer *f)
{
	return !memcmp(f->cookie, "conectix", 8) &&
	       be32toh(f->checksum) ==
		       checksum(f, sizeof(*f), offsetof(struct vhd_footer, checksum));
}

/* VHD specification, appendix: CHS calculation. */
void vhd_set_geometry(struct vhd_footer *footer, uint64_t size)
{
	uint64_t sectors = min_u64(size / VHD_SECTOR, 65535ull * 16 * 255), per_track, heads,
		 tracks;

	if (sectors >= 65535ull * 16 * 63) {
		per_track = 255;
		heads = 16;
	} else {
		per_track = 17;
		tracks = sectors / per_track;
		heads = max_u64((tracks + 1023) / 1024, 4);
		if (tracks >= heads * 1024 || heads > 16) {
			per_track = 31;
			heads = 16;
			tracks = sectors / per_track;
		}
		if (tracks >= heads * 1024) {
			per_track = 63;
			heads = 16;
		}
	}
	footer->cylinders = htobe16((uint16_t)(sectors / per_track / heads));
	footer->heads = (uint8_t)heads;
	footer->sectors = (uint8_t)per_track;
}

/*
 * The creator is Hyper-V's "win ": it is how other programs (QEMU, libvhdi) know that the size
 * field counts and not the geometry, which cannot express most sizes.
 */
void vhd_make_footer(struct vhd_footer *footer, enum vhd_type type, const struct create_plan *plan)
{
	uint64_t size = plan->how.size;
	struct guid id;

	memset(footer, 0, sizeof(*footer));
	memcpy(footer->cookie, "conectix", 8);
	footer->features = htobe32(2);
	footer->version = htobe32(0x10000);
	footer->data_offset = htobe64(type == VHD_FIXED ? UINT64_MAX : sizeof(*footer));
	footer->timestamp = htobe32((uint32_t)((uint64_t)time(NULL) - VHD_EPOCH));
	memcpy(footer->creator, "win ", 4);
	footer->creator_version = htobe32(0x000a0000);
	memcpy(footer->creator_os, "Wi2k", 4);
	footer->original_size = footer->current_size = htobe64(size);
	vhd_set_geometry(footer, size);
	footer->type = htobe32(type);
	guid_random(&id);
	if (plan->how.id == NULL || guid_parse_be(plan->how.id, footer->id) != 0) {
		memcpy(footer->id, id.bytes, 16);
	}
	vhd_seal_footer(footer);
}

static int check_footer(struct layer *layer, const struct vhd_footer *f, struct disk_error *error)
{
	uint32_t type = be32toh(f->type);
	uint64_t size = be64toh(f->current_size);
	const char *path = layer->file.path;

	if (be32toh(f->version) >> 16 != 1) {
		return error_set(error, -EOPNOTSUPP,
				 "%s: VHD version %u is not known; version 1 is", path,
				 be32toh(f->version) >> 16);
	}
	if (type < VHD_FIXED || type > VHD_DIFFERENCING) {
		return error_set(error, -EOPNOTSUPP, "%s: VHD type %u is not known", path, type);
	}
	if (f->saved_state > 1) {
		return error_set(error, -EUCLEAN, "%s: damaged: the footer's saved state is %u",
				 path, f->saved_state);
	}
	if (!size || size % VHD_SECTOR || size > VHD_SIZE_MAX) {
		return error_set(error, -EUCLEAN, "%s: damaged: disk size %llu", path,
				 (unsigned long long)size);
	}
	if (type == VHD_FIXED && size > layer->vhd->end) {
		return error_set(error, -EUCLEAN, "%s: damaged: the file is shorter than the disk",
				 path);
	}
	return 0;
}

/*
 * The footer at the end counts; the copy at the beginning, which only dynamic disks have, replaces
 * it when it is broken. Before Virtual PC 2004 a footer had 511 bytes.
 */
int vhd_read_footer(struct layer *layer, struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	struct vhd_footer end = {0}, copy = {0};
	uint64_t size = layer->file.size, length = size % VHD_SECTOR == 511 ? 511 : VHD_SECTOR;
	bool end_valid, copy_valid;
	int ret = 0;

	if (size >= length) {
		ret = file_read(&layer->file, &end, length, size - length);
		ret = ret ? ret : file_read(&layer->file, &copy, min_u64(size, sizeof(copy)), 0);
	}
	if (ret) {
		return error_set(error, ret, "%s: reading the footer: %s", layer->file.path,
				 strerror(-ret));
	}
	end_valid = footer_is_valid(&end);
	copy_valid = footer_is_valid(&copy) && be32toh(copy.type) != VHD_FIXED;
	if (!end_valid && !copy_valid) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: its VHD footer is unreadable; restore a copy",
				 layer->file.path);
	}
	v->footer = end_valid ? end : copy;
	v->end = end_valid ? size - length : round_down(size, VHD_SECTOR);
	v->old_footer = end_valid && length == 511;
	if (layer->report != NULL &&
	    (!end_valid || (be32toh(end.type) != VHD_FIXED && !copy_valid))) {
		report_add(layer->report, DISK_DAMAGE, layer->writable,
			   end_valid ? "the footer's copy is unreadable"
				     : "the footer is unreadable, its copy is good");
		v->changed = true;
	} else if (layer->report != NULL && copy_valid && memcmp(&end, &copy, sizeof(end))) {
		report_add(layer->report, DISK_NOTE, layer->writable,
			   "the footer and its copy differ");
		v->changed = true;
	}
	return check_footer(layer, &v->footer, error);
}

int vhd_read_header(struct layer *layer, struct disk_error *error)
{
	struct vhd *v = layer->vhd;
	struct vhd_header *h = &v->header;
	uint64_t at = be64toh(v->footer.data_offset), table, entries;
	uint32_t block;
	int ret;

	if (at % VHD_SECTOR || at > v->end || v->end - at < sizeof(*h)) {
		return error_set(error, -EUCLEAN, "%s: damaged: its header lies outside the file",
				 layer->file.path);
	}
	ret = file_read(&layer->file, h, sizeof(*h), at);
	if (ret) {
		return error_set(error, ret, "%s: reading the header: %s", layer->file.path,
				 strerror(-ret));
	}
	if (memcmp(h->cookie, "cxsparse", 8) ||
	    be32toh(h->checksum) !=
		    checksum(h, sizeof(*h), offsetof(struct vhd_header, checksum))) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: its dynamic header is unreadable; restore a copy",
				 layer->file.path);
	}
	table = be64toh(h->table_offset);
	entries = be32toh(h->table_entries);
	block = be32toh(h->block_size);
	if (!is_power_of_two(block) || block < 4096 || block > VHD_BLOCK_MAX) {
		return error_set(error, -EUCLEAN, "%s: damaged: block size %u", layer->file.path,
				 block);
	}
	if (table % VHD_SECTOR || table > v->end ||
	    round_up(entries * 4, VHD_SECTOR) > v->end - table) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: its block table lies outside the file",
				 layer->file.path);
	}
	if (entries * block < be64toh(v->footer.current_size)) {
		return error_set(error, -EUCLEAN,
				 "%s: damaged: its block table is too short for the disk",
				 layer->file.path);
	}
	layer->block_size = block;
	return 0;
}

static int read_locator(struct layer *layer, const struct vhd_locator *l, char **path)
{
	uint32_t length = be32toh(l->length);
	uint64_t at = be64toh(l->offset);
	uint8_t text[4096];
	char utf8[4096];
	int ret;

	if (*path != NULL || length % 2 || length > sizeof(text)) {
		return 0;
	}
	ret = file_read(&layer->file, text, length, at);
	if (ret || utf16_to_utf8(text, length / 2, false, utf8, sizeof(utf8))) {
		return ret == -ENODATA ? 0 : ret;
	}
	*path = strdup(utf8);
	return *path != NULL ? 0 : -ENOMEM;
}

/*
 * A locator that makes no sense is passed over: the others, or the name, may still lead to the
 * parent.
 */
int vhd_read_locators(struct layer *layer, struct disk_error *error)
{
	const struct vhd_header *h = &layer->vhd->header;
	char name[1024];
	unsigned i;
	int ret = 0;

	guid_print_be(h->parent_id, layer->parent_id);
	for (i = 0; i < 8 && !ret; i++) {
		if (!memcmp(h->locators[i].code, "W2ru", 4)) {
			ret = read_locator(layer, &h->locators[i], &layer->parent_path);
		} else if (!memcmp(h->locators[i].code, "W2ku", 4)) {
			ret = read_locator(layer, &h->locators[i], &layer->parent_path_2);
		}
	}
	if (!ret && layer->parent_path == NULL &&
	    !utf16_to_utf8(h->parent_name, 256, true, name, sizeof(name)) && name[0]) {
		layer->parent_path = strdup(name);
		ret = layer->parent_path != NULL ? 0 : -ENOMEM;
	}
	return ret ? error_set(error, ret, "%s: reading the parent locators: %s", layer->file.path,
			       strerror(-ret))
		   : 0;
}

int vhd_write_footers(struct layer *layer)
{
	struct vhd *v = layer->vhd;
	int ret = 0;

	vhd_seal_footer(&v->footer);
	if (layer->type != DISK_FIXED) {
		ret = file_write(&layer->file, &v->footer, sizeof(v->footer), 0);
		ret = ret ? ret : file_sync(&layer->file);
	}
	ret = ret ? ret : file_write(&layer->file, &v->footer, sizeof(v->footer), v->end);
	if (!ret) {
		layer->file.size = max_u64(layer->file.size, v->end + sizeof(v->footer));
		v->old_footer = false;
	}
	return ret ? ret : file_sync(&layer->file);
}

static int write_locator(struct file *file, struct vhd_locator *l, const char *code,
			 const char *path, const char *prefix, uint64_t at)
{
	uint8_t text[VHD_LOCATOR_SPACE] = {0};
	char windows[VHD_LOCATOR_SPACE];
	char *p;
	int n;

	if (snprintf(windows, sizeof(windows), "%s%s", prefix, path) >= (int)sizeof(windows)) {
		return -ENAMETOOLONG;
	}
	for (p = windows; *p; p++) {
		*p = *p == '/' ? '\\' : *p;
	}
	n = utf8_to_utf16(windows, false, text, sizeof(text));
	if (n < 0) {
		return n;
	}
	memcpy(l->code, code, 4);
	l->space = htobe32(VHD_LOCATOR_SPACE);
	l->length = htobe32((uint32_t)n);
	l->offset = htobe64(at);
	return file_write(file, text, sizeof(text), at);
}

int vhd_write_parent(struct file *file, struct vhd_header *header, uint64_t at,
		     const struct create_plan *plan, struct disk_error *error)
{
	const struct vhd *parent = plan->parent->vhd;
	const char *slash = strrchr(plan->parent_absolute, '/');
	uint64_t texts = at + sizeof(*header);
	int ret;

	memcpy(header->parent_id, parent->footer.id, 16);
	header->parent_timestamp = htobe32((uint32_t)(file_time(&plan->parent->file) - VHD_EPOCH));
	memset(header->parent_name, 0, sizeof(header->parent_name));
	memset(header->locators, 0, sizeof(header->locators));
	ret = utf8_to_utf16(slash != NULL ? slash + 1 : plan->parent_absolute, true,
			    header->parent_name, sizeof(header->parent_name) - 2);
	if (ret >= 0) {
		ret = write_locator(file, &header->locators[0], "W2ru", plan->parent_relative,
				    plan->parent_relative[0] == '.' ? "" : "./", texts);
		ret = ret ? ret
			  : write_locator(file, &header->locators[1], "W2ku", plan->parent_absolute,
					  "", texts + VHD_LOCATOR_SPACE);
	}
	vhd_seal_header(header);
	ret = ret ? ret : file_write(file, header, sizeof(*header), at);
	return ret ? error_set(error, ret, "%s: writing the parent's name: %s", file->path,
			       strerror(-ret))
		   : 0;
}
