/*
 * The core: partitions and virtual processors as the TLFS describes them, with no hardware in it. plat.h is what it needs
 * from its home; this header is what a home calls, and what the core's files share.
 *
 * Locks, in the order in which they are taken (a later one may be taken while an earlier one is held, never the reverse):
 *   0. the lock of port.c			     binds ports and connections of different partitions
 *   1. vp->lock of a child VP			[V]  held by the LP that runs it; see "Owner" below
 *   2. partition->lock				[P]  two partitions: parent before child, else lower id first
 *   3. vp->synic.lock of a child VP		[S]  one at a time
 *   4. the notification lock			[N]  notify.c
 *   5. vp->synic.lock of a root VP		[S]  one at a time
 *   6. the partition table's locks (partition.c), leaves
 *   7. the memory lock of the home			 inside plat_* only
 * A root VP's lock is held by its LP from boot on, for ever.
 *
 * Owner of a VP: who holds vp->lock. Everything in struct vp marked [V] is the owner's alone. Others reach a VP by
 * lapic_post() and vp_post_event(), which are lock-free, and by the SynIC under [S].
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

#define HV_MAX_VPS	  256
#define HV_MAX_PARTITIONS 1024
#define HV_ROOT_PARTITION 1ull
#define HV_APIC_BUS_HZ	  200000000ull /* what APIC_FREQUENCY says to every guest, whatever the machine has */
#define HV_REF_HZ	  10000000ull
#define HV_STIMER_COUNT	  4
#define HV_SINT_COUNT	  16
#define HV_NEVER	  UINT64_MAX

/* ---- local APIC (lapic.c; Intel SDM vol. 3 "APIC", AMD APM vol. 2 ch. 16; HV_X64_MSR_EOI/ICR/TPR) ---- */

struct lapic {
	uint64_t base;	    /* [V] IA32_APIC_BASE: enable, x2APIC, BSP bits */
	uint32_t id;	    /* [V] xAPIC id register << 0; x2APIC id is vp->apic_id */
	uint32_t tpr, ldr, dfr, svr, esr, esr_pending;		      /* [V] */
	uint32_t isr[8], tmr[8], irr[8];			      /* [V] 256 bits each */
	uint32_t isr_words, irr_words; /* [V] bit n: word n is not 0; so the highest vector takes no scan */
	bool eoi_assist;	       /* [V] the assist page told the guest to skip the EOI of the highest ISR vector */
	uint32_t auto_eoi[8]; /* [V] vectors taken without entering the ISR (SINT AutoEOI) */
	uint32_t lvt_timer, lvt_thermal, lvt_pmc, lvt_lint[2], lvt_error, lvt_cmci; /* [V] */
	uint64_t icr;						      /* [V] */
	uint32_t timer_initial, timer_divide;			      /* [V] */
	uint64_t timer_start_tsc, timer_deadline_tsc;		      /* [V] deadline HV_NEVER: off */
	uint32_t post[8];     /* [a] posted by others, folded into irr by the owner on VP_EVENT_INTERRUPT */
	uint32_t post_tmr[8]; /* [a] trigger mode of the posted bits: 1 level; written before the post bit */
	uint32_t post_words;  /* [a] bit n: post[n] has, or had, bits; set after them */
};

/* ---- synthetic interrupt controller (synic.c, event.c) ---- */

/* Messages that wait for their slot; from the partition's pool. */
struct synic_message {
	struct synic_message *next;
	struct hv_message message;
};

struct synic {
	struct spinlock lock;
	uint64_t scontrol, siefp, simp, sirbp; /* [S] MSR values */
	uint64_t sint[HV_SINT_COUNT];	       /* [S] */
	void *message_page; /* [I] overlay pages, allocated with the VP whether enabled or not */
	void *event_page;   /* [I] */
	void *ring_page;    /* [I] SIRBP; root VPs only, else NULL */
	uint8_t ring_head[HV_SINT_COUNT]; /* [S] next entry that port.c writes; 0 only after a reset, as the reader's tail */
	struct synic_message *queue[HV_SINT_COUNT]; /* [S] head: oldest */
	struct synic_message *free;		    /* [S] buffers of no queue */
	void *buffer_page;			    /* [I] where the buffers are */
	uint32_t free_count;			    /* [S] */
	uint32_t waiting; /* [a] 15:0: the SINT has a queue; 19:16: the timer's message found no room */
};

