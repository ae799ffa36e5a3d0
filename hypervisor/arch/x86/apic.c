#include "hypervisor/arch/x86/apic.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/arch/x86/trap.h"

#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)

#define REG_TPR           0x80
#define REG_EOI           0xb0
#define REG_SVR           0xf0
#define REG_ISR           0x100
#define REG_TMR           0x180
#define REG_ICR_LOW       0x300
#define REG_ICR_HIGH      0x310
#define REG_LVT_TIMER     0x320
#define REG_LVT_LINT0     0x350
#define REG_TIMER_INITIAL 0x380
#define REG_TIMER_DIVIDE  0x3e0

#define SVR_ENABLE  (1u << 8)
#define ICR_PENDING (1u << 12)
#define ICR_SELF    (1u << 18)
#define DIVIDE_BY_1 0xb

#define XAPIC_BROADCAST  0xff
#define CPUID_X2APIC     (1u << 21) /* of leaf 1, ECX */
#define CPUID_HYPERVISOR (1u << 31)

static bool x2apic;
static volatile uint8_t *registers;
static uint64_t counts_per_cycle; /* timer counts a TSC cycle, 32.32 fixed point */

static uint32_t apic_read(uint32_t offset)
{
	if (x2apic) {
		return (uint32_t)rdmsr(0x800 + offset / 16);
	}
	return *(volatile uint32_t *)(registers + offset);
}

static void apic_write(uint32_t offset, uint32_t value)
{
	if (x2apic) {
		wrmsr(0x800 + offset / 16, value);
	} else {
		*(volatile uint32_t *)(registers + offset) = value;
	}
}

/*
 * Beside what firmware left: ids that an xAPIC cannot address need x2APIC mode. On a machine that
 * is virtual itself it costs an MSR where the xAPIC costs an emulated access of memory. Elsewhere
 * it would need the IOMMU's interrupt remapping (SDM vol. 3, "Extended xAPIC (x2APIC)", and VT-d).
 */
static bool wants_x2apic(const struct handoff *handoff)
{
	uint32_t out[4], most = 0;

	for (uint32_t i = 0; i < handoff->lp_count; i++) {
		most = handoff->lp_apic_ids[i] > most ? handoff->lp_apic_ids[i] : most;
	}
	cpuid(1, 0, out);
	if (most >= XAPIC_BROADCAST && !(out[2] & CPUID_X2APIC)) {
		machine_stop("the ids of the processors need an x2APIC, which they do not have");
	}
	return most >= XAPIC_BROADCAST ||
	       (out[2] & (CPUID_X2APIC | CPUID_HYPERVISOR)) == (CPUID_X2APIC | CPUID_HYPERVISOR);
}

void apic_init(const struct handoff *handoff)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	x2apic = base & APIC_BASE_X2APIC || wants_x2apic(handoff);
	if (!x2apic) {
		registers = paging_map_device((spa_t){base & 0x000ffffffffff000ull});
	}
	counts_per_cycle = (handoff->apic_timer_hz << 32) / plat_info.tsc_hz;
}

bool apic_is_wide(void)
{
	return x2apic;
}

void apic_lp_init(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	/* Other LPs come up in xAPIC mode whatever the firmware left on the first, which may have
	 * to change, too. */
	if (x2apic && !(base & APIC_BASE_X2APIC)) {
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	}
	apic_write(REG_TPR, 0);
	/* First: an APIC that is off keeps all of its LVT masked. */
	apic_write(REG_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	apic_write(REG_LVT_TIMER, VECTOR_TIMER);
	apic_write(REG_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(REG_TIMER_INITIAL, 0);
}

void apic_eoi(void)
{
	apic_write(REG_EOI, 0);
}

static bool bit_set(uint32_t offset, uint8_t vector)
{
	return apic_read(offset + vector / 32 * 16u) & 1u << vector % 32;
}

bool apic_in_service(uint8_t vector)
{
	return bit_set(REG_ISR, vector);
}

bool apic_is_level(uint8_t vector)
{
	return bit_set(REG_TMR, vector);
}

int apic_top_in_service(void)
{
	for (int word = 7; word >= 0; word--) {
		uint32_t bits = apic_read(REG_ISR + (uint32_t)word * 16);

		if (bits) {
			return word * 32 + 31 - __builtin_clz(bits);
		}
	}
	return -1;
}

void apic_send(uint32_t id, uint32_t icr_low)
{
	if (x2apic) {
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(0x800 + REG_ICR_LOW / 16, (uint64_t)id << 32 | icr_low);
		return;
	}
	apic_write(REG_ICR_HIGH, id << 24);
	apic_write(REG_ICR_LOW, icr_low);
	while (apic_read(REG_ICR_LOW) & ICR_PENDING) {
		cpu_relax();
	}
}

void apic_kick(uint32_t id)
{
	apic_send(id, VECTOR_KICK);
}

void apic_kick_self(void)
{
	/* Who it interrupts may have written the high half already, which this one does not
	 * need. */
	while (!x2apic && (apic_read(REG_ICR_LOW) & ICR_PENDING)) {
		cpu_relax();
	}
	apic_write(REG_ICR_LOW, ICR_SELF | VECTOR_KICK);
}

void apic_timer_start(uint64_t tsc_cycles)
{
	uint64_t counts = (uint64_t)(((unsigned __int128)tsc_cycles * counts_per_cycle) >> 32) + 1;

	apic_write(REG_TIMER_INITIAL, counts > UINT32_MAX ? UINT32_MAX : (uint32_t)counts);
}

void apic_timer_stop(void)
{
	apic_write(REG_TIMER_INITIAL, 0);
}

void apic_set_lint(unsigned int pin, uint32_t lvt)
{
	apic_write(REG_LVT_LINT0 + pin * 16, lvt);
}
