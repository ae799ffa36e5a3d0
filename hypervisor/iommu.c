/*
 * The units of the IOMMU: found, judged, started, flushed, and asked for faults. See iommu.h.
 * Either all of a machine's units are used or none: a device behind one that is not would go past
 * the others.
 *
 * Faults are looked for when an LP's timer fires, not by an interrupt: so a device that is refused
 * without end costs nothing.
 */
#include "hypervisor/iommu.h"

#include "hypervisor/amdvi.h"
#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/console.h"
#include "hypervisor/iommu_device.h"
#include "hypervisor/iommu_interrupt.h"
#include "hypervisor/iommu_unit.h"
#include "hypervisor/lp.h"
#include "hypervisor/memory.h"
#include "hypervisor/mmio.h"
#include "hypervisor/option.h"
#include "hypervisor/root_access.h"
#include "hypervisor/vtd.h"
#include "hypervisor/vtd_root.h"
#include "lib/string.h"
#include "tlfs/hv.h"

#define POLLS_PER_SECOND 4
#define LINES_PER_POLL   2
#define GIB              (1ull << 30)
#define APIC_EVERYBODY   0xffu /* no APIC's ID to units */
#define TOO_LITTLE       "too little memory for the IOMMU; give the hypervisor more with hv.memory="

static struct iommu_facts facts;
static struct iommu_unit units[IOMMU_MAX_UNITS];
static uint32_t unit_count; /* 0: there is no IOMMU, or it is not used */
static uint64_t *devices;   /* AMD: the table of all devices */
static uint64_t table_at;   /* of the firmware */
static struct vtd_root views[IOMMU_MAX_UNITS];
static bool seen;          /* [I] VT-d: the root has views */
static uint64_t next_poll; /* [a] TSC; HV_NEVER: somebody polls */

void iommu_find(const struct handoff *handoff)
{
	const uint8_t *table = (const uint8_t *)handoff->iommu_table; /* identity map */
	uint32_t length;

	if (handoff->iommu_table) {
		memcpy(&length, table + 4, sizeof(length));
		iommu_table_read(table, length, &facts);
		table_at = handoff->iommu_table;
		/* show_table() writes there past the caches. */
		clflush(table);
		clflush(table + IOMMU_TABLE_FLAGS);
	}
}

/* ---- boot ---- */

/* The domain ends with memory; what devices have below 4 GiB is in it, and what the firmware
 * reserved. */
static uint64_t domain_end(void)
{
	uint64_t end = 4 * GIB >> PAGE_SHIFT, first, pages;

	for (uint32_t i = 0; memory_range(i, &first, &pages); i++) {
		end = first + pages > end ? first + pages : end;
	}
	for (uint32_t i = 0; i < facts.region_count; i++) {
		uint64_t region_end = (facts.regions[i].last >> PAGE_SHIFT) + 1;

		end = region_end > end ? region_end : end;
	}
	return end;
}

/* NULL: the unit can be used, and its registers are withheld from all partitions. */
static const char *find_unit(struct iommu_unit *unit, const struct iommu_place *place)
{
	uint64_t spn = place->base >> PAGE_SHIFT, pages = place->pages, second;
	const char *wrong;

	if (memory_extent(spn, pages) != EXTENT_OTHER) {
		return "a unit's registers are where memory is, or another's are";
	}
	*unit = (struct iommu_unit){.registers = paging_map_device((spa_t){place->base}),
				    .flags = place->flags};
	wrong = facts.kind == IOMMU_VTD ? vtd_judge(unit, (iommu_domain.end << PAGE_SHIFT) - 1)
					: amdvi_judge(unit);
	if (wrong != NULL) {
		return wrong;
	}
	second = unit->second_at >> PAGE_SHIFT;
	unit->second =
		second ? paging_map_device((spa_t){(spn + second) << PAGE_SHIFT}) : unit->registers;
	unit->second += unit->second_at & PAGE_MASK;
	pages = second >= pages ? second + 1 : pages;
	return memory_withhold(spn, pages) ? NULL : "the machine has too many units";
}

