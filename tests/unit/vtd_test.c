/*
 * hypervisor/iommu.c and vtd.c with units that are simulated by the VT-d specification's numbers:
 * registers (11.4), queue (6.5), tables (9.1, 9.3, 9.8), entries for interrupts (9.10), fault
 * records (11.4.14). What the root sees of a unit (vtd_root.c) is asked as Linux asks it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/iommu.h"
#include "hypervisor/mmio.h"
#include "hypervisor/root_access.h"
#include "tests/fake/firmware.h"
#include "tests/fake/ram.h"

#define MIB     (1ull << 20)
#define UNITS   2
#define BASE(i) (0xfed90000ull + (i)*0x4000)
#define TE      (1u << 31)
#define RTP     (1u << 30)
#define QIE     (1u << 26)
#define IRE     (1u << 25)
#define IRTP    (1u << 24)
#define CFI     (1u << 23)
#define CAP     (1ull << 54 | 1ull << 55 | 3ull << 34 | 47ull << 16 | 6ull << 8 | 3ull << 5 | 2ull)
#define FAULTS  4
#define DEVICE  0x0218u
#define ADDRESS 0x000ffffffffff000ull

static struct unit {
	uint8_t registers[8192];
	uint32_t head;
	unsigned int context_flushes, domain_flushes;
	uint64_t context;        /* of DEVICE, its first word as the unit saw it last */
	unsigned int remembered; /* the domain whose pages it remembers since; 0: none */
	uint64_t root;
	uint64_t interrupts;            /* its table of them, as it was taken */
	unsigned int interrupt_flushes; /* since then */
	struct {
		uint64_t low, high;
		bool there;
	} entries[8]; /* as the unit saw them first */
	bool dead;
} units[UNITS];
static struct handoff handoff;

volatile void *paging_map_device(spa_t spa)
{
	uint64_t i = (spa.v - BASE(0)) / 0x4000;

	if (spa.v == ((uintptr_t)table & ~PAGE_MASK) ||
	    spa.v == ((uintptr_t)table & ~PAGE_MASK) + PAGE_SIZE) {
		return (volatile uint8_t *)spa.v;
	}
	assert_true(i < UNITS && spa.v - BASE(i) < sizeof(units[i].registers));
	return units[i].registers + (spa.v - BASE(i));
}

/* ---- a unit ---- */

static struct unit *unit_at(const volatile void *at, uint32_t *offset)
{
	uint64_t i =
		(uint64_t)((const volatile uint8_t *)at - units[0].registers) / sizeof(units[0]);

	assert_true(i < UNITS);
	*offset = (uint32_t)((const volatile uint8_t *)at - units[i].registers);
	return &units[i];
}

static uint64_t get(const struct unit *unit, uint32_t at, uint32_t size)
{
	uint64_t value = 0;

	memcpy(&value, unit->registers + at, size);
	return value;
}

static void put(struct unit *unit, uint32_t at, uint64_t value, uint32_t size)
{
	memcpy(unit->registers + at, &value, size);
}

uint32_t mmio_read32(const volatile void *at)
{
	uint32_t offset;
	const struct unit *unit = unit_at(at, &offset);

	return (uint32_t)get(unit, offset, 4);
}

uint64_t mmio_read64(const volatile void *at)
{
	uint32_t offset;
	const struct unit *unit = unit_at(at, &offset);

	return get(unit, offset, 8);
}

static void command(struct unit *unit, uint32_t value)
{
	uint32_t status = (uint32_t)get(unit, 0x1c, 4);

	assert_false(value & (0x28000000 | CFI)); /* what the driver has no use for */
	if (value & IRTP) {
		unit->interrupts = get(unit, 0xb8, 8);
		unit->interrupt_flushes = 0;
		status |= IRTP;
	}
	if (value & ~status & IRE) {
		assert_true(status & IRTP && unit->interrupt_flushes);
	}
	if (value & RTP) {
		unit->root = get(unit, 0x20, 8);
		unit->context_flushes = unit->domain_flushes = 0;
		status |= RTP;
	}
	if (value & ~status & QIE) {
		assert_int_equal(get(unit, 0x88, 8), 0);
		unit->head = 0;
	}
	if (value & ~status & TE) {
		assert_true(status & RTP);
		assert_true(unit->context_flushes && unit->domain_flushes);
	}
	put(unit, 0x1c, (status & (RTP | IRTP)) | (value & (TE | QIE | IRE)), 4);
}

static const uint64_t *page(uint64_t entry)
{
	return plat_spa_ptr((spa_t){entry & ADDRESS});
}

/*
 * The unit looks at an entry when it has forgotten it, and uses it then. Between two domains it
 * must have seen one that is not present, and what it remembers of the one before must be gone.
 */
