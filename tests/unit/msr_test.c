/*
 * tlfs/msr*.c: privileges, the hypercall page's rules, registers of the VP and of the partition,
 * and the policy for the rest.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/cpuid.h"
#include "tlfs/lapic.h"

#define ENABLED(gpn) ((uint64_t)(gpn) << 12 | 1)

static struct partition *p;
static struct vp *vp;

static int setup(void **state)
{
	(void)state;
	p = guest_create(false, 2, NULL);
	vp = p->vps[0];
	return 0;
}

static int setup_root(void **state)
{
	(void)state;
	p = guest_create(true, 2, NULL);
	vp = p->vps[0];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

static enum access_result try_read(uint32_t msr)
{
	uint64_t value = 0xDEAD;
	enum access_result result = msr_read(vp, msr, &value);

	if (result != ACCESS_OK) {
		assert_int_equal(value, 0); /* nothing leaks */
	}
	return result;
}

static uint64_t get(uint32_t msr)
{
	uint64_t value;

	assert_int_equal(msr_read(vp, msr, &value), ACCESS_OK);
	return value;
}

static enum access_result try_write(uint32_t msr, uint64_t value)
{
	return msr_write(vp, msr, value);
}

static void set(uint32_t msr, uint64_t value)
{
	assert_int_equal(try_write(msr, value), ACCESS_OK);
}

/* ---- privileges (TLFS: HV_PARTITION_PRIVILEGE_MASK) ---- */

/*
 * Each MSR by the privilege that gives it: without, both directions are #GP; with, reading works.
 *
 */
static void privileges(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t privilege;
	} rows[] = {
		{HV_X64_MSR_GUEST_OS_ID, HV_MSR_HYPERCALL_AVAILABLE},
		{HV_X64_MSR_HYPERCALL, HV_MSR_HYPERCALL_AVAILABLE},
		{HV_X64_MSR_VP_INDEX, HV_MSR_VP_INDEX_AVAILABLE},
		{HV_X64_MSR_RESET, HV_MSR_RESET_AVAILABLE},
		{HV_X64_MSR_VP_RUNTIME, HV_MSR_VP_RUNTIME_AVAILABLE},
		{HV_X64_MSR_TIME_REF_COUNT, HV_MSR_TIME_REF_COUNT_AVAILABLE},
		{HV_X64_MSR_REFERENCE_TSC, HV_MSR_REFERENCE_TSC_AVAILABLE},
		{HV_X64_MSR_TSC_FREQUENCY, HV_ACCESS_FREQUENCY_MSRS},
		{HV_X64_MSR_APIC_FREQUENCY, HV_ACCESS_FREQUENCY_MSRS},
		{HV_X64_MSR_EOI, HV_MSR_APIC_ACCESS_AVAILABLE},
		{HV_X64_MSR_ICR, HV_MSR_APIC_ACCESS_AVAILABLE},
		{HV_X64_MSR_TPR, HV_MSR_APIC_ACCESS_AVAILABLE},
		{HV_X64_MSR_VP_ASSIST_PAGE, HV_MSR_APIC_ACCESS_AVAILABLE},
		{HV_X64_MSR_SCONTROL, HV_MSR_SYNIC_AVAILABLE},
		{HV_X64_MSR_EOM, HV_MSR_SYNIC_AVAILABLE},
		{HV_X64_MSR_SINT0, HV_MSR_SYNIC_AVAILABLE},
		{HV_X64_MSR_SINT15, HV_MSR_SYNIC_AVAILABLE},
		{HV_X64_MSR_STIMER0_CONFIG, HV_MSR_SYNTIMER_AVAILABLE},
		{HV_X64_MSR_STIMER3_COUNT, HV_MSR_SYNTIMER_AVAILABLE},
		{HV_X64_MSR_GUEST_IDLE, HV_MSR_GUEST_IDLE_AVAILABLE},
		{HV_X64_MSR_REENLIGHTENMENT_CONTROL, HV_ACCESS_REENLIGHTENMENT},
		{HV_X64_MSR_TSC_EMULATION_CONTROL, HV_ACCESS_REENLIGHTENMENT},
		{HV_X64_MSR_TSC_EMULATION_STATUS, HV_ACCESS_REENLIGHTENMENT},
		{HV_X64_MSR_TSC_INVARIANT_CONTROL, HV_ACCESS_TSC_INVARIANT},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(rows); i++) {
		p->privileges = ~rows[i].privilege;
		assert_int_equal(try_read(rows[i].msr), ACCESS_FAULT);
		assert_int_equal(try_write(rows[i].msr, 0), ACCESS_FAULT);
		p->privileges = rows[i].privilege;
		assert_int_equal(try_read(rows[i].msr), ACCESS_OK);
	}
}

