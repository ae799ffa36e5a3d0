/* MSHV_GET_GPAP_ACCESS_BITMAP: which guest pages were accessed or written (TLFS:
 * HvCallGetGpaPagesAccessStates). */
#include <linux/errno.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "root.h"

#define BATCH 2048u /* pages a call; a multiple of 8, and a byte each in the output page */

/* Not accessed implies not written; written implies accessed. */
static uint64_t flags_for(uint32_t type, uint32_t operation)
{
	union hv_gpa_page_access_state_flags flags = {};
	bool dirty = type == MSHV_GPAP_ACCESS_TYPE_DIRTY;

	if (operation == MSHV_GPAP_ACCESS_OP_CLEAR) {
		flags.clear_dirty = 1;
		flags.clear_accessed = !dirty;
	} else if (operation == MSHV_GPAP_ACCESS_OP_SET) {
		flags.set_accessed = 1;
		flags.set_dirty = dirty;
	}
	return flags.as_uint64;
}

/* A large page whose state changes is split, which takes a page table. */
static int get_states(struct partition *partition, uint64_t gfn, uint32_t count, uint64_t flags)
{
	struct hv_input_get_gpa_pages_access_state *input = partition->pages.input;
	uint32_t done = 0, before, tries = 0;
	hv_status_t status;
	int ret;

	*input = (struct hv_input_get_gpa_pages_access_state){
		.partition_id = partition->id,
		.flags.as_uint64 = flags,
		.hv_gpa_page_number = gfn,
	};
	do {
		before = done;
		status = hvcall_rep(HVCALL_GET_GPA_PAGES_ACCESS_STATES, count, &done, input,
				    partition->pages.output);
		tries = done > before ? 0 : tries;
		ret = deposit_retry(partition->id, status, &tries);
	} while (ret > 0);
	return ret;
}

/*
 * States to bits, in place: bit n comes from byte n, so that none is overwritten before it is read.
 */
static void compress(uint8_t *states, uint32_t count, uint8_t mask)
{
	uint32_t byte, bit;
	uint8_t bits;

	for (byte = 0; byte * 8 < count; byte++) {
		bits = 0;
		for (bit = 0; bit < 8 && byte * 8 + bit < count; bit++) {
			bits |= states[byte * 8 + bit] & mask ? 1 << bit : 0;
		}
		states[byte] = bits;
	}
}

static int copy_bitmap(struct partition *partition, const struct mshv_gpap_access_bitmap *arguments)
{
	uint8_t mask = arguments->access_type == MSHV_GPAP_ACCESS_TYPE_DIRTY ? 2 : 1;
	uint64_t flags = flags_for(arguments->access_type, arguments->access_op), done;
	uint8_t __user *bitmap = u64_to_user_ptr(arguments->bitmap_ptr);
	uint32_t count;
	int ret;

	for (done = 0; done < arguments->page_count; done += count) {
		count = min_t(uint64_t, arguments->page_count - done, BATCH);
		ret = get_states(partition, arguments->gpap_base + done, count, flags);
		if (ret) {
			return ret;
		}
		compress(partition->pages.output, count, mask);
		if (copy_to_user(bitmap + done / 8, partition->pages.output,
				 DIV_ROUND_UP(count, 8))) {
			return -EFAULT;
		}
		cond_resched();
		if (fatal_signal_pending(current)) {
			return -EINTR;
		}
	}
	return 0;
}

long access_bitmap(struct partition *partition, void __user *argument)
{
	struct mshv_gpap_access_bitmap arguments;

	if (copy_from_user(&arguments, argument, sizeof(arguments))) {
		return -EFAULT;
	}
	if (arguments.access_type >= MSHV_GPAP_ACCESS_TYPE_COUNT ||
	    arguments.access_op >= MSHV_GPAP_ACCESS_OP_COUNT ||
	    memchr_inv(arguments.rsvd, 0, sizeof(arguments.rsvd)) != NULL ||
	    !arguments.page_count || !arguments.bitmap_ptr) {
		return -EINVAL;
	}
	if (arguments.gpap_base + arguments.page_count < arguments.gpap_base) {
		return -EINVAL;
	}
	if (arguments.page_count / 8 > TASK_SIZE_MAX) {
		return -E2BIG;
	}
	return copy_bitmap(partition, &arguments);
}
