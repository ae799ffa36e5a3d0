/*
 * Deposits, withdrawals, maps, overlays, accesses and faults in any order, of a root and two
 * children, and of devices that are in domains of their own. After each step the checker verifies
 * the invariants of docs/design/memory.md, and a model says what each partition must see.
 */
#include <stdio.h>
#include <string.h>

#include "tests/fake/ram.h"
#include "tests/fuzz/fuzz.h"

#define MIB         (1ull << 20)
#define PARTITIONS  (1 + RAM_CHILDREN)
#define OBJECTS     6
#define OVERLAYS    24
#define BLOCKS      4
#define CHILD_PAGES (BLOCKS * 512)
#define ROOT_PAGES  1536
#define DOMAINS     3
#define INTERRUPTS  4 /* that a device uses */
#define MIN_STEPS   10
#define NOTHING     0
#define NO_ACCESS   1 /* entry of the model: this, or source << 16 | flags */

/* A root with little memory of its own: its pool runs dry as the children's do. With an IOMMU, of
 * either kind, or without. */
static struct ram_machine machine = {
	.ranges = {{.base = 0, .size = 6 * MIB, .type = 1},
		   {.base = 4096 * MIB, .size = MIB, .type = 1}},
	.reserved_base = 4 * MIB,
	.reserved_size = 2 * MIB,
	.free_base = 6 * MIB - 40 * PAGE_SIZE,
	.address_bits = 40,
	.max_level = 2,
};
/* Where the blocks of 512 pages that a child uses lie: neighbours, and in other tables. */
static const uint64_t block_gpn[BLOCKS] = {0, 512, 0x3fe00, 1 << 27};

/* The same of a device domain. */
static const uint64_t block_page[BLOCKS] = {0, 512, 0xfec00, (1ull << 36) - 512};

struct shown {
	struct partition *p;
	uint64_t gpn;
	void *page;
};

static struct model {
	uint64_t child[RAM_CHILDREN][CHILD_PAGES];
	struct shown overlays[OVERLAYS]; /* the newest last */
	unsigned int overlay_count;
	void *objects[PARTITIONS][OBJECTS];
	struct {
		bool there;
		uint64_t pages[CHILD_PAGES]; /* NOTHING, or page << 16 | can be written */
	} domains[DOMAINS];
	unsigned int domain_of[RAM_DEVICES];          /* 0: the root's, 1 on: domains */
	uint16_t interrupts[RAM_DEVICES][INTERRUPTS]; /* vector << 8 | APIC ID; 0: none */
} model;

static uint16_t word(void)
{
	uint8_t high = fuzz_byte();

	return high << 8 | fuzz_byte();
}

static struct partition *partition(unsigned int i)
{
	return i % PARTITIONS ? &ram_children[i % PARTITIONS - 1] : &ram_root;
}

static unsigned int number(const struct partition *p)
{
	return p == &ram_root ? 0 : 1 + (p - ram_children);
}

static struct partition *live_child(void)
{
	struct partition *child = &ram_children[fuzz_byte() % RAM_CHILDREN];

	return child->home != NULL ? child : NULL;
}

static uint64_t child_gpn(unsigned int index)
{
	return block_gpn[index / 512] + index % 512;
}

/* A page of the machine: mostly RAM of the root, sometimes the hypervisor's or a device's. */
static uint64_t some_spn(void)
{
	static const uint64_t odd[] = {0x400,    0x5ff,    0x600,     0xfee00,   0xfec00,
				       0x100000, 0x100100, 0xfffffff, 0x10000000};
	uint16_t choice = word();

	return choice % 16 ? choice / 16 % ROOT_PAGES : odd[choice / 16 % ARRAY_COUNT(odd)];
}

/* ---- the model ---- */

static void *shown_at(const struct partition *p, uint64_t gpn)
{
	for (unsigned int i = model.overlay_count; i-- > 0;) {
		if (model.overlays[i].p == p && model.overlays[i].gpn == gpn) {
			return model.overlays[i].page;
		}
	}
	return NULL;
}

