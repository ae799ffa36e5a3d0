/*
 * A guest of as many VPs as its command line says ("vps=N"). Each that is started counts itself;
 * then all others are interrupted at once, and count that. With the word "stay" it halts at the
 * end, and is a guest that is there and does nothing.
 */
#include "tests/guest/guest.h"

#define VPS_MAX    240
#define STACK      4096
#define VECTOR     0x40
#define ICR_OTHERS (3u << 18) /* all but oneself */

static uint8_t stacks[VPS_MAX][STACK] __attribute__((aligned(16)));
static uint32_t running, interrupted;

static void on_interrupt(uint32_t vector)
{
	wrmsr(APIC_EOI, 0);
	if (vector == VECTOR) {
		__atomic_fetch_add(&interrupted, 1, __ATOMIC_SEQ_CST);
	}
}

static void other_vp(void)
{
	guest_apic();
	__atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		asm volatile("sti; hlt; cli");
	}
}

static uint32_t number_after(const char *words, const char *name)
{
	uint32_t value = 0;

	for (; *words; words++) {
		const char *at = words, *n = name;

		while (*n && *at == *n) {
			at++;
			n++;
		}
		if (*n) {
			continue;
		}
		while (*at >= '0' && *at <= '9') {
			value = value * 10 + (uint32_t)(*at++ - '0');
		}
		break;
	}
	return value;
}

static void wait_for(const uint32_t *count, uint32_t value)
{
	while (__atomic_load_n(count, __ATOMIC_SEQ_CST) != value) {
		asm volatile("pause");
	}
}

static void say(const char *what, uint32_t value)
{
	print("many: ");
	print(what);
	print(" ");
	print_number(value);
	print("\n");
}

void guest_main(uint32_t magic, const uint32_t *info)
{
	uint32_t vps = number_after(guest_words(info), "vps=");

	(void)magic;
	vps = vps > VPS_MAX ? VPS_MAX : vps;
	guest_on_interrupt = on_interrupt;
	guest_apic();
	for (uint32_t i = 1; i < vps; i++) {
		guest_start_vp(i, other_vp, stacks[i] + STACK);
		wait_for(&running, i);
	}
	say("started", running + 1);
	if (vps > 1) {
		wrmsr(APIC_ICR, ICR_OTHERS | VECTOR);
		wait_for(&interrupted, vps - 1);
	}
	say("interrupted", interrupted);
	while (guest_has_word(info, "stay")) {
		asm volatile("sti; hlt; cli");
	}
	guest_end();
}
