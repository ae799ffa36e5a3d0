/*
 * What svm/ and vmx/ both supply, under the same names; the linker takes one. The core knows
 * nothing of a VMCB or VMCS. Unless it says otherwise, functions that take a vcpu are called by its
 * owner, on the LP where its state is loaded or while it is loaded nowhere.
 */
#ifndef ARCH_VENDOR_H
#define ARCH_VENDOR_H

#include <stdbool.h>
#include <stdint.h>

#include "tlfs/hv.h"

struct lp;
struct vcpu;

/* What made the guest stop, whoever's hardware said it. */
enum intercept_kind {
	INTERCEPT_NOTHING,   /* dealt with by the vendor's code, or nothing to do: go on */
	INTERCEPT_INTERRUPT, /* the machine has an interrupt or NMI for this LP */
	INTERCEPT_WINDOW,    /* the guest can take an interrupt or NMI now */
	INTERCEPT_CPUID,
	INTERCEPT_MSR_READ,
	INTERCEPT_MSR_WRITE,
	INTERCEPT_HYPERCALL,
	INTERCEPT_HALT,
	INTERCEPT_IO,
	INTERCEPT_MEMORY,
	INTERCEPT_EXCEPTION,
	INTERCEPT_XSETBV,
	INTERCEPT_DEBUG,     /* a debug register; it is executed anew when its VP has its own */
	INTERCEPT_UNDEFINED, /* an instruction that does not exist for a partition */
	INTERCEPT_PROTECTED, /* one that faults with #GP(0) */
	INTERCEPT_SKIP,      /* one that does nothing */
	INTERCEPT_SPIN,      /* many a PAUSE in a row: it waits for another VP */
	INTERCEPT_TRIPLE_FAULT,
	INTERCEPT_INVALID, /* the processor refuses the guest's state */
};

struct intercept {
	enum intercept_kind kind;
	uint8_t length; /* of the instruction, where it is one */
	union {
		struct {
			uint16_t port;
			union hv_x64_io_port_access_info access;
			uint8_t segment; /* string forms: TLFS order ES CS SS DS FS GS */
			bool in;
		} io;
		struct {
			uint64_t gpa;
			bool write, fetch;
		} memory;
		struct {
			uint64_t parameter; /* CR2 or DR6 */
			uint32_t error;
			uint8_t vector;
			bool has_error;
		} exception;
	};
};

/* Level of the largest leaf of a second-level table (pagetable.h). After vendor_lp_init(). */
unsigned int vendor_max_level(void);
/* This LP: switches the extension on and prepares what the LP needs. Boot only. */
void vendor_lp_init(struct lp *lp);
/* Control block and what hangs on it, from the partition's pool. */
hv_status_t vendor_vcpu_create(struct vcpu *vcpu) MUST_CHECK;
void vendor_vcpu_destroy(struct vcpu *vcpu);
void vendor_reset(struct vcpu *vcpu);                   /* as after INIT */
void vendor_startup(struct vcpu *vcpu, uint8_t vector); /* SIPI */
void vendor_boot_root(struct vcpu *vcpu, uint32_t eip,
		      uint32_t esi); /* 32-bit protected mode, flat */

/*
 * Enters the guest again and again: after each exit run_exit(vcpu) (run.c) is called, and its
 * `false` ends it. vendor_enter is what the assembly does in between; the rest of the state must be
 * loaded.
 */
void vendor_run(struct vcpu *vcpu);
/*
 * The exit that just happened; called once an exit. Keeps an event whose delivery was cut short for
 * the next entry.
 */
void vendor_decode(struct vcpu *vcpu, struct intercept *intercept);
/* The last thing before an entry: ASID, TLB, RIP, TPR. */
void vendor_prepare(struct vcpu *vcpu);
/* Registers that entries do not switch (FS, GS, TR, LDTR, the SYSCALL MSRs…): into and out of the
 * control block. */
void vendor_load(struct vcpu *vcpu);
void vendor_save(struct vcpu *vcpu);
/* The control block has the registers that vendor_save saves, also while the vcpu is loaded. */
void vendor_sync(struct vcpu *vcpu);
/* After the control block's copies of them were changed while the vcpu is loaded. */
void vendor_resync(struct vcpu *vcpu);

