/*
 * Intercept messages to the parent (TLFS: Virtual Processor Execution): written into the VP's
 * intercept page, which suspends it.
 */
#ifndef HYPERVISOR_MESSAGE_H
#define HYPERVISOR_MESSAGE_H

#include "hypervisor/arch/x86/vendor.h"

/* The common header of the messages below. `length` of the instruction, `access` an enum
 * hv_intercept_access_type. */
void message_header(struct vcpu *vcpu, uint8_t length, uint8_t access,
		    struct hv_x64_intercept_message_header *header);
void message_io(struct vcpu *vcpu, const struct intercept *intercept);
/* `type` is HVMSG_UNMAPPED_GPA or HVMSG_GPA_INTERCEPT. */
void message_memory(struct vcpu *vcpu, const struct intercept *intercept, uint32_t type);
void message_msr(struct vcpu *vcpu, const struct intercept *intercept);
void message_cpuid(struct vcpu *vcpu, const struct intercept *intercept, const uint32_t answer[4]);
void message_hypercall(struct vcpu *vcpu, const struct intercept *intercept);
void message_exception(struct vcpu *vcpu, const struct intercept *intercept);
void message_triple_fault(struct vcpu *vcpu);
void message_invalid_state(struct vcpu *vcpu);
/* The VP can take the interruption that the parent asked about (DELIVERABILITY_NOTIFICATIONS);
 * `type` is its kind. */
void message_deliverable(struct vcpu *vcpu, uint32_t type);

#endif
