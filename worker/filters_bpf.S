/* What filters.c has written, see filters.h. */
	.section .rodata
	.balign	8

	.macro	filter name, path
	.globl	filter_\name, filter_\name\()_end
filter_\name:
	.incbin	"\path"
filter_\name\()_end:
	.endm

	filter	worker,    "build/worker/worker.bpf"
	filter	connector, "build/worker/connector.bpf"

	.section .note.GNU-stack, "", @progbits