static bool is_shown(const void *page)
{
	for (unsigned int i = 0; i < model.overlay_count; i++) {
		if (model.overlays[i].page == page) {
			return true;
		}
	}
	return false;
}

static enum gpa_fault fault(struct partition *p, uint64_t gpn, uint32_t access)
{
	return gpa_fault(p, (gpa_t){gpn << PAGE_SHIFT}, access);
}

static void compare_child(unsigned int c, unsigned int index)
{
	struct partition *p = &ram_children[c];
	uint64_t gpn = child_gpn(index), entry = model.child[c][index], spn = entry >> 16;
	const void *top = shown_at(p, gpn), *seen = gpa_peek(p, gpn);
	bool writable = top != NULL || entry & HV_MAP_GPA_WRITABLE << 8;

	if (top != NULL) {
		EXPECT(seen == top);
	} else if (entry == NOTHING) {
		EXPECT(!seen && fault(p, gpn, HV_MAP_GPA_READABLE) == GPA_FAULT_UNMAPPED);
		return;
	} else if (entry == NO_ACCESS) {
		EXPECT(!seen && fault(p, gpn, HV_MAP_GPA_READABLE) == GPA_FAULT_ACCESS);
		return;
	} else {
		EXPECT(seen ==
		       (memory_page(spn) ? plat_spa_ptr((spa_t){spn << PAGE_SHIFT}) : NULL));
	}
	EXPECT(fault(p, gpn, HV_MAP_GPA_READABLE) == GPA_FAULT_RESOLVED);
	EXPECT(fault(p, gpn, HV_MAP_GPA_WRITABLE) ==
	       (writable ? GPA_FAULT_RESOLVED : GPA_FAULT_ACCESS));
}

static void compare_root(uint64_t gpn)
{
	const void *top = shown_at(&ram_root, gpn), *seen = gpa_peek(&ram_root, gpn);
	bool own = memory_page(gpn) != NULL && memory_page(gpn)->kind == PAGE_RAM;

	if (top != NULL || own) {
		EXPECT(seen == (top ? top : plat_spa_ptr((spa_t){gpn << PAGE_SHIFT})));
	} else {
		EXPECT(!seen && fault(&ram_root, gpn, HV_MAP_GPA_READABLE) == GPA_FAULT_PROTECTED);
	}
}

static void compare_device(unsigned int device, unsigned int index, bool write);

/* All of it at the end; a few pages after each step, the first of each block among them. */
static void compare(unsigned int stride)
{
	for (unsigned int c = 0; c < RAM_CHILDREN; c++) {
		for (unsigned int i = 0; ram_children[c].home != NULL && i < CHILD_PAGES;
		     i += stride) {
			compare_child(c, i);
		}
	}
	for (uint64_t gpn = 0; gpn < ROOT_PAGES; gpn += stride) {
		compare_root(gpn);
	}
	for (unsigned int i = 0; i < CHILD_PAGES; i += stride) {
		for (unsigned int device = 0; device < RAM_DEVICES; device++) {
			compare_device(device, i, i & 1);
		}
	}
}

/* ---- the steps ---- */

static void step_deposit(void)
{
	struct partition *p = partition(fuzz_byte());
	uint64_t gpn = some_spn();
	unsigned int count = 1 + fuzz_byte() % 16;

	for (unsigned int i = 0; i < count; i++) {
		if (plat_page_deposit(&ram_root, gpn + i, p) == HV_STATUS_SUCCESS) {
			EXPECT(memory_page(gpn + i)->kind != PAGE_RAM);
		}
	}
}

static void step_withdraw(void)
{
	struct partition *p = partition(fuzz_byte());
	unsigned int count = 1 + fuzz_byte() % 16;
	uint64_t gpn;

	while (count-- && plat_page_withdraw(p, &ram_root, &gpn) == HV_STATUS_SUCCESS) {
		EXPECT(memory_page(gpn)->kind == PAGE_RAM);
	}
}

