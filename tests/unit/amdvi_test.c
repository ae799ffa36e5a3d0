/*
 * hypervisor/iommu.c and amdvi.c with units that are simulated by the numbers of the AMD IOMMU
 * specification: registers (3.4), device table (2.2.2), commands (2.4), event log (2.5).
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

#define UNITS      2
#define BASE(i)    (0xfd200000ull + (i)*0x4000)
#define FEATURES   (1ull << 6)
#define ENABLED    1ull
#define LOGS       4ull
#define COMMANDS   0x1000ull
#define ADDRESS    0x000ffffffffff000ull
#define RING_BYTES 4096u
#define DEVICE     0x021bu
#define IO_APIC    0xa0u

static struct unit {
	uint64_t registers[0x4000 / 8];
	unsigned int forgotten, flushed;
	uint64_t entry; /* of DEVICE, its first word as the unit saw it last */
	struct {
		uint32_t entry;
		bool there;
	} interrupts[4];         /* of DEVICE, as the unit saw them first */
	uint64_t how;            /* the word of its entry that is about them */
	unsigned int remembered; /* the domain whose pages it remembers since; 0: none */
	unsigned int stopping;   /* reads of the status until what was turned off has ended */
	bool dead;
} units[UNITS];
static struct handoff handoff;

/* The device table comes from what is left of the reserved region at boot, which ram_boot() has
 * given to the pool. */
static const struct ram_machine machine = {
	.ranges = {{.base = 0, .size = 16 << 20, .type = 1}},
	.reserved_base = 8 << 20,
	.reserved_size = 8 << 20,
	.free_base = 8 << 20,
	.address_bits = 36,
	.max_level = 1,
};

static uint64_t *reg(struct unit *unit, uint32_t at)
{
	return &unit->registers[at / 8];
}

volatile void *paging_map_device(spa_t spa)
{
	uint64_t i = (spa.v - BASE(0)) / 0x4000;

	assert_true(i < UNITS);
	return (uint8_t *)units[i].registers + (spa.v - BASE(i));
}

static struct unit *unit_at(const volatile void *at, uint32_t *offset)
{
	uint64_t i = (uint64_t)((const volatile uint8_t *)at - (uint8_t *)units) / sizeof(units[0]);

	assert_true(i < UNITS);
	*offset = (uint32_t)((const volatile uint8_t *)at - (uint8_t *)units[i].registers);
	assert_true(*offset < 0x4000 && !(*offset & 7));
	return &units[i];
}

uint32_t mmio_read32(const volatile void *at)
{
	(void)at;
	fail();
	return 0;
}

void mmio_write32(volatile void *at, uint32_t value)
{
	(void)at;
	(void)value;
	fail();
}

uint64_t mmio_read64(const volatile void *at)
{
	uint32_t offset;
	struct unit *unit = unit_at(at, &offset);

	if (offset == 0x2020 && unit->stopping && !unit->dead && !--unit->stopping) {
		*reg(unit, offset) &= ~0x18ull | (*reg(unit, 0x18) & LOGS) << 1 |
				      (*reg(unit, 0x18) & COMMANDS) >> 8;
	}
	return *reg(unit, offset);
}

/*
 * The unit looks at an entry when it has forgotten it, and uses it then. Between two domains it
 * must have seen one that leads nowhere, and what it remembers of the one before must be gone.
 */
static void see_entry(struct unit *unit)
{
	const uint64_t *entry = plat_spa_ptr((spa_t){(*reg(unit, 0) & ADDRESS) + DEVICE * 32ull});

	if ((entry[0] >> 61 & 3) == 0) {
		assert_int_equal(entry[0], 3); /* valid, no table and no rights */
	} else {
		assert_int_equal(entry[0] >> 9 & 7, 4);
		assert_int_equal(unit->entry, 3);
		assert_int_equal(unit->remembered, 0);
		unit->remembered = entry[1] & 0xffff;
	}
	unit->entry = entry[0];
	unit->how = entry[2];
}