/*
 * Numbers between and after the known ones do not exist, whatever the privileges; nor does the
 * nested alias.
 */
static void unknown_synthetic(void **state)
{
	static const uint32_t numbers[] = {
		0x40000004, 0x4000000F, 0x40000011, 0x40000024, 0x40000040, 0x4000006F,
		0x40000074, 0x40000086, 0x400000A0, 0x400000AF, 0x400000B8, 0x400000F1,
		0x400000FF, 0x40000109, 0x40000117, 0x40000119, 0x40001080, 0x4FFFFFFF,
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(numbers); i++) {
		assert_int_equal(try_read(numbers[i]), ACCESS_FAULT);
		assert_int_equal(try_write(numbers[i], 1), ACCESS_FAULT);
	}
}

static void read_only(void **state)
{
	static const uint32_t numbers[] = {
		HV_X64_MSR_VP_INDEX,      HV_X64_MSR_VP_RUNTIME,     HV_X64_MSR_TIME_REF_COUNT,
		HV_X64_MSR_TSC_FREQUENCY, HV_X64_MSR_APIC_FREQUENCY, HV_X64_MSR_SVERSION,
		HV_X64_MSR_GUEST_IDLE,
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(numbers); i++) {
		assert_int_equal(try_write(numbers[i], 0), ACCESS_FAULT);
	}
}

/* ---- the hypercall page (TLFS, "Establishing the Hypercall Interface") ---- */

static void hypercall_page(void **state)
{
	(void)state;
	set(HV_X64_MSR_GUEST_OS_ID, 0x8100ull << 48);
	set(HV_X64_MSR_HYPERCALL, ENABLED(0x123));
	assert_ptr_equal(guest_overlay(0x123), p->hypercall_page);
	vp = p->vps[1]; /* partition-wide */
	assert_int_equal(get(HV_X64_MSR_HYPERCALL), ENABLED(0x123));
	set(HV_X64_MSR_HYPERCALL, ENABLED(0x124));
	assert_null(guest_overlay(0x123));
	assert_ptr_equal(guest_overlay(0x124), p->hypercall_page);
	set(HV_X64_MSR_HYPERCALL, 0x124000);
	assert_int_equal(record.overlay_count, 0);
}

/* Without an identity the enable bit stays 0. */
static void no_identity_no_page(void **state)
{
	(void)state;
	set(HV_X64_MSR_HYPERCALL, ENABLED(0x123) | 0xF0);
	assert_int_equal(get(HV_X64_MSR_HYPERCALL), 0x1230F0); /* RsvdP kept */
	assert_int_equal(record.overlay_count, 0);
}

/* The identity zeroed: the page goes. */
static void identity_withdrawn(void **state)
{
	(void)state;
	set(HV_X64_MSR_GUEST_OS_ID, 1);
	set(HV_X64_MSR_HYPERCALL, ENABLED(0x123));
	set(HV_X64_MSR_GUEST_OS_ID, 2);
	assert_int_equal(record.overlay_count, 1);
	set(HV_X64_MSR_GUEST_OS_ID, 0);
	assert_int_equal(record.overlay_count, 0);
	assert_int_equal(get(HV_X64_MSR_HYPERCALL), 0x123000);
}

static void locked_page(void **state)
{
	(void)state;
	set(HV_X64_MSR_GUEST_OS_ID, 1);
	set(HV_X64_MSR_HYPERCALL, ENABLED(0x123) | 2);
	assert_int_equal(try_write(HV_X64_MSR_HYPERCALL, ENABLED(0x124)), ACCESS_FAULT);
	assert_int_equal(try_write(HV_X64_MSR_HYPERCALL, 0), ACCESS_FAULT);
	set(HV_X64_MSR_GUEST_OS_ID, 0);
	assert_int_equal(get(HV_X64_MSR_HYPERCALL), ENABLED(0x123) | 2);
	assert_ptr_equal(guest_overlay(0x123), p->hypercall_page);
}

