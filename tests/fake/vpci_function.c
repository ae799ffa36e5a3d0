/* See vpci_function.h. */
#include "tests/fake/vpci_function.h"

#include <errno.h>
#include <string.h>

struct vpci_function function;

static void set(uint32_t offset, uint32_t value)
{
	memcpy(function.config + offset, &value, sizeof(value));
}

void function_create(void)
{
	memset(&function, 0, sizeof(function));
	set(0x00, 0x12348086);
	set(0x04, 0x00100000); /* there are capabilities */
	set(0x08, 0x02000003); /* a network card */
	set(0x0c, 0x00800010); /* of several functions */
	set(0x10, 4);          /* of 64 bits */
	set(0x1c, 1);          /* ports */
	set(0x2c, 0x56781af4);
	set(0x30, 0xfff00001);
	set(0x34, 0x40);
	set(0x3c, 0x0000010b);
	set(0x40, 0x00035001); /* power management */
	set(FUNCTION_MSI, 0x01847005);
	set(FUNCTION_MSIX, 0x00000011 | (FUNCTION_ENTRIES - 1) << 16);
	set(FUNCTION_MSIX + 4, FUNCTION_TABLE);
	set(FUNCTION_MSIX + 8, FUNCTION_PENDING);
	set(0x100, 0x14810001); /* advanced errors */
}

uint32_t vpci_function_read(struct vpci_function *f, uint32_t offset, unsigned int size)
{
	uint32_t value = 0;

	CHECK((size == 1 || size == 2 || size == 4) && offset % size == 0 &&
	      offset < VPCI_CONFIG_BYTES);
	memcpy(&value, f->config + offset, size);
	return value;
}

/* What the guest has for itself never comes here. */
void vpci_function_write(struct vpci_function *f, uint32_t offset, unsigned int size,
			 uint32_t value)
{
	CHECK((size == 1 || size == 2 || size == 4) && offset % size == 0 &&
	      offset < VPCI_CONFIG_BYTES);
	CHECK(!(offset >= 0x10 && offset < 0x2c) && (offset & ~3u) != 0x30 &&
	      (offset & ~3u) != 0x3c);
	CHECK(!(offset >= FUNCTION_MSI && offset < FUNCTION_MSI + 24) &&
	      !(offset >= FUNCTION_MSIX && offset < FUNCTION_MSIX + 12));
	CHECK(!(offset == 4 && value & 1));
	f->writes++;
	if (offset >= 4) {
		memcpy(f->config + offset, &value, size);
	}
	if (offset < 8 && offset + size > 6) {
		set(4, (uint32_t)(f->config[4] | f->config[5] << 8) | 0x00100000);
	}
}

uint64_t vpci_function_bar_size(struct vpci_function *f, unsigned int bar)
{
	static const uint64_t sizes[6] = {0x4000, 0, 0x100};

	(void)f;
	return sizes[bar];
}

uint64_t vpci_function_bar_read(struct vpci_function *f, unsigned int bar, uint64_t offset,
				unsigned int size)
{
	uint64_t value = 0;

	CHECK(size >= 1 && size <= 8 && offset + size <= vpci_function_bar_size(f, bar));
	memcpy(&value, f->bars[bar] + offset, size);
	return value;
}

void vpci_function_bar_write(struct vpci_function *f, unsigned int bar, uint64_t offset,
			     unsigned int size, uint64_t value)
{
	CHECK(size >= 1 && size <= 8 && offset + size <= vpci_function_bar_size(f, bar));
	/* Who could write there could send any interrupt. */
	CHECK(bar != 0 || offset >= FUNCTION_TABLE + FUNCTION_ENTRIES * 16 ||
	      offset + size <= FUNCTION_TABLE || offset < FUNCTION_TABLE);
	memcpy(f->bars[bar] + offset, &value, size);
}

bool vpci_function_has_place(struct vpci_function *f, uint64_t gpa, uint64_t length)
{
	(void)f;
	return gpa >= FUNCTION_PLACE && gpa < FUNCTION_END && length <= FUNCTION_END - gpa;
}

static bool is_the_stretch(unsigned int bar, uint64_t offset, uint64_t length)
{
	return bar == 0 && offset == 0 && length == FUNCTION_TABLE;
}

void vpci_function_map(struct vpci_function *f, unsigned int bar, uint64_t offset, uint64_t length,
		       uint64_t gpa)
{
	CHECK(is_the_stretch(bar, offset, length) && f->mapped == 0 && gpa != 0);
	CHECK(f->config[4] & 2); /* the hardware answers */
	f->mapped = gpa;
}

void vpci_function_unmap(struct vpci_function *f, unsigned int bar, uint64_t offset,
			 uint64_t length, uint64_t gpa)
{
	CHECK(is_the_stretch(bar, offset, length) && f->mapped == gpa);
	f->mapped = 0;
}

int vpci_function_set_interrupts(struct vpci_function *f, enum vpci_interrupts kind,
				 unsigned int count)
{
	unsigned int i;

	CHECK((kind == VPCI_NO_INTERRUPTS) == (count == 0));
	CHECK(count <= (kind == VPCI_MSI ? FUNCTION_MSIS : FUNCTION_ENTRIES));
	for (i = 0; i < FUNCTION_ENTRIES; i++) {
		f->interrupts[i].routed = f->interrupts[i].pending = false;
	}
	f->kind = count != 0 && f->result != 0 ? VPCI_NO_INTERRUPTS : kind;
	f->count = f->kind == VPCI_NO_INTERRUPTS ? 0 : count;
	return count != 0 ? f->result : 0;
}

void vpci_function_route(struct vpci_function *f, unsigned int number,
			 const struct vpci_target *target)
{
	CHECK(number < f->count && (target != NULL || f->interrupts[number].routed));
	f->interrupts[number].routed = target != NULL;
	if (target != NULL) {
		CHECK(target->vector >= 16 && target->mode <= 1);
		f->interrupts[number].target = *target;
		f->interrupts[number].pending = false;
	}
}

bool vpci_function_is_pending(struct vpci_function *f, unsigned int number)
{
	CHECK(number < f->count);
	return f->interrupts[number].pending;
}

bool function_raise(unsigned int number, struct vpci_target *target)
{
	CHECK(number < function.count);
	function.interrupts[number].pending = !function.interrupts[number].routed;
	*target = function.interrupts[number].target;
	return function.interrupts[number].routed;
}

void vpci_function_reset(struct vpci_function *f)
{
	CHECK(f->mapped == 0 && f->count == 0);
	set(4, 0x00100000);
	f->resets++;
}

void vpci_function_ejected(struct vpci_function *f)
{
	CHECK(f->released == 0);
	f->ejected++;
}

void vpci_function_released(struct vpci_function *f)
{
	CHECK(f->released == 0);
	f->released++;
}
