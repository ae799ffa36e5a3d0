/*
 * The root module: partitions and VPs of the hypervisor as file descriptors, and what the module's
 * files share.
 *
 * Life: a partition lives as long as one descriptor of it or of one of its VPs; a VP as long as its
 * partition. Everything that a partition holds is given back in one place, partition_destroy().
 *
 * Locks, in the order in which they are taken:
 *   1. partition->lock	[P]  around every ioctl of the partition
 *   2. vp->lock	[V]  around every ioctl of the VP; RUN_VP holds it while the VP runs. Never
 *			     taken with [P] held, nor the reverse: an ioctl takes one of the two
 *   3. wqh->lock of an eventfd, 4. partition->irqfds_lock [Q]
 * The interrupt handler (synic_take.c) takes none: it finds partitions, VPs and ports under RCU,
 * and whoever takes one out of reach waits for a grace period before freeing it.
 *
 * Letters in structs: [I] immutable once visible, [R] read under RCU, written under [P]; the rest
 * as above.
 */
#ifndef ROOT_ROOT_H
#define ROOT_ROOT_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "compat.h"
#include "hv/hypercall.h"
#include "hv/intercept.h"
#include "hv/interrupt.h"
#include "hv/memory.h"
#include "hv/partition.h"
#include "hv/registers.h"
#include "hv/status.h"
#include "hv/synic.h"
#include "hv/vp.h"
#include "root/ioctl.h"

#define MAX_VPS  256
#define MAX_GSIS 4096

/* Event flags of connections that are bound to eventfds. */
#define SIGNAL_SINT (HV_SYNIC_DOORBELL_SINT_INDEX + 1)

/* Two pages in the direct map, for one hypercall at a time. */
struct hvcall_pages {
	void *input;
	void *output;
};

struct eventfd_ctx;
struct irq_routing;

struct partition {
	uint64_t id; /* [I] */
	struct kref ref;
	struct mutex lock;
	bool initialized;          /* [P] */
	struct hvcall_pages pages; /* [P] */
	struct list_head regions;  /* [P] region.c */
	struct list_head ports;    /* [P] port.c */
	uint32_t flag_count;       /* [P] of them, those that have an event flag */
	struct vp *vps[MAX_VPS];   /* [R] */
	struct irq_routing __rcu *routing;
	spinlock_t irqfds_lock;
	struct list_head irqfds;    /* [Q] */
	struct list_head resampled; /* [R], but written under [Q] */
	bool reports_eoi;           /* [P] the hypervisor was asked to */
	struct completion async;    /* a call that had returned HV_STATUS_CALL_PENDING */
	hv_status_t async_status;
};

/* The operands of HvCallDispatchVp, in a block of their own that is filled once. */
struct dispatch {
	struct hv_input_dispatch_vp input;
	struct hv_output_dispatch_vp output;
};

struct vp {
	struct partition *partition; /* [I] held by the VP's file, not by this pointer */
	uint32_t index;              /* [I] */
	struct mutex lock;
	struct hvcall_pages pages; /* [V] */
	struct dispatch *dispatch; /* [V] */
	bool intercepted;          /* [V] the hypervisor waits for the answer to an intercept */
	/* [I] State pages, in memory of ours that the hypervisor overlays. */
	struct hv_message *intercept;
	struct hv_vp_register_page *registers;
	bool kicked; /* set by the interrupt handler, taken back by the runner */
	/* Vectors of level-triggered interrupts that the guest has ended. Set by the interrupt
	 * handler, bits first; taken back by the runner, `ended` first. */
	bool ended;
	DECLARE_BITMAP(ended_vectors, 256);
	/* [V] In jiffies: when to let user space look for a kick that came between two calls; 0:
	 * never. */
	unsigned long look_at;
	wait_queue_head_t wait; /* the runner of a blocked VP */
};

/* What the module holds, for /sys/module/mshv_vd/parameters. */
struct root_counts {
	atomic_long_t partitions;
	atomic_long_t deposited; /* pages */
	atomic_long_t pinned;    /* pages */
};

extern struct root_counts root_counts;

/* Off: the device is no more than upstream's, so that what programs do without can be tested. */
extern bool root_extensions;

/* status.c */
int status_to_errno(hv_status_t status);

/* hvcall.c: hypercalls that the module makes; they return -errno, and deposit what the hypervisor
 * lacks. */
