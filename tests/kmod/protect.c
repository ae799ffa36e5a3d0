// SPDX-License-Identifier: GPL-2.0
/*
 * What the root must not be able to do, tried from its kernel: SVM's and VMX's instructions and
 * MSRs, every page of a range of physical memory (base=, size=) that is the hypervisor's, and pages
 * of the root's own before and after it has deposited them; and with a device's DMA, if the machine
 * has the device, the ends of a range (dma=, dma_size=). Each line of the log names a thing and
 * says how it ended.
 */
#include "protect.h"

#include <linux/io.h>
#include <linux/module.h>

#include <asm/asm.h>
#include <asm/mshyperv.h>
#include <asm/msr-index.h>
#include <asm/processor.h>

#define VM_CR    0xc0010114
#define VM_HSAVE 0xc0010117
#define SVME     (1ull << 12)
#define VMXE     (1ull << 13)
#define PATTERN  0x6465746972777665ull
#define DEPOSIT  (0x48 | 1ull << 32) /* HvCallDepositMemory, of one page */
#define DEPOSITS 64

static ulong base, size, dma, dma_size;
module_param(base, ulong, 0);
module_param(size, ulong, 0);
module_param(dma, ulong, 0);
module_param(dma_size, ulong, 0);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("tries what a root partition must not be able to do");

/*
 * True if the instruction ended without an exception. RAX, RCX and RDX are its operands, RAX and
 * RDX its results; the kernel's own helpers change their names from version to version.
 */
#define RUNS(instruction, rax, rcx, rdx)                                                           \
	({                                                                                         \
		bool done = false;                                                                 \
		uint64_t a = (rax), d = (rdx);                                                     \
                                                                                                   \
		asm volatile("1: " instruction "\n\tmovb $1, %0\n2:" _ASM_EXTABLE(1b, 2b)          \
			     : "+m"(done), "+a"(a), "+d"(d)                                        \
			     : "c"(rcx)                                                            \
			     : "memory");                                                          \
		result = d << 32 | (uint32_t)a;                                                    \
		done;                                                                              \
	})

static uint64_t result;

static void report(const char *name, bool done)
{
	pr_info("protect: %s %s\n", name, done ? "done" : "refused");
}

static void try_instructions(void)
{
	unsigned long page = get_zeroed_page(GFP_KERNEL);

	if (!page) {
		return;
	}
	report("vmrun", RUNS("vmrun", virt_to_phys((void *)page), 0, 0));
	report("vmload", RUNS("vmload", virt_to_phys((void *)page), 0, 0));
	report("vmsave", RUNS("vmsave", virt_to_phys((void *)page), 0, 0));
	report("stgi", RUNS("stgi", 0, 0, 0));
	report("clgi", RUNS("clgi", 0, 0, 0));
	report("invlpga", RUNS("invlpga", page, 0, 0));
	free_page(page);
}

static uint64_t cr4(void)
{
	uint64_t value;

	asm volatile("movq %%cr4, %0" : "=r"(value));
	return value;
}

/*
 * CR4.VMXE comes first: where it can be set, the instructions after it are those of a processor
 * with VMX. For Intel's processors alone: elsewhere it is the processor that refuses, and not every
 * emulated one does.
 */
static void try_vmx(void)
{
	unsigned long page = get_zeroed_page(GFP_KERNEL);
	uint64_t address = virt_to_phys((void *)page);

	if (!page) {
		return;
	}
	report("CR4.VMXE", RUNS("movq %%rax, %%cr4", cr4() | VMXE, 0, 0));
	report("read VMX_BASIC", RUNS("rdmsr", 0, MSR_IA32_VMX_BASIC, 0));
	report("write FEATURE_CONTROL", RUNS("wrmsr", 5, MSR_IA32_FEAT_CTL, 0));
	report("vmxon", RUNS("vmxon (%%rcx)", 0, &address, 0));
	report("vmclear", RUNS("vmclear (%%rcx)", 0, &address, 0));
	report("vmptrld", RUNS("vmptrld (%%rcx)", 0, &address, 0));
	report("vmptrst", RUNS("vmptrst (%%rcx)", 0, page, 0));
	report("vmread", RUNS("vmread %%rax, %%rdx", 0, 0, 0));
	report("vmwrite", RUNS("vmwrite %%rax, %%rdx", 0, 0, 0));
	report("vmlaunch", RUNS("vmlaunch", 0, 0, 0));
	report("vmresume", RUNS("vmresume", 0, 0, 0));
	report("vmxoff", RUNS("vmxoff", 0, 0, 0));
	report("vmfunc", RUNS("vmfunc", 0, 0, 0));
	report("invept", RUNS("invept (%%rcx), %%rax", 2, page, 0));
	report("invvpid", RUNS("invvpid (%%rcx), %%rax", 2, page, 0));
	free_page(page);
}

