/*
 * See amdvi.h; chapters are the AMD IOMMU specification's.
 */
#include "hypervisor/amdvi.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/iommu_interrupt.h"
#include "hypervisor/mmio.h"

/* Registers, 3.4; those of the second page relative to it */
#define REG_DEVICES   0x00
#define REG_COMMANDS  0x08
#define REG_LOG       0x10
#define REG_CONTROL   0x18
#define REG_EXCLUSION 0x20
#define REG_FEATURES  0x30
#define SECOND_PAGE   0x2000
#define REG_HEAD      0x00
#define REG_TAIL      0x08
#define REG_LOG_HEAD  0x10
#define REG_LOG_TAIL  0x18
#define REG_STATUS    0x20

#define RING_256            (8ull << 56) /* entries of a ring of one page */
#define FEATURE_FORGET_ALL  (1ull << 6)
#define CONTROL_ENABLE      (1ull << 0)
#define CONTROL_LOG         (1ull << 2)
#define CONTROL_COHERENT    (1ull << 10)
#define CONTROL_COMMANDS    (1ull << 12)
#define STATUS_LOG_OVERFLOW (1ull << 0)
#define STATUS_LOG_RUNS     (1ull << 3)                   /* still, after it was turned off */
#define STATUS_RUNS         (1ull << 4 | STATUS_LOG_RUNS) /* the commands or the log */
/* The table's flags, 5.2.2.1: what the control register takes of them */
#define FLAG_TUNNEL            (1u << 0)
#define FLAG_PASS_WRITES       (1u << 1)
#define FLAG_PASS_RESPONSES    (1u << 2)
#define FLAG_ISOCHRONOUS       (1u << 3)
#define CONTROL_TUNNEL         (1ull << 1)
#define CONTROL_PASS_WRITES    (1ull << 8)
#define CONTROL_PASS_RESPONSES (1ull << 9)
#define CONTROL_ISOCHRONOUS    (1ull << 11)

/* Device table entries, 2.2.2: four words. System management messages are not changed; no device
 * translates by itself. */
#define DEVICE_VALID                                                                               \
	3ull /* the entry, and its page table; without levels and rights nothing is reached */
#define DEVICE_LEVELS(n)  ((uint64_t)(n) << 9)
#define DEVICE_RIGHTS     (3ull << 61)
#define DEVICE_MANAGEMENT (1ull << 40)
/* Their third word: of interrupts. A setting of the firmware's table has the bits of what passes in
 * the same order. */
#define INTERRUPTS_VALID        1ull
#define INTERRUPTS_LENGTH(log2) ((uint64_t)(log2) << 1)
#define INTERRUPTS_SETTING(s)   (((uint64_t)(s)&7) << 56 | (uint64_t)((s) >> 6) << 62)
#define INTERRUPTS_PASS         (1ull << 60)
#define INTERRUPTS_BY_TABLE     (2ull << 60)

/* Commands, 2.4 */
#define WAIT_WRITE            (1ull << 60 | 1)
#define FORGET_DEVICE(id)     (2ull << 60 | (id))
#define FLUSH_DOMAIN(id)      (3ull << 60 | (uint64_t)(id) << 32)
#define FLUSH_ALL_PAGES       (0x7ffffffffffff000ull | 3) /* and tables */
#define FORGET_INTERRUPTS(id) (5ull << 60 | (id))
#define FORGET_ALL            (8ull << 60)

/* Events, 2.5 */
#define EVENT_CODE(event) ((uint8_t)((event) >> 60))
#define EVENT_WRITE       (1ull << 53)
#define EVENT_INTERRUPT   (1ull << 51)

const char *amdvi_judge(struct iommu_unit *unit)
{
	uint64_t features = mmio_read64(unit->registers + REG_FEATURES);

	if (features == UINT64_MAX) {
		return "a unit's registers do not answer";
	}
	if (!(features & FEATURE_FORGET_ALL)) {
		return "a unit is of the first kind, which cannot forget everything at once";
	}
	unit->levels = IOMMU_LEVELS;
	unit->width = PAGE_SHIFT + 9 * IOMMU_LEVELS;
	unit->numbers = UINT16_MAX;
	unit->max_level = 2;
	unit->second_at = SECOND_PAGE;
	return NULL;
}

void amdvi_block_device(uint64_t *devices, uint16_t device)
{
	uint64_t *entry = &devices[4 * device];

	__atomic_store_n(&entry[0], DEVICE_VALID, __ATOMIC_SEQ_CST);
	clflush(entry);
}

uint64_t amdvi_interrupts_pass(uint8_t setting)
{
	return INTERRUPTS_VALID | INTERRUPTS_PASS | INTERRUPTS_SETTING(setting);
}

uint64_t amdvi_interrupts_by(spa_t table)
{
	return INTERRUPTS_VALID | INTERRUPTS_LENGTH(INTERRUPT_TABLE_LOG2) | table.v |
	       INTERRUPTS_BY_TABLE;
}

void amdvi_set_device(uint64_t *devices, uint16_t device, uint16_t number, spa_t top,
		      uint64_t interrupts)
{
	uint64_t *entry = &devices[4 * device];

	entry[1] = number | DEVICE_MANAGEMENT;
	entry[3] = 0;
	__atomic_store_n(&entry[2], interrupts, __ATOMIC_RELAXED);
	__atomic_store_n(&entry[0],
			 DEVICE_VALID | DEVICE_LEVELS(IOMMU_LEVELS) | top.v | DEVICE_RIGHTS,
			 __ATOMIC_SEQ_CST);
	clflush(entry);
}

