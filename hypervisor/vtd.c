/*
 * See vtd.h; chapters are the VT-d specification's. In legacy mode: a root table of 256 buses, a
 * context table of 256 functions. One context table, of the root's domain, serves all buses without
 * a device in another.
 */
#include "hypervisor/vtd.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/iommu_entry.h"
#include "hypervisor/memory.h"
#include "hypervisor/mmio.h"
#include "lib/string.h"

/* Registers, 11.4 */
#define REG_CAP           0x08
#define REG_ECAP          0x10
#define REG_COMMAND       0x18
#define REG_STATUS        0x1c
#define REG_ROOT_TABLE    0x20
#define REG_FAULT_STATUS  0x34
#define REG_FAULT_CONTROL 0x38
#define REG_PROTECTED     0x64
#define REG_QUEUE_TAIL    0x88
#define REG_QUEUE_ADDRESS 0x90
#define REG_INTERRUPTS    0xb8

#define CAP_NUMBERS(cap)   (1u << (4 + 2 * ((cap)&7))) /* of domains; 7 is reserved */
#define CAP_WRITE_BUFFER   (1ull << 4)
#define CAP_PROTECTED      (3ull << 5)
#define CAP_CACHING_MODE   (1ull << 7)
#define CAP_3_LEVELS       (1ull << 9)
#define CAP_4_LEVELS       (1ull << 10)
#define CAP_WIDTH(cap)     (((cap) >> 16 & 0x3f) + 1)
#define CAP_FAULTS_AT(cap) ((uint32_t)((cap) >> 24 & 0x3ff) * 16)
#define CAP_2_MIB          (1ull << 34)
#define CAP_1_GIB          (1ull << 35)
#define CAP_FAULTS(cap)    ((uint32_t)((cap) >> 40 & 0xff) + 1)
#define CAP_DRAINS         (3ull << 54)
#define ECAP_QUEUE         (1ull << 1)
#define ECAP_INTERRUPTS    (1ull << 3)
#define ECAP_WIDE          (1ull << 4)

#define COMMAND_TRANSLATE  (1u << 31)
#define COMMAND_ROOT_TABLE (1u << 30)
#define COMMAND_QUEUE      (1u << 26)
#define COMMAND_INTERRUPTS (1u << 25)
#define COMMAND_TABLE      (1u << 24) /* of interrupts */
/* Those that last; the others happen once. */
#define STATUS_LASTING 0x96ffffffu

#define FAULT_CONTROL_MASKED        (1u << 31)
#define FAULT_STATUS_LOST           (1u << 0)
#define FAULT_STATUS_PENDING        (1u << 1)
#define FAULT_RECORD                16u
#define FAULT_VALID                 (1ull << 63)
#define FAULT_READ                  (1ull << 62)
#define FAULT_OF_INTERRUPTS(reason) ((reason) >= 0x20 && (reason) <= 0x26) /* 7.1.3 */
#define FAULT_NUMBER(low)           ((low) >> 48)                          /* of an entry */
#define PROTECTED_ENABLE            (1u << 31)
#define PROTECTED_ENABLED           (1u << 0)

/* Tables, 9.1 and 9.3 */
#define ENTRY_PRESENT         1ull
#define CONTEXT_DOMAIN(id)    ((uint64_t)(id) << 8)
#define CONTEXT_LEVELS(count) ((count)-2ull)
#define INTERRUPTS_WIDE       (1ull << 11)
#define INTERRUPTS_LOG2       13ull /* of the entries, less 1 */

/* Commands, 6.5.2: 16 bytes each */
#define FLUSH_CONTEXTS      0x11ull /* all of them */
#define FLUSH_DOMAIN        0x22ull
#define FLUSH_DOMAIN_DRAIN  (3ull << 6)
#define FLUSH_DOMAIN_ID(id) ((uint64_t)(id) << 16)
#define FORGET_INTERRUPTS   4ull
#define WAIT_WRITE          0x25ull
#define WAIT_NUMBER(number) ((uint64_t)(number) << 32)

