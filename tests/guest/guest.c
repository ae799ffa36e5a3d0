/* What the tiny guests share; guest.h has the contracts. */
#include "tests/guest/guest.h"

#define COM1              0x3f8
#define GUEST_OS_ID       0x40000000
#define HYPERCALL_PAGE    0x40000001
#define APIC_BASE         0x1b
#define APIC_BASE_X2APIC  (1u << 10)
#define APIC_SVR          0x80f
#define ICR_INIT          0x4500
#define ICR_STARTUP       0x4600
#define TRAMPOLINE_PAGE   8ul
#define MULTIBOOT_CMDLINE 4 /* index of the field, and bit 2 of the flags says that it is there */

static uint8_t hypercall_page[4096] __attribute__((aligned(4096)));

static void print_character(char c)
{
	while (!(in8(COM1 + 5) & 0x20)) {
	}
	out8(COM1, (uint8_t)c);
}

void print(const char *text)
{
	while (*text) {
		print_character(*text++);
	}
}

static void print_base(uint64_t value, unsigned int base)
{
	char text[24];
	int at = sizeof(text) - 1;

	text[at] = '\0';
	do {
		text[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	print(text + at);
}

void print_number(uint64_t value)
{
	print_base(value, 10);
}

void print_hex(uint64_t value)
{
	print("0x");
	print_base(value, 16);
}

void guest_fault(uint32_t vector)
{
	if (tried) {
		guest_unwind(vector);
	}
	print("guest: exception ");
	print_number(vector);
	print("\n");
	guest_end();
}

void (*guest_on_interrupt)(uint32_t vector);

void guest_interrupt(uint32_t vector)
{
	if (guest_on_interrupt == NULL) {
		guest_fault(vector);
	}
	guest_on_interrupt(vector);
}

void guest_apic(void)
{
	wrmsr(APIC_BASE, rdmsr(APIC_BASE) | APIC_BASE_X2APIC);
	wrmsr(APIC_SVR, 0x1ff);
}

void guest_start_vp(uint32_t apic_id, void (*entry)(void), void *stack)
{
	uint8_t *page = (uint8_t *)(TRAMPOLINE_PAGE * 4096ul);

	for (const uint8_t *from = trampoline; from < trampoline_end; from++) {
		*page++ = *from;
	}
	started_stack = (uintptr_t)stack;
	started_entry = (uintptr_t)entry;
	started = 0;
	wrmsr(APIC_ICR, (uint64_t)apic_id << 32 | ICR_INIT);
	wrmsr(APIC_ICR, (uint64_t)apic_id << 32 | ICR_STARTUP | TRAMPOLINE_PAGE);
	while (!started) {
		asm volatile("pause");
	}
}

void guest_end(void)
{
	asm volatile("lidt no_idt; ud2");
	__builtin_unreachable();
}

const char *guest_words(const uint32_t *info)
{
	return info[0] & 4 ? (const char *)(uintptr_t)info[MULTIBOOT_CMDLINE] : "";
}

bool guest_has_word(const uint32_t *info, const char *word)
{
	const char *at = guest_words(info);

	while (*at) {
		const char *w = word;

		while (*at == ' ') {
			at++;
		}
		while (*w && *at == *w) {
			at++;
			w++;
		}
		if (!*w && (*at == ' ' || !*at)) {
			return true;
		}
		while (*at && *at != ' ') {
			at++;
		}
	}
	return false;
}

void *guest_hypercall_page(void)
{
	uint32_t leaf[4];

	cpuid(0x40000001, leaf);
	if (leaf[0] != 0x31237648) { /* "Hv#1" */
		return NULL;
	}
	wrmsr(GUEST_OS_ID, 1ull << 63 | 0x56444721);
	wrmsr(HYPERCALL_PAGE, (uintptr_t)hypercall_page | 1);
	return hypercall_page;
}

uint64_t guest_hypercall(const void *page, uint64_t control, uint64_t input, uint64_t output)
{
	register uint64_t r8 asm("r8") = output;
	uint64_t result;

	if (page != NULL) {
		asm volatile("call *%[page]"
			     : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
			     : [page] "r"(page)
			     : "r9", "r10", "r11", "memory");
	} else {
		asm volatile("vmmcall"
			     : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
			     : "0"(control)
			     : "rbx", "memory");
	}
	return result;
}
