/*
 * Hostile packets of the network protocol: NVSP of any type in any state, RNDIS messages with PPIs
 * in sections and in ranges, completions of whatever. Channels, their threads and the switch are
 * this file. Every packet that wants a completion must get one, once; every slot and every range
 * must lie where it may; and when all is closed nothing is held any more.
 */
#include "tests/fuzz/fuzz.h"
#include "vsp/network/netvsp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RAM_BYTES  (1u << 20)
#define RECEIVE_AT 0u /* the GPADLs' places */
#define SEND_AT    (512u << 10)
#define CHANNELS   4u
#define SLOTS      1024u
#define STEP       16u
#define PACKETS    512u
#define ROUNDS     64u

struct vmbus_channel {
	unsigned int index;
};

struct vmbus_gpadl {
	uint32_t at, bytes;
	unsigned int users;
};

static struct vmbus_channel channels[CHANNELS];
static struct vmbus_gpadl gpadls[2] = {{RECEIVE_AT, 200000, 0}, {SEND_AT, 65536, 0}};
static _Alignas(4096) uint8_t ram[RAM_BYTES];
static struct netport port;
static struct ring out[CHANNELS], in[CHANNELS];
static struct network *network;
static struct net_queue *queues[CHANNELS];
static const struct vsp_class *class;
static const struct vmbus_class *bus_class;
static bool offered[CHANNELS], is_open[CHANNELS];
static unsigned int ranges_held, answers[PACKETS], wanted[PACKETS], packet_count, calls;
static bool starts_paused, reborn;
static uint32_t told_vf;
static bool refuses; /* the guest's ring has no room, now and then */

void check_failed(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	(void)what;
	abort();
}

static void must(bool holds)
{
	if (!holds) {
		abort();
	}
}

/* ---- in place of the bus ---- */

int vmbus_offer(struct vmbus *bus, const struct vmbus_offer *offer, struct vmbus_channel **channel)
{
	(void)bus;
	must(offer->sub_channel < CHANNELS && !offered[offer->sub_channel]);
	bus_class = offer->class;
	offered[offer->sub_channel] = true;
	*channel = &channels[offer->sub_channel];
	return 0;
}

void vmbus_rescind(struct vmbus_channel *channel)
{
	(void)channel; /* set_down() releases them all */
}

void vmbus_withdraw(struct vmbus_channel *channel)
{
	(void)channel;
}

uint32_t channel_sub_channel(const struct vmbus_channel *channel)
{
	return channel->index;
}

bool channel_starts_paused(const struct vmbus_channel *channel)
{
	(void)channel;
	return starts_paused;
}

struct vmbus_gpadl *channel_gpadl_get(struct vmbus_channel *channel, uint32_t handle)
{
	(void)channel;
	if (handle % 4 >= 2) {
		return NULL;
	}
	gpadls[handle % 4].users++;
	return &gpadls[handle % 4];
}

void channel_gpadl_put(struct vmbus_channel *channel, struct vmbus_gpadl *gpadl)
{
	(void)channel;
	must(gpadl->users-- > 0);
}

uint32_t gpadl_bytes(const struct vmbus_gpadl *gpadl)
{
	return gpadl->bytes;
}

/* Pages, none of which joins the next. */
static int cut(uint32_t at, uint32_t bytes, struct iovec *iov, unsigned int max)
{
	unsigned int count = 0;

	while (bytes > 0) {
		uint32_t part = 4096 - at % 4096;

		part = part < bytes ? part : bytes;
		if (count == max) {
			return -E2BIG;
		}
		iov[count++] = (struct iovec){ram + at, part};
		at += part;
		bytes -= part;
	}
	return (int)count;
}

int gpadl_range(const struct vmbus_gpadl *gpadl, uint32_t offset, uint32_t bytes, struct iovec *iov,
		unsigned int max)
{
	must(gpadl->users > 0);
	if (offset > gpadl->bytes || bytes > gpadl->bytes - offset) {
		return -EINVAL;
	}
	return cut(gpadl->at + offset, bytes, iov, max);
}

void gpadl_wrote(const struct vmbus_gpadl *gpadl, uint32_t offset, uint32_t bytes)
{
	must(gpadl->users > 0 && offset <= gpadl->bytes && bytes <= gpadl->bytes - offset);
}

