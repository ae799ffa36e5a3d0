/*
 * The synthetic interrupt controller: the message page, and the queues behind its slots (TLFS,
 * "SynIC Messages"). Its registers are in synic_msr.c, event flags in event.c.
 *
 * Invariants, under [S]:
 *  1. A buffer is on exactly one list: free, or the queue of one SINT. free_count counts the free.
 *  2. Bit n of waiting is set exactly when queue n is not empty.
 *  3. While a queue is not empty, or a sender was turned away, the full slot's MessagePending flag
 *     is set: the guest owes an EOM. The flag is set first and the slot looked at again after; the
 *     guest does it the other way round, so no message is left behind.
 *
 *	slot:	empty ── write_slot() ─▶ full ── the guest sets type 0 ─▶ empty
 *	queue:	moves at EOM, EOI and the next message (synic_flush_queue(), flush_sint())
 */
#include "tlfs/synic.h"

/* Kept for SINT 0, where the root hears of its children, however many messages others send. */
#define RESERVED_BUFFERS 4

/* ---- life ---- */

static void free_buffers(struct synic *synic)
{
	struct synic_message *buffers = synic->buffer_page;

	synic->free = NULL;
	for (unsigned int i = 0; i < SYNIC_BUFFERS; i++) {
		buffers[i].next = synic->free;
		synic->free = &buffers[i];
	}
	synic->free_count = SYNIC_BUFFERS;
	memset(synic->queue, 0, sizeof(synic->queue));
	__atomic_store_n(&synic->waiting, 0, __ATOMIC_RELAXED);
}

static void reset_registers(struct synic *synic)
{
	synic->scontrol = synic->siefp = synic->simp = synic->sirbp = 0;
	for (unsigned int i = 0; i < HV_SINT_COUNT; i++) {
		synic->sint[i] = HV_SYNIC_SINT_MASKED;
	}
}

