/*
 * Integration services whose guest sends anything at any time: raw packets, and answers to what it
 * was asked that are right but for some bytes. Channels open, close and are switched off meanwhile,
 * clocks go on and stand, and there is no room. Every shutdown has one end, no request is sent
 * before the last one has ended, and a channel that is not open is not touched. Who may be frozen
 * is asked to thaw. The channel is this file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/fake/integration_host.h"
#include "tests/fuzz/fuzz.h"
#include "vsp/integration/ic.h"

struct vmbus_channel {
	struct ic *ic;
	bool offered, withdrawn, open, paused, released;
	int event;
	uint8_t *packet; /* of the guest's, to be received */
	uint32_t packet_bytes;
	uint16_t type;
	bool wants_completion, taken;
};

#define CHANNELS 64u
#define HEAD     (sizeof(struct vmbuspipe_hdr) + sizeof(struct icmsg_hdr))

static struct vmbus_channel channels[CHANNELS];
static unsigned int channel_count;
static struct integration *integration;
static uint8_t asked[INTEGRATION_COUNT][IC_MESSAGE_MAX]; /* what the guest has been asked last */
static uint32_t asked_bytes[INTEGRATION_COUNT];
static bool room, unread; /* the guest leaves what it is asked in its ring */
static unsigned int begun, done_count;
static unsigned int exchanges, exchanged, forgotten;
static unsigned int freezes, frozen, thaws, thawed, copies, copied;
static bool may_be_frozen; /* by what the guest was asked for and has taken */

void check_failed(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	(void)what;
	abort();
}

/* ---- VMBus ---- */

int vmbus_offer(struct vmbus *bus, const struct vmbus_offer *offer, struct vmbus_channel **channel)
{
	(void)bus;
	if (channel_count == CHANNELS) {
		return -ENOSPC;
	}
	*channel = &channels[channel_count++];
	**channel = (struct vmbus_channel){.ic = offer->device, .offered = true};
	return 0;
}

void vmbus_rescind(struct vmbus_channel *channel)
{
	EXPECT(channel->offered && !channel->withdrawn);
	channel->withdrawn = true;
}

void channel_closed(struct vmbus_channel *channel)
{
	EXPECT(channel->open);
	channel->open = false;
}

bool channel_starts_paused(const struct vmbus_channel *channel)
{
	return channel->paused;
}

void channel_paused(struct vmbus_channel *channel)
{
	EXPECT(channel->open);
	channel->paused = true;
}

int channel_event(const struct vmbus_channel *channel)
{
	EXPECT(channel->open);
	return channel->event;
}

static void is_usable(const struct vmbus_channel *channel)
{
	EXPECT(channel->open && !channel->paused);
}

void channel_clear_event(struct vmbus_channel *channel)
{
	is_usable(channel);
}

void channel_flush(struct vmbus_channel *channel)
{
	is_usable(channel);
}

int channel_receive(struct vmbus_channel *channel, struct vmbus_packet *packet)
{
	is_usable(channel);
	if (channel->packet == NULL || channel->taken) {
		return 0;
	}
	channel->taken = true;
	*packet = (struct vmbus_packet){.type = channel->type,
					.completion_requested = channel->wants_completion,
					.payload = channel->packet,
					.payload_bytes = channel->packet_bytes};
	return 1;
}

static void forget_packet(struct vmbus_channel *channel)
{
	free(channel->packet);
	channel->packet = NULL;
}

int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned int count)
{
	enum integration_service service = channel->ic->service;
	struct vmbuspipe_hdr pipe;
	struct icmsg_hdr head;

	is_usable(channel);
	EXPECT(count == 1 && !completion_requested && payload->iov_len <= IC_MESSAGE_MAX);
	memcpy(&pipe, payload->iov_base, sizeof(pipe));
	memcpy(&head, (const uint8_t *)payload->iov_base + sizeof(pipe), sizeof(head));
	EXPECT(pipe.msgsize == payload->iov_len - sizeof(pipe) &&
	       head.icmsgsize == pipe.msgsize - sizeof(head) &&
	       head.ictransaction_id == (uint8_t)transaction);
	if (!room) {
		return -EAGAIN;
	}
	asked_bytes[service] = (uint32_t)payload->iov_len;
	memcpy(asked[service], payload->iov_base, payload->iov_len);
	may_be_frozen |= service == INTEGRATION_VSS && head.icmsgtype == ICMSGTYPE_VSS &&
			 asked[service][HEAD] == VSS_OP_FREEZE;
	return 0;
}

