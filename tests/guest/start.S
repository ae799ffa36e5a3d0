/*
 * A tiny guest's first instructions: from multiboot 1's 32-bit mode to 64-bit mode with the low 4 GiB mapped one to one, then
 * guest_main(magic, info). Exceptions come to guest_fault, by vector; interrupts, vectors 32 and above, to guest_interrupt, which
 * returns to where they came. VPs besides the first come by the page at TRAMPOLINE.
 */
	.section .multiboot, "a"
	.align 4
	.long	0x1badb002, 3, -(0x1badb002 + 3)

	.bss
	.align 4096
pml4:	.skip 4096
pdpt:	.skip 4096
pd:	.skip 4 * 4096
	.skip 65536
stack_top:
	.align 16
idt:	.skip 256 * 16

	.data
	.align 16
gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
gdt_register:
	.word 4 * 8 - 1
	.quad gdt
idt_register:
	.word 256 * 16 - 1
	.quad idt
	.globl no_idt
no_idt:	.word 0
	.quad 0

	.text
	.code32
	.globl start
start:
	cli
	cld
	movl %eax, %edi
	movl %ebx, %esi
	movl $stack_top, %esp
	movl $pdpt + 3, pml4
	movl $pd + 3, %eax
	movl $pdpt, %edx
1:	movl %eax, (%edx)
	addl $4096, %eax
	addl $8, %edx
	cmpl $pdpt + 32, %edx
	jb 1b
	movl $0x83, %eax
	movl $pd, %edx
2:	movl %eax, (%edx)
	addl $8, %edx
	addl $0x200000, %eax
	jnc 2b
	movl $pml4, %eax
	movl %eax, %cr3
	movl $0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $0xc0000080, %ecx
	rdmsr
	btsl $8, %eax			/* EFER.LME */
	wrmsr
	movl $0x80010033, %eax
	movl %eax, %cr0
	lgdt gdt_register
	ljmp $8, $long_mode

	.code64
long_mode:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $idt, %edx
	movl $vectors, %eax
	movl $256, %ecx
3:	movw %ax, (%rdx)
	movl $0x8e000008, 2(%rdx)
	movl %eax, %ebx
	shrl $16, %ebx
	movw %bx, 6(%rdx)
	addq $16, %rdx
	addl $16, %eax
	decl %ecx
	jnz 3b
	lidt idt_register
	call guest_main
4:	cli
	hlt
	jmp 4b

/*
 * Each entry is 16 bytes. An exception has its vector in EAX for the one handler; an error code is not looked at: nothing returns
 * there. An interrupt keeps all registers.
 */
	.align 16
vectors:
	.set vector, 0
	.rept 32
	.align 16
	movl $vector, %eax
	jmp caught
	.set vector, vector + 1
	.endr
	.rept 224
	.align 16
	pushq %rdi
	movl $vector, %edi
	jmp interrupted
	.set vector, vector + 1
	.endr
interrupted:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	cld
	call guest_interrupt
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rax
	popq %rdi
	iretq
caught:
	movl %eax, %edi
	call guest_fault
5:	hlt
	jmp 5b

/*
 * long guest_try(void (*step)(void *), void *argument): run step; -1, or the vector of the exception that ended it.
 * guest_fault comes back by guest_unwind(vector).
 */
	.globl guest_try, guest_unwind
guest_try:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rdi, %rax
	movq %rsi, %rdi
	movq %rsp, tried
	call *%rax
	movq $-1, %rax
unwound:
	movq $0, tried
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret
guest_unwind:
	movl %edi, %eax
	movq tried, %rsp
	jmp unwound

/* From the real mode in which a SIPI starts a VP straight to 64-bit mode. guest_start_vp() copies it below 1 MiB. */
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	lgdtl %cs:trampoline_gdt - trampoline
	movl $0x620, %eax
	movl %eax, %cr4
	movl $pml4, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	btsl $8, %eax
	wrmsr
	movl $0x80010033, %eax
	movl %eax, %cr0
	ljmpl $8, $vp_long_mode
trampoline_gdt:
	.word 4 * 8 - 1
	.long gdt
trampoline_end:

	.code64
vp_long_mode:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	lidt idt_register
	movq started_stack, %rsp
	movq started_entry, %rax
	movb $1, started
	call *%rax
6:	cli
	hlt
	jmp 6b

	.bss
	.globl started_stack, started_entry, started
	.align 8
started_stack: .skip 8
started_entry: .skip 8
started: .skip 8
	.globl tried
	.align 8
tried:	.skip 8
	.section .note.GNU-stack, "", @progbits