int packet_range(const struct vmbus_packet *packet, uint32_t index, struct vmbus_range *range)
{
	const uint8_t *plan = packet->ranges;

	if (index >= packet->range_count) {
		return -EINVAL;
	}
	range->offset = plan[2 * index % 8] * 16u;
	range->bytes = plan[(2 * index + 1) % 8] * 64u;
	if ((range->offset + range->bytes + 4095) / 4096 > range->page_max) {
		return -E2BIG;
	}
	return 0;
}

int channel_acquire_range(const struct vmbus_channel *channel, const struct vmbus_range *range,
			  struct iovec *iov, unsigned int max)
{
	int count;

	(void)channel;
	if (range->offset == 255 * 16) {
		return -EFAULT;
	}
	count = cut(SEND_AT + range->offset, range->bytes, iov, max);
	ranges_held += count > 0;
	return count;
}

void channel_complete_range(const struct vmbus_channel *channel, const struct vmbus_range *range,
			    uint32_t written)
{
	(void)channel;
	must(range->bytes != 0 && written == 0 && ranges_held-- > 0);
}

static bool has_room(void)
{
	return !refuses || ++calls % 3 != 0;
}

static void completed(uint64_t transaction, uint32_t bytes)
{
	if (reborn) {
		return;
	}
	must(transaction < packet_count && wanted[transaction] && answers[transaction]++ == 0);
	must(bytes == 0 || bytes == NVSP_BYTES_60 || bytes == NVSP_BYTES_61);
}

int channel_complete(struct vmbus_channel *channel, uint64_t transaction,
		     const struct iovec *payload, unsigned int count)
{
	(void)channel;
	must(count == 1);
	if (!has_room()) {
		return -EAGAIN;
	}
	completed(transaction, (uint32_t)payload->iov_len);
	return 0;
}

int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned int count)
{
	struct {
		uint32_t type, allocated, serial;
	} message;

	(void)channel;
	must(transaction == 0 && !completion_requested && count == 1);
	memcpy(&message, payload->iov_base, sizeof(message));
	must(message.type == NVSP_SEND_INDIRECTION_TABLE
		     ? payload->iov_len == 76
		     : message.type == NVSP_SEND_VF_ASSOCIATION &&
			       payload->iov_len == nvsp_message_bytes(network));
	if (!has_room()) {
		return -EAGAIN;
	}
	if (message.type == NVSP_SEND_VF_ASSOCIATION) {
		/* One comes where there was none, and the one that goes is the one that came. */
		must(message.allocated <= 1 && message.serial != 0 &&
		     (told_vf == 0) == (message.allocated == 1) &&
		     (told_vf == 0 || told_vf == message.serial));
		told_vf = message.allocated ? message.serial : 0;
	}
	return 0;
}

/* What a guest's driver relies on. */
static void check_message(uint32_t at, uint32_t bytes)
{
	struct rndis_header header;
	struct rndis_packet packet;
	uint32_t ppi_at;

	memcpy(&header, ram + at, sizeof(header));
	must(header.bytes == bytes);
	if (header.type != RNDIS_PACKET) {
		return;
	}
	memcpy(&packet, ram + at + 8, sizeof(packet));
	must(packet.data_offset + 8 + packet.data_bytes == bytes &&
	     packet.ppi_offset + packet.ppi_bytes <= packet.data_offset);
	for (ppi_at = 0; ppi_at < packet.ppi_bytes;) {
		struct rndis_ppi ppi;

		memcpy(&ppi, ram + at + 8 + packet.ppi_offset + ppi_at, sizeof(ppi));
		must(ppi.bytes == 16 && ppi.offset == 12);
		ppi_at += ppi.bytes;
	}
	must(ppi_at == packet.ppi_bytes);
}

