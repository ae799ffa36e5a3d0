/*
 * What emulated instructions do to segments and to the tables that describe them (Intel SDM vol. 3,
 * 3.4, 5.5 to 5.8; vol. 1, 19.5 for ports). Not here: gates, tasks, and returns to outer privilege
 * levels, whose instruction is then not supported.
 */
#include <errno.h>
#include <string.h>

#include "worker/alu.h"
#include "worker/emulate.h"

#define CR0_PE   0x1u
#define CR0_LMSW 0xfu
#define CR4_UMIP 0x800u
#define CR4_CET  0x800000u
#define EFER_LMA 0x400u

/* Attributes of struct vp_segment; the descriptor has them in bytes 5 and 6. */
#define ATTRIBUTE_ACCESSED   0x0001u
#define ATTRIBUTE_WRITABLE   0x0002u /* data */
#define ATTRIBUTE_READABLE   0x0002u /* code */
#define ATTRIBUTE_CONFORMING 0x0004u /* code */
#define ATTRIBUTE_CODE       0x0008u
#define ATTRIBUTE_TYPE       0x000fu
#define ATTRIBUTE_MEMORY     0x0010u /* S: no system segment */
#define ATTRIBUTE_PRESENT    0x0080u
#define ATTRIBUTE_PAGES      0x8000u /* G: the limit counts pages */

#define TYPE_LDT         2u
#define TYPE_TSS16       1u
#define TYPE_TSS         9u
#define TYPE_BUSY        2u
#define TYPE_CALL_GATE16 4u
#define TYPE_TASK_GATE   5u
#define TYPE_CALL_GATE   12u

#define SELECTOR_TABLE 4u
#define SELECTOR_RPL   3u

static bool raise_selector(struct emulation *e, uint8_t vector, uint16_t selector)
{
	return emulation_raise(e, vector, selector & ~SELECTOR_RPL, 0);
}

static bool gp(struct emulation *e, uint16_t selector)
{
	return raise_selector(e, VP_EXCEPTION_GP, selector);
}

/* What the hypervisor does not take is an instruction that is not supported. */
static bool stored(struct emulation *e, int ret)
{
	if (ret == 0) {
		return true;
	}
	return ret == -EINVAL ? emulation_unsupported(e) : emulation_failed(e);
}

static bool load_system(struct emulation *e, struct vp_system *system)
{
	return backend_vp_load_system(e->vp, system) == 0 || emulation_failed(e);
}

static bool long_mode(const struct emulation *e)
{
	return e->registers.efer & EFER_LMA;
}

static unsigned int dpl_of(const struct vp_segment *segment)
{
	return segment->attributes >> 5 & 3;
}

/* A segment as its descriptor says, without a look at what it is for. `at` is where that lies. */
static bool read_descriptor(struct emulation *e, uint16_t selector, struct vp_segment *segment,
			    uint64_t *at)
{
	struct vp_system system;
	uint64_t base, descriptor = 0;
	uint32_t limit;

	if (!load_system(e, &system)) {
		return false;
	}
	base = system.gdtr.base;
	limit = system.gdtr.limit;
	if (selector & SELECTOR_TABLE) {
		base = system.ldtr.base;
		limit = system.ldtr.limit;
		if (!(system.ldtr.attributes & ATTRIBUTE_PRESENT)) {
			return gp(e, selector);
		}
	}
	if ((selector | 7u) > limit) {
		return gp(e, selector);
	}
	*at = base + (selector & ~7u);
	if (!memory_system_read(e, *at, &descriptor, sizeof(descriptor))) {
		return false;
	}
	*segment = (struct vp_segment){
		.base = (descriptor >> 16 & 0xffffff) | descriptor >> 56 << 24,
		.limit = (uint32_t)((descriptor & 0xffff) | (descriptor >> 32 & 0xf0000)),
		.selector = selector,
		.attributes = (uint16_t)(descriptor >> 40 & 0xf0ff),
	};
	if (segment->attributes & ATTRIBUTE_PAGES) {
		segment->limit = segment->limit << 12 | 0xfff;
	}
	return true;
}

