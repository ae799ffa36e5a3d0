/*
 * The core: partitions and virtual processors as the TLFS describes them, with no hardware in it.
 * plat.h is what it needs from its home; this header is what a home calls, and what the core's
 * files share.
 *
 * Locks, in the order in which they are taken (a later one may be taken while an earlier one is
 * held, never the reverse):
 *   0.      the lock of port.c            binds ports and connections of different partitions
 *   1. [V]  vp->lock of a child VP        the LP that runs it has it; see "Owner" below
 *   2. [P]  partition->lock               of two: the parent's first, else the lower id's
 *   3. [S]  vp->synic.lock of a child VP  one at a time
 *   4. [N]  vp->notify_lock of a root VP  one at a time
 *   5. [S]  vp->synic.lock of a root VP   one at a time
 *   6.      locks of the partition table  leaves
 *   7.      the home's memory lock        inside plat_* only
 * A root VP's lock is held by its LP from boot on, for ever.
 *
 * Owner of a VP: who holds vp->lock. Everything in struct vp marked [V] is the owner's alone.
 * Others reach a VP by lapic_post() and vp_post_event(), which are lock-free, and by the SynIC
 * under [S].
 *
 * Letters: [I] immutable once visible, [a] atomic, the rest as above.
 */
#ifndef TLFS_HV_H
#define TLFS_HV_H

#include "include/hv/cpuid.h"
#include "include/hv/hypercall.h"
#include "include/hv/intercept.h"
#include "include/hv/interrupt.h"
#include "include/hv/memory.h"
#include "include/hv/msr.h"
#include "include/hv/partition.h"
#include "include/hv/registers.h"
#include "include/hv/status.h"
#include "include/hv/synic.h"
#include "lib/spinlock.h"
#include "tlfs/plat.h"

#define HV_MAX_VPS        256
#define HV_MAX_PARTITIONS 1024
#define HV_ROOT_PARTITION 1ull
#define HV_APIC_BUS_HZ    200000000ull /* what every guest is told, whatever the machine has */
#define HV_REF_HZ         10000000ull
#define HV_STIMER_COUNT   4
#define HV_SINT_COUNT     16
#define HV_NEVER          UINT64_MAX

/* ---- local APIC (lapic*.c; Intel SDM vol. 3 "APIC", AMD APM vol. 2 ch. 16) ---- */

struct lapic {
	uint64_t base; /* [V] IA32_APIC_BASE: enable, x2APIC, BSP bits */
	uint32_t id;   /* [V] of the xAPIC; the x2APIC's is vp->apic_id */
	uint32_t tpr, ldr, dfr, svr, esr, esr_pending; /* [V] */
	uint32_t isr[8], tmr[8], irr[8];               /* [V] 256 bits each */
	uint32_t isr_words, irr_words; /* [V] bit n: word n is not 0; spares the scan */
	/* [V] level-triggered vectors that were lost: their ends are owed; lapic_end_lost() */
	uint32_t lost[8];
	bool eoi_assist;      /* [V] the assist page says: no EOI for the highest ISR vector */
	uint32_t auto_eoi[8]; /* [V] vectors taken without entering the ISR (SINT AutoEOI) */
	uint32_t lvt_timer, lvt_thermal, lvt_pmc, lvt_lint[2], lvt_error, lvt_cmci; /* [V] */
	uint64_t icr;                                                               /* [V] */
	uint32_t timer_initial, timer_divide;                                       /* [V] */
	uint64_t timer_start_tsc, timer_deadline_tsc; /* [V] HV_NEVER: off */

	/*
	 * Posted by others [a]; the owner moves them to the IRR on VP_EVENT_INTERRUPT. Written in
	 * the order: trigger mode (1 level), vector, and the bit of the word that may have some.
	 */
	uint32_t post_tmr[8], post[8], post_words;
};

/* ---- synthetic interrupt controller (synic.c, event.c) ---- */