static void see_context(struct unit *unit)
{
	const uint64_t *context = page(page(unit->root)[2 * (DEVICE >> 8)]) + 2 * (DEVICE & 0xff);

	if (context[0] & 1 && context[0] != unit->context) {
		assert_int_equal(unit->context & 1, 0);
		assert_int_equal(unit->remembered, 0);
		unit->remembered = context[1] >> 8 & 0xffff;
	}
	unit->context = context[0];
}

static void run_queue(struct unit *unit)
{
	uint64_t queue = get(unit, 0x90, 8), tail = get(unit, 0x88, 8);

	assert_int_equal(queue & 0xfff, 0); /* one page, commands of 16 bytes */
	assert_true(get(unit, 0x1c, 4) & QIE);
	assert_true(tail < PAGE_SIZE && !(tail & 15));
	for (; unit->head != tail; unit->head = (unit->head + 16) % PAGE_SIZE) {
		const uint64_t *words = plat_spa_ptr((spa_t){queue + unit->head});

		switch (words[0] & 15) {
		case 1:
			assert_int_equal(words[0], 0x11);
			unit->context_flushes++;
			see_context(unit);
			break;
		case 2:
			assert_int_equal(words[0] & ~0xffff00c0ull,
					 0x22); /* drain what can be drained */
			if ((words[0] >> 16 & 0xffff) == unit->remembered) {
				unit->remembered = 0;
			}
			assert_int_equal(words[0] >> 6 & 3, get(unit, 8, 8) >> 54 & 3);
			unit->domain_flushes++;
			break;
		case 4:
			assert_int_equal(words[0], 4); /* all of them */
			memset(unit->entries, 0, sizeof(unit->entries));
			unit->interrupt_flushes++;
			break;
		case 5:
			assert_int_equal((uint32_t)words[0], 0x25);
			*(uint32_t *)plat_spa_ptr((spa_t){words[1]}) = (uint32_t)(words[0] >> 32);
			break;
		default:
			fail();
		}
	}
}

void mmio_write32(volatile void *at, uint32_t value)
{
	uint32_t offset;
	struct unit *unit = unit_at(at, &offset);
	uint32_t records = (uint32_t)(get(unit, 8, 8) >> 24 & 0x3ff) * 16;

	if (unit->dead) {
		return;
	}
	if (offset == 0x18) {
		command(unit, value);
	} else if (offset == 0x34) {
		put(unit, offset, get(unit, offset, 4) & ~(uint64_t)value, 4);
	} else if (offset == 0x64) {
		put(unit, offset, value >> 31 ? 0x80000001 : 0, 4);
	} else if (offset >= records && offset < records + FAULTS * 16) {
		assert_int_equal((offset - records) % 16, 12);
		put(unit, offset, get(unit, offset, 4) & ~(uint64_t)value, 4);
	} else {
		put(unit, offset, value, 4);
	}
}

void mmio_write64(volatile void *at, uint64_t value)
{
	uint32_t offset;
	struct unit *unit = unit_at(at, &offset);

	put(unit, offset, value, 8);
	if (offset == 0x88 && !unit->dead && get(unit, 0x1c, 4) & QIE) {
		run_queue(unit);
	}
}

static unsigned int number = 1; /* of DEVICE's domain */

/* What the unit makes of a device's access to this page. */
static bool reaches(const struct unit *unit, uint16_t device, uint64_t spn)
{
	const uint64_t *root = page(unit->root) + 2 * (device >> 8), *context;
	unsigned int levels, level;
	uint64_t entry;

	assert_true(get(unit, 0x1c, 4) & TE);
	assert_int_equal(root[0] & 0xfff, 1);
	assert_int_equal(root[1], 0);
	context = page(root[0]) + 2 * (device & 0xff);
	assert_int_equal(context[0] & 0xfff, 1); /* present, untranslated requests alone */
	assert_int_equal(context[1] >> 8, device == DEVICE ? number : 1);
	levels = (unsigned int)context[1] + 2 & 7;
	assert_true(get(unit, 8, 8) >> (8 + levels - 2) & 1);
	entry = context[0];
	for (level = levels; level-- > 0;) {
		entry = page(entry)[spn >> 9 * level & 511];
		if (!(entry & 3) || (level && entry & 0x80)) {
			break;
		}
	}
	return (entry & 3) == 3;
}

/*
 * A message by the number of an entry, as the unit takes it: the vector and, in the upper half, the
 * processor; 0: it is refused. Where nothing is remapped everything passes.
 */
