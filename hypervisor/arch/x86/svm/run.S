/*
 * The way into the guest and back. VMRUN switches RAX, RSP, RIP, RFLAGS and the control state; the other general registers
 * are switched here. The hypervisor runs with GIF clear, so nothing interrupts between an exit and the next entry.
 */
#include "hypervisor/arch/x86/registers.inc"
#include "hypervisor/arch/x86/speculation.inc"
#include "include/boot/handoff.h"

#define VCPU_VMCB_PA 144

	/* What the image is for, in its header. */
	.globl image_vendor
	.set image_vendor, HV_IMAGE_SVM

	.section .text.hot, "ax"
	.globl vendor_run
	.type vendor_run, @function
vendor_run:
	callee_registers_push
	push %rdi /* the vcpu; the stack is 16-byte aligned from here on */
	mov %rdi, %rax
enter:
	cmpb $0, VCPU_ON_ENTRY(%rax)
	jne before_entry
entry_ready:
	guest_registers_load
	mov VCPU_VMCB_PA(%rax), %rax
	vmrun
	mov (%rsp), %rax
	guest_registers_save
	testb $EXIT_IBPB | EXIT_SPEC_CTRL, VCPU_ON_EXIT(%rax)
	jnz after_exit
exit_ready:
	lfence
	mov %rax, %rdi
	call run_exit
	test %al, %al
	mov (%rsp), %rax
	jnz enter
	testb $EXIT_RSB, VCPU_ON_EXIT(%rax)
	jnz fill_returns
returns_ready:
	pop %rdi
	callee_registers_pop
	ret
	int3
before_entry:
	speculation_before_entry
	jmp entry_ready
after_exit:
	speculation_after_exit
	jmp exit_ready
fill_returns:
	speculation_fill_returns
	jmp returns_ready
	.size vendor_run, . - vendor_run

/*
 * Sleeps until an interrupt. IF holds interrupts back until HLT is under way, but an NMI comes as soon as GIF is set: its gate,
 * when it finds that it interrupted the way to HLT, goes on behind it, else the LP would sleep with what the NMI posted.
 */
	.text
	.globl svm_wait
	.type svm_wait, @function
svm_wait:
	cli
	stgi
wait_open:
	sti
	hlt
wait_end:
	clgi
	sti
	ret
	.size svm_wait, . - svm_wait

/* The gate of vector 2. */
	.globl svm_nmi_gate
svm_nmi_gate:
	push %rax
	push %rcx
	mov 16(%rsp), %rax /* RIP */
	lea wait_open(%rip), %rcx
	cmp %rcx, %rax
	jb 1f
	lea wait_end(%rip), %rcx
	cmp %rcx, %rax
	jae 1f
	mov %rcx, 16(%rsp)
1:	pop %rcx
	pop %rax
	jmp interrupt_entries + 2 * 16

/*
 * The gate of vector 30. An INIT that became #SX has error code 1 on the stack, and is forgotten; an interrupt of that vector has
 * RIP there.
 */
	.globl svm_security_gate
svm_security_gate:
	cmpq $1, (%rsp)
	jne interrupt_entries + 30 * 16
	add $8, %rsp
	iretq
	.section .note.GNU-stack, "", @progbits
