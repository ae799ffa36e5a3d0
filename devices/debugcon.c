/*
 * The port for debug messages that Bochs has: firmware writes text to it, a byte at a time, if a
 * read gives 0xE9.
 */
#include "devices/parts.h"

#define THERE 0xe9

static uint64_t debugcon_read(void *device, uint32_t offset, unsigned int size)
{
	(void)device, (void)offset, (void)size;
	return THERE;
}

static void debugcon_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	const struct debugcon *debugcon = device;

	(void)offset, (void)size;
	host_debug_text(debugcon->host, (uint8_t)value);
}

const struct device_class debugcon_class = {
	.name = "debugcon", .width = 1, .read = debugcon_read, .write = debugcon_write};
