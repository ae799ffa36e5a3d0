/*
 * Signals in both directions, and what a device may ask about its channel.
 *
 * The guest's HvSignalEvent writes to the channel's eventfd, wherever the home lets it. To the
 * guest goes event flag relid of the VP that it chose. signal_lock makes a change of that VP final:
 * when signal_set_target() returns, nobody is about to signal the old one.
 */
#include <unistd.h>

#include "vmbus/server.h"

void signal_kick(const struct vmbus_channel *channel)
{
	uint64_t one = 1;

	/* It fails only when the counter is full: then it is readable anyhow. */
	if (write(channel->event, &one, sizeof(one)) < 0) {
		return;
	}
}

void signal_guest(struct vmbus_channel *channel)
{
	pthread_mutex_lock(&channel->signal_lock);
	if (channel->target_vp != VMBUS_TARGET_VP_NONE) {
		vmbus_host_signal(channel->bus->host, channel->target_vp, channel->relid);
	}
	pthread_mutex_unlock(&channel->signal_lock);
}

void signal_set_target(struct vmbus_channel *channel, uint32_t vp)
{
	pthread_mutex_lock(&channel->signal_lock);
	channel->target_vp = vp;
	pthread_mutex_unlock(&channel->signal_lock);
}

int channel_event(const struct vmbus_channel *channel)
{
	return channel->event;
}

void channel_clear_event(struct vmbus_channel *channel)
{
	uint64_t count;

	/* It fails only when there is nothing to clear. */
	if (read(channel->event, &count, sizeof(count)) < 0) {
		return;
	}
}

uint32_t channel_target_vp(struct vmbus_channel *channel)
{
	uint32_t vp;

	pthread_mutex_lock(&channel->signal_lock);
	vp = channel->target_vp;
	pthread_mutex_unlock(&channel->signal_lock);
	return vp;
}

uint32_t channel_sub_channel(const struct vmbus_channel *channel)
{
	return channel->offer.sub_channel_index;
}
