/* A line is up while at least one source holds it up; both interrupt controllers see it. */
#include "devices/irq.h"

#include <string.h>

#include "devices/parts.h"

void irq_set(struct irq_source *source, bool level)
{
	struct irq *irq = source->irq;
	unsigned int line = source->line;
	uint8_t before;

	if (source->level == level) {
		return;
	}
	before = irq->raised[line];
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

void irq_restore(struct irq *irq, struct irq_source *const *sources, unsigned int count)
{
	uint32_t lines = 0;
	unsigned int i;

	memset(irq->raised, 0, sizeof(irq->raised));
	for (i = 0; i < count; i++) {
		if (sources[i]->level) {
			irq->raised[sources[i]->line]++;
			lines |= 1u << sources[i]->line;
		}
	}
	pic_restore(irq->pic, (uint16_t)lines);
	ioapic_restore(irq->ioapic, (lines & ~5u) | (lines & 1) << 2);
}
