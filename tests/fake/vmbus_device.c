/* See vmbus_device.h. */
#include "tests/fake/vmbus_device.h"

#include <poll.h>

static int opened(void *context, struct vmbus_channel *channel)
{
	struct fake_device *device = context;

	CHECK(channel == device->channel && !device->is_open);
	device->opened++;
	if (device->refuse != 0) {
		return device->refuse;
	}
	device->is_open = true;
	device->is_paused = channel_starts_paused(channel);
	if (device->is_paused) {
		channel_paused(channel);
	}
	if (device->takes != 0) {
		device->kept = channel_gpadl_get(channel, device->takes);
	}
	return 0;
}

static void pausing(void *context, struct vmbus_channel *channel)
{
	struct fake_device *device = context;

	CHECK(channel == device->channel && device->is_open && !device->is_paused);
	device->is_paused = true;
	channel_paused(channel);
}

static void resumed(void *context, struct vmbus_channel *channel)
{
	struct fake_device *device = context;

	CHECK(channel == device->channel && device->is_open && device->is_paused);
	device->is_paused = false;
}

static void closing(void *context, struct vmbus_channel *channel)
{
	struct fake_device *device = context;

	CHECK(channel == device->channel && device->is_open);
	device->closing++;
	if (!device->holds) {
		device_let_go(device);
	}
}

static void released(void *context, struct vmbus_channel *channel)
{
	struct fake_device *device = context;

	CHECK(channel == device->channel && !device->is_open);
	device->released++;
	device->channel = NULL;
}

const struct vmbus_class device_class = {
	.name = "fake",
	.max_packet_bytes = 1024,
	.opened = opened,
	.closing = closing,
	.released = released,
	.pausing = pausing,
	.resumed = resumed,
};

const struct vmbus_class threadless_class = {
	.name = "threadless",
	.opened = opened,
	.released = released,
};

int device_offer(struct vmbus *bus, struct fake_device *device, uint32_t instance,
		 uint16_t sub_channel)
{
	struct vmbus_offer offer = {
		.type = VMBUS_GUID_SCSI,
		.instance = {.data1 = instance},
		.flags = VMBUS_CHANNEL_ENUMERATE_DEVICE_INTERFACE,
		.sub_channel = sub_channel,
		.by_page = device->by_page,
		.class = &device_class,
		.device = device,
	};

	return vmbus_offer(bus, &offer, &device->channel);
}

bool device_is_signalled(const struct fake_device *device)
{
	struct pollfd event = {.fd = channel_event(device->channel), .events = POLLIN};

	return poll(&event, 1, 0) == 1;
}

void device_let_go(struct fake_device *device)
{
	CHECK(device->is_open);
	device->is_open = false;
	channel_closed(device->channel);
}