static const char *find_units(void)
{
	const char *wrong = facts.wrong;

	iommu_domain.end = domain_end();
	iommu_domain.max_level = (uint8_t)paging_max_level();
	iommu_domain.width = PAGE_SHIFT + 9 * IOMMU_LEVELS;
	iommu_domain.numbers = UINT16_MAX;
	for (uint32_t i = 0; wrong == NULL && i < facts.unit_count; i++) {
		wrong = find_unit(&units[i], &facts.units[i]);
		if (units[i].max_level < iommu_domain.max_level) {
			iommu_domain.max_level = units[i].max_level;
		}
		if (units[i].width < iommu_domain.width) {
			iommu_domain.width = units[i].width;
		}
		if (units[i].numbers < iommu_domain.numbers) {
			iommu_domain.numbers = units[i].numbers;
		}
		iommu_domain.caches_absence |= units[i].caches_absence;
	}
	return wrong;
}

/* What the firmware's devices use must not be where the loader has put the hypervisor: they will be
 * refused there. */
static void check_regions(void)
{
	for (uint32_t i = 0; i < facts.region_count; i++) {
		uint64_t first = facts.regions[i].first >> PAGE_SHIFT,
			 last = facts.regions[i].last >> PAGE_SHIFT;

		if (memory_hidden(first, last - first + 1)) {
			console_print("IOMMU: the firmware's devices are refused their region %lx "
				      "to %lx, which is the hypervisor's\n",
				      facts.regions[i].first, facts.regions[i].last);
		}
	}
}

/* VT-d: empty tables of interrupts, if all units can have them. False: devices raise what they
 * like. */
static bool make_tables(void)
{
	const uint64_t pages = (uint64_t)unit_count * VTD_INTERRUPTS_PAGES;

	for (uint32_t i = 0; i < unit_count; i++) {
		if (!units[i].remaps) {
			return false;
		}
	}
	if (!facts.remaps || memory_boot_left() < pages) {
		return false;
	}
	for (uint32_t i = 0; i < unit_count; i++) {
		units[i].interrupts = plat_spa_ptr(memory_boot_alloc(VTD_INTERRUPTS_PAGES));
		units[i].wide &= apic_is_wide();
		memset(units[i].interrupts, 0, VTD_INTERRUPTS_PAGES * PAGE_SIZE);
	}
	return true;
}

void iommu_boot(const struct handoff *handoff)
{
	const char *wrong;

	unit_count = 0;
	seen = false;
	iommu_device_reset();
	if (!handoff->iommu_table) {
		wrong = "the machine has none";
	} else if (option_given(handoff->cmdline, "hv.iommu=off")) {
		wrong = "hv.iommu=off";
	} else {
		wrong = find_units();
	}
	if (wrong != NULL) {
		console_print("IOMMU: not used (%s); devices of the root can write to the "
			      "hypervisor's memory\n",
			      wrong);
		return;
	}
	if (facts.kind == IOMMU_AMDVI) {
		if (memory_boot_left() < AMDVI_DEVICE_TABLE_PAGES) {
			machine_stop(TOO_LITTLE);
		}
		devices = plat_spa_ptr(memory_boot_alloc(AMDVI_DEVICE_TABLE_PAGES));
	}
	check_regions();
	unit_count = facts.unit_count;
	seen = facts.kind == IOMMU_VTD && make_tables();
}

/* What becomes of a device's interrupts: as its table has it, or those of the root's devices, which
 * are its firmware's. */
static uint64_t interrupts_of(uint16_t device, const struct interrupt_table *table)
{
	uint8_t setting = 0;

	if (!iommu_domain.remaps) {
		return 0;
	}
	if (table != NULL) {
		return amdvi_interrupts_by(plat_ptr_spa(table));
	}
	if (facts.emulated) {
		return 0;
	}
	for (uint32_t i = 0; i < facts.pass_count; i++) {
		if (facts.passes[i].first <= device && device <= facts.passes[i].last) {
			setting |= facts.passes[i].setting;
		}
	}
	return amdvi_interrupts_pass(setting);
}

static void fill_devices(void)
{
	const spa_t top = plat_ptr_spa(iommu_domain.top);

	for (uint32_t i = 0; i <= UINT16_MAX; i++) {
		amdvi_set_device(devices, (uint16_t)i, IOMMU_ROOT_DOMAIN, top,
				 interrupts_of((uint16_t)i, NULL));
	}
}

static void start_unit(struct iommu_unit *unit, uint64_t *answer)
{
	unit->tables[0] = memory_alloc(iommu_domain.owner);
	unit->tables[1] = memory_alloc(iommu_domain.owner);
	unit->queue = memory_alloc(iommu_domain.owner);
	unit->answer = answer;
	if (unit->queue == NULL) {
		machine_stop(TOO_LITTLE);
	}
	if (!(facts.kind == IOMMU_VTD ? vtd_start(unit, iommu_domain.top)
				      : amdvi_start(unit, devices))) {
		machine_stop("the IOMMU does not start; boot with hv.iommu=off to do without");
	}
}