bool channel_unread(const struct vmbus_channel *channel)
{
	is_usable(channel);
	return unread;
}

int channel_complete(struct vmbus_channel *channel, uint64_t transaction,
		     const struct iovec *payload, unsigned int count)
{
	(void)transaction;
	(void)payload;
	is_usable(channel);
	EXPECT(count == 0);
	return room ? 0 : -EAGAIN;
}

/* ---- The guest and the machine ---- */

static struct vmbus_channel *channel_of(unsigned int service)
{
	unsigned int i = channel_count;

	while (i-- > 0) {
		if (channels[i].ic->service == service && !channels[i].released &&
		    (channels[i].open || !channels[i].withdrawn)) {
			return &channels[i];
		}
	}
	return NULL;
}

static void close_channel(struct vmbus_channel *channel)
{
	if (channel->open) {
		ic_vmbus_class.closing(channel->ic, channel);
		EXPECT(!channel->open);
		close(channel->event);
		forget_packet(channel);
	}
}

/* What was withdrawn closes, is released, and nothing opens before. */
static void settle(void)
{
	unsigned int i;

	for (i = 0; i < channel_count; i++) {
		if (channels[i].withdrawn && !channels[i].released) {
			close_channel(&channels[i]);
			channels[i].released = true;
			ic_vmbus_class.released(channels[i].ic, &channels[i]);
		}
	}
}

static void toggle(struct vmbus_channel *channel)
{
	settle();
	if (channel->open) {
		close_channel(channel);
	} else if (!channel->withdrawn) {
		channel->open = true;
		channel->paused = false;
		channel->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		EXPECT(ic_vmbus_class.opened(channel->ic, channel) == 0);
	}
}

static void stand(struct vmbus_channel *channel)
{
	if (channel->open && !channel->paused) {
		ic_vmbus_class.pausing(channel->ic, channel);
		EXPECT(channel->paused);
	} else if (channel->open) {
		channel->paused = false;
		ic_vmbus_class.resumed(channel->ic, channel);
	}
}

static void deliver(struct vmbus_channel *channel, const uint8_t *bytes, size_t size, uint8_t how)
{
	if (!channel->open || channel->paused) {
		return;
	}
	/* So that a byte read too far is seen. */
	channel->packet = malloc(size + 1);
	EXPECT(channel->packet != NULL);
	memcpy(channel->packet, bytes, size);
	channel->packet_bytes = (uint32_t)size;
	channel->taken = false;
	channel->type = how & 1 ? VM_PKT_COMP : VM_PKT_DATA_INBAND;
	channel->wants_completion = how & 2;
	channel->ic->integration->more = false;
	ic_serve(channel->ic);
	forget_packet(channel);
}

/* A right answer to what was asked, but for the bytes that the input changes: pairs of a place and
 * a value. */
static void reply(unsigned int service, struct vmbus_channel *channel, const uint8_t *data,
		  size_t size)
{
	uint8_t bytes[IC_MESSAGE_MAX];
	uint32_t count = asked_bytes[service];
	struct icmsg_hdr *head = (struct icmsg_hdr *)(bytes + sizeof(struct vmbuspipe_hdr));
	uint8_t *body = bytes + sizeof(struct vmbuspipe_hdr) + sizeof(*head);

	if (count == 0) {
		return;
	}
	memcpy(bytes, asked[service], count);
	head->icflags = ICMSGHDRFLAG_RESPONSE | ICMSGHDRFLAG_TRANSACTION;
	if (head->icmsgtype == ICMSGTYPE_NEGOTIATE) {
		body[0] = body[2] = 1;
		memcpy(body + 8, (const uint8_t[]){3, 0, 0, 0}, 4);
		memcpy(body + 12,
		       channel->ic->class->versions + size % channel->ic->class->version_count, 4);
	} else {
		body[0]++;
	}
	for (; size >= 2; data += 2, size -= 2) {
		/* Of a long message the head, and what lies here and there behind it. */
		bytes[(data[0] < 64 ? data[0] : data[0] * 29u) % count] = data[1];
	}
	deliver(channel, bytes, count, 0);
}

