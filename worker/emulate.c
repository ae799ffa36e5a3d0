/*
 * One instruction, from its bytes to its end, see emulate.h. What it does is in emulate_table.c, of
 * strings in emulate_string.c.
 *
 * Its bytes may not be those that the processor executed: another VP may have written others since.
 * So whatever an instruction may do is checked when it is executed.
 */
#include "worker/emulate.h"

#include <string.h>

#include "worker/alu.h"

/* The bytes that did not come with the exit. The next page is asked for only if the first has too
 * few. */
static bool fetch(struct emulation *e, uint8_t bytes[16], unsigned int *count)
{
	uint64_t linear =
		e->registers.rip + (e->code_size == 8 ? 0 : e->registers.segments[VP_CS].base);

	while (*count < INSN_MAX_LENGTH) {
		uint64_t at = e->code_size == 8 ? linear + *count : (uint32_t)(linear + *count);
		uint64_t gpa;
		unsigned int step = 4096 - (at & 4095);
		uint32_t error_code = 0;
		bool there = false;

		step = step < INSN_MAX_LENGTH - *count ? step : INSN_MAX_LENGTH - *count;
		if (backend_vp_translate(e->vp, at, VP_ACCESS_EXECUTE, &gpa, &error_code) == 0) {
			there = memory_get(e->memory, gpa, bytes + *count, step);
		}
		if (!there) {
			return *count != 0 || emulation_unsupported(e);
		}
		*count += step;
	}
	return true;
}

/* `bytes` has zeros behind the first `count`, 16 in all. */
static const struct emulate_entry *decode(struct emulation *e, struct emulate_cache *cache,
					  const uint8_t bytes[16], unsigned int count)
{
	uint64_t key[2];
	unsigned int slot;

	memcpy(key, bytes, sizeof(key));
	/* Opcode, ModRM and the displacement's low bytes are what tells one from another. */
	slot = (uint32_t)((key[0] & 0xffffffffffull) * 0x9e3779b97f4a7c15ull >> 32) % EMULATE_CACHE;
	/* Zeros that stand for bytes which are not there do not count. */
	if (cache->entries[slot].size == e->code_size && cache->entries[slot].bytes[0] == key[0] &&
	    cache->entries[slot].bytes[1] == key[1] && cache->entries[slot].insn.length <= count) {
		return &cache->entries[slot];
	}
	cache->entries[slot].size = 0;
	if (!insn_decode(&cache->entries[slot].insn, bytes, count, e->code_size)) {
		return NULL;
	}
	memcpy(cache->entries[slot].bytes, key, sizeof(key));
	cache->entries[slot].size = (uint8_t)e->code_size;
	cache->entries[slot].operation = operation_find(&cache->entries[slot].insn);
	return &cache->entries[slot];
}

static bool find_instruction(struct emulation *e, struct emulate_cache *cache,
			     const struct vp_exit *exit)
{
	unsigned int count = exit->instruction.byte_count;
	const struct emulate_entry *entry = NULL;
	uint8_t bytes[16] = {0};

	if (count != 0) {
		entry = decode(e, cache, exit->instruction.bytes, count);
	}
	/* None came, or not all of them. */
	if (entry == NULL) {
		count = 0;
		if (!fetch(e, bytes, &count)) {
			return false;
		}
		entry = decode(e, cache, bytes, count);
	}
	if (entry == NULL || (entry->operation == NULL && entry->insn.string == STRING_NONE)) {
		return emulation_unsupported(e);
	}
	e->insn = &entry->insn;
	e->operation = entry->operation;
	return true;
}

static bool step(struct emulation *e)
{
	unsigned int code_size = e->code_size;

	e->next = e->registers.rip + e->insn->length;
	if (e->insn->string != STRING_NONE) {
		if (!emulate_string(e)) {
			return false;
		}
	} else if (!e->operation->run(e, e->operation->argument)) {
		return false;
	}
	/* It holds breakpoints back for one instruction, which is over unless it is repeated. */
	if (e->next != e->registers.rip) {
		e->registers.rflags &= ~(uint64_t)FLAG_RF;
	}
	/* A far jump may have led to code of another size. */
	if (e->segments_changed & 1u << VP_CS) {
		code_size = insn_code_size(&e->registers);
	}
	e->registers.rip = code_size == 8 ? e->next : (uint32_t)e->next;
	return true;
}

/* What backend_vp_store() leaves out, of an instruction that is over. */
static bool store_more(struct emulation *e)
{
	/* Mostly there are none. */
	for (unsigned int changed = e->segments_changed; changed != 0; changed &= changed - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(changed);

		if (backend_vp_store_segment(e->vp, i, &e->registers.segments[i]) != 0) {
			return false;
		}
	}
	return true;
}

enum emulate_result emulate(struct backend_vp *vp, struct board *board, const struct memory *memory,
			    struct emulate_cache *cache, const struct vp_exit *exit)
{
	struct emulation e;
	bool done;

	/* One by one: the registers are a large part of it, and are loaded whole. */
	e.vp = vp;
	e.board = board;
	e.memory = memory;
	e.hint = exit->instruction.gpa_valid && exit->instruction.gva_valid;
	e.hint_write = exit->instruction.write;
	e.hint_gva = exit->instruction.gva;
	e.hint_gpa = exit->instruction.gpa;
	e.known[0].there = e.known[1].there = false;
	e.segments_changed = 0;
	e.exception = false;
	e.result = EMULATE_UNSUPPORTED;
	if (backend_vp_load(vp, &e.registers) != 0) {
		return EMULATE_FAILED;
	}
	e.code_size = insn_code_size(&e.registers);
	e.trace = e.registers.rflags & FLAG_TF; /* as it was before: POPF may change it */
	if (!find_instruction(&e, cache, exit)) {
		return e.result;
	}
	if (exit->instruction.gpa_valid && !e.hint) {
		operand_find_hint(&e);
	}
	done = step(&e);
	if (!done && !e.exception) {
		return e.result;
	}
	/* The registers of a string instruction that faulted on its way are those of the item that
	 * did. */
	if (backend_vp_store(vp, &e.registers) != 0 || (done && !store_more(&e))) {
		return EMULATE_FAILED;
	}
	if (e.exception &&
	    backend_vp_inject_exception(vp, e.vector, e.error_code, e.fault_address) != 0) {
		return EMULATE_FAILED;
	}
	/* As after any instruction, and after each part of a repeated one. A load of SS has the
	 * next one's trap for its own. */
	if (done && e.trace && !(e.segments_changed & 1u << VP_SS) &&
	    backend_vp_inject_exception(vp, VP_EXCEPTION_DB, 0, 0) != 0) {
		return EMULATE_FAILED;
	}
	return EMULATE_DONE;
}