/* Messages that wait for their slot. */
struct synic_message {
	struct synic_message *next;
	struct hv_message message;
};

struct synic {
	struct spinlock lock;
	uint64_t scontrol, siefp, simp, sirbp; /* [S] MSR values */
	uint64_t sint[HV_SINT_COUNT];          /* [S] */
	void *message_page;                    /* [I] overlay pages, there whether enabled or not */
	void *event_page;                      /* [I] */
	void *ring_page;                       /* [I] SIRBP; root VPs only, else NULL */
	/* [S] the next entry that doorbell.c writes; 0 only after a reset, as the reader's tail */
	uint8_t ring_head[HV_SINT_COUNT];
	struct synic_message *queue[HV_SINT_COUNT]; /* [S] head: oldest */
	struct synic_message *free;                 /* [S] buffers of no queue */
	void *buffer_page;                          /* [I] where the buffers are */
	uint32_t free_count;                        /* [S] */
	uint32_t waiting; /* [a] 15:0 the SINT has a queue; 19:16 the timer found its slot full */
};

struct stimer {
	uint64_t config, count; /* [V] MSR values */
	uint64_t next_100ns;    /* [V] expiry in reference time; HV_NEVER: not armed */
	uint64_t expired_100ns; /* [V] last expiry */
	bool message_pending;   /* [V] expired, its message found the slot full */
};

/* ---- virtual processor (vp.c) ---- */

/* Bits of vp->events. */
enum vp_event {
	VP_EVENT_INTERRUPT = 1u << 0, /* lapic.post has bits */
	VP_EVENT_NMI = 1u << 1,
	VP_EVENT_INIT = 1u << 2,
	VP_EVENT_SIPI = 1u << 3,    /* vector in vp->sipi_vector */
	VP_EVENT_TIMER = 1u << 4,   /* the deadline passed */
	VP_EVENT_SYNIC = 1u << 5,   /* a message may fit now, or a timer's must be retried */
	VP_EVENT_TLB = 1u << 6,     /* flush before entry */
	VP_EVENT_EXTINT = 1u << 7,  /* a PIC's vector, the machine's or AssertVirtualInterrupt's */
	VP_EVENT_SUSPEND = 1u << 8, /* suspend bits changed: leave the guest and look */
	VP_EVENT_RELOAD = 1u << 9,  /* somebody waits for vp->lock: leave plat_vp_dispatch, READY */
};

enum vp_activity {
	VP_ACTIVE,
	VP_HALTED,    /* HLT or guest idle: until an interrupt or NMI */
	VP_WAIT_SIPI, /* after INIT of an application processor */
};

/* Bits of vp->suspend; any of them keeps the VP from running. */
enum vp_suspend {
	VP_SUSPEND_EXPLICIT = 1u << 0,  /* HV_REGISTER_EXPLICIT_SUSPEND */
	VP_SUSPEND_INTERCEPT = 1u << 1, /* HV_REGISTER_INTERCEPT_SUSPEND: a message is there */
	VP_SUSPEND_DISPATCH = 1u << 2,  /* HV_REGISTER_DISPATCH_SUSPEND */
};

struct vp {
	struct partition *partition; /* [I] */
	uint32_t index;              /* [I] */
	uint32_t apic_id;            /* [a] x2APIC id */
	struct spinlock lock;
	void *home; /* [I] plat's part */

	uint32_t events;           /* [a] enum vp_event */
	uint32_t suspend;          /* [a] enum vp_suspend */
	uint8_t sipi_vector;       /* [a] */
	enum vp_activity activity; /* [V] */
	bool spun;                 /* [V] it gave its turn up, since it waits for another VP */
	bool halt_masked;          /* [V] halted with interrupts masked: only NMI, INIT wake it */
	bool idle; /* [V] halted by GUEST_IDLE: an interrupt wakes it that it cannot take yet, too */
	uint8_t nmi_pending; /* [V] how many wait: see vp.c */
	uint32_t nmi_posted; /* [a] how many came since the owner looked */
	bool extint_pending; /* [V] extint has bits */
	uint32_t extint[8];  /* [a] vectors that a PIC has given, none of which is taken */

