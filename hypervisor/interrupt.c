/*
 * The machine's interrupts: the hypervisor's own two vectors, and the rest, which is the root's. A
 * device's interrupt goes to the root VP of the LP at which it arrived, with the vector that the
 * root programmed; an edge is over at once, a level keeps the APIC's in-service bit until the
 * root's own EOI, so that the device's pin is not sampled before.
 */
#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/iommu.h"
#include "hypervisor/lp.h"
#include "hypervisor/machine_check.h"
#include "hypervisor/timer.h"
#include "hypervisor/vcpu.h"
#include "tlfs/hv.h"

static void device_interrupt(struct vp *root, uint8_t vector)
{
	if (!apic_in_service(vector)) {
		/* The APIC kept no record: the vector came from the old interrupt controller. */
		vp_post_extint(root, vector);
	} else if (apic_is_level(vector)) {
		lapic_post(root, vector, true);
	} else {
		apic_eoi();
		lapic_post(root, vector, false);
	}
}

void interrupt_taken(uint32_t vector)
{
	struct lp *lp = lp_this();

	trap_stop_if_told();
	switch (vector) {
	case EXC_NMI:
		vp_post_nmi(lp->root->vp);
		break;
	case EXC_MC:
		if (machine_check_in_progress()) {
			machine_check_taken(lp);
		} else {
			device_interrupt(lp->root->vp, EXC_MC);
		}
		break;
	case VECTOR_KICK:
		apic_eoi();
		break;
	case VECTOR_TIMER:
		apic_eoi();
		timer_expired(lp);
		iommu_poll();
		break;
	case VECTOR_SPURIOUS:
		break;
	default:
		device_interrupt(lp->root->vp, (uint8_t)vector);
		break;
	}
}

/*
 * EOIs of the machine go to the topmost vector in service, whichever the root meant: one that is
 * below waits until those above it are done.
 */
void plat_apic_eoi(struct vp *vp, uint8_t vector)
{
	struct lp *lp = lp_this();
	int top;

	if (vp->partition->id != HV_ROOT_PARTITION || !apic_in_service(vector)) {
		return;
	}
	lp->eoi_done[vector / 32] |= 1u << vector % 32;
	while ((top = apic_top_in_service()) >= 0 && (lp->eoi_done[top / 32] & 1u << top % 32)) {
		lp->eoi_done[top / 32] &= ~(1u << top % 32);
		apic_eoi();
	}
}

/* The pin of the old interrupt controller is the machine's as long as the root wants it as such;
 * all else stays masked. */
void plat_apic_lint(struct vp *vp, unsigned int pin, uint32_t lvt)
{
	const uint32_t mode = lvt & 0x700, masked = lvt & 0x10000;

	if (vp->partition->id == HV_ROOT_PARTITION) {
		apic_set_lint(pin, mode == 0x700 || mode == 0x400 ? masked | mode : 0x10000);
	}
}
