/*
 * A hosted home for the whole core: a machine of FAKE_PAGES pages of RAM, partitions with flat
 * maps, VPs that do what a test says when they are dispatched. Pages that are not the core's are
 * poisoned for the address sanitizer, so that a core that follows a pointer into guest memory, or
 * keeps one to a page it freed, is caught.
 */
#ifndef FAKE_PLAT_H
#define FAKE_PLAT_H

#include "tlfs/hv.h"

#define FAKE_PAGES 2048u
#define FAKE_GPNS  4096u /* of a child's space */
#define FAKE_BOOT_PAGES                                                                            \
	256u /* the last of the RAM: the root's pool from boot on, never RAM of the root */
#define FAKE_TSC_HZ      1000000000ull
#define FAKE_TABLE_PAGES 2u /* that plat_partition_create takes from the pool */
#define FAKE_VP_PAGES    3u /* that plat_vp_create takes */
#define FAKE_REGISTERS   96u

struct fake_register {
	uint32_t name;
	bool used;
	union hv_register_value value;
};

/* vp->home */
struct fake_vp {
	void *pages[FAKE_VP_PAGES];
	struct fake_register registers[FAKE_REGISTERS];
	uint64_t deadline_tsc;
	uint32_t kicks, tlb_flushes, resets, startups, offset_changes;
	uint8_t startup_vector;
	bool dispatched;
	uint8_t xsave[1024];
};

struct fake_machine {
	uint64_t tsc;
	uint32_t gpa_flushes, gpa_syncs;
	uint32_t apic_eois;
	/* Not SUCCESS: what the next plat_register_set returns, once. */
	hv_status_t next_register_status;
	int32_t pages_until_failure; /* plat_page_alloc fails at 0; negative: never */
	uint32_t translate_code, translate_error;
	uint64_t slice_end;   /* plat_slice_set */
	bool late_expiry;     /* a deadline that is taken away has passed just before */
	uint64_t spec_ctrl;   /* of whoever wrote it last; bits 2:0 are there */
	uint64_t fixed_pages; /* the root cannot give away pages below this one */
	/* Called by plat_vp_dispatch after the events were processed; may be NULL. */
	void (*run)(struct vp *vp);
	void *run_context;
};
extern struct fake_machine fake;

/* XMM0 to XMM5 of who makes a call, and what became of them. */
struct fake_xmm {
	uint64_t words[PLAT_XMM_WORDS];
	bool read, written;
};
extern struct fake_xmm fake_xmm;

extern struct partition fake_root;

/* A machine with a root partition of `lps` VPs, identified to the hypervisor. */
void fake_boot(uint32_t lps);
/* Also checks that no lock but the root VPs' is held. */
void fake_shutdown(void);

/* Pages by what they are; all together FAKE_PAGES. */
struct fake_count {
	uint32_t ram;       /* the root's, mapped in no child */
	uint32_t mapped;    /* the root's, mapped in a child */
	uint32_t pool_root; /* free or used, from the root's pool */
	uint32_t pool_children;
};
struct fake_count fake_count(void);
/* RAM of the root that is mapped in no child. */
bool fake_is_ram(uint64_t gpn);

static inline struct fake_vp *fake_vp(const struct vp *vp)
{
	return vp->home;
}

/* Guest memory as the guest sees it, overlays included; something must be there. */
void fake_read(struct partition *p, uint64_t gpa, void *to, size_t size);
void fake_write(struct partition *p, uint64_t gpa, const void *from, size_t size);
/* The page that lies over gpn, NULL if none. */
void *fake_overlay(struct partition *p, uint64_t gpn);
/* Flags with which a child's page is mapped (HV_MAP_GPA_*), 0: not; and where it comes from. */
uint32_t fake_mapping(struct partition *p, uint64_t gpn, uint64_t *source);

#endif