static uint32_t read32(const struct iommu_unit *unit, uint32_t at)
{
	return mmio_read32(unit->registers + at);
}

static void write32(const struct iommu_unit *unit, uint32_t at, uint32_t value)
{
	mmio_write32(unit->registers + at, value);
}

/* Waits until the bit is as it should be; false: the unit is late. */
static bool wait_for(const struct iommu_unit *unit, uint32_t at, uint32_t bit, bool on)
{
	const uint64_t begin = plat_tsc();

	while (!(read32(unit, at) & bit) == on) {
		if (iommu_unit_is_late(begin)) {
			return false;
		}
		cpu_relax();
	}
	return true;
}

const char *vtd_judge(struct iommu_unit *unit, uint64_t last)
{
	uint64_t cap = mmio_read64(unit->registers + REG_CAP);
	uint64_t ecap = mmio_read64(unit->registers + REG_ECAP);
	uint32_t in_page;

	if (cap == UINT64_MAX || !cap) {
		return "a unit's registers do not answer";
	}
	if (!(ecap & ECAP_QUEUE) || cap & CAP_WRITE_BUFFER) {
		return "a unit is of the first kind, without a queue of commands";
	}
	if (!(cap & CAP_2_MIB)) {
		return "a unit has no large pages";
	}
	if (!(cap & (CAP_3_LEVELS | CAP_4_LEVELS))) {
		return "a unit has tables of neither 3 nor 4 levels";
	}
	unit->levels = cap & CAP_4_LEVELS ? 4 : 3;
	if (last >> (CAP_WIDTH(cap) < 64 ? CAP_WIDTH(cap) : 63) ||
	    last >> (PAGE_SHIFT + 9 * unit->levels)) {
		return "a unit's addresses do not reach the end of memory";
	}
	unit->width = (uint8_t)(PAGE_SHIFT + 9 * unit->levels);
	if (CAP_WIDTH(cap) < unit->width) {
		unit->width = (uint8_t)CAP_WIDTH(cap);
	}
	unit->numbers = (cap & 7) < 6 ? (uint16_t)CAP_NUMBERS(cap) : UINT16_MAX;
	unit->max_level = cap & CAP_1_GIB ? 2 : 1;
	unit->caches_absence = cap & CAP_CACHING_MODE;
	unit->drains = (cap & CAP_DRAINS) == CAP_DRAINS;
	unit->remaps = ecap & ECAP_INTERRUPTS;
	unit->wide = ecap & ECAP_WIDE;
	unit->second_at = CAP_FAULTS_AT(cap);
	in_page = (uint32_t)(PAGE_SIZE - (unit->second_at & PAGE_MASK)) / FAULT_RECORD;
	unit->fault_count = CAP_FAULTS(cap) < in_page ? CAP_FAULTS(cap) : in_page;
	return NULL;
}

/* ---- commands ---- */

/* The number is written when all commands before have been carried out. At most three are in the
 * queue then. */
static void push_wait(struct iommu_unit *unit)
{
	iommu_unit_push(unit, WAIT_WRITE | WAIT_NUMBER(++unit->asked),
			plat_ptr_spa(unit->answer).v);
	mmio_write64(unit->registers + REG_QUEUE_TAIL, unit->tail * 16);
}

static void push_flush(struct iommu_unit *unit, uint16_t number)
{
	iommu_unit_push(unit,
			FLUSH_DOMAIN | FLUSH_DOMAIN_ID(number) |
				(unit->drains ? FLUSH_DOMAIN_DRAIN : 0),
			0);
}

void vtd_flush_begin(struct iommu_unit *unit, uint16_t number)
{
	push_flush(unit, number);
	push_wait(unit);
}

void vtd_forget_begin(struct iommu_unit *unit)
{
	iommu_unit_push(unit, FLUSH_CONTEXTS, 0);
	push_wait(unit);
}

