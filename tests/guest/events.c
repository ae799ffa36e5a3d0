/*
 * Events as a processor delivers them, where a hypervisor stands between: NMIs and the IRET behind
 * which the next one comes, the flags and debug registers of exceptions that are injected,
 * instructions that have no effect for a guest. Each line says what was seen; the manuals say what
 * is right (Intel SDM vol. 3, 6.7.1, 17.2 and 17.3; APM vol. 2, 8.2 and 13.1).
 */
#include "tests/guest/guest.h"

#define RFLAGS_TF  (1ull << 8)
#define RFLAGS_RF  (1ull << 16)
#define DR7_GD     (1ull << 13)
#define DR6_ACTIVE 0xe00f
#define NMI_TO_0   0x4400
#define PATIENCE   100000
#define VECTOR     31 /* of class 1; the table has no higher one */

struct frame {
	uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11;
	uint64_t vector, error, rip, cs, flags, rsp, ss;
};

struct gate {
	uint16_t offset_low, selector, attributes, offset_middle;
	uint32_t offset_high, reserved;
};

static struct gate gates[32] __attribute__((aligned(16)));
static volatile uint32_t *const apic = (volatile uint32_t *)0xfee00000;

/* The last exception, and how many came; a fault's instruction is stepped over. */
static volatile struct frame last;
static volatile uint64_t interrupts, faults, step_over, dr6, dr7;
/* NMIs: how many, whether one came inside the other's handler, the places that they interrupted. */
static volatile uint64_t nmis, inside, nested, places[2], flags_of_second;

/* An entry is 16 bytes. */
asm(".text\n"
    ".align 16\n"
    "entries:\n"
    ".set vector, 0\n"
    ".rept 32\n"
    ".align 16\n"
    ".if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)\n"
    "push $0\n"
    ".endif\n"
    "push $vector\n"
    "jmp common\n"
    ".set vector, vector + 1\n"
    ".endr\n"
    "common:\n"
    "push %r11; push %r10; push %r9; push %r8; push %rdi; push %rsi; push %rbp; push %rbx; push "
    "%rdx; push %rcx; push %rax\n"
    "cld\n"
    "mov %rsp, %rdi\n"
    "mov %rsp, %rbx\n"
    "and $-16, %rsp\n"
    "call take\n"
    "mov %rbx, %rsp\n"
    "pop %rax; pop %rcx; pop %rdx; pop %rbx; pop %rbp; pop %rsi; pop %rdi; pop %r8; pop %r9; pop "
    "%r10; pop %r11\n"
    "add $16, %rsp\n"
    "iretq\n");
extern const uint8_t entries[];

static void send_nmi(void)
{
	apic[0x310 / 4] = 0;
	apic[0x300 / 4] = NMI_TO_0;
}

/* While the first is handled two more come, of which a processor keeps one. */
static void take_nmi(const struct frame *frame)
{
	nested += inside;
	inside = 1;
	if (nmis < 2) {
		places[nmis] = frame->rip;
		flags_of_second = frame->flags;
	}
	if (++nmis == 1) {
		send_nmi();
		send_nmi();
	}
	inside = 0;
}

void take(struct frame *frame);
void take(struct frame *frame)
{
	uint64_t value;

	if (frame->vector == 2) {
		take_nmi(frame);
		return;
	}
	if (frame->vector == VECTOR) {
		interrupts++;
		apic[0xb0 / 4] = 0;
		return;
	}
	last = *frame;
	faults++;
	if (frame->vector == 1) {
		asm volatile("mov %%db6, %0" : "=r"(value));
		dr6 = value;
		asm volatile("mov %%db7, %0" : "=r"(value));
		dr7 = value;
		asm volatile("mov %0, %%db6" ::"r"(0xffff0ff0ul));
		frame->flags &= ~RFLAGS_TF;
		return;
	}
	frame->rip += step_over;
}

static void load_table(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table = {sizeof(gates) - 1, (uintptr_t)gates};

	for (unsigned int i = 0; i < 32; i++) {
		uintptr_t at = (uintptr_t)entries + 16ul * i;

		gates[i] = (struct gate){.offset_low = (uint16_t)at,
					 .selector = 8,
					 .attributes = 0x8e00,
					 .offset_middle = (uint16_t)(at >> 16)};
	}
	asm volatile("lidt %0" ::"m"(table));
}

static void say(const char *what, uint64_t value)
{
	print("events: ");
	print(what);
	print(" ");
	print_hex(value);
	print("\n");
}

/* IF is clear all the time, which no NMI minds. */
static void two_nmis(void)
{
	apic[0xf0 / 4] = 0x1ff;
	send_nmi();
	for (volatile unsigned int i = 0; i < PATIENCE && nmis < 3; i++) {
	}
	say("NMIs", nmis);
	say("one inside the other", nested);
	say("the second behind the first one's IRET", places[1] == places[0]);
	say("TF in its flags", flags_of_second & RFLAGS_TF);
}

static void set_cr8(uint64_t class)
{
	asm volatile("mov %0, %%cr8" ::"r"(class) : "memory");
}

/* An interrupt whose class is the TPR's waits, and the guest goes on (SDM vol. 3, 11.8.3.1; APM
 * vol. 2, 15.21.4). */
static void beside_the_tpr(void)
{
	set_cr8(VECTOR >> 4);
	apic[0x300 / 4] = 1 << 18 | VECTOR;
	asm volatile("sti; nop; nop; cli");
	say("interrupts beside the TPR", interrupts);
	asm volatile("sti");
	set_cr8((VECTOR >> 4) - 1);
	asm volatile("nop; cli");
	say("below it", interrupts);
}

