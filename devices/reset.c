/*
 * Ways in which a guest ends by a port. Two to reset a PC/AT, which systems still try: bit 0 of
 * port 0x92, and command 0xFE of the keyboard controller at port 0x64. Without a BIOS nothing else
 * is here of that controller (i8042.c): its status says "empty", and the ACPI tables deny it. And a
 * port for test images, which is not there unless asked for: what they write to it is their result.
 */
#include "devices/parts.h"

#define PORT92_RESET 0x01
#define PORT92_A20   0x02

#define I8042_PULSE_RESET 0xfe

static uint64_t port92_read(void *device, uint32_t offset, unsigned int size)
{
	const struct reset *reset = device;

	(void)offset;
	(void)size;
	return reset->port92;
}

/* The A20 bit is kept and changes nothing: address line 20 is always on. */
static void port92_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct reset *reset = device;
	bool rising = (value & PORT92_RESET) && !(reset->port92 & PORT92_RESET);

	(void)offset;
	(void)size;
	reset->port92 = value & (PORT92_RESET | PORT92_A20);
	if (rising) {
		host_power(reset->host, HOST_POWER_RESET);
	}
}

static uint64_t i8042_read(void *device, uint32_t offset, unsigned int size)
{
	(void)device;
	(void)offset;
	(void)size;
	return 0;
}

static void i8042_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct reset *reset = device;

	(void)offset;
	(void)size;
	if (value == I8042_PULSE_RESET) {
		host_power(reset->host, HOST_POWER_RESET);
	}
}

static uint64_t debug_exit_read(void *device, uint32_t offset, unsigned int size)
{
	(void)device;
	(void)offset;
	(void)size;
	return 0;
}

static void debug_exit_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct reset *reset = device;

	(void)offset;
	(void)size;
	host_debug_exit(reset->host, value);
}

void reset_reset(struct reset *reset)
{
	reset->port92 = PORT92_A20;
}

static void reset_save(const void *device, struct state_writer *writer)
{
	const struct reset *reset = device;

	state_put_u8(writer, reset->port92);
}

static void reset_load(void *device, struct state_reader *part, bool set)
{
	struct reset *reset = device;
	uint8_t port92 = get_bits(part, PORT92_RESET | PORT92_A20);

	if (set && state_ok(part)) {
		reset->port92 = port92;
	}
}

const struct device_class reset_port92_class = {.name = "port92",
						.width = 1,
						.read = port92_read,
						.write = port92_write,
						.version = 1,
						.save = reset_save,
						.load = reset_load};
const struct device_class reset_i8042_class = {
	.name = "i8042", .width = 1, .read = i8042_read, .write = i8042_write};
const struct device_class reset_debug_exit_class = {
	.name = "debug-exit", .width = 4, .read = debug_exit_read, .write = debug_exit_write};
