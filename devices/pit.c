/*
 * The i8254 (Intel data sheet), three channels at ports 0x40 to 0x43, and port 0x61 with channel
 * 2's gate and output.
 *
 * Nothing runs between accesses: a channel keeps when its counting began, and count and output are
 * computed from the time. Only channel 0 has somebody waiting: next_edge is when its output next
 * rises, and the line to the interrupt controllers is pulsed then. Edges that a late host missed
 * are not made up for.
 */
#include "devices/parts.h"

#define PIT_HZ        1193182ull
#define NS_PER_SECOND 1000000000ull

#define PORT61_GATE    0x01
#define PORT61_SPEAKER 0x02
#define PORT61_REFRESH 0x10
#define PORT61_OUTPUT  0x20
#define REFRESH_NS     15085

/* A guest may ask for an edge each microsecond; it has 20,000 a second, as for sound, and no thread
 * of the host is busy with nothing else. */
#define EDGE_TICKS (PIT_HZ / 20000)

/* 64-bit products would overflow after some hours. */
static uint64_t ns_to_ticks(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * PIT_HZ / NS_PER_SECOND);
}

/* The first nanosecond at which so many ticks have passed. */
static uint64_t ticks_to_ns(uint64_t ticks)
{
	return (uint64_t)(((unsigned __int128)ticks * NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ);
}

/* Modes 1 and 5 start at a rising gate, not when their count is written. */
static bool gate_starts(const struct pit_channel *channel)
{
	return channel->mode == 1 || channel->mode == 5;
}

/* A low gate holds these modes where they are. */
static bool gate_holds(const struct pit_channel *channel)
{
	return channel->mode == 0 || channel->mode == 4;
}

static uint64_t elapsed(const struct pit_channel *channel, uint64_t now)
{
	if (gate_holds(channel) && !channel->gate) {
		return ns_to_ticks(channel->held);
	}
	return ns_to_ticks(now - channel->start);
}

static bool output(const struct pit_channel *channel, uint64_t now)
{
	uint64_t ticks = elapsed(channel, now), phase = ticks % channel->reload;

	if (!channel->armed) {
		return channel->mode != 0;
	}
	switch (channel->mode) {
	case 0:
	case 1:
		return ticks >= channel->reload;
	case 2:
		return !channel->gate || phase != channel->reload - 1;
	case 3:
		return !channel->gate || phase < (channel->reload + 1) / 2;
	default: /* strobes: low for one tick at the end */
		return ticks != channel->reload;
	}
}

static uint16_t to_bcd(uint32_t count)
{
	count %= 10000;
	return (uint16_t)(count % 10 | count / 10 % 10 << 4 | count / 100 % 10 << 8 |
			  count / 1000 << 12);
}

static uint32_t from_bcd(uint16_t value)
{
	return (value & 0xfu) + (value >> 4 & 0xfu) * 10 + (value >> 8 & 0xfu) * 100 +
	       (value >> 12) * 1000u;
}

/* What the counting element shows now. */
static uint16_t count(const struct pit_channel *channel, uint64_t now)
{
	uint64_t ticks = elapsed(channel, now);
	uint32_t range = channel->bcd ? 10000 : 65536, value;

	switch (channel->mode) {
	case 2:
		value = channel->reload - (uint32_t)(ticks % channel->reload);
		break;
	case 3: /* counts by two */
		value = channel->reload - (uint32_t)(ticks * 2 % channel->reload);
		break;
	default: /* goes on through 0 */
		value = (uint32_t)((channel->reload + range - ticks % range) % range);
		break;
	}
	return channel->bcd ? to_bcd(value) : (uint16_t)value;
}

/* When channel 0's output rises next, after `now`. */
static uint64_t next_edge(const struct pit_channel *channel, uint64_t now)
{
	uint64_t ticks = elapsed(channel, now), at;

	if (!channel->armed) {
		return HOST_NEVER;
	}
	switch (channel->mode) {
	case 2:
	case 3:
		at = ticks + (channel->reload < EDGE_TICKS ? EDGE_TICKS : 1);
		at = (at + channel->reload - 1) / channel->reload * channel->reload;
		break;
	case 0:
	case 1:
		at = channel->reload;
		break;
	default:
		at = channel->reload + 1;
		break;
	}
	return at > ticks ? channel->start + ticks_to_ns(at) : HOST_NEVER;
}

/*
 * Programming may lower channel 0's output at once. It rises by the time alone: in pit_advance().
 */
static void lower(struct pit *pit, bool level)
{
	if (!level) {
		irq_set(&pit->irq, false);
	}
}

static void restart(struct pit *pit, unsigned int which)
{
	struct pit_channel *channel = &pit->channels[which];
	uint64_t now = host_time(pit->host);

	channel->start = now;
	channel->held = 0;
	if (which == 0) {
		pit->next_edge = next_edge(channel, now);
		lower(pit, output(channel, now));
	}
}

static void load(struct pit *pit, unsigned int which, uint16_t value)
{
	struct pit_channel *channel = &pit->channels[which];
	uint32_t reload = channel->bcd ? from_bcd(value) : value;

	channel->reload = reload != 0 ? reload : channel->bcd ? 10000 : 65536;
	if (!gate_starts(channel)) {
		channel->armed = true;
		restart(pit, which);
	}
}

static void write_count(struct pit *pit, unsigned int which, uint8_t value)
{
	struct pit_channel *channel = &pit->channels[which];

	if (channel->access == 3 && !channel->second_write) {
		channel->write_low = value;
		channel->second_write = true;
		return;
	}
	channel->second_write = false;
	switch (channel->access) {
	case 1:
		load(pit, which, value);
		break;
	case 2:
		load(pit, which, (uint16_t)(value << 8));
		break;
	default:
		load(pit, which, (uint16_t)(value << 8 | channel->write_low));
		break;
	}
}

static void latch_count(struct pit_channel *channel, uint64_t now)
{
	if (channel->latched == 0) {
		channel->latch = count(channel, now);
		channel->latched = channel->access == 3 ? 2 : 1;
	}
}

static void latch_status(struct pit_channel *channel, uint64_t now)
{
	if (!channel->status_latched) {
		channel->status =
			(uint8_t)(output(channel, now) << 7 | !channel->armed << 6 |
				  channel->access << 4 | channel->mode << 1 | channel->bcd);
		channel->status_latched = true;
	}
}

static void read_back(struct pit *pit, uint8_t command)
{
	uint64_t now = host_time(pit->host);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		if (!(command & (2u << i))) {
			continue;
		}
		if (!(command & 0x20)) {
			latch_count(&pit->channels[i], now);
		}
		if (!(command & 0x10)) {
			latch_status(&pit->channels[i], now);
		}
	}
}

