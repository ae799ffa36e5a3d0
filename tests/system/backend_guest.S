# A guest in the middle of its work, for backend_functions: 32-bit code at 0x1000 without paging. It prepares vector registers,
# SynIC, TSC page and timers and says 0x41 on port 0x80; the host posts a message into SINT 2. Then it starts a timer for SINT 2, EBX units of 100 ns
# from now, whose message finds the slot full, and a periodic one for SINT 3, and says 0x42; there it is saved. What goes on behind that
# looks at everything, says 0x5a, and 0xe0 and more where something is not as it was.

#define GUEST_OS_ID    0x40000000
#define HYPERCALL      0x40000001
#define TIME_REF_COUNT 0x40000020
#define REFERENCE_TSC  0x40000021
#define SCONTROL       0x40000080
#define SIMP           0x40000083
#define EOM            0x40000084
#define SINT2          0x40000092
#define SINT3          0x40000093
#define STIMER0_CONFIG 0x400000b0
#define STIMER0_COUNT  0x400000b1
#define STIMER1_CONFIG 0x400000b2
#define STIMER1_COUNT  0x400000b3

#define MESSAGES  0x7000
#define SLOT2     (MESSAGES + 2 * 256)
#define SLOT3     (MESSAGES + 3 * 256)
#define TSC_PAGE  0x9000
#define POLLED    0x40040 /* a SINT that raises no interrupt */
#define EXPIRED   0x80000010
#define TEST_TYPE 7
#define PERIOD    200000

	.section .rodata
	.code32
	.globl backend_guest, backend_guest_end

	.macro	write_msr msr, high, low
	mov	$\msr, %ecx
	mov	\high, %edx
	mov	\low, %eax
	wrmsr
	.endm

	.macro	say value
	mov	$\value, %al
	out	%al, $0x80
	.endm

	.macro	expect condition, code
	j\condition	1f
	say	\code
1:
	.endm

	.macro	address label, register
	lea	0x1000 + \label - backend_guest, \register
	.endm

backend_guest:
	mov	%cr4, %eax
	or	$0x600, %eax		# FXSAVE, SIMD exceptions
	mov	%eax, %cr4
	fninit
	fldpi
	fldl2e
	address	constant, %esi
	movdqu	(%esi), %xmm5
	write_msr GUEST_OS_ID, $0x8100, $1
	write_msr HYPERCALL, $0, $0x6001
	write_msr REFERENCE_TSC, $0, $(TSC_PAGE | 1)
	write_msr SIMP, $0, $(MESSAGES | 1)
	write_msr SINT2, $0, $POLLED
	write_msr SINT3, $0, $(POLLED + 1)
	write_msr SCONTROL, $0, $1
	say	0x41

	mov	$TIME_REF_COUNT, %ecx
	rdmsr
	add	%ebx, %eax
	adc	$0, %edx
	address	due, %edi
	mov	%eax, (%edi)
	mov	%edx, 4(%edi)
	mov	$STIMER0_COUNT, %ecx
	wrmsr
	write_msr STIMER0_CONFIG, $0, $0x20001	# enabled, SINT 2
	write_msr STIMER1_COUNT, $0, $PERIOD
	write_msr STIMER1_CONFIG, $0, $0x30003	# enabled, periodic, SINT 3
	mov	$TIME_REF_COUNT, %ecx
	rdmsr
	address	before, %edi
	mov	%eax, (%edi)
	mov	%edx, 4(%edi)
	rdtsc
	mov	%eax, 8(%edi)
	mov	%edx, 12(%edi)
	mov	$0x12345678, %ebp
	say	0x42

	cmp	$0x12345678, %ebp
	expect	e, 0xe0
	address	constant, %esi
	movdqu	(%esi), %xmm0
	pcmpeqb	%xmm5, %xmm0
	pmovmskb %xmm0, %eax
	cmp	$0xffff, %eax
	expect	e, 0xe1
	fldl2e
	fcomip	%st(1), %st
	expect	e, 0xe2
	fstp	%st
	fldpi
	fcomip	%st(1), %st
	expect	e, 0xe3

	# No clock goes back, and the TSC page is valid again.
	address	before, %edi
	mov	$TIME_REF_COUNT, %ecx
	rdmsr
	sub	(%edi), %eax
	sbb	4(%edi), %edx
	expect	ns, 0xe4
	rdtsc
	sub	8(%edi), %eax
	sbb	12(%edi), %edx
	expect	ns, 0xe5
	cmpl	$0, TSC_PAGE
	expect	ne, 0xe6

	# The host's message, then the timer's, with the time that it was for.
	cmpl	$TEST_TYPE, SLOT2
	expect	e, 0xe7
	cmpl	$0x4d534721, SLOT2 + 16
	expect	e, 0xe8
	movl	$0, SLOT2
	write_msr EOM, $0, $0
1:	pause
	cmpl	$EXPIRED, SLOT2
	jne	1b
	address	due, %edi
	mov	SLOT2 + 24, %eax
	mov	SLOT2 + 28, %edx
	cmp	(%edi), %eax
	expect	e, 0xe9
	cmp	4(%edi), %edx
	expect	e, 0xea

	# The periodic one goes on.
	mov	$3, %ebx
2:	pause
	cmpl	$EXPIRED, SLOT3
	jne	2b
	movl	$0, SLOT3
	write_msr EOM, $0, $0
	dec	%ebx
	jnz	2b
	say	0x5a
	hlt

	.balign	16
constant:
	.quad	0x0123456789abcdef, 0xfedcba9876543210
due:
	.quad	0
before:
	.quad	0, 0
backend_guest_end:
	.section .note.GNU-stack, "", @progbits
