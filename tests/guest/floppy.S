/*
 * The first two sectors of a floppy disk that a BIOS starts: says so on the BIOS's screen, has it read the second sector,
 * writes there and reads again, and ends by the port of test images with what it found.
 */
	.code16
	.text
	.globl start
start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	sti
	cld
	movb %dl, drive
	movw $greeting, %si
	call say
	movw $0x0201, %ax	/* read one sector */
	call transfer
	movw $0x8000, %si
	call say
	movb $'W', 0x8000
	movw $0x0301, %ax	/* write it back, changed */
	call transfer
	movb $0, 0x8000
	movw $0x0201, %ax
	call transfer
	movw $0x8000, %si
	call say
	movb $21, %al
	jmp end
failed:
	movw $complaint, %si
	call say
	movb $1, %al
end:
	movw $0xf4, %dx
	outb %al, %dx
1:	hlt
	jmp 1b

/* AX: function and count. Sector 2 of the first track, at 0x8000. */
transfer:
	movw $0x0002, %cx
	movb $0, %dh
	movb drive, %dl
	movw $0x8000, %bx
	int $0x13
	jc failed
	ret

/* SI: text with a zero behind it. */
say:
	lodsb
	testb %al, %al
	jz 1f
	movb $0x0e, %ah
	movw $7, %bx
	int $0x10
	jmp say
1:	ret

drive:	.byte 0
greeting:
	.asciz "floppy: starts\r\n"
complaint:
	.asciz "floppy: the BIOS does not read or write\r\n"

	.org 510
	.word 0xaa55
	.asciz "second sector\r\n"
	.org 1024
