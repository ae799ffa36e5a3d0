/*
 * The root's SynIC: SIMP, SIEFP and SIRBP of each CPU, and what arrives there (TLFS: SynIC;
 * Inter-Partition Communication).
 *
 *	SINT0		messages of the hypervisor: VPs to dispatch, EOIs, completions, doorbells
 *			(of SINT5)
 *	SINT5		doorbells: as_intercept, so that each becomes a message on SINT0 and an
 *			entry in the ring of SINT5
 *	SIGNAL_SINT	event flags of connections that are bound to eventfds
 *
 * All have the kernel's callback vector. Nobody else uses the SynIC, as the root has no VMBus;
 * where somebody does, pages that are enabled are shared and left as they are.
 */
#include <linux/bitops.h>
#include <linux/cpuhotplug.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/notifier.h>
#include <linux/percpu.h>
#include <linux/reboot.h>
#include <asm/irq_vectors.h>

#include "hv/msr.h"
#include "root.h"

#define MESSAGES_AT_ONCE 16
#define TAIL_UNKNOWN	 U32_MAX

struct synic_page {
	u32 msr;
	void *own;    /* our memory */
	void *used;   /* ours, or what was enabled before */
	u64 previous; /* the MSR's value before us */
};

enum { PAGE_MESSAGES, PAGE_FLAGS, PAGE_RINGS, PAGE_COUNT };

struct synic_cpu {
	struct synic_page pages[PAGE_COUNT];
	void *hvcall_page;
	u64 previous_control;
	u32 ring_tail;
};

static DEFINE_PER_CPU(struct synic_cpu, cpus);
static int hotplug_state;

void *synic_hvcall_page(void)
{
	return this_cpu_read(cpus.hvcall_page);
}

/* ---- what arrives ---- */

static void kick(u64 partition_id, u32 vp_index)
{
	struct partition *partition = partition_find(partition_id);
	struct vp *vp;

	if (!partition || vp_index >= MAX_VPS) {
		return;
	}
	vp = smp_load_acquire(&partition->vps[vp_index]);
	if (vp) {
		vp_kick(vp);
	}
}

/* Never more words than the message has, whatever the mask says. */
static void kick_bitset(const struct hv_vp_signal_bitset_scheduler_message *message)
{
	const struct hv_vpset *set = &message->vp_bitset.bitset;
	const u32 word_max = ARRAY_SIZE(message->vp_bitset.bitset_buffer) - 2;
	unsigned long banks = set->valid_bank_mask, bits;
	u32 bank, bit, word = 0;

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
	u32 count = min_t(u32, message->vp_count, HV_MESSAGE_MAX_PARTITION_VP_PAIR_COUNT), i;

	for (i = 0; i < count; i++) {
		kick(message->partition_ids[i], message->vp_indexes[i]);
	}
}

static void complete_call(const struct hv_async_completion_message_payload *message)
{
	struct partition *partition = partition_find(message->partition_id);

	if (partition) {
		partition->async_status = message->status;
		complete(&partition->async);
	}
}

static void acknowledge(u64 sender, const struct hv_x64_apic_eoi_message *message)
{
	struct partition *partition = partition_find(sender);

	if (partition) {
		irqfd_acknowledge(partition, message->interrupt_vector);
	}
}

/*
 * Where the entries begin. The hypervisor goes on where it was when the rings were last enabled,
 * which is known to the first entry alone.
 */
static u32 find_tail(volatile const struct hv_synic_event_ring *ring)
{
	const u32 count = HV_SYNIC_EVENT_RING_MESSAGE_COUNT;
	u32 i;

	for (i = 0; i < count; i++) {
		if (ring->data[i] && !ring->data[(i + count - 1) % count]) {
			return i;
		}
	}
	return ring->data[0] ? 0 : TAIL_UNKNOWN;
}

