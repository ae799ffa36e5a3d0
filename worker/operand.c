/*
 * Operands of an emulated instruction: registers, and memory through the guest's segments and page
 * tables, RAM or device.
 *
 * A memory operand is looked up once for each page that it touches, before anything of it is moved,
 * so an access over the end of a page faults whole.
 */
#include <errno.h>
#include <string.h>

#include "worker/alu.h"
#include "worker/emulate.h"

#define PAGE 4096u

/* The parts of an access that crosses a page, translated. */
struct span {
	uint64_t gpa[2];
	unsigned int length[2];
};

static bool emulation_raise(struct emulation *e, uint8_t vector, uint32_t error_code,
			    uint64_t address)
{
	e->result = EMULATE_DONE;
	e->exception = true;
	e->vector = vector;
	e->error_code = error_code;
	e->fault_address = address;
	return false;
}

static bool linear_address(struct emulation *e, unsigned int name, uint64_t offset,
			   unsigned int size, uint64_t *linear)
{
	const struct vp_segment *segment = &e->registers.segments[name];
	unsigned int vector = name == VP_SS ? 12 : VP_EXCEPTION_GP;

	if (e->code_size == 8) {
		*linear = offset + (name == VP_FS || name == VP_GS ? segment->base : 0);
		if ((uint64_t)((int64_t)(*linear << 16) >> 16) != *linear &&
		    !(e->registers.cr4 & 0x1000)) {
			return emulation_raise(e, (uint8_t)vector, 0, 0);
		}
		return true;
	}
	*linear = (uint32_t)(segment->base + offset);
	/* Expand-down data segments end at the other side. */
	if ((segment->attributes & 0x1c) == 0x14) {
		return offset > segment->limit ? true : emulation_raise(e, (uint8_t)vector, 0, 0);
	}
	if (offset + size - 1 > segment->limit) {
		return emulation_raise(e, (uint8_t)vector, 0, 0);
	}
	return true;
}

static bool translate_page(struct emulation *e, uint64_t linear, enum vp_access access,
			   uint64_t *gpa)
{
	uint32_t error_code = 0;
	int ret;

	if (e->hint && ((linear ^ e->hint_gva) & ~(uint64_t)(PAGE - 1)) == 0) {
		*gpa = (e->hint_gpa & ~(uint64_t)(PAGE - 1)) | (linear & (PAGE - 1));
		return true;
	}
	ret = vp_translate(e->vp, linear, access, gpa, &error_code);
	if (ret == -EFAULT) {
		return emulation_raise(e, VP_EXCEPTION_PF, error_code, linear);
	}
	if (ret != 0) {
		e->result = EMULATE_FAILED;
		return false;
	}
	return true;
}

static bool translate(struct emulation *e, unsigned int segment, uint64_t offset, unsigned int size,
		      enum vp_access access, struct span *span)
{
	uint64_t linear;
	unsigned int left;

	if (!linear_address(e, segment, offset, size, &linear)) {
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
	return translate_page(e, linear, access, &span->gpa[0]) &&
	       translate_page(e, linear + left, access, &span->gpa[1]);
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
	unsigned int done, step;

	for (done = 0; done < size; done += step) {
		uint64_t value;

		step = size - done < 8 ? size - done : 8;
		value = board_memory_read(e->board, gpa + done, step);
		memcpy(to + done, &value, step);
	}
}

static void device_write(struct emulation *e, uint64_t gpa, const uint8_t *from, unsigned int size)
{
	unsigned int done, step;

	for (done = 0; done < size; done += step) {
		uint64_t value = 0;

		step = size - done < 8 ? size - done : 8;
		memcpy(&value, from + done, step);
		board_memory_write(e->board, gpa + done, step, value);
	}
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
		const void *ram = memory_at(e->memory, span.gpa[i], span.length[i]);

		if (ram != NULL) {
			copy_item(at, ram, span.length[i]);
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
		void *ram = memory_at(e->memory, span.gpa[i], span.length[i]);

		if (ram != NULL) {
			copy_item(ram, at, span.length[i]);
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

	if (e->insn->mnemonic == ZYDIS_MNEMONIC_PUSH || e->insn->mnemonic == ZYDIS_MNEMONIC_POP) {
		return;
	}
	for (i = 0; i < e->insn->operand_count; i++) {
		const struct operand *operand = &e->insn->operands[i];
		bool based =
			e->code_size != 8 || operand->segment == VP_FS || operand->segment == VP_GS;
		uint64_t linear;

		if (operand->kind != OPERAND_MEMORY) {
			continue;
		}
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
		e->result = EMULATE_UNSUPPORTED;
		return false;
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
	case OPERAND_MEMORY:
		return memory_write(e, operand->segment, operand_address(e, operand), &value,
				    operand->size);
	default:
		e->result = EMULATE_UNSUPPORTED;
		return false;
	}
}
