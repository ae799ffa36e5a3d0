/*
 * Two tables of entries. The one for faults is in force while the hypervisor works: anything that arrives there is our own
 * fault, or an access that trap.c knows how to resume. The other is in force only inside interrupt_window(), where all 256
 * vectors are interrupts, whatever number a device or an old interrupt controller was programmed with.
 */
	.text
	.balign 16
	.globl fault_entries
fault_entries:
	vector = 0
	.rept 32
	.balign 16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	push $0
	.endif
	push $vector
	jmp fault_common
	vector = vector + 1
	.endr

fault_common:
	push %r15
	push %r14
	push %r13
	push %r12
	push %r11
	push %r10
	push %r9
	push %r8
	push %rdi
	push %rsi
	push %rbp
	push %rbx
	push %rdx
	push %rcx
	push %rax
	cld
	mov %rsp, %rdi
	mov %rsp, %rbp
	and $-16, %rsp
	call trap_fault
	mov %rbp, %rsp
	pop %rax
	pop %rcx
	pop %rdx
	pop %rbx
	pop %rbp
	pop %rsi
	pop %rdi
	pop %r8
	pop %r9
	pop %r10
	pop %r11
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	add $16, %rsp
	iretq

	.balign 16
	.globl interrupt_entries
interrupt_entries:
	vector = 0
	.rept 256
	.balign 16
	push $vector
	jmp interrupt_common
	vector = vector + 1
	.endr

interrupt_common:
	push %rax
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	cld
	mov 72(%rsp), %edi
	call interrupt_taken
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rax
	add $8, %rsp
	iretq

/* The reads and writes of MSRs that may fault: trap.c resumes behind the instruction with EAX = 0 as the answer. */
	.globl rdmsr_safe
rdmsr_safe:
	mov %edi, %ecx
	mov %rsi, %r8
1:	rdmsr
	shl $32, %rdx
	mov %eax, %eax
	or %rdx, %rax
	mov %rax, (%r8)
	mov $1, %eax
	ret
2:	xor %eax, %eax
	ret
	.pushsection .fixup, "a"
	.quad 1b, 2b
	.popsection

	.globl wrmsr_safe
wrmsr_safe:
	mov %edi, %ecx
	mov %esi, %eax
	mov %rsi, %rdx
	shr $32, %rdx
1:	wrmsr
	mov $1, %eax
	ret
2:	xor %eax, %eax
	ret
	.pushsection .fixup, "a"
	.quad 1b, 2b
	.popsection

/* xsetbv_safe(index, value), the same way. */
	.globl xsetbv_safe
xsetbv_safe:
	mov %edi, %ecx
	mov %esi, %eax
	mov %rsi, %rdx
	shr $32, %rdx
1:	xsetbv
	mov $1, %eax
	ret
2:	xor %eax, %eax
	ret
	.pushsection .fixup, "a"
	.quad 1b, 2b
	.popsection
	.section .note.GNU-stack, "", @progbits
