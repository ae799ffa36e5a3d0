/*
 * The way into the guest and back. VMRUN switches RAX, RSP, RIP, RFLAGS and the control state; the other general registers
 * are switched here. The hypervisor runs with GIF clear, so nothing interrupts between an exit and the next entry.
 */
#include "hypervisor/arch/x86/registers.inc"
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
	guest_registers_load
	mov VCPU_VMCB_PA(%rax), %rax
	vmrun
	mov (%rsp), %rax
	guest_registers_save
	mov %rax, %rdi
	call run_exit
	test %al, %al
	mov (%rsp), %rax
	jnz enter
	pop %rdi
	callee_registers_pop
	ret
	.size vendor_run, . - vendor_run
	.section .note.GNU-stack, "", @progbits