static void take_segment(struct emulation *e, unsigned int name, const struct vp_segment *segment)
{
	e->registers.segments[name] = *segment;
	e->segments_changed |= (uint8_t)(1u << name);
}

static bool mark_accessed(struct emulation *e, struct vp_segment *segment, uint64_t at)
{
	if (segment->attributes & ATTRIBUTE_ACCESSED) {
		return true;
	}
	segment->attributes |= ATTRIBUTE_ACCESSED;
	return memory_system_set_bits(e, at + 5, ATTRIBUTE_ACCESSED);
}

/* Without descriptors a selector is an address; the rest of the segment stays. */
static void load_real(struct emulation *e, unsigned int name, uint16_t selector)
{
	struct vp_segment segment = e->registers.segments[name];

	segment.selector = selector;
	segment.base = (uint64_t)selector << 4;
	take_segment(e, name, &segment);
}

static bool load_null(struct emulation *e, unsigned int name, uint16_t selector)
{
	unsigned int cpl = insn_cpl(&e->registers);
	/* What stays of SS is the privilege level. */
	uint16_t attributes = name == VP_SS ? (uint16_t)(cpl << 5) : 0;

	if (name == VP_SS && (e->code_size != 8 || cpl == 3 || (selector & SELECTOR_RPL) != cpl)) {
		return gp(e, 0);
	}
	take_segment(e, name, &(struct vp_segment){.selector = selector, .attributes = attributes});
	return true;
}

/* Data and stack: may this privilege level have it? */
static bool allows_data(const struct emulation *e, unsigned int name, uint16_t selector,
			const struct vp_segment *segment)
{
	unsigned int cpl = insn_cpl(&e->registers), rpl = selector & SELECTOR_RPL;
	unsigned int a = segment->attributes, dpl = dpl_of(segment);
	bool code = a & ATTRIBUTE_CODE;

	if (!(a & ATTRIBUTE_MEMORY)) {
		return false;
	}
	if (name == VP_SS) {
		return !code && (a & ATTRIBUTE_WRITABLE) && rpl == cpl && dpl == cpl;
	}
	if (code && !(a & ATTRIBUTE_READABLE)) {
		return false;
	}
	return (code && (a & ATTRIBUTE_CONFORMING)) || (dpl >= cpl && dpl >= rpl);
}

bool system_load_segment(struct emulation *e, unsigned int name, uint16_t selector)
{
	struct vp_segment segment;
	uint64_t at;

	if (name == VP_CS) {
		return emulation_raise(e, VP_EXCEPTION_UD, 0, 0);
	}
	if (!insn_has_descriptors(&e->registers)) {
		load_real(e, name, selector);
		return true;
	}
	if ((selector & ~SELECTOR_RPL) == 0) {
		return load_null(e, name, selector);
	}
	if (!read_descriptor(e, selector, &segment, &at)) {
		return false;
	}
	if (!allows_data(e, name, selector, &segment)) {
		return gp(e, selector);
	}
	if (!(segment.attributes & ATTRIBUTE_PRESENT)) {
		return raise_selector(e, name == VP_SS ? VP_EXCEPTION_SS : VP_EXCEPTION_NP,
				      selector);
	}
	if (!mark_accessed(e, &segment, at)) {
		return false;
	}
	take_segment(e, name, &segment);
	return true;
}

/* ---- Far jumps, calls and returns ---- */

/* What a far transfer may lead to beside a segment; of most system types it may not. */
static bool is_gate(const struct emulation *e, const struct vp_segment *segment)
{
	unsigned int type = segment->attributes & ATTRIBUTE_TYPE;

	if (segment->attributes & ATTRIBUTE_MEMORY) {
		return false;
	}
	return type == TYPE_CALL_GATE ||
	       (!long_mode(e) && (type == TYPE_TSS || type == TYPE_TSS16 ||
				  type == TYPE_CALL_GATE16 || type == TYPE_TASK_GATE));
}

/* The code segment that a far transfer leads to, at the privilege level as it is. */
static bool find_code(struct emulation *e, uint16_t selector, bool is_return, uint64_t rip,
		      struct vp_segment *segment, uint64_t *at)
{
	unsigned int cpl = insn_cpl(&e->registers), rpl = selector & SELECTOR_RPL, dpl;
	bool wide;