static void write_command(struct pit *pit, uint8_t value)
{
	unsigned int which = value >> 6;
	struct pit_channel *channel;

	if (which == 3) {
		read_back(pit, value);
		return;
	}
	channel = &pit->channels[which];
	if ((value & 0x30) == 0) {
		latch_count(channel, host_time(pit->host));
		return;
	}
	channel->access = value >> 4 & 3;
	channel->mode = value >> 1 & 7;
	if (channel->mode > 5) {
		channel->mode -= 4;
	}
	channel->bcd = value & 1;
	channel->armed = false;
	channel->latched = 0;
	channel->status_latched = channel->second_read = channel->second_write = false;
	if (which == 0) {
		pit->next_edge = HOST_NEVER;
		lower(pit, channel->mode != 0);
	}
}

static uint8_t read_count(struct pit_channel *channel, uint64_t now)
{
	uint16_t value = channel->latched != 0 ? channel->latch : count(channel, now);
	bool high = channel->access == 2;

	if (channel->access == 3) {
		high = channel->second_read;
		channel->second_read = !high;
	}
	if (channel->latched != 0) {
		channel->latched--;
	}
	return (uint8_t)(high ? value >> 8 : value);
}

static uint64_t pit_read(void *device, uint32_t offset, unsigned int size)
{
	struct pit *pit = device;
	struct pit_channel *channel;

	(void)size;
	if (offset == 3) {
		return 0xff; /* the command register cannot be read */
	}
	channel = &pit->channels[offset];
	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->status;
	}
	return read_count(channel, host_time(pit->host));
}

static void pit_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct pit *pit = device;

	(void)size;
	if (offset == 3) {
		write_command(pit, (uint8_t)value);
	} else {
		write_count(pit, offset, (uint8_t)value);
	}
}

static void set_gate(struct pit *pit, unsigned int which, bool gate)
{
	struct pit_channel *channel = &pit->channels[which];
	uint64_t now = host_time(pit->host);

	if (gate == channel->gate) {
		return;
	}
	channel->gate = gate;
	if (!gate) {
		channel->held = now - channel->start;
	} else if (gate_holds(channel)) {
		channel->start = now - channel->held;
	} else {
		channel->armed |= gate_starts(channel);
		restart(pit, which);
	}
}