void vtd_forget_interrupts_begin(struct iommu_unit *unit)
{
	iommu_unit_push(unit, FORGET_INTERRUPTS, 0);
	push_wait(unit);
}

/* ---- tables ---- */

/* The first table, as far down as the unit's levels are. */
static uint64_t top_of(const struct iommu_unit *unit, uint64_t *top)
{
	return unit->levels == IOMMU_LEVELS ? plat_ptr_spa(top).v : top[0] & IOMMU_ADDRESS;
}

static void set_context(uint64_t *context, uint64_t low, uint64_t high)
{
	context[1] = high;
	__atomic_store_n(&context[0], low, __ATOMIC_SEQ_CST);
	clflush(context);
}

static uint64_t *contexts_of(const struct iommu_unit *unit, uint8_t bus)
{
	return iommu_table_of(unit->tables[0][2 * bus]);
}

static void set_contexts(struct iommu_unit *unit, uint8_t bus, const uint64_t *contexts)
{
	uint64_t *entry = &unit->tables[0][2 * bus];

	__atomic_store_n(entry, plat_ptr_spa(contexts).v | ENTRY_PRESENT, __ATOMIC_SEQ_CST);
	clflush(entry);
}

bool vtd_own_contexts(struct iommu_unit *unit, uint8_t bus)
{
	uint64_t *contexts;

	if (contexts_of(unit, bus) != unit->tables[1]) {
		return true;
	}
	contexts = memory_alloc(iommu_domain.owner);
	if (contexts == NULL) {
		return false;
	}
	memcpy(contexts, unit->tables[1], PAGE_SIZE);
	iommu_table_clean(contexts);
	set_contexts(unit, bus, contexts);
	return true;
}

uint64_t *vtd_share_contexts(struct iommu_unit *unit, uint8_t bus)
{
	uint64_t *contexts = contexts_of(unit, bus);

	if (contexts == unit->tables[1] || memcmp(contexts, unit->tables[1], PAGE_SIZE)) {
		return NULL;
	}
	set_contexts(unit, bus, unit->tables[1]);
	return contexts;
}

void vtd_block_device(struct iommu_unit *unit, uint16_t device)
{
	uint64_t *context = contexts_of(unit, device >> 8) + 2 * (device & 0xff);

	set_context(context, 0, context[1]);
}

void vtd_set_device(struct iommu_unit *unit, uint16_t device, uint16_t number, uint64_t *top)
{
	set_context(contexts_of(unit, device >> 8) + 2 * (device & 0xff),
		    top_of(unit, top) | ENTRY_PRESENT,
		    CONTEXT_DOMAIN(number) | CONTEXT_LEVELS(unit->levels));
}

/* ---- start ---- */

/* Carries out what the bit says, and waits until the unit has done so. */
static bool command(const struct iommu_unit *unit, uint32_t bit, bool on)
{
	const uint32_t lasting = read32(unit, REG_STATUS) & STATUS_LASTING;

	write32(unit, REG_COMMAND, on ? lasting | bit : lasting & ~bit);
	return wait_for(unit, REG_STATUS, bit, on);
}

/* The firmware may have left it in use. Interrupts are as on a machine without. */
static bool stop_firmware(const struct iommu_unit *unit)
{
	uint32_t status = read32(unit, REG_STATUS);

	write32(unit, REG_FAULT_CONTROL, FAULT_CONTROL_MASKED);
	return (!(status & COMMAND_INTERRUPTS) || command(unit, COMMAND_INTERRUPTS, false)) &&
	       (!(status & COMMAND_QUEUE) || command(unit, COMMAND_QUEUE, false));
}

