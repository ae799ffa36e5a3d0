/*
 * Runs a function as an LP does: on its stack, from which lp_this() finds the LP. One thread at a
 * time may be an LP.
 */
#ifndef FAKE_ON_LP_H
#define FAKE_ON_LP_H

#include <stdint.h>

#include "hypervisor/lp.h"

/* Defines the blocks of four LPs. */
#define ON_LP_BLOCKS                                                                               \
	static union lp_block blocks[4];                                                           \
	struct lp *lps[HANDOFF_MAX_LPS] = {&blocks[0].lp, &blocks[1].lp, &blocks[2].lp,            \
					   &blocks[3].lp}

static inline void on_lp(uint32_t index, void (*function)(void *argument), void *argument)
{
	/* Below the block's struct lp, aligned as before a call. */
	uintptr_t stack = (uintptr_t)lp_get(index) & ~(uintptr_t)15;

	__asm__ volatile("mov %%rsp, %%rbx\n"
			 "	mov %[stack], %%rsp\n"
			 "	call *%[function]\n"
			 "	mov %%rbx, %%rsp\n"
			 : "+D"(argument), [stack] "+r"(stack), [function] "+r"(function)
			 :
			 : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory",
			   "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

#endif
