/*
 * The boot ROM of an emulated network adapter: an option ROM (BIOS Boot Specification 1.01, appendix A and D) that starts a program
 * in the form of PXE's, which is iPXE with drivers of its own. That has 300 KiB, and an option ROM's place is small, so this fetches it: of
 * fw_cfg's item FW_CFG_KERNEL_SIZE the length, which firmware.c has seen to fit, of FW_CFG_KERNEL_DATA the bytes, to 0:7c00, where PXE puts what it starts.
 *
 * firmware.c makes the two sums right.
 */
#define SELECTOR    0x510
#define DATA        0x511
#define KERNEL_SIZE 0x08
#define KERNEL_DATA 0x11
#define PLACE       0x7c0  /* a segment */
#define PIECE       0x8000 /* bytes, half a segment */
#define PIECE_PARAGRAPHS 0x800

	.section .rodata
	.code16
	.globl netboot_rom, netboot_rom_end, netboot_pnp
	.balign 16
netboot_rom:
	.word 0xaa55
	.byte (netboot_rom_end - netboot_rom) / 512
	jmp init
	.org netboot_rom + 0x18
	.word pci - netboot_rom, netboot_pnp - netboot_rom

	.balign 4
pci:
	.ascii "PCIR"
	.word 0x1011, 0x0009, 0, 0x18
	.byte 0, 0, 0, 2 /* a network controller */
	.word (netboot_rom_end - netboot_rom) / 512, 0
	.byte 0, 0x80    /* for PCs; the last image */
	.word 0

	.balign 16
netboot_pnp:
	.ascii "$PnP"
	.byte 1, 2
	.word 0
	.byte 0, 0 /* the sum */
	.long 0
	.word maker - netboot_rom, product - netboot_rom
	.byte 2, 0, 0, 0x14
	.word 0, 0, boot - netboot_rom, 0, 0

maker:
	.asciz "Verdigris"
product:
	.asciz "network, by iPXE"

/* There is something here to start from. */
init:
	movw $0x20, %ax
	lretw

/* Called by the BIOS, to which the program returns when it has found nothing. */
boot:
	cld
	movw $SELECTOR, %dx
	movw $KERNEL_SIZE, %ax
	outw %ax, %dx
	movw $DATA, %dx
	movw $4, %cx
size:
	inb %dx, %al
	shrl $8, %ebx
	shll $24, %eax
	orl %eax, %ebx
	loop size
	movw $SELECTOR, %dx
	movw $KERNEL_DATA, %ax
	outw %ax, %dx
	movw $DATA, %dx
	movw $PLACE, %ax
piece:
	movw %ax, %es
	xorw %di, %di
	movl $PIECE, %ecx
	cmpl %ecx, %ebx
	ja whole
	movl %ebx, %ecx
whole:
	subl %ecx, %ebx
	rep insb
	addw $PIECE_PARAGRAPHS, %ax
	testl %ebx, %ebx
	jnz piece
	xorw %bx, %bx
	movw %bx, %es
	ljmp $0, $0x7c00

	.balign 512
netboot_rom_end:
	.section .note.GNU-stack, "", @progbits