static void step_create(void)
{
	struct partition *p = &ram_children[fuzz_byte() % RAM_CHILDREN];

	if (p->home == NULL) {
		ram_create(p);
	}
}

static void forget_overlays(const struct partition *p)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < model.overlay_count; i++) {
		if (model.overlays[i].p != p) {
			model.overlays[kept++] = model.overlays[i];
		}
	}
	model.overlay_count = kept;
}

static void step_destroy(void)
{
	struct partition *p = live_child();

	if (p == NULL) {
		return;
	}
	ram_destroy(p);
	memset(model.child[number(p) - 1], 0, sizeof(model.child[0]));
	forget_overlays(p);
}

static void step_map(void)
{
	static const uint32_t rights[] = {
		1, 3, 5, 15, 0, HV_MAP_GPA_NO_ACCESS, 2, 3 | HV_MAP_GPA_NOT_CACHED};
	struct partition *p = live_child();
	uint8_t kind = fuzz_byte();
	uint32_t flags = rights[kind % 8];
	bool large = kind & 0x80;
	unsigned int index = word() % CHILD_PAGES & (large ? ~511u : ~0u), count = large ? 512 : 1;
	uint64_t source = some_spn() & (large ? ~511ull : ~0ull);

	if (p == NULL || plat_gpa_map(p, child_gpn(index), &ram_root, source, flags, large) !=
				 HV_STATUS_SUCCESS) {
		return;
	}
	for (unsigned int i = 0; i < count; i++) {
		model.child[number(p) - 1][index + i] =
			flags & HV_MAP_GPA_READABLE ? (source + i) << 16 | (flags & 0xf) << 8
						    : NO_ACCESS;
	}
}

static void step_unmap(void)
{
	struct partition *p = live_child();
	bool large = fuzz_byte() & 1;
	unsigned int index = word() % CHILD_PAGES & (large ? ~511u : ~0u), count = large ? 512 : 1;

	if (p == NULL || plat_gpa_unmap(p, child_gpn(index), large) != HV_STATUS_SUCCESS) {
		return;
	}
	memset(&model.child[number(p) - 1][index], 0, count * sizeof(model.child[0][0]));
}

static void step_object(void)
{
	unsigned int owner = fuzz_byte() % PARTITIONS;
	void **object = &model.objects[owner][fuzz_byte() % OBJECTS];
	static const uint8_t zero[PAGE_SIZE];

	if (*object == NULL) {
		*object = plat_page_alloc(partition(owner));
		if (*object != NULL) {
			EXPECT(!memcmp(*object, zero, PAGE_SIZE));
			memset(*object, 0x5a, PAGE_SIZE);
		}
	} else if (!is_shown(*object)) {
		plat_page_free(partition(owner), *object);
		*object = NULL;
	}
}

/* A partition shows its own pages; the root those of children too. */
static void step_overlay(void)
{
	struct partition *p = partition(fuzz_byte());
	unsigned int owner = p == &ram_root ? fuzz_byte() % PARTITIONS : number(p);
	void *page = model.objects[owner][fuzz_byte() % OBJECTS];
	uint64_t gpn = p == &ram_root ? word() % (2 * ROOT_PAGES) : child_gpn(word() % CHILD_PAGES);

	if (page == NULL || p->home == NULL || model.overlay_count == OVERLAYS) {
		return;
	}
	if (plat_overlay_map(p, gpn, page) == HV_STATUS_SUCCESS) {
		model.overlays[model.overlay_count++] = (struct shown){p, gpn, page};
	}
}

static void step_overlay_remove(void)
{
	unsigned int i = fuzz_byte(), last;
	struct shown gone;

	if (!model.overlay_count) {
		return;
	}
	gone = model.overlays[i % model.overlay_count];
	plat_overlay_unmap(gone.p, gone.gpn, gone.page);
	/* Of the same page twice at one place the newer one goes. */
	for (last = model.overlay_count - 1; memcmp(&model.overlays[last], &gone, sizeof(gone));
	     last--)
		;
	model.overlay_count--;
	memmove(&model.overlays[last], &model.overlays[last + 1],
		(model.overlay_count - last) * sizeof(gone));
}

