/*
 * The instructions that C has no words for, and the few architectural numbers that several files
 * use.
 */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/exception.h"

#define CR0_PE         (1ull << 0)
#define CR0_TS         (1ull << 3)
#define CR0_ET         (1ull << 4)
#define CR0_NE         (1ull << 5)
#define CR0_WP         (1ull << 16)
#define CR0_AM         (1ull << 18)
#define CR0_NW         (1ull << 29)
#define CR0_CD         (1ull << 30)
#define CR0_PG         (1ull << 31)
#define CR4_PSE        (1ull << 4)
#define CR4_PAE        (1ull << 5)
#define CR4_MCE        (1ull << 6)
#define CR4_PGE        (1ull << 7)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_LA57       (1ull << 12)
#define CR4_VMXE       (1ull << 13)
#define CR4_OSXSAVE    (1ull << 18)
#define EFER_SCE       (1ull << 0)
#define EFER_LME       (1ull << 8)
#define EFER_LMA       (1ull << 10)
#define EFER_NXE       (1ull << 11)
#define EFER_SVME      (1ull << 12)
#define EFER_LMSLE     (1ull << 13)
#define EFER_FFXSR     (1ull << 14)
#define RFLAGS_FIXED   (1ull << 1)
#define RFLAGS_TF      (1ull << 8)
#define RFLAGS_IF      (1ull << 9)
#define RFLAGS_RF      (1ull << 16)
#define RFLAGS_VM      (1ull << 17)

#define DR6_BREAKPOINTS 0xfull
#define DR6_BS          (1ull << 14)
#define DR7_GD          (1ull << 13)

#define MSR_TSC            0x10
#define MSR_APIC_BASE      0x1b
#define MSR_SPEC_CTRL      0x48
#define MSR_PRED_CMD       0x49
#define MSR_SYSENTER_CS    0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_DEBUGCTL       0x1d9
#define MSR_PAT            0x277
#define MSR_EFER           0xc0000080
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_CSTAR          0xc0000083
#define MSR_SFMASK         0xc0000084
#define MSR_FS_BASE        0xc0000100
#define MSR_GS_BASE        0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX        0xc0000103
#define PRED_CMD_IBPB      1
#define PAT_RESET          0x0007040600070406ull

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (uint64_t)hi << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

/* False when the processor does not know the MSR or refuses the value: the fault is caught
 * (trap.c). */
bool rdmsr_safe(uint32_t msr, uint64_t *value);
bool wrmsr_safe(uint32_t msr, uint64_t value);

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "a"(leaf), "c"(subleaf));
}

/* All zero where there is no such leaf; above the highest of its range CPUID itself may answer
 * anything. */
static inline void cpuid_offered(uint32_t leaf, uint32_t out[4])
{
	cpuid(leaf & 0x80000000, 0, out);
	if (out[0] >= leaf) {
		cpuid(leaf, 0, out);
	} else {
		out[0] = out[1] = out[2] = out[3] = 0;
	}
}

/* The line of memory at this address is written back, and read again. */
static inline void clflush(const void *at)
{
	__asm__ volatile("clflush (%0)" : : "r"(at) : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/* Sizes 1, 2 and 4. */
static inline void port_out(uint16_t port, unsigned int size, uint32_t value)
{
	if (size == 1) {
		outb(port, (uint8_t)value);
	} else if (size == 2) {
		__asm__ volatile("outw %0, %1" : : "a"((uint16_t)value), "Nd"(port));
	} else {
		__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
	}
}

static inline uint32_t port_in(uint16_t port, unsigned int size)
{
	uint16_t word;
	uint32_t value;

	if (size == 1) {
		return inb(port);
	}
	if (size == 2) {
		__asm__ volatile("inw %1, %0" : "=a"(word) : "Nd"(port));
		return word;
	}
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint64_t read_cr0(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr0, %0" : "=r"(value));
	return value;
}

static inline void write_cr0(uint64_t value)
{
	__asm__ volatile("mov %0, %%cr0" : : "r"(value) : "memory");
}

static inline uint64_t read_cr2(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr2, %0" : "=r"(value));
	return value;
}

static inline void write_cr2(uint64_t value)
{
	__asm__ volatile("mov %0, %%cr2" : : "r"(value));
}

static inline uint64_t read_dr6(void)
{
	uint64_t value;

	__asm__ volatile("mov %%db6, %0" : "=r"(value));
	return value;
}

static inline void write_dr6(uint64_t value)
{
	__asm__ volatile("mov %0, %%db6" : : "r"(value));
}

static inline uint64_t read_cr3(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

static inline uint64_t read_cr4(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

static inline void write_cr4(uint64_t value)
{
	__asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

static inline void xsetbv(uint32_t index, uint64_t value)
{
	__asm__ volatile("xsetbv"
			 :
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline uint64_t xgetbv(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
	return lo | (uint64_t)hi << 32;
}

static inline void cpu_relax(void)
{
	__builtin_ia32_pause();
}

#endif
