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
uint64_t compat_hypercall(uint64_t control, void *input, void *output);
uint64_t compat_fast_hypercall(uint16_t code, uint64_t input1, uint64_t input2);

uint64_t compat_msr_read(uint32_t msr);
void compat_msr_write(uint32_t msr, uint64_t value);

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

/* The VP that is this CPU. */
uint32_t compat_vp_index(unsigned int cpu);

void compat_eventfd_signal(struct eventfd_ctx *eventfd);

struct mm_struct;
/* The page at this address, of a driver's mmap(), under mmap_lock. -EAGAIN: none is there yet;
 * -EFAULT: it is no such place, or may not be written. */
int compat_device_pfn(struct mm_struct *mm, unsigned long address, uint64_t *pfn);

#endif
