/* A line is up while at least one source holds it up; both interrupt controllers see it. */
#include "devices/irq.h"

#include "devices/parts.h"

void irq_set(struct irq_source *source, bool level)
{
	struct irq *irq = source->irq;
	unsigned int line = source->line;
	uint8_t before = irq->raised[line];

	if (source->level == level) {
		return;
	}
	source->level = level;
	irq->raised[line] = (uint8_t)(level ? before + 1 : before - 1);
	if ((before != 0) == (irq->raised[line] != 0)) {
		return;
	}
	if (line < 16) {
		pic_set_line(irq->pic, line, level);
	}
	if (line != 2) {
		ioapic_set_line(irq->ioapic, line == 0 ? 2 : line, level);
	}
}