int channel_send_pages(struct vmbus_channel *channel, uint64_t transaction,
		       bool completion_requested, uint16_t page_set,
		       const struct vmtransfer_page_range *ranges, uint32_t range_count,
		       const struct iovec *payload, unsigned int count)
{
	uint32_t i;

	(void)channel;
	(void)page_set;
	(void)payload;
	must(count == 1 && completion_requested && range_count > 0 && gpadls[0].users > 0 &&
	     transaction < network->receive.piece_count);
	if (!has_room()) {
		return -EAGAIN;
	}
	for (i = 0; i < range_count; i++) {
		must(ranges[i].byte_offset % network->receive.piece_bytes == 0 &&
		     ranges[i].byte_count <= network->receive.piece_bytes - NET_PIECE_TAIL &&
		     ranges[i].byte_offset <= gpadls[0].bytes - ranges[i].byte_count);
		check_message(gpadls[0].at + ranges[i].byte_offset, ranges[i].byte_count);
	}
	return 0;
}

/* ---- in place of the threads ---- */

int vsp_start(struct vsp_channel *vsp, const struct vsp_class *its_class, void *device,
	      struct vmbus_channel *channel, const int *events, unsigned int event_count)
{
	(void)events;
	(void)event_count;
	class = its_class;
	vsp->channel = channel;
	vsp->device = device;
	queues[channel->index] = device;
	is_open[channel->index] = true;
	return 0;
}

void vsp_close(struct vsp_channel *vsp)
{
	(void)vsp;
}

void vsp_pause(struct vsp_channel *vsp)
{
	(void)vsp;
}

void vsp_resume(struct vsp_channel *vsp)
{
	(void)vsp;
}

void vsp_join(struct vsp_channel *vsp)
{
	(void)vsp;
}

void vsp_wake(struct vsp_channel *vsp)
{
	(void)vsp; /* all are asked again and again */
}

int vsp_set_event(struct vsp_channel *vsp, unsigned int index, int event)
{
	(void)vsp;
	(void)index;
	(void)event;
	return 0;
}

void vsp_answer(struct vsp_channel *vsp, struct vsp_answer *answer)
{
	completed(answer->transaction, answer->bytes);
	class->sent(vsp->device, answer);
}

/* ---- in place of the switch ---- */

void netport_break(const struct netport *its)
{
	(void)its;
	abort(); /* this one does nothing that cannot be */
}

bool netport_locate(const struct netport *its, const void *at, uint32_t bytes,
		    struct port_slot *slot)
{
	(void)its;
	slot->region = NETPORT_RAM;
	slot->offset = (uint64_t)((const uint8_t *)at - ram);
	slot->bytes = bytes;
	must(slot->offset + bytes <= RAM_BYTES);
	return true;
}

void netport_kick(const struct netport *its)
{
	(void)its;
}

static void check_frame(const struct port_slot *slots, int count)
{
	uint32_t bytes = 0;
	int i;

	for (i = 0; i < count; i++) {
		must(slots[i].region < NETPORT_REGIONS && slots[i].bytes > 0 &&
		     slots[i].offset + slots[i].bytes <= port.regions[slots[i].region].iov_len);
		bytes += slots[i].bytes;
	}
	must(bytes >= PORT_FRAME_MIN && bytes <= PORT_FRAME_MAX);
	if (slots[0].flags & PORT_CSUM_NEEDED) {
		must(slots[0].csum_start + slots[0].csum_offset + 2u <= bytes);
	}
	if (slots[0].gso != PORT_GSO_NONE) {
		must(slots[0].flags & PORT_CSUM_NEEDED && slots[0].gso_bytes != 0 &&
		     slots[0].header_bytes < bytes &&
		     slots[0].csum_start + 20u <= slots[0].header_bytes);
	}
}

static void answer_frames(unsigned int queue)
{
	struct port_slot slots[PORT_PIECES_MAX];
	int count;

	while ((count = ring_take(&out[queue], slots, PORT_PIECES_MAX)) > 0) {
		check_frame(slots, count);
		ring_answer(&out[queue], NULL, (uint32_t)count);
	}
	must(count == 0);
	(void)!ring_show(&out[queue]);
}

