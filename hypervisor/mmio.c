#include "hypervisor/mmio.h"

uint32_t mmio_read32(const volatile void *at)
{
	return *(const volatile uint32_t *)at;
}

uint64_t mmio_read64(const volatile void *at)
{
	return *(const volatile uint64_t *)at;
}

void mmio_write32(volatile void *at, uint32_t value)
{
	*(volatile uint32_t *)at = value;
}

void mmio_write64(volatile void *at, uint64_t value)
{
	*(volatile uint64_t *)at = value;
}
