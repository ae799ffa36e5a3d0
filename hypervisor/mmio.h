/*
 * Registers of a device, in a page of paging_map_device(). Functions of their own, so that a test
 * can supply a device (mmio.c).
 */
#ifndef HYPERVISOR_MMIO_H
#define HYPERVISOR_MMIO_H

#include <stdint.h>

uint8_t mmio_read8(const volatile void *at);
uint16_t mmio_read16(const volatile void *at);
uint32_t mmio_read32(const volatile void *at);
uint64_t mmio_read64(const volatile void *at);
void mmio_write8(volatile void *at, uint8_t value);
void mmio_write16(volatile void *at, uint16_t value);
void mmio_write32(volatile void *at, uint32_t value);
void mmio_write64(volatile void *at, uint64_t value);

#endif