/* Fills buffers with a frame of `bytes`, or gives all back. */
static void give_frame(unsigned int queue, uint32_t bytes, const struct port_slot *as)
{
	struct port_slot slots[PORT_PIECES_MAX], answer = *as;
	bool hears = port.memory->takes & PORT_HEARS;
	int count;

	while ((bytes > 0 || !hears) &&
	       (count = ring_take(&in[queue], slots, PORT_PIECES_MAX)) > 0) {
		uint32_t room = 0;
		int i;

		for (i = 0; i < count; i++) {
			must(slots[i].region == NETPORT_RAM &&
			     slots[i].offset + slots[i].bytes <= RECEIVE_AT + 200000);
			room += slots[i].bytes;
		}
		answer.bytes = bytes < room ? bytes : room;
		bytes -= answer.bytes;
		answer.flags = (uint8_t)(hears ? (as->flags & ~(PORT_UNUSED | PORT_CONTINUES)) |
							 (bytes > 0 ? PORT_CONTINUES : 0)
					       : PORT_UNUSED);
		ring_answer(&in[queue], &answer, (uint32_t)count);
	}
	(void)!ring_show(&in[queue]);
}

/* ---- the machine ---- */

static void set_up(void)
{
	struct network_config config = {.instance = {1}, .name = "x", .queue_count = CHANNELS};
	unsigned int i;

	port = (struct netport){.connection = -1,
				.switch_event = -1,
				.queue_count = CHANNELS,
				.out_slots = SLOTS,
				.in_slots = SLOTS,
				.memory_bytes = ring_memory_bytes(CHANNELS, SLOTS, SLOTS)};
	port.memory = calloc(1, port.memory_bytes);
	port.memory->link = 1;
	port.regions[NETPORT_RAM] = (struct iovec){ram, RAM_BYTES};
	port.regions[NETPORT_HEADS].iov_len = CHANNELS * SLOTS * NETPORT_HEAD_BYTES;
	port.regions[NETPORT_HEADS].iov_base = malloc(port.regions[NETPORT_HEADS].iov_len);
	memset(answers, 0, sizeof(answers));
	memset(wanted, 0, sizeof(wanted));
	packet_count = calls = told_vf = 0;
	refuses = false;
	for (i = 0; i < CHANNELS; i++) {
		channels[i].index = i;
		queues[i] = NULL;
		offered[i] = is_open[i] = false;
		ring_at(&out[i], port.memory, SLOTS, SLOTS, 2 * i);
		ring_at(&in[i], port.memory, SLOTS, SLOTS, 2 * i + 1);
	}
	must(network_create(NULL, &config, &port, &network) == 0);
}

static bool work(unsigned int i)
{
	bool any = is_open[i] && class->work(queues[i]);

	if (is_open[i]) {
		class->turned(queues[i]);
	}
	return any;
}

/* All of them, and the switch, until nothing moves. */
static void settle(void)
{
	static const struct port_slot none;
	unsigned int round, quiet = 0, i;

	for (round = 0; round < ROUNDS && quiet < 3; round++) {
		bool any = false;

		for (i = 0; i < CHANNELS; i++) {
			any |= work(i);
			answer_frames(i);
			give_frame(i, 0, &none);
		}
		quiet = any ? 0 : quiet + 1;
	}
}

/* It goes in the middle of everything, and comes back with empty rings. */
static void change_switch(void)
{
	unsigned int i;

	network_lost(network);
	for (i = 0; i < CHANNELS; i++) {
		work(i);
	}
	must(atomic_load(&network->users) == 0);
	memset(port.memory, 0, port.memory_bytes);
	port.memory->link = 1;
	for (i = 0; i < CHANNELS; i++) {
		ring_at(&out[i], port.memory, SLOTS, SLOTS, 2 * i);
		ring_at(&in[i], port.memory, SLOTS, SLOTS, 2 * i + 1);
	}
	must(network_take_port(network, true) == false);
	atomic_store(&network->next_port, &port);
	work(0);
	must(network->next_port == NULL && !network->lost);
}

static void deliver(unsigned int i, const struct vmbus_packet *packet)
{
	if (!is_open[i] || packet_count == PACKETS) {
		return;
	}
	work(i);
	if (!class->ready(queues[i])) {
		settle();
	}
	if (class->ready(queues[i])) {
		struct vmbus_packet copy = *packet;

		if (copy.type != VM_PKT_COMP) {
			copy.transaction = packet_count;
			wanted[packet_count++] = copy.completion_requested;
		}
		class->packet(queues[i], &copy);
		class->turned(queues[i]);
	}
}

