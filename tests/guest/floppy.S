/*
 * The first sectors of a floppy disk that a BIOS starts: says so on the BIOS's screen, has it read the second sector,
 * writes there and reads again, plays on a Sound Blaster 16, if there is one, as programs for DOS do, and ends by the port of test images with what
 * it found.
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
	movw $0x0202, %ax	/* read the two behind it */
	movw $0x0003, %cx
	movw $sound, %bx
	call transfer_at
	call sound
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
	movw $0x8000, %bx
/* The same of a sector, at BX. */
transfer_at:
	movb $0, %dh
	movb drive, %dl
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

/*
 * Sound, from here on behind the first two sectors. At 0x20000: 6000 bytes of a ramp, played once by the first channel; at 0x30000: 8000 words
 * in stereo, in two blocks of a channel that begins anew. Each block's end comes by interrupt.
 */
	.set SB, 0x220
	.set ONCE, 6000
	.set ROUND, 8000
sound:
	movw $SB + 6, %dx	/* a reset, and what answers it */
	movb $1, %al
	outb %al, %dx
	movw $200, %cx
1:	inb $0x61, %al
	loop 1b
	xorb %al, %al
	outb %al, %dx
	movw $SB + 0xe, %dx
	inb %dx, %al
	testb $0x80, %al
	jz 9f
	movw $SB + 0xa, %dx
	inb %dx, %al
	cmpb $0xaa, %al
	jne 9f
	movw $found, %si
	call say
	/* Interrupt 5 is vector 13, and let through. */
	cli
	movw $ended, 13 * 4
	movw $0, 13 * 4 + 2
	inb $0x21, %al
	andb $0xdf, %al
	outb %al, $0x21
	sti
	/* Bytes, once. */
	movw $0x2000, %ax
	movw %ax, %es
	xorw %di, %di
2:	movw %di, %ax
	stosb
	cmpw $ONCE, %di
	jb 2b
	movb $5, %al		/* channel 1 stands */
	outb %al, $0x0a
	xorb %al, %al
	outb %al, $0x0c
	movb $0x49, %al		/* single, from memory */
	outb %al, $0x0b
	xorb %al, %al
	outb %al, $0x02
	outb %al, $0x02
	movb $(ONCE - 1) & 0xff, %al
	outb %al, $0x03
	movb $(ONCE - 1) >> 8, %al
	outb %al, $0x03
	movb $2, %al
	outb %al, $0x83
	movb $1, %al
	outb %al, $0x0a
	movw $SB + 0xe, %bp
	movw $once, %si
	call order
	call await
	/* Words, round. */
	movw $0x3000, %ax
	movw %ax, %es
	xorw %di, %di
3:	movw %di, %ax
	imulw $37, %ax, %ax
	stosw
	cmpw $ROUND * 2, %di
	jb 3b
	movb $5, %al		/* channel 5 */
	outb %al, $0xd4
	xorb %al, %al
	outb %al, $0xd8
	movb $0x59, %al		/* the same, and anew at the end */
	outb %al, $0xd6
	xorb %al, %al		/* 0x30000 is word 0x18000: the page has all but the highest 16 bits of it */
	outb %al, $0xc4
	movb $0x80, %al
	outb %al, $0xc4
	movb $(ROUND - 1) & 0xff, %al
	outb %al, $0xc6
	movb $(ROUND - 1) >> 8, %al
	outb %al, $0xc6
	movb $2, %al
	outb %al, $0x8b
	movb $1, %al
	outb %al, $0xd4
	movw $SB + 0xf, %bp
	movw $round, %si
	call order
	call await
	call await
	movw $enough, %si	/* the block that has begun is the last */
	call order
	call await
9:	ret

/* SI: a count, and as many bytes for the DSP. */
order:
	movw $SB + 0xc, %dx
	lodsb
	movzbw %al, %cx
1:	inb %dx, %al
	testb $0x80, %al
	jnz 1b
	lodsb
	outb %al, %dx
	loop 1b
	ret

/* BP: the port that ends the card's interrupt. Waits for one. */
await:
	cli
	cmpb $0, ends
	jne 1f
	sti
	hlt
	jmp await
1:	decb ends
	sti
	ret

ended:
	pushw %ax
	pushw %dx
	movw %bp, %dx
	inb %dx, %al
	incb %cs:ends
	movb $0x20, %al
	outb %al, $0x20
	popw %dx
	popw %ax
	iretw

ends:	.byte 0
/* 22222 bytes a second, by the time constant: 8 bits, once. As many frames: 16 bits with a sign, stereo, in blocks of half. */
once:	.byte 6, 0xd1, 0x40, 256 - 45, 0x14, (ONCE - 1) & 0xff, (ONCE - 1) >> 8
round:	.byte 7, 0x41, 22222 >> 8, 22222 & 0xff, 0xb6, 0x30, (ROUND / 2 - 1) & 0xff, (ROUND / 2 - 1) >> 8
enough:	.byte 1, 0xd9
found:	.asciz "floppy: a sound card\r\n"
	.org 2048
