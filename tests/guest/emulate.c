/*
 * Each instruction twice: on RAM that is all ones, and where there is no RAM, which reads as all
 * ones. Its registers, its flags, what it stored elsewhere and the exception that it ended by are
 * to be the same. Then again on an operand that begins in RAM and ends behind it, and by the stack
 * and the code pointers of a device that keeps what is written.
 */
#include "tests/guest/guest.h"

#define NOTHING   0x10000000ull /* no RAM, no device */
#define RAM_END   0x04000000ull
#define IOAPIC    0xfec00000ull
#define IOAPIC_IN 0xfec00010ull /* the register that is selected */
#define ENTRY_16  0x30          /* of pin 16, its lower half: bits 15 and 16 are free to be set */
#define TARGET    0x18000ull    /* a code address of these two bits, in RAM that nobody uses */

#define DEBUG_EXIT 0xf4

#define SCRATCH 512

struct state {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, rflags, rsp;
	uint16_t es, ds, fs, gs;
	uint8_t scratch[SCRATCH] __attribute__((aligned(16)));
};

struct table {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

struct state now;
uint64_t case_code, case_stack;

struct instruction {
	const void *code;
	const char *text;
	uint64_t undefined; /* flags */
};

extern const struct instruction cases[], cases_end[], pointers[], pointers_end[], stacks[],
	stacks_end[];
void run_code(void *unused);

/* Loads all of `now`, and comes back with all of it. */
asm(".text\n"
    "run_code:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, case_stack\n"
    "	pushq now+64\n"
    "	mov now, %rax; mov now+8, %rbx; mov now+16, %rcx; mov now+24, %rdx\n"
    "	mov now+32, %rsi; mov now+40, %rdi; mov now+48, %rbp; mov now+56, %r8\n"
    "	popfq\n"
    "	jmp *case_code\n"
    "case_back:\n"
    "	mov %rsp, now+72\n"
    "	mov case_stack, %rsp\n"
    "	pushfq\n"
    "	mov %rax, now; mov %rbx, now+8; mov %rcx, now+16; mov %rdx, now+24\n"
    "	mov %rsi, now+32; mov %rdi, now+40; mov %rbp, now+48; mov %r8, now+56\n"
    "	popq now+64\n"
    "	mov %es, now+80; mov %ds, now+82; mov %fs, now+84; mov %gs, now+86\n"
    "	cld\n"
    "	mov $16, %eax; mov %eax, %es; mov %eax, %ds; mov %eax, %ss\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n");

/* A row of a table: the code, its text, and the flags that it leaves undefined. */
#define LOOSE(flags, text)                                                                         \
	".text\n7: " text "\n	jmp case_back\n"                                                     \
	".section .rodata\n8: .asciz \"" text "\"\n"                                               \
	".section .data\n	.quad 7b, 8b, " flags "\n"
#define CASE(text) LOOSE("0", text)

/* Undefined flags */
#define SHIFT    "0x810" /* OF, AF */
#define ROTATE   "0x800" /* OF */
#define SHIFT_1  "0x010" /* AF */
#define SEARCH   "0x895" /* all but ZF */
#define PRODUCT  "0x0d4" /* all but CF and OF */
#define QUOTIENT "0x8d5"

/* clang-format off */

/*
 * An MMX register's exponent is not looked at: emulators leave it, where processors set it to ones.
 * RDI is the operand's address, RSI that of the scratch area, which is RAM each time.
 */
asm(".section .data\n.balign 8\n.globl cases\ncases:\n"
    CASE("mov (%rdi), %rax")
    CASE("mov (%rdi), %ax")
    CASE("mov (%rdi), %ah")
    CASE("mov %rdx, (%rdi)")
    CASE("movzbl (%rdi), %eax")
    CASE("movswq (%rdi), %rax")
    CASE("movslq (%rdi), %rax")
    CASE("add (%rdi), %rax")
    CASE("adc %edx, (%rdi)")
    CASE("subl $3, (%rdi)")
    CASE("sbbb $3, (%rdi)")
    CASE("and (%rdi), %dx")
    CASE("orq $7, (%rdi)")
    CASE("lock; xorl $5, (%rdi)")
    CASE("cmp %rbx, (%rdi)")
    CASE("testb $0x81, (%rdi)")
    CASE("lock; incq (%rdi)")
    CASE("decl (%rdi)")
    CASE("negw (%rdi)")
    CASE("notq (%rdi)")
    CASE("xchg %rdx, (%rdi)")
    CASE("lock; xadd %ecx, (%rdi)")
    CASE("lock; cmpxchg %rdx, (%rdi)")
    CASE("mov $-1, %rax; cmpxchg %rdx, (%rdi)")
    CASE("lock; cmpxchg8b (%rdi)")
    LOOSE(SHIFT_1, "shll (%rdi)")
    LOOSE(SHIFT, "shrq $5, (%rdi)")
    LOOSE(SHIFT, "sarw %cl, (%rdi)")
    LOOSE(ROTATE, "rolb $3, (%rdi)")
    CASE("rclq (%rdi)")
    CASE("rcrl (%rdi)")
    LOOSE(SHIFT, "shld $4, %rdx, (%rdi)")
    LOOSE(SHIFT, "shrd %cl, %edx, (%rdi)")
    LOOSE(SEARCH, "bsf (%rdi), %rax")
    LOOSE(SEARCH, "bsr (%rdi), %eax")
    CASE("btsl $9, (%rdi)")
    CASE("btrl $31, (%rdi)")
    LOOSE(PRODUCT, "mulq (%rdi)")
    LOOSE(PRODUCT, "imulb (%rdi)")
    LOOSE(PRODUCT, "imul (%rdi), %edx")
    LOOSE(PRODUCT, "imul $-7, (%rdi), %rdx")
    LOOSE(QUOTIENT, "xor %edx, %edx; divq (%rdi)")
    LOOSE(QUOTIENT, "cqo; idivq (%rdi)")
    LOOSE(QUOTIENT, "mov $-1, %rdx; divl (%rdi)")
    CASE("cmovs (%rdi), %rax")
    CASE("cmovnp (%rdi), %ecx")
    CASE("setb (%rdi)")
    CASE("pushq (%rdi); popq (%rsi)")
    CASE("pushw (%rdi); popw (%rsi)")
    CASE("pushq %rdx; popq (%rdi)")
    CASE("xchg %rsi, %rdi; movsq")
    CASE("mov %rdi, %rsi; lodsw; std; lodsb")
    CASE("scasl")
    CASE("cmpsb")
    CASE("mov $8, %ecx; rep stosb")
    CASE("xchg %rsi, %rdi; mov $8, %ecx; rep movsb")
    CASE("mov $4, %ecx; or $-1, %rax; repe scasb")
    CASE("mov %rdi, %rsi; mov $0x80, %edx; outsb")
    CASE("mov $0x80, %edx; insw")
    CASE("movups (%rdi), %xmm1; movups %xmm1, (%rsi)")
    CASE("movups %xmm1, (%rdi)")
    CASE("movss (%rdi), %xmm1; movups %xmm1, (%rsi)")
    CASE("movhps (%rdi), %xmm1; movups %xmm1, (%rsi)")
    CASE("movlpd (%rdi), %xmm1; movups %xmm1, (%rsi)")
    CASE("fninit; movq (%rdi), %mm3; fxsave (%rsi); emms; movw $0, 88(%rsi)")
    CASE("fninit; fld1; movd (%rdi), %mm0; fxsave (%rsi); emms; movw $0, 40(%rsi)")
    CASE("fninit; fld1; movq %mm3, (%rdi); fxsave (%rsi); emms")
    CASE("smsw (%rdi); smsw %ax")
    CASE("lmsw (%rdi); mov %cr0, %rax")
    CASE("sldt (%rdi); sldt %eax")
    CASE("str (%rdi); str %eax")
    CASE("ltr (%rdi)")
    CASE("lldt (%rdi)")
    CASE("sgdt (%rdi)")
    CASE("sgdt 32(%rsi); lgdt (%rdi); sgdt (%rsi); lgdt 32(%rsi)")
    CASE("sidt 32(%rsi); lidt (%rdi); sidt (%rsi); lidt 32(%rsi)")
    CASE("mov (%rdi), %ds")
    CASE("mov (%rdi), %ss")
    CASE("mov (%rdi), %fs")
    CASE("mov %gs, (%rdi)")
    CASE("lss (%rdi), %eax")
    CASE("lfs (%rdi), %ax")
    CASE("jmp *(%rdi)")
    CASE("call *(%rdi)")
    CASE("ljmp *(%rdi)")
    CASE("lcall *(%rdi)")
    CASE("orq $0x100, now+64; pushq now+64; popfq; mov (%rdi), %eax; nop")
    ".section .data\n.globl cases_end\ncases_end:\n.text\n");

/* The operand is TARGET and zeros, and what is at TARGET leads back. */
asm(".section .data\n.balign 8\n.globl pointers\npointers:\n"
    CASE("jmp *(%rdi)")
    CASE("call *(%rdi)")
    CASE("ljmp *(%rdi)")
    CASE("mov (%rdi), %es")
    CASE("xchg %rdi, %rsp; ret")
    CASE("xchg %rdi, %rsp; ret $0x20")
    CASE("xchg %rdi, %rsp; pop %rax; xchg %rdi, %rsp")
    CASE("xchg %rdi, %rsp; popw %ax; xchg %rdi, %rsp")
    ".section .data\n.globl pointers_end\npointers_end:\n.text\n");

/* The operand is a stack, of some bytes downwards. */
asm(".section .data\n.balign 8\n.globl stacks\nstacks:\n"
    CASE("xchg %rdi, %rsp; push %rax; push $-2; push $0x12345678; pushw $7; xchg %rdi, %rsp")
    CASE("xchg %rdi, %rsp; push %fs; pushfq; xchg %rdi, %rsp")
    CASE("xchg %rdi, %rsp; call 1f; 1: xchg %rdi, %rsp")
    CASE("mov %rsp, %r8; mov %rdi, %rbp; leave; mov %rsp, %rdx; mov %r8, %rsp")
    ".section .data\n.globl stacks_end\nstacks_end:\n.text\n");

/* clang-format on */

static uint8_t ram[64] __attribute__((aligned(64)));
static unsigned int done, different;

static void set(uint64_t address)
{
	static const uint64_t flags[] = {0x2, 0x8d7};

	now = (struct state){.rax = 0x123456789abcdef0,
			     .rbx = 0xfffffffffffffff0,
			     .rcx = 0x8000000000000003,
			     .rdx = 0x00000000fedcba98,
			     .rdi = address,
			     .rsi = (uintptr_t)now.scratch,
			     .rbp = 5,
			     .r8 = 6,
			     .rflags = flags[done & 1]};
}

static void load_segments(void)
{
	asm volatile(
		"mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %0, %%fs; mov %0, %%gs; cld" ::"r"(
			16));
}

/* One run, with all that it may have changed put back; the exception, or -1. */
static long run(const struct instruction *instruction, uint64_t address)
{
	struct table gdt, idt;
	uint64_t cr0;
	long vector;

	asm volatile("sgdt %0; sidt %1; mov %%cr0, %2" : "=m"(gdt), "=m"(idt), "=r"(cr0));
	load_segments();
	set(address);
	case_code = (uintptr_t)instruction->code;
	vector = guest_try(run_code, NULL);
	asm volatile("lgdt %0; lidt %1; mov %2, %%cr0" ::"m"(gdt), "m"(idt), "r"(cr0));
	load_segments();
	return vector;
}

static bool same(const struct state *a, const struct state *b)
{
	const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;

	for (size_t i = 0; i < sizeof(*a); i++) {
		if (x[i] != y[i]) {
			return false;
		}
	}
	return true;
}

static void fill(uint8_t *at, size_t length, uint8_t with)
{
	while (length--) {
		*(volatile uint8_t *)at++ = with;
	}
}

/* `there` is the address without RAM, `here` the one with the same bytes. */
static void compare(const struct instruction *instruction, uint64_t here, uint64_t there)
{
	static struct state wanted;
	long vector = run(instruction, here), other;

	wanted = now;
	other = run(instruction, there);
	wanted.rflags &= ~instruction->undefined;
	now.rflags &= ~instruction->undefined;
	/* The address itself, wherever it was left. */
	for (uint64_t *w = &wanted.rax, *n = &now.rax; w <= &wanted.rsp; w++, n++) {
		if (*n - there + here == *w) {
			*n = *w;
		}
	}
	done++;
	if (vector != other || (vector < 0 && !same(&wanted, &now))) {
		different++;
		print("emulate: differs: ");
		print(instruction->text);
		print(", exception ");
		print_number((uint64_t)other);
		print(" for ");
		print_number((uint64_t)vector);
		print(", RAX ");
		print_hex(now.rax);
		print(" for ");
		print_hex(wanted.rax);
		print(", flags ");
		print_hex(now.rflags);
		print(" for ");
		print_hex(wanted.rflags);
		print("\n");
	}
}

static void on_nothing(void)
{
	uint8_t *edge = (uint8_t *)(RAM_END - 3);

	for (const struct instruction *i = cases; i < cases_end; i++) {
		for (unsigned int flags = 0; flags < 2; flags++) {
			fill(ram, sizeof(ram), 0xff);
			compare(i, (uintptr_t)ram, NOTHING);
		}
	}
	/* Over the end of RAM. */
	for (const struct instruction *i = cases; i < cases_end; i++) {
		fill(ram, sizeof(ram), 0xff);
		fill(edge, 3, 0xff);
		compare(i, (uintptr_t)ram, (uintptr_t)edge);
	}
}

static void on_device(void)
{
	static const uint8_t back[] = {0xff, 0x24, 0x25}; /* jmp *case_end */
	static uint64_t case_end;
	uint32_t pointer = (uint32_t)(uintptr_t)&case_end;
	extern const uint8_t case_back[];

	case_end = (uintptr_t)case_back;
	for (size_t i = 0; i < 4096; i++) {
		*(volatile uint8_t *)(TARGET + i) = 0x90;
	}
	for (size_t i = 0; i < 3; i++) {
		*(volatile uint8_t *)(TARGET + i) = back[i];
	}
	*(volatile uint32_t *)(TARGET + 3) = pointer;
	*(volatile uint32_t *)IOAPIC = ENTRY_16;
	*(volatile uint32_t *)IOAPIC_IN = TARGET;
	for (const struct instruction *i = pointers; i < pointers_end; i++) {
		fill(ram, sizeof(ram), 0);
		*(volatile uint32_t *)ram = TARGET;
		compare(i, (uintptr_t)ram, IOAPIC_IN);
	}
	for (const struct instruction *i = stacks; i < stacks_end; i++) {
		fill(ram, sizeof(ram), 0xff);
		compare(i, (uintptr_t)ram + 48, NOTHING + 48);
	}
}

void guest_main(uint32_t magic, const uint32_t *info)
{
	(void)magic;
	(void)info;
	on_nothing();
	on_device();
	print("emulate: ");
	print_number(done);
	print(" compared, ");
	print_number(different);
	print(" differ\n");
	out8(DEBUG_EXIT, different != 0);
	guest_end();
}
