/* Hypercalls of the guest that the hypervisor leaves to us (TLFS: HvPostMessage, HvSignalEvent;
 * HvRetargetDeviceInterrupt; HvExtCall…). */
#include <errno.h>

#include "include/hv/hypercall.h"
#include "include/hv/interrupt.h"
#include "include/hv/memory.h"
#include "include/hv/status.h"
#include "include/hv/synic.h"
#include "vmbus/vmbus.h"
#include "vsp/pci/function.h"
#include "worker/assigned.h"
#include "worker/machine.h"

static uint16_t post_message(struct machine *machine, const struct vp_exit *exit)
{
	struct hv_input_post_message input;

	if (exit->hypercall.fast ||
	    !memory_get(&machine->memory, exit->hypercall.input, &input, sizeof(input))) {
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	}
	if (input.payload_size > HV_MESSAGE_PAYLOAD_BYTE_COUNT) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	board_leave_firmware(&machine->board);
	switch (vmbus_message(machine->bus, input.connectionid.asu32, input.message_type,
			      input.payload, input.payload_size)) {
	case 0:
		return HV_STATUS_SUCCESS;
	case -ENOENT:
		return HV_STATUS_INVALID_CONNECTION_ID;
	case -EAGAIN:
		return HV_STATUS_INSUFFICIENT_BUFFERS;
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
}

static uint16_t signal_event(struct machine *machine, const struct vp_exit *exit)
{
	union {
		struct hv_input_signal_event event;
		uint64_t word;
	} input = {.word = exit->hypercall.input};

	if (!exit->hypercall.fast && !memory_get(&machine->memory, exit->hypercall.input,
						 &input.event, sizeof(input.event))) {
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	}
	if (input.event.flag_number != 0) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return bus_signal(machine, input.event.connectionid.asu32)
		       ? HV_STATUS_SUCCESS
		       : HV_STATUS_INVALID_CONNECTION_ID;
}

/* Blocks can be given back in dynamic memory alone. */
static uint16_t query_capabilities(struct machine *machine, const struct vp_exit *exit)
{
	const struct hv_output_query_capabilities output = {
		.capabilities =
			machine->memory.in_blocks ? HV_EXT_CAPABILITY_MEMORY_COLD_DISCARD_HINT : 0,
	};

	return !exit->hypercall.fast && exit->hypercall.output % 8 == 0 &&
			       memory_put(&machine->memory, exit->hypercall.output, &output,
					  sizeof(output))
		       ? HV_STATUS_SUCCESS
		       : HV_STATUS_INVALID_HYPERCALL_INPUT;
}

/* The most blocks of one call; it is a hint, so the rest may stay. */
#define HINT_BLOCKS (1u << 16)

/* What is in use, or no block, stays. False: the range has small pages, of which nobody has any
 * use. */
static bool discard(struct memory *memory, union hv_gpa_page_range range, unsigned int *left)
{
	uint64_t gpa = range.base_large_pfn * MEMORY_UNIT;
	uint64_t blocks = (range.page.additional_pages + 1ull) * (range.page_size ? 512 : 1);

	while (range.page.largepage && blocks > 0 && *left > 0 &&
	       memory_is_ram(memory, gpa, MEMORY_UNIT)) {
		(void)!memory_give_back(memory, gpa);
		gpa += MEMORY_UNIT;
		blocks--;
		(*left)--;
	}
	return range.page.largepage;
}

static uint16_t memory_heat_hint(struct machine *machine, struct vp_exit *exit)
{
	uint32_t count = exit->hypercall.rep_count, i = exit->hypercall.rep_start;
	uint64_t input[HV_HYP_PAGE_SIZE / sizeof(uint64_t)]; /* a struct hv_memory_hint */
	uint64_t size = (1 + count) * sizeof(input[0]);
	unsigned int left = HINT_BLOCKS;

	exit->hypercall.done = (uint16_t)i;
	if (!machine->memory.in_blocks) {
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	}
	if (exit->hypercall.fast || i >= count || exit->hypercall.input % 8 != 0 ||
	    exit->hypercall.input % HV_HYP_PAGE_SIZE + size > HV_HYP_PAGE_SIZE ||
	    !memory_get(&machine->memory, exit->hypercall.input, input, size)) {
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	}
	if (input[0] != HV_EXT_MEMORY_HEAT_HINT_TYPE_COLD_DISCARD) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	while (i < count &&
	       discard(&machine->memory, (union hv_gpa_page_range){input[1 + i]}, &left)) {
		i++;
	}
	exit->hypercall.done = (uint16_t)i;
	return i == count ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER;
}

/* The lowest VP of those that are named; UINT32_MAX: none is. */
static uint32_t first_target(const struct hv_device_interrupt_target *target, const uint64_t *banks)
{
	uint64_t valid = target->vp_set.valid_bank_mask;

	if (!(target->flags & HV_DEVICE_INTERRUPT_TARGET_PROCESSOR_SET)) {
		return target->vp_mask != 0 ? (uint32_t)__builtin_ctzll(target->vp_mask)
					    : UINT32_MAX;
	}
	if (target->vp_set.format == HV_GENERIC_SET_ALL) {
		return 0;
	}
	for (; valid != 0; valid &= valid - 1, banks++) {
		if (*banks != 0) {
			return (uint32_t)(__builtin_ctzll(valid) * 64 + __builtin_ctzll(*banks));
		}
	}
	return UINT32_MAX;
}

static uint16_t retarget_interrupt(struct machine *machine, const struct vp_exit *exit)
{
	struct hv_retarget_device_interrupt input;
	uint64_t banks[64] = {0}, gpa = exit->hypercall.input, size = sizeof(input), more = 0;
	struct vpci_target target;

	if (exit->hypercall.fast || gpa % 8 != 0 ||
	    !memory_get(&machine->memory, gpa, &input, size)) {
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	}
	if (input.int_target.flags & HV_DEVICE_INTERRUPT_TARGET_PROCESSOR_SET &&
	    input.int_target.vp_set.format == HV_GENERIC_SET_SPARSE_4K) {
		more = (uint64_t)__builtin_popcountll(input.int_target.vp_set.valid_bank_mask) * 8;
	}
	if (gpa % HV_HYP_PAGE_SIZE + size + more > HV_HYP_PAGE_SIZE ||
	    (more != 0 && !memory_get(&machine->memory, gpa + size, banks, more))) {
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	}
	if (input.partition_id != HV_PARTITION_ID_SELF ||
	    input.int_entry.source != HV_INTERRUPT_SOURCE_MSI ||
	    input.int_target.vector > UINT8_MAX) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	target = (struct vpci_target){.vp = first_target(&input.int_target, banks),
				      .vector = (uint8_t)input.int_target.vector};
	switch (assigned_retarget(machine, input.device_id,
				  input.int_entry.msi_entry.address.as_uint32,
				  input.int_entry.msi_entry.data.as_uint32, &target)) {
	case 0:
		return HV_STATUS_SUCCESS;
	case -ENODEV:
		return HV_STATUS_INVALID_DEVICE_ID;
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
}

void hypercall_handle(struct machine *machine, struct vp_exit *exit)
{
	switch (exit->hypercall.code) {
	case HVCALL_POST_MESSAGE:
		exit->hypercall.status = post_message(machine, exit);
		break;
	case HVCALL_SIGNAL_EVENT:
		exit->hypercall.status = signal_event(machine, exit);
		break;
	case HVCALL_RETARGET_INTERRUPT:
		exit->hypercall.status = retarget_interrupt(machine, exit);
		break;
	case HV_EXT_CALL_QUERY_CAPABILITIES:
		exit->hypercall.status = query_capabilities(machine, exit);
		break;
	case HV_EXT_CALL_MEMORY_HEAT_HINT:
		exit->hypercall.status = memory_heat_hint(machine, exit);
		break;
	default:
		exit->hypercall.status = HV_STATUS_INVALID_HYPERCALL_CODE;
		break;
	}
}
