/*
 * A guest that means harm, in the way that its command line names. It says "hostile: alive" when it
 * has got through, which is to be; the hypervisor, the root and the worker must be there afterwards
 * as well.
 */
#include "tests/guest/guest.h"

#define MIB(n) ((uint64_t)(n) << 20)

static uint8_t scratch[16384] __attribute__((aligned(4096)));
static uint64_t seed = 88172645463325252ull;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Every call code, with garbage for everything else; then garbage for the code as well. */
static void hypercalls(void)
{
	const void *page = guest_hypercall_page();
	uint64_t refused = 0, calls = 0;

	for (uint64_t code = 0; code < 0x400; code++, calls++) {
		refused += (uint16_t)guest_hypercall(page, code, (uintptr_t)scratch,
						     (uintptr_t)scratch + 8192) != 0;
	}
	for (uint64_t i = 0; i < 40000; i++, calls++) {
		uint64_t control = random64() & (i & 1 ? 0x0fff0fff000107ff : ~0ull);
		uint64_t input = i & 2 ? random64() : (uintptr_t)scratch + (random64() & 8191);

		for (size_t word = 0; word < 64; word++) {
			((uint64_t *)scratch)[word] = random64() >> (random64() & 63);
		}
		refused += (uint16_t)guest_hypercall(page, control, input,
						     random64() >> (random64() & 63)) != 0;
	}
	print("hostile: hypercalls ");
	print_number(calls);
	print(", refused ");
	print_number(refused);
	print("\n");
}

struct msr_write {
	uint32_t msr;
	uint64_t value;
};

static void write_msr(void *argument)
{
	const struct msr_write *w = argument;

	wrmsr(w->msr, w->value);
}

static void read_msr(void *argument)
{
	const struct msr_write *w = argument;

	rdmsr(w->msr);
}

/* MSRs that end or stop the guest as they should: reset, idle, crash, and the APIC's commands, by
 * which it sends itself INIT or NMI. */
static bool msr_is_final(uint32_t msr)
{
	return msr == 0x40000003 || msr == 0x400000f0 || msr == 0x40000105 || msr == 0x40000071 ||
	       msr == 0x830;
}

/* MSRs that place an overlay page: over the scratch pages, or it would replace this program. */
static bool msr_is_overlay(uint32_t msr)
{
	return msr == 0x40000001 || msr == 0x40000021 || msr == 0x40000073 || msr == 0x40000082 ||
	       msr == 0x40000083;
}

static void msrs(void)
{
	static const uint32_t bases[] = {0, 0x40000000, 0xc0000000, 0xc0010000, 0x800};
	uint64_t writes = 0, refused = 0;

	for (size_t base = 0; base < sizeof(bases) / sizeof(bases[0]); base++) {
		for (uint32_t offset = 0; offset < 0x1400; offset++) {
			struct msr_write w = {bases[base] + offset,
					      random64() >> (random64() & 63)};

			if (msr_is_final(w.msr)) {
				continue;
			}
			if (msr_is_overlay(w.msr)) {
				w.value = (uintptr_t)scratch | (w.value & 1);
			}
			guest_try(read_msr, &w);
			refused += guest_try(write_msr, &w) >= 0;
			writes++;
		}
	}
	print("hostile: MSR writes ");
	print_number(writes);
	print(", refused ");
	print_number(refused);
	print("\n");
}

/* As a kernel's last words: five parameters, two of which tell where a text is. */
static void crash(void)
{
	static const char text[] = "hostile: last words\nhostile: and more";

	for (uint32_t i = 0; i < 3; i++) {
		wrmsr(0x40000100 + i, 0xc0de0 + i);
	}
	wrmsr(0x40000103, (uintptr_t)text);
	wrmsr(0x40000104, sizeof(text) - 1);
	wrmsr(0x40000105, 3ull << 62); /* notify, with the text */
	wrmsr(0x40000105, 3ull << 62);
}

static void touch_byte(void *argument)
{
	volatile uint8_t *at = argument;

	*at = *at;
}

/* All the address space above its memory and below 4 GiB: densely at first, then with larger
 * steps. */
static void touch(void)
{
	uint64_t touched = 0;

	for (uint64_t at = MIB(64); at < MIB(4096); touched++) {
		guest_try(touch_byte, (void *)at);
		at += at < MIB(72) || at >= MIB(4080) ? 4096 : MIB(1) + 4096;
	}
	print("hostile: touched ");
	print_number(touched);
	print("\n");
}

static void spin(void)
{
	print("hostile: spinning\n");
	for (;;) {
		asm volatile("pause");
	}
}

void guest_main(uint32_t magic, const uint32_t *info)
{
	(void)magic;
	if (guest_has_word(info, "triple")) {
		print("hostile: triple fault\n");
		guest_end();
	}
	if (guest_has_word(info, "spin")) {
		spin();
	}
	if (guest_has_word(info, "hypercalls")) {
		hypercalls();
	}
	if (guest_has_word(info, "msrs")) {
		msrs();
	}
	if (guest_has_word(info, "crash")) {
		crash();
	}
	if (guest_has_word(info, "touch")) {
		touch();
	}
	print("hostile: alive\n");
	guest_end();
}
