/*
 * What VMX has to decide about second-level tables; see ept.c.
 */
#ifndef VMX_EPT_H
#define VMX_EPT_H

#include <stdbool.h>

/* Set before the first table is made: large leaves are not executable (PTE_SOFT_SPLIT). */
extern bool ept_splits_code;

#endif
