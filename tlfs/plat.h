/*
 * What a home (bare metal, KVM, a test) supplies to the core. Names only: the linker chooses the
 * home.
 *
 * No function here blocks. Unless it says otherwise, one that takes a VP is called by that VP's
 * owner: the one that holds vp->lock (the LP that runs it, or a hypercall that took the lock).
 */
#ifndef TLFS_PLAT_H
#define TLFS_PLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/hv/registers.h"
#include "include/hv/types.h"
#include "lib/addr.h"
#include "lib/check.h"
#include "lib/string.h"

struct partition;
struct vp;
struct hv_output_dispatch_vp;
struct hv_x64_intercept_message_header;

/* What an access to a register or a leaf led to; the home acts on it. */
enum access_result {
	ACCESS_OK,     /* done */
	ACCESS_FAULT,  /* #GP(0) for the guest */
	ACCESS_PARENT, /* not ours: intercept message to the parent; RIP stays at the instruction */
};

/* Facts of the machine that never change after boot. */
struct plat_info {
	uint64_t tsc_hz;
	uint32_t lp_count;
	uint8_t physical_address_bits;
	bool tsc_invariant;
	bool tsc_equal;             /* the LPs' counters are one clock */
	uint64_t arch_capabilities; /* IA32_ARCH_CAPABILITIES, 0: no such register */
	uint32_t xsave_size_max; /* bytes, for all features that guests may enable; 0: no XSAVE */
	uint64_t xsave_features;
};
extern struct plat_info plat_info;

/* Time. */
uint64_t plat_tsc(void); /* the LP's TSC, the same on all LPs if plat_info.tsc_equal */
/*
 * Arms the VP's only hardware deadline; UINT64_MAX disarms. When it passes, the home sets
 * VP_EVENT_TIMER and kicks the VP. Once it is disarmed no such event comes: an expiry that is under
 * way on another LP is waited for.
 */
void plat_timer_set(struct vp *vp, uint64_t deadline_tsc);

/* VPs. */
/*
 * Home's part of a VP or partition (VMCB, page table root…), from the partition's deposits;
 * HV_STATUS_INSUFFICIENT_MEMORY if short. plat_partition_create comes with InitializePartition:
 * plat_page_* must work before, on p->pool alone.
 */
hv_status_t plat_partition_create(struct partition *p) MUST_CHECK;
/*
 * After the last VP is gone. A bounded part of the work a call; true: all maps are gone and the
 * home's pages are back in the pool.
 */
bool plat_partition_destroy(struct partition *p) MUST_CHECK;
hv_status_t plat_vp_create(struct vp *vp) MUST_CHECK;
void plat_vp_destroy(struct vp *vp);
/*
 * Fills a page with the instructions that a guest calls to make a hypercall (VMCALL or VMMCALL,
 * then a return).
 */
void plat_hypercall_page(void *page);
void plat_vp_reset(struct vp *vp); /* registers as after INIT */
/* One is being delivered, or was and its IRET has not come. By the owner. */
bool plat_nmi_masked(struct vp *vp);
void plat_vp_startup(struct vp *vp, uint8_t vector); /* CS:IP of a SIPI */
/*
 * Somebody else set a bit in vp->events: make the VP look at it. In guest mode elsewhere: IPI.
 * Halted or waiting root VP: wake its LP. Child VP that is not dispatched: tell the root's
 * scheduler (vp_signal_scheduler). Any context, any locks.
 */
void plat_vp_kick(struct vp *vp);
/*
 * DispatchVp: runs the child VP on this LP until it blocks, is suspended, intercepts, or this LP
 * has something for the root. HV_DISPATCH_VP_FLAG_*: those about flushes of the branch predictors.
 */
void plat_vp_dispatch(struct vp *vp, uint32_t flags, struct hv_output_dispatch_vp *out);
/*
 * From this time on the child VP that is being dispatched on this LP, or is next, gets
 * VP_EVENT_RELOAD; 0: no limit.
 */
void plat_slice_set(uint64_t end_tsc);
/*
 * Fills the common header of an intercept message from the VP's registers; access:
 * HV_INTERCEPT_ACCESS_*, 0 instruction length.
 */
void plat_intercept_header(struct vp *vp, uint8_t access,
			   struct hv_x64_intercept_message_header *header);
/*
 * An ordinary register by its TLFS name. INVALID_PARAMETER for a name that is not the home's,
 * INVALID_REGISTER_VALUE for a bad value.
 */