	/*
	 * What the root's scheduler knows. root_signalled [a]: it will dispatch this VP, or does so
	 * now, without being told again: set by the message and while dispatched; cleared when
	 * DispatchVp returns BLOCKED.
	 */
	bool root_signalled;
	uint64_t root_signal_count; /* [a] messages sent: HV_REGISTER_VP_ROOT_SIGNAL_COUNT */
	uint32_t last_root_vp;      /* [a] dispatched it last: its SINT0 gets the messages */

	/* What notify.c has to tell; [N] of the root VP in whose queue it is, or its own. */
	bool notify_signal;     /* to be named in a signal message */
	uint32_t notify_eoi[8]; /* vectors that the guest ended; of a root VP, in [0]: its SINTs */
	struct vp *notify_target; /* [a] the root VP in whose queue it is; NULL: in none */
	struct vp *notify_next, **notify_link; /* and what points to it */
	/* Of a root VP: children that wait for its SINT0, oldest first, and the last one's link. */
	struct spinlock notify_lock;
	struct vp *notify_queue, **notify_end;

	/* Registers of the parent, of the same names. */
	uint64_t pending_interruption;                          /* [V] injected first */
	union hv_register_value pending_event0, pending_event1; /* [V] */
	uint64_t deliverability_notifications;                  /* [V] */

	uint64_t tsc_offset;       /* [V] guest TSC = plat_tsc() + offset */
	uint64_t tsc_adjust;       /* [V] IA32_TSC_ADJUST */
	uint64_t tsc_deadline_msr; /* [V] IA32_TSC_DEADLINE */
	/*
	 * Cycles in the guest and in what is done for it (HV_X64_MSR_VP_RUNTIME), and since when
	 * more are to be added, 0: it does not run; of a root VP also those of what it dispatched.
	 */
	uint64_t runtime_tsc, running_since, children_tsc; /* [V] */
	uint64_t vp_assist;                                /* [V] MSR value */
	/* [V] kept for the guest, without effect */
	uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_var[16], misc_enable;

	struct lapic lapic;
	struct synic synic;
	struct stimer stimers[HV_STIMER_COUNT];

	/* Pages from the pool; [I]. */
	void *hypercall_input, *hypercall_output; /* copies of what a call reads and writes; [V] */
	void *vp_assist_page;
	struct hv_message *intercept_page; /* state page: the VP's last intercept */
	void *register_page;               /* state page */
	uint64_t *stats_page;              /* HV_STATS_OBJECT_VP */

	/* Page numbers where the parent sees pages, HV_NEVER: nowhere; [P] of the parent. */
	uint64_t intercept_page_gpn, register_page_gpn;
	uint64_t stats_gpn[2]; /* by area: self, parent */

	/* Root VPs: HV_STATS_OBJECT_LOGICAL_PROCESSOR, made when it is first wanted; [P]. */
	uint64_t *lp_stats_page;
	uint64_t lp_stats_gpn[2];
};

/* ---- partition (partition.c) ---- */

enum partition_state {
	PARTITION_FREE,
	PARTITION_CREATED,     /* properties may be set, memory deposited */
	PARTITION_INITIALIZED, /* VPs and memory may be added, VPs run */
	PARTITION_FINALIZING,  /* what it has is being taken down, in several steps */
	PARTITION_FINALIZED,   /* only free pages are left: to be withdrawn, then deleted */
};

struct cpuid_override; /* cpuid_override.c: RegisterInterceptResult */
struct msr_results;    /* msr_result.c: the same */
struct cell_page;      /* cell.c */
struct port_table;     /* port_table.h */
struct connection_table;

#define CPUID_WORD_COUNT 13 /* cpuid.c */

