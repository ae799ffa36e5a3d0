/*
 * An image in the hypervisor's place: it checks what the loader hands over, then starts the root as the block says, with no
 * hypervisor beneath it.
 */
#include "boot/handoff.h"

#define CODE32		0x08
#define DATA		0x10
#define MSR_EFER	0xc0000080
#define EFER_LME_NXE	0x900
#define CR0_PG		0x80000000

	.section .head, "a"
	.quad HV_IMAGE_MAGIC
	.long HV_IMAGE_SVM, 0
	.quad entry

	.text
	.globl entry
entry:
	lea stack_end(%rip), %rsp
	call handoff_check		/* RDI as the loader set it; RAX: struct root_start */
	mov (%rax), %r8			/* where the image lies */
	mov 8(%rax), %edi		/* root_eip */
	mov 12(%rax), %esi		/* root_esi */

	/* 32-bit code runs at physical addresses, which the identity map has. */
	lea leave(%rip), %rcx
	lea gdt(%rip), %rdx
	mov $HV_IMAGE_VA, %rax
	sub %rax, %rcx
	sub %rax, %rdx
	add %r8, %rcx
	add %r8, %rdx
	mov %rdx, gdt_pointer + 2(%rip)
	lgdt gdt_pointer(%rip)
	pushq $CODE32
	push %rcx
	lretq

	.code32
leave:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	mov %cr0, %eax
	and $~CR0_PG, %eax
	mov %eax, %cr0
	mov $MSR_EFER, %ecx
	rdmsr
	and $~EFER_LME_NXE, %eax
	wrmsr
	xor %eax, %eax
	mov %eax, %cr4
	mov %edi, %eax
	xor %edi, %edi
	xor %ebp, %ebp
	xor %ebx, %ebx
	jmp *%eax

	.data
	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* 32-bit code, flat, accessed */
	.quad 0x00cf93000000ffff	/* data, flat, accessed */
gdt_pointer:
	.short 3 * 8 - 1
	.quad 0

	.bss
	.balign 16
	.skip 0x8000
stack_end:

	.section .note.GNU-stack, "", @progbits