hv_status_t plat_register_get(struct vp *vp, uint32_t name,
			      union hv_register_value *value) MUST_CHECK;
hv_status_t plat_register_set(struct vp *vp, uint32_t name,
			      const union hv_register_value *value) MUST_CHECK;
/*
 * XSAVE image, compacted form (what XSAVES would write) of plat_info.xsave_size_max bytes at most.
 */
hv_status_t plat_xsave_get(struct vp *vp, void *image, uint32_t size) MUST_CHECK;
hv_status_t plat_xsave_set(struct vp *vp, const void *image, uint32_t size) MUST_CHECK;
/*
 * XMM0 to XMM5 of the VP that makes a hypercall: a fast call has in them what does not fit in RDX
 * and R8. They are in the processor, and most calls do without.
 */
#define PLAT_XMM_WORDS 12
void plat_xmm_get(struct vp *vp, uint64_t xmm[PLAT_XMM_WORDS]);
void plat_xmm_set(struct vp *vp, const uint64_t xmm[PLAT_XMM_WORDS]);
/*
 * Walks the guest's own page tables; result: HV_TRANSLATE_GVA_* code in *code. No side effect other
 * than accessed/dirty when asked. *error: the error code of the page fault, if it is one; *gpa then
 * is where the entry is at which the walk ended.
 */
hv_status_t plat_translate_gva(struct vp *vp, gva_t gva, uint64_t control_flags, uint32_t *code,
			       gpa_t *gpa, uint32_t *error) MUST_CHECK;

/* Processor facts and registers behind the policy tables of cpuid.c and msr.c. */
void plat_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]); /* the machine's own answer */
/*
 * Bits of a leaf that follow the VP's state (OSXSAVE, APIC id and so on are the core's; CR4 is the
 * home's).
 */
uint64_t plat_cr4(struct vp *vp);
uint64_t plat_xcr0(struct vp *vp);
/*
 * Architectural MSRs that msr.c does not know: EFER, PAT, SYSENTER, STAR, FS base… For the root
 * also the machine's own. ACCESS_PARENT: the home knows no such register either; the core decides
 * then.
 */
enum access_result plat_msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
enum access_result plat_msr_write(struct vp *vp, uint32_t msr, uint64_t value);
void plat_tsc_offset_changed(struct vp *vp); /* vp->tsc_offset was written */
/*
 * The guest wrote EOI for a level-triggered vector. Root: ends the physical interrupt. Child: the
 * core sends the message itself.
 */
void plat_apic_eoi(struct vp *vp, uint8_t vector);
/* LVT LINT0/LINT1 of a root VP changed: the machine's pin follows. */
void plat_apic_lint(struct vp *vp, unsigned int pin, uint32_t lvt);

/* Memory. Page counts and ownership: hypervisor/memory.c. */
void *plat_spa_ptr(spa_t spa);        /* where the core sees this page; valid for all RAM */
spa_t plat_ptr_spa(const void *page); /* and back */
/*
 * The partition's own pool: pages that were deposited to it. Zeroed. NULL when empty. Lock: the
 * memory lock, taken inside.
 */
void *plat_page_alloc(struct partition *p);
void plat_page_free(struct partition *p, void *page);
/*
 * Moves page gpn of `from` (its parent) into p's pool: unmapped from `from` everywhere before it
 * returns with the batch's flush.
 */
hv_status_t plat_page_deposit(struct partition *from, uint64_t gpn, struct partition *p) MUST_CHECK;
/* Takes one free page of p's pool back to `to`; HV_STATUS_NO_RESOURCES when none is left. */
hv_status_t plat_page_withdraw(struct partition *p, struct partition *to, uint64_t *gpn) MUST_CHECK;
uint64_t plat_pool_count(struct partition *p);    /* free pages in the pool */
uint64_t plat_deposit_count(struct partition *p); /* pages deposited in all, free or used */

/*
 * Guest memory. Copies within one page of the partition's space, under the memory lock, so that no
 * page can change hands meanwhile. false: not mapped, or not readable/writable by the guest. Marks
 * accessed/dirty. size: 1 to 4096 - (gpa % 4096). plat_gpa_writable tells beforehand whether a
 * write to the page would do.
 */
bool plat_gpa_read(struct partition *p, gpa_t gpa, void *to, uint32_t size) MUST_CHECK;
bool plat_gpa_write(struct partition *p, gpa_t gpa, const void *from, uint32_t size) MUST_CHECK;
bool plat_gpa_writable(struct partition *p, uint64_t gpn);
/*
 * One leaf: map, change or unmap. `large`: 2 MiB, both numbers aligned. source_gpn is in the
 * parent's space.
 */
