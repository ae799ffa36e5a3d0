/*
 * A sleep state is entered by SLP_EN in a register (ACPI 6.5, 4.8.3.2.1 and 4.8.3.7), with the
 * state's number, which the firmware chooses, in SLP_TYP. There may be several such registers; of
 * each only one byte matters here. It is at a port as a rule; one in memory takes its page away
 * from the root, whose accesses are done here.
 */
#include "hypervisor/sleep.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/console.h"
#include "hypervisor/gpa_table.h"
#include "hypervisor/memory.h"
#include "hypervisor/mmio.h"
#include "hypervisor/root_access.h"
#include "include/boot/handoff.h"
#include "lib/check.h"
#include "tlfs/plat.h"

#define SLEEP_ENABLE     (1u << 5)
#define SLEEP_TYPE_SHIFT 2

static uint16_t ports[HANDOFF_SLEEP_REGISTERS];  /* of the bytes; 0: none */
static uint64_t memory[HANDOFF_SLEEP_REGISTERS]; /* addresses of others; 0: none */
static volatile uint8_t *pages[HANDOFF_SLEEP_REGISTERS];
static uint8_t permitted; /* a bit a type */

void sleep_init(const struct handoff *handoff)
{
	permitted = handoff->sleep_types;
	for (unsigned int i = 0; i < ARRAY_COUNT(ports); i++) {
		ports[i] = handoff->sleep_ports[i];
		memory[i] = handoff->sleep_memory[i];
	}
}

/* A page at which something else is already is left alone: then the tables say nonsense. */
static volatile uint8_t *withhold(uint64_t spn)
{
	if (spn >= gpa_limit() || gpa_has_apic(spn, 1) || memory_extent(spn, 1) != EXTENT_OTHER ||
	    !memory_withhold(spn, 1)) {
		console_print("no sleep register can be at %lx, where the tables have one\n",
			      spn << PAGE_SHIFT);
		return NULL;
	}
	return paging_map_device((spa_t){spn << PAGE_SHIFT});
}

void sleep_withhold(void)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(memory); i++) {
		pages[i] = NULL;
		for (unsigned int n = 0; n < i && memory[i]; n++) {
			if (memory[n] >> PAGE_SHIFT == memory[i] >> PAGE_SHIFT) {
				pages[i] = pages[n];
			}
		}
		if (memory[i] && pages[i] == NULL) {
			pages[i] = withhold(memory[i] >> PAGE_SHIFT);
		}
	}
}

void sleep_watch(uint8_t *map)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(ports); i++) {
		if (ports[i]) {
			map[ports[i] / 8] |= (uint8_t)(1u << ports[i] % 8);
		}
	}
}

/* Of a write of `size` bytes to `at`, what reaches the byte `register_at`. */
static bool permits(uint64_t register_at, uint64_t at, unsigned int size, uint64_t value)
{
	uint64_t offset = register_at - at;
	unsigned int byte;

	if (!register_at || offset >= size) {
		return true;
	}
	byte = (uint8_t)(value >> 8 * offset);
	return !(byte & SLEEP_ENABLE) || permitted >> (byte >> SLEEP_TYPE_SHIFT & 7) & 1;
}

bool sleep_permits(uint16_t port, unsigned int size, uint32_t value)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(ports); i++) {
		if (!permits(ports[i], port, size, value)) {
			return false;
		}
	}
	return true;
}

/* ---- in memory ---- */

static uint64_t read(const volatile uint8_t *at, unsigned int size)
{
	switch (size) {
	case 1:
		return mmio_read8(at);
	case 2:
		return mmio_read16(at);
	case 4:
		return mmio_read32(at);
	default:
		return mmio_read64(at);
	}
}

static void write(volatile uint8_t *at, unsigned int size, uint64_t value)
{
	switch (size) {
	case 1:
		mmio_write8(at, (uint8_t)value);
		break;
	case 2:
		mmio_write16(at, (uint16_t)value);
		break;
	case 4:
		mmio_write32(at, (uint32_t)value);
		break;
	default:
		mmio_write64(at, value);
		break;
	}
}

/* Several registers may have one page. */
static bool memory_permits(uint64_t gpa, unsigned int size, uint64_t value)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(memory); i++) {
		if (!permits(memory[i], gpa, size, value)) {
			return false;
		}
	}
	return true;
}

/* Where the root's access ends; NULL: not in such a page. */
static volatile uint8_t *register_at(uint64_t gpa)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(pages); i++) {
		if (pages[i] != NULL && gpa >> PAGE_SHIFT == memory[i] >> PAGE_SHIFT) {
			return pages[i] + (gpa & PAGE_MASK);
		}
	}
	return NULL;
}

static uint64_t read_register(uint64_t gpa, unsigned int size)
{
	return read(register_at(gpa), size);
}

static void write_register(uint64_t gpa, unsigned int size, uint64_t value)
{
	if (memory_permits(gpa, size, value)) {
		write(register_at(gpa), size, value);
	}
}

bool sleep_access(struct vcpu *vcpu, uint64_t gpa)
{
	static const struct root_registers registers = {read_register, write_register};

	if (register_at(gpa) == NULL) {
		return false;
	}
	root_access(vcpu, gpa, &registers);
	return true;
}
