/*
 * What a child must not be able to do, tried: each line names a thing and says how it ended. Nothing here may succeed; the
 * system test compares the lines with those of a processor that has no SVM.
 */
#include "tests/guest/guest.h"

#define EFER	 0xc0000080
#define SVME	 (1ull << 12)
#define VM_CR	 0xc0010114
#define VM_HSAVE 0xc0010117

static void vmrun(void *argument)
{
	asm volatile("vmrun" ::"a"(argument) : "memory");
}

static void vmload(void *argument)
{
	asm volatile("vmload" ::"a"(argument) : "memory");
}

static void vmsave(void *argument)
{
	asm volatile("vmsave" ::"a"(argument) : "memory");
}

static void stgi(void *argument)
{
	(void)argument;
	asm volatile("stgi");
}

static void clgi(void *argument)
{
	(void)argument;
	asm volatile("clgi");
}

static void invlpga(void *argument)
{
	asm volatile("invlpga" ::"a"(argument), "c"(0));
}

static void skinit(void *argument)
{
	(void)argument;
	asm volatile("skinit" ::"a"(0));
}

static void enable_svm(void *argument)
{
	(void)argument;
	wrmsr(EFER, rdmsr(EFER) | SVME);
}

static void read_hsave(void *argument)
{
	(void)argument;
	rdmsr(VM_HSAVE);
}

static void write_hsave(void *argument)
{
	wrmsr(VM_HSAVE, (uintptr_t)argument);
}

static void write_vm_cr(void *argument)
{
	(void)argument;
	wrmsr(VM_CR, 0);
}

static const struct {
	const char *name;
	void (*step)(void *);
} steps[] = {
	{"vmrun", vmrun},     {"vmload", vmload},	  {"vmsave", vmsave},	      {"stgi", stgi},
	{"clgi", clgi},	      {"invlpga", invlpga},	  {"skinit", skinit},	      {"EFER.SVME", enable_svm},
	{"read VM_HSAVE_PA", read_hsave}, {"write VM_HSAVE_PA", write_hsave}, {"write VM_CR", write_vm_cr},
};

/*
 * Interrupts of every kind to processors that this partition has not: LP 1 by its ID, and all but this one. The root, on the
 * LPs of those numbers, is not to notice.
 */
static void send_interrupts(void)
{
	static const uint32_t kinds[] = {0x40, 0x4200, 0x4400, 0x4500, 0x4608}; /* fixed, SMI, NMI, INIT, SIPI */
	volatile uint32_t *apic = (volatile uint32_t *)0xfee00000;

	apic[0xf0 / 4] = 0x1ff;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (uint32_t destination = 1; destination < 8; destination++) {
			apic[0x310 / 4] = destination << 24;
			apic[0x300 / 4] = kinds[i];
		}
		apic[0x300 / 4] = kinds[i] | 3 << 18;
	}
	print("protect: interrupts sent\n");
}

static uint8_t page[4096] __attribute__((aligned(4096)));

void guest_main(uint32_t magic, const uint32_t *info)
{
	uint32_t leaf[4];

	(void)magic;
	(void)info;
	cpuid(0x80000001, leaf);
	print("protect: CPUID's SVM bit ");
	print_number(leaf[2] >> 2 & 1);
	print("\n");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		long vector = guest_try(steps[i].step, page);

		print("protect: ");
		print(steps[i].name);
		print(vector < 0 ? " done" : vector == 6 ? " #UD" : vector == 13 ? " #GP" : " another exception");
		print("\n");
	}
	send_interrupts();
	print("protect: end\n");
	guest_end();
}