int hvcall_pages_alloc(struct hvcall_pages *pages);
void hvcall_pages_free(struct hvcall_pages *pages);
hv_status_t hvcall_simple(uint32_t code, void *input, void *output);
hv_status_t hvcall_fast(uint32_t code, uint64_t input1, uint64_t input2);
/* With a variable header of that many bytes behind the fixed one. */
hv_status_t hvcall_variable(uint32_t code, uint32_t variable_bytes, void *input, void *output);
/* From rep *done on, to the end or to a failure; *done is where it stopped. */
hv_status_t hvcall_rep(uint32_t code, uint32_t reps, uint32_t *done, void *input, void *output);

int hvcall_create_partition(struct hvcall_pages *pages,
			    const struct hv_input_create_partition *arguments, uint64_t *id);
int hvcall_initialize_partition(uint64_t id);
int hvcall_finalize_partition(uint64_t id);
void hvcall_delete_partition(uint64_t id);
int hvcall_get_property(struct hvcall_pages *pages, uint64_t id, uint32_t code, uint64_t *value);
int hvcall_create_vp(struct hvcall_pages *pages, uint64_t id, uint32_t vp_index);
void hvcall_delete_vp(uint64_t id, uint32_t vp_index);
int hvcall_map_state_page(struct hvcall_pages *pages, uint64_t id, uint32_t vp_index, uint32_t type,
			  void *page);
int hvcall_unmap_state_page(struct hvcall_pages *pages, uint64_t id, uint32_t vp_index,
			    uint32_t type);
int hvcall_set_register(struct hvcall_pages *pages, uint64_t id, uint32_t vp_index, uint32_t name,
			uint64_t value);
int hvcall_install_intercept(struct hvcall_pages *pages, uint64_t id, uint32_t type,
			     uint32_t access);

/* deposit.c */
int deposit(uint64_t partition_id, uint32_t count);
void withdraw_all(uint64_t partition_id);
/* After a call: 1 if it lacked memory, has it now and can be made again; 0 for success; else
 * -errno. *tries starts at 0. */
int deposit_retry(uint64_t partition_id, hv_status_t status, uint32_t *tries);

/* passthru.c: MSHV_ROOT_HVCALL. partition NULL: on the device; pages then NULL too. may_wait: [P]
 * is held. */
long passthru_hvcall(struct partition *partition, struct hvcall_pages *pages, bool may_wait,
		     void __user *argument);

/* partition.c */
long partition_create(void __user *argument);
struct partition *partition_find(uint64_t id); /* under RCU */
struct partition *partition_get(struct partition *partition);
void partition_put(struct partition *partition);
void partitions_kick(void);

/* vp.c, run.c, state.c */
long vp_create(struct partition *partition, void __user *argument);
void vp_destroy(struct vp *vp);
void vp_kick(struct vp *vp);                          /* any context: the VP can be dispatched */
void vp_end_interrupt(struct vp *vp, uint8_t vector); /* any context: for user space to hear of */
int vp_run(struct vp *vp);                            /* to a message, in its page */
int vp_copy_message(const struct vp *vp, void __user *user);
long vp_get_set_state(struct vp *vp, struct mshv_get_set_vp_state __user *argument, bool set);

/* region.c, access.c */
long region_set(struct partition *partition, void __user *argument);
void regions_release(struct partition *partition, bool unmapped);
long access_bitmap(struct partition *partition, void __user *argument);

/* port.c, ioeventfd.c. A port of ours, and a child's connection to it, that signal an eventfd. */
int port_attach(struct partition *partition, const struct hv_connection_info *info,
		uint32_t connection_id, struct eventfd_ctx *eventfd);
int port_detach(struct partition *partition, const struct hv_connection_info *info,
		uint32_t connection_id, struct eventfd_ctx *eventfd);
void ports_release(struct partition *partition);
void port_ring(uint32_t port_id); /* interrupt context: a doorbell port's id came out of the ring */
void port_signal(uint32_t flag);  /* interrupt context: an event flag of SIGNAL_SINT was set */
long ioeventfd_set(struct partition *partition, void __user *argument);
long signal_eventfd_set(struct partition *partition, void __user *argument);

/* routing.c, irqfd.c */
long routing_set(struct partition *partition, void __user *argument);
long irqfd_set(struct partition *partition, void __user *argument);
void irqfds_release(struct partition *partition);
void irqfd_acknowledge(struct partition *partition, uint32_t vector); /* interrupt context */
int irqfd_init(void);
void irqfd_exit(void);

/* iommu.c; after synic_init(), before synic_exit() */
int iommu_init_root(void);
void iommu_exit_root(void);

/* synic.c */
int synic_init(void);
void synic_exit(void);
void *synic_hvcall_page(void); /* this CPU's, with interrupts off */

#endif
