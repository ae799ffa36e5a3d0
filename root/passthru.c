/*
 * MSHV_ROOT_HVCALL: hypercalls that a VMM makes on its own partition.
 *
 * Each of them has the partition id in the first 8 bytes of its input; the module writes it, so a
 * VMM reaches no other partition than the one whose descriptor it has. The hypervisor validates the
 * rest.
 */
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "root.h"

struct passthru {
	uint16_t code;
	bool on_root;   /* harmless when the partition is the root itself */
	bool completes; /* may return HV_STATUS_CALL_PENDING and complete by a message */
};

static const struct passthru passthrus[] = {
	{HVCALL_GET_PARTITION_PROPERTY, .on_root = true},
	{HVCALL_GET_PARTITION_PROPERTY_EX, .on_root = true},
	{HVCALL_SET_PARTITION_PROPERTY, .completes = true},
	{HVCALL_INSTALL_INTERCEPT},
	{HVCALL_GET_VP_REGISTERS},
	{HVCALL_SET_VP_REGISTERS},
	{HVCALL_TRANSLATE_VIRTUAL_ADDRESS},
	{HVCALL_CLEAR_VIRTUAL_INTERRUPT},
	{HVCALL_REGISTER_INTERCEPT_RESULT},
	{HVCALL_ASSERT_VIRTUAL_INTERRUPT},
	{HVCALL_GET_GPA_PAGES_ACCESS_STATES},
	{HVCALL_SIGNAL_EVENT_DIRECT},
	{HVCALL_POST_MESSAGE_DIRECT},
	{HVCALL_GET_VP_CPUID_VALUES},
};

static const struct passthru *find(uint16_t code)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(passthrus); i++) {
		if (passthrus[i].code == code) {
			return &passthrus[i];
		}
	}
	return NULL;
}

static bool well_formed(const struct mshv_root_hvcall *call)
{
	if (call->status || memchr_inv(call->rsvd, 0, sizeof(call->rsvd)) != NULL) {
		return false;
	}
	if (!call->in_ptr || call->in_sz < sizeof(uint64_t) || call->in_sz > HV_HYP_PAGE_SIZE) {
		return false;
	}
	if (call->out_ptr && !call->out_sz) {
		return false;
	}
	return call->out_sz <= HV_HYP_PAGE_SIZE && call->reps <= HV_HYPERCALL_REP_MAX;
}

/* The output page is always given: without one, the hypervisor would be told to write at GPA 0. */
static hv_status_t call_once(const struct mshv_root_hvcall *call, uint32_t *done,
			     struct hvcall_pages *pages)
{
	if (call->reps) {
		return hvcall_rep(call->code, call->reps, done, pages->input, pages->output);
	}
	return hvcall_simple(call->code, pages->input, pages->output);
}

static int wait_for_completion_of(struct partition *partition, hv_status_t *status)
{
	int ret = wait_for_completion_killable(&partition->async);

	*status = partition->async_status;
	return ret;
}

static int make_call(struct partition *partition, const struct passthru *passthru,
		     struct mshv_root_hvcall *call, struct hvcall_pages *pages)
{
	uint64_t id = partition != NULL ? partition->id : HV_PARTITION_ID_SELF;
	hv_status_t status;
	uint32_t done = 0, tries = 0;
	int ret;

	do {
		*(uint64_t *)pages->input = id;
		if (passthru->completes) {
			reinit_completion(&partition->async);
		}
		status = call_once(call, &done, pages);
		if (status == HV_STATUS_CALL_PENDING && passthru->completes) {
			ret = wait_for_completion_of(partition, &status);
			if (ret) {
				return ret;
			}
		}
		ret = deposit_retry(id, status, &tries);
	} while (ret > 0);
	call->status = status;
	call->reps = done;
	return ret;
}

static long copy_and_call(struct partition *partition, const struct passthru *passthru,
			  struct mshv_root_hvcall *call, struct hvcall_pages *pages,
			  void __user *argument)
{
	long ret;

	if (copy_from_user(pages->input, u64_to_user_ptr(call->in_ptr), call->in_sz)) {
		return -EFAULT;
	}
	memset(pages->output, 0, call->out_sz);
	ret = make_call(partition, passthru, call, pages);
	if (copy_to_user(argument, call, sizeof(*call))) {
		return -EFAULT;
	}
	/* Whatever the result: what was completed is there. */
	if (call->out_ptr &&
	    copy_to_user(u64_to_user_ptr(call->out_ptr), pages->output, call->out_sz)) {
		return -EFAULT;
	}
	return ret;
}

long passthru_hvcall(struct partition *partition, struct hvcall_pages *pages, bool may_wait,
		     void __user *argument)
{
	const struct passthru *passthru;
	struct hvcall_pages own = {};
	struct mshv_root_hvcall call;
	long ret;

	if (copy_from_user(&call, argument, sizeof(call))) {
		return -EFAULT;
	}
	passthru = find(call.code);
	if (passthru == NULL || !well_formed(&call)) {
		return -EINVAL;
	}
	if ((partition == NULL && !passthru->on_root) || (passthru->completes && !may_wait)) {
		return -EINVAL;
	}
	if (pages != NULL) {
		return copy_and_call(partition, passthru, &call, pages, argument);
	}
	ret = hvcall_pages_alloc(&own);
	if (!ret) {
		ret = copy_and_call(partition, passthru, &call, &own, argument);
		hvcall_pages_free(&own);
	}
	return ret;
}
