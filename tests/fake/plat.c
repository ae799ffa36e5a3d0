#include "tests/fake/plat.h"

#include <assert.h>
#include <sanitizer/asan_interface.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum page_kind { PAGE_RAM, PAGE_FREE, PAGE_USED };

struct page {
	enum page_kind kind;
	struct partition *owner;
	uint32_t mapped;
	bool boot, dirty; /* dirty: not all zero, perhaps */
};

struct mapping {
	bool present;
	uint64_t source;
	uint32_t flags;
	bool accessed, dirty;
};

#define OVERLAYS 128

struct overlay {
	struct partition *partition;
	uint64_t gpn;
	void *page;
};

struct fake_partition {
	void *tables[FAKE_TABLE_PAGES];
	struct mapping map[FAKE_GPNS];
};

struct plat_info plat_info;
struct fake_machine fake;
struct partition fake_root;

static uint8_t *ram; /* kept from one machine to the next */
static struct page pages[FAKE_PAGES];
static struct overlay overlays[OVERLAYS]; /* a later one lies on top */
static uint32_t overlay_count;

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s)\n", file, line, what);
	abort();
}

void plat_log(const char *format, ...)
{
	(void)format;
}

/* ---- Pages ---- */

static uint8_t *page_bytes(uint64_t spn)
{
	return ram + spn * PAGE_SIZE;
}

static uint64_t page_number(const void *page)
{
	return (uint64_t)((const uint8_t *)page - ram) / PAGE_SIZE;
}

static void set_kind(uint64_t spn, enum page_kind kind, struct partition *owner)
{
	pages[spn].kind = kind;
	pages[spn].owner = owner;
	pages[spn].dirty = true;
	if (kind == PAGE_USED) {
		ASAN_UNPOISON_MEMORY_REGION(page_bytes(spn), PAGE_SIZE);
	} else {
		ASAN_POISON_MEMORY_REGION(page_bytes(spn), PAGE_SIZE);
	}
}

void *plat_spa_ptr(spa_t spa)
{
	return ram + spa.v;
}

spa_t plat_ptr_spa(const void *page)
{
	return (spa_t){(uint64_t)((const uint8_t *)page - ram)};
}

/* The root's from the end, where its boot pages are: those are not to be withdrawn. */
void *plat_page_alloc(struct partition *p)
{
	if (fake.pages_until_failure == 0) {
		return NULL;
	}
	if (fake.pages_until_failure > 0) {
		fake.pages_until_failure--;
	}
	for (uint64_t i = 0; i < FAKE_PAGES; i++) {
		uint64_t spn = p->parent != NULL ? i : FAKE_PAGES - 1 - i;

		if (pages[spn].kind != PAGE_FREE || pages[spn].owner != p) {
			continue;
		}
		set_kind(spn, PAGE_USED, p);
		p->pool.free_count--;
		return memset(page_bytes(spn), 0, PAGE_SIZE);
	}
	return NULL;
}

void plat_page_free(struct partition *p, void *page)
{
	uint64_t spn = page_number(page);

	assert(spn < FAKE_PAGES && page_bytes(spn) == page);
	assert(pages[spn].kind == PAGE_USED && pages[spn].owner == p);
	for (uint32_t i = 0; i < overlay_count; i++) {
		assert(overlays[i].page != page);
	}
	set_kind(spn, PAGE_FREE, p);
	p->pool.free_count++;
}