static void step_touch(void)
{
	struct partition *p = partition(fuzz_byte());
	uint8_t kind = fuzz_byte();
	uint32_t access = kind & 1 ? HV_MAP_GPA_WRITABLE : HV_MAP_GPA_READABLE;
	uint64_t gpn = p != &ram_root ? child_gpn(word() % CHILD_PAGES)
		       : kind & 2     ? some_spn()
				      : (uint64_t)word() << 12 | fuzz_byte();

	if (p->home != NULL) {
		ram_touch(p, gpn, access);
	}
}

static void step_access_state(void)
{
	struct partition *p = live_child();
	uint64_t flags = fuzz_byte() % 16, gpn = child_gpn(word() % CHILD_PAGES);
	uint8_t before, after;

	if (p == NULL || plat_gpa_access_state(p, gpn, flags, &before) != HV_STATUS_SUCCESS) {
		return;
	}
	EXPECT(plat_gpa_access_state(p, gpn, 0, &after) == HV_STATUS_SUCCESS);
	EXPECT(!(flags & 1) || flags & 2 || !(after & 1));
	EXPECT(!(flags & 4) || flags & 8 || !(after & 2));
	EXPECT((after | before) == before || flags & 10);
}

static void step_copy(void)
{
	struct partition *p = partition(fuzz_byte());
	uint64_t gpn = p == &ram_root ? some_spn() : child_gpn(word() % CHILD_PAGES);
	uint8_t text[4];

	if (p->home == NULL || !plat_gpa_write(p, (gpa_t){gpn << PAGE_SHIFT | 0xffc}, "abc", 4)) {
		return;
	}
	EXPECT(plat_gpa_writable(p, gpn));
	EXPECT(plat_gpa_read(p, (gpa_t){gpn << PAGE_SHIFT | 0xffc}, text, 4) &&
	       !memcmp(text, "abc", 4));
}

/* A device of the root reaches what the root reaches. */
static void step_dma(void)
{
	uint64_t spn = some_spn();

	EXPECT(memory_page(spn) == NULL || machine.iommu == IOMMU_NONE ||
	       ram_dma(spn) == memory_owned(&ram_root, spn));
}

/* ---- devices in domains of their own. A domain's id is its place and 1. ---- */

static uint64_t device_page(unsigned int index)
{
	return block_page[index / 512] + index % 512;
}

static void step_domain(void)
{
	unsigned int i = fuzz_byte() % DOMAINS, devices = 0;
	hv_status_t status;
	bool again = true;

	for (int d = 0; d < RAM_DEVICES; d++) {
		devices += model.domain_of[d] == i + 1;
	}
	if (!model.domains[i].there) {
		status = plat_device_domain_create(i + 1);
		EXPECT((status == HV_STATUS_FEATURE_UNAVAILABLE) == (machine.iommu == IOMMU_NONE));
		model.domains[i].there = status == HV_STATUS_SUCCESS;
		return;
	}
	EXPECT(plat_device_domain_create(i + 1) == HV_STATUS_KEY_ALREADY_EXISTS);
	while (again) {
		status = plat_device_domain_delete(i + 1, &again);
		EXPECT(status == (devices ? HV_STATUS_OBJECT_IN_USE : HV_STATUS_SUCCESS));
	}
	if (!devices) {
		memset(&model.domains[i], 0, sizeof(model.domains[i]));
	}
}

