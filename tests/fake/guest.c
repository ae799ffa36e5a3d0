#include "tests/fake/guest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tlfs/partition.h"

#define MAX_OVERLAYS 64

struct plat_info plat_info;
struct guest_machine machine;
struct guest_record record;
struct partition *partition_root;

static struct overlay {
	uint64_t gpn;
	void *page;
} overlays[MAX_OVERLAYS];
static uint32_t pages_out;

/* ---- partitions ---- */

static void reset_machine(void)
{
	memset(&machine, 0, sizeof(machine));
	memset(&record, 0, sizeof(record));
	memset(overlays, 0, sizeof(overlays));
	machine.tsc = 5000 * GUEST_TSC_HZ;
	machine.pages_left = UINT32_MAX;
	machine.xcr0 = 1;
	plat_info = (struct plat_info){
		.tsc_hz = GUEST_TSC_HZ,
		.lp_count = 4,
		.physical_address_bits = 40,
		.tsc_invariant = true,
		.tsc_equal = true,
		.xsave_size_max = 4096,
		.xsave_features = 0x7,
	};
}

struct partition *guest_prepare(bool root)
{
	struct partition *p = calloc(1, PAGE_SIZE);

	reset_machine();
	p->id = root ? HV_ROOT_PARTITION : 7;
	p->parent = root ? NULL : p; /* only ever compared with NULL */
	p->privileges = UINT64_MAX;
	p->synthetic_features = UINT64_MAX;
	p->processor_features[0] = p->processor_features[1] = p->xsave_features = UINT64_MAX;
	p->create_flags = HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED |
			  HV_PARTITION_CREATION_FLAG_X2APIC_CAPABLE;
	p->state = PARTITION_INITIALIZED;
	p->hypercall_page = plat_page_alloc(p);
	p->tsc_page = plat_page_alloc(p);
	p->stats_page = plat_page_alloc(p);
	if (refclock_create(p) != HV_STATUS_SUCCESS) {
		abort();
	}
	if (root) {
		partition_root = p;
	}
	return p;
}

void guest_add_vps(struct partition *p, uint32_t count, const uint32_t *apic_ids)
{
	cpuid_create(p);
	for (uint32_t i = 0; i < count; i++) {
		record.deadline[i] = HV_NEVER;
		if (vp_create(p, i, apic_ids != NULL ? apic_ids[i] : i) != HV_STATUS_SUCCESS) {
			abort();
		}
		p->vps[i]->suspend = 0;
		p->vps[i]->activity = VP_ACTIVE;
	}
}

struct partition *guest_create(bool root, uint32_t count, const uint32_t *apic_ids)
{
	struct partition *p = guest_prepare(root);

	guest_add_vps(p, count, apic_ids);
	return p;
}

void guest_destroy(struct partition *p)
{
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		if (p->vps[i] != NULL) {
			vp_destroy(p->vps[i]);
		}
	}
	cpuid_override_destroy(p);
	msr_result_destroy(p);
	plat_page_free(p, p->hypercall_page);
	plat_page_free(p, p->tsc_page);
	plat_page_free(p, p->stats_page);
	free(p);
	if (pages_out) {
		fprintf(stderr, "%u pages were not given back\n", pages_out);
		abort();
	}
}

void guest_process(struct partition *p)
{
	for (uint32_t i = 0; i < GUEST_MAX_VPS; i++) {
		if (p->vps[i] != NULL && p->vps[i]->events) {
			vp_process_events(p->vps[i]);
		}
	}
}

void guest_advance(struct partition *p, uint64_t tsc)
{
	machine.tsc += tsc;
	for (uint32_t i = 0; i < GUEST_MAX_VPS; i++) {
		if (p->vps[i] != NULL && record.deadline[i] <= machine.tsc) {
			record.deadline[i] = HV_NEVER;
			vp_post_event(p->vps[i], VP_EVENT_TIMER);
		}
	}
	guest_process(p);
}

struct vp *partition_vp(struct partition *p, uint32_t index)
{
	return index < HV_MAX_VPS ? p->vps[index] : NULL;
}

/* ---- what the core calls ---- */

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s)\n", file, line, what);
	abort();
}

uint64_t plat_tsc(void)
{
	return machine.tsc;
}

void plat_timer_set(struct vp *vp, uint64_t deadline_tsc)
{
	record.deadline[vp->index] = deadline_tsc;
}

void *plat_page_alloc(struct partition *p)
{
	void *page;

	(void)p;
	if (!machine.pages_left) {
		return NULL;
	}
	machine.pages_left--;
	pages_out++;
	page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	if (page == NULL) {
		abort();
	}
	return memset(page, 0, PAGE_SIZE);
}

void plat_page_free(struct partition *p, void *page)
{
	(void)p;
	pages_out--;
	free(page);
}

