/*
 * QEMU's firmware configuration device (docs/specs/fw_cfg of QEMU), by which firmware is told of
 * its machine: items by number, some of them files with names. Ports 0x510 (which item), 0x511 (its
 * next byte), and 0x514 (where in memory a request lies: many bytes at once).
 *
 * Items are for reading; the firmware's writes are refused. Numbers of several bytes are
 * little-endian in items, and big-endian in the directory and in requests.
 */
#include "devices/parts.h"

#include <string.h>

#include "lib/check.h"

#define REG_SELECT 0
#define REG_DATA   1
#define REG_DMA    4 /* high half; the low one starts the request */

#define KEY_SIGNATURE  0x00
#define KEY_FEATURES   0x01
#define KEY_DIRECTORY  0x19
#define KEY_FIRST_FILE 0x20

#define FEATURES_TRADITIONAL 0x1
#define FEATURES_DMA         0x2

#define DMA_ERROR  0x01
#define DMA_READ   0x02
#define DMA_SKIP   0x04
#define DMA_SELECT 0x08
#define DMA_WRITE  0x10

struct dma_request {
	uint32_t control; /* the item's number in the high half */
	uint32_t length;
	uint64_t address;
};

static uint32_t swap_32(uint32_t value)
{
	return __builtin_bswap32(value);
}

/* ---- Items ---- */

void fw_cfg_set(struct fw_cfg *fw_cfg, uint16_t key, const void *bytes, uint32_t length)
{
	CHECK(key < FW_CFG_KEYS);
	fw_cfg->items[key].bytes = bytes;
	fw_cfg->items[key].length = length;
}

void fw_cfg_set_u16(struct fw_cfg *fw_cfg, uint16_t key, uint16_t value)
{
	CHECK(key < FW_CFG_KEYS);
	memcpy(fw_cfg->numbers[key], &value, sizeof(value));
	fw_cfg_set(fw_cfg, key, fw_cfg->numbers[key], sizeof(value));
}

bool fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *bytes, uint32_t length)
{
	struct fw_cfg_file *file = &fw_cfg->directory.files[fw_cfg->file_count];
	uint16_t key = (uint16_t)(KEY_FIRST_FILE + fw_cfg->file_count);

	if (fw_cfg->file_count == FW_CFG_FILES || strlen(name) >= sizeof(file->name)) {
		return false;
	}
	file->length = swap_32(length);
	file->key = (uint16_t)(key << 8 | key >> 8);
	strcpy(file->name, name);
	fw_cfg_set(fw_cfg, key, bytes, length);
	fw_cfg->directory.count = swap_32(++fw_cfg->file_count);
	fw_cfg_set(fw_cfg, KEY_DIRECTORY, &fw_cfg->directory, sizeof(fw_cfg->directory));
	return true;
}

/* The item that is selected; one that nobody knows has no bytes. */
static const struct fw_cfg_item *selected(const struct fw_cfg *fw_cfg)
{
	static const struct fw_cfg_item none;

	return fw_cfg->key < FW_CFG_KEYS ? &fw_cfg->items[fw_cfg->key] : &none;
}

static void select_item(struct fw_cfg *fw_cfg, uint16_t key)
{
	fw_cfg->key = key;
	fw_cfg->at = 0;
}

/* How much of the item comes next, `most` at most. */
static uint32_t left(const struct fw_cfg *fw_cfg, uint32_t most)
{
	const struct fw_cfg_item *item = selected(fw_cfg);
	uint32_t there = fw_cfg->at < item->length ? item->length - fw_cfg->at : 0;

	return there < most ? there : most;
}

static uint8_t next_byte(struct fw_cfg *fw_cfg)
{
	return left(fw_cfg, 1) != 0 ? selected(fw_cfg)->bytes[fw_cfg->at++] : 0;
}

/* ---- Requests in memory ---- */

/* What is left of the item, then zeros. False: there is no RAM for it. */
static bool copy_item(struct fw_cfg *fw_cfg, uint64_t address, uint32_t length)
{
	static const uint8_t zeros[4096] IN_BSS;
	uint32_t step = left(fw_cfg, length);

	if (step != 0 &&
	    !host_memory_write(fw_cfg->host, address, selected(fw_cfg)->bytes + fw_cfg->at, step)) {
		return false;
	}
	fw_cfg->at += step;
	for (length -= step; length != 0; length -= step) {
		address += step;
		step = length < sizeof(zeros) ? length : sizeof(zeros);
		if (!host_memory_write(fw_cfg->host, address, zeros, step)) {
			return false;
		}
	}
	return true;
}