#define PASSES 1u
static uint64_t raise(struct unit *unit, uint16_t device, uint32_t at)
{
	const uint64_t *entry = page(unit->interrupts);
	const bool wide = unit->interrupts & 1 << 11;
	uint64_t low, high;

	if (!(get(unit, 0x1c, 4) & IRE)) {
		return PASSES;
	}
	assert_int_equal(unit->interrupts & 15, 13);
	if (!unit->entries[at % 8].there) {
		unit->entries[at % 8].low = entry[2 * at];
		unit->entries[at % 8].high = entry[2 * at + 1];
		unit->entries[at % 8].there = true;
	}
	low = unit->entries[at % 8].low;
	high = unit->entries[at % 8].high;
	assert_false(low &
		     (wide ? 0xff008f0aull : 0xffff00ffff008f0aull)); /* reserved, or not used */
	assert_false(high >> 20);
	if (!(low & 1)) {
		return 0;
	}
	assert_true(!(low & 0xe4) && (low >> 16 & 0xff) >= 16); /* fixed, to one processor */
	if ((high >> 18 == 1 && (uint16_t)high != device) ||
	    (high >> 18 == 2 &&
	     (device >> 8 < (high >> 8 & 0xff) || device >> 8 > (high & 0xff)))) {
		return 0;
	}
	assert_true(high >> 18 == 1 || high >> 18 == 2);
	return (low >> 16 & 0xff) | (wide ? low >> 32 : low >> 40) << 32;
}

/* ---- the machine ---- */

static int setup(void **state)
{
	(void)state;
	ram_boot(&ram_small);
	memset(units, 0, sizeof(units));
	memset(&handoff, 0, sizeof(handoff));
	table_begin("RAMD");
	for (int i = 0; i < UNITS; i++) {
		table_put(48 + 16 * i + 2, 16, 2);
		table_put(48 + 16 * i + 8, BASE(i), 8);
		put(&units[i], 0x08, CAP | (i ? 0x120ull : 0x22ull) << 24 | (FAULTS - 1ull) << 40,
		    8);
		put(&units[i], 0x10, 2, 8);
	}
	table_seal(48 + 16 * UNITS);
	handoff.iommu_table = (uintptr_t)table;
	return 0;
}

static void start(void)
{
	iommu_find(&handoff);
	iommu_boot(&handoff);
	iommu_start(&ram_root);
}

static void test_all_devices_are_in_the_domain(void **state)
{
	static const uint16_t devices[] = {0, 0x18, 0xff, 0x100, 0x1234, 0xffff};

	(void)state;
	put(&units[1], 0x08, get(&units[1], 8, 8) & ~(1ull << 10), 8); /* 3 levels */
	start();
	assert_non_null(strstr(said, "IOMMU: 2 units hold"));
	for (int i = 0; i < UNITS; i++) {
		for (size_t j = 0; j < ARRAY_COUNT(devices); j++) {
			assert_true(reaches(&units[i], devices[j], 0));
			assert_true(reaches(&units[i], devices[j], 0x5ff));
			assert_false(reaches(&units[i], devices[j], 0x600)); /* the hypervisor's */
			assert_false(reaches(&units[i], devices[j], 0x7ff));
			assert_true(reaches(&units[i], devices[j], 0x1003ff));
			for (int k = 0; k < UNITS; k++) {
				assert_false(reaches(&units[i], devices[j], BASE(k) >> 12));
			}
		}
	}
	/* The second page of registers of unit 1 has its fault records. */
	assert_true(reaches(&units[0], 0, (BASE(0) >> 12) + 1));
	assert_false(reaches(&units[0], 0, (BASE(1) >> 12) + 1));
}

/* A bus with such a device has tables of its own in each unit, and gives them back with the
 * last. */
static void test_a_device_changes_its_domain(void **state)
{
	uint64_t free, spn = 0x100;
	void *pages[4096];
	uint32_t done, taken = 0;

	(void)state;
	put(&units[1], 0x08, get(&units[1], 8, 8) & ~(1ull << 10), 8); /* 3 levels */
	start();
	free = plat_pool_count(&ram_root);
	units[0].remembered = units[1].remembered = 1;
	assert_int_equal(plat_device_width(), 39);
	assert_int_equal(plat_device_domain_create(7), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_map(7, 0x42, &spn, 1, true, false, &done), HV_STATUS_SUCCESS);
	/* One unit gets its table, the other does not: nothing has changed. */
	while (plat_pool_count(&ram_root) > 1) {
		pages[taken++] = plat_page_alloc(&ram_root);
	}
	assert_int_equal(plat_device_attach(DEVICE, 7), HV_STATUS_INSUFFICIENT_MEMORY);
	assert_int_equal(plat_pool_count(&ram_root), 1);
	assert_true(reaches(&units[0], DEVICE, 0x100) && reaches(&units[1], DEVICE, 0x100));
	while (taken) {
		plat_page_free(&ram_root, pages[--taken]);
	}
	assert_int_equal(plat_device_attach(DEVICE, 7), HV_STATUS_SUCCESS);
	number = 2;
	for (int i = 0; i < UNITS; i++) {
		assert_int_equal(units[i].remembered, 2);
		assert_true(reaches(&units[i], DEVICE, 0x42));
		assert_false(reaches(&units[i], DEVICE, 0x100));
		assert_true(reaches(&units[i], DEVICE + 1, 0x100)); /* of the same bus */
		assert_true(reaches(&units[i], 0x0318, 0x100));
	}
	assert_int_equal(plat_device_attach(DEVICE + 8, 7), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE + 8, 0), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_unmap(7, 0x42, 1, &done), HV_STATUS_SUCCESS);
	assert_int_equal(units[0].remembered, 0);
	units[0].remembered = units[1].remembered = 2;
	assert_int_equal(plat_device_attach(DEVICE, 0), HV_STATUS_SUCCESS);
	number = 1;
	for (int i = 0; i < UNITS; i++) {
		assert_int_equal(units[i].remembered, 1);
		assert_true(reaches(&units[i], DEVICE, 0x100));
	}
	while (plat_device_domain_delete(7, &(bool){false}) == HV_STATUS_SUCCESS)
		;
	assert_int_equal(plat_pool_count(&ram_root), free);
}

