/*
 * What is true of exceptions (lib/exception.h) on every processor, whoever injects them (Intel SDM
 * vol. 3, 6.3 to 6.15 and 17.3.1; APM vol. 2, 8.2).
 */
#ifndef ARCH_EXCEPTION_H
#define ARCH_EXCEPTION_H

#include <stdbool.h>

#include "hypervisor/arch/x86/cpu.h"

#define EXC_SHUTDOWN 32 /* none: what a third exception is */

/* INT3's and INTO's: the handler returns behind the instruction. */
static inline bool exception_is_software(unsigned int vector)
{
	return vector == EXC_BP || vector == EXC_OF;
}

/*
 * A fault pushes flags with RF set, so that its instruction does not meet its own breakpoint again.
 * #DB, whatever its cause, pushes RF as it is; the rest are traps and aborts.
 */
static inline bool exception_sets_rf(unsigned int vector)
{
	return vector != EXC_DB && vector != EXC_DF && vector != EXC_MC &&
	       !exception_is_software(vector);
}

static inline bool exception_contributory(unsigned int vector)
{
	return vector == EXC_DE || (vector >= EXC_TS && vector <= EXC_GP);
}

/* What the guest gets when a second exception comes while the first is being delivered (SDM vol. 3,
 * tables 6-4 and 6-5). */
static inline unsigned int exception_merge(unsigned int first, unsigned int second)
{
	if (!exception_contributory(second) && second != EXC_PF) {
		return second;
	}
	if (first == EXC_DF) {
		return EXC_SHUTDOWN;
	}
	if (first == EXC_PF || (exception_contributory(first) && second != EXC_PF)) {
		return EXC_DF;
	}
	return second;
}

#endif