/* Beyond the GPA space: #GP, and the old page stays. */
static void page_beyond_the_space(void **state)
{
	(void)state;
	set(HV_X64_MSR_GUEST_OS_ID, 1);
	set(HV_X64_MSR_HYPERCALL, ENABLED(0x123));
	assert_int_equal(try_write(HV_X64_MSR_HYPERCALL, ENABLED(1ull << 28)), ACCESS_FAULT);
	assert_int_equal(get(HV_X64_MSR_HYPERCALL), ENABLED(0x123));
	set(HV_X64_MSR_HYPERCALL, 1ull << 40); /* not enabled: only a value */
	machine.overlay_status = HV_STATUS_INSUFFICIENT_MEMORY;
	assert_int_equal(try_write(HV_X64_MSR_HYPERCALL, ENABLED(0x125)), ACCESS_FAULT);
	assert_int_equal(get(HV_X64_MSR_HYPERCALL), 1ull << 40);
}

/* ---- registers of a VP ---- */

static void simple_values(void **state)
{
	(void)state;
	assert_int_equal(get(HV_X64_MSR_VP_INDEX), 0);
	assert_int_equal(get(HV_X64_MSR_TSC_FREQUENCY), GUEST_TSC_HZ);
	assert_int_equal(get(HV_X64_MSR_APIC_FREQUENCY), 200000000);
	vp->runtime_tsc = 3 * GUEST_TSC_HZ;
	assert_int_equal(get(HV_X64_MSR_VP_RUNTIME), 3 * HV_REF_HZ);
	vp = p->vps[1];
	assert_int_equal(get(HV_X64_MSR_VP_INDEX), 1);
}

static void vp_assist_page(void **state)
{
	(void)state;
	set(HV_X64_MSR_VP_ASSIST_PAGE, ENABLED(0x200));
	assert_ptr_equal(guest_overlay(0x200), vp->vp_assist_page);
	assert_int_equal(get(HV_X64_MSR_VP_ASSIST_PAGE), ENABLED(0x200));
	machine.overlay_status = HV_STATUS_INSUFFICIENT_MEMORY;
	assert_int_equal(try_write(HV_X64_MSR_VP_ASSIST_PAGE, ENABLED(0x201)), ACCESS_FAULT);
	assert_ptr_equal(guest_overlay(0x200), vp->vp_assist_page);
}

/* TLFS, "Local APIC MSR Accesses". */
static void apic_by_msr(void **state)
{
	(void)state;
	lapic_mmio_write(vp, LAPIC_SVR << 4, 0x1FF);
	lapic_mmio_write(p->vps[1], LAPIC_SVR << 4, 0x1FF);
	set(HV_X64_MSR_TPR, 0x4A);
	assert_int_equal(get(HV_X64_MSR_TPR), 0x4A);
	assert_int_equal(lapic_mmio_read(vp, LAPIC_TPR << 4), 0x4A);
	assert_int_equal(try_write(HV_X64_MSR_TPR, 0x100), ACCESS_FAULT); /* RsvdZ */
	set(HV_X64_MSR_TPR, 0);
	set(HV_X64_MSR_ICR, 1ull << 56 | 0x61);
	guest_process(p);
	assert_int_equal(lapic_pending(p->vps[1]), 0x61);
	assert_int_equal(get(HV_X64_MSR_ICR), 1ull << 56 | 0x61);
	lapic_raise(vp, 0x51, false);
	lapic_accept(vp, 0x51);
	assert_int_equal(try_write(HV_X64_MSR_EOI, 1ull << 32), ACCESS_FAULT);
	assert_int_equal(lapic_mmio_read(vp, LAPIC_PPR << 4), 0x50);
	set(HV_X64_MSR_EOI, 0xFFFFFFFF);
	assert_int_equal(lapic_mmio_read(vp, LAPIC_PPR << 4), 0);
	assert_int_equal(get(HV_X64_MSR_EOI), 0);
}

