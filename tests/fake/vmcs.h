/*
 * The VMCS as an array, for tests of the files of vmx/ that read and write it: the copy of the
 * guest's state is all that there is of it, and nothing has to be synchronized.
 */
#ifndef FAKE_VMCS_H
#define FAKE_VMCS_H

#include <stdint.h>

extern uint64_t vmcs[0x8000]; /* by field */

#endif
