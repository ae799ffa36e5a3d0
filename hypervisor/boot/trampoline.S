/*
 * From the real mode in which a SIPI starts an LP to the hypervisor. Copied to a page below 1 MiB; all its addresses are
 * relative to that page. lp.c fills in the last words before each start.
 */
	.section .rodata
	.balign 8
	.globl trampoline_start, trampoline_end, trampoline_parameters
	.code16
trampoline_start:
	cli
	mov %cs, %ax
	mov %ax, %ds
	lidtl zero_table - trampoline_start
	lgdtl gdt_register - trampoline_start
	mov (parameter_cr4 - trampoline_start), %eax
	mov %eax, %cr4
	mov (parameter_cr3 - trampoline_start), %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	mov $0x900, %eax /* LME, NXE */
	xor %edx, %edx
	wrmsr
	mov (parameter_cr0 - trampoline_start), %eax
	mov %eax, %cr0
	ljmpl *(parameter_far - trampoline_start)

	.code64
long_mode:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov parameter_stack(%rip), %rsp
	mov parameter_entry(%rip), %rax
	xor %ebp, %ebp
	push %rbp /* no caller: the ABI wants the stack as after a call */
	jmp *%rax

	.balign 8
zero_table:
	.word 0
	.long 0
	.balign 8
gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_register:
	.word 23
parameter_gdt:
	.long gdt - trampoline_start /* + page */
	.balign 8
/* struct trampoline_parameters of lp.c */
trampoline_parameters:
parameter_entry:
	.quad 0
parameter_stack:
	.quad 0
parameter_cr0:
	.long 0
parameter_cr3:
	.long 0
parameter_cr4:
	.long 0
parameter_far:
	.long long_mode - trampoline_start /* + page */
	.word 8
	.word 0
trampoline_end:
	.globl trampoline_gdt_base
	.set trampoline_gdt_base, parameter_gdt
	.section .note.GNU-stack, "", @progbits
