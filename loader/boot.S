/*
 * The loader's first and last instructions: entry from the multiboot loader, exceptions, and the way into the image.
 */
#define MULTIBOOT1_HEADER 0x1badb002
#define MULTIBOOT1_FLAGS  0x3		/* modules on page borders, memory map wanted */
#define MULTIBOOT2_HEADER 0xe85250d6
#define TAG_INFORMATION	  1
#define TAG_FRAMEBUFFER	  5
#define TAG_ALIGN_MODULES 6
#define OPTIONAL	  1

#define CODE32		  0x08
#define DATA		  0x10
#define CODE64		  0x18

#define STACK_SIZE	  0x8000
#define CR0_PE		  0x1
#define CR0_PG_WP	  0x80010000
#define CR4_PAE		  0x20
#define MSR_EFER	  0xc0000080
#define EFER_LME_NXE	  0x900

	.section .multiboot, "a"
	.balign 8
	.long MULTIBOOT1_HEADER, MULTIBOOT1_FLAGS, -(MULTIBOOT1_HEADER + MULTIBOOT1_FLAGS)

	.balign 8
header2:
	.long MULTIBOOT2_HEADER, 0, header2_end - header2, -(MULTIBOOT2_HEADER + (header2_end - header2))
	/* Wanted: memory map, framebuffer, EFI system table, RSDP old and new, EFI memory map. */
	.short TAG_INFORMATION, OPTIONAL
	.long 32, 6, 8, 12, 14, 15, 17
	.balign 8
	/* Any mode will do; without this tag there is no screen on UEFI. */
	.short TAG_FRAMEBUFFER, OPTIONAL
	.long 20, 0, 0, 0
	.balign 8
	.short TAG_ALIGN_MODULES, 0
	.long 8
	.balign 8
	.short 0, 0
	.long 8
header2_end:

	.text
	.code32
	.globl start
start:
	cli
	cld
	lgdt gdt_pointer
	ljmp $CODE32, $1f
1:	mov $DATA, %ecx
	mov %ecx, %ds
	mov %ecx, %es
	mov %ecx, %fs
	mov %ecx, %gs
	mov %ecx, %ss
	mov $stack_end, %esp
	push %ebx
	push %eax
	call loader_main

/*
 * void enter_image(uint32_t page_tables, const uint64_t *entry, uint32_t handoff): into 64-bit mode, with the handoff's
 * address in RDI. The code runs on in the identity map.
 */
	.globl enter_image
enter_image:
	mov 4(%esp), %eax
	mov 8(%esp), %ebx
	mov 12(%esp), %edi
	mov $CR4_PAE, %ecx
	mov %ecx, %cr4
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME_NXE, %eax
	wrmsr
	mov %cr0, %eax
	or $(CR0_PG_WP | CR0_PE), %eax
	mov %eax, %cr0
	ljmp $CODE64, $1f
	.code64
1:	mov %edi, %edi
	mov %ebx, %ebx
	mov (%rbx), %rax
	jmp *%rax

	.code32
	.balign 16
	.globl fault_stubs
fault_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	push $vector
	jmp fault_common
	.set vector, vector + 1
	.endr
	.balign 16
fault_common:
	push %esp
	call fault_stop

	.section .rodata
	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* 32-bit code, flat, accessed */
	.quad 0x00cf93000000ffff	/* data, flat, accessed */
	.quad 0x00af9b000000ffff	/* 64-bit code */
gdt_end:
gdt_pointer:
	.short gdt_end - gdt - 1
	.long gdt

	.bss
	.balign 16
	.skip STACK_SIZE
stack_end:

	.section .note.GNU-stack, "", @progbits
