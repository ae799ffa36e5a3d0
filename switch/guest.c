/*
 * See guest.h.
 *
 * A turn takes frames from the `out` rings of all queues in turn; what was taken is remembered by
 * queue and number of slots until release() answers it. Frames are given synchronously: buffers
 * are taken from an `in` ring, filled and answered at once, so nothing of a worker's is held
 * between two turns.
 */
#include "switch/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "switch/hash.h"
#include "switch/ring.h"

#define PAGE 4096u
/* A frame of the largest size in the smallest buffers that a worker could sensibly post. */
#define SLOTS_OF_FRAME 512u
#define FLOWS          1024u /* of which it is known by which queue the guest sends them */

struct region {
	uint8_t *at;
	uint64_t bytes;
};

struct sent_flow {
	uint16_t rest; /* of its number, what its place does not say */
	uint8_t queue;
	bool known;
};

struct guest {
	struct port *port; /* NULL until it is attached */
	const char *broken;
	int memory_fd, event, calls[PORT_QUEUES_MAX];
	uint8_t *memory;
	size_t memory_bytes;
	uint32_t queue_count, region_count, first;
	struct region regions[PORT_REGIONS_MAX];
	struct ring out[PORT_QUEUES_MAX], in[PORT_QUEUES_MAX];
	uint32_t taken_count;
	struct {
		uint16_t queue, slots;
	} taken[SWITCH_BATCH];
	const struct frame *frames; /* those that were taken */
	struct sent_flow flows[FLOWS];
	uint8_t steer[PORT_STEER]; /* as it was last looked at; of several queues */
	uint32_t steered;          /* ... the queues in it */
	uint32_t hash_types;       /* likewise */
	uint8_t hash_key[PORT_HASH_KEY];
	struct hash_table hash; /* of that key */
};

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void signal_event(int event)
{
	uint64_t one = 1;

	/* It fails only when the counter is full: then it is readable anyhow. */
	if (write(event, &one, sizeof(one)) < 0) {
		return;
	}
}

static void break_off(struct guest *guest, const char *why)
{
	if (guest->broken == NULL) {
		guest->broken = why;
	}
}

/* A piece of guest memory; false: it does not lie in a region. */
static bool piece_of(const struct guest *guest, const struct port_slot *slot, struct iovec *piece)
{
	const struct region *region;

	if (slot->region >= guest->region_count) {
		return false;
	}
	region = &guest->regions[slot->region];
	if (slot->offset > region->bytes || slot->bytes > region->bytes - slot->offset) {
		return false;
	}
	*piece = (struct iovec){.iov_base = region->at + slot->offset, .iov_len = slot->bytes};
	return true;
}

/* The bytes of all pieces, or -1. */
static int64_t pieces_of(struct guest *guest, const struct port_slot *slots, uint32_t count,
			 struct iovec *pieces)
{
	int64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!piece_of(guest, &slots[i], &pieces[i])) {
			break_off(guest, "a piece that is not in its memory");
			return -1;
		}
		bytes += slots[i].bytes;
	}
	return bytes;
}

/* ---- what the guest sends ---- */

static bool take_one(struct guest *guest, uint32_t queue, struct frame *frame)
{
	struct port_slot slots[PORT_PIECES_MAX];
	struct iovec pieces[PORT_PIECES_MAX];
	int count = ring_take(&guest->out[queue], slots, PORT_PIECES_MAX);
	int64_t bytes;

	if (count <= 0) {
		if (count < 0) {
			break_off(guest, "an index or a frame that cannot be, in an `out` ring");
		}
		return false;
	}
	bytes = pieces_of(guest, slots, (uint32_t)count, pieces);
	if (bytes < 0 || bytes > PORT_FRAME_MAX) {
		break_off(guest, "a frame longer than any");
		return false;
	}
	frame_init(frame, pieces, (uint32_t)count);
	frame->offload = (struct frame_offload){
		.flags = slots[0].flags & (PORT_CSUM_NEEDED | PORT_CSUM_GOOD),
		.gso = slots[0].gso,
		.gso_bytes = slots[0].gso_bytes,
		.header_bytes = slots[0].header_bytes,
		.csum_start = slots[0].csum_start,
		.csum_offset = slots[0].csum_offset,
	};
	frame->tagged = slots[0].flags & PORT_TAGGED;
	frame->tag = slots[0].tag;
	frame->hash = slots[0].hash;
	guest->taken[guest->taken_count].queue = (uint16_t)queue;
	guest->taken[guest->taken_count++].slots = (uint16_t)count;
	return true;
}

