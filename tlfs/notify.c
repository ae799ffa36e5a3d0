/*
 * What a root VP is told by messages on its SINT0: child VPs that want to be dispatched (scheduler
 * messages), interrupts that they ended (APIC EOI), and SINTs of its own that are routed there
 * (as_intercept).
 *
 * SINT0 has one slot. What finds it full waits in lists that run through the VPs themselves, so
 * nothing is ever lost for want of memory, and each thing waits once: a second signal for a VP that
 * is in the list adds nothing.
 *
 * A root VP has its queue and a lock for it [N]. A child is in one queue at most, that which
 * vp->notify_target names: it is claimed, from NULL, by who holds the lock of the queue, and given
 * free under the same lock. So what a child has to tell is guarded by the lock of the queue that it
 * is in; while it is in none it has nothing to tell. What is done under a lock is a few loads and
 * at most two messages, however long the queue is.
 */
#include "tlfs/partition.h"

#define INTERCEPTION_SINT HV_SYNIC_INTERCEPTION_SINT_INDEX

/* Events that make a VP worth dispatching; the others only concern one that runs. */
#define WAKE_EVENTS                                                                                \
	(VP_EVENT_INTERRUPT | VP_EVENT_NMI | VP_EVENT_INIT | VP_EVENT_SIPI | VP_EVENT_TIMER |      \
	 VP_EVENT_SYNIC | VP_EVENT_EXTINT)

/* ---- The queue of a root VP, under its lock ---- */

static void queue_append(struct vp *root, struct vp *vp)
{
	if (root->notify_queue == NULL) {
		root->notify_end = &root->notify_queue;
	}
	vp->notify_next = NULL;
	vp->notify_link = root->notify_end;
	__atomic_store_n(root->notify_end, vp, __ATOMIC_RELAXED);
	root->notify_end = &vp->notify_next;
}

static void queue_remove(struct vp *root, struct vp *vp)
{
	__atomic_store_n(vp->notify_link, vp->notify_next, __ATOMIC_RELAXED);
	if (vp->notify_next != NULL) {
		vp->notify_next->notify_link = vp->notify_link;
	} else {
		root->notify_end = vp->notify_link;
	}
	__atomic_store_n(&vp->notify_target, NULL, __ATOMIC_SEQ_CST);
}

/* The root VP that dispatched the VP last, as the one whose LP has it in its caches. */
static struct vp *target_of(struct vp *vp)
{
	struct vp *root =
		partition_vp(partition_root, __atomic_load_n(&vp->last_root_vp, __ATOMIC_RELAXED));

	return root != NULL ? root : partition_vp(partition_root, 0);
}

/* Into a queue, unless it is in one; with its lock held, whose root VP is the result. */
static struct vp *queue_claim(struct vp *vp)
{
	struct vp *root = __atomic_load_n(&vp->notify_target, __ATOMIC_SEQ_CST), *in;

	if (root == NULL) {
		root = target_of(vp);
	}
	for (;; root = in) {
		in = NULL;
		spin_lock(&root->notify_lock);
		if (__atomic_compare_exchange_n(&vp->notify_target, &in, root, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			queue_append(root, vp);
			return root;
		}
		if (in == root) {
			return root;
		}
		spin_unlock(&root->notify_lock);
	}
}

/* The lowest bit of 256, or -1. */
static int first_eoi(const struct vp *vp)
{
	for (int i = 0; i < 8; i++) {
		if (vp->notify_eoi[i]) {
			return i * 32 + __builtin_ctz(vp->notify_eoi[i]);
		}
	}
	return -1;
}

/* ---- Messages ---- */

static bool post(struct vp *root, struct hv_message *message, uint32_t type, uint8_t size,
		 uint64_t sender)
{
	message->header = (struct hv_message_header){
		.message_type = type, .payload_size = size, .sender = sender};
	return synic_post_message(root, INTERCEPTION_SINT, message, false) == HV_STATUS_SUCCESS;
}

static bool send_sint(struct vp *root, struct hv_message *message)
{
	struct hv_notification_message_payload payload = {
		(uint32_t)__builtin_ctz(root->notify_eoi[0])};

	memcpy(message->u.payload, &payload, sizeof(payload));
	if (!post(root, message, HVMSG_SYNIC_SINT_INTERCEPT, sizeof(payload),
		  root->partition->id)) {
		return false;
	}
	root->notify_eoi[0] &= root->notify_eoi[0] - 1;
	return true;
}

static bool send_eoi(struct vp *root, struct vp *vp, struct hv_message *message)
{
	int vector = first_eoi(vp);
	struct hv_x64_apic_eoi_message payload = {vp->index, (uint32_t)vector};

	memcpy(message->u.payload, &payload, sizeof(payload));
	if (!post(root, message, HVMSG_X64_APIC_EOI, sizeof(payload), vp->partition->id)) {
		return false;
	}
	vp->notify_eoi[vector / 32] &= ~(1u << vector % 32);
	if (!vp->notify_signal && first_eoi(vp) < 0) {
		queue_remove(root, vp);
	}
	return true;
}

/* The first VPs of the queue that are to be signalled, and whether all are of one partition. */
static uint32_t gather(struct vp *root, struct vp **vps, bool *one_partition)
{
	uint32_t count = 0;

	*one_partition = true;
	for (struct vp *vp = root->notify_queue;
	     vp != NULL && count < HV_MESSAGE_MAX_PARTITION_VP_PAIR_COUNT; vp = vp->notify_next) {
		if (!vp->notify_signal) {
			continue;
		}
		vps[count++] = vp;
		*one_partition &= vp->partition == vps[0]->partition;
	}
	return count;
}

static uint8_t make_bitset(struct hv_vp_signal_bitset_scheduler_message *payload, struct vp **vps,
			   uint32_t count)
{
	uint64_t banks[HV_MAX_VPS / 64] = {0};
	uint32_t used = 0;

	memset(payload, 0, sizeof(*payload));
	payload->partition_id = vps[0]->partition->id;
	payload->vp_count = (uint16_t)count;
	payload->vp_bitset.bitset.format = HV_GENERIC_SET_SPARSE_4K;
	for (uint32_t i = 0; i < count; i++) {
		banks[vps[i]->index / 64] |= 1ull << vps[i]->index % 64;
	}
	for (uint32_t i = 0; i < ARRAY_COUNT(banks); i++) {
		if (!banks[i]) {
			continue;
		}
		payload->vp_bitset.bitset.valid_bank_mask |= 1ull << i;
		payload->vp_bitset.bitset_buffer[2 + used++] = banks[i];
	}
	return (uint8_t)(sizeof(*payload) - sizeof(payload->vp_bitset) + (2 + used) * 8);
}

static uint8_t make_pairs(struct hv_vp_signal_pair_scheduler_message *payload, struct vp **vps,
			  uint32_t count)
{
	memset(payload, 0, sizeof(*payload));
	payload->vp_count = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++) {
		payload->partition_ids[i] = vps[i]->partition->id;
		payload->vp_indexes[i] = vps[i]->index;
	}
	return sizeof(*payload);
}