/* In x2APIC mode the destination is the mode's. */
static void icr_in_x2apic_mode(void **state)
{
	(void)state;
	lapic_mmio_write(p->vps[1], LAPIC_SVR << 4, 0x1FF);
	set(LAPIC_MSR_BASE, vp->lapic.base | LAPIC_BASE_X2APIC);
	set(HV_X64_MSR_ICR, 1ull << 32 | 0x61);
	guest_process(p);
	assert_int_equal(lapic_pending(p->vps[1]), 0x61);
	assert_int_equal(try_write(HV_X64_MSR_ICR, 1ull << 32 | 1u << 20 | 0x61), ACCESS_FAULT);
}

/* TLFS, "Virtual Processor Idle Sleep State": until an interrupt, masked or not. */
static void guest_idle(void **state)
{
	(void)state;
	lapic_mmio_write(vp, LAPIC_SVR << 4, 0x1FF);
	assert_int_equal(get(HV_X64_MSR_GUEST_IDLE), 0);
	assert_false(vp_runnable(vp));
	lapic_post(vp, 0x41, false);
	guest_process(p);
	assert_true(vp_runnable(vp));
	lapic_raise(vp, 0x51, false); /* one waits already: no sleep at all */
	get(HV_X64_MSR_GUEST_IDLE);
	assert_true(vp_runnable(vp));
}

/* ---- registers of the partition ---- */

static void crash(void **state)
{
	(void)state;
	assert_true(get(HV_X64_MSR_CRASH_CTL) ==
		    (HV_CRASH_CTL_CRASH_NOTIFY | HV_CRASH_CTL_CRASH_NOTIFY_MSG));
	for (uint32_t i = 0; i < HV_X64_MSR_CRASH_PARAMS; i++) {
		set(HV_X64_MSR_CRASH_P0 + i, 100 + i);
	}
	for (uint32_t i = 0; i < HV_X64_MSR_CRASH_PARAMS; i++) {
		assert_int_equal(get(HV_X64_MSR_CRASH_P0 + i), 100 + i);
		assert_int_equal(p->crash[i], 100 + i);
	}
	set(HV_X64_MSR_CRASH_CTL, 0);
	assert_int_equal(record.logs, 0);
	set(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY);
	assert_int_equal(record.logs, 1);
	assert_true(p->crash_control == HV_CRASH_CTL_CRASH_NOTIFY);
}

/* A parent that asked for it is told instead of the log, and only of a crash. */
static void crash_is_the_parents(void **state)
{
	(void)state;
	p->intercept_crash = true;
	set(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY_MSG);
	assert_int_equal(try_write(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY), ACCESS_PARENT);
	assert_int_equal(record.logs, 0);
	set(HV_X64_MSR_CRASH_P0, 1);
}

static void reenlightenment(void **state)
{
	(void)state;
	set(HV_X64_MSR_REENLIGHTENMENT_CONTROL, 0x100EE);
	assert_int_equal(get(HV_X64_MSR_REENLIGHTENMENT_CONTROL), 0x100EE);
	set(HV_X64_MSR_TSC_EMULATION_CONTROL, 1);
	assert_int_equal(get(HV_X64_MSR_TSC_EMULATION_CONTROL), 1);
	set(HV_X64_MSR_TSC_EMULATION_STATUS, 1);
	assert_int_equal(get(HV_X64_MSR_TSC_EMULATION_STATUS), 0);
	assert_int_equal(try_write(HV_X64_MSR_TSC_INVARIANT_CONTROL, 2), ACCESS_FAULT);
	set(HV_X64_MSR_TSC_INVARIANT_CONTROL, 1);
	assert_int_equal(get(HV_X64_MSR_TSC_INVARIANT_CONTROL), 1);
}

static void reset_goes_to_the_parent(void **state)
{
	(void)state;
	assert_int_equal(get(HV_X64_MSR_RESET), 0);
	set(HV_X64_MSR_RESET, 0);
	assert_int_equal(try_write(HV_X64_MSR_RESET, 1), ACCESS_FAULT); /* nobody listens */
	p->intercept_msr = true;
	assert_int_equal(try_write(HV_X64_MSR_RESET, 1),
			 p->id == HV_ROOT_PARTITION ? ACCESS_FAULT : ACCESS_PARENT);
}

/* ---- the time-stamp counter ---- */