static void show(struct guest *guest, struct ring *ring, uint32_t queue)
{
	if (ring_show(ring)) {
		signal_event(guest->calls[queue]);
	}
}

/* The port hears nothing: its buffers go back, so that the guest can have its memory. */
static void give_back(struct guest *guest)
{
	struct port_slot slots[PORT_PIECES_MAX], answer = {.flags = PORT_UNUSED};

	for (uint32_t queue = 0; queue < guest->queue_count; queue++) {
		struct ring *ring = &guest->in[queue];
		int count;

		while ((count = ring_take(ring, slots, PORT_PIECES_MAX)) > 0) {
			ring_answer(ring, &answer, (uint32_t)count);
		}
		if (count < 0) {
			break_off(guest, "an index that cannot be, in an `in` ring");
		}
		show(guest, ring, queue);
	}
}

/* The queues to which the guest wants frames at all. */
static void look_at_steer(struct guest *guest, const struct port_state *state)
{
	if (memcmp(guest->steer, state->steer, PORT_STEER) == 0) {
		return;
	}
	guest->steered = 0;
	for (uint32_t i = 0; i < PORT_STEER; i++) {
		guest->steer[i] = __atomic_load_n(&state->steer[i], __ATOMIC_RELAXED);
		guest->steered |= 1u << guest->steer[i] % PORT_QUEUES_MAX;
	}
}

static void look_at_hash(struct guest *guest, const struct port_state *state)
{
	guest->hash_types = load(&state->hash_types);
	if (guest->hash_types != 0 &&
	    memcmp(guest->hash_key, state->hash_key, PORT_HASH_KEY) != 0) {
		/* A key that changes meanwhile is looked at again at the next turn. */
		memcpy(guest->hash_key, state->hash_key, PORT_HASH_KEY);
		hash_set_key(&guest->hash, guest->hash_key);
	}
}

static void refresh(struct guest *guest)
{
	const struct port_state *state = (const struct port_state *)guest->memory;
	uint32_t takes = load(&state->takes), bytes = load(&state->max_bytes);

	if (guest->queue_count > 1) {
		look_at_steer(guest, state);
		look_at_hash(guest, state);
	}
	guest->port->takes = takes;
	guest->port->max_bytes = bytes < PORT_FRAME_MAX ? bytes : PORT_FRAME_MAX;
	if (!(takes & PORT_HEARS)) {
		give_back(guest);
	}
}

static uint32_t take(void *of, struct frame *frames, uint32_t max, uint64_t bytes)
{
	struct guest *guest = of;
	uint32_t empty = 0, queue = guest->first;
	uint64_t total = 0;

	guest->taken_count = 0;
	guest->frames = frames;
	refresh(guest);
	while (guest->taken_count < max && total < bytes && empty < guest->queue_count &&
	       guest->broken == NULL) {
		struct frame *frame = &frames[guest->taken_count];

		empty++;
		if (take_one(guest, queue, frame)) {
			empty = 0;
			total += frame->bytes;
		}
		queue = queue + 1 < guest->queue_count ? queue + 1 : 0;
	}
	guest->first = queue;
	return guest->taken_count;
}

/* The same for both directions; 0: it has none. */
static uint32_t flow_of(const struct frame_headers *h)
{
	uint32_t bytes = h->family == 4 ? 4 : 16, hash = 1, from, to;

	if (h->family == 0 || h->fragment) {
		return 0;
	}
	for (uint32_t i = 0; i < bytes; i += 4) {
		memcpy(&from, h->source + i, 4);
		memcpy(&to, h->destination + i, 4);
		hash = (hash ^ (from ^ to)) * 0x9e3779b1u + (from + to);
	}
	hash = (hash ^ (uint32_t)(h->source_port ^ h->destination_port) ^ h->protocol << 16) *
		       0x9e3779b1u +
	       h->source_port + h->destination_port;
	return hash ^ hash >> 15;
}

static void learn_flows(struct guest *guest, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t flow = flow_of(&guest->frames[i].headers);

		if (flow != 0) {
			guest->flows[flow % FLOWS] =
				(struct sent_flow){.rest = (uint16_t)(flow >> 16),
						   .queue = (uint8_t)guest->taken[i].queue,
						   .known = true};
		}
	}
}

