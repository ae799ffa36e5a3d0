/*
 * The run loop of the root scheduler: the VP's thread dispatches its VP until there is an intercept
 * for user space (TLFS: HvCallDispatchVp).
 *
 *                    +-------- READY, no event: the root had something to do --------+
 *                    v                                                               |
 *         RUN_VP -> guest work -> DispatchVp -+- READY, INTERCEPT: copy the message, back to user space
 *                    ^                        |
 *                    |                        +- BLOCKED (first SUSPEND: the explicit suspension goes)
 *                    |                              v
 *                    +---------- kicked --------- wait --- signal: -EINTR
 *
 * A kick that arrives between DispatchVp and the wait is kept in vp->kicked, so none is lost; a
 * stale one costs a dispatch.
 *
 * Each level-triggered interrupt that the guest has ended is a message too, made here: the
 * hypervisor tells it by SINT0 and does not stop the VP for it. It is told before the next
 * dispatch, with the answer to an intercept still to be taken.
 *
 * A signal ends RUN_VP. One that arrives while the thread handles an intercept does not, and its
 * handler can do nothing about it; so the first call that lasts after an intercept, and one of many
 * that do not, ends as by a signal after LOOK_AFTER.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "root.h"

#define LOOK_AFTER (HZ / 10)

void vp_kick(struct vp *vp)
{
	WRITE_ONCE(vp->kicked, true);
	wake_up(&vp->wait);
}

void vp_end_interrupt(struct vp *vp, uint8_t vector)
{
	set_bit(vector, vp->ended_vectors);
	smp_store_release(&vp->ended, true);
	vp_kick(vp);
}

static bool is_time_to_look(const struct vp *vp)
{
	return vp->look_at && time_after_eq(jiffies, vp->look_at);
}

static int wait_for_kick(struct vp *vp)
{
	long left = MAX_SCHEDULE_TIMEOUT;

	if (vp->look_at) {
		left = max_t(long, vp->look_at - jiffies, 0);
	}
	if (wait_event_interruptible_timeout(vp->wait, READ_ONCE(vp->kicked), left) < 0) {
		return -EINTR;
	}
	WRITE_ONCE(vp->kicked, false);
	return 0;
}

/* One of the interrupts that the guest has ended, as the VP's message; false when none is left. The
 * page is the hypervisor's, but it writes there only while the VP is dispatched. */
static bool take_ended(struct vp *vp)
{
	struct hv_x64_apic_eoi_message *payload = (void *)vp->intercept->u.payload;
	uint32_t vector;

	WRITE_ONCE(vp->ended, false);
	smp_mb();
	vector = find_first_bit(vp->ended_vectors, 256);
	if (vector == 256) {
		return false;
	}
	clear_bit(vector, vp->ended_vectors);
	WRITE_ONCE(vp->ended, true); /* perhaps there are more */
	vp->intercept->header = (struct hv_message_header){
		.message_type = HVMSG_X64_APIC_EOI,
		.payload_size = sizeof(*payload),
		.sender = vp->partition->id,
	};
	*payload = (struct hv_x64_apic_eoi_message){
		.vp_index = vp->index,
		.interrupt_vector = vector,
	};
	return true;
}

/* A new VP is explicitly suspended, and whoever runs it wants it to run. */
static int resume(struct vp *vp)
{
	return hvcall_set_register(&vp->pages, vp->partition->id, vp->index,
				   HV_REGISTER_EXPLICIT_SUSPEND, 0);
}

/* Set when the hypervisor turns out not to have HVCALL_VD_DISPATCH_VP. */
static bool standard_only;

static hv_status_t dispatch_by_memory(struct vp *vp, uint32_t flags)
{
	struct dispatch *d = vp->dispatch;

	d->input.flags = flags;
	return hvcall_simple(HVCALL_DISPATCH_VP, &d->input, &d->output);
}

