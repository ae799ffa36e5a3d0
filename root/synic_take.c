/*
 * What arrives at the root's SynIC: messages on SINT0, doorbells in the ring of SINT5, event flags
 * of SIGNAL_SINT (TLFS: SynIC; Inter-Partition Communication).
 */
#include <linux/bitops.h>
#include <linux/rcupdate.h>

#include "hv/msr.h"
#include "synic.h"

#define MESSAGES_AT_ONCE 16

static struct vp *vp_find(const struct partition *partition, uint32_t vp_index)
{
	return vp_index < MAX_VPS ? smp_load_acquire(&partition->vps[vp_index]) : NULL;
}

static void kick(uint64_t partition_id, uint32_t vp_index)
{
	struct partition *partition = partition_find(partition_id);
	struct vp *vp = partition != NULL ? vp_find(partition, vp_index) : NULL;

	if (vp != NULL) {
		vp_kick(vp);
	}
}

/* Never more words than the message has, whatever the mask says. */
static void kick_bitset(const struct hv_vp_signal_bitset_scheduler_message *message)
{
	const struct hv_vpset *set = &message->vp_bitset.bitset;
	const uint32_t word_max = ARRAY_SIZE(message->vp_bitset.bitset_buffer) - 2;
	unsigned long banks = set->valid_bank_mask, bits;
	uint32_t bank, bit, word = 0;

	for_each_set_bit(bank, &banks, HV_MAX_SPARSE_VCPU_BANKS)
	{
		if (word == word_max) {
			return;
		}
		bits = message->vp_bitset.bitset_buffer[2 + word++];
		for_each_set_bit(bit, &bits, HV_VCPUS_PER_SPARSE_BANK)
		{
			kick(message->partition_id, bank * HV_VCPUS_PER_SPARSE_BANK + bit);
		}
	}
}

static void kick_pairs(const struct hv_vp_signal_pair_scheduler_message *message)
{
	uint32_t count = min_t(uint32_t, message->vp_count, HV_MESSAGE_MAX_PARTITION_VP_PAIR_COUNT),
		 i;

	for (i = 0; i < count; i++) {
		kick(message->partition_ids[i], message->vp_indexes[i]);
	}
}

static void complete_call(const struct hv_async_completion_message_payload *message)
{
	struct partition *partition = partition_find(message->partition_id);

	if (partition != NULL) {
		partition->async_status = message->status;
		complete(&partition->async);
	}
}

/* The end of a level-triggered interrupt. Whose line it was is known to those that drive lines: the
 * eventfds, and the IO-APIC in user space. */
static void acknowledge(uint64_t sender, const struct hv_x64_apic_eoi_message *message)
{
	struct partition *partition = partition_find(sender);
	struct vp *vp;

	if (partition == NULL || message->interrupt_vector > U8_MAX) {
		return;
	}
	irqfd_acknowledge(partition, message->interrupt_vector);
	vp = vp_find(partition, message->vp_index);
	if (vp != NULL) {
		vp_end_interrupt(vp, message->interrupt_vector);
	}
}

/*
 * Where the entries begin. The hypervisor goes on where it was when the rings were last enabled,
 * which is known to the first entry alone.
 */
static uint32_t find_tail(volatile const struct hv_synic_event_ring *ring)
{
	const uint32_t count = HV_SYNIC_EVENT_RING_MESSAGE_COUNT;
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (ring->data[i] && !ring->data[(i + count - 1) % count]) {
			return i;
		}
	}
	return ring->data[0] ? 0 : TAIL_UNKNOWN;
}

static uint32_t peek(volatile const struct hv_synic_event_ring *ring, uint32_t *tail)
{
	if (*tail == TAIL_UNKNOWN) {
		*tail = find_tail(ring);
	}
	return *tail == TAIL_UNKNOWN ? 0 : ring->data[*tail];
}

