/*
 * The exceptions of a processor by their vectors (Intel SDM vol. 3, table 6-1; APM vol. 2, table
 * 8-1), for who injects them and for who asks for it.
 */
#ifndef LIB_EXCEPTION_H
#define LIB_EXCEPTION_H

#include <stdbool.h>

enum exception {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_UD = 6,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_SX = 30,
};

/* It pushes an error code, but in real mode. */
static inline bool exception_has_error(unsigned int vector)
{
	return vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC;
}

#endif
