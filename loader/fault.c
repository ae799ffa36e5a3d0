/*
 * Exceptions in the loader. See fault.h; the stubs, one after another, are in boot.S.
 */
#include "loader/fault.h"

#include "loader/console.h"

#define VECTORS        32u
#define STUB_SIZE      16u
#define CODE_SELECTOR  0x08u
#define GATE_INTERRUPT 0x8e00u /* present, 32-bit, ring 0 */

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t flags;
	uint16_t offset_high;
};

struct idt_pointer {
	uint16_t limit;
	uint32_t base;
} __attribute__((packed));

extern const uint8_t fault_stubs[];

static struct gate idt[VECTORS];

void fault_start(void)
{
	struct idt_pointer pointer = {sizeof(idt) - 1, (uint32_t)(uintptr_t)idt};

	for (uint32_t i = 0; i < VECTORS; i++) {
		uint32_t stub = (uint32_t)(uintptr_t)fault_stubs + i * STUB_SIZE;

		idt[i] = (struct gate){(uint16_t)stub, CODE_SELECTOR, GATE_INTERRUPT,
				       (uint16_t)(stub >> 16)};
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

/* frame[0] is the vector; behind it the error code, of some vectors, and the return address. */
void fault_stop(const uint32_t *frame)
{
	stop("exception %u in the loader (%x %x %x)", frame[0], frame[1], frame[2], frame[3]);
}
