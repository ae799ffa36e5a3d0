/*
 * What the module takes from the kernel's own Hyper-V code, and every difference between kernel
 * versions.
 *
 * The kernel's Hyper-V headers have the same names as include/hv/, so compat.c alone includes them.
 */
#ifndef ROOT_COMPAT_H
#define ROOT_COMPAT_H

#include <linux/printk.h>
#include <linux/types.h>

#undef pr_fmt
#define pr_fmt(format) "mshv_vd: " format

struct eventfd_ctx;

/* 0, or -ENODEV or -EEXIST when the module has no place in this kernel; says why in the log. */
int compat_probe(void);

/*
 * Hypercalls, by the hypercall page that the kernel has set up. Any context. Input and output are
 * in the direct map, 8-byte aligned, and cross no page. Returns the result word.
 */
u64 compat_hypercall(u64 control, void *input, void *output);
u64 compat_fast_hypercall(u16 code, u64 input1, u64 input2);

u64 compat_msr_read(u32 msr);
void compat_msr_write(u32 msr, u64 value);

/*
 * Whether SINTs need AutoEOI, because the kernel's entry code sends no EOI for the callback vector.
 */
bool compat_auto_eoi(void);

/* The handler of the callback vector, called with interrupts off; NULL takes it away and waits
 * until nobody is in it. */
void compat_set_handler(void (*handler)(void));

/* Before a VP is dispatched: reschedules, handles task work; -EINTR when a signal waits. Cheap when
 * there is nothing to do. */
int compat_guest_work(void);

/* After the last dispatch, before the thread goes back to user space. */
void compat_guest_leave(void);

void compat_eventfd_signal(struct eventfd_ctx *eventfd);

#endif