static void release(void *of, uint32_t count)
{
	struct guest *guest = of;

	CHECK(count <= guest->taken_count);
	if (guest->queue_count > 1) {
		learn_flows(guest, count);
	}
	for (uint32_t i = 0; i < count; i++) {
		ring_answer(&guest->out[guest->taken[i].queue], NULL, guest->taken[i].slots);
	}
	while (guest->taken_count > count) {
		guest->taken_count--;
		ring_untake(&guest->out[guest->taken[guest->taken_count].queue],
			    guest->taken[guest->taken_count].slots);
	}
	for (uint32_t queue = 0; queue < guest->queue_count; queue++) {
		show(guest, &guest->out[queue], queue);
	}
}

/* ---- what it receives ---- */

/* The head and the parts of a frame, read from front to back. */
struct source {
	const struct frame *frame;
	uint32_t part, offset; /* part 0 is the head */
};

static void copy_out(struct source *source, uint8_t *to, uint32_t bytes)
{
	const struct frame *frame = source->frame;

	while (bytes != 0) {
		const uint8_t *from =
			source->part == 0 ? frame->head : frame->parts[source->part - 1].iov_base;
		uint32_t length = source->part == 0
					  ? frame->head_bytes
					  : (uint32_t)frame->parts[source->part - 1].iov_len;
		uint32_t part = length - source->offset < bytes ? length - source->offset : bytes;

		memcpy(to, from + source->offset, part);
		to += part;
		bytes -= part;
		source->offset += part;
		if (source->offset == length) {
			source->part++;
			source->offset = 0;
		}
	}
}

/* Buffers for `bytes`: how many slots, 0 if there are not enough. */
static uint32_t take_buffers(struct guest *guest, struct ring *ring, uint32_t bytes,
			     struct port_slot *slots, struct iovec *pieces)
{
	uint32_t total = 0;
	int64_t room = 0;

	while (room < bytes) {
		int count =
			ring_take(ring, slots + total,
				  SLOTS_OF_FRAME - total < PORT_PIECES_MAX ? SLOTS_OF_FRAME - total
									   : PORT_PIECES_MAX);
		int64_t more;

		if (count < 0) {
			break_off(guest, "an index or a buffer that cannot be, in an `in` ring");
		}
		if (count <= 0) {
			ring_untake(ring, total);
			return 0;
		}
		more = pieces_of(guest, slots + total, (uint32_t)count, pieces + total);
		total += (uint32_t)count;
		if (more < 0) {
			ring_untake(ring, total);
			return 0;
		}
		room += more;
	}
	return total;
}

static struct port_slot answer_of(const struct frame *frame, uint32_t hash, bool first)
{
	struct port_slot slot = {0};

	if (first) {
		slot.flags = frame->offload.flags | (frame->tagged ? PORT_TAGGED : 0);
		slot.gso = frame->offload.gso;
		slot.gso_bytes = frame->offload.gso_bytes;
		slot.header_bytes = frame->offload.header_bytes;
		slot.csum_start = frame->offload.csum_start;
		slot.csum_offset = frame->offload.csum_offset;
		slot.tag = frame->tag;
		slot.hash = hash;
	}
	return slot;
}

/* Fills one buffer of `count` pieces; how much. */
static uint32_t fill(struct source *source, const struct iovec *pieces, uint32_t count,
		     uint32_t bytes)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < count && done < bytes; i++) {
		uint32_t part = (uint32_t)pieces[i].iov_len;

		part = part < bytes - done ? part : bytes - done;
		copy_out(source, pieces[i].iov_base, part);
		done += part;
	}
	return done;
}

/* 0: the guest wants none, or none of such a frame. */
static uint32_t hash_of(const struct guest *guest, const struct frame *frame)
{
	return guest->queue_count == 1 || guest->hash_types == 0
		       ? 0
		       : hash_frame(&guest->hash, guest->hash_types, &frame->headers);
}

/*
 * Of a flow always the same: the one by which the guest sends it, so that one thread of the guest's
 * worker is woken for both directions, if its table has that one; else the table's, by the hash
 * that the guest wants (`wanted`), or, if it wants none, by what the sender says, or by the
 * addresses.
 */