/* What DEVICE's message of this data becomes: vector and APIC ID; 0: it is refused, 1: it passes.
 * By 2.2.5 and 2.2.5.1. */
static uint32_t raise(struct unit *unit, uint32_t data)
{
	const uint32_t *entries = plat_spa_ptr((spa_t){unit->how & 0xfffffffffffc0});
	uint32_t mode = data >> 8 & 7, number = data & 0x7ff, entry;

	assert_true(unit->how & 1);
	if (mode > 1) {
		return unit->how >> (mode == 4 ? 58 : mode == 5 ? 56 : 57) & 1;
	}
	if ((unit->how >> 60 & 3) == 1) {
		return 1;
	}
	assert_int_equal(unit->how >> 60 & 3, 2);
	assert_int_equal(unit->how >> 1 & 15, 9); /* 512 entries */
	assert_int_equal(unit->how >> 5 & 1, 0);  /* those that are refused are told */
	if (number >= 512) {
		return 0;
	}
	entry = entries[number];
	if (number < 4) {
		if (!unit->interrupts[number].there) {
			unit->interrupts[number].there = true;
			unit->interrupts[number].entry = entry;
		}
		entry = unit->interrupts[number].entry;
	}
	if (!(entry & 1)) {
		return 0;
	}
	assert_int_equal(entry & 0xff, 1); /* fixed, physical, not a guest's */
	assert_int_equal(entry >> 24, 0);
	return entry >> 8;
}

static void carry_out(struct unit *unit, const uint64_t *command)
{
	switch (command[0] >> 60) {
	case 1: /* COMPLETION_WAIT, with a store */
		assert_int_equal(command[0] & 7, 1);
		assert_int_equal(command[0] >> 52 & 0xff, 0);
		*(uint64_t *)plat_spa_ptr((spa_t){command[0] & 0xffffffffffff8}) = command[1];
		break;
	case 2: /* INVALIDATE_DEVTAB_ENTRY */
		assert_int_equal(command[0] & 0x0fffffffffffffff, DEVICE);
		assert_int_equal(command[1], 0);
		see_entry(unit);
		break;
	case 3: /* INVALIDATE_IOMMU_PAGES: all pages of a domain, tables too */
		assert_int_equal(command[0] & 0xfff0000ffffffff, 0);
		assert_int_equal(command[1], 0x7ffffffffffff003);
		unit->flushed++;
		if ((command[0] >> 32 & 0xffff) == unit->remembered) {
			unit->remembered = 0;
		}
		break;
	case 5: /* INVALIDATE_INTERRUPT_TABLE */
		assert_int_equal(command[0] & 0x0fffffffffffffff, DEVICE);
		assert_int_equal(command[1], 0);
		memset(unit->interrupts, 0, sizeof(unit->interrupts));
		break;
	case 8: /* INVALIDATE_IOMMU_ALL */
		assert_int_equal(command[0] & 0x0fffffffffffffff, 0);
		assert_int_equal(command[1], 0);
		unit->forgotten++;
		break;
	default:
		fail();
	}
}

static void run_ring(struct unit *unit)
{
	uint64_t base = *reg(unit, 8) & ADDRESS;

	assert_int_equal(*reg(unit, 8) >> 56, 8); /* 256 commands */
	assert_true(*reg(unit, 0x2008) < RING_BYTES && !(*reg(unit, 0x2008) & 15));
	for (; *reg(unit, 0x2000) != *reg(unit, 0x2008);
	     *reg(unit, 0x2000) = (*reg(unit, 0x2000) + 16) % RING_BYTES) {
		carry_out(unit, plat_spa_ptr((spa_t){base + *reg(unit, 0x2000)}));
	}
}

