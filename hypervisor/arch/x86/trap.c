#include "hypervisor/arch/x86/trap.h"

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/console.h"
#include "hypervisor/lp.h"
#include "hypervisor/machine_check.h"
#include "lib/check.h"

#define SELECTOR_CODE        8
#define SELECTOR_TSS         24
#define GATE_INTERRUPT       0x8e00
#define ENTRY_SIZE           16
#define BACKTRACE_FRAMES     24
#define ICR_NMI_ALL_BUT_SELF 0xc4400

struct gate {
	uint16_t offset_low, selector, attributes, offset_middle;
	uint32_t offset_high, reserved;
};

struct trap_frame {
	uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct fixup {
	uint64_t fault, resume;
};

/* Made by tools/symbols from the first link: sorted by address, the last name is empty. */
struct symbol {
	uint64_t address;
	const char *name;
};

extern const uint8_t fault_entries[], interrupt_entries[];
extern const struct symbol symbol_table[];
extern const uint64_t symbol_count;
extern const uint8_t image_start[], image_text_end[];

static struct gate fault_gates[32], interrupt_gates[256];
const struct table_register fault_table = {sizeof(fault_gates) - 1, (uintptr_t)fault_gates};
const struct table_register interrupt_table = {sizeof(interrupt_gates) - 1,
					       (uintptr_t)interrupt_gates};
/* Stacks are never switched, so the one task segment has nothing in it and serves all LPs. */
static uint8_t tss[104];
static uint64_t gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0};
static const struct table_register gdt_register = {sizeof(gdt) - 1, (uintptr_t)gdt};

static void gate_set(struct gate *gate, uint64_t at)
{
	*gate = (struct gate){.offset_low = (uint16_t)at,
			      .selector = SELECTOR_CODE,
			      .attributes = GATE_INTERRUPT,
			      .offset_middle = (uint16_t)(at >> 16),
			      .offset_high = (uint32_t)(at >> 32)};
}

static void gates_fill(struct gate *gates, unsigned int count, const uint8_t *entries)
{
	for (unsigned int i = 0; i < count; i++) {
		gate_set(&gates[i], (uintptr_t)entries + i * ENTRY_SIZE);
	}
}

/* LTR marks the descriptor as busy and refuses one that is, so each LP writes it anew: they come up
 * one after the other. */
void trap_lp_load_tss(void)
{
	uint64_t base = (uintptr_t)tss;

	gdt[SELECTOR_TSS / 8] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
				(base >> 24 & 0xff) << 56;
	gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS) : "memory");
}

uint64_t trap_tss_base(void)
{
	return (uintptr_t)tss;
}

uint64_t trap_gdt_base(void)
{
	return (uintptr_t)gdt;
}

void trap_set_gate(unsigned int vector, void (*gate)(void))
{
	gate_set(&fault_gates[vector], (uintptr_t)gate);
	gate_set(&interrupt_gates[vector], (uintptr_t)gate);
}

void trap_init(void)
{
	gates_fill(fault_gates, ARRAY_COUNT(fault_gates), fault_entries);
	gates_fill(interrupt_gates, ARRAY_COUNT(interrupt_gates), interrupt_entries);
}

void trap_lp_init(void)
{
	__asm__ volatile("lgdt %0\n\t"
			 "push $8\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "push %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "mov $16, %%eax\n\t"
			 "mov %%eax, %%ds\n\t"
			 "mov %%eax, %%es\n\t"
			 "mov %%eax, %%ss\n\t"
			 "lidt %1"
			 :
			 : "m"(gdt_register), "m"(fault_table)
			 : "rax", "memory");
}

/* Name of the function at an address and the offset in it, or NULL. */
static const char *symbol_name(uint64_t address, uint64_t *offset)
{
	uint64_t low = 0, high = symbol_count;

	while (high - low > 1) {
		uint64_t middle = (low + high) / 2;

		if (symbol_table[middle].address <= address) {
			low = middle;
		} else {
			high = middle;
		}
	}
	if (symbol_count == 0 || symbol_table[low].address > address) {
		return NULL;
	}
	*offset = address - symbol_table[low].address;
	return symbol_table[low].name;
}

static bool in_text(uint64_t address)
{
	return address >= (uintptr_t)image_start && address < (uintptr_t)image_text_end;
}

