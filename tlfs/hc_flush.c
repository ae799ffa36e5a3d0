/*
 * TLB flushes and IPIs to a set of the caller's own VPs (TLFS: HvCallFlushVirtualAddressSpace,
 * …List, …Ex; HvCallSendSyntheticClusterIpi, …Ex).
 *
 * A flush of any list, address space or kind is done as a flush of the whole virtual TLB of the VPs
 * named: that is permitted, and what the hardware can do to another VP. It is over when the call
 * returns: VPs that are not in guest mode flush before their next entry, and for the others
 * plat_tlb_sync() waits.
 */
#include "include/hv/interrupt.h"
#include "lib/bits.h"
#include "tlfs/hypercall.h"

#define BANK_COUNT (HV_MAX_VPS / HV_VCPUS_PER_SPARSE_BANK)
#define FLUSH_FLAGS                                                                                \
	(HV_FLUSH_ALL_PROCESSORS | HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES |                           \
	 HV_FLUSH_NON_GLOBAL_MAPPINGS_ONLY | HV_FLUSH_USE_EXTENDED_RANGE_FORMAT)

/* VPs of the caller's partition: one bit each. VPs that do not exist are nobody. */
struct targets {
	uint64_t banks[BANK_COUNT];
};

static void all_vps(struct targets *targets)
{
	memset(targets, 0xFF, sizeof(*targets));
}

/*
 * TLFS: HV_VP_SET. `words` are the banks that the variable header brought: as many as the mask has
 * bits, no more and no fewer. Banks beyond the last VP are read over.
 */
static hv_status_t parse_set(const struct hv_vpset *set, uint32_t words, struct targets *targets)
{
	uint32_t next = 0;

	if (set->format == HV_GENERIC_SET_ALL) {
		all_vps(targets);
		return HV_STATUS_SUCCESS;
	}
	if (set->format != HV_GENERIC_SET_SPARSE_4K) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (words != bits_count(set->valid_bank_mask)) {
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	}
	memset(targets, 0, sizeof(*targets));
	for (uint32_t bank = 0; bank < HV_MAX_SPARSE_VCPU_BANKS; bank++) {
		if (!(set->valid_bank_mask >> bank & 1)) {
			continue;
		}
		if (bank < BANK_COUNT) {
			targets->banks[bank] = set->bank_contents[next];
		}
		next++;
	}
	return HV_STATUS_SUCCESS;
}

/* ---- flushes ---- */

static void for_each_target(struct vp *caller, const struct targets *targets,
			    void (*act)(struct vp *caller, struct vp *vp))
{
	for (uint32_t bank = 0; bank < BANK_COUNT; bank++) {
		for (uint64_t left = targets->banks[bank]; left; left &= left - 1) {
			uint32_t index =
				bank * HV_VCPUS_PER_SPARSE_BANK + (uint32_t)__builtin_ctzll(left);
			struct vp *vp = partition_vp(caller->partition, index);

			if (vp != NULL) {
				act(caller, vp);
			}
		}
	}
}

static void begin_flush(struct vp *caller, struct vp *vp)
{
	if (vp == caller) {
		plat_tlb_flush(vp);
	} else {
		vp_post_event(vp, VP_EVENT_TLB);
	}
}

static void end_flush(struct vp *caller, struct vp *vp)
{
	if (vp != caller) {
		plat_tlb_sync(vp);
	}
}

/* All are told before the first is waited for. */
static void flush(struct vp *caller, const struct targets *targets)
{
	for_each_target(caller, targets, begin_flush);
	for_each_target(caller, targets, end_flush);
}

static hv_status_t check_flags(uint64_t flags, bool list)
{
	uint64_t allowed = FLUSH_FLAGS;

	/* TLFS: "does not make sense for this call and is treated as an invalid option" */
	if (list) {
		allowed &= ~(uint64_t)HV_FLUSH_NON_GLOBAL_MAPPINGS_ONLY;
	} else {
		allowed &= ~(uint64_t)HV_FLUSH_USE_EXTENDED_RANGE_FORMAT;
	}
	return flags & ~allowed ? HV_STATUS_INVALID_PARAMETER : HV_STATUS_SUCCESS;
}

static hv_status_t flush_mask(struct hypercall *call, bool list)
{
	const struct hv_tlb_flush *input = call->input;
	struct targets targets = {{input->processor_mask}};
	hv_status_t status = check_flags(input->flags, list);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (input->flags & HV_FLUSH_ALL_PROCESSORS) {
		all_vps(&targets);
	}
	flush(call->vp, &targets);
	call->done = call->end;
	return HV_STATUS_SUCCESS;
}

static hv_status_t flush_set(struct hypercall *call, bool list)
{
	const struct hv_tlb_flush_ex *input = call->input;
	struct targets targets;
	hv_status_t status = check_flags(input->flags, list);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (input->flags & HV_FLUSH_ALL_PROCESSORS) {
		all_vps(&targets);
	} else {
		status = parse_set(&input->hv_vp_set, call->variable_size / 8, &targets);
	}
	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	flush(call->vp, &targets);
	call->done = call->end;
	return HV_STATUS_SUCCESS;
}

hv_status_t hc_flush_address_space(struct hypercall *call)
{
	return flush_mask(call, false);
}

hv_status_t hc_flush_address_list(struct hypercall *call)
{
	return flush_mask(call, true);
}

hv_status_t hc_flush_address_space_ex(struct hypercall *call)
{
	return flush_set(call, false);
}

hv_status_t hc_flush_address_list_ex(struct hypercall *call)
{
	return flush_set(call, true);
}

/* ---- IPIs ---- */

static hv_status_t check_ipi(uint32_t vector, union hv_input_vtl vtl)
{
	if (vector < HV_IPI_LOW_VECTOR || vector > HV_IPI_HIGH_VECTOR || vtl.reserved_z ||
	    (vtl.use_target_vtl && vtl.target_vtl != HV_NORMAL_VTL)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return HV_STATUS_SUCCESS;
}

static void send(struct vp *caller, uint8_t vector, const struct targets *targets)
{
	for (uint32_t bank = 0; bank < BANK_COUNT; bank++) {
		for (uint64_t left = targets->banks[bank]; left; left &= left - 1) {
			uint32_t index =
				bank * HV_VCPUS_PER_SPARSE_BANK + (uint32_t)__builtin_ctzll(left);
			struct vp *vp = partition_vp(caller->partition, index);

			if (vp == caller) {
				lapic_raise(vp, vector, false);
			} else if (vp != NULL) {
				lapic_post(vp, vector, false);
			}
		}
	}
}

hv_status_t hc_send_ipi(struct hypercall *call)
{
	const struct hv_send_ipi *input = call->input;
	struct targets targets = {{input->cpu_mask}};
	hv_status_t status = check_ipi(input->vector, input->target_vtl);

	if (status == HV_STATUS_SUCCESS) {
		send(call->vp, (uint8_t)input->vector, &targets);
	}
	return status;
}

hv_status_t hc_send_ipi_ex(struct hypercall *call)
{
	const struct hv_send_ipi_ex *input = call->input;
	struct targets targets;
	hv_status_t status = check_ipi(input->vector, input->target_vtl);

	if (status == HV_STATUS_SUCCESS) {
		status = parse_set(&input->vp_set, call->variable_size / 8, &targets);
	}
	if (status == HV_STATUS_SUCCESS) {
		send(call->vp, (uint8_t)input->vector, &targets);
	}
	return status;
}