static void test_what_firmware_left(void **state)
{
	(void)state;
	put(&units[0], 0x1c, TE | RTP | QIE | IRE | IRTP, 4);
	put(&units[0], 0x88, 0x30, 8);
	put(&units[0], 0x64, 0x80000001, 4);
	units[0].context_flushes = units[0].domain_flushes = 1; /* it was on */
	start();
	assert_int_equal(get(&units[0], 0x1c, 4), TE | RTP | QIE | IRTP);
	assert_int_equal(get(&units[0], 0x64, 4), 0);
	assert_int_equal(get(&units[0], 0x38, 4), 0x80000000);
	assert_true(reaches(&units[0], 0x18, 0));
	assert_true(units[0].context_flushes && units[0].domain_flushes);
}

/* All of them or none. */
static void test_units_that_will_not_do(void **state)
{
	static const struct {
		uint64_t cap, ecap;
		const char *why;
	} cases[] = {
		{0, 2, "registers do not answer"},
		{UINT64_MAX, UINT64_MAX, "registers do not answer"},
		{CAP, 0, "of the first kind"},
		{CAP | 1 << 4, 2, "of the first kind"},
		{CAP & ~(1ull << 34), 2, "no large pages"},
		{CAP & ~(6ull << 8), 2, "neither 3 nor 4 levels"},
		{CAP & ~(32ull << 16), 2, "do not reach the end of memory"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		ram_shutdown();
		setup(NULL);
		put(&units[1], 0x08, cases[i].cap, 8);
		put(&units[1], 0x10, cases[i].ecap, 8);
		start();
		assert_non_null(strstr(said, cases[i].why));
		assert_non_null(strstr(said, "IOMMU: not used"));
		assert_int_equal(get(&units[0], 0x1c, 4), 0);
		assert_int_equal(iommu_domain.kind, IOMMU_NONE);
		iommu_poll();
	}
}

static void test_reasons_not_to(void **state)
{
	(void)state;
	strcpy(handoff.cmdline, "hv.memory=50M hv.iommu=off");
	start();
	assert_non_null(strstr(said, "not used (hv.iommu=off)"));
	handoff.cmdline[0] = '\0';
	table[9]++;
	start();
	assert_non_null(strstr(said, "not used (its table is damaged)"));
	table_put(48 + 8, 0x100000, 8);
	table_seal(48 + 16 * UNITS);
	start();
	assert_non_null(strstr(said, "where memory is"));
	handoff.iommu_table = 0;
	start();
	assert_non_null(strstr(said, "not used (the machine has none)"));
	assert_int_equal(get(&units[0], 0x1c, 4), 0);
}

static void test_regions_are_checked(void **state)
{
	(void)state;
	table_put(80, 1 | 24 << 16, 4);
	table_put(80 + 8, 0x7ff000, 8);
	table_put(80 + 16, 0x800fff, 8);
	table_put(104, 1 | 24 << 16, 4);
	table_put(104 + 8, 0x140000000, 8);
	table_put(104 + 16, 0x140000fff, 8);
	table_seal(128);
	start();
	assert_non_null(strstr(said, "refused their region 7ff000 to 800fff"));
	assert_null(strstr(said, "140000000"));
	assert_false(reaches(&units[0], 0, 0x7ff));
	assert_true(reaches(&units[0], 0, 0x800));
	assert_true(reaches(&units[0], 0, 0x140000)); /* behind the end of memory */
}

/* More flushes than the queue has room for. */
static void test_deposits_are_flushed(void **state)
{
	struct partition *child = &ram_children[0];
	unsigned int before;
	uint64_t gpn;

	(void)state;
	put(&units[1], 0x08, get(&units[1], 8, 8) & ~(3ull << 54), 8); /* cannot drain */
	start();
	for (unsigned int i = 0; i < 300; i++) {
		assert_int_equal(plat_page_deposit(&ram_root, 0x155, child), HV_STATUS_SUCCESS);
		for (int j = 0; j < UNITS; j++) {
			assert_false(reaches(&units[j], 0x18, 0x155));
		}
		before = units[1].domain_flushes;
		plat_gpa_flush(&ram_root);
		assert_int_equal(units[0].domain_flushes, units[1].domain_flushes);
		assert_int_equal(units[1].domain_flushes, before + 1);
		assert_int_equal(memory_page(0x155)->kind, PAGE_FREE);
		assert_int_equal(plat_page_withdraw(child, &ram_root, &gpn), HV_STATUS_SUCCESS);
		assert_true(reaches(&units[1], 0x18, 0x155));
	}
	plat_gpa_flush(&ram_root);
}

/* What a silent unit may still reach nobody knows: its page is never used. */
static void test_a_unit_that_does_not_answer(void **state)
{
	(void)state;
	start();
	assert_int_equal(plat_page_deposit(&ram_root, 0x155, &ram_children[0]), HV_STATUS_SUCCESS);
	units[1].dead = true;
	if (!setjmp(stopped)) {
		iommu_flush();
		fail();
	}
	assert_non_null(strstr(said, "the IOMMU does not answer"));
	assert_int_equal(memory_page(0x155)->kind, PAGE_LIMBO);
	units[1].dead = false;
	plat_gpa_flush(&ram_root);
}

static void test_a_unit_that_does_not_start(void **state)
{
	(void)state;
	iommu_find(&handoff);
	iommu_boot(&handoff);
	units[1].dead = true;
	if (!setjmp(stopped)) {
		iommu_start(&ram_root);
		fail();
	}
	assert_non_null(strstr(said, "hv.iommu=off"));
	memory_unlock();
}

static void record(int i, uint32_t at, uint64_t address, uint64_t high)
{
	put(&units[i], (i ? 0x1200 : 0x220) + 16 * at, address, 8);
	put(&units[i], (i ? 0x1200 : 0x220) + 16 * at + 8, high | 1ull << 63, 8);
	put(&units[i], 0x34, get(&units[i], 0x34, 4) | 2, 4);
}

static void test_faults_are_told_a_few_at_a_time(void **state)
{
	(void)state;
	start();
	record(1, 3, 0x7ff123, 1ull << 62 | 6ull << 32 | 0x0218);
	tsc += 1000000;
	iommu_poll();
	assert_non_null(strstr(said, "device 02:03.0 is refused to read at 7ff000 (reason 6)"));
	assert_int_equal(get(&units[1], 0x1200 + 3 * 16 + 12, 4) >> 31, 0);
	put(&units[1], 0x34, 0, 4);
	for (uint32_t i = 0; i < FAULTS; i++) {
		record(0, i, 0x600000, 5ull << 32 | 0xff);
		record(1, i, 0x600000, 5ull << 32 | 0xff);
	}
	iommu_poll(); /* too soon */
	assert_int_equal(refusals(), 1);
	put(&units[0], 0x34, 3, 4); /* some were lost */
	tsc += 1000000;
	iommu_poll();
	assert_int_equal(refusals(), 3);
	assert_non_null(strstr(said, "device 00:1f.7 is refused to write at 600000 (reason 5)"));
	assert_int_equal(get(&units[0], 0x34, 4) & 1, 0);
	for (uint32_t i = 0; i < FAULTS; i++) { /* all have been taken */
		assert_int_equal(get(&units[0], 0x220 + 16 * i + 12, 4) >> 31, 0);
		assert_int_equal(get(&units[1], 0x1200 + 16 * i + 12, 4) >> 31, 0);
	}
}

/* ---- interrupts ---- */

#define IR        8ull /* of ECAP */
#define EIM       16ull
#define TABLE     0x200000ull /* the root's, and its queue; the answers, behind that */
#define QUEUE     0x300000ull
#define ANSWER    0x301000ull
#define WORD(spa) ((uint64_t *)plat_spa_ptr((spa_t){spa}))
#define ENTRY(at) (WORD(TABLE) + 2 * (at))
/* Fixed, at the processor whose physical ID is 9; of DEVICE. */
#define FIXED(vector) (1ull | (uint64_t)(vector) << 16 | 9ull << 32)
#define OF_DEVICE     (1ull << 18 | DEVICE)

static const struct ram_machine roomy = {
	.ranges = {{.base = 0, .size = 16 << 20, .type = 1}},
	.reserved_base = 8 << 20,
	.reserved_size = 8 << 20,
	.free_base = 8 << 20,
	.address_bits = 36,
	.max_level = 1,
};

static int setup_interrupts(void **state)
{
	static const struct handoff boot = {
		.reserved_base = 8 << 20,
		.reserved_size = 8 << 20,
		.free_base = 12 << 20,
		.ranges = {{.base = 0, .size = 16 << 20, .type = 1}},
		.range_count = 1,
	};

	setup(state);
	ram_shutdown();
	ram_boot(&roomy);
	memory_boot(&boot); /* once more, as far as iommu_boot() */
	for (int i = 0; i < UNITS; i++) {
		put(&units[i], 0x10, 2 | IR | EIM, 8);
	}
	apic_wide = false;
	table_put(37, 5, 1); /* remaps; and shall translate */
	table_seal(48 + 16 * UNITS);
	return 0;
}

static uint64_t seen(int i, uint32_t at, unsigned int size)
{
	assert_true(iommu_is_at(BASE(i) + at));
	return iommu_registers.read(BASE(i) + at, size);
}

static void tell(int i, uint32_t at, uint64_t value, unsigned int size)
{
	iommu_registers.write(BASE(i) + at, size, value);
}

static uint32_t root_tail;

/* The command, and one that wants an answer; what the root then reads there. */
static uint32_t order(int i, uint64_t low, uint64_t high)
{
	static uint32_t number;
	uint64_t *queue = WORD(QUEUE);

	queue[root_tail / 8] = low;
	queue[root_tail / 8 + 1] = high;
	root_tail = (root_tail + 16) % PAGE_SIZE;
	queue[root_tail / 8] = 0x25 | (uint64_t)++number << 32;
	queue[root_tail / 8 + 1] = ANSWER;
	root_tail = (root_tail + 16) % PAGE_SIZE;
	*(uint32_t *)WORD(ANSWER) = 0;
	tell(i, 0x88, root_tail, 4);
	return *(uint32_t *)WORD(ANSWER) == number;
}

#define FORGET_ALL    4ull
#define FORGET(first) (0x14ull | (uint64_t)(first) << 32)

/* As Linux does it: queue, table, all forgotten, remapping. */
static void remap(int i, uint64_t wide)
{
	memset(WORD(QUEUE), 0, PAGE_SIZE);
	root_tail = 0;
	assert_int_equal(seen(i, 0x1c, 4), 0);
	tell(i, 0x88, 0, 4);
	tell(i, 0x90, QUEUE, 8);
	tell(i, 0x18, QIE, 4);
	assert_int_equal(seen(i, 0x1c, 4), QIE);
	tell(i, 0xb8, TABLE | wide << 11 | 15, 8);
	assert_int_equal(seen(i, 0xb8, 8), TABLE | wide << 11 | 15);
	tell(i, 0x18, QIE | IRTP, 4);
	assert_int_equal(seen(i, 0x1c, 4), QIE | IRTP);
	assert_true(order(i, FORGET_ALL, 0));
	tell(i, 0x18, QIE | IRE, 4);
	assert_int_equal(seen(i, 0x1c, 4), QIE | IRE | IRTP);
}

static void test_the_root_finds_units(void **state)
{
	uint8_t sum = 0;

	(void)state;
	start();
	assert_memory_equal(table, "DMAR", 4);
	assert_int_equal(table[37], 1);
	for (uint32_t i = 0; i < 48 + 16 * UNITS; i++) {
		sum = (uint8_t)(sum + table[i]);
	}
	assert_int_equal(sum, 0);
	assert_non_null(strstr(said, "as soon as its kernel has interrupts remapped"));
	for (int i = 0; i < UNITS; i++) {
		assert_int_equal(get(&units[i], 0x1c, 4), TE | RTP | QIE | IRTP);
		assert_int_equal(seen(i, 0x08, 8) >> 8 & 0x1f,
				 0); /* no widths: nothing translates */
		assert_int_equal(seen(i, 0x10, 8) & 0x1a, 0x1a);
		assert_int_equal(seen(i, 0x10, 4), seen(i, 0x10, 8));
		assert_int_equal(seen(i, 0x11, 4) | seen(i, 0x08, 2) | seen(i, 0xffc, 8), 0);
		assert_int_equal(seen(i, 0x34, 4), 0);
		tell(i, 0x18, TE | CFI, 4); /* translation is not the root's to have */
		assert_int_equal(seen(i, 0x1c, 4), 0);
		assert_int_equal(get(&units[i], 0x1c, 4), TE | RTP | QIE | IRTP);
	}
	assert_false(iommu_is_at(BASE(0) + PAGE_SIZE));
	assert_false(iommu_is_at(BASE(0) - 1));
}

/* All of them or none. */
static void test_units_that_do_not_remap(void **state)
{
	(void)state;
	put(&units[1], 0x10, 2, 8);
	start();
	assert_memory_equal(table, "RAMD", 4);
	assert_non_null(strstr(said, "interrupts are not remapped"));
	assert_true(iommu_is_at(BASE(0))); /* where nobody answers */
	assert_true(seen(0, 0x08, 8) == UINT64_MAX && seen(0, 0x1c, 4) == UINT64_MAX);
	tell(0, 0x18, IRE, 4);
	assert_int_equal(get(&units[0], 0x1c, 4), TE | RTP | QIE);
	table_put(37, 0, 1);
	table_seal(48 + 16 * UNITS);
	put(&units[1], 0x10, 2 | IR, 8);
	start();
	assert_memory_equal(table, "RAMD", 4);
}

static void test_what_the_root_gave_a_device(void **state)
{
	(void)state;
	start();
	ENTRY(3)[0] = FIXED(0x41);
	ENTRY(3)[1] = OF_DEVICE;
	assert_int_equal(raise(&units[0], DEVICE, 3), PASSES);
	remap(0, 1);
	assert_int_equal(raise(&units[0], DEVICE, 3), 9ull << 32 | 0x41);
	assert_int_equal(raise(&units[0], DEVICE + 1, 3), 0); /* somebody else's */
	assert_int_equal(raise(&units[0], DEVICE, 4), 0);
	assert_int_equal(raise(&units[1], DEVICE, 3), PASSES);
	assert_non_null(strstr(said, "devices of a unit raise the interrupts that the root gave"));
	/* What is changed is in force when the root has said so. */
	ENTRY(4)[0] = FIXED(0x42) | 1 << 4;               /* a level */
	ENTRY(4)[1] = 2ull << 18 | 0x0204;                /* of some buses */
	ENTRY(3)[0] = 1 | 0x43ull << 16 | 4 | 1ull << 32; /* logical, processor 0 */
	assert_int_equal(raise(&units[0], DEVICE, 4), 0);
	assert_int_equal(raise(&units[0], DEVICE, 3), 9ull << 32 | 0x41);
	assert_true(order(0, FORGET(3), 0));
	assert_int_equal(raise(&units[0], DEVICE, 3), 5ull << 32 | 0x43);
	assert_int_equal(raise(&units[0], DEVICE, 4), 0);
	assert_true(order(0, FORGET(4) | 1ull << 27, 0)); /* two of them */
	assert_int_equal(raise(&units[0], 0x0300, 4), 9ull << 32 | 0x42);
	assert_int_equal(units[0].entries[4].low & 16, 16);
	assert_int_equal(raise(&units[0], 0x0500, 4), 0);
	ENTRY(3)[0] = ENTRY(4)[0] = 0;
	assert_true(order(0, FORGET_ALL, 0));
	assert_int_equal(raise(&units[0], DEVICE, 3) | raise(&units[0], 0x0300, 4), 0);
	tell(0, 0x18, QIE, 4);
	assert_int_equal(raise(&units[0], DEVICE, 3), PASSES);
	assert_non_null(strstr(said, "any interrupt, since the root will have it so"));
}

static void test_what_nobody_is_given(void **state)
{
	static const struct {
		uint64_t low, high;
		const char *why;
	} cases[] = {
		{FIXED(0x41) | 4 << 5, OF_DEVICE, "is no fixed interrupt"},  /* NMI */
		{FIXED(0x41) | 2 << 5, OF_DEVICE, "is no fixed interrupt"},  /* SMI */
		{FIXED(0x41) | 5 << 5, OF_DEVICE, "is no fixed interrupt"},  /* INIT */
		{FIXED(0x41) | 7 << 5, OF_DEVICE, "is no fixed interrupt"},  /* ExtINT */
		{FIXED(0x41) | 1 << 15, OF_DEVICE, "is no fixed interrupt"}, /* posted */
		{FIXED(15), OF_DEVICE, "is no fixed interrupt"},
		{FIXED(0x41), DEVICE, "is any device's"},
		{FIXED(0x41), 3ull << 18 | DEVICE, "is any device's"},
		{1 | 0x41 << 16 | 7ull << 32, OF_DEVICE, "is for no processor"},
		{1 | 0x41 << 16 | 300ull << 32, OF_DEVICE,
		 "is for no processor"},                 /* not by 8 bits */
		{FIXED(0x41) | 1 << 5, OF_DEVICE, NULL}, /* lowest priority */
	};

	(void)state;
	start();
	remap(0, 1);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		said[0] = '\0';
		ENTRY(5)[0] = cases[i].low;
		ENTRY(5)[1] = cases[i].high;
		assert_true(order(0, FORGET(5), 0));
		assert_int_equal(raise(&units[0], DEVICE, 5),
				 cases[i].why != NULL ? 0 : 9ull << 32 | 0x41);
		if (i < 8) { /* the first are told */
			assert_non_null(strstr(said, cases[i].why));
		} else {
			assert_null(strstr(said, "refused"));
		}
	}
}

