/* VHD: a new file. Layout: footer copy, header, the parent's names, table, blocks, footer. */
#include "disk/vhd.h"

#include "disk/disk.h"
#include "disk/error.h"
#include "disk/file.h"
#include "disk/format.h"
#include "disk/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The disk itself, and the footer behind it; that is all. */
static int create_fixed(struct file *file, const struct create_plan *plan)
{
	struct vhd_footer footer;
	int ret = file_allocate(file, 0, plan->how.size);

	vhd_make_footer(&footer, VHD_FIXED, plan);
	ret = ret ? ret : file_write(file, &footer, sizeof(footer), plan->how.size);
	return ret ? ret : file_sync(file);
}

static int write_table(struct file *file, uint64_t at, uint64_t bytes)
{
	uint8_t *table = malloc(bytes);
	int ret;

	if (table == NULL) {
		return -ENOMEM;
	}
	/* All ones: no block. */
	memset(table, 0xff, bytes);
	ret = file_write(file, table, bytes, at);
	free(table);
	return ret;
}

static int create_dynamic(struct file *file, const struct create_plan *plan,
			  struct disk_error *error)
{
	const struct disk_create *how = &plan->how;
	uint64_t entries = (how->size + how->block_size - 1) / how->block_size;
	uint64_t header_at = sizeof(struct vhd_footer);
	uint64_t table_at =
		header_at + (plan->parent != NULL ? VHD_HEADER_SPACE : sizeof(struct vhd_header));
	uint64_t table_bytes = round_up(entries * 4, VHD_SECTOR);
	struct vhd_footer footer;
	struct vhd_header header = {
		.cookie = {'c', 'x', 's', 'p', 'a', 'r', 's', 'e'},
		.data_offset = UINT64_MAX,
		.table_offset = htobe64(table_at),
		.version = htobe32(0x10000),
		.table_entries = htobe32((uint32_t)entries),
		.block_size = htobe32(how->block_size),
	};
	int ret;

	vhd_make_footer(&footer, plan->parent != NULL ? VHD_DIFFERENCING : VHD_DYNAMIC, plan);
	if (plan->parent != NULL) {
		ret = vhd_write_parent(file, &header, header_at, plan, error);
		if (ret) {
			return ret;
		}
	} else {
		vhd_seal_header(&header);
		ret = file_write(file, &header, sizeof(header), header_at);
	}
	ret = ret ? ret : write_table(file, table_at, table_bytes);
	/*
	 * The footer at the end first, its copy in front last: a file that was cut short before has
	 * no mark at its start.
	 */
	ret = ret ? ret : file_write(file, &footer, sizeof(footer), table_at + table_bytes);
	ret = ret ? ret : file_sync(file);
	ret = ret ? ret : file_write(file, &footer, sizeof(footer), 0);
	ret = ret ? ret : file_sync(file);
	return ret ? error_set(error, ret, "%s: creating the file: %s", file->path, strerror(-ret))
		   : 0;
}

int vhd_create(struct file *file, const struct create_plan *plan, struct disk_error *error)
{
	const struct disk_create *how = &plan->how;
	int ret;

	if (how->sector_size != VHD_SECTOR || how->physical_size != VHD_SECTOR) {
		return error_set(error, -EINVAL,
				 "%s: a VHD has sectors of 512 bytes; VHDX has others", file->path);
	}
	if (!how->size || how->size % VHD_SECTOR || how->size > VHD_SIZE_MAX) {
		return error_set(error, -EINVAL, "%s: a VHD has up to 2040 GiB; VHDX up to 64 TiB",
				 file->path);
	}
	if (how->type == DISK_FIXED) {
		ret = create_fixed(file, plan);
		return ret ? error_set(error, ret, "%s: creating the file: %s", file->path,
				       strerror(-ret))
			   : 0;
	}
	if (!is_power_of_two(how->block_size) || how->block_size < 512 * DISK_KIB ||
	    how->block_size > VHD_BLOCK_MAX) {
		return error_set(error, -EINVAL,
				 "%s: a VHD block is a power of two from 512 KiB to 256 MiB",
				 file->path);
	}
	return create_dynamic(file, plan, error);
}