static uint32_t queue_of(const struct guest *guest, const struct frame *frame, uint32_t wanted)
{
	const struct port_state *state = (const struct port_state *)guest->memory;
	const struct frame_headers *h = &frame->headers;
	uint32_t hash = guest->hash_types != 0 ? wanted : frame->hash, flow, queue;
	const struct sent_flow *sent;

	if (guest->queue_count == 1) {
		return 0;
	}
	flow = flow_of(h);
	sent = &guest->flows[flow % FLOWS];
	if (flow != 0 && sent->known && sent->rest == flow >> 16 &&
	    guest->steered >> sent->queue & 1) {
		return sent->queue;
	}
	if (guest->hash_types == 0 && hash == 0 && h->family != 0) {
		uint32_t bytes = h->family == 4 ? 4 : 16, word;

		hash = h->fragment ? 0 : h->source_port * 0x10001u ^ h->destination_port;
		for (uint32_t i = 0; i < bytes; i += 4) {
			memcpy(&word, h->source + i, 4);
			hash = (hash ^ word) * 0x9e3779b1u;
			memcpy(&word, h->destination + i, 4);
			hash = (hash ^ word) * 0x9e3779b1u;
		}
		hash >>= 16;
	}
	queue = __atomic_load_n(&state->steer[hash % PORT_STEER], __ATOMIC_RELAXED);
	return queue < guest->queue_count ? queue : 0;
}

static enum drop give(void *of, const struct frame *frame)
{
	struct guest *guest = of;
	uint32_t hash = hash_of(guest, frame);
	struct ring *ring = &guest->in[queue_of(guest, frame, hash)];
	struct source source = {.frame = frame};
	struct port_slot slots[SLOTS_OF_FRAME];
	struct iovec pieces[SLOTS_OF_FRAME];
	uint32_t left = frame->bytes, count, at = 0;

	count = guest->broken != NULL ? 0 : take_buffers(guest, ring, left, slots, pieces);
	if (count == 0) {
		return DROP_NO_ROOM;
	}
	while (at < count) {
		struct port_slot answer = answer_of(frame, hash, at == 0);
		uint32_t end = at;

		while (slots[end].flags & PORT_MORE) {
			end++;
		}
		end++;
		answer.bytes = fill(&source, pieces + at, end - at, left);
		left -= answer.bytes;
		answer.flags |= left != 0 ? PORT_CONTINUES : 0;
		ring_answer(ring, &answer, end - at);
		at = end;
	}
	return DROP_NONE;
}

static void flush(void *of)
{
	struct guest *guest = of;

	for (uint32_t queue = 0; queue < guest->queue_count; queue++) {
		show(guest, &guest->in[queue], queue);
	}
}

const struct edge guest_edge = {"guest", false, take, release, give, flush, false};

/* ---- its life ---- */

static int map_region(struct guest *guest, uint32_t index, const struct port_region *region, int fd,
		      char *why, size_t why_bytes)
{
	struct stat file;
	int seals = fcntl(fd, F_GET_SEALS);
	void *at;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &file) != 0) {
		snprintf(why, why_bytes,
			 "region %u: not a memory file that is sealed against shrinking "
			 "(F_SEAL_SHRINK)",
			 index);
		return -EPERM;
	}
	if (region->offset % PAGE != 0 || region->bytes % PAGE != 0 || region->bytes == 0 ||
	    region->offset > (uint64_t)file.st_size ||
	    region->bytes > (uint64_t)file.st_size - region->offset) {
		snprintf(why, why_bytes,
			 "region %u: its place is not in its file, or not whole pages", index);
		return -EINVAL;
	}
	at = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		  (off_t)region->offset);
	if (at == MAP_FAILED) {
		int ret = -errno;

		snprintf(why, why_bytes, "region %u: %s", index, strerror(-ret));
		return ret;
	}
	/* A dump of the switch is not a dump of its guests. */
	madvise(at, region->bytes, MADV_DONTDUMP);
	guest->regions[index] = (struct region){.at = at, .bytes = region->bytes};
	guest->region_count = index + 1;
	return 0;
}

