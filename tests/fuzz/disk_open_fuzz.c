/*
 * Hostile files. The input says what to do to a good VHDX or VHD file (which bytes to change where,
 * what to seal with a right checksum afterwards); the result is opened and read, and then checked,
 * written to, or repaired. The first byte chooses the file; 0xff gives the input itself as the
 * file.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/disk_fake.h"

#include "disk/bytes.h"
#include "disk/disk.h"
#include "disk/units.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

#include <stdlib.h>
#include <string.h>

#define SIZE (8u << 20)

static struct fake_state *good;
static const char *const names[] = {"a.vhdx", "c.vhdx", "a.vhd", "c.vhd", "f.vhd", "log.vhdx"};

static void make(const char *path, enum disk_type type, const char *parent)
{
	struct disk_create how = {
		.type = type, .size = SIZE, .block_size = 1 << 20, .parent = parent};
	struct disk *disk;

	if (disk_create(path, &how, NULL) || disk_open(path, NULL, &disk, NULL)) {
		abort();
	}
	disk_write(disk, "some data", 9, 3 << 20);
	disk_write(disk, "some more", 9, 700);
	disk_close(&disk, NULL);
}

static void prepare(void)
{
	struct disk *disk;

	fake_reset(1);
	make("a.vhdx", DISK_DYNAMIC, NULL);
	make("c.vhdx", DISK_DIFFERENCING, "a.vhdx");
	make("a.vhd", DISK_DYNAMIC, NULL);
	make("c.vhd", DISK_DIFFERENCING, "a.vhd");
	make("f.vhd", DISK_FIXED, NULL);
	make("log.vhdx", DISK_DYNAMIC, NULL);
	if (disk_open("log.vhdx", NULL, &disk, NULL)) {
		abort();
	}
	disk_write(disk, "flushed, not closed", 19, 5 << 20);
	disk_flush(disk);
	good = fake_save();
	disk_close(&disk, NULL);
}

/* The parts of a file that are worth a change, as (start, length). */
static const uint32_t places[][2] = {
	{0, 1536},        {64 << 10, 128},  {128 << 10, 128}, {192 << 10, 160},
	{256 << 10, 160}, {1 << 20, 12288}, {2 << 20, 320},   {(2 << 20) + 65536, 1024},
	{3 << 20, 256},   {1536, 512},      {9728, 128},      {SIZE, 512},
};

static void seal(const char *path)
{
	static struct vhdx_regions regions;
	struct vhdx_header header;
	struct vhd_footer footer;
	struct vhd_header dynamic;
	unsigned i;

	if (strstr(path, ".vhdx") != NULL) {
		for (i = 0; i < 2; i++) {
			fake_peek(path, i ? VHDX_HEADER_2 : VHDX_HEADER_1, &header, sizeof(header));
			vhdx_seal_header(&header);
			fake_poke(path, i ? VHDX_HEADER_2 : VHDX_HEADER_1, &header, sizeof(header));
			fake_peek(path, i ? VHDX_REGIONS_2 : VHDX_REGIONS_1, &regions,
				  sizeof(regions));
			vhdx_seal_regions(&regions);
			fake_poke(path, i ? VHDX_REGIONS_2 : VHDX_REGIONS_1, &regions,
				  sizeof(regions));
		}
		return;
	}
	fake_peek(path, 0, &footer, sizeof(footer));
	vhd_seal_footer(&footer);
	fake_poke(path, 0, &footer, sizeof(footer));
	fake_poke(path, fake_size(path) - 512, &footer, sizeof(footer));
	fake_peek(path, 512, &dynamic, sizeof(dynamic));
	vhd_seal_header(&dynamic);
	fake_poke(path, 512, &dynamic, sizeof(dynamic));
}

/* A log entry's checksum covers all of it. */
static void seal_log(const char *path)
{
	static uint8_t entry[65536];
	struct vhdx_log_header *head = (struct vhdx_log_header *)entry;
	unsigned at;

	for (at = 0; at < 12288; at += 4096) {
		fake_peek(path, (1 << 20) + at, entry, sizeof(entry));
		if (head->signature == VHDX_LOG_SIGNATURE && head->length <= sizeof(entry) &&
		    head->length >= 64) {
			head->checksum = 0;
			head->checksum = crc32c(0, entry, head->length);
			fake_poke(path, (1 << 20) + at, entry, 64);
		}
	}
}

static void change(const char *path, const uint8_t *data, size_t size)
{
	while (size >= 4) {
		const uint32_t *place = places[data[0] % DISK_COUNT(places)];
		size_t n = min_u64(1 + data[3] % 16, size - 4);
		uint64_t at = place[0] + (data[1] | data[2] << 8) % place[1];

		if (at + n <= fake_size(path)) {
			fake_poke(path, at, data + 4, n);
		}
		data += 4 + n;
		size -= 4 + n;
	}
}

static void look(const char *path)
{
	static uint8_t buffer[4096];
	struct disk_info info;
	struct disk *disk;
	uint64_t at;

	if (disk_open(path, &(struct disk_open){.flags = DISK_READ_ONLY}, &disk, NULL)) {
		return;
	}
	disk_get_info(disk, 0, &info);
	for (at = 0; at < min_u64(disk_size(disk), 2 * SIZE); at += 1000003) {
		disk_read(disk, buffer, min_u64(sizeof(buffer), disk_size(disk) - at), at);
	}
	disk_read(disk, buffer, 512, disk_size(disk) - 512);
	disk_close(&disk, NULL);
}

static void use(const char *path)
{
	static uint8_t buffer[5000];
	struct disk *disk;

	if (disk_open(path, NULL, &disk, NULL)) {
		return;
	}
	disk_write(disk, buffer, min_u64(disk_size(disk), 5000), 0);
	disk_trim(disk, min_u64(disk_size(disk), 1 << 20), 0);
	disk_flush(disk);
	disk_close(&disk, NULL);
}

static void check(const char *path, unsigned flags)
{
	struct disk_report report;

	disk_check(path, DISK_FORMAT_AUTO, flags, &report, NULL);
	disk_report_free(&report);
}

static void examine(const char *path, unsigned how)
{
	fake_writes();
	look(path);
	if (how == 0) {
		check(path, 0);
	}
	if (fake_writes()) {
		abort();
	}
	if (how == 1) {
		use(path);
	} else if (how == 2) {
		check(path, DISK_REPAIR | DISK_REPAIR_DROP);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path;

	if (good == NULL) {
		prepare();
	}
	if (size < 2) {
		return 0;
	}
	fake_restore(good);
	path = names[data[0] % DISK_COUNT(names)];
	if (data[0] == 0xff) {
		fake_shrink(path, 0);
		fake_poke(path, 0, data + 2, size - 2);
	} else {
		change(path, data + 2, size - 2);
		if (data[1] & 1) {
			seal_log(path);
		}
		if (data[1] & 2) {
			seal(path);
		}
	}
	examine(path, data[1] >> 2 & 3);
	return 0;
}
