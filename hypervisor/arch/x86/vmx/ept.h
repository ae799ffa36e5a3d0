/*
 * What VMX has to decide about second-level tables; see ept.c.
 */
#ifndef VMX_EPT_H
#define VMX_EPT_H

#include <stdbool.h>

/* Set before the first table is made: large leaves are not executable (PTE_SOFT_SPLIT). */
extern bool ept_splits_code;
/*
 * Also: the processor does not set A and D. Every leaf counts as accessed, and one that can be
 * written and is not dirty is PTE_SOFT_WATCH.
 */
extern bool ept_watches_writes;

#endif