void mmio_write64(volatile void *at, uint64_t value)
{
	uint32_t offset;
	struct unit *unit = unit_at(at, &offset);

	if (offset == 0x2020) {
		assert_false(*reg(unit, offset) & 8); /* the log has ended */
		*reg(unit, offset) &= ~(value & 1);
		return;
	}
	/* Where things are may be changed only while they are not in use. */
	assert_true(offset > 0x10 ||
		    (!(*reg(unit, 0x18) & ENABLED) && !(*reg(unit, 0x2020) & 0x18)));
	*reg(unit, offset) = value;
	if (offset == 0x18) {
		*reg(unit, 0x2020) |= (value & LOGS) << 1 | (value & COMMANDS) >> 8;
		unit->stopping = 3;
	}
	if (offset == 0x2008 && !unit->dead && (*reg(unit, 0x18) & ENABLED) &&
	    (*reg(unit, 0x18) & COMMANDS)) {
		run_ring(unit);
	}
}

static unsigned int number = 1; /* of DEVICE's domain */
static bool remaps;

static bool reaches(struct unit *unit, uint16_t device, uint64_t spn)
{
	const uint64_t *entry = plat_spa_ptr((spa_t){(*reg(unit, 0) & ADDRESS) + device * 32ull});
	uint64_t pte = entry[0];
	unsigned int level = (unsigned int)(pte >> 9 & 7);

	assert_true(*reg(unit, 0x18) & ENABLED);
	assert_int_equal(*reg(unit, 0) & 0xfff, 511); /* of 65,536 devices */
	assert_int_equal(pte & 3, 3);
	assert_int_equal(pte >> 61 & 3, 3);
	assert_int_equal(level, 4);
	assert_int_equal(entry[1] & 0xffff, device == DEVICE ? number : 1);
	assert_false(entry[1] >> 32 & 1); /* no IOTLB of its own */
	if (!remaps) {
		assert_int_equal(entry[2], 0); /* interrupts as they are */
	} else if (number == 1) {
		assert_int_equal(entry[2],
				 1ull << 60 | 1 |
					 (device == IO_APIC ? 3ull << 62 | 7ull << 56 : 0));
	}
	while (level) {
		const uint64_t *next = plat_spa_ptr((spa_t){pte & ADDRESS});

		pte = next[spn >> 9 * (level - 1) & 511];
		if (!(pte & 1)) {
			return false;
		}
		assert_int_equal(pte >> 61 & 3, 3);
		assert_true((pte >> 9 & 7) < level);
		level = (unsigned int)(pte >> 9 & 7);
	}
	return true;
}

static int setup(void **state)
{
	struct handoff boot = {.range_count = 1,
			       .ranges = {{.base = 0, .size = 16 << 20, .type = 1}},
			       .reserved_base = 8 << 20,
			       .reserved_size = 8 << 20,
			       .free_base = 8 << 20};

	(void)state;
	ram_boot(&machine);
	memory_boot(&boot); /* once more, as far as iommu_boot() */
	memset(units, 0, sizeof(units));
	memset(&handoff, 0, sizeof(handoff));
	table_begin("SRVI");
	for (int i = 0; i < UNITS; i++) {
		table_put(48 + 24 * i, i ? 0x11 : 0x10, 1);
		table_put(48 + 24 * i + 1, i ? 0xf : 0, 1);
		table_put(48 + 24 * i + 2, 24, 2);
		table_put(48 + 24 * i + 8, BASE(i), 8);
		*reg(&units[i], 0x30) = FEATURES;
	}
	table_seal(48 + 24 * UNITS);
	handoff.iommu_table = (uintptr_t)table;
	remaps = false;
	return 0;
}

/* The first unit has an IO-APIC. */
static int setup_remapping(void **state)
{
	static const uint8_t io_apic[] = {0x48, 0, 0, 0xd7, 0, IO_APIC, 0, 1};

	setup(state);
	memmove(table + 48 + 24 + sizeof(io_apic), table + 48 + 24, 24 * (UNITS - 1));
	memcpy(table + 48 + 24, io_apic, sizeof(io_apic));
	table_put(48 + 2, 24 + sizeof(io_apic), 2);
	table_seal(48 + 24 * UNITS + sizeof(io_apic));
	remaps = true;
	return 0;
}