/* Processors of more than 8 bits, for units in whose entries there is room; the root's entries have
 * the width that it chose. */
static void test_wide_ids(void **state)
{
	(void)state;
	apic_wide = true;
	put(&units[1], 0x10, 2 | IR, 8);
	start();
	ENTRY(5)[0] = 1 | 0x41 << 16 | 300ull << 32;
	ENTRY(5)[1] = OF_DEVICE;
	remap(0, 1);
	assert_int_equal(raise(&units[0], DEVICE, 5), 300ull << 32 | 0x41);
	remap(1, 1);
	assert_int_equal(raise(&units[1], DEVICE, 5), 0);
	ENTRY(5)[0] = 1 | 0x42 << 16 | 5ull << 40;
	tell(1, 0xb8, TABLE | 15, 8);
	tell(1, 0x18, QIE | IRE | IRTP, 4);
	assert_int_equal(raise(&units[1], DEVICE, 5), 5ull << 32 | 0x42);
}

/* The table ends; and where nothing can be read there is nothing. */
static void test_ends_of_the_table(void **state)
{
	(void)state;
	start();
	for (int i = 0; i < 8; i++) {
		ENTRY(i)[0] = FIXED(0x41);
		ENTRY(i)[1] = OF_DEVICE;
	}
	remap(0, 1);
	assert_int_equal(raise(&units[0], DEVICE, 7), 9ull << 32 | 0x41);
	tell(0, 0xb8, TABLE | 1 << 11 | 1, 8);
	tell(0, 0x18, QIE | IRE | IRTP, 4);
	assert_int_equal(raise(&units[0], DEVICE, 3), 9ull << 32 | 0x41);
	assert_int_equal(raise(&units[0], DEVICE, 4), 0);
	assert_true(order(0, FORGET(4), 0));
	assert_int_equal(raise(&units[0], DEVICE, 4), 0);
	tell(0, 0xb8, 0x900000ull | 1 << 11 | 15, 8); /* the hypervisor's memory */
	tell(0, 0x18, QIE | IRE | IRTP, 4);
	assert_int_equal(raise(&units[0], DEVICE, 3), 0);
	assert_true(order(0, FORGET(0xffff) | 15ull << 27, 0));
	tell(0, 0xb8, 0xffffffffff000ull | 15, 8);
	tell(0, 0x18, QIE | IRE | IRTP, 4);
	assert_int_equal(raise(&units[0], DEVICE, 3), 0);
}