static uint8_t change_byte(uint32_t offset, uint8_t keep, uint8_t set)
{
	volatile uint8_t *page =
		paging_map_device((spa_t){(table_at + offset) & ~(uint64_t)PAGE_MASK});
	volatile uint8_t *at = page + ((table_at + offset) & PAGE_MASK);
	uint8_t before = mmio_read8(at);

	mmio_write8(at, (before & keep) | set);
	return before;
}

/*
 * The root finds the firmware's table again, and by it the units, as the views have them. It is not
 * asked to translate, which it could not; what the sum loses by that it gets back.
 */
static void show_table(void)
{
	static const char signature[] = "DMAR"; /* of the same letters as the hidden one's */

	for (uint32_t i = 0; i < 4; i++) {
		change_byte(i, 0, (uint8_t)signature[i]);
	}
	if (change_byte(IOMMU_TABLE_FLAGS, (uint8_t)~IOMMU_TABLE_INSISTS, 0) &
	    IOMMU_TABLE_INSISTS) {
		uint8_t sum = change_byte(IOMMU_TABLE_SUM, UINT8_MAX, 0);

		change_byte(IOMMU_TABLE_SUM, 0, (uint8_t)(sum + IOMMU_TABLE_INSISTS));
	}
}

static void show_units(struct partition *root)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		vtd_root_start(&views[i], &units[i], root);
	}
	show_table();
}

void iommu_start(struct partition *root)
{
	uint64_t *answers;

	if (!unit_count) {
		return;
	}
	memory_lock();
	iommu_domain.kind = facts.kind;
	iommu_domain.remaps = facts.kind == IOMMU_AMDVI && facts.remaps;
	iommu_domain.owner = root;
	answers = memory_alloc(root);
	if (answers == NULL || !iommu_domain_build(&iommu_domain)) {
		machine_stop(TOO_LITTLE);
	}
	if (facts.kind == IOMMU_AMDVI) {
		fill_devices();
	}
	for (uint32_t i = 0; i < unit_count; i++) {
		start_unit(&units[i], &answers[i]);
	}
	if (seen) {
		show_units(root);
	}
	memory_unlock();
	console_print("IOMMU: %u units hold the root's devices back from the hypervisor's memory\n",
		      unit_count);
	console_print("IOMMU: %s\n",
		      seen ? "devices raise what the root gives them, as soon as its kernel has "
			     "interrupts remapped"
		      : !iommu_domain.remaps ? "interrupts are not remapped; a device can raise any"
		      : facts.emulated       ? "devices of VFIO raise no interrupts but their own"
				       : "devices raise fixed interrupts only, those of VFIO no "
					 "others than their own");
}

/* ---- what the root sees ---- */

static struct vtd_root *view_at(uint64_t gpa)
{
	for (uint32_t i = 0; seen && i < unit_count; i++) {
		if (facts.units[i].base >> PAGE_SHIFT == gpa >> PAGE_SHIFT) {
			return &views[i];
		}
	}
	return NULL;
}

bool iommu_is_at(uint64_t gpa)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		if (gpa - facts.units[i].base < (uint64_t)facts.units[i].pages << PAGE_SHIFT) {
			return true;
		}
	}
	return false;
}

static uint64_t read_register(uint64_t gpa, unsigned int size)
{
	struct vtd_root *view = view_at(gpa);

	return view != NULL ? vtd_root_read(view, gpa & PAGE_MASK, size) : UINT64_MAX;
}

static void write_register(uint64_t gpa, unsigned int size, uint64_t value)
{
	struct vtd_root *view = view_at(gpa);

	if (view != NULL && !vtd_root_write(view, gpa & PAGE_MASK, size, value)) {
		machine_stop("the IOMMU does not answer");
	}
}

const struct root_registers iommu_registers = {read_register, write_register};

/* ---- at work ---- */

static void wait_for_units(void)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		if (!iommu_unit_wait(&units[i])) {
			machine_stop("the IOMMU does not answer");
		}
	}
}

void iommu_units_flush(uint16_t number)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		(facts.kind == IOMMU_VTD ? vtd_flush_begin : amdvi_flush_begin)(&units[i], number);
	}
	wait_for_units();
}

static void forget_device(uint16_t device)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		if (facts.kind == IOMMU_VTD) {
			vtd_forget_begin(&units[i]);
		} else {
			amdvi_forget_begin(&units[i], device);
		}
	}
	wait_for_units();
}