static uint64_t port61_read(void *device, uint32_t offset, unsigned int size)
{
	const struct pit *pit = device;
	uint64_t now = host_time(pit->host);
	uint32_t value = pit->port61;

	(void)offset;
	(void)size;
	if ((now - pit->epoch) / REFRESH_NS & 1) {
		value |= PORT61_REFRESH;
	}
	if (output(&pit->channels[2], now)) {
		value |= PORT61_OUTPUT;
	}
	return value;
}

static void port61_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct pit *pit = device;

	(void)offset;
	(void)size;
	pit->port61 = value & (PORT61_GATE | PORT61_SPEAKER);
	set_gate(pit, 2, value & PORT61_GATE);
}

void pit_advance(struct pit *pit, uint64_t now)
{
	if (now < pit->next_edge) {
		return;
	}
	irq_set(&pit->irq, false);
	irq_set(&pit->irq, true);
	pit->next_edge = next_edge(&pit->channels[0], now);
}

void pit_reset(struct pit *pit)
{
	uint64_t now = host_time(pit->host);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		pit->channels[i] = (struct pit_channel){
			.start = now, .reload = 65536, .mode = 3, .access = 3, .gate = i != 2};
	}
	pit->port61 = 0;
	pit->epoch = now;
	pit->next_edge = HOST_NEVER;
	irq_set(&pit->irq, false);
}

static void save_channel(const struct pit_channel *channel, struct state_writer *writer,
			 uint64_t now)
{
	put_past(writer, channel->start, now);
	state_put_u64(writer, channel->held);
	state_put_u32(writer, channel->reload);
	state_put_u16(writer, channel->latch);
	state_put_u8(writer, channel->mode);
	state_put_u8(writer, channel->access);
	state_put_u8(writer, channel->latched);
	state_put_u8(writer, channel->status);
	state_put_u8(writer, channel->write_low);
	state_put_bool(writer, channel->bcd);
	state_put_bool(writer, channel->armed);
	state_put_bool(writer, channel->status_latched);
	state_put_bool(writer, channel->second_read);
	state_put_bool(writer, channel->second_write);
}

static void load_channel(struct pit_channel *channel, struct state_reader *part, uint64_t now)
{
	channel->start = get_past(part, now);
	channel->held = get_distance(part);
	channel->reload = state_u32(part);
	channel->latch = state_u16(part);
	channel->mode = state_u8(part);
	channel->access = state_u8(part);
	channel->latched = state_u8(part);
	channel->status = state_u8(part);
	channel->write_low = state_u8(part);
	channel->bcd = state_bool(part);
	channel->armed = state_bool(part);
	channel->status_latched = state_bool(part);
	channel->second_read = state_bool(part);
	channel->second_write = state_bool(part);
	if (channel->reload < 1 || channel->reload > 65536 || channel->mode > 5 ||
	    channel->access < 1 || channel->access > 3 || channel->latched > 2) {
		state_refuse(part, "has a channel that cannot be");
	}
}

static void pit_save(const void *device, struct state_writer *writer)
{
	const struct pit *pit = device;
	uint64_t now = host_time(pit->host);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		save_channel(&pit->channels[i], writer, now);
	}
	put_coming(writer, pit->next_edge, now);
	put_past(writer, pit->epoch, now);
	state_put_u8(writer, pit->port61);
	state_put_bool(writer, pit->irq.level);
}

static void pit_load(void *device, struct state_reader *part, bool set)
{
	struct pit *pit = device, loaded = *pit;
	uint64_t now = host_time(pit->host);
	unsigned int i;

	for (i = 0; i < 3; i++) {
		load_channel(&loaded.channels[i], part, now);
	}
	loaded.next_edge = get_coming(part, now);
	loaded.epoch = get_past(part, now);
	loaded.port61 = get_bits(part, PORT61_GATE | PORT61_SPEAKER);
	loaded.channels[2].gate = loaded.port61 & PORT61_GATE;
	loaded.irq.level = state_bool(part);
	if (set && state_ok(part)) {
		*pit = loaded;
	}
}

const struct device_class pit_class = {.name = "pit",
				       .width = 1,
				       .read = pit_read,
				       .write = pit_write,
				       .version = 1,
				       .save = pit_save,
				       .load = pit_load};
const struct device_class pit_port61_class = {
	.name = "port61", .width = 1, .read = port61_read, .write = port61_write};