static void tsc(void **state)
{
	uint64_t start = get(0x10);

	(void)state;
	machine.tsc += 1000;
	assert_int_equal(get(0x10), start + 1000);
	set(0x10, start + 5000);
	assert_int_equal(get(0x10), start + 5000);
	assert_int_equal(get(0x3B), 4000); /* SDM: TSC_ADJUST moves with it */
	set(0x3B, 1000);
	assert_int_equal(get(0x10), start + 2000);
	set(0x3B, 1000);
	assert_int_equal(record.tsc_offset_changes, 2);
	vp = p->vps[1];
	assert_int_equal(get(0x3B), 0);
}

/* ---- policy ---- */

/* SVM and VMX: #GP for everybody, and the home is not even asked. */
static void virtualization(void **state)
{
	static const uint32_t numbers[] = {
		0x3A,       0x480,      0x48B,      0x491,      0x4FF,
		0xC0010114, 0xC0010115, 0xC0010117, 0xC0010118, 0xC001011A,
	};

	(void)state;
	p->intercept_msr = true;
	for (unsigned int i = 0; i < ARRAY_COUNT(numbers); i++) {
		assert_int_equal(try_read(numbers[i]), ACCESS_FAULT);
		assert_int_equal(try_write(numbers[i], 0), ACCESS_FAULT);
	}
	assert_int_equal(record.plat_reads + record.plat_writes, 0);
}

static void home_registers(void **state)
{
	(void)state;
	set(0x277, 0x0007040600070406ull);
	assert_int_equal(record.last_msr, 0x277);
	assert_int_equal(get(0x277), 0x0007040600070406ull);
}

static void unknown_registers(void **state)
{
	(void)state;
	assert_int_equal(try_read(0x123456), ACCESS_FAULT);
	assert_int_equal(try_write(0x123456, 1), ACCESS_FAULT);
	p->unimplemented_msr_action = HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO;
	record.last_value = 0;
	assert_int_equal(get(0x123456), 0);
	set(0x123456, 1);
	p->intercept_msr = true; /* a parent that wants to see them comes first */
	assert_int_equal(msr_read(vp, 0x123456, &(uint64_t){0}), ACCESS_PARENT);
	assert_int_equal(try_write(0x123456, 1), ACCESS_PARENT);
}

static void xss_is_0(void **state)
{
	(void)state;
	assert_int_equal(get(0xDA0), 0);
	set(0xDA0, 0);
	assert_int_equal(try_write(0xDA0, 1 << 8), ACCESS_FAULT);
}

/* A child's MTRRs are kept, with the checks of a processor (SDM vol. 3, "MTRRs"). */
static void mtrrs(void **state)
{
	(void)state;
	assert_int_equal(get(0xFE), 0x508);
	assert_int_equal(try_write(0xFE, 0x508), ACCESS_FAULT);
	set(0x2FF, 0xC06);
	assert_int_equal(get(0x2FF), 0xC06);
	assert_int_equal(try_write(0x2FF, 0xC02), ACCESS_FAULT); /* no such type */
	assert_int_equal(try_write(0x2FF, 0x1C06), ACCESS_FAULT);
	set(0x200, 0xC0000001);
	set(0x201, 0xFFC0000800);
	set(0x20F, 0x800);
	assert_int_equal(get(0x200), 0xC0000001);
	assert_int_equal(get(0x201), 0xFFC0000800);
	assert_int_equal(try_write(0x200, 3), ACCESS_FAULT);
	assert_int_equal(try_write(0x201, 0x400), ACCESS_FAULT);
	assert_int_equal(try_write(0x201, 1ull << 40), ACCESS_FAULT);
	assert_int_equal(try_read(0x210), ACCESS_FAULT);
	set(0x250, 0x0605040100060606);
	assert_int_equal(get(0x250), 0x0605040100060606);
	assert_int_equal(try_write(0x26F, 0x0202020202020202), ACCESS_FAULT);
	assert_int_equal(get(0x26F), 0);
	assert_int_equal(try_read(0x251), ACCESS_FAULT);
	assert_int_equal(record.plat_writes, 0);
	vp = p->vps[1];
	assert_int_equal(get(0x2FF), 0);
}

static void machine_checks(void **state)
{
	(void)state;
	assert_int_equal(get(0x179), 0); /* no banks */
	assert_int_equal(try_write(0x179, 0), ACCESS_FAULT);
	set(0x17A, 0);
	assert_int_equal(try_write(0x17A, 1), ACCESS_FAULT);
	set(0x1A0, 0x850089);
	assert_int_equal(get(0x1A0), 0x850089);
}