static void boot(void)
{
	iommu_find(&handoff);
	iommu_boot(&handoff);
	ram_root.pool.deposited = ram_root.pool.free_count = 0;
	ram_root.pool.free = NULL;
	ram_root.home = NULL;
	memory_init(&ram_root);
}

static void start(void)
{
	boot();
	iommu_start(&ram_root);
}

static void test_all_devices_are_in_the_domain(void **state)
{
	static const uint16_t devices[] = {0, 0x18, 0xff, 0x100, 0x1234, 0xffff};

	(void)state;
	*reg(&units[0], 0x18) = ENABLED | LOGS | COMMANDS | 1 << 4; /* the firmware used it */
	*reg(&units[0], 0x2020) = 0x18;
	*reg(&units[0], 0x20) = 1;
	start();
	/* A register that the root finds where Linux looks for one of the chipset: nobody answers,
	 * and nothing happens. */
	assert_true(iommu_is_at(BASE(0) + 0x3c0) && !iommu_is_at(BASE(0) + 0x4000 * UNITS));
	assert_true(iommu_registers.read(BASE(0) + 0x18, 4) == UINT64_MAX);
	iommu_registers.write(BASE(0) + 0x18, 4, 0);
	assert_true(*reg(&units[0], 0x18) & ENABLED);
	assert_non_null(strstr(said, "IOMMU: 2 units hold"));
	for (int i = 0; i < UNITS; i++) {
		for (size_t j = 0; j < ARRAY_COUNT(devices); j++) {
			assert_true(reaches(&units[i], devices[j], 0));
			assert_true(reaches(&units[i], devices[j], 0x7ff));
			assert_false(reaches(&units[i], devices[j], 0x800));
			assert_false(reaches(&units[i], devices[j], 0xfff));
			assert_true(reaches(&units[i], devices[j], 0x1000));
			assert_false(reaches(&units[i], devices[j], (BASE(1) >> 12) + 3));
		}
		assert_int_equal(units[i].forgotten, 1);
		assert_int_equal(*reg(&units[i], 0x20) & 1, 0);
	}
	assert_int_equal(*reg(&units[0], 0x18), ENABLED | LOGS | COMMANDS | 1 << 10);
	/* What the table says of the second: 5.2.2.1. */
	assert_int_equal(*reg(&units[1], 0x18),
			 ENABLED | LOGS | COMMANDS | 1 << 10 | 1 << 1 | 1 << 8 | 1 << 9 | 1 << 11);
}

static void test_units_that_will_not_do(void **state)
{
	(void)state;
	*reg(&units[1], 0x30) = UINT64_MAX;
	boot();
	assert_non_null(strstr(said, "registers do not answer"));
	setup(NULL);
	*reg(&units[1], 0x30) = 0;
	start();
	assert_non_null(strstr(said, "of the first kind"));
	assert_int_equal(*reg(&units[0], 0x18), 0);
}

static void test_a_unit_that_does_not_end(void **state)
{
	(void)state;
	*reg(&units[1], 0x2020) = 0x10;
	units[1].dead = true;
	boot();
	if (!setjmp(stopped)) {
		iommu_start(&ram_root);
		fail();
	}
	assert_non_null(strstr(said, "hv.iommu=off"));
	memory_unlock();
}

/* More flushes than the ring has room for. */
static void test_flushes(void **state)
{
	(void)state;
	start();
	for (unsigned int i = 0; i < 300; i++) {
		iommu_domain.stale = true;
		iommu_flush();
		assert_int_equal(units[0].flushed, i + 1);
		assert_int_equal(units[1].flushed, i + 1);
	}
	units[0].dead = true;
	iommu_domain.stale = true;
	if (!setjmp(stopped)) {
		iommu_flush();
		fail();
	}
	assert_non_null(strstr(said, "the IOMMU does not answer"));
}