	if (!insn_has_descriptors(&e->registers)) {
		*segment = e->registers.segments[VP_CS];
		segment->selector = selector;
		segment->base = (uint64_t)selector << 4;
		*at = 0;
		return rip <= segment->limit || gp(e, 0);
	}
	if ((selector & ~SELECTOR_RPL) == 0) {
		return gp(e, 0);
	}
	if (!read_descriptor(e, selector, segment, at)) {
		return false;
	}
	dpl = dpl_of(segment);
	/* Gates, tasks, an outer level. */
	if (is_gate(e, segment) || (is_return && rpl > cpl)) {
		return emulation_unsupported(e);
	}
	if (!(segment->attributes & ATTRIBUTE_MEMORY) || !(segment->attributes & ATTRIBUTE_CODE) ||
	    (is_return && rpl < cpl) ||
	    (segment->attributes & ATTRIBUTE_CONFORMING ? dpl > cpl : dpl != cpl || rpl > cpl)) {
		return gp(e, selector);
	}
	wide = long_mode(e) && (segment->attributes & VP_SEGMENT_LONG);
	if (wide && (segment->attributes & VP_SEGMENT_DEFAULT)) {
		return gp(e, selector);
	}
	if (!(segment->attributes & ATTRIBUTE_PRESENT)) {
		return raise_selector(e, VP_EXCEPTION_NP, selector);
	}
	if (wide ? !emulation_canonical(e, rip) : rip > segment->limit) {
		return gp(e, 0);
	}
	segment->selector = (uint16_t)((selector & ~SELECTOR_RPL) | cpl);
	return true;
}

static bool go_to(struct emulation *e, struct vp_segment *segment, uint64_t at, uint64_t rip)
{
	if (insn_has_descriptors(&e->registers) && !mark_accessed(e, segment, at)) {
		return false;
	}
	take_segment(e, VP_CS, segment);
	e->next = rip;
	return true;
}

/* An offset, then a selector. */
static bool read_pointer(struct emulation *e, const struct operand *from, unsigned int size,
			 uint64_t *offset, uint16_t *selector)
{
	uint8_t bytes[10];

	/* One that is in the instruction itself touches no device. */
	if (from->kind != OPERAND_MEMORY || size > 8) {
		return emulation_unsupported(e);
	}
	if (!memory_read(e, from->segment, operand_address(e, from), bytes, size + 2)) {
		return false;
	}
	*offset = 0;
	memcpy(offset, bytes, size);
	memcpy(selector, bytes + size, 2);
	return true;
}

/* With shadow stacks much more would have to be done. */
static bool no_shadow_stack(struct emulation *e)
{
	return !(e->registers.cr4 & CR4_CET) || emulation_unsupported(e);
}

bool system_far_jump(struct emulation *e)
{
	struct vp_segment segment;
	uint16_t selector;
	uint64_t rip, at;

	return no_shadow_stack(e) &&
	       read_pointer(e, &e->insn->operands[0], e->insn->operand_size, &rip, &selector) &&
	       find_code(e, selector, false, rip, &segment, &at) && go_to(e, &segment, at, rip);
}

bool system_far_call(struct emulation *e)
{
	uint64_t rsp = e->registers.gpr[VP_RSP], rip, at;
	unsigned int size = e->insn->operand_size;
	struct vp_segment segment;
	uint16_t selector;

	if (no_shadow_stack(e) && read_pointer(e, &e->insn->operands[0], size, &rip, &selector) &&
	    find_code(e, selector, false, rip, &segment, &at) &&
	    emulation_push(e, e->registers.segments[VP_CS].selector, size) &&
	    emulation_push(e, e->next, size) && go_to(e, &segment, at, rip)) {
		return true;
	}
	e->registers.gpr[VP_RSP] = rsp;
	return false;
}

bool system_far_return(struct emulation *e, uint64_t release)
{
	unsigned int size = e->insn->operand_size;
	struct vp_segment segment;
	uint64_t rip, cs, at;

	if (!no_shadow_stack(e) || !emulation_peek(e, 0, &rip, size) ||
	    !emulation_peek(e, size, &cs, size) ||
	    !find_code(e, (uint16_t)cs, true, rip, &segment, &at) || !go_to(e, &segment, at, rip)) {
		return false;
	}
	emulation_move_stack(e, (int64_t)(2 * size + release));
	return true;
}

