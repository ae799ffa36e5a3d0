/*
 * Signals in both directions, and what a device may ask about its channel.
 *
 * The guest's HvSignalEvent writes to the channel's eventfd, wherever the home lets it. To the
 * guest goes event flag relid of the VP that it chose. signal_lock makes a change of that VP final:
 * when signal_set_target() returns, nobody is about to signal the old one.
 *
 * A guest of a version before 2.4 shares an interrupt page with us instead, and one signal each way
 * says that something is in it. Its signal wakes the control thread, which passes it on to the
 * channels' events.
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

/* ---- the interrupt page ---- */

#define WORD_BITS  64u
#define PAGE_WORDS (VMBUS_MAX_CHANNELS / WORD_BITS)
#define HALF_BYTES (VMBUS_PAGE_SIZE / 2)

const char *signal_take_page(struct vmbus *bus, uint64_t gpa)
{
	uint64_t number = gpa / VMBUS_PAGE_SIZE;
	struct iovec page;

	if (gpa % VMBUS_PAGE_SIZE != 0 ||
	    vmbus_host_acquire(bus->host, &number, 0, VMBUS_PAGE_SIZE, &page, 1) != 1) {
		return "its interrupt page is no page of RAM";
	}
	if (vmbus_host_connect(bus->host, VMBUS_EVENT_CONNECTION_ID, bus->event) != 0) {
		vmbus_host_complete(bus->host, &number, 0, VMBUS_PAGE_SIZE, 0);
		return "there is no connection for its signals";
	}
	bus->interrupt_number = number;
	bus->interrupt_page = page.iov_base;
	return NULL;
}

void signal_drop_page(struct vmbus *bus)
{
	if (bus->interrupt_page != NULL) {
		vmbus_host_disconnect(bus->host, VMBUS_EVENT_CONNECTION_ID);
		vmbus_host_complete(bus->host, &bus->interrupt_number, 0, VMBUS_PAGE_SIZE, 0);
		bus->interrupt_page = NULL;
	}
}

static void kick_word(struct vmbus *bus, uint32_t first, uint64_t bits)
{
	for (; bits != 0; bits &= bits - 1) {
		struct vmbus_channel *channel =
			channel_find(bus, first + (uint32_t)__builtin_ctzll(bits));

		if (channel != NULL && channel->state == CHANNEL_OPEN) {
			signal_kick(channel);
		}
	}
}

void signal_scan(struct vmbus *bus)
{
	uint32_t i, first = HALF_BYTES / sizeof(*bus->interrupt_page);

	for (i = 0; bus->interrupt_page != NULL && i < PAGE_WORDS; i++) {
		uint64_t *word = &bus->interrupt_page[first + i];

		if (__atomic_load_n(word, __ATOMIC_RELAXED) != 0) {
			kick_word(bus, i * WORD_BITS,
				  __atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL));
			vmbus_host_wrote(bus->host, &bus->interrupt_number,
					 (first + i) * (uint32_t)sizeof(*word), sizeof(*word));
		}
	}
}

/* The bit first: the guest looks for it when it is interrupted. */
static void signal_by_page(const struct vmbus_channel *channel)
{
	struct vmbus *bus = channel->bus;
	uint32_t at = channel->relid / WORD_BITS;
	uint64_t *word = &bus->interrupt_page[at];

	__atomic_fetch_or(word, 1ull << channel->relid % WORD_BITS, __ATOMIC_RELEASE);
	vmbus_host_wrote(bus->host, &bus->interrupt_number, at * (uint32_t)sizeof(*word),
			 sizeof(*word));
	vmbus_host_signal(bus->host, 0, 0);
}

/* ---- channels ---- */

void signal_guest(struct vmbus_channel *channel)
{
	if (channel->bus->interrupt_page != NULL) {
		signal_by_page(channel);
		return;
	}
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
