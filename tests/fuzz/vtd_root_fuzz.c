/*
 * What the root sees of a VT-d unit, by any accesses to its registers, with anything in the root's
 * table and queue: the unit's table has fixed interrupts of one device or some buses at processors
 * that are there, and nothing else; what the unit remembers of it is what is in it when the root's
 * access is done.
 */
#include "hypervisor/lp.h"
#include "hypervisor/memory.h"
#include "hypervisor/vtd.h"
#include "hypervisor/vtd_root.h"
#include "tests/fuzz/fuzz.h"
#include "tlfs/hv.h"

#define LPS      3u
#define PAGES    4u  /* of the root: its memory, and all others are not there */
#define LOOKED   48u /* entries that its memory reaches, and some behind */
#define REGISTER 0xc8u

static uint8_t memory[PAGES * PAGE_SIZE];
static uint64_t interrupts[2 * VTD_INTERRUPTS], remembered[2 * VTD_INTERRUPTS];
static struct lp processors[LPS] = {{.apic_id = 0}, {.apic_id = 1}, {.apic_id = 300}};
struct lp *lps[HANDOFF_MAX_LPS] = {&processors[0], &processors[1], &processors[2]};
uint32_t lp_count = LPS;
static struct vp vps[LPS];
static struct iommu_unit unit = {.interrupts = interrupts};
static struct vtd_root view;
static bool locked, remaps;

void memory_lock(void)
{
	EXPECT(!locked);
	locked = true;
}

void memory_unlock(void)
{
	locked = false;
}

struct vp *partition_vp(struct partition *p, uint32_t index)
{
	(void)p;
	return &vps[index];
}

bool lapic_reaches(const struct vp *vp, uint32_t destination, bool logical)
{
	uint32_t i = (uint32_t)(vp - vps);

	return logical ? destination >> i & 1 : destination == processors[i].apic_id;
}

static uint8_t *memory_at(gpa_t gpa, uint32_t size)
{
	EXPECT(!locked && size <= PAGE_SIZE - (gpa.v & PAGE_MASK));
	return gpa.v < sizeof(memory) ? memory + gpa.v : NULL;
}

bool plat_gpa_read(struct partition *p, gpa_t gpa, void *to, uint32_t size)
{
	const uint8_t *from = memory_at(gpa, size);

	(void)p;
	if (from != NULL) {
		memcpy(to, from, size);
	}
	return from != NULL;
}

bool plat_gpa_write(struct partition *p, gpa_t gpa, const void *from, uint32_t size)
{
	uint8_t *to = memory_at(gpa, size);

	(void)p;
	if (to != NULL) {
		memcpy(to, from, size);
	}
	return to != NULL;
}

void plat_log(const char *format, ...)
{
	(void)format;
}

bool vtd_remap(const struct iommu_unit *u, bool on)
{
	EXPECT(locked && u == &unit && on != remaps);
	remaps = on;
	return true;
}

void vtd_forget_interrupts_begin(struct iommu_unit *u)
{
	EXPECT(locked && u == &unit);
	memcpy(remembered, interrupts, sizeof(remembered));
}

bool iommu_unit_wait(const struct iommu_unit *u)
{
	EXPECT(u == &unit);
	return true;
}

static bool is_lp(uint32_t apic_id)
{
	return apic_id < 2 || (apic_id == 300 && unit.wide);
}

static void check(void)
{
	for (uint32_t i = 0; i < LOOKED; i++) {
		uint64_t low = interrupts[2 * i], high = interrupts[2 * i + 1];

		if (!low) {
			continue;
		}
		EXPECT((low & 0xffffffff) == ((low & 0xff0011) | 1) && (uint8_t)(low >> 16) >= 16);
		EXPECT(unit.wide || !(low >> 32 & 0xff));
		EXPECT(is_lp((uint32_t)(unit.wide ? low >> 32 : low >> 40)));
		EXPECT(high >> 18 == 1 || high >> 18 == 2);
	}
	EXPECT(!memcmp(remembered, interrupts, 2 * LOOKED * sizeof(uint64_t)));
}

