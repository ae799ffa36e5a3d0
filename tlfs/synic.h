/*
 * What the SynIC, its timers and its event flags share. Within the core only.
 */
#ifndef TLFS_SYNIC_H
#define TLFS_SYNIC_H

#include "tlfs/hv.h"

/* Messages that can wait in a VP's queues together: its page of buffers. */
#define SYNIC_BUFFERS (PAGE_SIZE / sizeof(struct synic_message))

#define SYNIC_WAITING_TIMER_SHIFT 16 /* bit of synic.waiting for synthetic timer 0 */

/* The SINT's interrupt, unless it is masked or polled. Any context. */
void synic_interrupt(struct vp *vp, uint32_t sint);

/* Those of the SINTs in which a message would fit now. For the others the guest will give an
 * EOM. */
uint16_t synic_free_sints(struct vp *vp, uint16_t wanted);

#endif
