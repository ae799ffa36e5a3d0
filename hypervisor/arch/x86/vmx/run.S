/*
 * The way into the guest and back. The VMCS switches RSP, RIP, RFLAGS and the control state; the
 * other general registers are switched here.
 *
 * VMX has nothing like SVM's GIF, so an NMI may arrive anywhere in the hypervisor. Its gate only
 * records it, and whoever enters the guest or halts looks at the record. Between that look and the
 * entry (or the halt) an NMI would be noticed late: so the gate, when it finds that it interrupted
 * one of these two stretches, goes on behind it.
 */
#include "hypervisor/arch/x86/registers.inc"
#include "hypervisor/arch/x86/speculation.inc"
#include "include/boot/handoff.h"

/* Offsets into struct vcpu, struct vmx and struct lp: vcpu.c checks them. */
#define VCPU_VMX 136
#define VCPU_LP 168
#define VMX_LAUNCHED 0x400
#define VMX_ENTRY 0x401
#define LP_NMI 9
#define LP_STACK_SIZE 16384
#define LP_SIZE 576

#define HOST_RSP_FIELD 0x6c14
#define REFUSED 1
#define PUT_OFF 2

	/* What the image is for, in its header. */
	.globl image_vendor
	.set image_vendor, HV_IMAGE_VMX

	.section .text.hot, "ax"
	.globl vendor_run
	.type vendor_run, @function
vendor_run:
	callee_registers_push
	push %rdi /* the vcpu; the stack is 16-byte aligned from here on */
	mov $HOST_RSP_FIELD, %eax
	vmwrite %rsp, %rax
	mov %rdi, %rax
again:
	cmpb $0, VCPU_ON_ENTRY(%rax)
	jne before_entry
enter:
	mov VCPU_LP(%rax), %rcx
	cmpb $0, LP_NMI(%rcx)
	jne put_off
	mov VCPU_VMX(%rax), %rcx
	cmpb $0, VMX_LAUNCHED(%rcx) /* the flags last until the jump */
	guest_registers_load
	mov GPR(0)(%rax), %rax
	jz launch
	vmresume
	jmp refused
launch:
	vmlaunch
refused:
	mov $REFUSED, %ecx
	jmp not_entered
put_off:
	mov $PUT_OFF, %ecx
not_entered:
	mov (%rsp), %rax
	mov VCPU_VMX(%rax), %rdx
	mov %cl, VMX_ENTRY(%rdx)
	jmp handle
	.globl vmx_exit_here
vmx_exit_here:
	push %rax
	mov 8(%rsp), %rax
	pop GPR(0)(%rax)
	guest_registers_save
handle:
	testb $EXIT_IBPB | EXIT_SPEC_CTRL, VCPU_ON_EXIT(%rax)
	jnz after_exit
exit_ready:
	lfence
	mov %rax, %rdi
	call run_exit
	test %al, %al
	mov (%rsp), %rax
	jnz again
	testb $EXIT_RSB, VCPU_ON_EXIT(%rax)
	jnz fill_returns
returns_ready:
	pop %rdi
	callee_registers_pop
	ret
	int3
before_entry:
	speculation_before_entry
	jmp enter
after_exit:
	speculation_after_exit
	jmp exit_ready
fill_returns:
	speculation_fill_returns
	jmp returns_ready
	.size vendor_run, . - vendor_run

/*
 * vmx_wait(recorded): sleeps until an interrupt, but not if an NMI was recorded. IF is clear; STI
 * lets nothing in before HLT.
 */
	.text
	.globl vmx_wait
	.type vmx_wait, @function
vmx_wait:
	cmpb $0, (%rdi)
	jne wait_end
	sti
	hlt
wait_end:
	cli
	ret
	.size vmx_wait, . - vmx_wait

/* The gate of vector 2, in both tables of interrupts (trap.c). */
	.globl vmx_nmi_gate
vmx_nmi_gate:
	push %rax
	push %rcx
	mov %rsp, %rax
	and $-LP_STACK_SIZE, %rax
	movb $1, LP_STACK_SIZE - LP_SIZE + LP_NMI(%rax)
	mov 16(%rsp), %rax /* RIP */
	lea enter(%rip), %rcx
	cmp %rcx, %rax
	jb 1f
	lea put_off(%rip), %rcx
	cmp %rcx, %rax
	jb 2f
1:	lea vmx_wait(%rip), %rcx
	cmp %rcx, %rax
	jb 3f
	lea wait_end(%rip), %rcx
	cmp %rcx, %rax
	jae 3f
2:	mov %rcx, 16(%rsp)
3:	pop %rcx
	pop %rax
	iretq

/* After an exit for an NMI further ones are blocked until an IRET. */
	.globl vmx_unblock_nmi
	.type vmx_unblock_nmi, @function
vmx_unblock_nmi:
	mov %rsp, %rax
	push $16
	push %rax
	pushfq
	push $8
	lea 1f(%rip), %rax
	push %rax
	iretq
1:	ret
	.size vmx_unblock_nmi, . - vmx_unblock_nmi
	.section .note.GNU-stack, "", @progbits
