/* VHDX: a new file. Layout: headers, log, metadata, block table, blocks. */
#include "disk/vhdx.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The places that Windows gives them in a new file. */
#define LOG_OFFSET      (1 * DISK_MIB)
#define LOG_LENGTH      (1 * DISK_MIB)
#define METADATA_OFFSET (2 * DISK_MIB)
#define METADATA_LENGTH (1 * DISK_MIB)
#define BAT_OFFSET      (3 * DISK_MIB)

static int check_plan(struct file *file, const struct disk_create *how, struct disk_error *error)
{
	if (!is_power_of_two(how->block_size) || how->block_size < VHDX_BLOCK_MIN ||
	    how->block_size > VHDX_BLOCK_MAX) {
		return error_set(error, -EINVAL,
				 "%s: a VHDX block is a power of two from 1 MiB to 256 MiB",
				 file->path);
	}
	if ((how->sector_size != 512 && how->sector_size != 4096) ||
	    (how->physical_size != 512 && how->physical_size != 4096) ||
	    how->physical_size < how->sector_size) {
		return error_set(error, -EINVAL, "%s: sectors are 512, 512e or 4k", file->path);
	}
	if (!how->size || how->size % how->sector_size || how->size > VHDX_SIZE_MAX) {
		return error_set(error, -EINVAL,
				 "%s: a VHDX disk has up to 64 TiB, in whole sectors", file->path);
	}
	return 0;
}

static int write_identifier(struct file *file)
{
	struct vhdx_identifier id = {.signature = "vhdxfil"};

	/* The eight letters leave no room for the end of a string. */
	id.signature[7] = 'e';
	utf8_to_utf16("Verdigris disk library", false, id.creator, sizeof(id.creator));
	return file_write(file, &id, sizeof(id), 0);
}

static int write_regions(struct file *file, uint32_t bat_length)
{
	struct vhdx_regions *table = calloc(1, sizeof(*table));
	int ret;

	if (table == NULL) {
		return -ENOMEM;
	}
	table->signature = VHDX_REGIONS_SIGNATURE;
	table->count = 2;
	table->regions[0] = (struct vhdx_region){vhdx_bat_region, BAT_OFFSET, bat_length, 1};
	table->regions[1] =
		(struct vhdx_region){vhdx_metadata_region, METADATA_OFFSET, METADATA_LENGTH, 1};
	vhdx_seal_regions(table);
	ret = file_write(file, table, sizeof(*table), VHDX_REGIONS_1);
	ret = ret ? ret : file_write(file, table, sizeof(*table), VHDX_REGIONS_2);
	free(table);
	return ret;
}

static int write_metadata(struct file *file, const struct create_plan *plan,
			  struct disk_error *error)
{
	uint8_t *region = malloc(METADATA_LENGTH);
	int ret = region != NULL ? vhdx_build_metadata(region, METADATA_LENGTH, plan,
						       plan->how.size, error)
				 : -ENOMEM;

	ret = ret ? ret : file_write(file, region, METADATA_LENGTH, METADATA_OFFSET);
	free(region);
	return ret;
}

static int write_fixed_bat(struct file *file, const struct disk_create *how, uint64_t first,
			   uint64_t blocks)
{
	/* Behind each chunk's blocks is the entry of its bitmap, which a disk without parent leaves
	 * empty. */
	uint64_t ratio = (uint64_t)VHDX_CHUNK_SECTORS * how->sector_size / how->block_size;
	uint64_t block, count = blocks + (blocks - 1) / ratio;
	uint64_t *bat = calloc(count, 8);
	int ret;

	if (bat == NULL) {
		return -ENOMEM;
	}
	for (block = 0; block < blocks; block++) {
		bat[block + block / ratio] = (first + block * how->block_size) | VHDX_FULLY_PRESENT;
	}
	ret = file_write(file, bat, count * 8, BAT_OFFSET);
	free(bat);
	return ret;
}

static int write_headers(struct file *file)
{
	struct vhdx_header header = {
		.signature = VHDX_HEADER_SIGNATURE,
		.sequence = 1,
		.version = 1,
		.log_length = LOG_LENGTH,
		.log_offset = LOG_OFFSET,
	};
	int ret;

	guid_random(&header.file_write);
	guid_random(&header.data_write);
	vhdx_seal_header(&header);
	ret = file_write(file, &header, sizeof(header), VHDX_HEADER_1);
	/* The second is the current one, as its number says. */
	header.sequence = 2;
	vhdx_seal_header(&header);
	return ret ? ret : file_write(file, &header, sizeof(header), VHDX_HEADER_2);
}

/* The identifier is written last: until then the file is no VHDX. */
int vhdx_create(struct file *file, const struct create_plan *plan, struct disk_error *error)
{
	const struct disk_create *how = &plan->how;
	uint64_t entries, bat_length, blocks = (how->size + how->block_size - 1) / how->block_size;
	int ret = check_plan(file, how, error);

	if (ret) {
		return ret;
	}
	if (vhdx_bat_size(how->size, how->block_size, how->sector_size, plan->parent != NULL,
			  &entries)) {
		return error_set(error, -EFBIG,
				 "%s: too big for this block size; give a larger --block",
				 file->path);
	}
	bat_length = round_up(entries * 8, DISK_MIB);
	ret = file_truncate(file, BAT_OFFSET + bat_length);
	if (!ret && how->type == DISK_FIXED) {
		/* A fixed disk has all its blocks in order from the start, and never changes its
		 * table. */
		ret = file_allocate(file, 0, BAT_OFFSET + bat_length + blocks * how->block_size);
		ret = ret ? ret : write_fixed_bat(file, how, BAT_OFFSET + bat_length, blocks);
	}
	ret = ret ? ret : write_metadata(file, plan, error);
	ret = ret ? ret : write_regions(file, (uint32_t)bat_length);
	ret = ret ? ret : write_headers(file);
	ret = ret ? ret : file_sync(file);
	ret = ret ? ret : write_identifier(file);
	ret = ret ? ret : file_sync(file);
	return ret ? error_set(error, ret, "%s: creating the file: %s", file->path, strerror(-ret))
		   : 0;
}
