#include "hypervisor/arch/x86/vmx/vmcs.h"

uint64_t vmcs_read(enum vmcs_field field)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((uint64_t)field) : "cc");
	return value;
}

void vmcs_read_to(uint64_t *to, enum vmcs_field field)
{
	__asm__ volatile("vmread %1, %0" : "=m"(*to) : "r"((uint64_t)field) : "cc");
}

void vmcs_write(enum vmcs_field field, uint64_t value)
{
	__asm__ volatile("vmwrite %0, %1" : : "r"(value), "r"((uint64_t)field) : "cc", "memory");
}