/* Kernels on AMD processors touch SYSCFG, NB_CFG and the first four performance counters, for which
 * CPUID has no bit, without looking first; there is nothing behind them. */
static void amd_configuration(void **state)
{
	static const uint32_t msrs[] = {0xC0010010, 0xC001001F, 0xC0010000, 0xC0010003, 0xC0010007};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(msrs); i++) {
		set(msrs[i], 1ull << 46);
		assert_int_equal(get(msrs[i]), 0);
	}
	assert_int_equal(try_read(0xC0010008), ACCESS_FAULT);
	assert_int_equal(record.plat_writes, 0);
}

/* SPEC_CTRL, PRED_CMD and TSC_AUX are there with a feature that CPUID shows, else #GP (APM vol. 3,
 * E.4.7; Intel SDM vol. 4). */
static void registers_of_features(void **state)
{
	static const struct {
		uint32_t msr;
		uint8_t word, bit; /* of partition->cpuid_allowed */
	} rows[] = {
		{0x48, WORD_7_EDX, 26},       {0x48, WORD_7_EDX, 27},
		{0x48, WORD_7_EDX, 31},       {0x48, WORD_88_EBX, 14},
		{0x48, WORD_88_EBX, 15},      {0x48, WORD_88_EBX, 24},
		{0x48, WORD_88_EBX, 28},      {0x49, WORD_7_EDX, 26},
		{0x49, WORD_88_EBX, 12},      {0xC0000103, WORD_81_EDX, 27},
		{0xC0000103, WORD_7_ECX, 22},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		memset(p->cpuid_allowed, 0, sizeof(p->cpuid_allowed));
		record.plat_writes = record.plat_reads = 0;
		assert_int_equal(try_read(rows[i].msr), ACCESS_FAULT);
		assert_int_equal(try_write(rows[i].msr, 0), ACCESS_FAULT);
		assert_int_equal(record.plat_writes + record.plat_reads, 0);
		p->cpuid_allowed[rows[i].word] = 1u << rows[i].bit;
		try_read(rows[i].msr);
		try_write(rows[i].msr, 0);
		assert_int_equal(record.plat_reads, 1);
		assert_int_equal(record.plat_writes, 1);
	}
}

/* The root's answer is the machine's. */
static void registers_of_features_of_the_root(void **state)
{
	(void)state;
	memset(p->cpuid_allowed, 0, sizeof(p->cpuid_allowed));
	try_read(0x48);
	assert_int_equal(record.last_msr, 0x48);
}

/* Kernels on Intel processors write 0, execute CPUID, and find the revision in the upper half. */
static void microcode(void **state)
{
	(void)state;
	set(0x8B, 0);
	assert_int_equal(get(0x8B), 0xFFFFFFFFull << 32);
	assert_int_equal(record.plat_writes, 0);
}

/* The root's are the machine's: the home sees them. */
static void root_asks_the_home(void **state)
{
	(void)state;
	try_read(0x2FF);
	assert_int_equal(record.last_msr, 0x2FF);
	try_read(0x179);
	assert_int_equal(record.last_msr, 0x179);
	try_write(0x1A0, 1);
	assert_int_equal(record.last_msr, 0x1A0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define ROOT(test) cmocka_unit_test_setup_teardown(test, setup_root, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(privileges),
		TEST(unknown_synthetic),
		TEST(read_only),
		TEST(hypercall_page),
		TEST(no_identity_no_page),
		TEST(identity_withdrawn),
		TEST(locked_page),
		TEST(page_beyond_the_space),
		TEST(simple_values),
		TEST(vp_assist_page),
		TEST(apic_by_msr),
		TEST(icr_in_x2apic_mode),
		TEST(guest_idle),
		TEST(crash),
		TEST(crash_is_the_parents),
		TEST(reenlightenment),
		TEST(reset_goes_to_the_parent),
		ROOT(reset_goes_to_the_parent),
		TEST(tsc),
		TEST(virtualization),
		ROOT(virtualization),
		TEST(home_registers),
		TEST(unknown_registers),
		TEST(xss_is_0),
		ROOT(xss_is_0),
		TEST(mtrrs),
		TEST(machine_checks),
		TEST(amd_configuration),
		TEST(microcode),
		TEST(registers_of_features),
		ROOT(registers_of_features_of_the_root),
		ROOT(root_asks_the_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