/* The access faults once; the handler looks at DR7, which it can since GD is clear by then. */
static void general_detect(void)
{
	uint64_t before = faults, value = 1;

	asm volatile("mov %0, %%db0" ::"r"(0x1234ul));
	asm volatile("mov %0, %%db6" ::"r"(0xffff0ff0ul));
	asm volatile("mov %1, %%db7\n\t"
		     "mov %%db0, %0"
		     : "=r"(value)
		     : "r"(DR7_GD | 0x400));
	say("general detect: exceptions", faults - before);
	say("DR6", dr6 & DR6_ACTIVE);
	say("GD", dr7 & DR7_GD);
	say("DR0", value);
}

/* Each line that is printed is a way to the parent and back, through VPs that have debug registers
 * of their own. */
static void debug_registers(void)
{
	static volatile uint32_t watched;
	uint64_t value[4], before = faults;

	asm volatile("mov %%db1, %0" : "=r"(value[1]));
	say("DR1 before it is written", value[1]);
	asm volatile("mov %0, %%db0" ::"r"((uint64_t)&watched));
	asm volatile("mov %0, %%db1; mov %1, %%db2; mov %2, %%db3" ::"r"(0x1111ul), "r"(0x2222ul),
		     "r"(0x3333ul));
	say("faults of debug registers", faults - before);
	asm volatile("mov %%db0, %0; mov %%db1, %1" : "=r"(value[0]), "=r"(value[1]));
	asm volatile("mov %%db2, %0; mov %%db3, %1" : "=r"(value[2]), "=r"(value[3]));
	say("DR0 is kept", value[0] == (uint64_t)&watched);
	say("DR1 to DR3", value[1] << 32 | value[2] << 16 | value[3]);
	asm volatile(
		"mov %0, %%db7" ::"r"(0xd0402ul)); /* the global breakpoint 0, a write of 4 bytes */
	say("faults before the write", faults - before);
	watched = 1;
	asm volatile("mov %0, %%db7" ::"r"(0x400ul));
	say("behind it", faults - before);
}

static bool read_faults(uint32_t msr)
{
	uint64_t before = faults;

	step_over = 2;
	rdmsr(msr);
	return faults != before;
}

static bool write_faults(uint32_t msr)
{
	uint64_t before = faults;

	step_over = 2;
	wrmsr(msr, 0);
	return faults != before;
}

/* Of faults that the hypervisor injects; behind them, a trap that it injects: the step over an
 * instruction that it has done. */
static void flags_of_exceptions(void)
{
	uint64_t behind, before;

	say("an unknown MSR faults", read_faults(0x1fff));
	say("its vector", last.vector);
	say("RF in its flags", last.flags & RFLAGS_RF);
	step_over = 3;
	asm volatile("vmrun" ::"a"(0));
	say("another vector", last.vector);
	say("RF in its flags", last.flags & RFLAGS_RF);
	before = faults;
	asm volatile("pushfq\n\t"
		     "orl $0x100, (%%rsp)\n\t"
		     "lea 1f(%%rip), %0\n\t"
		     "xor %%eax, %%eax\n\t"
		     "popfq\n\t"
		     "cpuid\n"
		     "1:\n\t"
		     "nop"
		     : "=&S"(behind)
		     :
		     : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	say("a step over CPUID: exceptions", faults - before);
	say("vector", last.vector);
	say("behind it", last.rip == behind);
	say("RF in its flags", last.flags & RFLAGS_RF);
	say("DR6", dr6 & DR6_ACTIVE);
}

static void caches(void)
{
	uint64_t before = faults;

	asm volatile("wbinvd" ::: "memory");
	asm volatile(".byte 0xf3, 0x0f, 0x09" ::: "memory"); /* WBNOINVD */
	asm volatile("invd" ::: "memory");
	say("faults of WBINVD and its kin", faults - before);
}

static uint32_t word(uint32_t leaf, unsigned int which)
{
	uint32_t out[4];

	cpuid(leaf & 0x80000000, out);
	if (leaf > out[0]) {
		return 0;
	}
	cpuid(leaf, out);
	return out[which];
}

static void registers(void)
{
	uint64_t wrong = 0, spec_ctrl, pred_cmd, tsc_aux;

	for (uint32_t msr = 0xc0010000; msr < 0xc0010008; msr++) {
		wrong += write_faults(msr) || read_faults(msr) || rdmsr(msr) != 0;
	}
	say("AMD's counters that are not as they should be", wrong);
	spec_ctrl = (word(7, 3) & (1u << 26 | 1u << 27 | 1u << 31)) ||
		    (word(0x80000008, 1) & (1u << 14 | 1u << 15 | 1u << 24 | 1u << 28));
	pred_cmd = (word(7, 3) & 1u << 26) || (word(0x80000008, 1) & 1u << 12);
	tsc_aux = (word(0x80000001, 3) & 1u << 27) || (word(7, 2) & 1u << 22);
	say("SPEC_CTRL as CPUID says", read_faults(0x48) != spec_ctrl);
	say("PRED_CMD as CPUID says", write_faults(0x49) != pred_cmd);
	say("TSC_AUX as CPUID says", read_faults(0xc0000103) != tsc_aux);
}

void guest_main(uint32_t magic, const uint32_t *info)
{
	(void)magic;
	(void)info;
	load_table();
	two_nmis();
	beside_the_tpr();
	debug_registers();
	general_detect();
	flags_of_exceptions();
	caches();
	registers();
	print("events: end\n");
	guest_end();
}
