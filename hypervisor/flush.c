/*
 * Flushes that other LPs have to take part in: how to know that none of them uses a translation
 * that is gone.
 *
 * An LP sets lp->guest on its way into the guest and looks then at its VP's events and at the
 * generation of the map; it clears lp->guest and counts lp->exits up on its way out, before it
 * takes a lock. Who changes something does so first and looks at lp->guest then. So an LP that is
 * not in the guest at that moment sees the change before it enters, and one that is, has seen it
 * when it has left once. All that must leave are told first and waited for then: it takes as long
 * as the slowest of them. tests/model/flush.pml is this as a model.
 */
#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/gpa.h"
#include "hypervisor/lp.h"
#include "hypervisor/vcpu.h"
#include "tlfs/hv.h"

#define WORDS ((HANDOFF_MAX_LPS + 63) / 64)

/* lp->exits when the LP was told; memory lock. */
static uint32_t exits_then[HANDOFF_MAX_LPS];

static uint32_t exits_of(const struct lp *lp)
{
	return __atomic_load_n(&lp->exits, __ATOMIC_SEQ_CST);
}

static bool runs(const struct lp *lp, const struct partition *p)
{
	return __atomic_load_n(&lp->guest, __ATOMIC_SEQ_CST) == p;
}

static void tell(const struct partition *p, uint64_t told[WORDS])
{
	const struct lp *self = lp_this();

	for (uint32_t i = 0; i < lp_count; i++) {
		struct lp *lp = lp_get(i);

		exits_then[i] = exits_of(lp);
		if (lp != self && runs(lp, p)) {
			told[i / 64] |= 1ull << i % 64;
			apic_kick(lp->apic_id);
		}
	}
}

void gpa_flush_wait(struct partition *p)
{
	uint64_t told[WORDS] = {0};

	tell(p, told);
	for (uint32_t word = 0; word < WORDS; word++) {
		for (; told[word]; told[word] &= told[word] - 1) {
			uint32_t i = word * 64 + (uint32_t)__builtin_ctzll(told[word]);

			while (exits_of(lp_get(i)) == exits_then[i] && runs(lp_get(i), p)) {
				cpu_relax();
			}
		}
	}
}

void plat_tlb_flush(struct vp *vp)
{
	vendor_flush_tlb(vp->home);
}

/*
 * It was told when the event was posted, and has taken the event when it has left the guest;
 * perhaps it is back already. A VP that has gone from the LP has left, too.
 */
void plat_tlb_sync(struct vp *vp)
{
	struct vcpu *vcpu = vp->home;
	struct lp *lp = __atomic_load_n(&vcpu->lp, __ATOMIC_SEQ_CST);
	uint32_t exits;

	if (lp == NULL || lp == lp_this()) {
		return;
	}
	exits = exits_of(lp);
	while (__atomic_load_n(&vp->events, __ATOMIC_SEQ_CST) & VP_EVENT_TLB &&
	       runs(lp, vp->partition) && exits_of(lp) == exits &&
	       __atomic_load_n(&vcpu->lp, __ATOMIC_SEQ_CST) == lp) {
		cpu_relax();
	}
}