struct stimer {
	uint64_t config, count;	     /* [V] MSR values */
	uint64_t next_100ns;	     /* [V] expiry in reference time; HV_NEVER: not armed */
	uint64_t expired_100ns;	     /* [V] last expiry */
	bool message_pending;	     /* [V] expired, its message found the slot full */
};

/* ---- virtual processor (vp.c) ---- */

enum vp_event { /* bits of vp->events */
	VP_EVENT_INTERRUPT = 1u << 0, /* lapic.post has bits */
	VP_EVENT_NMI = 1u << 1,
	VP_EVENT_INIT = 1u << 2,
	VP_EVENT_SIPI = 1u << 3,    /* vector in vp->sipi_vector */
	VP_EVENT_TIMER = 1u << 4,   /* the deadline passed */
	VP_EVENT_SYNIC = 1u << 5,   /* a message may fit now, or a stimer message must be retried */
	VP_EVENT_TLB = 1u << 6,	    /* flush before entry */
	VP_EVENT_EXTINT = 1u << 7,  /* a PIC vector in vp->extint_vector (root: the machine's; child: AssertVirtualInterrupt) */
	VP_EVENT_SUSPEND = 1u << 8, /* suspend bits changed: leave the guest and look */
	VP_EVENT_RELOAD = 1u << 9,  /* somebody waits for vp->lock: plat_vp_dispatch puts the state away and returns READY */
};

enum vp_activity {
	VP_ACTIVE,
	VP_HALTED,    /* HLT or guest idle: until an interrupt or NMI */
	VP_WAIT_SIPI, /* after INIT of an application processor */
};

enum vp_suspend { /* bits of vp->suspend; any of them keeps the VP from running */
	VP_SUSPEND_EXPLICIT = 1u << 0,	/* HV_REGISTER_EXPLICIT_SUSPEND */
	VP_SUSPEND_INTERCEPT = 1u << 1, /* HV_REGISTER_INTERCEPT_SUSPEND: an intercept message waits for the parent */
	VP_SUSPEND_DISPATCH = 1u << 2,	/* HV_REGISTER_DISPATCH_SUSPEND */
};

struct vp {
	struct partition *partition; /* [I] */
	uint32_t index;		     /* [I] */
	uint32_t apic_id;	     /* [I] x2APIC id */
	struct spinlock lock;
	void *home; /* [I] plat's part */

	uint32_t events;	  /* [a] enum vp_event */
	uint32_t suspend;	  /* [a] enum vp_suspend */
	uint8_t sipi_vector;	  /* [a] */
	uint8_t extint_vector;	  /* [a] */
	enum vp_activity activity; /* [V] */
	bool halt_masked;	   /* [V] halted with interrupts masked: only NMI, INIT wake it */
	bool nmi_pending;	   /* [V] */
	bool extint_pending;	   /* [V] */

	/*
	 * What the root's scheduler knows. root_signalled [a]: it will dispatch this VP, or does so now, without being told again:
	 * set by the message and while dispatched; cleared when DispatchVp returns BLOCKED.
	 */
	bool root_signalled;
	uint64_t root_signal_count; /* [a] messages about this VP: HV_REGISTER_VP_ROOT_SIGNAL_COUNT */
	uint32_t last_root_vp;	    /* [a] the root VP that dispatched it last: its SINT0 gets the messages */
	bool notify_signal;	    /* [N] to be named in a signal message */
	uint32_t notify_eoi[8];	    /* [N] vectors that the guest ended; a root VP's: SINTs to be told of in [0] */
	struct vp *notify_target;   /* [N] the root VP in whose queue it is; NULL: in none */
	struct vp *notify_next;	    /* [N] */
	struct vp *notify_queue;    /* [N] root VPs: child VPs that wait for a free slot in this VP's SINT0, oldest first */

	/* Pending event and deliverability registers of the parent (HV_REGISTER_PENDING_EVENT0, DELIVERABILITY_NOTIFICATIONS). */
	uint64_t pending_interruption; /* [V] as in the TLFS register, injected first */
	union hv_register_value pending_event0, pending_event1; /* [V] */
	uint64_t deliverability_notifications;			 /* [V] */

