/*
 * What a child must not be able to do, tried: each line names a thing and says how it ended.
 * Nothing here may succeed; the system test compares the lines with those of a processor that has
 * neither SVM nor VMX.
 */
#include "tests/guest/guest.h"

#define EFER            0xc0000080
#define SVME            (1ull << 12)
#define VM_CR           0xc0010114
#define VM_HSAVE        0xc0010117
#define VMXE            (1ul << 13)
#define FEATURE_CONTROL 0x3a
#define VMX_BASIC       0x480
#define GENUINE         0x756e6547 /* CPUID's leaf 0, EBX: the first letters of the vendor's name */

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

/* Names where the physical address of a page stands: what VMXON and its like take. */
static uint64_t address;

static void vmxon(void *argument)
{
	(void)argument;
	asm volatile("vmxon %0" ::"m"(address) : "memory");
}

static void vmclear(void *argument)
{
	(void)argument;
	asm volatile("vmclear %0" : "+m"(address));
}

static void vmptrld(void *argument)
{
	(void)argument;
	asm volatile("vmptrld %0" ::"m"(address) : "memory");
}

static void vmptrst(void *argument)
{
	(void)argument;
	asm volatile("vmptrst %0" : "=m"(address));
}

static void vmread(void *argument)
{
	uint64_t value;

	(void)argument;
	asm volatile("vmread %1, %0" : "=r"(value) : "r"(0ul));
}

static void vmwrite(void *argument)
{
	(void)argument;
	asm volatile("vmwrite %1, %0" ::"r"(0ul), "r"(0ul));
}

static void vmlaunch(void *argument)
{
	(void)argument;
	asm volatile("vmlaunch");
}

static void vmresume(void *argument)
{
	(void)argument;
	asm volatile("vmresume");
}

static void vmxoff(void *argument)
{
	(void)argument;
	asm volatile("vmxoff");
}

static void vmfunc(void *argument)
{
	(void)argument;
	asm volatile("vmfunc" ::"a"(0), "c"(0));
}

static void invept(void *argument)
{
	asm volatile("invept (%0), %1" ::"r"(argument), "r"(2ul) : "memory");
}

static void invvpid(void *argument)
{
	asm volatile("invvpid (%0), %1" ::"r"(argument), "r"(2ul) : "memory");
}

static void enable_vmx(void *argument)
{
	uint64_t cr4;

	(void)argument;
	asm volatile("mov %%cr4, %0\n\tor %1, %0\n\tmov %0, %%cr4" : "=&r"(cr4) : "r"(VMXE));
}

static void read_vmx_basic(void *argument)
{
	(void)argument;
	rdmsr(VMX_BASIC);
}

static void write_feature_control(void *argument)
{
	(void)argument;
	wrmsr(FEATURE_CONTROL, 5);
}

struct step {
	const char *name;
	void (*step)(void *);
};

static const struct step steps[] = {
	{"vmrun", vmrun},
	{"vmload", vmload},
	{"vmsave", vmsave},
	{"stgi", stgi},
	{"clgi", clgi},
	{"invlpga", invlpga},
	{"skinit", skinit},
	{"EFER.SVME", enable_svm},
	{"read VM_HSAVE_PA", read_hsave},
	{"write VM_HSAVE_PA", write_hsave},
	{"write VM_CR", write_vm_cr},
};

/* On Intel's processors alone: elsewhere it is the processor that refuses, and not every emulated
 * one does. */
static const struct step intel_steps[] = {
	{"vmxon", vmxon},
	{"vmclear", vmclear},
	{"vmptrld", vmptrld},
	{"vmptrst", vmptrst},
	{"vmread", vmread},
	{"vmwrite", vmwrite},
	{"vmlaunch", vmlaunch},
	{"vmresume", vmresume},
	{"vmxoff", vmxoff},
	{"vmfunc", vmfunc},
	{"invept", invept},
	{"invvpid", invvpid},
	{"CR4.VMXE", enable_vmx},
	{"read VMX_BASIC", read_vmx_basic},
	{"write FEATURE_CONTROL", write_feature_control},
};

/*
 * Interrupts of every kind to processors that this partition has not: LP 1 by its ID, and all but
 * this one. The root, on the LPs of those numbers, is not to notice.
 */
static void send_interrupts(void)
{
	static const uint32_t kinds[] = {0x40, 0x4200, 0x4400, 0x4500,
					 0x4608}; /* fixed, SMI, NMI, INIT, SIPI */
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

static void try_all(const struct step *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		long vector = guest_try(list[i].step, page);

		print("protect: ");
		print(list[i].name);
		print(vector < 0     ? " done"
		      : vector == 6  ? " #UD"
		      : vector == 13 ? " #GP"
				     : " another exception");
		print("\n");
	}
}

void guest_main(uint32_t magic, const uint32_t *info)
{
	uint32_t leaf[4];

	(void)magic;
	(void)info;
	address = (uintptr_t)page;
	cpuid(0x80000001, leaf);
	print("protect: CPUID's SVM bit ");
	print_number(leaf[2] >> 2 & 1);
	print("\nprotect: CPUID's VMX bit ");
	cpuid(1, leaf);
	print_number(leaf[2] >> 5 & 1);
	print("\n");
	try_all(steps, sizeof(steps) / sizeof(steps[0]));
	cpuid(0, leaf);
	if (leaf[1] == GENUINE) {
		try_all(intel_steps, sizeof(intel_steps) / sizeof(intel_steps[0]));
	}
	send_interrupts();
	print("protect: end\n");
	guest_end();
}