static void say(const struct nvsp_message *message)
{
	struct vmbus_packet packet = {.type = VM_PKT_DATA_INBAND,
				      .completion_requested = true,
				      .payload = message,
				      .payload_bytes = sizeof(*message)};

	deliver(0, &packet);
}

static void say_control(const void *message, uint32_t bytes)
{
	struct nvsp_message nvsp = {.type = NVSP_SEND_RNDIS_PACKET,
				    .rndis = {NVSP_CHANNEL_CONTROL, 0, bytes}};

	memcpy(ram + SEND_AT, message, bytes);
	say(&nvsp);
}

/* The handshake, in full, for the inputs that begin with it. */
static void shake_hands(uint32_t version)
{
	static const struct {
		struct rndis_header header;
		struct rndis_request request;
	} initialize = {{RNDIS_INITIALIZE, 24}, {1, .initialize = {1, 0, 0x4000}}};
	static const struct {
		struct rndis_header header;
		struct rndis_request request;
		uint32_t filter;
	} filter = {{RNDIS_SET, 32}, {2, .query = {OID_GEN_CURRENT_PACKET_FILTER, 4, 20, 0}}, 0xd};
	struct nvsp_message message = {.type = NVSP_INIT, .init = {version, version}};

	say(&message);
	message = (struct nvsp_message){.type = NVSP_SEND_RECEIVE_BUFFER, .buffer = {0, 7}};
	say(&message);
	message = (struct nvsp_message){.type = NVSP_SEND_SEND_BUFFER, .buffer = {1, 7}};
	say(&message);
	say_control(&initialize, sizeof(initialize.header) + 16);
	say_control(&filter, sizeof(filter));
	message = (struct nvsp_message){.type = NVSP_SUBCHANNEL, .sub_channel = {1, 3}};
	if (version >= NVSP_VERSION_5) {
		say(&message);
	}
	settle();
}

/* STEP bytes of plan, then content of a section, which is also that of ranges. */
static size_t one_packet(const uint8_t *data, size_t size)
{
	struct nvsp_message message = {.type = NVSP_SEND_RNDIS_PACKET};
	unsigned int i = data[0] % CHANNELS;
	struct vmbus_packet packet = {
		.type = data[1] < 0x70   ? VM_PKT_DATA_INBAND
			: data[1] < 0xc0 ? VM_PKT_DATA_USING_GPA_DIRECT
			: data[1] < 0xf0 ? VM_PKT_COMP
					 : VM_PKT_CANCEL_REQUEST,
		.completion_requested = data[2] != 0xff,
		.transaction =
			data[3] | (uint64_t)(data[4] & 1) << 8 | (uint64_t)(data[4] >> 7) << 63,
		.ranges = data + 4,
		.range_count = data[1] < 0x70 || data[1] >= 0xc0 ? 0 : data[5] % 50,
		.payload = &message,
		.payload_bytes = data[6] < 0xe0 ? sizeof(message) : data[6] % sizeof(message),
	};
	size_t bytes = (size_t)data[7] * 4, left = size - STEP;

	bytes = bytes < left ? bytes : left;
	if (data[8] < 0x60) { /* data */
		message.rndis.bytes = (uint32_t)bytes;
		message.rndis.section = data[8] < 0x50   ? 0
					: data[9] < 0x80 ? NVSP_NO_SECTION
							 : data[9];
		memcpy(ram + SEND_AT, data + STEP, bytes);
	} else if (data[8] < 0xb0) { /* control */
		message.rndis.channel = 1;
		message.rndis.bytes = (uint32_t)bytes;
		memcpy(ram + SEND_AT, data + STEP, bytes);
		i = 0;
	} else {
		message.type = data[9] < 0xf0 ? 100u + data[9] % 36u : data[9];
		memcpy(&message.all, data + STEP, bytes < 36 ? bytes : 36);
		if (message.type == NVSP_SEND_RECEIVE_BUFFER) {
			message.buffer.gpadl = data[10];
		}
	}
	deliver(i, &packet);
	return STEP + bytes;
}

static void one_frame(const uint8_t *data)
{
	struct port_slot as = {.flags = data[10], .tag = data[11], .hash = data[12]};

	give_frame(data[0] % CHANNELS, 14 + (uint32_t)data[13] * (data[14] & 3 ? 7 : 200), &as);
}