/*
 * Takes all interrupts and NMIs that are pending on this LP: interrupt_taken() (interrupt.c) is
 * called for each. The second waits for one.
 */
void vendor_take_interrupts(void);
void vendor_wait_interrupt(void);

/* Steps over the intercepted instruction: RIP, interrupt shadow, RF, single step. */
void vendor_skip(struct vcpu *vcpu, uint8_t length);

/* Injection at the next entry. One event at a time: vendor_event_pending tells that the place is
 * taken. */
bool vendor_event_pending(const struct vcpu *vcpu);
void vendor_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error);
void vendor_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error);
void vendor_inject_interrupt(struct vcpu *vcpu, uint8_t vector);
void vendor_inject_nmi(struct vcpu *vcpu);
bool vendor_can_take_interrupt(const struct vcpu *vcpu); /* IF, shadow; not the TPR */
bool vendor_can_take_nmi(const struct vcpu *vcpu);
/* Makes the guest stop as soon as it can take an interrupt of this priority class (vector >> 4); 0:
 * no such wish. */
void vendor_interrupt_window(struct vcpu *vcpu, uint8_t priority);
void vendor_nmi_window(struct vcpu *vcpu, bool wanted);
/* The TPR as the guest may have changed it without an exit; what entries take, by the mode of the
 * VP's local APIC. */
uint32_t vendor_get_tpr(const struct vcpu *vcpu);
void vendor_set_tpr(struct vcpu *vcpu, uint32_t tpr);
bool vendor_shadow(const struct vcpu *vcpu); /* in the shadow of STI or MOV SS */
void vendor_clear_shadow(struct vcpu *vcpu);
bool vendor_nmi_blocked(const struct vcpu *vcpu); /* until the guest's next IRET */
void vendor_set_nmi_blocked(struct vcpu *vcpu, bool blocked);

/* A pending event in the form of HV_REGISTER_PENDING_INTERRUPTION, and back. */
uint64_t vendor_get_pending_interruption(const struct vcpu *vcpu);
void vendor_set_pending_interruption(struct vcpu *vcpu, uint64_t value);

/* Registers by TLFS name (all that live in the control block); the general ones are in vcpu->gpr,
 * except RSP. */
hv_status_t vendor_register_get(struct vcpu *vcpu, uint32_t name,
				union hv_register_value *value) MUST_CHECK;
hv_status_t vendor_register_set(struct vcpu *vcpu, uint32_t name,
				const union hv_register_value *value) MUST_CHECK;
/* A segment by its TLFS name, ES to TR. */
void vendor_get_segment(struct vcpu *vcpu, uint32_t name, struct hv_x64_segment_register *segment);
/* ES to GS, in the order of their names, of a VP that is loaded nowhere. */
void vendor_get_segments(const struct vcpu *vcpu, struct hv_x64_segment_register segments[6]);
uint64_t vendor_get_rflags(const struct vcpu *vcpu);
uint64_t vendor_get_rsp(const struct vcpu *vcpu);
uint64_t vendor_get_cr(const struct vcpu *vcpu, unsigned int number); /* 0, 2, 3, 4 */
uint64_t vendor_get_efer(const struct vcpu *vcpu);                    /* as the guest sees it */
uint8_t vendor_get_cpl(const struct vcpu *vcpu);
uint64_t vendor_linear_rip(const struct vcpu *vcpu);
/* 16, 32 or 64: default operand and address size of the code. */
unsigned int vendor_code_bits(const struct vcpu *vcpu);
/* Architectural MSRs that live in the control block; ACCESS_PARENT: not one of them. */
enum access_result vendor_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
enum access_result vendor_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
void vendor_set_tsc_offset(struct vcpu *vcpu, uint64_t offset);
/* The exceptions that end in the parent, beside those that the hypervisor itself must see. */
void vendor_set_exception_intercepts(struct vcpu *vcpu, uint32_t vectors);
/* All accesses to debug registers, DR6 and DR7 too. */
void vendor_intercept_debug(struct vcpu *vcpu, bool wanted);

/* Guest-virtual translations of the VP are forgotten before its next instruction. */
void vendor_flush_tlb(struct vcpu *vcpu);

/* Instruction bytes that the processor saved at the last memory intercept: count, 0 if it saves
 * none. */
uint32_t vendor_instruction_bytes(const struct vcpu *vcpu, const uint8_t **bytes);

#endif
