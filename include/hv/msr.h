/*
 * Synthetic MSRs: numbers and contents (TLFS: Synthetic MSRs; Timers; Virtual Interrupt Control;
 * Partition and VP properties).
 *
 * The contents of SynIC and timer MSRs are in synic.h.
 */
#ifndef HV_MSR_H
#define HV_MSR_H

#include "types.h"

#define HV_X64_MSR_GUEST_OS_ID    0x40000000u
#define HV_X64_MSR_HYPERCALL      0x40000001u
#define HV_X64_MSR_VP_INDEX       0x40000002u
#define HV_X64_MSR_RESET          0x40000003u
#define HV_X64_MSR_VP_RUNTIME     0x40000010u
#define HV_X64_MSR_TIME_REF_COUNT 0x40000020u
#define HV_X64_MSR_REFERENCE_TSC  0x40000021u
#define HV_X64_MSR_TSC_FREQUENCY  0x40000022u
#define HV_X64_MSR_APIC_FREQUENCY 0x40000023u

#define HV_X64_MSR_NPIEP_CONFIG 0x40000040u

#define HV_X64_MSR_EOI            0x40000070u
#define HV_X64_MSR_ICR            0x40000071u
#define HV_X64_MSR_TPR            0x40000072u
#define HV_X64_MSR_VP_ASSIST_PAGE 0x40000073u

#define HV_X64_MSR_SCONTROL 0x40000080u
#define HV_X64_MSR_SVERSION 0x40000081u
#define HV_X64_MSR_SIEFP    0x40000082u
#define HV_X64_MSR_SIMP     0x40000083u
#define HV_X64_MSR_EOM      0x40000084u
#define HV_X64_MSR_SIRBP    0x40000085u
#define HV_X64_MSR_SINT0    0x40000090u
#define HV_X64_MSR_SINT1    0x40000091u
#define HV_X64_MSR_SINT2    0x40000092u
#define HV_X64_MSR_SINT3    0x40000093u
#define HV_X64_MSR_SINT4    0x40000094u
#define HV_X64_MSR_SINT5    0x40000095u
#define HV_X64_MSR_SINT6    0x40000096u
#define HV_X64_MSR_SINT7    0x40000097u
#define HV_X64_MSR_SINT8    0x40000098u
#define HV_X64_MSR_SINT9    0x40000099u
#define HV_X64_MSR_SINT10   0x4000009Au
#define HV_X64_MSR_SINT11   0x4000009Bu
#define HV_X64_MSR_SINT12   0x4000009Cu
#define HV_X64_MSR_SINT13   0x4000009Du
#define HV_X64_MSR_SINT14   0x4000009Eu
#define HV_X64_MSR_SINT15   0x4000009Fu

#define HV_X64_MSR_STIMER0_CONFIG 0x400000B0u
#define HV_X64_MSR_STIMER0_COUNT  0x400000B1u
#define HV_X64_MSR_STIMER1_CONFIG 0x400000B2u
#define HV_X64_MSR_STIMER1_COUNT  0x400000B3u
#define HV_X64_MSR_STIMER2_CONFIG 0x400000B4u
#define HV_X64_MSR_STIMER2_COUNT  0x400000B5u
#define HV_X64_MSR_STIMER3_CONFIG 0x400000B6u
#define HV_X64_MSR_STIMER3_COUNT  0x400000B7u

#define HV_X64_MSR_GUEST_IDLE 0x400000F0u

#define HV_X64_MSR_CRASH_P0  0x40000100u
#define HV_X64_MSR_CRASH_P1  0x40000101u
#define HV_X64_MSR_CRASH_P2  0x40000102u
#define HV_X64_MSR_CRASH_P3  0x40000103u
#define HV_X64_MSR_CRASH_P4  0x40000104u
#define HV_X64_MSR_CRASH_CTL 0x40000105u

#define HV_X64_MSR_CRASH_PARAMS 5

#define HV_X64_MSR_REENLIGHTENMENT_CONTROL 0x40000106u
#define HV_X64_MSR_TSC_EMULATION_CONTROL   0x40000107u
#define HV_X64_MSR_TSC_EMULATION_STATUS    0x40000108u
#define HV_X64_MSR_TSC_INVARIANT_CONTROL   0x40000118u

/* The same registers of the level above, for a nested hypervisor */
#define HV_X64_MSR_NESTED_SCONTROL 0x40001080u
#define HV_X64_MSR_NESTED_SVERSION 0x40001081u
#define HV_X64_MSR_NESTED_SIEFP    0x40001082u
#define HV_X64_MSR_NESTED_SIMP     0x40001083u
#define HV_X64_MSR_NESTED_EOM      0x40001084u
#define HV_X64_MSR_NESTED_SINT0    0x40001090u

