/*
 * Registers in a control block, by MSR number and by TLFS name: what svm/regs.c takes, and what it
 * leaves to others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/svm/svm.h"

static struct vmcb vmcb;
static struct vcpu vcpu;

void vendor_sync(struct vcpu *v)
{
	(void)v;
}

void vendor_resync(struct vcpu *v)
{
	(void)v;
}

void vendor_flush_tlb(struct vcpu *v)
{
	v->asid_generation = 0;
}

static int reset(void **state)
{
	(void)state;
	memset(&vmcb, 0, sizeof(vmcb));
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.vmcb = &vmcb;
	vmcb.efer = EFER_SVME;
	return 0;
}

static bool is_ours(uint32_t msr)
{
	return msr == MSR_EFER || msr == MSR_DEBUGCTL || msr == MSR_PAT ||
	       (msr >= MSR_SYSENTER_CS && msr <= MSR_SYSENTER_EIP) ||
	       (msr >= MSR_STAR && msr <= MSR_SFMASK) ||
	       (msr >= MSR_FS_BASE && msr <= MSR_KERNEL_GS_BASE);
}

/* All that is not in the control block is somebody else's, MSR 0 as well, which no field has. */
static void test_other_msrs_change_nothing(void **state)
{
	static const uint32_t bases[] = {0, 0x40000000, 0xc0000000, 0xc0010000};
	const struct vmcb before = vmcb;
	uint64_t value;

	(void)state;
	for (unsigned int base = 0; base < ARRAY_COUNT(bases); base++) {
		for (uint32_t msr = bases[base]; msr < bases[base] + 0x2000; msr++) {
			if (is_ours(msr)) {
				continue;
			}
			assert_int_equal(vendor_msr_read(&vcpu, msr, &value), ACCESS_PARENT);
			assert_int_equal(vendor_msr_write(&vcpu, msr, 6), ACCESS_PARENT);
		}
	}
	assert_memory_equal(&vmcb, &before, sizeof(vmcb));
}

static void test_own_msrs_are_kept(void **state)
{
	uint64_t value;

	(void)state;
	for (uint32_t msr = 0; msr < 0x2000; msr++) {
		if (!is_ours(msr) || msr == MSR_DEBUGCTL) {
			continue;
		}
		assert_int_equal(vendor_msr_write(&vcpu, msr, 6), ACCESS_OK);
		assert_int_equal(vendor_msr_read(&vcpu, msr, &value), ACCESS_OK);
		assert_int_equal(value, 6);
	}
	/* Not canonical, then no such type. */
	assert_int_equal(vendor_msr_write(&vcpu, MSR_LSTAR, 1ull << 60), ACCESS_FAULT);
	assert_int_equal(vendor_msr_write(&vcpu, MSR_PAT, 2), ACCESS_FAULT);
	assert_int_equal(vendor_msr_write(&vcpu, MSR_DEBUGCTL, 0xff), ACCESS_OK);
	assert_int_equal(vmcb.debugctl, 3);
}

static void test_efer(void **state)
{
	uint64_t value;

	(void)state;
	assert_int_equal(vendor_msr_write(&vcpu, MSR_EFER, EFER_SVME), ACCESS_FAULT);
	assert_int_equal(vendor_msr_write(&vcpu, MSR_EFER, EFER_LME | EFER_NXE), ACCESS_OK);
	assert_true(vmcb.efer & EFER_SVME);
	assert_int_equal(vendor_msr_read(&vcpu, MSR_EFER, &value), ACCESS_OK);
	assert_int_equal(value, EFER_LME | EFER_NXE);
	vmcb.cr0 = CR0_PG;
	assert_int_equal(vendor_msr_write(&vcpu, MSR_EFER, 0), ACCESS_FAULT);
}

/* A field that has no name is not register 0. */
static void test_names(void **state)
{
	union hv_register_value value = {.reg64 = 0x1000};
	const struct vmcb before = vmcb;

	(void)state;
	assert_int_equal(vendor_register_get(&vcpu, 0, &value), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(vendor_register_set(&vcpu, 0, &value), HV_STATUS_INVALID_PARAMETER);
	assert_memory_equal(&vmcb, &before, sizeof(vmcb));
	assert_int_equal(vendor_register_set(&vcpu, HV_X64_REGISTER_RSP, &value),
			 HV_STATUS_SUCCESS);
	assert_int_equal(vmcb.rsp, 0x1000);
	value.reg64 = EFER_SVME;
	assert_int_equal(vendor_register_set(&vcpu, HV_X64_REGISTER_EFER, &value),
			 HV_STATUS_INVALID_REGISTER_VALUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_other_msrs_change_nothing, reset),
		cmocka_unit_test_setup(test_own_msrs_are_kept, reset),
		cmocka_unit_test_setup(test_efer, reset),
		cmocka_unit_test_setup(test_names, reset),
	};

	return cmocka_run_group_tests_name("svm_regs", tests, NULL, NULL);
}