static int make_memory(struct guest *guest, const struct port_hello *hello)
{
	guest->memory_bytes =
		ring_memory_bytes(hello->queue_count, hello->out_slots, hello->in_slots);
	guest->memory_fd = memfd_create("port", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (guest->memory_fd < 0 || ftruncate(guest->memory_fd, (off_t)guest->memory_bytes) != 0 ||
	    fcntl(guest->memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
		return -errno;
	}
	guest->memory = mmap(NULL, guest->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			     guest->memory_fd, 0);
	if (guest->memory == MAP_FAILED) {
		guest->memory = NULL;
		return -errno;
	}
	for (uint32_t queue = 0; queue < hello->queue_count; queue++) {
		ring_at(&guest->out[queue], guest->memory, hello->out_slots, hello->in_slots,
			2 * queue);
		ring_at(&guest->in[queue], guest->memory, hello->out_slots, hello->in_slots,
			2 * queue + 1);
	}
	return 0;
}

static int make_events(struct guest *guest, uint32_t queue_count)
{
	guest->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (guest->event < 0) {
		return -errno;
	}
	while (guest->queue_count < queue_count) {
		int call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (call < 0) {
			return -errno;
		}
		guest->calls[guest->queue_count++] = call;
	}
	return 0;
}

static int check(const struct port_hello *hello, uint32_t fd_count, char *why, size_t why_bytes)
{
	if (hello->version != PORT_VERSION) {
		snprintf(why, why_bytes, "version %u is not spoken here; %u is", hello->version,
			 PORT_VERSION);
		return -EPROTO;
	}
	if (ring_memory_bytes(hello->queue_count, hello->out_slots, hello->in_slots) == 0) {
		snprintf(why, why_bytes,
			 "give 1 to %u queues, and slots that are a power of two from %u to %u",
			 PORT_QUEUES_MAX, PORT_SLOTS_MIN, PORT_SLOTS_MAX);
		return -EINVAL;
	}
	if (hello->region_count == 0 || hello->region_count > PORT_REGIONS_MAX ||
	    hello->region_count != fd_count) {
		snprintf(why, why_bytes, "give 1 to %u regions, and a descriptor for each",
			 PORT_REGIONS_MAX);
		return -EINVAL;
	}
	return 0;
}

int guest_create(const struct port_hello *hello, const int *fds, uint32_t fd_count,
		 struct guest **guest, char *why, size_t why_bytes)
{
	struct guest *made;
	int ret = check(hello, fd_count, why, why_bytes);

	if (ret != 0) {
		return ret;
	}
	made = calloc(1, sizeof(*made));
	if (made == NULL) {
		snprintf(why, why_bytes, "no memory");
		return -ENOMEM;
	}
	made->memory_fd = made->event = -1;
	for (uint32_t i = 0; ret == 0 && i < hello->region_count; i++) {
		ret = map_region(made, i, &hello->regions[i], fds[i], why, why_bytes);
	}
	if (ret == 0) {
		ret = make_memory(made, hello);
		ret = ret == 0 ? make_events(made, hello->queue_count) : ret;
		if (ret != 0) {
			snprintf(why, why_bytes, "the port memory: %s", strerror(-ret));
		}
	}
	if (ret != 0) {
		guest_destroy(&made);
		return ret;
	}
	*guest = made;
	return 0;
}

uint32_t guest_descriptors(const struct guest *guest, int *fds)
{
	fds[0] = guest->memory_fd;
	fds[1] = guest->event;
	memcpy(fds + 2, guest->calls, guest->queue_count * sizeof(int));
	return 2 + guest->queue_count;
}

void guest_destroy(struct guest **guest)
{
	struct guest *gone = *guest;

	for (uint32_t i = 0; i < gone->region_count; i++) {
		munmap(gone->regions[i].at, gone->regions[i].bytes);
	}
	if (gone->memory != NULL) {
		munmap(gone->memory, gone->memory_bytes);
	}
	if (gone->memory_fd >= 0) {
		close(gone->memory_fd);
	}
	if (gone->event >= 0) {
		close(gone->event);
	}
	for (uint32_t i = 0; i < gone->queue_count; i++) {
		close(gone->calls[i]);
	}
	free(gone);
	*guest = NULL;
}

void guest_attach(struct guest *guest, struct port *port)
{
	struct port_state *state = (struct port_state *)guest->memory;

	guest->port = port;
	port->takes = 0; /* until its worker says more */
	__atomic_store_n(&state->speed, (uint32_t)(port->net->speed_bits / 1000000),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&state->link, 1, __ATOMIC_RELEASE);
	for (uint32_t queue = 0; queue < guest->queue_count; queue++) {
		signal_event(guest->calls[queue]);
	}
}

int guest_event(const struct guest *guest)
{
	return guest->event;
}

/* Only of those that said that they wait is it taken back. */
bool guest_waits(struct guest *guest)
{
	for (uint32_t queue = 0; queue < guest->queue_count; queue++) {
		if (!guest->out[queue].waits && !ring_switch_waits(&guest->out[queue])) {
			guest_wakes(guest);
			return false;
		}
	}
	return true;
}

/* Its event is an edge, which need not be read. */
void guest_wakes(struct guest *guest)
{
	for (uint32_t queue = 0; queue < guest->queue_count; queue++) {
		ring_switch_wakes(&guest->out[queue]);
	}
}

const char *guest_broken(const struct guest *guest)
{
	return guest->broken;
}