static void test_a_device_changes_its_domain(void **state)
{
	uint64_t free, spn = 0x100;
	uint32_t done;

	(void)state;
	start();
	free = plat_pool_count(&ram_root);
	for (int i = 0; i < UNITS; i++) {
		units[i].remembered = 1;
	}
	assert_int_equal(plat_device_width(), 48);
	assert_int_equal(plat_device_domain_create(7), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_map(7, 0x42, &spn, 1, true, false, &done), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE, 7), HV_STATUS_SUCCESS);
	number = 2;
	for (int i = 0; i < UNITS; i++) {
		assert_int_equal(units[i].remembered, 2);
		assert_true(reaches(&units[i], DEVICE, 0x42));
		assert_false(reaches(&units[i], DEVICE, 0x100));
		assert_true(reaches(&units[i], DEVICE + 1, 0x100));
	}
	assert_int_equal(plat_device_unmap(7, 0x42, 1, &done), HV_STATUS_SUCCESS);
	assert_int_equal(units[1].remembered, 0);
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

/* The root's devices raise fixed interrupts, what the firmware wants also others. */
static void test_interrupts_of_the_roots_devices(void **state)
{
	(void)state;
	start();
	assert_non_null(strstr(said, "devices raise fixed interrupts only"));
	assert_true(reaches(&units[0], IO_APIC, 0) && reaches(&units[0], IO_APIC + 1, 0));
	units[0].how =
		((uint64_t *)plat_spa_ptr((spa_t){*reg(&units[0], 0) & ADDRESS}))[4 * DEVICE + 2];
	assert_int_equal(raise(&units[0], 0x31), 1);
	assert_int_equal(raise(&units[0], 0x131), 1);
	assert_int_equal(raise(&units[0], 0x400), 0); /* NMI */
	assert_int_equal(raise(&units[0], 0x500), 0); /* INIT */
	assert_int_equal(raise(&units[0], 0x700), 0); /* ExtINT */
	units[0].how =
		((uint64_t *)plat_spa_ptr((spa_t){*reg(&units[0], 0) & ADDRESS}))[4 * IO_APIC + 2];
	assert_int_equal(raise(&units[0], 0x400), 1);
}

/* QEMU's table: interrupts of the root's devices are as they are. */
static void test_interrupts_of_an_emulated_unit(void **state)
{
	const uint64_t *entry;

	(void)state;
	memcpy(table + 10, "BOCHS ", 6);
	table_seal(48 + 24 * UNITS + 8);
	start();
	assert_non_null(strstr(said, "devices of VFIO raise no interrupts but their own"));
	entry = plat_spa_ptr((spa_t){(*reg(&units[0], 0) & ADDRESS) + DEVICE * 32ull});
	assert_int_equal(entry[2], 0);
	assert_int_equal(plat_device_domain_create(7), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE, 7), HV_STATUS_SUCCESS);
	assert_int_equal(raise(&units[0], 0x31), 0);
}

