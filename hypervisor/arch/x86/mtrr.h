/*
 * Memory types are set per LP and must be the same on all (Intel SDM vol. 3, "MTRR Considerations
 * in MP Systems"; AMD APM vol. 2, 7.7). Firmware that starts no other processor has set those of
 * the boot LP alone; and what the root writes to them is dropped, so it cannot do it either.
 */
#ifndef ARCH_MTRR_H
#define ARCH_MTRR_H

void mtrr_boot(void);    /* by the boot LP: what the others shall have */
void mtrr_lp_init(void); /* by each other LP, interrupts off: sets what differs */

#endif