/* False: it cannot be done. */
static bool do_request(struct fw_cfg *fw_cfg, const struct dma_request *request)
{
	if (request->control & DMA_SELECT) {
		select_item(fw_cfg, (uint16_t)(request->control >> 16));
	}
	if (request->control & DMA_READ) {
		return copy_item(fw_cfg, request->address, request->length);
	}
	if (request->control & DMA_WRITE) {
		return request->length == 0;
	}
	if (request->control & DMA_SKIP) {
		fw_cfg->at += left(fw_cfg, request->length);
	}
	return true;
}

static void start_request(struct fw_cfg *fw_cfg)
{
	uint64_t at = fw_cfg->dma_address;
	struct dma_request request;
	uint32_t result;

	fw_cfg->dma_address = 0;
	if (!host_memory_read(fw_cfg->host, at, &request, sizeof(request))) {
		return;
	}
	request.control = swap_32(request.control);
	request.length = swap_32(request.length);
	request.address = __builtin_bswap64(request.address);
	result = do_request(fw_cfg, &request) ? 0 : swap_32(DMA_ERROR);
	/* It was RAM a moment ago; where it is no more, nobody waits. */
	(void)host_memory_write(fw_cfg->host, at, &result, sizeof(result));
}

/* ---- Ports ---- */

static uint64_t fw_cfg_read(void *device, uint32_t offset, unsigned int size)
{
	static const uint8_t signature[8] = "QEMU CFG";
	struct fw_cfg *fw_cfg = device;
	uint64_t value = 0;

	if (offset == REG_DATA && size == 1) {
		return next_byte(fw_cfg);
	}
	if (offset >= REG_DMA) {
		memcpy(&value, &signature[offset - REG_DMA], size);
		return value;
	}
	return UINT64_MAX;
}

static void fw_cfg_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct fw_cfg *fw_cfg = device;
	uint64_t half = swap_32((uint32_t)value);

	if (offset == REG_SELECT && size == 2) {
		select_item(fw_cfg, (uint16_t)value);
	} else if (offset == REG_DMA && size == 4) {
		fw_cfg->dma_address = half << 32;
	} else if (offset == REG_DMA + 4 && size == 4) {
		fw_cfg->dma_address = (fw_cfg->dma_address & ~0xffffffffull) | half;
		start_request(fw_cfg);
	}
}

static void fw_cfg_save(const void *device, struct state_writer *writer)
{
	const struct fw_cfg *fw_cfg = device;

	state_put_u16(writer, fw_cfg->key);
	state_put_u32(writer, fw_cfg->at);
	state_put_u64(writer, fw_cfg->dma_address);
}

/* Items are not saved: they are the machine's configuration. */
static void fw_cfg_load(void *device, struct state_reader *part, bool set)
{
	struct fw_cfg *fw_cfg = device, loaded = *fw_cfg;

	loaded.key = state_u16(part);
	loaded.at = state_u32(part);
	loaded.dma_address = state_u64(part);
	if (loaded.at > selected(&loaded)->length) {
		state_refuse(part, "has an item that the machine has not");
	}
	if (set && state_ok(part)) {
		fw_cfg->key = loaded.key;
		fw_cfg->at = loaded.at;
		fw_cfg->dma_address = loaded.dma_address;
	}
}

void fw_cfg_create(struct fw_cfg *fw_cfg, struct host *host)
{
	static const char signature[4] = {'Q', 'E', 'M', 'U'};
	static const uint8_t features[4] = {FEATURES_TRADITIONAL | FEATURES_DMA};

	memset(fw_cfg, 0, sizeof(*fw_cfg));
	fw_cfg->host = host;
	fw_cfg_set(fw_cfg, KEY_SIGNATURE, signature, sizeof(signature));
	fw_cfg_set(fw_cfg, KEY_FEATURES, features, sizeof(features));
	fw_cfg_set(fw_cfg, KEY_DIRECTORY, &fw_cfg->directory, sizeof(fw_cfg->directory.count));
}

void fw_cfg_reset(struct fw_cfg *fw_cfg)
{
	select_item(fw_cfg, 0);
	fw_cfg->dma_address = 0;
}

const struct device_class fw_cfg_class = {.name = "fw-cfg",
					  .width = 4,
					  .read = fw_cfg_read,
					  .write = fw_cfg_write,
					  .version = 1,
					  .save = fw_cfg_save,
					  .load = fw_cfg_load};
