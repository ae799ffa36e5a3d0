/*
 * MSHV_GET_VP_STATE, MSHV_SET_VP_STATE (TLFS: HvCallGetVpState, HvCallSetVpState).
 *
 * State that the hypervisor takes by page numbers goes through pages of the module's, so that it
 * never writes where user space says.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "root.h"

#define STATE_PAGES_MAX 64

/* What to ask for, and how many bytes it has. */
static int describe(struct vp *vp, uint32_t type, struct hv_vp_state_data *data, uint32_t *size)
{
	uint64_t states, bytes;
	int ret;

	memset(data, 0, sizeof(*data));
	*size = HV_HYP_PAGE_SIZE;
	switch (type) {
	case MSHV_VP_STATE_LAPIC:
		data->type = HV_GET_SET_VP_STATE_LAPIC_STATE;
		return 0;
	case MSHV_VP_STATE_SIMP:
		data->type = HV_GET_SET_VP_STATE_SIM_PAGE;
		return 0;
	case MSHV_VP_STATE_SIEFP:
		data->type = HV_GET_SET_VP_STATE_SIEF_PAGE;
		return 0;
	case MSHV_VP_STATE_SYNTHETIC_TIMERS:
		data->type = HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS;
		*size = sizeof(struct hv_synthetic_timers_state);
		return 0;
	}
	ret = hvcall_get_property(&vp->pages, vp->partition->id, HV_PARTITION_PROPERTY_XSAVE_STATES,
				  &states);
	if (!ret) {
		ret = hvcall_get_property(&vp->pages, vp->partition->id,
					  HV_PARTITION_PROPERTY_MAX_XSAVE_DATA_SIZE, &bytes);
	}
	if (ret) {
		return ret;
	}
	if (!bytes || bytes > STATE_PAGES_MAX * HV_HYP_PAGE_SIZE) {
		return -EIO;
	}
	data->type = HV_GET_SET_VP_STATE_XSAVE;
	data->xsave.states.as_uint64 = states;
	data->xsave.states.legacy_x87 = 1;
	data->xsave.states.legacy_sse = 1;
	*size = bytes;
	return 0;
}

static void set_pfns(uint64_t *pfns, void *buffer, uint32_t pages)
{
	uint32_t i;

	for (i = 0; i < pages; i++) {
		pfns[i] = vmalloc_to_pfn(buffer + i * PAGE_SIZE);
	}
}

/* Get and set begin alike: the fixed part of the input, then page numbers or data. */
static_assert(offsetof(struct hv_input_get_vp_state, output_data_pfns) ==
	      offsetof(struct hv_input_set_vp_state, data));

static int call(struct vp *vp, const struct hv_vp_state_data *data, void *buffer, uint32_t size,
		bool set)
{
	struct hv_input_set_vp_state *input = vp->pages.input;
	bool by_pfn = data->type & HV_GET_SET_VP_STATE_TYPE_PFN;
	uint32_t pages = DIV_ROUND_UP(size, PAGE_SIZE), variable = 0, tries = 0;
	hv_status_t status;
	int ret;

	do {
		*input = (struct hv_input_set_vp_state){
			.partition_id = vp->partition->id,
			.vp_index = vp->index,
			.state_data = *data,
		};
		if (by_pfn) {
			variable = pages * sizeof(uint64_t);
			set_pfns(input->data, buffer, pages);
		} else if (set) {
			variable = size;
			memcpy(input->data, buffer, size);
		}
		status = hvcall_variable(set ? HVCALL_SET_VP_STATE : HVCALL_GET_VP_STATE, variable,
					 input, vp->pages.output);
		ret = deposit_retry(vp->partition->id, status, &tries);
	} while (ret > 0);
	if (!ret && !by_pfn && !set) {
		memcpy(buffer, vp->pages.output, size);
	}
	return ret;
}

static int move(struct vp *vp, const struct hv_vp_state_data *data, void __user *user,
		uint32_t size, bool set)
{
	void *buffer = vzalloc(PAGE_ALIGN(size));
	int ret = 0;

	if (buffer == NULL) {
		return -ENOMEM;
	}
	if (set && copy_from_user(buffer, user, size)) {
		ret = -EFAULT;
	}
	ret = ret ?: call(vp, data, buffer, size, set);
	if (!ret && !set && copy_to_user(user, buffer, size)) {
		ret = -EFAULT;
	}
	vfree(buffer);
	return ret;
}

long vp_get_set_state(struct vp *vp, struct mshv_get_set_vp_state __user *argument, bool set)
{
	struct mshv_get_set_vp_state arguments;
	struct hv_vp_state_data data;
	uint32_t size;
	int ret;

	if (copy_from_user(&arguments, argument, sizeof(arguments))) {
		return -EFAULT;
	}
	if (arguments.type >= MSHV_VP_STATE_COUNT ||
	    memchr_inv(arguments.rsvd, 0, sizeof(arguments.rsvd)) != NULL) {
		return -EINVAL;
	}
	if (!arguments.buf_sz || !PAGE_ALIGNED(arguments.buf_sz) ||
	    !PAGE_ALIGNED(arguments.buf_ptr)) {
		return -EINVAL;
	}
	ret = describe(vp, arguments.type, &data, &size);
	if (ret) {
		return ret;
	}
	if (put_user(size, &argument->buf_sz)) {
		return -EFAULT;
	}
	if (size > arguments.buf_sz) {
		return -EINVAL;
	}
	return move(vp, &data, u64_to_user_ptr(arguments.buf_ptr), size, set);
}
