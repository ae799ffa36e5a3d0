#include "hypervisor/machine_check.h"

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/console.h"
#include "hypervisor/lp.h"
#include "hypervisor/vcpu.h"

/* Intel SDM vol. 3, chapter 15; AMD APM vol. 2, chapter 9. */
#define MSR_MCG_CAP     0x179
#define MSR_MCG_STATUS  0x17a
#define MSR_MC0_STATUS  0x401
#define BANK_STEP       4
#define MCG_STATUS_RIPV (1ull << 0)
#define MCG_STATUS_MCIP (1ull << 2)
#define STATUS_VALID    (1ull << 63)

#define LEAF_1_EDX_MCE (1u << 7)

void machine_check_lp_init(void)
{
	uint32_t out[4];

	cpuid(1, 0, out);
	if (out[3] & LEAF_1_EDX_MCE) {
		write_cr4(read_cr4() | CR4_MCE);
	}
}

static uint64_t read_status(void)
{
	uint64_t status = 0;

	rdmsr_safe(MSR_MCG_STATUS, &status);
	return status;
}

bool machine_check_in_progress(void)
{
	return read_status() & MCG_STATUS_MCIP;
}

static void say_banks(const struct lp *lp)
{
	uint64_t capabilities = 0, status;

	rdmsr_safe(MSR_MCG_CAP, &capabilities);
	plat_log("machine check on LP %u, MCG_STATUS %lx", lp->index, read_status());
	for (uint32_t bank = 0; bank < (uint8_t)capabilities; bank++) {
		if (rdmsr_safe(MSR_MC0_STATUS + bank * BANK_STEP, &status) &&
		    status & STATUS_VALID) {
			plat_log("machine check bank %u: %lx", bank, status);
		}
	}
}

/*
 * The root's kernel reads the banks; the event makes its VP, and a child in its place, look. An LP
 * on its way into a guest, or to sleep, may have looked already: the interrupt waits for it there.
 */
static void post(struct lp *lp)
{
	lp->machine_check = true;
	if (lp->root != NULL) {
		lp->root->rare = true;
		vp_post_event(lp->root->vp, VP_EVENT_SUSPEND);
		apic_kick_self();
	}
}

void machine_check_taken(struct lp *lp)
{
	say_banks(lp);
	post(lp);
}

bool machine_check_survived(struct lp *lp)
{
	if (!(read_status() & MCG_STATUS_RIPV)) {
		return false;
	}
	post(lp);
	return true;
}

void machine_check_deliver(struct lp *lp)
{
	lp->machine_check = false;
	if (!(vendor_get_cr(lp->root, 4) & CR4_MCE)) {
		machine_stop("a machine check that the root does not want to hear of (CR4.MCE)");
	}
	vendor_inject_exception(lp->root, EXC_MC, false, 0);
}