static void step_attach(void)
{
	uint8_t choice = fuzz_byte();
	unsigned int device = choice % RAM_DEVICES, to = choice / 16 % (DOMAINS + 1);
	bool empty = machine.iommu == IOMMU_AMDVI && !plat_pool_count(&ram_root);
	hv_status_t status = plat_device_attach((uint16_t)device, to);

	if (empty && status == HV_STATUS_INSUFFICIENT_MEMORY) {
		EXPECT(to && !model.domain_of[device]); /* for its table of interrupts */
		return;
	}
	EXPECT(status == (machine.iommu == IOMMU_NONE          ? HV_STATUS_FEATURE_UNAVAILABLE
			  : to && !model.domains[to - 1].there ? HV_STATUS_NOT_FOUND
							       : HV_STATUS_SUCCESS));
	if (status == HV_STATUS_SUCCESS) {
		if (!to || !model.domain_of[device]) {
			memset(model.interrupts[device], 0, sizeof(model.interrupts[device]));
		}
		model.domain_of[device] = to;
	}
}

/* What a device raises by each number is what it was given under it. Of a table those are looked at
 * that are used here. */
static void step_interrupt(void)
{
	unsigned int device = fuzz_byte() % RAM_DEVICES, choice = fuzz_byte();
	uint32_t vp_index = choice % RAM_LPS, vector = fuzz_byte(),
		 number = choice / 4 % INTERRUPTS;
	bool fits = vector >= 16 && vp_index < RAM_LPS - 1, used = model.interrupts[device][number];
	uint16_t value = (uint16_t)(vector << 8 | (4 - vp_index));
	hv_status_t status;
	uint8_t at, found;

	if (machine.iommu != IOMMU_AMDVI) {
		EXPECT(plat_device_interrupt_unmap((uint16_t)device, number) ==
		       HV_STATUS_FEATURE_UNAVAILABLE);
		return;
	}
	for (uint32_t i = 0; i < INTERRUPTS; i++) {
		bool there = ram_device_interrupt((uint16_t)device, i, &found, &at);

		EXPECT(there == (model.interrupts[device][i] != 0));
		EXPECT(!there || model.interrupts[device][i] == (found << 8 | at));
	}
	if (choice & 0x80) {
		for (number = 0; number < INTERRUPTS && model.interrupts[device][number];) {
			number++;
		}
		if (number == INTERRUPTS) {
			return;
		}
		used = model.domain_of[device];
		status = plat_device_interrupt_map((uint16_t)device, vp_index, vector, &vp_index);
		EXPECT(status != HV_STATUS_SUCCESS || vp_index == number);
	} else if (choice & 0x40) {
		status = plat_device_interrupt_retarget((uint16_t)device, number, vp_index, vector);
	} else {
		status = plat_device_interrupt_unmap((uint16_t)device, number);
		fits = true;
		value = 0;
	}
	EXPECT((status == HV_STATUS_SUCCESS) == (used && fits));
	if (status == HV_STATUS_SUCCESS) {
		model.interrupts[device][number] = value;
	}
}

static void step_device_map(void)
{
	uint8_t kind = fuzz_byte();
	unsigned int i = kind % DOMAINS;
	bool large = kind & 0x80, write = kind & 0x40;
	uint32_t pages = large ? 512 : 1, count = 1 + (kind >> 4 & 3), done;
	unsigned int index = word() % (CHILD_PAGES - (large ? 4 * 512 : 4) + 1) & ~(pages - 1);
	uint64_t gpns[4];

	for (uint32_t j = 0; j < count; j++) {
		gpns[j] = kind & 8 ? some_spn() : some_spn() & ~(uint64_t)(pages - 1);
	}
	/* The blocks are not all neighbours. */
	if (index / 512 != (index + count * pages - 1) / 512) {
		count = 1;
	}
	if (plat_device_map(i + 1, device_page(index), gpns, count, write, large, &done) ==
	    HV_STATUS_SUCCESS) {
		EXPECT(model.domains[i].there && done == count);
	}
	for (uint32_t j = 0; j < done * pages; j++) {
		uint64_t *entry = &model.domains[i].pages[index + j];

		EXPECT(*entry == NOTHING);
		*entry = (gpns[j / pages] + j % pages) << 16 | (write ? 3 : 1);
	}
}