/*
 * The next port id of the doorbell ring, or 0. signal_masked is 1 while there is work, so that the
 * hypervisor does not interrupt for each entry; once it is 0 again the ring is looked at a last
 * time, for what came in between.
 */
static uint32_t next_doorbell(volatile struct hv_synic_event_ring *ring, uint32_t *tail)
{
	uint32_t port_id = peek(ring, tail);

	if (!port_id && ring->ring_full) {
		ring->ring_full = 0;
		hvcall_fast(HVCALL_NOTIFY_PORT_RING_EMPTY, HV_SYNIC_DOORBELL_SINT_INDEX, 0);
		port_id = peek(ring, tail);
	}
	if (!port_id) {
		ring->signal_masked = 0;
		mb();
		port_id = peek(ring, tail);
	}
	if (port_id) {
		ring->signal_masked = 1;
		ring->data[*tail] = 0;
		*tail = (*tail + 1) % HV_SYNIC_EVENT_RING_MESSAGE_COUNT;
	}
	return port_id;
}

static void ring_doorbells(struct synic_cpu *cpu)
{
	struct hv_synic_event_ring_page *page = cpu->pages[PAGE_RINGS].used;
	uint32_t port_id;

	while ((port_id = next_doorbell(&page->sint_event_ring[HV_SYNIC_DOORBELL_SINT_INDEX],
					&cpu->ring_tail))) {
		port_ring(port_id);
	}
}

static void handle_message(struct synic_cpu *cpu, const struct hv_message *message)
{
	const void *payload = message->u.payload;

	switch (message->header.message_type) {
	case HVMSG_SCHEDULER_VP_SIGNAL_BITSET:
		kick_bitset(payload);
		break;
	case HVMSG_SCHEDULER_VP_SIGNAL_PAIR:
		kick_pairs(payload);
		break;
	case HVMSG_OPAQUE_INTERCEPT:
		kick(message->header.sender,
		     ((const struct hv_opaque_intercept_message *)payload)->vp_index);
		break;
	case HVMSG_ASYNC_CALL_COMPLETION:
		complete_call(payload);
		break;
	case HVMSG_X64_APIC_EOI:
		acknowledge(message->header.sender, payload);
		break;
	case HVMSG_SYNIC_SINT_INTERCEPT:
		ring_doorbells(cpu);
		break;
	default:
		pr_warn_once("message of type %#x ignored\n", message->header.message_type);
	}
}

/* The slot is freed before msg_pending is looked at: else a message that came in between would wait
 * for ever. */
static void take_messages(struct synic_cpu *cpu)
{
	struct hv_message_page *page = cpu->pages[PAGE_MESSAGES].used;
	struct hv_message *message = &page->sint_message[HV_SYNIC_INTERCEPTION_SINT_INDEX];
	uint32_t i;

	for (i = 0; i < MESSAGES_AT_ONCE && READ_ONCE(message->header.message_type) != HVMSG_NONE;
	     i++) {
		handle_message(cpu, message);
		WRITE_ONCE(message->header.message_type, HVMSG_NONE);
		mb();
		if (READ_ONCE(message->header.message_flags.asu8) & 1) {
			compat_msr_write(HV_X64_MSR_EOM, 0);
		}
	}
}

static void take_flags(struct synic_cpu *cpu)
{
	struct hv_synic_event_flags_page *page = cpu->pages[PAGE_FLAGS].used;
	unsigned long *words = (unsigned long *)page->event_flags[SIGNAL_SINT].flags64;
	unsigned long bits;
	uint32_t word, bit;

	for (word = 0; word < HV_EVENT_FLAGS64_COUNT; word++) {
		if (!READ_ONCE(words[word])) {
			continue;
		}
		bits = xchg(&words[word], 0);
		for_each_set_bit(bit, &bits, 64)
		{
			port_signal(word * 64 + bit);
		}
	}
}

void synic_take(struct synic_cpu *cpu)
{
	rcu_read_lock();
	take_messages(cpu);
	take_flags(cpu);
	rcu_read_unlock();
}
