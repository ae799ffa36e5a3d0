/*
 * What the processor remembers of a VP's page tables: VPIDs, INVVPID, INVEPT
 * (Intel SDM vol. 3, chapter 28.4).
 */
#include "hypervisor/arch/x86/vmx/vmx.h"

#include "hypervisor/gpa.h"
#include "hypervisor/lp.h"

#define VPID_COUNT     65536
#define INVALIDATE_ONE 1 /* INVEPT and INVVPID: of one EPT pointer, of one VPID; of all */
#define INVALIDATE_ALL 2

struct invalidation {
	uint64_t what, reserved;
};

uint64_t vmx_ept_pointer(const struct vcpu *vcpu)
{
	return gpa_top(vcpu->map).v | EPTP_WRITEBACK | EPTP_WALK_4 |
	       (vmx_facts.ept_caps & EPT_CAP_DIRTY ? EPTP_DIRTY : 0);
}

static void invvpid(uint64_t type, uint32_t vpid)
{
	struct invalidation which = {vpid, 0};

	__asm__ volatile("invvpid %0, %1" : : "m"(which), "r"(type) : "cc", "memory");
}

static void invept(uint64_t pointer)
{
	struct invalidation which = {pointer, 0};

	__asm__ volatile("invept %0, %1"
			 :
			 : "m"(which), "r"((uint64_t)INVALIDATE_ONE)
			 : "cc", "memory");
}

/*
 * VPIDs are given out per LP; when they run out, all translations are dropped and they start anew.
 * A VP that was elsewhere meanwhile gets a new one, and none of the translations of its partition
 * that this LP may have kept: it has not followed the map's generation here.
 */
void vmx_flush_now(struct vcpu *vcpu, struct lp *lp)
{
	if (vcpu->asid_generation != lp->asid_generation) {
		if (lp->asid_next == VPID_COUNT) {
			lp->asid_next = 1;
			lp->asid_generation += HANDOFF_MAX_LPS;
			invvpid(INVALIDATE_ALL, 0);
		}
		vcpu->asid = lp->asid_next++;
		vcpu->asid_generation = lp->asid_generation;
		vmcs_write(VMCS_VPID, vcpu->asid);
	}
	invvpid(INVALIDATE_ONE, vcpu->asid);
	invept(vmx_ept_pointer(vcpu));
	vcpu->vmx->flush = false;
}

void vendor_flush_tlb(struct vcpu *vcpu)
{
	vcpu->vmx->flush = true;
}
