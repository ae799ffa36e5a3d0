/*
 * The lines between parts and the two interrupt controllers. Lock: the board's.
 */
#ifndef DEVICES_IRQ_H
#define DEVICES_IRQ_H

#include <stdbool.h>
#include <stdint.h>

/* ISA's 16 lines and the IO-APIC's inputs 16 to 23. Line 0 reaches the IO-APIC at input 2. */
#define IRQ_LINES 24

struct irq {
	struct pic *pic;
	struct ioapic *ioapic;
	uint8_t raised[IRQ_LINES]; /* how many sources hold the line up */
};

/* One source's hold on a line. */
struct irq_source {
	struct irq *irq;
	uint8_t line;
	bool level;
};

/* After a load, when all sources have their level: the two controllers see the lines. */
void irq_restore(struct irq *irq, struct irq_source *const *sources, unsigned int count);
void irq_set(struct irq_source *source, bool level);

#endif
