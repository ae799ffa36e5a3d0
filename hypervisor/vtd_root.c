/*
 * See vtd_root.h. All that is read of the root's memory is copied once. An entry that may not be is
 * one that is not present, and the console says of the first few which. A command of another kind
 * than those for interrupts has nothing to do; one that does not exist stops the queue, as hardware
 * does it, until the root has cleared the error.
 */
#include "hypervisor/vtd_root.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/iommu_entry.h"
#include "hypervisor/lp.h"
#include "hypervisor/memory.h"
#include "hypervisor/vtd.h"
#include "lib/string.h"
#include "tlfs/hv.h"

/* Registers, 11.4: those that are more than a place for what the root wrote. */
#define REG_VERSION       0x00u
#define REG_CAP           0x08u
#define REG_ECAP          0x10u
#define REG_COMMAND       0x18u
#define REG_STATUS        0x1cu
#define REG_FAULT_STATUS  0x34u
#define REG_FAULT_CONTROL 0x38u
#define REG_FAULT_LAST    0x44u
#define REG_QUEUE_HEAD    0x80u
#define REG_QUEUE_TAIL    0x88u
#define REG_QUEUE_ADDRESS 0x90u
#define REG_EVENT_CONTROL 0xa0u
#define REG_EVENT_LAST    0xacu
#define REG_TABLE         0xb8u

/*
 * Version 1.0, without a width of addresses, so there is no translation to be had; entries are
 * remembered that are not present (caching mode). Fault records, of which there is one, and what a
 * driver of translation needs are further on in the page.
 */
#define VERSION          0x10u
#define CAP_LOW          (2u | 1u << 7 | 47u << 16 | 0x20u << 24)
#define ECAP_LOW         (1u | 1u << 1 | 1u << 3 | 1u << 4 | 0x40u << 8 | 15u << 20)
#define COMMAND_ROOT     (1u << 30)
#define COMMAND_QUEUE    (1u << 26)
#define COMMAND_REMAP    (1u << 25)
#define COMMAND_TABLE    (1u << 24)
#define CONTROL_MASKED   (1u << 31)
#define QUEUE_ERROR      (1u << 4)
#define QUEUE_OTHER_FORM 0xfffu /* of its address: more than a page, commands of 32 bytes */
#define TABLE_WIDE       (1u << 11)
#define TABLE_ENTRIES(r) (2u << ((r)&15))

/* Commands, 6.5.2 */
enum { CONTEXTS = 1, PAGES = 2, DEVICE_PAGES = 3, INTERRUPTS = 4, WAIT = 5 };
#define INTERRUPTS_SOME     (1ull << 4)
#define INTERRUPTS_LOG2(c)  ((c) >> 27 & 31)
#define INTERRUPTS_FIRST(c) ((uint32_t)((c) >> 32 & 0xffff))
#define WAIT_WRITES         (1ull << 5)

/* An entry, 9.10 */
#define ENTRY_PRESENT     1ull
#define ENTRY_LOGICAL     (1ull << 2)
#define ENTRY_LEVEL       (1ull << 4)
#define ENTRY_MODE(low)   ((low) >> 5 & 7)
#define ENTRY_POSTED      (1ull << 15)
#define ENTRY_VECTOR      16
#define ENTRY_TO_NARROW   40
#define ENTRY_TO          32
#define ENTRY_SOURCE      0xfffffull
#define ENTRY_CHECK(high) ((high) >> 18 & 3) /* of the source; 0: none, 3 is reserved */
#define MODE_LOWEST       1u
#define FIRST_VECTOR      16u
#define CHUNK             16u /* entries that are copied at once */
#define LINES             8u

static uint64_t get64(const struct vtd_root *view, uint32_t at)
{
	return view->words[at / 4] | (uint64_t)view->words[at / 4 + 1] << 32;
}

/* ---- entries ---- */

/* The processor that such an interrupt reaches, the first if several could take it; false: none, or
 * the unit cannot name it. */
static bool find_apic(const struct vtd_root *view, uint64_t low, uint32_t *apic_id)
{
	bool wide = view->table & TABLE_WIDE;
	uint32_t to = wide ? (uint32_t)(low >> ENTRY_TO) : (uint8_t)(low >> ENTRY_TO_NARROW);

	for (uint32_t i = 0; i < lp_count; i++) {
		if (lapic_reaches(partition_vp(view->root, i), to, low & ENTRY_LOGICAL)) {
			*apic_id = lp_get(i)->apic_id;
			return view->unit->wide || *apic_id < UINT8_MAX;
		}
	}
	return false;
}

