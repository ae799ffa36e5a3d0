/* Hypercalls of the guest that the hypervisor leaves to us (TLFS: HvPostMessage, HvSignalEvent). */
#include <errno.h>

#include "include/hv/hypercall.h"
#include "include/hv/status.h"
#include "include/hv/synic.h"
#include "vmbus/vmbus.h"
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

void hypercall_handle(struct machine *machine, struct vp_exit *exit)
{
	switch (exit->hypercall.code) {
	case HVCALL_POST_MESSAGE:
		exit->hypercall.status = post_message(machine, exit);
		break;
	case HVCALL_SIGNAL_EVENT:
		exit->hypercall.status = signal_event(machine, exit);
		break;
	default:
		exit->hypercall.status = HV_STATUS_INVALID_HYPERCALL_CODE;
		break;
	}
}
