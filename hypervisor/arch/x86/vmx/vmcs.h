/*
 * The virtual-machine control structure (Intel SDM vol. 3, chapters 24 to 27, appendices A to C):
 * field encodings, controls and exit reasons that are used, and the two instructions that reach the
 * fields.
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include <stdbool.h>
#include <stdint.h>

enum vmcs_field {
	VMCS_VPID = 0x0000,
	VMCS_GUEST_ES_SELECTOR = 0x0800, /* ES CS SS DS FS GS LDTR TR, 2 apart */
	VMCS_HOST_ES_SELECTOR = 0x0c00,  /* ES CS SS DS FS GS TR */
	VMCS_HOST_CS_SELECTOR = 0x0c02,
	VMCS_HOST_SS_SELECTOR = 0x0c04,
	VMCS_HOST_DS_SELECTOR = 0x0c06,
	VMCS_HOST_FS_SELECTOR = 0x0c08,
	VMCS_HOST_GS_SELECTOR = 0x0c0a,
	VMCS_HOST_TR_SELECTOR = 0x0c0c,
	VMCS_MSR_BITMAP = 0x2004,
	VMCS_IO_BITMAP_A = 0x2000,
	VMCS_IO_BITMAP_B = 0x2002,
	VMCS_TSC_OFFSET = 0x2010,
	VMCS_VIRTUAL_APIC = 0x2012,
	VMCS_EPT_POINTER = 0x201a,
	VMCS_XSS_EXITING_BITMAP = 0x202c,
	VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,
	VMCS_LINK_POINTER = 0x2800,
	VMCS_GUEST_DEBUGCTL = 0x2802,
	VMCS_GUEST_PAT = 0x2804,
	VMCS_GUEST_EFER = 0x2806,
	VMCS_GUEST_PDPTE0 = 0x280a, /* to 3, 2 apart */
	VMCS_HOST_PAT = 0x2c00,
	VMCS_HOST_EFER = 0x2c02,
	VMCS_PIN_CONTROLS = 0x4000,
	VMCS_PROC_CONTROLS = 0x4002,
	VMCS_EXCEPTION_BITMAP = 0x4004,
	VMCS_PAGE_FAULT_MASK = 0x4006,
	VMCS_PAGE_FAULT_MATCH = 0x4008,
	VMCS_CR3_TARGET_COUNT = 0x400a,
	VMCS_EXIT_CONTROLS = 0x400c,
	VMCS_EXIT_MSR_STORE_COUNT = 0x400e,
	VMCS_EXIT_MSR_LOAD_COUNT = 0x4010,
	VMCS_ENTRY_CONTROLS = 0x4012,
	VMCS_ENTRY_MSR_LOAD_COUNT = 0x4014,
	VMCS_ENTRY_EVENT = 0x4016,
	VMCS_ENTRY_ERROR_CODE = 0x4018,
	VMCS_ENTRY_INSTRUCTION_LENGTH = 0x401a,
	VMCS_TPR_THRESHOLD = 0x401c,
	VMCS_PROC_CONTROLS_2 = 0x401e,
	VMCS_PAUSE_GAP = 0x4020,
	VMCS_PAUSE_WINDOW = 0x4022,
	VMCS_INSTRUCTION_ERROR = 0x4400,
	VMCS_EXIT_REASON = 0x4402,
	VMCS_EXIT_EVENT = 0x4404,
	VMCS_EXIT_ERROR_CODE = 0x4406,
	VMCS_VECTORING_EVENT = 0x4408,
	VMCS_VECTORING_ERROR_CODE = 0x440a,
	VMCS_INSTRUCTION_LENGTH = 0x440c,
	VMCS_INSTRUCTION_INFO = 0x440e,
	VMCS_GUEST_ES_LIMIT = 0x4800, /* the eight, 2 apart */
	VMCS_GUEST_GDTR_LIMIT = 0x4810,
	VMCS_GUEST_IDTR_LIMIT = 0x4812,
	VMCS_GUEST_ES_RIGHTS = 0x4814, /* the eight, 2 apart */
	VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
	VMCS_GUEST_ACTIVITY = 0x4826,
	VMCS_GUEST_SYSENTER_CS = 0x482a,
	VMCS_PREEMPTION_TIMER = 0x482e,
	VMCS_HOST_SYSENTER_CS = 0x4c00,
	VMCS_CR0_MASK = 0x6000,
	VMCS_CR4_MASK = 0x6002,
	VMCS_CR0_SHADOW = 0x6004,
	VMCS_CR4_SHADOW = 0x6006,
	VMCS_EXIT_QUALIFICATION = 0x6400,
	VMCS_GUEST_LINEAR_ADDRESS = 0x640a,
	VMCS_GUEST_CR0 = 0x6800,
	VMCS_GUEST_CR3 = 0x6802,
	VMCS_GUEST_CR4 = 0x6804,
	VMCS_GUEST_ES_BASE = 0x6806, /* the eight, 2 apart */
	VMCS_GUEST_GDTR_BASE = 0x6816,
	VMCS_GUEST_IDTR_BASE = 0x6818,
	VMCS_GUEST_DR7 = 0x681a,
	VMCS_GUEST_RSP = 0x681c,
	VMCS_GUEST_RIP = 0x681e,
	VMCS_GUEST_RFLAGS = 0x6820,
	VMCS_GUEST_PENDING_DEBUG = 0x6822,
	VMCS_GUEST_SYSENTER_ESP = 0x6824,
	VMCS_GUEST_SYSENTER_EIP = 0x6826,
	VMCS_HOST_CR0 = 0x6c00,
	VMCS_HOST_CR3 = 0x6c02,
	VMCS_HOST_CR4 = 0x6c04,
	VMCS_HOST_FS_BASE = 0x6c06,
	VMCS_HOST_GS_BASE = 0x6c08,
	VMCS_HOST_TR_BASE = 0x6c0a,
	VMCS_HOST_GDTR_BASE = 0x6c0c,
	VMCS_HOST_IDTR_BASE = 0x6c0e,
	VMCS_HOST_SYSENTER_ESP = 0x6c10,
	VMCS_HOST_SYSENTER_EIP = 0x6c12,
	VMCS_HOST_RSP = 0x6c14,
	VMCS_HOST_RIP = 0x6c16,
};