static hv_status_t dispatch(struct vp *vp)
{
	uint32_t flags = vp->intercepted ? HV_DISPATCH_VP_FLAG_CLEAR_INTERCEPT_SUSPEND : 0;
	uint32_t answer;
	uint64_t result;

	if (unlikely(READ_ONCE(standard_only))) {
		return dispatch_by_memory(vp, flags);
	}
	result = compat_fast_hypercall(HVCALL_VD_DISPATCH_VP, vp->dispatch->input.partition_id,
				       vp->index | (uint64_t)flags << 32);
	if (unlikely((result & HV_HYPERCALL_RESULT_MASK) == HV_STATUS_INVALID_HYPERCALL_CODE)) {
		WRITE_ONCE(standard_only, true);
		return dispatch_by_memory(vp, flags);
	}
	answer = (result & HV_HYPERCALL_REP_COMP_MASK) >> HV_HYPERCALL_REP_COMP_OFFSET;
	vp->dispatch->output.dispatch_state = answer & HV_VD_DISPATCH_STATE_MASK;
	vp->dispatch->output.dispatch_event = answer >> HV_VD_DISPATCH_EVENT_SHIFT;
	return result & HV_HYPERCALL_RESULT_MASK;
}

/* Until there is a message for user space. */
static int run_to_message(struct vp *vp)
{
	const struct hv_output_dispatch_vp *output = &vp->dispatch->output;
	hv_status_t status;
	int ret;

	do {
		ret = compat_guest_work();
		if (ret) {
			return ret;
		}
		if (unlikely(is_time_to_look(vp))) {
			return -EINTR;
		}
		if (unlikely(READ_ONCE(vp->ended)) && take_ended(vp)) {
			return 0;
		}
		status = dispatch(vp);
		if (unlikely(status != HV_STATUS_SUCCESS)) {
			return status_to_errno(status);
		}
		if (output->dispatch_event == HV_VP_DISPATCH_EVENT_VD_SPIN) {
			yield(); /* to the VP that it waits for, perhaps */
		}
		vp->intercepted = output->dispatch_state == HV_VP_DISPATCH_STATE_READY &&
				  output->dispatch_event == HV_VP_DISPATCH_EVENT_INTERCEPT;
		if (output->dispatch_state == HV_VP_DISPATCH_STATE_BLOCKED) {
			if (output->dispatch_event == HV_VP_DISPATCH_EVENT_SUSPEND) {
				ret = resume(vp);
			}
			ret = ret ?: wait_for_kick(vp);
			if (ret) {
				return ret;
			}
		}
	} while (!vp->intercepted);
	return 0;
}

/* The words of the header and of the payload of a port or memory intercept. */
#define USUAL_WORDS                                                                                \
	((sizeof(struct hv_message_header) + sizeof(struct hv_x64_io_port_intercept_message)) /    \
	 sizeof(uint64_t))

/*
 * By words: a rep instruction of this length is dearer on processors that start it slowly. What
 * lies behind a short payload means nothing and stays as it is.
 */
int vp_copy_message(const struct vp *vp, void __user *user)
{
	const struct hv_message *message = vp->intercept;
	const uint64_t *from = (const uint64_t *)message;
	uint64_t __user *to = user;
	size_t i;

	if (!user_access_begin(user, sizeof(*message))) {
		return -EFAULT;
	}
#pragma GCC unroll 32
	for (i = 0; i < USUAL_WORDS; i++) {
		unsafe_put_user(from[i], &to[i], out_fault);
	}
	if (message->header.payload_size > sizeof(struct hv_x64_io_port_intercept_message)) {
		for (; i < sizeof(*message) / sizeof(uint64_t); i++) {
			unsafe_put_user(from[i], &to[i], out_fault);
		}
	}
	user_access_end();
	return 0;

out_fault:
	user_access_end();
	return -EFAULT;
}

int vp_run(struct vp *vp)
{
	int ret = run_to_message(vp);

	compat_guest_leave();
	if (ret) {
		vp->look_at = 0;
		return ret;
	}
	if (!vp->look_at) {
		vp->look_at = (jiffies + LOOK_AFTER) | 1;
	}
	return 0;
}