static void done(void *user, int ret, const char *why)
{
	(void)user;
	EXPECT(ret == 0 || why != NULL);
	done_count++;
}

static void shut_down(uint8_t flags)
{
	const struct integration_shutdown shutdown = {.flags = flags & 3, .done = done};

	begun += integration_shutdown(integration, &shutdown) == 0;
}

static bool each(void *user, uint32_t index, const struct integration_pair *pair)
{
	(void)user;
	EXPECT(strlen(pair->key) < sizeof(pair->key) && strlen(pair->text) < sizeof(pair->text));
	return index % 7 != 6;
}

static void got(void *user, const struct integration_addresses *addresses)
{
	unsigned int i;

	(void)user;
	EXPECT(addresses->address_count <= INTEGRATION_ADDRESSES_MAX &&
	       addresses->gateway_count <= INTEGRATION_GATEWAYS_MAX &&
	       addresses->dns_count <= INTEGRATION_ADDRESSES_MAX);
	for (i = 0; i < addresses->address_count; i++) {
		EXPECT(addresses->addresses[i].prefix <= (addresses->addresses[i].six ? 128 : 32));
	}
}

static void exchange_done(void *user, int ret, const char *why)
{
	EXPECT(user == &exchanged && (ret == 0) == (why == NULL));
	exchanged++;
}

static void exchange(const uint8_t *data, size_t size)
{
	static struct integration_pair pair;
	static const struct integration_adapter adapter;
	static struct integration_addresses addresses;
	bool of_addresses = data[0] % 8 >= 6;
	struct integration_kvp what = {.operation = of_addresses ? INTEGRATION_KVP_GET_ADDRESSES +
									   data[0] % 2u
								 : data[0] % 4u,
				       .pool = data[0] / 4 % INTEGRATION_POOL_COUNT,
				       .pair = of_addresses ? NULL : &pair,
				       .adapter = &adapter,
				       .addresses = &addresses,
				       .got = got,
				       .each = each,
				       .done = exchange_done,
				       .user = &exchanged};

	memset(&pair, 0, sizeof(pair));
	addresses.address_count = data[0] % 17u;
	pair.type = data[0] / 32 % 4;
	memcpy(pair.key, data, size < sizeof(pair.key) - 1 ? size : sizeof(pair.key) - 1);
	memcpy(pair.text, data, size < sizeof(pair.text) - 1 ? size : sizeof(pair.text) - 1);
	if (data[0] == 255) {
		integration_kvp_forget(integration, &exchanged);
		forgotten += exchanges - exchanged - forgotten;
	} else {
		exchanges += integration_kvp(integration, &what) == 0;
	}
}

static void freeze_done(void *user, int ret, const char *why)
{
	EXPECT(user == &frozen && (ret == 0) == (why == NULL));
	frozen++;
}

static void thaw_done(void *user, int ret, const char *why)
{
	EXPECT(user == &thawed && (ret == 0) == (why == NULL));
	thawed++;
}

static void freeze(uint8_t how)
{
	const struct integration_freeze freeze_ = {
		.seconds = 1 + how / 8, .done = freeze_done, .user = &frozen};
	const struct integration_thaw thaw = {.done = thaw_done, .user = &thawed};

	switch (how % 8) {
	case 0:
		integration_freeze_forget(integration, "nobody wants it");
		freezes = frozen;
		break;
	case 1:
		integration_thaw_forget(integration);
		thaws = thawed;
		break;
	case 2:
	case 3:
		thaws += integration_thaw(integration, &thaw) == 0;
		break;
	default:
		freezes += integration_freeze(integration, &freeze_) == 0;
		break;
	}
}

static int read_answer;

static int read_piece(void *user, uint64_t offset, void *to, uint32_t bytes)
{
	EXPECT(user == &copied && bytes <= DATA_FRAGMENT && offset < UINT16_MAX);
	memset(to, 1, bytes);
	return read_answer;
}