/* NULL, and `made` is what the unit gets; else why it is refused. */
static const char *make_entry(const struct vtd_root *view, const uint64_t entry[2],
			      uint64_t made[2])
{
	uint64_t low = entry[0], high = entry[1];
	uint32_t vector = (uint8_t)(low >> ENTRY_VECTOR), apic_id;

	made[0] = made[1] = 0;
	if (!(low & ENTRY_PRESENT)) {
		return NULL;
	}
	if (low & ENTRY_POSTED || ENTRY_MODE(low) > MODE_LOWEST || vector < FIRST_VECTOR) {
		return "is no fixed interrupt";
	}
	if (!ENTRY_CHECK(high) || ENTRY_CHECK(high) == 3) {
		return "is any device's";
	}
	if (!find_apic(view, low, &apic_id)) {
		return "is for no processor";
	}
	made[0] = ENTRY_PRESENT | (low & ENTRY_LEVEL) | (uint64_t)vector << ENTRY_VECTOR |
		  (uint64_t)apic_id << (view->unit->wide ? ENTRY_TO : ENTRY_TO_NARROW);
	made[1] = high & ENTRY_SOURCE;
	return NULL;
}

static void refuse(uint32_t number, const char *why)
{
	static uint32_t lines; /* [a] */

	if (__atomic_load_n(&lines, __ATOMIC_RELAXED) < LINES &&
	    __atomic_fetch_add(&lines, 1, __ATOMIC_RELAXED) < LINES) {
		plat_log("IOMMU: entry %x of the root's interrupts %s, and is refused", number,
			 why);
	}
}

