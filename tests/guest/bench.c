/*
 * What one exit costs, by the TSC: under --icount its ticks are instructions, all of them, the hypervisor's too. The same
 * program runs on our hypervisor (vmwp) and on KVM (tests/bench/kvmrun). Each line: a name, ticks for one round, rounded down.
 */
#include "tests/guest/guest.h"

#define ROUNDS      1000
#define BATCHES     10
#define TOUCH_FROM  0x1000000ull
#define TOUCH_PAGES 1000
#define MMIO        0xd0000000ull
#define DEBUG_PORT  0x80
#define UNKNOWN     0x3ff

static const void *page;

static void nothing(uint64_t i)
{
	asm volatile("" ::"r"(i));
}

static void exit_cpuid(uint64_t i)
{
	uint32_t leaf[4];

	(void)i;
	cpuid(1, leaf);
}

static void exit_hypercall(uint64_t i)
{
	(void)i;
	guest_hypercall(page, UNKNOWN, 0, 0);
}

static void exit_rdmsr(uint64_t i)
{
	(void)i;
	rdmsr(0x1b); /* the APIC's base: an MSR that every hypervisor answers itself */
}

static void exit_port(uint64_t i)
{
	out8(DEBUG_PORT, (uint8_t)i);
}

static void exit_mmio(uint64_t i)
{
	*(volatile uint32_t *)MMIO = (uint32_t)i;
}

static void touch(uint64_t i)
{
	*(volatile uint64_t *)(TOUCH_FROM + i * 4096) = i;
}

/* The least of several batches: one without an interrupt of the machine's, which would be an exit of another kind. */
static void measure(const char *name, void (*round)(uint64_t), uint64_t rounds)
{
	uint64_t begin, ticks, least = UINT64_MAX, batch = rounds / BATCHES;

	for (uint64_t first = 0; first < rounds; first += batch) {
		begin = rdtsc();
		for (uint64_t i = first; i < first + batch; i++) {
			round(i);
		}
		ticks = rdtsc() - begin;
		least = ticks < least ? ticks : least;
	}
	print("bench: ");
	print(name);
	print(" ");
	print_number(least / batch);
	print("\n");
}

/* Once through, so that what is set up on first use is not in the figure; a page's first touch has no second. */
static void measure_warm(const char *name, void (*round)(uint64_t))
{
	for (uint64_t i = 0; i < 10; i++) {
		round(i);
	}
	measure(name, round, ROUNDS);
}

void guest_main(uint32_t magic, const uint32_t *info)
{
	(void)magic;
	(void)info;
	page = guest_hypercall_page();
	measure_warm("loop", nothing);
	measure_warm("cpuid", exit_cpuid);
	measure_warm("hypercall", exit_hypercall);
	measure_warm("rdmsr", exit_rdmsr);
	measure_warm("port", exit_port);
	measure_warm("mmio", exit_mmio);
	measure("touch", touch, TOUCH_PAGES);
	print("bench: end\n");
	guest_end();
}