static void copy_done(void *user, int ret, const char *why)
{
	EXPECT(user == &copied && (ret == 0) == (why == NULL));
	copied++;
}

static void copy(const uint8_t *data, size_t size)
{
	char path[256] = "/";
	const struct integration_copy what = {.path = path,
					      .size = data[0] * 100u,
					      .read = read_piece,
					      .done = copy_done,
					      .user = &copied};

	memcpy(path + 1, data, size < sizeof(path) - 2 ? size : sizeof(path) - 2);
	read_answer = data[0] % 4 == 3 ? -EIO : data[0] % 4 == 2 ? -EAGAIN : 0;
	if (data[0] < 32) {
		integration_copy_forget(integration);
		copies = copied;
	} else if (data[0] < 128) {
		integration_copy_ready(integration);
	} else {
		copies += integration_copy(integration, &what) == 0;
	}
}

static void look(void)
{
	struct integration_state state;
	unsigned int i;

	for (i = 0; i < INTEGRATION_COUNT; i++) {
		integration_get_state(integration, i, &state);
		EXPECT(state.contacted == (state.why == NULL));
		EXPECT(state.enabled || !state.contacted);
	}
	/* Who may be frozen is known to be. */
	integration_get_state(integration, INTEGRATION_VSS, &state);
	if (state.file_systems == INTEGRATION_THAWED) {
		EXPECT(!may_be_frozen || asked[INTEGRATION_VSS][HEAD] == VSS_OP_THAW);
		may_be_frozen = false;
	}
}

/* An action, with what belongs to it. */
static void act(const uint8_t *data, size_t size)
{
	unsigned int service = data[0] % INTEGRATION_COUNT;
	struct vmbus_channel *channel = channel_of(service);

	switch (data[0] / INTEGRATION_COUNT % 14) {
	case 0:
		if (channel != NULL) {
			toggle(channel);
		}
		break;
	case 1:
		home.clock += data[1] * IC_SECOND;
		home.date += data[1] * IC_SECOND;
		break;
	case 2:
		if (channel != NULL) {
			deliver(channel, data + 2, size - 2, data[1]);
		}
		break;
	case 3:
	case 4:
	case 5:
		if (channel != NULL) {
			reply(service, channel, data + 1, size - 1);
		}
		break;
	case 6:
		(void)!integration_enable(integration, service, data[1] & 1);
		break;
	case 7:
		shut_down(data[1]);
		break;
	case 8:
		room = data[1] & 1;
		home.no_reference = data[1] & 2 ? -EIO : 0;
		home.stands = data[1] & 4;
		unread = data[1] & 32;
		if (data[1] & 8 && channel != NULL) {
			stand(channel);
		}
		if (data[1] & 16 && !home.stands) {
			integration_resumed(integration);
		}
		break;
	case 9:
	case 10:
		exchange(data + 1, size - 1);
		break;
	case 11:
		freeze(data[1]);
		break;
	case 12:
		copy(data + 1, size - 1);
		break;
	default:
		integration_ended(integration, data[1] % 3);
		may_be_frozen = false; /* a guest that begins anew */
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int i;

	memset(&home, 0, sizeof(home));
	memset(asked_bytes, 0, sizeof(asked_bytes));
	channel_count = begun = done_count = 0;
	exchanges = exchanged = forgotten = 0;
	freezes = frozen = thaws = thawed = copies = copied = 0;
	may_be_frozen = false;
	room = true;
	unread = false;
	EXPECT(integration_create(NULL, &home, &integration) == 0);
	while (size > 3) {
		size_t length = data[0] < size - 1 ? data[0] : size - 1;

		data++;
		size--;
		if (length >= 2) {
			act(data, length);
			integration_serve(integration);
			look();
		}
		data += length;
		size -= length;
	}
	for (i = 0; i < channel_count; i++) {
		close_channel(&channels[i]);
	}
	integration_ended(integration, INTEGRATION_END_OTHER);
	EXPECT(begun == done_count && exchanges == exchanged + forgotten);
	EXPECT(freezes == frozen && thaws == thawed && copies == copied);
	integration_destroy(&integration);
	return 0;
}
