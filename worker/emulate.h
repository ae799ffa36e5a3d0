/*
 * One instruction of the guest, executed by us: it touched memory where there is no RAM, or moves
 * strings to or from a port. All its other operands may be RAM or registers.
 */
#ifndef WORKER_EMULATE_H
#define WORKER_EMULATE_H

#include "backend/backend.h"
#include "devices/board.h"
#include "worker/insn.h"
#include "worker/memory.h"

/*
 * Instructions decoded before, by their bytes: a driver touches its device from few places. One per
 * VP.
 */
#define EMULATE_CACHE 32

struct emulate_entry {
	uint64_t bytes[2]; /* zeros after the last that was known */
	uint8_t size;      /* 0: empty; else insn_code_size() */
	struct insn insn;
	const struct operation *operation; /* NULL: a string, or unknown */
};

struct emulate_cache {
	struct emulate_entry entries[EMULATE_CACHE];
};

enum emulate_result {
	EMULATE_DONE,        /* over, or a step of a rep; or the guest takes an exception instead */
	EMULATE_UNSUPPORTED, /* we do not know this instruction */
	EMULATE_FAILED,      /* the backend did */
};

struct emulation;

/* A row of the table of instructions. */
struct operation {
	uint16_t mnemonic;
	bool (*run)(struct emulation *e, unsigned int argument);
	uint8_t argument;
	/* It touches memory beside its operands: a stack, a descriptor table. */
	bool touches_more;
};

/* What the emulation of an instruction works on. */
struct emulation {
	struct backend_vp *vp;
	struct board *board;
	const struct memory *memory;
	struct vp_registers registers;
	const struct insn *insn;
	const struct operation *operation; /* NULL: a string */
	unsigned int code_size;
	bool trace;               /* a debug trap follows the instruction */
	uint64_t next;            /* RIP of the next instruction */
	uint8_t segments_changed; /* 1 << enum vp_segment_name */
	/* The translation that came with the exit, good for the page of hint_gva, and for writes if
	 * it was of one. */
	bool hint, hint_write;
	uint64_t hint_gva, hint_gpa;
	/*
	 * Of a string: the pages that its last items were in, as a TLB keeps them, one read and one
	 * written.
	 */
	struct {
		bool there;
		uint64_t page, gpa;
	} known[2];
	/* Set by whoever returned false. */
	enum emulate_result result;
	bool exception;
	uint8_t vector;
	uint32_t error_code;
	uint64_t fault_address;
};

enum emulate_result emulate(struct backend_vp *vp, struct board *board, const struct memory *memory,
			    struct emulate_cache *cache, const struct vp_exit *exit);

/* ---- Shared by emulate.c and the files below; false: see `result`, `exception` ---- */

/* These are always false. */
static inline bool emulation_unsupported(struct emulation *e)
{
	e->result = EMULATE_UNSUPPORTED;
	return false;
}

static inline bool emulation_failed(struct emulation *e)
{
	e->result = EMULATE_FAILED;
	return false;
}

/* The guest takes an exception instead; always false. */
bool emulation_raise(struct emulation *e, uint8_t vector, uint32_t error_code, uint64_t address);
bool emulation_canonical(const struct emulation *e, uint64_t address);
bool emulation_push(struct emulation *e, uint64_t value, unsigned int size) MUST_CHECK;
/* What lies `above` bytes above the stack's top. */
bool emulation_peek(struct emulation *e, unsigned int above, uint64_t *value,
		    unsigned int size) MUST_CHECK;
void emulation_move_stack(struct emulation *e, int64_t by);

/* operand.c: guest memory by segment and offset, any length up to 16; and the operands of an
 * instruction. */
bool memory_read(struct emulation *e, unsigned int segment, uint64_t offset, void *to,
		 unsigned int size) MUST_CHECK;
bool memory_write(struct emulation *e, unsigned int segment, uint64_t offset, const void *from,
		  unsigned int size) MUST_CHECK;
/* Would a write succeed? Asked before an instruction changes anything else. */
bool memory_writable(struct emulation *e, unsigned int segment, uint64_t offset,
		     unsigned int size) MUST_CHECK;
/* A table of the processor's own, by linear address: RAM alone, whatever the privilege level. */
bool memory_system_read(struct emulation *e, uint64_t linear, void *to,
			unsigned int size) MUST_CHECK;
bool memory_system_set_bits(struct emulation *e, uint64_t linear, uint8_t bits) MUST_CHECK;
uint64_t operand_address(const struct emulation *e, const struct operand *operand);
/*
 * If the exit came without a linear address, and it is plain which operand stopped it: that one's.
 */
void operand_find_hint(struct emulation *e);
bool operand_read(struct emulation *e, const struct operand *operand, uint64_t *value) MUST_CHECK;
bool operand_write(struct emulation *e, const struct operand *operand, uint64_t value) MUST_CHECK;

/* emulate_table.c; NULL: no row of the table. Strings have a way of their own. */
const struct operation *operation_find(const struct insn *insn);

/* emulate_system.c: segments, the tables that describe them, CR0. */
enum system_register {
	SYSTEM_CR0,
	SYSTEM_LDTR,
	SYSTEM_TR,
	SYSTEM_GDTR,
	SYSTEM_IDTR,
};
bool system_load_segment(struct emulation *e, unsigned int name, uint16_t selector) MUST_CHECK;
bool system_far_jump(struct emulation *e) MUST_CHECK;
bool system_far_call(struct emulation *e) MUST_CHECK;
bool system_far_return(struct emulation *e, uint64_t release) MUST_CHECK;
/* May this port be reached at the current privilege level? */
bool system_port(struct emulation *e, uint16_t port, unsigned int size) MUST_CHECK;
bool system_load_pointer(struct emulation *e, unsigned int segment) MUST_CHECK;
bool system_store_word(struct emulation *e, unsigned int which) MUST_CHECK;
bool system_load_word(struct emulation *e, unsigned int which) MUST_CHECK;
bool system_store_table(struct emulation *e, unsigned int which) MUST_CHECK;
bool system_load_table(struct emulation *e, unsigned int which) MUST_CHECK;

/* emulate_string.c: one exit's worth of a string instruction. */
bool emulate_string(struct emulation *e) MUST_CHECK;

#endif
