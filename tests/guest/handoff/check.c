/*
 * What include/boot/handoff.h promises, looked at from the other side. Says "handoff: ok" or what
 * is wrong on the console.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/handoff.h"
#include "lib/print.h"

#define PAGE          0x1000ull
#define LARGE_PAGE    0x200000ull
#define UART_LSR      5
#define LSR_THRE      0x20
#define MSR_APIC_BASE 0x1b
#define MSR_EFER      0xc0000080u
#define EFER_NXE      (1ull << 11)
#define EFER_LMA      (1ull << 10)
#define CR0_WP        (1ull << 16)
#define APIC_SVR      0xf0
#define APIC_LVT      0x320 /* timer, thermal, performance, LINT0, LINT1, error */
#define APIC_INITIAL  0x380
#define LVT_MASKED    (1u << 16)
#define RANGE_RAM     1

/* For entry.S. */
struct root_start {
	uint64_t image_base;
	uint32_t eip, esi;
};

const struct root_start *handoff_check(const struct handoff *h);

extern const uint8_t image_start[], image_end[];

static struct root_start root;
static uint16_t console;
static bool is_wrong;
static uint32_t initialised = 0x12345678;
static uint8_t zeroed[3 * PAGE];

static uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	print_format(line, sizeof(line), format, args);
	va_end(args);
	for (const char *c = line; *c && console; c++) {
		while (!(inb(console + UART_LSR) & LSR_THRE))
			;
		outb(console, (uint8_t)*c);
	}
}

static void promise(bool kept, const char *what)
{
	if (!kept) {
		is_wrong = true;
		say("handoff: wrong: %s\n", what);
	}
}

#define PROMISE(condition) promise(condition, #condition)

static void check_reservation(const struct handoff *h)
{
	uint64_t end = h->reserved_base + h->reserved_size;
	uint64_t block = (uint64_t)(uintptr_t)h;

	PROMISE(h->reserved_base % LARGE_PAGE == 0);
	PROMISE(h->reserved_size % LARGE_PAGE == 0);
	PROMISE(h->image_base % LARGE_PAGE == 0);
	PROMISE(h->image_base >= h->reserved_base);
	PROMISE(h->image_size == (uint64_t)(image_end - image_start));
	PROMISE(h->image_base + h->image_size <= block);
	PROMISE(block + sizeof(*h) <= h->free_base);
	PROMISE(h->free_base % PAGE == 0);
	PROMISE(h->free_base < end);
	PROMISE(h->table_base % LARGE_PAGE == 0 && h->table_size % LARGE_PAGE == 0);
	PROMISE(!h->table_size || h->table_base >= 1ull << 32);
	say("handoff: reserved %lx %lx\n", h->reserved_base, h->reserved_size);
	say("handoff: table %lx %lx\n", h->table_base, h->table_size);
}

static void check_image(const struct handoff *h)
{
	bool is_zero = true;

	for (size_t i = 0; i < sizeof(zeroed); i++) {
		is_zero = is_zero && !zeroed[i];
	}
	PROMISE(is_zero);
	PROMISE(initialised == 0x12345678);
	/* The image's addresses and the identity map show the same memory. */
	zeroed[PAGE] = 0x5a;
	PROMISE(*(uint8_t *)(h->image_base + (uintptr_t)&zeroed[PAGE] - HV_IMAGE_VA) == 0x5a);
}

static bool is_ram(const struct handoff *h, uint64_t base, uint64_t size)
{
	for (uint32_t i = 0; i < h->range_count; i++) {
		const struct handoff_range *r = &h->ranges[i];

		if (r->type == RANGE_RAM && base >= r->base && base + size <= r->base + r->size) {
			return true;
		}
	}
	return false;
}

static void check_ranges(const struct handoff *h)
{
	PROMISE(h->range_count > 0 && h->range_count <= HANDOFF_MAX_RANGES);
	for (uint32_t i = 1; i < h->range_count; i++) {
		PROMISE(h->ranges[i].base >= h->ranges[i - 1].base + h->ranges[i - 1].size);
	}
	PROMISE(is_ram(h, h->reserved_base, h->reserved_size));
	PROMISE(is_ram(h, h->trampoline_page, PAGE));
	PROMISE(is_ram(h, h->root_eip, PAGE));
	PROMISE(is_ram(h, h->root_esi, PAGE));
	PROMISE(h->trampoline_page > 0 && h->trampoline_page < 0x100000 &&
		h->trampoline_page % PAGE == 0);
}

static void check_processor(void)
{
	uint64_t cr0, flags;

	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("pushf; pop %0" : "=r"(flags));
	PROMISE(cr0 & CR0_WP);
	PROMISE(!(flags & 1 << 9));
	PROMISE(rdmsr(MSR_EFER) & EFER_NXE);
	PROMISE(rdmsr(MSR_EFER) & EFER_LMA);
}

/* The emulated machine has an xAPIC, or the firmware left it so. */
static void check_apic(const struct handoff *h)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	volatile uint32_t *apic = (volatile uint32_t *)(base & 0xfffff000);

	PROMISE((base & 0xc00) == 0x800);
	PROMISE(h->lp_count > 0 && h->lp_count <= HANDOFF_MAX_LPS);
	PROMISE(h->lp_apic_ids[0] == apic[0x20 / 4] >> 24);
	PROMISE(apic[APIC_SVR / 4] & 0x100);
	for (unsigned int lvt = APIC_LVT; lvt < APIC_INITIAL; lvt += 0x10) {
		PROMISE(apic[lvt / 4] & LVT_MASKED);
	}
	PROMISE(apic[APIC_INITIAL / 4] == 0);
	PROMISE(inb(0x21) == 0xff && inb(0xa1) == 0xff);
	for (uint32_t i = 0; i < h->lp_count; i++) {
		say("handoff: processor %u\n", h->lp_apic_ids[i]);
	}
}

static void check_facts(const struct handoff *h)
{
	const char *table = (const char *)h->iommu_table;

	PROMISE(h->tsc_hz > 1000000 && h->apic_timer_hz > 1000000);
	PROMISE(h->acpi_rsdp && *(const char *)h->acpi_rsdp == 'R');
	PROMISE(h->reset_port == 0xcf9);
	if (table != NULL) {
		say("handoff: hidden table %c%c%c%c\n", table[0], table[1], table[2], table[3]);
	}
	say("handoff: options [%s]\n", h->cmdline);
}

const struct root_start *handoff_check(const struct handoff *h)
{
	console = (uint16_t)h->console_port;
	PROMISE(h->magic == HANDOFF_MAGIC);
	check_reservation(h);
	check_image(h);
	check_ranges(h);
	check_processor();
	check_apic(h);
	check_facts(h);
	say(is_wrong ? "handoff: there is something wrong\n" : "handoff: ok\n");
	root = (struct root_start){h->image_base, h->root_eip, h->root_esi};
	return &root;
}