static void try_msrs(void)
{
	report("read VM_HSAVE_PA", RUNS("rdmsr", 0, VM_HSAVE, 0));
	report("write VM_HSAVE_PA", RUNS("wrmsr", 0x1000, VM_HSAVE, 0));
	report("write VM_CR", RUNS("wrmsr", 0, VM_CR, 0));
	report("read EFER", RUNS("rdmsr", 0, MSR_EFER, 0));
	report("EFER.SVME", RUNS("wrmsr", result | SVME, MSR_EFER, result >> 32));
}

/* A word of the range: true if it could be read, and was not the all ones of an address at which
 * nothing is. */
static bool sees(uint64_t *word)
{
	bool done = RUNS("movq (%%rcx), %%rax\n\tmovq %%rax, %%rdx\n\tshrq $32, %%rdx", 0, word, 0);

	return done && result != ~0ull;
}

static bool writes(uint64_t *word)
{
	return RUNS("movq %%rax, (%%rcx)", PATTERN, word, 0) && sees(word) && result == PATTERN;
}

static void try_memory(void)
{
	ulong pages = 0, seen = 0, written = 0;

	for (ulong at = 0; at < size; at += PAGE_SIZE) {
		uint64_t *page = (uint64_t __force *)ioremap_cache(base + at, PAGE_SIZE);

		if (page == NULL) {
			continue;
		}
		pages++;
		for (unsigned int word = 0; word < PAGE_SIZE / sizeof(uint64_t); word += 64) {
			seen += sees(page + word);
			written += writes(page + word);
		}
		iounmap((void __iomem __force *)page);
	}
	pr_info("protect: %lu pages, %lu words seen, %lu words written\n", pages, seen, written);
}

struct attempt {
	ulong seen, written;
};

static void try_page(uint64_t *page, struct attempt *attempt)
{
	for (unsigned int word = 0; word < PAGE_SIZE / sizeof(uint64_t); word += 64) {
		attempt->seen += sees(page + word);
		attempt->written += writes(page + word);
	}
}

int protect_deposit(const void *page)
{
	uint64_t *input = (uint64_t *)get_zeroed_page(GFP_KERNEL);
	int ret;

	if (input == NULL) {
		return -ENOMEM;
	}
	input[0] = ~0ull; /* the caller's own partition */
	input[1] = virt_to_phys((void *)page) >> PAGE_SHIFT;
	ret = (uint16_t)hv_do_hypercall(DEPOSIT, input, NULL) ? -EIO : 0;
	free_page((unsigned long)input);
	return ret;
}

/* What is given to the hypervisor for the root's own use is not withdrawn: the pages stay there
 * until the machine ends. */
static void try_deposits(void)
{
	struct attempt before = {}, after = {};
	ulong pages = 0;

	for (unsigned int i = 0; i < DEPOSITS; i++) {
		uint64_t *page = (uint64_t *)get_zeroed_page(GFP_KERNEL);

		if (page == NULL) {
			break;
		}
		try_page(page, &before);
		if (protect_deposit(page)) {
			free_page((unsigned long)page);
			break;
		}
		pages++;
		try_page(page, &after);
	}
	pr_info("protect: deposits: before, %lu words seen, %lu words written\n", before.seen,
		before.written);
	pr_info("protect: deposits: %lu pages, %lu words seen, %lu words written\n", pages,
		after.seen, after.written);
}

static int __init protect_init(void)
{
	try_instructions();
	try_msrs();
	if (boot_cpu_data.x86_vendor == X86_VENDOR_INTEL) {
		try_vmx();
	}
	try_memory();
	if (hv_is_hyperv_initialized()) {
		try_deposits();
	}
	protect_try_dma(dma, dma_size);
	pr_info("protect: end\n");
	return 0;
}
module_init(protect_init);