static void step_device_unmap(void)
{
	unsigned int i = fuzz_byte() % DOMAINS, index = word() % CHILD_PAGES;
	uint32_t count = word() % 513, done;

	if (index % 512 + count > 512) {
		index &= ~511u;
	}
	count = count ? count : 1;
	if (plat_device_unmap(i + 1, device_page(index), count, &done) == HV_STATUS_SUCCESS) {
		EXPECT(model.domains[i].there && done && done <= count);
	}
	memset(&model.domains[i].pages[index], 0, done * sizeof(uint64_t));
}

/* A device reaches what is mapped in its domain, as it is mapped, and nothing else. */
static void compare_device(unsigned int device, unsigned int index, bool write)
{
	unsigned int in = model.domain_of[device];
	uint64_t entry = in ? model.domains[in - 1].pages[index] : 0, spn = 0;
	bool reached;

	if (!in || machine.iommu == IOMMU_NONE) {
		return;
	}
	reached = ram_device_dma((uint16_t)device, device_page(index), write, &spn);
	EXPECT(reached == (entry & (write ? 2 : 1)));
	EXPECT(!reached || spn == entry >> 16);
}

static void step_device_dma(void)
{
	unsigned int device = fuzz_byte() % RAM_DEVICES;

	for (int i = 0; i < 8; i++) {
		uint16_t choice = word();

		compare_device(device, choice % CHILD_PAGES, choice >> 15);
	}
}

static void step_flush(void)
{
	plat_gpa_flush(partition(fuzz_byte()));
}

static void step(void)
{
	static void (*const steps[])(void) = {
		step_deposit,    step_withdraw,     step_create,
		step_map,        step_unmap,        step_object,
		step_overlay,    step_touch,        step_overlay_remove,
		step_flush,      step_access_state, step_copy,
		step_map,        step_destroy,      step_dma,
		step_domain,     step_attach,       step_device_map,
		step_device_map, step_device_unmap, step_device_dma,
		step_interrupt,
	};

	steps[fuzz_byte() % ARRAY_COUNT(steps)]();
}

/* Whatever happened, all can be taken apart, and every page comes back. */
static void take_apart(void)
{
	uint64_t gpn;
	bool again;

	for (uint16_t i = 0; i < RAM_DEVICES && machine.iommu != IOMMU_NONE; i++) {
		EXPECT(plat_device_attach(i, 0) == HV_STATUS_SUCCESS);
	}
	for (unsigned int i = 0; i < DOMAINS; i++) {
		for (again = model.domains[i].there; again;) {
			EXPECT(plat_device_domain_delete(i + 1, &again) == HV_STATUS_SUCCESS);
		}
	}
	while (model.overlay_count) {
		struct shown *last = &model.overlays[--model.overlay_count];

		plat_overlay_unmap(last->p, last->gpn, last->page);
	}
	for (unsigned int i = 0; i < PARTITIONS; i++) {
		for (unsigned int j = 0; j < OBJECTS; j++) {
			if (model.objects[i][j] != NULL) {
				plat_page_free(partition(i), model.objects[i][j]);
			}
		}
		if (i && partition(i)->home != NULL) {
			ram_destroy(partition(i));
		}
	}
	plat_gpa_flush(&ram_root);
	for (unsigned int i = 1; i < PARTITIONS; i++) {
		while (plat_page_withdraw(partition(i), &ram_root, &gpn) == HV_STATUS_SUCCESS)
			;
		EXPECT(!plat_deposit_count(partition(i)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_begin(data, size);
	memset(&model, 0, sizeof(model));
	machine.iommu = (enum iommu_kind)(fuzz_byte() % 3);
	ram_boot(&machine);
	for (int i = 0; i < RAM_CHILDREN; i++) {
		ram_deposit(&ram_children[i], 0x10 + 32 * i, 12 + 4 * i);
		ram_create(&ram_children[i]);
	}
	for (unsigned int i = 0; i < MIN_STEPS || fuzz_more(); i++) {
		step();
		ram_check();
		compare(97);
	}
	compare(3);
	take_apart();
	ram_check();
	return 0;
}
