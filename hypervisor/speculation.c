#include "hypervisor/speculation.h"

#include <stddef.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/mitigation.h"
#include "hypervisor/console.h"
#include "hypervisor/lp.h"
#include "hypervisor/option.h"
#include "hypervisor/vcpu.h"
#include "lib/string.h"
#include "tlfs/hv.h"

_Static_assert(offsetof(struct vcpu, on_entry) == 176 && offsetof(struct vcpu, on_exit) == 177 &&
		       offsetof(struct vcpu, spec_ctrl) == 184,
	       "speculation.inc");

#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_AMD_DE_CFG        0xc0011029
#define MSR_AMD_BP_CFG        0xc001102e
#define DE_CFG_LFENCE         (1ull << 1) /* LFENCE serializes */
#define BP_CFG_SPEC_REDUCE    (1ull << 4)
#define EFER_AUTO_IBRS        (1ull << 21)

#define LEAF_7_EDX_CAPABILITIES (1u << 29)

static struct processor processor;
static struct mitigations mitigations;
uint64_t speculation_spec_ctrl; /* speculation.inc */

static void find_model(void)
{
	uint32_t out[4];

	cpuid(0, 0, out);
	processor.is_amd = out[1] == 0x68747541 || out[1] == 0x6f677948; /* "Auth", "Hygo" */
	cpuid(1, 0, out);
	processor.family = out[0] >> 8 & 0xf;
	processor.model = (out[0] >> 4 & 0xf) | (out[0] >> 12 & 0xf0);
	processor.stepping = out[0] & 0xf;
	if (processor.family == 0xf) {
		processor.family += out[0] >> 20 & 0xff;
	}
	cpuid_offered(0xb, out);
	processor.smt = out[1] > 1;
}

static void find_processor(void)
{
	uint32_t out[4];

	find_model();
	cpuid_offered(7, out);
	processor.leaf_7_ebx = out[1];
	processor.leaf_7_edx = out[3];
	if (out[0] >= 2) {
		cpuid(7, 2, out);
		processor.leaf_72_edx = out[3];
	}
	cpuid_offered(0x80000008, out);
	processor.leaf_88_ebx = out[1];
	cpuid_offered(0x80000021, out);
	processor.leaf_821_eax = out[0];
	processor.leaf_821_ecx = out[2];
	if (processor.leaf_7_edx & LEAF_7_EDX_CAPABILITIES) {
		rdmsr_safe(MSR_ARCH_CAPABILITIES, &processor.capabilities);
	}
	plat_info.arch_capabilities = processor.capabilities;
}

static void say(const char *what, uint32_t set)
{
	const char *separator = what;

	for (unsigned int i = 0; i < MITIGATION_COUNT; i++) {
		if (set & 1u << i) {
			console_print("%s%s", separator, mitigation_name(i));
			separator = ", ";
		}
	}
	if (set) {
		console_print("\n");
	}
}

void speculation_boot(const char *cmdline)
{
	const bool off = option_given(cmdline, "hv.mitigations=off");

	find_processor();
	mitigations = off ? (struct mitigations){0} : mitigation_decide(&processor);
	speculation_spec_ctrl = mitigations.spec_ctrl;
	if (off) {
		console_print("speculation: mitigations are off\n");
		return;
	}
	say("speculation: retpolines, ", mitigations.used);
	say("speculation: a newer microcode is needed for: ", mitigations.lacking);
	if (processor.smt) {
		console_print("speculation: siblings of a core run different partitions\n");
	}
}

static void set_bits(uint32_t msr, uint64_t bits)
{
	uint64_t value;

	if (rdmsr_safe(msr, &value) && (value & bits) != bits) {
		wrmsr_safe(msr, value | bits);
	}
}

void speculation_lp_init(void)
{
	if (mitigations.used & MITIGATION_AUTO_IBRS) {
		set_bits(MSR_EFER, EFER_AUTO_IBRS);
	}
	if (mitigations.used & MITIGATION_SPEC_REDUCE) {
		set_bits(MSR_AMD_BP_CFG, BP_CFG_SPEC_REDUCE);
	}
	if (processor.is_amd) {
		set_bits(MSR_AMD_DE_CFG, DE_CFG_LFENCE);
	}
	if (speculation_spec_ctrl) {
		wrmsr_safe(MSR_SPEC_CTRL, speculation_spec_ctrl);
	}
}

bool speculation_splits(void)
{
	return mitigations.used & MITIGATION_SPLIT;
}

/* An IBRS of the old kind counts from when it is written; the others need a write only where the
 * guest's value is another. */
static void spec_ctrl_changed(struct vcpu *vcpu)
{
	const bool differs = vcpu->spec_ctrl != speculation_spec_ctrl;

	vcpu->on_entry &= (uint8_t)~ENTRY_SPEC_CTRL;
	vcpu->on_exit &= (uint8_t)~EXIT_SPEC_CTRL;
	if (differs) {
		vcpu->on_entry |= ENTRY_SPEC_CTRL;
	}
	if (differs || mitigations.used & MITIGATION_IBRS) {
		vcpu->on_exit |= EXIT_SPEC_CTRL;
	}
}

void speculation_vcpu_init(struct vcpu *vcpu)
{
	const bool child = vcpu->vp->partition->id != HV_ROOT_PARTITION;

	if (mitigations.used & MITIGATION_VERW) {
		vcpu->on_entry |= ENTRY_VERW;
	}
	if (child && mitigations.used & MITIGATION_L1D) {
		vcpu->on_slow_entry = ENTRY_L1D;
	}
	if (child && mitigations.used & MITIGATION_IBPB_EXIT) {
		vcpu->on_exit |= EXIT_IBPB;
	}
	if (mitigations.used & MITIGATION_RSB) {
		vcpu->on_exit |= EXIT_RSB;
	}
	spec_ctrl_changed(vcpu);
}

bool speculation_set_spec_ctrl(struct vcpu *vcpu, uint64_t value)
{
	if (value & ~vcpu->vp->partition->spec_ctrl_bits) {
		return false;
	}
	vcpu->spec_ctrl = value;
	spec_ctrl_changed(vcpu);
	return true;
}

static void forget_branches(struct lp *lp)
{
	wrmsr_safe(MSR_PRED_CMD, PRED_CMD_IBPB);
	lp->branches_of = 0;
}

void speculation_child_begins(struct lp *lp, struct vcpu *child, uint32_t flags)
{
	const uint64_t id = child->vp->partition->id;

	child->on_entry |= child->on_slow_entry;
	if (!(mitigations.used & MITIGATION_IBPB)) {
		return;
	}
	if (lp->branches_of && lp->branches_of != id &&
	    !(flags & HV_DISPATCH_VP_FLAG_SKIP_VP_SPEC_FLUSH)) {
		forget_branches(lp);
	}
	lp->branches_of = id;
}

/* The root's kernel and its programs are flushed for by one command: only who wants neither is
 * spared it. */
void speculation_child_ends(struct lp *lp, uint32_t flags)
{
	const uint32_t spare = HV_DISPATCH_VP_FLAG_SKIP_CALLER_SPEC_FLUSH |
			       HV_DISPATCH_VP_FLAG_SKIP_CALLER_USER_SPEC_FLUSH;

	if (lp->branches_of && (flags & spare) != spare) {
		forget_branches(lp);
	}
}