/*
 * GUEST_OS_ID: bit 63 open source, 62:56 OS type (1 Linux), 47:16 version. 0 disables hypercalls.
 */
#define HV_LINUX_VENDOR_ID 0x8100u

/* HYPERCALL. locked holds until the partition is reset. */
union hv_x64_msr_hypercall_contents {
	uint64_t as_uint64;
	struct {
		uint64_t enable : 1;
		uint64_t locked : 1;
		uint64_t reserved : 10;
		uint64_t guest_physical_address : 52; /* page number */
	};
};
HV_ASSERT_SIZE(union hv_x64_msr_hypercall_contents, 8);

#define HV_X64_MSR_HYPERCALL_ENABLE             0x1u
#define HV_X64_MSR_HYPERCALL_PAGE_ADDRESS_SHIFT 12

/* RESET: writing bit 0 resets the partition. */
#define HV_X64_MSR_RESET_RESET 0x1u

/* REFERENCE_TSC */
union hv_reference_tsc_msr {
	uint64_t as_uint64;
	struct {
		uint64_t enable : 1;
		uint64_t reserved : 11;
		uint64_t pfn : 52;
	};
};
HV_ASSERT_SIZE(union hv_reference_tsc_msr, 8);

/*
 * TLFS: Partition Reference Time Stamp Counter Page (HV_REFERENCE_TSC_PAGE). Reference time, in 100
 * ns, is
 * ((TSC * tsc_scale) >> 64) + tsc_offset while tsc_sequence is neither 0 nor changed meanwhile; 0
 * means: read the MSR.
 */
struct ms_hyperv_tsc_page {
	uint32_t tsc_sequence;
	uint32_t reserved1;
	uint64_t tsc_scale;
	int64_t tsc_offset;
};
HV_ASSERT_SIZE(struct ms_hyperv_tsc_page, 24);
HV_ASSERT_OFFSET(struct ms_hyperv_tsc_page, tsc_offset, 16);

/* VP_ASSIST_PAGE */
union hv_vp_assist_msr_contents {
	uint64_t as_uint64;
	struct {
		uint64_t enable : 1;
		uint64_t reserved : 11;
		uint64_t pfn : 52;
	};
};
HV_ASSERT_SIZE(union hv_vp_assist_msr_contents, 8);

#define HV_X64_MSR_VP_ASSIST_PAGE_ENABLE        0x1u
#define HV_X64_MSR_VP_ASSIST_PAGE_ADDRESS_SHIFT 12

/* CRASH_CTL (HV_CRASH_CTL_REG_CONTENTS). crash_message: P3 = GPA of the text, P4 = its length. */
union hv_crash_ctl_reg_contents {
	uint64_t as_uint64;
	struct {
		uint64_t reserved : 58;
		uint64_t pre_os_id : 3;
		uint64_t no_crash_dump : 1;
		uint64_t crash_message : 1;
		uint64_t crash_notify : 1;
	};
};
HV_ASSERT_SIZE(union hv_crash_ctl_reg_contents, 8);

#define HV_CRASH_CTL_CRASH_NOTIFY_MSG 0x4000000000000000ull
#define HV_CRASH_CTL_CRASH_NOTIFY     0x8000000000000000ull

/* REENLIGHTENMENT_CONTROL */
struct hv_reenlightenment_control {
	uint64_t vector : 8;
	uint64_t reserved1 : 8;
	uint64_t enabled : 1;
	uint64_t reserved2 : 15;
	uint64_t target_vp : 32;
};
HV_ASSERT_SIZE(struct hv_reenlightenment_control, 8);

/* TSC_EMULATION_CONTROL, TSC_EMULATION_STATUS */
struct hv_tsc_emulation_control {
	uint64_t enabled : 1;
	uint64_t reserved : 63;
};

struct hv_tsc_emulation_status {
	uint64_t inprogress : 1;
	uint64_t reserved : 63;
};

/* TSC_INVARIANT_CONTROL: once set, CPUID shows the TSC as invariant. */
#define HV_EXPOSE_INVARIANT_TSC 0x1u

/* NPIEP_CONFIG: SGDT, SIDT, SLDT, STR to memory are refused to user mode. */
union hv_x64_msr_npiep_config_contents {
	uint64_t as_uint64;
	struct {
		uint64_t prevents_gdt : 1;
		uint64_t prevents_idt : 1;
		uint64_t prevents_ldt : 1;
		uint64_t prevents_tr : 1;
		uint64_t reserved : 60;
	};
};
HV_ASSERT_SIZE(union hv_x64_msr_npiep_config_contents, 8);

/* The unit of every time in the ABI is 100 ns. */
#define HV_CLOCK_HZ 10000000u

#endif
