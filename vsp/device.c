/* The channels of a device, see device.h. */
#include "vsp/device.h"

#include <errno.h>

void vsp_device_create(struct vsp_device *device, const struct vsp_device_class *class, void *owner,
		       struct vmbus *bus)
{
	*device = (struct vsp_device){.class = class, .owner = owner, .bus = bus};
	pthread_mutex_init(&device->lock, NULL);
}

static void join(const struct vsp_device *device, struct vsp_channel *vsp)
{
	if (vsp != NULL) {
		vsp_join(vsp);
		device->class->free(vsp);
	}
}

void vsp_device_free(struct vsp_device *device)
{
	unsigned int i;

	for (i = 0; i < VSP_CHANNELS_MAX; i++) {
		join(device, device->places[i].last);
		if (device->places[i].loaded != NULL) {
			device->class->free(device->places[i].loaded);
		}
	}
	pthread_mutex_destroy(&device->lock);
}

/* ---- offers ---- */

static uint64_t offered(const struct vsp_device *device)
{
	uint64_t mask = 0;
	unsigned int i;

	for (i = 0; i < VSP_CHANNELS_MAX; i++) {
		mask |= (uint64_t)(device->places[i].offer != NULL) << i;
	}
	return mask;
}

uint64_t vsp_offered(struct vsp_device *device)
{
	uint64_t mask;

	pthread_mutex_lock(&device->lock);
	mask = offered(device);
	pthread_mutex_unlock(&device->lock);
	return mask;
}

/* The lock is held meanwhile, so that the channel is known before it can be released. */
int vsp_offer(struct vsp_device *device, unsigned int index, const struct vmbus_offer *offer)
{
	struct vmbus_offer whole = *offer;
	struct vmbus_channel *channel;
	int ret;

	whole.sub_channel = (uint16_t)index;
	whole.device = device;
	pthread_mutex_lock(&device->lock);
	ret = device->withdrawn ? -ENODEV : vmbus_offer(device->bus, &whole, &channel);
	if (ret == 0) {
		device->places[index].offer = channel;
	}
	pthread_mutex_unlock(&device->lock);
	return ret;
}

/* Under lock. */
static void rescind_from(struct vsp_device *device, unsigned int first)
{
	unsigned int i;

	for (i = first; i < VSP_CHANNELS_MAX; i++) {
		if (device->places[i].offer != NULL) {
			vmbus_rescind(device->places[i].offer);
		}
	}
}

void vsp_rescind_sub_channels(struct vsp_device *device)
{
	pthread_mutex_lock(&device->lock);
	rescind_from(device, 1);
	pthread_mutex_unlock(&device->lock);
}

void vsp_released(void *context, struct vmbus_channel *channel)
{
	struct vsp_device *device = context;
	unsigned int index = channel_sub_channel(channel);
	bool last;

	pthread_mutex_lock(&device->lock);
	if (device->places[index].offer ==
	    channel) { /* else the same was offered again meanwhile */
		device->places[index].offer = NULL;
	}
	last = device->destroyed && offered(device) == 0;
	pthread_mutex_unlock(&device->lock);
	if (last) {
		device->class->ended(device->owner);
	}
}

void vsp_device_withdraw(struct vsp_device *device, bool waits)
{
	unsigned int i;

	pthread_mutex_lock(&device->lock);
	device->withdrawn = true;
	for (i = 0; i < VSP_CHANNELS_MAX; i++) {
		if (device->places[i].offer != NULL) {
			(waits ? vmbus_withdraw : vmbus_rescind)(device->places[i].offer);
		}
	}
	pthread_mutex_unlock(&device->lock);
}

void vsp_device_destroy(struct vsp_device *device)
{
	bool last;

	vsp_device_withdraw(device, false);
	pthread_mutex_lock(&device->lock);
	device->destroyed = true;
	last = offered(device) == 0;
	pthread_mutex_unlock(&device->lock);
	if (last) {
		device->class->ended(device->owner);
	}
}

/* ---- open channels ---- */

static void set_open(struct vsp_device *device, unsigned int index, bool open)
{
	uint64_t bit = 1ull << index;

	device->open = open ? device->open | bit : device->open & ~bit;
}

static void changed(struct vsp_device *device)
{
	if (device->class->changed != NULL) {
		device->class->changed(device->owner);
	}
}