struct partition {
	uint64_t id;              /* [I] */
	struct partition *parent; /* [I] NULL: the root */
	struct spinlock lock;
	enum partition_state state; /* [P] */
	uint32_t references; /* [a] calls that work on it: with one left, VPs and ports may go */
	bool busy;           /* [a] claimed by the call that takes it down */
	void *home;          /* [I] plat's part */

	/* The home's, under its memory lock; zero at creation, before plat_partition_create. */
	struct {
		void *free;
		uint64_t free_count, deposited;
	} pool;

	uint64_t create_flags;       /* [I] HV_PARTITION_CREATION_FLAG_* */
	uint64_t privileges;         /* [I] once initialized: leaf 0x40000003 EBX:EAX */
	uint64_t synthetic_features; /* [I] once initialized: property */
	uint64_t processor_features[2], xsave_features; /* [P] properties: what the guest may see */
	uint64_t spec_ctrl_bits,
		pred_cmd_bits; /* [P] of IA32_SPEC_CTRL and PRED_CMD, as CPUID shows them */
	uint64_t processors_per_socket, unimplemented_msr_action; /* [P] properties */

	/* MSR values. */
	uint64_t guest_os_id;                                                   /* [a] */
	uint64_t hypercall_msr, reference_tsc;                                  /* [P] */
	uint64_t reenlightenment, tsc_emulation_control, tsc_invariant_control; /* [P] */
	uint64_t crash[5], crash_control;                                       /* [P] */

	/* Reference time = guest TSC scaled + offset, or frozen_100ns. */
	uint64_t tsc_offset;            /* [I] what vp->tsc_offset starts as */
	uint64_t reference_scale;       /* [I] 100 ns a TSC cycle, times 2^64 */
	int64_t reference_offset_100ns; /* [a] */
	uint64_t frozen_100ns;          /* [a] HV_NEVER: time runs (property TIME_FREEZE) */
	uint64_t frozen_tsc;            /* [P] the machine's TSC when it stopped */
	uint32_t tsc_sequence;          /* [P] last one that the TSC page had */

	void *hypercall_page, *tsc_page; /* [I] overlays, from the pool at initialization */

	/* Intercepts that the parent installed; read without a lock at every exit; [a]. */
	bool intercept_io, intercept_msr, intercept_cpuid, intercept_hypercall;
	bool intercept_unknown_connection, intercept_retarget, intercept_apic_eoi;
	bool intercept_crash;          /* [a] a write of CRASH_CTL that notifies */
	uint32_t intercept_exceptions; /* one bit a vector */

	struct msr_results *msr_results;          /* [P]; NULL: there is none */
	struct cpuid_override *cpuid_overrides;   /* [P] to add; readers see whole entries */
	uint32_t cpuid_allowed[CPUID_WORD_COUNT]; /* [I] feature bits that the guest may see */

	uint32_t vp_count;          /* [P] */
	struct vp *vps[HV_MAX_VPS]; /* [P] to change; good while one has a reference */

	struct cell_page *cells;              /* [P] */
	struct port_table *ports;             /* [P] NULL: it owns none */
	struct connection_table *connections; /* [P] NULL: it has none */
	uint32_t doorbell_count;              /* [P] to change */

	uint64_t *stats_page;  /* [I] HV_STATS_OBJECT_PARTITION */
	uint64_t stats_gpn[2]; /* [P] of the parent; by area: where it is; HV_NEVER: nowhere */
	/* Root: HV_STATS_OBJECT_HYPERVISOR, made when it is first wanted; [P]. */
	uint64_t *machine_stats_page;
	uint64_t machine_stats_gpn[2];
};

/* ==== What the home calls ==== */

/*
 * Boot: the root partition with `count` VPs, from pages that the home gave to its pool. apic_ids as
 * the machine has them.
 */
hv_status_t partition_create_root(struct partition *root, const uint32_t *apic_ids,
				  uint32_t count) MUST_CHECK;