static void fill_tables(struct iommu_unit *unit, uint64_t *top)
{
	uint64_t *contexts = unit->tables[1];

	for (unsigned int i = 0; i < PAGE_SIZE / 16; i++) {
		set_context(&contexts[2 * i], top_of(unit, top) | ENTRY_PRESENT,
			    CONTEXT_DOMAIN(IOMMU_ROOT_DOMAIN) | CONTEXT_LEVELS(unit->levels));
		set_contexts(unit, (uint8_t)i, contexts);
	}
}

/* Regions that firmware keeps from all DMA until the system has the IOMMU. */
static bool end_protection(const struct iommu_unit *unit)
{
	if (!(mmio_read64(unit->registers + REG_CAP) & CAP_PROTECTED)) {
		return true;
	}
	write32(unit, REG_PROTECTED, read32(unit, REG_PROTECTED) & ~PROTECTED_ENABLE);
	return wait_for(unit, REG_PROTECTED, PROTECTED_ENABLED, false);
}

bool vtd_remap(const struct iommu_unit *unit, bool on)
{
	return command(unit, COMMAND_INTERRUPTS, on);
}

/* An empty table, for when it is to be used. */
static bool start_interrupts(struct iommu_unit *unit)
{
	if (unit->interrupts == NULL) {
		return true;
	}
	for (uint32_t i = 0; i < 2 * VTD_INTERRUPTS; i += 8) {
		clflush(&unit->interrupts[i]);
	}
	mmio_write64(unit->registers + REG_INTERRUPTS, plat_ptr_spa(unit->interrupts).v |
							       (unit->wide ? INTERRUPTS_WIDE : 0) |
							       INTERRUPTS_LOG2);
	if (!command(unit, COMMAND_TABLE, true)) {
		return false;
	}
	vtd_forget_interrupts_begin(unit);
	return iommu_unit_wait(unit);
}

bool vtd_start(struct iommu_unit *unit, uint64_t *top)
{
	if (!stop_firmware(unit)) {
		return false;
	}
	fill_tables(unit, top);
	mmio_write64(unit->registers + REG_ROOT_TABLE, plat_ptr_spa(unit->tables[0]).v);
	mmio_write64(unit->registers + REG_QUEUE_TAIL, 0);
	mmio_write64(unit->registers + REG_QUEUE_ADDRESS, plat_ptr_spa(unit->queue).v);
	if (!command(unit, COMMAND_ROOT_TABLE, true) || !command(unit, COMMAND_QUEUE, true)) {
		return false;
	}
	iommu_unit_push(unit, FLUSH_CONTEXTS, 0);
	push_flush(unit, IOMMU_ROOT_DOMAIN);
	push_wait(unit);
	return iommu_unit_wait(unit) && start_interrupts(unit) &&
	       command(unit, COMMAND_TRANSLATE, true) && end_protection(unit);
}

/* ---- faults ---- */

bool vtd_has_faults(const struct iommu_unit *unit)
{
	uint32_t status = read32(unit, REG_FAULT_STATUS);

	if (status & FAULT_STATUS_LOST) {
		write32(unit, REG_FAULT_STATUS, FAULT_STATUS_LOST);
	}
	return status & (FAULT_STATUS_LOST | FAULT_STATUS_PENDING);
}

bool vtd_take_fault(struct iommu_unit *unit, uint32_t i, struct iommu_fault *fault)
{
	volatile uint8_t *record = unit->second + i * FAULT_RECORD;
	uint64_t high = mmio_read64(record + 8);

	if (!(high & FAULT_VALID)) {
		return false;
	}
	fault->device = (uint16_t)high;
	fault->reason = (uint8_t)(high >> 32);
	fault->write = !(high & FAULT_READ);
	fault->interrupt = FAULT_OF_INTERRUPTS(fault->reason);
	fault->address = mmio_read64(record) & ~(uint64_t)PAGE_MASK;
	if (fault->interrupt) {
		fault->address = FAULT_NUMBER(fault->address);
	}
	mmio_write32(record + 12, (uint32_t)(FAULT_VALID >> 32));
	return true;
}