static uint64_t u64(void)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++) {
		value = value << 8 | fuzz_byte();
	}
	return value;
}

/* A command or an entry somewhere, of which most bits are as they should be. */
static void put_words(void)
{
	uint64_t words[2] = {u64(), u64()};
	uint8_t kind = fuzz_byte();

	if (kind & 1) { /* an entry */
		words[0] = (words[0] & ~0x80e2ull) | 1;
		words[0] &= kind & 2 ? 0x3ffffffffull : 0x3ffffffffffull;
		words[1] = (words[1] & ~(3ull << 18)) | 1ull << 18;
	} else if (kind & 2) { /* a command */
		words[0] = (words[0] & ~15ull) | 4 | (kind >> 2 & 1);
		words[0] &= kind & 8 ? ~0ull : 0x1fffffffffull;
		words[1] &= 0x3fff;
	}
	memcpy(memory + fuzz_byte() % PAGES * PAGE_SIZE + fuzz_byte() * 16u, words, sizeof(words));
}

static void write_register(void)
{
	/* clang-format off */
	static const uint8_t registers[] = {0x18, 0x18, 0x88, 0x88, 0x88, 0x90, 0xb8, 0x34};
	/* clang-format on */
	uint8_t choice = fuzz_byte();
	uint32_t at = choice & 0x80 ? (uint32_t)choice % REGISTER : registers[choice % 8];
	unsigned int size = choice & 0x40 ? 8 : 4;
	uint64_t value = u64();

	if (!(choice & 0x20)) { /* what is in the root's memory */
		value = at == 0x90   ? fuzz_byte() % PAGES * PAGE_SIZE
			: at == 0xb8 ? fuzz_byte() % PAGES * PAGE_SIZE | (value & 0x80f)
			: at == 0x18 ? (value & 0x07000000)
				     : value & 0xff0;
	}
	EXPECT(vtd_root_write(&view, at, size, value));
	EXPECT(!(vtd_root_read(&view, 0x1c, 4) & ~0x47000000ull));
	EXPECT(remaps == !!(vtd_root_read(&view, 0x1c, 4) & 1u << 25));
	EXPECT(vtd_root_read(&view, 0x80, 4) < PAGE_SIZE && !(vtd_root_read(&view, 0x80, 4) & 15));
	check();
}

/* An entry changes, and the unit is to forget one, some or all. */
static void order(void)
{
	uint32_t tail = (uint32_t)vtd_root_read(&view, 0x80, 4), first = fuzz_byte() % 40;
	uint8_t how = fuzz_byte();
	uint64_t entry[2] = {1 | (how & 8 ? u64() & 0xff801cull : (uint64_t)fuzz_byte() << 16) |
				     (uint64_t)(how & 3) << (how & 4 ? 32 : 40),
			     (uint64_t)(how >> 4 & 3) << 18 | 0x218},
		 command[2] = {
			 how & 0x80 ? 4 : 0x14 | (uint64_t)first << 32 | (how & 0x40ull) << 22, 0};

	memcpy(memory + PAGE_SIZE + first * 16u, entry, sizeof(entry));
	memcpy(memory + tail, command, sizeof(command));
	EXPECT(vtd_root_write(&view, 0x88, 4, (tail + 16) % PAGE_SIZE));
	check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct partition root;

	fuzz_begin(data, size);
	memset(memory, 0, sizeof(memory));
	memset(interrupts, 0, sizeof(interrupts));
	memset(remembered, 0, sizeof(remembered));
	remaps = false;
	unit.wide = fuzz_byte() & 1;
	vtd_root_start(&view, &unit, &root);
	EXPECT(vtd_root_write(&view, 0xb8, 8, PAGE_SIZE | 15 | (fuzz_byte() & 1) << 11));
	EXPECT(vtd_root_write(&view, 0x18, 4, 1u << 26 | 1u << 24)); /* the queue is at 0 */
	while (fuzz_more()) {
		switch (fuzz_byte() & 3) {
		case 0:
			write_register();
			break;
		case 1:
			put_words();
			break;
		default:
			order();
			break;
		}
	}
	return 0;
}
