/*
 * A home for tests of the guest's side of the core: partitions and VPs made by hand, a clock that
 * moves only when told, and a record of what the core asked of its home. Links with tlfs/vp.o,
 * which is the real one.
 */
#ifndef FAKE_GUEST_H
#define FAKE_GUEST_H

#include "tlfs/hv.h"

#define GUEST_TSC_HZ       2000000000ull
#define GUEST_TSC_100NS    (GUEST_TSC_HZ / HV_REF_HZ)
#define GUEST_MAX_VPS      16
#define GUEST_CPUID_LEAVES 64

struct guest_leaf {
	uint32_t leaf, subleaf; /* subleaf UINT32_MAX: any */
	uint32_t out[4];
};

/* The machine, set before guest_create() and free to change after. */
struct guest_machine {
	uint64_t tsc;
	/* The first that fits answers; zeros end the list. */
	struct guest_leaf leaves[GUEST_CPUID_LEAVES];
	uint64_t cr4, xcr0;
	uint32_t pages_left; /* plat_page_alloc() gives this many more */
	hv_status_t overlay_status;
};
extern struct guest_machine machine;

/* What the core asked for. */
struct guest_record {
	uint64_t deadline[GUEST_MAX_VPS]; /* plat_timer_set(), by VP index */
	uint32_t kicks[GUEST_MAX_VPS];
	uint32_t tlb_flushes[GUEST_MAX_VPS], tlb_syncs, gpa_flushes;
	uint32_t eoi_count, notify_eoi_count, notify_flush_count, tsc_offset_changes, logs;
	uint8_t last_eoi;
	uint32_t lint[2];
	uint32_t plat_reads, plat_writes, last_msr;
	uint64_t last_value;
	uint32_t overlay_count; /* overlays that lie now */
	uint32_t resets, startups;
	uint8_t startup_vector;
};
extern struct guest_record record;

/*
 * A partition (root: id 1) with `count` VPs, apic ids as given or 0, 1, …; all privileges and
 * features.
 */
struct partition *guest_create(bool root, uint32_t count, const uint32_t *apic_ids);
void guest_destroy(struct partition *p);
/* A child's flags and features may be changed in between. */
struct partition *guest_prepare(bool root);
void guest_add_vps(struct partition *p, uint32_t count, const uint32_t *apic_ids);

/*
 * Moves the clock, sets VP_EVENT_TIMER where a deadline passed, and lets each VP look at its
 * events.
 */
void guest_advance(struct partition *p, uint64_t tsc);
void guest_process(struct partition *p);
/* The page that lies at gpn, or NULL. */
void *guest_overlay(uint64_t gpn);

#endif
