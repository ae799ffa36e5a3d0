/*
 * The way into the guest and back. VMRUN switches RAX, RSP, RIP, RFLAGS and the control state; the other general registers
 * are switched here. The hypervisor runs with GIF clear, so nothing interrupts between an exit and the next entry.
 */
#include "include/boot/handoff.h"

#define GPR(n) ((n) * 8)
#define VCPU_VMCB_PA 144

	/* What the image is for, in its header. */
	.globl image_vendor
	.set image_vendor, HV_IMAGE_SVM

	.section .text.hot, "ax"
	.globl vendor_run
	.type vendor_run, @function
vendor_run:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi /* the vcpu; the stack is 16-byte aligned from here on */
	mov %rdi, %rax
enter:
	mov GPR(1)(%rax), %rcx
	mov GPR(2)(%rax), %rdx
	mov GPR(3)(%rax), %rbx
	mov GPR(5)(%rax), %rbp
	mov GPR(6)(%rax), %rsi
	mov GPR(7)(%rax), %rdi
	mov GPR(8)(%rax), %r8
	mov GPR(9)(%rax), %r9
	mov GPR(10)(%rax), %r10
	mov GPR(11)(%rax), %r11
	mov GPR(12)(%rax), %r12
	mov GPR(13)(%rax), %r13
	mov GPR(14)(%rax), %r14
	mov GPR(15)(%rax), %r15
	mov VCPU_VMCB_PA(%rax), %rax
	vmrun
	mov (%rsp), %rax
	mov %rcx, GPR(1)(%rax)
	mov %rdx, GPR(2)(%rax)
	mov %rbx, GPR(3)(%rax)
	mov %rbp, GPR(5)(%rax)
	mov %rsi, GPR(6)(%rax)
	mov %rdi, GPR(7)(%rax)
	mov %r8, GPR(8)(%rax)
	mov %r9, GPR(9)(%rax)
	mov %r10, GPR(10)(%rax)
	mov %r11, GPR(11)(%rax)
	mov %r12, GPR(12)(%rax)
	mov %r13, GPR(13)(%rax)
	mov %r14, GPR(14)(%rax)
	mov %r15, GPR(15)(%rax)
	mov %rax, %rdi
	call run_exit
	test %al, %al
	mov (%rsp), %rax
	jnz enter
	pop %rdi
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	.size vendor_run, . - vendor_run
	.section .note.GNU-stack, "", @progbits
