/*
 * The image's header and first instructions; the state at entry is described in include/boot/handoff.h.
 */
#include "include/boot/handoff.h"

	.section .image_header, "a"
	.quad HV_IMAGE_MAGIC
	.long image_vendor /* run.S of svm/ or vmx/ */
	.long 0
	.quad image_entry

	.text
	.globl image_entry
image_entry:
	lea lp_boot_block(%rip), %rsp
	add boot_stack_offset(%rip), %rsp
	xor %ebp, %ebp
	cld
	call hv_main
	ud2
	.section .note.GNU-stack, "", @progbits
