/*
 * The task priority, which a processor may keep from the hypervisor: written by CR8 and by the
 * x2APIC's MSR, it holds an interrupt back until it falls below the interrupt's class, and no
 * longer. Guest idle ends by one that is held back all the same. Each line says what was seen.
 */
#include "tests/guest/guest.h"

#define APIC_BASE 0x1b
#define X2APIC    (1u << 10)
#define TPR       0x808
#define EOI       0x80b
#define SVR       0x80f
#define SELF_IPI  0x83f
#define IDLE      0x400000f0
#define VECTOR    31 /* of class 1; the table has no higher one */

static void set_cr8(uint64_t value)
{
	asm volatile("mov %0, %%cr8" ::"r"(value) : "memory");
}

static uint64_t get_cr8(void)
{
	uint64_t value;

	asm volatile("mov %%cr8, %0" : "=r"(value));
	return value;
}

static void open_window(void *argument)
{
	(void)argument;
	asm volatile("sti; nop; nop; cli");
}

static void lower_cr8(void *argument)
{
	asm volatile("sti");
	set_cr8(*(uint64_t *)argument);
	asm volatile("nop; cli");
}

static void lower_msr(void *argument)
{
	asm volatile("sti");
	wrmsr(TPR, *(uint64_t *)argument);
	asm volatile("nop; cli");
}

static void write_reserved(void *argument)
{
	(void)argument;
	wrmsr(TPR, 0x100);
}

static void say(const char *what, uint64_t value)
{
	print("tpr: ");
	print(what);
	print(" ");
	print_number(value);
	print("\n");
}

/* The interrupt waits above the TPR, beside it, and comes when the TPR falls below it: by each way
 * of writing the TPR. */
static void hold_back(const char *name, void (*lower)(void *), uint64_t above, uint64_t beside,
		      uint64_t below)
{
	print(name);
	print("\n");
	wrmsr(TPR, 0x2f);
	wrmsr(SELF_IPI, VECTOR);
	say("idle", rdmsr(IDLE));
	say("early", guest_try(open_window, NULL) >= 0);
	say("above", guest_try(lower, &above) >= 0);
	say("beside", guest_try(lower, &beside) >= 0);
	say("below", guest_try(lower, &below) == VECTOR);
	wrmsr(EOI, 0);
	say("twice", guest_try(open_window, NULL) >= 0);
}

void guest_main(uint32_t magic, const uint32_t *info)
{
	(void)magic;
	(void)info;
	wrmsr(APIC_BASE, rdmsr(APIC_BASE) | X2APIC);
	wrmsr(SVR, 0x1ff);
	wrmsr(TPR, 0x5a);
	say("MSR", rdmsr(TPR));
	say("CR8", get_cr8());
	set_cr8(7);
	say("MSR after CR8", rdmsr(TPR));
	say("reserved bits", guest_try(write_reserved, NULL) == 13);
	hold_back("tpr: by CR8", lower_cr8, 3, 1, 0);
	hold_back("tpr: by the MSR", lower_msr, 0x30, 0x1f, 0x0f);
	print("tpr: end\n");
	guest_end();
}