/* LDS and its like. */
bool system_load_pointer(struct emulation *e, unsigned int segment)
{
	const struct operand *to = &e->insn->operands[0];
	uint16_t selector;
	uint64_t offset;

	return read_pointer(e, &e->insn->operands[1], to->size, &offset, &selector) &&
	       system_load_segment(e, segment, selector) && operand_write(e, to, offset);
}

/* ---- Ports ---- */

#define TSS_IO_MAP 102 /* where the map begins, in a TSS of 32 and 64 bits */
#define TSS_LEAST  103

static bool port_in_map(struct emulation *e, uint16_t port, unsigned int size)
{
	struct vp_system system;
	uint16_t map, bits;
	uint32_t at;

	if (!load_system(e, &system)) {
		return false;
	}
	if (!(system.tr.attributes & ATTRIBUTE_PRESENT) ||
	    (system.tr.attributes & ATTRIBUTE_TYPE & ~TYPE_BUSY) != TYPE_TSS ||
	    system.tr.limit < TSS_LEAST) {
		return gp(e, 0);
	}
	if (!memory_system_read(e, system.tr.base + TSS_IO_MAP, &map, sizeof(map))) {
		return false;
	}
	at = map + port / 8u;
	if (at + 1 > system.tr.limit) {
		return gp(e, 0);
	}
	if (!memory_system_read(e, system.tr.base + at, &bits, sizeof(bits))) {
		return false;
	}
	return !(bits >> port % 8 & ((1u << size) - 1)) || gp(e, 0);
}

bool system_port(struct emulation *e, uint16_t port, unsigned int size)
{
	uint64_t flags = e->registers.rflags;

	if ((e->registers.cr0 & CR0_PE) &&
	    (flags & FLAG_VM || insn_cpl(&e->registers) > (flags & FLAG_IOPL) >> FLAG_IOPL_SHIFT)) {
		return port_in_map(e, port, size);
	}
	return true;
}

/* ---- The registers of the system ---- */

static bool privileged(struct emulation *e)
{
	return insn_cpl(&e->registers) == 0 || gp(e, 0);
}

/* SMSW and its like, which a system may keep from its programs. */
static bool visible(struct emulation *e)
{
	return insn_cpl(&e->registers) == 0 || !(e->registers.cr4 & CR4_UMIP) || gp(e, 0);
}

/* Of selectors there is nothing without descriptors. */
static bool with_descriptors(struct emulation *e)
{
	return insn_has_descriptors(&e->registers) || emulation_raise(e, VP_EXCEPTION_UD, 0, 0);
}

bool system_store_word(struct emulation *e, unsigned int which)
{
	struct vp_system system;
	uint64_t value = e->registers.cr0;

	if (which != SYSTEM_CR0) {
		if (!with_descriptors(e) || !load_system(e, &system)) {
			return false;
		}
		value = which == SYSTEM_TR ? system.tr.selector : system.ldtr.selector;
	}
	return visible(e) && operand_write(e, &e->insn->operands[0], value);
}

/* The descriptor of an LDT or a TSS, which is of 16 bytes in long mode. */
static bool read_system_descriptor(struct emulation *e, uint16_t selector,
				   struct vp_segment *segment, uint64_t *at)
{
	struct vp_system system;
	uint32_t upper[2] = {0};

	if (selector & SELECTOR_TABLE || (selector & ~SELECTOR_RPL) == 0) {
		return gp(e, selector);
	}
	if (!read_descriptor(e, selector, segment, at)) {
		return false;
	}
	if (!long_mode(e)) {
		return true;
	}
	if (!load_system(e, &system)) {
		return false;
	}
	if ((selector & ~7u) + 15 > system.gdtr.limit) {
		return gp(e, selector);
	}
	if (!memory_system_read(e, *at + 8, upper, sizeof(upper))) {
		return false;
	}
	segment->base |= (uint64_t)upper[0] << 32;
	return (emulation_canonical(e, segment->base) && !(upper[1] & 0x1f00)) || gp(e, selector);
}

