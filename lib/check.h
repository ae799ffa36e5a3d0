/*
 * CHECK: our own fault, never the guest's. It stops the machine (or the test) with the place.
 */
#ifndef LIB_CHECK_H
#define LIB_CHECK_H

_Noreturn void check_failed(const char *file, int line, const char *what);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0))                                             \
			check_failed(__FILE__, __LINE__, #condition);                              \
	} while (0)

#define MUST_CHECK __attribute__((warn_unused_result))

/* For a large constant that is all zeros: it takes no bytes in the program's file, and no memory
 * for what is not looked at. */
#define IN_BSS __attribute__((section(".bss.zeros")))

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