/* Controls. */
#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI                (1u << 3)
#define PIN_VIRTUAL_NMI        (1u << 5)
#define PIN_PREEMPTION_TIMER   (1u << 6)

#define PROC_INTERRUPT_WINDOW (1u << 2)
#define PROC_TSC_OFFSET       (1u << 3)
#define PROC_HLT              (1u << 7)
#define PROC_MWAIT            (1u << 10)
#define PROC_RDPMC            (1u << 11)
#define PROC_CR3_LOAD         (1u << 15)
#define PROC_CR3_STORE        (1u << 16)
#define PROC_TPR_SHADOW       (1u << 21)
#define PROC_NMI_WINDOW       (1u << 22)
#define PROC_MOV_DR           (1u << 23)
#define PROC_IO_BITMAPS       (1u << 25)
#define PROC_MSR_BITMAPS      (1u << 28)
#define PROC_MONITOR          (1u << 29)
#define PROC_SECONDARY        (1u << 31)

#define PROC2_EPT          (1u << 1)
#define PROC2_RDTSCP       (1u << 3)
#define PROC2_X2APIC       (1u << 4) /* RDMSR and WRMSR of the TPR reach the virtual-APIC page */
#define PROC2_VPID         (1u << 5)
#define PROC2_WBINVD       (1u << 6)
#define PROC2_UNRESTRICTED (1u << 7)
#define PROC2_PAUSE_LOOP   (1u << 10)
#define PROC2_INVPCID      (1u << 12)
#define PROC2_XSAVES       (1u << 20)

#define EXIT_SAVE_DEBUG (1u << 2)
#define EXIT_HOST_64    (1u << 9)
#define EXIT_SAVE_PAT   (1u << 18)
#define EXIT_LOAD_PAT   (1u << 19)
#define EXIT_SAVE_EFER  (1u << 20)
#define EXIT_LOAD_EFER  (1u << 21)

#define ENTRY_LOAD_DEBUG (1u << 2)
#define ENTRY_GUEST_64   (1u << 9)
#define ENTRY_LOAD_PAT   (1u << 14)
#define ENTRY_LOAD_EFER  (1u << 15)

/* Events: VMCS_ENTRY_EVENT, VMCS_EXIT_EVENT, VMCS_VECTORING_EVENT. */
#define EVENT_TYPE_MASK     (7u << 8)
#define EVENT_INTERRUPT     (0u << 8)
#define EVENT_NMI           (2u << 8)
#define EVENT_EXCEPTION     (3u << 8)
#define EVENT_SOFTWARE      (4u << 8) /* INT n */
#define EVENT_PRIVILEGED    (5u << 8) /* INT1 */
#define EVENT_SOFTWARE_TRAP (6u << 8) /* INT3, INTO */
#define EVENT_HAS_ERROR     (1u << 11)
#define EVENT_NMI_UNBLOCKED (1u << 12) /* also in the qualification of an EPT violation */
#define EVENT_VALID         (1u << 31)