static void push_wait(struct iommu_unit *unit)
{
	iommu_unit_push(unit, WAIT_WRITE | plat_ptr_spa(unit->answer).v, ++unit->asked);
	mmio_write64(unit->second + REG_TAIL, unit->tail * 16);
}

void amdvi_flush_begin(struct iommu_unit *unit, uint16_t number)
{
	iommu_unit_push(unit, FLUSH_DOMAIN(number), FLUSH_ALL_PAGES);
	push_wait(unit);
}

void amdvi_forget_begin(struct iommu_unit *unit, uint16_t device)
{
	iommu_unit_push(unit, FORGET_DEVICE(device), 0);
	push_wait(unit);
}

void amdvi_forget_interrupts_begin(struct iommu_unit *unit, uint16_t device)
{
	iommu_unit_push(unit, FORGET_INTERRUPTS(device), 0);
	push_wait(unit);
}

static uint64_t control_of(const struct iommu_unit *unit)
{
	return CONTROL_ENABLE | CONTROL_COMMANDS | CONTROL_LOG | CONTROL_COHERENT |
	       (unit->flags & FLAG_TUNNEL ? CONTROL_TUNNEL : 0) |
	       (unit->flags & FLAG_PASS_WRITES ? CONTROL_PASS_WRITES : 0) |
	       (unit->flags & FLAG_PASS_RESPONSES ? CONTROL_PASS_RESPONSES : 0) |
	       (unit->flags & FLAG_ISOCHRONOUS ? CONTROL_ISOCHRONOUS : 0);
}

/* What of commands and log is not in `control` has ended when this returns; false: it has not. */
static bool turn_off(const struct iommu_unit *unit, uint64_t control, uint64_t runs)
{
	const uint64_t begin = plat_tsc();

	mmio_write64(unit->registers + REG_CONTROL, control);
	while (mmio_read64(unit->second + REG_STATUS) & runs) {
		if (iommu_unit_is_late(begin)) {
			return false;
		}
		cpu_relax();
	}
	return true;
}

bool amdvi_start(struct iommu_unit *unit, const uint64_t *devices)
{
	if (!turn_off(unit, 0, STATUS_RUNS)) { /* what the firmware left */
		return false;
	}
	mmio_write64(unit->registers + REG_EXCLUSION, 0);
	mmio_write64(unit->registers + REG_DEVICES,
		     plat_ptr_spa(devices).v | (AMDVI_DEVICE_TABLE_PAGES - 1));
	mmio_write64(unit->registers + REG_COMMANDS, plat_ptr_spa(unit->queue).v | RING_256);
	mmio_write64(unit->registers + REG_LOG, plat_ptr_spa(unit->tables[0]).v | RING_256);
	mmio_write64(unit->second + REG_HEAD, 0);
	mmio_write64(unit->second + REG_TAIL, 0);
	mmio_write64(unit->second + REG_LOG_HEAD, 0);
	mmio_write64(unit->second + REG_LOG_TAIL, 0);
	mmio_write64(unit->second + REG_STATUS, STATUS_LOG_OVERFLOW);
	mmio_write64(unit->registers + REG_CONTROL, control_of(unit));
	iommu_unit_push(unit, FORGET_ALL, 0);
	push_wait(unit);
	return iommu_unit_wait(unit);
}

/* After an overflow nothing is logged until the log is turned on again. */
static void restart_log(const struct iommu_unit *unit)
{
	if (!turn_off(unit, control_of(unit) & ~CONTROL_LOG, STATUS_LOG_RUNS)) {
		return; /* without a log it refuses all the same */
	}
	mmio_write64(unit->second + REG_STATUS, STATUS_LOG_OVERFLOW);
	mmio_write64(unit->registers + REG_CONTROL, control_of(unit));
}

bool amdvi_has_faults(struct iommu_unit *unit)
{
	uint64_t head = mmio_read64(unit->second + REG_LOG_HEAD) / 16;
	uint64_t tail = mmio_read64(unit->second + REG_LOG_TAIL) / 16;

	if (mmio_read64(unit->second + REG_STATUS) & STATUS_LOG_OVERFLOW) {
		restart_log(unit);
	}
	unit->fault_count = (uint32_t)(tail - head) % IOMMU_RING_ENTRIES;
	return unit->fault_count;
}

void amdvi_take_fault(struct iommu_unit *unit, struct iommu_fault *fault)
{
	uint64_t head = mmio_read64(unit->second + REG_LOG_HEAD) / 16 % IOMMU_RING_ENTRIES;
	const volatile uint64_t *event = unit->tables[0] + 2 * head;

	fault->device = (uint16_t)event[0];
	fault->reason = EVENT_CODE(event[0]);
	fault->write = event[0] & EVENT_WRITE;
	fault->interrupt = event[0] & EVENT_INTERRUPT;
	fault->address = event[1];
	mmio_write64(unit->second + REG_LOG_HEAD, (head + 1) % IOMMU_RING_ENTRIES * 16);
}
