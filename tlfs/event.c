/*
 * Event flags (TLFS, "SynIC Event Flags"): 2,048 bits a SINT in the SIEF page. Without a lock: the
 * page lives as long as the VP, a register is one word, and setting a bit that the guest is about
 * to hide is as if it had come before.
 */
#include "tlfs/synic.h"

/* TLFS: an event for a masked SINT is refused, unlike a message; polling counts as unmasked. */
static bool takes_events(const struct synic *synic, uint32_t sint)
{
	union hv_synic_sint value = {.as_uint64 =
					     __atomic_load_n(&synic->sint[sint], __ATOMIC_RELAXED)};

	return (__atomic_load_n(&synic->scontrol, __ATOMIC_RELAXED) & HV_SYNIC_CONTROL_ENABLE) &&
	       (__atomic_load_n(&synic->siefp, __ATOMIC_RELAXED) & HV_SYNIC_SIEFP_ENABLE) &&
	       (!value.masked || value.polling);
}

hv_status_t synic_signal_event(struct vp *vp, uint32_t sint, uint32_t flag, bool *newly_signaled)
{
	struct hv_synic_event_flags_page *page = vp->synic.event_page;
	uint64_t bit = 1ull << flag % 64, before;

	*newly_signaled = false;
	if (sint >= HV_SINT_COUNT || flag >= HV_EVENT_FLAGS_COUNT) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (!takes_events(&vp->synic, sint)) {
		return HV_STATUS_INVALID_SYNIC_STATE;
	}
	before = __atomic_fetch_or(&page->event_flags[sint].flags64[flag / 64], bit,
				   __ATOMIC_SEQ_CST);
	if (before & bit) { /* the guest has not taken the last one: it will see this one with it */
		return HV_STATUS_SUCCESS;
	}
	*newly_signaled = true;
	synic_interrupt(vp, sint);
	return HV_STATUS_SUCCESS;
}