hv_status_t plat_gpa_map(struct partition *p, uint64_t gpn, struct partition *parent,
			 uint64_t source_gpn, uint32_t flags, bool large) MUST_CHECK;
hv_status_t plat_gpa_unmap(struct partition *p, uint64_t gpn, bool large) MUST_CHECK;
/*
 * Reads, and by `flags` clears or sets, accessed and dirty; *state gets HV_GPA_PAGE_ACCESS_STATE
 * bits.
 */
hv_status_t plat_gpa_access_state(struct partition *p, uint64_t gpn, uint64_t flags,
				  uint8_t *state) MUST_CHECK;
/*
 * Lays a page of the pool over GPN (which need not be mapped); a second overlay on the same GPN
 * lies on top; removing shows what was below.
 */
hv_status_t plat_overlay_map(struct partition *p, uint64_t gpn, void *page) MUST_CHECK;
void plat_overlay_unmap(struct partition *p, uint64_t gpn, void *page);
/*
 * Domains of the root's devices (HvCallCreateDeviceDomain and so on): address spaces in which a
 * device reaches no more than what was mapped. Pages are numbers of 4 KiB; a device is its
 * requester id in segment 0. Lock: the memory lock, taken inside. FEATURE_UNAVAILABLE where the
 * machine has no IOMMU that is used; NOT_FOUND when there is no such domain; INSUFFICIENT_MEMORY
 * when the root's pool is empty.
 */
uint8_t plat_device_width(void); /* bits of a device's address; 0: no IOMMU is used */
hv_status_t plat_device_domain_create(uint32_t id) MUST_CHECK;
/* A bounded part of the work; *again: there is more. OBJECT_IN_USE while devices are in it. */
hv_status_t plat_device_domain_delete(uint32_t id, bool *again) MUST_CHECK;
/* From the domain in which it is. HV_DEVICE_DOMAIN_ID_S2_DEFAULT is the root's own. No DMA by the
 * domain before comes after that. */
hv_status_t plat_device_attach(uint16_t device, uint32_t id) MUST_CHECK;
/* From *done on to the first that cannot be. Nothing may be mapped there. `large`: an entry is 2
 * MiB. */
hv_status_t plat_device_map(uint32_t id, uint64_t page, const uint64_t *gpns, uint32_t count,
			    bool writable, bool large, uint32_t *done) MUST_CHECK;
/*
 * Up to `count` pages from `page` on, some of them at least; when it returns no device reaches
 * them. A large one goes as a whole or not at all (INVALID_PARAMETER). What is not mapped is done,
 * too.
 */
#define PLAT_DEVICE_UNMAP_PAGES 1024
hv_status_t plat_device_unmap(uint32_t id, uint64_t page, uint32_t count,
			      uint32_t *done) MUST_CHECK;
/*
 * Interrupts of a device that is in a domain of its own: edges of a vector, at a VP of the root,
 * each with a number by which the device raises it. It raises no others, and loses them when it
 * goes back to the root's domain. FEATURE_UNAVAILABLE where the machine cannot hold a device to
 * that; NOT_FOUND for a device that is in the root's domain; NO_RESOURCES when it has as many as it
 * can have.
 */
bool plat_device_interrupts(void); /* the machine can */
hv_status_t plat_device_interrupt_map(uint16_t device, uint32_t vp_index, uint32_t vector,
				      uint32_t *number) MUST_CHECK;
hv_status_t plat_device_interrupt_retarget(uint16_t device, uint32_t number, uint32_t vp_index,
					   uint32_t vector) MUST_CHECK;
hv_status_t plat_device_interrupt_unmap(uint16_t device, uint32_t number) MUST_CHECK;
/*
 * After a batch of deposits, unmaps or protections: returns when no LP can use an old translation
 * of p's GPA space.
 */
void plat_gpa_flush(struct partition *p);
/*
 * The VP's guest-virtual TLB is empty at its next instruction; from vp_process_events(), others
 * post VP_EVENT_TLB. plat_tlb_sync waits until a VP that was in guest mode when it was posted has
 * left it, so that it sees the event before its next instruction; not for the caller's own VP.
 */
void plat_tlb_flush(struct vp *vp);
void plat_tlb_sync(struct vp *vp);

/*
 * Text for the hypervisor's console and event trace; no newline needed. Rate-limited by the home
 * when a guest can cause it.
 */
void plat_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
