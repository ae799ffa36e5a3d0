/* See lone_device.h. */
#include "tests/fake/lone_device.h"

#include <stdlib.h>

#include "lib/check.h"

struct vsp_device *lone_device;
struct vsp_channel *lone_channel, *lone_loaded;
bool lone_shut;

bool lone_open(void)
{
	if (lone_channel != NULL) {
		return false;
	}
	lone_shut = false;
	if (lone_device->class->create(lone_device->owner, 0, &lone_channel) != 0) {
		abort();
	}
	return true;
}

bool lone_close(void)
{
	if (lone_channel == NULL) {
		return false;
	}
	lone_device->class->channel->closed(lone_channel);
	lone_device->class->free(lone_channel);
	lone_channel = NULL;
	return true;
}

void check_failed(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	(void)what;
	abort();
}

int vsp_offer(struct vsp_device *dev, unsigned int index, const struct vmbus_offer *offer)
{
	(void)dev;
	if (index != 0 || offer->sub_channel != 0) {
		abort();
	}
	return 0;
}

void vsp_device_create(struct vsp_device *dev, const struct vsp_device_class *class, void *owner,
		       struct vmbus *bus)
{
	*dev = (struct vsp_device){.class = class, .owner = owner, .bus = bus};
	lone_device = dev;
}

void vsp_device_destroy(struct vsp_device *dev)
{
	dev->class->ended(dev->owner);
}

struct vsp_channel *vsp_open_channel(struct vsp_device *dev, unsigned int index)
{
	(void)dev;
	(void)index;
	return lone_channel;
}

void vsp_load(struct vsp_device *dev, unsigned int index, struct vsp_channel *vsp)
{
	(void)dev;
	if (index != 0 || lone_loaded != NULL) {
		abort();
	}
	lone_loaded = vsp;
}

bool vsp_is_ending(const struct vsp_channel *vsp)
{
	(void)vsp;
	return lone_shut;
}

bool vsp_is_pausing(const struct vsp_channel *vsp)
{
	(void)vsp;
	return false;
}

void vsp_wake_all(struct vsp_device *dev)
{
	(void)dev;
}

void vsp_device_free(struct vsp_device *dev)
{
	(void)dev;
}

/* Of its vmbus_class, which nobody calls. */
int vsp_opened(void *dev, struct vmbus_channel *channel)
{
	(void)dev;
	(void)channel;
	abort();
}

#define NOT_CALLED(function)                                                                       \
	void function(void *dev, struct vmbus_channel *channel)                                    \
	{                                                                                          \
		(void)vsp_opened(dev, channel);                                                    \
	}
NOT_CALLED(vsp_closing)
NOT_CALLED(vsp_released)
NOT_CALLED(vsp_pausing)
NOT_CALLED(vsp_resumed)