	uint64_t tsc_offset; /* [V] guest TSC = plat_tsc() + offset */
	uint64_t tsc_adjust; /* [V] IA32_TSC_ADJUST */
	uint64_t tsc_deadline_msr;		/* [V] IA32_TSC_DEADLINE */
	uint64_t runtime_tsc;			/* [V] TSC cycles spent in the guest (HV_X64_MSR_VP_RUNTIME) */
	uint64_t vp_assist;			/* [V] MSR value */
	uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_var[16], misc_enable; /* [V] kept for the guest, no effect */

	struct lapic lapic;
	struct synic synic;
	struct stimer stimers[HV_STIMER_COUNT];

	/* Pages from the pool; [I]. */
	void *hypercall_input, *hypercall_output; /* copies of what a call reads and writes, so each byte is read once [V] */
	void *vp_assist_page;
	struct hv_message *intercept_page; /* state page of type intercept message; its VP's last intercept */
	void *register_page;
	uint64_t intercept_page_gpn, register_page_gpn; /* [P] where the parent sees them; HV_NEVER: nowhere */
	uint64_t *stats_page;				/* [I] HV_STATS_OBJECT_VP */
	uint64_t stats_gpn[2]; /* [P] by area (self, parent): where it is mapped; HV_NEVER: nowhere */
	uint64_t *lp_stats_page;   /* [P] root VPs: HV_STATS_OBJECT_LOGICAL_PROCESSOR, made when it is first wanted */
	uint64_t lp_stats_gpn[2];  /* [P] */
};

/* ---- partition (partition.c) ---- */

enum partition_state {
	PARTITION_FREE,
	PARTITION_CREATED,     /* properties may be set, memory deposited */
	PARTITION_INITIALIZED, /* VPs and memory may be added, VPs run */
	PARTITION_FINALIZING,  /* what it has is being taken down, in several steps */
	PARTITION_FINALIZED,   /* nothing left of it but free pages; waits for their withdrawal and for deletion */
};

struct cpuid_override; /* cpuid_override.c: RegisterInterceptResult */
#define CPUID_WORD_COUNT 11 /* cpuid.c */
struct cell_page;      /* cell.c */
struct port_table;     /* port.c */
struct connection_table;

struct partition {
	uint64_t id;		  /* [I] */
	struct partition *parent; /* [I] NULL: the root */
	struct spinlock lock;
	enum partition_state state; /* [P] */
	uint32_t references;	    /* [a] partition_get/put: calls that work on it. VPs and ports go only when there is no other */
	bool busy;		    /* [a] claimed by the call that takes it down */
	void *home;		    /* [I] plat's part */

	/* The pool of deposited pages: all the home's, under its memory lock; zero at creation, before plat_partition_create. */
	struct {
		void *free;
		uint64_t free_count, deposited;
	} pool;

	uint64_t create_flags;				/* [I] HV_PARTITION_CREATION_FLAG_* */
	uint64_t privileges;				/* [I] once initialized: leaf 0x40000003 EBX:EAX */
	uint64_t synthetic_features;			/* [I] once initialized: property SYNTHETIC_PROC_FEATURES */
	uint64_t processor_features[2], xsave_features; /* [P] properties: features that the guest may see */
	uint64_t processors_per_socket, unimplemented_msr_action; /* [P] */

	uint64_t guest_os_id;	 /* [a] MSR values */
	uint64_t hypercall_msr;	 /* [P] */
	uint64_t reference_tsc;	 /* [P] */
	uint64_t reenlightenment, tsc_emulation_control, tsc_invariant_control; /* [P] */
	uint64_t crash[5], crash_control;					 /* [P] */
	uint64_t tsc_offset;	     /* [I] what vp->tsc_offset starts as */
	uint64_t reference_scale;    /* [I] 100 ns a TSC cycle, times 2^64 */
	int64_t reference_offset_100ns; /* [a] reference time = guest TSC scaled + offset, or frozen_100ns */
	uint64_t frozen_100ns;	     /* [a] HV_NEVER: time runs (property TIME_FREEZE) */
	uint32_t tsc_sequence;	     /* [P] last one that the TSC page had */
	void *hypercall_page, *tsc_page; /* [I] overlays, from the pool at initialization */

