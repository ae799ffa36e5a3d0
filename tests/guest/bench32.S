/*
 * The benchmark's exits from 32-bit code: void bench32_x(uint64_t rounds), for 64-bit code, runs a loop in a 32-bit segment.
 */
	.macro in_32_bit_code name:req, body
	.globl \name
\name:
	.code64
	pushq %rbx
	movl %edi, %esi
	pushq $24
	pushq $1f
	lretq
	.code32
1:	\body
	decl %esi
	jnz 1b
	ljmp $8, $2f
	.code64
2:	popq %rbx
	ret
	.endm

	.text
	in_32_bit_code bench32_nothing
	in_32_bit_code bench32_cpuid, "xorl %eax, %eax; cpuid"
	in_32_bit_code bench32_rdmsr, "movl $0x1b, %ecx; rdmsr"
	in_32_bit_code bench32_port, "outb %al, $0x80"
	in_32_bit_code bench32_mmio, "movl %eax, 0xd0000000"
	.section .note.GNU-stack, "", @progbits