static void test_a_queue_that_is_wrong(void **state)
{
	(void)state;
	start();
	remap(0, 1);
	assert_true(order(0, 1, 0)); /* for translation: nothing to do */
	assert_false(order(0, 9, 0));
	assert_int_equal(seen(0, 0x34, 4), 1 << 4);
	assert_int_equal(seen(0, 0x80, 4), root_tail - 32);
	assert_false(order(0, FORGET_ALL, 0)); /* it stands */
	WORD(QUEUE)[(root_tail - 64) / 8] = 1;
	tell(0, 0x34, 1 << 4, 4);
	assert_int_equal(seen(0, 0x34, 4), 0);
	assert_int_equal(seen(0, 0x80, 4), root_tail);
	assert_false(order(0, 0x25, 0x900000)); /* an answer into the hypervisor's memory */
	assert_int_equal(seen(0, 0x34, 4), 1 << 4);
	tell(0, 0x18, IRE, 4);
	tell(0, 0x34, 1 << 4, 4);
	tell(0, 0x90, QUEUE | 1, 8); /* two pages */
	tell(0, 0x18, QIE | IRE, 4);
	assert_int_equal(seen(0, 0x34, 4), 1 << 4);
	tell(0, 0x18, IRE, 4);
	tell(0, 0x34, 1 << 4, 4);
	tell(0, 0x90, 0x900000, 8);
	tell(0, 0x18, QIE | IRE, 4);
	tell(0, 0x88, 0xfffff, 8); /* no place in it */
	assert_int_equal(seen(0, 0x34, 4), 1 << 4);
	units[0].dead = true;
	if (!setjmp(stopped)) {
		tell(0, 0x18, IRTP | IRE, 4);
		fail();
	}
	assert_non_null(strstr(said, "the IOMMU does not answer"));
}

