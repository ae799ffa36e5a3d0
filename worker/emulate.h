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

struct emulate_cache {
	struct {
		uint64_t bytes[2]; /* zeros after the last that was known */
		uint8_t size;      /* 0: empty; else insn_code_size() */
		struct insn insn;
	} entries[EMULATE_CACHE];
};

enum emulate_result {
	EMULATE_DONE,        /* over, or a step of a rep; or the guest takes an exception instead */
	EMULATE_UNSUPPORTED, /* we do not know this instruction */
	EMULATE_FAILED,      /* the backend did */
};

/* What the emulation of an instruction works on. */
struct emulation {
	struct vp *vp;
	struct board *board;
	const struct memory *memory;
	struct vp_registers registers;
	const struct insn *insn;
	unsigned int code_size;
	/* The translation that came with the exit, good for the page of hint_gva. */
	bool hint;
	uint64_t hint_gva, hint_gpa;
	/* Set by whoever returned false. */
	enum emulate_result result;
	bool exception;
	uint8_t vector;
	uint32_t error_code;
	uint64_t fault_address;
};

enum emulate_result emulate(struct vp *vp, struct board *board, const struct memory *memory,
			    struct emulate_cache *cache, const struct vp_exit *exit);

/* ---- Shared by emulate.c, emulate_string.c, operand.c; false: see `result`, `exception` ---- */

/* operand.c: guest memory by segment and offset, any length up to 16; and the operands of an
 * instruction. */
bool memory_read(struct emulation *e, unsigned int segment, uint64_t offset, void *to,
		 unsigned int size) MUST_CHECK;
bool memory_write(struct emulation *e, unsigned int segment, uint64_t offset, const void *from,
		  unsigned int size) MUST_CHECK;
/* Would a write succeed? Asked before an instruction changes anything else. */
bool memory_writable(struct emulation *e, unsigned int segment, uint64_t offset,
		     unsigned int size) MUST_CHECK;
uint64_t operand_address(const struct emulation *e, const struct operand *operand);
/*
 * If the exit came without a linear address, and it is plain which operand stopped it: that one's.
 */
void operand_find_hint(struct emulation *e);
bool operand_read(struct emulation *e, const struct operand *operand, uint64_t *value) MUST_CHECK;
bool operand_write(struct emulation *e, const struct operand *operand, uint64_t value) MUST_CHECK;

/* emulate_string.c: one exit's worth of a string instruction. */
bool emulate_string(struct emulation *e) MUST_CHECK;

#endif
