/*
 * Signals of the guest's by its monitor page, for channels that were offered so (struct
 * vmbus_offer, `by_page`): drivers in user space, which can write to memory and call nobody, know
 * no other.
 *
 * The guest names two pages in its contact; of the second it sets a bit, one for each channel, in
 * one of four words. Nothing says that it has. So while such a channel is open a timer looks at the
 * words: each tenth of a millisecond while there are signals, each millisecond when none has come
 * for a while. The guest's wishes, in the rest of the page, are not looked at.
 *
 * A channel's bit is its relid, so it needs no place in a saved state; who has a relid above the
 * last bit signals by hypercall.
 */
#include <sys/timerfd.h>

#include "vmbus/server.h"

#define GROUPS     4u
#define GROUP_BITS 32u
#define GROUPS_AT                                                                                  \
	8u /* in the page: a word of bits and one that is the hypervisor's, for each group */
#define GROUP_BYTES 8u
#define SHORT_NS    100000
#define LONG_NS     1000000
#define QUIET_LOOKS 200u /* without a signal, until the period is the long one */

bool monitor_has_bit(const struct vmbus_channel *channel, uint32_t relid)
{
	return channel->by_page && relid < GROUPS * GROUP_BITS;
}

static void set_period(struct vmbus *bus, long ns)
{
	struct itimerspec period = {.it_interval.tv_nsec = ns, .it_value.tv_nsec = ns};

	if (bus->monitor_period_ns != ns) {
		bus->monitor_period_ns = ns;
		CHECK(timerfd_settime(bus->timer, 0, &period, NULL) == 0);
	}
}

void monitor_watch(struct vmbus *bus)
{
	set_period(bus, bus->monitored != 0 && !bus->paused ? SHORT_NS : 0);
	bus->quiet_looks = 0;
}

const char *monitor_take(struct vmbus *bus)
{
	uint64_t number = bus->monitor_gpa / VMBUS_PAGE_SIZE;
	struct iovec page;

	if (bus->monitored == 0) {
		if (bus->monitor_gpa == 0 || bus->monitor_gpa % VMBUS_PAGE_SIZE != 0 ||
		    vmbus_host_acquire(bus->host, &number, 0, VMBUS_PAGE_SIZE, &page, 1) != 1) {
			return "its monitor page is no page of RAM";
		}
		bus->monitor_number = number;
		bus->monitor_page = page.iov_base;
	}
	bus->monitored++;
	monitor_watch(bus);
	return NULL;
}

void monitor_drop(struct vmbus *bus)
{
	if (--bus->monitored == 0) {
		monitor_watch(bus);
		vmbus_host_complete(bus->host, &bus->monitor_number, 0, VMBUS_PAGE_SIZE, 0);
		bus->monitor_page = NULL;
	}
}

static void kick_group(struct vmbus *bus, uint32_t group, uint32_t bits)
{
	for (; bits != 0; bits &= bits - 1) {
		struct vmbus_channel *channel =
			channel_find(bus, group * GROUP_BITS + (uint32_t)__builtin_ctz(bits));

		if (channel != NULL && channel->state == CHANNEL_OPEN) {
			signal_kick(channel);
		}
	}
}

/* The words are taken first: who sets a bit again afterwards is seen at the next look. */
void monitor_look(struct vmbus *bus)
{
	uint32_t group, any = 0;

	if (bus->monitor_page == NULL) {
		return;
	}
	for (group = 0; group < GROUPS; group++) {
		uint32_t at = GROUPS_AT + group * GROUP_BYTES;
		uint32_t *word = (uint32_t *)(bus->monitor_page + at);

		if (__atomic_load_n(word, __ATOMIC_RELAXED) != 0) {
			uint32_t bits = __atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL);

			vmbus_host_wrote(bus->host, &bus->monitor_number, at, sizeof(*word));
			kick_group(bus, group, bits);
			any |= bits;
		}
	}
	bus->quiet_looks = any != 0 ? 0 : bus->quiet_looks + 1;
	set_period(bus, bus->quiet_looks < QUIET_LOOKS ? SHORT_NS : LONG_NS);
}