	/* Intercepts that the parent installed; read without a lock on every exit. [a] */
	bool intercept_io, intercept_cpuid, intercept_hypercall, intercept_unknown_connection, intercept_retarget, intercept_apic_eoi;
	bool intercept_msr, intercept_unaccepted_gpa;
	uint32_t intercept_exceptions; /* one bit a vector */
	struct cpuid_override *cpuid_overrides; /* [P] to add; readers see whole entries */
	uint32_t cpuid_allowed[CPUID_WORD_COUNT]; /* [I] feature bits that the guest may see */
	uint32_t cpuid_1[4];   /* [a] leaf 1, but for what differs by VP and its state: the leaf that is asked for most */
	uint32_t cpuid_1_vps; /* [a] the number of VPs for which that holds; 0: the parent has an answer */

	uint32_t vp_count;	      /* [P] */
	struct vp *vps[HV_MAX_VPS];   /* [P] to change; a VP lives until its partition is finalized */
	struct cell_page *cells;	      /* [P] */
	struct port_table *ports;	      /* [P] ports that this partition owns; NULL: none yet */
	struct connection_table *connections; /* [P] its connections to ports; NULL: none yet */
	uint32_t doorbell_count;	      /* [P] to change */
	uint64_t *stats_page;		/* [I] */
	uint64_t stats_gpn[2];		/* [P] by area: where it is mapped; HV_NEVER: nowhere */
	uint64_t *machine_stats_page;	/* [P] root: HV_STATS_OBJECT_HYPERVISOR, made when it is first wanted */
	uint64_t machine_stats_gpn[2];	/* [P] */
};

/* ==== What the home calls ==== */

/* Boot: the root partition with lp_count VPs, from pages that the home gave to its pool. apic_ids as the machine has them. */
hv_status_t partition_create_root(struct partition *root, const uint32_t *apic_ids, uint32_t count) MUST_CHECK;

/* hypercall.c. The VP executed VMCALL/VMMCALL. The home checked nothing. */
struct hypercall_regs {
	uint64_t rcx, rdx, r8; /* 32-bit callers: the home assembled the pairs as the TLFS says */
	uint64_t rax;	       /* out */
	uint64_t xmm[6][2];    /* only valid when hypercall_needs_xmm(); written back when xmm_written */
	bool xmm_written;
	bool fault_write;      /* out, with HYPERCALL_MEMORY */
	gpa_t fault_gpa;
};
enum hypercall_action {
	HYPERCALL_DONE,	    /* rax is set; step over the instruction */
	HYPERCALL_AGAIN,    /* rcx is set (rep start moved on); do not step */
	HYPERCALL_UD,	    /* #UD */
	HYPERCALL_INTERCEPT, /* message to the parent; RIP stays */
	HYPERCALL_MEMORY,    /* a child's input or output page cannot be used: memory intercept for fault_gpa; RIP stays */
};
bool hypercall_needs_xmm(uint64_t rcx);
enum hypercall_action hypercall_enter(struct vp *vp, struct hypercall_regs *regs);

/* cpuid.c, msr.c */
enum access_result cpuid_read(struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4]); /* `out` is filled in any case */
/* From the partition's flags and feature properties; before the first VP, and when they change. [P] held. */
void cpuid_create(struct partition *p);
void cpuid_machine_features(uint64_t features[2]); /* what the machine has that a child may see: HV_PARTITION_PROCESSOR_FEATURES */
uint64_t cpuid_machine_xsave_features(void); /* the same for HV_PARTITION_PROCESSOR_XSAVE_FEATURES */
/* RegisterInterceptResult, for a VP or HV_ANY_VP; [P] held. From the pool: HV_STATUS_INSUFFICIENT_MEMORY. */
hv_status_t cpuid_override_add(struct partition *p, uint32_t vp_index,
			       const struct hv_register_x64_cpuid_result_parameters *result) MUST_CHECK;
void cpuid_override_destroy(struct partition *p);
enum access_result msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
enum access_result msr_write(struct vp *vp, uint32_t msr, uint64_t value);

