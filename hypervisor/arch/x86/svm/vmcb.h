/*
 * The virtual machine control block (AMD APM vol. 2, appendix B) and the exit codes of appendix C
 * that are used.
 */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include <stddef.h>
#include <stdint.h>

struct vmcb_segment {
	uint16_t selector;
	uint16_t attributes; /* type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11 */
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	uint32_t intercept_cr, intercept_dr, intercept_exceptions;
	uint32_t intercept_1, intercept_2, intercept_3;
	uint8_t reserved_18[0x3c - 0x18];
	uint16_t pause_gap, pause_count;
	uint64_t iopm_base, msrpm_base, tsc_offset;
	uint32_t asid;
	uint32_t tlb_control;
	uint64_t interrupt_control; /* V_TPR, V_IRQ … */
	uint64_t interrupt_shadow;
	uint64_t exit_code, exit_info_1, exit_info_2, exit_int_info;
	uint64_t nested_control; /* bit 0: nested paging */
	uint8_t reserved_98[0xa8 - 0x98];
	uint64_t event_injection;
	uint64_t nested_cr3;
	uint64_t lbr_control;
	uint64_t clean;
	uint64_t next_rip;
	uint8_t fetched_count, fetched[15];
	uint8_t reserved_e0[0x400 - 0xe0];

	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4cb - 0x4a0];
	uint8_t cpl;
	uint8_t reserved_4cc[4];
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp;
	uint64_t s_cet, ssp, isst_addr;
	uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp,
		sysenter_eip, cr2;
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t pat, debugctl, br_from, br_to, last_exception_from, last_exception_to;
	uint8_t reserved_698[0x1000 - 0x698];
};

_Static_assert(offsetof(struct vmcb, pause_count) == 0x3e, "APM table B-1");
_Static_assert(offsetof(struct vmcb, iopm_base) == 0x40, "APM table B-1");
_Static_assert(offsetof(struct vmcb, interrupt_control) == 0x60, "APM table B-1");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "APM table B-1");
_Static_assert(offsetof(struct vmcb, event_injection) == 0xa8, "APM table B-1");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "APM table B-1");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "APM table B-2");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "APM table B-2");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "APM table B-2");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "APM table B-2");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "APM table B-2");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "APM table B-2");
_Static_assert(sizeof(struct vmcb) == 0x1000, "APM appendix B");

/* intercept_1 */
#define SVM_INTERCEPT_INTR     (1u << 0)
#define SVM_INTERCEPT_NMI      (1u << 1)
#define SVM_INTERCEPT_INIT     (1u << 3)
#define SVM_INTERCEPT_VINTR    (1u << 4)
#define SVM_INTERCEPT_RDPMC    (1u << 15)
#define SVM_INTERCEPT_CPUID    (1u << 18)
#define SVM_INTERCEPT_IRET     (1u << 20)
#define SVM_INTERCEPT_INVD     (1u << 22)
#define SVM_INTERCEPT_PAUSE    (1u << 23)
#define SVM_INTERCEPT_HLT      (1u << 24)
#define SVM_INTERCEPT_INVLPGA  (1u << 26)
#define SVM_INTERCEPT_IOIO     (1u << 27)
#define SVM_INTERCEPT_MSR      (1u << 28)
#define SVM_INTERCEPT_SHUTDOWN (1u << 31)
/* intercept_2 */
#define SVM_INTERCEPT_VMRUN       (1u << 0)
#define SVM_INTERCEPT_VMMCALL     (1u << 1)
#define SVM_INTERCEPT_VMLOAD      (1u << 2)
#define SVM_INTERCEPT_VMSAVE      (1u << 3)
#define SVM_INTERCEPT_STGI        (1u << 4)
#define SVM_INTERCEPT_CLGI        (1u << 5)
#define SVM_INTERCEPT_SKINIT      (1u << 6)
#define SVM_INTERCEPT_WBINVD      (1u << 9)
#define SVM_INTERCEPT_MONITOR     (1u << 10)
#define SVM_INTERCEPT_MWAIT       (1u << 11)
#define SVM_INTERCEPT_MWAIT_ARMED (1u << 12)
#define SVM_INTERCEPT_XSETBV      (1u << 13)
#define SVM_INTERCEPT_RDPRU       (1u << 14)
/* intercept_3: INVLPGB, illegal INVLPGB, MCOMMIT, TLBSYNC */
#define SVM_INTERCEPT_INVLPGB 0x1bu