static void test_refused_interrupts_are_told(void **state)
{
	(void)state;
	start();
	record(1, 0, 0x0012ull << 48, 0x22ull << 32 | 0x0218);
	tsc += 1000000;
	iommu_poll();
	assert_non_null(strstr(said, "device 02:03.0 is refused to interrupt at 12 (reason 22)"));
}

#define TEST(name)            cmocka_unit_test_setup_teardown(name, setup, end)
#define TEST_INTERRUPTS(name) cmocka_unit_test_setup_teardown(name, setup_interrupts, end)

static int end(void **state)
{
	(void)state;
	ram_shutdown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_devices_are_in_the_domain),
		TEST(test_a_device_changes_its_domain),
		TEST(test_what_firmware_left),
		TEST(test_units_that_will_not_do),
		TEST(test_reasons_not_to),
		TEST(test_regions_are_checked),
		TEST(test_deposits_are_flushed),
		TEST(test_a_unit_that_does_not_answer),
		TEST(test_a_unit_that_does_not_start),
		TEST(test_faults_are_told_a_few_at_a_time),
		TEST_INTERRUPTS(test_the_root_finds_units),
		TEST_INTERRUPTS(test_units_that_do_not_remap),
		TEST_INTERRUPTS(test_what_the_root_gave_a_device),
		TEST_INTERRUPTS(test_what_nobody_is_given),
		TEST_INTERRUPTS(test_wide_ids),
		TEST_INTERRUPTS(test_ends_of_the_table),
		TEST_INTERRUPTS(test_a_queue_that_is_wrong),
		TEST_INTERRUPTS(test_refused_interrupts_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