/*
 * vp.c. vp_process_events: by the owner before each entry when vp->events is not 0; runs timers, takes posted interrupts, INIT
 * and SIPI. vp_runnable: nothing keeps it from executing an instruction now (suspend bits, halt without a wake-up, wait-for-SIPI).
 */
void vp_post_event(struct vp *vp, uint32_t events); /* sets and kicks; any context */
void vp_process_events(struct vp *vp);
bool vp_runnable(struct vp *vp);
void vp_halt(struct vp *vp, bool interrupts_wake); /* HLT (interrupts_wake: RFLAGS.IF) or guest idle (always) */
/* An intercept for the parent: the message was written to vp->intercept_page; suspends the VP. */
void vp_intercept(struct vp *vp);
/*
 * notify.c: what the root learns about its children by messages on SINT0. Any context, any locks up to [S] of the child; never
 * fails: what finds the slot full waits in the root VP's queue, for notify_flush() at its EOM.
 */
/* Tells the root's scheduler that a child VP wants to be dispatched (VP signal message on SINT0), once until it is. */
void vp_signal_scheduler(struct vp *vp);
/* A child VP ended a level-triggered interrupt and its parent wants to know (intercept_apic_eoi). */
void notify_apic_eoi(struct vp *vp, uint8_t vector);
/* By the SynIC of a root VP, without [S], after a message was taken from SINT0 (EOM), or SINT0, SIMP or SCONTROL was enabled. */
void notify_flush(struct vp *root_vp);

/* ==== What the core's files offer each other (the home may use them too) ==== */

/* vp.c. The partition's lock is held, or nobody knows the partition yet. Undoes all when the pool runs dry. */
hv_status_t vp_create(struct partition *p, uint32_t index, uint32_t apic_id) MUST_CHECK;
void vp_destroy(struct vp *vp); /* nobody else can reach it */

/* partition.c */
struct partition *partition_get(struct vp *caller, uint64_t id); /* SELF, itself or a child; NULL else. Takes a reference */
void partition_put(struct partition *p);
struct vp *partition_vp(struct partition *p, uint32_t index); /* HV_VP_INDEX_SELF is the caller's business; NULL if none */

/* lapic.c. Offsets are those of the xAPIC page (0x20 id … 0x3E0 divide); x2APIC MSR = 0x800 + offset / 16. */
void lapic_create(struct vp *vp, bool x2apic_now); /* state after power-on */
/* Is this page the VP's APIC page (xAPIC mode, at the base that the guest chose)? Otherwise it is memory like any other. */
static inline bool lapic_page_at(const struct vp *vp, uint64_t gpn)
{
	return (vp->lapic.base & 0xC00) == 0x800 && vp->lapic.base >> PAGE_SHIFT == gpn;
}
void lapic_init(struct vp *vp);			   /* INIT */
uint32_t lapic_mmio_read(struct vp *vp, uint32_t offset);
void lapic_mmio_write(struct vp *vp, uint32_t offset, uint32_t value);
enum access_result lapic_msr_read(struct vp *vp, uint32_t msr, uint64_t *value); /* x2APIC range and APIC_BASE, TSC_DEADLINE */
enum access_result lapic_msr_write(struct vp *vp, uint32_t msr, uint64_t value);
uint32_t lapic_get_tpr(const struct vp *vp); /* CR8 << 4 | low bits */
void lapic_set_tpr(struct vp *vp, uint32_t tpr);
int lapic_pending(const struct vp *vp); /* vector that could be injected now (priority above PPR), or -1 */
int lapic_highest_irr(const struct vp *vp); /* whatever the TPR, for a TPR threshold; or -1 */
void lapic_accept(struct vp *vp, uint8_t vector); /* injected: IRR to ISR (or AutoEOI) */
void lapic_eoi(struct vp *vp);
void lapic_fold(struct vp *vp); /* post[] into irr[] */
void lapic_timer_expired(struct vp *vp, uint64_t now_tsc);
/* Any context. A fixed or lowest-priority interrupt for this VP; ignored with ESR as the SDM says when the APIC is off or vector < 16. */
void lapic_post(struct vp *vp, uint8_t vector, bool level);
/* Routes by destination as an MSI, IPI or AssertVirtualInterrupt would: INVALID_PARAMETER if nobody is addressed. */
hv_status_t lapic_send(struct partition *p, uint32_t type, uint32_t destination, bool logical, uint8_t vector, bool level);
void lapic_get_state(struct vp *vp, struct hv_local_interrupt_controller_state *state);
hv_status_t lapic_set_state(struct vp *vp, const struct hv_local_interrupt_controller_state *state) MUST_CHECK;
void lapic_raise(struct vp *vp, uint8_t vector, bool level); /* lapic_post by the owner: straight into the IRR */
bool lapic_accepts_extint(const struct vp *vp);		     /* LINT0 is the PIC's, or the APIC is off */
bool lapic_accepts_nmi_pin(const struct vp *vp);	     /* LINT1 is the NMI's, or the APIC is off */
void lapic_tsc_changed(struct vp *vp);			     /* vp->tsc_offset was written: a TSC deadline follows */

