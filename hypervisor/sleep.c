/*
 * A sleep state is entered by SLP_EN in a register (ACPI 6.5, 4.8.3.2.1 and 4.8.3.7), with the state's number, which the firmware
 * chooses, in SLP_TYP. There may be several such registers; of each only one byte matters here. It is at a port as a rule; one in
 * memory takes its page away from the root, whose accesses are done here.
 */
#include "hypervisor/sleep.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/insn.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/console.h"
#include "hypervisor/gpa_table.h"
#include "hypervisor/memory.h"
#include "hypervisor/mmio.h"
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

static void carry_out(struct vcpu *vcpu, const struct insn_access *access, uint64_t gpa,
		      volatile uint8_t *at)
{
	uint64_t *gpr = &vcpu->gpr[access->gpr], value, mask;
	unsigned int shift = access->high_byte ? 8 : 0;

	if (access->write) {
		value = access->has_immediate ? access->immediate : *gpr >> shift;
		if (memory_permits(gpa, access->size, value)) {
			write(at, access->size, value);
		}
		return;
	}
	value = read(at, access->size);
	/* A register of 4 bytes takes its upper half along. */
	mask = access->register_size >= 4 ? UINT64_MAX : (1ull << 8 * access->register_size) - 1;
	*gpr = (*gpr & ~(mask << shift)) | value << shift;
}

/* What a kernel reaches a device's registers with: a move of a register that is not RSP, within the page. */
static bool can_be_done(const struct insn_access *access, uint64_t gpa)
{
	return access->operation == INSN_MOVE &&
	       (access->has_immediate || access->high_byte || access->gpr != GPR_RSP) &&
	       (gpa & PAGE_MASK) + access->size <= PAGE_SIZE;
}

bool sleep_access(struct vcpu *vcpu, uint64_t gpa)
{
	struct insn_access access;

	for (unsigned int i = 0; i < ARRAY_COUNT(pages); i++) {
		if (pages[i] == NULL || gpa >> PAGE_SHIFT != memory[i] >> PAGE_SHIFT) {
			continue;
		}
		if (insn_decode_access(vcpu, &access) && can_be_done(&access, gpa)) {
			carry_out(vcpu, &access, gpa, pages[i] + (gpa & PAGE_MASK));
			vendor_skip(vcpu, access.length);
		} else {
			vendor_inject_exception(vcpu, EXC_GP, true, 0);
		}
		return true;
	}
	return false;
}
