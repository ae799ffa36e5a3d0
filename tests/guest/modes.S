/*
 * From 64-bit mode through all the others and back: protected without paging, tables of two levels, PAE, real, real with a large
 * segment ("unreal"). In each an exit or two, a letter on COM1, and a word that must be seen where the mode puts it; '!' and a
 * halt for ever if it is not.
 *
 * The way lies below 1 MiB, where real mode reaches it: what is between modes_low and its end is copied to BASE.
 */
#define BASE	0x8000
#define TABLES	0x10000		/* four pages */
#define STACK	0x7000
#define HIGH	0x40000000	/* mapped to 0 */
#define FAR	0x1000000	/* beyond any real mode segment */
#define WORD	0x76657264
#define EFER	0xc0000080
#define LME	8		/* bit */
#define AT(symbol)	(symbol - modes_low + BASE)
#define OFFSET(symbol)	(symbol - modes_low)

	.section .rodata
starts:	.asciz "modes: "
ends:	.asciz "\nmodes: back\n"

	.text
	.code64
	.globl guest_main
guest_main:
	movl $starts, %edi
	call print
	movl $modes_low, %esi
	movl $BASE, %edi
	movl $modes_low_end - modes_low, %ecx
	rep movsb
	movl $WORD, FAR
	movq %rsp, AT(old_rsp)
	movq %cr3, %rax
	movl %eax, AT(old_cr3)
	movq %cr4, %rax
	movl %eax, AT(old_cr4)
	sgdt AT(old_gdt)
	sidt AT(old_idt)
	lgdt AT(gdt_register)
	pushq $0x18
	pushq $AT(protected)
	lretq
back:	lgdt AT(old_gdt)
	lidt AT(old_idt)
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %gs
	movq AT(old_rsp), %rsp
	movl $ends, %edi
	call print
	call guest_end

	.section .modes, "ax"
modes_low:
	.code32
.macro say letter
	movb $\letter, %bl
	call say32
.endm
.macro paging_off
	movl %cr0, %eax
	btrl $31, %eax
	movl %eax, %cr0
.endm
/* CR3 and CR4, then the word by its high address. */
.macro paging_on tables, mode
	movl $\mode, %eax
	movl %eax, %cr4
	movl $\tables, %eax
	movl %eax, %cr3
	movl %cr0, %eax
	btsl $31, %eax
	movl %eax, %cr0
	cmpl $WORD, HIGH + AT(word)
	jne failed
.endm

protected:
	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $STACK, %esp
	paging_off
	movl $EFER, %ecx
	rdmsr
	btrl $LME, %eax
	wrmsr
	say 'P'
	movl $TABLES, %edi
	xorl %eax, %eax
	movl $4 * 1024, %ecx
	rep stosl
	movl $0x83, TABLES
	movl $0x83, TABLES + (HIGH >> 22) * 4
	paging_on TABLES, 0x10		/* PSE */
	say '2'
	paging_off
	movl $TABLES + 0x2001, TABLES + 0x1000
	movl $TABLES + 0x3001, TABLES + 0x1008
	movl $0x83, TABLES + 0x2000
	movl $0x83, TABLES + 0x3000
	paging_on TABLES + 0x1000, 0x20	/* PAE */
	say 'A'
	paging_off
	xorl %eax, %eax
	movl %eax, %cr4
	ljmp $0x20, $OFFSET(leave_protected)

say32:	xorl %eax, %eax
	pushl %ebx
	cpuid
	popl %ebx
	movl $0x3fd, %edx
1:	inb %dx, %al
	testb $0x20, %al
	jz 1b
	movl $0x3f8, %edx
	movb %bl, %al
	outb %al, %dx
	ret

failed:	say '!'
	cli
	hlt

	.code16
say16:	xorl %eax, %eax
	pushl %ebx
	cpuid
	popl %ebx
	movw $0x3fd, %dx
1:	inb %dx, %al
	testb $0x20, %al
	jz 1b
	movw $0x3f8, %dx
	movb %bl, %al
	outb %al, %dx
	ret

leave_protected:
	movw $0x28, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw %ax, %gs
	movl %cr0, %eax
	andb $0xfe, %al
	movl %eax, %cr0
	ljmp $BASE >> 4, $OFFSET(real)
real:	movw $BASE >> 4, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %gs
	xorw %ax, %ax
	movw %ax, %ss
	movw $STACK, %sp
	lidtl OFFSET(real_idt)
	movw %ax, %es
	movw $OFFSET(handler), %es:0x40 * 4
	movw $BASE >> 4, %es:0x40 * 4 + 2
	xorl %esi, %esi
	int $0x40
	cmpl $WORD, %esi
	jne failed16
	movb $'R', %bl
	call say16

	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	movw $0x10, %dx
	movw %dx, %gs
	andb $0xfe, %al
	movl %eax, %cr0
	ljmp $BASE >> 4, $OFFSET(unreal)
unreal:	movb $'U', %bl			/* exits do not change the segment's limit */
	call say16
	movl $FAR, %esi
	cmpl $WORD, %gs:(%esi)
	jne failed16
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpl $0x18, $AT(long_again)

failed16:
	movb $'!', %bl
	call say16
	cli
	hlt

handler:
	movl OFFSET(word), %esi
	iretw

	.code32
long_again:
	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl AT(old_cr4), %eax
	movl %eax, %cr4
	movl AT(old_cr3), %eax
	movl %eax, %cr3
	movl $EFER, %ecx
	rdmsr
	btsl $LME, %eax
	wrmsr
	movl %cr0, %eax
	btsl $31, %eax
	movl %eax, %cr0
	ljmp $8, $AT(long)
	.code64
long:	movl $back, %eax
	jmp *%rax

	.balign 16
gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
	.quad 0x00009b000000ffff | BASE << 16, 0x000093000000ffff | BASE << 16
gdt_register:
	.word 6 * 8 - 1
	.quad AT(gdt)
real_idt:
	.word 0x3ff
	.long 0
	.balign 8
old_rsp: .quad 0
old_cr3: .long 0
old_cr4: .long 0
old_gdt: .skip 10
old_idt: .skip 10
word:	.long WORD
modes_low_end:
	.section .note.GNU-stack, "", @progbits