static void print_place(uint64_t address)
{
	uint64_t offset = 0;
	const char *name = in_text(address) ? symbol_name(address, &offset) : NULL;

	console_panic("  %016lx  %s+0x%lx\n", address, name != NULL ? name : "?", offset);
}

/* Follows frame pointers as long as they stay on this LP's stack. */
static void print_stack(uint64_t rbp)
{
	uint64_t bottom = (uintptr_t)lp_this() & ~(uint64_t)(LP_STACK_SIZE - 1);

	for (unsigned int i = 0; i < BACKTRACE_FRAMES; i++) {
		const uint64_t *frame = (const uint64_t *)rbp;

		if (rbp < bottom || rbp > (uintptr_t)lp_this() - 16 || rbp % 8 ||
		    !in_text(frame[1])) {
			break;
		}
		print_place(frame[1]);
		if (frame[0] <= rbp) {
			break;
		}
		rbp = frame[0];
	}
}

static _Noreturn void halt_for_ever(void)
{
	for (;;) {
		__asm__ volatile("cli; hlt");
	}
}

static bool stopping;

void trap_stop_if_told(void)
{
	if (__atomic_load_n(&stopping, __ATOMIC_RELAXED)) {
		halt_for_ever();
	}
}

/* The others stop as well: an NMI ends their guest, and they find `stopping` set. */
static void stop_others(void)
{
	if (__atomic_exchange_n(&stopping, true, __ATOMIC_SEQ_CST)) {
		halt_for_ever();
	}
	if (lp_count > 1) {
		apic_send(0, ICR_NMI_ALL_BUT_SELF);
	}
}

static uint16_t reset_port;
static uint8_t reset_value;

void machine_set_reset(uint16_t port, uint8_t value)
{
	reset_port = port;
	reset_value = value;
}

_Noreturn void machine_reset(void)
{
	static const struct table_register no_table;

	if (reset_port) {
		outb(reset_port, reset_value);
	}
	outb(0xcf9, 0x6);
	outb(0x64, 0xfe);
	__asm__ volatile("lidt %0; ud2" : : "m"(no_table));
	halt_for_ever();
}

_Noreturn void machine_stop(const char *reason)
{
	stop_others();
	console_panic("\nhypervisor: stopped: %s (LP %u)\n", reason, lp_this()->index);
	print_stack((uintptr_t)__builtin_frame_address(0));
	halt_for_ever();
}

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	stop_others();
	console_panic("\nhypervisor: stopped: CHECK(%s) failed at %s:%d (LP %u)\n", what, file,
		      line, lp_this()->index);
	print_stack((uintptr_t)__builtin_frame_address(0));
	halt_for_ever();
}

static uint32_t stray_count;

void trap_fault(struct trap_frame *f);
void trap_fault(struct trap_frame *f)
{
	extern const struct fixup fixup_start[], fixup_end[];

	for (const struct fixup *fixup = fixup_start; fixup < fixup_end; fixup++) {
		if (f->vector == EXC_GP && fixup->fault == f->rip) {
			f->rip = fixup->resume;
			return;
		}
	}
	if (f->vector == EXC_MC && machine_check_survived(lp_this())) {
		return;
	}
	/*
	 * The hypervisor sets no breakpoints and never steps: a processor kept a trap of its
	 * guest's beyond the exit. The guest has its own, from vendor_skip(), and has been left, so
	 * nothing is missing.
	 */
	if (f->vector == EXC_DB) {
		__atomic_fetch_add(&stray_count, 1, __ATOMIC_RELAXED);
		f->rflags &= ~RFLAGS_TF;
		return;
	}
	stop_others();
	console_panic("\nhypervisor: stopped: exception %lu, error %lx, CR2 %016lx (LP %u)\n",
		      f->vector, f->error, read_cr2(), lp_this()->index);
	if (stray_count) {
		console_panic("stray debug exceptions before: %u\n", stray_count);
	}
	console_panic("rip %016lx rsp %016lx rflags %08lx cr3 %lx\n", f->rip, f->rsp, f->rflags,
		      read_cr3());
	console_panic("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx,
		      f->rdx);
	console_panic("rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", f->rsi, f->rdi, f->rbp,
		      f->r8);
	console_panic("r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", f->r9, f->r10, f->r11,
		      f->r12);
	console_panic("r13 %016lx r14 %016lx r15 %016lx\n", f->r13, f->r14, f->r15);
	print_place(f->rip);
	print_stack(f->rbp);
	halt_for_ever();
}