static bool load_ldt(struct emulation *e, uint16_t selector)
{
	struct vp_segment segment = {.selector = selector};
	uint64_t at;

	if ((selector & ~SELECTOR_RPL) != 0) {
		if (!read_system_descriptor(e, selector, &segment, &at)) {
			return false;
		}
		if ((segment.attributes & (ATTRIBUTE_MEMORY | ATTRIBUTE_TYPE)) != TYPE_LDT) {
			return gp(e, selector);
		}
		if (!(segment.attributes & ATTRIBUTE_PRESENT)) {
			return raise_selector(e, VP_EXCEPTION_NP, selector);
		}
	}
	return stored(e, backend_vp_store_segment(e->vp, VP_LDTR, &segment));
}

static bool load_task(struct emulation *e, uint16_t selector)
{
	struct vp_segment segment;
	unsigned int type;
	uint64_t at;

	if (!read_system_descriptor(e, selector, &segment, &at)) {
		return false;
	}
	type = segment.attributes & (ATTRIBUTE_MEMORY | ATTRIBUTE_TYPE);
	if (type != TYPE_TSS && (long_mode(e) || type != TYPE_TSS16)) {
		return gp(e, selector);
	}
	if (!(segment.attributes & ATTRIBUTE_PRESENT)) {
		return raise_selector(e, VP_EXCEPTION_NP, selector);
	}
	segment.attributes |= TYPE_BUSY;
	return memory_system_set_bits(e, at + 5, TYPE_BUSY) &&
	       stored(e, backend_vp_store_segment(e->vp, VP_TR, &segment));
}

/* LMSW sets PE and does not clear it; MP, EM and TS it changes. */
static bool load_status_word(struct emulation *e, uint64_t value)
{
	uint64_t cr0 = e->registers.cr0;

	cr0 = (cr0 & ~(uint64_t)(CR0_LMSW & ~CR0_PE)) | (value & CR0_LMSW);
	return stored(e, backend_vp_store_cr0(e->vp, cr0));
}

bool system_load_word(struct emulation *e, unsigned int which)
{
	uint64_t value;

	if ((which != SYSTEM_CR0 && !with_descriptors(e)) || !privileged(e) ||
	    !operand_read(e, &e->insn->operands[0], &value)) {
		return false;
	}
	switch (which) {
	case SYSTEM_LDTR:
		return load_ldt(e, (uint16_t)value);
	case SYSTEM_TR:
		return load_task(e, (uint16_t)value);
	default:
		return load_status_word(e, value);
	}
}

/* A limit of 16 bits, then a base: of 24 bits where operands have 16, as long ago. */
bool system_store_table(struct emulation *e, unsigned int which)
{
	const struct operand *to = &e->insn->operands[0];
	unsigned int size = e->code_size == 8 ? 8 : 4;
	const struct vp_table *table;
	struct vp_system system;
	uint8_t bytes[10];

	if (!visible(e) || !load_system(e, &system)) {
		return false;
	}
	table = which == SYSTEM_GDTR ? &system.gdtr : &system.idtr;
	memcpy(bytes, &table->limit, 2);
	memcpy(bytes + 2, &table->base, size);
	return memory_write(e, to->segment, operand_address(e, to), bytes, size + 2);
}

bool system_load_table(struct emulation *e, unsigned int which)
{
	const struct operand *from = &e->insn->operands[0];
	unsigned int size = e->code_size == 8 ? 8 : 4;
	struct vp_table table = {0};
	uint8_t bytes[10];

	if (!privileged(e) ||
	    !memory_read(e, from->segment, operand_address(e, from), bytes, size + 2)) {
		return false;
	}
	memcpy(&table.limit, bytes, 2);
	memcpy(&table.base, bytes + 2, size);
	if (size == 4 && e->insn->operand_size == 2) {
		table.base &= 0xffffff;
	}
	if (!emulation_canonical(e, table.base)) {
		return gp(e, 0);
	}
	return stored(e, backend_vp_store_table(e->vp, which == SYSTEM_IDTR, &table));
}
