/*
 * Calls on interrupts of devices that are in domains of their own: given to a device, sent
 * elsewhere, taken back (TLFS's headers: HvCallMapDeviceInterrupt and so on). They are the root's,
 * and about messages (MSI, MSI-X): edges of a vector. The answer is the message that the device is
 * to send.
 *
 * A child's HvCallRetargetDeviceInterrupt is about a device that its parent shows it.
 */
#include "include/hv/interrupt.h"
#include "lib/bits.h"
#include "tlfs/hypercall.h"

#define MESSAGES 0xfee00000u /* where devices write them */

/* The lowest VP of those that are named. No VP has the number HV_MAX_VPS. */
static uint32_t first_target(const struct hypercall *call,
			     const struct hv_device_interrupt_target *target)
{
	const uint64_t *banks = target->vp_set.bank_contents;
	uint64_t valid = target->vp_set.valid_bank_mask;

	if (!(target->flags & HV_DEVICE_INTERRUPT_TARGET_PROCESSOR_SET)) {
		return target->vp_mask ? (uint32_t)__builtin_ctzll(target->vp_mask) : HV_MAX_VPS;
	}
	if (target->vp_set.format == HV_GENERIC_SET_ALL) {
		return 0;
	}
	if (target->vp_set.format != HV_GENERIC_SET_SPARSE_4K ||
	    call->variable_size / 8 < bits_count(valid)) {
		return HV_MAX_VPS;
	}
	for (; valid; valid &= valid - 1, banks++) {
		if (*banks) {
			return (uint32_t)(__builtin_ctzll(valid) * HV_VCPUS_PER_SPARSE_BANK +
					  __builtin_ctzll(*banks));
		}
	}
	return HV_MAX_VPS;
}

static hv_status_t check(const struct hypercall *call, uint64_t partition, uint64_t device)
{
	if (partition != HV_PARTITION_ID_SELF && partition != call->vp->partition->id) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	if (!plat_device_interrupts()) {
		return HV_STATUS_FEATURE_UNAVAILABLE;
	}
	return hc_device_valid(device) ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_DEVICE_ID;
}

/* The number that a message has; false: it is none of ours. */
static bool number_of(struct hv_interrupt_entry entry, uint32_t *number)
{
	*number = entry.msi_entry.data.as_uint32;
	return entry.source == HV_INTERRUPT_SOURCE_MSI && !entry.reserved1 &&
	       entry.msi_entry.address.as_uint32 == MESSAGES;
}

hv_status_t hc_map_device_interrupt(struct hypercall *call)
{
	const struct hv_input_map_device_interrupt *input = call->input;
	const struct hv_device_interrupt_descriptor *wanted = &input->interrupt_descriptor;
	struct hv_output_map_device_interrupt *output = call->output;
	hv_status_t status = check(call, input->partition_id, input->device_id);
	uint32_t number;

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (input->flags || input->base_irt_idx || wanted->reserved || wanted->vector_count != 1 ||
	    wanted->interrupt_type != HV_X64_INTERRUPT_TYPE_FIXED ||
	    wanted->trigger_mode != HV_INTERRUPT_TRIGGER_MODE_EDGE) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = plat_device_interrupt_map((uint16_t)input->device_id,
					   first_target(call, &wanted->target),
					   wanted->target.vector, &number);
	if (status == HV_STATUS_SUCCESS) {
		output->interrupt_entry.source = HV_INTERRUPT_SOURCE_MSI;
		output->interrupt_entry.msi_entry.address.as_uint32 = MESSAGES;
		output->interrupt_entry.msi_entry.data.as_uint32 = number;
	}
	return status;
}

hv_status_t hc_unmap_device_interrupt(struct hypercall *call)
{
	const struct hv_input_unmap_device_interrupt *input = call->input;
	hv_status_t status = check(call, input->partition_id, input->device_id);
	uint32_t number;

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (input->flags || !number_of(input->interrupt_entry, &number)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return plat_device_interrupt_unmap((uint16_t)input->device_id, number);
}

hv_status_t hc_retarget_device_interrupt(struct hypercall *call)
{
	const struct hv_retarget_device_interrupt *input = call->input;
	hv_status_t status;
	uint32_t number;

	if (call->vp->partition->id != HV_ROOT_PARTITION) {
		call->intercept = call->vp->partition->intercept_retarget;
		return HV_STATUS_INVALID_DEVICE_ID;
	}
	status = check(call, input->partition_id, input->device_id);
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (input->reserved2 || !number_of(input->int_entry, &number)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return plat_device_interrupt_retarget((uint16_t)input->device_id, number,
					      first_target(call, &input->int_target),
					      input->int_target.vector);
}
