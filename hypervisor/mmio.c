#include "hypervisor/mmio.h"

uint8_t mmio_read8(const volatile void *at)
{
	return *(const volatile uint8_t *)at;
}

uint16_t mmio_read16(const volatile void *at)
{
	return *(const volatile uint16_t *)at;
}

uint32_t mmio_read32(const volatile void *at)
{
	return *(const volatile uint32_t *)at;
}

uint64_t mmio_read64(const volatile void *at)
{
	return *(const volatile uint64_t *)at;
}

void mmio_write8(volatile void *at, uint8_t value)
{
	*(volatile uint8_t *)at = value;
}

void mmio_write16(volatile void *at, uint16_t value)
{
	*(volatile uint16_t *)at = value;
}

void mmio_write32(volatile void *at, uint32_t value)
{
	*(volatile uint32_t *)at = value;
}

void mmio_write64(volatile void *at, uint64_t value)
{
	*(volatile uint64_t *)at = value;
}