/* Interruptibility. */
#define BLOCKED_BY_STI    (1u << 0)
#define BLOCKED_BY_MOV_SS (1u << 1)
#define BLOCKED_BY_NMI    (1u << 3)
#define BLOCKED_SHADOW    (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)

#define RIGHTS_LONG     (1u << 13)
#define RIGHTS_DEFAULT  (1u << 14)
#define RIGHTS_UNUSABLE (1u << 16)

enum vmx_exit {
	VMX_EXIT_EXCEPTION = 0, /* or NMI */
	VMX_EXIT_INTERRUPT = 1,
	VMX_EXIT_TRIPLE_FAULT = 2,
	VMX_EXIT_INIT = 3,
	VMX_EXIT_SIPI = 4,
	VMX_EXIT_INTERRUPT_WINDOW = 7,
	VMX_EXIT_NMI_WINDOW = 8,
	VMX_EXIT_TASK_SWITCH = 9,
	VMX_EXIT_CPUID = 10,
	VMX_EXIT_GETSEC = 11,
	VMX_EXIT_HLT = 12,
	VMX_EXIT_INVD = 13,
	VMX_EXIT_RDPMC = 15,
	VMX_EXIT_VMCALL = 18,
	VMX_EXIT_VMCLEAR = 19, /* the other instructions of VMX follow up to 27 */
	VMX_EXIT_VMXON = 27,
	VMX_EXIT_CR = 28,
	VMX_EXIT_DR = 29,
	VMX_EXIT_IO = 30,
	VMX_EXIT_RDMSR = 31,
	VMX_EXIT_WRMSR = 32,
	VMX_EXIT_INVALID_STATE = 33,
	VMX_EXIT_MSR_LOAD = 34,
	VMX_EXIT_MWAIT = 36,
	VMX_EXIT_MONITOR = 39,
	VMX_EXIT_PAUSE = 40,
	VMX_EXIT_MACHINE_CHECK = 41,
	VMX_EXIT_TPR = 43,
	VMX_EXIT_EPT_VIOLATION = 48,
	VMX_EXIT_EPT_MISCONFIGURATION = 49,
	VMX_EXIT_INVEPT = 50,
	VMX_EXIT_PREEMPTION_TIMER = 52,
	VMX_EXIT_INVVPID = 53,
	VMX_EXIT_WBINVD = 54,
	VMX_EXIT_XSETBV = 55,
};
#define VMX_EXIT_ENTRY_FAILED (1u << 31)

#define EPT_VIOLATION_WRITE (1u << 1)
#define EPT_VIOLATION_FETCH (1u << 2)

#define MSR_FEATURE_CONTROL     0x3a
#define FEATURE_CONTROL_LOCKED  (1ull << 0)
#define FEATURE_CONTROL_VMX     (1ull << 2)
#define MSR_VMX_BASIC           0x480
#define MSR_VMX_PIN             0x481
#define MSR_VMX_PROC            0x482
#define MSR_VMX_EXIT            0x483
#define MSR_VMX_ENTRY           0x484
#define MSR_VMX_MISC            0x485 /* 4:0: the preemption timer's rate, as a shift of the TSC */
#define MSR_VMX_CR0_FIXED0      0x486
#define MSR_VMX_CR4_FIXED0      0x488
#define MSR_VMX_PROC2           0x48b
#define MSR_VMX_EPT_VPID        0x48c
#define MSR_VMX_TRUE_PIN        0x48d
#define MSR_VMX_TRUE_PROC       0x48e
#define MSR_VMX_TRUE_EXIT       0x48f
#define MSR_VMX_TRUE_ENTRY      0x490
#define VMX_BASIC_TRUE_CONTROLS (1ull << 55)

#define EPT_CAP_WALK_4    (1ull << 6)
#define EPT_CAP_WRITEBACK (1ull << 14)
#define EPT_CAP_2M        (1ull << 16)
#define EPT_CAP_1G        (1ull << 17)
#define EPT_CAP_INVEPT    (1ull << 20)
#define EPT_CAP_DIRTY     (1ull << 21)
#define EPT_CAP_INVEPT_1  (1ull << 25)
#define EPT_CAP_INVVPID   (1ull << 32)
#define EPT_CAP_INVVPID_1 (1ull << 41)

#define EPTP_WRITEBACK 6u
#define EPTP_WALK_4    (3u << 3)
#define EPTP_DIRTY     (1u << 6)

/* Of the VMCS that is current on this LP (vmcs.c, or a test). */
uint64_t vmcs_read(enum vmcs_field field);
void vmcs_read_to(uint64_t *to, enum vmcs_field field);
void vmcs_write(enum vmcs_field field, uint64_t value);

#endif