static u32 peek(volatile const struct hv_synic_event_ring *ring, u32 *tail)
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
static u32 next_doorbell(volatile struct hv_synic_event_ring *ring, u32 *tail)
{
	u32 port_id = peek(ring, tail);

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
	u32 port_id;

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
	u32 i;

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
	u32 word, bit;

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

static void synic_interrupt(void)
{
	struct synic_cpu *cpu = this_cpu_ptr(&cpus);

	if (!cpu->pages[PAGE_MESSAGES].used) {
		return;
	}
	rcu_read_lock();
	take_messages(cpu);
	take_flags(cpu);
	rcu_read_unlock();
}

/* ---- a CPU comes and goes ---- */

static void page_enable(struct synic_page *page)
{
	page->previous = compat_msr_read(page->msr);
	if (page->previous & HV_SYNIC_SIMP_ENABLE) {
		page->used = phys_to_virt(page->previous & PAGE_MASK);
		return;
	}
	page->used = page->own;
	compat_msr_write(page->msr, virt_to_phys(page->own) | HV_SYNIC_SIMP_ENABLE);
}

static void page_disable(struct synic_page *page)
{
	compat_msr_write(page->msr, page->previous);
	page->used = NULL;
}

static void sint_enable(u32 sint, bool as_intercept)
{
	union hv_synic_sint value = {
		.vector = HYPERVISOR_CALLBACK_VECTOR,
		.auto_eoi = compat_auto_eoi(),
		.as_intercept = as_intercept,
	};

	compat_msr_write(HV_X64_MSR_SINT0 + sint, value.as_uint64);
}

static void sint_disable(u32 sint)
{
	compat_msr_write(HV_X64_MSR_SINT0 + sint, HV_SYNIC_SINT_MASKED);
}

static int synic_cpu_online(unsigned int number)
{
	struct synic_cpu *cpu = this_cpu_ptr(&cpus);
	u32 i;

	for (i = 0; i < PAGE_COUNT; i++) {
		page_enable(&cpu->pages[i]);
	}
	cpu->ring_tail = TAIL_UNKNOWN;
	sint_enable(HV_SYNIC_INTERCEPTION_SINT_INDEX, false);
	sint_enable(HV_SYNIC_DOORBELL_SINT_INDEX, true);
	sint_enable(SIGNAL_SINT, false);
	cpu->previous_control = compat_msr_read(HV_X64_MSR_SCONTROL);
	compat_msr_write(HV_X64_MSR_SCONTROL, cpu->previous_control | HV_SYNIC_CONTROL_ENABLE);
	return 0;
}

/* What has come before the SINTs were masked. */
static void take_rest(struct synic_cpu *cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	rcu_read_lock();
	take_messages(cpu);
	take_flags(cpu);
	rcu_read_unlock();
	local_irq_restore(flags);
}

/*
 * Messages about a VP go to the CPU that dispatched it last. Those that were to come here would
 * never arrive, so each VP is dispatched once more, elsewhere.
 */
static int synic_cpu_offline(unsigned int number)
{
	struct synic_cpu *cpu = this_cpu_ptr(&cpus);
	u32 i;

	sint_disable(SIGNAL_SINT);
	sint_disable(HV_SYNIC_DOORBELL_SINT_INDEX);
	sint_disable(HV_SYNIC_INTERCEPTION_SINT_INDEX);
	take_rest(cpu);
	compat_msr_write(HV_X64_MSR_SCONTROL, cpu->previous_control);
	for (i = 0; i < PAGE_COUNT; i++) {
		page_disable(&cpu->pages[i]);
	}
	partitions_kick();
	return 0;
}

/* ---- the module comes and goes ---- */

static void free_pages_of_cpus(void)
{
	struct synic_cpu *cpu;
	unsigned int number;
	u32 i;

	for_each_possible_cpu(number)
	{
		cpu = per_cpu_ptr(&cpus, number);
		for (i = 0; i < PAGE_COUNT; i++) {
			free_page((unsigned long)cpu->pages[i].own);
		}
		free_page((unsigned long)cpu->hvcall_page);
	}
}

static bool alloc_pages_of_cpu(struct synic_cpu *cpu)
{
	static const u32 msrs[PAGE_COUNT] = {
		[PAGE_MESSAGES] = HV_X64_MSR_SIMP,
		[PAGE_FLAGS] = HV_X64_MSR_SIEFP,
		[PAGE_RINGS] = HV_X64_MSR_SIRBP,
	};
	u32 i;

	for (i = 0; i < PAGE_COUNT; i++) {
		cpu->pages[i].msr = msrs[i];
		cpu->pages[i].own = (void *)get_zeroed_page(GFP_KERNEL);
		if (!cpu->pages[i].own) {
			return false;
		}
	}
	cpu->hvcall_page = (void *)get_zeroed_page(GFP_KERNEL);
	return cpu->hvcall_page;
}

/* The next kernel of a kexec must not find its memory under pages of the hypervisor. */
static int before_reboot(struct notifier_block *block, unsigned long action, void *data)
{
	cpuhp_remove_state(hotplug_state);
	return NOTIFY_DONE;
}

static struct notifier_block reboot_notifier = {
	.notifier_call = before_reboot,
};

int synic_init(void)
{
	unsigned int number;
	int ret = -ENOMEM;

	for_each_possible_cpu(number)
	{
		if (!alloc_pages_of_cpu(per_cpu_ptr(&cpus, number))) {
			goto out_free;
		}
	}
	compat_set_handler(synic_interrupt);
	ret = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "mshv_vd:online", synic_cpu_online,
				synic_cpu_offline);
	if (ret < 0) {
		goto out_handler;
	}
	hotplug_state = ret;
	ret = register_reboot_notifier(&reboot_notifier);
	if (ret) {
		goto out_hotplug;
	}
	return 0;

out_hotplug:
	cpuhp_remove_state(hotplug_state);

out_handler:
	compat_set_handler(NULL);
out_free:
	free_pages_of_cpus();
	return ret;
}

void synic_exit(void)
{
	unregister_reboot_notifier(&reboot_notifier);
	cpuhp_remove_state(hotplug_state);
	compat_set_handler(NULL);
	free_pages_of_cpus();
}
