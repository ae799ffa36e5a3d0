/*
 * The first sector of a floppy disk that a BIOS starts: shows text in mode 3, then 320 by 200 pixels in mode 13h, each until a key is pressed;
 * tells COM1 which, past the BIOS. Ends by the port of test images.
 */
	.code16
	.text
	.globl start
start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %ss
	movw $0x7c00, %sp
	sti
	cld
	movw $0x0003, %ax
	int $0x10
	/*
	 * Characters in all colours: 2000 cells, each by its number. Not those from 0xB0 to 0xBF, whose ninth dot a VGA leaves empty and QEMU
	 * does not.
	 */
	movw $0xb800, %ax
	movw %ax, %es
	xorw %di, %di
	xorw %bx, %bx
1:	movb %bl, %al
	movb %bl, %ah
	addb %bh, %ah
	andb $0x7f, %ah		/* none blinks */
	movb %al, %cl
	andb $0xf0, %cl
	cmpb $0xb0, %cl
	jne 2f
	xorb $0x80, %al
2:
	stosw
	incw %bx
	cmpw $2000, %bx
	jb 1b
	movw $0x0200, %bp	/* the cursor, where it is in no one's way: off */
	movb $0x01, %ah
	movw $0x2000, %cx
	int $0x10
	movb $'3', %bl
	call shown
	movw $0x0013, %ax
	int $0x10
	movw $0xa000, %ax
	movw %ax, %es
	xorw %di, %di
	/* The sum of both coordinates, and a frame of white. */
	xorw %dx, %dx
10:	xorw %cx, %cx
3:	movw %cx, %ax
	addw %dx, %ax
	testw %cx, %cx
	jz 4f
	cmpw $319, %cx
	je 4f
	testw %dx, %dx
	jz 4f
	cmpw $199, %dx
	jne 5f
4:	movb $15, %al
5:	stosb
	incw %cx
	cmpw $320, %cx
	jb 3b
	incw %dx
	cmpw $200, %dx
	jb 10b
	movb $'d', %bl
	call shown
	movw $0xf4, %dx
	movb $0, %al
	outb %al, %dx
6:	hlt
	jmp 6b

/* BL: a letter for COM1, behind a word for it; then a key is waited for. */
shown:
	movw $word, %si
7:	lodsb
	testb %al, %al
	jz 8f
	call put
	jmp 7b
8:	movb %bl, %al
	call put
	movb $'\n', %al
	call put
	movb $0, %ah
	int $0x16
	ret
put:
	movb %al, %ah
	movw $0x3fd, %dx
9:	inb %dx, %al
	testb $0x20, %al
	jz 9b
	movb %ah, %al
	movw $0x3f8, %dx
	outb %al, %dx
	ret

word:	.asciz "\nscreen: "

	. = start + 510
	.word 0xaa55