void iommu_units_forget_interrupts(uint16_t device)
{
	for (uint32_t i = 0; iommu_domain.remaps && i < unit_count; i++) {
		amdvi_forget_interrupts_begin(&units[i], device);
	}
	wait_for_units();
}

bool iommu_apic_id(uint32_t vp_index, uint8_t *apic_id)
{
	if (vp_index >= lp_count || lp_get(vp_index)->apic_id >= APIC_EVERYBODY) {
		return false;
	}
	*apic_id = (uint8_t)lp_get(vp_index)->apic_id;
	return true;
}

/* Context tables of one bus in which all devices are in the root's domain again, at most one a
 * unit. */
static void share_contexts(uint8_t bus)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		uint64_t *table = vtd_share_contexts(&units[i], bus);

		if (table != NULL) {
			forget_device(0);
			memory_free(iommu_domain.owner, table);
		}
	}
}

static bool own_contexts(uint8_t bus)
{
	for (uint32_t i = 0; i < unit_count; i++) {
		if (!vtd_own_contexts(&units[i], bus)) {
			share_contexts(bus);
			return false;
		}
	}
	return true;
}

static void block_device(uint16_t device)
{
	if (facts.kind == IOMMU_AMDVI) {
		amdvi_block_device(devices, device);
		return;
	}
	for (uint32_t i = 0; i < unit_count; i++) {
		vtd_block_device(&units[i], device);
	}
}

static void set_device(uint16_t device, uint16_t number, uint64_t *top,
		       const struct interrupt_table *interrupts)
{
	if (facts.kind == IOMMU_AMDVI) {
		amdvi_set_device(devices, device, number, plat_ptr_spa(top),
				 interrupts_of(device, interrupts));
		return;
	}
	for (uint32_t i = 0; i < unit_count; i++) {
		vtd_set_device(&units[i], device, number, top);
	}
}

/* A device is in one domain, in none, in the other: no unit sees parts of two entries, and
 * remembers a page of one under the other's number. */
bool iommu_units_attach(uint16_t device, uint16_t from, uint16_t to, uint64_t *top,
			const struct interrupt_table *interrupts)
{
	if (facts.kind == IOMMU_VTD && !own_contexts(device >> 8)) {
		return false;
	}
	block_device(device);
	forget_device(device);
	iommu_units_flush(from);
	set_device(device, to, top, interrupts);
	forget_device(device);
	iommu_units_forget_interrupts(device);
	if (facts.kind == IOMMU_VTD && to == IOMMU_ROOT_DOMAIN) {
		share_contexts(device >> 8);
	}
	return true;
}

static bool has_faults(struct iommu_unit *unit)
{
	return facts.kind == IOMMU_VTD ? vtd_has_faults(unit) : amdvi_has_faults(unit);
}

static bool take_fault(struct iommu_unit *unit, uint32_t i, struct iommu_fault *fault)
{
	if (facts.kind == IOMMU_VTD) {
		return vtd_take_fault(unit, i, fault);
	}
	amdvi_take_fault(unit, fault);
	return true;
}

/* Takes all that a unit has recorded, and says a little of it. */
static void report(struct iommu_unit *unit, unsigned int *lines)
{
	struct iommu_fault fault;

	for (uint32_t i = 0; i < unit->fault_count; i++) {
		if (take_fault(unit, i, &fault) && (*lines)++ < LINES_PER_POLL) {
			plat_log("IOMMU: device %02x:%02x.%x is refused to %s at %lx (reason %x)",
				 fault.device >> 8, fault.device >> 3 & 0x1f, fault.device & 7,
				 fault.interrupt ? "interrupt"
				 : fault.write   ? "write"
						 : "read",
				 fault.address, fault.reason);
		}
	}
}

void iommu_poll(void)
{
	uint64_t now = plat_tsc(), due = __atomic_load_n(&next_poll, __ATOMIC_RELAXED);
	unsigned int lines = 0;

	if (!unit_count || now < due ||
	    !__atomic_compare_exchange_n(&next_poll, &due, HV_NEVER, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED)) {
		return;
	}
	for (uint32_t i = 0; i < unit_count; i++) {
		if (has_faults(&units[i])) {
			report(&units[i], &lines);
		}
	}
	__atomic_store_n(&next_poll, now + plat_info.tsc_hz / POLLS_PER_SECOND, __ATOMIC_RELEASE);
}