static void test_interrupts_of_a_device_with_a_domain(void **state)
{
	uint32_t first, second;

	(void)state;
	start();
	for (int i = 0; i < UNITS; i++) {
		units[i].remembered = 1;
	}
	assert_int_equal(plat_device_domain_create(7), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_attach(DEVICE, 7), HV_STATUS_SUCCESS);
	number = 2;
	for (int i = 0; i < UNITS; i++) {
		for (uint32_t data = 0; data < 0x800; data++) {
			assert_int_equal(raise(&units[i], data), 0);
		}
	}
	assert_int_equal(plat_device_interrupt_map(DEVICE, 0, 0x31, &first), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_interrupt_map(DEVICE, 1, 0x31, &second), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_interrupt_map(DEVICE, 2, 0x31, &second),
			 HV_STATUS_INVALID_PARAMETER); /* an ID that does not fit */
	assert_int_equal(plat_device_interrupt_map(DEVICE, 3, 0x31, &second),
			 HV_STATUS_INVALID_PARAMETER);
	second = 1;
	for (int i = 0; i < UNITS; i++) {
		assert_int_equal(raise(&units[i], first), 0x3105);
		assert_int_equal(raise(&units[i], second), 0x3109);
		assert_int_equal(raise(&units[i], 0x31), 0);
		assert_int_equal(raise(&units[i], 0x400 | first), 0);
	}
	assert_int_equal(plat_device_interrupt_retarget(DEVICE, first, 1, 0x32), HV_STATUS_SUCCESS);
	assert_int_equal(plat_device_interrupt_unmap(DEVICE, second), HV_STATUS_SUCCESS);
	for (int i = 0; i < UNITS; i++) {
		assert_int_equal(raise(&units[i], first), 0x3209);
		assert_int_equal(raise(&units[i], second), 0);
	}
	assert_int_equal(plat_device_attach(DEVICE, 0), HV_STATUS_SUCCESS);
	number = 1;
	assert_true(reaches(&units[1], DEVICE, 0x100));
	assert_int_equal(raise(&units[1], 0x31), 1);
	assert_int_equal(plat_device_attach(DEVICE, 7), HV_STATUS_SUCCESS);
	assert_int_equal(raise(&units[0], first), 0); /* nothing is remembered of before */
	assert_int_equal(plat_device_attach(DEVICE, 0), HV_STATUS_SUCCESS);
}

static void event(int i, uint64_t low, uint64_t address)
{
	uint64_t *tail = reg(&units[i], 0x2018);
	uint64_t *entry = plat_spa_ptr((spa_t){(*reg(&units[i], 0x10) & ADDRESS) + *tail});

	entry[0] = low;
	entry[1] = address;
	*tail = (*tail + 16) % RING_BYTES;
}

static void test_events_are_told_a_few_at_a_time(void **state)
{
	(void)state;
	start();
	assert_int_equal(*reg(&units[0], 0x10) >> 56, 8);
	for (unsigned int round = 0; round < 6; round++) { /* around the log */
		for (unsigned int i = 0; i < 100; i++) {
			event(1, 2ull << 60 | 1ull << 53 | 0x021b, 0x800123);
		}
		tsc += 1000000;
		iommu_poll();
		assert_int_equal(refusals(), 2 * (round + 1));
		assert_int_equal(*reg(&units[1], 0x2010), *reg(&units[1], 0x2018));
	}
	assert_non_null(strstr(said, "device 02:03.3 is refused to write at 800123 (reason 2)"));
	event(0, 2ull << 60 | 0x00ff, 0x900000);
	*reg(&units[0], 0x2020) |= 1; /* overflow */
	tsc += 1000000;
	iommu_poll();
	assert_non_null(strstr(said, "device 00:1f.7 is refused to read at 900000 (reason 2)"));
	event(0, 2ull << 60 | 1ull << 51 | 0x00ff, 0xfee00000);
	tsc += 1000000;
	iommu_poll();
	assert_non_null(strstr(said, "device 00:1f.7 is refused to interrupt at fee00000"));
	assert_int_equal(*reg(&units[0], 0x2020), 0x18);
	assert_true(*reg(&units[0], 0x18) & LOGS);
}

static int end(void **state)
{
	(void)state;
	ram_shutdown();
	return 0;
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, end)
#define REMAPPING(name) cmocka_unit_test_setup_teardown(name, setup_remapping, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_devices_are_in_the_domain),
		TEST(test_units_that_will_not_do),
		TEST(test_a_unit_that_does_not_end),
		TEST(test_flushes),
		TEST(test_events_are_told_a_few_at_a_time),
		TEST(test_a_device_changes_its_domain),
		REMAPPING(test_interrupts_of_the_roots_devices),
		REMAPPING(test_interrupts_of_a_device_with_a_domain),
		REMAPPING(test_interrupts_of_an_emulated_unit),
		REMAPPING(test_a_device_changes_its_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
