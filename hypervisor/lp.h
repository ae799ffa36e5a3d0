/*
 * Logical processors: what the hypervisor keeps for each, and the boot of the others. The current
 * one is found from the stack pointer, so that neither GS nor a task register is the hypervisor's
 * and both may hold the guest's while it runs.
 *
 * Letters: [I] immutable after boot, [L] own LP only, [a] atomic, [T] under timer_lock.
 */
#ifndef HYPERVISOR_LP_H
#define HYPERVISOR_LP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor/gpa.h"
#include "include/boot/handoff.h"
#include "lib/spinlock.h"

struct partition;
struct timer_node;
struct vcpu;

#define LP_STACK_SIZE 16384
#define LP_ASLEEP     ((struct partition *)1)

struct lp {
	uint32_t index;   /* [I] also the index of the root VP that is bound to it */
	uint32_t apic_id; /* [I] of the machine's APIC */
	bool online;      /* [a] */
	bool nmi_recorded; /* [L] an NMI arrived in the hypervisor, where the vendor cannot hold them back */

	bool machine_check; /* [L] one waits for the root VP */

	/*
	 * The partition whose guest code may be executing here, NULL in the hypervisor, LP_ASLEEP
	 * while it waits for an interrupt. Written around each entry; others read it to know
	 * whether an IPI is needed and when an old translation is out of use.
	 */
	struct partition *guest; /* [a] */
	uint32_t exits;          /* [a] counts up whenever guest becomes NULL */
	struct vcpu *root;       /* [I] */
	struct vcpu *
		current; /* [L] whose state is in the registers: root, or the child that is being dispatched */
	struct vcpu *debug; /* [L] whose DR0 to DR3 are: root, or current */

	struct spinlock timer_lock;
	struct timer_node *timers;  /* [T] timer_queue.h */
	uint64_t hardware_deadline; /* [L] what the APIC timer is set to, HV_NEVER: off */

	/* Level-triggered vectors of the root in the APIC's ISR whose EOI the root has given: ended
	 * when they are topmost. */
	uint32_t eoi_done[8]; /* [L] */

	uint32_t asid_next;       /* [L] next free ASID of this generation; 1 is the root's */
	uint64_t asid_generation; /* [L] no two LPs ever have the same */
	uint64_t host_save_pa;    /* [I] vendor's save area */

	uint64_t
		branches_of; /* [L] the child whose branches the predictors may still know; 0: none */

	struct gpa_recent recent[GPA_RECENT_PAGES]; /* [L] with the memory lock */
	/* A line of its own: see memory_lock.c. */
	bool memory_reading __attribute__((aligned(64))); /* [a] */
} __attribute__((aligned(64)));

union lp_block {
	struct {
		uint8_t stack[LP_STACK_SIZE - sizeof(struct lp)];
		struct lp lp; /* at the top: the stack grows away from it */
	};
	uint8_t bytes[LP_STACK_SIZE];
} __attribute__((aligned(LP_STACK_SIZE)));

extern union lp_block lp_boot_block;
extern struct lp *lps[HANDOFF_MAX_LPS]; /* [I] */
extern uint32_t lp_count;

static inline struct lp *lp_this(void)
{
	uintptr_t sp;

	__asm__("mov %%rsp, %0" : "=r"(sp));
	return &((union lp_block *)(sp & ~(uintptr_t)(LP_STACK_SIZE - 1)))->lp;
}

/* The guest does not execute now: nobody waits for this LP any more. Before any lock is taken. */
static inline void lp_guest_left(struct lp *lp)
{
	__atomic_store_n(&lp->guest, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&lp->exits, lp->exits + 1, __ATOMIC_RELEASE);
}

static inline struct lp *lp_get(uint32_t index)
{
	return lps[index];
}

/* Starts every LP but this one; they come up in lp_main(). Returns when all are online; a silent
 * one stops the machine. */
void lp_start_others(const struct handoff *handoff);
/* The root VPs exist: the others may run theirs. */
void lp_release(void);

#endif