/* synic.c, event.c. Any context. */
hv_status_t synic_create(struct vp *vp) MUST_CHECK; /* pages from the pool */
void synic_destroy(struct vp *vp);
void synic_reset(struct vp *vp);
enum access_result synic_msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
enum access_result synic_msr_write(struct vp *vp, uint32_t msr, uint64_t value);
/*
 * Puts the message in the SINT's slot, or queues it when `queue` and memory allow; else HV_STATUS_INSUFFICIENT_BUFFERS. A slot that
 * was found full gets its MessagePending flag in any case, so that the guest's EOM follows: VP_EVENT_SYNIC, and notify_flush().
 */
hv_status_t synic_post_message(struct vp *vp, uint32_t sint, const struct hv_message *message, bool queue) MUST_CHECK;
hv_status_t synic_signal_event(struct vp *vp, uint32_t sint, uint32_t flag, bool *newly_signaled) MUST_CHECK;
void synic_flush_queue(struct vp *vp); /* moves what fits into the slots; by the owner, on VP_EVENT_SYNIC too */
void synic_end_of_message(struct vp *vp); /* EOM, and an EOI while something waits: the same, and the parent may want to know */
bool synic_vector_auto_eoi(const struct vp *vp, uint8_t vector);

/* stimer.c, refclock.c */
void stimer_reset(struct vp *vp);
enum access_result stimer_msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
enum access_result stimer_msr_write(struct vp *vp, uint32_t msr, uint64_t value);
void stimer_retry(struct vp *vp); /* messages that found the slot full; by the owner, on VP_EVENT_SYNIC */
void stimer_expire(struct vp *vp, uint64_t now_100ns);
void vp_rearm_timer(struct vp *vp); /* vp.c: least of LAPIC timer and stimers → plat_timer_set */
uint64_t refclock_now(const struct partition *p); /* 100 ns */
uint64_t refclock_to_tsc(const struct partition *p, uint64_t time_100ns);
hv_status_t refclock_create(struct partition *p) MUST_CHECK;
void refclock_set(struct partition *p, uint64_t time_100ns); /* property REFERENCE_TIME; [P] held */
void refclock_freeze(struct partition *p, bool freeze);	     /* property TIME_FREEZE; [P] held */
void refclock_set(struct partition *p, uint64_t time_100ns); /* property REFERENCE_TIME; [P] held */
void refclock_freeze(struct partition *p, bool freeze);	     /* property TIME_FREEZE; [P] held */
void refclock_tsc_changed(struct partition *p);		     /* a VP's tsc_offset was written: is the TSC page still true? */
enum access_result refclock_set_tsc_page(struct partition *p, uint64_t msr_value);

/* overlay.c: the MSRs that place a page: HYPERCALL, REFERENCE_TSC, SIMP, SIEFP, SIRBP, VP_ASSIST. Moves from the old value to the new. */
bool overlay_reachable(uint64_t msr); /* is the page within the GPA space */
hv_status_t overlay_move(struct partition *p, uint64_t old_msr, uint64_t new_msr, void *page) MUST_CHECK;

/*
 * port.c. The VP wrote `size` bytes at GPA: true if a doorbell took it, and then the guest continues. Called before a memory
 * intercept is made.
 */
bool port_doorbell(struct vp *vp, gpa_t gpa, uint64_t value, unsigned int size);

#endif