/* hypercall.c. The VP executed VMCALL/VMMCALL in a mode in which it may. */
struct hypercall_regs {
	uint64_t rcx, rdx, r8; /* of a 32-bit caller: the pairs, as the TLFS says */
	uint64_t rax;          /* out */
	bool fault_write;      /* out, with HYPERCALL_MEMORY */
	gpa_t fault_gpa;
};

enum hypercall_action {
	HYPERCALL_DONE,      /* rax is set; step over the instruction */
	HYPERCALL_AGAIN,     /* rcx is set (rep start moved on); do not step */
	HYPERCALL_UD,        /* #UD */
	HYPERCALL_INTERCEPT, /* message to the parent; RIP stays */
	HYPERCALL_MEMORY,    /* memory intercept for fault_gpa, of a child; RIP stays */
};

enum hypercall_action hypercall_enter(struct vp *vp, struct hypercall_regs *regs);

/* cpuid*.c. `out` is filled in any case. */
enum access_result cpuid_read(struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* msr*.c */
enum access_result msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
enum access_result msr_write(struct vp *vp, uint32_t msr, uint64_t value);

/* vp.c */
void vp_post_event(struct vp *vp, uint32_t events); /* sets and kicks; any context */
void vp_post_nmi(struct vp *vp);                    /* any context */
/* A PIC's vector, acknowledged already, so that it must not be lost; any context. */
void vp_post_extint(struct vp *vp, uint8_t vector);
/* By the owner, with extint_pending: the one to inject now. */
uint8_t vp_take_extint(struct vp *vp);
void vp_drop_extints(struct vp *vp); /* by the owner */
/* By the owner before each entry when vp->events is not 0: timers, interrupts, INIT and SIPI. */
void vp_process_events(struct vp *vp);
/*
 * By the owner: INIT and SIPI alone. What was sent is part of the activity that a parent asks for,
 * and of the registers after that: a state that is saved would lose it else.
 */
void vp_take_startup(struct vp *vp);
/* Nothing keeps it from executing an instruction now: suspension, halt, wait for a SIPI. */
bool vp_runnable(struct vp *vp);
/* By the owner: it waits for another VP, which should run instead. A child leaves DispatchVp. */
void vp_end_turn(struct vp *vp);
/* HLT (interrupts_wake: RFLAGS.IF). */
void vp_halt(struct vp *vp, bool interrupts_wake);
/* HV_X64_MSR_GUEST_IDLE was read: any interrupt that is requested wakes the VP, be it masked or of
 * too low a priority. */
void vp_idle(struct vp *vp);
/*
 * By the owner of both: an LP goes from one VP to another, whose time it is from now on; NULL: none
 * (the LP sleeps).
 */
void vp_run_switch(struct vp *from, struct vp *to);
uint64_t vp_run_time(const struct vp *vp); /* 100 ns; by the owner */
/* An intercept for the parent: the message is in vp->intercept_page; suspends the VP. */
void vp_intercept(struct vp *vp);

/*
 * notify.c: what the root learns about its children by messages on SINT0. Any context, any locks up
 * to [S] of the child; never fails: what finds the slot full waits in the root VP's queue.
 */
/* A child VP wants to be dispatched (VP signal message), once until it is. */
void vp_signal_scheduler(struct vp *vp);
/* A child VP ended a level-triggered interrupt and its parent wants to know. */
void notify_apic_eoi(struct vp *vp, uint8_t vector);
/* By the SynIC of a root VP, without [S]: SINT0 may have room (EOM, SINT0, SIMP or SCONTROL). */
void notify_flush(struct vp *root_vp);

/*
 * doorbell.c. The VP wrote `size` bytes at GPA: true if a doorbell took it, and then the guest
 * continues. Called before a memory intercept is made.
 */
bool port_doorbell(struct vp *vp, gpa_t gpa, uint64_t value, unsigned int size);

/* ==== What the core's files offer each other (the home may use them too) ==== */

/* partition.c */
/* SELF, itself or a child, with a reference; NULL: none of them. */
struct partition *partition_get(struct vp *caller, uint64_t id);
void partition_put(struct partition *p);
/* NULL if there is none; HV_VP_INDEX_SELF is the caller's business. */
struct vp *partition_vp(struct partition *p, uint32_t index);

/* vp.c */
/* [P] held, or nobody knows the partition yet. Undoes all when the pool runs dry. */
hv_status_t vp_create(struct partition *p, uint32_t index, uint32_t apic_id) MUST_CHECK;
void vp_destroy(struct vp *vp);     /* nobody else can reach it */
void vp_rearm_timer(struct vp *vp); /* the least of LAPIC timer and stimers, to plat_timer_set */

/* cpuid*.c */
/* From the partition's flags and feature properties; before the first VP, and later; [P] held. */
void cpuid_create(struct partition *p);
/* What the machine has that a child may see: the most that its feature properties can be. */
void cpuid_machine_features(uint64_t features[2]);
uint64_t cpuid_machine_xsave_features(void);
/* RegisterInterceptResult, for a VP or HV_ANY_VP; [P] held. INSUFFICIENT_MEMORY. */
hv_status_t
cpuid_override_add(struct partition *p, uint32_t vp_index,
		   const struct hv_register_x64_cpuid_result_parameters *result) MUST_CHECK;
/* UnregisterInterceptResult; [P] held. NOT_FOUND. */
hv_status_t
cpuid_override_remove(struct partition *p, uint32_t vp_index,
		      const struct hv_unregister_x64_cpuid_result_parameters *what) MUST_CHECK;
void cpuid_override_destroy(struct partition *p);

/* msr_result.c: the same for MSRs; [P] held. NO_RESOURCES: too many of them. */
hv_status_t msr_result_add(struct partition *p, uint32_t vp_index,
			   const struct hv_register_x64_msr_result_parameters *result) MUST_CHECK;
hv_status_t
msr_result_remove(struct partition *p, uint32_t vp_index,
		  const struct hv_unregister_x64_msr_result_parameters *what) MUST_CHECK;
void msr_result_destroy(struct partition *p);

/*
 * lapic*.c. By the owner, unless it says otherwise. Offsets are those of the xAPIC page (0x20 id …
 * 0x3E0 divide); x2APIC MSR = 0x800 + offset / 16.
 */
void lapic_create(struct vp *vp, bool x2apic_now); /* state after power-on */
void lapic_init(struct vp *vp);                    /* INIT */
/* Is this page the VP's APIC page (xAPIC mode, at the base that the guest chose)? */
static inline bool lapic_page_at(const struct vp *vp, uint64_t gpn)
{
	return (vp->lapic.base & 0xC00) == 0x800 && vp->lapic.base >> PAGE_SHIFT == gpn;
}
uint32_t lapic_mmio_read(struct vp *vp, uint32_t offset);
void lapic_mmio_write(struct vp *vp, uint32_t offset, uint32_t value);
/* The x2APIC range, APIC_BASE and TSC_DEADLINE. */
enum access_result lapic_msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
enum access_result lapic_msr_write(struct vp *vp, uint32_t msr, uint64_t value);
void lapic_set_tpr(struct vp *vp, uint32_t tpr);
int lapic_pending(const struct vp *vp);           /* above PPR: could be injected now; or -1 */
int lapic_highest_irr(const struct vp *vp);       /* whatever the TPR; or -1 */
void lapic_accept(struct vp *vp, uint8_t vector); /* injected: IRR to ISR (or AutoEOI) */
void lapic_eoi(struct vp *vp);
void lapic_fold(struct vp *vp); /* post[] into irr[] */
void lapic_timer_expired(struct vp *vp, uint64_t now_tsc);
void lapic_tsc_changed(struct vp *vp); /* vp->tsc_offset was written: a deadline follows */
/* A fixed interrupt for this VP; ignored, with ESR, when the APIC is off or the vector below 16. */
void lapic_post(struct vp *vp, uint8_t vector, bool level);  /* any context */
void lapic_raise(struct vp *vp, uint8_t vector, bool level); /* straight into the IRR */
/* Any context. By destination, as an MSI or IPI; INVALID_PARAMETER if nobody is addressed. */
hv_status_t lapic_send(struct partition *p, uint32_t type, uint32_t destination, bool logical,
		       uint8_t vector, bool level);
/* Any context: an interrupt to this destination is for this VP, perhaps for others too. */
bool lapic_reaches(const struct vp *vp, uint32_t destination, bool logical);
/* By the owner: LINT0 is the PIC's, or the APIC is off. */
bool lapic_accepts_extint(const struct vp *vp);
void lapic_get_state(struct vp *vp, struct hv_local_interrupt_controller_state *state);
hv_status_t lapic_set_state(struct vp *vp,
			    const struct hv_local_interrupt_controller_state *state) MUST_CHECK;

/* synic.c, event.c. Any context, unless it says otherwise. */
hv_status_t synic_create(struct vp *vp) MUST_CHECK; /* pages from the pool */
void synic_destroy(struct vp *vp);
void synic_reset(struct vp *vp);
enum access_result synic_msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
enum access_result synic_msr_write(struct vp *vp, uint32_t msr, uint64_t value);
/*
 * Puts the message in the SINT's slot, or queues it when `queue` and memory allow; else
 * INSUFFICIENT_BUFFERS. A slot that was found full gets its MessagePending flag in any case, so
 * that the guest's EOM follows.
 */
hv_status_t synic_post_message(struct vp *vp, uint32_t sint, const struct hv_message *message,
			       bool queue) MUST_CHECK;
hv_status_t synic_signal_event(struct vp *vp, uint32_t sint, uint32_t flag,
			       bool *newly_signaled) MUST_CHECK;
/* Moves what fits into the slots; by the owner, on VP_EVENT_SYNIC too. */
void synic_flush_queue(struct vp *vp);
/* EOM, and an EOI while something waits: the same, and the parent may want to know. */
void synic_end_of_message(struct vp *vp);

/* stimer.c. By the owner. */
void stimer_reset(struct vp *vp);
enum access_result stimer_msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
enum access_result stimer_msr_write(struct vp *vp, uint32_t msr, uint64_t value);
/* As it was saved; a message that waits is sent with the next VP_EVENT_SYNIC. */
void stimer_restore(struct vp *vp, unsigned int index, const struct hv_stimer_state *state);
void stimer_retry(struct vp *vp); /* messages that found the slot full; on VP_EVENT_SYNIC */
void stimer_expire(struct vp *vp, uint64_t now_100ns);

/* refclock.c */
hv_status_t refclock_create(struct partition *p) MUST_CHECK;
uint64_t refclock_now(const struct partition *p); /* 100 ns */
uint64_t refclock_to_tsc(const struct partition *p, uint64_t time_100ns);
void refclock_set(struct partition *p, uint64_t time_100ns); /* REFERENCE_TIME; [P] held */
void refclock_freeze(struct partition *p, bool freeze);      /* TIME_FREEZE; [P] held */
/*
 * The machine's TSC, to which the TSCs of VPs are told: the one at which time stopped, while it is
 * stopped. So all that are read and set meanwhile are of one moment.
 */
uint64_t refclock_tsc(const struct partition *p);
void refclock_tsc_changed(struct partition *p); /* a VP's tsc_offset: is the TSC page still true? */
enum access_result refclock_set_tsc_page(struct partition *p, uint64_t msr_value);

/*
 * overlay.c: the MSRs that place a page: HYPERCALL, REFERENCE_TSC, SIMP, SIEFP, SIRBP, VP_ASSIST.
 * Moves it from the old value's place to the new one's.
 */
bool overlay_reachable(uint64_t msr); /* is the page within the GPA space */
hv_status_t overlay_move(struct partition *p, uint64_t old_msr, uint64_t new_msr,
			 void *page) MUST_CHECK;

#endif