/* The unit reads both words at once: it sees no part of one entry beside one of another. */
static void set_entry(uint64_t *entry, const uint64_t made[2])
{
	if (entry[0] == made[0] && entry[1] == made[1]) {
		return;
	}
	if (entry[1] != made[1]) {
		__atomic_store_n(&entry[0], 0, __ATOMIC_SEQ_CST);
		clflush(entry);
		__atomic_store_n(&entry[1], made[1], __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(&entry[0], made[0], __ATOMIC_SEQ_CST);
	clflush(entry);
}

static void copy_chunk(struct vtd_root *view, uint32_t first, uint32_t count)
{
	uint64_t entries[CHUNK][2], made[2];
	gpa_t gpa = {(view->table & IOMMU_ADDRESS) + first * 16ull};
	const char *why;

	if (!plat_gpa_read(view->root, gpa, entries, count * 16)) {
		memset(entries, 0, sizeof(entries));
	}
	for (uint32_t i = 0; i < count; i++) {
		why = make_entry(view, entries[i], made);
		if (why != NULL) {
			refuse(first + i, why);
		}
		set_entry(&view->unit->interrupts[2 * (first + i)], made);
	}
}

/* Entries of the root's table that are beyond its end are not present. */
static void copy_entries(struct vtd_root *view, uint32_t first, uint32_t count)
{
	const uint32_t there = view->table ? TABLE_ENTRIES(view->table) : 0;
	const uint32_t end = first + count < VTD_INTERRUPTS ? first + count : VTD_INTERRUPTS;
	static const uint64_t none[2];
	uint32_t part;

	for (; first < end && first < there; first += part) {
		part = CHUNK - first % CHUNK;
		part = part < end - first ? part : end - first;
		part = part < there - first ? part : there - first;
		copy_chunk(view, first, part);
	}
	for (; first < end; first++) {
		set_entry(&view->unit->interrupts[2 * first], none);
	}
}

static bool forget_interrupts(struct vtd_root *view)
{
	bool answers;

	memory_lock();
	vtd_forget_interrupts_begin(view->unit);
	answers = iommu_unit_wait(view->unit);
	memory_unlock();
	return answers;
}

/* ---- the queue ---- */

static void stop_queue(struct vtd_root *view)
{
	view->words[REG_FAULT_STATUS / 4] |= QUEUE_ERROR;
}

/* A command, copied; false: there is none. */
static bool read_command(const struct vtd_root *view, uint32_t at, uint64_t command[2])
{
	if (!plat_gpa_read(view->root, (gpa_t){view->queue + at}, command, 16)) {
		return false;
	}
	return (command[0] & 15) >= CONTEXTS && (command[0] & 15) <= WAIT;
}

/* What commands from the head to here say of entries. True: some may have changed. */
static bool take_changes(struct vtd_root *view, uint32_t tail, uint32_t *end)
{
	uint32_t at = view->words[REG_QUEUE_HEAD / 4];
	bool changed = false, all = false;
	uint64_t command[2];

	for (; at != tail && read_command(view, at, command); at = (at + 16) % PAGE_SIZE) {
		uint32_t first = INTERRUPTS_FIRST(command[0]);
		uint32_t count = 1u << (INTERRUPTS_LOG2(command[0]) & 15);

		if ((command[0] & 15) != INTERRUPTS) {
			continue;
		}
		if (!(command[0] & INTERRUPTS_SOME) || count > CHUNK) {
			all = true;
		} else {
			copy_entries(view, first & ~(count - 1), count);
		}
		changed = true;
	}
	if (all) {
		copy_entries(view, 0, VTD_INTERRUPTS);
	}
	*end = at;
	return changed;
}

/* The answers that commands up to `end` ask for, each at its place. */
static void answer(struct vtd_root *view, uint32_t end)
{
	uint32_t at = view->words[REG_QUEUE_HEAD / 4], status;
	uint64_t command[2];
	gpa_t gpa;

	for (; at != end; at = (at + 16) % PAGE_SIZE) {
		if (!read_command(view, at, command)) {
			break; /* it is another one than a moment ago */
		}
		gpa.v = command[1] & ~3ull;
		status = (uint32_t)(command[0] >> 32);
		if ((command[0] & 15) == WAIT && command[0] & WAIT_WRITES &&
		    !plat_gpa_write(view->root, gpa, &status, sizeof(status))) {
			break;
		}
	}
	view->words[REG_QUEUE_HEAD / 4] = at;
	if (at != end) {
		stop_queue(view);
	}
}

static bool run_queue(struct vtd_root *view)
{
	uint32_t tail = view->words[REG_QUEUE_TAIL / 4] & PAGE_MASK & ~15u, end;

	if (!(view->words[REG_STATUS / 4] & COMMAND_QUEUE) ||
	    view->words[REG_FAULT_STATUS / 4] & QUEUE_ERROR) {
		return true;
	}
	if (take_changes(view, tail, &end) && !forget_interrupts(view)) {
		return false;
	}
	answer(view, end);
	if (end != tail) {
		stop_queue(view);
	}
	return true;
}

/* ---- registers ---- */

static void start_queue(struct vtd_root *view)
{
	uint64_t address = get64(view, REG_QUEUE_ADDRESS);

	view->queue = address & ~(uint64_t)PAGE_MASK;
	view->words[REG_QUEUE_HEAD / 4] = 0;
	if (address & QUEUE_OTHER_FORM) {
		stop_queue(view);
	}
}

/* Remapping is the unit's to do, and messages of the old form never pass beside it, whatever is
 * asked for. */
static bool command(struct vtd_root *view, uint32_t value)
{
	uint32_t *status = &view->words[REG_STATUS / 4], changed = value ^ *status;
	const uint32_t lasting = COMMAND_QUEUE | COMMAND_REMAP;
	bool answers = true;

	if (value & COMMAND_TABLE) {
		view->table = get64(view, REG_TABLE);
		copy_entries(view, 0, VTD_INTERRUPTS);
		answers = forget_interrupts(view);
	}
	if (value & changed & COMMAND_QUEUE) {
		start_queue(view);
	}
	if (answers && changed & COMMAND_REMAP) {
		memory_lock();
		answers = vtd_remap(view->unit, value & COMMAND_REMAP);
		memory_unlock();
		plat_log("IOMMU: devices of a unit raise %s",
			 value & COMMAND_REMAP ? "the interrupts that the root gave them, no others"
					       : "any interrupt, since the root will have it so");
	}
	*status =
		(*status & ~lasting) | (value & lasting) | (value & (COMMAND_TABLE | COMMAND_ROOT));
	return answers;
}

static bool is_place(uint32_t at)
{
	return (at >= REG_FAULT_CONTROL && at <= REG_FAULT_LAST) ||
	       (at >= REG_EVENT_CONTROL && at <= REG_EVENT_LAST) ||
	       (at >= REG_QUEUE_ADDRESS && at < REG_QUEUE_ADDRESS + 8) ||
	       (at >= REG_TABLE && at < REG_TABLE + 8) || at == REG_QUEUE_TAIL;
}

static bool write32(struct vtd_root *view, uint32_t at, uint32_t value)
{
	if (at == REG_COMMAND) {
		return command(view, value);
	}
	if (at == REG_FAULT_STATUS) {
		view->words[at / 4] &= ~value;
		return run_queue(view);
	}
	if (is_place(at)) {
		view->words[at / 4] = value;
	}
	return at != REG_QUEUE_TAIL || run_queue(view);
}

bool vtd_root_write(struct vtd_root *view, uint32_t at, unsigned int size, uint64_t value)
{
	bool answers = true;

	if (size < 4 || at & 3) {
		return true;
	}
	spin_lock(&view->lock);
	for (unsigned int i = 0; answers && i < size; i += 4) {
		answers = write32(view, at + i, (uint32_t)(value >> 8 * i));
	}
	spin_unlock(&view->lock);
	return answers;
}

uint64_t vtd_root_read(struct vtd_root *view, uint32_t at, unsigned int size)
{
	uint64_t value = 0;

	if (size < 4 || at & 3) {
		return 0;
	}
	spin_lock(&view->lock);
	for (unsigned int i = 0; i < size && at + i < VTD_ROOT_REGISTERS; i += 4) {
		value |= (uint64_t)view->words[(at + i) / 4] << 8 * i;
	}
	spin_unlock(&view->lock);
	return value;
}

void vtd_root_start(struct vtd_root *view, struct iommu_unit *unit, struct partition *root)
{
	memset(view, 0, sizeof(*view));
	view->unit = unit;
	view->root = root;
	view->words[REG_VERSION / 4] = VERSION;
	view->words[REG_CAP / 4] = CAP_LOW;
	view->words[REG_ECAP / 4] = ECAP_LOW;
	view->words[REG_FAULT_CONTROL / 4] = view->words[REG_EVENT_CONTROL / 4] = CONTROL_MASKED;
}
