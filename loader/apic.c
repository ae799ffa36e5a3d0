/*
 * The boot LP's local APIC. See apic.h; SDM volume 3, chapter "APIC".
 */
#include "loader/apic.h"

#include <stdbool.h>

#include "loader/console.h"
#include "loader/io.h"

#define MSR_APIC_BASE      0x1b
#define APIC_BASE_ENABLED  (1ull << 11)
#define APIC_BASE_X2APIC   (1ull << 10)
#define APIC_BASE_ADDRESS  0xffffff000ull
#define MSR_X2APIC         0x800
#define APIC_ID            0x20
#define APIC_VERSION       0x30
#define APIC_SVR           0xf0
#define APIC_LVT_CMCI      0x2f0
#define APIC_LVT_TIMER     0x320
#define APIC_LVT_THERMAL   0x330
#define APIC_LVT_PERF      0x340
#define APIC_LVT_LINT0     0x350
#define APIC_LVT_LINT1     0x360
#define APIC_LVT_ERROR     0x370
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE  0x3e0
#define DIVIDE_BY_1        0x0b
#define LVT_MASKED         (1u << 16)
#define SVR_ENABLED        (1u << 8)
#define SVR_VECTOR         0xff
#define PIC_1_MASK         0x21
#define PIC_2_MASK         0xa1

static bool is_x2apic;
static uint32_t base;

static uint32_t apic_read(uint32_t reg)
{
	if (is_x2apic) {
		return (uint32_t)rdmsr(MSR_X2APIC + reg / 16);
	}
	return *(volatile uint32_t *)(uintptr_t)(base + reg);
}

static void apic_write(uint32_t reg, uint32_t value)
{
	if (is_x2apic) {
		wrmsr(MSR_X2APIC + reg / 16, value);
	} else {
		*(volatile uint32_t *)(uintptr_t)(base + reg) = value;
	}
}

static void find_base(void)
{
	uint64_t msr = rdmsr(MSR_APIC_BASE);

	if (!(msr & APIC_BASE_ENABLED)) {
		msr |= APIC_BASE_ENABLED;
		wrmsr(MSR_APIC_BASE, msr);
	}
	is_x2apic = msr & APIC_BASE_X2APIC;
	if (!is_x2apic && (msr & APIC_BASE_ADDRESS) >> 32) {
		stop("the local APIC lies above 4 GiB");
	}
	base = (uint32_t)(msr & APIC_BASE_ADDRESS);
}

/* Which entries there are follows from their number (SDM, "Local APIC Version Register"). */
static void mask_all(void)
{
	uint32_t highest = apic_read(APIC_VERSION) >> 16 & 0xff;

	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, LVT_MASKED);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
	if (highest >= 4) {
		apic_write(APIC_LVT_PERF, LVT_MASKED);
	}
	if (highest >= 5) {
		apic_write(APIC_LVT_THERMAL, LVT_MASKED);
	}
	if (highest >= 6) {
		apic_write(APIC_LVT_CMCI, LVT_MASKED);
	}
}

/*
 * Before LINT0: an interrupt of the firmware's timer that already waits there would never go away.
 */
static void mask_pics(void)
{
	outb(PIC_2_MASK, 0xff);
	outb(PIC_1_MASK, 0xff);
}

void apic_prepare(void)
{
	mask_pics();
	find_base();
	apic_write(APIC_SVR, SVR_ENABLED | SVR_VECTOR);
	mask_all();
	apic_timer_stop();
}

uint32_t apic_id(void)
{
	return is_x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_timer_start(void)
{
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
}

uint32_t apic_timer_count(void)
{
	return apic_read(APIC_TIMER_CURRENT);
}

void apic_timer_stop(void)
{
	apic_write(APIC_TIMER_INITIAL, 0);
}