static void open_sub_channels(uint8_t which)
{
	unsigned int i;

	for (i = 1; i < CHANNELS; i++) {
		if (offered[i] && !is_open[i] && which & 1u << i) {
			must(bus_class->opened(&network->channels, &channels[i]) == 0);
		}
	}
}

static void close_channel(unsigned int i)
{
	if (!is_open[i]) {
		return;
	}
	bus_class->closing(&network->channels, &channels[i]);
	class->end(queues[i]);
}

static void set_down(void)
{
	struct network *last = network;
	unsigned int i;

	for (i = 0; i < CHANNELS; i++) {
		close_channel(i);
	}
	settle();
	for (i = CHANNELS; i-- > 0;) {
		if (is_open[i]) {
			must(!class->busy(queues[i]));
			class->closed(queues[i]);
		}
	}
	must(ranges_held == 0 && gpadls[0].users == 0 && gpadls[1].users == 0);
	network_destroy(&network);
	for (i = CHANNELS; i-- > 0;) {
		if (offered[i]) {
			bus_class->released(&last->channels, &channels[i]);
		}
	}
	free(port.memory);
	free(port.regions[NETPORT_HEADS].iov_base);
}

/*
 * Another machine takes over, by a state in which some bytes are others: it is refused, or the
 * adapter goes on by it. Where a state says what cannot be seen to be wrong, a guest's packets may
 * be completed twice or never; so these are not counted any more.
 */
static void be_reborn(const uint8_t *data, size_t size)
{
	static uint8_t state[1 << 16];
	struct state_writer writer = state_writer(state, sizeof(state));
	struct state_fault fault;
	struct state_reader all;
	bool were_open[CHANNELS];
	unsigned int i;

	for (i = 0; i < CHANNELS; i++) {
		if (is_open[i]) {
			class->pause(queues[i]);
		}
	}
	settle();
	memcpy(were_open, is_open, sizeof(were_open));
	network_save(network, &writer);
	must(state_fits(&writer));
	set_down();
	for (i = 0; i + 3 <= size; i += 3) {
		state[(data[i] | data[i + 1] << 8) % writer.used] ^= data[i + 2];
	}
	set_up();
	all = state_reader(state, writer.used, &fault);
	if (network_load(network, &all) != 0) {
		must(size >= 3 && fault.what != NULL);
		set_down();
		return;
	}
	starts_paused = reborn = true;
	for (i = 0; i < CHANNELS; i++) {
		if (were_open[i] && offered[i] && (i == 0 || is_open[0])) {
			(void)!bus_class->opened(&network->channels, &channels[i]);
		}
	}
	starts_paused = false;
	for (i = 0; i < CHANNELS; i++) {
		if (is_open[i]) {
			class->pause(queues[i]);
			class->resume(queues[i]);
		}
	}
	settle();
	set_down();
	reborn = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t versions[] = {NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4,
					    NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_61};
	unsigned int i;

	if (size == 0) {
		return 0;
	}
	set_up();
	must(bus_class->opened(&network->channels, &channels[0]) == 0);
	if (data[0] < 0xe0) {
		shake_hands(versions[data[0] % 6]);
	}
	data++;
	size--;
	while (size > STEP) {
		size_t used = one_packet(data, size);

		refuses = data[15] & 1;
		open_sub_channels(data[15]);
		if (data[15] & 0x10) {
			one_frame(data);
		}
		if (data[15] & 0x20) {
			answer_frames(data[0] % CHANNELS);
		}
		work(data[14] % CHANNELS);
		if ((data[15] & 0xc0) == 0xc0) {
			change_switch();
		}
		if (data[12] & 0x80) {
			network_associate(network, data[12] & 3);
		}
		if (network->told_vf == 0) {
			told_vf = 0; /* halted: it is told anew */
			must(!network->elsewhere);
		}
		must(!(port.memory->takes & PORT_ELSEWHERE) ||
		     port.memory->takes == PORT_ELSEWHERE);
		data += used;
		size -= used;
	}
	refuses = false;
	settle();
	for (i = 0; i < packet_count; i++) {
		must(answers[i] == wanted[i]);
	}
	be_reborn(data, size);
	return 0;
}