hv_status_t synic_create(struct vp *vp)
{
	struct synic *synic = &vp->synic;
	bool root = vp->partition->id == HV_ROOT_PARTITION;

	synic->message_page = plat_page_alloc(vp->partition);
	synic->event_page = plat_page_alloc(vp->partition);
	synic->buffer_page = plat_page_alloc(vp->partition);
	synic->ring_page = root ? plat_page_alloc(vp->partition) : NULL;
	if (synic->message_page == NULL || synic->event_page == NULL ||
	    synic->buffer_page == NULL || (root && synic->ring_page == NULL)) {
		synic_destroy(vp);
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	reset_registers(synic);
	free_buffers(synic);
	return HV_STATUS_SUCCESS;
}

static void free_page(struct vp *vp, void **page)
{
	if (*page != NULL) {
		plat_page_free(vp->partition, *page);
	}
	*page = NULL;
}

/* Takes the pages out of the GPA space; a move to nowhere cannot fail. */
static void remove_overlays(struct vp *vp)
{
	struct synic *synic = &vp->synic;

	CHECK(overlay_move(vp->partition, synic->simp, 0, synic->message_page) ==
	      HV_STATUS_SUCCESS);
	CHECK(overlay_move(vp->partition, synic->siefp, 0, synic->event_page) == HV_STATUS_SUCCESS);
	CHECK(overlay_move(vp->partition, synic->sirbp, 0, synic->ring_page) == HV_STATUS_SUCCESS);
}

void synic_destroy(struct vp *vp)
{
	remove_overlays(vp);
	reset_registers(&vp->synic);
	free_page(vp, &vp->synic.message_page);
	free_page(vp, &vp->synic.event_page);
	free_page(vp, &vp->synic.buffer_page);
	free_page(vp, &vp->synic.ring_page);
}

void synic_reset(struct vp *vp)
{
	struct synic *synic = &vp->synic;

	remove_overlays(vp);
	spin_lock(&synic->lock);
	reset_registers(synic);
	free_buffers(synic);
	memset(synic->message_page, 0, PAGE_SIZE);
	memset(synic->event_page, 0, PAGE_SIZE);
	spin_unlock(&synic->lock);
	memset(vp->lapic.auto_eoi, 0, sizeof(vp->lapic.auto_eoi));
}

/* ---- messages ---- */

void synic_interrupt(struct vp *vp, uint32_t sint)
{
	union hv_synic_sint value = {
		.as_uint64 = __atomic_load_n(&vp->synic.sint[sint], __ATOMIC_RELAXED)};

	if (!value.masked && !value.polling) {
		lapic_post(vp, (uint8_t)value.vector, false);
	}
}

static struct hv_message *slot_of(struct synic *synic, uint32_t sint)
{
	return &((struct hv_message_page *)synic->message_page)->sint_message[sint];
}

static bool slot_empty(struct synic *synic, uint32_t sint)
{
	return __atomic_load_n(&slot_of(synic, sint)->header.message_type, __ATOMIC_SEQ_CST) ==
	       HVMSG_NONE;
}

/* True when the slot was emptied before the guest can have seen the flag. */
static bool empty_after_flag(struct synic *synic, uint32_t sint)
{
	__atomic_fetch_or(&slot_of(synic, sint)->header.message_flags.asu8, 1, __ATOMIC_SEQ_CST);
	return slot_empty(synic, sint);
}

/* [S] held, slot empty. The type comes last: it is what makes the rest a message. */
static void write_slot(struct vp *vp, uint32_t sint, const struct hv_message *message, bool more)
{
	struct hv_message *slot = slot_of(&vp->synic, sint);
	uint8_t size = message->header.payload_size;

	if (size > HV_MESSAGE_PAYLOAD_BYTE_COUNT) {
		size = HV_MESSAGE_PAYLOAD_BYTE_COUNT;
	}
	memcpy(slot->u.payload, message->u.payload, size);
	slot->header.payload_size = size;
	slot->header.message_flags.asu8 = more;
	slot->header.reserved[0] = slot->header.reserved[1] = 0;
	slot->header.sender = message->header.sender;
	__atomic_store_n(&slot->header.message_type, message->header.message_type,
			 __ATOMIC_RELEASE);
	synic_interrupt(vp, sint);
}

static bool enabled(const struct synic *synic)
{
	return (synic->scontrol & HV_SYNIC_CONTROL_ENABLE) && (synic->simp & HV_SYNIC_SIMP_ENABLE);
}

/* [S] held. Moves the oldest message of a queue to its slot. */
static void flush_sint(struct vp *vp, uint32_t sint)
{
	struct synic *synic = &vp->synic;
	struct synic_message *first = synic->queue[sint];

	if (first == NULL || (!slot_empty(synic, sint) && !empty_after_flag(synic, sint))) {
		return;
	}
	synic->queue[sint] = first->next;
	if (first->next == NULL) {
		__atomic_fetch_and(&synic->waiting, ~(1u << sint), __ATOMIC_RELAXED);
	}
	write_slot(vp, sint, &first->message, first->next != NULL);
	first->next = synic->free;
	synic->free = first;
	synic->free_count++;
}

/* [S] held. */
static hv_status_t enqueue(struct synic *synic, uint32_t sint, const struct hv_message *message)
{
	struct synic_message **end = &synic->queue[sint], *buffer = synic->free;

	if (synic->free_count <=
	    (sint == HV_SYNIC_INTERCEPTION_SINT_INDEX ? 0 : RESERVED_BUFFERS)) {
		return HV_STATUS_INSUFFICIENT_BUFFERS;
	}
	synic->free = buffer->next;
	synic->free_count--;
	memcpy(&buffer->message, message, sizeof(*message));
	buffer->next = NULL;
	while (*end != NULL) {
		end = &(*end)->next;
	}
	*end = buffer;
	__atomic_fetch_or(&synic->waiting, 1u << sint, __ATOMIC_RELAXED);
	return HV_STATUS_SUCCESS;
}

static hv_status_t post_locked(struct vp *vp, uint32_t sint, const struct hv_message *message,
			       bool queue)
{
	struct synic *synic = &vp->synic;
	hv_status_t status;

	if (!enabled(synic)) {
		return HV_STATUS_INVALID_SYNIC_STATE;
	}
	flush_sint(vp, sint); /* TLFS: another message makes the queue move, and frees its buffer */
	if (synic->queue[sint] == NULL &&
	    (slot_empty(synic, sint) || empty_after_flag(synic, sint))) {
		write_slot(vp, sint, message, false);
		return HV_STATUS_SUCCESS;
	}
	status = queue ? enqueue(synic, sint, message) : HV_STATUS_INSUFFICIENT_BUFFERS;
	flush_sint(vp, sint); /* flags the slot, which may just have been filled */
	return status;
}

hv_status_t synic_post_message(struct vp *vp, uint32_t sint, const struct hv_message *message,
			       bool queue)
{
	hv_status_t status;

	spin_lock(&vp->synic.lock);
	status = post_locked(vp, sint, message, queue);
	spin_unlock(&vp->synic.lock);
	return status;
}

void synic_flush_queue(struct vp *vp)
{
	struct synic *synic = &vp->synic;
	uint32_t waiting = __atomic_load_n(&synic->waiting, __ATOMIC_RELAXED);

	if (waiting & 0xFFFF) {
		spin_lock(&synic->lock);
		for (uint32_t sint = 0; sint < HV_SINT_COUNT && enabled(synic); sint++) {
			flush_sint(vp, sint);
		}
		spin_unlock(&synic->lock);
	}
	if (waiting >> SYNIC_WAITING_TIMER_SHIFT) {
		stimer_retry(vp);
	}
	if (vp->partition->id == HV_ROOT_PARTITION) {
		notify_flush(vp);
	}
}

uint16_t synic_free_sints(struct vp *vp, uint16_t wanted)
{
	struct synic *synic = &vp->synic;
	uint16_t sints = 0;

	spin_lock(&synic->lock);
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++) {
		if (wanted >> sint & 1 && synic->queue[sint] == NULL &&
		    (slot_empty(synic, sint) || empty_after_flag(synic, sint))) {
			sints |= (uint16_t)(1u << sint);
		}
	}
	spin_unlock(&synic->lock);
	return sints;
}

void synic_end_of_message(struct vp *vp)
{
	synic_flush_queue(vp);
	if (vp->deliverability_notifications) {
		vp_post_event(vp, VP_EVENT_SYNIC);
	}
}