hv_status_t plat_page_deposit(struct partition *from, uint64_t gpn, struct partition *p)
{
	assert(!from->parent);
	if (gpn < fake.fixed_pages || gpn >= FAKE_PAGES || pages[gpn].kind != PAGE_RAM) {
		return HV_STATUS_ACCESS_DENIED;
	}
	if (pages[gpn].mapped) {
		return HV_STATUS_OBJECT_IN_USE;
	}
	set_kind(gpn, PAGE_FREE, p);
	p->pool.free_count++;
	p->pool.deposited++;
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_page_withdraw(struct partition *p, struct partition *to, uint64_t *gpn)
{
	for (uint64_t spn = 0; spn < FAKE_PAGES; spn++) {
		if (pages[spn].kind != PAGE_FREE || pages[spn].owner != p || pages[spn].boot) {
			continue;
		}
		set_kind(spn, PAGE_RAM, to);
		p->pool.free_count--;
		p->pool.deposited--;
		*gpn = spn;
		return HV_STATUS_SUCCESS;
	}
	return HV_STATUS_NO_RESOURCES;
}

uint64_t plat_pool_count(struct partition *p)
{
	return p->pool.free_count;
}

uint64_t plat_deposit_count(struct partition *p)
{
	return p->pool.deposited;
}

struct fake_count fake_count(void)
{
	struct fake_count count = {0};

	for (uint64_t spn = 0; spn < FAKE_PAGES; spn++) {
		if (pages[spn].kind == PAGE_RAM) {
			*(pages[spn].mapped ? &count.mapped : &count.ram) += 1;
		} else {
			*(pages[spn].owner == &fake_root ? &count.pool_root
							 : &count.pool_children) += 1;
		}
	}
	return count;
}

bool fake_is_ram(uint64_t gpn)
{
	return gpn < FAKE_PAGES && pages[gpn].kind == PAGE_RAM && !pages[gpn].mapped;
}

/* ---- Guest memory ---- */

static struct mapping *mapping_at(struct partition *p, uint64_t gpn)
{
	struct fake_partition *home = p->home;

	return home != NULL && gpn < FAKE_GPNS ? &home->map[gpn] : NULL;
}

void *fake_overlay(struct partition *p, uint64_t gpn)
{
	for (uint32_t i = overlay_count; i-- > 0;) {
		if (overlays[i].partition == p && overlays[i].gpn == gpn) {
			return overlays[i].page;
		}
	}
	return NULL;
}

/* The bytes behind a page of a partition's space. */
static uint8_t *gpn_bytes(struct partition *p, uint64_t gpn, uint32_t access)
{
	uint8_t *overlay = fake_overlay(p, gpn);
	struct mapping *mapping;

	if (overlay != NULL) {
		return overlay;
	}
	if (p->parent == NULL) {
		return gpn < FAKE_PAGES && pages[gpn].kind == PAGE_RAM ? page_bytes(gpn) : NULL;
	}
	mapping = mapping_at(p, gpn);
	if (mapping == NULL || !mapping->present || (mapping->flags & access) != access) {
		return NULL;
	}
	mapping->accessed = true;
	mapping->dirty |= !!(access & HV_MAP_GPA_WRITABLE);
	return page_bytes(mapping->source);
}

static void copy(void *to, const void *from, size_t size, void *guest)
{
	uint64_t spn = page_number(guest);
	bool poisoned = pages[spn].kind != PAGE_USED;

	ASAN_UNPOISON_MEMORY_REGION(page_bytes(spn), PAGE_SIZE);
	memcpy(to, from, size);
	pages[spn].dirty = true;
	if (poisoned) {
		ASAN_POISON_MEMORY_REGION(page_bytes(spn), PAGE_SIZE);
	}
}

bool plat_gpa_read(struct partition *p, gpa_t gpa, void *to, uint32_t size)
{
	uint8_t *bytes = gpn_bytes(p, gpa.v >> PAGE_SHIFT, HV_MAP_GPA_READABLE);

	assert(size > 0 && (gpa.v & PAGE_MASK) + size <= PAGE_SIZE);
	if (bytes != NULL) {
		copy(to, bytes + (gpa.v & PAGE_MASK), size, bytes);
	}
	return bytes != NULL;
}

bool plat_gpa_write(struct partition *p, gpa_t gpa, const void *from, uint32_t size)
{
	uint8_t *bytes = gpn_bytes(p, gpa.v >> PAGE_SHIFT, HV_MAP_GPA_WRITABLE);

	assert(size > 0 && (gpa.v & PAGE_MASK) + size <= PAGE_SIZE);
	if (bytes != NULL) {
		copy(bytes + (gpa.v & PAGE_MASK), from, size, bytes);
	}
	return bytes != NULL;
}

bool plat_gpa_writable(struct partition *p, uint64_t gpn)
{
	return gpn_bytes(p, gpn, HV_MAP_GPA_WRITABLE) != NULL;
}

void fake_read(struct partition *p, uint64_t gpa, void *to, size_t size)
{
	uint8_t *bytes = gpn_bytes(p, gpa >> PAGE_SHIFT, 0);

	assert(bytes != NULL);
	copy(to, bytes + (gpa & PAGE_MASK), size, bytes);
}

void fake_write(struct partition *p, uint64_t gpa, const void *from, size_t size)
{
	uint8_t *bytes = gpn_bytes(p, gpa >> PAGE_SHIFT, 0);

	assert(bytes != NULL);
	copy(bytes + (gpa & PAGE_MASK), from, size, bytes);
}

uint32_t fake_mapping(struct partition *p, uint64_t gpn, uint64_t *source)
{
	struct mapping *mapping = mapping_at(p, gpn);

	if (mapping == NULL || !mapping->present) {
		return 0;
	}
	if (source != NULL) {
		*source = mapping->source;
	}
	return mapping->flags;
}

static void unmap(struct mapping *mapping)
{
	if (mapping->present && !(mapping->flags & HV_MAP_GPA_NO_ACCESS)) {
		pages[mapping->source].mapped--;
	}
	*mapping = (struct mapping){0};
}

hv_status_t plat_gpa_map(struct partition *p, uint64_t gpn, struct partition *parent,
			 uint64_t source_gpn, uint32_t flags, bool large)
{
	uint64_t count = large ? LARGE_PAGE_PAGES : 1;

	assert(p->parent == parent);
	if (gpn + count > FAKE_GPNS) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	for (uint64_t i = 0; i < count && !(flags & HV_MAP_GPA_NO_ACCESS); i++) {
		if (source_gpn + i >= FAKE_PAGES || pages[source_gpn + i].kind != PAGE_RAM) {
			return HV_STATUS_ACCESS_DENIED;
		}
	}
	for (uint64_t i = 0; i < count; i++) {
		struct mapping *mapping = mapping_at(p, gpn + i);

		unmap(mapping);
		*mapping = (struct mapping){true, source_gpn + i, flags, false, false};
		if (!(flags & HV_MAP_GPA_NO_ACCESS)) {
			pages[source_gpn + i].mapped++;
		}
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_gpa_unmap(struct partition *p, uint64_t gpn, bool large)
{
	uint64_t count = large ? LARGE_PAGE_PAGES : 1;

	if (gpn + count > FAKE_GPNS) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	for (uint64_t i = 0; i < count; i++) {
		unmap(mapping_at(p, gpn + i));
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_gpa_access_state(struct partition *p, uint64_t gpn, uint64_t flags, uint8_t *state)
{
	union hv_gpa_page_access_state_flags f = {.as_uint64 = flags};
	struct mapping *mapping = mapping_at(p, gpn);

	if (mapping == NULL || !mapping->present) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	*state = (uint8_t)(mapping->accessed | mapping->dirty << 1);
	mapping->accessed = (mapping->accessed && !f.clear_accessed) || f.set_accessed;
	mapping->dirty = (mapping->dirty && !f.clear_dirty) || f.set_dirty;
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_overlay_map(struct partition *p, uint64_t gpn, void *page)
{
	uint64_t spn = page_number(page);

	assert(spn < FAKE_PAGES && page_bytes(spn) == page && pages[spn].kind == PAGE_USED);
	if (overlay_count == OVERLAYS) {
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	overlays[overlay_count++] = (struct overlay){p, gpn, page};
	return HV_STATUS_SUCCESS;
}

void plat_overlay_unmap(struct partition *p, uint64_t gpn, void *page)
{
	for (uint32_t i = overlay_count; i-- > 0;) {
		if (overlays[i].partition != p || overlays[i].gpn != gpn ||
		    overlays[i].page != page) {
			continue;
		}
		memmove(&overlays[i], &overlays[i + 1],
			(overlay_count - i - 1) * sizeof(overlays[0]));
		overlay_count--;
		return;
	}
	assert(!"no such overlay");
}

void plat_gpa_flush(struct partition *p)
{
	(void)p;
	fake.gpa_flushes++;
}

/* ---- Partitions and VPs ---- */

static bool take_pages(struct partition *p, void **list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		list[i] = plat_page_alloc(p);
	}
	for (uint32_t i = 0; i < count; i++) {
		if (list[i] == NULL) {
			return false;
		}
	}
	return true;
}

static void give_pages(struct partition *p, void **list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i] != NULL) {
			plat_page_free(p, list[i]);
		}
	}
}

hv_status_t plat_partition_create(struct partition *p)
{
	struct fake_partition *home = calloc(1, sizeof(*home));

	assert(home && !p->home);
	if (!take_pages(p, home->tables, FAKE_TABLE_PAGES)) {
		give_pages(p, home->tables, FAKE_TABLE_PAGES);
		free(home);
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	p->home = home;
	return HV_STATUS_SUCCESS;
}

bool plat_partition_destroy(struct partition *p)
{
	struct fake_partition *home = p->home;
	uint32_t budget = 64;

	for (uint64_t gpn = 0; gpn < FAKE_GPNS; gpn++) {
		if (!home->map[gpn].present) {
			continue;
		}
		if (!budget--) {
			return false;
		}
		unmap(&home->map[gpn]);
	}
	for (uint32_t i = 0; i < overlay_count; i++) {
		assert(overlays[i].partition != p);
	}
	give_pages(p, home->tables, FAKE_TABLE_PAGES);
	free(home);
	p->home = NULL;
	return true;
}

/* A deadline that another LP finds passed just before it is gone. */
static void expire_late(struct vp *vp)
{
	if (fake.late_expiry && fake_vp(vp)->deadline_tsc != HV_NEVER) {
		vp_post_event(vp, VP_EVENT_TIMER);
	}
	fake_vp(vp)->deadline_tsc = HV_NEVER;
}

void plat_timer_set(struct vp *vp, uint64_t deadline_tsc)
{
	if (deadline_tsc == HV_NEVER) {
		expire_late(vp);
	}
	fake_vp(vp)->deadline_tsc = deadline_tsc;
}

hv_status_t plat_vp_create(struct vp *vp)
{
	struct fake_vp *home = calloc(1, sizeof(*home));

	assert(home != NULL);
	if (!take_pages(vp->partition, home->pages, FAKE_VP_PAGES)) {
		give_pages(vp->partition, home->pages, FAKE_VP_PAGES);
		free(home);
		return HV_STATUS_INSUFFICIENT_MEMORY;
	}
	home->deadline_tsc = HV_NEVER;
	vp->home = home;
	return HV_STATUS_SUCCESS;
}

void plat_vp_destroy(struct vp *vp)
{
	struct fake_vp *home = vp->home;

	assert(!home->dispatched);
	expire_late(vp);
	give_pages(vp->partition, home->pages, FAKE_VP_PAGES);
	free(home);
	vp->home = NULL;
}

void plat_hypercall_page(void *page)
{
	static const uint8_t code[] = {0x0f, 0x01, 0xd9, 0xc3};

	memcpy(page, code, sizeof(code));
}

void plat_vp_reset(struct vp *vp)
{
	fake_vp(vp)->resets++;
	memset(fake_vp(vp)->registers, 0, sizeof(fake_vp(vp)->registers));
}

void plat_vp_startup(struct vp *vp, uint8_t vector)
{
	fake_vp(vp)->startups++;
	fake_vp(vp)->startup_vector = vector;
}

void plat_vp_kick(struct vp *vp)
{
	fake_vp(vp)->kicks++;
	if (vp->partition->parent != NULL &&
	    !__atomic_load_n(&fake_vp(vp)->dispatched, __ATOMIC_SEQ_CST)) {
		vp_signal_scheduler(vp);
	}
}

void plat_slice_set(uint64_t end_tsc)
{
	fake.slice_end = end_tsc;
}

void plat_vp_dispatch(struct vp *vp, uint32_t flags, struct hv_output_dispatch_vp *out)
{
	(void)flags;
	uint32_t suspend;

	assert(vp->partition->parent && vp->lock.next != vp->lock.owner);
	__atomic_store_n(&fake_vp(vp)->dispatched, true, __ATOMIC_SEQ_CST);
	if (vp->events) {
		vp_process_events(vp);
	}
	if (fake.run != NULL && !(vp->events & VP_EVENT_RELOAD) && vp_runnable(vp)) {
		fake.run(vp);
	}
	__atomic_store_n(&fake_vp(vp)->dispatched, false, __ATOMIC_SEQ_CST);
	suspend = vp->suspend;
	out->dispatch_state = HV_VP_DISPATCH_STATE_READY;
	out->dispatch_event = HV_VP_DISPATCH_EVENT_INVALID;
	if (suspend & VP_SUSPEND_INTERCEPT) {
		out->dispatch_event = HV_VP_DISPATCH_EVENT_INTERCEPT;
	} else if (suspend) {
		out->dispatch_state = HV_VP_DISPATCH_STATE_BLOCKED;
		out->dispatch_event = HV_VP_DISPATCH_EVENT_SUSPEND;
	} else if (!vp_runnable(vp)) {
		out->dispatch_state = HV_VP_DISPATCH_STATE_BLOCKED;
	}
}

void plat_intercept_header(struct vp *vp, uint8_t access,
			   struct hv_x64_intercept_message_header *header)
{
	header->vp_index = vp->index;
	header->intercept_access_type = access;
}

/* ---- Registers ---- */

static bool register_known(uint32_t name)
{
	return (name >= HV_X64_REGISTER_RAX && name <= HV_X64_REGISTER_RFLAGS) ||
	       (name >= HV_X64_REGISTER_XMM0 && name <= HV_X64_REGISTER_XMM_CONTROL_STATUS) ||
	       (name >= HV_X64_REGISTER_CR0 && name <= HV_X64_REGISTER_XFEM) ||
	       (name >= HV_X64_REGISTER_ES && name <= HV_X64_REGISTER_TR) ||
	       name == HV_X64_REGISTER_IDTR || name == HV_X64_REGISTER_GDTR ||
	       name == HV_X64_REGISTER_EFER || name == HV_X64_REGISTER_PAT ||
	       name == HV_REGISTER_PENDING_INTERRUPTION || name == HV_REGISTER_INTERRUPT_STATE;
}

static struct fake_register *register_slot(struct vp *vp, uint32_t name)
{
	struct fake_register *slot = fake_vp(vp)->registers;

	while (slot->used && slot->name != name) {
		slot++;
	}
	assert(slot < fake_vp(vp)->registers + FAKE_REGISTERS);
	return slot;
}

hv_status_t plat_register_get(struct vp *vp, uint32_t name, union hv_register_value *value)
{
	if (!register_known(name)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	*value = register_slot(vp, name)->value;
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_register_set(struct vp *vp, uint32_t name, const union hv_register_value *value)
{
	hv_status_t status = fake.next_register_status;

	fake.next_register_status = HV_STATUS_SUCCESS;
	if (!register_known(name)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (status == HV_STATUS_SUCCESS) {
		*register_slot(vp, name) = (struct fake_register){name, true, *value};
	}
	return status;
}

hv_status_t plat_xsave_get(struct vp *vp, void *image, uint32_t size)
{
	memcpy(image, fake_vp(vp)->xsave, size);
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_xsave_set(struct vp *vp, const void *image, uint32_t size)
{
	memcpy(fake_vp(vp)->xsave, image, size);
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_translate_gva(struct vp *vp, gva_t gva, uint64_t control_flags, uint32_t *code,
			       gpa_t *gpa, uint32_t *error)
{
	(void)vp;
	(void)control_flags;
	*error = fake.translate_error;
	*code = fake.translate_code;
	gpa->v = gva.v & 0xffffffffff; /* identity */
	return HV_STATUS_SUCCESS;
}

void plat_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	static const uint32_t vendor[4] = {0x10, 0x68747541, 0x444d4163,
					   0x69746e65}; /* AuthenticAMD */

	memset(out, 0, 16);
	if (leaf == 0) {
		memcpy(out, vendor, 16);
	} else if (leaf == 1) {
		out[2] = 1u << 26 | 1u << 28; /* XSAVE, AVX */
	} else if (leaf == 0xd && subleaf == 0) {
		out[0] = 7;
	} else if (leaf == 0x80000000) {
		out[0] = 0x80000008;
	}
}

bool plat_nmi_masked(struct vp *vp)
{
	return register_slot(vp, HV_REGISTER_INTERRUPT_STATE)->value.interrupt_state.nmi_masked;
}

uint64_t plat_cr4(struct vp *vp)
{
	return register_slot(vp, HV_X64_REGISTER_CR4)->value.reg64;
}

struct fake_xmm fake_xmm;

void plat_xmm_get(struct vp *vp, uint64_t xmm[PLAT_XMM_WORDS])
{
	(void)vp;
	memcpy(xmm, fake_xmm.words, sizeof(fake_xmm.words));
	fake_xmm.read = true;
}

void plat_xmm_set(struct vp *vp, const uint64_t xmm[PLAT_XMM_WORDS])
{
	(void)vp;
	memcpy(fake_xmm.words, xmm, sizeof(fake_xmm.words));
	fake_xmm.written = true;
}

uint64_t plat_xcr0(struct vp *vp)
{
	(void)vp;
	return 1;
}

enum access_result plat_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
	(void)vp;
	(void)msr;
	(void)value;
	return ACCESS_PARENT;
}

enum access_result plat_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
	(void)vp;
	if (msr != 0x48) {
		return ACCESS_PARENT;
	}
	if (value & ~7ull) {
		return ACCESS_FAULT;
	}
	fake.spec_ctrl = value;
	return ACCESS_OK;
}

void plat_tsc_offset_changed(struct vp *vp)
{
	fake_vp(vp)->offset_changes++;
}

/* ---- Time, interrupts, TLBs ---- */

uint64_t plat_tsc(void)
{
	return fake.tsc;
}

void plat_apic_eoi(struct vp *vp, uint8_t vector)
{
	(void)vp;
	(void)vector;
	fake.apic_eois++;
}

void plat_apic_lint(struct vp *vp, unsigned int pin, uint32_t lvt)
{
	(void)vp;
	(void)pin;
	(void)lvt;
}

void plat_tlb_flush(struct vp *vp)
{
	fake_vp(vp)->tlb_flushes++;
}

void plat_tlb_sync(struct vp *vp)
{
	(void)vp;
	fake.gpa_syncs++;
}

/* ---- The machine ---- */

/* All zero and poisoned. */
static void ram_prepare(void)
{
	if (ram == NULL) {
		ram = mmap(NULL, FAKE_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert(ram != MAP_FAILED);
		ASAN_POISON_MEMORY_REGION(ram, FAKE_PAGES * PAGE_SIZE);
	}
	for (uint64_t spn = 0; spn < FAKE_PAGES; spn++) {
		if (!pages[spn].dirty) {
			continue;
		}
		ASAN_UNPOISON_MEMORY_REGION(page_bytes(spn), PAGE_SIZE);
		memset(page_bytes(spn), 0, PAGE_SIZE);
		ASAN_POISON_MEMORY_REGION(page_bytes(spn), PAGE_SIZE);
	}
}

void fake_boot(uint32_t lps)
{
	uint32_t apic_ids[HV_MAX_VPS];

	fake = (struct fake_machine){.tsc = 1000000, .pages_until_failure = -1};
	plat_info = (struct plat_info){.tsc_hz = FAKE_TSC_HZ,
				       .lp_count = lps,
				       .physical_address_bits = 40,
				       .tsc_invariant = true,
				       .tsc_equal = true,
				       .xsave_size_max = 832,
				       .xsave_features = 7};
	ram_prepare();
	overlay_count = 0;
	memset(&fake_root, 0, sizeof(fake_root));
	for (uint64_t spn = 0; spn < FAKE_PAGES; spn++) {
		bool boot = spn >= FAKE_PAGES - FAKE_BOOT_PAGES;

		pages[spn] = (struct page){boot ? PAGE_FREE : PAGE_RAM, &fake_root, 0, boot, false};
	}
	fake_root.pool.free_count = FAKE_BOOT_PAGES;
	for (uint32_t i = 0; i < lps; i++) {
		apic_ids[i] = i;
	}
	assert(partition_create_root(&fake_root, apic_ids, lps) == HV_STATUS_SUCCESS);
	fake_root.guest_os_id = 0x8100ull << 48;
}

void fake_shutdown(void)
{
	assert(fake_root.lock.next == fake_root.lock.owner);
	assert(fake_root.references == 1);
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		if (fake_root.vps[i] != NULL) {
			free(fake_root.vps[i]->home);
		}
	}
	free(fake_root.home);
}
