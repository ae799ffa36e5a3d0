/*
 * Operands of an emulated instruction: registers, and memory through the guest's segments and page
 * tables, RAM or device.
 *
 * A memory operand is looked up once for each page that it touches, before anything of it is moved,
 * so an access over the end of a page faults whole.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "worker/alu.h"
#include "worker/emulate.h"

#define PAGE 4096u

/* The parts of an access that crosses a page, translated. */
struct span {
	uint64_t gpa[2];
	unsigned int length[2];
};

bool emulation_raise(struct emulation *e, uint8_t vector, uint32_t error_code, uint64_t address)
{
	e->result = EMULATE_DONE;
	e->exception = true;
	e->vector = vector;
	e->error_code = error_code;
	e->fault_address = address;
	return false;
}

#define CR4_LA57 0x1000
#define EFER_LMA 0x400

bool emulation_canonical(const struct emulation *e, uint64_t address)
{
	unsigned int unused = e->registers.cr4 & CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

/* Of a segment's attributes: the type and what it may be used for. */
#define TYPE_WRITABLE   0x02u /* of data */
#define TYPE_READABLE   0x02u /* of code */
#define TYPE_EXPAND     0x04u /* of data: downwards */
#define TYPE_CODE       0x08u
#define SEGMENT_PRESENT 0x80u

/* Outside 64-bit mode: is the segment for such an access at all, and does it reach so far? */
static bool segment_allows(const struct emulation *e, const struct vp_segment *segment,
			   uint64_t offset, unsigned int size, enum vp_access access)
{
	uint64_t last = offset + size - 1;
	unsigned int type = segment->attributes;

	/* Segments of real and virtual 8086 mode have no kinds. */
	if (insn_has_descriptors(&e->registers)) {
		bool code = type & TYPE_CODE;

		if (!(type & SEGMENT_PRESENT) ||
		    (access == VP_ACCESS_WRITE && (code || !(type & TYPE_WRITABLE))) ||
		    (code && !(type & TYPE_READABLE))) {
			return false;
		}
	}
	/* Data that expands downwards begins where others end. */
	if ((type & (TYPE_CODE | TYPE_EXPAND)) == TYPE_EXPAND) {
		return offset > segment->limit &&
		       last <= (type & VP_SEGMENT_DEFAULT ? UINT32_MAX : UINT16_MAX);
	}
	return last <= segment->limit;
}

static bool linear_address(struct emulation *e, unsigned int name, uint64_t offset,
			   unsigned int size, enum vp_access access, uint64_t *linear)
{
	const struct vp_segment *segment = &e->registers.segments[name];
	bool allowed;

	if (e->code_size == 8) {
		*linear = offset + (name == VP_FS || name == VP_GS ? segment->base : 0);
		allowed = emulation_canonical(e, *linear) &&
			  emulation_canonical(e, *linear + size - 1);
	} else {
		*linear = (uint32_t)(segment->base + offset);
		allowed = segment_allows(e, segment, offset, size, access);
	}
	return allowed ||
	       emulation_raise(e, name == VP_SS ? VP_EXCEPTION_SS : VP_EXCEPTION_GP, 0, 0);
}

#define NOT_KNOWN 2u

/* Which of the known pages such an access may be in: of a string's items, by 4 KiB whatever the
 * guest's pages are. */
static unsigned int known_of(const struct emulation *e, enum vp_access access)
{
	bool item = access == VP_ACCESS_READ || access == VP_ACCESS_WRITE;

	return e->operation == NULL && item ? access == VP_ACCESS_WRITE : NOT_KNOWN;
}

static __attribute__((noinline)) bool look_up(struct emulation *e, uint64_t linear,
					      enum vp_access access, uint64_t *gpa)
{
	unsigned int known = known_of(e, access);
	uint32_t error_code = 0;
	int ret;

	if (known != NOT_KNOWN && e->known[known].there && e->known[known].page == linear / PAGE) {
		*gpa = e->known[known].gpa | (linear & (PAGE - 1));
		return true;
	}
	ret = backend_vp_translate(e->vp, linear, access, gpa, &error_code);
	if (ret == -EFAULT) {
		return emulation_raise(e, VP_EXCEPTION_PF, error_code, linear);
	}
	if (ret != 0) {
		/* Page tables out of memory are the guest's doing. */
		e->result = ret == -ENXIO ? EMULATE_UNSUPPORTED : EMULATE_FAILED;
		return false;
	}
	if (known != NOT_KNOWN) {
		e->known[known].there = true;
		e->known[known].page = linear / PAGE;
		e->known[known].gpa = *gpa & ~(uint64_t)(PAGE - 1);
	}
	return true;
}

/* What a driver asks of its device is mostly where the exit said. */
static bool translate_page(struct emulation *e, uint64_t linear, enum vp_access access,
			   uint64_t *gpa)
{
	if (e->hint && (access == VP_ACCESS_READ || e->hint_write) &&
	    ((linear ^ e->hint_gva) & ~(uint64_t)(PAGE - 1)) == 0) {
		*gpa = (e->hint_gpa & ~(uint64_t)(PAGE - 1)) | (linear & (PAGE - 1));
		return true;
	}
	return look_up(e, linear, access, gpa);
}

static bool translate(struct emulation *e, unsigned int segment, uint64_t offset, unsigned int size,
		      enum vp_access access, struct span *span)
{
	uint64_t linear, next;
	unsigned int left;

	if (!linear_address(e, segment, offset, size, access, &linear)) {
		return false;
	}
	left = PAGE - (unsigned int)(linear & (PAGE - 1));
	if (size <= left) {
		span->length[0] = size;
		span->length[1] = 0;
		return translate_page(e, linear, access, &span->gpa[0]);
	}
	span->length[0] = left;
	span->length[1] = size - left;
	next = e->code_size == 8 ? linear + left : (uint32_t)(linear + left);
	return translate_page(e, linear, access, &span->gpa[0]) &&
	       translate_page(e, next, access, &span->gpa[1]);
}

/* Aligned items in one piece, as a processor does: another VP may be looking. */
static void copy_item(void *to, const void *from, unsigned int size)
{
	bool aligned = ((uintptr_t)to | (uintptr_t)from) % size == 0;

	if (size == 8 && aligned) {
		*(volatile uint64_t *)to = *(const volatile uint64_t *)from;
	} else if (size == 4 && aligned) {
		*(volatile uint32_t *)to = *(const volatile uint32_t *)from;
	} else if (size == 2 && aligned) {
		*(volatile uint16_t *)to = *(const volatile uint16_t *)from;
	} else {
		memcpy(to, from, size);
	}
}

/* Devices see at most 8 bytes at a time. */
static void device_read(struct emulation *e, uint64_t gpa, uint8_t *to, unsigned int size)
{
	uint64_t value;

	for (; size > 8; size -= 8, gpa += 8, to += 8) {
		value = board_memory_read(e->board, gpa, 8);
		memcpy(to, &value, 8);
	}
	value = board_memory_read(e->board, gpa, size);
	memcpy(to, &value, size);
}

static void device_write(struct emulation *e, uint64_t gpa, const uint8_t *from, unsigned int size)
{
	uint64_t value = 0;

	for (; size > 8; size -= 8, gpa += 8, from += 8) {
		memcpy(&value, from, 8);
		board_memory_write(e->board, gpa, 8, value);
	}
	value = 0;
	memcpy(&value, from, size);
	board_memory_write(e->board, gpa, size, value);
}

bool memory_read(struct emulation *e, unsigned int segment, uint64_t offset, void *to,
		 unsigned int size)
{
	struct span span;
	uint8_t *at = to;
	unsigned int i;

	if (!translate(e, segment, offset, size, VP_ACCESS_READ, &span)) {
		return false;
	}
	for (i = 0; i < 2 && span.length[i] != 0; i++) {
		const void *ram = memory_acquire(e->memory, span.gpa[i], span.length[i]);

		if (ram != NULL) {
			copy_item(at, ram, span.length[i]);
			memory_complete(e->memory, span.gpa[i], span.length[i], 0);
		} else {
			device_read(e, span.gpa[i], at, span.length[i]);
		}
		at += span.length[i];
	}
	return true;
}

bool memory_write(struct emulation *e, unsigned int segment, uint64_t offset, const void *from,
		  unsigned int size)
{
	const uint8_t *at = from;
	struct span span;
	unsigned int i;

	if (!translate(e, segment, offset, size, VP_ACCESS_WRITE, &span)) {
		return false;
	}
	for (i = 0; i < 2 && span.length[i] != 0; i++) {
		void *ram = memory_acquire(e->memory, span.gpa[i], span.length[i]);

		if (ram != NULL) {
			copy_item(ram, at, span.length[i]);
			memory_complete(e->memory, span.gpa[i], span.length[i], span.length[i]);
		} else {
			device_write(e, span.gpa[i], at, span.length[i]);
		}
		at += span.length[i];
	}
	return true;
}

bool memory_writable(struct emulation *e, unsigned int segment, uint64_t offset, unsigned int size)
{
	struct span span;

	return translate(e, segment, offset, size, VP_ACCESS_WRITE, &span);
}

static uint64_t system_linear(const struct emulation *e, uint64_t linear)
{
	return e->registers.efer & EFER_LMA ? linear : (uint32_t)linear;
}

/* False: the instruction ends with a fault of the guest's. */
static bool system_translate(struct emulation *e, uint64_t linear, enum vp_access access,
			     uint64_t *gpa)
{
	/* The hint is of an access at the privilege level of the code. */
	bool hint = e->hint, found;

	e->hint = false;
	found = translate_page(e, linear, access, gpa);
	e->hint = hint;
	return found;
}

bool memory_system_read(struct emulation *e, uint64_t linear, void *to, unsigned int size)
{
	uint8_t *at = to;

	while (size != 0) {
		unsigned int step = PAGE - (unsigned int)(linear & (PAGE - 1));
		uint64_t gpa;

		linear = system_linear(e, linear);
		step = step < size ? step : size;
		if (!system_translate(e, linear, VP_ACCESS_SYSTEM_READ, &gpa)) {
			return false;
		}
		if (!memory_get(e->memory, gpa, at, step)) {
			return emulation_unsupported(e);
		}
		at += step;
		linear += step;
		size -= step;
	}
	return true;
}

bool memory_system_set_bits(struct emulation *e, uint64_t linear, uint8_t bits)
{
	_Atomic(uint8_t) *byte;
	uint64_t gpa;

	if (!system_translate(e, system_linear(e, linear), VP_ACCESS_SYSTEM_WRITE, &gpa)) {
		return false;
	}
	byte = memory_acquire(e->memory, gpa, 1);
	if (byte == NULL) {
		return emulation_unsupported(e);
	}
	atomic_fetch_or(byte, bits);
	memory_complete(e->memory, gpa, 1, 1);
	return true;
}

uint64_t operand_address(const struct emulation *e, const struct operand *operand)
{
	uint64_t address = (uint64_t)operand->value;

	if (e->insn->rip_relative) {
		address += e->registers.rip + e->insn->length;
	}
	if (operand->base != INSN_NO_REGISTER) {
		address += e->registers.gpr[operand->base];
	}
	if (operand->index != INSN_NO_REGISTER) {
		address += e->registers.gpr[operand->index] * operand->scale;
	}
	return address & alu_mask(e->insn->address_size);
}

/*
 * Some processors say which guest address was touched and not by which linear one. If one memory
 * operand alone lies at the same place in its page, it is the one, and its translation is known.
 * Instructions that touch memory beside their operands are left out: it may have been that.
 */
void operand_find_hint(struct emulation *e)
{
	unsigned int i, found = 0;

	if (e->operation != NULL && e->operation->touches_more) {
		return;
	}
	for (i = 0; i < e->insn->operand_count; i++) {
		const struct operand *operand = &e->insn->operands[i];
		uint64_t linear;
		bool based;

		if (operand->kind != OPERAND_MEMORY) {
			continue;
		}
		based = e->code_size != 8 || operand->segment == VP_FS || operand->segment == VP_GS;
		linear = operand_address(e, operand) +
			 (based ? e->registers.segments[operand->segment].base : 0);
		linear = e->code_size == 8 ? linear : (uint32_t)linear;
		if (((linear ^ e->hint_gpa) & (PAGE - 1)) == 0) {
			e->hint_gva = linear;
			found++;
		}
	}
	e->hint = found == 1;
}

bool operand_read(struct emulation *e, const struct operand *operand, uint64_t *value)
{
	*value = 0;
	switch (operand->kind) {
	case OPERAND_GPR:
		*value = e->registers.gpr[operand->reg] >> (operand->high ? 8 : 0) &
			 alu_mask(operand->size);
		return true;
	case OPERAND_SEGMENT:
		*value = e->registers.segments[operand->reg].selector;
		return true;
	case OPERAND_IMMEDIATE:
		*value = (uint64_t)operand->value;
		return true;
	case OPERAND_MEMORY:
		return memory_read(e, operand->segment, operand_address(e, operand), value,
				   operand->size);
	default:
		return emulation_unsupported(e);
	}
}

static void write_gpr(struct emulation *e, const struct operand *operand, uint64_t value)
{
	uint64_t *gpr = &e->registers.gpr[operand->reg];
	unsigned int shift = operand->high ? 8 : 0;

	if (operand->size == 4) {
		*gpr = (uint32_t)value; /* the upper half is cleared */
	} else {
		uint64_t mask = alu_mask(operand->size) << shift;

		*gpr = (*gpr & ~mask) | (value << shift & mask);
	}
}

bool operand_write(struct emulation *e, const struct operand *operand, uint64_t value)
{
	switch (operand->kind) {
	case OPERAND_GPR:
		write_gpr(e, operand, value);
		return true;
	case OPERAND_SEGMENT:
		return system_load_segment(e, operand->reg, (uint16_t)value);
	case OPERAND_MEMORY:
		return memory_write(e, operand->segment, operand_address(e, operand), &value,
				    operand->size);
	default:
		return emulation_unsupported(e);
	}
}