/* interrupt_control */
#define SVM_V_TPR_MASK     0xffull /* bits 3:0 are CR8 */
#define SVM_V_IRQ          (1ull << 8)
#define SVM_V_PRIO_SHIFT   16
#define SVM_V_PRIO_MASK    (0xfull << 16)
#define SVM_V_INTR_MASKING (1ull << 24)

/* tlb_control */
#define SVM_TLB_KEEP       0u
#define SVM_TLB_FLUSH_ALL  1u
#define SVM_TLB_FLUSH_ASID 3u

/* event_injection and exit_int_info */
#define SVM_EVENT_INTR      (0ull << 8)
#define SVM_EVENT_NMI       (2ull << 8)
#define SVM_EVENT_EXCEPTION (3ull << 8)
#define SVM_EVENT_SOFTWARE  (4ull << 8)
#define SVM_EVENT_TYPE_MASK (7ull << 8)
#define SVM_EVENT_HAS_ERROR (1ull << 11)
#define SVM_EVENT_VALID     (1ull << 31)

enum svm_exit {
	SVM_EXIT_DR = 0x20,        /* + number; + 16: a write */
	SVM_EXIT_EXCEPTION = 0x40, /* + vector */
	SVM_EXIT_INTR = 0x60,
	SVM_EXIT_NMI = 0x61,
	SVM_EXIT_INIT = 0x63,
	SVM_EXIT_VINTR = 0x64,
	SVM_EXIT_RDPMC = 0x6f,
	SVM_EXIT_CPUID = 0x72,
	SVM_EXIT_IRET = 0x74,
	SVM_EXIT_INVD = 0x76,
	SVM_EXIT_PAUSE = 0x77,
	SVM_EXIT_HLT = 0x78,
	SVM_EXIT_INVLPGA = 0x7a,
	SVM_EXIT_IOIO = 0x7b,
	SVM_EXIT_MSR = 0x7c,
	SVM_EXIT_FERR = 0x7e,
	SVM_EXIT_SHUTDOWN = 0x7f,
	SVM_EXIT_VMRUN = 0x80,
	SVM_EXIT_VMMCALL = 0x81,
	SVM_EXIT_VMLOAD = 0x82,
	SVM_EXIT_RDTSCP = 0x87,
	SVM_EXIT_WBINVD = 0x89,
	SVM_EXIT_XSETBV = 0x8d,
	SVM_EXIT_NPF = 0x400,
};
#define SVM_EXIT_INVALID UINT64_MAX

#define SVM_IOIO_IN     (1u << 0)
#define SVM_IOIO_STRING (1u << 2)
#define SVM_IOIO_REP    (1u << 3)
#define SVM_NPF_WRITE   (1u << 1)
#define SVM_NPF_FETCH   (1u << 4)

/* CPUID 8000000A EDX */
#define SVM_CPUID_NRIP       (1u << 3)
#define SVM_CPUID_FLUSH_ASID (1u << 6)
#define SVM_CPUID_DECODE     (1u << 7)
#define SVM_CPUID_PAUSE      (1u << 10) /* the filter's counter */
#define SVM_CPUID_PAUSE_GAP  (1u << 12) /* and its threshold */

#define MSR_VM_CR       0xc0010114
#define VM_CR_R_INIT    (1ull << 1)
#define MSR_VM_HSAVE_PA 0xc0010117

#endif