/* What a loaded state has for the channel, if this is the open that the state had; whoever opens it
 * later has nothing to do with it. */
static struct vsp_channel *take_loaded(const struct vsp_device *device, struct vsp_channel *loaded,
				       bool goes_on)
{
	if (loaded == NULL || goes_on) {
		return loaded;
	}
	if (device->class->forget != NULL) {
		device->class->forget(loaded);
	}
	device->class->free(loaded);
	return NULL;
}

static int start(struct vsp_device *device, unsigned int index, struct vmbus_channel *channel,
		 struct vsp_channel *vsp)
{
	int event = -1, ret;

	if (device->class->event != NULL) {
		event = device->class->event(device->owner, index);
	}
	pthread_mutex_lock(&device->lock);
	ret = vsp_start(vsp, device->class->channel, vsp, channel, &event,
			device->class->event != NULL);
	if (ret == 0) {
		device->places[index].last = vsp;
		set_open(device, index, true);
	}
	pthread_mutex_unlock(&device->lock);
	return ret;
}

/* The thread of the open before has said channel_closed(), its last words; so joining it does not
 * wait. */
int vsp_opened(void *context, struct vmbus_channel *channel)
{
	struct vsp_device *device = context;
	unsigned int index = channel_sub_channel(channel);
	struct vsp_channel *before, *vsp;
	int ret = 0;

	pthread_mutex_lock(&device->lock);
	before = device->places[index].last;
	vsp = device->places[index].loaded;
	device->places[index].last = device->places[index].loaded = NULL;
	pthread_mutex_unlock(&device->lock);
	join(device, before);
	vsp = take_loaded(device, vsp, channel_starts_paused(channel));
	if (vsp == NULL) {
		ret = device->class->create(device->owner, index, &vsp);
	} else if (device->class->load != NULL) {
		ret = device->class->load(vsp, channel);
		if (ret != 0) {
			device->class->free(vsp);
		}
	}
	if (ret != 0) {
		return ret;
	}
	ret = start(device, index, channel, vsp);
	if (ret != 0) {
		device->class->free(vsp);
		return ret;
	}
	changed(device);
	return 0;
}

static struct vsp_channel *last_of(struct vsp_device *device, const struct vmbus_channel *channel)
{
	struct vsp_channel *vsp;

	pthread_mutex_lock(&device->lock);
	vsp = device->places[channel_sub_channel(channel)].last;
	pthread_mutex_unlock(&device->lock);
	CHECK(vsp != NULL && vsp->channel == channel); /* opened() and closing() come in pairs */
	return vsp;
}

void vsp_closing(void *context, struct vmbus_channel *channel)
{
	struct vsp_device *device = context;
	struct vsp_channel *vsp = last_of(device, channel);
	unsigned int index = channel_sub_channel(channel);

	pthread_mutex_lock(&device->lock);
	set_open(device, index, false);
	if (index == 0) {
		rescind_from(device, 1);
	}
	pthread_mutex_unlock(&device->lock);
	changed(device);
	vsp_close(vsp);
}

void vsp_pausing(void *context, struct vmbus_channel *channel)
{
	vsp_pause(last_of(context, channel));
}

void vsp_resumed(void *context, struct vmbus_channel *channel)
{
	vsp_resume(last_of(context, channel));
}

void vsp_wake_all(struct vsp_device *device)
{
	unsigned int i;

	pthread_mutex_lock(&device->lock);
	for (i = 0; i < VSP_CHANNELS_MAX; i++) {
		if (device->places[i].last != NULL) {
			vsp_wake(device->places[i].last);
		}
	}
	pthread_mutex_unlock(&device->lock);
}

uint64_t vsp_open(struct vsp_device *device)
{
	uint64_t mask;

	pthread_mutex_lock(&device->lock);
	mask = device->open;
	pthread_mutex_unlock(&device->lock);
	return mask;
}

/* ---- saving and loading ---- */

struct vsp_channel *vsp_open_channel(struct vsp_device *device, unsigned int index)
{
	struct vsp_channel *vsp;

	pthread_mutex_lock(&device->lock);
	vsp = device->open >> index & 1 ? device->places[index].last : NULL;
	pthread_mutex_unlock(&device->lock);
	return vsp;
}

void vsp_load(struct vsp_device *device, unsigned int index, struct vsp_channel *vsp)
{
	CHECK(device->places[index].loaded == NULL);
	device->places[index].loaded = vsp;
}