static bool send_signals(struct vp *root, struct hv_message *message)
{
	struct vp *vps[HV_MESSAGE_MAX_PARTITION_VP_PAIR_COUNT];
	bool one_partition;
	uint32_t count = gather(root, vps, &one_partition), type;
	uint8_t size;

	if (one_partition) {
		type = HVMSG_SCHEDULER_VP_SIGNAL_BITSET;
		size = make_bitset((void *)message->u.payload, vps, count);
	} else {
		type = HVMSG_SCHEDULER_VP_SIGNAL_PAIR;
		size = make_pairs((void *)message->u.payload, vps, count);
	}
	if (!post(root, message, type, size, 0)) {
		return false;
	}
	for (uint32_t i = 0; i < count; i++) {
		vps[i]->notify_signal = false;
		__atomic_fetch_add(&vps[i]->root_signal_count, 1, __ATOMIC_RELAXED);
		if (first_eoi(vps[i]) < 0) {
			queue_remove(root, vps[i]);
		}
	}
	return true;
}

/* Lock held: as long as messages fit. The slot takes one, so this ends after two rounds. */
static void flush(struct vp *root)
{
	struct hv_message message;
	bool sent = true;

	while (sent && (root->notify_eoi[0] || root->notify_queue != NULL)) {
		if (root->notify_eoi[0]) {
			sent = send_sint(root, &message);
		} else if (first_eoi(root->notify_queue) >= 0) {
			sent = send_eoi(root, root->notify_queue, &message);
		} else {
			sent = send_signals(root, &message);
		}
	}
}

void notify_flush(struct vp *root_vp)
{
	if (__atomic_load_n(&root_vp->notify_queue, __ATOMIC_RELAXED) == NULL &&
	    !root_vp->notify_eoi[0]) {
		return;
	}
	spin_lock(&root_vp->notify_lock);
	flush(root_vp);
	spin_unlock(&root_vp->notify_lock);
}

static void signal(struct vp *vp)
{
	struct vp *root = queue_claim(vp);

	/*
	 * Looked at when it is claimed, as notify_forget() looks for a claim when the bit is set:
	 * so that no signal follows it.
	 */
	if (!(__atomic_load_n(&vp->suspend, __ATOMIC_SEQ_CST) & VP_SUSPEND_DISPATCH)) {
		vp->notify_signal = true;
		flush(root);
	} else if (!vp->notify_signal && first_eoi(vp) < 0) {
		queue_remove(root, vp);
	}
	spin_unlock(&root->notify_lock);
}

void notify_runnable(struct vp *vp)
{
	if (!__atomic_exchange_n(&vp->root_signalled, true, __ATOMIC_SEQ_CST)) {
		signal(vp);
	}
}

void vp_signal_scheduler(struct vp *vp)
{
	if (__atomic_load_n(&vp->suspend, __ATOMIC_SEQ_CST)) {
		return; /* who clears it looks at the events */
	}
	if (__atomic_load_n(&vp->events, __ATOMIC_SEQ_CST) & WAKE_EVENTS) {
		notify_runnable(vp);
	}
}

void notify_apic_eoi(struct vp *vp, uint8_t vector)
{
	struct vp *root = queue_claim(vp);

	vp->notify_eoi[vector / 32] |= 1u << vector % 32;
	flush(root);
	spin_unlock(&root->notify_lock);
}

void notify_sint(struct vp *root_vp, uint32_t sint)
{
	spin_lock(&root_vp->notify_lock);
	root_vp->notify_eoi[0] |= 1u << sint;
	flush(root_vp);
	spin_unlock(&root_vp->notify_lock);
}

void notify_forget(struct vp *vp)
{
	struct vp *root;

	while ((root = __atomic_load_n(&vp->notify_target, __ATOMIC_SEQ_CST)) != NULL) {
		spin_lock(&root->notify_lock);
		if (__atomic_load_n(&vp->notify_target, __ATOMIC_RELAXED) == root) {
			vp->notify_signal = false;
			memset(vp->notify_eoi, 0, sizeof(vp->notify_eoi));
			queue_remove(root, vp);
		}
		spin_unlock(&root->notify_lock);
	}
}