hv_status_t plat_overlay_map(struct partition *p, uint64_t gpn, void *page)
{
	(void)p;
	if (machine.overlay_status != HV_STATUS_SUCCESS) {
		return machine.overlay_status;
	}
	for (unsigned int i = 0; i < MAX_OVERLAYS; i++) {
		if (overlays[i].page == NULL) {
			overlays[i] = (struct overlay){gpn, page};
			record.overlay_count++;
			return HV_STATUS_SUCCESS;
		}
	}
	abort();
}

void plat_overlay_unmap(struct partition *p, uint64_t gpn, void *page)
{
	(void)p;
	for (unsigned int i = 0; i < MAX_OVERLAYS; i++) {
		if (overlays[i].page == page && overlays[i].gpn == gpn) {
			overlays[i].page = NULL;
			record.overlay_count--;
			return;
		}
	}
	abort(); /* never laid */
}

void *guest_overlay(uint64_t gpn)
{
	for (unsigned int i = 0; i < MAX_OVERLAYS; i++) {
		if (overlays[i].page != NULL && overlays[i].gpn == gpn) {
			return overlays[i].page;
		}
	}
	return NULL;
}

void plat_gpa_flush(struct partition *p)
{
	(void)p;
	record.gpa_flushes++;
}

void plat_tlb_flush(struct vp *vp)
{
	record.tlb_flushes[vp->index]++;
}

/* As on metal: a VP that runs is made to look at its events before this returns. */
void plat_tlb_sync(struct vp *vp)
{
	record.tlb_syncs++;
	guest_process(vp->partition);
}

void plat_vp_kick(struct vp *vp)
{
	__atomic_fetch_add(&record.kicks[vp->index], 1, __ATOMIC_RELAXED);
}

hv_status_t plat_vp_create(struct vp *vp)
{
	(void)vp;
	return HV_STATUS_SUCCESS;
}

void plat_vp_destroy(struct vp *vp)
{
	(void)vp;
}

void plat_vp_reset(struct vp *vp)
{
	(void)vp;
	record.resets++;
}

bool plat_nmi_masked(struct vp *vp)
{
	(void)vp;
	return false;
}

void plat_vp_startup(struct vp *vp, uint8_t vector)
{
	(void)vp;
	record.startups++;
	record.startup_vector = vector;
}

void plat_intercept_header(struct vp *vp, uint8_t access,
			   struct hv_x64_intercept_message_header *header)
{
	header->vp_index = vp->index;
	header->intercept_access_type = access;
}

void plat_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	memset(out, 0, 4 * sizeof(out[0]));
	for (unsigned int i = 0; i < GUEST_CPUID_LEAVES; i++) {
		const struct guest_leaf *known = &machine.leaves[i];

		if (known->leaf == leaf &&
		    (known->subleaf == subleaf || known->subleaf == UINT32_MAX)) {
			memcpy(out, known->out, sizeof(known->out));
			return;
		}
	}
}

uint64_t plat_cr4(struct vp *vp)
{
	(void)vp;
	return machine.cr4;
}

uint64_t plat_xcr0(struct vp *vp)
{
	(void)vp;
	return machine.xcr0;
}

#define MSR_OF_HOME 0x277u /* PAT */

enum access_result plat_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
	(void)vp;
	record.plat_reads++;
	record.last_msr = msr;
	*value = record.last_value;
	return msr == MSR_OF_HOME ? ACCESS_OK : ACCESS_PARENT;
}

enum access_result plat_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
	(void)vp;
	record.plat_writes++;
	record.last_msr = msr;
	record.last_value = value;
	return msr == MSR_OF_HOME ? ACCESS_OK : ACCESS_PARENT;
}

void plat_tsc_offset_changed(struct vp *vp)
{
	(void)vp;
	record.tsc_offset_changes++;
}

void plat_apic_eoi(struct vp *vp, uint8_t vector)
{
	(void)vp;
	record.eoi_count++;
	record.last_eoi = vector;
}

void plat_apic_lint(struct vp *vp, unsigned int pin, uint32_t lvt)
{
	(void)vp;
	record.lint[pin] = lvt;
}

void plat_log(const char *format, ...)
{
	(void)format;
	record.logs++;
}

/* ---- the parent's side, of which only the call is of interest ---- */

void notify_apic_eoi(struct vp *vp, uint8_t vector)
{
	(void)vp;
	record.notify_eoi_count++;
	record.last_eoi = vector;
}

void notify_flush(struct vp *root_vp)
{
	(void)root_vp;
	record.notify_flush_count++;
}

void notify_forget(struct vp *vp)
{
	(void)vp;
}

void stats_forget_vp(struct vp *vp)
{
	(void)vp;
}

void state_pages_forget(struct vp *vp)
{
	(void)vp;
}
